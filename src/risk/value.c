/* value.c - the whole risk once more in plain doubles: what the fast path is judged against.
 *
 * Reads like the equations: losses, sums, gate (shared: gate.c is double throughout), gradient. */
#include "risk/risk.h"
#include "risk/um.h"
#include <math.h>

/* p_k and l_k of one text. */
static void losses(const silr_risk *r, const double *z, double *p, double *l)
{
    int K = r->K;

    if (K == 2) {
        p[0] = silr_sigmoid(z[0]);
        p[1] = silr_sigmoid(-z[0]);
        l[0] = r->loss == SILR_LOSS_SIGMOID ? p[1] : silr_log1pexp(-z[0]);
        l[1] = r->loss == SILR_LOSS_SIGMOID ? p[0] : silr_log1pexp(z[0]);
        return;
    }
    silr_softmax(p, z, (size_t)K);
    for (int k = 0; k < K; k++)
        l[k] = r->loss == SILR_LOSS_SIGMOID ? 1 - p[k] : silr_logsumexp(z, (size_t)K) - z[k];
}

static void gradient(const silr_risk *r, const double *p, const double *factor, double w,
                     double *grad)
{
    double sum = 0;
    int K = r->K;
    bool sigmoid = r->loss == SILR_LOSS_SIGMOID;

    if (K == 2) {
        grad[0] = w * (sigmoid ? (factor[1] - factor[0]) * (p[0] * p[1])
                               : factor[1] * p[0] - factor[0] * p[1]);
        return;
    }
    for (int k = 0; k < K; k++)
        sum += factor[k] * (sigmoid ? p[k] : 1);
    for (int m = 0; m < K; m++)
        grad[m] = w * (sigmoid ? p[m] * (sum - factor[m]) : p[m] * sum - factor[m]);
}

double silr_risk_value(const silr_risk *r, size_t n, const double *scores, const int *set,
                       const double *weight, double *grad)
{
    silr_risk_sums s;
    silr_gated g;
    double p[SILR_RISK_CLASSES], l[SILR_RISK_CLASSES];
    int K = r->K;
    size_t width = K == 2 ? 1 : (size_t)K;

    if (r->sets > 0)
        return silr_um_value(r, n, scores, set, weight, grad);
    silr_risk_sums_clear(&s);
    for (size_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        if (set[i] < 0 || set[i] >= K)
            continue;
        losses(r, scores + i * width, p, l);
        for (int k = 0; k < K; k++)
            s.loss[set[i] * K + k] += w * l[k];
        s.weight[set[i]] += w;
        s.right += w * l[set[i]];
    }
    silr_risk_gate(r, &s, NULL, &g);
    for (size_t i = 0; grad && i < n; i++) {
        for (size_t m = 0; m < width; m++)
            grad[i * width + m] = 0;
        if (set[i] < 0 || set[i] >= K)
            continue;
        losses(r, scores + i * width, p, l);
        gradient(r, p, g.factor + set[i] * K, weight ? weight[i] : 1, grad + i * width);
    }
    return g.value;
}
