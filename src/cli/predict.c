/* predict.c - silr predict: new texts in, one JSON line each out.
 *
 * Rows are read by one thread into a block of some ten thousand texts (some hundred where an encoder
 * works on them); the block is predicted by all threads and printed in order, so memory stays bounded
 * and a pipe is served as it flows. */
#include "classify/classifier.h"
#include "cli/cli.h"
#include <errno.h>
#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 32768, BLOCK_BYTES = 16 << 20 };

typedef struct {
    silr_model *model;
    int K;
    char *text, *id;  /* columns; text may be a template */
    bool any_column;  /* plain text: the one column there is */
    silr_buf texts, ids, one, out;
    size_t text_at[BLOCK + 1], id_at[BLOCK + 1], n, batch; /* texts a block */
    const char *ptr[BLOCK];
    size_t len[BLOCK];
    double *probs;
    uint64_t rows, bad;
} predictor;

/* Where the text is in a row: the options, else classifier/task.json, else a column "text". */
static silr_status read_columns(predictor *p, const cli_args *a, silr_error *err)
{
    const char *const places[] = {"classifier/task.json", "task.json"};
    json_t *task = NULL;
    const char *text = a->text, *id = a->id;

    for (size_t i = 0; !task && i < 2; i++) {
        char *path = silr_path_join(a->args[0], places[i]);
        task = path ? json_load_file(path, 0, NULL) : NULL;
        silr_free(path);
    }
    if (!text)
        text = json_string_value(json_object_get(task, "text"));
    if (!id)
        id = json_string_value(json_object_get(task, "id"));
    p->text = silr_strdup(text ? text : "text");
    p->id = id ? silr_strdup(id) : NULL;
    json_decref(task);
    return p->text && (!id || p->id) ? SILR_OK : silr_fail_memory(err);
}

static void add_id(predictor *p, const silr_row *row)
{
    for (size_t i = 0; p->id && i < row->n; i++)
        if (row->values[i] && strcmp(row->names[i], p->id) == 0) {
            silr_buf_json(&p->ids, row->values[i], row->lens[i]);
            return;
        }
    silr_buf_printf(&p->ids, "\"%llu\"", (unsigned long long)p->rows);
}

static silr_status add_row(predictor *p, const silr_row *row, silr_error *err)
{
    silr_status st = SILR_OK;

    if (p->any_column && row->n > 0) {
        silr_buf_add(&p->texts, row->values[row->n - 1] ? row->values[row->n - 1] : "",
                     row->values[row->n - 1] ? row->lens[row->n - 1] : 0);
    } else {
        silr_buf_reset(&p->one);
        if ((st = silr_row_text(row, p->text, &p->one, err)) != SILR_OK)
            return st;
        silr_buf_add(&p->texts, p->one.len ? p->one.data : "", p->one.len);
    }
    add_id(p, row);
    p->n++;
    p->text_at[p->n] = p->texts.len;
    p->id_at[p->n] = p->ids.len;
    return p->texts.failed || p->ids.failed ? silr_fail_memory(err) : SILR_OK;
}

/* A probability with four digits, without the cost of printf: "0.9731". */
static void put_probability(silr_buf *b, double p)
{
    char s[6] = "0.0000";
    int v = p > 0 ? (int)(p * 10000 + 0.5) : 0;

    if (v >= 10000) {
        silr_buf_add(b, "1.0000", 6);
        return;
    }
    for (int i = 5; i > 1; i--, v /= 10)
        s[i] = (char)('0' + v % 10);
    silr_buf_add(b, s, 6);
}

static void put_prediction(predictor *p, size_t i)
{
    const double *q = p->probs + i * (size_t)p->K;
    int best = 0;

    for (int k = 1; k < p->K; k++)
        if (q[k] > q[best])
            best = k;
    silr_buf_add(&p->out, "{\"id\":", 6);
    silr_buf_add(&p->out, p->ids.data + p->id_at[i], p->id_at[i + 1] - p->id_at[i]);
    silr_buf_add(&p->out, ",\"label\":", 9);
    silr_buf_json(&p->out, silr_model_class(p->model, best),
                  strlen(silr_model_class(p->model, best)));
    silr_buf_add(&p->out, ",\"score\":", 9);
    put_probability(&p->out, q[best]);
    if (p->K > 2) {
        silr_buf_add(&p->out, ",\"scores\":{", 11);
        for (int k = 0; k < p->K; k++) {
            const char *name = silr_model_class(p->model, k);
            if (k > 0)
                silr_buf_putc(&p->out, ',');
            silr_buf_json(&p->out, name, strlen(name));
            silr_buf_putc(&p->out, ':');
            put_probability(&p->out, q[k]);
        }
        silr_buf_putc(&p->out, '}');
    }
    silr_buf_add(&p->out, "}\n", 2);
}

