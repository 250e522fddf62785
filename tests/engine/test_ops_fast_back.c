/* test_ops_fast_back.c - the fast backward operations against the plain ones, which finite
 * differences judge (test_ops_back.c); and against themselves: the same bits for any number of
 * threads, and for a row alone as among others. */
#include "ops_made.h"

#include "engine/ops.h"
#include <math.h>
#include <omp.h>
#include <string.h>

static const silr_ops *cpu, *plain = &silr_ops_plain;

/* --- products of any two matrices ---------------------------------------------------------------- */

typedef struct {
    size_t m, n, k;
} sizes;

/* About what they are in training, at the edges of all that is cut, and absurd. */
static const sizes shapes[] = {
    {1, 1, 1},     {2, 3, 1},      {8, 97, 1000}, {97, 8, 1000}, {200, 8, 576}, {203, 33, 8},
    {13, 16, 405}, {100, 64, 801}, {61, 300, 30}, {7, 5, 2000},  {8, 8, 8},     {1, 260, 13},
    {12, 17, 40},  {40, 4, 7},     {5, 0, 3},     {0, 4, 3},     {3, 4, 0},     {96, 70, 96},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct {
    sizes s;
    bool turn_a, turn_b, add;
    float alpha, *a, *b;
    size_t lda, ldb, ldc;
} product;

static product made_product(sizes s, int turned, bool add, float alpha)
{
    product p = {.s = s, .turn_a = turned & 1, .turn_b = turned & 2, .add = add, .alpha = alpha};

    p.lda = (p.turn_a ? s.m : s.k) + GAP;
    p.ldb = (p.turn_b ? s.k : s.n) + GAP;
    p.ldc = s.n + GAP;
    p.a = made(1, (p.turn_a ? s.k : s.m) * p.lda + 1);
    p.b = made(2, (p.turn_b ? s.n : s.k) * p.ldb + 1);
    return p;
}

static float *c_of(const product *p)
{
    float *c = untouched(p->s.m + 1, p->ldc);

    for (size_t i = 0; p->add && i < p->s.m; i++)
        for (size_t j = 0; j < p->s.n; j++)
            c[i * p->ldc + j] = (float)(i + j) / 10;
    return c;
}

/* Rows `first` .. first + m - 1 of C. */
static void multiply(const silr_ops *ops, const product *p, size_t first, size_t m, float *c)
{
    must(ops->product(p->turn_a, p->turn_b, m, p->s.n, p->s.k, p->alpha,
                      p->a + (p->turn_a ? first : first * p->lda), p->lda, p->b, p->ldb,
                      c + first * p->ldc, p->ldc, p->add, &err));
}

static void products_are_right(void)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (int turned = 0; turned < 8; turned++) {
            product p = made_product(shapes[i], turned & 3, turned & 4, turned & 4 ? 4.0F / 3 : 1);
            float *want = c_of(&p), *got = c_of(&p);
            multiply(plain, &p, 0, p.s.m, want);
            multiply(cpu, &p, 0, p.s.m, got);
            if (!(apart(got, want, p.s.m, p.s.n, p.ldc) < 1e-6))
                fail_msg("%s: %zu x %zu x %zu, %d: %g apart", silr_ops_cpu_describe(), p.s.m, p.s.n,
                         p.s.k, turned, apart(got, want, p.s.m, p.s.n, p.ldc));
            gaps_are_untouched(got, p.s.m, p.s.n, p.ldc);
            gaps_are_untouched(got + p.s.m * p.ldc, 1, 0, p.ldc); /* nor the row behind */
            silr_free(p.a);
            silr_free(p.b);
            silr_free(want);
            silr_free(got);
        }
}

/* Row by row, and by more and fewer threads. */
static void products_are_the_same_bits(void)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (int turned = 0; turned < 4; turned++) {
            product p = made_product(shapes[i], turned, turned & 1, 0.3F);
            float *want = c_of(&p);
            omp_set_num_threads(1);
            multiply(cpu, &p, 0, p.s.m, want);
            for (int threads = 1; threads <= 3; threads++) {
                float *got = c_of(&p), *alone = c_of(&p);
                omp_set_num_threads(threads);
                multiply(cpu, &p, 0, p.s.m, got);
                for (size_t r = 0; r < p.s.m; r += r < 8 ? 1 : 37)
                    multiply(cpu, &p, r, 1, alone);
                for (size_t r = 0; r < p.s.m; r += r < 8 ? 1 : 37)
                    assert_memory_equal(alone + r * p.ldc, want + r * p.ldc, p.s.n * sizeof *want);
                assert_memory_equal(got, want, p.s.m * p.ldc * sizeof *want);
                silr_free(got);
                silr_free(alone);
            }
            silr_free(p.a);
            silr_free(p.b);
            silr_free(want);
        }
}

static void products(void **state)
{
    (void)state;
    with_all_kernels(products_are_right);
    with_all_kernels(products_are_the_same_bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
    };

    cpu = silr_ops_cpu();
    return cmocka_run_group_tests_name("ops-fast-back", tests, NULL, NULL);
}
