/* test_choose.c - which texts a person is asked for: a balanced beginning, the same question after
 * the same answers, no text twice, and more of those that several annotators disagreed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "run/run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 600 };
static char top[] = "/tmp/silr-test-choose-XXXXXX";

/* Two members: a is wrong on every tenth text; b differs from it on every fifth, and is right on
 * half of those, so that disagreement tells of errors. Text 40 is text 3 again. */
static int truth_of(int i)
{
    return (i * 7 + i / 3) % 2;
}
static int says(int member, int i)
{
    int a = i % 10 == 0 ? 1 - truth_of(i) : truth_of(i);
    return member == 0 || i % 5 ? a : 1 - a;
}

static void write_text(const char *name, const char *text, size_t len)
{
    char *path = silr_path_join(top, name);
    assert_int_equal(silr_file_write(path, text, len, NULL), SILR_OK);
    silr_free(path);
}

static void make_files(void)
{
    static const char one[] =
        "name: one\nclasses: [yes, no]\ncorpus: {files: [c.jsonl], text: text, id: id}\n"
        "labelled: {file: gold.csv}\nannotator: {kind: column, column: a}\n";
    static const char both[] =
        "name: both\nclasses: [yes, no]\ncorpus: {files: [c.jsonl], text: text, id: id}\n"
        "labelled: {file: gold.csv}\nannotator: {kind: several, members: [{kind: column, column: a},"
        " {kind: column, column: b}]}\n";
    silr_buf b = {0};

    for (int i = 0; i < N; i++)
        silr_buf_printf(&b, "{\"id\":\"%d\",\"text\":\"text %d\",\"a\":\"%s\",\"b\":\"%s\"}\n", i,
                        i == 40 ? 3 : i, says(0, i) ? "no" : "yes", says(1, i) ? "no" : "yes");
    write_text("c.jsonl", b.data, b.len);
    write_text("one.yaml", one, sizeof one - 1);
    write_text("both.yaml", both, sizeof both - 1);
    silr_buf_clear(&b);
}

typedef struct {
    silr_task *task;
    silr_session s;
    silr_chooser *c;
    silr_error err;
} fixture;

static void start(fixture *f, const char *task, const char *set)
{
    char *path = silr_path_join(top, task), *dir = silr_path_join(top, "run");
    const char *sets[1] = {set};
    bool several = strcmp(task, "both.yaml") == 0;

    memset(f, 0, sizeof *f);
    if (silr_task_read(&f->task, path, sets, set ? 1 : 0, &f->err) != SILR_OK ||
        silr_session_open(&f->s, f->task, several ? dir : NULL, &f->err) != SILR_OK)
        fail_msg("%s", f->err.text);
    f->s.initial = silr_alloc(N, sizeof *f->s.initial);
    for (int i = 0; i < N; i++)
        f->s.initial[i] = says(0, i);
    silr_free(path);
    silr_free(dir);
}

static void choose(fixture *f)
{
    assert_int_equal(silr_chooser_new(&f->c, &f->s, &f->err), SILR_OK);
}

static void drop(fixture *f)
{
    silr_chooser_free(f->c);
    silr_session_close(&f->s);
    silr_task_free(f->task);
}

/* Answers the next question rightly; returns it. */
static size_t answer(fixture *f)
{
    size_t doc = silr_chooser_next(f->c);
    assert_true(doc < N);
    silr_chooser_label(f->c, doc, truth_of((int)doc));
    return doc;
}

/* Wherever one stops in the beginning the classes differ by two at most, and at its end not at all;
 * the order is not one of each in turn; no text comes twice, nor its like, nor one of the test part. */
static void begins_balanced(void **state)
{
    fixture f;
    size_t count[2] = {0}, once = 0, turns = 0, last = 0;
    bool seen[N] = {false};
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    for (size_t i = 0; i < silr_chooser_texts(f.c); i++) {
        size_t doc = answer(&f);
        assert_false(seen[doc]);
        seen[doc] = true;
        assert_int_not_equal(silr_corpus_split(f.s.corpus, doc), SILR_TEST);
        once += doc == 3 || doc == 40;
        count[f.s.initial[doc]]++;
        turns += i > 0 && i < 20 && f.s.initial[doc] == (int)last;
        last = (size_t)f.s.initial[doc];
        if (i < 20)
            assert_true(count[0] <= count[1] + 2 && count[1] <= count[0] + 2);
        if (i == 19)
            assert_true(count[0] == 10 && count[1] == 10);
    }
    assert_true(once <= 1 && turns > 0);
    assert_true(silr_chooser_next(f.c) == SIZE_MAX);
    drop(&f);
}

/* A task that asks for few begins with fewer a class. */
static void begins_as_the_task_asks(void **state)
{
    fixture f;
    silr_standing *st = silr_alloc(1, sizeof *st);
    (void)state;

    start(&f, "one.yaml", "labelled.count=6");
    choose(&f);
    silr_chooser_standing(f.c, st);
    assert_int_equal(st->start_left, 6);
    for (int i = 0; i < 6; i++)
        answer(&f);
    silr_chooser_standing(f.c, st);
    assert_int_equal(st->start_left, 0);
    assert_int_equal(st->labelled, 6);
    silr_free(st);
    drop(&f);
}

