#include "refine/calibrate.h"
#include "refine/loop.h"
#include "refine/minimise.h"
#include <math.h>
#include <string.h>

/* More texts than this do not move so few parameters: a part stands for all. */
enum { ENOUGH = 20000 };

static size_t shown_of(size_t n)
{
    return n < ENOUGH ? n : ENOUGH;
}

void silr_transition(double *T, int K, const double *theta, const double *rho, const double *pi)
{
    for (int k = 0; k < K; k++)
        for (int j = 0; j < K; j++) {
            double v = pi[k] > 0 ? rho[j] * theta[j * K + k] / pi[k] : 1.0 / K;
            T[k * K + j] = v < 0.01 ? 0.01 : v > 0.99 ? 0.99 : v;
        }
    if (K == 2) { /* column 0: tpr and fpr */
        if (T[0] < T[2] + 0.05)
            T[0] = fmin(0.99, T[2] + 0.05);
        if (T[0] < T[2] + 0.05)
            T[2] = T[0] - 0.05;
        T[1] = 1 - T[0];
        T[3] = 1 - T[2];
    }
}

/* --- two classes: a grid over A and B, texts gathered in bins of equal count ------------------ */

enum { BINS = 256, N_A = 23, N_B = 49 };

typedef struct {
    size_t n;
    double z[BINS], positive[BINS], negative[BINS];
} bins;

/* Sorted texts cut into at most BINS runs; the log-likelihood is smooth, so a run may stand for
 * its texts by their mean. Up to BINS texts this is exact. */
static silr_status make_bins(bins *out, size_t n, const float *z, const int *set, silr_error *err)
{
    uint32_t *order = silr_alloc(n, sizeof *order);
    double *v = silr_alloc(n, sizeof *v);

    if (!order || !v) {
        silr_free(order);
        silr_free(v);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < n; i++)
        v[i] = (double)z[i];
    if (!silr_argsort(order, v, n)) {
        silr_free(order);
        silr_free(v);
        return silr_fail_memory(err);
    }
    out->n = n < BINS ? n : BINS;
    for (size_t b = 0; b < out->n; b++) {
        size_t from = b * n / out->n, to = (b + 1) * n / out->n;
        double sum = 0;
        out->positive[b] = out->negative[b] = 0;
        for (size_t i = from; i < to; i++) {
            sum += v[order[i]];
            if (set[order[i]] == 0)
                out->positive[b]++;
            else
                out->negative[b]++;
        }
        out->z[b] = sum / (double)(to - from);
    }
    silr_free(order);
    silr_free(v);
    return SILR_OK;
}

static void calibrate_grid(silr_calibration *out, const bins *d, double tpr, double fpr)
{
    double best = -INFINITY;

    for (int a = 0; a < N_A; a++) {
        double A = 0.1 * pow(80.0, (double)a / (N_A - 1)), away = log(A / 1.5);
        for (int b = 0; b < N_B; b++) {
            double B = -6 + 12.0 * b / (N_B - 1), value = -2 * away * away;
            for (size_t i = 0; i < d->n; i++) {
                double p = fpr + (tpr - fpr) * silr_sigmoid(A * d->z[i] + B);
                if (d->positive[i] > 0)
                    value += d->positive[i] * log(p);
                if (d->negative[i] > 0)
                    value += d->negative[i] * log1p(-p);
            }
            if (value > best) {
                best = value;
                out->A = A;
                out->b[0] = B;
            }
        }
    }
}

/* --- K classes -------------------------------------------------------------------------------- */

typedef struct {
    int K;
    size_t n, shown;
    const float *z;
    const int *set;
    const double *T;
} many;

/* Minus the log posterior at x = (log A, b_1 .. b_{K-1}), b_0 = 0. */
static double many_loss(void *ctx, const double *x, double *grad)
{
    const many *d = ctx;
    const int K = d->K;
    double A = exp(x[0]), away = x[0] - log(1.5), loss = 2 * away * away;

    memset(grad, 0, (size_t)K * sizeof *grad);
    grad[0] = 4 * away;
    for (size_t m = 0; m < d->shown; m++) {
        const size_t i = silr_thin(m, d->shown, d->n);
        double u[SILR_MAX_CLASSES], p[SILR_MAX_CLASSES], like = 0;
        const float *z = d->z + i * (size_t)K;
        for (int k = 0; k < K; k++)
            u[k] = A * (double)z[k] + (k > 0 ? x[k] : 0);
        silr_softmax(p, u, (size_t)K);
        for (int k = 0; k < K; k++)
            like += d->T[k * K + d->set[i]] * p[k];
        loss -= log(like);
        for (int k = 0; k < K; k++) {
            double g = p[k] * (d->T[k * K + d->set[i]] - like) / like;
            grad[0] -= g * A * (double)z[k];
            if (k > 0)
                grad[k] -= g;
        }
    }
    for (int k = 1; k < K; k++) {
        double over = fabs(x[k]) - 6; /* |b| <= 6, as a steep wall */
        loss += 0.005 * x[k] * x[k];
        grad[k] += 0.01 * x[k];
        if (over > 0) {
            loss += 1e3 * over * over;
            grad[k] += 2e3 * over * (x[k] > 0 ? 1 : -1);
        }
    }
    return loss;
}

silr_status silr_calibrate(silr_calibration *out, int K, size_t n, const float *z, const int *set,
                           const double *T, silr_error *err)
{
    silr_status st;

    memset(out, 0, sizeof *out);
    out->A = 1.5;
    if (n == 0)
        return SILR_OK;
    if (K == 2) {
        bins *d = silr_alloc(1, sizeof *d);
        if (!d)
            return silr_fail_memory(err);
        st = make_bins(d, n, z, set, err);
        if (st == SILR_OK)
            calibrate_grid(out, d, T[0], T[2]);
        silr_free(d);
        return st;
    }
    {
        many d = {K, n, shown_of(n), z, set, T};
        double x[SILR_MAX_CLASSES] = {log(1.5)};
        st = silr_minimise(many_loss, &d, (size_t)K, x, 100, 1e-3, NULL, err);
        out->A = exp(fmin(x[0], log(8)));
        for (int k = 1; k < K; k++)
            out->b[k] = x[k];
    }
    return st;
}

