/* test_reply.c - bodies of answers, of servers that agree on little: what is there is found, what is
 * not is not made up, and nothing in them does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In a block of its own size, so that the address sanitizer sees a step too far. */
static bool read_body(silr_reply *r, const char *body, size_t len, char why[200])
{
    char *copy = malloc(len ? len : 1);
    bool good;

    assert_non_null(copy);
    memcpy(copy, body, len);
    good = silr_reply_read(r, copy, len, why);
    free(copy);
    assert_int_equal(good, why[0] == '\0');
    return good;
}

#define MESSAGE(inside) "{\"choices\":[{\"message\":{" inside "},\"finish_reason\":\"stop\"}]}"
#define CONTENT(value) MESSAGE("\"content\":" value)

static void contents(void **state)
{
    static const struct {
        const char *body, *content;
        bool refused, reasoned;
    } cases[] = {
        {CONTENT("\"positive\""), "positive", false, false},
        {CONTENT("\"\""), "", false, false},
        {CONTENT("null"), "", false, false},
        {CONTENT("\"a\\u0000b\""), "a", false, false},
        {CONTENT("\"\\ud83d\\ude00 \\u0219\""), "\xf0\x9f\x98\x80 \xc8\x99", false, false},
        {CONTENT("[{\"type\":\"text\",\"text\":\"posi\"},{\"type\":\"text\",\"text\":\"tive\"}]"), "positive",
         false, false},
        {CONTENT("[\"posi\",{\"type\":\"image\"},{\"text\":\"tive\"}]"), "positive", false, false},
        {CONTENT("[{\"type\":\"thinking\",\"thinking\":[]},{\"type\":\"text\",\"text\":\"yes\"}]"), "yes",
         false, false},
        {MESSAGE("\"content\":null,\"refusal\":\"I cannot\""), "", true, false},
        {MESSAGE("\"refusal\":\"I cannot\""), "", true, false},
        {MESSAGE("\"content\":\"x\",\"refusal\":\"\""), "x", false, false},
        {MESSAGE("\"content\":\"x\",\"refusal\":7"), "x", false, false},
        {MESSAGE("\"content\":\"x\",\"reasoning_content\":\"well\""), "x", false, true},
        {MESSAGE("\"content\":\"x\",\"reasoning\":\"well\""), "x", false, true},
        {MESSAGE("\"content\":\"x\",\"reasoning\":null,\"reasoning_content\":\"\""), "x", false, false},
        {MESSAGE("\"reasoning_content\":\"well\""), "", false, true},
        {MESSAGE("\"content\":null,\"tool_calls\":[]"), "", false, false},
        {CONTENT("\"<think>well</think>x\""), "<think>well</think>x", false, true},
        {CONTENT("\"well</think>x\""), "well</think>x", false, true}, /* begun in the prompt */
        {CONTENT("\"<thinking>well\""), "<thinking>well", false, true},
        {"{\"choices\":[{\"text\":\"old\"}]}", "old", false, false},
        {"{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"error\":null}", "a", false, false},
        {"{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"error\":\"\"}", "a", false, false},
        {"{\"choices\":[{\"message\":{},\"finish_reason\":\"length\"}]}", "", false, false},
        {"{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":9,\"index\":\"x\"}]}", "a", false,
         false},
        {"\xef\xbb\xbf" CONTENT("\"a\""), "a", false, false},
        {"  \r\n" CONTENT("\"a\"") "\n\n", "a", false, false},
        {CONTENT("\"first\",\"content\":\"last\""), "last", false, false},
        /* numbers that do not fit anywhere */
        {"{\"created\":123456789012345678901234567890,\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "a",
         false, false},
        {"{\"x\":NaN,\"y\":[-Infinity,Infinity],\"choices\":[{\"message\":{\"content\":\"NaN \\\"NaN\\\"\"}}]}",
         "NaN \"NaN\"", false, false},
        /* bytes that are not UTF-8 */
        {CONTENT("\"\xff\xc3(yes\""), "?\?(yes", false, false},
        {CONTENT("\"yes\xf0\x9f\x98\""), "yes?\?\?", false, false},
        {CONTENT("\"\xed\xa0\x80\xc0\xafyes\""), "?\?\?\?\?yes", false, false},
        {CONTENT("\"\\\"\xff\\\\\""), "\"?\\", false, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_reply r;
        char why[200];
        if (!read_body(&r, cases[i].body, strlen(cases[i].body), why))
            fail_msg("%s: %s", cases[i].body, why);
        if (strcmp(r.choice[0].content, cases[i].content) != 0 ||
            r.choice[0].len != strlen(cases[i].content) || r.choice[0].refused != cases[i].refused ||
            r.reasoned != cases[i].reasoned)
            fail_msg("%s: \"%s\", %d, %d", cases[i].body, r.choice[0].content, r.choice[0].refused,
                     r.reasoned);
        silr_reply_clear(&r);
    }
}

static void not_answers(void **state)
{
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"", "empty"},
        {"\xef\xbb\xbf", "not JSON"},
        {"<html>", "not JSON"},
        {"{", "not JSON"},
        {CONTENT("\"a\"") CONTENT("\"a\""), "not JSON"},
        {"[]", "not a JSON object"},
        {"[" CONTENT("\"a\"") "]", "not a JSON object"},
        {"{}", "no choices"},
        {"{\"choices\":[]}", "no choices"},
        {"{\"choices\":{}}", "no choices"},
        {"{\"choices\":null}", "no choices"},
        {"{\"choices\":\"positive\"}", "no choices"},
        {"{\"choices\":[null]}", "no content"},
        {"{\"choices\":[\"positive\"]}", "no content"},
        {"{\"choices\":[[]]}", "no content"},
        {"{\"choices\":[{}]}", "no content"},
        {"{\"choices\":[{\"text\":null}]}", "no content"},
        {"{\"choices\":[{\"message\":\"positive\"}]}", "no content"},
        {"{\"choices\":[{\"message\":{}}]}", "no content"},
        {MESSAGE("\"role\":\"assistant\""), "no content"},
        {CONTENT("42"), "no content"},
        {CONTENT("true"), "no content"},
        {CONTENT("{\"text\":\"positive\"}"), "no content"},
        {CONTENT("[]"), "no content"},
        {CONTENT("[{}]"), "no content"},
        {CONTENT("[{\"type\":\"text\",\"text\":null},[],7]"), "no content"},
        {"{\"choices\":[{\"message\":{\"content\":\"a\"}},{}]}", "no content"},
        {"{\"error\":{\"message\":\"over\\nloaded\"}}", "over loaded"},
        {"{\"error\":{\"message\":\"busy\"},\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "busy"},
        {"{\"error\":{}}", "an error without words"},
        {"{\"error\":\"model is loading\"}", "model is loading"},
        {"{\"object\":\"error\",\"message\":\"x\"}", "no choices"},
        {"{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"x\":1e999}", "not JSON"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_reply r;
        char why[200];
        if (read_body(&r, cases[i].body, strlen(cases[i].body), why) || !strstr(why, cases[i].why))
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].body, why, cases[i].why);
        assert_true(r.n_choices == 0 && r.tree == NULL);
    }
}

