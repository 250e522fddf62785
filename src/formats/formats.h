/* formats.h - model files: foreign bytes in, checked structures out.
 *
 * A model comes as one GGUF file, one safetensors file, or a folder as Hugging Face lays it out
 * (config.json; model.safetensors, or shards with model.safetensors.index.json). All of it is
 * mapped, nothing is executed, and every size is checked against what the file still holds before it
 * is used. What a model is called inside does not matter to whoever reads it: its shape is a
 * silr_model_spec, its tensors are found by the part they play.
 *
 *     silr_weights *w;
 *     if ((st = silr_weights_open(&w, "SmolLM2-135M-Instruct.Q4_1.gguf", err)) != SILR_OK)
 *         return st;
 *     const silr_tensor *q = silr_weights_part(w, SILR_PART_Q, 0, false);
 *     silr_tensor_rows(q, 0, q->dim[0], out);          as floats
 *
 * Weights are read-only; any number of threads may read them. What a getter returns is borrowed
 * until silr_weights_free. */
#ifndef SILR_FORMATS_H
#define SILR_FORMATS_H

#include "base/base.h"

/* --- tensors --------------------------------------------------------------------------------- */

typedef enum {
    SILR_TYPE_F32, SILR_TYPE_F16, SILR_TYPE_BF16,
    SILR_TYPE_Q8_0, SILR_TYPE_Q4_0, SILR_TYPE_Q4_1, SILR_TYPE_Q5_0, SILR_TYPE_Q5_1,
    SILR_TYPE_Q4_K, SILR_TYPE_Q5_K, SILR_TYPE_Q6_K,
    SILR_TYPE_OTHER, /* there, but not to be computed with: integers, types we do not know */
    SILR_TYPES
} silr_type;

typedef struct {
    const char *name;     /* "F32", "Q4_K" */
    size_t block, bytes;  /* so many values lie in so many bytes */
} silr_type_info;
const silr_type_info *silr_type_of(silr_type type);

enum { SILR_TENSOR_DIMS = 4 };
typedef struct {
    const char *name; /* as in the file */
    silr_type type;
    int n_dims;
    size_t dim[SILR_TENSOR_DIMS]; /* slowest first: a matrix is [rows][columns], a row contiguous */
    const void *data; /* at any address: floats may not be aligned; silr_tensor_rows reads them */
    size_t bytes;
} silr_tensor;

/* Rows first .. first + n - 1 of t as floats [n][columns] (a vector is one row), exactly as the
 * type is published. The caller keeps to t's rows. Not for SILR_TYPE_OTHER. */
void silr_tensor_rows(const silr_tensor *t, size_t first, size_t n, float *out);
/* n values (whole blocks) of `type` at data: what silr_tensor_rows does, for data from elsewhere. */
void silr_dequantise(silr_type type, const void *data, size_t n, float *out);

/* --- what a model is ------------------------------------------------------------------------- */

typedef enum {
    SILR_FAMILY_LLAMA, /* Llama 2 to 3.2, Mistral, SmolLM2 */
    SILR_FAMILY_QWEN2, SILR_FAMILY_QWEN3, SILR_FAMILY_GEMMA2, SILR_FAMILY_GEMMA3,
    SILR_FAMILY_BERT,  /* BERT, MiniLM */
    SILR_FAMILY_ROBERTA /* RoBERTa, XLM-R */
} silr_family;
typedef enum { SILR_ACT_SILU, SILR_ACT_GELU /* erf */, SILR_ACT_GELU_TANH } silr_activation;
typedef enum { SILR_POOL_NONE, SILR_POOL_CLS, SILR_POOL_MEAN, SILR_POOL_LAST } silr_pooling;

