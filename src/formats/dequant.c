/* dequant.c - the types of tensors, and how their bytes become floats.
 *
 * Quantised values lie in blocks that share a scale. d, m and e are half floats in the block; q is
 * a small integer; low four bits of the bytes hold the first half of a run, high ones the second:
 *
 *     Q8_0   d, 32 int8                              d q
 *     Q4_0   d, 16 bytes                             d (q - 8)
 *     Q4_1   d, m, 16 bytes                          d q + m
 *     Q5_0   d, 32 fifth bits, 16 bytes              d (q - 16)
 *     Q5_1   d, m, 32 fifth bits, 16 bytes           d q + m
 *     Q4_K   d, e, 12 bytes, 128 bytes               (d s) q - (e t)     s, t: 6 bits each, a pair
 *     Q5_K   d, e, 12 bytes, 32 high, 128 bytes      the same               for 32 values
 *     Q6_K   128 bytes, 64 high, 16 int8 s, d        (d s) (q - 32)      s for 16 values
 *
 * "Exactly as published" means: each product and sum above is rounded to float by itself, in this
 * order. So nothing here may be contracted to a fused multiply-add, which rounds once: the AVX2
 * build of these loops leaves FMA out, and clang, which contracts by default, is told.
 *
 * Bytes are read through memcpy or one by one: a tensor of a safetensors file lies at any address.
 */
#include "formats/formats.h"

#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files hold little-endian numbers");

const silr_type_info *silr_type_of(silr_type type)
{
    static const silr_type_info info[SILR_TYPES] = {
        [SILR_TYPE_F32] = {"F32", 1, 4},       [SILR_TYPE_F16] = {"F16", 1, 2},
        [SILR_TYPE_BF16] = {"BF16", 1, 2},     [SILR_TYPE_Q8_0] = {"Q8_0", 32, 34},
        [SILR_TYPE_Q4_0] = {"Q4_0", 32, 18},   [SILR_TYPE_Q4_1] = {"Q4_1", 32, 20},
        [SILR_TYPE_Q5_0] = {"Q5_0", 32, 22},   [SILR_TYPE_Q5_1] = {"Q5_1", 32, 24},
        [SILR_TYPE_Q4_K] = {"Q4_K", 256, 144}, [SILR_TYPE_Q5_K] = {"Q5_K", 256, 176},
        [SILR_TYPE_Q6_K] = {"Q6_K", 256, 210}, [SILR_TYPE_OTHER] = {"other", 1, 1},
    };
    return &info[type];
}

#define INLINE static inline __attribute__((always_inline))

INLINE float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

INLINE uint16_t u16_at(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Of a half: 5 bits of exponent with bias 15, where a float has 8 with bias 127. A subnormal one is
 * m 2^-24 = (1 + m 2^-10) 2^-14 - 2^-14; that way no subnormal float is ever an operand, which some
 * threads may have switched off. */
INLINE float half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, low = h & 0x7fff, wide = low << 13;
    uint32_t bits = low >= 0x7c00 ? wide + (224U << 23) : wide + (112U << 23); /* inf, NaN: 255 */
    float tiny = float_of_bits(wide | (113U << 23)) - float_of_bits(113U << 23);
    uint32_t tiny_bits;

    memcpy(&tiny_bits, &tiny, sizeof tiny_bits);
    return float_of_bits(sign | (low < 0x0400 ? tiny_bits : bits));
}

INLINE float half_at(const uint8_t *p)
{
    return half(u16_at(p));
}

INLINE void from_f16(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_at(in + 2 * i);
}

INLINE void from_bf16(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = float_of_bits((uint32_t)u16_at(in + 2 * i) << 16);
}

INLINE void from_q8_0(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 34, out += 32) {
        float d = half_at(in);
        for (int i = 0; i < 32; i++)
            out[i] = (float)(int8_t)in[2 + i] * d;
    }
}

INLINE void from_q4_0(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 18, out += 32) {
        float d = half_at(in);
        for (int i = 0; i < 16; i++)
            out[i] = d * (float)((in[2 + i] & 15) - 8);
        for (int i = 0; i < 16; i++)
            out[16 + i] = d * (float)((in[2 + i] >> 4) - 8);
    }
}

INLINE void from_q4_1(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 20, out += 32) {
        float d = half_at(in), m = half_at(in + 2);
        for (int i = 0; i < 16; i++)
            out[i] = d * (float)(in[4 + i] & 15) + m;
        for (int i = 0; i < 16; i++)
            out[16 + i] = d * (float)(in[4 + i] >> 4) + m;
    }
}

/* The 32 five-bit integers of Q5_0 and Q5_1, less `zero`. */
INLINE void five_bits(const uint8_t *restrict high, const uint8_t *restrict low, int zero,
                      int32_t *restrict q)
{
    uint32_t fifth;

    memcpy(&fifth, high, sizeof fifth);
    for (int i = 0; i < 16; i++)
        q[i] = (int32_t)((low[i] & 15U) | (fifth >> i & 1U) << 4) - zero;
    for (int i = 0; i < 16; i++)
        q[16 + i] = (int32_t)((unsigned)low[i] >> 4 | (fifth >> (16 + i) & 1U) << 4) - zero;
}

