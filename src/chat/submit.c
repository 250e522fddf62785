/* submit.c - from missing answers to files of lines on the server.
 *
 *     write     a file of lines, which has no name and vanishes with the process; each request is
 *               claimed before it is in there (batch_share.c)
 *     afford    what it may cost, before anything is sent
 *     upload    POST /files; its id, and which requests are in it, go into the ledger
 *
 * A kill before that commit leaves a file on the server that nothing points to, and no more. What
 * follows is in create.c. */
#include "chat/batch.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { SMALL = 1 << 16, BOUNDARY = 48 };

/* The file, in the form in which it is uploaded: a head, the lines, a tail. */
typedef struct {
    FILE *lines;
    uint64_t bytes;   /* of the lines */
    uint64_t prompts; /* of the bodies in them */
    char head[400], tail[80], boundary[BOUNDARY];
    size_t at; /* of head or tail, already read */
    int part;  /* 0 head, 1 lines, 2 tail */
} upload;

/* --- writing ------------------------------------------------------------------------------------- */

/* A file without a name beside the ledger: memory may be short in /tmp, and nothing shall stay. */
static silr_status open_nameless(FILE **out, const char *beside, silr_error *err)
{
    char *dir = silr_path_dir(beside), *name = dir ? silr_path_join(dir, ".batch-XXXXXX") : NULL;
    silr_status st = SILR_OK;
    int fd = -1;

    *out = NULL;
    if (!name) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0 &&
        (fd = mkostemp(name, O_CLOEXEC)) >= 0)
        unlink(name);
    if (fd < 0 || !(*out = fdopen(fd, "w+"))) {
        st = silr_fail(err, SILR_EIO, "%s: no file can be made there: %s", dir, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
done:
    silr_free(dir);
    silr_free(name);
    return st;
}

static silr_status write_line(batcher *b, upload *u, const want *w, silr_error *err)
{
    const char *why;
    bool ready;
    silr_ask_id id;
    silr_buf *line = &b->c->reply;
    silr_status st = silr_chat_compose(b->c, b->job, w->item, w->sample, &id, &ready, &why, err);

    if (st != SILR_OK)
        return st;
    SILR_ASSERT(ready && memcmp(id.bytes, w->id.bytes, sizeof id.bytes) == 0);
    silr_buf_reset(line);
    silr_buf_puts(line, "{\"custom_id\":\"");
    for (size_t i = 0; i < sizeof id.bytes; i++)
        silr_buf_printf(line, "%02x", id.bytes[i]);
    silr_buf_printf(line, "\",\"method\":\"POST\",\"url\":\"%s\",\"body\":", b->endpoint);
    silr_buf_add(line, b->c->body.data, b->c->body.len);
    silr_buf_puts(line, "}\n");
    if (line->failed)
        return silr_fail_memory(err);
    u->bytes += line->len;
    u->prompts += b->c->body.len;
    fwrite(line->data, 1, line->len, u->lines); /* what went wrong is asked in the end */
    return SILR_OK;
}

/* How many lines may go into the next batch: as many as the server takes and the user allows. */
static uint64_t most_lines(const batcher *b)
{
    const silr_chat_settings *s = &b->c->task->annotator.chat;
    uint64_t most = (uint64_t)s->batch_lines;

    if (s->max_requests > 0 && (uint64_t)(s->max_requests - b->c->sent) < most)
        most = (uint64_t)(s->max_requests - b->c->sent);
    return most;
}

/* Now and then, while a file is written: others want to claim, too. */
static silr_status pause_writing(batcher *b, silr_error *err)
{
    silr_status st = silr_batch_commit(b, err);

    silr_ledger_beat(b->c->ledger);
    return st == SILR_OK ? silr_call_may_wait(b->c, err) : st;
}

static bool is_loose(const want *w)
{
    return !w->done && w->batch == BATCH_NONE && !w->elsewhere;
}

/* Fills a file with what is in no batch yet; those lines are in t from now on, in memory. There may be
 * none: other runs have claimed all. */
static silr_status write_lines(batcher *b, batch *t, upload *u, silr_error *err)
{
    uint64_t most = most_lines(b), looked = 0;
    bool mine;
    silr_status st = open_nameless(&u->lines, silr_ledger_path(b->c->ledger), err);

    for (size_t i = 0; st == SILR_OK && i < b->n && t->lines < most; i = silr_want_next(b, i)) {
        want *w = &b->want[i];
        if (!is_loose(w))
            continue;
        if (t->lines > 0 && u->bytes + w->bytes + 200 > b->most_bytes)
            break;
        if ((st = silr_share_claim(b, w, &mine, err)) == SILR_OK && mine) {
            w->batch = (int32_t)(t - b->batch);
            t->lines++;
            st = write_line(b, u, w, err);
        }
        if (st == SILR_OK && ++looked % 500 == 0)
            st = pause_writing(b, err);
    }
    t->waiting = (size_t)t->lines;
    if (st == SILR_OK)
        st = silr_batch_commit(b, err);
    if (st == SILR_OK && (fflush(u->lines) != 0 || ferror(u->lines)))
        st = silr_fail(err, SILR_EIO,
                       "the requests of a batch (%llu bytes) cannot be written beside "
                       "%s: %s",
                       (unsigned long long)u->bytes, silr_ledger_path(b->c->ledger),
                       strerror(errno));
    return st;
}

/* --- what it may cost ---------------------------------------------------------------------------- */

/* Its cost, a tenth more to be on the safe side: tokens as answers so far had them; where there are
 * none, a quarter of the bytes, and answers as long as they may be. */
static silr_status estimate(const batcher *b, batch *t, const upload *u, silr_error *err)
{
    const silr_chat *c = b->c;
    silr_ledger_sums sums;
    silr_usage usage = {0};
    double own, answer, cost;
    silr_status st = silr_ledger_sum(c->ledger, &sums, err);

    if (st != SILR_OK)
        return st;
    own = (double)(sums.answers - sums.cached);
    answer = own > 0 && sums.completion_tokens > 0
                 ? (double)sums.completion_tokens / own
                 : (double)silr_request_tokens(c->task, &c->server) *
                       (double)silr_request_many(c->task, &c->server);
    usage.prompt_tokens =
        (int64_t)(1.1 * (double)u->prompts * (b->bytes > 0 ? b->tokens / b->bytes : 0.25));
    usage.completion_tokens = (int64_t)ceil(1.1 * (double)t->lines * answer);
    cost = silr_chat_cost(c->task, &usage);
    t->estimate = isnan(cost) ? 0 : cost * c->task->annotator.chat.batch_discount;
    return SILR_OK;
}

/* false: it could cost more than is left; b->why says so. */
static bool allowed(batcher *b, const batch *t)
{
    const silr_chat *c = b->c;
    double most = c->task->annotator.chat.max_cost, ahead = 0;

    for (const batch *x = b->batch; x < b->batch + b->n_batches; x++)
        ahead += x != t && silr_batch_underway(x) ? x->estimate : 0;
    if (most > 0 && c->spent + ahead + t->estimate > most) {
        silr_fail(&b->why, SILR_ELIMIT,
                  "%.6g is spent, and a batch of %llu requests could cost %.6g: "
                  "over the %.6g of --max-cost; the answers are kept, a higher limit goes on",
                  c->spent + ahead, (unsigned long long)t->lines, t->estimate, most);
        return false;
    }
    return true;
}

/* --- uploading ----------------------------------------------------------------------------------- */

static silr_status wrap(upload *u, const char *name, silr_error *err)
{
    unsigned char lot[16];

    /* Drawn by lot, so that no text can hold it on purpose. */
    if (getrandom(lot, sizeof lot, 0) != sizeof lot)
        return silr_fail(err, SILR_EIO, "the system gives no random numbers");
    snprintf(u->boundary, sizeof u->boundary, "silr");
    for (size_t i = 0; i < sizeof lot; i++)
        snprintf(u->boundary + 4 + 2 * i, 3, "%02x", lot[i]);
    snprintf(u->head, sizeof u->head,
             "--%s\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
             "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s.jsonl\"\r\n"
             "Content-Type: application/jsonl\r\n\r\n",
             u->boundary, u->boundary, name);
    snprintf(u->tail, sizeof u->tail, "\r\n--%s--\r\n", u->boundary);
    return SILR_OK;
}

static bool rewind_upload(void *ctx)
{
    upload *u = ctx;

    u->part = 0;
    u->at = 0;
    return fseeko(u->lines, 0, SEEK_SET) == 0;
}

static size_t copy_text(upload *u, const char *text, char *out, size_t room)
{
    size_t n = strlen(text + u->at);

    n = n < room ? n : room;
    memcpy(out, text + u->at, n);
    u->at += n;
    return n;
}

static size_t read_upload(void *ctx, char *out, size_t room)
{
    upload *u = ctx;
    size_t n = 0;

    while (n == 0 && u->part < 3) {
        n = u->part == 0   ? copy_text(u, u->head, out, room)
            : u->part == 2 ? copy_text(u, u->tail, out, room)
                           : fread(out, 1, room, u->lines);
        if (u->part == 1 && n == 0 && ferror(u->lines))
            return SIZE_MAX;
        if (n == 0) {
            u->part++;
            u->at = 0;
        }
    }
    return n;
}

static bool take_file(batch *t, const silr_http_reply *reply)
{
    json_t *root = silr_call_json(reply);
    bool good = silr_batch_id(t->file, json_object_get(root, "id"));

    json_decref(root);
    return good;
}

static silr_status send_file(batcher *b, batch *t, upload *u, silr_error *err)
{
    silr_buf url = {0};
    char type[120];
    silr_http_reply reply;
    silr_http_request r = {.method = "POST",
                           .content_type = type,
                           .max_body = SMALL,
                           .ctx = u,
                           .read = read_upload,
                           .rewind = rewind_upload};
    bool again = true;
    silr_status st;

    if ((st = wrap(u, t->name, err)) != SILR_OK ||
        (st = silr_call_url(b, &url, "/files", NULL, err)) != SILR_OK)
        goto done;
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", u->boundary);
    r.url = url.data;
    r.len = strlen(u->head) + (size_t)u->bytes + strlen(u->tail);
    for (int attempt = 1; again && st == SILR_OK; attempt++) {
        silr_progress("uploading a batch", 0, 0);
        if (!rewind_upload(u))
            st = silr_fail(err, SILR_EIO, "the requests of a batch cannot be read again");
        else if ((st = silr_call_once(b->c, &r, false, &reply, err)) == SILR_OK)
            st = silr_call_judge(b->c, &r, &reply, take_file(t, &reply), attempt, &again, err);
    }
done:
    silr_buf_clear(&url);
    return st;
}

/* The file is there, and these requests are in it: from now on they are in no other. */
static silr_status keep_lines(batcher *b, batch *t, silr_error *err)
{
    int32_t index = (int32_t)(t - b->batch);
    silr_status st = silr_batch_open(b, err);

    t->stage = BATCH_UPLOADED;
    if (st == SILR_OK)
        st = silr_batch_keep(b, t, err);
    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i)) {
        want *w = &b->want[i];
        if (w->done || w->batch != index)
            continue;
        w->tries++;
        silr_share_take(b, t, w);
        st = silr_ledger_line_set(b->c->ledger, &w->id, t->name, w->tries, err);
    }
    if (st == SILR_OK)
        st = silr_ledger_count(b->c->ledger, "sent by batch", (int64_t)t->lines, err);
    return st == SILR_OK ? silr_batch_commit(b, err) : st;
}

