#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/talk.h"
#include <stdlib.h>
#include <string.h>

static const char *numbered(size_t i, char room[100])
{
    snprintf(room, 100, "text %zu", i);
    return room;
}

void talk_start(struct talk *t, const char *url, const char *settings, size_t n)
{
    silr_buf yaml = {0};

    memset(t, 0, sizeof *t);
    silr_mem_install();
    assert_true(n <= TALK_MOST);
    silr_buf_printf(&yaml, "name: t\nclasses: [no, yes]\ncorpus: {files: [x.jsonl], text: text}\nannotator: {kind: "
                    "chat, model: m%s%s%s%s}\n", settings[0] ? ", " : "", settings, url ? ", url: " : "",
                    url ? url : "");
    if (silr_task_parse(&t->task, yaml.data, yaml.len, "task.yaml", ".", NULL, 0, &t->err) != SILR_OK)
        fail_msg("%s", t->err.text);
    silr_buf_clear(&yaml);
    assert_int_equal(sqlite3_open(":memory:", &t->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(t->db, silr_ledger_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&t->ledger, t->db, "memory", &t->err), SILR_OK);
    t->n = n;
    t->text = numbered;
    for (size_t i = 0; i < n; i++)
        t->label[i] = SILR_NO_LABEL;
}

static const char *text_of(void *ctx, size_t i, size_t *len)
{
    struct talk *t = ctx;
    const char *s = t->text(i, t->room);

    *len = strlen(s);
    return s;
}

static silr_status answered(void *ctx, size_t i, int sample, const silr_reply *reply,
                            const silr_ask_id *id, const char *why, silr_error *err)
{
    struct talk *t = ctx;
    const char *reason = "";
    (void)sample, (void)id, (void)err;

    t->times[i]++;
    t->failed[i] = !reply;
    if (reply) {
        t->choices[i] += (int)reply->n_choices;
        t->label[i] = silr_answer_label(t->task, &reply->choice[0], &reason);
    }
    snprintf(t->why[i], sizeof t->why[i], "%s", reply ? reason ? reason : "" : why);
    return SILR_OK;
}

silr_status talk_ask(struct talk *t)
{
    silr_chat_job job = {.ctx = t, .n = t->n, .what = "asking", .text = text_of, .rounds = t->rounds,
                         .answered = answered};
    silr_chat *c;
    silr_status st = silr_chat_new(&c, t->task, t->ledger, NULL, 0, &t->err);

    if (st != SILR_OK)
        return st;
    memset(t->times, 0, sizeof t->times);
    memset(t->choices, 0, sizeof t->choices);
    st = silr_chat_ask(c, &job, &t->err);
    t->known = silr_chat_server(c) != NULL;
    if (t->known)
        t->server = *silr_chat_server(c);
    silr_chat_free(c);
    return st;
}

void talk_end(struct talk *t)
{
    silr_ledger_free(t->ledger);
    sqlite3_close(t->db);
    silr_task_free(t->task);
}

size_t talk_count(const struct talk *t, bool failed)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += t->times[i] > 0 && t->failed[i] == failed;
    return n;
}

static int64_t number(struct talk *t, const char *sql, const char *value)
{
    sqlite3_stmt *q;
    int64_t n;

    assert_int_equal(sqlite3_prepare_v2(t->db, sql, -1, &q, NULL), SQLITE_OK);
    sqlite3_bind_text(q, 1, value, -1, SQLITE_STATIC);
    n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return n;
}

int64_t talk_traffic(struct talk *t, const char *what)
{
    return number(t, "SELECT n FROM traffic WHERE what=?1", what);
}

int64_t talk_answers(struct talk *t)
{
    return number(t, "SELECT count(*) FROM answers WHERE ?1=''", "");
}
