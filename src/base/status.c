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

void silr_error_prefix(silr_error *err, const char *fmt, ...)
{
    char old[sizeof err->text];
    va_list ap;
    int n;

    if (!err)
        return;
    memcpy(old, err->text, sizeof old);
    va_start(ap, fmt);
    n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
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
