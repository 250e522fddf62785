/* batch.c - asking through the Batch API: half the price, an answer within a day.
 *
 *     settle    one live answer tells what the server can do (batch_plan.c)
 *     plan      what the ledger has is handed over, the rest is what batches are made of
 *     submit    a file of lines is uploaded, a batch created for it (submit.c)
 *     wait      it is looked at, less and less often
 *     gather    its answers go into the ledger and to whoever asked (gather.c); what failed but
 *               may pass goes into the next batch
 *
 * Each step is in the ledger before the next (state.c: the batches; ledger/lines.c: the requests
 * that are in them), so that a process that ends anywhere leaves a batch that the next one finds.
 * Nothing is waited for but those answers, and those that another run is waiting for (batch_share.c), and no
 * request is in two batches. */
#include "chat/batch.h"
#include <math.h>
#include <string.h>

/* --- groups of equal requests -------------------------------------------------------------------- */

size_t silr_want_next(const batcher *b, size_t i)
{
    size_t j = i + 1;

    while (j < b->n && memcmp(&b->want[j].id, &b->want[i].id, sizeof b->want[i].id) == 0)
        j++;
    return j;
}

want *silr_want_find(batcher *b, const silr_ask_id *id)
{
    size_t low = 0, high = b->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(&b->want[mid].id, id, sizeof *id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < b->n && memcmp(&b->want[low].id, id, sizeof *id) == 0 ? &b->want[low] : NULL;
}

silr_status silr_want_deliver(batcher *b, want *w, const silr_reply *reply, const char *why,
                              silr_error *err)
{
    const silr_chat_job *j = b->job;
    size_t i = (size_t)(w - b->want), end = silr_want_next(b, i);
    silr_status st = SILR_OK;

    if (w->batch != BATCH_NONE)
        b->batch[w->batch].waiting--;
    for (; i < end && st == SILR_OK; i++) {
        b->want[i].done = true;
        b->done++;
        st = j->answered(j->ctx, b->want[i].item, b->want[i].sample, reply, &w->id, why, err);
    }
    return st;
}

silr_status silr_want_give_up(batcher *b, want *w, const char *why, silr_error *err)
{
    silr_chat_note(b->c, "failed");
    silr_ledger_unclaim(b->c->ledger, &w->id);
    return silr_want_deliver(b, w, NULL, why, err);
}

/* --- transactions -------------------------------------------------------------------------------- */

silr_status silr_batch_open(batcher *b, silr_error *err)
{
    silr_status st = b->open ? SILR_OK : silr_ledger_begin(b->c->ledger, err);
    b->open = b->open || st == SILR_OK;
    return st;
}

silr_status silr_batch_commit(batcher *b, silr_error *err)
{
    silr_status st;

    if (!b->open)
        return SILR_OK;
    if ((st = silr_chat_notes(b->c, err)) != SILR_OK)
        return st;
    b->open = false;
    return silr_ledger_commit(b->c->ledger, err);
}

/* --- waiting ------------------------------------------------------------------------------------- */

static size_t count_underway(const batcher *b, uint64_t *waiting, uint64_t *counted)
{
    size_t n = 0;

    *waiting = *counted = 0;
    for (const batch *t = b->batch; t < b->batch + b->n_batches; t++) {
        uint64_t seen = t->completed + t->failed;
        if (!silr_batch_underway(t))
            continue;
        n++;
        *waiting += t->waiting;
        *counted += seen < t->waiting ? seen : t->waiting;
    }
    return n;
}

/* The batch that is to be looked at first; NULL: none is under way. */
static batch *next_due(const batcher *b)
{
    batch *first = NULL;

    for (batch *t = b->batch; t < b->batch + b->n_batches; t++)
        if (silr_batch_underway(t) && (!first || t->due < first->due))
            first = t;
    return first;
}

/* Small batches may be done in seconds, large ones take hours: the pauses grow, up to batch_poll. */
static void set_due(const batcher *b, batch *t)
{
    double most = b->c->task->annotator.chat.batch_poll;

    t->pause = t->pause > 0 ? fmin(1.5 * t->pause, most) : most / 16;
    t->due = silr_now() + t->pause;
}

static silr_status missed(batcher *b, batch *t, const silr_http_request *r,
                          const silr_http_reply *reply, silr_error *err)
{
    char why[300], code[80], note[60];
    silr_fate fate = SILR_FATE_RETRY;

    silr_chat_describe(reply, why, code, note);
    silr_chat_note(b->c, note);
    if (reply->end == SILR_HTTP_DONE && reply->status / 100 != 2)
        fate = silr_fate_of(reply->status, code, false); /* nobody else is answered instead */
    if (fate == SILR_FATE_STOP || fate == SILR_FATE_GIVE_UP)
        return silr_fail(
            err, SILR_EPEER,
            "%.300s: %.200s; is it another key than the batch was begun with? "
            "With the right one the same command goes on; --set annotator.batch=false asks "
            "without the batch",
            r->url, why);
    if (++t->misses > b->c->task->annotator.chat.retries)
        return silr_fail(err, SILR_EPEER,
                         "%.300s: %.200s (%d attempts); the batch goes on, the same command "
                         "collects it",
                         r->url, why, t->misses);
    t->due += fmax(reply->retry_after > 0 ? reply->retry_after : 0,
                   fmin(t->pause * exp2(t->misses), 300));
    return SILR_OK;
}

/* Takes over what is new about it. */
static silr_status look(batcher *b, batch *t, silr_error *err)
{
    silr_buf url = {0};
    char path[BATCH_ID + 20], before[sizeof t->told];
    silr_http_request r = {.method = "GET", .max_body = BATCH_TELLS};
    silr_http_reply reply;
    json_t *root = NULL;
    silr_status st;

    memcpy(before, t->told, sizeof before);
    snprintf(path, sizeof path, "/batches/%s", t->id);
    if ((st = silr_call_url(b, &url, path, NULL, err)) != SILR_OK)
        goto done;
    r.url = url.data;
    if ((st = silr_call_once(b->c, &r, false, &reply, err)) != SILR_OK)
        goto done;
    set_due(b, t);
    root = silr_call_json(&reply);
    if (!silr_batch_read(t, root)) {
        st = missed(b, t, &r, &reply, err);
        goto done;
    }
    t->misses = 0;
    if ((strcmp(before, t->told) != 0 || silr_share_due(t)) && (st = silr_batch_open(b, err)) == SILR_OK &&
        (st = silr_batch_keep(b, t, err)) == SILR_OK)
        st = silr_batch_commit(b, err);
done:
    json_decref(root);
    silr_buf_clear(&url);
    return st;
}

static void show(const batcher *b)
{
    uint64_t waiting, counted;

    count_underway(b, &waiting, &counted);
    silr_progress(b->job->what, b->done + counted, b->total);
}

/* Until a batch is due; then looks at it, and gathers it when it has ended. Or until it is time to see what
 * other runs have done. */
static silr_status wait_for(batcher *b, batch *t, silr_error *err)
{
    double until = b->n_elsewhere > 0 ? fmin(t->due, b->look) : t->due;
    silr_status st = SILR_OK;

    do {
        show(b);
        st = silr_call_pause(b->c, fmin(fmax(until - silr_now(), 0), 0.5), err);
    } while (st == SILR_OK && silr_now() < until);
    if (st != SILR_OK || silr_now() < t->due)
        return st;
    st = look(b, t, err);
    return st == SILR_OK && silr_batch_ended(t) ? silr_batch_gather(b, t, err) : st;
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* Files that were uploaded by a call that ended before it knew of a batch. */
static silr_status resume(batcher *b, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < b->n_batches; i++)
        if (b->batch[i].stage == BATCH_UPLOADED && b->batch[i].waiting > 0)
            st = silr_batch_resume(b, &b->batch[i], err);
    return st;
}

static silr_status go_round(batcher *b, silr_error *err)
{
    batch *t;
    silr_status st = resume(b, err);

    while (st == SILR_OK) {
        if ((st = silr_share_look(b, err)) != SILR_OK || (st = silr_batch_submit(b, err)) != SILR_OK)
            break;
        t = next_due(b);
        if (!t && b->hold && err)
            *err = b->why;
        if (!t && (b->hold || b->n_elsewhere == 0))
            return b->hold ? b->why.status : SILR_OK;
        st = t ? wait_for(b, t, err) : silr_share_wait(b, err);
    }
    return st;
}

/* Who is interrupted wants to know what becomes of what is with the server. */
static void tell_rest(const batcher *b, silr_status st, silr_error *err)
{
    uint64_t waiting, counted;
    size_t n = count_underway(b, &waiting, &counted);
    size_t len = strlen(err->text), room = sizeof err->text - len;

    if (n > 0)
        snprintf(err->text + len, room,
                 "; %llu requests go on at the server, in %zu batch%s: the same "
                 "command collects their answers",
                 (unsigned long long)waiting, n, n > 1 ? "es" : "");
    else if (st == SILR_ECANCEL)
        snprintf(err->text + len, room, "; %llu of %llu answers are there",
                 (unsigned long long)b->done, (unsigned long long)b->total);
    else if (!b->hold)
        snprintf(err->text + len, room, "; the answers are kept, the same command goes on");
}

/* Where the API is. Azure has it beside the deployments, and names the endpoint in its own way. */
static silr_status find_api(batcher *b, silr_error *err)
{
    const char *url = silr_chat_url(b->c->task), *query = strchr(url, '?');
    const char *deployment = strstr(url, "/deployments/"),
               *rest = query ? query : url + strlen(url);

    b->endpoint =
        query && strstr(query, "api-version=") && !memmem(url, (size_t)(query - url), "/v1", 3)
            ? "/chat/completions"
            : "/v1/chat/completions";
    if (deployment && deployment < rest) {
        silr_buf_add(&b->base, url, (size_t)(deployment - url));
        silr_buf_puts(&b->base, rest);
    } else {
        silr_buf_puts(&b->base, url);
    }
    return b->base.failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status run(batcher *b, silr_error *err)
{
    size_t from = 0;
    silr_status st;

    if ((st = find_api(b, err)) != SILR_OK || (st = silr_batch_settle(b, &from, err)) != SILR_OK)
        return st;
    if ((st = silr_batch_plan(b, from, err)) == SILR_OK &&
        (st = silr_batch_load(b, err)) == SILR_OK)
        st = go_round(b, err);
    if (st == SILR_ECANCEL || st == SILR_ELIMIT)
        tell_rest(b, st, err);
    return st;
}

silr_status silr_chat_batch_within(silr_chat *c, const silr_chat_job *job, uint64_t bytes,
                                   silr_error *err)
{
    batcher b = {.c = c, .job = job, .most_bytes = bytes};
    silr_error mine = {0};
    silr_status st = run(&b, &mine);

    if (b.open)
        silr_ledger_rollback(c->ledger);
    silr_ledger_leave(c->ledger);
    silr_buf_clear(&b.base);
    silr_free(b.want);
    silr_free(b.batch);
    if (st != SILR_OK && err)
        *err = mine;
    return st;
}

silr_status silr_chat_batch(silr_chat *c, const silr_chat_job *job, silr_error *err)
{
    return silr_chat_batch_within(c, job, BATCH_BYTES, err);
}
