/* recalibrate.h - what an annotator's log-odds are worth (method.md B7). Two classes.
 *
 * An annotator says o = log P(class 0) - log P(class 1) of each text. A small language model's o
 * often ranks texts well while its zero stands in the wrong place, so that nearly all of its
 * answers are one class. A few labelled texts tell where the zero should be:
 *
 *     P(y = class 0 | o) = sigmoid(a o + b)
 *
 * These are pure functions; refine/evidence.c and sides.c apply them to a run. */
#ifndef SILR_REFINE_RECALIBRATE_H
#define SILR_REFINE_RECALIBRATE_H

#include "base/base.h"

typedef struct {
    double a, b;
    double wide; /* posterior sd of a o + b where it is 0: how sure the cut is. 0: not estimated */
} silr_line;

/* Makes the log-odds of n texts fit to be averaged: one beyond ten times their median magnitude,
 * and beyond 30 (odds of 1e13), is clipped there, infinite ones too; NAN with a label becomes the
 * mean of that label's others, where there are none minus that of the other label's. label[i]
 * SILR_NO_LABEL: o[i] becomes NAN. The statistics are those of the first n_seen texts. */
silr_status silr_odds_repair(double *o, size_t n, size_t n_seen, const int *label, silr_error *err);

/* Median and standard deviation of what is not NAN. */
silr_status silr_odds_spread(double *middle, double *spread, size_t n, const double *o,
                             silr_error *err);

/* The most probable a, b given n labelled texts with inclusion weights. NULL: done; else why it
 * cannot be done, as the end of a sentence ("... : they rank the wrong way"). */
const char *silr_recalibrate(silr_line *out, double middle, double spread, size_t n,
                             const double *o, const int *truth, const double *weight);

/* Without labels, from a stated share pi of class 0: the cut is the (1 - pi)-quantile of o, and the
 * slope the one that gives the annotator's own sets the D = theta_p - theta_n that was stated. */
silr_status silr_recalibrate_stated(silr_line *out, const char **why, size_t n, const double *o,
                                    const int *label, double D, double pi, silr_error *err);

static inline double silr_line_at(const silr_line *l, double o)
{
    return l->a * o + l->b;
}
static inline int silr_line_side(const silr_line *l, double o)
{
    return silr_line_at(l, o) > 0 ? 0 : 1;
}

#endif
