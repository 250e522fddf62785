/* matrix.h - the features of a whole corpus, kept compactly; known inside classify/ only.
 *
 * Row i is a text, column j an n-gram bucket that at least min_count texts have. An entry is one
 * 32-bit word: column << 8 | times (at most 255). The value of an entry is
 *
 *     SILR_NGRAM_SCALE * tf(times) * idf[column] * inverse[i]
 *
 * where inverse[i] makes the row's length 1:  tfidf: tf = 1 + ln t, idf = ln((1+n)/(1+df)) + 1;
 * logcount: tf = ln(1 + t), idf = 1;  binary: both 1. */
#ifndef SILR_CLASSIFY_MATRIX_H
#define SILR_CLASSIFY_MATRIX_H

#include "classify/grams.h"

/* The length of every row. Adam's steps are of one size whatever the gradient's, so this length
 * says how far one step moves a score: about lr * SCALE * sqrt(entries) where all agree. */
#ifndef SILR_NGRAM_SCALE
#define SILR_NGRAM_SCALE 1.0
#endif

/* Which buckets are columns: a bitmap, and how many bits are set before each word of it. Columns
 * are numbered in the order of the buckets. */
typedef struct {
    uint64_t *bit;
    uint32_t *before;
    size_t words, d;
} silr_vocab;
silr_status silr_vocab_init(silr_vocab *v, int bits, silr_error *err);
void silr_vocab_clear(silr_vocab *v);
void silr_vocab_number(silr_vocab *v); /* after the bits are set: fills before, d */
static inline void silr_vocab_add(silr_vocab *v, uint32_t bucket)
{
    v->bit[bucket >> 6] |= (uint64_t)1 << (bucket & 63);
}
#define SILR_NO_COLUMN UINT32_MAX
static inline uint32_t silr_vocab_find(const silr_vocab *v, uint32_t bucket)
{
    const uint64_t word = v->bit[bucket >> 6], mask = (uint64_t)1 << (bucket & 63);

    if (!(word & mask))
        return SILR_NO_COLUMN;
    return v->before[bucket >> 6] + (uint32_t)__builtin_popcountll(word & (mask - 1));
}

enum { SILR_MATRIX_BLOCK = 128 }; /* texts a block: what one thread does at a time */

typedef struct {
    silr_ngram_opts opts;
    silr_vocab vocab;
    size_t n, d, n_blocks, longest; /* longest row */
    uint32_t **block;  /* [n_blocks] entries */
    size_t *start;     /* [n_blocks * (BLOCK + 1)] where row r of block b begins, in its block */
    float *inverse;    /* [n] */
    float *idf;        /* [d] */
    float tf[256];
} silr_matrix;

/* How to get text i. */
typedef const char *(*silr_text_get)(const void *ctx, size_t i, size_t *len);

/* SILR_ENOMEM, SILR_ECANCEL. On failure *m is empty. */
silr_status silr_matrix_init(silr_matrix *m, const silr_ngram_opts *o, silr_text_get get,
                             const void *ctx, size_t n, silr_error *err);
void silr_matrix_clear(silr_matrix *m);
void silr_tf_table(float tf[256], silr_term_weight weight);

/* Row i: its entries. */
static inline const uint32_t *silr_matrix_row(const silr_matrix *m, size_t i, size_t *n)
{
    const size_t b = i / SILR_MATRIX_BLOCK, r = i % SILR_MATRIX_BLOCK;
    const size_t *start = m->start + b * (SILR_MATRIX_BLOCK + 1) + r;

    *n = start[1] - start[0];
    return m->block[b] + start[0];
}

/* Entries as columns and values. */
static inline void silr_matrix_decode(const silr_matrix *m, size_t i, const uint32_t *entry,
                                      size_t n, uint32_t *idx, float *val)
{
    const float inverse = m->inverse[i];

    for (size_t e = 0; e < n; e++) {
        const uint32_t j = entry[e] >> 8;
        idx[e] = j;
        val[e] = m->tf[entry[e] & 255] * m->idf[j] * inverse;
    }
}

/* --- a batch: some rows, laid out for many passes ------------------------------------------- */

typedef struct {
    size_t n, entries;
    uint32_t *docs;
    size_t *row;      /* [n + 1] by text */
    uint32_t *idx;
    float *val;
    bool columns;     /* whether the following is there: */
    size_t *col;      /* [d + 1] by feature, texts ascending */
    uint32_t *text;   /* position in the batch */
    float *tval;
    size_t cap_n, cap_e, cap_te, cap_d;
} silr_batch;
/* columns: also by feature. Nothing is done when b holds these docs already. */
silr_status silr_batch_make(silr_batch *b, const silr_matrix *m, const uint32_t *docs, size_t n,
                            bool columns, silr_error *err);
bool silr_batch_holds(const silr_batch *b, const uint32_t *docs, size_t n);
void silr_batch_clear(silr_batch *b);

#endif
