/* hf_config.c - what a model is, as config.json says it: the way back of config.c.
 *
 * Rotary positions are said twice: rope_theta and rope_scaling for older versions of transformers,
 * rope_parameters for newer ones. GGUF keeps Llama 3's scaling as a table of quotients; its four numbers
 * are found again by trying those that the released models have. */
#include "formats/hf_inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- which class ------------------------------------------------------------------------------ */

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* What transformers calls the family: the beginning of its classes' names, its model_type. */
typedef struct {
    const char *stem, *model_type;
} hf_name;

static hf_name name_of(const silr_model_spec *s)
{
    switch (s->family) {
    case SILR_FAMILY_LLAMA:
        break;
    case SILR_FAMILY_QWEN2: return (hf_name){"Qwen2", "qwen2"};
    case SILR_FAMILY_QWEN3: return (hf_name){"Qwen3", "qwen3"};
    case SILR_FAMILY_GEMMA2: return (hf_name){"Gemma2", "gemma2"};
    case SILR_FAMILY_GEMMA3: return (hf_name){"Gemma3Text", "gemma3_text"};
    case SILR_FAMILY_BERT: return (hf_name){"Bert", "bert"};
    case SILR_FAMILY_ROBERTA:
        return begins(s->architecture, "XLMRoberta") || strcmp(s->architecture, "xlm-roberta") == 0
                   ? (hf_name){"XLMRoberta", "xlm-roberta"}
                   : (hf_name){"Roberta", "roberta"};
    }
    /* A Llama with a window is a Mistral. */
    return s->window > 0 || begins(s->architecture, "Mistral") ? (hf_name){"Mistral", "mistral"}
                                                              : (hf_name){"Llama", "llama"};
}

void silr_hf_class(char *out, size_t size, const silr_model_spec *base, bool by_token)
{
    snprintf(out, size, "%sFor%sClassification", name_of(base).stem, by_token ? "Token" : "Sequence");
}

/* --- values ----------------------------------------------------------------------------------- */

static void put_key(silr_buf *b, const char *key)
{
    silr_buf_printf(b, "%s\n  \"%s\": ", b->len > 1 ? "," : "", key);
}

static void put_size(silr_buf *b, const char *key, size_t v)
{
    put_key(b, key);
    silr_buf_printf(b, "%zu", v);
}

static void put_bool(silr_buf *b, const char *key, bool v)
{
    put_key(b, key);
    silr_buf_puts(b, v ? "true" : "false");
}

static void put_text(silr_buf *b, const char *key, const char *v)
{
    put_key(b, key);
    silr_buf_json(b, v, strlen(v));
}

/* As briefly as a float that is equal can be said: 1e-05, not 9.9999997473787516e-06. All of these
 * numbers were floats once, or are meant to be. */
static void add_number(silr_buf *b, double v)
{
    char brief[32];
    double back;

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(brief, sizeof brief, "%.*g", digits, v);
        if (silr_parse_double(brief, &back) && (float)back == (float)v)
            break;
    }
    if (v >= 1 && v < 1e9 && v == floor(v))
        snprintf(brief, sizeof brief, "%.0f", v); /* 10000, not 1e+04 */
    silr_buf_puts(b, brief);
    if (strspn(brief, "-0123456789") == strlen(brief)) /* transformers wants some of them as floats */
        silr_buf_puts(b, ".0");
}

static void put_number(silr_buf *b, const char *key, double v)
{
    put_key(b, key);
    add_number(b, v);
}

static void put_token(silr_buf *b, const char *key, int64_t id)
{
    put_key(b, key);
    if (id >= 0)
        silr_buf_printf(b, "%lld", (long long)id);
    else
        silr_buf_puts(b, "null");
}

static void put_cap(silr_buf *b, const char *key, double v)
{
    if (v > 0) {
        put_number(b, key, v);
        return;
    }
    put_key(b, key);
    silr_buf_puts(b, "null");
}

/* --- rotary positions ------------------------------------------------------------------------- */

/* The quotient of pair i that Llama 3's scaling gives (engine/rope.c says how). */
static double quotient(const silr_model_spec *s, size_t i)
{
    const double w = pow(s->rope_theta, -2.0 * (double)i / (double)s->rope_dims);
    const double turns = (double)s->rope_original * w / (2 * 3.14159265358979323846);
    const double share = (turns - s->rope_low) / (s->rope_high - s->rope_low);

    if (turns < s->rope_low)
        return s->rope_factor;
    return turns > s->rope_high ? 1 : 1 / ((1 - share) / s->rope_factor + share);
}

static bool explains(const silr_model_spec *s, const float *factors)
{
    for (size_t i = 0; i < s->rope_dims / 2; i++)
        if (fabs(quotient(s, i) - (double)factors[i]) > 1e-3 * (double)factors[i])
            return false;
    return true;
}

