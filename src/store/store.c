/* store.c - statements, transactions, small facts. */
#include "store/internal.h"
#include <string.h>

silr_status silr_store_damaged(const silr_store *s, const char *what, silr_error *err)
{
    return silr_db_damaged(s->db, s->path, what, err);
}

silr_status silr_store_fail(const silr_store *s, int rc, silr_error *err)
{
    return silr_db_fail(s->db, s->path, rc, err);
}

silr_status silr_store_query(silr_store *s, silr_query q, sqlite3_stmt **out, silr_error *err)
{
    int rc = SQLITE_OK;

    if (!s->stmt[q])
        rc = sqlite3_prepare_v3(s->db, silr_store_sql[q], -1, SQLITE_PREPARE_PERSISTENT,
                                &s->stmt[q], NULL);
    *out = s->stmt[q];
    return rc == SQLITE_OK ? SILR_OK : silr_store_fail(s, rc, err);
}

silr_status silr_store_run(silr_store *s, sqlite3_stmt *q, int rc, silr_error *err)
{
    return silr_db_run(s->db, s->path, q, rc, err);
}

int silr_store_next(silr_store *s, sqlite3_stmt *q, silr_error *err)
{
    return silr_db_next(s->db, s->path, q, err);
}

bool silr_store_doc(sqlite3_stmt *q, int column, size_t n, size_t *doc)
{
    sqlite3_int64 v = sqlite3_column_int64(q, column);
    if (v < 0 || (uint64_t)v >= n)
        return false;
    *doc = (size_t)v;
    return true;
}

/* --- transactions ------------------------------------------------------------------------------ */

static silr_status run_plain(silr_store *s, silr_query which, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, which, &q, err);
    return st == SILR_OK ? silr_store_run(s, q, SQLITE_OK, err) : st;
}

silr_status silr_store_begin(silr_store *s, silr_error *err)
{
    SILR_ASSERT(sqlite3_get_autocommit(s->db));
    return run_plain(s, Q_BEGIN, err);
}

silr_status silr_store_commit(silr_store *s, silr_error *err)
{
    silr_status st = run_plain(s, Q_COMMIT, err);
    if (st != SILR_OK)
        silr_store_rollback(s);
    return st;
}

/* Some failures (a full disk, no memory) make SQLite roll back by itself; then there is nothing
 * left to do. */
void silr_store_rollback(silr_store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

silr_status silr_store_enter(silr_store *s, bool *own, silr_error *err)
{
    silr_status st = SILR_OK;

    *own = false;
    if (sqlite3_get_autocommit(s->db)) {
        st = silr_store_begin(s, err);
        *own = st == SILR_OK;
    }
    return st;
}

silr_status silr_store_leave(silr_store *s, bool own, silr_status st, silr_error *err)
{
    if (!own)
        return st;
    if (st == SILR_OK)
        return silr_store_commit(s, err);
    silr_store_rollback(s);
    return st;
}

/* --- small facts ------------------------------------------------------------------------------- */

silr_status silr_store_set(silr_store *s, const char *name, const void *bytes, size_t len,
                           silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_store_query(s, Q_META_SET, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, name);
    silr_bind_blob(&b, bytes, len);
    return silr_store_run(s, b.q, b.rc, err);
}

silr_status silr_store_get(silr_store *s, const char *name, silr_buf *out, silr_error *err)
{
    sqlite3_stmt *q;
    int rc;
    silr_status st;

    silr_buf_reset(out);
    if ((st = silr_store_query(s, Q_META_GET, &q, err)) != SILR_OK)
        return st;
    rc = sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(q, 0);
        int len = sqlite3_column_bytes(q, 0);
        if (bytes)
            silr_buf_add(out, bytes, (size_t)len);
        if (out->failed || (!bytes && sqlite3_errcode(s->db) == SQLITE_NOMEM))
            st = silr_fail_memory(err);
    } else if (rc != SQLITE_DONE) {
        st = silr_store_fail(s, rc, err);
    }
    silr_db_done(q);
    return st;
}

silr_status silr_store_unset(silr_store *s, const char *name, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, Q_META_UNSET, &q, err);

    if (st != SILR_OK)
        return st;
    return silr_store_run(s, q, sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC), err);
}
