/* test_priors.c - estimates against numbers worked out by hand, intervals against simulation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "priors/priors.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.17g, wanted %.17g within %g", what, got, want, tolerance);
}

static silr_rng stream(uint64_t index)
{
    silr_rng g;
    silr_rng_init(&g, 1, SILR_RNG_TEST, 0, index);
    return g;
}

/* --- theta ------------------------------------------------------------------------------------ */

/* Two classes by hand: 3 of 4 in set 0 and 1 of 2 in set 1 are of class 0; pool 30 to 10. */
static void laplace_by_hand(void **state)
{
    const int pseudo[7] = {0, 0, 0, 0, 1, 1, SILR_NO_LABEL}, truth[7] = {0, 0, 0, 1, 0, 1, 1};
    const double counts[2] = {30, 10};
    silr_priors p;
    (void)state;

    silr_priors_estimate(&p, 2, counts, 7, pseudo, truth, NULL);
    near(p.theta[0], 4.0 / 6, 1e-15, "theta_p");
    near(p.theta[2], 2.0 / 4, 1e-15, "theta_n");
    near(p.theta[3], 2.0 / 4, 1e-15, "1 - theta_n");
    near(p.n_eff[0], 4, 1e-15, "n_eff");
    near(p.hits[0], 3, 1e-15, "hits");
    near(p.rho[0], 0.75, 1e-15, "rho");
    near(p.pi[0], 0.75 * 4 / 6 + 0.25 * 0.5, 1e-15, "pi");
}

/* F11: weights that are equal inside a set change nothing, whatever they are; n_eff <= n; the
 * estimate stays inside (0, 1), also for an empty set. */
static void weights_and_bounds(void **state)
{
    enum { N = 40 };
    const double counts[2] = {700, 300};
    int pseudo[N], truth[N];
    double weight[N];
    silr_rng g = stream(11);
    silr_priors p, q;
    (void)state;

    for (int i = 0; i < N; i++) {
        pseudo[i] = i % 2;
        truth[i] = silr_rng_double(&g) < (pseudo[i] ? 0.3 : 0.8) ? 0 : 1;
        weight[i] = pseudo[i] ? 0.6 : 1.4;
    }
    silr_priors_estimate(&p, 2, counts, N, pseudo, truth, NULL);
    silr_priors_estimate(&q, 2, counts, N, pseudo, truth, weight);
    near(q.theta[0], p.theta[0], 1e-12, "theta_p");
    near(q.theta[2], p.theta[2], 1e-12, "theta_n");
    for (int i = 0; i < N; i++)
        weight[i] = 0.1 + silr_rng_double(&g);
    silr_priors_estimate(&q, 2, counts, N, pseudo, truth, weight);
    assert_true(q.n_eff[0] < N / 2 && q.n_eff[0] > N / 4);
    for (int i = 0; i < N; i++) {
        pseudo[i] = 0;
        truth[i] = 0;
    }
    silr_priors_estimate(&q, 2, counts, N, pseudo, truth, NULL);
    assert_true(q.theta[0] > 0.9 && q.theta[0] < 1);
    near(q.theta[2], 0.5, 1e-15, "empty set");
}

/* Three classes by hand. N = [[3,1,0],[0,2,0],[1,0,1]]: n = 8, trace 6, acc = 7/10. Classes seen,
 * plus one: 5, 4, 2. Row 2: prior (.3 * 5/9, .3 * 4/9, .7), six pseudo-counts. */
