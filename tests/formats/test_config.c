/* test_config.c - what config.json and its neighbours say, and what is not computed wrongly but
 * refused.
 *
 * The files are written after the published ones of each family, shortened to the keys that count.
 */
#include "formats/config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static silr_plan plan;
static silr_error err;

static silr_status read_text(const char *text)
{
    json_t *json;
    silr_status st = silr_json_object(&json, text, strlen(text), "config.json", &err);

    assert_int_equal(st, SILR_OK);
    st = silr_plan_from_config(&plan, json, "config.json", &err);
    json_decref(json);
    return st;
}

static const silr_model_spec *spec(const char *text)
{
    if (read_text(text) != SILR_OK)
        fail_msg("%s", err.text);
    return &plan.spec;
}

static void refused(const char *text, const char *why)
{
    assert_int_equal(read_text(text), SILR_EINPUT);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" has not \"%s\"", err.text, why);
}

static void llama(void **state)
{
    const silr_model_spec *s =
        spec(/* Llama 3.2 1B */
             "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,\"head_dim\":64,"
             "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"intermediate_size\":8192,"
             "\"max_position_embeddings\":131072,\"num_attention_heads\":32,\"num_hidden_layers\":"
             "16,"
             "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,\"rope_scaling\":{\"factor\":32.0,"
             "\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,\"original_max_position_"
             "embeddings\":8192,"
             "\"rope_type\":\"llama3\"},\"rope_theta\":500000.0,\"tie_word_embeddings\":true,"
             "\"vocab_size\":128256}");
    (void)state;

    assert_true(s->family == SILR_FAMILY_LLAMA && s->causal && s->pre_norm && s->rms_norm);
    assert_true(s->layers == 16 && s->hidden == 2048 && s->heads == 32 && s->kv_heads == 8);
    assert_true(s->head_dim == 64 && s->mlp == 8192 && s->vocab == 128256 &&
                s->positions == 131072);
    assert_true(s->rope && !s->rope_interleaved && s->rope_dims == 64 && s->rope_theta == 5e5);
    assert_true(s->rope_scaling == SILR_ROPE_LLAMA3 && s->rope_factor == 32 && s->rope_low == 1 &&
                s->rope_high == 4 && s->rope_original == 8192);
    assert_true(s->norm_epsilon == 1e-5 && !s->norm_plus_one && !s->qk_norm && !s->post_norms);
    assert_true(s->attention_scale == 0.125 && s->window == 0 && s->embedding_scale == 1);
    assert_true(s->gated && s->activation == SILR_ACT_SILU && s->tied && plan.head);
    assert_int_equal(plan.qkv_bias, SILR_NEED_NEVER);

    s = spec(
        "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":true,\"mlp_bias\":true}");
    assert_true(s->vocab == 32000 && s->hidden == 4096 && s->mlp == 11008 && s->layers == 32);
    assert_true(s->kv_heads == 32 && s->head_dim == 128 && s->positions == 2048 && !s->tied);
    assert_true(s->rope_theta == 1e4 && s->norm_epsilon == 1e-6);
    assert_true(plan.qkv_bias == SILR_NEED_MUST && plan.o_bias == SILR_NEED_MUST &&
                plan.mlp_bias == SILR_NEED_MUST);
    assert_int_equal(silr_part_need(&plan, SILR_PART_OUTPUT, false), SILR_NEED_MUST);
}

static void rotary_positions_in_both_forms(void **state)
{
    const silr_model_spec *s;
    (void)state;

    s = spec("{\"architectures\":[\"LlamaModel\"],\"rope_parameters\":{\"rope_theta\":7000.0,"
             "\"rope_type\":\"default\"}}");
    assert_true(s->rope_theta == 7000 && s->rope_theta_local == 7000 &&
                s->rope_scaling == SILR_ROPE_PLAIN);
    s = spec("{\"architectures\":[\"LlamaModel\"],\"rope_theta\":9000,\"rope_scaling\":"
             "{\"type\":\"linear\",\"factor\":4}}");
    assert_true(s->rope_theta == 9000 && s->rope_scaling == SILR_ROPE_LINEAR &&
                s->rope_factor == 4);
    s = spec("{\"architectures\":[\"LlamaModel\"],\"rope_scaling\":null}");
    assert_int_equal(s->rope_scaling, SILR_ROPE_PLAIN);
    for (int i = 0; i < 4; i++) {
        static const char *const unknown[] = {"yarn", "dynamic", "longrope", "su"};
        char text[200];
        snprintf(text, sizeof text,
                 "{\"architectures\":[\"LlamaModel\"],\"rope_scaling\":"
                 "{\"%s\":\"%s\",\"factor\":4}}",
                 i % 2 ? "type" : "rope_type", unknown[i]);
        refused(text, "default, linear or llama3");
    }
    refused("{\"architectures\":[\"LlamaModel\"],\"rope_scaling\":{\"type\":\"linear\"}}",
            "factor");
    refused("{\"architectures\":[\"LlamaModel\"],\"rope_scaling\":{\"rope_type\":\"llama3\","
            "\"factor\":8}}",
            "low_freq_factor");
    refused("{\"architectures\":[\"LlamaModel\"],\"partial_rotary_factor\":0.5}",
            "turn as a whole");
    refused("{\"architectures\":[\"LlamaModel\"],\"rope_theta\":-1}", "positive");
    refused("{\"architectures\":[\"LlamaModel\"],\"rope_theta\":\"big\"}", "not a number");
}

