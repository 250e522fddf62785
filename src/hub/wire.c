/* wire.c - one question to the hub: redirects, who may see the token, what may pass and what not.
 *
 * A hub answers a request for a large file with the address of another server, good for minutes. So
 * every try begins at the hub anew. The token goes to the hub's own scheme, host and port; once a
 * request has left them it is not sent again, wherever the way leads. */
#include "hub/inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HOPS = 10, TRIES = 5, LONGEST_WAIT = 600, ANSWER_MOST = 32 << 20 };

/* --- life ---------------------------------------------------------------------------------------- */

silr_status silr_hub_wire_open(silr_hub_wire *w, const silr_hub *h, silr_error *err)
{
    silr_http_opts o = {.connect_timeout = h->connect_timeout, .timeout = h->timeout,
                        .max_body = ANSWER_MOST, .max_connections = 4, .secret = h->token};
    silr_status st;

    *w = (silr_hub_wire){.hub = h};
    if ((st = silr_http_new(&w->http, &o, err)) != SILR_OK)
        return st;
    if (h->token && !(w->auth = silr_hub_path("Authorization: Bearer %s", h->token))) {
        silr_hub_wire_close(w);
        return silr_fail_memory(err);
    }
    return SILR_OK;
}

void silr_hub_wire_close(silr_hub_wire *w)
{
    if (w->auth)
        explicit_bzero(w->auth, strlen(w->auth));
    silr_free(w->auth);
    silr_http_free(w->http);
    silr_buf_clear(&w->url);
    silr_buf_clear(&w->next);
    *w = (silr_hub_wire){0};
}

/* --- one hop ------------------------------------------------------------------------------------- */

typedef struct {
    const silr_hub_ask *ask;
    silr_hub_head *head;
} hop;

static void on_header(void *ctx, const char *line, size_t len)
{
    silr_hub_head_line(((hop *)ctx)->head, line, len);
}

static bool on_bytes(void *ctx, const char *bytes, size_t len)
{
    const hop *h = ctx;
    return h->ask->sink(h->ask->ctx, h->head, bytes, len);
}

static silr_status wait_for(silr_hub_wire *w, silr_http_reply *reply, silr_error *err)
{
    silr_status st = SILR_OK;

    while (st == SILR_OK && !silr_http_next(w->http, reply))
        st = silr_cancelled() ? silr_fail(err, SILR_ECANCEL, "interrupted")
                              : silr_http_wait(w->http, 0.3, err);
    if (st != SILR_OK)
        silr_http_drop(w->http);
    return st;
}

static silr_status send_hop(silr_hub_wire *w, const silr_hub_ask *ask, bool with_token,
                            silr_hub_head *head, silr_http_reply *reply, silr_error *err)
{
    enum { PAGE = 1 << 16 }; /* of a server that has something else to say */
    hop h = {ask, head};
    char range[60];
    const char *lines[4] = {"Accept-Encoding: identity"};
    size_t n = 1;
    silr_http_request r = {.method = ask->method, .url = w->url.data, .headers = lines,
                           .as_it_is = true, .header = on_header, .ctx = &h};
    silr_status st;

    if (ask->from > 0) {
        snprintf(range, sizeof range, "Range: bytes=%lld-", (long long)ask->from);
        lines[n++] = range;
    }
    if (with_token)
        lines[n++] = w->auth;
    lines[n] = NULL;
    if (ask->sink) {
        r.sink = on_bytes;
        r.max_body = (size_t)ask->size + PAGE; /* also a whole file where a part was asked for */
    }
    *head = (silr_hub_head){.linked_size = -1, .length = -1, .first = -1, .total = -1};
    if ((st = silr_http_send(w->http, &r, NULL, err)) != SILR_OK)
        return st;
    return wait_for(w, reply, err);
}

/* --- what an answer means ------------------------------------------------------------------------ */

/* The address without what is behind '?', which may be a key of its own. */
static void place(const silr_hub_wire *w, char out[200])
{
    snprintf(out, 200, "%.*s", (int)strcspn(w->url.data, "?"), w->url.data);
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p == 127)
            *p = '?';
}

/* {"error": "..."} of an answer, made printable; "" where there is none. */
static void said(const silr_http_reply *reply, char out[220])
{
    json_t *root = reply->body ? json_loadb(reply->body, reply->len, 0, NULL) : NULL;
    const char *error = json_string_value(json_object_get(root, "error"));

    out[0] = '\0';
    if (error)
        snprintf(out, 220, ": %.200s", error);
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p == 127)
            *p = ' ';
    json_decref(root);
}

static silr_status no_answer(const silr_hub_wire *w, const silr_hub_ask *ask,
                             const silr_http_reply *reply, bool *again, silr_error *err)
{
    static const char *const ends[] = {"", "no connection", "TLS failed", "no answer in time",
                                       "the connection broke", "the answer is too long"};
    char at[200];

    place(w, at);
    *again = reply->end != SILR_HTTP_TLS && reply->end != SILR_HTTP_TOO_LARGE;
    return silr_fail(err, SILR_EPEER, "%s: %s: %s (%s)", ask->what, at, ends[reply->end], reply->why);
}

static bool may_pass(int status, bool elsewhere)
{
    return status == 408 || status == 416 || status == 425 || status == 429 || status >= 500 ||
           (elsewhere && (status == 401 || status == 403)); /* the address has grown old */
}

