/* test_weights.c - opening whole models: small ones of every family in every layout, wrong ones,
 * and the recorded ones where they are at hand. */
#include "formats/weights_inside.h"
#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/silr-weights-XXXXXX";
static silr_buf file;
static silr_error err;

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    silr_buf_clear(&file);
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    char command[100];
    (void)state;
    silr_buf_clear(&file);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); // NOLINT(cert-env33-c)
}

static const char *in_dir(const char *name)
{
    static char path[4][200];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void put_file(const char *name, const char *bytes, size_t len)
{
    assert_int_equal(silr_file_write(in_dir(name), bytes, len, NULL), SILR_OK);
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

static silr_weights *opened(const char *path)
{
    silr_weights *w;
    if (silr_weights_open(&w, path, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return w;
}

static void refused(const char *path, const char *why)
{
    silr_weights *w;
    assert_int_equal(silr_weights_open(&w, path, &err), SILR_EINPUT);
    assert_null(w);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" has not \"%s\"", err.text, why);
}

/* Every part that the plan needs is there with its shape; no other is. */
static void check_parts(const silr_weights *w, const silr_plan *p)
{
    size_t dim[2];

    for (size_t layer = 0; layer <= p->spec.layers; layer++)
        for (int i = 0; i < 2 * SILR_PARTS; i++) {
            silr_part part = (silr_part)(i / 2);
            const silr_tensor *t = silr_weights_part(w, part, layer, i % 2);
            bool needed = silr_part_need(p, part, i % 2) == SILR_NEED_MUST &&
                          layer < p->spec.layers && (layer == 0 || silr_part_of_layer(part));
            assert_int_equal(t != NULL, needed);
            if (!t)
                continue;
            assert_int_equal(t->n_dims, silr_part_shape(&p->spec, part, i % 2, dim));
            assert_int_equal(t->dim[0], dim[0]);
            assert_ptr_equal(silr_weights_find(w, t->name), t);
        }
    assert_null(silr_weights_part(w, SILR_PARTS, 0, false));
}

/* --- GGUF --------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    silr_family family;
    silr_layout layout;
} arch[] = {
    {"llama", SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF},
    {"qwen2", SILR_FAMILY_QWEN2, SILR_LAYOUT_GGUF},
    {"qwen3", SILR_FAMILY_QWEN3, SILR_LAYOUT_GGUF},
    {"gemma2", SILR_FAMILY_GEMMA2, SILR_LAYOUT_GGUF},
    {"gemma3", SILR_FAMILY_GEMMA3, SILR_LAYOUT_GGUF},
    {"bert", SILR_FAMILY_BERT, SILR_LAYOUT_GGUF_BERT},
};

static void every_family_from_gguf(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        silr_plan p = small_plan(arch[i].family, arch[i].layout, i % 2);
        const silr_model_spec *s;
        silr_weights *w;
        silr_buf_clear(&file);
        gguf_model(&file, arch[i].name, &p, i % 2 ? 8 : 1, i % 2 ? 32 : 1, i % 2 ? 34 : 2);
        put_file("m.gguf", file.data, file.len);
        w = opened(in_dir("m.gguf"));
        s = silr_weights_spec(w);
        check_parts(w, &p);
        assert_string_equal(s->architecture, arch[i].name);
        assert_true(s->family == arch[i].family && s->layers == 2 && s->hidden == p.spec.hidden);
        assert_true(s->heads == 4 && s->kv_heads == p.spec.kv_heads && s->mlp == p.spec.mlp);
        assert_true(s->vocab == 7 && s->positions == 9 && s->types == p.spec.types);
        assert_true(s->head_dim == p.spec.head_dim && s->tied && !s->norm_plus_one);
        assert_int_equal(s->rope_interleaved, arch[i].family == SILR_FAMILY_LLAMA);
        assert_int_equal(s->window, s->post_norms ? 5 : 0);
        assert_int_equal(s->window_period, arch[i].family == SILR_FAMILY_GEMMA2   ? 2
                                           : arch[i].family == SILR_FAMILY_GEMMA3 ? 6
                                                                                  : 0);
        assert_true(fabs(s->attention_scale - p.spec.attention_scale) < 1e-12);
        silr_weights_free(w);
    }
}

/* Names as the published files have them, not only as our table does. */
static void names_of_gguf(void **state)
{
    silr_plan p = small_plan(SILR_FAMILY_GEMMA3, SILR_LAYOUT_GGUF, false);
    silr_weights *w;
    static const char *const name[] = {
        "token_embd.weight",          "output_norm.weight",
        "blk.1.attn_norm.weight",     "blk.1.attn_q.weight",
        "blk.1.attn_k.weight",        "blk.1.attn_v.weight",
        "blk.1.attn_output.weight",   "blk.1.attn_q_norm.weight",
        "blk.1.attn_k_norm.weight",   "blk.1.post_attention_norm.weight",
        "blk.1.ffn_norm.weight",      "blk.1.ffn_gate.weight",
        "blk.1.ffn_up.weight",        "blk.1.ffn_down.weight",
        "blk.1.post_ffw_norm.weight",
    };
    (void)state;

    gguf_model(&file, "gemma3", &p, 0, 1, 4);
    put_file("m.gguf", file.data, file.len);
    w = opened(in_dir("m.gguf"));
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        assert_non_null(silr_weights_find(w, name[i]));
    assert_int_equal(silr_weights_count(w), 2 + 2 * 13);
    assert_null(silr_weights_find(w, "output.weight"));
    silr_weights_free(w);
}

static void swap(const char *from, const char *to) /* of one length, wherever it stands */
{
    size_t n = strlen(from), found = 0;
    assert_int_equal(n, strlen(to));
    for (size_t i = 0; i + n <= file.len; i++)
        if (memcmp(file.data + i, from, n) == 0) {
            memcpy(file.data + i, to, n);
            found++;
        }
    assert_true(found > 0);
}

static void wrong_gguf_models(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } wrong[] = {
        {"llama.block_count", "llama.bl0ck_count", "key llama.block_count is missing"},
        {"feed_forward_length", "feed_forward_lengt_", "key llama.feed_forward_length is missing"},
        {"blk.1.ffn_up.weight", "blk.1.ffn_uq.weight",
         "tensor \"blk.1.ffn_up.weight\" is missing, which a model of 2 layers (llama) has"},
        {"token_embd.weight", "token_embq.weight", "vocabulary: 0"},
        {"output_norm.weight", "output_nurm.weight", "output_norm.weight\" is missing"},
    };
    silr_plan p = small_plan(SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF, false);
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        silr_buf_clear(&file);
        gguf_model(&file, "llama", &p, 0, 1, 4);
        swap(wrong[i].from, wrong[i].to);
        put_file("m.gguf", file.data, file.len);
        refused(in_dir("m.gguf"), wrong[i].why);
    }
    silr_buf_clear(&file);
    gguf_model(&file, "mamba", &p, 0, 1, 4);
    put_file("m.gguf", file.data, file.len);
    refused(in_dir("m.gguf"), "architecture \"mamba\" is not known to silr; it knows llama");
    silr_buf_clear(&file);
    p.spec.heads = 3; /* and two for keys */
    gguf_model(&file, "llama", &p, 0, 1, 4);
    put_file("m.gguf", file.data, file.len);
    refused(in_dir("m.gguf"), "evenly");
    p = small_plan(SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF, true);
    silr_buf_clear(&file);
    gguf_model(&file, "llama", &p, 20, 32, 18);
    put_file("m.gguf", file.data, file.len);
    refused(in_dir("m.gguf"), "is of type IQ4_NL, which silr cannot compute with");
}

/* Keys of other models that change what is computed: known, or refused, never passed over. */
static void telling_gguf_keys(void **state)
{
    static const struct {
        const char *key, *word;
        uint32_t number;
        const char *why; /* NULL: fine */
    } key[] = {
        {"llama.rope.scaling.type", "none", 0, NULL},
        {"llama.rope.scaling.type", "linear", 0, NULL},
        {"llama.rope.scaling.type", "yarn", 0, "names a scaling of rotary positions"},
        {"llama.rope.scaling.factor", NULL, 4, NULL},
        {"llama.expert_count", NULL, 8, "mixture of experts"},
        {"llama.expert_count", NULL, 0, NULL},
        {"llama.attention.value_length", NULL, 5, "differs from attention.key_length"},
        {"llama.rope.dimension_count", NULL, 3, "impossible"},
        {"llama.rope.dimension_count", NULL, 2, NULL},
    };
    silr_plan p = small_plan(SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF, false);
    (void)state;

    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        silr_buf more = {0};
        silr_weights *w;
        silr_buf_clear(&file);
        if (key[i].word)
            gguf_string(&more, key[i].key, key[i].word);
        else
            gguf_u32(&more, key[i].key, key[i].number);
        gguf_model_with(&file, "llama", &p, 0, 1, 4, &more);
        put_file("m.gguf", file.data, file.len);
        silr_buf_clear(&more);
        if (key[i].why) {
            refused(in_dir("m.gguf"), key[i].why);
            continue;
        }
        w = opened(in_dir("m.gguf"));
        if (strcmp(key[i].key, "llama.rope.scaling.factor") == 0)
            assert_true(silr_weights_spec(w)->rope_scaling == SILR_ROPE_LINEAR &&
                        silr_weights_spec(w)->rope_factor == 4);
        if (strcmp(key[i].key, "llama.rope.dimension_count") == 0)
            assert_int_equal(silr_weights_spec(w)->rope_dims, 2);
        silr_weights_free(w);
    }
}

