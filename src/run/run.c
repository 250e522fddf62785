/* run.c - from raw texts to the report: silr_run.
 *
 *     corpus -> annotate -> labelled sample -> refine -> outputs
 *
 * Every stage keeps its result in run.db before the next begins. The mark of a finished run is set
 * last, and taken away before anything is done to a folder that has it, so that a mark always tells
 * the truth. */
#include "refine/refine.h"
#include "report/report.h"
#include "run/internal.h"
#include <omp.h>
#include <string.h>

/* What `silr predict` must know to find the text in a row: classifier/task.json. */
static silr_status write_model_task(const silr_task *task, const char *classifier, silr_error *err)
{
    silr_buf b = {0};
    silr_status st;
    char *path = silr_path_join(classifier, "task.json");

    silr_buf_puts(&b, "{\"name\":");
    silr_buf_json(&b, task->name, strlen(task->name));
    silr_buf_puts(&b, ",\"text\":");
    silr_buf_json(&b, task->corpus.text, strlen(task->corpus.text));
    silr_buf_puts(&b, ",\"id\":");
    if (task->corpus.id)
        silr_buf_json(&b, task->corpus.id, strlen(task->corpus.id));
    else
        silr_buf_puts(&b, "null");
    silr_buf_puts(&b, "}\n");
    st = !path || b.failed ? silr_fail_memory(err) : silr_file_write(path, b.data, b.len, err);
    silr_free(path);
    silr_buf_clear(&b);
    return st;
}

static silr_status finish(silr_session *s, silr_error *err)
{
    silr_sha256 mark;
    silr_status st;

    if ((st = silr_store_set_now(s->store, MARK_END, err)) != SILR_OK)
        return st;
    silr_progress("writing the report", 0, 0);
    if ((st = silr_report_write(s->task, s->corpus, s->store, s->dir, err)) != SILR_OK ||
        (st = silr_store_set_text(s->store, FACT_BAD, s->too_many_bad ? "1" : "0", err)) != SILR_OK ||
        (st = silr_fingerprint(&mark, s->task, err)) != SILR_OK)
        return st;
    return silr_store_set_text(s->store, MARK_DONE, mark.hex, err);
}

static silr_status stages(silr_session *s, const char *classifier,
                          const silr_run_settings *settings, silr_error *err)
{
    silr_refine_opts opts = {.force = settings->force};
    const char *command = settings->command ? settings->command : "";
    silr_status st;

    if ((st = silr_store_unset(s->store, MARK_DONE, err)) != SILR_OK ||
        (st = silr_store_set_text(s->store, FACT_COMMAND, command, err)) != SILR_OK ||
        (st = silr_session_annotate(s, err)) != SILR_OK ||
        (st = silr_session_sample(s, err)) != SILR_OK ||
        (st = silr_refine(s->task, s->corpus, s->store, classifier, &opts, err)) != SILR_OK ||
        (st = write_model_task(s->task, classifier, err)) != SILR_OK)
        return st;
    if (silr_cancelled())
        return silr_fail(err, SILR_ECANCEL, "interrupted before the report was written");
    return finish(s, err);
}

silr_status silr_run_all(silr_task *task, const char *dir, const silr_run_settings *settings,
                         silr_run_outcome *out, silr_error *err)
{
    silr_session s = {0};
    silr_status st;
    char *classifier = silr_path_join(dir, "classifier");

    if (!classifier)
        return silr_fail_memory(err);
    omp_set_num_threads(silr_threads((int)task->threads));
    if (!settings->retry_failed && ((st = silr_run_finished(out, task, dir, err)) != SILR_OK ||
                                    out->nothing_to_do))
        goto done;
    if ((st = silr_session_open(&s, task, dir, err)) != SILR_OK)
        goto done;
    s.retry_failed = settings->retry_failed;
    st = stages(&s, classifier, settings, err);
    out->too_many_bad = s.too_many_bad;
done:
    silr_session_close(&s);
    silr_free(classifier);
    return st;
}

/* --- the public door ----------------------------------------------------------------------- */

static void pass_line(void *ctx, silr_log_level level, const char *text)
{
    const silr_run_opts *o = ctx;
    if (o->log)
        o->log(o->ctx, (int)level, text);
}

static void pass_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    const silr_run_opts *o = ctx;
    if (o->progress)
        o->progress(o->ctx, what, done, total);
}

SILR_API silr_status silr_run(silr_task *task, const char *out, const silr_run_opts *opts,
                              silr_error *err)
{
    silr_run_opts o = opts ? *opts : (silr_run_opts){0};
    silr_listener l = {.ctx = &o, .line = pass_line, .progress = pass_progress};
    silr_run_settings settings = {.force = o.force != 0};
    silr_run_outcome outcome;
    int64_t threads = task->threads;
    silr_status st;

    if (o.threads > 0)
        task->threads = o.threads;
    silr_log_listen(&l);
    st = silr_run_all(task, out, &settings, &outcome, err);
    silr_log_listen(NULL);
    task->threads = threads;
    return st;
}
