/* asking.h - the state of one call of silr_chat_ask; shared by ask.c, flights.c, elsewhere.c,
 * learn.c and doubt.c. */
#ifndef SILR_CHAT_ASKING_H
#define SILR_CHAT_ASKING_H

#include "chat/inside.h"

/* An item whose request is the same as that of a flight. */
typedef struct silr_follower silr_follower;
struct silr_follower {
    silr_follower *next;
    size_t item;
    int sample;
};

/* A request from its first sending to its end. */
typedef struct silr_flight silr_flight;
struct silr_flight {
    silr_flight *next; /* in the bucket of its id */
    size_t item;
    int sample, attempt;
    int wording;       /* of the asker, when its request was composed */
    bool sampled;      /* one of several for its item */
    bool repeated;     /* sent before, in this form or another */
    silr_ask_id id;
    char *body;
    size_t len;
    double due;
    int64_t signs;     /* of life, when it last failed */
    char *why;         /* it was refused; NULL: it was not */
    silr_flight *beside; /* in a list of doubtful ones */
    silr_follower *followers;
};

enum { SILR_BUCKETS = 1024 };

/* Items that are not asked about now, in no memory but this. */
typedef struct {
    struct silr_place {
        size_t item;
        int sample;
    } *place;
    size_t n, cap;
} silr_places;

typedef struct {
    silr_chat *c;
    const silr_chat_job *job;
    size_t next; /* item to ask next */
    int sample, samples;
    silr_flight *bucket[SILR_BUCKETS];
    silr_flight **waiting; /* for their next attempt */
    size_t n_waiting, cap_waiting, flying;
    /* elsewhere.c */
    silr_flight **leaving;   /* to be sent at the end of this round; they count as flying */
    silr_flight **elsewhere; /* another run is asking just that */
    size_t n_leaving, cap_leaving, n_elsewhere, cap_elsewhere;
    double look, pause;      /* when to see what has become of those, and how long after that */
    silr_places parked;    /* in batches of other runs */
    silr_places looked;    /* of those, the ones that are looked at just now */
    silr_parked alone;     /* what was said at that of those for which nobody waits */
    silr_holder awaited;   /* and of one for which somebody does, and we with him */
    double park_look, park_pause;
    bool told_of;          /* it was said */
    int wording;           /* how often what is known of the server has changed */
    double on_the_way, in_the_air; /* bytes of the bodies of all flights; of those being answered */
    silr_window window;
    double hold;           /* no request before this */
    uint64_t done, total;
    /* doubt.c */
    int64_t signs;         /* of life: answers, and control questions that were answered */
    silr_flight *worn, *refused, *control;
    size_t n_worn, n_refused;
    char doubt[300];       /* what the last of them failed of */
    bool open;             /* a transaction is */
    bool stopping;
    silr_status why;       /* it stops */
    double stopped;
    silr_error error;
    silr_rng jitter;
} silr_asker;

/* --- flights.c ----------------------------------------------------------------------------------- */

silr_flight *silr_flight_find(silr_asker *a, const silr_ask_id *id);
/* A flight with what was just composed; not sent yet. NULL: no memory. */
silr_flight *silr_flight_new(silr_asker *a, size_t item, int sample, const silr_ask_id *id);
/* Another request for it, just composed; id may be the flight's own. */
silr_status silr_flight_reword(silr_asker *a, silr_flight *f, const silr_ask_id *id, silr_error *err);
void silr_flight_free(silr_asker *a, silr_flight *f);
/* Sends it at the end of this round, unless another run is asking the same (elsewhere.c). */
silr_status silr_flight_send(silr_asker *a, silr_flight *f, silr_error *err);
silr_status silr_flight_wait(silr_asker *a, silr_flight *f, double due, silr_error *err);
silr_status silr_flight_follow(silr_flight *f, size_t item, int sample, silr_error *err);

/* --- elsewhere.c --------------------------------------------------------------------------------- */

