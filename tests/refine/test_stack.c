/* test_stack.c - the stack of classifier and annotator against direct sums, against what many
 * labels show, and against its own symmetries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "refine/stack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(double a, double b, double tolerance, const char *what)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g within %g", what, a, b, tolerance);
}

/* --- the stack, two classes ------------------------------------------------------------------- */

enum { SIDE_TEXTS = 120 };

static void two_sides(double *u, int *side, uint32_t *item, int *truth, size_t *n_items)
{
    silr_rng g;

    silr_rng_init(&g, 3, SILR_RNG_TEST, 0, 0);
    *n_items = 0;
    for (int i = 0; i < SIDE_TEXTS; i++) {
        int y = silr_rng_double(&g) < 0.45 ? 0 : 1;
        side[i] = silr_rng_double(&g) < 0.75 ? y : 1 - y;
        u[i] = (y == 0 ? 1.2 : -1.2) + 1.5 * silr_rng_normal(&g);
        if (i % 4 == 0) {
            item[*n_items] = (uint32_t)i;
            truth[(*n_items)++] = y;
        }
    }
}

static double median_on(const double *u, const int *side, int h)
{
    double v[SIDE_TEXTS];
    size_t n = 0;
    for (int i = 0; i < SIDE_TEXTS; i++)
        if (side[i] == h)
            v[n++] = u[i];
    silr_sort_doubles(v, n);
    return silr_quantile_sorted(v, n, 0.5);
}

/* method.md B12 written out, without tables: every sum over all texts, every q over the whole
 * grid of 49 w and 61 c. */
static void by_brute_force(double *q, const double *u, const int *side, size_t n_items,
                           const uint32_t *item, const int *truth, double r)
{
    static double log_post[2][49][61];
    double w0 = 0.3 + 0.3 * r, sw = w0 / 2, log_w[49], middle[2], sum[SIDE_TEXTS] = {0}, all = 0;

    for (int h = 0; h < 2; h++) {
        middle[h] = median_on(u, side, h);
        for (int a = 0; a < 49; a++)
            for (int b = 0; b < 61; b++) {
                double w = 2.4 * a / 48, c = -7 + 14.0 * b / 60, slope = 0, n = 0, like = 0;
                for (int i = 0; i < SIDE_TEXTS; i++)
                    if (side[i] == h) {
                        double s = silr_sigmoid(c + w * (u[i] - middle[h]));
                        slope += s * (1 - s);
                        n++;
                    }
                for (size_t i = 0; i < n_items; i++)
                    if (side[item[i]] == h) {
                        double s = silr_sigmoid(c + w * (u[item[i]] - middle[h]));
                        like += log(truth[i] == 0 ? s : 1 - s);
                    }
                log_post[h][a][b] = like + log(slope / n);
            }
    }
    for (int a = 0; a < 49; a++) {
        double w = 2.4 * a / 48;
        log_w[a] = -(w - w0) * (w - w0) / (2 * sw * sw);
        for (int h = 0; h < 2; h++)
            log_w[a] += silr_logsumexp(log_post[h][a], 61);
    }
    for (int a = 0; a < 49; a++)
        all += exp(log_w[a] - log_w[0]);
    for (int a = 0; a < 49; a++)
        for (int b = 0; b < 61; b++)
            for (int i = 0; i < SIDE_TEXTS; i++) {
                int h = side[i];
                double mass = exp(log_w[a] - log_w[0]) / all *
                              exp(log_post[h][a][b] - silr_logsumexp(log_post[h][a], 61));
                sum[i] += mass * silr_sigmoid(-7 + 14.0 * b / 60 + 2.4 * a / 48 * (u[i] - middle[h]));
            }
    memcpy(q, sum, sizeof sum);
}

