/* claims.c - what is being asked just now, in a cache file that several runs share.
 *
 *   claims   id: SHA-256 of a request that is under way; owner: of owners, or below 0: of holds
 *   owners   owner: a number drawn by lot; host, pid, start: its process (owner.c); beat: goes up
 *            every few seconds while it has claims
 *
 * A row of claims is written before its request goes out and taken away in the transaction that writes
 * the answer, so that who looks sees the one or the other. It holds as long as its owner lives:
 *
 *     its process is gone (same boot, same pid namespace)        it is dead at once
 *     beat has stood still for LEDGER_LEASE seconds, by the      it is dead: killed elsewhere, or
 *     clock of the one who looks, since that one first looked    stopped and not continued
 *
 * No time is ever written down or compared with another process's: clocks may jump, and differ. All
 * that is assumed is that a second is a second, and that a run that lives gets to its loop within the
 * lease. The claims of a dead owner are taken away by whoever meets one. Who was taken for dead and
 * goes on has no claims any more; its answers count as ever. Claims of a batch are another matter
 * (holds.c).
 *
 * A cache that fails is dropped, and then there is nobody to share with: every claim is granted. */
#include "ledger/inside.h"
#include <math.h>
#include <string.h>

enum { SWEEP = 32 };

const char silr_claims_schema[] =
    "CREATE TABLE owners(owner INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,"
    " start INTEGER NOT NULL, beat INTEGER NOT NULL) STRICT;"
    "CREATE TABLE claims(id BLOB PRIMARY KEY, owner INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

bool silr_ledger_shares(const silr_ledger *l)
{
    return l->shared.db && !l->fixed;
}

/* --- statements ---------------------------------------------------------------------------------- */

