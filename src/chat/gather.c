/* gather.c - what a batch that has ended brought: its two files, line by line, into the ledger.
 *
 * Lines come in any order, and only those count that were asked for and are still waited for: so a
 * file that is read twice, after a kill or a broken connection, does no harm. No more than a line of
 * it is ever in memory.
 *
 *     an answer                      into the ledger, to whoever asked
 *     a failure that may pass        sent again in the next batch, `retries` times; as are lines
 *     (5xx, 429, expired, unread)    that are in neither file
 *     another (400 and the like)     has failed for good
 *
 * Ten lines refused and none answered: then it is not the lines, and the rest is left alone. */
#include "chat/batch.h"
#include <math.h>
#include <string.h>

enum { LINE_MOST = SILR_REPLY_MAX + (1 << 16) };

/* Where a file goes. */
typedef struct {
    batcher *b;
    batch *t;
    silr_buf line;    /* the beginning of one */
    bool skipping;    /* one that is too long */
    size_t strange;   /* lines that nobody asked for */
    size_t seen;      /* lines of the file that somebody did */
    double committed; /* when a transaction last ended */
    silr_status st;   /* why it was stopped */
    silr_error error;
    silr_error quota; /* a line says that no request will be answered; SILR_OK: none does */
} taker;

/* --- ends of a line ------------------------------------------------------------------------------ */

static int32_t index_of(const taker *k)
{
    return (int32_t)(k->t - k->b->batch);
}

static silr_status again(taker *k, want *w, const char *why, silr_error *err)
{
    if (w->tries > k->b->c->task->annotator.chat.retries)
        return silr_want_give_up(k->b, w, why, err);
    w->again = true;
    k->t->again++;
    return SILR_OK;
}

static silr_status answered(taker *k, want *w, const silr_outline *o, const silr_reply *reply,
                            silr_error *err)
{
    silr_chat *c = k->b->c;
    silr_status st = silr_chat_keep(c, &w->id, reply, o->body, o->body_len, w->bytes, NAN,
                                    SILR_ORIGIN_BATCH, err);

    c->answers++;
    k->t->answered++;
    silr_chat_note(c, "answered");
    return st == SILR_OK ? silr_want_deliver(k->b, w, reply, NULL, err) : st;
}

/* Nobody was answered, now or before, and too many were refused. */
static bool pointless(const batch *t)
{
    return t->refused >= BATCH_REFUSED && t->answered == 0 && t->again == 0;
}

static silr_status refused(taker *k, want *w, const char *why, silr_error *err)
{
    silr_status st = silr_want_give_up(k->b, w, why, err);

    k->t->refused++;
    if (st == SILR_OK && pointless(k->t))
        st = silr_fail(err, SILR_EPEER,
                       "batch %s: %zu of its requests were refused and none was "
                       "answered: %.300s",
                       k->t->id, k->t->refused, why);
    return st;
}

static silr_status failed(taker *k, want *w, const silr_outline *o, silr_error *err)
{
    char what[200] = "", code[80] = "", why[300], note[60];
    silr_fate fate = SILR_FATE_RETRY;

    if (o->status > 0) {
        silr_reply_error(o->body, o->body_len, what, code);
        fate = silr_fate_of(o->status, code, true);
        snprintf(why, sizeof why, "HTTP %d%s%s", o->status, what[0] ? ": " : "", what);
        snprintf(note, sizeof note, "HTTP %d", o->status);
    } else {
        silr_reply_error(o->error, o->error_len, what, code);
        snprintf(why, sizeof why, "not answered by the batch%s%.100s%s%.150s", code[0] ? ": " : "",
                 code, what[0] ? ": " : "", what);
        snprintf(note, sizeof note, "%.59s", code[0] ? code : "not answered");
    }
    silr_chat_note(k->b->c, note);
    if (fate == SILR_FATE_STOP && k->quota.status == SILR_OK)
        silr_fail(&k->quota, SILR_EPEER,
                  "batch %s: %.300s; what was answered is kept, the same command "
                  "asks for the rest",
                  k->t->id, why);
    return fate == SILR_FATE_GIVE_UP ? refused(k, w, why, err) : again(k, w, why, err);
}

/* --- lines --------------------------------------------------------------------------------------- */

static int digit(char x)
{
    return x >= '0' && x <= '9' ? x - '0' : x >= 'a' && x <= 'f' ? x - 'a' + 10 : -1;
}

