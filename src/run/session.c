/* session.c - corpus, store, annotations and the labelled sample of one run.
 *
 * Order matters for a process that may be killed at any instant: a fact is written in the same
 * transaction as what it is about. Annotating is in annotate.c. */
#include "run/internal.h"
#include <stdlib.h>
#include <string.h>

static silr_status read_corpus(silr_session *s, failed_rows *failed, silr_error *err)
{
    double allowed = s->task->corpus.max_bad;
    const silr_corpus_stats *info;
    silr_status st;

    /* What is readable is worked on in any case; too many bad rows show in the exit code. */
    s->task->corpus.max_bad = 1;
    st = silr_corpus_read(&s->corpus, s->task, silr_failed_row, failed, err);
    s->task->corpus.max_bad = allowed;
    if (st != SILR_OK)
        return st;
    info = silr_corpus_info(s->corpus);
    silr_log(SILR_LOG_DEBUG, "%zu texts in %zu rows, %zu of them equal to earlier ones, %zu empty",
             info->documents, info->rows, info->duplicates, info->empty);
    s->too_many_bad = (double)info->bad_rows > allowed * (double)info->rows;
    return SILR_OK;
}

/* What `silr report` and `silr show` need to know of the task. */
static silr_status keep_task(silr_session *s, silr_error *err)
{
    silr_buf json = {0}, start = {0};
    silr_status st;
    char *dir = realpath(s->task->dir && s->task->dir[0] ? s->task->dir : ".", NULL);

    silr_task_to_json(s->task, &json);
    if (!dir || json.failed) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_store_set(s->store, FACT_TASK, json.data, json.len, err)) != SILR_OK ||
        (st = silr_store_set_text(s->store, FACT_DIR, dir, err)) != SILR_OK ||
        (st = silr_store_get(s->store, MARK_START, &start, err)) != SILR_OK)
        goto done;
    if (start.len == 0)
        st = silr_store_set_now(s->store, MARK_START, err);
done:
    free(dir); /* of realpath */
    silr_buf_clear(&json);
    silr_buf_clear(&start);
    return st;
}

silr_status silr_session_open(silr_session *s, silr_task *task, const char *dir, silr_error *err)
{
    failed_rows failed = {0};
    silr_status st;

    *s = (silr_session){.task = task, .dir = dir};
    if ((st = read_corpus(s, &failed, err)) != SILR_OK)
        goto done;
    if (!dir)
        goto done;
    if ((st = silr_mkdirs(dir, err)) != SILR_OK ||
        (st = silr_store_open(&s->store, dir, task, s->corpus, err)) != SILR_OK ||
        (st = silr_failed_write(&failed.lines, dir, err)) != SILR_OK ||
        (st = silr_store_begin(s->store, err)) != SILR_OK ||
        (st = silr_store_documents(s->store, s->corpus, err)) != SILR_OK ||
        (st = keep_task(s, err)) != SILR_OK || (st = silr_store_commit(s->store, err)) != SILR_OK)
        goto done;
    s->bad_rows = failed.lines;
    failed.lines = (silr_buf){0};
done:
    silr_buf_clear(&failed.lines);
    if (st != SILR_OK)
        silr_session_close(s);
    return st;
}

void silr_session_close(silr_session *s)
{
    silr_sample_clear(&s->sample);
    silr_free(s->initial);
    silr_buf_clear(&s->bad_rows);
    silr_free(s->disagreed);
    silr_free(s->sets);
    silr_free(s->logp);
    silr_store_close(s->store);
    silr_corpus_free(s->corpus);
    *s = (silr_session){0};
}

/* --- the labelled sample ------------------------------------------------------------------- */

static bool same_sample(const silr_sample *a, const silr_sample *b)
{
    return a->n == b->n && (a->n == 0 || (memcmp(a->doc, b->doc, a->n * sizeof *a->doc) == 0 &&
                                          memcmp(a->truth, b->truth, a->n * sizeof *a->truth) == 0));
}

