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
    L_BATCH_HAS,
    L_HOLD_GET,
    L_HOLD_FIND,
    L_HOLD_SET,
    L_HOLD_CLAIM,
    L_HOLD_DROP,
    L_HOLD_CLAIMS,
    L_HOLDS_OVER,
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

/* Whether a claim is in the way of this run. */
typedef enum {
    LEDGER_MINE,   /* this process's, or of a batch of this run */
    LEDGER_THEIRS,
    LEDGER_VOID    /* of nobody any more */
} ledger_standing;

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
/* The first row of a query that was bound: as silr_db_next. */
int silr_ledger_first(ledger_file *f, const silr_binder *b, silr_error *err);
/* The cache has failed: says so once, and goes on without it. */
void silr_ledger_drop_cache(silr_ledger *l, const silr_error *why);

/* Tables that only a cache has. */
extern const char silr_claims_schema[], silr_holds_schema[];
bool silr_ledger_file_has(ledger_file *f, const silr_ask_id *id);
/* An answer of the run that has not come to the cache is put there; nothing where the run has none. In a
 * transaction. */
silr_status silr_ledger_pass_on(silr_ledger *l, const silr_ask_id *id, silr_error *err);

/* --- claims.c ------------------------------------------------------------------------------------ */

/* A row of owners for this process, if it has none. */
silr_status silr_ledger_join(silr_ledger *l, silr_error *err);
/* Does a process with a row of owners live, as far as can be told from here? */
silr_status silr_ledger_judge(silr_ledger *l, int64_t owner, bool *lives, silr_error *err);
/* The request is answered: whoever's claim there is, it has no meaning any more. */
void silr_ledger_end_claim(silr_ledger *l, const silr_ask_id *id);
/* Takes away an owner, or a batch, and its claims. */
silr_status silr_ledger_bury(silr_ledger *l, int64_t owner, silr_error *err);

/* --- holds.c ------------------------------------------------------------------------------------- */

/* The claim of a batch: owner < 0. who: as in silr_ledger_claimed. */
silr_status silr_hold_weigh(silr_ledger *l, int64_t owner, ledger_standing *out, silr_holder *who,
                            silr_error *err);
/* Makes a claim one of a batch that is held. */
silr_status silr_hold_claim(silr_ledger *l, const silr_ask_id *id, const char *batch, silr_error *err);
/* Takes away those whose time is over. */
silr_status silr_hold_sweep(silr_ledger *l, silr_error *err);

/* --- owner.c ------------------------------------------------------------------------------------- */

/* Who this process is; false: the system gives no random numbers. */
bool silr_owner_make(ledger_owner *o);
/* Its process is gone, which can only be told of one on the same host. */
bool silr_owner_is_dead(const ledger_owner *o, const char *my_host);

#endif
