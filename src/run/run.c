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

static silr_status run_one(silr_task *task, const char *dir, const silr_run_settings *settings,
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

/* --- each of several on its own ------------------------------------------------------------ */

/* A folder's name: letters, digits, dots, dashes as they are, the rest as _. Names that become equal
 * are told apart by the member's number in front. */
char *silr_run_member_dir(const silr_task *task, size_t m, const char *dir)
{
    const char *name = silr_task_annotator(task->annotator.member[m]);
    silr_buf b = {0};
    char *path = NULL;

    silr_buf_printf(&b, "%zu-", m + 1);
    for (const char *p = name; *p && b.len < 80; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || *p == '.' || *p == '-';
        silr_buf_putc(&b, plain ? *p : '_');
    }
    if (!b.failed)
        path = silr_path_join(dir, b.data);
    silr_buf_clear(&b);
    return path;
}

/* annotator.combine: each. A run a member, in a folder of its own below dir. */
static silr_status run_each(const silr_task *task, const char *dir,
                            const silr_run_settings *settings, silr_run_outcome *out,
                            silr_error *err)
{
    silr_status st = SILR_OK;
    bool idle = true;

    *out = (silr_run_outcome){0};
    for (size_t m = 0; st == SILR_OK && m < task->annotator.n_members; m++) {
        silr_run_outcome one = {0};
        char *path = silr_run_member_dir(task, m, dir);
        if (!path)
            return silr_fail_memory(err);
        silr_log(SILR_LOG_INFO, "%s: into %s", silr_task_annotator(task->annotator.member[m]), path);
        st = run_one(task->annotator.member[m], path, settings, &one, err);
        idle = idle && one.nothing_to_do;
        out->too_many_bad = out->too_many_bad || one.too_many_bad;
        silr_free(path);
    }
    out->nothing_to_do = idle;
    return st;
}

silr_status silr_run_all(silr_task *task, const char *dir, const silr_run_settings *settings,
                         silr_run_outcome *out, silr_error *err)
{
    if (silr_run_is_each(task))
        return run_each(task, dir, settings, out, err);
    return run_one(task, dir, settings, out, err);
}

bool silr_run_is_each(const silr_task *task)
{
    return silr_task_in_use(task)->annotator.kind == SILR_ANNOTATOR_SEVERAL &&
           task->annotator.combine == SILR_COMBINE_EACH;
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
