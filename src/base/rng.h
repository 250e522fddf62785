/* rng.h - random numbers that depend on what they are for, not on when they are asked for.
 *
 * Philox 4x32-10 (Salmon et al., SC 2011) is a function of a key and a counter. silr keys it by
 * (seed, purpose) and counts by (iteration, index), so that any number can be had in any order,
 * by any thread, after any restart, and is the same. */
#ifndef SILR_BASE_RNG_H
#define SILR_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    SILR_RNG_SPLIT = 1, /* train, validation, test */
    SILR_RNG_SAMPLE,    /* the labelled sample */
    SILR_RNG_FOLDS,     /* cross-fitting folds of the pool */
    SILR_RNG_LABELFOLDS,/* folds of the labelled sample (certificate) */
    SILR_RNG_SHUFFLE,   /* order of minibatches */
    SILR_RNG_INIT,      /* initial weights */
    SILR_RNG_DROPOUT,
    SILR_RNG_POSTERIOR, /* Monte Carlo draws of theta */
    SILR_RNG_BOOTSTRAP,
    SILR_RNG_JITTER,
    SILR_RNG_GENERATE,  /* tokens that a language model says */
    SILR_RNG_TEST = 1000
} silr_rng_purpose;

/* The raw function: 4 words from counter and key. */
void silr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream: successive numbers for one (seed, purpose, iteration, index). */
typedef struct {
    uint32_t key[2], counter[4], out[4];
    unsigned left;
} silr_rng;
void silr_rng_init(silr_rng *r, uint64_t seed, silr_rng_purpose purpose, uint32_t iteration,
                   uint64_t index);
uint32_t silr_rng_u32(silr_rng *r);
uint64_t silr_rng_u64(silr_rng *r);
double silr_rng_double(silr_rng *r);                 /* [0,1), 53 bits */
uint64_t silr_rng_below(silr_rng *r, uint64_t n);    /* 0..n-1, unbiased; n = 0: 0 */
double silr_rng_normal(silr_rng *r);                 /* mean 0, sd 1 */
double silr_rng_gamma(silr_rng *r, double shape);    /* scale 1; shape > 0 */
double silr_rng_beta(silr_rng *r, double a, double b);
void silr_rng_shuffle(silr_rng *r, uint32_t *v, size_t n);

/* One number without a stream: for index-wise decisions (dropout, tie breaks). */
double silr_rng_at(uint64_t seed, silr_rng_purpose purpose, uint32_t iteration, uint64_t index);

#endif
