/* test_batch_lines.c - what a server may write into the files of a batch, and into its descriptions:
 * all of it is foreign. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 12 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CHECKED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { CHECKED = 1 };
#else
enum { CHECKED = 0 };
#endif
#else
enum { CHECKED = 0 };
#endif

/* --- cutting a line ------------------------------------------------------------------------------ */

static bool cut(silr_outline *o, const char *line)
{
    /* A copy of exactly its size: a sanitizer sees every byte that is read beyond it. */
    size_t len = strlen(line);
    static char *copy;

    free(copy);
    copy = malloc(len + 1);
    memcpy(copy, line, len);
    copy[len] = '}'; /* would end an object, if it were looked at */
    return silr_outline_cut(o, copy, len);
}

static void is_text(const char *got, size_t len, const char *text)
{
    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, len);
}

static void cuts_what_is_there(void **state)
{
    silr_outline o;
    (void)state;

    assert_true(cut(&o, "{\"id\":\"r1\",\"custom_id\":\"ab\",\"response\":{\"status_code\":200,"
                        "\"request_id\":\"q\","
                        "\"body\":{\"a\":[1,{\"b\":\"}]\\\"\"}]}},\"error\":null}"));
    is_text(o.custom_id, o.id_len, "ab");
    is_text(o.body, o.body_len, "{\"a\":[1,{\"b\":\"}]\\\"\"}]}");
    assert_int_equal(o.status, 200);
    assert_null(o.error);

    assert_true(cut(&o, " { \"error\" : {\"code\":\"batch_expired\"} , \"response\" : null , "
                        "\"custom_id\" : \"x\" } "));
    is_text(o.error, o.error_len, "{\"code\":\"batch_expired\"}");
    assert_null(o.body);
    assert_int_equal(o.status, 0);

    /* Names count where they stand, not inside of something else. */
    assert_true(cut(
        &o,
        "{\"x\":{\"custom_id\":\"no\",\"response\":{\"status_code\":500}},\"custom_id\":\"yes\","
        "\"response\":{\"body\":\"words\",\"status_code\":429}}"));
    is_text(o.custom_id, o.id_len, "yes");
    is_text(o.body, o.body_len, "\"words\"");
    assert_int_equal(o.status, 429);

    assert_true(
        cut(&o, "{\"custom_id\":\"a\",\"response\":{\"status_code\":\"200\",\"body\":null}}"));
    assert_int_equal(o.status, 0);
    assert_null(o.body);
}

static void refuses_what_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "null",
        "{",
        "{}",
        "{\"custom_id\":1}",
        "{\"custom_id\":\"a\"",
        "{\"custom_id\":\"a",
        "{\"custom_id\"}",
        "{\"custom_id\":\"a\\",
        "{\"custom_id\":\"a\",\"response\":{\"body\":{}",
        "{\"custom_id\":\"a\",\"response\":{\"body\":[[[[[[\"}",
        "{\"custom_id\":\"a\" \"b\":1}",
        "<html><body>Bad gateway</body></html>",
        "{,,,}",
        "{\"custom_id\":\"a\",\"response\":{\"body\"}}",
    };
    silr_outline o;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cut(&o, bad[i]))
            fail_msg("\"%s\" was taken for a line", bad[i]);
}

/* --- ids and descriptions ------------------------------------------------------------------------ */

/* An id stands in an address: nothing in it may lead elsewhere. */
static void checks_ids(void **state)
{
    static const char *const bad[] = {"",         ".",       "..",   "../x",  "a/b",
                                      "a?b",      "a#b",     "a b",  "a%2fb", "a\nb",
                                      "\xc3\xa9", ".hidden", "a\\b", "a&b=c"};
    char out[BATCH_ID], longest[BATCH_ID + 1];
    json_t *v;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        v = json_string(bad[i]);
        if (silr_batch_id(out, v))
            fail_msg("\"%s\" was taken for an id", bad[i]);
        json_decref(v);
    }
    assert_false(silr_batch_id(out, json_null()));
    assert_false(silr_batch_id(out, NULL));
    v = json_stringn("a\0b", 3);
    assert_false(silr_batch_id(out, v));
    json_decref(v);
    memset(longest, 'a', sizeof longest);
    v = json_stringn(longest, BATCH_ID);
    assert_false(silr_batch_id(out, v));
    json_decref(v);
    v = json_stringn(longest, BATCH_ID - 1);
    assert_true(silr_batch_id(out, v));
    json_decref(v);
    v = json_string("batch_67:Ab.c-1");
    assert_true(silr_batch_id(out, v));
    assert_string_equal(out, "batch_67:Ab.c-1");
    json_decref(v);
}

static bool describe(batch *t, const char *json)
{
    json_t *root = json_loads(json, 0, NULL);
    bool good = silr_batch_read(t, root);

    json_decref(root);
    return good;
}

