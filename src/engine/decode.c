/* decode.c - how likely a model finds what could come next: single tokens, and whole continuations.
 *
 * Texts that begin alike share the beginning: its keys and values are computed once (silr_prefix) and
 * every text attends to them, so a text costs its own tokens only. */
#include "engine/inside.h"
#include <math.h>
#include <string.h>

/* --- a shared beginning -------------------------------------------------------------------------- */

silr_status silr_prefix_new(silr_prefix **out, const silr_engine *e, const uint32_t *ids, size_t n,
                            silr_error *err)
{
    const size_t start[2] = {0, n};
    silr_prefix *p;
    silr_room room = {0};
    size_t longest;
    silr_status st;

    *out = NULL;
    if (!e->output)
        return silr_fail(err, SILR_EINPUT, "this model is an encoder: it embeds texts, but says nothing");
    if ((st = silr_texts_check(e, ids, start, 1, 0, &longest, err)) != SILR_OK)
        return st;
    if (!(p = silr_calloc(1, sizeof *p)))
        return silr_fail_memory(err);
    p->n = n;
    const silr_pass pass = {.n_texts = 1, .ids = ids, .start = start, .cache = &p->cache,
                            .last_only = true, .layers = e->spec->layers};
    if ((st = silr_cache_init(&p->cache, e, &n, 1, err)) == SILR_OK &&
        (st = silr_room_init(&room, e, n, 1, n, err)) == SILR_OK &&
        (st = silr_forward(e, &room, &pass, err)) == SILR_OK) {
        *out = p;
        p = NULL;
    }
    silr_room_clear(&room);
    silr_prefix_free(p);
    return st;
}

void silr_prefix_free(silr_prefix *p)
{
    if (!p)
        return;
    silr_cache_clear(&p->cache);
    silr_free(p);
}

size_t silr_prefix_tokens(const silr_prefix *p)
{
    return p ? p->n : 0;
}

/* --- groups of texts ----------------------------------------------------------------------------- */

silr_status silr_call_open(silr_call *c, size_t extra, silr_error *err)
{
    const size_t before = silr_prefix_tokens(c->prefix);
    size_t longest, rows, texts;
    silr_status st;

    if (!c->e->output)
        return silr_fail(err, SILR_EINPUT, "this model is an encoder: it embeds texts, but says nothing");
    c->extra = extra;
    if ((st = silr_texts_check(c->e, c->ids, c->start, c->n, before + extra, &longest, err)) != SILR_OK)
        return st;
    silr_groups_most(c->e, c->start, c->n, extra, &rows, &texts);
    return silr_room_init(&c->room, c->e, rows > texts * extra ? rows : texts * extra, texts,
                          before + longest + extra, err);
}

silr_status silr_call_last(silr_call *c, size_t t, size_t end, silr_cache *cache, silr_error *err)
{
    const silr_pass p = {.n_texts = end - t, .ids = c->ids, .start = c->start + t,
                         .prefix = c->prefix, .cache = cache, .last_only = true,
                         .layers = c->e->spec->layers};

    return silr_forward(c->e, &c->room, &p, err);
}

/* Logits [vocab] to log-probabilities: the constant to take off. */
static double log_sum_exp(const float *v, size_t n)
{
    double most = -INFINITY, sum = 0;

    for (size_t i = 0; i < n; i++)
        most = (double)v[i] > most ? (double)v[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)v[i] - most);
    return most + log(sum);
}

void silr_normalisers(const float *logits, size_t n, size_t vocab, double *out)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n; i++)
        out[i] = log_sum_exp(logits + i * vocab, vocab);
}

silr_status silr_token_logprobs(const silr_engine *e, const float *x, size_t n,
                                const uint32_t *token, size_t n_tokens, float *logits, float *out,
                                silr_error *err)
{
    const size_t vocab = e->spec->vocab;
    double off[SILR_LOGIT_ROWS];
    silr_status st = SILR_OK;

    for (size_t i = 0, m; st == SILR_OK && i < n; i += m) {
        m = n - i < SILR_LOGIT_ROWS ? n - i : SILR_LOGIT_ROWS;
        if ((st = silr_logits(e, x + i * e->spec->hidden, m, logits, err)) != SILR_OK)
            break;
        silr_normalisers(logits, m, vocab, off);
        for (size_t r = 0; r < m; r++)
            for (size_t k = 0; k < n_tokens; k++)
                out[(i + r) * n_tokens + k] = (float)((double)logits[r * vocab + token[k]] - off[r]);
    }
    return st;
}

