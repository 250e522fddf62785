/* qlora.c - classifier `qlora` (method.md A3): a 4-bit language model with LoRA factors and an affine
 * head on the state of a text's last token, trained with AdamW.
 *
 * The base is one; a member is a set of trained parameters, which are few. So members take turns: the
 * engine's block holds one of them, the others wait beside it. Each is a fresh start from the
 * base (reset), with its own step count and moments while it is trained.
 *
 * The work on a batch is done by a tuner, or by one on each rank (qlora_crew.h). Dropout is drawn by (seed,
 * iteration, member, step), text and place, whoever does it and in how many parts. */
#include "classify/qlora.h"
#include "classify/qlora_crew.h"

#include <string.h>

#define NOBODY SIZE_MAX

typedef struct {
    silr_classifier base;
    silr_tuner tuner;
    silr_qlora_crew *crew; /* NULL: there are no other ranks */
    enum { NOTHING, PARAMS, ALL } unsent; /* that the crew does not have: parameters; moments too */
    silr_qlora_data saved;
    double dropout;
    uint32_t *ids; /* of all texts, one behind the other */
    size_t *start, n_docs;

    float *own;      /* [members][n_params] */
    size_t present;  /* whose parameters the engine's block holds */
    size_t focus;    /* SILR_ALL_MEMBERS, or the only one there is */
    silr_adam adam;
    uint64_t seed;
    /* Of the member in training. */
    size_t trained;  /* NOBODY: none yet */
    uint64_t t;      /* its steps */
    float *kept;     /* snapshot */
    size_t kept_of;

    silr_tokens batch; /* tokens of the last forward's texts */
    size_t *begin, begin_cap, n_batch;
    silr_param *table;
} qlora;

static qlora *self(silr_classifier *c)
{
    return (qlora *)(void *)c;
}

/* --- members ----------------------------------------------------------------------------------------- */

/* The engine's parameters are others than the last step left. */
static void changed(qlora *q)
{
    q->unsent = q->unsent == ALL ? ALL : PARAMS;
}

/* Puts a member's parameters where the engine reads them. */
static void take_turn(qlora *q, size_t member)
{
    const size_t n = q->base.n_params;

    if (q->present == member)
        return;
    if (q->present != NOBODY)
        memcpy(q->own + q->present * n, q->base.params, n * sizeof *q->own);
    memcpy(q->base.params, q->own + member * n, n * sizeof *q->own);
    q->present = member;
    changed(q);
}

static size_t count(const qlora *q)
{
    return q->focus == SILR_ALL_MEMBERS ? q->base.members : 1;
}

static size_t member_at(const qlora *q, size_t i)
{
    return q->focus == SILR_ALL_MEMBERS ? i : q->focus;
}

static silr_status qlora_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed,
                               size_t members, silr_error *err)
{
    qlora *q = self(c);
    const size_t n = c->n_params;
    size_t all;

    SILR_ASSERT(members >= 1 && members <= c->max_members);
    silr_free(q->own);
    q->own = NULL;
    q->present = q->trained = q->kept_of = NOBODY;
    q->focus = SILR_ALL_MEMBERS;
    q->unsent = PARAMS;
    q->adam = *adam;
    q->seed = seed;
    silr_tuner_drop_gradient(&q->tuner); /* of a training that was stopped */
    c->members = members;
    if (!silr_mul(n, members, &all) || !(q->own = silr_alloc_aligned(all, sizeof *q->own)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < members; i++) {
        const uint64_t what[2] = {seed, i};
        silr_tune_draw(q->tuner.scorer.tune, silr_hash64(what, sizeof what, SILR_RNG_INIT));
        memcpy(q->own + i * n, c->params, n * sizeof *q->own);
    }
    return SILR_OK;
}

static silr_status qlora_focus(silr_classifier *c, size_t member, silr_error *err)
{
    qlora *q = self(c);

    (void)err;
    SILR_ASSERT(member == SILR_ALL_MEMBERS || member < c->members);
    q->focus = member;
    return SILR_OK;
}

/* --- texts to scores ------------------------------------------------------------------------------------ */

/* The texts' tokens, one behind the other. */
static silr_status gather(qlora *q, const uint32_t *docs, size_t n, silr_error *err)
{
    size_t need = 0;

    if (!silr_grow(&q->begin, &q->begin_cap, n + 1, sizeof *q->begin))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        need += q->start[docs[i] + 1] - q->start[docs[i]];
    if (!silr_grow(&q->batch.id, &q->batch.cap, need + 1, sizeof *q->batch.id))
        return silr_fail_memory(err);
    q->batch.n = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t from = q->start[docs[i]], len = q->start[docs[i] + 1] - from;
        q->begin[i] = q->batch.n;
        memcpy(q->batch.id + q->batch.n, q->ids + from, len * sizeof *q->ids);
        q->batch.n += len;
    }
    q->begin[n] = q->batch.n;
    q->n_batch = n;
    return SILR_OK;
}

