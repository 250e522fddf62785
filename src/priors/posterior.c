/* posterior.c - how sure we are that the pseudo-labels tell the classes apart.
 *
 * Row j of Theta is Dirichlet(Theta[j] * strength_j) (theta.c); 10^4 draws of all rows give
 *
 *     the 95 % interval of the diagonal        exact: its marginal is a Beta
 *     the 95 % interval of pi = Theta^T rho    quantiles of the draws
 *     P(signal > 0), P(signal > 0.05)          shares of the draws
 *
 * For two classes the signal is D = theta_p - theta_n: 0 when the labels are noise. D has the sign
 * of tpr - fpr, so for K classes the signal is what that becomes, informedness: mean over classes
 * of P(pseudo k | true k), rescaled so that noise, and any constant answer, has 0 and truth 1.
 *
 * Draws are counted in bins, so that nothing is allocated and nothing can fail. */
#include "priors/inside.h"
#include <math.h>
#include <string.h>

enum { DRAWS = 10000, BINS = 1024 };

/* Many classes: fewer draws, so that the number of gamma variates stays below two million. */
static int draws_for(int K)
{
    int most = 2000000 / (K * K);
    return most < DRAWS ? most : DRAWS;
}

double silr_priors_signal(int K, const double *theta, const double *rho)
{
    double recall = 0;

    if (K == 2)
        return theta[0] - theta[2];
    for (int k = 0; k < K; k++) {
        double pi = 0;
        for (int j = 0; j < K; j++)
            pi += rho[j] * theta[j * K + k];
        recall += pi > 0 ? rho[k] * theta[k * K + k] / pi / K : 0;
    }
    return (K * recall - 1) / (K - 1);
}

static void draw_theta(silr_rng *g, const silr_priors *p, double *theta)
{
    int K = p->K;

    for (int j = 0; j < K; j++) {
        double strength = p->n_eff[j] + silr_priors_strength(K), sum = 0;
        for (int k = 0; k < K; k++) {
            double shape = p->theta[j * K + k] * strength;
            theta[j * K + k] = shape > 0 ? silr_rng_gamma(g, shape) : 0;
            sum += theta[j * K + k];
        }
        for (int k = 0; k < K; k++)
            theta[j * K + k] = sum > 0 ? theta[j * K + k] / sum : 1.0 / K;
    }
}

/* Quantile q of the draws counted in bin[BINS] over [0, 1], linear inside a bin. */
static double bin_quantile(const uint16_t *bin, int draws, double q)
{
    double want = q * draws, below = 0;

    for (int b = 0; b < BINS; b++) {
        if (bin[b] > 0 && below + bin[b] >= want)
            return (b + (want - below) / bin[b]) / BINS;
        below += bin[b];
    }
    return 1;
}

static void intervals(silr_priors *p, uint16_t bin[][BINS], int draws)
{
    int K = p->K;

    for (int k = 0; k < K; k++) {
        double strength = p->n_eff[k] + silr_priors_strength(K), mean = p->theta[k * K + k];
        double a = mean * strength, b = (1 - mean) * strength;
        p->theta_low[k] = a > 0 && b > 0 ? silr_beta_quantile(a, b, 0.025) : mean;
        p->theta_high[k] = a > 0 && b > 0 ? silr_beta_quantile(a, b, 0.975) : mean;
        p->pi_low[k] = bin_quantile(bin[k], draws, 0.025);
        p->pi_high[k] = bin_quantile(bin[k], draws, 0.975);
    }
}

void silr_priors_posterior(silr_priors *p, uint64_t seed)
{
    uint16_t bin[SILR_MAX_CLASSES][BINS];
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES];
    int K = p->K, draws = draws_for(K), above = 0, margin = 0;
    silr_rng g;

    if (p->known) {
        double signal = silr_priors_signal(K, p->theta, p->rho);
        p->p_d_positive = signal > 0 ? 1 : 0;
        p->p_d_margin = signal > 0.05 ? 1 : 0;
        return;
    }
    memset(bin, 0, sizeof bin);
    silr_rng_init(&g, seed, SILR_RNG_POSTERIOR, 0, 0);
    for (int draw = 0; draw < draws; draw++) {
        double signal;

        draw_theta(&g, p, theta);
        signal = silr_priors_signal(K, theta, p->rho);
        above += signal > 0;
        margin += signal > 0.05;
        for (int k = 0; k < K; k++) {
            double pi = 0;
            for (int j = 0; j < K; j++)
                pi += p->rho[j] * theta[j * K + k];
            bin[k][(int)fmin(pi * BINS, BINS - 1)]++;
        }
    }
    p->p_d_positive = (double)above / draws;
    p->p_d_margin = (double)margin / draws;
    intervals(p, bin, draws);
}
