/* test_chat.c - the settings of a conversation with a language model, and several annotators in one
 * task: what is read, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "task/task.h"
#include <math.h>
#include <string.h>

#define HEAD                                                                                       \
    "classes: [positive, negative]\n"                                                              \
    "corpus: {files: reviews.jsonl, text: text}\n"
#define CHAT HEAD "annotator:\n  kind: chat\n  model: m\n"
#define SEVERAL                                                                                    \
    HEAD "annotator:\n  kind: several\n  url: \"http://localhost:1/v1\"\n  members:\n"             \
         "    - {kind: chat, model: m, name: first}\n    - {kind: column, column: llm}\n"

static silr_status parse(silr_task **t, const char *text, const char *set, silr_error *err)
{
    return silr_task_parse(t, text, strlen(text), "t.yaml", "dir", &set, set ? 1 : 0, err);
}

static silr_task *good(const char *text, const char *set)
{
    silr_task *t = NULL;
    silr_error err = {0};

    if (parse(&t, text, set, &err) != SILR_OK)
        fail_msg("refused: %s", err.text);
    return t;
}

static const char everything[] =
    CHAT "  url: \"https://host.example/v1\"\n"
         "  descriptions: {negative: \"the writer dislikes it\"}\n"
         "  examples: [{text: \"a joy\", label: positive}, {text: \"a \\\"mess\\\"\", label: negative}]\n"
         "  parameters: {reasoning_effort: low, top_k: 40, stop: [\"\\n\", \"42\"], x: {y: true, z: null}}\n"
         "  prices: {m: {input: 0.15, output: 0.6}, other: {input: 1, cached_input: 0.5, output: 2}}\n"
         "  max_cost: 5\n";

static void reads_a_conversation(void **state)
{
    silr_task *t = good(everything, NULL);
    const silr_chat_settings *c = &t->annotator.chat;
    (void)state;

    assert_int_equal(t->annotator.kind, SILR_ANNOTATOR_CHAT);
    assert_string_equal(c->url, "https://host.example/v1");
    assert_null(c->description[0]);
    assert_string_equal(c->description[1], "the writer dislikes it");
    assert_int_equal(c->n_examples, 2);
    assert_string_equal(c->example[1].text, "a \"mess\"");
    assert_int_equal(c->example[1].label, 1);
    assert_string_equal(c->parameters, "{\"reasoning_effort\": \"low\", \"top_k\": 40, \"stop\": "
                                       "[\"\\n\", \"42\"], \"x\": {\"y\": true, \"z\": null}}");
    assert_int_equal(c->n_prices, 2);
    assert_true(isnan(c->price[0].cached_input));
    assert_true(c->price[1].cached_input == 0.5);
    assert_int_equal(c->draw_examples, 0);
    assert_string_equal(silr_task_annotator(t), "m");
    silr_task_free(t);
    t = good(CHAT "  examples: 8\n", NULL);
    assert_int_equal(t->annotator.chat.draw_examples, 8);
    silr_task_free(t);
}

/* Members begin with what stands beside them and are tasks of their own. */
static void reads_members(void **state)
{
    silr_task *t = good(SEVERAL, NULL), *m;
    (void)state;

    assert_int_equal(t->annotator.n_members, 2);
    m = t->annotator.member[0];
    assert_int_equal(m->annotator.kind, SILR_ANNOTATOR_CHAT);
    assert_string_equal(m->annotator.chat.url, "http://localhost:1/v1");
    assert_string_equal(silr_task_annotator(m), "first");
    assert_string_equal(m->name, t->name);
    assert_int_equal(m->n_classes, 2);
    m = t->annotator.member[1];
    assert_int_equal(m->annotator.kind, SILR_ANNOTATOR_COLUMN);
    assert_string_equal(silr_task_annotator(m), "llm");
    assert_string_not_equal(m->hash.hex, t->annotator.member[0]->hash.hex);
    assert_int_equal(t->annotator.kind, SILR_ANNOTATOR_SEVERAL);
    silr_task_free(t);
}

/* What a run keeps of its task makes the same task, and each member's the member alone. */
static void json_reads_back(void **state)
{
    static const char *const texts[] = {everything, SEVERAL, CHAT "  examples: 3\n",
                                        CHAT "  answers: true-false\n  format: json\n"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        silr_task *t = good(texts[i], NULL), *back;
        silr_buf b = {0};
        silr_task_to_json(t, &b);
        back = good(b.data, NULL);
        assert_string_equal(t->hash.hex, back->hash.hex);
        silr_task_free(back);
        for (size_t m = 0; m < t->annotator.n_members; m++) {
            silr_buf_reset(&b);
            silr_task_to_json(t->annotator.member[m], &b);
            back = good(b.data, NULL);
            assert_string_equal(t->annotator.member[m]->hash.hex, back->hash.hex);
            silr_task_free(back);
        }
        silr_buf_clear(&b);
        silr_task_free(t);
    }
}

