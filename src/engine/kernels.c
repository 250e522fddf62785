/* kernels.c - which kernels this machine can run. */
#include "engine/kernels.h"
#include <stdatomic.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* F16C has had its bit as long as AVX2; compilers differ in whether they have a name for it. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

const silr_kernels *silr_kernels_at(size_t i)
{
#if defined(__x86_64__)
    if (has_avx512() && i-- == 0)
        return &silr_kernels_avx512;
    if (has_avx2() && i-- == 0)
        return &silr_kernels_avx2;
#endif
    return i == 0 ? &silr_kernels_any : NULL;
}
