/* dense.c - products of vectors and weights, tile by tile.
 *
 * Forward, a thread takes 16 texts and 256 features at a time; backward, 32 features and 64 texts.
 * Each number that comes out is the work of one thread: forward the sum over the features in their
 * order, backward over the texts in the order of the batch. So threads change no byte, and forward
 * the other texts do not either. */
#include "classify/dense.h"

#include "classify/kernels.h"
#include "embed/half.h"
#include <math.h>
#include <string.h>

enum { TEXTS = 16, FEATURES = 256, /* forward */
       DEPTH = 64, ACROSS = 32 };  /* backward: texts, features */

/* Features from .. from + n - 1 of a text. */
static void piece(const silr_dense *x, uint32_t doc, size_t from, size_t n, float *out)
{
    const uint16_t *row = silr_embeddings_row(x->vectors, doc);

    if (row)
        silr_half_to(row + from, n, out);
    else
        memset(out, 0, n * sizeof *out);
    for (size_t j = 0; j < n; j++)
        out[j] = (out[j] - x->mean[from + j]) * x->scale;
}

void silr_dense_forward(const silr_dense *x, const uint32_t *docs, size_t n, const float *w,
                        size_t stride, float *out)
{
    memset(out, 0, n * stride * sizeof *out);
#pragma omp parallel for schedule(static) if (n * x->d * stride > 100000)
    for (size_t at = 0; at < n; at += TEXTS) {
        const size_t rows = n - at < TEXTS ? n - at : TEXTS;
        float tile[TEXTS * FEATURES];
        for (size_t from = 0; from < x->d; from += FEATURES) {
            const size_t k = x->d - from < FEATURES ? x->d - from : FEATURES;
            for (size_t r = 0; r < rows; r++)
                piece(x, docs[at + r], from, k, tile + r * FEATURES);
            silr_kernel_product(tile, FEATURES, 1, rows, k, w + from * stride, stride, stride,
                                out + at * stride, stride);
        }
    }
}

void silr_dense_backward(const silr_dense *x, const uint32_t *docs, size_t n, const float *g,
                         size_t stride, float *grad)
{
#pragma omp parallel for schedule(dynamic) if (n * x->d * stride > 100000)
    for (size_t from = 0; from < x->d; from += ACROSS) {
        const size_t k = x->d - from < ACROSS ? x->d - from : ACROSS;
        float tile[DEPTH * ACROSS];
        for (size_t at = 0; at < n; at += DEPTH) {
            const size_t rows = n - at < DEPTH ? n - at : DEPTH;
            for (size_t r = 0; r < rows; r++)
                piece(x, docs[at + r], from, k, tile + r * ACROSS);
            silr_kernel_product(tile, 1, ACROSS, k, rows, g + at * stride, stride, stride,
                                grad + from * stride, stride);
        }
    }
}

/* --- centre and scale --------------------------------------------------------------------------- */

/* Means in double, in the order of the texts; those without a vector do not count. */
static silr_status measure(silr_dense *x, silr_error *err)
{
    double *sum = silr_calloc(x->d, sizeof *sum), square = 0, count = 0;
    float *v = silr_alloc(x->d, sizeof *v);
    silr_status st = sum && v ? SILR_OK : silr_fail_memory(err);

    for (size_t i = 0; i < x->n && st == SILR_OK; i++) {
        const uint16_t *row = silr_embeddings_row(x->vectors, i);
        if (!row)
            continue;
        silr_half_to(row, x->d, v);
        for (size_t j = 0; j < x->d; j++) {
            sum[j] += (double)v[j];
            square += (double)v[j] * (double)v[j];
        }
        count++;
    }
    for (size_t j = 0; j < x->d && st == SILR_OK; j++)
        x->mean[j] = count > 0 ? (float)(sum[j] / count) : 0;
    x->scale = square > 0 ? (float)sqrt((double)x->d * count / square) : 1;
    silr_free(sum);
    silr_free(v);
    return st;
}

silr_status silr_dense_take(silr_dense *x, silr_embeddings *vectors, silr_error *err)
{
    silr_status st;

    *x = (silr_dense){.vectors = vectors, .n = silr_embeddings_size(vectors),
                      .d = silr_embeddings_dim(vectors)};
    x->mean = silr_alloc(x->d, sizeof *x->mean);
    st = x->mean ? measure(x, err) : silr_fail_memory(err);
    if (st != SILR_OK)
        silr_dense_clear(x);
    return st;
}

void silr_dense_clear(silr_dense *x)
{
    silr_embeddings_free(x->vectors);
    silr_free(x->mean);
    *x = (silr_dense){0};
}
