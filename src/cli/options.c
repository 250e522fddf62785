/* options.c - one table of options for all commands; a command names the rows it takes.
 *
 * Parsing, --help and the check for a misspelt option all read the same table, so that none of
 * them can say something that is not so. --seed, --threads and --limit are settings of the task
 * file; they become `--set seed=...`, and a flag thus beats the file. */
#include "cli/cli.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef enum { OPT_FLAG, OPT_TEXT, OPT_NUMBER, OPT_SET, OPT_INCLUDE } option_kind;

typedef struct {
    unsigned bit;
    const char *name;
    char letter;
    option_kind kind;
    size_t offset; /* in cli_args */
    const char *value; /* what the help calls it */
    const char *help;
} option;

static const option options[] = {
    {CLI_OPT_OUT, "out", 'o', OPT_TEXT, offsetof(cli_args, out), "DIR",
     "the run's folder (default: runs/<task name> beside the task file)"},
    {CLI_OPT_OUT_FILE, "out", 'o', OPT_TEXT, offsetof(cli_args, out), "FILE",
     "the task file to write (default: task.yaml; - is standard output)"},
    {CLI_OPT_SET, "set", 0, OPT_SET, 0, "KEY=VALUE",
     "override a setting of the task file; may be repeated"},
    {CLI_OPT_SHOW, "show", 0, OPT_FLAG, offsetof(cli_args, show), NULL,
     "print every setting, its value and where it came from; run nothing"},
    {CLI_OPT_DRY_RUN, "dry-run", 0, OPT_FLAG, offsetof(cli_args, dry_run), NULL,
     "count the texts and say what would be done; annotate nothing"},
    {CLI_OPT_ASK, "max-cost", 0, OPT_TEXT, offsetof(cli_args, max_cost), "X",
     "stop asking a model before the run costs more, by annotator.prices"},
    {CLI_OPT_ASK, "max-requests", 0, OPT_TEXT, offsetof(cli_args, max_requests), "N",
     "stop asking a model after so many requests of this call"},
    {CLI_OPT_ASK, "max-time", 0, OPT_TEXT, offsetof(cli_args, max_time), "SECONDS",
     "stop asking a model after so long"},
    {CLI_OPT_ASK, "retry-failed", 0, OPT_FLAG, offsetof(cli_args, retry_failed), NULL,
     "ask again about texts to which no answer could be had"},
    {CLI_OPT_EXPORT, "export", 0, OPT_TEXT, offsetof(cli_args, export_to), "FILE",
     "write the texts to label as CSV, for a spreadsheet"},
    {CLI_OPT_IMPORT, "import", 0, OPT_TEXT, offsetof(cli_args, import_from), "FILE",
     "read such a CSV back, its label column filled in"},
    {CLI_OPT_TEXT, "text", 0, OPT_TEXT, offsetof(cli_args, text), "COLUMN",
     "column or template of the text (default: as the run's task says)"},
    {CLI_OPT_ID, "id", 0, OPT_TEXT, offsetof(cli_args, id), "COLUMN",
     "column of the id (default: as the run's task says, else the row's number)"},
    {CLI_OPT_SHARE, "to", 0, OPT_TEXT, offsetof(cli_args, to), "FORM",
     "peft, merged, labelstudio, cleanlab, csv or jsonl"},
    {CLI_OPT_SHARE, "base", 0, OPT_TEXT, offsetof(cli_args, base), "NAME",
     "peft: what the base is called there (default: as the task names it)"},
    {CLI_OPT_SHARE, "type", 0, OPT_TEXT, offsetof(cli_args, type), "TYPE",
     "merged: f32, bf16 or f16 (default: f32)"},
    {CLI_OPT_MODEL, "model", 0, OPT_TEXT, offsetof(cli_args, model), "PATH",
     "where the model of classifier frozen or qlora is (default: where it was in training)"},
    {CLI_OPT_HUB, "revision", 0, OPT_TEXT, offsetof(cli_args, revision), "REV",
     "fetch: the branch, tag or commit (default: main)"},
    {CLI_OPT_HUB, "include", 0, OPT_INCLUDE, 0, "GLOB",
     "fetch: the weights that match, not silr's choice; may be repeated"},
    {CLI_OPT_JSON, "json", 0, OPT_FLAG, offsetof(cli_args, json), NULL,
     "print the result as JSON"},
    {CLI_OPT_FORCE, "force", 0, OPT_FLAG, offsetof(cli_args, force), NULL,
     "go on where silr would refuse"},
    {CLI_OPT_SEED, "seed", 0, OPT_NUMBER, offsetof(cli_args, seed), "N",
     "random seed (default: the task's)"},
    {CLI_OPT_THREADS, "threads", 0, OPT_NUMBER, offsetof(cli_args, threads), "N",
     "threads, 0 for all; never changes a result"},
    {CLI_OPT_LIMIT, "limit", 0, OPT_NUMBER, offsetof(cli_args, limit), "N",
     "use the first N texts only, 0 for all"},
    {CLI_OPT_QUIET, "quiet", 'q', OPT_FLAG, offsetof(cli_args, quiet), NULL,
     "no progress, no information; warnings and errors stay"},
    {CLI_OPT_VERBOSE, "verbose", 'v', OPT_FLAG, offsetof(cli_args, verbose), NULL,
     "say more of what is done"},
    {CLI_OPT_HELP, "help", 'h', OPT_FLAG, offsetof(cli_args, help), NULL, "this help"},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

const char *cli_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(word) / 2 + 1; /* farther than that is another word */

    if (least > 4)
        least = 4;
    for (size_t i = 0; i < n; i++) {
        size_t d = silr_edit_distance(word, candidates[i]);
        if (d < least || (d == least && !best && d <= 2)) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

/* "--seed" or "--seed=3"; the part after '=' is returned through *value. */
static const option *find(unsigned taken, const char *arg, const char **value)
{
    size_t len = strcspn(arg + 2, "=");

    *value = arg[2 + len] == '=' ? arg + 2 + len + 1 : NULL;
    for (size_t i = 0; i < N_OPTIONS; i++)
        if ((options[i].bit & taken) && strlen(options[i].name) == len &&
            memcmp(options[i].name, arg + 2, len) == 0)
            return &options[i];
    return NULL;
}

static const option *find_letter(unsigned taken, char letter)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if ((options[i].bit & taken) && options[i].letter == letter)
            return &options[i];
    return NULL;
}

static int unknown(const cli_command *c, unsigned taken, const char *arg)
{
    const char *names[N_OPTIONS], *near = NULL;
    char word[64];
    size_t n = 0, len = strcspn(arg, "=");

    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options[i].bit & taken)
            names[n++] = options[i].name;
    if (arg[1] == '-' && len > 2 && len - 2 < sizeof word) {
        memcpy(word, arg + 2, len - 2);
        word[len - 2] = '\0';
        near = cli_nearest(word, names, n);
    }
    if (near)
        return cli_usage(c->name, "unknown option %.*s; did you mean --%s?", (int)len, arg, near);
    return cli_usage(c->name, "unknown option %.*s", (int)len, arg);
}

