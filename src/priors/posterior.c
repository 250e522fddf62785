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
 * Draws are counted in bins, so that nothing is allocated and nothing can fail.
 *
 * Where there is no time for draws (after every key of `silr label`, with many classes) the same
 * comes from normal curves. With r_k = P(pseudo k | true k) = rho_k Theta[k][k] / pi_k
 *
 *     d signal / d Theta[j][k] = rho_j ([j = k] - r_k) / (pi_k (K - 1))  =: g_jk
 *     Var(signal) = sum_j (sum_k g_jk^2 Theta[j][k] - (sum_k g_jk Theta[j][k])^2) / (strength_j + 1) */
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

double silr_priors_signal_sd(const silr_priors *p)
{
    double variance = 0;
    int K = p->K;

    for (int j = 0; j < K; j++) {
        double mean = 0, square = 0;
        for (int k = 0; k < K; k++) {
            double t = p->theta[j * K + k], r, g;
            r = p->pi[k] > 0 ? p->rho[k] * p->theta[k * K + k] / p->pi[k] : 0;
            g = p->pi[k] > 0 ? p->rho[j] * ((j == k) - r) / p->pi[k] / (K - 1) : 0;
            if (K == 2)
                g = k == 0;
            mean += g * t;
            square += g * g * t;
        }
        variance += (square - mean * mean) / (p->n_eff[j] + silr_priors_strength(K) + 1);
    }
    return sqrt(variance);
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

static void theta_intervals(silr_priors *p)
{
    int K = p->K;

    for (int k = 0; k < K; k++) {
        double strength = p->n_eff[k] + silr_priors_strength(K), mean = p->theta[k * K + k];
        double a = mean * strength, b = (1 - mean) * strength;
        p->theta_low[k] = a > 0 && b > 0 ? silr_beta_quantile(a, b, 0.025) : mean;
        p->theta_high[k] = a > 0 && b > 0 ? silr_beta_quantile(a, b, 0.975) : mean;
    }
}

/* P(signal > at) by the normal curve. */
static double above(double signal, double sd, double at)
{
    if (!(sd > 0))
        return signal > at ? 1 : 0;
    return 0.5 * erfc(-(signal - at) / sd / sqrt(2));
}

void silr_priors_curves(silr_priors *p)
{
    int K = p->K;
    double signal = silr_priors_signal(K, p->theta, p->rho);
    double sd = p->known ? 0 : silr_priors_signal_sd(p);

    p->p_d_positive = above(signal, sd, 0);
    p->p_d_margin = above(signal, sd, 0.05);
    if (p->known)
        return;
    theta_intervals(p);
    for (int k = 0; k < K; k++) {
        double variance = 0;
        for (int j = 0; j < K; j++) {
            double t = p->theta[j * K + k];
            variance += p->rho[j] * p->rho[j] * t * (1 - t) /
                        (p->n_eff[j] + silr_priors_strength(K) + 1);
        }
        p->pi_low[k] = fmax(p->pi[k] - 1.96 * sqrt(variance), 0);
        p->pi_high[k] = fmin(p->pi[k] + 1.96 * sqrt(variance), 1);
    }
}

void silr_priors_posterior(silr_priors *p, uint64_t seed)
{
    uint16_t bin[SILR_MAX_CLASSES][BINS];
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES];
    int K = p->K, draws = draws_for(K), positive = 0, margin = 0;
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
        positive += signal > 0;
        margin += signal > 0.05;
        for (int k = 0; k < K; k++) {
            double pi = 0;
            for (int j = 0; j < K; j++)
                pi += p->rho[j] * theta[j * K + k];
            bin[k][(int)fmin(pi * BINS, BINS - 1)]++;
        }
    }
    p->p_d_positive = (double)positive / draws;
    p->p_d_margin = (double)margin / draws;
    theta_intervals(p);
    for (int k = 0; k < K; k++) {
        p->pi_low[k] = bin_quantile(bin[k], draws, 0.025);
        p->pi_high[k] = bin_quantile(bin[k], draws, 0.975);
    }
}