/* Of a good answer each beginning is refused; and with any byte changed, it is read or refused. */
static void cut_and_changed(void **state)
{
    static const char body[] =
        "{\"choices\":[{\"message\":{\"content\":\"a\\u0219\xc8\x99\"},\"logprobs\":{\"content\":[{\"token\":\"a\","
        "\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-1}]}]}}],\"usage\":"
        "{\"prompt_tokens\":7}}";
    char copy[sizeof body], why[200];
    silr_reply r;
    (void)state;

    for (size_t len = 0; len < sizeof body - 1; len++)
        assert_false(read_body(&r, body, len, why));
    for (size_t i = 0; i < sizeof body - 1; i++)
        for (int c = 0; c < 256; c++) {
            memcpy(copy, body, sizeof body);
            copy[i] = (char)c;
            if (read_body(&r, copy, sizeof body - 1, why))
                silr_reply_clear(&r);
        }
}

static void deep_and_long(void **state)
{
    silr_buf b = {0};
    silr_reply r;
    char why[200];
    (void)state;

    for (int i = 0; i < 1000000; i++)
        silr_buf_putc(&b, '[');
    assert_false(read_body(&r, b.data, b.len, why));
    silr_buf_reset(&b);
    silr_buf_puts(&b, "{\"choices\":[");
    for (int i = 0; i < 300; i++)
        silr_buf_puts(&b, i ? ",{\"text\":\"a\"}" : "{\"text\":\"a\"}");
    silr_buf_puts(&b, "]}");
    assert_false(read_body(&r, b.data, b.len, why)); /* more than anybody asked for */
    silr_buf_reset(&b);
    silr_buf_puts(&b, "{\"choices\":[{\"text\":\"");
    while (b.len < SILR_REPLY_MAX - 10)
        silr_buf_puts(&b, "aaaaaaa");
    silr_buf_puts(&b, "\"}]}");
    assert_int_equal(read_body(&r, b.data, b.len, why), b.len <= SILR_REPLY_MAX);
    if (b.len <= SILR_REPLY_MAX)
        silr_reply_clear(&r);
    silr_buf_puts(&b, "                    ");
    assert_false(read_body(&r, b.data, b.len, why));
    silr_buf_clear(&b);
}

