/* labelfree.h - theta without a single label (method.md B5, C6). Only refine/ includes this. */
#ifndef SILR_REFINE_LABELFREE_H
#define SILR_REFINE_LABELFREE_H

#include "refine/loop.h"

/* Fills l->start from out-of-fold scores of a plain logistic classifier of the original labels:
 * two classes by mixture proportion estimation, more by confident learning. */
silr_status silr_label_free_priors(silr_loop *l, const double *counts, silr_error *err);

/* B5's tracking: theta of labels s from the known error rates tpr0, fpr0 of the original ones,
 * where both are independent given the class. Two classes. */
void silr_track_theta(const silr_loop *l, const int *label_of_row, silr_priors *out);

#endif
