/* test_peft.c - adapters: what is written is read the same, named as peft names it, and what does not
 * fit its base or its config is refused with a reason. */
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "formats/safetensors_write.h"
#include "model.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/silr-peft-XXXXXX", config_path[64], tensors_path[64];
static silr_error err;

static void ok(silr_status st)
{
    if (st != SILR_OK)
        fail_msg("%s", err.text);
}

/* --- an adapter of any base ----------------------------------------------------------------------- */

typedef struct {
    silr_model_spec base;
    silr_adapter a;
    float values[1 << 16];
    size_t used;
} made;

static float *some(made *m, size_t n)
{
    float *at = m->values + m->used;

    assert_true(m->used + n <= sizeof m->values / sizeof *m->values);
    for (size_t i = 0; i < n; i++)
        at[i] = (float)((m->used + i) * 2654435761U % 10007) / 1000;
    m->used += n;
    return at;
}

static void adapt(made *m, size_t layer, silr_part part, size_t r, double alpha)
{
    silr_lora *l = silr_adapter_lora(&m->a, layer, part);
    size_t out, in;

    assert_true(silr_adapter_fits(&m->base, part, &out, &in));
    *l = (silr_lora){.r = r, .alpha = alpha, .a = some(m, r * in), .b = some(m, out * r)};
}

static made *make(silr_family family, size_t classes, bool bias)
{
    made *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->base = small_plan(family, SILR_LAYOUT_LLAMA, false).spec;
    ok(silr_adapter_init(&m->a, m->base.layers, &err));
    m->a.dropout = 0.05;
    m->a.classes = classes;
    m->a.head = classes > 0 ? some(m, classes * m->base.hidden) : NULL;
    m->a.bias = bias ? some(m, classes) : NULL;
    return m;
}

static void drop(made *m)
{
    silr_adapter_clear(&m->a);
    free(m);
}

static void same_floats(const float *a, const float *b, size_t n)
{
    assert_true((a == NULL) == (b == NULL));
    if (a)
        assert_memory_equal(a, b, n * sizeof *a);
}

static void same_adapter(const made *m, const silr_adapter *b)
{
    const silr_adapter *a = &m->a;
    size_t out, in;

    assert_true(a->layers == b->layers && a->rslora == b->rslora && a->dropout == b->dropout);
    assert_int_equal(a->classes, b->classes);
    same_floats(a->head, b->head, a->classes * m->base.hidden);
    same_floats(a->bias, b->bias, a->classes);
    for (size_t i = 0; i < a->layers * SILR_PARTS; i++) {
        const silr_lora *x = &a->lora[i], *y = &b->lora[i];
        assert_true(x->r == y->r && x->alpha == y->alpha);
        if (x->r == 0)
            continue;
        assert_true(silr_adapter_scale(a, x) == silr_adapter_scale(b, y));
        silr_adapter_fits(&m->base, (silr_part)(i % SILR_PARTS), &out, &in);
        same_floats(x->a, y->a, x->r * in);
        same_floats(x->b, y->b, x->r * out);
    }
}

static void round_trip(made *m)
{
    silr_adapter back;

    ok(silr_adapter_write(dir, &m->a, &m->base, "some/base", &err));
    ok(silr_adapter_read(&back, dir, &m->base, &err));
    same_adapter(m, &back);
    silr_adapter_clear(&back);
    drop(m);
}

static const silr_part all_parts[] = {SILR_PART_Q, SILR_PART_K, SILR_PART_V, SILR_PART_O,
                                      SILR_PART_GATE, SILR_PART_UP, SILR_PART_DOWN};

static void every_family(void **state)
{
    static const silr_family families[] = {SILR_FAMILY_LLAMA, SILR_FAMILY_QWEN2, SILR_FAMILY_QWEN3,
                                           SILR_FAMILY_GEMMA2, SILR_FAMILY_GEMMA3, SILR_FAMILY_BERT,
                                           SILR_FAMILY_ROBERTA};
    (void)state;

    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (unsigned which = 1; which < 128; which += f == 0 || f == 5 ? 1 : 21) {
            made *m = make(families[f], 1 + which % 3, which % 2);
            size_t adapted = 0;
            for (size_t layer = 0; layer < m->base.layers; layer++)
                for (int p = 0; p < 7; p++)
                    if (which >> p & 1 && (p != 4 || m->base.gated)) {
                        adapt(m, layer, all_parts[p], 3, 16);
                        adapted++;
                    }
            if (adapted > 0)
                round_trip(m);
            else
                drop(m);
        }
}

