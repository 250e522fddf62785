/* tree.c - YAML into a small tree of our own, with line and column at every node.
 *
 * libfyaml splits the text into events; this file builds the tree from them and refuses what a
 * task never needs and an attacker would like: aliases (a few lines that unfold to gigabytes),
 * tags, several documents, deep nesting, keys that are maps, keys that stand twice, bytes that
 * are not UTF-8, NUL in a string. JSON is YAML, so what json.c writes is read here too.
 *
 * libfyaml would print its complaints to stderr. A listener that drops them, and the collected
 * errors, give us its first sentence instead. */
#include "task/inside.h"
#include <libfyaml.h>
#include <string.h>
#include <utf8proc.h>

typedef struct {
    struct fy_parser *parser;
    struct fy_diag *diag;
    silr_arena *arena;
    const char *name;
    silr_error *err;
    silr_status st; /* of the first failure */
} builder;

static void drop(struct fy_diag *diag, void *user, const char *text, size_t len)
{
    (void)diag, (void)user, (void)text, (void)len;
}

static bool no_memory(builder *b)
{
    b->st = silr_fail_memory(b->err);
    return false;
}

/* The start of a token, from 1. */
static void place(struct fy_token *t, int *line, int *column)
{
    const struct fy_mark *m = t ? fy_token_start_mark(t) : NULL;

    *line = m ? m->line + 1 : 1;
    *column = m ? m->column + 1 : 1;
    if (t && *column > 1 &&
        (fy_token_scalar_style(t) == FYSS_SINGLE_QUOTED ||
         fy_token_scalar_style(t) == FYSS_DOUBLE_QUOTED))
        --*column; /* libfyaml counts from behind the quote */
}

static bool refuse(builder *b, struct fy_token *at, const char *why)
{
    int line, column;

    place(at, &line, &column);
    b->st = silr_fail(b->err, SILR_EINPUT, "%s:%d:%d: %s", b->name, line, column, why);
    return false;
}

/* What libfyaml itself had to say; its first sentence is the cause, the rest follows from it. */
static bool broken(builder *b)
{
    void *prev = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(b->diag, &prev);

    if (e && e->msg)
        b->st = silr_fail(b->err, SILR_EINPUT, "%s:%d:%d: not valid YAML: %s", b->name,
                          e->line < 1 ? 1 : e->line, e->column < 1 ? 1 : e->column, e->msg);
    else
        b->st = silr_fail(b->err, SILR_EINPUT, "%s: not valid YAML", b->name);
    return false;
}

/* Offset of the first byte that is not UTF-8, or is a control character; len: none. */
static size_t bad_byte(const char *s, size_t len, bool controls)
{
    size_t i = 0;

    while (i < len) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(len - i), &c);
        if (n < 1 || c == 0)
            return i;
        if (controls && c < 0x20 && c != '\t' && c != '\n' && c != '\r')
            return i;
        i += (size_t)n;
    }
    return len;
}

static node *new_node(builder *b, node_kind kind, struct fy_token *at)
{
    node *v = silr_arena_alloc(b->arena, sizeof *v);

    if (!v) {
        no_memory(b);
        return NULL;
    }
    *v = (node){.kind = kind};
    place(at, &v->line, &v->column);
    return v;
}

static node *scalar(builder *b, const struct fy_event *e)
{
    struct fy_token *t = e->scalar.value;
    node *v = new_node(b, NODE_SCALAR, t);
    size_t len = 0;
    const char *text = t ? fy_token_get_text(t, &len) : "";

    if (!v)
        return NULL;
    if (e->scalar.anchor || e->scalar.tag) {
        refuse(b, t, "anchors (&) and tags (!) are not used in task files: write the value itself");
        return NULL;
    }
    if (!text) {
        text = "";
        len = 0;
    }
    if (bad_byte(text, len, false) < len) {
        refuse(b, t, "this text holds a NUL or a character that is not valid");
        return NULL;
    }
    v->plain = fy_token_scalar_style(t) == FYSS_PLAIN;
    v->len = len;
    if (!(v->text = silr_arena_strndup(b->arena, text, len))) {
        no_memory(b);
        return NULL;
    }
    return v;
}

