/* store.c - statements, transactions, small facts, and SQLite's codes as ours. */
#include "store/internal.h"
#include <endian.h>
#include <string.h>

silr_status silr_store_damaged(const silr_store *s, const char *what, silr_error *err)
{
    if (s->db && (sqlite3_errcode(s->db) & 0xff) == SQLITE_NOMEM)
        return silr_fail_memory(err); /* a value could not be brought, which is not its fault */
    return silr_fail(err, SILR_EINPUT,
                     "%s: not a run database or damaged: %s; restore a copy, or delete the folder "
                     "and run again",
                     s->path, what);
}

/* The one place that knows SQLite's codes. Each sentence says what the user can do. */
silr_status silr_store_fail(const silr_store *s, int rc, silr_error *err)
{
    int os = s->db ? sqlite3_system_errno(s->db) : 0;
    const char *why = os ? strerror(os) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return silr_fail_memory(err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return silr_store_damaged(s, sqlite3_errstr(rc), err);
    case SQLITE_FULL:
        return silr_fail(err, SILR_EIO,
                         "%s: the disk is full; make room and give the same command again, it goes "
                         "on from what is stored",
                         s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return silr_fail(err, SILR_EIO,
                         "%s: another program keeps it locked; close it and give the same command "
                         "again",
                         s->path);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be opened: %s; look at the rights of the folder, or use "
                         "another --out",
                         s->path, why);
    case SQLITE_READONLY:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be written: it is read-only; look at the rights of the folder, "
                         "or use another --out",
                         s->path);
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        return silr_fail(err, SILR_EBUG, "%s: this is a bug in silr: %s", s->path,
                         sqlite3_errstr(rc));
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
        /* A table that is not there, or a row where none can be: the file is not as we made it. */
        return silr_store_damaged(s, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), err);
    default:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be read or written: %s; when the disk is in order, give the "
                         "same command again, it goes on from what is stored",
                         s->path, why);
    }
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

/* Unbinds too: values are bound without a copy and must not be looked at again. */
static void finish(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

silr_status silr_store_run(silr_store *s, sqlite3_stmt *q, int rc, silr_error *err)
{
    silr_status st = SILR_OK;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        st = silr_store_fail(s, rc, err);
    finish(q);
    return st;
}

void silr_bind_int(silr_binder *b, int64_t v)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_int64(b->q, ++b->at, v);
}

void silr_bind_real(silr_binder *b, double v)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_double(b->q, ++b->at, v);
}

void silr_bind_text(silr_binder *b, const char *v)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_text(b->q, ++b->at, v, -1, SQLITE_STATIC);
}

/* A NULL pointer would be bound as NULL; an empty blob is a value. */
void silr_bind_blob(silr_binder *b, const void *v, size_t len)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_blob64(b->q, ++b->at, len > 0 ? v : "", len, SQLITE_STATIC);
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
    finish(q);
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

/* --- floats ------------------------------------------------------------------------------------ */

void silr_store_floats_out(unsigned char *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        bits = htole32(bits);
        memcpy(to + i * sizeof bits, &bits, sizeof bits);
    }
}

void silr_store_floats_in(float *to, const unsigned char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        bits = le32toh(bits);
        memcpy(&to[i], &bits, sizeof bits);
    }
}