/* What a step's dropout is drawn by. */
static uint64_t step_key(const qlora *q)
{
    const uint64_t what[3] = {q->seed, q->focus, q->trained == q->focus ? q->t : 0};

    return silr_hash64(what, sizeof what, SILR_RNG_DROPOUT);
}

/* The texts that were gathered. */
static silr_tune_batch texts_of(const qlora *q, const uint32_t *docs)
{
    return (silr_tune_batch){.ids = q->batch.id, .start = q->begin, .n = q->n_batch,
                             .number = q->base.training && q->dropout > 0 ? docs : NULL,
                             .key = step_key(q)};
}

/* All ranks compute with the same parameters. */
static silr_status in_step(qlora *q, silr_error *err)
{
    silr_status st;

    if (!q->crew || q->unsent == NOTHING)
        return SILR_OK;
    if ((st = silr_qlora_crew_share(q->crew, q->unsent == ALL, err)) == SILR_OK)
        q->unsent = NOTHING;
    return st;
}

static silr_status forward(qlora *q, const silr_tune_batch *b, float *out, silr_error *err)
{
    const silr_status st = in_step(q, err);

    if (st != SILR_OK)
        return st;
    return q->crew ? silr_qlora_crew_forward(q->crew, b, q->base.training, out, err)
                   : silr_tuner_forward(&q->tuner, b, q->base.training, out, err);
}

static silr_status qlora_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                                 silr_error *err)
{
    qlora *q = self(c);
    const size_t columns = (size_t)c->columns, width = count(q) * columns;
    float *out = width > columns ? silr_alloc(n + 1, columns * sizeof *out) : scores;
    silr_status st = out ? gather(q, docs, n, err) : silr_fail_memory(err);

    for (size_t i = 0; i < count(q) && st == SILR_OK; i++) {
        const silr_tune_batch b = texts_of(q, docs);
        take_turn(q, member_at(q, i));
        st = forward(q, &b, out, err);
        for (size_t r = 0; out != scores && r < n && st == SILR_OK; r++)
            memcpy(scores + r * width + i * columns, out + r * columns, columns * sizeof *out);
    }
    if (out != scores)
        silr_free(out);
    return st;
}

static silr_status qlora_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                                  const float *dscores, silr_error *err)
{
    qlora *q = self(c);
    const silr_tune_batch b = texts_of(q, docs);

    SILR_ASSERT(q->focus != SILR_ALL_MEMBERS && q->present == q->focus && c->training && n == b.n);
    return q->crew ? silr_qlora_crew_backward(q->crew, dscores, err)
                   : silr_tuner_backward(&q->tuner, &b, dscores, err);
}

/* The member in focus is the one that is trained: moments of another are of no use to it. */
static silr_status qlora_step(silr_classifier *c, double lr, silr_error *err)
{
    qlora *q = self(c);
    silr_status st = silr_tuner_moments(&q->tuner, err);

    if (st == SILR_OK && q->trained != q->focus) {
        q->trained = q->focus;
        q->t = 0;
    }
    if (st == SILR_OK)
        st = q->crew ? silr_qlora_crew_step(q->crew, &q->adam, lr, q->t, err)
                     : silr_tuner_step(&q->tuner, &q->adam, lr, q->t, err);
    q->t += st == SILR_OK;
    return st;
}

static silr_status qlora_snapshot(silr_classifier *c, size_t member, silr_error *err)
{
    qlora *q = self(c);

    take_turn(q, member_at(q, member));
    if (!q->kept && !(q->kept = silr_alloc_aligned(c->n_params, sizeof *q->kept)))
        return silr_fail_memory(err);
    memcpy(q->kept, c->params, c->n_params * sizeof *q->kept);
    q->kept_of = member_at(q, member);
    return SILR_OK;
}

static silr_status qlora_restore(silr_classifier *c, size_t member, silr_error *err)
{
    qlora *q = self(c);

    (void)err;
    SILR_ASSERT(q->kept_of == member_at(q, member));
    take_turn(q, q->kept_of);
    memcpy(c->params, q->kept, c->n_params * sizeof *q->kept);
    changed(q);
    return SILR_OK;
}

