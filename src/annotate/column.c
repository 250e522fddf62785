/* column.c - labels that someone has left in a column: an old system, a model's recorded answers.
 *
 * A value becomes a class through annotator.values, or as the name of a class, or, of two classes,
 * as 1 and -1 or 0. No value, and a value that the map sends to null, abstain. A value that nothing
 * is known about stops the run: to guess, or to leave such texts out, would hide a typing error. */
#include "annotate/internal.h"
#include <math.h>

typedef struct {
    silr_annotator base;
    const silr_task *task;
} column_annotator;

/* "positive, negative" or the keys of the map; long lists are cut. */
static void list_known(silr_buf *b, const silr_task *task)
{
    const silr_value_map *map = &task->annotator.values;
    size_t n = map->n > 0 ? map->n : task->n_classes;

    for (size_t i = 0; i < n && i < 12; i++)
        silr_buf_printf(b, "%s%.40s", i > 0 ? ", " : "",
                        map->n > 0 ? map->value[i] : task->classes[i]);
    if (n > 12)
        silr_buf_puts(b, ", ...");
}

static silr_status unknown_value(const silr_task *task, const silr_corpus *c, size_t i,
                                 const char *value, silr_error *err)
{
    silr_buf known = {0};
    silr_status st = SILR_EINPUT;

    list_known(&known, task);
    if (known.failed)
        st = silr_fail_memory(err);
    else
        silr_fail(err, st,
                  "document %.80s: column %.80s holds \"%.80s\", which stands for no class (known: "
                  "%s); add it to annotator.values, with null if it means none",
                  silr_corpus_id(c, i), task->annotator.column, value, known.data);
    silr_buf_clear(&known);
    return st;
}

silr_status silr_column_label(const silr_task *task, const silr_corpus *c, size_t i, int *label,
                              const char **value, const char **reason, silr_error *err)
{
    *label = SILR_NO_LABEL;
    *reason = NULL;
    *value = silr_corpus_column(c, i, task->annotator.column);
    if (silr_corpus_empty(c, i)) {
        *reason = "empty text";
        return SILR_OK;
    }
    if (!*value || !**value) {
        *reason = "no value";
        return SILR_OK;
    }
    if (!silr_task_value(task, &task->annotator.values, *value, label))
        return unknown_value(task, c, i, *value, err);
    if (*label == SILR_NO_LABEL)
        *reason = "the value means none";
    return SILR_OK;
}

static silr_status annotate(silr_annotator *base, const silr_corpus *c, const uint32_t *docs,
                            size_t n, silr_annotation_sink sink, void *ctx, silr_error *err)
{
    const silr_task *task = ((column_annotator *)base)->task;

    for (size_t i = 0; i < n; i++) {
        silr_annotation a = {.confidence = NAN};
        silr_status st =
            silr_column_label(task, c, docs[i], &a.label, &a.raw, &a.reason, err);
        if (st == SILR_OK)
            st = sink(ctx, docs[i], &a, err);
        if (st != SILR_OK)
            return st;
        if (i % 1024 == 1023 || i + 1 == n) {
            silr_progress("annotating", i + 1, n);
            if (silr_cancelled())
                return silr_fail(err, SILR_ECANCEL, "interrupted while annotating");
        }
    }
    return SILR_OK;
}

static void column_free(silr_annotator *base)
{
    silr_free(base);
}

silr_status silr_column_new(silr_annotator **out, const silr_task *task, silr_error *err)
{
    column_annotator *a;

    if (!task->annotator.column || !task->annotator.column[0])
        return silr_fail(err, SILR_EINPUT,
                         "%s: annotator.column is missing: the column that holds the labels",
                         task->path ? task->path : "task");
    if (!(a = silr_calloc(1, sizeof *a)))
        return silr_fail_memory(err);
    a->base = (silr_annotator){"column", false, annotate, column_free};
    a->task = task;
    *out = &a->base;
    return SILR_OK;
}
