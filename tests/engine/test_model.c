/* The layers against PyTorch: two tiny random models whose states were recorded in double precision,
 * and SmolLM2 and MiniLM where they are at hand. Then what must hold for any model: what a text gets
 * depends on nothing but itself. */
#include "engine/engine.h"
#include "formats/nf4.h"
#include "formats/safetensors_write.h"
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DATA SOURCE_ROOT "/tests/engine/data/"
#define LLAMA DATA "tinyllama"
#define BERT DATA "tinybert"
enum { DIM = 64, MANY = 8 };

/* --- helpers ---------------------------------------------------------------------------------------- */

static json_t *expected(const char *path)
{
    json_error_t e;
    json_t *root = json_load_file(path, 0, &e);

    if (!root)
        fail_msg("%s:%d: %s", path, e.line, e.text);
    return root;
}

static silr_engine *engine_of(const char *path, silr_engine_opts opts)
{
    silr_engine *e = NULL;
    silr_error err;

    if (silr_engine_open(&e, path, &opts, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return e;
}

/* Texts of a golden file as a call takes them. */
typedef struct {
    size_t n, start[33];
    uint32_t ids[4096];
} texts;

static void add_text(texts *t, const json_t *ids)
{
    size_t at = t->start[t->n];

    for (size_t i = 0; i < json_array_size(ids); i++)
        t->ids[at++] = (uint32_t)json_integer_value(json_array_get(ids, i));
    t->start[++t->n] = at;
}

static texts texts_of(const json_t *list)
{
    texts t = {0};

    for (size_t i = 0; i < json_array_size(list); i++)
        add_text(&t, json_array_get(list, i));
    return t;
}

static void assert_close(const float *got, const json_t *want, size_t from, size_t n, double within,
                         const char *what)
{
    for (size_t i = 0; i < n; i++) {
        double w = json_number_value(json_array_get(want, from + i));
        if (!(fabs((double)got[i] - w) <= within))
            fail_msg("%s: value %zu is %.9g, not %.9g", what, i, (double)got[i], w);
    }
}

static void ok(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("%s", err->text);
}

/* --- against PyTorch ---------------------------------------------------------------------------------- */

static void llama_states(bool plain)
{
    json_t *want = expected(LLAMA "/expect.json"), *hidden = json_object_get(want, "hidden");
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.plain = plain, .bare = true});
    texts t = texts_of(json_object_get(want, "texts"));
    static float x[256 * DIM];
    silr_error err;

    for (size_t l = 0; l <= 2; l++) {
        ok(silr_engine_hidden(e, t.ids, t.start, t.n, l, x, &err), &err);
        assert_close(x, json_array_get(hidden, l), 0, t.start[1] * DIM, 2e-5, "states");
    }
    const silr_tensor *head = silr_weights_find(silr_engine_weights(e), "score.weight");
    assert_non_null(head);
    const float *w = head->data;
    for (size_t i = 0; i < json_array_size(json_object_get(want, "scores")); i++) {
        float score = 0;
        for (size_t d = 0; d < DIM; d++)
            score += x[(t.start[i + 1] - 1) * DIM + d] * w[d];
        assert_close(&score, json_object_get(want, "scores"), i, 1, 2e-5, "score");
    }
    silr_engine_free(e);
    json_decref(want);
}

static void llama_is_pytorchs(void **state)
{
    (void)state;
    llama_states(true);
    llama_states(false);
}

