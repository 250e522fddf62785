/* test_agreement.c - agreement against published numbers, votes against counting by hand. */
#include "help.h"
#include "priors/priors.h"

static silr_agreement made(const silr_votes *v)
{
    silr_agreement a;
    silr_error err = {0};

    if (silr_agreement_make(&a, v, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return a;
}

/* Two annotators from their cross table: cell[j*K+l] texts that a calls j and b calls l. */
static void from_table(ballots *b, int K, const int *cell)
{
    size_t n = 0, at = 0;

    for (int c = 0; c < K * K; c++)
        n += (size_t)cell[c];
    open_ballots(b, n, 2, K);
    for (int c = 0; c < K * K; c++)
        for (int i = 0; i < cell[c]; i++, at++) {
            b->column[0][at] = c / K;
            b->column[1][at] = c % K;
        }
}

/* The example with which kappa is mostly taught: 50 grant proposals, two readers, both yes 20, both
 * no 15, and 5 and 10 apart: kappa 0.4. And a table of three classes, by hand:
 * p_o = .29, p_e = .5 .4 + .3 .3 + .2 .3 = .35. */
static void cohen(void **state)
{
    const int two[4] = {20, 5, 10, 15}, three[9] = {50, 26, 24, 24, 4, 32, 6, 30, 4};
    silr_interval want = silr_proportion(35, 50, false);
    silr_agreement a;
    ballots b;
    (void)state;

    from_table(&b, 2, two);
    a = made(&b.v);
    assert_int_equal(a.pairs, 1);
    assert_int_equal(a.pair[0].both, 50);
    assert_int_equal(a.pair[0].same, 35);
    near(a.pair[0].agreement, 0.7, 1e-15, "observed");
    near(a.pair[0].kappa, 0.4, 1e-15, "kappa");
    near(a.pair[0].low, want.low, 1e-12, "low");
    near(a.pair[0].high, want.high, 1e-12, "high");
    silr_agreement_clear(&a);
    close_ballots(&b);

    from_table(&b, 3, three);
    a = made(&b.v);
    near(a.pair[0].kappa, (0.29 - 0.35) / 0.65, 1e-15, "kappa of three classes");
    silr_agreement_clear(&a);
    close_ballots(&b);
}

static double alpha_of(int M, int K, const char *const *says)
{
    ballots b;
    silr_agreement a;
    double alpha;

    write_ballots(&b, M, K, says);
    a = made(&b.v);
    alpha = a.alpha;
    silr_agreement_clear(&a);
    close_ballots(&b);
    return alpha;
}

/* Krippendorff's own examples (Computing Krippendorff's alpha-reliability, 2011, A to C): two
 * coders and two values, 0.095; two coders and five values, 0.692; four coders with gaps, 0.743. */
static void krippendorff(void **state)
{
    const char *const a[2] = {"0100000010", "1110010000"};
    const char *const b[2] = {"001132224330", "101112224333"};
    const char *const c[4] = {"012210301...", "0122113014.2", ".2221231140.", "01221330140."};
    (void)state;

    near(alpha_of(2, 2, a), 0.095, 0.0005, "A");
    near(alpha_of(2, 5, b), 0.692, 0.0005, "B");
    near(alpha_of(4, 5, c), 0.743, 0.0005, "C");
}

/* The usual example of Fleiss' kappa, ten subjects and fourteen raters, 0.210; where nobody
 * abstains alpha = kappa + (1 - kappa) / votes. */
static void fleiss(void **state)
{
    static const int votes[10][5] = {
        {0, 0, 0, 0, 14}, {0, 2, 6, 4, 2}, {0, 0, 3, 5, 6}, {0, 3, 9, 2, 0}, {2, 2, 8, 1, 1},
        {7, 7, 0, 0, 0},  {3, 2, 6, 3, 0}, {2, 5, 3, 2, 2}, {6, 5, 2, 1, 0}, {0, 2, 2, 3, 7}};
    const double kappa = 0.2099;
    silr_agreement a;
    ballots b;
    (void)state;

    open_ballots(&b, 10, 14, 5);
    for (int i = 0; i < 10; i++)
        for (int k = 0, m = 0; k < 5; k++)
            for (int c = 0; c < votes[i][k]; c++)
                b.column[m++][i] = k;
    a = made(&b.v);
    near(a.alpha, kappa + (1 - kappa) / 140, 0.0001, "alpha");
    assert_int_equal(a.pairs, 91);
    silr_agreement_clear(&a);
    close_ballots(&b);
}

/* Seven texts by hand: gaps, a tie of two, a tie of three, a single vote, silence. */
static void counts_by_hand(void **state)
{
    const char *const says[3] = {"0010.2.", "00211..", "0.2.20."};
    silr_agreement a;
    ballots b;
    (void)state;

    write_ballots(&b, 3, 3, says);
    a = made(&b.v);
    assert_true(a.n == 7 && a.M == 3 && a.K == 3);
    assert_int_equal(a.spoke[0], 5);
    assert_int_equal(a.spoke[1], 5);
    assert_int_equal(a.spoke[2], 4);
    near(a.coverage[2], 4.0 / 7, 1e-15, "coverage");
    assert_int_equal(a.labelled, 6);  /* all but the last */
    assert_int_equal(a.compared, 6);  /* 000, 00., 122, 01., .12, 2.0 */
    assert_int_equal(a.unanimous, 2); /* the first two */
    assert_int_equal(a.tied, 3);      /* the last three of them */
    assert_true(a.pair[0].a == 0 && a.pair[0].b == 1 && a.pair[0].both == 4 && a.pair[0].same == 2);
    assert_true(a.pair[1].a == 0 && a.pair[1].b == 2 && a.pair[1].both == 3 && a.pair[1].same == 1);
    assert_true(a.pair[2].a == 1 && a.pair[2].b == 2 && a.pair[2].both == 3 && a.pair[2].same == 2);
    silr_agreement_clear(&a);
    close_ballots(&b);
}

/* Where nothing can be said, NAN says so: one class only, no common text, one annotator, no text.
 */
static void nothing_to_say(void **state)
{
    const char *const constant[2] = {"0000", "0000"}, *const apart[2] = {"01..", "..10"};
    silr_agreement a;
    ballots b;
    (void)state;

    write_ballots(&b, 2, 2, constant);
    a = made(&b.v);
    assert_true(isnan(a.alpha) && isnan(a.pair[0].kappa) && a.pair[0].agreement == 1);
    assert_true(a.pair[0].high == 1 && a.pair[0].low > 0.4 && a.pair[0].low < 1);
    silr_agreement_clear(&a);
    close_ballots(&b);

    write_ballots(&b, 2, 2, apart);
    a = made(&b.v);
    assert_true(isnan(a.alpha) && isnan(a.pair[0].kappa) && isnan(a.pair[0].agreement));
    assert_true(a.pair[0].low == 0 && a.pair[0].high == 1 && a.pair[0].both == 0);
    assert_true(a.labelled == 4 && a.compared == 0);
    silr_agreement_clear(&a);
    b.v.M = 1;
    a = made(&b.v);
    assert_true(a.pairs == 0 && isnan(a.alpha) && a.coverage[0] == 0.5);
    silr_agreement_clear(&a);
    b.v.n = 0;
    a = made(&b.v);
    assert_true(a.coverage[0] == 0 && a.labelled == 0);
    silr_agreement_clear(&a);
    b.v.M = 2;
    b.v.n = 4;
    close_ballots(&b);
}

/* The order of texts and of annotators, and the names of the classes, change nothing. */
static void order_does_not_matter(void **state)
{
    enum { N = 500, M = 4, K = 3 };
    static const double pi[K] = {.5, .3, .2};
    double conf[M * K * K];
    static int truth[N];
    ballots b, c;
    silr_agreement x, y;
    (void)state;

    for (int i = 0; i < M * K * K; i++)
        conf[i] = i / K % K == i % K ? 0.6 : 0.2;
    open_ballots(&b, N, M, K);
    open_ballots(&c, N, M, K);
    draw_ballots(&b, truth, pi, conf, 0.2, 1);
    for (int m = 0; m < M; m++)
        for (int i = 0; i < N; i++) {
            int was = b.column[m][i];
            c.column[M - 1 - m][N - 1 - i] = was == NONE ? NONE : (was + 1) % K;
        }
    x = made(&b.v);
    y = made(&c.v);
    near(x.alpha, y.alpha, 1e-12, "alpha");
    assert_true(x.unanimous == y.unanimous && x.tied == y.tied && x.tied > 0);
    for (size_t p = 0; p < x.pairs; p++)
        for (size_t q = 0; q < y.pairs; q++)
            if (y.pair[q].a == M - 1 - x.pair[p].b && y.pair[q].b == M - 1 - x.pair[p].a) {
                near(x.pair[p].kappa, y.pair[q].kappa, 1e-12, "kappa");
                assert_int_equal(x.pair[p].same, y.pair[q].same);
            }
    silr_agreement_clear(&x);
    silr_agreement_clear(&y);
    close_ballots(&b);
    close_ballots(&c);
}

/* More patterns than the first table of them holds: every text its own, then all of them again. */
static void many_patterns(void **state)
{
    enum { N = 3000, M = 12 };
    silr_dawid_skene d;
    silr_agreement a;
    ballots b;
    size_t same = 0;
    (void)state;

    open_ballots(&b, 2 * N, M, 2);
    for (int i = 0; i < 2 * N; i++)
        for (int m = 0; m < M; m++)
            b.column[m][i] = i % N >> m & 1;
    a = made(&b.v);
    for (int i = 0; i < N; i++)
        same += (i & 1) == (i >> 1 & 1);
    assert_true(a.compared == 2 * N && a.unanimous == 2 * 1); /* 0 alone: N < 2^12 */
    assert_int_equal(a.pair[0].same, 2 * same);
    silr_agreement_clear(&a);
    d = fitted(&b.v, NULL);
    assert_int_equal(d.patterns, N); /* the second half found the first, however the table grew */
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* --- text by text ------------------------------------------------------------------------------
 */

static void majority_by_hand(void **state)
{
    const char *const says[3] = {"0010.2.", "00211..", "0.2.20."};
    const int want[7] = {0, 0, 2, NONE, NONE, NONE, NONE};
    const double share[7] = {1, 1, 2.0 / 3, 0.5, 0.5, 0.5, 0};
    int label[7];
    double got[7];
    ballots b;
    (void)state;

    write_ballots(&b, 3, 3, says);
    assert_int_equal(silr_majority(label, got, &b.v, NULL, NULL), SILR_OK);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(label[i], want[i]);
        near(got[i], share[i], 1e-15, "share");
    }
    assert_int_equal(silr_majority(label, NULL, &b.v, NULL, NULL), SILR_OK);
    close_ballots(&b);
}

/* A tie goes to the side that Dawid-Skene believes, and only to a class that is tied. */
static void ties_are_broken(void **state)
{
    double posterior[4 * 3] = {.1, .2, .7, .3, .2, .5, .1, .8, .1, .4, .4, .2};
    uint32_t pattern[4] = {0, 1, 2, 3};
    const char *const says[2] = {"000.", "112."};
    const silr_dawid_skene d = {
        .n = 4, .M = 2, .K = 3, .patterns = 4, .posterior = posterior, .pattern = pattern};
    int label[4];
    ballots b;
    (void)state;

    write_ballots(&b, 2, 3, says);
    assert_int_equal(silr_majority(label, NULL, &b.v, &d, NULL), SILR_OK);
    assert_int_equal(label[0], 1);
    assert_int_equal(label[1], 0);
    assert_int_equal(label[2], NONE); /* 0 and 2 tied, .1 each, whatever 1 has */
    assert_int_equal(label[3], NONE); /* nobody spoke */
    close_ballots(&b);
}

static void disagreement_by_hand(void **state)
{
    const char *const says[4] = {"00000.", "0000..", "0011..", "0111.."};
    double posterior[2] = {.25, .75}, out[6];
    uint32_t pattern[6] = {0};
    const silr_dawid_skene d = {
        .n = 6, .M = 4, .K = 2, .patterns = 1, .posterior = posterior, .pattern = pattern};
    const double quarter = -(.25 * log(.25) + .75 * log(.75)) / log(2);
    ballots b;
    (void)state;

    write_ballots(&b, 4, 2, says);
    assert_int_equal(silr_disagreement(out, &b.v, NULL, NULL), SILR_OK);
    assert_true(out[0] == 0 && out[2] == 1 && out[3] == 1 && out[4] == 0 && out[5] == 0);
    near(out[1], quarter, 1e-15, "three to one");
    assert_int_equal(silr_disagreement(out, &b.v, &d, NULL), SILR_OK);
    for (int i = 0; i < 6; i++)
        near(out[i], quarter, 1e-15, "of the posterior");
    b.v.K = 3; /* two of three classes: not as far apart as can be */
    assert_int_equal(silr_disagreement(out, &b.v, NULL, NULL), SILR_OK);
    near(out[2], log(2) / log(3), 1e-15, "two of three");
    close_ballots(&b);
}

/* --- what may go wrong -------------------------------------------------------------------------
 */

static void refused(const silr_votes *v, const char *says)
{
    silr_agreement a;
    silr_error err = {0};
    double out[8];
    int label[8];

    assert_int_equal(silr_agreement_make(&a, v, &err), SILR_EINPUT);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_true(!a.pair && !a.spoke);
    assert_int_equal(silr_majority(label, NULL, v, NULL, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, says));
    assert_int_equal(silr_disagreement(out, v, NULL, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, says));
}

static void bad_input_is_named(void **state)
{
    const char *const says[2] = {"00110", "01010"};
    silr_votes v;
    ballots b;
    (void)state;

    write_ballots(&b, 2, 2, says);
    v = b.v;
    v.M = 0;
    refused(&v, "0 annotators");
    v.M = SILR_AGREE_ANNOTATORS + 1;
    refused(&v, "257 annotators");
    v = b.v;
    v.K = 1;
    refused(&v, "1 classes");
    v.K = SILR_AGREE_CLASSES + 1;
    refused(&v, "65 classes");
    v = b.v;
    v.n = UINT32_MAX;
    refused(&v, "texts");
    b.column[1][3] = 2;
    refused(&b.v, "annotator 2, text 4: label 2");
    b.column[1][3] = -1;
    refused(&b.v, "label -1");
    close_ballots(&b);
}

static void survives_failing_memory(void **state)
{
    enum { N = 1200, M = 11 };
    silr_agreement a;
    silr_error err;
    uint64_t needed;
    ballots b;
    (void)state;

    open_ballots(&b, N, M, 2);
    for (int i = 0; i < N; i++)
        for (int m = 0; m < M; m++)
            b.column[m][i] = i >> m & 1;
    silr_mem_count();
    a = made(&b.v);
    needed = silr_mem_count();
    silr_agreement_clear(&a);
    assert_true(needed > 8);
    for (uint64_t n = 1; n <= needed; n++) {
        silr_mem_fail_at(n, false);
        assert_int_equal(silr_agreement_make(&a, &b.v, &err), SILR_ENOMEM);
        silr_mem_fail_at(0, false);
        assert_true(!a.pair && !a.spoke && !a.coverage);
    }
    close_ballots(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cohen),
        cmocka_unit_test(krippendorff),
        cmocka_unit_test(fleiss),
        cmocka_unit_test(counts_by_hand),
        cmocka_unit_test(nothing_to_say),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(many_patterns),
        cmocka_unit_test(majority_by_hand),
        cmocka_unit_test(ties_are_broken),
        cmocka_unit_test(disagreement_by_hand),
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
