/* annotate.c - silr annotate: the first labels, and what each rule did. */
#include "annotate/annotator.h"
#include "cli/cli.h"
#include "report/report.h"
#include "run/run.h"
#include <stdio.h>
#include <string.h>

/* The labelled sample as the table of rules wants it: the truth of each document, or none. A task
 * that has no sample (yet) gets its table without accuracies. */
static int *sample_truth(silr_session *s)
{
    silr_error ignored;
    size_t n = silr_corpus_size(s->corpus);
    int *truth;

    if (silr_session_sample(s, &ignored) != SILR_OK || s->sample.n == 0 ||
        !(truth = silr_alloc(n, sizeof *truth)))
        return NULL;
    for (size_t i = 0; i < n; i++)
        truth[i] = SILR_NO_LABEL;
    for (size_t i = 0; i < s->sample.n; i++)
        truth[s->sample.doc[i]] = s->sample.truth[i];
    return truth;
}

static double share(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_table(const silr_task *task, const silr_rule_table *t)
{
    printf("%-32s %-14s %8s %7s %9s %9s  %s\n", "rule", "class", "texts", "share", "overlaps",
           "conflicts", "right on the labelled sample");
    for (size_t i = 0; i < t->n; i++) {
        const silr_rule_row *r = &t->rows[i];
        printf("%-32.32s %-14.14s %8zu %6.1f%% %9zu %9zu  ", r->name,
               r->label >= 0 ? task->classes[r->label] : "-", r->fired,
               share(r->fired, t->documents), r->overlaps, r->conflicts);
        if (r->labelled > 0) {
            silr_interval p = silr_proportion((double)r->right, (double)r->labelled, false);
            printf("%zu of %zu, %.2f (%.2f to %.2f)", r->right, r->labelled, p.value, p.low, p.high);
        }
        printf("\n");
    }
    printf("%zu texts: %.1f %% have a label, %.1f %% met conflicting rules, %.1f %% were tied\n",
           t->documents, share(t->covered, t->documents), share(t->conflicted, t->documents),
           share(t->tied, t->documents));
}

static void json_row(silr_buf *b, const silr_task *task, const silr_rule_row *r)
{
    silr_buf_puts(b, "{\"rule\":");
    silr_buf_json(b, r->name, strlen(r->name));
    silr_buf_puts(b, ",\"class\":");
    if (r->label >= 0)
        silr_buf_json(b, task->classes[r->label], strlen(task->classes[r->label]));
    else
        silr_buf_puts(b, "null");
    silr_buf_printf(b, ",\"texts\":%zu,\"overlaps\":%zu,\"conflicts\":%zu,\"labelled\":%zu,"
                    "\"right\":%zu", r->fired, r->overlaps, r->conflicts, r->labelled, r->right);
    if (r->labelled > 0) {
        silr_interval p = silr_proportion((double)r->right, (double)r->labelled, false);
        silr_buf_puts(b, ",\"accuracy\":{\"value\":");
        silr_buf_number(b, p.value, 6);
        silr_buf_puts(b, ",\"low\":");
        silr_buf_number(b, p.low, 6);
        silr_buf_puts(b, ",\"high\":");
        silr_buf_number(b, p.high, 6);
        silr_buf_putc(b, '}');
    }
    silr_buf_putc(b, '}');
}

static void print_json(const silr_session *s, const silr_rule_table *t)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{\"documents\":%zu,\"annotated_now\":%zu,\"covered\":%zu,"
                    "\"conflicted\":%zu,\"tied\":%zu,\"rules\":[",
                    t->documents, s->annotated, t->covered, t->conflicted, t->tied);
    for (size_t i = 0; i < t->n; i++) {
        if (i > 0)
            silr_buf_puts(&b, ",\n ");
        json_row(&b, s->task, &t->rows[i]);
    }
    silr_buf_puts(&b, "]}\n");
    if (!b.failed)
        fwrite(b.data, 1, b.len, stdout);
    silr_buf_clear(&b);
}

static silr_status table(silr_session *s, bool as_json, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus);
    silr_rule_table t = {0};
    int *truth = sample_truth(s);
    uint32_t *docs = silr_alloc(n, sizeof *docs);
    silr_status st = SILR_OK;

    if (!docs)
        st = silr_fail_memory(err);
    for (size_t i = 0; docs && i < n; i++)
        docs[i] = (uint32_t)i;
    if (st == SILR_OK)
        st = silr_rule_table_make(&t, s->task, s->corpus, docs, n, truth, err);
    cli_terminal_clear();
    if (st == SILR_OK && as_json)
        print_json(s, &t);
    else if (st == SILR_OK)
        print_table(s->task, &t);
    silr_free(t.rows);
    silr_free(truth);
    silr_free(docs);
    return st;
}

/* Of language models and of several annotators: who said how much, and what it took. */
static silr_status account(silr_session *s, bool as_json, silr_error *err)
{
    silr_annotators a;
    silr_buf b = {0};
    silr_error ignored;
    silr_status st;

    silr_session_sample(s, &ignored); /* a task that has no sample yet gets no accuracies */
    if ((st = silr_annotators_read(&a, s->task, s->corpus, s->store, err)) != SILR_OK)
        return st;
    if (as_json) {
        silr_annotators_json(&a, &b);
        silr_buf_putc(&b, '\n');
    } else {
        silr_annotators_text(&a, &b);
    }
    cli_terminal_clear();
    if (b.failed)
        st = silr_fail_memory(err);
    else
        fwrite(b.data, 1, b.len, stdout);
    silr_buf_clear(&b);
    silr_annotators_clear(&a);
    return st;
}

static bool asks_or_several(const silr_task *task)
{
    return silr_task_asks(task) || silr_task_in_use(task)->annotator.kind == SILR_ANNOTATOR_SEVERAL;
}

static int annotate(const cli_args *a)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_error err = {0};
    silr_status st;
    char *dir = NULL;
    int code;

    if ((st = cli_task(&task, a, &err)) != SILR_OK)
        return cli_complain(st, &err);
    cli_signals_start();
    if (a->dry_run)
        st = cli_dry_run(a, task, &err);
    else if (!(dir = cli_run_dir(a, task)))
        st = silr_fail_memory(&err);
    else if ((st = silr_session_open(&s, task, dir, &err)) == SILR_OK) {
        s.retry_failed = a->retry_failed;
        if ((st = silr_session_annotate(&s, &err)) == SILR_OK)
            st = asks_or_several(task) ? account(&s, a->json, &err) : table(&s, a->json, &err);
    }
    code = cli_end("annotate", a, st, &err);
    if (st == SILR_OK && s.too_many_bad) {
        cli_say_failed(task, dir);
        code = CLI_ROWS_FAILED;
    }
    silr_session_close(&s);
    silr_free(dir);
    silr_task_free(task);
    return code;
}

const cli_command cli_annotate = {
    .name = "annotate", .operands = "TASK", .summary = "only the annotation: first labels, and what each rule did",
    .examples = {{"silr annotate task.yaml", "label every text, print the table of rules"},
                 {"silr annotate task.yaml --dry-run", "what would be done; asks and writes nothing"},
                 {"silr annotate task.yaml --json", "the table as JSON"}},
    .about = "Annotations are kept in the run's folder; `silr run` goes on from them.",
    .options = CLI_OPT_OUT | CLI_OPT_SET | CLI_OPT_JSON | CLI_OPT_DRY_RUN | CLI_OPT_ASK,
    .min_args = 1, .max_args = 1, .run = annotate,
};