/* Room for one more in two parallel arrays of an arena: grown by doubling. */
static bool room(builder *b, node *v, size_t *cap)
{
    size_t want = *cap ? *cap * 2 : 8;
    node **item, **key = NULL;

    if (v->n < *cap)
        return true;
    item = silr_arena_alloc(b->arena, want * sizeof *item);
    if (v->kind == NODE_MAP)
        key = silr_arena_alloc(b->arena, want * sizeof *key);
    if (!item || (v->kind == NODE_MAP && !key))
        return no_memory(b);
    if (v->n > 0) {
        memcpy(item, v->item, v->n * sizeof *item);
        if (key)
            memcpy(key, v->key, v->n * sizeof *key);
    }
    v->item = item;
    v->key = key;
    *cap = want;
    return true;
}

static bool check_key(builder *b, const node *map, const node *key)
{
    if (key->kind != NODE_SCALAR) {
        b->st = silr_fail(b->err, SILR_EINPUT, "%s:%d:%d: a key must be a word, not %s", b->name,
                          key->line, key->column, silr_node_kind(key));
        return false;
    }
    if (key->len > TASK_MAX_NAME) {
        b->st = silr_fail(b->err, SILR_EINPUT, "%s:%d:%d: a key of %zu bytes; %d are allowed",
                          b->name, key->line, key->column, key->len, TASK_MAX_NAME);
        return false;
    }
    if (map->n >= TASK_MAX_ENTRIES) {
        b->st = silr_fail(b->err, SILR_EINPUT, "%s:%d:%d: more than %d keys in one map", b->name,
                          key->line, key->column, TASK_MAX_ENTRIES);
        return false;
    }
    for (size_t i = 0; i < map->n; i++)
        if (map->key[i]->len == key->len && memcmp(map->key[i]->text, key->text, key->len) == 0) {
            b->st = silr_fail(b->err, SILR_EINPUT,
                              "%s:%d:%d: key \"%s\" stands twice (first in line %d)", b->name,
                              key->line, key->column, key->text, map->key[i]->line);
            return false;
        }
    return true;
}

static node *build(builder *b, struct fy_event *e, int depth);

/* The rest of a list or map up to its end. */
static bool fill(builder *b, node *v, int depth)
{
    size_t cap = 0;

    for (;;) {
        struct fy_event *e = fy_parser_parse(b->parser);
        node *first, *second = NULL;
        if (!e)
            return broken(b);
        if (e->type == FYET_SEQUENCE_END || e->type == FYET_MAPPING_END) {
            fy_parser_event_free(b->parser, e);
            return true;
        }
        first = build(b, e, depth);
        fy_parser_event_free(b->parser, e);
        if (!first || !room(b, v, &cap))
            return false;
        if (v->kind == NODE_LIST) {
            v->item[v->n++] = first;
            continue;
        }
        if (!check_key(b, v, first))
            return false;
        if (!(e = fy_parser_parse(b->parser)))
            return broken(b);
        second = build(b, e, depth);
        fy_parser_event_free(b->parser, e);
        if (!second)
            return false;
        v->key[v->n] = first;
        v->item[v->n++] = second;
    }
}

/* The node that starts with event e (freed by the caller). NULL: b->st says why. */
static node *build(builder *b, struct fy_event *e, int depth)
{
    struct fy_token *at = NULL, *anchor = NULL, *tag = NULL;
    node *v;

    switch (e->type) {
    case FYET_SCALAR:
        return scalar(b, e);
    case FYET_SEQUENCE_START:
        at = e->sequence_start.sequence_start;
        anchor = e->sequence_start.anchor;
        tag = e->sequence_start.tag;
        break;
    case FYET_MAPPING_START:
        at = e->mapping_start.mapping_start;
        anchor = e->mapping_start.anchor;
        tag = e->mapping_start.tag;
        break;
    case FYET_ALIAS:
        refuse(b, e->alias.anchor,
               "aliases (*) are not used in task files: write the value itself");
        return NULL;
    default:
        broken(b);
        return NULL;
    }
    if (anchor || tag) {
        refuse(b, at,
               "anchors (&) and tags (!) are not used in task files: write the value itself");
        return NULL;
    }
    if (depth >= TASK_MAX_DEPTH) {
        refuse(b, at, "nested too deeply for a task file");
        return NULL;
    }
    v = new_node(b, e->type == FYET_MAPPING_START ? NODE_MAP : NODE_LIST, at);
    return v && fill(b, v, depth + 1) ? v : NULL;
}