static void bert_is_pytorchs(void **state)
{
    json_t *want = expected(BERT "/expect.json");
    texts t = texts_of(json_object_get(want, "texts"));
    float x[64 * 32], v[4 * 32];
    silr_error err;
    (void)state;

    for (int plain = 0; plain < 2; plain++) {
        silr_engine *e = engine_of(BERT, (silr_engine_opts){.plain = plain, .bare = true});
        ok(silr_engine_hidden(e, t.ids, t.start, t.n, 2, x, &err), &err);
        assert_close(x, json_object_get(want, "last_hidden_row0"), 0, t.start[1] * 32, 1e-5, "states");
        ok(silr_engine_embed(e, t.ids, t.start, t.n, v, &err), &err);
        for (size_t i = 0; i < t.n; i++)
            assert_close(v + i * 32, json_array_get(json_object_get(want, "mean"), i), 0, 32, 1e-5, "mean");
        silr_engine_free(e);
    }
    json_decref(want);
}

/* --- in 4 bits ---------------------------------------------------------------------------------------- */

static bool in_a_layer(const silr_weights *w, const silr_tensor *t)
{
    for (size_t layer = 0; layer < silr_weights_spec(w)->layers; layer++)
        for (int part = SILR_PART_Q; part <= SILR_PART_DOWN; part++)
            if (silr_weights_part(w, (silr_part)part, layer, false) == t)
                return t->n_dims == 2;
    return false;
}

/* Writes the model in `from` with the matrices of its layers replaced by what their codes stand for. */
static void write_coded(const char *from, const char *path)
{
    static float values[64][256 * 64];
    silr_saved_tensor t[64];
    silr_weights *w;
    silr_error err;
    silr_nf4 q;

    ok(silr_weights_open(&w, from, &err), &err);
    assert_true(silr_weights_count(w) <= 64);
    for (size_t i = 0; i < silr_weights_count(w); i++) {
        const silr_tensor *x = silr_weights_at(w, i);
        size_t n = x->dim[0] * (x->n_dims == 2 ? x->dim[1] : 1);
        assert_true(n <= sizeof values[i] / sizeof values[i][0]);
        t[i] = (silr_saved_tensor){.name = x->name, .type = SILR_TYPE_F32, .n_dims = x->n_dims,
                                   .dim = {x->dim[0], x->dim[1]}, .values = values[i]};
        silr_tensor_rows(x, 0, x->n_dims == 2 ? x->dim[0] : 1, values[i]);
        if (!in_a_layer(w, x))
            continue;
        ok(silr_nf4_quantise(&q, x, &err), &err);
        silr_nf4_values(&q, 0, n, values[i]);
        silr_nf4_clear(&q);
    }
    ok(silr_safetensors_write(path, t, silr_weights_count(w), NULL, 0, NULL, NULL, &err), &err);
    silr_weights_free(w);
}

/* A model kept in 4 bits is, to the bit, the one that has the values of the codes: the matrices of the
 * layers, each by itself, and nothing else. */
static void four_bits(const char *from, const json_t *want)
{
    char dir[] = "/tmp/silr-nf4-XXXXXX", config[1000], path[64];
    texts t = texts_of(json_object_get(want, "texts"));
    static float x[2][4096 * DIM];
    silr_buf json = {0};
    silr_error err;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    write_coded(from, path);
    snprintf(config, sizeof config, "%s/config.json", from);
    ok(silr_file_read(&json, config, 1 << 20, &err), &err);
    snprintf(config, sizeof config, "%s/config.json", dir);
    ok(silr_file_write(config, json.data, json.len, &err), &err);
    silr_buf_clear(&json);
    for (int plain = 0; plain < 2; plain++) {
        silr_engine *nf4 = engine_of(from, (silr_engine_opts){.keep = SILR_WEIGHTS_NF4, .plain = plain, .bare = true});
        silr_engine *coded = engine_of(dir, (silr_engine_opts){.keep = SILR_WEIGHTS_F32, .plain = plain, .bare = true});
        const size_t bytes = t.start[t.n] * silr_engine_dim(nf4) * sizeof(float);
        const silr_engine_opts nf4_opts = {.keep = SILR_WEIGHTS_NF4}, filed = {.keep = SILR_WEIGHTS_AS_FILED};
        size_t in_four, in_file, work;
        ok(silr_engine_hidden(nf4, t.ids, t.start, t.n, 2, x[0], &err), &err);
        ok(silr_engine_hidden(coded, t.ids, t.start, t.n, 2, x[1], &err), &err);
        assert_memory_equal(x[0], x[1], bytes);
        ok(silr_engine_estimate(silr_engine_weights(nf4), &nf4_opts, 64, &in_four, &work, &err), &err);
        ok(silr_engine_estimate(silr_engine_weights(nf4), &filed, 64, &in_file, &work, &err), &err);
        assert_true(in_four > in_file && in_four < in_file + in_file / 4);
        silr_engine_free(nf4);
        silr_engine_free(coded);
    }
    unlink(path);
    unlink(config);
    rmdir(dir);
}