/* How fast, how dear, through which door: none of it changes what the labels will be. */
static void hash_of_what_matters(void **state)
{
    static const char *const same[] = {
        "annotator.concurrency=3", "annotator.max_cost=7", "annotator.prices={m: {input: 9}}",
        "annotator.cache=x.db",    "annotator.batch=true", "annotator.key_env=OTHER",
        "annotator.timeout=3",     "annotator.retries=1"};
    static const char *const other[] = {
        "annotator.model=n",     "annotator.url=http://h",        "annotator.temperature=0.5",
        "annotator.examples=2",  "annotator.parameters={a: 1}",   "annotator.descriptions={positive: x}",
        "annotator.self_refine=2", "annotator.instruction=Say it."};
    silr_task *base = good(everything, "annotator.prices={m: {input: 1}}");
    (void)state;

    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        silr_task *t = good(everything, same[i]);
        assert_string_equal(t->hash.hex, base->hash.hex);
        silr_task_free(t);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        silr_task *t = NULL;
        silr_error err = {0};
        if (parse(&t, everything, other[i], &err) != SILR_OK) /* a price for another model */
            assert_non_null(strstr(err.text, "max_cost"));
        else
            assert_string_not_equal(t->hash.hex, base->hash.hex);
        silr_task_free(t);
    }
    silr_task_free(base);
}

static const struct {
    const char *text, *error;
} bad[] = {
    {HEAD "annotator: {kind: chat}\n", "t.yaml:3:19: annotator.model is missing: name the model, as "
                                       "in {kind: chat, model: gpt-4o-mini}"},
    {CHAT "  url: localhost:80\n", "t.yaml:6:8: annotator.url is \"localhost:80\": it must begin with "
                                   "http:// or https://, as in http://localhost:8080/v1"},
    {CHAT "  url: \"https://me:secret@host/v1\"\n",
     "t.yaml:6:8: annotator.url holds a user or a key: keys come from the environment only "
     "(annotator.key_env)"},
    {CHAT "  samples: 5\n", "t.yaml:6:12: annotator.samples is 5 at temperature 0, which gives the "
                            "same answer each time: set annotator.temperature, 0.7 for example"},
    {CHAT "  prompt: \"Label it\"\n", "t.yaml:6:11: annotator.prompt has no {text}: the model would "
                                      "not see what to label"},
    {CHAT "  examples: [{text: a}]\n",
     "t.yaml:6:14: an example is a map {text: ..., label: positive}"},
    {CHAT "  examples: [{text: a, label: positiv}]\n",
     "t.yaml:6:31: \"positiv\" is not a class: did you mean \"positive\"?"},
    {CHAT "  parameters: {model: x}\n",
     "t.yaml:6:16: annotator.parameters: \"model\" is set by silr itself; see the other settings of "
     "annotator"},
    {CHAT "  prices: {m: {in: 1}}\n",
     "t.yaml:6:16: unknown key \"in\" in a price; known are input, cached_input, output"},
    {CHAT "  max_cost: 3\n",
     "t.yaml:6:13: annotator.max_cost needs the price of \"m\" in annotator.prices, as in {m: {input: "
     "0.15, output: 0.6}}"},
    {"classes: [a, b, c]\ncorpus: {files: x, text: t}\nannotator: {kind: chat, model: m, answers: "
     "true-false}\n",
     "t.yaml:3:44: annotator.answers: true-false tells two classes apart, and there are 3: use names"},
    {CHAT "  members: [{kind: rules, rules: {positive: a}}]\n",
     "t.yaml:6:12: annotator.members needs annotator.kind: several"},
    {HEAD "annotator: {kind: several, members: [{kind: chat, model: m}]}\n",
     "t.yaml:3:37: annotator.members is a list of 2 to 16 annotators, such as [{kind: chat, model: a}, "
     "{kind: column, column: b}]"},
    {HEAD "annotator: {kind: several, members: [{kind: chat, model: m}, {kind: chat, model: m}]}\n",
     "t.yaml:3:62: two members are called \"m\": give each a name of its own"},
    {HEAD "annotator: {kind: several, members: [{model: m}, {kind: chat, model: m}]}\n",
     "t.yaml:3:38: a member is a map that begins with its kind, such as {kind: column, column: llm}"},
    {SEVERAL "  use: third\n",
     "t.yaml:9:8: annotator.use: no member is called \"third\"; the first is \"first\""},
    {HEAD "annotator: {kind: several, members: [{kind: several}, {kind: chat, model: m}]}\n",
     "t.yaml:3:38: a member cannot be several annotators itself"},
};

static void refuses_in_plain_words(void **state)
{
    int wrong = 0;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        silr_task *t = NULL;
        silr_error err = {0};
        silr_status st = parse(&t, bad[i].text, NULL, &err);
        if (st != SILR_EINPUT || t || strcmp(err.text, bad[i].error) != 0)
            print_error("case %zu: status %d\nsays   %s\nwanted %s\n", i, st, err.text, bad[i].error);
        wrong += st != SILR_EINPUT || strcmp(err.text, bad[i].error) != 0;
        silr_task_free(t);
    }
    assert_int_equal(wrong, 0);
}

static void each_allocation_fails_in_turn(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++)
        for (uint64_t n = 1;; n++) {
            silr_task *t = NULL;
            silr_error err = {0};
            silr_status st;
            silr_mem_fail_at(n, false);
            st = parse(&t, which ? SEVERAL : everything, NULL, &err);
            silr_mem_fail_at(0, false);
            silr_task_free(t);
            if (st == SILR_OK)
                break;
            assert_int_equal(st, SILR_ENOMEM);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_conversation),   cmocka_unit_test(reads_members),
        cmocka_unit_test(json_reads_back),        cmocka_unit_test(hash_of_what_matters),
        cmocka_unit_test(refuses_in_plain_words), cmocka_unit_test(each_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
