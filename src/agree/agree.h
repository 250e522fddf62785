/* agree.h - several annotators on the same texts: how far they agree, and what they say together.
 *
 * Pure functions of labels. No model and no file is known here, and no truth but the few classes
 * that a caller hands in as `known`. One thread, sums in a fixed order: always the same bits.
 *
 *     const int *const label[3] = {gpt, llama, rules};  // [n] each; SILR_NO_LABEL: abstained
 *     const silr_votes votes = {.n = n, .M = 3, .K = 2, .label = label};
 *     silr_dawid_skene ds;
 *     if (silr_dawid_skene_fit(&ds, &votes, NULL, &err) != SILR_OK)
 *         return complain(&err);
 *     // ds.label[i], silr_dawid_skene_posterior(&ds, i)[k], ds.accuracy[m], ds.doubts
 *     silr_dawid_skene_clear(&ds);
 *
 * Every function refuses with SILR_EINPUT fewer than 1 or more than 256 annotators, fewer than 2 or
 * more than 64 classes, 2^32 - 1 texts or more, and a label that is no class; err names annotator
 * and text, numbered from 1.
 *
 * Sources: method.md C6; Dawid & Skene, "Maximum likelihood estimation of observer error-rates
 * using the EM algorithm", Applied Statistics 28, 1979; Cohen, "A coefficient of agreement for
 * nominal scales", Educational and Psychological Measurement 20, 1960; Krippendorff, "Computing
 * Krippendorff's alpha-reliability", 2011. */
#ifndef SILR_AGREE_H
#define SILR_AGREE_H

#include "base/base.h"

enum { SILR_AGREE_CLASSES = 64, SILR_AGREE_ANNOTATORS = 256 };

/* Who said what; borrowed. */
typedef struct {
    size_t n; /* texts */
    int M, K; /* annotators, classes */
    const int *const *label; /* [M][n]: 0..K-1, or SILR_NO_LABEL where the annotator abstained */
} silr_votes;

/* --- agreement: agreement.c ------------------------------------------------------------------- */

/* Two annotators, a < b, over the texts that both labelled. */
typedef struct {
    int a, b;
    size_t both, same;
    double agreement, low, high; /* same / both, 95 % by Jeffreys; both = 0: NAN, 0, 1 */
    double kappa; /* Cohen's; NAN where chance alone would always agree: one class, or no text */
} silr_agreement_pair;

typedef struct {
    int M, K;
    size_t n;
    size_t *spoke;             /* [M] texts that m labelled */
    double *coverage;          /* [M] of n; n = 0: 0 */
    size_t pairs;              /* M (M - 1) / 2 */
    silr_agreement_pair *pair; /* (0,1), (0,2), .. (M-2,M-1) */
    size_t labelled, compared; /* texts with at least one vote; with at least two */
    size_t unanimous, tied;    /* of the compared: all votes equal; no single class on top */
    double alpha; /* Krippendorff's, nominal, of the compared; NAN: one class only, or no text */
} silr_agreement;

/* SILR_ENOMEM: nothing to clear. Takes time in (different vote patterns) x (pairs). */
silr_status silr_agreement_make(silr_agreement *out, const silr_votes *v, silr_error *err);
void silr_agreement_clear(silr_agreement *a); /* all zero is fine */

/* --- Dawid-Skene: dawid_skene.c, doubts.c ----------------------------------------------------- */

/* Reasons to trust a fit less, bits of .doubts. */
typedef enum {
    SILR_DOUBT_UNIDENTIFIED = 1, /* too few texts with three voices (a known truth counts as two):
                                    the votes cannot tell who is better, nothing was fitted, and
                                    the posterior is the share of the votes */
    SILR_DOUBT_UNANIMOUS = 2,    /* nobody ever contradicted anybody: nothing to learn from */
    SILR_DOUBT_SILENT = 4,       /* an annotator labelled nothing: its rows are 1/K */
    SILR_DOUBT_INVERTED = 8,     /* a vote for some class speaks more for another: .inverted */
    SILR_DOUBT_LOST = 16,        /* a class that got votes holds less than half a text */
    SILR_DOUBT_FEEBLE = 32,      /* alpha below 0.05, and too few known truths to make up for it */
    SILR_DOUBT_DEPENDENT = 64    /* two annotators err together: .excess. Three annotators or fewer
                                    leave nothing to see it by */
} silr_doubt;
/* One sentence about one bit, fit to be printed; never NULL. */
const char *silr_doubt_text(silr_doubt one);

