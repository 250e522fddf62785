/* read_back.c - is in the file what the run says? Read with the readers that corpora are read with; tasks of
 * Label Studio, which lie in one array, a line each. */
#include "export/inside.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far a number may be from what was printed with six digits. */
static const double ROUNDING = 1e-6;

static silr_status differs(const char *path, const silr_run_labels *l, size_t i, const char *what, silr_error *err)
{
    return silr_fail(err, SILR_EBUG, "%s: the %s of text \"%.80s\" was not read back as it was written; nothing was "
                     "exported", path, what, silr_corpus_id(l->corpus, i));
}

static bool is(const char *s, size_t len, const char *want, size_t want_len)
{
    return s && len == want_len && memcmp(s, want, len) == 0;
}

static bool is_class(const silr_run_labels *l, const char *s, size_t len, int k)
{
    return k == SILR_NO_LABEL ? !s || len == 0 : is(s, len, l->task->classes[k], strlen(l->task->classes[k]));
}

/* NULL or nothing is no number. */
static bool is_number(const char *s, double want)
{
    double v;

    if (isnan(want))
        return !s || !*s;
    return s && silr_parse_double(s, &v) && fabs(v - want) <= ROUNDING;
}

/* --- rows ---------------------------------------------------------------------------------------- */

/* Column c of a row; NULL: it has no such column, or null. */
static const char *cell(const silr_row *row, const char *name, size_t *len)
{
    for (size_t c = 0; c < row->n; c++)
        if (strcmp(row->names[c], name) == 0) {
            *len = row->values[c] ? row->lens[c] : 0;
            return row->values[c];
        }
    *len = 0;
    return NULL;
}

/* What does not agree in this row; NULL: all does. */
static const char *wrong_in_row(const silr_run_labels *l, size_t i, const silr_row *row)
{
    size_t len, want;
    const char *id = silr_corpus_id(l->corpus, i), *text = silr_corpus_text(l->corpus, i, &want);
    const char *s = cell(row, "id", &len);

    if (!is(s, len, id, strlen(id)))
        return "id";
    s = cell(row, "text", &len);
    if (!is(s ? s : "", len, text, want))
        return "text";
    s = cell(row, "initial_label", &len);
    if (!is_class(l, s, len, l->first[i]))
        return "first label";
    s = cell(row, "label", &len);
    if (!is_class(l, s, len, l->label[i]))
        return "label";
    return is_number(cell(row, "score", &len), l->score[i]) ? NULL : "score";
}

static const char *wrong_in_cleanlab(const silr_run_labels *l, size_t i, const silr_row *row)
{
    size_t len;
    const char *id = silr_corpus_id(l->corpus, i), *s = cell(row, "id", &len);

    if (!is(s, len, id, strlen(id)))
        return "id";
    if (!is_number(cell(row, "label", &len), l->first[i]))
        return "label";
    if (row->n != 2 + l->K)
        return "number of columns";
    for (size_t k = 0; k < l->K; k++)
        if (!is_number(row->values[2 + k], l->prob[i * l->K + k]))
            return "probability";
    return NULL;
}

static silr_status compare_rows(const silr_run_labels *l, silr_export_form form, const char *path, silr_error *err)
{
    const silr_format format = form == SILR_EXPORT_JSONL ? SILR_FORMAT_JSONL : SILR_FORMAT_CSV;
    silr_rows *rows = NULL;
    silr_row row;
    silr_status st = silr_rows_open(&rows, path, format, err);
    int got = 0;

    for (size_t i = 0; st == SILR_OK && i < l->n; i++) {
        const char *what;
        if (silr_rows_leave_out(l, form, i))
            continue;
        if ((got = silr_rows_next(rows, &row, err)) < 0)
            st = (silr_status)got;
        else if (got == 0)
            st = silr_fail(err, SILR_EBUG, "%s: has fewer rows than were written; nothing was exported", path);
        else if ((what = form == SILR_EXPORT_CLEANLAB ? wrong_in_cleanlab(l, i, &row) : wrong_in_row(l, i, &row)))
            st = differs(path, l, i, what, err);
    }
    if (st == SILR_OK && silr_rows_next(rows, &row, err) != 0)
        st = silr_fail(err, SILR_EBUG, "%s: has more rows than were written; nothing was exported", path);
    silr_rows_close(rows);
    return st;
}

/* --- tasks --------------------------------------------------------------------------------------- */

static const char *string_at(const json_t *o, const char *key, size_t *len)
{
    const json_t *v = json_object_get(o, key);

    *len = json_string_length(v);
    return json_string_value(v);
}

static const char *wrong_in_task(const silr_run_labels *l, size_t i, const json_t *task)
{
    const json_t *data = json_object_get(task, "data"), *said = json_object_get(task, "predictions"), *one, *choices;
    size_t len, want;
    const char *id = silr_corpus_id(l->corpus, i), *text = silr_corpus_text(l->corpus, i, &want), *s;

    s = string_at(data, "id", &len);
    if (!is(s, len, id, strlen(id)))
        return "id";
    s = string_at(data, "text", &len);
    if (!is(s, len, text, want))
        return "text";
    if (!json_is_array(said) || json_array_size(said) != (l->label[i] != SILR_NO_LABEL))
        return "number of predictions";
    if (l->label[i] == SILR_NO_LABEL)
        return NULL;
    one = json_array_get(said, 0);
    choices = json_object_get(json_object_get(json_array_get(json_object_get(one, "result"), 0), "value"), "choices");
    s = json_string_value(json_array_get(choices, 0));
    if (!is_class(l, s, s ? strlen(s) : 0, l->label[i]))
        return "label";
    data = json_object_get(one, "score");
    return isnan(l->score[i]) ? (json_is_null(data) ? NULL : "score")
           : fabs(json_number_value(data) - l->score[i]) <= ROUNDING ? NULL : "score";
}

/* "[", tasks with a comma behind all but the last, "]". */
static silr_status compare_tasks(const silr_run_labels *l, const char *path, silr_error *err)
{
    FILE *f = fopen(path, "rb");
    char *line = NULL;
    size_t cap = 0;
    const uint64_t refused = silr_mem_refused();
    silr_status st = SILR_OK;
    bool framed = f && getline(&line, &cap, f) == 2 && strcmp(line, "[\n") == 0;

    for (size_t i = 0; framed && st == SILR_OK && i < l->n; i++) {
        const ssize_t got = getline(&line, &cap, f);
        const size_t end = i + 1 < l->n ? 2 : 1; /* ",\n" or "\n" */
        json_t *task = got > 2 ? json_loadb(line, (size_t)got - end, 0, NULL) : NULL;
        const char *what = task ? wrong_in_task(l, i, task) : "line";
        if (what)
            st = silr_mem_refused() != refused ? silr_fail_memory(err) : differs(path, l, i, what, err);
        json_decref(task);
    }
    framed = framed && (st != SILR_OK || (getline(&line, &cap, f) == 2 && strcmp(line, "]\n") == 0 &&
                                          getline(&line, &cap, f) < 0));
    if (st == SILR_OK && !framed)
        st = silr_fail(err, SILR_EBUG, "%s: is not one array of the tasks that were written; nothing was exported", path);
    free(line); /* of getline */
    if (f)
        fclose(f);
    return st;
}

silr_status silr_rows_compare(const silr_run_labels *l, silr_export_form form, const char *path, silr_error *err)
{
    return form == SILR_EXPORT_LABELSTUDIO ? compare_tasks(l, path, err) : compare_rows(l, form, path, err);
}