/* Not the same in every layer, ranks and alphas of their own, rank-stabilised, no head. */
static void irregular(void **state)
{
    made *m = make(SILR_FAMILY_LLAMA, 0, false), *b = make(SILR_FAMILY_BERT, 2, true);
    (void)state;

    m->a.rslora = true;
    adapt(m, 0, SILR_PART_Q, 4, 16);
    adapt(m, 0, SILR_PART_DOWN, 2, 16);
    adapt(m, 1, SILR_PART_Q, 4, 7.5);
    adapt(m, 1, SILR_PART_UP, 1, 32);
    assert_true(fabs(silr_adapter_scale(&m->a, silr_adapter_lora(&m->a, 0, SILR_PART_Q)) - 8) < 1e-12);
    round_trip(m);
    adapt(b, 1, SILR_PART_DOWN, 2, 1);
    round_trip(b);
}

/* --- as peft names it ----------------------------------------------------------------------------- */

static void has(const char *path, const char *text)
{
    silr_buf file = {0};

    ok(silr_file_read(&file, path, 1 << 20, &err));
    if (!strstr(file.data + (strstr(path, ".json") ? 0 : 8), text))
        fail_msg("%s has not \"%s\"", path, text);
    silr_buf_clear(&file);
}

static void names(void **state)
{
    made *m = make(SILR_FAMILY_LLAMA, 1, false), *b = make(SILR_FAMILY_BERT, 3, true);
    (void)state;

    for (size_t layer = 0; layer < 2; layer++) {
        adapt(m, layer, SILR_PART_Q, 8, 32);
        adapt(b, layer, SILR_PART_Q, 8, 32);
        adapt(b, layer, SILR_PART_O, 8, 32);
        adapt(b, layer, SILR_PART_UP, 8, 32);
        adapt(b, layer, SILR_PART_DOWN, 8, 32);
    }
    adapt(m, 1, SILR_PART_V, 8, 32);
    ok(silr_adapter_write(dir, &m->a, &m->base, NULL, &err));
    has(tensors_path, "\"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[8,12]");
    has(tensors_path, "\"base_model.model.score.weight\":{\"dtype\":\"F32\",\"shape\":[1,12]");
    has(config_path, "\"target_modules\": [\n    \"q_proj\",\n    \"model.layers.1.self_attn.v_proj\"\n  ]");
    has(config_path, "\"lora_alpha\": 32");
    has(config_path, "\"base_model_name_or_path\": null");
    ok(silr_adapter_write(dir, &b->a, &b->base, "bert-base", &err));
    has(tensors_path, "\"base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight\"");
    has(tensors_path, "\"base_model.model.classifier.bias\":{\"dtype\":\"F32\",\"shape\":[3]");
    has(config_path, "\"self.query\",\n    \"attention.output.dense\",\n    \"intermediate.dense\",\n"
                     "    \"bert.encoder.layer.0.output.dense\",\n    \"bert.encoder.layer.1.output.dense\"\n");
    drop(m);
    drop(b);
}

/* GGUF's llama has the halves of each head's queries and keys interleaved: row 2i is transformers' i,
 * row 2i + 1 its i + dims/2. A and everything else stay. */
static void rows_of_gguf(void **state)
{
    made *m = make(SILR_FAMILY_LLAMA, 1, false);
    const size_t dim = m->base.head_dim, heads = m->base.heads;
    silr_adapter back;
    const silr_lora *q, *v;
    (void)state;

    adapt(m, 0, SILR_PART_Q, 3, 16);
    adapt(m, 0, SILR_PART_K, 3, 16);
    adapt(m, 0, SILR_PART_V, 3, 16);
    m->base.rope_interleaved = true;
    ok(silr_adapter_write(dir, &m->a, &m->base, NULL, &err));
    m->base.rope_interleaved = false;
    ok(silr_adapter_read(&back, dir, &m->base, &err));
    q = silr_adapter_lora(&m->a, 0, SILR_PART_Q);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < dim / 2; i++)
            for (size_t j = 0; j < 2; j++)
                same_floats(q->b + 3 * (h * dim + 2 * i + j),
                            silr_adapter_lora(&back, 0, SILR_PART_Q)->b + 3 * (h * dim + j * dim / 2 + i), 3);
    same_floats(q->a, silr_adapter_lora(&back, 0, SILR_PART_Q)->a, 3 * 12);
    v = silr_adapter_lora(&m->a, 0, SILR_PART_V);
    same_floats(v->b, silr_adapter_lora(&back, 0, SILR_PART_V)->b, 3 * m->base.kv_heads * dim);
    silr_adapter_clear(&back);

    m->base.rope_interleaved = true;
    round_trip(m);
}

