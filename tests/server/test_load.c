/* test_load.c - the server must never be what a test or a bench is waiting for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/mem.h"
#include "base/num.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 10 }; /* how many times slower the server may be */
#else
enum { SLOW = 1 };
#endif

static struct server s;

static void start(const char *const *args)
{
    assert_true(server_start(&s, args));
}

/* --- many requests at once -------------------------------------------------------------- */

struct load {
    CURLM *multi;
    struct curl_slist *headers;
    int sent, done;
    int ok, limited, other; /* of those done */
    double longest;         /* seconds */
};

static size_t drop(char *data, size_t size, size_t n, void *to)
{
    (void)data, (void)to;
    return size * n;
}

/* The next request, with all that a classifier asks for. */
static void send_next(struct load *l)
{
    CURL *c = curl_easy_init();
    char text[800], url[80];
    char *body;

    memset(text, 'x', sizeof text);
    snprintf(text + 780, 20, " %d", l->sent++);
    body = chat_body(text,
                     "\"logprobs\":true,\"top_logprobs\":20,\"temperature\":0,\"max_tokens\":8,");
    snprintf(url, sizeof url, "%s/chat/completions", s.url);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, l->headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body);
    curl_multi_add_handle(l->multi, c);
    silr_free(body);
}

static void finish_one(struct load *l, CURL *c, CURLcode code)
{
    long status = 0;
    double took = 0;

    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c, CURLINFO_TOTAL_TIME, &took);
    l->done++;
    if (took > l->longest)
        l->longest = took;
    if (code == CURLE_OK && status == 200)
        l->ok++;
    else if (status == 429)
        l->limited++;
    else
        l->other++;
    curl_multi_remove_handle(l->multi, c);
    curl_easy_cleanup(c);
}

/* Sends n requests, at most `most` in flight; returns the seconds that it took. */
static double run(struct load *l, int n, int most)
{
    double began = silr_now();
    int running = 0, left, before;
    CURLMsg *m;

    *l = (struct load){.multi = curl_multi_init()};
    l->headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)most);
    do {
        while (l->sent < n && l->sent - l->done < most)
            send_next(l);
        before = l->done;
        curl_multi_perform(l->multi, &running);
        while ((m = curl_multi_info_read(l->multi, &left)))
            if (m->msg == CURLMSG_DONE)
                finish_one(l, m->easy_handle, m->data.result);
        if (l->done == before)
            curl_multi_poll(l->multi, NULL, 0, 100, NULL);
    } while (l->done < n);
    curl_multi_cleanup(l->multi);
    curl_slist_free_all(l->headers);
    return silr_now() - began;
}

/* What the server's own work cost a request, in ms. */
static double cpu_each(int n)
{
    json_t *stats;
    double cpu;

    assert_true(server_stats(&s, &stats));
    cpu = json_number_value(json_object_get(stats, "cpu_seconds"));
    json_decref(stats);
    return cpu * 1000 / n;
}

/* 2,000 requests of 20 ms, 64 at a time: 2000 / 64 * 20 ms = 625 ms, if nothing else took time. */
static void keeps_up(void **state)
{
    const char *args[] = {"--classes", "sports,politics,business,technology", "--latency", "20",
                          NULL};
    struct load l;
    double took, cpu;
    (void)state;

    start(args);
    took = run(&l, 2000, 64);
    cpu = cpu_each(2000);
    print_message(
        "2000 requests of 20 ms, 64 at a time: %.0f ms (ideal: 640), %.3f ms of CPU each\n",
        took * 1000, cpu);
    assert_int_equal(l.ok, 2000);
    assert_true(took >= .625);
    assert_true(took < 2 * SLOW); /* other programs take time, too */
    assert_true(cpu < .3 * SLOW);
    assert_int_equal(server_count(&s, "unique_bodies"), 2000);
    assert_int_equal(server_count(&s, "max_in_flight"), 64);
    assert_int_equal(server_count(&s, "connections") - 4, 64); /* and those for the counts */
    assert_int_equal(server_stop(&s), 0);
}