static silr_status refused(const silr_hub_wire *w, const silr_hub_ask *ask,
                           const silr_http_reply *reply, bool elsewhere, bool *again, silr_error *err)
{
    char at[200], words[220];
    int status = reply->status;
    const char *hint = "";

    place(w, at);
    said(reply, words);
    *again = may_pass(status, elsewhere);
    if (status == 404 && !elsewhere)
        return silr_fail(err, SILR_EINPUT, "%s: the hub %s has no such model, revision or file%s",
                         ask->what, w->hub->endpoint, words);
    if ((status == 401 || status == 403) && !elsewhere)
        hint = w->auth ? "; does HF_TOKEN allow it? Some models ask for a consent on their page first"
                       : "; there is no such model, or it takes a token: set HF_TOKEN";
    return silr_fail(err, SILR_EPEER, "%s: %s: HTTP %d%s%s", ask->what, at, status, words, hint);
}

/* What an earlier hop said of the file holds where the last says nothing; of the hub's own word the
 * first counts. The plain ETag of a redirect is not the file's. */
static void remember(silr_hub_head *known, const silr_hub_head *h)
{
    if (h->linked ? !known->linked : !known->etag[0] && h->status / 100 == 2) {
        memcpy(known->etag, h->etag, sizeof known->etag);
        known->linked = h->linked;
    }
    if (known->linked_size < 0)
        known->linked_size = h->linked_size;
    if (!known->commit[0])
        memcpy(known->commit, h->commit, sizeof known->commit);
}

static void tell_known(silr_hub_head *head, const silr_hub_head *known)
{
    memcpy(head->etag, known->etag, sizeof head->etag);
    memcpy(head->commit, known->commit, sizeof head->commit);
    head->linked = known->linked;
    head->linked_size = known->linked_size;
}

/* To where the answer points: w->url. */
static silr_status go_on(silr_hub_wire *w, const silr_hub_ask *ask, const silr_hub_head *head,
                         silr_error *err)
{
    char at[200];
    silr_buf swap;

    place(w, at);
    if (head->too_long)
        return silr_fail(err, SILR_EPEER, "%s: %s redirects to an address that is too long", ask->what, at);
    if (!silr_http_follow(&w->next, w->url.data, head->location))
        return w->next.failed ? silr_fail_memory(err)
                              : silr_fail(err, SILR_EPEER, "%s: %s redirects to where silr does not go: "
                                          "no address of a file, or not encrypted any more", ask->what, at);
    swap = w->url;
    w->url = w->next;
    w->next = swap;
    return SILR_OK;
}

static silr_status hops(silr_hub_wire *w, const silr_hub_ask *ask, silr_hub_head *head,
                        silr_http_reply *reply, bool *again, silr_error *err)
{
    silr_hub_head known = {.linked_size = -1};
    bool home = true;
    silr_status st;

    for (int i = 0; i < HOPS; i++) {
        home = home && silr_http_same_origin(w->url.data, w->hub->endpoint);
        if ((st = send_hop(w, ask, home && w->auth, head, reply, err)) != SILR_OK)
            return st;
        if (home)
            remember(&known, head);
        if (reply->end != SILR_HTTP_DONE)
            st = no_answer(w, ask, reply, again, err);
        else if (reply->status / 100 == 3 && head->moved) {
            bool told = strcmp(ask->method, "HEAD") == 0 && known.linked && known.linked_size >= 0;
            if (!told && (st = go_on(w, ask, head, err)) == SILR_OK)
                continue;
        } else if (reply->status / 100 != 2)
            st = refused(w, ask, reply, !home, again, err);
        tell_known(head, &known);
        return st;
    }
    return silr_fail(err, SILR_EPEER, "%s: the hub redirects in a circle, or more than %d times", ask->what,
                     HOPS);
}

silr_status silr_hub_once(silr_hub_wire *w, const silr_hub_ask *ask, silr_hub_head *head,
                          silr_http_reply *reply, bool *again, silr_error *err)
{
    silr_status st;

    *again = false;
    silr_buf_reset(&w->url);
    silr_buf_puts(&w->url, ask->url);
    if (w->url.failed)
        return silr_fail_memory(err);
    *reply = (silr_http_reply){.retry_after = (double)NAN};
    st = hops(w, ask, head, reply, again, err);
    if (st != SILR_OK && err && w->hub->token) /* whatever it was that a server sent back */
        silr_http_redact(err->text, strlen(err->text), w->hub->token);
    return st;
}

/* --- patience ------------------------------------------------------------------------------------ */

silr_status silr_hub_pause(silr_hub_wire *w, int failed, double retry_after, silr_error *err)
{
    double wait = w->hub->pause * exp2(failed < 7 ? failed - 1 : 6), until;
    silr_status st;

    if (failed >= TRIES)
        return SILR_EPEER;
    if (retry_after > LONGEST_WAIT) {
        silr_log(SILR_LOG_WARN, "the hub asks to be left alone for %.0f minutes", retry_after / 60);
        return SILR_EPEER;
    }
    if (retry_after >= 0)
        wait = fmax(retry_after, w->hub->pause);
    if (err)
        silr_log(SILR_LOG_INFO, "%s; try %d of %d in %.1f s", err->text, failed + 1, (int)TRIES, wait);
    for (until = silr_now() + wait; silr_now() < until;) {
        if (silr_cancelled())
            return silr_fail(err, SILR_ECANCEL, "interrupted");
        if ((st = silr_http_wait(w->http, fmin(until - silr_now(), 0.3), err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

silr_status silr_hub_ask_patiently(silr_hub_wire *w, const silr_hub_ask *ask, silr_hub_head *head,
                                   silr_http_reply *reply, silr_error *err)
{
    bool again;
    silr_status st = silr_hub_once(w, ask, head, reply, &again, err), pause = SILR_OK;

    for (int failed = 1; st != SILR_OK && again; failed++) {
        if ((pause = silr_hub_pause(w, failed, reply->retry_after, err)) != SILR_OK)
            return pause == SILR_EPEER ? st : pause;
        st = silr_hub_once(w, ask, head, reply, &again, err);
    }
    return st;
}
