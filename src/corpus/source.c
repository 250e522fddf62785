/* source.c - a stretch of bytes that holds one row, cut out of the stream.
 *
 * A row is a line, except where CSV has a line end inside quotes. Cutting needs to look at bytes
 * only for line ends (and quotes), so one thread keeps up with many that take rows apart. The
 * buffer grows with the longest row up to SILR_RECORD_MAX; a longer one is skipped as it streams
 * by, never held. */
#include "corpus/source.h"
#include <string.h>

enum { FIRST = 1 << 16, SNIFF = 4096 };

static silr_status set_cap(silr_source *s, size_t cap, silr_error *err)
{
    char *grown;
    if (cap <= s->cap)
        return SILR_OK;
    if (!(grown = silr_realloc(s->buf, cap + 1, 1)))
        return silr_fail_memory(err);
    s->buf = grown;
    s->cap = cap;
    return SILR_OK;
}

/* Moves the record in progress to the front, where there is the most room behind it. */
static void compact(silr_source *s)
{
    if (s->at == 0)
        return;
    memmove(s->buf, s->buf + s->at, s->end - s->at);
    s->scan -= s->at;
    s->end -= s->at;
    s->at = 0;
}

static silr_status read_once(silr_source *s, silr_error *err)
{
    size_t n;
    silr_status st = silr_bytes_read(s->in, s->buf + s->end, s->cap - s->end, &n, err);
    if (st == SILR_OK && n == 0)
        s->eof = true;
    s->end += n;
    return st;
}

silr_status silr_source_fill(silr_source *s, size_t want, silr_error *err)
{
    silr_status st;

    if (want > SILR_RECORD_MAX)
        want = SILR_RECORD_MAX;
    compact(s);
    st = set_cap(s, want, err);
    while (st == SILR_OK && !s->eof && s->end < s->cap)
        st = read_once(s, err);
    return st;
}

/* --- the format --------------------------------------------------------------------------------
 */

static bool has_extension(const char *name, const char *ext)
{
    size_t n = strlen(name), m = strlen(ext);
    if (n > 3 && strcmp(name + n - 3, ".gz") == 0)
        n -= 3;
    else if (n > 4 && strcmp(name + n - 4, ".zst") == 0)
        n -= 4;
    return n > m && strncasecmp(name + n - m, ext, m) == 0;
}

static silr_format by_extension(const char *name)
{
    static const struct {
        const char *ext;
        silr_format format;
    } known[] = {{".jsonl", SILR_FORMAT_JSONL}, {".ndjson", SILR_FORMAT_JSONL},
                 {".json", SILR_FORMAT_JSONL},  {".csv", SILR_FORMAT_CSV},
                 {".tsv", SILR_FORMAT_TSV},     {".tab", SILR_FORMAT_TSV},
                 {".ft", SILR_FORMAT_FASTTEXT}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (has_extension(name, known[i].ext))
            return known[i].format;
    return SILR_FORMAT_AUTO;
}

/* A header: two names or more between commas, each of them short and without a space behind its
 * comma. A sentence with commas has spaces. */
static bool looks_like_header(const char *s, size_t len)
{
    size_t commas = 0, piece = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == ',') {
            commas++;
            piece = 0;
            if (i + 1 < len && s[i + 1] == ' ')
                return false;
        } else if (++piece > 40) {
            return false;
        }
    }
    return commas > 0;
}

static silr_format by_bytes(const silr_source *s)
{
    const char *p = s->buf + s->at;
    size_t len = s->end - s->at, line;
    const char *newline;

    while (len > 0 && strchr(" \t\r\n", *p) && *p) {
        p++;
        len--;
    }
    if (len > 0 && (*p == '{' || *p == '['))
        return SILR_FORMAT_JSONL;
    if (len >= 9 && memcmp(p, "__label__", 9) == 0)
        return SILR_FORMAT_FASTTEXT;
    if (has_extension(s->name, ".txt"))
        return SILR_FORMAT_PLAIN;
    newline = len > 0 ? memchr(p, '\n', len) : NULL;
    line = newline ? (size_t)(newline - p) : len;
    if (line > 0 && memchr(p, '\t', line))
        return SILR_FORMAT_TSV;
    return looks_like_header(p, line) ? SILR_FORMAT_CSV : SILR_FORMAT_PLAIN;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static silr_status skip_mark(silr_source *s, silr_error *err)
{
    const char *p = s->buf;
    if (s->end >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        s->at = s->scan = 3;
    } else if (s->end >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0)) {
        return silr_fail(err, SILR_EINPUT,
                         "%s: is UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)", s->name);
    }
    return SILR_OK;
}

