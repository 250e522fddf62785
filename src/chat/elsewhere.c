/* elsewhere.c - two runs that share a cache file ask nothing twice, also at the same instant.
 *
 * What a round wants to send is leaving: claimed together, in the transaction in which the round's
 * answers are written (ledger/claims.c), committed, sent. What another run has claimed is not sent; it
 * is elsewhere, and the rest goes on without it. It is looked for again, with growing pauses:
 *
 *     answered            taken from the cache, as any answer that is there
 *     not claimed         the other gave it up, was stopped or killed: it is asked here
 *     claimed             later
 *
 * What is in a batch of another run may take a day: it is parked, and looked for when all else is done. It is
 * waited for while a process lives that waits for it too. Is there none, the call ends with what it has.
 *
 * Two runs cannot wait for each other's claims: a run claims only what it sends at once, and what it
 * has sent ends whatever becomes of the requests that are elsewhere. */
#include "chat/asking.h"
#include <math.h>
#include <string.h>
#include <time.h>

/* Looks are this far apart, in seconds, and further where there is much to look for. */
static const double soonest = 0.03, latest = 1, each = 0.0005;

enum { LEAST = 256, WINDOWS = 4, PARKED = 500 /* looked at in a round */ };

bool silr_elsewhere_full(const silr_asker *a)
{
    return (double)a->n_elsewhere >= fmax(LEAST, WINDOWS * a->window.most);
}

/* --- leaving ------------------------------------------------------------------------------------- */

static silr_status put_elsewhere(silr_asker *a, silr_flight *f, bool answered, silr_error *err)
{
    a->on_the_way -= (double)f->len;
    if (!silr_grow(&a->elsewhere, &a->cap_elsewhere, a->n_elsewhere + 1, sizeof *a->elsewhere))
        return silr_fail_memory(err);
    if (answered || a->n_elsewhere == 0) {
        a->pause = soonest;
        a->look = silr_now() + (answered ? 0 : soonest);
    }
    a->elsewhere[a->n_elsewhere++] = f;
    return SILR_OK;
}

/* Not sent after all. */
static silr_status call_back(silr_asker *a, silr_flight *f, bool answered, silr_error *err)
{
    a->flying--;
    a->in_the_air -= (double)f->len;
    a->c->sent--;
    return put_elsewhere(a, f, answered, err);
}

static silr_status park(silr_asker *a, size_t item, int sample, const silr_holder *who, silr_error *err)
{
    silr_places *p = &a->parked;

    if (!silr_grow(&p->place, &p->cap, p->n + 1, sizeof *p->place))
        return silr_fail_memory(err);
    p->place[p->n++] = (struct silr_place){item, sample};
    if (who->lives)
        a->awaited = *who;
    else
        silr_parked_add(&a->alone, who);
    return SILR_OK;
}

silr_status silr_elsewhere_new(silr_asker *a, size_t item, int sample, const silr_ask_id *id,
                               bool *taken, silr_error *err)
{
    silr_holder who;
    silr_flight *f;

    *taken = silr_ledger_claimed(a->c->ledger, id, &who);
    if (!*taken)
        return SILR_OK;
    if (who.batch)
        return park(a, item, sample, &who, err);
    f = silr_flight_new(a, item, sample, id);
    return f ? put_elsewhere(a, f, false, err) : silr_fail_memory(err);
}

/* Claims one; *sent: it is ours. */
static silr_status claim(silr_asker *a, silr_flight *f, bool *sent, silr_error *err)
{
    silr_claim got;

    *sent = true;
    if (f == a->control)
        return SILR_OK;
    got = silr_ledger_claim(a->c->ledger, &f->id);
    *sent = got == SILR_CLAIM_MINE;
    return *sent ? SILR_OK : call_back(a, f, got == SILR_CLAIM_ANSWERED, err);
}

silr_status silr_leaving_claim(silr_asker *a, size_t *stayed, silr_error *err)
{
    size_t n = 0;
    silr_status st = SILR_OK;

    *stayed = 0;
    if (a->n_leaving == 0 || !silr_ledger_shares(a->c->ledger))
        return SILR_OK;
    if ((st = silr_asker_open(a, err)) != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < a->n_leaving; i++) {
        bool sent;
        if ((st = claim(a, a->leaving[i], &sent, err)) == SILR_OK && sent)
            a->leaving[n++] = a->leaving[i];
    }
    *stayed = a->n_leaving - n;
    a->n_leaving = n;
    return st;
}

silr_status silr_leaving_send(silr_asker *a, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < a->n_leaving; i++) {
        silr_flight *f = a->leaving[i];
        silr_http_request r = {.method = "POST", .url = a->c->url.data, .body = f->body, .len = f->len};
        st = silr_http_send(a->c->http, &r, f, err);
        silr_chat_note(a->c, f == a->control ? "control question" : f->repeated ? "sent again" : "sent");
        f->attempt++;
        f->repeated = true;
    }
    a->n_leaving = 0;
    return st;
}

silr_status silr_flight_unclaim(silr_asker *a, const silr_flight *f, silr_error *err)
{
    silr_status st = SILR_OK;

    if (silr_ledger_shares(a->c->ledger) && (st = silr_asker_open(a, err)) == SILR_OK)
        silr_ledger_unclaim(a->c->ledger, &f->id);
    return st;
}

/* --- looking ------------------------------------------------------------------------------------- */

static silr_flight *take_back(silr_asker *a, size_t i)
{
    silr_flight *f = a->elsewhere[i];

    a->elsewhere[i] = a->elsewhere[--a->n_elsewhere];
    a->on_the_way += (double)f->len;
    return f;
}

