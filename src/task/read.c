/* read.c - from the tree to settings: each key finds its row in the table of knobs, or its reader
 * here when it is a list or a map.
 *
 * An override of the command line takes the same way: its value becomes a node (a knob's as it
 * stands; a list's parsed as YAML, so that classes=[a, b] works), its key a path. */
#include "task/inside.h"
#include <stdio.h>
#include <string.h>

static silr_status read_section(task_box *b, const char *section, const node *v, const char *first,
                                silr_error *err);

/* The strings of a list, or of one scalar. */
static silr_status read_strings(task_box *b, const char *path, const node *v, char ***out,
                                size_t *n, silr_error *err)
{
    bool one = v->kind == NODE_SCALAR && !silr_node_null(v);
    size_t count = one ? 1 : v->kind == NODE_LIST ? v->n : 0;
    char **s = silr_arena_alloc(&b->arena, (count + 1) * sizeof *s);

    if (!s)
        return silr_fail_memory(err);
    if (count == 0)
        return silr_task_fail(b, v, err, "%s is %s, not a list of names", path,
                              v->kind == NODE_LIST ? "an empty list" : silr_node_kind(v));
    for (size_t i = 0; i < count; i++) {
        const node *x = one ? v : v->item[i];
        if (x->kind != NODE_SCALAR || silr_node_null(x) || x->len == 0)
            return silr_task_fail(b, x, err, "%s: entry %zu is %s, not a name", path, i + 1,
                                  x->kind == NODE_SCALAR ? "empty" : silr_node_kind(x));
        if (!(s[i] = silr_arena_strndup(&b->arena, x->text, x->len)))
            return silr_fail_memory(err);
    }
    *out = s;
    *n = count;
    return SILR_OK;
}

