/* http.c - libcurl's multi interface, driven by epoll.
 *
 * curl_multi_perform looks at every transfer each time; with hundreds in flight that would cost more
 * than the transfers. Here curl says which sockets it waits for (on_socket) and until when (on_timer);
 * epoll says which of them are ready, and only those are touched. Finished transfers go to a list,
 * their handles back to a pool, connections stay open. */
#include "http/http.h"
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

typedef struct transfer transfer;
struct transfer {
    CURL *easy;
    silr_http *h;
    transfer *next; /* in the pool, or in the list of finished ones */
    bool busy;      /* in flight or finished, and not put back */
    struct curl_slist *headers; /* of this request alone, before those of all; NULL */
    silr_buf body;
    size_t max_body, received;
    bool too_large, no_memory, stopped; /* stopped: by the caller's read or sink */
    silr_http_request stream; /* its read, rewind, sink, header, ctx and len */
    silr_http_reply reply;
};

struct silr_http {
    silr_http_opts o;
    char *secret;
    CURLM *multi;
    int epoll;
    double alarm; /* when curl wants to be called, by silr_now; < 0: never */
    struct curl_slist *headers;
    char **lines; /* the same, to copy from */
    size_t n_lines, cap_lines;
    transfer **all; /* every transfer that was made */
    size_t n_all, cap_all;
    transfer *pool, *done, **last, *shown;
    size_t in_flight;
    bool no_memory;
};

/* --- curl's callbacks ---------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *to)
{
    transfer *t = to;
    size_t len = size * count;
    long status = 0;

    if (len > t->max_body - t->received) {
        t->too_large = true;
        return 0;
    }
    t->received += len;
    if (t->stream.sink)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        t->stopped = !t->stream.sink(t->stream.ctx, bytes, len);
        return t->stopped ? 0 : len;
    }
    silr_buf_add(&t->body, bytes, len);
    t->no_memory = t->body.failed;
    return t->body.failed ? 0 : len;
}

static size_t on_read(char *out, size_t size, size_t count, void *from)
{
    transfer *t = from;
    size_t n = t->stream.read(t->stream.ctx, out, size * count);

    t->stopped = n == SIZE_MAX;
    return t->stopped ? CURL_READFUNC_ABORT : n;
}

/* A connection that was kept open had been closed by the server: once more, from the beginning. */
static int on_seek(void *from, curl_off_t offset, int origin)
{
    transfer *t = from;
    bool good = offset == 0 && origin == SEEK_SET && t->stream.rewind(t->stream.ctx);

    return good ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static size_t on_header(char *line, size_t size, size_t count, void *to)
{
    transfer *t = to;

    silr_http_read_header(&t->reply, line, size * count);
    if (t->stream.header)
        t->stream.header(t->stream.ctx, line, size * count);
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *to, void *known)
{
    silr_http *h = to;
    struct epoll_event e = {.data.fd = fd};
    (void)easy;

    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    e.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
               (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(h->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) != 0 &&
        epoll_ctl(h->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) != 0)
        return -1;
    curl_multi_assign(h->multi, fd, h);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *to)
{
    silr_http *h = to;
    (void)multi;
    h->alarm = ms < 0 ? -1 : silr_now() + (double)ms / 1000;
    return 0;
}

/* --- life ---------------------------------------------------------------------------------------- */

static void *grow(void *p, size_t bytes)
{
    return silr_realloc(p, bytes, 1);
}

/* curl allocates through our door too. Once, before anything else of curl is used. */
static void install(void)
{
    static bool done;

    if (!done)
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, silr_malloc, silr_free, grow, silr_strdup,
                             silr_calloc);
    done = true;
}

/* Appends to a list that may be empty; false: no memory, the list is as it was. */
static bool append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer)
        *list = longer;
    return longer != NULL;
}

silr_status silr_http_new(silr_http **out, const silr_http_opts *o, silr_error *err)
{
    silr_http *h;
    silr_status st = SILR_OK;

    *out = NULL;
    install();
    if (!(h = silr_calloc(1, sizeof *h)))
        return silr_fail_memory(err);
    h->o = *o;
    h->epoll = -1;
    h->alarm = -1;
    h->last = &h->done;
    if (o->secret && !(h->secret = silr_strdup(o->secret)))
        st = silr_fail_memory(err);
    else if (!(h->multi = curl_multi_init()) ||
             !append(&h->headers, "Content-Type: application/json") ||
             !append(&h->headers, "Expect:")) /* no waiting for 100 Continue */
        st = silr_fail_memory(err);
    else if ((h->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        st = silr_fail(err, SILR_EIO, "no epoll: %s", strerror(errno));
    if (st != SILR_OK) {
        silr_http_free(h);
        return st;
    }
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)o->max_connections);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)o->max_connections);
    *out = h;
    return SILR_OK;
}

