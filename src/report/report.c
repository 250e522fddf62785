/* report.c - the door: gathers the facts once and writes each file whole or not at all. */
#include "report/inside.h"

silr_status silr_report_put(const char *dir, const char *name, silr_buf *b, silr_error *err)
{
    silr_status st;
    char *path = silr_path_join(dir, name);

    if (b->failed || !path)
        st = silr_fail_memory(err);
    else
        st = silr_file_write(path, b->data, b->len, err);
    silr_free(path);
    silr_buf_clear(b);
    return st;
}

static silr_status metrics(const silr_facts *f, silr_error *err)
{
    silr_buf b = {0};
    silr_metrics_render(f, &b);
    return silr_report_put(f->dir, "metrics.json", &b, err);
}

static silr_status manifest(const silr_facts *f, silr_error *err)
{
    silr_buf b = {0};
    silr_manifest_render(f, &b);
    return silr_report_put(f->dir, "manifest.json", &b, err);
}

static silr_status labels(const silr_facts *f, silr_error *err)
{
    if (!f->finished)
        return silr_fail(err, SILR_EINPUT,
                         "%s: the run has no final labels yet; finish it with `silr run`", f->dir);
    return silr_labels_write(f, err);
}

typedef silr_status (*writer)(const silr_facts *f, silr_error *err);

static silr_status with_facts(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                              const char *dir, const writer *write, size_t n, silr_error *err)
{
    silr_facts f;
    silr_status st = silr_facts_read(&f, task, corpus, store, dir, err);
    if (st != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = write[i](&f, err);
    silr_facts_clear(&f);
    return st;
}

silr_status silr_report_write(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                              const char *dir, silr_error *err)
{
    const writer all[] = {labels, metrics, manifest, silr_html_write};
    return with_facts(task, corpus, store, dir, all, sizeof all / sizeof *all, err);
}

silr_status silr_report_labels(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                               const char *dir, silr_error *err)
{
    return with_facts(task, corpus, store, dir, (const writer[]){labels}, 1, err);
}

silr_status silr_report_metrics(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                                const char *dir, silr_error *err)
{
    return with_facts(task, corpus, store, dir, (const writer[]){metrics}, 1, err);
}

silr_status silr_report_manifest(const silr_task *task, const silr_corpus *corpus,
                                 silr_store *store, const char *dir, silr_error *err)
{
    return with_facts(task, corpus, store, dir, (const writer[]){manifest}, 1, err);
}

silr_status silr_report_html(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                             const char *dir, silr_error *err)
{
    return with_facts(task, corpus, store, dir, (const writer[]){silr_html_write}, 1, err);
}
