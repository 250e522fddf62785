/* ask.c - the loop that asks: as many requests in flight as the server bears, every answer on disk
 * before the next request goes out, every failure either passing or final.
 *
 *   collect   answers that came: into the ledger and to the caller, in one transaction
 *   launch    repetitions that are due, then new items; those the ledger knows cost nothing
 *   claim     what is to be sent, in the same transaction, where a cache is shared (elsewhere.c)
 *   commit    before anything new is sent: what a kill can lose is at most what is in flight
 *   send      all of it
 *   wait      for the network, or for the next repetition
 *
 * The first answers settle what the server can do (learn.c); until then there is one request at a
 * time. Equal requests are asked once: later ones follow the one in flight (flights.c). An item that
 * fails while others are answered has failed for good; if nobody is answered it is the endpoint that
 * fails, and the loop stops with everything kept (doubt.c). */
#include "chat/asking.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { HITS = 500, LAST_WAIT = 5 };

/* --- transactions and stopping ------------------------------------------------------------------- */

silr_status silr_asker_open(silr_asker *a, silr_error *err)
{
    silr_status st = a->open ? SILR_OK : silr_ledger_begin(a->c->ledger, err);
    a->open = a->open || st == SILR_OK;
    return st;
}

static silr_status commit(silr_asker *a, silr_error *err)
{
    silr_status st;

    if (!a->open)
        return SILR_OK;
    if ((st = silr_chat_notes(a->c, err)) != SILR_OK)
        return st;
    a->open = false;
    return silr_ledger_commit(a->c->ledger, err);
}

/* No new requests; what is in flight is waited for. The first reason holds. */
void silr_asker_stop(silr_asker *a, silr_status why, const silr_error *error)
{
    if (a->stopping)
        return;
    a->stopping = true;
    a->why = why;
    a->stopped = silr_now();
    a->error = *error;
}

