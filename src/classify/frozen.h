/* frozen.h - vectors of an encoder, a head on them, n-grams beside; known inside classify/ only. */
#ifndef SILR_CLASSIFY_FROZEN_H
#define SILR_CLASSIFY_FROZEN_H

#include "classify/head.h"
#include "classify/ngram.h"

/* Which encoder, for whoever loads the model: its name as the task gives it, where that was, what
 * its files hash to, and how texts go in. */
typedef struct {
    char *name, *place;
    silr_sha256 model;
    silr_encoder_opts opts;
} silr_encoder_name;
void silr_encoder_name_clear(silr_encoder_name *n);

typedef struct {
    silr_head_kind head;
    size_t hidden;
    silr_recipe recipe;
    const silr_ngram_opts *ngrams; /* NULL: none beside */
    silr_encoder_name encoder;     /* copied */
} silr_frozen_opts;
/* Takes the vectors, also when it fails; get, ctx: the texts, for n-grams. */
silr_status silr_frozen_new(silr_classifier **out, const silr_frozen_opts *o, int K,
                            const char *const *classes, silr_embeddings *vectors, silr_text_get get,
                            const void *ctx, silr_error *err);

/* What a saved classifier is made of; frozen_file.c writes and reads it. */
typedef struct {
    int K, columns;
    char **classes;
    silr_encoder_name encoder;
    bool ngrams;        /* model.silr beside it adds its logits */
    silr_layers layers;
} silr_frozen_data;
silr_status silr_frozen_write(const silr_frozen_data *f, const char *dir, silr_error *err);
/* The bytes of frozen.silr; name is for errors. */
silr_status silr_frozen_parse(silr_frozen_data *out, const void *bytes, size_t len,
                              const char *name, silr_error *err);
void silr_frozen_clear(silr_frozen_data *f);
/* logits [columns] += what the layers say of v [d]. hidden: room for layers.hidden doubles. */
void silr_layers_add(const silr_layers *l, const float *v, double *hidden, double *logits);

#endif