/* A statement of (id), (owner) or (id, owner). */
static silr_status change(silr_ledger *l, ledger_query which, const silr_ask_id *id,
                          const int64_t *owner, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    silr_status st = silr_ledger_query(f, which, &b.q, err);

    if (st != SILR_OK)
        return st;
    if (id)
        silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    if (owner)
        silr_bind_int(&b, *owner);
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

/* Our row with one beat more, or anew. */
static silr_status sign(silr_ledger *l, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    silr_status st = silr_ledger_query(f, L_OWNER_SIGN, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, l->me.owner);
    silr_bind_text(&b, l->me.host);
    silr_bind_int(&b, l->me.pid);
    silr_bind_int(&b, l->me.start);
    l->beaten = silr_now();
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

/* *owner 0: nobody claims it. */
static silr_status find_claim(silr_ledger *l, const silr_ask_id *id, int64_t *owner, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_CLAIM_GET, &b.q, err);

    *owner = 0;
    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    more = silr_ledger_first(f, &b, err);
    if (more > 0)
        *owner = sqlite3_column_int64(b.q, 0);
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

static void take_owner(ledger_owner *o, sqlite3_stmt *q)
{
    const char *host = (const char *)sqlite3_column_text(q, 1);

    o->owner = sqlite3_column_int64(q, 0);
    snprintf(o->host, sizeof o->host, "%s", host ? host : "");
    o->pid = sqlite3_column_int64(q, 2);
    o->start = sqlite3_column_int64(q, 3);
    o->beat = sqlite3_column_int64(q, 4);
}

static silr_status find_owner(silr_ledger *l, int64_t owner, ledger_owner *o, bool *found,
                              silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_OWNER_GET, &b.q, err);

    *found = false;
    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, owner);
    more = silr_ledger_first(f, &b, err);
    if ((*found = more > 0))
        take_owner(o, b.q);
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

/* --- who lives ----------------------------------------------------------------------------------- */

/* What we remember of it; NULL: no memory for that. */
static ledger_watch *watch(silr_ledger *l, int64_t owner)
{
    for (size_t i = 0; i < l->n_watched; i++)
        if (l->watched[i].owner == owner)
            return &l->watched[i];
    if (!silr_grow(&l->watched, &l->cap_watched, l->n_watched + 1, sizeof *l->watched))
        return NULL;
    l->watched[l->n_watched] = (ledger_watch){.owner = owner, .beat = -1, .looked = -INFINITY};
    return &l->watched[l->n_watched++];
}

/* Also to tell who else is of our host. */
static silr_status know_me(silr_ledger *l, silr_error *err)
{
    if (l->me.owner == 0 && !silr_owner_make(&l->me))
        return silr_fail(err, SILR_EIO, "the system gives no random numbers");
    return SILR_OK;
}

static silr_status look_at(silr_ledger *l, ledger_watch *w, silr_error *err)
{
    double now = silr_now();
    ledger_owner o;
    bool found;
    silr_status st = know_me(l, err);

    if (st != SILR_OK || (st = find_owner(l, w->owner, &o, &found, err)) != SILR_OK)
        return st;
    if (found && o.beat != w->beat) {
        w->beat = o.beat;
        w->since = now;
    }
    w->lives = found && !silr_owner_is_dead(&o, l->me.host) && now - w->since <= l->lease;
    w->looked = now;
    return SILR_OK;
}

/* Many requests may wait for one owner: it is looked at ten times a second and no more. */
silr_status silr_ledger_judge(silr_ledger *l, int64_t owner, bool *lives, silr_error *err)
{
    ledger_watch *w = watch(l, owner);
    silr_status st = SILR_OK;

    if (!w)
        return silr_fail_memory(err);
    if (silr_now() - w->looked > 0.1)
        st = look_at(l, w, err);
    *lives = w->lives;
    return st;
}

silr_status silr_ledger_bury(silr_ledger *l, int64_t owner, silr_error *err)
{
    silr_status st = change(l, L_OWNER_CLAIMS_DROP, NULL, &owner, err);

    if (st == SILR_OK)
        st = change(l, owner < 0 ? L_HOLD_DROP : L_OWNER_DROP, NULL, &owner, err);
    for (size_t i = 0; i < l->n_watched; i++)
        if (l->watched[i].owner == owner)
            l->watched[i--] = l->watched[--l->n_watched];
    return st;
}

/* Takes away those of our host whose process is gone: an earlier call of ours that was killed. */
static silr_status sweep(silr_ledger *l, silr_error *err)
{
    ledger_file *f = &l->shared;
    int64_t dead[SWEEP];
    int n = 0, more;
    sqlite3_stmt *q;
    silr_status st = silr_ledger_query(f, L_OWNERS, &q, err);

    if (st != SILR_OK)
        return st;
    while ((more = silr_db_next(f->db, f->path, q, err)) > 0 && n < SWEEP) {
        ledger_owner o;
        take_owner(&o, q);
        if (silr_owner_is_dead(&o, l->me.host))
            dead[n++] = o.owner;
    }
    silr_db_done(q);
    st = more < 0 ? (silr_status)more : SILR_OK;
    while (st == SILR_OK && n > 0)
        st = silr_ledger_bury(l, dead[--n], err);
    return st;
}

silr_status silr_ledger_join(silr_ledger *l, silr_error *err)
{
    silr_status st = SILR_OK;

    if (l->joined)
        return SILR_OK;
    if ((st = know_me(l, err)) == SILR_OK && (st = sweep(l, err)) == SILR_OK &&
        (st = silr_hold_sweep(l, err)) == SILR_OK && (st = sign(l, err)) == SILR_OK)
        l->joined = l->rows = true;
    return st;
}

/* --- the door ------------------------------------------------------------------------------------ */

/* Of whom a claim is that has an owner. */
static silr_status weigh(silr_ledger *l, int64_t owner, ledger_standing *out, silr_holder *who,
                         silr_error *err)
{
    bool lives = false;
    silr_status st = SILR_OK;

    *out = LEDGER_MINE;
    if (owner < 0)
        return silr_hold_weigh(l, owner, out, who, err);
    if (owner == l->me.owner)
        return SILR_OK;
    st = silr_ledger_judge(l, owner, &lives, err);
    *out = lives ? LEDGER_THEIRS : LEDGER_VOID;
    if (who)
        who->lives = lives;
    return st;
}

/* batch NULL: for this process. */
static silr_status claim(silr_ledger *l, const silr_ask_id *id, const char *batch, silr_claim *out,
                         silr_error *err)
{
    int64_t owner;
    ledger_standing standing = LEDGER_MINE;
    silr_status st = silr_ledger_join(l, err);

    *out = SILR_CLAIM_ANSWERED;
    if (st != SILR_OK || silr_ledger_file_has(&l->shared, id) ||
        (st = find_claim(l, id, &owner, err)) != SILR_OK ||
        (owner != 0 && (st = weigh(l, owner, &standing, NULL, err)) != SILR_OK))
        return st;
    *out = standing == LEDGER_THEIRS ? SILR_CLAIM_TAKEN : SILR_CLAIM_MINE;
    if (standing == LEDGER_THEIRS)
        return SILR_OK;
    if (standing == LEDGER_VOID && (st = silr_ledger_bury(l, owner, err)) != SILR_OK)
        return st;
    if (batch)
        return silr_hold_claim(l, id, batch, err);
    return owner != 0 && standing == LEDGER_MINE ? SILR_OK : change(l, L_CLAIM_PUT, id, &l->me.owner, err);
}

silr_claim silr_ledger_claim_in(silr_ledger *l, const silr_ask_id *id, const char *batch)
{
    silr_claim out;
    silr_error mine;

    if (!l->in_shared)
        return SILR_CLAIM_MINE;
    if (claim(l, id, batch, &out, &mine) == SILR_OK)
        return out;
    silr_ledger_drop_cache(l, &mine);
    return SILR_CLAIM_MINE;
}

silr_claim silr_ledger_claim(silr_ledger *l, const silr_ask_id *id)
{
    return silr_ledger_claim_in(l, id, NULL);
}

bool silr_ledger_claimed(silr_ledger *l, const silr_ask_id *id, silr_holder *who)
{
    int64_t owner;
    ledger_standing standing = LEDGER_MINE;
    silr_error mine;
    silr_status st;

    if (who)
        *who = (silr_holder){0};
    if (!silr_ledger_shares(l))
        return false;
    st = find_claim(l, id, &owner, &mine);
    if (st == SILR_OK && owner != 0)
        st = weigh(l, owner, &standing, who, &mine);
    if (st != SILR_OK)
        silr_ledger_drop_cache(l, &mine);
    return st == SILR_OK && standing == LEDGER_THEIRS;
}

/* Does something to the cache; one that fails is dropped. */
static void or_drop(silr_ledger *l, silr_status st, const silr_error *why)
{
    if (st != SILR_OK)
        silr_ledger_drop_cache(l, why);
}

static silr_status unclaim(silr_ledger *l, const silr_ask_id *id, silr_error *err)
{
    int64_t owner;
    ledger_standing standing = LEDGER_VOID;
    silr_status st = find_claim(l, id, &owner, err);

    if (st == SILR_OK && owner != 0)
        st = weigh(l, owner, &standing, NULL, err);
    return st == SILR_OK && standing == LEDGER_MINE ? change(l, L_CLAIM_DROP, id, NULL, err) : st;
}

void silr_ledger_unclaim(silr_ledger *l, const silr_ask_id *id)
{
    silr_error mine;

    if (l->rows && silr_ledger_shares(l))
        or_drop(l, unclaim(l, id, &mine), &mine);
}

void silr_ledger_end_claim(silr_ledger *l, const silr_ask_id *id)
{
    silr_error mine;

    if (l->rows && silr_ledger_shares(l))
        or_drop(l, change(l, L_CLAIM_DROP, id, NULL, &mine), &mine);
}

void silr_ledger_beat(silr_ledger *l)
{
    silr_error mine;

    if (l->rows && silr_ledger_shares(l) && silr_now() - l->beaten >= l->lease / 10)
        or_drop(l, sign(l, &mine), &mine);
}

void silr_ledger_leave(silr_ledger *l)
{
    silr_error mine;

    if (l->rows && silr_ledger_shares(l))
        or_drop(l, silr_ledger_bury(l, l->me.owner, &mine), &mine);
    l->joined = l->rows = false;
}