void silr_asker_stop_peer(silr_asker *a, const char *fmt, ...)
{
    silr_error e = {.status = SILR_EPEER};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    silr_asker_stop(a, SILR_EPEER, &e);
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* Hands an answer, or the reason why there is none, to an item and those that follow it. */
static silr_status deliver(silr_asker *a, const silr_flight *f, const silr_reply *reply,
                           const char *why, silr_error *err)
{
    const silr_chat_job *j = a->job;
    silr_status st = j->answered(j->ctx, f->item, f->sample, reply, &f->id, why, err);

    a->done++;
    for (silr_follower *x = f->followers; x && st == SILR_OK; x = x->next, a->done++)
        st = j->answered(j->ctx, x->item, x->sample, reply, &f->id, why, err);
    return st;
}

static silr_status answer(silr_asker *a, silr_flight *f, const silr_http_reply *r,
                          const silr_reply *reply, silr_error *err)
{
    silr_chat *c = a->c;
    silr_status st = silr_asker_open(a, err);

    c->round_trip = c->round_trip > 0 ? 0.9 * c->round_trip + 0.1 * r->seconds : r->seconds;
    silr_window_good(&a->window);
    c->answers++;
    silr_chat_note(c, "answered");
    if (st == SILR_OK)
        st = silr_chat_keep(c, &f->id, reply, r->body, r->len, f->len, r->seconds, SILR_ORIGIN_LIVE,
                            err);
    if (st == SILR_OK)
        st = deliver(a, f, reply, NULL, err);
    silr_flight_free(a, f);
    return st == SILR_OK ? silr_doubt_over(a, err) : st;
}

silr_status silr_asker_give_up(silr_asker *a, silr_flight *f, const char *why, silr_error *err)
{
    silr_status st = silr_asker_open(a, err);

    silr_chat_note(a->c, "failed");
    if (st == SILR_OK)
        st = deliver(a, f, NULL, why, err);
    if (st == SILR_OK)
        st = silr_flight_unclaim(a, f, err);
    silr_flight_free(a, f);
    return st;
}

/* Again, later; or never, when it was tried often enough and others were answered meanwhile. */
static silr_status again(silr_asker *a, silr_flight *f, const silr_http_reply *r, bool throttled,
                         const char *why, silr_error *err)
{
    double now = silr_now();
    double wait = silr_backoff(f->attempt, silr_rng_double(&a->jitter), r->retry_after);
    bool lived = f->attempt > 1 && a->signs > f->signs; /* since it last failed */

    if (throttled && r->retry_after > 0 && now + r->retry_after > a->hold)
        a->hold = now + fmin(r->retry_after, 600);
    f->signs = a->signs;
    if (f->attempt <= a->c->task->annotator.chat.retries)
        return silr_flight_wait(a, f, now + wait, err);
    if (lived)
        return silr_asker_give_up(a, f, why, err);
    silr_doubt_worn(a, f, why);
    return SILR_OK;
}

/* The server's limits as its headers tell them: at the last request of a window, wait for the next. */
static void heed_limits(silr_asker *a, const silr_http_reply *r)
{
    double now = silr_now();

    if (r->remaining_requests <= 0 && r->reset_requests > 0 && now + r->reset_requests > a->hold)
        a->hold = now + fmin(r->reset_requests, 120);
    if (r->remaining_tokens <= 0 && r->reset_tokens > 0 && now + r->reset_tokens > a->hold)
        a->hold = now + fmin(r->reset_tokens, 120);
}

/* --- one reply ----------------------------------------------------------------------------------- */

/* No request will be answered: the key, the address, the money. */
static silr_status no_use(silr_asker *a, silr_flight *f, int status, const char *why, silr_error *err)
{
    const char *hint = status == 401 || status == 403 ? "; is the key the right one?"
                       : status == 404 ? "; are annotator.url and annotator.model right?" : "";

    silr_asker_stop_peer(a, "%s: %.300s%s", silr_chat_url(a->c->task), why, hint);
    return silr_flight_wait(a, f, silr_now(), err);
}

static silr_fate fate_of(const silr_asker *a, const silr_http_reply *r, const char *code)
{
    if (r->end == SILR_HTTP_DONE)
        return silr_fate_of(r->status, code, a->signs > 0);
    return r->end == SILR_HTTP_TLS && a->signs == 0 ? SILR_FATE_STOP : SILR_FATE_RETRY;
}

static silr_status bad_reply(silr_asker *a, silr_flight *f, const silr_http_reply *r, silr_error *err)
{
    char why[300], code[80], note[60];
    silr_fate fate;
    silr_status st = SILR_OK;

    silr_chat_describe(r, why, code, note);
    silr_chat_note(a->c, note);
    fate = fate_of(a, r, code);
    if (f == a->control)
        return silr_doubt_controlled(a, false, fate == SILR_FATE_RETRY || fate == SILR_FATE_THROTTLE,
                                     why, err);
    if (silr_asker_learn_refusal(a, f, r, &st, err))
        return st;
    if (fate == SILR_FATE_THROTTLE)
        silr_window_bad(&a->window, silr_now(), fmax(a->c->round_trip, 0.2));
    else if (fate == SILR_FATE_RETRY)
        silr_window_poor(&a->window, silr_now(), fmax(a->c->round_trip, 0.2));
    if (fate == SILR_FATE_STOP)
        return no_use(a, f, r->status, why, err);
    if (fate == SILR_FATE_GIVE_UP) {
        if ((st = silr_asker_unlearn(a, err)) == SILR_OK)
            st = silr_doubt_refused(a, f, why, err);
        return st;
    }
    return again(a, f, r, fate == SILR_FATE_THROTTLE, why, err);
}

static silr_status take_reply(silr_asker *a, const silr_http_reply *r, silr_error *err)
{
    silr_flight *f = r->tag;
    silr_reply reply;
    char why[200];
    bool once_more = false;
    silr_status st = SILR_OK;

    a->flying--;
    a->in_the_air -= (double)f->len;
    heed_limits(a, r);
    if (r->end != SILR_HTTP_DONE || r->status != 200)
        return bad_reply(a, f, r, err);
    if (!silr_reply_read(&reply, r->body, r->len, why)) {
        silr_chat_note(a->c, "bad answer");
        return f == a->control ? silr_doubt_controlled(a, false, true, why, err)
                               : again(a, f, r, false, why, err);
    }
    if (f == a->control) {
        silr_reply_clear(&reply);
        return silr_doubt_controlled(a, true, false, NULL, err);
    }
    if (!a->c->known)
        st = silr_asker_learn(a, f, &reply, &once_more, err);
    if (st == SILR_OK && !once_more)
        st = answer(a, f, r, &reply, err);
    silr_reply_clear(&reply);
    return st;
}

static silr_status collect(silr_asker *a, silr_error *err)
{
    silr_http_reply r;
    silr_status st = SILR_OK;

    while (st == SILR_OK && silr_http_next(a->c->http, &r))
        st = take_reply(a, &r, err);
    return st;
}

/* --- launching ----------------------------------------------------------------------------------- */

silr_status silr_asker_from_ledger(silr_asker *a, const silr_flight *f, bool *found, silr_error *err)
{
    silr_chat *c = a->c;
    silr_reply reply;
    char why[200];
    bool good;
    silr_status st = silr_ledger_has(c->ledger, &f->id) ? silr_asker_open(a, err) : SILR_OK;

    *found = false;
    if (!a->open || st != SILR_OK ||
        (st = silr_ledger_find(c->ledger, &f->id, &c->reply, NULL, found, err)) != SILR_OK || !*found)
        return st;
    good = silr_reply_read(&reply, c->reply.data, c->reply.len, why);
    st = deliver(a, f, good ? &reply : NULL, good ? NULL : why, err);
    if (good)
        silr_reply_clear(&reply);
    return st;
}

bool silr_asker_limited(silr_asker *a, size_t len, bool anew)
{
    silr_chat *c = a->c;
    size_t late = anew ? a->n_waiting + a->n_worn : 0; /* theirs is room already spoken for */
    silr_error why = {0};
    silr_status st;

    c->ahead = (anew ? a->on_the_way : a->in_the_air) + (double)len;
    st = silr_chat_limits(c, a->flying + late, &why);
    if (c->task->annotator.chat.max_cost > 0 && a->flying + late > 0) {
        if (!(c->rate > 0)) /* no price seen yet: one at a time */
            return true;
        c->ahead = (double)len;
        if (st != SILR_OK && silr_chat_limits(c, 0, NULL) == SILR_OK)
            return true; /* answers on their way may leave room */
    }
    if (st != SILR_OK && a->n_leaving > 0 && silr_ledger_shares(c->ledger))
        return true; /* others may have claimed what is leaving: nothing is sent then */
    if (st != SILR_OK)
        silr_asker_stop(a, st, &why);
    return st != SILR_OK;
}

bool silr_asker_has_room(silr_asker *a, size_t len)
{
    return (double)(a->flying + 1) <= a->window.size && silr_now() >= a->hold &&
           !silr_asker_limited(a, len, true);
}

silr_status silr_asker_launch(silr_asker *a, size_t item, int sample, bool *hit, bool *full,
                              silr_error *err)
{
    const char *why = NULL;
    bool ready, found = false;
    silr_flight here = {.item = item, .sample = sample}, *f;
    silr_status st;

    *hit = false;
    *full = !a->c->known && a->flying + a->n_waiting + a->n_elsewhere > 0; /* it may turn out that it takes more requests */
    if (*full)
        return SILR_OK;
    *hit = true;
    if ((st = silr_chat_compose(a->c, a->job, item, sample, &here.id, &ready, &why, err)) != SILR_OK)
        return st;
    if (!ready) {
        if ((st = silr_asker_open(a, err)) == SILR_OK)
            st = deliver(a, &here, NULL, why, err);
    } else if ((st = silr_asker_from_ledger(a, &here, &found, err)) != SILR_OK || found) {
        ;
    } else if ((f = silr_flight_find(a, &here.id))) {
        st = silr_flight_follow(f, item, sample, err);
    } else if ((st = silr_elsewhere_new(a, item, sample, &here.id, &found, err)) != SILR_OK || found) {
        ;
    } else {
        *hit = false;
        if ((*full = !silr_asker_has_room(a, a->c->body.len)))
            return SILR_OK; /* the same item again, later */
        f = silr_flight_new(a, item, sample, &here.id);
        st = f ? silr_flight_send(a, f, err) : silr_fail_memory(err);
    }
    return st;
}

static silr_status launch_next(silr_asker *a, bool *hit, bool *full, silr_error *err)
{
    silr_status st = silr_asker_launch(a, a->next, a->sample, hit, full, err);

    if (*full)
        return st;
    if (++a->sample >= a->samples) {
        a->sample = 0;
        a->next++;
    }
    return st;
}

static silr_status launch_waiting(silr_asker *a, silr_error *err)
{
    double now = silr_now();
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < a->n_waiting;) {
        silr_flight *f = a->waiting[i];
        if ((double)(a->flying + 1) > a->window.size || now < a->hold)
            break;
        if (f->due > now) {
            i++;
            continue;
        }
        if (silr_asker_limited(a, f->len, false))
            break;
        a->waiting[i] = a->waiting[--a->n_waiting];
        st = silr_flight_send(a, f, err);
    }
    return st;
}