static void mistral_and_qwen(void **state)
{
    const silr_model_spec *s;
    (void)state;

    s = spec("{\"architectures\":[\"MistralForCausalLM\"]}");
    assert_true(s->window == 4096 && s->window_period == 0 && s->kv_heads == 8 && s->mlp == 14336);
    s = spec("{\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":null}");
    assert_int_equal(s->window, 0);
    s = spec("{\"architectures\":[\"Qwen2ForCausalLM\"],\"sliding_window\":32768,"
             "\"use_sliding_window\":false,\"max_window_layers\":21,\"tie_word_embeddings\":true}");
    assert_true(s->family == SILR_FAMILY_QWEN2 && s->window == 0 && s->tied && !s->qk_norm);
    assert_true(plan.qkv_bias == SILR_NEED_MUST && plan.o_bias == SILR_NEED_NEVER);
    s = spec("{\"architectures\":[\"Qwen2ForCausalLM\"],\"num_hidden_layers\":2,"
             "\"use_sliding_window\":true,\"max_window_layers\":0}");
    assert_true(s->window == 4096 && s->window_period == 0);
    refused("{\"architectures\":[\"Qwen2ForCausalLM\"],\"use_sliding_window\":true}",
            "max_window_layers");
    s = spec("{\"architectures\":[\"Qwen3ForCausalLM\"],\"hidden_size\":1024,"
             "\"num_attention_heads\":16,\"num_key_value_heads\":8,\"num_hidden_layers\":28,"
             "\"layer_types\":null}");
    assert_true(s->family == SILR_FAMILY_QWEN3 && s->qk_norm && s->head_dim == 128);
    assert_int_equal(plan.qkv_bias, SILR_NEED_NEVER);
    refused("{\"architectures\":[\"Qwen2MoeForCausalLM\"]}", "Qwen2MoeForCausalLM");
    refused("{\"architectures\":[\"MixtralForCausalLM\"]}", "it knows Llama, Mistral");
}

static void gemma(void **state)
{
    const silr_model_spec *s;
    (void)state;

    s = spec("{\"architectures\":[\"Gemma2ForCausalLM\"],\"hidden_act\":\"gelu\","
             "\"hidden_activation\":\"gelu_pytorch_tanh\",\"query_pre_attn_scalar\":144}");
    assert_true(s->post_norms && s->norm_plus_one && s->activation == SILR_ACT_GELU_TANH);
    assert_true(s->attention_cap == 50 && s->logit_cap == 30 && s->attention_scale == 1.0 / 12);
    assert_true(s->window == 4096 && s->window_period == 2 && s->tied && s->head_dim == 256);
    assert_true(s->embedding_scale == 48); /* the root of 2304 */
    s = spec("{\"architectures\":[\"Gemma2Model\"],\"attn_logit_softcapping\":null}");
    assert_true(s->attention_cap == 0 && s->logit_cap == 30 && !plan.head);

    s = spec("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"vision_config\":{},"
             "\"text_config\":{\"hidden_size\":2560,\"intermediate_size\":10240,"
             "\"num_hidden_layers\":34,\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"},"
             "\"sliding_window\":1024}}");
    assert_true(s->family == SILR_FAMILY_GEMMA3 && s->hidden == 2560 && s->heads == 8);
    assert_true(s->qk_norm && s->window == 1024 && s->window_period == 6 && s->rope_theta == 1e6);
    assert_true(s->rope_theta_local == 1e4 && s->rope_scaling == SILR_ROPE_LINEAR);
    assert_true(s->rope_factor == 8 && s->attention_cap == 0 && s->logit_cap == 0 && plan.head);
    s = spec("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":7,\"layer_types\":["
             "\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\","
             "\"sliding_attention\",\"full_attention\",\"sliding_attention\"],\"rope_parameters\":{"
             "\"full_attention\":{\"rope_theta\":5e5,\"rope_type\":\"default\"},"
             "\"sliding_attention\":{\"rope_theta\":3e4,\"rope_type\":\"default\"}}}");
    assert_true(s->window_period == 3 && s->rope_theta == 5e5 && s->rope_theta_local == 3e4);
    s = spec("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":2,\"layer_types\":["
             "\"sliding_attention\",\"sliding_attention\"]}");
    assert_true(s->window == 4096 && s->window_period == 0);
    s = spec("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":2,\"layer_types\":["
             "\"full_attention\",\"full_attention\"]}");
    assert_true(s->window == 0 && s->window_period == 0);
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":3,\"layer_types\":["
            "\"full_attention\",\"sliding_attention\",\"full_attention\"]}",
            "pattern");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":2,\"layer_types\":["
            "\"full_attention\"]}",
            "one word a layer");
    refused("{\"architectures\":[\"Gemma3TextModel\"],\"use_bidirectional_attention\":true}",
            "use_bidirectional_attention");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"rope_parameters\":{\"full_attention\":{},"
            "\"sliding_attention\":{\"rope_type\":\"linear\",\"factor\":2}}}",
            "rope_type");
}

