/* config.c - what a model is, from Hugging Face's config.json.
 *
 * A key that is missing has the value that the transformers library gives it, a family its own:
 * the table below. What silr does not know (another architecture, another scaling of rotary
 * positions, weights quantised by another library) is refused by name rather than computed wrongly.
 */
#include "formats/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *stem; /* of the architecture's name: "Llama" of LlamaForCausalLM */
    const char *model_type;
    silr_family family;
    silr_layout layout;
    size_t vocab, hidden, mlp, layers, heads;
    size_t kv_heads; /* 0: as heads */
    size_t head_dim; /* 0: hidden / heads */
    size_t positions;
    size_t window; /* 0: none unless said */
    double theta, epsilon, query_scalar, attention_cap, logit_cap;
    bool tied;
} defaults;

static const defaults known[] = {
    {"Llama", "llama", SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, 32000, 4096, 11008, 32, 32, 0, 0, 2048,
     0, 1e4, 1e-6, 0, 0, 0, false},
    {"Mistral", "mistral", SILR_FAMILY_LLAMA, SILR_LAYOUT_LLAMA, 32000, 4096, 14336, 32, 32, 8, 0,
     131072, 4096, 1e4, 1e-6, 0, 0, 0, false},
    {"Qwen2", "qwen2", SILR_FAMILY_QWEN2, SILR_LAYOUT_LLAMA, 151936, 4096, 22016, 32, 32, 32, 0,
     32768, 4096, 1e4, 1e-6, 0, 0, 0, false},
    {"Qwen3", "qwen3", SILR_FAMILY_QWEN3, SILR_LAYOUT_LLAMA, 151936, 4096, 22016, 32, 32, 32, 128,
     32768, 4096, 1e4, 1e-6, 0, 0, 0, false},
    {"Gemma2", "gemma2", SILR_FAMILY_GEMMA2, SILR_LAYOUT_GEMMA, 256000, 2304, 9216, 26, 8, 4, 256,
     8192, 4096, 1e4, 1e-6, 256, 50, 30, true},
    {"Gemma3Text", "gemma3_text", SILR_FAMILY_GEMMA3, SILR_LAYOUT_GEMMA, 262208, 2304, 9216, 26, 8,
     4, 256, 131072, 4096, 1e6, 1e-6, 256, 0, 0, true},
    {"Gemma3", "gemma3", SILR_FAMILY_GEMMA3, SILR_LAYOUT_GEMMA, 262208, 2304, 9216, 26, 8, 4, 256,
     131072, 4096, 1e6, 1e-6, 256, 0, 0, true},
    {"Bert", "bert", SILR_FAMILY_BERT, SILR_LAYOUT_BERT, 30522, 768, 3072, 12, 12, 0, 0, 512, 0, 0,
     1e-12, 0, 0, 0, true},
    {"Roberta", "roberta", SILR_FAMILY_ROBERTA, SILR_LAYOUT_BERT, 50265, 768, 3072, 12, 12, 0, 0,
     512, 0, 0, 1e-12, 0, 0, 0, true},
    {"XLMRoberta", "xlm-roberta", SILR_FAMILY_ROBERTA, SILR_LAYOUT_BERT, 30522, 768, 3072, 12, 12,
     0, 0, 512, 0, 0, 1e-12, 0, 0, 0, true},
};

/* Looks keys up until the first that is wrong. */
typedef struct {
    const json_t *at; /* the object that keys are looked up in */
    const char *path;
    silr_error *err;
    silr_status st;
} reader;

static void wrong(reader *r, const char *key, const char *why)
{
    if (r->st == SILR_OK)
        r->st = silr_fail(r->err, SILR_EINPUT, "%s: \"%s\" %s", r->path, key, why);
}

/* NULL where it is missing or null. */
static const json_t *get(const reader *r, const char *key)
{
    const json_t *v = json_object_get(r->at, key);
    return json_is_null(v) ? NULL : v;
}

static bool is_null(const reader *r, const char *key)
{
    return json_is_null(json_object_get(r->at, key));
}

static size_t size_or(reader *r, const char *key, size_t otherwise)
{
    const json_t *v = get(r, key);

    if (!v)
        return otherwise;
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        return (size_t)json_integer_value(v);
    wrong(r, key, "is not a count");
    return otherwise;
}

static double number_or(reader *r, const char *key, double otherwise)
{
    const json_t *v = get(r, key);

    if (!v)
        return otherwise;
    if (json_is_number(v))
        return json_number_value(v);
    wrong(r, key, "is not a number");
    return otherwise;
}

