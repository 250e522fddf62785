/* grams.h - a text as words and n-grams; known inside classify/ only.
 *
 * The words of a text are written, lower-cased, into one buffer with a single space before and
 * behind each: " the film is fine ". Every n-gram is then a span of that buffer: words 2..3 are
 * "film is", the character 4-grams of "film" are " fil", "film", "ilm ". So hashing needs no
 * joining, and an explanation can print an n-gram as it stands. */
#ifndef SILR_CLASSIFY_GRAMS_H
#define SILR_CLASSIFY_GRAMS_H

#include "base/base.h"
#include "task/task.h"

/* Which n-grams, and how they are weighed. */
typedef struct {
    int word_min, word_max, char_min, char_max; /* max 0: none of that sort */
    int bits;                                   /* buckets: 2^bits, at most SILR_NGRAM_BITS */
    bool lowercase;
    silr_term_weight weight;
    uint32_t min_count;
} silr_ngram_opts;

enum { SILR_NGRAM_BITS = 24, SILR_NGRAM_LONGEST = 16 }; /* longest n */

/* The n-grams of one text, in the order in which they end up in the buffer. */
typedef struct {
    uint32_t bucket;    /* top `bits` bits of the hash */
    uint32_t at, len;   /* span in silr_grams.text */
    bool chars;         /* of characters, not of words */
} silr_ngram;

/* Working memory for one thread; zero to begin with, silr_grams_clear in the end. */
typedef struct {
    char *text;
    size_t len, cap;
    uint32_t *word; /* where word i begins; word[n_words] = len: the end */
    size_t n_words, word_cap;
    uint32_t *bucket, *spare; /* one entry an n-gram; sorted and counted in place */
    size_t n, bucket_cap, spare_cap;
} silr_grams;
void silr_grams_clear(silr_grams *t);

/* Cuts a text into words. false: no memory. */
bool silr_grams_split(silr_grams *t, const char *text, size_t len, bool lowercase);

/* Calls visit for each n-gram of the words; for explanations. */
typedef void (*silr_ngram_visit)(void *ctx, const silr_ngram *g);
void silr_grams_each(const silr_grams *t, const silr_ngram_opts *o, silr_ngram_visit visit,
                      void *ctx);

/* Splits, hashes, sorts and counts: t->bucket[0..n) = bucket << 8 | times, ascending, times at
 * most 255. false: no memory. */
bool silr_grams_count(silr_grams *t, const silr_ngram_opts *o, const char *text, size_t len);

#endif
