/* test_ends.c - the refinement where it is hard pressed: every kind of labelled, verdicts, odd
 * inputs, no memory. It ends with proper labels or with one clear sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "small_run.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define QUICK "refine: {steps: 30, iterations: 2, folds: 3, label_folds: 3}\n"
#define TINY "refine: {steps: 5, iterations: 1, folds: 2, label_folds: 2}\n"

static void proper(const small_outcome *o)
{
    assert_true(small_proper(o));
}

/* --- verdicts --------------------------------------------------------------------------------- */

static silr_status try_it(const char *name, int n, int K, double noise, const char *rest, bool force,
                          small_outcome *o, silr_error *err)
{
    small_corpus c = {.name = name, .n = n, .K = K, .noise = noise, .rest = rest};
    *err = (silr_error){0};
    small_write(&c);
    return small_run(name, name, force, o, err);
}

static void the_verdict_is_kept(void **state)
{
    static const char backwards[] = "labelled: {count: 60}\nrefine: {recipe: paper, iterations: 2, "
                                    "epochs: 12}\n";
    silr_error err;
    small_outcome o;
    silr_buf verdict = {0};
    (void)state;

    /* theta says: nothing there; and forced it goes on, with both recipes */
    assert_int_equal(try_it("nothing", 150, 2, 0.2, "labelled: {theta: [0.5, 0.5]}\n" QUICK, false,
                            NULL, &err), SILR_EDOMAIN);
    assert_non_null(strstr(err.text, "refused"));
    if (small_run("nothing", "nothing", true, &o, &err) != SILR_OK)
        fail_msg("forced: %s", err.text);
    proper(&o);
    small_clear(&o);
    assert_int_equal(try_it("nothing-p", 150, 2, 0.2,
                            "labelled: {theta: [0.5, 0.5]}\nrefine: {recipe: paper, iterations: 1}\n",
                            false, NULL, &err), SILR_EDOMAIN);
    if (small_run("nothing-p", "nothing-p", true, &o, &err) != SILR_OK)
        fail_msg("forced: %s", err.text);
    proper(&o);
    small_clear(&o);

    /* labels that are mostly wrong: the paper's recipe turns them round, and then refines */
    if (try_it("swap", 260, 2, 0.85, backwards, false, &o, &err) != SILR_OK)
        fail_msg("swap: %s", err.text);
    assert_int_equal(small_fact("swap", "swap", "verdict", &verdict), SILR_OK);
    assert_non_null(strstr(verdict.data, "\"swap\""));
    assert_true(o.before < 0.3 && o.after > 0.8);
    silr_buf_clear(&verdict);
    small_clear(&o);
}

static void every_kind_of_labelled_runs(void **state)
{
    static const struct {
        const char *rest;
        int K;
    } cases[] = {
        {"labelled: none\n" QUICK, 2},
        {"labelled: none\n" QUICK, 3},
        {"labelled: oracle\n" QUICK, 2},
        {"labelled: oracle\n" QUICK, 3},
        {"labelled: {theta: [0.8, 0.2]}\n" QUICK, 2},
        {"labelled: {theta: [0.8, 0.2], pi: 0.5}\n" QUICK, 2},
        {"labelled: {theta: [[.7, .15, .15], [.15, .7, .15], [.15, .15, .7]]}\n" QUICK, 3},
        {"labelled: none\nrefine: {recipe: paper, iterations: 3, epochs: 12}\n", 2},
        {"labelled: none\nrefine: {recipe: paper, iterations: 2, epochs: 12}\n", 3},
        {"labelled: oracle\nrefine: {recipe: paper, iterations: 2, epochs: 12}\n", 2},
        {"labelled: {theta: [0.8, 0.2]}\nrefine: {recipe: paper, iterations: 2, epochs: 12}\n", 2},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_error err;
        small_outcome o;
        char name[32];
        snprintf(name, sizeof name, "kind-%zu", i);
        if (try_it(name, 300, cases[i].K, 0.25, cases[i].rest, false, &o, &err) != SILR_OK)
            fail_msg("%s: %s", cases[i].rest, err.text);
        proper(&o);
        if (!(o.after >= o.before - (strstr(cases[i].rest, "paper") ? -0.05 : 0.01)))
            fail_msg("%s: accuracy %.3f before, %.3f after", cases[i].rest, o.before, o.after);
        small_clear(&o);
    }
}