static silr_status start(silr_source *s, const char *name, silr_format format, silr_error *err)
{
    silr_status st;
    size_t need;

    s->line = 1;
    s->format = format;
    if (!(s->owned_name = silr_strdup(name)))
        return silr_fail_memory(err);
    s->name = s->owned_name;
    if (s->format == SILR_FORMAT_AUTO)
        s->format = by_extension(name);
    if ((st = set_cap(s, FIRST, err)) != SILR_OK)
        return st;
    need = s->format == SILR_FORMAT_AUTO ? SNIFF : 3;
    while (!s->eof && s->end < need && !(s->end >= 3 && memchr(s->buf, '\n', s->end)))
        if ((st = read_once(s, err)) != SILR_OK)
            return st;
    if ((st = skip_mark(s, err)) != SILR_OK)
        return st;
    if (s->format == SILR_FORMAT_AUTO)
        s->format = by_bytes(s);
    s->delimiter = s->format == SILR_FORMAT_TSV ? '\t' : ',';
    if (s->format == SILR_FORMAT_CSV || s->format == SILR_FORMAT_TSV)
        return silr_csv_header(s, err);
    return SILR_OK;
}

static silr_status finish_open(silr_source **out, silr_source *s, silr_status st)
{
    if (st != SILR_OK) {
        silr_source_close(s);
        return st;
    }
    *out = s;
    return SILR_OK;
}

silr_status silr_source_open(silr_source **out, const char *path, silr_format format,
                             EVP_MD_CTX *digest, silr_error *err)
{
    silr_status st;
    silr_source *s = silr_calloc(1, sizeof *s);

    *out = NULL;
    if (!s)
        return silr_fail_memory(err);
    if ((st = silr_bytes_open(&s->in, path, digest, err)) == SILR_OK)
        st = start(s, silr_file_label(path), format, err);
    return finish_open(out, s, st);
}

silr_status silr_source_open_memory(silr_source **out, const void *bytes, size_t len,
                                    const char *name, silr_format format, silr_error *err)
{
    silr_status st;
    silr_source *s = silr_calloc(1, sizeof *s);

    *out = NULL;
    if (!s)
        return silr_fail_memory(err);
    if ((st = silr_bytes_open_memory(&s->in, bytes, len, name, err)) == SILR_OK)
        st = start(s, name, format, err);
    return finish_open(out, s, st);
}

void silr_source_close(silr_source *s)
{
    if (!s)
        return;
    silr_bytes_close(s->in);
    silr_files_free(s->header, s->n_header);
    silr_free(s->owned_name);
    silr_free(s->buf);
    silr_free(s);
}

/* --- cutting -----------------------------------------------------------------------------------
 */

static bool is_csv(const silr_source *s)
{
    return s->format == SILR_FORMAT_CSV || s->format == SILR_FORMAT_TSV;
}

/* Looks for the line end that ends the record; s->scan is on it, or at the end of the buffer. */
static bool find_end(silr_source *s)
{
    const char *newline;
    if (is_csv(s))
        return silr_csv_cut(s) == SILR_CSV_DONE;
    newline = s->end > s->scan ? memchr(s->buf + s->scan, '\n', s->end - s->scan) : NULL;
    s->scan = newline ? (size_t)(newline - s->buf) : s->end;
    return newline;
}

static void emit(silr_source *s, silr_record *r, bool newline)
{
    *r = (silr_record){s->buf + s->at, s->scan - s->at, s->line, NULL, false};
    if (newline && r->len > 0 && r->s[r->len - 1] == '\r')
        r->len--;
    if (s->skipping) {
        r->len = 0;
        r->bad = "longer than 8 MiB";
    }
    if (!newline && is_csv(s) && silr_csv_open(s)) {
        r->line = s->quote_line;
        r->bad = "a quote begins here that is never closed";
        r->final = true;
    }
    s->line += s->lines + newline;
    s->lines = 0;
    s->state = 0;
    s->skipping = false;
    s->at = s->scan = s->scan + newline;
}

