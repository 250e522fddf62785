/* head_mlp.c - a bank of small networks on vectors, trained side by side.
 *
 *     a = max(0, W1 x + b1)     H units a member       z = W2 a + b2
 *
 * The units of all members stand side by side, so that the first layer, which is nearly all of the
 * work, is one product for all of them: unit h of member m is column m H + h. With dz the derivative
 * of the scores:
 *
 *     dW2 = a dz      da = W2 dz where a > 0, else 0      dW1 = x da      db1 = sum da
 *
 * A blend of networks is no small network, but a wide one: the members that were blended are kept,
 * with their scales, and fold() puts their units side by side, what follows being linear. */
#include "classify/head.h"
#include "classify/kernels.h"

#include <math.h>
#include <string.h>

/* A member that was blended: its weights [d + 1][H] of the first layer, [H + 1][columns] of the last. */
typedef struct {
    double scale;
    float *first, *last; /* one block */
} part;

typedef struct {
    silr_head head;
    size_t H, units, stride; /* of a member, of all, padded to a multiple of 8 */
    silr_moments s;
    float *hidden;           /* [n][stride] */
    size_t hidden_cap;
    uint32_t *held;          /* texts whose units `hidden` holds; n_held 0: none */
    size_t n_held, held_cap;
    silr_adam adam;
    uint64_t t;
    part *parts;
    size_t n_parts, parts_cap;
    double *offset;          /* [columns] of the blend */
    silr_param params[4];
} mlp;

enum { W1, B1, W2, B2 };

static mlp *self(silr_classifier *c)
{
    return (mlp *)(void *)c;
}

static float *at(const mlp *h, float *block, int which)
{
    return block + h->params[which].offset;
}

/* --- parameters ---------------------------------------------------------------------------------- */

static void lay_out(mlp *h, size_t members)
{
    static const char *const names[] = {"hidden.weight", "hidden.bias", "weight", "bias"};
    const size_t columns = (size_t)h->head.base.columns;
    size_t size[4], offset = 0;

    h->units = members * h->H;
    h->stride = (h->units + 7) & ~(size_t)7;
    size[W1] = h->head.x->d * h->stride;
    size[B1] = h->stride;
    size[W2] = h->stride * columns;
    size[B2] = members * columns;
    for (int p = 0; p < 4; p++) {
        h->params[p] = (silr_param){.offset = offset, .count = size[p]};
        snprintf(h->params[p].name, sizeof h->params[p].name, "%s", names[p]);
        offset += size[p];
    }
}

/* Every member starts alike, so that a bank gives what single runs give. */
static void draw(mlp *h, uint64_t seed, size_t members)
{
    const size_t d = h->head.x->d, columns = (size_t)h->head.base.columns;
    float *w1 = at(h, h->head.base.params, W1), *w2 = at(h, h->head.base.params, W2);

    for (size_t u = 0; u < h->H; u++) {
        silr_rng g;
        silr_rng_init(&g, seed, SILR_RNG_INIT, 0, u);
        for (size_t j = 0; j < d; j++) {
            const float v = (float)(silr_rng_normal(&g) / sqrt((double)d));
            for (size_t m = 0; m < members; m++)
                w1[j * h->stride + m * h->H + u] = v;
        }
        for (size_t k = 0; k < columns; k++) {
            const float v = (float)(silr_rng_normal(&g) / sqrt((double)h->H));
            for (size_t m = 0; m < members; m++)
                w2[(m * h->H + u) * columns + k] = v;
        }
    }
}

static silr_status mlp_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed,
                             size_t members, silr_error *err)
{
    mlp *h = self(c);
    silr_status st;

    SILR_ASSERT(members >= 1 && members <= c->max_members);
    lay_out(h, members);
    if ((st = silr_moments_ready(c, &h->s, h->params[B2].offset + h->params[B2].count, err)) != SILR_OK)
        return st;
    h->adam = *adam;
    h->t = 0;
    h->n_held = 0;
    c->members = members;
    draw(h, seed, members);
    return SILR_OK;
}

/* Copies what belongs to one member from block to block. */
static void copy_member(mlp *h, size_t member, float *to, const float *from)
{
    const size_t columns = (size_t)h->head.base.columns, first = member * h->H;

    for (size_t j = 0; j <= h->head.x->d; j++) /* b1 lies behind W1 */
        memcpy(to + j * h->stride + first, from + j * h->stride + first, h->H * sizeof *to);
    memcpy(at(h, to, W2) + first * columns, from + h->params[W2].offset + first * columns,
           h->H * columns * sizeof *to);
    memcpy(at(h, to, B2) + member * columns, from + h->params[B2].offset + member * columns,
           columns * sizeof *to);
}

