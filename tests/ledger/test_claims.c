/* test_claims.c - two runs on one cache: who asks what, and what becomes of it when one ends badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledger/inside.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char home[] = "/tmp/silr-test-claims-XXXXXX";
static char cache[80];
static char said[2000];
static silr_error err;

static void listen(void *ctx, silr_log_level level, const char *text)
{
    size_t n = strlen(said);
    (void)ctx, (void)level;
    snprintf(said + n, sizeof said - n, "%s\n", text);
}

/* --- runs ---------------------------------------------------------------------------------------- */

/* A run of its own: a database in memory. */
typedef struct {
    sqlite3 *db;
    silr_ledger *l;
} run;

static void begin_run(run *r)
{
    silr_mem_install();
    assert_int_equal(sqlite3_open(":memory:", &r->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(r->db, silr_ledger_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&r->l, r->db, "run.db", &err), SILR_OK);
    assert_int_equal(silr_ledger_share(r->l, cache, &err), SILR_OK);
}

static void end_run(run *r)
{
    silr_ledger_free(r->l);
    sqlite3_close(r->db);
}

static silr_ask_id id_of(int i)
{
    silr_ask_id id = {{0}};
    memcpy(id.bytes, &i, sizeof i);
    return id;
}

static silr_claim claim(run *r, int i)
{
    silr_ask_id id = id_of(i);
    silr_claim c;

    assert_int_equal(silr_ledger_begin(r->l, &err), SILR_OK);
    c = silr_ledger_claim(r->l, &id);
    assert_int_equal(silr_ledger_commit(r->l, &err), SILR_OK);
    return c;
}

static bool claimed(run *r, int i)
{
    silr_ask_id id = id_of(i);
    return silr_ledger_claimed(r->l, &id, NULL);
}

static silr_status put(run *r, int i)
{
    silr_ask_id id = id_of(i);
    silr_answer a = {.model = "m", .reply = "{}", .len = 2};
    silr_status st = silr_ledger_begin(r->l, &err);

    if (st == SILR_OK)
        st = silr_ledger_put(r->l, &id, &a, &err);
    return st == SILR_OK ? silr_ledger_commit(r->l, &err) : st;
}

static int64_t count(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    int64_t n;

    assert_int_equal(sqlite3_open(cache, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void execute(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(cache, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 1000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void pause_for(int ms)
{
    usleep((useconds_t)ms * 1000);
}

/* A look of less than a tenth of a second ago is not repeated. */
static void wait_for_look(void)
{
    pause_for(120);
}

/* --- who asks ------------------------------------------------------------------------------------ */

static void what_one_asks_the_other_does_not(void **state)
{
    run a, b;
    silr_ask_id two = id_of(2);
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(claim(&a, 1), SILR_CLAIM_MINE);
    assert_int_equal(claim(&a, 1), SILR_CLAIM_MINE); /* its own is no obstacle */
    assert_int_equal(claim(&b, 1), SILR_CLAIM_TAKEN);
    assert_true(claimed(&b, 1) && !claimed(&a, 1) && !claimed(&b, 2));
    assert_int_equal(claim(&b, 2), SILR_CLAIM_MINE);
    assert_int_equal(put(&a, 1), SILR_OK); /* answered: no claim, an answer */
    assert_int_equal(claim(&b, 1), SILR_CLAIM_ANSWERED);
    assert_false(claimed(&b, 1));
    assert_int_equal(silr_ledger_begin(b.l, &err), SILR_OK);
    silr_ledger_unclaim(b.l, &two); /* failed: free */
    assert_int_equal(silr_ledger_commit(b.l, &err), SILR_OK);
    assert_int_equal(claim(&a, 2), SILR_CLAIM_MINE);
    silr_ledger_leave(a.l);
    assert_int_equal(claim(&b, 2), SILR_CLAIM_MINE);
    end_run(&a);
    end_run(&b);
    assert_int_equal(count("SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM owners)"), 0);
    assert_string_equal(said, "");
}

static void a_rollback_takes_claims_back(void **state)
{
    run a, b;
    silr_ask_id ten = id_of(10), eleven = id_of(11);
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(silr_ledger_begin(a.l, &err), SILR_OK);
    assert_int_equal(silr_ledger_claim(a.l, &ten), SILR_CLAIM_MINE);
    silr_ledger_rollback(a.l);
    assert_int_equal(claim(&b, 10), SILR_CLAIM_MINE);
    assert_int_equal(claim(&a, 11), SILR_CLAIM_MINE); /* it has its row again */
    assert_int_equal(claim(&b, 11), SILR_CLAIM_TAKEN);
    assert_int_equal(silr_ledger_begin(a.l, &err), SILR_OK);
    silr_ledger_rollback(a.l);
    assert_true(silr_ledger_claimed(b.l, &eleven, NULL)); /* a claim of an earlier transaction stays */
    end_run(&a);
    assert_int_equal(claim(&b, 11), SILR_CLAIM_MINE);
    end_run(&b);
}

enum { EACH = 300, PROCESSES = 4 };

/* How many of the same requests a process is granted; it lives until all have claimed. */
static _Noreturn void claim_all(int tell, int hold)
{
    int mine = 0;
    char byte;
    run r;

    begin_run(&r);
    for (int i = 0; i < EACH; i += 10) {
        silr_ledger_begin(r.l, &err);
        for (int k = i; k < i + 10; k++) {
            silr_ask_id id = id_of(100 + k);
            mine += silr_ledger_claim(r.l, &id) == SILR_CLAIM_MINE;
        }
        silr_ledger_commit(r.l, &err);
    }
    if (write(tell, &mine, sizeof mine) != sizeof mine || read(hold, &byte, 1) < 0)
        _exit(1);
    _exit(said[0] ? 1 : 0);
}

static void each_is_granted_once(void **state)
{
    pid_t child[PROCESSES];
    int tell[2], hold[2], mine, all = 0, status;
    (void)state;

    assert_int_equal(pipe(tell), 0);
    assert_int_equal(pipe(hold), 0);
    for (int p = 0; p < PROCESSES; p++)
        if ((child[p] = fork()) == 0) {
            close(hold[1]);
            claim_all(tell[1], hold[0]);
        }
    for (int p = 0; p < PROCESSES; p++) {
        assert_int_equal(read(tell[0], &mine, sizeof mine), sizeof mine);
        all += mine;
    }
    assert_int_equal(all, EACH);
    close(hold[1]);
    for (int p = 0; p < PROCESSES; p++) {
        waitpid(child[p], &status, 0);
        assert_int_equal(status, 0);
    }
    close(tell[0]), close(tell[1]), close(hold[0]);
}

/* --- ends ---------------------------------------------------------------------------------------- */

/* A process that claims one request and sleeps. */
static pid_t start_claimant(int i)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    if ((pid = fork()) == 0) {
        run r;
        begin_run(&r);
        if (claim(&r, i) != SILR_CLAIM_MINE)
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* Also while nobody has fetched its exit code: a zombie asks nobody. */
static void a_killed_one_is_dead_at_once(void **state)
{
    pid_t pid = start_claimant(1000);
    run r;
    (void)state;

    begin_run(&r);
    assert_int_equal(claim(&r, 1000), SILR_CLAIM_TAKEN);
    kill(pid, SIGKILL);
    wait_for_look();
    pause_for(50);
    assert_false(claimed(&r, 1000));
    assert_int_equal(claim(&r, 1000), SILR_CLAIM_MINE);
    waitpid(pid, NULL, 0);
    end_run(&r);
    pid = start_claimant(1001); /* and without anyone who had met it before: the first claim sweeps */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    begin_run(&r);
    assert_false(claimed(&r, 1001)); /* known without a claim of its own: it may be all that is left */
    assert_int_equal(claim(&r, 5), SILR_CLAIM_MINE);
    assert_int_equal(count("SELECT count(*) FROM owners"), 1);
    assert_int_equal(count("SELECT count(*) FROM claims"), 1);
    end_run(&r);
}

/* A pid that another process has now does not keep the claim. */
static void a_pid_is_not_enough(void **state)
{
    run a, b;
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(claim(&a, 1100), SILR_CLAIM_MINE);
    execute("UPDATE owners SET start=start-1");
    assert_int_equal(claim(&b, 1100), SILR_CLAIM_MINE);
    end_run(&a);
    end_run(&b);
}

/* Where its process cannot be looked at, what counts is that it gives no sign; by our own clock. */
static void one_far_away_is_dead_after_the_lease(void **state)
{
    run a, b;
    (void)state;

    begin_run(&a);
    begin_run(&b);
    b.l->lease = 0.6;
    assert_int_equal(claim(&a, 1200), SILR_CLAIM_MINE);
    execute("UPDATE owners SET host='elsewhere', pid=1");
    assert_int_equal(claim(&b, 1200), SILR_CLAIM_TAKEN); /* seen for the first time: it may live */
    for (int i = 0; i < 5; i++) { /* it gives signs, for longer than the lease */
        pause_for(200);
        a.l->beaten = -1000;
        silr_ledger_beat(a.l);
        assert_true(claimed(&b, 1200));
    }
    pause_for(400);
    assert_true(claimed(&b, 1200));
    pause_for(400);
    assert_false(claimed(&b, 1200));
    assert_int_equal(claim(&b, 1200), SILR_CLAIM_MINE);
    /* It was only slow: it has no claims, is welcome again, and its answer counts. */
    a.l->beaten = -1000;
    silr_ledger_beat(a.l);
    assert_int_equal(claim(&a, 1200), SILR_CLAIM_TAKEN);
    assert_int_equal(claim(&a, 1201), SILR_CLAIM_MINE);
    assert_int_equal(put(&a, 1200), SILR_OK);
    assert_int_equal(claim(&b, 1200), SILR_CLAIM_ANSWERED);
    end_run(&a);
    end_run(&b);
}

/* One that is stopped (Ctrl-Z) is there, and asks nothing. */
static void a_stopped_one_is_dead_after_the_lease(void **state)
{
    pid_t pid = start_claimant(1300);
    run r;
    (void)state;

    begin_run(&r);
    r.l->lease = 0.3;
    kill(pid, SIGSTOP);
    assert_int_equal(claim(&r, 1300), SILR_CLAIM_TAKEN);
    pause_for(450);
    assert_int_equal(claim(&r, 1300), SILR_CLAIM_MINE);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    end_run(&r);
}

/* --- batches ------------------------------------------------------------------------------------- */

/* Requests from..to go out in a batch, whose claims hold for so many seconds. */
static void send_batch(run *r, const char *name, int from, int to, int seconds)
{
    assert_int_equal(silr_ledger_begin(r->l, &err), SILR_OK);
    assert_int_equal(silr_ledger_batch_set(r->l, name, "{}", &err), SILR_OK);
    silr_ledger_hold(r->l, name, (int64_t)time(NULL) + seconds);
    for (int i = from; i <= to; i++) {
        silr_ask_id id = id_of(i);
        assert_int_equal(silr_ledger_claim_in(r->l, &id, name), SILR_CLAIM_MINE);
    }
    assert_int_equal(silr_ledger_commit(r->l, &err), SILR_OK);
}

static void end_batch(run *r, const char *name)
{
    assert_int_equal(silr_ledger_begin(r->l, &err), SILR_OK);
    silr_ledger_unhold(r->l, name);
    assert_int_equal(silr_ledger_commit(r->l, &err), SILR_OK);
}

static silr_holder holder(run *r, int i)
{
    silr_ask_id id = id_of(i);
    silr_holder who;

    assert_true(silr_ledger_claimed(r->l, &id, &who));
    return who;
}

/* Its answers will come, and are paid for, though nobody is there to take them. */
static void a_batch_outlives_its_process(void **state)
{
    run a, b;
    char here[300];
    silr_ask_id id = id_of(1400);
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(claim(&a, 1400), SILR_CLAIM_MINE); /* first its process's, then the batch's */
    assert_int_equal(claim(&a, 1401), SILR_CLAIM_MINE);
    send_batch(&a, "one", 1400, 1402, 3600);
    assert_int_equal(claim(&a, 1400), SILR_CLAIM_MINE);
    for (int lives = 1; lives >= 0; lives--) {
        for (int i = 1400; i <= 1402; i++)
            assert_int_equal(claim(&b, i), SILR_CLAIM_TAKEN);
        assert_true(holder(&b, 1400).batch);
        assert_int_equal(holder(&b, 1400).lives, lives);
        assert_in_range(holder(&b, 1400).until, time(NULL) + 3590, time(NULL) + 3600);
        assert_non_null(getcwd(here, sizeof here));
        assert_string_equal(holder(&b, 1400).run, here);
        if (lives)
            silr_ledger_leave(a.l);
        wait_for_look();
    }
    assert_int_equal(claim(&a, 1401), SILR_CLAIM_MINE); /* the run goes on: they are its own */
    assert_int_equal(claim(&b, 1401), SILR_CLAIM_TAKEN);
    assert_int_equal(put(&a, 1400), SILR_OK);
    assert_int_equal(claim(&b, 1400), SILR_CLAIM_ANSWERED);
    assert_false(silr_ledger_claimed(b.l, &id, NULL));
    id = id_of(1401); /* refused for good */
    assert_int_equal(silr_ledger_begin(a.l, &err), SILR_OK);
    silr_ledger_unclaim(a.l, &id);
    assert_int_equal(silr_ledger_commit(a.l, &err), SILR_OK);
    assert_int_equal(claim(&b, 1401), SILR_CLAIM_MINE);
    assert_int_equal(claim(&b, 1402), SILR_CLAIM_TAKEN);
    end_batch(&a, "one"); /* done with: what has no answer is free, and what another claims is not touched */
    assert_int_equal(claim(&b, 1402), SILR_CLAIM_MINE);
    assert_int_equal(claim(&a, 1401), SILR_CLAIM_TAKEN);
    end_run(&a);
    end_run(&b);
    assert_int_equal(count("SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM owners) +"
                           " (SELECT count(*) FROM holds)"), 0);
    assert_string_equal(said, "");
}

/* Of a run that never came back: its folder is gone, or it is not called again. */
static void a_batch_holds_until_its_time(void **state)
{
    run a, b;
    silr_ask_id id = id_of(1501);
    (void)state;

    begin_run(&a);
    begin_run(&b);
    send_batch(&a, "late", 1500, 1500, 3600);
    send_batch(&a, "long", 1501, 1501, 3600);
    send_batch(&a, "late", 1502, 1503, -1); /* another time for the same batch */
    assert_int_equal(claim(&a, 1500), SILR_CLAIM_MINE);
    end_run(&a);
    assert_int_equal(claim(&b, 1500), SILR_CLAIM_MINE);
    assert_int_equal(claim(&b, 1502), SILR_CLAIM_MINE);
    assert_int_equal(count("SELECT count(*) FROM holds"), 1);
    assert_true(silr_ledger_claimed(b.l, &id, NULL));
    execute("UPDATE holds SET until=1");
    assert_false(silr_ledger_claimed(b.l, &id, NULL));
    silr_ledger_leave(b.l);
    assert_int_equal(claim(&b, 1504), SILR_CLAIM_MINE); /* the first claim sweeps */
    assert_int_equal(count("SELECT count(*) FROM claims"), 1);
    assert_int_equal(count("SELECT count(*) FROM holds"), 0);
    end_run(&b);
}

/* A process that was killed between its two commits has the answer, and the cache has the claim. */
static void what_was_answered_is_passed_on(void **state)
{
    run a, b;
    silr_buf text = {0};
    silr_ask_id id = id_of(1550);
    bool found;
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(put(&a, 1550), SILR_OK);
    execute("DELETE FROM answers");
    send_batch(&a, "half", 1550, 1551, 3600);
    assert_int_equal(claim(&b, 1550), SILR_CLAIM_TAKEN);
    end_batch(&a, "half");
    assert_int_equal(claim(&b, 1550), SILR_CLAIM_ANSWERED);
    assert_int_equal(silr_ledger_find(b.l, &id, &text, NULL, &found, &err), SILR_OK);
    assert_true(found);
    assert_string_equal(text.data, "{}");
    assert_int_equal(claim(&b, 1551), SILR_CLAIM_MINE);
    silr_buf_clear(&text);
    end_run(&a);
    end_run(&b);
}

/* Nothing of a transaction that was taken back. */
static void a_rollback_takes_a_batch_back(void **state)
{
    run a, b;
    silr_ask_id id = id_of(1600);
    (void)state;

    begin_run(&a);
    begin_run(&b);
    assert_int_equal(claim(&a, 1600), SILR_CLAIM_MINE);
    assert_int_equal(silr_ledger_begin(a.l, &err), SILR_OK);
    silr_ledger_hold(a.l, "back", (int64_t)time(NULL) + 3600);
    assert_int_equal(silr_ledger_claim_in(a.l, &id, "back"), SILR_CLAIM_MINE);
    silr_ledger_rollback(a.l);
    assert_false(holder(&b, 1600).batch);
    end_run(&a);
    assert_int_equal(claim(&b, 1600), SILR_CLAIM_MINE);
    end_run(&b);
}

/* --- files --------------------------------------------------------------------------------------- */

static void drop_file(void)
{
    char name[100];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", cache, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
        unlink(name);
    }
}

/* A cache of the time before claims, or before holds, has answers that were paid for. */
static void an_older_one_is_upgraded(void **state)
{
    static const char *const age[] = {"DROP TABLE claims; DROP TABLE owners; DROP TABLE holds; PRAGMA user_version=1",
                                      "DROP TABLE holds; PRAGMA user_version=2"};
    (void)state;

    for (size_t v = 0; v < sizeof age / sizeof *age; v++) {
        run r;
        silr_buf b = {0};
        silr_ask_id id = id_of(7);
        bool found;

        drop_file();
        begin_run(&r);
        assert_int_equal(put(&r, 7), SILR_OK);
        end_run(&r);
        execute(age[v]);
        begin_run(&r);
        assert_int_equal(claim(&r, 8), SILR_CLAIM_MINE);
        send_batch(&r, "b", 9, 9, 3600);
        assert_int_equal(silr_ledger_find(r.l, &id, &b, NULL, &found, &err), SILR_OK);
        assert_true(found);
        assert_int_equal(count("PRAGMA user_version"), 3);
        assert_int_equal(count("SELECT count(*) FROM claims"), 2);
        assert_int_equal(count("SELECT count(*) FROM holds"), 1);
        end_run(&r);
        silr_buf_clear(&b);
        assert_string_equal(said, "");
    }
    drop_file();
}

/* Nobody to share with: everything is granted, and nothing that was answered is lost. */
static void a_failing_one_grants_all(void **state)
{
    struct rlimit old, small = {0, RLIM_INFINITY};
    run a, b;
    (void)state;

    drop_file();
    begin_run(&a);
    begin_run(&b);
    assert_int_equal(claim(&a, 1), SILR_CLAIM_MINE);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_cur = 50000;
    small.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 1; i < 400; i++) {
        assert_int_equal(claim(&b, i), i == 1 && !said[0] ? SILR_CLAIM_TAKEN : SILR_CLAIM_MINE);
        assert_int_equal(put(&b, i), SILR_OK);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_non_null(strstr(said, "the cache of answers is not used"));
    assert_int_equal(claim(&b, 1), SILR_CLAIM_MINE);
    for (int i = 1; i < 400; i++) {
        silr_ask_id id = id_of(i);
        assert_true(silr_ledger_has(b.l, &id));
    }
    end_run(&a);
    end_run(&b);
    said[0] = '\0';
}

/* Runs that begin at the same instant, with no file there yet: all of them share it. */
static void all_begin_at_once(void **state)
{
    enum { ROUNDS = 60, BEGINNERS = 6 };
    (void)state;

    for (int round = 0; round < ROUNDS; round++) {
        int start[2], status;
        char byte;
        pid_t child[BEGINNERS];

        drop_file();
        assert_int_equal(pipe(start), 0);
        for (int p = 0; p < BEGINNERS; p++)
            if ((child[p] = fork()) == 0) {
                run r;
                close(start[1]);
                if (read(start[0], &byte, 1) < 0) /* its end is the signal */
                    _exit(2);
                begin_run(&r);
                claim(&r, p);
                fputs(said, stderr);
                _exit(r.l->shared.db ? 0 : 1);
            }
        close(start[0]), close(start[1]);
        for (int p = 0; p < BEGINNERS; p++) {
            waitpid(child[p], &status, 0);
            assert_int_equal(status, 0);
        }
    }
}

/* Every failing allocation ends in a claim, one way or the other. */
static void no_memory(void **state)
{
    silr_ask_id id = id_of(2000);
    (void)state;

    drop_file();
    for (uint64_t n = 2; n <= 121; n++) {
        run a, b;
        silr_claim got;
        begin_run(&a);
        begin_run(&b);
        if (n % 2)
            assert_int_equal(claim(&a, 2000), SILR_CLAIM_MINE);
        else
            send_batch(&a, "a", 2000, 2000, 3600);
        assert_int_equal(silr_ledger_begin(b.l, &err), SILR_OK);
        silr_mem_fail_at(n / 2, false);
        got = silr_ledger_claim(b.l, &id);
        silr_mem_fail_at(0, false);
        assert_true(got == (b.l->shared.db ? SILR_CLAIM_TAKEN : SILR_CLAIM_MINE));
        assert_int_equal(silr_ledger_commit(b.l, &err), SILR_OK);
        end_batch(&a, "a");
        end_run(&a);
        end_run(&b);
    }
    said[0] = '\0';
}

static int make_home(void **state)
{
    const silr_listener l = {.line = listen};
    (void)state;

    silr_log_listen(&l);
    if (!mkdtemp(home))
        return -1;
    snprintf(cache, sizeof cache, "%s/cache.db", home);
    return 0;
}

static int remove_home(void **state)
{
    (void)state;
    drop_file();
    return rmdir(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_asks_the_other_does_not),
        cmocka_unit_test(a_rollback_takes_claims_back),
        cmocka_unit_test(each_is_granted_once),
        cmocka_unit_test(a_killed_one_is_dead_at_once),
        cmocka_unit_test(a_pid_is_not_enough),
        cmocka_unit_test(one_far_away_is_dead_after_the_lease),
        cmocka_unit_test(a_stopped_one_is_dead_after_the_lease),
        cmocka_unit_test(a_batch_outlives_its_process),
        cmocka_unit_test(a_batch_holds_until_its_time),
        cmocka_unit_test(what_was_answered_is_passed_on),
        cmocka_unit_test(a_rollback_takes_a_batch_back),
        cmocka_unit_test(an_older_one_is_upgraded),
        cmocka_unit_test(a_failing_one_grants_all),
        cmocka_unit_test(all_begin_at_once),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
