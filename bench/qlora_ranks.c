/* qlora_ranks.c - LoRA steps by all ranks of a job.
 *
 *     [mpirun -n N] bench_qlora_ranks MODEL TOKENS TEXTS STEPS f32|nf4
 *
 * Forward, back, a step of AdamW over made-up texts, by the functions that classifier qlora calls; then scores
 * alone. Prints ranks, threads of each, tokens a second (wall) and per CPU-second of all ranks together. */
#include "classify/classifier.h"
#include "classify/qlora_crew.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void ok(silr_status st, const silr_error *err)
{
    if (st == SILR_OK)
        return;
    fprintf(stderr, "qlora_ranks: %s\n", err->text);
    silr_dist_end();
    exit(1);
}

/* --- the processor time of all ranks ------------------------------------------------------------------ */

static silr_status tell_seconds(void *worker, const void *order, size_t len, silr_buf *result, silr_error *err)
{
    struct timespec t;

    (void)worker;
    (void)order;
    (void)len;
    (void)err;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    const double s = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    silr_buf_add(result, &s, sizeof s);
    return SILR_OK;
}

static silr_status open_clock(void **worker, const void *order, size_t len, silr_error *err)
{
    (void)worker;
    (void)order;
    (void)len;
    (void)err;
    return SILR_OK;
}

static const silr_trade clocks = {"clock", open_clock, tell_seconds, NULL};

static double cpu_seconds(silr_crew *c)
{
    silr_error err;
    double sum = 0, s;

    ok(silr_crew_work(c, &err), &err);
    for (int r = 0; r < silr_dist_size(); r++) {
        memcpy(&s, silr_crew_result(c, r)->data, sizeof s);
        sum += s;
    }
    return sum;
}

/* --- rank 0 ------------------------------------------------------------------------------------------------ */

typedef struct {
    silr_tuner tuner;
    silr_qlora_crew *crew; /* NULL: alone */
    silr_crew *clocks;
    silr_tune_batch batch;
    float *score, *dscore;
} job;

static void make_texts(job *j, size_t length, size_t n)
{
    const size_t vocab = silr_engine_spec(j->tuner.scorer.engine)->vocab;
    size_t *start = calloc(n + 1, sizeof *start);
    uint32_t *ids = calloc(n * length, sizeof *ids), *number = calloc(n, sizeof *number);

    j->score = calloc(n, sizeof *j->score);
    j->dscore = calloc(n, sizeof *j->dscore);
    for (size_t i = 0; i < n; i++) {
        start[i + 1] = start[i] + length;
        number[i] = (uint32_t)i;
        j->dscore[i] = i % 2 ? 0.01F : -0.01F;
    }
    for (size_t i = 0; i < n * length; i++)
        ids[i] = (uint32_t)(silr_rng_at(1, SILR_RNG_TEST, 0, i) * (double)vocab);
    j->batch = (silr_tune_batch){.ids = ids, .start = start, .n = n, .number = number};
}

static void score(job *j, bool training)
{
    silr_error err;

    ok(j->crew ? silr_qlora_crew_forward(j->crew, &j->batch, training, j->score, &err)
               : silr_tuner_forward(&j->tuner, &j->batch, training, j->score, &err), &err);
}

static void step(job *j, size_t k)
{
    const silr_adam adam = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    silr_error err;

    j->batch.key = k;
    score(j, true);
    ok(j->crew ? silr_qlora_crew_backward(j->crew, j->dscore, &err)
               : silr_tuner_backward(&j->tuner, &j->batch, j->dscore, &err), &err);
    ok(j->crew ? silr_qlora_crew_step(j->crew, &adam, 1e-4, k, &err)
               : silr_tuner_step(&j->tuner, &adam, 1e-4, k, &err), &err);
}

static void measure(job *j, const char *what, size_t steps, bool training)
{
    const double tokens = (double)(steps * j->batch.start[j->batch.n]);
    const int mine = silr_dist_threads(0), asked = omp_get_max_threads();
    double begun, cpu;

    for (size_t k = 0; k < 2; k++) /* warms up */
        training ? step(j, k) : score(j, false);
    cpu = cpu_seconds(j->clocks);
    begun = silr_now();
    for (size_t k = 0; k < steps; k++)
        training ? step(j, 2 + k) : score(j, false);
    const double wall = silr_now() - begun;
    printf("%s: %d x %d threads: %.1f tokens/s, %.1f per CPU-second\n", what, silr_dist_size(),
           mine < asked ? mine : asked, tokens / wall, tokens / (cpu_seconds(j->clocks) - cpu));
    fflush(stdout);
}

static void work(char **argv)
{
    silr_encoder_name base = {.name = argv[1], .place = argv[1]};
    const silr_scorer_opts o = {.base = strcmp(argv[5], "nf4") == 0 ? SILR_BASE_NF4 : SILR_BASE_F32,
                                .tune = {.columns = 1, .lora = {8, 4}, .dropout = 0.05,
                                         .targets = 1U << SILR_PART_Q | 1U << SILR_PART_V,
                                         .sharers = (size_t)silr_dist_here()}};
    const size_t steps = strtoul(argv[4], NULL, 10);
    job j = {0};
    silr_error err;

    ok(silr_encoder_hash(&base.model, base.place, &err), &err);
    ok(silr_tuner_open(&j.tuner, base.place, &o, &err), &err);
    silr_tune_draw(j.tuner.scorer.tune, 1);
    ok(silr_crew_open(&j.clocks, &clocks, NULL, "", 0, &err), &err);
    if (silr_dist_size() > 1) {
        ok(silr_qlora_crew_open(&j.crew, &j.tuner, &base, &o, &err), &err);
        ok(silr_qlora_crew_share(j.crew, false, &err), &err);
    }
    make_texts(&j, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    measure(&j, "step", steps, true);
    measure(&j, "score", steps, false);
    silr_qlora_crew_free(j.crew);
    silr_crew_free(j.clocks);
    silr_tuner_clear(&j.tuner);
}

int main(int argc, char **argv)
{
    static const silr_trade *const trades[] = {&silr_qlora_trade, &clocks, NULL};
    silr_error err;

    if (argc < 6) {
        fprintf(stderr, "usage: qlora_ranks MODEL TOKENS TEXTS STEPS f32|nf4\n");
        return 2;
    }
    ok(silr_dist_start(&err), &err);
    if (silr_dist_rank() == 0)
        work(argv);
    else
        ok(silr_dist_serve(trades, &err), &err);
    silr_dist_end();
    return 0;
}