static silr_status mlp_snapshot(silr_classifier *c, size_t member, silr_error *err)
{
    mlp *h = self(c);

    SILR_ASSERT(member < c->members);
    if (!h->s.kept && !(h->s.kept = silr_alloc_aligned(c->n_params, sizeof *h->s.kept)))
        return silr_fail_memory(err);
    copy_member(h, member, h->s.kept, c->params);
    return SILR_OK;
}

static silr_status mlp_restore(silr_classifier *c, size_t member, silr_error *err)
{
    mlp *h = self(c);

    SILR_ASSERT(member < c->members && h->s.kept);
    copy_member(h, member, c->params, h->s.kept);
    h->n_held = 0;
    return SILR_OK;
}

/* --- forward, backward, step ----------------------------------------------------------------------- */

static silr_status fill_hidden(mlp *h, const uint32_t *docs, size_t n, silr_error *err)
{
    const float *bias = at(h, h->head.base.params, B1);

    h->n_held = 0;
    if (!silr_grow(&h->hidden, &h->hidden_cap, n * h->stride + 1, sizeof *h->hidden) ||
        !silr_grow(&h->held, &h->held_cap, n + 1, sizeof *h->held))
        return silr_fail_memory(err);
    silr_dense_forward(h->head.x, docs, n, at(h, h->head.base.params, W1), h->stride, h->hidden);
#pragma omp parallel for schedule(static) if (n * h->stride > 100000)
    for (size_t i = 0; i < n; i++)
        for (size_t u = 0; u < h->stride; u++) {
            const float a = h->hidden[i * h->stride + u] + bias[u];
            h->hidden[i * h->stride + u] = a > 0 ? a : 0;
        }
    memcpy(h->held, docs, n * sizeof *docs);
    h->n_held = n;
    return SILR_OK;
}

static silr_status mlp_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                               silr_error *err)
{
    mlp *h = self(c);
    const size_t columns = (size_t)c->columns, width = c->members * columns, H = h->H;
    const float *w = at(h, c->params, W2), *bias = at(h, c->params, B2);
    silr_status st;

    if ((st = fill_hidden(h, docs, n, err)) != SILR_OK)
        return st;
#pragma omp parallel for schedule(static) if (n * h->stride > 100000)
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < c->members; m++) {
            const float *a = h->hidden + i * h->stride + m * H;
            float *z = scores + i * width + m * columns;
            for (size_t k = 0; k < columns; k++)
                z[k] = bias[m * columns + k];
            for (size_t u = 0; u < H; u++)
                for (size_t k = 0; k < columns; k++)
                    z[k] += a[u] * w[(m * H + u) * columns + k];
        }
    return SILR_OK;
}

/* dW2, db2 of member m; then its units become their derivatives. */
static void backward_member(mlp *h, size_t m, size_t n, const float *dscores)
{
    silr_classifier *c = &h->head.base;
    const size_t columns = (size_t)c->columns, width = c->members * columns, H = h->H;
    const float *w = at(h, c->params, W2) + m * H * columns;
    float *gw = at(h, h->s.grad, W2) + m * H * columns, *gb = at(h, h->s.grad, B2) + m * columns;

    for (size_t i = 0; i < n; i++) {
        const float *dz = dscores + i * width + m * columns;
        float *a = h->hidden + i * h->stride + m * H;
        for (size_t k = 0; k < columns; k++)
            gb[k] += dz[k];
        for (size_t u = 0; u < H; u++) {
            float da = 0;
            for (size_t k = 0; k < columns; k++) {
                gw[u * columns + k] += a[u] * dz[k];
                da += w[u * columns + k] * dz[k];
            }
            a[u] = a[u] > 0 ? da : 0;
        }
    }
}

static silr_status mlp_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                                const float *dscores, silr_error *err)
{
    mlp *h = self(c);
    float *gb = at(h, h->s.grad, B1);
    const bool held = n > 0 && h->n_held == n && memcmp(h->held, docs, n * sizeof *docs) == 0;
    silr_status st;

    if (!held && (st = fill_hidden(h, docs, n, err)) != SILR_OK)
        return st;
    h->n_held = 0;
#pragma omp parallel for schedule(static) if (n * h->stride > 100000)
    for (size_t m = 0; m < c->members; m++)
        backward_member(h, m, n, dscores);
#pragma omp parallel for schedule(static) if (n * h->stride > 100000)
    for (size_t from = 0; from < h->units; from += 64)
        for (size_t i = 0; i < n; i++)
            for (size_t u = from; u < from + 64 && u < h->units; u++)
                gb[u] += h->hidden[i * h->stride + u];
    silr_dense_backward(h->head.x, docs, n, h->hidden, h->stride, at(h, h->s.grad, W1));
    return SILR_OK;
}

