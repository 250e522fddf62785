/* test_answer.c - which class an answer names, by example. An answer without a clear class must come
 * out as none: a wrong label is worse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

typedef struct {
    const char *says;
    int label;
} example;

static const char *reason_of;

static int label_of(const silr_task *task, const char *says, const char *finish, bool refused)
{
    size_t len = strlen(says);
    char *copy = malloc(len + 1);
    silr_choice c = {.content = copy, .len = len, .finish = finish, .refused = refused};
    int k;

    assert_non_null(copy);
    memcpy(copy, says, len + 1);
    k = silr_answer_label(task, &c, &reason_of);
    assert_true((k >= 0 && k < (int)task->n_classes && !reason_of) ||
                (k == SILR_NO_LABEL && reason_of && reason_of[0]));
    free(copy);
    return k >= 0 ? k : NONE;
}

static int failures;

static void check(const char *const *classes, silr_answers answers, const example *x, size_t n)
{
    silr_task task = {.classes = (char **)(uintptr_t)classes};

    while (classes[task.n_classes])
        task.n_classes++;
    task.annotator.chat.answers = answers;
    for (size_t i = 0; i < n; i++) {
        int k = label_of(&task, x[i].says, "stop", false);
        if (k == x[i].label)
            continue;
        print_error("%s, ...: \"%s\" is %s, not %s%s%s\n", classes[0], x[i].says, k < 0 ? "none" : classes[k],
                    x[i].label < 0 ? "none" : classes[x[i].label], k < 0 ? ": " : "", k < 0 ? reason_of : "");
        failures++;
    }
}
#define CHECK(answers, examples, ...)                                                                \
    check((const char *const[]){__VA_ARGS__, NULL}, answers, examples, sizeof examples / sizeof *examples)

static void two_classes(void **state)
{
    static const example x[] = {
        {"positive", 0}, {"negative", 1}, {"Positive", 0}, {"POSITIVE", 0}, {" positive\n", 0},
        {"positive.", 0}, {"Positive!", 0}, {"\"positive\"", 0}, {"'positive'", 0}, {"`positive`", 0},
        {"**positive**", 0}, {"**Positive**.", 0}, {"*positive*", 0}, {"_positive_", 0}, {"[positive]", 0},
        {"(positive)", 0}, {"- positive", 0}, {"> positive", 0}, {"# Positive", 0}, {"<positive>", 0},
        {"positive\r\n\r\n", 0}, {"\xe2\x80\x9cpositive\xe2\x80\x9d", 0}, {"positive \xf0\x9f\x98\x80", 0},
        {"\xe2\x9c\x85 Positive", 0}, {"1. positive", 0}, {"Positive (5/5)", 0}, {"\tpositive\v", 0},
        /* behind a colon */
        {"Answer: positive", 0}, {"answer:positive", 0}, {"Class: Negative.", 1}, {"**Answer:** positive", 0},
        {"Final answer: **negative**", 1}, {"The label is: positive", 0}, {"Sentiment: Positive", 0},
        {"positive: because it says so", 0}, {"Answer - positive", 0}, {"A: B: positive", 0},
        {"Label:\npositive", 0}, {"Answer:\n\nNegative", 1},
        /* sentences */
        {"The text is positive.", 0}, {"This text belongs to the class positive", 0},
        {"I would say positive", 0}, {"It is negative, as the writer hated it.", 1},
        {"positive, positive", 0}, {"The answer is \"negative\".", 1},
        {"Sure! The class is: **positive**.", 0}, {"I think this one is positive :)", 0},
        /* several lines */
        {"positive\n\nThe writer likes the film.", 0}, {"The writer likes the film.\n\npositive", 0},
        {"The writer likes it.\nSo:\nAnswer: positive", 0}, {"Positive\nConfidence: high", 0},
        {"positive\npositive", 0}, {"Positive\n\nReason: the tone is positive.", 0},
        {"Reasoning: good words\nFinal: positive\n", 0}, {"```\npositive\n```", 0}, {"```text\npositive\n```", 0},
        /* two classes, or one that is denied */
        {"positive or negative", NONE}, {"positive/negative", NONE}, {"negative\npositive", NONE},
        {"positive\n\nAnswer: negative", NONE}, {"not positive", NONE}, {"not negative", NONE},
        {"It isn't positive.", NONE}, {"isn\xe2\x80\x99t negative", NONE}, {"neither positive nor negative", NONE},
        {"rather negative than positive", NONE}, {"The text is never positive", NONE},
        {"no positive words here", NONE}, {"It is not at all positive", NONE}, {"cannot be positive", NONE},
        {"more negative than positive", NONE}, {"non-positive", NONE}, {"mixed: positive and negative", NONE},
        {"Positive? No, negative.", NONE}, {"unpositive", NONE}, {"un-positive", NONE},
        /* no class */
        {"", NONE}, {"   ", NONE}, {"\n\n", NONE}, {"neutral", NONE}, {"unknown", NONE}, {"positiv", NONE},
        {"positively", NONE}, {"I cannot help with that.", NONE}, {"pos", NONE}, {"n/a", NONE}, {"0", NONE},
        {"?", NONE}, {"...", NONE}, {"true", NONE}, {"yes", NONE}, {"I'm sorry, but I can't assist with that.", NONE},
        {"As an AI model I have no opinion.", NONE}, {"negatives", NONE}, {"posi tive", NONE},
        {"{}", NONE}, {"[]", NONE}, {"{", NONE}, {"null", NONE}, {"<think>", NONE},
        {"\xff\xfepositive", 0}, {"positive\xff", 0}, {"\xc3", NONE},
    };
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, x, "positive", "negative");
}

