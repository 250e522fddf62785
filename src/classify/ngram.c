/* ngram.c - a bank of linear models over hashed n-grams, trained side by side.
 *
 * The scores of text x are W x + b. Folds and variants of an iteration see the same texts with
 * other labels and weights, so all members' weights stand side by side: row j of the block holds
 * feature j's weight in each member (members * columns numbers, padded to whole vectors when more
 * than four), the last row the biases. One pass over the texts scores all members; one pass over
 * the features gathers all gradients:
 *
 *     scores[i] = sum_j x_ij W[j] + b           by text,    entries ascending by feature
 *     grad[j]  += sum_i x_ij dscores[i]         by feature, entries ascending by text
 *
 * Each result is the work of one thread in a fixed order, so threads change no byte; and a
 * column's arithmetic does not depend on its neighbours, so a bank gives what single runs give.
 *
 * A big batch is laid out by feature too (a transposed copy, made once for a batch that comes
 * again); a small one adds its few rows one after another, in the same order.
 *
 * Before editing: tests hold this to the bit (threads, bank against single runs, batch paths). */
#include "classify/ngram.h"
#include "classify/adamw.h"

#include "classify/kernels.h"
#include <omp.h>
#include <string.h>

enum { PIECE = 256 }; /* entries decoded at once */

typedef struct {
    silr_classifier base;
    silr_matrix x;
    size_t stride, width; /* floats a row of the block; members * columns */
    float *grad, *m, *v;  /* like params */
    float *kept;          /* snapshots, like params */
    float *dense;         /* dscores, padded to stride */
    size_t dense_cap;
    silr_adam adam;
    uint64_t t;           /* steps taken */
    double *blend;        /* [d + 1][columns] */
    silr_batch batch;
    silr_param params[2];
    char **classes;
} ngram;

static ngram *self(silr_classifier *c)
{
    return (ngram *)(void *)c;
}

static size_t padded(size_t width)
{
    return width <= 4 ? width : (width + 7) & ~(size_t)7;
}

static int block_width(size_t stride, size_t at)
{
    return (int)(stride - at < SILR_KERNEL_WIDTH ? stride - at : SILR_KERNEL_WIDTH);
}

/* --- parameters -------------------------------------------------------------------------- */

static void release_params(ngram *g)
{
    silr_free(g->base.params);
    silr_free(g->grad);
    silr_free(g->m);
    silr_free(g->v);
    silr_free(g->kept);
    g->base.params = g->grad = g->m = g->v = g->kept = NULL;
    g->base.n_params = g->base.members = 0;
}

static silr_status ngram_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed,
                               size_t members, silr_error *err)
{
    ngram *g = self(c);
    const size_t width = members * (size_t)c->columns, rows = g->x.d + 1, stride = padded(width);
    const size_t n = rows * stride;

    (void)seed; /* a convex start: all zero */
    SILR_ASSERT(members >= 1 && members <= c->max_members);
    g->adam = *adam;
    g->t = 0;
    if (c->n_params != n) {
        release_params(g);
        c->params = silr_alloc_aligned(n, sizeof *c->params);
        g->grad = silr_alloc_aligned(n, sizeof *g->grad);
        g->m = silr_alloc_aligned(n, sizeof *g->m);
        g->v = silr_alloc_aligned(n, sizeof *g->v);
        if (!c->params || !g->grad || !g->m || !g->v) {
            release_params(g);
            return silr_fail_memory(err);
        }
    } else {
        memset(c->params, 0, n * sizeof *c->params);
        memset(g->grad, 0, n * sizeof *g->grad);
        memset(g->m, 0, n * sizeof *g->m);
        memset(g->v, 0, n * sizeof *g->v);
    }
    g->width = width;
    g->stride = stride;
    c->members = members;
    c->n_params = n;
    g->params[0] = (silr_param){.name = "weight", .offset = 0, .count = g->x.d * stride};
    g->params[1] = (silr_param){.name = "bias", .offset = g->x.d * stride, .count = stride};
    return SILR_OK;
}

