/* body.h - the kernels, for the vectors that the including file has defined. Not a header: it is
 * compiled once for each kind of processor.
 *
 * Wanted: LANES, ROWS, TARGET, KERNELS, KERNELS_NAME; vec; SET1, FMA, MAX, MIN, HALF, HALVES, BYTES,
 * SIGNED_BYTES (LANES of them as floats, as int32_t); MUL32 (of the low halves of vecu); sum4, max_of,
 * turn8. */
#ifndef LANES
#error "included by cpu_*.c, which say what a vector is"
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __clang__ /* or it makes one rounding of two where it likes */
#pragma STDC FP_CONTRACT OFF
#endif

#define PANEL (2 * LANES)
#define INLINE __attribute__((always_inline)) static inline TARGET

typedef int32_t veci __attribute__((vector_size(4 * LANES)));
typedef uint64_t vecu __attribute__((vector_size(4 * LANES)));
typedef float unaligned __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

INLINE vec load(const float *p)
{
    return (vec)*(const unaligned *)p;
}

INLINE void store(float *p, vec v)
{
    *(unaligned *)p = (unaligned)v;
}

/* The first n < LANES floats at p, the rest `fill`. */
INLINE vec load_part(const float *p, size_t n, float fill)
{
    float v[LANES];

    for (size_t i = 0; i < LANES; i++)
        v[i] = i < n ? p[i] : fill;
    return load(v);
}

INLINE void store_part(float *p, size_t n, vec v)
{
    float part[LANES];

    store(part, v);
    memcpy(p, part, n * sizeof *p);
}

INLINE vec load_most(const float *p, size_t n, float fill)
{
    return n >= LANES ? load(p) : load_part(p, n, fill);
}

INLINE void store_most(float *p, size_t n, vec v)
{
    if (n >= LANES)
        store(p, v);
    else
        store_part(p, n, v);
}

INLINE vec pick(veci which, vec a, vec b)
{
    return (vec)((which & (veci)a) | (~which & (veci)b));
}

INLINE float sum_of(vec v)
{
    const vec four[4] = {v, v, v, v};
    float sum[4];

    sum4(four, sum);
    return sum[0];
}

/* out[in][PANEL] = columns <= PANEL rows of w, `ld` apart and `in` long, turned; zeros fill up. */
INLINE void turn_panel(const float *w, size_t ld, size_t columns, size_t in, float *out)
{
    size_t whole = columns / 8 * 8, k = 0;

    for (; k + 8 <= in; k += 8)
        for (size_t j = 0; j < whole; j += 8)
            turn8(w + j * ld + k, ld, out + k * PANEL + j, PANEL);
    for (; k < in; k++)
        for (size_t j = 0; j < whole; j++)
            out[k * PANEL + j] = w[j * ld + k];
    for (size_t j = whole; j < PANEL; j++)
        for (k = 0; k < in; k++)
            out[k * PANEL + j] = j < columns ? w[j * ld + k] : 0;
}

#include "engine/body_product.h"
#include "engine/body_multiply.h"
#include "engine/body_filed.h"
#include "engine/body_functions.h"
#include "engine/body_rows.h"
#include "engine/body_rows_back.h"
#include "engine/body_attention.h"
#include "engine/body_attention_back.h"

const silr_kernels KERNELS = {
    .name = KERNELS_NAME,
    .panel = PANEL,
    .rows = ROWS,
    .pack = pack,
    .product = product,
    .product_filed = product_filed,
    .multiply_scratch = multiply_scratch,
    .multiply = multiply,
    .dequantise = dequantise,
    .attention_scratch = attention_scratch,
    .attention = attention,
    .attention_back_scratch = attention_back_scratch,
    .attention_back = attention_back,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .activate = activate,
    .add = add,
    .scale = scale,
    .rms_norm_back = rms_norm_back,
    .layer_norm_back = layer_norm_back,
    .norm_sums = norm_sums,
    .activate_back = activate_back,
    .dropout = dropout,
    .add_scaled = add_scaled,
};
