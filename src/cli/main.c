/* main.c - finds the command and hands over; and the one place where a status becomes an exit
 * code. */
#include "cli/cli.h"
#include "dist/dist.h"
#include "run/run.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cli_exit_code(silr_status st)
{
    switch (st) {
    case SILR_OK: return CLI_DONE;
    case SILR_EINPUT: return CLI_INPUT;
    case SILR_EDOMAIN: return CLI_REFUSED;
    case SILR_EPEER: return CLI_PEER;
    case SILR_ELIMIT: return CLI_LIMIT;
    case SILR_ECANCEL: return CLI_INTERRUPTED;
    case SILR_EIO:
    case SILR_ENOMEM:
    case SILR_EDEVICE:
    case SILR_EBUG: break;
    }
    return CLI_FAILED;
}

int cli_complain(silr_status st, const silr_error *err)
{
    if (st == SILR_OK)
        return CLI_DONE;
    cli_terminal_clear();
    fprintf(stderr, "%ssilr:%s %s\n", cli_colour(2) ? "\033[31m" : "", cli_colour(2) ? "\033[0m" : "",
            err->text);
    return cli_exit_code(st);
}

int cli_usage(const char *command, const char *fmt, ...)
{
    va_list ap;

    fputs("silr: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nsilr: see `silr %s%s--help`\n", command ? command : "", command ? " " : "");
    return CLI_USAGE;
}

int cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_DONE;
    if (errno == EPIPE) /* the reader has seen enough; not our failure */
        return CLI_DONE;
    fprintf(stderr, "silr: standard output cannot be written: %s\n", strerror(errno));
    return CLI_FAILED;
}

static void help(void)
{
    printf("silr turns cheap, noisy labels into accurate ones: a language model, rules or an old\n"
           "column label a corpus; about fifty texts checked by hand tell how far to trust them.\n\n"
           "  silr init reviews.csv         write task.yaml, guessed from the file\n"
           "  silr run task.yaml            refine the labels; leaves runs/<name>/report.html\n"
           "  silr predict runs/reviews new.csv   label new texts\n\n"
           "Usage: silr COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; cli_commands[i]; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", cli_commands[i]->name, cli_commands[i]->operands);
        printf("  %-20s %s\n", left, cli_commands[i]->summary);
    }
    printf("\n`silr COMMAND --help` shows a command's options. `silr --version` prints the version.\n"
           "Exit: 0 done; 1 failed at run time; 2 wrong usage; 3 bad input; 4 done, but more rows\n"
           "failed than allowed; 5 endpoint or authentication; 6 a limit was reached; 8 refused, the\n"
           "labels tell too little; 130 interrupted, the same command goes on.\n");
}

static int unknown_command(const char *word)
{
    const char *names[32], *near;
    size_t n = 0;

    while (cli_commands[n] && n < 32) {
        names[n] = cli_commands[n]->name;
        n++;
    }
    near = cli_nearest(word, names, n);
    if (near)
        return cli_usage(NULL, "unknown command \"%s\"; did you mean \"%s\"?", word, near);
    return cli_usage(NULL, "unknown command \"%s\"", word);
}

/* In a job of several processes rank 0 carries the command out; the others do what it sends them, and
 * say nothing. What they failed at, rank 0 says. */
static int carry_out(const cli_command *c, const cli_args *a)
{
    silr_error err = {0};
    silr_status st = silr_dist_start(&err);
    int code;

    if (st == SILR_OK && silr_dist_rank() > 0) {
        cli_signals_quiet();
        st = silr_dist_serve(silr_run_trades, &err);
        return st == SILR_OK ? CLI_DONE : cli_complain(st, &err);
    }
    if (st != SILR_OK)
        return silr_dist_rank() == 0 ? cli_complain(st, &err) : CLI_FAILED;
    cli_terminal_start(a);
    code = c->run(a);
    cli_terminal_clear();
    return code;
}

static int dispatch(int argc, char **argv)
{
    cli_args a;
    int code;

    for (size_t i = 0; cli_commands[i]; i++) {
        const cli_command *c = cli_commands[i];
        if (strcmp(argv[1], c->name) != 0)
            continue;
        if ((code = cli_parse(&a, c, argc - 2, argv + 2)) != CLI_DONE)
            return code;
        if (a.help) {
            cli_help(c);
            return CLI_DONE;
        }
        silr_mem_install();
        return carry_out(c, &a);
    }
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    int code, flushed;

    signal(SIGPIPE, SIG_DFL); /* `silr show run | head -1` ends quietly */
    if (argc < 2) {
        help();
        code = CLI_USAGE;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
               strcmp(argv[1], "help") == 0) {
        help();
        code = CLI_DONE;
    } else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("silr %s\n", silr_version());
        code = CLI_DONE;
    } else {
        code = dispatch(argc, argv);
    }
    if (code != CLI_FAILED) { /* else it has said why, and standard output may be the reason */
        flushed = cli_flush();
        code = code != CLI_DONE ? code : flushed;
    }
    silr_dist_end();
    return code;
}
