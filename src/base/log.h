/* log.h - what the library tells while it works. The library never prints: it hands lines and
 * progress to whoever installed a listener (cli/), on the calling thread. */
#ifndef SILR_BASE_LOG_H
#define SILR_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { SILR_LOG_WARN, SILR_LOG_INFO, SILR_LOG_DEBUG } silr_log_level;

typedef struct {
    void *ctx;
    void (*line)(void *ctx, silr_log_level level, const char *text);
    /* done of total (0: unknown) units of `what`; called often, the listener thins it out */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
} silr_listener;

void silr_log_listen(const silr_listener *l); /* copied; NULL: nobody listens */
void silr_log(silr_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void silr_progress(const char *what, uint64_t done, uint64_t total);

/* silr_cancel (silr.h) is called by the first SIGINT: long loops look at it, save, and return SILR_ECANCEL. */
bool silr_cancelled(void);
void silr_cancel_reset(void);

#endif