/* --- folders -----------------------------------------------------------------------------------
 */

static const char bert_config[] =
    "{\"architectures\":[\"BertModel\"],\"hidden_size\":12,\"num_attention_heads\":4,"
    "\"num_hidden_layers\":2,\"intermediate_size\":20,\"vocab_size\":7,\"max_position_embeddings\":"
    "9,"
    "\"type_vocab_size\":2}";

static void put_bert(const char *prefix)
{
    silr_plan p = small_plan(SILR_FAMILY_BERT, SILR_LAYOUT_BERT, false);

    snprintf(p.prefix, sizeof p.prefix, "%s", prefix);
    silr_buf_clear(&file);
    safetensors_model(&file, &p);
    put_text("config.json", bert_config);
    put_file("model.safetensors", file.data, file.len);
}

static void encoders_from_folders(void **state)
{
    static const char *const prefix[] = {"", "bert.", "roberta.", "model."};
    silr_plan p = small_plan(SILR_FAMILY_BERT, SILR_LAYOUT_BERT, false);
    silr_weights *w;
    (void)state;

    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        put_bert(prefix[i]);
        w = opened(i % 2 ? dir : in_dir("model.safetensors"));
        check_parts(w, &p);
        assert_int_equal(silr_weights_spec(w)->pooling, SILR_POOL_MEAN);
        silr_weights_free(w);
    }
    put_text("modules.json", "[{\"type\":\"x.Transformer\",\"path\":\"\"},{\"type\":\"x.Pooling\","
                             "\"path\":\"pool\"},{\"type\":\"x.Normalize\",\"path\":\"n\"}]");
    assert_int_equal(mkdir(in_dir("pool"), 0777), 0);
    put_text("pool/config.json", "{\"pooling_mode_cls_token\":true}");
    put_text("sentence_bert_config.json", "{\"max_seq_length\":5}");
    w = opened(dir);
    assert_true(silr_weights_spec(w)->pooling == SILR_POOL_CLS && silr_weights_spec(w)->normalise &&
                silr_weights_spec(w)->max_tokens == 5);
    silr_weights_free(w);
    put_text("pool/config.json", "{\"pooling_mode_max_tokens\":true}");
    refused(dir, "pool/config.json: silr pools by one of");
}

