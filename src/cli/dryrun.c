/* dryrun.c - silr annotate --dry-run: one whole prompt, and texts, tokens, price and time before
 * anything is spent. */
#include "cli/cli.h"
#include "run/run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void json_range(silr_buf *b, const char *name, double v, double low, double high)
{
    silr_buf_printf(b, ",\"%s\":", name);
    if (isnan(v)) {
        silr_buf_puts(b, "null");
        return;
    }
    silr_buf_puts(b, "{\"value\":");
    silr_buf_number(b, v, 8);
    silr_buf_puts(b, ",\"low\":");
    silr_buf_number(b, low, 8);
    silr_buf_puts(b, ",\"high\":");
    silr_buf_number(b, high, 8);
    silr_buf_putc(b, '}');
}

static void plan_json(const silr_task *task, const silr_plan *p, const silr_buf *prompt, silr_buf *b)
{
    const char *name = silr_task_annotator(task), *url = silr_chat_url(task);

    silr_buf_puts(b, "{\"annotator\":");
    silr_buf_json(b, name, strlen(name));
    silr_buf_puts(b, ",\"url\":");
    silr_buf_json(b, url, strlen(url));
    silr_buf_printf(b, ",\"texts\":%zu,\"answered\":%zu,\"requests\":%zu,\"bytes\":%.0f,"
                    "\"tokens\":\"%s\",\"measured_on\":%zu", p->texts, p->known, p->requests,
                    p->bytes, p->measured_on ? "measured" : "estimated", p->measured_on);
    json_range(b, "prompt_tokens", p->in, p->in_low, p->in_high);
    json_range(b, "completion_tokens", p->out, p->out_low, p->out_high);
    json_range(b, "cost", p->cost, p->cost_low, p->cost_high);
    silr_buf_puts(b, ",\"seconds\":");
    silr_buf_number(b, p->seconds, 6);
    silr_buf_puts(b, ",\"prompt\":");
    silr_buf_json(b, prompt->data ? prompt->data : "", prompt->len);
    silr_buf_putc(b, '}');
}

static void time_text(double s, silr_buf *b)
{
    if (isnan(s))
        silr_buf_puts(b, "unknown before the first answers");
    else if (s < 90)
        silr_buf_printf(b, "about %.0f s", ceil(s));
    else if (s < 5400)
        silr_buf_printf(b, "about %.0f minutes", s / 60);
    else
        silr_buf_printf(b, "about %.1f hours", s / 3600);
}

static void plan_text(const silr_task *task, const silr_plan *p, const silr_buf *prompt, silr_buf *b)
{
    silr_buf_printf(b, "annotator %s at %s; nothing was sent. The first prompt:\n\n",
                    silr_task_annotator(task), silr_chat_url(task));
    silr_buf_add(b, prompt->data, prompt->len);
    silr_buf_printf(b, "\ntexts:      %zu, of which %zu are answered already\nrequests:   %zu\n",
                    p->texts, p->known, p->requests);
    silr_buf_printf(b, "tokens in:  %.0f (%.0f to %.0f)\ntokens out: %.0f (%.0f to %.0f)\n", p->in,
                    p->in_low, p->in_high, p->out, p->out_low, p->out_high);
    if (p->measured_on > 0)
        silr_buf_printf(b, "            measured: as the server counted them for %zu answers\n",
                        p->measured_on);
    else
        silr_buf_puts(b, "            estimated at four bytes a token; to measure them: silr annotate TASK "
                         "--max-requests 20\n");
    if (isnan(p->cost))
        silr_buf_puts(b, "cost:       no price known; add annotator.prices\n");
    else
        silr_buf_printf(b, "cost:       %.4f (%.4f to %.4f), by annotator.prices\n", p->cost,
                        p->cost_low, p->cost_high);
    silr_buf_puts(b, "time:       ");
    time_text(p->seconds, b);
    silr_buf_printf(b, " at up to %lld requests at once\n",
                    (long long)task->annotator.chat.concurrency);
}

