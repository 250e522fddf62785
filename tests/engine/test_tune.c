/* Fine-tuning against PyTorch and PEFT: scores, loss, every gradient and three steps of AdamW of a tiny
 * Llama, recorded in double precision. Then what must hold for every family: the gradient is that
 * of finite differences; what is computed again, cut, in threads, or with other texts beside it is
 * the same. */
#include "../formats/model.h"
#include "engine/tune.h"
#include "risk/risk.h"
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define LLAMA SOURCE_ROOT "/tests/engine/data/tinyllama"
#define BIT(part) (1U << (part))
enum { SEVEN = BIT(SILR_PART_Q) | BIT(SILR_PART_K) | BIT(SILR_PART_V) | BIT(SILR_PART_O) |
               BIT(SILR_PART_GATE) | BIT(SILR_PART_UP) | BIT(SILR_PART_DOWN) };

/* --- helpers ---------------------------------------------------------------------------------------- */

static void ok(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("%s", err->text);
}

typedef struct {
    silr_engine *e;
    silr_tune *t;
    float *params, *grad;
    size_t n;
} tuned;

static tuned open_tuned(const char *path, bool plain, silr_tune_opts o)
{
    const silr_engine_opts engine = {.plain = plain, .bare = true, .keep = SILR_WEIGHTS_F32, .tile = 16};
    tuned x;
    silr_error err;

    o.train = true;
    ok(silr_engine_open(&x.e, path, &engine, &err), &err);
    ok(silr_tune_new(&x.t, x.e, &o, &err), &err);
    x.params = silr_tune_params(x.t, &x.n);
    x.grad = silr_tune_gradient(x.t);
    return x;
}

static void close_tuned(tuned *x)
{
    silr_tune_free(x->t);
    silr_engine_free(x->e);
}

typedef struct {
    size_t n, start[33];
    uint32_t ids[4096], number[32];
} texts;

static silr_tune_batch batch_of(const texts *t)
{
    return (silr_tune_batch){.ids = t->ids, .start = t->start, .n = t->n};
}

/* --- against PEFT -------------------------------------------------------------------------------------- */

static json_t *recorded(void)
{
    json_error_t e;
    json_t *root = json_load_file(LLAMA "/tune.json", 0, &e);

    if (!root)
        fail_msg("%d: %s", e.line, e.text);
    return root;
}

static void put(tuned *x, const json_t *values)
{
    size_t n;
    const silr_tuned *p = silr_tune_table(x->t, &n);

    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(values, p[i].name);
        assert_int_equal(json_array_size(v), p[i].rows * p[i].columns);
        for (size_t k = 0; k < json_array_size(v); k++)
            x->params[p[i].offset + k] = (float)json_number_value(json_array_get(v, k));
    }
}

static void assert_all(tuned *x, const float *block, const json_t *values, double within)
{
    size_t n;
    const silr_tuned *p = silr_tune_table(x->t, &n);

    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(values, p[i].name);
        for (size_t k = 0; k < p[i].rows * p[i].columns; k++) {
            const double want = json_number_value(json_array_get(v, k));
            const double got = (double)block[p[i].offset + k];
            if (!(fabs(got - want) <= within))
                fail_msg("%s[%zu] is %.9g, not %.9g", p[i].name, k, got, want);
        }
    }
}

