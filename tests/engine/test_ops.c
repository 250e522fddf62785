/* test_ops.c - the fast operations against the plain ones, and against themselves: a row comes out
 * the same to the bit whatever else is in the call and however many threads there are. */
#include "ops_made.h"

#include "engine/ops.h"
#include <math.h>
#include <omp.h>
#include <string.h>

static const silr_ops *cpu, *plain = &silr_ops_plain;

/* --- values of each type ---------------------------------------------------------------------- */

static void values_are_as_published(void)
{
    const silr_kernels *k = NULL;

    for (size_t i = 0; (k = silr_kernels_at(i)); i++)
        for (int type = 0; type < SILR_TYPE_OTHER; type++) {
            silr_tensor *t = made_tensor(7, (silr_type)type, 9, 768);
            float *want = untouched(9, 768), *got = untouched(9, 768);
            silr_dequantise(t->type, t->data, 9 * 768, want);
            k->dequantise(t->type, t->data, 9 * 768, got);
            if (memcmp(got, want, 9 * 768 * sizeof *got) != 0)
                fail_msg("%s, %s: not what silr_dequantise makes of it", k->name, t->name);
            silr_free(want);
            silr_free(got);
            free_tensor(t);
        }
}

/* Subnormal, infinite and all the rest; what is no number may be another such afterwards. */
static void every_half(void)
{
    const silr_kernels *k = NULL;
    static uint16_t half[65536];
    static float want[65536], got[65536];

    for (size_t h = 0; h < 65536; h++)
        half[h] = (uint16_t)h;
    silr_dequantise(SILR_TYPE_F16, half, 65536, want);
    for (size_t i = 0; (k = silr_kernels_at(i)); i++) {
        k->dequantise(SILR_TYPE_F16, half, 65536, got);
        for (size_t h = 0; h < 65536; h++)
            if (memcmp(&got[h], &want[h], sizeof *got) != 0 && !(isnan(got[h]) && isnan(want[h])))
                fail_msg("%s: half %zx is %a, not %a", k->name, h, (double)got[h], (double)want[h]);
    }
}

static void values(void **state)
{
    (void)state;
    values_are_as_published();
    every_half();
}

/* --- products --------------------------------------------------------------------------------- */

typedef struct {
    size_t n, in, out[3];
    silr_type type[3];
    bool bias[3];
} product;

/* A stack of random matrices, as a backend has it. What it says it copied is gone at once. */
typedef struct {
    const silr_ops *ops;
    silr_tensor *weight[3], *bias[3];
    silr_linear *w;
    size_t out;
} stack;

static stack stack_of(const silr_ops *ops, const product *p, silr_keep keep)
{
    stack s = {.ops = ops};
    size_t n = 0;

    for (; n < 3 && p->out[n] > 0; n++) {
        s.weight[n] = made_tensor(n + 1, p->type[n], p->out[n], p->in);
        s.bias[n] = p->bias[n] ? made_tensor(n + 9, SILR_TYPE_F32, p->out[n], 0) : NULL;
        s.out += p->out[n];
    }
    must(ops->linear_new(&s.w, (const silr_tensor *const *)s.weight,
                         (const silr_tensor *const *)s.bias, n, keep, &err));
    for (size_t i = 0; i < n; i++) {
        free_tensor(s.bias[i]);
        if (keep == SILR_KEEP_FAST) {
            memset((void *)(uintptr_t)s.weight[i]->data, 0xff, s.weight[i]->bytes);
            free_tensor(s.weight[i]);
            s.weight[i] = NULL;
        }
    }
    return s;
}

static void clear_stack(stack *s)
{
    s->ops->linear_free(s->w);
    for (size_t i = 0; i < 3; i++)
        free_tensor(s->weight[i]);
}

