/* ops_measure.h - what the benches of single operations share. */
#ifndef SILR_BENCH_OPS_MEASURE_H
#define SILR_BENCH_OPS_MEASURE_H

#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void must(silr_status st, const silr_error *err)
{
    if (st != SILR_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static inline float *numbers(size_t n)
{
    float *v = silr_alloc_aligned(n, sizeof *v);

    if (!v)
        exit(1);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(i * 2654435761U % 2001) / 1000 - 1;
    return v;
}

#endif
