/* test_export.c - a run's fine-tuned model for other programs: what is written has the scores of the run, by
 * readers that know nothing of the run; what another program saved has its scores here; nothing half-written
 * stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../formats/model.h"
#include "classify/model.h"
#include "classify/qlora.h"
#include "classify/share.h"
#include "export/export.h"
#include "formats/hf_write.h"
#include "formats/peft.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LLAMA SOURCE_ROOT "/tests/engine/data/tinyllama"
#define BERT SOURCE_ROOT "/tests/engine/data/tinybert"
enum { N = 12 };
static char top[] = "/tmp/silr-export-XXXXXX";
static silr_error err;

static void ok(silr_status st)
{
    if (st != SILR_OK)
        fail_msg("%s", err.text);
}

/* A path in the test's folder; of several calls the last four live. */
static const char *at(const char *name)
{
    static char path[4][300];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

static void put(const char *path, const char *text)
{
    ok(silr_file_write(path, text, strlen(text), &err));
}

static bool there(const char *name)
{
    return silr_file_exists(at(name));
}

static char *read_all(const char *path)
{
    silr_buf b = {0};

    ok(silr_file_read(&b, path, 1 << 24, &err));
    return silr_buf_take(&b);
}

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
    char command[1000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
}

/* --- classifiers of made parameters ------------------------------------------------------------------- */

static const char *const texts[N] = {"a", "w5 w17 w5", "c d e", "the same", "", "x, y; z", "0123456789 0123456789",
                                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "w80 w23 w95 w6 w60", "w7", "lower UPPER", "end"};
static size_t lens[N];

static const char *get(const void *ctx, size_t i, size_t *len)
{
    (void)ctx;
    *len = strlen(texts[i]);
    return texts[i];
}

/* Trains nothing: parameters are the model's, each a little moved; saves into the folder `name`. */
static void make_classifier(const char *name, const char *base, silr_scorer_opts o, int K)
{
    static const char *const classes[] = {"one", "two", "three"};
    const double A[9] = {1.5, 0, 0, 0, 1.5, 0, 0, 0, 1.5}, b[3] = {0.25, 0, 0};
    silr_encoder_name n = {.name = (char *)(uintptr_t) "org/tiny", .place = (char *)(uintptr_t)base};
    silr_classifier *c;
    silr_adam adam = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

    ok(silr_encoder_hash(&n.model, base, &err));
    ok(silr_qlora_new(&c, &o, &n, K, classes, get, NULL, N, &err));
    ok(c->reset(c, &adam, 7, 1, &err));
    ok(c->focus(c, 0, &err));
    {
        float z[N * 3];
        const uint32_t docs[1] = {0};
        ok(c->forward(c, docs, 1, z, &err)); /* the member's turn */
    }
    for (size_t i = 0; i < c->n_params; i++)
        c->params[i] += (float)(0.1 * (silr_rng_at(3, SILR_RNG_TEST, 0, i) - 0.5));
    ok(c->save(c, at(name), A, b, 1, &err));
    silr_classifier_free(c);
    for (size_t i = 0; i < N; i++)
        lens[i] = strlen(texts[i]);
}

static silr_scorer_opts lora(void)
{
    return (silr_scorer_opts){.base = SILR_BASE_F32,
                              .tune = {.targets = 1U << SILR_PART_Q | 1U << SILR_PART_K | 1U << SILR_PART_V |
                                                  1U << SILR_PART_UP | 1U << SILR_PART_DOWN,
                                       .lora = {4, 2}}};
}

static silr_scorer_opts full(void)
{
    return (silr_scorer_opts){.base = SILR_BASE_F32, .tune = {.matrices = true, .norms = true, .embeddings = true}};
}

static silr_shared share(const char *name, const char *to, silr_share_form form, silr_type type)
{
    const silr_share_opts o = {.form = form, .type = type, .base_name = "org/renamed"};
    silr_shared out;
    silr_model *m;

    ok(silr_model_load(&m, at(name), &err));
    ok(silr_model_share(m, &o, at(to), texts, lens, N, &out, &err));
    silr_model_free(m);
    return out;
}

/* --- GGUF of the tiny Llama ---------------------------------------------------------------------------- */

typedef struct {
    const silr_weights *w;
    silr_buf *file;
    uint64_t n, offset;
    bool data;
    const float *table; /* quotients of the rotary positions; NULL: none */
} gguf_copy;

/* As the converter does: row 2i of a head's q and k is transformers' i, row 2i + 1 its i + dims/2. */
static size_t from_row(const silr_model_spec *s, silr_part part, size_t row)
{
    const size_t k = row % s->head_dim;

    if (part != SILR_PART_Q && part != SILR_PART_K)
        return row;
    return row - k + k % 2 * (s->head_dim / 2) + k / 2;
}

static void copy_part(gguf_copy *c, const silr_plan *p, silr_part part, size_t layer)
{
    const silr_tensor *t = silr_weights_part(c->w, part, layer, false);
    char name[256];
    float row[512];
    uint64_t turned[2];

    if (!t || !silr_part_name(p, part, layer, false, false, name, sizeof name))
        return;
    turned[0] = t->dim[t->n_dims - 1];
    turned[1] = t->dim[0];
    for (size_t i = 0; c->data && i < (t->n_dims == 2 ? t->dim[0] : 1); i++) {
        silr_tensor_rows(t, from_row(&p->spec, part, i), 1, row);
        silr_buf_add(c->file, row, turned[0] * sizeof *row);
    }
    if (!c->data && c->file)
        gguf_tensor(c->file, name, (uint32_t)t->n_dims, turned, 0, c->offset);
    c->n++;
    c->offset += t->bytes;
}

static void copy_parts(gguf_copy *c, const silr_plan *p)
{
    for (size_t layer = 0; layer < p->spec.layers; layer++)
        for (int part = 0; part < SILR_PARTS; part++)
            if (layer == 0 || silr_part_of_layer((silr_part)part))
                copy_part(c, p, (silr_part)part, layer);
    if (!c->table)
        return;
    if (c->data)
        silr_buf_add(c->file, c->table, 8 * sizeof *c->table);
    else if (c->file)
        gguf_tensor(c->file, "rope_freqs.weight", 1, (const uint64_t[2]){8, 0}, 0, c->offset);
    c->n++;
    c->offset += 8 * sizeof *c->table;
}

static void put_tokens(silr_buf *b)
{
    gguf_string(b, "tokenizer.ggml.model", "llama");
    gguf_array(b, "tokenizer.ggml.tokens", 8, 128);
    for (int i = 0; i < 128; i++) {
        char token[8];
        snprintf(token, sizeof token, i < 32 ? "<%d>" : "%c", i);
        put_string(b, i == 2 ? "</s>" : i == ' ' ? "\xe2\x96\x81" : token);
    }
    gguf_array(b, "tokenizer.ggml.scores", 6, 128);
    for (int i = 0; i < 128; i++)
        put_float(b, 0);
    gguf_array(b, "tokenizer.ggml.token_type", 5, 128);
    for (uint32_t i = 0; i < 128; i++)
        put_u32(b, i == 0 ? 2 : i < 32 ? 3 : 1);
    gguf_u32(b, "tokenizer.ggml.eos_token_id", 2);
    gguf_u32(b, "tokenizer.ggml.unknown_token_id", 0);
}

/* The folder's weights as a GGUF file of another order of rows. */
static void make_gguf(const char *path, const float *table)
{
    silr_weights *w;
    silr_plan p = {.layout = SILR_LAYOUT_GGUF};
    silr_buf b = {0};
    gguf_copy c = {0};

    ok(silr_weights_open(&w, LLAMA, &err));
    p.spec = *silr_weights_spec(w);
    c = (gguf_copy){.w = w, .table = table};
    copy_parts(&c, &p);
    gguf_header(&b, c.n, 14);
    gguf_string(&b, "general.architecture", "llama");
    gguf_put_u32(&b, "llama", "block_count", p.spec.layers);
    gguf_put_u32(&b, "llama", "embedding_length", p.spec.hidden);
    gguf_put_u32(&b, "llama", "attention.head_count", p.spec.heads);
    gguf_put_u32(&b, "llama", "attention.head_count_kv", p.spec.kv_heads);
    gguf_put_u32(&b, "llama", "feed_forward_length", p.spec.mlp);
    gguf_put_u32(&b, "llama", "context_length", p.spec.positions);
    gguf_put_float(&b, "llama", "attention.layer_norm_rms_epsilon", p.spec.norm_epsilon);
    put_tokens(&b);
    c = (gguf_copy){.w = w, .file = &b, .table = table};
    copy_parts(&c, &p);
    put_padding(&b, 32);
    c = (gguf_copy){.w = w, .file = &b, .data = true, .table = table};
    copy_parts(&c, &p);
    ok(silr_file_write(path, b.data, b.len, &err));
    silr_buf_clear(&b);
    silr_weights_free(w);
}

/* --- models ------------------------------------------------------------------------------------------------ */

static void has(const char *path, const char *part)
{
    char *all = read_all(path);

    if (!strstr(all, part))
        fail_msg("%s lacks %s", path, part);
    silr_free(all);
}

/* Every sort of base and of training: the adapter scores the same to the bit, the merged model but for the order
 * of sums. The GGUF file has q and k in another order of rows, and its folder must have them in transformers'. */
static void what_is_shared_scores_the_same(void **state)
{
    static const struct {
        const char *base;
        silr_pooling_choice pooling;
        const char *kind;
    } way[] = {{LLAMA, SILR_POOLING_AUTO, "[\"LlamaForSequenceClassification\"]"},
               {LLAMA, SILR_POOLING_MEAN, "[\"LlamaForTokenClassification\"]"},
               {"gguf", SILR_POOLING_AUTO, "[\"LlamaForSequenceClassification\"]"},
               {"bert", SILR_POOLING_AUTO, "[\"BertForTokenClassification\"]"},
               {"bert", SILR_POOLING_CLS, "[\"BertForTokenClassification\"]"}};
    (void)state;

    make_gguf(at("llama.gguf"), NULL);
    shell(". " SOURCE_ROOT "/tests/embed/tiny.sh; make_bert " BERT " %s/bert", top);
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        for (int K = 2; K <= 3; K++)
            for (int all = 0; all < 2; all++) {
                silr_scorer_opts o = all ? full() : lora();
                const char *base = strcmp(way[i].base, "gguf") == 0 ? at("llama.gguf")
                                   : strcmp(way[i].base, "bert") == 0 ? at("bert") : way[i].base;
                silr_shared x;
                o.pooling = way[i].pooling;
                make_classifier("c", base, o, K);
                x = share("c", "m", SILR_SHARE_MERGED, SILR_TYPE_F32);
                if (!(x.difference < 2e-5))
                    fail_msg("way %zu, K %d, full %d: %g", i, K, all, x.difference);
                has(at("m/config.json"), way[i].kind);
                has(at("m/config.json"), K == 2 ? "\"id2label\": {\"0\": \"one\"}" : "\"2\": \"three\"}");
                assert_true(x.no_tokenizer == (strcmp(way[i].base, "gguf") == 0) && x.no_tokenizer != there("m/tokenizer.json"));
                x = share("c", "h", SILR_SHARE_MERGED, i % 2 ? SILR_TYPE_F16 : SILR_TYPE_BF16);
                assert_true(x.difference > 0 && x.difference < 0.1);
                if (!all) {
                    x = share("c", "a", SILR_SHARE_ADAPTER, SILR_TYPE_F32);
                    assert_true(x.difference <= 0);
                    has(at("a/adapter_config.json"), "\"base_model_name_or_path\": \"org/renamed\"");
                    has(at("a/adapter_config.json"), strstr(way[i].kind, "Token") ? "TOKEN_CLS" : "SEQ_CLS");
                    has(at("a/README.md"), "PeftModel.from_pretrained(base, \".\")");
                }
                shell("rm -rf %s/c %s/m %s/h %s/a", top, top, top, top);
            }
}

static void what_cannot_be_shared_is_refused(void **state)
{
    const silr_share_opts o = {.form = SILR_SHARE_ADAPTER};
    silr_model *m;
    silr_shared out;
    (void)state;

    make_classifier("c", LLAMA, full(), 2);
    ok(silr_model_load(&m, at("c"), &err));
    assert_int_equal(silr_model_share(m, &o, at("a"), texts, lens, N, &out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "there is no adapter: export it with --to merged"));
    silr_model_free(m);
    ok(silr_model_open(&m, at("c"), &(silr_model_opts){.no_encoder = true}, &err));
    assert_int_equal(silr_model_share(m, &o, at("a"), texts, lens, N, &out, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "without its model"));
    silr_model_free(m);
    shell("rm -rf %s/c %s/a", top, top);
}

/* Llama 3's scaling lies in GGUF files as a table of quotients; in config.json it has four numbers. */
static void a_table_of_turns_is_named(void **state)
{
    float table[8];
    silr_weights *w;
    const silr_model_spec *s;
    const float zeros[64] = {0};
    const char *const labels[] = {"one"};
    const silr_hf_model hf = {.type = SILR_TYPE_F32, .columns = 1, .head = zeros, .labels = labels, .pad = -1, .bos = -1, .eos = -1};
    (void)state;

    for (int i = 0; i < 8; i++) { /* as published: slow waves 8 times slower, quick ones as they are */
        const double wave = 2 * 3.14159265358979323846 * pow(1e4, i / 8.0);
        const double smooth = (8192 / wave - 1) / (4 - 1);
        table[i] = wave < 8192 / 4.0 ? 1 : wave > 8192 ? 8 : (float)(1 / ((1 - smooth) / 8 + smooth));
    }
    make_gguf(at("three.gguf"), table);
    ok(silr_weights_open(&w, at("three.gguf"), &err));
    ok(silr_hf_write(at("three"), w, &hf, &err));
    silr_weights_free(w);
    ok(silr_weights_open(&w, at("three"), &err));
    s = silr_weights_spec(w);
    assert_true(s->rope_scaling == SILR_ROPE_LLAMA3 && s->rope_original == 8192);
    assert_true(fabs(s->rope_factor - 8) < 1e-9 && fabs(s->rope_low - 1) < 1e-9 && fabs(s->rope_high - 4) < 1e-9);
    silr_weights_free(w);

    table[0] = 3;
    make_gguf(at("three.gguf"), table);
    ok(silr_weights_open(&w, at("three.gguf"), &err));
    assert_int_equal(silr_hf_write(at("none"), w, &hf, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "not Llama 3's"));
    assert_false(there("none"));
    silr_weights_free(w);
}

/* The adapter that peft saved, with its scores as PyTorch computed them. */
static void an_adapter_of_peft_scores_the_same(void **state)
{
    const char *shared = getenv("SILR_SHARED");
    char adapter[1000];
    silr_sha256 hash;
    silr_buf json = {0};
    silr_qlora_data q;
    silr_scorer s;
    json_t *golden = json_load_file(LLAMA "/tune.json", 0, NULL);
    const json_t *list = json_object_get(golden, "texts");
    const json_t *scores = json_object_get(json_array_get(json_object_get(golden, "steps"), 0), "scores");
    (void)state;

    snprintf(adapter, sizeof adapter, "%s/golden/tinyllama/adapter", shared ? shared : SOURCE_ROOT "/../shared");
    if (!silr_file_exists(adapter)) {
        json_decref(golden);
        print_message("skipped: %s is not here\n", adapter);
        skip();
    }
    ok(silr_encoder_hash(&hash, LLAMA, &err));
    silr_buf_printf(&json, "{\"schema_version\":1,\"classes\":[\"a\",\"b\"],\"model\":\"m\",\"model_path\":\"m\","
                    "\"model_sha256\":\"%s\",\"base\":\"f32\",\"full\":false,\"pooling\":\"auto\",\"max_tokens\":64,"
                    "\"A\":[1],\"b\":[0]}", hash.hex);
    ok(silr_qlora_parse(&q, json.data, json.len, "qlora.json", &err));
    ok(silr_qlora_open(&s, &q, adapter, LLAMA, &err));
    assert_true(json_array_size(list) > 0 && json_array_size(scores) == json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint32_t ids[64];
        const json_t *text = json_array_get(list, i);
        const size_t start[2] = {0, json_array_size(text)};
        float got;
        for (size_t k = 0; k < start[1]; k++)
            ids[k] = (uint32_t)json_integer_value(json_array_get(text, k));
        ok(silr_tune_scores(s.tune, &(silr_tune_batch){.ids = ids, .start = start, .n = 1}, &got, &err));
        assert_true(fabs((double)got - json_number_value(json_array_get(scores, i))) < 2e-5);
    }
    silr_scorer_clear(&s);
    silr_qlora_clear(&q);
    silr_buf_clear(&json);
    json_decref(golden);
}

/* --- a run ---------------------------------------------------------------------------------------------------- */

static void make_run(void)
{
    silr_buf b = {0};
    silr_task *task;

    for (int i = 0; i < 60; i++) {
        const int yes = i * 7 % 3 == 0 || i % 11 == 0;
        silr_buf_printf(&b, "{\"id\":\"t%d\",\"text\":\"%s %d\",\"label\":\"%s\",\"llm\":\"%s\"}\n", i,
                        yes ? "aaa, \\\"ab\\\"" : "bb\\nba", i, yes ? "yes" : "no", (i % 9 ? yes : !yes) ? "yes" : "no");
    }
    put(at("texts.jsonl"), b.data);
    put(at("task.yaml"), "name: tiny\nclasses: [yes, no]\ncorpus: {files: [texts.jsonl], text: text, id: id, label: label}\n"
                         "labelled: {count: 20}\nannotator: {kind: column, column: llm}\n"
                         "classifier: {kind: qlora, model: " LLAMA ", base: f32, rank: 2}\n"
                         "refine: {recipe: paper, iterations: 1, epochs: 1, learning_rate: 0.01}\n");
    ok(silr_task_load(&task, at("task.yaml"), &err));
    ok(silr_run(task, at("run"), &(silr_run_opts){.threads = 1, .force = true}, &err));
    silr_task_free(task);
    silr_buf_clear(&b);
}

static silr_status export_to(silr_export_form form, const char *name, silr_export_outcome *out)
{
    const silr_export_opts o = {.form = form, .place = at(name), .type = SILR_TYPE_F32};

    return silr_export(at("run"), &o, out, &err);
}

static void a_run_is_exported(void **state)
{
    silr_export_outcome out;
    (void)state;

    ok(export_to(SILR_EXPORT_PEFT, "deep/er/peft/", &out));
    assert_true(out.compared == 60 && out.difference <= 0 && !out.foreign_base);
    assert_true(there("deep/er/peft/adapter_model.safetensors") && there("deep/er/peft/README.md"));
    assert_false(there("deep/er/peft.part"));
    shell("mkdir -p %s/merged %s/merged.part; echo old >%s/merged.part/left", top, top, top);
    ok(export_to(SILR_EXPORT_MERGED, "merged", &out)); /* an empty folder is fine, a killed export's rest too */
    assert_true(out.compared == 60 && out.difference < 1e-4);
    assert_true(there("merged/config.json") && !there("merged/left") && !there("merged.part"));
    assert_int_equal(export_to(SILR_EXPORT_MERGED, "merged", &out), SILR_EINPUT);
    assert_non_null(strstr(err.text, "is there already and not empty"));
    assert_int_equal(export_to(SILR_EXPORT_MERGED, "texts.jsonl", &out), SILR_EINPUT);
    for (silr_export_form f = SILR_EXPORT_LABELSTUDIO; f < SILR_EXPORT_FORMS; f++) {
        ok(export_to(f, silr_export_name(f), &out));
        assert_true(out.rows == 60 && out.left_out == 0 && there(silr_export_name(f)));
    }
}

static void cancel(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx, (void)done, (void)total;
    if (strcmp(what, "loading the model") == 0)
        silr_cancel();
}

static void a_stopped_export_leaves_nothing(void **state)
{
    const silr_listener listener = {.progress = cancel};
    silr_export_outcome out;
    (void)state;

    silr_log_listen(&listener);
    assert_int_equal(export_to(SILR_EXPORT_MERGED, "stopped", &out), SILR_ECANCEL);
    silr_log_listen(NULL);
    silr_cancel_reset();
    assert_false(there("stopped") || there("stopped.part"));
}

static void no_memory(void **state)
{
    silr_export_outcome out;
    (void)state;

    for (silr_export_form f = SILR_EXPORT_PEFT; f < SILR_EXPORT_FORMS; f += 3)
        for (uint64_t k = 1, done = 0; !done; k += 1 + k / 6) {
            silr_status st;
            silr_mem_fail_at(k, true);
            st = export_to(f, "scarce", &out);
            silr_mem_fail_at(0, false);
            done = st == SILR_OK;
            if (!done && st != SILR_ENOMEM)
                fail_msg("form %d, allocation %llu: %s", (int)f, (unsigned long long)k, err.text);
            assert_true(there("scarce") == (bool)done && !there("scarce.part"));
            if (done)
                shell("rm -rf %s/scarce", top);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shared_scores_the_same), cmocka_unit_test(what_cannot_be_shared_is_refused),
        cmocka_unit_test(a_table_of_turns_is_named),      cmocka_unit_test(an_adapter_of_peft_scores_the_same),
        cmocka_unit_test(a_run_is_exported),              cmocka_unit_test(a_stopped_export_leaves_nothing),
        cmocka_unit_test(no_memory),
    };
    int failed;

    silr_mem_install();
    if (!mkdtemp(top))
        return 1;
    make_run();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    shell("rm -rf %s", top);
    return failed;
}
