/* lexicon.c - a list of words with scores, such as those for sentiment.
 *
 * A line is word<TAB>score; further columns are ignored, as are empty lines and lines without a
 * tab that begin with #. The score of a text is the sum over its words. A word is a longest run of
 * letters, marks and digits, in which an apostrophe may stand (don't), each character in lower
 * case; the words of the file are lowered in the same way.
 *
 * The words lie in one open-addressed hash table, at most half full. */
#include "annotate/internal.h"
#include <string.h>
#include <utf8proc.h>

enum { MAX_BYTES = 64 << 20 };

typedef struct {
    const char *word; /* in the arena; NULL: free */
    size_t len;
    double score;
    size_t line;
} entry;

struct silr_lexicon {
    silr_arena words;
    entry *slots;
    size_t n, size; /* size: a power of two */
};

/* The slot of the word, or the free one where it would stand. */
static entry *slot_of(const entry *slots, size_t size, const char *word, size_t len)
{
    size_t i = silr_hash64(word, len, 0) & (size - 1);

    while (slots[i].word && (slots[i].len != len || memcmp(slots[i].word, word, len) != 0))
        i = (i + 1) & (size - 1);
    return (entry *)&slots[i];
}

static bool make_room(silr_lexicon *l)
{
    size_t size = l->size ? l->size * 2 : 1024;
    entry *slots;

    if (l->n * 2 < l->size)
        return true;
    if (!(slots = silr_calloc(size, sizeof *slots)))
        return false;
    for (size_t i = 0; i < l->size; i++)
        if (l->slots[i].word)
            *slot_of(slots, size, l->slots[i].word, l->slots[i].len) = l->slots[i];
    silr_free(l->slots);
    l->slots = slots;
    l->size = size;
    return true;
}

static void add_char(silr_buf *b, utf8proc_int32_t c)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(utf8proc_tolower(c), bytes);
    silr_buf_add(b, bytes, n > 0 ? (size_t)n : 0);
}

static bool is_word_char(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

/* The character at `at`, and where the next begins; a bad byte is a character of no word. */
static utf8proc_int32_t char_at(const char *text, size_t len, size_t at, size_t *next)
{
    utf8proc_int32_t c = -1;
    size_t left = len - at;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                          (utf8proc_ssize_t)(left < 4 ? left : 4), &c);

    *next = at + (n > 0 ? (size_t)n : 1);
    return n > 0 ? c : -1;
}

/* The next word at or after *at, lowered, into `word`; false: no more. */
static bool next_word(const char *text, size_t len, size_t *at, silr_buf *word)
{
    silr_buf_reset(word);
    while (*at < len) {
        size_t next, after;
        utf8proc_int32_t c = char_at(text, len, *at, &next);
        bool inside = c >= 0 && is_word_char(c);
        if (!inside && word->len > 0 && (c == '\'' || c == 0x2019) && next < len) {
            utf8proc_int32_t then = char_at(text, len, next, &after);
            inside = then >= 0 && is_word_char(then);
            c = '\'';
        }
        if (!inside && word->len > 0)
            return true;
        *at = next;
        if (inside)
            add_char(word, c);
    }
    return word->len > 0;
}

static silr_status add_entry(silr_lexicon *l, const silr_buf *word, double score, size_t line,
                             const char *name, silr_error *err)
{
    entry *e;

    if (!make_room(l))
        return silr_fail_memory(err);
    e = slot_of(l->slots, l->size, word->data, word->len);
    if (e->word)
        return e->score <= score && e->score >= score
                   ? SILR_OK
                   : silr_fail(err, SILR_EINPUT, "%s:%zu: \"%.100s\" has another score on line %zu",
                               name, line, word->data, e->line);
    if (!(e->word = silr_arena_strndup(&l->words, word->data, word->len)))
        return silr_fail_memory(err);
    e->len = word->len;
    e->score = score;
    e->line = line;
    l->n++;
    return SILR_OK;
}

/* Lowers the whole entry: what is no word (an emoticon, a phrase) is kept, and never found. */
static void lower(silr_buf *out, const char *text, size_t len)
{
    silr_buf_reset(out);
    for (size_t at = 0, next; at < len; at = next) {
        utf8proc_int32_t c = char_at(text, len, at, &next);
        add_char(out, c == 0x2019 ? '\'' : c < 0 ? 0xfffd : c);
    }
}

static silr_status read_line(silr_lexicon *l, const char *s, size_t len, size_t line,
                             const char *name, silr_buf *word, silr_error *err)
{
    const char *tab = memchr(s, '\t', len), *end;
    char number[40];
    double score;
    size_t n;

    if (len == 0 || (!tab && s[0] == '#'))
        return SILR_OK;
    if (!tab || tab == s)
        return silr_fail(err, SILR_EINPUT, "%s:%zu: expected a word, a tab and a score", name, line);
    end = memchr(tab + 1, '\t', (size_t)(s + len - tab - 1));
    n = (size_t)((end ? end : s + len) - tab - 1);
    if (n < sizeof number) {
        memcpy(number, tab + 1, n);
        number[n] = '\0';
    }
    if (n >= sizeof number || !silr_parse_double(number, &score))
        return silr_fail(err, SILR_EINPUT, "%s:%zu: \"%.*s\" is not a score: a number such as -1.5",
                         name, line, (int)(n < 40 ? n : 40), tab + 1);
    lower(word, s, (size_t)(tab - s));
    return word->failed ? silr_fail_memory(err) : add_entry(l, word, score, line, name, err);
}

silr_status silr_lexicon_parse(silr_lexicon **out, const char *bytes, size_t len, const char *name,
                               silr_error *err)
{
    silr_lexicon *l = silr_calloc(1, sizeof *l);
    silr_buf word = {0};
    silr_status st = l && make_room(l) ? SILR_OK : silr_fail_memory(err);
    size_t at = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    *out = NULL;
    for (size_t line = 1; st == SILR_OK && at < len; line++) {
        const char *s = bytes + at, *end = memchr(s, '\n', len - at);
        size_t n = end ? (size_t)(end - s) : len - at;
        at += n + 1;
        if (n > 0 && s[n - 1] == '\r')
            n--;
        st = read_line(l, s, n, line, name, &word, err);
    }
    if (st == SILR_OK && l->n == 0)
        st = silr_fail(err, SILR_EINPUT, "%s: holds no words; a line is a word, a tab and a score",
                       name);
    if (st == SILR_OK) {
        *out = l;
        l = NULL;
    }
    silr_lexicon_free(l);
    silr_buf_clear(&word);
    return st;
}

silr_status silr_lexicon_read(silr_lexicon **out, const char *path, silr_error *err)
{
    silr_buf bytes = {0};
    silr_status st = silr_file_read(&bytes, path, MAX_BYTES, err);

    *out = NULL;
    if (st == SILR_OK)
        st = silr_lexicon_parse(out, bytes.data, bytes.len, path, err);
    else
        silr_error_prefix(err, "annotator.lexicon");
    silr_buf_clear(&bytes);
    return st;
}

void silr_lexicon_free(silr_lexicon *l)
{
    if (!l)
        return;
    silr_arena_clear(&l->words);
    silr_free(l->slots);
    silr_free(l);
}

double silr_lexicon_score(const silr_lexicon *l, const char *text, size_t len, silr_buf *word)
{
    double sum = 0;

    for (size_t at = 0; !word->failed && next_word(text, len, &at, word);) {
        const entry *e = slot_of(l->slots, l->size, word->data, word->len);
        if (e->word)
            sum += e->score;
    }
    return sum;
}
