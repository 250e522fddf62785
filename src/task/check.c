/* check.c - what only the whole task can tell: defaults that depend on the recipe, settings that
 * must be there, and those that must fit each other. Runs after the file and all overrides. */
#include "task/inside.h"
#include <math.h>
#include <string.h>

/* Defaults that depend on refine.recipe and classifier.kind. A new kind is a new column. */
static const struct {
    const char *path;
    const char *value[2][3]; /* silr, paper; ngram, frozen, qlora */
} by_choice[] = {
    {"refine.gate", {{"average", "average", "average"}, {"batch", "batch", "batch"}}},
    {"refine.loss", {{"sigmoid", "sigmoid", "logistic"}, {"sigmoid", "sigmoid", "sigmoid"}}},
    {"refine.iterations", {{"3", "3", "3"}, {"5", "5", "5"}}},
    {"refine.batch", {{"0", "0", "16"}, {"16", "16", "16"}}},
    {"refine.folds", {{"4", "4", "2"}, {"1", "1", "1"}}},
    {"refine.l2", {{"0.0003", "0.01", "0"}, {"0.0003", "0.01", "0"}}},
};

/* Where a setting stands, so that a complaint about the whole still names a line. */
node silr_task_place(const task_box *b, const char *path)
{
    node v = {.kind = NODE_SCALAR};
    list_id id;
    size_t i;
    const origin *o = silr_task_list(path, &id)  ? &b->list_origin[id]
                      : silr_knob_find(path, &i) ? &b->knob_origin[i]
                                                 : NULL;
    if (o && !o->flag) {
        v.line = o->line;
        v.column = o->column;
    }
    return v;
}

