/* init.c - silr init: a task file to begin with, every line explained. */
#include "cli/cli.h"
#include "cli/guess.h"
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

/* A string as YAML: JSON's quoting is YAML's double quoting, and plain words stand as they are. */
static void yaml_string(silr_buf *b, const char *s)
{
    static const char *const special[] = {"true", "false", "null", "yes", "no", "on", "off", "y",
                                          "n", "~"};
    bool plain = s[0] != '\0' && (s[0] < '0' || s[0] > '9');

    for (const char *c = s; *c; c++)
        plain = plain && ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                          (*c >= '0' && *c <= '9') || *c == '_' || (*c == '-' && c > s) ||
                          (*c == '.' && c > s) || (*c == '/' && c > s));
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        plain = plain && strcasecmp(s, special[i]) != 0;
    if (plain)
        silr_buf_puts(b, s);
    else
        silr_buf_json(b, s, strlen(s));
}

/* 1/-1, 1/0, true/false: values that need names; returns the positive one, NULL: it has names. */
static const char *positive_value(const guess_column *c)
{
    static const char *const yes[] = {"1", "1.0", "+1", "true", "True"};
    static const char *const no[] = {"-1", "0", "-1.0", "0.0", "false", "False"};

    if (!c || c->n_values != 2)
        return NULL;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        for (size_t j = 0; j < sizeof no / sizeof *no; j++)
            for (size_t k = 0; k < 2; k++)
                if (strcmp(c->value[k], yes[i]) == 0 && strcmp(c->value[1 - k], no[j]) == 0)
                    return c->value[k];
    return NULL;
}

/* {"1": positive, "-1": negative}: the keys are quoted, so that they are text for any reader. */
static void value_map(silr_buf *b, const guess_column *c, const char *positive)
{
    for (size_t k = 0; k < 2; k++) {
        const char *v = c->value[k];
        silr_buf_puts(b, k ? ", " : "{");
        silr_buf_json(b, v, strlen(v));
        silr_buf_puts(b, strcmp(v, positive) == 0 ? ": positive" : ": negative");
    }
    silr_buf_puts(b, "}");
}

static void put_classes(silr_buf *b, const guess_column *c)
{
    silr_buf_puts(b, "# Two or more; of two, the first is the positive class.\nclasses: [");
    if (!c || positive_value(c)) {
        silr_buf_puts(b, "positive, negative");
    } else {
        for (size_t i = 0; i < c->n_values; i++) {
            silr_buf_puts(b, i ? ", " : "");
            yaml_string(b, c->value[i]);
        }
    }
    silr_buf_puts(b, "]\n\n");
}

static void put_corpus(silr_buf *b, const guess *g, const char *file)
{
    const guess_column *label = g && g->label >= 0 ? &g->column[g->label] : NULL;

    silr_buf_puts(b, "corpus:\n  files: [");
    yaml_string(b, file);
    silr_buf_puts(b, "]    # relative to this file; globs; JSONL, CSV, TSV, plain; .gz, .zst\n");
    silr_buf_puts(b, "  text: ");
    yaml_string(b, g ? g->column[g->text].name : "text");
    silr_buf_puts(b, "    # a column, or a template such as \"{title}. {body}\"\n");
    if (g && g->id >= 0) {
        silr_buf_puts(b, "  id: ");
        yaml_string(b, g->column[g->id].name);
        silr_buf_puts(b, "\n");
    } else {
        silr_buf_puts(b, "  # id: id    # without it, texts are numbered from 1\n");
    }
    if (label) {
        silr_buf_puts(b, "  label: ");
        yaml_string(b, label->name);
        silr_buf_puts(b, "    # the truth, where it is known\n");
        if (positive_value(label)) {
            silr_buf_puts(b, "  label_values: ");
            value_map(b, label, positive_value(label));
            silr_buf_puts(b, "\n");
        }
    } else {
        silr_buf_puts(b, "  # label: label    # a column with the truth, where there is one\n");
    }
    silr_buf_puts(b, "  split: {train: 0.7, validation: 0.1, test: 0.2}\n\n");
}

static void put_labelled(silr_buf *b, const guess *g)
{
    if (g && g->label >= 0)
        silr_buf_puts(b, "# About fifty texts with a true label say how far to trust the annotator.\n"
                         "labelled: {count: 50}    # drawn from the label column; or {file: labels.csv}\n\n");
    else
        silr_buf_puts(b, "# About fifty texts checked by hand say how far to trust the annotator:\n"
                         "# `silr label` asks for them and writes this file.\n"
                         "labelled: {file: labels.csv}\n\n");
}

/* The other way: a language model. In comments, as it needs an endpoint and costs money. */
static void put_model(silr_buf *b)
{
    silr_buf_puts(b, "# Or a language model behind any OpenAI-compatible endpoint; the key comes from the\n"
                     "# environment (OPENAI_API_KEY). `silr annotate --dry-run` shows the prompt and the price.\n"
                     "# annotator:\n"
                     "#   kind: chat\n"
                     "#   url: http://localhost:8080/v1      # default: OPENAI_BASE_URL, else OpenAI's\n"
                     "#   model: gpt-4o-mini\n"
                     "#   examples: 8                        # few-shot, drawn from the labelled sample\n"
                     "#   prices: {gpt-4o-mini: {input: 0.15, output: 0.6}}    # a million tokens\n\n");
}