silr_status silr_tokens_check(const silr_engine *e, const uint32_t *token, size_t n, silr_error *err)
{
    for (size_t k = 0; k < n; k++)
        if (token[k] >= e->spec->vocab)
            return silr_fail(err, SILR_EINPUT, "token %u is not in the model's vocabulary of %zu",
                             token[k], e->spec->vocab);
    return SILR_OK;
}

/* --- single tokens ---------------------------------------------------------------------------------- */

/* The rows of the output matrix that belong to the tokens. */
static silr_status rows_of(const silr_engine *e, const uint32_t *token, size_t n, float **out,
                           silr_error *err)
{
    const size_t dim = e->spec->hidden;

    if (!(*out = silr_alloc(n * dim, sizeof(float))))
        return silr_fail_memory(err);
    for (size_t k = 0; k < n; k++)
        silr_tensor_rows(e->output_table, token[k], 1, *out + k * dim);
    return SILR_OK;
}

static float capped(const silr_engine *e, double logit)
{
    const double cap = e->spec->logit_cap;

    return (float)(cap > 0 ? cap * tanh(logit / cap) : logit);
}

silr_status silr_engine_next(const silr_engine *e, const silr_prefix *prefix, const uint32_t *ids,
                             const size_t *start, size_t n, const uint32_t *token, size_t n_tokens,
                             bool relative, float *out, silr_error *err)
{
    const size_t dim = e->spec->hidden;
    silr_call c = {.e = e, .prefix = prefix, .ids = ids, .start = start, .n = n};
    float *rows = NULL, *logits = NULL;
    silr_status st;

    if (n == 0 || n_tokens == 0)
        return SILR_OK;
    if ((st = silr_call_open(&c, 0, err)) != SILR_OK || (st = silr_tokens_check(e, token, n_tokens, err)) != SILR_OK)
        goto done;
    if (relative)
        st = rows_of(e, token, n_tokens, &rows, err);
    else if (!(logits = silr_alloc(SILR_LOGIT_ROWS * e->spec->vocab, sizeof(float))))
        st = silr_fail_memory(err);
    for (size_t t = 0, end; st == SILR_OK && t < n; t = end) {
        end = silr_group_end(e, start, n, t, 0);
        if ((st = silr_call_last(&c, t, end, NULL, err)) != SILR_OK)
            break;
        if (!relative) {
            st = silr_token_logprobs(e, c.room.x, end - t, token, n_tokens, logits, out + t * n_tokens, err);
            continue;
        }
        for (size_t i = t; i < end; i++)
            for (size_t k = 0; k < n_tokens; k++) {
                const float *x = c.room.x + (i - t) * dim, *w = rows + k * dim;
                double sum = 0;
                for (size_t d = 0; d < dim; d++)
                    sum += (double)x[d] * (double)w[d];
                out[i * n_tokens + k] = capped(e, sum);
            }
    }
done:
    silr_free(rows);
    silr_free(logits);
    silr_room_clear(&c.room);
    return st;
}

silr_status silr_engine_logits(const silr_engine *e, const silr_prefix *prefix, const uint32_t *ids,
                               const size_t *start, size_t n, float *out, silr_error *err)
{
    silr_call c = {.e = e, .prefix = prefix, .ids = ids, .start = start, .n = n};
    silr_status st;

    if (n == 0)
        return SILR_OK;
    st = silr_call_open(&c, 0, err);
    for (size_t t = 0, end; st == SILR_OK && t < n; t = end) {
        end = silr_group_end(e, start, n, t, 0);
        if ((st = silr_call_last(&c, t, end, NULL, err)) == SILR_OK)
            st = silr_logits(e, c.room.x, end - t, out + t * e->spec->vocab, err);
    }
    silr_room_clear(&c.room);
    return st;
}
