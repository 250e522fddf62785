/* ops_back.c - how fast are the backward operations, beside the forward product in the same run?
 *
 *     bench_ops_back [SECONDS]      for each figure, about (0.2)
 *
 * Shapes of SmolLM2-135M: hidden 576, mlp 1536, 9 heads that share 3 of keys, TOKENS tokens at once.
 * Products in GFLOP per CPU-second and on the clock, the rest in CPU milliseconds; then what one layer
 * of a LoRA step (rank 8 on queries and values, dropout) consists of, and which part of it is neither
 * a product nor attention. */
#include "engine/kernels.h"
#include "ops_measure.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKENS = 4096, HIDDEN = 576, HEADS = 9, KV = 3, DIM = 64, MLP = 1536, QKV = 960, RANK = 8 };

static double seconds = 0.2;
static const silr_ops *ops;

/* One measurement: what is called, and what it needs. */
typedef struct work work;
struct work {
    void (*run)(const work *w);
    silr_linear *linear;
    size_t m, n, k, lda, ldb, ldc;
    bool turn_a, turn_b, add;
    const float *a, *b;
    float *c, *d;
    const silr_attention_text *text;
    const silr_attention_back *back;
    size_t n_texts;
};

/* CPU milliseconds of a call, the best of some; *clock: on the clock. */
static double measured(const work *w, double *clock)
{
    double best = INFINITY, start = silr_now();

    w->run(w);
    *clock = INFINITY;
    for (int i = 0; i < 3 || silr_now() - start < seconds; i++) {
        double cpu = cpu_now(), now = silr_now();
        w->run(w);
        best = fmin(best, cpu_now() - cpu);
        *clock = fmin(*clock, silr_now() - now);
    }
    *clock *= 1e3;
    return best * 1e3;
}

static double product_rate(const char *name, const work *w)
{
    double flops = 2.0 * (double)w->m * (double)w->n * (double)w->k, clock, ms = measured(w, &clock);

    printf("  %-34s %5zu x %5zu x %5zu   %6.2f ms   a CPU-second %6.1f, a second %6.1f GFLOP\n", name, w->m,
           w->n, w->k, ms, flops / ms / 1e6, flops / clock / 1e6);
    return ms;
}

static double other(const char *name, const work *w, double gflop)
{
    double clock, ms = measured(w, &clock);

    printf("  %-34s %34.2f ms", name, ms);
    if (gflop > 0)
        printf("   a CPU-second %6.1f, a second %6.1f GFLOP", gflop / ms * 1e3, gflop / clock * 1e3);
    printf("\n");
    return ms;
}

/* --- products ---------------------------------------------------------------------------------- */

static void forward(const work *w)
{
    must(ops->linear(w->linear, w->a, w->m, w->lda, w->c, w->ldc, false, NULL), NULL);
}

static void backward(const work *w)
{
    must(ops->linear_back(w->linear, w->a, w->m, w->lda, w->c, w->ldc, false, NULL), NULL);
}

static void product(const work *w)
{
    must(ops->product(w->turn_a, w->turn_b, w->m, w->n, w->k, 1, w->a, w->lda, w->b, w->ldb, w->c, w->ldc,
                      w->add, NULL), NULL);
}

static silr_linear *linear(silr_type type, silr_keep keep, size_t out, size_t in, bool ready)
{
    const silr_type_info *info = silr_type_of(type);
    silr_tensor t = {.name = "w", .type = type, .n_dims = 2, .dim = {out, in}};
    const silr_tensor *w = &t;
    silr_linear *l = NULL;
    silr_error err;

    t.bytes = out * in / info->block * info->bytes;
    t.data = type == SILR_TYPE_F32 ? numbers(out * in) : silr_calloc(t.bytes, 1);
    must(t.data ? ops->linear_new(&l, &w, NULL, 1, keep, &err) : SILR_ENOMEM, &err);
    if (ready)
        must(ops->linear_ready_back(l, &err), &err);
    return l; /* never freed, nor are the values: the program ends soon */
}

