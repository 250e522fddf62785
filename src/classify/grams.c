/* grams.c - from bytes to words to hashed n-grams.
 *
 * A word is a longest run of letters, digits and marks (Unicode L*, N*, M*); everything else
 * separates, apostrophes too, so that "don't" is "don", "t" and the 2-gram "don t" says what the
 * contraction says. One letter is a word. Scripts that write no spaces (Han, kana) give one word a
 * character: their word 2-grams are then what others call character 2-grams.
 *
 * Nearly all bytes of most corpora are ASCII, and the speed of the whole classifier is the speed of
 * this loop: a table tells, for a byte, its lower-case form or 0 for a separator. Only other bytes
 * take the road through utf8proc. */
#include "classify/grams.h"

#include <string.h>
#include <utf8proc.h>

enum { WORD_SEED = 1, CHAR_SEED = 2 };

/* The longest text that is looked at; 32-bit offsets hold its lower-cased form. */
static const size_t MAX_TEXT = (size_t)1 << 30;

void silr_grams_clear(silr_grams *t)
{
    silr_free(t->text);
    silr_free(t->word);
    silr_free(t->bucket);
    silr_free(t->spare);
    *t = (silr_grams){0};
}

/* --- words ------------------------------------------------------------------------------- */

static inline char ascii_word(unsigned char b, bool lowercase)
{
    if ((b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'))
        return (char)b;
    if (b >= 'A' && b <= 'Z')
        return (char)(lowercase ? b + 32 : b);
    return 0;
}

static bool is_word_char(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

/* Scripts without spaces between words: each character is a word of its own. */
static bool stands_alone(utf8proc_int32_t c)
{
    return (c >= 0x3041 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

typedef struct {
    silr_grams *t;
    char *out;
    bool inside;
} writer;

static inline bool begin_word(writer *w)
{
    silr_grams *t = w->t;

    if (t->n_words + 2 > t->word_cap &&
        !silr_grow(&t->word, &t->word_cap, t->n_words + 2, sizeof *t->word))
        return false;
    t->word[t->n_words++] = (uint32_t)(w->out - t->text);
    w->inside = true;
    return true;
}

static inline void end_word(writer *w)
{
    if (w->inside)
        *w->out++ = ' ';
    w->inside = false;
}

/* One character that is not ASCII; *used: its bytes. A byte that is not UTF-8 separates. */
static bool other_char(writer *w, const char *s, size_t len, bool lowercase, size_t *used)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s,
                                          (utf8proc_ssize_t)(len < 4 ? len : 4), &c);
    bool alone;

    *used = n > 0 ? (size_t)n : 1;
    if (n <= 0 || !is_word_char(c)) {
        end_word(w);
        return true;
    }
    alone = stands_alone(c);
    if (alone)
        end_word(w);
    if (!w->inside && !begin_word(w))
        return false;
    w->out += utf8proc_encode_char(lowercase ? utf8proc_tolower(c) : c, (utf8proc_uint8_t *)w->out);
    if (alone)
        end_word(w);
    return true;
}

bool silr_grams_split(silr_grams *t, const char *text, size_t len, bool lowercase)
{
    writer w = {.t = t};
    char lower[128];

    if (len > MAX_TEXT)
        len = MAX_TEXT;
    /* lower-casing makes 3 bytes of 2 at worst; a space follows each word */
    if (!silr_grow(&t->text, &t->cap, 2 * len + 16, 1))
        return false;
    if (!silr_grow(&t->word, &t->word_cap, 2, sizeof *t->word))
        return false;
    for (unsigned b = 0; b < 128; b++)
        lower[b] = ascii_word((unsigned char)b, lowercase);
    t->n_words = 0;
    t->text[0] = ' ';
    w.out = t->text + 1;
    for (size_t i = 0; i < len;) {
        unsigned char b = (unsigned char)text[i];
        size_t used = 1;
        if (b >= 128) {
            if (!other_char(&w, text + i, len - i, lowercase, &used))
                return false;
        } else if (lower[b] == 0) {
            end_word(&w);
        } else {
            if (!w.inside && !begin_word(&w))
                return false;
            *w.out++ = lower[b];
        }
        i += used;
    }
    end_word(&w);
    t->len = (size_t)(w.out - t->text);
    t->word[t->n_words] = (uint32_t)t->len;
    return true;
}

/* --- n-grams ----------------------------------------------------------------------------- */

static inline void visit_span(const silr_grams *t, const silr_ngram_opts *o, size_t at, size_t end,
                              uint64_t seed, silr_ngram_visit visit, void *ctx)
{
    silr_ngram g = {.at = (uint32_t)at, .len = (uint32_t)(end - at),
                    .chars = seed == CHAR_SEED};

    g.bucket = (uint32_t)(silr_hash64(t->text + at, end - at, seed) >> (64 - o->bits));
    visit(ctx, &g);
}

static inline void each_word_gram(const silr_grams *t, const silr_ngram_opts *o, size_t i,
                                  silr_ngram_visit visit, void *ctx)
{
    for (int n = o->word_min; n <= o->word_max; n++) {
        size_t last = i + (size_t)n; /* one behind */
        if (last > t->n_words)
            break;
        visit_span(t, o, t->word[i], t->word[last] - 1, WORD_SEED, visit, ctx);
    }
}

static inline size_t next_char(const silr_grams *t, size_t at)
{
    do
        at++;
    while (((unsigned char)t->text[at] & 0xc0) == 0x80);
    return at;
}

/* Character n-grams of " word ": they do not cross words, the spaces mark begin and end. */
static inline void each_char_gram(const silr_grams *t, const silr_ngram_opts *o, size_t i,
                                  silr_ngram_visit visit, void *ctx)
{
    size_t end = t->word[i + 1]; /* one behind the space that follows the word */

    for (size_t at = t->word[i] - 1; at + 1 < end; at = next_char(t, at)) {
        size_t stop = at;
        for (int n = 1; n <= o->char_max && stop < end; n++) {
            stop = stop + 1 < end ? next_char(t, stop) : end;
            if (n >= o->char_min)
                visit_span(t, o, at, stop, CHAR_SEED, visit, ctx);
        }
    }
}

static inline void each_gram(const silr_grams *t, const silr_ngram_opts *o, silr_ngram_visit visit,
                             void *ctx)
{
    for (size_t i = 0; i < t->n_words; i++) {
        if (o->word_max > 0)
            each_word_gram(t, o, i, visit, ctx);
        if (o->char_max > 0)
            each_char_gram(t, o, i, visit, ctx);
    }
}

void silr_grams_each(const silr_grams *t, const silr_ngram_opts *o, silr_ngram_visit visit,
                      void *ctx)
{
    each_gram(t, o, visit, ctx);
}

/* --- counting ---------------------------------------------------------------------------- */

static void add_bucket(void *ctx, const silr_ngram *g)
{
    silr_grams *t = ctx;

    t->bucket[t->n++] = g->bucket;
}

/* Sorts short lists by insertion, long ones by three passes over their bytes. */
static void sort_buckets(uint32_t *v, uint32_t *spare, size_t n)
{
    if (n < 40) {
        for (size_t i = 1; i < n; i++) {
            uint32_t x = v[i];
            size_t j = i;
            for (; j > 0 && v[j - 1] > x; j--)
                v[j] = v[j - 1];
            v[j] = x;
        }
        return;
    }
    for (int shift = 0; shift < SILR_NGRAM_BITS; shift += 8) {
        size_t start[257] = {0};
        for (size_t i = 0; i < n; i++)
            start[((v[i] >> shift) & 255) + 1]++;
        for (int b = 0; b < 256; b++)
            start[b + 1] += start[b];
        for (size_t i = 0; i < n; i++)
            spare[start[(v[i] >> shift) & 255]++] = v[i];
        memcpy(v, spare, n * sizeof *v);
    }
}

bool silr_grams_count(silr_grams *t, const silr_ngram_opts *o, const char *text, size_t len)
{
    size_t most, unique = 0;

    t->n = 0;
    if (!silr_grams_split(t, text, len, o->lowercase))
        return false;
    most = (o->word_max > 0 ? t->n_words * (size_t)(o->word_max - o->word_min + 1) : 0) +
           (o->char_max > 0 ? t->len * (size_t)(o->char_max - o->char_min + 1) : 0);
    if (!silr_grow(&t->bucket, &t->bucket_cap, most + 1, sizeof *t->bucket) ||
        !silr_grow(&t->spare, &t->spare_cap, most + 1, sizeof *t->spare))
        return false;
    each_gram(t, o, add_bucket, t);
    sort_buckets(t->bucket, t->spare, t->n);
    for (size_t i = 0; i < t->n;) {
        size_t j = i + 1;
        while (j < t->n && t->bucket[j] == t->bucket[i])
            j++;
        t->bucket[unique++] = t->bucket[i] << 8 | (uint32_t)(j - i < 255 ? j - i : 255);
        i = j;
    }
    t->n = unique;
    return true;
}
