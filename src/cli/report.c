/* report.c - silr report: writes report.html and figures/ again, from run.db and the corpus. */
#include "cli/cli.h"
#include "report/report.h"
#include "run/run.h"
#include <stdio.h>

static int report(const cli_args *a)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_error err = {0};
    silr_status st = silr_session_reopen(&s, &task, a->args[0], &err);

    if (st == SILR_OK)
        st = silr_report_html(task, s.corpus, s.store, a->args[0], &err);
    if (st == SILR_OK)
        printf("%s/report.html\n", a->args[0]);
    silr_session_close(&s);
    silr_task_free(task);
    return cli_complain(st, &err);
}

const cli_command cli_report = {
    .name = "report", .operands = "RUN", .summary = "write report.html and figures/ again",
    .examples = {{"silr report runs/reviews", "rewrite the report"},
                 {"silr report runs/reviews -v", "saying what is drawn"},
                 {"silr report -- -my-run", "a folder whose name begins with -"}},
    .about = "Reads run.db and the corpus, which must lie where it lay when the run was made.",
    .options = 0, .min_args = 1, .max_args = 1, .run = report,
};
