/* test_adamw.c - AdamW against PyTorch's, and that a parameter's step is its own: not its range's, not its
 * neighbours', not the threads'. */
#include "classify/adamw.h"
#include "classify/trainer.h"

#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const silr_adam usual = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};

/* --- against PyTorch ------------------------------------------------------------------------------ */

/* n parameters through `steps` steps, in doubles and in floats: want [steps][n] is what they should be. */
static void trace(const silr_adam *a, const double *rate, size_t n, size_t steps, const double *p0,
                  const double *grad, const double *want)
{
    double p[16], m[16] = {0}, v[16] = {0};
    float pf[16], gf[16], mf[16] = {0}, vf[16] = {0};
    const silr_adamw_block b = {pf, gf, mf, vf};
    const silr_adamw_range all = {0, n, true, 0};

    assert_true(n <= 16);
    for (size_t k = 0; k < n; k++)
        pf[k] = (float)(p[k] = p0[k]);
    for (size_t t = 0; t < steps; t++) {
        for (size_t k = 0; k < n; k++)
            gf[k] = (float)grad[t * n + k];
        silr_adamw_f64(a, rate[t], t + 1, true, 0, n, p, grad + t * n, m, v);
        assert_true(silr_adamw_step(&b, &all, 1, a, rate[t], t + 1, 0, NULL));
        for (size_t k = 0; k < n; k++) {
            assert_true(fabs(p[k] - want[t * n + k]) <= 1e-12);
            assert_true(fabs((double)pf[k] - want[t * n + k]) <= 1e-6);
            assert_true(gf[k] == 0);
        }
    }
}

/* The first steps of two parameters, recorded from torch.optim.AdamW in double precision. */
static void first_steps(void **state)
{
    static const double rate[] = {1e-3, 1e-3, 1e-3}, p0[] = {0.8032760780963507, -0.6137180077293578};
    static const double grad[] = {0.0033749509853046346, 0.009774318000770603,
                                  -0.08646355629116041,  -0.00798543208083965,
                                  0.49518900821919865,   -1.0591074432194063};
    static const double want[] = {0.802268048298567,  -0.6147118695261923, 0.8029774750777932,
                                  -0.614753577993056, 0.8024355737451212,  -0.6141091026163265};
    (void)state;

    trace(&usual, rate, 2, 3, p0, grad, want);
}

static size_t numbers(const json_t *list, double *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = json_number_value(json_array_get(list, i));
    return json_array_size(list);
}

static void recorded_traces(void **state)
{
    const char *shared = getenv("SILR_SHARED");
    json_t *root, *one;
    char path[4096];
    size_t i;
    (void)state;

    snprintf(path, sizeof path, "%s/golden/adamw_schedule.json", shared ? shared : SOURCE_ROOT "/../shared");
    if (!(root = json_load_file(path, 0, NULL))) {
        print_message("skipped: no golden/adamw_schedule.json in $SILR_SHARED or ../shared\n");
        skip();
    }
    assert_int_equal(json_array_size(json_object_get(root, "adamw")), 3);
    json_array_foreach(json_object_get(root, "adamw"), i, one) {
        const json_t *grads = json_object_get(one, "grads"), *params = json_object_get(one, "params");
        const double base = json_real_value(json_object_get(one, "lr"));
        const size_t steps = json_array_size(grads);
        double p0[16], grad[256], want[256], rate[32], betas[2];
        const size_t n = numbers(json_object_get(one, "p0"), p0);
        silr_adam a = {.epsilon = json_real_value(json_object_get(one, "eps")),
                       .weight_decay = json_number_value(json_object_get(one, "weight_decay"))};
        numbers(json_object_get(one, "betas"), betas);
        a.beta1 = betas[0];
        a.beta2 = betas[1];
        assert_int_equal(steps, 10);
        for (size_t t = 0; t < steps; t++) {
            rate[t] = json_is_true(json_object_get(one, "cosine_warmup1_total10"))
                          ? silr_learning_rate(SILR_LR_COSINE, base, 0.1, 10, (int64_t)t) : base;
            numbers(json_array_get(grads, t), grad + t * n);
            numbers(json_array_get(params, t), want + t * n);
        }
        trace(&a, rate, n, steps, p0, grad, want);
    }
    json_decref(root);
}

/* --- a block --------------------------------------------------------------------------------------- */

enum { N = 100000 };

typedef struct {
    float params[N], grad[N], m[N], v[N];
} memory;

static memory *fresh(void)
{
    memory *x = malloc(sizeof *x);
    silr_rng rng;

    assert_non_null(x);
    silr_rng_init(&rng, 1, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < N; i++) {
        x->params[i] = (float)silr_rng_normal(&rng);
        x->grad[i] = (float)silr_rng_normal(&rng);
        x->m[i] = (float)silr_rng_normal(&rng);
        x->v[i] = (float)silr_rng_double(&rng);
    }
    return x;
}

static silr_adamw_block block_of(memory *x)
{
    return (silr_adamw_block){x->params, x->grad, x->m, x->v};
}

