/* test_odds.c - a run whose annotator gives log-odds: they are read as the labelled texts say that
 * they should be, and where that cannot be, its labels are worked with and the log says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "small_run.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUICK "refine: {steps: 30, iterations: 2, folds: 3, label_folds: 3}\n"

/* .66 of the signs are right, at the best cut .79 would be (phi(.81)). */
static const small_corpus biased = {.name = "biased", .n = 700, .K = 2, .clear = 0.81, .shift = 1.2,
                                    .rest = "labelled: {count: 60}\n" QUICK};

static char said[4000]; /* what the log said of the last run */

static void hear(void *ctx, silr_log_level level, const char *text)
{
    (void)ctx, (void)level;
    if (strstr(text, "log-odds"))
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", text);
}

static void go(const small_corpus *c, small_outcome *o)
{
    silr_listener l = {.line = hear};
    silr_error err = {0};
    silr_status st;

    said[0] = '\0';
    small_write(c);
    silr_log_listen(&l);
    st = small_run(c->name, c->name, true, o, &err);
    silr_log_listen(NULL);
    if (st != SILR_OK)
        fail_msg("%s: %s", c->name, err.text);
    assert_true(small_proper(o));
}

/* What the run keeps of its start; NULL: it started from the annotator's labels. */
static json_t *start_of(const small_corpus *c)
{
    silr_buf b = {0};
    json_t *root = NULL;
    assert_int_equal(small_fact(c->name, c->name, "recalibrated", &b), SILR_OK);
    if (b.len > 0)
        assert_non_null(root = json_loadb(b.data, b.len, 0, NULL));
    silr_buf_clear(&b);
    return root;
}

/* Accuracy of the labels it started from, over the texts that small_outcome counts. */
static double right_at_start(const small_outcome *o, const char *labels)
{
    double n = 0, right = 0;
    assert_int_equal(strlen(labels), o->n);
    for (size_t i = 0; i < o->n; i++) {
        assert_int_equal(labels[i] == '-', o->initial[i] == SILR_NO_LABEL);
        if (o->learned[i] || o->test[i] || o->initial[i] == SILR_NO_LABEL)
            continue;
        n++;
        right += labels[i] - '0' == o->truth[i];
    }
    return right / n;
}

/* Raw .66, recalibrated .79, refined beyond that: by words that tell the class. */
static void biased_log_odds_are_set_right(void **state)
{
    small_outcome o, label;
    small_corpus c = biased;
    json_t *start;
    const json_t *e;
    double cut, a, b;
    (void)state;

    go(&biased, &o);
    assert_non_null(start = start_of(&biased));
    cut = right_at_start(&o, json_string_value(json_object_get(start, "labels")));
    a = json_number_value(json_object_get(start, "a"));
    b = json_number_value(json_object_get(start, "b"));
    if (!(o.before > 0.6 && o.before < 0.72 && cut > 0.74 && cut < 0.84 && o.after > cut + 0.03))
        fail_msg("accuracy %.3f raw, %.3f recalibrated, %.3f refined", o.before, cut, o.after);
    assert_true(fabs(-b / a + 1.2) < 0.5); /* where the zero belongs */
    e = json_object_get(start, "estimated");
    assert_true(json_number_value(json_array_get(e, 1)) < cut && cut < json_number_value(json_array_get(e, 2)));
    assert_string_equal(said, "");
    json_decref(start);

    /* the same by labels alone: less */
    c.name = "by-label";
    c.rest = "labelled: {count: 60}\nrefine: {steps: 30, iterations: 2, folds: 3, label_folds: 3, "
             "evidence: label}\n";
    go(&c, &label);
    assert_null(start_of(&c));
    assert_true(label.before == o.before);
    if (!(o.after > label.after))
        fail_msg("%.3f by log-odds, %.3f by labels", o.after, label.after);
    small_clear(&o);
    small_clear(&label);
}