/* Both ways through a matrix; returns the CPU time of both when it is kept fast. */
static double both_ways(size_t out, size_t in, const float *x, float *y)
{
    work w = {.run = forward, .m = TOKENS, .n = out, .k = in, .a = x, .lda = in, .c = y, .ldc = out};
    double ms;

    w.linear = linear(SILR_TYPE_F32, SILR_KEEP_FAST, out, in, true);
    ms = product_rate("forward", &w);
    w = (work){.run = backward, .linear = w.linear, .m = TOKENS, .n = in, .k = out, .a = x, .lda = out,
               .c = y, .ldc = in};
    ms += product_rate("backward, made ready", &w);
    w.linear = linear(SILR_TYPE_F32, SILR_KEEP_FAST, out, in, false);
    product_rate("backward, not made ready", &w);
    w.linear = linear(SILR_TYPE_Q4_1, SILR_KEEP_AS_FILED, out, in, true);
    product_rate("backward, Q4_1 as filed", &w);
    w.linear = linear(SILR_TYPE_F32, SILR_KEEP_NF4, out, in, true);
    product_rate("backward, NF4", &w);
    w = (work){.run = forward, .linear = w.linear, .m = TOKENS, .n = out, .k = in, .a = x, .lda = in, .c = y,
               .ldc = out};
    product_rate("forward, NF4", &w);
    return ms;
}

/* What LoRA adds to a matrix of `out` rows: y += (x A^T) B^T and all that follows backward. */
static double factors(size_t out, const float *x, const float *dy, float *s, float *y)
{
    const work all[] = {
        {.m = TOKENS, .n = RANK, .k = HIDDEN, .a = x, .lda = HIDDEN, .b = x, .ldb = HIDDEN, .turn_b = true,
         .c = s, .ldc = RANK},
        {.m = TOKENS, .n = out, .k = RANK, .a = s, .lda = RANK, .b = x, .ldb = RANK, .turn_b = true, .c = y,
         .ldc = QKV, .add = true},
        {.m = TOKENS, .n = RANK, .k = out, .a = dy, .lda = QKV, .b = x, .ldb = RANK, .c = s, .ldc = RANK},
        {.m = out, .n = RANK, .k = TOKENS, .a = dy, .lda = QKV, .turn_a = true, .b = s, .ldb = RANK, .c = y,
         .ldc = RANK, .add = true},
        {.m = RANK, .n = HIDDEN, .k = TOKENS, .a = s, .lda = RANK, .turn_a = true, .b = x, .ldb = HIDDEN,
         .c = y, .ldc = HIDDEN, .add = true},
        {.m = TOKENS, .n = HIDDEN, .k = RANK, .a = s, .lda = RANK, .b = x, .ldb = HIDDEN, .c = y,
         .ldc = HIDDEN, .add = true},
    };
    static const char *const name[] = {"S = X A'", "Y += S B'", "dS = dY B", "dB += dY' S", "dA += dS' X",
                                       "dX += dS A"};
    double ms = 0;

    for (size_t i = 0; i < 6; i++) {
        work w = all[i];
        w.run = product;
        ms += product_rate(name[i], &w);
    }
    return ms;
}

static void full(const float *x, const float *dy, float *y)
{
    work w = {.run = product, .m = MLP, .n = HIDDEN, .k = TOKENS, .a = dy, .lda = MLP, .turn_a = true,
              .b = x, .ldb = HIDDEN, .c = y, .ldc = HIDDEN, .add = true};

    product_rate("dW += dY' X, all weights", &w);
}

/* --- the rest ---------------------------------------------------------------------------------- */

static const silr_attention attention = {HEADS, KV, DIM, 0.125, 0, true, 0};
static const silr_attention_strides strides = {QKV, HIDDEN, QKV, QKV};

static void attend(const work *w)
{
    must(ops->attention(&attention, &strides, w->text, w->n_texts, NULL), NULL);
}

static void attend_back(const work *w)
{
    must(ops->attention_back(&attention, &strides, w->text, w->back, w->n_texts, NULL), NULL);
}

/* Both ways, texts of `length` tokens. Backward is five products to forward's two. */
static double attentions(size_t length, float *qkv, float *out, float *dout, float *dqkv)
{
    silr_attention_text text[TOKENS];
    silr_attention_back back[TOKENS];
    work w = {.run = attend, .text = text, .back = back};
    double flops = 0, ms;
    char name[64];

    for (size_t at = 0; at + length <= TOKENS; at += length) {
        float *q = qkv + at * QKV, *dq = dqkv + at * QKV;
        text[w.n_texts] = (silr_attention_text){.n = length, .q = q, .out = out + at * HIDDEN, .n_own = length,
                                                .k = q + HIDDEN, .v = q + HIDDEN + KV * DIM};
        back[w.n_texts++] = (silr_attention_back){dout + at * HIDDEN, dq, dq + HIDDEN, dq + HIDDEN + KV * DIM};
        flops += 2.0 * DIM * HEADS * (double)length * ((double)length + 1) / 2;
    }
    snprintf(name, sizeof name, "attention, texts of %zu", length);
    ms = other(name, &w, 2 * flops / 1e9);
    w.run = attend_back;
    return ms + other("  backward", &w, 5 * flops / 1e9);
}

