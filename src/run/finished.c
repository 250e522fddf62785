/* finished.c - is there anything to do?
 *
 * A run's outcome is a function of its inputs: the task, the bytes of the corpus, of the labelled
 * file, of the lexicon and of the encoder, and the program. A finished run keeps the hash of all that. When it is
 * the same today and every output is in its place, there is nothing to do, and that is found out by
 * hashing files: 100,000 texts need neither be parsed nor labelled for it. */
#include "classify/classifier.h"
#include "run/internal.h"
#include <string.h>
#include <time.h>

silr_status silr_store_set_text(silr_store *s, const char *name, const char *text, silr_error *err)
{
    return silr_store_set(s, name, text, strlen(text), err);
}

silr_status silr_store_set_now(silr_store *s, const char *name, silr_error *err)
{
    char text[40];
    struct tm tm;
    time_t now = time(NULL);

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return silr_store_set_text(s, name, text, err);
}

/* Adds the hash of a file beside the task file, when one is named. */
static silr_status add_file(silr_buf *b, const silr_task *task, const char *what, const char *name,
                            silr_error *err)
{
    silr_sha256 h;
    silr_status st;
    char *path;

    if (!name)
        return SILR_OK;
    if (!(path = silr_path_join(task->dir, name)))
        return silr_fail_memory(err);
    if ((st = silr_sha256_file(&h, path, err)) == SILR_OK)
        silr_buf_printf(b, "%s %s\n", what, h.hex);
    silr_free(path);
    return st;
}

silr_status silr_fingerprint(silr_sha256 *out, const silr_task *task, silr_error *err)
{
    silr_buf b = {0};
    silr_sha256 corpus, encoder;
    silr_status st = SILR_OK;

    out->hex[0] = '\0';
    for (size_t i = 0; i < task->corpus.n_files; i++)
        if (strcmp(task->corpus.files[i], "-") == 0)
            goto done;
    if ((st = silr_corpus_digest_files(&corpus, task, err)) != SILR_OK)
        goto done;
    silr_buf_printf(&b, "silr %s\ntask %s\ncorpus %s\n", silr_version(), task->hash.hex, corpus.hex);
    if ((st = silr_classifier_identity(&encoder, task, err)) != SILR_OK)
        goto done;
    if (encoder.hex[0])
        silr_buf_printf(&b, "encoder %s\n", encoder.hex);
    if ((st = add_file(&b, task, "labelled", task->labelled.file, err)) != SILR_OK ||
        (st = add_file(&b, task, "lexicon", task->annotator.lexicon, err)) != SILR_OK)
        goto done;
    st = b.failed ? silr_fail_memory(err) : silr_sha256_bytes(out, b.data, b.len, err);
done:
    silr_buf_clear(&b);
    return st;
}

static bool outputs_exist(const char *dir)
{
    static const char *const names[] = {"labels.jsonl", "metrics.json", "manifest.json",
                                        "report.html", "classifier", "classifier/task.json"};
    bool all = true;

    for (size_t i = 0; all && i < sizeof names / sizeof *names; i++) {
        char *path = silr_path_join(dir, names[i]);
        all = path && silr_file_exists(path);
        silr_free(path);
    }
    return all;
}

silr_status silr_run_finished(silr_run_outcome *out, const silr_task *task, const char *dir,
                              silr_error *err)
{
    silr_store *store = NULL;
    silr_buf mark = {0}, bad = {0};
    silr_sha256 now;
    silr_status st = SILR_OK;
    char *path = silr_path_join(dir, "run.db");

    *out = (silr_run_outcome){0};
    if (!path)
        return silr_fail_memory(err);
    if (!silr_file_exists(path) || !outputs_exist(dir))
        goto done;
    if ((st = silr_store_open(&store, dir, task, NULL, err)) != SILR_OK ||
        (st = silr_store_get(store, MARK_DONE, &mark, err)) != SILR_OK || mark.len == 0 ||
        (st = silr_store_get(store, FACT_BAD, &bad, err)) != SILR_OK ||
        (st = silr_fingerprint(&now, task, err)) != SILR_OK)
        goto done;
    out->nothing_to_do = mark.len == strlen(now.hex) && memcmp(mark.data, now.hex, mark.len) == 0;
    out->too_many_bad = out->nothing_to_do && bad.len == 1 && bad.data[0] == '1';
done:
    silr_store_close(store);
    silr_buf_clear(&mark);
    silr_buf_clear(&bad);
    silr_free(path);
    return st;
}
