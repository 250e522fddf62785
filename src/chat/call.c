/* call.c - one request at a time, as the Batch API wants them: sent, waited for, and sent again while
 * its failure may pass. */
#include "chat/batch.h"
#include <math.h>
#include <string.h>

void silr_chat_describe(const silr_http_reply *r, char why[300], char code[80], char note[60])
{
    static const char *const ends[] = {"",        "no connection",     "TLS failed",
                                       "timeout", "connection broken", "answer too long"};
    char what[200];

    code[0] = '\0';
    if (r->end != SILR_HTTP_DONE) {
        snprintf(why, 300, "%s (%.200s)", ends[r->end], r->why);
        snprintf(note, 60, "%s", ends[r->end]);
        return;
    }
    silr_reply_error(r->body, r->len, what, code);
    if (r->status >= 300 && r->status < 400)
        snprintf(why, 300, "HTTP %d: it redirects to %.200s, which is not followed", r->status,
                 r->location[0] ? r->location : "nowhere");
    else
        snprintf(why, 300, "HTTP %d%s%.200s", r->status, what[0] ? ": " : "", what);
    snprintf(note, 60, "HTTP %d", r->status);
}

silr_status silr_call_url(const batcher *b, silr_buf *out, const char *path, const char *query,
                          silr_error *err)
{
    silr_buf_reset(out);
    silr_request_url(b->base.data, path, out);
    if (query && !out->failed)
        silr_buf_printf(out, "%c%s", strchr(out->data, '?') ? '&' : '?', query);
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}

silr_status silr_call_may_wait(const silr_chat *c, silr_error *err)
{
    double most = c->task->annotator.chat.max_time;

    if (silr_cancelled())
        return silr_fail(err, SILR_ECANCEL, "interrupted");
    if (most > 0 && silr_now() - c->started >= most)
        return silr_fail(err, SILR_ELIMIT, "the %g seconds of --max-time are over", most);
    return SILR_OK;
}

silr_status silr_call_pause(silr_chat *c, double seconds, silr_error *err)
{
    double until = silr_now() + seconds, now;
    silr_status st;

    while ((st = silr_call_may_wait(c, err)) == SILR_OK && (now = silr_now()) < until) {
        silr_ledger_beat(c->ledger);
        if ((st = silr_http_wait(c->http, fmin(until - now, 0.5), err)) != SILR_OK)
            break;
    }
    return st;
}

silr_status silr_call_once(silr_chat *c, const silr_http_request *r, bool firm,
                           silr_http_reply *out, silr_error *err)
{
    silr_status st = silr_http_send(c->http, r, NULL, err);

    while (st == SILR_OK && !silr_http_next(c->http, out)) {
        silr_ledger_beat(c->ledger);
        if (firm || (st = silr_call_may_wait(c, err)) == SILR_OK)
            st = silr_http_wait(c->http, 0.5, err);
    }
    if (st != SILR_OK)
        silr_http_drop(c->http);
    return st;
}

silr_status silr_call_judge(silr_chat *c, const silr_http_request *r, const silr_http_reply *reply,
                            bool read, int attempt, bool *again, silr_error *err)
{
    char why[300], code[80], note[60];
    bool good = reply->end == SILR_HTTP_DONE && reply->status / 100 == 2;
    bool passes = reply->end != SILR_HTTP_DONE || good;
    const char *hint = "";

    *again = false;
    if (good && read)
        return SILR_OK;
    silr_chat_describe(reply, why, code, note);
    if (good)
        snprintf(why, sizeof why, "the answer is not what was asked for");
    silr_chat_note(c, good ? "bad answer" : note);
    if (!passes) {
        silr_fate fate = silr_fate_of(reply->status, code, false);
        passes = fate == SILR_FATE_RETRY || fate == SILR_FATE_THROTTLE;
    }
    if (passes && attempt <= c->task->annotator.chat.retries) {
        *again = true;
        return silr_call_pause(c, silr_backoff(attempt, 0.5, reply->retry_after), err);
    }
    if (reply->status == 401 || reply->status == 403)
        hint = "; is the key the right one?";
    else if (strcmp(r->method, "POST") == 0 &&
             (reply->status == 404 || reply->status == 405 || reply->status == 501))
        hint = "; it seems to have no Batch API: --set annotator.batch=false asks without";
    return silr_fail(err, SILR_EPEER, "%s %.300s: %s%s", r->method, r->url, why, hint);
}

json_t *silr_call_json(const silr_http_reply *reply)
{
    bool good = reply->end == SILR_HTTP_DONE && reply->status / 100 == 2 && reply->body;
    return good ? json_loadb(reply->body, reply->len, 0, NULL) : NULL;
}

silr_status silr_call_get(silr_chat *c, const char *url, size_t most, silr_http_reply *reply,
                          json_t **out, silr_error *err)
{
    silr_http_request r = {.method = "GET", .url = url, .max_body = most};
    bool again = true;
    silr_status st = SILR_OK;

    *out = NULL;
    for (int attempt = 1; again && st == SILR_OK; attempt++) {
        if ((st = silr_call_once(c, &r, false, reply, err)) != SILR_OK)
            break;
        *out = silr_call_json(reply);
        st = silr_call_judge(c, &r, reply, *out != NULL, attempt, &again, err);
    }
    return st;
}
