/* guess.c - which column is the text, the id, the true label, the cheap label?
 *
 * Names decide first (a column called "text" is the text), then what is in them: the text has the
 * longest values with spaces between words, an id never repeats, a label has few values that
 * repeat. It is a guess; the task file that comes of it says so and is there to be corrected. */
#include "cli/guess.h"
#include "cli/cli.h"
#include <string.h>

static const char *const text_names[] = {"text", "content", "body", "sentence", "review", "message",
                                         "tweet", "document", "comment", "abstract", NULL};
static const char *const id_names[] = {"id", "_id", "uuid", "guid", "doc_id", "key", NULL};
static const char *const label_names[] = {"label", "gold", "truth", "true_label", "target", "class",
                                          "category", "y", NULL};
static const char *const annotator_parts[] = {"llm", "gpt", "weak", "pseudo", "annot", "model",
                                              "pred", "auto", "noisy", NULL};

static guess_column *column_of(guess *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->column[i].name, name) == 0)
            return &g->column[i];
    if (g->n == GUESS_COLUMNS)
        return NULL;
    g->column[g->n].name = silr_strdup(name);
    g->column[g->n].unique = true;
    return g->column[g->n].name ? &g->column[g->n++] : NULL;
}

static void add_value(guess_column *c, const char *v, size_t len)
{
    uint64_t hash = silr_hash64(v, len, 0);
    double number;

    c->present++;
    c->bytes += (double)len;
    for (size_t i = 0; i < len; i++)
        c->spaces += v[i] == ' ';
    c->numbers += silr_parse_double(v, &number);
    if (c->present > 1 && hash == c->last)
        c->unique = false;
    c->last = hash;
    for (size_t i = 0; i < c->n_values; i++)
        if (strcmp(c->value[i], v) == 0) {
            c->unique = false;
            return;
        }
    if (c->n_values < GUESS_VALUES && len < 100 && (c->value[c->n_values] = silr_strdup(v)))
        c->n_values++;
}

static bool named(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(name, *list) == 0)
            return true;
    return false;
}

static bool named_like(const char *name, const char *const *parts)
{
    for (; *parts; parts++)
        if (strcasestr(name, *parts))
            return true;
    return false;
}

/* Few values that repeat: 2 to 20 different ones, each three times on average. */
static bool label_like(const guess_column *c)
{
    return c->n_values >= 2 && c->n_values < GUESS_VALUES && c->present >= 3 * c->n_values &&
           c->bytes / (double)c->present < 60;
}

static int find_text(const guess *g)
{
    int best = -1;
    double longest = -1;

    for (const char *const *name = text_names; *name; name++)
        for (size_t i = 0; i < g->n; i++)
            if (strcasecmp(g->column[i].name, *name) == 0 && g->column[i].present > 0)
                return (int)i;
    for (size_t i = 0; i < g->n; i++) {
        const guess_column *c = &g->column[i];
        double length = c->present ? (c->bytes + 20 * c->spaces) / (double)g->rows : 0;
        if (c->numbers < c->present && length > longest) {
            longest = length;
            best = (int)i;
        }
    }
    return best;
}

/* The values of a and b are the same kind of thing: at least two in common. */
static bool share_values(const guess_column *a, const guess_column *b)
{
    size_t common = 0;

    for (size_t i = 0; i < a->n_values; i++)
        for (size_t j = 0; j < b->n_values; j++)
            common += strcmp(a->value[i], b->value[j]) == 0;
    return common >= 2;
}

static void find_columns(guess *g)
{
    g->text = find_text(g);
    g->id = g->label = g->annotator = -1;
    for (size_t i = 0; i < g->n; i++) {
        const guess_column *c = &g->column[i];
        if ((int)i == g->text)
            continue;
        if (g->id < 0 && named(c->name, id_names) && c->present == g->rows)
            g->id = (int)i;
        else if (g->label < 0 && named(c->name, label_names) && label_like(c))
            g->label = (int)i;
    }
    for (size_t i = 0; i < g->n && g->id < 0; i++) /* no telling name: short and never repeated */
        if ((int)i != g->text && g->column[i].unique && g->column[i].present == g->rows &&
            g->rows > 20 && g->column[i].spaces < 1 && strcasestr(g->column[i].name, "id"))
            g->id = (int)i;
    for (int pass = 0; pass < 2 && g->annotator < 0; pass++)
        for (size_t i = 0; i < g->n && g->annotator < 0; i++) {
            const guess_column *c = &g->column[i];
            if ((int)i == g->text || (int)i == g->id || (int)i == g->label || !label_like(c))
                continue;
            if (pass == 0 ? named_like(c->name, annotator_parts)
                          : g->label >= 0 && share_values(c, &g->column[g->label]))
                g->annotator = (int)i;
        }
}

void cli_guess_free(guess *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n; i++) {
        for (size_t j = 0; j < g->column[i].n_values; j++)
            silr_free(g->column[i].value[j]);
        silr_free(g->column[i].name);
    }
    silr_free(g);
}

silr_status cli_guess(guess **out, const char *path, int64_t limit, silr_error *err)
{
    guess *g = silr_calloc(1, sizeof *g);
    silr_rows *rows = NULL;
    silr_row row;
    silr_status st;
    int got = 0;

    *out = NULL;
    if (!g)
        return silr_fail_memory(err);
    if ((st = silr_rows_open(&rows, path, SILR_FORMAT_AUTO, err)) != SILR_OK)
        goto done;
    while ((int64_t)g->rows < (limit > 0 ? limit : 2000) &&
           ((got = silr_rows_next(rows, &row, err)) > 0 || got == SILR_EINPUT)) {
        if (got < 0)
            continue;
        g->rows++;
        for (size_t i = 0; i < row.n; i++) {
            guess_column *c = column_of(g, row.names[i]);
            if (c && row.values[i] && row.lens[i] > 0)
                add_value(c, row.values[i], row.lens[i]);
        }
    }
    g->format = silr_rows_format(rows);
    if (got < 0 && got != SILR_EINPUT) {
        st = cli_rows_end(got);
        goto done;
    }
    if (g->rows == 0) {
        st = got < 0 ? cli_rows_end(got) : silr_fail(err, SILR_EINPUT, "%s: no rows in it", path);
        goto done;
    }
    find_columns(g);
    if (g->text < 0) {
        st = silr_fail(err, SILR_EINPUT, "%s: no column looks like a text", path);
        goto done;
    }
    *out = g;
    g = NULL;
done:
    silr_rows_close(rows);
    cli_guess_free(g);
    return st;
}
