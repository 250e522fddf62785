/* head_linear.c - a bank of linear models on vectors, trained side by side.
 *
 * As in ngram.c the weights of all members stand side by side: row j of the block holds feature j's
 * weight in each member, padded to a multiple of eight columns, the last row the biases. One pass
 * over the vectors scores all members, another gathers all gradients. */
#include "classify/head.h"
#include "classify/kernels.h"

#include <string.h>

typedef struct {
    silr_head head;
    size_t stride, width; /* floats a row; members * columns */
    silr_moments s;
    float *wide;          /* [n][stride] scores or their derivatives */
    size_t wide_cap;
    silr_adam adam;
    uint64_t t;
    double *blend;        /* [d + 1][columns] */
    silr_param params[2];
} linear;

static linear *self(silr_classifier *c)
{
    return (linear *)(void *)c;
}

/* --- shared by the heads ------------------------------------------------------------------------ */

void silr_layers_clear(silr_layers *l)
{
    silr_free(l->first);
    silr_free(l->last);
    *l = (silr_layers){0};
}

void silr_moments_clear(silr_classifier *c, silr_moments *s)
{
    silr_free(c->params);
    silr_free(s->grad);
    silr_free(s->m);
    silr_free(s->v);
    silr_free(s->kept);
    *s = (silr_moments){0};
    c->params = NULL;
    c->n_params = c->members = 0;
}

silr_status silr_moments_ready(silr_classifier *c, silr_moments *s, size_t n, silr_error *err)
{
    if (c->n_params == n) {
        memset(c->params, 0, n * sizeof *c->params);
        memset(s->grad, 0, n * sizeof *s->grad);
        memset(s->m, 0, n * sizeof *s->m);
        memset(s->v, 0, n * sizeof *s->v);
        return SILR_OK;
    }
    silr_moments_clear(c, s);
    c->params = silr_alloc_aligned(n, sizeof *c->params);
    s->grad = silr_alloc_aligned(n, sizeof *s->grad);
    s->m = silr_alloc_aligned(n, sizeof *s->m);
    s->v = silr_alloc_aligned(n, sizeof *s->v);
    if (!c->params || !s->grad || !s->m || !s->v) {
        silr_moments_clear(c, s);
        return silr_fail_memory(err);
    }
    c->n_params = n;
    return SILR_OK;
}

silr_adamw_block silr_moments_block(const silr_classifier *c, const silr_moments *s)
{
    return (silr_adamw_block){.params = c->params, .grad = s->grad, .m = s->m, .v = s->v};
}

void silr_head_mix(size_t columns, const double *A, double blends, const double *in, double *out)
{
    for (size_t k = 0; k < columns; k++) {
        out[k] = 0;
        for (size_t l = 0; l < columns; l++)
            out[k] += A[k * columns + l] * in[l];
        out[k] /= blends;
    }
}

/* --- training ------------------------------------------------------------------------------------ */

static silr_status linear_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed,
                                size_t members, silr_error *err)
{
    linear *h = self(c);
    const size_t d = h->head.x->d, width = members * (size_t)c->columns;
    const size_t stride = (width + 7) & ~(size_t)7;
    silr_status st;

    (void)seed; /* a convex start: all zero */
    SILR_ASSERT(members >= 1 && members <= c->max_members);
    if ((st = silr_moments_ready(c, &h->s, (d + 1) * stride, err)) != SILR_OK)
        return st;
    h->adam = *adam;
    h->t = 0;
    h->width = width;
    h->stride = stride;
    c->members = members;
    h->params[0] = (silr_param){.name = "weight", .offset = 0, .count = d * stride};
    h->params[1] = (silr_param){.name = "bias", .offset = d * stride, .count = stride};
    return SILR_OK;
}

static void copy_member(linear *h, size_t member, float *to, const float *from)
{
    const size_t columns = (size_t)h->head.base.columns, first = member * columns;

    for (size_t j = 0; j <= h->head.x->d; j++)
        memcpy(to + j * h->stride + first, from + j * h->stride + first, columns * sizeof *to);
}

