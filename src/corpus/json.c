/* json.c - one JSON object, taken apart where it stands: RFC 8259, strictly, and no more than a
 * row of JSONL needs.
 *
 * A row's members are strings, numbers, true, false, null; a nested value is checked and kept as
 * it is written. Strings are unescaped in place, which always shortens them. There is no
 * recursion: nesting is a stack of bits, one a level, 1 for an object. A general parser builds a
 * tree that we would only copy out of, at about 25 MB/s; this one runs at memory speed, and the
 * fuzzer holds it against that parser. */
#include "corpus/source.h"
#include <string.h>

typedef struct {
    char *from, *p, *end;
    const char *why;
} scan;

static bool fail(scan *j, const char *why)
{
    if (!j->why)
        j->why = why;
    return false;
}

static void space(scan *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

static bool at(const scan *j, char c)
{
    return j->p < j->end && *j->p == c;
}

static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)s[i];
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static char *put_utf8(char *w, unsigned c)
{
    if (c < 0x80) {
        *w++ = (char)c;
    } else if (c < 0x800) {
        *w++ = (char)(0xc0 | c >> 6);
        *w++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *w++ = (char)(0xe0 | c >> 12);
        *w++ = (char)(0x80 | (c >> 6 & 63));
        *w++ = (char)(0x80 | (c & 63));
    } else {
        *w++ = (char)(0xf0 | c >> 18);
        *w++ = (char)(0x80 | (c >> 12 & 63));
        *w++ = (char)(0x80 | (c >> 6 & 63));
        *w++ = (char)(0x80 | (c & 63));
    }
    return w;
}

/* \uXXXX at j->p, which is on the u. Half a surrogate pair becomes U+FFFD. */
static bool unicode_escape(scan *j, char **w, bool *surrogate)
{
    int c = j->end - j->p >= 5 ? hex4(j->p + 1) : -1;

    if (c < 0)
        return fail(j, "\\u needs four hexadecimal digits");
    j->p += 5;
    if (c >= 0xd800 && c < 0xdc00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u') {
        int low = hex4(j->p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *w = put_utf8(*w, 0x10000u + ((unsigned)(c - 0xd800) << 10) + (unsigned)(low - 0xdc00));
            j->p += 6;
            return true;
        }
    }
    if (c >= 0xd800 && c < 0xe000) {
        *surrogate = true;
        c = 0xfffd;
    }
    *w = put_utf8(*w, (unsigned)c);
    return true;
}

static bool escape(scan *j, char **w, bool *surrogate)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *which;

    if (++j->p >= j->end)
        return fail(j, "a string is not closed");
    if (*j->p == 'u')
        return unicode_escape(j, w, surrogate);
    if (*j->p == '\0' || !(which = strchr(from, *j->p)))
        return fail(j, "no such escape");
    *(*w)++ = to[which - from];
    j->p++;
    return true;
}