static void shrinks_to_the_shared_prior(void **state)
{
    const int pseudo[8] = {0, 0, 0, 0, 1, 1, 2, 2}, truth[8] = {0, 0, 0, 1, 1, 1, 0, 2};
    const double counts[3] = {50, 30, 20};
    silr_priors p;
    (void)state;

    silr_priors_estimate(&p, 3, counts, 8, pseudo, truth, NULL);
    near(p.theta[0], (3 + 6 * 0.7) / 10, 1e-12, "0 0");
    near(p.theta[1], (1 + 6 * 0.3 * 4 / 6) / 10, 1e-12, "0 1");
    near(p.theta[4], (2 + 6 * 0.7) / 8, 1e-12, "1 1");
    near(p.theta[6], (1 + 6 * 0.3 * 5 / 9) / 8, 1e-12, "2 0");
    near(p.theta[7], (0 + 6 * 0.3 * 4 / 9) / 8, 1e-12, "2 1");
    near(p.theta[8], (1 + 6 * 0.7) / 8, 1e-12, "2 2");
    for (int j = 0; j < 3; j++)
        near(p.theta[j * 3] + p.theta[j * 3 + 1] + p.theta[j * 3 + 2], 1, 1e-12, "row");
    near(p.pi[0] + p.pi[1] + p.pi[2], 1, 1e-12, "pi");
    silr_priors_posterior(&p, 1);
    for (int k = 0; k < 3; k++) {
        assert_true(p.theta_low[k] < p.theta[k * 4] && p.theta[k * 4] < p.theta_high[k]);
        assert_true(p.pi_low[k] < p.pi[k] && p.pi[k] < p.pi_high[k]);
    }
    assert_true(p.p_d_margin <= p.p_d_positive && p.p_d_positive > 0.9);
}

/* --- posterior and verdict ------------------------------------------------------------------- */

/* A two-class estimate with n labels a side, of which `a` and `b` are of class 0. */
static silr_priors two(int n, int a, int b)
{
    const double counts[2] = {500, 500};
    int pseudo[400], truth[400];
    silr_priors p;

    for (int i = 0; i < 2 * n; i++) {
        pseudo[i] = i < n ? 0 : 1;
        truth[i] = i < n ? i >= a : i - n >= b;
    }
    silr_priors_estimate(&p, 2, counts, (size_t)(2 * n), pseudo, truth, NULL);
    silr_priors_posterior(&p, 7);
    return p;
}

/* P(D > 0) against the normal approximation, good at this size; the same seed, the same. */
static void posterior_agrees_with_theory(void **state)
{
    silr_priors p = two(100, 58, 50), q = two(100, 58, 50);
    double t0 = p.theta[0], t1 = p.theta[2];
    double sd = sqrt(t0 * (1 - t0) / 103 + t1 * (1 - t1) / 103), z = (t0 - t1) / sd;
    (void)state;

    near(p.p_d_positive, 0.5 * erfc(-z / sqrt(2)), 0.012, "P(D > 0)");
    near(p.p_d_margin, 0.5 * erfc(-(t0 - t1 - 0.05) / sd / sqrt(2)), 0.012, "P(D > 0.05)");
    near(p.theta_low[0], silr_beta_quantile(59, 43, 0.025), 1e-9, "low");
    near(p.pi_high[0] - p.pi_low[0], 2 * 1.96 * sd / 2, 0.01, "width of pi");
    assert_memory_equal(&p, &q, sizeof p);
}

/* The curves are near the draws, also for many classes; exact where nothing is drawn. */
static void curves_agree_with_draws(void **state)
{
    static silr_priors p, q;
    silr_rng g = stream(21);
    (void)state;

    for (int K = 2; K <= 12; K += 5)
        for (int n = 4 * K; n <= 24 * K; n += 10 * K) {
            double counts[12], worst = 0;
            int pseudo[300], truth[300];
            for (int k = 0; k < K; k++)
                counts[k] = 100 + 50 * k;
            for (int i = 0; i < n; i++) {
                pseudo[i] = i % K;
                truth[i] = silr_rng_double(&g) < (K == 2 ? 0.15 : 0.02) ? i % K : (int)silr_rng_below(&g, (uint64_t)K);
            }
            silr_priors_estimate(&p, K, counts, (size_t)n, pseudo, truth, NULL);
            q = p;
            silr_priors_posterior(&p, 3);
            silr_priors_curves(&q);
            for (int k = 0; k < K; k++) {
                assert_true(p.theta_low[k] <= q.theta_low[k] && q.theta_low[k] <= p.theta_low[k]);
                worst = fmax(worst, fabs(p.pi_low[k] - q.pi_low[k]));
                worst = fmax(worst, fabs(p.pi_high[k] - q.pi_high[k]));
            }
            print_message("%d classes, %d labels: P(D > .05) %.3f drawn, %.3f by curves; pi to %.3f\n", K,
                          n, p.p_d_margin, q.p_d_margin, worst);
            near(q.p_d_margin, p.p_d_margin, 0.03, "P(D > 0.05)");
            near(q.p_d_positive, p.p_d_positive, 0.03, "P(D > 0)");
            assert_true(worst < 0.06);
        }
}

