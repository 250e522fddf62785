/* model.h - a loaded model; known inside classify/, its tests and its fuzzer only. */
#ifndef SILR_CLASSIFY_MODEL_H
#define SILR_CLASSIFY_MODEL_H

#include "classify/scorer.h"
#include <pthread.h>

struct silr_model {
    int K, columns;
    char **classes;         /* of data or dense */
    silr_model_data data;   /* ngram */
    float tf[256];
    bool frozen;
    silr_frozen_data dense;
    silr_model *beside;     /* n-grams of a frozen one; NULL: none */
    silr_encoder *encoder;  /* NULL: not loaded */
    bool tuned;             /* qlora */
    silr_qlora_data about;
    silr_scorer scorer;     /* engine NULL: not loaded */
    char *place;            /* of the model that was loaded; NULL */
    pthread_mutex_t *one;   /* one call of the encoder, or the scorer, at a time */
};

/* The bytes of model.silr, frozen.silr or qlora.json, the latter two without what lies beside them; name
 * is for errors. */
silr_status silr_model_parse(silr_model **out, const void *bytes, size_t len, const char *name,
                             silr_error *err);
/* Logits [columns] of a frozen one, from an encoder's vector [dense.layers.d]. */
silr_status silr_model_vector_logits(const silr_model *m, const float *v, double *logits,
                                     silr_error *err);

/* Shared by the readers of both files. */
silr_status silr_model_damaged(silr_error *err, const char *name, const char *what);
bool silr_model_is_utf8(const char *s, size_t len);

#endif