/* What PEFT itself wrote is read, and written again comes to the same bytes. */
static void recorded_adapter(void **state)
{
    const char *shared = getenv("SILR_SHARED");
    char path[1000], theirs[1100];
    silr_buf a = {0}, b = {0};
    silr_weights *w;
    silr_adapter adapter;
    const silr_lora *q;
    (void)state;

    snprintf(path, sizeof path, "%s/golden/tinyllama", shared ? shared : SOURCE_ROOT "/../shared");
    if (!silr_file_exists(path)) {
        print_message("skipped: %s is not here\n", path);
        skip();
    }
    ok(silr_weights_open(&w, path, &err));
    strcat(path, "/adapter");
    snprintf(theirs, sizeof theirs, "%s/adapter_model.safetensors", path);
    ok(silr_adapter_read(&adapter, path, silr_weights_spec(w), &err));
    q = silr_adapter_lora(&adapter, 1, SILR_PART_Q);
    assert_true(q->r == 4 && q->alpha == 16 && silr_adapter_scale(&adapter, q) == 4);
    assert_int_equal(silr_adapter_lora(&adapter, 0, SILR_PART_K)->r, 0);
    assert_true(adapter.classes == 1 && !adapter.bias);
    ok(silr_adapter_write(dir, &adapter, silr_weights_spec(w), NULL, &err));
    ok(silr_file_read(&a, theirs, 1 << 20, &err));
    ok(silr_file_read(&b, tensors_path, 1 << 20, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    silr_buf_clear(&a);
    silr_buf_clear(&b);
    silr_adapter_clear(&adapter);
    silr_weights_free(w);
}

/* --- other configs for the same tensors ------------------------------------------------------------ */

/* Tensors of q and v in both layers (r 4, in 12), head of one row; config as text. */
static made *usual(void)
{
    made *m = make(SILR_FAMILY_LLAMA, 1, false);

    for (size_t layer = 0; layer < 2; layer++) {
        adapt(m, layer, SILR_PART_Q, 4, 16);
        adapt(m, layer, SILR_PART_V, 4, 16);
    }
    ok(silr_adapter_write(dir, &m->a, &m->base, NULL, &err));
    return m;
}

#define CONFIG(more) "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":16" more "}"

static void accepted(const made *m, const char *config)
{
    silr_adapter back;

    ok(silr_file_write(config_path, config, strlen(config), &err));
    if (silr_adapter_read(&back, dir, &m->base, &err) != SILR_OK)
        fail_msg("%s: %s", config, err.text);
    assert_true(silr_adapter_lora(&back, 1, SILR_PART_V)->r == 4);
    silr_adapter_clear(&back);
}

static void refused(const made *m, const char *config, const char *why)
{
    silr_adapter back;

    if (config)
        ok(silr_file_write(config_path, config, strlen(config), &err));
    err.text[0] = '\0';
    assert_int_equal(silr_adapter_read(&back, dir, &m->base, &err), SILR_EINPUT);
    assert_null(back.lora);
    assert_null(back.values);
    if (!strstr(err.text, why))
        fail_msg("%s: \"%s\" has not \"%s\"", config ? config : "", err.text, why);
}

static void ways_to_name_modules(void **state)
{
    made *m = usual();
    (void)state;

    accepted(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\"],\"modules_to_save\":[\"score\",\"classifier\"]"));
    accepted(m, CONFIG(",\"target_modules\":[\"self_attn.q_proj\",\"model.layers.0.self_attn.v_proj\","
                       "\"model.layers.1.self_attn.v_proj\"]"));
    accepted(m, CONFIG(",\"target_modules\":\".*\\\\.(q|v)_proj\""));
    accepted(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\"],\"layers_to_transform\":[1,0]"));
    accepted(m, CONFIG(",\"target_modules\":\"all-linear\","
                       "\"exclude_modules\":\".*(k_proj|o_proj|gate_proj|up_proj|down_proj)\""));
    accepted(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\",\"k_proj\"],\"exclude_modules\":[\"k_proj\"]"));
    accepted(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\"],\"rank_pattern\":{\"o_proj\":9,"
                       "\"layers\\\\.[01].*v_proj\":4,\"v_proj\":7},\"alpha_pattern\":{\".*q_proj\":3}"));
    refused(m, CONFIG(",\"target_modules\":[\"q_proj\"]"), "more than the config says");
    refused(m, CONFIG(",\"target_modules\":[\"roj\",\"v_proj\"]"), "more than the config says");
    refused(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\",\"k_proj\"]"),
            "has no adapter of model.layers.0.self_attn.k_proj");
    refused(m, CONFIG(",\"target_modules\":\"q_proj\""), "more than the config says"); /* not all of a name */
    refused(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\"],\"layers_to_transform\":0"), "layers.1");
    refused(m, CONFIG(",\"target_modules\":[\"q_proj\",\"v_proj\"],\"rank_pattern\":{\"1.self_attn.v_proj\":5}"),
            "layers.1.self_attn.v_proj.lora_A.weight\" is not 5 x 12");
    drop(m);
}