/* The n-th question after the same answers is the same text: when it is asked again, when a label was
 * taken back, when all labels are told at once and in another order. */
static void same_answers_same_question(void **state)
{
    enum { ASKED = 45 };
    fixture f, g;
    size_t doc[ASKED], next;
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    start(&g, "one.yaml", NULL);
    for (int i = 0; i < ASKED; i++) {
        assert_true(silr_chooser_next(f.c) == silr_chooser_next(f.c));
        doc[i] = answer(&f);
        silr_chooser_label(f.c, doc[i], SILR_NO_LABEL);
        assert_true(silr_chooser_next(f.c) == doc[i]);
        silr_chooser_label(f.c, doc[i], 1 - truth_of((int)doc[i])); /* a slip, mended */
        silr_chooser_label(f.c, doc[i], truth_of((int)doc[i]));
    }
    next = silr_chooser_next(f.c);
    choose(&g);
    for (int i = ASKED; i-- > 0;)
        silr_chooser_label(g.c, doc[i], truth_of((int)doc[i]));
    assert_true(silr_chooser_next(g.c) == next);
    drop(&f);
    drop(&g);
}

static void skipped_texts_come_last(void **state)
{
    fixture f;
    size_t first, doc, n;
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    n = silr_chooser_texts(f.c);
    first = silr_chooser_next(f.c);
    silr_chooser_skip(f.c, first);
    doc = silr_chooser_next(f.c);
    assert_true(doc != first);
    assert_int_equal(f.s.initial[doc], f.s.initial[first]); /* the next of the same kind */
    for (size_t i = 0; i + 2 < n; i++)
        assert_true(answer(&f) != first);
    doc = silr_chooser_next(f.c); /* the last that was not skipped */
    assert_true(doc != first);
    silr_chooser_skip(f.c, doc);
    assert_true(silr_chooser_next(f.c) == first); /* round again, the one just skipped last */
    silr_chooser_label(f.c, first, 0);
    silr_chooser_skip(f.c, doc);
    assert_true(silr_chooser_next(f.c) == doc); /* it is the only one */
    silr_chooser_label(f.c, doc, 0);
    assert_true(silr_chooser_next(f.c) == SIZE_MAX);
    drop(&f);
}

/* A batch holds no text twice and none that is labelled, begins with the next question, and is as
 * balanced as the start. */
static void batches(void **state)
{
    fixture f;
    uint32_t docs[N];
    bool seen[N] = {false};
    size_t n, count[2] = {0};
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    for (int i = 0; i < 7; i++)
        seen[answer(&f)] = true;
    n = silr_chooser_batch(f.c, 43, docs);
    assert_int_equal(n, 43);
    assert_int_equal(docs[0], silr_chooser_next(f.c));
    for (size_t i = 0; i < n; i++) {
        assert_false(seen[docs[i]]);
        seen[docs[i]] = true;
    }
    for (size_t i = 0; i < N; i++)
        count[f.s.initial[i]] += seen[i];
    assert_true(count[0] >= 20 && count[1] >= 20);
    assert_true(silr_chooser_batch(f.c, N, docs) == silr_chooser_texts(f.c) - 7);
    drop(&f);
}

/* The standing: counts, an interval that the look ahead narrows, and enough when it is. */
static void tells_how_it_stands(void **state)
{
    fixture f;
    silr_standing *st = silr_alloc(1, sizeof *st);
    double width = 1, soon = 1;
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    silr_chooser_standing(f.c, st);
    assert_true(st->labelled == 0 && st->start_left == 20 && !st->enough);
    for (int i = 1; i <= 40; i++) {
        answer(&f);
        silr_chooser_standing(f.c, st);
        assert_int_equal(st->labelled, i);
        assert_int_equal(st->answers[0] + st->answers[1], i);
        assert_true(st->then.high - st->then.low < st->accuracy.high - st->accuracy.low);
        if (i == 20) {
            width = st->accuracy.high - st->accuracy.low;
            soon = st->then.high - st->then.low;
        }
    }
    assert_true(st->enough && st->needed == 0); /* nine of ten are right */
    assert_int_equal(st->ahead, SILR_AHEAD);
    width = st->accuracy.high - st->accuracy.low; /* 20 labels on, it is about as narrow as it said */
    assert_true(fabs(width - soon) < 0.07);
    silr_free(st);
    drop(&f);
}

/* Labels of a coin: never enough, and the look ahead says that it is far. */
static void never_enough_for_a_coin(void **state)
{
    fixture f;
    silr_standing *st = silr_alloc(1, sizeof *st);
    (void)state;

    start(&f, "one.yaml", NULL);
    choose(&f);
    for (int i = 0; i < 40; i++)
        silr_chooser_label(f.c, silr_chooser_next(f.c), i / 4 % 2);
    silr_chooser_standing(f.c, st);
    assert_false(st->enough);
    assert_true(st->needed > 60);
    silr_free(st);
    drop(&f);
}

