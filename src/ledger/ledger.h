/* ledger.h - what language models were asked and what they answered.
 *
 * An answer costs money and time. It is here, on disk, before it counts; what is here is never
 * asked again. The ledger of a run lies in its run.db, in the same transactions as the labels made
 * from it; a cache file beside it, when there is one, carries answers from run to run.
 *
 *     silr_ledger_find(l, &id, &reply, &usage, &found, err)     asked before?
 *     ... if not: ask ...
 *     silr_ledger_begin(l, err)
 *     silr_ledger_put(l, &id, &answer, err)                     and what was made of it
 *     silr_ledger_commit(l, err)
 *
 * A killed process loses nothing that was committed; a power cut at most the last second. */
#ifndef SILR_LEDGER_H
#define SILR_LEDGER_H

#include "base/base.h"

struct sqlite3;
typedef struct silr_ledger silr_ledger;

/* The tables, for whoever makes a file that shall have a ledger in it. */
extern const char silr_ledger_schema[];

/* A ledger in an open file that has the tables; db and path are borrowed. */
silr_status silr_ledger_on(silr_ledger **out, struct sqlite3 *db, const char *path, silr_error *err);
/* One in memory, for questions whose answers nobody keeps. */
silr_status silr_ledger_in_memory(silr_ledger **out, silr_error *err);
/* Joins a cache file, which is made when it is not there. One that cannot be written is read; one that
 * cannot be read is done without, with a warning. SILR_EINPUT: the file is something else. */
silr_status silr_ledger_share(silr_ledger *l, const char *path, silr_error *err);
void silr_ledger_free(silr_ledger *l); /* NULL is fine */

/* What identifies a request: SHA-256 over all that could change its answer. */
typedef struct {
    unsigned char bytes[32];
} silr_ask_id;
uint64_t silr_ask_id_short(const silr_ask_id *id); /* its first 8 bytes, big-endian */

/* How an answer was come by. What was paid for by another run costs this one nothing. */
typedef enum { SILR_ORIGIN_LIVE, SILR_ORIGIN_BATCH, SILR_ORIGIN_CACHE } silr_origin;

typedef struct {
    int64_t prompt_tokens, cached_tokens, completion_tokens; /* 0: not told */
    double cost;    /* NAN: no price is known */
    double seconds; /* from sending to the whole answer; NAN: not known */
} silr_usage;

typedef struct {
    const char *model;
    const char *reply; /* the body of the answer */
    size_t len;
    silr_usage usage;
    silr_origin origin;
} silr_answer;

enum { SILR_REPLY_MAX = 4 << 20 }; /* bytes of a body, as it is read or unpacked */

silr_status silr_ledger_begin(silr_ledger *l, silr_error *err);
silr_status silr_ledger_commit(silr_ledger *l, silr_error *err);
void silr_ledger_rollback(silr_ledger *l);

/* *found: the answer is in `reply` (replaced). One that only the cache has is taken over, inside the
 * caller's transaction or one of its own. usage may be NULL. */
silr_status silr_ledger_find(silr_ledger *l, const silr_ask_id *id, silr_buf *reply,
                             silr_usage *usage, bool *found, silr_error *err);
bool silr_ledger_has(silr_ledger *l, const silr_ask_id *id); /* the same, without taking over */
silr_status silr_ledger_put(silr_ledger *l, const silr_ask_id *id, const silr_answer *a,
                            silr_error *err);

/* Before a request goes out it is claimed, so that no other run on the same cache file sends it too
 * (claims.c). Without a cache, or with one that fails, all is granted. Equal requests of this ledger are
 * its caller's concern: its claims are all its own. silr_ledger_put gives a claim back. */
typedef enum {
    SILR_CLAIM_MINE,
    SILR_CLAIM_TAKEN,   /* another run that lives is asking */
    SILR_CLAIM_ANSWERED /* one has asked: silr_ledger_find has it now */
} silr_claim;
bool silr_ledger_shares(const silr_ledger *l); /* there is a cache that can be written */
silr_claim silr_ledger_claim(silr_ledger *l, const silr_ask_id *id);   /* in the caller's transaction */
void silr_ledger_unclaim(silr_ledger *l, const silr_ask_id *id);       /* likewise: it has no answer */
/* Who has claimed a request. */
typedef struct {
    bool batch;    /* it is in a batch at the server: */
    char run[300]; /* of the run in this folder; "": not known */
    int64_t until; /* it is held until then, unix time, whatever becomes of that run */
    bool lives;    /* a process lives that will see to it */
} silr_holder;
/* Only looks: another run has it. who may be NULL. */
bool silr_ledger_claimed(silr_ledger *l, const silr_ask_id *id, silr_holder *who);
/* A batch is answered, and paid for, also when its process has ended. So its requests are held in its name
 * until a time, for whoever goes on with this ledger (holds.c). All in the caller's transaction: */