/* What early files called the weight and bias of a norm. */
static void old_names_of_norms(void **state)
{
    silr_weights *w;
    (void)state;

    put_bert("bert.");
    swap("LayerNorm.weight\"", "LayerNorm.gamma\" ");
    swap("LayerNorm.bias\"", "LayerNorm.beta\"");
    put_file("model.safetensors", file.data, file.len);
    w = opened(dir);
    assert_string_equal(silr_weights_part(w, SILR_PART_MLP_NORM, 1, true)->name,
                        "bert.encoder.layer.1.output.LayerNorm.beta");
    silr_weights_free(w);
}

static void decoders_from_folders(void **state)
{
    static const struct {
        const char *name, *model; /* architecture; Gemma's sizes lie in an object of their own */
        silr_family family;
        silr_layout layout;
        const char *prefix, *head;
    } kind[] = {
        {"LlamaForCausalLM", "", SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "model.", ""},
        {"MistralModel", "", SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, "", ""},
        {"Qwen2ForCausalLM", "", SILR_FAMILY_QWEN2, SILR_LAYOUT_LLAMA, "model.", ""},
        {"Qwen3ForSequenceClassification", "", SILR_FAMILY_QWEN3, SILR_LAYOUT_LLAMA, "model.", ""},
        {"Gemma2ForCausalLM", "", SILR_FAMILY_GEMMA2, SILR_LAYOUT_GEMMA, "model.", ""},
        {"Gemma3ForCausalLM", "", SILR_FAMILY_GEMMA3, SILR_LAYOUT_GEMMA, "model.", ""},
        {"Gemma3ForConditionalGeneration", "\"text_config\":{", SILR_FAMILY_GEMMA3,
         SILR_LAYOUT_GEMMA, "language_model.model.", "language_model."},
        {"Gemma3ForConditionalGeneration", "\"text_config\":{", SILR_FAMILY_GEMMA3,
         SILR_LAYOUT_GEMMA, "model.language_model.", ""},
    };
    char config[1000];
    (void)state;

    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        silr_plan p = small_plan(kind[i].family, kind[i].layout, false);
        silr_weights *w;
        p.spec.tied = i % 2;
        p.head = strstr(kind[i].name, "ForC") != NULL;
        snprintf(p.prefix, sizeof p.prefix, "%s", kind[i].prefix);
        snprintf(p.head_prefix, sizeof p.head_prefix, "%s", kind[i].head);
        silr_buf_clear(&file);
        safetensors_model(&file, &p);
        put_file("model.safetensors", file.data, file.len);
        snprintf(config, sizeof config,
                 "{\"architectures\":[\"%s\"],%s\"hidden_size\":12,\"num_attention_heads\":4,"
                 "\"num_key_value_heads\":2,\"head_dim\":4,\"num_hidden_layers\":2,"
                 "\"intermediate_size\":20,\"vocab_size\":7,\"tie_word_embeddings\":%s}%s",
                 kind[i].name, kind[i].model, i % 2 ? "true" : "false",
                 kind[i].model[0] ? "}" : "");
        put_text("config.json", config);
        w = opened(dir);
        check_parts(w, &p);
        assert_int_equal(silr_weights_spec(w)->tied, i % 2);
        assert_int_equal(silr_weights_part(w, SILR_PART_OUTPUT, 0, false) != NULL,
                         p.head && i % 2 == 0);
        silr_weights_free(w);
    }
}

