/* taskdiff.c - which settings differ between the task of a run folder and the one at hand, and
 * whether what the folder holds is worth the same to both. */
#include "store/internal.h"
#include <jansson.h>
#include <string.h>

enum { SHOWN = 3, DEPTH = 8, LONGEST = 60 };

typedef struct {
    silr_buf text;
    size_t found;
    size_t earlier; /* of them, settings that the annotations depend on */
    bool examples;  /* prompts hold examples of the labelled sample */
} difference;

/* Settings that change no result (threads, paths of outputs) are not why the hash differs. */
static bool matters(const char *path)
{
    size_t n;
    const silr_knob *knobs = silr_knobs(&n);

    if (strcmp(path, "path") == 0 || strcmp(path, "dir") == 0 || strcmp(path, "hash") == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(knobs[i].path, path) == 0)
            return knobs[i].changes_result;
    return true;
}

/* A setting that is looked at only when the annotations are there. */
static bool comes_later(const difference *d, const char *path)
{
    static const char *const later[] = {"labelled", "classifier", "refine", "report"};

    for (size_t i = d->examples ? 1 : 0; i < sizeof later / sizeof *later; i++) {
        size_t len = strlen(later[i]);
        if (strncmp(path, later[i], len) == 0 && (path[len] == '\0' || path[len] == '.'))
            return true;
    }
    return false;
}

/* Long values (rules, lists of files) are cut, at a character. */
static void show_value(silr_buf *b, const json_t *v)
{
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)) : NULL;
    size_t len = text ? strlen(text) : 0, cut = len;

    if (len > LONGEST)
        for (cut = LONGEST; cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80;)
            cut--;
    if (text)
        silr_buf_add(b, text, cut);
    else
        silr_buf_puts(b, "not set");
    if (cut < len)
        silr_buf_puts(b, "...");
    silr_free(text); /* from jansson, which silr_mem_install pointed at our door */
}

static void note(difference *d, const char *path, const json_t *then, const json_t *now)
{
    if (!matters(path))
        return;
    d->earlier += !comes_later(d, path);
    if (d->found++ >= SHOWN)
        return;
    silr_buf_printf(&d->text, "%s%.100s is ", d->found > 1 ? "; " : "", path);
    show_value(&d->text, then);
    silr_buf_puts(&d->text, " there, ");
    show_value(&d->text, now);
    silr_buf_puts(&d->text, " here");
}

/* Walks two objects; what is not an object on both sides is compared whole. */
static void compare(difference *d, const char *path, json_t *then, json_t *now, int depth)
{
    const char *key;
    json_t *value;

    if (json_equal(then, now))
        return;
    if (!json_is_object(then) || !json_is_object(now) || depth >= DEPTH) {
        note(d, path, then, now);
        return;
    }
    for (int side = 0; side < 2; side++) {
        json_object_foreach(side == 0 ? now : then, key, value) {
            silr_buf sub = {0};
            if (side == 1 && json_object_get(now, key))
                continue; /* seen from the other side */
            silr_buf_printf(&sub, "%s%s%.60s", path, path[0] ? "." : "", key);
            if (sub.data)
                compare(d, sub.data, json_object_get(then, key), json_object_get(now, key),
                        depth + 1);
            d->text.failed |= sub.failed;
            silr_buf_clear(&sub);
        }
    }
}

/* Whether a prompt of this task is made with texts of its labelled sample. */
static bool draws_examples(const silr_task *task)
{
    bool any = task->annotator.chat.draw_examples > 0;

    for (size_t i = 0; i < task->annotator.n_members; i++)
        any = any || task->annotator.member[i]->annotator.chat.draw_examples > 0;
    return any;
}

static silr_status find_difference(difference *d, const silr_task *task, const char *stored,
                                   size_t len, silr_error *err)
{
    silr_buf json = {0};
    json_t *then, *now;
    silr_status st = SILR_OK;

    *d = (difference){.examples = draws_examples(task)};
    silr_task_to_json(task, &json);
    then = len > 0 ? json_loadb(stored, len, 0, NULL) : NULL;
    now = json.failed ? NULL : json_loadb(json.data, json.len, 0, NULL);
    if (then && now)
        compare(d, "", then, now, 0);
    if (json.failed || d->text.failed)
        st = silr_fail_memory(err);
    json_decref(then);
    json_decref(now);
    silr_buf_clear(&json);
    return st;
}

silr_status silr_store_task_differs(const silr_store *s, const silr_task *task, const char *stored,
                                    size_t len, silr_error *err)
{
    difference d;
    silr_status st = find_difference(&d, task, stored, len, err);

    if (st == SILR_OK && d.found == 0)
        st = silr_fail(err, SILR_EINPUT, "%s: holds a run of another task; use another --out, or delete "
                       "the folder", s->dir);
    else if (st == SILR_OK && d.found > SHOWN)
        st = silr_fail(err, SILR_EINPUT, "%s: holds a run of another task: %s; and %zu more; use another "
                       "--out, or delete the folder", s->dir, d.text.data, d.found - SHOWN);
    else if (st == SILR_OK)
        st = silr_fail(err, SILR_EINPUT, "%s: holds a run of another task: %s; use another --out, or "
                       "delete the folder", s->dir, d.text.data);
    silr_buf_clear(&d.text);
    return st;
}

silr_status silr_store_task_later(const silr_task *task, const char *stored, size_t len, bool *later,
                                  silr_error *err)
{
    difference d;
    silr_status st = find_difference(&d, task, stored, len, err);

    *later = st == SILR_OK && d.found > 0 && d.earlier == 0;
    silr_buf_clear(&d.text);
    return st;
}
