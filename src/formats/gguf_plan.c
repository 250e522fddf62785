/* gguf_plan.c - what a model is, from the keys of its GGUF file.
 *
 * Keys begin with the architecture's name: "llama.block_count". What differs from Hugging Face's
 * layout: gemma's norms have their 1 added already; q and k of "llama" are permuted so that
 * neighbours turn together; Llama 3's scaling of rotary positions lies there as a tensor of
 * factors. Gemma's attention scale is not in the file: 1 / sqrt(head_dim), but for the two 27B
 * models 1 / sqrt(hidden / heads). */
#include "formats/inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    silr_family family;
} known[] = {
    {"llama", SILR_FAMILY_LLAMA},   {"qwen2", SILR_FAMILY_QWEN2},   {"qwen3", SILR_FAMILY_QWEN3},
    {"gemma2", SILR_FAMILY_GEMMA2}, {"gemma3", SILR_FAMILY_GEMMA3}, {"bert", SILR_FAMILY_BERT},
};

/* Looks keys up until the first that is wrong. */
typedef struct {
    const silr_gguf *g;
    const char *path, *architecture;
    silr_error *err;
    silr_status st;
    char key[160];
} reader;

static bool look(reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->architecture, name);
    return r->st == SILR_OK && silr_gguf_has(r->g, r->key);
}

static void wrong(reader *r, const char *why)
{
    if (r->st == SILR_OK)
        r->st = silr_fail(r->err, SILR_EINPUT, "%s: key %s %s", r->path, r->key, why);
}

static size_t size_or(reader *r, const char *name, size_t otherwise)
{
    int64_t v;

    if (!look(r, name))
        return otherwise;
    if (silr_gguf_integer(r->g, r->key, &v) && v >= 0)
        return (size_t)v;
    wrong(r, "is not one count; silr knows models whose layers are all alike");
    return otherwise;
}

static size_t size_of(reader *r, const char *name)
{
    if (!look(r, name))
        wrong(r, "is missing");
    return size_or(r, name, 1);
}

static double number_or(reader *r, const char *name, double otherwise)
{
    double v;

    if (!look(r, name))
        return otherwise;
    if (silr_gguf_number(r->g, r->key, &v))
        return v;
    wrong(r, "is not a number");
    return otherwise;
}

static double number_of(reader *r, const char *name)
{
    if (!look(r, name))
        wrong(r, "is missing");
    return number_or(r, name, 1);
}

static bool says(const reader *r, const char *word)
{
    const char *s;
    size_t len;
    return silr_gguf_string(r->g, r->key, &s, &len) && len == strlen(word) &&
           memcmp(s, word, len) == 0;
}

/* Rows of a tensor; 0: there is none. */
static size_t rows_of(const reader *r, const char *name)
{
    for (size_t i = 0; i < silr_gguf_tensors(r->g); i++) {
        const silr_tensor *t = silr_gguf_tensor(r->g, i);
        if (strcmp(t->name, name) == 0)
            return t->dim[0];
    }
    return 0;
}

static bool has_tensor(const reader *r, const char *name)
{
    return rows_of(r, name) > 0;
}

