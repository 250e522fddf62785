/* reopen.c - a run folder opened by itself: it knows its task, and where the corpus lies. */
#include "run/internal.h"
#include <string.h>
#include <unistd.h>

static silr_status read_task(silr_task **task, silr_store *store, const char *dir, silr_error *err)
{
    silr_buf json = {0}, home = {0};
    silr_status st;

    if ((st = silr_store_get(store, FACT_TASK, &json, err)) != SILR_OK ||
        (st = silr_store_get(store, FACT_DIR, &home, err)) != SILR_OK)
        goto done;
    if (json.len == 0 || home.len == 0) {
        st = silr_fail(err, SILR_EINPUT,
                       "%s/run.db: holds no task; `silr run` begins it anew", dir);
        goto done;
    }
    st = silr_task_parse(task, json.data, json.len, "run.db", home.data, NULL, 0, err);
done:
    silr_buf_clear(&json);
    silr_buf_clear(&home);
    return st;
}

/* The run has told of its bad rows already. */
static silr_status ignore_row(void *ctx, const char *file, uint64_t line, const char *why,
                              silr_error *err)
{
    (void)ctx, (void)file, (void)line, (void)why, (void)err;
    return SILR_OK;
}

silr_status silr_session_reopen(silr_session *s, silr_task **task, const char *dir,
                                silr_error *err)
{
    silr_status st;

    *s = (silr_session){.dir = dir};
    *task = NULL;
    if ((st = silr_store_open(&s->store, dir, NULL, NULL, err)) != SILR_OK ||
        (st = read_task(task, s->store, dir, err)) != SILR_OK)
        goto fail;
    if (!*task) {
        st = silr_fail(err, SILR_EBUG, "%s/run.db: the task was read and is not there", dir);
        goto fail;
    }
    s->task = *task;
    for (size_t i = 0; i < (*task)->corpus.n_files; i++)
        if (strcmp((*task)->corpus.files[i], "-") == 0 && isatty(0)) {
            st = silr_fail(err, SILR_EINPUT, "%s: its texts came from standard input: give them "
                           "again, silr report %s < FILE", dir, dir);
            goto fail;
        }
    (*task)->corpus.max_bad = 1;
    if ((st = silr_corpus_read(&s->corpus, *task, ignore_row, NULL, err)) != SILR_OK)
        goto fail;
    return SILR_OK;
fail:
    silr_session_close(s);
    silr_task_free(*task);
    *task = NULL;
    return st;
}