static void verdicts(void **state)
{
    static const struct {
        int n, a, b;
        silr_verdict ours, paper;
    } table[] = {
        {25, 22, 4, SILR_VERDICT_GO, SILR_VERDICT_GO},
        {25, 14, 11, SILR_VERDICT_WARN, SILR_VERDICT_REFUSE},
        {25, 12, 12, SILR_VERDICT_REFUSE, SILR_VERDICT_REFUSE},
        {25, 6, 18, SILR_VERDICT_REFUSE, SILR_VERDICT_SWAP},
        {10, 7, 4, SILR_VERDICT_WARN, SILR_VERDICT_REFUSE},
    };
    silr_buf advice = {0};
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        silr_priors p = two(table[i].n, table[i].a, table[i].b);
        silr_buf_reset(&advice);
        assert_int_equal(silr_priors_verdict(&p, SILR_RECIPE_SILR, &advice), table[i].ours);
        assert_int_equal(advice.len > 0, table[i].ours != SILR_VERDICT_GO);
        assert_int_equal(silr_priors_verdict(&p, SILR_RECIPE_PAPER, NULL), table[i].paper);
    }
    silr_buf_clear(&advice);
}

/* How many labels would settle D = 0.2: some dozens. */
static void advice_counts_labels(void **state)
{
    silr_priors p = two(25, 15, 10);
    silr_buf advice = {0};
    const char *at;
    (void)state;

    assert_int_equal(silr_priors_verdict(&p, SILR_RECIPE_SILR, &advice), SILR_VERDICT_WARN);
    at = strstr(advice.data, "about ");
    assert_non_null(at);
    assert_in_range(strtol(at + 6, NULL, 10), 20, 100);
    silr_buf_clear(&advice);
}

static void given_numbers(void **state)
{
    double theta[4] = {0.8, 0.3, 0, 0}, pi[1] = {0.5};
    const double counts[2] = {60, 40};
    silr_task task;
    silr_priors p;
    silr_error err;
    (void)state;

    memset(&task, 0, sizeof task);
    task.path = (char *)(uintptr_t)"task.yaml";
    task.n_classes = 2;
    task.labelled.theta = theta;
    task.labelled.n_theta = 2;
    assert_int_equal(silr_priors_given(&p, &task, counts, &err), SILR_OK);
    near(p.pi[0], 0.6 * 0.8 + 0.4 * 0.3, 1e-12, "consistent pi");
    assert_true(p.known && p.p_d_positive == 1 && p.p_d_margin == 1);
    task.labelled.pi = pi;
    task.labelled.n_pi = 1;
    assert_int_equal(silr_priors_given(&p, &task, counts, &err), SILR_OK);
    near(p.pi[1], 0.5, 1e-12, "stated pi");
    assert_int_equal(silr_priors_verdict(&p, SILR_RECIPE_PAPER, NULL), SILR_VERDICT_GO);
    theta[0] = 0.3; /* D = 0: known to be useless */
    assert_int_equal(silr_priors_given(&p, &task, counts, &err), SILR_OK);
    assert_int_equal(silr_priors_verdict(&p, SILR_RECIPE_SILR, NULL), SILR_VERDICT_REFUSE);
    theta[0] = 1.2;
    assert_int_equal(silr_priors_given(&p, &task, counts, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "labelled.theta"));
    task.labelled.n_theta = 3;
    assert_int_equal(silr_priors_given(&p, &task, counts, &err), SILR_EINPUT);
}

/* --- without labels -------------------------------------------------------------------------- */

