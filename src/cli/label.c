/* label.c - silr label: the fifty texts that a person looks at.
 *
 * The annotator runs first, since the texts are dealt from its classes in turn (method.md B4). Its
 * label is not shown: who sees it tends to agree with it. */
#include "cli/cli.h"
#include "cli/labels.h"
#include <stdio.h>
#include <string.h>

/* How many labels the task asks for. */
static size_t wanted(const silr_task *task, const cli_labels *l, size_t n)
{
    size_t count = task->labelled.count > 0 ? (size_t)task->labelled.count : 50;

    while (count <= l->n) /* all done: another round */
        count += 10;
    return count < n ? count : n;
}

/* The labelled file: the task's, else labels.csv beside the task file. */
static char *labels_path(const silr_task *task)
{
    return silr_path_join(strcmp(task->dir, ".") == 0 ? NULL : task->dir,
                          task->labelled.kind == SILR_LABELLED_FILE && task->labelled.file
                              ? task->labelled.file : "labels.csv");
}

static silr_status export_texts(const cli_labels *l, const uint32_t *order, size_t n,
                                const char *path, silr_error *err)
{
    const silr_corpus *c = l->s->corpus;
    size_t count = wanted(l->s->task, l, n), done = 0;
    silr_buf b = {0};
    silr_status st;

    silr_buf_puts(&b, "id,text,label\n");
    for (size_t i = 0; i < n && done + l->n < count; i++) {
        size_t len;
        const char *text = silr_corpus_text(c, order[i], &len);
        const char *id = silr_corpus_id(c, order[i]);
        if (l->label[order[i]] != SILR_NO_LABEL)
            continue;
        cli_csv_field(&b, id, strlen(id));
        silr_buf_putc(&b, ',');
        cli_csv_field(&b, text, len);
        silr_buf_puts(&b, ",\n");
        done++;
    }
    if (b.failed)
        st = silr_fail_memory(err);
    else if (strcmp(path, "-") == 0)
        st = fwrite(b.data, 1, b.len, stdout) == b.len
                 ? SILR_OK : silr_fail(err, SILR_EIO, "standard output cannot be written");
    else
        st = silr_file_write(path, b.data, b.len, err);
    if (st == SILR_OK)
        cli_say("%zu texts to label; fill in the column label, then: silr label %s --import %s", done,
                l->s->task->path ? l->s->task->path : "TASK", path);
    silr_buf_clear(&b);
    return st;
}

static silr_status import_labels(cli_labels *l, const char *path, silr_error *err)
{
    size_t added;
    silr_status st = cli_labels_read(l, path, &added, err);

    if (st == SILR_OK && (st = cli_labels_write(l, err)) == SILR_OK)
        printf("%zu labels new or changed; %s holds %zu\n", added, l->path, l->n);
    return st;
}

static void tell(const silr_task *task, const cli_labels *l)
{
    if (task->labelled.kind != SILR_LABELLED_FILE && l->n > 0)
        cli_say("put this line into the task file, so that they are used:\n"
                "  labelled: {file: labels.csv}");
    else if (l->n > 0)
        cli_say("next: silr priors %s", task->path ? task->path : "TASK");
}

static silr_status ask(const cli_args *a, const silr_task *task, silr_session *s, silr_error *err)
{
    size_t total = silr_corpus_size(s->corpus), n;
    cli_labels l = {0};
    uint32_t *order = silr_alloc(total, sizeof *order);
    char *path = labels_path(task);
    silr_status st = order && path ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = cli_labels_open(&l, s, path, err)) != SILR_OK)
        goto done;
    n = silr_label_order(s, order);
    if (a->export_to) {
        st = export_texts(&l, order, n, a->export_to, err);
    } else if (a->import_from) {
        st = import_labels(&l, a->import_from, err);
    } else {
        cli_terminal_clear();
        st = cli_screen(&l, order, n, wanted(task, &l, n), err);
        printf("%zu texts labelled, in %s\n", l.n, l.path);
    }
    if (st == SILR_OK && !a->export_to)
        tell(task, &l);
done:
    cli_labels_close(&l);
    silr_free(order);
    silr_free(path);
    return st;
}

static int label(const cli_args *a)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_error err = {0};
    silr_status st;
    int code;

    if (a->export_to && a->import_from)
        return cli_usage("label", "--export and --import exclude each other");
    if (!a->export_to && !a->import_from && !cli_screen_possible())
        return cli_usage("label", "this is not a terminal; `silr label %s --export FILE.csv` writes "
                         "the texts for a spreadsheet", a->args[0]);
    if ((st = cli_task(&task, a, &err)) != SILR_OK)
        return cli_complain(st, &err);
    cli_signals_start();
    if ((st = silr_session_open(&s, task, NULL, &err)) == SILR_OK &&
        (st = silr_session_annotate(&s, &err)) == SILR_OK)
        st = ask(a, task, &s, &err);
    code = cli_end("label", a, st, &err);
    silr_session_close(&s);
    silr_task_free(task);
    return code;
}

const cli_command cli_label = {
    .name = "label", .operands = "TASK", .summary = "show the texts that tell most, take a key for each",
    .examples = {{"silr label task.yaml", "one text at a time, one key a class"},
                 {"silr label task.yaml --export to-label.csv", "for a spreadsheet"},
                 {"silr label task.yaml --import to-label.csv", "back from it, checked"}},
    .about = "Texts come from each of the annotator's classes in turn, the same ones each time by seed.\n"
             "Every key is saved at once, in the task's labelled file, else in labels.csv beside the\n"
             "task file. Keys: 1..9, a.. a class; u undo; s skip; space more of the text; q quit.",
    .options = CLI_OPT_SET | CLI_OPT_EXPORT | CLI_OPT_IMPORT, .min_args = 1, .max_args = 1,
    .run = label,
};