/* Bytes of a string that stand for themselves: all but quote, backslash and control characters. */
static char *run_end(char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t v, quote, slash;
        memcpy(&v, p, 8);
        quote = v ^ (ones * '"');
        slash = v ^ (ones * '\\');
        /* A byte is zero, or below 0x20: its high bit comes up in a borrow. Bytes from 0x80 are let
         * through by ~v; a borrow may carry into a neighbour, and then the slow loop looks. */
        if ((((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((v - ones * 0x20) & ~v)) &
            high)
            break;
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

/* j->p is on the opening quote; afterwards behind the closing one. */
static bool string(scan *j, char **out, size_t *len, bool *surrogate)
{
    char *w = ++j->p;

    *out = w;
    for (;;) {
        char *stop = run_end(j->p, j->end);
        if (w != j->p)
            memmove(w, j->p, (size_t)(stop - j->p));
        w += stop - j->p;
        j->p = stop;
        if (j->p >= j->end)
            return fail(j, "a string is not closed");
        if (*j->p == '"')
            break;
        if (*j->p != '\\')
            return fail(j, "a control character in a string (write it as \\u00xx)");
        if (!escape(j, &w, surrogate))
            return false;
    }
    j->p++;
    *len = (size_t)(w - *out);
    return true;
}

static bool digits(scan *j)
{
    char *from = j->p;
    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from || fail(j, "a digit is missing in a number");
}

static bool number(scan *j)
{
    if (at(j, '-'))
        j->p++;
    if (at(j, '0'))
        j->p++;
    else if (!digits(j))
        return false;
    if (at(j, '.')) {
        j->p++;
        if (!digits(j))
            return false;
    }
    if (at(j, 'e') || at(j, 'E')) {
        j->p++;
        if (at(j, '+') || at(j, '-'))
            j->p++;
        return digits(j);
    }
    return true;
}

static bool word(scan *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
        return fail(j, "a value is missing or unknown");
    j->p += n;
    return true;
}

/* Checks a string without changing it: the raw text of a nested value is kept. */
static bool check_string(scan *j)
{
    char sink[8], *w;
    bool surrogate;

    for (j->p++;;) {
        j->p = run_end(j->p, j->end);
        if (j->p >= j->end)
            return fail(j, "a string is not closed");
        if (*j->p == '"')
            break;
        if (*j->p != '\\')
            return fail(j, "a control character in a string (write it as \\u00xx)");
        w = sink;
        if (!escape(j, &w, &surrogate))
            return false;
    }
    j->p++;
    return true;
}

static bool scalar(scan *j)
{
    switch (j->p < j->end ? *j->p : '\0') {
    case '"':
        return check_string(j);
    case 't':
        return word(j, "true");
    case 'f':
        return word(j, "false");
    case 'n':
        return word(j, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return number(j);
    default:
        return fail(j, "a value is missing or unknown");
    }
}

static bool key_and_colon(scan *j)
{
    space(j);
    if (!at(j, '"'))
        return fail(j, "a name in quotes was expected");
    if (!check_string(j))
        return false;
    space(j);
    if (!at(j, ':'))
        return fail(j, "a colon was expected");
    j->p++;
    return true;
}

/* Behind a value: closes what ends here, or steps over the comma. depth 0: all is closed. */
static bool after_value(scan *j, uint64_t objects, int *depth)
{
    while (*depth > 0) {
        bool object = objects >> (*depth - 1) & 1;
        space(j);
        if (at(j, ',')) {
            j->p++;
            return !object || key_and_colon(j);
        }
        if (!at(j, object ? '}' : ']'))
            return fail(j, object ? "a comma or } was expected" : "a comma or ] was expected");
        j->p++;
        --*depth;
    }
    return true;
}

/* j->p is on { or [; afterwards behind its partner. */
static bool nested(scan *j)
{
    uint64_t objects = 0;
    int depth = 0;

    do {
        space(j);
        if (at(j, '{') || at(j, '[')) {
            bool object = *j->p == '{';
            if (depth == SILR_DEPTH_MAX)
                return fail(j, "nested more than 64 deep");
            objects = (objects & ~(UINT64_C(1) << depth)) | (uint64_t)object << depth;
            depth++;
            j->p++;
            space(j);
            if (!at(j, object ? '}' : ']')) {
                if (object && !key_and_colon(j))
                    return false;
                continue;
            }
            j->p++;
            depth--;
        } else if (!scalar(j)) {
            return false;
        }
        if (!after_value(j, objects, &depth))
            return false;
    } while (depth > 0);
    return true;
}

static bool value(scan *j, silr_field *f)
{
    char *from = j->p;

    f->surrogate = false;
    f->value = from;
    if (at(j, '"')) {
        f->kind = SILR_VALUE_STRING;
        return string(j, &f->value, &f->len, &f->surrogate);
    }
    if (at(j, '{') || at(j, '[')) {
        f->kind = SILR_VALUE_NESTED;
        if (!nested(j))
            return false;
    } else {
        char c = j->p < j->end ? *j->p : '\0';
        f->kind = c == 'n'               ? SILR_VALUE_NULL
                  : c == 't' || c == 'f' ? SILR_VALUE_BOOL
                                         : SILR_VALUE_NUMBER;
        if (!scalar(j))
            return false;
    }
    f->len = (size_t)(j->p - from);
    if (f->kind == SILR_VALUE_NULL) {
        f->value = NULL;
        f->len = 0;
    }
    return true;
}

static bool member(scan *j, silr_fields *f, silr_status *st)
{
    silr_field spare, *place;
    char *name;
    size_t len;
    bool surrogate = false;

    space(j);
    if (!at(j, '"'))
        return fail(j, "a name in quotes was expected");
    if (!string(j, &name, &len, &surrogate))
        return false;
    space(j);
    if (!at(j, ':'))
        return fail(j, "a colon was expected");
    j->p++;
    space(j);
    if (!(place = silr_fields_place(f, name, len, st))) {
        if (*st != SILR_OK)
            return false;
        place = &spare;
    }
    return value(j, place);
}

static bool object(scan *j, silr_fields *f, silr_status *st)
{
    space(j);
    if (!at(j, '{'))
        return fail(j, "");
    j->p++;
    space(j);
    if (at(j, '}')) {
        j->p++;
    } else {
        for (;;) {
            if (!member(j, f, st))
                return false;
            space(j);
            if (at(j, '}'))
                break;
            if (!at(j, ','))
                return fail(j, "a comma or } was expected");
            j->p++;
        }
        j->p++;
    }
    space(j);
    return j->p == j->end || fail(j, "something follows the object");
}

silr_status silr_json_parse(silr_record *r, silr_fields *f)
{
    scan j = {r->s, r->s, r->s + r->len, NULL};
    silr_status st = SILR_OK;

    if (!object(&j, f, &st)) {
        if (st != SILR_OK)
            return st;
        if (!j.why[0])
            snprintf(f->why, sizeof f->why, "not a JSON object (one {...} a line)");
        else
            snprintf(f->why, sizeof f->why, "broken JSON at byte %zu: %s",
                     (size_t)(j.p - j.from) + 1, j.why);
        return SILR_EINPUT;
    }
    /* Only now: the byte behind a number is read as a comma or brace before. */
    for (size_t i = 0; i < f->n; i++) {
        if (f->field[i].kind > SILR_VALUE_NULL)
            f->field[i].value[f->field[i].len] = '\0';
        if (!f->wanted) /* then the name stands in the record too */
            r->s[f->field[i].name - r->s + (ptrdiff_t)f->field[i].name_len] = '\0';
    }
    return SILR_OK;
}
