/* test_stack_odds.c - the stack with log-odds against the integral that it approximates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "refine/stack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 160 };

typedef struct {
    double u[TEXTS], l[TEXTS];
    int side[TEXTS], truth[TEXTS];
    uint32_t item[TEXTS];
} world;

/* Truth by sigmoid(c + v l + w u). */
static void simulate(world *s, double c, double v, double w, uint64_t seed)
{
    silr_rng g;
    silr_rng_init(&g, seed, SILR_RNG_TEST, 0, 0);
    for (uint32_t i = 0; i < TEXTS; i++) {
        s->l[i] = 1.8 * silr_rng_normal(&g);
        s->u[i] = 1.5 * silr_rng_normal(&g) + 0.4 * s->l[i] + 3;
        s->side[i] = s->l[i] > 0 ? 0 : 1;
        s->truth[i] = silr_rng_double(&g) < silr_sigmoid(c + v * s->l[i] + w * (s->u[i] - 3)) ? 0 : 1;
        s->item[i] = i;
    }
}

static silr_stack_data data_of(const world *s, size_t n_labelled)
{
    return (silr_stack_data){.K = 2, .n = TEXTS, .u = s->u, .side = s->side, .odds = s->l,
                             .n_labelled = n_labelled, .item = s->item, .truth = s->truth,
                             .reliability = 0.5};
}

static double median(const double *v)
{
    double sorted[TEXTS];
    memcpy(sorted, v, sizeof sorted);
    silr_sort_doubles(sorted, TEXTS);
    return silr_quantile_sorted(sorted, TEXTS, 0.5);
}

/* method.md B7 by brute force: the posterior of (c, v, w) on a grid over four standard deviations
 * of each prior, w cut at 0 and 2.4 and q summed over it. */
static void by_brute_force(double *q, const world *s, size_t n_labelled, double r)
{
    enum { G = 49 };
    static double post[G][G][G];
    const double w0 = 0.3 + 0.3 * r, sw = w0 / 2, middle = median(s->u);
    double top = -INFINITY, total = 0;

    for (int a = 0; a < G; a++)
        for (int b = 0; b < G; b++)
            for (int k = 0; k < G; k++) {
                double c = -4 + 8.0 * a / (G - 1), v = 1 + 0.3 * (-4 + 8.0 * b / (G - 1));
                double w = 2.4 * k / (G - 1), p = -c * c / 2 - (v - 1) * (v - 1) / (2 * 0.09) -
                                                  (w - w0) * (w - w0) / (2 * sw * sw);
                for (size_t i = 0; i < n_labelled; i++) {
                    double m = c + v * s->l[i] + w * (s->u[i] - middle);
                    p -= log1p(exp(s->truth[i] == 0 ? -m : m));
                }
                post[a][b][k] = p;
                top = fmax(top, p);
            }
    memset(q, 0, TEXTS * sizeof *q);
    for (int a = 0; a < G; a++)
        for (int b = 0; b < G; b++)
            for (int k = 0; k < G; k++) {
                double c = -4 + 8.0 * a / (G - 1), v = 1 + 0.3 * (-4 + 8.0 * b / (G - 1));
                double w = 2.4 * k / (G - 1), p = exp(post[a][b][k] - top);
                if (p < 1e-7)
                    continue;
                total += p;
                for (int i = 0; i < TEXTS; i++)
                    q[i] += p / (1 + exp(-(c + v * s->l[i] + w * (s->u[i] - middle))));
            }
    for (int i = 0; i < TEXTS; i++)
        q[i] /= total;
}