/* Iteration 0 is the annotator's own labels all the same. */
static void iteration_0_stays_raw(void **state)
{
    small_outcome o;
    int *first;
    (void)state;

    go(&biased, &o); /* nothing to do */
    first = calloc(o.n, sizeof *first);
    assert_int_equal(small_iteration(biased.name, biased.name, 0, first), SILR_OK);
    for (size_t i = 0; i < o.n; i++)
        assert_int_equal(first[i], o.initial[i]);
    free(first);
    small_clear(&o);
}

/* Nothing accepted: what stays is what the run started from, with the log-odds' probabilities. */
static void rejected_it_falls_back_to_the_cut(void **state)
{
    small_corpus c = biased;
    small_outcome o;
    silr_error err;
    json_t *start;
    const char *labels;
    int *raw; /* small_reject asks for room */
    (void)state;

    c.name = "once";
    c.rest = "labelled: {count: 60}\nrefine: {steps: 30, iterations: 1, folds: 3, label_folds: 3}\n";
    go(&c, &o);
    raw = calloc(o.n, sizeof *raw);
    small_clear(&o);
    assert_int_equal(small_reject("once", "once", raw), SILR_OK);
    assert_int_equal(small_run("once", "once", false, &o, &err), SILR_OK);
    assert_false(o.last.accepted);
    start = start_of(&c);
    labels = json_string_value(json_object_get(start, "labels"));
    for (size_t i = 0; i < o.n; i++)
        if (!o.learned[i]) {
            assert_int_equal(o.label[i], labels[i] - '0');
            assert_true(o.prob[i * 2 + (size_t)o.label[i]] >= 0.5f);
        }
    json_decref(start);
    small_clear(&o);
    free(raw);
}

static void a_stated_share_cuts_too(void **state)
{
    small_corpus c = biased;
    small_outcome o;
    json_t *start;
    double cut, over = 0, n = 0;
    const char *labels;
    (void)state;

    c.name = "stated";
    c.rest = "labelled: {theta: [0.95, 0.41], pi: 0.5}\n" QUICK;
    go(&c, &o);
    assert_non_null(start = start_of(&c));
    labels = json_string_value(json_object_get(start, "labels"));
    cut = right_at_start(&o, labels);
    for (size_t i = 0; i < o.n; i++)
        if (!o.test[i]) {
            n++;
            over += labels[i] == '0';
        }
    assert_true(fabs(over / n - 0.5) < 0.01);
    if (!(cut > 0.76 && o.after > cut))
        fail_msg("accuracy %.3f raw, %.3f cut, %.3f refined", o.before, cut, o.after);
    assert_true(json_is_null(json_array_get(json_object_get(start, "estimated"), 0)));
    json_decref(start);
    small_clear(&o);
}

/* Each for its reason. */
static void elsewhere_labels_are_used(void **state)
{
    static const struct {
        const char *why; /* "": nobody asked, nothing is said */
        const char *rest;
        double clear, shift, silent, noise;
        small_says says;
    } cases[] = {
        {"labelled: none", "labelled: none\n" QUICK, 0.81, 1.2, 0, 0, SAYS_ODDS},
        {"labelled: oracle", "labelled: oracle\n" QUICK, 0.81, 1.2, 0, 0, SAYS_ODDS},
        {"labelled.pi", "labelled: {theta: [0.9, 0.4]}\n" QUICK, 0.81, 1.2, 0, 0, SAYS_ODDS},
        {"90 %", "labelled: {count: 60}\n" QUICK, 0.81, 1.2, 0.15, 0, SAYS_SIGN_TOO},
        {"", "labelled: {count: 60}\nrefine: {recipe: paper, iterations: 1}\n", 0.81, 1.2, 0, 0,
         SAYS_ODDS},
        /* the label is right more often than the log-odds of something else */
        {"labels themselves are better", "labelled: {count: 60}\n" QUICK, 0.3, 0, 0, 0.05,
         SAYS_LABEL_TOO},
        {"too few labelled", "labelled: {count: 2}\n" QUICK, 0.81, 0, 0, 0, SAYS_ODDS},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        small_outcome o;
        small_corpus c = {.name = name, .n = 300, .K = 2, .clear = cases[i].clear,
                          .shift = cases[i].shift, .silent = cases[i].silent,
                          .noise = cases[i].noise, .rest = cases[i].rest};
        c.says = cases[i].says;
        snprintf(name, sizeof name, "plain-%zu", i);
        go(&c, &o);
        assert_null(start_of(&c));
        if (cases[i].why[0] ? !strstr(said, cases[i].why) : said[0] != '\0')
            fail_msg("\"%s\" is not what was said: %s", cases[i].why, said);
        small_clear(&o);
    }
}

