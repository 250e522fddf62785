/* tuner.h - a language model in training: what one rank does with its texts of a step; known inside
 * classify/ only.
 *
 *     silr_tuner_forward(&t, &batch, true, scores, err);      [n][columns]
 *     silr_tuner_backward(&t, &batch, dscores, err);          adds to the gradient
 *     silr_tuner_step(&t, &adam, lr, k, err);                 step k, from 0; the gradient is cleared
 *
 * A batch whose activations do not fit at once is scored first without keeping any, and then goes
 * forward and back in parts: dropout is drawn by the batch's key, text and place, so that the parts
 * see what the whole saw, and the gradient is the same sum. */
#ifndef SILR_CLASSIFY_TUNER_H
#define SILR_CLASSIFY_TUNER_H

#include "classify/adamw.h"
#include "classify/scorer.h"

typedef struct {
    silr_scorer scorer;
    size_t n_params;
    float *params, *grad;    /* the engine's */
    float *m, *v;            /* moments; NULL: there was no step yet */
    silr_adamw_range *range; /* [n_ranges], one for each name of the engine's table */
    size_t n_ranges;
    bool held;               /* the last forward's activations are there */
} silr_tuner;

/* o->tune.train is meant, whatever it says. */
silr_status silr_tuner_open(silr_tuner *t, const char *path, const silr_scorer_opts *o, silr_error *err);
void silr_tuner_clear(silr_tuner *t);

/* training: backward follows, with the same b. Texts without numbers are without dropout. */
silr_status silr_tuner_forward(silr_tuner *t, const silr_tune_batch *b, bool training, float *scores,
                               silr_error *err);
silr_status silr_tuner_backward(silr_tuner *t, const silr_tune_batch *b, const float *dscores,
                                silr_error *err);
/* Room for the moments, cleared where there was none. */
silr_status silr_tuner_moments(silr_tuner *t, silr_error *err);
/* Step 0 forgets the moments there were. SILR_EDOMAIN: the gradient is not finite; it is cleared, nothing
 * else is changed. */
silr_status silr_tuner_step(silr_tuner *t, const silr_adam *adam, double lr, uint64_t k, silr_error *err);
/* Of what did not come to an end: for a fresh start. */
void silr_tuner_drop_gradient(silr_tuner *t);

#endif
