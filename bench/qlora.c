/* qlora.c - how fast a LoRA step is: forward, gate, backward over made-up texts of given lengths.
 *
 *     qlora MODEL TOKENS[,TOKENS...] TEXTS STEPS f32|nf4|as-filed [MEMORY_MIB]
 *
 * Prints tokens a second (wall), per CPU-second, the peak memory, and the rate of scoring alone. */
#include "engine/tune.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void die(const silr_error *err)
{
    fprintf(stderr, "qlora: %s\n", err->text);
    exit(1);
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Lengths in turn; ids anything. */
static size_t make_batch(const char *lengths, size_t n, size_t vocab, uint32_t **ids, size_t **start)
{
    size_t length[64], k = 0;

    for (const char *at = lengths; *at && k < 64; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        length[k++] = strtoul(at, NULL, 10);
    *start = calloc(n + 1, sizeof **start);
    for (size_t i = 0; i < n; i++)
        (*start)[i + 1] = (*start)[i] + length[i % k];
    *ids = calloc((*start)[n], sizeof **ids);
    for (size_t i = 0; i < (*start)[n]; i++)
        (*ids)[i] = (uint32_t)(silr_rng_at(1, SILR_RNG_TEST, 0, i) * (double)vocab);
    return (*start)[n];
}

int main(int argc, char **argv)
{
    silr_engine_opts eo = {.bare = true};
    silr_tune_opts o = {.columns = 1, .targets = 1U << SILR_PART_Q | 1U << SILR_PART_V, .lora = {8, 4},
                        .dropout = 0.05, .train = true};
    silr_engine *e;
    silr_tune *t;
    silr_error err;
    struct rusage use;
    uint32_t *ids, *number;
    size_t *start, n, tokens, params, steps;
    float *score, *dscore, *p, *g;
    double begun, cpu;

    if (argc < 6) {
        fprintf(stderr, "usage: qlora MODEL TOKENS[,TOKENS...] TEXTS STEPS f32|nf4|as-filed [MEMORY_MIB]\n");
        return 2;
    }
    eo.keep = strcmp(argv[5], "f32") == 0 ? SILR_WEIGHTS_F32 : strcmp(argv[5], "nf4") == 0 ? SILR_WEIGHTS_NF4 : SILR_WEIGHTS_AS_FILED;
    o.memory = argc > 6 ? strtoul(argv[6], NULL, 10) << 20 : 0;
    n = strtoul(argv[3], NULL, 10);
    steps = strtoul(argv[4], NULL, 10);
    if (silr_engine_open(&e, argv[1], &eo, &err) != SILR_OK || silr_tune_new(&t, e, &o, &err) != SILR_OK)
        die(&err);
    silr_tune_draw(t, 1);
    p = silr_tune_params(t, &params);
    g = silr_tune_gradient(t);
    tokens = make_batch(argv[2], n, silr_engine_spec(e)->vocab, &ids, &start);
    number = calloc(n, sizeof *number);
    score = calloc(n, sizeof *score);
    dscore = calloc(n, sizeof *dscore);
    for (size_t i = 0; i < n; i++) {
        number[i] = (uint32_t)i;
        dscore[i] = i % 2 ? 0.01F : -0.01F;
    }
    begun = cpu = 0;
    for (size_t s = 0; s <= steps; s++) { /* the first warms up */
        const silr_tune_batch b = {.ids = ids, .start = start, .n = n, .number = number, .key = s};
        if (s == 1) {
            begun = silr_now();
            cpu = cpu_seconds();
        }
        if (silr_tune_forward(t, &b, score, &err) != SILR_OK || silr_tune_backward(t, dscore, &err) != SILR_OK)
            die(&err);
        for (size_t i = 0; i < params; i++) {
            p[i] -= 1e-4F * g[i];
            g[i] = 0;
        }
    }
    getrusage(RUSAGE_SELF, &use);
    printf("step %s %s: %.1f tokens/s, %.1f per CPU-second, peak %.2f GiB, all kept: %s\n", argv[2], argv[5],
           (double)(steps * tokens) / (silr_now() - begun), (double)(steps * tokens) / (cpu_seconds() - cpu),
           (double)use.ru_maxrss / (1 << 20), silr_tune_fits(t, start, n) == n ? "yes" : "no");
    begun = silr_now();
    cpu = cpu_seconds();
    for (size_t s = 0; s < steps; s++) {
        const silr_tune_batch b = {.ids = ids, .start = start, .n = n};
        if (silr_tune_scores(t, &b, score, &err) != SILR_OK)
            die(&err);
    }
    printf("score %s %s: %.1f tokens/s, %.1f per CPU-second\n", argv[2], argv[5],
           (double)(steps * tokens) / (silr_now() - begun), (double)(steps * tokens) / (cpu_seconds() - cpu));
    begun = silr_now();
    cpu = cpu_seconds();
    for (size_t s = 0; s < steps; s++) {
        float *v = calloc(n * silr_engine_dim(e), sizeof *v);
        if (silr_engine_embed(e, ids, start, n, v, &err) != SILR_OK)
            die(&err);
        free(v);
    }
    printf("forward %s %s: %.1f tokens/s, %.1f per CPU-second\n", argv[2], argv[5],
           (double)(steps * tokens) / (silr_now() - begun), (double)(steps * tokens) / (cpu_seconds() - cpu));
    silr_tune_free(t);
    silr_engine_free(e);
    return 0;
}
