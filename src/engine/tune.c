/* tune.c - what is trained: where it lies in the block, what it starts from. */
#include "engine/inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beyond this, keeping more saves less than a sixth of a step. */
static const size_t ENOUGH = (size_t)7 << 29;

static const struct {
    silr_part part;
    silr_group group;
} matrices[SILR_SLOTS] = {{SILR_PART_Q, SILR_GROUP_QKV},   {SILR_PART_K, SILR_GROUP_QKV},
                          {SILR_PART_V, SILR_GROUP_QKV},   {SILR_PART_O, SILR_GROUP_OUT},
                          {SILR_PART_GATE, SILR_GROUP_UP}, {SILR_PART_UP, SILR_GROUP_UP},
                          {SILR_PART_DOWN, SILR_GROUP_DOWN}};
static const silr_part norms[] = {SILR_PART_ATTENTION_NORM, SILR_PART_ATTENTION_POST_NORM,
                                  SILR_PART_Q_NORM,         SILR_PART_K_NORM,
                                  SILR_PART_MLP_NORM,       SILR_PART_MLP_POST_NORM};
enum { NORMS = sizeof norms / sizeof *norms };

static const char *name_of(silr_part part)
{
    switch (part) {
    case SILR_PART_TOKENS: return "tokens";
    case SILR_PART_POSITIONS: return "positions";
    case SILR_PART_EMBEDDING_NORM: return "embedding_norm";
    case SILR_PART_OUTPUT_NORM: return "output_norm";
    case SILR_PART_ATTENTION_NORM: return "attention_norm";
    case SILR_PART_Q: return "q";
    case SILR_PART_K: return "k";
    case SILR_PART_V: return "v";
    case SILR_PART_O: return "o";
    case SILR_PART_Q_NORM: return "q_norm";
    case SILR_PART_K_NORM: return "k_norm";
    case SILR_PART_ATTENTION_POST_NORM: return "attention_post_norm";
    case SILR_PART_MLP_NORM: return "mlp_norm";
    case SILR_PART_GATE: return "gate";
    case SILR_PART_UP: return "up";
    case SILR_PART_DOWN: return "down";
    case SILR_PART_MLP_POST_NORM: return "mlp_post_norm";
    default: return "head";
    }
}

static norm *layer_norm_of(layer *y, silr_part part)
{
    switch (part) {
    case SILR_PART_ATTENTION_NORM: return &y->attention;
    case SILR_PART_ATTENTION_POST_NORM: return &y->attention_post;
    case SILR_PART_Q_NORM: return &y->q;
    case SILR_PART_K_NORM: return &y->k;
    case SILR_PART_MLP_NORM: return &y->mlp;
    default: return &y->mlp_post;
    }
}

/* --- the table ------------------------------------------------------------------------------------ */

/* Room for rows x columns more floats, under a name. */
static silr_status add(silr_tune *t, silr_part part, size_t l, silr_tuned_what what, size_t rows,
                       size_t columns, size_t *offset, silr_error *err)
{
    static const char *const suffix[] = {".lora_a", ".lora_b", ".weight", ".bias"};
    silr_tuned *p = silr_realloc(t->table, t->n_table + 1, sizeof *p);
    size_t n;

    if (!p)
        return silr_fail_memory(err);
    t->table = p;
    p = &t->table[t->n_table];
    *p = (silr_tuned){.part = part, .layer = l, .what = what, .offset = t->n_params,
                       .rows = rows, .columns = columns};
    if (part >= SILR_PART_ATTENTION_NORM && part < SILR_PARTS)
        snprintf(p->name, sizeof p->name, "layers.%zu.%s%s", l, name_of(part), suffix[what]);
    else
        snprintf(p->name, sizeof p->name, "%s%s", name_of(part), suffix[what]);
    if (!silr_mul(rows, columns, &n) || !silr_add(t->n_params, n, &n))
        return silr_fail_memory(err);
    *offset = t->n_params;
    t->n_params = n;
    t->n_table++;
    return SILR_OK;
}

static silr_status add_norm(silr_tune *t, silr_part part, size_t l, const norm *n, size_t dim,
                            silr_error *err)
{
    size_t at;
    silr_status st = SILR_OK;

    if (!t->opts.norms || !n->weight)
        return SILR_OK;
    if ((st = add(t, part, l, SILR_TUNED_WEIGHT, 1, dim, &at, err)) == SILR_OK && n->bias)
        st = add(t, part, l, SILR_TUNED_BIAS, 1, dim, &at, err);
    return st;
}

