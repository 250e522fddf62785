/* help.h - what the two test programs of risk/ share. */
#ifndef SILR_TESTS_RISK_HELP_H
#define SILR_TESTS_RISK_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "risk/risk.h"
#include <math.h>

static const silr_risk_kind kinds[3] = {SILR_RISK_PN, SILR_RISK_UU, SILR_RISK_RUU};
static const silr_loss_kind losses[2] = {SILR_LOSS_SIGMOID, SILR_LOSS_LOGISTIC};

static inline void make_two(silr_risk *r, silr_risk_kind kind, silr_loss_kind loss, double theta_p,
                     double theta_n, double pi, double lambda)
{
    const double theta[4] = {theta_p, 1 - theta_p, theta_n, 1 - theta_n}, pis[2] = {pi, 1 - pi};
    assert_int_equal(silr_risk_init(r, kind, loss, 2, theta, pis, lambda, NULL), SILR_OK);
}

static inline void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.17g, wanted %.17g within %g", what, got, want, tolerance);
}

/* Value and gradient through the fast float path: add, gate, backward. */
static inline double fast(const silr_risk *r, silr_gate *gate, size_t n, const float *z, size_t stride,
                   const int *set, const float *w, float *dz)
{
    silr_risk_sums s;
    silr_gated g;

    silr_risk_sums_clear(&s);
    silr_risk_add(r, &s, n, z, stride, set, w);
    silr_risk_gate(r, &s, gate, &g);
    silr_risk_backward(r, &g, n, z, stride, set, w, dz);
    return g.value;
}

#endif
