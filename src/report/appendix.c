/* appendix.c - the end of the report: doubts, the corpus' health, and how to do it again. */
#include "report/page.h"

#include <math.h>
#include <string.h>

static void number(silr_buf *b, const json_t *v, bool percent)
{
    silr_buf_puts(b, "<td class=\"n\">");
    if (!json_is_number(v))
        silr_buf_puts(b, "\xe2\x80\x93");
    else if (percent)
        silr_page_percent(b, json_number_value(v));
    else
        silr_buf_printf(b, "%.6g", json_number_value(v));
    silr_buf_puts(b, "</td>");
}

/* What a row of the table may tell; a column that no row has is not drawn. */
static const struct {
    const char *key, *heading;
    bool percent;
} sensed[] = {
    {"theta_p", "theta_p", true},
    {"theta_n", "theta_n", true},
    {"pi", "pi", true},
    {"changed", "Labels changed", false},
    {"estimated", "Estimated accuracy", true},
    {"agreement", "Same labels", true},
};
enum { SENSED = sizeof sensed / sizeof *sensed };

static void sensitivity_table(const json_t *rows, silr_buf *b)
{
    bool used[SENSED] = {false};
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) for (size_t c = 0; c < SENSED; c++) used[c] |=
        json_is_number(json_object_get(row, sensed[c].key));
    silr_buf_puts(b, "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Setting</th>");
    for (size_t c = 0; c < SENSED; c++)
        if (used[c])
            silr_buf_printf(b, "<th scope=\"col\" class=\"n\">%s</th>", sensed[c].heading);
    silr_buf_puts(b, "</tr></thead>\n<tbody>\n");
    json_array_foreach(rows, i, row)
    {
        const char *what = json_string_value(json_object_get(row, "what"));
        silr_buf_puts(b, "<tr><th scope=\"row\">");
        silr_page_text(b, what ? what : "");
        silr_buf_puts(b, "</th>");
        for (size_t c = 0; c < SENSED; c++)
            if (used[c])
                number(b, json_object_get(row, sensed[c].key), sensed[c].percent);
        silr_buf_puts(b, "</tr>\n");
    }
    silr_buf_puts(b, "</tbody></table></div>\n</section>\n");
}

void silr_section_sensitivity(const silr_facts *f, silr_buf *b)
{
    json_t *root =
        f->sensitivity.len ? json_loadb(f->sensitivity.data, f->sensitivity.len, 0, NULL) : NULL;
    const json_t *rows = json_object_get(root, "rows");

    if (json_array_size(rows) > 0) {
        silr_page_open(b, "sensitivity", "If the settings were different",
                       "theta and pi are estimated from few texts. The last step done again with "
                       "other values: the more labels stay the same, the less it matters.");
        sensitivity_table(rows, b);
    }
    json_decref(root);
}

void silr_section_warnings(const silr_facts *f, silr_buf *b)
{
    bool any = false;

    for (size_t i = 0; i <= f->n_accounts; i++) {
        const char *note =
            i == 0 ? (f->advice.len ? f->advice.data : "") : f->account[i - 1].it.note;
        if (!note[0])
            continue;
        if (!any)
            silr_buf_puts(
                b, "<section id=\"notes\">\n<h2>Remarks of the run</h2>\n<ul class=\"notes\">\n");
        any = true;
        silr_buf_puts(b, "<li>");
        if (i > 0)
            silr_buf_printf(b, "<strong>Iteration %d:</strong> ", f->account[i - 1].it.iteration);
        silr_page_text(b, note);
        silr_buf_puts(b, "</li>\n");
    }
    if (any)
        silr_buf_puts(b, "</ul>\n</section>\n");
}

static void fact(silr_buf *b, const char *name, size_t n, const char *what)
{
    silr_buf_printf(b, "<div%s><dt>%s</dt><dd><b>", n ? "" : " class=\"zero\"", name);
    silr_page_count(b, n);
    silr_buf_printf(b, "</b> %s</dd></div>\n", what);
}

void silr_section_corpus(const silr_facts *f, silr_buf *b)
{
    const silr_corpus_stats *s = silr_corpus_info(f->corpus);
    size_t part[3] = {0};

    for (size_t i = 0; i < f->n; i++)
        part[silr_corpus_split(f->corpus, i)]++;
    silr_page_open(b, "corpus", "The corpus", NULL);
    silr_buf_puts(b, "<dl class=\"facts\">\n");
    fact(b, "Texts", s->documents, "");
    fact(b, "Training part", part[SILR_TRAIN], "");
    fact(b, "Validation part", part[SILR_VALIDATION], "");
    fact(b, "Test part", part[SILR_TEST], "");
    fact(b, "Checked by a person", f->n_known, "(the labelled sample)");
    fact(b, "With a true label", s->truths, "");
    fact(b, "Duplicates", s->duplicates, s->duplicates ? "kept in one part" : "");
    fact(b, "Empty texts", s->empty, s->empty ? "never labelled" : "");
    fact(b, "Rows not readable", s->bad_rows, s->bad_rows ? "see failed.jsonl" : "");
    fact(b, "Bad UTF-8", s->bad_utf8, s->bad_utf8 ? "bytes replaced" : "");
    fact(b, "With NUL bytes", s->nul, s->nul ? "replaced by a space" : "");
    fact(b, "Cut to length", s->cut, "");
    fact(b, "Without an id", s->missing_ids, s->missing_ids ? "got one" : "");
    fact(b, "Ids used twice", s->duplicate_ids, s->duplicate_ids ? "made different" : "");
    silr_buf_puts(b, "</dl>\n</section>\n");
}

