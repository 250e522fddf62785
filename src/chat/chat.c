/* chat.c - a conversation's standing parts: key, address, what is known of the server, what it has
 * cost; and the putting together of one request. */
#include "chat/inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- life ---------------------------------------------------------------------------------------- */

static bool is_local(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.", "[::1]"};
    const char *host = strstr(url, "//");

    for (size_t i = 0; host && i < sizeof hosts / sizeof *hosts; i++) {
        const char *end = host + 2 + strlen(hosts[i]);
        if (strncasecmp(host + 2, hosts[i], strlen(hosts[i])) != 0)
            continue;
        if (i == 1) /* numbers alone: 127.0.0.1.example.org is far away */
            end += strspn(end, "0123456789.");
        if (!*end || strchr(":/?#", *end))
            return true;
    }
    return false;
}

/* The key lives in the environment, here, and in the headers of requests: nowhere else. */
static silr_status take_key(silr_chat *c, const char *base, silr_error *err)
{
    const silr_chat_settings *s = &c->task->annotator.chat;
    const char *name = s->key_env ? s->key_env : "OPENAI_API_KEY", *key = getenv(name);
    silr_buf line = {0};
    silr_status st = SILR_OK;

    if (s->auth == SILR_AUTH_NONE)
        return SILR_OK;
    if (!key || !*key) {
        if (s->key_env || !is_local(base))
            return silr_fail(err, SILR_EPEER, "%s: no key: the environment variable %s is not set; set "
                             "it, or say annotator.auth: none", base, name);
        return SILR_OK;
    }
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > 126)
            return silr_fail(err, SILR_EPEER, "the key in %s holds a space or another character that no "
                             "key has; look for a newline at its end", name);
    if (strncmp(base, "http://", 7) == 0 && !is_local(base))
        silr_log(SILR_LOG_WARN, "%s is not encrypted: the key of %s travels in the open", base, name);
    if (!(c->key = silr_strdup(key)))
        return silr_fail_memory(err);
    silr_buf_printf(&line, s->auth == SILR_AUTH_API_KEY ? "api-key: %s" : "Authorization: Bearer %s",
                    key);
    st = line.failed ? silr_fail_memory(err) : SILR_OK;
    if (st == SILR_OK) {
        silr_http_opts o = {.connect_timeout = s->connect_timeout, .timeout = s->timeout,
                            .max_body = SILR_REPLY_MAX, .max_connections = (size_t)s->concurrency,
                            .secret = c->key};
        if ((st = silr_http_new(&c->http, &o, err)) == SILR_OK)
            st = silr_http_header(c->http, line.data, err);
    }
    if (line.data)
        explicit_bzero(line.data, line.len);
    silr_buf_clear(&line);
    return st;
}

