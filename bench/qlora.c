/* qlora.c - LoRA steps: how fast they are, and whether they are PEFT's.
 *
 *     qlora MODEL TOKENS[,TOKENS...] TEXTS STEPS f32|nf4|as-filed [MEMORY_MIB]
 *         forward, backward and a step over made-up texts of these lengths in turn: tokens a second (wall), per
 *         CPU-second, the peak memory, and the rates of scoring and of a forward pass without adapter
 *     qlora MODEL trace FOLDER STEPS
 *         draws an adapter, writes it to FOLDER as peft reads it, then trains it on 16 made-up texts (FOLDER/texts:
 *         a line a text, label and ids) under the robust UU risk, AdamW at 1e-4: prints the loss of each step */
#include "classify/adamw.h"
#include "engine/tune.h"
#include "formats/peft.h"
#include "risk/risk.h"
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

/* --- steps to compare ------------------------------------------------------------------------------- */

static void write_adapter(silr_tune *t, const char *folder)
{
    const silr_model_spec *s = silr_engine_spec(silr_tune_engine(t));
    size_t n, params;
    const silr_tuned *p = silr_tune_table(t, &n);
    float *block = silr_tune_params(t, &params);
    silr_adapter a;
    silr_error err;

    if (silr_adapter_init(&a, s->layers, &err) != SILR_OK)
        die(&err);
    for (size_t i = 0; i < n; i++) {
        float *at = block + p[i].offset;
        if (p[i].part == SILR_PARTS) {
            a.head = at;
            a.classes = p[i].rows;
            continue;
        }
        silr_lora *l = silr_adapter_lora(&a, p[i].layer, p[i].part);
        if (p[i].what == SILR_TUNED_LORA_A) {
            l->a = at;
            l->r = p[i].rows;
            l->alpha = 32;
        } else {
            l->b = at;
        }
    }
    if (silr_mkdirs(folder, &err) != SILR_OK || silr_adapter_write(folder, &a, s, NULL, &err) != SILR_OK)
        die(&err);
    silr_adapter_clear(&a);
}

/* B is not left 0: gradients of A would be for the first step. */
static void draw(silr_tune *t)
{
    size_t n, params;
    const silr_tuned *p = silr_tune_table(t, &n);
    float *block = silr_tune_params(t, &params);

    silr_tune_draw(t, 1);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; p[i].what == SILR_TUNED_LORA_B && k < p[i].rows * p[i].columns; k++)
            block[p[i].offset + k] = (float)(0.02 * (2 * silr_rng_at(3, SILR_RNG_TEST, (uint32_t)i, k) - 1));
}

static void write_texts(const char *folder, const uint32_t *ids, const size_t *start, size_t n, const int *set)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/texts", folder);
    if (!(f = fopen(path, "w")))
        exit(1);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%d", set[i] == 0 ? 1 : -1);
        for (size_t k = start[i]; k < start[i + 1]; k++)
            fprintf(f, " %u", ids[k]);
        fputc('\n', f);
    }
    if (fclose(f) != 0)
        exit(1);
}

static int trace(const char *model, const char *folder, int steps)
{
    enum { TEXTS = 16 };
    const silr_engine_opts eo = {.bare = true, .keep = SILR_WEIGHTS_F32};
    const silr_tune_opts o = {.columns = 1, .targets = 1U << SILR_PART_Q | 1U << SILR_PART_V, .lora = {8, 4}, .train = true};
    const double theta[] = {0.8, 0.2, 0.3, 0.7}, pi[] = {0.5, 0.5};
    const silr_adam adam = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};
    silr_engine *e;
    silr_tune *t = NULL;
    silr_risk risk;
    silr_error err;
    uint32_t *ids;
    size_t *start, n;
    float score[TEXTS], dscore[TEXTS];
    int set[TEXTS];

    if (silr_engine_open(&e, model, &eo, &err) != SILR_OK || silr_tune_new(&t, e, &o, &err) != SILR_OK ||
        silr_risk_init(&risk, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 2, theta, pi, -0.001, &err) != SILR_OK)
        die(&err);
    draw(t);
    write_adapter(t, folder);
    make_batch("5,64,17,33,9,48,21,12", TEXTS, silr_engine_spec(e)->vocab, &ids, &start);
    for (size_t i = 0; i < TEXTS; i++)
        set[i] = i % 3 == 0;
    write_texts(folder, ids, start, TEXTS, set);
    const silr_tune_batch b = {.ids = ids, .start = start, .n = TEXTS};
    silr_adamw_block block = {.params = silr_tune_params(t, &n), .grad = silr_tune_gradient(t)};
    const silr_adamw_range all = {.n = n, .decay = true};
    block.m = calloc(n, sizeof(float));
    block.v = calloc(n, sizeof(float));
    for (int s = 1; s <= steps; s++) {
        silr_risk_sums sums = {0};
        silr_gated gated;
        if (silr_tune_forward(t, &b, score, &err) != SILR_OK)
            die(&err);
        silr_risk_add(&risk, &sums, TEXTS, score, 1, set, NULL);
        silr_risk_gate(&risk, &sums, NULL, &gated);
        silr_risk_backward(&risk, &gated, TEXTS, score, 1, set, NULL, dscore);
        if (silr_tune_backward(t, dscore, &err) != SILR_OK)
            die(&err);
        silr_adamw_step(&block, &all, 1, &adam, 1e-4, (uint64_t)s, 0, NULL);
        printf("%.9g\n", gated.value);
    }
    silr_tune_free(t);
    silr_engine_free(e);
    return 0;
}

/* --- speed -------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    silr_engine_opts eo = {.bare = true};
    silr_tune_opts o = {.columns = 1, .targets = 1U << SILR_PART_Q | 1U << SILR_PART_V, .lora = {8, 4},
                        .dropout = 0.05, .train = true};
    silr_engine *e;
    silr_tune *t = NULL;
    silr_error err;
    struct rusage use;
    uint32_t *ids, *number;
    size_t *start, n, tokens, params, steps;
    float *score, *dscore, *p, *g;
    double begun, cpu;

    if (argc == 5 && strcmp(argv[2], "trace") == 0)
        return trace(argv[1], argv[3], atoi(argv[4]));
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