static void usage(void **state)
{
    static const struct {
        const char *usage;
        int64_t in, cached, out;
        bool reasoned;
    } cases[] = {
        {"{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}", 12, 0, 3, false},
        {"{\"prompt_tokens\":12.0,\"completion_tokens\":3}", 12, 0, 3, false},
        {"{\"prompt_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":8}}", 12, 8, 0, false},
        {"{\"prompt_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":80}}", 12, 12, 0, false},
        {"{\"prompt_tokens\":12,\"prompt_tokens_details\":null}", 12, 0, 0, false},
        {"{\"completion_tokens\":9,\"completion_tokens_details\":{\"reasoning_tokens\":6}}", 0, 0, 9, true},
        {"{\"completion_tokens_details\":{\"reasoning_tokens\":0}}", 0, 0, 0, false},
        {"null", 0, 0, 0, false},
        {"7", 0, 0, 0, false},
        {"[]", 0, 0, 0, false},
        {"{\"prompt_tokens\":\"12\",\"completion_tokens\":-3}", 0, 0, 0, false},
        {"{\"prompt_tokens\":1e300,\"completion_tokens\":99999999999999999999}", 0, 0, 0, false},
        {"{\"prompt_tokens\":NaN,\"completion_tokens\":null}", 0, 0, 0, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_buf b = {0};
        silr_reply r;
        char why[200];
        silr_buf_printf(&b, "{\"choices\":[{\"text\":\"a\"}],\"usage\":%s}", cases[i].usage);
        assert_true(read_body(&r, b.data, b.len, why));
        if (r.usage.prompt_tokens != cases[i].in || r.usage.cached_tokens != cases[i].cached ||
            r.usage.completion_tokens != cases[i].out || r.reasoned != cases[i].reasoned)
            fail_msg("%s", cases[i].usage);
        silr_reply_clear(&r);
        silr_buf_clear(&b);
    }
}

/* --- log-probabilities --------------------------------------------------------------------------- */

static bool read_logprobs(silr_reply *r, const char *logprobs)
{
    silr_buf b = {0};
    char why[200];
    bool good;

    silr_buf_printf(&b, "{\"choices\":[{\"message\":{\"content\":\"ab\"},\"logprobs\":%s}]}", logprobs);
    good = read_body(r, b.data, b.len, why);
    silr_buf_clear(&b);
    return good;
}

/* What is there as text: token=logprob[alternatives] for each place. */
static void says(const char *logprobs, const char *want)
{
    silr_reply r;
    silr_buf b = {0};

    silr_buf_puts(&b, "");
    if (!read_logprobs(&r, logprobs))
        fail_msg("%s: not read", logprobs);
    for (size_t i = 0; i < r.choice[0].n_places; i++) {
        const silr_token_place *p = &r.choice[0].place[i];
        silr_buf_printf(&b, "%s%.*s=%g", i ? " " : "", (int)p->token.len, p->token.token, p->token.logprob);
        for (size_t k = 0; k < p->n_top; k++)
            silr_buf_printf(&b, "%c%.*s=%g", k ? ',' : '[', (int)p->top[k].len, p->top[k].token,
                            p->top[k].logprob);
        silr_buf_puts(&b, p->n_top ? "]" : "");
    }
    if (strcmp(b.data, want) != 0)
        fail_msg("%s:\n%s\ninstead of\n%s", logprobs, b.data, want);
    silr_buf_clear(&b);
    silr_reply_clear(&r);
}

