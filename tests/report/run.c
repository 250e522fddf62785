#include "run.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char hostile[] = "</td></script><script>alert(1)</script>\"'&<!-- ]]> \x01`id` $(x)";

static const char plain_rows[] = "{\"id\":\"a\",\"text\":\"a fine film\",\"weak\":\"%s\"%s}\n"
                                 "{\"id\":\"b\",\"text\":\"a dull film\",\"weak\":\"%s\"%s}\n"
                                 "{\"id\":\"c\",\"text\":\"fine acting\",\"weak\":\"%s\"%s}\n"
                                 "{\"id\":\"d\",\"text\":\"dull acting\",\"weak\":null%s}\n"
                                 "{\"id\":\"e\",\"text\":\"so so\",\"weak\":\"%s\"%s}\n"
                                 "{\"id\":\"f\",\"text\":\"  \",\"weak\":null}\n";

static silr_status put(const run *r, const char *name, const char *bytes, size_t len,
                       silr_error *err)
{
    char *path = silr_path_join(r->dir, name);
    silr_status st = path ? silr_file_write(path, bytes, len, err) : silr_fail_memory(err);
    silr_free(path);
    return st;
}

/* Two iterations: the annotator's labels, and the refined ones. */
static silr_status fill(run *r, int K, const int *was, const int *is, silr_error *err)
{
    size_t n = silr_corpus_size(r->corpus);
    float score[8] = {0}, prob[8 * 3] = {0};
    uint32_t doc[] = {0, 1};
    int known[] = {0, 1};
    double weight[] = {1, 1};
    silr_sample sample = {2, doc, known, weight};
    silr_iteration it = {.iteration = 0,
                         .accepted = true,
                         .train_loss = NAN,
                         .validation_loss = NAN,
                         .estimated = {0.75, 0.5, 0.9},
                         .seconds = 1.5};
    silr_status st;

    it.priors.K = K;
    for (int j = 0; j < K; j++) {
        for (int k = 0; k < K; k++)
            it.priors.theta[j * K + k] = j == k ? 0.75 : 0.25 / (K - 1);
        it.priors.pi[j] = 1.0 / K;
        it.priors.theta_low[j] = 0.5;
        it.priors.theta_high[j] = 0.875;
        it.priors.pi_low[j] = 0.25;
        it.priors.pi_high[j] = 0.625;
    }
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < K; k++)
            prob[i * (size_t)K + (size_t)k] = is[i] == k ? 0.75f : 0.25f / (float)(K - 1);
    if ((st = silr_store_documents(r->store, r->corpus, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        silr_annotation a = {.label = was[i], .confidence = NAN};
        if ((st = silr_store_annotation(r->store, 0, i, &a, err)) != SILR_OK)
            return st;
    }
    if ((st = silr_store_sample(r->store, &sample, err)) != SILR_OK ||
        (st = silr_store_iteration(r->store, &it, n, was, score, err)) != SILR_OK)
        return st;
    it.iteration = 1;
    it.estimated = (silr_interval){0.875, 0.75, 0.9375};
    it.flips = 2;
    it.train_loss = 0.25;
    it.best_epoch = 1;
    snprintf(it.note, sizeof it.note, "%s", K == 2 ? "settled" : "");
    if ((st = silr_store_iteration(r->store, &it, n, is, score, err)) != SILR_OK ||
        (st = silr_store_final(r->store, n, K, is, prob, err)) != SILR_OK ||
        (st = silr_store_set(r->store, "run.command", "silr run task.yaml", 18, err)) != SILR_OK ||
        (st = silr_store_set(r->store, "run.start", "2026-01-02T03:04:05Z", 20, err)) != SILR_OK)
        return st;
    return SILR_OK;
}

static silr_status open_run(run *r, const char *yaml, silr_error *err)
{
    silr_status st;
    if ((st = silr_task_parse(&r->task, yaml, strlen(yaml), "task.yaml", r->dir, NULL, 0, err)) !=
            SILR_OK ||
        (st = silr_corpus_read(&r->corpus, r->task, NULL, NULL, err)) != SILR_OK)
        return st;
    return silr_store_open(&r->store, r->dir, r->task, r->corpus, err);
}

static silr_status fresh(run *r, silr_error *err)
{
    const char *tmp = getenv("TMPDIR");
    *r = (run){0};
    snprintf(r->dir, sizeof r->dir, "%s/silr-report-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(r->dir) ? SILR_OK : silr_fail(err, SILR_EIO, "no folder for the test");
}

silr_status run_open(run *r, int K, bool truth, silr_error *err)
{
    static const char *const name[] = {"good", "bad", "red", "green", "blue"};
    const char *const *c = K == 2 ? name : name + 2;
    char rows[1024], label[2][64], yaml[512];
    silr_status st = fresh(r, err);

    for (int k = 0; k < 2; k++)
        snprintf(label[k], sizeof label[k], truth ? ",\"label\":\"%s\"" : "", c[k]);
    snprintf(rows, sizeof rows, plain_rows, c[0], label[0], c[1], label[1], c[1], label[0],
             label[1], c[1], label[0]);
    snprintf(
        yaml, sizeof yaml,
        "name: tiny\nclasses: [%s, %s%s%s]\ncorpus: {files: [rows.jsonl], text: text, id: id%s, "
        "split: {train: 1, validation: 0, test: 0}}\nannotator: {kind: column, column: weak}\n"
        "labelled: %s\n",
        c[0], c[1], K == 3 ? ", " : "", K == 3 ? c[2] : "", truth ? ", label: label" : "",
        truth ? "{count: 2}" : "none");
    if (st != SILR_OK || (st = put(r, "rows.jsonl", rows, strlen(rows), err)) != SILR_OK)
        return st;
    return open_run(r, yaml, err);
}

silr_status run_make(run *r, int K, bool truth, silr_error *err)
{
    const int was[] = {0, 1, 1, SILR_NO_LABEL, 1, SILR_NO_LABEL};
    const int is[] = {0, 1, 0, 1, 1, SILR_NO_LABEL};
    silr_status st = run_open(r, K, truth, err);
    return st == SILR_OK ? fill(r, K, was, is, err) : st;
}

silr_status run_make_hostile(run *r, silr_error *err)
{
    const int was[] = {1, 0, 1}, is[] = {0, 1, 1};
    silr_buf rows = {0}, yaml = {0};
    silr_status st = fresh(r, err);

    for (int i = 0; i < 3; i++) {
        silr_buf id = {0};
        silr_buf_printf(&id, "%s%d", hostile, i);
        silr_buf_puts(&rows, "{\"id\":");
        silr_buf_json(&rows, id.data, id.len);
        silr_buf_puts(&rows, ",\"text\":");
        silr_buf_json(&rows, id.data, id.len);
        silr_buf_puts(&rows, ",\"weak\":1}\n");
        silr_buf_clear(&id);
    }
    silr_buf_puts(&yaml, "name: ");
    silr_buf_json(&yaml, hostile, sizeof hostile - 1);
    silr_buf_puts(&yaml, "\nquestion: ");
    silr_buf_json(&yaml, hostile, sizeof hostile - 1);
    silr_buf_puts(&yaml, "\nclasses: [");
    silr_buf_json(&yaml, hostile, sizeof hostile - 1);
    silr_buf_puts(&yaml, ", other]\ncorpus: {files: [rows.jsonl], text: text, id: id}\n"
                         "annotator: {kind: column, column: weak}\nlabelled: none\n");
    if (rows.failed || yaml.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK && (st = put(r, "rows.jsonl", rows.data, rows.len, err)) == SILR_OK &&
        (st = open_run(r, yaml.data, err)) == SILR_OK && (st = fill(r, 2, was, is, err)) == SILR_OK)
        st = silr_store_set(r->store, "verdict", hostile, sizeof hostile - 1, err);
    silr_buf_clear(&rows);
    silr_buf_clear(&yaml);
    return st;
}

static int gone(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void run_free(run *r)
{
    silr_store_close(r->store);
    silr_corpus_free(r->corpus);
    silr_task_free(r->task);
    if (r->dir[0])
        nftw(r->dir, gone, 8, FTW_DEPTH | FTW_PHYS);
    *r = (run){0};
}

char *run_read(const run *r, const char *name)
{
    silr_buf b = {0};
    char *path = silr_path_join(r->dir, name);
    silr_status st = path ? silr_file_read(&b, path, (size_t)1 << 26, NULL) : SILR_ENOMEM;
    silr_free(path);
    if (st != SILR_OK) {
        silr_buf_clear(&b);
        return NULL;
    }
    return silr_buf_take(&b);
}
