/* pool.c - threads that wait for tiles.
 *
 * All that caller and workers agree upon is one word, the door:
 *
 *     bits 0-15 inside     workers that are in
 *     bits 16-31 joined    workers that have been in: the next one's number
 *     bit 32               open: a worker may go in
 *     bits 33-63           number of the job
 *
 * The caller opens it with a new number; a worker that sees it open adds one to `inside` and
 * `joined` in one step, takes tiles until none is left, and takes its one from `inside`. When the
 * caller finds no tile left it shuts the door, so that nobody comes late, and waits for `inside` to
 * be 0. The job's fields change only while the door is shut and nobody is inside.
 *
 * Between two jobs lie microseconds while a model runs, and hours when it does not: a worker looks
 * at the door for a short while, then sleeps. So does the caller before it waits for a worker that
 * lost its processor in the middle of a tile: that one may need the caller's. */
#include "engine/pool.h"
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SPIN = 2000 }; /* looks at the door before going to sleep: about 30 microseconds */

#define INSIDE UINT64_C(0xffff)
#define ONE_MORE (UINT64_C(1) << 16 | 1)
#define JOINED(door) ((door) >> 16 & 0xffff)
#define OPEN (UINT64_C(1) << 32)
#define JOB(door) ((door) >> 33)

static struct {
    pthread_mutex_t owner; /* held by whose job it is */
    pthread_mutex_t lock;  /* for going to sleep */
    pthread_cond_t opened, left;
    atomic_int sleepers;
    atomic_bool waiting; /* the caller sleeps until all have left */
    _Atomic uint64_t door;
    size_t workers; /* started so far; by the owner only */
    atomic_size_t threads; /* that may take part; read before going in, hence atomic */
    /* the job */
    silr_tile tile;
    void *context;
    size_t tiles;
    atomic_size_t next;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .opened = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_tiles(size_t thread)
{
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
        if (i >= pool.tiles)
            return;
        pool.tile(pool.context, i, thread);
    }
}

/* Waits until the door is open with another number than `job`. */
static uint64_t wait_for_work(uint64_t job)
{
    uint64_t door;

    for (int i = 0; i < SPIN; i++) {
        door = atomic_load(&pool.door);
        if (door & OPEN && JOB(door) != job)
            return door;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1); /* before looking: who opens then looks for sleepers */
    while (door = atomic_load(&pool.door), !(door & OPEN) || JOB(door) == job)
        pthread_cond_wait(&pool.opened, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
    return door;
}

static void leave(void)
{
    uint64_t door = atomic_fetch_sub(&pool.door, 1) - 1;

    if ((door & INSIDE) == 0 && atomic_load(&pool.waiting)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_signal(&pool.left);
        pthread_mutex_unlock(&pool.lock);
    }
}

static void *work(void *unused)
{
    uint64_t job = 0;

    for (;;) {
        uint64_t door = wait_for_work(job);
        job = JOB(door);
        while (door & OPEN && JOB(door) == job && JOINED(door) + 1 < atomic_load(&pool.threads))
            if (atomic_compare_exchange_weak(&pool.door, &door, door + ONE_MORE)) {
                take_tiles(JOINED(door) + 1);
                leave();
                break;
            }
    }
    return unused;
}

/* A child of fork has none of the threads, and locks that nobody will open. */
static void forget(void)
{
    pool.owner = pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.opened = pool.left = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.waiting, false);
    atomic_store(&pool.door, 0);
    pool.workers = 0;
}

/* Starts threads until there are `want`, or no more can be had. They leave to others the signals
 * that come from outside; those that they cause themselves stay theirs. */
static void hire(size_t want)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t id;

    if (pool.workers >= want || pthread_attr_init(&attr) != 0)
        return;
    if (pool.workers == 0)
        pthread_atfork(NULL, NULL, forget);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, (size_t)2 << 20);
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (pool.workers < want && pthread_create(&id, &attr, work, NULL) == 0)
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

static void open_door(void)
{
    uint64_t door = atomic_load(&pool.door);

    atomic_store(&pool.door, (JOB(door) + 1) << 33 | OPEN);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
}

static void shut_door(void)
{
    uint64_t door = atomic_fetch_and(&pool.door, ~OPEN);

    for (int i = 0; i < SPIN && (door & INSIDE) > 0; i++) {
        relax();
        door = atomic_load(&pool.door);
    }
    if ((door & INSIDE) == 0)
        return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.waiting, true); /* before looking, as above */
    while ((atomic_load(&pool.door) & INSIDE) > 0)
        pthread_cond_wait(&pool.left, &pool.lock);
    atomic_store(&pool.waiting, false);
    pthread_mutex_unlock(&pool.lock);
}

size_t silr_pool_threads(void)
{
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();

    return threads < 1 ? 1 : threads > SILR_POOL_MOST ? SILR_POOL_MOST : (size_t)threads;
}

void silr_pool_run(silr_tile tile, void *context, size_t tiles)
{
    size_t threads = silr_pool_threads();

    if (threads > tiles)
        threads = tiles;
    if (threads < 2 || pthread_mutex_trylock(&pool.owner) != 0) {
        for (size_t i = 0; i < tiles; i++)
            tile(context, i, 0);
        return;
    }
    hire(threads - 1);
    pool.tile = tile;
    pool.context = context;
    pool.tiles = tiles;
    atomic_store(&pool.threads, threads);
    atomic_store(&pool.next, 0);
    open_door();
    take_tiles(0);
    shut_door();
    pthread_mutex_unlock(&pool.owner);
}
