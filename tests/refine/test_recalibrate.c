/* test_recalibrate.c - the line from log-odds to probability: it is the maximum of what it says it
 * maximises, it finds the line that made the labels, it moves with the scale of the log-odds, and
 * it says so where it cannot be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "refine/recalibrate.h"
#include <math.h>
#include <string.h>

static void near(double a, double b, double tolerance, const char *what)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g within %g", what, a, b, tolerance);
}

enum { MANY = 8000 };
static double o[MANY], weight[MANY];
static int truth[MANY], said[MANY];

/* Log-odds with the zero in the wrong place: y of o by sigmoid(a o + b). */
static void simulate(size_t n, double a, double b, uint64_t seed)
{
    silr_rng g;
    silr_rng_init(&g, seed, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < n; i++) {
        o[i] = -0.8 + 0.7 * silr_rng_normal(&g);
        truth[i] = silr_rng_double(&g) < silr_sigmoid(a * o[i] + b) ? 0 : 1;
        said[i] = o[i] > 0 ? 0 : 1;
        weight[i] = 1;
    }
}

static silr_line fitted(size_t n, const double *w)
{
    silr_line l;
    double middle, spread;
    const char *why;

    assert_int_equal(silr_odds_spread(&middle, &spread, n, o, NULL), SILR_OK);
    if ((why = silr_recalibrate(&l, middle, spread, n, o, truth, w)) != NULL)
        fail_msg("%s", why);
    return l;
}

/* --- it is what it says ------------------------------------------------------------------------ */

/* The log posterior as method.md writes it, with a0 = 2 / sd(o). */
static double log_post(const silr_line *l, size_t n, const double *w, double spread)
{
    double a0 = 2 / spread, f = -(l->a - a0) * (l->a - a0) / (2 * (a0 / 2) * (a0 / 2));
    for (size_t i = 0; i < n; i++) {
        double p = 1 / (1 + exp(-(l->a * o[i] + l->b)));
        f += w[i] * log(truth[i] == 0 ? p : 1 - p);
    }
    return f;
}

static void it_is_the_maximum(void **state)
{
    const size_t sizes[3] = {8, 50, 600};
    (void)state;

    for (int k = 0; k < 3; k++) {
        const size_t n = sizes[k];
        double middle, spread, top, h = 1e-4;
        silr_line l;
        simulate(n, 2.5, 2, 5);
        for (size_t i = 0; i < n; i++)
            weight[i] = said[i] == 0 ? 0.3 : 1.7;
        l = fitted(n, weight);
        assert_int_equal(silr_odds_spread(&middle, &spread, n, o, NULL), SILR_OK);
        top = log_post(&l, n, weight, spread);
        for (int x = -1; x <= 1; x++)
            for (int y = -1; y <= 1; y++) {
                silr_line m = {l.a + x * h, l.b + y * h, 0};
                assert_true(log_post(&m, n, weight, spread) <= top + 1e-12);
            }
    }
}

/* sd of a o + b at the cut, against the posterior summed over a grid. */
static void it_knows_how_sure_the_cut_is(void **state)
{
    enum { N = 200, G = 161 };
    double middle, spread, top, total = 0, mean = 0, square = 0, x;
    silr_line l;
    (void)state;

    simulate(N, 2.5, 2, 6);
    l = fitted(N, NULL);
    assert_int_equal(silr_odds_spread(&middle, &spread, N, o, NULL), SILR_OK);
    top = log_post(&l, N, weight, spread);
    x = -l.b / l.a;
    for (int i = 0; i < G; i++)
        for (int j = 0; j < G; j++) {
            double a = l.a + 0.03 * (i - G / 2), at = 0.02 * (j - G / 2); /* a x + b */
            silr_line m = {a, at - a * x, 0};
            double p = exp(log_post(&m, N, weight, spread) - top);
            total += p;
            mean += p * at;
            square += p * at * at;
        }
    mean /= total;
    near(l.wide, sqrt(square / total - mean * mean), 0.02 * l.wide, "sd at the cut");
}

static void it_finds_the_line(void **state)
{
    silr_line l;
    (void)state;

    simulate(MANY, 2.5, 2, 1);
    l = fitted(MANY, NULL);
    near(l.a, 2.5, 0.15, "a");
    near(l.b, 2, 0.15, "b");
    assert_int_equal(silr_line_side(&l, -0.7), 0); /* the zero belongs at -0.8 */
    assert_int_equal(silr_line_side(&l, -0.9), 1);
}