static void one_product(const product *p, silr_keep keep, bool add)
{
    stack a = stack_of(plain, p, SILR_KEEP_FAST), b = stack_of(cpu, p, keep);
    size_t ldx = p->in + GAP, ldy = a.out + GAP;
    float *x = made(3, p->n * ldx), *want = untouched(p->n, ldy), *got = untouched(p->n, ldy);

    for (size_t r = 0; add && r < p->n; r++)
        for (size_t i = 0; i < a.out; i++)
            want[r * ldy + i] = got[r * ldy + i] = (float)(r + i) / 100;
    must(plain->linear(a.w, x, p->n, ldx, want, ldy, add, &err));
    must(cpu->linear(b.w, x, p->n, ldx, got, ldy, add, &err));
    if (!(apart(got, want, p->n, a.out, ldy) < 1e-6))
        fail_msg("%s, %zu rows, %zu -> %zu, %s, %s%s: %g apart", silr_ops_cpu_describe(), p->n, p->in,
                 a.out, silr_type_of(p->type[0])->name, keep == SILR_KEEP_FAST ? "fast" : "as filed",
                 add ? ", added" : "", apart(got, want, p->n, a.out, ldy));
    gaps_are_untouched(got, p->n, a.out, ldy);
    clear_stack(&a);
    clear_stack(&b);
    silr_free(x);
    silr_free(want);
    silr_free(got);
}

static void products_are_right(void)
{
    static const product odd[] = {
        {.n = 1, .in = 3, .out = {1}},
        {.n = 3, .in = 1, .out = {5}},
        {.n = 7, .in = 3, .out = {2, 1, 19}, .bias = {true, false, true}},
        {.n = 5, .in = 401, .out = {33}, .bias = {true}},
        {.n = 100, .in = 63, .out = {17, 40}},
        {.n = 13, .in = 1537, .out = {31}},
        {.n = 97, .in = 384, .out = {130, 1, 3}, .bias = {false, false, true}},
        {.n = 2, .in = 2050, .out = {15, 16, 17}, .type = {SILR_TYPE_BF16, 0, SILR_TYPE_F16}},
    };
    product p;

    for (int keep = SILR_KEEP_FAST; keep <= SILR_KEEP_AS_FILED; keep++)
        for (int add = 0; add < 2; add++) {
            for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
                one_product(&odd[i], (silr_keep)keep, add);
            for (int type = 0; type < SILR_TYPE_OTHER; type++) {
                p = (product){.n = 10, .in = 1280, .out = {21, 7}, .bias = {true, false},
                              .type = {(silr_type)type, SILR_TYPE_Q4_1}};
                one_product(&p, (silr_keep)keep, add);
            }
        }
}

static void products(void **state)
{
    (void)state;
    with_all_kernels(products_are_right);
}

/* The same rows, alone and in company, at another place, with more or fewer threads. */
static void rows_are_independent(void)
{
    static const size_t counts[] = {1, 2, 7, 64, 129};
    static const product kinds[] = {
        {.in = 576, .out = {300, 7}, .bias = {true, true}},
        {.in = 1536, .out = {200}, .type = {SILR_TYPE_Q4_1}},
        {.in = 1280, .out = {50}, .type = {SILR_TYPE_Q6_K}},
    };

    for (size_t i = 0; i < 3; i++)
        for (int keep = SILR_KEEP_FAST; keep <= SILR_KEEP_AS_FILED; keep++) {
            stack s = stack_of(cpu, &kinds[i], (silr_keep)keep);
            size_t in = kinds[i].in, bytes = s.out * sizeof(float);
            float *x = made(5, 129 * in), *all = untouched(129, s.out), *some = untouched(129, s.out);
            omp_set_num_threads(1);
            must(cpu->linear(s.w, x, 129, in, all, s.out, false, &err));
            for (size_t c = 0; c < 5; c++)
                for (int threads = 1; threads <= 4; threads *= 2) {
                    size_t first = (129 - counts[c]) / 2;
                    omp_set_num_threads(threads);
                    must(cpu->linear(s.w, x + first * in, counts[c], in, some, s.out, false, &err));
                    if (memcmp(some, all + first * s.out, counts[c] * bytes) != 0)
                        fail_msg("%s: %zu rows differ from the same among 129, %d threads",
                                 silr_ops_cpu_describe(), counts[c], threads);
                }
            clear_stack(&s);
            silr_free(x);
            silr_free(all);
            silr_free(some);
        }
}

static void independence(void **state)
{
    (void)state;
    with_all_kernels(rows_are_independent);
}

