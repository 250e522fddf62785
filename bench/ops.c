/* ops.c - how fast are the operations of the engine, beside what the processor can do, and others?
 *
 *     bench_ops [SECONDS]      for each figure, about (0.05)
 *
 * Products first: rows x of n tokens with matrices of MiniLM and SmolLM2, in GFLOP per CPU-second,
 * which says what the code is worth on a machine that others use too, and per second on the clock,
 * which says what two threads are worth. "peak" is a loop of multiply-adds on registers; peers are
 * OpenBLAS and oneDNN, where they are installed (libopenblas0, libdnnl2), called for the same product
 * with the same threads, by turns with ours. Then the other operations of one layer, in CPU
 * milliseconds for 1024 tokens. */
#include "engine/kernels.h"
#include "ops_measure.h"
#include <dlfcn.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds = 0.05;
static const silr_ops *ops;

/* --- the peak ---------------------------------------------------------------------------------- */

/* Multiply-adds on registers by one thread: the kernel itself, with a matrix that stays in the
 * nearest cache, of one panel and `rows` rows. */
static double peak_of_kernel(const silr_kernels *k)
{
    enum { IN = 128, CALLS = 2000 };
    float *x = numbers((size_t)k->rows * IN), *y = numbers((size_t)k->rows * k->panel);
    float *w = numbers(IN * k->panel);
    const silr_tile_product t = {.x = x, .y = y, .rows = k->rows, .columns = k->panel, .in = IN,
                                 .ldx = IN, .ldy = k->panel};
    double best = 0;

    for (double until = silr_now() + seconds; silr_now() < until;) {
        double start = cpu_now(), rate;
        for (int i = 0; i < CALLS; i++)
            k->product(&t, w);
        rate = 2.0 * IN * (double)k->rows * (double)k->panel * CALLS / (cpu_now() - start);
        best = fmax(best, rate);
    }
    silr_free(x);
    silr_free(y);
    silr_free(w);
    return best;
}

#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("avx2,fma"))) static double peak_of_loop(void)
{
    enum { N = 1 << 20 };
    double best = 0;
    float out[8];

    for (double until = silr_now() + seconds; silr_now() < until;) {
        __m256 a[10], x = _mm256_set1_ps(0.999F), b = _mm256_set1_ps(0.001F);
        double start = cpu_now();
        for (int i = 0; i < 10; i++)
            a[i] = _mm256_set1_ps((float)i);
        for (int n = 0; n < N; n++)
#pragma GCC unroll 10
            for (int i = 0; i < 10; i++)
                a[i] = _mm256_fmadd_ps(a[i], x, b);
        for (int i = 1; i < 10; i++)
            a[0] = _mm256_add_ps(a[0], a[i]);
        _mm256_storeu_ps(out, a[0]);
        if (out[0] != out[0])
            exit(1);
        best = fmax(best, 2.0 * 8 * 10 * N / (cpu_now() - start));
    }
    return best;
}
#endif

static double peak(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return peak_of_loop();
#endif
    return peak_of_kernel(silr_kernels_at(0));
}

/* --- peers ------------------------------------------------------------------------------------- */