/* Whether items may be looked at: while the server is being found out, one at a time. */
static bool may_go_on(const silr_asker *a)
{
    return !a->stopping && a->next < a->job->n && (double)a->n_waiting <= a->window.most &&
           !silr_doubt_pauses(a) && !silr_elsewhere_full(a) &&
           (a->c->known || a->flying + a->n_waiting + a->n_elsewhere == 0);
}

static silr_status launch(silr_asker *a, size_t *hits, silr_error *err)
{
    bool full = false, hit;
    silr_status st = SILR_OK;

    *hits = 0;
    if (!a->stopping)
        st = launch_waiting(a, err);
    if (!a->stopping && st == SILR_OK)
        st = silr_elsewhere_look(a, err);
    while (st == SILR_OK && !full && *hits < HITS && may_go_on(a) &&
           ((double)(a->flying + 1) <= a->window.size || *hits > 0)) {
        st = launch_next(a, &hit, &full, err);
        *hits += hit;
    }
    if (!a->stopping && st == SILR_OK)
        st = silr_elsewhere_parked(a, hits, err);
    return st == SILR_OK ? silr_doubt_settle(a, err) : st;
}

/* --- the loop ------------------------------------------------------------------------------------ */

static bool finished(const silr_asker *a)
{
    bool ends = a->stopping && a->why == SILR_EPEER && silr_now() - a->stopped > LAST_WAIT;

    if (a->flying > 0)
        return ends;
    return a->stopping || (a->next >= a->job->n && a->n_waiting + a->n_elsewhere + a->n_worn + a->n_refused +
                                                           a->parked.n + a->looked.n == 0);
}

