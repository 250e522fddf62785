/* test_http.c - every request ends once, however its server behaves; and nothing leaks on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"
#include "server/start.h"
#include <signal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct server server;
static const char key[] = "sk-test/0123456789+abc";

static void start(const char *const *args)
{
    assert_true(server_start(&server, args));
}

static int stop(void **state)
{
    (void)state;
    if (server.pid > 0)
        assert_int_equal(server_stop(&server), 0);
    return 0;
}

static silr_http *client(double timeout, size_t max_body)
{
    silr_http_opts o = {.connect_timeout = 2, .timeout = timeout, .max_body = max_body,
                        .max_connections = 16, .secret = key};
    silr_http *h;
    silr_error err = {0};
    char line[100];

    assert_int_equal(silr_http_new(&h, &o, &err), SILR_OK);
    snprintf(line, sizeof line, "Authorization: Bearer %s", key);
    assert_int_equal(silr_http_header(h, line, &err), SILR_OK);
    return h;
}

static char *body_about(int i)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"text %d\"}]}", i);
    return silr_buf_take(&b);
}

/* One chat request; *r is valid until the client is used again. */
static void ask(silr_http *h, int i, silr_http_reply *r)
{
    char url[80], *body = body_about(i);
    silr_http_request q = {.method = "POST", .url = url, .body = body, .len = strlen(body)};
    silr_error err = {0};

    snprintf(url, sizeof url, "%s/chat/completions", server.url);
    assert_int_equal(silr_http_send(h, &q, &server, &err), SILR_OK);
    assert_int_equal(silr_http_in_flight(h), 1);
    while (!silr_http_next(h, r))
        assert_int_equal(silr_http_wait(h, 1, &err), SILR_OK);
    assert_ptr_equal(r->tag, &server);
    assert_int_equal(silr_http_in_flight(h), 0);
    silr_free(body);
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* Each fault in every answer: how the request ends, and with which status. */
static void every_fault_has_its_end(void **state)
{
    static const struct {
        const char *fault;
        silr_http_end end;
        int status;
        bool waits; /* Retry-After */
    } cases[] = {
        {"429=1", SILR_HTTP_DONE, 429, true},         {"429-bare=1", SILR_HTTP_DONE, 429, false},
        {"500=1", SILR_HTTP_DONE, 500, false},        {"503=1", SILR_HTTP_DONE, 503, false},
        {"reset=1", SILR_HTTP_BROKEN, 0, false},      {"reset-body=1", SILR_HTTP_BROKEN, 0, false},
        {"truncated-json=1", SILR_HTTP_DONE, 200, false},
        {"huge=1", SILR_HTTP_TOO_LARGE, 0, false},    {"trickle=1", SILR_HTTP_TIMEOUT, 0, false},
        {"never=1", SILR_HTTP_TIMEOUT, 0, false},     {"duplicate=1", SILR_HTTP_DONE, 200, false},
        {"redirect=1", SILR_HTTP_DONE, 307, false},   {"gzip=1", SILR_HTTP_DONE, 200, false},
        {"chunked=1", SILR_HTTP_DONE, 200, false},    {"html=1", SILR_HTTP_DONE, 200, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *args[] = {"--fault", cases[i].fault, NULL};
        silr_http *h;
        silr_http_reply r;
        start(args);
        h = client(0.4, 1 << 20);
        for (int k = 0; k < 3; k++) { /* the connection, or a new one, is good for the next */
            ask(h, k, &r);
            if (r.end != cases[i].end || (r.end == SILR_HTTP_DONE && r.status != cases[i].status))
                fail_msg("%s: ended with %d, status %d (%s)", cases[i].fault, r.end, r.status, r.why);
            assert_int_equal(isnan(r.retry_after), !cases[i].waits);
            if (r.end != SILR_HTTP_DONE)
                assert_true(r.why[0] != '\0' && r.body == NULL && r.len == 0);
            if (r.len > 0) {
                assert_int_equal(strlen(r.body), r.len);
                assert_true(strcmp(cases[i].fault, "gzip=1") != 0 || r.body[0] == '{');
            }
            if (cases[i].status == 307)
                assert_string_equal(r.location, "http://127.0.0.1:1/");
        }
        silr_http_free(h);
        stop(NULL);
    }
}

static void nobody_listens(void **state)
{
    silr_http *h;
    silr_http_reply r;
    (void)state;

    start(NULL);
    h = client(2, 1 << 20);
    ask(h, 1, &r);
    assert_int_equal(r.status, 200);
    kill(server.pid, SIGKILL);
    usleep(20000);
    for (int i = 0; i < 2; i++) {
        ask(h, i, &r);
        assert_true(r.end == SILR_HTTP_CONNECT || (i == 0 && r.end == SILR_HTTP_BROKEN));
        assert_true(r.seconds < 1);
    }
    server_stop(&server);
    snprintf(server.url, sizeof server.url, "http://no-such-host.invalid");
    ask(h, 1, &r);
    assert_int_equal(r.end, SILR_HTTP_CONNECT);
    snprintf(server.url, sizeof server.url, "ftp://127.0.0.1"); /* http and https alone */
    ask(h, 1, &r);
    assert_int_equal(r.end, SILR_HTTP_BROKEN);
    silr_http_free(h);
}

static void limits_are_told(void **state)
{
    const char *args[] = {"--rate-limit", "2", NULL};
    silr_http *h;
    silr_http_reply r;
    (void)state;

    start(args);
    h = client(5, 1 << 20);
    ask(h, 1, &r);
    assert_true(r.remaining_requests == 1 && r.reset_requests > 0 && r.reset_requests <= 1);
    assert_true(isnan(r.remaining_tokens) && isnan(r.retry_after));
    ask(h, 2, &r);
    ask(h, 3, &r);
    assert_int_equal(r.status, 429);
    assert_true(r.remaining_requests == 0 && r.retry_after == 1);
    silr_http_free(h);
}

/* --- secrets ------------------------------------------------------------------------------------- */

static void a_key_sent_back_is_taken_out(void **state)
{
    const char *args[] = {"--key", "another", "--echo-key", NULL};
    const char *redirect[] = {"--fault", "redirect=1", "--redirect-to",
                              "http://127.0.0.1:1/?key=sk-test%2F0123456789%2Babc", NULL};
    silr_http *h;
    silr_http_reply r;
    (void)state;

    start(args);
    h = client(5, 1 << 20);
    ask(h, 1, &r);
    assert_int_equal(r.status, 401);
    assert_non_null(strstr(r.body, "Your key is [key]."));
    assert_null(strstr(r.body, "0123456789"));
    silr_http_free(h);
    stop(NULL);

    start(redirect);
    h = client(5, 1 << 20);
    ask(h, 1, &r);
    assert_string_equal(r.location, "http://127.0.0.1:1/?key=[key]");
    silr_http_free(h);
}

/* --- many ---------------------------------------------------------------------------------------- */

enum { MANY = 300 };

/* 300 requests at once over 16 connections, each with its own end; some of them
 * spoilt (curl asks again by itself where a connection that was used before ends without a word). */
static void many_at_once(void **state)
{
    const char *args[] = {"--latency", "2", "--fault", "reset=0.2", "--fault", "gzip=0.5", NULL};
    char *body[MANY], url[80];
    bool ended[MANY] = {false};
    int broken = 0;
    silr_http *h;
    silr_http_reply r;
    silr_error err = {0};
    (void)state;

    start(args);
    snprintf(url, sizeof url, "%s/chat/completions", server.url);
    h = client(10, 1 << 20);
    for (int i = 0; i < MANY; i++) {
        silr_http_request q = {.method = "POST", .url = url};
        body[i] = body_about(i);
        q.body = body[i];
        q.len = strlen(body[i]);
        assert_int_equal(silr_http_send(h, &q, &ended[i], &err), SILR_OK);
    }
    assert_int_equal(silr_http_in_flight(h), MANY);
    while (silr_http_in_flight(h) > 0) {
        assert_int_equal(silr_http_wait(h, 1, &err), SILR_OK);
        while (silr_http_next(h, &r)) {
            bool *e = r.tag;
            assert_false(*e);
            *e = true;
            broken += r.end != SILR_HTTP_DONE;
            if (r.end == SILR_HTTP_DONE)
                assert_non_null(strstr(r.body, "\"content\":"));
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(ended[i]);
        silr_free(body[i]);
    }
    assert_true(broken > 0 && broken < MANY / 3);
    assert_true(server_count(&server, "max_in_flight") <= 16);
    silr_http_free(h);
}

static void what_is_dropped_is_forgotten(void **state)
{
    const char *args[] = {"--latency", "30", NULL};
    char *body = body_about(1), url[80];
    silr_http_request q = {.method = "POST", .url = url, .body = body, .len = strlen(body)};
    silr_http *h;
    silr_http_reply r;
    silr_error err = {0};
    (void)state;

    start(args);
    snprintf(url, sizeof url, "%s/chat/completions", server.url);
    h = client(5, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++)
            assert_int_equal(silr_http_send(h, &q, NULL, &err), SILR_OK);
        assert_int_equal(silr_http_wait(h, 0.01, &err), SILR_OK);
        if (round == 1) /* one is being looked at */
            while (!silr_http_next(h, &r))
                assert_int_equal(silr_http_wait(h, 0.1, &err), SILR_OK);
        silr_http_drop(h);
        assert_int_equal(silr_http_in_flight(h), 0);
        assert_false(silr_http_next(h, &r));
    }
    ask(h, 2, &r);
    assert_int_equal(r.status, 200);
    for (int i = 0; i < 40; i++) /* freed with requests in flight */
        assert_int_equal(silr_http_send(h, &q, NULL, &err), SILR_OK);
    assert_int_equal(silr_http_wait(h, 0.01, &err), SILR_OK);
    silr_http_free(h);
    silr_free(body);
}

/* A GET, another type of content, another limit: as batches need them. */
static void other_requests(void **state)
{
    char url[80];
    silr_http *h;
    silr_http_reply r;
    silr_http_request q = {.method = "GET", .url = url};
    silr_error err = {0};
    (void)state;

    start(NULL);
    h = client(5, 1 << 20);
    snprintf(url, sizeof url, "%s/models", server.url);
    assert_int_equal(silr_http_send(h, &q, NULL, &err), SILR_OK);
    while (!silr_http_next(h, &r))
        assert_int_equal(silr_http_wait(h, 1, &err), SILR_OK);
    assert_int_equal(r.status, 200);
    snprintf(url, sizeof url, "%s/chat/completions", server.url);
    q = (silr_http_request){.method = "POST", .url = url, .body = "x", .len = 1,
                            .content_type = "text/plain"};
    assert_int_equal(silr_http_send(h, &q, NULL, &err), SILR_OK);
    while (!silr_http_next(h, &r))
        assert_int_equal(silr_http_wait(h, 1, &err), SILR_OK);
    assert_int_equal(r.status, 400);
    assert_non_null(strstr(r.body, "application/json"));
    q = (silr_http_request){.method = "GET", .url = url, .max_body = 10};
    snprintf(url, sizeof url, "%s/models", server.url);
    assert_int_equal(silr_http_send(h, &q, NULL, &err), SILR_OK);
    while (!silr_http_next(h, &r))
        assert_int_equal(silr_http_wait(h, 1, &err), SILR_OK);
    assert_int_equal(r.end, SILR_HTTP_TOO_LARGE);
    silr_http_free(h);
}

/* --- no memory ----------------------------------------------------------------------------------- */

/* Two requests with the n-th allocation failing, our own or curl's: SILR_ENOMEM, or an end. */
static silr_status two_requests(void)
{
    silr_http_opts o = {.connect_timeout = 2, .timeout = 5, .max_body = 1 << 20, .max_connections = 2,
                        .secret = key};
    static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
    char url[80];
    silr_http_request q = {.method = "POST", .url = url, .body = body, .len = sizeof body - 1};
    silr_http *h = NULL;
    silr_http_reply r;
    silr_error err = {0};
    silr_status st;

    snprintf(url, sizeof url, "%s/chat/completions", server.url);
    if ((st = silr_http_new(&h, &o, &err)) == SILR_OK)
        st = silr_http_header(h, "Authorization: Bearer x", &err);
    for (int i = 0; st == SILR_OK && i < 2; i++) {
        q.content_type = i ? "application/json" : NULL;
        st = silr_http_send(h, &q, NULL, &err);
    }
    while (st == SILR_OK && silr_http_in_flight(h) > 0) {
        st = silr_http_wait(h, 1, &err);
        while (st == SILR_OK && silr_http_next(h, &r))
            ;
    }
    silr_http_free(h);
    assert_true(st == SILR_OK || st == SILR_ENOMEM);
    return st;
}

static void any_allocation_may_fail(void **state)
{
    int failed = 0;
    uint64_t all;
    (void)state;

    start(NULL);
    assert_int_equal(two_requests(), SILR_OK);
    silr_mem_count();
    assert_int_equal(two_requests(), SILR_OK);
    all = silr_mem_count();
    for (uint64_t n = 1; n <= all + 5; n++) {
        silr_mem_fail_at(n, false);
        failed += two_requests() == SILR_ENOMEM;
        silr_mem_fail_at(0, false);
    }
    assert_true(failed > 10);
    assert_int_equal(two_requests(), SILR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_fault_has_its_end, stop),
        cmocka_unit_test_teardown(nobody_listens, stop),
        cmocka_unit_test_teardown(limits_are_told, stop),
        cmocka_unit_test_teardown(a_key_sent_back_is_taken_out, stop),
        cmocka_unit_test_teardown(many_at_once, stop),
        cmocka_unit_test_teardown(what_is_dropped_is_forgotten, stop),
        cmocka_unit_test_teardown(other_requests, stop),
        cmocka_unit_test_teardown(any_allocation_may_fail, stop),
    };
    setenv("no_proxy", "*", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
