/* engine.c - a model file becomes a loaded model: matrices as the backend wants them, norms and
 * position tables as floats. Nothing of it changes afterwards. */
#include "engine/inside.h"
#include "formats/nf4.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 1024 };

/* --- loading ---------------------------------------------------------------------------------- */

static silr_status floats_of(float **out, const silr_tensor *t, silr_error *err)
{
    size_t n = 1;

    *out = NULL;
    if (!t)
        return SILR_OK;
    for (int d = 0; d < t->n_dims; d++)
        n *= t->dim[d]; /* checked when the file was opened */
    if (!(*out = silr_alloc_aligned(n, sizeof(float))))
        return silr_fail_memory(err);
    silr_tensor_rows(t, 0, t->n_dims > 1 ? t->dim[0] : 1, *out);
    return SILR_OK;
}

static silr_status load_norm(const silr_engine *e, norm *out, silr_part part, size_t l,
                             silr_error *err)
{
    silr_status st = floats_of(&out->weight, silr_weights_part(e->weights, part, l, false), err);

    return st != SILR_OK
               ? st : floats_of(&out->bias, silr_weights_part(e->weights, part, l, true), err);
}

static silr_status load_linear(const silr_engine *e, silr_linear **out, const silr_part *part,
                               size_t n, size_t l, silr_error *err)
{
    const silr_tensor *weight[3], *bias[3];

    for (size_t i = 0; i < n; i++) {
        weight[i] = silr_weights_part(e->weights, part[i], l, false);
        bias[i] = silr_weights_part(e->weights, part[i], l, true);
    }
    return e->ops->linear_new(out, weight, bias, n, e->keep, err);
}

static silr_status load_layer(const silr_engine *e, layer *y, size_t l, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const struct {
        norm *to;
        silr_part part;
    } norms[] = {{&y->attention, SILR_PART_ATTENTION_NORM}, {&y->mlp, SILR_PART_MLP_NORM},
                 {&y->attention_post, SILR_PART_ATTENTION_POST_NORM},
                 {&y->mlp_post, SILR_PART_MLP_POST_NORM},
                 {&y->q, SILR_PART_Q_NORM}, {&y->k, SILR_PART_K_NORM}};
    const silr_part qkv[] = {SILR_PART_Q, SILR_PART_K, SILR_PART_V}, out[] = {SILR_PART_O},
                    up[] = {SILR_PART_GATE, SILR_PART_UP}, down[] = {SILR_PART_DOWN};
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < sizeof norms / sizeof *norms; i++)
        st = load_norm(e, norms[i].to, norms[i].part, l, err);
    if (st == SILR_OK)
        st = load_linear(e, &y->qkv, qkv, 3, l, err);
    if (st == SILR_OK)
        st = load_linear(e, &y->out, out, 1, l, err);
    if (st == SILR_OK)
        st = load_linear(e, &y->up, s->gated ? up : up + 1, s->gated ? 2 : 1, l, err);
    if (st == SILR_OK)
        st = load_linear(e, &y->down, down, 1, l, err);
    if (s->window > 0 && (s->window_period == 0 || (l + 1) % s->window_period != 0)) {
        y->window = s->window;
        y->local_rope = true;
    }
    return st;
}

static silr_status load_positions(silr_engine *e, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    float *type = NULL, *factors = NULL;
    silr_status st = SILR_OK;

    if (!s->rope) {
        st = floats_of(&e->positions, silr_weights_part(e->weights, SILR_PART_POSITIONS, 0, false), err);
        if (st == SILR_OK && s->types > 0)
            st = floats_of(&type, silr_weights_part(e->weights, SILR_PART_TYPES, 0, false), err);
        for (size_t p = 0; st == SILR_OK && type && e->positions && p < s->positions + s->position_offset; p++)
            for (size_t i = 0; i < s->hidden; i++)
                e->positions[p * s->hidden + i] += type[i];
    } else {
        st = floats_of(&factors, silr_weights_part(e->weights, SILR_PART_ROPE_FACTORS, 0, false), err);
        for (int local = 0; st == SILR_OK && local < 2; local++) {
            if (!(e->turns[local] = silr_alloc(s->rope_dims / 2 + 1, sizeof(float))))
                st = silr_fail_memory(err);
            else
                silr_rope_turns(s, factors, local, e->turns[local]);
        }
    }
    silr_free(type);
    silr_free(factors);
    return st;
}

