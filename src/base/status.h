/* status.h - how a function says that it could not.
 *
 * What can fail returns a silr_status (0 or negative) and fills a nullable last argument
 * `silr_error *err` with one sentence fit to be printed: the file, line, document or option at
 * fault, and what to do. The codes are few; each changes what a caller does (see silr.h).
 *
 *     if (n == 0)
 *         return silr_fail(err, SILR_EINPUT, "%s: no documents", path);
 */
#ifndef SILR_BASE_STATUS_H
#define SILR_BASE_STATUS_H

#include "silr.h"

/* Formats the sentence into err (when not NULL) and returns code. */
silr_status silr_fail(silr_error *err, silr_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the sentence that err already holds; keeps the code. */
void silr_error_prefix(silr_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* SILR_ENOMEM with the standard sentence. */
silr_status silr_fail_memory(silr_error *err);

/* clang's analyser sees one file at a time and would follow paths on which a failure returned
 * SILR_OK: tell it that it does not. */
#if defined(__clang_analyzer__) && !defined(SILR_STATUS_C)
#define silr_fail(err, code, ...)  ((void)silr_fail(err, code, __VA_ARGS__), (code))
#define silr_fail_memory(err)      ((void)silr_fail_memory(err), SILR_ENOMEM)
#endif

/* Our own bug: stops a debug build, makes a release build return SILR_EBUG from the function.
 * Only for use in functions that return silr_status and have `err` in scope. */
#ifdef NDEBUG
#define SILR_ASSERT(cond)                                                                          \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return silr_fail(err, SILR_EBUG, "%s:%d: this is a bug in silr: %s", __FILE__,         \
                             __LINE__, #cond);                                                     \
    } while (0)
#else
#include <assert.h>
#define SILR_ASSERT(cond)                                                                          \
    do {                                                                                           \
        (void)(err); /* used by the other branch: no warning in a debug build only */             \
        assert(cond);                                                                              \
    } while (0)
#endif

#endif
