/* test_dawid_skene.c - EM against plain loops, against simulated truth, and on the edges. */
#include "help.h"

static const double pi3[3] = {.5, .3, .2};
/* Good, fair, biased to class 0, poor. */
static const double conf3[4 * 9] = {.9, .05, .05, .05, .9, .05, .05, .05, .9, .7, .2, .1,
                                    .1, .7,  .2,  .2,  .1, .7,  .9,  .1,  0,  .4, .5, .1,
                                    .4, .1,  .5,  .5,  .3, .2,  .3,  .4,  .3, .2, .3, .5};

/* --- the textbook in plain loops, a text at a time ----------------------------------------------
 */

enum { PN = 300, PM = 4, PK = 3 };
typedef struct {
    double T[PN][PK], pi[PK], conf[PM][PK][PK], log_likelihood;
} plain;

static bool counts_in(const silr_votes *v, const int *known, size_t i)
{
    bool spoke = known[i] != NONE;
    for (int m = 0; m < PM; m++)
        spoke = spoke || v->label[m][i] != NONE;
    return spoke;
}

static void plain_start(plain *p, const silr_votes *v, const int *known)
{
    for (size_t i = 0; i < PN; i++)
        for (int k = 0; k < PK; k++) {
            double votes = 0, mine = 0;
            for (int m = 0; m < PM; m++) {
                votes += v->label[m][i] != NONE;
                mine += v->label[m][i] == k;
            }
            p->T[i][k] = known[i] != NONE ? known[i] == k : votes > 0 ? mine / votes : 0;
        }
}

static void plain_m_step(plain *p, const silr_votes *v, const int *known, const double *weight,
                         double a)
{
    double texts = 0;

    for (size_t i = 0; i < PN; i++)
        texts += counts_in(v, known, i);
    for (int k = 0; k < PK; k++) {
        p->pi[k] = 0;
        for (size_t i = 0; i < PN; i++)
            p->pi[k] += counts_in(v, known, i) ? p->T[i][k] / texts : 0;
        for (int m = 0; m < PM; m++) {
            double all = PK * a;
            for (int j = 0; j < PK; j++) {
                p->conf[m][k][j] = a;
                for (size_t i = 0; i < PN; i++)
                    if (v->label[m][i] == j)
                        p->conf[m][k][j] += (known[i] == NONE ? 1 : weight[i]) * p->T[i][k];
                all += p->conf[m][k][j] - a;
            }
            for (int j = 0; j < PK; j++)
                p->conf[m][k][j] /= all;
        }
    }
}

static void plain_e_step(plain *p, const silr_votes *v, const int *known)
{
    p->log_likelihood = 0;
    for (size_t i = 0; i < PN; i++) {
        double joint[PK], all = 0;
        for (int k = 0; k < PK; k++) {
            joint[k] = p->pi[k];
            for (int m = 0; m < PM; m++)
                joint[k] *= v->label[m][i] == NONE ? 1 : p->conf[m][k][v->label[m][i]];
            all += joint[k];
        }
        p->log_likelihood += log(known[i] != NONE ? joint[known[i]] : all);
        for (int k = 0; k < PK; k++)
            p->T[i][k] = known[i] != NONE ? k == known[i] : joint[k] / all;
    }
}

/* Grouped by pattern or text by text, in logarithms or not: the same numbers, with gaps and with
 * known truths, after each of the first rounds. */