/* --- all of it ----------------------------------------------------------------------------------- */

/* Takes back what write_lines marked. */
static void forget(batcher *b, const batch *t)
{
    int32_t index = (int32_t)(t - b->batch);

    for (size_t i = 0; i < b->n; i = silr_want_next(b, i))
        if (!b->want[i].done && b->want[i].batch == index)
            b->want[i].batch = BATCH_NONE;
    b->n_batches--;
}

static silr_status submit_one(batcher *b, silr_error *err)
{
    upload u = {0};
    batch *t = silr_batch_new(b, err);
    bool kept = false;
    silr_status st;

    if (!t)
        return err ? err->status : SILR_ENOMEM;
    if ((st = write_lines(b, t, &u, err)) != SILR_OK || (st = estimate(b, t, &u, err)) != SILR_OK)
        goto done;
    if (t->lines == 0)
        goto done;
    b->hold = !allowed(b, t);
    if (b->hold)
        st = silr_share_release(b, t, err);
    if (b->hold || (st = send_file(b, t, &u, err)) != SILR_OK)
        goto done;
    b->c->sent += (int64_t)t->lines;
    kept = true;
    if ((st = keep_lines(b, t, err)) == SILR_OK)
        st = silr_batch_create(b, t, err);
done:
    if (!kept)
        forget(b, t);
    if (u.lines)
        fclose(u.lines);
    return st;
}

static bool any_loose(const batcher *b)
{
    for (size_t i = 0; i < b->n; i = silr_want_next(b, i))
        if (is_loose(&b->want[i]))
            return true;
    return false;
}

silr_status silr_batch_submit(batcher *b, silr_error *err)
{
    silr_status st = SILR_OK;

    while (st == SILR_OK && !b->hold && any_loose(b)) {
        if (b->c->task->annotator.chat.max_requests > 0 &&
            b->c->sent >= b->c->task->annotator.chat.max_requests)
            b->hold = silr_chat_limits(b->c, 0, &b->why) != SILR_OK;
        else if ((st = silr_call_may_wait(b->c, err)) == SILR_OK)
            st = submit_one(b, err);
    }
    return st;
}