static silr_status flush_block(predictor *p, silr_error *err)
{
    silr_status st;

    for (size_t i = 0; i < p->n; i++) {
        p->ptr[i] = p->texts.data + p->text_at[i];
        p->len[i] = p->text_at[i + 1] - p->text_at[i];
    }
    if ((st = silr_model_predict_many(p->model, p->ptr, p->len, p->n, p->probs, err)) != SILR_OK)
        return st;
    silr_buf_reset(&p->out);
    for (size_t i = 0; i < p->n; i++)
        put_prediction(p, i);
    if (p->out.failed)
        return silr_fail_memory(err);
    if (p->out.len > 0 && fwrite(p->out.data, 1, p->out.len, stdout) != p->out.len)
        return silr_fail(err, SILR_EIO, "standard output cannot be written: %s", strerror(errno));
    silr_buf_reset(&p->texts);
    silr_buf_reset(&p->ids);
    p->n = 0;
    return SILR_OK;
}

static void bad_row(predictor *p, const char *file, const silr_error *err)
{
    if (++p->bad <= 20)
        silr_log(SILR_LOG_WARN, "%s", err->text);
    else if (p->bad == 21)
        silr_log(SILR_LOG_WARN, "%s: more bad rows; they are only counted from here on", file);
}

static silr_status predict_rows(predictor *p, const char *file, int64_t limit, silr_error *err)
{
    silr_rows *rows = NULL;
    silr_row row;
    silr_status st;
    int got = 0;

    if ((st = silr_rows_open(&rows, file, SILR_FORMAT_AUTO, err)) != SILR_OK)
        return st;
    p->any_column = silr_rows_format(rows) == SILR_FORMAT_PLAIN ||
                    silr_rows_format(rows) == SILR_FORMAT_FASTTEXT;
    while ((limit <= 0 || p->rows < (uint64_t)limit) &&
           ((got = silr_rows_next(rows, &row, err)) > 0 || got == SILR_EINPUT)) {
        p->rows++;
        st = got > 0 ? add_row(p, &row, err) : SILR_EINPUT;
        if (st == SILR_EINPUT && got > 0)
            silr_error_prefix(err, "%s:%llu", file, (unsigned long long)row.line);
        if (st == SILR_EINPUT)
            bad_row(p, file, err);
        else if (st != SILR_OK)
            goto done;
        if ((p->n == p->batch || p->texts.len > BLOCK_BYTES) && (st = flush_block(p, err)) != SILR_OK)
            goto done;
        if (p->n == 0)
            silr_progress("predicting", p->rows, 0);
    }
    st = got < 0 && got != SILR_EINPUT ? cli_rows_end(got) : flush_block(p, err);
done:
    silr_rows_close(rows);
    return st;
}

static int predict(const cli_args *a)
{
    predictor *p = silr_calloc(1, sizeof *p);
    const char *file = a->n_args > 1 ? a->args[1] : "-";
    const silr_model_opts opts = {.encoder = a->model};
    silr_error err = {0};
    silr_status st;
    int code;

    if (!p)
        return cli_complain(silr_fail_memory(&err), &err);
    omp_set_num_threads(silr_threads(a->threads > 0 ? (int)a->threads : 0));
    if ((st = silr_model_open(&p->model, a->args[0], &opts, &err)) != SILR_OK ||
        (st = read_columns(p, a, &err)) != SILR_OK)
        goto done;
    p->batch = silr_model_batch(p->model) < BLOCK ? silr_model_batch(p->model) : BLOCK;
    p->K = silr_model_classes(p->model);
    if (!(p->probs = silr_alloc((size_t)p->K * BLOCK, sizeof *p->probs))) {
        st = silr_fail_memory(&err);
        goto done;
    }
    st = predict_rows(p, file, a->limit, &err);
    if (st == SILR_OK && p->bad > 0 && p->bad == p->rows)
        st = silr_fail(&err, SILR_EINPUT, "%s: not one row has a text; name its column with --text",
                       file);
done:
    code = cli_complain(st, &err);
    if (st == SILR_OK && p->bad > 0) {
        cli_terminal_clear();
        fprintf(stderr, "silr: %llu of %llu rows could not be read\n", (unsigned long long)p->bad,
                (unsigned long long)p->rows);
        code = CLI_ROWS_FAILED;
    }
    silr_buf_clear(&p->texts);
    silr_buf_clear(&p->ids);
    silr_buf_clear(&p->one);
    silr_buf_clear(&p->out);
    silr_free(p->text);
    silr_free(p->id);
    silr_free(p->probs);
    silr_model_free(p->model);
    silr_free(p);
    return code;
}

const cli_command cli_predict = {
    .name = "predict", .operands = "RUN [FILE]",
    .summary = "label new texts (JSONL, CSV, plain; - is standard input); JSON lines out",
    .examples = {{"silr predict runs/reviews new.csv", "one {id, label, score} a row"},
                 {"zcat new.jsonl.gz | silr predict runs/reviews", "from standard input"},
                 {"silr predict runs/reviews new.csv --text body", "the text is in column body"}},
    .about = "RUN is a run's folder, or a copy of its classifier/. Rows that cannot be read are told\n"
             "on standard error and counted (exit 4); the others are predicted. A frozen classifier\n"
             "needs the encoder that it was trained with, byte for byte.",
    .options = CLI_OPT_TEXT | CLI_OPT_ID | CLI_OPT_JSON | CLI_OPT_MODEL, .min_args = 1, .max_args = 2, .run = predict,
};
