/* inside.h - what the files of tokenizer/ share.
 *
 * A text goes through these stations, each a file:
 *
 *     added.c    words of added tokens are taken out
 *     normal.c   the rest is normalised: case, accents, forms, replacements
 *     added.c    words of added tokens that are sought in normalised text
 *     split.c    the rest is split into words, by hand (scan.c) or under PCRE2 (regex.c)
 *     bpe.c, spm.c, unigram.c, wordpiece.c   a word becomes ids
 *     encode.c   drives this, and puts the frame round it
 *
 * json.c (with parts.c) and ggml.c fill a silr_tokenizer in; nothing changes it afterwards, but for
 * the notes that bpe.c takes (atomic, and the same whoever takes them). */
#ifndef SILR_TOKENIZER_INSIDE_H
#define SILR_TOKENIZER_INSIDE_H

#include "tokenizer/chars.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/trie.h"
#include <stdatomic.h>

#define SILR_TOK_SPACE "\xe2\x96\x81" /* U+2581, which SentencePiece writes for a space */
enum { SILR_TOK_NONE = UINT32_MAX };

/* --- the vocabulary -------------------------------------------------------------------------- */

enum {
    TOKEN_HERE = 1,     /* the id is in use */
    TOKEN_SPECIAL = 2,  /* never comes from text */
    TOKEN_ADDED = 4,    /* sought in the text before all else */
    TOKEN_BYTE = 8,     /* <0xXX> */
    TOKEN_UNKNOWN = 16, /* what stands for what the vocabulary lacks */
    TOKEN_MODEL = 32    /* the model can make it from text */
};
typedef struct {
    const char *name;  /* as in the file */
    const char *piece; /* the bytes that it stands for */
    const char *key;   /* what the model finds it by; NULL: not at all */
    uint32_t name_len, piece_len, key_len;
    uint32_t flags;
    double score;
} silr_token;

/* Which token has these bytes as its key, or as its name? Open addressing. Of equals the lowest id
 * stays. */
typedef struct {
    uint32_t id;  /* SILR_TOK_NONE: empty */
    uint32_t tag; /* more of the hash */
} silr_tok_slot;
typedef struct {
    silr_tok_slot *slot;
    size_t mask; /* 0: empty */
    bool names;
} silr_tok_map;
silr_status silr_tok_map_build(silr_tok_map *m, const silr_token *token, size_t n, bool names,
                               silr_error *err);
uint32_t silr_tok_map_find(const silr_tok_map *m, const silr_token *token, const char *s,
                           size_t len);

/* --- patterns (regex.c, scan.c) --------------------------------------------------------------- */

typedef struct silr_tok_regex silr_tok_regex;
typedef struct silr_tok_matcher silr_tok_matcher;
silr_status silr_tok_regex_new(silr_tok_regex **out, const char *pattern, size_t len,
                               const char *where, silr_error *err);
void silr_tok_regex_free(silr_tok_regex *r);
void silr_tok_matcher_free(silr_tok_matcher *m);
/* The first match in s from `at`: *from = *to = len + 1 when there is none. *m is made when needed.
 */
silr_status silr_tok_regex_find(const silr_tok_regex *r, silr_tok_matcher **m, const char *s,
                                size_t len, size_t at, size_t *from, size_t *to, silr_error *err);

/* Where the match that begins at s + at ends; these patterns match everywhere. at < len. */
typedef size_t silr_tok_scan(const char *s, size_t len, size_t at);
/* The scanner that does what a pattern says; NULL: there is none. */
silr_tok_scan *silr_tok_scanner(const char *pattern, size_t len);
silr_tok_scan silr_tok_scan_gpt2, silr_tok_scan_llama3, silr_tok_scan_qwen2;

/* --- steps of a pipeline ---------------------------------------------------------------------- */

typedef enum {
    NORMAL_NFC,
    NORMAL_NFD,
    NORMAL_NFKC,
    NORMAL_NFKD,
    NORMAL_LOWER,
    NORMAL_STRIP_ACCENTS,
    NORMAL_BERT,
    NORMAL_REPLACE,
    NORMAL_PREPEND,
    NORMAL_CHARSMAP,
    NORMAL_STRIP,
    NORMAL_NMT,
    NORMAL_SPACES /* SentencePiece: runs of spaces become one, none at the ends */
} silr_normal_kind;
typedef struct {
    const uint32_t *unit; /* the double array, as darts-clone lays it out */
    size_t units;
    const char *text; /* replacements, each ended by NUL */
    size_t text_len;
    void *memory;
} silr_charsmap;
typedef struct {
    silr_normal_kind kind;
    bool clean, chinese, accents, lower; /* BERT; STRIP: clean is left, chinese right */
    bool whole; /* CHARSMAP: a cluster of characters at a time, as the tokenizers library does it */
    const char *from, *to; /* REPLACE, PREPEND (to) */
    size_t from_len, to_len;
    silr_tok_regex *regex; /* REPLACE */
    silr_charsmap map;
} silr_normal;

