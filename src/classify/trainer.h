/* trainer.h - one training loop for all classifiers: batches, schedule, gate, choice of epoch. */
#ifndef SILR_TRAINER_H
#define SILR_TRAINER_H

#include "classify/classifier.h"

/* What one member learns from. Arrays are indexed by document. */
typedef struct {
    silr_risk risk;
    const int *set;         /* pseudo-set, or SILR_NO_LABEL: this member never sees the text */
    const float *weight;    /* NULL: all 1 */
    const int *validation;  /* pseudo-set of texts that choose the epoch; NULL: none */
} silr_member;

typedef enum { SILR_LR_LINEAR, SILR_LR_COSINE, SILR_LR_CONSTANT } silr_lr_schedule;

typedef struct {
    silr_adam adam;
    silr_lr_schedule schedule; /* to 0 */
    double learning_rate, warmup; /* warm-up: share of the steps, rounded down */
    int epochs;        /* passes; ignored when steps > 0 */
    int steps;         /* > 0: this many steps */
    size_t batch;      /* texts a step; 0: all of them */
    silr_gate_kind gate;
    double gate_decay;
    bool choose;       /* keep the epoch with the smallest selection risk on `validation`; else the last */
    bool by_risk;      /* choose by the value of the risk itself, as the paper does (method.md A1) */
    bool stratify;     /* the same share of each set in every batch (by member 0's sets) */
    uint64_t seed;
    uint32_t iteration; /* for the random streams */
    /* For kinds that take long (those with state_get): the file from which a stopped training goes on, to
     * the same bytes; NULL: none. Written every so many seconds, whole or not at all, and removed in the
     * end. One of another training (other texts, labels, settings) is not looked at. */
    const char *checkpoint;
    double every;
} silr_train_opts;

/* What happened, for one member and epoch; report draws it. With steps > 0 there is one "epoch". */
typedef struct {
    int epoch;
    double train_loss;       /* value of the risk, mean over the epoch's steps */
    double validation_loss;  /* NAN: no validation */
    double selection;        /* sum |R_k| on validation */
    double flatness;         /* mean sigmoid slope h (D3); K > 2: mean p_max (1 - p_max) */
} silr_epoch;
typedef struct {
    int n, best;      /* epochs recorded, and the one kept (1-based) */
    silr_epoch *epoch; /* [n], silr_free */
} silr_train_log;

/* Trains n members from fresh parameters on docs. Afterwards c->members == n and the kept
 * parameters are in place. logs may be NULL or [n] (yours to free; none on failure).
 * More members than c->max_members are trained in groups of that size, and only the last group's
 * parameters are in place afterwards: who needs all of them asks max_members and goes round.
 * With c->focus they are trained one after another, each on those of docs that are in one of its sets;
 * a loss that is not finite then puts the parameters back to the end of the epoch before, if there is
 * one, and ends the member's training there, saying so.
 * batch = 0 and more than 32,768 texts: each of the `steps` takes the next 16,384 of a shuffle,
 * drawn anew for each pass.
 * SILR_ECANCEL: silr_cancel() was called. SILR_EDOMAIN: a loss is not finite (err names the epoch). */
silr_status silr_train(silr_classifier *c, const silr_train_opts *o, size_t n,
                       const silr_member *members, const uint32_t *docs, size_t n_docs,
                       const uint32_t *validation, size_t n_validation, silr_train_log *logs,
                       silr_error *err);

/* The rate of step k (0-based) of `total`: for the golden schedule. */
double silr_learning_rate(silr_lr_schedule s, double base, double warmup_ratio, int64_t total,
                          int64_t k);

#endif
