/* plan.c - the ways of the families, and what numbers a model can have. */
#include "formats/inside.h"

#include <math.h>

void silr_plan_family(silr_plan *p, silr_family family)
{
    silr_model_spec *s = &p->spec;
    bool gemma = family == SILR_FAMILY_GEMMA2 || family == SILR_FAMILY_GEMMA3;
    bool encoder = family == SILR_FAMILY_BERT || family == SILR_FAMILY_ROBERTA;

    *p = (silr_plan){.head = !encoder};
    s->family = family;
    s->causal = s->pre_norm = s->rms_norm = s->rope = s->gated = !encoder;
    s->tied = encoder; /* has no output matrix of its own */
    s->post_norms = gemma;
    s->qk_norm = family == SILR_FAMILY_QWEN3 || family == SILR_FAMILY_GEMMA3;
    s->activation = encoder ? SILR_ACT_GELU : gemma ? SILR_ACT_GELU_TANH : SILR_ACT_SILU;
    s->rope_factor = 1;
    s->embedding_scale = 1;
    s->pooling = encoder ? SILR_POOL_MEAN : SILR_POOL_NONE;
    p->qkv_bias = encoder || family == SILR_FAMILY_QWEN2 ? SILR_NEED_MUST : SILR_NEED_NEVER;
    p->o_bias = p->mlp_bias = encoder ? SILR_NEED_MUST : SILR_NEED_NEVER;
}

static silr_status check_sizes(const silr_model_spec *s, const char *path, silr_error *err)
{
    const struct {
        const char *name;
        size_t value, least, most;
    } size[] = {
        {"layers", s->layers, 1, 1024},
        {"a hidden size", s->hidden, 1, 1 << 17},
        {"attention heads", s->heads, 1, 4096},
        {"key-value heads", s->kv_heads, 1, s->heads},
        {"values a head", s->head_dim, 1, 4096},
        {"an MLP size", s->mlp, 1, 1 << 20},
        {"tokens in the vocabulary", s->vocab, 1, 1 << 24},
        {"positions", s->positions, 1, 1 << 28},
        {"token types", s->types, 0, 1 << 16},
        {"the position offset", s->position_offset, 0, 1 << 16},
        {"the attention window", s->window, 0, SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].value < size[i].least || size[i].value > size[i].most)
            return silr_fail(err, SILR_EINPUT, "%s: %s: %zu, where %zu to %zu are possible", path,
                             size[i].name, size[i].value, size[i].least, size[i].most);
    return SILR_OK;
}

static bool positive(double v)
{
    return isfinite(v) && v > 0;
}

static silr_status check_rope(const silr_model_spec *s, const char *path, silr_error *err)
{
    if (s->rope_dims < 2 || s->rope_dims > s->head_dim || s->rope_dims % 2 != 0)
        return silr_fail(err, SILR_EINPUT, "%s: %zu of %zu values a head turn: impossible", path,
                         s->rope_dims, s->head_dim);
    if (!positive(s->rope_theta) || !positive(s->rope_theta_local) || !positive(s->rope_factor))
        return silr_fail(err, SILR_EINPUT,
                         "%s: the base or factor of the rotary positions is not "
                         "a positive number",
                         path);
    if (s->rope_scaling == SILR_ROPE_LLAMA3 &&
        (!positive(s->rope_low) || !(s->rope_high > s->rope_low) || !positive(s->rope_high) ||
         s->rope_original == 0))
        return silr_fail(err, SILR_EINPUT,
                         "%s: the llama3 scaling of rotary positions needs 0 < low_freq_factor < "
                         "high_freq_factor and original_max_position_embeddings",
                         path);
    return SILR_OK;
}

silr_status silr_plan_check(const silr_plan *p, const char *path, silr_error *err)
{
    const silr_model_spec *s = &p->spec;
    silr_status st = check_sizes(s, path, err);

    if (st != SILR_OK)
        return st;
    if (s->heads % s->kv_heads != 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: %zu attention heads cannot share %zu key-value heads evenly", path,
                         s->heads, s->kv_heads);
    if (s->rope && (st = check_rope(s, path, err)) != SILR_OK)
        return st;
    if (!positive(s->norm_epsilon) || s->norm_epsilon > 1)
        return silr_fail(err, SILR_EINPUT, "%s: the epsilon of the norms is %g", path,
                         s->norm_epsilon);
    if (!positive(s->attention_scale) || !positive(s->embedding_scale))
        return silr_fail(err, SILR_EINPUT, "%s: the scale of the attention is not positive", path);
    if ((s->attention_cap != 0 && !positive(s->attention_cap)) ||
        (s->logit_cap != 0 && !positive(s->logit_cap)))
        return silr_fail(err, SILR_EINPUT, "%s: a soft cap is not positive", path);
    return SILR_OK;
}
