/* test_cache.c - a file that carries answers from run to run: it saves money and costs no run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledger/ledger.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char home[] = "/tmp/silr-test-cache-XXXXXX";
static char cache[80];
static silr_error err;

/* --- what is said -------------------------------------------------------------------------------- */

static char said[2000];

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
    silr_ledger *ledger;
} run;

static void begin_run(run *r)
{
    silr_mem_install();
    assert_int_equal(sqlite3_open(":memory:", &r->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(r->db, silr_ledger_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&r->ledger, r->db, "run.db", &err), SILR_OK);
    said[0] = '\0';
}

static void end_run(run *r)
{
    silr_ledger_free(r->ledger);
    sqlite3_close(r->db);
}

static silr_status share(run *r)
{
    begin_run(r);
    return silr_ledger_share(r->ledger, cache, &err);
}

static silr_ask_id id_of(int i)
{
    silr_ask_id id = {{0}};
    memcpy(id.bytes, &i, sizeof i);
    return id;
}

static silr_status put(run *r, int i)
{
    silr_ask_id id = id_of(i);
    char reply[300];
    silr_answer a = {.model = "m", .reply = reply, .usage = {i, 0, 1, 0.5, 0.25}};

    memset(reply, 'x', sizeof reply); /* long enough to be packed */
    a.len = sizeof reply;
    memcpy(reply, &i, sizeof i);
    return silr_ledger_put(r->ledger, &id, &a, &err);
}

static void put_in_transaction(run *r, int from, int to)
{
    assert_int_equal(silr_ledger_begin(r->ledger, &err), SILR_OK);
    for (int i = from; i < to; i++)
        assert_int_equal(put(r, i), SILR_OK);
    assert_int_equal(silr_ledger_commit(r->ledger, &err), SILR_OK);
}

static bool has(run *r, int i)
{
    silr_ask_id id = id_of(i);
    silr_buf b = {0};
    silr_usage u;
    bool found;

    assert_int_equal(silr_ledger_find(r->ledger, &id, &b, &u, &found, &err), SILR_OK);
    if (found) {
        assert_int_equal(b.len, 300);
        assert_memory_equal(b.data, &i, sizeof i);
        assert_true(u.prompt_tokens == i && u.cost == 0.5);
    }
    silr_buf_clear(&b);
    return found;
}

static silr_ledger_sums sums(run *r)
{
    silr_ledger_sums s;
    assert_int_equal(silr_ledger_sum(r->ledger, &s, &err), SILR_OK);
    return s;
}

/* --- sharing ------------------------------------------------------------------------------------- */

static void answers_go_from_run_to_run(void **state)
{
    run a, b, c;
    silr_ledger_sums s;
    silr_buf facts = {0};
    (void)state;

    assert_int_equal(share(&a), SILR_OK);
    assert_int_equal(silr_ledger_begin(a.ledger, &err), SILR_OK);
    put(&a, 1);
    put(&a, 2);
    assert_int_equal(silr_ledger_server_set(a.ledger, "u", "m", "{}", &err), SILR_OK);
    assert_int_equal(silr_ledger_commit(a.ledger, &err), SILR_OK);
    assert_int_equal(share(&b), SILR_OK);
    assert_true(has(&b, 1) && !has(&b, 3));
    s = sums(&b); /* paid for by another run; and in this one's own file from now on */
    assert_true(s.answers == 1 && s.cached == 1 && s.cost == 0 && s.prompt_tokens == 0 && isnan(s.seconds));
    put_in_transaction(&b, 3, 4);
    assert_true(has(&a, 3));
    s = sums(&b);
    assert_true(s.answers == 2 && s.cost == 0.5 && s.prompt_tokens == 3);
    assert_int_equal(silr_ledger_server_get(b.ledger, "u", "m", &facts, &err), SILR_OK);
    assert_string_equal(facts.data, "{}"); /* what is known of the server, too */
    begin_run(&c); /* without it there is nothing */
    assert_false(has(&c, 1));
    end_run(&a);
    end_run(&b);
    end_run(&c);
    silr_buf_clear(&facts);
    assert_string_equal(said, "");
}

static void a_rollback_is_one_for_both(void **state)
{
    run a, b;
    (void)state;

    assert_int_equal(share(&a), SILR_OK);
    assert_int_equal(silr_ledger_begin(a.ledger, &err), SILR_OK);
    put(&a, 100);
    silr_ledger_rollback(a.ledger);
    assert_int_equal(share(&b), SILR_OK);
    assert_true(!has(&a, 100) && !has(&b, 100));
    assert_int_equal(silr_ledger_begin(a.ledger, &err), SILR_OK);
    put(&a, 101);
    end_run(&a); /* as if killed */
    assert_false(has(&b, 101));
    end_run(&b);
}

enum { EACH = 200, PROCESSES = 3 };

/* Processes that write at the same time, each in many small transactions: nothing is lost. */
static void many_processes_at_once(void **state)
{
    pid_t child[PROCESSES];
    run r;
    (void)state;

    for (int p = 0; p < PROCESSES; p++)
        if ((child[p] = fork()) == 0) {
            bool good = share(&r) == SILR_OK;
            for (int i = 0; good && i < EACH; i++)
                good = silr_ledger_begin(r.ledger, &err) == SILR_OK &&
                       put(&r, 1000 + p * EACH + i) == SILR_OK && put(&r, 5000 + i) == SILR_OK &&
                       silr_ledger_commit(r.ledger, &err) == SILR_OK;
            _exit(good && said[0] == '\0' ? 0 : 1);
        }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        waitpid(child[p], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(share(&r), SILR_OK);
    for (int i = 0; i < PROCESSES * EACH; i++)
        assert_true(has(&r, 1000 + i));
    for (int i = 0; i < EACH; i++)
        assert_true(has(&r, 5000 + i));
    end_run(&r);
}

/* --- files that are none ------------------------------------------------------------------------- */

static void write_cache(const char *bytes, size_t len)
{
    unlink(cache);
    assert_int_equal(silr_file_write(cache, bytes, len, &err), SILR_OK);
}

static void make_sqlite(const char *sql)
{
    sqlite3 *db;

    unlink(cache);
    assert_int_equal(sqlite3_open(cache, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void refused(const char *words)
{
    struct stat before, after;
    run r;

    assert_int_equal(stat(cache, &before), 0);
    assert_int_equal(share(&r), SILR_EINPUT);
    if (!strstr(err.text, words) || !strstr(err.text, cache) || !strstr(err.text, "annotator.cache"))
        fail_msg("\"%s\" lacks \"%s\"", err.text, words);
    put_in_transaction(&r, 1, 2); /* the run itself is not hurt */
    assert_true(has(&r, 1));
    end_run(&r);
    assert_int_equal(stat(cache, &after), 0); /* nor is the file */
    assert_int_equal(after.st_size, before.st_size);
}

static void other_files_are_refused(void **state)
{
    static const char text[] = "id,text\n1,these are my texts, and they are dear to me\n";
    static const char magic[] = "SQLite format 3";
    run r;
    (void)state;

    write_cache(text, sizeof text);
    refused("not a cache of answers");
    write_cache(magic, sizeof magic);
    refused("not a cache of answers");
    make_sqlite("CREATE TABLE mine(x)");
    refused("something else");
    make_sqlite("PRAGMA application_id=7");
    refused("something else");
    make_sqlite("PRAGMA application_id=1397312579; PRAGMA user_version=4; CREATE TABLE x(y)");
    refused("newer silr");
    write_cache("", 0); /* an empty file is as good as none */
    assert_int_equal(share(&r), SILR_OK);
    put_in_transaction(&r, 1, 2);
    end_run(&r);
    assert_int_equal(share(&r), SILR_OK);
    assert_true(has(&r, 1));
    end_run(&r);
    assert_string_equal(said, "");
}

/* A cache whose pages are damaged is done without, in the middle of a run. */
static void a_damaged_one_is_done_without(void **state)
{
    silr_buf b = {0};
    run r;
    (void)state;

    unlink(cache);
    assert_int_equal(share(&r), SILR_OK);
    put_in_transaction(&r, 0, 400);
    end_run(&r);
    assert_int_equal(silr_file_read(&b, cache, 1 << 24, &err), SILR_OK);
    memset(b.data + 8192, 0xa5, b.len - 8192);
    write_cache(b.data, b.len);
    assert_int_equal(share(&r), SILR_OK);
    for (int i = 0; i < 400; i++)
        has(&r, i);
    put_in_transaction(&r, 500, 600);
    for (int i = 500; i < 600; i++)
        assert_true(has(&r, i));
    assert_non_null(strstr(said, "the cache of answers is not used"));
    assert_non_null(strstr(said, cache));
    assert_null(strstr(said, "delete the folder")); /* which is the advice for a run's own file */
    end_run(&r);
    silr_buf_clear(&b);
    unlink(cache);
}

/* --- no way to it -------------------------------------------------------------------------------- */

static void works_without(void)
{
    run r;

    assert_int_equal(share(&r), SILR_OK);
    if (!strstr(said, "the cache of answers is not used") || !strstr(said, cache))
        fail_msg("\"%s\"", said);
    put_in_transaction(&r, 1, 3);
    assert_true(has(&r, 1) && has(&r, 2) && !has(&r, 3));
    end_run(&r);
}

static void one_that_cannot_be_opened(void **state)
{
    char kept[sizeof cache];
    (void)state;

    memcpy(kept, cache, sizeof kept);
    snprintf(cache, sizeof cache, "%s/no/such/folder/cache.db", home);
    works_without();
    snprintf(cache, sizeof cache, "%s", home); /* a folder */
    works_without();
    memcpy(cache, kept, sizeof kept);
}

/* The same as somebody who may not write; root may, so it becomes somebody else for a while. */
static void one_that_cannot_be_written(void **state)
{
    bool root = geteuid() == 0;
    run r;
    (void)state;

    unlink(cache);
    assert_int_equal(share(&r), SILR_OK);
    put_in_transaction(&r, 1, 50);
    end_run(&r);
    assert_int_equal(chmod(cache, 0444), 0);
    assert_int_equal(chmod(home, 0555), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(share(&r), SILR_OK);
    for (int i = 1; i < 50; i++)
        assert_true(has(&r, i)); /* it is of use all the same */
    put_in_transaction(&r, 60, 70);
    for (int i = 60; i < 70; i++)
        assert_true(has(&r, i));
    assert_non_null(strstr(said, "cannot be written"));
    assert_null(strchr(strchr(said, '\n') + 1, '\n')); /* said once */
    end_run(&r);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(home, 0755), 0);
    assert_int_equal(chmod(cache, 0644), 0);
    assert_int_equal(share(&r), SILR_OK);
    assert_true(has(&r, 1) && !has(&r, 60));
    end_run(&r);
}

/* The disk is full: the cache stays as it was, the run goes on. */
static void a_full_disk(void **state)
{
    struct rlimit old, small = {60000, RLIM_INFINITY};
    run r;
    (void)state;

    unlink(cache);
    assert_int_equal(share(&r), SILR_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 1000; i += 100)
        put_in_transaction(&r, i, i + 100);
    for (int i = 0; i < 1000; i++)
        assert_true(has(&r, i));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_non_null(strstr(said, "the cache of answers is not used"));
    end_run(&r);
    assert_int_equal(share(&r), SILR_OK); /* what was committed before is there, and sound */
    assert_true(has(&r, 0));
    put_in_transaction(&r, 2000, 2001);
    end_run(&r);
}

static int make_home(void **state)
{
    const silr_listener l = {.line = listen};
    (void)state;

    silr_log_listen(&l);
    if (!mkdtemp(home))
        return -1;
    chmod(home, 0755);
    snprintf(cache, sizeof cache, "%s/cache #1 100%%?.db", home); /* a name that an address would mistake */
    return 0;
}

static int remove_home(void **state)
{
    char name[100];
    (void)state;

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", cache, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
        unlink(name);
    }
    return rmdir(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_go_from_run_to_run),   cmocka_unit_test(a_rollback_is_one_for_both),
        cmocka_unit_test(many_processes_at_once),       cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_damaged_one_is_done_without), cmocka_unit_test(one_that_cannot_be_opened),
        cmocka_unit_test(one_that_cannot_be_written),   cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
