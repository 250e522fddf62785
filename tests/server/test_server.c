/* test_server.c - the server answers as the API does: other tests may lean on that.
 *
 * The rest is in test_options.c, test_faults.c, test_load.c, test_batch.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAT     "/v1/chat/completions"
#define LOGPROBS "\"logprobs\":true,\"top_logprobs\":20,"
#define SCHEMA                                                                                     \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":"    \
    "{\"type\":\"object\",\"properties\":{\"label\":{\"type\":\"string\"}}}}},"

static struct server s;
static struct got g;

static void start(const char *const *args)
{
    assert_true(server_start(&s, args));
}

static void stop(void)
{
    got_clear(&g);
    assert_int_equal(server_stop(&s), 0);
}

/* --- answers ---------------------------------------------------------------------------- */

/* The class that is marked; the same bytes for the same body; usage adds up. */
static void answers_the_marked_class(void **state)
{
    const char *args[] = {"--classes", "positive,negative,mixed", NULL};
    silr_buf first = {0};
    (void)state;

    start(args);
    assert_string_equal(client_chat(&g, &s, "one [[none]] two [[mixed]]", ""), "mixed");
    assert_int_equal(g.status, 200);
    assert_string_equal(text_at(g.json, "object"), "chat.completion");
    assert_string_equal(text_at(g.json, "model"), "m");
    assert_string_equal(text_at(g.json, "choices/0/finish_reason"), "stop");
    assert_true(json_is_null(at(g.json, "choices/0/logprobs")));
    assert_int_equal(json_integer_value(at(g.json, "usage/total_tokens")),
                     json_integer_value(at(g.json, "usage/prompt_tokens")) + 2);
    silr_buf_add(&first, g.body.data, g.body.len);
    client_chat(&g, &s, "one [[none]] two [[mixed]]", "");
    assert_string_equal(g.body.data, first.data);
    client_chat(&g, &s, "another", "");
    assert_int_equal(server_count(&s, "unique_bodies"), 2);
    assert_int_equal(server_count(&s, "answers"), 3);
    assert_int_equal(server_count(&s, "answers_twice"), 1);
    silr_buf_clear(&first);
    stop();
}

/* Unmarked texts are spread over the classes. */
static void answers_by_hash(void **state)
{
    int n[3] = {0};
    char text[40];
    const char *args[] = {"--classes", "a,b,c", NULL};
    (void)state;

    start(args);
    for (int i = 0; i < 90; i++) {
        snprintf(text, sizeof text, "text %d", i);
        n[client_chat(&g, &s, text, "")[0] - 'a']++;
    }
    for (int k = 0; k < 3; k++)
        assert_in_range(n[k], 15, 45);
    stop();
}

static double p_of(json_t *entry)
{
    return exp(json_number_value(json_object_get(entry, "logprob")));
}

static double top_p(json_t *position, const char *token)
{
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(position, "top_logprobs"), i,
                       entry) if (strcmp(text_at(entry, "token"), token) == 0) return p_of(entry);
    return 0;
}

/* Each token's bytes are its text, the list is sorted, what is said comes first, and nothing
 * comes twice; the tokens joined are the content. */
static void check_tokens(json_t *choice, size_t top)
{
    json_t *list = at(choice, "logprobs/content"), *position, *entry;
    silr_buf joined = {0};
    size_t i, j;

    json_array_foreach(list, i, position)
    {
        json_t *tops = json_object_get(position, "top_logprobs");
        double last = 0;
        assert_int_equal(json_array_size(tops), top);
        if (top > 0)
            assert_string_equal(text_at(position, "token"), text_at(tops, "0/token"));
        json_array_foreach(tops, j, entry)
        {
            assert_true(json_number_value(json_object_get(entry, "logprob")) <= last);
            last = json_number_value(json_object_get(entry, "logprob"));
            for (size_t k = 0; k < j; k++)
                assert_string_not_equal(text_at(entry, "token"),
                                        text_at(json_array_get(tops, k), "token"));
        }
        json_array_foreach(json_object_get(position, "bytes"), j, entry)
            silr_buf_putc(&joined, (char)json_integer_value(entry));
    }
    assert_string_equal(joined.data, text_at(choice, "message/content"));
    silr_buf_clear(&joined);
}

