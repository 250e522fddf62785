/* test_batch.c - through the Batch API: whatever becomes of a batch, every text gets one answer or one
 * reason, and no request is run more often than it failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 60 };

static kit k;

static void must(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("status %d: %s", (int)st, err->text);
}

static int64_t count(const char *what)
{
    return server_count(&k.server, what);
}

/* --- all is well --------------------------------------------------------------------------------- */

/* Answers come in another order and cost half; of equal texts one is asked about. The second call has
 * nothing left to ask. */
static void answers_all(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, NULL);
    k.equal = 7;
    for (int i = 0; i < 2; i++) {
        must(kit_run(&k, "", N, &err), &err);
        kit_all_answered(&k, N);
    }
    assert_int_equal(count("chat"), 1); /* told what the server can do */
    assert_int_equal(count("batches"), 1);
    assert_int_equal(count("batch_lines"), N - N / 7 - 1);
    assert_int_equal(count("answers_twice"), 0);
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM answers WHERE origin=1"), N - N / 7 - 1);
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
    assert_int_equal(
        kit_number(&k, "SELECT count(*) FROM batches WHERE state->>'state'='collected'"), 1);
    assert_int_equal(
        kit_number(&k, "SELECT count(*) FROM answers WHERE abs(cost - (CASE origin WHEN 1 THEN"
                       " 0.5 ELSE 1 END) * (2 * prompt_tokens + 4 * completion_tokens) / 1e6)"
                       " > 1e-12"),
        0);
    kit_stop(&k);
}

/* Files as small as they are said to be, by lines and by bytes. */
static void makes_several(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, NULL);
    must(kit_run(&k, "batch_lines: 20", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("batches"), 3); /* 59 lines */
    assert_int_equal(count("batch_lines"), N - 1);
    kit_stop(&k);

    kit_start(&k, NULL);
    kit_open(&k, "");
    k.job.n = N;
    must(silr_chat_batch_within(k.chat, &k.job, 20000, &err), &err);
    kit_all_answered(&k, N);
    assert_in_range(count("batches"), 2, 10);
    k.job.n = N + 2; /* a line longer than a file may be goes alone */
    must(silr_chat_batch_within(k.chat, &k.job, 1, &err), &err);
    assert_int_equal(count("batch_lines"), N + 1);
    kit_close(&k);
    kit_stop(&k);
}

/* Azure has the API beside the deployments, a version in each address, and a name of its own for what
 * is asked. */
static void speaks_with_azure(void **state)
{
    silr_error err = {0};
    silr_buf log = {0};
    char path[80];
    (void)state;

    snprintf(path, sizeof path, "/tmp/silr-batch-log-%d", (int)getpid());
    kit_start(&k, (const char *[]){"--log", path, NULL});
    k.place = "/openai/deployments/m?api-version=2024-10-21";
    must(kit_run(&k, "", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("batch_lines"), N - 1);
    assert_int_equal(silr_file_read(&log, path, 1 << 20, &err), SILR_OK);
    assert_non_null(strstr(log.data, "\"/openai/deployments/m/chat/completions\""));
    assert_non_null(strstr(log.data, "\"/openai/files\""));
    assert_non_null(strstr(log.data, "\"/openai/batches/batch_000001\""));
    assert_null(strstr(log.data, "/deployments/m/files"));
    silr_buf_clear(&log);
    unlink(path);
    kit_stop(&k);
}

/* Several samples a text, and a round in which the model checks itself: each has its batch. */
static void asks_again_and_often(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--reject", "n", NULL});
    kit_open(&k, "samples: 3, temperature: 0.5");
    k.job.n = N;
    must(silr_chat_batch(k.chat, &k.job, &err), &err);
    for (int i = 0; i < N; i++)
        assert_int_equal(k.got[i], 3);
    assert_int_equal(count("batch_lines"), 3 * (N - 1)); /* those of the first came live */
    kit_close(&k);
    kit_stop(&k);

    kit_start(&k, NULL);
    must(kit_run(&k, "", N, &err), &err);
    kit_open(&k, "");
    k.job.n = N;
    k.job.rounds = 1;
    must(silr_chat_batch(k.chat, &k.job, &err), &err);
    for (int i = 0; i < N; i++)
        assert_int_equal(k.got[i], 1);
    assert_int_equal(count("batches"), 2);
    assert_int_equal(count("batch_lines"), 2 * N - 1);
    kit_close(&k);
    kit_stop(&k);
}

/* --- what fails ---------------------------------------------------------------------------------- */

/* A third of the lines fails each time: what failed is sent again, what was answered is not. */
static void sends_failed_lines_again(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-errors", "0.3", NULL});
    must(kit_run(&k, "retries: 20", N, &err), &err);
    kit_all_answered(&k, N);
    assert_in_range(count("batches"), 2, 20);
    assert_int_equal(count("answers_twice"), 0);
    assert_int_equal(count("answers"), N);
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
    kit_stop(&k);
}

/* All of them, always: after so many rounds each has its reason. */
static void gives_up(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-errors", "1", NULL});
    must(kit_run(&k, "retries: 2", N, &err), &err);
    assert_int_equal(count("batches"), 3);
    assert_int_equal(k.got[0], 1); /* live */
    for (int i = 1; i < N; i++)
        assert_int_equal(k.failed[i], 1);
    assert_non_null(strstr(k.why, "HTTP 500"));
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), 0);
    kit_stop(&k);
}

