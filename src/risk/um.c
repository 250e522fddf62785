/* um.c - learning from m sets of texts, each with its own share of the first class (U^m learning).
 *
 * Let rho_j be the share of set j, theta_j = P(y = + | set j), pi = P(y = +), and eta = sigmoid(z)
 * the model's P(y = + | x). A text of class + is in set j with P(j | +) = rho_j theta_j / pi, one of
 * class - with rho_j (1 - theta_j) / (1 - pi). So, times pi (1 - pi) above and below,
 *
 *     P(set = j | x) = N_j / sum_i N_i       N_j = A_j eta + B_j (1 - eta)
 *                                            A_j = rho_j theta_j (1 - pi)     B_j = rho_j (1 - theta_j) pi
 *
 *     l_j(z) = -log P(set = j | x),          the risk: the weighted mean over texts of l_{set of x}(z)
 *
 * (Lu et al. 2021; method.md B7.) With a = sum A_i, b = sum B_i and D = a eta + b (1 - eta)
 *
 *     dl_j/dz = [ (a - b) / D - (A_j - B_j) / N_j ] eta (1 - eta)
 *
 * Where pi = sum rho_j theta_j, a = b and the first term is gone. It is a forward correction: never
 * below zero, so nothing is gated. A text whose class is known is in a set of theta 1 or 0, where this
 * is the logistic loss and a constant: -log eta, -log(1 - eta).
 *
 * Before editing: sets of one theta tell nothing (the slope is 0), and the value is least where
 * P(set | x) is right, not where each set is told from the others. */
#include "risk/losses.h"
#include "risk/um.h"
#include <math.h>

silr_status silr_risk_init_sets(silr_risk *r, int m, const double *theta, const double *rho,
                                double pi, silr_error *err)
{
    double all = 0;

    *r = (silr_risk){.K = 2, .sets = m};
    if (m < 2 || m > SILR_RISK_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%d sets: there must be 2 to %d", m, SILR_RISK_CLASSES);
    if (!(pi > 0 && pi < 1))
        return silr_fail(err, SILR_EDOMAIN, "a share of the first class of %g leaves nothing to tell "
                         "apart", pi);
    for (int j = 0; j < m; j++)
        all += rho[j];
    for (int j = 0; j < m; j++) {
        r->plus[j] = rho[j] / all * theta[j] * (1 - pi);
        r->minus[j] = rho[j] / all * (1 - theta[j]) * pi;
        r->all_plus += r->plus[j];
        r->all_minus += r->minus[j];
    }
    return SILR_OK;
}

double silr_risk_set_loss(const silr_risk *r, double z, int j, double *slope)
{
    double p = silr_sigmoid(z), q = silr_sigmoid(-z);
    double N = r->plus[j] * p + r->minus[j] * q, D = r->all_plus * p + r->all_minus * q;

    /* Each term times p q, in an order in which neither quotient can be 0 / 0. */
    *slope = (r->all_plus - r->all_minus) * p * q / D - (r->plus[j] * p * q - r->minus[j] * p * q) / N;
    return log(D) - log(N);
}

/* The score as the loss sees it: beyond this the sigmoid is 0 or 1 in every respect. */
static double held(float z)
{
    return fmax(fmin((double)z, 500), -500);
}

void silr_um_add(const silr_risk *r, silr_risk_sums *s, size_t n, const float *scores, size_t stride,
                 const int *set, const float *weight)
{
    double slope;

    for (size_t i = 0; i < n; i++) {
        double w = weight ? (double)weight[i] : 1;
        if (set[i] < 0 || set[i] >= r->sets || w == 0)
            continue;
        s->right += w * silr_risk_set_loss(r, held(scores[i * stride]), set[i], &slope);
        s->weight[0] += w;
    }
}

void silr_um_gate(const silr_risk_sums *s, silr_gated *out)
{
    if (!(s->weight[0] > 0))
        return;
    out->value = out->selection = s->right / s->weight[0];
    out->factor[0] = 1 / s->weight[0];
}

void silr_um_backward(const silr_risk *r, const silr_gated *g, size_t n, const float *scores,
                      size_t stride, const int *set, const float *weight, float *dscores)
{
    for (size_t i = 0; i < n; i++) {
        double w = weight ? (double)weight[i] : 1, slope = 0;
        if (set[i] >= 0 && set[i] < r->sets)
            silr_risk_set_loss(r, held(scores[i * stride]), set[i], &slope);
        dscores[i * stride] = (float)(w * g->factor[0] * slope);
    }
}

double silr_um_value(const silr_risk *r, size_t n, const double *scores, const int *set,
                     const double *weight, double *grad)
{
    double sum = 0, all = 0, slope = 0;

    for (size_t i = 0; i < n; i++) {
        double w = set[i] < 0 || set[i] >= r->sets ? 0 : weight ? weight[i] : 1;
        if (w > 0)
            sum += w * silr_risk_set_loss(r, scores[i], set[i], &slope);
        if (grad)
            grad[i] = w > 0 ? w * slope : 0;
        all += w;
    }
    for (size_t i = 0; grad && i < n; i++)
        grad[i] /= all > 0 ? all : 1;
    return all > 0 ? sum / all : 0;
}
