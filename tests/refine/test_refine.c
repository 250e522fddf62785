/* test_refine.c - the numbers behind a refinement, each against something that can be worked out
 * another way: closed forms, simulated labels. The stack: test_stack.c; the loop: test_loop.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "refine/minimise.h"
#include "refine/ours.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(double a, double b, double tolerance, const char *what)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g within %g", what, a, b, tolerance);
}

/* --- minimise and Cholesky -------------------------------------------------------------------- */

/* (x - 1)^2 + 100 (y - x^2)^2: its only minimum is (1, 1), at the end of a curved valley. */
static double banana(void *ctx, const double *x, double *grad)
{
    double a = x[0] - 1, b = x[1] - x[0] * x[0];
    (void)ctx;
    grad[0] = 2 * a - 400 * b * x[0];
    grad[1] = 200 * b;
    return a * a + 100 * b * b;
}

/* x'Sx/2 - b'x with S = [[4,1],[1,3]], b = (1,2): the minimum is S^-1 b = (1,7)/11, at -15/22. */
static double bowl(void *ctx, const double *x, double *grad)
{
    (void)ctx;
    grad[0] = 4 * x[0] + x[1] - 1;
    grad[1] = x[0] + 3 * x[1] - 2;
    return 2 * x[0] * x[0] + x[0] * x[1] + 1.5 * x[1] * x[1] - x[0] - 2 * x[1];
}

static void minimise_finds_known_minima(void **state)
{
    double x[2] = {-1.2, 1}, y[2] = {30, -40}, value;
    (void)state;

    assert_int_equal(silr_minimise(banana, NULL, 2, x, 200, 1e-9, &value, NULL), SILR_OK);
    near(x[0], 1, 1e-6, "banana x");
    near(x[1], 1, 1e-6, "banana y");
    near(value, 0, 1e-12, "banana value");
    assert_int_equal(silr_minimise(bowl, NULL, 2, y, 50, 1e-10, &value, NULL), SILR_OK);
    near(y[0], 1 / 11.0, 1e-8, "bowl x");
    near(y[1], 7 / 11.0, 1e-8, "bowl y");
    near(value, -15 / 22.0, 1e-12, "bowl value");
    assert_int_equal(silr_minimise(bowl, NULL, 2, y, 0, 1e-10, &value, NULL), SILR_OK);
    near(value, -15 / 22.0, 1e-12, "no steps: the value where it stands");
}

static void cholesky_solves_and_refuses(void **state)
{
    double S[9] = {4, 2, 0.6, 2, 5, 1, 0.6, 1, 3}, x[3] = {1, -2, 0.5}, b[3] = {0}, det = 0;
    double wrong[4] = {1, 2, 2, 1}, c[2] = {1, 1};
    (void)state;

    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            b[i] += S[i * 3 + j] * x[j];
    assert_true(silr_cholesky_solve(3, S, b, &det));
    for (int i = 0; i < 3; i++)
        near(b[i], x[i], 1e-12, "solution");
    /* det = 4 (15 - 1) - 2 (6 - 0.6) + 0.6 (2 - 3) = 44.6 */
    near(det, log(44.6), 1e-12, "log det");
    assert_false(silr_cholesky_solve(2, wrong, c, NULL)); /* eigenvalues 3 and -1 */
}

/* --- transition, area under the curve --------------------------------------------------------- */

static void transition_is_bayes_and_keeps_its_gap(void **state)
{
    /* theta_p .8, theta_n .3, rho .4: pi = .32 + .18 = .5, tpr = .64, fpr = .16 */
    const double theta[4] = {0.8, 0.2, 0.3, 0.7}, rho[2] = {0.4, 0.6}, pi[2] = {0.5, 0.5};
    const double flat[4] = {0.5, 0.5, 0.5, 0.5}, full[4] = {1, 0, 1, 0}, one[2] = {1, 0};
    double T[4];
    (void)state;

    silr_transition(T, 2, theta, rho, pi);
    near(T[0], 0.64, 1e-12, "tpr");
    near(T[2], 0.16, 1e-12, "fpr");
    near(T[1] + T[0], 1, 1e-12, "row");
    silr_transition(T, 2, flat, rho, pi);
    assert_true(T[0] >= T[2] + 0.05 - 1e-12);
    silr_transition(T, 2, full, rho, one); /* a class that never occurs: finite, inside (0,1) */
    for (int i = 0; i < 4; i++)
        assert_true(T[i] >= 0.009 && T[i] <= 0.991);
}

