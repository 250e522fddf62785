/* test_task.c - the task file: what is read, where each value comes from, what is refused and in
 * which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "task/task.h"
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The least a task needs; `more` is added below. */
#define LEAST                                                                                      \
    "classes: [positive, negative]\n"                                                              \
    "corpus: {files: reviews.jsonl, text: text}\n"                                                 \
    "annotator: {kind: column, column: llm}\n"

static silr_status parse(silr_task **t, const char *text, const char *set, silr_error *err)
{
    return silr_task_parse(t, text, strlen(text), "dir/task.yaml", "dir", &set, set ? 1 : 0, err);
}

static silr_task *good(const char *text, const char *set)
{
    silr_task *t = NULL;
    silr_error err = {0};

    if (parse(&t, text, set, &err) != SILR_OK)
        fail_msg("refused: %s", err.text);
    return t;
}

static void shows(const silr_task *t, const char *path, const char *value, const char *origin)
{
    silr_buf b = {0};
    const char *from = NULL;

    assert_true(silr_task_get(t, path, &b, &from));
    assert_string_equal(b.data, value);
    assert_string_equal(from, origin);
    silr_buf_clear(&b);
}

/* Every setting of the design's example, and what was left out. */
static void reads_a_whole_task(void **state)
{
    static const char text[] =
        "name: movie-sentiment\n"
        "question: Does the writer like the movie?\n"
        "classes: [positive, negative]   # the first is the positive one\n"
        "corpus:\n"
        "  files: [reviews.jsonl, \"more/*.csv\"]\n"
        "  text: \"# Title: {title}\\n# Content: {text}\"\n"
        "  label: label\n"
        "  label_values: {1: positive, -1: negative, maybe: null}\n"
        "  group: null\n"
        "  split: {train: 0.6, validation: 0.2, test: 0.2}\n"
        "labelled: {theta: [0.8, 0.3], pi: 0.5}\n"
        "annotator: {kind: column, column: llm_gpt4, values: {yes: positive, no: negative}}\n"
        "refine: {recipe: paper, lambda: -0.01, learning_rate: 1.0e-4, safe: true}\n"
        "seed: 7\n";
    silr_task *t = good(text, NULL);
    int label = 5;
    (void)state;

    assert_string_equal(t->name, "movie-sentiment");
    assert_int_equal(t->n_classes, 2);
    assert_string_equal(t->dir, "dir");
    assert_int_equal(t->corpus.n_files, 2);
    assert_string_equal(t->corpus.files[1], "more/*.csv");
    assert_string_equal(t->corpus.text, "# Title: {title}\n# Content: {text}");
    assert_null(t->corpus.group);
    assert_true(t->corpus.train > 0.59 && t->corpus.train < 0.61);
    assert_int_equal(t->labelled.kind, SILR_LABELLED_GIVEN);
    assert_int_equal(t->labelled.n_theta, 2);
    assert_int_equal(t->labelled.n_pi, 1);
    assert_int_equal(t->annotator.values.n, 2);
    assert_int_equal(t->refine.recipe, SILR_RECIPE_PAPER);
    assert_true(t->refine.safe);
    assert_int_equal(t->seed, 7);
    assert_true(silr_task_value(t, &t->corpus.label_values, "-1", &label));
    assert_int_equal(label, 1);
    assert_true(silr_task_value(t, &t->corpus.label_values, "maybe", &label));
    assert_int_equal(label, SILR_NO_LABEL);
    assert_false(silr_task_value(t, &t->corpus.label_values, "1.0", &label));
    shows(t, "refine.lambda", "-0.01", "task.yaml:13");
    shows(t, "corpus.id", "null", "default");
    shows(t, "labelled", "{\"theta\": [0.8, 0.3], \"pi\": [0.5]}", "task.yaml:11");
    silr_task_free(t);
}

