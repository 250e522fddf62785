/* test_sets.c - an annotator that gives nearly everything one label still makes two sets, if it says
 * how sure it was; one that does not, or that has two labels anyway, is left as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "priors/priors.h"
#include <math.h>

enum { N = 100 };
static int initial[N], sets[N];
static float logp[2 * N];
static silr_error err;

/* The first `ones` texts get the second label; log-odds fall from +3 on. */
static silr_task fixture(int ones)
{
    silr_task t = {.n_classes = 2};
    for (int i = 0; i < N; i++) {
        double o = 3 - 0.05 * i;
        initial[i] = i < ones ? 1 : 0;
        logp[2 * i] = (float)-log1p(exp(-o));
        logp[2 * i + 1] = (float)-log1p(exp(o));
    }
    return t;
}

static bool cut_by(const silr_task *t)
{
    bool cut;
    assert_int_equal(silr_sets_by_odds(sets, &cut, t, N, initial, logp, &err), SILR_OK);
    return cut;
}

static void one_label_is_cut_at_the_median(void **state)
{
    silr_task t = fixture(0);
    size_t first = 0;
    (void)state;

    initial[99] = SILR_NO_LABEL;
    logp[2 * 7] = logp[2 * 7 + 1] = NAN; /* keeps the label it has */
    assert_true(cut_by(&t));
    for (int i = 0; i < N - 1; i++)
        first += sets[i] == 0;
    assert_true(first == 49 || first == 50);
    assert_int_equal(sets[0], 0);
    assert_int_equal(sets[98], 1);
    assert_int_equal(sets[7], 0);
    assert_int_equal(sets[99], SILR_NO_LABEL);
    t = fixture(9); /* nearly one */
    assert_true(cut_by(&t));
}

static void two_labels_are_left(void **state)
{
    silr_task t = fixture(10);
    (void)state;

    assert_false(cut_by(&t));
    assert_memory_equal(sets, initial, sizeof sets);
}

/* Without log-odds, with too few, with equal ones, or where they are not wanted. */
static void others_are_left(void **state)
{
    silr_task t = fixture(0);
    (void)state;

    t.refine.evidence = SILR_EVIDENCE_LABEL;
    assert_false(cut_by(&t));
    t = fixture(0);
    t.refine.recipe = SILR_RECIPE_PAPER;
    assert_false(cut_by(&t));
    t = fixture(0);
    t.n_classes = 3;
    assert_false(cut_by(&t));
    t = fixture(0);
    for (int i = 0; i < 11; i++)
        logp[2 * i] = logp[2 * i + 1] = NAN;
    assert_false(cut_by(&t));
    for (int i = 0; i < N; i++)
        logp[2 * i] = logp[2 * i + 1] = -0.69f;
    assert_false(cut_by(&t));
    assert_memory_equal(sets, initial, sizeof sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_label_is_cut_at_the_median),
        cmocka_unit_test(two_labels_are_left),
        cmocka_unit_test(others_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
