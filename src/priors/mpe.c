/* mpe.c - theta without a single label: mixture proportion estimation.
 *
 * If some region of scores holds almost only texts of set U that are truly positive, then there the
 * density of U' against U shows how much of U' is made of U's kind, and the other way round:
 *
 *     kappa_1 = inf_t P_U(z < t) / P_U'(z < t)             low scores: what is left of U there
 *     kappa_2 = inf_t P_U'(z >= t) / P_U(z >= t)           high scores: what is left of U'
 *
 * and (Scott 2015)   theta_p = (1 - kappa_1) / (1 - kappa_1 kappa_2),   theta_n = kappa_2 theta_p.
 * The infimum of a noisy ratio is biased low in the tails, where few texts are left; so the
 * threshold minimises the ratio plus its sampling error (best bin estimation, Garg et al. 2021):
 *
 *     eps = sqrt(ln(4/0.1) / (2 n_U)) + sqrt(ln(4/0.1) / (2 n_U'))
 *     t_1 = argmin (P_U(z<t) + eps) / P_U'(z<t),   t over the 2 % .. 98 % quantiles of z
 *
 * z must come from models that did not see the text. What comes out is a bound that is met only if
 * nearly pure regions exist: too noisy rather than too clean. */
#include "priors/priors.h"
#include <math.h>

enum { FEWEST = 20 };

void silr_kappa_from_theta(double theta_p, double theta_n, double *kappa_1, double *kappa_2)
{
    *kappa_1 = theta_n < 1 ? (1 - theta_p) / (1 - theta_n) : 1;
    *kappa_2 = theta_p > 0 ? theta_n / theta_p : 1;
}

void silr_theta_from_kappa(double kappa_1, double kappa_2, double *theta_p, double *theta_n)
{
    double rest = 1 - kappa_1 * kappa_2;

    *theta_p = rest > 0 ? (1 - kappa_1) / rest : 0.5;
    *theta_n = kappa_2 * *theta_p;
}

/* Share of sorted v[n] that is below t. */
static double below(const double *v, size_t n, double t)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (v[mid] < t)
            low = mid + 1;
        else
            high = mid;
    }
    return (double)low / (double)n;
}

static double clip(double v)
{
    return v < 0 ? 0 : v > 0.98 ? 0.98 : v;
}

/* u: sorted scores of U [n_u], v: of U' [n_v], all: of both. */
static void best_bins(const double *u, size_t n_u, const double *v, size_t n_v, const double *all,
                      double *kappa_1, double *kappa_2)
{
    double spread = log(4 / 0.1) / 2, best_1 = INFINITY, best_2 = INFINITY;
    double eps = sqrt(spread / (double)n_u) + sqrt(spread / (double)n_v);

    *kappa_1 = *kappa_2 = 0.98;
    for (int percent = 2; percent <= 98; percent++) {
        double t = silr_quantile_sorted(all, n_u + n_v, percent / 100.0);
        double lu = below(u, n_u, t), lv = below(v, n_v, t);
        if (lv > 0 && (lu + eps) / lv < best_1) {
            best_1 = (lu + eps) / lv;
            *kappa_1 = clip(lu / lv);
        }
        if (lu < 1 && (1 - lv + eps) / (1 - lu) < best_2) {
            best_2 = (1 - lv + eps) / (1 - lu);
            *kappa_2 = clip((1 - lv) / (1 - lu));
        }
    }
}

silr_status silr_mpe(double *theta_p, double *theta_n, const double *z, const int *set, size_t n,
                     silr_error *err)
{
    silr_status st = SILR_OK;
    double *u = silr_alloc(n, sizeof *u), *v = silr_alloc(n, sizeof *v);
    double *all = silr_alloc(n, sizeof *all), kappa_1, kappa_2;
    size_t n_u = 0, n_v = 0;

    if (!u || !v || !all) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        if ((set[i] != 0 && set[i] != 1) || !isfinite(z[i]))
            continue;
        all[n_u + n_v] = z[i];
        if (set[i] == 0)
            u[n_u++] = z[i];
        else
            v[n_v++] = z[i];
    }
    if (n_u < FEWEST || n_v < FEWEST) {
        st = silr_fail(err, SILR_EINPUT,
                       "labelled: none needs %d texts with each pseudo-label, there are %zu and "
                       "%zu; give a labelled sample", FEWEST, n_u, n_v);
        goto done;
    }
    silr_sort_doubles(u, n_u);
    silr_sort_doubles(v, n_v);
    silr_sort_doubles(all, n_u + n_v);
    best_bins(u, n_u, v, n_v, all, &kappa_1, &kappa_2);
    silr_theta_from_kappa(kappa_1, kappa_2, theta_p, theta_n);
done:
    silr_free(u);
    silr_free(v);
    silr_free(all);
    return st;
}
