/* headers.c - what servers say in headers: when to come back, in the forms in which they say it, how
 * much is left, where they redirect to. */
#include "http/http.h"
#include <curl/curl.h>
#include <math.h>
#include <string.h>

enum { LONGEST = 60 };

static bool copy(char out[LONGEST], const char *value, size_t len)
{
    while (len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", value[len - 1]))
        len--;
    if (len == 0 || len >= LONGEST || memchr(value, '\0', len))
        return false;
    memcpy(out, value, len);
    out[len] = '\0';
    return true;
}

double silr_http_retry_after(const char *value, size_t len, double now)
{
    char text[LONGEST];
    double seconds;
    time_t date;

    if (!copy(text, value, len))
        return NAN;
    if (silr_parse_double(text, &seconds))
        return isfinite(seconds) && seconds > 0 ? seconds : 0;
    date = curl_getdate(text, NULL);
    if (date == (time_t)-1)
        return NAN;
    return (double)date > now ? (double)date - now : 0;
}

double silr_http_duration(const char *value, size_t len)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"h", 3600}, {"m", 60}, {"s", 1}, {"d", 86400}};
    char text[LONGEST], number[LONGEST];
    double sum = 0, v;
    const char *p = text;

    if (!copy(text, value, len))
        return NAN;
    if (silr_parse_double(text, &v))
        return isfinite(v) && v >= 0 ? v : (double)NAN;
    while (*p) {
        size_t digits = strspn(p, "0123456789."), u = 0;
        if (digits == 0)
            return NAN;
        memcpy(number, p, digits);
        number[digits] = '\0';
        p += digits;
        while (u < sizeof units / sizeof *units &&
               strncmp(p, units[u].unit, strlen(units[u].unit)) != 0)
            u++;
        if (u == sizeof units / sizeof *units || !silr_parse_double(number, &v))
            return NAN;
        sum += v * units[u].seconds;
        p += strlen(units[u].unit);
    }
    return sum;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The character that begins at s: as it is, or as JSON (\/, \u002b) and addresses (%2B) write it. How
 * many bytes that takes; *c: which it is. */
static size_t spelt(const char *s, size_t len, char *c)
{
    bool escape = s[0] == '\\' && len > 1, number = escape && s[1] == 'u' && len > 5;

    *c = s[0];
    if (number && s[2] == '0' && s[3] == '0' && hex(s[4]) >= 0 && hex(s[5]) >= 0) {
        *c = (char)(hex(s[4]) << 4 | hex(s[5]));
        return 6;
    }
    if (escape && strchr("/\"\\", s[1])) {
        *c = s[1];
        return 2;
    }
    if (s[0] == '%' && len > 2 && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
        *c = (char)(hex(s[1]) << 4 | hex(s[2]));
        return 3;
    }
    return 1;
}

/* How many bytes at s spell the secret, or so much of it as there was room for; 0: they do not. */
static size_t spells(const char *s, size_t len, const char *secret, size_t n)
{
    enum { TELLS = 8 }; /* so much of a key, cut off by the end, is still a secret */
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        char c;
        size_t step;
        if (at == len)
            return i >= TELLS ? at : 0;
        if (s[at] == secret[i]) {
            at++;
            continue;
        }
        step = spelt(s + at, len - at, &c);
        if (c != secret[i])
            return 0;
        at += step;
    }
    return at;
}

size_t silr_http_redact(char *body, size_t len, const char *secret)
{
    static const char mark[] = "[key]";
    size_t n = secret ? strlen(secret) : 0, m = sizeof mark - 1, out = 0, i = 0;

    if (n < 4 || !body)
        return len;
    if (m > n)
        m = n;
    while (i < len) {
        size_t took = body[i] == secret[0] || body[i] == '\\' || body[i] == '%'
                          ? spells(body + i, len - i, secret, n) : 0;
        if (took > 0) {
            memcpy(body + out, mark, m);
            out += m;
            i += took;
        } else {
            body[out++] = body[i++];
        }
    }
    body[out] = '\0';
    return out;
}

/* --- one line ------------------------------------------------------------------------------------ */

/* The value of header `name`, when the line is that header. */
static const char *is_header(const char *line, size_t len, const char *name, size_t *value)
{
    size_t n = strlen(name);

    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    *value = len - n - 1;
    return line + n + 1;
}

static double number_in(const char *value, size_t len)
{
    char text[40];
    double v;

    while (len > 0 && *value == ' ') {
        value++;
        len--;
    }
    while (len > 0 && (value[len - 1] == '\r' || value[len - 1] == '\n' || value[len - 1] == ' '))
        len--;
    if (len == 0 || len >= sizeof text)
        return NAN;
    memcpy(text, value, len);
    text[len] = '\0';
    return silr_parse_double(text, &v) ? v : (double)NAN;
}

static void read_location(silr_http_reply *r, const char *value, size_t len)
{
    while (len > 0 && *value == ' ') {
        value++;
        len--;
    }
    while (len > 0 && (unsigned char)value[len - 1] <= ' ')
        len--;
    if (len >= sizeof r->location)
        len = sizeof r->location - 1;
    for (size_t i = 0; i < len; i++)
        r->location[i] = value[i] > ' ' && value[i] < 127 ? value[i] : '?';
    r->location[len] = '\0';
}

static void read_limit(silr_http_reply *r, const char *line, size_t len)
{
    static const struct {
        const char *name;
        size_t offset;
        bool duration;
    } limits[] = {
        {"x-ratelimit-remaining-requests", offsetof(silr_http_reply, remaining_requests), false},
        {"x-ratelimit-remaining-tokens", offsetof(silr_http_reply, remaining_tokens), false},
        {"x-ratelimit-reset-requests", offsetof(silr_http_reply, reset_requests), true},
        {"x-ratelimit-reset-tokens", offsetof(silr_http_reply, reset_tokens), true},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        size_t n;
        const char *value = is_header(line, len, limits[i].name, &n);
        double v = !value ? (double)NAN
                   : limits[i].duration ? silr_http_duration(value, n)
                                        : number_in(value, n);
        if (value)
            memcpy((char *)r + limits[i].offset, &v, sizeof v);
    }
}

void silr_http_read_header(silr_http_reply *r, const char *line, size_t len)
{
    size_t n;
    const char *value;

    if (len >= 5 && strncasecmp(line, "http/", 5) == 0) { /* a new answer, after 100 or a proxy's */
        r->retry_after = r->remaining_requests = r->reset_requests = r->remaining_tokens =
            r->reset_tokens = NAN;
        r->location[0] = '\0';
        return;
    }
    if (len == 0)
        return;
    switch (line[0] | 32) {
    case 'r':
        if ((value = is_header(line, len, "retry-after-ms", &n))) {
            double ms = number_in(value, n);
            r->retry_after = ms >= 0 ? ms / 1000 : (double)NAN;
        } else if ((value = is_header(line, len, "retry-after", &n)) && isnan(r->retry_after)) {
            r->retry_after = silr_http_retry_after(value, n, (double)time(NULL));
        }
        break;
    case 'x':
        read_limit(r, line, len);
        break;
    case 'l':
        if ((value = is_header(line, len, "location", &n)))
            read_location(r, value, n);
        break;
    default:
        break;
    }
}