static void reads_descriptions(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"id\":\"b\"}",
        "{\"id\":\"b\",\"status\":7}",
        "{\"id\":\"b/..\",\"status\":\"completed\"}",
        "{\"id\":\"b\",\"status\":\"completed\\u001b[31m\"}",
        "{\"id\":\"other\",\"status\":\"completed\"}",
        "{\"id\":\"b\",\"status\":\"a status of many more letters than there are\"}",
        "{\"id\":\"b\",\"status\":\"completed\",\"output_file_id\":\"../../keys\"}",
        "{\"id\":\"b\",\"status\":\"completed\",\"error_file_id\":7}",
    };
    batch t = {.id = "b", .told = "in_progress"};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (describe(&t, bad[i]))
            fail_msg("%s was taken for a batch", bad[i]);
        assert_string_equal(t.told, "in_progress");
    }
    assert_true(describe(
        &t,
        "{\"id\":\"b\",\"status\":\"in_progress\",\"output_file_id\":null,\"error_file_id\":\"\","
        "\"request_counts\":{\"total\":3,\"completed\":-2,\"failed\":1}}"));
    assert_int_equal(t.completed, 0);
    assert_int_equal(t.failed, 1);
    assert_false(silr_batch_ended(&t));
    assert_true(describe(&t, "{\"id\":\"b\",\"status\":\"COMPLETED\",\"output_file_id\":\"f-1\"}"));
    assert_true(silr_batch_ended(&t)); /* some write it so */
    assert_string_equal(t.output, "f-1");
    assert_true(describe(
        &t, "{\"id\":\"b\",\"status\":\"failed\",\"errors\":{\"data\":[{\"code\":\"c\",\"message\":"
            "\"no\\u001b[2J room\",\"line\":3},{},{}]}}"));
    assert_string_equal(t.why, "line 3: no [2J room (c); and 2 more");
}

/* --- files --------------------------------------------------------------------------------------- */

static kit k;
static batcher b;

/* A job of N texts of which all but the first are in a batch that exists in our mind only. */
static batch *begin(void)
{
    size_t from;
    batch *t;

    kit_open(&k, "retries: 0");
    k.job.n = N;
    b = (batcher){
        .c = k.chat, .job = &k.job, .most_bytes = BATCH_BYTES, .endpoint = "/v1/chat/completions"};
    silr_buf_puts(&b.base, k.server.url);
    assert_int_equal(silr_batch_settle(&b, &from, NULL), SILR_OK);
    assert_int_equal(silr_batch_plan(&b, from, NULL), SILR_OK);
    assert_int_equal(b.n, N - 1);
    t = silr_batch_new(&b, NULL);
    assert_non_null(t);
    t->stage = BATCH_CREATED;
    t->lines = t->waiting = b.n;
    for (size_t i = 0; i < b.n; i++)
        b.want[i].batch = 0;
    snprintf(t->id, sizeof t->id, "batch_1");
    snprintf(t->told, sizeof t->told, "completed");
    return t;
}

static void end(void)
{
    silr_buf_clear(&b.base);
    silr_free(b.want);
    silr_free(b.batch);
    kit_close(&k);
}

static void put_id(silr_buf *out, size_t i)
{
    silr_buf_puts(out, "{\"custom_id\":\"");
    for (size_t j = 0; j < sizeof b.want[i].id.bytes; j++)
        silr_buf_printf(out, "%02x", b.want[i].id.bytes[j]);
    silr_buf_puts(out, "\"");
}

static void put_answer(silr_buf *out, size_t i, const char *content)
{
    put_id(out, i);
    silr_buf_printf(out,
                    ",\"response\":{\"status_code\":200,\"body\":{\"choices\":[{\"message\":{"
                    "\"content\":\"%s\"}}]}}"
                    ",\"error\":null}",
                    content);
}

static const char *right(size_t i)
{
    return b.want[i].item % 3 ? "positive" : "negative";
}

/* The server keeps it as any file; its id in `id`. */
static void upload(char id[BATCH_ID], const silr_buf *lines)
{
    silr_buf body = {0}, url = {0};
    silr_http_reply reply;
    silr_http_request r = {.method = "POST", .content_type = "multipart/form-data; boundary=zz"};
    silr_error err = {0};
    json_t *root;

    assert_false(lines->failed);
    assert_int_equal(silr_call_url(&b, &url, "/files", NULL, &err), SILR_OK);
    silr_buf_puts(&body,
                  "--zz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
                  "--zz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n");
    silr_buf_add(&body, lines->data, lines->len);
    silr_buf_puts(&body, "\r\n--zz--\r\n");
    r.url = url.data;
    r.body = body.data;
    r.len = body.len;
    assert_int_equal(silr_call_once(k.chat, &r, true, &reply, &err), SILR_OK);
    root = silr_call_json(&reply);
    assert_true(silr_batch_id(id, json_object_get(root, "id")));
    json_decref(root);
    silr_buf_clear(&body);
    silr_buf_clear(&url);
}