static silr_status mlp_step(silr_classifier *c, double lr, silr_error *err)
{
    mlp *h = self(c);
    const silr_adamw_block b = silr_moments_block(c, &h->s);
    silr_adamw_range all[4];

    (void)err;
    h->n_held = 0;
    for (int p = 0; p < 4; p++)
        all[p] = (silr_adamw_range){h->params[p].offset, h->params[p].count, true,
                                    p == W1 || p == W2 ? h->adam.l2 : 0};
    silr_adamw_step(&b, all, 4, &h->adam, lr, ++h->t, 0, NULL);
    return SILR_OK;
}

/* --- the blend ----------------------------------------------------------------------------------- */

static size_t first_size(const mlp *h)
{
    return (h->head.x->d + 1) * h->H;
}

static size_t last_size(const mlp *h)
{
    return (h->H + 1) * (size_t)h->head.base.columns;
}

static silr_status add_part(mlp *h, double scale, silr_error *err)
{
    part *p;

    if (!silr_grow(&h->parts, &h->parts_cap, h->n_parts + 1, sizeof *h->parts))
        return silr_fail_memory(err);
    p = &h->parts[h->n_parts];
    *p = (part){.scale = scale, .first = silr_alloc(first_size(h) + last_size(h), sizeof *p->first)};
    if (!p->first)
        return silr_fail_memory(err);
    p->last = p->first + first_size(h);
    h->n_parts++;
    return SILR_OK;
}

static void drop_parts(mlp *h)
{
    for (size_t p = 0; p < h->n_parts; p++)
        silr_free(h->parts[p].first);
    h->n_parts = 0;
    memset(h->offset, 0, (size_t)h->head.base.columns * sizeof *h->offset);
}

static silr_status mlp_blend(silr_classifier *c, size_t member, double scale, const double *offset,
                             silr_error *err)
{
    mlp *h = self(c);
    const size_t columns = (size_t)c->columns, first = member * h->H;
    silr_status st;
    part *p;

    SILR_ASSERT(member < c->members);
    if ((st = add_part(h, scale, err)) != SILR_OK)
        return st;
    p = &h->parts[h->n_parts - 1];
    for (size_t j = 0; j <= h->head.x->d; j++)
        memcpy(p->first + j * h->H, c->params + j * h->stride + first, h->H * sizeof *p->first);
    memcpy(p->last, at(h, c->params, W2) + first * columns, h->H * columns * sizeof *p->last);
    memcpy(p->last + h->H * columns, at(h, c->params, B2) + member * columns,
           columns * sizeof *p->last);
    for (size_t k = 0; offset && k < columns; k++)
        h->offset[k] += offset[k];
    return SILR_OK;
}

