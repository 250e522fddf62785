/* inside.h - shared by the files of ledger/, unknown outside. */
#ifndef SILR_LEDGER_INSIDE_H
#define SILR_LEDGER_INSIDE_H

#include "db/db.h"
#include "ledger/ledger.h"
#include <zstd.h>

typedef enum {
    L_BEGIN,
    L_COMMIT,
    L_FIND,
    L_HAS,
    L_PUT,
    L_SUM,
    L_COUNT_ADD,
    L_COUNTS,
    L_SERVER_GET,
    L_SERVER_SET,
    L_SERVERS,
    L_BATCH_SET,
    L_BATCHES,
    L_LINE_GET,
    L_LINE_SET,
    L_LINES_LEFT,
    L_LINES_DROP,
    L_N
} ledger_query;

/* A file with the tables, and the statements prepared on it. */
typedef struct {
    sqlite3 *db; /* NULL: not there */
    const char *path;
    sqlite3_stmt *stmt[L_N];
} ledger_file;

struct silr_ledger {
    ledger_file own, shared;
    char *shared_path;
    silr_ledger_call call;
    bool in_shared;     /* the cache is in a transaction too */
    bool in_memory;     /* own is nobody else's */
    bool read_only;     /* own is only looked at: nothing is taken over into it */
    bool fixed;         /* the cache can only be read */
    bool durable;       /* own is at synchronous=FULL */
    double synced;      /* when a commit last went to the disk for sure */
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    silr_buf packed;
};

silr_status silr_ledger_query(ledger_file *f, ledger_query which, sqlite3_stmt **out,
                              silr_error *err);
/* The cache has failed: says so once, and goes on without it. */
void silr_ledger_drop_cache(silr_ledger *l, const silr_error *why);

#endif
