/* test_batch.c - the Batch API, stage by stage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { LINES = 40 };

static struct server s;
static struct got g;
static char batch[60]; /* "/v1/batches/ID" */

static void start(const char *const *args)
{
    assert_true(server_start(&s, args));
}

static void stop(void)
{
    got_clear(&g);
    assert_int_equal(server_stop(&s), 0);
}

static char *make_lines(const char *more)
{
    silr_buf b = {0};

    for (int i = 0; i < LINES; i++) {
        char text[40];
        snprintf(text, sizeof text, "[[%s]] %d", i % 2 ? "negative" : "positive", i);
        char *body = chat_body(text, more);
        silr_buf_printf(
            &b,
            "{\"custom_id\":\"t%d\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
            "\"body\":%s}\n",
            i, body);
        silr_free(body);
    }
    return silr_buf_take(&b);
}

/* Uploads the lines and begins a batch. */
static void begin(const char *lines)
{
    char ask[200];

    client_upload(&g, &s, "batch", lines);
    assert_int_equal(g.status, 200);
    assert_int_equal(json_integer_value(at(g.json, "bytes")), strlen(lines));
    snprintf(ask, sizeof ask,
             "{\"input_file_id\":\"%s\",\"endpoint\":\"/v1/chat/completions\","
             "\"completion_window\":\"24h\",\"metadata\":{\"a\":\"b\"}}",
             text_at(g.json, "id"));
    client_post(&g, &s, "/v1/batches", NULL, ask);
    assert_int_equal(g.status, 200);
    assert_string_equal(text_at(g.json, "status"), "validating");
    assert_string_equal(text_at(g.json, "metadata/a"), "b");
    snprintf(batch, sizeof batch, "/v1/batches/%s", text_at(g.json, "id"));
}

/* Polls; the stages, a letter each. */
static void poll_batch(char *stages, int n)
{
    for (int i = 0; i < n; i++) {
        client_get(&g, &s, batch, NULL);
        assert_int_equal(g.status, 200);
        stages[i] = text_at(g.json, "status")[0];
    }
    stages[n] = '\0';
}

/* Reads the file named `which` in the batch that g holds. Counts its lines, marks the ids, and
 * says whether any came out of order. NULL in the batch: 0. */
static int read_file(const char *which, int marks[LINES], bool *shuffled, const char *needle)
{
    char path[100], *rest, *id_text = NULL;
    const char *id = text_at(g.json, which);
    struct got file = {0};
    int n = 0, last = -1;

    if (!id)
        return 0;
    id_text = silr_strdup(id);
    snprintf(path, sizeof path, "/v1/files/%s/content", id_text);
    client_get(&file, &s, path, NULL);
    assert_int_equal(file.status, 200);
    for (char *line = strtok_r(file.body.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest), n++) {
        json_t *row = json_loads(line, 0, NULL);
        int i = atoi(text_at(row, "custom_id") + 1);
        const char *said = text_at(row, "response/body/choices/0/message/content");
        marks[i]++;
        *shuffled |= i < last;
        last = i;
        assert_non_null(strstr(line, needle));
        if (said)
            assert_string_equal(said, i % 2 ? "negative" : "positive");
        json_decref(row);
    }
    silr_free(id_text);
    got_clear(&file);
    return n;
}

/* Two polls a stage, then all answers, each once, in another order. */
static void completes(void **state)
{
    int marks[LINES] = {0};
    bool shuffled = false;
    char stages[10], *lines = make_lines("");
    (void)state;

    start(NULL);
    begin(lines);
    poll_batch(stages, 7);
    assert_string_equal(stages, "viiffcc");
    assert_int_equal(json_integer_value(at(g.json, "request_counts/completed")), LINES);
    assert_int_equal(read_file("output_file_id", marks, &shuffled, "\"status_code\":200"), LINES);
    assert_true(json_is_null(at(g.json, "error_file_id")));
    for (int i = 0; i < LINES; i++)
        assert_int_equal(marks[i], 1);
    assert_true(shuffled);
    assert_int_equal(server_count(&s, "batch_lines"), LINES);
    assert_int_equal(server_count(&s, "answers"), LINES);
    silr_free(lines);
    stop();
}

/* Some lines fail into the error file, every line is in one of the two; what fails once need not
 * fail again. */
static void has_errors(void **state)
{
    const char *args[] = {"--batch-errors", "0.3", "--batch-polls", "0", NULL};
    int marks[LINES] = {0}, errors[2];
    bool shuffled = false;
    char stages[10], *lines = make_lines("");
    (void)state;

    start(args);
    for (int round = 0; round < 2; round++) {
        begin(lines);
        poll_batch(stages, 1);
        assert_string_equal(stages, "c");
        errors[round] = read_file("error_file_id", marks, &shuffled, "\"status_code\":500");
        assert_in_range(errors[round], 3, 25);
        assert_int_equal(read_file("output_file_id", marks, &shuffled, "\"status_code\":200"),
                         LINES - errors[round]);
    }
    for (int i = 0; i < LINES; i++)
        assert_int_equal(marks[i], 2);
    assert_true(server_count(&s, "answers_twice") < LINES - errors[0]);
    silr_free(lines);
    stop();
}

