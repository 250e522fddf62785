/* inside.h - what the files of this folder share; unknown outside it.
 *
 * facts.c reads the store, the corpus and the truth once; everything else only renders facts.
 * So a number that stands in metrics.json, in the report and in a figure is the same number. */
#ifndef SILR_REPORT_INSIDE_H
#define SILR_REPORT_INSIDE_H

#include "report/report.h"

#include <jansson.h>

/* A labelling against the truth. present: at least one text has both a truth and a label. */
typedef struct {
    bool present;
    size_t documents, labelled; /* of the part, and of those with a label */
    silr_scores *scores;        /* owned; NULL unless present */
} silr_measured;

typedef struct {
    silr_iteration it;
    silr_measured label, test; /* train + validation; test */
} silr_account;

/* The labels that log-odds gave before the first iteration, where there were any. */
typedef struct {
    bool present;
    double a, b;             /* P(class 0 | o) = sigmoid(a o + b) */
    silr_interval estimated; /* NAN: nobody checked any text */
    silr_measured label, test;
    size_t changed;          /* that are not the annotator's */
} silr_recalibrated;

typedef struct {
    const silr_task *task;
    const silr_corpus *corpus;
    const char *dir;
    int K;
    size_t n;
    uint32_t *pool, *test_docs; /* document indices */
    size_t n_pool, n_test;
    int *initial;  /* [n] the annotator's labels, SILR_NO_LABEL where none */
    int *final;    /* [n] */
    float *prob;   /* [n][K] calibrated */
    bool finished; /* final and prob are there */
    int *known;    /* [n] the labelled sample's truth, else SILR_NO_LABEL */
    size_t n_known;
    size_t n_accounts;
    silr_account *account;                     /* [0] is the annotator's */
    silr_recalibrated recalibrated;
    silr_measured label, test;                 /* of the final labels */
    size_t n_initial, n_final;                 /* documents that had a label; that have one */
    size_t corrected;                          /* had a label, have another */
    size_t gained;                             /* had none, have one */
    silr_interval before, after;               /* estimated accuracy; NAN: none */
    silr_buf start, end, command, sensitivity; /* left by name; may be empty */
    silr_annotators annotators;
    silr_buf verdict, advice; /* go, warn, refuse, swap (D1), and the sentence that goes with it */
} silr_facts;

silr_status silr_facts_read(silr_facts *f, const silr_task *task, const silr_corpus *corpus,
                            silr_store *store, const char *dir, silr_error *err);
void silr_facts_clear(silr_facts *f);
/* The same counts and scores from arrays that are already in place (after reading, in tests). */
silr_status silr_facts_derive(silr_facts *f, silr_error *err);
/* Fills f->recalibrated; after initial, pool and test_docs. */
silr_status silr_recalibrated_read(silr_facts *f, silr_store *store, silr_error *err);
void silr_recalibrated_clear(silr_recalibrated *r);
/* A labelling of some documents against the truth. */
silr_status silr_measure(silr_measured *m, const silr_facts *f, const uint32_t *docs, size_t n,
                         const int *label, silr_error *err);
void silr_measured_clear(silr_measured *m);
/* Probability of the final label of a document; NAN where it has none. */
double silr_facts_score(const silr_facts *f, size_t doc);
/* The interval of P(true 0 | pseudo j) for two classes, of P(true j | pseudo j) for more. */
silr_interval silr_facts_theta(const silr_priors *p, int j);

/* Writes dir/name whole or not at all. */
silr_status silr_report_put(const char *dir, const char *name, silr_buf *b, silr_error *err);

/* Renderers of facts: the files of a run. */
silr_status silr_labels_write(const silr_facts *f, silr_error *err);
void silr_metrics_render(const silr_facts *f, silr_buf *b);
void silr_manifest_render(const silr_facts *f, silr_buf *b);
silr_status silr_html_write(const silr_facts *f, silr_error *err);
/* The libraries in use and their versions, as a JSON object. */
void silr_libraries_render(silr_buf *b);

#endif
