/* labels.c - what silr does to real labels: one task, several seeds and ways, a line for each.
 *
 *     bench_labels TASK SEEDS WAY[,WAY...] [key=value]...
 *
 * Ways: silr, paper, pn, uu (the paper's loop with those risks), fifty (a classifier trained on
 * the labelled texts alone), full (trained on the truth of the pool, out of fold). Accuracy is over
 * the pool's texts that are not in the labelled sample and have an original label and a truth.
 * Columns: task, column, way, seed, before, after, balanced before, after, test, estimate low, high,
 * covered (1, 0, -), all (accuracy over all pool texts, abstained ones too), seconds, start (before,
 * or where log-odds are used: of their recalibrated sign), its estimate low, high, covered. */
#include "classify/trainer.h"
#include "refine/refine.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    silr_task *task;
    silr_corpus *corpus;
    silr_store *store;
    silr_sample sample;
    int *initial, *truth, *final, *start;
    silr_interval started; /* what the run estimates of start */
    bool *sampled;
    size_t n;
} world;

static silr_status keep(void *ctx, size_t doc, const silr_annotation *a, silr_error *err)
{
    world *w = ctx;
    w->initial[doc] = a->label;
    return silr_store_annotation(w->store, 0, doc, a, err);
}

static silr_status annotate(world *w, silr_error *err)
{
    silr_annotator *a = NULL;
    uint32_t *docs = silr_alloc(w->n, sizeof *docs);
    silr_status st = silr_annotator_new(&a, w->task, NULL, err);

    for (size_t i = 0; i < w->n; i++)
        docs[i] = (uint32_t)i;
    if (st == SILR_OK && (st = silr_store_begin(w->store, err)) == SILR_OK &&
        (st = silr_store_documents(w->store, w->corpus, err)) == SILR_OK &&
        (st = a->annotate(a, w->corpus, docs, w->n, keep, w, err)) == SILR_OK)
        st = silr_store_commit(w->store, err);
    silr_annotator_free(a);
    silr_free(docs);
    return st;
}

enum { F = 4 };

static silr_status fit_supervised(world *w, silr_classifier *c, bool full, float *scores,
                                  silr_error *err)
{
    silr_member m[F];
    const double unused[SILR_MAX_CLASSES * SILR_MAX_CLASSES] = {0};
    int *set = silr_alloc(F * w->n, sizeof *set);
    uint32_t *docs = silr_alloc(w->n, sizeof *docs), *all = silr_alloc(w->n, sizeof *all);
    size_t n = 0;
    silr_status st = SILR_OK;
    silr_train_opts o = {
        .adam = {.beta1 = .9, .beta2 = .99, .epsilon = 1e-8, .l2 = w->task->refine.l2},
        .schedule = SILR_LR_LINEAR, .learning_rate = .12, .steps = 150,
        .gate = SILR_GATE_BATCH, .gate_decay = .9, .seed = 1};

    for (size_t f = 0; f < F && st == SILR_OK; f++) {
        for (size_t d = 0; d < w->n; d++) {
            bool pool = silr_corpus_split(w->corpus, d) != SILR_TEST;
            bool use = pool && (full ? silr_corpus_group(w->corpus, d) % F != f : w->sampled[d]);
            set[f * w->n + d] = use ? w->truth[d] : SILR_NO_LABEL;
        }
        m[f] = (silr_member){.set = set + f * w->n};
        st = silr_risk_init(&m[f].risk, SILR_RISK_PN, SILR_LOSS_LOGISTIC, (int)w->task->n_classes,
                            unused, unused, 1, err);
    }
    for (size_t d = 0; d < w->n; d++) {
        all[d] = (uint32_t)d;
        if (silr_corpus_split(w->corpus, d) != SILR_TEST && (full || w->sampled[d]))
            docs[n++] = (uint32_t)d;
    }
    if (st == SILR_OK)
        st = silr_train(c, &o, F, m, docs, n, NULL, 0, NULL, err);
    if (st == SILR_OK)
        st = c->forward(c, all, w->n, scores, err);
    silr_free(set);
    silr_free(docs);
    silr_free(all);
    return st;
}

/* fifty: the sample's truth alone; full: all truth of the pool, each text by a model without it. */
static silr_status supervised(world *w, bool full, silr_error *err)
{
    const size_t C = w->task->n_classes == 2 ? 1 : w->task->n_classes;
    silr_classifier *c = NULL;
    float *scores = silr_alloc(w->n * F * C, sizeof *scores);
    silr_status st = silr_classifier_new(&c, w->task, w->corpus, NULL, err);

    if (st == SILR_OK)
        st = fit_supervised(w, c, full, scores, err);
    for (size_t d = 0; d < w->n && st == SILR_OK; d++) {
        const float *s = scores + d * F * C + (silr_corpus_group(w->corpus, d) % F) * C;
        int best = 0;
        for (size_t k = 1; k < C; k++)
            if (s[k] > s[best])
                best = (int)k;
        w->final[d] = C == 1 ? (s[0] > 0 ? 0 : 1) : best;
    }
    silr_free(scores);
    silr_classifier_free(c);
    return st;
}