static silr_status linear_snapshot(silr_classifier *c, size_t member, silr_error *err)
{
    linear *h = self(c);

    SILR_ASSERT(member < c->members);
    if (!h->s.kept && !(h->s.kept = silr_alloc_aligned(c->n_params, sizeof *h->s.kept)))
        return silr_fail_memory(err);
    copy_member(h, member, h->s.kept, c->params);
    return SILR_OK;
}

static silr_status linear_restore(silr_classifier *c, size_t member, silr_error *err)
{
    linear *h = self(c);

    SILR_ASSERT(member < c->members && h->s.kept);
    copy_member(h, member, c->params, h->s.kept);
    return SILR_OK;
}

static silr_status linear_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                                  silr_error *err)
{
    linear *h = self(c);
    const float *bias = c->params + h->head.x->d * h->stride;

    if (!silr_grow(&h->wide, &h->wide_cap, n * h->stride + 1, sizeof *h->wide))
        return silr_fail_memory(err);
    silr_dense_forward(h->head.x, docs, n, c->params, h->stride, h->wide);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < h->width; k++)
            scores[i * h->width + k] = h->wide[i * h->stride + k] + bias[k];
    return SILR_OK;
}

static silr_status linear_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                                   const float *dscores, silr_error *err)
{
    linear *h = self(c);
    float *bias = h->s.grad + h->head.x->d * h->stride;

    if (!silr_grow(&h->wide, &h->wide_cap, n * h->stride + 1, sizeof *h->wide))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        memcpy(h->wide + i * h->stride, dscores + i * h->width, h->width * sizeof *dscores);
        memset(h->wide + i * h->stride + h->width, 0, (h->stride - h->width) * sizeof *dscores);
    }
    silr_dense_backward(h->head.x, docs, n, h->wide, h->stride, h->s.grad);
    for (size_t k = 0; k < h->width; k++) {
        double sum = 0; /* thousands of terms of one size */
        for (size_t i = 0; i < n; i++)
            sum += (double)h->wide[i * h->stride + k];
        bias[k] += (float)sum;
    }
    return SILR_OK;
}

static silr_status linear_step(silr_classifier *c, double lr, silr_error *err)
{
    linear *h = self(c);
    const size_t weights = h->head.x->d * h->stride;
    const silr_adamw_range all[] = {{0, weights, true, h->adam.l2}, {weights, h->stride, true, 0}};
    const silr_adamw_block b = silr_moments_block(c, &h->s);

    (void)err;
    silr_adamw_step(&b, all, 2, &h->adam, lr, ++h->t, 0, NULL);
    return SILR_OK;
}

/* --- the blend ----------------------------------------------------------------------------------- */

static size_t blend_size(const linear *h)
{
    return (h->head.x->d + 1) * (size_t)h->head.base.columns;
}

