/* json.c - a task as canonical JSON: one order, one spelling of every value.
 *
 * It goes into the manifest and the model folder, can be read back as a task file, and, without
 * the knobs that cannot change a result, is what the task's hash is taken of. */
#include "task/inside.h"
#include <math.h>
#include <string.h>

static void key(silr_buf *out, bool *first, const char *path)
{
    const char *dot = strrchr(path, '.'), *name = dot ? dot + 1 : path;

    if (!*first)
        silr_buf_puts(out, ", ");
    *first = false;
    silr_buf_json(out, name, strlen(name));
    silr_buf_puts(out, ": ");
}

static void print_strings(char *const *s, size_t n, silr_buf *out)
{
    silr_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        silr_buf_puts(out, i ? ", " : "");
        silr_buf_json(out, s[i], strlen(s[i]));
    }
    silr_buf_putc(out, ']');
}

static void print_numbers(const double *v, size_t n, silr_buf *out)
{
    silr_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        silr_buf_puts(out, i ? ", " : "");
        silr_task_number(out, v[i]);
    }
    silr_buf_putc(out, ']');
}

static void print_class(const struct silr_task *t, int label, silr_buf *out)
{
    if (label >= 0 && (size_t)label < t->n_classes)
        silr_buf_json(out, t->classes[label], strlen(t->classes[label]));
    else
        silr_buf_puts(out, "null");
}

static void print_map(const struct silr_task *t, const silr_value_map *m, silr_buf *out)
{
    silr_buf_putc(out, '{');
    for (size_t i = 0; i < m->n; i++) {
        silr_buf_puts(out, i ? ", " : "");
        silr_buf_json(out, m->value[i], strlen(m->value[i]));
        silr_buf_puts(out, ": ");
        print_class(t, m->label[i], out);
    }
    silr_buf_putc(out, '}');
}

/* Class by class in the order in which the classes first have a rule: the votes are sums, so the
 * order of the rules within one is all there is to keep. */
static void print_rules(const struct silr_task *t, silr_buf *out)
{
    const silr_rule *r = t->annotator.rules;
    size_t n = t->annotator.n_rules;

    silr_buf_putc(out, '{');
    for (size_t i = 0; i < n; i++) {
        bool begins = i == 0 || r[i].label != r[i - 1].label;
        bool ends = i + 1 == n || r[i].label != r[i + 1].label;
        silr_buf_puts(out, i ? ", " : "");
        if (begins) {
            print_class(t, r[i].label, out);
            silr_buf_puts(out, ": [");
        }
        silr_buf_puts(out, "{\"pattern\": ");
        silr_buf_json(out, r[i].pattern, strlen(r[i].pattern));
        silr_buf_puts(out, ", \"weight\": ");
        silr_task_number(out, r[i].weight);
        if (r[i].name) {
            silr_buf_puts(out, ", \"name\": ");
            silr_buf_json(out, r[i].name, strlen(r[i].name));
        }
        silr_buf_puts(out, ends ? "}]" : "}");
    }
    silr_buf_putc(out, '}');
}

static void print_labelled(const struct silr_task *t, silr_buf *out)
{
    switch (t->labelled.kind) {
    case SILR_LABELLED_ORACLE:
        silr_buf_puts(out, "\"oracle\"");
        return;
    case SILR_LABELLED_NONE:
        silr_buf_puts(out, "\"none\"");
        return;
    case SILR_LABELLED_COUNT:
        silr_buf_printf(out, "{\"count\": %lld}", (long long)t->labelled.count);
        return;
    case SILR_LABELLED_FILE:
        silr_buf_puts(out, "{\"file\": ");
        silr_buf_json(out, t->labelled.file, strlen(t->labelled.file));
        break;
    case SILR_LABELLED_GIVEN:
        silr_buf_puts(out, "{\"theta\": ");
        print_numbers(t->labelled.theta, t->labelled.n_theta, out);
        if (t->labelled.n_pi > 0) {
            silr_buf_puts(out, ", \"pi\": ");
            print_numbers(t->labelled.pi, t->labelled.n_pi, out);
        }
        break;
    }
    silr_buf_putc(out, '}');
}

void silr_task_print_list(const struct silr_task *t, list_id id, silr_buf *out)
{
    switch (id) {
    case LIST_CLASSES:
        print_strings(t->classes, t->n_classes, out);
        break;
    case LIST_FILES:
        print_strings(t->corpus.files, t->corpus.n_files, out);
        break;
    case LIST_LABEL_VALUES:
        print_map(t, &t->corpus.label_values, out);
        break;
    case LIST_LABELLED:
        print_labelled(t, out);
        break;
    case LIST_THETA:
        print_numbers(t->labelled.theta, t->labelled.n_theta, out);
        break;
    case LIST_PI:
        print_numbers(t->labelled.pi, t->labelled.n_pi, out);
        break;
    case LIST_VALUES:
        print_map(t, &t->annotator.values, out);
        break;
    case LIST_RULES:
        print_rules(t, out);
        break;
    case LIST_DESCRIPTIONS:
    case LIST_EXAMPLES:
    case LIST_PARAMETERS:
    case LIST_PRICES:
    case LIST_MEMBERS:
        silr_task_print_chat_list(t, id, out, false);
        break;
    case LIST_N:
        break;
    }
}