static void encoders(void **state)
{
    const silr_model_spec *s;
    (void)state;

    s = spec("{\"architectures\":[\"BertModel\"],\"hidden_act\":\"gelu\",\"hidden_size\":384,"
             "\"num_attention_heads\":12,\"num_hidden_layers\":6,\"intermediate_size\":1536}");
    assert_true(s->family == SILR_FAMILY_BERT && !s->causal && !s->pre_norm && !s->rms_norm);
    assert_true(s->head_dim == 32 && s->kv_heads == 12 && s->positions == 512 && s->types == 2);
    assert_true(s->norm_epsilon == 1e-12 && s->activation == SILR_ACT_GELU && !s->gated &&
                !s->rope);
    assert_true(s->pooling == SILR_POOL_MEAN && !s->normalise && s->position_offset == 0);
    assert_true(fabs(s->attention_scale - 1 / sqrt(32)) < 1e-15);
    s = spec("{\"architectures\":[\"XLMRobertaForMaskedLM\"],\"max_position_embeddings\":514,"
             "\"pad_token_id\":1,\"type_vocab_size\":1,\"layer_norm_eps\":1e-05}");
    assert_true(s->family == SILR_FAMILY_ROBERTA && s->positions == 512 && s->position_offset == 2);
    assert_true(s->types == 1 && s->norm_epsilon == 1e-5);
    s = spec("{\"model_type\":\"roberta\"}");
    assert_int_equal(s->family, SILR_FAMILY_ROBERTA);
    refused("{\"architectures\":[\"BertModel\"],\"position_embedding_type\":\"relative_key\"}",
            "absolute");
    refused("{\"architectures\":[\"BertModel\"],\"is_decoder\":true}", "encoder");
    refused("{\"architectures\":[\"BertModel\"],\"hidden_act\":\"relu\"}", "silu, gelu");
    refused("{\"architectures\":[\"RobertaModel\"],\"max_position_embeddings\":2}", "no position");
    refused("{\"architectures\":[\"BertForCausalLM\"]}", "BertForCausalLM");
    refused("{\"architectures\":[\"DistilBertModel\"]}", "DistilBertModel");
}

static void impossible_numbers(void **state)
{
    static const struct {
        const char *key, *why;
    } bad[] = {
        {"\"hidden_size\":0", "hidden size"},
        {"\"hidden_size\":-1", "not a count"},
        {"\"hidden_size\":1e3", "not a count"},
        {"\"hidden_size\":9223372036854775807", "hidden size"},
        {"\"num_hidden_layers\":0", "layers"},
        {"\"num_hidden_layers\":1000000000", "layers"},
        {"\"num_attention_heads\":0", "heads"},
        {"\"num_attention_heads\":12", "evenly"},
        {"\"num_key_value_heads\":64", "key-value heads"},
        {"\"head_dim\":127", "values a head turn"},
        {"\"vocab_size\":4294967296", "vocabulary"},
        {"\"max_position_embeddings\":0", "positions"},
        {"\"rms_norm_eps\":0", "epsilon"},
        {"\"rms_norm_eps\":-1e-6", "epsilon"},
        {"\"rms_norm_eps\":\"1e-6\"", "not a number"},
        {"\"tie_word_embeddings\":\"no\"", "neither true nor false"},
        {"\"quantization_config\":{\"quant_method\":\"gptq\"}", "quantization_config"},
    };
    char text[300];
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text,
                 "{\"architectures\":[\"LlamaForCausalLM\"],"
                 "\"num_key_value_heads\":8,%s}",
                 bad[i].key);
        if (strstr(bad[i].key, "num_key_value_heads"))
            snprintf(text, sizeof text, "{\"architectures\":[\"LlamaForCausalLM\"],%s}",
                     bad[i].key);
        refused(text, bad[i].why);
    }
    refused("{}", "no architecture");
    refused("{\"architectures\":[]}", "no architecture");
    refused("{\"architectures\":[7],\"model_type\":{}}", "no architecture");
    refused("{\"architectures\":[\"\\u001b[2J\"]}", "\"?\"");
}

