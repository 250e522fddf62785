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

size_t silr_http_redact(char *body, size_t len, const char *secret)
{
    static const char mark[] = "[key]";
    size_t n = secret ? strlen(secret) : 0, m = sizeof mark - 1, out = 0, i = 0;

    if (n < 4 || !body || !memmem(body, len, secret, n))
        return len;
    if (m > n)
        m = n;
    while (i < len) {
        if (len - i >= n && memcmp(body + i, secret, n) == 0) {
            memcpy(body + out, mark, m);
            out += m;
            i += n;
        } else {
            body[out++] = body[i++];
        }
    }
    body[out] = '\0';
    return out;
}