static silr_status ngram_snapshot(silr_classifier *c, size_t member, silr_error *err)
{
    ngram *g = self(c);
    const size_t columns = (size_t)c->columns, first = member * columns;

    SILR_ASSERT(member < c->members);
    if (!g->kept && !(g->kept = silr_alloc_aligned(c->n_params, sizeof *g->kept)))
        return silr_fail_memory(err);
    for (size_t j = 0; j <= g->x.d; j++)
        memcpy(g->kept + j * g->stride + first, c->params + j * g->stride + first,
               columns * sizeof(float));
    return SILR_OK;
}

static silr_status ngram_restore(silr_classifier *c, size_t member, silr_error *err)
{
    ngram *g = self(c);
    const size_t columns = (size_t)c->columns, first = member * columns;

    SILR_ASSERT(member < c->members && g->kept);
    for (size_t j = 0; j <= g->x.d; j++)
        memcpy(c->params + j * g->stride + first, g->kept + j * g->stride + first,
               columns * sizeof(float));
    return SILR_OK;
}

/* --- forward, backward, step ---------------------------------------------------------------- */

/* Adds the entries of one text to acc; from the kept batch, or decoded piece by piece. */
static void add_row(const ngram *g, bool kept, size_t i, uint32_t doc, size_t at, int width,
                    float *acc)
{
    const float *w = g->base.params + at;
    uint32_t idx[PIECE];
    float val[PIECE];
    size_t n;
    const uint32_t *entry;

    if (kept) {
        const silr_batch *b = &g->batch;
        silr_kernel_dot(b->idx + b->row[i], b->val + b->row[i], b->row[i + 1] - b->row[i], w,
                        g->stride, width, acc);
        return;
    }
    entry = silr_matrix_row(&g->x, doc, &n);
    for (size_t e = 0; e < n; e += PIECE) {
        const size_t k = n - e < PIECE ? n - e : PIECE;
        silr_matrix_decode(&g->x, doc, entry + e, k, idx, val);
        silr_kernel_dot(idx, val, k, w, g->stride, width, acc);
    }
}

static silr_status ngram_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                                 silr_error *err)
{
    const ngram *g = self(c);
    const bool kept = silr_batch_holds(&g->batch, docs, n);
    const float *bias = c->params + g->x.d * g->stride;

    (void)err;
#pragma omp parallel for schedule(static) if (n * g->width > 1000)
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < g->stride; at += SILR_KERNEL_WIDTH) {
            float acc[SILR_KERNEL_WIDTH] = {0};
            add_row(g, kept, i, docs[i], at, block_width(g->stride, at), acc);
            for (size_t k = at; k < g->width && k < at + SILR_KERNEL_WIDTH; k++)
                scores[i * g->width + k] = acc[k - at] + bias[k];
        }
    }
    return SILR_OK;
}

/* Few entries: row after row, which is the order of the columns' sums too. */
static void scatter(ngram *g)
{
    const silr_batch *b = &g->batch;

    for (size_t i = 0; i < b->n; i++)
        for (size_t e = b->row[i]; e < b->row[i + 1]; e++) {
            float *grad = g->grad + (size_t)b->idx[e] * g->stride;
            const float *d = g->dense + i * g->stride, v = b->val[e];
            for (size_t k = 0; k < g->stride; k++)
                grad[k] += v * d[k];
        }
}

static void gather(ngram *g)
{
    const silr_batch *b = &g->batch;

#pragma omp parallel for schedule(dynamic, 256)
    for (size_t j = 0; j < g->x.d; j++)
        for (size_t at = 0; at < g->stride; at += SILR_KERNEL_WIDTH)
            silr_kernel_dot(b->text + b->col[j], b->tval + b->col[j], b->col[j + 1] - b->col[j],
                            g->dense + at, g->stride, block_width(g->stride, at),
                            g->grad + j * g->stride + at);
}