void silr_calibration_apply(const silr_calibration *c, int K, size_t n, const float *z, double *u)
{
    const size_t C = K == 2 ? 1 : (size_t)K;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < C; k++)
            u[i * C + k] = c->A * (double)z[i * C + k] + c->b[k];
}

/* --- area under the curve --------------------------------------------------------------------- */

/* P(score of a positive > score of a negative) + half the ties; samples are small: all pairs. */
static double auc_of(size_t n, const double *score, const int *truth, int positive,
                     const double *weight)
{
    double over = 0, pairs = 0;

    for (size_t i = 0; i < n; i++) {
        if (truth[i] != positive)
            continue;
        for (size_t j = 0; j < n; j++) {
            double w;
            if (truth[j] == positive)
                continue;
            w = (weight ? weight[i] * weight[j] : 1);
            pairs += w;
            over += w * (score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0);
        }
    }
    return pairs > 0 ? over / pairs : (double)NAN;
}

silr_status silr_auc(double *out, int K, size_t n, const double *u, const int *truth,
                     const double *weight, silr_error *err)
{
    double sum = 0, *score;
    int classes = 0;

    *out = NAN;
    if (K == 2) {
        *out = auc_of(n, u, truth, 0, weight);
        return SILR_OK;
    }
    if (!(score = silr_alloc(n, sizeof *score)))
        return silr_fail_memory(err);
    for (int k = 0; k < K; k++) {
        double a;
        for (size_t i = 0; i < n; i++) {
            double others[SILR_MAX_CLASSES];
            size_t m = 0;
            for (int l = 0; l < K; l++)
                if (l != k)
                    others[m++] = u[i * (size_t)K + (size_t)l];
            score[i] = u[i * (size_t)K + (size_t)k] - silr_logsumexp(others, m);
        }
        a = auc_of(n, score, truth, k, weight);
        if (!isnan(a)) {
            sum += a;
            classes++;
        }
    }
    silr_free(score);
    if (classes > 0)
        *out = sum / classes;
    return SILR_OK;
}

/* --- deployment ------------------------------------------------------------------------------- */

/* A full matrix W has columns^2 entries: past this many classes each column keeps its own scale
 * only (W diagonal), which is what the calibration assumes anyway. */
enum { FULL_MATRIX = 16 };

typedef struct {
    size_t C, n, shown;
    bool full;
    const float *z, *q;
} soft;

static void soft_logits(const soft *d, const double *x, const double *b, const float *z, double *u)
{
    for (size_t k = 0; k < d->C; k++) {
        u[k] = b[k];
        if (!d->full) {
            u[k] += x[k] * (double)z[k];
            continue;
        }
        for (size_t l = 0; l < d->C; l++)
            u[k] += x[k * d->C + l] * (double)z[l];
    }
}

/* Mean cross-entropy between q and softmax(W z + b), with a light ridge; x = (W, b). */
static double soft_loss(void *ctx, const double *x, double *grad)
{
    const soft *d = ctx;
    const size_t C = d->C, n_W = d->full ? C * C : C;
    const double *b = x + n_W;
    double loss = 0, count = (double)d->shown;

    memset(grad, 0, (n_W + C) * sizeof *grad);
    for (size_t m = 0; m < d->shown; m++) {
        const size_t i = silr_thin(m, d->shown, d->n);
        const float *z = d->z + i * C, *q = d->q + i * C;
        double u[SILR_MAX_CLASSES], total;
        soft_logits(d, x, b, z, u);
        total = C == 1 ? silr_log1pexp(u[0]) : silr_logsumexp(u, C);
        for (size_t k = 0; k < C; k++) {
            double g = (C == 1 ? silr_sigmoid(u[0]) : exp(u[k] - total)) - (double)q[k];
            loss += C == 1 ? total - (double)q[0] * u[0] : -(double)q[k] * (u[k] - total);
            grad[n_W + k] += g;
            if (!d->full)
                grad[k] += g * (double)z[k];
            else
                for (size_t l = 0; l < C; l++)
                    grad[k * C + l] += g * (double)z[l];
        }
    }
    loss /= count;
    for (size_t k = 0; k < n_W + C; k++) {
        grad[k] = grad[k] / count + 1e-4 * x[k];
        loss += 0.5e-4 * x[k] * x[k];
    }
    return loss;
}

silr_status silr_fit_soft(double *W, double *b, int K, size_t n, const float *z, const float *q,
                          silr_error *err)
{
    const size_t C = K == 2 ? 1 : (size_t)K;
    const soft d = {C, n, shown_of(n), C <= FULL_MATRIX, z, q};
    const size_t n_W = d.full ? C * C : C;
    double *x = silr_calloc(n_W + C, sizeof *x);
    silr_status st = SILR_OK;

    if (!x)
        return silr_fail_memory(err);
    for (size_t k = 0; k < C; k++)
        x[d.full ? k * C + k : k] = 1;
    if (n > 0)
        st = silr_minimise(soft_loss, (void *)&d, n_W + C, x, 200, 1e-6, NULL, err);
    memset(W, 0, C * C * sizeof *W);
    for (size_t k = 0; k < n_W; k++)
        W[d.full ? k : k * C + k] = x[k];
    memcpy(b, x + n_W, C * sizeof *b);
    silr_free(x);
    return st;
}
