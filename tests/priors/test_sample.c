/* test_sample.c - the labelled sample: whom it draws, what it weighs, and that it reads no truth
 * but its own. Works on a small corpus written to a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "priors/priors.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 400 };
static char dir[64];
static int initial[N]; /* 60 % class 0, 30 % class 1, 10 % none */

static const char yaml[] = "name: t\n"
                           "question: Is it?\n"
                           "classes: [yes, no]\n"
                           "corpus: {files: [c.csv], text: text, id: id, label: label,\n"
                           "         split: {train: 0.7, validation: 0.1, test: 0.2}}\n"
                           "annotator: {kind: column, column: a}\n"
                           "labelled: {%s}\n"
                           "seed: 3\n";

typedef struct {
    silr_task *task;
    silr_corpus *corpus;
    silr_sample sample;
    silr_error err;
    silr_status status;
} fixture;

static void write_file(const char *name, const char *bytes)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(bytes, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Truth: equal to the annotation in four of five. `scramble` turns the truth of every document d
 * with keep[d] unset. Document 7 is empty, document 8 has no truth. */
static void write_corpus(bool scramble, const bool *keep)
{
    silr_buf b = {0};

    silr_buf_puts(&b, "id,text,label,a\n");
    for (int i = 0; i < N; i++) {
        bool yes = (initial[i] == 0) == (i % 5 != 0);
        if (scramble && !keep[i])
            yes = !yes;
        silr_buf_printf(&b, "d%d,%s%d,%s,%s\n", i, i == 7 ? "" : "text number ", i,
                        i == 8 ? "" : yes ? "yes" : "no",
                        initial[i] == 0 ? "yes" : initial[i] == 1 ? "no" : "");
    }
    assert_false(b.failed);
    write_file("c.csv", b.data);
    silr_buf_clear(&b);
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/silr-priors-XXXXXX");
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < N; i++)
        initial[i] = i % 10 < 6 ? 0 : i % 10 < 9 ? 1 : SILR_NO_LABEL;
    write_corpus(false, NULL);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"c.csv", "gold.csv", "gold.jsonl"};
    char path[128];
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void draw_from(fixture *f, const char *labelled, const int *labels, const uint8_t *stratum)
{
    char text[1024];

    memset(f, 0, sizeof *f);
    snprintf(text, sizeof text, yaml, labelled);
    if (silr_task_parse(&f->task, text, strlen(text), "t.yaml", dir, NULL, 0, &f->err) != SILR_OK ||
        silr_corpus_read(&f->corpus, f->task, NULL, NULL, &f->err) != SILR_OK)
        fail_msg("%s", f->err.text);
    f->status = silr_sample_draw(&f->sample, f->task, f->corpus, labels, stratum, &f->err);
}

static void draw_with(fixture *f, const char *labelled, const int *labels)
{
    draw_from(f, labelled, labels, NULL);
}

static void drop(fixture *f)
{
    silr_sample_clear(&f->sample);
    silr_corpus_free(f->corpus);
    silr_task_free(f->task);
}

/* Half a side, ascending, from the pool, with truth; weights are shares of the strata. */
static void draws_by_stratum(void **state)
{
    fixture f;
    double weight[2] = {0}, size[2] = {0}, sum = 0;
    size_t count[2] = {0};
    (void)state;

    draw_with(&f, "count: 41", initial);
    assert_int_equal(f.status, SILR_OK);
    assert_int_equal(f.sample.n, 41);
    for (size_t i = 0; i < silr_corpus_size(f.corpus); i++)
        if (silr_corpus_split(f.corpus, i) != SILR_TEST && !silr_corpus_empty(f.corpus, i) &&
            initial[i] >= 0)
            size[initial[i]]++;
    for (size_t i = 0; i < f.sample.n; i++) {
        uint32_t d = f.sample.doc[i];
        assert_true(i == 0 || d > f.sample.doc[i - 1]);
        assert_true(silr_corpus_split(f.corpus, d) != SILR_TEST && d != 7 && d != 8);
        assert_int_equal(f.sample.truth[i], silr_corpus_truth(f.corpus, d));
        assert_in_range(initial[d], 0, 1);
        count[initial[d]]++;
        weight[initial[d]] = f.sample.weight[i];
        sum += f.sample.weight[i];
    }
    assert_int_equal(count[0], 21); /* the odd one goes to the first class */
    assert_int_equal(count[1], 20);
    assert_true(fabs(sum - 41) < 1e-9);
    assert_true(fabs(weight[0] * 21 / (weight[1] * 20) - size[0] / size[1]) < 1e-9);
    drop(&f);
}

