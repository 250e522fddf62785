/* loop.h - what the recipes share: the texts in play, the sample, the verdict, the way out.
 * Only refine/ includes this. */
#ifndef SILR_REFINE_LOOP_H
#define SILR_REFINE_LOOP_H

#include "classify/trainer.h"
#include "refine/refine.h"

typedef struct {
    const silr_task *task;
    const silr_corpus *corpus;
    silr_store *store;
    silr_classifier *classifier;
    const char *classifier_dir;
    int K;
    size_t C;      /* columns of scores: 1 for two classes, else K */
    size_t n;      /* documents */
    int *initial;  /* [n] the annotator's labels (swapped where the verdict says so) */
    int *human;    /* [n] the label of a text in the labelled sample, else SILR_NO_LABEL */
    silr_sample sample;
    size_t n_rows, n_pool; /* texts in play: pool (train, validation) first, then test; no empty ones */
    uint32_t *row;         /* [n_rows] -> document */
    uint32_t *row_of;      /* [n] -> row, UINT32_MAX: not in play */
    int *sets;             /* [n] what the sample was drawn from and the verdict is on: the labels, or
                              sets by log-odds (silr_sets_by_odds) */
    bool cut;              /* the latter */
    double *odds;          /* [n_rows] the annotator's log-odds of class 0, NAN where it has no label;
                              NULL: its labels are all that is used (evidence.c) */
    silr_priors start;     /* of the original labels, from the sample (or known) */
    bool known;            /* theta is given, oracle or label-free: no sample to learn from */
    int iterations;
} silr_loop;

/* What one iteration hands over: arrays over rows. */
typedef struct {
    int *label;  /* [n_rows] refined label; test rows: the classifier's own */
    float *prob; /* [n_rows][C] */
} silr_outcome;

/* Documents of the pool on which the annotator has spoken count, by label. */
void silr_loop_counts(const silr_loop *l, const int *label_of_row, double *counts);

/* Stores the record of an iteration with labels for every document (rows spread out, documents not
 * in play keep the annotator's label). One transaction with the state that `save` writes. */
typedef silr_status (*silr_state_save)(void *ctx, silr_store *store, silr_error *err);
silr_status silr_loop_store(silr_loop *l, const silr_iteration *it, const silr_outcome *o,
                            silr_state_save save, void *ctx, silr_error *err);

/* Stores the final labels: a person's label where there is one; else as given. */
silr_status silr_loop_finish(silr_loop *l, const int *label, const float *prob, silr_error *err);

/* Fills sets; and odds where the annotator's log-odds are to be used, else leaves it NULL, saying why.
 * After initial and rows. */
silr_status silr_loop_evidence(silr_loop *l, silr_error *err);

/* Scores of rows from .. from + n - 1 by all members of the classifier: scores [n][members * C], as forward gives
 * them. Of kinds whose members take turns (classifier.h's focus) a row of fold f < F gets that of member f
 * alone, the one that is asked for: the rest of its scores is not computed. */
silr_status silr_loop_forward(const silr_loop *l, size_t from, size_t n, size_t F, const uint8_t *fold,
                              float *scores, silr_error *err);

/* Tells a training that takes long where to keep how far it is: below the run's folder. *path: silr_free it, NULL
 * where there is nothing to keep. */
silr_status silr_loop_checkpoint(const silr_loop *l, silr_train_opts *o, char **path, silr_error *err);

/* The share of rows whose label differs. */
int64_t silr_loop_flips(const silr_loop *l, const int *before, const int *after);

/* D1, two classes: D is kept at 0.02 or more, so that noise in theta never turns the sets round. */
void silr_keep_apart(double theta[4]);

/* The i-th of m indices that stand for 0..n-1: one at random in each m-th part, since rows that
 * come in a regular order would be sampled with a bias by every n/m-th. m >= n: i itself. */
size_t silr_thin(size_t i, size_t m, size_t n);

/* The label that probabilities speak for: K = 2: class 0 when p > 0.5. */
int silr_top_class(int K, const float *prob);

silr_status silr_refine_ours(silr_loop *l, silr_error *err);  /* recipe silr */
silr_status silr_refine_paper(silr_loop *l, silr_error *err); /* recipe paper */

#endif
