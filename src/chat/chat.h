/* chat.h - asking a language model behind an OpenAI-compatible endpoint, many texts at once.
 *
 * The door of the folder. prompt: what is said; request: how it is put to this server; reply: what
 * came back; answer: which class that is; policy: when to try again; server: what it can do; ask: the
 * loop that sends, waits, retries, and keeps every answer in the ledger before it counts; batch: the
 * same through the Batch API.
 *
 * It knows texts and classes, no corpus and no store. */
#ifndef SILR_CHAT_H
#define SILR_CHAT_H

#include "ledger/ledger.h"
#include "task/task.h"

/* --- the prompt ---------------------------------------------------------------------------------- */

/* The words around a text, made once: instruction, question, classes, examples. */
typedef struct silr_prompt silr_prompt;

/* examples: those of the task when NULL. system: may a message have that role? else what it would
 * hold stands at the head of the first message of the user. The task must outlive it. */
silr_status silr_prompt_new(silr_prompt **out, const silr_task *task, const silr_example *examples,
                            size_t n_examples, bool system, silr_error *err);
/* For a model that knows no conversation: one page, which ends where the answer begins. */
silr_status silr_prompt_page(silr_prompt **out, const silr_task *task, const silr_example *examples,
                             size_t n_examples, silr_error *err);
void silr_prompt_free(silr_prompt *p);
/* Appends the messages for a text as a JSON array. former: the model's answers so far, which it is
 * asked to check, one after the other (self-refinement, method.md C3). */
void silr_prompt_messages(const silr_prompt *p, const char *text, size_t len,
                          const char *const *former, size_t n_former, silr_buf *out);
/* For who takes a prompt apart: the messages before the text's own, borrowed; the text's own message;
 * and what the user says to have an answer checked. */
typedef enum { SILR_MESSAGE_SYSTEM, SILR_MESSAGE_USER, SILR_MESSAGE_ASSISTANT } silr_message_role;
typedef struct {
    silr_message_role role;
    char *text;
    size_t len;
} silr_message;
const silr_message *silr_prompt_turns(const silr_prompt *p, size_t *n);
void silr_prompt_own(const silr_prompt *p, const char *text, size_t len, silr_buf *out);
const char *silr_prompt_check(void);
/* The same for people: roles as headings. */
void silr_prompt_show(const silr_prompt *p, const char *text, size_t len, silr_buf *out);
/* Names of the answers that stand for the classes: those of the classes, or true and false. */
const char *silr_answer_name(const silr_task *task, int k);

/* --- the server ---------------------------------------------------------------------------------- */

/* What an endpoint can do with a model, as far as it was found out. */
typedef enum { SILR_TOKENS_OLD, SILR_TOKENS_NEW, SILR_TOKENS_NONE } silr_tokens_name; /* max_tokens,
                                                                  max_completion_tokens, neither */
typedef struct {
    silr_tokens_name tokens;
    bool logprobs;    /* takes the parameters */
    bool logprobs_come; /* and gives some */
    int top;          /* top_logprobs it takes; 0: logprobs alone */
    bool schema;      /* response_format json_schema */
    bool object;      /* response_format json_object */
    bool seed, temperature, system, many; /* many: n > 1 */
    bool reasons;     /* thinks before it answers */
} silr_server;
silr_server silr_server_hopes(const silr_task *task); /* everything that the task would like */
void silr_server_to_json(const silr_server *s, silr_buf *out);
bool silr_server_from_json(silr_server *s, const char *json, size_t len);
/* In words, for people: "max_completion_tokens; no log-probabilities". What the task does not want is
 * left out. */
void silr_server_tell(const silr_server *s, const silr_task *task, silr_buf *out);
/* The server refused a request (400 and the like) with these words: which wish to drop? true: *s has
 * changed, ask again. tried: how many were dropped without the server having named one. */
bool silr_server_learn(silr_server *s, const silr_task *task, int status, const char *body,
                       size_t len, int *tried);

/* --- requests ------------------------------------------------------------------------------------ */

/* Appends the body for messages (a JSON array) to out. sample: which of several answers to the same
 * text (from 0). */
void silr_request_body(const silr_task *task, const silr_server *s, const char *messages, size_t len,
                       int sample, silr_buf *out);
/* How many answers one request brings, and how many requests a text takes. */
int silr_request_many(const silr_task *task, const silr_server *s);
/* The longest an answer may be, in tokens, thoughts included. */
int64_t silr_request_tokens(const silr_task *task, const silr_server *s);
/* The identity of a request: address, body, sample. SILR_ENOMEM. */
silr_status silr_request_id(silr_ask_id *out, const char *url, const char *body, size_t len,
                            int sample, silr_error *err);
/* "http://host/v1?x=y" and "/chat/completions" -> "http://host/v1/chat/completions?x=y". */
void silr_request_url(const char *base, const char *path, silr_buf *out);
/* The base address: the task's, the environment's, OpenAI's. */
const char *silr_chat_url(const silr_task *task);

/* --- replies ------------------------------------------------------------------------------------- */

