/* knobs.c - what is done with the table of knobs: find one, set one, print one, and guess which one
 * was meant when a name is not known. */
#include "task/inside.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const silr_task_list_path[LIST_N] = {
    [LIST_CLASSES] = "classes",
    [LIST_FILES] = "corpus.files",
    [LIST_LABEL_VALUES] = "corpus.label_values",
    [LIST_LABELLED] = "labelled",
    [LIST_THETA] = "labelled.theta",
    [LIST_PI] = "labelled.pi",
    [LIST_VALUES] = "annotator.values",
    [LIST_RULES] = "annotator.rules",
    [LIST_DESCRIPTIONS] = "annotator.descriptions",
    [LIST_EXAMPLES] = "annotator.examples",
    [LIST_PARAMETERS] = "annotator.parameters",
    [LIST_PRICES] = "annotator.prices",
    [LIST_MEMBERS] = "annotator.members",
};


const silr_knob *silr_knob_find(const char *path, size_t *index)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(k[i].path, path) == 0) {
            if (index)
                *index = i;
            return &k[i];
        }
    return NULL;
}

bool silr_task_list(const char *path, list_id *id)
{
    for (int i = 0; i < LIST_N; i++)
        if (strcmp(silr_task_list_path[i], path) == 0) {
            if (id)
                *id = (list_id)i;
            return true;
        }
    return false;
}

/* Every known path, knobs first; NULL after the last. */
static const char *known(size_t i)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);

    return i < n ? k[i].path : i - n < LIST_N ? silr_task_list_path[i - n] : NULL;
}

bool silr_task_section(const char *path)
{
    size_t len = strlen(path);
    const char *p;

    for (size_t i = 0; (p = known(i)); i++)
        if (strncmp(p, path, len) == 0 && p[len] == '.')
            return true;
    return false;
}

/* The part of a known path that stands in `section`: "split" for corpus.split.train in corpus.
 * false: not in it. `child` has room for any path. */
static bool child_of(const char *path, const char *section, char child[TASK_MAX_NAME])
{
    size_t len = strlen(section);

    if (len > 0) {
        if (strncmp(path, section, len) != 0 || path[len] != '.')
            return false;
        path += len + 1;
    }
    snprintf(child, TASK_MAX_NAME, "%.*s", (int)strcspn(path, "."), path);
    return true;
}

static bool near(size_t distance, const char *key)
{
    return distance <= 2 || distance <= strlen(key) / 3;
}

/* `iterations` at the top level: the one knob anywhere whose last word is nearest. */
static const char *elsewhere(const char *key)
{
    const char *p, *best = NULL;
    size_t least = SIZE_MAX;

    for (size_t i = 0; (p = known(i)); i++) {
        const char *dot = strrchr(p, '.');
        size_t d = silr_edit_distance(dot ? dot + 1 : p, key), full = silr_edit_distance(p, key);
        if (full < d)
            d = full;
        if (d < least) {
            least = d;
            best = p;
        }
    }
    return best && least <= 1 + strlen(key) / 6 ? best : NULL;
}

/* "; known are recipe, metric, ...": each child of a section once. */
static void list_children(silr_buf *out, const char *section)
{
    char child[TASK_MAX_NAME], other[TASK_MAX_NAME];
    const char *p, *comma = "";

    silr_buf_puts(out, "; known are");
    for (size_t i = 0; (p = known(i)); i++) {
        bool before = false;
        if (!child_of(p, section, child))
            continue;
        for (size_t j = 0; j < i && !before; j++)
            before = child_of(known(j), section, other) && strcmp(child, other) == 0;
        if (!before)
            silr_buf_printf(out, "%s %s", comma, child);
        comma = ",";
    }
}

void silr_knob_unknown(silr_buf *out, const char *section, const char *key)
{
    char child[TASK_MAX_NAME], best[TASK_MAX_NAME] = "";
    size_t least = SIZE_MAX;
    const char *p;

    silr_buf_printf(out, "unknown key \"%.*s\"", TASK_MAX_NAME, key);
    if (*section)
        silr_buf_printf(out, " in %s", section);
    if (*section == '\0' && strchr(key, '.') &&
        (silr_knob_find(key, NULL) || silr_task_list(key, NULL))) {
        silr_buf_printf(out, ": in a file, write %s below %.*s", strchr(key, '.') + 1,
                        (int)strcspn(key, "."), key);
        return;
    }
    for (size_t i = 0; (p = known(i)); i++) {
        size_t d;
        if (!child_of(p, section, child))
            continue;
        d = silr_edit_distance(child, key);
        if (d < least) {
            least = d;
            memcpy(best, child, sizeof best);
        }
    }
    if (near(least, key) && strlen(key) > least) {
        silr_buf_printf(out, ": did you mean \"%s\"?", best);
        return;
    }
    if ((p = elsewhere(key))) {
        silr_buf_printf(out, ": did you mean \"%s\"?", p);
        return;
    }
    list_children(out, section);
}

/* --- one value ---------------------------------------------------------------------------------
 */

static void *member(struct silr_task *t, const silr_knob *k)
{
    return (char *)t + k->offset;
}

static silr_status wrong_kind(task_box *b, const silr_knob *k, const node *v, const char *want,
                              silr_error *err)
{
    if (v->kind == NODE_SCALAR && !silr_node_null(v))
        return silr_task_fail(b, v, err, "%s is \"%.80s\", not %s", k->path, v->text, want);
    return silr_task_fail(b, v, err, "%s is %s, not %s", k->path, silr_node_kind(v), want);
}

