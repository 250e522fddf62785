/* test_learn.c - what a server will not take is found out, however it says so, and left out: of that
 * alone, once, and every text has its right answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/talk.h"
#include "server/start.h"
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 6, PARAMS = 9, STYLES = 5 };
static const char *const params[PARAMS] = {"max_tokens", "max_completion_tokens", "logprobs",
                                           "top_logprobs", "response_format", "seed", "temperature",
                                           "n", "system"};
static const char *const styles[STYLES] = {"openai", "bare", "plain", "fastapi", "vllm"};

static struct server server;
static struct talk t;

static const char *marked(size_t i, char room[100])
{
    snprintf(room, 100, "text %zu [[%s]]", i, i % 2 ? "yes" : "no");
    return room;
}

/* Asks once, and once more: which must send nothing. Returns the requests it took. */
static int64_t ask(const char *const *args, const char *settings)
{
    int64_t took;

    assert_true(server_start(&server, args));
    talk_start(&t, server.url, settings, TEXTS);
    t.text = marked;
    if (talk_ask(&t) != SILR_OK)
        fail_msg("%s %s: %s", args[1], args[3], t.err.text);
    for (size_t i = 0; i < TEXTS; i++)
        if (t.times[i] == 0 || t.failed[i] || t.label[i] != (int)(i % 2))
            fail_msg("%s %s: text %zu: label %d, %s", args[1], args[3], i, t.label[i], t.why[i]);
    took = server_count(&server, "chat");
    assert_int_equal(talk_ask(&t), SILR_OK);
    assert_int_equal(server_count(&server, "chat"), took);
    if (t.server.seed) /* else the samples of a text are asked for in the same words */
        assert_int_equal(server_count(&server, "answers_twice"), 0);
    return took;
}

static void finish(void)
{
    talk_end(&t);
    server_stop(&server);
}

static bool rejected(unsigned set, const char *name)
{
    for (int p = 0; p < PARAMS; p++)
        if (strcmp(params[p], name) == 0)
            return set >> p & 1;
    return false;
}

/* What was found out is what the server rejects, and nothing else. */
static void check_server(unsigned set, bool many, bool json)
{
    const silr_server *s = &t.server;
    silr_tokens_name tokens = !rejected(set, "max_tokens") ? SILR_TOKENS_OLD
                              : !rejected(set, "max_completion_tokens") ? SILR_TOKENS_NEW
                                                                        : SILR_TOKENS_NONE;

    assert_true(t.known);
    assert_int_equal(s->tokens, tokens);
    assert_int_equal(s->seed, !rejected(set, "seed"));
    assert_int_equal(s->temperature, !rejected(set, "temperature"));
    assert_int_equal(s->system, !rejected(set, "system"));
    assert_int_equal(s->many, many && !rejected(set, "n"));
    assert_int_equal(s->schema, json && !rejected(set, "response_format"));
    assert_int_equal(s->logprobs, !many && !rejected(set, "logprobs"));
    assert_int_equal(s->logprobs_come, s->logprobs);
    if (s->logprobs)
        assert_int_equal(s->top, rejected(set, "top_logprobs") ? 0 : 20);
}

static void reject(unsigned set, const char *style, bool many)
{
    const char *args[2 * PARAMS + 5] = {"--reject-style", style, "--classes", "no,yes"};
    int n = 4, refusals = 0;
    int64_t took, texts;

    for (int p = 0; p < PARAMS; p++)
        if (set >> p & 1) {
            args[n++] = "--reject";
            args[n++] = params[p];
            refusals += strcmp(params[p], "top_logprobs") == 0 ? 4 : 2;
        }
    took = ask(args, many ? "format: json, samples: 3, temperature: 0.5" : "format: json");
    check_server(set, many, true);
    texts = many && rejected(set, "n") ? 3 * TEXTS : TEXTS;
    if (took > texts + refusals)
        fail_msg("--reject-style %s, set %x: %lld requests", style, set, (long long)took);
    for (size_t i = 0; i < TEXTS; i++) /* as many answers as wanted, in one request or three */
        assert_int_equal(t.choices[i], many ? 3 : 1);
    finish();
}