static silr_status blend_ready(linear *h, silr_error *err)
{
    if (!h->blend && !(h->blend = silr_calloc(blend_size(h), sizeof *h->blend)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static silr_status linear_blend(silr_classifier *c, size_t member, double scale,
                                const double *offset, silr_error *err)
{
    linear *h = self(c);
    const size_t columns = (size_t)c->columns, d = h->head.x->d;
    silr_status st;

    SILR_ASSERT(member < c->members);
    if ((st = blend_ready(h, err)) != SILR_OK)
        return st;
    for (size_t j = 0; j <= d; j++) {
        const float *w = c->params + j * h->stride + member * columns;
        double *to = h->blend + j * columns, mean = 0;
        for (size_t k = 0; columns > 1 && k < columns; k++)
            mean += (double)w[k] / (double)columns;
        for (size_t k = 0; k < columns; k++)
            to[k] += scale * ((double)w[k] - mean);
    }
    for (size_t k = 0; offset && k < columns; k++)
        h->blend[d * columns + k] += offset[k];
    return SILR_OK;
}

static silr_status linear_blend_get(silr_classifier *c, silr_buf *out, silr_error *err)
{
    linear *h = self(c);
    silr_status st;

    if ((st = blend_ready(h, err)) != SILR_OK)
        return st;
    silr_buf_reset(out);
    silr_buf_add(out, h->blend, blend_size(h) * sizeof *h->blend);
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status linear_blend_set(silr_classifier *c, const void *bytes, size_t len,
                                    silr_error *err)
{
    linear *h = self(c);
    silr_status st;

    if ((st = blend_ready(h, err)) != SILR_OK)
        return st;
    if (len == 0) {
        memset(h->blend, 0, blend_size(h) * sizeof *h->blend);
        return SILR_OK;
    }
    if (len != blend_size(h) * sizeof *h->blend)
        return silr_fail(err, SILR_EINPUT,
                         "the classifier's stored state has %zu bytes where %zu are needed: it is "
                         "of another encoder; start again in a new folder",
                         len, blend_size(h) * sizeof *h->blend);
    memcpy(h->blend, bytes, len);
    return SILR_OK;
}

/* On v instead of x = (v - mean) scale: weights times scale, and the bias less what the mean gave. */
static silr_status linear_fold(silr_head *head, const double *A, const double *b, double blends,
                               silr_layers *out, silr_error *err)
{
    linear *h = self(&head->base);
    const silr_dense *x = head->x;
    const size_t columns = (size_t)head->base.columns;
    double *bias = silr_calloc(columns, sizeof *bias), *w = silr_calloc(columns, sizeof *w);
    silr_status st = bias && w ? blend_ready(h, err) : silr_fail_memory(err);

    *out = (silr_layers){.d = x->d, .columns = columns};
    if (st == SILR_OK && !(out->last = silr_alloc(blend_size(h), sizeof *out->last)))
        st = silr_fail_memory(err);
    if (st != SILR_OK)
        goto done;
    silr_head_mix(columns, A, blends, h->blend + x->d * columns, bias);
    for (size_t j = 0; j < x->d; j++) {
        silr_head_mix(columns, A, blends, h->blend + j * columns, w);
        for (size_t k = 0; k < columns; k++) {
            out->last[j * columns + k] = (float)(w[k] * (double)x->scale);
            bias[k] -= w[k] * (double)x->scale * (double)x->mean[j];
        }
    }
    for (size_t k = 0; k < columns; k++)
        out->last[x->d * columns + k] = (float)(bias[k] + b[k]);
done:
    silr_free(bias);
    silr_free(w);
    return st;
}

static void linear_free(silr_classifier *c)
{
    linear *h = self(c);

    silr_moments_clear(c, &h->s);
    silr_free(h->wide);
    silr_free(h->blend);
    silr_free(h);
}

/* As for n-grams: no array of parameters over 1 GiB. */
static size_t most_members(size_t d, size_t columns)
{
    const size_t most = ((size_t)256 << 20) / ((d + 1) * columns);

    return most < 1 ? 1 : most < 1024 ? most : 1024;
}

silr_status silr_linear_head(silr_head **out, const silr_dense *x, int K, silr_error *err)
{
    linear *h = silr_calloc(1, sizeof *h);

    *out = NULL;
    if (!h)
        return silr_fail_memory(err);
    h->head.x = x;
    h->head.fold = linear_fold;
    h->head.base = (silr_classifier){
        .kind = "frozen", .K = K, .columns = K == 2 ? 1 : K, .n_table = 2,
        .max_members = most_members(x->d, K == 2 ? 1 : (size_t)K),
        .table = h->params, .rate = {0.02, 0.003}, .reset = linear_reset, .forward = linear_forward,
        .backward = linear_backward, .step = linear_step, .snapshot = linear_snapshot,
        .restore = linear_restore, .blend = linear_blend, .blend_get = linear_blend_get,
        .blend_set = linear_blend_set, .free = linear_free};
    *out = &h->head;
    return SILR_OK;
}
