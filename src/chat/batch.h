/* batch.h - shared by the files that speak with the Batch API: batch.c, batch_plan.c, batch_share.c,
 * state.c, submit.c, create.c, gather.c, outline.c, call.c; unknown to the others. */
#ifndef SILR_CHAT_BATCH_H
#define SILR_CHAT_BATCH_H

#include "chat/inside.h"
#include <jansson.h>

enum {
    BATCH_NONE = -1,
    BATCH_BYTES = 100 << 20, /* of a file; OpenAI takes 200 MB, others 100 */
    BATCH_NAME = 32,
    BATCH_ID = 128,    /* bytes of a server's id, with NUL */
    BATCH_TELLS = 16 << 20, /* bytes of a description: a batch that failed may list an error a line */
    BATCH_REFUSED = 10 /* so many refused lines and no answer: it is the request that is wrong */
};

/* --- what is to be answered ---------------------------------------------------------------------- */

/* An answer that is missing. Those of equal requests stand together; the first tells of all. */
typedef struct {
    silr_ask_id id;
    uint32_t item, bytes;   /* bytes: of the request's body */
    int32_t batch;          /* in which it is under way; BATCH_NONE */
    uint16_t sample, tries; /* tries: how often it was sent */
    bool done, again;       /* again: it failed in its batch, and goes into another when that is closed */
    bool elsewhere;         /* another run is asking just that */
} want;

/* Where a batch stands; an upload that was not finished leaves no trace. */
typedef enum {
    BATCH_UPLOADED, /* the file is; whether there is a batch for it is not known */
    BATCH_CREATED,
    BATCH_COLLECTED,
    BATCH_FAILED
} batch_stage;

typedef struct {
    char name[BATCH_NAME]; /* ours */
    batch_stage stage;
    char file[BATCH_ID], id[BATCH_ID]; /* the server's; "" before it is known */
    char output[BATCH_ID], errors[BATCH_ID]; /* its files, as last told; "": none */
    char told[24];         /* its status, as last told */
    char why[280];         /* it failed */
    uint64_t lines, completed, failed;
    double estimate;       /* of its cost; 0: no price */
    int64_t made;          /* unix time */
    int64_t expires;       /* when the server ends it; 0: not told */
    /* of this call */
    bool resumed;          /* begun by an earlier one */
    size_t waiting;        /* lines in it without an answer */
    size_t answered, refused, again; /* lines collected */
    double due, pause;     /* when to look at it, and how long after that */
    int misses;            /* looks in a row that brought nothing */
    int64_t held;          /* until when its requests are claimed; unix time */
    bool lost;             /* another run is asking some of it: no batch is created for it */
} batch;

typedef struct {
    silr_chat *c;
    const silr_chat_job *job;
    silr_buf base;         /* of the API's addresses: what stands before /files and /batches */
    const char *endpoint;  /* as lines and batches name it */
    uint64_t most_bytes;   /* of a file */
    want *want;            /* [n] by id */
    size_t n, cap;
    batch *batch;          /* all that the ledger knows, and those of this call */
    size_t n_batches, cap_batches;
    uint64_t done, total;  /* answers handed over */
    double bytes, tokens;  /* of requests that were answered before */
    size_t n_elsewhere;    /* groups that other runs are asking */
    double look, pause;    /* when to see what has become of those, and how long after that */
    silr_parked parked;    /* those of them for which nobody waits, at the last look */
    silr_holder awaited;   /* one for whose batch somebody does, and we with him */
    bool told_of;          /* it was said */
    bool open;             /* a transaction is */
    bool hold;             /* nothing is sent before another batch has ended, because of `why` */
    silr_error why;
} batcher;

/* The end of the group of equal requests that begins at i. */
size_t silr_want_next(const batcher *b, size_t i);
/* The group with this id; NULL: not asked for. */
want *silr_want_find(batcher *b, const silr_ask_id *id);
/* Hands an answer, or why there is none, to all of a group: done. In a transaction. */
silr_status silr_want_deliver(batcher *b, want *w, const silr_reply *reply, const char *why,
                              silr_error *err);
/* The same for good: a line that will not be sent again. */
silr_status silr_want_give_up(batcher *b, want *w, const char *why, silr_error *err);

silr_status silr_batch_open(batcher *b, silr_error *err); /* a transaction, unless there is one */
silr_status silr_batch_commit(batcher *b, silr_error *err);

/* --- plan.c -------------------------------------------------------------------------------------- */

/* Asks one by one until it is known what the server can do: items from *from on are left. */
silr_status silr_batch_settle(batcher *b, size_t *from, silr_error *err);
/* Delivers what the ledger has of items from `from` on; the rest becomes b->want. */
silr_status silr_batch_plan(batcher *b, size_t from, silr_error *err);

/* --- batch_share.c ------------------------------------------------------------------------------- */