static silr_tune_rank lora_of(const silr_tune *t, size_t l, silr_part part)
{
    if (t->opts.matrices)
        return (silr_tune_rank){0};
    if (t->opts.each)
        return t->opts.each[l * SILR_PARTS + part];
    return t->opts.targets & 1u << part ? t->opts.lora : (silr_tune_rank){0};
}

static silr_status add_slot(silr_tune *t, size_t l, size_t i, size_t at, silr_error *err)
{
    const silr_weights *w = t->e->weights;
    const silr_tensor *m = silr_weights_part(w, matrices[i].part, l, false);
    silr_slot *s = &t->slot[l * SILR_SLOTS + i];
    silr_status st = SILR_OK;

    *s = (silr_slot){.part = matrices[i].part, .group = matrices[i].group, .at = at,
                     .a = SILR_NOWHERE, .b = SILR_NOWHERE, .w = SILR_NOWHERE, .bias = SILR_NOWHERE};
    if (!m)
        return SILR_OK;
    s->out = m->dim[0];
    s->in = m->dim[1];
    s->lora = lora_of(t, l, s->part);
    if (s->lora.rank > 0) {
        if (s->lora.rank > s->in || s->lora.rank > s->out)
            return silr_fail(err, SILR_EINPUT, "LoRA of rank %zu is no smaller than the %zu x %zu matrix "
                             "(%s of layer %zu): lower the rank", s->lora.rank, s->out, s->in,
                             name_of(s->part), l);
        if ((st = add(t, s->part, l, SILR_TUNED_LORA_A, s->lora.rank, s->in, &s->a, err)) == SILR_OK)
            st = add(t, s->part, l, SILR_TUNED_LORA_B, s->out, s->lora.rank, &s->b, err);
        t->widest = s->in > t->widest ? s->in : t->widest;
        t->rank = s->lora.rank > t->rank ? s->lora.rank : t->rank;
    } else if (t->opts.matrices) {
        if ((st = add(t, s->part, l, SILR_TUNED_WEIGHT, s->out, s->in, &s->w, err)) == SILR_OK &&
            silr_weights_part(w, s->part, l, true))
            st = add(t, s->part, l, SILR_TUNED_BIAS, 1, s->out, &s->bias, err);
    }
    if (t->n_params > 0 && t->lowest > l)
        t->lowest = l;
    return st;
}

static silr_status add_layer(silr_tune *t, size_t l, silr_error *err)
{
    const silr_model_spec *s = t->e->spec;
    silr_status st = SILR_OK;
    size_t at = 0;

    for (size_t i = 0; st == SILR_OK && i < SILR_SLOTS; i++) {
        if (i > 0 && matrices[i].group != matrices[i - 1].group)
            at = 0;
        st = add_slot(t, l, i, at, err);
        at += t->slot[l * SILR_SLOTS + i].out;
    }
    for (size_t i = 0; st == SILR_OK && i < NORMS; i++) {
        const bool heads = norms[i] == SILR_PART_Q_NORM || norms[i] == SILR_PART_K_NORM;
        st = add_norm(t, norms[i], l, layer_norm_of(&t->layers[l], norms[i]),
                      heads ? s->head_dim : s->hidden, err);
    }
    if (t->opts.norms && t->lowest > l)
        t->lowest = l;
    return st;
}

static silr_status make_table(silr_tune *t, silr_error *err)
{
    const silr_model_spec *s = t->e->spec;
    silr_status st = SILR_OK;

    t->at_tokens = t->at_positions = SILR_NOWHERE;
    t->lowest = s->layers;
    if (t->opts.embeddings) {
        st = add(t, SILR_PART_TOKENS, 0, SILR_TUNED_WEIGHT, s->vocab, s->hidden, &t->at_tokens, err);
        if (st == SILR_OK && t->e->positions)
            st = add(t, SILR_PART_POSITIONS, 0, SILR_TUNED_WEIGHT, s->positions + s->position_offset,
                     s->hidden, &t->at_positions, err);
    }
    if (st == SILR_OK)
        st = add_norm(t, SILR_PART_EMBEDDING_NORM, 0, &t->embedding, s->hidden, err);
    if ((t->below = t->n_params > 0))
        t->lowest = 0;
    for (size_t l = 0; st == SILR_OK && l < s->layers; l++)
        st = add_layer(t, l, err);
    if (st == SILR_OK)
        st = add_norm(t, SILR_PART_OUTPUT_NORM, 0, &t->final, s->hidden, err);
    if (st == SILR_OK)
        st = add(t, SILR_PARTS, 0, SILR_TUNED_WEIGHT, t->opts.columns, s->hidden, &t->head, err);
    t->head_bias = SILR_NOWHERE;
    if (st == SILR_OK && t->opts.head_bias)
        st = add(t, SILR_PARTS, 0, SILR_TUNED_BIAS, 1, t->opts.columns, &t->head_bias, err);
    return st;
}