static void laplace_is_the_integral(void **state)
{
    static const struct {
        size_t n;
        double w;
    } cases[] = {{0, 0.4}, {12, 0.4}, {40, 0.4}, {40, -0.8}, {120, 1.2}};
    world *s = calloc(1, sizeof *s);
    (void)state;

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double q[TEXTS], worst = 0;
        float out[TEXTS];
        silr_stack_data d;
        silr_stack *t;
        simulate(s, 0.5, 0.8, cases[k].w, 21 + k);
        d = data_of(s, cases[k].n);
        by_brute_force(q, s, cases[k].n, d.reliability);
        assert_int_equal(silr_stack_fit(&t, &d, NULL), SILR_OK);
        silr_stack_apply_odds(t, TEXTS, s->u, s->l, out);
        for (int i = 0; i < TEXTS; i++)
            worst = fmax(worst, fabs((double)out[i] - q[i]));
        if (!(worst < 0.012))
            fail_msg("%zu labels: q is off by %.4f", cases[k].n, worst);
        silr_stack_free(t);
    }
    free(s);
}

/* A scorer that says the opposite of the truth is not turned round but left out: w stays in
 * [0, 2.4], so that what is kept is the annotator's word. */
static void a_bad_scorer_is_left_out(void **state)
{
    world *s = calloc(1, sizeof *s);
    double good, bad;
    silr_stack_data d;
    silr_stack *t;
    (void)state;

    simulate(s, 0, 1, 1, 31);
    d = data_of(s, TEXTS);
    assert_int_equal(silr_stack_fit(&t, &d, NULL), SILR_OK);
    good = silr_stack_slope(t);
    silr_stack_free(t);
    simulate(s, 0, 1, -1, 31);
    assert_int_equal(silr_stack_fit(&t, &d, NULL), SILR_OK);
    bad = silr_stack_slope(t);
    silr_stack_free(t);
    assert_true(good > 0.6 && good < 1.4);
    assert_true(bad >= 0 && bad < 0.1);
    free(s);
}

static void a_known_share_is_met(void **state)
{
    const double theta[4] = {0.8, 0.2, 0.2, 0.8};
    world *s = calloc(1, sizeof *s);
    double mean = 0;
    float out[TEXTS];
    silr_stack_data d;
    silr_stack *t;
    (void)state;

    simulate(s, 0, 1, 1, 41);
    d = data_of(s, 0);
    d.theta = theta;
    d.pi = 0.35;
    d.reliability = 0;
    assert_int_equal(silr_stack_fit(&t, &d, NULL), SILR_OK);
    silr_stack_apply_odds(t, TEXTS, s->u, s->l, out);
    for (int i = 0; i < TEXTS; i++)
        mean += (double)out[i] / TEXTS;
    assert_true(fabs(mean - 0.35) < 1e-6);
    assert_true(fabs(silr_stack_slope(t) - 0.3) < 1e-12);
    silr_stack_free(t);
    free(s);
}

/* No log-odds, no answer; a far text is certain and harms no other. */
static void odd_texts(void **state)
{
    world *s = calloc(1, sizeof *s);
    float was[TEXTS], out[TEXTS];
    silr_stack_data d;
    silr_stack *t;
    (void)state;

    simulate(s, 0, 1, 0.5, 51);
    d = data_of(s, 30);
    assert_int_equal(silr_stack_fit(&t, &d, NULL), SILR_OK);
    silr_stack_apply_odds(t, TEXTS, s->u, s->l, was);
    s->l[100] = NAN;
    s->u[101] = 1e6;
    s->l[102] = -1e6;
    silr_stack_apply_odds(t, TEXTS, s->u, s->l, out);
    for (int i = 0; i < TEXTS; i++)
        if (i < 100 || i > 102)
            assert_true(out[i] == was[i] && out[i] > 0 && out[i] < 1);
    assert_true(isnan(out[100]) && out[101] > 0.99f && out[101] <= 1 && out[102] >= 0 && out[102] < 0.1f);
    silr_stack_free(t);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laplace_is_the_integral),
        cmocka_unit_test(a_bad_scorer_is_left_out),
        cmocka_unit_test(a_known_share_is_met),
        cmocka_unit_test(odd_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
