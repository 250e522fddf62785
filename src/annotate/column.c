/* column.c - labels that someone has left in a column: an old system, a model's recorded answers.
 *
 * A value becomes a class through annotator.values, or as the name of a class, or, of two classes,
 * as 1 and -1 or 0. No value, and a value that the map sends to null, abstain. A value that nothing
 * is known about stops the run: to guess, or to leave such texts out, would hide a typing error.
 *
 * annotator.log_odds names a column of numbers o = log P(class 0) - log P(class 1), of two classes.
 * They come with the label, as log sigmoid(o) and log sigmoid(-o); where no column holds the label,
 * it is their sign, and 0 abstains. */
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

/* The label by its own column. */
static silr_status read_label(silr_column_answer *a, const silr_task *task, const silr_corpus *c,
                              size_t i, silr_error *err)
{
    if (!a->value || !*a->value) {
        a->reason = "no value";
        return SILR_OK;
    }
    if (!silr_task_value(task, &task->annotator.values, a->value, &a->label))
        return unknown_value(task, c, i, a->value, err);
    if (a->label == SILR_NO_LABEL)
        a->reason = "the value means none";
    return SILR_OK;
}

static silr_status read_log_odds(silr_column_answer *a, const silr_task *task, const silr_corpus *c,
                                 size_t i, silr_error *err)
{
    const char *column = task->annotator.log_odds, *value = silr_corpus_column(c, i, column);

    if (!value || !*value)
        return SILR_OK;
    if (!silr_parse_double(value, &a->log_odds))
        return silr_fail(err, SILR_EINPUT,
                         "document %.80s: column %.80s holds \"%.80s\", which is not a finite "
                         "number; annotator.log_odds takes log P(%.40s) - log P(%.40s), and no value "
                         "where there are none",
                         silr_corpus_id(c, i), column, value, task->classes[0], task->classes[1]);
    a->log_odds = fmax(fmin(a->log_odds, 1e30), -1e30); /* they are kept as floats */
    a->weighed = true;
    return SILR_OK;
}

silr_status silr_column_read(silr_column_answer *a, const silr_task *task, const silr_corpus *c,
                             size_t i, silr_error *err)
{
    const char *column = task->annotator.column;
    silr_status st = SILR_OK;

    *a = (silr_column_answer){.label = SILR_NO_LABEL};
    a->value = silr_corpus_column(c, i, column ? column : task->annotator.log_odds);
    if (silr_corpus_empty(c, i)) {
        a->reason = "empty text";
        return SILR_OK;
    }
    if (task->annotator.log_odds && (st = read_log_odds(a, task, c, i, err)) != SILR_OK)
        return st;
    if (column)
        return read_label(a, task, c, i, err);
    if (!a->weighed)
        a->reason = "no value";
    else if (a->log_odds == 0)
        a->reason = "the log-odds are 0";
    else
        a->label = a->log_odds > 0 ? 0 : 1;
    return SILR_OK;
}

/* The answer as an annotation; logp [2] is filled where there are log-odds, and borrowed by it. */
static silr_annotation annotation_of(const silr_column_answer *a, float *logp)
{
    silr_annotation out = {.label = a->label, .confidence = NAN, .raw = a->value,
                           .reason = a->reason};

    if (!a->weighed || a->label == SILR_NO_LABEL)
        return out;
    logp[0] = (float)-silr_log1pexp(-a->log_odds);
    logp[1] = (float)-silr_log1pexp(a->log_odds);
    out.logp = logp;
    out.basis = SILR_BASIS_LOGPROBS;
    out.confidence = (float)silr_sigmoid(a->label == 0 ? a->log_odds : -a->log_odds);
    return out;
}

static silr_status annotate(silr_annotator *base, const silr_corpus *c, const uint32_t *docs,
                            size_t n, silr_annotation_sink sink, void *ctx, silr_error *err)
{
    const silr_task *task = ((column_annotator *)base)->task;

    for (size_t i = 0; i < n; i++) {
        silr_column_answer answer;
        float logp[2];
        silr_status st = silr_column_read(&answer, task, c, docs[i], err);
        if (st == SILR_OK) {
            silr_annotation a = annotation_of(&answer, logp);
            st = sink(ctx, docs[i], &a, err);
        }
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

    if (!task->annotator.column && !task->annotator.log_odds)
        return silr_fail(err, SILR_EINPUT,
                         "%s: annotator.column is missing: the column that holds the labels",
                         task->path ? task->path : "task");
    if (task->annotator.log_odds && task->n_classes != 2)
        return silr_fail(err, SILR_EINPUT, "annotator.log_odds tells two classes apart, and there are "
                         "%zu", task->n_classes);
    if (!(a = silr_calloc(1, sizeof *a)))
        return silr_fail_memory(err);
    a->base = (silr_annotator){.kind = "column", .annotate = annotate, .free = column_free};
    a->task = task;
    *out = &a->base;
    return SILR_OK;
}