/* Flag before file before default; and defaults that hang on the recipe, wherever it came from. */
static void precedence(void **state)
{
    silr_task *t = good(LEAST "refine: {iterations: 2}\n", "refine.recipe=paper");
    silr_error err;
    (void)state;

    shows(t, "name", "task", "default");
    shows(t, "refine.recipe", "paper", "flag");
    shows(t, "refine.iterations", "2", "task.yaml:4");
    shows(t, "refine.batch", "16", "recipe");
    shows(t, "refine.gate", "batch", "recipe");
    shows(t, "refine.margin", "0.6", "default");
    shows(t, "labelled", "{\"count\": 50}", "default");
    assert_int_equal(silr_task_set(t, "refine.recipe", "silr", &err), SILR_OK);
    assert_int_equal(silr_task_set(t, "refine.iterations", "9", &err), SILR_OK);
    shows(t, "refine.gate", "average", "recipe");
    shows(t, "refine.batch", "0", "recipe");
    shows(t, "refine.iterations", "9", "flag");
    assert_int_equal(silr_task_set(t, "labelled", "oracle", &err), SILR_OK);
    shows(t, "labelled", "\"oracle\"", "flag");
    assert_int_equal(silr_task_set(t, "labelled.count", "100", &err), SILR_OK);
    shows(t, "labelled", "{\"count\": 100}", "flag");
    assert_int_equal(silr_task_set(t, "corpus.files", "[a.csv, b.csv]", &err), SILR_OK);
    shows(t, "corpus.files", "[\"a.csv\", \"b.csv\"]", "flag");
    /* what is refused changes nothing */
    assert_int_equal(silr_task_set(t, "refine.iterations", "0", &err), SILR_EINPUT);
    assert_string_equal(err.text,
                        "--set refine.iterations=0: refine.iterations is 0; it may be 1 to 100");
    shows(t, "refine.iterations", "9", "flag");
    silr_task_free(t);
}

/* Classes given as a flag are the classes that the file's maps and rules are read into. */
static void classes_from_a_flag(void **state)
{
    silr_task *t = good(LEAST "labelled: oracle\n", "classes=[negative, positive]");
    int label;
    (void)state;

    assert_string_equal(t->classes[0], "negative");
    assert_true(silr_task_value(t, NULL, "positive", &label));
    assert_int_equal(label, 1);
    assert_true(silr_task_value(t, NULL, "+1", &label));
    assert_int_equal(label, 0);
    silr_task_free(t);
}

static void reads_rules(void **state)
{
    silr_task *t = good("classes: [sport, business, tech]\n"
                        "corpus: {files: [a.csv], text: body}\n"
                        "labelled: {theta: [[.8, .1, .1], [.2, .7, .1], [.1, .3, .6]]}\n"
                        "annotator:\n"
                        "  kind: rules\n"
                        "  rules:\n"
                        "    sport: match|coach\n"
                        "    business:\n"
                        "      - {pattern: \"\\\\bshares?\\\\b\", weight: 2, name: shares}\n"
                        "      - market\n",
                        NULL);
    const silr_rule *r = t->annotator.rules;
    (void)state;

    assert_int_equal(t->labelled.n_theta, 9);
    assert_int_equal(t->annotator.n_rules, 3);
    assert_string_equal(r[0].pattern, "match|coach");
    assert_int_equal(r[0].line, 7);
    assert_string_equal(r[1].pattern, "\\bshares?\\b");
    assert_string_equal(r[1].name, "shares");
    assert_true(r[1].weight > 1.5);
    assert_int_equal(r[2].label, 1);
    assert_int_equal(r[2].line, 10);
    silr_task_free(t);
}

