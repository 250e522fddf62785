/* cpu_avx2.c - the kernels for x86 with AVX2, FMA and F16C: 8 floats, 16 registers. */
#include "base/rng.h"
#include "engine/kernels.h"
#include "engine/ops_inside.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 8
#define ROWS 6 /* 6 rows x 2 vectors of sums, 2 of W, 1 of x: 15 registers */
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define KERNELS silr_kernels_avx2
#define KERNELS_NAME "AVX2"
typedef __m256 vec;

#define SET1(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MAX(a, b) _mm256_max_ps(a, b) /* b where one is no number */
#define MIN(a, b) _mm256_min_ps(a, b)
#define MUL32(a, b) ((vecu)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define BYTES(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#define SIGNED_BYTES(p) _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#define HALVES(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define HALF(h) _cvtsh_ss(h)

#include "engine/x86.h"

TARGET static inline float max_of(vec v)
{
    return max8(v);
}

/* out[i] = the sum of v[i]'s lanes */
TARGET static inline void sum4(const vec v[4], float out[4])
{
    __m256 ab = _mm256_hadd_ps(v[0], v[1]), cd = _mm256_hadd_ps(v[2], v[3]);
    __m256 abcd = _mm256_hadd_ps(ab, cd);

    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}

#include "engine/body.h"
#endif
