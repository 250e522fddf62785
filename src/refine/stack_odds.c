/* stack_odds.c - the stack where the annotator gave log-odds, not labels alone (method.md B7, B12).
 *
 * In the place of "which side" stands how far on that side: with l = a o + b the recalibrated
 * log-odds (recalibrate.c) and d = u - median of u,
 *
 *     logit q = c + v l + w d,      c ~ N(0, 1),   v ~ N(1, .3^2),   w ~ N(w0, sw^2) on [0, 2.4]
 *
 * w0 = .3 + .3 r and sw = w0 / 2 as with two sides. c = 0, v = 1, w = 0 is what the annotator says
 * by itself; the labelled texts may move it a little, and w as far as u has shown its worth.
 *
 * w is taken on a grid. Given w the log posterior of (c, v) is concave; Laplace's approximation
 * there, with H minus the Hessian at its maximum (c*, v*), gives
 *
 *     log evidence(w) = log post(c*, v* | w) - log det H / 2
 *     mean of sigmoid(m + e), e ~ N(0, s^2)  ~  sigmoid(m / sqrt(1 + pi s^2 / 8)),
 *
 * with m = c* + v* l + w d and s^2 = (1, l) H^-1 (1, l)'. q is the mean over the grid.
 *
 * Known purities (stated, no labelled texts): v = 1, w = w0, and c meets the share of class 0. */
#include "refine/stack_internal.h"
#include <math.h>

typedef struct {
    size_t n;
    const double *l, *d; /* [n] of the labelled texts */
    const int *truth;
} items;

static const double offset_sd = 1, scale_mean = 1, scale_sd = 0.3;

static double grid_w(int i)
{
    return 2.4 * i / (STACK_W - 1);
}

/* log post(c, v | w) with gradient g and H = minus the Hessian (cc, cv, vv). */
static double evaluate(const items *t, double w, double c, double v, double g[2], double H[3])
{
    double away = (v - scale_mean) / scale_sd, f = -(c * c) / (2 * offset_sd * offset_sd) - away * away / 2;

    g[0] = -c / (offset_sd * offset_sd);
    g[1] = -away / scale_sd;
    H[0] = 1 / (offset_sd * offset_sd);
    H[1] = 0;
    H[2] = 1 / (scale_sd * scale_sd);
    for (size_t i = 0; i < t->n; i++) {
        double m = c + v * t->l[i] + w * t->d[i], p = silr_sigmoid(m), r = (t->truth[i] == 0) - p;
        double h = p * (1 - p);
        f -= silr_log1pexp(t->truth[i] == 0 ? -m : m);
        g[0] += r;
        g[1] += r * t->l[i];
        H[0] += h;
        H[1] += h * t->l[i];
        H[2] += h * t->l[i] * t->l[i];
    }
    return f;
}

/* Newton with halving from (c, v), which may be the neighbour's maximum; returns log post there. */
static double climb(const items *t, double w, double *c, double *v, double H[3])
{
    double g[2], f = evaluate(t, w, *c, *v, g, H);

    for (int round = 0; round < 50; round++) {
        double det = H[0] * H[2] - H[1] * H[1], rate = 1, next;
        double dc = (H[2] * g[0] - H[1] * g[1]) / det, dv = (H[0] * g[1] - H[1] * g[0]) / det;
        if (!(fabs(dc) + fabs(dv) > 1e-9))
            break;
        do {
            next = evaluate(t, w, *c + rate * dc, *v + rate * dv, g, H);
            if (next >= f)
                break;
            rate /= 2;
        } while (rate > 1e-9);
        if (!(next >= f))
            return evaluate(t, w, *c, *v, g, H);
        *c += rate * dc;
        *v += rate * dv;
        f = next;
    }
    return f;
}

static void fit_labelled(silr_stack *s, const items *t, double w0)
{
    double log_w[STACK_W], c = 0, v = 1, sw = w0 / 2;

    for (int i = 0; i < STACK_W; i++) {
        silr_line_posterior *p = &s->line[i];
        double H[3], away = (grid_w(i) - w0) / sw, f = climb(t, grid_w(i), &c, &v, H);
        double det = H[0] * H[2] - H[1] * H[1];
        *p = (silr_line_posterior){c, v, H[2] / det, -H[1] / det, H[0] / det};
        log_w[i] = f - log(det) / 2 - away * away / 2;
    }
    silr_softmax(s->weight, log_w, STACK_W);
    s->slope = 0;
    for (int i = 0; i < STACK_W; i++)
        s->slope += s->weight[i] * grid_w(i);
}

/* One member of the grid, next to w0; its offset by bisection. */
static void fit_known(silr_stack *s, const silr_stack_data *d, double w0)
{
    const int at = (int)lround(w0 / 2.4 * (STACK_W - 1));
    double low = -20, high = 20;

    for (int i = 0; i < STACK_W; i++) {
        s->weight[i] = i == at;
        s->line[i] = (silr_line_posterior){.v = 1};
    }
    for (int k = 0; k < 60; k++) {
        double mid = (low + high) / 2, sum = 0;
        for (size_t i = 0; i < d->n; i++)
            sum += silr_sigmoid(mid + d->odds[i] + grid_w(at) * (d->u[i] - s->centre[0]));
        if (sum < d->pi * (double)d->n)
            low = mid;
        else
            high = mid;
    }
    s->line[at].c = (low + high) / 2;
    s->slope = grid_w(at);
}

silr_status silr_stack_fit_odds(silr_stack *out, const silr_stack_data *d, silr_error *err)
{
    const size_t m = d->n_labelled;
    double *sorted = silr_alloc(d->n, sizeof *sorted), *l = silr_alloc(m, sizeof *l),
           *u = silr_alloc(m, sizeof *u), w0 = 0.3 + 0.3 * d->reliability;
    silr_status st = sorted && l && u ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK)
        goto done;
    for (size_t i = 0; i < d->n; i++)
        sorted[i] = d->u[i];
    silr_sort_doubles(sorted, d->n);
    out->centre[0] = d->n > 0 ? silr_quantile_sorted(sorted, d->n, 0.5) : 0;
    for (size_t i = 0; i < m; i++) {
        l[i] = d->odds[d->item[i]];
        u[i] = d->u[d->item[i]] - out->centre[0];
    }
    if (d->theta)
        fit_known(out, d, w0);
    else
        fit_labelled(out, &(items){m, l, u, d->truth}, w0);
done:
    silr_free(sorted);
    silr_free(l);
    silr_free(u);
    return st;
}

static double probability(const silr_stack *s, double u, double l)
{
    double q = 0;

    for (int i = 0; i < STACK_W; i++) {
        const silr_line_posterior *p = &s->line[i];
        double m, var;
        if (s->weight[i] < 1e-9)
            continue;
        m = p->c + p->v * l + grid_w(i) * (u - s->centre[0]);
        var = p->cc + 2 * p->cv * l + p->vv * l * l;
        q += s->weight[i] * silr_sigmoid(m / sqrt(1 + 3.14159265358979323846 * var / 8));
    }
    return q;
}

void silr_stack_apply_odds(const silr_stack *s, size_t n, const double *u, const double *odds,
                           float *q)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        q[i] = isnan(odds[i]) ? NAN : (float)probability(s, u[i], odds[i]);
}
