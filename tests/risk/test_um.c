/* test_um.c - learning from m sets of known purity: the loss is -log P(set | x), and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "risk/risk.h"
#include <math.h>
#include <string.h>

static silr_risk r; /* large */

static void prepare(int m, const double *theta, const double *rho, double pi)
{
    assert_int_equal(silr_risk_init_sets(&r, m, theta, rho, pi, NULL), SILR_OK);
}

static double loss(double z, int j)
{
    double slope;
    return silr_risk_set_loss(&r, z, j, &slope);
}

/* Two sets, .8 and .3 of class 0, equally large, so pi = .55. By hand at z = 0, eta = 1/2:
 *     N_0 = .5 (.8 .45 + .2 .55) / 2 = .1175      N_1 = .5 (.3 .45 + .7 .55) / 2 = .13
 * and P(set 0) = .1175 / .2475 = 47/99. At z = 2, eta = .880797077977882:
 *     N_0 = .18 eta + .055 (1 - eta) = .165099634747235, over .2475 */
static void a_tiny_case_by_hand(void **state)
{
    const double theta[] = {0.8, 0.3}, rho[] = {50, 50};
    (void)state;

    prepare(2, theta, rho, 0.55);
    assert_true(fabs(loss(0, 0) - log(99.0 / 47)) < 1e-14);
    assert_true(fabs(loss(0, 1) - log(99.0 / 52)) < 1e-14);
    assert_true(fabs(loss(2, 0) - log(0.2475 / 0.165099634747235)) < 1e-12);
    assert_true(fabs(exp(-loss(2, 0)) + exp(-loss(2, 1)) - 1) < 1e-14);
}

/* Whatever the score, a text is in one of the sets; also where the stated pi does not fit theta. */
static void probabilities_sum_to_one(void **state)
{
    const double theta[] = {0.97, 0.6, 0.5, 0.04, 1, 0}, rho[] = {1, 2, 3, 1.5, 0.7, 0.2};
    (void)state;

    for (int p = 1; p < 10; p += 2) {
        prepare(6, theta, rho, p / 10.0);
        for (int at = -400; at <= 400; at += 7) {
            double sum = 0, z = at / 10.0;
            for (int j = 0; j < 6; j++) {
                assert_true(loss(z, j) >= 0);
                sum += exp(-loss(z, j));
            }
            assert_true(fabs(sum - 1) < 1e-12);
        }
    }
}

static void slopes_are_those_of_the_loss(void **state)
{
    const double theta[] = {0.9, 0.55, 0.2, 1, 0}, rho[] = {1, 2, 3, 0.5, 0.25}, h = 1e-5;
    (void)state;

    for (int p = 2; p < 9; p += 3) {
        prepare(5, theta, rho, p / 10.0);
        for (int j = 0; j < 5; j++)
            for (int at = -600; at <= 600; at += 37) {
                double slope, z = at / 100.0, numeric = (loss(z + h, j) - loss(z - h, j)) / (2 * h);
                silr_risk_set_loss(&r, z, j, &slope);
                if (fabs(slope - numeric) > 1e-8)
                    fail_msg("pi .%d, set %d, z %g: %.12g and %.12g", p, j, z, slope, numeric);
            }
    }
}

/* Sets whose texts are all of one class are labels, and the loss is the logistic one, plus what the
 * set's share among its class costs whatever the model says. */
static void pure_sets_are_labels(void **state)
{
    const double theta[] = {1, 0}, rho[] = {0.3, 0.7};
    (void)state;

    prepare(2, theta, rho, 0.3);
    for (int at = -200; at < 200; at += 13) {
        const double z = at / 10.0;
        assert_true(fabs(loss(z, 0) - silr_log1pexp(-z)) < 1e-12);
        assert_true(fabs(loss(z, 1) - silr_log1pexp(z)) < 1e-12);
    }
}

/* The point of it: with the sets mixed as theta says, the best model is the truth. Three kinds of text,
 * P(+ | kind) known; each is in set j with P(j | +) and P(j | -). The slope of the whole is 0 there. */
