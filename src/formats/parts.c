/* parts.c - what the parts of a model are called, where, and what shape they have.
 *
 * With H = hidden, Q = heads * head_dim, K = kv_heads * head_dim, M = mlp, V = vocab:
 *
 *     tokens [V][H]   q [Q][H]   k, v [K][H]   o [H][Q]   gate, up [M][H]   down [H][M]
 *
 * and a norm, like a bias, is a vector. The same part has another name in each layout. */
#include "formats/inside.h"

#include <stdio.h>
#include <string.h>

/* What a shape is made of. */
typedef enum { NONE, H, Q, K, D, M, V, P, T, R } extent;

static const struct {
    bool layer;
    extent rows, columns; /* rows NONE: a vector */
} shape[SILR_PARTS] = {
    [SILR_PART_TOKENS] = {false, V, H},
    [SILR_PART_POSITIONS] = {false, P, H},
    [SILR_PART_TYPES] = {false, T, H},
    [SILR_PART_EMBEDDING_NORM] = {false, NONE, H},
    [SILR_PART_OUTPUT_NORM] = {false, NONE, H},
    [SILR_PART_OUTPUT] = {false, V, H},
    [SILR_PART_ROPE_FACTORS] = {false, NONE, R},
    [SILR_PART_ATTENTION_NORM] = {true, NONE, H},
    [SILR_PART_Q] = {true, Q, H},
    [SILR_PART_K] = {true, K, H},
    [SILR_PART_V] = {true, K, H},
    [SILR_PART_O] = {true, H, Q},
    [SILR_PART_Q_NORM] = {true, NONE, D},
    [SILR_PART_K_NORM] = {true, NONE, D},
    [SILR_PART_ATTENTION_POST_NORM] = {true, NONE, H},
    [SILR_PART_MLP_NORM] = {true, NONE, H},
    [SILR_PART_GATE] = {true, M, H},
    [SILR_PART_UP] = {true, M, H},
    [SILR_PART_DOWN] = {true, H, M},
    [SILR_PART_MLP_POST_NORM] = {true, NONE, H},
};

