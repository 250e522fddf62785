/* ngram.h - the bank of linear models over n-grams; known inside classify/ (and its bench) only. */
#ifndef SILR_CLASSIFY_NGRAM_H
#define SILR_CLASSIFY_NGRAM_H

#include "classify/classifier.h"
#include "classify/matrix.h"

/* Adam's step for rows of length 1 (tf-idf). With refine.l2 = 0.0003 it measured best over real
 * labels: .02 underfits (rows of length 1 need a longer step than centred dense features, which is
 * what method.md's .02 was measured on), .3 overfits small corpora. */
#define SILR_NGRAM_RATE 0.12
#define SILR_NGRAM_RATE_PAPER 0.05
#define SILR_NGRAM_L2 0.0003

/* A classifier over n texts that get(ctx, i) gives, of K classes by those names. */
silr_status silr_ngram_new(silr_classifier **out, const silr_ngram_opts *o, int K,
                           const char *const *classes, silr_text_get get, const void *ctx, size_t n,
                           silr_error *err);
const silr_matrix *silr_ngram_matrix(const silr_classifier *c);

/* What a saved model is made of; model.c writes and reads it. weight: [d + 1][columns] of the
 * logits, idf included, the last row the bias. */
typedef struct {
    silr_ngram_opts opts;
    int K, columns;
    char **classes;
    silr_vocab vocab;
    float *idf;     /* [d] */
    float *weight;
} silr_model_data;
silr_status silr_model_write(const silr_model_data *m, const char *dir, silr_error *err);

#endif
