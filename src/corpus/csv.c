/* csv.c - RFC 4180, with a comma or a tab between the fields.
 *
 * A field that begins with a quote goes on to the next lone quote, over line ends and delimiters;
 * two quotes inside stand for one. A quote in the middle of a bare field is an ordinary character
 * (5" nails). The cutter, which finds where a record ends, and the parser, which takes it apart,
 * walk the same four states. */
#include "corpus/source.h"
#include <stdio.h>
#include <string.h>

enum { FIELD_START, BARE, QUOTED, QUOTE_IN_QUOTED };

int silr_csv_cut(silr_source *s)
{
    const char delimiter = s->delimiter;
    int state = s->state;
    size_t i = s->scan;

    for (; i < s->end; i++) {
        char c = s->buf[i];
        if (state == QUOTED) {
            if (c == '"')
                state = QUOTE_IN_QUOTED;
            else if (c == '\n')
                s->lines++;
        } else if (c == '\n') {
            break;
        } else if (c == delimiter) {
            state = FIELD_START;
        } else if (c == '"' && state != BARE) {
            if (state == FIELD_START)
                s->quote_line = s->line + s->lines;
            state = QUOTED;
        } else {
            state = BARE;
        }
    }
    s->scan = i;
    s->state = state;
    return i < s->end ? SILR_CSV_DONE : SILR_CSV_NEED;
}

bool silr_csv_open(const silr_source *s)
{
    return s->state == QUOTED;
}

/* The field at *p, unquoted in place; *p is behind its delimiter, or NULL at the last. */
static bool next_field(char **p, char *end, char delimiter, char **value, size_t *len)
{
    char *s = *p, *w = s, *stop;

    *value = s;
    if (s < end && *s == '"') {
        for (s++; s < end; s++) {
            if (*s == '"' && (++s == end || *s != '"'))
                break;
            *w++ = *s;
        }
        *len = (size_t)(w - *value);
        if (s > end)
            s = end;
        if (s < end && *s != delimiter)
            return false;
        stop = s;
    } else {
        stop = s < end ? memchr(s, delimiter, (size_t)(end - s)) : NULL;
        if (!stop)
            stop = end;
        *len = (size_t)(stop - s);
    }
    *p = stop < end ? stop + 1 : NULL;
    (*value)[*len] = '\0';
    return true;
}

silr_status silr_csv_parse(const silr_source *s, silr_record *r, silr_fields *f)
{
    char *p = r->s, *end = r->s + r->len;
    size_t n = 0;

    while (p) {
        silr_status st = SILR_OK;
        silr_field *place;
        char *value;
        size_t len;
        if (!next_field(&p, end, s->delimiter, &value, &len)) {
            snprintf(f->why, sizeof f->why, "field %zu goes on behind its closing quote", n + 1);
            return SILR_EINPUT;
        }
        if (n < s->n_header) {
            place = silr_fields_place(f, s->header[n], strlen(s->header[n]), &st);
            if (st != SILR_OK)
                return st;
            if (place) {
                place->value = value;
                place->len = len;
                place->kind = SILR_VALUE_STRING;
                place->surrogate = false;
            }
        }
        n++;
    }
    if (n == s->n_header)
        return SILR_OK;
    snprintf(f->why, sizeof f->why, "has %zu field%s, but the header has %zu", n, n == 1 ? "" : "s",
             s->n_header);
    return SILR_EINPUT;
}

static silr_status add_header(silr_source *s, size_t *cap, const char *name, size_t len,
                              uint64_t line, silr_error *err)
{
    silr_buf clean = {0};
    bool bad = false, nul = false;

    if (s->n_header == SILR_COLUMNS_MAX)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: the header has more than %d columns", s->name,
                         (unsigned long long)line, SILR_COLUMNS_MAX);
    silr_utf8_repair(&clean, name, len, &bad, &nul);
    if (clean.failed || !silr_grow(&s->header, cap, s->n_header + 1, sizeof *s->header) ||
        !(s->header[s->n_header] = silr_buf_take(&clean))) {
        silr_buf_clear(&clean);
        return silr_fail_memory(err);
    }
    name = s->header[s->n_header++];
    for (size_t i = 0; i + 1 < s->n_header; i++)
        if (strcmp(s->header[i], name) == 0)
            return silr_fail(err, SILR_EINPUT, "%s:%llu: the header has two columns \"%s\"",
                             s->name, (unsigned long long)line, name);
    return SILR_OK;
}

silr_status silr_csv_header(silr_source *s, silr_error *err)
{
    silr_record r;
    size_t cap = 0;
    int how = silr_source_next(s, &r, true, err);
    char *p, *end;

    if (how == SILR_END)
        return SILR_OK; /* empty: the reader says so */
    if (how < 0)
        return how;
    if (r.bad)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: the header: %s", s->name,
                         (unsigned long long)r.line, r.bad);
    end = r.s + r.len;
    for (p = r.s; p;) {
        silr_status st;
        char *name;
        size_t len;
        if (!next_field(&p, end, s->delimiter, &name, &len))
            return silr_fail(err, SILR_EINPUT,
                             "%s:%llu: the header: field %zu goes on behind its closing quote",
                             s->name, (unsigned long long)r.line, s->n_header + 1);
        if ((st = add_header(s, &cap, name, len, r.line, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}