/* Claims all that is leaving, in a transaction that the caller commits; what others claim stays. */
silr_status silr_leaving_claim(silr_asker *a, size_t *stayed, silr_error *err);
silr_status silr_leaving_send(silr_asker *a, silr_error *err); /* the rest, after that commit */
/* A flight for what was just composed, if another run is asking that. */
silr_status silr_elsewhere_new(silr_asker *a, size_t item, int sample, const silr_ask_id *id,
                               bool *taken, silr_error *err);
/* Takes the answers that other runs got, and sends what they have given up. */
silr_status silr_elsewhere_look(silr_asker *a, silr_error *err);
bool silr_elsewhere_full(const silr_asker *a);
/* When all other items are done with: the same for those in batches of other runs. Stops the call where
 * nobody waits for any of these. *hits: items that were looked at. */
silr_status silr_elsewhere_parked(silr_asker *a, size_t *hits, silr_error *err);
/* The flight ends, or will ask something else: others may ask it. */
silr_status silr_flight_unclaim(silr_asker *a, const silr_flight *f, silr_error *err);

/* --- ask.c --------------------------------------------------------------------------------------- */

silr_status silr_asker_open(silr_asker *a, silr_error *err); /* a transaction, if there is none */
void silr_asker_stop(silr_asker *a, silr_status why, const silr_error *error);
void silr_asker_stop_peer(silr_asker *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An item: from the ledger, behind an equal one, elsewhere, or on its way. *hit: nothing is sent; *full:
 * nothing was done, as there is no room. */
silr_status silr_asker_launch(silr_asker *a, size_t item, int sample, bool *hit, bool *full,
                              silr_error *err);
/* A limit of the user's forbids to send this now; it may have stopped the call. len: bytes of the body;
 * anew: of a request that was never sent. */
bool silr_asker_limited(silr_asker *a, size_t len, bool anew);
/* The same, and room in the window. */
bool silr_asker_has_room(silr_asker *a, size_t len);
/* Delivers the answer that the ledger has for f, if it has one. */
silr_status silr_asker_from_ledger(silr_asker *a, const silr_flight *f, bool *found, silr_error *err);
/* Ends a flight without an answer, for good. */
silr_status silr_asker_give_up(silr_asker *a, silr_flight *f, const char *why, silr_error *err);

/* --- learn.c ------------------------------------------------------------------------------------- */

/* The same item once more, with the request that the server's description asks for now. */
silr_status silr_asker_reword(silr_asker *a, silr_flight *f, silr_error *err);
/* *once_more: the answer is not good enough yet. */
silr_status silr_asker_learn(silr_asker *a, silr_flight *f, const silr_reply *reply, bool *once_more,
                             silr_error *err);
/* true: the request was changed and is under way again, or *st is a failure. */
bool silr_asker_learn_refusal(silr_asker *a, silr_flight *f, const silr_http_reply *r, silr_status *st,
                              silr_error *err);
/* Nothing learned from this text: begin again with the next. */
silr_status silr_asker_unlearn(silr_asker *a, silr_error *err);

/* --- doubt.c ------------------------------------------------------------------------------------- */

/* The flight failed as often as is allowed and nobody was answered of late. */
void silr_doubt_worn(silr_asker *a, silr_flight *f, const char *why);
/* The server refused this request. */
silr_status silr_doubt_refused(silr_asker *a, silr_flight *f, const char *why, silr_error *err);
/* Someone was answered: the endpoint lives. */
silr_status silr_doubt_over(silr_asker *a, silr_error *err);
/* No new item is to be sent before there is a sign of life. */
bool silr_doubt_pauses(const silr_asker *a);
/* Sends the control question when it is time. */
silr_status silr_doubt_settle(silr_asker *a, silr_error *err);
/* The control question ended so. answered: with an answer; passing: it may be asked again. */
silr_status silr_doubt_controlled(silr_asker *a, bool answered, bool passing, const char *why,
                                  silr_error *err);

#endif
