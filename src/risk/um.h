/* um.h - inside risk/: the steps of risk.h for m sets of their own purities (um.c). */
#ifndef SILR_RISK_UM_H
#define SILR_RISK_UM_H

#include "risk/risk.h"

void silr_um_add(const silr_risk *r, silr_risk_sums *s, size_t n, const float *scores, size_t stride,
                 const int *set, const float *weight);
void silr_um_gate(const silr_risk_sums *s, silr_gated *out);
void silr_um_backward(const silr_risk *r, const silr_gated *g, size_t n, const float *scores,
                      size_t stride, const int *set, const float *weight, float *dscores);
double silr_um_value(const silr_risk *r, size_t n, const double *scores, const int *set,
                     const double *weight, double *grad);

#endif