typedef enum {
    SPLIT_BYTES, /* the rest of a byte-level pipeline; must be last */
    SPLIT_PATTERN,
    SPLIT_STRING,
    SPLIT_SCAN,
    SPLIT_DIGITS,
    SPLIT_DIGIT,
    SPLIT_SPACE,
    SPLIT_WORDS,
    SPLIT_PUNCT,
    SPLIT_METASPACE
} silr_split_kind;
typedef enum { CUT_ISOLATED, CUT_REMOVED, CUT_PREVIOUS, CUT_NEXT, CUT_CONTIGUOUS } silr_cut;
typedef enum { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS } silr_prefix;
typedef struct {
    silr_split_kind kind;
    silr_cut cut;
    bool invert, split; /* METASPACE: split at the replacement */
    silr_prefix prefix; /* BYTES, METASPACE */
    const char *string;
    size_t string_len;
    silr_tok_regex *regex;
    silr_tok_scan *scan;
} silr_split;

/* --- added tokens ----------------------------------------------------------------------------- */

typedef struct {
    uint32_t id;
    bool special, lstrip, rstrip, single_word;
    bool normalized; /* sought in normalised text */
    const char *text;
    size_t len;
} silr_added;
/* Tries over the added tokens by where they are sought, with and without the special ones; values
 * are indices into t->added. */
typedef struct {
    silr_trie plain, all;
} silr_added_set;
typedef struct {
    size_t from, to;         /* of the match, stripped spaces included */
    const silr_added *token; /* NULL: none */
} silr_added_match;
silr_added_match silr_added_find(const silr_tokenizer *t, const silr_added_set *set, bool trusted,
                                 const char *s, size_t len, size_t at);

/* --- the tokenizer ---------------------------------------------------------------------------- */

typedef enum { MODEL_BPE, MODEL_SPM, MODEL_UNIGRAM, MODEL_WORDPIECE } silr_model_kind;
typedef struct {
    uint64_t pair;     /* left id << 32 | right id; UINT64_MAX: empty */
    uint32_t rank, id; /* UINT32_MAX: not to be made */
} silr_merge;
typedef enum {
    DECODE_PLAIN,
    DECODE_SPACES /* U+2581 is a space */,
    DECODE_WORDPIECE
} silr_decode_kind;

typedef struct {
    silr_talk kind;
    bool bos;     /* the conversation begins with it */
    char *system; /* a system turn where there is none, "" for an empty one; NULL: none */
    size_t system_len;
    const char *preamble; /* LLAMA3: in front of every system text */
    /* MISTRAL: spaces in front of and behind [INST], in front of [/INST], of an answer; the
     * answer's own spaces go; [SYSTEM_PROMPT] */
    bool lead, trail, close, answer, trim, marked_system;
} silr_talk_style;

struct silr_tokenizer {
    char *name;
    silr_arena arena; /* names, pieces, keys */
    silr_token *token;
    size_t n, token_cap;

    silr_normal *normal;
    size_t n_normal, normal_cap;
    silr_split *split;
    size_t n_split, split_cap;
    silr_added *added;
    size_t n_added, added_cap;
    silr_added_set raw, normalized;
    uint32_t *before, *after; /* the frame */
    size_t n_before, before_cap, n_after, after_cap;

    silr_model_kind model;
    uint32_t unknown;   /* SILR_TOK_NONE: none */
    uint32_t byte[256]; /* ids of byte tokens; byte-level: of one byte */
    bool byte_level, byte_fallback, fuse_unknown, ignore_merges;
    silr_tok_map map, names;
    silr_merge *merge;
    size_t merge_mask;
    atomic_uchar
        *whole; /* BPE: does the token come of its own bytes? 0: not known yet, 1: yes, 2: no */
    silr_trie words, inner; /* UNIGRAM; WORDPIECE: at the start and inside of a word */
    char *inner_prefix;     /* WORDPIECE: "##" */
    size_t max_chars;       /* WORDPIECE: longer words are unknown */
    double unknown_score;   /* UNIGRAM */

    silr_decode_kind decode;
    bool decode_strip; /* the first space goes */
    bool decode_cleanup;
    int64_t bos, eos;
    bool *ends;
    char *template; /* of conversations, as the file has it; NULL: none */
    silr_talk_style talk;
};

/* --- what one encoding needs -------------------------------------------------------------------
 */

typedef struct {
    size_t from, to;
    bool first; /* begins where the whole text does */
} silr_span;
typedef struct {
    double score;
    uint32_t id, from;
} silr_best;
typedef struct {
    silr_buf clean, text, other, split[2];
    silr_span *span, *next;
    size_t n, span_cap, n_next, next_cap;
    uint32_t *id, *rank; /* BPE, SPM: of symbol i; the priority of joining it with the next */
    uint32_t *left, *right, *at, *size;
    uint64_t *heap;
    size_t n_heap, id_cap, rank_cap, left_cap, right_cap, at_cap, size_cap, heap_cap;
    silr_best *best;
    size_t best_cap;
    int32_t *chars; /* decomposed characters */
    size_t chars_cap;
    silr_tok_matcher *matcher;
    bool trusted, first, continues; /* continues: no space is put in front */
    size_t limit;                   /* enough ids */
    size_t most;                    /* bytes of normalised text */
} silr_work;
void silr_work_clear(silr_work *w);

