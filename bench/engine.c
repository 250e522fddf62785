/* engine.c - the transformer engine at its three jobs, timed; bench/engine.sh sets peers beside it.
 *
 *     engine embed MODEL TEXTS [THREADS]              every line of TEXTS to a vector
 *     engine annotate MODEL PREFIX TEXTS [THREADS]    behind the shared PREFIX: which of " positive" and
 *                                                     " negative" comes next?
 *     engine prefill MODEL TEXTS [THREADS]            reads all lines as one text each, last logits only
 *     engine load MODEL                               until ready
 *
 * Prints one JSON object: texts, tokens, wall and CPU seconds, peak memory, and the first numbers of the
 * result for comparison. SILR_BENCH_KEEP=f32, nf4 or as-filed says how weights are kept. */
#include "engine/engine.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static silr_error err;

static void must(silr_status st)
{
    if (st != SILR_OK) {
        fprintf(stderr, "engine: %s\n", err.text);
        exit(1);
    }
}

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    silr_tokens ids;
    size_t n, *start;
} texts;

/* The lines of a file as texts of tokens. */
static texts read_lines(const silr_engine *e, const char *path, bool frame, size_t most)
{
    FILE *f = fopen(path, "r");
    texts t = {0};
    size_t cap = 0, room = 0;
    char *line = NULL;
    ssize_t len;

    if (!f) {
        perror(path);
        exit(1);
    }
    while ((len = getline(&line, &cap, f)) > 0) {
        const silr_encode_opts opts = {.frame = frame, .max_tokens = most};
        if (line[len - 1] == '\n')
            len--;
        if (!silr_grow(&t.start, &room, t.n + 2, sizeof *t.start))
            exit(1);
        t.start[t.n] = t.ids.n;
        must(silr_tokenizer_encode(silr_engine_tokenizer(e), line, (size_t)len, &opts, &t.ids, &err));
        t.start[++t.n] = t.ids.n;
    }
    fclose(f);
    free(line);
    return t;
}

static silr_tokens read_all(const silr_engine *e, const char *path)
{
    silr_buf b = {0};
    silr_tokens t = {0};

    must(silr_file_read(&b, path, 1 << 20, &err));
    must(silr_tokenizer_encode(silr_engine_tokenizer(e), b.data, b.len, NULL, &t, &err));
    silr_buf_clear(&b);
    return t;
}

static void report(const char *what, size_t n, size_t tokens, double w, double c, const float *v, size_t shown)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    printf("{\"what\":\"%s\",\"texts\":%zu,\"tokens\":%zu,\"wall\":%.4f,\"cpu\":%.4f,\"peak_mib\":%ld,"
           "\"threads\":%d,\"first\":[", what, n, tokens, w, c, u.ru_maxrss / 1024, omp_get_max_threads());
    for (size_t i = 0; i < shown; i++)
        printf("%s%.6f", i ? "," : "", (double)v[i]);
    printf("]}\n");
}

int main(int argc, char **argv)
{
    const char *kept = getenv("SILR_BENCH_KEEP");
    silr_engine_opts opts = {0};
    silr_engine *e;
    double w, c;

    if (argc < 3)
        return 2;
    if (kept)
        opts.keep = strcmp(kept, "f32") == 0   ? SILR_WEIGHTS_F32
                    : strcmp(kept, "nf4") == 0 ? SILR_WEIGHTS_NF4 : SILR_WEIGHTS_AS_FILED;
    const bool annotate = strcmp(argv[1], "annotate") == 0;
    const int files = annotate ? 2 : 1;
    if (argc > 3 + files)
        omp_set_num_threads(atoi(argv[3 + files]));
    w = wall();
    c = cpu();
    must(silr_engine_open(&e, argv[2], &opts, &err));
    if (strcmp(argv[1], "load") == 0 || argc < 3 + files) {
        report("load", 0, 0, wall() - w, cpu() - c, NULL, 0);
        silr_engine_free(e);
        return 0;
    }
    const bool embed = strcmp(argv[1], "embed") == 0;
    texts t = read_lines(e, argv[2 + files], embed, embed ? silr_engine_max_tokens(e) : 0);
    const size_t dim = embed ? silr_engine_dim(e) : 2;
    float *out = silr_alloc(t.n * dim, sizeof *out);
    silr_prefix *prefix = NULL;
    uint32_t token[2] = {0, 1};
    silr_tokens word = {0};
    if (!embed) {
        must(silr_tokenizer_encode(silr_engine_tokenizer(e), " positive", 9, NULL, &word, &err));
        must(silr_tokenizer_encode(silr_engine_tokenizer(e), " negative", 9, NULL, &word, &err));
        token[0] = word.id[0];
        token[1] = word.id[word.n / 2];
    }
    w = wall();
    c = cpu();
    if (annotate) {
        silr_tokens p = read_all(e, argv[3]);
        must(silr_prefix_new(&prefix, e, p.id, p.n, &err));
        silr_tokens_clear(&p);
    }
    if (embed)
        must(silr_engine_embed(e, t.ids.id, t.start, t.n, out, &err));
    else
        must(silr_engine_next(e, prefix, t.ids.id, t.start, t.n, token, 2, true, out, &err));
    report(argv[1], t.n, t.ids.n, wall() - w, cpu() - c, out, t.n * dim < 6 ? t.n * dim : 6);
    silr_prefix_free(prefix);
    silr_tokens_clear(&t.ids);
    silr_tokens_clear(&word);
    silr_free(t.start);
    silr_free(out);
    silr_engine_free(e);
    return 0;
}