static void wrong_folders(void **state)
{
    (void)state;

    refused(in_dir("none"), "No such file");
    refused("/dev/null", "is not a model");
    refused(dir, "no config.json");
    put_text("notes.txt", "GGUG, they said");
    refused(in_dir("notes.txt"), "is not a model: silr reads a GGUF file");
    put_text("config.json", bert_config);
    refused(dir, "pytorch_model.bin");
    put_bert("");
    swap("[7,12]", "[12,7]");
    put_file("model.safetensors", file.data, file.len);
    refused(dir, "is 12 x 7, where the model needs 7 x 12");
    put_bert("");
    swap("\"F32\",\"shape\":[7,12]", "\"U32\",\"shape\":[7,12]");
    put_file("model.safetensors", file.data, file.len);
    refused(dir, "is of type U32");
    put_bert("");
    swap("layer.1.output.dense.bias", "layer.1.output.dense.bigs");
    put_file("model.safetensors", file.data, file.len);
    refused(dir, "\"encoder.layer.1.output.dense.bias\" is missing");
    put_bert("");
    put_text("config.json", "[1]");
    refused(dir, "config.json: is not a JSON object");
    put_text("config.json", "{\"architectures\":");
    refused(dir, "config.json: line 1");
}

/* --- several files -------------------------------------------------------------------------------
 */

