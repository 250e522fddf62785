/* wordpiece.c - the longest piece that a word begins with, then the longest that the rest does, ...
 *
 * Pieces inside of a word are written with a prefix ("##") in the vocabulary; two tries, one for
 * each place, find the longest in one walk. A word that cannot be finished is unknown as a whole.
 */
#include "tokenizer/inside.h"

silr_status silr_tok_wordpiece(const silr_tokenizer *t, const char *s, size_t len, silr_tokens *out,
                               silr_error *err)
{
    size_t begin = out->n, chars = 0;
    silr_status st = SILR_OK;

    if (len > t->max_chars)
        for (size_t i = 0; i < len; i += silr_tok_char_len(s + i))
            chars++;
    if (chars <= t->max_chars)
        for (size_t i = 0, n = 0; st == SILR_OK && i < len; i += n) {
            int32_t id = silr_trie_longest(i ? &t->inner : &t->words, s + i, len - i, &n);
            if (id == SILR_TRIE_NONE)
                goto unknown;
            st = silr_tok_emit(out, (uint32_t)id, err);
        }
    if (chars <= t->max_chars)
        return st;
unknown:
    out->n = begin;
    return t->unknown == SILR_TOK_NONE ? SILR_OK : silr_tok_emit(out, t->unknown, err);
}
