/* sums.c - the only thing the risk needs of a batch: per set j and class k, the sum of l_k.
 *
 *     M[j][k] = sum_{i in set j} w_i l_k(x_i) / sum_{i in set j} w_i
 *
 * The correction f of gate.c is not linear, so a batch that is spread over micro-batches, threads
 * or machines must be summed whole before f is applied. Sums are doubles, added in a fixed order:
 * when Theta is nearly singular its inverse is large, and a part of the risk near zero would
 * change sign, and f its branch, with the order of adding floats. */
#include "risk/losses.h"
#include "risk/um.h"
#include <string.h>

void silr_risk_sums_clear(silr_risk_sums *s)
{
    memset(s, 0, sizeof *s);
}

void silr_risk_sums_merge(silr_risk_sums *into, const silr_risk_sums *from)
{
    for (int i = 0; i < SILR_RISK_CLASSES * SILR_RISK_CLASSES; i++)
        into->loss[i] += from->loss[i];
    for (int j = 0; j < SILR_RISK_CLASSES; j++)
        into->weight[j] += from->weight[j];
    into->right += from->right;
}

/* Two classes: six running sums of LANES parts each, so that the loop has no dependence from one
 * text to the next and still one order. */
typedef struct {
    double loss[4][LANES], weight[2][LANES];
} two_sums;

static void add_two(two_sums *t, const risk_block *b)
{
    for (size_t i = 0; i < b->padded; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            double w = (double)b->w[i + l];
            double w0 = b->set[i + l] == 0 ? w : 0, w1 = w - w0;
            double l0 = (double)b->loss[i + l], l1 = (double)b->loss[BLOCK + i + l];
            t->loss[0][l] += w0 * l0;
            t->loss[1][l] += w0 * l1;
            t->loss[2][l] += w1 * l0;
            t->loss[3][l] += w1 * l1;
            t->weight[0][l] += w0;
            t->weight[1][l] += w1;
        }
}

static void fold_two(silr_risk_sums *s, const two_sums *t)
{
    for (size_t l = 0; l < LANES; l++) {
        for (int m = 0; m < 4; m++)
            s->loss[m] += t->loss[m][l];
        s->weight[0] += t->weight[0][l];
        s->weight[1] += t->weight[1][l];
        s->right += t->loss[0][l] + t->loss[3][l];
    }
}

static void add_many(silr_risk_sums *s, const risk_block *b, int K)
{
    for (size_t i = 0; i < b->n; i++) {
        int j = b->set[i];
        double w = (double)b->w[i], *row = s->loss + j * K;
        if (w == 0) /* no set, or no weight */
            continue;
        for (int k = 0; k < K; k++)
            row[k] += w * (double)b->loss[(size_t)k * BLOCK + i];
        s->weight[j] += w;
        s->right += w * (double)b->loss[(size_t)j * BLOCK + i];
    }
}

void silr_risk_add(const silr_risk *r, silr_risk_sums *s, size_t n, const float *scores,
                   size_t stride, const int *set, const float *weight)
{
    risk_block b;
    two_sums two;

    if (r->sets > 0) {
        silr_um_add(r, s, n, scores, stride, set, weight);
        return;
    }
    memset(&two, 0, sizeof two);
    for (size_t i = 0; i < n;) {
        i += silr_risk_gather(&b, r->K, i, n, scores, stride, set, weight);
        silr_risk_probs(&b, r->K);
        silr_risk_losses(&b, r->K, r->loss);
        if (r->K == 2)
            add_two(&two, &b);
        else
            add_many(s, &b, r->K);
    }
    if (r->K == 2)
        fold_two(s, &two);
}
