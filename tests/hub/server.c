#include "server.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096 };

/* --- hashes -------------------------------------------------------------------------------------- */

static void name_file(struct hub_file *f)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char head[40];

    EVP_DigestInit_ex(c, f->large ? EVP_sha256() : EVP_sha1(), NULL);
    if (!f->large) {
        snprintf(head, sizeof head, "blob %zu", f->len);
        EVP_DigestUpdate(c, head, strlen(head) + 1);
    }
    EVP_DigestUpdate(c, f->bytes, f->len);
    EVP_DigestFinal_ex(c, digest, &len);
    for (unsigned i = 0; i < len; i++)
        snprintf(f->hash + (size_t)2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(c);
}

static const char *repo_of(const struct hub *h)
{
    return h->repo ? h->repo : "acme/tiny";
}

static const char *commit_of(const struct hub *h)
{
    return h->commit ? h->commit : "5555555555555555555555555555555555555555";
}

/* --- answers ------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *text,
                              const char *const *headers)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(size_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent;

    for (; headers && headers[0]; headers += 2)
        MHD_add_response_header(r, headers[0], headers[1]);
    sent = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return sent;
}

static char *list_of(const struct hub *h)
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);

    fprintf(f, "{\"id\":\"%s\",\"sha\":\"%s\",\"siblings\":[", repo_of(h), commit_of(h));
    for (size_t i = 0; i < h->n; i++) {
        const struct hub_file *e = &h->file[i];
        fprintf(f, "%s{\"rfilename\":\"%s\"", i ? "," : "", e->name);
        if (!h->bare && e->large)
            fprintf(f, ",\"size\":%zu,\"blobId\":\"%040d\",\"lfs\":{\"sha256\":\"%s\",\"size\":%zu,"
                    "\"pointerSize\":130}", e->len, 7, e->hash, e->len);
        else if (!h->bare)
            fprintf(f, ",\"size\":%zu,\"blobId\":\"%s\"", e->len, e->hash);
        fputc('}', f);
    }
    fputs("]}", f);
    fclose(f);
    return out;
}

/* --- the bytes of a large file ------------------------------------------------------------------- */

struct body {
    struct hub *h;
    const struct hub_file *file;
    size_t first, len;
    enum hub_fault fault;
};

static ssize_t read_body(void *cls, uint64_t pos, char *out, size_t max)
{
    struct body *b = cls;
    size_t at = b->first + (size_t)pos, n = max < BLOCK ? max : BLOCK;

    if (pos >= b->len)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (b->fault == HUB_DROP && pos >= b->h->after)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > b->len - pos)
        n = b->len - (size_t)pos;
    if (b->fault == HUB_DROP && n > b->h->after - pos)
        n = b->h->after - (size_t)pos;
    for (size_t i = 0; i < n; i++)
        out[i] = at + i < b->file->len ? b->file->bytes[at + i] : '!';
    if (b->fault == HUB_FLIP && pos == 0)
        out[0] ^= 1;
    if (b->h->slow)
        usleep(b->h->slow);
    b->h->sent += n;
    return (ssize_t)n;
}

/* true: this time. */
static bool strikes(struct hub *h, enum hub_fault *fault)
{
    *fault = HUB_FINE;
    if (h->fault == HUB_FINE || h->left <= 0)
        return false;
    h->left--;
    *fault = h->fault;
    return true;
}

static enum MHD_Result fail(struct hub *h, struct MHD_Connection *c, enum hub_fault fault,
                            const char *path)
{
    char seconds[12], words[200], url[400];
    const char *wait[] = {"Retry-After", seconds, NULL}, *there[] = {"Location", url, NULL};
    const char *seen = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");

    snprintf(seconds, sizeof seconds, "%d", h->wait);
    snprintf(words, sizeof words, "{\"error\":\"no: %s\"}", seen ? seen : "you are nobody");
    snprintf(url, sizeof url, "%s%s", h->url, path);
    switch (fault) {
    case HUB_STATUS: return answer(c, (unsigned)h->status, words, h->wait >= 0 ? wait : NULL);
    case HUB_PAGE: return answer(c, 200, "<html>Please log in to this network</html>", NULL);
    case HUB_LOOP: return answer(c, 302, "", there);
    default: return MHD_NO;
    }
}

static enum MHD_Result send_large(struct hub *h, struct MHD_Connection *c, const struct hub_file *f,
                                  const char *path)
{
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    struct body *b;
    struct MHD_Response *r;
    enum hub_fault fault = HUB_FINE;
    enum MHD_Result sent;
    char text[80];

    h->larges++;
    h->ranges += range != NULL;
    if (h->at_hub == 0 && strikes(h, &fault) &&
        (fault == HUB_STATUS || fault == HUB_PAGE || fault == HUB_SILENT))
        return fail(h, c, fault, path);
    b = calloc(1, sizeof *b);
    *b = (struct body){.h = h, .file = f, .fault = fault};
    if (range && !h->no_ranges)
        b->first = strtoul(range + 6, NULL, 10);
    if (b->first > 0 && b->first >= f->len) {
        free(b);
        return answer(c, 416, "", NULL);
    }
    if (fault == HUB_OTHER_PART && b->first > 0)
        b->first--;
    b->len = f->len - b->first + (fault == HUB_LONG) - (fault == HUB_SHORT ? f->len / 2 : 0);
    r = MHD_create_response_from_callback(b->len, BLOCK, read_body, b, free);
    snprintf(text, sizeof text, "bytes %zu-%zu/%zu", b->first, b->first + b->len - 1, f->len);
    if (b->first > 0)
        MHD_add_response_header(r, "Content-Range", text);
    MHD_add_response_header(r, "ETag", "\"an-etag-of-the-store\"");
    sent = MHD_queue_response(c, b->first > 0 ? 206 : 200, r);
    MHD_destroy_response(r);
    return sent;
}