static void equals_plain_loops(void **state)
{
    static const int rounds[4] = {1, 2, 3, 12};
    static const double smoothing[2] = {1, 0.25};
    static plain p;
    int truth[PN], known[PN];
    double weight[PN];
    ballots b;
    (void)state;

    open_ballots(&b, PN, PM, PK);
    draw_ballots(&b, truth, pi3, conf3, 0.3, 1);
    for (int i = 0; i < PN; i++)
        known[i] = i % 10 == 0 ? truth[i] : NONE;
    for (int t = 0; t < 8; t++) {
        silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
        silr_dawid_skene d;
        opts.known = known;
        opts.max_iterations = rounds[t / 2];
        opts.smoothing = smoothing[t % 2];
        opts.known_weight = t < 2 ? NULL : weight;
        for (int i = 0; i < PN; i++)
            weight[i] = t < 2 ? 1 : 0.5 * (i % 7);
        d = fitted(&b.v, &opts);
        assert_int_equal(d.iterations, rounds[t / 2]);
        assert_true(!d.converged && d.patterns < PN);
        plain_start(&p, &b.v, known);
        for (int r = 0; r < d.iterations; r++) {
            plain_m_step(&p, &b.v, known, weight, opts.smoothing);
            plain_e_step(&p, &b.v, known);
        }
        near(d.log_likelihood, p.log_likelihood, 1e-9, "log-likelihood");
        for (int k = 0; k < PK; k++)
            near(d.pi[k], p.pi[k], 1e-12, "pi");
        for (int i = 0; i < PM * PK * PK; i++)
            near(d.conf[i], (&p.conf[0][0][0])[i], 1e-12, "conf");
        for (size_t i = 0; i < PN; i++)
            for (int k = 0; k < PK; k++)
                near(silr_dawid_skene_posterior(&d, i)[k], p.T[i][k], 1e-12, "posterior");
        silr_dawid_skene_clear(&d);
    }
    close_ballots(&b);
}

/* EM climbs: log-likelihood + a sum log conf never falls, and ends where nothing moves. */
static void climbs(void **state)
{
    enum { N = 400 };
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    int truth[N];
    double before = -INFINITY;
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N, 4, 3);
    draw_ballots(&b, truth, pi3, conf3, 0.1, 2);
    for (int rounds = 1; rounds <= 40; rounds++) {
        double now;
        opts.max_iterations = rounds;
        opts.tolerance = 1e-300;
        d = fitted(&b.v, &opts);
        now = d.log_likelihood;
        for (int i = 0; i < 4 * 9; i++)
            now += opts.smoothing * log(d.conf[i]);
        assert_true(now >= before - 1e-9);
        before = now;
        silr_dawid_skene_clear(&d);
    }
    opts.max_iterations = 5000;
    opts.tolerance = 1e-12;
    d = fitted(&b.v, &opts);
    assert_true(d.converged && d.iterations > 40);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Where annotators know the truth alone, it finds how good each is, and beats the majority, which
 * lets the poor outvote the good. */