/* --- what it starts from ---------------------------------------------------------------------------- */

static const norm *norm_in(const silr_engine *e, const silr_tuned *p)
{
    if (p->part == SILR_PART_EMBEDDING_NORM)
        return &e->embedding;
    return p->part == SILR_PART_OUTPUT_NORM ? &e->final : layer_norm_of(&e->layers[p->layer], p->part);
}

static bool is_norm(silr_part part)
{
    for (size_t i = 0; i < NORMS; i++)
        if (norms[i] == part)
            return true;
    return part == SILR_PART_EMBEDDING_NORM || part == SILR_PART_OUTPUT_NORM;
}

/* One entry as the model has it; what the model does not have is 0. */
static void fill(silr_tune *t, const silr_tuned *p)
{
    const silr_engine *e = t->e;
    const size_t n = p->rows * p->columns;
    float *to = t->params + p->offset;

    if (p->part == SILR_PARTS || p->what == SILR_TUNED_LORA_A || p->what == SILR_TUNED_LORA_B) {
        memset(to, 0, n * sizeof *to);
    } else if (is_norm(p->part)) {
        const norm *from = norm_in(e, p);
        memcpy(to, p->what == SILR_TUNED_BIAS ? from->bias : from->weight, n * sizeof *to);
    } else if (p->part == SILR_PART_POSITIONS) {
        memcpy(to, e->positions, n * sizeof *to);
    } else {
        const bool bias = p->what == SILR_TUNED_BIAS;
        silr_tensor_rows(silr_weights_part(e->weights, p->part, p->layer, bias), 0, bias ? 1 : p->rows, to);
    }
}

/* Whatever reads trained norms and embeddings reads them in the block. */
static void point(silr_tune *t)
{
    for (size_t i = 0; i < t->n_table; i++) {
        const silr_tuned *p = &t->table[i];
        norm *n = !is_norm(p->part) ? NULL
                  : p->part == SILR_PART_EMBEDDING_NORM ? &t->embedding
                  : p->part == SILR_PART_OUTPUT_NORM ? &t->final
                                                     : layer_norm_of(&t->layers[p->layer], p->part);
        if (n)
            *(p->what == SILR_TUNED_BIAS ? &n->bias : &n->weight) = t->params + p->offset;
    }
    if (t->at_tokens != SILR_NOWHERE)
        t->tokens = (silr_tensor){.name = "tokens", .type = SILR_TYPE_F32, .n_dims = 2,
                                  .dim = {t->e->spec->vocab, t->e->spec->hidden},
                                  .data = t->params + t->at_tokens,
                                  .bytes = t->e->spec->vocab * t->e->spec->hidden * sizeof(float)};
    if (t->at_positions != SILR_NOWHERE)
        t->positions = t->params + t->at_positions;
}

void silr_tune_draw(silr_tune *t, uint64_t seed)
{
    for (size_t i = 0; i < t->n_table; i++) {
        const silr_tuned *p = &t->table[i];
        float *to = t->params + p->offset;
        const double bound = 1 / sqrt((double)p->columns);
        silr_rng r;
        fill(t, p);
        silr_rng_init(&r, seed, SILR_RNG_INIT, 0, i);
        for (size_t k = 0; p->what == SILR_TUNED_LORA_A && k < p->rows * p->columns; k++)
            to[k] = (float)((2 * silr_rng_double(&r) - 1) * bound);
        for (size_t k = 0; p->part == SILR_PARTS && p->what == SILR_TUNED_WEIGHT && k < p->rows * p->columns; k++)
            to[k] = (float)(0.02 * silr_rng_normal(&r));
    }
}

/* --- the door ---------------------------------------------------------------------------------------- */