static silr_status apply_choices(task_box *b, silr_error *err)
{
    silr_status st;

    for (size_t r = 0; r < sizeof by_choice / sizeof *by_choice; r++) {
        const char *value = by_choice[r].value[b->task.refine.recipe][b->task.classifier.kind];
        node v = {.kind = NODE_SCALAR, .plain = true};
        const silr_knob *k;
        size_t i;
        if (!(k = silr_knob_find(by_choice[r].path, &i)) || b->knob_origin[i].line ||
            b->knob_origin[i].flag)
            continue;
        v.text = silr_arena_strndup(&b->arena, value, strlen(value));
        if (!v.text)
            return silr_fail_memory(err);
        v.len = strlen(v.text);
        b->knob_origin[i].recipe = true;
        if ((st = silr_knob_assign(b, k, &v, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

static bool given(const task_box *b, const char *path)
{
    size_t i;
    return silr_knob_find(path, &i) && (b->knob_origin[i].line || b->knob_origin[i].flag);
}

static silr_status check_presence(task_box *b, silr_error *err)
{
    struct silr_task *t = &b->task;

    if (t->n_classes == 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: classes is missing: add for example classes: [positive, negative]",
                         b->name);
    if (t->corpus.n_files == 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: corpus.files is missing: add for example corpus: {files: "
                         "[texts.jsonl], text: text}",
                         b->name);
    if (!t->corpus.text && t->corpus.format != SILR_FORMAT_PLAIN &&
        t->corpus.format != SILR_FORMAT_FASTTEXT)
        return silr_fail(err, SILR_EINPUT,
                         "%s: corpus.text is missing: name the column that holds the text",
                         b->name);
    if (!t->corpus.text && !(t->corpus.text = silr_arena_strndup(&b->arena, "text", 4)))
        return silr_fail_memory(err);
    if (!given(b, "annotator.kind"))
        return silr_fail(err, SILR_EINPUT,
                         "%s: annotator.kind is missing: add for example annotator: {kind: column, "
                         "column: llm}, {kind: rules, rules: {%s: \"word|other\"}} or {kind: chat, "
                         "model: gpt-4o-mini}",
                         b->name, t->classes[0]);
    return SILR_OK;
}

silr_status silr_task_check_annotator(task_box *b, silr_error *err)
{
    const struct silr_task *t = &b->task;
    node at = silr_task_place(b, "annotator.kind");

    if (t->annotator.kind == SILR_ANNOTATOR_COLUMN && !t->annotator.column && !t->annotator.log_odds)
        return silr_task_fail(b, &at, err,
                              "annotator.column is missing: name the column with the first labels");
    if (t->annotator.kind == SILR_ANNOTATOR_RULES && t->annotator.n_rules == 0 &&
        !t->annotator.lexicon)
        return silr_task_fail(b, &at, err,
                              "annotator.rules is missing: give a pattern for each class, or a "
                              "lexicon");
    at = silr_task_place(b, "annotator.lexicon");
    if (t->annotator.lexicon && t->n_classes != 2)
        return silr_task_fail(b, &at, err,
                              "annotator.lexicon tells two classes apart, and there are %zu: use "
                              "annotator.rules",
                              t->n_classes);
    at = silr_task_place(b, "annotator.log_odds");
    if (t->annotator.log_odds && t->n_classes != 2)
        return silr_task_fail(b, &at, err,
                              "annotator.log_odds tells two classes apart, and there are %zu",
                              t->n_classes);
    at = silr_task_place(b, "refine.evidence");
    if (t->refine.evidence == SILR_EVIDENCE_SETS && t->n_classes != 2)
        return silr_task_fail(b, &at, err,
                              "refine.evidence: sets parts the texts by the log-odds of two classes, and "
                              "there are %zu: use label",
                              t->n_classes);
    return silr_task_check_chat(b, err);
}

static bool sums_to_one(const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return fabs(sum - 1) <= 1e-6;
}

/* theta as rows P(true | pseudo). Two classes may give the first column alone, or both. */
static silr_status check_given(task_box *b, silr_error *err)
{
    struct silr_task *t = &b->task;
    size_t K = t->n_classes;
    node at = silr_task_place(b, "labelled.pi");

    if (t->labelled.n_pi > 0 && t->labelled.kind != SILR_LABELLED_GIVEN)
        return silr_task_fail(b, &at, err, "labelled.pi needs labelled.theta beside it");
    if (t->labelled.kind != SILR_LABELLED_GIVEN)
        return SILR_OK;
    if (t->labelled.n_pi != K && (K > 2 || t->labelled.n_pi > 1) && t->labelled.n_pi != 0)
        return silr_task_fail(b, &at, err, "labelled.pi has %zu numbers; %s", t->labelled.n_pi,
                              K > 2 ? "one a class is needed" : "the positive share is enough");
    if (t->labelled.n_pi == K && !sums_to_one(t->labelled.pi, K))
        return silr_task_fail(b, &at, err, "the shares of labelled.pi do not sum to 1");
    at = silr_task_place(b, "labelled.theta");
    if (t->labelled.n_theta != K * K && (K > 2 || t->labelled.n_theta != 2))
        return silr_task_fail(b, &at, err, "labelled.theta has %zu numbers; %zu are needed%s",
                              t->labelled.n_theta, K > 2 ? K * K : (size_t)2,
                              K > 2 ? ": a row of class shares for each pseudo-label"
                                    : ": [theta_p, theta_n]");
    for (size_t j = 0; t->labelled.n_theta == K * K && j < K; j++)
        if (!sums_to_one(t->labelled.theta + j * K, K))
            return silr_task_fail(b, &at, err, "row %zu of labelled.theta does not sum to 1",
                                  j + 1);
    if (K == 2 && t->labelled.n_theta == 4) {
        t->labelled.theta[1] = t->labelled.theta[2];
        t->labelled.n_theta = 2;
    }
    if (K == 2 && t->labelled.n_pi == 2)
        t->labelled.n_pi = 1;
    return SILR_OK;
}

static silr_status check_numbers(task_box *b, silr_error *err)
{
    const struct silr_task *t = &b->task;
    const double split[] = {t->corpus.train, t->corpus.validation, t->corpus.test};
    node at = silr_task_place(b, "corpus.split.train");

    if (!sums_to_one(split, 3))
        return silr_task_fail(b, &at, err,
                              "corpus.split: train, validation and test sum to %.6g, not to 1",
                              split[0] + split[1] + split[2]);
    if (split[0] <= 0)
        return silr_task_fail(b, &at, err, "corpus.split.train is 0: nothing to learn from");
    at = silr_task_place(b, "classifier.kind");
    if (t->classifier.kind == SILR_CLASSIFIER_FROZEN && !t->classifier.model)
        return silr_task_fail(b, &at, err,
                              "classifier.kind is frozen and classifier.model is missing: name the "
                              "folder of an encoder, for example model: models/all-MiniLM-L6-v2");
    if (t->classifier.kind == SILR_CLASSIFIER_QLORA && !t->classifier.model)
        return silr_task_fail(b, &at, err,
                              "classifier.kind is qlora and classifier.model is missing: name a model "
                              "to fine-tune, for example model: models/SmolLM2-135M");
    at = silr_task_place(b, "classifier.word_max");
    if (t->classifier.word_max == 0 && t->classifier.char_max == 0)
        return silr_task_fail(b, &at, err,
                              "classifier.word_max and classifier.char_max are both 0: no n-grams");
    if (t->classifier.word_max > 0 && t->classifier.word_min > t->classifier.word_max)
        return silr_task_fail(b, &at, err, "classifier.word_min is over classifier.word_max");
    at = silr_task_place(b, "classifier.char_max");
    if (t->classifier.char_max > 0 && t->classifier.char_min > t->classifier.char_max)
        return silr_task_fail(b, &at, err, "classifier.char_min is over classifier.char_max");
    return SILR_OK;
}

silr_status silr_task_check(task_box *b, silr_error *err)
{
    silr_status st;

    if ((st = check_presence(b, err)) != SILR_OK || (st = apply_choices(b, err)) != SILR_OK ||
        (st = silr_task_check_annotator(b, err)) != SILR_OK || (st = check_given(b, err)) != SILR_OK ||
        (st = silr_task_read_members(b, err)) != SILR_OK)
        return st;
    return check_numbers(b, err);
}
