/* batch_share.c - batches of runs that share a cache file: no request is in two of them, nor in one of them
 * and asked live.
 *
 *     claim     each request that goes into a file, before that is uploaded, in the process's name
 *     hold      when the file is there, in the transaction that notes its lines: in the batch's name, as
 *               the batch will be answered also if this process ends (ledger/holds.c)
 *     look      for what another run has claimed: it is elsewhere, until there is an answer, which is
 *               taken, or it was given up, and goes into the next batch
 *
 * While a process lives that will have the answers, they are waited for. What is in a batch for which
 * nobody waits is left there: the call ends, when all else is done, and the next one goes on; after the
 * time to which the batch holds them it sends them itself. */
#include "chat/batch.h"
#include <math.h>
#include <time.h>

enum {
    WINDOW = 24 * 3600,  /* seconds for a batch, as asked for in create.c */
    LONGEST = 8 * WINDOW, /* a server's word on that is believed so far */
    GRACE = 3600,        /* for the answers to be collected */
    CHUNK = 500          /* in a transaction */
};

/* Looks are this far apart, in seconds, and further where there is much to look for. */
static const double soonest = 0.03, latest = 1, each = 0.0005;

/* --- claiming ------------------------------------------------------------------------------------ */

/* The answer that the ledger has for a group, or another run has left in the cache. */
static silr_status take_answer(batcher *b, want *w, bool *found, silr_error *err)
{
    silr_chat *c = b->c;
    silr_reply reply;
    char why[200];
    bool good;
    silr_status st;

    *found = false;
    if (!silr_ledger_has(c->ledger, &w->id))
        return SILR_OK;
    if ((st = silr_batch_open(b, err)) != SILR_OK ||
        (st = silr_ledger_find(c->ledger, &w->id, &c->reply, NULL, found, err)) != SILR_OK || !*found)
        return st;
    good = silr_reply_read(&reply, c->reply.data, c->reply.len, why);
    st = silr_want_deliver(b, w, good ? &reply : NULL, good ? NULL : why, err);
    if (good)
        silr_reply_clear(&reply);
    return st;
}

static void put_elsewhere(batcher *b, want *w)
{
    w->elsewhere = true;
    if (b->n_elsewhere++ == 0) {
        b->pause = soonest;
        b->look = silr_now() + soonest;
    }
}

silr_status silr_share_claim(batcher *b, want *w, bool *mine, silr_error *err)
{
    bool found;
    silr_status st;

    *mine = true;
    if (!silr_ledger_shares(b->c->ledger))
        return SILR_OK;
    if ((st = silr_batch_open(b, err)) != SILR_OK)
        return st;
    switch (silr_ledger_claim(b->c->ledger, &w->id)) {
    case SILR_CLAIM_MINE:
        break;
    case SILR_CLAIM_TAKEN:
        *mine = false;
        put_elsewhere(b, w);
        break;
    case SILR_CLAIM_ANSWERED:
        st = take_answer(b, w, &found, err);
        *mine = st == SILR_OK && !found; /* the cache has failed since: nobody to share with */
        break;
    }
    return st;
}

