/* ours.h - recipe silr in pieces (method.md B12); shared by ours.c, cross.c, fuse.c, state.c. */
#ifndef SILR_REFINE_OURS_H
#define SILR_REFINE_OURS_H

#include "refine/calibrate.h"
#include "refine/loop.h"
#include "refine/recalibrate.h"
#include "refine/stack.h"

/* The recipe is run 1 + J times side by side: variant 0 learns from the whole labelled sample and
 * gives the result; variant j = 1..J never sees fold j of the sample and tells, on that fold, how
 * right the result is (label cross-fitting). Each variant trains one scorer a fold of the pool. */
typedef struct {
    bool *learns;      /* [sample.n] whether this variant may use the item's truth */
    const int *side;   /* [n_rows] the labels it starts from: the annotator's, or cut */
    int *cut;          /* [n_rows] sign of the recalibrated log-odds; NULL: they are not used */
    silr_line line;    /* where they are: P(y | log-odds), from its part of the sample */
    int *label;        /* [n_pool] labels it trains on next (s); SILR_NO_LABEL: not covered */
    float *zbar;       /* [n_rows][C] sum over iterations of standardised out-of-fold scores */
    silr_priors start; /* of `side`, from its part of the sample */
    double T[SILR_MAX_CLASSES * SILR_MAX_CLASSES]; /* P(side | y), from `start` */
    double prior[SILR_MAX_CLASSES * SILR_MAX_CLASSES]; /* K > 2: B6's prior rows */
    /* the fused outcome of the newest iteration */
    float *q;          /* [n_pool][C] P(y | x, annotator); NAN where not covered */
    int *out;          /* [n_pool] side unless the margin is passed; SILR_NO_LABEL: not covered */
    silr_calibration calibration;
    silr_stack *stack;
    double reliability, centre[SILR_MAX_CLASSES], spread; /* of zbar over the covered pool */
} silr_variant;

typedef struct {
    silr_loop *loop;
    int F, J;                /* folds of the pool, of the sample */
    size_t n_variants;       /* 1 + J, or 1 where there is no sample */
    silr_variant *variant;
    uint8_t *fold;           /* [n_rows]; test rows and strangers: F, "mean over all" */
    uint8_t *label_fold;     /* [sample.n] 0..J-1 */
    size_t n_train;
    uint32_t *train;         /* documents that are trained on: covered, or in the sample */
    size_t n_covered;
    uint32_t *covered;       /* rows with an original label */
    int *side;               /* [n_rows] original label: the strata of the sample */
    silr_interval recalibrated; /* accuracy of what is started from; NAN: the original labels */
    int done;                /* iterations that zbar holds */
} silr_ours;

/* folds.c */
silr_status silr_ours_folds(silr_ours *o, silr_error *err);

/* sides.c: what a variant starts from. The order is: sides, start; `cut` again after `line`. */
silr_status silr_ours_sides(const silr_ours *o, silr_variant *v, silr_error *err);
silr_status silr_ours_cut(const silr_ours *o, silr_variant *v, silr_error *err);
silr_status silr_ours_start(const silr_ours *o, silr_variant *v, silr_error *err);
/* Keeps the start of variant 0 and how right it is for the report, as JSON under "recalibrated";
 * nothing where the original labels are the start. Fills o->recalibrated. */
silr_status silr_ours_recalibrated(silr_ours *o, silr_error *err);

/* sets.c, where refine.evidence is sets: a variant whose line could be had learns from sets of texts, the
 * others from labels all the same. bin [n_rows]: set 0 .. m - 1 of each covered row. The risk: those, and
 * m and m + 1 for texts labelled 0 and 1, with weight omega. */
bool silr_ours_by_sets(const silr_ours *o, const silr_variant *v);
silr_status silr_ours_bins(const silr_ours *o, const silr_variant *v, int *bin, silr_error *err);
silr_status silr_ours_set_risk(const silr_ours *o, const silr_variant *v, const int *bin, double omega,
                               silr_risk *out, silr_error *err);

/* cross.c: one iteration's training and out-of-fold scores, added to zbar; and the blend. */
silr_status silr_ours_train(silr_ours *o, int iteration, double *train_loss, silr_error *err);

/* One model more, on `label` [n_rows] of all training texts, for kinds of classifiers that cannot blend: it is
 * what is deployed. The validation part stays unseen, for whoever calibrates. z [n_rows][C]: its scores. */
silr_status silr_ours_single(silr_ours *o, int *label, float *z, silr_error *err);

/* Where there is no sample: theta of labels given later than the original ones. Oracle: from the
 * truth, by name; else the mean over a set of the stack's own P(y | x, s0), because a theta kept
 * from the first labels is too noisy for better ones and forces flips (method.md B4). */
silr_status silr_ours_known(const silr_ours *o, const silr_variant *v, const int *label,
                            silr_priors *out, silr_error *err);

/* fuse.c: calibrate, stack, relabel: fills q, out, label of a variant from its zbar. */
silr_status silr_ours_fuse(silr_ours *o, silr_variant *v, silr_error *err);
/* q for all rows from the variant's stack (NAN where no original label). u from its calibration. */
silr_status silr_ours_apply(const silr_ours *o, const silr_variant *v, float *q /* [n_rows][C] */,
                            silr_error *err);
/* The output rule on one text: the label it started from unless P of that falls short by the
 * margin. */
int silr_ours_rule(const silr_ours *o, const silr_variant *v, const float *q, int s0);

/* state.c: zbar and labels of all variants as bytes in the store; and back. */
silr_status silr_ours_save(void *ours, silr_store *store, silr_error *err);
silr_status silr_ours_load(silr_ours *o, silr_error *err); /* done = 0: there was none */

#endif