/* A small class gives all it has, the other the rest. */
static void small_class_is_filled_up(void **state)
{
    int few[N];
    size_t ones = 0, have = 0;
    fixture f;
    (void)state;

    for (int i = 0; i < N; i++)
        few[i] = i % 80 == 11 ? 1 : 0;
    draw_with(&f, "count: 30", few);
    assert_int_equal(f.status, SILR_OK);
    assert_int_equal(f.sample.n, 30);
    for (size_t i = 0; i < silr_corpus_size(f.corpus); i++)
        have += few[i] == 1 && silr_corpus_split(f.corpus, i) != SILR_TEST;
    for (size_t i = 0; i < f.sample.n; i++)
        ones += few[f.sample.doc[i]] == 1;
    assert_int_equal(ones, have);
    drop(&f);
}

/* F13: turn every truth outside the sample round; the sample is the same to the last bit. And a
 * larger sample contains the smaller one. */
static void reads_no_other_truth(void **state)
{
    bool keep[N] = {false};
    fixture f, g, h;
    size_t found = 0;
    (void)state;

    draw_with(&f, "count: 40", initial);
    for (size_t i = 0; i < f.sample.n; i++)
        keep[f.sample.doc[i]] = true;
    write_corpus(true, keep);
    draw_with(&g, "count: 40", initial);
    assert_int_equal(g.sample.n, f.sample.n);
    assert_memory_equal(g.sample.doc, f.sample.doc, f.sample.n * sizeof *f.sample.doc);
    assert_memory_equal(g.sample.truth, f.sample.truth, f.sample.n * sizeof *f.sample.truth);
    assert_memory_equal(g.sample.weight, f.sample.weight, f.sample.n * sizeof *f.sample.weight);
    write_corpus(false, NULL);
    draw_with(&h, "count: 60", initial);
    for (size_t i = 0; i < h.sample.n; i++)
        found += keep[h.sample.doc[i]];
    assert_int_equal(found, 40);
    drop(&f);
    drop(&g);
    drop(&h);
}

/* Rows by id; empty labels and test documents passed over, later rows replace earlier ones. */
static void reads_a_file(void **state)
{
    silr_buf b = {0};
    fixture f;
    size_t pool = 0;
    (void)state;

    silr_buf_puts(&b, "id,label\n");
    for (int i = 20; i < 80; i++)
        silr_buf_printf(&b, "d%d,%s\n", i, i % 2 ? "yes" : "no");
    silr_buf_puts(&b, "d100,\nd21,no\n");
    write_file("gold.csv", b.data);
    silr_buf_clear(&b);
    draw_with(&f, "file: gold.csv", initial);
    if (f.status != SILR_OK)
        fail_msg("%s", f.err.text);
    for (size_t i = 20; i < 80; i++)
        pool += silr_corpus_split(f.corpus, i) != SILR_TEST;
    assert_int_equal(f.sample.n, pool);
    for (size_t i = 0; i < f.sample.n; i++) {
        uint32_t d = f.sample.doc[i];
        assert_int_equal(f.sample.truth[i], d % 2 && d != 21 ? 0 : 1);
        assert_true(f.sample.weight[i] > 0);
    }
    drop(&f);
}

/* --- texts that several annotators disagreed on -------------------------------------------------- */

static uint8_t disagreed[N];
static bool yes_to[N];

/* Whether document i is among the pool's of label h and part d. */
static bool in_part(const fixture *f, size_t i, int h, int d)
{
    return initial[i] == h && disagreed[i] == d && silr_corpus_split(f->corpus, i) != SILR_TEST &&
           !silr_corpus_empty(f->corpus, i);
}

