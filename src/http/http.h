/* http.h - many HTTP requests at once over kept-alive connections; knows nothing of what they say.
 *
 * The one folder that includes curl.h. Requests go out when they are sent; their ends are collected
 * one by one on the calling thread:
 *
 *     silr_http_send(h, &request, tag, err);          any number
 *     while (silr_http_in_flight(h) > 0) {
 *         silr_http_wait(h, 1.0, err);                something happened, or a second passed
 *         while (silr_http_next(h, &reply)) ...       reply.tag says whose it is
 *     }
 *
 * Redirects are not followed, as a key must not travel on (whoever wants to go there finds the address
 * with silr_http_follow); certificates are verified; proxies and SSL_CERT_FILE, SSL_CERT_DIR of the
 * environment are honoured; bodies are unpacked and bounded. */
#ifndef SILR_HTTP_H
#define SILR_HTTP_H

#include "base/base.h"

typedef struct silr_http silr_http;

typedef struct {
    double connect_timeout, timeout; /* seconds; a request has ended after `timeout`, one way or other */
    size_t max_body;                 /* bytes of a body, unpacked */
    size_t max_connections;
    const char *secret;              /* the key, replaced by [key] where a server sends it back; NULL */
} silr_http_opts;

silr_status silr_http_new(silr_http **out, const silr_http_opts *o, silr_error *err);
void silr_http_free(silr_http *h); /* what is in flight is dropped; NULL is fine */

/* A header for every request: "Name: value". SILR_ENOMEM. */
silr_status silr_http_header(silr_http *h, const char *line, silr_error *err);

typedef struct {
    const char *method;       /* "GET", "POST", "HEAD" */
    const char *url;
    const char *body;         /* borrowed until the request has ended; NULL: none */
    size_t len;
    const char *content_type; /* NULL: application/json */
    size_t max_body;          /* 0: as for all */
    /* "Name: value", NULL at the end: headers of this request, in place of Content-Type. NULL: none. */
    const char *const *headers;
    bool as_it_is;            /* the body as the server keeps it: no packing is offered, none undone */

    /* What is too long for memory goes through these, called on the calling thread from within
     * silr_http_wait; such a request ends after `timeout` seconds without a byte, however long it
     * takes. read, where it is not NULL, is the body: `len` bytes in pieces of up to room; SIZE_MAX:
     * it cannot be read. rewind begins again. sink takes the body of an answer of status 200 to 299
     * piece by piece (unpacked, but with the key in it, should the server send it back); false: no
     * more of it. Either ends the request as SILR_HTTP_BROKEN. */
    size_t (*read)(void *ctx, char *out, size_t room);
    bool (*rewind)(void *ctx);
    bool (*sink)(void *ctx, const char *bytes, size_t len);
    /* Sees every line of the answer's head, "HTTP/1.1 200 OK" first, as the server sent it. */
    void (*header)(void *ctx, const char *line, size_t len);
    void *ctx;
} silr_http_request;

/* How it ended. Only SILR_HTTP_DONE has a status and a body. */
typedef enum {
    SILR_HTTP_DONE,
    SILR_HTTP_CONNECT,  /* no such host, refused, proxy */
    SILR_HTTP_TLS,      /* the certificate or the handshake */
    SILR_HTTP_TIMEOUT,
    SILR_HTTP_BROKEN,   /* the connection ended before the answer did, or the answer is not HTTP */
    SILR_HTTP_TOO_LARGE
} silr_http_end;

typedef struct {
    void *tag;
    silr_http_end end;
    int status;
    char *body;     /* ends with NUL; NULL when empty or gone down the sink; lives until the next
                       silr_http_next */
    size_t len;
    double seconds;
    char why[200];          /* of an end that is not SILR_HTTP_DONE */
    double retry_after;     /* seconds; NAN: not told */
    double remaining_requests, reset_requests, remaining_tokens, reset_tokens; /* NAN: not told */
    char location[200];     /* of a redirect */
} silr_http_reply;

silr_status silr_http_send(silr_http *h, const silr_http_request *r, void *tag, silr_error *err);
silr_status silr_http_wait(silr_http *h, double seconds, silr_error *err);
bool silr_http_next(silr_http *h, silr_http_reply *out);
size_t silr_http_in_flight(const silr_http *h); /* sent and not collected */
void silr_http_drop(silr_http *h); /* forgets all that is in flight */

const char *silr_http_library(void); /* libcurl's version */

/* --- headers, also for tests --------------------------------------------------------------------- */

/* Takes what is of use out of a line; a line "HTTP/..." begins anew. */
void silr_http_read_header(silr_http_reply *r, const char *line, size_t len);

/* "7", "0.5" seconds, or an HTTP date against `now` (unix time). NAN: neither. Never negative. */
double silr_http_retry_after(const char *value, size_t len, double now);
/* "1s", "6m0s", "120ms", "1h2m", "0.5", a number of seconds. NAN: something else. */
double silr_http_duration(const char *value, size_t len);
/* Replaces every occurrence of secret in body[len] by [key], in place; the new length. Also where it
 * is written with JSON's escapes or an address's, or cut off by the end. Secrets of fewer than 4 bytes
 * are left: they would match anything. */
size_t silr_http_redact(char *body, size_t len, const char *secret);

/* --- addresses ----------------------------------------------------------------------------------- */

/* Where a redirect from `base` to `location` leads, which may be relative. false: nowhere that silr
 * goes: not http or https, from https to http, with a user in it, no address at all, no memory. */
bool silr_http_follow(silr_buf *out, const char *base, const char *location);
/* Scheme, host and port are the same: what may be said to one may be said to the other. */
bool silr_http_same_origin(const char *a, const char *b);
/* Adds s with %XX for all but letters, digits, - . _ ~ and the characters of `keep`. */
void silr_http_escape(silr_buf *out, const char *s, const char *keep);

#endif