/* The other run may know by now what the server can do: then it is asked in those words. */
static silr_status hear(silr_asker *a, silr_error *err)
{
    silr_status st;

    if (a->c->known || a->flying > 0)
        return SILR_OK;
    if ((st = silr_chat_hear(a->c, err)) == SILR_OK && a->c->known)
        a->wording++;
    return st;
}

/* What was on its way has gone into a batch of another run, with all that follows it. */
static silr_status park_flight(silr_asker *a, silr_flight *f, const silr_holder *who, silr_error *err)
{
    silr_status st = park(a, f->item, f->sample, who, err);

    for (silr_follower *x = f->followers; x && st == SILR_OK; x = x->next)
        st = park(a, x->item, x->sample, who, err);
    silr_flight_free(a, f);
    return st;
}

/* What has become of the i-th. *moved: it is not elsewhere any more. */
static silr_status look_for(silr_asker *a, size_t i, bool *moved, silr_error *err)
{
    silr_flight *f = a->elsewhere[i];
    silr_holder who;
    bool claimed;
    silr_status st = silr_asker_from_ledger(a, f, moved, err);

    if (st != SILR_OK || *moved) {
        if (*moved)
            silr_flight_free(a, take_back(a, i));
        return st;
    }
    claimed = silr_ledger_claimed(a->c->ledger, &f->id, &who);
    if (claimed && who.batch) {
        *moved = true;
        return park_flight(a, take_back(a, i), &who, err);
    }
    if (silr_doubt_pauses(a) || !silr_asker_has_room(a, f->len))
        return SILR_OK;
    if (f->wording == a->wording) {
        if (claimed)
            return SILR_OK;
        *moved = true;
        return silr_flight_send(a, take_back(a, i), err);
    }
    *moved = true;
    return silr_asker_reword(a, take_back(a, i), err);
}

silr_status silr_elsewhere_look(silr_asker *a, silr_error *err)
{
    bool any = false, moved;
    silr_status st;

    if (a->n_elsewhere == 0 || silr_now() < a->look)
        return SILR_OK;
    st = hear(a, err);
    for (size_t i = 0; st == SILR_OK && i < a->n_elsewhere && !a->stopping; i += !moved) {
        st = look_for(a, i, &moved, err);
        any = any || moved;
    }
    a->pause = any ? soonest : fmin(1.5 * a->pause, latest);
    a->look = silr_now() + fmax(a->pause, each * (double)a->n_elsewhere);
    return st;
}

/* --- parked ones --------------------------------------------------------------------------------- */

void silr_parked_add(silr_parked *p, const silr_holder *who)
{
    p->several = p->several || (p->n > 0 && strcmp(p->who.run, who->run) != 0);
    if (p->n++ == 0 || who->until > p->who.until)
        p->who = *who;
}

/* " (FOLDER)", or nothing. The file it is from may come from anywhere, and this goes to a terminal. */
static void name_run(const silr_holder *who, char *out, size_t room)
{
    out[0] = '\0';
    if (who->run[0])
        snprintf(out, room, " (%s)", who->run);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
}

silr_status silr_parked_end(const silr_parked *p, silr_error *err)
{
    char when[40] = "", run[320];
    time_t until = (time_t)p->who.until;
    struct tm tm;

    if (localtime_r(&until, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    name_run(&p->who, run, sizeof run);
    return silr_fail(err, SILR_ELIMIT, "%zu requests are in %s of %s%s until %s: that run collects their "
                     "answers, or they are asked for here after that time", p->n,
                     p->several ? "batches" : "a batch", p->several ? "other runs" : "another run", run, when);
}

void silr_parked_await(size_t n, const silr_holder *who, bool *said)
{
    char run[320];

    if (*said)
        return;
    *said = true;
    name_run(who, run, sizeof run);
    silr_log(SILR_LOG_INFO, "waiting for %zu requests that another run%s has in a batch", n, run);
}

/* All have been looked at. */
static void end_pass(silr_asker *a)
{
    silr_error why = {0};
    size_t len;

    a->park_pause = a->park_pause > 0 ? fmin(1.5 * a->park_pause, latest) : soonest;
    a->park_look = silr_now() + fmax(a->park_pause, each * (double)a->parked.n);
    if (a->parked.n == 0 || a->flying + a->n_waiting + a->n_elsewhere + a->n_worn + a->n_refused > 0)
        return;
    if (a->alone.n < a->parked.n) {
        silr_parked_await(a->parked.n, &a->awaited, &a->told_of);
        silr_asker_limited(a, 0, true);
        return;
    }
    silr_parked_end(&a->alone, &why);
    len = strlen(why.text);
    snprintf(why.text + len, sizeof why.text - len, "; the answers are kept, the same command goes on");
    silr_asker_stop(a, SILR_ELIMIT, &why);
}

silr_status silr_elsewhere_parked(silr_asker *a, size_t *hits, silr_error *err)
{
    silr_status st = SILR_OK;
    bool hit, full = false;

    if (a->parked.n + a->looked.n == 0 || a->next < a->job->n || silr_doubt_pauses(a) ||
        (a->looked.n == 0 && silr_now() < a->park_look))
        return SILR_OK;
    if (a->looked.n == 0) {
        silr_places empty = a->looked;
        a->looked = a->parked;
        a->parked = empty;
        a->alone = (silr_parked){0};
    }
    for (int n = 0; st == SILR_OK && n < PARKED && a->looked.n > 0; n++) {
        struct silr_place p = a->looked.place[a->looked.n - 1];
        st = silr_asker_launch(a, p.item, p.sample, &hit, &full, err);
        if (full)
            return st;
        a->looked.n--;
        *hits += hit;
    }
    if (st == SILR_OK && a->looked.n == 0)
        end_pass(a);
    return st;
}
