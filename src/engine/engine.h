/* engine.h - pretrained transformers in process: texts to vectors, prompts to probabilities.
 *
 * An engine is a loaded model: read-only, shared by threads. One call at a time does the work, on
 * all threads (OpenMP); texts are packed one behind the other without padding, and what is computed
 * of a text never depends on the others in the call, nor on the number of threads.
 *
 *     silr_engine *e;
 *     if ((st = silr_engine_open(&e, "models/all-MiniLM-L6-v2", NULL, err)) != SILR_OK)
 *         return st;
 *     st = silr_engine_embed(e, ids, start, n, vectors, err);     [n][silr_engine_dim(e)]
 *
 * Ids come from the model's tokenizer (silr_engine_tokenizer). Text t of a call is
 * ids[start[t] .. start[t + 1]); none is empty, none longer than silr_engine_max_tokens (SILR_EINPUT).
 * SILR_EINPUT too when the model's file was cut short while in use; SILR_ECANCEL; SILR_ENOMEM. */
#ifndef SILR_ENGINE_H
#define SILR_ENGINE_H

#include "formats/formats.h"
#include "tokenizer/tokenizer.h"

/* How the matrices of the layers are kept; embeddings, norms and the output matrix stay as filed. NF4: in
 * 4 bits (formats/nf4.h), about 0.52 bytes a value, made when the model is loaded. */
typedef enum { SILR_WEIGHTS_AUTO, SILR_WEIGHTS_F32, SILR_WEIGHTS_AS_FILED, SILR_WEIGHTS_NF4 } silr_weights_kept;
typedef struct {
    silr_weights_kept keep; /* AUTO: floats where they fit into half of the free memory */
    bool plain;             /* the plain operations (tests) */
    bool bare;              /* no tokenizer is read: ids come from elsewhere, nothing is generated (tests) */
    size_t tile;            /* tokens in flight at once, about; 0: 1024 */
} silr_engine_opts;

typedef struct silr_engine silr_engine;
silr_status silr_engine_open(silr_engine **out, const char *path, const silr_engine_opts *opts,
                             silr_error *err);
void silr_engine_free(silr_engine *e);
const silr_model_spec *silr_engine_spec(const silr_engine *e);
const silr_tokenizer *silr_engine_tokenizer(const silr_engine *e);
const silr_weights *silr_engine_weights(const silr_engine *e);
size_t silr_engine_dim(const silr_engine *e);        /* of a vector: hidden */
size_t silr_engine_max_tokens(const silr_engine *e); /* of one text, specials and prefix counted */
bool silr_engine_kept_fast(const silr_engine *e);
/* Values of the matrices of all layers: what is kept as floats, or as NF4. */
size_t silr_engine_values(const silr_model_spec *s);
/* Bytes this model will need: weights, and the activations of one call (longest text given). Known
 * before anything is loaded. */
silr_status silr_engine_estimate(const silr_weights *w, const silr_engine_opts *opts,
                                 size_t longest, size_t *weights, size_t *work, silr_error *err);

/* --- encoders -------------------------------------------------------------------------------- */

/* out [n][dim]: the hidden states of each text pooled (mean, cls, last) and normalised as the model
 * says. Decoders too: mean of the final hidden states where nothing says how. */
silr_status silr_engine_embed(const silr_engine *e, const uint32_t *ids, const size_t *start, size_t n,
                              float *out, silr_error *err);

/* --- decoders -------------------------------------------------------------------------------- */

/* The keys and values of a beginning that many texts share, computed once. */
typedef struct silr_prefix silr_prefix;
silr_status silr_prefix_new(silr_prefix **out, const silr_engine *e, const uint32_t *ids, size_t n,
                            silr_error *err);
void silr_prefix_free(silr_prefix *p);
size_t silr_prefix_tokens(const silr_prefix *p);

/* Log-probabilities, behind the prefix (NULL: none) and each text, of the tokens `token` as the next
 * one, over the whole vocabulary: out [n][n_tokens]. With `relative` only up to a constant a text (the
 * logits themselves), which costs n_tokens columns of the output matrix instead of all. */
silr_status silr_engine_next(const silr_engine *e, const silr_prefix *p, const uint32_t *ids,
                             const size_t *start, size_t n, const uint32_t *token, size_t n_tokens,
                             bool relative, float *out, silr_error *err);

/* Log-likelihood of whole continuations (class names of several tokens): out [n][n_cont], the sum
 * over the tokens of continuation c, cont[cont_start[c] .. cont_start[c + 1]). */
silr_status silr_engine_score(const silr_engine *e, const silr_prefix *p, const uint32_t *ids,
                              const size_t *start, size_t n, const uint32_t *cont,
                              const size_t *cont_start, size_t n_cont, float *out, silr_error *err);

/* Generation, all texts side by side. temperature 0: the likeliest token; else drawn with the
 * counter-based generator from (seed, draw + text number, step), nucleus top_p (1: all). Ends at a token
 * that ends a turn, at max_tokens, or when `stop` (NULL: none) occurs in what was said. */
typedef struct {
    size_t max_tokens;
    double temperature, top_p;
    uint64_t seed, draw;
    const char *stop;
} silr_generate_opts;
/* Once a text when it has ended, in any order; `said` lives until it returns. */
typedef silr_status (*silr_said)(void *ctx, size_t text, const char *said, size_t len, bool complete,
                                 silr_error *err);
silr_status silr_engine_generate(const silr_engine *e, const silr_prefix *p, const uint32_t *ids,
                                 const size_t *start, size_t n, const silr_generate_opts *opts,
                                 silr_said said, void *ctx, silr_error *err);

/* For tests: hidden states [tokens][dim] of the stream behind `layers` layers (layers = all: with the
 * final norm); logits [n][vocab] of the last token of each text. */
silr_status silr_engine_hidden(const silr_engine *e, const uint32_t *ids, const size_t *start,
                               size_t n, size_t layers, float *out, silr_error *err);
silr_status silr_engine_logits(const silr_engine *e, const silr_prefix *p, const uint32_t *ids,
                               const size_t *start, size_t n, float *out, silr_error *err);

#endif