/* "sports" and "sporty" share the first token and part at the second, where what they have is
 * what is left of the first. */
static void tells_probabilities(void **state)
{
    const char *args[] = {"--classes", "sports,sporty,news", NULL};
    json_t *first, *second;
    double odds[2];
    char text[40];
    (void)state;

    start(args);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "[[sporty]] text %d", i);
        assert_string_equal(client_chat(&g, &s, text, LOGPROBS), "sporty");
        check_tokens(at(g.json, "choices/0"), 20);
        first = at(g.json, "choices/0/logprobs/content/0");
        second = at(g.json, "choices/0/logprobs/content/1");
        assert_true(top_p(first, "spor") > top_p(first, " spor"));
        assert_true(top_p(first, " spor") > top_p(first, "Spor"));
        assert_true(fabs(top_p(first, "news") / top_p(first, "Spor") -
                         top_p(first, " news") * .82 / .13 / top_p(first, "Spor")) < 1e-3);
        assert_true(top_p(second, "ty") > top_p(second, "ts"));
        assert_true(fabs(top_p(second, "ty") + top_p(second, "ts") - 1) < .01);
        odds[i] = top_p(first, "spor") / top_p(first, "news");
    }
    assert_true(fabs(log(odds[0] / odds[1])) > 1e-3);
    client_chat(&g, &s, "[[news]]", "\"logprobs\":true,");
    check_tokens(at(g.json, "choices/0"), 0);
    stop();
}

static void answers_in_json(void **state)
{
    const char *args[] = {"--classes", "sports,sporty,sport,say \"no\"", NULL};
    json_t *list;
    (void)state;

    start(args);
    assert_string_equal(client_chat(&g, &s, "[[sport]]", LOGPROBS SCHEMA), "{\"label\":\"sport\"}");
    check_tokens(at(g.json, "choices/0"), 20);
    list = at(g.json, "choices/0/logprobs/content"); /* {" labe l ":" spor t "} */
    assert_int_equal(json_array_size(list), 7);
    assert_true(top_p(json_array_get(list, 5), "ty") > 0);
    assert_true(fabs(json_number_value(at(list, "5/top_logprobs/19/logprob")) + 9999) < 1e-6);
    assert_string_equal(client_chat(&g, &s, "[[say \"no\"]]", LOGPROBS SCHEMA),
                        "{\"label\":\"say \\\"no\\\"\"}");
    check_tokens(at(g.json, "choices/0"), 20);
    stop();
}

/* Characters of three bytes do not fit into tokens of four; with --split-utf8 they are broken. */
static void splits_characters(void **state)
{
    const char *split[] = {"--classes", "体育,新闻", "--split-utf8", NULL};
    const char *whole[] = {"--classes", "体育,新闻", NULL};
    (void)state;

    start(split);
    assert_string_equal(client_chat(&g, &s, "[[体育]]", LOGPROBS), "体育");
    check_tokens(at(g.json, "choices/0"), 20);
    assert_string_equal(text_at(g.json, "choices/0/logprobs/content/1/token"), "\\x82\\xb2");
    stop();
    start(whole);
    client_chat(&g, &s, "[[体育]]", LOGPROBS);
    check_tokens(at(g.json, "choices/0"), 20);
    assert_string_equal(text_at(g.json, "choices/0/logprobs/content/0/token"), "体");
    stop();
}

/* Of many choices, the first is the mode, and the others are not all like it; at temperature 0
 * they are. */
static void draws_choices(void **state)
{
    const char *args[] = {"--classes", "a,b,c", NULL};
    int same[2] = {0};
    char text[40], path[60];
    (void)state;

    start(args);
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "[[b]] %d", i % 20);
        assert_string_equal(
            client_chat(&g, &s, text, i < 20 ? "\"n\":5," : "\"n\":5,\"temperature\":0,"), "b");
        assert_int_equal(json_array_size(at(g.json, "choices")), 5);
        for (int k = 1; k < 5; k++) {
            snprintf(path, sizeof path, "choices/%d/message/content", k);
            same[i / 20] += strcmp(text_at(g.json, path), "b") == 0;
        }
    }
    assert_in_range(same[0], 30, 76);
    assert_int_equal(same[1], 80);
    stop();
}

