/* test_refine_frozen.c - the refinement on an encoder's vectors: it helps with every head and recipe,
 * each text is embedded once, and neither kills nor threads nor truths outside the sample change a
 * byte. The encoder adds up random words (tests/embed/fake.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake.h"
#include "small_run.h"
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL ", kind: frozen, model: ."
#define QUICK "labelled: {count: 40}\nrefine: {steps: 40, iterations: 2, folds: 3, label_folds: 3}\n"

static small_corpus corpus_of(const char *name, int K, const char *classifier, const char *rest)
{
    return (small_corpus){.name = name, .n = 300, .K = K, .per_class = 5, .noise = 0.25,
                          .abstain = 0.1, .classifier = classifier, .rest = rest};
}

static void go(const char *corpus, const char *run, small_outcome *o)
{
    silr_error err = {0};
    if (small_run(corpus, run, false, o, &err) != SILR_OK)
        fail_msg("%s in %s: %s", corpus, run, err.text);
}

static const struct {
    const char *name, *classifier, *rest;
    int K;
} kinds[] = {
    {"f-linear", MODEL, QUICK, 2},
    {"f-three", MODEL, QUICK, 3},
    {"f-mlp", MODEL ", head: mlp, hidden: 8", QUICK, 2},
    {"f-mlp-3", MODEL ", head: mlp, hidden: 8", QUICK, 3},
    {"f-grams", MODEL ", ngrams: true", QUICK, 2},
    {"f-both", MODEL ", ngrams: true, head: mlp, hidden: 8", QUICK, 3},
    {"f-paper", MODEL, "labelled: {count: 40}\nrefine: {recipe: paper, iterations: 2, epochs: 12, "
                       "learning_rate: 0.02}\n", 2},
    {"f-paper-m", MODEL ", head: mlp, ngrams: true",
     "labelled: {count: 40}\nrefine: {recipe: paper, folds: 2, iterations: 2, epochs: 12}\n", 3},
    {"f-none", MODEL, "labelled: none\nrefine: {steps: 40, iterations: 2}\n", 2},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void labels_get_better(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        small_outcome o;
        fake.texts = 0;
        go(kinds[i].name, kinds[i].name, &o);
        assert_true(fake.texts > 0 && fake.texts <= 300);
        assert_true(small_proper(&o));
        if (!(o.after > o.before + 0.04))
            fail_msg("%s: accuracy %.3f before, %.3f after", kinds[i].name, o.before, o.after);
        small_clear(&o);
    }
}

static void threads_change_nothing(void **state)
{
    const int had = omp_get_max_threads();
    (void)state;

    for (size_t i = 0; i < KINDS; i++)
        for (int threads = 1; threads <= 4; threads *= 4) {
            small_outcome a, b;
            char run[40];
            omp_set_num_threads(had);
            go(kinds[i].name, kinds[i].name, &a);
            omp_set_num_threads(threads);
            snprintf(run, sizeof run, "%s-threads-%d", kinds[i].name, threads);
            go(kinds[i].name, run, &b);
            assert_true(small_same(&a, &b));
            small_clear(&a);
            small_clear(&b);
        }
    omp_set_num_threads(had);
}

/* Kills itself when so many iterations are done. */
static void die(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)total;
    if (strcmp(what, "refining") == 0 && done == *(const uint64_t *)ctx)
        kill(getpid(), SIGKILL);
}

/* A child that dies: while embedding, or when `after` iterations are done. Forked before this process
 * has threads of its own, which a child would wait for. */
static void killed(const char *corpus, const char *run, size_t call, uint64_t after)
{
    const pid_t child = fork();
    int how;

    if (child == 0) {
        const silr_listener l = {.ctx = &after, .progress = die};
        omp_set_num_threads(1);
        fake.calls = 0;
        fake.die_at = call;
        if (!call)
            silr_log_listen(&l);
        (void)small_run(corpus, run, false, NULL, NULL);
        _exit(0);
    }
    assert_true(child > 0 && waitpid(child, &how, 0) == child);
    assert_true(call ? WIFEXITED(how) && WEXITSTATUS(how) == 9 : (bool)WIFSIGNALED(how));
}

static void kill_runs(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        const small_corpus c = corpus_of(kinds[i].name, kinds[i].K, kinds[i].classifier, kinds[i].rest);
        char run[40];
        small_write(&c);
        snprintf(run, sizeof run, "%s-killed", c.name);
        killed(c.name, run, 1, 0); /* in the first block, in the second */
        killed(c.name, run, 2, 0);
        killed(c.name, run, 0, 0);
        killed(c.name, run, 0, 1);
    }
}