void silr_ledger_hold(silr_ledger *l, const char *batch, int64_t until); /* of this ledger's batches */
silr_claim silr_ledger_claim_in(silr_ledger *l, const silr_ask_id *id, const char *batch); /* a held one */
/* It is done with, and so are its claims; answers that have not come to the cache do now. */
void silr_ledger_unhold(silr_ledger *l, const char *batch);
/* To be called every second or so while there are claims: tells the others that we live. */
void silr_ledger_beat(silr_ledger *l);
void silr_ledger_leave(silr_ledger *l); /* gives all claims back; outside a transaction */

/* Sums over the run's answers. */
typedef struct {
    size_t answers, cached, batched;  /* cached: taken from the cache; batched: by the Batch API */
    int64_t prompt_tokens, cached_tokens, completion_tokens; /* of answers of this run's own */
    double cost;    /* of this run's own answers; NAN: of some the price is not known */
    double paid, dearest; /* the same of those whose price is known; the dearest of them; 0: none */
    double seconds; /* mean of an answer; NAN: none */
} silr_ledger_sums;
silr_status silr_ledger_sum(silr_ledger *l, silr_ledger_sums *out, silr_error *err);

/* What this process has sent, over all conversations on this ledger; for whoever sends. */
typedef struct {
    int64_t sent; /* requests */
    double began; /* by silr_now; 0: not yet */
} silr_ledger_call;
silr_ledger_call *silr_ledger_this_call(silr_ledger *l);

/* How often something happened on the way: "sent", "429", "timeout", "retried", ... Adds n. */
silr_status silr_ledger_count(silr_ledger *l, const char *what, int64_t n, silr_error *err);
typedef silr_status (*silr_ledger_each)(void *ctx, const char *what, int64_t n, silr_error *err);
silr_status silr_ledger_counts(silr_ledger *l, silr_ledger_each each, void *ctx, silr_error *err);

/* What is known of a server and a model, as JSON: found out once, kept, in the cache too: without it
 * nobody knows with which words an answer was asked for. Missing: empty. */
silr_status silr_ledger_server_get(silr_ledger *l, const char *url, const char *model,
                                   silr_buf *facts, silr_error *err);
silr_status silr_ledger_server_set(silr_ledger *l, const char *url, const char *model,
                                   const char *facts, silr_error *err);
typedef silr_status (*silr_ledger_server)(void *ctx, const char *url, const char *model,
                                          const char *facts, silr_error *err);
silr_status silr_ledger_servers(silr_ledger *l, silr_ledger_server each, void *ctx, silr_error *err);

/* Batches that were begun (Batch API), each with its state as JSON under a name of ours. */
silr_status silr_ledger_batch_set(silr_ledger *l, const char *name, const char *state,
                                  silr_error *err);
typedef silr_status (*silr_ledger_batch)(void *ctx, const char *name, const char *state,
                                         silr_error *err);
silr_status silr_ledger_batches(silr_ledger *l, silr_ledger_batch each, void *ctx, silr_error *err);

/* Requests that were sent in batches which are not done with: in which batch ("": in none any more, to
 * be sent again), and how often they were sent. Unknown: "" and 0. */
silr_status silr_ledger_line_get(silr_ledger *l, const silr_ask_id *id, silr_buf *batch, int *tries,
                                 silr_error *err);
silr_status silr_ledger_line_set(silr_ledger *l, const silr_ask_id *id, const char *batch, int tries,
                                 silr_error *err);
/* How many of a batch have no answer. */
silr_status silr_ledger_lines_left(silr_ledger *l, const char *batch, int64_t *n, silr_error *err);
silr_status silr_ledger_lines_drop(silr_ledger *l, const char *batch, silr_error *err); /* all of it */

/* The file it lies in: beside it there is room for what is too long for memory. */
const char *silr_ledger_path(const silr_ledger *l);

#endif