typedef void (*blas_sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                           int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int (*dnnl_sgemm)(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha,
                          const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                          float *c, int64_t ldc);
static struct {
    blas_sgemm blas;
    void (*blas_threads)(int);
    dnnl_sgemm dnnl;
} peer;

static void *function(void *library, const char *name, void *out, size_t size)
{
    void *f = library ? dlsym(library, name) : NULL;

    if (f)
        memcpy(out, &f, size);
    return f;
}

static void find_peers(void)
{
    void *blas = dlopen("libopenblas.so.0", RTLD_NOW), *dnnl = dlopen("libdnnl.so.2", RTLD_NOW);

    function(blas, "cblas_sgemm", &peer.blas, sizeof peer.blas);
    function(blas, "openblas_set_num_threads", &peer.blas_threads, sizeof peer.blas_threads);
    function(dnnl, "dnnl_sgemm", &peer.dnnl, sizeof peer.dnnl);
}

/* --- products ---------------------------------------------------------------------------------- */

typedef struct {
    size_t n, in, out;
    const float *w, *x;
    float *y;
    silr_linear *fast, *filed, *nf4;
} product;

static void ours(const product *p)
{
    ops->linear(p->fast, p->x, p->n, p->in, p->y, p->out, false, NULL);
}

static void ours_filed(const product *p)
{
    ops->linear(p->filed, p->x, p->n, p->in, p->y, p->out, false, NULL);
}

static void ours_nf4(const product *p)
{
    ops->linear(p->nf4, p->x, p->n, p->in, p->y, p->out, false, NULL);
}

static void with_blas(const product *p)
{
    peer.blas(101, 111, 112, (int)p->n, (int)p->out, (int)p->in, 1, p->x, (int)p->in, p->w, (int)p->in,
              0, p->y, (int)p->out);
}

static void with_dnnl(const product *p)
{
    peer.dnnl('N', 'T', (int64_t)p->n, (int64_t)p->out, (int64_t)p->in, 1, p->x, (int64_t)p->in, p->w,
              (int64_t)p->in, 0, p->y, (int64_t)p->out);
}

typedef struct {
    double clock, cpu; /* GFLOP a second */
} rates;

/* Of each: on the clock the best of several turns; of CPU time all together, because the kernel counts
 * that of other threads in steps of milliseconds. */
static void compare(const product *p, int n, void (*const f[])(const product *), rates *rate)
{
    double flops = 2.0 * (double)p->n * (double)p->in * (double)p->out;
    int calls = (int)(seconds / 5 * 50e9 / (p->n < 8 ? 8 * flops : flops)) + 1;

    for (int i = 0; i < n; i++) {
        rate[i] = (rates){0, 0};
        if (f[i])
            f[i](p);
    }
    for (int turn = 0; turn < 5; turn++)
        for (int i = 0; i < n; i++) {
            double start = silr_now(), cpu = cpu_now();
            if (!f[i])
                continue;
            for (int c = 0; c < calls; c++)
                f[i](p);
            rate[i].clock = fmax(rate[i].clock, flops * calls / (silr_now() - start) / 1e9);
            rate[i].cpu += cpu_now() - cpu;
        }
    for (int i = 0; i < n; i++)
        rate[i].cpu = f[i] ? 5 * calls * flops / rate[i].cpu / 1e9 : 0;
}

static silr_linear *linear(const silr_tensor *t, silr_keep keep)
{
    silr_linear *w;
    silr_error err;

    must(ops->linear_new(&w, &t, NULL, 1, keep, &err), &err);
    return w;
}

/* The same shape in Q4_1: all that matters here is how many bytes there are. */
static silr_tensor quantised(size_t in, size_t out)
{
    silr_tensor t = {.name = "w", .type = SILR_TYPE_Q4_1, .n_dims = 2, .dim = {out, in}};

    t.bytes = in * out / 32 * 20;
    t.data = silr_calloc(t.bytes, 1);
    if (!t.data)
        exit(1);
    return t;
}

static void products(size_t in, size_t out, int threads, double peak_rate)
{
    static const size_t counts[] = {1, 8, 64, 256, 1024};
    void (*const f[])(const product *) = {ours, peer.blas ? with_blas : NULL,
                                          peer.dnnl ? with_dnnl : NULL, ours_filed, ours_nf4};
    float *w = numbers(in * out), *x = numbers(1024 * in), *y = numbers(1024 * out);
    silr_tensor t = {.name = "w", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {out, in}, .data = w,
                     .bytes = in * out * sizeof *w}, q = quantised(in, out);
    product p = {.in = in, .out = out, .w = w, .x = x, .y = y};

    p.fast = linear(&t, SILR_KEEP_FAST);
    p.filed = linear(&q, SILR_KEEP_AS_FILED);
    p.nf4 = linear(&t, SILR_KEEP_NF4);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        rates r[5];
        p.n = counts[i];
        if (out > 10000 && p.n > 256)
            continue;
        compare(&p, 5, f, r);
        printf("%5zu -> %5zu %5zu rows %d thr. | a CPU-second %6.1f (%3.0f%% of peak), OpenBLAS %6.1f, "
               "oneDNN %6.1f, Q4_1 as filed %6.1f, NF4 %6.1f | a second %6.1f, OpenBLAS %6.1f, oneDNN %6.1f, "
               "as filed %6.1f, NF4 %6.1f\n",
               in, out, p.n, threads, r[0].cpu, 100 * r[0].cpu / peak_rate, r[1].cpu, r[2].cpu,
               r[3].cpu, r[4].cpu, r[0].clock, r[1].clock, r[2].clock, r[3].clock, r[4].clock);
    }
    ops->linear_free(p.fast);
    ops->linear_free(p.filed);
    ops->linear_free(p.nf4);
    silr_free((void *)(uintptr_t)q.data);
    silr_free(w);
    silr_free(x);
    silr_free(y);
}