/* Without latency it does what it can: 10,000 requests. */
static void goes_fast(void **state)
{
    const char *args[] = {"--classes", "sports,politics,business,technology", NULL};
    int n = 10000 / SLOW;
    struct load l;
    double took, cpu;
    (void)state;

    start(args);
    took = run(&l, n, 64);
    cpu = cpu_each(n);
    print_message("%d requests, no latency: %.0f a second, %.3f ms of CPU each\n", n, n / took,
                  cpu);
    assert_int_equal(l.ok, n);
    assert_true(cpu < .3 * SLOW);
    assert_int_equal(server_stop(&s), 0);
}

/* Hundreds wait at once: 600 requests of 300 ms take little more than one. */
static void waits_for_hundreds(void **state)
{
    const char *args[] = {"--latency", "300", NULL};
    struct load l;
    double took;
    (void)state;

    start(args);
    took = run(&l, 600, 600);
    assert_int_equal(l.ok, 600);
    assert_true(took >= .3 && took < .3 + .9 * SLOW);
    assert_int_equal(server_count(&s, "max_in_flight"), 600);
    assert_int_equal(server_stop(&s), 0);
}

/* 40 requests of 20 ms through 4 slots: ten rounds, and the last waits for all of them. */
static void queues_for_slots(void **state)
{
    const char *args[] = {"--latency", "20", "--slots", "4", NULL};
    struct load l;
    double took;
    (void)state;

    start(args);
    took = run(&l, 40, 40);
    assert_int_equal(l.ok, 40);
    assert_true(took >= .2 && took < .2 + .5 * SLOW);
    assert_true(l.longest >= .19);
    assert_int_equal(server_count(&s, "max_working"), 4);
    assert_int_equal(server_count(&s, "max_in_flight"), 40);
    assert_int_equal(server_stop(&s), 0);
}

/* A second's worth at once, and then as many as time gives. */
static void limits_the_rate(void **state)
{
    const char *args[] = {"--rate-limit", "5", NULL};
    struct got g = {0};
    struct load l;
    double took;
    (void)state;

    start(args);
    took = run(&l, 200, 8);
    assert_int_equal(l.other, 0);
    assert_in_range(l.ok, 5, 6 + (int)(5 * took));
    client_chat(&g, &s, "x", "");
    assert_int_equal(g.status, 429);
    assert_string_equal(text_at(g.json, "error/code"), "rate_limit_exceeded");
    assert_non_null(strstr(g.head.data, "Retry-After: 1\r\n"));
    assert_non_null(strstr(g.head.data, "x-ratelimit-remaining-requests: 0\r\n"));
    assert_non_null(strstr(g.head.data, "x-ratelimit-reset-requests: "));
    got_clear(&g);
    assert_int_equal(server_count(&s, "statuses/429"), l.limited + 1);
    assert_int_equal(server_stop(&s), 0);
}

/* A client that goes before its answer was not answered. Those in line move up, and a server that
 * is stopped with requests in line and in work stops. */
static void notices_who_has_gone(void **state)
{
    const char *args[] = {"--latency", "100", "--slots", "1", NULL};
    char *body = chat_body("x", "");
    silr_buf b = {0};
    int fd[3];
    (void)state;

    start(args);
    for (int i = 0; i < 3; i++) {
        fd[i] = raw_connect(&s);
        raw_post(fd[i], body);
        while (server_count(&s, "in_flight") <= i)
            usleep(1000);
    }
    close(fd[0]);
    close(fd[1]);
    assert_int_equal(raw_read(fd[2], &b, 5000), 0);
    close(fd[2]);
    assert_memory_equal(b.data, "HTTP/1.1 200 OK", 15);
    assert_int_equal(server_count(&s, "abandoned"), 2);
    assert_int_equal(server_count(&s, "answers"), 1);
    assert_int_equal(server_count(&s, "answers_twice"), 0);
    for (int i = 0; i < 3; i++) {
        fd[i] = raw_connect(&s);
        raw_post(fd[i], body);
        while (server_count(&s, "in_flight") <= i)
            usleep(1000);
    }
    assert_int_equal(server_stop(&s), 0);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    silr_buf_clear(&b);
    silr_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_up),           cmocka_unit_test(goes_fast),
        cmocka_unit_test(waits_for_hundreds), cmocka_unit_test(queues_for_slots),
        cmocka_unit_test(limits_the_rate),    cmocka_unit_test(notices_who_has_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
