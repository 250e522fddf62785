/* split.c - the pre-tokenizers of a tokenizer.json: spans of text that become tokens each by
 * itself.
 *
 * Nearly all of them find matches in a span and cut there: the matches stand alone, go, or stick to
 * a neighbour. Two also write: a space in front of a span, U+2581 for its spaces. */
#include "tokenizer/inside.h"
#include <string.h>

static bool push(silr_work *w, size_t from, size_t to, bool first)
{
    if (from == to)
        return true;
    if (!silr_grow(&w->next, &w->next_cap, w->n_next + 1, sizeof *w->next))
        return false;
    w->next[w->n_next++] = (silr_span){from, to, first};
    return true;
}

/* --- finding -------------------------------------------------------------------------------------
 */

static unsigned matching(const silr_split *step, const char *s, size_t *n)
{
    uint32_t c = silr_tok_char(s, n);
    unsigned class;

    switch (step->kind) {
    case SPLIT_DIGITS:
    case SPLIT_DIGIT:
        return silr_tok_class(c) & CHAR_NUMBER;
    case SPLIT_SPACE:
        return silr_tok_class(c) & CHAR_SPACE;
    case SPLIT_PUNCT:
        class = silr_tok_class_8(c);
        return (class & CHAR_PUNCT) || (c < 0x80 && (class & CHAR_SYMBOL));
    default:
        return 0;
    }
}

/* \w+|[^\w\s]+: words, and runs of what is neither word nor space. */
static void find_word(const char *s, size_t len, size_t at, size_t *from, size_t *to)
{
    size_t n, i = at;
    unsigned word;

    *from = *to = len + 1;
    while (i < len && (silr_tok_class_at(s + i, &n) & (CHAR_SPACE | CHAR_WORD)) == CHAR_SPACE)
        i += n;
    if (i == len)
        return;
    *from = i;
    word = silr_tok_class_at(s + i, &n) & CHAR_WORD;
    while (i < len) {
        unsigned class = silr_tok_class_at(s + i, &n);
        if ((class & CHAR_WORD) != word || (!word && (class & CHAR_SPACE)))
            break;
        i += n;
    }
    *to = i;
}

/* The first match from `at` on; from > len: none. */
static silr_status find(const silr_split *step, silr_work *w, const char *s, size_t len, size_t at,
                        size_t *from, size_t *to, silr_error *err)
{
    const char *hit;
    size_t n;

    *from = *to = len + 1;
    switch (step->kind) {
    case SPLIT_PATTERN:
        return silr_tok_regex_find(step->regex, &w->matcher, s, len, at, from, to, err);
    case SPLIT_STRING:
        if ((hit = memmem(s + at, len - at, step->string, step->string_len))) {
            *from = (size_t)(hit - s);
            *to = *from + step->string_len;
        }
        break;
    case SPLIT_SCAN:
    case SPLIT_BYTES:
        if (at < len && step->scan) {
            *from = at;
            *to = step->scan(s, len, at);
        }
        break;
    case SPLIT_WORDS:
        find_word(s, len, at, from, to);
        break;
    default:
        for (; at < len; at += n)
            if (matching(step, s + at, &n)) {
                *from = at;
                *to = at + n;
                break;
            }
    }
    return SILR_OK;
}

/* --- cutting
 * ---------------------------------------------------------------------------------------- */

/* The spans of s are given one by one, matching or not; what becomes of them is the cut's. */
typedef struct {
    silr_work *w;
    silr_cut cut;
    size_t base;     /* where s begins in the text */
    bool first;      /* s begins the text */
    bool any, last;  /* there is a span; was the last one a match? */
    size_t from, to; /* the span that may still grow */
} cutter;

static bool flush(cutter *c)
{
    return !c->any || push(c->w, c->base + c->from, c->base + c->to, c->first && c->from == 0);
}

static bool cut_span(cutter *c, size_t from, size_t to, bool match)
{
    bool grow = false;

    switch (c->cut) {
    case CUT_REMOVED:
        if (match)
            return true;
        break;
    case CUT_CONTIGUOUS:
        grow = c->any && match == c->last;
        break;
    case CUT_PREVIOUS:
        grow = c->any && match && !c->last;
        break;
    case CUT_NEXT: /* what follows a match joins it, unless it is one */
        grow = c->any && c->last && !match;
        break;
    case CUT_ISOLATED:
        break;
    }
    c->last = match;
    if (grow) {
        c->to = to;
        return true;
    }
    if (!flush(c))
        return false;
    c->any = true;
    c->from = from;
    c->to = to;
    return true;
}

