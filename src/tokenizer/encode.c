/* encode.c - the way of a text through the stations, and of ids back. */
#include "tokenizer/inside.h"
#include <string.h>

void silr_tokens_clear(silr_tokens *t)
{
    silr_free(t->id);
    *t = (silr_tokens){0};
}

silr_status silr_tokens_add(silr_tokens *t, uint32_t id, silr_error *err)
{
    if (!silr_grow(&t->id, &t->cap, t->n + 1, sizeof *t->id))
        return silr_fail_memory(err);
    t->id[t->n++] = id;
    return SILR_OK;
}

void silr_work_clear(silr_work *w)
{
    silr_buf_clear(&w->clean);
    silr_buf_clear(&w->text);
    silr_buf_clear(&w->other);
    silr_buf_clear(&w->split[0]);
    silr_buf_clear(&w->split[1]);
    silr_free(w->span);
    silr_free(w->next);
    silr_free(w->id);
    silr_free(w->rank);
    silr_free(w->left);
    silr_free(w->right);
    silr_free(w->at);
    silr_free(w->size);
    silr_free(w->heap);
    silr_free(w->best);
    silr_free(w->chars);
    silr_tok_matcher_free(w->matcher);
}

static silr_status word(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                        silr_tokens *out, silr_error *err)
{
    switch (t->model) {
    case MODEL_BPE:
        return silr_tok_bpe(t, w, s, len, out, err);
    case MODEL_SPM:
        return silr_tok_spm(t, w, s, len, out, err);
    case MODEL_UNIGRAM:
        return silr_tok_unigram(t, w, s, len, out, err);
    case MODEL_WORDPIECE:
        return silr_tok_wordpiece(t, s, len, out, err);
    }
    return SILR_OK;
}

/* Normalised text without added tokens in it. */
static silr_status words(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         bool first, silr_tokens *out, silr_error *err)
{
    const char *text;
    silr_status st = silr_tok_split(t, w, s, len, first, &text, err);

    for (size_t i = 0; st == SILR_OK && i < w->n && out->n < w->limit; i++)
        st = word(t, w, text + w->span[i].from, w->span[i].to - w->span[i].from, out, err);
    return st;
}

/* Text as it is, without added tokens that are sought there. */
static silr_status plain(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         bool first, silr_tokens *out, silr_error *err)
{
    bool prefix = !(first && w->continues);
    const char *text;
    size_t n;
    silr_status st = silr_tok_normalise(t, w, s, len, prefix, &text, &n, err);

    for (size_t at = 0; st == SILR_OK && at < n && out->n < w->limit;) {
        silr_added_match m = silr_added_find(t, &t->normalized, w->trusted, text, n, at);
        if (m.from > at)
            st = words(t, w, text + at, m.from - at, first && at == 0, out, err);
        if (st == SILR_OK && m.token)
            st = silr_tok_emit(out, m.token->id, err);
        at = m.to;
    }
    return st;
}

static silr_status whole(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         silr_tokens *out, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t at = 0; st == SILR_OK && at < len && out->n < w->limit;) {
        silr_added_match m = silr_added_find(t, &t->raw, w->trusted, s, len, at);
        if (m.from > at)
            st = plain(t, w, s + at, m.from - at, w->first && at == 0, out, err);
        if (st == SILR_OK && m.token)
            st = silr_tok_emit(out, m.token->id, err);
        at = m.to;
    }
    return st;
}

static silr_status run(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                       silr_tokens *out, silr_error *err)
{
    size_t begin = out->n;
    silr_status st;

    if (len > 0 && !silr_tok_is_utf8(s, len)) {
        silr_tok_repair(&w->clean, s, len);
        if (w->clean.failed)
            return silr_fail_memory(err);
        s = w->clean.data;
        len = w->clean.len;
    }
    if ((st = whole(t, w, s, len, out, err)) != SILR_OK)
        out->n = begin;
    return st;
}

