/* kernels.c - sparse times dense, and dense times dense.
 *
 * A bank of models lies side by side: row j of the weights holds feature j's weight in every
 * model. Going through a text's entries once, one load of (feature, value) serves them all, and
 * the columns are what the vector units work on. Backward is the same loop with the roles
 * exchanged: entries are the texts that have a feature, rows are the derivatives of their scores. */
#include "classify/kernels.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

INLINE void dot_narrow(const uint32_t *idx, const float *val, size_t n, const float *rows,
                       size_t stride, const int width, float *acc)
{
    float a = acc[0], b = width > 1 ? acc[1] : 0, c = width > 2 ? acc[2] : 0;
    float d = width > 3 ? acc[3] : 0;

    for (size_t e = 0; e < n; e++) {
        const float *row = rows + (size_t)idx[e] * stride, v = val[e];
        a += v * row[0];
        if (width > 1)
            b += v * row[1];
        if (width > 2)
            c += v * row[2];
        if (width > 3)
            d += v * row[3];
    }
    acc[0] = a;
    if (width > 1)
        acc[1] = b;
    if (width > 2)
        acc[2] = c;
    if (width > 3)
        acc[3] = d;
}

/* width eights, which stay in registers; written out because compilers do not see it. */
INLINE void dot_wide(const uint32_t *idx, const float *val, size_t n, const float *rows,
                     size_t stride, const int width, float *acc)
{
    const eight zero = {0};
    eight a = ((eight *)acc)[0], b = width > 1 ? ((eight *)acc)[1] : zero;
    eight c = width > 2 ? ((eight *)acc)[2] : zero, d = width > 3 ? ((eight *)acc)[3] : zero;

    for (size_t e = 0; e < n; e++) {
        const eight *row = (const eight *)(rows + (size_t)idx[e] * stride);
        const float v = val[e];
        a += v * row[0];
        if (width > 1)
            b += v * row[1];
        if (width > 2)
            c += v * row[2];
        if (width > 3)
            d += v * row[3];
    }
    ((eight *)acc)[0] = a;
    if (width > 1)
        ((eight *)acc)[1] = b;
    if (width > 2)
        ((eight *)acc)[2] = c;
    if (width > 3)
        ((eight *)acc)[3] = d;
}

EACH_CPU void silr_kernel_dot(const uint32_t *idx, const float *val, size_t n, const float *rows,
                              size_t stride, int width, float *acc)
{
    switch (width) { /* a constant width makes straight code of the loops over columns */
    case 1: dot_narrow(idx, val, n, rows, stride, 1, acc); break;
    case 2: dot_narrow(idx, val, n, rows, stride, 2, acc); break;
    case 3: dot_narrow(idx, val, n, rows, stride, 3, acc); break;
    case 4: dot_narrow(idx, val, n, rows, stride, 4, acc); break;
    case 8: dot_wide(idx, val, n, rows, stride, 1, acc); break;
    case 16: dot_wide(idx, val, n, rows, stride, 2, acc); break;
    case 24: dot_wide(idx, val, n, rows, stride, 3, acc); break;
    default: dot_wide(idx, val, n, rows, stride, 4, acc); break;
    }
}

/* What a tile of `deep` rows and `eights` eights needs of 4 rows and 3 eights; in registers, and
 * written out, as above. */
#define TILE_EACH(DO)                                                                              \
    DO(0, 0) DO(0, 1) DO(0, 2) DO(1, 0) DO(1, 1) DO(1, 2)                                          \
    DO(2, 0) DO(2, 1) DO(2, 2) DO(3, 0) DO(3, 1) DO(3, 2)
#define TILE_AT(r, c) (*(eight *)(out + (r) * ldo + (size_t)8 * (c)))
#define TILE_LOAD(r, c) eight a##r##c = (r) < deep && (c) < eights ? TILE_AT(r, c) : zero;
#define TILE_ADD(r, c)                                                                             \
    if ((r) < deep && (c) < eights)                                                                \
        a##r##c += v##c * x[(r) * row];
#define TILE_STORE(r, c)                                                                           \
    if ((r) < deep && (c) < eights)                                                                \
        TILE_AT(r, c) = a##r##c;

INLINE void product_tile(const float *x, size_t row, size_t step, size_t n, const float *w,
                         size_t ldw, float *out, size_t ldo, const int deep, const int eights)
{
    const eight zero = {0};
    TILE_EACH(TILE_LOAD)

    for (size_t j = 0; j < n; j++, x += step, w += ldw) {
        const eight v0 = *(const eight *)w;
        const eight v1 = eights > 1 ? *(const eight *)(w + 8) : zero;
        const eight v2 = eights > 2 ? *(const eight *)(w + 16) : zero;
        TILE_EACH(TILE_ADD)
    }
    TILE_EACH(TILE_STORE)
}

INLINE void product_rows(const float *x, size_t row, size_t step, size_t rows, size_t n,
                         const float *w, size_t ldw, float *out, size_t ldo, const int eights)
{
    size_t r = 0;

    for (; r + 4 <= rows; r += 4)
        product_tile(x + r * row, row, step, n, w, ldw, out + r * ldo, ldo, 4, eights);
    for (; r < rows; r++)
        product_tile(x + r * row, row, step, n, w, ldw, out + r * ldo, ldo, 1, eights);
}

EACH_CPU void silr_kernel_product(const float *x, size_t row, size_t step, size_t rows, size_t n,
                                  const float *w, size_t ldw, size_t columns, float *out, size_t ldo)
{
    size_t c = 0;

    for (; c + 24 <= columns; c += 24)
        product_rows(x, row, step, rows, n, w + c, ldw, out + c, ldo, 3);
    if (columns - c == 16)
        product_rows(x, row, step, rows, n, w + c, ldw, out + c, ldo, 2);
    else if (columns - c == 8)
        product_rows(x, row, step, rows, n, w + c, ldw, out + c, ldo, 1);
}
