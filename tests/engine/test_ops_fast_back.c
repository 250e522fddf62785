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

/* --- products with kept matrices ------------------------------------------------------------------ */

/* A stack of two; in is whole blocks of the first's type. */
typedef struct {
    size_t in, out[2];
    silr_type type;
    silr_keep keep;
    bool ready;
} kept;

static silr_linear *linear_of(const silr_ops *ops, const kept *k, silr_tensor *w[2])
{
    silr_linear *l;

    w[0] = made_tensor(1, k->type, k->out[0], k->in);
    w[1] = made_tensor(2, SILR_TYPE_F32, k->out[1], k->in);
    must(ops->linear_new(&l, (const silr_tensor *const *)w, NULL, 2, k->keep, &err));
    if (k->keep == SILR_KEEP_FAST) /* what was copied may go */
        for (int i = 0; i < 2; i++)
            memset((void *)(uintptr_t)w[i]->data, 0xff, w[i]->bytes);
    if (k->ready)
        must(ops->linear_ready_back(l, &err));
    return l;
}

static void free_kept(const silr_ops *ops, silr_linear *l, silr_tensor *w[2])
{
    ops->linear_free(l);
    free_tensor(w[0]);
    free_tensor(w[1]);
}

static void one_linear_back(const kept *k)
{
    enum { N = 200 };
    silr_tensor *w[2], *v[2];
    silr_linear *slow = linear_of(plain, k, v), *fast = linear_of(cpu, k, w);
    size_t out = k->out[0] + k->out[1], lddy = out + GAP, lddx = k->in + GAP;
    float *dy = made(3, N * lddy), *want = untouched(N, lddx), *first = untouched(N, lddx);

    must(plain->linear_back(slow, dy, N, lddy, want, lddx, false, &err));
    for (int threads = 1; threads <= 3; threads++) {
        float *got = untouched(N, lddx);
        omp_set_num_threads(threads);
        must(cpu->linear_back(fast, dy, N, lddy, got, lddx, false, &err));
        if (!(apart(got, want, N, k->in, lddx) < 1e-6))
            fail_msg("%s: %zu <- %zu + %zu, %s: %g apart", silr_ops_cpu_describe(), k->in, k->out[0],
                     k->out[1], silr_type_of(k->type)->name, apart(got, want, N, k->in, lddx));
        gaps_are_untouched(got, N, k->in, lddx);
        if (threads == 1)
            memcpy(first, got, N * lddx * sizeof *got);
        assert_memory_equal(got, first, N * lddx * sizeof *got);
        for (size_t r = 0; r < N; r += 67) { /* alone */
            must(cpu->linear_back(fast, dy + r * lddy, 1, lddy, got, lddx, false, &err));
            assert_memory_equal(got, first + r * lddx, k->in * sizeof *got);
            must(cpu->linear_back(fast, dy + r * lddy, 1, lddy, got, lddx, true, &err));
            for (size_t i = 0; i < k->in; i++) /* added run by run: not quite twice */
                assert_true(fabsf(got[i] - 2 * first[r * lddx + i]) < 1e-4F);
        }
        silr_free(got);
    }
    free_kept(plain, slow, v);
    free_kept(cpu, fast, w);
    silr_free(dy);
    silr_free(want);
    silr_free(first);
}

static void linear_back_is_right(void)
{
    for (int type = 0; type < SILR_TYPE_OTHER; type++)
        one_linear_back(&(kept){512, {40, 3}, (silr_type)type, SILR_KEEP_AS_FILED, true});
    for (int ready = 0; ready < 2; ready++) {
        one_linear_back(&(kept){577, {33, 100}, SILR_TYPE_F32, SILR_KEEP_FAST, ready});
        one_linear_back(&(kept){31, {1, 600}, SILR_TYPE_F32, SILR_KEEP_FAST, ready});
        one_linear_back(&(kept){3, {1, 1}, SILR_TYPE_F32, SILR_KEEP_AS_FILED, ready});
        one_linear_back(&(kept){288, {300, 5}, SILR_TYPE_Q4_1, SILR_KEEP_FAST, ready});
        one_linear_back(&(kept){288, {300, 5}, SILR_TYPE_Q4_1, SILR_KEEP_AS_FILED, ready});
    }
}

static void linear_back(void **state)
{
    (void)state;
    with_all_kernels(linear_back_is_right);
}