silr_status silr_tok_run(const silr_tokenizer *t, const char *s, size_t len, bool trusted,
                         bool first, bool continues, silr_tokens *out, silr_error *err)
{
    silr_work w = {
        .trusted = trusted, .first = first || continues, .continues = continues, .limit = SIZE_MAX};
    silr_status st = run(t, &w, s, len, out, err);

    silr_work_clear(&w);
    return st;
}

static silr_status add_all(const uint32_t *id, size_t n, silr_tokens *out, silr_error *err)
{
    silr_status st = SILR_OK;
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = silr_tok_emit(out, id[i], err);
    return st;
}

silr_status silr_tokenizer_encode(const silr_tokenizer *t, const char *text, size_t len,
                                  const silr_encode_opts *opts, silr_tokens *out, silr_error *err)
{
    silr_encode_opts o = opts ? *opts : (silr_encode_opts){0};
    size_t begin = out->n, frame = o.frame ? t->n_before + t->n_after : 0, most;
    silr_work w = {.trusted = o.trusted, .first = true, .limit = SIZE_MAX};
    silr_status st = SILR_OK;

    if (o.max_tokens > 0 && o.max_tokens < frame)
        return silr_fail(err, SILR_EINPUT, "%s: at most %zu tokens, but %zu go round every text",
                         t->name, o.max_tokens, frame);
    if (o.frame)
        st = add_all(t->before, t->n_before, out, err);
    most = o.max_tokens > 0 ? out->n + (o.max_tokens - frame) : SIZE_MAX;
    w.limit = most;
    if (st == SILR_OK)
        st = run(t, &w, text, len, out, err);
    if (st == SILR_OK && out->n > most)
        out->n = most;
    if (st == SILR_OK && o.frame)
        st = add_all(t->after, t->n_after, out, err);
    if (st != SILR_OK)
        out->n = begin;
    silr_work_clear(&w);
    return st;
}

size_t silr_tokenizer_vocab(const silr_tokenizer *t)
{
    return t->n;
}

const char *silr_tokenizer_piece(const silr_tokenizer *t, uint32_t id, size_t *len)
{
    if (id >= t->n || !(t->token[id].flags & TOKEN_HERE)) {
        *len = 0;
        return NULL;
    }
    *len = t->token[id].piece_len;
    return t->token[id].piece;
}

bool silr_tokenizer_is_special(const silr_tokenizer *t, uint32_t id)
{
    return id < t->n && (t->token[id].flags & TOKEN_SPECIAL);
}

silr_status silr_tokenizer_decode(const silr_tokenizer *t, const uint32_t *id, size_t n,
                                  silr_buf *out, silr_error *err)
{
    silr_buf raw = {0};
    const char *s;
    size_t len;
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        if (!(s = silr_tokenizer_piece(t, id[i], &len)))
            st = silr_fail(err, SILR_EINPUT, "%s: there is no token %u", t->name, id[i]);
        else if (!(t->token[id[i]].flags & TOKEN_SPECIAL))
            silr_buf_add(&raw, s, len);
    }
    if (st == SILR_OK && raw.len > 0) {
        size_t skip = t->decode_strip && raw.data[0] == ' ';
        silr_tok_repair(out, raw.data + skip, raw.len - skip);
    }
    if (st == SILR_OK && (raw.failed || out->failed))
        st = silr_fail_memory(err);
    silr_buf_clear(&raw);
    return st;
}

int64_t silr_tokenizer_special(const silr_tokenizer *t, const char *name)
{
    uint32_t id = silr_tok_by_name(t, name, strlen(name));
    return id != SILR_TOK_NONE && (t->token[id].flags & (TOKEN_SPECIAL | TOKEN_ADDED)) ? (int64_t)id
                                                                                       : -1;
}

int64_t silr_tokenizer_bos(const silr_tokenizer *t)
{
    return t->bos;
}

int64_t silr_tokenizer_eos(const silr_tokenizer *t)
{
    return t->eos;
}

bool silr_tokenizer_ends(const silr_tokenizer *t, uint32_t id)
{
    return id < t->n && t->ends[id];
}