static void each_parameter_in_each_manner(void **state)
{
    (void)state;
    for (int style = 0; style < STYLES; style++)
        for (int p = 0; p < PARAMS; p++)
            reject(1u << p, styles[style], strcmp(params[p], "n") == 0);
}

static void all_at_once(void **state)
{
    (void)state;
    for (int style = 0; style < STYLES; style++) {
        reject((1u << PARAMS) - 1, styles[style], false);
        reject((1u << PARAMS) - 1, styles[style], true);
        reject(1u << 0 | 1u << 6 | 1u << 8 | 1u << 2, styles[style], false); /* as reasoning models do */
    }
}

static void fewer_alternatives(void **state)
{
    static const struct {
        const char *most;
        int top;
    } cases[] = {{"20", 20}, {"15", 10}, {"10", 10}, {"5", 5}, {"4", 0}, {"0", 0}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *args[] = {"--max-top", cases[i].most, "--classes", "no,yes", NULL};
        ask(args, "");
        assert_true(t.server.logprobs && t.server.logprobs_come);
        assert_int_equal(t.server.top, cases[i].top);
        finish();
    }
}

/* One that takes everything and gives what it likes. */
static void what_is_ignored(void **state)
{
    const char *logprobs[] = {"--ignore", "logprobs", "--classes", "no,yes", NULL};
    const char *n[] = {"--ignore", "n", "--classes", "no,yes", NULL};
    (void)state;

    assert_int_equal(ask(logprobs, ""), TEXTS);
    assert_true(t.server.logprobs && !t.server.logprobs_come);
    finish();
    assert_int_equal(ask(n, "samples: 4, temperature: 1"), 4 * TEXTS + 1);
    assert_false(t.server.many);
    for (size_t i = 0; i < TEXTS; i++) {
        assert_int_equal(t.choices[i], 4);
        assert_int_equal(t.times[i], 4);
    }
    finish();
}

/* Thoughts come out of the tokens for the answer: more of those, from the second request on. */
static void thinking_models(void **state)
{
    static const char *const kinds[] = {"field", "think", "unclosed"};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        const char *args[] = {"--reasoning", kinds[i], "--classes", "no,yes", NULL};
        assert_int_equal(ask(args, ""), TEXTS + 1);
        assert_true(t.server.reasons);
        finish();
    }
}

/* As JSON and back, for each member by itself: it is kept in the run. */
static void facts_survive_writing(void **state)
{
    silr_server s = {.tokens = SILR_TOKENS_NONE, .top = 5}, back;
    bool *flags[] = {&s.logprobs, &s.logprobs_come, &s.schema, &s.object, &s.seed, &s.temperature,
                     &s.system, &s.many, &s.reasons};
    static const char *const bad[] = {"", "{}", "[]", "null", "{\"tokens\":3,\"top\":1}",
                                      "{\"tokens\":-1,\"top\":1}", "{\"tokens\":\"0\",\"top\":1}",
                                      "{\"tokens\":0,\"top\":101}", "{\"tokens\":0,\"top\":1,\"seed\":1}"};
    silr_buf b = {0};
    (void)state;

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        *flags[i] = true;
        silr_buf_reset(&b);
        silr_server_to_json(&s, &b);
        assert_true(silr_server_from_json(&back, b.data, b.len));
        assert_memory_equal(&s, &back, sizeof s);
        for (size_t len = 0; len < b.len; len++)
            assert_false(silr_server_from_json(&back, b.data, len));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(silr_server_from_json(&back, bad[i], strlen(bad[i])));
    silr_buf_clear(&b);
}