static silr_status ngram_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                                  const float *dscores, silr_error *err)
{
    ngram *g = self(c);
    float *bias = g->grad + g->x.d * g->stride;
    size_t entries = 0;
    silr_status st;

    if (!silr_grow(&g->dense, &g->dense_cap, n * g->stride + 1, sizeof *g->dense))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        memcpy(g->dense + i * g->stride, dscores + i * g->width, g->width * sizeof *dscores);
        memset(g->dense + i * g->stride + g->width, 0, (g->stride - g->width) * sizeof *dscores);
    }
    for (size_t i = 0; i < n; i++) {
        size_t len;
        silr_matrix_row(&g->x, docs[i], &len);
        entries += len;
    }
    if ((st = silr_batch_make(&g->batch, &g->x, docs, n, entries >= g->x.d / 2, err)) != SILR_OK)
        return st;
    if (g->batch.columns)
        gather(g);
    else
        scatter(g);
    for (size_t k = 0; k < g->width; k++) {
        double sum = 0; /* thousands of terms of one size */
        for (size_t i = 0; i < n; i++)
            sum += (double)g->dense[i * g->stride + k];
        bias[k] += (float)sum;
    }
    return SILR_OK;
}

static silr_status ngram_step(silr_classifier *c, double lr, silr_error *err)
{
    ngram *g = self(c);
    const size_t weights = g->x.d * g->stride;
    const silr_adamw_range all[] = {{0, weights, true, g->adam.l2}, {weights, g->stride, true, 0}};
    const silr_adamw_block b = {.params = c->params, .grad = g->grad, .m = g->m, .v = g->v};

    (void)err;
    silr_adamw_step(&b, all, 2, &g->adam, lr, ++g->t, 0, NULL);
    return SILR_OK;
}

/* --- the blend ------------------------------------------------------------------------------ */

static size_t blend_size(const ngram *g)
{
    return (g->x.d + 1) * (size_t)g->base.columns;
}

