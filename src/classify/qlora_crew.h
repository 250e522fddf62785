/* qlora_crew.h - one model fine-tuned by all ranks; known inside classify/ only.
 *
 * Rank 0's classifier calls these in place of its tuner's functions, and means the same by them: the
 * texts of a batch are shared among the ranks, each of which has the base and a copy of the trained
 * parameters. Scores are those of one rank, to the bit; the gradient is that of one rank to rounding,
 * and the same bits again with as many ranks.
 *
 *     silr_qlora_crew_open(&c, &tuner, &base, &opts, err);
 *     silr_qlora_crew_share(c, false, err);             whenever rank 0's parameters were changed
 *     silr_qlora_crew_forward(c, &b, true, scores, err);
 *     silr_qlora_crew_backward(c, dscores, err);        of the texts of the last forward
 *     silr_qlora_crew_step(c, &adam, lr, k, err);       on all ranks, from the sum of their gradients
 *
 * Where one rank fails all do, with its sentence; the crew is still good, for a share and what follows. */
#ifndef SILR_CLASSIFY_QLORA_CREW_H
#define SILR_CLASSIFY_QLORA_CREW_H

#include "classify/tuner.h"

typedef struct silr_qlora_crew silr_qlora_crew;
/* own: rank 0's, borrowed, made from o and base->place; every rank makes its own from its file at that
 * path. SILR_EINPUT: a rank has no such model, or another one there. */
silr_status silr_qlora_crew_open(silr_qlora_crew **out, silr_tuner *own, const silr_encoder_name *base,
                                 const silr_scorer_opts *o, silr_error *err);
void silr_qlora_crew_free(silr_qlora_crew *c); /* NULL is fine */

/* Rank 0's parameters to all, with the moments of its training (which it must have) or without; what all
 * had of a gradient is dropped. */
silr_status silr_qlora_crew_share(silr_qlora_crew *c, bool moments, silr_error *err);
silr_status silr_qlora_crew_forward(silr_qlora_crew *c, const silr_tune_batch *b, bool training,
                                    float *scores, silr_error *err);
silr_status silr_qlora_crew_backward(silr_qlora_crew *c, const float *dscores, silr_error *err);
silr_status silr_qlora_crew_step(silr_qlora_crew *c, const silr_adam *adam, double lr, uint64_t k,
                                 silr_error *err);

#endif