/* The model in two files: vectors and matrices. */
static void put_half(const char *name, int dims, safetensors_writer *index)
{
    silr_plan p = small_plan(SILR_FAMILY_BERT, SILR_LAYOUT_BERT, false);
    safetensors_writer w = {0};
    char part_name[256];
    size_t dim[2];

    for (size_t layer = 0; layer < 2; layer++)
        for (int i = 0; i < 2 * SILR_PARTS; i++) {
            silr_part part = (silr_part)(i / 2);
            if ((layer && !silr_part_of_layer(part)) ||
                silr_part_need(&p, part, i % 2) != SILR_NEED_MUST)
                continue;
            silr_part_name(&p, part, layer, i % 2, false, part_name, sizeof part_name);
            if (silr_part_shape(&p.spec, part, i % 2, dim) != dims)
                continue;
            safetensors_put_part(&w, part_name, dims, dim);
            silr_buf_printf(&index->json, "%s\"%s\":\"%s\"", index->json.len ? "," : "", part_name,
                            name);
        }
    silr_buf_putc(&w.json, '}');
    silr_buf_clear(&file);
    safetensors_file(&file, w.json.data, w.offset);
    put_file(name, file.data, file.len);
    silr_buf_clear(&w.json);
}

static void put_index(const char *map)
{
    silr_buf b = {0};
    silr_buf_printf(&b, "{\"metadata\":{\"total_size\":1},\"weight_map\":{%s}}", map);
    put_file("model.safetensors.index.json", b.data, b.len);
    silr_buf_clear(&b);
}

static void models_in_several_files(void **state)
{
    static const char *const outside[] = {
        "../x.safetensors", "/etc/passwd", "a/b.safetensors", "", "..", ".hidden", "a\\\\b"};
    silr_plan p = small_plan(SILR_FAMILY_BERT, SILR_LAYOUT_BERT, false);
    safetensors_writer index = {0};
    silr_sha256 hash, other;
    silr_weights *w;
    char text[100];
    (void)state;

    put_text("config.json", bert_config);
    put_half("b.safetensors", 2, &index);
    put_half("a.safetensors", 1, &index);
    put_index(index.json.data);
    w = opened(dir);
    check_parts(w, &p);
    assert_int_equal(silr_weights_hash(w, &hash, &err), SILR_OK);
    silr_weights_free(w);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        snprintf(text, sizeof text, "\"t\":\"%s\"", outside[i]);
        put_index(text);
        refused(dir, "plain name");
    }
    put_index("");
    refused(dir, "no \"weight_map\"");
    put_index("\"t\":7");
    refused(dir, "plain name");
    put_index("\"t\":\"c.safetensors\"");
    refused(dir, "c.safetensors: No such file");
    put_index("\"embeddings.word_embeddings.weight\":\"a.safetensors\",\"x\":\"b.safetensors\"");
    refused(dir, "tensor \"embeddings.word_embeddings.weight\" is not in a.safetensors");
    put_index(index.json.data);
    put_half("a.safetensors", 2, &index); /* matrices again */
    refused(dir, "is there twice");
    put_bert("");
    w = opened(dir); /* the one file is taken where there is one */
    assert_int_equal(silr_weights_hash(w, &other, &err), SILR_OK);
    assert_string_not_equal(hash.hex, other.hex);
    silr_weights_free(w);
    silr_buf_clear(&index.json);
}

/* --- identity, trouble ---------------------------------------------------------------------------
 */

static void identity_is_the_bytes(void **state)
{
    silr_plan p = small_plan(SILR_FAMILY_QWEN3, SILR_LAYOUT_GGUF, false);
    silr_sha256 hash, again, plain;
    silr_weights *w;
    (void)state;

    gguf_model(&file, "qwen3", &p, 0, 1, 4);
    put_file("m.gguf", file.data, file.len);
    w = opened(in_dir("m.gguf"));
    assert_int_equal(silr_weights_hash(w, &hash, &err), SILR_OK);
    assert_int_equal(silr_weights_hash(w, &again, &err), SILR_OK);
    assert_int_equal(silr_sha256_file(&plain, in_dir("m.gguf"), NULL), SILR_OK);
    assert_string_equal(hash.hex, plain.hex);
    assert_string_equal(hash.hex, again.hex);
    silr_weights_free(w);

    put_bert("");
    w = opened(dir);
    assert_int_equal(silr_weights_hash(w, &hash, &err), SILR_OK);
    silr_weights_free(w);
    put_text("tokenizer.json", "{}"); /* changes what the model makes of a text */
    w = opened(dir);
    assert_int_equal(silr_weights_hash(w, &again, &err), SILR_OK);
    assert_string_not_equal(hash.hex, again.hex);
    silr_weights_free(w);
}

