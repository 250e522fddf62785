/* test_ops_nf4.c - matrices kept in 4 bits: every product with one is, to the bit, the product with the
 * floats that its codes stand for. So whatever is known of those (test_ops.c, test_ops_back.c) holds. */
#include "ops_made.h"

#include "engine/ops.h"
#include "formats/nf4.h"
#include <math.h>
#include <omp.h>
#include <string.h>

static const silr_ops *cpu, *plain = &silr_ops_plain;

/* --- values ----------------------------------------------------------------------------------- */

/* Vectors look the 16 numbers up otherwise than the plain loop does. */
static void values(void **state)
{
    silr_tensor *t = made_tensor(3, SILR_TYPE_F32, 7, 333);
    const silr_kernels *k = NULL;
    static float want[7 * 333], got[7 * 333];
    silr_nf4 q;
    (void)state;

    must(silr_nf4_quantise(&q, t, &err));
    for (size_t i = 0; (k = silr_kernels_at(i)); i++)
        for (size_t first = 0; first < q.n; first += 61)
            for (size_t n = 0; first + n <= q.n; n += 97) {
                silr_nf4_values(&q, first, n, want);
                k->nf4_values(&q, first, n, got);
                if (memcmp(got, want, n * sizeof *got) != 0)
                    fail_msg("%s: %zu values from %zu on are others", k->name, n, first);
            }
    silr_nf4_clear(&q);
    free_tensor(t);
}

/* --- products --------------------------------------------------------------------------------- */

typedef struct {
    size_t in, out[3];
    silr_type type[3];
    bool bias;
} shape;

/* A stack kept in 4 bits, and the stack of its floats, kept fast. */
typedef struct {
    size_t n, out, values;
    silr_linear *nf4, *floats;
} pair;

static silr_tensor *floats_of(const silr_tensor *t)
{
    silr_tensor *f = silr_calloc(1, sizeof *f);
    float *v = silr_alloc(t->dim[0] * t->dim[1], sizeof *v);
    silr_nf4 q;

    assert_non_null(f);
    assert_non_null(v);
    must(silr_nf4_quantise(&q, t, &err));
    silr_nf4_values(&q, 0, q.n, v);
    silr_nf4_clear(&q);
    *f = *t;
    f->type = SILR_TYPE_F32;
    f->data = v;
    f->bytes = t->dim[0] * t->dim[1] * sizeof *v;
    return f;
}

static pair pair_of(const silr_ops *ops, const shape *s)
{
    silr_tensor *weight[3], *floats[3], *bias[3];
    pair p = {0};

    for (; p.n < 3 && s->out[p.n] > 0; p.n++) {
        weight[p.n] = made_tensor(p.n + 1, s->type[p.n], s->out[p.n], s->in);
        floats[p.n] = floats_of(weight[p.n]);
        bias[p.n] = s->bias ? made_tensor(p.n + 9, SILR_TYPE_F32, s->out[p.n], 0) : NULL;
        p.out += s->out[p.n];
    }
    p.values = p.out * s->in;
    must(ops->linear_new(&p.nf4, (const silr_tensor *const *)weight, (const silr_tensor *const *)bias, p.n,
                         SILR_KEEP_NF4, &err));
    must(ops->linear_new(&p.floats, (const silr_tensor *const *)floats, (const silr_tensor *const *)bias,
                         p.n, SILR_KEEP_FAST, &err));
    for (size_t i = 0; i < p.n; i++) { /* neither needs them any longer */
        memset((void *)(uintptr_t)weight[i]->data, 0xff, weight[i]->bytes);
        free_tensor(weight[i]);
        free_tensor(floats[i]);
        free_tensor(bias[i]);
    }
    return p;
}

static void clear_pair(const silr_ops *ops, pair *p)
{
    ops->linear_free(p->nf4);
    ops->linear_free(p->floats);
}

