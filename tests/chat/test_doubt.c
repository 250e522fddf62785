/* test_doubt.c - is it the text or the endpoint? What fails by itself is marked as failed, and the
 * rest goes on; where nobody is answered the call ends, and nothing is marked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/talk.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct talk t;

static void start(script s, const char *settings, size_t n)
{
    talk_start(&t, script_start(s), settings, n);
}

static int end(void **state)
{
    (void)state;
    talk_end(&t);
    script_stop();
    return 0;
}

/* Every text but those that `bad` names has its class, each was delivered once. */
static void all_but(bool (*bad)(size_t i))
{
    for (size_t i = 0; i < t.n; i++) {
        assert_int_equal(t.times[i], 1);
        if (t.failed[i] != bad(i) || (!bad(i) && t.label[i] != (int)(i % 2)))
            fail_msg("text %zu: failed %d, label %d, %s", i, t.failed[i], t.label[i], t.why[i]);
    }
}

/* --- texts that a model chokes on ---------------------------------------------------------------- */

static unsigned chokes_on_7(const char *body, int attempt, silr_buf *out)
{
    (void)attempt;
    return script_item(body) == 7 ? script_error(out, 500, "boom") : script_answer(body, out);
}

static bool is_7(size_t i)
{
    return i == 7;
}

static void one_among_others(void **state)
{
    (void)state;
    start(chokes_on_7, "retries: 2", 30);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_7);
    assert_string_equal(t.why[7], "HTTP 500: boom");
    assert_int_equal(talk_traffic(&t, "failed"), 1);
    assert_true(talk_traffic(&t, "HTTP 500") >= 3);
}

/* When nothing else is left to ask, a question of silr's own tells that the endpoint lives; else the
 * same command would end in the same way for ever. */
static void the_last(void **state)
{
    (void)state;
    start(chokes_on_7, "retries: 1, concurrency: 1", 8);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_7);
    assert_int_equal(talk_traffic(&t, "control question"), 1);
    assert_int_equal(talk_answers(&t), 7); /* the control is kept nowhere */
}

static unsigned chokes_on_0(const char *body, int attempt, silr_buf *out)
{
    (void)attempt;
    return script_item(body) == 0 ? script_error(out, 500, "boom") : script_answer(body, out);
}

static bool is_0(size_t i)
{
    return i == 0;
}

static void the_only_one(void **state)
{
    (void)state;
    start(chokes_on_0, "retries: 1", 1);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_0);
}

/* --- texts that are refused ---------------------------------------------------------------------- */

static unsigned refuses_some(const char *body, int attempt, silr_buf *out)
{
    int i = script_item(body);
    (void)attempt;
    return i >= 0 && i < 12 ? script_error(out, 400, "content_filter: not this") : script_answer(body, out);
}

static bool is_below_12(size_t i)
{
    return i < 12;
}

static void the_first_dozen_refused(void **state)
{
    (void)state;
    start(refuses_some, "", 40);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_below_12);
    assert_string_equal(t.why[3], "HTTP 400: content_filter: not this");
    assert_true(script_requests() < 40 + 5); /* words about the text: no parameter is blamed */
    assert_true(t.known && t.server.logprobs && t.server.top == 20 && t.server.seed);
}

static unsigned refuses_most(const char *body, int attempt, silr_buf *out)
{
    int i = script_item(body);
    (void)attempt;
    return i > 10 && i < 240 ? script_error(out, 400, "no") : script_answer(body, out);
}

static bool is_in_the_middle(size_t i)
{
    return i > 10 && i < 240;
}

static void hundreds_refused_in_a_row(void **state)
{
    (void)state;
    start(refuses_most, "concurrency: 8", 250);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_in_the_middle);
}

static void only_refused_ones(void **state)
{
    (void)state;
    start(refuses_some, "", 5); /* fewer than a dozen, and nobody else */
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(is_below_12);
}

/* --- endpoints that answer nobody ---------------------------------------------------------------- */

static unsigned always_500(const char *body, int attempt, silr_buf *out)
{
    (void)body, (void)attempt;
    return script_error(out, 500, "out of order");
}

static unsigned always_400(const char *body, int attempt, silr_buf *out)
{
    (void)body, (void)attempt;
    return script_error(out, 400, "The model `m` does not exist");
}

