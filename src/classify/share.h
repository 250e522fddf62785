/* share.h - a fine-tuned classifier as transformers and peft load it.
 *
 *     silr_shared out;
 *     const silr_share_opts o = {.form = SILR_SHARE_MERGED, .type = SILR_TYPE_F32};
 *     if ((st = silr_model_load(&m, "run/classifier", err)) == SILR_OK)
 *         st = silr_model_share(m, &o, "folder", texts, lens, n, &out, err);
 *     out.difference          between the scores of the texts here, and by what was written
 *
 * For export/ alone. */
#ifndef SILR_CLASSIFY_SHARE_H
#define SILR_CLASSIFY_SHARE_H

#include "classify/classifier.h"
#include "formats/formats.h"

typedef enum {
    SILR_SHARE_ADAPTER, /* a peft adapter: what was trained, to be put on the base */
    SILR_SHARE_MERGED   /* a whole model, W + scale B A in place of W */
} silr_share_form;

typedef struct {
    silr_share_form form;
    const char *base_name; /* what peft is to load the base as; NULL: as the task named it */
    silr_type type;        /* merged: of the tensors, F32, F16 or BF16 */
} silr_share_opts;

typedef struct {
    double difference; /* the largest between scores; NAN: no texts */
    bool no_tokenizer; /* merged: the base's lies in a GGUF file, transformers needs that of the original model */
    bool foreign_base; /* adapter: the base is a GGUF file, which peft loads in another way */
} silr_shared;

/* Writes into folder dir (made if need be): the model, and a README.md that says how it is loaded and what
 * a score means. Then reads it back with silr's own readers and compares the scores (before
 * calibration) of n texts. The classifier's own model makes room for that: afterwards m has none.
 *
 * A decoder that reads the last token becomes transformers' classifier of sequences. Others (encoders,
 * means) become the classifier of tokens: its head sees every token's state, and the mean of its
 * scores is the score of the mean.
 *
 * SILR_EINPUT: m is of another kind, or was loaded without its model; all weights were trained, so that
 * there is no adapter; transformers has no words for this base. SILR_EIO, SILR_ENOMEM, SILR_ECANCEL. */
silr_status silr_model_share(silr_model *m, const silr_share_opts *o, const char *dir,
                             const char *const *texts, const size_t *lens, size_t n, silr_shared *out,
                             silr_error *err);

#endif
