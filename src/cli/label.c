/* label.c - silr label: the fifty texts that a person looks at.
 *
 * The annotator runs first, in the run's own folder, since the texts are chosen by what it said. Its
 * label is not shown: who sees it tends to agree with it. Then the folder is let go of: a person
 * thinks for an hour, and another silr may work in it meanwhile. */
#include "cli/cli.h"
#include "cli/labels.h"
#include "cli/standing.h"
#include <stdio.h>
#include <string.h>

/* How many labels there are to be in the end. */
static size_t wanted(const silr_task *task, const cli_labels *l, const silr_chooser *c)
{
    size_t count = task->labelled.count > 0 ? (size_t)task->labelled.count : 50;

    while (count <= l->n) /* all done: another round */
        count += 10;
    return count < silr_chooser_texts(c) ? count : silr_chooser_texts(c);
}

/* The labelled file: the task's, else labels.csv beside the task file. */
static char *labels_path(const silr_task *task)
{
    return silr_path_join(strcmp(task->dir, ".") == 0 ? NULL : task->dir,
                          task->labelled.kind == SILR_LABELLED_FILE && task->labelled.file
                              ? task->labelled.file : "labels.csv");
}

static void put_row(silr_buf *b, const silr_corpus *c, uint32_t doc)
{
    size_t len;
    const char *text = silr_corpus_text(c, doc, &len), *id = silr_corpus_id(c, doc);

    silr_buf_csv(b, id, strlen(id));
    silr_buf_putc(b, ',');
    silr_buf_csv(b, text, len);
    silr_buf_puts(b, ",\n");
}

static silr_status export_texts(const cli_labels *l, silr_chooser *c, const cli_args *a,
                                silr_error *err)
{
    size_t count = wanted(l->s->task, l, c), n;
    uint32_t *docs = silr_alloc(count + 1, sizeof *docs);
    silr_buf b = {0};
    silr_status st;

    if (!docs)
        return silr_fail_memory(err);
    n = silr_chooser_batch(c, count > l->n ? count - l->n : 0, docs);
    silr_buf_puts(&b, "id,text,label\n");
    for (size_t i = 0; i < n; i++)
        put_row(&b, l->s->corpus, docs[i]);
    if (b.failed)
        st = silr_fail_memory(err);
    else if (strcmp(a->export_to, "-") == 0)
        st = fwrite(b.data, 1, b.len, stdout) == b.len
                 ? SILR_OK : silr_fail(err, SILR_EIO, "standard output cannot be written");
    else
        st = silr_file_write(a->export_to, b.data, b.len, err);
    if (st == SILR_OK)
        cli_say("%zu texts to label; fill in the column label, then: silr label %s --import %s", n,
                a->args[0], a->export_to);
    silr_buf_clear(&b);
    silr_free(docs);
    return st;
}

static void tell_chooser(const cli_labels *l, silr_chooser *c)
{
    for (size_t i = 0; i < l->n; i++)
        silr_chooser_label(c, l->item[i].doc, l->item[i].label);
}

static silr_status import_labels(cli_labels *l, silr_chooser *c, const cli_args *a, silr_error *err)
{
    size_t added;
    silr_status st = cli_labels_read(l, a->import_from, &added, err);

    if (st != SILR_OK || (st = cli_labels_write(l, err)) != SILR_OK)
        return st;
    tell_chooser(l, c);
    if (!a->json)
        printf("%zu labels new or changed; %s holds %zu\n", added, l->path, l->n);
    return SILR_OK;
}

/* Whether it is enough, and the command to go on with. */
static void advise(const cli_args *a, const silr_task *task, const silr_standing *s)
{
    silr_buf b = {0};

    cli_standing_advice(&b, s);
    cli_say("%s", b.data ? b.data : "");
    silr_buf_reset(&b);
    if (task->labelled.kind != SILR_LABELLED_FILE)
        cli_say("put this line into the task file, so that the labels are used:\n"
                "  labelled: {file: labels.csv}");
    cli_command_line(&b, s->enough ? "run" : "label", a);
    cli_say("next: %s", b.data ? b.data : "");
    silr_buf_clear(&b);
}

