/* route.c - who answers a request. */
#include "server.h"
#include <math.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

static const char *after(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(path, prefix, n) == 0 ? path + n : NULL;
}

/* /v1/x, /openai/v1/x, and as Azure has it /openai/deployments/NAME/x and /openai/x: all are x. */
const char *route_api(const char *path)
{
    const char *rest = after(path, "/openai");
    const char *deployment = rest ? after(rest, "/deployments/") : NULL;

    if (deployment)
        return strchr(deployment, '/');
    if (after(rest ? rest : path, "/v1/"))
        return after(rest ? rest : path, "/v1");
    return rest;
}

bool route_is_chat(const char *path)
{
    const char *rest = route_api(path);

    return rest && strcmp(rest, "/chat/completions") == 0;
}

/* --- key and rate ----------------------------------------------------------------------- */

static bool let_in(struct request *r)
{
    if (!opt.key || strcmp(r->key, opt.key) == 0)
        return true;
    if (r->key[0])
        answer_error(
            &r->answer, 401, "invalid_request_error", NULL, "invalid_api_key",
            "Incorrect API key provided. You can find your API key at your provider's site.");
    else
        answer_error(&r->answer, 401, "invalid_request_error", NULL, NULL,
                     "You didn't provide an API key. You need to provide your API key in an "
                     "Authorization header using Bearer auth.");
    answer_header(&r->answer, "WWW-Authenticate", "Bearer realm=\"test\"");
    return false;
}

/* As the API writes a time: 12ms, 1.5s, 6m0s. */
static void duration(char s[32], double seconds)
{
    if (seconds < 1)
        snprintf(s, 32, "%.0fms", ceil(seconds * 1000));
    else if (seconds < 60)
        snprintf(s, 32, "%.3gs", seconds);
    else
        snprintf(s, 32, "%.0fm%.0fs", floor(seconds / 60), fmod(seconds, 60));
}

static bool in_time(struct answer *a)
{
    double left, full_in, again_in;
    char reset[32];
    bool ok;

    if (opt.rate_limit <= 0)
        return true;
    ok = rate_take(&left, &full_in, &again_in);
    duration(reset, full_in);
    if (!ok) {
        answer_error(a, 429, "requests", NULL, "rate_limit_exceeded",
                     "Rate limit reached for requests. Please try again in %.0fms.",
                     ceil(again_in * 1000));
        answer_header(a, "Retry-After", "%.0f", ceil(again_in));
    }
    answer_header(a, "x-ratelimit-limit-requests", "%.0f", opt.rate_limit);
    answer_header(a, "x-ratelimit-remaining-requests", "%.0f", floor(left));
    answer_header(a, "x-ratelimit-reset-requests", "%s", reset);
    return ok;
}

/* --- who answers ------------------------------------------------------------------------ */

static void models(struct answer *a)
{
    const char *name = opt.model ? opt.model : "test-model";

    answer_json(a, 200);
    silr_buf_puts(&a->body, "{\"object\":\"list\",\"data\":[{\"id\":");
    silr_buf_json(&a->body, name, strlen(name));
    silr_buf_puts(&a->body,
                  ",\"object\":\"model\",\"created\":1735689600,\"owned_by\":\"test\"}]}");
}

static void not_found(struct request *r)
{
    answer_error(&r->answer, 404, "invalid_request_error", NULL, "unknown_url",
                 "Invalid URL (%s %.200s)", r->method, r->path);
}

static void route_files(struct request *r, const char *rest)
{
    bool get = strcmp(r->method, "GET") == 0;
    const char *slash = strrchr(rest, '/');
    char id[40];

    if (!rest[0] && strcmp(r->method, "POST") == 0) {
        files_upload(r);
        return;
    }
    snprintf(id, sizeof id, "%.*s", slash > rest ? (int)(slash - rest - 1) : 39,
             rest + (rest[0] == '/'));
    if (get && slash == rest)
        files_get(&r->answer, id, false);
    else if (get && slash && strcmp(slash, "/content") == 0)
        files_get(&r->answer, id, true);
    else if (slash == rest && slash && strcmp(r->method, "DELETE") == 0)
        files_delete(&r->answer, id);
    else
        not_found(r);
}

static void route_batches(struct request *r, const char *rest)
{
    bool get = strcmp(r->method, "GET") == 0, post = strcmp(r->method, "POST") == 0;
    const char *slash = strrchr(rest, '/');
    char id[40];

    snprintf(id, sizeof id, "%.*s", slash > rest ? (int)(slash - rest - 1) : 39,
             rest + (rest[0] == '/'));
    if (!rest[0] && post)
        batch_create(&r->answer, r->body.data, r->body.len);
    else if (!rest[0] && get && !opt.batch_no_list)
        batch_list(&r->answer, MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "after"),
                   MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "limit"));
    else if (slash == rest && get)
        batch_get(&r->answer, id);
    else if (slash && strcmp(slash, "/cancel") == 0 && post)
        batch_cancel(&r->answer, id);
    else
        not_found(r);
}

static void route_chat(struct request *r)
{
    const char *type = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Content-Type");

    if (strcmp(r->method, "POST") != 0)
        answer_error(&r->answer, 405, "invalid_request_error", NULL, "method_not_supported",
                     "Not allowed to %s on /v1/chat/completions.", r->method);
    else if (!type || strncasecmp(type, "application/json", 16) != 0)
        answer_error(&r->answer, 400, "invalid_request_error", NULL, NULL,
                     "The body is to be of type application/json.");
    else
        chat_reply(&r->answer, r->body.data, r->body.len);
}

static void respond(struct request *r, const char *rest)
{
    const char *of;

    if (r->chat)
        route_chat(r);
    else if (strcmp(rest, "/models") == 0 && strcmp(r->method, "GET") == 0)
        models(&r->answer);
    else if ((of = after(rest, "/files")) && (!of[0] || of[0] == '/'))
        route_files(r, of);
    else if ((of = after(rest, "/batches")) && (!of[0] || of[0] == '/'))
        route_batches(r, of);
    else
        not_found(r);
}

static void route_to_api(struct request *r, const char *rest)
{
    uint32_t attempt;
    enum fault f = FAULTS;

    if (!let_in(r) || !in_time(&r->answer))
        return;
    attempt = stats_attempt(r->hash, r->chat);
    if (r->chat || opt.fault_everywhere)
        f = faults_choose(r->hash, attempt);
    if (f == FAULTS || faults_need_answer(f))
        respond(r, rest);
    if (f == FAULTS || (faults_need_answer(f) && r->answer.status != 200))
        return; /* what fails by itself cannot be spoilt */
    stats_fault(f);
    faults_apply(f, &r->answer, r->hash, attempt);
}

void route(struct request *r)
{
    const char *rest = route_api(r->path);
    bool post = strcmp(r->method, "POST") == 0;

    r->answer.key = r->key[0] ? r->key : NULL;
    if (rest)
        route_to_api(r, rest);
    else if (strcmp(r->path, "/stats") == 0 && !post)
        stats_get(&r->answer);
    else if (strcmp(r->path, "/reset") == 0 && post)
        stats_reset(), stats_get(&r->answer);
    else
        not_found(r);
    if (rest && r->answer.status)
        answer_header(&r->answer, "x-request-id", "req_%016llx", (unsigned long long)r->hash);
    must_be_whole(&r->answer.body);
}
