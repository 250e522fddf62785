/* spm.c - SentencePiece's byte pair encoding by scores, as vocabularies in GGUF files have it.
 *
 * Begin with characters. Join the two neighbours whose joint text is the token with the highest
 * score, the leftmost of equals, until no two neighbours make a token. What is no token then is
 * written in byte tokens. */
#include "tokenizer/inside.h"
#include <string.h>

/* Higher scores first: the bits of a float, in an order that numbers have, turned round. */
static uint32_t priority(double score)
{
    float f = (float)score;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    bits = ~bits;
    return bits == UINT32_MAX ? bits - 1 : bits;
}

static bool offer(const silr_tokenizer *t, silr_work *w, const char *s, uint32_t i)
{
    uint32_t next = w->right[i], id;

    w->rank[i] = UINT32_MAX;
    if (next == UINT32_MAX)
        return true;
    id = silr_tok_map_find(&t->map, t->token, s + w->at[i], w->size[i] + w->size[next]);
    if (id == SILR_TOK_NONE)
        return true;
    w->rank[i] = priority(t->token[id].score);
    return silr_heap_push(w, (uint64_t)w->rank[i] << 32 | i);
}

static size_t characters(silr_work *w, const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i += w->size[n++]) {
        w->at[n] = (uint32_t)i;
        w->size[n] = (uint32_t)silr_tok_char_len(s + i);
        w->left[n] = n ? (uint32_t)n - 1 : UINT32_MAX;
        w->right[n] = (uint32_t)n + 1;
    }
    w->right[n - 1] = UINT32_MAX;
    return n;
}

static bool merge(const silr_tokenizer *t, silr_work *w, const char *s, size_t n)
{
    w->n_heap = 0;
    for (size_t i = 0; i < n; i++)
        if (!offer(t, w, s, (uint32_t)i))
            return false;
    while (w->n_heap > 0) {
        uint64_t top = silr_heap_pop(w);
        uint32_t i = (uint32_t)top, next = w->right[i];
        if (w->rank[i] != top >> 32)
            continue;
        w->size[i] += w->size[next];
        w->right[i] = w->right[next];
        w->rank[next] = UINT32_MAX;
        if (w->right[i] != UINT32_MAX)
            w->left[w->right[i]] = i;
        if (!offer(t, w, s, i) || (w->left[i] != UINT32_MAX && !offer(t, w, s, w->left[i])))
            return false;
    }
    return true;
}

silr_status silr_tok_bytes(const silr_tokenizer *t, const char *s, size_t len, silr_tokens *out,
                           silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < len; i++) {
        uint32_t id = t->byte[(unsigned char)s[i]];
        if (id != SILR_TOK_NONE)
            st = silr_tok_emit(out, id, err);
        else if (t->unknown != SILR_TOK_NONE)
            return silr_tok_emit(out, t->unknown, err);
    }
    return st;
}

silr_status silr_tok_spm(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         silr_tokens *out, silr_error *err)
{
    silr_status st = SILR_OK;

    if (len == 0)
        return SILR_OK;
    if (!silr_symbols(w, len) || !merge(t, w, s, characters(w, s, len)))
        return silr_fail_memory(err);
    for (uint32_t i = 0; st == SILR_OK && i != UINT32_MAX; i = w->right[i]) {
        uint32_t id = silr_tok_map_find(&t->map, t->token, s + w->at[i], w->size[i]);
        st = id != SILR_TOK_NONE ? silr_tok_emit(out, id, err)
                                 : silr_tok_bytes(t, s + w->at[i], w->size[i], out, err);
    }
    return st;
}
