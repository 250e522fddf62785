/* url.c - addresses: where a redirect leads, whether two are of one server, how a name is written in
 * one. libcurl takes them apart, so that what is compared is what is asked. */
#include "http/http.h"
#include <curl/curl.h>
#include <string.h>

/* Scheme, host and port of an address. */
typedef struct {
    char *scheme, *host, *port;
} origin;

static void clear(origin *o)
{
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
    *o = (origin){0};
}

static bool read_origin(origin *o, CURLU *u)
{
    *o = (origin){0};
    if (curl_url_get(u, CURLUPART_SCHEME, &o->scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &o->host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &o->port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        return true;
    clear(o);
    return false;
}

static bool read_url(origin *o, const char *url)
{
    CURLU *u = curl_url();
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && read_origin(o, u);

    curl_url_cleanup(u);
    return good;
}

bool silr_http_same_origin(const char *a, const char *b)
{
    origin one = {0}, two = {0};
    bool same = read_url(&one, a) && read_url(&two, b) && strcasecmp(one.scheme, two.scheme) == 0 &&
                strcasecmp(one.host, two.host) == 0 && strcmp(one.port, two.port) == 0;

    clear(&one);
    clear(&two);
    return same;
}

bool silr_http_follow(silr_buf *out, const char *base, const char *location)
{
    CURLU *u = curl_url();
    origin from = {0}, to = {0};
    char *url = NULL;
    bool good = u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK && read_origin(&from, u) &&
                curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER) == CURLUE_OK &&
                read_origin(&to, u) && curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK;

    good = good && (strcasecmp(to.scheme, "https") == 0 ||
                    (strcasecmp(to.scheme, "http") == 0 && strcasecmp(from.scheme, "https") != 0));
    silr_buf_reset(out);
    if (good)
        silr_buf_puts(out, url);
    curl_free(url);
    clear(&from);
    clear(&to);
    curl_url_cleanup(u);
    return good && !out->failed;
}

void silr_http_escape(silr_buf *out, const char *s, const char *keep)
{
    for (; *s; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (letter || strchr("-._~", *s) || strchr(keep, *s))
            silr_buf_putc(out, *s);
        else
            silr_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
    }
}
