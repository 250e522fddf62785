/* score.c - the log-likelihood of whole continuations, such as class names of several tokens.
 *
 *     log P(c_1 .. c_m | text) = sum_i log P(c_i | text, c_1 .. c_{i-1})
 *
 * The texts are read once and their keys and values kept; then each continuation is read behind
 * them, all texts of a group at once, and what was kept of it is written over by the next. */
#include "engine/inside.h"
#include <string.h>

/* What scoring needs beside the call: the texts' keys and values, and the continuation laid out once
 * for every text of a group. */
typedef struct {
    silr_call c;
    silr_cache cache;
    size_t *start, *past, *room;
    uint32_t *ids;
    float *logits;
    uint32_t *first; /* [n_cont] the first tokens */
    const uint32_t *cont;
    const size_t *cont_start;
    size_t n_cont;
} scoring;

static silr_status scoring_open(scoring *s, size_t longest, silr_error *err)
{
    const size_t texts = s->c.room.texts, vocab = s->c.e->spec->vocab;

    s->start = silr_alloc(texts + 1, sizeof *s->start);
    s->past = silr_alloc(texts, sizeof *s->past);
    s->room = silr_alloc(texts, sizeof *s->room);
    s->ids = silr_alloc(texts * longest + 1, sizeof *s->ids);
    s->first = silr_alloc(s->n_cont, sizeof *s->first);
    s->logits = silr_alloc(SILR_LOGIT_ROWS * vocab, sizeof *s->logits);
    return s->start && s->past && s->room && s->ids && s->first && s->logits
               ? SILR_OK : silr_fail_memory(err);
}

static void scoring_clear(scoring *s)
{
    silr_cache_clear(&s->cache);
    silr_free(s->start);
    silr_free(s->past);
    silr_free(s->room);
    silr_free(s->ids);
    silr_free(s->first);
    silr_free(s->logits);
    silr_room_clear(&s->c.room);
}

/* Adds to out the log-probabilities of tokens 1.. of continuation k behind texts t .. end - 1. */
static silr_status score_rest(scoring *s, size_t t, size_t end, size_t k, float *out, silr_error *err)
{
    const silr_engine *e = s->c.e;
    const uint32_t *cont = s->cont + s->cont_start[k];
    const size_t len = s->cont_start[k + 1] - s->cont_start[k], m = len - 1, vocab = e->spec->vocab;
    const size_t dim = e->spec->hidden, rows = (end - t) * m;
    double off[SILR_LOGIT_ROWS];
    silr_status st;

    for (size_t i = t; i < end; i++) {
        s->start[i - t] = (i - t) * m;
        s->past[i - t] = s->c.start[i + 1] - s->c.start[i];
        memcpy(s->ids + (i - t) * m, cont, m * sizeof *cont);
    }
    s->start[end - t] = rows;
    const silr_pass p = {.n_texts = end - t, .ids = s->ids, .start = s->start, .past = s->past,
                         .prefix = s->c.prefix, .cache = &s->cache, .layers = e->spec->layers};
    st = silr_forward(e, &s->c.room, &p, err);
    for (size_t i = 0, b; st == SILR_OK && i < rows; i += b) {
        b = rows - i < SILR_LOGIT_ROWS ? rows - i : SILR_LOGIT_ROWS;
        if ((st = silr_logits(e, s->c.room.x + i * dim, b, s->logits, err)) != SILR_OK)
            break;
        silr_normalisers(s->logits, b, vocab, off);
        for (size_t r = 0; r < b; r++) {
            const size_t text = t + (i + r) / m, at = (i + r) % m + 1;
            float *sum = out + text * s->n_cont + k;
            *sum = (float)((double)*sum + (double)s->logits[r * vocab + cont[at]] - off[r]);
        }
    }
    return st;
}

/* Texts t .. end - 1, all continuations. */
static silr_status score_group(scoring *s, size_t t, size_t end, float *out, silr_error *err)
{
    silr_status st;

    for (size_t i = t; i < end; i++)
        s->room[i - t] = s->c.start[i + 1] - s->c.start[i] + s->c.extra;
    silr_cache_clear(&s->cache);
    if ((st = silr_cache_init(&s->cache, s->c.e, s->room, end - t, err)) != SILR_OK ||
        (st = silr_call_last(&s->c, t, end, &s->cache, err)) != SILR_OK)
        return st;
    st = silr_token_logprobs(s->c.e, s->c.room.x, end - t, s->first, s->n_cont, s->logits,
                        out + t * s->n_cont, err);
    for (size_t k = 0; st == SILR_OK && k < s->n_cont; k++)
        if (s->cont_start[k + 1] - s->cont_start[k] > 1)
            st = score_rest(s, t, end, k, out, err);
    return st;
}

silr_status silr_engine_score(const silr_engine *e, const silr_prefix *prefix, const uint32_t *ids,
                              const size_t *start, size_t n, const uint32_t *cont,
                              const size_t *cont_start, size_t n_cont, float *out, silr_error *err)
{
    scoring s = {.c = {.e = e, .prefix = prefix, .ids = ids, .start = start, .n = n},
                 .cont = cont, .cont_start = cont_start, .n_cont = n_cont};
    size_t longest = 0;
    silr_status st;

    if (n == 0 || n_cont == 0)
        return SILR_OK;
    for (size_t k = 0; k < n_cont; k++) {
        if (cont_start[k + 1] <= cont_start[k])
            return silr_fail(err, SILR_EINPUT, "continuation %zu has no tokens", k);
        if (cont_start[k + 1] - cont_start[k] > longest)
            longest = cont_start[k + 1] - cont_start[k];
    }
    if ((st = silr_tokens_check(e, cont + cont_start[0], cont_start[n_cont] - cont_start[0], err)) == SILR_OK &&
        (st = silr_call_open(&s.c, longest - 1, err)) == SILR_OK)
        st = scoring_open(&s, longest, err);
    for (size_t k = 0; st == SILR_OK && k < n_cont; k++)
        s.first[k] = cont[cont_start[k]];
    for (size_t t = 0, end; st == SILR_OK && t < n; t = end) {
        end = silr_group_end(e, start, n, t, s.c.extra);
        st = score_group(&s, t, end, out, err);
    }
    scoring_clear(&s);
    return st;
}