static silr_status read_classes(task_box *b, const node *v, silr_error *err)
{
    char **c;
    size_t n;
    silr_status st;

    if (v->kind != NODE_LIST)
        return silr_task_fail(b, v, err, "classes is %s, not a list such as [positive, negative]",
                              silr_node_kind(v));
    if (v->n < 2 || v->n > TASK_MAX_CLASSES)
        return silr_task_fail(b, v, err, "%zu classes; there must be 2 to %d", v->n,
                              TASK_MAX_CLASSES);
    if ((st = read_strings(b, "classes", v, &c, &n, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        if (v->item[i]->len > TASK_MAX_NAME)
            return silr_task_fail(b, v->item[i], err, "a class name of %zu bytes; %d are allowed",
                                  v->item[i]->len, TASK_MAX_NAME);
        for (size_t j = 0; j < i; j++)
            if (strcmp(c[i], c[j]) == 0)
                return silr_task_fail(b, v->item[i], err, "class \"%s\" stands twice", c[i]);
    }
    b->task.classes = c;
    b->task.n_classes = n;
    return SILR_OK;
}

/* --- labelled ------------------------------------------------------------------------------------
 */

/* One share, appended to out[*n]. */
static silr_status read_share(task_box *b, const char *path, const node *v, double *out, size_t *n,
                              silr_error *err)
{
    if (v->kind == NODE_LIST)
        return silr_task_fail(b, v, err, "%s is nested too deeply", path);
    if (v->kind != NODE_SCALAR || !v->plain || !silr_parse_double(v->text, &out[*n]))
        return silr_task_fail(b, v, err, "%s: numbers from 0 to 1 must stand here, not %s", path,
                              silr_node_kind(v));
    if (out[*n] < 0 || out[*n] > 1)
        return silr_task_fail(b, v, err, "%s holds %.40s; a share is 0 to 1", path, v->text);
    ++*n;
    return SILR_OK;
}

/* How many numbers a list of numbers, of rows of numbers, or one number holds. */
static size_t count_shares(const node *v)
{
    size_t count = 0;

    if (v->kind != NODE_LIST)
        return 1;
    for (size_t i = 0; i < v->n; i++)
        count += v->item[i]->kind == NODE_LIST ? v->item[i]->n : 1;
    return count;
}

static silr_status read_numbers(task_box *b, const char *path, const node *v, double **out,
                                size_t *n, silr_error *err)
{
    double *d = silr_arena_alloc(&b->arena, (count_shares(v) + 1) * sizeof *d);
    size_t found = 0;
    silr_status st = SILR_OK;

    if (!d)
        return silr_fail_memory(err);
    if (v->kind != NODE_LIST)
        st = read_share(b, path, v, d, &found, err);
    for (size_t i = 0; st == SILR_OK && v->kind == NODE_LIST && i < v->n; i++) {
        const node *row = v->item[i];
        if (row->kind != NODE_LIST)
            st = read_share(b, path, row, d, &found, err);
        for (size_t j = 0; st == SILR_OK && row->kind == NODE_LIST && j < row->n; j++)
            st = read_share(b, path, row->item[j], d, &found, err);
    }
    if (st != SILR_OK)
        return st;
    *out = d;
    *n = found;
    return SILR_OK;
}

static silr_status read_labelled(task_box *b, const node *v, silr_error *err)
{
    static const char *const ways[] = {"count", "file", "theta"};
    const char *seen = NULL;

    if (v->kind == NODE_SCALAR && strcmp(v->text, "oracle") == 0)
        b->task.labelled.kind = SILR_LABELLED_ORACLE;
    else if (v->kind == NODE_SCALAR && strcmp(v->text, "none") == 0)
        b->task.labelled.kind = SILR_LABELLED_NONE;
    else if (v->kind != NODE_MAP && !silr_node_null(v))
        return silr_task_fail(b, v, err,
                              "labelled is one of {count: 50}, {file: gold.csv}, "
                              "{theta: [0.8, 0.3], pi: 0.5}, oracle or none");
    for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++) {
        for (size_t w = 0; w < 3; w++)
            if (strcmp(v->key[i]->text, ways[w]) == 0) {
                if (seen)
                    return silr_task_fail(b, v->key[i], err,
                                          "labelled takes either %s or %s, not both", seen,
                                          ways[w]);
                seen = ways[w];
            }
    }
    return v->kind == NODE_MAP ? read_section(b, "labelled", v, "theta", err) : SILR_OK;
}

/* A setting below labelled says which way is meant; what belongs to another way goes. */
static void choose_labelled(task_box *b, const char *path)
{
    silr_labelled_kind *kind = &b->task.labelled.kind;

    if (strcmp(path, "labelled.count") == 0)
        *kind = SILR_LABELLED_COUNT;
    else if (strcmp(path, "labelled.file") == 0)
        *kind = b->task.labelled.file ? SILR_LABELLED_FILE : SILR_LABELLED_COUNT;
    else if (strcmp(path, "labelled.theta") == 0)
        *kind = SILR_LABELLED_GIVEN;
    if (*kind != SILR_LABELLED_GIVEN && strcmp(path, "labelled.pi") != 0 &&
        (strcmp(path, "labelled") != 0 || *kind > SILR_LABELLED_GIVEN)) {
        b->task.labelled.n_theta = b->task.labelled.n_pi = 0;
        b->task.labelled.theta = b->task.labelled.pi = NULL;
    }
}

/* --- rules ---------------------------------------------------------------------------------------
 */

/* "pattern" or {pattern: ..., weight: 2, name: x} */
static silr_status read_rule(task_box *b, silr_rule *r, int label, const node *v, silr_error *err)
{
    const node *pattern = v->kind == NODE_SCALAR ? v : NULL, *name = NULL;

    *r = (silr_rule){.label = label, .weight = 1, .line = v->line};
    for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++) {
        const char *key = v->key[i]->text;
        const node *x = v->item[i];
        if (strcmp(key, "pattern") == 0)
            pattern = x;
        else if (strcmp(key, "name") == 0)
            name = x;
        else if (strcmp(key, "weight") != 0)
            return silr_task_fail(b, v->key[i], err,
                                  "unknown key \"%s\" in a rule; known are pattern, weight, name",
                                  key);
        else if (x->kind != NODE_SCALAR || !x->plain || !silr_parse_double(x->text, &r->weight) ||
                 r->weight <= 0 || r->weight > 1e6)
            return silr_task_fail(b, x, err, "the weight of a rule is a number over 0, up to 1e6");
    }
    if (!pattern || pattern->kind != NODE_SCALAR || pattern->len == 0)
        return silr_task_fail(b, pattern ? pattern : v, err,
                              "a rule is a pattern, or a map {pattern: ..., weight: 2, name: x}");
    if (name && (name->kind != NODE_SCALAR || name->len == 0))
        return silr_task_fail(b, name, err, "the name of a rule is %s, not text",
                              silr_node_kind(name));
    r->pattern = silr_arena_strndup(&b->arena, pattern->text, pattern->len);
    r->name =
        name && !silr_node_null(name) ? silr_arena_strndup(&b->arena, name->text, name->len) : NULL;
    if (!r->pattern || (name && !silr_node_null(name) && !r->name))
        return silr_fail_memory(err);
    return SILR_OK;
}