silr_status silr_share_release(batcher *b, const batch *t, silr_error *err)
{
    int32_t index = (int32_t)(t - b->batch);
    silr_status st;

    if (!silr_ledger_shares(b->c->ledger))
        return SILR_OK;
    if ((st = silr_batch_open(b, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < b->n; i = silr_want_next(b, i))
        if (!b->want[i].done && b->want[i].batch == index)
            silr_ledger_unclaim(b->c->ledger, &b->want[i].id);
    return silr_batch_commit(b, err);
}

/* --- holding ------------------------------------------------------------------------------------- */

/* Until the server ends it, or was asked to; a late one from now on. */
static int64_t hold_time(const batch *t, int64_t now)
{
    bool sound = t->expires > t->made && t->expires < now + LONGEST; /* its clock may be another */
    int64_t end = sound ? t->expires : t->made + WINDOW;

    if (end > now + LONGEST) /* the clock was set back */
        end = now;
    return (end > now ? end : now) + GRACE;
}

void silr_share_hold(batcher *b, batch *t)
{
    t->held = hold_time(t, (int64_t)time(NULL));
    silr_ledger_hold(b->c->ledger, t->name, t->held);
}

bool silr_share_due(const batch *t)
{
    return t->held - (int64_t)time(NULL) < GRACE / 2;
}

void silr_share_take(batcher *b, batch *t, const want *w)
{
    if (silr_ledger_claim_in(b->c->ledger, &w->id, t->name) != SILR_CLAIM_MINE)
        t->lost = true;
}

/* It is as it was left, unless its time was over, or the process ended between the commits to its own file
 * and to the cache. A batch that is there is waited for all the same; one that may not be, and of which
 * others have asked a part, is not begun again. */
static silr_status hold_again(batcher *b, batch *t, silr_error *err)
{
    int64_t left = 0;
    silr_status st;

    silr_share_hold(b, t);
    if (t->stage != BATCH_UPLOADED)
        return SILR_OK;
    st = silr_ledger_lines_left(b->c->ledger, t->name, &left, err);
    t->lost = (uint64_t)left < t->lines;
    return st;
}

silr_status silr_share_resume(batcher *b, silr_error *err)
{
    silr_status st;

    if (b->n_batches == 0 || !silr_ledger_shares(b->c->ledger))
        return SILR_OK;
    st = silr_batch_open(b, err);
    for (batch *t = b->batch; st == SILR_OK && t < b->batch + b->n_batches; t++)
        if (t->stage > BATCH_CREATED)
            silr_ledger_unhold(b->c->ledger, t->name);
        else if (silr_batch_underway(t))
            st = hold_again(b, t, err);
    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i))
        if (b->want[i].batch != BATCH_NONE)
            silr_share_take(b, &b->batch[b->want[i].batch], &b->want[i]);
    return st == SILR_OK ? silr_batch_commit(b, err) : st;
}

/* --- looking ------------------------------------------------------------------------------------- */

/* What has become of a group. *moved: it is not elsewhere any more. */
static silr_status look_for(batcher *b, want *w, bool *moved, silr_error *err)
{
    silr_holder who;
    silr_status st = take_answer(b, w, moved, err);

    if (st == SILR_OK && !*moved)
        *moved = !silr_ledger_claimed(b->c->ledger, &w->id, &who);
    if (st != SILR_OK || *moved) {
        w->elsewhere = false;
        b->n_elsewhere--;
        return st;
    }
    if (who.batch && who.lives)
        b->awaited = who;
    else if (who.batch)
        silr_parked_add(&b->parked, &who);
    return SILR_OK;
}

silr_status silr_share_look(batcher *b, silr_error *err)
{
    size_t looked = 0;
    bool any = false, moved;
    silr_status st = SILR_OK;

    if (b->n_elsewhere == 0 || silr_now() < b->look)
        return SILR_OK;
    b->parked = (silr_parked){0};
    b->awaited = (silr_holder){0};
    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i)) {
        if (!b->want[i].elsewhere)
            continue;
        st = look_for(b, &b->want[i], &moved, err);
        any = any || moved;
        if (st == SILR_OK && ++looked % CHUNK == 0 && (st = silr_batch_commit(b, err)) == SILR_OK)
            st = silr_call_may_wait(b->c, err);
    }
    b->pause = any ? soonest : fmin(1.5 * b->pause, latest);
    b->look = silr_now() + fmax(b->pause, each * (double)b->n_elsewhere);
    return st == SILR_OK ? silr_batch_commit(b, err) : st;
}

silr_status silr_share_wait(batcher *b, silr_error *err)
{
    if (b->parked.n == b->n_elsewhere)
        return silr_parked_end(&b->parked, err);
    if (b->awaited.batch)
        silr_parked_await(b->n_elsewhere, &b->awaited, &b->told_of);
    silr_progress(b->job->what, b->done, b->total);
    return silr_call_pause(b->c, fmax(b->look - silr_now(), 0), err);
}
