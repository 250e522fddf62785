/* adamw.c - AdamW (Loshchilov and Hutter 2019), as PyTorch orders it, with g the gradient:
 *
 *     p <- p (1 - lr wd)
 *     m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
 *     p <- p - lr/(1 - b1^t)  m / (sqrt(v)/sqrt(1 - b2^t) + eps)
 *
 * In floats the corrections are taken out of the loop: with s = sqrt(1 - b2^t),
 *
 *     lr/(1 - b1^t) m / (sqrt(v)/s + eps)  =  (lr s/(1 - b1^t)) m / (sqrt(v) + eps s)
 *
 * All ranges are cut into pieces, and threads take pieces. */
#include "classify/adamw.h"
#include "classify/kernels.h"

#include <math.h>

enum {
    PIECE = 8192, /* parameters */
    ALONE = 4,    /* fewer pieces are not worth other threads */
    SUMS = 64     /* of squares: piece i belongs to sum i % SUMS */
};

/* What does not change within a range. */
typedef struct {
    float b1, c1, b2, c2, l2, keep, rate, eps, by;
} rates;

EACH_CPU static void step(size_t n, float *restrict p, float *restrict g, float *restrict m,
                          float *restrict v, const rates *r)
{
    const float b1 = r->b1, c1 = r->c1, b2 = r->b2, c2 = r->c2, l2 = r->l2, keep = r->keep;
    const float rate = r->rate, eps = r->eps, by = r->by;

    for (size_t i = 0; i < n; i++) {
        const float d = by * g[i] + l2 * p[i];
        const float mi = b1 * m[i] + c1 * d, vi = b2 * v[i] + c2 * d * d;
        m[i] = mi;
        v[i] = vi;
        p[i] = p[i] * keep - rate * mi / (sqrtf(vi) + eps);
        g[i] = 0;
    }
}

static rates rates_of(const silr_adam *a, double lr, uint64_t t, double by, const silr_adamw_range *range)
{
    const double s = sqrt(1 - pow(a->beta2, (double)t));
    const double rate = lr / (1 - pow(a->beta1, (double)t)) * s;

    return (rates){.b1 = (float)a->beta1, .c1 = (float)(1 - a->beta1), .b2 = (float)a->beta2,
                   .c2 = (float)(1 - a->beta2), .l2 = (float)range->l2,
                   .keep = (float)(1 - (range->decay ? lr * a->weight_decay : 0)), .rate = (float)rate,
                   .eps = (float)(a->epsilon * s), .by = (float)by};
}

/* --- pieces ------------------------------------------------------------------------------------- */

static size_t pieces_of(const silr_adamw_range *range)
{
    return (range->n + PIECE - 1) / PIECE;
}

static size_t all_pieces(const silr_adamw_range *range, size_t n_ranges)
{
    size_t n = 0;

    for (size_t i = 0; i < n_ranges; i++)
        n += pieces_of(&range[i]);
    return n;
}

/* Piece i of all: its range is returned, its parameters are *from .. *from + *n - 1. */
static size_t piece(const silr_adamw_range *range, size_t i, size_t *from, size_t *n)
{
    size_t k = 0;

    for (; i >= pieces_of(&range[k]); k++)
        i -= pieces_of(&range[k]);
    *from = range[k].from + i * PIECE;
    *n = range[k].n - i * PIECE < PIECE ? range[k].n - i * PIECE : PIECE;
    return k;
}

static double squares(const float *g, size_t n)
{
    double sum[4] = {0};

    for (size_t i = 0; i < n; i++)
        sum[i % 4] += (double)g[i] * (double)g[i];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

double silr_adamw_norm(const silr_adamw_block *b, const silr_adamw_range *range, size_t n_ranges)
{
    const size_t pieces = all_pieces(range, n_ranges);
    double sum[SUMS] = {0}, all = 0;

#pragma omp parallel for schedule(static) if (pieces > ALONE)
    for (size_t s = 0; s < SUMS; s++)
        for (size_t i = s; i < pieces; i += SUMS) {
            size_t from, n;
            piece(range, i, &from, &n);
            sum[s] += squares(b->grad + from, n);
        }
    for (size_t s = 0; s < SUMS; s++)
        all += sum[s];
    return sqrt(all);
}

bool silr_adamw_step(const silr_adamw_block *b, const silr_adamw_range *range, size_t n_ranges,
                     const silr_adam *adam, double lr, uint64_t t, double clip, double *norm)
{
    const size_t pieces = all_pieces(range, n_ranges);
    double by = 1;

    if (clip > 0 || norm) {
        const double length = silr_adamw_norm(b, range, n_ranges);
        if (norm)
            *norm = length;
        if (!isfinite(length))
            return false;
        if (clip > 0 && clip < length + 1e-6)
            by = clip / (length + 1e-6);
    }
#pragma omp parallel for schedule(static) if (pieces > ALONE)
    for (size_t i = 0; i < pieces; i++) {
        size_t from, n;
        const rates r = rates_of(adam, lr, t, by, &range[piece(range, i, &from, &n)]);
        step(n, b->params + from, b->grad + from, b->m + from, b->v + from, &r);
    }
    return true;
}

void silr_adamw_f64(const silr_adam *a, double lr, uint64_t t, bool decay, double l2, size_t n, double *p,
                    const double *g, double *m, double *v)
{
    const double s = sqrt(1 - pow(a->beta2, (double)t)), rate = lr / (1 - pow(a->beta1, (double)t));

    for (size_t i = 0; i < n; i++) {
        const double d = g[i] + l2 * p[i];
        p[i] *= decay ? 1 - lr * a->weight_decay : 1;
        m[i] = a->beta1 * m[i] + (1 - a->beta1) * d;
        v[i] = a->beta2 * v[i] + (1 - a->beta2) * d * d;
        p[i] -= rate * m[i] / (sqrt(v[i]) / s + a->epsilon);
    }
}