/* One document and then the end of the stream. */
static bool read_stream(builder *b, node **root)
{
    bool seen = false;

    for (;;) {
        struct fy_event *e = fy_parser_parse(b->parser);
        bool ok = true, end = false;
        if (!e)
            return fy_parser_get_stream_error(b->parser) || fy_diag_got_error(b->diag) ? broken(b)
                                                                                       : true;
        switch (e->type) {
        case FYET_STREAM_START:
        case FYET_DOCUMENT_END:
            break;
        case FYET_STREAM_END:
            end = true;
            break;
        case FYET_DOCUMENT_START:
            if (seen)
                ok = refuse(b, e->document_start.document_start,
                            "a second document (---) begins here; a task file holds one");
            seen = true;
            break;
        default:
            ok = (*root = build(b, e, 0)) != NULL;
        }
        fy_parser_event_free(b->parser, e);
        if (!ok || end)
            return ok;
    }
}

/* Bytes first: libfyaml's own words about them name no place. */
static silr_status check_bytes(const char *text, size_t len, const char *name, silr_error *err)
{
    size_t bad, line = 1, column = 1;

    if (len > TASK_MAX_BYTES)
        return silr_fail(err, SILR_EINPUT, "%s: %zu bytes; a task file may have %d", name, len,
                         TASK_MAX_BYTES);
    if ((bad = bad_byte(text, len, true)) == len)
        return SILR_OK;
    for (size_t i = 0; i < bad; i++, column++)
        if (text[i] == '\n') {
            line++;
            column = 0;
        }
    return silr_fail(err, SILR_EINPUT, "%s:%zu:%zu: byte 0x%02x is not UTF-8 text", name, line,
                     column, (unsigned)(unsigned char)text[bad]);
}

silr_status silr_tree_parse(node **out, silr_arena *a, const char *text, size_t len,
                            const char *name, silr_error *err)
{
    struct fy_diag_cfg dc;
    struct fy_parse_cfg pc = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE |
                                       FYPCF_DEFAULT_VERSION_1_2};
    builder b = {.arena = a, .name = name, .err = err};
    silr_status st;

    *out = NULL;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if ((st = check_bytes(text, len, name, err)) != SILR_OK || len == 0)
        return st;
    fy_diag_cfg_default(&dc);
    dc.fp = NULL;
    dc.output_fn = drop;
    dc.colorize = false;
    if (!(b.diag = fy_diag_create(&dc)))
        return silr_fail_memory(err);
    fy_diag_set_collect_errors(b.diag, true);
    pc.diag = b.diag;
    if (!(b.parser = fy_parser_create(&pc)) || fy_parser_set_string(b.parser, text, len) != 0)
        no_memory(&b);
    else if (!read_stream(&b, out))
        *out = NULL;
    fy_parser_destroy(b.parser);
    fy_diag_destroy(b.diag);
    return b.st;
}

bool silr_node_null(const node *v)
{
    return !v || (v->kind == NODE_SCALAR && v->plain &&
                  (v->len == 0 || strcmp(v->text, "~") == 0 || strcmp(v->text, "null") == 0));
}

const char *silr_node_kind(const node *v)
{
    double d;

    if (silr_node_null(v))
        return "empty";
    if (v->kind == NODE_LIST)
        return "a list";
    if (v->kind == NODE_MAP)
        return "a map";
    if (v->plain && silr_parse_double(v->text, &d))
        return "a number";
    return "text";
}