static silr_status check(const silr_tune *t, silr_error *err)
{
    const silr_tune_opts *o = &t->opts;

    if (o->columns == 0)
        return silr_fail(err, SILR_EINPUT, "a classifier needs at least one score a text");
    if (o->matrices && (o->targets || o->each))
        return silr_fail(err, SILR_EINPUT, "matrices are trained themselves or by LoRA, not both");
    if (!(o->dropout >= 0 && o->dropout < 1))
        return silr_fail(err, SILR_EINPUT, "dropout must be at least 0 and below 1");
    return SILR_OK;
}

static silr_status ready_back(silr_tune *t, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t l = t->lowest; !t->opts.matrices && l < t->e->spec->layers; l++) {
        const layer *y = &t->e->layers[l];
        silr_linear *const w[] = {y->qkv, y->out, y->up, y->down};
        for (size_t i = 0; st == SILR_OK && i < 4; i++)
            st = t->e->ops->linear_ready_back(w[i], err);
    }
    return st;
}

static silr_pooling pooling_of(const silr_model_spec *s, const silr_tune_opts *o)
{
    if (o->pooling != SILR_POOL_NONE)
        return o->pooling;
    if (s->causal)
        return SILR_POOL_LAST;
    return s->pooling != SILR_POOL_NONE ? s->pooling : SILR_POOL_MEAN;
}

silr_status silr_tune_new(silr_tune **out, silr_engine *e, const silr_tune_opts *opts, silr_error *err)
{
    const size_t layers = e->spec->layers;
    silr_tune *t = silr_calloc(1, sizeof *t);
    silr_status st = SILR_OK;

    *out = NULL;
    if (!t)
        return silr_fail_memory(err);
    *t = (silr_tune){.e = e, .opts = *opts, .pooling = pooling_of(e->spec, opts),
                     .embedding = e->embedding, .final = e->final};
    t->whole = opts->memory > 0 ? opts->memory : ENOUGH;
    if (t->opts.memory == 0) {
        t->opts.memory = silr_free_memory() / 2 / (opts->sharers ? opts->sharers : 1);
        t->opts.memory = t->opts.memory < ENOUGH ? t->opts.memory : ENOUGH;
    }
    if (!(t->layers = silr_alloc(layers, sizeof *t->layers)) ||
        !(t->slot = silr_calloc(layers * SILR_SLOTS, sizeof *t->slot)) ||
        !(t->kept = silr_calloc(layers, sizeof *t->kept))) {
        st = silr_fail_memory(err);
        goto done;
    }
    memcpy(t->layers, e->layers, layers * sizeof *t->layers);
    if ((st = check(t, err)) != SILR_OK || (st = make_table(t, err)) != SILR_OK)
        goto done;
    t->opts.each = NULL; /* borrowed; all of it is in the slots */
    if (!(t->params = silr_alloc_aligned(t->n_params, sizeof(float))) ||
        (opts->train && !(t->grad = silr_alloc_aligned(t->n_params, sizeof(float))))) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < t->n_table; i++)
        fill(t, &t->table[i]);
    point(t);
    if (opts->train && (st = ready_back(t, err)) != SILR_OK)
        goto done;
    *out = t;
    t = NULL;
done:
    silr_tune_free(t);
    return st;
}

void silr_tune_free(silr_tune *t)
{
    if (!t)
        return;
    silr_tune_forget(t);
    silr_free(t->layers);
    silr_free(t->slot);
    silr_free(t->kept);
    silr_free(t->table);
    silr_free(t->params);
    silr_free(t->grad);
    silr_free(t);
}

float *silr_tune_params(silr_tune *t, size_t *n)
{
    *n = t->n_params;
    return t->params;
}

float *silr_tune_gradient(silr_tune *t)
{
    return t->grad;
}

const silr_tuned *silr_tune_table(const silr_tune *t, size_t *n)
{
    *n = t->n_table;
    return t->table;
}

const silr_engine *silr_tune_engine(const silr_tune *t)
{
    return t->e;
}

silr_pooling silr_tune_pooling(const silr_tune *t)
{
    return t->pooling;
}

double silr_tune_scale(const silr_tune *t, size_t l, silr_part part)
{
    for (size_t i = 0; i < SILR_SLOTS; i++)
        if (matrices[i].part == part)
            return t->slot[l * SILR_SLOTS + i].lora.scale;
    return 0;
}