static silr_status cut(const silr_split *step, silr_work *w, const char *text, silr_span span,
                       silr_error *err)
{
    const char *s = text + span.from;
    size_t len = span.to - span.from, at = 0, search = 0, from, to;
    cutter c = {.w = w, .cut = step->cut, .base = span.from, .first = span.first};
    bool ok = true;

    while (ok && search <= len) {
        silr_status st = find(step, w, s, len, search, &from, &to, err);
        if (st != SILR_OK)
            return st;
        if (from > len)
            break;
        if (from > at)
            ok = cut_span(&c, at, from, step->invert);
        ok = ok && cut_span(&c, from, to, !step->invert);
        at = search = to;
        if (to == from)
            search = to < len ? to + silr_tok_char_len(s + to) : len + 1;
    }
    if (ok && at < len)
        ok = cut_span(&c, at, len, step->invert);
    return ok && flush(&c) ? SILR_OK : silr_fail_memory(err);
}

/* Each match of a scanner is a span: the common case, without the cutter. */
static silr_status scan(silr_tok_scan *next, silr_work *w, const char *text, silr_span span,
                        silr_error *err)
{
    const char *s = text + span.from;
    size_t len = span.to - span.from;

    for (size_t at = 0; at < len;) {
        size_t end = next(s, len, at);
        if (!push(w, span.from + at, span.from + end, span.first && at == 0))
            return silr_fail_memory(err);
        at = end;
    }
    return SILR_OK;
}

/* --- writing
 * ------------------------------------------------------------------------------------------ */

static bool wants_prefix(const silr_split *step, const silr_work *w, const char *s, size_t len,
                         bool first)
{
    const char *space = step->kind == SPLIT_BYTES ? " " : step->string;
    size_t n = step->kind == SPLIT_BYTES ? 1 : step->string_len;

    if (step->prefix == PREFIX_NEVER || (step->prefix == PREFIX_FIRST && !first) ||
        (w->continues && first))
        return false;
    return !(len >= n && memcmp(s, space, n) == 0);
}

/* Writes all spans anew into out, with what is to be in front of them. */
static silr_status rewrite(const silr_split *step, silr_work *w, const char *text, silr_buf *out,
                           silr_error *err)
{
    const char *with = step->kind == SPLIT_BYTES ? " " : step->string;
    size_t with_len = step->kind == SPLIT_BYTES ? 1 : step->string_len;

    silr_buf_reset(out);
    for (size_t i = 0; i < w->n; i++) {
        silr_span *span = &w->span[i];
        size_t begin = out->len;
        bool first = span->first;
        for (size_t k = span->from; k < span->to; k++)
            if (step->kind == SPLIT_METASPACE && text[k] == ' ')
                silr_buf_add(out, with, with_len);
            else
                silr_buf_putc(out, text[k]);
        if (!out->failed && wants_prefix(step, w, out->data + begin, out->len - begin, first)) {
            size_t len = out->len - begin;
            silr_buf_add(out, with, with_len); /* room at the end, then all of it moves */
            if (!out->failed) {
                memmove(out->data + begin + with_len, out->data + begin, len);
                memcpy(out->data + begin, with, with_len);
            }
        }
        *span = (silr_span){begin, out->len, first};
    }
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

/* --- all steps
 * ------------------------------------------------------------------------------------------ */

static silr_status split_spans(const silr_split *step, silr_work *w, const char *text,
                               silr_error *err)
{
    silr_split at_string = *step;
    silr_span *swap;
    size_t cap;
    silr_status st = SILR_OK;

    if (step->kind == SPLIT_METASPACE)
        at_string.kind = SPLIT_STRING;
    w->n_next = 0;
    for (size_t i = 0; st == SILR_OK && i < w->n; i++)
        st = step->scan && step->cut == CUT_ISOLATED ? scan(step->scan, w, text, w->span[i], err)
                                                     : cut(&at_string, w, text, w->span[i], err);
    swap = w->span;
    w->span = w->next;
    w->next = swap;
    cap = w->span_cap;
    w->span_cap = w->next_cap;
    w->next_cap = cap;
    w->n = w->n_next;
    return st;
}

silr_status silr_tok_split(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                           bool first, const char **text, silr_error *err)
{
    int buffer = 0;

    *text = s;
    w->n_next = 0;
    if (!push(w, 0, len, first))
        return silr_fail_memory(err);
    if (w->n_next == 0) {
        w->n = 0;
        return SILR_OK;
    }
    if (!silr_grow(&w->span, &w->span_cap, 1, sizeof *w->span))
        return silr_fail_memory(err);
    w->span[0] = w->next[0];
    w->n = 1;
    for (size_t i = 0; i < t->n_split; i++) {
        const silr_split *step = &t->split[i];
        silr_status st;
        if (step->kind == SPLIT_METASPACE ||
            (step->kind == SPLIT_BYTES && step->prefix != PREFIX_NEVER)) {
            if ((st = rewrite(step, w, *text, &w->split[buffer], err)) != SILR_OK)
                return st;
            *text = w->split[buffer].data ? w->split[buffer].data : "";
            buffer = 1 - buffer;
        }
        if ((step->kind == SPLIT_METASPACE && !step->split) ||
            (step->kind == SPLIT_BYTES && !step->scan))
            continue;
        if ((st = split_spans(step, w, *text, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}
