/* labels.c - labels.jsonl read back, and put beside the texts that it is of.
 *
 *     {"id":"7","label":"sport","score":0.97,"initial_label":null, ... "scores":{...}}
 *
 * Its lines are in the order of the corpus. Of two classes the score says both probabilities. */
#include "export/inside.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const size_t MOST_BYTES = (size_t)8 << 30;

static silr_status wrong(const char *path, size_t line, const char *why, silr_error *err)
{
    return silr_fail(err, SILR_EINPUT, "%s:%zu: %s; `silr run` writes it anew", path, line, why);
}

/* A class by name, or null. false: neither. */
static bool class_at(const silr_run_labels *l, const json_t *v, int *out)
{
    const char *name = json_string_value(v);

    *out = SILR_NO_LABEL;
    if (json_is_null(v))
        return true;
    for (size_t k = 0; name && k < l->K; k++)
        if (strcmp(l->task->classes[k], name) == 0) {
            *out = (int)k;
            return true;
        }
    return false;
}

/* Row i's score and probabilities; false: they are not as they should be. */
static bool scores_at(silr_run_labels *l, const json_t *row, size_t i)
{
    const json_t *score = json_object_get(row, "score"), *scores = json_object_get(row, "scores");
    double *p = l->prob + i * l->K;

    l->score[i] = NAN;
    if (json_is_number(score))
        l->score[i] = json_number_value(score);
    for (size_t k = 0; k < l->K; k++)
        p[k] = NAN;
    if (l->label[i] == SILR_NO_LABEL)
        return true;
    if (!(l->score[i] >= 0 && l->score[i] <= 1))
        return json_is_null(score); /* a label that no probability stands for */
    for (size_t k = 0; k < l->K; k++) {
        const json_t *v = json_object_get(scores, l->task->classes[k]);
        p[k] = l->K > 2 ? json_number_value(v) : (int)k == l->label[i] ? l->score[i] : 1 - l->score[i];
        if (l->K > 2 && !json_is_number(v))
            return false;
    }
    return true;
}

static silr_status take_line(silr_run_labels *l, const char *path, size_t i, const char *line, size_t len, silr_error *err)
{
    const uint64_t refused = silr_mem_refused();
    json_t *row = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *id = json_string_value(json_object_get(row, "id"));
    silr_status st = SILR_OK;

    if (silr_mem_refused() != refused) /* then it is nothing that is wrong with the line */
        st = silr_fail_memory(err);
    else if (!id)
        st = wrong(path, i + 1, "is not a line with an id", err);
    else if (strcmp(id, silr_corpus_id(l->corpus, i)) != 0)
        st = silr_fail(err, SILR_EINPUT, "%s:%zu: is of text \"%.80s\", where the corpus has \"%.80s\": the corpus was "
                       "changed since the run", path, i + 1, id, silr_corpus_id(l->corpus, i));
    else if (!class_at(l, json_object_get(row, "label"), &l->label[i]) ||
             !class_at(l, json_object_get(row, "initial_label"), &l->first[i]))
        st = wrong(path, i + 1, "names a class that the task has not", err);
    else if (!scores_at(l, row, i))
        st = wrong(path, i + 1, "has no scores of all classes", err);
    json_decref(row);
    return st;
}

static silr_status take_lines(silr_run_labels *l, const char *path, const silr_buf *b, size_t all, silr_error *err)
{
    const char *at = b->data ? b->data : "", *end = at + b->len;
    silr_status st = SILR_OK;
    size_t i = 0;

    for (; at < end && st == SILR_OK && i < all; i++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((stop ? stop : end) - at);
        if (i < l->n)
            st = take_line(l, path, i, at, len, err);
        at += len + (stop != NULL);
    }
    if (st == SILR_OK && (i != all || at != end))
        return silr_fail(err, SILR_EINPUT, "%s has not one line for each of the corpus's %zu texts: the corpus was "
                         "changed since the run", path, all);
    return st;
}

silr_status silr_run_labels_read(silr_run_labels *l, const char *run, const silr_task *task, const silr_corpus *corpus,
                                 size_t limit, silr_error *err)
{
    const size_t all = silr_corpus_size(corpus);
    char *path = silr_path_join(run, "labels.jsonl");
    silr_buf b = {0};
    silr_status st = path ? silr_file_read(&b, path, MOST_BYTES, err) : silr_fail_memory(err);

    *l = (silr_run_labels){.task = task, .corpus = corpus, .name = task->name, .K = task->n_classes,
                           .n = limit > 0 && limit < all ? limit : all};
    if (st != SILR_OK)
        goto done;
    l->label = silr_alloc(l->n + 1, sizeof *l->label);
    l->first = silr_alloc(l->n + 1, sizeof *l->first);
    l->score = silr_alloc(l->n + 1, sizeof *l->score);
    l->prob = silr_alloc(l->n + 1, l->K * sizeof *l->prob);
    st = l->label && l->first && l->score && l->prob ? take_lines(l, path, &b, all, err) : silr_fail_memory(err);
done:
    if (st != SILR_OK)
        silr_run_labels_clear(l);
    silr_buf_clear(&b);
    silr_free(path);
    return st;
}

void silr_run_labels_clear(silr_run_labels *l)
{
    silr_free(l->label);
    silr_free(l->first);
    silr_free(l->score);
    silr_free(l->prob);
    *l = (silr_run_labels){0};
}