/* The second copy is counted, made once, and only where there is a first. */
static void bytes_are_told(void **state)
{
    const kept fast = {512, {100, 30}, SILR_TYPE_Q8_0, SILR_KEEP_FAST, false};
    const kept filed = {512, {100, 30}, SILR_TYPE_Q8_0, SILR_KEEP_AS_FILED, true};
    silr_tensor *w[2];
    silr_linear *l = linear_of(cpu, &fast, w);
    size_t before = cpu->linear_bytes(l);
    (void)state;

    for (int i = 0; i < 2; i++) {
        must(cpu->linear_ready_back(l, &err));
        assert_in_range(cpu->linear_bytes(l) - before, 130 * 512 * 4, 150 * 512 * 4);
    }
    free_kept(cpu, l, w);
    l = linear_of(cpu, &filed, w);
    assert_in_range(cpu->linear_bytes(l), 1, 1000);
    free_kept(cpu, l, w);
}

/* --- row by row --------------------------------------------------------------------------------- */

static const size_t dims[] = {1, 3, 8, 15, 33, 384, 577};
enum { DIMS = sizeof dims / sizeof *dims, N = 1100 }; /* more rows than norms sum at once */

/* One norm by each backend into copies of the same dx, dw, db. */
typedef struct {
    float *dx, *dw, *db;
} norm_sums;

static norm_sums norm_by(const silr_ops *ops, bool rms, const float *x, const float *w, size_t n, size_t dim,
                         const float *dy, const float *dx, bool sums)
{
    size_t ld = dim + GAP;
    norm_sums s = {silr_alloc(N * ld, sizeof *dx), made(8, dim), made(7, dim)};

    assert_non_null(s.dx);
    memcpy(s.dx, dx, N * ld * sizeof *dx);
    if (rms)
        ops->rms_norm_back(x, ld, w, 1, 1e-5, n, dim, dy, ld, s.dx, ld, sums ? s.dw : NULL);
    else
        ops->layer_norm_back(x, ld, w, 1e-5, n, dim, dy, ld, s.dx, ld, sums ? s.dw : NULL,
                             sums ? s.db : NULL);
    return s;
}

static void free_sums(norm_sums s)
{
    silr_free(s.dx);
    silr_free(s.dw);
    silr_free(s.db);
}

static void norms_are_right(void)
{
    for (size_t i = 0; i < 2 * DIMS; i++) {
        size_t dim = dims[i / 2], ld = dim + GAP;
        bool rms = i % 2;
        float *x = made(1, N * ld), *w = made(2, dim), *dy = made(3, N * ld), *was = made(9, N * ld);
        norm_sums want = norm_by(plain, rms, x, w, N, dim, dy, was, true), first = {0};
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            norm_sums got = norm_by(cpu, rms, x, w, N, dim, dy, was, true);
            norm_sums none = norm_by(cpu, rms, x, w, N, dim, dy, was, false);
            norm_sums alone = norm_by(cpu, rms, x, w, 1, dim, dy, was, false);
            if (dim > 1) /* or a layer norm's dx is rounding alone */
                close_to("norm's x", apart(got.dx, want.dx, N, dim, ld), 1e-6);
            close_to("norm's weights", apart(got.dw, want.dw, 1, dim, dim), 3e-6);
            close_to("norm's bias", apart(got.db, want.db, 1, dim, dim), 3e-6);
            for (size_t k = 0; k < N * ld; k++)
                assert_true(k % ld < dim || got.dx[k] == was[k]);
            assert_memory_equal(none.dx, got.dx, N * ld * sizeof *got.dx);
            assert_memory_equal(alone.dx, got.dx, ld * sizeof *got.dx);
            if (threads == 1)
                first = got;
            assert_memory_equal(first.dx, got.dx, N * ld * sizeof *got.dx);
            assert_memory_equal(first.dw, got.dw, dim * sizeof *got.dw);
            assert_memory_equal(first.db, got.db, dim * sizeof *got.db);
            if (threads > 1)
                free_sums(got);
            free_sums(none);
            free_sums(alone);
        }
        free_sums(want);
        free_sums(first);
        silr_free(x);
        silr_free(w);
        silr_free(dy);
        silr_free(was);
    }
}