/* The key is not left lying about in freed memory. */
static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    silr_free(s);
}

static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *s = list; s; s = s->next)
        explicit_bzero(s->data, strlen(s->data));
    curl_slist_free_all(list);
}

void silr_http_free(silr_http *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n_all; i++) {
        transfer *t = h->all[i];
        curl_multi_remove_handle(h->multi, t->easy);
        curl_easy_cleanup(t->easy);
        free_headers(t->headers);
        silr_buf_clear(&t->body);
        silr_free(t);
    }
    if (h->multi)
        curl_multi_cleanup(h->multi);
    free_headers(h->headers);
    for (size_t i = 0; i < h->n_lines; i++)
        wipe(h->lines[i]);
    if (h->epoll >= 0)
        close(h->epoll);
    wipe(h->secret);
    silr_free(h->lines);
    silr_free(h->all);
    silr_free(h);
}

silr_status silr_http_header(silr_http *h, const char *line, silr_error *err)
{
    if (!silr_grow(&h->lines, &h->cap_lines, h->n_lines + 1, sizeof *h->lines) ||
        !(h->lines[h->n_lines] = silr_strdup(line)))
        return silr_fail_memory(err);
    h->n_lines++;
    return append(&h->headers, line) ? SILR_OK : silr_fail_memory(err);
}

/* --- sending ------------------------------------------------------------------------------------- */

static transfer *make_transfer(silr_http *h)
{
    transfer *t;

    if (!silr_grow(&h->all, &h->cap_all, h->n_all + 1, sizeof *h->all) ||
        !(t = silr_calloc(1, sizeof *t)))
        return NULL;
    if (!(t->easy = curl_easy_init())) {
        silr_free(t);
        return NULL;
    }
    t->h = h;
    h->all[h->n_all++] = t;
    return t;
}

/* What all requests have in common; curl_easy_reset keeps connections and sessions. */
static void set_up(const silr_http *h, transfer *t)
{
    const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
    CURL *e = t->easy;

    curl_easy_reset(e);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "silr/" SILR_VERSION);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(h->o.connect_timeout * 1000) + 1);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(h->o.timeout * 1000) + 1);
    if (file && *file)
        curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (dir && *dir)
        curl_easy_setopt(e, CURLOPT_CAPATH, dir);
}

/* Headers of this request's own: another content type than the usual one, or lines in place of it.
 * NULL: no memory. */
static struct curl_slist *own_headers(const silr_http *h, const silr_http_request *r)
{
    struct curl_slist *list = NULL;
    silr_buf line = {0};
    bool good = true;

    if (r->content_type) {
        silr_buf_printf(&line, "Content-Type: %s", r->content_type);
        good = !line.failed && append(&list, line.data);
    }
    good = good && append(&list, "Expect:");
    for (size_t i = 0; good && r->headers && r->headers[i]; i++)
        good = append(&list, r->headers[i]);
    for (size_t i = 0; good && i < h->n_lines; i++)
        good = append(&list, h->lines[i]);
    silr_buf_clear(&line);
    if (good)
        return list;
    free_headers(list);
    return NULL;
}

/* A body that is read in pieces, an answer that goes down a sink: no limit on how long it takes, one
 * on how long nothing happens. */
static void set_stream(const silr_http *h, transfer *t)
{
    CURL *e = t->easy;

    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)ceil(h->o.timeout));
    if (!t->stream.read)
        return;
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->stream.len);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
}

silr_status silr_http_send(silr_http *h, const silr_http_request *r, void *tag, silr_error *err)
{
    transfer *t = h->pool;
    const struct curl_slist *headers = h->headers;

    if (t)
        h->pool = t->next;
    else if (!(t = make_transfer(h)))
        return silr_fail_memory(err);
    free_headers(t->headers);
    t->headers = NULL;
    if (r->content_type || r->headers)
        headers = t->headers = own_headers(h, r);
    set_up(h, t);
    if (r->as_it_is)
        curl_easy_setopt(t->easy, CURLOPT_ACCEPT_ENCODING, NULL);
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    silr_buf_reset(&t->body);
    t->body.failed = t->too_large = t->no_memory = t->stopped = false;
    t->received = 0;
    t->stream = *r;
    t->max_body = r->max_body ? r->max_body : h->o.max_body;
    t->reply = (silr_http_reply){.tag = tag, .retry_after = NAN, .remaining_requests = NAN,
                                 .reset_requests = NAN, .remaining_tokens = NAN,
                                 .reset_tokens = NAN, .seconds = silr_now()};
    if (r->read || r->sink)
        set_stream(h, t);
    if (r->body) {
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body);
    }
    if (!headers || curl_easy_setopt(t->easy, CURLOPT_URL, r->url) != CURLE_OK ||
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, r->method) != CURLE_OK ||
        curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
        t->next = h->pool;
        h->pool = t;
        return silr_fail_memory(err);
    }
    t->busy = true;
    h->in_flight++;
    return SILR_OK;
}

