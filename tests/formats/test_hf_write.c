/* test_hf_write.c - a classifier as transformers keeps it: whatever the base lies in, config.json says the same
 * model, and the tensors are those of the base in transformers' order and convention. */
#include "model.h"

#include "formats/hf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char dir[] = "/tmp/silr-hf-XXXXXX", gguf[64], out[64];
static silr_error err;

static void ok(silr_status st)
{
    if (st != SILR_OK)
        fail_msg("%s", err.text);
}

static void put(const char *path, const silr_buf *b)
{
    ok(silr_file_write(path, b->data, b->len, &err));
}

static bool same(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(a);
}

/* Has layer l the window? */
static bool windowed(const silr_model_spec *s, size_t l)
{
    return s->window > 0 && (s->window_period == 0 || (l + 1) % s->window_period != 0);
}

/* What was written is the same model, but for its name, the order of rows and where Gemma's 1 is. */
static void same_model(const silr_model_spec *a, const silr_model_spec *b)
{
    assert_true(a->family == b->family && a->layers == b->layers && a->hidden == b->hidden && a->heads == b->heads);
    assert_true(a->kv_heads == b->kv_heads && a->head_dim == b->head_dim && a->mlp == b->mlp && a->vocab == b->vocab);
    assert_true(a->positions == b->positions && a->position_offset == b->position_offset && a->types == b->types);
    assert_true(a->causal == b->causal && a->qk_norm == b->qk_norm && a->post_norms == b->post_norms);
    assert_true(same(a->norm_epsilon, b->norm_epsilon) && a->activation == b->activation && a->tied == b->tied);
    assert_true(a->window == b->window);
    for (size_t l = 0; l < a->layers; l++)
        assert_true(windowed(a, l) == windowed(b, l));
    assert_true(same(a->attention_scale, b->attention_scale) && same(a->embedding_scale, b->embedding_scale));
    assert_true(same(a->attention_cap, b->attention_cap) && same(a->logit_cap, b->logit_cap));
    assert_false(b->rope_interleaved);
    if (!a->rope)
        return;
    assert_true(same(a->rope_theta, b->rope_theta) && same(a->rope_theta_local, b->rope_theta_local));
    assert_true(a->rope_scaling == b->rope_scaling && same(a->rope_factor, b->rope_factor));
    assert_true(same(a->rope_low, b->rope_low) && same(a->rope_high, b->rope_high) && a->rope_original == b->rope_original);
}

static silr_status write_with(silr_weights *w, silr_type type, bool by_token, silr_hf_rows rows)
{
    static const float head[2 * 64] = {1, 2, 3};
    static const char *const labels[] = {"good \"news\"", "bad"};
    const silr_hf_model m = {.type = type, .by_token = by_token, .columns = 2, .head = head, .labels = labels,
                             .pad = 3, .bos = 1, .eos = 2, .ctx = w, .rows = rows};

    return silr_hf_write(out, w, &m, &err);
}

static void round_trip(const char *path, bool by_token, const char *kind)
{
    silr_weights *a, *b;
    const silr_tensor *head;
    float row[64];

    ok(silr_weights_open(&a, path, &err));
    ok(write_with(a, SILR_TYPE_F32, by_token, NULL));
    ok(silr_weights_open(&b, out, &err));
    same_model(silr_weights_spec(a), silr_weights_spec(b));
    assert_string_equal(silr_weights_spec(b)->architecture, kind);
    head = silr_weights_find(b, silr_weights_spec(b)->causal ? "score.weight" : "classifier.weight");
    assert_true(head && head->dim[0] == 2 && head->dim[1] == silr_weights_spec(a)->hidden);
    silr_tensor_rows(head, 0, 1, row);
    assert_true(row[0] > 0 && row[1] > 1 && row[2] > 2);
    silr_weights_free(a);
    silr_weights_free(b);
}

static void every_family_of_gguf(void **state)
{
    static const struct {
        silr_family family;
        const char *arch, *kind;
    } f[] = {{SILR_FAMILY_LLAMA, "llama", "LlamaForSequenceClassification"},
             {SILR_FAMILY_QWEN2, "qwen2", "Qwen2ForSequenceClassification"},
             {SILR_FAMILY_QWEN3, "qwen3", "Qwen3ForSequenceClassification"},
             {SILR_FAMILY_GEMMA2, "gemma2", "Gemma2ForSequenceClassification"},
             {SILR_FAMILY_GEMMA3, "gemma3", "Gemma3TextForSequenceClassification"},
             {SILR_FAMILY_BERT, "bert", "BertForTokenClassification"}};
    (void)state;

    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        const bool bert = f[i].family == SILR_FAMILY_BERT;
        const silr_plan p = small_plan(f[i].family, bert ? SILR_LAYOUT_GGUF_BERT : SILR_LAYOUT_GGUF, true);
        silr_buf b = {0};
        gguf_model(&b, f[i].arch, &p, 0, 1, 4);
        put(gguf, &b);
        round_trip(gguf, bert, f[i].kind);
        silr_buf_clear(&b);
    }
}