static void log_probabilities(void **state)
{
    (void)state;
    says("null", "");
    says("{}", "");
    says("[]", "");
    says("7", "");
    says("{\"content\":null}", "");
    says("{\"content\":[]}", "");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5}]}", "a=-0.5");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"top_logprobs\":[]},{\"token\":\"b\",\"logprob\":0}]}",
         "a=-0.5 b=0");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-0.5},"
         "{\"token\":\"b\",\"logprob\":-1}]}]}", "a=-0.5[a=-0.5,b=-1]");
    /* what does not fit is left out; after a place that does not, nothing is where it should be */
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"top_logprobs\":[{\"token\":7,\"logprob\":-1},"
         "{\"token\":\"b\"},null,{\"token\":\"c\",\"logprob\":2},{\"token\":\"d\",\"logprob\":-9999.0}]}]}",
         "a=-0.5[d=-9999]");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5},{\"token\":\"b\",\"logprob\":null},{\"token\":\"c\","
         "\"logprob\":-1}]}", "a=-0.5");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":NaN}]}", "");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-Infinity}]}", "");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"top_logprobs\":[{\"token\":\"z\",\"logprob\":"
         "-Infinity},{\"token\":\"b\",\"logprob\":-1}]}]}", "a=-0.5[b=-1]");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"top_logprobs\":{\"a\":-1}}]}", "a=-0.5");
    /* bytes tell what a token is where its text cannot */
    says("{\"content\":[{\"token\":\"\\\\xc8\",\"logprob\":-1,\"bytes\":[200]},{\"token\":\"\\ufffdt\",\"logprob\":"
         "-1,\"bytes\":[153,116]}]}", "\xc8=-1 \x99t=-1");
    says("{\"content\":[{\"token\":\"a\",\"logprob\":-1,\"bytes\":null},{\"token\":\"b\",\"logprob\":-1,\"bytes\":"
         "[]},{\"token\":\"c\",\"logprob\":-1,\"bytes\":[1000]},{\"token\":\"d\",\"logprob\":-1,\"bytes\":\"x\"}]}",
         "a=-1 b=-1 c=-1 d=-1");
    /* the older form: four lists */
    says("{\"tokens\":[\"a\",\"b\"],\"token_logprobs\":[-0.5,-1],\"top_logprobs\":[{\"a\":-0.5,\"c\":-2},{\"b\":-1}],"
         "\"text_offset\":[0,1]}", "a=-0.5[a=-0.5,c=-2] b=-1[b=-1]");
    says("{\"tokens\":[\"a\",\"b\"],\"token_logprobs\":[-0.5,null]}", "a=-0.5");
    says("{\"tokens\":[\"a\"],\"token_logprobs\":[-0.5],\"top_logprobs\":null}", "a=-0.5");
    says("{\"tokens\":[\"a\"],\"token_logprobs\":[-0.5],\"top_logprobs\":[null]}", "a=-0.5");
    says("{\"tokens\":[\"a\"],\"token_logprobs\":[-0.5],\"top_logprobs\":[{\"b\":\"x\",\"c\":-1}]}", "a=-0.5[c=-1]");
    says("{\"tokens\":[7],\"token_logprobs\":[-0.5]}", "");
    says("{\"tokens\":[\"a\"],\"token_logprobs\":{}}", "");
    says("{\"tokens\":{},\"token_logprobs\":[]}", "");
}

/* --- errors -------------------------------------------------------------------------------------- */

