/* test_batch_shared_kill.c - two runs on one cache, both by the Batch API, and the first is killed at any
 * instant: nothing is paid twice, and both end with all answers.
 *
 * As in test_batch_kill.c a counter stands at the instants that others can see: a request is sent, its reply
 * has come, and a file is committed: the run's own, and, after that, the cache. The second run comes before
 * the first goes on. What it finds is free, and sent by it; or in a batch that may be there, and left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include "db/db.h"
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N = 30, KILLED = 9 };

static kit a, b;
static int countdown; /* to the end of the process; 0: it lives */

static void instant(void)
{
    if (countdown > 0 && --countdown == 0)
        _exit(KILLED);
}

silr_status __real_silr_http_send(silr_http *h, const silr_http_request *r, void *tag, silr_error *err);
bool __real_silr_http_next(silr_http *h, silr_http_reply *out);
silr_status __real_silr_db_run(sqlite3 *db, const char *path, sqlite3_stmt *q, int rc, silr_error *err);
silr_status __wrap_silr_http_send(silr_http *h, const silr_http_request *r, void *tag, silr_error *err);
bool __wrap_silr_http_next(silr_http *h, silr_http_reply *out);
silr_status __wrap_silr_db_run(sqlite3 *db, const char *path, sqlite3_stmt *q, int rc, silr_error *err);

silr_status __wrap_silr_http_send(silr_http *h, const silr_http_request *r, void *tag, silr_error *err)
{
    instant();
    return __real_silr_http_send(h, r, tag, err);
}

bool __wrap_silr_http_next(silr_http *h, silr_http_reply *out)
{
    bool got = __real_silr_http_next(h, out);

    if (got)
        instant();
    return got;
}

silr_status __wrap_silr_db_run(sqlite3 *db, const char *path, sqlite3_stmt *q, int rc, silr_error *err)
{
    bool ends = strcmp(sqlite3_sql(q), "COMMIT") == 0;
    silr_status st;

    if (ends)
        instant();
    st = __real_silr_db_run(db, path, q, rc, err);
    if (ends)
        instant();
    return st;
}

/* Runs a in a process of its own, which ends at the n-th instant: its exit code. */
static int run_and_kill(int n)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        silr_error err = {0};
        countdown = n;
        _exit(kit_run(&a, "", N, &err) == SILR_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void must_end_well(kit *k, int n)
{
    silr_error err = {0};

    if (kit_run(k, "", N, &err) != SILR_OK)
        fail_msg("killed at %d: %s", n, err.text);
    kit_all_answered(k, N);
    assert_int_equal(kit_number(k, "SELECT count(*) FROM batch_lines"), 0);
}

static void pays_once_whenever_one_is_killed(void **state)
{
    silr_error err = {0};
    int n = 0, code, sent = 0, left = 0;
    (void)state;

    kit_start(&a, (const char *[]){"--batch-polls", "1", NULL});
    do {
        silr_status st;
        int64_t lines, live;
        kit_renew(&a);
        kit_join(&b, &a);
        code = run_and_kill(++n);
        assert_true(code == 0 || code == KILLED);
        st = kit_run(&b, "", N, &err);
        if (st != SILR_OK && (st != SILR_ELIMIT || !strstr(err.text, "in a batch of another run (/tmp/silr-batch-")))
            fail_msg("killed at %d: %s", n, err.text);
        sent += st == SILR_OK;
        left += st != SILR_OK;
        must_end_well(&a, n);
        must_end_well(&b, n);
        lines = server_count(&a.server, "batch_lines");
        live = server_count(&a.server, "chat");
        if (lines != N - 1 || live < 1 || live > 2) /* the first request: in flight at the kill */
            fail_msg("killed at %d: %d lines were run, and %d requests live", n, (int)lines, (int)live);
        if (kit_ask(a.cache, "SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM holds)") != 0)
            fail_msg("killed at %d: claims are left", n);
    } while (code == KILLED);
    print_message("killed at each of %d instants: the other went on at %d, and left a batch alone at %d\n", n - 1,
                  sent, left);
    assert_true(sent > 10 && left > 10);
    kit_stop(&a);
}

/* a is killed with a file uploaded and no batch made of it. */
static void leave_a_file(void)
{
    bool there = false;

    for (int n = 1; !there; n++) {
        int64_t before = server_count(&a.server, "batches");
        kit_renew(&a);
        kit_join(&b, &a);
        assert_int_equal(run_and_kill(n), KILLED);
        there = server_count(&a.server, "batches") == before &&
                kit_number(&a, "SELECT count(*) FROM batches WHERE state->>'state'='uploaded'") == 1 &&
                kit_ask(a.cache, "SELECT count(*) FROM holds") == 1;
    }
}

/* Its time is over, and another has sent a half: what is left is sent, and not that file. */
static void sends_no_file_of_which_others_have_asked_a_part(void **state)
{
    silr_error err = {0};
    sqlite3 *db;
    (void)state;

    kit_start(&a, (const char *[]){"--batch-polls", "1", NULL});
    leave_a_file();
    assert_int_equal(sqlite3_open(a.cache, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE holds SET until=1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(kit_run(&b, "", N / 2, &err), SILR_OK);
    assert_int_equal(server_count(&a.server, "batch_lines"), N / 2 - 1);
    must_end_well(&a, 0);
    must_end_well(&b, 0);
    assert_int_equal(server_count(&a.server, "batch_lines"), N - 1);
    assert_int_equal(kit_number(&a, "SELECT count(*) FROM batches WHERE state->>'state'='failed'"), 1);
    kit_stop(&a);
}

static pid_t start(kit *k, const char *settings)
{
    pid_t pid = fork();

    if (pid == 0) {
        silr_error err = {0};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(kit_run(k, settings, N, &err) == SILR_OK ? 0 : 1);
    }
    return pid;
}

static void must_come_to(const char *what, int64_t n)
{
    const struct timespec t = {0, 5000000};
    int64_t is = 0;

    for (int i = 0; i < 6000 && is != n; i++) {
        nanosleep(&t, NULL);
        is = server_count(&a.server, what);
    }
    if (is != n)
        fail_msg("%d %s", (int)is, what);
}

/* Its budget allows one batch of ten. While it waits for that, the rest is there for others. */
static void gives_back_what_it_may_not_send(void **state)
{
    silr_error err = {0};
    double cost;
    char settings[120];
    pid_t one, other;
    (void)state;

    kit_start(&a, (const char *[]){"--batch-polls", "1", NULL});
    kit_join(&b, &a);
    assert_int_equal(kit_run(&a, "", 1, &err), SILR_OK);
    cost = (double)kit_number(&a, "SELECT cost * 1e9 FROM answers") / 1e9;
    snprintf(settings, sizeof settings, "batch_lines: 10, max_cost: %.9f", cost * 9);
    a.poll = b.poll = 3600; /* neither looks at its batch */
    one = start(&a, settings);
    must_come_to("batches", 1);
    other = start(&b, "");
    must_come_to("batches", 2);
    a.poll = b.poll = 0;
    kill(one, SIGKILL);
    kill(other, SIGKILL);
    waitpid(one, NULL, 0);
    waitpid(other, NULL, 0);
    assert_int_equal(kit_run(&a, "", N, &err), SILR_ELIMIT); /* each has a batch that the other needs */
    must_end_well(&b, 0);
    must_end_well(&a, 0);
    assert_int_equal(server_count(&a.server, "batch_lines"), N - 1);
    kit_stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pays_once_whenever_one_is_killed),
        cmocka_unit_test(sends_no_file_of_which_others_have_asked_a_part),
        cmocka_unit_test(gives_back_what_it_may_not_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
