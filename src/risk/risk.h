/* risk.h - what training minimises: PN, UU and robust UU risks of K >= 2 classes.
 *
 * Pure functions of scores. Two classes have one score z a text (class 0 when z > 0) and
 *     l_0 = l(z), l_1 = l(-z);  l(z) = sigmoid(-z), or log(1 + exp(-z)) for the logistic loss.
 * K > 2 classes have K scores a text and l_k = 1 - softmax(z)_k, or -log softmax(z)_k.
 *
 * The robust risk is not linear in the batch, so it works in three steps:
 *     silr_risk_add      sums of l_k over each pseudo-set j, with weights (any order of batches,
 *                        threads, ranks: sums are doubles)
 *     silr_risk_gate     once: the value, and what each text's loss counts in the gradient
 *     silr_risk_backward d(value)/d(score) for each text
 *
 * Sources: method.md A2 (paper's eqs.), B1, B2 (moving-average gate), B6 (K classes), B7 (m sets). */
#ifndef SILR_RISK_H
#define SILR_RISK_H

#include "base/base.h"
#include "task/task.h"

enum { SILR_RISK_CLASSES = 64 };

/* Which risk, and its weights C[k][j] = pi_k A[k][j] (A = Theta^-1): R_k = sum_j C[k][j] M[j][k],
 * M[j][k] = mean of l_k over set j. For K = 2: C = [[a, -c], [-b, d]]. */
typedef struct {
    silr_risk_kind kind;
    silr_loss_kind loss;
    int K;
    double lambda;
    double c[SILR_RISK_CLASSES * SILR_RISK_CLASSES]; /* [k][j]; PN: unused */
    double smallest_singular; /* of Theta before any repair; report it */
    double mixed;             /* share of the diagonal prior mixed in (B6); 0: none */
    int sets;                 /* over 0: U^m (um.c) with so many sets; kind, loss, lambda, c: unused */
    double plus[SILR_RISK_CLASSES], minus[SILR_RISK_CLASSES]; /* A_j, B_j of um.c */
    double all_plus, all_minus;
} silr_risk;

/* theta[j*K+k], pi[k]. K = 2: D is clamped to >= 0.02 (D1). K > 2: ridge inverse of B6 with
 * repair. SILR_EDOMAIN: Theta cannot be inverted (K = 2: theta_p <= theta_n). */
silr_status silr_risk_init(silr_risk *r, silr_risk_kind kind, silr_loss_kind loss, int K,
                           const double *theta, const double *pi, double lambda, silr_error *err);
/* Two classes, m sets (at most SILR_RISK_CLASSES): theta[j] = P(class 0 | set j), rho[j] the set's mass,
 * pi the share of class 0. In all that follows set[i] is then one of 0 .. m - 1, no gate is used, and
 * sums hold the mean loss alone. SILR_EINPUT: m; SILR_EDOMAIN: pi is 0 or 1. */
silr_status silr_risk_init_sets(silr_risk *r, int m, const double *theta, const double *rho,
                                double pi, silr_error *err);
/* l_j(z), and its slope dl_j/dz. */
double silr_risk_set_loss(const silr_risk *r, double z, int j, double *slope);
/* The exact coefficients a, b, c, d of A2, without a clamp; for tests and docs. */
void silr_risk_coefficients(double theta_p, double theta_n, double pi, double abcd[4]);

/* C from Theta and pi with the given ridge; 0: the exact inverse (tests). No repair. */
silr_status silr_risk_weights(int K, const double *theta, const double *pi, double ridge, double *c,
                              silr_error *err);

/* Sums over a batch, or over all of it. */
typedef struct {
    double loss[SILR_RISK_CLASSES * SILR_RISK_CLASSES]; /* [j][k] weighted sum of l_k over set j */
    double weight[SILR_RISK_CLASSES];                   /* [j] sum of weights in set j */
    double right;                                       /* PN: sum of w * l_{set} */
} silr_risk_sums;
void silr_risk_sums_clear(silr_risk_sums *s);
void silr_risk_sums_merge(silr_risk_sums *into, const silr_risk_sums *from);

/* Adds n texts. scores: text i's first score is scores[i*stride]. set[i]: pseudo-set or
 * SILR_NO_LABEL (skipped). weight NULL: all 1. */
void silr_risk_add(const silr_risk *r, silr_risk_sums *s, size_t n, const float *scores,
                   size_t stride, const int *set, const float *weight);

/* Moving averages of M (method.md B2). */
typedef struct {
    double mean[SILR_RISK_CLASSES * SILR_RISK_CLASSES];
    bool seen[SILR_RISK_CLASSES];
    double decay;
} silr_gate;
void silr_gate_init(silr_gate *g, double decay);

/* The result of gating: value of the risk, parts R_k, and per set and class the factor by which
 * dl_k/dz of a text in set j with weight w counts: factor[j][k] * w. */
typedef struct {
    double value;   /* sum_k f(R_k); UU: sum_k R_k; PN: mean loss */
    double selection; /* sum_k |R_k| (B8): the smaller the better; PN, UU: value */
    double part[SILR_RISK_CLASSES];   /* R_k */
    double factor[SILR_RISK_CLASSES * SILR_RISK_CLASSES]; /* [j][k] */
} silr_gated;
/* gate NULL: per-batch gate. Else g is updated with this batch (sets that are empty in the batch
 * keep their means) and F uses the averages after the update. An empty set contributes 0. */
void silr_risk_gate(const silr_risk *r, const silr_risk_sums *s, silr_gate *gate, silr_gated *out);

/* dscores[i*stride..] = d value / d score, laid out as in silr_risk_add; texts without a set: 0. */
void silr_risk_backward(const silr_risk *r, const silr_gated *g, size_t n, const float *scores,
                        size_t stride, const int *set, const float *weight, float *dscores);

/* f64 twins of the whole: value and gradient from double scores (tests, goldens, small heads). */
double silr_risk_value(const silr_risk *r, size_t n, const double *scores, const int *set,
                       const double *weight, double *grad /* NULL or [n][K==2?1:K] */);

#endif
