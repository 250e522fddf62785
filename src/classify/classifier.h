/* classifier.h - what learns from texts: the interface of the kinds `ngram`, `frozen` and `qlora`.
 *
 * A classifier holds `members` models that are trained side by side on the same features: folds
 * and variants of one iteration differ only in which texts they see and with what weights, so one
 * pass over the features serves them all. Kinds whose models have no work in common are told which
 * one is meant (focus), and the trainer trains one after the other, each on its own texts. A member has `columns` scores a text: 1 for two classes (class 0 when > 0),
 * else K.
 *
 * Trainable parameters are one flat block of floats with a table of names, so that snapshot,
 * checkpoint, device copy and sum over ranks are one call each. Results never depend on the
 * number of threads, nor on which other texts are in the batch.
 *
 *     silr_classifier *c;
 *     silr_classifier_new(&c, task, corpus, err);      features of every text, once a run
 *     c->reset(c, &opts, members, err);
 *     c->forward(c, docs, n, scores, err);             scores [n][members * columns]
 *     c->backward(c, docs, n, dscores, err);           adds to the gradient
 *     c->step(c, lr, err);                             one optimiser step, gradient cleared
 */
#ifndef SILR_CLASSIFY_H
#define SILR_CLASSIFY_H

#include "corpus/corpus.h"
#include "dist/dist.h"
#include "formats/formats.h"
#include "risk/risk.h"

typedef struct {
    char name[64];      /* "weight", "bias" */
    size_t offset, count; /* in the flat block, in floats */
} silr_param;

/* Adam, with decoupled decay (AdamW) and plain L2 on the weights (not on the bias). */
typedef struct {
    double beta1, beta2, epsilon;
    double weight_decay; /* p -= lr * weight_decay * p */
    double l2;           /* gradient += l2 * p, weights only */
    double clip;             /* longest gradient, of kinds that look at it (qlora); 0: as long as it is */
} silr_adam;

/* focus on all of them again. */
#define SILR_ALL_MEMBERS SIZE_MAX

typedef struct silr_classifier silr_classifier;
struct silr_classifier {
    const char *kind;
    int K, columns;
    size_t members, max_members;
    size_t n_params;      /* floats in the block, all members */
    float *params;        /* owned */
    size_t n_table;
    const silr_param *table;
    uint64_t identity;    /* of kinds with state_get: a hash of what the state's numbers mean */
    double rate[2];       /* the step size that suits it, by refine.recipe */
    bool training;        /* set by the trainer around a step: forward is followed by backward on the
                             same texts, and draws dropout */

    /* Fresh parameters (zero for linear heads; else drawn from seed, small) for `members` models. */
    silr_status (*reset)(silr_classifier *c, const silr_adam *adam, uint64_t seed, size_t members,
                         silr_error *err);
    silr_status (*forward)(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                           silr_error *err);
    silr_status (*backward)(silr_classifier *c, const uint32_t *docs, size_t n,
                            const float *dscores, silr_error *err);
    silr_status (*step)(silr_classifier *c, double lr, silr_error *err);
    /* Keeps one member's parameters (best epoch), or puts them back. */
    silr_status (*snapshot)(silr_classifier *c, size_t member, silr_error *err);
    silr_status (*restore)(silr_classifier *c, size_t member, silr_error *err);

    /* Of kinds whose models have no work in common; NULL: members go side by side. From now on c is
     * this member alone, numbered 0: scores are [n][columns]; SILR_ALL_MEMBERS: all of them again. */
    silr_status (*focus)(silr_classifier *c, size_t member, silr_error *err);
    /* What training has changed so far, as bytes for a checkpoint; and back, after reset with the same
     * arguments. Together with focus only. */
    silr_status (*state_get)(silr_classifier *c, silr_buf *out, silr_error *err);
    silr_status (*state_set)(silr_classifier *c, const void *bytes, size_t len, silr_error *err);

