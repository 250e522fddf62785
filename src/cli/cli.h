/* cli.h - what the commands share: their options, how they end, what they say while they work.
 *
 * A command is a function in a file of its own. It reads its arguments from cli_args, calls the
 * library, prints its result on stdout and returns an exit code; everything else goes to stderr.
 * This folder alone prints and exits, and it has no logic of its own. */
#ifndef SILR_CLI_H
#define SILR_CLI_H

#include "base/base.h"
#include "task/task.h"

/* Exit codes, the same for every command (design.md). */
enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,       /* at run time: disk, memory, a device */
    CLI_USAGE = 2,        /* the command line is wrong */
    CLI_INPUT = 3,        /* task, corpus or model file is wrong */
    CLI_ROWS_FAILED = 4,  /* done, but more rows failed than allowed */
    CLI_PEER = 5,         /* endpoint or authentication */
    CLI_LIMIT = 6,        /* a limit that the user set was reached; state is kept */
    CLI_REFUSED = 8,      /* the labels tell too little */
    CLI_INTERRUPTED = 130 /* resumable */
};
/* The one place that turns a status into an exit code. */
int cli_exit_code(silr_status st);
/* Prints the sentence in err on stderr and returns the exit code. */
int cli_complain(silr_status st, const silr_error *err);
/* The same for wrong usage: the sentence, then which help to read. Returns CLI_USAGE. */
int cli_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- options ------------------------------------------------------------------------------- */

/* Which options a command takes, as bits; those of CLI_COMMON every command takes. */
enum {
    CLI_OPT_HELP = 1 << 0,
    CLI_OPT_QUIET = 1 << 1,
    CLI_OPT_VERBOSE = 1 << 2,
    CLI_OPT_SEED = 1 << 3,
    CLI_OPT_THREADS = 1 << 4,
    CLI_OPT_LIMIT = 1 << 5,
    CLI_OPT_OUT = 1 << 6,
    CLI_OPT_SET = 1 << 7,
    CLI_OPT_JSON = 1 << 8,
    CLI_OPT_FORCE = 1 << 9,
    CLI_OPT_SHOW = 1 << 10,
    CLI_OPT_DRY_RUN = 1 << 11,
    CLI_OPT_EXPORT = 1 << 12,
    CLI_OPT_IMPORT = 1 << 13,
    CLI_OPT_TEXT = 1 << 14,
    CLI_OPT_ID = 1 << 15,
    CLI_OPT_OUT_FILE = 1 << 16, /* init: --out is a file */
    CLI_OPT_ASK = 1 << 17,      /* --max-cost, --max-requests, --max-time, --retry-failed */
    CLI_OPT_HUB = 1 << 18,      /* models: --revision, --include */
    CLI_OPT_MODEL = 1 << 19,
    CLI_OPT_SHARE = 1 << 20,    /* export: --to, --base, --type */
    CLI_COMMON = CLI_OPT_HELP | CLI_OPT_QUIET | CLI_OPT_VERBOSE | CLI_OPT_SEED | CLI_OPT_THREADS |
                 CLI_OPT_LIMIT
};

enum { CLI_MAX_SETS = 64, CLI_MAX_ARGS = 8, CLI_MAX_INCLUDES = 64 };

/* A parsed command line. Strings are borrowed from argv, but for the sets made of --seed and the
 * like, which live in `flag`. */
typedef struct {
    bool help, quiet, verbose, json, force, show, dry_run, retry_failed;
    int64_t seed, threads, limit; /* -1: not given */
    const char *max_cost, *max_requests, *max_time;
    const char *out, *export_to, *import_from, *text, *id, *revision, *model, *to, *base, *type;
    const char *include[CLI_MAX_INCLUDES];
    size_t n_include;
    const char *sets[CLI_MAX_SETS]; /* "refine.iterations=3", in order */
    size_t n_sets;
    char flag[6][80]; /* the sets that flags stand for */
    const char *args[CLI_MAX_ARGS];
    size_t n_args;
} cli_args;

typedef struct {
    const char *line, *what; /* "silr run task.yaml", "does all of it, or goes on" */
} cli_example;

typedef struct {
    const char *name;
    const char *operands; /* "TASK", "RUN [FILE]" */
    const char *summary;  /* one line for `silr --help` */
    cli_example examples[3];
    const char *about;    /* a paragraph or two, NULL: none */
    unsigned options;     /* beside CLI_COMMON */
    size_t min_args, max_args;
    bool knobs;           /* --help lists the settings of the task file */
    int (*run)(const cli_args *a);
} cli_command;
extern const cli_command *const cli_commands[]; /* NULL at the end */

/* Parses what follows the command's name. Returns CLI_DONE, or CLI_USAGE having said why. */
int cli_parse(cli_args *a, const cli_command *c, int argc, char **argv);
void cli_help(const cli_command *c);
/* The candidate nearest to `word`, or NULL where none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t n);

/* --- what is said while working ------------------------------------------------------------- */

/* Listens to the library: lines and progress go to stderr as -q and -v ask. */
void cli_terminal_start(const cli_args *a);
void cli_terminal_clear(void);  /* wipes the moving line, before anything else is printed */
bool cli_colour(int fd);        /* a terminal, and NO_COLOR is not set */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a line, unless -q */
/* Flushes stdout: CLI_DONE, or CLI_FAILED having said why (a full disk must not pass as done). */
int cli_flush(void);

/* First SIGINT or SIGTERM (of several ranks SIGUSR1 too): silr_cancel(), the work saves and returns SILR_ECANCEL. Second: stops
 * at once. For commands that keep state; the others simply die of the signal. */
void cli_signals_start(void);
void cli_signals_quiet(void); /* the same, not a word: for the ranks that do not speak */
/* Called before a signal ends the process; only calls that are safe in a handler. NULL: none. */
void cli_signals_restore(void (*restore)(void));

/* --- tasks and runs ------------------------------------------------------------------------- */

/* The task named by args[0], with --set, --seed, --threads and --limit on top. */
silr_status cli_task(silr_task **out, const cli_args *a, silr_error *err);
/* For a process that knows a key: no core file, and nobody without its rights looks into it. */
void cli_guard_key(void);
/* Where a task's run lies: --out, else runs/<name> beside the task file. silr_free it. */
char *cli_run_dir(const cli_args *a, const silr_task *task);
/* The folder that a look at a task works in: --out, else none (NULL) where the first labels cost
 * nothing to make anew, else the run's, where those that are paid for are kept. false: no memory. */
bool cli_look_dir(char **dir, const cli_args *a, const silr_task *task);
/* What silr_rows_next returned last, as a status: a file that stops before its end (a truncated
 * .gz) is the input's fault, not the machine's. */
silr_status cli_rows_end(int got);
/* On stderr: more failed than the task allows, and where it is. */
void cli_say_failed(const silr_task *task, const char *dir);
/* silr annotate --dry-run: what would be asked and what it would take; asks and writes nothing. */
silr_status cli_dry_run(const cli_args *a, silr_task *task, silr_error *err);
/* "silr run task.yaml --out x --set 'k=v'": another command with the same task and settings. */
void cli_command_line(silr_buf *b, const char *command, const cli_args *a);
/* Ends a stateful command: complains, and says how to go on where it was interrupted. */
int cli_end(const char *command, const cli_args *a, silr_status st, const silr_error *err);

extern const cli_command cli_init, cli_doctor, cli_label, cli_annotate, cli_priors, cli_run,
    cli_predict, cli_show, cli_report, cli_export, cli_models;

#endif
