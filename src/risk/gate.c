/* gate.c - the robust UU risk: learning from sets that are all partly wrong.
 *
 * Sort the texts by pseudo-label: set j holds those labelled j, right or not. With Theta[j][k] =
 * P(true k | pseudo j) and p_k the texts of true class k, set j is the mixture
 *
 *     q_j = sum_k Theta[j][k] p_k        so        p_k = sum_j A[k][j] q_j,   A = Theta^-1.
 *
 * Put that into the ordinary risk, sum_k pi_k E_{p_k}[l_k], and only means over the sets are left,
 * which we can take (sums.c):
 *
 *     uu          R = sum_k R_k          R_k = sum_j C[k][j] M[j][k],   C[k][j] = pi_k A[k][j]
 *     robust uu   R = sum_k f(R_k)       f(v) = v for v > 0, else lambda v
 *     pn          R = mean of l_{set}    takes the pseudo-labels at their word
 *
 * Each R_k estimates pi_k E_{y=k}[l_k], a loss, which cannot be negative; when training drives it
 * to zero it has begun to fit the wrong labels. With lambda = -0.001 the slope turns round there
 * and the step eases R_k back. Said otherwise (method.md B1): training goes on until the model
 * contradicts the pseudo-labels as often, class by class, as Theta says that they are wrong.
 *
 * The gradient needs of all this one number per set and class, since with F = f' at R_k
 *
 *     dR/dz_i = sum_k F(R_k) C[k][j] / W_j * w_i dl_k/dz_i        for text i in set j, W_j = sum w
 *                     `------- factor[j][k] -----'
 *
 * Batches of 16 give R_k the wrong sign by chance. The moving-average gate takes F at running means
 * of M instead; the value and the means in the gradient stay the batch's own.
 *
 * Before editing: f is not linear, so sum over micro-batches, threads, ranks first; gate once. */
#include "risk/risk.h"
#include "risk/um.h"
#include <math.h>
#include <string.h>

void silr_gate_init(silr_gate *g, double decay)
{
    memset(g, 0, sizeof *g);
    g->decay = decay;
}

/* Row j of M; a set without texts contributes 0. */
static void means(double *mean, const silr_risk_sums *s, int K)
{
    for (int j = 0; j < K; j++)
        for (int k = 0; k < K; k++)
            mean[j * K + k] = s->weight[j] > 0 ? s->loss[j * K + k] / s->weight[j] : 0;
}

static double part(const silr_risk *r, const double *mean, int k)
{
    double sum = 0;
    for (int j = 0; j < r->K; j++)
        sum += r->c[k * r->K + j] * mean[j * r->K + k];
    return sum;
}

/* The first batch that has set j sets its row; later ones pull it along. */
static void gate_update(silr_gate *g, const silr_risk_sums *s, const double *mean, int K)
{
    for (int j = 0; j < K; j++) {
        double keep = g->seen[j] ? g->decay : 0;
        if (!(s->weight[j] > 0))
            continue;
        for (int k = 0; k < K; k++)
            g->mean[j * K + k] = keep * g->mean[j * K + k] + (1 - keep) * mean[j * K + k];
        g->seen[j] = true;
    }
}

static void gate_pn(const silr_risk_sums *s, int K, silr_gated *out)
{
    double all = 0;

    for (int j = 0; j < K; j++)
        all += s->weight[j];
    if (!(all > 0))
        return;
    for (int j = 0; j < K; j++) {
        out->part[j] = s->loss[j * K + j] / all;
        out->factor[j * K + j] = 1 / all;
    }
    out->value = out->selection = s->right / all;
}

void silr_risk_gate(const silr_risk *r, const silr_risk_sums *s, silr_gate *gate, silr_gated *out)
{
    double mean[SILR_RISK_CLASSES * SILR_RISK_CLASSES];
    int K = r->K;

    memset(out, 0, sizeof *out);
    if (r->sets > 0) {
        silr_um_gate(s, out);
        return;
    }
    means(mean, s, K);
    if (gate)
        gate_update(gate, s, mean, K);
    if (r->kind == SILR_RISK_PN) {
        gate_pn(s, K, out);
        return;
    }
    for (int k = 0; k < K; k++) {
        double v = part(r, mean, k), at = gate ? part(r, gate->mean, k) : v;
        double slope = r->kind == SILR_RISK_UU || at > 0 ? 1 : r->lambda;

        out->part[k] = v;
        out->value += r->kind == SILR_RISK_UU || v > 0 ? v : r->lambda * v;
        out->selection += fabs(v);
        for (int j = 0; j < K; j++)
            if (s->weight[j] > 0)
                out->factor[j * K + k] = slope * r->c[k * K + j] / s->weight[j];
    }
    if (r->kind == SILR_RISK_UU)
        out->selection = out->value;
}