/* gold.csv with `take` random texts of each part of each label; none of part 1 of label `without`. */
static void write_gold(const fixture *f, size_t take, int without, uint64_t index)
{
    silr_buf b = {0};
    silr_rng g;

    silr_rng_init(&g, 1, SILR_RNG_TEST, 2, index);
    silr_buf_puts(&b, "id,label\n");
    for (int h = 0; h < 2; h++)
        for (int d = 0; d < 2; d++) {
            uint32_t of[N];
            size_t n = 0;
            for (uint32_t i = 0; i < N; i++)
                if (in_part(f, i, h, d))
                    of[n++] = i;
            assert_true(n > take);
            silr_rng_shuffle(&g, of, n);
            for (size_t i = 0; i < take && !(h == without && d == 1); i++)
                silr_buf_printf(&b, "d%u,%s\n", (unsigned)of[i], yes_to[of[i]] ? "yes" : "no");
        }
    write_file("gold.csv", b.data);
    silr_buf_clear(&b);
}

/* Share of "yes" among the pool's texts of a label; and by the sample's weights, or without. */
static double pool_rate(const fixture *f, int h)
{
    double yes = 0, all = 0;
    for (size_t i = 0; i < N; i++)
        if (in_part(f, i, h, disagreed[i])) {
            all++;
            yes += yes_to[i];
        }
    return yes / all;
}

static double sample_rate(const fixture *f, int h, bool weighted)
{
    double yes = 0, all = 0;
    for (size_t i = 0; i < f->sample.n; i++)
        if (initial[f->sample.doc[i]] == h) {
            double w = weighted ? f->sample.weight[i] : 1;
            all += w;
            yes += f->sample.truth[i] == 0 ? w : 0;
        }
    return yes / all;
}

/* As many disagreed texts as agreed ones are labelled, though only a fifth are disagreed: the mean
 * over many samples is the pool's share all the same, and without weights it is far off. */
static void weighs_by_disagreement(void **state)
{
    enum { RUNS = 200 };
    double mean[2] = {0}, plain[2] = {0};
    fixture f, g;
    silr_rng r;
    (void)state;

    silr_rng_init(&r, 1, SILR_RNG_TEST, 2, 999);
    for (int i = 0; i < N; i++) {
        disagreed[i] = i / 10 % 5 == 0;
        yes_to[i] = silr_rng_double(&r) < (disagreed[i] ? 0.5 : initial[i] == 0 ? 0.95 : 0.05);
    }
    draw_with(&f, "count: 4", initial);
    for (uint64_t run = 0; run < RUNS; run++) {
        write_gold(&f, 10, -1, run);
        draw_from(&g, "file: gold.csv", initial, disagreed);
        assert_int_equal(g.status, SILR_OK);
        for (int h = 0; h < 2; h++) {
            mean[h] += sample_rate(&g, h, true) / RUNS;
            plain[h] += sample_rate(&g, h, false) / RUNS;
        }
        drop(&g);
    }
    for (int h = 0; h < 2; h++) {
        assert_true(fabs(mean[h] - pool_rate(&f, h)) < 0.015);
        assert_true(fabs(plain[h] - pool_rate(&f, h)) > 0.08);
    }
    drop(&f);
}

/* A part of which nobody has looked at a text counts as the rest of its label; a drawn sample knows
 * no parts. */
static void parts_without_a_label(void **state)
{
    fixture f, g, h;
    (void)state;

    draw_from(&f, "count: 40", initial, disagreed);
    draw_with(&g, "count: 40", initial);
    assert_memory_equal(f.sample.weight, g.sample.weight, g.sample.n * sizeof *g.sample.weight);
    write_gold(&f, 5, 1, 1);
    drop(&g);
    draw_from(&g, "file: gold.csv", initial, disagreed);
    draw_with(&h, "file: gold.csv", initial);
    assert_int_equal(g.sample.n, 15);
    for (size_t i = 0; i < g.sample.n; i++)
        if (initial[g.sample.doc[i]] == 1)
            assert_true(fabs(g.sample.weight[i] - h.sample.weight[i]) < 1e-12);
        else
            assert_true(fabs(g.sample.weight[i] - h.sample.weight[i]) > 0.1);
    drop(&f);
    drop(&g);
    drop(&h);
}

