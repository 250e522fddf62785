/* stack_internal.h - the three ways to fit a stack; only stack*.c include this. */
#ifndef SILR_REFINE_STACK_INTERNAL_H
#define SILR_REFINE_STACK_INTERNAL_H

#include "refine/stack.h"

enum {
    STACK_KNOTS = 257, /* two classes: q is tabulated over u - centre */
    STACK_REACH = 40,  /* no further than this: q is 0 or 1 there */
    STACK_W = 49,      /* two classes, sides or log-odds: grid of slopes on [0, 2.4] */
    STACK_C = 61,      /* two classes: grid of offsets on [-7, 7] */
    STACK_W_MANY = 25, /* K classes: grid of slopes on [0, 2.4] */
    STACK_SHOW = 256   /* at most so many texts stand for a side in means over it */
};

/* Offset and scale of the log-odds at one w: their maximum, and the inverse of minus the Hessian. */
typedef struct {
    double c, v, cc, cv, vv;
} silr_line_posterior;

struct silr_stack {
    int K;
    double slope;
    /* two classes: logit q at knots, by side; with log-odds: centre[0] of all */
    double centre[2], reach, knot[2][STACK_KNOTS];
    double weight[STACK_W]; /* posterior of w (K classes: STACK_W_MANY of them) */
    silr_line_posterior line[STACK_W]; /* with log-odds */
    /* K classes */
    double *offset;              /* [STACK_W_MANY][K side][K] */
    double *middle;              /* [K side][K] mean of u */
};

/* What each of a side's n labelled texts counts in its likelihood: in proportion to its weight, all
 * together Kish's n_eff. Exactly 1 where they are alike. */
void silr_stack_counts(double *weight, size_t n);

silr_status silr_stack_fit_two(silr_stack *out, const silr_stack_data *d, silr_error *err);
silr_status silr_stack_fit_odds(silr_stack *out, const silr_stack_data *d, silr_error *err);
silr_status silr_stack_fit_many(silr_stack *out, const silr_stack_data *d, silr_error *err);

#endif
