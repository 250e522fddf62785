/* test_batch_shared.c - two runs through one cache file, one of them or both by the Batch API: no request is
 * sent twice, also when the run that has sent a batch is not there any more. */
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

enum { TEXTS = 300, MORE = 40, BY_LIMIT = 6 /* exit code */ };

static struct program a, b;
static struct server server;
static char one[40], other[40], cache[60];

static const char batch[] = "annotator.batch=true", live[] = "annotator.batch=false";
static const char late[] = "annotator.batch_poll=3600"; /* the first look comes after minutes */

/* Folders NAMEa and NAMEb with a cache beside them, and a server. */
static void make(const char *name, size_t texts, const char *const *args)
{
    char more[200];

    snprintf(one, sizeof one, "%sa", name);
    snprintf(other, sizeof other, "%sb", name);
    snprintf(cache, sizeof cache, "%s.db", name);
    snprintf(more, sizeof more, "concurrency: 8, batch_poll: 0.01, retries: 20, cache: ../%s", cache);
    program_make(one, TEXTS, more);
    program_make(other, texts, more);
    assert_true(server_start(&server, args));
}

static void done(void)
{
    program_clear(&a);
    program_clear(&b);
    server_stop(&server);
}

static void all_right(struct program *s, size_t texts)
{
    if (s->code != 0)
        fail_msg("exit code %d after %.1f s: %s", s->code, s->seconds, s->err.data ? s->err.data : "");
    program_look(s);
    assert_int_equal(s->texts, texts);
    program_all_right(s);
}