static void line(silr_buf *b, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    silr_buf_printf(b, "<tr><th scope=\"row\">%s</th><td><code>", name);
    silr_page_text(b, value);
    silr_buf_puts(b, "</code></td></tr>\n");
}

/* {"sqlite":"3.40.1",...} as "sqlite 3.40.1, ...": the manifest's list, made readable. */
static void libraries(silr_buf *b)
{
    silr_buf list = {0}, out = {0};
    json_t *root;
    const char *name;
    json_t *v;

    silr_libraries_render(&list);
    root = list.failed ? NULL : json_loadb(list.data, list.len, 0, NULL);
    json_object_foreach(root, name, v)
    {
        const char *s = json_string_value(v);
        silr_buf_printf(&out, "%s%s %.*s", out.len ? ", " : "", name,
                        (int)(s ? strcspn(s, " ") : 0), s ? s : "");
    }
    line(b, "Libraries", out.data);
    b->failed |= list.failed || out.failed || !root;
    json_decref(root);
    silr_buf_clear(&list);
    silr_buf_clear(&out);
}

static void settings(const silr_facts *f, silr_buf *b)
{
    size_t n;
    const silr_knob *knob = silr_knobs(&n);
    silr_buf value = {0};

    silr_buf_puts(
        b, "<details>\n<summary>All settings, and where each came from</summary>\n"
           "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Setting</th>"
           "<th scope=\"col\">Value</th><th scope=\"col\">From</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const char *origin = NULL;
        silr_buf_reset(&value);
        if (!silr_task_get(f->task, knob[i].path, &value, &origin))
            continue;
        silr_buf_printf(b, "<tr%s><th scope=\"row\"><code>",
                        origin && strcmp(origin, "default") == 0 ? " class=\"zero\"" : "");
        silr_page_text(b, knob[i].path);
        silr_buf_puts(b, "</code></th><td><code>");
        silr_page_text(b, value.len ? value.data : "");
        silr_buf_puts(b, "</code></td><td>");
        silr_page_text(b, origin ? origin : "");
        silr_buf_puts(b, "</td></tr>\n");
    }
    silr_buf_puts(b, "</tbody></table></div>\n</details>\n");
    b->failed |= value.failed;
    silr_buf_clear(&value);
}

void silr_section_reproduce(const silr_facts *f, silr_buf *b)
{
    char seed[32], cost[160], version[128];
    double seconds = 0;

    for (size_t i = 0; i < f->n_accounts; i++)
        seconds += isfinite(f->account[i].it.seconds) ? f->account[i].it.seconds : 0;
    snprintf(version, sizeof version, "%s (%s)", SILR_VERSION, SILR_COMMIT);
    snprintf(seed, sizeof seed, "%lld", (long long)f->task->seed);
    snprintf(cost, sizeof cost, "0 spent, %.1f s of refining, %.0f MiB of memory at most", seconds,
             (double)silr_peak_memory() / 1048576);
    silr_page_open(b, "reproduce", "Do it again",
                   "The same version, corpus, settings and seed give the same labels to the bit, "
                   "with any number of threads. manifest.json has all of it for programs.");
    silr_buf_puts(b, "<pre class=\"command\"><code>");
    if (f->command.len) {
        silr_page_bytes(b, f->command.data, f->command.len);
    } else {
        silr_buf_puts(b, "silr run ");
        silr_page_text(b, f->task->path ? f->task->path : "task.yaml");
        silr_buf_printf(b, " --seed %s", seed);
    }
    silr_buf_puts(b, "</code></pre>\n<div class=\"scroll\"><table class=\"plain\">\n<tbody>\n");
    line(b, "silr", version);
    line(b, "Seed", seed);
    line(b, "Corpus (SHA-256)", silr_corpus_digest(f->corpus)->hex);
    line(b, "Settings (SHA-256)", f->task->hash.hex);
    line(b, "Started", f->start.data);
    line(b, "Ended", f->end.data);
    line(b, "Cost", cost);
    libraries(b);
    silr_buf_puts(b, "</tbody></table></div>\n");
    settings(f, b);
    silr_buf_puts(b, "</section>\n");
}