    /* Blending: score_blend = sum_m scale_m * score_m + offset. blend adds one member; a member's
     * scores are first centred over its columns when K > 2. Of linear members the blend is one linear
     * model; others it keeps side by side. NULL: this kind cannot, and save writes the first member. */
    silr_status (*blend)(silr_classifier *c, size_t member, double scale, const double *offset,
                         silr_error *err);
    /* The blend as bytes, for the store (resume); and back. */
    silr_status (*blend_get)(silr_classifier *c, silr_buf *out, silr_error *err);
    silr_status (*blend_set)(silr_classifier *c, const void *bytes, size_t len, silr_error *err);
    /* Writes the model  logits = A * (blend / blends) + b  into dir: A [columns][columns], b
     * [columns], row-major; probabilities are sigmoid(logit) (columns = 1) or softmax. `blends`
     * is the sum of scales that one iteration adds up to times the number of iterations. */
    silr_status (*save)(silr_classifier *c, const char *dir, const double *A, const double *b,
                        double blends, silr_error *err);
    void (*free)(silr_classifier *c);
};

/* The classifier that the task names, with the features of all documents of the corpus. What takes
 * long to compute is kept in a folder below `run` (NULL: nowhere), to go on from after a stop. */
silr_status silr_classifier_new(silr_classifier **out, const silr_task *task, const silr_corpus *c,
                                const char *run, silr_error *err);
/* What its features depend on beside task and corpus: the SHA-256 of the encoder's files; "" for
 * kinds that need none. Known without making one. */
silr_status silr_classifier_identity(silr_sha256 *out, const silr_task *task, silr_error *err);
void silr_classifier_free(silr_classifier *c);
/* Of qlora: bytes that training takes beside the weights of w (parameters, gradient, moments, the work of a batch
 * of the longest texts), and what one such batch would keep for its backward pass if all of it were kept
 * (what is not is computed again). Known before anything is loaded. SILR_EINPUT: classifier.targets. */
silr_status silr_classifier_memory(size_t *training, size_t *kept, const silr_task *task,
                                   const silr_weights *w, silr_error *err);
/* Fine-tuning by all ranks. */
extern const silr_trade silr_qlora_trade;

/* --- a saved classifier: silr_model of silr.h, and what the report asks of it ---------------- */

typedef struct {
    const char *encoder; /* frozen: where the encoder is; NULL: where it was in training, else below
                            the classifier's folder or the current one by the name in the task */
    bool no_encoder;     /* frozen: without; it can explain, but not predict */
} silr_model_opts;
/* silr_model_load is this with all defaults. SILR_EINPUT also: the encoder is not there, or is not
 * the one of the training. */
silr_status silr_model_open(silr_model **out, const char *dir, const silr_model_opts *opts,
                            silr_error *err);
size_t silr_model_batch(const silr_model *m); /* so many texts in a call keep it busy */

/* Logits [columns] of one text; read-only and thread-safe. */
silr_status silr_model_logits(const silr_model *m, const char *text, size_t len, double *logits,
                              silr_error *err);
int silr_model_columns(const silr_model *m);
/* Probabilities of n texts, in parallel (OpenMP), the same bytes for any number of threads. */
silr_status silr_model_predict_many(const silr_model *m, const char *const *texts,
                                    const size_t *lens, size_t n, double *probs /* [n][K] */,
                                    silr_error *err);

/* The n-grams of a text that speak most for class k (against the other classes); of a frozen one
 * those that it learned from beside the vectors, none where it has none. */
typedef struct {
    char ngram[96];
    double contribution; /* to logit k minus the mean of the others; > 0 speaks for it */
} silr_evidence;
/* Fills at most max entries, strongest first; returns how many, or a silr_status. */
int silr_model_explain(const silr_model *m, const char *text, size_t len, int k,
                       silr_evidence *out, int max, silr_error *err);

#endif
