/* ask.c - the loop that asks: as many requests in flight as the server bears, every answer on disk
 * before the next request goes out, every failure either passing or final.
 *
 *   collect   answers that came: into the ledger and to the caller, in one transaction
 *   commit    before anything new is sent: what a kill can lose is at most what is in flight
 *   launch    repetitions that are due, then new items; those the ledger knows cost nothing
 *   wait      for the network, or for the next repetition
 *
 * The first answers settle what the server can do (server.c); until then there is one request at a
 * time. Equal requests are asked once: later ones follow the one in flight. An item that fails while
 * others are answered has failed for good; if nobody is answered it is the endpoint that fails, and
 * the loop stops with everything kept (the circuit breaker). */
#include "chat/inside.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { BUCKETS = 1024, HITS = 500, GIVE_UPS = 10, LAST_WAIT = 5 };

typedef struct follower follower;
struct follower {
    follower *next;
    size_t item;
    int sample;
};

typedef struct flight flight;
struct flight {
    flight *next;  /* in the bucket of its id */
    size_t item;
    int sample, attempt;
    silr_ask_id id;
    char *body;
    size_t len;
    double due;
    int64_t answers; /* of the call, when it first failed */
    follower *followers;
};

typedef struct {
    silr_chat *c;
    const silr_chat_job *job;
    size_t next;       /* item to ask next */
    int sample, samples;
    flight *bucket[BUCKETS];
    flight **waiting;  /* for their next attempt */
    size_t n_waiting, cap_waiting, flying;
    silr_window window;
    double hold;       /* no request before this */
    uint64_t done, total;
    int give_ups;      /* refused requests while nobody has been answered */
    bool open;         /* a transaction is */
    bool stopping;
    silr_status why;   /* it stops */
    double stopped;
    silr_error error;
    silr_rng jitter;
} asker;

/* --- flights ------------------------------------------------------------------------------------- */

static flight **bucket_of(asker *a, const silr_ask_id *id)
{
    return &a->bucket[silr_ask_id_short(id) % BUCKETS];
}

static flight *find_flight(asker *a, const silr_ask_id *id)
{
    flight *f = *bucket_of(a, id);
    while (f && memcmp(f->id.bytes, id->bytes, sizeof id->bytes) != 0)
        f = f->next;
    return f;
}

static void unlink_flight(asker *a, flight *f)
{
    flight **p = bucket_of(a, &f->id);
    while (*p && *p != f)
        p = &(*p)->next;
    if (*p)
        *p = f->next;
}

static void link_flight(asker *a, flight *f)
{
    flight **b = bucket_of(a, &f->id);
    f->next = *b;
    *b = f;
}

static void free_flight(asker *a, flight *f)
{
    unlink_flight(a, f);
    while (f->followers) {
        follower *x = f->followers;
        f->followers = x->next;
        silr_free(x);
    }
    silr_free(f->body);
    silr_free(f);
}

static bool take_body(flight *f, const silr_buf *body)
{
    silr_free(f->body);
    f->body = silr_strndup(body->data, body->len);
    f->len = body->len;
    return f->body != NULL;
}

static silr_status send_flight(asker *a, flight *f, silr_error *err)
{
    silr_http_request r = {.method = "POST", .url = a->c->url.data, .body = f->body, .len = f->len};
    silr_status st = silr_http_send(a->c->http, &r, f, err);

    if (st != SILR_OK)
        return st;
    a->flying++;
    a->c->sent++;
    silr_chat_note(a->c, f->attempt > 0 ? "sent again" : "sent");
    f->attempt++;
    return SILR_OK;
}

static silr_status wait_until(asker *a, flight *f, double due, silr_error *err)
{
    f->due = due;
    if (!silr_grow(&a->waiting, &a->cap_waiting, a->n_waiting + 1, sizeof *a->waiting))
        return silr_fail_memory(err);
    a->waiting[a->n_waiting++] = f;
    return SILR_OK;
}

/* --- transactions and stopping ------------------------------------------------------------------- */

static silr_status open_up(asker *a, silr_error *err)
{
    silr_status st = a->open ? SILR_OK : silr_ledger_begin(a->c->ledger, err);
    a->open = a->open || st == SILR_OK;
    return st;
}

