/* qlora_crew.c - a step of fine-tuning on all ranks.
 *
 *     to open    opening, path
 *     FORWARD    head, lengths u32 [n], numbers u32 [n] (where there are some), tokens  -> scores f32
 *     BACK       derivatives of the scores f32 [n][columns]
 *     STEP       stepping
 *     SHARE      one byte: whether moments go with the parameters
 *
 * each order behind its verb, one byte. What is large is never in an order: parameters are broadcast and
 * gradients summed inside the work. After a step every rank has made the same update from the same sum,
 * so that parameters need not be sent again.
 *
 * Texts go along as tokens, 4 bytes each: a batch of 16 texts of 512 tokens is 32 KiB, while the
 * gradient of LoRA's factors in the smallest models is 2 MiB. Sent once at the start they would cost the other
 * ranks memory for the whole corpus, and have to be kept in step with rank 0's. */
#include "classify/qlora_crew.h"
#include "classify/classifier.h"

#include <stdlib.h>
#include <string.h>

enum { FORWARD = 'f', BACK = 'b', STEP = 's', SHARE = 'p' };

typedef struct {
    char hash[64];
    uint64_t n_params;
    silr_scorer_opts opts;
} opening;

typedef struct {
    uint64_t key;
    uint32_t n;
    bool training, numbers;
} head;

typedef struct {
    silr_adam adam;
    double lr;
    uint64_t k;
} stepping;

/* A rank's worker: its tuner and its texts of the last forward. */
typedef struct {
    silr_tuner *tuner, made; /* rank 0's is the classifier's, that of others their own */
    uint32_t *ids, *number, *length;
    size_t *start;
    size_t ids_cap, number_cap, length_cap, start_cap;
    silr_tune_batch batch;
} hand;

static silr_status cut_short(silr_error *err)
{
    return silr_fail(err, SILR_EBUG, "an order to the ranks that train is cut short");
}

static void hand_clear(hand *h)
{
    silr_tuner_clear(&h->made);
    silr_free(h->ids);
    silr_free(h->number);
    silr_free(h->length);
    silr_free(h->start);
}

/* --- a rank's work --------------------------------------------------------------------------------- */

static silr_status same_base(const char *hex, const char *path, silr_error *err)
{
    silr_sha256 own;
    const silr_status st = silr_encoder_hash(&own, path, err);

    if (st == SILR_OK && memcmp(own.hex, hex, 64) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: the model there is not the one that rank 0 has at this "
                         "path", path);
    return st;
}

/* What each rank keeps for the way back is its own part of its machine's memory. */
static silr_status make_tuner(hand *h, opening *o, const char *path, silr_error *err)
{
    silr_status st = same_base(o->hash, path, err);

    o->opts.tune.sharers = (size_t)silr_dist_here();
    if (st == SILR_OK)
        st = silr_tuner_open(&h->made, path, &o->opts, err);
    if (st == SILR_OK && h->made.n_params != o->n_params)
        st = silr_fail(err, SILR_EBUG, "%s: %zu parameters are trained here, and %zu at rank 0", path,
                       h->made.n_params, (size_t)o->n_params);
    h->tuner = &h->made;
    return st;
}

static silr_status open_hand(void **worker, const void *order, size_t len, silr_error *err)
{
    hand *h = silr_calloc(1, sizeof *h);
    char *path = NULL;
    opening o;
    silr_status st;

    if (!h)
        return silr_fail_memory(err);
    if (!silr_dist_take(&order, &len, &o, sizeof o))
        st = cut_short(err);
    else if (!(path = silr_strndup(order, len)))
        st = silr_fail_memory(err);
    else if ((st = make_tuner(h, &o, path, err)) == SILR_OK) {
        *worker = h;
        h = NULL;
    }
    if (h)
        hand_clear(h);
    silr_free(h);
    silr_free(path);
    return st;
}

static void close_hand(void *worker)
{
    hand_clear(worker);
    silr_free(worker);
}

/* The order's texts become the batch: a copy, which is there for the way back too. */
static silr_status take_texts(hand *h, const head *o, const void *order, size_t left, silr_error *err)
{
    const size_t n = o->n;

    h->batch = (silr_tune_batch){0};
    if (!silr_grow(&h->start, &h->start_cap, n + 1, sizeof *h->start) ||
        !silr_grow(&h->length, &h->length_cap, n + 1, sizeof *h->length) ||
        !silr_grow(&h->number, &h->number_cap, n + 1, sizeof *h->number) ||
        !silr_grow(&h->ids, &h->ids_cap, left / sizeof *h->ids + 1, sizeof *h->ids))
        return silr_fail_memory(err);
    if (!silr_dist_take(&order, &left, h->length, n * sizeof *h->length) ||
        (o->numbers && !silr_dist_take(&order, &left, h->number, n * sizeof *h->number)))
        return cut_short(err);
    h->start[0] = 0;
    for (size_t i = 0; i < n; i++)
        h->start[i + 1] = h->start[i] + h->length[i];
    if (left != h->start[n] * sizeof *h->ids || !silr_dist_take(&order, &left, h->ids, left))
        return cut_short(err);
    h->batch = (silr_tune_batch){.ids = h->ids, .start = h->start, .n = n,
                                 .number = o->numbers ? h->number : NULL, .key = o->key};
    return SILR_OK;
}