INLINE void from_q5_0(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 22, out += 32) {
        float d = half_at(in);
        int32_t q[32];
        five_bits(in + 2, in + 6, 16, q);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)q[i];
    }
}

INLINE void from_q5_1(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 24, out += 32) {
        float d = half_at(in), m = half_at(in + 2);
        int32_t q[32];
        five_bits(in + 4, in + 8, 0, q);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)q[i] + m;
    }
}

/* Run j (of 8) of a K block has scale s and minimum t, 6 bits each: for j < 4 the low bits of bytes
 * j and j + 4; behind, four bits each in byte j + 4, their upper two on top of bytes j - 4 and j.
 */
INLINE void scale_and_minimum(const uint8_t *p, int j, int *s, int *t)
{
    if (j < 4) {
        *s = p[j] & 63;
        *t = p[j + 4] & 63;
    } else {
        *s = (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
        *t = p[j + 4] >> 4 | (p[j] >> 6) << 4;
    }
}

INLINE void from_q4_k(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 144, out += 256) {
        float d = half_at(in), e = half_at(in + 2);
        for (int j = 0; j < 8; j++) {
            const uint8_t *q = in + 16 + j / 2 * 32;
            int s, t, shift = j % 2 * 4;
            scale_and_minimum(in + 4, j, &s, &t);
            float ds = d * (float)s, et = e * (float)t;
            for (int i = 0; i < 32; i++)
                out[j * 32 + i] = ds * (float)(q[i] >> shift & 15) - et;
        }
    }
}

INLINE void from_q5_k(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 176, out += 256) {
        float d = half_at(in), e = half_at(in + 2);
        for (int j = 0; j < 8; j++) {
            const uint8_t *q = in + 48 + j / 2 * 32, *high = in + 16;
            int s, t, shift = j % 2 * 4;
            scale_and_minimum(in + 4, j, &s, &t);
            float ds = d * (float)s, et = e * (float)t;
            for (int i = 0; i < 32; i++)
                out[j * 32 + i] = ds * (float)((q[i] >> shift & 15) | (high[i] >> j & 1) << 4) - et;
        }
    }
}

INLINE void from_q6_k(const uint8_t *restrict in, size_t n, float *restrict out)
{
    for (; n > 0; n--, in += 210, out += 256) {
        float d = half_at(in + 208);
        for (int j = 0; j < 8; j++) { /* 32 values, two scales */
            const uint8_t *q = in + j / 4 * 64 + j % 2 * 32, *high = in + 128 + j / 4 * 32;
            int shift = j % 4 / 2 * 4, high_shift = j % 4 * 2;
            float ds[2] = {d * (float)(int8_t)in[192 + 2 * j], d * (float)(int8_t)in[193 + 2 * j]};
            for (int i = 0; i < 32; i++)
                out[j * 32 + i] =
                    ds[i / 16] *
                    (float)(((q[i] >> shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
        }
    }
}

/* n: values for the plain types, blocks for the others. */
INLINE void convert(silr_type type, const uint8_t *restrict in, size_t n, float *restrict out)
{
    switch (type) {
    case SILR_TYPE_F32:
        memcpy(out, in, n * sizeof *out);
        break;
    case SILR_TYPE_F16:
        from_f16(in, n, out);
        break;
    case SILR_TYPE_BF16:
        from_bf16(in, n, out);
        break;
    case SILR_TYPE_Q8_0:
        from_q8_0(in, n, out);
        break;
    case SILR_TYPE_Q4_0:
        from_q4_0(in, n, out);
        break;
    case SILR_TYPE_Q4_1:
        from_q4_1(in, n, out);
        break;
    case SILR_TYPE_Q5_0:
        from_q5_0(in, n, out);
        break;
    case SILR_TYPE_Q5_1:
        from_q5_1(in, n, out);
        break;
    case SILR_TYPE_Q4_K:
        from_q4_k(in, n, out);
        break;
    case SILR_TYPE_Q5_K:
        from_q5_k(in, n, out);
        break;
    case SILR_TYPE_Q6_K:
        from_q6_k(in, n, out);
        break;
    case SILR_TYPE_OTHER:
    case SILR_TYPES:
        break;
    }
}

static void convert_plain(silr_type type, const uint8_t *in, size_t n, float *out)
{
    convert(type, in, n, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void convert_avx2(silr_type type, const uint8_t *in,
                                                         size_t n, float *out)
{
    convert(type, in, n, out);
}
#endif

void silr_dequantise(silr_type type, const void *data, size_t n, float *out)
{
    size_t blocks = n / silr_type_of(type)->block;

    if (blocks == 0)
        return;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        convert_avx2(type, data, blocks, out);
        return;
    }
#endif
    convert_plain(type, data, blocks, out);
}

void silr_tensor_rows(const silr_tensor *t, size_t first, size_t n, float *out)
{
    const silr_type_info *info = silr_type_of(t->type);
    size_t columns = t->dim[t->n_dims - 1], row = columns / info->block * info->bytes;

    silr_dequantise(t->type, (const uint8_t *)t->data + first * row, n * columns, out);
}
