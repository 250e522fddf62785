/* qlora.h - classifier `qlora`: a language model fine-tuned; known inside classify/ only. */
#ifndef SILR_CLASSIFY_QLORA_H
#define SILR_CLASSIFY_QLORA_H

#include "classify/scorer.h"

/* Loads base->place (copied, as what is saved names it), tokenises all n texts. In a job of several ranks
 * all of them load it, and do their part of what takes long. */
silr_status silr_qlora_new(silr_classifier **out, const silr_scorer_opts *o,
                           const silr_encoder_name *base, int K, const char *const *classes,
                           silr_text_get get, const void *ctx, size_t n, silr_error *err);

#endif