/* A task may name its labelled file before there is one: then the next step is to label. */
static silr_status check_labelled_file(const silr_session *s, silr_error *err)
{
    const silr_task *task = s->task;
    silr_status st = SILR_OK;
    char *path;

    if (task->labelled.kind != SILR_LABELLED_FILE || !task->labelled.file)
        return SILR_OK;
    if (!(path = silr_path_join(task->dir, task->labelled.file)))
        return silr_fail_memory(err);
    if (!silr_file_exists(path))
        st = silr_fail(err, SILR_EINPUT,
                       "%s: no text is labelled yet; `silr label %s` asks for them and writes it",
                       path, task->path ? task->path : "TASK");
    silr_free(path);
    return st;
}

silr_status silr_session_sample(silr_session *s, silr_error *err)
{
    silr_sample old = {0};
    bool present = false;
    size_t iterations = 0;
    silr_status st;

    silr_sample_clear(&s->sample);
    if ((st = check_labelled_file(s, err)) != SILR_OK ||
        (st = silr_session_disagreement(s, err)) != SILR_OK ||
        (st = silr_sample_draw(&s->sample, s->task, s->corpus, silr_session_sets(s), s->disagreed,
                               err)) !=
            SILR_OK ||
        !s->store)
        return st;
    if ((st = silr_store_sample_get(s->store, &old, &present, err)) != SILR_OK ||
        (present && same_sample(&old, &s->sample)))
        goto done;
    if ((st = silr_store_iterations(s->store, &iterations, err)) != SILR_OK)
        goto done;
    if (present && iterations > 0) {
        st = silr_fail(err, SILR_EINPUT,
                       "%s: its labelled sample (%zu texts) is not today's (%zu texts): labels were "
                       "added or changed since; give the new run a folder of its own with --out",
                       s->dir, old.n, s->sample.n);
        goto done;
    }
    if ((st = silr_store_begin(s->store, err)) != SILR_OK)
        goto done;
    if ((st = silr_store_sample(s->store, &s->sample, err)) != SILR_OK ||
        (st = silr_store_commit(s->store, err)) != SILR_OK)
        silr_store_rollback(s->store);
done:
    silr_sample_clear(&old);
    return st;
}

/* Pool documents in each of the annotator's sets. */
static void set_sizes(const silr_session *s, double *counts)
{
    const int *set = silr_session_sets(s);

    memset(counts, 0, SILR_MAX_CLASSES * sizeof *counts);
    for (size_t i = 0; i < silr_corpus_size(s->corpus); i++)
        if (set[i] != SILR_NO_LABEL && silr_corpus_split(s->corpus, i) != SILR_TEST)
            counts[set[i]] += 1;
}

silr_status silr_session_priors(silr_session *s, silr_priors *out, silr_error *err)
{
    double counts[SILR_MAX_CLASSES];
    int *pseudo;

    if (s->task->labelled.kind == SILR_LABELLED_NONE)
        return silr_fail(err, SILR_EINPUT,
                         "labelled: none leaves theta to be estimated from the texts' scores, which "
                         "silr run does; label some texts (silr label) to know it before");
    if (s->task->labelled.kind == SILR_LABELLED_ORACLE) {
        silr_priors_oracle(out, s->task, s->corpus, s->initial);
        return SILR_OK;
    }
    set_sizes(s, counts);
    if (s->task->labelled.kind == SILR_LABELLED_GIVEN)
        return silr_priors_given(out, s->task, counts, err);
    if (!(pseudo = silr_alloc(s->sample.n + 1, sizeof *pseudo)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < s->sample.n; i++)
        pseudo[i] = silr_session_sets(s)[s->sample.doc[i]];
    silr_priors_drawn(out, (int)s->task->n_classes, counts, s->sample.n, pseudo, s->sample.truth,
                      s->sample.weight);
    silr_priors_posterior(out, (uint64_t)s->task->seed);
    silr_free(pseudo);
    return SILR_OK;
}
