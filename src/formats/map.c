/* map.c - mapped files that outlive their own truncation.
 *
 * One SIGBUS handler serves all maps. It looks the address up in a list of watches; where one holds
 * it, the rest of that map, from the page at fault on, is replaced by zeros and the watch is
 * marked. (All pages behind a cut are lost alike, and one replacement a map keeps the number of
 * mappings small.) Any other SIGBUS goes to the handler that was there before.
 *
 * A handler may not take locks. So watches are pushed to the list's head with one compare-and-swap,
 * never removed and never freed: a closed map's watch is free for the next. The range of a watch
 * changes while its `version` is odd; a reader that sees it odd, or changed, passes on, which is
 * right because nobody may read a map that is being opened or closed.
 *
 * Other code of the process may have put its own handler over ours meanwhile, so every opening
 * looks and puts ours on top again. */
#include "formats/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct silr_map_watch {
    struct silr_map_watch *next;
    atomic_bool used, broken;
    atomic_uint version;
    atomic_uintptr_t start, end;
} watch;

static _Atomic(watch *) watches;
static uintptr_t page_size;

/* The handlers that were there before ours, the newest at former_at. A handler may be reading one
 * while the next is noted, so each has a place of its own; a ring of them, as no program changes
 * its handler of SIGBUS often. */
enum { FORMER = 16 };
static struct sigaction former[FORMER];
static atomic_uint former_at;

static bool watch_holds(watch *w, uintptr_t at, uintptr_t *end)
{
    unsigned version = atomic_load(&w->version);
    uintptr_t start = atomic_load(&w->start), stop = atomic_load(&w->end);

    if (version % 2 != 0 || atomic_load(&w->version) != version || at < start || at >= stop)
        return false;
    *end = stop;
    return true;
}

/* Puts zeros in the place of what is lost; false: not ours. */
static bool patch(uintptr_t at)
{
    for (watch *w = atomic_load(&watches); w; w = w->next) {
        uintptr_t end, page = at / page_size * page_size;
        if (!watch_holds(w, at, &end))
            continue;
        atomic_store(&w->broken, true);
        return mmap((void *)page, end - page, PROT_READ, // NOLINT(performance-no-int-to-ptr)
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    bool ours = info->si_code > 0 && patch((uintptr_t)info->si_addr);
    const struct sigaction *f = &former[atomic_load(&former_at) % FORMER];

    errno = saved;
    if (ours)
        return;
    if (f->sa_flags & SA_SIGINFO) {
        f->sa_sigaction(sig, info, context);
    } else if (f->sa_handler != SIG_DFL && f->sa_handler != SIG_IGN) {
        f->sa_handler(sig);
    } else { /* what would have happened without us, when this instruction runs again */
        signal(SIGBUS, SIG_DFL);
        if (info->si_code <= 0)
            raise(SIGBUS);
    }
}

static void install(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_bus_error;
    pthread_mutex_lock(&lock);
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &now) == 0 &&
        !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error)) {
        unsigned next = atomic_load(&former_at) + 1;
        former[next % FORMER] = now; /* known before ours can run */
        atomic_store(&former_at, next);
        sigaction(SIGBUS, &action, NULL);
    }
    pthread_mutex_unlock(&lock);
}

static watch *watch_take(void)
{
    watch *w;

    for (w = atomic_load(&watches); w; w = w->next) {
        bool used = false;
        if (atomic_compare_exchange_strong(&w->used, &used, true))
            return w;
    }
    if (!(w = silr_calloc(1, sizeof *w)))
        return NULL;
    atomic_store(&w->used, true);
    w->next = atomic_load(&watches);
    while (!atomic_compare_exchange_weak(&watches, &w->next, w)) {
    }
    return w;
}

static void watch_set(watch *w, const void *bytes, size_t size)
{
    uintptr_t start = (uintptr_t)bytes;

    atomic_fetch_add(&w->version, 1);
    atomic_store(&w->start, start);
    atomic_store(&w->end, size ? (start + size + page_size - 1) / page_size * page_size : start);
    atomic_store(&w->broken, false);
    atomic_fetch_add(&w->version, 1);
}

static silr_status map_file(silr_map *m, silr_error *err)
{
    struct stat info;
    void *bytes;

    m->file =
        open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never waits for a pipe's writer */
    if (m->file < 0 || fstat(m->file, &info) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: %s", m->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return silr_fail(err, SILR_EINPUT, "%s: is not a plain file", m->path);
    if (info.st_size <= 0)
        return silr_fail(err, SILR_EINPUT, "%s: is empty", m->path);
    m->size = (size_t)info.st_size;
    m->changed[0] = info.st_mtim.tv_sec;
    m->changed[1] = info.st_mtim.tv_nsec;
    if ((bytes = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, m->file, 0)) == MAP_FAILED)
        return silr_fail(err, SILR_EIO, "%s: cannot be mapped: %s", m->path, strerror(errno));
    m->bytes = bytes;
    watch_set(m->watch, m->bytes, m->size);
    return SILR_OK;
}

silr_status silr_map_open(silr_map **out, const char *path, silr_error *err)
{
    silr_status st;
    silr_map *m = silr_calloc(1, sizeof *m);

    *out = NULL;
    install();
    if (!m)
        return silr_fail_memory(err);
    m->file = -1;
    if (!(m->path = silr_strdup(path)) || !(m->watch = watch_take())) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = map_file(m, err)) != SILR_OK)
        goto done;
    *out = m;
    m = NULL;
done:
    silr_map_close(m);
    return st;
}

void silr_map_close(silr_map *m)
{
    if (!m)
        return;
    if (m->watch) {
        watch_set(m->watch, NULL, 0);
        if (m->bytes)
            munmap((void *)(uintptr_t)m->bytes, m->size); // NOLINT(performance-no-int-to-ptr)
        atomic_store(&m->watch->used, false);
    }
    if (m->file >= 0)
        close(m->file);
    silr_free(m->path);
    silr_free(m);
}

silr_status silr_map_intact(const silr_map *m, silr_error *err)
{
    struct stat info;

    if (fstat(m->file, &info) != 0)
        return silr_fail(err, SILR_EIO, "%s: %s", m->path, strerror(errno));
    /* A cut inside the last page raises no signal: its end reads as zeros. */
    if (atomic_load(&m->watch->broken) || (uint64_t)info.st_size < m->size)
        return silr_fail(err, SILR_EINPUT, "%s: was cut short while it was in use", m->path);
    if ((uint64_t)info.st_size != m->size || info.st_mtim.tv_sec != m->changed[0] ||
        info.st_mtim.tv_nsec != m->changed[1])
        return silr_fail(err, SILR_EINPUT, "%s: was written to while it was in use", m->path);
    return SILR_OK;
}