static void layers_in_four_bits(void **state)
{
    json_t *llama = expected(LLAMA "/expect.json"), *bert = expected(BERT "/expect.json");
    (void)state;

    four_bits(LLAMA, llama);
    four_bits(BERT, bert);
    json_decref(llama);
    json_decref(bert);
}

/* --- models that may be at hand -------------------------------------------------------------------------- */

static json_t *shared_logits(void)
{
    const char *shared = getenv("SILR_SHARED");
    char path[512];

    snprintf(path, sizeof path, "%s/golden/logits.json", shared ? shared : SOURCE_ROOT "/../shared");
    return silr_file_exists(path) ? expected(path) : NULL;
}

/* The file of a model that benches fetch, or skips. */
static const char *model_at_hand(const char *variable, const char *fallback)
{
    const char *path = getenv(variable);

    path = path ? path : fallback;
    if (!silr_file_exists(path)) {
        print_message("skipped: no %s (set %s)\n", path, variable);
        skip();
    }
    return path;
}

static void smollm2_is_pytorchs(void **state)
{
    const char *path = model_at_hand("SILR_SMOLLM2", SOURCE_ROOT
                                     "/build/bench/chat-model/SmolLM2-135M-Instruct.Q4_1.gguf");
    json_t *want = shared_logits();
    silr_error err;
    (void)state;

    if (!want)
        skip();
    silr_engine *e = engine_of(path, (silr_engine_opts){.keep = SILR_WEIGHTS_F32, .bare = true});
    const size_t vocab = silr_engine_spec(e)->vocab;
    float *logits = silr_alloc(5 * vocab, sizeof *logits), p[10];
    texts t = {0};
    const uint32_t yes_no[] = {9805, 787};
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(want, "smollm2"), i, one)
        add_text(&t, json_object_get(one, "ids"));
    ok(silr_engine_logits(e, NULL, t.ids, t.start, t.n, logits, &err), &err);
    ok(silr_engine_next(e, NULL, t.ids, t.start, t.n, yes_no, 2, false, p, &err), &err);
    json_array_foreach(json_object_get(want, "smollm2"), i, one) {
        json_t *ids = json_object_get(one, "top_ids"), *top = json_object_get(one, "top_logits");
        for (size_t k = 0; k < json_array_size(ids); k++) {
            size_t id = (size_t)json_integer_value(json_array_get(ids, k));
            assert_close(logits + i * vocab + id, top, k, 1, 1e-3, "logit");
        }
        assert_true(fabs((double)p[2 * i] - json_number_value(json_object_get(one, "logprob_yes"))) < 1e-4);
        assert_true(fabs((double)p[2 * i + 1] - json_number_value(json_object_get(one, "logprob_no"))) < 1e-4);
    }
    silr_free(logits);
    silr_engine_free(e);
    json_decref(want);
}