static silr_status forward(hand *h, const void *order, size_t left, silr_buf *result, silr_error *err)
{
    const size_t columns = h->tuner->scorer.columns;
    float *scores = NULL;
    head o;
    silr_status st;

    if (!silr_dist_take(&order, &left, &o, sizeof o))
        return cut_short(err);
    if ((st = take_texts(h, &o, order, left, err)) != SILR_OK)
        return st;
    if (!(scores = silr_alloc(h->batch.n + 1, columns * sizeof *scores)))
        return silr_fail_memory(err);
    if ((st = silr_tuner_forward(h->tuner, &h->batch, o.training, scores, err)) == SILR_OK)
        silr_buf_add(result, scores, h->batch.n * columns * sizeof *scores);
    silr_free(scores);
    return st;
}

static silr_status backward(hand *h, const void *order, size_t left, silr_error *err)
{
    const size_t bytes = h->batch.n * h->tuner->scorer.columns * sizeof(float);
    float *dscores = silr_alloc(1, bytes); /* an order's bytes may lie anywhere */
    silr_status st;

    if (!dscores)
        return silr_fail_memory(err);
    st = left == bytes && silr_dist_take(&order, &left, dscores, bytes)
             ? silr_tuner_backward(h->tuner, &h->batch, dscores, err)
             : cut_short(err);
    silr_free(dscores);
    return st;
}

/* From here on the ranks are in step with one another: who cannot go on says so before a sum. */
static silr_status step(hand *h, const void *order, size_t left, silr_error *err)
{
    silr_tuner *t = h->tuner;
    stepping o = {0};
    silr_status st = silr_dist_take(&order, &left, &o, sizeof o) ? silr_tuner_moments(t, err) : cut_short(err);

    if ((st = silr_dist_agree(st, err)) != SILR_OK ||
        (st = silr_dist_sum_floats(t->grad, t->n_params, err)) != SILR_OK)
        return st;
    return silr_tuner_step(t, &o.adam, o.lr, o.k, err);
}

static silr_status share(hand *h, const void *order, size_t left, silr_error *err)
{
    silr_tuner *t = h->tuner;
    const size_t bytes = t->n_params * sizeof *t->params;
    bool moments = false;
    silr_status st = silr_dist_take(&order, &left, &moments, sizeof moments) ? SILR_OK : cut_short(err);

    if (st == SILR_OK && moments)
        st = silr_tuner_moments(t, err);
    if ((st = silr_dist_agree(st, err)) != SILR_OK ||
        (st = silr_dist_broadcast(t->params, bytes, err)) != SILR_OK)
        return st;
    silr_tuner_drop_gradient(t);
    if (moments && (st = silr_dist_broadcast(t->m, bytes, err)) == SILR_OK)
        st = silr_dist_broadcast(t->v, bytes, err);
    return st;
}

static silr_status work(void *worker, const void *order, size_t left, silr_buf *result, silr_error *err)
{
    char verb;

    if (!silr_dist_take(&order, &left, &verb, 1))
        return cut_short(err);
    switch (verb) {
    case FORWARD: return forward(worker, order, left, result, err);
    case BACK: return backward(worker, order, left, err);
    case STEP: return step(worker, order, left, err);
    case SHARE: return share(worker, order, left, err);
    default: return cut_short(err);
    }
}

const silr_trade silr_qlora_trade = {"qlora", open_hand, work, close_hand};

/* --- rank 0 ------------------------------------------------------------------------------------------ */

struct silr_qlora_crew {
    silr_crew *crew;
    hand own;
    size_t *first;       /* [ranks + 1] who has which texts of the last forward */
    uint32_t *length;    /* of a batch's texts */
    size_t length_cap;
};