static void recovers_what_was_simulated(void **state)
{
    enum { N = 20000, M = 5 };
    double conf[M * 9], ds, majority;
    static int truth[N], label[N];
    silr_dawid_skene d;
    ballots b;
    (void)state;

    memcpy(conf, conf3, sizeof conf3);
    memcpy(conf + 36, conf3 + 27, 9 * sizeof *conf); /* another poor one */
    open_ballots(&b, N, M, 3);
    draw_ballots(&b, truth, pi3, conf, 0.1, 3);
    d = fitted(&b.v, NULL);
    assert_true(d.converged);
    assert_int_equal(d.doubts, 0);
    for (int k = 0; k < 3; k++)
        near(d.pi[k], pi3[k], 0.015, "pi");
    for (int i = 0; i < M * 9; i++)
        near(d.conf[i], conf[i], 0.03, "conf");
    for (int m = 0; m < M; m++) {
        double right = 0, n = 0;
        for (int i = 0; i < N; i++) {
            n += b.column[m][i] != NONE;
            right += b.column[m][i] == truth[i];
        }
        near(d.accuracy[m], right / n, 0.015, "accuracy");
    }
    assert_int_equal(silr_majority(label, NULL, &b.v, NULL, NULL), SILR_OK);
    majority = share_right(label, truth, N, 3);
    ds = share_right(d.label, truth, N, 3);
    if (!(ds > majority + 0.05))
        fail_msg("Dawid-Skene %.3f, majority %.3f", ds, majority);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* Other names for the annotators, the classes and the texts: the same fit under those names. */
static void names_do_not_matter(void **state)
{
    enum { N = 600, M = 4, K = 3 };
    int truth[N];
    ballots b, c;
    silr_dawid_skene x, y;
    (void)state;

    open_ballots(&b, N, M, K);
    open_ballots(&c, N, M, K);
    draw_ballots(&b, truth, pi3, conf3, 0.2, 4);
    for (int m = 0; m < M; m++)
        for (int i = 0; i < N; i++) {
            int was = b.column[m][i];
            c.column[(m + 1) % M][N - 1 - i] = was == NONE ? NONE : (was + 1) % K;
        }
    x = fitted(&b.v, NULL);
    y = fitted(&c.v, NULL);
    assert_int_equal(x.iterations, y.iterations);
    assert_int_equal(x.doubts, y.doubts);
    for (int i = 0; i < N; i++) {
        int was = x.label[i];
        assert_int_equal(y.label[N - 1 - i], was == NONE ? NONE : (was + 1) % K);
        for (int k = 0; k < K; k++)
            near(silr_dawid_skene_posterior(&y, (size_t)(N - 1 - i))[(k + 1) % K],
                 silr_dawid_skene_posterior(&x, (size_t)i)[k], 1e-9, "posterior");
    }
    for (int m = 0; m < M; m++) {
        near(y.accuracy[(m + 1) % M], x.accuracy[m], 1e-9, "accuracy");
        for (int k = 0; k < K; k++)
            for (int j = 0; j < K; j++)
                near(y.conf[((m + 1) % M * K + (k + 1) % K) * K + (j + 1) % K],
                     x.conf[(m * K + k) * K + j], 1e-9, "conf");
    }
    silr_dawid_skene_clear(&x);
    silr_dawid_skene_clear(&y);
    close_ballots(&b);
    close_ballots(&c);
}

/* Every text twice and the smoothing doubled: nothing new was learnt. */
static void a_text_twice_counts_twice(void **state)
{
    enum { N = 300 };
    int truth[N];
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene x, y;
    ballots b, c;
    (void)state;

    open_ballots(&b, N, 4, 3);
    open_ballots(&c, 2 * N, 4, 3);
    draw_ballots(&b, truth, pi3, conf3, 0.2, 5);
    for (int m = 0; m < 4; m++)
        for (int i = 0; i < 2 * N; i++)
            c.column[m][i] = b.column[m][i % N];
    x = fitted(&b.v, &opts);
    opts.smoothing *= 2;
    y = fitted(&c.v, &opts);
    assert_true(x.patterns == y.patterns && x.iterations == y.iterations);
    near(y.log_likelihood, 2 * x.log_likelihood, 1e-8, "log-likelihood");
    for (int i = 0; i < 4 * 9; i++)
        near(y.conf[i], x.conf[i], 1e-12, "conf");
    silr_dawid_skene_clear(&x);
    silr_dawid_skene_clear(&y);
    close_ballots(&b);
    close_ballots(&c);
}

/* --- gaps ---------------------------------------------------------------------------------------
 */

/* Who says nothing changes nothing, annotator or text; the fit says that an annotator was silent.
 */
static void silence_changes_nothing(void **state)
{
    enum { N = 400, MORE = 50, K = 3 };
    int truth[N];
    silr_dawid_skene x, y;
    ballots b, c;
    (void)state;

    open_ballots(&b, N, 4, K);
    open_ballots(&c, N + MORE, 5, K);
    draw_ballots(&b, truth, pi3, conf3, 0.2, 6);
    for (int m = 0; m < 4; m++)
        memcpy(c.column[m], b.column[m], N * sizeof(int));
    x = fitted(&b.v, NULL);
    y = fitted(&c.v, NULL);
    assert_false(x.doubts & SILR_DOUBT_SILENT);
    assert_int_equal(y.doubts, x.doubts | SILR_DOUBT_SILENT);
    near(y.log_likelihood, x.log_likelihood, 1e-9, "log-likelihood");
    for (int i = 0; i < 4 * K * K; i++)
        near(y.conf[i], x.conf[i], 1e-12, "conf");
    for (int i = 0; i < K * K; i++)
        near(y.conf[4 * K * K + i], 1.0 / K, 1e-15, "conf of the silent");
    assert_true(isnan(y.accuracy[4]) && y.excess[4] == 0 && y.alpha == x.alpha);
    assert_memory_equal(x.label, y.label, N * sizeof(int));
    for (size_t i = N; i < N + MORE; i++) {
        assert_int_equal(y.label[i], NONE);
        for (int k = 0; k < K; k++)
            near(silr_dawid_skene_posterior(&y, i)[k], x.pi[k], 1e-12, "pi where nobody spoke");
    }
    silr_dawid_skene_clear(&x);
    silr_dawid_skene_clear(&y);
    close_ballots(&b);
    close_ballots(&c);
}

/* --- known truths -------------------------------------------------------------------------------
 */

/* One annotator cannot be judged by himself; fifty known truths do it. */
static void known_truths_judge_one_annotator(void **state)
{
    enum { N = 4000, M = 1 };
    static const double pi[2] = {.6, .4}, conf[4] = {.9, .1, .4, .6};
    static int truth[N], known[N];
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene d;
    ballots b;
    (void)state;

    open_ballots(&b, N, M, 2);
    draw_ballots(&b, truth, pi, conf, 0, 7);
    for (int i = 0; i < N; i++)
        known[i] = i < 50 ? truth[i] : NONE;
    opts.known = known;
    d = fitted(&b.v, &opts);
    assert_false(d.doubts & SILR_DOUBT_UNIDENTIFIED);
    assert_int_equal(d.three, 50);
    near(d.conf[0], .9, .1, "P(0 | 0)");
    near(d.conf[3], .6, .2, "P(1 | 1)");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(d.label[i], truth[i]);
        assert_true(silr_dawid_skene_posterior(&d, (size_t)i)[truth[i]] == 1);
    }
    silr_dawid_skene_clear(&d);
    for (int i = 0; i < N; i++)
        if (known[i] == 1)
            known[i] = NONE; /* one class only: nothing tells how the other is labelled */
    d = fitted(&b.v, &opts);
    assert_true(d.doubts & SILR_DOUBT_UNIDENTIFIED);
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

/* --- the edges ----------------------------------------------------------------------------------
 */

/* 256 annotators: products of their probabilities would be 0. */
static void many_voices_do_not_underflow(void **state)
{
    enum { N = 400, M = SILR_AGREE_ANNOTATORS, K = 8 };
    static double pi[K], conf[M * K * K];
    int truth[N];
    silr_dawid_skene d;
    ballots b;
    (void)state;

    for (int k = 0; k < K; k++)
        pi[k] = 1.0 / K;
    for (int i = 0; i < M * K * K; i++)
        conf[i] = i / K % K == i % K ? 0.3 : 0.1;
    open_ballots(&b, N, M, K);
    draw_ballots(&b, truth, pi, conf, 0, 12);
    d = fitted(&b.v, NULL);
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (int k = 0; k < K; k++)
            sum += silr_dawid_skene_posterior(&d, i)[k];
        near(sum, 1, 1e-12, "sum of the posterior");
    }
    assert_true(share_right(d.label, truth, N, K) > 0.99);
    assert_true(d.log_likelihood < -745 * 10.0); /* exp of it is 0 */
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

static void refused(const silr_votes *v, const silr_dawid_skene_opts *opts, const char *says)
{
    silr_dawid_skene d;
    silr_error err = {0};

    assert_int_equal(silr_dawid_skene_fit(&d, v, opts, &err), SILR_EINPUT);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_true(!d.label && !d.posterior && !d.pattern);
}

static void bad_input_is_named(void **state)
{
    const char *const says[3] = {"00110...", "01010...", "11010..."};
    int known[8] = {NONE, NONE, 2, NONE, NONE, NONE, NONE, NONE};
    const double weight[8] = {-2, -2, -1, -2, -2, -2, -2, -2};
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    ballots b;
    (void)state;

    write_ballots(&b, 3, 2, says);
    opts.known = known;
    refused(&b.v, &opts, "known truth of text 3, 2");
    known[2] = 1;
    opts.known_weight = weight;
    refused(&b.v, &opts, "known truth of text 3 weighs -1");
    opts = SILR_DAWID_SKENE_OPTS;
    opts.smoothing = -1;
    refused(&b.v, &opts, "smoothing -1");
    opts.smoothing = INFINITY;
    refused(&b.v, &opts, "smoothing inf");
    opts = SILR_DAWID_SKENE_OPTS;
    opts.tolerance = 0;
    refused(&b.v, &opts, "tolerance 0");
    opts = SILR_DAWID_SKENE_OPTS;
    opts.max_iterations = 0;
    refused(&b.v, &opts, "0 iterations");
    b.column[2][4] = 7;
    refused(&b.v, NULL, "annotator 3, text 5: label 7");
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 8; i++)
            b.column[m][i] = NONE;
    refused(&b.v, NULL, "no annotator labelled any of the 8 texts");
    b.v.n = 0;
    refused(&b.v, NULL, "any of the 0 texts");
    close_ballots(&b);
}

