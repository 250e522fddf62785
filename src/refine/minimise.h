/* minimise.h - a small smooth minimiser: BFGS with backtracking, for a few hundred variables. */
#ifndef SILR_REFINE_MINIMISE_H
#define SILR_REFINE_MINIMISE_H

#include "base/base.h"

/* Value at x[n]; fills grad[n]. */
typedef double (*silr_smooth)(void *ctx, const double *x, double *grad);

/* Moves x[n] downhill until the gradient's largest entry is below tolerance, or the steps are
 * spent, or no step helps any more; x is then the best point seen. SILR_ENOMEM. */
silr_status silr_minimise(silr_smooth f, void *ctx, size_t n, double *x, int max_steps,
                          double tolerance, double *value, silr_error *err);

/* Solves S x = b for a symmetric positive definite S [n][n] by Cholesky, in place (S is
 * destroyed, b becomes x); *log_det, when not NULL, receives log det S. false: not definite. */
bool silr_cholesky_solve(size_t n, double *S, double *b, double *log_det);

#endif
