/* rng.c - Philox 4x32-10: ten rounds of multiply, swap and key (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). The test compares with the paper's published vectors. */
#include "base/rng.h"
#include <math.h>

void silr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The key holds the seed; purpose and iteration share a counter word, so that streams of different
 * purposes never overlap: counter = (step, index low, index high, purpose << 20 | iteration). */
void silr_rng_init(silr_rng *r, uint64_t seed, silr_rng_purpose purpose, uint32_t iteration,
                   uint64_t index)
{
    *r = (silr_rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, (uint32_t)index, (uint32_t)(index >> 32),
                    (uint32_t)purpose << 20 | (iteration & 0xfffff)},
    };
}

uint32_t silr_rng_u32(silr_rng *r)
{
    if (r->left == 0) {
        silr_philox(r->counter, r->key, r->out);
        r->counter[0]++;
        r->left = 4;
    }
    return r->out[4 - r->left--];
}

uint64_t silr_rng_u64(silr_rng *r)
{
    uint64_t low = silr_rng_u32(r);
    return low | (uint64_t)silr_rng_u32(r) << 32;
}

double silr_rng_double(silr_rng *r)
{
    return (double)(silr_rng_u64(r) >> 11) * 0x1p-53;
}

uint64_t silr_rng_below(silr_rng *r, uint64_t n)
{
    uint64_t limit, v;
    if (n == 0)
        return 0;
    limit = UINT64_MAX - UINT64_MAX % n; /* a multiple of n: reject above it */
    do
        v = silr_rng_u64(r);
    while (v >= limit);
    return v % n;
}

double silr_rng_normal(silr_rng *r)
{
    double u = 1.0 - silr_rng_double(r); /* (0,1] */
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * silr_rng_double(r));
}

/* Marsaglia and Tsang 2000; shapes below 1 by their boost. */
double silr_rng_gamma(silr_rng *r, double shape)
{
    double d, c;

    if (shape < 1) {
        double u = 1.0 - silr_rng_double(r);
        return silr_rng_gamma(r, shape + 1) * pow(u, 1 / shape);
    }
    d = shape - 1.0 / 3;
    c = 1 / sqrt(9 * d);
    for (;;) {
        double x = silr_rng_normal(r), v = 1 + c * x, u;
        if (v <= 0)
            continue;
        v = v * v * v;
        u = 1.0 - silr_rng_double(r);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return d * v;
    }
}

double silr_rng_beta(silr_rng *r, double a, double b)
{
    double x = silr_rng_gamma(r, a), y = silr_rng_gamma(r, b);
    return x + y > 0 ? x / (x + y) : 0.5;
}

void silr_rng_shuffle(silr_rng *r, uint32_t *v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = silr_rng_below(r, i);
        uint32_t t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}

double silr_rng_at(uint64_t seed, silr_rng_purpose purpose, uint32_t iteration, uint64_t index)
{
    silr_rng r;
    silr_rng_init(&r, seed, purpose, iteration, index);
    return silr_rng_double(&r);
}