static void errors(void **state)
{
    static const struct {
        const char *body, *what, *code;
    } cases[] = {
        {"", "", ""},
        {"{\"error\":{\"message\":\"No.\",\"type\":\"t\",\"param\":\"p\",\"code\":\"c\"}}", "No.", "c"},
        {"{\"error\":{\"message\":\"No.\",\"type\":\"t\",\"code\":null}}", "No.", "t"},
        {"{\"error\":{\"message\":\"No.\",\"code\":400}}", "No.", ""},
        {"{\"error\":\"No.\"}", "No.", ""},
        {"{\"object\":\"error\",\"message\":\"No.\",\"type\":\"BadRequestError\",\"code\":400}", "No.",
         "BadRequestError"},
        {"{\"detail\":\"Not Found\"}", "Not Found", ""},
        {"{\"detail\":[{\"loc\":[\"body\",\"seed\"],\"msg\":\"extra\",\"type\":\"value_error\"}]}", "extra",
         "value_error"},
        {"{\"title\":\"Too Many Requests\",\"status\":429}", "Too Many Requests", ""},
        {"{\"error\":{\"message\":\"a\\u001b[31m\\u0000 b\\t\\n  c\\u007f\\u0085d \"}}", "a [31m", ""},
        {"{\"error\":{\"message\":7}}", "", ""},
        {"{\"error\":[]}", "", ""},
        {"[]", "", ""},
        {"<html><h1>503</h1>", "", ""},
        {"{not json", "", ""},
        {"plain words\r\n", "plain words", ""},
        {"bad \xff bytes", "bad bytes", ""},
        {"{\"error\":{\"message\":\"bad \xff bytes\"}}", "bad ? bytes", ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char what[200], code[80];
        silr_reply_error(cases[i].body, strlen(cases[i].body), what, code);
        if (strcmp(what, cases[i].what) != 0 || strcmp(code, cases[i].code) != 0)
            fail_msg("%s: \"%s\", \"%s\"", cases[i].body, what, code);
        silr_reply_error(cases[i].body, strlen(cases[i].body), what, NULL);
        assert_string_equal(what, cases[i].what);
    }
    silr_reply_error(NULL, 0, (char[200]){0}, NULL);
}

/* Cut to a line, at a character. */
static void long_errors_are_cut(void **state)
{
    silr_buf b = {0};
    char what[200];
    (void)state;

    for (size_t lead = 0; lead < 4; lead++) {
        silr_buf_reset(&b);
        silr_buf_puts(&b, "{\"error\":{\"message\":\"");
        for (size_t i = 0; i < lead; i++)
            silr_buf_putc(&b, 'x');
        for (int i = 0; i < 200; i++)
            silr_buf_puts(&b, "\xf0\x9f\x98\x80");
        silr_buf_puts(&b, "\"}}");
        silr_reply_error(b.data, b.len, what, NULL);
        assert_true(strlen(what) > 180 && (strlen(what) - lead) % 4 == 0);
    }
    silr_buf_clear(&b);
}

/* --- no memory ----------------------------------------------------------------------------------- */

static void any_allocation_may_fail(void **state)
{
    static const char *const bodies[] = {
        "{\"choices\":[{\"message\":{\"content\":[\"a\",{\"text\":\"b\"}]},\"logprobs\":{\"content\":[{\"token\":"
        "\"a\",\"logprob\":-0.5,\"bytes\":[98],\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-1}]}]}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"ab\xff\"},\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":"
        "[-1],\"top_logprobs\":[{\"b\":-2}]}}]}",
        "{\"error\":{\"message\":\"no\",\"code\":\"c\"}}",
    };
    (void)state;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        int failures = 0;
        for (uint64_t n = 1; n < 300; n++) {
            silr_reply r;
            char why[200], what[200], code[80];
            silr_mem_fail_at(n, n % 2);
            bool good = silr_reply_read(&r, bodies[i], strlen(bodies[i]), why);
            silr_reply_error(bodies[i], strlen(bodies[i]), what, code);
            silr_mem_fail_at(0, false);
            failures += !good;
            if (!good)
                assert_true(why[0] != '\0' && r.tree == NULL);
            else
                assert_true(strcmp(r.choice[0].content, i ? "ab?" : "ab") == 0);
            if (good)
                silr_reply_clear(&r);
        }
        assert_true(failures > 5);
    }
}

static int install(void **state)
{
    (void)state;
    silr_mem_install(); /* jansson's memory fails, too */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),        cmocka_unit_test(not_answers),
        cmocka_unit_test(cut_and_changed), cmocka_unit_test(deep_and_long),
        cmocka_unit_test(usage),           cmocka_unit_test(log_probabilities),
        cmocka_unit_test(errors),          cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, install, NULL);
}