/* --- checkpoints ------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t members, n, t, trained, kept_of;
} state_head;

static silr_status qlora_state_get(silr_classifier *c, silr_buf *out, silr_error *err)
{
    qlora *q = self(c);
    const size_t n = c->n_params, one = n * sizeof *q->own;
    const state_head h = {c->members, n, q->t, q->trained, q->kept_of};

    if (q->present != NOBODY)
        memcpy(q->own + q->present * n, c->params, n * sizeof *q->own);
    silr_buf_reset(out);
    silr_buf_add(out, &h, sizeof h);
    silr_buf_add(out, q->own, c->members * n * sizeof *q->own);
    if (q->trained != NOBODY) {
        silr_buf_add(out, q->tuner.m, one);
        silr_buf_add(out, q->tuner.v, one);
    }
    if (q->kept_of != NOBODY)
        silr_buf_add(out, q->kept, n * sizeof *q->kept);
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status qlora_state_set(silr_classifier *c, const void *bytes, size_t len, silr_error *err)
{
    qlora *q = self(c);
    const size_t n = c->n_params, one = n * sizeof *q->own;
    const char *at = bytes;
    state_head h;
    silr_status st;

    if (len < sizeof h)
        return silr_fail(err, SILR_EINPUT, "the checkpoint is cut short");
    memcpy(&h, at, sizeof h);
    if (h.members != c->members || h.n != n ||
        (h.trained != NOBODY && h.trained >= c->members) || (h.kept_of != NOBODY && h.kept_of >= c->members) ||
        len != sizeof h + (c->members + (h.trained != NOBODY ? 2 : 0) + (h.kept_of != NOBODY)) * one)
        return silr_fail(err, SILR_EINPUT, "the checkpoint is of another model");
    at += sizeof h;
    if (h.trained != NOBODY && (st = silr_tuner_moments(&q->tuner, err)) != SILR_OK)
        return st;
    if (h.kept_of != NOBODY && !q->kept && !(q->kept = silr_alloc_aligned(n, sizeof *q->kept)))
        return silr_fail_memory(err);
    memcpy(q->own, at, c->members * one);
    at += c->members * one;
    q->present = NOBODY;
    q->trained = (size_t)h.trained;
    q->t = h.t;
    q->kept_of = (size_t)h.kept_of;
    q->unsent = h.trained != NOBODY ? ALL : PARAMS;
    if (h.trained != NOBODY) {
        memcpy(q->tuner.m, at, one);
        memcpy(q->tuner.v, at + one, one);
        at += 2 * one;
    }
    if (h.kept_of != NOBODY)
        memcpy(q->kept, at, one);
    return SILR_OK;
}

/* --- on disk ------------------------------------------------------------------------------------------------- */

static silr_status qlora_save(silr_classifier *c, const char *dir, const double *A, const double *b,
                              double blends, silr_error *err)
{
    qlora *q = self(c);
    const size_t columns = (size_t)c->columns;
    silr_qlora_data out = q->saved;
    silr_status st = SILR_OK;

    SILR_ASSERT(blends > 0);
    take_turn(q, 0);
    out.A = silr_alloc(columns * columns, sizeof *out.A);
    out.b = silr_alloc(columns, sizeof *out.b);
    if (!out.A || !out.b)
        st = silr_fail_memory(err);
    for (size_t i = 0; i < columns * columns && st == SILR_OK; i++)
        out.A[i] = A[i] / blends;
    if (st == SILR_OK) {
        memcpy(out.b, b, columns * sizeof *out.b);
        st = silr_qlora_write(&out, q->tuner.scorer.tune, q->dropout, dir, err);
    }
    silr_free(out.A);
    silr_free(out.b);
    return st;
}

/* --- making one ------------------------------------------------------------------------------------------------ */

static void qlora_free(silr_classifier *c)
{
    qlora *q = self(c);

    silr_qlora_crew_free(q->crew);
    silr_tuner_clear(&q->tuner);
    silr_qlora_clear(&q->saved);
    silr_free(q->ids);
    silr_free(q->start);
    silr_free(q->own);
    silr_free(q->kept);
    silr_tokens_clear(&q->batch);
    silr_free(q->begin);
    silr_free(q->table);
    silr_free(q);
}

