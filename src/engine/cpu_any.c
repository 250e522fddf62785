/* cpu_any.c - the kernels for any processor: vectors of 4 floats as the compiler makes them. */
#include "base/rng.h"
#include "engine/kernels.h"
#include "engine/ops_inside.h"
#include <string.h>

#define LANES 4
#define ROWS 6
#define TARGET
#define KERNELS silr_kernels_any
#define KERNELS_NAME "vectors of 4"
typedef float vec __attribute__((vector_size(16)));
typedef int32_t lanes_mask __attribute__((vector_size(16)));

#define SET1(x) ((vec){x, x, x, x})
#define FMA(a, b, c) ((a) * (b) + (c))
#define MAX(a, b) choose((a) > (b), a, b) /* b where one is no number */
#define MIN(a, b) choose((a) < (b), a, b)
#define MUL32(a, b) (((a) & 0xffffffffU) * ((b) & 0xffffffffU))

#define BYTES(p) ((lanes_mask){(p)[0], (p)[1], (p)[2], (p)[3]})
#define SIGNED_BYTES(p)                                                                            \
    ((lanes_mask){(int8_t)(p)[0], (int8_t)(p)[1], (int8_t)(p)[2], (int8_t)(p)[3]})

static inline vec choose(lanes_mask which, vec a, vec b)
{
    return (vec)((which & (lanes_mask)a) | (~which & (lanes_mask)b));
}

/* IEEE half to float: shift exponent and fraction into place, then scale by 2^(127 - 15), which
 * puts subnormal halves right too; infinity and not-a-number have their exponent filled. */
static inline float HALF(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112f;
    memcpy(&bits, &f, sizeof f);
    if ((h & 0x7c00) == 0x7c00)
        bits = (uint32_t)(h & 0x3ff) << 13 | 0x7f800000;
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline vec HALVES(const void *p)
{
    uint16_t h[4];

    memcpy(h, p, sizeof h);
    return (vec){HALF(h[0]), HALF(h[1]), HALF(h[2]), HALF(h[3])};
}

/* out[8][out_ld] = in[8][in_ld] turned */
static inline void turn8(const float *in, size_t in_ld, float *out, size_t out_ld)
{
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++)
            out[i * out_ld + j] = in[j * in_ld + i];
}

static inline float max_of(vec v)
{
    float max = v[0];

    for (int i = 1; i < 4; i++)
        max = v[i] > max ? v[i] : max;
    return max;
}

/* out[i] = the sum of v[i]'s lanes */
static inline void sum4(const vec v[4], float out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = v[i][0] + v[i][1] + (v[i][2] + v[i][3]);
}

#include "engine/body.h"
