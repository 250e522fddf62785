/* head.c - what the head of an answer says of a file.
 *
 *     ETag: "HASH", W/"HASH"    of the bytes that this server sends
 *     X-Linked-Etag, -Size      of the file, where the answer only says where it lies
 *     X-Repo-Commit             what the revision is
 *     Content-Range: bytes FIRST-LAST/TOTAL */
#include "hub/inside.h"
#include <string.h>

static const char *value_of(const char *line, size_t len, const char *name, size_t *n)
{
    size_t skip = strlen(name);

    if (len <= skip || line[skip] != ':' || strncasecmp(line, name, skip) != 0)
        return NULL;
    line += ++skip;
    len -= skip;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (unsigned char)line[len - 1] <= ' ')
        len--;
    *n = len;
    return line;
}

/* Digits from *s on; -1: none, or too many. */
static int64_t number(const char **s, const char *end)
{
    int64_t v = -1;

    for (; *s < end && **s >= '0' && **s <= '9'; ++*s) {
        if (v > (INT64_MAX - 9) / 10)
            return -1;
        v = (v < 0 ? 0 : v) * 10 + (**s - '0');
    }
    return v;
}

static int64_t whole_number(const char *v, size_t n)
{
    const char *s = v;
    int64_t out = number(&s, v + n);

    return s == v + n ? out : -1;
}

/* Weak or not, in quotes or not; only if it is a hash. */
static void read_etag(silr_hub_head *h, const char *v, size_t n, bool linked)
{
    if (n > 2 && (v[0] == 'W' || v[0] == 'w') && v[1] == '/') {
        v += 2;
        n -= 2;
    }
    if (n > 2 && v[0] == '"' && v[n - 1] == '"') {
        v++;
        n -= 2;
    }
    if (!silr_hub_is_hash(v, n) || (h->linked && !linked))
        return;
    memcpy(h->etag, v, n);
    h->etag[n] = '\0';
    h->linked = linked;
}

static void read_range(silr_hub_head *h, const char *v, size_t n)
{
    const char *s, *end = v + n;
    int64_t first, last;

    if (n < 6 || strncasecmp(v, "bytes ", 6) != 0)
        return;
    s = v + 6;
    first = number(&s, end);
    if (first < 0 || s == end || *s++ != '-')
        return;
    last = number(&s, end);
    if (last < first || s == end || *s++ != '/')
        return;
    h->first = first;
    h->total = whole_number(s, (size_t)(end - s)); /* "*" is allowed: -1 */
}

static void read_location(silr_hub_head *h, const char *v, size_t n)
{
    h->moved = true;
    h->too_long = n >= sizeof h->location || memchr(v, '\0', n);
    if (h->too_long)
        n = 0;
    memcpy(h->location, v, n);
    h->location[n] = '\0';
}

static void begin(silr_hub_head *h, const char *line, size_t len)
{
    const char *s = memchr(line, ' ', len), *end = line + len;

    h->status = 0;
    h->etag[0] = h->commit[0] = h->location[0] = '\0';
    h->linked = h->moved = h->too_long = false;
    h->linked_size = h->length = h->first = h->total = -1;
    if (s) {
        int64_t v;
        s++;
        v = number(&s, end);
        h->status = v >= 100 && v <= 999 ? (int)v : 0;
    }
}

void silr_hub_head_line(silr_hub_head *h, const char *line, size_t len)
{
    const char *v;
    size_t n = 0;

    if (len >= 5 && strncasecmp(line, "http/", 5) == 0)
        begin(h, line, len);
    else if ((v = value_of(line, len, "x-linked-etag", &n)))
        read_etag(h, v, n, true);
    else if ((v = value_of(line, len, "etag", &n)))
        read_etag(h, v, n, false);
    else if ((v = value_of(line, len, "x-linked-size", &n)))
        h->linked_size = whole_number(v, n);
    else if ((v = value_of(line, len, "content-length", &n)))
        h->length = whole_number(v, n);
    else if ((v = value_of(line, len, "content-range", &n)))
        read_range(h, v, n);
    else if ((v = value_of(line, len, "location", &n)))
        read_location(h, v, n);
    else if ((v = value_of(line, len, "x-repo-commit", &n)) && n == 40 && silr_hub_is_hash(v, n)) {
        memcpy(h->commit, v, n);
        h->commit[n] = '\0';
    }
}