/* What was answered is kept for four bodies of five, and never turned into itself. */
static void checks_former_answers(void **state)
{
    const char *args[] = {"--classes", "a,b,c", NULL};
    char body[300];
    int kept = 0;
    (void)state;

    start(args);
    for (int i = 0; i < 200; i++) {
        snprintf(body, sizeof body,
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"t %d\"},"
                 "{\"role\":\"assistant\",\"content\":\"%s\"},"
                 "{\"role\":\"user\",\"content\":\"Check that.\"}]}",
                 i, i % 2 ? "b" : "{\\\"label\\\":\\\"b\\\"}");
        client_post(&g, &s, CHAT, NULL, body);
        kept += strcmp(text_at(g.json, "choices/0/message/content"), "b") == 0;
    }
    assert_in_range(kept, 145, 175);
    stop();
}

static void gives_odd_answers(void **state)
{
    char path[] = "/tmp/silr-answers-XXXXXX";
    static const char rows[] = "{\"text\":\"dog\",\"answer\":\"Positive!! \\n\"}\n"
                               "{\"text\":\"cat\",\"answer\":\"\"}\n";
    const char *args[] = {"--answers", path, NULL};
    int fd = mkstemp(path);
    (void)state;

    assert_int_equal(write(fd, rows, sizeof rows - 1), sizeof rows - 1);
    close(fd);
    start(args);
    assert_string_equal(client_chat(&g, &s, "a dog [[negative]]", LOGPROBS), "Positive!! \n");
    check_tokens(at(g.json, "choices/0"), 20);
    assert_string_equal(client_chat(&g, &s, "a cat", ""), "");
    assert_string_equal(client_chat(&g, &s, "a cow [[negative]]", ""), "negative");
    unlink(path);
    stop();
}

static void reasons_and_refuses(void **state)
{
    static const struct {
        const char *args[3], *more, *content, *finish;
    } cases[] = {
        {{"--reasoning", "field"}, "", "=negative", "stop"},
        {{"--reasoning", "think"}, LOGPROBS, "</think>\n\nnegative", "stop"},
        {{"--reasoning", "unclosed"}, LOGPROBS, "<think>\n", "length"},
        {{"--reasoning", "unclosed"}, "\"max_tokens\":1000,", "</think>\n\nnegative", "stop"},
        {{"--finish", "length"}, "", "=negative", "length"},
        {{"--finish", "content_filter"}, LOGPROBS, "=", "content_filter"},
        {{NULL}, "\"max_tokens\":1,", "=nega", "length"},
        {{NULL}, "\"max_completion_tokens\":2,", "=negative", "stop"},
    };
    const char *refusing[] = {"--refusal", NULL};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(cases[i].args);
        const char *content = client_chat(&g, &s, "[[negative]]", cases[i].more);
        if (cases[i].content[0] == '=')
            assert_string_equal(content, cases[i].content + 1);
        else
            assert_non_null(strstr(content, cases[i].content));
        assert_string_equal(text_at(g.json, "choices/0/finish_reason"), cases[i].finish);
        assert_int_equal(text_at(g.json, "choices/0/message/reasoning_content") != NULL, i == 0);
        assert_int_equal(strstr(content, "</think>") != NULL, i == 1 || i == 3);
        stop();
    }
    start(refusing);
    assert_null(client_chat(&g, &s, "x", LOGPROBS));
    assert_non_null(text_at(g.json, "choices/0/message/refusal"));
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_the_marked_class), cmocka_unit_test(answers_by_hash),
        cmocka_unit_test(tells_probabilities),      cmocka_unit_test(answers_in_json),
        cmocka_unit_test(splits_characters),        cmocka_unit_test(draws_choices),
        cmocka_unit_test(checks_former_answers),    cmocka_unit_test(gives_odd_answers),
        cmocka_unit_test(reasons_and_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