static int add_include(cli_args *a, const cli_command *c, const char *glob)
{
    if (a->n_include == CLI_MAX_INCLUDES)
        return cli_usage(c->name, "more than %d --include", CLI_MAX_INCLUDES);
    a->include[a->n_include++] = glob;
    return CLI_DONE;
}

static int add_set(cli_args *a, const cli_command *c, const char *set)
{
    if (a->n_sets == CLI_MAX_SETS)
        return cli_usage(c->name, "more than %d settings", CLI_MAX_SETS);
    a->sets[a->n_sets++] = set;
    return CLI_DONE;
}

/* Stores the value of an option. */
static int store(cli_args *a, const cli_command *c, const option *o, const char *value)
{
    char *field = (char *)a + o->offset;
    int64_t number;

    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)(void *)field = true;
        return CLI_DONE;
    case OPT_TEXT:
        memcpy(field, &value, sizeof value);
        return CLI_DONE;
    case OPT_SET:
        if (!strchr(value, '=') || value[0] == '=')
            return cli_usage(c->name, "--set %s: expected KEY=VALUE, such as refine.iterations=3",
                             value);
        return add_set(a, c, value);
    case OPT_INCLUDE:
        return add_include(a, c, value);
    case OPT_NUMBER:
        if (!silr_parse_i64(value, &number) || number < 0)
            return cli_usage(c->name, "--%s %s: expected a whole number, 0 or more", o->name,
                             value);
        memcpy(field, &number, sizeof number);
        return CLI_DONE;
    }
    return CLI_DONE;
}

