/* test_kill.c - a run that is killed at any instant loses no more than what was in flight.
 *
 *     test_chat_kill [KILLS TEXTS LATENCY]      6, 300 and 20 ms; bench/chat_kill.sh has more
 *
 * The same command is begun again after each SIGKILL. What the server received between two kills is
 * either in run.db or was lost with the kill: at most the requests that were in flight, and in the end
 * it has received one request a text and those. run.db is then that of a run that nobody killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "server/start.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONCURRENCY = 16 };

static int kills = 6, texts = 300;
static const char *latency = "20";
static struct program s;
static struct server server;

static void sleep_for(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static void start_server(void)
{
    const char *args[] = {"--latency", latency, NULL};
    assert_true(server_start(&server, args));
}

/* Everything in the run that an answer can leave behind, as text. */
static void dump(const char *name, silr_buf *out)
{
    static const char *const tables[] = {
        "SELECT source, doc, request, label, confidence, basis, votes, quote(logp), failed, raw, reason"
        " FROM annotations ORDER BY source, doc",
        "SELECT quote(id), model, origin, packed, quote(reply), prompt_tokens, completion_tokens, cost"
        " FROM answers ORDER BY id",
        "SELECT model, facts FROM servers"};
    sqlite3 *db;

    silr_buf_reset(out);
    assert_int_equal(sqlite3_open(program_at(name, "run/run.db"), &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        sqlite3_stmt *q;
        assert_int_equal(sqlite3_prepare_v2(db, tables[i], -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW)
            for (int c = 0; c < sqlite3_column_count(q); c++) {
                const char *v = (const char *)sqlite3_column_text(q, c);
                silr_buf_printf(out, "%s%c", v ? v : "NULL", c + 1 < sqlite3_column_count(q) ? '|' : '\n');
            }
        sqlite3_finalize(q);
    }
    sqlite3_close(db);
}

/* Requests that the server has received, once it has nothing left to do. */
static int64_t received(void)
{
    for (int i = 0; i < 400 && server_count(&server, "in_flight") > 0; i++)
        sleep_for(0.005);
    return server_count(&server, "chat");
}

static int64_t kept(const char *name)
{
    return access(program_at(name, "run/run.db"), F_OK) == 0
               ? program_number(name, "SELECT count(*) FROM sqlite_schema WHERE name='answers'") > 0
                     ? program_number(name, "SELECT count(*) FROM answers") : 0
               : 0;
}

/* Kills it at an instant within `time`. true: it was quicker. */
static bool one_kill(silr_rng *rng, double time, int64_t *lost)
{
    int64_t before = received() - kept("killed");

    program_start(&s, "killed", server.url, NULL);
    sleep_for(silr_rng_double(rng) * time);
    kill(s.pid, SIGKILL);
    s.code = 0;
    program_wait_killed(&s);
    *lost = received() - kept("killed") - before;
    if (*lost < 0 || *lost > CONCURRENCY)
        fail_msg("a kill has lost %lld answers", (long long)*lost);
    return s.code == 0;
}

static void what_is_killed_goes_on(void **state)
{
    silr_buf unbroken = {0}, killed = {0};
    int64_t lost, all_lost = 0, most = 0;
    int done = 0;
    bool quicker = false;
    double time;
    silr_rng rng;
    char more[80];
    (void)state;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 9, 0);
    snprintf(more, sizeof more, "concurrency: %d", CONCURRENCY);
    program_make("unbroken", (size_t)texts, more);
    program_make("killed", (size_t)texts, more);
    start_server();
    assert_int_equal(program_run(&s, "unbroken", server.url, NULL), 0);
    time = s.seconds;
    assert_int_equal(server_count(&server, "chat"), texts);
    dump("unbroken", &unbroken);
    assert_true(server_reset(&server));

    while (done < kills && !quicker) { /* on average each run does its share of the work */
        quicker = one_kill(&rng, 1.6 * time / kills, &lost);
        done += !quicker;
        all_lost += lost;
        most = lost > most ? lost : most;
    }
    assert_true(done > kills / 2);
    assert_int_equal(program_run(&s, "killed", server.url, NULL), 0);
    program_look(&s);
    program_all_right(&s);
    assert_int_equal(server_count(&server, "chat"), texts + all_lost); /* nothing kept was asked again */
    dump("killed", &killed);
    assert_int_equal(killed.len, unbroken.len);
    assert_memory_equal(killed.data, unbroken.data, unbroken.len);
    print_message("%d kills over %d texts: %lld requests for %d answers; a kill lost %.1f on average, %lld at "
                  "most, of %d in flight\n", done, texts, (long long)server_count(&server, "chat"), texts, (double)all_lost / done, (long long)most,
                  CONCURRENCY);
    silr_buf_clear(&unbroken);
    silr_buf_clear(&killed);
    program_clear(&s);
    server_stop(&server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_killed_goes_on)};

    if (argc == 4) {
        kills = atoi(argv[1]);
        texts = atoi(argv[2]);
        latency = argv[3];
    }
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
