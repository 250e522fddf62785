/* labels.c - labels.jsonl: one line a document, in the order of the corpus.
 *
 *     {"id":"7","label":"sport","score":0.97,"initial_label":null,"changed":true,"split":"train"}
 *
 * changed is exactly label != initial_label, so a text that had no label and has one now counts.
 * A document with no label at all (an empty text) has null for label and score. */
#include "report/inside.h"

#include <string.h>

static void class_or_null(silr_buf *b, const silr_task *task, int k)
{
    if (k == SILR_NO_LABEL)
        silr_buf_puts(b, "null");
    else
        silr_buf_json(b, task->classes[k], strlen(task->classes[k]));
}

static void line(silr_buf *b, const silr_facts *f, size_t i)
{
    const char *id = silr_corpus_id(f->corpus, i);
    const float *p = f->prob + i * (size_t)f->K;
    int is = f->final[i], was = f->initial[i];

    silr_buf_puts(b, "{\"id\":");
    silr_buf_json(b, id, strlen(id));
    silr_buf_puts(b, ",\"label\":");
    class_or_null(b, f->task, is);
    silr_buf_puts(b, ",\"score\":");
    silr_buf_number(b, silr_facts_score(f, i), 6);
    silr_buf_puts(b, ",\"initial_label\":");
    class_or_null(b, f->task, was);
    silr_buf_puts(b, is != was ? ",\"changed\":true" : ",\"changed\":false");
    silr_buf_printf(b, ",\"split\":\"%s\"", silr_split_name(silr_corpus_split(f->corpus, i)));
    if (f->K > 2 && is != SILR_NO_LABEL) {
        for (int k = 0; k < f->K; k++) {
            silr_buf_puts(b, k ? "," : ",\"scores\":{");
            silr_buf_json(b, f->task->classes[k], strlen(f->task->classes[k]));
            silr_buf_putc(b, ':');
            silr_buf_number(b, (double)p[k], 6);
        }
        silr_buf_putc(b, '}');
    }
    silr_buf_puts(b, "}\n");
}

silr_status silr_labels_write(const silr_facts *f, silr_error *err)
{
    enum { CHUNK = 1 << 16 };
    silr_out out;
    silr_buf b = {0};
    silr_status st;
    char *path = silr_path_join(f->dir, "labels.jsonl");

    if (!path)
        return silr_fail_memory(err);
    st = silr_out_open(&out, path, err);
    silr_free(path);
    if (st != SILR_OK)
        return st;
    for (size_t i = 0; i < f->n; i++) {
        line(&b, f, i);
        if (b.failed || (b.len < CHUNK && i + 1 < f->n))
            continue;
        if (fwrite(b.data, 1, b.len, out.file) != b.len)
            break; /* silr_out_close sees the stream's error and says so */
        silr_buf_reset(&b);
    }
    if (b.failed) {
        silr_out_discard(&out);
        st = silr_fail_memory(err);
    } else {
        st = silr_out_close(&out, err);
    }
    silr_buf_clear(&b);
    return st;
}
