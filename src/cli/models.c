/* models.c - silr models: what local models there are, whether they are right, and fetching one. */
#include "cli/cli.h"
#include "hub/hub.h"
#include <stdio.h>
#include <string.h>

/* Names and sentences about foreign files: a control character in them must not reach the terminal. */
static void add_safe(silr_buf *b, const char *s)
{
    for (; *s; s++)
        silr_buf_putc(b, ((unsigned char)*s < 32 && *s != '\n') || *s == 127 ? '?' : *s);
}

static void add_size(silr_buf *b, uint64_t bytes)
{
    double v = (double)bytes;

    if (bytes >= 1000000000)
        silr_buf_printf(b, "%.1f GB", v / 1e9);
    else if (bytes >= 1000000)
        silr_buf_printf(b, "%.1f MB", v / 1e6);
    else
        silr_buf_printf(b, "%.1f kB", v / 1e3);
}

/* "key": "value", or null; a comma before, unless it is the first. */
static void add_text(silr_buf *b, const char *key, const char *value)
{
    silr_buf_printf(b, "%s\"%s\": ", b->len && b->data[b->len - 1] != '{' ? ", " : "", key);
    if (value)
        silr_buf_json(b, value, strlen(value));
    else
        silr_buf_puts(b, "null");
}

/* Prints and clears. */
static silr_status put(silr_buf *b, silr_error *err)
{
    silr_status st = b->failed ? silr_fail_memory(err) : SILR_OK;

    cli_terminal_clear();
    if (st == SILR_OK && b->len > 0)
        fwrite(b->data, 1, b->len, stdout);
    silr_buf_clear(b);
    return st;
}

/* What silr_hub_look said, with its reason where it cannot. */
typedef struct {
    silr_buf brief, what;
    silr_error why;
    bool runs;
} look;

static silr_status look_at(look *l, const char *model, const char *problem, silr_error *err)
{
    silr_status st = SILR_EINPUT;

    *l = (look){0};
    if (model)
        st = silr_hub_look(model, &l->brief, &l->what, &l->why);
    else
        silr_fail(&l->why, SILR_EINPUT, "%s", problem ? problem : "not all of a model");
    l->runs = st == SILR_OK;
    return st == SILR_ENOMEM || l->what.failed || l->brief.failed ? silr_fail_memory(err) : SILR_OK;
}

static void look_clear(look *l)
{
    silr_buf_clear(&l->brief);
    silr_buf_clear(&l->what);
}

/* --- list ---------------------------------------------------------------------------------------- */

/* Several lines, each set in. */
static void add_lines(silr_buf *b, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        char *line = silr_strndup(text, len);
        silr_buf_puts(b, "    ");
        add_safe(b, line ? line : "");
        silr_buf_putc(b, '\n');
        silr_free(line);
        text += len + (text[len] == '\n');
    }
}

static void add_row(silr_buf *b, const silr_hub_model *m, const look *l, bool all)
{
    silr_buf size = {0};

    add_size(&size, m->bytes);
    silr_buf_printf(b, "%-44s %.12s %-12s %9s  %-12s ", m->name, m->commit,
                    m->revision[0] ? m->revision : "-", size.data ? size.data : "",
                    l->runs ? "runs" : m->model ? "does not run" : "incomplete");
    add_safe(b, l->brief.data ? l->brief.data : "");
    while (b->len > 0 && b->data[b->len - 1] == ' ')
        b->data[--b->len] = '\0';
    silr_buf_putc(b, '\n');
    if (all && l->what.len > 0)
        add_lines(b, l->what.data);
    if (!l->runs)
        add_lines(b, l->why.text);
    silr_buf_clear(&size);
}

static void add_json_row(silr_buf *b, const silr_hub_model *m, const look *l, bool first)
{
    silr_buf_puts(b, first ? "\n {" : ",\n {");
    add_text(b, "name", m->name);
    add_text(b, "commit", m->commit);
    add_text(b, "revision", m->revision);
    silr_buf_printf(b, ", \"bytes\": %llu", (unsigned long long)m->bytes);
    add_text(b, "path", m->path);
    add_text(b, "model", m->model);
    silr_buf_printf(b, ", \"complete\": %s, \"runs\": %s", m->model ? "true" : "false",
                    l->runs ? "true" : "false");
    add_text(b, "what", l->what.data);
    add_text(b, "problem", l->runs ? NULL : l->why.text);
    silr_buf_putc(b, '}');
}