static bool bool_or(reader *r, const char *key, bool otherwise)
{
    const json_t *v = get(r, key);

    if (!v)
        return otherwise;
    if (!json_is_boolean(v))
        wrong(r, key, "is neither true nor false");
    return json_is_true(v);
}

/* A word; NULL where it is missing. */
static const char *word(reader *r, const char *key)
{
    const json_t *v = get(r, key);

    if (v && !json_is_string(v))
        wrong(r, key, "is not a string");
    return json_string_value(v);
}

/* --- which family ------------------------------------------------------------------------------
 */

/* What may follow a family's stem: 'h' where the model ends in logits of the vocabulary. */
static bool ending_known(const defaults *d, const char *ending, bool *head)
{
    bool encoder = d->family == SILR_FAMILY_BERT || d->family == SILR_FAMILY_ROBERTA;

    *head = !encoder &&
            (strcmp(ending, "ForCausalLM") == 0 ||
             (d->family == SILR_FAMILY_GEMMA3 && strcmp(ending, "ForConditionalGeneration") == 0));
    return *head || strcmp(ending, "Model") == 0 ||
           strcmp(ending, "ForSequenceClassification") == 0 ||
           strcmp(ending, "ForTokenClassification") == 0 ||
           (encoder && strncmp(ending, "For", 3) == 0 && strcmp(ending, "ForCausalLM") != 0);
}

static const defaults *by_architecture(const char *name, bool *head)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t len = strlen(known[i].stem);
        if (strncmp(name, known[i].stem, len) == 0 && ending_known(&known[i], name + len, head))
            return &known[i];
    }
    return NULL;
}

static const defaults *by_model_type(const char *type)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (type && strcmp(type, known[i].model_type) == 0)
            return &known[i];
    return NULL;
}

static silr_status find_family(reader *r, silr_plan *p, const defaults **out)
{
    const char *name =
        json_string_value(json_array_get(json_object_get(r->at, "architectures"), 0));
    const char *type = json_string_value(json_object_get(r->at, "model_type"));
    const char *shown = name ? name : type ? type : "";
    bool head = false;

    *out = name ? by_architecture(name, &head) : by_model_type(type);
    if (*out) {
        silr_plan_family(p, (*out)->family);
        p->head = head;
        p->layout = (*out)->layout;
        snprintf(p->spec.architecture, sizeof p->spec.architecture, "%s", shown);
        return SILR_OK;
    }
    if (!shown[0])
        return silr_fail(r->err, SILR_EINPUT, "%s: names no architecture", r->path);
    if (!silr_entry_name_ok(shown, strlen(shown), 64))
        shown = "?";
    return silr_fail(
        r->err, SILR_EINPUT,
        "%s: architecture \"%s\" is not known to silr; it knows Llama, Mistral, Qwen2, "
        "Qwen3, Gemma2, Gemma3, Bert, Roberta and XLMRoberta",
        r->path, shown);
}

/* --- positions, activation, windows ------------------------------------------------------------
 */

static silr_activation activation(reader *r, const char *key, silr_activation otherwise)
{
    static const struct {
        const char *name;
        silr_activation act;
    } act[] = {
        {"silu", SILR_ACT_SILU},           {"swish", SILR_ACT_SILU},
        {"gelu", SILR_ACT_GELU},           {"gelu_new", SILR_ACT_GELU_TANH},
        {"gelu_fast", SILR_ACT_GELU_TANH}, {"gelu_pytorch_tanh", SILR_ACT_GELU_TANH},
    };
    const char *name = word(r, key);

    if (!name)
        return otherwise;
    for (size_t i = 0; i < sizeof act / sizeof *act; i++)
        if (strcmp(name, act[i].name) == 0)
            return act[i].act;
    wrong(r, key, "is not an activation that silr knows: silu, gelu or gelu_pytorch_tanh");
    return otherwise;
}

static const json_t *object(reader *r, const char *key)
{
    const json_t *v = get(r, key);

    if (v && !json_is_object(v))
        wrong(r, key, "is not an object");
    return json_is_object(v) ? v : NULL;
}