static void as_json(void **state)
{
    static const example x[] = {
        {"{\"label\": \"positive\"}", 0}, {"{\"label\":\"Positive\"}", 0}, {"{\"label\": \" negative.\"}", 1},
        {"{\"answer\": \"negative\"}", 1}, {"{\"class\": \"positive\"}", 0}, {"{\"category\": \"negative\"}", 1},
        {"{\"sentiment\": \"positive\"}", 0}, {"{\"label\": [\"positive\"]}", 0}, {"\"positive\"", 0},
        {"```json\n{\"label\": \"positive\"}\n```", 0}, {"```\n{\"label\": \"negative\"}\n```", 1},
        {"Here it is: {\"label\": \"positive\"}", 0}, {"{\"label\": \"positive\"} as asked", 0},
        {"{\n  \"label\": \"positive\",\n  \"reason\": \"not negative\"\n}", 0},
        {"{\"reason\": \"it is not negative at all\", \"label\": \"positive\"}", 0},
        {"{\"confidence\": 0.9, \"sentiment\": \"negative\"}", 1}, {"[\"positive\"]", 0},
        {"{\"label\": \"positive\", \"label\": \"negative\"}", 1}, /* as parsers have it: the last */
        {"{\"label\": \"the class is positive\"}", 0}, {"{'label': 'positive'}", 0},
        {"{\"label\": \"positive\"", 0}, {"{label: positive}", 0}, {"{\"result\":{\"label\":\"negative\"}}", 1},
        /* what the label says counts, not what stands beside it */
        {"{\"label\": \"unknown\", \"reason\": \"a positive tone\"}", NONE},
        {"{\"label\": null, \"reason\": \"it sounds positive\"}", NONE},
        {"{\"label\": \"\", \"text\": \"positive\"}", NONE}, {"{\"label\": 1, \"note\": \"negative\"}", NONE},
        {"{\"label\": [\"positive\", \"negative\"]}", NONE}, {"{\"label\": \"positive or negative\"}", NONE},
        {"{\"label\": \"not positive\"}", NONE}, {"{\"label\": \"neutral\"}", NONE},
        {"{\"positive\": 0.9, \"negative\": 0.1}", NONE}, {"{\"label\":\"positive\"}{\"label\":\"negative\"}", NONE},
        {"{\"a\": \"positive\", \"b\": \"negative\"}", NONE}, {"{\"label\": {\"a\": 1}}", NONE},
    };
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, x, "positive", "negative");
}

