/* db.c - SQLite as silr uses it: its codes as ours, values bound one after the other. */
#include "db/db.h"
#include <endian.h>
#include <string.h>

silr_status silr_db_damaged(sqlite3 *db, const char *path, const char *what, silr_error *err)
{
    if (db && (sqlite3_errcode(db) & 0xff) == SQLITE_NOMEM)
        return silr_fail_memory(err); /* a value could not be brought, which is not its fault */
    return silr_fail(err, SILR_EINPUT,
                     "%s: not a run database or damaged: %s; restore a copy, or delete the folder "
                     "and run again",
                     path, what);
}

/* The one place that knows SQLite's codes. Each sentence says what the user can do. */
silr_status silr_db_fail(sqlite3 *db, const char *path, int rc, silr_error *err)
{
    int os = db ? sqlite3_system_errno(db) : 0;
    const char *why = os ? strerror(os) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return silr_fail_memory(err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return silr_db_damaged(db, path, sqlite3_errstr(rc), err);
    case SQLITE_FULL:
        return silr_fail(err, SILR_EIO,
                         "%s: the disk is full; make room and give the same command again, it goes "
                         "on from what is stored",
                         path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return silr_fail(err, SILR_EIO,
                         "%s: another program keeps it locked; close it and give the same command "
                         "again",
                         path);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be opened: %s; look at the rights of the folder, or use "
                         "another --out",
                         path, why);
    case SQLITE_READONLY:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be written: it is read-only; look at the rights of the folder, "
                         "or use another --out",
                         path);
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        return silr_fail(err, SILR_EBUG, "%s: this is a bug in silr: %s", path,
                         sqlite3_errstr(rc));
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
        /* A table that is not there, or a row where none can be: the file is not as we made it. */
        return silr_db_damaged(db, path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc), err);
    default:
        return silr_fail(err, SILR_EIO,
                         "%s: cannot be read or written: %s; when the disk is in order, give the "
                         "same command again, it goes on from what is stored",
                         path, why);
    }
}

int silr_db_next(sqlite3 *db, const char *path, sqlite3_stmt *q, silr_error *err)
{
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : silr_db_fail(db, path, rc, err);
}

silr_status silr_db_run(sqlite3 *db, const char *path, sqlite3_stmt *q, int rc, silr_error *err)
{
    silr_status st = SILR_OK;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        st = silr_db_fail(db, path, rc, err);
    silr_db_done(q);
    return st;
}

/* Unbinds too: values are bound without a copy and must not be looked at again. */
void silr_db_done(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
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