static void the_truth_is_the_best_model(void **state)
{
    const double theta[] = {0.85, 0.5, 0.3}, rho[] = {0.3, 0.3, 0.4}, kind[] = {0.05, 0.4, 0.97};
    double pi = 0.3 * 0.85 + 0.3 * 0.5 + 0.4 * 0.3;
    (void)state;

    prepare(3, theta, rho, pi);
    for (int k = 0; k < 3; k++) {
        double z = log(kind[k] / (1 - kind[k])), sum = 0, slope;
        for (int j = 0; j < 3; j++) {
            double share = kind[k] * rho[j] * theta[j] / pi +
                           (1 - kind[k]) * rho[j] * (1 - theta[j]) / (1 - pi);
            silr_risk_set_loss(&r, z, j, &slope);
            sum += share * slope;
        }
        assert_true(fabs(sum) < 1e-14);
    }
}

/* The three steps in floats, a batch in two parts, give what the doubles give. */
static void the_steps_agree_with_the_whole(void **state)
{
    enum { N = 150 };
    const double theta[] = {0.9, 0.4, 0.1, 1, 0}, rho[] = {3, 4, 3, 1, 1};
    double z[N], weight[N], grad[N], value;
    float scores[2 * N], w[N], d[2 * N];
    int set[N];
    silr_rng rng;
    static silr_risk_sums all, part;
    static silr_gated out;
    (void)state;

    prepare(5, theta, rho, 0.45);
    silr_rng_init(&rng, 1, SILR_RNG_TEST, 1, 0);
    for (int i = 0; i < N; i++) {
        scores[2 * i] = (float)(silr_rng_double(&rng) * 20 - 10);
        scores[2 * i + 1] = 7; /* another member's */
        set[i] = i % 7 == 6 ? SILR_NO_LABEL : i % 7 == 5 ? 5 : i % 7; /* 5: none of ours */
        w[i] = (float)(1 + i % 3);
        z[i] = (double)scores[2 * i];
        weight[i] = (double)w[i];
    }
    value = silr_risk_value(&r, N, z, set, weight, grad);
    silr_risk_sums_clear(&all);
    silr_risk_sums_clear(&part);
    silr_risk_add(&r, &all, 60, scores, 2, set, w);
    silr_risk_add(&r, &part, N - 60, scores + 120, 2, set + 60, w + 60);
    silr_risk_sums_merge(&all, &part);
    silr_risk_gate(&r, &all, NULL, &out);
    assert_true(fabs(out.value - value) < 1e-12);
    silr_risk_backward(&r, &out, N, scores, 2, set, w, d);
    for (int i = 0; i < N; i++)
        assert_true(fabs((double)d[2 * i] - grad[i]) < 1e-8);
}

/* Scores without bound: finite losses of finite slope, also in a pure set that has them wrong. */
static void wild_scores(void **state)
{
    const double theta[] = {0.9, 0.1, 1, 0}, rho[] = {1, 1, 1, 1};
    const float wild[] = {1e30f, -1e30f, 800, -800, 0, INFINITY, -INFINITY};
    static silr_risk_sums s;
    static silr_gated out;
    float d[7];
    (void)state;

    prepare(4, theta, rho, 0.5);
    for (int j = 0; j < 4; j++) {
        int set[7];
        for (int i = 0; i < 7; i++)
            set[i] = j;
        silr_risk_sums_clear(&s);
        silr_risk_add(&r, &s, 7, wild, 1, set, NULL);
        silr_risk_gate(&r, &s, NULL, &out);
        assert_true(isfinite(out.value));
        silr_risk_backward(&r, &out, 7, wild, 1, set, NULL, d);
        for (int i = 0; i < 7; i++)
            assert_true(isfinite(d[i]));
    }
}

static void what_cannot_be(void **state)
{
    const double theta[] = {0.9, 0.1}, rho[] = {1, 1};
    silr_error err;
    (void)state;

    assert_int_equal(silr_risk_init_sets(&r, 1, theta, rho, 0.5, &err), SILR_EINPUT);
    assert_int_equal(silr_risk_init_sets(&r, SILR_RISK_CLASSES + 1, theta, rho, 0.5, &err), SILR_EINPUT);
    assert_int_equal(silr_risk_init_sets(&r, 2, theta, rho, 0, &err), SILR_EDOMAIN);
    assert_int_equal(silr_risk_init_sets(&r, 2, theta, rho, 1, &err), SILR_EDOMAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_case_by_hand),          cmocka_unit_test(probabilities_sum_to_one),
        cmocka_unit_test(slopes_are_those_of_the_loss), cmocka_unit_test(pure_sets_are_labels),
        cmocka_unit_test(the_truth_is_the_best_model),  cmocka_unit_test(the_steps_agree_with_the_whole),
        cmocka_unit_test(wild_scores),                  cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
