/* ledger.c - the ledger's tables, its transactions, the cache file.
 *
 *   answers   id: SHA-256 of the request (BLOB, 32 bytes); model; origin: 0 asked by this run, 1 by
 *             the Batch API, 2 taken from a cache; packed: 1 when reply is a zstd frame; reply: the
 *             body of the answer as the server sent it, without the key should it have held one;
 *             tokens as the server counted them; cost in the task's currency, NULL: no price known;
 *             seconds; made: unix time
 *   servers   what was found out about (url, model): facts, JSON
 *   batches   name -> state, JSON: the Batch API's jobs of this run (chat/jobs.c)
 *   batch_lines   id: a request that was sent in a batch that is not done with; batch: its name, '':
 *             in none any more, to be sent again; tries: how often it was sent
 *   traffic   what happened on the way -> how often
 *
 * A cache file is an SQLite file with the same tables and those of claims.c, application_id 0x53494c43
 * ("SILC"), and that of holds.c. Version 1 had no claims, version 2 no holds; a file of such a version
 * gets the tables. */
#include "ledger/inside.h"
#include <string.h>
#include <time.h>

enum { CACHE_ID = 0x53494c43, CACHE_VERSION = 3, PATIENCE = 10 /* seconds, for another's lock */ };

const char silr_ledger_schema[] =
    "CREATE TABLE answers(id BLOB PRIMARY KEY, model TEXT NOT NULL, origin INTEGER NOT NULL,"
    " packed INTEGER NOT NULL, reply BLOB NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost REAL, seconds REAL,"
    " made INTEGER NOT NULL) STRICT;"
    "CREATE TABLE servers(url TEXT, model TEXT, facts TEXT NOT NULL, PRIMARY KEY(url, model))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE batches(name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE batch_lines(id BLOB PRIMARY KEY, batch TEXT NOT NULL, tries INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE traffic(what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

static const char *const sql[L_N] = {
    [L_BEGIN] = "BEGIN IMMEDIATE",
    [L_COMMIT] = "COMMIT",
    [L_FIND] = "SELECT model,packed,reply,prompt_tokens,cached_tokens,completion_tokens,cost,seconds"
               " FROM answers WHERE id=?1",
    [L_HAS] = "SELECT 1 FROM answers WHERE id=?1",
    [L_PUT] = "INSERT OR IGNORE INTO answers VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,unixepoch())",
    [L_SUM] = "SELECT count(*), sum(origin=2), sum(origin=1), sum((origin<>2)*prompt_tokens),"
              " sum((origin<>2)*cached_tokens), sum((origin<>2)*completion_tokens),"
              " sum(CASE WHEN origin<>2 THEN cost END), sum(origin<>2 AND cost IS NULL),"
              " avg(CASE WHEN origin=0 THEN seconds END), max(CASE WHEN origin<>2 THEN cost END)"
              " FROM answers",
    [L_COUNT_ADD] = "INSERT INTO traffic VALUES(?1,?2) ON CONFLICT(what) DO UPDATE SET n=n+?2",
    [L_COUNTS] = "SELECT what,n FROM traffic ORDER BY what",
    [L_SERVER_GET] = "SELECT facts FROM servers WHERE url=?1 AND model=?2",
    [L_SERVER_SET] = "INSERT OR REPLACE INTO servers VALUES(?1,?2,?3)",
    [L_SERVERS] = "SELECT url,model,facts FROM servers ORDER BY url,model",
    [L_BATCH_SET] = "INSERT OR REPLACE INTO batches VALUES(?1,?2)",
    [L_BATCHES] = "SELECT name,state FROM batches ORDER BY name",
    [L_LINE_GET] = "SELECT batch,tries FROM batch_lines WHERE id=?1",
    [L_LINE_SET] = "INSERT OR REPLACE INTO batch_lines VALUES(?1,?2,?3)",
    [L_LINES_LEFT] = "SELECT count(*) FROM batch_lines l WHERE batch=?1"
                     " AND NOT EXISTS(SELECT 1 FROM answers WHERE id=l.id)",
    [L_LINES_DROP] = "DELETE FROM batch_lines WHERE batch=?1",
    [L_CLAIM_GET] = "SELECT owner FROM claims WHERE id=?1",
    [L_CLAIM_PUT] = "INSERT OR REPLACE INTO claims VALUES(?1,?2)",
    [L_CLAIM_DROP] = "DELETE FROM claims WHERE id=?1",
    [L_OWNER_GET] = "SELECT owner,host,pid,start,beat FROM owners WHERE owner=?1",
    [L_OWNER_SIGN] = "INSERT INTO owners VALUES(?1,?2,?3,?4,0) ON CONFLICT(owner) DO UPDATE SET beat=beat+1",
    [L_OWNER_DROP] = "DELETE FROM owners WHERE owner=?1",
    [L_OWNER_CLAIMS_DROP] = "DELETE FROM claims WHERE owner=?1",
    [L_OWNERS] = "SELECT owner,host,pid,start,beat FROM owners",
    [L_BATCH_HAS] = "SELECT 1 FROM batches WHERE name=?1",
    [L_HOLD_GET] = "SELECT owner,batch,run,waits,until FROM holds WHERE owner=?1",
    [L_HOLD_FIND] = "SELECT owner,batch,run,waits,until FROM holds WHERE batch=?1",
    [L_HOLD_SET] = "INSERT INTO holds VALUES(?1,?2,?3,?4,?5)"
                   " ON CONFLICT(batch) DO UPDATE SET run=?3, waits=?4, until=?5",
    [L_HOLD_CLAIM] = "INSERT OR REPLACE INTO claims SELECT ?1,owner FROM holds WHERE batch=?2",
    [L_HOLD_DROP] = "DELETE FROM holds WHERE owner=?1",
    [L_HOLD_CLAIMS] = "SELECT id FROM claims WHERE owner=?1",
    [L_HOLDS_OVER] = "SELECT owner FROM holds WHERE until<=?1",
};

