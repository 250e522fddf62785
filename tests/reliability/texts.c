/* texts.c - corpora made of a few words a class and many that all classes share. */
#include "texts.h"
#include <string.h>

enum { WORDS = 14, OWN = 25, SHARED = 150 };

/* An annotator's log-odds whose zero is not in its place: .66 of the signs are right, .79 could be. */
static double log_odds(size_t i, int truth, uint64_t seed)
{
    silr_rng rng;

    silr_rng_init(&rng, seed, SILR_RNG_TEST, 2, i);
    return (truth == 0 ? 0.81 : -0.81) + silr_rng_normal(&rng) - 1.2;
}

/* Everything about text i comes from a stream of its own, so that texts do not lean on each other. */
static void add_text(silr_buf *b, size_t i, int K, uint64_t seed, bool scramble)
{
    silr_rng rng, other;

    silr_rng_init(&rng, seed, SILR_RNG_TEST, 0, i);
    silr_rng_init(&other, seed, SILR_RNG_TEST, 1, i);
    int truth = (int)silr_rng_below(&rng, (uint64_t)K), by = truth;
    silr_buf_printf(b, "{\"id\":\"t%zu\",\"text\":\"", i);
    for (int w = 0; w < WORDS; w++) {
        bool own = silr_rng_below(&rng, 100) < 22;
        unsigned word = (unsigned)silr_rng_below(&rng, own ? OWN : SHARED);
        if (own)
            silr_buf_printf(b, "%cown%u ", 'a' + truth, word);
        else
            silr_buf_printf(b, "word%u ", word);
    }
    if (silr_rng_below(&rng, 100) < 20)
        by = (truth + 1 + (int)silr_rng_below(&rng, (uint64_t)K - 1)) % K;
    bool silent = silr_rng_below(&rng, 100) < 5;
    double odds = log_odds(i, truth, seed);
    if (scramble)
        truth = (int)silr_rng_below(&other, (uint64_t)K);
    silr_buf_printf(b, "\",\"label\":\"class%d\",\"by\":", truth);
    if (silent)
        silr_buf_puts(b, "null}\n");
    else
        silr_buf_printf(b, "\"class%d\",\"odds\":%.4f}\n", by, odds);
}

silr_status texts_write(const char *path, size_t n, int K, uint64_t seed, bool scramble,
                        const bool *keep, silr_error *err)
{
    silr_buf b = {0};
    silr_status st;

    for (size_t i = 0; i < n; i++)
        add_text(&b, i, K, seed, scramble && !(keep && keep[i]));
    st = b.failed ? silr_fail_memory(err) : silr_file_write(path, b.data, b.len, err);
    silr_buf_clear(&b);
    return st;
}

silr_status texts_task(const char *path, int K, const char *recipe, const char *extra,
                       silr_error *err)
{
    silr_buf b = {0};
    silr_status st;

    silr_buf_puts(&b, "name: made-up\nclasses: [");
    for (int k = 0; k < K; k++)
        silr_buf_printf(&b, "%sclass%d", k ? ", " : "", k);
    silr_buf_printf(&b,
                    "]\ncorpus: {files: [texts.jsonl], text: text, id: id, label: label}\n"
                    "labelled: {count: %d}\n"
                    "%srefine: {recipe: %s}\n%s",
                    12 * K, strstr(extra, "annotator:") ? "" : "annotator: {kind: column, column: by}\n",
                    recipe, extra);
    st = b.failed ? silr_fail_memory(err) : silr_file_write(path, b.data, b.len, err);
    silr_buf_clear(&b);
    return st;
}