static const struct {
    const char *layers; /* in front of a layer's number */
    const char *stem[SILR_PARTS];
} layout_of[SILR_LAYOUTS] = {
    [SILR_LAYOUT_GGUF] = {"blk.",
                          {
                              [SILR_PART_TOKENS] = "token_embd",
                              [SILR_PART_OUTPUT_NORM] = "output_norm",
                              [SILR_PART_OUTPUT] = "output",
                              [SILR_PART_ROPE_FACTORS] = "rope_freqs",
                              [SILR_PART_ATTENTION_NORM] = "attn_norm",
                              [SILR_PART_Q] = "attn_q",
                              [SILR_PART_K] = "attn_k",
                              [SILR_PART_V] = "attn_v",
                              [SILR_PART_O] = "attn_output",
                              [SILR_PART_Q_NORM] = "attn_q_norm",
                              [SILR_PART_K_NORM] = "attn_k_norm",
                              [SILR_PART_ATTENTION_POST_NORM] = "post_attention_norm",
                              [SILR_PART_MLP_NORM] = "ffn_norm",
                              [SILR_PART_GATE] = "ffn_gate",
                              [SILR_PART_UP] = "ffn_up",
                              [SILR_PART_DOWN] = "ffn_down",
                              [SILR_PART_MLP_POST_NORM] = "post_ffw_norm",
                          }},
    [SILR_LAYOUT_GGUF_BERT] = {"blk.",
                               {
                                   [SILR_PART_TOKENS] = "token_embd",
                                   [SILR_PART_POSITIONS] = "position_embd",
                                   [SILR_PART_TYPES] = "token_types",
                                   [SILR_PART_EMBEDDING_NORM] = "token_embd_norm",
                                   [SILR_PART_ATTENTION_NORM] = "attn_output_norm",
                                   [SILR_PART_Q] = "attn_q",
                                   [SILR_PART_K] = "attn_k",
                                   [SILR_PART_V] = "attn_v",
                                   [SILR_PART_O] = "attn_output",
                                   [SILR_PART_MLP_NORM] = "layer_output_norm",
                                   [SILR_PART_UP] = "ffn_up",
                                   [SILR_PART_DOWN] = "ffn_down",
                               }},
    [SILR_LAYOUT_LLAMA] = {"layers.",
                           {
                               [SILR_PART_TOKENS] = "embed_tokens",
                               [SILR_PART_OUTPUT_NORM] = "norm",
                               [SILR_PART_OUTPUT] = "lm_head",
                               [SILR_PART_ATTENTION_NORM] = "input_layernorm",
                               [SILR_PART_Q] = "self_attn.q_proj",
                               [SILR_PART_K] = "self_attn.k_proj",
                               [SILR_PART_V] = "self_attn.v_proj",
                               [SILR_PART_O] = "self_attn.o_proj",
                               [SILR_PART_Q_NORM] = "self_attn.q_norm",
                               [SILR_PART_K_NORM] = "self_attn.k_norm",
                               [SILR_PART_MLP_NORM] = "post_attention_layernorm",
                               [SILR_PART_GATE] = "mlp.gate_proj",
                               [SILR_PART_UP] = "mlp.up_proj",
                               [SILR_PART_DOWN] = "mlp.down_proj",
                           }},
    [SILR_LAYOUT_GEMMA] = {"layers.",
                           {
                               [SILR_PART_TOKENS] = "embed_tokens",
                               [SILR_PART_OUTPUT_NORM] = "norm",
                               [SILR_PART_OUTPUT] = "lm_head",
                               [SILR_PART_ATTENTION_NORM] = "input_layernorm",
                               [SILR_PART_Q] = "self_attn.q_proj",
                               [SILR_PART_K] = "self_attn.k_proj",
                               [SILR_PART_V] = "self_attn.v_proj",
                               [SILR_PART_O] = "self_attn.o_proj",
                               [SILR_PART_Q_NORM] = "self_attn.q_norm",
                               [SILR_PART_K_NORM] = "self_attn.k_norm",
                               [SILR_PART_ATTENTION_POST_NORM] = "post_attention_layernorm",
                               [SILR_PART_MLP_NORM] = "pre_feedforward_layernorm",
                               [SILR_PART_GATE] = "mlp.gate_proj",
                               [SILR_PART_UP] = "mlp.up_proj",
                               [SILR_PART_DOWN] = "mlp.down_proj",
                               [SILR_PART_MLP_POST_NORM] = "post_feedforward_layernorm",
                           }},
    [SILR_LAYOUT_BERT] = {"encoder.layer.",
                          {
                              [SILR_PART_TOKENS] = "embeddings.word_embeddings",
                              [SILR_PART_POSITIONS] = "embeddings.position_embeddings",
                              [SILR_PART_TYPES] = "embeddings.token_type_embeddings",
                              [SILR_PART_EMBEDDING_NORM] = "embeddings.LayerNorm",
                              [SILR_PART_ATTENTION_NORM] = "attention.output.LayerNorm",
                              [SILR_PART_Q] = "attention.self.query",
                              [SILR_PART_K] = "attention.self.key",
                              [SILR_PART_V] = "attention.self.value",
                              [SILR_PART_O] = "attention.output.dense",
                              [SILR_PART_MLP_NORM] = "output.LayerNorm",
                              [SILR_PART_UP] = "intermediate.dense",
                              [SILR_PART_DOWN] = "output.dense",
                          }},
};

bool silr_part_of_layer(silr_part part)
{
    return shape[part].layer;
}

static bool is_norm(silr_part part)
{
    return part == SILR_PART_EMBEDDING_NORM || part == SILR_PART_ATTENTION_NORM ||
           part == SILR_PART_MLP_NORM;
}