static silr_status tokenise(qlora *q, silr_text_get get, const void *ctx, size_t n, silr_error *err)
{
    silr_tokens ids = {0};
    silr_status st = SILR_OK;

    if (!(q->start = silr_alloc(n + 1, sizeof *q->start)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        size_t len;
        const char *text = get(ctx, i, &len);
        q->start[i] = ids.n;
        st = silr_cancelled() ? silr_fail(err, SILR_ECANCEL, "stopped while texts were cut into tokens")
                              : silr_scorer_tokens(&q->tuner.scorer, text, len, &ids, err);
    }
    q->start[n] = ids.n;
    q->ids = ids.id; /* on failure too: it is ours to free */
    q->n_docs = n;
    return st;
}

static silr_status describe(qlora *q, const silr_scorer_opts *o, const silr_encoder_name *base, int K,
                            const char *const *classes, silr_error *err)
{
    silr_qlora_data *d = &q->saved;

    *d = (silr_qlora_data){.K = K, .columns = K == 2 ? 1 : K, .form = o->base,
                           .full = o->tune.matrices, .base = {.model = base->model}};
    d->base.opts = (silr_encoder_opts){.pooling = o->pooling, .max_tokens = q->tuner.scorer.longest};
    d->base.name = silr_strdup(base->name);
    d->base.place = silr_strdup(base->place);
    d->classes = silr_calloc((size_t)K, sizeof *d->classes);
    if (!d->base.name || !d->base.place || !d->classes)
        return silr_fail_memory(err);
    for (int k = 0; k < K; k++)
        if (!(d->classes[k] = silr_strdup(classes[k])))
            return silr_fail_memory(err);
    return SILR_OK;
}

/* The engine's block and its names, as a classifier shows them. */
static silr_status show(qlora *q, silr_error *err)
{
    size_t n;
    const silr_tuned *p = silr_tune_table(q->tuner.scorer.tune, &n);

    q->base.params = q->tuner.params;
    q->base.n_params = q->tuner.n_params;
    if (!(q->table = silr_calloc(n, sizeof *q->table)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        q->table[i] = (silr_param){.offset = p[i].offset, .count = p[i].rows * p[i].columns};
        memcpy(q->table[i].name, p[i].name, sizeof q->table[i].name);
    }
    q->base.table = q->table;
    q->base.n_table = n;
    return SILR_OK;
}

/* LoRA on matrices that the model does not have would train the head alone. */
static silr_status check_targets(const qlora *q, const silr_scorer_opts *o, silr_error *err)
{
    size_t n;
    const silr_tuned *p = silr_tune_table(q->tuner.scorer.tune, &n);

    for (size_t i = 0; i < n; i++)
        if (o->tune.matrices || p[i].what == SILR_TUNED_LORA_A)
            return SILR_OK;
    return silr_fail(err, SILR_EINPUT, "classifier.targets names no matrix that this model has: for example q, v");
}

/* What the parameters mean: the base, how it is used, what of it is trained, the texts. */
static uint64_t identity(const qlora *q, const silr_scorer_opts *o, const silr_encoder_name *base)
{
    const double real[] = {o->tune.lora.scale, o->tune.dropout};
    const uint64_t whole[] = {o->tune.lora.rank, o->tune.targets, o->tune.matrices, o->tune.norms, o->tune.embeddings,
                              o->tune.head_bias, o->base, o->pooling, q->tuner.scorer.longest, q->tuner.n_params};
    uint64_t h = silr_hash64(base->model.hex, 64, 1);

    h = silr_hash64(real, sizeof real, h);
    h = silr_hash64(whole, sizeof whole, h);
    h = silr_hash64(q->start, (q->n_docs + 1) * sizeof *q->start, h);
    return silr_hash64(q->ids, q->start[q->n_docs] * sizeof *q->ids, h);
}

silr_status silr_qlora_new(silr_classifier **out, const silr_scorer_opts *o,
                           const silr_encoder_name *base, int K, const char *const *classes,
                           silr_text_get get, const void *ctx, size_t n, silr_error *err)
{
    qlora *q = silr_calloc(1, sizeof *q);
    silr_scorer_opts mine = *o;
    silr_status st;

    *out = NULL;
    if (!q)
        return silr_fail_memory(err);
    q->present = q->trained = q->kept_of = NOBODY;
    q->focus = SILR_ALL_MEMBERS;
    q->dropout = o->tune.dropout;
    mine.tune.columns = K == 2 ? 1 : (size_t)K;
    mine.tune.sharers = (size_t)silr_dist_here();
    if ((st = silr_tuner_open(&q->tuner, base->place, &mine, err)) != SILR_OK ||
        (st = check_targets(q, o, err)) != SILR_OK || (st = describe(q, o, base, K, classes, err)) != SILR_OK ||
        (st = tokenise(q, get, ctx, n, err)) != SILR_OK)
        goto done;
    q->base = (silr_classifier){
        .kind = "qlora", .K = K, .columns = K == 2 ? 1 : K, .max_members = 256,
        .rate = {5e-4, 1e-4}, .reset = qlora_reset, .forward = qlora_forward,
        .backward = qlora_backward, .step = qlora_step, .snapshot = qlora_snapshot,
        .restore = qlora_restore, .focus = qlora_focus, .state_get = qlora_state_get,
        .state_set = qlora_state_set, .save = qlora_save, .free = qlora_free};
    q->base.identity = identity(q, o, base);
    if ((st = show(q, err)) != SILR_OK ||
        (silr_dist_size() > 1 &&
         (st = silr_qlora_crew_open(&q->crew, &q->tuner, base, &mine, err)) != SILR_OK))
        goto done;
    *out = &q->base;
    q = NULL;
done:
    if (q)
        qlora_free(&q->base);
    return st;
}