static silr_status commit(asker *a, silr_error *err)
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
static void stop(asker *a, silr_status why, const silr_error *error)
{
    if (a->stopping)
        return;
    a->stopping = true;
    a->why = why;
    a->stopped = silr_now();
    a->error = *error;
}

__attribute__((format(printf, 2, 3))) static void stop_peer(asker *a, const char *fmt, ...)
{
    silr_error e = {.status = SILR_EPEER};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    stop(a, SILR_EPEER, &e);
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* Hands an answer, or the reason why there is none, to an item and those that follow it. */
static silr_status deliver(asker *a, const flight *f, const silr_reply *reply, const char *why,
                           silr_error *err)
{
    const silr_chat_job *j = a->job;
    silr_status st = j->answered(j->ctx, f->item, f->sample, reply, &f->id, why, err);

    a->done++;
    for (follower *x = f->followers; x && st == SILR_OK; x = x->next, a->done++)
        st = j->answered(j->ctx, x->item, x->sample, reply, &f->id, why, err);
    return st;
}

static silr_status answer(asker *a, flight *f, const silr_http_reply *r, const silr_reply *reply,
                          silr_error *err)
{
    silr_chat *c = a->c;
    silr_status st = open_up(a, err);

    c->round_trip = c->round_trip > 0 ? 0.9 * c->round_trip + 0.1 * r->seconds : r->seconds;
    silr_window_good(&a->window);
    c->answers++;
    silr_chat_note(c, "answered");
    if (st == SILR_OK)
        st = silr_chat_keep(c, &f->id, reply, r->body, r->len, f->len, r->seconds, SILR_ORIGIN_LIVE,
                            err);
    if (st == SILR_OK)
        st = deliver(a, f, reply, NULL, err);
    free_flight(a, f);
    return st;
}

static silr_status give_up(asker *a, flight *f, const char *why, silr_error *err)
{
    silr_status st = open_up(a, err);

    silr_chat_note(a->c, "failed");
    if (st == SILR_OK)
        st = deliver(a, f, NULL, why, err);
    free_flight(a, f);
    if (a->c->answers == 0 && ++a->give_ups >= GIVE_UPS)
        stop_peer(a, "%s: %d requests were refused and none was answered: %.300s",
                  silr_chat_url(a->c->task), a->give_ups, why);
    return st;
}

/* Again, later; or never, when it was tried often enough. */
static silr_status again(asker *a, flight *f, const silr_http_reply *r, bool throttled,
                         const char *why, silr_error *err)
{
    double now = silr_now();
    double wait = silr_backoff(f->attempt, silr_rng_double(&a->jitter), r->retry_after);

    if (throttled && r->retry_after > 0 && now + r->retry_after > a->hold)
        a->hold = now + fmin(r->retry_after, 600);
    if (f->attempt == 1)
        f->answers = a->c->answers;
    if (f->attempt <= a->c->task->annotator.chat.retries)
        return wait_until(a, f, now + wait, err);
    if (a->c->answers > f->answers)
        return give_up(a, f, why, err);
    stop_peer(a, "%s answers nobody: %.300s (%d attempts in %.0f s); what was answered is kept, the same "
              "command goes on", silr_chat_url(a->c->task), why, f->attempt,
              now - a->c->started);
    return wait_until(a, f, now + wait, err);
}

/* The server's limits as its headers tell them: at the last request of a window, wait for the next. */
static void heed_limits(asker *a, const silr_http_reply *r)
{
    double now = silr_now();

    if (r->remaining_requests <= 0 && r->reset_requests > 0 && now + r->reset_requests > a->hold)
        a->hold = now + fmin(r->reset_requests, 120);
    if (r->remaining_tokens <= 0 && r->reset_tokens > 0 && now + r->reset_tokens > a->hold)
        a->hold = now + fmin(r->reset_tokens, 120);
}

/* --- finding out what the server can do ---------------------------------------------------------- */

/* The same item once more, with the request that the server's description asks for now. */
static silr_status ask_anew(asker *a, flight *f, silr_error *err)
{
    bool ready;
    const char *why;
    silr_status st = silr_chat_reword(a->c, err);

    unlink_flight(a, f);
    if (st == SILR_OK)
        st = silr_chat_compose(a->c, a->job, f->item, f->sample, &f->id, &ready, &why, err);
    if (st == SILR_OK && !take_body(f, &a->c->body))
        st = silr_fail_memory(err);
    link_flight(a, f);
    return st == SILR_OK ? send_flight(a, f, err) : st;
}

/* Where a request brings one answer after all, its item has more requests to come. */
static void count_samples(asker *a, const flight *f)
{
    int samples = silr_chat_samples(a->c);

    if (samples > a->samples) {
        a->next = f->item;
        a->sample = f->sample + 1;
    }
    a->samples = samples;
    a->total = (uint64_t)a->job->n * (uint64_t)samples;
}

/* *again: the answer is not good enough yet. */
static silr_status learn_from_answer(asker *a, const flight *f, const silr_reply *reply,
                                     bool *once_more, silr_error *err)
{
    silr_chat *c = a->c;
    silr_buf words = {0};
    silr_status st;

    *once_more = false;
    if (reply->reasoned && !c->server.reasons) {
        c->server.reasons = *once_more = true;
        return SILR_OK;
    }
    c->server.logprobs_come = c->server.logprobs && reply->choice[0].n_places > 0;
    if (c->server.many && reply->n_choices < (size_t)c->task->annotator.chat.samples) {
        c->server.many = false;
        *once_more = true;
        count_samples(a, f);
        return SILR_OK;
    }
    c->known = true;
    silr_server_tell(&c->server, c->task, &words);
    if (words.data)
        silr_log(SILR_LOG_INFO, "%s at %s: %s", c->task->annotator.chat.model, silr_chat_url(c->task),
                 words.data);
    silr_buf_clear(&words);
    if ((st = open_up(a, err)) != SILR_OK)
        return st;
    return silr_chat_remember(c, err);
}

/* true: the request was changed and is under way again. */
static bool learn_from_refusal(asker *a, flight *f, const silr_http_reply *r, silr_status *st,
                               silr_error *err)
{
    if (r->end != SILR_HTTP_DONE ||
        !silr_server_learn(&a->c->server, a->c->task, r->status, r->body, r->len, &a->c->tried))
        return false;
    count_samples(a, f);
    *st = ask_anew(a, f, err);
    return true;
}

/* --- one reply ----------------------------------------------------------------------------------- */

static silr_status bad_reply(asker *a, flight *f, const silr_http_reply *r, silr_error *err)
{
    char why[300], code[80], note[60];
    silr_fate fate;
    silr_status st = SILR_OK;

    silr_chat_describe(r, why, code, note);
    silr_chat_note(a->c, note);
    if (!a->c->known && learn_from_refusal(a, f, r, &st, err))
        return st;
    fate = r->end == SILR_HTTP_DONE ? silr_fate_of(r->status, code, a->c->answers > 0)
           : r->end == SILR_HTTP_TLS && a->c->answers == 0 ? SILR_FATE_STOP
                                                           : SILR_FATE_RETRY;
    if (fate == SILR_FATE_THROTTLE || (fate == SILR_FATE_RETRY && r->status != 408))
        silr_window_bad(&a->window, silr_now(), fmax(a->c->round_trip, 0.2));
    if (fate == SILR_FATE_STOP) {
        const char *hint = r->status == 401 || r->status == 403 ? "; is the key the right one?"
                           : r->status == 404 ? "; are annotator.url and annotator.model right?" : "";
        stop_peer(a, "%s: %.300s%s", silr_chat_url(a->c->task), why, hint);
        return wait_until(a, f, silr_now(), err);
    }
    if (fate == SILR_FATE_GIVE_UP) {
        a->c->tried = 0;
        if (!a->c->known) { /* it is this text that it does not want: begin again with the next */
            a->c->server = silr_server_hopes(a->c->task);
            if ((st = silr_chat_reword(a->c, err)) != SILR_OK)
                return st;
        }
        return give_up(a, f, why, err);
    }
    return again(a, f, r, fate == SILR_FATE_THROTTLE, why, err);
}

static silr_status take_reply(asker *a, const silr_http_reply *r, silr_error *err)
{
    flight *f = r->tag;
    silr_reply reply;
    char why[200];
    bool once_more = false;
    silr_status st = SILR_OK;

    a->flying--;
    heed_limits(a, r);
    if (r->end != SILR_HTTP_DONE || r->status != 200)
        return bad_reply(a, f, r, err);
    if (!silr_reply_read(&reply, r->body, r->len, why)) {
        silr_chat_note(a->c, "bad answer");
        return again(a, f, r, false, why, err);
    }
    if (!a->c->known)
        st = learn_from_answer(a, f, &reply, &once_more, err);
    if (st == SILR_OK && once_more)
        st = ask_anew(a, f, err);
    else if (st == SILR_OK)
        st = answer(a, f, r, &reply, err);
    silr_reply_clear(&reply);
    return st;
}

static silr_status collect(asker *a, silr_error *err)
{
    silr_http_reply r;
    silr_status st = SILR_OK;

    while (st == SILR_OK && silr_http_next(a->c->http, &r))
        st = take_reply(a, &r, err);
    return st;
}

/* --- launching ----------------------------------------------------------------------------------- */

/* The answer that the ledger has for what was just composed. */
static silr_status from_ledger(asker *a, size_t item, int sample, const silr_ask_id *id, bool *found,
                               silr_error *err)
{
    silr_chat *c = a->c;
    silr_reply reply;
    char why[200];
    bool good;
    flight f = {.item = item, .sample = sample, .id = *id};
    silr_status st = silr_ledger_has(c->ledger, id) ? open_up(a, err) : SILR_OK;

    *found = false;
    if (!a->open || st != SILR_OK ||
        (st = silr_ledger_find(c->ledger, id, &c->reply, NULL, found, err)) != SILR_OK || !*found)
        return st;
    good = silr_reply_read(&reply, c->reply.data, c->reply.len, why);
    st = deliver(a, &f, good ? &reply : NULL, good ? NULL : why, err);
    if (good)
        silr_reply_clear(&reply);
    return st;
}

static silr_status follow(flight *f, size_t item, int sample, silr_error *err)
{
    follower *x = silr_alloc(1, sizeof *x);

    if (!x)
        return silr_fail_memory(err);
    *x = (follower){f->followers, item, sample};
    f->followers = x;
    return SILR_OK;
}

static silr_status new_flight(asker *a, size_t item, int sample, const silr_ask_id *id,
                              silr_error *err)
{
    flight *f = silr_calloc(1, sizeof *f);

    if (!f || !take_body(f, &a->c->body)) {
        silr_free(f);
        return silr_fail_memory(err);
    }
    f->item = item;
    f->sample = sample;
    f->id = *id;
    link_flight(a, f);
    return send_flight(a, f, err);
}

static bool limited(asker *a)
{
    silr_error why = {0};
    silr_status st = silr_chat_limits(a->c, a->flying + a->n_waiting, &why);

    /* A budget without a price seen yet: one at a time. Answers on their way may leave room. */
    if (a->c->task->annotator.chat.max_cost > 0 && a->flying > 0 &&
        (!(a->c->dearest > 0) || (st != SILR_OK && silr_chat_limits(a->c, 0, NULL) == SILR_OK)))
        return true;
    if (st != SILR_OK)
        stop(a, st, &why);
    return st != SILR_OK;
}

/* The next item: from the ledger, behind an equal one, or on its way. *hit: nothing was sent. */
static silr_status launch_next(asker *a, bool *hit, bool *full, silr_error *err)
{
    size_t item = a->next;
    int sample = a->sample;
    const char *why = NULL;
    bool ready, found = false;
    silr_ask_id id;
    flight *f;
    silr_status st;

    *hit = false;
    *full = !a->c->known && a->flying + a->n_waiting > 0; /* it may turn out that it takes more requests */
    if (*full)
        return SILR_OK;
    *hit = true;
    if ((st = silr_chat_compose(a->c, a->job, item, sample, &id, &ready, &why, err)) != SILR_OK)
        return st;
    if (!ready) {
        flight none = {.item = item, .sample = sample, .id = id};
        if ((st = open_up(a, err)) == SILR_OK)
            st = deliver(a, &none, NULL, why, err);
    } else if ((st = from_ledger(a, item, sample, &id, &found, err)) != SILR_OK || found) {
        ;
    } else if ((f = find_flight(a, &id))) {
        st = follow(f, item, sample, err);
    } else {
        *hit = false;
        *full = (double)(a->flying + 1) > a->window.size || silr_now() < a->hold || limited(a);
        if (*full)
            return SILR_OK; /* the same item again, later */
        st = new_flight(a, item, sample, &id, err);
    }
    if (++a->sample >= a->samples) {
        a->sample = 0;
        a->next++;
    }
    return st;
}

static silr_status launch_waiting(asker *a, silr_error *err)
{
    double now = silr_now();
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < a->n_waiting;) {
        flight *f = a->waiting[i];
        if ((double)(a->flying + 1) > a->window.size || now < a->hold)
            break;
        if (f->due > now) {
            i++;
            continue;
        }
        if (limited(a))
            break;
        a->waiting[i] = a->waiting[--a->n_waiting];
        st = send_flight(a, f, err);
    }
    return st;
}

