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
    L_CLAIM_GET,
    L_CLAIM_PUT,
    L_CLAIM_DROP,
    L_OWNER_GET,
    L_OWNER_SIGN,
    L_OWNER_DROP,
    L_OWNER_CLAIMS_DROP,
    L_OWNERS,
    L_N
} ledger_query;

/* A file with the tables, and the statements prepared on it. */
typedef struct {
    sqlite3 *db; /* NULL: not there */
    const char *path;
    sqlite3_stmt *stmt[L_N];
} ledger_file;

enum {
    LEDGER_HOST = 128,
    LEDGER_LEASE = 30 /* seconds */
};

/* A row of owners (claims.c). */
typedef struct {
    int64_t owner; /* 0: none yet */
    char host[LEDGER_HOST];
    int64_t pid, start, beat;
} ledger_owner;

/* What is remembered of another owner. */
typedef struct {
    int64_t owner, beat;
    double since, looked; /* when its beat was last seen to change, when it was last looked at */
    bool lives;
} ledger_watch;

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
    ledger_owner me;
    bool joined, rows;  /* we have a row in the cache's owners; we may have some there */
    double lease, beaten; /* seconds; when our row last got a beat */
    ledger_watch *watched;
    size_t n_watched, cap_watched;
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    silr_buf packed;
};

silr_status silr_ledger_query(ledger_file *f, ledger_query which, sqlite3_stmt **out,
                              silr_error *err);
/* The cache has failed: says so once, and goes on without it. */
void silr_ledger_drop_cache(silr_ledger *l, const silr_error *why);

/* Tables that only a cache has. */
extern const char silr_claims_schema[];
bool silr_ledger_file_has(ledger_file *f, const silr_ask_id *id);
/* Who this process is; false: the system gives no random numbers. */
bool silr_owner_make(ledger_owner *o);
/* Its process is gone, which can only be told of one on the same host. */
bool silr_owner_is_dead(const ledger_owner *o, const char *my_host);

#endif
