/* learn.c - finding out what the server can do, from its first answers and refusals.
 *
 * Until that is settled there is one request at a time; its item is asked about again, each time with
 * the request that fits what was learned, until an answer comes that is good enough. */
#include "chat/asking.h"
#include <string.h>

/* How many requests a text takes has changed: those of the item at hand begin anew. */
static void recount(silr_asker *a, const silr_flight *f)
{
    int samples = silr_chat_samples(a->c);

    if (samples == a->samples)
        return;
    a->samples = samples;
    a->total = (uint64_t)a->job->n * (uint64_t)samples;
    if (f) { /* nothing was launched behind it */
        a->next = f->item + (samples == 1);
        a->sample = samples == 1 ? 0 : 1;
    }
}

silr_status silr_asker_reword(silr_asker *a, silr_flight *f, silr_error *err)
{
    bool ready;
    const char *why;
    silr_ask_id id;
    silr_status st = silr_chat_reword(a->c, err);

    recount(a, f);
    if (st == SILR_OK)
        st = silr_chat_compose(a->c, a->job, f->item, f->sample, &id, &ready, &why, err);
    if (st == SILR_OK)
        st = silr_flight_reword(a, f, &id, err);
    return st == SILR_OK ? silr_flight_send(a, f, err) : st;
}

static silr_status settled(silr_asker *a, silr_error *err)
{
    silr_chat *c = a->c;
    silr_buf words = {0};
    silr_status st;

    c->known = true;
    silr_server_tell(&c->server, c->task, &words);
    if (words.data)
        silr_log(SILR_LOG_INFO, "%s at %s: %s", c->task->annotator.chat.model, silr_chat_url(c->task),
                 words.data);
    silr_buf_clear(&words);
    if ((st = silr_asker_open(a, err)) != SILR_OK)
        return st;
    return silr_chat_remember(c, err);
}

/* It thinks before it answers; or it was cut off in what nobody can read as an answer, which thoughts
 * without a mark look like. */
static bool needs_more_tokens(const silr_asker *a, const silr_reply *reply)
{
    const silr_choice *c = &reply->choice[0];
    const char *reason;

    if (reply->reasoned)
        return true;
    return strcmp(c->finish, "length") == 0 && a->c->task->annotator.chat.max_tokens == 0 &&
           silr_answer_label(a->c->task, c, &reason) == SILR_NO_LABEL;
}

silr_status silr_asker_learn(silr_asker *a, silr_flight *f, const silr_reply *reply, bool *once_more,
                             silr_error *err)
{
    silr_chat *c = a->c;

    *once_more = true;
    if (!c->server.reasons && needs_more_tokens(a, reply)) {
        c->server.reasons = true;
    } else if (c->server.many && reply->n_choices < (size_t)c->task->annotator.chat.samples) {
        c->server.many = false;
    } else {
        *once_more = false;
        c->server.logprobs_come = c->server.logprobs && reply->choice[0].n_places > 0;
        return settled(a, err);
    }
    return silr_asker_reword(a, f, err);
}

/* A server that fails with 500 may choke on a parameter, or just have had a bad moment: once more. */
static bool may_pass(const silr_asker *a, const silr_flight *f, int status)
{
    enum { SURE = 3 };
    return status >= 500 && a->c->tried == 0 && f->attempt < SURE &&
           f->attempt <= a->c->task->annotator.chat.retries;
}

bool silr_asker_learn_refusal(silr_asker *a, silr_flight *f, const silr_http_reply *r, silr_status *st,
                              silr_error *err)
{
    silr_chat *c = a->c;

    if (r->end != SILR_HTTP_DONE || may_pass(a, f, r->status) ||
        !silr_server_learn(&c->server, c->task, r->status, r->body, r->len, &c->tried))
        return false;
    *st = silr_asker_reword(a, f, err);
    return true;
}

silr_status silr_asker_unlearn(silr_asker *a, silr_error *err)
{
    a->c->tried = 0;
    if (a->c->known)
        return SILR_OK;
    a->c->server = silr_server_hopes(a->c->task);
    recount(a, NULL);
    return silr_chat_reword(a->c, err);
}
