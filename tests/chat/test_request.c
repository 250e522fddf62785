/* test_request.c - the body of a request to the byte, and that its hash tells requests apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static silr_task *task;

static void make(const char *settings)
{
    silr_buf yaml = {0};
    silr_error err;

    silr_task_free(task);
    silr_buf_printf(&yaml, "name: t\nclasses: [positive, \"so \\\"so\\\"\"]\n"
                    "corpus: {files: [x.jsonl], text: text}\nannotator: {kind: chat, model: m%s%s}\n",
                    settings[0] ? ", " : "", settings);
    if (silr_task_parse(&task, yaml.data, yaml.len, "task.yaml", ".", NULL, 0, &err) != SILR_OK)
        fail_msg("%s", err.text);
    silr_buf_clear(&yaml);
}

static int clean(void **state)
{
    (void)state;
    silr_task_free(task);
    task = NULL;
    return 0;
}

static void is(const silr_server *s, int sample, const char *want)
{
    silr_buf b = {0};
    json_t *root;

    silr_request_body(task, s, "[]", 2, sample, &b);
    assert_false(b.failed);
    root = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
    if (strcmp(b.data, want) != 0 || !root)
        fail_msg("\n%s\ninstead of\n%s", b.data, want);
    json_decref(root);
    silr_buf_clear(&b);
}

static void bodies(void **state)
{
    silr_server s;
    (void)state;

    make("max_tokens: 9");
    s = silr_server_hopes(task);
    is(&s, 0, "{\"model\":\"m\",\"messages\":[],\"temperature\":0,\"max_tokens\":9,\"logprobs\":true,"
              "\"top_logprobs\":20,\"seed\":1}");
    s.tokens = SILR_TOKENS_NEW;
    s.top = 0;
    s.reasons = true;
    is(&s, 2, "{\"model\":\"m\",\"messages\":[],\"temperature\":0,\"max_completion_tokens\":4105,"
              "\"logprobs\":true,\"seed\":3}");
    s = (silr_server){.tokens = SILR_TOKENS_NONE, .top = 20}; /* no logprobs, so no alternatives either */
    is(&s, 1, "{\"model\":\"m\",\"messages\":[]}");

    make("max_tokens: 9, format: json, temperature: 0.25, samples: 3, parameters: {reasoning_effort: low, x: "
         "{y: [1, true, null]}}");
    s = silr_server_hopes(task);
    is(&s, 0, "{\"model\":\"m\",\"messages\":[],\"temperature\":0.25,\"max_tokens\":9,\"seed\":1,\"n\":3,"
              "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"label\","
              "\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{\"label\":{\"type\":"
              "\"string\",\"enum\":[\"positive\",\"so \\\"so\\\"\"]}},\"required\":[\"label\"],"
              "\"additionalProperties\":false}}},\"reasoning_effort\": \"low\", \"x\": {\"y\": [1, true, "
              "null]}}");
    s.schema = s.many = false;
    is(&s, 0, "{\"model\":\"m\",\"messages\":[],\"temperature\":0.25,\"max_tokens\":9,\"seed\":1,"
              "\"response_format\":{\"type\":\"json_object\"},\"reasoning_effort\": \"low\", \"x\": {\"y\": "
              "[1, true, null]}}");
}

static void room_for_every_answer(void **state)
{
    silr_server s;
    (void)state;

    make("");
    s = silr_server_hopes(task);
    assert_true(silr_request_tokens(task, &s) >= (int64_t)strlen("positive") / 3 + 5);
    make("format: json");
    assert_true(silr_request_tokens(task, &s) >= 20);
    s.reasons = true;
    assert_true(silr_request_tokens(task, &s) >= 4096 + 20);
}

static void addresses(void **state)
{
    static const struct {
        const char *base, *url;
    } cases[] = {
        {"https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"},
        {"http://localhost:8080", "http://localhost:8080/chat/completions"},
        {"http://localhost:8080/", "http://localhost:8080/chat/completions"},
        {"http://localhost:8080/v1///", "http://localhost:8080/v1/chat/completions"},
        {"https://x/openai?api-version=2024-02-01", "https://x/openai/chat/completions?api-version=2024-02-01"},
        {"https://x/v1/?a=b/c&d", "https://x/v1/chat/completions?a=b/c&d"},
        {"https://x/v1#part", "https://x/v1/chat/completions"},
        {"https://x/v1?a=b#part", "https://x/v1/chat/completions?a=b"},
    };
    silr_buf b = {0};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_buf_reset(&b);
        silr_request_url(cases[i].base, "/chat/completions", &b);
        assert_string_equal(b.data, cases[i].url);
    }
    silr_buf_clear(&b);
}