typedef struct {
    const int *known;   /* [n] true class of hand-checked texts, SILR_NO_LABEL elsewhere; NULL: no
                           text is known. However they were chosen, if by votes or by chance */
    const double *known_weight; /* [n] texts that a known truth counts as in conf (in pi: one), read
                           where known; NULL: one. More lets the few stand against the many where
                           annotators err together. Then a sample drawn by votes needs its inclusion
                           weights here, too, or conf leans to what was drawn more often */
    double smoothing;   /* >= 0: votes added to every cell of every confusion matrix */
    double tolerance;   /* > 0: stop when no posterior moves by more */
    int max_iterations; /* >= 1 */
} silr_dawid_skene_opts;
#define SILR_DAWID_SKENE_OPTS                                                                      \
    ((silr_dawid_skene_opts){.smoothing = 1, .tolerance = 1e-6, .max_iterations = 1000})

typedef struct {
    size_t n;
    int M, K;
    int *label;       /* [n] most probable class, the known one where known; SILR_NO_LABEL: nobody
                         spoke, or the two most probable differ by less than 1e-9 */
    double *pi;       /* [K] P(true k) */
    double *conf;     /* [M][K][K]: conf[(m*K + k)*K + j] = P(m says j | true k, m speaks) */
    double *accuracy; /* [M] share of m's labels that are right, as the posterior has it: too much
                         where annotators err together; NAN: it labelled nothing */
    size_t three;     /* texts with three voices, as SILR_DOUBT_UNIDENTIFIED counts them */
    int iterations;   /* M and E steps done */
    bool converged;
    double log_likelihood; /* of votes and known truths, each text once, without the smoothing's
                              prior; NAN: not fitted */
    unsigned doubts;       /* silr_doubt bits */
    double alpha;          /* as in silr_agreement */
    bool *inverted;        /* [K] */
    double *excess;        /* [M][M] agreement beyond what pi and conf explain; symmetric, 0 on the
                              diagonal, where two share no text, and where nothing was fitted */
    /* inside: equal votes share a posterior */
    size_t patterns;
    double *posterior; /* [patterns][K] */
    uint32_t *pattern; /* [n] */
} silr_dawid_skene;

/* opts NULL: SILR_DAWID_SKENE_OPTS. SILR_EINPUT: also nobody labelled anything, or bad opts. On
 * failure *out is all zero. Time: one pass over the votes, then (different vote patterns) x M x K
 * an iteration, and x M^2 once.
 *
 * Better than the majority where annotators differ and mostly agree for the right reason; it can be
 * much worse with three annotators or with alpha near 0, unless some truths are known (doubts.c has
 * the numbers). */
silr_status silr_dawid_skene_fit(silr_dawid_skene *out, const silr_votes *v,
                                 const silr_dawid_skene_opts *opts, silr_error *err);
void silr_dawid_skene_clear(silr_dawid_skene *d); /* all zero is fine */
/* P(true k | all votes on text i), [K], borrowed. Where nobody spoke: pi. Known: 1 and 0. */
const double *silr_dawid_skene_posterior(const silr_dawid_skene *d, size_t i);

/* --- votes text by text: votes.c -------------------------------------------------------------- */

/* label[n]: the class with most votes. A tie is broken by the posterior of `breaker` among the
 * classes tied; with NULL, or where those are as probable as each other, it is SILR_NO_LABEL: a
 * coin would add errors that look like votes. share[n] (NULL: not wanted): votes for the top class
 * of those cast, 0 where nobody spoke. `breaker` must be a fit of the same texts. */
silr_status silr_majority(int *label, double *share, const silr_votes *v,
                          const silr_dawid_skene *breaker, silr_error *err);

/* out[n] in [0,1], how unsettled a text is, to choose what to check by hand: entropy / log K of the
 * votes cast (one voice or none: 0), or of the posterior of `of`, which knows that some annotators
 * are better (where nobody spoke: of pi; known: 0). */
silr_status silr_disagreement(double *out, const silr_votes *v, const silr_dawid_skene *of,
                              silr_error *err);

#endif