/* Among all sorts of lines those that were asked for are found, once; the others harm nobody. */
static void takes_what_was_asked_for(void **state)
{
    silr_buf lines = {0};
    silr_error err = {0};
    batch *t;
    (void)state;

    kit_start(&k, NULL);
    t = begin();
    put_answer(&lines, 0, right(0));
    silr_buf_puts(
        &lines,
        "\r\n\n   \n<html>\n{\"custom_id\":\"d1\",\"response\":{\"status_code\":200,\"body\":{}}}\n"
        "{\"custom_id\":\"00000000000000000000000000000000000000000000000000000000000000zz\"}\n");
    put_answer(&lines, 0, "something else"); /* the first one counts */
    silr_buf_puts(&lines, "\n{\"custom_id\":\"");
    for (size_t i = 0; i < (5 << 20); i++)
        silr_buf_putc(&lines, 'x');
    silr_buf_puts(&lines, "\"}\n");
    put_id(&lines, 1);
    silr_buf_puts(&lines, ",\"response\":{\"status_code\":200,\"body\":{\"choices\":[]}}}\n");
    put_id(&lines, 2);
    silr_buf_puts(&lines, ",\"response\":{\"status_code\":200,\"body\":\"words\"}}\n");
    put_id(&lines, 3);
    silr_buf_puts(&lines, ",\"response\":{\"status_code\":200,\"body\":{\"choices\":[}}\n");
    put_id(&lines, 4);
    silr_buf_puts(&lines,
                  ",\"response\":{\"status_code\":503,\"body\":\"busy\"},\"error\":null}\n");
    put_id(&lines, 5);
    silr_buf_puts(
        &lines,
        ",\"response\":{\"status_code\":400,\"body\":{\"error\":{\"message\":\"too long\"}}}}\n");
    put_id(&lines, 6);
    silr_buf_puts(
        &lines,
        ",\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":\"late\"}}\n");
    for (size_t i = 8; i < b.n; i++) {
        put_answer(&lines, i, right(i));
        silr_buf_puts(&lines, i + 1 < b.n ? "\n" : ""); /* the last line ends with the file */
    }
    upload(t->output, &lines);
    if (silr_batch_gather(&b, t, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(k.wrong, 0);
    for (size_t i = 0; i < b.n;
         i++) { /* 1 to 4, 6 and 7, which is in no file, may pass: once more */
        bool passes = (i >= 1 && i <= 4) || i == 6 || i == 7;
        assert_int_equal(k.got[b.want[i].item], !passes && i != 5);
        assert_int_equal(k.failed[b.want[i].item], i == 5);
        assert_int_equal(b.want[i].done, !passes);
        assert_int_equal(b.want[i].batch == BATCH_NONE, passes);
    }
    assert_string_equal(k.why, "HTTP 400: too long");
    assert_int_equal(kit_number(&k, "SELECT count(*) FROM answers WHERE origin=1"), N - 1 - 7);
    silr_buf_clear(&lines);
    end();
    kit_stop(&k);
}

/* In a process that has not held the file itself: did it grow, while it read it? */
static int grows(int pipe)
{
    char id[BATCH_ID] = "";
    uint64_t before;
    batch *t;

    if (read(pipe, id, sizeof id) != sizeof id)
        return 2;
    t = begin();
    memcpy(t->output, id, sizeof id);
    before = silr_peak_memory();
    if (silr_batch_gather(&b, t, NULL) != SILR_OK)
        return 3;
    return silr_peak_memory() - before > 4 << 20;
}

/* A file of 100,000 lines of a stranger's, 15 MB: memory does not grow with it. */
static void needs_no_memory_for_strangers(void **state)
{
    enum { LINES = 100000 };
    silr_buf lines = {0};
    char id[BATCH_ID] = "";
    int ends[2], status;
    pid_t pid;
    (void)state;

    if (CHECKED) {
        print_message("a sanitizer keeps what was freed\n");
        skip();
    }
    kit_start(&k, NULL);
    assert_int_equal(pipe(ends), 0);
    if ((pid = fork()) == 0)
        _exit(grows(ends[0]));
    begin();
    for (size_t i = 0; i < LINES; i++)
        silr_buf_printf(
            &lines,
            "{\"custom_id\":\"%064zx\",\"response\":{\"status_code\":200,\"body\":{\"choices\":[{"
            "\"message\":{\"content\":\"positive\"}}]}},\"error\":null}\n",
            i);
    upload(id, &lines);
    end();
    assert_int_equal(write(ends[1], id, sizeof id), sizeof id);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
    silr_buf_clear(&lines);
    kit_stop(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_what_is_there),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(checks_ids),
        cmocka_unit_test(reads_descriptions),
        cmocka_unit_test(takes_what_was_asked_for),
        cmocka_unit_test(needs_no_memory_for_strangers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
