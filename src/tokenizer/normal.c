/* normal.c - the normalisers of a tokenizer.json, one step after the other.
 *
 * Each step reads one buffer and writes another. Texts in ASCII skip what cannot change them. A
 * text may become GROWTH times as long and no longer, whatever a file has its letters replaced by.
 */
#include "tokenizer/inside.h"
#include <string.h>
#include <utf8proc.h>

enum { GROWTH = 100, GROWTH_MORE = 65536 };

void silr_normal_clear(silr_normal *n)
{
    silr_tok_regex_free(n->regex);
    silr_free(n->map.memory);
    *n = (silr_normal){0};
}

/* Decomposes s into w->chars. */
static silr_status decompose(silr_work *w, const char *s, size_t len, bool compatible, size_t *n,
                             silr_error *err)
{
    const utf8proc_option_t how =
        (utf8proc_option_t)(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));

    if (len > INT32_MAX)
        return silr_fail(err, SILR_EINPUT, "a text of more than 2 GB");
    for (size_t room = len + 64;;) {
        utf8proc_ssize_t got;
        if (!silr_grow(&w->chars, &w->chars_cap, room + 1, sizeof *w->chars)) /* 1: for the end */
            return silr_fail_memory(err);
        got = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, w->chars,
                                 (utf8proc_ssize_t)room, how);
        if (got < 0)
            return silr_fail(err, SILR_EINPUT, "a text cannot be decomposed: %s",
                             utf8proc_errmsg(got));
        if ((size_t)got <= room) {
            *n = (size_t)got;
            return SILR_OK;
        }
        room = (size_t)got;
    }
}

static silr_status form(const silr_normal *step, silr_work *w, const char *s, size_t len,
                        silr_buf *out, silr_error *err)
{
    bool compose = step->kind == NORMAL_NFC || step->kind == NORMAL_NFKC;
    bool compatible = step->kind == NORMAL_NFKC || step->kind == NORMAL_NFKD;
    utf8proc_ssize_t n;
    size_t chars;
    silr_status st = decompose(w, s, len, compatible, &chars, err);

    if (st != SILR_OK)
        return st;
    n = utf8proc_normalize_utf32(
        w->chars, (utf8proc_ssize_t)chars,
        (utf8proc_option_t)(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : 0)));
    for (utf8proc_ssize_t i = 0; i < n; i++)
        silr_tok_put(out, (uint32_t)w->chars[i]);
    return SILR_OK;
}

static void put_lower(silr_buf *out, uint32_t c)
{
    if (c < 0x80)
        silr_buf_putc(out, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    else if (c == 0x130) /* the only letter whose lower case is two characters */
        silr_buf_puts(out, "i\xcc\x87");
    else
        silr_tok_put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

static void lower(const char *s, size_t len, silr_buf *out)
{
    for (size_t i = 0, n; i < len; i += n)
        put_lower(out, silr_tok_char(s + i, &n));
}

/* Removes characters of the class. */
static void without(const char *s, size_t len, unsigned class, silr_buf *out)
{
    for (size_t i = 0, n; i < len; i += n)
        if (!(silr_tok_class_at(s + i, &n) & class))
            silr_buf_add(out, s + i, n);
}

/* --- BERT --------------------------------------------------------------------------------------
 */

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool bert_ascii(const silr_normal *step, const char *s, size_t len, silr_buf *out)
{
    char *to;

    if (!silr_grow(&out->data, &out->cap, len + 1, 1))
        return false;
    to = out->data;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (step->clean && c < ' ') {
            if (!(c == '\t' || c == '\n' || c == '\r'))
                continue;
            c = ' ';
        } else if (step->clean && c == 127)
            continue;
        *to++ = (char)(step->lower && c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out->len = (size_t)(to - out->data);
    *to = '\0';
    return true;
}

/* Control characters go, spaces become plain ones, Chinese characters stand alone. */
static void bert_clean(const silr_normal *step, const char *s, size_t len, silr_buf *out)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = silr_tok_char(s + i, &n);
        unsigned class = silr_tok_class_8(c);
        bool line = c == '\t' || c == '\n' || c == '\r';
        if (step->clean && (c == 0xfffd || ((class & CHAR_OTHER) && !line)))
            continue;
        if (step->clean && (class & CHAR_SPACE))
            silr_buf_putc(out, ' ');
        else if (step->chinese && is_chinese(c)) {
            silr_buf_putc(out, ' ');
            silr_buf_add(out, s + i, n);
            silr_buf_putc(out, ' ');
        } else
            silr_buf_add(out, s + i, n);
    }
}

static silr_status bert(const silr_normal *step, silr_work *w, const char *s, size_t len,
                        silr_buf *out, silr_error *err)
{
    silr_buf cleaned = {0};
    silr_status st = SILR_OK;
    size_t n;

    if (silr_tok_is_ascii(s, len))
        return bert_ascii(step, s, len, out) ? SILR_OK : silr_fail_memory(err);
    bert_clean(step, s, len, &cleaned);
    if (cleaned.failed) {
        st = silr_fail_memory(err);
        goto done;
    }
    if (!step->accents) {
        if (step->lower)
            lower(cleaned.data ? cleaned.data : "", cleaned.len, out);
        else
            silr_buf_add(out, cleaned.data, cleaned.len);
        goto done;
    }
    if ((st = decompose(w, cleaned.data ? cleaned.data : "", cleaned.len, false, &n, err)) !=
        SILR_OK)
        goto done;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = (uint32_t)w->chars[i];
        if (c >= 0x80 && (silr_tok_class_8(c) & CHAR_NONSPACING))
            continue;
        if (step->lower)
            put_lower(out, c);
        else
            silr_tok_put(out, c);
    }
done:
    silr_buf_clear(&cleaned);
    return st;
}