/* The flags that stand for settings of the task, behind all --set so that they win. */
static int flags_to_sets(cli_args *a, const cli_command *c)
{
    char number[3][24] = {"", "", ""};
    const int64_t given[3] = {a->seed, a->threads, a->limit};
    const struct {
        const char *key, *flag, *value;
    } flag[] = {{"seed", "--seed", number[0]},
                {"threads", "--threads", number[1]},
                {"limit", "--limit", number[2]},
                {"annotator.max_cost", "--max-cost", a->max_cost},
                {"annotator.max_requests", "--max-requests", a->max_requests},
                {"annotator.max_time", "--max-time", a->max_time}};
    double v;

    for (int i = 0; i < 3; i++)
        if (given[i] >= 0)
            snprintf(number[i], sizeof number[i], "%lld", (long long)given[i]);
    for (size_t i = 0; i < sizeof flag / sizeof *flag; i++) {
        if (!flag[i].value || !flag[i].value[0])
            continue;
        if (!silr_parse_double(flag[i].value, &v) || !(v >= 0))
            return cli_usage(c->name, "%s %.40s: expected a number, 0 or more", flag[i].flag,
                             flag[i].value);
        snprintf(a->flag[i], sizeof a->flag[i], "%s=%.40s", flag[i].key, flag[i].value);
        if (add_set(a, c, a->flag[i]) != CLI_DONE)
            return CLI_USAGE;
    }
    return CLI_DONE;
}

/* One word that begins with '-'. *i is moved on when the next word was its value. */
static int parse_option(cli_args *a, const cli_command *c, unsigned taken, int argc, char **argv,
                        int *i)
{
    const char *arg = argv[*i], *value = NULL;
    const option *o = NULL;

    if (arg[1] == '-') {
        o = find(taken, arg, &value);
    } else {
        o = find_letter(taken, arg[1]);
        if (o && arg[2] != '\0' && o->kind != OPT_FLAG)
            value = arg + 2;
        else if (o && arg[2] != '\0')
            o = NULL;
    }
    if (!o)
        return unknown(c, taken, arg);
    if (o->kind == OPT_FLAG && value)
        return cli_usage(c->name, "--%s takes no value", o->name);
    if (o->kind != OPT_FLAG && !value) {
        if (*i + 1 >= argc)
            return cli_usage(c->name, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        value = argv[++*i];
    }
    return store(a, c, o, value);
}

int cli_parse(cli_args *a, const cli_command *c, int argc, char **argv)
{
    unsigned taken = c->options | CLI_COMMON;
    bool operands_only = false;

    *a = (cli_args){.seed = -1, .threads = -1, .limit = -1};
    for (int i = 0; i < argc; i++) {
        if (!operands_only && strcmp(argv[i], "--") == 0) {
            operands_only = true;
        } else if (!operands_only && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (parse_option(a, c, taken, argc, argv, &i) != CLI_DONE)
                return CLI_USAGE;
        } else if (a->n_args == c->max_args) {
            return cli_usage(c->name, "one argument too many: %s", argv[i]);
        } else {
            a->args[a->n_args++] = argv[i];
        }
    }
    if (a->help)
        return CLI_DONE;
    if (a->n_args < c->min_args)
        return cli_usage(c->name, "an argument is missing: silr %s %s", c->name, c->operands);
    if (a->quiet && a->verbose)
        return cli_usage(c->name, "-q and -v exclude each other");
    return flags_to_sets(a, c);
}

/* --- help ---------------------------------------------------------------------------------- */

static void help_option(const option *o)
{
    char left[48];

    snprintf(left, sizeof left, "%s--%s%s%s", "", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    if (o->letter)
        printf("  -%c, %-20s %s\n", o->letter, left, o->help);
    else
        printf("      %-20s %s\n", left, o->help);
}

static void help_knob(const silr_knob *k)
{
    printf("  %-26s %s", k->path, k->help);
    if (k->kind == SILR_KNOB_ENUM && k->choices) {
        printf(" (");
        for (size_t i = 0; k->choices[i]; i++)
            printf("%s%s", i ? ", " : "", k->choices[i]);
        printf(")");
    }
    if (k->fallback && strcmp(k->fallback, "recipe") == 0)
        printf(" [default: the recipe's]");
    else if (k->fallback && k->fallback[0] != '\0')
        printf(" [default: %s]", k->fallback);
    printf("\n");
}

void cli_help(const cli_command *c)
{
    unsigned taken = c->options | CLI_COMMON;

    for (size_t i = 0; i < 3; i++)
        printf("  %-44s %s\n", c->examples[i].line, c->examples[i].what);
    printf("\nUsage: silr %s %s%s[options]\n", c->name, c->operands, c->operands[0] ? " " : "");
    printf("%s\n", c->summary);
    if (c->about)
        printf("\n%s\n", c->about);
    printf("\nOptions:\n");
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options[i].bit & taken)
            help_option(&options[i]);
    if (c->knobs) {
        size_t n;
        const silr_knob *knobs = silr_knobs(&n);
        printf("\nSettings (in the task file, or --set KEY=VALUE):\n");
        for (size_t i = 0; i < n; i++)
            help_knob(&knobs[i]);
    }
}
