#include "base/mem.h"
#include <jansson.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Counts down to the failing allocation; 0: off. Atomic, because threads allocate too. */
static atomic_uint_fast64_t fail_at, counted;
static atomic_bool fail_sticky;
static _Thread_local uint64_t refusals;

void silr_mem_fail_at(uint64_t n, bool sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n);
}

uint64_t silr_mem_count(void)
{
    return atomic_exchange(&counted, 0);
}

static bool refused(void)
{
    uint_fast64_t n = atomic_load_explicit(&fail_at, memory_order_relaxed);

    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
    while (n > 0) {
        uint_fast64_t next = n == 1 ? (atomic_load(&fail_sticky) ? 1 : 0) : n - 1;
        if (atomic_compare_exchange_weak(&fail_at, &n, next))
            return n == 1;
    }
    return false;
}

uint64_t silr_mem_refused(void)
{
    return refusals;
}

/* What a request came to. */
static void *granted(void *p)
{
    if (!p)
        refusals++;
    return p;
}

void *silr_malloc(size_t bytes)
{
    return granted(refused() ? NULL : malloc(bytes ? bytes : 1));
}

void *silr_alloc(size_t count, size_t size)
{
    size_t bytes;
    return silr_mul(count, size, &bytes) ? silr_malloc(bytes) : granted(NULL);
}

void *silr_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!silr_mul(count, size, &bytes) || refused())
        return granted(NULL);
    return granted(calloc(1, bytes ? bytes : 1));
}

void *silr_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!silr_mul(count, size, &bytes) || refused())
        return granted(NULL);
    return granted(realloc(p, bytes ? bytes : 1));
}

void *silr_alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    void *p;
    if (!silr_mul(count, size, &bytes) || bytes > SIZE_MAX - 64 || refused())
        return granted(NULL);
    bytes = (bytes + 63) / 64 * 64;
    if (bytes == 0)
        bytes = 64;
    p = granted(aligned_alloc(64, bytes));
    if (p)
        memset(p, 0, bytes);
    return p;
}

void silr_free(void *p)
{
    free(p);
}

char *silr_strndup(const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? silr_malloc(len + 1) : NULL;
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

char *silr_strdup(const char *s)
{
    return silr_strndup(s, strlen(s));
}

bool silr_grow(void *array, size_t *cap, size_t need, size_t size)
{
    size_t want = *cap;
    void *p, *grown;

    if (need <= *cap)
        return true;
    if (want < 16)
        want = 16;
    while (want < need) {
        if (want > SIZE_MAX / 2)
            return false;
        want += want / 2;
    }
    memcpy(&p, array, sizeof p);
    if (!(grown = silr_realloc(p, want, size)))
        return false;
    memcpy(array, &grown, sizeof grown);
    *cap = want;
    return true;
}

/* SQLite wants to know the size of a block: keep it in front, 16 bytes to keep alignment. */
static void *sq_malloc(int n)
{
    size_t *p = n > 0 ? silr_malloc((size_t)n + 16) : NULL;
    if (!p)
        return NULL;
    p[0] = (size_t)n;
    return p + 2;
}
static void sq_free(void *p)
{
    if (p)
        silr_free((size_t *)p - 2);
}
static void *sq_realloc(void *p, int n)
{
    size_t *q;
    if (!p)
        return sq_malloc(n);
    if (n <= 0 || !(q = silr_realloc((size_t *)p - 2, (size_t)n + 16, 1)))
        return NULL;
    q[0] = (size_t)n;
    return q + 2;
}
static int sq_size(void *p)
{
    return p ? (int)((size_t *)p - 2)[0] : 0;
}
static int sq_roundup(int n)
{
    return n > 0x7ffffff0 ? n : (n + 7) & ~7;
}
static int sq_init(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}
static void sq_shutdown(void *unused)
{
    (void)unused;
}

/* jansson 2.14 goes on when the buffer of a token cannot grow: the bytes are dropped, the closing quote
 * among them, and the token is then copied to its missing end. So after a request that failed, those of
 * the same size (it tries again for every byte) and the one after them (the copy) fail too, and the
 * parser gives up in good order. */
static void *json_take(size_t bytes)
{
    enum { first = 16 }; /* the size of such a buffer at the start: nothing is in it yet */
    static _Thread_local size_t failed;
    void *p = granted(failed == 0 ? silr_malloc(bytes) : NULL);

    if (!p)
        failed = (failed == 0 || failed == bytes) && bytes > first ? bytes : 0;
    return p;
}

void silr_mem_install(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    static const sqlite3_mem_methods methods = {sq_malloc,  sq_free, sq_realloc,  sq_size,
                                                sq_roundup, sq_init, sq_shutdown, NULL};
    if (atomic_flag_test_and_set(&done))
        return;
    json_set_alloc_funcs(json_take, silr_free);
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* --- arena ------------------------------------------------------------------------------------- */

struct silr_arena_block {
    struct silr_arena_block *next;
    char bytes[];
};

static void *arena_take(silr_arena *a, size_t bytes, size_t align)
{
    size_t at = (a->used + align - 1) / align * align;

    if (!a->blocks || at > a->size || bytes > a->size - at) {
        size_t size = a->size ? a->size * 2 : 4096;
        struct silr_arena_block *b;
        if (size > (size_t)1 << 22)
            size = (size_t)1 << 22;
        if (size < bytes)
            size = bytes;
        if (size > SIZE_MAX - sizeof *b || !(b = silr_malloc(sizeof *b + size)))
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
        a->size = size;
        at = 0;
    }
    a->used = at + bytes;
    return a->blocks->bytes + at;
}

void *silr_arena_alloc(silr_arena *a, size_t bytes)
{
    return arena_take(a, bytes, 8);
}

char *silr_arena_strndup(silr_arena *a, const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? arena_take(a, len + 1, 1) : NULL;
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

void silr_arena_clear(silr_arena *a)
{
    while (a->blocks) {
        struct silr_arena_block *next = a->blocks->next;
        silr_free(a->blocks);
        a->blocks = next;
    }
    a->used = a->size = 0;
}
