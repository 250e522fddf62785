/* script.c - a server in a thread, for what chat_server does not do on demand. */
#include "chat/talk.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct MHD_Daemon *daemon_of;
static script act;
static atomic_int requests;
static char address[60], last_path[200];

static enum MHD_Result handle(void *cls, struct MHD_Connection *conn, const char *path,
                              const char *method, const char *version, const char *data, size_t *size,
                              void **con_cls)
{
    silr_buf *b = *con_cls, out = {0};
    struct MHD_Response *r;
    enum MHD_Result done;
    unsigned status;
    (void)cls, (void)method, (void)version;

    if (!b)
        return (*con_cls = silr_calloc(1, sizeof *b)) ? MHD_YES : MHD_NO;
    if (*size > 0) {
        silr_buf_add(b, data, *size);
        *size = 0;
        return MHD_YES;
    }
    snprintf(last_path, sizeof last_path, "%s", path);
    status = act(b->data ? b->data : "", atomic_fetch_add(&requests, 1), &out);
    if (status == 0) { /* hang up */
        silr_buf_clear(&out);
        return MHD_NO;
    }
    r = MHD_create_response_from_buffer(out.len, out.data ? out.data : (char *)"",
                                        MHD_RESPMEM_MUST_COPY);
    silr_buf_clear(&out);
    MHD_add_response_header(r, "Content-Type", "application/json");
    done = MHD_queue_response(conn, status, r);
    MHD_destroy_response(r);
    return done;
}

static void completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                      enum MHD_RequestTerminationCode how)
{
    silr_buf *b = *con_cls;
    (void)cls, (void)conn, (void)how;

    if (b)
        silr_buf_clear(b);
    silr_free(b);
    *con_cls = NULL;
}

const char *script_start(script s)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    act = s;
    atomic_store(&requests, 0);
    daemon_of = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, NULL,
                                 MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&any,
                                 MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
    if (!daemon_of) {
        fputs("script: no server\n", stderr);
        abort();
    }
    snprintf(address, sizeof address, "http://127.0.0.1:%u/v1",
             MHD_get_daemon_info(daemon_of, MHD_DAEMON_INFO_BIND_PORT)->port);
    return address;
}

void script_stop(void)
{
    if (daemon_of)
        MHD_stop_daemon(daemon_of);
    daemon_of = NULL;
}

const char *script_path(void)
{
    return last_path;
}

int script_requests(void)
{
    return atomic_load(&requests);
}

void script_say(silr_buf *out, const char *content)
{
    silr_buf_puts(out, "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    silr_buf_json(out, content, strlen(content));
    silr_buf_puts(out, "},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,"
                       "\"completion_tokens\":1}}");
}

int script_item(const char *body)
{
    const char *last = NULL;

    for (const char *p = body; (p = strstr(p, "text ")); p++)
        if (p[5] >= '0' && p[5] <= '9')
            last = p + 5;
    return last ? atoi(last) : -1;
}

unsigned script_answer(const char *body, silr_buf *out)
{
    script_say(out, script_item(body) % 2 == 0 ? "no" : "yes");
    return 200;
}

unsigned script_error(silr_buf *out, unsigned status, const char *message)
{
    silr_buf_puts(out, "{\"error\":{\"message\":");
    silr_buf_json(out, message, strlen(message));
    silr_buf_puts(out, "}}");
    return status;
}