static bool read_id(silr_ask_id *id, const char *hex, size_t len)
{
    if (len != 2 * sizeof id->bytes)
        return false;
    for (size_t i = 0; i < sizeof id->bytes; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* In this batch, and answered by an earlier call, which was killed before it was done with it. */
static bool was_asked(taker *k, const silr_ask_id *id)
{
    silr_buf *name = &k->b->c->reply;
    int tries;

    return silr_ledger_line_get(k->b->c->ledger, id, name, &tries, NULL) == SILR_OK &&
           strcmp(name->data, k->t->name) == 0;
}

static silr_status take_line(taker *k, char *line, size_t len, silr_error *err)
{
    silr_outline o;
    silr_ask_id id;
    silr_reply reply;
    char why[200];
    want *w;
    silr_status st;

    len = silr_http_redact(line, len, k->b->c->key);
    if (strspn(line, " \t\r") == len)
        return SILR_OK;
    if (!silr_outline_cut(&o, line, len) || !read_id(&id, o.custom_id, o.id_len)) {
        k->strange++;
        return SILR_OK;
    }
    w = silr_want_find(k->b, &id);
    k->seen += w != NULL;
    if (!w && !was_asked(k, &id))
        k->strange++;
    if (!w || w->done || w->again || w->batch != index_of(k))
        return SILR_OK;
    if ((st = silr_batch_open(k->b, err)) != SILR_OK)
        return st;
    if (!o.body || !(o.status == 0 || o.status == 200) || (o.status == 0 && o.error))
        return failed(k, w, &o, err);
    if (!silr_reply_read(&reply, o.body, o.body_len, why)) {
        silr_chat_note(k->b->c, "bad answer");
        return again(k, w, why, err);
    }
    st = answered(k, w, &o, &reply, err);
    silr_reply_clear(&reply);
    return st;
}

static silr_status add_bytes(taker *k, const char *bytes, size_t len, silr_error *err)
{
    const char *end = bytes + len;
    silr_status st = SILR_OK;

    while (st == SILR_OK && bytes < end) {
        const char *nl = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t n = (size_t)((nl ? nl : end) - bytes);
        k->skipping = k->skipping || k->line.len + n > LINE_MOST;
        if (k->skipping)
            silr_buf_reset(&k->line);
        else
            silr_buf_add(&k->line, bytes, n);
        if (k->line.failed)
            return silr_fail_memory(err);
        if (nl && !k->skipping && k->line.len > 0)
            st = take_line(k, k->line.data, k->line.len, err);
        if (nl) {
            k->strange += k->skipping;
            k->skipping = false;
            silr_buf_reset(&k->line);
        }
        bytes += n + (nl != NULL);
    }
    return st;
}

/* A piece of the file, from within the wait for it. */
static bool take_piece(void *ctx, const char *bytes, size_t len)
{
    taker *k = ctx;

    k->st = silr_call_may_wait(k->b->c, &k->error);
    if (k->st == SILR_OK)
        k->st = add_bytes(k, bytes, len, &k->error);
    return k->st == SILR_OK;
}

/* --- files --------------------------------------------------------------------------------------- */

/* Ends a transaction that has lasted: not for each piece, as answers lie scattered in the file and
 * each would write its own pages; but soon, as a cache file is shared with others. */
static silr_status commit_old(taker *k, double age, silr_error *err)
{
    double now = silr_now();

    silr_progress(k->b->job->what, k->b->done, k->b->total);
    if (now - k->committed < age)
        return SILR_OK;
    k->committed = now;
    return silr_batch_commit(k->b, err);
}

/* Once through the file, or to where it breaks. What has come is kept. */
static silr_status read_once(taker *k, const silr_http_request *r, silr_http_reply *reply,
                             silr_error *err)
{
    silr_http *http = k->b->c->http;
    silr_status st = silr_http_send(http, r, NULL, err);

    while (st == SILR_OK && k->st == SILR_OK && !silr_http_next(http, reply)) {
        silr_ledger_beat(k->b->c->ledger);
        if ((st = silr_http_wait(http, 0.5, err)) == SILR_OK)
            st = commit_old(k, 0.5, err);
        if (k->st == SILR_OK)
            k->st = silr_call_may_wait(k->b->c, &k->error);
    }
    if (st != SILR_OK || k->st != SILR_OK)
        silr_http_drop(http);
    else if (reply->end == SILR_HTTP_DONE && reply->status / 100 == 2 && k->line.len > 0)
        take_piece(k, "\n", 1); /* the last line needs no end */
    if (st == SILR_OK && (k->st == SILR_EPEER || k->st == SILR_ECANCEL || k->st == SILR_ELIMIT))
        st = commit_old(k, 0, err);
    if (st == SILR_OK && k->st != SILR_OK && err)
        *err = k->error;
    return st == SILR_OK ? k->st : st;
}

/* A file that the server does not have any more is as good as empty. */
static bool is_gone(const taker *k, const silr_http_reply *r)
{
    if (r->end != SILR_HTTP_DONE || r->status != 404)
        return false;
    silr_log(SILR_LOG_WARN,
             "batch %s: the server has a file of it no more; what was in it is sent again",
             k->t->id);
    return true;
}

/* least: lines that must be in it, by the server's own count. A page of a proxy's in place of the
 * file, or half of it, must not cost all of it once more. */
static silr_status take_file(taker *k, const char *id, uint64_t least, silr_error *err)
{
    silr_buf url = {0};
    char path[BATCH_ID + 40];
    size_t most;
    int retries = (int)k->b->c->task->annotator.chat.retries;
    bool more = true;
    silr_http_reply reply;
    silr_http_request r = {.method = "GET", .sink = take_piece, .ctx = k};
    silr_status st;

    if (!silr_mul((size_t)k->t->lines + 1, LINE_MOST, &most))
        most = SIZE_MAX / 2;
    snprintf(path, sizeof path, "/files/%s/content", id);
    st = silr_call_url(k->b, &url, path, NULL, err);
    r.url = url.data;
    r.max_body = most;
    for (int attempt = 1; st == SILR_OK && more; attempt++) {
        bool whole;
        silr_buf_reset(&k->line);
        k->skipping = false;
        k->seen = 0;
        if ((st = read_once(k, &r, &reply, err)) != SILR_OK || is_gone(k, &reply))
            break;
        whole = k->seen >= least || attempt > retries; /* it may have counted wrongly */
        if (!whole || reply.end != SILR_HTTP_DONE || reply.status / 100 != 2)
            st = commit_old(k, 0, err); /* a pause follows */
        if (st == SILR_OK)
            st = silr_call_judge(k->b->c, &r, &reply, whole, attempt, &more, err);
    }
    silr_buf_clear(&url);
    return st;
}

/* --- the end of a batch -------------------------------------------------------------------------- */

/* Lines that are in neither file. */
static silr_status take_missing(taker *k, silr_error *err)
{
    batcher *b = k->b;
    bool expired = strcasecmp(k->t->told, "expired") == 0;
    const char *why = expired ? "the batch expired before it came to this"
                              : "the batch ended without a word on this";
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i)) {
        want *w = &b->want[i];
        if (w->done || w->again || w->batch != index_of(k))
            continue;
        if ((st = silr_batch_open(b, err)) == SILR_OK)
            st = again(k, w, why, err);
        silr_chat_note(b->c, expired ? "batch_expired" : "not answered");
    }
    return st;
}

