/* fake.h - an encoder without a model: each word has a direction, drawn from its hash; a text's
 * vector is their sum, of length 1. */
#ifndef SILR_TEST_FAKE_H
#define SILR_TEST_FAKE_H

#include "embed/embed.h"

enum { FAKE_DIM = 24 };

/* What the encoders made since fake_start have done, and when they fail. */
typedef struct {
    size_t texts, calls; /* embedded */
    size_t cancel_at;    /* silr_cancel() in the call with this number, from 1; 0: never */
    size_t die_at;       /* _exit(9) there */
    bool broken;         /* vectors have a NaN */
    const char *name;    /* what the model's hash is of; NULL: "fake" */
} fake_state;
extern fake_state fake;

void fake_start(void); /* encoders are fakes from now on; fake is cleared */
void fake_end(void);
silr_encoder *fake_encoder(void); /* silr_encoder_free; NULL: no memory */

#endif