static void stack_two_is_the_sum_over_the_grid(void **state)
{
    double u[SIDE_TEXTS], q[SIDE_TEXTS];
    float out[SIDE_TEXTS];
    int side[SIDE_TEXTS], truth[SIDE_TEXTS];
    uint32_t item[SIDE_TEXTS];
    silr_stack_data d = {.K = 2, .n = SIDE_TEXTS, .u = u, .side = side, .item = item,
                         .truth = truth, .reliability = 0.4};
    silr_stack *s;
    (void)state;

    for (int outlier = 0; outlier < 2; outlier++) { /* one far text must not blur the others */
        two_sides(u, side, item, truth, &d.n_labelled);
        u[7] = outlier ? 500 : u[7];
        by_brute_force(q, u, side, d.n_labelled, item, truth, d.reliability);
        assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
        silr_stack_apply(s, SIDE_TEXTS, u, side, out);
        for (int i = 0; i < SIDE_TEXTS; i++)
            near((double)out[i], q[i], 1e-3, "q");
        silr_stack_free(s);
    }
}

static void known_purities_are_kept(void **state)
{
    double u[SIDE_TEXTS], wide[3 * SIDE_TEXTS] = {0}, mean[3][3] = {{0}}, count[3] = {0};
    const double theta[4] = {0.83, 0.17, 0.27, 0.73};
    const double theta3[9] = {0.7, 0.2, 0.1, 0.25, 0.65, 0.1, 0.05, 0.05, 0.9};
    float out[3 * SIDE_TEXTS];
    int side[SIDE_TEXTS], truth[SIDE_TEXTS];
    uint32_t item[SIDE_TEXTS];
    size_t none;
    silr_stack_data d = {.K = 2, .n = SIDE_TEXTS, .u = u, .side = side, .item = item,
                         .truth = truth, .theta = theta};
    silr_stack *s;
    (void)state;

    two_sides(u, side, item, truth, &none);
    assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
    silr_stack_apply(s, SIDE_TEXTS, u, side, out);
    for (int i = 0; i < SIDE_TEXTS; i++) {
        mean[side[i]][0] += (double)out[i];
        count[side[i]]++;
    }
    near(mean[0][0] / count[0], 0.83, 1e-3, "mean q on side 0");
    near(mean[1][0] / count[1], 0.27, 1e-3, "mean q on side 1");
    near(silr_stack_slope(s), 0.3, 1e-12, "the slope that labels would have to move");
    silr_stack_free(s);

    d.K = 3;
    d.u = wide;
    d.theta = theta3;
    memset(mean, 0, sizeof mean);
    memset(count, 0, sizeof count);
    for (int i = 0; i < SIDE_TEXTS; i++) {
        side[i] = i % 3;
        wide[i * 3] = u[i];
        wide[i * 3 + 2] = -u[i] / 2;
    }
    assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
    silr_stack_apply(s, SIDE_TEXTS, wide, side, out);
    for (int i = 0; i < SIDE_TEXTS; i++) {
        for (int k = 0; k < 3; k++)
            mean[side[i]][k] += (double)out[i * 3 + k];
        count[side[i]]++;
    }
    for (int h = 0; h < 3; h++)
        for (int k = 0; k < 3; k++)
            near(mean[h][k] / count[h], theta3[h * 3 + k], 2e-3, "mean q of three");
    silr_stack_free(s);
}