typedef struct {
    const char *token;
    size_t len;
    double logprob;
} silr_token;
typedef struct {
    silr_token token; /* the one that was chosen */
    size_t n_top;
    silr_token *top;
} silr_token_place;
typedef struct {
    const char *content; /* "" where there was none */
    size_t len;
    const char *finish;  /* "stop", "length", "content_filter", ...; "" where not told */
    bool refused;
    size_t n_places;
    silr_token_place *place;
} silr_choice;
typedef struct {
    size_t n_choices;
    silr_choice *choice;
    silr_usage usage;   /* tokens alone */
    bool reasoned;      /* thought before it answered */
    void *tree;         /* what the strings lie in */
    silr_arena arena;
} silr_reply;
/* Reads the body of an answer. false: not one, why says so in a few words (no memory too). */
bool silr_reply_read(silr_reply *out, const char *body, size_t len, char why[200]);
void silr_reply_clear(silr_reply *r);
/* The server's own words in the body of an error, cut and made printable; "" where there are none.
 * code, when not NULL: the error's code or type. */
void silr_reply_error(const char *body, size_t len, char what[200], char code[80]);

/* --- answers ------------------------------------------------------------------------------------- */

/* The class that an answer names, or SILR_NO_LABEL with the reason (a constant string). */
int silr_answer_label(const silr_task *task, const silr_choice *c, const char **reason);
/* Log-probabilities of the classes from those of the tokens, normalised; false: there are none. */
bool silr_answer_logp(const silr_task *task, const silr_choice *c, int label, float *logp);

/* --- policy -------------------------------------------------------------------------------------- */

/* What the end of a request means. */
typedef enum {
    SILR_FATE_ANSWER,
    SILR_FATE_RETRY,  /* may pass */
    SILR_FATE_THROTTLE, /* may pass; the server is asking for less */
    SILR_FATE_GIVE_UP,  /* this request will never be answered */
    SILR_FATE_STOP      /* no request will be: key, address, quota */
} silr_fate;
silr_fate silr_fate_of(int status, const char *code, bool answered_before);
/* Seconds to wait before attempt a (1: the first repetition): exponential with full jitter, from a
 * seeded number in [0,1); the server's own wish goes first. */
double silr_backoff(int attempt, double jitter, double retry_after);

/* How many requests at once: doubles each round trip until the server complains, then halves, then
 * one more a round trip (additive increase, multiplicative decrease). */
typedef struct {
    double size, most;
    bool probing;   /* has not met a limit yet */
    double lowered; /* when it was last halved */
    double poor;    /* share of failures among the ends of late */
} silr_window;
void silr_window_init(silr_window *w, double most);
void silr_window_good(silr_window *w);
void silr_window_bad(silr_window *w, double now, double round_trip); /* it asks for less */
void silr_window_poor(silr_window *w, double now, double round_trip); /* a failure that may be chance */

/* --- asking -------------------------------------------------------------------------------------- */

typedef struct silr_chat silr_chat;

/* Makes ready to ask the task's model; sends nothing. Borrows task and ledger. SILR_EPEER: no key. */
silr_status silr_chat_new(silr_chat **out, const silr_task *task, silr_ledger *ledger,
                          const silr_example *examples, size_t n_examples, silr_error *err);
void silr_chat_free(silr_chat *c);

/* Questions, and what becomes of them. Item i is asked about with `text`; its answers come back in
 * any order, inside a transaction of the ledger, once each: choices of one reply, or none and why.
 * Strings live until the call returns. */
typedef struct {
    void *ctx;
    size_t n;
    const char *what; /* for progress */
    /* The text of an item, and how often the model has answered before: rounds of self-refinement. */
    const char *(*text)(void *ctx, size_t i, size_t *len);
    size_t rounds;
    silr_status (*answered)(void *ctx, size_t i, int sample, const silr_reply *reply,
                            const silr_ask_id *id, const char *why, silr_error *err);
} silr_chat_job;

/* Asks all of it, or takes it from the ledger. SILR_ECANCEL, SILR_ELIMIT: what was in flight has
 * been waited for and kept. SILR_EPEER: the endpoint answers nobody; err says what to do. */
silr_status silr_chat_ask(silr_chat *c, const silr_chat_job *job, silr_error *err);
/* Requests a text takes (samples that the server does not give at once). */
int silr_chat_samples(const silr_chat *c);
/* What was found out about the server; NULL: nothing yet. */
const silr_server *silr_chat_server(const silr_chat *c);
/* Asks one small question, for silr doctor. SILR_EPEER: the endpoint does not answer. */
typedef struct {
    char server[300]; /* what it can do, in words */
    char answer[300]; /* what it said, and what that means */
    double seconds;
    int64_t requests;
} silr_probe;
silr_status silr_chat_probe(silr_probe *out, const silr_task *task, silr_error *err);

/* What asking would take, without asking. */
typedef struct {
    size_t texts, known;    /* known: the ledger has all their answers */
    size_t requests;        /* to be sent */
    double bytes;           /* of their bodies */
    size_t measured_on;     /* answers that the tokens were measured on; 0: four bytes a token */
    double in, in_low, in_high, out, out_low, out_high; /* tokens to come, with 95 % intervals */
    double cost, cost_low, cost_high; /* NAN: no price */
    double seconds;         /* at the task's concurrency, by the answers so far; NAN: none */
} silr_plan;
/* Needs no key and sends nothing. ledger NULL: nothing has been asked yet. */
silr_status silr_chat_plan(silr_plan *out, const silr_task *task, silr_ledger *ledger,
                           const silr_example *examples, size_t n_examples,
                           const silr_chat_job *job, silr_error *err);

/* The Batch API, for the same job; see batch.c. */
silr_status silr_chat_batch(silr_chat *c, const silr_chat_job *job, silr_error *err);

/* The cost of an answer by the task's price table; NAN: the model has no price there. */
double silr_chat_cost(const silr_task *task, const silr_usage *u);

#endif