/* One description for all families: what differs is a number or a switch here. */
typedef struct {
    silr_family family;
    char architecture[64];  /* as the file says: "llama", "LlamaForCausalLM" */
    size_t layers, hidden, heads, kv_heads, head_dim, mlp, vocab;
    size_t positions;       /* longest text in tokens, specials counted */
    size_t position_offset; /* RoBERTa: the first token has this position (2); else 0 */
    size_t types;           /* rows of the token-type table; 0: none */

    bool causal;            /* a token sees those before it only */
    bool pre_norm;          /* norm before attention and MLP (Llama), else after the residual (BERT) */
    bool post_norms;        /* a second norm behind attention and MLP, before the residual (Gemma) */
    bool rms_norm;          /* else with mean and bias */
    bool norm_plus_one;     /* weights are stored less 1 (Gemma in HF layout) */
    bool qk_norm;           /* RMS norm over each head of q and k (Qwen3, Gemma 3) */
    double norm_epsilon;

    bool rope;              /* rotary positions, else a table of absolute ones */
    bool rope_interleaved;  /* pairs (2i, 2i+1) turn together (q, k as GGUF's "llama" permutes them),
                               else (i, i + head_dim/2) */
    size_t rope_dims;       /* so many of a head turn; = head_dim mostly */
    double rope_theta;
    double rope_theta_local;/* layers with a window (Gemma 3); = rope_theta elsewhere */
    enum { SILR_ROPE_PLAIN, SILR_ROPE_LINEAR, SILR_ROPE_LLAMA3 } rope_scaling;
    double rope_factor;     /* LINEAR, LLAMA3 (global layers only where theta_local differs) */
    double rope_low, rope_high; /* LLAMA3: low_freq_factor, high_freq_factor */
    size_t rope_original;   /* LLAMA3: original_max_position_embeddings */

    size_t window;          /* a token sees so many, itself counted; 0: all */
    size_t window_period;   /* 0: every layer has the window; p: all but layers p-1, 2p-1, ... */
    double attention_scale; /* q.k is multiplied by it: 1/sqrt(head_dim), or Gemma's */
    double attention_cap, logit_cap; /* x -> cap tanh(x / cap); 0: none */
    double embedding_scale; /* Gemma: sqrt(hidden); else 1 */

    bool gated;             /* act(gate x) * (up x), else act(up x) */
    silr_activation activation;
    bool tied;              /* the output matrix is the token embedding; not tied and no part OUTPUT: the
                               file ends before it (...Model, ...ForSequenceClassification) */

    silr_pooling pooling;   /* encoders: as 1_Pooling/config.json says; mean where nothing does */
    bool normalise;         /* pooled vectors have length 1 (modules.json has Normalize) */
    size_t max_tokens;      /* sentence_bert_config.json's max_seq_length; 0: positions */
} silr_model_spec;

typedef enum {
    /* once a model; layer is 0 */
    SILR_PART_TOKENS, SILR_PART_POSITIONS, SILR_PART_TYPES, SILR_PART_EMBEDDING_NORM,
    SILR_PART_OUTPUT_NORM, SILR_PART_OUTPUT, SILR_PART_ROPE_FACTORS /* GGUF: [rope_dims / 2] */,
    /* once a layer */
    SILR_PART_ATTENTION_NORM, SILR_PART_Q, SILR_PART_K, SILR_PART_V, SILR_PART_O,
    SILR_PART_Q_NORM, SILR_PART_K_NORM, SILR_PART_ATTENTION_POST_NORM,
    SILR_PART_MLP_NORM, SILR_PART_GATE, SILR_PART_UP, SILR_PART_DOWN, SILR_PART_MLP_POST_NORM,
    SILR_PARTS
} silr_part;

/* --- files ----------------------------------------------------------------------------------- */

typedef struct silr_weights silr_weights;

/* Maps and checks a GGUF file, a safetensors file (config.json beside it) or a folder. Every part
 * that the spec needs is there, with the shape it needs, when this returns SILR_OK.
 * SILR_EINPUT: not such a file, broken, of a family silr does not know, a part missing: err says
 * which and where. SILR_EIO, SILR_ENOMEM. On failure *out is NULL. */
silr_status silr_weights_open(silr_weights **out, const char *path, silr_error *err);
void silr_weights_free(silr_weights *w);
const silr_model_spec *silr_weights_spec(const silr_weights *w);
/* The folder that config.json lies in; NULL: it is a GGUF file. */
const char *silr_weights_folder(const silr_weights *w);
/* NULL: the model has none (no bias, tied output). */
const silr_tensor *silr_weights_part(const silr_weights *w, silr_part part, size_t layer, bool bias);
size_t silr_weights_count(const silr_weights *w);
const silr_tensor *silr_weights_at(const silr_weights *w, size_t i);
const silr_tensor *silr_weights_find(const silr_weights *w, const char *name); /* as in the file */
/* A file that is cut short while it is mapped reads as zeros and is marked. After every use of the
 * mapped bytes: SILR_EINPUT when one was, so that nobody believes what came out. */
silr_status silr_weights_intact(const silr_weights *w, silr_error *err);
/* SHA-256 over the files' bytes (read once, kept): the identity of the model. */
silr_status silr_weights_hash(const silr_weights *w, silr_sha256 *out, silr_error *err);
/* What a model is, a fact at a time: "layers", NULL, 30; "format", "GGUF 3", 0. */
typedef void (*silr_weights_fact)(void *ctx, const char *name, const char *text, uint64_t number);
void silr_weights_facts(const silr_weights *w, silr_weights_fact fact, void *ctx);
/* The same for people, a line a fact. */
silr_status silr_weights_describe(const silr_weights *w, silr_buf *out, silr_error *err);
/* Does path look like a model: a folder, or a file that begins or is called like one? Then
 * silr_weights_open says what is wrong with it. */
bool silr_weights_looks(const char *path);

#endif
