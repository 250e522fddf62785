/* head.h - what is trained on vectors; known inside classify/ only.
 *
 *     linear   z = W x + b
 *     mlp      z = W2 max(0, W1 x + b1) + b2
 *
 * A head is a classifier over the features of a silr_dense, but for saving: instead it folds its
 * blend into one model on the vectors as the encoder gives them. */
#ifndef SILR_CLASSIFY_HEAD_H
#define SILR_CLASSIFY_HEAD_H

#include "classify/adamw.h"
#include "classify/classifier.h"
#include "classify/dense.h"

/* logits = last [(hidden or d) + 1][columns] over max(0, first [d + 1][hidden] over v), biases in
 * the last rows; hidden 0: no first, last is over v. */
typedef struct {
    size_t d, hidden, columns;
    float *first, *last;
} silr_layers;
void silr_layers_clear(silr_layers *l);

typedef struct silr_head silr_head;
struct silr_head {
    silr_classifier base; /* save NULL */
    const silr_dense *x;
    /* logits = A (blend / blends) + b. */
    silr_status (*fold)(silr_head *h, const double *A, const double *b, double blends,
                        silr_layers *out, silr_error *err);
};
silr_status silr_linear_head(silr_head **out, const silr_dense *x, int K, silr_error *err);
silr_status silr_mlp_head(silr_head **out, const silr_dense *x, int K, size_t hidden,
                          silr_error *err);

/* Shared by both: weights and what goes with them, each [n] and aligned. */
typedef struct {
    float *grad, *m, *v, *kept;
} silr_moments;
/* Clears, or makes anew when the size has changed, c->params and the rest; kept stays NULL. */
silr_status silr_moments_ready(silr_classifier *c, silr_moments *s, size_t n, silr_error *err);
void silr_moments_clear(silr_classifier *c, silr_moments *s);
silr_adamw_block silr_moments_block(const silr_classifier *c, const silr_moments *s);

/* out[k] = sum_l A[k][l] in[l] / blends */
void silr_head_mix(size_t columns, const double *A, double blends, const double *in, double *out);

#endif
