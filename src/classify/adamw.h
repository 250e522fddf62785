/* adamw.h - one step of AdamW on a flat block of parameters; known inside classify/ only.
 *
 *     const silr_adamw_range all[] = {{0, weights, .decay = true, .l2 = adam->l2}, {weights, biases}};
 *     silr_adamw_step(&block, all, 2, adam, lr, ++t, 0, NULL);
 *
 * Weights and moments are floats. What becomes of a parameter depends on its own four numbers alone, and
 * the norm is summed in one order, so the bits are the same for any number of threads. */
#ifndef SILR_CLASSIFY_ADAMW_H
#define SILR_CLASSIFY_ADAMW_H

#include "classify/classifier.h"

/* The block: parameter i is params[i], and so on. */
typedef struct {
    float *params, *grad, *m, *v;
} silr_adamw_block;

/* Parameters that are stepped alike; what is in no range is left alone. Ranges do not overlap. */
typedef struct {
    size_t from, n;
    bool decay; /* by adam->weight_decay */
    double l2;  /* the gradient is taken as g + l2 p (adam->l2 is not looked at) */
} silr_adamw_range;

/* Step t (from 1), at rate lr; the gradients of all ranges are cleared. With clip > 0 they are first scaled
 * down to a norm of about clip, all together, as PyTorch does it: by min(1, clip / (norm + 1e-6)).
 * norm (NULL: not asked for): their norm before that.
 * false: the norm, where it was needed, is infinite or not a number; nothing was changed then. */
bool silr_adamw_step(const silr_adamw_block *b, const silr_adamw_range *range, size_t n_ranges,
                     const silr_adam *adam, double lr, uint64_t t, double clip, double *norm);
/* The Euclidean norm of the gradients of all ranges. */
double silr_adamw_norm(const silr_adamw_block *b, const silr_adamw_range *range, size_t n_ranges);

/* The same step of n parameters in doubles, to judge it by; the gradient is left alone. */
void silr_adamw_f64(const silr_adam *a, double lr, uint64_t t, bool decay, double l2, size_t n, double *p,
                    const double *g, double *m, double *v);

#endif
