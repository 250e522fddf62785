/* show.c - silr show: what a run came to, in the terminal. */
#include "cli/cli.h"
#include "report/report.h"
#include <stdio.h>

static int show(const cli_args *a)
{
    silr_buf out = {0};
    silr_error err = {0};
    silr_status st;

    if (a->json) {
        char *path = silr_path_join(a->args[0], "metrics.json");
        st = path ? silr_file_read(&out, path, (size_t)1 << 30, &err) : silr_fail_memory(&err);
        silr_free(path);
    } else {
        st = silr_report_table(a->args[0], cli_colour(1), &out, &err);
    }
    if (st == SILR_OK)
        fwrite(out.data, 1, out.len, stdout);
    silr_buf_clear(&out);
    return cli_complain(st, &err);
}

const cli_command cli_show = {
    .name = "show", .operands = "RUN", .summary = "print a run's table",
    .examples = {{"silr show runs/reviews", "the table, one line an iteration"},
                 {"silr show runs/reviews --json", "the same numbers: metrics.json"},
                 {"silr show runs/reviews | less", "without colour"}},
    .options = CLI_OPT_JSON, .min_args = 1, .max_args = 1, .run = show,
};