static silr_status find_family(reader *r, silr_plan *p)
{
    const char *name;
    size_t len;

    if (!silr_gguf_string(r->g, "general.architecture", &name, &len))
        return silr_fail(r->err, SILR_EINPUT, "%s: key general.architecture is missing", r->path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (len == strlen(known[i].name) && memcmp(name, known[i].name, len) == 0) {
            silr_plan_family(p, known[i].family);
            snprintf(p->spec.architecture, sizeof p->spec.architecture, "%s", known[i].name);
            r->architecture = known[i].name;
            return SILR_OK;
        }
    if (!silr_entry_name_ok(name, len, 64))
        len = 0;
    return silr_fail(r->err, SILR_EINPUT,
                     "%s: architecture \"%.*s\" is not known to silr; it knows llama (Mistral, "
                     "SmolLM2), qwen2, qwen3, gemma2, gemma3 and bert",
                     r->path, (int)len, name);
}

static void read_sizes(reader *r, silr_model_spec *s)
{
    s->layers = size_of(r, "block_count");
    s->hidden = size_of(r, "embedding_length");
    s->heads = size_of(r, "attention.head_count");
    s->kv_heads = size_or(r, "attention.head_count_kv", s->heads);
    s->mlp = size_of(r, "feed_forward_length");
    s->positions = size_of(r, "context_length");
    s->vocab = rows_of(r, "token_embd.weight");
    if (s->heads == 0)
        wrong(r, "has no heads");
    else
        s->head_dim = size_or(r, "attention.key_length", s->hidden / s->heads);
    if (size_or(r, "attention.value_length", s->head_dim) != s->head_dim)
        wrong(r, "differs from attention.key_length");
    if (size_or(r, "expert_count", 0) > 0)
        wrong(r, "says that this is a mixture of experts, which silr does not know");
}

static void read_rope(reader *r, silr_model_spec *s)
{
    bool gemma3 = s->family == SILR_FAMILY_GEMMA3;

    s->rope_interleaved = s->family == SILR_FAMILY_LLAMA;
    s->rope_dims = size_or(r, "rope.dimension_count", s->head_dim);
    s->rope_theta = number_or(r, "rope.freq_base", gemma3 ? 1e6 : 1e4);
    s->rope_theta_local = number_or(r, "rope.freq_base_swa", gemma3 ? 1e4 : s->rope_theta);
    s->rope_factor = number_or(r, "rope.scaling.factor", number_or(r, "rope.scale_linear", 1));
    if (look(r, "rope.scaling.type") && !says(r, "none") && !says(r, "linear"))
        wrong(r, "names a scaling of rotary positions that silr does not know; it knows none, "
                 "linear, and Llama 3's");
    if (look(r, "rope.scaling.type") && says(r, "none"))
        s->rope_factor = 1;
    if (s->rope_factor != 1)
        s->rope_scaling = SILR_ROPE_LINEAR;
}

static void read_decoder(reader *r, silr_plan *p)
{
    silr_model_spec *s = &p->spec;
    bool gemma2 = s->family == SILR_FAMILY_GEMMA2, gemma3 = s->family == SILR_FAMILY_GEMMA3;
    bool largest = (gemma2 && s->layers == 46) || (gemma3 && s->layers == 62);
    double per_head = (double)s->hidden / (double)(s->heads ? s->heads : 1);

    p->layout = SILR_LAYOUT_GGUF;
    if (p->qkv_bias == SILR_NEED_NEVER)
        p->qkv_bias = SILR_NEED_MAYBE;
    p->o_bias = p->mlp_bias = SILR_NEED_MAYBE;
    s->norm_epsilon = number_of(r, "attention.layer_norm_rms_epsilon");
    s->attention_scale =
        number_or(r, "attention.scale", 1 / sqrt(largest ? per_head : (double)s->head_dim));
    s->window = gemma3 ? size_of(r, "attention.sliding_window")
                       : size_or(r, "attention.sliding_window", gemma2 ? 4096 : 0);
    s->window_period = gemma2 ? 2 : gemma3 ? 6 : 0;
    s->attention_cap = number_or(r, "attn_logit_softcapping", gemma2 ? 50 : 0);
    s->logit_cap = number_or(r, "final_logit_softcapping", gemma2 ? 30 : 0);
    s->embedding_scale = gemma2 || gemma3 ? sqrt((double)s->hidden) : 1;
    s->tied = !has_tensor(r, "output.weight");
    if (s->window == 0)
        s->window_period = 0;
    read_rope(r, s);
}

static void read_encoder(reader *r, silr_plan *p)
{
    silr_model_spec *s = &p->spec;
    bool causal = false;

    p->layout = SILR_LAYOUT_GGUF_BERT;
    s->norm_epsilon = number_of(r, "attention.layer_norm_epsilon");
    s->attention_scale = 1 / sqrt((double)s->head_dim);
    s->rope_theta = s->rope_theta_local = 1e4;
    s->positions = rows_of(r, "position_embd.weight"); /* RoBERTa's first two were left out */
    s->types = rows_of(r, "token_types.weight");
    if (look(r, "attention.causal") && (!silr_gguf_bool(r->g, r->key, &causal) || causal))
        wrong(r, "says that this encoder looks backwards only, which silr does not know");
    switch (size_or(r, "pooling_type", 1)) {
    case 0: /* says nothing */
    case 1:
        s->pooling = SILR_POOL_MEAN;
        break;
    case 2:
        s->pooling = SILR_POOL_CLS;
        break;
    case 3:
        s->pooling = SILR_POOL_LAST;
        break;
    default:
        wrong(r, "names a pooling that silr does not know; it knows mean, cls and last");
    }
}

silr_status silr_plan_from_gguf(silr_plan *p, const silr_gguf *g, const char *path, silr_error *err)
{
    reader r = {.g = g, .path = path, .err = err};

    if ((r.st = find_family(&r, p)) != SILR_OK)
        return r.st;
    read_sizes(&r, &p->spec);
    if (p->spec.causal)
        read_decoder(&r, p);
    else
        read_encoder(&r, p);
    return r.st == SILR_OK ? silr_plan_check(p, path, err) : r.st;
}
