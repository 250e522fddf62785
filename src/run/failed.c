/* failed.c - what failed is kept, with the reason, in failed.jsonl: rows that could not be read,
 * texts to which no answer could be had.
 *
 * A corpus of a million lines has a few bad ones, an endpoint fails now and then. Neither must stop
 * the work or vanish. Bad rows are gathered while the corpus is read and written once the folder is
 * known to be this run's; failed texts are read from the store when the annotator is done. */
#include "run/internal.h"
#include <string.h>
#include <unistd.h>

silr_status silr_failed_row(void *ctx, const char *file, uint64_t line, const char *why,
                            silr_error *err)
{
    failed_rows *f = ctx;

    f->rows++;
    if (f->rows <= 3)
        silr_log(SILR_LOG_WARN, "%s:%llu: %s", file, (unsigned long long)line, why);
    else if (f->rows == 4)
        silr_log(SILR_LOG_WARN, "more rows cannot be read; see failed.jsonl");
    silr_buf_puts(&f->lines, "{\"file\":");
    silr_buf_json(&f->lines, file, strlen(file));
    silr_buf_printf(&f->lines, ",\"line\":%llu,\"reason\":", (unsigned long long)line);
    silr_buf_json(&f->lines, why, strlen(why));
    silr_buf_puts(&f->lines, "}\n");
    return f->lines.failed ? silr_fail_memory(err) : SILR_OK;
}

silr_status silr_failed_write(const silr_buf *lines, const char *dir, silr_error *err)
{
    silr_status st = SILR_OK;
    char *path = silr_path_join(dir, "failed.jsonl");

    if (!path)
        return silr_fail_memory(err);
    if (lines->len > 0)
        st = silr_file_write(path, lines->data, lines->len, err);
    else
        unlink(path); /* of an earlier reading; usually there is none */
    silr_free(path);
    return st;
}

/* --- texts that failed --------------------------------------------------------------------------- */

typedef struct {
    const silr_session *s;
    silr_buf lines;
    size_t texts; /* of first answers; a failed check of an answer is no failed text */
} failed_texts;

static const char *member_name(const silr_session *s, int source)
{
    const silr_task *used = silr_task_in_use(s->task);
    int member = source / SILR_SOURCE_ROUNDS;

    if (member > 0 && (size_t)member <= used->annotator.n_members)
        return silr_task_annotator(used->annotator.member[member - 1]);
    return silr_task_annotator(used);
}

static silr_status put_text(void *ctx, int source, size_t doc, const char *id, const char *raw,
                            const char *reason, silr_error *err)
{
    failed_texts *f = ctx;
    const char *name = member_name(f->s, source);
    int round = source % SILR_SOURCE_ROUNDS;
    (void)doc, (void)raw;

    f->texts += round == 0;
    silr_buf_puts(&f->lines, "{\"id\":");
    silr_buf_json(&f->lines, id, strlen(id));
    silr_buf_puts(&f->lines, ",\"annotator\":");
    silr_buf_json(&f->lines, name, strlen(name));
    if (round > 0)
        silr_buf_printf(&f->lines, ",\"check\":%d", round);
    silr_buf_puts(&f->lines, ",\"reason\":");
    silr_buf_json(&f->lines, reason, strlen(reason));
    silr_buf_puts(&f->lines, "}\n");
    return f->lines.failed ? silr_fail_memory(err) : SILR_OK;
}

/* Texts that annotators were asked about, and the share without an answer that is tolerated. */
static double allowed(const silr_session *s, double *share)
{
    const silr_task *used = silr_task_in_use(s->task);
    size_t asked = 0, models = used->annotator.kind == SILR_ANNOTATOR_CHAT;

    for (size_t i = 0; i < used->annotator.n_members; i++)
        models += used->annotator.member[i]->annotator.kind == SILR_ANNOTATOR_CHAT;
    for (size_t i = 0; i < silr_corpus_size(s->corpus); i++)
        asked += !silr_corpus_empty(s->corpus, i);
    *share = used->annotator.chat.max_failed;
    return (double)asked * (double)models;
}

silr_status silr_session_failures(silr_session *s, silr_error *err)
{
    failed_texts f = {.s = s};
    double share, asked = allowed(s, &share);
    silr_status st;

    silr_buf_add(&f.lines, s->bad_rows.data, s->bad_rows.len);
    st = silr_store_reasons(s->store, true, put_text, &f, err);
    if (st == SILR_OK && f.lines.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK)
        st = silr_failed_write(&f.lines, s->dir, err);
    if (st == SILR_OK && f.texts > 0) {
        silr_log(SILR_LOG_WARN, "%zu texts have no answer; they are in %s/failed.jsonl with the reasons, "
                 "--retry-failed asks again", f.texts, s->dir);
        s->too_many_bad = s->too_many_bad || (double)f.texts > share * asked;
    }
    silr_buf_clear(&f.lines);
    return st;
}
