/* test_shared.c - two runs at once through one cache file: the server sees each request once.
 *
 * Both begin at the same instant with the same texts, each with a run.db of its own. Whatever becomes
 * of one of them, the other has all answers in the end, and what was asked twice is at most what was in
 * flight at a kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "server/start.h"
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXTS = 400, CONCURRENCY = 16, LEASE = 25 /* seconds; a little less than a lease */ };

static struct program a, b;
static struct server server;

static void sleep_for(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* Folders NAMEa and NAMEb with a cache beside them, and a server. */
static void make(const char *name, const char *const *args, char one[40], char other[40])
{
    char more[200];

    snprintf(one, 40, "%sa", name);
    snprintf(other, 40, "%sb", name);
    snprintf(more, sizeof more, "concurrency: %d, cache: ../%s.db", CONCURRENCY, name);
    program_make(one, TEXTS, more);
    program_make(other, TEXTS, more);
    assert_true(server_start(&server, args));
}

static void all_right(struct program *s)
{
    program_look(s);
    assert_int_equal(s->texts, TEXTS);
    program_all_right(s);
}

/* No claim is left behind. */
static void nothing_claimed(const char *name)
{
    char file[60];
    sqlite3 *db;
    sqlite3_stmt *q;

    snprintf(file, sizeof file, "%s.db", name);
    assert_int_equal(sqlite3_open(program_at(file, ""), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM owners)",
                                        -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
}

/* It came to a good end; if not, what it said of that. */
static void ended_well(const struct program *s)
{
    if (s->code != 0)
        fail_msg("exit code %d after %.1f s: %s", s->code, s->seconds, s->err.data ? s->err.data : "");
}

static void done(void)
{
    program_clear(&a);
    program_clear(&b);
    server_stop(&server);
}

/* Nothing is known of the server, either: what the one finds out, the other hears. */
static void each_request_once(void **state)
{
    const char *args[] = {"--latency", "20", NULL};
    char one[40], other[40];
    int64_t own, taken;
    (void)state;

    make("once", args, one, other);
    program_start(&a, one, server.url, NULL);
    program_start(&b, other, server.url, NULL);
    program_wait(&a);
    program_wait(&b);
    ended_well(&a);
    ended_well(&b);
    all_right(&a);
    all_right(&b);
    assert_int_equal(server_count(&server, "chat"), TEXTS);
    own = program_number(one, "SELECT count(*) FROM answers WHERE origin=0");
    taken = program_number(one, "SELECT count(*) FROM answers WHERE origin=2");
    assert_int_equal(own + taken, TEXTS);
    assert_int_equal(program_number(other, "SELECT count(*) FROM answers WHERE origin=0"), taken);
    print_message("%lld asked by the one, %lld by the other, %.2f and %.2f s\n", (long long)own,
                  (long long)taken, a.seconds, b.seconds);
    assert_true(own > TEXTS / 10 && taken > TEXTS / 10); /* they have shared the work */
    nothing_claimed("once");
    done();
}

/* Failures that pass are passed by the run that met them. */
static void also_where_answers_fail(void **state)
{
    const char *args[] = {"--latency", "5", "--fault", "429=0.1", "--fault", "503=0.1", NULL};
    char one[40], other[40];
    (void)state;

    make("faults", args, one, other);
    program_start(&a, one, server.url, NULL);
    program_start(&b, other, server.url, NULL);
    program_wait(&a);
    program_wait(&b);
    ended_well(&a);
    ended_well(&b);
    all_right(&a);
    all_right(&b);
    assert_int_equal(server_count(&server, "answers"), TEXTS);
    assert_int_equal(server_count(&server, "answers_twice"), 0);
    nothing_claimed("faults");
    done();
}

/* One is killed: the other takes over what it had in flight, and the killed one goes on at once. */
static void a_kill_costs_what_was_in_flight(void **state)
{
    const char *args[] = {"--latency", "30", NULL};
    char one[40], other[40];
    int64_t seen;
    (void)state;

    make("kill", args, one, other);
    program_start(&a, one, server.url, NULL);
    program_start(&b, other, server.url, NULL);
    for (int i = 0; i < 1000 && server_count(&server, "chat") < TEXTS / 3; i++)
        sleep_for(0.005);
    kill(a.pid, SIGKILL);
    program_wait_killed(&a);
    program_wait(&b);
    ended_well(&b);
    all_right(&b);
    assert_true(b.seconds < LEASE); /* nobody has waited for one to end */
    program_start(&a, one, server.url, NULL);
    program_wait(&a);
    ended_well(&a);
    all_right(&a);
    seen = server_count(&server, "chat");
    print_message("%lld requests for %d texts\n", (long long)seen, TEXTS);
    assert_in_range(seen, TEXTS, TEXTS + CONCURRENCY);
    done();
}

/* Its own claims of before are no obstacle to one that is begun again, with nobody else there. */
static void a_killed_one_goes_on_at_once(void **state)
{
    const char *args[] = {"--latency", "50", NULL};
    char one[40], other[40];
    (void)state;

    make("again", args, one, other);
    for (int kills = 0; kills < 4; kills++) {
        program_start(&a, one, server.url, NULL);
        sleep_for(0.3);
        kill(a.pid, SIGKILL);
        program_wait_killed(&a);
    }
    program_start(&a, one, server.url, NULL);
    program_wait(&a);
    ended_well(&a);
    all_right(&a);
    assert_true(a.seconds < LEASE);
    assert_in_range(server_count(&server, "chat"), TEXTS, TEXTS + 4 * CONCURRENCY);
    done();
}

/* Ctrl-C: what is in flight is waited for, and the rest is the other's. */
static void an_interrupted_one_leaves_the_rest(void **state)
{
    const char *args[] = {"--latency", "30", NULL};
    char one[40], other[40];
    (void)state;

    make("stop", args, one, other);
    program_start(&a, one, server.url, NULL);
    program_start(&b, other, server.url, NULL);
    for (int i = 0; i < 1000 && server_count(&server, "chat") < TEXTS / 3; i++)
        sleep_for(0.005);
    kill(a.pid, SIGINT);
    program_wait(&a);
    assert_int_not_equal(a.code, 0);
    program_wait(&b);
    ended_well(&b);
    all_right(&b);
    assert_int_equal(server_count(&server, "chat"), TEXTS);
    nothing_claimed("stop");
    done();
}

/* A limit is reached by what a run has sent itself. */
static void limits_count_what_is_sent(void **state)
{
    const char *args[] = {"--latency", "20", NULL};
    char one[40], other[40];
    (void)state;

    make("limit", args, one, other);
    program_start(&a, one, server.url, "--max-requests", "100", NULL);
    program_start(&b, other, server.url, "--max-requests", "300", NULL);
    program_wait(&a);
    program_wait(&b);
    assert_int_equal(server_count(&server, "chat"), TEXTS);
    assert_int_equal(program_number(one, "SELECT count(*) FROM answers WHERE origin=0"), 100);
    assert_int_equal(program_number(other, "SELECT count(*) FROM answers WHERE origin=0"), 300);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_once),
        cmocka_unit_test(also_where_answers_fail),
        cmocka_unit_test(a_kill_costs_what_was_in_flight),
        cmocka_unit_test(a_killed_one_goes_on_at_once),
        cmocka_unit_test(an_interrupted_one_leaves_the_rest),
        cmocka_unit_test(limits_count_what_is_sent),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