/* Odd inputs: proper labels or one clear sentence, never a NaN or a crash. */
static void odd_inputs_end_properly(void **state)
{
    static const struct {
        const char *what, *rest;
        int n, K, mute;
        double abstain;
        const char *split;
    } cases[] = {
        {"mostly test", "labelled: {count: 10}\n" TINY, 200, 2, 0, 0,
         ", split: {train: 0.1, validation: 0, test: 0.9}"},
        {"nearly all test", "labelled: {count: 10}\n" TINY, 40, 2, 0, 0,
         ", split: {train: 0.001, validation: 0, test: 0.999}"},
        {"no test", "labelled: {count: 10}\n" TINY, 100, 3, 0, 0,
         ", split: {train: 1, validation: 0, test: 0}"},
        {"paper without validation",
         "labelled: {count: 10}\nrefine: {recipe: paper, iterations: 2}\n", 100, 2, 0, 0,
         ", split: {train: 1, validation: 0, test: 0}"},
        {"all abstained", "labelled: {count: 10}\n" TINY, 40, 2, 0, 1, NULL},
        {"ten texts", "labelled: {count: 4}\n" TINY, 10, 2, 0, 0, NULL},
        {"ten texts, three classes", "labelled: {count: 6}\n" TINY, 10, 3, 0, 0, NULL},
        {"ten texts, paper",
         "labelled: {count: 4}\nrefine: {recipe: paper, iterations: 2}\n", 10, 2, 0, 0, NULL},
        {"one labelled text a class", "labelled: {count: 2}\n" TINY, 120, 2, 0, 0, NULL},
        {"one fold",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, folds: 1}\n", 120, 2, 0, 0, NULL},
        {"more folds than texts",
         "labelled: {count: 4}\nrefine: {steps: 5, iterations: 1, folds: 100, "
                                  "label_folds: 100}\n", 30, 2, 0, 0, NULL},
        {"truth alone",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, labelled_mass: 1}\n", 120, 2, 0, 0, NULL},
        {"all is labelled", "labelled: {count: 1000}\n" TINY, 120, 2, 0, 0, NULL},
        {"all is labelled, three", "labelled: {count: 1000}\n" TINY, 120, 3, 0, 0, NULL},
        {"a class never named", "labelled: {count: 40}\n" TINY, 200, 3, 1, 0, NULL},
        {"two of four never named", "labelled: {count: 40}\n" TINY, 200, 4, 2, 0, NULL},
        {"most abstained", "labelled: {count: 10}\n" TINY, 200, 2, 0, 0.85, NULL},
        {"most abstained, three", "labelled: {count: 10}\n" TINY, 200, 3, 0, 0.85, NULL},
        {"many classes",
         "labelled: {count: 100}\n"
         "refine: {steps: 5, iterations: 1, folds: 2, label_folds: 2}\n", 260, 64, 0, 0, NULL},
        {"chunks",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, batch: 16}\n", 120, 2, 0, 0, NULL},
        {"balanced",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, metric: balanced}\n", 120, 3, 0, 0, NULL},
        {"no margin",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, margin: 0}\n", 120, 2, 0, 0, NULL},
        {"safe",
         "labelled: {count: 20}\n"
         "refine: {steps: 5, iterations: 1, label_folds: 2, safe: true}\n", 120, 2, 0, 0, NULL},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        silr_error err = {0};
        small_outcome o;
        double begun = silr_now();
        silr_status st;
        small_corpus c = {.name = name, .n = cases[i].n, .K = cases[i].K, .noise = 0.2,
                          .mute = cases[i].mute, .abstain = cases[i].abstain,
                          .split = cases[i].split, .rest = cases[i].rest};
        snprintf(name, sizeof name, "odd-%zu", i);
        small_write(&c);
        st = small_run(name, name, true, &o, &err);
        if (getenv("SILR_TEST_TIMES"))
            fprintf(stderr, "%s: %.2f s, %s\n", cases[i].what, silr_now() - begun, err.text);
        if (st == SILR_OK) {
            proper(&o);
            small_clear(&o);
            continue;
        }
        if (st != SILR_EINPUT && st != SILR_EDOMAIN)
            fail_msg("%s: status %d, %s", cases[i].what, (int)st, err.text);
        assert_true(strlen(err.text) > 10);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Wherever one allocation fails: SILR_ENOMEM, or it was one that can be done without and the
 * outcome is the same. Never another outcome. */
static void failing_memory_is_an_error(void **state)
{
    static const char *const rest[4] = {
        "labelled: {count: 12}\nrefine: {steps: 3, iterations: 1, folds: 2, label_folds: 2}\n",
        "labelled: {count: 12}\nrefine: {recipe: paper, epochs: 1, iterations: 1, folds: 2}\n",
        "labelled: none\nrefine: {steps: 3, iterations: 1, folds: 2}\n",
        "labelled: {count: 12}\nrefine: {steps: 3, iterations: 1, folds: 2, label_folds: 2}\n"};
    int had = omp_get_max_threads();
    (void)state;

    omp_set_num_threads(1);
    for (int c = 0; c < 4; c++) { /* the last: with log-odds */
        small_corpus corpus = {.name = "memory", .n = 60, .K = c >= 2 ? 2 : 3, .noise = 0.2,
                               .clear = c == 3 ? 0.8 : 0, .rest = rest[c]};
        small_outcome whole, o;
        silr_error err;
        char run[32];
        uint64_t total, failed = 0, tried = 0, stride;
        snprintf(run, sizeof run, "memory-%d", c);
        small_write(&corpus);
        silr_mem_count();
        assert_int_equal(small_run("memory", run, true, &whole, &err), SILR_OK);
        total = silr_mem_count();
        stride = total / 40 | 1;
        for (uint64_t at = 1 + (uint64_t)c; at <= total; at += stride, tried++) {
            silr_status st;
            snprintf(run, sizeof run, "memory-%d-%d", c, (int)at);
            err.text[0] = '\0';
            silr_mem_fail_at(at, false);
            st = small_run("memory", run, true, &o, &err);
            silr_mem_fail_at(0, false);
            if (st == SILR_OK) {
                if (!small_same(&whole, &o))
                    fail_msg("allocation %d of %d: another outcome", (int)at, (int)total);
                small_clear(&o);
                continue;
            }
            failed++;
            if (st != SILR_ENOMEM || err.text[0] == '\0')
                fail_msg("allocation %d of %d: status %d, %s", (int)at, (int)total, (int)st, err.text);
        }
        assert_true(failed > tried / 2);
        small_clear(&whole);
    }
    omp_set_num_threads(had);
}

static int set_up(void **state)
{
    (void)state;
    small_start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    small_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_verdict_is_kept),
        cmocka_unit_test(every_kind_of_labelled_runs),
        cmocka_unit_test(odd_inputs_end_properly),
        cmocka_unit_test(failing_memory_is_an_error),
    };
    if (getenv("SILR_TEST")) /* one of them alone */
        cmocka_set_test_filter(getenv("SILR_TEST"));
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
