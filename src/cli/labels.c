/* labels.c - the labelled file (see labels.h). */
#include "cli/labels.h"
#include "cli/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void put_line(const cli_labels *l, silr_buf *b, const struct labelled *x)
{
    const char *id = silr_corpus_id(l->s->corpus, x->doc);
    const char *label = l->s->task->classes[x->label];

    if (l->jsonl) {
        silr_buf_puts(b, "{\"id\":");
        silr_buf_json(b, id, strlen(id));
        silr_buf_puts(b, ",\"label\":");
        silr_buf_json(b, label, strlen(label));
        silr_buf_puts(b, "}\n");
        return;
    }
    silr_buf_csv(b, id, strlen(id));
    silr_buf_putc(b, ',');
    silr_buf_csv(b, label, strlen(label));
    silr_buf_putc(b, '\n');
}

static silr_status remember(cli_labels *l, size_t doc, int label, silr_error *err)
{
    if (l->label[doc] != SILR_NO_LABEL) { /* the last word counts */
        for (size_t i = 0; i < l->n; i++)
            if (l->item[i].doc == doc)
                l->item[i].label = label;
    } else {
        if (!silr_grow(&l->item, &l->cap, l->n + 1, sizeof *l->item))
            return silr_fail_memory(err);
        l->item[l->n++] = (struct labelled){doc, label};
    }
    l->label[doc] = label;
    return SILR_OK;
}

static const char *field(const silr_row *row, const char *name, bool *there)
{
    for (size_t i = 0; i < row->n; i++)
        if (strcasecmp(row->names[i], name) == 0) {
            *there = true;
            return row->values[i] && row->lens[i] ? row->values[i] : NULL;
        }
    return NULL;
}

static silr_status read_row(cli_labels *l, const char *path, const silr_row *row, size_t *added,
                            silr_error *err)
{
    bool has_id = false, has_label = false;
    const char *id = field(row, "id", &has_id), *value = field(row, "label", &has_label);
    unsigned long long line = row->line;
    size_t doc;
    int label = 0;

    if (!has_id || !has_label)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: there is no column \"%s\"; it must have id and "
                         "label", path, line, has_id ? "label" : "id");
    if (!value)
        return SILR_OK;
    if (!id || (doc = silr_corpus_find(l->s->corpus, id)) == SIZE_MAX)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: no text has the id \"%.100s\"", path, line,
                         id ? id : "");
    if (!silr_task_value(l->s->task, &l->s->task->corpus.label_values, value, &label) || label < 0)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: \"%.100s\" is not a class; the first is \"%s\"",
                         path, line, value, l->s->task->classes[0]);
    *added += l->label[doc] != label;
    return remember(l, doc, label, err);
}

silr_status cli_labels_read(cli_labels *l, const char *path, size_t *added, silr_error *err)
{
    silr_rows *rows = NULL;
    silr_row row;
    silr_status st;
    int got;

    *added = 0;
    if ((st = silr_rows_open(&rows, path, SILR_FORMAT_AUTO, err)) != SILR_OK)
        return st;
    while ((got = silr_rows_next(rows, &row, err)) > 0)
        if ((st = read_row(l, path, &row, added, err)) != SILR_OK)
            break;
    if (got < 0)
        st = cli_rows_end(got);
    silr_rows_close(rows);
    return st;
}

silr_status cli_labels_open(cli_labels *l, const silr_session *s, const char *path, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus), ignored, len = strlen(path);
    silr_buf bytes = {0};
    silr_status st = SILR_OK;

    *l = (cli_labels){.s = s, .path = silr_strdup(path),
                      .label = silr_alloc(n, sizeof *l->label)};
    if (!l->path || !l->label)
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        l->label[i] = SILR_NO_LABEL;
    l->jsonl = (len > 6 && strcmp(path + len - 6, ".jsonl") == 0) ||
               (len > 5 && strcmp(path + len - 5, ".json") == 0);
    if (!silr_file_exists(path))
        return SILR_OK;
    /* A file of only the header line, or of nothing, is a beginning and not an error. */
    if ((st = silr_file_read(&bytes, path, (size_t)1 << 30, err)) == SILR_OK) {
        const char *nl = bytes.data ? memchr(bytes.data, '\n', bytes.len) : NULL;
        if (l->jsonl ? bytes.len > 0 : nl && nl + 1 < bytes.data + bytes.len)
            st = cli_labels_read(l, path, &ignored, err);
    }
    silr_buf_clear(&bytes);
    return st;
}

void cli_labels_close(cli_labels *l)
{
    silr_free(l->path);
    silr_free(l->item);
    silr_free(l->label);
    *l = (cli_labels){0};
}

silr_status cli_labels_write(const cli_labels *l, silr_error *err)
{
    silr_buf b = {0};
    silr_status st;

    if (!l->jsonl)
        silr_buf_puts(&b, "id,label\n");
    for (size_t i = 0; i < l->n; i++)
        put_line(l, &b, &l->item[i]);
    st = b.failed ? silr_fail_memory(err) : silr_file_write(l->path, b.data ? b.data : "", b.len, err);
    silr_buf_clear(&b);
    return st;
}

/* One write at the end of the file. A file that lacks its last newline gets it first. */
static silr_status append(const cli_labels *l, const char *bytes, size_t len, silr_error *err)
{
    silr_status st = SILR_OK;
    int fd = open(l->path, O_RDWR | O_APPEND | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    silr_buf b = {0};
    char last = '\n';

    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n')
        silr_buf_putc(&b, '\n');
    silr_buf_add(&b, bytes, len);
    if (b.failed)
        st = silr_fail_memory(err);
    else if (end < 0 || write(fd, b.data, b.len) != (ssize_t)b.len || fdatasync(fd) != 0)
        st = silr_fail(err, SILR_EIO, "%s: cannot be written: %s", l->path, strerror(errno));
    if (fd >= 0)
        close(fd);
    silr_buf_clear(&b);
    return st;
}

silr_status cli_labels_add(cli_labels *l, size_t doc, int label, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = remember(l, doc, label, err);

    if (st != SILR_OK)
        return st;
    if (l->n == 1 || !silr_file_exists(l->path))
        return cli_labels_write(l, err); /* the first: header and line together */
    put_line(l, &b, &l->item[l->n - 1]);
    st = b.failed ? silr_fail_memory(err) : append(l, b.data, b.len, err);
    silr_buf_clear(&b);
    return st;
}

silr_status cli_labels_undo(cli_labels *l, silr_error *err)
{
    if (l->n == 0)
        return SILR_OK;
    l->n--;
    l->label[l->item[l->n].doc] = SILR_NO_LABEL;
    return cli_labels_write(l, err);
}
