/* annotator.h - who gives the first labels: a column, rules, a language model, or several of these.
 *
 * An annotator labels documents or abstains. It sees texts and columns, never the truth. */
#ifndef SILR_ANNOTATE_H
#define SILR_ANNOTATE_H

#include "corpus/corpus.h"
#include "dist/dist.h"
#include "ledger/ledger.h"

/* What a confidence is made of. */
typedef enum {
    SILR_BASIS_NONE,     /* there is none */
    SILR_BASIS_VOTES,    /* a share of votes: of rules, of samples, of annotators */
    SILR_BASIS_LOGPROBS, /* log-probabilities of the classes' tokens */
    SILR_BASIS_POSTERIOR /* Dawid-Skene */
} silr_basis;
const char *silr_basis_name(silr_basis b); /* "none", "votes", "log-probabilities", "Dawid-Skene" */

typedef struct {
    int label;          /* class, or SILR_NO_LABEL: abstained */
    float confidence;   /* 0..1; NAN: none. Rules: the label's share of all votes */
    silr_basis basis;
    const float *logp;  /* [n_classes] log-probabilities of the classes, normalised over them; NULL:
                           none. The annotator's own belief, not calibrated */
    const char *raw;    /* the answer as it came; NULL: none */
    const char *reason; /* why it abstained; NULL */
    uint64_t votes;     /* rules: bit r set when rule r (< 64) fired; else 0. Rules keep the order of
                           the task; the lexicon comes behind them as two, for class 0 and class 1 */
    uint64_t request;   /* first bytes of the hash of what was asked; 0: nothing was */
    bool failed;        /* no answer could be had, `reason` says why; may be asked for again */
} silr_annotation;

/* Called once for each document, on the calling thread, in any order; strings live until it
 * returns. A negative status stops the annotator, which passes it on. */
typedef silr_status (*silr_annotation_sink)(void *ctx, size_t doc, const silr_annotation *a,
                                            silr_error *err);

typedef struct silr_annotator silr_annotator;
struct silr_annotator {
    const char *kind; /* "column", "rules", "chat", "local" */
    bool commits;     /* keeps what it finds in transactions of the ledger, in which it calls the
                         sink: the caller has none open */
    silr_status (*annotate)(silr_annotator *a, const silr_corpus *c, const uint32_t *docs, size_t n,
                            silr_annotation_sink sink, void *ctx, silr_error *err);
    void (*free)(silr_annotator *a);
    size_t batch;         /* documents a call at most, where it does not commit itself; 0: thousands */
    const char *identity; /* of what labels beside the task (a model's hash); NULL: the task says all */
};

/* What some annotators need beside the task. */
typedef struct {
    silr_ledger *ledger;         /* chat: where answers are kept */
    const silr_example *example; /* chat, local: examples that were drawn; NULL: the task's own */
    size_t n_examples;
    int round;                   /* chat, local: 0 the first answer; r: its r-th check by the model */
    const int *const *former;    /* local: [round][documents] labels of the rounds before */
} silr_annotator_means;

/* The annotator that the task names (not one of several: each member has a task); task and means
 * must outlive it; means NULL: none. SILR_EINPUT: a pattern that does not compile, a lexicon that
 * cannot be read, a column whose values are not mapped: err names the line. SILR_EPEER: no key. */
silr_status silr_annotator_new(silr_annotator **out, const silr_task *task,
                               const silr_annotator_means *means, silr_error *err);
void silr_annotator_free(silr_annotator *a);

/* What ranks do for the annotator "local", which is at rank 0. */
extern const silr_trade silr_local_trade;

/* --- the table of rules -------------------------------------------------------------------- */

/* What each rule did, counted over `docs`; and how right it was on the labelled sample.
 * For the column annotator: one row, label SILR_NO_LABEL, `right` by the column's own label.
 * silr_free(table->rows). */
typedef struct {
    char name[120];
    int label;
    size_t fired;     /* documents it matched */
    size_t overlaps;  /* of those, matched by another rule too */
    size_t conflicts; /* of those, matched by a rule for another class */
    size_t labelled, right; /* of those, in the labelled sample; and with the rule's class */
} silr_rule_row;
typedef struct {
    size_t n, documents;
    size_t covered;    /* documents that got a label */
    size_t conflicted; /* on which rules for different classes fired */
    size_t tied;       /* of those, with no winner */
    silr_rule_row *rows;
} silr_rule_table;
/* sample_truth[i]: the label of document i if it is in the labelled sample, else SILR_NO_LABEL;
 * may be NULL. */
silr_status silr_rule_table_make(silr_rule_table *out, const silr_task *task, const silr_corpus *c,
                                 const uint32_t *docs, size_t n, const int *sample_truth,
                                 silr_error *err);

#endif
