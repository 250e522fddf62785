/* rows.c - a run's labels as files for other programs.
 *
 *     csv          id,text,initial_label,label,score; nothing where there is none
 *     jsonl        the same, null where there is none; of more than two classes "scores" too
 *     cleanlab     id,label,pred_probs_CLASS...: label is the given one as its number, and the
 *                  probabilities are the refined ones. Texts that lack either are left out
 *     labelstudio  [{"data":{"id","text"},"predictions":[{"model_version","score","result":[choice]}]}, ...],
 *                  a task a line, for a labelling configuration with <Text name="text"> and
 *                  <Choices name="label">; a text without a label has no prediction */
#include "export/inside.h"

#include <math.h>
#include <string.h>

enum { DIGITS = 6 /* as labels.jsonl has them */, CHUNK = 1 << 16 };

bool silr_rows_leave_out(const silr_run_labels *l, silr_export_form form, size_t i)
{
    return form == SILR_EXPORT_CLEANLAB && (l->first[i] == SILR_NO_LABEL || isnan(l->prob[i * l->K]));
}

/* --- fields ------------------------------------------------------------------------------------- */

static void add_class_cell(silr_buf *b, const silr_run_labels *l, int k)
{
    silr_buf_putc(b, ',');
    if (k != SILR_NO_LABEL)
        silr_buf_csv(b, l->task->classes[k], strlen(l->task->classes[k]));
}

static void add_class(silr_buf *b, const silr_run_labels *l, int k)
{
    if (k == SILR_NO_LABEL)
        silr_buf_puts(b, "null");
    else
        silr_buf_json(b, l->task->classes[k], strlen(l->task->classes[k]));
}

/* --- a row of each ------------------------------------------------------------------------------ */

static void add_csv(silr_buf *b, const silr_run_labels *l, size_t i)
{
    size_t len;
    const char *id = silr_corpus_id(l->corpus, i), *text = silr_corpus_text(l->corpus, i, &len);

    silr_buf_csv(b, id, strlen(id));
    silr_buf_putc(b, ',');
    silr_buf_csv(b, text, len);
    add_class_cell(b, l, l->first[i]);
    add_class_cell(b, l, l->label[i]);
    silr_buf_putc(b, ',');
    if (!isnan(l->score[i]))
        silr_buf_number(b, l->score[i], DIGITS);
    silr_buf_putc(b, '\n');
}

static void add_cleanlab(silr_buf *b, const silr_run_labels *l, size_t i)
{
    const char *id = silr_corpus_id(l->corpus, i);

    silr_buf_csv(b, id, strlen(id));
    silr_buf_printf(b, ",%d", l->first[i]);
    for (size_t k = 0; k < l->K; k++) {
        silr_buf_putc(b, ',');
        silr_buf_number(b, l->prob[i * l->K + k], DIGITS);
    }
    silr_buf_putc(b, '\n');
}

static void add_id_text(silr_buf *b, const silr_run_labels *l, size_t i)
{
    size_t len;
    const char *id = silr_corpus_id(l->corpus, i), *text = silr_corpus_text(l->corpus, i, &len);

    silr_buf_puts(b, "{\"id\":");
    silr_buf_json(b, id, strlen(id));
    silr_buf_puts(b, ",\"text\":");
    silr_buf_json(b, text, len);
}

static void add_jsonl(silr_buf *b, const silr_run_labels *l, size_t i)
{
    add_id_text(b, l, i);
    silr_buf_puts(b, ",\"initial_label\":");
    add_class(b, l, l->first[i]);
    silr_buf_puts(b, ",\"label\":");
    add_class(b, l, l->label[i]);
    silr_buf_puts(b, ",\"score\":");
    silr_buf_number(b, l->score[i], DIGITS);
    for (size_t k = 0; k < l->K && l->K > 2 && !isnan(l->prob[i * l->K]); k++) {
        silr_buf_puts(b, k ? "," : ",\"scores\":{");
        add_class(b, l, (int)k);
        silr_buf_putc(b, ':');
        silr_buf_number(b, l->prob[i * l->K + k], DIGITS);
    }
    silr_buf_puts(b, l->K > 2 && !isnan(l->prob[i * l->K]) ? "}}\n" : "}\n");
}

static void add_task(silr_buf *b, const silr_run_labels *l, size_t i)
{
    silr_buf_puts(b, i ? ",\n{\"data\":" : "\n{\"data\":");
    add_id_text(b, l, i);
    silr_buf_puts(b, "},\"predictions\":[");
    if (l->label[i] != SILR_NO_LABEL) {
        silr_buf_puts(b, "{\"model_version\":");
        silr_buf_json(b, l->name, strlen(l->name));
        silr_buf_puts(b, ",\"score\":");
        silr_buf_number(b, l->score[i], DIGITS);
        silr_buf_puts(b, ",\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\","
                         "\"value\":{\"choices\":[");
        add_class(b, l, l->label[i]);
        silr_buf_puts(b, "]}}]}");
    }
    silr_buf_puts(b, "]}");
}

/* --- a file ------------------------------------------------------------------------------------- */

static void add_head(silr_buf *b, const silr_run_labels *l, silr_export_form form)
{
    if (form == SILR_EXPORT_CSV)
        silr_buf_puts(b, "id,text,initial_label,label,score\n");
    if (form == SILR_EXPORT_LABELSTUDIO)
        silr_buf_putc(b, '[');
    if (form != SILR_EXPORT_CLEANLAB)
        return;
    silr_buf_puts(b, "id,label");
    for (size_t k = 0; k < l->K; k++) {
        silr_buf name = {0};
        silr_buf_printf(&name, "pred_probs_%s", l->task->classes[k]);
        silr_buf_putc(b, ',');
        silr_buf_csv(b, name.data ? name.data : "", name.len);
        b->failed |= name.failed;
        silr_buf_clear(&name);
    }
    silr_buf_putc(b, '\n');
}

static void add_row(silr_buf *b, const silr_run_labels *l, silr_export_form form, size_t i)
{
    if (silr_rows_leave_out(l, form, i))
        return;
    if (form == SILR_EXPORT_CSV)
        add_csv(b, l, i);
    else if (form == SILR_EXPORT_CLEANLAB)
        add_cleanlab(b, l, i);
    else if (form == SILR_EXPORT_JSONL)
        add_jsonl(b, l, i);
    else
        add_task(b, l, i);
}

silr_status silr_rows_write(const silr_run_labels *l, silr_export_form form, const char *path, silr_error *err)
{
    silr_buf b = {0};
    silr_out out;
    silr_status st = silr_out_open(&out, path, err);

    if (st != SILR_OK)
        return st;
    add_head(&b, l, form);
    for (size_t i = 0; i <= l->n && !b.failed; i++) {
        if (i < l->n)
            add_row(&b, l, form, i);
        else if (form == SILR_EXPORT_LABELSTUDIO)
            silr_buf_puts(&b, "\n]\n");
        if (b.failed || (b.len < CHUNK && i < l->n))
            continue;
        if (b.len > 0 && fwrite(b.data, 1, b.len, out.file) != b.len)
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
