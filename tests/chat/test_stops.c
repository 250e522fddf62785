/* test_stops.c - Ctrl-C, limits of the user's, and servers that go away: what was answered is kept,
 * nothing is marked as failed, and the same command goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "server/start.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct program s;
static struct server server;

static void sleep_for(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static void serve(const char *const *args)
{
    assert_true(server_start(&server, args));
}

static int stop(void **state)
{
    (void)state;
    if (server.pid > 0)
        server_stop(&server);
    program_clear(&s);
    return 0;
}

/* Until the server has received so many requests. */
static void wait_for_requests(int64_t n)
{
    for (int i = 0; i < 5000 && server_count(&server, "chat") < n; i++)
        sleep_for(0.002);
}

/* As many as are answered; none has failed. */
static size_t answered(void)
{
    program_look(&s);
    assert_int_equal(program_count_failed(&s), 0);
    for (size_t i = 0; i < s.texts; i++)
        assert_true(s.label[i] == NOT_ASKED || s.label[i] == (int)(i % 2));
    return s.texts - program_count(&s, NOT_ASKED);
}

static void ends_well(const char *name)
{
    if (program_run(&s, name, server.url, NULL) != 0)
        fail_msg("%s: %d, %s", name, s.code, s.err.data);
    program_look(&s);
    program_all_right(&s);
}

static void restart(unsigned port)
{
    char number[16];
    const char *args[] = {"--port", number, "--latency", "10", NULL};

    snprintf(number, sizeof number, "%u", port);
    serve(args);
}

/* --- Ctrl-C -------------------------------------------------------------------------------------- */

static void once_finishes_what_is_in_flight(void **state)
{
    const char *args[] = {"--latency", "60", NULL};
    (void)state;

    serve(args);
    program_make("int", 200, "concurrency: 8");
    program_start(&s, "int", server.url, NULL);
    wait_for_requests(20);
    kill(s.pid, SIGINT);
    program_wait(&s);
    assert_int_equal(s.code, 130);
    assert_true(program_says(&s, "the same command goes on from there"));
    assert_int_equal(answered(), server_count(&server, "chat")); /* none was for nothing */
    assert_int_equal(server_count(&server, "abandoned"), 0);
    assert_true(answered() < 60);
    ends_well("int");
    assert_int_equal(server_count(&server, "chat"), 200);
}

static void twice_stops_at_once(void **state)
{
    const char *args[] = {"--latency", "20000", NULL};
    unsigned port;
    double began;
    (void)state;

    serve(args);
    port = server.port;
    program_make("int2", 20, "concurrency: 4");
    program_start(&s, "int2", server.url, NULL);
    wait_for_requests(1);
    kill(s.pid, SIGINT);
    sleep_for(0.1);
    began = silr_now();
    kill(s.pid, SIGINT);
    program_wait(&s);
    assert_int_equal(s.code, 130);
    assert_true(silr_now() - began < 2);
    server_stop(&server);
    restart(port);
    ends_well("int2");
}

/* While it waits for a server that has said to come back in a minute. */
static void in_the_middle_of_a_wait(void **state)
{
    const char *args[] = {"--rate-limit", "0.01", NULL};
    double began;
    (void)state;

    serve(args);
    program_make("wait", 20, "");
    program_start(&s, "wait", server.url, NULL);
    wait_for_requests(1);
    sleep_for(0.3);
    began = silr_now();
    kill(s.pid, SIGTERM);
    program_wait(&s);
    assert_int_equal(s.code, 130);
    assert_true(silr_now() - began < 2);
    assert_int_equal(answered(), 1);
}

/* --- outages ------------------------------------------------------------------------------------- */

static void the_server_comes_back(void **state)
{
    const char *args[] = {"--latency", "10", NULL};
    unsigned port;
    size_t before;
    (void)state;

    serve(args);
    port = server.port;
    program_make("back", 400, "concurrency: 8");
    program_start(&s, "back", server.url, NULL);
    wait_for_requests(100);
    kill(server.pid, SIGKILL);
    before = (size_t)program_number("back", "SELECT count(*) FROM annotations");
    sleep_for(1);
    server_stop(&server);
    restart(port);
    program_wait(&s);
    assert_int_equal(s.code, 0);
    program_look(&s);
    program_all_right(&s);
    assert_true(before > 50 && before < 350);
    assert_true(program_traffic("back", "no connection") > 0);
}