static void bad_matrices_are_refused(void **state)
{
    silr_tensor *good = made_tensor(1, SILR_TYPE_F32, 4, 64), *bias = made_tensor(1, 0, 5, 0);
    silr_tensor integers = *good, narrow = *good, blocks = *good;
    const silr_tensor *w[2] = {good, &integers}, *b[2] = {NULL, NULL};
    silr_linear *l;
    (void)state;

    integers.type = SILR_TYPE_OTHER;
    narrow.dim[1] = 63;
    blocks.type = SILR_TYPE_Q4_K;
    for (int fast = 0; fast < 2; fast++) {
        const silr_ops *ops = fast ? cpu : plain;
        w[1] = &integers;
        assert_int_equal(ops->linear_new(&l, w, b, 2, SILR_KEEP_FAST, &err), SILR_EINPUT);
        w[1] = &narrow;
        assert_int_equal(ops->linear_new(&l, w, NULL, 2, SILR_KEEP_FAST, &err), SILR_EINPUT);
        w[1] = &blocks;
        assert_int_equal(ops->linear_new(&l, w, NULL, 2, SILR_KEEP_AS_FILED, &err), SILR_EINPUT);
        b[0] = bias;
        assert_int_equal(ops->linear_new(&l, w, b, 1, SILR_KEEP_FAST, &err), SILR_EINPUT);
        b[0] = NULL;
        assert_null(l);
    }
    free_tensor(good);
    free_tensor(bias);
}

/* --- row by row ------------------------------------------------------------------------------- */

static const size_t dims[] = {1, 3, 8, 15, 33, 384, 577};

static void norms_are_right(void)
{
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        size_t dim = dims[i], n = 100, ld = dim + GAP;
        float *x = made(1, n * ld), *w = made(2, dim), *b = made(3, dim);
        float *want = untouched(n, ld), *got = untouched(n, ld);
        plain->rms_norm(x, ld, w, 1, 1e-6, n, dim, want, ld);
        cpu->rms_norm(x, ld, w, 1, 1e-6, n, dim, got, ld);
        close_to("rms_norm", apart(got, want, n, dim, ld), 3e-7);
        gaps_are_untouched(got, n, dim, ld);
        plain->layer_norm(x, ld, w, b, 1e-5, n, dim, want, ld);
        cpu->layer_norm(x, ld, w, b, 1e-5, n, dim, got, ld);
        close_to("layer_norm", apart(got, want, n, dim, ld), 3e-7);
        gaps_are_untouched(got, n, dim, ld);
        cpu->rms_norm(x + 7 * ld, ld, w, 0, 1e-6, 1, dim, got, ld); /* alone */
        cpu->rms_norm(x, ld, w, 0, 1e-6, n, dim, x, ld);            /* in place */
        assert_memory_equal(got, x + 7 * ld, dim * sizeof *got);
        silr_free(x);
        silr_free(w);
        silr_free(b);
        silr_free(want);
        silr_free(got);
    }
}

/* A large mean must not swallow the variance. */
static void norms_of_shifted_rows(void)
{
    float *x = made(1, 384), *w = made(2, 384), *b = made(3, 384), want[384], got[384];

    for (size_t k = 0; k < 384; k++)
        x[k] += 1000;
    plain->layer_norm(x, 384, w, b, 1e-12, 1, 384, want, 384);
    cpu->layer_norm(x, 384, w, b, 1e-12, 1, 384, got, 384);
    close_to("layer_norm about 1000", apart(got, want, 1, 384, 384), 1e-4); /* 1000 has 6e-5 */
    silr_free(x);
    silr_free(w);
    silr_free(b);
}

static void turns_are_right(void)
{
    enum { N = 40, HEADS = 3, DIM = 22, TURNED = 14, LD = HEADS * DIM + GAP };
    float *x = made(1, N * LD), *want = made(1, N * LD), *table = made(2, (size_t)100 * TURNED);
    uint32_t position[N];

    for (uint32_t i = 0; i < N; i++)
        position[i] = i * 37 % 100;
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        plain->rope(want, LD, N, HEADS, DIM, TURNED, position, table, interleaved);
        cpu->rope(x, LD, N, HEADS, DIM, TURNED, position, table, interleaved);
        close_to("rope", apart(x, want, N, LD, LD), 2e-7);
    }
    silr_free(x);
    silr_free(want);
    silr_free(table);
}