/* Columns and rules work here and cost nothing. */
static void free_of_charge(const silr_session *s, const silr_task *task, bool as_json, silr_buf *b)
{
    size_t bytes = 0, len, asked = 0;
    const char *kind = task->annotator.kind == SILR_ANNOTATOR_RULES ? "rules" : "column";

    for (size_t i = 0; i < silr_corpus_size(s->corpus); i++) {
        if (silr_corpus_empty(s->corpus, i))
            continue;
        silr_corpus_text(s->corpus, i, &len);
        asked++;
        bytes += len;
    }
    if (as_json)
        silr_buf_printf(b, "{\"annotator\":\"%s\",\"texts\":%zu,\"bytes\":%zu,\"cost\":0}", kind,
                        asked, bytes);
    else
        silr_buf_printf(b, "annotator %s: %zu texts, %zu bytes; works here, costs nothing\n", kind,
                        asked, bytes);
}

/* A model in this process costs time alone. */
static void local_text(const silr_task *task, const silr_plan *p, const silr_buf *prompt, bool as_json,
                       silr_buf *b)
{
    const char *name = silr_task_annotator(task);

    if (as_json) {
        silr_buf_puts(b, "{\"annotator\":");
        silr_buf_json(b, name, strlen(name));
        silr_buf_printf(b, ",\"texts\":%zu", p->texts);
        silr_buf_puts(b, ",\"cost\":0,\"prompt\":");
        silr_buf_json(b, prompt->data ? prompt->data : "", prompt->len);
        silr_buf_putc(b, '}');
        return;
    }
    silr_buf_printf(b, "annotator %s, in this process; nothing was labelled. The first prompt:\n\n", name);
    silr_buf_add(b, prompt->data, prompt->len);
    silr_buf_printf(b, "\ntexts:      %zu; all that their prompts share is read once\ncost:       none\n",
                    p->texts);
}

static silr_status one(const silr_session *s, const silr_task *task, const char *dir, bool as_json,
                       silr_buf *b, silr_error *err)
{
    silr_plan plan;
    silr_buf prompt = {0};
    silr_status st;

    if (!silr_task_prompts(task)) {
        free_of_charge(s, task, as_json, b);
        return SILR_OK;
    }
    st = silr_session_plan(s, task, dir, &plan, &prompt, err);
    if (st == SILR_OK && task->annotator.kind == SILR_ANNOTATOR_LOCAL)
        local_text(task, &plan, &prompt, as_json, b);
    else if (st == SILR_OK && as_json)
        plan_json(task, &plan, &prompt, b);
    else if (st == SILR_OK)
        plan_text(task, &plan, &prompt, b);
    b->failed |= prompt.failed;
    silr_buf_clear(&prompt);
    return st;
}

silr_status cli_dry_run(const cli_args *a, silr_task *task, silr_error *err)
{
    const silr_task *used = silr_task_in_use(task);
    bool several = used->annotator.kind == SILR_ANNOTATOR_SEVERAL;
    char *dir = cli_run_dir(a, task);
    silr_session s;
    silr_buf b = {0};
    silr_status st = dir ? silr_session_open(&s, task, NULL, err) : silr_fail_memory(err);

    if (st != SILR_OK) {
        silr_free(dir);
        return st;
    }
    silr_buf_puts(&b, several && a->json ? "[" : "");
    for (size_t i = 0; st == SILR_OK && i < (several ? used->annotator.n_members : 1); i++) {
        if (i > 0)
            silr_buf_puts(&b, a->json ? ",\n " : "\n");
        st = one(&s, several ? used->annotator.member[i] : used, dir, a->json, &b, err);
    }
    silr_buf_puts(&b, several && a->json ? "]\n" : a->json ? "\n" : "");
    cli_terminal_clear();
    if (st == SILR_OK && b.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK)
        fwrite(b.data, 1, b.len, stdout);
    silr_buf_clear(&b);
    silr_session_close(&s);
    silr_free(dir);
    return st;
}
