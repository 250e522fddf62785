/* checkpoint.h - where a long training is, on disk; known inside classify/ only.
 *
 *     silr_checkpoint_open      looks whether the file is of this training, and takes it up
 *     silr_checkpoint_save      after a step: writes, if it is time
 *     silr_checkpoint_close     removes it when the training has ended
 *
 * The file appears whole or not at all, and carries a hash of all its bytes and one of what the training
 * is made of (options, texts, sets, weights): anything else is left alone and written over. */
#ifndef SILR_CLASSIFY_CHECKPOINT_H
#define SILR_CLASSIFY_CHECKPOINT_H

#include "classify/trainer.h"

/* How far: member `member` has done `at` texts of epoch `epoch` (1-based); and its sums so far. */
typedef struct {
    size_t member;
    int epoch;
    size_t at;
    double loss, flat, best;
    silr_gate gate;
} silr_place;

typedef struct {
    const char *path; /* NULL: no checkpoints */
    double every, last;
    uint64_t identity;
    const silr_train_log *logs; /* [n]; NULL */
    size_t n;
} silr_checkpoint;

/* What a training goes over. */
typedef struct {
    const uint32_t *docs, *validation;
    size_t n, n_validation;
} silr_train_texts;

/* After reset. *found: the classifier's state, logs (may be NULL) and *place are as they were. A file that
 * is damaged or of another training: *found false, and a line in the log. SILR_ENOMEM. */
silr_status silr_checkpoint_open(silr_checkpoint *c, const silr_train_opts *o, silr_classifier *model,
                                 const silr_member *members, size_t n, const silr_train_texts *texts,
                                 silr_train_log *logs, silr_place *place, bool *found, silr_error *err);
/* SILR_EIO: it could not be written (disk full); the one before is still whole. */
silr_status silr_checkpoint_save(silr_checkpoint *c, silr_classifier *model, const silr_place *place,
                                 bool now, silr_error *err);
void silr_checkpoint_close(silr_checkpoint *c, bool done);

#endif