/* Nothing labelled on a side, or nothing on the side at all: finite, between 0 and 1. */
static void stack_stands_empty_sides(void **state)
{
    const double u[4] = {1, 2, -1, 50}, wide[6] = {1, 0, 0, 0, 1, 0};
    const int side[4] = {0, 0, 0, 0}, one[2] = {0, 0}, ask[4] = {0, 1, SILR_NO_LABEL, 0};
    const int truth[1] = {0};
    const uint32_t item[1] = {0};
    const double prior[9] = {0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8};
    silr_stack_data d = {.K = 2, .n = 4, .u = u, .side = side, .n_labelled = 1, .item = item,
                         .truth = truth};
    silr_stack_data many = {.K = 3, .n = 2, .u = wide, .side = one, .n_labelled = 1, .item = item,
                            .truth = truth, .prior = prior};
    float q[12];
    silr_stack *s;
    (void)state;

    assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
    silr_stack_apply(s, 4, u, ask, q);
    assert_true(q[0] > 0 && q[0] < 1 && q[1] > 0 && q[1] < 1 && isnan(q[2]) && q[3] < 1);
    silr_stack_free(s);
    assert_int_equal(silr_stack_fit(&s, &many, NULL), SILR_OK);
    silr_stack_apply(s, 2, wide, ask, q);
    for (int i = 0; i < 6; i++)
        assert_true(q[i] > 0 && q[i] < 1);
    assert_true(q[4] > q[3] && q[4] > q[5]); /* an empty side: its prior row */
    silr_stack_free(s);
}

/* --- the stack, three classes ----------------------------------------------------------------- */

enum { TEXTS3 = 900 };

typedef struct {
    double u[TEXTS3 * 3], prior[9];
    int side[TEXTS3], truth[TEXTS3];
    uint32_t item[TEXTS3];
} three;

/* slope: how far u tells the truth, given the side. */
static three *simulate(double slope)
{
    three *t = calloc(1, sizeof *t);
    const double given[3][3] = {{0.7, -0.5, -0.2}, {-0.6, 0.8, -0.2}, {-0.3, -0.1, 0.4}};
    silr_rng g;

    silr_rng_init(&g, 4, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < TEXTS3; i++) {
        double v[3], p[3], at = silr_rng_double(&g);
        int y = 0, h = t->side[i] = (int)silr_rng_below(&g, 3);
        for (int k = 0; k < 3; k++) {
            t->u[i * 3 + k] = 1.5 * silr_rng_normal(&g);
            v[k] = given[h][k] + slope * t->u[i * 3 + k];
        }
        silr_softmax(p, v, 3);
        while (y < 2 && at > p[y])
            at -= p[y++];
        t->truth[i] = y;
        t->item[i] = (uint32_t)i;
    }
    for (int i = 0; i < 9; i++)
        t->prior[i] = i % 4 == 0 ? 0.6 : 0.2;
    return t;
}

static silr_stack_data data_of(const three *t, size_t n_labelled)
{
    return (silr_stack_data){.K = 3, .n = TEXTS3, .u = t->u, .side = t->side,
                             .n_labelled = n_labelled, .item = t->item, .truth = t->truth,
                             .reliability = 0.5, .prior = t->prior};
}

/* With 300 labelled texts a side the prior hardly counts: mean q is the share there is, and the
 * slope is the one that made the labels, wherever the prior (mean .375) would have it. */
static void stack_three_follows_many_labels(void **state)
{
    const double slopes[2] = {1.0, 0.0};
    (void)state;

    for (int a = 0; a < 2; a++) {
        three *t = simulate(slopes[a]);
        silr_stack_data d = data_of(t, TEXTS3);
        double mean[9] = {0}, seen[9] = {0}, count[3] = {0};
        float *q = malloc(TEXTS3 * 3 * sizeof *q);
        silr_stack *s;
        assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
        silr_stack_apply(s, TEXTS3, t->u, t->side, q);
        for (int i = 0; i < TEXTS3; i++) {
            count[t->side[i]]++;
            seen[t->side[i] * 3 + t->truth[i]]++;
            for (int k = 0; k < 3; k++)
                mean[t->side[i] * 3 + k] += (double)q[i * 3 + k];
        }
        for (int i = 0; i < 9; i++)
            near(mean[i] / count[i / 3], seen[i] / count[i / 3], 0.03, "share of a class");
        near(silr_stack_slope(s), slopes[a], 0.15, "slope");
        silr_stack_free(s);
        free(q);
        free(t);
    }
}