static void auc_counts_pairs(void **state)
{
    const double u[5] = {3, 1, 2, 2, 0}, weight[5] = {1, 2, 1, 1, 1};
    const int truth[5] = {0, 0, 1, 0, 1}, same[5] = {1, 1, 1, 1, 1};
    /* class 2 never occurs; class 0 is told perfectly, class 1 too */
    const double many[12] = {4, 0, 0, 3, 0, 1, 0, 2, 0, 1, 5, 2};
    const int of_many[4] = {0, 0, 1, 1};
    double a;
    (void)state;

    /* pairs (0 over 1): 3>2 3>0 1<2 1>0 2=2 2>0: 4.5 of 6 */
    assert_int_equal(silr_auc(&a, 2, 5, u, truth, NULL, NULL), SILR_OK);
    near(a, 4.5 / 6, 1e-12, "auc");
    /* text 1 counts twice: (1 + 1 + 0 + 2 + .5 + 1) / 8 */
    assert_int_equal(silr_auc(&a, 2, 5, u, truth, weight, NULL), SILR_OK);
    near(a, 5.5 / 8, 1e-12, "weighted auc");
    assert_int_equal(silr_auc(&a, 2, 5, u, same, NULL, NULL), SILR_OK);
    assert_true(isnan(a));
    assert_int_equal(silr_auc(&a, 3, 4, many, of_many, NULL, NULL), SILR_OK);
    near(a, 1, 1e-12, "one against the rest");
}

/* Without memory the answer is an error: a silent "unknown" would change labels. */
static void auc_says_when_memory_fails(void **state)
{
    const double u[6] = {1, 0, 0, 0, 1, 0};
    const int truth[2] = {0, 1};
    double a;
    silr_status st;
    (void)state;

    silr_mem_fail_at(1, false);
    st = silr_auc(&a, 3, 2, u, truth, NULL, NULL);
    silr_mem_fail_at(0, false);
    assert_int_equal(st, SILR_ENOMEM);
}

/* --- calibration ------------------------------------------------------------------------------ */

enum { MANY = 6000 };

/* Labels drawn from the model itself: A and B come back to within the grid's pitch. */
static void calibrate_recovers_two(void **state)
{
    const double A = 2.2, B = 0.5, T[4] = {0.85, 0.15, 0.2, 0.8};
    float *z = malloc(MANY * sizeof *z);
    int *set = malloc(MANY * sizeof *set);
    silr_calibration c;
    silr_rng g;
    double u;
    (void)state;

    silr_rng_init(&g, 1, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < MANY; i++) {
        z[i] = (float)silr_rng_normal(&g);
        double p = T[2] + (T[0] - T[2]) * silr_sigmoid(A * (double)z[i] + B);
        set[i] = silr_rng_double(&g) < p ? 0 : 1;
    }
    assert_int_equal(silr_calibrate(&c, 2, MANY, z, set, T, NULL), SILR_OK);
    near(log(c.A), log(A), 0.25, "log A"); /* the grid's pitch is log(80)/22 = .2 */
    near(c.b[0], B, 0.26, "B");            /* and .25 */
    silr_calibration_apply(&c, 2, 1, z, &u);
    near(u, c.A * (double)z[0] + c.b[0], 1e-12, "u");
    free(z);
    free(set);
}

