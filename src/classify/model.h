/* model.h - a loaded model; known inside classify/, its tests and its fuzzer only. */
#ifndef SILR_CLASSIFY_MODEL_H
#define SILR_CLASSIFY_MODEL_H

#include "classify/ngram.h"

struct silr_model {
    silr_model_data data;
    float tf[256];
};

/* The bytes of model.silr; name is for errors. */
silr_status silr_model_parse(silr_model **out, const void *bytes, size_t len, const char *name,
                             silr_error *err);

#endif