/* Classes have no order: renaming them renames the answer and changes nothing else. */
static void stack_three_knows_no_order(void **state)
{
    const int to[3] = {2, 0, 1};
    three *t = simulate(0.7), *r = calloc(1, sizeof *r);
    silr_stack_data d = data_of(t, 45), e;
    float *q = malloc(TEXTS3 * 3 * sizeof *q), *p = malloc(TEXTS3 * 3 * sizeof *p);
    silr_stack *s;
    (void)state;

    for (int i = 0; i < TEXTS3; i++) {
        for (int k = 0; k < 3; k++)
            r->u[i * 3 + to[k]] = t->u[i * 3 + k];
        r->side[i] = to[t->side[i]];
        r->truth[i] = to[t->truth[i]];
        r->item[i] = t->item[i];
    }
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < 3; k++)
            r->prior[to[j] * 3 + to[k]] = t->prior[j * 3 + k];
    e = data_of(r, 45);
    assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
    silr_stack_apply(s, TEXTS3, t->u, t->side, q);
    silr_stack_free(s);
    assert_int_equal(silr_stack_fit(&s, &e, NULL), SILR_OK);
    silr_stack_apply(s, TEXTS3, r->u, r->side, p);
    silr_stack_free(s);
    for (int i = 0; i < TEXTS3; i++)
        for (int k = 0; k < 3; k++)
            near((double)p[i * 3 + to[k]], (double)q[i * 3 + k], 1e-4, "renamed q");
    free(q);
    free(p);
    free(t);
    free(r);
}

/* Side 0 is .9 pure in four fifths and .4 in the rest, which the score does not tell; the sample has
 * as many texts of either. Its mean q is the side's purity when each counts what it stands for. */
static void weights_keep_the_purity(void **state)
{
    enum { N = 2000, L = 80 };
    static double u[N * 3];
    static float q[N * 3];
    static int side[N];
    const double prior[9] = {.7, .15, .15, .15, .7, .15, .15, .15, .7};
    uint32_t item[L];
    int truth[L];
    double weight[L], mean[2][2] = {{0}};
    (void)state;

    for (int K = 2; K <= 3; K++) {
        const int C = K == 2 ? 1 : K;
        silr_stack_data d = {.K = K, .n = N, .u = u, .side = side, .n_labelled = L, .item = item,
                             .truth = truth, .prior = prior};
        silr_rng g;
        silr_rng_init(&g, 5, SILR_RNG_TEST, 0, (uint64_t)K);
        for (int i = 0; i < N * C; i++)
            u[i] = 0.1 * silr_rng_normal(&g);
        for (int i = 0; i < N; i++)
            side[i] = i < N / 2 ? 0 : 1;
        for (int i = 0; i < L; i++) {
            int rare = i % 4 / 2; /* part; half of the labels are of side 0 */
            item[i] = (uint32_t)(i % 2 ? N / 2 + i : i);
            truth[i] = i % 2 ? 1 : i / 4 % 10 < (rare ? 4 : 9) ? 0 : 1;
            weight[i] = i % 2 ? 1 : rare ? 0.4 : 1.6;
        }
        for (int with = 0; with < 2; with++) {
            silr_stack *s;
            d.weight = with ? weight : NULL;
            assert_int_equal(silr_stack_fit(&s, &d, NULL), SILR_OK);
            silr_stack_apply(s, N, u, side, q);
            mean[K - 2][with] = 0;
            for (int i = 0; i < N / 2; i++)
                mean[K - 2][with] += (double)q[i * C] / (N / 2);
            silr_stack_free(s);
        }
        near(mean[K - 2][1], .8, .03, "purity, weighted"); /* .8 * .9 + .2 * .4 */
        assert_true(mean[K - 2][0] < .7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stack_two_is_the_sum_over_the_grid),
        cmocka_unit_test(known_purities_are_kept),
        cmocka_unit_test(stack_stands_empty_sides),
        cmocka_unit_test(stack_three_follows_many_labels),
        cmocka_unit_test(stack_three_knows_no_order),
        cmocka_unit_test(weights_keep_the_purity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