static void norm(const work *w)
{
    ops->rms_norm(w->a, HIDDEN, w->b, 0, 1e-5, TOKENS, HIDDEN, w->c, HIDDEN);
}

static void norm_back(const work *w)
{
    ops->rms_norm_back(w->a, HIDDEN, w->b, 0, 1e-5, TOKENS, HIDDEN, w->a, HIDDEN, w->c, HIDDEN, NULL);
}

static void norm_back_sums(const work *w)
{
    ops->rms_norm_back(w->a, HIDDEN, w->b, 0, 1e-5, TOKENS, HIDDEN, w->a, HIDDEN, w->c, HIDDEN, w->d);
}

static void layer_norm_back(const work *w)
{
    ops->layer_norm_back(w->a, HIDDEN, w->b, 1e-5, TOKENS, HIDDEN, w->a, HIDDEN, w->c, HIDDEN, w->d, NULL);
}

static void turn(const work *w)
{
    static uint32_t position[TOKENS];

    ops->rope(w->c, QKV, TOKENS, HEADS + KV, DIM, DIM, position, w->b, false);
}

static void activate(const work *w)
{
    ops->activate(SILR_ACT_SILU, w->a, w->a + MLP, 2 * MLP, TOKENS, MLP, w->c, MLP);
}

static void activate_back(const work *w)
{
    ops->activate_back(SILR_ACT_SILU, w->a, w->a + MLP, 2 * MLP, TOKENS, MLP, w->b, MLP, w->c, w->c + MLP,
                       2 * MLP);
}

static void drop(const work *w)
{
    static uint64_t row[TOKENS];

    ops->dropout(7, 0.05, row, w->a, HIDDEN, TOKENS, HIDDEN, w->c, HIDDEN, w->add);
}

static void add(const work *w)
{
    ops->add(w->c, w->a, (size_t)TOKENS * HIDDEN);
}

static void copy(const work *w)
{
    memcpy(w->c, w->a, (size_t)TOKENS * HIDDEN * sizeof *w->c);
}

/* In a layer forward: 2 norms, rope, an activation, 2 dropouts; backward all of it again, 2 dropouts
 * added. */
static double rest(float *x, float *y, float *z)
{
    work w = {.a = x, .b = y, .c = z, .d = y};
    double ms = 0;

#define EACH(times, f, name) (w.run = f, (times) * other(name, &w, 0))
    EACH(0, copy, "(copying as much: 9.4 MB)");
    ms += EACH(2, norm, "rms norm");
    ms += EACH(2, norm_back, "  backward");
    EACH(0, norm_back_sums, "  backward, with weights");
    EACH(0, layer_norm_back, "layer norm backward, with weights");
    ms += EACH(2, turn, "rope");
    ms += EACH(1, activate, "silu, gated");
    ms += EACH(1, activate_back, "  backward");
    ms += EACH(2, drop, "dropout");
    w.add = true;
    ms += EACH(2, drop, "dropout, added");
    ms += EACH(1, add, "adding");
    return ms;
}

int main(int argc, char **argv)
{
    float *x = numbers((size_t)TOKENS * 2 * MLP), *y = numbers((size_t)TOKENS * 2 * MLP);
    float *z = numbers((size_t)TOKENS * 2 * MLP), *s = numbers((size_t)TOKENS * RANK);

    if (argc > 1)
        seconds = atof(argv[1]);
    ops = silr_ops_cpu();
    for (int threads = 1; threads <= 2; threads++) {
        double products = 0, lora, attending, others;
        omp_set_num_threads(threads);
        printf("%s, %d thr., %d tokens\n", silr_ops_cpu_describe(), threads, TOKENS);
        products += both_ways(QKV, HIDDEN, x, y);
        products += both_ways(HIDDEN, HIDDEN, x, y);
        products += both_ways(2 * MLP, HIDDEN, x, y);
        products += both_ways(HIDDEN, MLP, x, y);
        lora = factors(HIDDEN, x, z, s, y) + factors(KV * DIM, x, z, s, y);
        full(x, z, y);
        attentions(16, x, y, z, z);
        attentions(512, x, y, z, z);
        attending = attentions(64, x, y, z, z);
        others = rest(x, y, z);
        printf("one layer of a LoRA step, texts of 64: products %.1f ms, of LoRA's factors %.1f, attention %.1f, "
               "all else %.1f: %.1f %%\n", products, lora, attending, others,
               100 * others / (products + lora + attending + others));
    }
    return 0;
}