/* --- several annotators ------------------------------------------------------------------------ */

static void put_members(fixture *f)
{
    assert_int_equal(silr_store_begin(f->s.store, &f->err), SILR_OK);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < N; i++) {
            /* b has no opinion on the texts 1, 11, 21, ... */
            silr_annotation a = {.label = m == 1 && i % 10 == 1 ? SILR_NO_LABEL : says(m, i),
                                 .confidence = NAN};
            assert_int_equal(silr_store_annotation(f->s.store, SILR_SOURCE(m + 1, 0), (size_t)i, &a,
                                                   &f->err), SILR_OK);
        }
    assert_int_equal(silr_store_commit(f->s.store, &f->err), SILR_OK);
}

static void finds_disagreement(void **state)
{
    fixture f;
    (void)state;

    start(&f, "both.yaml", NULL);
    put_members(&f);
    assert_null(f.s.disagreed);
    assert_int_equal(silr_session_disagreement(&f.s, &f.err), SILR_OK);
    assert_non_null(f.s.disagreed);
    for (int i = 0; i < N; i++)
        assert_int_equal(f.s.disagreed[i], i % 5 == 0);
    drop(&f);
}

/* The texts that were disagreed on are asked for more often than a fifth of the time, of each label
 * some; and the labelled file, weighed, gives back the share of right labels in the pool. */
static void asks_more_of_the_disagreed(void **state)
{
    fixture f;
    silr_buf b = {0};
    size_t asked = 0, of[2][2] = {{0}};
    double right = 0, all = 0, pool_right = 0, pool = 0;
    (void)state;

    start(&f, "both.yaml", NULL); /* the folder that the test before has filled */
    assert_int_equal(silr_session_disagreement(&f.s, &f.err), SILR_OK);
    choose(&f);
    silr_buf_puts(&b, "id,label\n");
    for (int i = 0; i < 60; i++) {
        size_t doc = answer(&f);
        asked += f.s.disagreed[doc];
        of[f.s.initial[doc]][f.s.disagreed[doc]]++;
        silr_buf_printf(&b, "%d,%s\n", (int)doc, truth_of((int)doc) ? "no" : "yes");
    }
    assert_true(of[0][0] > 0 && of[0][1] > 0 && of[1][0] > 0 && of[1][1] > 0);
    assert_true(asked > 15);
    write_text("gold.csv", b.data, b.len);
    silr_buf_clear(&b);
    if (silr_session_sample(&f.s, &f.err) != SILR_OK)
        fail_msg("%s", f.err.text);
    for (size_t i = 0; i < f.s.sample.n; i++) {
        all += f.s.sample.weight[i];
        right += f.s.sample.truth[i] == f.s.initial[f.s.sample.doc[i]] ? f.s.sample.weight[i] : 0;
    }
    for (size_t i = 0; i < N; i++)
        if (silr_corpus_split(f.s.corpus, i) != SILR_TEST) {
            pool++;
            pool_right += truth_of((int)i) == f.s.initial[i];
        }
    print_message("%zu of 60 disagreed on; right by weight %.3f, in the pool %.3f\n", asked,
                  right / all, pool_right / pool);
    assert_true(fabs(right / all - pool_right / pool) < 0.04);
    drop(&f);
}

/* Each allocation fails once. */
static void survives_failing_memory(void **state)
{
    fixture f;
    uint64_t needed;
    (void)state;

    start(&f, "both.yaml", NULL);
    silr_mem_count();
    assert_int_equal(silr_session_disagreement(&f.s, &f.err), SILR_OK);
    choose(&f);
    needed = silr_mem_count();
    for (uint64_t n = 1; n <= needed; n++) {
        silr_status st;
        silr_chooser_free(f.c);
        f.c = NULL;
        silr_mem_fail_at(n, false);
        st = silr_session_disagreement(&f.s, &f.err);
        if (st == SILR_OK)
            st = silr_chooser_new(&f.c, &f.s, &f.err);
        silr_mem_fail_at(0, false);
        assert_true(st == SILR_OK || (st == SILR_ENOMEM && !f.c));
    }
    drop(&f);
}

static int set_up(void **state)
{
    (void)state;
    silr_mem_install();
    if (!mkdtemp(top))
        return -1;
    make_files();
    return 0;
}

static int tear_down(void **state)
{
    char *words[] = {"rm", "-rf", top, NULL};
    pid_t pid = fork();
    (void)state;

    if (pid == 0) {
        execvp(words[0], words);
        _exit(127);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_balanced),         cmocka_unit_test(begins_as_the_task_asks),
        cmocka_unit_test(same_answers_same_question), cmocka_unit_test(skipped_texts_come_last),
        cmocka_unit_test(batches),                 cmocka_unit_test(tells_how_it_stands),
        cmocka_unit_test(never_enough_for_a_coin), cmocka_unit_test(finds_disagreement),
        cmocka_unit_test(asks_more_of_the_disagreed), cmocka_unit_test(survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