/* --- collecting ---------------------------------------------------------------------------------- */

static silr_http_end end_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return SILR_HTTP_DONE;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return SILR_HTTP_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return SILR_HTTP_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return SILR_HTTP_TIMEOUT;
    default:
        return SILR_HTTP_BROKEN;
    }
}

static void finish(silr_http *h, transfer *t, CURLcode code)
{
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(h->multi, t->easy);
    h->no_memory = h->no_memory || code == CURLE_OUT_OF_MEMORY || t->no_memory;
    t->reply.end = t->too_large ? SILR_HTTP_TOO_LARGE : t->stopped ? SILR_HTTP_BROKEN : end_of(code);
    t->reply.status = (int)status;
    t->reply.seconds = silr_now() - t->reply.seconds;
    if (t->too_large)
        snprintf(t->reply.why, sizeof t->reply.why, "the answer is longer than %zu bytes", t->max_body);
    else if (t->stopped)
        snprintf(t->reply.why, sizeof t->reply.why, "stopped from here");
    else if (code != CURLE_OK)
        snprintf(t->reply.why, sizeof t->reply.why, "%s", curl_easy_strerror(code));
    if (t->reply.end == SILR_HTTP_DONE) {
        t->reply.body = t->body.data;
        t->reply.len = silr_http_redact(t->body.data, t->body.len, h->secret);
    }
    if (h->secret)
        silr_http_redact(t->reply.location, strlen(t->reply.location), h->secret);
    t->next = NULL;
    *h->last = t;
    h->last = &t->next;
}

static void collect(silr_http *h)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(h->multi, &left))) {
        char *private = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        finish(h, (transfer *)(void *)private, code);
    }
}

static void touch(silr_http *h, curl_socket_t fd, int what)
{
    int running = 0;

    if (curl_multi_socket_action(h->multi, fd, what, &running) == CURLM_OUT_OF_MEMORY)
        h->no_memory = true; /* it may have lost sight of a transfer */
}

silr_status silr_http_wait(silr_http *h, double seconds, silr_error *err)
{
    struct epoll_event ready[64];
    int n, ms;
    double now = silr_now();

    if (h->done)
        seconds = 0;
    if (h->alarm >= 0 && h->alarm - now < seconds)
        seconds = h->alarm > now ? h->alarm - now : 0;
    ms = seconds <= 0 ? 0 : seconds > 3600 ? 3600000 : (int)ceil(seconds * 1000);
    n = epoll_wait(h->epoll, ready, sizeof ready / sizeof *ready, ms);
    if (n < 0 && errno != EINTR)
        return silr_fail(err, SILR_EIO, "waiting for the network failed: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        int what = (ready[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (ready[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (ready[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        touch(h, ready[i].data.fd, what);
    }
    if (h->alarm >= 0 && silr_now() >= h->alarm) {
        h->alarm = -1;
        touch(h, CURL_SOCKET_TIMEOUT, 0);
    }
    collect(h);
    return h->no_memory ? silr_fail_memory(err) : SILR_OK;
}

/* Answers of megabytes are rare: their memory is not kept for the next. */
static void put_back(silr_http *h, transfer *t)
{
    if (t->body.cap > 1 << 16)
        silr_buf_clear(&t->body);
    t->busy = false;
    t->next = h->pool;
    h->pool = t;
}

void silr_http_drop(silr_http *h)
{
    for (size_t i = 0; i < h->n_all; i++) {
        if (!h->all[i]->busy)
            continue;
        curl_multi_remove_handle(h->multi, h->all[i]->easy);
        put_back(h, h->all[i]);
    }
    h->shown = h->done = NULL;
    h->last = &h->done;
    h->in_flight = 0;
}

bool silr_http_next(silr_http *h, silr_http_reply *out)
{
    transfer *t = h->done;

    if (h->shown) {
        put_back(h, h->shown);
        h->shown = NULL;
    }
    if (!t)
        return false;
    if (!(h->done = t->next))
        h->last = &h->done;
    h->shown = t;
    h->in_flight--;
    *out = t->reply;
    return true;
}

size_t silr_http_in_flight(const silr_http *h)
{
    return h->in_flight;
}

const char *silr_http_library(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}