static const struct {
    const char *text, *error;
} bad[] = {
    {"", "dir/task.yaml: nothing in it: a task needs at least classes, corpus and annotator"},
    {"# only a comment\n",
     "dir/task.yaml: nothing in it: a task needs at least classes, corpus and annotator"},
    {"just words", "dir/task.yaml:1:1: a task is text, not a map of settings"},
    {"[1, 2]", "dir/task.yaml:1:1: a task is a list, not a map of settings"},
    {LEAST "refine:\n  margin: 1\n  iteratons: 4\n",
     "dir/task.yaml:6:3: unknown key \"iteratons\" in refine: did you mean \"iterations\"?"},
    {LEAST "clases: [a, b]\n",
     "dir/task.yaml:4:1: unknown key \"clases\": did you mean \"classes\"?"},
    {LEAST "iterations: 4\n",
     "dir/task.yaml:4:1: unknown key \"iterations\": did you mean \"refine.iterations\"?"},
    {LEAST "zzzzzz: 4\n",
     "dir/task.yaml:4:1: unknown key \"zzzzzz\"; known are name, question, seed, "
     "threads, limit, corpus, labelled, annotator, classifier, refine, report, "
     "classes"},
    {LEAST "labelled: {cout: 50}\n",
     "dir/task.yaml:4:12: unknown key \"cout\" in labelled: did you mean \"count\"?"},
    {LEAST "refine.margin: 1\n",
     "dir/task.yaml:4:1: unknown key \"refine.margin\": in a file, write margin below refine"},
    {LEAST "seed: one\n", "dir/task.yaml:4:7: seed is \"one\", not a whole number"},
    {LEAST "seed: 1.5\n", "dir/task.yaml:4:7: seed is \"1.5\", not a whole number"},
    {LEAST "seed: \"1\"\n", "dir/task.yaml:4:7: seed is \"1\", not a whole number"},
    {LEAST "seed: [1]\n", "dir/task.yaml:4:7: seed is a list, not a whole number"},
    {LEAST "seed: 0x10\n", "dir/task.yaml:4:7: seed is \"0x10\", not a whole number"},
    {LEAST "refine: {margin: .nan}\n",
     "dir/task.yaml:4:18: refine.margin is \".nan\", not a number"},
    {LEAST "refine: {lambda: 3}\n", "dir/task.yaml:4:18: refine.lambda is 3; it may be -1 to 1"},
    {LEAST "threads: 99999999999999999999\n",
     "dir/task.yaml:4:10: threads is 99999999999999999999; it may be 0 to 4096"},
    {LEAST "refine: {safe: maybe}\n",
     "dir/task.yaml:4:16: refine.safe is \"maybe\", not true or false"},
    {LEAST "refine: {risk: nnpu}\n",
     "dir/task.yaml:4:16: refine.risk is \"nnpu\", not pn, uu or robust-uu"},
    {LEAST "classifier: {kind: frozen}\n",
     "dir/task.yaml:4:20: classifier.kind is frozen and classifier.model is missing: name the folder "
     "of an encoder, for example model: models/all-MiniLM-L6-v2"},
    {LEAST "classifier: {model: x, kind: frozen, head: tree}\n",
     "dir/task.yaml:4:44: classifier.head is \"tree\", not linear or mlp"},
    {LEAST "classifier: {kind: qlora}\n",
     "dir/task.yaml:4:20: classifier.kind is qlora and classifier.model is missing: name a model to "
     "fine-tune, for example model: models/SmolLM2-135M"},
    {LEAST "classifier: {model: x, kind: tree}\n",
     "dir/task.yaml:4:30: classifier.kind is \"tree\", not ngram, frozen or qlora"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: local}\n",
     "dir/task.yaml:3:19: annotator.model is missing: name the model's file or folder, as in {kind: "
     "local, model: SmolLM2-135M-Instruct.Q4_1.gguf}"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: local, model: m, samples: 3}\n",
     "dir/task.yaml:3:45: annotator.samples is for chat: a local model's answer is computed, not drawn, "
     "and comes with its probability"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: local, model: m, format: json}\n",
     "dir/task.yaml:3:44: annotator.format: json is for chat: of a local model the probabilities of the "
     "classes' names are computed; use text"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: local, model: m, talk: x}\n",
     "dir/task.yaml:3:42: annotator.talk is \"x\", not auto, none, chatml, llama2, llama3, mistral, gemma, "
     "phi3 or zephyr"},
    {LEAST "seed: 1\nseed: 2\n", "dir/task.yaml:5:1: key \"seed\" stands twice (first in line 4)"},
    {LEAST "labelled: {count: 5, file: x}\n",
     "dir/task.yaml:4:22: labelled takes either count or file, not both"},
    {LEAST "labelled: {pi: 0.5}\n",
     "dir/task.yaml:4:16: labelled.pi needs labelled.theta beside it"},
    {LEAST "labelled: fifty\n",
     "dir/task.yaml:4:11: labelled is one of {count: 50}, {file: gold.csv}, {theta: [0.8, 0.3], "
     "pi: 0.5}, oracle or none"},
    {LEAST "labelled: {theta: [0.8, 1.3]}\n",
     "dir/task.yaml:4:25: labelled.theta holds 1.3; a share is 0 to 1"},
    {LEAST "labelled: {theta: [0.8, 0.3, 0.1]}\n",
     "dir/task.yaml:4:19: labelled.theta has 3 numbers; 2 are needed: [theta_p, theta_n]"},
    {LEAST "labelled: {theta: [[0.8, 0.3], [0.5, 0.5]]}\n",
     "dir/task.yaml:4:19: row 1 of labelled.theta does not sum to 1"},
    {LEAST "labelled: {theta: [[[0.8]]]}\n",
     "dir/task.yaml:4:21: labelled.theta is nested too deeply"},
    {"classes: [a, b]\ncorpus: {files: x, text: t, split: {train: 0.7, test: 0.2}}\n"
     "annotator: {kind: column, column: c}\n"
     "refine: 3\n",
     "dir/task.yaml:4:9: refine is a number, not a map of settings"},
    {"classes: [a, b]\ncorpus: {files: x, text: t, split: {train: 0.8}}\n"
     "annotator: {kind: column, column: c}\n",
     "dir/task.yaml:2:44: corpus.split: train, validation and test sum to 1.1, not to 1"},
    {"classes: [a, b]\ncorpus: {files: x, text: t, split: {train: 0, validation: .5, test: .5}}\n"
     "annotator: {kind: column, column: c}\n",
     "dir/task.yaml:2:44: corpus.split.train is 0: nothing to learn from"},
    {"corpus: {files: x, text: t}\nannotator: {kind: column, column: c}\n",
     "dir/task.yaml: classes is missing: add for example classes: [positive, negative]"},
    {"classes: [only]\n", "dir/task.yaml:1:10: 1 classes; there must be 2 to 64"},
    {"classes: [a, a]\n", "dir/task.yaml:1:14: class \"a\" stands twice"},
    {"classes: [a, null]\n", "dir/task.yaml:1:14: classes: entry 2 is empty, not a name"},
    {"classes: a\n",
     "dir/task.yaml:1:10: classes is text, not a list such as [positive, negative]"},
    {"classes: [a, b]\ncorpus: {text: t}\n",
     "dir/task.yaml: corpus.files is missing: add for example corpus: {files: [texts.jsonl], text: "
     "text}"},
    {"classes: [a, b]\ncorpus: {files: x}\n",
     "dir/task.yaml: corpus.text is missing: name the column that holds the text"},
    {"classes: [a, b]\ncorpus: {files: [], text: t}\n",
     "dir/task.yaml:2:17: corpus.files is an empty list, not a list of names"},
    {"classes: [a, b]\ncorpus: {files: x, text: \"\"}\n",
     "dir/task.yaml:2:26: corpus.text is empty: leave it out, or say null"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\n",
     "dir/task.yaml: annotator.kind is missing: add for example annotator: {kind: column, column: "
     "llm}, {kind: rules, rules: {a: \"word|other\"}} or {kind: chat, model: gpt-4o-mini}"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: column}\n",
     "dir/task.yaml:3:19: annotator.column is missing: name the column with the first labels"},
    {"classes: [a, b, c]\ncorpus: {files: x, text: t}\nannotator: {kind: column, log_odds: o}\n",
     "dir/task.yaml:3:37: annotator.log_odds tells two classes apart, and there are 3"},
    {"classes: [a, b, c]\ncorpus: {files: x, text: t}\nannotator: {kind: column, column: o}\n"
     "refine: {evidence: sets}\n",
     "dir/task.yaml:4:20: refine.evidence: sets parts the texts by the log-odds of two classes, and there "
     "are 3: use label"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: rules}\n",
     "dir/task.yaml:3:19: annotator.rules is missing: give a pattern for each class, or a lexicon"},
    {"classes: [a, b, c]\ncorpus: {files: x, text: t}\nannotator: {kind: rules, lexicon: l.tsv}\n",
     "dir/task.yaml:3:35: annotator.lexicon tells two classes apart, and there are 3: use "
     "annotator.rules"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: rules, rules: {ab: x}}\n",
     "dir/task.yaml:3:34: \"ab\" is not a class: did you mean \"a\"?"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\nannotator: {kind: rules, rules: {a: [{weight: "
     "2}]}}\n",
     "dir/task.yaml:3:38: a rule is a pattern, or a map {pattern: ..., weight: 2, name: x}"},
    {"classes: [a, b]\ncorpus: {files: x, text: t}\n"
     "annotator: {kind: rules, rules: {a: {pattern: x, weight: -2}}}\n",
     "dir/task.yaml:3:58: the weight of a rule is a number over 0, up to 1e6"},
    {LEAST "classifier: {word_min: 3}\n",
     "dir/task.yaml: classifier.word_min is over classifier.word_max"},
    {LEAST "classifier: {word_max: 0}\n",
     "dir/task.yaml:4:24: classifier.word_max and classifier.char_max are both 0: no n-grams"},
    {LEAST "name: &a x\nquestion: *a\n",
     "dir/task.yaml:4:10: anchors (&) and tags (!) are not used in task files: write the value "
     "itself"},
    {LEAST "question: *a\n",
     "dir/task.yaml:4:12: aliases (*) are not used in task files: write the value itself"},
    {LEAST "seed: !!int 3\n",
     "dir/task.yaml:4:13: anchors (&) and tags (!) are not used in task files: write the value "
     "itself"},
    {LEAST "---\nseed: 1\n",
     "dir/task.yaml:4:1: a second document (---) begins here; a task file holds one"},
    {LEAST "name: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n",
     "dir/task.yaml:4:22: nested too deeply for a task file"},
    {LEAST "? [a, b]\n: 1\n", "dir/task.yaml:4:3: a key must be a word, not a list"},
    {LEAST "name: \"\xff\"\n", "dir/task.yaml:4:8: byte 0xff is not UTF-8 text"},
    {LEAST "name: a\x01\n", "dir/task.yaml:4:8: byte 0x01 is not UTF-8 text"},
    {LEAST "name: \"a\\0b\"\n",
     "dir/task.yaml:4:7: this text holds a NUL or a character that is not valid"},
};

/* Log-odds alone are a column annotator too: their sign is the label. */
static void log_odds_need_no_labels(void **state)
{
    silr_task *t = good("classes: [a, b]\ncorpus: {files: x, text: t}\n"
                        "annotator: {kind: column, log_odds: o}\n", NULL);
    (void)state;

    assert_null(t->annotator.column);
    assert_string_equal(silr_task_annotator(t), "o");
    assert_int_equal(t->refine.evidence, SILR_EVIDENCE_LOG_ODDS);
    silr_task_free(t);
}

/* Each mistake costs its maker one glance: file, line, column, and what to write instead. */
static void refuses_in_plain_words(void **state)
{
    int wrong = 0;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        silr_task *t = (silr_task *)&t;
        silr_error err = {0};
        silr_status st = parse(&t, bad[i].text, NULL, &err);
        if (st != SILR_EINPUT || t || strcmp(err.text, bad[i].error) != 0)
            print_error("case %d (%zu): status %d\nsays   %s\nwanted %s\n%s", ++wrong, i, st,
                        err.text, bad[i].error, bad[i].text);
    }
    assert_int_equal(wrong, 0);
}

/* What libfyaml refuses: its words may change with its version, the place may not. */
static void refuses_invalid_yaml(void **state)
{
    static const struct {
        const char *text, *begins;
    } broken[] = {
        {"classes: [a, b\ncorpus: {\n", "dir/task.yaml:"},
        {"a: b: c\n", "dir/task.yaml:1:"},
        {"name: \"open\n", "dir/task.yaml:1:"},
        {"\tname: x\n", "dir/task.yaml:1:"},
        {"a: }\n", "dir/task.yaml:1:"},
        {"name: @x\n", "dir/task.yaml:1:"},
        {"%YAML 9.9\n---\na: 1\n", "dir/task.yaml:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        silr_task *t;
        silr_error err = {0};
        assert_int_equal(parse(&t, broken[i].text, NULL, &err), SILR_EINPUT);
        if (strncmp(err.text, broken[i].begins, strlen(broken[i].begins)) != 0 ||
            strchr(err.text, '\n'))
            fail_msg("%zu: %s", i, err.text);
    }
}

static void refuses_overrides(void **state)
{
    static const struct {
        const char *set, *error;
    } cases[] = {
        {"refine.iteratons=3",
         "--set refine.iteratons=3: unknown key \"refine.iteratons\": did you "
         "mean \"refine.iterations\"?"},
        {"seed", "--set seed: write it as key=value, for example refine.iterations=3"},
        {"=3", "--set =3: write it as key=value, for example refine.iterations=3"},
        {"seed=", "--set seed=: seed is empty, not a whole number"},
        {"seed=two", "--set seed=two: seed is \"two\", not a whole number"},
        {"refine=3", "--set refine=3: refine is a number, not a map of settings"},
        {"classes=[a, b", "--set classes:2:1: not valid YAML: "},
        {"corpus.split={train: 0.1}",
         "dir/task.yaml: corpus.split: train, validation and test sum to 0.4, not to 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_task *t;
        silr_error err = {0};
        assert_int_equal(parse(&t, LEAST, cases[i].set, &err), SILR_EINPUT);
        if (strncmp(err.text, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%zu: %s", i, err.text);
    }
}

static void refuses_what_is_too_large(void **state)
{
    silr_task *t;
    silr_error err;
    size_t len = (1 << 20) + 1;
    char *text = malloc(len);
    silr_buf many = {0};
    (void)state;

    assert_non_null(text);
    memset(text, '#', len);
    assert_int_equal(silr_task_parse(&t, text, len, "t.yaml", ".", NULL, 0, &err), SILR_EINPUT);
    assert_string_equal(err.text, "t.yaml: 1048577 bytes; a task file may have 1048576");
    free(text);
    silr_buf_puts(&many, LEAST "labelled: oracle\nreport: {");
    for (int i = 0; i < 1200; i++)
        silr_buf_printf(&many, "k%d: 1, ", i);
    silr_buf_puts(&many, "}\n");
    assert_int_equal(parse(&t, many.data, NULL, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "more than 1000 keys in one map"));
    silr_buf_clear(&many);
}

static const char *const round_trips[] = {
    LEAST,
    LEAST "labelled: none\nname: \"quote \\\" tab \\t \xe2\x80\xa8 \xc2\x85 end\"\nseed: 3\n",
    LEAST "labelled: {theta: [0.8, 0.1], pi: [0.25, 0.75]}\nrefine: {recipe: paper, l2: 1e-17}\n",
    LEAST "labelled: {file: \"gold, 1.csv\"}\n",
    "classes: [\"null\", \"1\", \"true\"]\ncorpus: {files: [\"-\"], text: \"{a}: {b}\", label: y,\n"
    "  label_values: {1: \"1\", \"~\": null, \"\": \"null\"}}\n"
    "annotator: {kind: rules, rules: {\"1\": [a|b, {pattern: \"[x]{2}\", weight: 0.1}], \"true\": "
    "c}}\n",
};

/* What is written down in a run's folder makes the same task again. */
static void json_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof round_trips / sizeof *round_trips; i++) {
        silr_buf one = {0}, two = {0};
        silr_task *t, *back;
        t = good(round_trips[i], NULL);
        silr_task_to_json(t, &one);
        back = good(one.data, NULL);
        silr_task_to_json(back, &two);
        assert_string_equal(one.data, two.data);
        assert_string_equal(t->hash.hex, back->hash.hex);
        silr_task_free(t);
        silr_task_free(back);
        silr_buf_clear(&one);
        silr_buf_clear(&two);
    }
}

/* The hash is the identity of the results: what cannot change them is not in it. */
static void hash_of_what_matters(void **state)
{
    static const char *const same[] = {"threads=3", "report.examples=7",
                                       "name=x",    "refine.iterations=3",
                                       "seed=1",    "corpus.split.train=0.70",
                                       "classifier.cache=x"};
    static const char *const other[] = {"refine.margin=0.5",
                                        "seed=2",
                                        "limit=10",
                                        "labelled=none",
                                        "corpus.files=b.csv",
                                        "classes=[negative, positive]",
                                        "annotator.column=x",
                                        "question=Why?",
                                        "refine.recipe=paper",
                                        "classifier.bits=18",
                                        "classifier.model=x",
                                        "classifier.max_tokens=64"};
    silr_task *base = good(LEAST, NULL), *t;
    (void)state;

    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        t = good(LEAST, same[i]);
        assert_string_equal(t->hash.hex, base->hash.hex);
        silr_task_free(t);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        t = good(LEAST, other[i]);
        assert_string_not_equal(t->hash.hex, base->hash.hex);
        silr_task_free(t);
    }
    t = good("\xef\xbb\xbf# other words\r\nannotator: {column: llm, kind: column}\r\n"
             "corpus:\n  text: text\n  files: [\"reviews.jsonl\"]\nreport:\nclasses:\n- "
             "positive\n- negative\n",
             NULL);
    assert_string_equal(t->hash.hex, base->hash.hex);
    silr_task_free(t);
    silr_task_free(base);
}

/* The table keeps its own rules: defaults parse, help is a sentence, every path is read and shown.
 */
static void the_table_is_sound(void **state)
{
    size_t n;
    const silr_knob *k = silr_knobs(&n);
    silr_task *t = good(LEAST, NULL);
    silr_buf b = {0};
    const char *from;
    (void)state;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(k[i].help[strlen(k[i].help) - 1], '.');
        assert_true(silr_task_get(t, k[i].path, &b, &from));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(k[i].path, k[j].path);
            assert_true(k[i].offset != k[j].offset);
        }
    }
    assert_false(silr_task_get(t, "refine", &b, &from));
    silr_buf_reset(&b);
    silr_task_reference(&b);
    assert_non_null(strstr(b.data, "\n### refine\n"));
    assert_null(strstr(strstr(b.data, "### refine") + 1, "### refine"));
    assert_non_null(strstr(b.data, "| `refine.margin` | number, 0 to 1 | `0.6` |"));
    assert_non_null(
        strstr(b.data, "| `refine.batch` | whole number, 0 to 1000000000 | by recipe |"));
    silr_buf_clear(&b);
    silr_task_free(t);
}