/* --- requests ------------------------------------------------------------------------------------ */

static const struct hub_file *find(const struct hub *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->file[i].name, name) == 0)
            return &h->file[i];
    return NULL;
}

/* Everything that a test looks at is counted when the request comes. */
static enum MHD_Result send_file(struct hub *h, struct MHD_Connection *c, const struct hub_file *f)
{
    char etag[80], size[24], url[600];
    const char *headers[] = {"ETag", etag, "X-Repo-Commit", commit_of(h), NULL, NULL, NULL, NULL, NULL};
    struct MHD_Response *r;
    enum MHD_Result sent;

    snprintf(etag, sizeof etag, "\"%s\"", f->large && h->etag ? h->etag : f->hash);
    snprintf(size, sizeof size, "%zu", f->len);
    if (f->large) {
        snprintf(url, sizeof url, "%s/%s?signature=secret", h->to ? h->to : h->store, f->name);
        headers[0] = "X-Linked-Etag";
        headers[4] = "X-Linked-Size";
        headers[5] = size;
        headers[6] = "Location";
        headers[7] = url;
        return answer(c, 302, "Found. Redirecting", headers);
    }
    r = MHD_create_response_from_buffer(f->len, (void *)(size_t)f->bytes, MHD_RESPMEM_PERSISTENT);
    for (const char **p = headers; *p; p += 2)
        MHD_add_response_header(r, p[0], p[1]);
    sent = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return sent;
}

static enum MHD_Result on_hub(void *cls, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *data, size_t *size, void **ctx)
{
    struct hub *h = cls;
    const char *token = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    char list[200], files[200];
    const struct hub_file *f;
    enum hub_fault fault;
    bool is_list;
    (void)version, (void)data, (void)size;

    if (!*ctx) {
        *ctx = h;
        return MHD_YES;
    }
    h->hub_tokens += token != NULL;
    snprintf(h->token, sizeof h->token, "%s", token ? token : "");
    snprintf(list, sizeof list, "/api/models/%s/revision/", repo_of(h));
    snprintf(files, sizeof files, "/%s/resolve/%s/", repo_of(h), commit_of(h));
    is_list = strncmp(path, list, strlen(list)) == 0;
    if (h->at_hub == (is_list ? 1 : 2) && strikes(h, &fault))
        return fail(h, c, fault, path);
    if (is_list) {
        char *text;
        enum MHD_Result sent;
        h->lists++;
        if (strcmp(path + strlen(list), "main") != 0 && strcmp(path + strlen(list), commit_of(h)) != 0)
            return answer(c, 404, "{\"error\":\"Invalid rev id\"}", NULL);
        text = h->list ? strdup(h->list) : list_of(h);
        sent = answer(c, 200, text, NULL);
        free(text);
        return sent;
    }
    if (strncmp(path, files, strlen(files)) != 0) /* as other clients ask for it */
        snprintf(files, sizeof files, "/%s/resolve/main/", repo_of(h));
    if (strncmp(path, files, strlen(files)) != 0 || !(f = find(h, path + strlen(files))))
        return answer(c, 404, "{\"error\":\"Repository not found\"}", NULL);
    if (strcmp(method, "HEAD") == 0)
        h->heads++;
    else
        h->files++;
    return send_file(h, c, f);
}

static enum MHD_Result on_store(void *cls, struct MHD_Connection *c, const char *path,
                                const char *method, const char *version, const char *data, size_t *size,
                                void **ctx)
{
    struct hub *h = cls;
    const struct hub_file *f = find(h, path + 1);
    (void)method, (void)version, (void)data, (void)size;

    if (!*ctx) {
        *ctx = h;
        return MHD_YES;
    }
    h->store_tokens += MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization") != NULL;
    return f ? send_large(h, c, f, path) : answer(c, 404, "", NULL);
}

/* --- life ---------------------------------------------------------------------------------------- */

static void *listen_on(MHD_AccessHandlerCallback handler, struct hub *h, char url[40])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL,
                                            handler, h, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);

    if (d)
        snprintf(url, 40, "http://127.0.0.1:%u", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    return d;
}

bool hub_start(struct hub *h)
{
    for (size_t i = 0; i < h->n; i++)
        name_file(&h->file[i]);
    h->daemon[0] = listen_on(on_hub, h, h->url);
    h->daemon[1] = listen_on(on_store, h, h->store);
    return h->daemon[0] && h->daemon[1];
}

void hub_stop(struct hub *h)
{
    for (int i = 0; i < 2; i++)
        if (h->daemon[i])
            MHD_stop_daemon(h->daemon[i]);
    h->daemon[0] = h->daemon[1] = NULL;
}