static void hostile_configs(void **state)
{
#define QV ",\"target_modules\":[\"q_proj\",\"v_proj\"]"
    static const struct {
        const char *config, *why;
    } bad[] = {
        {"[]", "is not a JSON object"},
        {"{\"r\":", "not JSON"},
        {"{}", "peft_type"},
        {"{\"peft_type\":\"IA3\"}", "not the config of a LoRA"},
        {"{\"peft_type\":7}", "not the config of a LoRA"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":1" QV "}", "\"r\" is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":1" QV "}", "\"r\" is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":-4,\"lora_alpha\":1" QV "}", "\"r\" is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":4.5,\"lora_alpha\":1" QV "}", "\"r\" is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":9223372036854775807,\"lora_alpha\":1" QV "}", "\"r\" is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":4" QV "}", "lora_alpha"},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":\"16\"" QV "}", "lora_alpha"},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":1e300" QV "}", "lora_alpha"},
        {CONFIG(QV ",\"lora_dropout\":1"), "lora_dropout"},
        {CONFIG(QV ",\"lora_dropout\":\"a\""), "lora_dropout"},
        {CONFIG(QV ",\"bias\":\"all\""), "\"bias\" is not \"none\""},
        {CONFIG(QV ",\"bias\":null"), "\"bias\" is not \"none\""},
        {CONFIG(QV ",\"use_dora\":true"), "\"use_dora\" is set"},
        {CONFIG(QV ",\"use_something_new\":{\"a\":1}"), "\"use_something_new\" is set"},
        {CONFIG(QV ",\"use_\\u001b[31m\":1"), "something is to be used"},
        {CONFIG(QV ",\"use_rslora\":1"), "use_rslora"},
        {CONFIG(QV ",\"fan_in_fan_out\":true"), "\"fan_in_fan_out\" is set"},
        {CONFIG(QV ",\"lora_bias\":true"), "\"lora_bias\" is set"},
        {CONFIG(QV ",\"layer_replication\":[[0,1]]"), "\"layer_replication\" is set"},
        {CONFIG(QV ",\"trainable_token_indices\":[3]"), "\"trainable_token_indices\" is set"},
        {CONFIG(QV ",\"modules_to_save\":[\"embed_tokens\"]"), "beside the head"},
        {CONFIG(QV ",\"modules_to_save\":[4]"), "modules_to_save"},
        {CONFIG(QV ",\"modules_to_save\":\"score\""), "modules_to_save"},
        {CONFIG(""), "target_modules"},
        {CONFIG(",\"target_modules\":[]"), "target_modules"},
        {CONFIG(",\"target_modules\":[[]]"), "target_modules"},
        {CONFIG(",\"target_modules\":\"(\""), "wrong, or too costly"},
        {CONFIG(",\"target_modules\":\"(.|.)*(.|.)*(.|.)*[!?]\""), "wrong, or too costly"},
        {CONFIG(",\"target_modules\":\"(?R)\""), "wrong, or too costly"},
        {CONFIG(QV ",\"exclude_modules\":4"), "exclude_modules"},
        {CONFIG(QV ",\"layers_to_transform\":\"0\""), "layers_to_transform"},
        {CONFIG(QV ",\"layers_to_transform\":[0.5]"), "layers_to_transform"},
        {CONFIG(QV ",\"rank_pattern\":[4]"), "rank_pattern"},
        {CONFIG(QV ",\"rank_pattern\":{\"q_proj\":0}"), "rank_pattern"},
        {CONFIG(QV ",\"rank_pattern\":{\"q_proj\":\"4\"}"), "rank_pattern"},
        {CONFIG(QV ",\"rank_pattern\":{\"[\":4}"), "wrong, or too costly"},
        {CONFIG(QV ",\"alpha_pattern\":{\"q_proj\":-1}"), "alpha_pattern"},
        {CONFIG(QV ",\"r\":4"), "twice"},
    };
    made *m = usual();
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(m, bad[i].config, bad[i].why);
    drop(m);
}

/* --- other tensors for the same config ------------------------------------------------------------- */