static void activations_are_right(void)
{
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++)
            for (int gated = 0; gated < 2; gated++) {
                size_t dim = dims[i], n = 50, ld = 2 * dim + GAP;
                float *x = made(1, n * ld), *want = untouched(n, ld), *got = untouched(n, ld);
                const float *up = gated ? x + dim : NULL;
                plain->activate((silr_activation)act, x, up, ld, n, dim, want, ld);
                cpu->activate((silr_activation)act, x, up, ld, n, dim, got, ld);
                close_to("activation", apart(got, want, n, dim, ld), 2e-7);
                gaps_are_untouched(got, n, dim, ld);
                cpu->activate((silr_activation)act, x, up, ld, n, dim, x, ld);
                for (size_t r = 0; r < n; r++)
                    assert_memory_equal(x + r * ld, got + r * ld, dim * sizeof *x);
                silr_free(x);
                silr_free(want);
                silr_free(got);
            }
}

/* Each value by itself, in units of the last place of what it should be: a few where it matters,
 * more far below 0, where a rounded exponent tells and what comes out is next to nothing. */
static void activations_are_exact_everywhere(void)
{
    enum { N = 200001 };
    static float x[N], want[N], got[N];

    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * 1e-4F;
    for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++) {
        plain->activate((silr_activation)act, x, NULL, N, 1, N, want, N);
        cpu->activate((silr_activation)act, x, NULL, N, 1, N, got, N);
        for (size_t i = 0; i < N; i++) {
            double size = fabs((double)want[i]) + 1e-35, most = size > 1e-3 ? 8 : 128;
            double units = fabs((double)got[i] - (double)want[i]) / (size * 0x1p-23);
            if (!(units < most))
                fail_msg("%s: activation %d is %.1f units off at %g", silr_ops_cpu_describe(), act,
                         units, (double)x[i]);
        }
    }
}

static void activations_at_the_ends(void)
{
    const float x[] = {-INFINITY, -1e30F, -100, 100, 1e30F, INFINITY, NAN, 0, -0.0F};
    float got[9];

    for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++) {
        cpu->activate((silr_activation)act, x, NULL, 9, 1, 9, got, 9);
        assert_true(fabs((double)got[1]) < 1e-7 && fabs((double)got[2]) < 1e-35 && got[3] == 100);
        assert_true(got[4] == 1e30F && got[5] == INFINITY);
        assert_true(isnan(got[6]) && got[7] == 0 && got[8] == 0);
    }
}

static void gathered_rows_are_right(void)
{
    const uint32_t id[] = {3, 0, 8, 3, 7};

    for (int type = 0; type < SILR_TYPE_OTHER; type++) {
        silr_tensor *t = made_tensor(1, (silr_type)type, 9, 512);
        float want[5 * 512], got[5 * 512];
        for (int i = 0; i < 2; i++) {
            plain->gather(t, id, 5, i ? 24.0F : 1.0F, want);
            cpu->gather(t, id, 5, i ? 24.0F : 1.0F, got);
            assert_memory_equal(got, want, sizeof got);
        }
        free_tensor(t);
    }
}

static void sums_are_right(void)
{
    enum { N = 40003 };
    float *a = made(1, N), *b = made(1, N), *x = made(2, N);

    plain->add(a, x, N);
    cpu->add(b, x, N);
    assert_memory_equal(a, b, N * sizeof *a);
    silr_free(a);
    silr_free(b);
    silr_free(x);
}

static void row_by_row(void **state)
{
    (void)state;
    with_all_kernels(norms_are_right);
    with_all_kernels(norms_of_shifted_rows);
    with_all_kernels(turns_are_right);
    with_all_kernels(activations_are_right);
    with_all_kernels(activations_are_exact_everywhere);
    with_all_kernels(activations_at_the_ends);
    with_all_kernels(gathered_rows_are_right);
    with_all_kernels(sums_are_right);
}

/* --- attention -------------------------------------------------------------------------------- */

/* Texts of these many tokens behind a prefix (0: none), rows with gaps between them. */
typedef struct {
    silr_attention a;
    size_t n_texts, own[4], queries[4], prefix;
} scene;

typedef struct {
    silr_attention_strides s;
    silr_attention_text text[4];
    float *q, *k, *v, *pk, *pv, *out;
    size_t tokens;
} laid_out;

