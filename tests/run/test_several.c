/* test_several.c - several annotators in one task: each is kept apart, what they are made into is a
 * function of what they said, and a part of the work done earlier is not done again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "report/report.h"
#include "run/run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/silr-test-several-XXXXXX";
enum { N = 90 };

#define HEAD                                                                                       \
    "name: small\nclasses: [sport, money]\n"                                                       \
    "corpus: {files: [texts.jsonl], text: text, id: id, label: label}\n"                           \
    "labelled: {count: 20}\nclassifier: {bits: 12}\n"                                              \
    "refine: {iterations: 1, steps: 10, folds: 2, label_folds: 2}\n"                               \
    "annotator:\n  kind: several\n  members:\n"                                                    \
    "    - {kind: column, column: a}\n    - {kind: column, column: b, name: second}\n"             \
    "    - {kind: rules, rules: {sport: goal, money: bank}}\n"

static const char *const names[] = {"sport", "money"};

/* Column a errs on every 5th text, b on every 4th and says nothing on every 9th. */
static int said(char column, int i, int truth)
{
    if (column == 'b' && i % 9 == 0)
        return -1;
    return i % (column == 'a' ? 5 : 4) == 1 ? 1 - truth : truth;
}

static void make_files(const char *more)
{
    silr_buf b = {0};
    char path[128];

    for (int i = 0; i < N; i++) {
        int y = (i * 7 + i / 3) % 2, s = said('b', i, y);
        silr_buf_printf(&b, "{\"id\":\"t%d\",\"text\":\"%s number %d\",\"label\":\"%s\",\"a\":\"%s\",\"b\":",
                        i, i % 10 == 9 ? "word" : y ? "bank and shares" : "goal and match", i, names[y],
                        names[said('a', i, y)]);
        silr_buf_printf(&b, s < 0 ? "null}\n" : "\"%s\"}\n", s < 0 ? "" : names[s]);
    }
    snprintf(path, sizeof path, "%s/texts.jsonl", top);
    assert_int_equal(silr_file_write(path, b.data, b.len, NULL), SILR_OK);
    silr_buf_reset(&b);
    silr_buf_printf(&b, "%s%s", HEAD, more);
    snprintf(path, sizeof path, "%s/task.yaml", top);
    assert_int_equal(silr_file_write(path, b.data, b.len, NULL), SILR_OK);
    silr_buf_clear(&b);
}