static unsigned always_401(const char *body, int attempt, silr_buf *out)
{
    (void)body, (void)attempt;
    return script_error(out, 401, "Incorrect API key provided");
}

static unsigned always_nonsense(const char *body, int attempt, silr_buf *out)
{
    (void)body, (void)attempt;
    silr_buf_puts(out, "<html>log in here</html>");
    return 200;
}

static void nobody_is_answered(void **state)
{
    static const struct {
        script s;
        const char *says;
        int most;
    } cases[] = {{always_500, "out of order", 60},
                 {always_400, "does not exist", 260},
                 {always_401, "is the key the right one?", 1},
                 {always_nonsense, "not JSON", 12}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(cases[i].s, "retries: 2", 50);
        assert_int_equal(talk_ask(&t), SILR_EPEER);
        if (!strstr(t.err.text, cases[i].says) || !strstr(t.err.text, "http://127.0.0.1"))
            fail_msg("\"%s\" lacks \"%s\"", t.err.text, cases[i].says);
        assert_int_equal(talk_count(&t, true) + talk_count(&t, false), 0);
        assert_true(script_requests() <= cases[i].most);
        if (i + 1 < sizeof cases / sizeof *cases)
            end(NULL);
    }
}

static atomic_bool up;

/* Everything ends after 20 answers: for a time, or for good. */
static unsigned revoked(const char *body, int attempt, silr_buf *out)
{
    if (attempt < 20 || atomic_load(&up))
        return script_answer(body, out);
    return script_error(out, 401, "this key was revoked");
}

static unsigned breaks_down(const char *body, int attempt, silr_buf *out)
{
    if (attempt < 20 || atomic_load(&up))
        return script_answer(body, out);
    return attempt % 3 ? 0 : script_error(out, 502, "bad gateway");
}

static unsigned wrong_model(const char *body, int attempt, silr_buf *out)
{
    if (attempt < 20 || atomic_load(&up))
        return script_answer(body, out);
    return script_error(out, 400, "no such model");
}

static bool none(size_t i)
{
    (void)i;
    return false;
}

/* In the middle of a run: nothing is marked, and the same call goes on when it is over. */
static void an_outage_marks_nothing(void **state)
{
    static const script cases[] = {revoked, breaks_down, wrong_model};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        atomic_store(&up, false);
        start(cases[i], "retries: 2, concurrency: 8", 200);
        assert_int_equal(talk_ask(&t), SILR_EPEER);
        assert_int_equal(talk_count(&t, true), 0);
        assert_int_equal(talk_count(&t, false), 20);
        assert_int_equal(talk_answers(&t), 20);
        assert_true(script_requests() < 300);
        atomic_store(&up, true);
        assert_int_equal(talk_ask(&t), SILR_OK);
        all_but(none);
        assert_int_equal(talk_answers(&t), 200);
        if (i < 2)
            end(NULL);
    }
}

/* Of an outage that ends before the patience does, nothing remains. */
static unsigned hiccups(const char *body, int attempt, silr_buf *out)
{
    return attempt >= 20 && attempt < 36 ? script_error(out, 502, "bad gateway")
                                         : script_answer(body, out);
}

static void a_short_outage_is_ridden_out(void **state)
{
    (void)state;
    start(hiccups, "retries: 1, concurrency: 8", 100);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(none);
}

/* --- what is learned meanwhile ------------------------------------------------------------------- */

/* Two failures at first, of a server that can do everything: no parameter is to blame. */
static unsigned stumbles(const char *body, int attempt, silr_buf *out)
{
    return attempt < 2 ? script_error(out, 500, "starting") : script_answer(body, out);
}

static void a_bad_moment_teaches_nothing(void **state)
{
    (void)state;
    start(stumbles, "", 5);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(none);
    assert_true(t.server.logprobs && t.server.top == 20 && t.server.seed && t.server.temperature);
}

/* Servers there are that fail with 500 when asked for log-probabilities. */
static unsigned chokes_on_logprobs(const char *body, int attempt, silr_buf *out)
{
    (void)attempt;
    return strstr(body, "\"logprobs\":true") ? script_error(out, 500, "IndexError")
                                             : script_answer(body, out);
}

static void one_that_chokes_on_a_parameter(void **state)
{
    (void)state;
    start(chokes_on_logprobs, "", 5);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(none);
    assert_true(!t.server.logprobs && t.server.seed && t.server.system && t.server.temperature);
}

