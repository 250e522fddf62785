/* test_batch_kill.c - a process that ends at any instant of a batch leaves nothing that would have to
 * be paid twice.
 *
 * The instants that matter are those around what others see: a request is sent, its reply has come, a
 * transaction is ended. The linker puts a counter there (--wrap), and at the n-th the process is gone,
 * for every n that there is. The next one must end with all answers, of one batch, whose lines were
 * run once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 40, KILLED = 9 };

static kit k;
static int countdown; /* to the end of the process; 0: it lives */

static void instant(void)
{
    if (countdown > 0 && --countdown == 0)
        _exit(KILLED);
}

silr_status __real_silr_http_send(silr_http *h, const silr_http_request *r, void *tag,
                                  silr_error *err);
bool __real_silr_http_next(silr_http *h, silr_http_reply *out);
silr_status __real_silr_ledger_commit(silr_ledger *l, silr_error *err);
silr_status __wrap_silr_http_send(silr_http *h, const silr_http_request *r, void *tag,
                                  silr_error *err);
bool __wrap_silr_http_next(silr_http *h, silr_http_reply *out);
silr_status __wrap_silr_ledger_commit(silr_ledger *l, silr_error *err);

silr_status __wrap_silr_http_send(silr_http *h, const silr_http_request *r, void *tag,
                                  silr_error *err)
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

silr_status __wrap_silr_ledger_commit(silr_ledger *l, silr_error *err)
{
    silr_status st;

    instant();
    st = __real_silr_ledger_commit(l, err);
    instant();
    return st;
}

/* Runs in a process of its own, which ends at the n-th instant, or with the m-th answer: its exit code. */
static int run_and_kill(int n, int m, const char *settings)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        silr_error err = {0};
        countdown = n;
        k.kill_in = m;
        _exit(kit_run(&k, settings, N, &err) == SILR_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

/* What the one that was killed left is gone on from. */
static void must_end_well(int64_t batches, int64_t files, int n)
{
    silr_error err = {0};
    silr_status st = kit_run(&k, "", N, &err);

    if (st != SILR_OK)
        fail_msg("killed at %d: %s", n, err.text);
    kit_all_answered(&k, N);
    if (server_count(&k.server, "batch_lines") != N - 1)
        fail_msg("killed at %d: %d lines were run", n, (int)server_count(&k.server, "batch_lines"));
    assert_int_equal(server_count(&k.server, "batches"), batches);
    assert_in_range(server_count(&k.server, "files"), files,
                    files + 1); /* a second upload at most */
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
    kit_only_ledger(&k);
}

static void survives_a_kill_at_every_instant(void **state)
{
    int n = 0, code;
    int64_t files = 0;
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "1", NULL});
    do {
        kit_renew(&k);
        code = run_and_kill(++n, 0, "");
        assert_true(code == 0 || code == KILLED);
        must_end_well(n, files + 2, n);
        files = server_count(&k.server, "files");
    } while (code == KILLED);
    print_message("killed at each of %d instants\n", n - 1);
    assert_true(n > 20);
    kit_stop(&k);
}

/* In the middle of its answers, and of a transaction. */
static void survives_a_kill_among_answers(void **state)
{
    static const int at[] = {2, 3, 20, N - 1, N};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "1", NULL});
    for (int i = 0; i < (int)(sizeof at / sizeof *at); i++) {
        kit_renew(&k);
        assert_int_equal(run_and_kill(0, at[i], ""), KILLED);
        k.kill_in = 0;
        must_end_well(i + 1, server_count(&k.server, "files"), at[i]);
    }
    kit_stop(&k);
}

/* With three batches under way, and lines that fail: those are run again, and only those. */
static void survives_with_several_batches(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "1", "--batch-errors", "0.2", NULL});
    for (int n = 5; n < 60; n += 11) {
        kit_renew(&k);
        assert_true(run_and_kill(n, 0, "batch_lines: 15") == KILLED);
        if (kit_run(&k, "batch_lines: 15, retries: 20", N, &err) != SILR_OK)
            fail_msg("killed at %d: %s", n, err.text);
        kit_all_answered(&k, N);
        assert_in_range(server_count(&k.server, "answers"), N, N + 1); /* one live, in flight */
        assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
    }
    kit_stop(&k);
}

/* The one instant between a batch and our knowing of it, on a server that keeps no list: it may be paid
 * twice, which is said, and goes on. */
static void goes_on_where_nothing_is_listed(void **state)
{
    silr_error err = {0};
    int64_t batches = 0;
    bool there = false;
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "0", "--batch-no-list", NULL});
    for (int n = 1; n < 30 && !there; n++) {
        kit_renew(&k);
        batches = server_count(&k.server, "batches");
        run_and_kill(n, 0, "");
        there =
            server_count(&k.server, "batches") > batches &&
            kit_number(&k, "SELECT count(*) FROM batches WHERE state->>'state'='uploaded'") == 1;
    }
    assert_true(there);
    assert_int_equal(kit_run(&k, "", N, &err), SILR_OK);
    kit_all_answered(&k, N);
    assert_int_equal(server_count(&k.server, "batches"), batches + 2);
    kit_stop(&k);
}

/* The n-th allocation fails, and every other time all after it: a clear error or none, and the next
 * call ends well. */
static void survives_without_memory(void **state)
{
    enum { STEPS = 15 };
    silr_error err = {0};
    uint64_t total = 0;
    int failed = 0;
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "0", NULL});
    for (uint64_t i = 0; i <= STEPS; i++) {
        silr_status st;
        kit_renew(&k);
        kit_open(&k, "retries: 2");
        k.job.n = N;
        silr_mem_count();
        silr_mem_fail_at(i * total / STEPS, i % 2); /* 0: none does, and they are counted */
        st = silr_chat_batch(k.chat, &k.job, &err);
        silr_mem_fail_at(0, false);
        total = i == 0 ? silr_mem_count() : total;
        kit_close(&k);
        if (st != SILR_OK && st != SILR_ENOMEM && st != SILR_EPEER)
            fail_msg("allocation %llu: %d: %s", (unsigned long long)(i * total / STEPS), (int)st,
                     err.text);
        failed += st != SILR_OK;
        if (kit_run(&k, "", N, &err) != SILR_OK)
            fail_msg("allocation %llu: %s", (unsigned long long)(i * total / STEPS), err.text);
        kit_all_answered(&k, N);
        assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
        assert_in_range(server_count(&k.server, "batch_lines"), N - 1, N);
    }
    assert_true(failed >= STEPS / 2);
    print_message("of %llu allocations each %dth failed: %d clear errors\n",
                  (unsigned long long)total, (int)(total / STEPS), failed);
    kit_stop(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_kill_at_every_instant),
        cmocka_unit_test(survives_a_kill_among_answers),
        cmocka_unit_test(survives_with_several_batches),
        cmocka_unit_test(goes_on_where_nothing_is_listed),
        cmocka_unit_test(survives_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