silr_status silr_qlora_crew_open(silr_qlora_crew **out, silr_tuner *own, const silr_encoder_name *base,
                                 const silr_scorer_opts *o, silr_error *err)
{
    silr_qlora_crew *c = silr_calloc(1, sizeof *c);
    char *whole = realpath(base->place, NULL);
    silr_buf order = {0};
    opening open;
    silr_status st;

    *out = NULL;
    memset(&open, 0, sizeof open); /* what lies between its members is sent too */
    memcpy(open.hash, base->model.hex, sizeof open.hash);
    open.n_params = own->n_params;
    open.opts = *o;
    silr_buf_add(&order, &open, sizeof open);
    silr_buf_puts(&order, whole ? whole : base->place);
    if (!c || order.failed || !(c->first = silr_calloc((size_t)silr_dist_size() + 1, sizeof *c->first))) {
        st = silr_fail_memory(err);
        goto done;
    }
    c->own.tuner = own;
    if ((st = silr_crew_open(&c->crew, &silr_qlora_trade, &c->own, order.data, order.len, err)) == SILR_OK) {
        *out = c;
        c = NULL;
    }
done:
    silr_qlora_crew_free(c);
    silr_buf_clear(&order);
    free(whole); /* of realpath */
    return st;
}

void silr_qlora_crew_free(silr_qlora_crew *c)
{
    if (!c)
        return;
    silr_crew_free(c->crew);
    hand_clear(&c->own);
    silr_free(c->first);
    silr_free(c->length);
    silr_free(c);
}

/* The same order to all. */
static silr_status all_do(silr_qlora_crew *c, char verb, const void *p, size_t n, silr_error *err)
{
    for (int r = 0; r < silr_dist_size(); r++) {
        silr_buf *order = silr_crew_order(c->crew, r);
        silr_buf_putc(order, verb);
        silr_buf_add(order, p, n);
    }
    return silr_crew_work(c->crew, err);
}

silr_status silr_qlora_crew_share(silr_qlora_crew *c, bool moments, silr_error *err)
{
    return all_do(c, SHARE, &moments, sizeof moments, err);
}

silr_status silr_qlora_crew_step(silr_qlora_crew *c, const silr_adam *adam, double lr, uint64_t k,
                                 silr_error *err)
{
    const stepping o = {*adam, lr, k};

    return all_do(c, STEP, &o, sizeof o, err);
}

/* Texts from .. to - 1 of the batch. */
static void give_texts(silr_buf *order, const silr_tune_batch *b, bool training, const uint32_t *length,
                       size_t from, size_t to)
{
    const head o = {.key = b->key, .n = (uint32_t)(to - from), .training = training,
                    .numbers = b->number != NULL};

    silr_buf_putc(order, FORWARD);
    silr_buf_add(order, &o, sizeof o);
    silr_buf_add(order, length + from, (to - from) * sizeof *length);
    if (b->number)
        silr_buf_add(order, b->number + from, (to - from) * sizeof *b->number);
    silr_buf_add(order, b->ids + b->start[from], (b->start[to] - b->start[from]) * sizeof *b->ids);
}

static silr_status collect(const silr_qlora_crew *c, float *scores, silr_error *err)
{
    const size_t columns = c->own.tuner->scorer.columns;

    for (int r = 0; r < silr_dist_size(); r++) {
        const size_t bytes = (c->first[r + 1] - c->first[r]) * columns * sizeof *scores;
        const silr_buf *part = silr_crew_result(c->crew, r);
        if (part->len != bytes)
            return silr_fail(err, SILR_EBUG, "rank %d made %zu bytes of scores, not %zu", r, part->len, bytes);
        if (bytes > 0)
            memcpy(scores + c->first[r] * columns, part->data, bytes);
    }
    return SILR_OK;
}

silr_status silr_qlora_crew_forward(silr_qlora_crew *c, const silr_tune_batch *b, bool training,
                                    float *scores, silr_error *err)
{
    const int size = silr_dist_size();
    silr_status st;

    if (!silr_grow(&c->length, &c->length_cap, b->n + 1, sizeof *c->length))
        return silr_fail_memory(err);
    for (size_t i = 0; i < b->n; i++)
        c->length[i] = (uint32_t)(b->start[i + 1] - b->start[i]);
    silr_dist_share_by(c->length, b->n, size, c->first);
    for (int r = 0; r < size; r++)
        give_texts(silr_crew_order(c->crew, r), b, training, c->length, c->first[r], c->first[r + 1]);
    st = silr_crew_work(c->crew, err);
    return st == SILR_OK ? collect(c, scores, err) : st;
}

silr_status silr_qlora_crew_backward(silr_qlora_crew *c, const float *dscores, silr_error *err)
{
    const size_t columns = c->own.tuner->scorer.columns;

    for (int r = 0; r < silr_dist_size(); r++) {
        silr_buf *order = silr_crew_order(c->crew, r);
        silr_buf_putc(order, BACK);
        silr_buf_add(order, dscores + c->first[r] * columns,
                     (c->first[r + 1] - c->first[r]) * columns * sizeof *dscores);
    }
    return silr_crew_work(c->crew, err);
}
