/* learn.c - finding out what the server can do, from its first answers and refusals.
 *
 * Until that is settled there is one request at a time; its item is asked about again, each time with
 * the request that fits what was learned, until an answer comes that is good enough. */
#include "chat/asking.h"
#include <limits.h>
#include <string.h>

/* --- other words --------------------------------------------------------------------------------- */

/* A text takes so many requests now. */
static void recount(silr_asker *a, int samples)
{
    a->samples = samples;
    a->total = (uint64_t)a->job->n * (uint64_t)samples;
    if (a->sample >= samples) { /* the text at hand has had its one */
        a->sample = 0;
        a->next++;
    }
}

static silr_status compose(silr_asker *a, const silr_flight *f, int sample, silr_ask_id *id,
                           silr_error *err)
{
    bool ready;
    const char *why;

    return silr_chat_compose(a->c, a->job, f->item, sample, id, &ready, &why, err);
}

/* The server does not give several answers at once: the others are asked for one by one, for the
 * flight's item and for those that follow it. */
static silr_status add_samples(silr_asker *a, const silr_flight *f, silr_error *err)
{
    silr_status st = SILR_OK;

    for (int sample = 1; st == SILR_OK && sample < a->samples; sample++) {
        silr_flight *more = NULL;
        silr_ask_id id;
        if ((st = compose(a, f, sample, &id, err)) == SILR_OK &&
            !(more = silr_flight_new(a, f->item, sample, &id)))
            st = silr_fail_memory(err);
        for (silr_follower *x = f->followers; x && st == SILR_OK; x = x->next)
            st = silr_flight_follow(more, x->item, sample, err);
        if (st == SILR_OK)
            st = silr_flight_wait(a, more, silr_now(), err);
    }
    return st;
}

silr_status silr_asker_reword(silr_asker *a, silr_flight *f, silr_error *err)
{
    int samples = silr_chat_samples(a->c);
    bool grows = samples > 1 && !f->sampled;
    silr_ask_id id;
    silr_status st = silr_chat_reword(a->c, err);

    recount(a, samples);
    if (st == SILR_OK)
        st = compose(a, f, f->sample, &id, err);
    if (st == SILR_OK)
        st = silr_flight_reword(a, f, &id, err);
    if (st == SILR_OK)
        st = silr_flight_send(a, f, err);
    return st == SILR_OK && grows ? add_samples(a, f, err) : st;
}

/* --- from answers -------------------------------------------------------------------------------- */

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
    silr_server *s = &a->c->server;

    *once_more = true;
    if (f->wording != a->wording) { /* words of before were answered, too: it is paid for */
        *once_more = f->sampled != (a->samples > 1);
        return *once_more ? silr_asker_reword(a, f, err) : SILR_OK;
    }
    if (!s->reasons && needs_more_tokens(a, reply)) {
        s->reasons = true;
        a->wording++;
    } else if (s->many && reply->n_choices < (size_t)a->c->task->annotator.chat.samples) {
        s->many = false;
        a->wording++;
    } else {
        *once_more = false;
        s->logprobs_come = s->logprobs && reply->choice[0].n_places > 0;
        return settled(a, err);
    }
    return silr_asker_reword(a, f, err);
}

/* --- from refusals ------------------------------------------------------------------------------- */

/* A server that fails with 500 may choke on a parameter, or just have had a bad moment: once more. */
static bool may_pass(const silr_asker *a, const silr_flight *f, int status)
{
    enum { SURE = 3 };
    return status >= 500 && a->c->tried == 0 && f->attempt < SURE &&
           f->attempt <= a->c->task->annotator.chat.retries;
}

/* What was found out in another call may hold no more: while nobody has been answered in this one, a
 * refusal that names a parameter opens it up again. */
static bool learns(silr_asker *a, const silr_http_reply *r)
{
    silr_chat *c = a->c;
    int no_guesses = INT_MAX;

    if ((c->known && a->signs > 0) ||
        !silr_server_learn(&c->server, c->task, r->status, r->body, r->len,
                           c->known ? &no_guesses : &c->tried))
        return false;
    c->known = false;
    a->wording++;
    return true;
}

bool silr_asker_learn_refusal(silr_asker *a, silr_flight *f, const silr_http_reply *r, silr_status *st,
                              silr_error *err)
{
    bool refused = r->status == 400 || r->status == 403 || r->status == 422 || r->status == 501;

    if (r->end != SILR_HTTP_DONE || may_pass(a, f, r->status))
        return false;
    if (f->wording == a->wording ? !learns(a, r) : !refused)
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
    a->wording++;
    recount(a, silr_chat_samples(a->c));
    return silr_chat_reword(a->c, err);
}
