/* test_faults.c - each fault is seen on the wire as main.c tells it, and when the rule says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/mem.h"
#include "base/num.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct server s;
static struct got g;
static silr_buf wire; /* head and body as they came */

static void start(const char *fault)
{
    const char *args[] = {"--fault", fault, NULL};

    assert_true(server_start(&s, args));
}

static void stop(void)
{
    got_clear(&g);
    silr_buf_clear(&wire);
    assert_int_equal(server_stop(&s), 0);
}

/* Sends a chat request about text, byte by byte, and puts what comes into wire. */
static int on_the_wire(const char *text, int ms)
{
    char *body = chat_body(text, "");
    int fd = raw_connect(&s), end;

    silr_buf_reset(&wire);
    silr_buf_puts(&wire, "");
    raw_post(fd, body);
    end = raw_read(fd, &wire, ms);
    close(fd);
    silr_free(body);
    return end;
}

/* What the head on the wire announces. */
static size_t announced(void)
{
    const char *length = strcasestr(wire.data, "content-length: ");

    assert_non_null(length);
    return strtoul(length + 16, NULL, 10);
}

static const char *body_on_the_wire(void)
{
    const char *end = strstr(wire.data, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static void statuses(void **state)
{
    static const struct {
        const char *fault;
        long status;
        const char *says;
    } cases[] = {
        {"429=1", 429, "rate_limit_exceeded"},
        {"429-bare=1", 429, "rate_limit_exceeded"},
        {"429-quota=1", 429, "insufficient_quota"},
        {"500=1", 500, "server_error"},
        {"503=1", 503, "<html>"},
        {"408=1", 408, "timeout"},
        {"400=1", 400, "invalid_value"},
        {"401-sometimes=1", 401, "invalid_api_key"},
        {"html=1", 200, "<!DOCTYPE html>"},
        {"wrong-type=1", 200, "\"choices\""},
        {"redirect=1", 307, ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(cases[i].fault);
        client_chat(&g, &s, "x", "");
        assert_int_equal(g.code, CURLE_OK);
        assert_int_equal(g.status, cases[i].status);
        assert_non_null(strstr(g.body.data, cases[i].says));
        assert_int_equal(strcasestr(g.head.data, "\nretry-after: ") != NULL, i == 0);
        assert_int_equal(strcasestr(g.head.data, "\ncontent-type: text/html") != NULL,
                         strncmp(cases[i].fault, "503", 3) == 0 || i == 8 || i == 9);
        assert_int_equal(strstr(g.head.data, "Location: http://127.0.0.1:1/") != NULL, i == 10);
        assert_int_equal(server_count(&s, "answers"), 0);
        stop();
    }
}

static void resets(void **state)
{
    (void)state;

    start("reset=1");
    assert_int_equal(on_the_wire("x", 5000), ECONNRESET);
    assert_int_equal(wire.len, 0);
    assert_int_equal(server_count(&s, "dropped"), 1);
    assert_int_equal(server_count(&s, "faults/reset"), 1);
    stop();
}

/* Half of what was announced; some end with a FIN and some with an RST. */
static void breaks_off(void **state)
{
    int ends[2] = {0}, end;
    char text[20];
    (void)state;

    start("reset-body=1");
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "x %d", i);
        end = on_the_wire(text, 5000);
        assert_true(end == 0 || end == ECONNRESET);
        ends[end != 0]++;
        assert_int_equal(wire.len - (size_t)(body_on_the_wire() - wire.data), announced() / 2);
    }
    assert_true(ends[0] > 0 && ends[1] > 0);
    client_chat(&g, &s, "x", "");
    assert_true(g.code == CURLE_PARTIAL_FILE || g.code == CURLE_RECV_ERROR);
    stop();
}

static void never_answers(void **state)
{
    double began;
    (void)state;

    start("never=1");
    assert_int_equal(on_the_wire("x", 300), ETIMEDOUT);
    assert_int_equal(wire.len, 0);
    began = silr_now(); /* it notices that we have gone */
    while (server_count(&s, "in_flight") > 0)
        assert_true(silr_now() - began < 5);
    assert_int_equal(server_count(&s, "dropped"), 1);
    on_the_wire("y", 10);
    stop(); /* while one hangs */
}

static void trickles(void **state)
{
    size_t body;
    (void)state;

    start("trickle=1");
    assert_int_equal(on_the_wire("x", 1100), ETIMEDOUT);
    body = wire.len - (size_t)(body_on_the_wire() - wire.data);
    assert_in_range(body, 2, 6); /* at 0, 200, ... 1000 ms */
    assert_true(announced() > 100);
    stop();
}

static void cuts_json(void **state)
{
    (void)state;

    start("truncated-json=1");
    client_chat(&g, &s, "x", "");
    assert_int_equal(g.code, CURLE_OK);
    assert_int_equal(g.status, 200);
    assert_memory_equal(g.body.data, "{\"id\":\"chatcmpl-", 16);
    assert_null(g.json);
    stop();
}

/* Every one of them is JSON, and none has a content. */
static void sends_other_json(void **state)
{
    silr_buf shapes = {0};
    char text[20];
    int n = 0;
    (void)state;

    start("wrong-json=1");
    for (int i = 0; i < 120; i++) {
        snprintf(text, sizeof text, "x %d", i);
        assert_null(client_chat(&g, &s, text, ""));
        assert_int_equal(g.status, 200);
        json_t *any = json_loadb(g.body.data, g.body.len, JSON_DECODE_ANY, NULL);
        assert_non_null(any);
        json_decref(any);
        silr_buf_putc(&g.body, '\n');
        n += !shapes.data || !strstr(shapes.data, g.body.data);
        silr_buf_puts(&shapes, g.body.data);
    }
    assert_true(n >= 8);
    silr_buf_clear(&shapes);
    stop();
    start("empty-choices=1");
    assert_null(client_chat(&g, &s, "x", ""));
    assert_int_equal(json_array_size(at(g.json, "choices")), 0);
    assert_true(json_is_array(at(g.json, "choices")));
    stop();
}

static void sends_ten_megabytes(void **state)
{
    (void)state;

    start("huge=1");
    assert_true(strlen(client_chat(&g, &s, "x", "")) >= 10 << 20);
    stop();
}

/* The response, then the same again without having been asked: head and body, bit by bit. */
static void sends_twice(void **state)
{
    const char *second;
    size_t length;
    (void)state;

    start("duplicate=1");
    assert_int_equal(on_the_wire("x", 5000), 0);
    length = announced();
    second = body_on_the_wire() + length;
    assert_memory_equal(second, "HTTP/1.1 200 OK\r\n", 17);
    assert_memory_equal(strstr(second, "\r\n\r\n") + 4, body_on_the_wire(), length);
    assert_int_equal(strlen(strstr(second, "\r\n\r\n") + 4), length);
    assert_non_null(client_chat(&g, &s, "x", "")); /* libcurl takes the first */
    stop();
}

/* No faults, but a client may not know them. */
static void encodes(void **state)
{
    (void)state;

    start("gzip=1");
    assert_int_equal(on_the_wire("[[negative]]", 5000), 0);
    assert_memory_equal(body_on_the_wire(), "\x1f\x8b", 2);
    assert_string_equal(client_chat(&g, &s, "[[negative]]", ""), "negative");
    assert_non_null(strstr(g.head.data, "Content-Encoding: gzip"));
    assert_int_equal(server_count(&s, "answers"), 2);
    stop();
    start("chunked=1");
    assert_string_equal(client_chat(&g, &s, "[[negative]]", ""), "negative");
    assert_non_null(strcasestr(g.head.data, "transfer-encoding: chunked"));
    stop();
}

static void breaks_utf8(void **state)
{
    (void)state;

    start("invalid-utf8=1");
    client_chat(&g, &s, "[[negative]]", "");
    assert_null(g.json);
    assert_non_null(strstr(g.body.data, "\"content\":\"\xff\xc3\x28negative\""));
    stop();
}

/* --- whose turn it is ------------------------------------------------------------------- */

/* The statuses of three attempts for each of 40 bodies, as digits. */
static void attempts(char out[121])
{
    char text[20];

    for (int i = 0; i < 120; i++) {
        snprintf(text, sizeof text, "x %d", i % 40);
        client_chat(&g, &s, text, "");
        out[i] = (char)('0' + g.status / 100);
    }
    out[120] = '\0';
}

/* The same in another process, and after a reset; about as many as asked for; and later attempts
 * of a body are struck or not whatever happened to earlier ones. */
static void strikes_by_rule(void **state)
{
    char first[121], again[121];
    int hit = 0, freed = 0;
    (void)state;

    start("500=0.3");
    attempts(first);
    assert_true(server_reset(&s));
    attempts(again);
    assert_string_equal(first, again);
    stop();
    start("500=0.3");
    attempts(again);
    assert_string_equal(first, again);
    for (int i = 0; i < 120; i++) {
        hit += first[i] == '5';
        freed += i < 40 && first[i] == '5' && first[i + 40] == '2';
    }
    assert_in_range(hit, 20, 55);
    assert_true(freed > 3);
    assert_int_equal(server_count(&s, "faults/500"), hit);
    assert_int_equal(server_count(&s, "statuses/500"), hit);
    stop();
}

/* Of two kinds the first in the list strikes; other paths are struck only when asked for. */
static void strikes_where(void **state)
{
    const char *chat[] = {"--fault", "500=1", "--fault", "429=1", NULL};
    const char *all[] = {"--fault", "500=1", "--fault-everywhere", NULL};
    (void)state;

    assert_true(server_start(&s, chat));
    client_chat(&g, &s, "x", "");
    assert_int_equal(g.status, 429);
    client_get(&g, &s, "/v1/models", NULL);
    assert_int_equal(g.status, 200);
    stop();
    assert_true(server_start(&s, all));
    client_get(&g, &s, "/v1/models", NULL);
    assert_int_equal(g.status, 500);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),         cmocka_unit_test(resets),
        cmocka_unit_test(breaks_off),       cmocka_unit_test(never_answers),
        cmocka_unit_test(trickles),         cmocka_unit_test(cuts_json),
        cmocka_unit_test(sends_other_json), cmocka_unit_test(sends_ten_megabytes),
        cmocka_unit_test(sends_twice),      cmocka_unit_test(encodes),
        cmocka_unit_test(breaks_utf8),      cmocka_unit_test(strikes_by_rule),
        cmocka_unit_test(strikes_where),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