/* Few labels: the slope leans to 2 / sd(o), 2.86 here; many: it goes where they say. */
static void the_prior_gives_way(void **state)
{
    enum { DRAWS = 60 };
    double few = 0;
    (void)state;

    for (uint64_t k = 0; k < DRAWS; k++) {
        simulate(20, 6, 5, 100 + k);
        few += fitted(20, NULL).a / DRAWS;
    }
    if (!(few > 2.9 && few < 5))
        fail_msg("mean slope of twenty labels: %.2f", few);
    simulate(MANY, 6, 5, 2);
    near(fitted(MANY, NULL).a, 6, 0.4, "slope of many");
}

static void a_weight_is_so_many_texts(void **state)
{
    enum { N = 40 };
    silr_line l, m;
    double middle, spread;
    (void)state;

    simulate(N, 2.5, 2, 3);
    assert_int_equal(silr_odds_spread(&middle, &spread, N, o, NULL), SILR_OK);
    for (size_t i = 0; i < N; i++)
        weight[i] = i % 4 == 0 ? 3 : 1;
    assert_null(silr_recalibrate(&l, middle, spread, N, o, truth, weight));
    for (size_t i = 0, n = N; i < N; i += 4)
        for (int copy = 0; copy < 2; copy++, n++) {
            o[n] = o[i];
            truth[n] = truth[i];
        }
    assert_null(silr_recalibrate(&m, middle, spread, N + N / 2, o, truth, NULL));
    near(l.a, m.a, 1e-9, "a");
    near(l.b, m.b, 1e-9, "b");
}

/* Another scale and another zero are another way to write the same line. */
static void scale_and_zero_do_not_matter(void **state)
{
    enum { N = 50 };
    silr_line l, m;
    (void)state;

    simulate(N, 2.5, 2, 4);
    l = fitted(N, NULL);
    for (size_t i = 0; i < N; i++)
        o[i] = 10 * o[i] + 300;
    m = fitted(N, NULL);
    near(m.a, l.a / 10, 1e-9, "a");
    near(m.b, l.b - 30 * l.a, 1e-6, "b");
    near(m.wide, l.wide, 1e-6, "sd at the cut");
}

/* Where all log-odds are of one size they say no more than labels: the sides stay what they were,
 * and the line gives back the purity of each. */
static void equal_sizes_are_labels(void **state)
{
    double right[2] = {0}, count[2] = {0};
    silr_line l;
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 9, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < MANY; i++) {
        said[i] = silr_rng_double(&g) < 0.3 ? 0 : 1;
        o[i] = said[i] == 0 ? 4.5 : -4.5;
        truth[i] = silr_rng_double(&g) < (said[i] == 0 ? 0.9 : 0.25) ? 0 : 1;
        right[said[i]] += truth[i] == 0;
        count[said[i]]++;
    }
    l = fitted(MANY, NULL);
    for (int j = 0; j < 2; j++) {
        double at = j == 0 ? 4.5 : -4.5;
        assert_int_equal(silr_line_side(&l, at), j);
        near(silr_sigmoid(silr_line_at(&l, at)), right[j] / count[j], 1e-3, "theta");
    }
}

/* --- where it is hard -------------------------------------------------------------------------- */

static void separable_labels_stay_finite(void **state)
{
    silr_line l;
    (void)state;

    for (int size = 4; size <= 400; size *= 10) {
        for (int i = 0; i < size; i++) {
            o[i] = i < size / 2 ? 5 + 0.01 * i : -5 - 0.01 * i;
            truth[i] = i < size / 2 ? 0 : 1;
        }
        l = fitted((size_t)size, NULL);
        assert_true(isfinite(l.a) && isfinite(l.b) && isfinite(l.wide));
        for (int i = 0; i < size; i++)
            assert_int_equal(silr_line_side(&l, o[i]), truth[i]);
        assert_true(silr_line_at(&l, 5) < 8); /* no certainty out of so few texts */
    }
    for (int i = 0; i < 40; i++)
        truth[i] = i < 20 ? 0 : 1;
    o[0] = 1e6; /* far beyond all others */
    l = fitted(40, NULL);
    assert_true(isfinite(l.a) && isfinite(l.b));
}

