/* finish.h - recipe silr's account of itself, and its outputs. */
#ifndef SILR_REFINE_FINISH_H
#define SILR_REFINE_FINISH_H

#include "refine/ours.h"

/* What labelled texts say of the newest labels, each judged by the variant that never learned from
 * it (method.md B9, B11, B12: label cross-fitting). n = 0: there is no sample. */
typedef struct {
    size_t n;
    double gain, gain_se; /* change of accuracy against what was started from, paired on the flips */
} silr_account;

/* Fills a, and of `it`: priors of the new labels, estimated accuracy. */
silr_status silr_ours_account(const silr_ours *o, silr_account *a, silr_iteration *it,
                              silr_error *err);

/* Labels and probabilities of every row after the newest iteration: covered pool texts by the
 * stack, all others by the classifier as it would be deployed. Yours: silr_free both. */
silr_status silr_ours_outcome(const silr_ours *o, silr_outcome *out, silr_error *err);

/* Repeats the last step with theta and margin moved; leaves JSON under "sensitivity". */
silr_status silr_ours_sensitivity(silr_ours *o, silr_error *err);

/* Final labels (of the newest accepted iteration), sensitivity, classifier. */
silr_status silr_ours_finish(silr_ours *o, silr_error *err);

#endif