/* --- the rest ------------------------------------------------------------------------------------
 */

static silr_status replace(const silr_normal *step, silr_work *w, const char *s, size_t len,
                           silr_buf *out, silr_error *err)
{
    size_t at = 0, search = 0, from = 0, to = 0;

    while (search <= len) {
        if (step->regex) {
            silr_status st =
                silr_tok_regex_find(step->regex, &w->matcher, s, len, search, &from, &to, err);
            if (st != SILR_OK)
                return st;
        } else {
            const char *hit =
                search < len ? memmem(s + search, len - search, step->from, step->from_len) : NULL;
            from = hit ? (size_t)(hit - s) : len + 1;
            to = from + step->from_len;
        }
        if (from > len)
            break;
        silr_buf_add(out, s + at, from - at);
        silr_buf_add(out, step->to, step->to_len);
        if (out->len > w->most)
            return SILR_OK; /* the caller looks */
        at = search = to;
        if (to == from) /* an empty match: go on behind the next character */
            search = to < len ? to + silr_tok_char_len(s + to) : len + 1;
    }
    silr_buf_add(out, s + at, len - at);
    return SILR_OK;
}

/* The length of the cluster of characters at s. */
static size_t cluster(const char *s, size_t len)
{
    utf8proc_int32_t state = 0;
    size_t at, n;
    uint32_t c = silr_tok_char(s, &at), next;

    while (at < len) {
        next = silr_tok_char(s + at, &n);
        if (c < 0x80 && next < 0x80 && !(c == '\r' && next == '\n'))
            break;
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)next, &state))
            break;
        at += n;
        c = next;
    }
    return at;
}

static void map_one(const silr_normal *step, const char *s, size_t len, silr_buf *out)
{
    size_t used, n;
    const char *to = silr_charsmap_find(&step->map, s, len, true, &used, &n);

    silr_buf_add(out, to ? to : s, to ? n : len);
}

/* As the tokenizers library does it: a cluster of fewer than 6 bytes is replaced whole by what its
 * shortest mapped beginning stands for, else each of its characters alone. */
static void map_clusters(const silr_normal *step, const char *s, size_t len, size_t most,
                         silr_buf *out)
{
    for (size_t i = 0, n; i < len && out->len <= most; i += n) {
        size_t used, to_len, m;
        const char *to;
        n = cluster(s + i, len - i);
        to = n < 6 ? silr_charsmap_find(&step->map, s + i, n, true, &used, &to_len) : NULL;
        if (to)
            silr_buf_add(out, to, to_len);
        else
            for (size_t k = i; k < i + n; k += m) {
                m = silr_tok_char_len(s + k);
                map_one(step, s + k, m, out);
            }
    }
}

/* As SentencePiece does it: the longest beginning that is mapped. */
static void map_longest(const silr_normal *step, const char *s, size_t len, size_t most,
                        silr_buf *out)
{
    for (size_t i = 0, used; i < len && out->len <= most; i += used) {
        size_t n;
        const char *to = silr_charsmap_find(&step->map, s + i, len - i, false, &used, &n);
        if (!to) {
            used = n = silr_tok_char_len(s + i);
            to = s + i;
        }
        silr_buf_add(out, to, n);
    }
}

