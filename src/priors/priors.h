/* priors.h - how pure the pseudo-sets are: theta, pi, and how sure we are of them.
 *
 * Sets are numbered by pseudo-label j, classes by k. Theta[j*K+k] = P(true k | pseudo j), rows
 * sum to 1; rho[j] is the share of set j; pi = Theta^T rho. For K = 2 class 0 is positive:
 * theta_p = Theta[0], theta_n = Theta[2], D = theta_p - theta_n.
 *
 * Source: method.md A4, B4 (stratified estimates, Beta intervals), B5 (no labels), B6 (K classes),
 * B9 (certificate), D1 (refusal). */
#ifndef SILR_PRIORS_H
#define SILR_PRIORS_H

#include "corpus/corpus.h"

/* The labelled sample: documents whose truth a person has given. */
typedef struct {
    size_t n;
    uint32_t *doc;   /* ascending; of a file also texts on which the annotator abstained */
    int *truth;      /* class */
    double *weight;  /* (stratum size / N) / (labels in the stratum), scaled to sum n */
} silr_sample;
void silr_sample_clear(silr_sample *s);

/* Draws or reads the labelled sample of the task, from the pool (train and validation) only.
 * count: n/K per class of initial[] (documents with a label there), what a class lacks goes to the
 * others; only documents that have a truth. file: rows {id,label}; ids not in the corpus are an
 * error, rows of the test part are passed over, the last row for an id holds; weights by stratum
 * of initial[]. given, oracle, none: an empty sample (n = 0). SILR_EINPUT: fewer than one labelled
 * text a class that initial[] uses, or fewer than K in all; the annotator labelled nothing.
 * SILR_EDOMAIN: it used one class only (both for every kind).
 * stratum[i], for each document, NULL: none: 0 or 1, by which the texts of a file were chosen too
 * (several annotators disagreed); they are then weighed by label and stratum. */
silr_status silr_sample_draw(silr_sample *out, const silr_task *task, const silr_corpus *c,
                             const int *initial, const uint8_t *stratum, silr_error *err);

/* The sets that the sample is drawn from and the verdict is on: the annotator's labels, or, *cut, where
 * nearly all of these are one class and come with log-probabilities logp [n][2], the log-odds cut at
 * their median. sets [n], filled in any case. SILR_ENOMEM only. */
silr_status silr_sets_by_odds(int *sets, bool *cut, const silr_task *task, size_t n,
                              const int *initial, const float *logp, silr_error *err);

/* Few-shot examples, drawn before the annotator has said anything. doc, truth [n]: the texts that were
 * looked at; example [n_examples]: indices of those that became examples, classes in turn, so that
 * the first m are balanced too. */
typedef struct {
    size_t n, n_examples;
    uint32_t *doc;
    int *truth;
    size_t *example;
} silr_examples;
/* How many the task's chat annotators want from the labelled sample, at most. */
size_t silr_examples_wanted(const silr_task *task);
/* SILR_EINPUT: there is no labelled sample, or too small a one. The same set on every call. */
silr_status silr_examples_draw(silr_examples *out, const silr_task *task, const silr_corpus *c,
                               silr_error *err);
void silr_examples_clear(silr_examples *e);

/* What the sample says about a labelling of the pool. */
enum { SILR_MAX_CLASSES = 64 };
typedef struct {
    int K;
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES];
    double rho[SILR_MAX_CLASSES], pi[SILR_MAX_CLASSES];
    double n_eff[SILR_MAX_CLASSES], hits[SILR_MAX_CLASSES]; /* effective labels of a set; of
                             them class 0 (K = 2) or right (K > 2) */
    double theta_low[SILR_MAX_CLASSES], theta_high[SILR_MAX_CLASSES]; /* 95 %, of Theta[j][j] */
    double pi_low[SILR_MAX_CLASSES], pi_high[SILR_MAX_CLASSES];
    double p_d_positive;  /* P(D > 0) under the posterior. K > 2: D is informedness, (K mean_k
                             P(pseudo k | true k) - 1) / (K - 1): 0 for noise, 1 for truth */
    double p_d_margin;    /* P(D > 0.05) */
    bool known;           /* given or oracle: no uncertainty */
} silr_priors;

/* K = 2, method.md B4: weighted, Laplace. K > 2, B6: shrunk. counts[j]: pool documents in set j.
 * pseudo[i] is the set of sample item i (SILR_NO_LABEL: left out), weight NULL: all 1. */
void silr_priors_estimate(silr_priors *out, int K, const double *counts, size_t n,
                          const int *pseudo, const int *truth, const double *weight);
/* The same for the sets that the sample was drawn from (the annotator's own labels): texts of a set
 * with equal weights were drawn alike, and a set of several weights is estimated as the sum of its
 * parts, which is surer than Kish's n_eff (cells.c). One weight a set: silr_priors_estimate. */
void silr_priors_drawn(silr_priors *out, int K, const double *counts, size_t n, const int *pseudo,
                       const int *truth, const double *weight);
/* B6's prior rows alone, before any row's own counts: what a purity is shrunk towards. [K][K] */
void silr_priors_prior_rows(double *prior, int K, size_t n, const int *pseudo, const int *truth,
                            const double *weight);