static void names_within_names(void **state)
{
    static const example five[] = {
        {"positive", 2}, {"very positive", 3}, {"Very positive.", 3}, {"The text is very positive", 3},
        {"very  positive", 3}, {"very-positive", 3}, {"\"very positive\"", 3}, {"very negative", 4},
        {"very positive, not positive", NONE}, {"positive, very positive", NONE}, {"very", NONE},
        {"quite positive", 2}, {"very very positive", 3}, {"Answer: very negative", 4},
        {"{\"label\": \"very positive\"}", 3}, {"not very positive", NONE},
    };
    static const example spam[] = {
        {"spam", 1}, {"not spam", 0}, {"Not spam.", 0}, {"not-spam", 0}, {"This is not spam", 0},
        {"This is spam", 1}, {"definitely spam", 1}, {"it is no spam", NONE}, {"It's not not spam", NONE},
        {"spam, not ham", 1},
    };
    static const example toxic[] = {
        {"toxic", 0}, {"non-toxic", 1}, {"non toxic", 1}, {"Non-Toxic", 1}, {"not toxic", NONE},
        {"nontoxic", NONE}, {"The comment is non-toxic.", 1}, {"toxic / non-toxic", NONE},
    };
    static const example york[] = {{"York", 1}, {"New York", 0}, {"In New York", 0}, {"new york city", 0},
                                   {"York or New York", NONE}, {"New", NONE}};
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, five, "negative", "neutral", "positive", "very positive", "very negative");
    CHECK(SILR_ANSWERS_NAMES, spam, "not spam", "spam");
    CHECK(SILR_ANSWERS_NAMES, toxic, "toxic", "non-toxic");
    CHECK(SILR_ANSWERS_NAMES, york, "New York", "York");
}

/* Names that only their signs tell apart: the answer must have the very signs. */
static void names_made_of_signs(void **state)
{
    static const example signs[] = {{"+", 0}, {"-", 1}, {" + ", 0}, {"\"+\"", 0}, {"{\"label\": \"-\"}", 1},
                                    {"Answer: +", 0}, {"+-", NONE}, {"plus", NONE}, {"- +", NONE}, {"", NONE}};
    static const example tongues[] = {{"c", 0}, {"c++", 1}, {"c#", 2}, {"C", 0}, {"C++", 1}, {"\"c++\"", 1},
                                      {"Answer: c++", 1}, {"Answer: C#", 2}, {"{\"label\": \"c\"}", 0},
                                      {"java", 3}, {"Java.", 3}, {"**C**", 0}, {"It is c++ code", NONE},
                                      {"C.", 0}, {"the class is c", NONE}};
    static const example grades[] = {{"A", 0}, {"A+", 1}, {"A-", 2}, {"Grade: A+", 1}, {"a-", 2},
                                     {"**A**", 0}, {"A.", 0}, {"A or B", NONE}, {"B", 3}, {"**B**", 3}};
    static const example cases[] = {{"A", 0}, {"a", 1}, {"\"A\"", 0}, {"{\"label\": \"a\"}", 1}};
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, signs, "+", "-");
    CHECK(SILR_ANSWERS_NAMES, tongues, "c", "c++", "c#", "java");
    CHECK(SILR_ANSWERS_NAMES, grades, "A", "A+", "A-", "B");
    CHECK(SILR_ANSWERS_NAMES, cases, "A", "a");
}

