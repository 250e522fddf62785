/* kernels.h - the inner loops of the linear bank; known inside classify/ only.
 *
 * No instruction fuses a multiplication with an addition here (C17 forbids it by default), and
 * every sum runs in the order of the entries, so a column's result is the same whatever the
 * width of the vectors, the number of columns beside it, and the number of threads. */
#ifndef SILR_CLASSIFY_KERNELS_H
#define SILR_CLASSIFY_KERNELS_H

#include "classify/classifier.h"

/* Machines differ in vector units and one binary serves all: the compiler makes each loop three
 * times and the loader picks (not under sanitizers, which do not like that mechanism). */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_CPU
#endif

enum { SILR_KERNEL_WIDTH = 32 }; /* columns at once: what fits in the registers */

/* acc[0..width) += sum_e val[e] * rows[idx[e] * stride + 0..width). width: 1..4, or 8, 16, 24, 32.
 * Forward: rows are weights, entries a text. Backward: rows are texts, entries a feature. */
void silr_kernel_dot(const uint32_t *idx, const float *val, size_t n, const float *rows,
                     size_t stride, int width, float *acc);

/* out[r][c] += sum_j x[r row + j step] * w[j][c], j ascending, for all r < rows and c < columns, of
 * which there are a multiple of 8. Rows of w and out are ldw, ldo floats apart. What an element comes
 * to does not depend on the others. Forward: x is a row a text (step 1); backward: a column a
 * feature (row 1). */
void silr_kernel_product(const float *x, size_t row, size_t step, size_t rows, size_t n,
                         const float *w, size_t ldw, size_t columns, float *out, size_t ldo);

#endif
