/* losses.h - inside risk/: the losses of one block of texts, laid out for vector instructions.
 *
 * The callers' scores may be strided (24 members side by side in one matrix), so a block of texts
 * is first copied into columns: z[k][i], text i of the block, score k. All loops then run over i
 * without branches, which a compiler turns into SIMD. Lanes past the last text have weight 0. */
#ifndef SILR_RISK_LOSSES_H
#define SILR_RISK_LOSSES_H

#include "risk/risk.h"

enum { BLOCK = 64, LANES = 8 };

typedef struct {
    size_t n, padded;                     /* texts; n rounded up to whole LANES */
    int set[BLOCK];                       /* 0 where there is none: then w is 0 as well */
    float w[BLOCK];                       /* weight; 0: skipped */
    float z[SILR_RISK_CLASSES * BLOCK];   /* [column][BLOCK] scores; 0 where skipped */
    float p[SILR_RISK_CLASSES * BLOCK];   /* [k][BLOCK] probabilities */
    float loss[SILR_RISK_CLASSES * BLOCK];/* [k][BLOCK] l_k */
} risk_block;

/* Copies up to BLOCK texts from text `first` on; returns how many. */
size_t silr_risk_gather(risk_block *b, int K, size_t first, size_t n, const float *scores,
                        size_t stride, const int *set, const float *weight);
/* z -> p. K = 2: p_0 = sigmoid(z), p_1 = sigmoid(-z). */
void silr_risk_probs(risk_block *b, int K);
/* z, p -> loss. */
void silr_risk_losses(risk_block *b, int K, silr_loss_kind kind);

#endif
