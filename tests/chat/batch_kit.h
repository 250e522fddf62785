/* batch_kit.h - what the tests of the Batch API share: a server, a ledger in a folder of its own, a
 * job of marked texts that counts what comes back. */
#ifndef TEST_CHAT_BATCH_KIT_H
#define TEST_CHAT_BATCH_KIT_H

#include "chat/batch.h"
#include "server/start.h"
#include <sqlite3.h>

enum { KIT_MOST = 5000 };

typedef struct {
    struct server server;
    char dir[64], path[80]; /* path: of the ledger */
    sqlite3 *db;
    silr_ledger *ledger;
    silr_task *task;
    silr_chat *chat;
    /* the job: text i is "[[positive]] text i" or negative; multiples of `equal` are as text 0 */
    silr_chat_job job;
    size_t equal;
    char cache[80]; /* of answers, shared with another kit; "": none */
    double poll;    /* annotator.batch_poll; 0: a hundredth of a second */
    const char *place; /* of the API on the server; NULL: "/v1" */
    int got[KIT_MOST], failed[KIT_MOST], wrong; /* answers, reasons; answers of another class */
    char why[300];                              /* the last reason */
    int kill_in;                                /* ... answers: then the process ends; 0: never */
} kit;

/* A fresh folder; a server unless one runs; the task's annotator with `settings` ("retries: 2"). */
void kit_start(kit *k, const char *const *server_args);
void kit_stop(kit *k); /* the folder goes too */
/* Another run in the same folder, on the same server, which is the first's; both share a cache file. Anew
 * after each kit_renew. */
void kit_join(kit *other, kit *k);
void kit_renew(
    kit *k); /* an empty ledger; the server's counts begin anew, but for files and batches */
/* Opens the ledger, as a new process would, and makes a chat of the task; forgets what came back. */
void kit_open(kit *k, const char *settings);
void kit_close(kit *k);
/* Opens, asks about n texts, closes. */
silr_status kit_run(kit *k, const char *settings, size_t n, silr_error *err);
/* Every text was answered once, none failed, all by the right class. */
void kit_all_answered(const kit *k, size_t n);
/* When silr says a line with these words: cancels, or sleeps that long. NULL: no more. */
void kit_cue(const char *words, double sleep);
int64_t kit_ask(const char *path, const char *sql); /* a number from a file */
int64_t kit_number(const kit *k, const char *sql);  /* from the ledger's */
void kit_only_ledger(const kit *k);                 /* nothing else lies in the folder */

#endif