static void expect(const char *labelled, const int *labels, silr_status status, const char *says)
{
    fixture f;

    draw_with(&f, labelled, labels);
    assert_int_equal(f.status, status);
    if (!strstr(f.err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", f.err.text, says);
    assert_true(f.sample.n == 0 && !f.sample.doc);
    drop(&f);
}

static void bad_input_is_named(void **state)
{
    int none[N], one[N];
    (void)state;

    for (int i = 0; i < N; i++) {
        none[i] = SILR_NO_LABEL;
        one[i] = 1;
    }
    expect("count: 1", initial, SILR_EINPUT, "fewer than one a class");
    expect("count: 50", none, SILR_EINPUT, "labelled none of the");
    expect("count: 50", one, SILR_EDOMAIN, "\"no\"");
    expect("theta: [0.8, 0.2]", one, SILR_EDOMAIN, "\"no\"");
    expect("file: missing.csv", initial, SILR_EINPUT, "missing.csv");
    write_file("gold.csv", "id,label\nd1,yes\nnobody,no\n");
    expect("file: gold.csv", initial, SILR_EINPUT, "gold.csv:3: no document of the corpus");
    write_file("gold.csv", "id,label\nd1,yes\nd2,perhaps\n");
    expect("file: gold.csv", initial, SILR_EINPUT, "gold.csv:3: \"perhaps\"");
    write_file("gold.csv", "id,truth\nd1,yes\n");
    expect("file: gold.csv", initial, SILR_EINPUT, "no \"label\"");
    write_file("gold.csv", "id,label\n");
    expect("file: gold.csv", initial, SILR_EINPUT, "fewer than one a class");
}

/* Each allocation of a draw fails once: a clear code, nothing left behind. */
static void survives_failing_memory(void **state)
{
    fixture f;
    uint64_t needed;
    (void)state;

    draw_with(&f, "count: 40", initial);
    silr_sample_clear(&f.sample);
    silr_mem_count();
    assert_int_equal(silr_sample_draw(&f.sample, f.task, f.corpus, initial, NULL, NULL), SILR_OK);
    needed = silr_mem_count();
    assert_true(needed > 4);
    for (uint64_t n = 1; n <= needed; n++) {
        silr_sample_clear(&f.sample);
        silr_mem_fail_at(n, false);
        assert_int_equal(silr_sample_draw(&f.sample, f.task, f.corpus, initial, NULL, &f.err),
                         SILR_ENOMEM);
        silr_mem_fail_at(0, false);
        assert_null(f.sample.doc);
    }
    drop(&f);
}

/* Oracle: the ratios of the whole pool. Scores: by hand over four documents. */
static void oracle_and_scores(void **state)
{
    const uint32_t docs[4] = {0, 1, 2, 6};
    double right = 0, all = 0;
    silr_priors p;
    silr_scores s;
    int pred[N];
    fixture f;
    (void)state;

    draw_with(&f, "count: 40", initial);
    silr_priors_oracle(&p, f.task, f.corpus, initial);
    for (size_t i = 0; i < N; i++)
        if (silr_corpus_split(f.corpus, i) != SILR_TEST && i != 7 && i != 8 && initial[i] == 0) {
            all++;
            right += silr_corpus_truth(f.corpus, i) == 0;
        }
    assert_true(p.known && fabs(p.theta[0] - right / all) < 1e-12);
    for (int i = 0; i < N; i++)
        pred[i] = 0;
    pred[6] = SILR_NO_LABEL;
    /* truths: d0 no (i % 5 == 0), d1 yes, d2 yes, d6 no */
    silr_scores_make(&s, f.corpus, 2, docs, 4, pred, false);
    assert_int_equal(s.n, 3);
    assert_true(fabs(s.accuracy - 2.0 / 3) < 1e-12 && fabs(s.precision - 2.0 / 3) < 1e-12);
    assert_true(s.recall == 1 && fabs(s.f1 - 0.8) < 1e-12 && s.balanced_accuracy == 0.5);
    assert_int_equal(s.confusion[2], 1); /* truly no, called yes */
    silr_scores_make(&s, f.corpus, 2, docs, 4, pred, true);
    assert_true(s.n == 4 && fabs(s.accuracy - 0.5) < 1e-12 && s.positive_rate == 1);
    pred[0] = pred[1] = pred[2] = 1;
    silr_scores_make(&s, f.corpus, 2, docs, 3, pred, false);
    assert_true(s.precision == 0 && s.recall == 0 && s.f1 == 0); /* zero denominators */
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_by_stratum),     cmocka_unit_test(small_class_is_filled_up),
        cmocka_unit_test(reads_no_other_truth), cmocka_unit_test(reads_a_file),
        cmocka_unit_test(bad_input_is_named),   cmocka_unit_test(survives_failing_memory),
        cmocka_unit_test(oracle_and_scores),   cmocka_unit_test(weighs_by_disagreement),
        cmocka_unit_test(parts_without_a_label),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
