/* store.h - the run database: run.db in the run's folder, one SQLite file.
 *
 * Everything that was paid for or computed is here before it counts. A run that is killed at any
 * instant goes on from it. One process at a time: opening takes a lock on the folder. */
#ifndef SILR_STORE_H
#define SILR_STORE_H

#include "agree/agree.h"
#include "annotate/annotator.h"
#include "ledger/ledger.h"
#include "priors/priors.h"

enum { SILR_SCHEMA_VERSION = 2 };

typedef struct silr_store silr_store;

/* Opens or creates dir/run.db for this task and corpus. task NULL: an existing run, read only.
 * SILR_EINPUT: not a run folder; of another task (says which settings differ; a folder without an
 * iteration takes settings that come after the annotation); of a newer silr; of another corpus. SILR_EIO: another process works on it; disk. corpus NULL: not checked. */
silr_status silr_store_open(silr_store **out, const char *dir, const silr_task *task,
                            const silr_corpus *corpus, silr_error *err);
void silr_store_close(silr_store *s);

silr_status silr_store_begin(silr_store *s, silr_error *err);  /* one transaction a batch */
silr_status silr_store_commit(silr_store *s, silr_error *err);
void silr_store_rollback(silr_store *s);

/* Small facts by name (stage marks, JSON texts) and blobs (training state). Missing: *out empty,
 * SILR_OK. */
silr_status silr_store_set(silr_store *s, const char *name, const void *bytes, size_t len,
                           silr_error *err);
silr_status silr_store_get(silr_store *s, const char *name, silr_buf *out, silr_error *err);
silr_status silr_store_unset(silr_store *s, const char *name, silr_error *err);

/* Documents: id, hash, split; written once. */
silr_status silr_store_documents(silr_store *s, const silr_corpus *c, silr_error *err);

/* --- annotations -----------------------------------------------------------------------------
 *
 * Each document has at most one annotation from each source. Source 0 is what is worked with;
 * several annotators and rounds of self-refinement have sources of their own, by which what each
 * said is kept beside it: SILR_SOURCE(member, round), member 0: the only annotator. */
enum { SILR_SOURCE_USED = 0, SILR_SOURCE_ROUNDS = 32, SILR_SOURCE_MEMBERS = 32 };
#define SILR_SOURCE(member, round) ((member) * SILR_SOURCE_ROUNDS + (round))

/* A later annotation takes the place of an earlier. `raw` is cut at 4000 bytes. */
silr_status silr_store_annotation(silr_store *s, int source, size_t doc, const silr_annotation *a,
                                  silr_error *err);
/* label[n], confidence[n] (either may be NULL): SILR_NO_LABEL and NAN where none.
 * done[n]: whether the document was asked at all, failed or not. */
silr_status silr_store_annotations(silr_store *s, int source, size_t n, int *label,
                                   float *confidence, bool *done, silr_error *err);
/* logp [n][K]: NAN where there are none. *with: how many documents have them. */
silr_status silr_store_evidence(silr_store *s, int source, size_t n, int K, float *logp,
                                size_t *with, silr_error *err);
/* What a source came to. */
typedef struct {
    int source;
    char name[120]; /* of the annotator; "" when none was given */
    size_t asked, labelled, abstained, failed;
    size_t basis[4]; /* labelled, by what their confidence is made of (silr_basis) */
} silr_source_count;
/* Fills at most `room` sources in ascending order, *n: how many there are. */
silr_status silr_store_sources(silr_store *s, silr_source_count *out, size_t room, size_t *n,
                               silr_error *err);
silr_status silr_store_source_name(silr_store *s, int source, const char *name, silr_error *err);
/* Calls `each` for the documents that abstained or failed (`failed` alone, when set) with why,
 * in corpus order. Strings live until it returns. */
typedef silr_status (*silr_store_reason)(void *ctx, int source, size_t doc, const char *id,
                                         const char *raw, const char *reason, silr_error *err);
silr_status silr_store_reasons(silr_store *s, bool failed, silr_store_reason each, void *ctx,
                               silr_error *err);
/* Takes failed annotations away, of all sources, so that they are asked for again; and the used
 * label of these documents where it was combined from them. *n: documents. */
silr_status silr_store_forget_failed(silr_store *s, size_t *n, silr_error *err);
/* Takes away all that was computed from the annotations: sample, iterations, outcome, training state. */
silr_status silr_store_forget_refinement(silr_store *s, silr_error *err);
/* Takes all annotations of a source away. */
silr_status silr_store_forget_source(silr_store *s, int source, silr_error *err);

/* What each of several annotators said (the members in use); M = 0: there is one alone. Yours. */
typedef struct {
    silr_votes votes;
    int **label; /* [M][n] */
} silr_store_voters;
silr_status silr_store_votes(silr_store_voters *out, silr_store *s, const silr_task *task, size_t n,
                             silr_error *err);
void silr_store_votes_clear(silr_store_voters *v);

/* What was asked of language models, and answered; borrowed. NULL for a read-only store is never
 * returned: reading works, writing fails. */
silr_ledger *silr_store_ledger(silr_store *s);

/* The labelled sample. */
silr_status silr_store_sample(silr_store *s, const silr_sample *sample, silr_error *err);
silr_status silr_store_sample_get(silr_store *s, silr_sample *sample, bool *present, silr_error *err);

/* One iteration's account of itself. Iteration 0: the annotator's labels. */
typedef struct {
    int iteration;
    silr_priors priors;
    double train_loss, validation_loss; /* NAN: none */
    int best_epoch;                     /* 0: none */
    bool accepted;
    silr_interval estimated;            /* NAN: none */
    int64_t flips;                      /* labels that changed against the iteration before */
    double seconds;
    char note[240];                     /* why rejected, why stopped; "" */
} silr_iteration;
/* label[n], score[n] for every document: score is the probability (K = 2: of class 0; K > 2: of
 * the label). Pool documents: the refined labels; test documents: the classifier's own. */
silr_status silr_store_iteration(silr_store *s, const silr_iteration *it, size_t n,
                                 const int *label, const float *score, silr_error *err);
silr_status silr_store_iterations(silr_store *s, size_t *n_iterations, silr_error *err);
silr_status silr_store_iteration_get(silr_store *s, int iteration, silr_iteration *it, size_t n,
                                     int *label, float *score, silr_error *err);

/* Epoch by epoch, for the curves. */
silr_status silr_store_epoch(silr_store *s, int iteration, int member, int epoch, double train_loss,
                             double validation_loss, bool best, silr_error *err);

/* The outcome: label and probabilities of every document. prob [n][K]. */
silr_status silr_store_final(silr_store *s, size_t n, int K, const int *label, const float *prob,
                             silr_error *err);
silr_status silr_store_final_get(silr_store *s, size_t n, int K, int *label, float *prob,
                                 bool *present, silr_error *err);

#endif