/* Nothing but blanks: no row, except in plain text, where a line is a text. */
static bool blank(const silr_source *s, const silr_record *r)
{
    if (s->format == SILR_FORMAT_PLAIN || r->bad)
        return false;
    for (size_t i = 0; i < r->len; i++)
        if (r->s[i] != ' ' && r->s[i] != '\r' && (r->s[i] != '\t' || s->format == SILR_FORMAT_TSV))
            return false;
    return true;
}

static silr_status refill(silr_source *s, silr_error *err)
{
    silr_status st = SILR_OK;

    if (s->end - s->at >= SILR_RECORD_MAX)
        s->skipping = true;
    if (s->skipping)
        s->at = s->scan = s->end = 0;
    compact(s);
    if (s->end == s->cap)
        st = set_cap(s, s->cap < SILR_RECORD_MAX / 2 ? s->cap * 2 : SILR_RECORD_MAX, err);
    return st == SILR_OK ? read_once(s, err) : st;
}

int silr_source_next(silr_source *s, silr_record *r, bool may_fill, silr_error *err)
{
    for (;;) {
        silr_status st;
        if (find_end(s)) {
            emit(s, r, true);
        } else if (s->eof) {
            if (s->at == s->end && !s->skipping)
                return SILR_END;
            emit(s, r, false);
        } else if (!may_fill) {
            return SILR_MORE;
        } else if ((st = refill(s, err)) != SILR_OK) {
            return st;
        } else {
            continue;
        }
        if (!blank(s, r))
            return SILR_RECORD;
    }
}

/* --- fields ------------------------------------------------------------------------------------
 */

silr_status silr_fields_init(silr_fields *f, const char *const *wanted, const size_t *wanted_len,
                             size_t n)
{
    *f = (silr_fields){.wanted = wanted, .wanted_len = wanted_len};
    if (!wanted)
        return SILR_OK;
    if (!silr_grow(&f->field, &f->cap, n, sizeof *f->field))
        return SILR_ENOMEM;
    f->n = n;
    for (size_t i = 0; i < n; i++)
        f->field[i] = (silr_field){.name = wanted[i], .name_len = wanted_len[i]};
    return SILR_OK;
}

void silr_fields_clear(silr_fields *f)
{
    silr_free(f->field);
    *f = (silr_fields){0};
}

silr_field *silr_fields_place(silr_fields *f, const char *name, size_t len, silr_status *st)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->field[i].name_len == len && memcmp(f->field[i].name, name, len) == 0)
            return &f->field[i];
    if (f->wanted)
        return NULL;
    if (f->n >= SILR_COLUMNS_MAX) {
        snprintf(f->why, sizeof f->why, "more than %d columns", SILR_COLUMNS_MAX);
        *st = SILR_EINPUT;
    } else if (!silr_grow(&f->field, &f->cap, f->n + 1, sizeof *f->field)) {
        *st = SILR_ENOMEM;
    } else {
        f->field[f->n] = (silr_field){.name = name, .name_len = len};
        return &f->field[f->n++];
    }
    return NULL;
}

silr_status silr_source_parse(const silr_source *s, silr_record *r, silr_fields *f)
{
    f->why[0] = '\0';
    if (f->wanted)
        for (size_t i = 0; i < f->n; i++)
            f->field[i].kind = SILR_VALUE_NONE;
    else
        f->n = 0;
    if (r->bad) {
        snprintf(f->why, sizeof f->why, "%s", r->bad);
        return SILR_EINPUT;
    }
    switch (s->format) {
    case SILR_FORMAT_CSV:
    case SILR_FORMAT_TSV:
        return silr_csv_parse(s, r, f);
    case SILR_FORMAT_FASTTEXT:
        return silr_fasttext_parse(r, f);
    case SILR_FORMAT_PLAIN:
        return silr_plain_parse(r, f);
    case SILR_FORMAT_JSONL:
    case SILR_FORMAT_AUTO:
        break;
    }
    return silr_json_parse(r, f);
}