static silr_status read_rules(task_box *b, const node *v, silr_error *err)
{
    size_t n = 0, at = 0;
    silr_rule *rules;
    silr_status st;
    int label;

    if (v->kind != NODE_MAP && !silr_node_null(v))
        return silr_task_fail(b, v, err,
                              "annotator.rules is %s, not a map from classes to patterns",
                              silr_node_kind(v));
    for (size_t i = 0; i < v->n; i++)
        n += v->item[i]->kind == NODE_LIST ? v->item[i]->n : 1;
    if (!(rules = silr_arena_alloc(&b->arena, (n + 1) * sizeof *rules)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < v->n; i++) {
        const node *x = v->item[i];
        if ((st = silr_task_read_class(b, &label, v->key[i], err)) != SILR_OK)
            return st;
        for (size_t j = 0; j < (x->kind == NODE_LIST ? x->n : 1); j++)
            if ((st = read_rule(b, &rules[at++], label, x->kind == NODE_LIST ? x->item[j] : x,
                                err)) != SILR_OK)
                return st;
    }
    b->task.annotator.rules = rules;
    b->task.annotator.n_rules = n;
    return SILR_OK;
}

/* --- any setting ---------------------------------------------------------------------------------
 */

static silr_status read_list(task_box *b, list_id id, const node *v, silr_error *err)
{
    struct silr_task *t = &b->task;

    switch (id) {
    case LIST_CLASSES:
        return read_classes(b, v, err);
    case LIST_FILES:
        return read_strings(b, "corpus.files", v, &t->corpus.files, &t->corpus.n_files, err);
    case LIST_LABEL_VALUES:
        return silr_task_read_map(b, &t->corpus.label_values, "corpus.label_values", v, err);
    case LIST_LABELLED:
        return read_labelled(b, v, err);
    case LIST_THETA:
        return read_numbers(b, "labelled.theta", v, &t->labelled.theta, &t->labelled.n_theta, err);
    case LIST_PI:
        return read_numbers(b, "labelled.pi", v, &t->labelled.pi, &t->labelled.n_pi, err);
    case LIST_VALUES:
        return silr_task_read_map(b, &t->annotator.values, "annotator.values", v, err);
    case LIST_RULES:
        return read_rules(b, v, err);
    case LIST_DESCRIPTIONS:
    case LIST_EXAMPLES:
    case LIST_PARAMETERS:
    case LIST_PRICES:
        return silr_task_read_chat_list(b, id, v, err);
    case LIST_MEMBERS:
        b->members = v;
        return SILR_OK;
    case LIST_N:
        break;
    }
    return SILR_EBUG;
}

/* The keys of a section, `first` of them before all others: kind decides what an error says, and
 * classes must be known where values are mapped to them. */
static silr_status read_section(task_box *b, const char *section, const node *v, const char *first,
                                silr_error *err)
{
    silr_status st;

    if (silr_node_null(v))
        return SILR_OK; /* a heading with every line below it commented out */
    if (v->kind != NODE_MAP)
        return silr_task_fail(b, v, err, "%s is %s, not a map of settings",
                              *section ? section : "a task", silr_node_kind(v));
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < v->n; i++) {
            const char *key = v->key[i]->text;
            silr_buf path = {0};
            if ((strcmp(key, first) == 0) != (pass == 0))
                continue;
            silr_buf_printf(&path, "%s%s%s", section, *section ? "." : "", key);
            if (path.failed)
                st = silr_fail_memory(err);
            else if (strchr(key, '.') ||
                     (!silr_knob_find(path.data, NULL) && !silr_task_section(path.data) &&
                      !silr_task_list(path.data, NULL))) {
                silr_buf_reset(&path);
                silr_knob_unknown(&path, section, key);
                st = path.failed ? silr_fail_memory(err)
                                 : silr_task_fail(b, v->key[i], err, "%s", path.data);
            } else
                st = silr_task_read_setting(b, path.data, v->item[i], err);
            silr_buf_clear(&path);
            if (st != SILR_OK)
                return st;
        }
    return SILR_OK;
}