static void calibrate_recovers_three(void **state)
{
    enum { K = 3 };
    const double A = 1.8, b[K] = {0, 0.6, -0.4};
    const double T[K * K] = {0.8, 0.15, 0.05, 0.1, 0.8, 0.1, 0.05, 0.15, 0.8};
    float *z = malloc(MANY * K * sizeof *z);
    int *set = malloc(MANY * sizeof *set);
    silr_calibration c;
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 2, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < MANY; i++) {
        double u[K], p[K], at = silr_rng_double(&g), draw = silr_rng_double(&g);
        int y = 0, s = 0;
        for (int k = 0; k < K; k++) {
            z[i * K + k] = (float)silr_rng_normal(&g);
            u[k] = A * (double)z[i * K + k] + b[k];
        }
        silr_softmax(p, u, K);
        while (y < K - 1 && at > p[y])
            at -= p[y++];
        while (s < K - 1 && draw > T[y * K + s])
            draw -= T[y * K + s++];
        set[i] = s;
    }
    assert_int_equal(silr_calibrate(&c, K, MANY, z, set, T, NULL), SILR_OK);
    near(c.A, A, 0.2, "A");
    for (int k = 0; k < K; k++)
        near(c.b[k], b[k], 0.2, "b");
    free(z);
    free(set);
}

/* Labels that say nothing of z: the prior keeps A finite and small, nothing is NaN. */
static void calibrate_survives_noise_and_constants(void **state)
{
    float z[40], flat[120] = {0};
    int set[40];
    const double T[4] = {0.6, 0.4, 0.4, 0.6};
    const double T3[9] = {0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8};
    silr_calibration c;
    (void)state;

    for (int i = 0; i < 40; i++) {
        z[i] = (float)(i % 10) - 4.5F;
        set[i] = (i / 10) % 2;
    }
    assert_int_equal(silr_calibrate(&c, 2, 40, z, set, T, NULL), SILR_OK);
    assert_true(c.A > 0 && c.A < 1.5 && isfinite(c.b[0]));
    assert_int_equal(silr_calibrate(&c, 2, 0, z, set, T, NULL), SILR_OK);
    near(c.A, 1.5, 0, "no texts: the prior");
    assert_int_equal(silr_calibrate(&c, 3, 40, flat, set, T3, NULL), SILR_OK);
    assert_true(isfinite(c.A) && isfinite(c.b[1]) && c.b[2] >= -6.1); /* class 2 never named */
}

/* --- deployment ------------------------------------------------------------------------------- */