/* Is the scaling in `from` none? Puts it into s, where s is not NULL. */
static void read_scaling(reader *r, const json_t *from, silr_model_spec *s)
{
    reader in = {.at = from, .path = r->path, .err = r->err, .st = r->st};
    const char *type = word(&in, "rope_type");

    if (!type)
        type = word(&in, "type");
    if (!type || strcmp(type, "default") == 0) {
        /* nothing to do */
    } else if (s && strcmp(type, "linear") == 0) {
        s->rope_scaling = SILR_ROPE_LINEAR;
        s->rope_factor = number_or(&in, "factor", NAN);
    } else if (s && strcmp(type, "llama3") == 0) {
        s->rope_scaling = SILR_ROPE_LLAMA3;
        s->rope_factor = number_or(&in, "factor", NAN);
        s->rope_low = number_or(&in, "low_freq_factor", NAN);
        s->rope_high = number_or(&in, "high_freq_factor", NAN);
        s->rope_original = size_or(&in, "original_max_position_embeddings", 0);
    } else {
        wrong(&in, "rope_type", "is not a scaling that silr knows: default, linear or llama3");
    }
    r->st = in.st;
}

/* Old files have rope_theta, rope_scaling (and rope_local_base_freq), new ones rope_parameters,
 * which Gemma 3 has twice, by kind of layer. */
static void read_rope(reader *r, const defaults *d, silr_model_spec *s)
{
    bool gemma3 = d->family == SILR_FAMILY_GEMMA3;
    const json_t *rope = object(r, "rope_parameters"), *local = NULL, *scaling;
    reader in = *r;

    if (json_is_object(json_object_get(rope, "full_attention"))) {
        local = json_object_get(rope, "sliding_attention");
        rope = json_object_get(rope, "full_attention");
    }
    s->rope_theta = number_or(r, "rope_theta", d->theta);
    s->rope_theta_local = number_or(r, "rope_local_base_freq", gemma3 ? 1e4 : s->rope_theta);
    s->rope_dims = s->head_dim;
    if (number_or(r, "partial_rotary_factor", 1) != 1)
        wrong(r, "partial_rotary_factor", "is not 1: silr knows heads that turn as a whole");
    if ((scaling = object(r, "rope_scaling")) && !rope)
        read_scaling(r, scaling, s);
    if (rope) {
        in.at = rope;
        s->rope_theta = number_or(&in, "rope_theta", s->rope_theta);
        if (!gemma3)
            s->rope_theta_local = s->rope_theta;
        if (number_or(&in, "partial_rotary_factor", 1) != 1)
            wrong(r, "partial_rotary_factor", "is not 1: silr knows heads that turn as a whole");
        read_scaling(r, rope, s);
    }
    if (json_is_object(local)) {
        in.at = local;
        s->rope_theta_local = number_or(&in, "rope_theta", s->rope_theta_local);
        read_scaling(r, local, NULL);
    }
    if (r->st == SILR_OK)
        r->st = in.st;
}

/* layer_types: all alike, or every p-th layer without the window. */
static void read_layer_types(reader *r, const json_t *types, silr_model_spec *s)
{
    size_t n = json_array_size(types), first = n, windows = 0;

    if (!json_is_array(types) || n != s->layers) {
        wrong(r, "layer_types", "is not a list with one word a layer");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *t = json_string_value(json_array_get(types, i));
        if (t && strcmp(t, "sliding_attention") == 0) {
            windows++;
        } else if (!t || strcmp(t, "full_attention") != 0) {
            wrong(r, "layer_types", "has a kind of layer that silr does not know");
        } else if (first == n) {
            first = i;
        }
    }
    if (windows == 0) {
        s->window = s->window_period = 0;
        return;
    }
    if (s->window == 0)
        wrong(r, "layer_types", "has layers with a window, and \"sliding_window\" is not set");
    s->window_period = first == n ? 0 : first + 1;
    for (size_t i = 0; i < n; i++) {
        const char *t = json_string_value(json_array_get(types, i));
        bool full = s->window_period && (i + 1) % s->window_period == 0;
        if (t && full != (strcmp(t, "full_attention") == 0))
            wrong(r, "layer_types", "is not a pattern that silr knows: every n-th layer full");
    }
}