static laid_out lay_out(const scene *c)
{
    size_t wide = c->a.heads * c->a.head_dim, narrow = c->a.kv_heads * c->a.head_dim, at = 0;
    laid_out l = {.s = {wide + GAP, wide + GAP, narrow + GAP, narrow + 2 * GAP}};

    for (size_t t = 0; t < c->n_texts; t++)
        l.tokens += c->own[t];
    l.q = made(1, l.tokens * l.s.q);
    l.k = made(2, l.tokens * l.s.kv);
    l.v = made(3, l.tokens * l.s.kv);
    l.pk = made(4, c->prefix * l.s.prefix + 1);
    l.pv = made(5, c->prefix * l.s.prefix + 1);
    l.out = untouched(l.tokens, l.s.out);
    for (size_t t = 0; t < c->n_texts; t++) {
        size_t n = c->queries[t] > 0 ? c->queries[t] : c->own[t], skip = at + c->own[t] - n;
        l.text[t] = (silr_attention_text){.n = n, .q = l.q + skip * l.s.q, .out = l.out + skip * l.s.out,
                                          .n_own = c->own[t], .k = l.k + at * l.s.kv,
                                          .v = l.v + at * l.s.kv, .n_prefix = c->prefix,
                                          .prefix_k = c->prefix ? l.pk : NULL,
                                          .prefix_v = c->prefix ? l.pv : NULL};
        at += c->own[t];
    }
    return l;
}

static void clear_scene(laid_out *l)
{
    silr_free(l->q);
    silr_free(l->k);
    silr_free(l->v);
    silr_free(l->pk);
    silr_free(l->pv);
    silr_free(l->out);
}

static const scene scenes[] = {
    {.a = {4, 4, 32, 0.18, 0, false, 0}, .n_texts = 3, .own = {1, 56, 130}},
    {.a = {3, 1, 64, 0.125, 0, true, 0}, .n_texts = 4, .own = {60, 1, 64, 65}, .prefix = 150},
    {.a = {3, 1, 64, 0.125, 0, true, 0}, .n_texts = 2, .own = {60, 200}, .queries = {1, 3}, .prefix = 64},
    {.a = {2, 1, 256, 0.0625, 50, true, 0}, .n_texts = 2, .own = {40, 3}, .prefix = 7},
    {.a = {4, 2, 128, 0.09, 0, true, 17}, .n_texts = 2, .own = {100, 20}, .prefix = 33},
    {.a = {4, 2, 128, 0.09, 2, true, 1}, .n_texts = 1, .own = {70}},
    {.a = {2, 2, 20, 0.2, 0, false, 10}, .n_texts = 2, .own = {200, 11}},
    {.a = {2, 1, 5, 0.4, 30, false, 9}, .n_texts = 3, .own = {65, 2, 1}, .prefix = 3},
    {.a = {2, 1, 5, 0.4, 2, false, 0}, .n_texts = 2, .own = {40, 7}}, /* the cap bends most scores */
    {.a = {5, 1, 3, 3.0, 0, true, 0}, .n_texts = 1, .own = {300}},
    {.a = {1, 1, 300, 0.1, 0, true, 0}, .n_texts = 1, .own = {9}},
};
enum { SCENES = sizeof scenes / sizeof *scenes };

static void attention_is_right(void)
{
    for (size_t i = 0; i < SCENES; i++) {
        const scene *c = &scenes[i];
        laid_out want = lay_out(c), got = lay_out(c);
        size_t wide = c->a.heads * c->a.head_dim;
        must(plain->attention(&c->a, &want.s, want.text, c->n_texts, &err));
        must(cpu->attention(&c->a, &got.s, got.text, c->n_texts, &err));
        if (!(apart(got.out, want.out, got.tokens, wide, got.s.out) < 2e-6))
            fail_msg("%s, scene %zu: %g apart", silr_ops_cpu_describe(), i,
                     apart(got.out, want.out, got.tokens, wide, got.s.out));
        gaps_are_untouched(got.out, got.tokens, wide, got.s.out);
        clear_scene(&want);
        clear_scene(&got);
    }
}