static double balanced(int K, const size_t *right, const size_t *of)
{
    double sum = 0;
    int classes = 0;
    for (int k = 0; k < K; k++)
        if (of[k] > 0) {
            sum += (double)right[k] / (double)of[k];
            classes++;
        }
    return classes ? sum / classes : 0;
}

/* The labels that the refinement began with: the annotator's, unless it left others. */
static silr_status read_start(world *w, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = silr_store_get(w->store, "recalibrated", &b, err);
    json_t *root = b.len > 0 ? json_loadb(b.data, b.len, 0, NULL) : NULL;
    const json_t *e = json_object_get(root, "estimated");
    const char *labels = json_string_value(json_object_get(root, "labels"));

    w->started = (silr_interval){json_number_value(json_array_get(e, 0)),
                                 json_number_value(json_array_get(e, 1)),
                                 json_number_value(json_array_get(e, 2))};
    for (size_t d = 0; d < w->n; d++)
        w->start[d] = !labels ? w->initial[d] : labels[d] == '-' ? SILR_NO_LABEL : labels[d] - '0';
    json_decref(root);
    silr_buf_clear(&b);
    return st;
}

typedef struct {
    size_t n, before, start, after, right0[64], right1[64], of[64];
    size_t tests, tests_right, all, all_right;
} tally;

static void count(const world *w, const int *test_label, tally *t)
{
    for (size_t d = 0; d < w->n; d++) {
        int truth = w->truth[d];
        if (truth == SILR_NO_LABEL)
            continue;
        if (silr_corpus_split(w->corpus, d) == SILR_TEST) {
            t->tests++;
            t->tests_right += test_label[d] == truth;
            continue;
        }
        t->all++;
        t->all_right += w->final[d] == truth;
        if (w->sampled[d] || w->initial[d] == SILR_NO_LABEL)
            continue;
        t->n++;
        t->of[truth]++;
        t->before += w->initial[d] == truth;
        t->start += w->start[d] == truth;
        t->after += w->final[d] == truth;
        t->right0[truth] += w->initial[d] == truth;
        t->right1[truth] += w->final[d] == truth;
    }
}

static silr_status report(world *w, const char *way, int seed, double seconds, silr_error *err)
{
    const int K = (int)w->task->n_classes;
    const silr_interval none = {(double)NAN, (double)NAN, (double)NAN};
    silr_iteration it = {.estimated = none};
    size_t iterations = 0;
    tally t = {0};
    int *label = silr_alloc(w->n, sizeof *label);
    double after, start;
    silr_status st = silr_store_iterations(w->store, &iterations, err);

    if (st == SILR_OK && iterations > 1)
        st = silr_store_iteration_get(w->store, (int)iterations - 1, &it, w->n, label, NULL, err);
    if (st == SILR_OK)
        st = read_start(w, err);
    if (st == SILR_OK) {
        count(w, iterations > 1 ? label : w->final, &t);
        after = (double)t.after / (double)t.n;
        start = (double)t.start / (double)t.n;
        printf("%s\t%s\t%s\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%s\t%.4f\t%.2f\t%.4f\t%.4f\t%.4f\t%s\n",
               w->task->name, silr_task_annotator(w->task), way,
               seed, (double)t.before / (double)t.n, after, balanced(K, t.right0, t.of),
               balanced(K, t.right1, t.of),
               t.tests ? (double)t.tests_right / (double)t.tests : 0, it.estimated.low,
               it.estimated.high,
               isnan(it.estimated.low)                                        ? "-"
               : after >= it.estimated.low && after <= it.estimated.high ? "1"
                                                                              : "0",
               (double)t.all_right / (double)t.all, seconds, start, w->started.low, w->started.high,
               !(w->started.high > 0)                                   ? "-"
               : start >= w->started.low && start <= w->started.high ? "1"
                                                                         : "0");
        fflush(stdout);
    }
    silr_free(label);
    return st;
}

