/* half.c - binary32 to binary16 and back.
 *
 *     binary16   s eeeee ffffffffff       value (-1)^s 2^(e-15) 1.f     e = 0: 2^-14 0.f
 *     binary32   s eeeeeeee f(23)         value (-1)^s 2^(e-127) 1.f
 *
 * Normal values lose 13 bits of the fraction: add just under half of the last bit kept, plus that
 * bit itself, and cut; a carry runs into the exponent, which is what rounding up means. Below 2^-14
 * the leading one becomes explicit and is shifted down with the rest. */
#include "embed/half.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#endif

uint16_t silr_half_from_one(float v)
{
    uint32_t bits, a, sign;

    memcpy(&bits, &v, sizeof bits);
    sign = bits >> 16 & 0x8000;
    a = bits & 0x7fffffff;
    if (a > 0x7f800000) /* not a number: quiet, what fits of the payload stays */
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x47800000) /* 65536 and more */
        return (uint16_t)(sign | 0x7c00);
    if (a >= 0x38800000) { /* 2^-14 and more: the exponent's bias goes from 127 to 15 */
        a -= 0x38000000;
        return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1)) >> 13);
    }
    if (a <= 0x33000000) /* up to 2^-25: the tie is with 0, which is even */
        return (uint16_t)sign;
    {
        const uint32_t fraction = (a & 0x7fffff) | 0x800000, shift = 126 - (a >> 23);
        const uint32_t whole = fraction >> shift, rest = fraction & (((uint32_t)1 << shift) - 1);
        const uint32_t tie = (uint32_t)1 << (shift - 1);
        return (uint16_t)(sign | (whole + (rest > tie || (rest == tie && (whole & 1)))));
    }
}

float silr_half_to_one(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31;
    uint32_t fraction = h & 0x3ff, bits;
    float v;

    if (exponent == 31) /* infinite; or not a number, which becomes a quiet one */
        bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
    else if (exponent > 0)
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    else if (fraction == 0)
        bits = sign;
    else {
        const uint32_t up = (uint32_t)__builtin_clz(fraction) - 21; /* until the one is at bit 10 */
        fraction = fraction << up & 0x3ff;
        bits = sign | (113 - up) << 23 | fraction << 13;
    }
    memcpy(&v, &bits, sizeof v);
    return v;
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) static size_t from_eights(const float *in, size_t n,
                                                              uint16_t *out)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(in + i);
        const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        memcpy(out + i, &h, sizeof h);
    }
    return i;
}

__attribute__((target("avx,f16c"))) static size_t to_eights(const uint16_t *in, size_t n,
                                                            float *out)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m128i h;
        memcpy(&h, in + i, sizeof h);
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
    }
    return i;
}

/* Asked of the processor once: in a virtual machine that question takes microseconds. */
static bool has_f16c(void)
{
    static atomic_int known; /* 0: not asked, 1: no, 2: yes */
    int v = atomic_load_explicit(&known, memory_order_relaxed);

    if (v == 0) {
        unsigned a, b, c, d;
        const bool yes = __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) &&
                         (c & bit_F16C);
        v = yes ? 2 : 1;
        atomic_store_explicit(&known, v, memory_order_relaxed);
    }
    return v == 2;
}
#else
static size_t from_eights(const float *in, size_t n, uint16_t *out)
{
    (void)in, (void)n, (void)out;
    return 0;
}

static size_t to_eights(const uint16_t *in, size_t n, float *out)
{
    (void)in, (void)n, (void)out;
    return 0;
}

static bool has_f16c(void)
{
    return false;
}
#endif

void silr_half_from(const float *in, size_t n, uint16_t *out)
{
    size_t i = has_f16c() ? from_eights(in, n, out) : 0;

    for (; i < n; i++)
        out[i] = silr_half_from_one(in[i]);
}

void silr_half_to(const uint16_t *in, size_t n, float *out)
{
    size_t i = has_f16c() ? to_eights(in, n, out) : 0;

    for (; i < n; i++)
        out[i] = silr_half_to_one(in[i]);
}
