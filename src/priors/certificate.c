/* certificate.c - how accurate the labels are, said only with answers that were honest.
 *
 * The sample was drawn by stratum, n_h texts of stratum h, which is the share W_h of the pool; a_i
 * says whether the label that a model gave text i, without having seen its truth, is right.
 *
 *     value      sum_h W_h mean_h(a)                 the raw mean: without bias, and what a person
 *                                                    with a pencil gets
 *     interval   2.5 % and 97.5 % quantiles of sum_h W_h A_h over 10^4 draws,
 *                A_h ~ Beta(1/2 + right_h, 1/2 + wrong_h)
 *
 * Jeffreys' 1/2 rather than Laplace's 1: with 25 texts a stratum and accuracies of .75 .. .98 the
 * interval covers the truth in 94 to 97 % of simulated samples, with Laplace's in 96 % down to
 * 85 %, since it is pulled to 1/2. A stratum without a text counts as the mean of the others, and
 * its draws are Beta(1/2, 1/2): we know nothing of it, and the interval says so.
 *
 * Texts of a stratum that were drawn at different rates have different weights (sample.c). Those
 * of one weight are then a stratum of their own, its share the sum of their weights: without that
 * the texts that were drawn more often, because they are hard, would speak for the easy ones. */
#include "priors/priors.h"
#include <math.h>
#include <string.h>

enum { DRAWS = 10000, MAX_STRATA = SILR_MAX_CLASSES + 1, MAX_PARTS = 4 * SILR_MAX_CELLS };

/* The texts of one stratum that were drawn alike: with the same weight. */
typedef struct {
    size_t stratum;
    double weight, share, hit, count; /* share: of the stratum */
} part;

/* The part of a text, made when it is the first of it. Where the room ends (weights that are no
 * strata's) the rest joins a part of its own stratum. */
static part *find_part(part *p, size_t *n, size_t h, double w)
{
    part *same = NULL;

    for (size_t i = 0; i < *n; i++) {
        if (p[i].stratum != h)
            continue;
        if (!(p[i].weight < w) && !(p[i].weight > w))
            return &p[i];
        same = &p[i];
    }
    if (*n == MAX_PARTS)
        return same;
    p[*n] = (part){.stratum = h, .weight = w};
    return &p[(*n)++];
}

/* The parts of all strata, ordered by stratum; one without texts where a stratum has none. */
static size_t gather(part *out, size_t n, const int *stratum, const int *right,
                     const double *weight, size_t n_strata)
{
    part found[MAX_PARTS];
    size_t n_found = 0, n_out = 0;
    double sum[MAX_STRATA] = {0};

    for (size_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        part *p;
        if (stratum[i] < 0 || (size_t)stratum[i] >= n_strata || !(w > 0) ||
            !(p = find_part(found, &n_found, (size_t)stratum[i], w)))
            continue;
        p->hit += right[i] != 0;
        p->count++;
        p->share += w;
        sum[stratum[i]] += w;
    }
    for (size_t h = 0; h < n_strata; h++) {
        if (!(sum[h] > 0) && n_out < MAX_PARTS)
            out[n_out++] = (part){.stratum = h, .share = 1};
        for (size_t i = 0; i < n_found && n_out < MAX_PARTS; i++)
            if (found[i].stratum == h) {
                out[n_out] = found[i];
                out[n_out++].share /= sum[h];
            }
    }
    return n_out;
}

static double raw_mean(size_t n, const part *p, const double *share)
{
    double sum = 0, known = 0;

    for (size_t i = 0; i < n; i++)
        if (p[i].count > 0) {
            sum += share[p[i].stratum] * p[i].share * (p[i].hit / p[i].count);
            known += share[p[i].stratum] * p[i].share;
        }
    return known > 0 ? sum / known : 0.5;
}

void silr_certificate(silr_interval *out, size_t n, const int *stratum, const int *right,
                      const double *weight, size_t n_strata, const double *share, uint64_t seed)
{
    part p[MAX_PARTS];
    double draws[DRAWS], all = 0;
    size_t n_parts;
    silr_rng g;

    n_strata = n_strata < MAX_STRATA ? n_strata : MAX_STRATA;
    n_parts = gather(p, n, stratum, right, weight, n_strata);
    for (size_t h = 0; h < n_strata; h++)
        all += share[h];
    silr_rng_init(&g, seed, SILR_RNG_POSTERIOR, 1, 0);
    for (int d = 0; d < DRAWS; d++) {
        draws[d] = 0;
        for (size_t i = 0; i < n_parts; i++)
            if (share[p[i].stratum] > 0)
                draws[d] += share[p[i].stratum] / all * p[i].share *
                            silr_rng_beta(&g, 0.5 + p[i].hit, 0.5 + p[i].count - p[i].hit);
    }
    silr_sort_doubles(draws, DRAWS);
    out->value = raw_mean(n_parts, p, share);
    out->low = fmin(silr_quantile_sorted(draws, DRAWS, 0.025), out->value);
    out->high = fmax(silr_quantile_sorted(draws, DRAWS, 0.975), out->value);
}

/* A single proportion. Jeffreys' interval covers 95 % on average over the truths, Clopper-Pearson's
 * at least 95 % for each of them. At 0 of n and n of n the interval reaches the end. */
silr_interval silr_proportion(double right, double n, bool exact)
{
    silr_interval out = {0, 0, 1};
    double a = exact ? 0 : 0.5, wrong = n - right;

    if (!(n > 0) || !(right >= 0) || !(wrong >= 0))
        return out;
    out.value = right / n;
    if (right > 0)
        out.low = silr_beta_quantile(right + a, wrong + (exact ? 1 : 0.5), 0.025);
    if (wrong > 0)
        out.high = silr_beta_quantile(right + (exact ? 1 : 0.5), wrong + a, 0.975);
    return out;
}