/* u64 parts, the offset, then each part: its scale, its weights. */
static silr_status mlp_blend_get(silr_classifier *c, silr_buf *out, silr_error *err)
{
    mlp *h = self(c);
    const uint64_t n = h->n_parts;

    silr_buf_reset(out);
    silr_buf_add(out, &n, sizeof n);
    silr_buf_add(out, h->offset, (size_t)c->columns * sizeof *h->offset);
    for (size_t p = 0; p < h->n_parts; p++) {
        silr_buf_add(out, &h->parts[p].scale, sizeof h->parts[p].scale);
        silr_buf_add(out, h->parts[p].first, (first_size(h) + last_size(h)) * sizeof(float));
    }
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status mlp_blend_set(silr_classifier *c, const void *bytes, size_t len, silr_error *err)
{
    mlp *h = self(c);
    const size_t head = 8 + (size_t)c->columns * sizeof *h->offset;
    const size_t weights = (first_size(h) + last_size(h)) * sizeof(float), each = 8 + weights;
    const char *from = bytes;
    uint64_t n = 0;
    silr_status st = SILR_OK;

    drop_parts(h);
    if (len == 0)
        return SILR_OK;
    if (len >= head)
        memcpy(&n, from, sizeof n);
    if (len < head || (len - head) % each != 0 || (len - head) / each != n)
        return silr_fail(err, SILR_EINPUT,
                         "the classifier's stored state does not fit: it is of another encoder or "
                         "another number of hidden units; start again in a new folder");
    memcpy(h->offset, from + 8, head - 8);
    from += head;
    for (uint64_t p = 0; p < n && st == SILR_OK; p++, from += each) {
        double scale;
        memcpy(&scale, from, sizeof scale);
        if ((st = add_part(h, scale, err)) == SILR_OK)
            memcpy(h->parts[p].first, from + 8, weights);
    }
    return st;
}

/* First layer of part p: on v instead of x = (v - mean) scale. */
static void fold_first(const mlp *h, size_t p, silr_layers *out)
{
    const silr_dense *x = h->head.x;

    for (size_t u = 0; u < h->H; u++) {
        double bias = (double)h->parts[p].first[x->d * h->H + u];
        for (size_t j = 0; j < x->d; j++) {
            const double w = (double)h->parts[p].first[j * h->H + u] * (double)x->scale;
            out->first[j * out->hidden + p * h->H + u] = (float)w;
            bias -= w * (double)x->mean[j];
        }
        out->first[x->d * out->hidden + p * h->H + u] = (float)bias;
    }
}

/* A row of the last layer of part p, centred over the columns and scaled. */
static void scaled_row(const mlp *h, size_t p, size_t row, double *out)
{
    const size_t columns = (size_t)h->head.base.columns;
    const float *w = h->parts[p].last + row * columns;
    double mean = 0;

    for (size_t k = 0; columns > 1 && k < columns; k++)
        mean += (double)w[k] / (double)columns;
    for (size_t k = 0; k < columns; k++)
        out[k] = h->parts[p].scale * ((double)w[k] - mean);
}

static silr_status mlp_fold(silr_head *head, const double *A, const double *b, double blends,
                            silr_layers *out, silr_error *err)
{
    mlp *h = self(&head->base);
    const size_t columns = (size_t)head->base.columns, hidden = h->n_parts * h->H;
    double *row = silr_alloc(columns, sizeof *row), *mixed = silr_alloc(columns, sizeof *mixed),
           *bias = silr_alloc(columns, sizeof *bias);
    silr_status st = SILR_OK;

    *out = (silr_layers){.d = head->x->d, .columns = columns, .hidden = hidden};
    out->first = silr_alloc(head->x->d + 1, hidden * sizeof *out->first);
    out->last = silr_alloc(hidden + 1, columns * sizeof *out->last);
    if (!row || !mixed || !bias || !out->first || !out->last) {
        st = silr_fail_memory(err);
        goto done;
    }
    memcpy(bias, h->offset, columns * sizeof *bias);
    for (size_t p = 0; p < h->n_parts; p++) {
        fold_first(h, p, out);
        for (size_t u = 0; u <= h->H; u++) {
            scaled_row(h, p, u, row);
            silr_head_mix(columns, A, blends, row, mixed);
            for (size_t k = 0; k < columns; k++)
                if (u < h->H)
                    out->last[(p * h->H + u) * columns + k] = (float)mixed[k];
                else
                    bias[k] += row[k];
        }
    }
    silr_head_mix(columns, A, blends, bias, mixed);
    for (size_t k = 0; k < columns; k++)
        out->last[hidden * columns + k] = (float)(mixed[k] + b[k]);
done:
    silr_free(row);
    silr_free(mixed);
    silr_free(bias);
    return st;
}

/* --- making one ---------------------------------------------------------------------------------- */

static void mlp_free(silr_classifier *c)
{
    mlp *h = self(c);

    silr_moments_clear(c, &h->s);
    if (h->offset)
        drop_parts(h);
    silr_free(h->parts);
    silr_free(h->offset);
    silr_free(h->hidden);
    silr_free(h->held);
    silr_free(h);
}

/* The units of a step's texts are kept: 16,384 to 32,768 texts, and at most 4,096 units. */
static size_t most_members(size_t d, size_t H)
{
    const size_t by_units = 4096 / H, by_weights = ((size_t)256 << 20) / ((d + 1) * H);
    const size_t most = by_units < by_weights ? by_units : by_weights;

    return most < 1 ? 1 : most;
}

silr_status silr_mlp_head(silr_head **out, const silr_dense *x, int K, size_t hidden,
                          silr_error *err)
{
    mlp *h = silr_calloc(1, sizeof *h);

    *out = NULL;
    if (!h || !(h->offset = silr_calloc(K == 2 ? 1 : (size_t)K, sizeof *h->offset))) {
        silr_free(h);
        return silr_fail_memory(err);
    }
    h->H = hidden;
    h->head.x = x;
    h->head.fold = mlp_fold;
    h->head.base = (silr_classifier){
        .kind = "frozen", .K = K, .columns = K == 2 ? 1 : K, .n_table = 4, .table = h->params,
        .max_members = most_members(x->d, hidden), .rate = {0.01, 0.003}, .reset = mlp_reset,
        .forward = mlp_forward, .backward = mlp_backward, .step = mlp_step,
        .snapshot = mlp_snapshot, .restore = mlp_restore, .blend = mlp_blend,
        .blend_get = mlp_blend_get, .blend_set = mlp_blend_set, .free = mlp_free};
    *out = &h->head;
    return SILR_OK;
}