static void read_window(reader *r, const defaults *d, silr_model_spec *s)
{
    bool qwen = d->family == SILR_FAMILY_QWEN2 || d->family == SILR_FAMILY_QWEN3;
    const json_t *types = get(r, "layer_types");
    size_t from;

    s->window = is_null(r, "sliding_window") ? 0 : size_or(r, "sliding_window", d->window);
    if (qwen && !bool_or(r, "use_sliding_window", false))
        s->window = 0;
    if (d->family == SILR_FAMILY_GEMMA2)
        s->window_period = 2;
    if (d->family == SILR_FAMILY_GEMMA3)
        s->window_period =
            size_or(r, "sliding_window_pattern", size_or(r, "_sliding_window_pattern", 6));
    if (types && (s->window > 0 || d->layout == SILR_LAYOUT_GEMMA)) {
        read_layer_types(r, types, s);
    } else if (qwen && s->window > 0) {
        from = size_or(r, "max_window_layers", 28);
        if (from >= s->layers)
            s->window = 0;
        else if (from > 0)
            wrong(r, "max_window_layers",
                  "gives the upper layers alone a window, which silr does "
                  "not know");
    }
    if (s->window == 0)
        s->window_period = 0;
}

/* --- the two kinds -----------------------------------------------------------------------------
 */

static void read_sizes(reader *r, const defaults *d, silr_model_spec *s)
{
    s->layers = size_or(r, "num_hidden_layers", d->layers);
    s->hidden = size_or(r, "hidden_size", d->hidden);
    s->heads = size_or(r, "num_attention_heads", d->heads);
    s->mlp = size_or(r, "intermediate_size", d->mlp);
    s->vocab = size_or(r, "vocab_size", d->vocab);
    s->positions = size_or(r, "max_position_embeddings", d->positions);
    s->kv_heads = size_or(r, "num_key_value_heads", d->kv_heads);
    if (s->kv_heads == 0 || is_null(r, "num_key_value_heads"))
        s->kv_heads = s->heads;
    s->head_dim = size_or(r, "head_dim", is_null(r, "head_dim") ? 0 : d->head_dim);
    if (s->head_dim == 0 && s->heads > 0)
        s->head_dim = s->hidden / s->heads;
}

static double cap(reader *r, const char *key, double otherwise)
{
    return is_null(r, key) ? 0 : number_or(r, key, otherwise);
}

static void read_decoder(reader *r, const defaults *d, silr_plan *p)
{
    silr_model_spec *s = &p->spec;
    bool gemma = d->layout == SILR_LAYOUT_GEMMA;
    double scalar =
        gemma ? number_or(r, "query_pre_attn_scalar", d->query_scalar) : (double)s->head_dim;

    s->norm_epsilon = number_or(r, "rms_norm_eps", d->epsilon);
    s->norm_plus_one = gemma;
    s->activation = activation(r, gemma ? "hidden_activation" : "hidden_act", s->activation);
    s->attention_scale = 1 / sqrt(scalar);
    s->embedding_scale = gemma ? sqrt((double)s->hidden) : 1;
    s->tied = bool_or(r, "tie_word_embeddings", d->tied);
    if (gemma) {
        s->attention_cap = cap(r, "attn_logit_softcapping", d->attention_cap);
        s->logit_cap = cap(r, "final_logit_softcapping", d->logit_cap);
    }
    if (d->family != SILR_FAMILY_QWEN2 && bool_or(r, "attention_bias", false))
        p->qkv_bias = p->o_bias = SILR_NEED_MUST;
    if (strcmp(d->stem, "Llama") == 0 && bool_or(r, "mlp_bias", false))
        p->mlp_bias = SILR_NEED_MUST;
    if (bool_or(r, "use_bidirectional_attention", false))
        wrong(r, "use_bidirectional_attention", "is true, which silr does not know");
    read_window(r, d, s);
    read_rope(r, d, s);
}

static void read_encoder(reader *r, const defaults *d, silr_plan *p)
{
    silr_model_spec *s = &p->spec;
    const char *positions = word(r, "position_embedding_type");

    s->kv_heads = s->heads;
    s->head_dim = s->heads ? s->hidden / s->heads : 0;
    s->norm_epsilon = number_or(r, "layer_norm_eps", d->epsilon);
    s->activation = activation(r, "hidden_act", s->activation);
    s->attention_scale = 1 / sqrt((double)s->head_dim);
    s->types = size_or(r, "type_vocab_size", 2);
    if (d->family == SILR_FAMILY_ROBERTA) {
        s->position_offset = size_or(r, "pad_token_id", 1) + 1;
        if (s->positions <= s->position_offset)
            wrong(r, "max_position_embeddings", "leaves no position for a token");
        else
            s->positions -= s->position_offset;
    }
    if (positions && strcmp(positions, "absolute") != 0)
        wrong(r, "position_embedding_type", "is not absolute, which is what silr knows");
    if (bool_or(r, "is_decoder", false) || bool_or(r, "add_cross_attention", false))
        wrong(r, "is_decoder", "or \"add_cross_attention\" is true: not an encoder");
}