static silr_status launch(asker *a, size_t *hits, silr_error *err)
{
    bool full = false, hit;
    silr_status st = SILR_OK;

    *hits = 0;
    if (!a->stopping)
        st = launch_waiting(a, err);
    while (st == SILR_OK && !a->stopping && !full && a->next < a->job->n && *hits < HITS &&
           (double)a->n_waiting <= a->window.most &&
           ((double)(a->flying + 1) <= a->window.size || *hits > 0)) {
        st = launch_next(a, &hit, &full, err);
        *hits += hit;
    }
    return st;
}

/* --- the loop ------------------------------------------------------------------------------------ */

static bool finished(const asker *a)
{
    bool ends = a->stopping && a->why == SILR_EPEER && silr_now() - a->stopped > LAST_WAIT;

    if (a->flying > 0)
        return ends;
    return a->stopping || (a->next >= a->job->n && a->n_waiting == 0);
}

static double until_next(const asker *a)
{
    double now = silr_now(), soon = 0.5;

    for (size_t i = 0; i < a->n_waiting && !a->stopping; i++)
        soon = fmin(soon, fmax(a->waiting[i]->due, a->hold) - now);
    if (a->hold > now && !a->stopping)
        soon = fmin(soon, a->hold - now);
    return soon > 0 ? soon : 0;
}

