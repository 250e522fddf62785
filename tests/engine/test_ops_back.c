/* test_ops_back.c - every backward operation of the plain backend against what the forward one does
 * when its inputs move a little.
 *
 * The loss is L = sum_i c_i y_i with random c, so that dL/dy = c goes in and dL/dx must come out:
 *
 *     dL/dx ~ (8 (L(x + h) - L(x - h)) - (L(x + 2h) - L(x - 2h))) / 12h        off by h^4 / 30 L'''''
 *
 * L is summed in double, but y is of floats, each off by 6e-8 of itself: with h = 1/32 both errors
 * are near 1e-6. */
#include "ops_made.h"

#include "engine/ops.h"
#include <math.h>
#include <string.h>

static const silr_ops *ops = &silr_ops_plain;

static double loss_of(const float *y, const float *c, size_t rows, size_t width, size_t ld)
{
    double sum = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < width; k++)
            sum += (double)y[r * ld + k] * (double)c[r * ld + k];
    return sum;
}

/* The derivatives `got` of loss(context) by x, rows `width` long and ld apart. */
static void is_gradient(const char *what, double (*loss)(void *), void *context, float *x,
                        const float *got, size_t rows, size_t width, size_t ld)
{
    const float h = 0x1p-5F;
    double off = 0, size = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < width; k++) {
            float *at = &x[r * ld + k], was = *at;
            double l[5], want;
            for (int i = 0; i < 5; i++) {
                *at = was + (float)(i - 2) * h;
                l[i] = i == 2 ? 0 : loss(context);
            }
            *at = was;
            want = (8 * (l[3] - l[1]) - (l[4] - l[0])) / (12 * (double)h);
            off += pow((double)got[r * ld + k] - want, 2);
            size += want * want;
        }
    if (!(sqrt(off) <= 5e-5 * sqrt(size) + 1e-6))
        fail_msg("%s: the derivative is %g off, of %g", what, sqrt(off), sqrt(size));
}

/* --- products ---------------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    const float *x, *c;
    float *y;
    size_t n, out, ldx, ldy;
} linear_case;

static double linear_loss(void *context)
{
    const linear_case *c = context;

    must(ops->linear(c->w, c->x, c->n, c->ldx, c->y, c->ldy, false, &err));
    return loss_of(c->y, c->c, c->n, c->out, c->ldy);
}

static void one_linear(silr_type type, silr_keep keep)
{
    enum { N = 3, IN = 256, OUT = 7 + 4, LDX = IN + GAP, LDY = OUT + GAP };
    silr_tensor *w[2] = {made_tensor(1, type, 7, IN), made_tensor(2, SILR_TYPE_F32, 4, IN)};
    silr_tensor *b[2] = {made_tensor(3, SILR_TYPE_F32, 7, 0), NULL};
    float *x = made(4, N * LDX), *c = made(5, N * LDY), *y = made(6, N * LDY), *dx = made(7, N * LDX);
    float *twice = silr_alloc(N * LDX, sizeof *twice);
    linear_case l = {.x = x, .c = c, .y = y, .n = N, .out = OUT, .ldx = LDX, .ldy = LDY};
    silr_linear *linear;

    assert_non_null(twice);
    must(ops->linear_new(&linear, (const silr_tensor *const *)w, (const silr_tensor *const *)b, 2, keep,
                         &err));
    l.w = linear;
    must(ops->linear_ready_back(linear, &err));
    must(ops->linear_back(linear, c, N, LDY, dx, LDX, false, &err));
    is_gradient(silr_type_of(type)->name, linear_loss, &l, x, dx, N, IN, LDX);
    memcpy(twice, dx, N * LDX * sizeof *dx);
    must(ops->linear_back(linear, c, N, LDY, twice, LDX, true, &err));
    for (size_t i = 0; i < N * LDX; i++) /* and what lies between the rows stays */
        assert_true(i % LDX < IN ? twice[i] == 2 * dx[i] : twice[i] == dx[i]);
    ops->linear_free(linear);
    for (int i = 0; i < 2; i++) {
        free_tensor(w[i]);
        free_tensor(b[i]);
    }
    silr_free(x);
    silr_free(c);
    silr_free(y);
    silr_free(dx);
    silr_free(twice);
}