/* Known theta and pi (labelled: {theta, pi}). SILR_EINPUT: not probabilities, wrong number. */
silr_status silr_priors_given(silr_priors *out, const silr_task *task, const double *counts,
                              silr_error *err);
/* From all true labels of the pool: labelled: oracle only. */
void silr_priors_oracle(silr_priors *out, const silr_task *task, const silr_corpus *c,
                        const int *pseudo);
/* Posterior draws for p_d_positive, p_d_margin and the intervals: 10^4, seeded. Not needed after
 * _given and _oracle. */
void silr_priors_posterior(silr_priors *p, uint64_t seed);
/* The same at once, by normal curves: near it, and a thousand times as quick with many classes. */
void silr_priors_curves(silr_priors *p);
#define SILR_SURE 0.95 /* P(D > 0.05) from which on refining is worth it (method.md B4) */
/* The chance that P(D > 0.05) reaches SILR_SURE on the way from what is known now to what is
 * expected to be known then, with more labels: by normal curves, for what is planned. */
double silr_priors_reaches(const silr_priors *now, const silr_priors *then);
/* How right the labels are that the sets were made by, with a 95 % interval by the same curve. */
typedef struct {
    double value, low, high;
} silr_interval;
silr_interval silr_priors_accuracy(const silr_priors *p);

/* --- which text to label next (method.md B4, B9) ----------------------------------------------
 *
 * A cell holds texts that are alike before anyone has read them: of one of the annotator's labels
 * and, where several annotators spoke, of those on which they agreed or of those on which they did
 * not. */
typedef struct {
    int set;                       /* the annotator's label */
    size_t left;                   /* texts of it that can still be asked for */
    double size;                   /* texts of the pool in it */
    double n, seen[SILR_MAX_CLASSES]; /* labelled; of them, by class. Fractions in a look ahead */
} silr_cell;
enum { SILR_MAX_CELLS = 2 * SILR_MAX_CLASSES };

/* theta, rho, pi of the sets that n <= SILR_MAX_CELLS cells make up; of one cell a set the same as
 * silr_priors_estimate. No posterior draws yet. */
void silr_priors_cells(silr_priors *out, int K, const silr_cell *cell, size_t n);
/* The cell (of `set` alone, unless negative) in which one more label is expected to tell most;
 * SIZE_MAX: no text is left. */
size_t silr_cells_next(int K, const silr_cell *cell, size_t n, int set);
/* Adds to cell `at` the label that is to be expected of its next text. */
void silr_cells_expect(int K, silr_cell *cell, size_t n, size_t at);

/* B5: theta from out-of-fold scores alone, by mixture proportion estimation (two classes).
 * z[i] > 0 leans to class 0; set[i] 0 or 1. */
silr_status silr_mpe(double *theta_p, double *theta_n, const double *z, const int *set, size_t n,
                     silr_error *err);
/* B1.3: kappas from thetas and back. */
void silr_kappa_from_theta(double theta_p, double theta_n, double *kappa_1, double *kappa_2);
void silr_theta_from_kappa(double kappa_1, double kappa_2, double *theta_p, double *theta_n);
/* C6: Theta from out-of-fold class probabilities p[n*K] (confident learning). */
silr_status silr_confident_theta(double *theta, int K, const double *p, const int *set, size_t n,
                                 silr_error *err);

/* Whether refining is worth it (D1; B12's refusal). */
typedef enum {
    SILR_VERDICT_GO,
    SILR_VERDICT_WARN,
    SILR_VERDICT_REFUSE,
    SILR_VERDICT_SWAP
} silr_verdict;
silr_verdict silr_priors_verdict(const silr_priors *p, silr_recipe recipe, silr_buf *advice);

/* B9: accuracy of labels `pred` with a 95 % interval, from sample answers scored honestly (by
 * models that had not seen them). stratum[i]: of item i, share[h]: a stratum's share of the pool.
 * weight[i]: the sample's, NULL: all 1; those of a stratum with equal weights were drawn alike. */
void silr_certificate(silr_interval *out, size_t n, const int *stratum, const int *right,
                      const double *weight, size_t n_strata, const double *share, uint64_t seed);
/* A proportion with its 95 % interval: Jeffreys' Beta posterior; Clopper-Pearson when exact. */
silr_interval silr_proportion(double right, double n, bool exact);

/* Accuracy and the like of a labelling against the truth: for report/ alone.
 * Implemented here so that truth has one door beside the sample. */
typedef struct {
    size_t n;               /* documents with truth and prediction */
    double accuracy, balanced_accuracy, precision, recall, f1; /* K > 2: macro; x / 0: 0 */
    double positive_rate;   /* K = 2: share predicted class 0 */
    size_t confusion[SILR_MAX_CLASSES * SILR_MAX_CLASSES]; /* [true][pred] */
} silr_scores;
/* docs: which documents; pred[i] label of document i (SILR_NO_LABEL: counts as wrong when
 * `abstain_wrong`, else left out). */
void silr_scores_make(silr_scores *out, const silr_corpus *c, int K, const uint32_t *docs, size_t n,
                      const int *pred, bool abstain_wrong);

#endif