/* The end of all ways but --export: how it stands. */
static silr_status tell(const cli_labels *l, silr_chooser *c, const cli_args *a, silr_error *err)
{
    const silr_task *task = l->s->task;
    silr_standing *s = silr_alloc(1, sizeof *s);
    silr_buf b = {0};

    if (!s)
        return silr_fail_memory(err);
    silr_chooser_standing(c, s);
    if (a->json)
        cli_standing_json(&b, task, s, l->path, wanted(task, l, c));
    else if (s->labelled > 0)
        cli_standing_numbers(&b, task, s, 100, (int)task->n_classes);
    if (!a->json && s->labelled > 0)
        silr_buf_putc(&b, '\n');
    if (b.data)
        fwrite(b.data, 1, b.len, stdout);
    if (!a->json)
        advise(a, task, s);
    silr_buf_clear(&b);
    silr_free(s);
    return SILR_OK;
}

static silr_status ask(const cli_args *a, const silr_task *task, silr_session *s, silr_error *err)
{
    cli_labels l = {0};
    silr_chooser *c = NULL;
    char *path = labels_path(task);
    silr_status st = path ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = cli_labels_open(&l, s, path, err)) != SILR_OK ||
        (st = silr_session_disagreement(s, err)) != SILR_OK ||
        (st = silr_chooser_new(&c, s, err)) != SILR_OK)
        goto done;
    silr_store_close(s->store);
    s->store = NULL;
    tell_chooser(&l, c);
    cli_terminal_clear();
    if (a->export_to) {
        st = export_texts(&l, c, a, err);
        goto done;
    }
    if (a->import_from) {
        st = import_labels(&l, c, a, err);
    } else if (!a->json) {
        st = cli_screen(&l, c, wanted(task, &l, c), err);
        printf("%zu texts labelled, in %s\n", l.n, l.path);
    }
    if (st == SILR_OK)
        st = tell(&l, c, a, err);
done:
    silr_chooser_free(c);
    cli_labels_close(&l);
    silr_free(path);
    return st;
}

static int label(const cli_args *a)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_error err = {0};
    silr_status st;
    char *dir;
    int code;

    if (a->export_to && a->import_from)
        return cli_usage("label", "--export and --import exclude each other");
    if (!a->export_to && !a->import_from && !a->json && !cli_screen_possible())
        return cli_usage("label", "this is not a terminal; `silr label %s --export FILE.csv` writes "
                         "the texts for a spreadsheet", a->args[0]);
    if ((st = cli_task(&task, a, &err)) != SILR_OK)
        return cli_complain(st, &err);
    cli_signals_start();
    dir = cli_run_dir(a, task);
    st = dir ? silr_session_open(&s, task, dir, &err) : silr_fail_memory(&err);
    if (st == SILR_OK && (st = silr_session_annotate(&s, &err)) == SILR_OK)
        st = ask(a, task, &s, &err);
    code = cli_end("label", a, st, &err);
    silr_session_close(&s);
    silr_free(dir);
    silr_task_free(task);
    return code;
}

const cli_command cli_label = {
    .name = "label", .operands = "TASK", .summary = "show the texts that tell most, take a key for each",
    .examples = {{"silr label task.yaml", "one text at a time, one key a class"},
                 {"silr label task.yaml --export to-label.csv", "for a spreadsheet"},
                 {"silr label task.yaml --import to-label.csv", "back from it, checked"}},
    .about = "First ten texts of each of the annotator's classes, then those by which theta and the accuracy\n"
             "narrow most; the same ones each time by seed and answers. The screen shows what the labels\n"
             "say so far, and when they are enough; --json prints that and asks nothing.\n"
             "Every key is saved at once, in the task's labelled file, else in labels.csv beside the\n"
             "task file. Keys: 1..9, a.. a class; u undo; s skip; space more of the text; q quit.\n"
             "What the annotator says is kept in the run's folder; `silr run` goes on from it.",
    .options = CLI_OPT_OUT | CLI_OPT_SET | CLI_OPT_EXPORT | CLI_OPT_IMPORT | CLI_OPT_JSON,
    .min_args = 1, .max_args = 1, .run = label,
};