static int64_t in_cache(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    int64_t n;

    assert_int_equal(sqlite3_open(program_at(cache, ""), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void nothing_claimed(void)
{
    assert_int_equal(in_cache("SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM owners) +"
                              " (SELECT count(*) FROM holds)"), 0);
}

static int64_t asked(void)
{
    return server_count(&server, "chat") + server_count(&server, "batch_lines");
}

static void nap(void)
{
    const struct timespec t = {0, 5000000};
    nanosleep(&t, NULL);
}

/* a sends a batch of all its texts but the first, and is gone. */
static void leave_a_batch(int sig)
{
    program_start(&a, one, server.url, "--set", batch, "--set", late, NULL);
    for (int i = 0; i < 10000 && server_count(&server, "batches") == 0; i++)
        nap();
    kill(a.pid, sig);
    program_wait_killed(&a);
    assert_int_not_equal(a.code, 0);
    assert_int_equal(server_count(&server, "batches"), 1);
    assert_int_equal(in_cache("SELECT count(*) FROM claims"), TEXTS - 1);
}

/* --- both are there ------------------------------------------------------------------------------ */

static void at_once(const char *name, const char *const *args, const char *how)
{
    make(name, TEXTS, args);
    program_start(&a, one, server.url, "--set", batch, NULL);
    program_start(&b, other, server.url, "--set", how, NULL);
    program_wait(&a);
    program_wait(&b);
    all_right(&a, TEXTS);
    all_right(&b, TEXTS);
    assert_int_equal(server_count(&server, "answers"), TEXTS);
    assert_int_equal(server_count(&server, "answers_twice"), 0);
    nothing_claimed();
}

static void two_batches_at_once(void **state)
{
    const char *args[] = {"--batch-polls", "3", NULL};
    (void)state;

    at_once("two", args, batch);
    assert_int_equal(server_count(&server, "chat"), 1);
    assert_int_equal(server_count(&server, "batch_lines"), TEXTS - 1);
    done();
}

static void a_batch_and_live_at_once(void **state)
{
    const char *args[] = {"--batch-polls", "3", "--latency", "5", NULL};
    (void)state;

    at_once("mix", args, live);
    assert_int_equal(asked(), TEXTS);
    print_message("%d live, %d by batch\n", (int)server_count(&server, "chat"),
                  (int)server_count(&server, "batch_lines"));
    done();
}

/* What failed in the one's batch may be sent by the other. */
static void also_where_lines_fail(void **state)
{
    const char *args[] = {"--batch-polls", "1", "--batch-errors", "0.3", NULL};
    (void)state;

    at_once("fail", args, batch);
    done();
}

/* --- one is not ---------------------------------------------------------------------------------- */

/* Its batch is left to it; what else there is to ask is asked; and the answers come when it goes on. */
static void a_batch_is_left_to_its_run(void **state)
{
    const char *args[] = {"--batch-polls", "1", NULL};
    static const struct {
        const char *name, *how;
        int sig;
    } row[] = {{"leftkb", batch, SIGKILL}, {"leftkl", live, SIGKILL}, {"leftib", batch, SIGINT}, {"leftil", live, SIGINT}};
    char of[400];
    (void)state;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        make(row[i].name, TEXTS + MORE, args);
        leave_a_batch(row[i].sig);
        snprintf(of, sizeof of, "%d requests are in a batch of another run (%s) until 20", TEXTS - 1,
                 program_at(one, "run"));
        for (int again = 0; again < 2; again++) {
            assert_int_equal(program_run(&b, other, server.url, "--set", row[i].how, NULL), BY_LIMIT);
            if (!program_says(&b, of) || !program_says(&b, "; the answers are kept, the same command goes on"))
                fail_msg("\"%s\" lacks \"%s\"", b.err.data, of);
            assert_int_equal(asked() - (TEXTS - 1) * (server_count(&server, "batch_lines") >= TEXTS - 1), 1 + MORE);
        }
        program_run(&a, one, server.url, "--set", batch, NULL);
        all_right(&a, TEXTS);
        program_run(&b, other, server.url, "--set", row[i].how, NULL);
        all_right(&b, TEXTS + MORE);
        assert_int_equal(asked(), TEXTS + MORE);
        nothing_claimed();
        done();
    }
}

/* While it is there it is waited for, and not longer. */
static void waits_as_long_as_the_other_does(void **state)
{
    const char *args[] = {"--batch-polls", "1", NULL};
    const char *how[] = {batch, live};
    (void)state;

    for (int i = 0; i < 2; i++) {
        silr_buf said = {0};
        make(i ? "waitl" : "waitb", TEXTS, args);
        program_start(&a, one, server.url, "--set", batch, "--set", late, NULL);
        for (int k = 0; k < 10000 && server_count(&server, "batches") == 0; k++)
            nap();
        program_start(&b, other, server.url, "--set", how[i], "-v", NULL);
        for (int k = 0; k < 10000 && !(said.data && strstr(said.data, "waiting for 299 requests that another run (")); k++) {
            nap();
            silr_buf_reset(&said);
            silr_file_read(&said, program_at(other, "err.txt"), 1 << 20, NULL);
        }
        silr_buf_clear(&said);
        kill(a.pid, SIGKILL);
        program_wait_killed(&a);
        program_wait(&b);
        assert_int_equal(b.code, BY_LIMIT);
        assert_true(program_says(&b, "in a batch of another run"));
        assert_int_equal(server_count(&server, "chat"), 1);
        assert_int_equal(server_count(&server, "batches"), 1);
        done();
    }
}

/* Of a run that was deleted. To make it anew in the same folder does not send its requests again, either;
 * after the time to which they were held whoever comes sends them. */
static void no_batch_holds_for_ever(void **state)
{
    const char *args[] = {"--batch-polls", "1", NULL};
    const char *how[] = {batch, live};
    (void)state;

    for (int i = 0; i < 2; i++) {
        make(i ? "overl" : "overb", TEXTS, args);
        leave_a_batch(SIGKILL);
        assert_in_range(in_cache("SELECT until - unixepoch() FROM holds"), 24 * 3600, 26 * 3600); /* this server tells a time long past */
        assert_int_equal(unlink(program_at(one, "run/run.db")), 0);
        unlink(program_at(one, "run/run.db-wal"));
        unlink(program_at(one, "run/run.db-shm"));
        assert_int_equal(program_run(&a, one, server.url, "--set", batch, NULL), BY_LIMIT);
        assert_true(program_says(&a, "in a batch of another run"));
        assert_int_equal(server_count(&server, "batches"), 1);
        in_cache("UPDATE holds SET until=unixepoch()-1");
        program_run(&b, other, server.url, "--set", how[i], NULL);
        all_right(&b, TEXTS);
        assert_int_equal(asked(), TEXTS);
        program_run(&a, one, server.url, "--set", batch, NULL);
        all_right(&a, TEXTS);
        assert_int_equal(asked(), TEXTS);
        nothing_claimed();
        done();
    }
}

/* It comes back after its time, when another has sent them again: both are answered. */
static void late_is_not_lost(void **state)
{
    const char *args[] = {"--batch-polls", "1", NULL};
    (void)state;

    make("late", TEXTS, args);
    leave_a_batch(SIGKILL);
    in_cache("UPDATE holds SET until=unixepoch()-1");
    program_start(&b, other, server.url, "--set", batch, "--set", late, NULL);
    for (int i = 0; i < 10000 && server_count(&server, "batches") < 2; i++)
        nap();
    program_run(&a, one, server.url, "--set", batch, NULL);
    all_right(&a, TEXTS);
    assert_int_equal(program_number(one, "SELECT count(*) FROM answers WHERE origin=1"), TEXTS - 1);
    kill(b.pid, SIGKILL);
    program_wait_killed(&b);
    program_run(&b, other, server.url, "--set", batch, NULL);
    all_right(&b, TEXTS);
    assert_int_equal(in_cache("SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM holds)"), 0);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_batches_at_once),
        cmocka_unit_test(a_batch_and_live_at_once),
        cmocka_unit_test(also_where_lines_fail),
        cmocka_unit_test(a_batch_is_left_to_its_run),
        cmocka_unit_test(waits_as_long_as_the_other_does),
        cmocka_unit_test(no_batch_holds_for_ever),
        cmocka_unit_test(late_is_not_lost),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