static void activations_are_right(void)
{
    for (size_t i = 0; i < DIMS; i++)
        for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++)
            for (int gated = 0; gated < 2; gated++) {
                size_t dim = dims[i], n = 50, ld = 2 * dim + GAP, wide = gated ? 2 * dim : dim;
                float *x = made(1, n * ld), *dy = made(2, n * ld);
                float *want = untouched(n, ld), *got = untouched(n, ld);
                const float *up = gated ? x + dim : NULL;
                plain->activate_back((silr_activation)act, x, up, ld, n, dim, dy, ld, want, want + dim, ld);
                cpu->activate_back((silr_activation)act, x, up, ld, n, dim, dy, ld, got, got + dim, ld);
                close_to("activation", apart(got, want, n, wide, ld), 3e-7);
                gaps_are_untouched(got, n, wide, ld);
                cpu->activate_back((silr_activation)act, x, up, ld, n, dim, dy, ld, x, gated ? x + dim : NULL,
                                   ld);
                for (size_t r = 0; r < n; r++) /* in place */
                    assert_memory_equal(x + r * ld, got + r * ld, wide * sizeof *x);
                silr_free(x);
                silr_free(dy);
                silr_free(want);
                silr_free(got);
            }
}

/* Slopes and values everywhere, also where floats end. The slope is near 1 at most. */
static void slopes_are_exact_everywhere(void)
{
    enum { FINE = 200001, ENDS = 7 };
    const float ends[ENDS] = {-INFINITY, -1e30F, -90, 90, 1e30F, INFINITY, NAN};
    static float x[2 * FINE], dy[FINE], want[2 * FINE], got[2 * FINE];

    for (int i = 0; i < FINE; i++) {
        x[i] = i < ENDS ? ends[i] : (float)(i - FINE / 2) * 2e-4F;
        x[FINE + i] = dy[i] = 1;
    }
    for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++) {
        plain->activate_back((silr_activation)act, x, x + FINE, FINE, 1, FINE, dy, FINE, want, want + FINE, FINE);
        cpu->activate_back((silr_activation)act, x, x + FINE, FINE, 1, FINE, dy, FINE, got, got + FINE, FINE);
        for (size_t i = 0; i < 2 * FINE; i++) {
            double off = fabs((double)got[i] - (double)want[i]);
            bool same = (isnan(got[i]) && isnan(want[i])) || got[i] == want[i];
            if (!same && !(off <= 1e-6 * fmax(fabs((double)want[i]), 0.3)))
                fail_msg("%s: slope or value %d is %g, not %g, at %g", silr_ops_cpu_describe(), act,
                         (double)got[i], (double)want[i], (double)x[i % FINE]);
        }
    }
}

/* Bit for bit, of any width, at any rate, added or not. */
static void dropout_is_the_same(void)
{
    static const double rates[] = {0, 0.05, 0.5, 0.999};
    static const size_t widths[] = {1, 7, 32, 63, 64, 65, 576, 1000};
    uint64_t row[50];

    for (uint64_t i = 0; i < 50; i++)
        row[i] = i * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++) {
            size_t dim = widths[i], ld = dim + GAP;
            float *x = made(1, 50 * ld), *want = made(2, 50 * ld), *got = made(2, 50 * ld);
            omp_set_num_threads(1 + (int)j % 3);
            plain->dropout(UINT64_C(0x123456789abcdef0), rates[j / 2], row, x, ld, 50, dim, want, ld, j % 2);
            cpu->dropout(UINT64_C(0x123456789abcdef0), rates[j / 2], row, x, ld, 50, dim, got, ld, j % 2);
            assert_memory_equal(got, want, 50 * ld * sizeof *got);
            silr_free(x);
            silr_free(want);
            silr_free(got);
        }
}

static void embeddings_are_the_same(void)
{
    static const uint32_t id[] = {3, 0, 8, 3, 7, 3};

    for (size_t i = 0; i < DIMS; i++) {
        float *dy = made(1, 6 * dims[i]), *want = made(2, 9 * dims[i]), *got = made(2, 9 * dims[i]);
        plain->gather_back(id, 6, 24.3F, dy, dims[i], want);
        cpu->gather_back(id, 6, 24.3F, dy, dims[i], got);
        assert_memory_equal(got, want, 9 * dims[i] * sizeof *got);
        silr_free(dy);
        silr_free(want);
        silr_free(got);
    }
}

static void row_by_row(void **state)
{
    (void)state;
    with_all_kernels(norms_are_right);
    with_all_kernels(activations_are_right);
    with_all_kernels(slopes_are_exact_everywhere);
    with_all_kernels(dropout_is_the_same);
    with_all_kernels(embeddings_are_the_same);
}