/* Claims a group that is to go into a batch; *mine: it may. Else it is answered, or elsewhere. May leave a
 * transaction open. */
silr_status silr_share_claim(batcher *b, want *w, bool *mine, silr_error *err);
/* Gives back what was claimed for a batch that is not sent. Commits. */
silr_status silr_share_release(batcher *b, const batch *t, silr_error *err);
/* In a transaction: the claims of its lines are the batch's from now on, and hold when we are gone. */
void silr_share_hold(batcher *b, batch *t);
/* One of those; t->lost: it is another's. */
void silr_share_take(batcher *b, batch *t, const want *w);
bool silr_share_due(const batch *t); /* the time to which they hold should be put off */
/* The same for batches that an earlier call has left. Commits. */
silr_status silr_share_resume(batcher *b, silr_error *err);
/* Takes the answers that other runs got; what they gave up is in no batch any more. Commits. */
silr_status silr_share_look(batcher *b, silr_error *err);
/* All that is left is elsewhere: waits for the next look. SILR_ELIMIT: nobody waits for those batches. */
silr_status silr_share_wait(batcher *b, silr_error *err);

/* --- state.c ------------------------------------------------------------------------------------- */

/* Reads b->batch from the ledger, and which of b->want are under way where. */
silr_status silr_batch_load(batcher *b, silr_error *err);
/* Writes a batch's row, in a transaction, and puts off the time to which its requests are held. */
silr_status silr_batch_keep(batcher *b, batch *t, silr_error *err);
/* A new one at the end of b->batch, of a name that no other has; NULL: err says why. */
batch *silr_batch_new(batcher *b, silr_error *err);
/* Takes over what a server's description of a batch says. false: it is none, or of another batch. */
bool silr_batch_read(batch *t, const json_t *from);
bool silr_batch_ended(const batch *t);
/* Under way, with lines that are waited for. */
bool silr_batch_underway(const batch *t);
/* An id of a server's that may stand in an address: out[BATCH_ID]. */
bool silr_batch_id(char *out, const json_t *from);
/* Its lines are in no batch any more, and it is done with. ran: it counts as a try. Commits. */
silr_status silr_batch_close(batcher *b, batch *t, batch_stage stage, bool ran, silr_error *err);

/* --- submit.c ------------------------------------------------------------------------------------ */

/* Sends what is in no batch yet; b->hold is set where that has to wait. */
silr_status silr_batch_submit(batcher *b, silr_error *err);

/* --- create.c ------------------------------------------------------------------------------------ */

/* Creates the batch of a file that was just uploaded. */
silr_status silr_batch_create(batcher *b, batch *t, silr_error *err);
/* Of one that an earlier call had uploaded, unless it is there. */
silr_status silr_batch_resume(batcher *b, batch *t, silr_error *err);

/* --- gather.c ------------------------------------------------------------------------------------ */

/* Takes all that a batch that has ended brought, and closes it. SILR_EPEER: it failed and will fail
 * again. */
silr_status silr_batch_gather(batcher *b, batch *t, silr_error *err);

/* --- outline.c ----------------------------------------------------------------------------------- */

/* A line of an output or an error file, cut but not parsed: pieces of the line. */
typedef struct {
    const char *custom_id, *body, *error; /* of the line, its response, and it again; NULL: none, null */
    size_t id_len, body_len, error_len;   /* strings without their quotes */
    int status; /* of the response; 0: none */
} silr_outline;
/* false: not an object with a custom_id. */
bool silr_outline_cut(silr_outline *out, const char *line, size_t len);

/* --- call.c -------------------------------------------------------------------------------------- */

/* The address of a path of the API. Cleared first; query: "limit=100"; NULL: none. */
silr_status silr_call_url(const batcher *b, silr_buf *out, const char *path, const char *query,
                          silr_error *err);
/* SILR_ECANCEL, SILR_ELIMIT: the user does not want to wait any longer. */
silr_status silr_call_may_wait(const silr_chat *c, silr_error *err);
silr_status silr_call_pause(silr_chat *c, double seconds, silr_error *err);
/* Sends it and waits for its end, whatever that is. firm: cancelling does not stop it. */
silr_status silr_call_once(silr_chat *c, const silr_http_request *r, bool firm,
                           silr_http_reply *out, silr_error *err);
/* SILR_OK: it was good, or (*again) it may pass, and the pause has been waited for; or SILR_EPEER.
 * read: the body of a good one could be read. */
silr_status silr_call_judge(silr_chat *c, const silr_http_request *r, const silr_http_reply *reply,
                            bool read, int attempt, bool *again, silr_error *err);
/* The body of a good one as JSON; NULL: it is neither. json_decref. */
json_t *silr_call_json(const silr_http_reply *reply);
/* Gets a JSON object, however often that takes. */
silr_status silr_call_get(silr_chat *c, const char *url, size_t most, silr_http_reply *reply,
                          json_t **out, silr_error *err);

#endif