/* n rows forward (in -> out) or back, once written and once added. */
static void one_product(const silr_ops *ops, const pair *p, size_t in, size_t n, bool back)
{
    size_t from = back ? p->out : in, to = back ? in : p->out, ldx = from + GAP, ldy = to + GAP;
    silr_status (*f)(const silr_linear *, const float *, size_t, size_t, float *, size_t, bool, silr_error *) =
        back ? ops->linear_back : ops->linear;
    float *x = made(5, n * ldx), *want = untouched(n, ldy), *got = untouched(n, ldy);

    for (int add = 0; add < 2; add++) {
        must(f(p->floats, x, n, ldx, want, ldy, add, &err));
        must(f(p->nf4, x, n, ldx, got, ldy, add, &err));
        if (memcmp(got, want, n * ldy * sizeof *got) != 0)
            fail_msg("%s: %zu rows of %zu %s to %zu: not as with floats", ops->name, n, from,
                     back ? "back" : "forth", to);
    }
    gaps_are_untouched(got, n, to, ldy);
    silr_free(x);
    silr_free(want);
    silr_free(got);
}

static void products_of(const silr_ops *ops, const size_t *rows, size_t n_rows)
{
    static const shape shapes[] = {
        {3, {1}, {0}, true},
        {33, {5, 1, 40}, {0, SILR_TYPE_F16, SILR_TYPE_BF16}, true}, /* blocks span rows */
        {577, {100, 7}, {0}, false},
        {576, {130, 19, 19}, {SILR_TYPE_Q4_1, SILR_TYPE_Q8_0, 0}, true},
        {2050, {31}, {0}, false},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        pair p = pair_of(ops, &shapes[i]);
        for (size_t k = 0; k < n_rows; k++) {
            one_product(ops, &p, shapes[i].in, rows[k], false);
            one_product(ops, &p, shapes[i].in, rows[k], true);
        }
        must(ops->linear_ready_back(p.nf4, &err)); /* has nothing to prepare, and does no harm */
        one_product(ops, &p, shapes[i].in, 2, true);
        clear_pair(ops, &p);
    }
}

static void fast_products(void)
{
    static const size_t rows[] = {1, 2, 7, 97, 600};

    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        products_of(cpu, rows, threads == 1 ? 5 : 4);
    }
}

static void products(void **state)
{
    static const size_t rows[] = {1, 9};
    (void)state;

    products_of(plain, rows, 2);
    with_all_kernels(fast_products);
}

/* Half a byte a value and a little; and nothing of the file. */
static void bytes(void **state)
{
    const shape s = {1024, {512, 256}, {0}, false};
    (void)state;

    for (int fast = 0; fast < 2; fast++) {
        const silr_ops *ops = fast ? cpu : plain;
        pair p = pair_of(ops, &s);
        const size_t n = ops->linear_bytes(p.nf4);
        assert_true(n > p.values / 2 && (double)n < 0.525 * (double)p.values);
        clear_pair(ops, &p);
    }
}

static void what_is_no_number_is_refused(void **state)
{
    silr_tensor *t = made_tensor(3, SILR_TYPE_F32, 4, 64);
    const silr_tensor *w = t;
    silr_linear *l;
    (void)state;

    ((float *)(uintptr_t)t->data)[70] = NAN;
    for (int fast = 0; fast < 2; fast++) {
        assert_int_equal((fast ? cpu : plain)->linear_new(&l, &w, NULL, 1, SILR_KEEP_NF4, &err), SILR_EINPUT);
        assert_null(l);
    }
    free_tensor(t);
}

static void no_memory(void **state)
{
    silr_tensor *t = made_tensor(3, SILR_TYPE_F32, 40, 64);
    const silr_tensor *w[2] = {t, t};
    float *x = made(1, 64), y[80];
    silr_linear *l;
    (void)state;

    for (int fast = 0; fast < 2; fast++) {
        const silr_ops *ops = fast ? cpu : plain;
        silr_status st = SILR_ENOMEM;
        for (uint64_t n = 1; st != SILR_OK; n++) {
            silr_mem_fail_at(n, false);
            st = ops->linear_new(&l, w, NULL, 2, SILR_KEEP_NF4, NULL);
            silr_mem_fail_at(0, false);
            assert_true(st == SILR_OK || st == SILR_ENOMEM);
        }
        silr_mem_fail_at(1, false);
        st = ops->linear(l, x, 1, 64, y, 80, false, NULL);
        silr_mem_fail_at(0, false);
        assert_int_equal(st, SILR_ENOMEM);
        ops->linear_free(l);
    }
    silr_free(x);
    free_tensor(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(products),
        cmocka_unit_test(bytes),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(no_memory),
    };
    cpu = silr_ops_cpu();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