static silr_task *load(const char *set)
{
    silr_task *t = NULL;
    silr_error err = {0};
    char path[128];

    snprintf(path, sizeof path, "%s/task.yaml", top);
    if (silr_task_read(&t, path, &set, set ? 1 : 0, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return t;
}

static void open_in(silr_session *s, silr_task *t, const char *dir)
{
    silr_error err = {0};
    static char path[160];

    snprintf(path, sizeof path, "%s/%s", top, dir);
    if (silr_session_open(s, t, path, &err) != SILR_OK || silr_session_annotate(s, &err) != SILR_OK)
        fail_msg("%s", err.text);
}

/* The majority of what was said, counted here by hand; a tie has no label and says why. */
static void the_majority(void **state)
{
    silr_task *t;
    silr_session s;
    silr_store_voters v;
    silr_error err;
    (void)state;

    make_files("");
    t = load(NULL);
    open_in(&s, t, "majority");
    assert_int_equal(s.annotated, 3 * N);
    assert_int_equal(silr_store_votes(&v, s.store, t, N, &err), SILR_OK);
    assert_int_equal(v.votes.M, 3);
    for (int i = 0; i < N; i++) {
        int count[2] = {0, 0}, want;
        for (int m = 0; m < 3; m++)
            if (v.label[m][i] >= 0)
                count[v.label[m][i]]++;
        want = count[0] > count[1] ? 0 : count[1] > count[0] ? 1 : SILR_NO_LABEL;
        assert_int_equal(s.initial[i], want);
        assert_int_equal(v.label[0][i], said('a', i, (i * 7 + i / 3) % 2));
    }
    silr_store_votes_clear(&v);
    silr_session_close(&s);
    open_in(&s, t, "majority"); /* again: nobody is asked */
    assert_int_equal(s.annotated, 0);
    silr_session_close(&s);
    silr_task_free(t);
}

/* What the tables say is what was said. */
static void the_tables(void **state)
{
    silr_task *t;
    silr_session s;
    silr_annotators a;
    silr_buf b = {0};
    silr_error err;
    size_t same = 0;
    (void)state;

    make_files("");
    t = load(NULL);
    open_in(&s, t, "tables");
    assert_int_equal(silr_session_sample(&s, &err), SILR_OK);
    assert_int_equal(silr_annotators_read(&a, t, s.corpus, s.store, &err), SILR_OK);
    assert_int_equal(a.n, 4);
    assert_true(a.several);
    assert_false(a.model);
    assert_string_equal(a.row[0].name, "majority");
    assert_string_equal(a.row[2].name, "second");
    assert_int_equal(a.row[1].labelled, N);
    assert_int_equal(a.row[2].abstained, N / 9);
    for (int i = 0; i < N; i++)
        same += said('a', i, 0) == said('b', i, 0);
    assert_int_equal(a.agreement.pair[0].both, N - N / 9);
    assert_int_equal(a.agreement.pair[0].same, same);
    assert_true(a.row[1].measured > 0.7 && a.row[1].measured < 0.9);
    assert_true(a.row[1].estimated.low < a.row[1].measured);
    assert_true(a.row[1].estimated.high > a.row[1].measured);
    silr_annotators_text(&a, &b);
    assert_non_null(strstr(b.data, "Krippendorff"));
    silr_buf_reset(&b);
    silr_annotators_json(&a, &b);
    assert_non_null(strstr(b.data, "\"a\":\"a\",\"b\":\"second\""));
    silr_buf_clear(&b);
    silr_annotators_clear(&a);
    silr_session_close(&s);
    silr_task_free(t);
}

/* annotator.use: the labels are those of the member alone. */
static void one_alone(void **state)
{
    silr_task *t;
    silr_session s;
    (void)state;

    make_files("");
    t = load("annotator.use=second");
    open_in(&s, t, "alone");
    for (int i = 0; i < N; i++)
        assert_int_equal(s.initial[i], i % 9 == 0 ? SILR_NO_LABEL : said('b', i, (i * 7 + i / 3) % 2));
    silr_session_close(&s);
    silr_task_free(t);
}

static bool there(const char *dir, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s/%s", top, dir, name);
    return silr_file_exists(path);
}

/* A run a member; the second time there is nothing to do. Dawid-Skene runs to the end too. */
static void each_on_its_own(void **state)
{
    static const char *const sets[] = {"annotator.combine=each", "annotator.combine=dawid-skene"};
    char path[160];
    silr_error err = {0};
    (void)state;

    make_files("");
    for (int k = 0; k < 2; k++) {
        silr_task *t = load(sets[k]);
        silr_run_settings settings = {0};
        silr_run_outcome out;
        snprintf(path, sizeof path, "%s/%s", top, k ? "ds" : "each");
        if (silr_run_all(t, path, &settings, &out, &err) != SILR_OK)
            fail_msg("%s", err.text);
        assert_false(out.nothing_to_do);
        assert_int_equal(silr_run_all(t, path, &settings, &out, &err), SILR_OK);
        assert_true(out.nothing_to_do);
        silr_task_free(t);
    }
    assert_true(there("each/1-a", "report.html"));
    assert_true(there("each/2-second", "labels.jsonl"));
    assert_true(there("each/3-rules", "metrics.json"));
    assert_true(there("ds", "report.html"));
}

static int enter(void **state)
{
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int leave(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_majority),
        cmocka_unit_test(the_tables),
        cmocka_unit_test(one_alone),
        cmocka_unit_test(each_on_its_own),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