/* --- attention ---------------------------------------------------------------------------------- */

enum { TEXTS = 4 };

typedef struct {
    silr_attention a;
    size_t n_texts, own[TEXTS], queries[TEXTS];
} scene;

typedef struct {
    silr_attention_strides s;
    silr_attention_text text[TEXTS];
    silr_attention_back back[TEXTS];
    float *q, *k, *v, *out, *dout, *dq, *dk, *dv;
    size_t tokens, wide, narrow;
} laid_out;

static laid_out lay_out(const scene *c)
{
    size_t at = 0;
    laid_out l = {.wide = c->a.heads * c->a.head_dim, .narrow = c->a.kv_heads * c->a.head_dim};

    l.s = (silr_attention_strides){l.wide + GAP, l.wide + 1, l.narrow + GAP, 0};
    for (size_t t = 0; t < c->n_texts; t++)
        l.tokens += c->own[t];
    l.q = made(1, l.tokens * l.s.q);
    l.k = made(2, l.tokens * l.s.kv);
    l.v = made(3, l.tokens * l.s.kv);
    l.dout = made(4, l.tokens * l.s.out);
    l.out = untouched(l.tokens, l.s.out);
    l.dq = untouched(l.tokens, l.s.q);
    l.dk = untouched(l.tokens, l.s.kv);
    l.dv = untouched(l.tokens, l.s.kv);
    for (size_t t = 0; t < c->n_texts; at += c->own[t++]) {
        size_t n = c->queries[t] > 0 ? c->queries[t] : c->own[t], first = at + c->own[t] - n;
        l.text[t] = (silr_attention_text){.n = n, .q = l.q + first * l.s.q, .out = l.out + first * l.s.out,
                                          .n_own = c->own[t], .k = l.k + at * l.s.kv,
                                          .v = l.v + at * l.s.kv};
        l.back[t] = (silr_attention_back){.dout = l.dout + first * l.s.out, .dq = l.dq + first * l.s.q,
                                          .dk = l.dk + at * l.s.kv, .dv = l.dv + at * l.s.kv};
    }
    return l;
}

static void clear_scene(laid_out *l)
{
    float *all[] = {l->q, l->k, l->v, l->out, l->dout, l->dq, l->dk, l->dv};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        silr_free(all[i]);
}

static const scene scenes[] = {
    {.a = {4, 4, 32, 0.18, 0, false, 0}, .n_texts = 3, .own = {1, 56, 130}},
    {.a = {9, 3, 64, 0.125, 0, true, 0}, .n_texts = 4, .own = {60, 1, 64, 65}},
    {.a = {3, 1, 64, 0.125, 0, true, 0}, .n_texts = 2, .own = {60, 200}, .queries = {1, 3}},
    {.a = {2, 1, 256, 0.0625, 50, true, 0}, .n_texts = 2, .own = {40, 3}},
    {.a = {4, 2, 128, 0.09, 0, true, 17}, .n_texts = 2, .own = {100, 20}},
    {.a = {4, 2, 128, 0.09, 2, true, 1}, .n_texts = 1, .own = {70}},
    {.a = {2, 2, 20, 0.2, 0, false, 10}, .n_texts = 2, .own = {200, 11}},
    {.a = {2, 1, 5, 0.4, 3, false, 9}, .n_texts = 3, .own = {65, 2, 1}, .queries = {30}},
    {.a = {5, 1, 3, 0.6, 0, true, 0}, .n_texts = 1, .own = {300}},
    {.a = {1, 1, 8, 0.3, 0, true, 0}, .n_texts = 2, .own = {1100, 4}},
};
enum { SCENES = sizeof scenes / sizeof *scenes };

