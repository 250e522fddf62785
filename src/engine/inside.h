/* inside.h - what the files of src/engine share beside ops.h; unknown outside.
 *
 * The way of a call: engine.c (loaded model) -> forward.c (a group of texts through the layers)
 * -> embed.c (vectors), decode.c (next tokens, continuations), generate.c. */
#ifndef SILR_ENGINE_INSIDE_H
#define SILR_ENGINE_INSIDE_H

#include "engine/engine.h"
#include "engine/ops.h"

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

/* What a group of texts needs on its way; made once a call, for the largest group. */
typedef struct {
    size_t rows;      /* tokens there is room for */
    uint32_t *position;
    float *rope[2];   /* tables [table_rows][rope_dims]: global, local */
    size_t table_rows;
    float *x;         /* [rows][hidden] the states; what forward leaves */
    float *h;         /* [rows][hidden] */
    float *qkv;       /* [rows][(heads + 2 kv_heads) head_dim] */
    float *mix;       /* [rows][heads * head_dim] what attention gives */
    float *mlp;       /* [rows][mlp or 2 mlp] */
    silr_attention_text *text;
    size_t texts;     /* there is room for */
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
} silr_pass;
/* Leaves the states in room->x: [tokens][hidden], or with last_only [n_texts][hidden]. */
silr_status silr_forward(const silr_engine *e, silr_room *room, const silr_pass *p, silr_error *err);

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

/* rope.c: how far each pair turns a position, with the model's scaling; [rope_dims / 2]. */
void silr_rope_turns(const silr_model_spec *s, const float *factors, bool local, float *out);
/* Rows first .. last - 1 of the table [..][dims] of cosines and sines. */
void silr_rope_table(const float *turns, size_t dims, size_t rows, float *table);

#endif
