/* unigram.c - the most probable way to write a text in pieces of known log-probability.
 *
 * best(i) = the highest sum of scores of pieces that make up text[0, i):
 *
 *     best(i) = max over pieces p with text[j, i) = p of best(j) + score(p)
 *
 * A character that is no piece counts as unknown, at 10 below the lowest score. Of equal sums the
 * one found first stays (the shortest last piece first), as in SentencePiece. */
#include "tokenizer/inside.h"
#include <math.h>

static void improve(silr_best *b, double score, uint32_t id, size_t from)
{
    if (b->from == UINT32_MAX || score > b->score)
        *b = (silr_best){score, id, (uint32_t)from};
}

static void forward(const silr_tokenizer *t, silr_best *best, const char *s, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        double here = best[i].score;
        uint32_t node = 0;
        bool alone = false;
        n = silr_tok_char_len(s + i);
        for (size_t k = i; k < len; k++) {
            int32_t id;
            if ((node = silr_trie_step(&t->words, node, (unsigned char)s[k])) == 0)
                break;
            if ((id = t->words.value[node]) == SILR_TRIE_NONE)
                continue;
            improve(&best[k + 1], here + t->token[id].score, (uint32_t)id, i);
            alone = alone || k + 1 == i + n;
        }
        if (!alone)
            improve(&best[i + n], here + t->unknown_score, SILR_TOK_NONE, i);
    }
}

static silr_status emit_unknown(const silr_tokenizer *t, const char *s, size_t len,
                                silr_tokens *out, silr_error *err)
{
    if (t->byte_fallback) {
        bool all = true;
        for (size_t i = 0; all && i < len; i++)
            all = t->byte[(unsigned char)s[i]] != SILR_TOK_NONE;
        if (all)
            return silr_tok_bytes(t, s, len, out, err);
    }
    return t->unknown == SILR_TOK_NONE ? SILR_OK : silr_tok_emit(out, t->unknown, err);
}

/* Follows best[] back from the end, turning the links round, then writes the pieces in order. */
silr_status silr_tok_unigram(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                             silr_tokens *out, silr_error *err)
{
    silr_status st = SILR_OK;
    size_t n = 0;

    if (len >= UINT32_MAX - 1)
        return silr_fail(err, SILR_EINPUT, "%s: a text of more than 4 GB", t->name);
    if (!silr_grow(&w->best, &w->best_cap, len + 1, sizeof *w->best) ||
        !silr_grow(&w->at, &w->at_cap, len + 1, sizeof *w->at))
        return silr_fail_memory(err);
    for (size_t i = 1; i <= len; i++)
        w->best[i].from = UINT32_MAX;
    w->best[0] = (silr_best){0, SILR_TOK_NONE, 0};
    forward(t, w->best, s, len);
    for (size_t i = len; i > 0; i = w->best[i].from)
        w->at[n++] = (uint32_t)i;
    for (size_t from = 0; st == SILR_OK && n > 0;) {
        size_t to = w->at[--n];
        uint32_t id = w->best[to].id;
        if (id == SILR_TOK_NONE && t->fuse_unknown)
            while (n > 0 && w->best[w->at[n - 1]].id == SILR_TOK_NONE)
                to = w->at[--n];
        st = id != SILR_TOK_NONE ? silr_tok_emit(out, id, err)
                                 : emit_unknown(t, s + from, to - from, out, err);
        from = to;
    }
    return st;
}