/* However the block is cut, and whoever does which piece; clipped or not. */
static void same_bits(void **state)
{
    static const silr_adamw_range whole = {0, N, true, 0.5};
    static const silr_adamw_range parts[] = {
        {9000, 60000, true, 0.5}, {0, 1, true, 0.5}, {1, 8999, true, 0.5}, {69000, 0, true, 0.5}, {69000, N - 69000, true, 0.5}};
    const int before = omp_get_max_threads();
    (void)state;

    for (int clip = 0; clip < 2; clip++) {
        memory *want = fresh();
        const silr_adamw_block b = block_of(want);
        double norm, again;
        omp_set_num_threads(1);
        assert_true(silr_adamw_step(&b, &whole, 1, &usual, 1e-3, 3, clip * 2.0, &norm));
        for (int threads = 1; threads <= 5; threads++) {
            memory *got = fresh(), *cut = fresh();
            const silr_adamw_block c = block_of(got), d = block_of(cut);
            omp_set_num_threads(threads);
            assert_true(silr_adamw_step(&c, &whole, 1, &usual, 1e-3, 3, clip * 2.0, &again));
            assert_true(norm == again);
            assert_memory_equal(got, want, sizeof *got);
            if (!clip) { /* else the norm is summed in another order */
                assert_true(silr_adamw_step(&d, parts, 5, &usual, 1e-3, 3, 0, NULL));
                assert_memory_equal(cut, want, sizeof *cut);
            }
            free(got);
            free(cut);
        }
        free(want);
    }
    omp_set_num_threads(before);
}

/* Ranges differ in decay and l2; what is in none stays, gradient and all. */
static void ranges_are_their_own(void **state)
{
    static const silr_adamw_range ranges[] = {{0, 100, true, 0}, {100, 100, false, 0}, {200, 100, false, 0.1}};
    memory *x = fresh(), *was = fresh();
    const silr_adamw_block b = block_of(x);
    double p[300], g[300], m[300], v[300];
    (void)state;

    for (size_t i = 0; i < 300; i++) {
        p[i] = (double)x->params[i];
        g[i] = (double)x->grad[i];
        m[i] = (double)x->m[i];
        v[i] = (double)x->v[i];
    }
    assert_true(silr_adamw_step(&b, ranges, 3, &usual, 0.1, 2, 0, NULL));
    for (size_t r = 0; r < 3; r++)
        silr_adamw_f64(&usual, 0.1, 2, ranges[r].decay, ranges[r].l2, 100, p + 100 * r, g + 100 * r, m + 100 * r,
                       v + 100 * r);
    for (size_t i = 0; i < 300; i++)
        assert_true(fabs((double)x->params[i] - p[i]) <= 1e-6 * (1 + fabs(p[i])));
    assert_memory_equal(x->params + 300, was->params + 300, (N - 300) * sizeof(float));
    assert_memory_equal(x->grad + 300, was->grad + 300, (N - 300) * sizeof(float));
    free(x);
    free(was);
}

/* Gradients longer than clip come to that length, as if they had been so; shorter ones stay. */
static void clips_by_the_norm_of_all(void **state)
{
    static const silr_adamw_range ranges[] = {{0, 50000, true, 0}, {60000, 40000, false, 0}};
    memory *x = fresh(), *y = fresh();
    const silr_adamw_block b = block_of(x), c = block_of(y);
    double sum = 0, norm;
    float by;
    (void)state;

    for (size_t i = 0; i < N; i++)
        sum += i < 50000 || i >= 60000 ? (double)x->grad[i] * (double)x->grad[i] : 0;
    assert_true(fabs(silr_adamw_norm(&b, ranges, 2) / sqrt(sum) - 1) < 1e-12);
    by = (float)(5 / (silr_adamw_norm(&b, ranges, 2) + 1e-6));
    for (size_t i = 0; i < N; i++)
        y->grad[i] *= by;
    assert_true(silr_adamw_step(&b, ranges, 2, &usual, 1e-3, 1, 5, &norm));
    assert_true(fabs(norm / sqrt(sum) - 1) < 1e-12);
    assert_true(fabs(silr_adamw_norm(&c, ranges, 2) - 5) < 1e-5);
    assert_true(silr_adamw_step(&c, ranges, 2, &usual, 1e-3, 1, 6, NULL)); /* is shorter: not touched */
    assert_memory_equal(x->params, y->params, sizeof x->params);
    assert_memory_equal(x->m, y->m, sizeof x->m);
    free(x);
    free(y);
}

/* A gradient that went wrong must not get into the weights, from where it would not come out again. */
static void refuses_what_is_no_number(void **state)
{
    static const silr_adamw_range whole = {0, N, true, 0};
    static const float bad[] = {NAN, INFINITY};
    (void)state;

    for (int i = 0; i < 2; i++) {
        memory *x = fresh(), *was = fresh();
        const silr_adamw_block b = block_of(x);
        double norm;
        x->grad[77777] = was->grad[77777] = bad[i];
        assert_false(silr_adamw_step(&b, &whole, 1, &usual, 1e-3, 1, 1, &norm));
        assert_false(silr_adamw_step(&b, &whole, 1, &usual, 1e-3, 1, 0, &norm));
        assert_false(silr_adamw_step(&b, &whole, 1, &usual, 1e-3, 1, 1, NULL));
        assert_true(isnan(norm) || isinf(norm));
        assert_memory_equal(x, was, sizeof *x);
        free(x);
        free(was);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_steps),
        cmocka_unit_test(recorded_traces),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(ranges_are_their_own),
        cmocka_unit_test(clips_by_the_norm_of_all),
        cmocka_unit_test(refuses_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