static silr_status set_address(silr_chat *c, silr_error *err)
{
    const char *base = silr_chat_url(c->task);

    if (strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0)
        return silr_fail(err, SILR_EPEER, "OPENAI_BASE_URL is \"%.100s\": it must begin with http:// or "
                         "https://", base);
    if (memchr(strstr(base, "//"), '@', strcspn(strstr(base, "//") + 2, "/?#") + 2))
        return silr_fail(err, SILR_EPEER, "OPENAI_BASE_URL holds a user or a key: keys have a variable of "
                         "their own (annotator.key_env)");
    silr_request_url(base, "/chat/completions", &c->url);
    return c->url.failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status connect_up(silr_chat *c, silr_error *err)
{
    const silr_chat_settings *s = &c->task->annotator.chat;
    const char *base = silr_chat_url(c->task);
    silr_http_opts o = {.connect_timeout = s->connect_timeout, .timeout = s->timeout,
                        .max_body = SILR_REPLY_MAX, .max_connections = (size_t)s->concurrency};
    silr_status st;

    if ((st = take_key(c, base, err)) != SILR_OK)
        return st;
    return c->http ? SILR_OK : silr_http_new(&c->http, &o, err);
}

static silr_status look_at_ledger(silr_chat *c, silr_error *err)
{
    silr_ledger_sums sums;
    silr_status st;

    if (!c->ledger)
        return SILR_OK;
    if ((st = silr_ledger_sum(c->ledger, &sums, err)) != SILR_OK)
        return st;
    c->spent = sums.paid;
    c->dearest = sums.dearest;
    return SILR_OK;
}

silr_status silr_chat_start(silr_chat **out, const silr_task *task, silr_ledger *ledger,
                            const silr_example *examples, size_t n_examples, bool sends,
                            silr_error *err)
{
    silr_chat *c = silr_calloc(1, sizeof *c);
    silr_status st;

    *out = NULL;
    if (!c)
        return silr_fail_memory(err);
    c->task = task;
    c->ledger = ledger;
    c->example = examples;
    c->n_examples = n_examples;
    c->started = silr_now();
    if (ledger) { /* the limits of a call hold for all its conversations */
        silr_ledger_call *call = silr_ledger_this_call(ledger);
        c->started = call->began = call->began > 0 ? call->began : c->started;
        c->sent = call->sent;
    }
    if ((st = set_address(c, err)) == SILR_OK && (!sends || (st = connect_up(c, err)) == SILR_OK) &&
        (st = look_at_ledger(c, err)) == SILR_OK)
        st = silr_chat_settle(c, err);
    if (st != SILR_OK) {
        silr_chat_free(c);
        return st;
    }
    *out = c;
    return SILR_OK;
}

silr_status silr_chat_new(silr_chat **out, const silr_task *task, silr_ledger *ledger,
                          const silr_example *examples, size_t n_examples, silr_error *err)
{
    return silr_chat_start(out, task, ledger, examples, n_examples, true, err);
}

void silr_chat_free(silr_chat *c)
{
    if (!c)
        return;
    if (c->ledger)
        silr_ledger_this_call(c->ledger)->sent = c->sent;
    silr_http_free(c->http);
    silr_prompt_free(c->prompt);
    if (c->key)
        explicit_bzero(c->key, strlen(c->key));
    silr_free(c->key);
    silr_buf_clear(&c->url);
    silr_buf_clear(&c->messages);
    silr_buf_clear(&c->body);
    silr_buf_clear(&c->reply);
    silr_free(c);
}

/* --- the server ---------------------------------------------------------------------------------- */

silr_status silr_chat_reword(silr_chat *c, silr_error *err)
{
    silr_prompt_free(c->prompt);
    return silr_prompt_new(&c->prompt, c->task, c->example, c->n_examples, c->server.system, err);
}

/* What is asked for is part of what is known: a task with other wishes finds out for itself. */
static void server_name(const silr_chat *c, silr_buf *out)
{
    silr_server hopes = silr_server_hopes(c->task);

    silr_buf_printf(out, "%s ", c->task->annotator.chat.model);
    silr_server_to_json(&hopes, out);
}

/* What the ledger knows of the server, if it does. */
static silr_status look_up(silr_chat *c, silr_error *err)
{
    silr_buf facts = {0}, name = {0};
    silr_server s;
    silr_status st = SILR_OK;

    server_name(c, &name);
    if (name.failed)
        st = silr_fail_memory(err);
    else if (c->ledger)
        st = silr_ledger_server_get(c->ledger, c->url.data, name.data, &facts, err);
    if (st == SILR_OK && facts.len > 0 && (c->known = silr_server_from_json(&s, facts.data, facts.len)))
        c->server = s;
    silr_buf_clear(&facts);
    silr_buf_clear(&name);
    return st;
}

silr_status silr_chat_settle(silr_chat *c, silr_error *err)
{
    silr_status st;

    c->server = silr_server_hopes(c->task);
    st = look_up(c, err);
    return st == SILR_OK ? silr_chat_reword(c, err) : st;
}

silr_status silr_chat_hear(silr_chat *c, silr_error *err)
{
    silr_status st = look_up(c, err);
    return st == SILR_OK && c->known ? silr_chat_reword(c, err) : st;
}

silr_status silr_chat_remember(silr_chat *c, silr_error *err)
{
    silr_buf facts = {0}, name = {0};
    silr_status st = SILR_OK;

    if (!c->ledger)
        return SILR_OK;
    silr_server_to_json(&c->server, &facts);
    server_name(c, &name);
    st = facts.failed || name.failed
             ? silr_fail_memory(err)
             : silr_ledger_server_set(c->ledger, c->url.data, name.data, facts.data, err);
    silr_buf_clear(&facts);
    silr_buf_clear(&name);
    return st;
}

const silr_server *silr_chat_server(const silr_chat *c)
{
    return c->known ? &c->server : NULL;
}

int silr_chat_samples(const silr_chat *c)
{
    int samples = (int)c->task->annotator.chat.samples;
    return silr_request_many(c->task, &c->server) > 1 ? 1 : samples;
}

/* --- one request --------------------------------------------------------------------------------- */

enum { FORMER_MAX = 4000 };

/* What the model said in an earlier round, without its thoughts: NULL where it was never asked. */
static silr_status former_answer(silr_chat *c, const silr_ask_id *id, char **out, silr_error *err)
{
    silr_reply r;
    char why[200];
    bool found;
    size_t len;
    const char *s, *end;
    silr_status st = silr_ledger_find(c->ledger, id, &c->reply, NULL, &found, err);

    *out = NULL;
    if (st != SILR_OK || !found || !silr_reply_read(&r, c->reply.data, c->reply.len, why))
        return st;
    end = strstr(r.choice[0].content, "</think>");
    s = end ? end + strlen("</think>") : r.choice[0].content;
    s += strspn(s, " \t\r\n");
    len = strnlen(s, FORMER_MAX);
    if (len == FORMER_MAX)
        while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
            len--;
    if (!(*out = silr_strndup(s, len)))
        st = silr_fail_memory(err);
    silr_reply_clear(&r);
    return st;
}

static silr_status one_body(silr_chat *c, const char *text, size_t len, const char *const *former,
                            size_t n_former, int sample, silr_ask_id *id, silr_error *err)
{
    silr_buf_reset(&c->messages);
    silr_buf_reset(&c->body);
    silr_prompt_messages(c->prompt, text, len, former, n_former, &c->messages);
    if (!c->messages.failed)
        silr_request_body(c->task, &c->server, c->messages.data, c->messages.len, sample, &c->body);
    if (c->messages.failed || c->body.failed) {
        c->messages.failed = c->body.failed = false;
        return silr_fail_memory(err);
    }
    return silr_request_id(id, c->url.data, c->body.data, c->body.len, sample, err);
}

silr_status silr_chat_compose(silr_chat *c, const silr_chat_job *job, size_t i, int sample,
                              silr_ask_id *id, bool *ready, const char **why, silr_error *err)
{
    char *former[32] = {NULL};
    size_t len, n = 0, rounds = job->rounds < 32 ? job->rounds : 32;
    const char *text = job->text(job->ctx, i, &len);
    silr_status st = one_body(c, text, len, NULL, 0, sample, id, err);

    *ready = true;
    while (st == SILR_OK && n < rounds && *ready) {
        st = former_answer(c, id, &former[n], err);
        *ready = former[n] != NULL;
        if (st == SILR_OK && *ready)
            st = one_body(c, text, len, (const char *const *)former, ++n, sample, id, err);
    }
    if (!*ready)
        *why = "there is no earlier answer to check";
    for (size_t k = 0; k < rounds; k++)
        silr_free(former[k]);
    return st;
}

/* --- what it costs ------------------------------------------------------------------------------- */

double silr_chat_cost(const silr_task *task, const silr_usage *u)
{
    const silr_chat_settings *c = &task->annotator.chat;

    for (size_t i = 0; i < c->n_prices; i++) {
        const silr_price *p = &c->price[i];
        double cached = isnan(p->cached_input) ? p->input : p->cached_input;
        if (strcmp(p->model, c->model) == 0)
            return ((double)(u->prompt_tokens - u->cached_tokens) * p->input +
                    (double)u->cached_tokens * cached + (double)u->completion_tokens * p->output) /
                   1e6;
    }
    return NAN;
}

silr_status silr_chat_keep(silr_chat *c, const silr_ask_id *id, const silr_reply *reply,
                           const char *body, size_t len, size_t asked, double seconds,
                           silr_origin origin, silr_error *err)
{
    silr_answer a = {.model = c->task->annotator.chat.model, .reply = body, .len = len,
                     .usage = reply->usage, .origin = origin};
    silr_usage counted = reply->usage;

    if (counted.prompt_tokens == 0) { /* not told: four bytes a token, so that a budget still holds */
        counted.prompt_tokens = (int64_t)(asked / 4);
        for (size_t i = 0; i < reply->n_choices && reply->usage.completion_tokens == 0; i++)
            counted.completion_tokens += (int64_t)(reply->choice[i].len / 4 + 1);
        silr_chat_note(c, "answers without usage");
    }
    a.usage.cost = silr_chat_cost(c->task, &counted);
    if (origin == SILR_ORIGIN_BATCH)
        a.usage.cost *= c->task->annotator.chat.batch_discount;
    a.usage.seconds = seconds;
    if (!isnan(a.usage.cost)) {
        c->spent += a.usage.cost;
        c->dearest = fmax(c->dearest, a.usage.cost);
        if (asked > 0)
            c->rate = fmax(c->rate, a.usage.cost / (double)asked);
    }
    return silr_ledger_put(c->ledger, id, &a, err);
}

/* What is under way and the next request can cost: as many answers as the dearest so far; or as many
 * bytes at the dearest so far, but at least a token for three, as texts differ in length; and a fifth
 * more, as some will be dearer than any before. Before there was one, an answer of the greatest length. */
static double cost_ahead(const silr_chat *c, size_t in_flight)
{
    double n = (double)in_flight + 1;
    silr_usage bytes = {.prompt_tokens = (int64_t)(c->ahead / 3)};
    silr_usage answers = {.completion_tokens = (int64_t)n * silr_request_tokens(c->task, &c->server)};
    double guess = silr_chat_cost(c->task, &bytes), first = silr_chat_cost(c->task, &answers);

    if (isnan(guess)) /* no price */
        return 0;
    if (!(c->rate > 0))
        guess += first;
    return 1.2 * fmax(n * c->dearest, fmax(c->rate * c->ahead, guess));
}

silr_status silr_chat_limits(const silr_chat *c, size_t in_flight, silr_error *err)
{
    const silr_chat_settings *s = &c->task->annotator.chat;
    double ahead = s->max_cost > 0 ? cost_ahead(c, in_flight) : 0;

    if (s->max_requests > 0 && c->sent >= s->max_requests)
        return silr_fail(err, SILR_ELIMIT, "%lld requests were sent, as many as --max-requests allows; "
                         "the answers are kept, the same command goes on", (long long)c->sent);
    if (s->max_time > 0 && silr_now() - c->started >= s->max_time)
        return silr_fail(err, SILR_ELIMIT, "the %g seconds of --max-time are over; the answers are kept, "
                         "the same command goes on", s->max_time);
    if (s->max_cost > 0 && c->spent + ahead > s->max_cost)
        return silr_fail(err, SILR_ELIMIT, "%.6g is spent, and the next answer could bring it over the %.6g of "
                         "--max-cost; the answers are kept, a higher limit goes on", c->spent,
                         s->max_cost);
    return SILR_OK;
}

/* --- what happened on the way -------------------------------------------------------------------- */

void silr_chat_note(silr_chat *c, const char *what)
{
    size_t i = 0;

    while (i < c->n_notes && strcmp(c->note[i].what, what) != 0)
        i++;
    if (i == NOTES)
        return;
    if (i == c->n_notes) {
        snprintf(c->note[i].what, sizeof c->note[i].what, "%s", what);
        c->note[i].n = 0;
        c->n_notes++;
    }
    c->note[i].n++;
}

silr_status silr_chat_notes(silr_chat *c, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; i < c->n_notes && st == SILR_OK; i++)
        if (c->note[i].n > 0)
            st = silr_ledger_count(c->ledger, c->note[i].what, c->note[i].n, err);
    if (st == SILR_OK)
        c->n_notes = 0;
    return st;
}
