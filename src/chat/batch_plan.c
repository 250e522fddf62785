/* batch_plan.c - what a batch is to be made of: the answers that the ledger does not have.
 *
 * A request's body depends on what the server can do, and a batch that asks for what it cannot do
 * fails whole, hours later. So that is found out first, by asking one by one, and live, until the
 * first answer has come. */
#include "chat/batch.h"
#include <string.h>

enum { HITS = 500, FIRST = 10 };

/* --- the first answer ---------------------------------------------------------------------------- */

/* A job of one item of another. */
typedef struct {
    batcher *b;
    size_t item, answers;
    char why[300];
} lone;

static const char *lone_text(void *ctx, size_t i, size_t *len)
{
    const lone *l = ctx;
    (void)i;
    return l->b->job->text(l->b->job->ctx, l->item, len);
}

static silr_status lone_answered(void *ctx, size_t i, int sample, const silr_reply *reply,
                                 const silr_ask_id *id, const char *why, silr_error *err)
{
    lone *l = ctx;
    (void)i;

    l->answers += reply != NULL;
    l->b->done++;
    if (why)
        snprintf(l->why, sizeof l->why, "%s", why);
    return l->b->job->answered(l->b->job->ctx, l->item, sample, reply, id, why, err);
}

silr_status silr_batch_settle(batcher *b, size_t *from, silr_error *err)
{
    lone l = {.b = b};
    silr_chat_job job = {.ctx = &l,
                         .n = 1,
                         .what = b->job->what,
                         .text = lone_text,
                         .rounds = b->job->rounds,
                         .answered = lone_answered};
    size_t refused = 0;
    silr_status st = SILR_OK;

    for (; st == SILR_OK && l.item < b->job->n && !b->c->known; l.item++) {
        size_t before = l.answers;
        if ((st = silr_chat_hear(b->c, err)) != SILR_OK || b->c->known)
            break; /* another run has found out since we began */
        st = silr_chat_ask(b->c, &job, err);
        refused += l.answers == before;
        if (st == SILR_OK && l.answers == 0 && refused >= FIRST)
            st = silr_fail(err, SILR_EPEER,
                           "%s: %zu requests were refused and none was answered: %.300s",
                           silr_chat_url(b->c->task), refused, l.why);
    }
    *from = l.item;
    b->total = (uint64_t)b->job->n * (uint64_t)silr_chat_samples(b->c);
    return st;
}

/* --- the rest ------------------------------------------------------------------------------------ */

static silr_status hand_over(batcher *b, size_t item, int sample, const silr_reply *reply,
                             const silr_ask_id *id, const char *why, silr_error *err)
{
    b->done++;
    return b->job->answered(b->job->ctx, item, sample, reply, id, why, err);
}

/* What bytes are in tokens, by the answers that are there: for what a batch may cost. */
static void measure(batcher *b, const silr_usage *u)
{
    if (u->prompt_tokens <= 0)
        return;
    b->tokens += (double)u->prompt_tokens;
    b->bytes += (double)b->c->body.len;
}

/* Items that were settled count too. */
static silr_status measure_first(batcher *b, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < n && i < FIRST; i++) {
        const char *why;
        bool ready, found;
        silr_ask_id id;
        silr_usage usage;
        st = silr_chat_compose(b->c, b->job, i, 0, &id, &ready, &why, err);
        if (st == SILR_OK && ready &&
            (st = silr_ledger_find(b->c->ledger, &id, &b->c->reply, &usage, &found, err)) ==
                SILR_OK &&
            found)
            measure(b, &usage);
    }
    return st;
}

/* The answer that the ledger has. */
static silr_status from_ledger(batcher *b, size_t item, int sample, const silr_ask_id *id,
                               bool *found, silr_error *err)
{
    silr_chat *c = b->c;
    silr_reply reply;
    silr_usage usage;
    char why[200];
    bool good;
    silr_status st;

    *found = false;
    if (!silr_ledger_has(c->ledger, id))
        return SILR_OK;
    if ((st = silr_batch_open(b, err)) != SILR_OK ||
        (st = silr_ledger_find(c->ledger, id, &c->reply, &usage, found, err)) != SILR_OK || !*found)
        return st;
    measure(b, &usage);
    good = silr_reply_read(&reply, c->reply.data, c->reply.len, why);
    st = hand_over(b, item, sample, good ? &reply : NULL, id, good ? NULL : why, err);
    if (good)
        silr_reply_clear(&reply);
    return st;
}

static silr_status add_want(batcher *b, size_t item, int sample, const silr_ask_id *id,
                            silr_error *err)
{
    if (b->n >= INT32_MAX || item > UINT32_MAX || b->c->body.len > UINT32_MAX)
        return silr_fail(err, SILR_EINPUT, "more texts than a batch can be made of");
    if (!silr_grow(&b->want, &b->cap, b->n + 1, sizeof *b->want))
        return silr_fail_memory(err);
    b->want[b->n++] = (want){.id = *id,
                             .item = (uint32_t)item,
                             .bytes = (uint32_t)b->c->body.len,
                             .batch = BATCH_NONE,
                             .sample = (uint16_t)sample};
    return SILR_OK;
}

static silr_status plan_one(batcher *b, size_t item, int sample, silr_error *err)
{
    const char *why = NULL;
    bool ready, found = false;
    silr_ask_id id;
    silr_status st = silr_chat_compose(b->c, b->job, item, sample, &id, &ready, &why, err);

    if (st != SILR_OK)
        return st;
    if (!ready) {
        if ((st = silr_batch_open(b, err)) != SILR_OK)
            return st;
        return hand_over(b, item, sample, NULL, &id, why, err);
    }
    st = from_ledger(b, item, sample, &id, &found, err);
    return st == SILR_OK && !found ? add_want(b, item, sample, &id, err) : st;
}

static int by_id(const void *a, const void *b)
{
    const want *x = a, *y = b;
    int order = memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);

    if (order != 0)
        return order;
    return x->item != y->item ? (x->item < y->item ? -1 : 1) : (int)x->sample - (int)y->sample;
}

silr_status silr_batch_plan(batcher *b, size_t from, silr_error *err)
{
    int samples = silr_chat_samples(b->c);
    uint64_t looked = 0;
    silr_status st = measure_first(b, from, err);

    for (size_t i = from; st == SILR_OK && i < b->job->n; i++) {
        for (int s = 0; st == SILR_OK && s < samples; s++)
            st = plan_one(b, i, s, err);
        if (st != SILR_OK || ++looked % HITS != 0)
            continue;
        silr_progress("looking for what is missing", i, b->job->n);
        if ((st = silr_batch_commit(b, err)) == SILR_OK)
            st = silr_call_may_wait(b->c, err);
    }
    if (st == SILR_OK)
        st = silr_batch_commit(b, err);
    if (b->n > 0)
        qsort(b->want, b->n, sizeof *b->want, by_id);
    return st;
}
