/* cpu_avx512.c - the kernels for x86 with AVX-512: 16 floats, 32 registers. */
#include "base/rng.h"
#include "engine/kernels.h"
#include "engine/ops_inside.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define ROWS 8 /* 8 rows x 2 vectors of sums: enough to hide how long one takes */
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")))
#define KERNELS silr_kernels_avx512
#define KERNELS_NAME "AVX-512"
typedef __m512 vec;

#define SET1(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MAX(a, b) _mm512_max_ps(a, b) /* b where one is no number */
#define MIN(a, b) _mm512_min_ps(a, b)
#define MUL32(a, b) ((vecu)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define BYTES(p) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define SIGNED_BYTES(p) _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define HALVES(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define HALF(h) _cvtsh_ss(h)

#include "engine/x86.h"

TARGET static inline float max_of(vec v)
{
    return max8(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

TARGET static inline __m256 fold(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

/* out[i] = the sum of v[i]'s lanes */
TARGET static inline void sum4(const vec v[4], float out[4])
{
    __m256 ab = _mm256_hadd_ps(fold(v[0]), fold(v[1])), cd = _mm256_hadd_ps(fold(v[2]), fold(v[3]));
    __m256 abcd = _mm256_hadd_ps(ab, cd);

    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}

#include "engine/body.h"
#endif