/* Half of it is run before it expires: the other half goes into the next, until nothing is left. */
static void goes_on_after_expiry(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-expire", NULL});
    must(kit_run(&k, "", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("batch_lines"), N - 1);
    assert_int_equal(count("batches"), 7); /* of 59, 30, 15, 8, 4, 2 and 1 */
    kit_stop(&k);
}

/* The server refuses the whole: its words come through, nothing is lost, and the next call sends anew. */
static void tells_why_a_batch_failed(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--batch-fail", NULL});
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "Enqueued token limit reached"));
    assert_non_null(strstr(err.text, "batch_lines"));
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batches WHERE state->>'state'='failed'"),
                     1);
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines WHERE tries>0"), 0);
    for (int i = 1; i < N; i++)
        assert_int_equal(k.got[i] + k.failed[i], 0);
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_int_equal(count("batches"), 2);
    assert_int_equal(count("batch_lines"), 0);
    kit_stop(&k);

    kit_start(&k, (const char *[]){"--batch-max-lines", "20", NULL});
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "too_many_requests"));
    must(kit_run(&k, "batch_lines: 20", N, &err), &err);
    kit_all_answered(&k, N);
    kit_stop(&k);
}

/* Another server on the same port, which takes less than was found out: every line is refused. That is
 * said after ten, the others are left for a better day. */
static void stops_when_all_is_refused(void **state)
{
    silr_error err = {0};
    char port[16];
    int asked = 0, failed = 0;
    (void)state;

    kit_start(&k, NULL);
    must(kit_run(&k, "", 1, &err), &err);
    snprintf(port, sizeof port, "%u", k.server.port);
    server_stop(&k.server);
    assert_true(
        server_start(&k.server, (const char *[]){"--port", port, "--reject", "seed", NULL}));
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "10 of its requests were refused"));
    assert_non_null(strstr(err.text, "seed"));
    for (int i = 1; i < N; i++)
        failed += k.failed[i];
    assert_int_equal(failed, 10);
    server_stop(&k.server);
    assert_true(server_start(&k.server, (const char *[]){"--port", port, NULL}));
    must(kit_run(&k, "", N, &err), &err); /* here nobody remembers that ten have failed */
    kit_all_answered(&k, N);
    asked = (int)count("batch_lines");
    assert_int_equal(asked, N - 1);
    kit_stop(&k);
}

/* Somebody stopped it, who may have a reason: its answers count, and nothing is sent again unasked. */
static void respects_a_cancelled_batch(void **state)
{
    silr_http_request r = {.method = "POST", .body = "", .len = 0};
    silr_http_reply reply;
    silr_error err = {0};
    char url[120];
    (void)state;

    kit_start(&k, (const char *[]){"--batch-polls", "5", NULL});
    kit_cue("are with the server", 0);
    assert_int_equal(kit_run(&k, "", N, &err), SILR_ECANCEL);
    kit_cue(NULL, 0);
    kit_open(&k, "");
    snprintf(url, sizeof url, "%s/batches/batch_000001/cancel", k.server.url);
    r.url = url;
    must(silr_call_once(k.chat, &r, true, &reply, &err), &err);
    assert_int_equal(reply.status, 200);
    kit_close(&k);
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "batch_000001 was cancelled"));
    assert_int_equal(count("batches"), 1);
    must(kit_run(&k, "", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("batch_lines"), N - 1);
    kit_stop(&k);
}

/* Faults on every way: an answer cut off, a connection that ends after the request was done. A batch
 * that was created without our knowing is found, not created again. */
static void survives_the_network(void **state)
{
    static const char *const faults[] = {"reset-body=0.4", "truncated-json=0.4", "html=0.3"};
    silr_error err = {0};
    (void)state;

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        kit_start(&k, (const char *[]){"--fault", faults[i], "--fault-everywhere", NULL});
        must(kit_run(&k, "retries: 20", N, &err), &err);
        kit_all_answered(&k, N);
        assert_int_equal(count("batch_lines"), N - 1);
        assert_int_equal(kit_number(&k, "SELECT count(*) FROM batches"), 1);
        kit_stop(&k);
    }
}

/* --- limits -------------------------------------------------------------------------------------- */

