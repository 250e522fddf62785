/* talk.h - for tests of silr_chat_ask: a task in one line, texts, what became of each; and a server
 * that does what a function of the test says.
 *
 *     struct talk t;
 *     talk_start(&t, "annotator: {...}", n);      texts "text 0", "text 1", ...; classes no, yes
 *     assert_int_equal(talk_ask(&t), SILR_OK);
 *     ... t.label[i], t.failed[i], t.why[i] ...
 *     talk_end(&t); */
#ifndef TEST_CHAT_TALK_H
#define TEST_CHAT_TALK_H

#include "chat/chat.h"
#include <sqlite3.h>

enum { TALK_MOST = 1000 };

struct talk {
    silr_task *task;
    sqlite3 *db;
    silr_ledger *ledger;
    silr_error err;
    size_t n, rounds;
    const char *(*text)(size_t i, char room[100]);
    char room[100];
    int label[TALK_MOST];   /* SILR_NO_LABEL: none, or not asked */
    int times[TALK_MOST];   /* how often it was answered */
    int choices[TALK_MOST]; /* in all of its answers */
    bool failed[TALK_MOST];
    char why[TALK_MOST][120];
    silr_server server;     /* as it was found to be */
    bool known;
};

/* settings: further members of annotator, as "samples: 3, retries: 1"; url: NULL: OPENAI_BASE_URL. */
void talk_start(struct talk *t, const char *url, const char *settings, size_t n);
silr_status talk_ask(struct talk *t); /* one call, as one process would make it */
void talk_end(struct talk *t);
size_t talk_count(const struct talk *t, bool failed); /* texts that were answered, or that failed */
int64_t talk_traffic(struct talk *t, const char *what);
int64_t talk_answers(struct talk *t); /* in the ledger */

/* --- a server ------------------------------------------------------------------------------------ */

/* What is answered to a request: its status, the body in `out`. attempt: how many requests came
 * before, of whatever sort. */
typedef unsigned (*script)(const char *body, int attempt, silr_buf *out);
/* Starts it in a thread of its own; its address, as in annotator.url, borrowed. */
const char *script_start(script s);
void script_stop(void);
int script_requests(void);
const char *script_path(void); /* of the last request; a proxy is sent a whole address. When stopped */

/* Appends a reply with this content. */
void script_say(silr_buf *out, const char *content);
/* The same with the class that the text of talk_start has, as good as any other. */
unsigned script_answer(const char *body, silr_buf *out);
unsigned script_error(silr_buf *out, unsigned status, const char *message);
int script_item(const char *body); /* number of the text that a request is about; -1: of none */

#endif
