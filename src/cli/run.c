/* run.c - silr run: all of it. */
#include "cli/cli.h"
#include "run/run.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --show: every setting, its value and where it came from. */
static int show_settings(const silr_task *task, bool as_json)
{
    size_t n, n_lists;
    const silr_knob *knobs = silr_knobs(&n);
    const char *const *lists = silr_task_lists(&n_lists);
    silr_buf out = {0}, value = {0};

    if (as_json)
        silr_buf_puts(&out, "{");
    for (size_t i = 0; i < n + n_lists; i++) {
        const char *origin = "", *path = i < n ? knobs[i].path : lists[i - n];
        silr_buf_reset(&value);
        if (!silr_task_get(task, path, &value, &origin))
            continue;
        if (!as_json) {
            silr_buf_printf(&out, "%-26s %-24s %s\n", path, value.len ? value.data : "-",
                            origin);
            continue;
        }
        silr_buf_puts(&out, out.len > 1 ? ",\n " : "\n ");
        silr_buf_json(&out, path, strlen(path));
        silr_buf_puts(&out, ": {\"value\": ");
        silr_buf_json(&out, value.len ? value.data : "", value.len);
        silr_buf_puts(&out, ", \"origin\": ");
        silr_buf_json(&out, origin, strlen(origin));
        silr_buf_putc(&out, '}');
    }
    if (as_json)
        silr_buf_puts(&out, "\n}\n");
    if (out.data)
        fwrite(out.data, 1, out.len, stdout);
    silr_buf_clear(&value);
    silr_buf_clear(&out);
    return CLI_DONE;
}

/* A number of metrics.json by its path of names; NAN where there is none. */
static double number_at(const json_t *j, const char *a, const char *b)
{
    j = json_object_get(j, a);
    if (b)
        j = json_object_get(j, b);
    return json_is_number(j) ? json_number_value(j) : (double)NAN;
}

static void print_interval(const char *name, const json_t *iteration)
{
    double v = number_at(iteration, "estimated_accuracy", "value");

    if (!isnan(v))
        printf("%s %.3f (%.3f to %.3f)", name, v, number_at(iteration, "estimated_accuracy", "low"),
               number_at(iteration, "estimated_accuracy", "high"));
}

/* The account at the end, from the run's own metrics.json: the numbers are those of the report. */
static void print_accuracy(const json_t *metrics)
{
    const json_t *its = json_object_get(metrics, "iterations");
    const json_t *first = json_array_get(its, 0), *final = json_object_get(metrics, "final");
    double before = number_at(json_object_get(first, "label"), "accuracy", NULL);
    double after = number_at(json_object_get(final, "label"), "accuracy", NULL);
    double test = number_at(json_object_get(final, "test"), "accuracy", NULL);

    if (!isnan(number_at(final, "estimated_accuracy", "value"))) {
        print_interval("estimated accuracy:", first);
        print_interval(isnan(number_at(first, "estimated_accuracy", "value"))
                           ? "estimated accuracy:" : " ->", final);
        printf(", 95 %% intervals\n");
    }
    if (!isnan(before) && !isnan(after))
        printf("measured accuracy:  %.3f -> %.3f on the texts with a true label\n", before, after);
    if (!isnan(test))
        printf("classifier:         %.3f on the test texts\n", test);
}

/* Counts the lines of labels.jsonl, and those with "changed":true. */
static bool count_labels(const char *dir, size_t *texts, size_t *changed)
{
    char *path = silr_path_join(dir, "labels.jsonl"), *line = NULL;
    FILE *f = path ? fopen(path, "rb") : NULL;
    size_t cap = 0;

    *texts = *changed = 0;
    while (f && getline(&line, &cap, f) > 0) {
        const char *mark = strstr(line, "\"changed\":");
        (*texts)++;
        if (mark) /* ids are JSON strings: a quote in one is escaped, so this is the field */
            *changed += strncmp(mark + 10 + strspn(mark + 10, " "), "true", 4) == 0;
    }
    free(line); /* of getline */
    silr_free(path);
    return f && fclose(f) == 0;
}

