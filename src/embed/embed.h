/* embed.h - texts as vectors of a pretrained encoder, computed once and kept on disk.
 *
 * An encoder turns texts into vectors; the engine makes one of a model folder, tests make their own.
 * Embeddings are the vectors of all texts of a corpus. They lie in a file that only grows, named and
 * marked by all that a vector depends on but the text: model, pooling, longest text, version of the
 * engine. What is in it is not computed again: not after a kill, not for an equal text, not by
 * another run that shares the folder.
 *
 *     silr_encoder *e;
 *     silr_embeddings *v;
 *     if ((st = silr_encoder_open(&e, "models/all-MiniLM-L6-v2", &opts, err)) == SILR_OK &&
 *         (st = silr_embeddings_make(&v, e, "run/embeddings", get, ctx, n, err)) == SILR_OK)
 *         silr_embeddings_row(v, 17)           [silr_embeddings_dim(v)] halves, borrowed
 *
 * A vector never depends on the texts beside it, on their order or the number of threads. */
#ifndef SILR_EMBED_H
#define SILR_EMBED_H

#include "dist/dist.h"
#include "task/task.h"

/* --- what makes vectors ------------------------------------------------------------------------ */

typedef struct {
    silr_pooling_choice pooling; /* AUTO: as the model says */
    size_t max_tokens;           /* a text is cut here; 0: as the model says */
} silr_encoder_opts;

typedef struct silr_encoder silr_encoder;
struct silr_encoder {
    size_t dim;
    silr_sha256 model; /* SHA-256 over the files that say what it computes */
    char *about;       /* what else its vectors depend on: "mean pooling, at most 256 tokens, ..." */
    void *ctx;
    /* Tokens that each text will cost: the measure of the work. */
    silr_status (*count)(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                         uint32_t *tokens, silr_error *err);
    /* out [n][dim]. */
    silr_status (*embed)(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                         float *out, silr_error *err);
    void (*free)(void *ctx);
    char *path;              /* where silr_encoder_open found it, and how: other ranks open it too */
    silr_encoder_opts opts;
};

/* A model folder or file. SILR_EINPUT: missing, broken, of a kind the engine does not know. */
silr_status silr_encoder_open(silr_encoder **out, const char *path, const silr_encoder_opts *opts,
                              silr_error *err);
void silr_encoder_free(silr_encoder *e);
/* silr_encoder.model of that path, without loading it. */
silr_status silr_encoder_hash(silr_sha256 *out, const char *path, silr_error *err);
/* SHA-256 of all that a vector depends on but the text. */
silr_status silr_encoder_identity(silr_sha256 *out, const silr_encoder *e, silr_error *err);

/* Test door: what opens and hashes encoders in place of the engine. NULL: the engine again. */
typedef struct {
    silr_status (*open)(silr_encoder **out, const char *path, const silr_encoder_opts *opts,
                        silr_error *err);
    silr_status (*hash)(silr_sha256 *out, const char *path, silr_error *err);
} silr_encoder_door;
void silr_encoder_through(const silr_encoder_door *door);

/* Vectors of n texts as they come back from the file: rounded to half precision, then floats again
 * [n][dim]. A text without a byte is a vector of zeros. SILR_EDOMAIN: a value is not a number. */
silr_status silr_encode(const silr_encoder *e, const char *const *texts, const size_t *lens,
                        size_t n, float *out, silr_error *err);

/* What ranks do for silr_embeddings_make. */
extern const silr_trade silr_embed_trade;

/* --- the vectors of a corpus ------------------------------------------------------------------- */

typedef struct silr_embeddings silr_embeddings;

/* How to get text i; no bytes: it needs no vector. */
typedef const char *(*silr_embed_get)(const void *ctx, size_t i, size_t *len);

/* The vectors of n texts: those in the file in folder `dir`, and the others computed and added to
 * it, with progress in tokens. dir NULL: kept in memory. In a job of several ranks each computes its
 * share of the vectors (as many tokens as the others); rank 0 calls this, and writes.
 * SILR_ECANCEL: stopped; what is done is kept, and the same call goes on from there. SILR_EIO: the
 * file cannot be written (disk full); the same. SILR_EDOMAIN: a value is not a number. */
silr_status silr_embeddings_make(silr_embeddings **out, const silr_encoder *e, const char *dir,
                                 silr_embed_get get, const void *ctx, size_t n, silr_error *err);
void silr_embeddings_free(silr_embeddings *v);
size_t silr_embeddings_size(const silr_embeddings *v);
size_t silr_embeddings_dim(const silr_embeddings *v);
size_t silr_embeddings_made(const silr_embeddings *v); /* texts that this call computed */
/* Halves [dim]; NULL: text i has none. */
const uint16_t *silr_embeddings_row(const silr_embeddings *v, size_t i);

#endif
