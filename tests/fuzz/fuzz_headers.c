/* fuzz_headers.c - values of headers, and keys in what is sent back.
 *
 * The first line is the key, the rest a body in which it may stand; the rest is also a value of
 * Retry-After and of a limit, and a header's line. Afterwards the key is not to be found. */
#include "http/http.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t len = end ? (size_t)(end - data) : size, n = end ? size - len - 1 : 0, left;
    const char *rest = end ? (const char *)end + 1 : "";
    char *key = silr_strndup((const char *)data, len), *body = silr_strndup(rest, n);
    silr_http_reply reply = {.retry_after = NAN};
    double wait, limit;

    if (!key || !body)
        abort();
    wait = silr_http_retry_after(rest, n, 1700000000);
    limit = silr_http_duration(rest, n);
    want(isnan(wait) || wait >= 0);
    want(isnan(limit) || limit >= 0);
    silr_http_read_header(&reply, rest, n); /* the rest as a whole line */
    want(strnlen(reply.location, sizeof reply.location) < sizeof reply.location);
    left = silr_http_redact(body, n, key);
    want(left <= n && body[left] == '\0');
    if (strlen(key) > 4 && !strpbrk(key, "[]\\%")) /* with [key] for it there can be no new one */
        want(!memmem(body, left, key, strlen(key)));
    silr_free(key);
    silr_free(body);
    return 0;
}