/* Having been refused many times while finding out is not having failed. */
static unsigned picky(const char *body, int attempt, silr_buf *out)
{
    static const char *const not[] = {"seed", "top_logprobs", "logprobs", "temperature", "max_tokens",
                                      "max_completion_tokens"};
    static atomic_int passing;

    if (attempt == 0)
        atomic_store(&passing, 0);
    for (size_t i = 0; i < sizeof not / sizeof *not; i++) {
        char name[40], why[80];
        snprintf(name, sizeof name, "\"%s\":", not[i]);
        snprintf(why, sizeof why, "unknown parameter %s", not[i]);
        if (strstr(body, name))
            return script_error(out, 400, why);
    }
    if (atomic_fetch_add(&passing, 1) < 1)
        return script_error(out, 502, "bad gateway");
    return script_answer(body, out);
}

static void finding_out_uses_up_no_attempts(void **state)
{
    (void)state;
    start(picky, "retries: 3", 5);
    assert_int_equal(talk_ask(&t), SILR_OK);
    all_but(none);
    assert_int_equal(t.server.tokens, SILR_TOKENS_NONE);
}

/* A server that changes between two calls. */
static _Atomic(const char *) refused;

static unsigned changes_its_mind(const char *body, int attempt, silr_buf *out)
{
    const char *what = atomic_load(&refused);
    char name[40], why[80];
    (void)attempt;

    snprintf(name, sizeof name, "\"%s\":", what);
    snprintf(why, sizeof why, "unknown parameter %s", what);
    if (strstr(body, name))
        return script_error(out, 400, why);
    if (strstr(body, "\"n\":3")) {
        silr_buf_puts(out, "{\"choices\":[{\"message\":{\"content\":\"no\"}},{\"message\":{\"content\":\"no\"}},"
                           "{\"message\":{\"content\":\"no\"}}]}");
        return 200;
    }
    return script_answer(body, out);
}

static void what_was_known_may_hold_no_more(void **state)
{
    static const char *const changes[] = {"seed", "max_tokens", "logprobs", "temperature"};
    (void)state;

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        atomic_store(&refused, "nothing");
        start(changes_its_mind, "", 200);
        t.n = 5;
        assert_int_equal(talk_ask(&t), SILR_OK);
        assert_true(t.known && t.server.seed && t.server.logprobs);
        atomic_store(&refused, changes[i]);
        t.n = 200;
        assert_int_equal(talk_ask(&t), SILR_OK);
        all_but(none);
        assert_true(script_requests() < 200 + 20);
        if (i + 1 < sizeof changes / sizeof *changes)
            end(NULL);
    }
}

static void even_how_many_answers_it_gives(void **state)
{
    (void)state;
    atomic_store(&refused, "nothing");
    start(changes_its_mind, "samples: 3, temperature: 1", 100);
    t.n = 4;
    assert_int_equal(talk_ask(&t), SILR_OK);
    assert_true(t.server.many);
    atomic_store(&refused, "n");
    t.n = 100;
    assert_int_equal(talk_ask(&t), SILR_OK);
    assert_false(t.server.many);
    for (size_t i = 4; i < 100; i++)
        if (t.choices[i] != 3 || t.times[i] != 3)
            fail_msg("text %zu: %d answers in %d replies", i, t.choices[i], t.times[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_among_others, end),
        cmocka_unit_test_teardown(the_last, end),
        cmocka_unit_test_teardown(the_only_one, end),
        cmocka_unit_test_teardown(the_first_dozen_refused, end),
        cmocka_unit_test_teardown(hundreds_refused_in_a_row, end),
        cmocka_unit_test_teardown(only_refused_ones, end),
        cmocka_unit_test_teardown(nobody_is_answered, end),
        cmocka_unit_test_teardown(an_outage_marks_nothing, end),
        cmocka_unit_test_teardown(a_short_outage_is_ridden_out, end),
        cmocka_unit_test_teardown(a_bad_moment_teaches_nothing, end),
        cmocka_unit_test_teardown(one_that_chokes_on_a_parameter, end),
        cmocka_unit_test_teardown(finding_out_uses_up_no_attempts, end),
        cmocka_unit_test_teardown(what_was_known_may_hold_no_more, end),
        cmocka_unit_test_teardown(even_how_many_answers_it_gives, end),
    };
    setenv("no_proxy", "*", 1);
    unsetenv("OPENAI_API_KEY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