static silr_status blend_ready(ngram *g, silr_error *err)
{
    if (!g->blend && !(g->blend = silr_calloc(blend_size(g), sizeof *g->blend)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static silr_status ngram_blend(silr_classifier *c, size_t member, double scale,
                               const double *offset, silr_error *err)
{
    ngram *g = self(c);
    const size_t columns = (size_t)c->columns;
    silr_status st;

    SILR_ASSERT(member < c->members);
    if ((st = blend_ready(g, err)) != SILR_OK)
        return st;
    for (size_t j = 0; j <= g->x.d; j++) {
        const float *w = c->params + j * g->stride + member * columns;
        double *to = g->blend + j * columns, mean = 0;
        for (size_t k = 0; columns > 1 && k < columns; k++)
            mean += (double)w[k] / (double)columns;
        for (size_t k = 0; k < columns; k++)
            to[k] += scale * ((double)w[k] - mean);
    }
    for (size_t k = 0; offset && k < columns; k++)
        g->blend[g->x.d * columns + k] += offset[k];
    return SILR_OK;
}

static silr_status ngram_blend_get(silr_classifier *c, silr_buf *out, silr_error *err)
{
    ngram *g = self(c);
    silr_status st;

    if ((st = blend_ready(g, err)) != SILR_OK)
        return st;
    silr_buf_reset(out);
    silr_buf_add(out, g->blend, blend_size(g) * sizeof *g->blend);
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

/* No bytes: the blend starts from nothing. */
static silr_status ngram_blend_set(silr_classifier *c, const void *bytes, size_t len,
                                   silr_error *err)
{
    ngram *g = self(c);
    silr_status st;

    if ((st = blend_ready(g, err)) != SILR_OK)
        return st;
    if (len == 0) {
        memset(g->blend, 0, blend_size(g) * sizeof *g->blend);
        return SILR_OK;
    }
    if (len != blend_size(g) * sizeof *g->blend)
        return silr_fail(err, SILR_EINPUT,
                         "the classifier's stored state has %zu bytes where %zu are needed: it is "
                         "of another corpus or other n-grams; start again in a new folder",
                         len, blend_size(g) * sizeof *g->blend);
    memcpy(g->blend, bytes, len);
    return SILR_OK;
}

static silr_status ngram_save(silr_classifier *c, const char *dir, const double *A,
                              const double *b, double blends, silr_error *err)
{
    ngram *g = self(c);
    const size_t columns = (size_t)c->columns, d = g->x.d;
    silr_model_data out = {.opts = g->x.opts, .K = c->K, .columns = c->columns,
                           .classes = g->classes, .vocab = g->x.vocab, .idf = g->x.idf};
    silr_status st;

    SILR_ASSERT(blends > 0);
    if ((st = blend_ready(g, err)) != SILR_OK)
        return st;
    if (!(out.weight = silr_alloc(blend_size(g), sizeof *out.weight)))
        return silr_fail_memory(err);
    for (size_t j = 0; j <= d; j++) {
        const double factor = (j < d ? (double)g->x.idf[j] * SILR_NGRAM_SCALE : 1) / blends;
        for (size_t k = 0; k < columns; k++) {
            double w = 0;
            for (size_t l = 0; l < columns; l++)
                w += A[k * columns + l] * g->blend[j * columns + l];
            out.weight[j * columns + k] = (float)(w * factor + (j == d ? b[k] : 0));
        }
    }
    st = silr_model_write(&out, dir, err);
    silr_free(out.weight);
    return st;
}

/* --- making one ------------------------------------------------------------------------------ */

static void ngram_free(silr_classifier *c)
{
    ngram *g = self(c);

    release_params(g);
    silr_free(g->dense);
    silr_free(g->blend);
    silr_batch_clear(&g->batch);
    silr_matrix_clear(&g->x);
    for (int k = 0; g->classes && k < c->K; k++)
        silr_free(g->classes[k]);
    silr_free(g->classes);
    silr_free(g);
}

const silr_matrix *silr_ngram_matrix(const silr_classifier *c)
{
    return &((const ngram *)(const void *)c)->x;
}

/* A bank keeps four arrays of parameters; none may be over 1 GiB. A million features and the 24
 * members of recipe silr stay below it for up to ten classes. */
static size_t most_members(size_t d, size_t columns)
{
    const size_t most = ((size_t)256 << 20) / ((d + 1) * columns);

    return most < 1 ? 1 : most < 1024 ? most : 1024;
}

silr_status silr_ngram_new(silr_classifier **out, const silr_ngram_opts *o, int K,
                           const char *const *classes, silr_text_get get, const void *ctx, size_t n,
                           silr_error *err)
{
    ngram *g = silr_calloc(1, sizeof *g);
    silr_status st;

    *out = NULL;
    if (!g)
        return silr_fail_memory(err);
    g->base = (silr_classifier){
        .kind = "ngram", .K = K, .columns = K == 2 ? 1 : K, .n_table = 2, .table = g->params,
        .rate = {SILR_NGRAM_RATE, SILR_NGRAM_RATE_PAPER},
        .reset = ngram_reset, .forward = ngram_forward, .backward = ngram_backward,
        .step = ngram_step, .snapshot = ngram_snapshot, .restore = ngram_restore,
        .blend = ngram_blend, .blend_get = ngram_blend_get, .blend_set = ngram_blend_set,
        .save = ngram_save, .free = ngram_free};
    if (!(g->classes = silr_calloc((size_t)K, sizeof *g->classes))) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (int k = 0; k < K; k++)
        if (!(g->classes[k] = silr_strdup(classes[k]))) {
            st = silr_fail_memory(err);
            goto done;
        }
    if ((st = silr_matrix_init(&g->x, o, get, ctx, n, err)) != SILR_OK)
        goto done;
    g->base.max_members = most_members(g->x.d, (size_t)g->base.columns);
    *out = &g->base;
    g = NULL;
done:
    if (g)
        ngram_free(&g->base);
    return st;
}

void silr_classifier_free(silr_classifier *c)
{
    if (c)
        c->free(c);
}