static void linear_back(void **state)
{
    (void)state;
    for (int type = 0; type < SILR_TYPE_OTHER; type++)
        for (int keep = SILR_KEEP_FAST; keep <= SILR_KEEP_AS_FILED; keep++)
            one_linear((silr_type)type, (silr_keep)keep);
}

enum { M = 5, N = 4, K = 6, LD = 11 };

typedef struct {
    bool turn_a, turn_b;
    float *a, *b, *y;
    const float *c;
} product_case;

static double product_loss(void *context)
{
    const product_case *p = context;

    must(ops->product(p->turn_a, p->turn_b, M, N, K, 0.5F, p->a, LD, p->b, LD, p->y, LD, false, &err));
    return loss_of(p->y, p->c, M, N, LD);
}

/* C = alpha A B is as the definition says; and its derivatives are products too: dA = alpha dC B^T,
 * dB = alpha A^T dC, each turned as its matrix is. */
static void one_turn(bool turn_a, bool turn_b)
{
    float *a = made(1, LD * LD), *b = made(2, LD * LD), *c = made(3, LD * LD), *y = made(4, LD * LD);
    float *da = made(5, LD * LD), *db = made(6, LD * LD);
    product_case p = {turn_a, turn_b, a, b, y, c};

    product_loss(&p);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double want = 0;
            for (size_t k = 0; k < K; k++)
                want += 0.5 * (double)a[turn_a ? k * LD + i : i * LD + k] *
                        (double)b[turn_b ? j * LD + k : k * LD + j];
            assert_true(fabs((double)y[i * LD + j] - want) < 1e-6);
        }
    if (turn_a)
        must(ops->product(turn_b, true, K, M, N, 0.5F, b, LD, c, LD, da, LD, false, &err));
    else
        must(ops->product(false, !turn_b, M, K, N, 0.5F, c, LD, b, LD, da, LD, false, &err));
    if (turn_b)
        must(ops->product(true, turn_a, N, K, M, 0.5F, c, LD, a, LD, db, LD, false, &err));
    else
        must(ops->product(!turn_a, false, K, N, M, 0.5F, a, LD, c, LD, db, LD, false, &err));
    is_gradient("A", product_loss, &p, a, da, turn_a ? K : M, turn_a ? M : K, LD);
    is_gradient("B", product_loss, &p, b, db, turn_b ? N : K, turn_b ? K : N, LD);
    silr_free(a);
    silr_free(b);
    silr_free(c);
    silr_free(y);
    silr_free(da);
    silr_free(db);
}

static void products(void **state)
{
    (void)state;
    for (int turned = 0; turned < 4; turned++)
        one_turn(turned & 1, turned & 2);
}

/* --- norms ------------------------------------------------------------------------------------- */

enum { ROWS = 4, DIM = 9, HEADS = 3, LDN = HEADS * DIM + GAP };

typedef struct {
    bool rms;
    float plus, *x, *w, *b, *y;
    const float *c;
} norm_case;

/* Of each head of each row, a call a head. */
static double norm_loss(void *context)
{
    const norm_case *n = context;

    for (size_t h = 0; h < HEADS * DIM; h += DIM)
        if (n->rms)
            ops->rms_norm(n->x + h, LDN, n->w, n->plus, 1e-2, ROWS, DIM, n->y + h, LDN);
        else
            ops->layer_norm(n->x + h, LDN, n->w, n->b, 1e-2, ROWS, DIM, n->y + h, LDN);
    return loss_of(n->y, n->c, ROWS, HEADS * DIM, LDN);
}

