/* recalibrate.c - the line between log-odds and probability (method.md B7).
 *
 *     P(y = + | o) = sigmoid(a o + b),         x = o - median
 *
 *     log post(a, b) = sum_i w_i log sigmoid(+-(a x_i + b'))  -  (a - a0)^2 / (2 (a0/2)^2)
 *
 * over the labelled texts, w_i their inclusion weights. b' is flat: where the zero belongs is what
 * we want to hear from the labels alone. The slope has a prior, since fifty labels that happen to
 * be separable would make it infinite, and a0 = 2 / sd(o) says that one standard deviation of o is
 * worth odds of e^2: then most texts are told apart and few with certainty. Concave: Newton.
 *
 * Before editing: the log posterior must stay finite for separable labels (the prior on a does it)
 * and has no maximum in b' when only one class was labelled (hence FEW). */
#include "refine/recalibrate.h"
#include <math.h>

enum { FEW = 2 }; /* labelled texts of a class that are too few to say where the other begins */

/* --- log-odds as they come --------------------------------------------------------------------- */

static silr_status clip(double *o, size_t n, size_t n_seen, silr_error *err)
{
    double *size = silr_alloc(n_seen, sizeof *size), limit = 30;
    size_t m = 0;

    if (!size)
        return silr_fail_memory(err);
    for (size_t i = 0; i < n_seen; i++)
        if (!isnan(o[i]))
            size[m++] = fmin(fabs(o[i]), 1e30);
    silr_sort_doubles(size, m);
    if (m > 0)
        limit = fmax(limit, 10 * silr_quantile_sorted(size, m, 0.5));
    for (size_t i = 0; i < n; i++)
        if (!isnan(o[i]))
            o[i] = fmax(fmin(o[i], limit), -limit);
    silr_free(size);
    return SILR_OK;
}