static double until_next(const silr_asker *a)
{
    double now = silr_now(), soon = 0.5;

    for (size_t i = 0; i < a->n_waiting && !a->stopping; i++)
        soon = fmin(soon, fmax(a->waiting[i]->due, a->hold) - now);
    if (a->hold > now && !a->stopping)
        soon = fmin(soon, a->hold - now);
    if (a->n_elsewhere > 0 && !a->stopping)
        soon = fmin(soon, a->look - now);
    if (a->parked.n > 0 && a->looked.n == 0 && a->next >= a->job->n && !a->stopping)
        soon = fmin(soon, a->park_look - now);
    return soon > 0 ? soon : 0;
}

static void watch_for_cancel(silr_asker *a)
{
    silr_error e = {.status = SILR_ECANCEL};

    if (!silr_cancelled() || a->stopping)
        return;
    snprintf(e.text, sizeof e.text, "interrupted; %llu of %llu answers are there",
             (unsigned long long)a->done, (unsigned long long)a->total);
    if (a->flying > 0)
        silr_log(SILR_LOG_INFO, "waiting for %zu answers in flight", a->flying);
    silr_asker_stop(a, SILR_ECANCEL, &e);
}

static silr_status run(silr_asker *a, silr_error *err)
{
    size_t hits, stayed;
    silr_status st = SILR_OK;

    while (st == SILR_OK && !finished(a)) {
        if ((st = collect(a, err)) != SILR_OK)
            break;
        watch_for_cancel(a);
        silr_ledger_beat(a->c->ledger);
        if ((st = launch(a, &hits, err)) != SILR_OK || (st = silr_leaving_claim(a, &stayed, err)) != SILR_OK ||
            (st = commit(a, err)) != SILR_OK || (st = silr_leaving_send(a, err)) != SILR_OK)
            break;
        silr_progress(a->job->what, a->done, a->total);
        if (!finished(a))
            st = silr_http_wait(a->c->http, hits + stayed > 0 ? 0 : until_next(a), err);
    }
    if (st == SILR_OK && a->c->n_notes > 0) /* also where nothing was answered */
        st = silr_asker_open(a, err);
    return st == SILR_OK ? commit(a, err) : st;
}

static void clear(silr_asker *a)
{
    if (a->open)
        silr_ledger_rollback(a->c->ledger);
    if (a->flying > 0)
        silr_http_drop(a->c->http); /* they borrow the bodies that go now */
    for (size_t b = 0; b < SILR_BUCKETS; b++)
        while (a->bucket[b])
            silr_flight_free(a, a->bucket[b]);
    silr_ledger_leave(a->c->ledger);
    silr_free(a->waiting);
    silr_free(a->leaving);
    silr_free(a->elsewhere);
    silr_free(a->parked.place);
    silr_free(a->looked.place);
}

silr_status silr_chat_ask(silr_chat *c, const silr_chat_job *job, silr_error *err)
{
    silr_asker *a = silr_calloc(1, sizeof *a);
    silr_status st;

    if (!a)
        return silr_fail_memory(err);
    a->c = c;
    a->job = job;
    a->samples = silr_chat_samples(c);
    a->total = (uint64_t)job->n * (uint64_t)a->samples;
    silr_window_init(&a->window, (double)c->task->annotator.chat.concurrency);
    silr_rng_init(&a->jitter, (uint64_t)c->task->seed, SILR_RNG_JITTER, 0, (uint64_t)(silr_now() * 1e6));
    st = run(a, err);
    if (st == SILR_OK && a->stopping) {
        st = a->why;
        if (err)
            *err = a->error;
    }
    clear(a);
    silr_free(a);
    return st;
}