/* The server would not have it. It may have room when another batch has ended; else nobody knows what
 * would make it change its mind. */
static silr_status take_failure(batcher *b, batch *t, silr_error *err)
{
    bool others = false;
    silr_status st = silr_batch_close(b, t, BATCH_FAILED, false, err);

    if (st != SILR_OK)
        return st;
    for (const batch *x = b->batch; x < b->batch + b->n_batches; x++)
        others = others || silr_batch_underway(x);
    st = silr_fail(&b->why, SILR_EPEER,
                   "batch %s of %llu requests failed: %s; --set "
                   "annotator.batch_lines=N makes smaller ones",
                   t->id, (unsigned long long)t->lines,
                   t->why[0] ? t->why : "the server does not say why");
    if (others) {
        silr_log(SILR_LOG_WARN, "%s; it is sent again when another has ended", b->why.text);
        b->hold = true;
        return SILR_OK;
    }
    if (err)
        *err = b->why;
    return st;
}

static silr_status take_all(taker *k, silr_error *err)
{
    batch *t = k->t;
    uint64_t before = t->answered; /* done with by an earlier call */
    silr_status st = SILR_OK;

    if (t->output[0])
        st = take_file(k, t->output, t->completed > before ? t->completed - before : 0, err);
    if (st == SILR_OK && t->errors[0])
        st = take_file(k, t->errors, 0, err);
    if (st == SILR_OK)
        st = take_missing(k, err);
    silr_buf_clear(&k->line);
    return st;
}

silr_status silr_batch_gather(batcher *b, batch *t, silr_error *err)
{
    taker k = {.b = b, .t = t};
    bool cancelled = strcasecmp(t->told, "cancelled") == 0;
    silr_status st;

    if (strcasecmp(t->told, "failed") == 0 && !t->output[0] && !t->errors[0])
        return take_failure(b, t, err);
    t->answered =
        t->lines > t->waiting ? (size_t)t->lines - t->waiting : 0; /* by an earlier call */
    st = take_all(&k, err);
    if (st == SILR_EPEER && pointless(t)) {
        silr_error mine;
        silr_status also = silr_batch_close(b, t, BATCH_FAILED, true, &mine);
        return also == SILR_OK ? st : also;
    }
    if (st != SILR_OK)
        return st;
    if (k.strange > 0)
        silr_log(SILR_LOG_WARN,
                 "batch %s: %zu lines of its files are none that were asked for; they are "
                 "left out",
                 t->id, k.strange);
    silr_log(SILR_LOG_INFO, "batch %s %s: %zu answers, %zu to be sent again, %zu refused", t->id,
             t->told, t->answered, t->again, t->refused);
    if ((st = silr_batch_close(b, t, BATCH_COLLECTED, true, err)) != SILR_OK)
        return st;
    b->hold = false;
    if (k.quota.status != SILR_OK && err)
        *err = k.quota;
    if (k.quota.status != SILR_OK)
        return k.quota.status;
    if (cancelled && t->again > 0)
        return silr_fail(err, SILR_EPEER,
                         "batch %s was cancelled; its answers are kept, the same command "
                         "asks for the other %zu",
                         t->id, t->again);
    return SILR_OK;
}
