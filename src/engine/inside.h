/* inside.h - what the files of src/engine share beside ops.h; unknown outside.
 *
 * The way of a call: engine.c (loaded model) -> forward.c (a group of texts through the layers)
 * -> embed.c (vectors), decode.c (next tokens, continuations), generate.c. In training: tune.c
 * (parameters, scores) -> forward.c, project.c (products with what is trained) -> backward.c. */
#ifndef SILR_ENGINE_INSIDE_H
#define SILR_ENGINE_INSIDE_H

#include "engine/ops.h"
#include "engine/tune.h"

/* A norm's weight and bias as floats; NULL: there is none. */
typedef struct {
    float *weight, *bias;
} norm;

typedef struct {
    silr_linear *qkv, *out; /* q, k and v stacked */
    silr_linear *up, *down; /* gated: gate and up stacked */
    norm attention, attention_post, mlp, mlp_post, q, k;
    size_t window;          /* 0: the whole text */
    bool local_rope;
} layer;

struct silr_engine {
    silr_weights *weights;
    silr_tokenizer *tokenizer;
    const silr_model_spec *spec;
    const silr_ops *ops;
    silr_keep keep;
    size_t tile;
    layer *layers;
    norm embedding, final;
    float *positions;      /* [positions][hidden] with the first token type added; NULL: rotary */
    silr_linear *output;   /* [vocab][hidden], as filed */
    const silr_tensor *output_table;
    float *turns[2];       /* of the rotary pairs, by how fast they turn: [rope_dims / 2]; local second */
};

/* --- keys and values kept ---------------------------------------------------------------------- */

/* Keys and values of some texts: text t has room for room[t] tokens. Of layer l and text t they
 * begin at (l * tokens + first[t]) * kv, kv = kv_heads * head_dim. */
typedef struct {
    size_t layers, n_texts, tokens, kv;
    size_t *first, *room;
    float *k, *v;
} silr_cache;
silr_status silr_cache_init(silr_cache *c, const silr_engine *e, const size_t *room, size_t n_texts,
                            silr_error *err);
void silr_cache_clear(silr_cache *c);

/* A beginning is a cache of one text. */
struct silr_prefix {
    silr_cache cache;
    size_t n;
};

/* --- forward ----------------------------------------------------------------------------------- */

/* Where a layer leaves what it computes of n rows; n' is n, or n_texts in a layer of which only the last
 * tokens count. In training all of it is kept for the way back; else the first of these are the
 * room's and the rest NULL. */
typedef struct {
    float *qkv;  /* [n][(heads + 2 kv_heads) head_dim] turned */
    float *mix;  /* [n'][heads * head_dim] what attention gives */
    float *mlp;  /* [n'][mlp or 2 mlp] before the activation */
    float *x;    /* [n][hidden] what came in */
    float *raw;  /* [n][(heads + kv_heads) head_dim] q and k before their norms, where they have them */
    float *o;    /* [n'][hidden] attention's part before its second norm (Gemma) */
    float *mid;  /* [n'][hidden] with attention's part added (BERT: before the norm) */
    float *m;    /* [n'][hidden] the MLP's part before its second norm (Gemma) */
    float *sum;  /* [n'][hidden] BERT: what goes into the last norm */
} silr_kept;

/* What a group of texts needs on its way; made once a call, for the largest group. */
typedef struct {
    size_t rows;      /* tokens there is room for */
    uint32_t *position;
    float *rope[2];   /* tables [table_rows][rope_dims]: global, local */
    size_t table_rows;
    float *x;         /* [rows][hidden] the states; what forward leaves */
    float *h;         /* [rows][hidden] */
    silr_kept own;    /* qkv, mix, mlp, where nothing is kept */
    float *act;       /* [rows][mlp] behind the activation; NULL: in place */
    silr_attention_text *text;
    size_t texts;     /* there is room for */
    /* With trained parts (silr_room_tune): */
    float *drop;      /* [rows][widest] what goes into A */
    float *low;       /* [rows][rank] what comes out of it */
    uint64_t *row;    /* [rows] who each row is, for dropout */
    uint64_t *last;   /* [texts] the same of the last tokens */
} silr_room;
/* rows tokens in texts texts, at positions below `reach`. */
silr_status silr_room_init(silr_room *r, const silr_engine *e, size_t rows, size_t texts,
                           size_t reach, silr_error *err);
void silr_room_clear(silr_room *r);
size_t silr_room_bytes(const silr_model_spec *s, size_t rows, size_t texts, size_t reach);