static void one_norm(bool rms, float plus)
{
    float *c = made(5, ROWS * LDN), *dx = silr_calloc(ROWS * LDN, sizeof *dx), dw[DIM] = {0}, db[DIM] = {0};
    norm_case n = {rms, plus, made(1, ROWS * LDN), made(2, DIM), made(3, DIM), made(4, ROWS * LDN), c};

    assert_non_null(dx);
    for (size_t i = 0; i < ROWS * LDN; i++)
        n.x[i] *= 2; /* or a step of 1/32 is a large one */
    for (size_t h = 0; h < HEADS * DIM; h += DIM)
        if (rms)
            ops->rms_norm_back(n.x + h, LDN, n.w, plus, 1e-2, ROWS, DIM, c + h, LDN, dx + h, LDN, dw);
        else
            ops->layer_norm_back(n.x + h, LDN, n.w, 1e-2, ROWS, DIM, c + h, LDN, dx + h, LDN, dw, db);
    is_gradient("norm's x", norm_loss, &n, n.x, dx, ROWS, HEADS * DIM, LDN);
    is_gradient("norm's weights", norm_loss, &n, n.w, dw, 1, DIM, DIM);
    if (!rms)
        is_gradient("norm's bias", norm_loss, &n, n.b, db, 1, DIM, DIM);

    /* dx is added to, and the sums are not looked at where there are none. */
    float sum[DIM], was = dx[1];
    memcpy(sum, dw, sizeof sum);
    if (rms)
        ops->rms_norm_back(n.x, LDN, n.w, plus, 1e-2, ROWS, DIM, c, LDN, dx, LDN, NULL);
    else
        ops->layer_norm_back(n.x, LDN, n.w, 1e-2, ROWS, DIM, c, LDN, dx, LDN, NULL, NULL);
    assert_true(fabsf(dx[1] - 2 * was) <= 1e-6F);
    assert_memory_equal(sum, dw, sizeof sum);
    silr_free(n.x);
    silr_free(n.w);
    silr_free(n.b);
    silr_free(n.y);
    silr_free(c);
    silr_free(dx);
}

static void norms(void **state)
{
    (void)state;
    one_norm(true, 0);
    one_norm(true, 1);
    one_norm(false, 0);
}

/* --- turning by positions ------------------------------------------------------------------------ */

/* A turn is undone by the turn back, and a turn's transpose is the turn back: no operation is needed. */
static void rope(void **state)
{
    enum { R = 3, H = 2, D = 8, T = 6 };
    const uint32_t position[R] = {0, 5, 2};
    float table[6 * T], back[6 * T];
    (void)state;

    for (size_t i = 0; i < 6 * T; i += 2) {
        table[i] = back[i] = (float)cos((double)i);
        back[i + 1] = -(table[i + 1] = (float)sin((double)i));
    }
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        float *x = made(1, R * H * D), *y = made(1, R * H * D), *c = made(2, R * H * D), *dx = made(2, R * H * D);
        ops->rope(y, H * D, R, H, D, T, position, table, interleaved);
        ops->rope(dx, H * D, R, H, D, T, position, back, interleaved);
        assert_true(fabs(loss_of(y, c, R, H * D, H * D) - loss_of(x, dx, R, H * D, H * D)) < 1e-5);
        silr_free(x);
        silr_free(y);
        silr_free(c);
        silr_free(dx);
    }
}

/* --- attention --------------------------------------------------------------------------------- */

typedef struct {
    silr_attention a;
    size_t n_texts, own[3], queries[3];
    silr_attention_strides s;
    silr_attention_text text[3];
    silr_attention_back back[3];
    float *q, *k, *v, *out, *c, *dq, *dk, *dv;
    size_t tokens;
} attention_case;

/* Only queries' rows of c count: the others are nobody's output. */
static double attention_loss(void *context)
{
    const attention_case *c = context;
    double sum = 0;

    must(ops->attention(&c->a, &c->s, c->text, c->n_texts, &err));
    for (size_t t = 0; t < c->n_texts; t++)
        sum += loss_of(c->text[t].out, c->back[t].dout, c->text[t].n, c->a.heads * c->a.head_dim, c->s.out);
    return sum;
}

