/* inside.h - shared by chat.c, ask.c and the files of the Batch API; unknown outside the folder. */
#ifndef SILR_CHAT_INSIDE_H
#define SILR_CHAT_INSIDE_H

#include "chat/chat.h"
#include "http/http.h"

enum { NOTES = 40 };

struct silr_chat {
    const silr_task *task;
    silr_ledger *ledger;
    silr_http *http;
    silr_prompt *prompt;         /* made for `server` */
    const silr_example *example; /* drawn ones; NULL: the task's */
    size_t n_examples;
    silr_buf url;                /* of the chat completions */
    silr_server server;
    bool known;                  /* server is settled */
    int tried;                   /* wishes dropped at random while it is not */
    char *key;                   /* NULL: none */
    double started;              /* of this call */
    double spent, dearest;       /* of the run so far, and its dearest answer; 0: no prices */
    double rate;                 /* the dearest answer of this call for a byte of its request; 0: none */
    double ahead;                /* bytes of requests whose cost is still to come, for silr_chat_limits */
    int64_t sent, answers;       /* of this call */
    double round_trip;           /* of a request, a moving average in seconds; 0: none yet */
    struct {
        char what[60];
        int64_t n;
    } note[NOTES]; /* what happened since the last commit */
    size_t n_notes;
    silr_buf messages, body, reply; /* memory for one at a time */
};

/* As silr_chat_new; one that does not send needs no key and has no connections. */
silr_status silr_chat_start(silr_chat **out, const silr_task *task, silr_ledger *ledger,
                            const silr_example *examples, size_t n_examples, bool sends,
                            silr_error *err);
/* The server's description from the ledger, or hopes; the prompt that fits it. */
silr_status silr_chat_settle(silr_chat *c, silr_error *err);
/* Takes over what another run has found out meanwhile; c->known when there is something. */
silr_status silr_chat_hear(silr_chat *c, silr_error *err);
/* Keeps what was found out, in the caller's transaction. */
silr_status silr_chat_remember(silr_chat *c, silr_error *err);
/* The prompt anew after the server's description has changed. */
silr_status silr_chat_reword(silr_chat *c, silr_error *err);

/* The body of item i's request for a sample into c->body, and its identity. former answers are found
 * in the ledger. *ready false: a former round has no answer, *why says so. */
silr_status silr_chat_compose(silr_chat *c, const silr_chat_job *job, size_t i, int sample,
                              silr_ask_id *id, bool *ready, const char **why, silr_error *err);
/* Adds one to what happened on the way; written down by the next silr_chat_notes. */
void silr_chat_note(silr_chat *c, const char *what);
silr_status silr_chat_notes(silr_chat *c, silr_error *err); /* in the caller's transaction */
/* Keeps an answer in the ledger, in the caller's transaction; adds it to what was spent. */
silr_status silr_chat_keep(silr_chat *c, const silr_ask_id *id, const silr_reply *reply,
                           const char *body, size_t len, size_t asked, double seconds,
                           silr_origin origin, silr_error *err);
/* Requests that are in batches of other runs (elsewhere.c) for which nobody waits: so nor do we. */
typedef struct {
    size_t n;
    silr_holder who; /* who holds some of them longest */
    bool several;    /* runs */
} silr_parked;
void silr_parked_add(silr_parked *p, const silr_holder *who);
/* SILR_ELIMIT, and what to do, up to "; the answers are kept, ..." */
silr_status silr_parked_end(const silr_parked *p, silr_error *err);
/* Says once that answers of another run's batch are waited for. */
void silr_parked_await(size_t n, const silr_holder *who, bool *said);

/* How a request ended that brought no answer: in words, the server's code, a word to count it by. */
void silr_chat_describe(const silr_http_reply *r, char why[300], char code[80], char note[60]);
/* silr_chat_batch with files of up to so many bytes; for tests. */
silr_status silr_chat_batch_within(silr_chat *c, const silr_chat_job *job, uint64_t bytes,
                                   silr_error *err);
/* Whether a limit of the user's is reached; in_flight: requests whose cost is still to come, c->ahead
 * bytes long with the next one. */
silr_status silr_chat_limits(const silr_chat *c, size_t in_flight, silr_error *err);

#endif