silr_status silr_plan_from_config(silr_plan *p, const json_t *config, const char *path,
                                  silr_error *err)
{
    reader r = {.at = config, .path = path, .err = err};
    const defaults *d;
    const json_t *text;

    if (!json_is_object(config))
        return silr_fail(err, SILR_EINPUT, "%s: is not a JSON object", path);
    if ((r.st = find_family(&r, p, &d)) != SILR_OK)
        return r.st;
    if (get(&r, "quantization_config"))
        wrong(&r, "quantization_config", "is set: silr reads floats, or a GGUF file");
    if (d->family == SILR_FAMILY_GEMMA3 && (text = object(&r, "text_config")))
        r.at = text; /* beside it is the part that sees images */
    read_sizes(&r, d, &p->spec);
    if (p->spec.causal)
        read_decoder(&r, d, p);
    else
        read_encoder(&r, d, p);
    return r.st == SILR_OK ? silr_plan_check(p, path, err) : r.st;
}

/* --- sentence-transformers ---------------------------------------------------------------------
 */

/* "sentence_transformers.models.Pooling" -> "Pooling" */
static const char *last_word(const char *type)
{
    const char *dot = strrchr(type, '.');
    return dot ? dot + 1 : type;
}

silr_status silr_config_modules(silr_model_spec *s, const json_t *modules, char *pooling,
                                size_t size, const char *path, silr_error *err)
{
    pooling[0] = '\0';
    if (!json_is_array(modules))
        return silr_fail(err, SILR_EINPUT, "%s: is not a list of modules", path);
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *m = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(m, "type"));
        const char *in = json_string_value(json_object_get(m, "path"));
        if (!type || !in)
            return silr_fail(err, SILR_EINPUT, "%s: module %zu has no type or path", path, i);
        type = last_word(type);
        if (strcmp(type, "Transformer") == 0 && in[0] == '\0')
            continue;
        if (strcmp(type, "Normalize") == 0) {
            s->normalise = true;
        } else if (strcmp(type, "Pooling") == 0 && silr_json_plain_name(in) && strlen(in) < size) {
            snprintf(pooling, size, "%s", in);
        } else {
            return silr_fail(
                err, SILR_EINPUT,
                "%s: module %zu is not one that silr knows: Transformer in this folder, "
                "Pooling, Normalize",
                path, i);
        }
    }
    return SILR_OK;
}

silr_status silr_config_pooling(silr_model_spec *s, const json_t *config, const char *path,
                                silr_error *err)
{
    static const struct {
        const char *name, *key;
        silr_pooling pooling; /* NONE: not known */
    } mode[] = {
        {"mean", "pooling_mode_mean_tokens", SILR_POOL_MEAN},
        {"cls", "pooling_mode_cls_token", SILR_POOL_CLS},
        {"lasttoken", "pooling_mode_lasttoken", SILR_POOL_LAST},
        {"max", "pooling_mode_max_tokens", SILR_POOL_NONE},
        {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", SILR_POOL_NONE},
        {"weightedmean", "pooling_mode_weightedmean_tokens", SILR_POOL_NONE},
    };
    reader r = {.at = config, .path = path, .err = err};
    const char *name = word(&r, "pooling_mode");
    size_t on = 0, dim = size_or(&r, "word_embedding_dimension", s->hidden);

    if (!json_is_object(config))
        return silr_fail(err, SILR_EINPUT, "%s: is not a JSON object", path);
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++)
        if (name ? strcmp(name, mode[i].name) == 0 : bool_or(&r, mode[i].key, false)) {
            on++;
            s->pooling = mode[i].pooling;
        }
    if (dim != s->hidden)
        wrong(&r, "word_embedding_dimension", "is not the model's hidden size");
    if (r.st != SILR_OK)
        return r.st;
    if (on != 1 || s->pooling == SILR_POOL_NONE)
        return silr_fail(err, SILR_EINPUT,
                         "%s: silr pools by one of mean, cls and lasttoken, not as this file says",
                         path);
    return SILR_OK;
}

silr_status silr_config_sentence(silr_model_spec *s, const json_t *config, const char *path,
                                 silr_error *err)
{
    reader r = {.at = config, .path = path, .err = err};

    if (!json_is_object(config))
        return silr_fail(err, SILR_EINPUT, "%s: is not a JSON object", path);
    s->max_tokens = size_or(&r, "max_seq_length", 0);
    if (s->max_tokens > s->positions)
        s->max_tokens = s->positions;
    return r.st;
}
