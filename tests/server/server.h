/* server.h - what the files of chat_server share.
 *
 * The program is one thread and one loop, so nothing here is locked. A request goes
 *
 *     http.c      reads it, whole
 *     route.c     key, rate, then who answers: chat.c (by tokens.c), files.c, batch.c, stats.c
 *     faults.c    spoils the answer, if it is this request's turn
 *     wait.c      keeps it back: latency, slots
 *     http.c      sends it
 *
 * and stats.c counts what came and what went. Out of memory is the end of the program. */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include "base/buf.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;

/* --- options.c: the command line, read once --------------------------------------------- */

/* What --reject and --ignore name. */
enum param {
    PARAM_MAX_TOKENS,
    PARAM_MAX_COMPLETION_TOKENS,
    PARAM_LOGPROBS,
    PARAM_TOP_LOGPROBS,
    PARAM_RESPONSE_FORMAT,
    PARAM_SEED,
    PARAM_TEMPERATURE,
    PARAM_N,
    PARAM_SYSTEM, /* the role */
    PARAMS
};
extern const char *const param_names[PARAMS];

enum fault {
    FAULT_429,
    FAULT_429_BARE,
    FAULT_429_QUOTA,
    FAULT_500,
    FAULT_503,
    FAULT_408,
    FAULT_400,
    FAULT_401_SOMETIMES,
    FAULT_RESET,
    FAULT_RESET_BODY,
    FAULT_TRUNCATED_JSON,
    FAULT_WRONG_JSON,
    FAULT_EMPTY_CHOICES,
    FAULT_HUGE,
    FAULT_TRICKLE,
    FAULT_NEVER,
    FAULT_DUPLICATE,
    FAULT_REDIRECT,
    FAULT_GZIP,
    FAULT_CHUNKED,
    FAULT_INVALID_UTF8,
    FAULT_WRONG_TYPE,
    FAULT_HTML,
    FAULTS
};
extern const char *const fault_names[FAULTS];

enum { STYLE_OPENAI, STYLE_BARE, STYLE_PLAIN, STYLE_FASTAPI, STYLE_VLLM };     /* --reject-style */
enum { REASONING_NONE, REASONING_FIELD, REASONING_THINK, REASONING_UNCLOSED }; /* --reasoning */
enum { FINISH_STOP, FINISH_LENGTH, FINISH_CONTENT_FILTER };                    /* --finish */

struct options {
    unsigned port;
    bool until_eof;
    const char *tls_cert, *tls_key, *log;
    const char *classes, *answers, *model;
    unsigned latency_ms, slots;
    double rate_limit; /* requests a second; 0: none */
    const char *key;   /* NULL: none is asked for */
    bool echo_key;
    unsigned reject, ignore; /* bit sets of enum param */
    unsigned reject_style, reasoning, finish, max_top;
    bool refusal, split_utf8;
    double fault[FAULTS]; /* rates */
    bool fault_everywhere;
    const char *redirect_to;
    unsigned batch_polls, batch_max_lines;
    double batch_errors;
    bool batch_expire, batch_fail, batch_no_list;
};
extern struct options opt;

void options_read(int argc, char **argv); /* exits with 2 when they make no sense */

/* --- answer.c: what is sent back -------------------------------------------------------- */

enum delivery {
    WHOLE,
    CHUNKED,    /* in pieces whose sum is not announced */
    HALF_CLOSE, /* half of the body announced, then a FIN */
    HALF_RESET, /* half of the body announced, then an RST */
    TRICKLE,    /* a byte each TRICKLE_MS */
    TWICE,      /* all of the response again after the response */
    RESET,      /* an RST, and no byte */
    NEVER       /* nothing, until the client goes */
};

struct answer {
    unsigned status;
    const char *type; /* a constant */
    silr_buf body;
    struct {
        const char *name; /* a constant */
        char value[300];
    } header[6];
    size_t headers;
    enum delivery how;
    bool valid;      /* what the client asked for: it has no reason to ask again */
    const char *key; /* the key received, for --echo-key; NULL: none */
};