static void lay_out(attention_case *c)
{
    size_t at = 0, wide = c->a.heads * c->a.head_dim, narrow = c->a.kv_heads * c->a.head_dim;

    c->s = (silr_attention_strides){wide + GAP, wide + 2, narrow + GAP, 0};
    c->tokens = c->own[0] + c->own[1] + c->own[2];
    c->q = made(1, c->tokens * c->s.q);
    c->k = made(2, c->tokens * c->s.kv);
    c->v = made(3, c->tokens * c->s.kv);
    c->c = made(4, c->tokens * c->s.out);
    c->out = made(5, c->tokens * c->s.out);
    c->dq = silr_calloc(c->tokens * c->s.q, sizeof *c->dq);
    c->dk = made(7, c->tokens * c->s.kv);
    c->dv = made(8, c->tokens * c->s.kv);
    assert_non_null(c->dq);
    for (size_t t = 0; t < c->n_texts; at += c->own[t++]) {
        size_t n = c->queries[t] > 0 ? c->queries[t] : c->own[t], first = at + c->own[t] - n;
        c->text[t] = (silr_attention_text){.n = n, .q = c->q + first * c->s.q, .out = c->out + first * c->s.out,
                                           .n_own = c->own[t], .k = c->k + at * c->s.kv,
                                           .v = c->v + at * c->s.kv};
        c->back[t] = (silr_attention_back){.dout = c->c + first * c->s.out, .dq = c->dq + first * c->s.q,
                                           .dk = c->dk + at * c->s.kv, .dv = c->dv + at * c->s.kv};
    }
}

static void one_attention(attention_case c)
{
    size_t wide = c.a.heads * c.a.head_dim, narrow = c.a.kv_heads * c.a.head_dim;

    lay_out(&c);
    attention_loss(&c);
    must(ops->attention_back(&c.a, &c.s, c.text, c.back, c.n_texts, &err));
    is_gradient("queries", attention_loss, &c, c.q, c.dq, c.tokens, wide, c.s.q);
    is_gradient("keys", attention_loss, &c, c.k, c.dk, c.tokens, narrow, c.s.kv);
    is_gradient("values", attention_loss, &c, c.v, c.dv, c.tokens, narrow, c.s.kv);
    silr_free(c.q);
    silr_free(c.k);
    silr_free(c.v);
    silr_free(c.c);
    silr_free(c.out);
    silr_free(c.dq);
    silr_free(c.dk);
    silr_free(c.dv);
}

static void attention_back(void **state)
{
    static const attention_case cases[] = {
        {.a = {2, 2, 4, 0.5, 0, false, 0}, .n_texts = 3, .own = {6, 1, 4}},
        {.a = {6, 2, 4, 0.5, 0, true, 0}, .n_texts = 3, .own = {5, 1, 6}},
        {.a = {3, 1, 5, 0.4, 0, true, 3}, .n_texts = 1, .own = {8}},
        {.a = {2, 1, 3, 0.4, 0, false, 4}, .n_texts = 2, .own = {8, 3}},
        {.a = {4, 2, 4, 0.7, 2, true, 0}, .n_texts = 2, .own = {5, 4}},
        {.a = {4, 2, 4, 0.5, 1.5, true, 4}, .n_texts = 2, .own = {7, 5}, .queries = {1, 3}},
        {.a = {2, 1, 4, 0.5, 0, false, 0}, .n_texts = 2, .own = {7, 5}, .queries = {2, 1}},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        one_attention(cases[i]);
}

/* --- activations --------------------------------------------------------------------------------- */

typedef struct {
    silr_activation act;
    float *x, *up, *y;
    const float *c;
} act_case;

static double act_loss(void *context)
{
    const act_case *a = context;

    ops->activate(a->act, a->x, a->up, LDN, ROWS, DIM, a->y, LDN);
    return loss_of(a->y, a->c, ROWS, DIM, LDN);
}

static void activations(void **state)
{
    (void)state;
    for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++)
        for (int gated = 0; gated < 2; gated++) {
            float *x = made(1, ROWS * LDN), *c = made(3, ROWS * LDN), *dx = made(4, ROWS * LDN);
            act_case a = {(silr_activation)act, x, gated ? x + DIM : NULL, made(2, ROWS * LDN), c};
            for (size_t i = 0; i < ROWS * LDN; i++)
                x[i] *= 1.5F; /* where it bends and where it is straight */
            ops->activate_back(a.act, x, a.up, LDN, ROWS, DIM, c, LDN, dx, gated ? dx + DIM : NULL, LDN);
            is_gradient("activation", act_loss, &a, x, dx, ROWS, DIM, LDN);
            if (gated)
                is_gradient("what it is times", act_loss, &a, a.up, dx + DIM, ROWS, DIM, LDN);
            ops->activate_back(a.act, x, a.up, LDN, ROWS, DIM, c, LDN, x, gated ? x + DIM : NULL, LDN);
            for (size_t r = 0; r < ROWS; r++) /* in place */
                assert_memory_equal(x + r * LDN, dx + r * LDN, (gated ? 2U : 1U) * DIM * sizeof *x);
            silr_free(x);
            silr_free(c);
            silr_free(dx);
            silr_free(a.y);
        }
}

