/* headers.c - what servers say of when to come back, in the forms in which they say it. */
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