silr_status silr_ledger_query(ledger_file *f, ledger_query which, sqlite3_stmt **out,
                              silr_error *err)
{
    int rc = SQLITE_OK;

    if (!f->stmt[which])
        rc = sqlite3_prepare_v3(f->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &f->stmt[which],
                                NULL);
    *out = f->stmt[which];
    return rc == SQLITE_OK ? SILR_OK : silr_db_fail(f->db, f->path, rc, err);
}

int silr_ledger_first(ledger_file *f, const silr_binder *b, silr_error *err)
{
    return b->rc == SQLITE_OK ? silr_db_next(f->db, f->path, b->q, err)
                              : (int)silr_db_fail(f->db, f->path, b->rc, err);
}

static silr_status run_plain(ledger_file *f, ledger_query which, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_ledger_query(f, which, &q, err);
    return st == SILR_OK ? silr_db_run(f->db, f->path, q, SQLITE_OK, err) : st;
}

static void close_file(ledger_file *f, bool own)
{
    for (int i = 0; i < L_N; i++) {
        sqlite3_finalize(f->stmt[i]);
        f->stmt[i] = NULL;
    }
    if (own)
        sqlite3_close(f->db);
    f->db = NULL;
}

silr_status silr_ledger_on(silr_ledger **out, struct sqlite3 *db, const char *path, silr_error *err)
{
    silr_ledger *l = silr_calloc(1, sizeof *l);

    *out = l;
    if (!l)
        return silr_fail_memory(err);
    l->own.db = db;
    l->own.path = path;
    l->read_only = sqlite3_db_readonly(db, "main") == 1;
    l->lease = LEDGER_LEASE;
    return SILR_OK;
}

void silr_ledger_free(silr_ledger *l)
{
    if (!l)
        return;
    silr_ledger_leave(l);
    close_file(&l->own, l->in_memory);
    close_file(&l->shared, true);
    silr_free(l->watched);
    ZSTD_freeCCtx(l->pack);
    ZSTD_freeDCtx(l->unpack);
    silr_buf_clear(&l->packed);
    silr_free(l->shared_path);
    silr_free(l);
}

silr_status silr_ledger_in_memory(silr_ledger **out, silr_error *err)
{
    sqlite3 *db = NULL;
    silr_status st;
    int rc;

    silr_mem_install();
    rc = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, silr_ledger_schema, NULL, NULL, NULL);
    st = rc == SQLITE_OK ? silr_ledger_on(out, db, "memory", err) : silr_db_fail(db, "memory", rc, err);
    if (st != SILR_OK)
        sqlite3_close(db);
    else
        (*out)->in_memory = true;
    return st;
}

silr_ledger_call *silr_ledger_this_call(silr_ledger *l)
{
    return &l->call;
}