/* Far from 0 the slope is 0 or 1; what is no number stays none. */
static void activations_at_the_ends(void **state)
{
    const float x[] = {-INFINITY, -1e30F, -200, 200, 1e30F, INFINITY, NAN}, dy[7] = {1, 1, 1, 1, 1, 1, 1};
    (void)state;

    for (int act = SILR_ACT_SILU; act <= SILR_ACT_GELU_TANH; act++) {
        float dx[7];
        ops->activate_back((silr_activation)act, x, NULL, 7, 1, 7, dy, 7, dx, NULL, 7);
        for (int i = 0; i < 6; i++)
            assert_true(fabsf(dx[i] - (i < 3 ? 0.0F : 1.0F)) < 1e-30F);
        assert_true(isnan(dx[6]));
    }
}

/* --- dropout ----------------------------------------------------------------------------------- */

enum { WIDE = 777, TALL = 300 };

static void mask(uint64_t key, double rate, const uint64_t *row, size_t n, size_t dim, float *y)
{
    float *ones = silr_alloc(n * dim, sizeof *ones);

    assert_non_null(ones);
    for (size_t i = 0; i < n * dim; i++)
        ones[i] = 1;
    ops->dropout(key, rate, row, ones, dim, n, dim, y, dim, false);
    silr_free(ones);
}

/* As many are dropped as it says, give or take five deviations, in all columns and rows alike; what is
 * kept makes up for them. */
static void dropout_drops_its_share(void **state)
{
    static float y[TALL * WIDE];
    uint64_t row[TALL];
    (void)state;

    for (uint64_t i = 0; i < TALL; i++)
        row[i] = i << 32 | 7;
    for (double rate = 0.05; rate < 1; rate += 0.3) {
        double kept = 0, each = 1 / (1 - rate), most = 5 * sqrt(rate * (1 - rate));
        mask(11, rate, row, TALL, WIDE, y);
        for (size_t i = 0; i < TALL * WIDE; i++) {
            assert_true(y[i] == 0 || y[i] == (float)each);
            kept += y[i] > 0;
        }
        assert_true(fabs(kept / (TALL * WIDE) - (1 - rate)) < most / sqrt(TALL * WIDE));
        for (size_t k = 0; k < WIDE; k++) {
            kept = 0;
            for (size_t r = 0; r < TALL; r++)
                kept += y[r * WIDE + k] > 0;
            assert_true(fabs(kept / TALL - (1 - rate)) < most / sqrt(TALL));
        }
    }
}

/* Neighbours, their number, the width and what x is have no part in a row's mask; key and row have. */
static void dropout_knows_the_row_alone(void **state)
{
    const uint64_t rows[] = {5, 1, UINT64_C(1) << 32 | 5, 3}, alone[] = {5};
    float all[4 * WIDE], one[WIDE], other[WIDE];
    (void)state;

    mask(1, 0.5, rows, 4, WIDE, all);
    mask(1, 0.5, alone, 1, WIDE, one);
    assert_memory_equal(one, all, sizeof one);
    mask(1, 0.5, alone, 1, 100, other);
    assert_memory_equal(one, other, 100 * sizeof *one);
    assert_memory_not_equal(all, all + WIDE, WIDE * sizeof *all);
    assert_memory_not_equal(all, all + 2 * WIDE, WIDE * sizeof *all); /* the row's upper half counts */
    mask(2, 0.5, alone, 1, WIDE, other);
    assert_memory_not_equal(one, other, sizeof one);
    mask((uint64_t)1 << 32 | 1, 0.5, alone, 1, WIDE, other);
    assert_memory_not_equal(one, other, sizeof one);
}

