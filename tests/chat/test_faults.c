/* test_faults.c - one answer of five is spoilt, in each way that there is: every text gets its label all
 * the same, the right one, in good time; and what happened on the way is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "server/start.h"
#include <stdlib.h>
#include <string.h>

static const struct fault {
    const char *kind;
    size_t texts;
    const char *counted; /* in the run's traffic, as often as the server did it; NULL: it is no fault */
} faults[] = {
    {"429", 40, "HTTP 429"}, /* each says to wait for a second, at times */
    {"429-bare", 200, "HTTP 429"},
    {"500", 200, "HTTP 500"},
    {"503", 200, "HTTP 503"},
    {"408", 200, "HTTP 408"},
    {"redirect", 200, "HTTP 307"},
    {"reset-body", 200, "connection broken"},
    {"truncated-json", 200, "bad answer"},
    {"wrong-json", 200, "bad answer"},
    {"empty-choices", 200, "bad answer"},
    {"html", 200, "bad answer"},
    {"huge", 60, "answer too long"},
    {"trickle", 200, "timeout"},
    {"never", 200, "timeout"},
    {"reset", 200, NULL}, /* of the last two curl asks again by itself, at times */
    {"duplicate", 200, NULL},
    {"gzip", 200, NULL},
    {"chunked", 200, NULL},
    {"invalid-utf8", 200, NULL},
    {"wrong-type", 200, NULL},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static struct program run[FAULTS];
static struct server server[FAULTS];

static void begin(size_t i)
{
    char rate[40];
    const char *args[] = {"--fault", rate, NULL};

    snprintf(rate, sizeof rate, "%s=0.2", faults[i].kind);
    assert_true(server_start(&server[i], args));
    program_make(faults[i].kind, faults[i].texts, "timeout: 1.5");
    /* With this seed no request is struck so often that the waiting gets long. */
    program_start(&run[i], faults[i].kind, server[i].url, "--seed", "5", NULL);
}

static void check(size_t i)
{
    const struct fault *f = &faults[i];
    int64_t spoilt, sent;
    char path[40];

    program_wait(&run[i]);
    if (run[i].code != 0)
        fail_msg("%s: exit code %d: %s", f->kind, run[i].code, run[i].err.data);
    program_look(&run[i]);
    assert_int_equal(run[i].texts, f->texts);
    program_all_right(&run[i]);
    snprintf(path, sizeof path, "faults/%s", f->kind);
    spoilt = server_count(&server[i], path);
    assert_true(spoilt > (int64_t)f->texts / 10); /* else this has tested nothing */
    sent = program_traffic(f->kind, "sent") + program_traffic(f->kind, "sent again");
    assert_int_equal(program_traffic(f->kind, "sent"), f->texts);
    assert_int_equal(program_traffic(f->kind, "answered"), f->texts);
    if (strcmp(f->kind, "reset") != 0 && strcmp(f->kind, "duplicate") != 0)
        assert_int_equal(sent, server_count(&server[i], "chat"));
    if (f->counted) { /* on a busy machine an answer may be late that is not spoilt */
        int64_t late = program_traffic(f->kind, "timeout");
        int64_t seen = program_traffic(f->kind, f->counted);
        if (strcmp(f->counted, "timeout") == 0)
            seen = 0;
        assert_true(seen <= spoilt && spoilt <= seen + late);
        assert_int_equal(sent, (int64_t)f->texts + seen + late);
    }
    assert_int_equal(program_number(f->kind, "SELECT count(*) FROM answers"), f->texts);
    assert_true(server_count(&server[i], "max_in_flight") <= 64);
    print_message("%-16s %4lld spoilt  %6.2f s  %.3f s of CPU\n", f->kind, (long long)spoilt, run[i].seconds,
                  run[i].cpu);
    program_clear(&run[i]);
    server_stop(&server[i]);
}

/* They all wait most of the time: at once. */
static void each_by_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAULTS; i++)
        begin(i);
    for (size_t i = 0; i < FAULTS; i++)
        check(i);
}

static void all_at_once(void **state)
{
    char rate[FAULTS][40];
    const char *args[2 * FAULTS + 3] = {NULL};
    int n = 0;
    (void)state;

    for (size_t i = 0; i < FAULTS; i++) {
        snprintf(rate[i], sizeof rate[i], "%s=%s", faults[i].kind, i == 0 ? "0.002" : "0.02");
        args[n++] = "--fault";
        args[n++] = rate[i];
    }
    args[n++] = "--latency";
    args[n++] = "5";
    assert_true(server_start(&server[0], args));
    program_make("all", 300, "timeout: 1.5");
    assert_int_equal(program_run(&run[0], "all", server[0].url, NULL), 0);
    program_look(&run[0]);
    program_all_right(&run[0]);
    print_message("all: %lld requests for 300 answers, %.2f s\n", (long long)server_count(&server[0], "chat"),
                  run[0].seconds);
    program_clear(&run[0]);
    server_stop(&server[0]);
}