void answer_json(struct answer *a, unsigned status); /* empties the body */
void answer_text(struct answer *a, unsigned status, const char *type, const char *text);
/* OpenAI's shape. param and code may be NULL. */
void answer_error(struct answer *a, unsigned status, const char *type, const char *param,
                  const char *code, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void answer_header(struct answer *a, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void answer_clear(struct answer *a);

/* --- http.c: requests come, answers go -------------------------------------------------- */

enum state { READING, WORKING, HANGING, TRICKLING, READY };

struct request {
    struct MHD_Connection *conn;
    char *method, *path;
    silr_buf body;
    uint64_t hash; /* of the body; without one, of the path */
    bool chat;
    char key[300]; /* as received, without "Bearer "; "": none */
    struct answer answer;
    enum state state;
    bool suspended, counted, sent;
    int64_t due;          /* while it waits; ns of the monotonic clock */
    size_t heap_at;       /* its place among those who wait, from 1; 0: it does not */
    struct request *next; /* in line for a slot */
};

int http_serve(void); /* until told to stop; the exit code */

/* --- route.c ---------------------------------------------------------------------------- */

void route(struct request *r); /* fills r->answer */
bool route_is_chat(const char *path);
const char *route_api(const char *path); /* what follows /v1 or its like; NULL: not the API */

/* --- chat.c, ask.c, tokens.c ------------------------------------------------------------ */

void chat_prepare(void); /* reads --classes and --answers */
/* Answers a body of /v1/chat/completions: 200, or 400 when it asks for what it may not have. */
void chat_reply(struct answer *a, const char *body, size_t len);

/* --- faults.c --------------------------------------------------------------------------- */

/* A number in [0, 1) that depends on nothing but these. */
double faults_chance(uint64_t hash, uint64_t attempt, uint64_t salt);
/* Which fault strikes attempt `attempt` (from 1) of the request with this hash; FAULTS: none. */
enum fault faults_choose(uint64_t hash, uint64_t attempt);
bool faults_need_answer(enum fault f); /* it spoils a valid answer, instead of taking its place */
void faults_apply(enum fault f, struct answer *a, uint64_t hash, uint64_t attempt);

/* --- files.c, batch.c, lines.c ---------------------------------------------------------- */

struct file {
    char id[40];
    char name[128], purpose[32];
    silr_buf data;
    long created;
    bool deleted;
};
void files_upload(struct request *r);
void files_get(struct answer *a, const char *id, bool content);
void files_delete(struct answer *a, const char *id);
struct file *files_find(const char *id);                                       /* NULL: no such */
struct file *files_add(const char *name, const char *purpose, silr_buf *take); /* empties take */
size_t files_count(void);

void batch_create(struct answer *a, const char *body, size_t len);
void batch_get(struct answer *a, const char *id);
void batch_cancel(struct answer *a, const char *id);
void batch_list(struct answer *a, const char *after, const char *limit);
size_t batch_count(void);

struct lines { /* the requests of a batch's input file */
    struct line {
        json_t *custom_id, *body; /* borrowed from root */
        json_t *root;
    } * line;
    size_t n, cap;
};
/* Reads them and appends what is wrong with them to `errors`, as the API does. */
void lines_read(struct lines *l, const silr_buf *data, const char *endpoint, json_t *errors);
/* Runs the share `done` of them (0: none, 1: all; else at least one) in an order of its own. Those
 * that failed go to `bad`, as do those left out, for the reason `code`; answers go to `good`. */
void lines_run(const struct lines *l, double done, const char *code, silr_buf *good, silr_buf *bad,
               size_t *completed, size_t *failed);
void lines_clear(struct lines *l);

/* --- wait.c ----------------------------------------------------------------------------- */

int64_t wait_now(void); /* ns */
void wait_until(struct request *r, int64_t due);
struct request *wait_due(int64_t now); /* the first that is due, taken out; NULL: none yet */
int64_t wait_first(void);              /* when the first is due; -1: nobody waits */
void wait_forget(struct request *r);   /* wherever it stands */
bool slot_take(struct request *r);     /* false: it stands in line now */
struct request *slot_leave(void);      /* who takes over the slot; NULL: nobody */
unsigned slot_taken(void);
/* Takes a request from the rate; false: too many, and in how many seconds to ask again. Tells
 * what is left, and when all will be there again. */
bool rate_take(double *left, double *full_in, double *again_in);

/* --- stats.c ---------------------------------------------------------------------------- */

struct seen {
    uint64_t hash; /* 0: an empty place */
    uint32_t attempts, answers;
};
void stats_open(void); /* the log */
void stats_connection(void);
void stats_received(struct request *r);           /* counts, and writes the log */
uint32_t stats_attempt(uint64_t hash, bool chat); /* counts one more, and says which it is */
void stats_fault(enum fault f);
void stats_line(void);              /* a line of a batch was run */
void stats_answered(uint64_t hash); /* a valid answer was given */
void stats_sent(const struct request *r);
void stats_working(unsigned working);
void stats_finished(const struct request *r); /* it is no more in flight */
void stats_get(struct answer *a);
void stats_reset(void);

/* --- memory ----------------------------------------------------------------------------- */

void *must(void *p);                   /* p, which is not NULL */
void must_be_whole(const silr_buf *b); /* b, which did not fail */

#endif
