/* commands.c - the list of commands, and what several of them do alike. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

const cli_command *const cli_commands[] = {
    &cli_init, &cli_doctor, &cli_label, &cli_annotate, &cli_priors,
    &cli_run,
    &cli_predict, &cli_show, &cli_report, NULL,
};

silr_status cli_task(silr_task **out, const cli_args *a, silr_error *err)
{
    return silr_task_read(out, a->args[0], a->sets, a->n_sets, err);
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