bool silr_part_name(const silr_plan *p, silr_part part, size_t layer, bool bias, bool old,
                    char *out, size_t size)
{
    const char *stem = layout_of[p->layout].stem[part];
    const char *end = old ? (bias ? "beta" : "gamma") : (bias ? "bias" : "weight");
    /* the output matrix stands beside the rest of the model, not in it */
    const char *prefix = part == SILR_PART_OUTPUT ? p->head_prefix : p->prefix;
    int n;

    if (!stem || (old && (p->layout != SILR_LAYOUT_BERT || !is_norm(part))))
        return false;
    if (silr_part_of_layer(part))
        n = snprintf(out, size, "%s%s%zu.%s.%s", prefix, layout_of[p->layout].layers, layer, stem,
                     end);
    else
        n = snprintf(out, size, "%s%s.%s", prefix, stem, end);
    return n > 0 && (size_t)n < size;
}

static silr_need when(bool yes)
{
    return yes ? SILR_NEED_MUST : SILR_NEED_NEVER;
}

silr_need silr_part_need(const silr_plan *p, silr_part part, bool bias)
{
    const silr_model_spec *s = &p->spec;

    switch (part) {
    case SILR_PART_TOKENS:
        return when(!bias);
    case SILR_PART_POSITIONS:
        return when(!bias && !s->rope);
    case SILR_PART_TYPES:
        return when(!bias && s->types > 0);
    case SILR_PART_EMBEDDING_NORM:
        return when(!s->pre_norm && (!bias || !s->rms_norm));
    case SILR_PART_OUTPUT_NORM:
        return when(s->pre_norm && (!bias || !s->rms_norm));
    case SILR_PART_OUTPUT:
        return when(!bias && p->head && !s->tied);
    case SILR_PART_ROPE_FACTORS:
        return !bias && s->rope && p->layout == SILR_LAYOUT_GGUF ? SILR_NEED_MAYBE
                                                                 : SILR_NEED_NEVER;
    case SILR_PART_ATTENTION_NORM:
    case SILR_PART_MLP_NORM:
        return when(!bias || !s->rms_norm);
    case SILR_PART_ATTENTION_POST_NORM:
    case SILR_PART_MLP_POST_NORM:
        return when(s->post_norms && (!bias || !s->rms_norm));
    case SILR_PART_Q_NORM:
    case SILR_PART_K_NORM:
        return when(!bias && s->qk_norm);
    case SILR_PART_Q:
    case SILR_PART_K:
    case SILR_PART_V:
        return bias ? p->qkv_bias : SILR_NEED_MUST;
    case SILR_PART_O:
        return bias ? p->o_bias : SILR_NEED_MUST;
    case SILR_PART_GATE:
        if (!s->gated)
            return SILR_NEED_NEVER;
        return bias ? p->mlp_bias : SILR_NEED_MUST;
    case SILR_PART_UP:
    case SILR_PART_DOWN:
        return bias ? p->mlp_bias : SILR_NEED_MUST;
    case SILR_PARTS:
        break;
    }
    return SILR_NEED_NEVER;
}

static size_t extent_of(const silr_model_spec *s, extent e)
{
    const size_t of[] = {
        [NONE] = 0,
        [H] = s->hidden,
        [Q] = s->heads * s->head_dim,
        [K] = s->kv_heads * s->head_dim,
        [D] = s->head_dim,
        [M] = s->mlp,
        [V] = s->vocab,
        [P] = s->positions + s->position_offset,
        [T] = s->types,
        [R] = s->rope_dims / 2,
    };
    return of[e];
}

int silr_part_shape(const silr_model_spec *spec, silr_part part, bool bias, size_t dim[2])
{
    if (shape[part].rows == NONE) {
        dim[0] = extent_of(spec, shape[part].columns);
        return 1;
    }
    dim[0] = extent_of(spec, shape[part].rows);
    dim[1] = extent_of(spec, shape[part].columns);
    return bias ? 1 : 2;
}
