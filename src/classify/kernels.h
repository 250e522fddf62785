/* kernels.h - the three inner loops of the linear bank; known inside classify/ only.
 *
 * No instruction fuses a multiplication with an addition here (C17 forbids it by default), and
 * every sum runs in the order of the entries, so a column's result is the same whatever the
 * width of the vectors, the number of columns beside it, and the number of threads. */
#ifndef SILR_CLASSIFY_KERNELS_H
#define SILR_CLASSIFY_KERNELS_H

#include "classify/classifier.h"

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

/* One step of Adam on n parameters, gradient cleared. t: which step, from 1. */
void silr_kernel_adam(const silr_adam *a, double lr, uint64_t t, double l2, size_t n, float *p,
                      float *g, float *m, float *v);
/* The same in doubles, in the order of PyTorch's AdamW; the gradient is left alone. */
void silr_adam_f64(const silr_adam *a, double lr, uint64_t t, double l2, size_t n, double *p,
                   const double *g, double *m, double *v);

#endif