/* Soft labels that are a logistic function of z are met by that function, up to the light ridge. */
static void soft_labels_are_fitted(void **state)
{
    enum { N = 500 };
    float z[N], q[N], wide[N * 3], p[N * 3];
    double W[9], b[3];
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 5, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        double v[3], s[3];
        z[i] = (float)silr_rng_normal(&g);
        q[i] = (float)silr_sigmoid(1.7 * (double)z[i] - 0.6);
        for (int k = 0; k < 3; k++)
            wide[i * 3 + k] = (float)silr_rng_normal(&g);
        for (int k = 0; k < 3; k++)
            v[k] = 1.2 * (double)wide[i * 3 + k] + 0.5 * (double)wide[i * 3 + (k + 1) % 3] + 0.3 * k;
        silr_softmax(s, v, 3);
        for (int k = 0; k < 3; k++)
            p[i * 3 + k] = (float)s[k];
    }
    assert_int_equal(silr_fit_soft(W, b, 2, N, z, q, NULL), SILR_OK);
    near(W[0], 1.7, 0.02, "a");
    near(b[0], -0.6, 0.02, "b");
    assert_int_equal(silr_fit_soft(W, b, 3, N, wide, p, NULL), SILR_OK);
    for (int i = 0; i < N; i++) {
        double v[3], s[3];
        for (int k = 0; k < 3; k++) {
            v[k] = b[k];
            for (int l = 0; l < 3; l++)
                v[k] += W[k * 3 + l] * (double)wide[i * 3 + l];
        }
        silr_softmax(s, v, 3);
        for (int k = 0; k < 3; k++)
            near(s[k], (double)p[i * 3 + k], 0.01, "fitted probability");
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

static void the_margin_holds_labels(void **state)
{
    silr_task task = {.n_classes = 2};
    silr_loop loop = {.task = &task, .K = 2, .C = 1};
    silr_variant v[2];
    silr_ours o = {.loop = &loop, .variant = v};
    const float q[1] = {0.3F}, r[1] = {0.39F}, three_q[3] = {0.5F, 0.3F, 0.2F};
    (void)state;

    memset(v, 0, sizeof v);
    task.refine.margin = 0.6;
    assert_int_equal(silr_ours_rule(&o, &v[0], q, 0), 1);  /* 1 - .3 > .6 */
    assert_int_equal(silr_ours_rule(&o, &v[0], r, 1), 1);
    assert_int_equal(silr_ours_rule(&o, &v[0], &(float){0.41F}, 0), 0); /* less likely, but kept */
    /* balanced: odds over the odds of pi, and pi is the variant's own, learned without the texts
     * that it is to be judged by */
    task.refine.metric = SILR_METRIC_BALANCED;
    v[0].start.pi[0] = v[0].start.pi[1] = 0.5;
    v[1].start.pi[0] = 0.1;
    v[1].start.pi[1] = 0.9;
    assert_int_equal(silr_ours_rule(&o, &v[0], q, 1), 1);
    assert_int_equal(silr_ours_rule(&o, &v[1], q, 1), 0);
    task.refine.metric = SILR_METRIC_ACCURACY;
    loop.K = 3;
    loop.C = 3;
    assert_int_equal(silr_ours_rule(&o, &v[0], three_q, 1), 0);
    assert_int_equal(silr_ours_rule(&o, &v[0], three_q, 2), 0);
    task.refine.margin = 0.75;
    assert_int_equal(silr_ours_rule(&o, &v[0], three_q, 1), 1);
}

/* D1: whatever the estimates, two probabilities at least 0.02 apart, the right way round. */
static void thetas_stay_apart(void **state)
{
    const double from[][2] = {{0.001, 0.0005}, {0.3, 0.8}, {1, 1}, {0, 0}, {0.5, 0.49}, {0.9, 0.2}};
    (void)state;

    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        double t[4] = {from[i][0], 1 - from[i][0], from[i][1], 1 - from[i][1]};
        silr_keep_apart(t);
        for (int k = 0; k < 4; k++)
            assert_true(t[k] >= 0 && t[k] <= 1);
        assert_true(t[0] - t[2] >= 0.02 - 1e-12);
        near(t[0] + t[1], 1, 1e-12, "row");
        near(t[2] + t[3], 1, 1e-12, "row");
    }
}

/* A part that stands for all must not follow the order of the rows: here every fifth is special,
 * and every fifth is what a plain stride would take. */
static void thinning_ignores_the_order(void **state)
{
    const size_t n = 100000, m = 20000;
    size_t special = 0, before = 0;
    (void)state;

    for (size_t i = 0; i < m; i++) {
        size_t at = silr_thin(i, m, n);
        assert_true(at < n && (i == 0 || at >= before));
        before = at;
        special += at % 5 == 0;
    }
    near((double)special / (double)m, 0.2, 0.02, "share of the special rows");
    assert_int_equal(silr_thin(7, 10, 10), 7);
    assert_int_equal(silr_thin(7, 20, 10), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimise_finds_known_minima),
        cmocka_unit_test(cholesky_solves_and_refuses),
        cmocka_unit_test(transition_is_bayes_and_keeps_its_gap),
        cmocka_unit_test(auc_counts_pairs),
        cmocka_unit_test(auc_says_when_memory_fails),
        cmocka_unit_test(calibrate_recovers_two),
        cmocka_unit_test(calibrate_recovers_three),
        cmocka_unit_test(calibrate_survives_noise_and_constants),
        cmocka_unit_test(soft_labels_are_fitted),
        cmocka_unit_test(the_margin_holds_labels),
        cmocka_unit_test(thetas_stay_apart),
        cmocka_unit_test(thinning_ignores_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
