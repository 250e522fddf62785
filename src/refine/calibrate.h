/* calibrate.h - from standardised out-of-fold scores to log-odds of the class (method.md B12).
 *
 * The scorer's z ranks texts but its scale means nothing. The annotator's labels tell the scale:
 * given the class, its errors have known rates T[k][s] = P(s0 = s | y = k), so that
 *     P(s0 = s | x) = sum_k T[k][s] softmax(u(x))_k,     u_k = A z_k + b_k,
 * and A, b maximise the likelihood of the original labels under a prior on A.
 *
 * Two classes: u = A z + B and sigmoid in place of softmax, z and u one number a text. */
#ifndef SILR_REFINE_CALIBRATE_H
#define SILR_REFINE_CALIBRATE_H

#include "priors/priors.h"

typedef struct {
    double A;
    double b[SILR_MAX_CLASSES]; /* K = 2: b[0] is B */
} silr_calibration;

/* z [n][columns], set[n] the original labels, T [K][K] as above. Two classes: a grid; else BFGS. */
silr_status silr_calibrate(silr_calibration *out, int K, size_t n, const float *z, const int *set,
                           const double *T, silr_error *err);
/* u = A z + b, for n texts. */
void silr_calibration_apply(const silr_calibration *c, int K, size_t n, const float *z, double *u);

/* T[k][j] = P(s = j | y = k) = rho_j Theta[j][k] / pi_k (method.md B1.4), clipped to [.01,.99]; for
 * two classes tpr >= fpr + .05. */
void silr_transition(double *T, int K, const double *theta, const double *rho, const double *pi);

/* Area under the ROC curve of u for the truth, weighted; K > 2: mean over the classes that occur
 * of one-versus-rest on u_k - logsumexp of the others. *out NAN: only one class occurs. */
silr_status silr_auc(double *out, int K, size_t n, const double *u, const int *truth,
                     const double *weight, silr_error *err);

/* Deployment: the multinomial (two classes: plain) logistic regression of the soft labels q on z,
 * logits = W z + b. q [n][K] (two classes: [n], of class 0), W [columns][columns], b [columns]. */
silr_status silr_fit_soft(double *W, double *b, int K, size_t n, const float *z, const float *q,
                          silr_error *err);

#endif
