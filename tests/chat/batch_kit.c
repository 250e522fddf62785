#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- the job ------------------------------------------------------------------------------------- */

static size_t same_as(const kit *k, size_t i)
{
    return k->equal > 0 && i % k->equal == 0 ? 0 : i;
}

static const char *class_of(const kit *k, size_t i)
{
    return same_as(k, i) % 3 ? "positive" : "negative";
}

static const char *text(void *ctx, size_t i, size_t *len)
{
    static char out[80];
    const kit *k = ctx;

    *len = (size_t)snprintf(out, sizeof out, "[[%s]] text %zu \"quoted\" \xc3\xa9", class_of(k, i),
                            same_as(k, i));
    return out;
}

static silr_status answered(void *ctx, size_t i, int sample, const silr_reply *reply,
                            const silr_ask_id *id, const char *why, silr_error *err)
{
    kit *k = ctx;
    (void)sample, (void)id, (void)err;

    if (k->kill_in > 0 && --k->kill_in == 0)
        _exit(9);
    k->got[i] += reply != NULL;
    k->failed[i] += reply == NULL;
    if (!reply)
        snprintf(k->why, sizeof k->why, "%s", why);
    else if (k->job.rounds == 0 && strcmp(reply->choice[0].content, class_of(k, i)) != 0)
        k->wrong++;
    return SILR_OK;
}

/* --- the folder and the server ------------------------------------------------------------------- */

static void make_ledger(const kit *k)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(k->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, silr_ledger_schema, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

void kit_start(kit *k, const char *const *server_args)
{
    *k = (kit){0};
    snprintf(k->dir, sizeof k->dir, "/tmp/silr-batch-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    snprintf(k->path, sizeof k->path, "%s/run.db", k->dir);
    silr_mem_install();
    make_ledger(k);
    assert_true(server_start(&k->server, server_args));
}

/* --- interrupting -------------------------------------------------------------------------------- */

static const char *cue;
static double nap;

static void hear(void *ctx, silr_log_level level, const char *line)
{
    struct timespec t = {(time_t)nap, (long)((nap - floor(nap)) * 1e9)};
    (void)ctx, (void)level;

    if (!strstr(line, cue))
        return;
    if (nap > 0)
        nanosleep(&t, NULL);
    else
        silr_cancel();
}

void kit_cue(const char *words, double sleep)
{
    silr_listener l = {.line = hear};

    silr_cancel_reset();
    cue = words;
    nap = sleep;
    silr_log_listen(words ? &l : NULL);
}

/* --- files --------------------------------------------------------------------------------------- */

static void each_file(const kit *k, void (*f)(const char *path, const char *name))
{
    DIR *d = opendir(k->dir);
    struct dirent *e;
    char path[400];

    while ((e = readdir(d))) {
        if (e->d_name[0] == '.' && (e->d_name[1] == '\0' || e->d_name[1] == '.'))
            continue;
        snprintf(path, sizeof path, "%s/%s", k->dir, e->d_name);
        f(path, e->d_name);
    }
    closedir(d);
}

static void remove_file(const char *path, const char *name)
{
    (void)name;
    unlink(path);
}

static void is_ledger(const char *path, const char *name)
{
    (void)path;
    if (strncmp(name, "run.db", 6) != 0)
        fail_msg("%s was left", name);
}

void kit_only_ledger(const kit *k)
{
    each_file(k, is_ledger);
}

void kit_stop(kit *k)
{
    kit_only_ledger(k);
    each_file(k, remove_file);
    rmdir(k->dir);
    server_stop(&k->server);
}

void kit_join(kit *other, kit *k)
{
    *other = (kit){.server = k->server};
    snprintf(k->cache, sizeof k->cache, "%s/run.db.cache", k->dir);
    snprintf(other->cache, sizeof other->cache, "%s", k->cache);
    snprintf(other->path, sizeof other->path, "%s/run.db.other", k->dir);
    make_ledger(other);
}

void kit_renew(kit *k)
{
    each_file(k, remove_file);
    make_ledger(k);
    assert_true(server_reset(&k->server));
}

/* --- a call -------------------------------------------------------------------------------------- */

void kit_open(kit *k, const char *settings)
{
    char yaml[1000];
    silr_error err = {0};
    int n =
        snprintf(yaml, sizeof yaml,
                 "name: t\nquestion: which?\nclasses: [positive, negative]\n"
                 "corpus: {files: [t.jsonl], text: text}\nlabelled: none\n"
                 "annotator: {kind: chat, model: m, url: \"%s%s\", batch: true, batch_poll: %g,"
                 " prices: {m: {input: 2, output: 4}}%s%s}\n",
                 k->server.root, k->place ? k->place : "/v1", k->poll > 0 ? k->poll : 0.01, settings[0] ? ", " : "", settings);

    assert_in_range(n, 1, sizeof yaml - 1);
    if (silr_task_parse(&k->task, yaml, (size_t)n, "task.yaml", ".", NULL, 0, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(sqlite3_open(k->path, &k->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(k->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&k->ledger, k->db, k->path, &err), SILR_OK);
    if (k->cache[0] && silr_ledger_share(k->ledger, k->cache, &err) != SILR_OK)
        fail_msg("%s", err.text);
    memset(k->got, 0, sizeof k->got);
    memset(k->failed, 0, sizeof k->failed);
    k->wrong = 0;
    k->job = (silr_chat_job){.ctx = k, .what = "asking", .text = text, .answered = answered};
    if (silr_chat_new(&k->chat, k->task, k->ledger, NULL, 0, &err) != SILR_OK)
        fail_msg("%s", err.text);
}

void kit_close(kit *k)
{
    silr_chat_free(k->chat);
    silr_ledger_free(k->ledger);
    sqlite3_close(k->db);
    silr_task_free(k->task);
    k->chat = NULL;
    k->ledger = NULL;
    k->db = NULL;
    k->task = NULL;
}

silr_status kit_run(kit *k, const char *settings, size_t n, silr_error *err)
{
    silr_status st;

    kit_open(k, settings);
    k->job.n = n;
    st = silr_chat_batch(k->chat, &k->job, err);
    kit_close(k);
    return st;
}

/* --- what came of it ----------------------------------------------------------------------------- */

void kit_all_answered(const kit *k, size_t n)
{
    assert_int_equal(k->wrong, 0);
    for (size_t i = 0; i < n; i++)
        if (k->got[i] != 1 || k->failed[i] != 0)
            fail_msg("text %zu: %d answers, %d reasons", i, k->got[i], k->failed[i]);
}

int64_t kit_number(const kit *k, const char *sql)
{
    return kit_ask(k->path, sql);
}

int64_t kit_ask(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q = NULL;
    int64_t v;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    v = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return v;
}
