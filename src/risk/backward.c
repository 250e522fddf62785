/* backward.c - from the gate's factors to one number a score.
 *
 * With W_k = w_i factor[j][k] for text i in set j (gate.c), dR/dz = sum_k W_k dl_k/dz:
 *
 *     two classes   sigmoid    (W_1 - W_0) p_0 p_1
 *                   logistic   W_1 p_0 - W_0 p_1
 *     K classes     1 - p_k    dR/dz_m = -p_m (W_m - sum_k W_k p_k)
 *                   -log p_k   dR/dz_m = p_m sum_k W_k - W_m */
#include "risk/losses.h"
#include "risk/um.h"

static void backward_two(const risk_block *b, const silr_gated *g, silr_loss_kind loss, float *out,
                         size_t stride)
{
    const float f00 = (float)g->factor[0], f01 = (float)g->factor[1];
    const float f10 = (float)g->factor[2], f11 = (float)g->factor[3];
    float d[BLOCK] = {0};

    for (size_t i = 0; i < b->padded; i++) {
        float p0 = b->p[i], p1 = b->p[BLOCK + i];
        float w0 = b->set[i] == 0 ? f00 : f10, w1 = b->set[i] == 0 ? f01 : f11;
        float slope = loss == SILR_LOSS_SIGMOID ? (w1 - w0) * (p0 * p1) : w1 * p0 - w0 * p1;
        d[i] = b->w[i] * slope;
    }
    for (size_t i = 0; i < b->n; i++)
        out[i * stride] = d[i];
}

static void backward_many(const risk_block *b, const silr_gated *g, int K, silr_loss_kind loss,
                          float *out, size_t stride)
{
    for (size_t i = 0; i < b->n; i++) {
        const double *factor = g->factor + b->set[i] * K;
        float *row = out + i * stride, w = b->w[i], sum = 0;
        const float *p = b->p + i;

        for (int k = 0; k < K; k++)
            sum += (float)factor[k] * (loss == SILR_LOSS_SIGMOID ? p[k * BLOCK] : 1);
        for (int k = 0; k < K; k++) {
            float f = (float)factor[k], q = p[k * BLOCK];
            row[k] = w * (loss == SILR_LOSS_SIGMOID ? q * (sum - f) : q * sum - f);
        }
    }
}

void silr_risk_backward(const silr_risk *r, const silr_gated *g, size_t n, const float *scores,
                        size_t stride, const int *set, const float *weight, float *dscores)
{
    risk_block b;

    if (r->sets > 0) {
        silr_um_backward(r, g, n, scores, stride, set, weight, dscores);
        return;
    }
    for (size_t i = 0; i < n; i += b.n) {
        silr_risk_gather(&b, r->K, i, n, scores, stride, set, weight);
        silr_risk_probs(&b, r->K);
        if (r->K == 2)
            backward_two(&b, g, r->loss, dscores + i * stride, stride);
        else
            backward_many(&b, g, r->K, r->loss, dscores + i * stride, stride);
    }
}