/* A table of quotients as the scaling that made it. */
static silr_status find_scaling(silr_model_spec *s, const silr_tensor *t, silr_error *err)
{
    const size_t n = s->rope_dims / 2;
    float *factors = silr_alloc(n, sizeof *factors);
    bool found;

    if (!factors)
        return silr_fail_memory(err);
    silr_tensor_rows(t, 0, 1, factors);
    s->rope_scaling = SILR_ROPE_LLAMA3;
    s->rope_factor = 1;
    s->rope_low = 1;
    s->rope_high = 4;
    s->rope_original = 8192;
    for (size_t i = 0; i < n; i++)
        s->rope_factor = fmax(s->rope_factor, (double)factors[i]);
    s->rope_factor = floor(s->rope_factor + 0.5);
    found = explains(s, factors);
    silr_free(factors);
    return found ? SILR_OK
                 : silr_fail(err, SILR_EINPUT, "the base stretches rotary positions by a table (%s) that is not "
                             "Llama 3's: transformers has no words for it", t->name);
}

/* The members of one set of rotary parameters. */
static void add_rope(silr_buf *b, const silr_model_spec *s, double theta, bool scaled)
{
    if (theta > 0) {
        silr_buf_puts(b, "\"rope_theta\": ");
        add_number(b, theta);
        silr_buf_puts(b, ", ");
    }
    silr_buf_printf(b, "\"rope_type\": \"%s\"", !scaled ? "default"
                                                : s->rope_scaling == SILR_ROPE_LINEAR ? "linear" : "llama3");
    if (!scaled)
        return;
    silr_buf_puts(b, ", \"factor\": ");
    add_number(b, s->rope_factor);
    if (s->rope_scaling == SILR_ROPE_LINEAR)
        return;
    silr_buf_puts(b, ", \"low_freq_factor\": ");
    add_number(b, s->rope_low);
    silr_buf_puts(b, ", \"high_freq_factor\": ");
    add_number(b, s->rope_high);
    silr_buf_printf(b, ", \"original_max_position_embeddings\": %zu", s->rope_original);
}

static void put_rope(silr_buf *b, const silr_model_spec *s)
{
    const bool scaled = s->rope_scaling != SILR_ROPE_PLAIN, local = s->family == SILR_FAMILY_GEMMA3;

    put_number(b, "rope_theta", s->rope_theta);
    if (local)
        put_number(b, "rope_local_base_freq", s->rope_theta_local);
    put_key(b, "rope_scaling");
    if (scaled) {
        silr_buf_putc(b, '{');
        add_rope(b, s, 0, true);
        silr_buf_putc(b, '}');
    } else {
        silr_buf_puts(b, "null");
    }
    put_key(b, "rope_parameters");
    silr_buf_puts(b, local ? "{\"full_attention\": {" : "{");
    add_rope(b, s, s->rope_theta, scaled);
    if (local) {
        silr_buf_puts(b, "}, \"sliding_attention\": {");
        add_rope(b, s, s->rope_theta_local, false);
        silr_buf_putc(b, '}');
    }
    silr_buf_putc(b, '}');
}

/* --- windows ---------------------------------------------------------------------------------- */

static void put_layer_types(silr_buf *b, const silr_model_spec *s)
{
    put_key(b, "layer_types");
    for (size_t l = 0; l < s->layers; l++) {
        const bool full = s->window == 0 || (s->window_period > 0 && (l + 1) % s->window_period == 0);
        silr_buf_printf(b, "%s\"%s_attention\"", l ? ", " : "[", full ? "full" : "sliding");
    }
    silr_buf_putc(b, ']');
}

static void put_window(silr_buf *b, const silr_model_spec *s)
{
    const bool qwen = s->family == SILR_FAMILY_QWEN2 || s->family == SILR_FAMILY_QWEN3;
    const bool gemma = s->family == SILR_FAMILY_GEMMA2 || s->family == SILR_FAMILY_GEMMA3;

    if (!qwen && !gemma && strcmp(name_of(s).model_type, "mistral") != 0)
        return;
    put_key(b, "sliding_window");
    if (s->window > 0)
        silr_buf_printf(b, "%zu", s->window);
    else
        silr_buf_puts(b, "null");
    if (qwen)
        put_bool(b, "use_sliding_window", s->window > 0);
    if (qwen && s->window > 0)
        put_size(b, "max_window_layers", 0);
    if (qwen || gemma)
        put_layer_types(b, s);
}

/* --- the two kinds ---------------------------------------------------------------------------- */

static const silr_part qkv[] = {SILR_PART_Q, SILR_PART_K, SILR_PART_V}, o[] = {SILR_PART_O},
                       mlp[] = {SILR_PART_GATE, SILR_PART_UP, SILR_PART_DOWN};