/* F7. */
static void kappas_and_back(void **state)
{
    silr_rng g = stream(7);
    (void)state;

    for (int i = 0; i < 1000; i++) {
        double theta_p = 0.5 + 0.5 * silr_rng_double(&g), theta_n = 0.5 * silr_rng_double(&g);
        double k1, k2, p, n;
        silr_kappa_from_theta(theta_p, theta_n, &k1, &k2);
        silr_theta_from_kappa(k1, k2, &p, &n);
        near(p, theta_p, 1e-12, "theta_p");
        near(n, theta_n, 1e-12, "theta_n");
    }
}

/* Two well separated classes, flipped labels: the purities come back without a label. */
static void mixture_proportions(void **state)
{
    enum { N = 20000 };
    static double z[N];
    static int set[N];
    double theta_p, theta_n;
    silr_rng g = stream(5);
    silr_error err;
    (void)state;

    for (int i = 0; i < N; i++) {
        set[i] = i % 2;
        z[i] = silr_rng_normal(&g) + (silr_rng_double(&g) < (set[i] ? 0.25 : 0.8) ? 3 : -3);
    }
    assert_int_equal(silr_mpe(&theta_p, &theta_n, z, set, N, &err), SILR_OK);
    near(theta_p, 0.8, 0.05, "theta_p");
    near(theta_n, 0.25, 0.05, "theta_n");
    assert_int_equal(silr_mpe(&theta_p, &theta_n, z, set, 30, &err), SILR_EINPUT);
}

/* Confident learning by hand: t_0 = .7, t_1 = .55; the third text of set 0 counts as class 1, the
 * second one of set 0 passes no threshold. */
static void confident_by_hand(void **state)
{
    const double p[] = {1.0, 0.0, 0.8, 0.2, 0.6, 0.4, 0.4, 0.6, 0.9, 0.1, 0.0, 1.0};
    const int set[6] = {0, 0, 0, 0, 1, 1};
    double theta[4];
    (void)state;

    /* t_0 = (1 + .8 + .6 + .4) / 4 = .7; t_1 = (.1 + 1) / 2 = .55 */
    assert_int_equal(silr_confident_theta(theta, 2, p, set, 6, NULL), SILR_OK);
    near(theta[0], 2.0 / 3, 1e-12, "0 0"); /* 1, .8 pass; .6 neither; .6 of class 1 does */
    near(theta[1], 1.0 / 3, 1e-12, "0 1");
    near(theta[2], 0.5, 1e-12, "1 0");
    near(theta[3], 0.5, 1e-12, "1 1");
}

/* --- certificate ----------------------------------------------------------------------------- */

/* Share of simulated samples (25 answers a stratum) whose interval holds the truth. */
static double coverage(double p0, double p1, double share0, int runs, uint64_t index)
{
    const double share[2] = {share0, 1 - share0};
    double truth = share0 * p0 + (1 - share0) * p1;
    int stratum[50], right[50], inside = 0;
    silr_rng g = stream(index);

    for (int run = 0; run < runs; run++) {
        silr_interval ci;
        for (int i = 0; i < 50; i++) {
            stratum[i] = i % 2;
            right[i] = silr_rng_double(&g) < (i % 2 ? p1 : p0);
        }
        silr_certificate(&ci, 50, stratum, right, NULL, 2, share, (uint64_t)run);
        assert_true(ci.low <= ci.value && ci.value <= ci.high);
        inside += ci.low <= truth && truth <= ci.high;
    }
    return (double)inside / runs;
}

static void certificate_covers(void **state)
{
    static const double cases[6][3] = {{0.75, 0.75, 0.5}, {0.9, 0.8, 0.5},  {0.95, 0.9, 0.4},
                                       {0.6, 0.85, 0.3},  {0.97, 0.93, 0.6}, {0.88, 0.55, 0.8}};
    double mean = 0;
    (void)state;

    for (uint64_t i = 0; i < 6; i++) {
        double c = coverage(cases[i][0], cases[i][1], cases[i][2], 120, 100 + i);
        print_message("accuracy %.2f and %.2f, share %.1f: covered %.3f\n", cases[i][0],
                      cases[i][1], cases[i][2], c);
        assert_true(c >= 0.88 && c <= 1);
        mean += c / 6;
    }
    assert_true(mean >= 0.92 && mean <= 0.98);
}

