/* crew.c - rank 0 gives orders, the others wait for them.
 *
 * Before anything is done rank 0 sends all a call: what to do, by which crew. Then follow the
 * collective calls of that verb, made by rank 0 in silr_crew_* and by the others in
 * silr_dist_serve:
 *
 *     OPEN    the order to all; each opens its worker; agree
 *     WORK    an order to each; each works; agree; results to rank 0
 *     CLOSE   nothing
 *     END     nothing: the others return
 */
#include "dist/inside.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { MOST_CREWS = 16 };
enum { OPEN = 1, WORK, CLOSE, END };

typedef struct {
    uint32_t verb, crew;
    int32_t threads; /* OPEN: that the user asked for; 0: each machine as it can */
    char trade[36];
    uint64_t len;    /* OPEN: of the order */
} call;

struct silr_crew {
    const silr_trade *trade;
    void *own;
    uint32_t number;
    silr_buf *order, *result; /* [ranks] */
};

static uint32_t in_use; /* bit c: crew c is open (rank 0) */

static silr_status announce(call c, silr_error *err)
{
    return silr_dist_broadcast(&c, sizeof c, err);
}

void silr_dist_dismiss(void)
{
    silr_error err;

    if (silr_dist.rank == 0)
        announce((call){.verb = END}, &err); /* a failure shows in silr_dist.broken */
}

/* --- rank 0 ------------------------------------------------------------------------------------------ */

/* The number of threads that was asked for; left to us, other machines may have others. */
static int32_t asked_threads(void)
{
    const int n = omp_get_max_threads();
    return n == silr_threads(0) ? 0 : n;
}

static silr_status open_elsewhere(silr_crew *c, const void *order, size_t len, silr_error *err)
{
    call what = {.verb = OPEN, .crew = c->number, .threads = asked_threads(), .len = len};
    silr_buf copy = {0};
    silr_status st;

    snprintf(what.trade, sizeof what.trade, "%s", c->trade->name);
    silr_buf_add(&copy, order, len); /* broadcasts are in place, and the order is not ours to write */
    if (copy.failed)
        st = silr_fail_memory(err);
    else if ((st = announce(what, err)) == SILR_OK && (st = silr_dist_agree(SILR_OK, err)) == SILR_OK &&
             (st = silr_dist_broadcast(copy.data, len, err)) == SILR_OK)
        st = silr_dist_agree(SILR_OK, err);
    silr_buf_clear(&copy);
    return st;
}

static void release(silr_crew *c)
{
    for (int r = 0; c->order && r < silr_dist.size; r++)
        silr_buf_clear(&c->order[r]);
    for (int r = 0; c->result && r < silr_dist.size; r++)
        silr_buf_clear(&c->result[r]);
    silr_free(c->order);
    silr_free(c->result);
    silr_free(c);
}

/* A number that no open crew has. */
static silr_status take_number(silr_crew *c, silr_error *err)
{
    while (c->number < MOST_CREWS && (in_use >> c->number & 1))
        c->number++;
    return c->number < MOST_CREWS
               ? SILR_OK
               : silr_fail(err, SILR_EBUG, "more than %d crews are open at once", MOST_CREWS);
}

silr_status silr_crew_open(silr_crew **out, const silr_trade *trade, void *own, const void *order,
                           size_t len, silr_error *err)
{
    silr_crew *c = silr_calloc(1, sizeof *c);
    silr_status st;

    *out = NULL;
    if (!c)
        return silr_fail_memory(err);
    c->trade = trade;
    c->own = own;
    c->order = silr_calloc((size_t)silr_dist.size, sizeof *c->order);
    c->result = silr_calloc((size_t)silr_dist.size, sizeof *c->result);
    st = c->order && c->result ? take_number(c, err) : silr_fail_memory(err);
    if (st == SILR_OK && silr_dist.size > 1)
        st = open_elsewhere(c, order, len, err);
    if (st != SILR_OK) {
        release(c);
        return st;
    }
    in_use |= UINT32_C(1) << c->number;
    *out = c;
    return SILR_OK;
}

silr_buf *silr_crew_order(silr_crew *c, int rank)
{
    return &c->order[rank];
}

const silr_buf *silr_crew_result(const silr_crew *c, int rank)
{
    return &c->result[rank];
}

static silr_status work(const silr_trade *trade, void *worker, const silr_buf *order, silr_buf *result,
                        silr_error *err)
{
    const silr_status st = trade->work(worker, order->data, order->len, result, err);
    return st == SILR_OK && result->failed ? silr_fail_memory(err) : st;
}