static void described_for_people(void **state)
{
    silr_buf text = {0};
    silr_weights *w;
    (void)state;

    put_bert("");
    w = opened(dir);
    assert_int_equal(silr_weights_describe(w, &text, &err), SILR_OK);
    assert_non_null(strstr(text.data, "architecture           BertModel\n"));
    assert_non_null(strstr(text.data, "layers                 2\n"));
    assert_non_null(strstr(text.data, "types                  F32 100 %\n"));
    assert_true(silr_weights_looks(dir) && silr_weights_looks("no/such.gguf"));
    assert_false(silr_weights_looks(in_dir("config.json")) || silr_weights_looks("task.yaml"));
    silr_weights_free(w);
    silr_buf_clear(&text);
}

static void a_folder_cut_while_it_is_used(void **state)
{
    silr_weights *w;
    silr_sha256 hash;
    (void)state;

    put_bert("");
    w = opened(dir);
    assert_int_equal(silr_weights_intact(w, &err), SILR_OK);
    assert_int_equal(truncate(in_dir("model.safetensors"), 100), 0);
    assert_int_equal(silr_weights_intact(w, &err), SILR_EINPUT);
    assert_int_equal(silr_weights_hash(w, &hash, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "model.safetensors: was cut short"));
    silr_weights_free(w);
}

static void fails_at_each_allocation(const char *path)
{
    silr_weights *w;
    uint64_t n = 1;

    for (;; n++) {
        silr_mem_fail_at(n, false);
        silr_status st = silr_weights_open(&w, path, &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_null(w);
    }
    assert_true(n > 8);
    silr_weights_free(w);
}

static void no_memory(void **state)
{
    silr_plan p = small_plan(SILR_FAMILY_LLAMA, SILR_LAYOUT_GGUF, false);
    safetensors_writer index = {0};
    (void)state;

    gguf_model(&file, "llama", &p, 0, 1, 4);
    put_file("m.gguf", file.data, file.len);
    fails_at_each_allocation(in_dir("m.gguf"));
    put_text("config.json", bert_config);
    put_half("b.safetensors", 2, &index);
    put_half("a.safetensors", 1, &index);
    put_index(index.json.data);
    fails_at_each_allocation(dir);
    silr_buf_clear(&index.json);
}

/* --- recorded models -----------------------------------------------------------------------------
 */

static void recorded_models(void **state)
{
    static const struct {
        const char *name;
        size_t layers, hidden, tensors;
    } model[] = {{"tinyllama", 2, 64, 21}, {"tinybert", 2, 32, 39}};
    const char *shared = getenv("SILR_SHARED");
    char path[1000];
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        silr_weights *w;
        snprintf(path, sizeof path, "%s/golden/%s", shared ? shared : SOURCE_ROOT "/../shared",
                 model[i].name);
        if (!silr_file_exists(path)) {
            print_message("skipped: %s is not here\n", path);
            skip();
        }
        w = opened(path);
        assert_int_equal(silr_weights_spec(w)->layers, model[i].layers);
        assert_int_equal(silr_weights_spec(w)->hidden, model[i].hidden);
        assert_int_equal(silr_weights_count(w), model[i].tensors);
        silr_weights_free(w);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_family_from_gguf),
        TEST(names_of_gguf),
        TEST(wrong_gguf_models),
        TEST(telling_gguf_keys),
        TEST(encoders_from_folders),
        TEST(old_names_of_norms),
        TEST(decoders_from_folders),
        TEST(wrong_folders),
        TEST(models_in_several_files),
        TEST(identity_is_the_bytes),
        TEST(described_for_people),
        TEST(a_folder_cut_while_it_is_used),
        TEST(no_memory),
        cmocka_unit_test(recorded_models),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