static void hostile_tensors(void **state)
{
#define Q0 "base_model.model.model.layers.0.self_attn.q_proj"
    static const struct {
        const char *name; /* of the last tensor */
        int n_dims;
        size_t dim[2];
        const char *why;
    } bad[] = {
        {NULL, 0, {0}, "half"},
        {Q0 ".lora_B.weight", 2, {16, 5}, Q0 ".lora_B.weight\" is not 16 x 4"},
        {Q0 ".lora_B.weight", 2, {15, 4}, "is not 16 x 4"},
        {Q0 ".lora_B.weight", 1, {64}, "is not 16 x 4"},
        {Q0 ".lora_B.bias", 2, {16, 4}, "half"},
        {"base_model.model.model.layers.2.self_attn.q_proj.lora_B.weight", 2, {16, 4}, "half"},
    };
    static float x[80];
    made *m = make(SILR_FAMILY_LLAMA, 0, false);
    silr_saved_tensor t[3] = {
        {.name = Q0 ".lora_A.weight", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {4, 12}, .values = x}};
    const char *const config = CONFIG(",\"target_modules\":[\"model.layers.0.self_attn.q_proj\"]");
    silr_adapter back;
    (void)state;

    ok(silr_file_write(config_path, config, strlen(config), &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t[1] = (silr_saved_tensor){.name = bad[i].name, .type = SILR_TYPE_F32, .n_dims = bad[i].n_dims,
                                   .dim = {bad[i].dim[0], bad[i].dim[1]}, .values = x};
        ok(silr_safetensors_write(tensors_path, t, bad[i].name ? 2 : 1, NULL, 0, NULL, NULL, &err));
        refused(m, NULL, bad[i].why);
    }
    t[1] = (silr_saved_tensor){.name = Q0 ".lora_B.weight", .type = SILR_TYPE_F16, .n_dims = 2, .dim = {16, 4}, .values = x};
    t[2] = (silr_saved_tensor){.name = "base_model.model.pooler.dense.weight", .type = SILR_TYPE_F32, .n_dims = 1, .dim = {1}, .values = x};
    ok(silr_safetensors_write(tensors_path, t, 3, NULL, 0, NULL, NULL, &err));
    refused(m, NULL, "of nothing that silr adapts");
    t[2].name = "base_model.model.score.weight";
    ok(silr_safetensors_write(tensors_path, t, 3, NULL, 0, NULL, NULL, &err));
    refused(m, NULL, "is not 1 x 12");
    x[70] = NAN;
    t[2] = (silr_saved_tensor){.name = "base_model.model.score.weight", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {1, 12}, .values = x + 60};
    ok(silr_safetensors_write(tensors_path, t, 3, NULL, 0, NULL, NULL, &err));
    refused(m, NULL, "score.weight\" has values that are infinite or not numbers");
    x[70] = 0;
    ok(silr_safetensors_write(tensors_path, t, 2, NULL, 0, NULL, NULL, &err)); /* and this one is right */
    ok(silr_adapter_read(&back, dir, &m->base, &err));
    silr_adapter_clear(&back);
    drop(m);
}

static void missing_files(void **state)
{
    made *m = usual();
    char old[64];
    (void)state;

    unlink(tensors_path);
    refused(m, NULL, "adapter_model.safetensors");
    snprintf(old, sizeof old, "%s/adapter_model.bin", dir);
    ok(silr_file_write(old, "x", 1, &err));
    refused(m, NULL, "is a pickle");
    unlink(old);
    unlink(config_path);
    refused(m, NULL, "adapter_config.json");
    drop(m);
}

static void no_memory(void **state)
{
    made *m = usual();
    silr_adapter back;
    (void)state;

    for (int write = 0; write < 2; write++)
        for (uint64_t n = 1;; n++) {
            silr_status st;
            silr_mem_fail_at(n, false);
            st = write ? silr_adapter_write(dir, &m->a, &m->base, "b", NULL)
                       : silr_adapter_read(&back, dir, &m->base, NULL);
            silr_mem_fail_at(0, false);
            if (st == SILR_OK)
                break;
            assert_int_equal(st, SILR_ENOMEM);
        }
    silr_adapter_clear(&back);
    drop(m);
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(config_path, sizeof config_path, "%s/adapter_config.json", dir);
    snprintf(tensors_path, sizeof tensors_path, "%s/adapter_model.safetensors", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(config_path);
    unlink(tensors_path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family),         cmocka_unit_test(irregular),
        cmocka_unit_test(names),                cmocka_unit_test(rows_of_gguf),
        cmocka_unit_test(recorded_adapter),     cmocka_unit_test(ways_to_name_modules),
        cmocka_unit_test(hostile_configs),      cmocka_unit_test(hostile_tensors),
        cmocka_unit_test(missing_files),        cmocka_unit_test(no_memory),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