/* One pass of a group of texts through the layers. */
typedef struct {
    size_t n_texts;
    const uint32_t *ids;      /* of text t: ids[start[t] .. start[t + 1]) */
    const size_t *start;      /* [n_texts + 1]; start[0] may be above 0 */
    const size_t *past;       /* tokens of each text in the cache already; NULL: none */
    const silr_prefix *prefix;/* what all of them begin with; NULL */
    silr_cache *cache;        /* keys and values are kept there; NULL: not kept */
    const size_t *slot;       /* which text of the cache each is; NULL: as they come */
    bool last_only;           /* the states of the last tokens alone are wanted */
    size_t layers;            /* so many; the final norm only after all of them */

    const silr_tune *tune;    /* trained parts; NULL: none */
    const uint32_t *number;   /* of the texts, for dropout; NULL: none */
    uint64_t key;             /* of the step */
    const silr_kept *kept;    /* [layers] where to leave what backward needs; NULL: nowhere */
    bool no_final;            /* the final norm is left to the caller */
} silr_pass;
/* Leaves the states in room->x: [tokens][hidden], or with last_only [n_texts][hidden]. */
silr_status silr_forward(const silr_engine *e, silr_room *room, const silr_pass *p, silr_error *err);
/* One of its layers, over n rows of room->x; *n becomes n_texts when only the last tokens count. */
silr_status silr_layer(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                       const silr_kept *k, size_t *n, silr_error *err);
/* Embeddings of the texts' n tokens into room->x, before their norm; also fills position. */
void silr_embed_rows(const silr_engine *e, silr_room *r, const silr_pass *p, size_t n);
/* Is this the layer from which on only the last tokens are wanted? */
bool silr_only_last(const silr_pass *p, size_t l);
/* A norm of n rows of x into y. */
void silr_norm_rows(const silr_engine *e, const norm *w, const float *x, size_t ldx, size_t n,
                    size_t dim, float *y, size_t ldy);
/* Fills room->text: what attention needs to know of each text of this layer, from its qkv and to its mix. */
void silr_describe_texts(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                         const silr_kept *to, bool only_last);
silr_attention silr_attention_of(const silr_engine *e, size_t l);
silr_attention_strides silr_strides_of(const silr_engine *e, bool cached);
size_t silr_qkv_width(const silr_model_spec *s);
size_t silr_mlp_width(const silr_model_spec *s);

/* --- trained parts ------------------------------------------------------------------------------ */

/* The products of a layer: matrices that take the same rows are one. */
typedef enum { SILR_GROUP_QKV, SILR_GROUP_OUT, SILR_GROUP_UP, SILR_GROUP_DOWN } silr_group;
enum { SILR_SLOTS = 7 }; /* matrices of a layer: q, k, v, o, gate, up, down */

/* One matrix [out][in] of a layer and what of it is trained: offsets in the block. */
#define SILR_NOWHERE SIZE_MAX
typedef struct {
    silr_part part;
    silr_group group;
    size_t in, out, at; /* at: its first column among its group's */
    silr_tune_rank lora;
    size_t a, b;        /* LoRA's factors; SILR_NOWHERE */
    size_t w, bias;     /* the matrix itself; SILR_NOWHERE */
} silr_slot;

struct silr_tune {
    silr_engine *e;
    silr_tune_opts opts;
    size_t whole;        /* bytes by which a batch is cut: a number that no machine's free memory changes */
    silr_pooling pooling;
    silr_slot *slot;     /* [layers][SILR_SLOTS]; in 0: the model has no such matrix */
    layer *layers;       /* the engine's, but norms lie in the block where they are trained */
    norm embedding, final;
    silr_tensor tokens;  /* the embeddings in the block, where they are trained */
    float *positions;    /* the same */
    size_t at_tokens, at_positions; /* their offsets; SILR_NOWHERE */
    float *params, *grad;
    size_t n_params;
    silr_tuned *table;
    size_t n_table, head, head_bias; /* offsets */
    size_t widest, rank; /* the largest in and rank of a slot with LoRA */
    size_t lowest;       /* the first layer that has something to train; 0 where `below` */
    bool below;          /* embeddings or their norm are trained */
    float *unturn[2];    /* the room's rope tables, turning back */

    /* Of the last forward, for backward. */
    silr_room room;
    float *block;        /* what is kept */
    size_t block_size;   /* floats */
    silr_kept *kept;     /* [layers] */
    silr_kept spare;     /* of a layer, or the inside of an MLP, that is computed again */
    size_t full, most;   /* so many layers keep all; those up to `most` but for their MLP's inside; the
                          * others nothing but x */
    uint32_t *ids, *number; /* the texts */
    size_t *start;
    float *pooled;       /* [texts][hidden] */
    silr_pass pass;
    size_t rows, texts;  /* of the batch; 0: none */
};

