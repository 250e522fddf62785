/* fuzz_labels.c - a labelled file of any bytes is read, or refused with a sentence.
 *
 * The first byte chooses the format (odd: JSONL, even: CSV), the rest is the file. Whatever is
 * accepted must be what priors.h promises: known documents, ascending, none twice, classes in
 * range, positive weights that sum to their number. */
#include "priors/priors.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char texts[] = "{\"id\":\"a\",\"text\":\"one\",\"by\":\"good\"}\n"
                            "{\"id\":\"b\",\"text\":\"two\",\"by\":\"bad\"}\n"
                            "{\"id\":\"c d\",\"text\":\"three\",\"by\":\"good\"}\n"
                            "{\"id\":\"\\u00fc,\\\"\",\"text\":\"four\",\"by\":\"bad\"}\n"
                            "{\"id\":\"7\",\"text\":\"five\",\"by\":\"good\"}\n"
                            "{\"id\":\"f\",\"text\":\"six\"}\n";
enum { DOCUMENTS = 6 };
static const int initial[DOCUMENTS] = {0, 1, 0, 1, 0, SILR_NO_LABEL};

static char folder[4096];
static silr_task *tasks[2];
static silr_corpus *corpus;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_labels: %s\n", what);
    abort();
}

static void path_of(char *out, size_t size, const char *name)
{
    must((size_t)snprintf(out, size, "%s/%s", folder, name) < size, "path too long");
}

static void clean_up(void)
{
    static const char *const names[] = {"texts.jsonl", "gold.csv", "gold.jsonl"};
    char path[4200];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(path, sizeof path, names[i]);
        unlink(path);
    }
    rmdir(folder);
    silr_corpus_free(corpus);
    silr_task_free(tasks[0]);
    silr_task_free(tasks[1]);
}

/* A corpus of six texts and two tasks that differ in the format of the labelled file. */
static void set_up(void)
{
    static const char *const files[] = {"gold.csv", "gold.jsonl"};
    const char *temp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char path[4200], yaml[512];
    silr_error err = {0};

    snprintf(folder, sizeof folder, "%s/silr-fuzz-labels-XXXXXX", temp);
    must(mkdtemp(folder) != NULL, "no temporary folder");
    path_of(path, sizeof path, "texts.jsonl");
    must(silr_file_write(path, texts, sizeof texts - 1, &err) == SILR_OK, err.text);
    for (int i = 0; i < 2; i++) {
        int len = snprintf(yaml, sizeof yaml,
                           "classes: [good, bad]\n"
                           "corpus: {files: [texts.jsonl], text: text, id: id,\n"
                           "         split: {train: 1, validation: 0, test: 0}}\n"
                           "labelled: {file: %s}\n"
                           "annotator: {kind: column, column: by}\n",
                           files[i]);
        must(silr_task_parse(&tasks[i], yaml, (size_t)len, "task.yaml", folder, NULL, 0, &err) ==
                 SILR_OK,
             err.text);
    }
    must(silr_corpus_read(&corpus, tasks[0], NULL, NULL, &err) == SILR_OK, err.text);
    must(silr_corpus_size(corpus) == DOCUMENTS, "the corpus is not six texts");
    atexit(clean_up);
}

static void check(const silr_sample *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->n; i++) {
        must(s->doc[i] < DOCUMENTS, "a document that is not there");
        must(i == 0 || s->doc[i - 1] < s->doc[i], "documents not ascending");
        must(s->truth[i] == 0 || s->truth[i] == 1, "a class that is not there");
        must(s->weight[i] > 0, "a weight that is not positive");
        sum += s->weight[i];
    }
    must(sum > (double)s->n - 1e-6 && sum < (double)s->n + 1e-6, "weights do not sum to n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_sample sample = {0};
    silr_error err = {0};
    char path[4200];

    if (size == 0)
        return 0;
    if (corpus == NULL)
        set_up();
    int json = data[0] & 1;
    path_of(path, sizeof path, json ? "gold.jsonl" : "gold.csv");
    FILE *f = fopen(path, "wb");
    must(f != NULL && fwrite(data + 1, 1, size - 1, f) == size - 1 && fclose(f) == 0,
         "the input cannot be written");

    silr_status st = silr_sample_draw(&sample, tasks[json], corpus, initial, NULL, &err);
    if (st == SILR_OK)
        check(&sample);
    else
        must(err.text[0] != '\0', "refused without a sentence");
    silr_sample_clear(&sample);
    return 0;
}