static void the_address_comes_from(void **state)
{
    (void)state;
    unsetenv("OPENAI_BASE_URL");
    make("");
    assert_string_equal(silr_chat_url(task), "https://api.openai.com/v1");
    setenv("OPENAI_BASE_URL", "", 1);
    assert_string_equal(silr_chat_url(task), "https://api.openai.com/v1");
    setenv("OPENAI_BASE_URL", "http://env/v1", 1);
    assert_string_equal(silr_chat_url(task), "http://env/v1");
    make("url: \"http://task/v1\"");
    assert_string_equal(silr_chat_url(task), "http://task/v1");
    unsetenv("OPENAI_BASE_URL");
}

/* --- identity ------------------------------------------------------------------------------------ */

static silr_ask_id seen[64];
static size_t n_seen;

/* The request of this task about "text": another than all before, or one of them. */
static void request(const char *settings, const silr_server *other, const char *url, const char *text,
                    int sample, bool new)
{
    silr_server s;
    silr_prompt *p;
    silr_buf messages = {0}, body = {0};
    silr_ask_id id;
    bool found = false;

    make(settings);
    s = other ? *other : silr_server_hopes(task);
    assert_int_equal(silr_prompt_new(&p, task, NULL, 0, s.system, NULL), SILR_OK);
    silr_prompt_messages(p, text, strlen(text), NULL, 0, &messages);
    silr_request_body(task, &s, messages.data, messages.len, sample, &body);
    assert_int_equal(silr_request_id(&id, url, body.data, body.len, sample, NULL), SILR_OK);
    for (size_t i = 0; i < n_seen; i++)
        found = found || memcmp(id.bytes, seen[i].bytes, sizeof id.bytes) == 0;
    if (found == new)
        fail_msg("%s, %s, %s, %d: %s", settings, url, text, sample, new ? "not new" : "new");
    seen[n_seen++] = id;
    silr_prompt_free(p);
    silr_buf_clear(&messages);
    silr_buf_clear(&body);
}

static void whatever_changes_the_answer_is_another_request(void **state)
{
    static const char url[] = "http://a/v1/chat/completions";
    static const char *const settings[] = {
        "temperature: 0.1", "max_tokens: 77", "logprobs: false", "top_logprobs: 7", "format: json",
        "answers: true-false", "instruction: Now., examples: []", "prompt: \"{text}?\"",
        "examples: [{text: a, label: positive}]", "descriptions: {positive: good}",
        "parameters: {top_p: 0.5}", "samples: 2, temperature: 0.1",
    };
    silr_server s;
    (void)state;

    n_seen = 0;
    request("", NULL, url, "text", 0, true);
    request("", NULL, url, "text", 0, false);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        request(settings[i], NULL, url, "text", 0, true);
    request("", NULL, url, "text ", 0, true);
    request("", NULL, url, "text", 1, true);
    request("", NULL, "http://b/v1/chat/completions", "text", 0, true);
    request("", NULL, "http://a/v1/chat/completions?x=y", "text", 0, true);
    s = silr_server_hopes(task);
    s.seed = false;
    request("", &s, url, "text", 0, true);
    request("", &s, url, "text", 1, true); /* the same body, another sample */
    s.system = false;
    request("", &s, url, "text", 0, true);
    /* how it is asked changes nothing */
    request("concurrency: 3, retries: 1, timeout: 5, max_requests: 7, cache: c.db, key_env: K, auth: api-key",
            NULL, url, "text", 0, false);
}

/* SHA-256 of address, sample and body: kept in files, so that it must stay what it is. */
static void ids_stay_what_they_are(void **state)
{
    static const unsigned char want[4] = {0x94, 0x3a, 0xeb, 0xea};
    silr_ask_id id;
    (void)state;

    assert_int_equal(silr_request_id(&id, "http://a", "{}", 2, 3, NULL), SILR_OK);
    if (memcmp(id.bytes, want, 4) != 0)
        fail_msg("%02x %02x %02x %02x", id.bytes[0], id.bytes[1], id.bytes[2], id.bytes[3]);
    assert_true(silr_ask_id_short(&id) >> 32 == 0x943aebea);
}

static void any_allocation_may_fail(void **state)
{
    silr_server s;
    int failures = 0;
    (void)state;

    make("format: json, parameters: {a: b}");
    s = silr_server_hopes(task);
    for (uint64_t n = 1;; n++) {
        silr_buf b = {0};
        silr_mem_fail_at(n, false);
        silr_request_body(task, &s, "[]", 2, 0, &b);
        silr_mem_fail_at(0, false);
        bool failed = b.failed;
        silr_buf_clear(&b);
        failures += failed;
        if (!failed)
            break;
    }
    assert_true(failures > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(room_for_every_answer),
        cmocka_unit_test(addresses),
        cmocka_unit_test(the_address_comes_from),
        cmocka_unit_test(whatever_changes_the_answer_is_another_request),
        cmocka_unit_test(ids_stay_what_they_are),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