/* A text alone, its last query alone, any number of threads: the same bits. */
static void queries_are_independent(void)
{
    for (size_t i = 0; i < SCENES; i++) {
        const scene *c = &scenes[i];
        laid_out all = lay_out(c), alone = lay_out(c);
        size_t wide = c->a.heads * c->a.head_dim;
        omp_set_num_threads(1);
        must(cpu->attention(&c->a, &all.s, all.text, c->n_texts, &err));
        for (int threads = 1; threads <= 4; threads *= 2)
            for (size_t t = 0; t < c->n_texts; t++) {
                silr_attention_text last = alone.text[t];
                omp_set_num_threads(threads);
                must(cpu->attention(&c->a, &alone.s, &alone.text[t], 1, &err));
                for (size_t r = 0; r < last.n; r++)
                    assert_memory_equal(last.out + r * all.s.out, all.text[t].out + r * all.s.out,
                                        wide * sizeof(float));
                last.q += (last.n - 1) * all.s.q;
                last.n = 1;
                must(cpu->attention(&c->a, &alone.s, &last, 1, &err));
                assert_memory_equal(last.out, all.text[t].out + (all.text[t].n - 1) * all.s.out,
                                    wide * sizeof(float));
            }
        clear_scene(&all);
        clear_scene(&alone);
    }
}

/* Scores so far apart that exp of one is 0, and larger than exp can bear. */
static void large_scores(void)
{
    const silr_attention a = {1, 1, 2, 1, 0, true, 0};
    const silr_attention_strides s = {2, 2, 2, 2};
    float q[2 * 3] = {0, 0, 100, 0, -100, 0}, k[2 * 3] = {1, 0, 5, 0, -5, 0};
    float v[2 * 3] = {1, 2, 3, 4, 5, 6}, out[6];
    const silr_attention_text t = {.n = 3, .q = q, .out = out, .n_own = 3, .k = k, .v = v};
    const float want[6] = {1, 2, 3, 4, 5, 6};

    must(cpu->attention(&a, &s, &t, 1, &err));
    for (int i = 0; i < 6; i++)
        assert_true(out[i] == want[i]);
}

static void attention(void **state)
{
    (void)state;
    with_all_kernels(attention_is_right);
    with_all_kernels(queries_are_independent);
    with_all_kernels(large_scores);
}

/* --- no memory -------------------------------------------------------------------------------- */

static void each_allocation_failing(void **state)
{
    const product p = {.n = 3, .in = 64, .out = {5, 9}, .bias = {true, false}};
    silr_tensor *w[2] = {made_tensor(1, 0, 5, 64), made_tensor(2, 0, 9, 64)};
    silr_tensor *b[2] = {made_tensor(3, 0, 5, 0), NULL};
    float *x = made(1, p.n * p.in), y[3 * 14];
    laid_out l = lay_out(&scenes[1]);
    (void)state;

    for (int fast = 0; fast < 2; fast++)
        for (int keep = SILR_KEEP_FAST; keep <= SILR_KEEP_AS_FILED; keep++) {
            const silr_ops *ops = fast ? cpu : plain;
            silr_status st = SILR_ENOMEM;
            for (uint64_t n = 1; st != SILR_OK; n++) {
                silr_linear *linear;
                assert_true(n < 100);
                silr_mem_fail_at(n, false);
                st = ops->linear_new(&linear, (const silr_tensor *const *)w,
                                     (const silr_tensor *const *)b, 2, (silr_keep)keep, &err);
                if (st == SILR_OK)
                    st = ops->linear(linear, x, p.n, p.in, y, 14, false, &err);
                if (st == SILR_OK)
                    st = ops->attention(&scenes[1].a, &l.s, l.text, 4, &err);
                silr_mem_fail_at(0, false);
                assert_true(st == SILR_OK || st == SILR_ENOMEM);
                ops->linear_free(linear);
            }
        }
    for (int i = 0; i < 2; i++) {
        free_tensor(w[i]);
        free_tensor(b[i]);
    }
    silr_free(x);
    clear_scene(&l);
}

static void bytes_are_told(void **state)
{
    const product p = {.in = 512, .out = {100}, .type = {SILR_TYPE_Q4_1}};
    stack fast = stack_of(cpu, &p, SILR_KEEP_FAST), filed = stack_of(cpu, &p, SILR_KEEP_AS_FILED);
    (void)state;

    assert_in_range(cpu->linear_bytes(fast.w), 512 * 100 * 4, 512 * 130 * 4);
    assert_in_range(cpu->linear_bytes(filed.w), 1, 1000);
    clear_stack(&fast);
    clear_stack(&filed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(products),
        cmocka_unit_test(independence),
        cmocka_unit_test(bad_matrices_are_refused),
        cmocka_unit_test(row_by_row),
        cmocka_unit_test(attention),
        cmocka_unit_test(each_allocation_failing),
        cmocka_unit_test(bytes_are_told),
    };

    cpu = silr_ops_cpu();
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
