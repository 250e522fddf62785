/* sample_file.c - labelled: {file: gold.csv}: rows of a document's id and its class.
 *
 * CSV, TSV or JSONL with the columns `id` and `label`. The classes are written as in corpus.label.
 * A row with an empty label is one that the person has passed over. A later row for the same id
 * replaces an earlier one, so that a correction can simply be added below. Texts of the test part
 * are left out: they are for measuring. */
#include "priors/inside.h"
#include <stdio.h>
#include <string.h>

static const char *column(const silr_row *row, const char *name)
{
    for (size_t i = 0; i < row->n; i++)
        if (strcmp(row->names[i], name) == 0)
            return row->values[i];
    return NULL;
}

static bool has_column(const silr_row *row, const char *name)
{
    for (size_t i = 0; i < row->n; i++)
        if (strcmp(row->names[i], name) == 0)
            return true;
    return false;
}

static silr_status take_row(sample_list *l, const silr_task *task, const silr_corpus *c,
                            const silr_row *row, const char *path, silr_error *err)
{
    const char *id = column(row, "id"), *value = column(row, "label");
    unsigned long long line = row->line;
    size_t doc;
    int label;

    if (!has_column(row, "id") || !has_column(row, "label"))
        return silr_fail(err, SILR_EINPUT, "%s:%llu: a labelled file has the columns \"id\" and "
                         "\"label\"; this row has no \"%s\"", path, line,
                         has_column(row, "id") ? "label" : "id");
    if (!value || !*value)
        return SILR_OK;
    doc = id ? silr_corpus_find(c, id) : SIZE_MAX;
    if (doc == SIZE_MAX)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: no document of the corpus has the id "
                         "\"%.80s\"", path, line, id ? id : "");
    if (!silr_task_value(task, &task->corpus.label_values, value, &label))
        return silr_fail(err, SILR_EINPUT, "%s:%llu: \"%.80s\" is not one of the classes of %s",
                         path, line, value, task->path);
    if (label == SILR_NO_LABEL || !silr_in_pool(c, doc))
        return SILR_OK;
    return silr_sample_push(l, (uint32_t)doc, label, err);
}

silr_status silr_sample_from_file(sample_list *l, const silr_task *task, const silr_corpus *c,
                                  silr_error *err)
{
    char *path = silr_path_join(task->dir, task->labelled.file);
    silr_rows *rows = NULL;
    silr_status st;
    silr_row row;

    if (!path) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_rows_open(&rows, path, SILR_FORMAT_AUTO, err)) != SILR_OK)
        goto done;
    for (;;) {
        int more = silr_rows_next(rows, &row, err);
        if (more <= 0) {
            st = more < 0 ? (silr_status)more : SILR_OK;
            goto done;
        }
        if ((st = take_row(l, task, c, &row, path, err)) != SILR_OK)
            goto done;
    }
done:
    silr_rows_close(rows);
    silr_free(path);
    return st;
}