/* Refusals are final: the texts are in failed.jsonl with the reason; asked again, they have their turn. */
static void refusals(void **state)
{
    const char *args[] = {"--fault", "400=0.2", NULL};
    struct program *s = &run[0];
    size_t failed, before = 200;
    int64_t asked;
    silr_buf b = {0};
    (void)state;

    assert_true(server_start(&server[0], args));
    program_make("400", 200, "");
    assert_int_equal(program_run(s, "400", server[0].url, NULL), 4);
    program_look(s);
    failed = program_count_failed(s);
    assert_int_equal(failed, server_count(&server[0], "faults/400"));
    assert_true(failed > 20 && failed == program_count(s, ABSTAINED));
    for (size_t i = 0; i < 200; i++)
        assert_true(s->failed[i] || s->label[i] == (int)(i % 2));
    assert_int_equal(silr_file_read(&b, program_at("400", "run/failed.jsonl"), 1 << 20, NULL), SILR_OK);
    assert_non_null(strstr(b.data, "HTTP 400: Invalid 'messages[0].content'"));
    asked = server_count(&server[0], "chat"); /* a control question among them, if the last was refused */
    assert_true(asked <= 201);
    assert_int_equal(program_run(s, "400", server[0].url, NULL), 4); /* nothing is asked again by itself */
    assert_int_equal(server_count(&server[0], "chat"), asked);
    while (failed > 0) {
        int code = program_run(s, "400", server[0].url, "--retry-failed", NULL);
        program_look(s);
        assert_true(program_count_failed(s) < failed || failed < 5);
        failed = program_count_failed(s);
        assert_int_equal(code, failed > 2 ? 4 : 0); /* annotator.max_failed: one of a hundred */
        assert_true(before-- > 190);
    }
    program_all_right(s);
    assert_int_equal(program_number("400", "SELECT count(*) FROM answers"), 200);
    silr_buf_clear(&b);
    program_clear(s);
    server_stop(&server[0]);
}

/* A gateway of several of which one does not know the key; and a key that none knows. */
static void keys_that_are_refused(void **state)
{
    const char *sometimes[] = {"--fault", "401-sometimes=0.2", NULL}, *never[] = {"--key", "another", NULL};
    struct program *s = &run[0];
    int calls = 1;
    (void)state;

    assert_true(server_start(&server[0], sometimes));
    program_make("401", 200, "");
    while (program_run(s, "401", server[0].url, NULL) == 5 && calls < 5)
        calls++; /* when the very first is refused */
    assert_int_equal(s->code, 0);
    program_look(s);
    program_all_right(s);
    server_stop(&server[0]);

    assert_true(server_start(&server[0], never));
    program_make("wrong", 200, "");
    assert_int_equal(program_run(s, "wrong", server[0].url, NULL), 5);
    assert_true(program_says(s, "is the key the right one?"));
    assert_int_equal(server_count(&server[0], "chat"), 1);
    program_look(s);
    assert_int_equal(program_count(s, NOT_ASKED), 200);
    assert_int_equal(program_traffic("wrong", "HTTP 401"), 1);
    program_clear(s);
    server_stop(&server[0]);
}

/* No money, no waiting: it ends at once, and goes on where it was. */
static void a_quota_that_is_used_up(void **state)
{
    const char *args[] = {"--fault", "429-quota=0.05", NULL};
    struct program *s = &run[0];
    int calls = 0;
    (void)state;

    assert_true(server_start(&server[0], args));
    program_make("quota", 200, "");
    while (program_run(s, "quota", server[0].url, NULL) == 5) {
        assert_true(program_says(s, "quota") && s->seconds < 10);
        program_look(s);
        assert_int_equal(program_count_failed(s), 0);
        assert_true(++calls < 30);
    }
    assert_true(calls > 0);
    assert_int_equal(s->code, 0);
    program_look(s);
    program_all_right(s);
    assert_int_equal(server_count(&server[0], "answers_twice"), 0);
    program_clear(s);
    server_stop(&server[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_by_itself),        cmocka_unit_test(all_at_once),
        cmocka_unit_test(refusals),              cmocka_unit_test(keys_that_are_refused),
        cmocka_unit_test(a_quota_that_is_used_up),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
