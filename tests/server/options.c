/* options.c - the command line: a table. What each option does is told at the top of main.c. */
#include "server.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options opt = {
    .classes = "positive,negative",
    .max_top = 20,
    .redirect_to = "http://127.0.0.1:1/",
    .batch_polls = 2,
    .batch_max_lines = 50000,
};

const char *const param_names[PARAMS] = {
    "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "response_format",
    "seed",       "temperature",           "n",        "system",
};

const char *const fault_names[FAULTS] = {
    "429",
    "429-bare",
    "429-quota",
    "500",
    "503",
    "408",
    "400",
    "401-sometimes",
    "reset",
    "reset-body",
    "truncated-json",
    "wrong-json",
    "empty-choices",
    "huge",
    "trickle",
    "never",
    "duplicate",
    "redirect",
    "gzip",
    "chunked",
    "invalid-utf8",
    "wrong-type",
    "html",
};

enum kind { FLAG, COUNT, RATE, TEXT, CHOICE, PARAM, FAULT };

static const struct row {
    const char *name;
    enum kind kind;
    void *to;
    const char *of; /* of a choice: its words, from 0 */
} rows[] = {
    {"--port", COUNT, &opt.port, NULL},
    {"--until-eof", FLAG, &opt.until_eof, NULL},
    {"--tls-cert", TEXT, &opt.tls_cert, NULL},
    {"--tls-key", TEXT, &opt.tls_key, NULL},
    {"--log", TEXT, &opt.log, NULL},
    {"--classes", TEXT, &opt.classes, NULL},
    {"--answers", TEXT, &opt.answers, NULL},
    {"--model", TEXT, &opt.model, NULL},
    {"--latency", COUNT, &opt.latency_ms, NULL},
    {"--slots", COUNT, &opt.slots, NULL},
    {"--rate-limit", RATE, &opt.rate_limit, NULL},
    {"--key", TEXT, &opt.key, NULL},
    {"--echo-key", FLAG, &opt.echo_key, NULL},
    {"--reject", PARAM, &opt.reject, NULL},
    {"--ignore", PARAM, &opt.ignore, NULL},
    {"--reject-style", CHOICE, &opt.reject_style, "openai bare plain fastapi vllm"},
    {"--max-top", COUNT, &opt.max_top, NULL},
    {"--reasoning", CHOICE, &opt.reasoning, "none field think unclosed"},
    {"--finish", CHOICE, &opt.finish, "stop length content_filter"},
    {"--refusal", FLAG, &opt.refusal, NULL},
    {"--split-utf8", FLAG, &opt.split_utf8, NULL},
    {"--fault", FAULT, NULL, NULL},
    {"--fault-everywhere", FLAG, &opt.fault_everywhere, NULL},
    {"--redirect-to", TEXT, &opt.redirect_to, NULL},
    {"--batch-polls", COUNT, &opt.batch_polls, NULL},
    {"--batch-max-lines", COUNT, &opt.batch_max_lines, NULL},
    {"--batch-errors", RATE, &opt.batch_errors, NULL},
    {"--batch-expire", FLAG, &opt.batch_expire, NULL},
    {"--batch-fail", FLAG, &opt.batch_fail, NULL},
    {"--batch-no-list", FLAG, &opt.batch_no_list, NULL},
};

static _Noreturn void refuse(const char *name, const char *value)
{
    fprintf(stderr, "chat_server: %s %s makes no sense\n", name, value ? value : "(nothing)");
    exit(2);
}

/* The place of the word in a list of words parted by blanks; -1: it is not in it. */
static int find_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    int i = 0;

    for (const char *p = list; *p; i++) {
        size_t n = strcspn(p, " ");
        if (n == len && memcmp(p, word, n) == 0)
            return i;
        p += n + strspn(p + n, " ");
    }
    return -1;
}

static int find_name(const char *const *names, int n, const char *name, size_t len)
{
    for (int i = 0; i < n; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    return -1;
}

static bool read_fault(const char *value)
{
    const char *eq = strchr(value, '=');
    double rate;
    int f = eq ? find_name(fault_names, FAULTS, value, (size_t)(eq - value)) : -1;

    if (f < 0 || !silr_parse_double(eq + 1, &rate) || rate < 0 || rate > 1)
        return false;
    opt.fault[f] = rate;
    return true;
}

static bool read_count(unsigned *to, const char *value)
{
    int64_t v;

    if (!silr_parse_i64(value, &v) || v < 0 || v > 1000000000)
        return false;
    *to = (unsigned)v;
    return true;
}

static bool read_value(const struct row *row, const char *value)
{
    int i;

    switch (row->kind) {
    case FLAG:
        *(bool *)row->to = true;
        return true;
    case COUNT:
        return read_count(row->to, value);
    case RATE:
        return silr_parse_double(value, row->to) && *(double *)row->to >= 0;
    case TEXT:
        *(const char **)row->to = value;
        return true;
    case CHOICE:
        i = find_word(row->of, value);
        *(unsigned *)row->to = (unsigned)i;
        return i >= 0;
    case PARAM:
        i = find_name(param_names, PARAMS, value, strlen(value));
        if (i >= 0)
            *(unsigned *)row->to |= 1u << i;
        return i >= 0;
    case FAULT:
        return read_fault(value);
    }
    return false;
}

void options_read(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct row *row = NULL;
        const char *name = argv[i];
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            if (strcmp(rows[k].name, name) == 0)
                row = &rows[k];
        if (!row)
            refuse("the option", name);
        if (row->kind != FLAG && ++i == argc)
            refuse(name, NULL);
        if (!read_value(row, argv[i]))
            refuse(name, argv[i]);
    }
    if (!opt.tls_cert != !opt.tls_key)
        refuse("--tls-cert", "without --tls-key, or the reverse,");
}
