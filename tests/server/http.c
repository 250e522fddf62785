/* http.c - the loop: requests come in whole, wait, and their answers go out.
 *
 * One thread. libmicrohttpd watches its sockets with an epoll of its own; we poll that, the signals
 * and standard input, no longer than until the next waiting request is due. A request that waits is
 * a suspended connection, so hundreds of them cost nothing. */
#include "http.h"
#include "base/hash.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MOST = 300 << 20, CONNECTIONS = 20000 };

bool http_dying;

/* --- waiting ---------------------------------------------------------------------------- */

void http_suspend(struct request *r, enum state state, int64_t due)
{
    r->state = state;
    if (!r->suspended)
        MHD_suspend_connection(r->conn);
    r->suspended = true;
    if (due >= 0)
        wait_until(r, due);
}

static void resume(struct request *r, enum state state)
{
    r->state = state;
    r->suspended = false;
    MHD_resume_connection(r->conn);
}

static int64_t latency(void)
{
    return wait_now() + (int64_t)opt.latency_ms * 1000000;
}

/* A chat request takes its time, and a slot meanwhile; everything else is answered at once. */
static bool keeps(struct request *r)
{
    if (r->answer.how == NEVER) {
        http_suspend(r, HANGING, wait_now() + LOOK_AGAIN_MS * 1000000);
        return true;
    }
    if (!r->chat || opt.latency_ms == 0)
        return false;
    http_suspend(r, WORKING, -1);
    if (slot_take(r))
        wait_until(r, latency());
    stats_working(slot_taken());
    return true;
}

static void come_due(struct request *r)
{
    struct request *next;

    switch (r->state) {
    case WORKING:
        if ((next = slot_leave()))
            wait_until(next, latency());
        resume(r, READY);
        break;
    case HANGING: /* until its client has gone; or it has had too much already */
        if (r->sent || http_gone(r))
            resume(r, READY);
        else
            wait_until(r, wait_now() + LOOK_AGAIN_MS * 1000000);
        break;
    default:
        resume(r, r->state);
    }
}

/* --- what libmicrohttpd calls ----------------------------------------------------------- */

/* The key, from Authorization: Bearer or from api-key. */
static void read_key(struct request *r)
{
    const char *v = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization");

    if (v && strncasecmp(v, "Bearer ", 7) == 0)
        v += 7;
    if (!v)
        v = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "api-key");
    snprintf(r->key, sizeof r->key, "%s", v ? v : "");
}

static struct request *begin(struct MHD_Connection *conn, const char *method, const char *path)
{
    struct request *r = must(silr_calloc(1, sizeof *r));

    r->conn = conn;
    r->method = must(silr_strdup(method));
    r->path = must(silr_strdup(path));
    r->chat = route_is_chat(path);
    read_key(r);
    return r;
}

/* All of it is here. A multipart body has a boundary drawn by lot, so it does not count. */
static void received(struct request *r)
{
    const char *type = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Content-Type");
    bool body = r->body.len > 0 && !(type && strncasecmp(type, "multipart/", 10) == 0);

    must_be_whole(&r->body);
    r->hash =
        body ? silr_hash64(r->body.data, r->body.len, 0) : silr_hash64(r->path, strlen(r->path), 3);
    r->counted = true;
    stats_received(r);
    route(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **con_cls)
{
    struct request *r = *con_cls;

    (void)cls, (void)version;
    if (http_dying)
        return MHD_NO;
    if (!r) {
        *con_cls = begin(conn, method, path);
        return MHD_YES;
    }
    if (*size > 0) {
        silr_buf_add(&r->body, data, *size);
        *size = 0;
        return r->body.len <= BODY_MOST ? MHD_YES : MHD_NO;
    }
    if (r->state == READING) {
        received(r);
        if (keeps(r))
            return MHD_YES;
        r->state = READY;
    }
    return http_send(r);
}

static void on_end(void *cls, struct MHD_Connection *conn, void **con_cls,
                   enum MHD_RequestTerminationCode how)
{
    struct request *r = *con_cls;

    (void)cls, (void)conn, (void)how;
    if (!r)
        return;
    wait_forget(r);
    if (r->counted)
        stats_finished(r);
    answer_clear(&r->answer);
    silr_buf_clear(&r->body);
    silr_free(r->method);
    silr_free(r->path);
    silr_free(r);
    *con_cls = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **socket,
                          enum MHD_ConnectionNotificationCode what)
{
    (void)cls, (void)conn, (void)socket;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        stats_connection();
}

/* --- the loop --------------------------------------------------------------------------- */

/* true: it is time to go. */
static bool told_to_stop(const struct pollfd *signals, const struct pollfd *input)
{
    char byte[256];

    if (signals->revents)
        return true;
    return opt.until_eof && input->revents && read(STDIN_FILENO, byte, sizeof byte) <= 0;
}

static void loop(struct MHD_Daemon *d, int signals)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[3] = {{info->epoll_fd, POLLIN, 0},
                            {signals, POLLIN, 0},
                            {opt.until_eof ? STDIN_FILENO : -1, POLLIN, 0}};
    struct request *r;

    do {
        int64_t now = wait_now(), first = wait_first(), ns = first < 0 ? 10000000000 : first - now;
        MHD_UNSIGNED_LONG_LONG ms;
        if (MHD_get_timeout(d, &ms) == MHD_YES && (int64_t)ms * 1000000 < ns)
            ns = (int64_t)ms * 1000000;
        struct timespec t = {ns > 0 ? ns / 1000000000 : 0, ns > 0 ? ns % 1000000000 : 0};
        if (ppoll(fds, 3, &t, NULL) < 0 && errno != EINTR) {
            perror("chat_server: poll");
            return;
        }
        for (now = wait_now(); (r = wait_due(now));)
            come_due(r);
        MHD_run(d);
    } while (!told_to_stop(&fds[1], &fds[2]));
}

/* Nobody may be suspended when the daemon stops; who is in line for a slot is not in the heap. */
static void let_all_go(struct MHD_Daemon *d)
{
    struct request *r;

    http_dying = true;
    for (;;) {
        if ((r = wait_due(INT64_MAX))) {
            if (r->state == WORKING) {
                struct request *next = slot_leave();
                if (next)
                    wait_until(next, 0);
            }
            resume(r, r->state);
        } else {
            break;
        }
    }
    MHD_run(d);
}

static int listen_for_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void allow_many_files(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static struct MHD_Daemon *start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
    silr_buf cert = {0}, key = {0};
    struct MHD_OptionItem more[3] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *d;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (opt.tls_cert) {
        http_read_pem(&cert, opt.tls_cert);
        http_read_pem(&key, opt.tls_key);
        flags |= MHD_USE_TLS;
        more[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, cert.data};
        more[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, key.data};
        more[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    d = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &at,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_NOTIFY_COMPLETED, on_end,
        NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
        1, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    silr_buf_clear(&cert);
    silr_buf_clear(&key);
    return d;
}

int http_serve(void)
{
    int signals = listen_for_signals();
    struct MHD_Daemon *d;

    allow_many_files();
    d = start();
    if (!d) {
        fprintf(stderr, "chat_server: cannot listen on 127.0.0.1:%u%s\n", opt.port,
                opt.tls_cert ? ", or TLS refuses certificate and key" : "");
        return 1;
    }
    printf("%u\n", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    loop(d, signals);
    let_all_go(d);
    MHD_stop_daemon(d);
    close(signals);
    return 0;
}