silr_status silr_odds_repair(double *o, size_t n, size_t n_seen, const int *label, silr_error *err)
{
    double sum[2] = {0}, count[2] = {0}, mean[2];
    silr_status st;

    for (size_t i = 0; i < n; i++)
        if (label[i] == SILR_NO_LABEL)
            o[i] = NAN;
    if ((st = clip(o, n, n_seen, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < n_seen; i++)
        if (!isnan(o[i])) {
            sum[label[i]] += o[i];
            count[label[i]]++;
        }
    for (int k = 0; k < 2; k++)
        mean[k] = count[k] > 0       ? sum[k] / count[k]
                  : count[1 - k] > 0 ? -sum[1 - k] / count[1 - k]
                                     : 0;
    for (size_t i = 0; i < n; i++)
        if (isnan(o[i]) && label[i] != SILR_NO_LABEL)
            o[i] = mean[label[i]];
    return SILR_OK;
}

silr_status silr_odds_spread(double *middle, double *spread, size_t n, const double *o,
                             silr_error *err)
{
    double *v = silr_alloc(n, sizeof *v), sum = 0, square = 0;
    size_t m = 0;

    if (!v)
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        if (!isnan(o[i]))
            v[m++] = o[i];
    silr_sort_doubles(v, m);
    *middle = m > 0 ? silr_quantile_sorted(v, m, 0.5) : 0;
    for (size_t i = 0; i < m; i++) {
        sum += v[i] - *middle;
        square += (v[i] - *middle) * (v[i] - *middle);
    }
    *spread = m > 0 ? sqrt(fmax(square / (double)m - sum / (double)m * (sum / (double)m), 0)) : 0;
    silr_free(v);
    return SILR_OK;
}

/* --- from labels ------------------------------------------------------------------------------- */

/* What the line is fitted to; in units of the spread, so that slope and offset are of one size. */
typedef struct {
    double middle, spread;
    size_t n;
    const double *o;
    const int *truth;
    const double *weight;
} labelled;

/* The prior of the slope: a spread of o is worth 2, give or take 1. */
static const double slope_mean = 2, slope_sd = 1;

/* log post at (a, b) with gradient g and minus the Hessian H = (aa, ab, bb). */
static double evaluate(const labelled *d, double a, double b, double g[2], double H[3])
{
    double away = (a - slope_mean) / slope_sd, f = -away * away / 2;

    g[0] = -away / slope_sd;
    H[0] = 1 / (slope_sd * slope_sd);
    g[1] = H[1] = H[2] = 0;
    for (size_t i = 0; i < d->n; i++) {
        double x = (d->o[i] - d->middle) / d->spread, m = a * x + b, p = silr_sigmoid(m);
        double w = d->weight ? d->weight[i] : 1, r = w * ((d->truth[i] == 0) - p), h = w * p * (1 - p);
        f -= w * silr_log1pexp(d->truth[i] == 0 ? -m : m);
        g[0] += r * x;
        g[1] += r;
        H[0] += h * x * x;
        H[1] += h * x;
        H[2] += h;
    }
    return f;
}

/* Damped Newton from the prior's slope; H is of the last point. */
static void climb(const labelled *d, double *a, double *b, double H[3])
{
    double g[2], f;

    *a = slope_mean;
    *b = 0;
    f = evaluate(d, *a, *b, g, H);
    for (int round = 0; round < 100; round++) {
        double det = H[0] * H[2] - H[1] * H[1], rate = 1, step[2], next;
        if (!(fabs(g[0]) + fabs(g[1]) > 1e-10) || !(det > 0))
            break;
        step[0] = (H[2] * g[0] - H[1] * g[1]) / det;
        step[1] = (H[0] * g[1] - H[1] * g[0]) / det;
        rate = fmin(1, 2 / fmax(fabs(step[0]), fabs(step[1]))); /* far out the curve is flat */
        do {
            next = evaluate(d, *a + rate * step[0], *b + rate * step[1], g, H);
            if (next >= f)
                break;
            rate /= 2;
        } while (rate > 1e-10);
        if (!(next >= f)) {
            evaluate(d, *a, *b, g, H); /* H again of where we are */
            break;
        }
        *a += rate * step[0];
        *b += rate * step[1];
        f = next;
    }
}

const char *silr_recalibrate(silr_line *out, double middle, double spread, size_t n,
                             const double *o, const int *truth, const double *weight)
{
    const labelled d = {middle, spread, n, o, truth, weight};
    size_t seen[2] = {0};
    double a, b, H[3], x, det;

    *out = (silr_line){0};
    if (!(spread > 1e-9 * fmax(1, fabs(middle))))
        return "they are all the same";
    for (size_t i = 0; i < n; i++)
        seen[truth[i] == 0 ? 0 : 1]++;
    if (seen[0] < FEW || seen[1] < FEW)
        return "too few labelled texts of one class to recalibrate them";
    climb(&d, &a, &b, H);
    if (!(a > 0))
        return "on the labelled texts they rank the wrong way round";
    out->a = a / spread;
    out->b = b - out->a * middle;
    x = -b / a; /* where the cut is */
    det = H[0] * H[2] - H[1] * H[1];
    out->wide = det > 0 ? sqrt(fmax((H[2] * x * x - 2 * H[1] * x + H[0]) / det, 0)) : 0;
    return NULL;
}

/* --- from stated numbers ----------------------------------------------------------------------- */

/* The difference between the annotator's sets in mean sigmoid(a (o - t)). */
static double apart(double a, double t, size_t n, const double *o, const int *label)
{
    double sum[2] = {0}, count[2] = {0};

    for (size_t i = 0; i < n; i++)
        if (label[i] != SILR_NO_LABEL) {
            sum[label[i]] += silr_sigmoid(a * (o[i] - t));
            count[label[i]]++;
        }
    return sum[0] / fmax(count[0], 1) - sum[1] / fmax(count[1], 1);
}

silr_status silr_recalibrate_stated(silr_line *out, const char **why, size_t n, const double *o,
                                    const int *label, double D, double pi, silr_error *err)
{
    double middle, spread, t, low, high, *v;
    size_t m = 0;
    silr_status st = silr_odds_spread(&middle, &spread, n, o, err);

    *out = (silr_line){0};
    *why = NULL;
    if (st != SILR_OK)
        return st;
    if (!(spread > 1e-9 * fmax(1, fabs(middle)))) {
        *why = "they are all the same";
        return SILR_OK;
    }
    if (!(v = silr_alloc(n, sizeof *v)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        if (!isnan(o[i]))
            v[m++] = o[i];
    silr_sort_doubles(v, m);
    t = silr_quantile_sorted(v, m, 1 - pi);
    silr_free(v);
    low = log(0.1 / spread); /* a spread of o is worth 0.1 to 20 */
    high = log(20 / spread);
    for (int k = 0; k < 60; k++) {
        double mid = (low + high) / 2;
        if (apart(exp(mid), t, n, o, label) < D)
            low = mid;
        else
            high = mid;
    }
    out->a = exp((low + high) / 2);
    out->b = -out->a * t;
    return SILR_OK;
}