static json_t *parsed(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static void modules_and_pooling(void **state)
{
    static const struct {
        const char *text, *why, *pooling;
    } modules[] = {
        {"[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},{\"path\":"
         "\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},{\"path\":\"2_"
         "Normalize\","
         "\"type\":\"sentence_transformers.models.Normalize\"}]",
         NULL, "1_Pooling"},
        {"[{\"path\":\"\",\"type\":\"Transformer\"}]", NULL, ""},
        {"[{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]", "module 0",
         ""},
        {"[{\"path\":\"../x\",\"type\":\"Pooling\"}]", "module 0", ""},
        {"[{\"path\":\"/etc\",\"type\":\"Pooling\"}]", "module 0", ""},
        {"[{\"path\":\"0_Transformer\",\"type\":\"Transformer\"}]", "module 0", ""},
        {"[7]", "module 0", ""},
        {"{}", "list", ""},
    };
    static const struct {
        const char *text;
        silr_pooling pooling; /* NONE: refused */
    } pooling[] = {
        {"{\"pooling_mode_cls_token\":false,\"pooling_mode_mean_tokens\":true,"
         "\"word_embedding_dimension\":384}",
         SILR_POOL_MEAN},
        {"{\"pooling_mode_cls_token\":true}", SILR_POOL_CLS},
        {"{\"pooling_mode_lasttoken\":true}", SILR_POOL_LAST},
        {"{\"pooling_mode\":\"cls\"}", SILR_POOL_CLS},
        {"{\"pooling_mode\":\"weightedmean\"}", SILR_POOL_NONE},
        {"{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}", SILR_POOL_NONE},
        {"{\"pooling_mode_max_tokens\":true}", SILR_POOL_NONE},
        {"{\"pooling_mode_mean_tokens\":1}", SILR_POOL_NONE},
        {"{\"pooling_mode_mean_tokens\":true,\"word_embedding_dimension\":385}", SILR_POOL_NONE},
        {"{}", SILR_POOL_NONE},
        {"[]", SILR_POOL_NONE},
    };
    char name[256];
    (void)state;

    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        silr_model_spec s = {0};
        json_t *json = parsed(modules[i].text);
        silr_status st = silr_config_modules(&s, json, name, sizeof name, "modules.json", &err);
        json_decref(json);
        assert_int_equal(st, modules[i].why ? SILR_EINPUT : SILR_OK);
        if (modules[i].why)
            assert_non_null(strstr(err.text, modules[i].why));
        else
            assert_string_equal(name, modules[i].pooling);
        assert_int_equal(s.normalise, i == 0);
    }
    for (size_t i = 0; i < sizeof pooling / sizeof *pooling; i++) {
        silr_model_spec s = {.hidden = 384};
        json_t *json = parsed(pooling[i].text);
        silr_status st = silr_config_pooling(&s, json, "config.json", &err);
        json_decref(json);
        assert_int_equal(st, pooling[i].pooling ? SILR_OK : SILR_EINPUT);
        if (pooling[i].pooling)
            assert_int_equal(s.pooling, pooling[i].pooling);
    }
}

static void longest_text(void **state)
{
    silr_model_spec s = {.positions = 512};
    json_t *json = parsed("{\"max_seq_length\":256,\"do_lower_case\":false}");
    (void)state;

    assert_int_equal(silr_config_sentence(&s, json, "s.json", &err), SILR_OK);
    assert_int_equal(s.max_tokens, 256);
    json_decref(json);
    json = parsed("{\"max_seq_length\":1024}"); /* the model has no more positions */
    assert_int_equal(silr_config_sentence(&s, json, "s.json", &err), SILR_OK);
    assert_int_equal(s.max_tokens, 512);
    json_decref(json);
    json = parsed("{\"max_seq_length\":-1}");
    assert_int_equal(silr_config_sentence(&s, json, "s.json", &err), SILR_EINPUT);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama),
        cmocka_unit_test(rotary_positions_in_both_forms),
        cmocka_unit_test(mistral_and_qwen),
        cmocka_unit_test(gemma),
        cmocka_unit_test(encoders),
        cmocka_unit_test(impossible_numbers),
        cmocka_unit_test(modules_and_pooling),
        cmocka_unit_test(longest_text),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
