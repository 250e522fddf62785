/* plain_back.c - the backward operations as loops to be read, one thread, sums in double.
 *
 * L is the loss, d is dL / d(what it is named after). All follow from the chain rule,
 *
 *     dx_k = sum_o dy_o (d y_o / d x_k),
 *
 * where the sum runs over all the outputs o in which x_k has a part. plain_attention.c has
 * attention's. */
#include "base/rng.h"
#include "engine/ops_inside.h"
#include <math.h>

/* C = alpha A B; turned is read where it lies. */
silr_status silr_plain_product(bool turn_a, bool turn_b, size_t m, size_t n, size_t k, float alpha,
                               const float *a, size_t lda, const float *b, size_t ldb, float *c,
                               size_t ldc, bool add, silr_error *err)
{
    (void)err;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)(turn_a ? a[l * lda + i] : a[i * lda + l]) *
                       (double)(turn_b ? b[j * ldb + l] : b[l * ldb + j]);
            sum *= (double)alpha;
            c[i * ldc + j] = (float)(add ? (double)c[i * ldc + j] + sum : sum);
        }
    return SILR_OK;
}

/* --- norms ------------------------------------------------------------------------------------- */

/* y_k = r x_k w_k with r = (mean x^2 + epsilon)^(-1/2), w with plus in it. x_k has a part in all y
 * through r, of which dr/dx_k = -r^3 x_k / dim:
 *
 *     dx_k = r w_k dy_k - x_k r^3 / dim  sum_o x_o w_o dy_o         dw_k = sum_rows r x_k dy_k */
void silr_plain_rms_norm_back(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                              size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                              float *dw)
{
    for (size_t t = 0; t < n; t++, x += ldx, dy += lddy, dx += lddx) {
        double square = 0, along = 0, r;
        for (size_t k = 0; k < dim; k++) {
            square += (double)x[k] * (double)x[k];
            along += (double)x[k] * ((double)w[k] + (double)plus) * (double)dy[k];
        }
        r = 1 / sqrt(square / (double)dim + epsilon);
        along *= r * r / (double)dim;
        for (size_t k = 0; k < dim; k++) {
            double straight = ((double)w[k] + (double)plus) * (double)dy[k];
            dx[k] = (float)((double)dx[k] + r * (straight - (double)x[k] * along));
            if (dw)
                dw[k] = (float)((double)dw[k] + r * (double)x[k] * (double)dy[k]);
        }
    }
}

/* y_k = z_k w_k + b_k with z = (x - mean) r, r = (variance + epsilon)^(-1/2). x_k has a part in all
 * y through the mean and through r:
 *
 *     dx_k = r (w_k dy_k - mean_o(w_o dy_o) - z_k mean_o(z_o w_o dy_o))
 *     dw_k = sum_rows z_k dy_k         db_k = sum_rows dy_k */
void silr_plain_layer_norm_back(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                                size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                                float *dw, float *db)
{
    for (size_t t = 0; t < n; t++, x += ldx, dy += lddy, dx += lddx) {
        double mean = 0, variance = 0, straight = 0, along = 0, r;
        for (size_t k = 0; k < dim; k++)
            mean += (double)x[k] / (double)dim;
        for (size_t k = 0; k < dim; k++)
            variance += ((double)x[k] - mean) * ((double)x[k] - mean) / (double)dim;
        r = 1 / sqrt(variance + epsilon);
        for (size_t k = 0; k < dim; k++) {
            straight += (double)w[k] * (double)dy[k] / (double)dim;
            along += ((double)x[k] - mean) * r * (double)w[k] * (double)dy[k] / (double)dim;
        }
        for (size_t k = 0; k < dim; k++) {
            double z = ((double)x[k] - mean) * r, d = (double)w[k] * (double)dy[k];
            dx[k] = (float)((double)dx[k] + r * (d - straight - z * along));
            if (dw)
                dw[k] = (float)((double)dw[k] + z * (double)dy[k]);
            if (db)
                db[k] += dy[k];
        }
    }
}

/* --- activations ------------------------------------------------------------------------------- */

/* f(x) and f'(x); s is the logistic function, of which s' = s (1 - s), P and p are the normal
 * distribution and its density. Far from 0, f'(x) is 0 or 1: x is held where that is so already, or
 * infinity times 0 would come in.
 *
 *     silu    x s(x)       s + x s (1 - s)
 *     gelu    x P(x)       P + x p
 *     tanh    x s(v)       s + x s (1 - s) v'          v = 2 sqrt(2 / pi) (x + 0.044715 x^3) */
static void slope(silr_activation act, double x, double *f, double *df)
{
    const double pi = 3.14159265358979323846, z = fmin(fmax(x, -100), 100);
    double s = 0, v = z, dv = 1;

    if (isnan(x)) {
        *f = *df = x;
        return;
    }
    if (act == SILR_ACT_GELU) {
        s = 0.5 * erfc(-z * sqrt(0.5));
        *df = s + z * exp(-0.5 * z * z) / sqrt(2 * pi);
    } else {
        if (act == SILR_ACT_GELU_TANH) {
            v = 2 * sqrt(2 / pi) * (z + 0.044715 * z * z * z);
            dv = 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * z * z);
        }
        s = 1 / (1 + exp(-v));
        *df = s + z * s / (1 + exp(v)) * dv; /* 1 - s without cancelling */
    }
    *f = x > -100 ? x * s : 0;
}

/* y = f(x) up: dx = f'(x) up dy, dup = f(x) dy. */
void silr_plain_activate_back(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                              size_t dim, const float *dy, size_t lddy, float *dx, float *dup,
                              size_t lddx)
{
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k++) {
            double d = (double)dy[t * lddy + k], u = up ? (double)up[t * ldx + k] : 1, f, df;
            slope(act, (double)x[t * ldx + k], &f, &df);
            dx[t * lddx + k] = (float)(df * u * d);
            if (up)
                dup[t * lddx + k] = (float)(f * d);
        }
}

/* --- dropout, embeddings ------------------------------------------------------------------------ */

static uint32_t drawn(uint64_t key, uint64_t row, size_t k)
{
    const uint32_t counter[4] = {(uint32_t)(k / 64 * 8 + k % 32 / 4), (uint32_t)row,
                                 (uint32_t)(row >> 32), (uint32_t)SILR_RNG_DROPOUT << 20};
    const uint32_t keys[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t word[4];

    silr_philox(counter, keys, word);
    return word[k % 64 / 32 * 2 + k % 4 / 2] >> k % 2 * 16 & 0xffff;
}

void silr_plain_dropout(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx,
                        size_t n, size_t dim, float *y, size_t ldy, bool add)
{
    const float by = (float)(1 / (1 - rate));

    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k++) {
            bool kept = drawn(key, row[t], k) >= silr_drop_below(rate);
            float v = kept ? x[t * ldx + k] * by : 0;
            y[t * ldy + k] = add ? y[t * ldy + k] + v : v;
        }
}

void silr_plain_gather_back(const uint32_t *id, size_t n, float scale, const float *dy, size_t dim,
                            float *dtable)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < dim; k++)
            dtable[id[i] * dim + k] += scale * dy[i * dim + k];
}