/* A few labels without log-odds count as the others of their kind. */
static void a_few_may_be_missing(void **state)
{
    small_corpus c = biased;
    small_outcome o;
    json_t *start;
    (void)state;

    c.name = "few-missing";
    c.silent = 0.05;
    c.says = SAYS_SIGN_TOO;
    go(&c, &o);
    assert_non_null(start = start_of(&c));
    right_at_start(&o, json_string_value(json_object_get(start, "labels")));
    json_decref(start);
    small_clear(&o);
}

/* An annotator that answers the same to everything, surer of some texts than of others: its labels
 * are refused where nothing else is there, and refined where its log-odds are. */
static void one_answer_to_all(void **state)
{
    small_outcome o;
    small_corpus c = biased;
    json_t *start;
    double cut;
    (void)state;

    c.name = "one-answer";
    c.shift = 9;
    go(&c, &o);
    assert_non_null(start = start_of(&c));
    cut = right_at_start(&o, json_string_value(json_object_get(start, "labels")));
    if (!(o.before < 0.6 && cut > 0.72 && o.after > cut))
        fail_msg("accuracy %.3f raw, %.3f recalibrated, %.3f refined", o.before, cut, o.after);
    json_decref(start);
    small_clear(&o);

    silr_error err = {0};
    c.name = "one-answer-alone";
    c.rest = "labelled: {count: 60}\nrefine: {steps: 30, iterations: 2, folds: 3, label_folds: 3, evidence: "
             "label}\n";
    small_write(&c);
    assert_int_equal(small_run(c.name, c.name, true, &o, &err), SILR_EDOMAIN);
}

/* Sets by log-odds: the same start as with log-odds, another scorer, and one that has learned. The
 * number of sets is that scorer's. */
static void sets_by_log_odds_are_learned_from(void **state)
{
    small_corpus c = biased;
    small_outcome odds, sets, many;
    json_t *one, *other;
    (void)state;

    c.name = "by-odds";
    go(&c, &odds);
    one = start_of(&c);
    c.name = "by-sets";
    c.rest = "labelled: {count: 60}\nrefine: {steps: 30, iterations: 2, folds: 3, label_folds: 3, evidence: "
             "sets, sets: 4}\n";
    go(&c, &sets);
    other = start_of(&c);
    assert_non_null(one);
    assert_string_equal(json_string_value(json_object_get(one, "labels")),
                        json_string_value(json_object_get(other, "labels")));
    assert_true(right_at_start(&sets, json_string_value(json_object_get(other, "labels"))) < sets.after);
    assert_true(sets.after > 0.72);
    assert_memory_not_equal(odds.prob, sets.prob, odds.n * 2 * sizeof *odds.prob);
    c.name = "by-many-sets";
    c.rest = "labelled: {count: 60}\nrefine: {steps: 30, iterations: 2, folds: 3, label_folds: 3, evidence: "
             "sets, sets: 30}\n";
    go(&c, &many);
    assert_true(many.after > 0.72);
    assert_memory_not_equal(many.prob, sets.prob, many.n * 2 * sizeof *many.prob);
    json_decref(one);
    json_decref(other);
    small_clear(&odds);
    small_clear(&sets);
    small_clear(&many);
}