static silr_status load_all(silr_engine *e, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    silr_status st;

    if (!(e->layers = silr_calloc(s->layers, sizeof *e->layers)))
        return silr_fail_memory(err);
    if ((st = load_positions(e, err)) != SILR_OK ||
        (st = load_norm(e, &e->embedding, SILR_PART_EMBEDDING_NORM, 0, err)) != SILR_OK ||
        (st = load_norm(e, &e->final, SILR_PART_OUTPUT_NORM, 0, err)) != SILR_OK)
        return st;
    for (size_t l = 0; st == SILR_OK && l < s->layers; l++)
        st = silr_cancelled() ? silr_fail(err, SILR_ECANCEL, "stopped while a model was loaded")
                              : load_layer(e, &e->layers[l], l, err);
    if (st == SILR_OK && s->causal) {
        const silr_tensor *own = silr_weights_part(e->weights, SILR_PART_OUTPUT, 0, false);
        const silr_tensor *none = NULL;
        e->output_table = own ? own : silr_weights_part(e->weights, SILR_PART_TOKENS, 0, false);
        st = e->ops->linear_new(&e->output, &e->output_table, &none, 1, SILR_KEEP_AS_FILED, err);
    }
    return st == SILR_OK ? silr_weights_intact(e->weights, err) : st;
}

/* --- memory ----------------------------------------------------------------------------------- */

size_t silr_engine_values(const silr_model_spec *s)
{
    const size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;

    return s->layers * s->hidden * (2 * q + 2 * kv + (s->gated ? 3 : 2) * s->mlp);
}

size_t silr_free_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    const char *const key = "MemAvailable:";
    size_t kib = SIZE_MAX / 1024;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtoul(line + strlen(key), NULL, 10);
            break;
        }
    if (f)
        fclose(f);
    return kib < SIZE_MAX / 1024 ? kib * 1024 : SIZE_MAX;
}

static silr_keep keep_how(const silr_model_spec *s, const silr_engine_opts *o)
{
    switch (o->keep) {
    case SILR_WEIGHTS_F32: return SILR_KEEP_FAST;
    case SILR_WEIGHTS_AS_FILED: return SILR_KEEP_AS_FILED;
    case SILR_WEIGHTS_NF4: return SILR_KEEP_NF4;
    case SILR_WEIGHTS_AUTO: break;
    }
    return silr_engine_values(s) * sizeof(float) <= silr_free_memory() / 2 ? SILR_KEEP_FAST : SILR_KEEP_AS_FILED;
}

static size_t tile_of(const silr_engine_opts *o)
{
    return o->tile > 0 ? o->tile : TILE;
}

silr_status silr_engine_estimate(const silr_weights *w, const silr_engine_opts *opts,
                                 size_t longest, size_t *weights, size_t *work, silr_error *err)
{
    const silr_engine_opts none = {0};
    const silr_engine_opts *o = opts ? opts : &none;
    const silr_model_spec *s = silr_weights_spec(w);
    const size_t tile = tile_of(o), rows = longest > tile ? longest : tile;

    (void)err;
    *weights = 0;
    for (size_t i = 0; i < silr_weights_count(w); i++)
        *weights += silr_weights_at(w, i)->bytes;
    if (keep_how(s, o) == SILR_KEEP_FAST)
        *weights += silr_engine_values(s) * sizeof(float);
    if (keep_how(s, o) == SILR_KEEP_NF4)
        *weights += silr_nf4_bytes_of(silr_engine_values(s));
    *work = silr_room_bytes(s, rows, rows, s->rope ? rows : 0);
    return SILR_OK;
}

/* --- the door --------------------------------------------------------------------------------- */

silr_status silr_engine_open(silr_engine **out, const char *path, const silr_engine_opts *opts,
                             silr_error *err)
{
    const silr_engine_opts none = {0};
    const silr_engine_opts *o = opts ? opts : &none;
    silr_engine *e = silr_calloc(1, sizeof *e);
    silr_status st;

    *out = NULL;
    if (!e)
        return silr_fail_memory(err);
    if ((st = silr_weights_open(&e->weights, path, err)) != SILR_OK ||
        (!o->bare && (st = silr_tokenizer_open(&e->tokenizer, path, err)) != SILR_OK))
        goto done;
    e->spec = silr_weights_spec(e->weights);
    e->ops = o->plain ? &silr_ops_plain : silr_ops_cpu();
    e->keep = keep_how(e->spec, o);
    e->tile = tile_of(o);
    if (e->tokenizer && silr_tokenizer_vocab(e->tokenizer) > e->spec->vocab) {
        st = silr_fail(err, SILR_EINPUT,
                       "%s: the tokenizer knows %zu tokens, but the model only %zu: they do not "
                       "belong together", path, silr_tokenizer_vocab(e->tokenizer), e->spec->vocab);
        goto done;
    }
    if ((st = load_all(e, err)) != SILR_OK) {
        if (st == SILR_ENOMEM)
            silr_fail(err, SILR_ENOMEM,
                      "%s: not enough memory for the model's weights (set weights: as-filed, or take "
                      "a smaller or a quantised model)", path);
        goto done;
    }
    *out = e;
    e = NULL;
done:
    silr_engine_free(e);
    return st;
}