/* Refusals as real servers word them: the wish that goes. */
static void words_of_real_servers(void **state)
{
    enum { NOTHING, TOKENS, TOP, LOGPROBS, FORMAT, SEED, MANY, TEMPERATURE, SYSTEM };
    static const struct {
        int status;
        const char *body;
        int goes;
    } cases[] = {
        {400, "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not supported with this "
              "model. Use 'max_completion_tokens' instead.\",\"param\":\"max_tokens\"}}", TOKENS},
        {403, "{\"error\":{\"message\":\"You are not allowed to request logprobs from this model\"}}",
         LOGPROBS},
        {400, "{\"error\":{\"message\":\"Invalid value for 'top_logprobs': must be less than or equal to "
              "5\"}}", TOP},
        {500, "{\"error\":{\"code\":500,\"message\":\"System role not supported\"}}", TOP}, /* a guess */
        {400, "{\"error\":{\"message\":\"System role not supported\"}}", SYSTEM},
        {400, "Conversation roles must alternate user/assistant/user/assistant/...", SYSTEM},
        {422, "{\"detail\":[{\"loc\":[\"body\",\"seed\"],\"msg\":\"extra fields not permitted\"}]}", SEED},
        {400, "{\"error\":\"json: cannot unmarshal object into Go struct field .response_format\"}",
         FORMAT},
        {400, "{\"message\":\"`temperature` must be strictly positive\"}", TEMPERATURE},
        {400, "{\"error\":{\"message\":\"'n' must be 1\"}}", MANY},
        {400, "{\"error\":{\"message\":\"first line\\n\\nseed\"}}", SEED},
        /* about the text, or the key, or nothing that could be left out: */
        {400, "{\"error\":{\"code\":\"content_filter\",\"message\":\"The response was filtered due to the "
              "prompt triggering Azure OpenAI's content management policy.\"}}", NOTHING},
        {400, "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\"}}",
         NOTHING},
        {401, "{\"error\":{\"message\":\"logprobs\"}}", NOTHING},
        {403, "{\"error\":{\"message\":\"forbidden\"}}", NOTHING},
        {404, "{\"error\":{\"message\":\"model not found\"}}", NOTHING},
        {413, "seed", NOTHING},
        {429, "max_tokens", NOTHING},
    };
    silr_task *task = NULL;
    (void)state;

    talk_start(&t, "http://127.0.0.1:1", "format: json", 1);
    task = t.task;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_server before = silr_server_hopes(task), s, want;
        int tried = 0, goes = cases[i].goes;
        before.many = true;
        before.schema = before.object = goes == FORMAT; /* else the first guess */
        s = want = before;
        want.tokens = goes == TOKENS ? SILR_TOKENS_NEW : want.tokens;
        want.top = goes == TOP ? 10 : want.top;
        want.logprobs = want.logprobs && goes != LOGPROBS;
        want.logprobs_come = want.logprobs;
        want.schema = false;
        want.seed = goes != SEED;
        want.many = goes != MANY;
        want.temperature = goes != TEMPERATURE;
        want.system = goes != SYSTEM;
        if (silr_server_learn(&s, task, cases[i].status, cases[i].body, strlen(cases[i].body),
                              &tried) != (goes != NOTHING) ||
            memcmp(&s, &want, sizeof s) != 0)
            fail_msg("%d %s", cases[i].status, cases[i].body);
    }
    talk_end(&t);
}

/* Whatever is refused, there is an end to it. */
static void guessing_ends(void **state)
{
    silr_server s;
    int tried = 0, steps = 0;
    (void)state;

    talk_start(&t, "http://127.0.0.1:1", "format: json, samples: 2, temperature: 1", 1);
    s = silr_server_hopes(t.task);
    while (silr_server_learn(&s, t.task, 400, "no", 2, &tried))
        assert_true(++steps < 30);
    assert_true(!s.many && !s.seed && !s.system && !s.temperature && !s.schema && !s.object);
    assert_false(silr_server_learn(&s, t.task, 400, NULL, 0, &tried));
    talk_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_parameter_in_each_manner), cmocka_unit_test(all_at_once),
        cmocka_unit_test(fewer_alternatives),            cmocka_unit_test(what_is_ignored),
        cmocka_unit_test(thinking_models),               cmocka_unit_test(facts_survive_writing),
        cmocka_unit_test(words_of_real_servers),         cmocka_unit_test(guessing_ends),
    };
    setenv("no_proxy", "*", 1);
    unsetenv("OPENAI_API_KEY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
