/* task.c - a task's life: read, overridden, asked, released.
 *
 * A box keeps the text it was read from and the overrides since. silr_task_set reads all of it
 * anew with one override more and trades places with the old one: the checks see the whole each
 * time, and an override that is refused leaves the task as it was. */
#include "task/inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

silr_status silr_task_fail(const task_box *b, const node *v, silr_error *err, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return SILR_EINPUT;
    err->status = SILR_EINPUT;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (b->flag)
        silr_error_prefix(err, "--set %.200s", b->flag);
    else if (v && v->line > 0)
        silr_error_prefix(err, "%s:%d:%d", b->name, v->line, v->column);
    else
        silr_error_prefix(err, "%s", b->name);
    return SILR_EINPUT;
}

static void box_free(task_box *b)
{
    silr_arena a;

    if (!b)
        return;
    a = b->arena;
    silr_arena_clear(&a);
    silr_free(b);
}

static char *keep(task_box *b, const char *s, size_t len)
{
    return silr_arena_strndup(&b->arena, s, len);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Copies of everything given, so that the box outlives it. */
static silr_status box_init(task_box *b, const char *yaml, size_t len, const char *name,
                            const char *dir, silr_error *err)
{
    b->name = b->task.path = keep(b, name, strlen(name));
    b->task.dir = keep(b, dir ? dir : ".", strlen(dir ? dir : "."));
    b->source = keep(b, yaml, len);
    b->source_len = len;
    return b->name && b->task.dir && b->source ? SILR_OK : silr_fail_memory(err);
}

static silr_status keep_sets(task_box *b, const char *const *sets, size_t n, const char *more,
                             silr_error *err)
{
    size_t total = n + (more ? 1 : 0);

    if (!(b->sets = silr_arena_alloc(&b->arena, (total + 1) * sizeof *b->sets)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < total; i++) {
        const char *s = i < n ? sets[i] : more;
        if (!(b->sets[b->n_sets++] = keep(b, s, strlen(s))))
            return silr_fail_memory(err);
    }
    return SILR_OK;
}

/* name: the file's, without folder and ending. */
static silr_status default_name(task_box *b, silr_error *err)
{
    const char *base = base_name(b->name), *dot = strrchr(base, '.');
    size_t len = dot && dot != base ? (size_t)(dot - base) : strlen(base);

    if (!b->task.name && !(b->task.name = len ? keep(b, base, len) : keep(b, "task", 4)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static bool show_origin(task_box *b, origin *o)
{
    char text[TASK_MAX_NAME];

    o->shown = o->flag ? "flag" : o->recipe ? "recipe" : "default";
    if (o->flag || o->line == 0)
        return true;
    snprintf(text, sizeof text, "%.150s:%d", base_name(b->name), o->line);
    return (o->shown = keep(b, text, strlen(text))) != NULL;
}

static silr_status hash_task(struct silr_task *t, silr_error *err)
{
    silr_buf text = {0};
    silr_status st;

    silr_task_print(t, &text, true);
    st = text.failed ? silr_fail_memory(err)
                     : silr_sha256_bytes(&t->hash, text.data, text.len, err);
    silr_buf_clear(&text);
    return st;
}

/* of: b itself or a member; the words lie in b's arena. */
static silr_status show_origins(task_box *b, task_box *of, silr_error *err)
{
    for (size_t i = 0; i < TASK_MAX_KNOBS; i++)
        if (!show_origin(b, &of->knob_origin[i]))
            return silr_fail_memory(err);
    for (size_t i = 0; i < LIST_N; i++)
        if (!show_origin(b, &of->list_origin[i]))
            return silr_fail_memory(err);
    return SILR_OK;
}

/* The hash, and the words that say where each setting came from. */
static silr_status finish(task_box *b, silr_error *err)
{
    silr_status st;

    if ((st = show_origins(b, b, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < b->task.annotator.n_members; i++) {
        b->task.annotator.member[i]->name = b->task.name;
        if ((st = show_origins(b, (task_box *)b->task.annotator.member[i], err)) != SILR_OK)
            return st;
        if ((st = hash_task(b->task.annotator.member[i], err)) != SILR_OK)
            return st;
    }
    return hash_task(&b->task, err);
}

/* Overrides of the classes come first of all: values and rules are read into class numbers. */
static silr_status read_sets(task_box *b, bool classes, silr_error *err)
{
    silr_status st;

    for (size_t i = 0; i < b->n_sets; i++)
        if ((strncmp(b->sets[i], "classes=", 8) == 0) == classes &&
            (st = silr_task_read_set(b, b->sets[i], err)) != SILR_OK)
            return st;
    return SILR_OK;
}

static silr_status box_make(task_box **out, const char *yaml, size_t len, const char *name,
                            const char *dir, const char *const *sets, size_t n_sets,
                            const char *more, silr_error *err)
{
    task_box *b = silr_calloc(1, sizeof *b);
    node *root = NULL;
    silr_status st;

    *out = NULL;
    if (!b)
        return silr_fail_memory(err);
    if ((st = box_init(b, yaml, len, name, dir, err)) != SILR_OK ||
        (st = keep_sets(b, sets, n_sets, more, err)) != SILR_OK ||
        (st = silr_knob_defaults(b, err)) != SILR_OK ||
        (st = silr_tree_parse(&root, &b->arena, b->source, len, b->name, err)) != SILR_OK ||
        (st = read_sets(b, true, err)) != SILR_OK ||
        (st = silr_task_read_tree(b, root, err)) != SILR_OK ||
        (st = read_sets(b, false, err)) != SILR_OK || (st = silr_task_check(b, err)) != SILR_OK ||
        (st = default_name(b, err)) != SILR_OK || (st = finish(b, err)) != SILR_OK)
        goto done;
    *out = b;
    b = NULL;
done:
    box_free(b);
    return st;
}

silr_status silr_task_parse(silr_task **out, const char *yaml, size_t len, const char *name,
                            const char *dir, const char *const *sets, size_t n_sets,
                            silr_error *err)
{
    task_box *b;
    silr_status st;

    *out = NULL;
    if (len > TASK_MAX_BYTES)
        return silr_fail(err, SILR_EINPUT, "%s: %zu bytes; a task file may have %d", name, len,
                         TASK_MAX_BYTES);
    st = box_make(&b, yaml, len, name, dir, sets, n_sets, NULL, err);
    if (st == SILR_OK)
        *out = &b->task;
    return st;
}

silr_status silr_task_read(silr_task **out, const char *path, const char *const *sets,
                           size_t n_sets, silr_error *err)
{
    silr_buf text = {0};
    char *dir = NULL;
    silr_status st;

    *out = NULL;
    if ((st = silr_file_read(&text, path, TASK_MAX_BYTES, err)) != SILR_OK)
        goto done;
    if (!(dir = silr_path_dir(path))) {
        st = silr_fail_memory(err);
        goto done;
    }
    st = silr_task_parse(out, text.data ? text.data : "", text.len, path, dir, sets, n_sets, err);
done:
    silr_free(dir);
    silr_buf_clear(&text);
    return st;
}

SILR_API silr_status silr_task_load(silr_task **out, const char *path, silr_error *err)
{
    return silr_task_read(out, path, NULL, 0, err);
}

SILR_API silr_status silr_task_set(silr_task *task, const char *key, const char *value,
                                   silr_error *err)
{
    task_box *old = (task_box *)task, *b = NULL, trade;
    silr_buf set = {0};
    silr_status st;

    silr_buf_printf(&set, "%s=%s", key, value);
    if (set.failed)
        st = silr_fail_memory(err);
    else
        st = box_make(&b, old->source, old->source_len, old->name, old->task.dir,
                      (const char *const *)old->sets, old->n_sets, set.data, err);
    if (st == SILR_OK) {
        trade = *old;
        *old = *b;
        *b = trade;
    }
    box_free(b);
    silr_buf_clear(&set);
    return st;
}

SILR_API void silr_task_free(silr_task *task)
{
    box_free((task_box *)task);
}

bool silr_task_get(const silr_task *task, const char *path, silr_buf *value, const char **from)
{
    const task_box *b = (const task_box *)task;
    const silr_knob *k;
    list_id id;
    size_t i;

    if (silr_task_list(path, &id)) {
        silr_task_print_list(task, id, value);
        *from = b->list_origin[id].shown;
        if (id == LIST_LABELLED && !b->list_origin[id].flag && task->labelled.kind <= 2) {
            static const char *const below[] = {"labelled.count", "labelled.file"};
            if (task->labelled.kind < 2 && silr_knob_find(below[task->labelled.kind], &i))
                *from = b->knob_origin[i].shown;
            else
                *from = b->list_origin[LIST_THETA].shown;
        }
        return true;
    }
    if (!(k = silr_knob_find(path, &i)))
        return false;
    silr_knob_print(task, k, value, false);
    *from = b->knob_origin[i].shown;
    return true;
}

const char *const *silr_task_lists(size_t *n)
{
    static const char *const shown[] = {"classes",
                                        "corpus.files",
                                        "corpus.label_values",
                                        "labelled",
                                        "annotator.values",
                                        "annotator.rules",
                                        "annotator.descriptions",
                                        "annotator.examples",
                                        "annotator.parameters",
                                        "annotator.prices",
                                        "annotator.members"};
    *n = sizeof shown / sizeof *shown;
    return shown;
}