/* AdamW as published, in double: what is tested here is the gradient. */
static void adamw(tuned *x, double *m, double *v, int step)
{
    const double lr = 1e-3, decay = 0.01, b1 = 0.9, b2 = 0.999;

    for (size_t i = 0; i < x->n; i++) {
        const double g = (double)x->grad[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        x->params[i] = (float)((double)x->params[i] * (1 - lr * decay) -
                               lr * m[i] / (1 - pow(b1, step)) /
                                   (sqrt(v[i] / (1 - pow(b2, step))) + 1e-8));
        x->grad[i] = 0;
    }
}

static void three_steps(bool plain, size_t memory)
{
    json_t *want = recorded(), *list = json_object_get(want, "texts"), *one;
    tuned x = open_tuned(LLAMA, plain, (silr_tune_opts){.columns = 1, .memory = memory,
                         .targets = BIT(SILR_PART_Q) | BIT(SILR_PART_V), .lora = {4, 4}});
    double *m = calloc(x.n, sizeof *m), *v = calloc(x.n, sizeof *v);
    const double theta[] = {0.7512, 1 - 0.7512, 0.1834, 1 - 0.1834}, pi[] = {0.42, 0.58};
    float scores[8], dscores[8];
    int set[8];
    silr_risk risk;
    texts t = {0};
    silr_error err;
    size_t i;

    json_array_foreach(list, i, one) {
        t.start[i + 1] = t.start[i] + json_array_size(one);
        for (size_t k = 0; k < json_array_size(one); k++)
            t.ids[t.start[i] + k] = (uint32_t)json_integer_value(json_array_get(one, k));
        set[i] = json_integer_value(json_array_get(json_object_get(want, "labels"), i)) > 0 ? 0 : 1;
    }
    t.n = json_array_size(list);
    const silr_tune_batch b = batch_of(&t);
    ok(silr_risk_init(&risk, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 2, theta, pi, -0.001, &err), &err);
    put(&x, json_object_get(want, "init"));
    for (int step = 0; step <= 3; step++) {
        json_t *s = json_array_get(json_object_get(want, "steps"), (size_t)step);
        const json_t *w = step < 3 ? json_object_get(s, "scores") : json_object_get(want, "scores_after");
        silr_risk_sums sums = {0};
        silr_gated gated;
        ok(silr_tune_forward(x.t, &b, scores, &err), &err);
        for (i = 0; i < t.n; i++)
            assert_true(fabs((double)scores[i] - json_number_value(json_array_get(w, i))) < 2e-5);
        if (step == 3)
            break;
        silr_risk_add(&risk, &sums, t.n, scores, 1, set, NULL);
        silr_risk_gate(&risk, &sums, NULL, &gated);
        assert_true(fabs(gated.value - json_number_value(json_object_get(s, "loss"))) < 2e-6);
        silr_risk_backward(&risk, &gated, t.n, scores, 1, set, NULL, dscores);
        ok(silr_tune_backward(x.t, dscores, &err), &err);
        if (step == 0)
            assert_all(&x, x.grad, json_object_get(want, "grads"), 5e-6);
        adamw(&x, m, v, step + 1);
    }
    assert_all(&x, x.params, json_object_get(want, "params_after"), 1e-6);
    free(m);
    free(v);
    close_tuned(&x);
    json_decref(want);
}

static void llama_steps_are_pefts(void **state)
{
    (void)state;
    three_steps(true, 0);
    three_steps(false, 0);
    three_steps(false, 1); /* nothing fits: every layer is computed again */
}

/* --- every family ---------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    silr_family family;
} arch[] = {{"llama", SILR_FAMILY_LLAMA},   {"qwen2", SILR_FAMILY_QWEN2},   {"qwen3", SILR_FAMILY_QWEN3},
            {"gemma2", SILR_FAMILY_GEMMA2}, {"gemma3", SILR_FAMILY_GEMMA3}, {"bert", SILR_FAMILY_BERT}};
enum { ARCHS = sizeof arch / sizeof *arch };

static char path[] = "/tmp/silr-tune-XXXXXX";

static double drawn(uint64_t i)
{
    return 2 * silr_rng_at(7, SILR_RNG_TEST, 0, i) - 1;
}

/* A model of the family with random weights, in a file. */
static const char *small_model(size_t a)
{
    silr_buf b = {0};
    silr_plan p = small_plan(arch[a].family, arch[a].family == SILR_FAMILY_BERT ? SILR_LAYOUT_GGUF_BERT : SILR_LAYOUT_GGUF, true);
    gguf_writer w = {NULL, 0, 0, 0, 1, 4};
    silr_error err;

    if (arch[a].family == SILR_FAMILY_QWEN3) /* heads wider than the model */
        p.spec.head_dim = p.spec.rope_dims = 40;

    gguf_model(&b, arch[a].name, &p, 0, 1, 4);
    each_part(&p, gguf_put_part, &w);
    const size_t at = b.len - w.offset; /* the tensors' data is what ends the file */
    for (size_t i = 0; at + 4 * i + 4 <= b.len; i++) {
        const float f = (float)(0.4 * drawn(i));
        memcpy(b.data + at + 4 * i, &f, sizeof f);
    }
    ok(silr_file_write(path, b.data, b.len, &err), &err);
    silr_buf_clear(&b);
    return path;
}

/* Texts of 1 to 9 tokens. */
static texts some_texts(size_t n)
{
    texts t = {.n = n};

    for (size_t i = 0; i < n; i++) {
        const size_t len = 1 + (4 + i * 5) % 9;
        t.start[i + 1] = t.start[i] + len;
        t.number[i] = (uint32_t)(40 + i);
        for (size_t k = t.start[i]; k < t.start[i + 1]; k++)
            t.ids[k] = (uint32_t)(3.5 + 3.499 * drawn(1000 + k));
    }
    return t;
}

/* What all is trained, in turn. */
static silr_tune_opts opts_of(size_t way, bool causal)
{
    silr_tune_opts o = {.columns = 2, .head_bias = true};

    if (way == 0)
        o = (silr_tune_opts){.columns = 1, .targets = SEVEN, .lora = {3, 0.7}, .dropout = 0.3};
    else if (way == 1)
        o.matrices = o.norms = o.embeddings = true, o.pooling = causal ? SILR_POOL_LAST : SILR_POOL_CLS;
    else
        o.targets = BIT(SILR_PART_DOWN) | BIT(SILR_PART_K), o.lora = (silr_tune_rank){2, 1.5}, o.norms = true,
        o.pooling = SILR_POOL_MEAN;
    return o;
}

static void shake(tuned *x)
{
    for (size_t i = 0; i < x->n; i++)
        x->params[i] += (float)(0.2 * drawn(5000 + i));
}

static double loss_of(tuned *x, const silr_tune_batch *b, const float *d, size_t n)
{
    float out[64];
    double sum = 0;
    silr_error err;

    ok(silr_tune_scores(x->t, b, out, &err), &err);
    for (size_t i = 0; i < n; i++)
        sum += (double)out[i] * (double)d[i];
    return sum;
}

/* Each table entry by itself: along a random direction v, (L(p + hv) - L(p - hv)) / 2h = grad . v. */
static void check_entries(tuned *x, const silr_tune_batch *b, const float *d, size_t n_scores, const char *name)
{
    size_t n;
    const silr_tuned *p = silr_tune_table(x->t, &n);
    float *was = malloc(x->n * sizeof *was);
    const double h = 2e-3;

    memcpy(was, x->params, x->n * sizeof *was);
    for (size_t i = 0; i < n; i++) {
        const size_t from = p[i].offset, count = p[i].rows * p[i].columns;
        double along = 0, size = 0, up, down;
        for (int side = 0; side < 2; side++) {
            for (size_t k = 0; k < count; k++)
                x->params[from + k] = was[from + k] + (float)((side ? -h : h) * drawn(9000 + k));
            *(side ? &down : &up) = loss_of(x, b, d, n_scores);
        }
        for (size_t k = 0; k < count; k++) {
            along += (double)x->grad[from + k] * drawn(9000 + k);
            size += pow((double)x->grad[from + k], 2);
        }
        memcpy(x->params + from, was + from, count * sizeof *was);
        if (!(fabs((up - down) / (2 * h) - along) <= 2e-3 + 4e-3 * (fabs(along) + sqrt(size))))
            fail_msg("%s, %s: %.7g by differences, %.7g by the gradient", name, p[i].name,
                     (up - down) / (2 * h), along);
    }
    free(was);
}

static void gradients_are_differences(void **state)
{
    float out[64], d[64];
    silr_error err;
    (void)state;

    for (size_t i = 0; i < 64; i++)
        d[i] = (float)drawn(300 + i);
    for (size_t a = 0; a < ARCHS; a++)
        for (size_t way = 0; way < 3; way++) {
            const silr_tune_opts o = opts_of(way, arch[a].family != SILR_FAMILY_BERT);
            tuned x = open_tuned(small_model(a), true, o), y = open_tuned(path, false, o);
            texts t = some_texts(7);
            silr_tune_batch b = batch_of(&t);
            b.number = t.number, b.key = 77;
            shake(&x);
            memcpy(y.params, x.params, x.n * sizeof *x.params);
            ok(silr_tune_forward(x.t, &b, out, &err), &err);
            ok(silr_tune_backward(x.t, d, &err), &err);
            check_entries(&x, &b, d, t.n * o.columns, arch[a].name);
            ok(silr_tune_forward(y.t, &b, out, &err), &err);
            ok(silr_tune_backward(y.t, d, &err), &err);
            for (size_t i = 0; i < x.n; i++)
                if (fabs((double)x.grad[i] - (double)y.grad[i]) > 2e-5 * (1 + fabs((double)x.grad[i])))
                    fail_msg("%s: gradient %zu is %.8g, plainly %.8g", arch[a].name, i, (double)y.grad[i],
                             (double)x.grad[i]);
            close_tuned(&x);
            close_tuned(&y);
        }
}

/* However much is kept, the same bits; in pieces, the same sum; a text's score whatever is beside it. */
static void how_it_is_cut_changes_nothing(void **state)
{
    float all[64], out[64], one[2], d[64];
    silr_error err;
    (void)state;

    for (size_t i = 0; i < 64; i++)
        d[i] = (float)drawn(300 + i);
    for (size_t a = 0; a < ARCHS; a++)
        for (size_t way = 0; way < 3; way++) {
            silr_tune_opts o = opts_of(way, arch[a].family != SILR_FAMILY_BERT);
            tuned x = open_tuned(small_model(a), false, o), y;
            texts t = some_texts(12);
            silr_tune_batch b = batch_of(&t), part;
            b.number = t.number, b.key = 5;
            o.memory = 1;
            y = open_tuned(path, false, o);
            shake(&x);
            memcpy(y.params, x.params, x.n * sizeof *x.params);
            omp_set_num_threads(1);
            ok(silr_tune_scores(x.t, &b, all, &err), &err);
            ok(silr_tune_forward(x.t, &b, out, &err), &err);
            assert_memory_equal(out, all, t.n * o.columns * sizeof *out);
            ok(silr_tune_backward(x.t, d, &err), &err);
            omp_set_num_threads(3);
            ok(silr_tune_forward(y.t, &b, out, &err), &err);
            assert_memory_equal(out, all, t.n * o.columns * sizeof *out);
            ok(silr_tune_backward(y.t, d, &err), &err);
            assert_memory_equal(x.grad, y.grad, x.n * sizeof *x.grad);
            assert_int_equal(silr_tune_fits(y.t, t.start, t.n), 1);
            assert_int_equal(silr_tune_fits(x.t, t.start, t.n), t.n);
            memset(y.grad, 0, y.n * sizeof *y.grad);
            for (size_t i = 0; i < t.n; i++) {
                part = b;
                part.start = t.start + i, part.n = 1, part.number = t.number + i;
                ok(silr_tune_forward(y.t, &part, one, &err), &err);
                assert_memory_equal(one, all + i * o.columns, o.columns * sizeof *one);
                ok(silr_tune_backward(y.t, d + i * o.columns, &err), &err);
            }
            for (size_t i = 0; i < x.n; i++)
                assert_true(fabs((double)x.grad[i] - (double)y.grad[i]) <= 1e-5 * (1 + fabs((double)x.grad[i])));
            close_tuned(&x);
            close_tuned(&y);
        }
}

/* In eighths of what all layers keep: all of some, of some all but the MLP's inside, of some nothing. */
static void however_much_is_kept(void **state)
{
    float d[64], out[64];
    silr_error err;
    (void)state;

    for (size_t i = 0; i < 64; i++)
        d[i] = (float)drawn(500 + i);
    for (size_t a = 0; a < ARCHS; a++) {
        silr_tune_opts o = opts_of(0, arch[a].family != SILR_FAMILY_BERT);
        tuned x = open_tuned(small_model(a), false, o);
        texts t = some_texts(12);
        silr_tune_batch b = batch_of(&t);
        const size_t all = silr_tune_kept_bytes(silr_engine_spec(silr_tune_engine(x.t)), t.start[t.n] - t.start[0]);
        b.number = t.number, b.key = 5;
        shake(&x);
        ok(silr_tune_forward(x.t, &b, out, &err), &err);
        ok(silr_tune_backward(x.t, d, &err), &err);
        for (size_t eighth = 1; eighth <= 8; eighth++) {
            o.memory = all * eighth / 8;
            tuned y = open_tuned(path, false, o);
            memcpy(y.params, x.params, x.n * sizeof *x.params);
            ok(silr_tune_forward(y.t, &b, out, &err), &err);
            ok(silr_tune_backward(y.t, d, &err), &err);
            assert_memory_equal(x.grad, y.grad, x.n * sizeof *x.grad);
            close_tuned(&y);
        }
        close_tuned(&x);
    }
}

static void a_fresh_start_is_pefts(void **state)
{
    tuned x = open_tuned(LLAMA, false, (silr_tune_opts){.columns = 1, .targets = BIT(SILR_PART_Q), .lora = {4, 8}});
    size_t n;
    const silr_tuned *p = silr_tune_table(x.t, &n);
    (void)state;

    silr_tune_draw(x.t, 3);
    for (size_t i = 0; i < n; i++) {
        const size_t count = p[i].rows * p[i].columns;
        double sum = 0, squares = 0, most = 0;
        for (size_t k = 0; k < count; k++) {
            const double v = (double)x.params[p[i].offset + k];
            sum += v, squares += v * v, most = fmax(most, fabs(v));
        }
        if (p[i].what == SILR_TUNED_LORA_B)
            assert_true(most == 0);
        else if (p[i].what == SILR_TUNED_LORA_A) /* uniform within 1/8: deviation 1/8/sqrt(3) */
            assert_true(most <= 0.125 && fabs(sqrt(squares / (double)count) - 0.0722) < 0.006 &&
                        fabs(sum / (double)count) < 0.015);
        else
            assert_true(fabs(sqrt(squares / (double)count) - 0.02) < 0.006);
    }
    close_tuned(&x);
}

static void senseless_wishes_are_refused(void **state)
{
    static const silr_tune_opts wish[] = {
        {.columns = 0},
        {.columns = 1, .matrices = true, .targets = BIT(SILR_PART_Q), .lora = {2, 1}},
        {.columns = 1, .dropout = 1},
        {.columns = 1, .targets = BIT(SILR_PART_V), .lora = {64, 1}},
    };
    const silr_engine_opts o = {.bare = true};
    silr_engine *e;
    silr_error err;
    (void)state;

    ok(silr_engine_open(&e, LLAMA, &o, &err), &err);
    for (size_t i = 0; i < sizeof wish / sizeof *wish; i++) {
        silr_tune *t;
        assert_int_equal(silr_tune_new(&t, e, &wish[i], &err), SILR_EINPUT);
        assert_null(t);
    }
    silr_engine_free(e);
}

/* Every allocation fails once: what was kept is not taken for whole, and nothing is lost. */
static void no_memory(void **state)
{
    texts t = some_texts(4);
    silr_tune_batch b = batch_of(&t);
    float out[8], d[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    silr_error err;
    (void)state;

    small_model(4);
    for (uint64_t i = 1;; i++) {
        const silr_engine_opts engine = {.bare = true};
        silr_tune_opts o = opts_of(1, true);
        silr_engine *e;
        silr_tune *x = NULL;
        silr_status st;
        ok(silr_engine_open(&e, path, &engine, &err), &err);
        o.train = true;
        o.memory = i % 2; /* kept, or computed again */
        silr_mem_fail_at(i, false);
        if ((st = silr_tune_new(&x, e, &o, &err)) == SILR_OK &&
            (st = silr_tune_forward(x, &b, out, &err)) == SILR_OK &&
            (st = silr_tune_backward(x, d, &err)) == SILR_OK)
            st = silr_tune_scores(x, &b, out, &err);
        silr_mem_fail_at(0, false);
        assert_true(st == SILR_OK || st == SILR_ENOMEM);
        if (x) {
            ok(silr_tune_forward(x, &b, out, &err), &err);
            ok(silr_tune_backward(x, d, &err), &err);
        }
        silr_tune_free(x);
        silr_engine_free(e);
        if (st == SILR_OK)
            break;
    }
}

static int make_file(void **state)
{
    int f = mkstemp(path);
    (void)state;

    return f < 0 || close(f) != 0;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_steps_are_pefts),    cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(how_it_is_cut_changes_nothing), cmocka_unit_test(however_much_is_kept), cmocka_unit_test(a_fresh_start_is_pefts),
        cmocka_unit_test(senseless_wishes_are_refused), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