static void put_annotator(silr_buf *b, const guess *g, const guess_column *classes)
{
    const guess_column *c = g && g->annotator >= 0 ? &g->column[g->annotator] : NULL;

    if (c) {
        silr_buf_puts(b, "# Who gave the first, cheap labels: here a column of the file.\n"
                         "annotator:\n  kind: column\n  column: ");
        yaml_string(b, c->name);
        silr_buf_puts(b, "\n");
        if (positive_value(c)) {
            silr_buf_puts(b, "  values: ");
            value_map(b, c, positive_value(c));
            silr_buf_puts(b, "\n");
        }
        silr_buf_puts(b, "\n");
        put_model(b);
        return;
    }
    silr_buf_puts(b, "# Who gives the first, cheap labels: here rules; each is a regular expression\n"
                     "# (PCRE2), the class with most matches wins. Replace these with your own.\n"
                     "annotator:\n  kind: rules\n  rules:\n");
    if (!classes || positive_value(classes)) {
        silr_buf_puts(b, "    positive: ['\\b(good|great|excellent|love)\\b']\n"
                         "    negative: ['\\b(bad|poor|awful|hate)\\b']\n\n");
        put_model(b);
        return;
    }
    for (size_t i = 0; i < classes->n_values; i++) {
        silr_buf_puts(b, "    ");
        yaml_string(b, classes->value[i]);
        silr_buf_puts(b, ": [");
        yaml_string(b, classes->value[i]);
        silr_buf_puts(b, "]\n");
    }
    silr_buf_puts(b, "\n");
    put_model(b);
}

/* "data/My reviews.csv.gz" -> "my-reviews" */
static void put_name(silr_buf *b, const char *file)
{
    const char *base = file ? strrchr(file, '/') : NULL;
    size_t n;

    base = base ? base + 1 : file ? file : "my-task";
    n = strcspn(base, ".");
    for (size_t i = 0; i < n; i++) {
        char c = base[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        silr_buf_putc(b, ok ? c : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : '-');
    }
    if (n == 0)
        silr_buf_puts(b, "my-task");
}

static void write_task(silr_buf *b, const guess *g, const char *file)
{
    const guess_column *classes = NULL;

    if (g && g->label >= 0)
        classes = &g->column[g->label];
    else if (g && g->annotator >= 0)
        classes = &g->column[g->annotator];
    silr_buf_puts(b, "# A task for silr. `silr run task.yaml` does all of it; `silr doctor task.yaml` checks\n"
                     "# it; `silr run task.yaml --show` lists every other setting with its default.\n\nname: \"");
    put_name(b, file);
    silr_buf_puts(b, "\"\nquestion: Which class does the text belong to?    # shown by `silr label`\n");
    put_classes(b, classes);
    put_corpus(b, g, file ? file : "texts.jsonl");
    put_labelled(b, g);
    put_annotator(b, g, classes);
    silr_buf_puts(b, "classifier: {kind: ngram}\nrefine: {recipe: silr}\nseed: 1\n");
}

/* Where FILE lies as seen from the folder of the task file. */
static char *relative_file(const char *file, const char *out)
{
    char *dir = silr_path_dir(out), *found = NULL, *real;

    if (!dir || strcmp(dir, ".") == 0 || file[0] == '/' || strcmp(file, "-") == 0) {
        found = silr_strdup(file);
    } else if ((real = realpath(file, NULL))) {
        found = silr_strdup(real);
        free(real);
    }
    silr_free(dir);
    return found;
}

static silr_status check(const silr_buf *b, const char *out, silr_error *err)
{
    silr_task *task = NULL;
    char *dir = silr_path_dir(out);
    silr_status st = dir ? silr_task_parse(&task, b->data, b->len, out, dir, NULL, 0, err)
                         : silr_fail_memory(err);

    silr_free(dir);
    silr_task_free(task);
    return st;
}

static void tell(const guess *g, const char *out)
{
    cli_say("wrote %s", out);
    if (!g)
        return;
    cli_say("  text: %s; id: %s; label: %s; annotator: %s", g->column[g->text].name,
            g->id >= 0 ? g->column[g->id].name : "none",
            g->label >= 0 ? g->column[g->label].name : "none",
            g->annotator >= 0 ? g->column[g->annotator].name : "none found, rules to be filled in");
    cli_say("guessed from %zu rows: look it over, then `silr doctor %s`", g->rows, out);
}

static int init(const cli_args *a)
{
    const char *out = a->out ? a->out : "task.yaml";
    const char *file = a->n_args ? a->args[0] : NULL;
    bool to_stdout = strcmp(out, "-") == 0;
    guess *g = NULL;
    silr_buf b = {0};
    silr_error err = {0};
    silr_status st = SILR_OK;
    char *seen = NULL;

    if (!to_stdout && !a->force && silr_file_exists(out)) {
        st = silr_fail(&err, SILR_EINPUT, "%s: is there already; --force overwrites it", out);
        goto done;
    }
    if (file && (st = cli_guess(&g, file, a->limit, &err)) != SILR_OK)
        goto done;
    if (file && !(seen = relative_file(file, out))) {
        st = silr_fail_memory(&err);
        goto done;
    }
    write_task(&b, g, seen);
    if ((st = b.failed ? silr_fail_memory(&err) : check(&b, out, &err)) != SILR_OK)
        goto done;
    if (to_stdout)
        fwrite(b.data, 1, b.len, stdout);
    else if ((st = silr_file_write(out, b.data, b.len, &err)) == SILR_OK)
        tell(g, out);
done:
    cli_guess_free(g);
    silr_buf_clear(&b);
    silr_free(seen);
    return cli_complain(st, &err);
}

const cli_command cli_init = {
    .name = "init", .operands = "[FILE]", .summary = "write a commented task.yaml, guessed from FILE",
    .examples = {{"silr init reviews.csv", "guess format, columns and classes"},
                 {"silr init", "a template"},
                 {"silr init reviews.jsonl --out movies.yaml", "under another name"}},
    .options = CLI_OPT_OUT_FILE | CLI_OPT_FORCE, .min_args = 0, .max_args = 1, .run = init,
};