static void minilm_is_pytorchs(void **state)
{
    const char *path = model_at_hand("SILR_MINILM", SOURCE_ROOT "/build/bench/minilm");
    json_t *want = shared_logits(), *one;
    silr_error err;
    texts t = {0};
    float v[5 * 384];
    size_t i;
    (void)state;

    if (!want)
        skip();
    silr_engine *e = engine_of(path, (silr_engine_opts){.bare = true});
    json_array_foreach(json_object_get(want, "minilm"), i, one)
        add_text(&t, json_object_get(one, "ids"));
    assert_int_equal(silr_engine_dim(e), 384);
    ok(silr_engine_embed(e, t.ids, t.start, t.n, v, &err), &err);
    json_array_foreach(json_object_get(want, "minilm"), i, one)
        assert_close(v + i * 384, json_object_get(one, "embedding"), 0, 384, 1e-5, "embedding");
    silr_engine_free(e);
    json_decref(want);
}

/* --- a text's results are its own -------------------------------------------------------------------------- */

/* n texts of 1 to 14 tokens, the same every time. */
static texts some_texts(size_t n, uint32_t vocab)
{
    texts t = {0};
    uint32_t x = 12345;

    for (size_t i = 0; i < n; i++) {
        size_t len = 1 + i * 5 % 14;
        t.start[i + 1] = t.start[i] + len;
        for (size_t k = t.start[i]; k < t.start[i + 1]; k++) {
            x = x * 1664525u + 1013904223u;
            t.ids[k] = 4 + x % (vocab - 4);
        }
    }
    t.n = n;
    return t;
}

static void batch_mates_change_nothing(void **state)
{
    const char *const path[] = {LLAMA, BERT};
    float all[32 * DIM], one[DIM], again[32 * DIM];
    silr_error err;
    (void)state;

    for (size_t m = 0; m < 2; m++) {
        silr_engine *e = engine_of(path[m], (silr_engine_opts){.bare = true, .tile = 40});
        const size_t dim = silr_engine_dim(e);
        texts t = some_texts(32, (uint32_t)silr_engine_spec(e)->vocab);
        ok(silr_engine_embed(e, t.ids, t.start, t.n, all, &err), &err);
        for (size_t i = 0; i < t.n; i++) {
            ok(silr_engine_embed(e, t.ids, t.start + i, 1, one, &err), &err);
            assert_memory_equal(one, all + i * dim, dim * sizeof *one);
        }
        for (int threads = 1; threads <= 4; threads *= 2) {
            omp_set_num_threads(threads);
            ok(silr_engine_embed(e, t.ids, t.start, t.n, again, &err), &err);
            assert_memory_equal(again, all, t.n * dim * sizeof *all);
        }
        silr_engine_free(e);
    }
}

static void a_shared_beginning_is_as_good_as_an_own_one(void **state)
{
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.bare = true, .tile = 30});
    texts begin = some_texts(4, 128), t = some_texts(MANY, 128), whole = {0};
    const size_t head = begin.start[4];
    const uint32_t token[] = {7, 99, 50};
    float a[MANY * 3], b[MANY * 3], alone[3];
    silr_prefix *p;
    silr_error err;
    (void)state;

    for (size_t i = 0; i < MANY; i++) {
        const size_t at = whole.start[i], len = t.start[i + 1] - t.start[i];
        memcpy(whole.ids + at, begin.ids, head * sizeof *begin.ids);
        memcpy(whole.ids + at + head, t.ids + t.start[i], len * sizeof *t.ids);
        whole.start[i + 1] = at + head + len;
    }
    ok(silr_prefix_new(&p, e, begin.ids, head, &err), &err);
    assert_int_equal(silr_prefix_tokens(p), head);
    ok(silr_engine_next(e, p, t.ids, t.start, MANY, token, 3, false, a, &err), &err);
    ok(silr_engine_next(e, NULL, whole.ids, whole.start, MANY, token, 3, false, b, &err), &err);
    for (size_t i = 0; i < MANY * 3; i++)
        assert_true(fabs((double)a[i] - (double)b[i]) < 1e-5);
    ok(silr_engine_next(e, p, t.ids, t.start + 3, 1, token, 3, false, alone, &err), &err);
    assert_memory_equal(alone, a + 9, sizeof alone);
    ok(silr_engine_next(e, p, t.ids, t.start, MANY, token, 3, true, b, &err), &err);
    for (size_t i = 0; i < MANY; i++) /* relative: the same differences */
        assert_true(fabs((double)(a[3 * i] - a[3 * i + 1]) - (double)(b[3 * i] - b[3 * i + 1])) < 1e-5);
    silr_prefix_free(p);
    silr_engine_free(e);
}

