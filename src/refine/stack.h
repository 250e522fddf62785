/* stack.h - what the classifier says and what the annotator said, put together (method.md B12).
 *
 * Real annotators err where the text is hard, and so does the classifier: their errors are not
 * independent, so adding the classifier's log-odds to the annotator's overstates the case three-
 * to fourfold. Instead the texts are split by the annotator's ORIGINAL label ("sides" h) and on
 * each side the probability of a class is
 *
 *     q_k(x) = softmax_k( c_h + w (u(x) - centre_h) )         (two classes: a sigmoid)
 *
 * with one slope w for all sides. The labelled texts speak for c and w; w has a strong prior
 * N(w0, sw) on [0, 2.4], because fifty texts say little of a slope; c has the prior that makes the
 * side's purity theta_h uniform (two classes) or close to its shrunk estimate (K classes). The
 * result averages over what is still uncertain.
 *
 * Of two classes the annotator may also have given log-odds. They take the place of the sides:
 *
 *     q(x) = sigmoid( c + v l(x) + w (u(x) - centre) ),       l recalibrated log-odds              */
#ifndef SILR_REFINE_STACK_H
#define SILR_REFINE_STACK_H

#include "priors/priors.h"

typedef struct silr_stack silr_stack;

typedef struct {
    int K;
    size_t n;          /* covered texts of the pool */
    const double *u;   /* [n][columns], calibrated */
    const int *side;   /* [n], the original label */
    size_t n_labelled; /* labelled texts among them */
    const uint32_t *item; /* [n_labelled], index into the n texts */
    const int *truth;     /* [n_labelled] */
    const double *weight; /* [n_labelled], texts each stands for, in any unit; NULL: all alike */
    double reliability;   /* r in [0,1]: how well u ranks the labelled texts */
    const double *theta;  /* [K][K]: known purities (given, oracle, none): no labels are used; NULL */
    const double *prior;  /* [K][K], K > 2: B6's prior rows */
    const double *odds;   /* [n], two classes: recalibrated log-odds in place of sides; NULL */
    double pi;            /* with odds and theta: the share of class 0 */
} silr_stack_data;

/* SILR_ENOMEM only. */
silr_status silr_stack_fit(silr_stack **out, const silr_stack_data *d, silr_error *err);
void silr_stack_free(silr_stack *s);
double silr_stack_slope(const silr_stack *s); /* posterior mean of w */

/* q for n texts: [n] probability of class 0 (two classes) or [n][K]. side SILR_NO_LABEL: q is NAN. */
void silr_stack_apply(const silr_stack *s, size_t n, const double *u, const int *side, float *q);
/* The same for a stack that was fitted to log-odds; where they are NAN, so is q. */
void silr_stack_apply_odds(const silr_stack *s, size_t n, const double *u, const double *odds,
                           float *q);

#endif
