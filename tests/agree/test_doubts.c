/* test_doubts.c - what a Dawid-Skene fit says against itself. */
#include "help.h"

/* One annotator, two, or three who never meet: nothing is fitted, the votes are counted, a tie has
 * no label, and a text without votes has pi. */
static void too_few_voices_are_not_fitted(void **state)
{
    enum { N = 60 };
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N + 1, 3, 2);
    for (int M = 1; M <= 3; M++) {
        for (int i = 0; i < N; i++)
            for (int m = 0; m < 3; m++)
                b.column[m][i] = M == 3 && i % 3 == m ? NONE : (i * (m + 3) >> 2) & 1;
        b.v.M = M;
        d = fitted(&b.v, NULL);
        assert_true(d.doubts & SILR_DOUBT_UNIDENTIFIED);
        assert_true(d.iterations == 0 && !d.converged && d.three == 0 && isnan(d.log_likelihood));
        for (size_t i = 0; i < N; i++) {
            double votes = 0, first = 0;
            for (int m = 0; m < M; m++) {
                votes += b.column[m][i] != NONE;
                first += b.column[m][i] == 0;
            }
            near(silr_dawid_skene_posterior(&d, i)[0], first / votes, 1e-15, "share");
            assert_int_equal(d.label[i], first * 2 == votes ? NONE : first * 2 < votes);
        }
        assert_int_equal(d.label[N], NONE);
        near(silr_dawid_skene_posterior(&d, N)[0], d.pi[0], 1e-15, "pi");
        silr_dawid_skene_clear(&d);
    }
    close_ballots(&b);
}

static void unanimous_is_said(void **state)
{
    enum { N = 90 };
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N, 3, 2);
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < N; i++)
            b.column[m][i] = i % 3 == 0;
    d = fitted(&b.v, NULL);
    assert_int_equal(d.doubts, SILR_DOUBT_UNANIMOUS);
    assert_true(d.converged && d.alpha == 1);
    assert_memory_equal(d.label, b.column[0], N * sizeof(int));
    near(d.pi[1], 1.0 / 3, 1e-3, "pi");
    silr_dawid_skene_clear(&d);
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < N; i++)
            b.column[m][i] = 1; /* one class for everything: the other has pi = 0, not NAN */
    d = fitted(&b.v, NULL);
    assert_int_equal(d.doubts, SILR_DOUBT_UNANIMOUS);
    assert_true(isnan(d.alpha) && d.pi[0] == 0 && d.pi[1] == 1 && d.conf[0] == 0.5);
    for (int i = 0; i < N; i++)
        assert_int_equal(d.label[i], 1);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Known truths against which everybody votes: the votes for each class speak for the other. */
static void inverted_is_said(void **state)
{
    enum { N = 120 };
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    static const double pi[2] = {.5, .5};
    static const double conf[3 * 4] = {.2, .8, .8, .2, .2, .8, .8, .2, .3, .7, .7, .3};
    int truth[N];
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N, 3, 2);
    draw_ballots(&b, truth, pi, conf, 0, 9);
    d = fitted(&b.v, NULL);
    assert_false(d.doubts & SILR_DOUBT_INVERTED); /* nothing tells it */
    silr_dawid_skene_clear(&d);
    opts.known = truth;
    d = fitted(&b.v, &opts);
    assert_true(d.doubts & SILR_DOUBT_INVERTED);
    assert_true(d.inverted[0] && d.inverted[1]);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* A class that one poor annotator names now and then, against two who are nearly always right. */
static void a_lost_class_is_said(void **state)
{
    enum { N = 300 };
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N, 3, 3);
    for (int i = 0; i < N; i++) {
        b.column[0][i] = b.column[1][i] = i % 2;
        b.column[2][i] = i < 2 ? 2 : i % 5 == 0 ? 1 - i % 2 : i % 2;
    }
    d = fitted(&b.v, NULL);
    assert_true(d.doubts & SILR_DOUBT_LOST);
    assert_true(d.label[0] == 0 && d.label[1] == 1);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Votes by dice have nothing in common to be found; with known truths there is something else to
 * go by. */