/* Is path directly in section? */
static bool inside(const char *path, const char *section)
{
    size_t len = strlen(section);

    if (len == 0)
        return !strchr(path, '.');
    return strncmp(path, section, len) == 0 && path[len] == '.' && !strchr(path + len + 1, '.');
}

/* The knobs and lists that stand directly in a section, without its braces. */
static void print_section(const struct silr_task *t, const char *section, silr_buf *out,
                          bool *first, bool for_hash)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);

    for (size_t i = 0; i < n; i++)
        if (inside(k[i].path, section) && (k[i].changes_result || !for_hash)) {
            key(out, first, k[i].path);
            silr_knob_print(t, &k[i], out, true);
        }
    for (int i = 0; i < LIST_N; i++)
        if (inside(silr_task_list_path[i], section) && !(for_hash && i == LIST_PRICES)) {
            key(out, first, silr_task_list_path[i]);
            if (i == LIST_MEMBERS)
                silr_task_print_chat_list(t, LIST_MEMBERS, out, for_hash);
            else
                silr_task_print_list(t, (list_id)i, out);
        }
}

void silr_task_print_annotator(const struct silr_task *t, silr_buf *out, bool for_hash)
{
    bool first = true;

    silr_buf_putc(out, '{');
    print_section(t, "annotator", out, &first, for_hash);
    silr_buf_putc(out, '}');
}

void silr_task_print(const struct silr_task *t, silr_buf *out, bool for_hash)
{
    static const char *const sections[] = {"corpus", "annotator", "classifier", "refine", "report"};
    bool first = true, in = true;

    silr_buf_putc(out, '{');
    print_section(t, "", out, &first, for_hash);
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        key(out, &first, sections[s]);
        silr_buf_putc(out, '{');
        in = true;
        print_section(t, sections[s], out, &in, for_hash);
        if (s == 0) {
            key(out, &in, "split");
            silr_buf_putc(out, '{');
            in = true;
            print_section(t, "corpus.split", out, &in, for_hash);
            silr_buf_putc(out, '}');
        }
        silr_buf_putc(out, '}');
    }
    silr_buf_putc(out, '}');
}

void silr_task_to_json(const silr_task *task, silr_buf *out)
{
    silr_task_print(task, out, false);
}

/* --- docs/reference.md
 * ----------------------------------------------------------------------------- */

static void print_values(const silr_knob *k, silr_buf *out)
{
    static const char *const kinds[] = {"whole number", "number", "true, false", "", "text"};

    if (k->kind == SILR_KNOB_ENUM) {
        for (int i = 0; k->choices[i]; i++)
            silr_buf_printf(out, "%s`%s`", i ? ", " : "", k->choices[i]);
        return;
    }
    silr_buf_puts(out, kinds[k->kind]);
    if (k->kind == SILR_KNOB_INT || k->kind == SILR_KNOB_DOUBLE) {
        silr_buf_puts(out, ", ");
        silr_task_number(out, k->min);
        silr_buf_puts(out, " to ");
        silr_task_number(out, k->max);
    }
}

void silr_task_reference(silr_buf *out)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);
    const char *section = "";

    for (size_t i = 0; i < n; i++) {
        const char *dot = strchr(k[i].path, '.');
        size_t len = dot ? (size_t)(dot - k[i].path) : 0;
        if (i == 0 || strlen(section) < len || strncmp(section, k[i].path, len) != 0 ||
            (section[len] != '.' && len > 0)) {
            silr_buf_printf(out,
                            "%s### %.*s\n\n| key | values | default | what it does |\n"
                            "| --- | --- | --- | --- |\n",
                            i ? "\n" : "", len ? (int)len : 7, len ? k[i].path : "general");
            section = k[i].path;
        }
        silr_buf_printf(out, "| `%s` | ", k[i].path);
        print_values(&k[i], out);
        silr_buf_puts(out, " | ");
        if (!k[i].fallback)
            silr_buf_puts(out, "none");
        else if (strcmp(k[i].fallback, "recipe") == 0)
            silr_buf_puts(out, "by recipe");
        else
            silr_buf_printf(out, "`%s`", k[i].fallback);
        silr_buf_printf(out, " | %s |\n", k[i].help);
    }
}