static void attention_is_right(void)
{
    for (size_t i = 0; i < SCENES; i++) {
        const scene *c = &scenes[i];
        laid_out want = lay_out(c), got = lay_out(c);
        double q, k, v, most = c->a.window == 1 ? 1e-3 : 4e-6; /* dq, dk of one key are 0, but for rounding */
        must(plain->attention(&c->a, &want.s, want.text, c->n_texts, &err));
        must(plain->attention_back(&c->a, &want.s, want.text, want.back, c->n_texts, &err));
        must(cpu->attention(&c->a, &got.s, got.text, c->n_texts, &err));
        must(cpu->attention_back(&c->a, &got.s, got.text, got.back, c->n_texts, &err));
        q = 0;
        for (size_t t = 0; t < c->n_texts; t++)
            q = fmax(q, apart(got.back[t].dq, want.back[t].dq, got.text[t].n, got.wide, got.s.q));
        k = apart(got.dk, want.dk, got.tokens, got.narrow, got.s.kv);
        v = apart(got.dv, want.dv, got.tokens, got.narrow, got.s.kv);
        if (!(q < most && k < most && v < 3e-6))
            fail_msg("%s, scene %zu: dq %g, dk %g, dv %g apart", silr_ops_cpu_describe(), i, q, k, v);
        gaps_are_untouched(got.dq, got.tokens, got.wide, got.s.q);
        gaps_are_untouched(got.dk, got.tokens, got.narrow, got.s.kv);
        gaps_are_untouched(got.dv, got.tokens, got.narrow, got.s.kv);
        clear_scene(&want);
        clear_scene(&got);
    }
}

/* A text alone, any number of threads: the same bits. */
static void texts_are_independent(void)
{
    for (size_t i = 0; i < SCENES; i++) {
        const scene *c = &scenes[i];
        laid_out all = lay_out(c);
        omp_set_num_threads(1);
        must(cpu->attention(&c->a, &all.s, all.text, c->n_texts, &err));
        must(cpu->attention_back(&c->a, &all.s, all.text, all.back, c->n_texts, &err));
        for (int threads = 1; threads <= 3; threads++) {
            laid_out alone = lay_out(c);
            omp_set_num_threads(threads);
            must(cpu->attention(&c->a, &alone.s, alone.text, c->n_texts, &err));
            for (size_t t = 0; t < c->n_texts; t++)
                must(cpu->attention_back(&c->a, &alone.s, &alone.text[t], &alone.back[t], 1, &err));
            assert_memory_equal(alone.dq, all.dq, all.tokens * all.s.q * sizeof(float));
            assert_memory_equal(alone.dk, all.dk, all.tokens * all.s.kv * sizeof(float));
            assert_memory_equal(alone.dv, all.dv, all.tokens * all.s.kv * sizeof(float));
            clear_scene(&alone);
        }
        clear_scene(&all);
    }
}

static void attention_back(void **state)
{
    (void)state;
    with_all_kernels(attention_is_right);
    with_all_kernels(texts_are_independent);
}

/* --- no memory ---------------------------------------------------------------------------------- */

static void each_allocation_failing(void **state)
{
    const kept kinds[] = {{64, {5, 9}, SILR_TYPE_F32, SILR_KEEP_FAST, false},
                          {64, {5, 9}, SILR_TYPE_Q8_0, SILR_KEEP_AS_FILED, false}};
    laid_out l = lay_out(&scenes[1]);
    float *x = made(1, 3 * 64), y[3 * 64];
    (void)state;

    for (int fast = 0; fast < 2; fast++)
        for (int i = 0; i < 2; i++) {
            const silr_ops *ops = fast ? cpu : plain;
            silr_tensor *w[2];
            silr_linear *linear = linear_of(ops, &kinds[i], w);
            silr_status st = SILR_ENOMEM;
            for (uint64_t n = 1; st != SILR_OK; n++) {
                assert_true(n < 100);
                silr_mem_fail_at(n, false);
                st = ops->linear_back(linear, x, 3, 14, y, 64, false, &err); /* before and after */
                if (st == SILR_OK)
                    st = ops->linear_ready_back(linear, &err);
                if (st == SILR_OK)
                    st = ops->product(true, false, 8, 9, 3, 1, x, 8, x, 9, y, 9, false, &err);
                if (st == SILR_OK)
                    st = ops->attention_back(&scenes[1].a, &l.s, l.text, l.back, 4, &err);
                silr_mem_fail_at(0, false);
                assert_true(st == SILR_OK || st == SILR_ENOMEM);
            }
            free_kept(ops, linear, w);
        }
    silr_free(x);
    clear_scene(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(linear_back),
        cmocka_unit_test(bytes_are_told),
        cmocka_unit_test(row_by_row),
        cmocka_unit_test(attention_back),
        cmocka_unit_test(each_allocation_failing),
    };

    cpu = silr_ops_cpu();
    return cmocka_run_group_tests_name("ops-fast-back", tests, NULL, NULL);
}
