/* holds.c - requests that are in a batch at a server, in a cache file that several runs share.
 *
 *   holds    owner: below 0, drawn by lot, as claims name it; batch: its name in its run's batches; run:
 *            that run's folder, for people; waits: of owners, the process that waits for it or last did;
 *            until: unix time
 *
 * A batch is answered, and paid for, whatever becomes of the process that sent it. So the claims of its
 * requests are the batch's, not the process's, and hold until the batch is done with or `until` is past:
 * what the server has promised, and some more. They are no obstacle to the run that has the batch in its
 * run.db, in whichever process it goes on. Whether anybody waits for it now is what other runs look at, to
 * know if they should.
 *
 * `until` is a time of day, and is compared with other processes' clocks: with one machine's, in hours. A
 * clock that jumps further makes a request be sent twice, or later than it could be. */
#include "ledger/inside.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { NAME = 64, SWEEP = 32 };

const char silr_holds_schema[] =
    "CREATE TABLE holds(owner INTEGER PRIMARY KEY, batch TEXT NOT NULL UNIQUE, run TEXT NOT NULL,"
    " waits INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;";

/* A row of holds. */
typedef struct {
    int64_t owner, waits, until;
    char batch[NAME];
    char run[sizeof((silr_holder *)0)->run];
} hold;

static void copy_text(char *out, size_t room, sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    snprintf(out, room, "%s", s ? s : "");
}

/* By its owner's number, or by its name where that is not NULL. */
static silr_status find(silr_ledger *l, int64_t owner, const char *name, hold *h, bool *found,
                        silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, name ? L_HOLD_FIND : L_HOLD_GET, &b.q, err);

    *found = false;
    if (st != SILR_OK)
        return st;
    if (name)
        silr_bind_text(&b, name);
    else
        silr_bind_int(&b, owner);
    more = silr_ledger_first(f, &b, err);
    if ((*found = more > 0)) {
        h->owner = sqlite3_column_int64(b.q, 0);
        copy_text(h->batch, sizeof h->batch, b.q, 1);
        copy_text(h->run, sizeof h->run, b.q, 2);
        h->waits = sqlite3_column_int64(b.q, 3);
        h->until = sqlite3_column_int64(b.q, 4);
    }
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

/* By its name in our own file, not by the folder: that may have been moved, or deleted and made anew. */
static silr_status is_mine(silr_ledger *l, const char *batch, bool *mine, silr_error *err)
{
    ledger_file *f = &l->own;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_BATCH_HAS, &b.q, err);

    *mine = false;
    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, batch);
    more = silr_ledger_first(f, &b, err);
    *mine = more > 0;
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_hold_weigh(silr_ledger *l, int64_t owner, ledger_standing *out, silr_holder *who,
                            silr_error *err)
{
    hold h;
    bool found, mine, lives = false;
    silr_status st = find(l, owner, NULL, &h, &found, err);

    *out = LEDGER_VOID;
    if (st != SILR_OK || !found || (st = is_mine(l, h.batch, &mine, err)) != SILR_OK)
        return st;
    if (mine || h.until <= (int64_t)time(NULL)) {
        *out = mine ? LEDGER_MINE : LEDGER_VOID;
        return SILR_OK;
    }
    *out = LEDGER_THEIRS;
    if (!who)
        return SILR_OK;
    st = silr_ledger_judge(l, h.waits, &lives, err);
    *who = (silr_holder){.batch = true, .until = h.until, .lives = lives};
    memcpy(who->run, h.run, sizeof who->run);
    return st;
}

silr_status silr_hold_claim(silr_ledger *l, const silr_ask_id *id, const char *batch, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    silr_status st = silr_ledger_query(f, L_HOLD_CLAIM, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    silr_bind_text(&b, batch);
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

silr_status silr_hold_sweep(silr_ledger *l, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    int64_t over[SWEEP];
    int n = 0, more;
    silr_status st = silr_ledger_query(f, L_HOLDS_OVER, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, (int64_t)time(NULL));
    more = b.rc == SQLITE_OK ? 1 : silr_db_fail(f->db, f->path, b.rc, err);
    while (more > 0 && n < SWEEP && (more = silr_db_next(f->db, f->path, b.q, err)) > 0)
        over[n++] = sqlite3_column_int64(b.q, 0);
    silr_db_done(b.q);
    st = more < 0 ? (silr_status)more : SILR_OK;
    while (st == SILR_OK && n > 0)
        st = silr_ledger_bury(l, over[--n], err);
    return st;
}

/* --- the door ------------------------------------------------------------------------------------ */

/* The folder that our file lies in, as others find it. */
static void name_folder(const silr_ledger *l, char *out, size_t room)
{
    char *dir = l->in_memory ? NULL : silr_path_dir(l->own.path), *whole = dir ? realpath(dir, NULL) : NULL;

    snprintf(out, room, "%s", whole ? whole : "");
    free(whole); /* of realpath */
    silr_free(dir);
}

static silr_status set(silr_ledger *l, const char *batch, int64_t until, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    uint64_t lot;
    char folder[sizeof((silr_holder *)0)->run];
    silr_status st = silr_ledger_join(l, err);

    if (st != SILR_OK || (st = silr_ledger_query(f, L_HOLD_SET, &b.q, err)) != SILR_OK)
        return st;
    if (getrandom(&lot, sizeof lot, 0) != sizeof lot)
        return silr_fail(err, SILR_EIO, "the system gives no random numbers");
    name_folder(l, folder, sizeof folder);
    silr_bind_int(&b, -((int64_t)(lot >> 1) | 1));
    silr_bind_text(&b, batch);
    silr_bind_text(&b, folder);
    silr_bind_int(&b, l->me.owner);
    silr_bind_int(&b, until);
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

/* What it still claims has no answer in the cache. The run may have one: of a process that was killed after
 * the commit to its own file and before that to the cache. */
static silr_status pass_on(silr_ledger *l, int64_t owner, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_HOLD_CLAIMS, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, owner);
    more = b.rc == SQLITE_OK ? 1 : silr_db_fail(f->db, f->path, b.rc, err);
    while (st == SILR_OK && more > 0 && (more = silr_db_next(f->db, f->path, b.q, err)) > 0) {
        const void *bytes = sqlite3_column_blob(b.q, 0);
        silr_ask_id id;
        if (!bytes || sqlite3_column_bytes(b.q, 0) != (int)sizeof id.bytes)
            continue;
        memcpy(id.bytes, bytes, sizeof id.bytes);
        st = silr_ledger_pass_on(l, &id, err);
    }
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : st;
}

static silr_status drop(silr_ledger *l, const char *batch, silr_error *err)
{
    hold h;
    bool found;
    silr_status st = find(l, 0, batch, &h, &found, err);

    if (st != SILR_OK || !found)
        return st;
    st = pass_on(l, h.owner, err);
    return st == SILR_OK ? silr_ledger_bury(l, h.owner, err) : st;
}

void silr_ledger_hold(silr_ledger *l, const char *batch, int64_t until)
{
    silr_error mine;

    if (l->in_shared && set(l, batch, until, &mine) != SILR_OK)
        silr_ledger_drop_cache(l, &mine);
}

void silr_ledger_unhold(silr_ledger *l, const char *batch)
{
    silr_error mine;

    if (l->in_shared && drop(l, batch, &mine) != SILR_OK)
        silr_ledger_drop_cache(l, &mine);
}