/* Task, corpus, annotations and sample of one seed, with a store in dir. */
static silr_status open_world(world *w, const char *path, const char *way, int seed,
                              const char *const *sets, size_t n_sets, const char *dir,
                              silr_error *err)
{
    const char *all[64];
    char seed_text[40];
    size_t n = 0;
    silr_status st;

    snprintf(seed_text, sizeof seed_text, "seed=%d", seed);
    for (size_t i = 0; i < n_sets && n < 56; i++)
        all[n++] = sets[i];
    all[n++] = seed_text;
    if (strcmp(way, "paper") == 0 || strcmp(way, "pn") == 0 || strcmp(way, "uu") == 0)
        all[n++] = "refine.recipe=paper";
    if (strcmp(way, "pn") == 0)
        all[n++] = "refine.risk=pn";
    if (strcmp(way, "uu") == 0)
        all[n++] = "refine.risk=uu";
    if ((st = silr_task_read(&w->task, path, all, n, err)) != SILR_OK ||
        (st = silr_corpus_read(&w->corpus, w->task, NULL, NULL, err)) != SILR_OK)
        return st;
    w->n = silr_corpus_size(w->corpus);
    w->initial = silr_alloc(w->n, sizeof *w->initial);
    w->truth = silr_alloc(w->n, sizeof *w->truth);
    w->final = silr_alloc(w->n, sizeof *w->final);
    w->start = silr_alloc(w->n, sizeof *w->start);
    w->sampled = silr_calloc(w->n, sizeof *w->sampled);
    for (size_t d = 0; d < w->n; d++)
        w->truth[d] = silr_corpus_truth(w->corpus, d);
    if ((st = silr_store_open(&w->store, dir, w->task, w->corpus, err)) != SILR_OK ||
        (st = annotate(w, err)) != SILR_OK ||
        (st = silr_sample_draw(&w->sample, w->task, w->corpus, w->initial, NULL, err)) != SILR_OK ||
        (st = silr_store_sample(w->store, &w->sample, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < w->sample.n; i++)
        w->sampled[w->sample.doc[i]] = true;
    return SILR_OK;
}

static void close_world(world *w, const char *dir)
{
    static const char *const files[] = {"run.db", "run.db-wal", "run.db-shm", ".lock",
                                        "classifier/model.silr", "classifier/model.json",
                                        "classifier"};
    char path[160];

    silr_store_close(w->store);
    silr_sample_clear(&w->sample);
    silr_corpus_free(w->corpus);
    silr_task_free(w->task);
    silr_free(w->initial);
    silr_free(w->truth);
    silr_free(w->final);
    silr_free(w->start);
    silr_free(w->sampled);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        remove(path);
    }
    rmdir(dir);
}

static silr_status one(const char *path, const char *way, int seed, const char *const *sets,
                       size_t n_sets, silr_error *err)
{
    world w = {0};
    char dir[] = "/tmp/silr-bench-XXXXXX", classifier[64];
    bool present = false, loop = strcmp(way, "fifty") != 0 && strcmp(way, "full") != 0;
    const silr_refine_opts opts = {.force = true};
    double begun;
    silr_status st;

    if (!mkdtemp(dir))
        return silr_fail(err, SILR_EIO, "%s: cannot be made", dir);
    snprintf(classifier, sizeof classifier, "%s/classifier", dir);
    st = open_world(&w, path, way, seed, sets, n_sets, dir, err);
    begun = silr_now();
    if (st == SILR_OK && loop)
        st = silr_refine(w.task, w.corpus, w.store, classifier, &opts, err);
    if (st == SILR_OK && loop)
        st = silr_store_final_get(w.store, w.n, (int)w.task->n_classes, w.final, NULL, &present,
                                  err);
    if (st == SILR_OK && !loop)
        st = supervised(&w, strcmp(way, "full") == 0, err);
    if (st == SILR_OK)
        st = report(&w, way, seed, silr_now() - begun, err);
    close_world(&w, dir);
    return st;
}

int main(int argc, char **argv)
{
    silr_error err = {0};
    int seeds, failed = 0;

    if (argc < 4) {
        fprintf(stderr, "usage: bench_labels TASK SEEDS WAY[,WAY...] [key=value]...\n");
        return 2;
    }
    silr_mem_install();
    seeds = (int)strtol(argv[2], NULL, 10);
    for (int seed = 1; seed <= seeds; seed++) {
        const char *way = argv[3];
        while (*way) {
            char name[32];
            size_t len = strcspn(way, ",");
            snprintf(name, sizeof name, "%.*s", (int)len, way);
            if (one(argv[1], name, seed, (const char *const *)argv + 4, (size_t)argc - 4, &err) !=
                SILR_OK) {
                fprintf(stderr, "bench_labels: %s seed %d: %s\n", name, seed, err.text);
                failed = 1;
            }
            way += len + (way[len] == ',');
        }
    }
    return failed;
}