static void it_says_why_not(void **state)
{
    silr_line l;
    (void)state;

    simulate(50, -2.5, -2, 7);
    assert_non_null(strstr(silr_recalibrate(&l, -0.8, 0.7, 50, o, truth, NULL), "wrong way"));
    for (size_t i = 0; i < 50; i++)
        truth[i] = i == 0;
    assert_non_null(strstr(silr_recalibrate(&l, -0.8, 0.7, 50, o, truth, NULL), "too few"));
    assert_non_null(strstr(silr_recalibrate(&l, -0.8, 0.7, 0, o, truth, NULL), "too few"));
    assert_non_null(strstr(silr_recalibrate(&l, 3, 0, 50, o, truth, NULL), "all the same"));
}

static void odd_log_odds_are_repaired(void **state)
{
    enum { N = 14 };
    double v[N] = {1, 2, -3, NAN, NAN, NAN, INFINITY, -INFINITY, -9999, 2, -1, 1, 3, 1};
    const int label[N] = {0, 0, 1, 0, 1, SILR_NO_LABEL, 0, 1, 1, SILR_NO_LABEL, 1, 0, 0, 0};
    double big[4] = {500, -400, 450, 1e30}, one[2] = {7, NAN};
    const int plain[4] = {0, 1, 0, 0}, two[2] = {0, 1};
    double middle, spread;
    (void)state;

    /* the last two are not seen: they count for no mean */
    assert_int_equal(silr_odds_repair(v, N, N - 2, label, NULL), SILR_OK);
    near(v[6], 30, 1e-12, "infinite: clipped");
    near(v[7], -30, 1e-12, "minus infinite: clipped");
    near(v[8], -30, 1e-12, "a server's word for nothing: clipped");
    near(v[3], (1 + 2 + 30 + 1) / 4.0, 1e-12, "none of its own: the mean of its label");
    near(v[4], (-3 - 30 - 30 - 1) / 4.0, 1e-12, "none of its own: the mean of its label");
    assert_true(isnan(v[5]) && isnan(v[9]));
    near(v[12], 3, 1e-12, "not seen, and kept");
    /* large numbers are a large scale, not a mistake, while most are large */
    assert_int_equal(silr_odds_repair(big, 4, 4, plain, NULL), SILR_OK);
    near(big[0], 500, 1e-12, "large");
    near(big[3], 4750, 1e-9, "ten times the median size");
    assert_int_equal(silr_odds_repair(one, 2, 2, two, NULL), SILR_OK);
    near(one[1], -7, 1e-12, "a label that never had any: the other's, turned");
    assert_int_equal(silr_odds_spread(&middle, &spread, N, v, NULL), SILR_OK);
    assert_true(isfinite(middle) && isfinite(spread) && spread > 0);
}

/* --- from stated numbers ----------------------------------------------------------------------- */

static void stated_numbers_are_met(void **state)
{
    const double pi = 0.5;
    double sum[2] = {0}, count[2] = {0}, D, over = 0;
    silr_line l;
    const char *why;
    (void)state;

    simulate(MANY, 2.5, 2, 8);
    for (size_t i = 0; i < MANY; i++) {
        sum[said[i]] += truth[i] == 0;
        count[said[i]]++;
    }
    D = sum[0] / count[0] - sum[1] / count[1];
    assert_int_equal(silr_recalibrate_stated(&l, &why, MANY, o, said, D, pi, NULL), SILR_OK);
    assert_null(why);
    sum[0] = sum[1] = 0;
    for (size_t i = 0; i < MANY; i++) {
        sum[said[i]] += silr_sigmoid(silr_line_at(&l, o[i]));
        over += silr_line_side(&l, o[i]) == 0;
    }
    near(sum[0] / count[0] - sum[1] / count[1], D, 1e-6, "D of the annotator's sets");
    near(over / MANY, pi, 2.0 / MANY, "share over the cut");
    near(l.a, 2.5, 0.5, "a, without a label");
    for (size_t i = 0; i < 10; i++)
        o[i] = 2;
    assert_int_equal(silr_recalibrate_stated(&l, &why, 10, o, said, D, pi, NULL), SILR_OK);
    assert_non_null(strstr(why, "all the same"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_maximum),
        cmocka_unit_test(it_knows_how_sure_the_cut_is),
        cmocka_unit_test(it_finds_the_line),
        cmocka_unit_test(the_prior_gives_way),
        cmocka_unit_test(a_weight_is_so_many_texts),
        cmocka_unit_test(scale_and_zero_do_not_matter),
        cmocka_unit_test(equal_sizes_are_labels),
        cmocka_unit_test(separable_labels_stay_finite),
        cmocka_unit_test(it_says_why_not),
        cmocka_unit_test(odd_log_odds_are_repaired),
        cmocka_unit_test(stated_numbers_are_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
