#include "base/log.h"
#include "silr.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static silr_listener listener;
static atomic_bool cancelled;

void silr_log_listen(const silr_listener *l)
{
    listener = l ? *l : (silr_listener){0};
}

void silr_log(silr_log_level level, const char *fmt, ...)
{
    char text[2000];
    va_list ap;

    if (!listener.line)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    listener.line(listener.ctx, level, text);
}

void silr_progress(const char *what, uint64_t done, uint64_t total)
{
    if (listener.progress)
        listener.progress(listener.ctx, what, done, total);
}

void silr_cancel(void)
{
    atomic_store(&cancelled, true);
}

bool silr_cancelled(void)
{
    return atomic_load_explicit(&cancelled, memory_order_relaxed);
}

void silr_cancel_reset(void)
{
    atomic_store(&cancelled, false);
}