static void watch_for_cancel(asker *a)
{
    silr_error e = {.status = SILR_ECANCEL};

    if (!silr_cancelled() || a->stopping)
        return;
    snprintf(e.text, sizeof e.text, "interrupted; %llu of %llu answers are there",
             (unsigned long long)a->done, (unsigned long long)a->total);
    if (a->flying > 0)
        silr_log(SILR_LOG_INFO, "waiting for %zu answers in flight", a->flying);
    stop(a, SILR_ECANCEL, &e);
}

static silr_status run(asker *a, silr_error *err)
{
    size_t hits;
    silr_status st = SILR_OK;

    while (st == SILR_OK && !finished(a)) {
        if ((st = collect(a, err)) != SILR_OK || (st = commit(a, err)) != SILR_OK)
            break;
        watch_for_cancel(a);
        if ((st = launch(a, &hits, err)) != SILR_OK)
            break;
        silr_progress(a->job->what, a->done, a->total);
        if (!finished(a))
            st = silr_http_wait(a->c->http, hits > 0 ? 0 : until_next(a), err);
    }
    if (st == SILR_OK)
        st = commit(a, err);
    return st;
}

static void clear(asker *a)
{
    if (a->open)
        silr_ledger_rollback(a->c->ledger);
    if (a->flying > 0)
        silr_http_drop(a->c->http); /* they borrow the bodies that go now */
    for (size_t b = 0; b < BUCKETS; b++)
        while (a->bucket[b])
            free_flight(a, a->bucket[b]);
    silr_free(a->waiting);
}

silr_status silr_chat_ask(silr_chat *c, const silr_chat_job *job, silr_error *err)
{
    asker *a = silr_calloc(1, sizeof *a);
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