/* log P(c1 c2 c3 | t) is the sum of three single steps. */
static void continuations_are_chains_of_tokens(void **state)
{
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.bare = true, .tile = 25});
    texts t = some_texts(MANY, 128), longer = {0};
    const uint32_t cont[] = {10, 77, 5, 10, 33};
    const size_t cont_start[] = {0, 3, 4, 5};
    float got[MANY * 3], step[1];
    silr_error err;
    (void)state;

    ok(silr_engine_score(e, NULL, t.ids, t.start, MANY, cont, cont_start, 3, got, &err), &err);
    for (size_t i = 0; i < MANY; i++) {
        size_t len = t.start[i + 1] - t.start[i];
        double sum = 0;
        memcpy(longer.ids, t.ids + t.start[i], len * sizeof *t.ids);
        for (size_t c = 0; c < 3; c++) {
            const size_t start[] = {0, len};
            ok(silr_engine_next(e, NULL, longer.ids, start, 1, cont + c, 1, false, step, &err), &err);
            sum += (double)step[0];
            longer.ids[len++] = cont[c];
            if (c == 0)
                assert_true(fabs((double)got[3 * i + 1] - sum) < 1e-5);
        }
        assert_true(fabs((double)got[3 * i] - sum) < 2e-5);
    }
    silr_engine_free(e);
}

typedef struct {
    char said[MANY][64];
    size_t n;
} heard;

static silr_status hear(void *ctx, size_t text, const char *said, size_t len, bool complete,
                        silr_error *err)
{
    heard *h = ctx;
    (void)err;
    (void)complete;

    assert_true(text < MANY && len < 64);
    memcpy(h->said[text], said, len);
    h->said[text][len] = 0;
    h->n++;
    return SILR_OK;
}

/* Greedy generation is the likeliest token, again and again. */
static void generation_goes_on_from_what_it_said(void **state)
{
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.tile = 60});
    const silr_tokenizer *tok = silr_engine_tokenizer(e);
    const silr_generate_opts opts = {.max_tokens = 6};
    texts t = some_texts(MANY, 128);
    float logits[128];
    heard h = {0};
    silr_error err;
    (void)state;

    ok(silr_engine_generate(e, NULL, t.ids, t.start, MANY, &opts, hear, &h, &err), &err);
    assert_int_equal(h.n, MANY);
    for (size_t i = 0; i < MANY; i++) {
        uint32_t ids[64];
        size_t len = t.start[i + 1] - t.start[i], said = 0;
        char want[64] = "";
        memcpy(ids, t.ids + t.start[i], len * sizeof *ids);
        for (size_t k = 0; k < 6; k++) {
            const size_t start[] = {0, len};
            uint32_t best = 0;
            size_t bytes = 0;
            ok(silr_engine_logits(e, NULL, ids, start, 1, logits, &err), &err);
            for (uint32_t v = 1; v < 128; v++)
                if (logits[v] > logits[best])
                    best = v;
            if (silr_tokenizer_ends(tok, best))
                break;
            const char *piece = silr_tokenizer_piece(tok, best, &bytes);
            memcpy(want + said, piece, bytes);
            said += bytes;
            ids[len++] = best;
        }
        assert_memory_equal(h.said[i], want, said + 1);
    }
    silr_engine_free(e);
}

