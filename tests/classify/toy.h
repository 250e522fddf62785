/* toy.h - a small corpus whose classes have words of their own, for the tests of this folder. */
#ifndef SILR_TESTS_TOY_H
#define SILR_TESTS_TOY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "classify/ngram.h"
#include "classify/trainer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a toy corpus: class 0 likes the words a..m of the alphabet, class 1 n..z ---------------- */

enum { TEXTS = 400, WORDS = 60, TEXT_BYTES = 200 };
typedef struct {
    char text[TEXTS][TEXT_BYTES];
    int truth[TEXTS];
    uint32_t docs[TEXTS];
} toy;

static const char *toy_text(const void *ctx, size_t i, size_t *len)
{
    const toy *t = ctx;

    *len = strlen(t->text[i]);
    return t->text[i];
}

static toy *toy_make(int K, double purity)
{
    toy *t = calloc(1, sizeof *t);
    silr_rng r;

    assert_non_null(t);
    silr_rng_init(&r, 5, SILR_RNG_TEST, (uint32_t)K, 0);
    for (int i = 0; i < TEXTS; i++) {
        size_t at = 0;
        t->docs[i] = (uint32_t)i;
        t->truth[i] = (int)silr_rng_below(&r, (uint64_t)K);
        for (int w = 0; w < 8; w++) {
            const int own = silr_rng_double(&r) < purity;
            const int topic = own ? t->truth[i] : (int)silr_rng_below(&r, (uint64_t)K);
            const int word = topic * (WORDS / K) + (int)silr_rng_below(&r, (uint64_t)(WORDS / K));
            at += (size_t)snprintf(t->text[i] + at, TEXT_BYTES - at, "word%d ", word);
        }
    }
    return t;
}

static const silr_ngram_opts words_only = {.word_min = 1, .word_max = 2, .bits = 18,
                                           .lowercase = true, .min_count = 2};
static const char *const names[] = {"good", "bad", "so-so", "none"};

static inline silr_classifier *toy_bank(const toy *t, const silr_ngram_opts *o, int K)
{
    silr_classifier *c;
    silr_error err;

    if (silr_ngram_new(&c, o, K, names, toy_text, t, TEXTS, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return c;
}

static const silr_adam adam = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .l2 = 1e-4};

static silr_risk make_risk(silr_risk_kind kind, int K, double right)
{
    silr_risk r;
    double theta[16], pi[4];

    for (int j = 0; j < K; j++) {
        pi[j] = 1.0 / K;
        for (int k = 0; k < K; k++)
            theta[j * K + k] = j == k ? right : (1 - right) / (K - 1);
    }
    assert_int_equal(silr_risk_init(&r, kind, SILR_LOSS_SIGMOID, K, theta, pi, -0.001, NULL),
                     SILR_OK);
    return r;
}

static silr_train_opts full_batch(int steps)
{
    return (silr_train_opts){.adam = adam, .schedule = SILR_LR_LINEAR, .learning_rate = 0.02,
                             .steps = steps, .gate = SILR_GATE_AVERAGE, .gate_decay = 0.9,
                             .seed = 1, .iteration = 1};
}

static void train_or_fail(silr_classifier *c, const silr_train_opts *o, size_t n,
                          const silr_member *m, const toy *t, silr_train_log *logs)
{
    silr_error err;

    if (silr_train(c, o, n, m, t->docs, TEXTS - 100, t->docs + TEXTS - 100, 100, logs, &err) !=
        SILR_OK)
        fail_msg("%s", err.text);
}

#endif
