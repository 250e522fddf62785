/* db.h - SQLite as silr uses it, for the two modules that keep things in a file: store/ and ledger/.
 *
 * Only those include it. A statement is prepared once and kept; its values are bound in order; what
 * SQLite's code means to a user is said in one place. */
#ifndef SILR_DB_H
#define SILR_DB_H

#include "base/base.h"
#include <sqlite3.h>

/* What SQLite's code rc means: a status and a sentence with what to do. */
silr_status silr_db_fail(sqlite3 *db, const char *path, int rc, silr_error *err);
/* The file is not as we made it. */
silr_status silr_db_damaged(sqlite3 *db, const char *path, const char *what, silr_error *err);
/* The next row: 1; the end: 0; else a negative status. */
int silr_db_next(sqlite3 *db, const char *path, sqlite3_stmt *q, silr_error *err);
/* Runs a statement that returns no rows, with its binding result `rc`, and lets go of it. */
silr_status silr_db_run(sqlite3 *db, const char *path, sqlite3_stmt *q, int rc, silr_error *err);
void silr_db_done(sqlite3_stmt *q);

/* Values for ?1, ?2, ... one after the other; the first failure stays in rc. Texts and blobs are
 * bound without a copy: they must live until silr_store_run. */
typedef struct {
    sqlite3_stmt *q;
    int at, rc;
} silr_binder;
void silr_bind_int(silr_binder *b, int64_t v);
void silr_bind_real(silr_binder *b, double v);      /* NaN becomes NULL */
void silr_bind_text(silr_binder *b, const char *v); /* NULL becomes NULL */
void silr_bind_blob(silr_binder *b, const void *v, size_t len);
/* Floats on disk: IEEE 754, little-endian. */
void silr_store_floats_out(unsigned char *to, const float *from, size_t n);
void silr_store_floats_in(float *to, const unsigned char *from, size_t n);

#endif