static silr_status list(const cli_args *a, const silr_hub *h, silr_error *err)
{
    silr_hub_models m;
    silr_buf b = {0};
    silr_status st = silr_hub_list(h, &m, err);

    if (st != SILR_OK)
        return st;
    if (a->json) {
        silr_buf_putc(&b, '{');
        add_text(&b, "cache", h->cache);
        silr_buf_puts(&b, ", \"models\": [");
    }
    for (size_t i = 0; st == SILR_OK && i < m.n; i++) {
        look l;
        st = look_at(&l, m.model[i].model, m.model[i].problem, err);
        if (a->json)
            add_json_row(&b, &m.model[i], &l, i == 0);
        else
            add_row(&b, &m.model[i], &l, a->verbose);
        look_clear(&l);
    }
    if (a->json)
        silr_buf_puts(&b, "]}\n");
    else if (m.n == 0)
        cli_say("no models in %s; `silr models fetch ORG/NAME` fetches one", h->cache);
    silr_hub_models_clear(&m);
    if (st == SILR_OK)
        return put(&b, err);
    silr_buf_clear(&b);
    return st;
}

/* --- check --------------------------------------------------------------------------------------- */

static void add_file(silr_buf *b, const silr_hub_file *f)
{
    silr_buf size = {0};

    add_size(&size, f->bytes);
    silr_buf_printf(b, "%-9s %9s  ", f->problem ? "WRONG" : f->verified ? "verified" : "ok",
                    size.data ? size.data : "");
    add_safe(b, f->name);
    if (f->problem) {
        silr_buf_puts(b, ": ");
        add_safe(b, f->problem);
    }
    silr_buf_putc(b, '\n');
    silr_buf_clear(&size);
}

static void add_check(silr_buf *b, const silr_hub_files *f, const look *l)
{
    for (size_t i = 0; i < f->n; i++)
        add_file(b, &f->file[i]);
    if (l->what.len > 0)
        add_lines(b, l->what.data);
}

static void add_json_check(silr_buf *b, const char *path, const silr_hub_files *f, const look *l)
{
    silr_buf_putc(b, '{');
    add_text(b, "path", path);
    silr_buf_printf(b, ", \"right\": %s, \"runs\": %s", f->wrong == 0 ? "true" : "false",
                    l->runs ? "true" : "false");
    add_text(b, "what", l->what.data);
    add_text(b, "problem", l->runs ? NULL : l->why.text);
    silr_buf_puts(b, ", \"files\": [");
    for (size_t i = 0; i < f->n; i++) {
        silr_buf_puts(b, i ? ",\n {" : "\n {");
        add_text(b, "name", f->file[i].name);
        silr_buf_printf(b, ", \"bytes\": %llu, \"verified\": %s", (unsigned long long)f->file[i].bytes,
                        f->file[i].verified ? "true" : "false");
        add_text(b, "problem", f->file[i].problem);
        silr_buf_putc(b, '}');
    }
    silr_buf_puts(b, "]}\n");
}

/* The folder whose files are looked at: of a model in the cache the snapshot even where silr_hub_find
 * would not have it, since what is wrong with it is the question. */
static silr_status folder_of(const silr_hub *h, char **out, const char *name, silr_error *err)
{
    silr_status st = silr_hub_find_in(h, out, name, err);
    silr_hub_models m;

    if (st != SILR_EINPUT || !silr_hub_is_name(name) || silr_hub_list(h, &m, NULL) != SILR_OK)
        return st;
    for (size_t i = 0; i < m.n && !*out; i++)
        if (strcmp(m.model[i].name, name) == 0 && !m.model[i].model && m.model[i].revision[0])
            *out = silr_strdup(m.model[i].path);
    silr_hub_models_clear(&m);
    return *out ? SILR_OK : st;
}

static silr_status check(const cli_args *a, const silr_hub *h, silr_error *err)
{
    silr_hub_files f = {0};
    silr_buf b = {0};
    look l = {0};
    char *path = NULL;
    silr_status st = folder_of(h, &path, a->args[1], err);

    if (st == SILR_OK && (st = silr_hub_check(&f, path, err)) == SILR_OK)
        st = look_at(&l, path, NULL, err);
    if (st != SILR_OK)
        goto done;
    if (a->json)
        add_json_check(&b, path, &f, &l);
    else
        add_check(&b, &f, &l);
    if ((st = put(&b, err)) != SILR_OK)
        goto done;
    if (f.wrong > 0)
        st = silr_fail(err, SILR_EINPUT, "%s: %zu of %zu files wrong; delete what they link to, and `silr "
                       "models fetch` brings it anew", a->args[1], f.wrong, f.n);
    else if (!l.runs)
        st = silr_fail(err, SILR_EINPUT, "%s", l.why.text);
    else
        cli_say("%s: %zu file%s, all right; silr runs it", a->args[1], f.n, f.n == 1 ? "" : "s");
done:
    look_clear(&l);
    silr_buf_clear(&b);
    silr_hub_files_clear(&f);
    silr_free(path);
    return st;
}

/* --- fetch --------------------------------------------------------------------------------------- */

