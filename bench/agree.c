/* agree.c - is Dawid-Skene better than the majority on real annotators?
 *
 *     bench_agree FILE COLUMN,COLUMN,...        a line for these columns of a JSONL file (or .gz)
 *     bench_agree FILE SIZE COUNT               a line for each of COUNT random choices of SIZE
 *     bench_agree --simulate N M K              seconds for N texts, independent annotators
 *
 * The truth is the key "label"; annotators are the keys "llm_...". Accuracy is over the texts that
 * somebody labelled, a text without a label counting 1/K, as a coin would. Columns of the output:
 *
 *     1 best annotator  2 mean annotator  3 majority  4 majority, ties by Dawid-Skene
 *     5 Dawid-Skene     6 with 50 known truths   7 with each of them counting ten times
 *     8 the annotator that is best on the 50     9 mean |estimated - true| accuracy of annotators
 *     10 the same, 50 known   11 ten times   12 largest excess   13 doubts   14 iterations
 *     15 converged   16 alpha   17 which
 *
 * 6, 7, 8, 10, 11 are means over 20 draws of the 50, accuracy being over the other texts. */
#include "agree/agree.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MOST = 64, KNOWN = 50, DRAWS = 20 };

typedef struct {
    size_t n, cap;
    int columns, K;
    char *column[MOST], *class[SILR_AGREE_CLASSES];
    json_t **row;
    int *label[MOST], *truth;
} table;