static void summary(const char *dir, const silr_run_outcome *outcome)
{
    size_t texts, changed;
    char *path = silr_path_join(dir, "metrics.json");
    json_t *metrics = path ? json_load_file(path, 0, NULL) : NULL;

    if (outcome->nothing_to_do)
        printf("nothing to do: %s holds the finished run of this task\n", dir);
    if (count_labels(dir, &texts, &changed))
        printf("labels:             %zu texts, %zu changed (%.1f %%)\n", texts, changed,
               texts ? 100.0 * (double)changed / (double)texts : 0.0);
    if (metrics)
        print_accuracy(metrics);
    printf("report:             %s/report.html\n", dir);
    printf("files:              labels.jsonl metrics.json manifest.json classifier/ run.db\n");
    json_decref(metrics);
    silr_free(path);
}

static void print_metrics(const char *dir)
{
    silr_buf b = {0};
    char *path = silr_path_join(dir, "metrics.json");

    if (path && silr_file_read(&b, path, (size_t)1 << 30, NULL) == SILR_OK)
        fwrite(b.data, 1, b.len, stdout);
    silr_buf_clear(&b);
    silr_free(path);
}

/* Of one run, or of each member's. */
static int tell(const silr_task *task, const char *dir, bool as_json,
                const silr_run_outcome *outcome)
{
    size_t n = silr_run_is_each(task) ? task->annotator.n_members : 0;

    if (as_json && n > 0)
        printf("[");
    for (size_t m = 0; m < (n ? n : 1); m++) {
        char *path = n ? silr_run_member_dir(task, m, dir) : silr_strdup(dir);
        if (!path)
            return CLI_FAILED;
        if (n > 0 && !as_json)
            printf("%s%s\n", m ? "\n" : "", silr_task_annotator(task->annotator.member[m]));
        else if (m > 0)
            printf(",\n");
        if (as_json)
            print_metrics(path);
        else
            summary(path, outcome);
        silr_free(path);
    }
    if (as_json && n > 0)
        printf("]\n");
    return CLI_DONE;
}

/* The line that reproduces the run: what was typed, without what changes no result. */
static void command_line(silr_buf *b, const cli_args *a)
{
    silr_buf_printf(b, "silr run %s", a->args[0]);
    for (size_t i = 0; i < a->n_sets; i++)
        if (strncmp(a->sets[i], "threads=", 8) != 0 && strncmp(a->sets[i], "annotator.max_", 14) != 0)
            silr_buf_printf(b, " --set '%s'", a->sets[i]);
    if (a->out)
        silr_buf_printf(b, " --out %s", a->out);
    if (a->force)
        silr_buf_puts(b, " --force");
}

static int run(const cli_args *a)
{
    silr_task *task = NULL;
    silr_error err = {0};
    silr_run_settings settings = {.force = a->force, .retry_failed = a->retry_failed};
    silr_run_outcome outcome = {0};
    silr_buf command = {0};
    silr_status st;
    char *dir = NULL;
    int code;

    if ((st = cli_task(&task, a, &err)) != SILR_OK)
        return cli_complain(st, &err);
    if (a->show) {
        code = show_settings(task, a->json);
        goto done;
    }
    cli_signals_start();
    dir = cli_run_dir(a, task);
    command_line(&command, a);
    settings.command = command.data;
    st = dir ? silr_run_all(task, dir, &settings, &outcome, &err) : silr_fail_memory(&err);
    if (st != SILR_OK) {
        code = cli_end("run", a, st, &err);
        goto done;
    }
    cli_terminal_clear();
    code = tell(task, dir, a->json, &outcome);
    if (outcome.too_many_bad) {
        cli_say_failed(task, dir);
        code = CLI_ROWS_FAILED;
    }
done:
    silr_free(dir);
    silr_buf_clear(&command);
    silr_task_free(task);
    return code;
}

const cli_command cli_run = {
    .name = "run", .operands = "TASK", .summary = "do all of it: annotate, refine, report; or go on",
    .examples = {{"silr run task.yaml", "all of it, into runs/<task name>"},
                 {"silr run task.yaml --set refine.iterations=5", "one setting changed"},
                 {"silr run task.yaml --show", "every setting and where it came from"}},
    .about = "Interrupted or killed, the same command goes on where it was and ends with the same\n"
             "bytes. Leaves labels.jsonl, metrics.json, manifest.json, classifier/, report.html,\n"
             "figures/ and run.db in the run's folder; rows that could not be read in failed.jsonl.",
    .options = CLI_OPT_OUT | CLI_OPT_SET | CLI_OPT_SHOW | CLI_OPT_JSON | CLI_OPT_FORCE | CLI_OPT_ASK,
    .min_args = 1, .max_args = 1, .knobs = true, .run = run,
};
