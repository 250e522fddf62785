/* parse.c - a record becomes a document: its text put together, repaired, cut, folded and hashed.
 * All of it depends on one record alone, so that threads can share the records of a batch. */
#include "corpus/parse.h"
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* --- what is wanted ----------------------------------------------------------------------------
 */

static int want(silr_wanted *w, const char *name, size_t len, const char *knob, bool text)
{
    size_t i = 0;
    while (i < w->n && (w->len[i] != len || memcmp(w->name[i], name, len) != 0))
        i++;
    if (i == SILR_WANTED_MAX)
        return SILR_EINPUT;
    if (i == w->n) {
        if (!(w->name[i] = silr_arena_strndup(&w->names, name, len)))
            return SILR_ENOMEM;
        w->len[i] = len;
        w->knob[i] = knob;
        w->n++;
    }
    w->text[i] |= text;
    return (int)i;
}

static int want_text(silr_wanted *w, const char *text)
{
    int slot = 0;
    silr_part part;

    if (w->single)
        return want(w, text, strlen(text), "corpus.text", true);
    while (slot >= 0 && silr_template_next(&text, &part) > 0)
        if (part.column)
            slot = want(w, part.s, part.len, "corpus.text", true);
    return slot;
}

/* A column for a role, and the knob that names it. */
typedef struct {
    const char *name, *knob;
} named_role;

static bool add_role(named_role *role, size_t *n, const char *name, const char *knob)
{
    for (size_t i = SILR_ROLE_ANNOTATOR; name && i < *n; i++)
        if (strcmp(role[i].name, name) == 0)
            return true;
    if (!name || *n == SILR_ROLES)
        return !name;
    role[(*n)++] = (named_role){name, knob};
    return true;
}

/* The columns that annotators read: of each column annotator its answers and their log-odds. */
static bool annotator_roles(named_role *role, size_t *n, const silr_task *task)
{
    bool fits = true;

    for (size_t i = 0; i < task->annotator.n_members; i++)
        fits = fits && annotator_roles(role, n, task->annotator.member[i]);
    if (task->annotator.kind != SILR_ANNOTATOR_COLUMN)
        return fits;
    return fits && add_role(role, n, task->annotator.column, "annotator.column") &&
           add_role(role, n, task->annotator.log_odds, "annotator.log_odds");
}

silr_status silr_wanted_init(silr_wanted *w, const silr_task *task, silr_error *err)
{
    named_role role[SILR_ROLES] = {{task->corpus.id, "corpus.id"},
                                   {task->corpus.label, "corpus.label"},
                                   {task->corpus.group, "corpus.group"}};
    size_t n_roles = SILR_ROLE_ANNOTATOR;
    silr_status st;
    int slot;

    if (!annotator_roles(role, &n_roles, task))
        return silr_fail(err, SILR_EINPUT, "annotator.members: they read more than %d columns",
                         SILR_KEPT_MAX - 1);

    *w = (silr_wanted){.max_bytes =
                           (size_t)(task->corpus.max_bytes > 0 ? task->corpus.max_bytes : 0)};
    w->template_text = task->corpus.text ? task->corpus.text : "text";
    w->single = silr_template_single(w->template_text);
    if ((st = silr_template_check(w->template_text, err)) != SILR_OK)
        return st;
    slot = want_text(w, w->template_text);
    for (int k = 0; slot >= 0 && k < SILR_ROLES; k++) {
        w->slot[k] = -1;
        if (role[k].name && role[k].name[0])
            w->slot[k] = slot = want(w, role[k].name, strlen(role[k].name), role[k].knob, false);
    }
    if (slot == SILR_EINPUT)
        return silr_fail(err, SILR_EINPUT, "corpus.text: names more than %d columns",
                         SILR_WANTED_MAX - SILR_ROLES);
    return slot < 0 ? silr_fail_memory(err) : SILR_OK;
}

void silr_wanted_clear(silr_wanted *w)
{
    silr_arena_clear(&w->names);
}

/* --- one row -----------------------------------------------------------------------------------
 */

static void bad(silr_worker *own, silr_parsed *out, const char *column, size_t len,
                const char *what)
{
    silr_buf b = {0};
    silr_buf_printf(&b, column ? "\"%.*s\" %s" : "%.*s%s", (int)len, column ? column : "", what);
    out->status = SILR_EINPUT;
    if (b.failed || !(out->why = silr_arena_strndup(&own->batch, b.data, b.len)))
        out->status = SILR_ENOMEM;
    silr_buf_clear(&b);
}