/* Rank 0's own work, with its part of the processors. */
static silr_status work_too(silr_crew *c, silr_error *err)
{
    const int before = omp_get_max_threads();
    silr_status st;

    if (asked_threads() == 0)
        omp_set_num_threads(silr_dist_threads(0));
    st = c->order[0].failed ? silr_fail_memory(err)
                            : work(c->trade, c->own, &c->order[0], &c->result[0], err);
    omp_set_num_threads(before);
    return st;
}

static silr_status do_orders(silr_crew *c, silr_error *err)
{
    silr_status st;

    if (silr_dist.size > 1 && ((st = announce((call){.verb = WORK, .crew = c->number}, err)) != SILR_OK ||
                               (st = silr_dist_scatter(c->order, NULL, err)) != SILR_OK))
        return st;
    st = silr_dist_agree(work_too(c, err), err);
    if (st != SILR_OK || silr_dist.size == 1)
        return st;
    return silr_dist_gather(NULL, 0, c->result, err); /* its own result is there */
}

static void empty(silr_buf *b)
{
    silr_buf_reset(b);
    b->failed = false;
}

silr_status silr_crew_work(silr_crew *c, silr_error *err)
{
    silr_status st;

    for (int r = 0; r < silr_dist.size; r++)
        empty(&c->result[r]);
    st = do_orders(c, err);
    for (int r = 0; r < silr_dist.size; r++)
        empty(&c->order[r]);
    return st;
}

void silr_crew_free(silr_crew *c)
{
    silr_error err;

    if (!c)
        return;
    if (silr_dist.size > 1 && !silr_dist.broken)
        announce((call){.verb = CLOSE, .crew = c->number}, &err);
    in_use &= ~(UINT32_C(1) << c->number);
    release(c);
}

bool silr_dist_take(const void **at, size_t *left, void *out, size_t n)
{
    if (n > *left)
        return false;
    if (out && n > 0)
        memcpy(out, *at, n);
    *at = (const char *)*at + n;
    *left -= n;
    return true;
}

/* --- the others -------------------------------------------------------------------------------------- */

typedef struct {
    const silr_trade *trade; /* NULL: this place is free */
    void *worker;
} place;

static const silr_trade *trade_named(const silr_trade *const *trades, const char *name)
{
    for (; *trades; trades++)
        if (strcmp((*trades)->name, name) == 0)
            return *trades;
    return NULL;
}

static void leave(place *p)
{
    if (p->trade && p->trade->close)
        p->trade->close(p->worker);
    *p = (place){0};
}

static silr_status open_here(place *p, const silr_trade *const *trades, const call *c, silr_error *err)
{
    char *order = silr_alloc((size_t)c->len + 1, 1);
    silr_status st = silr_dist_agree(order ? SILR_OK : silr_fail_memory(err), err);

    if (st == SILR_OK)
        st = silr_dist_broadcast(order, (size_t)c->len, err);
    if (st == SILR_OK) {
        omp_set_num_threads(silr_threads(c->threads));
        p->trade = trade_named(trades, c->trade);
        st = p->trade ? p->trade->open(&p->worker, order, (size_t)c->len, err)
                      : silr_fail(err, SILR_EBUG, "nobody here knows the trade \"%.31s\"", c->trade);
        if (st != SILR_OK)
            *p = (place){0};
        if ((st = silr_dist_agree(st, err)) != SILR_OK)
            leave(p);
    }
    silr_free(order);
    return st;
}

static silr_status work_here(place *p, silr_error *err)
{
    silr_buf order = {0}, result = {0};
    silr_status st = silr_dist_scatter(NULL, &order, err);

    if (st == SILR_OK)
        st = silr_dist_agree(p->trade ? work(p->trade, p->worker, &order, &result, err)
                                      : silr_fail(err, SILR_EBUG, "there is no such crew"), err);
    if (st == SILR_OK)
        st = silr_dist_gather(result.data, result.len, NULL, err);
    silr_buf_clear(&order);
    silr_buf_clear(&result);
    return st;
}

/* Where the connection breaks, err has why. What else fails rank 0 has been told. */
silr_status silr_dist_serve(const silr_trade *const *trades, silr_error *err)
{
    place places[MOST_CREWS] = {0};
    silr_status st = SILR_OK;
    call c = {0};

    while (!silr_dist.broken && c.verb != END) {
        place *p;
        if ((st = silr_dist_broadcast(&c, sizeof c, err)) != SILR_OK)
            break;
        p = &places[c.crew % MOST_CREWS];
        if (c.verb == OPEN)
            st = open_here(p, trades, &c, err);
        else if (c.verb == WORK)
            st = work_here(p, err);
        else if (c.verb == CLOSE)
            leave(p);
    }
    for (size_t i = 0; i < MOST_CREWS; i++)
        leave(&places[i]);
    return silr_dist.broken ? st : SILR_OK;
}
