/* mem.h - the one door for memory.
 *
 * Every allocation of silr, and of the libraries that let us say how (SQLite, jansson, PCRE2),
 * goes through here, so that a test can fail the n-th one and look at what follows. Sizes that
 * came from a file are multiplied with checks. Memory is released with silr_free. */
#ifndef SILR_BASE_MEM_H
#define SILR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *silr_malloc(size_t bytes);                         /* NULL: no memory. 0 bytes is 1 byte */
void *silr_alloc(size_t count, size_t size);             /* count * size, checked; not cleared */
void *silr_calloc(size_t count, size_t size);            /* the same, cleared */
void *silr_realloc(void *p, size_t count, size_t size);  /* NULL: p is still valid */
void *silr_alloc_aligned(size_t count, size_t size);     /* cleared, 64-byte aligned */
void silr_free(void *p);                                 /* NULL is fine */
char *silr_strdup(const char *s);
char *silr_strndup(const char *s, size_t len);

/* Grows *array (capacity *cap elements of `size` bytes) so that `need` elements fit; false: no
 * memory, nothing changed. */
bool silr_grow(void *array /* T ** */, size_t *cap, size_t need, size_t size);

/* Test door: the n-th allocation from now (1 is the next) fails, and so do all after it when
 * `sticky`; n = 0 switches it off. silr_mem_count: allocations since the last call of it. */
void silr_mem_fail_at(uint64_t n, bool sticky);
uint64_t silr_mem_count(void);

/* Requests of this thread that came to nothing so far. Some libraries go on without what they were
 * refused and return something else than they would have; whoever calls one compares before and after. */
uint64_t silr_mem_refused(void);

/* Points SQLite, jansson (and any other library that can be told) at this door. Called once,
 * before any of them is used; calling again does nothing. */
void silr_mem_install(void);

/* Checked arithmetic on numbers that came from outside: false on overflow, *out untouched. */
static inline bool silr_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}
static inline bool silr_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* An arena: many small pieces, one release. Not thread-safe. */
typedef struct silr_arena {
    struct silr_arena_block *blocks;
    size_t used, size; /* of the newest block */
} silr_arena;
void *silr_arena_alloc(silr_arena *a, size_t bytes); /* 8-byte aligned; NULL: no memory */
char *silr_arena_strndup(silr_arena *a, const char *s, size_t len); /* adds a final NUL; unaligned */
void silr_arena_clear(silr_arena *a);

#endif
