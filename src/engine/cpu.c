/* cpu.c - the fast operations: work is cut into tiles, the pool's threads take them one by one.
 *
 * How it is cut depends on how much there is, but not what comes out: a kernel does the same to a
 * row whatever else is in its tile (kernels.h). A tile takes tens of microseconds: a thread that has
 * to share its processor holds up the others for no longer than that, and handing a tile out takes a
 * thousandth of it. What is smaller than a tile its caller does at once. */
#include "engine/cpu.h"
#include <stdatomic.h>

static _Atomic(const silr_kernels *) chosen;

void silr_kernels_use(const silr_kernels *k)
{
    atomic_store(&chosen, k ? k : silr_kernels_at(0));
}

const silr_kernels *silr_kernels_now(void)
{
    const silr_kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);

    if (!k)
        silr_kernels_use(k = silr_kernels_at(0));
    return k;
}

static const silr_ops ops = {
    .name = "cpu",
    .linear_new = silr_cpu_linear_new,
    .linear_free = silr_cpu_linear_free,
    .linear_bytes = silr_cpu_linear_bytes,
    .linear = silr_cpu_linear,
    .gather = silr_cpu_gather,
    .rms_norm = silr_cpu_rms_norm,
    .layer_norm = silr_cpu_layer_norm,
    .rope = silr_cpu_rope,
    .attention = silr_cpu_attention,
    .activate = silr_cpu_activate,
    .add = silr_cpu_add,
    .linear_back = silr_cpu_linear_back,
    .linear_ready_back = silr_cpu_linear_ready_back,
    .product = silr_cpu_product,
    .rms_norm_back = silr_cpu_rms_norm_back,
    .layer_norm_back = silr_cpu_layer_norm_back,
    .attention_back = silr_cpu_attention_back,
    .activate_back = silr_cpu_activate_back,
    .dropout = silr_cpu_dropout,
    .gather_back = silr_cpu_gather_back,
};

const silr_ops *silr_ops_cpu(void)
{
    return &ops;
}

const char *silr_ops_cpu_describe(void)
{
    return silr_kernels_now()->name;
}
