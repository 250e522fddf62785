/* backward.c - from the derivative by the last states down through the layers.
 *
 * Each line of forward.c read from the end, with what it kept. In front of a norm or a residual the
 * derivative branches: into dx, which goes on along x, comes what the branch brings back.
 *
 *     pre-norm    dx += N2'(M'(dx))         dx += N1'(A'(dx))
 *     post-norm   dx = N2'(dx), dx += M'(dx)         dx = N1'(dx), dx += A'(dx)
 *
 * What is cheap to compute again is not kept: norms of x, the activation of the MLP; and, beyond what
 * memory holds, the inside of the MLP, and all of a layer but its x. */
#include "engine/inside.h"
#include <string.h>

/* What a pass down needs; [rows] wide enough for any layer. */
typedef struct {
    float *dh;   /* [rows][hidden] by what a branch took, and scratch */
    float *dqkv; /* [rows][(heads + 2 kv_heads) head_dim] */
    float *dmix; /* [rows][heads head_dim] */
    float *dmlp; /* [rows][mlp or 2 mlp] */
    float *dact; /* [rows][mlp] */
    float *dnorm;/* [rows][hidden, or head_dim] behind a norm that is gone through backwards */
    silr_attention_back *text;
} down;

static silr_status down_init(down *d, const silr_tune *t, silr_error *err)
{
    const silr_model_spec *s = t->e->spec;
    const size_t width[] = {s->hidden, silr_qkv_width(s), s->heads * s->head_dim, silr_mlp_width(s), s->mlp,
                            s->hidden > s->head_dim ? s->hidden : s->head_dim};

    *d = (down){0};
    float **const block[] = {&d->dh, &d->dqkv, &d->dmix, &d->dmlp, &d->dact, &d->dnorm};
    for (size_t b = 0; b < 6; b++) {
        size_t n;
        if (!silr_mul(t->rows, width[b], &n) || !(*block[b] = silr_alloc_aligned(n, sizeof(float))))
            return silr_fail_memory(err);
    }
    if (!(d->text = silr_alloc(t->texts, sizeof *d->text)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static void down_clear(down *d)
{
    float *block[] = {d->dh, d->dqkv, d->dmix, d->dmlp, d->dact, d->dnorm};

    for (size_t b = 0; b < 6; b++)
        silr_free(block[b]);
    silr_free(d->text);
}

/* Where the gradient of a weight of the block lies; NULL: it is not trained. */
static float *gradient_of(const silr_tune *t, const float *weight)
{
    return weight && weight >= t->params && weight < t->params + t->n_params
               ? t->grad + (weight - t->params) : NULL;
}

void silr_norm_back(const silr_tune *t, const norm *w, const float *x, size_t ldx, size_t n,
                      size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx)
{
    const silr_model_spec *s = t->e->spec;
    float *dw = gradient_of(t, w->weight), *db = gradient_of(t, w->bias);

    if (s->rms_norm)
        t->e->ops->rms_norm_back(x, ldx, w->weight, s->norm_plus_one ? 1.0f : 0.0f, s->norm_epsilon,
                                 n, dim, dy, lddy, dx, lddx, dw);
    else
        t->e->ops->layer_norm_back(x, ldx, w->weight, s->norm_epsilon, n, dim, dy, lddy, dx, lddx, dw,
                                   db);
}

/* dx = instead: the norm stands between x and what follows. */
static void through_norm(const silr_tune *t, const norm *w, const float *x, size_t n, float *dx,
                         float *scratch)
{
    const size_t dim = t->e->spec->hidden;

    memcpy(scratch, dx, n * dim * sizeof *dx);
    memset(dx, 0, n * dim * sizeof *dx);
    silr_norm_back(t, w, x, dim, n, dim, scratch, dim, dx, dim);
}

/* --- the MLP ---------------------------------------------------------------------------------------- */

/* dx[n] of what came out becomes that of what went in. */
static silr_status mlp_back(silr_tune *t, down *d, size_t l, const silr_kept *k, size_t n,
                            const uint64_t *row, float *dx, silr_error *err)
{
    const silr_engine *e = t->e;
    const silr_model_spec *s = e->spec;
    const layer *y = &t->layers[l];
    const size_t dim = s->hidden, width = silr_mlp_width(s);
    const float *up = s->gated ? k->mlp + s->mlp : NULL, *dm = dx;
    float *h = t->room.h;
    silr_status st;

    if (!s->pre_norm)
        through_norm(t, &y->mlp, k->sum, n, dx, d->dnorm);
    if (s->post_norms) {
        memset(d->dnorm, 0, n * dim * sizeof(float));
        silr_norm_back(t, &y->mlp_post, k->m, dim, n, dim, dx, dim, d->dnorm, dim);
        dm = d->dnorm;
    }
    e->ops->activate(s->activation, k->mlp, up, width, n, s->mlp, t->room.act, s->mlp);
    if ((st = silr_project_back(t, l, SILR_GROUP_DOWN, t->room.act, s->mlp, n, row, dm, dim, d->dact,
                                s->mlp, false, err)) != SILR_OK)
        return st;
    e->ops->activate_back(s->activation, k->mlp, up, width, n, s->mlp, d->dact, s->mlp, d->dmlp,
                          s->gated ? d->dmlp + s->mlp : NULL, width);
    silr_norm_rows(e, s->pre_norm ? &y->mlp : &y->attention, k->mid, dim, n, dim, h, dim);
    if (!s->pre_norm) /* x goes into the MLP as it is */
        return silr_project_back(t, l, SILR_GROUP_UP, h, dim, n, row, d->dmlp, width, dx, dim, true, err);
    if ((st = silr_project_back(t, l, SILR_GROUP_UP, h, dim, n, row, d->dmlp, width, d->dh, dim, false,
                                err)) == SILR_OK)
        silr_norm_back(t, &y->mlp, k->mid, dim, n, dim, d->dh, dim, dx, dim);
    return st;
}

/* --- attention -------------------------------------------------------------------------------------- */

/* dqkv from dmix: through the softmax, the turns, the norms of heads. */
static silr_status heads_back(silr_tune *t, down *d, size_t l, const silr_kept *k, bool only_last,
                              silr_error *err)
{
    const silr_engine *e = t->e;
    const silr_model_spec *s = e->spec;
    const layer *y = &t->layers[l];
    silr_room *r = &t->room;
    const size_t ld = silr_qkv_width(s), q_dim = s->heads * s->head_dim, hd = s->head_dim;
    const size_t qk = q_dim + s->kv_heads * hd, n = t->rows;
    const silr_attention a = silr_attention_of(e, l);
    const silr_attention_strides strides = silr_strides_of(e, false);
    const silr_pass *p = &t->pass;
    silr_status st;

    silr_describe_texts(e, r, p, l, k, only_last);
    if (only_last)
        memset(d->dqkv, 0, n * ld * sizeof(float)); /* queries that nobody asked */
    for (size_t i = 0; i < p->n_texts; i++) {
        const size_t row = p->start[i] - p->start[0], len = p->start[i + 1] - p->start[i];
        float *dk = d->dqkv + row * ld + q_dim;
        d->text[i] = (silr_attention_back){.dout = d->dmix + (only_last ? i : row) * q_dim,
                                           .dq = d->dqkv + (only_last ? row + len - 1 : row) * ld,
                                           .dk = dk, .dv = dk + s->kv_heads * hd};
    }
    if ((st = e->ops->attention_back(&a, &strides, r->text, d->text, p->n_texts, err)) != SILR_OK)
        return st;
    if (s->rope) {
        const float *table = t->unturn[y->local_rope ? 1 : 0];
        e->ops->rope(d->dqkv, ld, n, s->heads, hd, s->rope_dims, r->position, table, s->rope_interleaved);
        e->ops->rope(d->dqkv + q_dim, ld, n, s->kv_heads, hd, s->rope_dims, r->position, table,
                     s->rope_interleaved);
    }
    for (size_t h = 0; k->raw && h < s->heads + s->kv_heads; h++) {
        const norm *w = h < s->heads ? &y->q : &y->k;
        float *dy = d->dqkv + h * hd;
        if (!w->weight)
            continue;
        for (size_t i = 0; i < n; i++) {
            memcpy(d->dnorm + i * hd, dy + i * ld, hd * sizeof(float));
            memset(dy + i * ld, 0, hd * sizeof(float));
        }
        silr_norm_back(t, w, k->raw + h * hd, qk, n, hd, d->dnorm, hd, dy, ld);
    }
    return SILR_OK;
}

/* Puts the rows of last tokens where they are among all, zeros elsewhere. */
static void spread(const silr_pass *p, float *dx, size_t dim)
{
    for (size_t t = p->n_texts; t-- > 0;) /* rows only move towards the end */
        memmove(dx + (p->start[t + 1] - p->start[0] - 1) * dim, dx + t * dim, dim * sizeof *dx);
    for (size_t t = 0; t < p->n_texts; t++)
        memset(dx + (p->start[t] - p->start[0]) * dim, 0,
               (p->start[t + 1] - p->start[t] - 1) * dim * sizeof *dx);
}

/* Is the derivative by what layer l took in of use to anybody? */
static bool wanted_below(const silr_tune *t, size_t l)
{
    return l > t->lowest || t->below || t->opts.norms;
}

static silr_status attention_back(silr_tune *t, down *d, size_t l, const silr_kept *k, size_t n,
                                  const uint64_t *row, float *dx, silr_error *err)
{
    const silr_engine *e = t->e;
    const silr_model_spec *s = e->spec;
    const layer *y = &t->layers[l];
    const size_t dim = s->hidden, ld = silr_qkv_width(s), q_dim = s->heads * s->head_dim;
    const bool only_last = silr_only_last(&t->pass, l);
    const float *dout = dx;
    float *h = t->room.h;
    silr_status st;

    if (!s->pre_norm)
        through_norm(t, &y->attention, k->mid, n, dx, d->dnorm);
    if (s->post_norms) {
        memset(d->dnorm, 0, n * dim * sizeof(float));
        silr_norm_back(t, &y->attention_post, k->o, dim, n, dim, dx, dim, d->dnorm, dim);
        dout = d->dnorm;
    }
    if ((st = silr_project_back(t, l, SILR_GROUP_OUT, k->mix, q_dim, n, row, dout, dim, d->dmix, q_dim,
                                false, err)) != SILR_OK ||
        (st = heads_back(t, d, l, k, only_last, err)) != SILR_OK)
        return st;
    if (only_last)
        spread(&t->pass, dx, dim);
    n = t->rows;
    if (!s->pre_norm)
        return silr_project_back(t, l, SILR_GROUP_QKV, k->x, dim, n, t->room.row, d->dqkv, ld, dx, dim,
                                 true, err);
    silr_norm_rows(e, &y->attention, k->x, dim, n, dim, h, dim);
    if (!wanted_below(t, l))
        return silr_project_back(t, l, SILR_GROUP_QKV, h, dim, n, t->room.row, d->dqkv, ld, NULL, 0,
                                 false, err);
    if ((st = silr_project_back(t, l, SILR_GROUP_QKV, h, dim, n, t->room.row, d->dqkv, ld, d->dh, dim,
                                false, err)) == SILR_OK)
        silr_norm_back(t, &y->attention, k->x, dim, n, dim, d->dh, dim, dx, dim);
    return st;
}

/* --- the way down ------------------------------------------------------------------------------------ */

/* The inside of a layer's MLP again, from the states in front of it. */
static silr_status recall_mlp(silr_tune *t, size_t l, const silr_kept *k, silr_error *err)
{
    const silr_engine *e = t->e;
    const silr_model_spec *s = e->spec;
    const layer *y = &t->layers[l];
    const bool only_last = silr_only_last(&t->pass, l);
    const size_t n = only_last ? t->texts : t->rows;

    silr_norm_rows(e, s->pre_norm ? &y->mlp : &y->attention, k->mid, s->hidden, n, s->hidden, t->room.h,
                   s->hidden);
    return silr_project(e, &t->room, &t->pass, l, SILR_GROUP_UP, t->room.h, s->hidden, n,
                        only_last ? t->room.last : t->room.row, k->mlp, silr_mlp_width(s), false, err);
}

/* What layer l computed: as it was kept, or again. */
static silr_status recall(silr_tune *t, size_t l, silr_kept *k, silr_error *err)
{
    size_t n = t->rows;
    silr_status st;

    *k = t->kept[l];
    if (l < t->most)
        return l < t->full ? SILR_OK : recall_mlp(t, l, k, err);
    memcpy(t->room.x, k->x, n * t->e->spec->hidden * sizeof(float));
    st = silr_layer(t->e, &t->room, &t->pass, l, &t->spare, &n, err);
    k->qkv = t->spare.qkv, k->mix = t->spare.mix, k->mlp = t->spare.mlp, k->raw = t->spare.raw;
    k->o = t->spare.o, k->mid = t->spare.mid, k->m = t->spare.m, k->sum = t->spare.sum;
    return st;
}

static void embeddings_back(silr_tune *t, down *d, float *dx)
{
    const silr_engine *e = t->e;
    const silr_model_spec *s = e->spec;
    const silr_pass *p = &t->pass;

    if (t->embedding.weight) {
        silr_embed_rows(e, &t->room, p, t->rows);
        through_norm(t, &t->embedding, t->room.x, t->rows, dx, d->dnorm);
    }
    if (t->at_tokens != SILR_NOWHERE)
        e->ops->gather_back(p->ids + p->start[0], t->rows, (float)s->embedding_scale, dx, s->hidden,
                            t->grad + t->at_tokens);
    if (t->at_positions != SILR_NOWHERE)
        e->ops->gather_back(t->room.position, t->rows, 1, dx, s->hidden, t->grad + t->at_positions);
}

silr_status silr_backward_layers(silr_tune *t, float *dx, silr_error *err)
{
    down d;
    silr_status st = down_init(&d, t, err);

    for (size_t l = t->e->spec->layers; st == SILR_OK && l-- > t->lowest;) {
        const bool only_last = silr_only_last(&t->pass, l);
        const size_t n = only_last ? t->texts : t->rows;
        const uint64_t *row = only_last ? t->room.last : t->room.row;
        silr_kept k;
        if (silr_cancelled())
            st = silr_fail(err, SILR_ECANCEL, "stopped in training");
        else if ((st = recall(t, l, &k, err)) == SILR_OK &&
                 (st = mlp_back(t, &d, l, &k, n, row, dx, err)) == SILR_OK)
            st = attention_back(t, &d, l, &k, n, row, dx, err);
    }
    if (st == SILR_OK && t->below)
        embeddings_back(t, &d, dx);
    down_clear(&d);
    return st;
}