static bool no_text(silr_worker *own, silr_parsed *out, const silr_field *f, bool single)
{
    if (f->kind == SILR_VALUE_NONE)
        bad(own, out, f->name, f->name_len, "is missing");
    else if (single && f->kind == SILR_VALUE_NULL)
        bad(own, out, f->name, f->name_len, "is null");
    else if (f->kind == SILR_VALUE_NESTED || (single && f->kind != SILR_VALUE_STRING))
        bad(own, out, f->name, f->name_len, "is not a string");
    else
        return false;
    return true;
}

static const silr_field *find(const silr_fields *f, const char *name, size_t len)
{
    size_t i = 0;
    while (f->field[i].name_len != len || memcmp(f->field[i].name, name, len) != 0)
        i++; /* every column of the template is wanted */
    return &f->field[i];
}

/* The text of the row: in the record if it is one column, else in own->text. */
static bool gather(const silr_wanted *w, silr_worker *own, silr_parsed *out, const char **text,
                   size_t *len)
{
    const char *p = w->template_text;
    silr_part part;

    if (w->single) {
        const silr_field *f = &own->fields.field[0];
        if (no_text(own, out, f, true)) {
            out->missing = f->kind == SILR_VALUE_NONE ? 0 : -1;
            return false;
        }
        out->bad_utf8 = f->surrogate;
        *text = f->value;
        *len = f->len;
        return true;
    }
    silr_buf_reset(&own->text);
    while (silr_template_next(&p, &part) > 0) {
        const silr_field *f;
        if (!part.column) {
            silr_buf_add(&own->text, part.s, part.len);
            continue;
        }
        f = find(&own->fields, part.s, part.len);
        if (no_text(own, out, f, false)) {
            out->missing = f->kind == SILR_VALUE_NONE ? (int)(f - own->fields.field) : -1;
            return false;
        }
        if (f->value) {
            silr_buf_add(&own->text, f->value, f->len);
            out->bad_utf8 |= f->surrogate;
        }
    }
    *text = own->text.data;
    *len = own->text.len;
    if (own->text.failed)
        out->status = SILR_ENOMEM;
    return !own->text.failed;
}

static void keep_text(const silr_wanted *w, silr_worker *own, silr_parsed *out, const char *text,
                      size_t len)
{
    XXH128_hash_t h;

    if (!silr_utf8_clean(text, len)) {
        silr_buf_reset(&own->repair);
        silr_utf8_repair(&own->repair, text, len, &out->bad_utf8, &out->nul);
        text = own->repair.data;
        len = own->repair.len;
    }
    if (w->max_bytes > 0 && len > w->max_bytes) {
        len = silr_utf8_cut(text, len, w->max_bytes);
        out->cut = true;
    }
    if (own->repair.failed || len > UINT32_MAX || !silr_utf8_fold(&own->fold, text, len) ||
        !(out->text = silr_arena_strndup(own->texts, text, len))) {
        out->status = SILR_ENOMEM;
        return;
    }
    out->len = (uint32_t)len;
    out->empty = own->fold.len == 0;
    h = XXH3_128bits(own->fold.data, own->fold.len);
    out->fold = (silr_fold){h.low64, h.high64};
}

static void keep_value(silr_worker *own, const silr_field *f, const char **value, silr_parsed *out)
{
    bool unused;

    *value = f->kind > SILR_VALUE_NULL && f->len > 0 ? f->value : NULL;
    if (!*value || silr_utf8_clean(f->value, f->len))
        return;
    silr_buf_reset(&own->repair);
    silr_utf8_repair(&own->repair, f->value, f->len, &unused, &unused);
    *value = own->repair.failed
                 ? NULL
                 : silr_arena_strndup(&own->batch, own->repair.data, own->repair.len);
    if (!*value)
        out->status = SILR_ENOMEM;
}

void silr_parse_row(const silr_wanted *w, const silr_source *s, silr_record *r, silr_worker *own,
                    silr_parsed *out)
{
    const char *text;
    size_t len;

    *out = (silr_parsed){.missing = -1, .line = r->line, .final = r->final};
    out->status = own->failed ? SILR_ENOMEM : silr_source_parse(s, r, &own->fields);
    if (out->status == SILR_EINPUT)
        bad(own, out, NULL, 0, own->fields.why);
    if (out->status != SILR_OK)
        return;
    for (size_t k = 0; k < w->n; k++)
        if (own->fields.field[k].kind != SILR_VALUE_NONE)
            out->seen |= UINT64_C(1) << k;
    if (!gather(w, own, out, &text, &len))
        return;
    for (int k = 0; k < SILR_ROLES; k++)
        if (w->slot[k] >= 0)
            keep_value(own, &own->fields.field[w->slot[k]], &out->value[k], out);
    if (out->status == SILR_OK)
        keep_text(w, own, out, text, len);
}