/* What a batch could cost is known before anything is sent. */
static void keeps_to_the_budget(void **state)
{
    silr_error err = {0};
    double one;
    char settings[80];
    (void)state;

    kit_start(&k, NULL);
    must(kit_run(&k, "", 1, &err), &err);
    one = (double)kit_number(&k, "SELECT cost * 1e9 FROM answers") / 1e9;
    snprintf(settings, sizeof settings, "max_cost: %.9f", one * (1 + 0.5 * (N - 1)) * 0.9);
    assert_int_equal(kit_run(&k, settings, N, &err), SILR_ELIMIT);
    assert_non_null(strstr(err.text, "--max-cost"));
    assert_int_equal(count("files"), 0);
    snprintf(settings, sizeof settings, "max_cost: %.9f", one * (1 + 0.5 * (N - 1)) * 1.2);
    must(kit_run(&k, settings, N, &err), &err);
    kit_all_answered(&k, N);
    assert_true((double)kit_number(&k, "SELECT sum(cost) * 1e9 FROM answers") / 1e9 <
                one * (1 + 0.5 * (N - 1)) * 1.2);
    kit_stop(&k);
}

static void keeps_to_the_number_of_requests(void **state)
{
    silr_error err = {0};
    int got = 0;
    (void)state;

    kit_start(&k, NULL);
    assert_int_equal(kit_run(&k, "max_requests: 21", N, &err), SILR_ELIMIT);
    assert_non_null(strstr(err.text, "--max-requests"));
    for (int i = 0; i < N; i++)
        got += k.got[i];
    assert_int_equal(got, 21);
    assert_int_equal(count("batch_lines"), 20);
    must(kit_run(&k, "", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("batch_lines"), N - 1);
    kit_stop(&k);
}

/* The time is over, the batch goes on; the next call collects it. */
static void leaves_it_running(void **state)
{
    silr_error err = {0};
    (void)state;

    kit_start(&k, NULL);
    kit_cue("are with the server", 1);
    assert_int_equal(kit_run(&k, "max_time: 1", N, &err), SILR_ELIMIT);
    kit_cue(NULL, 0);
    assert_non_null(strstr(err.text, "59 requests go on at the server, in 1 batch"));
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM batch_lines"), N - 1);
    must(kit_run(&k, "", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("files"), 2); /* one up, one down */
    assert_int_equal(count("batches"), 1);
    assert_int_equal(count("batch_lines"), N - 1);
    kit_stop(&k);
}

/* --- who may not --------------------------------------------------------------------------------- */

/* The key is in headers and nowhere else, though the server repeats it in what it says. */
static void keeps_the_key(void **state)
{
    static const char key[] = "sk-quite-secret-4711";
    silr_error err = {0};
    silr_buf bytes = {0};
    (void)state;

    kit_start(&k, (const char *[]){"--key", key, "--echo-key", "--batch-errors", "0.3", NULL});
    setenv("SILR_TEST_KEY", key, 1);
    must(kit_run(&k, "key_env: SILR_TEST_KEY, retries: 20", N, &err), &err);
    kit_all_answered(&k, N);
    assert_int_equal(count("authorization/distinct"), 1);
    assert_int_equal(count("authorization/without"), 0);
    assert_int_equal(silr_file_read(&bytes, k.path, 1 << 24, &err), SILR_OK);
    assert_null(memmem(bytes.data, bytes.len, key, strlen(key)));
    silr_buf_clear(&bytes);

    setenv("SILR_TEST_KEY", "sk-another", 1);
    assert_int_equal(kit_run(&k, "key_env: SILR_TEST_KEY", N + 1, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "key"));
    assert_null(strstr(err.text, "sk-another"));
    unsetenv("SILR_TEST_KEY");
    kit_stop(&k);
}

/* A batch that the server does not know any more: nothing is paid twice behind the user's back. */
static void does_not_ask_twice_of_a_forgetful_server(void **state)
{
    silr_error err = {0};
    char port[16];
    (void)state;

    kit_start(&k, NULL);
    kit_cue("are with the server", 0);
    assert_int_equal(kit_run(&k, "", N, &err), SILR_ECANCEL);
    assert_non_null(strstr(err.text, "interrupted; 59 requests go on at the server, in 1 batch"));
    kit_cue(NULL, 0);
    snprintf(port, sizeof port, "%u", k.server.port);
    server_stop(&k.server);
    assert_true(server_start(&k.server, (const char *[]){"--port", port, NULL}));
    assert_int_equal(kit_run(&k, "", N, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "annotator.batch=false"));
    assert_int_equal(count("batches"), 0);
    kit_stop(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_all),
        cmocka_unit_test(makes_several),
        cmocka_unit_test(speaks_with_azure),
        cmocka_unit_test(asks_again_and_often),
        cmocka_unit_test(sends_failed_lines_again),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(goes_on_after_expiry),
        cmocka_unit_test(tells_why_a_batch_failed),
        cmocka_unit_test(stops_when_all_is_refused),
        cmocka_unit_test(respects_a_cancelled_batch),
        cmocka_unit_test(survives_the_network),
        cmocka_unit_test(keeps_to_the_budget),
        cmocka_unit_test(keeps_to_the_number_of_requests),
        cmocka_unit_test(leaves_it_running),
        cmocka_unit_test(keeps_the_key),
        cmocka_unit_test(does_not_ask_twice_of_a_forgetful_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
