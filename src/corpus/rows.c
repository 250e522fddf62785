/* rows.c - one row at a time with all of its columns: streams for predict, a look for init. */
#include "corpus/source.h"
#include <string.h>

struct silr_rows {
    silr_source *source;
    silr_fields fields;
    silr_arena repaired; /* names and values that were not UTF-8 */
    const char **names, **values;
    size_t *lens;
    unsigned char *kinds;
    size_t cap;
};

static silr_status make(silr_rows **out, silr_source *source, silr_error *err)
{
    silr_rows *r = silr_calloc(1, sizeof *r);
    if (!r) {
        silr_source_close(source);
        return silr_fail_memory(err);
    }
    r->source = source;
    *out = r;
    return SILR_OK;
}

silr_status silr_rows_open(silr_rows **out, const char *path, silr_format format, silr_error *err)
{
    silr_source *source;
    silr_status st = silr_source_open(&source, path, format, NULL, err);
    *out = NULL;
    return st == SILR_OK ? make(out, source, err) : st;
}

silr_status silr_rows_open_memory(silr_rows **out, const void *bytes, size_t len, const char *name,
                                  silr_format format, silr_error *err)
{
    silr_source *source;
    silr_status st = silr_source_open_memory(&source, bytes, len, name, format, err);
    *out = NULL;
    return st == SILR_OK ? make(out, source, err) : st;
}

silr_format silr_rows_format(const silr_rows *r)
{
    return r->source->format;
}

void silr_rows_close(silr_rows *r)
{
    if (!r)
        return;
    silr_source_close(r->source);
    silr_fields_clear(&r->fields);
    silr_arena_clear(&r->repaired);
    silr_free(r->names);
    silr_free(r->values);
    silr_free(r->lens);
    silr_free(r->kinds);
    silr_free(r);
}

static bool widen(silr_rows *r)
{
    size_t need = r->fields.n, a = r->cap, b = r->cap, c = r->cap, d = r->cap;
    if (!silr_grow(&r->names, &a, need, sizeof *r->names) ||
        !silr_grow(&r->values, &b, need, sizeof *r->values) ||
        !silr_grow(&r->lens, &c, need, sizeof *r->lens) || !silr_grow(&r->kinds, &d, need, 1))
        return false;
    r->cap = a;
    return true;
}

static const char *clean(silr_rows *r, const char *s, size_t *len)
{
    silr_buf b = {0};
    bool bad, nul;
    const char *kept;

    if (silr_utf8_clean(s, *len))
        return s;
    silr_utf8_repair(&b, s, *len, &bad, &nul);
    kept = b.failed ? NULL : silr_arena_strndup(&r->repaired, b.data, b.len);
    *len = b.len;
    silr_buf_clear(&b);
    return kept;
}

static silr_status show(silr_rows *r, silr_row *row, silr_error *err)
{
    if (!widen(r))
        return silr_fail_memory(err);
    for (size_t i = 0; i < r->fields.n; i++) {
        silr_field *f = &r->fields.field[i];
        size_t name_len = f->name_len;
        r->kinds[i] = (unsigned char)f->kind;
        r->lens[i] = f->len;
        r->values[i] = f->value ? clean(r, f->value, &r->lens[i]) : NULL;
        r->names[i] = clean(r, f->name, &name_len);
        if (!r->names[i] || (f->value && !r->values[i]))
            return silr_fail_memory(err);
    }
    row->n = r->fields.n;
    row->names = r->names;
    row->values = r->values;
    row->lens = r->lens;
    row->kinds = r->kinds;
    return SILR_OK;
}

/* A status that the caller may not take for "this row only". */
static silr_status final(silr_status st, silr_error *err)
{
    if (st != SILR_EINPUT)
        return st;
    if (err)
        err->status = SILR_EIO;
    return SILR_EIO;
}

int silr_rows_next(silr_rows *r, silr_row *row, silr_error *err)
{
    silr_record record;
    silr_status st;
    int how;

    silr_arena_clear(&r->repaired);
    if ((how = silr_source_next(r->source, &record, true, err)) < 0)
        return final((silr_status)how, err);
    if (how == SILR_END)
        return 0;
    row->line = record.line;
    st = silr_source_parse(r->source, &record, &r->fields);
    if (st == SILR_OK)
        st = show(r, row, err);
    else if (st == SILR_EINPUT)
        silr_fail(err, st, "%s:%llu: %s", r->source->name, (unsigned long long)record.line,
                  r->fields.why);
    else
        silr_fail_memory(err);
    if (st != SILR_OK)
        return record.final ? final(st, err) : st;
    return 1;
}
