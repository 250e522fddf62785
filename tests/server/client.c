#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/mem.h"
#include "base/num.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t collect(char *data, size_t size, size_t n, void *to)
{
    silr_buf_add(to, data, size * n);
    return size * n;
}

void got_clear(struct got *g)
{
    silr_buf_clear(&g->head);
    silr_buf_clear(&g->body);
    json_decref(g->json);
    *g = (struct got){0};
}

static void perform(struct got *g, CURL *c, const struct server *s, const char *path)
{
    char url[200];

    got_clear(g);
    snprintf(url, sizeof url, "%s%s", s->root, path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &g->body);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &g->head);
    silr_buf_puts(&g->head, "");
    silr_buf_puts(&g->body, "");
    g->code = (int)curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &g->status);
    curl_easy_cleanup(c);
    g->json = json_loadb(g->body.data, g->body.len, 0, NULL);
}

void client_post(struct got *g, const struct server *s, const char *path, const char *header,
                 const char *json)
{
    CURL *c = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

    if (header)
        headers = curl_slist_append(headers, header);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, json);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    perform(g, c, s, path);
    curl_slist_free_all(headers);
}

void client_get(struct got *g, const struct server *s, const char *path, const char *header)
{
    CURL *c = curl_easy_init();
    struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;

    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    perform(g, c, s, path);
    curl_slist_free_all(headers);
}

void client_upload(struct got *g, const struct server *s, const char *purpose, const char *data)
{
    CURL *c = curl_easy_init();
    curl_mime *form = curl_mime_init(c);
    curl_mimepart *part = curl_mime_addpart(form);

    curl_mime_name(part, "purpose");
    curl_mime_data(part, purpose, CURL_ZERO_TERMINATED);
    part = curl_mime_addpart(form);
    curl_mime_name(part, "file");
    curl_mime_filename(part, "in.jsonl");
    curl_mime_data(part, data, CURL_ZERO_TERMINATED);
    curl_easy_setopt(c, CURLOPT_MIMEPOST, form);
    perform(g, c, s, "/v1/files");
    curl_mime_free(form);
}

char *chat_body(const char *text, const char *more)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{%s\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":", more);
    silr_buf_json(&b, text, strlen(text));
    silr_buf_puts(&b, "}]}");
    return silr_buf_take(&b);
}

const char *client_chat(struct got *g, const struct server *s, const char *text, const char *more)
{
    char *body = chat_body(text, more);

    client_post(g, s, "/v1/chat/completions", NULL, body);
    silr_free(body);
    return text_at(g->json, "choices/0/message/content");
}

json_t *at(json_t *root, const char *path)
{
    char part[200], *rest, *name;

    snprintf(part, sizeof part, "%s", path);
    for (name = strtok_r(part, "/", &rest); name; name = strtok_r(NULL, "/", &rest))
        root = json_is_array(root) ? json_array_get(root, strtoul(name, NULL, 10))
                                   : json_object_get(root, name);
    return root;
}

const char *text_at(json_t *root, const char *path)
{
    return json_string_value(at(root, path));
}

/* --- byte by byte ----------------------------------------------------------------------- */

int raw_connect(const struct server *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void raw_post(int fd, const char *body)
{
    silr_buf b = {0};

    silr_buf_printf(&b,
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(body), body);
    assert_int_equal(write(fd, b.data, b.len), b.len);
    silr_buf_clear(&b);
}

int raw_read(int fd, silr_buf *b, int ms)
{
    double until = silr_now() + ms * 1e-3;
    static char piece[1 << 16];

    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int left = (int)((until - silr_now()) * 1000);
        if (left <= 0 || poll(&p, 1, left) == 0)
            return ETIMEDOUT;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0)
            return n == 0 ? 0 : errno;
        silr_buf_add(b, piece, (size_t)n);
    }
}