/* --- the rest of a layer ------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    size_t hidden, heads, kv_heads, head_dim, mlp, prefix;
    bool causal, gated;
} layer;

enum { TOKENS = 1024, TEXT = 60 };

typedef struct {
    const layer *l;
    float *qkv, *mlp, *x, *out, *prefix, *weight, *table;
    uint32_t position[TOKENS];
    silr_attention_text text[TOKENS / TEXT + 1];
    size_t n_texts, width;
} activations;

static void attend(activations *v)
{
    const layer *l = v->l;
    silr_attention a = {l->heads, l->kv_heads, l->head_dim, 1 / sqrt((double)l->head_dim), 0, l->causal, 0};
    silr_attention_strides s = {v->width, l->heads * l->head_dim, v->width, v->width};
    silr_error err;

    must(ops->attention(&a, &s, v->text, v->n_texts, &err), &err);
}

static void norm(activations *v)
{
    size_t d = v->l->hidden;

    if (v->l->gated)
        ops->rms_norm(v->x, d, v->weight, 0, 1e-6, TOKENS, d, v->out, d);
    else
        ops->layer_norm(v->x, d, v->weight, v->weight, 1e-6, TOKENS, d, v->out, d);
}

static void turn(activations *v)
{
    const layer *l = v->l;

    ops->rope(v->qkv, v->width, TOKENS, l->heads + l->kv_heads, l->head_dim, l->head_dim, v->position,
              v->table, false);
}

static void activate(activations *v)
{
    size_t m = v->l->mlp;

    ops->activate(v->l->gated ? SILR_ACT_SILU : SILR_ACT_GELU, v->mlp, v->l->gated ? v->mlp + m : NULL,
                  v->l->gated ? 2 * m : m, TOKENS, m, v->mlp, v->l->gated ? 2 * m : m);
}

static double milliseconds(void (*f)(activations *), activations *v)
{
    double best = INFINITY;

    f(v);
    for (double until = silr_now() + seconds; silr_now() < until;) {
        double start = cpu_now();
        f(v);
        best = fmin(best, cpu_now() - start);
    }
    return best * 1000;
}

static void rest_of(const layer *l, int threads)
{
    activations v = {.l = l, .width = (l->heads + 2 * l->kv_heads) * l->head_dim};
    size_t q = l->heads * l->head_dim, kv = l->kv_heads * l->head_dim, at = 0;
    double part[4], flops;

    v.qkv = numbers(TOKENS * v.width);
    v.mlp = numbers(TOKENS * 2 * l->mlp);
    v.x = numbers(TOKENS * l->hidden);
    v.out = numbers(TOKENS * l->hidden);
    v.weight = numbers(l->hidden);
    v.prefix = numbers((l->prefix + 1) * v.width);
    v.table = numbers(TOKENS * l->head_dim);
    for (uint32_t i = 0; i < TOKENS; i++)
        v.position[i] = i;
    for (flops = 0; at < TOKENS; v.n_texts++) {
        size_t n = TOKENS - at < TEXT ? TOKENS - at : TEXT;
        const float *own = v.qkv + at * v.width;
        v.text[v.n_texts] = (silr_attention_text){n, own, v.out + at * q, n, own + q, own + q + kv,
                                                  l->prefix, v.prefix + q, v.prefix + q + kv};
        flops += 4.0 * (double)n * (double)q * ((double)l->prefix + (double)n / (l->causal ? 2 : 1));
        at += n;
    }
    part[0] = milliseconds(attend, &v);
    part[1] = milliseconds(norm, &v);
    part[2] = l->gated ? milliseconds(turn, &v) : 0;
    part[3] = milliseconds(activate, &v);
    printf("%-8s %d thr.  attention %6.2f ms (%.0f GFLOP/s)  norm %.3f ms  rope %.3f ms  activation "
           "%.3f ms\n", l->name, threads, part[0], flops / part[0] / 1e6, part[1], part[2], part[3]);
    silr_free(v.qkv);
    silr_free(v.mlp);
    silr_free(v.x);
    silr_free(v.out);
    silr_free(v.weight);
    silr_free(v.prefix);
    silr_free(v.table);
}

int main(int argc, char **argv)
{
    static const size_t shape[][2] = {{384, 1152}, {384, 384}, {384, 1536}, {1536, 384}, {576, 960},
                                      {576, 576}, {576, 3072}, {1536, 576}, {576, 49152}};
    static const layer layers[] = {
        {"MiniLM", 384, 12, 12, 32, 1536, 0, false, false},
        {"SmolLM2", 576, 9, 3, 64, 1536, 400, true, true},
    };

    if (argc > 1)
        seconds = atof(argv[1]);
    ops = silr_ops_cpu();
    find_peers();
    printf("kernels: %s; peers: %s, %s\n", silr_ops_cpu_describe(), peer.blas ? "OpenBLAS" : "-",
           peer.dnnl ? "oneDNN" : "-");
    for (int threads = 1; threads <= 2; threads++) {
        double rate = peak() / 1e9;
        omp_set_num_threads(threads);
        if (peer.blas_threads)
            peer.blas_threads(threads);
        printf("peak of a thread: %.1f GFLOP/s, the kernel at best %.1f\n", rate,
               peak_of_kernel(silr_kernels_at(0)) / 1e9);
        for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
            products(shape[i][0], shape[i][1], threads, rate);
        for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
            rest_of(&layers[i], threads);
    }
    return 0;
}
