/* generate.c - a model goes on with its texts, all side by side.
 *
 * The texts of a group are read once, their keys and values kept; then every step reads one token
 * of each text that has not ended. What a text says depends on its number, not on who is beside it:
 * each draw is keyed by (seed, draw + text, step). */
#include "engine/inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    silr_buf said;
    uint32_t last; /* token to be read next */
    size_t tokens; /* said so far, each one read or about to be */
    bool ended;
} voice;

typedef struct {
    double weight;
    uint32_t token;
} choice;

typedef struct {
    silr_call c;
    const silr_generate_opts *o;
    silr_cache cache;
    voice *voices;
    size_t *start, *past, *slot, *room;
    uint32_t *ids;
    float *logits;   /* [SILR_LOGIT_ROWS][vocab] */
    double *weight;  /* [vocab] */
    choice *choices; /* [vocab] */
    silr_said sink;
    void *ctx;
} speech;

/* --- which token ------------------------------------------------------------------------------------ */

static uint32_t likeliest(const float *logit, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logit[i] > logit[best])
            best = i;
    return (uint32_t)best;
}

/* Likelier first; equals by number, so that the order is one. */
static int by_weight(const void *a, const void *b)
{
    const choice *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* A token drawn from softmax(logit / temperature), of the likeliest that make up top_p together.
 * Tokens less likely than (1 - top_p) / vocab are together less than 1 - top_p: none of them is in
 * that set, and they need no sorting. */
static uint32_t drawn(speech *s, const float *logit, size_t text, size_t step)
{
    const silr_generate_opts *o = s->o;
    const size_t vocab = s->c.e->spec->vocab;
    const bool nucleus = o->top_p > 0 && o->top_p < 1;
    const double most = (double)logit[likeliest(logit, vocab)];
    double total = 0, kept = 0, at;
    size_t n = 0;
    silr_rng rng;

    for (size_t i = 0; i < vocab; i++)
        total += s->weight[i] = exp(((double)logit[i] - most) / o->temperature);
    for (size_t i = 0; i < vocab; i++)
        if (!nucleus || s->weight[i] >= (1 - o->top_p) / (double)vocab * total)
            s->choices[n++] = (choice){s->weight[i], (uint32_t)i};
    if (nucleus) {
        qsort(s->choices, n, sizeof *s->choices, by_weight);
        const size_t candidates = n;
        for (n = 0; n < candidates && kept < o->top_p * total; n++)
            kept += s->choices[n].weight;
    }
    silr_rng_init(&rng, o->seed, SILR_RNG_GENERATE, (uint32_t)step, o->draw + text);
    at = silr_rng_double(&rng) * (nucleus ? kept : total);
    for (size_t i = 0; i < n; i++)
        if ((at -= s->choices[i].weight) < 0)
            return s->choices[i].token;
    return s->choices[n - 1].token; /* the likeliest token is always there */
}

/* --- what was said ------------------------------------------------------------------------------------- */

/* Takes the next token of a voice: it ends the text, or its bytes are added and it is to be read. */
static silr_status take(speech *s, voice *v, uint32_t token, bool *complete, silr_error *err)
{
    const silr_tokenizer *t = s->c.e->tokenizer;
    size_t len = 0;
    const char *stop = NULL;

    *complete = true;
    if ((v->ended = silr_tokenizer_ends(t, token)))
        return SILR_OK;
    const char *piece = silr_tokenizer_is_special(t, token) ? "" : silr_tokenizer_piece(t, token, &len);
    if (piece)
        silr_buf_add(&v->said, piece, len);
    if (v->said.failed)
        return silr_fail_memory(err);
    if (s->o->stop && *s->o->stop && v->said.len > 0)
        stop = memmem(v->said.data, v->said.len, s->o->stop, strlen(s->o->stop));
    if (stop)
        v->said.len = (size_t)(stop - v->said.data);
    v->last = token;
    v->tokens++;
    v->ended = stop != NULL || v->tokens >= s->o->max_tokens;
    *complete = stop != NULL;
    return SILR_OK;
}

/* One token for each of the voices `slot`, whose states are the rows of x. */
static silr_status choose(speech *s, size_t first_text, const size_t *slot, size_t n, silr_error *err)
{
    const silr_engine *e = s->c.e;
    const size_t vocab = e->spec->vocab, dim = e->spec->hidden;
    silr_status st = SILR_OK;

    for (size_t i = 0, m; st == SILR_OK && i < n; i += m) {
        m = n - i < SILR_LOGIT_ROWS ? n - i : SILR_LOGIT_ROWS;
        st = silr_logits(e, s->c.room.x + i * dim, m, s->logits, err);
        for (size_t r = 0; st == SILR_OK && r < m; r++) {
            voice *v = &s->voices[slot[i + r]];
            const float *logit = s->logits + r * vocab;
            const size_t text = first_text + slot[i + r];
            const uint32_t token = s->o->temperature > 0 ? drawn(s, logit, text, v->tokens)
                                                         : likeliest(logit, vocab);
            bool complete;
            st = take(s, v, token, &complete, err);
            if (st == SILR_OK && v->ended)
                st = s->sink(s->ctx, text, v->said.data ? v->said.data : "", v->said.len, complete, err);
        }
    }
    return st;
}

/* --- a group of texts -------------------------------------------------------------------------------- */

/* Reads one token of every voice that goes on, and lets each choose its next. n: still going on. */
static silr_status step(speech *s, size_t t, size_t end, size_t *n, silr_error *err)
{
    silr_status st;

    *n = 0;
    for (size_t i = 0; i < end - t; i++) {
        const voice *v = &s->voices[i];
        if (v->ended)
            continue;
        s->ids[*n] = v->last;
        s->start[*n] = *n;
        s->past[*n] = s->c.start[t + i + 1] - s->c.start[t + i] + v->tokens - 1;
        s->slot[*n] = i;
        ++*n;
    }
    s->start[*n] = *n;
    if (*n == 0)
        return SILR_OK;
    const silr_pass p = {.n_texts = *n, .ids = s->ids, .start = s->start, .past = s->past,
                         .slot = s->slot, .prefix = s->c.prefix, .cache = &s->cache,
                         .layers = s->c.e->spec->layers};
    st = silr_forward(s->c.e, &s->c.room, &p, err);
    return st == SILR_OK ? choose(s, t, s->slot, *n, err) : st;
}

static silr_status speak_group(speech *s, size_t t, size_t end, silr_error *err)
{
    size_t going;
    silr_status st;

    for (size_t i = 0; i < end - t; i++) {
        s->room[i] = s->c.start[t + i + 1] - s->c.start[t + i] + s->c.extra;
        s->slot[i] = i;
        silr_buf_reset(&s->voices[i].said);
        s->voices[i].tokens = 0;
        s->voices[i].ended = false;
    }
    silr_cache_clear(&s->cache);
    if ((st = silr_cache_init(&s->cache, s->c.e, s->room, end - t, err)) != SILR_OK ||
        (st = silr_call_last(&s->c, t, end, &s->cache, err)) != SILR_OK ||
        (st = choose(s, t, s->slot, end - t, err)) != SILR_OK)
        return st;
    do
        st = step(s, t, end, &going, err);
    while (st == SILR_OK && going > 0);
    return st;
}

static silr_status speech_open(speech *s, silr_error *err)
{
    const size_t texts = s->c.room.texts, vocab = s->c.e->spec->vocab;

    s->voices = silr_calloc(texts, sizeof *s->voices);
    s->start = silr_alloc(texts + 1, sizeof *s->start);
    s->past = silr_alloc(texts, sizeof *s->past);
    s->slot = silr_alloc(texts, sizeof *s->slot);
    s->room = silr_alloc(texts, sizeof *s->room);
    s->ids = silr_alloc(texts, sizeof *s->ids);
    s->logits = silr_alloc(SILR_LOGIT_ROWS * vocab, sizeof *s->logits);
    s->weight = silr_alloc(vocab, sizeof *s->weight);
    s->choices = silr_alloc(vocab, sizeof *s->choices);
    return s->voices && s->start && s->past && s->slot && s->room && s->ids && s->logits && s->weight && s->choices
               ? SILR_OK : silr_fail_memory(err);
}

static void speech_clear(speech *s)
{
    for (size_t i = 0; s->voices && i < s->c.room.texts; i++)
        silr_buf_clear(&s->voices[i].said);
    silr_free(s->voices);
    silr_free(s->start);
    silr_free(s->past);
    silr_free(s->slot);
    silr_free(s->room);
    silr_free(s->ids);
    silr_free(s->logits);
    silr_free(s->weight);
    silr_free(s->choices);
    silr_cache_clear(&s->cache);
    silr_room_clear(&s->c.room);
}

silr_status silr_engine_generate(const silr_engine *e, const silr_prefix *prefix, const uint32_t *ids,
                                 const size_t *start, size_t n, const silr_generate_opts *opts,
                                 silr_said said, void *ctx, silr_error *err)
{
    speech s = {.c = {.e = e, .prefix = prefix, .ids = ids, .start = start, .n = n}, .o = opts,
                .sink = said, .ctx = ctx};
    silr_status st;

    if (n == 0)
        return SILR_OK;
    SILR_ASSERT(e->tokenizer);
    if (opts->max_tokens == 0)
        return silr_fail(err, SILR_EINPUT, "generation needs room for one token at least");
    if ((st = silr_call_open(&s.c, opts->max_tokens, err)) == SILR_OK)
        st = speech_open(&s, err);
    for (size_t t = 0, end; st == SILR_OK && t < n; t = end) {
        end = silr_group_end(e, start, n, t, s.c.extra);
        st = speak_group(&s, t, end, err);
    }
    speech_clear(&s);
    return st;
}
