/* send.c - sends an answer, in one of the ways of enum delivery. */
#include "http.h"
#include "base/file.h"
#include "base/mem.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CHUNK = 100, BLOCK = 1 << 14 };

void http_read_pem(silr_buf *b, const char *path)
{
    silr_error err = {0};

    if (silr_file_read(b, path, 1 << 20, &err) != SILR_OK) {
        fprintf(stderr, "chat_server: %s\n", err.text);
        exit(2);
    }
}

static int socket_of(const struct request *r)
{
    return MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* Half a connection counts as gone: no client of ours stops sending and goes on to read. */
bool http_gone(const struct request *r)
{
    struct pollfd fd = {socket_of(r), POLLRDHUP, 0};

    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* An RST, now: Linux sends it when a connected socket is told to forget its peer. With SO_LINGER 0
 * it would wait for the close, before which libmicrohttpd may have sent a FIN. */
static void reset(const struct request *r)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (connect(socket_of(r), &nobody, sizeof nobody) != 0)
        perror("chat_server: reset");
}

/* --- bodies that are not sent in one piece ---------------------------------------------- */

static ssize_t read_half(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct request *r = cls;
    size_t half = r->answer.body.len / 2, n;

    if (pos >= half) {
        if (r->answer.how == HALF_RESET)
            reset(r);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    n = half - pos < max ? (size_t)(half - pos) : max;
    memcpy(buf, r->answer.body.data + pos, n);
    return (ssize_t)n;
}

/* A byte when it is due; until then the connection is suspended again. */
static ssize_t read_trickle(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct request *r = cls;
    int64_t now = wait_now();

    (void)max;
    if (http_dying)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (r->due > now) {
        http_suspend(r, TRICKLING, r->due);
        return 0;
    }
    buf[0] = r->answer.body.data[pos];
    r->due = now + TRICKLE_MS * 1000000;
    return 1;
}

static ssize_t read_chunk(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct request *r = cls;
    size_t n = r->answer.body.len - (size_t)pos;

    if (n == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    n = n < CHUNK ? n : CHUNK;
    n = n < max ? n : max;
    memcpy(buf, r->answer.body.data + pos, n);
    return (ssize_t)n;
}

/* --- past libmicrohttpd ----------------------------------------------------------------- */

/* The response, and behind it the same again, which nobody asked for; in one write, because what
 * comes later a client would take for the answer to its next request. Then the connection stands
 * open for a while and is closed. */
static enum MHD_Result send_twice(struct request *r)
{
    struct answer *a = &r->answer;
    silr_buf b = {0};

    for (int i = 0; i < 2; i++) {
        silr_buf_printf(&b, "HTTP/1.1 %u OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                        a->status, a->type, a->body.len);
        silr_buf_add(&b, a->body.data, a->body.len);
    }
    must_be_whole(&b);
    if (send(socket_of(r), b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len)
        perror("chat_server: duplicate");
    silr_buf_clear(&b);
    http_suspend(r, HANGING, wait_now() + LOOK_AGAIN_MS * 1000000);
    return MHD_YES;
}

/* Within TLS that cannot be done; there the body says everything twice. */
static void double_body(silr_buf *body)
{
    size_t len = body->len;
    char *copy = must(silr_strndup(body->data, len));

    silr_buf_add(body, copy, len);
    must_be_whole(body);
    silr_free(copy);
}

/* --- sending ---------------------------------------------------------------------------- */

static struct MHD_Response *response(struct request *r)
{
    struct answer *a = &r->answer;
    struct MHD_Response *m;

    switch (a->how) {
    case HALF_CLOSE:
    case HALF_RESET:
        return must(MHD_create_response_from_callback(a->body.len, BLOCK, read_half, r, NULL));
    case TRICKLE:
        r->due = 0;
        return must(MHD_create_response_from_callback(a->body.len, 1, read_trickle, r, NULL));
    case CHUNKED:
        return must(
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_chunk, r, NULL));
    case TWICE:
        double_body(&a->body);
        break;
    default:
        break;
    }
    m = must(
        MHD_create_response_from_buffer_with_free_callback(a->body.len, a->body.data, silr_free));
    a->body = (silr_buf){0};
    return m;
}

enum MHD_Result http_send(struct request *r)
{
    struct answer *a = &r->answer;
    struct MHD_Response *m;
    enum MHD_Result sent;

    if (a->how == RESET)
        reset(r);
    if (a->how == RESET || a->how == NEVER || r->sent || http_gone(r))
        return MHD_NO;
    r->sent = true;
    stats_sent(r);
    if (a->how == TWICE && !opt.tls_cert)
        return send_twice(r);
    m = response(r);
    must(MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, a->type) == MHD_YES ? m : NULL);
    for (size_t i = 0; i < a->headers; i++)
        must(MHD_add_response_header(m, a->header[i].name, a->header[i].value) == MHD_YES ? m
                                                                                          : NULL);
    sent = MHD_queue_response(r->conn, a->status, m);
    MHD_destroy_response(m);
    return sent;
}