/* Gives back what the last forward kept. */
void silr_tune_forget(silr_tune *t);
/* dx += the way back through a norm of n rows of x; its weights' gradient where they are trained. */
void silr_norm_back(const silr_tune *t, const norm *w, const float *x, size_t ldx, size_t n, size_t dim,
                    const float *dy, size_t lddy, float *dx, size_t lddx);
/* room for rows with trained parts; keep: activations are not to be overwritten in place. */
silr_status silr_room_tune(silr_room *r, const silr_tune *t, bool keep, silr_error *err);
/* The layer as this pass sees it. */
const layer *silr_layer_of(const silr_engine *e, const silr_pass *p, size_t l);

/* y[n] (+)= x[n] through a group of layer l, with what is trained of it. row: who the rows are. */
silr_status silr_project(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                         silr_group g, const float *x, size_t ldx, size_t n, const uint64_t *row,
                         float *y, size_t ldy, bool add, silr_error *err);
/* Its way back: adds to the gradient of the block; dx (NULL: not wanted) is written, or added to. */
silr_status silr_project_back(silr_tune *t, size_t l, silr_group g, const float *x, size_t ldx,
                              size_t n, const uint64_t *row, const float *dy, size_t lddy, float *dx,
                              size_t lddx, bool add, silr_error *err);
/* From dx, by the states before the final norm ([rows][hidden], or [texts][hidden] where only the last
 * tokens count; room for [rows] in any case; used up), down to the lowest trained part. */
silr_status silr_backward_layers(silr_tune *t, float *dx, silr_error *err);

/* --- shared ------------------------------------------------------------------------------------ */

/* Checks the texts of a call against the model: not empty, not too long behind n_before tokens, ids in
 * the vocabulary. *longest: tokens of the longest. */
silr_status silr_texts_check(const silr_engine *e, const uint32_t *ids, const size_t *start, size_t n,
                             size_t n_before, size_t *longest, silr_error *err);
/* The end of the group that begins with text t: as many texts as make up about a tile with `extra`
 * further tokens each, one at least. */
size_t silr_group_end(const silr_engine *e, const size_t *start, size_t n, size_t t, size_t extra);
/* Most tokens and texts of any group. */
void silr_groups_most(const silr_engine *e, const size_t *start, size_t n, size_t extra,
                      size_t *tokens, size_t *texts);
/* A call of a decoder that goes through its texts group by group. */
typedef struct {
    const silr_engine *e;
    const silr_prefix *prefix;
    const uint32_t *ids;
    const size_t *start;
    size_t n, extra; /* tokens a text may grow by */
    silr_room room;
} silr_call;
/* Checks the texts and makes room for their largest group. The caller clears c->room in any case. */
silr_status silr_call_open(silr_call *c, size_t extra, silr_error *err);
/* The states of the last tokens of texts t .. end - 1, into room.x; keys and values into cache. */
silr_status silr_call_last(silr_call *c, size_t t, size_t end, silr_cache *cache, silr_error *err);

enum { SILR_LOGIT_ROWS = 64 }; /* rows as wide as the vocabulary that are held at once */
silr_status silr_tokens_check(const silr_engine *e, const uint32_t *token, size_t n, silr_error *err);
/* log sum exp of each of n rows of logits. */
void silr_normalisers(const float *logits, size_t n, size_t vocab, double *out);
/* Log-probabilities [n][n_tokens] of tokens behind n states; logits: [SILR_LOGIT_ROWS][vocab]. */
silr_status silr_token_logprobs(const silr_engine *e, const float *x, size_t n,
                                const uint32_t *token, size_t n_tokens, float *logits, float *out,
                                silr_error *err);
/* Logits [n][vocab] of n states. */
silr_status silr_logits(const silr_engine *e, const float *x, size_t n, float *out, silr_error *err);

/* One text's states [n][dim] to one vector: that of the first or last token, or the mean. */
void silr_pool(silr_pooling how, const float *x, size_t n, size_t dim, float *out);
size_t silr_free_memory(void); /* what the machine says; SIZE_MAX where it does not say */

/* rope.c: how far each pair turns a position, with the model's scaling; [rope_dims / 2]. */
void silr_rope_turns(const silr_model_spec *s, const float *factors, bool local, float *out);
/* Rows first .. last - 1 of the table [..][dims] of cosines and sines. */
void silr_rope_table(const float *turns, size_t dims, size_t rows, float *table);

#endif