/* Which biases there are, where transformers lets one say so; refused where it does not. */
static silr_status put_biases(silr_buf *b, const silr_weights *base, silr_error *err)
{
    const char *type = name_of(silr_weights_spec(base)).model_type;
    const bool llama = strcmp(type, "llama") == 0, qwen2 = strcmp(type, "qwen2") == 0;
    const bool none = qwen2 || strcmp(type, "mistral") == 0;
    const int in = silr_hf_biases(base, qkv, 3), out = silr_hf_biases(base, o, 1), up = silr_hf_biases(base, mlp, 3);

    if (in < 0 || up < 0 || in != (qwen2 ? 1 : none ? 0 : out) || (none && out) || (!llama && up))
        return silr_fail(err, SILR_EINPUT, "the base has biases on some matrices only, as no model of type %s in "
                         "transformers has", type);
    if (!none)
        put_bool(b, "attention_bias", in > 0);
    if (llama)
        put_bool(b, "mlp_bias", up > 0);
    return SILR_OK;
}

static silr_status put_decoder(silr_buf *b, const silr_weights *base, silr_error *err)
{
    static const char *const act[] = {"silu", "gelu", "gelu_pytorch_tanh"};
    const silr_tensor *table = silr_weights_part(base, SILR_PART_ROPE_FACTORS, 0, false);
    silr_model_spec s = *silr_weights_spec(base);
    const bool gemma = s.family == SILR_FAMILY_GEMMA2 || s.family == SILR_FAMILY_GEMMA3;
    double scalar = 1 / (s.attention_scale * s.attention_scale);
    silr_status st;

    if (s.rope_dims != s.head_dim)
        return silr_fail(err, SILR_EINPUT, "%zu of a head's %zu values turn with the position: transformers' "
                         "class turns all", s.rope_dims, s.head_dim);
    if (table && (st = find_scaling(&s, table, err)) != SILR_OK)
        return st;
    put_size(b, "num_key_value_heads", s.kv_heads);
    put_size(b, "head_dim", s.head_dim);
    put_number(b, "rms_norm_eps", s.norm_epsilon);
    put_text(b, gemma ? "hidden_activation" : "hidden_act", act[s.activation]);
    put_bool(b, "tie_word_embeddings", s.tied);
    put_rope(b, &s);
    put_window(b, &s);
    if (gemma) {
        scalar = fabs(scalar - floor(scalar + 0.5)) < 1e-6 * scalar ? floor(scalar + 0.5) : scalar;
        put_number(b, "query_pre_attn_scalar", scalar);
        put_cap(b, "attn_logit_softcapping", s.attention_cap);
        put_cap(b, "final_logit_softcapping", s.logit_cap);
    }
    return put_biases(b, base, err);
}

static silr_status put_encoder(silr_buf *b, const silr_model_spec *s, silr_error *err)
{
    static const char *const act[] = {"silu", "gelu", "gelu_new"};

    if (s->types == 0)
        return silr_fail(err, SILR_EINPUT, "the base has no table of token types, which transformers' class needs");
    put_size(b, "type_vocab_size", s->types);
    put_number(b, "layer_norm_eps", s->norm_epsilon);
    put_text(b, "hidden_act", act[s->activation]);
    put_text(b, "position_embedding_type", "absolute");
    return SILR_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void put_labels(silr_buf *b, const silr_hf_model *m)
{
    put_key(b, "id2label");
    for (size_t k = 0; k < m->columns; k++) {
        silr_buf_printf(b, "%s\"%zu\": ", k ? ", " : "{", k);
        silr_buf_json(b, m->labels[k], strlen(m->labels[k]));
    }
    silr_buf_puts(b, "}");
    put_key(b, "label2id");
    for (size_t k = 0; k < m->columns; k++) {
        silr_buf_puts(b, k ? ", " : "{");
        silr_buf_json(b, m->labels[k], strlen(m->labels[k]));
        silr_buf_printf(b, ": %zu", k);
    }
    silr_buf_puts(b, "}");
}

silr_status silr_hf_config(silr_buf *out, const silr_weights *base, const silr_hf_model *m, silr_error *err)
{
    static const char *const types[] = {"float32", "float16", "bfloat16"};
    const silr_model_spec *s = silr_weights_spec(base);
    char name[64];
    silr_status st;

    silr_hf_class(name, sizeof name, s, m->by_token);
    silr_buf_puts(out, "{");
    put_key(out, "architectures");
    silr_buf_printf(out, "[\"%s\"]", name);
    put_text(out, "model_type", name_of(s).model_type);
    put_text(out, "torch_dtype", types[m->type]);
    put_size(out, "vocab_size", s->vocab);
    put_size(out, "hidden_size", s->hidden);
    put_size(out, "intermediate_size", s->mlp);
    put_size(out, "num_hidden_layers", s->layers);
    put_size(out, "num_attention_heads", s->heads);
    put_size(out, "max_position_embeddings", s->positions + s->position_offset);
    if ((st = s->causal ? put_decoder(out, base, err) : put_encoder(out, s, err)) != SILR_OK)
        return st;
    put_labels(out, m);
    if (s->family == SILR_FAMILY_ROBERTA) /* the first token's position is one above it */
        put_size(out, "pad_token_id", s->position_offset - 1);
    else
        put_token(out, "pad_token_id", m->pad);
    put_token(out, "bos_token_id", m->bos);
    put_token(out, "eos_token_id", m->eos);
    silr_buf_puts(out, "\n}\n");
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}