static void add_got(silr_buf *b, const cli_args *a, const silr_hub_got *got)
{
    if (!a->json) {
        add_safe(b, got->model ? got->model : got->path);
        silr_buf_putc(b, '\n');
        return;
    }
    silr_buf_putc(b, '{');
    add_text(b, "name", a->args[1]);
    add_text(b, "commit", got->commit);
    add_text(b, "path", got->path);
    add_text(b, "model", got->model);
    silr_buf_printf(b, ", \"files\": %zu, \"bytes\": %llu, \"fetched\": %llu}\n", got->files,
                    (unsigned long long)got->bytes, (unsigned long long)got->fetched);
}

static void say_got(const silr_hub_got *got, const look *l)
{
    silr_buf size = {0}, now = {0};

    add_size(&size, got->bytes);
    add_size(&now, got->fetched);
    cli_say("%zu file%s, %s; %s of it came now", got->files, got->files == 1 ? "" : "s", size.data ? size.data : "",
            now.data ? now.data : "");
    if (!l->runs)
        silr_log(SILR_LOG_WARN, "silr cannot run it: %s", l->why.text);
    silr_buf_clear(&size);
    silr_buf_clear(&now);
}

static silr_status fetch(const cli_args *a, const silr_hub *h, silr_error *err)
{
    silr_hub_want want = {.name = a->args[1], .revision = a->revision, .include = a->include,
                          .n_include = a->n_include};
    silr_hub_got got;
    silr_buf b = {0};
    look l = {0};
    silr_status st;

    cli_signals_start();
    if ((st = silr_hub_fetch(h, &want, &got, err)) != SILR_OK)
        return st;
    if ((st = look_at(&l, got.model, NULL, err)) == SILR_OK) {
        say_got(&got, &l);
        add_got(&b, a, &got);
        st = put(&b, err);
    }
    look_clear(&l);
    silr_hub_got_clear(&got);
    return st;
}

/* --- the command --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t args;
    silr_status (*run)(const cli_args *a, const silr_hub *h, silr_error *err);
} actions[] = {{"list", 1, list}, {"check", 2, check}, {"fetch", 2, fetch}};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static int unknown(const char *word)
{
    const char *names[N_ACTIONS], *near;

    for (size_t i = 0; i < N_ACTIONS; i++)
        names[i] = actions[i].name;
    near = cli_nearest(word, names, N_ACTIONS);
    if (near)
        return cli_usage("models", "unknown action \"%s\"; did you mean \"%s\"?", word, near);
    return cli_usage("models", "unknown action \"%s\": there are list, check NAME and fetch NAME", word);
}

static int models(const cli_args *a)
{
    silr_hub h;
    silr_error err = {0};
    silr_status st;
    size_t i = 0;
    int code;

    while (i < N_ACTIONS && strcmp(actions[i].name, a->args[0]) != 0)
        i++;
    if (i == N_ACTIONS)
        return unknown(a->args[0]);
    if (a->n_args != actions[i].args)
        return cli_usage("models", actions[i].args > a->n_args ? "an argument is missing: silr models %s NAME"
                                                               : "silr models %s takes no argument",
                         a->args[0]);
    if ((a->revision || a->n_include > 0) && actions[i].run != fetch)
        return cli_usage("models", "--revision and --include are for silr models fetch");
    if ((st = silr_hub_init(&h, &err)) == SILR_OK) {
        if (h.token)
            cli_guard_key();
        st = actions[i].run(a, &h, &err);
        silr_hub_clear(&h);
    }
    code = cli_complain(st, &err);
    if (st == SILR_ECANCEL)
        fprintf(stderr, "silr: what has come is kept; the same command goes on from there\n");
    return code;
}

const cli_command cli_models = {
    .name = "models", .operands = "ACTION [NAME]",
    .summary = "list, check and fetch local models",
    .examples = {{"silr models list", "what is in the cache, and what of it silr runs (-v: more)"},
                 {"silr models fetch BAAI/bge-small-en-v1.5", "what silr needs of it, from the hub"},
                 {"silr models check models/minilm", "files, hashes, weights and tokenizer of a folder"}},
    .about = "ACTION is list, check NAME or fetch NAME. NAME is a path, or ORG/NAME as on Hugging Face (with\n"
             "@REVISION, /FILE), which is looked for in the cache: HF_HUB_CACHE, else HF_HOME/hub, else\n"
             "~/.cache/huggingface/hub. fetch asks HF_ENDPOINT (https://huggingface.co), with the token of HF_TOKEN\n"
             "where there is one, goes on where it was stopped, and prints the path. Of several GGUF files choose\n"
             "one: --include '*Q4_K_M.gguf'.",
    .options = CLI_OPT_JSON | CLI_OPT_HUB, .min_args = 1, .max_args = 2, .run = models,
};