/* --- the cache file ---------------------------------------------------------------------------- */

static silr_status number(ledger_file *f, const char *text, int64_t *out, silr_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(f->db, text, -1, &q, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        *out = sqlite3_column_int64(q, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(q);
    return rc == SQLITE_OK ? SILR_OK : silr_db_fail(f->db, f->path, rc, err);
}

static silr_status execute(ledger_file *f, const char *text, silr_error *err)
{
    int rc = sqlite3_exec(f->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SILR_OK : silr_db_fail(f->db, f->path, rc, err);
}

/* Is it ours? SILR_EINPUT: something else. */
static silr_status check_cache(ledger_file *f, int64_t *tables, int64_t *version, silr_error *err)
{
    int64_t id = 0;
    silr_status st;

    if ((st = number(f, "SELECT count(*) FROM sqlite_schema", tables, err)) != SILR_OK ||
        (st = number(f, "PRAGMA application_id", &id, err)) != SILR_OK ||
        (st = number(f, "PRAGMA user_version", version, err)) != SILR_OK) {
        if (st != SILR_EINPUT)
            return st;
        return silr_fail(err, SILR_EINPUT, "%s: not a cache of answers, or a damaged one; name another "
                         "file in annotator.cache", f->path);
    }
    if (id != CACHE_ID && !(*tables == 0 && id == 0))
        return silr_fail(err, SILR_EINPUT, "%s: not a cache of answers: an SQLite file of something "
                         "else; name another file in annotator.cache", f->path);
    if (*version > CACHE_VERSION)
        return silr_fail(err, SILR_EINPUT, "%s: a cache made by a newer silr; use that silr, or name "
                         "another file in annotator.cache", f->path);
    return SILR_OK;
}

/* Looks and makes what is missing: in one transaction, as two runs may begin at once. */
static silr_status settle_cache(ledger_file *f, silr_error *err)
{
    int64_t tables = 0, version = 0;
    char mark[120];
    silr_status st;

    if ((st = check_cache(f, &tables, &version, err)) != SILR_OK ||
        (st = execute(f, "BEGIN IMMEDIATE", err)) != SILR_OK ||
        (st = check_cache(f, &tables, &version, err)) != SILR_OK)
        return st;
    if (tables == 0 || version < CACHE_VERSION) {
        sqlite3_snprintf(sizeof mark, mark, "PRAGMA application_id=%d;PRAGMA user_version=%d",
                         CACHE_ID, CACHE_VERSION);
        if ((tables == 0 && (st = execute(f, silr_ledger_schema, err)) != SILR_OK) ||
            (version < 2 && (st = execute(f, silr_claims_schema, err)) != SILR_OK) ||
            (st = execute(f, silr_holds_schema, err)) != SILR_OK ||
            (st = execute(f, mark, err)) != SILR_OK)
            return st;
    }
    if ((st = execute(f, "COMMIT", err)) != SILR_OK)
        return st;
    return execute(f, "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL", err);
}

/* The same, however many runs begin at once: while one of them changes the file over to a log, SQLite
 * turns the others away at once, whatever their patience. */
static silr_status settle_patiently(ledger_file *f, silr_error *err)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    double until = silr_now() + PATIENCE;
    silr_status st;

    while ((st = settle_cache(f, err)) == SILR_EIO && silr_now() < until) {
        const int rc = sqlite3_errcode(f->db) & 0xff;
        if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
            break;
        if (!sqlite3_get_autocommit(f->db))
            sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
        nanosleep(&pause, NULL);
    }
    return st;
}

/* file:PATH?immutable=1: a file that nobody can write, as its log cannot be had either. */
static silr_status open_unchanging(ledger_file *f, silr_error *err)
{
    silr_buf uri = {0};
    int rc;

    silr_buf_puts(&uri, "file:");
    for (const char *p = f->path; *p; p++)
        if (strchr("?#%", *p))
            silr_buf_printf(&uri, "%%%02x", (unsigned)(unsigned char)*p);
        else
            silr_buf_putc(&uri, *p);
    silr_buf_puts(&uri, "?immutable=1");
    close_file(f, true);
    if (uri.failed)
        return silr_fail_memory(err);
    rc = sqlite3_open_v2(uri.data, &f->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    silr_buf_clear(&uri);
    return rc == SQLITE_OK ? SILR_OK : silr_db_fail(f->db, f->path, rc, err);
}

static silr_status open_cache(silr_ledger *l, silr_error *err)
{
    ledger_file *f = &l->shared;
    int64_t tables = 0, version = 0;
    int rc = sqlite3_open_v2(f->path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    silr_status st = rc == SQLITE_OK ? SILR_OK : silr_db_fail(f->db, f->path, rc, err);

    if (st != SILR_OK)
        return st;
    sqlite3_extended_result_codes(f->db, 1);
    sqlite3_busy_timeout(f->db, PATIENCE * 1000);
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    l->fixed = sqlite3_db_readonly(f->db, "main") == 1;
    if (!l->fixed)
        return settle_patiently(f, err);
    if ((st = check_cache(f, &tables, &version, err)) == SILR_EIO && (st = open_unchanging(f, err)) == SILR_OK)
        st = check_cache(f, &tables, &version, err);
    if (st == SILR_OK)
        silr_log(SILR_LOG_WARN, "%s cannot be written: its answers are used, new ones are not added", f->path);
    return st;
}

silr_status silr_ledger_share(silr_ledger *l, const char *path, silr_error *err)
{
    ledger_file *f = &l->shared;
    silr_error mine;
    silr_status st;

    if (f->db)
        return SILR_OK;
    silr_mem_install();
    if (!l->shared_path && !(l->shared_path = silr_strdup(path)))
        return silr_fail_memory(err);
    f->path = l->shared_path;
    if ((st = open_cache(l, &mine)) == SILR_OK)
        return SILR_OK;
    if (st == SILR_EIO) { /* it would save money, but the run does without */
        silr_ledger_drop_cache(l, &mine);
        return SILR_OK;
    }
    close_file(f, true);
    if (err)
        *err = mine;
    return st;
}

void silr_ledger_drop_cache(silr_ledger *l, const silr_error *why)
{
    /* What to do about it is said of the run's own file. */
    silr_log(SILR_LOG_WARN, "the cache of answers is not used: %.*s", (int)strcspn(why->text, ";"), why->text);
    l->in_shared = l->joined = false;
    close_file(&l->shared, true);
}

/* --- transactions ------------------------------------------------------------------------------ */

/* A commit is on the disk for sure at most once a second: an fsync an answer would cost more than
 * the answer. */
static silr_status set_durability(silr_ledger *l, silr_error *err)
{
    double now = silr_now();
    bool durable = now - l->synced >= 1;
    silr_status st = SILR_OK;

    if (durable != l->durable)
        st = execute(&l->own, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err);
    if (st != SILR_OK)
        return st;
    l->durable = durable;
    if (durable)
        l->synced = now;
    return SILR_OK;
}

silr_status silr_ledger_begin(silr_ledger *l, silr_error *err)
{
    silr_error mine;
    silr_status st;

    SILR_ASSERT(sqlite3_get_autocommit(l->own.db));
    if ((st = set_durability(l, err)) != SILR_OK ||
        (st = run_plain(&l->own, L_BEGIN, err)) != SILR_OK)
        return st;
    l->in_shared = false;
    if (l->shared.db && !l->fixed) {
        l->in_shared = run_plain(&l->shared, L_BEGIN, &mine) == SILR_OK;
        if (!l->in_shared)
            silr_ledger_drop_cache(l, &mine);
    }
    return SILR_OK;
}

silr_status silr_ledger_commit(silr_ledger *l, silr_error *err)
{
    silr_error mine;
    silr_status st = run_plain(&l->own, L_COMMIT, err);

    if (st != SILR_OK) {
        silr_ledger_rollback(l);
        return st;
    }
    if (l->in_shared && run_plain(&l->shared, L_COMMIT, &mine) != SILR_OK) {
        silr_ledger_drop_cache(l, &mine);
        return SILR_OK;
    }
    l->in_shared = false;
    return SILR_OK;
}

void silr_ledger_rollback(silr_ledger *l)
{
    if (!sqlite3_get_autocommit(l->own.db))
        sqlite3_exec(l->own.db, "ROLLBACK", NULL, NULL, NULL);
    if (l->shared.db && !sqlite3_get_autocommit(l->shared.db))
        sqlite3_exec(l->shared.db, "ROLLBACK", NULL, NULL, NULL);
    l->in_shared = false;
    l->joined = false; /* our row may have gone with it; the next claim writes it anew */
}