static void dropout_masks_the_gradient(void **state)
{
    const uint64_t rows[] = {9, 4};
    float *x = made(1, 2 * WIDE), *y = made(2, 2 * WIDE), *c = made(3, 2 * WIDE), *dx = made(4, 2 * WIDE);
    float *was = made(2, 2 * WIDE), *before = made(1, 2 * WIDE);
    (void)state;

    /* Linear in x: sum c y = sum dx x, with y and dx by the same call. */
    ops->dropout(3, 0.25, rows, x, WIDE, 2, WIDE, y, WIDE, false);
    ops->dropout(3, 0.25, rows, c, WIDE, 2, WIDE, dx, WIDE, false);
    assert_true(fabs(loss_of(y, c, 2, WIDE, WIDE) - loss_of(x, dx, 2, WIDE, WIDE)) < 1e-3);
    for (size_t i = 0; i < 2 * WIDE; i++)
        assert_true((y[i] == 0) == (dx[i] == 0));
    memcpy(dx, was, 2 * WIDE * sizeof *was);
    ops->dropout(3, 0.25, rows, x, WIDE, 2, WIDE, dx, WIDE, true);
    for (size_t i = 0; i < 2 * WIDE; i++)
        assert_true(dx[i] == was[i] + y[i]);
    ops->dropout(3, 0.25, rows, x, WIDE, 2, WIDE, x, WIDE, false); /* in place */
    assert_memory_equal(x, y, 2 * WIDE * sizeof *x);
    ops->dropout(3, 0, rows, before, WIDE, 2, WIDE, y, WIDE, false);
    assert_memory_equal(y, before, 2 * WIDE * sizeof *y);
    silr_free(x);
    silr_free(y);
    silr_free(c);
    silr_free(dx);
    silr_free(was);
    silr_free(before);
}

/* --- embeddings -------------------------------------------------------------------------------- */

typedef struct {
    silr_tensor table;
    float *y;
    const float *c;
} gather_case;

static const uint32_t ids[] = {3, 0, 3, 5};

static double gather_loss(void *context)
{
    const gather_case *g = context;

    ops->gather(&g->table, ids, 4, 2.5F, g->y);
    return loss_of(g->y, g->c, 4, DIM, DIM);
}

static void embeddings(void **state)
{
    float *table = made(1, 6 * DIM), *c = made(2, 4 * DIM), *dtable = silr_calloc(6 * DIM, sizeof *dtable);
    gather_case g = {{.type = SILR_TYPE_F32, .n_dims = 2, .dim = {6, DIM}, .data = table,
                      .bytes = 6 * DIM * sizeof *table}, made(3, 4 * DIM), c};
    (void)state;

    assert_non_null(dtable);
    ops->gather_back(ids, 4, 2.5F, c, DIM, dtable);
    is_gradient("embeddings", gather_loss, &g, table, dtable, 6, DIM, DIM);
    silr_free(table);
    silr_free(c);
    silr_free(dtable);
    silr_free(g.y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_back),
        cmocka_unit_test(products),
        cmocka_unit_test(norms),
        cmocka_unit_test(rope),
        cmocka_unit_test(attention_back),
        cmocka_unit_test(activations),
        cmocka_unit_test(activations_at_the_ends),
        cmocka_unit_test(dropout_drops_its_share),
        cmocka_unit_test(dropout_knows_the_row_alone),
        cmocka_unit_test(dropout_masks_the_gradient),
        cmocka_unit_test(embeddings),
    };

    return cmocka_run_group_tests_name("ops-back", tests, NULL, NULL);
}