static void the_server_stays_away(void **state)
{
    const char *args[] = {"--latency", "10", NULL};
    unsigned port;
    size_t n;
    (void)state;

    serve(args);
    port = server.port;
    program_make("away", 400, "concurrency: 8, retries: 3");
    program_start(&s, "away", server.url, NULL);
    wait_for_requests(100);
    kill(server.pid, SIGKILL);
    program_wait(&s);
    assert_int_equal(s.code, 5);
    assert_true(s.seconds < 30 && program_says(&s, "answers nobody") && program_says(&s, server.url));
    n = answered();
    assert_true(n > 50 && n < 350);
    server_stop(&server);
    restart(port);
    ends_well("away");
    assert_int_equal(server_count(&server, "chat"), 400 - (int)n); /* what was kept is not asked again */
}

static void nobody_there_from_the_start(void **state)
{
    unsigned port;
    (void)state;

    serve(NULL);
    port = server.port;
    server_stop(&server);
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%u/v1", port);
    program_make("nobody", 20, "retries: 3");
    assert_int_equal(program_run(&s, "nobody", server.url, NULL), 5);
    assert_true(s.seconds < 20 && program_says(&s, "no connection") && program_says(&s, server.url));
    assert_int_equal(answered(), 0);
    assert_true(program_traffic("nobody", "no connection") >= 4); /* the account is kept all the same */
    assert_int_equal(program_run(&s, "nobody", server.url, "--set", "annotator.key_env=NO_SUCH_KEY", NULL), 5);
    assert_true(program_says(&s, "NO_SUCH_KEY is not set"));
    restart(port);
    ends_well("nobody");
    program_make("nowhere", 20, "retries: 1");
    assert_int_equal(program_run(&s, "nowhere", "http://no-such-host.invalid/v1", NULL), 5);
}

/* --- limits -------------------------------------------------------------------------------------- */

static void so_many_requests(void **state)
{
    const char *args[] = {"--latency", "10", NULL};
    int64_t before = 0;
    (void)state;

    serve(args);
    program_make("requests", 100, "");
    for (int i = 0; i < 5; i++) {
        int code = program_run(&s, "requests", server.url, "--max-requests", "22", NULL);
        assert_int_equal(code, i < 4 ? 6 : 0);
        assert_true(code == 0 || program_says(&s, "--max-requests"));
        assert_int_equal(server_count(&server, "chat") - before, i < 4 ? 22 : 12);
        before = server_count(&server, "chat");
        assert_int_equal(answered(), before);
    }
}

/* The rounds of one call have one limit. */
static void over_all_rounds(void **state)
{
    (void)state;
    serve(NULL);
    program_make("rounds", 20, "self_refine: 2");
    assert_int_equal(program_run(&s, "rounds", server.url, "--max-requests", "30", NULL), 6);
    assert_int_equal(server_count(&server, "chat"), 30);
    assert_int_equal(program_run(&s, "rounds", server.url, "--max-requests", "30", NULL), 0);
    assert_int_equal(server_count(&server, "chat"), 60);
}

/* Failures count as what was sent. */
static void with_failures_on_the_way(void **state)
{
    const char *args[] = {"--fault", "500=0.3", NULL};
    int64_t before = 0;
    int calls = 0;
    (void)state;

    serve(args);
    program_make("spoilt", 60, "");
    while (program_run(&s, "spoilt", server.url, "--max-requests", "25", NULL) == 6) {
        assert_int_equal(server_count(&server, "chat") - before, 25);
        before = server_count(&server, "chat");
        assert_true(++calls < 10);
    }
    assert_true(s.code == 0 && calls >= 2);
    answered();
    program_all_right(&s);
}

static void so_much_time(void **state)
{
    const char *args[] = {"--latency", "100", NULL};
    (void)state;

    serve(args);
    program_make("time", 100, "concurrency: 2");
    assert_int_equal(program_run(&s, "time", server.url, "--max-time", "0.8", NULL), 6);
    assert_true(program_says(&s, "--max-time") && s.seconds > 0.7 && s.seconds < 4);
    assert_int_equal(answered(), server_count(&server, "chat"));
    assert_int_equal(program_run(&s, "time", server.url, "--max-time", "100", "--set", "annotator.concurrency=64",
                                 NULL), 0);
}

static double cost(const char *name)
{
    return (double)program_number(name, "SELECT cast(round(1e9*sum(cost)) as integer) FROM answers") / 1e9;
}

