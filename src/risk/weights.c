/* weights.c - how much each set's mean counts: C[k][j] = pi_k A[k][j], A = Theta^-1.
 *
 * Two classes, with theta_p = Theta[0][0], theta_n = Theta[1][0], D = theta_p - theta_n = det
 * Theta:
 *
 *     a = (1-theta_n) pi / D    b = theta_n (1-pi) / D         C = [  a  -c ]
 *     c = (1-theta_p) pi / D    d = theta_p (1-pi) / D             [ -b   d ]
 *
 * D below 0.02 counts as 0.02: the coefficients would explode, and an estimated D is never known
 * better than that. D <= 0 means that the pseudo-labels point the wrong way, or nowhere: refused.
 *
 * K > 2: A = (Theta^T Theta + ridge I)^-1 Theta^T, ridge 1e-3. When the smallest singular value of
 * Theta is below 0.1 (two sets that look alike), Theta is first mixed with a prior of the same
 * diagonal strength, Theta <- (1-m) Theta + m prior, with the smallest m of 0.05, 0.1, ... 1 that
 * passes; m is reported. The prior has each row's diagonal at the mean diagonal of Theta, but no
 * lower than half way between chance and certainty (so that the prior itself passes), and the rest
 * spread over the other classes as pi is. */
#include "risk/risk.h"
#include <math.h>
#include <string.h>

#define RIDGE 1e-3
#define MIN_D 0.02
#define MIN_SINGULAR 0.1

static void coefficients(double theta_p, double theta_n, double D, double pi, double abcd[4])
{
    abcd[0] = (1 - theta_n) * pi / D;
    abcd[1] = theta_n * (1 - pi) / D;
    abcd[2] = (1 - theta_p) * pi / D;
    abcd[3] = theta_p * (1 - pi) / D;
}

void silr_risk_coefficients(double theta_p, double theta_n, double pi, double abcd[4])
{
    coefficients(theta_p, theta_n, theta_p - theta_n, pi, abcd);
}

/* g = t^T t, [K, K]. */
static void gram(double *g, const double *t, int K)
{
    for (int a = 0; a < K; a++)
        for (int b = 0; b < K; b++) {
            double sum = 0;
            for (int j = 0; j < K; j++)
                sum += t[j * K + a] * t[j * K + b];
            g[a * K + b] = sum;
        }
}

/* One Jacobi rotation in the plane (p, q) that makes g[p][q] zero and keeps the eigenvalues. */
static void rotate(double *g, int K, int p, int q)
{
    double apq = g[p * K + q], tau, t, c, s;

    if (apq == 0)
        return;
    tau = (g[q * K + q] - g[p * K + p]) / (2 * apq);
    t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
    c = 1 / sqrt(1 + t * t);
    s = t * c;
    for (int i = 0; i < K; i++) {
        double x = g[i * K + p], y = g[i * K + q];
        g[i * K + p] = c * x - s * y;
        g[i * K + q] = s * x + c * y;
    }
    for (int i = 0; i < K; i++) {
        double x = g[p * K + i], y = g[q * K + i];
        g[p * K + i] = c * x - s * y;
        g[q * K + i] = s * x + c * y;
    }
}

/* The root of the smallest eigenvalue of t^T t. */
static double smallest_singular(const double *t, int K)
{
    double g[SILR_RISK_CLASSES * SILR_RISK_CLASSES], least = INFINITY;

    gram(g, t, K);
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0;
        for (int p = 0; p < K; p++)
            for (int q = p + 1; q < K; q++) {
                off += g[p * K + q] * g[p * K + q];
                rotate(g, K, p, q);
            }
        if (off < 1e-26)
            break;
    }
    for (int k = 0; k < K; k++)
        least = g[k * K + k] < least ? g[k * K + k] : least;
    return least > 0 ? sqrt(least) : 0;
}

/* Solves g x = b for K right-hand sides, in place (x comes out in b), by elimination with partial
 * pivoting. false: singular. */
static bool solve(double *g, double *b, int K)
{
    for (int col = 0; col < K; col++) {
        int top = col;
        for (int i = col + 1; i < K; i++)
            if (fabs(g[i * K + col]) > fabs(g[top * K + col]))
                top = i;
        if (!(fabs(g[top * K + col]) > 1e-14))
            return false;
        for (int m = 0; m < K; m++) {
            double x = g[col * K + m], y = b[col * K + m];
            g[col * K + m] = g[top * K + m];
            g[top * K + m] = x;
            b[col * K + m] = b[top * K + m];
            b[top * K + m] = y;
        }
        for (int i = 0; i < K; i++) {
            double f = g[i * K + col] / g[col * K + col];
            if (i == col)
                continue;
            for (int m = 0; m < K; m++) {
                g[i * K + m] -= f * g[col * K + m];
                b[i * K + m] -= f * b[col * K + m];
            }
        }
    }
    for (int i = 0; i < K; i++)
        for (int m = 0; m < K; m++)
            b[i * K + m] /= g[i * K + i];
    return true;
}