/* A program that asked for German numbers still writes JSON. */
static void numbers_of_any_locale(void **state)
{
    const char *was = setlocale(LC_NUMERIC, "de_DE.UTF-8");
    silr_task *t;
    (void)state;

    if (!was) {
        print_message("skipped: no locale with a decimal comma on this machine\n");
        skip();
    }
    t = good(LEAST, "refine.margin=0.25");
    setlocale(LC_NUMERIC, "C");
    shows(t, "refine.margin", "0.25", "flag");
    silr_task_free(t);
}

static void reads_from_disk(void **state)
{
    char path[] = "/tmp/silr-task-XXXXXX";
    int fd = mkstemp(path);
    silr_task *t = NULL;
    silr_error err;
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, LEAST, strlen(LEAST)), strlen(LEAST));
    close(fd);
    assert_int_equal(silr_task_load(&t, path, &err), SILR_OK);
    assert_string_equal(t->dir, "/tmp");
    silr_task_free(t);
    unlink(path);
    assert_int_equal(silr_task_load(&t, path, &err), SILR_EINPUT);
    assert_null(t);
    assert_int_equal(silr_task_load(&t, "/tmp", &err), SILR_EINPUT);
}

/* Every allocation fails once: the right status, nothing leaks, and an override leaves the task. */
static void each_allocation_fails_in_turn(void **state)
{
    const char *text = round_trips[4];
    uint64_t n = 1;
    (void)state;

    for (;; n++) {
        silr_task *t = NULL;
        silr_error err = {0};
        silr_status st;
        silr_mem_fail_at(n, n % 2 == 0);
        if ((st = parse(&t, text, "seed=4", &err)) == SILR_OK)
            st = silr_task_set(t, "refine.margin", "0.7", &err);
        silr_mem_fail_at(0, false);
        if (t)
            assert_int_equal(t->seed, 4);
        silr_task_free(t);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_int_equal(err.status, SILR_ENOMEM);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_task),     cmocka_unit_test(precedence),
        cmocka_unit_test(classes_from_a_flag),    cmocka_unit_test(reads_rules),
        cmocka_unit_test(log_odds_need_no_labels),
        cmocka_unit_test(refuses_in_plain_words), cmocka_unit_test(refuses_invalid_yaml),
        cmocka_unit_test(refuses_overrides),      cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(json_reads_back),        cmocka_unit_test(hash_of_what_matters),
        cmocka_unit_test(the_table_is_sound),     cmocka_unit_test(numbers_of_any_locale),
        cmocka_unit_test(reads_from_disk),        cmocka_unit_test(each_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