static void strip(const silr_normal *step, const char *s, size_t len, silr_buf *out)
{
    size_t from = 0, n;

    while (step->clean && from < len && (silr_tok_class_at(s + from, &n) & CHAR_SPACE))
        from += n;
    while (step->chinese && len > from) {
        size_t last = silr_tok_back(s, len);
        if (!(silr_tok_class_at(s + last, &n) & CHAR_SPACE))
            break;
        len = last;
    }
    silr_buf_add(out, s + from, len - from);
}

static void nmt(const char *s, size_t len, silr_buf *out)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = silr_tok_char(s + i, &n);
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
            c == 0x9f)
            continue;
        if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
            (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
            c == 0xfeff || c == 0xfffd)
            silr_buf_putc(out, ' ');
        else
            silr_buf_add(out, s + i, n);
    }
}

/* SentencePiece's handling of spaces: `clean` leaves one between words and none at the ends;
 * `lower` puts one in front of the text. */
static void spaces(const silr_normal *step, const char *s, size_t len, bool prefix, silr_buf *out)
{
    bool inside = false, begun = !(prefix && step->lower);

    for (size_t i = 0; i < len; i++) {
        if (s[i] == ' ') {
            inside = false;
            if (!step->clean)
                silr_buf_puts(out, SILR_TOK_SPACE);
            continue;
        }
        if (!inside && (!begun || (step->clean && (prefix || out->len > 0))))
            silr_buf_puts(out, SILR_TOK_SPACE);
        inside = begun = true;
        silr_buf_putc(out, s[i]);
    }
}

static silr_status apply(const silr_normal *step, silr_work *w, const char *s, size_t len,
                         bool prefix, silr_buf *out, silr_error *err)
{
    switch (step->kind) {
    case NORMAL_NFC:
    case NORMAL_NFD:
    case NORMAL_NFKC:
    case NORMAL_NFKD:
        return form(step, w, s, len, out, err);
    case NORMAL_LOWER:
        lower(s, len, out);
        break;
    case NORMAL_STRIP_ACCENTS:
        without(s, len, CHAR_MARK, out);
        break;
    case NORMAL_BERT:
        return bert(step, w, s, len, out, err);
    case NORMAL_REPLACE:
        return replace(step, w, s, len, out, err);
    case NORMAL_PREPEND:
        if (prefix)
            silr_buf_add(out, step->to, step->to_len);
        silr_buf_add(out, s, len);
        break;
    case NORMAL_CHARSMAP:
        if (step->whole)
            map_clusters(step, s, len, w->most, out);
        else
            map_longest(step, s, len, w->most, out);
        break;
    case NORMAL_STRIP:
        strip(step, s, len, out);
        break;
    case NORMAL_NMT:
        nmt(s, len, out);
        break;
    case NORMAL_SPACES:
        spaces(step, s, len, prefix, out);
        break;
    }
    return SILR_OK;
}

/* Does the step leave every text in ASCII as it is? */
static bool spares_ascii(silr_normal_kind kind)
{
    return kind == NORMAL_NFC || kind == NORMAL_NFD || kind == NORMAL_NFKC || kind == NORMAL_NFKD ||
           kind == NORMAL_STRIP_ACCENTS;
}

silr_status silr_tok_normalise(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                               bool prefix, const char **out, size_t *out_len, silr_error *err)
{
    *out = s;
    *out_len = len;
    if (!silr_mul(len, GROWTH, &w->most) || !silr_add(w->most, GROWTH_MORE, &w->most))
        w->most = SIZE_MAX;
    for (size_t i = 0; i<t->n_normal && * out_len> 0; i++) {
        const silr_normal *step = &t->normal[i];
        silr_buf swap;
        silr_status st;
        if (spares_ascii(step->kind) && silr_tok_is_ascii(*out, *out_len))
            continue;
        silr_buf_reset(&w->other);
        if ((st = apply(step, w, *out, *out_len, prefix, &w->other, err)) != SILR_OK)
            return st;
        if (w->other.failed)
            return silr_fail_memory(err);
        if (w->other.len > w->most)
            return silr_fail(err, SILR_EINPUT,
                             "%s: its normalizer makes more than %zu bytes of a text of %zu",
                             t->name, w->most, len);
        swap = w->text;
        w->text = w->other;
        w->other = swap;
        *out = w->text.data ? w->text.data : "";
        *out_len = w->text.len;
    }
    return SILR_OK;
}
