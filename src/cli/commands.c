/* commands.c - the list of commands, and what several of them do alike. */
#include "cli/cli.h"
#include "run/run.h"
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

const cli_command *const cli_commands[] = {
    &cli_init, &cli_doctor, &cli_label, &cli_annotate, &cli_priors,
    &cli_run,
    &cli_predict, &cli_show, &cli_report, &cli_export, &cli_models, NULL,
};

void cli_guard_key(void)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        silr_log(SILR_LOG_WARN, "core files could not be switched off: one could hold the key");
}

silr_status cli_task(silr_task **out, const cli_args *a, silr_error *err)
{
    silr_status st = silr_task_read(out, a->args[0], a->sets, a->n_sets, err);

    if (st == SILR_OK && silr_task_asks(*out))
        cli_guard_key();
    return st;
}

void cli_say_failed(const silr_task *task, const char *dir)
{
    cli_terminal_clear();
    fprintf(stderr, "silr: more rows failed than corpus.max_bad %s; they are in %s/failed.jsonl\n",
            silr_task_asks(task) ? "allows, or texts than annotator.max_failed" : "allows", dir);
}

silr_status cli_rows_end(int got)
{
    if (got >= 0)
        return SILR_OK;
    return got == SILR_EIO ? SILR_EINPUT : (silr_status)got;
}

char *cli_run_dir(const cli_args *a, const silr_task *task)
{
    char *runs, *dir;

    if (a->out)
        return silr_strdup(a->out);
    runs = silr_path_join(strcmp(task->dir, ".") == 0 ? NULL : task->dir, "runs");
    dir = runs ? silr_path_join(runs, task->name) : NULL;
    silr_free(runs);
    return dir;
}

bool cli_look_dir(char **dir, const cli_args *a, const silr_task *task)
{
    *dir = NULL;
    if (!a->out && !silr_task_asks(task) &&
        silr_task_in_use(task)->annotator.kind != SILR_ANNOTATOR_SEVERAL)
        return true;
    *dir = cli_run_dir(a, task);
    return *dir != NULL;
}

void cli_command_line(silr_buf *b, const char *command, const cli_args *a)
{
    silr_buf_printf(b, "silr %s %s", command, a->args[0]);
    if (a->out)
        silr_buf_printf(b, " --out %s", a->out);
    for (size_t i = 0; i < a->n_sets; i++)
        silr_buf_printf(b, " --set '%s'", a->sets[i]);
}

int cli_end(const char *command, const cli_args *a, silr_status st, const silr_error *err)
{
    int code = cli_complain(st, err);
    silr_buf line = {0};

    if (st == SILR_ECANCEL) {
        cli_command_line(&line, command, a);
        fprintf(stderr, "silr: what was done is kept; the same command goes on from there:\n  %s%s\n",
                line.data ? line.data : "", a->force ? " --force" : "");
    }
    silr_buf_clear(&line);
    return code;
}