static void certificate_by_hand(void **state)
{
    const int stratum[6] = {0, 0, 0, 0, 1, 1}, right[6] = {1, 1, 1, 0, 1, 0};
    const double share[3] = {0.6, 0.3, 0.1};
    silr_interval ci;
    (void)state;

    silr_certificate(&ci, 6, stratum, right, NULL, 2, share, 1);
    near(ci.value, (0.6 * 0.75 + 0.3 * 0.5) / 0.9, 1e-12, "raw stratified mean");
    silr_certificate(&ci, 6, stratum, right, NULL, 3, share, 1);
    near(ci.value, (0.6 * 0.75 + 0.3 * 0.5) / 0.9, 1e-12, "a stratum without a text");
    silr_certificate(&ci, 0, stratum, right, NULL, 3, share, 1);
    assert_true(ci.low < 0.3 && ci.high > 0.7);
}

/* Half of a stratum's answers come from a fifth of its texts, the hard ones: by their weights the
 * value is the pool's, and the interval holds it as often as it says. */
static void certificate_of_parts(void **state)
{
    enum { RUNS = 120 };
    const double share[2] = {0.5, 0.5}, right_of[2] = {0.95, 0.55}, weight_of[2] = {1.6, 0.4};
    const double truth = 0.8 * right_of[0] + 0.2 * right_of[1];
    int stratum[60], right[60], inside = 0;
    double weight[60], mean = 0, blind = 0, width = 0, plain = 0;
    silr_rng g = stream(77);
    (void)state;

    for (int run = 0; run < RUNS; run++) {
        silr_interval ci, un;
        for (int i = 0; i < 60; i++) {
            int part = i / 2 % 2;
            stratum[i] = i % 2;
            right[i] = silr_rng_double(&g) < right_of[part];
            weight[i] = weight_of[part];
        }
        silr_certificate(&ci, 60, stratum, right, weight, 2, share, (uint64_t)run);
        silr_certificate(&un, 60, stratum, right, NULL, 2, share, (uint64_t)run);
        mean += ci.value / RUNS;
        blind += un.value / RUNS;
        width += (ci.high - ci.low) / RUNS;
        plain += (un.high - un.low) / RUNS;
        inside += ci.low <= truth && truth <= ci.high;
    }
    print_message("parts: value %.3f (%.3f without weights), truth %.3f, covered %.3f\n", mean, blind,
                  truth, (double)inside / RUNS);
    near(mean, truth, 0.01, "value");
    assert_true(blind < truth - 0.08);
    assert_true(width < plain);
    assert_true((double)inside / RUNS >= 0.89);
}

static void proportions(void **state)
{
    silr_interval j = silr_proportion(45, 50, false), e = silr_proportion(45, 50, true);
    silr_interval all = silr_proportion(20, 20, false), none = silr_proportion(0, 0, true);
    (void)state;

    near(j.value, 0.9, 1e-15, "value");
    near(e.low, 0.78186, 1e-4, "Clopper-Pearson low"); /* published tables: 78.19 % */
    near(e.high, 0.96672, 1e-4, "Clopper-Pearson high"); /* 96.67 % */
    assert_true(j.low > e.low && j.high < e.high);
    assert_true(all.high == 1 && all.low > 0.8);
    assert_true(none.low == 0 && none.high == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laplace_by_hand),
        cmocka_unit_test(weights_and_bounds),
        cmocka_unit_test(shrinks_to_the_shared_prior),
        cmocka_unit_test(posterior_agrees_with_theory),
        cmocka_unit_test(curves_agree_with_draws),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(advice_counts_labels),
        cmocka_unit_test(given_numbers),
        cmocka_unit_test(kappas_and_back),
        cmocka_unit_test(mixture_proportions),
        cmocka_unit_test(confident_by_hand),
        cmocka_unit_test(certificate_covers),
        cmocka_unit_test(certificate_by_hand),
        cmocka_unit_test(certificate_of_parts),
        cmocka_unit_test(proportions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