/* Parameters are rejected in a batch as elsewhere. */
static void rejects(void **state)
{
    const char *args[] = {"--reject", "seed", "--batch-polls", "0", NULL};
    int marks[LINES] = {0};
    bool shuffled = false;
    char stages[10], *lines = make_lines("\"seed\":1,");
    (void)state;

    start(args);
    begin(lines);
    poll_batch(stages, 1);
    assert_int_equal(read_file("error_file_id", marks, &shuffled, "\"param\":\"seed\""), LINES);
    assert_true(json_is_null(at(g.json, "output_file_id")));
    silr_free(lines);
    stop();
}

static void expires(void **state)
{
    const char *args[] = {"--batch-expire", "--batch-polls", "1", NULL};
    int marks[LINES] = {0};
    bool shuffled = false;
    char stages[10], *lines = make_lines("");
    (void)state;

    start(args);
    begin(lines);
    poll_batch(stages, 3);
    assert_string_equal(stages, "iee");
    assert_int_equal(read_file("output_file_id", marks, &shuffled, "\"status_code\":200"),
                     LINES / 2);
    assert_int_equal(read_file("error_file_id", marks, &shuffled, "\"code\":\"batch_expired\""),
                     LINES / 2);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(marks[i], 1);
    silr_free(lines);
    stop();
}

static void fails(void **state)
{
    const char *args[] = {"--batch-fail", "--batch-polls", "1", NULL};
    char stages[10], *lines = make_lines("");
    (void)state;

    start(args);
    begin(lines);
    poll_batch(stages, 2);
    assert_string_equal(stages, "ff");
    assert_string_equal(text_at(g.json, "status"), "failed");
    assert_string_equal(text_at(g.json, "errors/data/0/code"), "token_limit_exceeded");
    assert_true(json_is_null(at(g.json, "output_file_id")));
    silr_free(lines);
    stop();
}

/* What a client may do wrong fails the validation, with the line. */
static void validates(void **state)
{
#define LINE(id, url)                                                                              \
    "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"" url "\",\"body\":{}}\n"
    static const struct {
        const char *lines, *code;
        int line;
    } cases[] = {
        {"{\n", "invalid_json_line", 1},
        {LINE("a", "/v1/chat/completions") "{}\n", "missing_required_parameter", 2},
        {LINE("a", "/v1/chat/completions") LINE("a", "/v1/chat/completions"), "duplicate_custom_id",
         2},
        {LINE("a", "/v1/embeddings"), "mismatched_endpoint", 1},
        {LINE("a", "/v1/chat/completions") LINE("b", "/v1/chat/completions")
             LINE("c", "/v1/chat/completions"),
         "too_many_requests", 0},
    };
    const char *args[] = {"--batch-polls", "1", "--batch-max-lines", "2", NULL};
    char stages[10];
    (void)state;

    start(args);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].lines);
        poll_batch(stages, 1);
        assert_string_equal(text_at(g.json, "status"), "failed");
        assert_string_equal(text_at(g.json, "errors/data/0/code"), cases[i].code);
        assert_int_equal(json_integer_value(at(g.json, "errors/data/0/line")), cases[i].line);
    }
    client_get(&g, &s, "/v1/batches?limit=2", NULL);
    assert_int_equal(json_array_size(at(g.json, "data")), 2);
    assert_true(json_is_true(at(g.json, "has_more")));
    assert_string_equal(text_at(g.json, "data/0/id"), batch + strlen("/v1/batches/"));
    client_get(&g, &s, "/v1/batches?after=batch_000002", NULL);
    assert_int_equal(json_array_size(at(g.json, "data")), 1);
    stop();
}

static void cancels(void **state)
{
    const char *args[] = {"--batch-polls", "1", NULL};
    int marks[LINES] = {0};
    bool shuffled = false;
    char stages[10], path[100], *lines = make_lines("");
    (void)state;

    start(args);
    begin(lines);
    poll_batch(stages, 1);
    snprintf(path, sizeof path, "%s/cancel", batch);
    client_post(&g, &s, path, NULL, "");
    assert_string_equal(text_at(g.json, "status"), "cancelling");
    poll_batch(stages, 1);
    assert_string_equal(text_at(g.json, "status"), "cancelled");
    assert_int_equal(read_file("output_file_id", marks, &shuffled, "\"status_code\":200"),
                     LINES / 2);
    client_post(&g, &s, path, NULL, "");
    assert_int_equal(g.status, 409);
    silr_free(lines);
    stop();
}

static void refuses(void **state)
{
    (void)state;

    start(NULL);
    client_upload(&g, &s, "assistants", "x");
    assert_int_equal(g.status, 400);
    client_upload(&g, &s, "batch", "");
    assert_int_equal(g.status, 400);
    client_post(&g, &s, "/v1/files", NULL, "{}");
    assert_int_equal(g.status, 400);
    client_post(&g, &s, "/v1/batches", NULL,
                "{\"input_file_id\":\"file-1\",\"endpoint\":\"/v1/chat/completions\","
                "\"completion_window\":\"24h\"}");
    assert_int_equal(g.status, 400);
    assert_string_equal(text_at(g.json, "error/param"), "input_file_id");
    client_get(&g, &s, "/v1/batches/batch_1", NULL);
    assert_int_equal(g.status, 404);
    client_get(&g, &s, "/v1/files/file-1/content", NULL);
    assert_int_equal(g.status, 404);
    client_get(&g, &s, "/v1/files/", NULL);
    assert_int_equal(g.status, 404);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completes), cmocka_unit_test(has_errors), cmocka_unit_test(rejects),
        cmocka_unit_test(expires),   cmocka_unit_test(fails),      cmocka_unit_test(validates),
        cmocka_unit_test(cancels),   cmocka_unit_test(refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
