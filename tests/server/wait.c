/* wait.c - who waits, for what: a time (a heap), a slot (a line), or a turn (a rate). */
#include "server.h"
#include "base/mem.h"
#include <time.h>

int64_t wait_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- a time: heap[1] is the first that is due, and nobody is due before its parent ------ */

static struct request **heap; /* from 1 */
static size_t waiting, heap_cap;

static void put(size_t at, struct request *r)
{
    heap[at] = r;
    r->heap_at = at;
}

static void rise(size_t at, struct request *r)
{
    for (; at > 1 && heap[at / 2]->due > r->due; at /= 2)
        put(at, heap[at / 2]);
    put(at, r);
}

static void sink(size_t at, struct request *r)
{
    for (size_t below; (below = 2 * at) <= waiting; at = below) {
        if (below < waiting && heap[below + 1]->due < heap[below]->due)
            below++;
        if (heap[below]->due >= r->due)
            break;
        put(at, heap[below]);
    }
    put(at, r);
}

void wait_until(struct request *r, int64_t due)
{
    must(silr_grow(&heap, &heap_cap, waiting + 2, sizeof(struct request *)) ? heap : NULL);
    r->due = due;
    rise(++waiting, r);
}

static void take_out(struct request *r)
{
    struct request *last = heap[waiting--];
    size_t at = r->heap_at;

    r->heap_at = 0;
    if (last == r)
        return;
    if (at > 1 && heap[at / 2]->due > last->due)
        rise(at, last);
    else
        sink(at, last);
}

struct request *wait_due(int64_t now)
{
    struct request *r = waiting ? heap[1] : NULL;

    if (!r || r->due > now)
        return NULL;
    take_out(r);
    return r;
}

int64_t wait_first(void)
{
    return waiting ? heap[1]->due : -1;
}

/* --- a slot ----------------------------------------------------------------------------- */

static struct request *first, *last;
static unsigned taken;

unsigned slot_taken(void)
{
    return taken;
}

bool slot_take(struct request *r)
{
    if (opt.slots == 0 || taken < opt.slots) {
        taken++;
        return true;
    }
    r->next = NULL;
    if (first)
        last->next = r;
    else
        first = r;
    last = r;
    return false;
}

struct request *slot_leave(void)
{
    struct request *r = first;

    if (r)
        first = r->next;
    else
        taken--;
    return r;
}

void wait_forget(struct request *r)
{
    struct request *before = NULL;

    if (r->heap_at)
        take_out(r);
    for (struct request *q = first; q; before = q, q = q->next) {
        if (q != r)
            continue;
        if (before)
            before->next = r->next;
        else
            first = r->next;
        if (last == r)
            last = before;
        return;
    }
}

/* --- a rate: a bucket that holds a second's worth --------------------------------------- */

bool rate_take(double *left, double *full_in, double *again_in)
{
    static double tokens = -1;
    static int64_t then;
    double most = opt.rate_limit < 1 ? 1 : opt.rate_limit;
    int64_t now = wait_now();
    bool ok;

    if (tokens < 0)
        tokens = most;
    else
        tokens += (double)(now - then) * 1e-9 * opt.rate_limit;
    then = now;
    if (tokens > most)
        tokens = most;
    ok = tokens >= 1;
    if (ok)
        tokens -= 1;
    *left = tokens;
    *full_in = (most - tokens) / opt.rate_limit;
    *again_in = tokens >= 1 ? 0 : (1 - tokens) / opt.rate_limit;
    return ok;
}