silr_status silr_risk_weights(int K, const double *theta, const double *pi, double ridge, double *c,
                              silr_error *err)
{
    double g[SILR_RISK_CLASSES * SILR_RISK_CLASSES];

    if (K < 2 || K > SILR_RISK_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%d classes: silr takes 2 to %d", K, SILR_RISK_CLASSES);
    gram(g, theta, K);
    for (int k = 0; k < K; k++) {
        g[k * K + k] += ridge;
        for (int j = 0; j < K; j++)
            c[k * K + j] = theta[j * K + k]; /* Theta^T */
    }
    if (!solve(g, c, K))
        return silr_fail(err, SILR_EDOMAIN, "theta cannot be inverted: two pseudo-labels mean the "
                                            "same mixture of classes; give more labelled texts");
    for (int k = 0; k < K; k++)
        for (int j = 0; j < K; j++)
            c[k * K + j] *= pi[k];
    return SILR_OK;
}

static void diagonal_prior(double *prior, const double *theta, const double *pi, int K)
{
    double diagonal = 0, least = 0.5 + 0.5 / K;

    for (int j = 0; j < K; j++)
        diagonal += theta[j * K + j] / K;
    diagonal = diagonal > least ? diagonal : least;
    for (int j = 0; j < K; j++) {
        double others = 0;
        for (int k = 0; k < K; k++)
            others += k == j ? 0 : pi[k] + 1e-3;
        for (int k = 0; k < K; k++)
            prior[j * K + k] =
                k == j ? diagonal : (1 - diagonal) * (pi[k] + 1e-3) / others;
    }
}

/* Mixes the prior into theta until it can be inverted; returns the share m. */
static double repair(double *theta, const double *pi, int K)
{
    double prior[SILR_RISK_CLASSES * SILR_RISK_CLASSES];
    double mixed[SILR_RISK_CLASSES * SILR_RISK_CLASSES], m = 0;

    diagonal_prior(prior, theta, pi, K);
    memcpy(mixed, theta, sizeof(double) * (size_t)(K * K));
    for (int step = 1; step <= 20 && smallest_singular(mixed, K) < MIN_SINGULAR; step++) {
        m = 0.05 * step;
        for (int i = 0; i < K * K; i++)
            mixed[i] = (1 - m) * theta[i] + m * prior[i];
    }
    memcpy(theta, mixed, sizeof(double) * (size_t)(K * K));
    return m;
}

static silr_status init_two(silr_risk *r, const double *theta, const double *pi, silr_error *err)
{
    double D = theta[0] - theta[2], s[4];

    if (!(D > 0))
        return silr_fail(err, SILR_EDOMAIN,
                         "theta_p %.3f is not above theta_n %.3f: the pseudo-labels do not tell "
                         "the classes apart; give more labelled texts or better annotations",
                         theta[0], theta[2]);
    coefficients(theta[0], theta[2], D > MIN_D ? D : MIN_D, pi[0], s);
    r->c[0] = s[0];
    r->c[1] = -s[2];
    r->c[2] = -s[1];
    r->c[3] = s[3];
    return SILR_OK;
}

silr_status silr_risk_init(silr_risk *r, silr_risk_kind kind, silr_loss_kind loss, int K,
                           const double *theta, const double *pi, double lambda, silr_error *err)
{
    double t[SILR_RISK_CLASSES * SILR_RISK_CLASSES];

    memset(r, 0, sizeof *r);
    r->kind = kind;
    r->loss = loss;
    r->K = K;
    r->lambda = lambda;
    if (K < 2 || K > SILR_RISK_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%d classes: silr takes 2 to %d", K, SILR_RISK_CLASSES);
    if (kind == SILR_RISK_PN)
        return SILR_OK;
    for (int i = 0; i < K * K; i++)
        if (!(theta[i] >= 0 && theta[i] <= 1) || !(pi[i % K] >= 0 && pi[i % K] <= 1))
            return silr_fail(err, SILR_EDOMAIN, "theta and pi must be probabilities");
    memcpy(t, theta, sizeof(double) * (size_t)(K * K));
    r->smallest_singular = smallest_singular(t, K);
    if (K == 2)
        return init_two(r, t, pi, err);
    r->mixed = repair(t, pi, K);
    return silr_risk_weights(K, t, pi, RIDGE, r->c, err);
}