static void killed_runs_end_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        small_outcome whole, again;
        char run[40];
        go(kinds[i].name, kinds[i].name, &whole);
        snprintf(run, sizeof run, "%s-killed", kinds[i].name);
        fake.texts = 0;
        go(kinds[i].name, run, &again);
        assert_int_equal(fake.texts, 0); /* all of them were there */
        if (!small_same(&whole, &again))
            fail_msg("%s: another outcome when killed", kinds[i].name);
        small_clear(&whole);
        small_clear(&again);
    }
}

/* SIGINT while embedding: state is kept, and the next call goes on. */
static void stopped_runs_go_on(void **state)
{
    small_outcome whole, again;
    silr_error err;
    size_t done;
    (void)state;

    go("f-linear", "f-linear", &whole);
    fake = (fake_state){.cancel_at = 1};
    assert_int_equal(small_run("f-linear", "f-stopped", false, NULL, &err), SILR_ECANCEL);
    done = fake.texts;
    silr_cancel_reset();
    fake = (fake_state){0};
    go("f-linear", "f-stopped", &again);
    assert_true(done > 0 && fake.texts > 0 && fake.texts + done <= 300);
    assert_true(small_same(&whole, &again));
    small_clear(&whole);
    small_clear(&again);
}

/* method.md F13: other truths outside the sample, the same outcome. */
static void other_truths_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const small_corpus c = corpus_of(kinds[i].name, kinds[i].K, kinds[i].classifier, kinds[i].rest);
        small_outcome a, b;
        char name[40];
        if (strstr(kinds[i].rest, "none"))
            continue; /* nothing is known there to keep */
        snprintf(name, sizeof name, "%s-lies", c.name);
        go(c.name, c.name, &a);
        small_scramble(&c, name, a.learned);
        go(name, name, &b);
        assert_true(small_same(&a, &b));
        assert_true(b.before < 0.5);
        small_clear(&a);
        small_clear(&b);
    }
}

/* Two runs, one folder of vectors: what one has embedded the other does not. */
static void runs_share_a_cache(void **state)
{
    const small_corpus c = corpus_of("f-shared", 2, MODEL ", cache: vectors", QUICK);
    (void)state;

    small_write(&c);
    go(c.name, "f-shared-1", NULL);
    fake.texts = 0;
    go(c.name, "f-shared-2", NULL);
    assert_int_equal(fake.texts, 0);
}

static void another_encoder_is_another_run(void **state)
{
    silr_error err;
    silr_buf identity = {0};
    silr_sha256 now;
    (void)state;

    assert_int_equal(small_fact("f-linear", "f-linear", "classifier.identity", &identity), SILR_OK);
    assert_int_equal(silr_encoder_hash(&now, "fake", NULL), SILR_OK);
    assert_int_equal(identity.len, 64);
    assert_memory_equal(identity.data, now.hex, 64);
    silr_buf_clear(&identity);
    fake.name = "retrained";
    assert_int_equal(small_run("f-linear", "f-linear", false, NULL, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "another encoder"));
    fake.name = NULL;
    go("f-linear", "f-linear", NULL);
}

/* A model that is not there is said before anything is begun. */
static void an_absent_encoder_is_said(void **state)
{
    const small_corpus c = corpus_of("f-absent", 2, ", kind: frozen, model: absent", QUICK);
    silr_error err;
    (void)state;

    small_write(&c);
    assert_int_equal(small_run(c.name, c.name, false, NULL, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "absent"));
}

static void failing_allocations(void **state)
{
    const small_corpus c = corpus_of("f-memory", 3, MODEL ", head: mlp, hidden: 2, ngrams: true",
                                     "labelled: {count: 12}\nrefine: {steps: 2, iterations: 1, "
                                     "folds: 2, label_folds: 2}\n");
    small_corpus few = c;
    (void)state;

    few.n = 60;
    small_write(&few);
    for (uint64_t n = 1, step = 1; ; n += step) {
        silr_error err;
        silr_status st;
        char run[40];
        snprintf(run, sizeof run, "f-memory-%llu", (unsigned long long)n);
        silr_mem_fail_at(n, true);
        st = small_run(few.name, run, false, NULL, &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        if (st != SILR_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
        step = 1 + n / 12;
    }
}

static int begin(void **state)
{
    (void)state;
    small_start();
    fake_start();
    kill_runs();
    fake = (fake_state){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_end();
    small_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_get_better), /* leaves what the others are held against */
        cmocka_unit_test(killed_runs_end_alike),
        cmocka_unit_test(stopped_runs_go_on),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(other_truths_change_nothing),
        cmocka_unit_test(runs_share_a_cache),
        cmocka_unit_test(another_encoder_is_another_run),
        cmocka_unit_test(an_absent_encoder_is_said),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