static void must(silr_status st, const silr_error *err)
{
    if (st != SILR_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static int class_of(table *t, const json_t *value, bool add)
{
    char text[256];

    if (json_is_string(value))
        snprintf(text, sizeof text, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, sizeof text, "%d", (int)json_integer_value(value));
    else
        return SILR_NO_LABEL;
    for (int k = 0; k < t->K; k++)
        if (strcmp(t->class[k], text) == 0)
            return k;
    if (!add || t->K == SILR_AGREE_CLASSES)
        return SILR_NO_LABEL;
    t->class[t->K] = silr_strdup(text);
    return t->K++;
}

static void read_table(table *t, const char *path)
{
    static char line[1 << 20];
    gzFile f = gzopen(path, "rb");
    const char *key;
    json_t *value;

    if (!f) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        exit(1);
    }
    while (gzgets(f, line, sizeof line)) {
        json_t *row = json_loads(line, 0, NULL);
        if (!row || !silr_grow(&t->row, &t->cap, t->n + 1, sizeof *t->row))
            exit(1);
        t->row[t->n++] = row;
        if (t->n == 1)
            json_object_foreach(row, key, value) if ((strncmp(key, "llm_", 4) == 0 ||
                                                      strncmp(key, "weak_", 5) == 0) &&
                                                     t->columns < MOST) t->column[t->columns++] =
                silr_strdup(key);
    }
    gzclose(f);
    t->truth = silr_alloc(t->n, sizeof *t->truth);
    for (size_t i = 0; i < t->n; i++)
        t->truth[i] = class_of(t, json_object_get(t->row[i], "label"), true);
    for (int m = 0; m < t->columns; m++) {
        t->label[m] = silr_alloc(t->n, sizeof *t->label[m]);
        for (size_t i = 0; i < t->n; i++)
            t->label[m][i] = class_of(t, json_object_get(t->row[i], t->column[m]), false);
    }
}

/* Share right; `but`: texts left out. */
static double right(const table *t, const silr_votes *v, const int *label, const int *but)
{
    double sum = 0, n = 0;

    for (size_t i = 0; i < t->n; i++) {
        bool voted = false;
        for (int m = 0; m < v->M; m++)
            voted = voted || v->label[m][i] != SILR_NO_LABEL;
        if (t->truth[i] == SILR_NO_LABEL || !voted || (but && but[i] != SILR_NO_LABEL))
            continue;
        n++;
        sum += label[i] == SILR_NO_LABEL ? 1.0 / t->K : label[i] == t->truth[i];
    }
    return sum / n;
}

static double column_accuracy(const table *t, const int *label)
{
    double n = 0, hit = 0;

    for (size_t i = 0; i < t->n; i++)
        if (label[i] != SILR_NO_LABEL && t->truth[i] != SILR_NO_LABEL) {
            n++;
            hit += label[i] == t->truth[i];
        }
    return hit / n;
}

static double estimate_off(const table *t, const silr_votes *v, const silr_dawid_skene *d)
{
    double sum = 0;

    for (int m = 0; m < v->M; m++)
        sum += fabs(d->accuracy[m] - column_accuracy(t, v->label[m]));
    return sum / v->M;
}

/* Means over draws of the known truths. */
typedef struct {
    double once, often, pick, once_off, often_off;
} helped;

static void draw_known(const table *t, int *known, uint64_t draw)
{
    uint32_t *order = silr_alloc(t->n, sizeof *order);
    silr_rng g;

    silr_rng_init(&g, 1, SILR_RNG_TEST, 0, draw);
    for (size_t i = 0; i < t->n; i++) {
        order[i] = (uint32_t)i;
        known[i] = SILR_NO_LABEL;
    }
    silr_rng_shuffle(&g, order, t->n);
    for (size_t i = 0; i < KNOWN && i < t->n; i++)
        known[order[i]] = t->truth[order[i]];
    silr_free(order);
}

static const int *pick(const table *t, const silr_votes *v, const int *known)
{
    int best = 0, most = -1;

    for (int m = 0; m < v->M; m++) {
        int hits = 0;
        for (size_t i = 0; i < t->n; i++)
            hits += known[i] != SILR_NO_LABEL && v->label[m][i] == known[i];
        best = hits > most ? m : best;
        most = hits > most ? hits : most;
    }
    return v->label[best];
}

static helped with_known(const table *t, const silr_votes *v)
{
    silr_dawid_skene_opts opts = SILR_DAWID_SKENE_OPTS;
    double *weight = silr_alloc(t->n, sizeof *weight);
    int *known = silr_alloc(t->n, sizeof *known);
    silr_dawid_skene d;
    helped h = {0};
    silr_error err;

    for (size_t i = 0; i < t->n; i++)
        weight[i] = 10;
    opts.known = known;
    for (int draw = 0; draw < DRAWS; draw++) {
        draw_known(t, known, (uint64_t)draw);
        opts.known_weight = NULL;
        must(silr_dawid_skene_fit(&d, v, &opts, &err), &err);
        h.once += right(t, v, d.label, known) / DRAWS;
        h.once_off += estimate_off(t, v, &d) / DRAWS;
        silr_dawid_skene_clear(&d);
        opts.known_weight = weight;
        must(silr_dawid_skene_fit(&d, v, &opts, &err), &err);
        h.often += right(t, v, d.label, known) / DRAWS;
        h.often_off += estimate_off(t, v, &d) / DRAWS;
        silr_dawid_skene_clear(&d);
        h.pick += right(t, v, pick(t, v, known), known) / DRAWS;
    }
    silr_free(known);
    silr_free(weight);
    return h;
}

static void line(const table *t, const int *chosen, int M)
{
    const int *label[MOST];
    const silr_votes v = {.n = t->n, .M = M, .K = t->K, .label = label};
    int *majority = silr_alloc(t->n, sizeof *majority);
    double best = 0, mean = 0, excess = 0, plain;
    silr_dawid_skene d;
    silr_error err;
    helped h;

    for (int m = 0; m < M; m++)
        label[m] = t->label[chosen[m]];
    for (int m = 0; m < M; m++) {
        double a = right(t, &v, label[m], NULL);
        best = fmax(best, a);
        mean += a / M;
    }
    must(silr_dawid_skene_fit(&d, &v, NULL, &err), &err);
    must(silr_majority(majority, NULL, &v, NULL, &err), &err);
    plain = right(t, &v, majority, NULL);
    must(silr_majority(majority, NULL, &v, &d, &err), &err);
    h = with_known(t, &v);
    for (int i = 0; i < M * M; i++)
        excess = fmax(excess, d.excess[i]);
    printf("%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%u\t%d\t%d\t%."
           "3f\t",
           best, mean, plain, right(t, &v, majority, NULL), right(t, &v, d.label, NULL), h.once,
           h.often, h.pick, estimate_off(t, &v, &d), h.once_off, h.often_off, excess, d.doubts,
           d.iterations, d.converged, d.alpha);
    for (int m = 0; m < M; m++)
        printf("%s%s", m ? "," : "", t->column[chosen[m]] + 4);
    printf("\n");
    silr_dawid_skene_clear(&d);
    silr_free(majority);
}

static void named(const table *t, char *list)
{
    int chosen[MOST], M = 0;

    for (char *name = strtok(list, ","); name && M < MOST; name = strtok(NULL, ",")) {
        int c = 0;
        while (c < t->columns && strcmp(t->column[c], name) != 0)
            c++;
        if (c == t->columns) {
            fprintf(stderr, "no column %s\n", name);
            exit(1);
        }
        chosen[M++] = c;
    }
    line(t, chosen, M);
}

static void drawn(const table *t, int size, int count)
{
    for (int r = 0; r < count; r++) {
        uint32_t order[MOST];
        int chosen[MOST];
        silr_rng g;
        silr_rng_init(&g, 2, SILR_RNG_TEST, (uint32_t)size, (uint64_t)r);
        for (int c = 0; c < t->columns; c++)
            order[c] = (uint32_t)c;
        silr_rng_shuffle(&g, order, (size_t)t->columns);
        for (int m = 0; m < size; m++)
            chosen[m] = (int)order[m];
        line(t, chosen, size);
    }
}

static void simulate(size_t n, int M, int K)
{
    int *label[MOST];
    const int *view[MOST];
    silr_votes v = {.n = n, .M = M, .K = K, .label = view};
    silr_dawid_skene d;
    silr_agreement a;
    silr_error err;
    silr_rng g;
    double began, fitted;

    silr_rng_init(&g, 3, SILR_RNG_TEST, 0, 0);
    for (int m = 0; m < M; m++)
        view[m] = label[m] = silr_alloc(n, sizeof *label[m]);
    for (size_t i = 0; i < n; i++) {
        int truth = (int)silr_rng_below(&g, (uint64_t)K);
        for (int m = 0; m < M; m++)
            label[m][i] = silr_rng_double(&g) < 0.6 + 0.3 * m / M
                              ? truth
                              : (int)silr_rng_below(&g, (uint64_t)K);
    }
    began = silr_now();
    must(silr_dawid_skene_fit(&d, &v, NULL, &err), &err);
    fitted = silr_now();
    must(silr_agreement_make(&a, &v, &err), &err);
    printf("%zu texts, %d annotators, %d classes: %zu patterns, %d iterations, %.3f s; agreement "
           "%.3f s\n",
           n, M, K, d.patterns, d.iterations, fitted - began, silr_now() - fitted);
    silr_dawid_skene_clear(&d);
    silr_agreement_clear(&a);
}

/* A whole number of 1 to most. */
static int number(const char *text, int64_t most)
{
    int64_t v;

    if (!silr_parse_i64(text, &v) || v < 1 || v > most) {
        fprintf(stderr, "%s: not a number of 1 to %d\n", text, (int)most);
        exit(2);
    }
    return (int)v;
}

int main(int argc, char **argv)
{
    table t = {0};

    if (argc == 5 && strcmp(argv[1], "--simulate") == 0) {
        simulate((size_t)number(argv[2], 100000000), number(argv[3], MOST),
                 number(argv[4], SILR_AGREE_CLASSES));
        return 0;
    }
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "bench_agree FILE COLUMNS | FILE SIZE COUNT | --simulate N M K\n");
        return 2;
    }
    read_table(&t, argv[1]);
    if (argc == 3)
        named(&t, argv[2]);
    else
        drawn(&t, number(argv[2], t.columns), number(argv[3], 100000));
    return 0;
}
