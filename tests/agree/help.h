/* help.h - what the test programs of agree/ share. */
#ifndef SILR_TESTS_AGREE_HELP_H
#define SILR_TESTS_AGREE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agree/agree.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = SILR_NO_LABEL, MOST_ANNOTATORS = SILR_AGREE_ANNOTATORS };

static inline void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.17g, wanted %.17g within %g", what, got, want, tolerance);
}

/* Votes with columns of their own. */
typedef struct {
    silr_votes v;
    int *column[MOST_ANNOTATORS];
    const int *view[MOST_ANNOTATORS];
} ballots;

static inline void open_ballots(ballots *b, size_t n, int M, int K)
{
    for (int m = 0; m < M; m++) {
        b->view[m] = b->column[m] = silr_alloc(n, sizeof *b->column[m]);
        for (size_t i = 0; i < n; i++)
            b->column[m][i] = NONE;
    }
    b->v = (silr_votes){.n = n, .M = M, .K = K, .label = b->view};
}

static inline void close_ballots(ballots *b)
{
    for (int m = 0; m < b->v.M; m++)
        silr_free(b->column[m]);
}

/* One character a text, a string an annotator: '0' is class 0, '.' an abstention. */
static inline void write_ballots(ballots *b, int M, int K, const char *const *says)
{
    open_ballots(b, strlen(says[0]), M, K);
    for (int m = 0; m < M; m++)
        for (size_t i = 0; i < b->v.n; i++)
            b->column[m][i] = says[m][i] == '.' ? NONE : says[m][i] - '0';
}

/* Annotators who know the truth alone: text i is of class truth[i] ~ pi, m says j with probability
 * conf[m][truth][j], and is silent with probability `silent`. */
static inline void draw_ballots(ballots *b, int *truth, const double *pi, const double *conf,
                                double silent, uint64_t seed)
{
    const int K = b->v.K;
    silr_rng g;

    silr_rng_init(&g, seed, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < b->v.n; i++) {
        double u = silr_rng_double(&g);
        truth[i] = 0;
        while (truth[i] < K - 1 && u >= pi[truth[i]])
            u -= pi[truth[i]++];
        for (int m = 0; m < b->v.M; m++) {
            const double *row = conf + (m * K + truth[i]) * K;
            int said = 0;
            u = silr_rng_double(&g);
            while (said < K - 1 && u >= row[said])
                u -= row[said++];
            b->column[m][i] = silr_rng_double(&g) < silent ? NONE : said;
        }
    }
}

static inline silr_dawid_skene fitted(const silr_votes *v, const silr_dawid_skene_opts *opts)
{
    silr_dawid_skene d;
    silr_error err = {0};

    if (silr_dawid_skene_fit(&d, v, opts, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return d;
}

/* Share right, an abstention counting 1/K. */
static inline double share_right(const int *label, const int *truth, size_t n, int K)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += label[i] == NONE ? 1.0 / K : label[i] == truth[i];
    return sum / (double)n;
}

#endif