static void dice_are_feeble(void **state)
{
    enum { N = 2000, M = 5 };
    static const double pi[2] = {.5, .5};
    double conf[M * 4];
    static int truth[N], known[N];
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene d;
    ballots b;
    (void)state;

    for (int i = 0; i < M * 4; i++)
        conf[i] = 0.5;
    open_ballots(&b, N, M, 2);
    draw_ballots(&b, truth, pi, conf, 0, 10);
    d = fitted(&b.v, NULL);
    assert_true(d.doubts & SILR_DOUBT_FEEBLE);
    near(d.alpha, 0, 0.02, "alpha of dice");
    silr_dawid_skene_clear(&d);
    for (int i = 0; i < N; i++)
        known[i] = i < 50 ? truth[i] : NONE;
    opts.known = known;
    d = fitted(&b.v, &opts);
    assert_false(d.doubts & SILR_DOUBT_FEEBLE);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Of seven annotators two copy each other half of the time: their excess stands out, and there is
 * none where nobody copies. */
static void copying_is_said(void **state)
{
    enum { N = 5000, M = 7 };
    static const double pi[2] = {.5, .5};
    double conf[M * 4], most = 0;
    static int truth[N];
    silr_dawid_skene d;
    silr_rng g;
    ballots b;
    (void)state;

    for (int i = 0; i < M * 4; i++)
        conf[i] = i % 4 == 0 || i % 4 == 3 ? .75 : .25;
    open_ballots(&b, N, M, 2);
    draw_ballots(&b, truth, pi, conf, 0, 11);
    d = fitted(&b.v, NULL);
    assert_int_equal(d.doubts, 0);
    silr_dawid_skene_clear(&d);
    silr_rng_init(&g, 1, SILR_RNG_TEST, 2, 0);
    for (int i = 0; i < N; i++)
        if (silr_rng_double(&g) < 0.5)
            b.column[5][i] = b.column[2][i];
    d = fitted(&b.v, NULL);
    assert_int_equal(d.doubts, SILR_DOUBT_DEPENDENT);
    for (int i = 0; i < M * M; i++)
        most = fmax(most, d.excess[i]);
    assert_true(d.excess[2 * M + 5] == most && d.excess[5 * M + 2] == most && most > 0.05);
    assert_true(d.excess[0] == 0);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Two models that err together look like two good ones: EM believes them, and not the better third.
 * Fifty known truths among 3,000 texts are too few to change its mind, unless they count for as
 * much as all the others. */
static void known_truths_undo_a_clique(void **state)
{
    enum { N = 3000 };
    static const double pi[2] = {.5, .5};
    static const double conf[3 * 4] = {.65, .35, .35, .65, .65, .35, .35, .65, .85, .15, .15, .85};
    static int truth[N], known[N];
    static double weight[N];
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene alone, once, often;
    silr_rng g;
    ballots b;
    (void)state;

    silr_rng_init(&g, 1, SILR_RNG_TEST, 1, 0);
    open_ballots(&b, N, 3, 2);
    draw_ballots(&b, truth, pi, conf, 0, 8);
    for (int i = 0; i < N; i++) {
        if (silr_rng_double(&g) < 0.5)
            b.column[1][i] = b.column[0][i];
        known[i] = i % 60 == 0 ? truth[i] : NONE;
        weight[i] = 60;
    }
    opts.known = known;
    alone = fitted(&b.v, NULL);
    once = fitted(&b.v, &opts);
    opts.known_weight = weight;
    often = fitted(&b.v, &opts);
    assert_true(alone.accuracy[0] > 0.8 && alone.accuracy[2] < 0.7);
    assert_true(once.accuracy[0] > 0.8 && once.accuracy[2] < 0.7);
    assert_true(often.accuracy[0] < 0.75 && often.accuracy[2] > 0.8);
    assert_true(share_right(often.label, truth, N, 2) >
                share_right(once.label, truth, N, 2) + 0.04);
    assert_int_equal(alone.doubts, 0); /* three annotators leave nothing to see it by */
    silr_dawid_skene_clear(&alone);
    silr_dawid_skene_clear(&once);
    silr_dawid_skene_clear(&often);
    close_ballots(&b);
}

static void doubts_have_words(void **state)
{
    (void)state;
    for (unsigned bit = 1; bit <= SILR_DOUBT_DEPENDENT; bit *= 2)
        assert_true(strlen(silr_doubt_text((silr_doubt)bit)) > 20);
    assert_string_equal(silr_doubt_text((silr_doubt)(2 * SILR_DOUBT_DEPENDENT)), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_few_voices_are_not_fitted),
        cmocka_unit_test(unanimous_is_said),
        cmocka_unit_test(inverted_is_said),
        cmocka_unit_test(a_lost_class_is_said),
        cmocka_unit_test(dice_are_feeble),
        cmocka_unit_test(copying_is_said),
        cmocka_unit_test(known_truths_undo_a_clique),
        cmocka_unit_test(doubts_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