/* Drawn texts depend on seed, number and step alone; other seeds say something else. */
static void draws_are_a_texts_own(void **state)
{
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.tile = 60});
    silr_generate_opts opts = {.max_tokens = 8, .temperature = 1.5, .top_p = 0.9, .seed = 3};
    texts t = some_texts(MANY, 128);
    heard all = {0}, one = {0}, other = {0};
    silr_error err;
    (void)state;

    ok(silr_engine_generate(e, NULL, t.ids, t.start, MANY, &opts, hear, &all, &err), &err);
    for (size_t i = 0; i < MANY; i++) {
        opts.draw = i;
        ok(silr_engine_generate(e, NULL, t.ids, t.start + i, 1, &opts, hear, &one, &err), &err);
        assert_string_equal(one.said[0], all.said[i]);
    }
    opts.draw = 0;
    opts.seed = 4;
    ok(silr_engine_generate(e, NULL, t.ids, t.start, MANY, &opts, hear, &other, &err), &err);
    assert_memory_not_equal(&other, &all, sizeof all);
    silr_engine_free(e);
}

/* --- what cannot be -------------------------------------------------------------------------------------- */

static void bad_calls_are_refused(void **state)
{
    silr_engine *e = engine_of(BERT, (silr_engine_opts){.bare = true});
    const uint32_t ids[64] = {5, 200, 7};
    const size_t empty[] = {0, 0}, outside[] = {0, 3}, too_long[] = {3, 44}, good[] = {0, 1};
    float out[32];
    silr_error err;
    (void)state;

    assert_int_equal(silr_engine_embed(e, ids, empty, 1, out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "no tokens"));
    assert_int_equal(silr_engine_embed(e, ids, outside, 1, out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "vocabulary"));
    assert_int_equal(silr_engine_embed(e, ids, too_long, 1, out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "longer than"));
    assert_int_equal(silr_engine_next(e, NULL, ids, good, 1, ids, 1, false, out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "encoder"));
    silr_engine_free(e);
}

/* Every allocation of loading and of a call may fail: an error, nothing leaked. */
static void any_allocation_may_fail(void **state)
{
    silr_error err;
    uint64_t failures = 0;
    texts t = some_texts(3, 128);
    float out[3 * DIM];
    (void)state;

    for (uint64_t nth = 1;; nth++) {
        silr_engine *e = NULL;
        const silr_engine_opts opts = {.bare = true};
        silr_mem_fail_at(nth, false);
        silr_status st = silr_engine_open(&e, LLAMA, &opts, &err);
        if (st == SILR_OK)
            st = silr_engine_embed(e, t.ids, t.start, t.n, out, &err);
        silr_mem_fail_at(0, false);
        silr_engine_free(e);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        failures++;
    }
    assert_true(failures > 20);
}

static void cancelling_stops_a_call(void **state)
{
    silr_engine *e = engine_of(LLAMA, (silr_engine_opts){.bare = true});
    texts t = some_texts(3, 128);
    float out[3 * DIM];
    silr_error err;
    (void)state;

    silr_cancel();
    assert_int_equal(silr_engine_embed(e, t.ids, t.start, t.n, out, &err), SILR_ECANCEL);
    silr_cancel_reset();
    ok(silr_engine_embed(e, t.ids, t.start, t.n, out, &err), &err);
    silr_engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_is_pytorchs),
        cmocka_unit_test(bert_is_pytorchs),
        cmocka_unit_test(layers_in_four_bits),
        cmocka_unit_test(smollm2_is_pytorchs),
        cmocka_unit_test(minilm_is_pytorchs),
        cmocka_unit_test(batch_mates_change_nothing),
        cmocka_unit_test(a_shared_beginning_is_as_good_as_an_own_one),
        cmocka_unit_test(continuations_are_chains_of_tokens),
        cmocka_unit_test(generation_goes_on_from_what_it_said),
        cmocka_unit_test(draws_are_a_texts_own),
        cmocka_unit_test(bad_calls_are_refused),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(cancelling_stops_a_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