static silr_status assign_number(task_box *b, const silr_knob *k, const node *v, silr_error *err)
{
    const char *want = k->kind == SILR_KNOB_INT ? "a whole number" : "a number";
    bool whole = k->kind == SILR_KNOB_INT;
    int64_t i = 0;
    double d = 0;

    if (v->kind != NODE_SCALAR || !v->plain || !silr_parse_double(v->text, &d) ||
        strspn(v->text, "+-.0123456789eE") != v->len)
        return wrong_kind(b, k, v, want, err);
    if (d < k->min || d > k->max) {
        silr_buf range = {0};
        silr_status st;
        silr_task_number(&range, k->min);
        silr_buf_puts(&range, " to ");
        silr_task_number(&range, k->max);
        st = range.failed ? silr_fail_memory(err)
                          : silr_task_fail(b, v, err, "%s is %.80s; it may be %s", k->path, v->text,
                                           range.data);
        silr_buf_clear(&range);
        return st;
    }
    if (whole && !silr_parse_i64(v->text, &i))
        return wrong_kind(b, k, v, want, err);
    if (whole)
        memcpy(member(&b->task, k), &i, sizeof i);
    else
        memcpy(member(&b->task, k), &d, sizeof d);
    return SILR_OK;
}

static silr_status assign_bool(task_box *b, const silr_knob *k, const node *v, silr_error *err)
{
    bool yes = v->kind == NODE_SCALAR && v->plain && strcmp(v->text, "true") == 0;

    if (!yes && (v->kind != NODE_SCALAR || !v->plain || strcmp(v->text, "false") != 0))
        return wrong_kind(b, k, v, "true or false", err);
    memcpy(member(&b->task, k), &yes, sizeof yes);
    return SILR_OK;
}

static silr_status assign_choice(task_box *b, const silr_knob *k, const node *v, silr_error *err)
{
    silr_buf want = {0};
    silr_status st;

    if (v->kind == NODE_SCALAR)
        for (int i = 0; k->choices[i]; i++)
            if (strcmp(k->choices[i], v->text) == 0) {
                memcpy(member(&b->task, k), &i, sizeof i);
                return SILR_OK;
            }
    for (int i = 0; k->choices[i]; i++)
        silr_buf_printf(&want, "%s%s",
                        i == 0              ? ""
                        : k->choices[i + 1] ? ", "
                                            : " or ",
                        k->choices[i]);
    st = want.failed ? silr_fail_memory(err) : wrong_kind(b, k, v, want.data, err);
    silr_buf_clear(&want);
    return st;
}

static silr_status assign_text(task_box *b, const silr_knob *k, const node *v, silr_error *err)
{
    char *s = NULL;

    if (v->kind != NODE_SCALAR)
        return wrong_kind(b, k, v, "text", err);
    if (!silr_node_null(v)) {
        if (v->len == 0)
            return silr_task_fail(b, v, err, "%s is empty: leave it out, or say null", k->path);
        if (!(s = silr_arena_strndup(&b->arena, v->text, v->len)))
            return silr_fail_memory(err);
    }
    memcpy(member(&b->task, k), &s, sizeof s);
    return SILR_OK;
}

silr_status silr_knob_assign(task_box *b, const silr_knob *k, const node *v, silr_error *err)
{
    switch (k->kind) {
    case SILR_KNOB_INT:
    case SILR_KNOB_DOUBLE:
        return assign_number(b, k, v, err);
    case SILR_KNOB_BOOL:
        return assign_bool(b, k, v, err);
    case SILR_KNOB_ENUM:
        return assign_choice(b, k, v, err);
    case SILR_KNOB_STRING:
        return assign_text(b, k, v, err);
    }
    return SILR_EBUG;
}

silr_status silr_knob_defaults(task_box *b, silr_error *err)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);
    silr_status st;

    for (size_t i = 0; i < n; i++) {
        char text[64];
        node v = {.kind = NODE_SCALAR, .plain = true, .text = text};
        if (!k[i].fallback || strcmp(k[i].fallback, "recipe") == 0)
            continue;
        v.len = (size_t)snprintf(text, sizeof text, "%s", k[i].fallback);
        if ((st = silr_knob_assign(b, &k[i], &v, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

void silr_task_number(silr_buf *out, double v)
{
    char text[40], *comma;
    double back = 0;

    if (v > -1e15 && v < 1e15 && floor(v) >= v) {
        silr_buf_printf(out, "%.0f", v == 0 ? 0 : v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if ((comma = strchr(text, ',')))
            *comma = '.'; /* the locale of a program that uses the library */
        if (silr_parse_double(text, &back) && back >= v && back <= v)
            break;
    }
    silr_buf_puts(out, text);
}

void silr_knob_print(const struct silr_task *t, const silr_knob *k, silr_buf *out, bool json)
{
    const char *at = (const char *)t + k->offset, *s;
    int64_t i;
    double d;
    bool yes;
    int choice;

    switch (k->kind) {
    case SILR_KNOB_INT:
        memcpy(&i, at, sizeof i);
        silr_buf_printf(out, "%" PRId64, i);
        break;
    case SILR_KNOB_DOUBLE:
        memcpy(&d, at, sizeof d);
        silr_task_number(out, d);
        break;
    case SILR_KNOB_BOOL:
        memcpy(&yes, at, sizeof yes);
        silr_buf_puts(out, yes ? "true" : "false");
        break;
    case SILR_KNOB_ENUM:
        memcpy(&choice, at, sizeof choice);
        if (json)
            silr_buf_json(out, k->choices[choice], strlen(k->choices[choice]));
        else
            silr_buf_puts(out, k->choices[choice]);
        break;
    case SILR_KNOB_STRING:
        memcpy(&s, at, sizeof s);
        if (!s)
            silr_buf_puts(out, "null");
        else if (json)
            silr_buf_json(out, s, strlen(s));
        else
            silr_buf_puts(out, s);
        break;
    }
}
