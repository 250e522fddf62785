/* dense.h - the vectors of a corpus as features; known inside classify/ only.
 *
 *     x_ij = (v_ij - mean_j) * scale,     scale = sqrt(d) / rms length of the vectors:
 *
 * centred over the corpus, and each feature of variance near 1 whatever the encoder's own length is
 * (method.md B12: "centred features * sqrt(d)", measured on vectors of length 1). The vectors stay
 * halves on disk; a tile of them at a time becomes floats on the way through. */
#ifndef SILR_CLASSIFY_DENSE_H
#define SILR_CLASSIFY_DENSE_H

#include "embed/embed.h"

typedef struct {
    silr_embeddings *vectors; /* owned */
    size_t n, d;
    float *mean, scale;       /* mean [d] */
} silr_dense;

/* Takes the vectors, also when it fails. */
silr_status silr_dense_take(silr_dense *x, silr_embeddings *vectors, silr_error *err);
void silr_dense_clear(silr_dense *x);

/* out[i][k] = sum_j x[docs[i]][j] w[j][k]: out [n][stride], w [d][stride], stride a multiple of 8. */
void silr_dense_forward(const silr_dense *x, const uint32_t *docs, size_t n, const float *w,
                        size_t stride, float *out);
/* grad[j][k] += sum_i x[docs[i]][j] g[i][k]: g [n][stride], grad [d][stride]. */
void silr_dense_backward(const silr_dense *x, const uint32_t *docs, size_t n, const float *g,
                         size_t stride, float *grad);

#endif
