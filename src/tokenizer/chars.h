/* chars.h - characters of UTF-8 text, and the classes that pre-tokenizers speak of.
 *
 * All text behind silr_tok_repair is well-formed UTF-8, so reading a character needs no checks. */
#ifndef SILR_TOKENIZER_CHARS_H
#define SILR_TOKENIZER_CHARS_H

#include "base/base.h"

enum {
    CHAR_LETTER = 1,      /* \p{L} */
    CHAR_NUMBER = 2,      /* \p{N} */
    CHAR_SPACE = 4,       /* White_Space */
    CHAR_MARK = 8,        /* \p{M} */
    CHAR_NONSPACING = 16, /* \p{Mn} */
    CHAR_PUNCT = 32,      /* \p{P} */
    CHAR_OTHER = 64,      /* control, format, private use */
    CHAR_SYMBOL = 128,    /* \p{S} */
    CHAR_WORD = 256       /* \w: alphabetic, marks, decimal digits, connectors, joiners */
};

extern const uint16_t silr_tok_ascii[128];
unsigned silr_tok_class_of(uint32_t c); /* from 0x80 */
unsigned silr_tok_class_8(uint32_t c);  /* marks, punctuation and the like as Unicode 8 has them */
static inline unsigned silr_tok_class(uint32_t c)
{
    return c < 0x80 ? silr_tok_ascii[c] : silr_tok_class_of(c);
}

/* The character at s, which is well formed, and its length. */
static inline uint32_t silr_tok_char(const char *s, size_t *len)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *len = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *len = 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *len = 3;
        return (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    *len = 4;
    return (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}
static inline size_t silr_tok_char_len(const char *s)
{
    unsigned char c = (unsigned char)*s;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}
/* Where the character before s + at begins; at > 0. */
static inline size_t silr_tok_back(const char *s, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)s[at] & 0xc0) == 0x80);
    return at;
}
static inline unsigned silr_tok_class_at(const char *s, size_t *len)
{
    return silr_tok_class(silr_tok_char(s, len));
}

void silr_tok_put(silr_buf *b, uint32_t c); /* adds c as UTF-8 */
bool silr_tok_is_ascii(const char *s, size_t len);
bool silr_tok_is_utf8(const char *s, size_t len);
/* Adds s; every maximal part that could have begun a character becomes one U+FFFD, which is what
 * the peers see after decoding with replacement. */
void silr_tok_repair(silr_buf *out, const char *s, size_t len);

#endif