/* From a folder: what only config.json can say. */
static void what_configs_say(void **state)
{
    static const struct {
        silr_family family;
        silr_layout layout;
        const char *architecture, *more, *kind;
    } f[] = {
        {SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "LlamaForCausalLM",
         "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}", "LlamaForTokenClassification"},
        {SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "LlamaModel",
         "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32, \"low_freq_factor\": 1.5, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 77}", "LlamaForTokenClassification"},
        {SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "MistralModel", "\"sliding_window\": 3", "MistralForTokenClassification"},
        {SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "MistralModel", "\"sliding_window\": null", "MistralForTokenClassification"},
        {SILR_FAMILY_QWEN3, SILR_LAYOUT_LLAMA, "Qwen3Model",
         "\"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": 0", "Qwen3ForTokenClassification"},
        {SILR_FAMILY_GEMMA2, SILR_LAYOUT_GEMMA, "Gemma2Model",
         "\"attn_logit_softcapping\": null, \"query_pre_attn_scalar\": 7, \"sliding_window\": 4", "Gemma2ForTokenClassification"},
        {SILR_FAMILY_GEMMA3, SILR_LAYOUT_GEMMA, "Gemma3TextModel", "\"sliding_window_pattern\": 2, \"sliding_window\": 4",
         "Gemma3TextForTokenClassification"},
        {SILR_FAMILY_ROBERTA, SILR_LAYOUT_BERT, "RobertaModel", "\"pad_token_id\": 1", "RobertaForTokenClassification"},
        {SILR_FAMILY_ROBERTA, SILR_LAYOUT_BERT, "XLMRobertaModel", "\"hidden_act\": \"gelu_new\"", "XLMRobertaForTokenClassification"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        silr_plan p = small_plan(f[i].family, f[i].layout, false);
        const silr_model_spec *s = &p.spec;
        char *config = silr_path_join(dir, "config.json"), *tensors = silr_path_join(dir, "model.safetensors");
        silr_buf json = {0}, file = {0};
        p.head = false;
        p.spec.position_offset = f[i].family == SILR_FAMILY_ROBERTA ? 2 : 0;
        silr_buf_printf(&json, "{\"architectures\": [\"%s\"], \"num_hidden_layers\": 2, \"hidden_size\": %zu, \"num_attention_heads\": 4, "
                        "\"num_key_value_heads\": %zu, \"head_dim\": %zu, \"intermediate_size\": %zu, \"vocab_size\": %zu, "
                        "\"type_vocab_size\": 2, \"max_position_embeddings\": %zu, \"tie_word_embeddings\": true, %s}", f[i].architecture,
                        s->hidden, s->kv_heads, s->head_dim, s->mlp, s->vocab, s->positions + s->position_offset, f[i].more);
        safetensors_model(&file, &p);
        put(config, &json);
        put(tensors, &file);
        round_trip(dir, true, f[i].kind);
        silr_buf_clear(&json);
        silr_buf_clear(&file);
        silr_free(config);
        silr_free(tensors);
    }
}

/* Gemma's norms count 1 more than transformers' files say: in GGUF it has been added. A zero there is -1. */
static void norms_of_gemma(void **state)
{
    const silr_plan p = small_plan(SILR_FAMILY_GEMMA3, SILR_LAYOUT_GGUF, true);
    silr_buf b = {0};
    silr_weights *w, *again;
    float row[64];
    (void)state;

    gguf_model(&b, "gemma3", &p, 0, 1, 4);
    put(gguf, &b);
    ok(silr_weights_open(&w, gguf, &err));
    ok(write_with(w, SILR_TYPE_F32, false, NULL));
    ok(silr_weights_open(&again, out, &err));
    silr_tensor_rows(silr_weights_part(again, SILR_PART_MLP_POST_NORM, 1, false), 0, 1, row);
    assert_true(row[0] < -0.99F && row[31] < -0.99F);
    silr_tensor_rows(silr_weights_part(again, SILR_PART_Q, 1, false), 0, 1, row);
    assert_true(fabs((double)row[0]) <= 0);
    silr_weights_free(again);
    ok(silr_weights_open(&again, out, &err));
    ok(write_with(again, SILR_TYPE_F32, false, NULL)); /* from transformers' files they are as they are */
    silr_weights_free(again);
    ok(silr_weights_open(&again, out, &err));
    silr_tensor_rows(silr_weights_part(again, SILR_PART_OUTPUT_NORM, 0, false), 0, 1, row);
    assert_true(row[0] < -0.99F && row[0] > -1.01F);
    silr_weights_free(again);
    silr_weights_free(w);
    silr_buf_clear(&b);
}

/* Rows that the caller makes; one value that half precision cannot hold. */
static silr_status large(void *ctx, silr_part part, size_t layer, bool bias, size_t first, size_t n, float *rows, silr_error *e)
{
    const silr_tensor *t = silr_weights_part(ctx, part, layer, bias);
    (void)first, (void)e;
    for (size_t i = 0; i < n * t->dim[t->n_dims - 1]; i++)
        rows[i] = part == SILR_PART_O && layer == 1 ? 70000 : 0;
    return SILR_OK;
}

static void too_large_for_its_type(void **state)
{
    const silr_plan p = small_plan(SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF, true);
    silr_buf b = {0};
    silr_weights *w;
    (void)state;

    gguf_model(&b, "llama", &p, 0, 1, 4);
    put(gguf, &b);
    ok(silr_weights_open(&w, gguf, &err));
    ok(write_with(w, SILR_TYPE_BF16, false, large));
    assert_int_equal(write_with(w, SILR_TYPE_F16, false, large), SILR_EINPUT);
    assert_non_null(strstr(err.text, "model.layers.1.self_attn.o_proj.weight has the value 70000, which F16 cannot hold"));
    silr_weights_free(w);
    silr_buf_clear(&b);
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(gguf, sizeof gguf, "%s/base.gguf", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    return 0;
}

static int drop_dir(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); // NOLINT(cert-env33-c)
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_of_gguf), cmocka_unit_test(what_configs_say),
        cmocka_unit_test(norms_of_gemma),       cmocka_unit_test(too_large_for_its_type),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