/* Without smoothing: maximum likelihood, with zeros in conf and none in the way. */
static void no_smoothing(void **state)
{
    enum { N = 3000 };
    static int truth[N];
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene d;
    ballots b;
    (void)state;

    opts.smoothing = 0;
    open_ballots(&b, N, 4, 3);
    draw_ballots(&b, truth, pi3, conf3, 0.1, 13);
    d = fitted(&b.v, &opts);
    assert_true(isfinite(d.log_likelihood));
    near(d.conf[2 * 9 + 2], 0, 0.02, "what the third never says");
    for (int i = 0; i < 4 * 9; i += 3)
        near(d.conf[i] + d.conf[i + 1] + d.conf[i + 2], 1, 1e-12, "row");
    silr_dawid_skene_clear(&d);
    close_ballots(&b);
}

static void survives_failing_memory(void **state)
{
    enum { N = 300 };
    int truth[N];
    silr_dawid_skene d;
    silr_error err;
    uint64_t needed;
    ballots b;
    (void)state;

    open_ballots(&b, N, 4, 3);
    draw_ballots(&b, truth, pi3, conf3, 0.1, 14);
    silr_mem_count();
    d = fitted(&b.v, NULL);
    needed = silr_mem_count();
    silr_dawid_skene_clear(&d);
    assert_true(needed > 12);
    for (uint64_t n = 1; n <= needed; n++) {
        silr_mem_fail_at(n, false);
        assert_int_equal(silr_dawid_skene_fit(&d, &b.v, NULL, &err), SILR_ENOMEM);
        silr_mem_fail_at(0, false);
        assert_true(!d.label && !d.posterior && !d.pattern && !d.conf && !d.excess);
    }
    close_ballots(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_plain_loops),
        cmocka_unit_test(climbs),
        cmocka_unit_test(recovers_what_was_simulated),
        cmocka_unit_test(names_do_not_matter),
        cmocka_unit_test(a_text_twice_counts_twice),
        cmocka_unit_test(silence_changes_nothing),
        cmocka_unit_test(known_truths_judge_one_annotator),
        cmocka_unit_test(many_voices_do_not_underflow),
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(no_smoothing),
        cmocka_unit_test(survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
