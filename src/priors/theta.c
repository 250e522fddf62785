/* theta.c - how pure each pseudo-set is, from a few dozen hand-checked texts.
 *
 * Theta[j][k] = P(true k | pseudo j). Text i of the sample stands for w_i texts of the pool (it was
 * drawn by stratum, priors.h), so a set's counts are weighted, and worth
 *
 *     n_eff = (sum w)^2 / sum w^2  <=  number of texts
 *
 * unweighted ones: N[j][k] = n_eff_j (sum w_i [y_i = k]) / (sum w_i), over the sample in set j.
 *
 *     K = 2    Theta[j][0] = (N[j][0] + 1) / (n_eff_j + 2)             Laplace; an empty set: 1/2
 *     K > 2    Theta[j] = (N[j] + 2K prior[j]) / (n_eff_j + 2K)        prior: shared by all rows
 *              prior[j][j] = acc = (trace N + 1) / (n + 2), the rest of the row spread over the
 *              other classes as often as they were seen (plus one)
 *     both     rho_j = share of set j in the pool,  pi = Theta^T rho
 *
 * pi is never taken from elsewhere: only so do Theta, rho and pi describe one population. Errors
 * are not symmetric: a Theta too clean by 0.1 costs three times what one too noisy does, so both
 * forms shrink to less clean sets. Both are posterior means of Dirichlet rows, so posterior.c can
 * draw from Dirichlet(Theta[j] * strength_j), strength_j = n_eff_j + 2 or n_eff_j + 2K. */
#include "priors/inside.h"
#include <math.h>
#include <string.h>

/* N[j][k] and n_eff[j]. */
static void counts_of(double *N, double *n_eff, int K, size_t n, const int *pseudo,
                      const int *truth, const double *weight)
{
    double sum[SILR_MAX_CLASSES] = {0}, square[SILR_MAX_CLASSES] = {0};

    memset(N, 0, sizeof(double) * (size_t)(K * K));
    for (size_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        int j = pseudo[i], k = truth[i];
        if (j < 0 || j >= K || k < 0 || k >= K || !(w > 0))
            continue;
        N[j * K + k] += w;
        sum[j] += w;
        square[j] += w * w;
    }
    for (int j = 0; j < K; j++) {
        n_eff[j] = sum[j] > 0 ? sum[j] * sum[j] / square[j] : 0;
        for (int k = 0; k < K; k++)
            N[j * K + k] = sum[j] > 0 ? N[j * K + k] / sum[j] * n_eff[j] : 0;
    }
}

static void laplace(double *theta, const double *N, const double *n_eff)
{
    for (int j = 0; j < 2; j++) {
        theta[j * 2] = (N[j * 2] + 1) / (n_eff[j] + 2);
        theta[j * 2 + 1] = 1 - theta[j * 2];
    }
}

/* B6: accuracy on the diagonal, the rest spread by the smoothed class counts. */
void silr_priors_shared_rows(double *prior, const double *N, const double *n_eff, int K)
{
    double seen[SILR_MAX_CLASSES], n = 0, trace = 0, acc;

    for (int k = 0; k < K; k++) {
        seen[k] = 1;
        for (int j = 0; j < K; j++)
            seen[k] += N[j * K + k];
        trace += N[k * K + k];
        n += n_eff[k];
    }
    acc = (trace + 1) / (n + 2);
    for (int j = 0; j < K; j++) {
        double others = 0;
        for (int k = 0; k < K; k++)
            others += k == j ? 0 : seen[k];
        for (int k = 0; k < K; k++)
            prior[j * K + k] = k == j ? acc : (1 - acc) * seen[k] / others;
    }
}

static void shrink(double *theta, const double *N, const double *n_eff, int K)
{
    const double strength = silr_priors_strength(K);

    silr_priors_shared_rows(theta, N, n_eff, K);
    for (int j = 0; j < K; j++)
        for (int k = 0; k < K; k++)
            theta[j * K + k] =
                (N[j * K + k] + strength * theta[j * K + k]) / (n_eff[j] + strength);
}

void silr_priors_prior_rows(double *prior, int K, size_t n, const int *pseudo, const int *truth,
                            const double *weight)
{
    double N[SILR_MAX_CLASSES * SILR_MAX_CLASSES], n_eff[SILR_MAX_CLASSES];

    counts_of(N, n_eff, K, n, pseudo, truth, weight);
    silr_priors_shared_rows(prior, N, n_eff, K);
}

/* rho from the sizes of the sets, pi = Theta^T rho; intervals of no width until posterior.c. */
void silr_priors_mix(silr_priors *p, const double *counts)
{
    double all = 0;
    int K = p->K;

    for (int j = 0; j < K; j++)
        all += counts[j];
    for (int j = 0; j < K; j++)
        p->rho[j] = all > 0 ? counts[j] / all : 1.0 / K;
    for (int k = 0; k < K; k++) {
        p->pi[k] = 0;
        for (int j = 0; j < K; j++)
            p->pi[k] += p->rho[j] * p->theta[j * K + k];
        p->theta_low[k] = p->theta_high[k] = p->theta[k * K + k];
        p->pi_low[k] = p->pi_high[k] = p->pi[k];
    }
}

void silr_priors_estimate(silr_priors *out, int K, const double *counts, size_t n,
                          const int *pseudo, const int *truth, const double *weight)
{
    double N[SILR_MAX_CLASSES * SILR_MAX_CLASSES];

    memset(out, 0, sizeof *out);
    out->K = K;
    counts_of(N, out->n_eff, K, n, pseudo, truth, weight);
    if (K == 2)
        laplace(out->theta, N, out->n_eff);
    else
        shrink(out->theta, N, out->n_eff, K);
    for (int j = 0; j < K; j++)
        out->hits[j] = K == 2 ? N[j * 2] : N[j * K + j];
    silr_priors_mix(out, counts);
}