/* Normalises s into w->text, or leaves it: *out is where the result lies. */
silr_status silr_tok_normalise(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                               bool prefix, const char **out, size_t *out_len, silr_error *err);
void silr_normal_clear(silr_normal *n);
/* Reads a charsmap, as SentencePiece writes it; takes a copy. */
silr_status silr_charsmap_read(silr_charsmap *m, const void *bytes, size_t len, const char *where,
                               silr_error *err);
/* The replacement of what s begins with, and how much of s it stands for; NULL: none. */
const char *silr_charsmap_find(const silr_charsmap *m, const char *s, size_t len, bool shortest,
                               size_t *used, size_t *out_len);

/* Splits s into w->span over *text (s itself, or one of w->split). */
silr_status silr_tok_split(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                           bool first, const char **text, silr_error *err);

silr_status silr_tok_bpe(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         silr_tokens *out, silr_error *err);
silr_status silr_tok_spm(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         silr_tokens *out, silr_error *err);
silr_status silr_tok_unigram(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                             silr_tokens *out, silr_error *err);
silr_status silr_tok_wordpiece(const silr_tokenizer *t, const char *s, size_t len, silr_tokens *out,
                               silr_error *err);
/* The byte tokens of s, or the unknown one, or nothing; true when no memory lacked. */
silr_status silr_tok_bytes(const silr_tokenizer *t, const char *s, size_t len, silr_tokens *out,
                           silr_error *err);
static inline silr_status silr_tok_emit(silr_tokens *out, uint32_t id, silr_error *err)
{
    if (out->n == out->cap)
        return silr_tokens_add(out, id, err);
    out->id[out->n++] = id;
    return SILR_OK;
}

/* A heap of numbers, the least first (heap.c). */
bool silr_heap_push(silr_work *w, uint64_t v);
uint64_t silr_heap_pop(silr_work *w);
/* Room for n symbols in w's arrays. */
bool silr_symbols(silr_work *w, size_t n);

/* Encodes without frame or limit; `first`: s begins the whole text; `continues`: s goes on from
 * text that was encoded before, so that no space is put in front. */
silr_status silr_tok_run(const silr_tokenizer *t, const char *s, size_t len, bool trusted,
                         bool first, bool continues, silr_tokens *out, silr_error *err);

/* --- making a tokenizer (build.c) ----------------------------------------------------------------
 */

silr_status silr_tok_new(silr_tokenizer **out, const char *name, silr_error *err);
/* Room for ids below n. */
silr_status silr_tok_room(silr_tokenizer *t, size_t n, silr_error *err);
/* Puts a token in its place; SILR_EINPUT: the id is taken by another. */
silr_status silr_tok_put_token(silr_tokenizer *t, size_t id, const char *name, size_t len,
                               uint32_t flags, double score, silr_error *err);
silr_status silr_tok_add_normal(silr_tokenizer *t, silr_normal step, silr_error *err);
silr_status silr_tok_add_split(silr_tokenizer *t, silr_split step, silr_error *err);
silr_status silr_tok_add_added(silr_tokenizer *t, silr_added a, silr_error *err);
/* Left and right make id (SILR_TOK_NONE: nothing); the rank is the place in the list. */
typedef struct {
    uint32_t left, right, id;
} silr_merge_rule;
silr_status silr_tok_merges(silr_tokenizer *t, const silr_merge_rule *rule, size_t n,
                            bool last_wins, silr_error *err);
/* The table of names, when all tokens are there. */
silr_status silr_tok_index(silr_tokenizer *t, silr_error *err);
/* Works out pieces, keys and tables, when tokens, steps and added tokens are there. */
silr_status silr_tok_finish(silr_tokenizer *t, silr_error *err);
/* The character that a byte-level vocabulary writes for a byte, and back; -1: none. */
uint32_t silr_tok_byte_char(unsigned char byte);
int silr_tok_char_byte(uint32_t c);
uint32_t silr_tok_by_name(const silr_tokenizer *t, const char *name, size_t len);

/* --- reading ------------------------------------------------------------------------------------
 */

struct json_t;
silr_status silr_tok_read_normalizer(silr_tokenizer *t, const struct json_t *j, silr_error *err);
silr_status silr_tok_read_splits(silr_tokenizer *t, const struct json_t *j, silr_error *err);
silr_status silr_tok_read_frame(silr_tokenizer *t, const struct json_t *j, silr_error *err);
silr_status silr_tok_read_model(silr_tokenizer *t, const struct json_t *j, silr_error *err);

struct silr_gguf;
silr_status silr_tok_from_gguf(silr_tokenizer **out, const struct silr_gguf *g, const char *name,
                               silr_error *err);
/* The splits that tokenizer.ggml.pre names; *add_bos: such vocabularies put BOS in front of a text.
 */
silr_status silr_tok_read_pre(silr_tokenizer *t, const char *pre, size_t len, bool *add_bos,
                              silr_error *err);

/* Recognises the template, sets t->talk. */
silr_status silr_tok_recognise(silr_tokenizer *t, silr_error *err);

#endif