/* Odd inputs: proper labels or one clear sentence, never a NaN or a crash. */
static void odd_inputs_end_properly(void **state)
{
#define TINY "refine: {steps: 5, iterations: 1, folds: 2, label_folds: 2}\n"
#define SETS "refine: {steps: 5, iterations: 1, folds: 2, label_folds: 2, evidence: sets, sets: 7}\n"
    static const struct {
        const char *what, *rest;
        int n;
        double abstain, clear;
    } cases[] = {
        {"ten texts", "labelled: {count: 4}\n" TINY, 10, 0, 0.8},
        {"they tell nothing", "labelled: {count: 20}\n" TINY, 120, 0, 1e-9},
        {"they tell all", "labelled: {count: 20}\n" TINY, 120, 0, 1e6},
        {"all is labelled", "labelled: {count: 1000}\n" TINY, 120, 0, 0.8},
        {"most abstained", "labelled: {count: 10}\n" TINY, 200, 0.85, 0.8},
        {"one fold",
         "labelled: {count: 20}\nrefine: {steps: 5, iterations: 1, label_folds: 2, folds: 1}\n", 120, 0,
         0.8},
        {"balanced",
         "labelled: {count: 20}\nrefine: {steps: 5, iterations: 1, label_folds: 2, metric: balanced}\n",
         120, 0, 0.8},
        {"nearly all one class", "labelled: {count: 20}\n" TINY, 120, 0, 0.1},
        {"all is cut off", "labelled: {theta: [0.9, 0.1], pi: 0}\n" TINY, 120, 0, 0.8},
        {"sets: ten texts", "labelled: {count: 4}\n" SETS, 10, 0, 0.8},
        {"sets: they tell nothing", "labelled: {count: 20}\n" SETS, 120, 0, 1e-9},
        {"sets: they tell all", "labelled: {count: 20}\n" SETS, 120, 0, 1e6},
        {"sets: all is labelled", "labelled: {count: 1000}\n" SETS, 120, 0, 0.8},
        {"sets: most abstained", "labelled: {count: 10}\n" SETS, 200, 0.85, 0.8},
        {"sets: stated", "labelled: {theta: [0.8, 0.3], pi: 0.5}\n" SETS, 120, 0, 0.8},
        {"sets: all is cut off", "labelled: {theta: [0.9, 0.1], pi: 0}\n" SETS, 120, 0, 0.8},
        {"stated against all evidence", "labelled: {theta: [0.1, 0.9], pi: 0.5}\n" TINY, 120, 0, 0.8},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        silr_error err = {0};
        small_outcome o;
        silr_status st;
        small_corpus c = {.name = name, .n = cases[i].n, .K = 2, .abstain = cases[i].abstain,
                          .clear = cases[i].clear, .shift = 0.5, .rest = cases[i].rest};
        snprintf(name, sizeof name, "odd-%zu", i);
        small_write(&c);
        st = small_run(name, name, true, &o, &err);
        if (st == SILR_OK) {
            if (!small_proper(&o))
                fail_msg("%s: not proper", cases[i].what);
            small_clear(&o);
            continue;
        }
        if (st != SILR_EINPUT && st != SILR_EDOMAIN)
            fail_msg("%s: status %d, %s", cases[i].what, (int)st, err.text);
        assert_true(strlen(err.text) > 10);
    }
}

static int set_up(void **state)
{
    (void)state;
    small_start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    small_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(biased_log_odds_are_set_right),
        cmocka_unit_test(iteration_0_stays_raw),
        cmocka_unit_test(rejected_it_falls_back_to_the_cut),
        cmocka_unit_test(a_stated_share_cuts_too),
        cmocka_unit_test(elsewhere_labels_are_used),
        cmocka_unit_test(a_few_may_be_missing),
        cmocka_unit_test(one_answer_to_all),
        cmocka_unit_test(sets_by_log_odds_are_learned_from),
        cmocka_unit_test(odd_inputs_end_properly),
    };
    if (getenv("SILR_TEST")) /* one of them alone */
        cmocka_set_test_filter(getenv("SILR_TEST"));
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
