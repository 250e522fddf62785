/* supervised.c - silr's n-gram classifier trained on true labels, as one process.
 *
 *     supervised TRAIN TEST MODEL [steps [rate [l2 [batch [loss]]]]]
 *
 * TRAIN and TEST are lines "__label__NAME text", what `fasttext supervised` reads. Does what
 * fastText does in one go: reads, hashes, trains, writes MODEL (a folder); then scores TEST.
 * Prints: accuracy, CPU seconds to train (all but TEST), texts a second predicted on one thread. */
#include "classify/ngram.h"
#include "classify/trainer.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    silr_buf bytes;
    size_t n, cap, cap_len, cap_set;
    const char **text;
    size_t *len;
    int *set;
} lines;

static char *names[SILR_RISK_CLASSES];
static int n_names;

static int class_of(const char *name, size_t len)
{
    for (int k = 0; k < n_names; k++)
        if (strlen(names[k]) == len && memcmp(names[k], name, len) == 0)
            return k;
    names[n_names] = silr_strndup(name, len);
    return n_names++;
}

static int read_lines(lines *l, const char *path)
{
    static const char prefix[] = "__label__";
    silr_error err;

    if (silr_file_read(&l->bytes, path, (size_t)4 << 30, &err) != SILR_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    for (char *p = l->bytes.data, *end = p + l->bytes.len; p < end;) {
        char *stop = memchr(p, '\n', (size_t)(end - p)), *space;
        stop = stop ? stop : end;
        space = memchr(p, ' ', (size_t)(stop - p));
        if (!space || strncmp(p, prefix, sizeof prefix - 1) != 0)
            return fprintf(stderr, "%s: a line without a label\n", path), 1;
        if (!silr_grow(&l->text, &l->cap, l->n + 1, sizeof *l->text) ||
            !silr_grow(&l->len, &l->cap_len, l->n + 1, sizeof *l->len) ||
            !silr_grow(&l->set, &l->cap_set, l->n + 1, sizeof *l->set))
            return fprintf(stderr, "out of memory\n"), 1;
        p += sizeof prefix - 1;
        l->set[l->n] = class_of(p, (size_t)(space - p));
        l->text[l->n] = space + 1;
        l->len[l->n++] = (size_t)(stop - space) - 1;
        p = stop + 1;
    }
    return 0;
}

static const char *line_text(const void *ctx, size_t i, size_t *len)
{
    const lines *l = ctx;

    *len = l->len[i];
    return l->text[i];
}

static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static silr_status train(const lines *l, const char *folder, const silr_train_opts *o,
                         silr_loss_kind loss, silr_error *err)
{
    const silr_ngram_opts grams = {.word_min = 1, .word_max = 2, .bits = 20, .lowercase = true,
                                   .min_count = 1};
    const int K = n_names;
    double *theta = calloc((size_t)(K * K), sizeof *theta), *pi = calloc((size_t)K, sizeof *pi);
    uint32_t *docs = calloc(l->n, sizeof *docs);
    silr_classifier *c = NULL;
    silr_member m = {.set = l->set};
    silr_status st = SILR_ENOMEM;
    const double zero[SILR_RISK_CLASSES] = {0};

    if (!theta || !pi || !docs)
        goto done;
    for (int k = 0; k < K; k++) {
        theta[k * K + k] = 1;
        pi[k] = 1.0 / K;
    }
    for (size_t i = 0; i < l->n; i++)
        docs[i] = (uint32_t)i;
    if ((st = silr_risk_init(&m.risk, SILR_RISK_PN, loss, K, theta, pi, 0, err)) != SILR_OK ||
        (st = silr_ngram_new(&c, &grams, K, (const char *const *)names, line_text, l, l->n,
                             err)) != SILR_OK ||
        (st = silr_train(c, o, 1, &m, docs, l->n, NULL, 0, NULL, err)) != SILR_OK ||
        (st = c->blend(c, 0, 1, NULL, err)) != SILR_OK)
        goto done;
    for (int k = 0; k < K * K; k++)
        theta[k] = k % (K + 1) == 0;
    if (K == 2)
        theta[0] = 1;
    st = c->save(c, folder, theta, zero, 1, err);
done:
    silr_classifier_free(c);
    free(theta);
    free(pi);
    free(docs);
    return st;
}

static double arg(int argc, char **argv, int i, double fallback)
{
    return argc > i ? strtod(argv[i], NULL) : fallback;
}

int main(int argc, char **argv)
{
    static lines data, test;
    const double start = cpu();
    const silr_train_opts o = {
        .adam = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .l2 = arg(argc, argv, 6, 1e-5)},
        .schedule = SILR_LR_LINEAR, .steps = (int)arg(argc, argv, 4, 30),
        .learning_rate = arg(argc, argv, 5, 0.5), .batch = (size_t)arg(argc, argv, 7, 0),
        .stratify = true, .gate_decay = 0.9, .seed = 1, .iteration = 1};
    const silr_loss_kind loss = arg(argc, argv, 8, 1) > 0 ? SILR_LOSS_LOGISTIC : SILR_LOSS_SIGMOID;
    silr_model *m = NULL;
    silr_error err;
    double trained, predicted, *probs;
    size_t right = 0;

    if (argc < 4)
        return fprintf(stderr, "usage: supervised TRAIN TEST MODEL [steps [rate [l2 [batch "
                               "[loss]]]]]\n"), 2;
    if (read_lines(&data, argv[1]))
        return 3;
    if (train(&data, argv[3], &o, loss, &err) != SILR_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    trained = cpu() - start;
    if (read_lines(&test, argv[2]))
        return 3;
    probs = calloc(test.n * (size_t)n_names, sizeof *probs);
    if (!probs || silr_model_load(&m, argv[3], &err) != SILR_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    predicted = cpu();
    if (silr_model_predict_many(m, test.text, test.len, test.n, probs, &err) != SILR_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    predicted = cpu() - predicted;
    for (size_t i = 0; i < test.n; i++) {
        int best = 0;
        for (int k = 1; k < n_names; k++)
            best = probs[i * (size_t)n_names + (size_t)k] >
                           probs[i * (size_t)n_names + (size_t)best] ? k : best;
        right += best == test.set[i];
    }
    printf("%.4f %.4f %.0f\n", (double)right / (double)test.n, trained, (double)test.n / predicted);
    return 0;
}
