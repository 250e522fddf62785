#define SILR_STATUS_C
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

silr_status silr_fail(silr_error *err, silr_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        err->status = code;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

/* The prefix is cut where it leaves no room for ": ", the old text where it does not fit behind. */
void silr_error_prefix(silr_error *err, const char *fmt, ...)
{
    char head[sizeof err->text];
    size_t n, rest;
    va_list ap;
    int written;

    if (!err)
        return;
    va_start(ap, fmt);
    written = vsnprintf(head, sizeof head - 2, fmt, ap);
    va_end(ap);
    if (written < 0)
        return;
    n = strlen(head);
    memcpy(head + n, ": ", sizeof ": ");
    n += 2;
    rest = strnlen(err->text, sizeof err->text - 1 - n);
    memmove(err->text + n, err->text, rest);
    memcpy(err->text, head, n);
    err->text[n + rest] = '\0';
}

silr_status silr_fail_memory(silr_error *err)
{
    return silr_fail(err, SILR_ENOMEM,
                     "out of memory: try a smaller corpus (--limit) or fewer hash buckets "
                     "(classifier.bits)");
}

const char *silr_version(void)
{
    return SILR_VERSION;
}