static void numbers_and_words(void **state)
{
    static const example numbers[] = {{"0", 0}, {"1", 1}, {"2", 2}, {"2.", 2}, {"Answer: 1", 1}, {"10", NONE},
                                      {"{\"label\": \"1\"}", 1}, {"{\"label\": 1}", 1}, {"1 or 2", NONE},
                                      {"class 1", 1}, {"-1", NONE}, {"1.5", NONE}, {"{\"label\": 7}", NONE}};
    static const example news[] = {{"Sci/Tech", 3}, {"sci/tech", 3}, {"Sci Tech", 3}, {"Sci-Tech", 3},
                                   {"World news", 0}, {"Sports.", 1}, {"Business", 2}, {"Tech", NONE},
                                   {"World, Business", NONE}, {"Science/Technology", NONE}};
    static const example under[] = {{"class_a", 0}, {"CLASS_A", 0}, {"class a", 0}, {"Class-B", 1},
                                    {"class", NONE}, {"`class_b`", 1}};
    static const example yes[] = {{"yes", 0}, {"No", 1}, {"No.", 1}, {"Yes, it is.", 0}, {"No, it is not.", 1},
                                  {"yes or no", NONE}, {"yes/no? (see code)", NONE}, {"yesterday", NONE}, {"Nope", NONE},
                                  {"I say yes", 0}};
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, numbers, "0", "1", "2");
    CHECK(SILR_ANSWERS_NAMES, news, "World", "Sports", "Business", "Sci/Tech");
    CHECK(SILR_ANSWERS_NAMES, under, "class_a", "class_b");
    CHECK(SILR_ANSWERS_NAMES, yes, "yes", "no");
}

static void true_and_false(void **state)
{
    static const example x[] = {
        {"true", 0}, {"false", 1}, {"True", 0}, {"FALSE.", 1}, {"**true**", 0}, {"{\"label\": true}", 0},
        {"{\"label\": false}", 1}, {"{\"label\": \"true\"}", 0}, {"Answer: false", 1}, {"not true", NONE},
        {"true or false", NONE}, {"spam", NONE}, {"ham", NONE}, {"1", NONE}, {"It is true that it is spam", 0},
    };
    (void)state;
    CHECK(SILR_ANSWERS_TRUE_FALSE, x, "spam", "ham");
}

static void other_scripts(void **state)
{
    static const example romanian[] = {
        {"\xc8\x99tiri", 0}, {"\xc8\x98tiri", 0}, {"\xc8\x98TIRI", 0}, {"**\xc8\x99tiri**", 0}, {"opinie", 1},
        {"reclam\xc4\x83", 2}, {"Reclam\xc4\x82.", 2}, {"Clasa: reclam\xc4\x83", 2}, {"stiri", NONE},
        {"{\"label\": \"\\u0219tiri\"}", 0}, {"Textul este o opinie.", 1}, {"reclam", NONE},
    };
    static const example chinese[] = {
        {"\xe6\xad\xa3\xe9\x9d\xa2", 0}, {"\xe6\xad\xa3\xe9\x9d\xa2\xe3\x80\x82", 0},
        {"\xe7\xad\x94\xe6\xa1\x88\xef\xbc\x9a\xe8\xb4\x9f\xe9\x9d\xa2", 1},
        {"\xe3\x80\x8c\xe6\xad\xa3\xe9\x9d\xa2\xe3\x80\x8d", 0}, {"\xe6\xad\xa3", NONE},
    };
    static const example german[] = {{"gr\xc3\xbc\xc3\x9f", 0}, {"GR\xc3\x9c\xc3\x9f", 0}, {"Gr\xc3\xbc\xc3\x9f.", 0},
                                     {"\xc3\xa4rger", 1}, {"\xc3\x84RGER!", 1}, {"arger", NONE}};
    static const example russian[] = {{"\xd0\xb4\xd0\xb0", 0}, {"\xd0\x94\xd0\x90", 0}, {"\xd0\xbd\xd0\xb5\xd1\x82.", 1}};
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, romanian, "\xc8\x99tiri", "opinie", "reclam\xc4\x83");
    CHECK(SILR_ANSWERS_NAMES, chinese, "\xe6\xad\xa3\xe9\x9d\xa2", "\xe8\xb4\x9f\xe9\x9d\xa2");
    CHECK(SILR_ANSWERS_NAMES, german, "gr\xc3\xbc\xc3\x9f", "\xc3\xa4rger");
    CHECK(SILR_ANSWERS_NAMES, russian, "\xd0\xb4\xd0\xb0", "\xd0\xbd\xd0\xb5\xd1\x82");
}