static void norm_clear(norm *n)
{
    silr_free(n->weight);
    silr_free(n->bias);
}

void silr_engine_free(silr_engine *e)
{
    if (!e)
        return;
    for (size_t l = 0; e->layers && l < e->spec->layers; l++) {
        layer *y = &e->layers[l];
        silr_linear *w[] = {y->qkv, y->out, y->up, y->down};
        norm *n[] = {&y->attention, &y->attention_post, &y->mlp, &y->mlp_post, &y->q, &y->k};
        for (size_t i = 0; i < 4; i++)
            if (w[i])
                e->ops->linear_free(w[i]);
        for (size_t i = 0; i < 6; i++)
            norm_clear(n[i]);
    }
    if (e->output)
        e->ops->linear_free(e->output);
    silr_free(e->layers);
    norm_clear(&e->embedding);
    norm_clear(&e->final);
    silr_free(e->positions);
    silr_free(e->turns[0]);
    silr_free(e->turns[1]);
    silr_tokenizer_free(e->tokenizer);
    silr_weights_free(e->weights);
    silr_free(e);
}

const silr_model_spec *silr_engine_spec(const silr_engine *e)
{
    return e->spec;
}

const silr_tokenizer *silr_engine_tokenizer(const silr_engine *e)
{
    return e->tokenizer;
}

const silr_weights *silr_engine_weights(const silr_engine *e)
{
    return e->weights;
}

size_t silr_engine_dim(const silr_engine *e)
{
    return e->spec->hidden;
}

size_t silr_engine_max_tokens(const silr_engine *e)
{
    const silr_model_spec *s = e->spec;

    return s->max_tokens > 0 && s->max_tokens < s->positions ? s->max_tokens : s->positions;
}

bool silr_engine_kept_fast(const silr_engine *e)
{
    return e->keep == SILR_KEEP_FAST;
}

/* --- what the calls share ----------------------------------------------------------------------- */

silr_status silr_texts_check(const silr_engine *e, const uint32_t *ids, const size_t *start, size_t n,
                             size_t n_before, size_t *longest, silr_error *err)
{
    *longest = 0;
    for (size_t t = 0; t < n; t++) {
        const size_t len = start[t + 1] - start[t];
        if (start[t + 1] <= start[t])
            return silr_fail(err, SILR_EINPUT, "text %zu of the call has no tokens", t);
        if (len > e->spec->positions || n_before > e->spec->positions - len)
            return silr_fail(err, SILR_EINPUT,
                             "a text of %zu tokens behind %zu others is longer than the model's %zu: "
                             "cut the texts", len, n_before, e->spec->positions);
        if (len > *longest)
            *longest = len;
    }
    for (size_t i = n > 0 ? start[0] : 0; n > 0 && i < start[n]; i++)
        if (ids[i] >= e->spec->vocab)
            return silr_fail(err, SILR_EINPUT, "token %u is not in the model's vocabulary of %zu",
                             ids[i], e->spec->vocab);
    return SILR_OK;
}

size_t silr_group_end(const silr_engine *e, const size_t *start, size_t n, size_t t, size_t extra)
{
    size_t end = t + 1;

    while (end < n && start[end + 1] - start[t] + (end + 1 - t) * extra <= e->tile)
        end++;
    return end;
}

void silr_groups_most(const silr_engine *e, const size_t *start, size_t n, size_t extra,
                      size_t *tokens, size_t *texts)
{
    *tokens = *texts = 1;
    for (size_t t = 0, end; t < n; t = end) {
        end = silr_group_end(e, start, n, t, extra);
        if (start[end] - start[t] > *tokens)
            *tokens = start[end] - start[t];
        if (end - t > *texts)
            *texts = end - t;
    }
}

silr_status silr_logits(const silr_engine *e, const float *x, size_t n, float *out, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    silr_status st = e->ops->linear(e->output, x, n, s->hidden, out, s->vocab, false, err);

    if (st == SILR_OK && s->logit_cap > 0)
        for (size_t i = 0; i < n * s->vocab; i++)
            out[i] = (float)(s->logit_cap * tanh((double)out[i] / s->logit_cap));
    return st;
}