/* The budget is never exceeded, and nearly all of it is used: by the tokens that the server counts. */
static void so_much_money(void **state)
{
    const char *args[] = {"--latency", "5", NULL};
    double whole, spent = 0, dearest;
    int calls = 0;
    (void)state;

    serve(args);
    program_make("free", 300, "prices: {m: {input: 1, output: 2}}");
    assert_int_equal(program_run(&s, "free", server.url, NULL), 0);
    whole = cost("free");
    dearest = (double)program_number("free", "SELECT cast(round(1e9*max(cost)) as integer) FROM answers") / 1e9;
    assert_true(whole > 0);
    program_make("money", 300, "prices: {m: {input: 1, output: 2}}");
    for (double share = 0.1; share < 1; share += 0.3, calls++) {
        char limit[40];
        snprintf(limit, sizeof limit, "%.9f", share * whole);
        assert_int_equal(program_run(&s, "money", server.url, "--max-cost", limit, NULL), 6);
        assert_true(program_says(&s, "--max-cost"));
        spent = cost("money");
        if (spent > share * whole + 1e-12 || spent < share * whole - 3 * dearest)
            fail_msg("%.9f of %.9f is spent", spent, share * whole);
        answered();
    }
    assert_int_equal(program_run(&s, "money", server.url, "--max-cost", "1000", NULL), 0);
    assert_true(fabs(cost("money") - whole) < 1e-9);
    assert_int_equal(program_run(&s, "free", server.url, "--max-cost", "0.00000001", NULL), 0); /* all is there */
}

/* Short texts first, then long ones: what comes is not as cheap as what came. */
static void texts_of_all_lengths(void **state)
{
    silr_buf texts = {0};
    silr_error err;
    (void)state;

    serve(NULL);
    program_make("long", 100, "prices: {m: {input: 1, output: 2}}");
    for (int i = 0; i < 100; i++) {
        silr_buf_printf(&texts, "{\"id\":\"t%d\",\"text\":\"text %d [[%s]]", i, i, i % 2 ? "negative" : "positive");
        for (int k = 0; k < (i < 50 ? 0 : 2000); k++)
            silr_buf_puts(&texts, " word");
        silr_buf_puts(&texts, "\"}\n");
    }
    assert_int_equal(silr_file_write(program_at("long", "texts.jsonl"), texts.data, texts.len, &err), SILR_OK);
    silr_buf_clear(&texts);
    assert_int_equal(program_run(&s, "long", server.url, "--max-cost", "0.02", NULL), 6);
    assert_true(cost("long") <= 0.02 && cost("long") > 0.01);
    /* not even the first fits */
    program_make("tiny", 5, "prices: {m: {input: 1, output: 2}}");
    assert_int_equal(program_run(&s, "tiny", server.url, "--max-cost", "0.00001", NULL), 6);
    assert_int_equal(program_number("tiny", "SELECT count(*) FROM answers"), 0);
}

/* --- how many at once ---------------------------------------------------------------------------- */

static void as_many_as_the_server_bears(void **state)
{
    const char *slots[] = {"--latency", "20", "--slots", "8", NULL};
    const char *rate[] = {"--latency", "10", "--rate-limit", "60", NULL};
    double ideal;
    (void)state;

    serve(slots); /* more stand in line and do no harm */
    program_make("slots", 600, "");
    assert_int_equal(program_run(&s, "slots", server.url, NULL), 0);
    ideal = 600 * 0.02 / 8;
    assert_int_equal(server_count(&server, "max_working"), 8);
    assert_true(server_count(&server, "max_in_flight") <= 64);
    print_message("8 slots: %.2f s (%.2f)\n", s.seconds, ideal);
    assert_true(s.seconds < 2 * ideal + 1);
    server_stop(&server);

    serve(rate); /* 60 at once, then 60 a second */
    program_make("rate", 300, "");
    assert_int_equal(program_run(&s, "rate", server.url, NULL), 0);
    ideal = (300 - 60) / 60.0;
    print_message("60 a second: %.2f s (%.2f), %lld sent away\n", s.seconds, ideal,
                  (long long)program_traffic("rate", "HTTP 429"));
    assert_true(program_traffic("rate", "HTTP 429") < 150);
    assert_true(s.seconds < 3 * ideal);
    program_look(&s);
    program_all_right(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(once_finishes_what_is_in_flight, stop),
        cmocka_unit_test_teardown(twice_stops_at_once, stop),
        cmocka_unit_test_teardown(in_the_middle_of_a_wait, stop),
        cmocka_unit_test_teardown(the_server_comes_back, stop),
        cmocka_unit_test_teardown(the_server_stays_away, stop),
        cmocka_unit_test_teardown(nobody_there_from_the_start, stop),
        cmocka_unit_test_teardown(so_many_requests, stop),
        cmocka_unit_test_teardown(over_all_rounds, stop),
        cmocka_unit_test_teardown(with_failures_on_the_way, stop),
        cmocka_unit_test_teardown(so_much_time, stop),
        cmocka_unit_test_teardown(so_much_money, stop),
        cmocka_unit_test_teardown(texts_of_all_lengths, stop),
        cmocka_unit_test_teardown(as_many_as_the_server_bears, stop),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