static void thoughts(void **state)
{
    static const example x[] = {
        {"<think>It may be negative.</think>positive", 0}, {"<think>\nnegative\n</think>\n\npositive\n", 0},
        {"It may be negative.</think>positive", 0}, {"<think></think>negative", 1},
        {"<think>a</think>b<think>negative</think>positive", 0}, {"<thinking>negative</thinking> positive", 0},
        {"<reasoning>negative</reasoning>\npositive", 0}, {"<think>a <think>negative</think></think>positive", 0},
        {"<think>It is positive", NONE}, {"<think>positive</think>", NONE}, {"positive <think>or", NONE},
        {"<think>a</think><think>positive", NONE}, {"<thinking>positive", NONE},
        {"<think>x</think>{\"label\": \"positive\"}", 0},
    };
    (void)state;
    CHECK(SILR_ANSWERS_NAMES, x, "positive", "negative");
}

/* Beside the words: a refusal, a filter, an answer that was cut off. */
static void reasons(void **state)
{
    static const char *const names[] = {"very", "very good", "bad"};
    silr_task task = {.n_classes = 3, .classes = (char **)(uintptr_t)names};
    (void)state;

    assert_int_equal(label_of(&task, "bad", "stop", true), NONE);
    assert_non_null(strstr(reason_of, "refused"));
    assert_int_equal(label_of(&task, "bad", "content_filter", false), NONE);
    assert_non_null(strstr(reason_of, "content filter"));
    assert_int_equal(label_of(&task, "<think>hm", "length", false), NONE);
    assert_non_null(strstr(reason_of, "reasoning_tokens"));
    assert_int_equal(label_of(&task, "", "stop", false), NONE);
    assert_non_null(strstr(reason_of, "empty"));
    assert_int_equal(label_of(&task, "good", "stop", false), NONE);
    assert_non_null(strstr(reason_of, "names no class"));
    assert_int_equal(label_of(&task, "bad or very good", "stop", false), NONE);
    assert_non_null(strstr(reason_of, "more than one"));
    assert_int_equal(label_of(&task, "bad", "length", false), 2); /* it is whole all the same */
    assert_int_equal(label_of(&task, "very", "stop", false), 0);
    assert_int_equal(label_of(&task, "very", "length", false), NONE); /* it may have wanted to go on */
    assert_int_equal(label_of(&task, "very good", "length", false), 1);
    assert_int_equal(label_of(&task, "Answer: very", "length", false), NONE);
}

static void none_failed(void **state)
{
    (void)state;
    assert_int_equal(failures, 0);
}

/* However long, odd or broken: an end, and a class or a reason. */
static void anything_at_all(void **state)
{
    static const char *const names[] = {"positive", "very positive", "-", "\xc8\x99tiri"};
    static const char *const pieces[] = {"positive", "very ", "-", "\xc8\x99tiri", "\n", ":", "{", "}", "\"label\":",
                                         "\"", "<think>", "</think>", "not ", "\xff", "\xc8", " ", "x", "\\u0219"};
    silr_task task = {.n_classes = 4, .classes = (char **)(uintptr_t)names};
    silr_buf b = {0};
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 3, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        silr_buf_reset(&b);
        silr_buf_puts(&b, "");
        for (uint64_t k = silr_rng_below(&rng, 12); k > 0; k--)
            silr_buf_puts(&b, pieces[silr_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        label_of(&task, b.data, "stop", false);
    }
    while (b.len < 100000)
        silr_buf_puts(&b, "positive ");
    label_of(&task, b.data, "stop", false);
    silr_buf_puts(&b, "\n-");
    assert_int_equal(label_of(&task, b.data, "stop", false), 2);
    silr_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_classes),         cmocka_unit_test(as_json),
        cmocka_unit_test(names_within_names),  cmocka_unit_test(names_made_of_signs),
        cmocka_unit_test(numbers_and_words),   cmocka_unit_test(true_and_false),
        cmocka_unit_test(other_scripts),       cmocka_unit_test(thoughts),
        cmocka_unit_test(none_failed),         cmocka_unit_test(reasons),
        cmocka_unit_test(anything_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
