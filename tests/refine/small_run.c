#include "small_run.h"
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64];

static void die(const char *why)
{
    fprintf(stderr, "the test cannot go on: %s\n", why);
    exit(1);
}

void small_start(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(top, sizeof top, "%.40s/silr-refine-XXXXXX", tmp ? tmp : "/tmp");
    silr_mem_install();
    if (!mkdtemp(top))
        die("no folder");
}

static int gone(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void small_end(void)
{
    nftw(top, gone, 8, FTW_DEPTH | FTW_PHYS);
}

const char *small_folder(const char *name, char path[128])
{
    snprintf(path, 128, "%.60s/%.64s", top, name);
    return path;
}

static void put(const char *name, const char *suffix, const silr_buf *b)
{
    char file[128], path[128];
    silr_error err;
    snprintf(file, sizeof file, "%.60s%s", name, suffix);
    if (b->failed || silr_file_write(small_folder(file, path), b->data, b->len, &err) != SILR_OK)
        die("cannot write");
}

static void one_text(silr_buf *b, silr_rng *g, const small_corpus *c, int y)
{
    int own = c->per_class > 0 ? c->per_class : 3;
    for (int w = 0; w < 10; w++)
        if (w < own)
            silr_buf_printf(b, "k%dw%d ", y, (int)silr_rng_below(g, 20));
        else
            silr_buf_printf(b, "all%d ", (int)silr_rng_below(g, 60));
}

/* The annotator's log-odds of text i, and its label where that is their sign. */
static double log_odds(const small_corpus *c, int i, int y, int *said)
{
    silr_rng g;
    double o;
    silr_rng_init(&g, 11, SILR_RNG_TEST, 1, (uint64_t)i);
    o = (y == 0 ? c->clear : -c->clear) + silr_rng_normal(&g) - c->shift;
    if (c->says != SAYS_LABEL_TOO)
        *said = o > 0 ? 0 : 1;
    return silr_rng_double(&g) < c->silent ? (double)NAN : o;
}

/* keep NULL: all truths as they are, but that of `turned` */
static void write_rows(const small_corpus *c, const char *name, const bool *keep, size_t turned)
{
    silr_buf b = {0};

    for (int i = 0; i < c->n; i++) {
        silr_rng g;
        int y, said, shown;
        double o = NAN;
        silr_rng_init(&g, 11, SILR_RNG_TEST, 0, (uint64_t)i);
        y = (int)silr_rng_below(&g, (uint64_t)c->K);
        said = silr_rng_double(&g) < c->noise
                   ? (y + 1 + (int)silr_rng_below(&g, (uint64_t)c->K - 1)) % c->K : y;
        if (said >= c->K - c->mute)
            said = 0;
        if (c->clear > 0)
            o = log_odds(c, i, y, &said);
        shown = (keep && !keep[i]) || (size_t)i == turned ? (y + 1) % c->K : y;
        silr_buf_printf(&b, "{\"id\":\"t%d\",\"label\":\"c%d\",\"text\":\"", i, shown);
        one_text(&b, &g, c, y);
        if (silr_rng_double(&g) < c->abstain) {
            silr_buf_puts(&b, "\",\"llm\":null}\n");
            continue;
        }
        silr_buf_printf(&b, "\",\"llm\":\"c%d\"", said);
        if (!isnan(o))
            silr_buf_printf(&b, ",\"odds\":%.4f", o);
        silr_buf_puts(&b, "}\n");
    }
    put(name, ".jsonl", &b);
    silr_buf_clear(&b);
}

static void write_task(const small_corpus *c, const char *name)
{
    silr_buf b = {0};

    silr_buf_puts(&b, "name: small\nclasses: [c0");
    for (int k = 1; k < c->K; k++)
        silr_buf_printf(&b, ", c%d", k);
    silr_buf_printf(&b, "]\ncorpus: {files: [%s.jsonl], text: text, id: id, label: label%s}\n"
                        "annotator: {kind: column%s%s}\n"
                        "classifier: {bits: 12, char_max: 0, word_max: 1, min_count: 1%s}\n%s",
                    name, c->split ? c->split : "",
                    c->clear > 0 && c->says == SAYS_ODDS ? "" : ", column: llm",
                    c->clear > 0 ? ", log_odds: odds" : "", c->classifier ? c->classifier : "", c->rest);
    put(name, ".yaml", &b);
    silr_buf_clear(&b);
}

void small_write(const small_corpus *c)
{
    write_rows(c, c->name, NULL, SIZE_MAX);
    write_task(c, c->name);
}

void small_scramble(const small_corpus *c, const char *name, const bool *keep)
{
    write_rows(c, name, keep, SIZE_MAX);
    write_task(c, name);
}

void small_turn(const small_corpus *c, const char *name, size_t doc)
{
    write_rows(c, name, NULL, doc);
    write_task(c, name);
}

static silr_status read_classifier(small_outcome *o, const char *dir, silr_error *err)
{
    static const char *const files[] = {"model.json", "model.silr", "frozen.silr"};
    char path[256];
    silr_status st = SILR_OK;

    for (size_t f = 0; f < sizeof files / sizeof *files && st == SILR_OK; f++) {
        silr_buf b = {0};
        snprintf(path, sizeof path, "%s/%s", dir, files[f]);
        if (silr_file_exists(path)) {
            st = silr_file_read(&b, path, (size_t)1 << 26, err);
            silr_buf_add(&o->classifier, b.data, b.len);
            if (st == SILR_OK && o->classifier.failed)
                st = silr_fail_memory(err);
        }
        silr_buf_clear(&b);
    }
    return st;
}

static void score(small_outcome *o)
{
    double n = 0, before = 0, after = 0;
    for (size_t i = 0; i < o->n; i++) {
        if (o->learned[i] || o->test[i] || o->initial[i] == SILR_NO_LABEL)
            continue;
        n++;
        before += o->initial[i] == o->truth[i];
        after += o->label[i] == o->truth[i];
    }
    o->before = before / n;
    o->after = after / n;
}

static silr_status gather(small_outcome *o, silr_session *s, const char *classifier,
                          silr_error *err)
{
    const size_t n = silr_corpus_size(s->corpus), K = s->task->n_classes;
    bool present = false;
    silr_status st;

    *o = (small_outcome){.n = n, .K = (int)K};
    o->label = calloc(n, sizeof *o->label);
    o->initial = calloc(n, sizeof *o->initial);
    o->truth = calloc(n, sizeof *o->truth);
    o->prob = calloc(n * K, sizeof *o->prob);
    o->learned = calloc(n, sizeof *o->learned);
    o->test = calloc(n, sizeof *o->test);
    for (size_t i = 0; i < n; i++) {
        o->initial[i] = s->initial[i];
        o->truth[i] = silr_corpus_truth(s->corpus, i);
        o->test[i] = silr_corpus_split(s->corpus, i) == SILR_TEST;
    }
    for (size_t i = 0; i < s->sample.n; i++)
        o->learned[s->sample.doc[i]] = true;
    if ((st = silr_store_final_get(s->store, n, (int)K, o->label, o->prob, &present, err)) != SILR_OK ||
        (st = silr_store_iterations(s->store, &o->iterations, err)) != SILR_OK ||
        (st = silr_store_iteration_get(s->store, (int)o->iterations - 1, &o->last, 0, NULL, NULL,
                                       err)) != SILR_OK)
        return st;
    score(o);
    return present ? read_classifier(o, classifier, err) : silr_fail(err, SILR_EBUG, "no labels");
}

silr_status small_run(const char *corpus, const char *run, bool force, small_outcome *out,
                      silr_error *err)
{
    char file[128], yaml[128], dir[128], classifier[160];
    silr_task *task = NULL;
    silr_session s = {0};
    silr_refine_opts opts = {.force = force};
    silr_status st;

    snprintf(file, sizeof file, "%.60s.yaml", corpus);
    small_folder(file, yaml);
    small_folder(run, dir);
    snprintf(classifier, sizeof classifier, "%s/classifier", dir);
    if ((st = silr_task_read(&task, yaml, NULL, 0, err)) == SILR_OK &&
        (st = silr_session_open(&s, task, dir, err)) == SILR_OK &&
        (st = silr_session_annotate(&s, err)) == SILR_OK &&
        (st = silr_session_sample(&s, err)) == SILR_OK)
        st = silr_refine(task, s.corpus, s.store, classifier, &opts, err);
    if (st == SILR_OK && out && (st = gather(out, &s, classifier, err)) != SILR_OK)
        small_clear(out);
    silr_session_close(&s);
    silr_task_free(task);
    return st;
}

void small_clear(small_outcome *o)
{
    free(o->label);
    free(o->initial);
    free(o->truth);
    free(o->prob);
    free(o->learned);
    free(o->test);
    silr_buf_clear(&o->classifier);
    *o = (small_outcome){0};
}

silr_status small_fact(const char *corpus, const char *run, const char *fact, silr_buf *out)
{
    char file[128], yaml[128], dir[128];
    silr_task *task = NULL;
    silr_session s = {0};
    silr_status st;

    snprintf(file, sizeof file, "%.60s.yaml", corpus);
    if ((st = silr_task_read(&task, small_folder(file, yaml), NULL, 0, NULL)) == SILR_OK &&
        (st = silr_session_open(&s, task, small_folder(run, dir), NULL)) == SILR_OK)
        st = silr_store_get(s.store, fact, out, NULL);
    silr_session_close(&s);
    silr_task_free(task);
    return st;
}

silr_status small_iteration(const char *corpus, const char *run, int iteration, int *label)
{
    char file[128], yaml[128], dir[128];
    silr_task *task = NULL;
    silr_session s = {0};
    silr_iteration it;
    silr_status st;

    snprintf(file, sizeof file, "%.60s.yaml", corpus);
    if ((st = silr_task_read(&task, small_folder(file, yaml), NULL, 0, NULL)) == SILR_OK &&
        (st = silr_session_open(&s, task, small_folder(run, dir), NULL)) == SILR_OK)
        st = silr_store_iteration_get(s.store, iteration, &it, silr_corpus_size(s.corpus), label,
                                      NULL, NULL);
    silr_session_close(&s);
    silr_task_free(task);
    return st;
}

silr_status small_reject(const char *corpus, const char *run, int *label)
{
    char file[128], yaml[128], dir[128];
    silr_task *task = NULL;
    silr_session s = {0};
    silr_iteration it;
    size_t stored = 0, n = 0;
    float *score = NULL;
    int *newest = NULL;
    silr_status st;

    snprintf(file, sizeof file, "%.60s.yaml", corpus);
    if ((st = silr_task_read(&task, small_folder(file, yaml), NULL, 0, NULL)) != SILR_OK ||
        (st = silr_session_open(&s, task, small_folder(run, dir), NULL)) != SILR_OK ||
        (st = silr_store_iterations(s.store, &stored, NULL)) != SILR_OK)
        goto done;
    n = silr_corpus_size(s.corpus);
    score = calloc(n, sizeof *score);
    newest = calloc(n, sizeof *newest);
    if ((st = silr_store_iteration_get(s.store, (int)stored - 2, &it, n, label, score, NULL)) != SILR_OK ||
        (st = silr_store_iteration_get(s.store, (int)stored - 1, &it, n, newest, score, NULL)) != SILR_OK)
        goto done;
    it.accepted = false;
    if ((st = silr_store_begin(s.store, NULL)) == SILR_OK &&
        (st = silr_store_iteration(s.store, &it, n, newest, score, NULL)) == SILR_OK)
        st = silr_store_commit(s.store, NULL);
done:
    free(score);
    free(newest);
    silr_session_close(&s);
    silr_task_free(task);
    return st;
}

void small_copy(const char *run, const char *to)
{
    static const char *const files[] = {"run.db", "run.db-wal", "classifier/model.json",
                                        "classifier/model.silr", "classifier/frozen.silr"};
    char from[128], into[128], path[200];

    small_folder(run, from);
    small_folder(to, into);
    if (mkdir(into, 0700) != 0)
        die("no folder for the copy");
    snprintf(path, sizeof path, "%s/classifier", into);
    if (mkdir(path, 0700) != 0)
        die("no folder for the copy");
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        FILE *in, *out;
        char bytes[4096];
        size_t n;
        snprintf(path, sizeof path, "%s/%s", from, files[f]);
        if (!(in = fopen(path, "rb")))
            continue;
        snprintf(path, sizeof path, "%s/%s", into, files[f]);
        if (!(out = fopen(path, "wb")))
            die("cannot copy");
        while ((n = fread(bytes, 1, sizeof bytes, in)) > 0)
            fwrite(bytes, 1, n, out);
        fclose(in);
        fclose(out);
    }
}

bool small_proper(const small_outcome *o)
{
    for (size_t i = 0; i < o->n; i++) {
        double sum = 0;
        if (o->label[i] < 0 || o->label[i] >= o->K || (o->learned[i] && o->label[i] != o->truth[i]))
            return false;
        for (int k = 0; k < o->K; k++) {
            double p = (double)o->prob[i * (size_t)o->K + (size_t)k];
            if (!(p >= 0 && p <= 1))
                return false;
            sum += p;
        }
        if (fabs(sum - 1) > 1e-3)
            return false;
    }
    return true;
}

bool small_same(const small_outcome *a, const small_outcome *b)
{
    return a->n == b->n && a->iterations == b->iterations &&
           memcmp(a->label, b->label, a->n * sizeof *a->label) == 0 &&
           memcmp(a->prob, b->prob, a->n * (size_t)a->K * sizeof *a->prob) == 0 &&
           a->classifier.len > 0 && a->classifier.len == b->classifier.len &&
           memcmp(a->classifier.data, b->classifier.data, a->classifier.len) == 0;
}