/* `path` is known: a list, a knob or a section. */
silr_status silr_task_read_setting(task_box *b, const char *path, const node *v, silr_error *err)
{
    origin from = {.line = v->line, .column = v->column, .flag = b->flag != NULL};
    const silr_knob *k;
    list_id id;
    size_t i;
    silr_status st;

    if (silr_task_list(path, &id)) {
        if (id == LIST_CLASSES && !b->flag && b->list_origin[id].flag)
            return SILR_OK; /* an override of the classes is read before the file */
        b->list_origin[id] = from;
        st = read_list(b, id, v, err);
    } else if ((k = silr_knob_find(path, &i))) {
        b->knob_origin[i] = from;
        st = silr_knob_assign(b, k, v, err);
    } else
        return read_section(b, path, v, "kind", err);
    if (st == SILR_OK && strncmp(path, "labelled", 8) == 0)
        choose_labelled(b, path);
    return st;
}

silr_status silr_task_read_tree(task_box *b, const node *root, silr_error *err)
{
    if (!root || silr_node_null(root))
        return silr_fail(err, SILR_EINPUT,
                         "%s: nothing in it: a task needs at least classes, "
                         "corpus and annotator",
                         b->name);
    return read_section(b, "", root, "classes", err);
}

silr_status silr_task_read_set(task_box *b, const char *set, silr_error *err)
{
    const char *equals = strchr(set, '=');
    size_t len = equals ? (size_t)(equals - set) : 0;
    char *key = silr_arena_strndup(&b->arena, set, len);
    node scalar = {.kind = NODE_SCALAR, .plain = true}, *v = &scalar;
    silr_status st = SILR_OK;

    b->flag = set;
    if (equals)
        scalar.text = silr_arena_strndup(&b->arena, equals + 1, strlen(equals + 1));
    if (!key || (equals && !scalar.text))
        st = silr_fail_memory(err);
    else if (!equals || len == 0 || len > TASK_MAX_NAME)
        st = silr_fail(err, SILR_EINPUT,
                       "--set %.200s: write it as key=value, "
                       "for example refine.iterations=3",
                       set);
    else if (silr_knob_find(key, NULL)) {
        scalar.len = strlen(scalar.text);
    } else if (silr_task_list(key, NULL) || silr_task_section(key)) {
        char name[TASK_MAX_NAME + 16];
        snprintf(name, sizeof name, "--set %.*s", TASK_MAX_NAME, key);
        st = silr_tree_parse(&v, &b->arena, scalar.text, strlen(scalar.text), name, err);
        if (st == SILR_OK && !v)
            v = &scalar;
    } else {
        silr_buf why = {0};
        silr_knob_unknown(&why, "", key);
        st = why.failed ? silr_fail_memory(err) : silr_task_fail(b, NULL, err, "%s", why.data);
        silr_buf_clear(&why);
    }
    if (st == SILR_OK)
        st = silr_task_read_setting(b, key, v, err);
    b->flag = NULL;
    return st;
}
