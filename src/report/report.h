/* report.h - what a run tells: labels.jsonl, metrics.json, manifest.json, report.html, figures/.
 *
 * Reads the store and, with priors/, the truth. Writes files that appear whole or not at all: a
 * failure leaves the former ones as they were. The same store gives the same labels.jsonl, and the
 * same metrics.json but for "seconds"; manifest.json and report.html also tell of the machine.
 *
 *     labels.jsonl    "changed" is exactly label != initial_label, so a text that got its first
 *                     label counts; label and score are null for texts with no label (empty ones)
 *     metrics.json    "label" and "test" blocks: n, coverage, accuracy, balanced_accuracy,
 *                     precision, recall, f1, confusion [true][label]; over texts with a label
 *                     "final": iteration, documents, labelled_before, labelled,
 *                     changed = corrected + gained, theta, pi, label, test, estimated_before,
 *                     estimated_accuracy, labelled_sample, classifier, seconds
 *                     iteration 0: "recalibrated", where log-odds were used: a, b, label, test,
 *                     estimated_accuracy of the labels that they gave
 *     figures/        NAME.svg drawn by us; NAME.tsv and NAME.gp for who wants to draw it again
 *
 * The run leaves facts in the store by name, all optional: run.start, run.end, run.command,
 * verdict ({"verdict","advice"}), sensitivity ({"rows":[{"what",...}]}), recalibrated ({"a","b",
 * "estimated":[value, low, high],"labels": one of 0, 1, - a document}). */
#ifndef SILR_REPORT_H
#define SILR_REPORT_H

#include "classify/classifier.h"
#include "store/store.h"

/* All files of a finished run. dir: the run's folder.
 * SILR_EINPUT: the run has no final labels yet. SILR_EIO: a file cannot be written. */
silr_status silr_report_write(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                              const char *dir, silr_error *err);

/* One by one. html writes figures/ too, and tells what there is of a run that is not finished. */
silr_status silr_report_labels(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                               const char *dir, silr_error *err);
silr_status silr_report_metrics(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                                const char *dir, silr_error *err);
silr_status silr_report_manifest(const silr_task *task, const silr_corpus *corpus,
                                 silr_store *store, const char *dir, silr_error *err);
silr_status silr_report_html(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                             const char *dir, silr_error *err);

/* --- who gave the first labels ------------------------------------------------------------------ */

/* One source of annotations: the labels in use (source 0), a member of several, a round in which a
 * model checked its own answers. */
typedef struct {
    int source, member, round; /* member 0: the only annotator, or what the members were made into */
    char name[120];
    size_t asked, labelled, abstained, failed;
    size_t basis[4];         /* labelled, by what their confidence is made of (silr_basis) */
    silr_interval estimated; /* accuracy on the labelled sample, weighted; NAN: no sample */
    double measured;         /* against the truth over train and validation; NAN: there is none */
} silr_annotator_row;
typedef struct {
    char what[60];
    int64_t n;
} silr_traffic;
typedef struct {
    size_t n;
    silr_annotator_row *row;
    bool model;              /* one of them is a language model: what follows is of it */
    silr_ledger_sums sums;
    size_t n_traffic;
    silr_traffic *traffic;   /* what happened on the way, by name */
    silr_buf servers;        /* a line for each model: what its server was found to do */
    size_t examples;         /* texts that the prompt shows, of the labelled sample */
    bool several;
    silr_agreement agreement; /* of several */
} silr_annotators;
silr_status silr_annotators_read(silr_annotators *out, const silr_task *task,
                                 const silr_corpus *corpus, silr_store *store, silr_error *err);
void silr_annotators_clear(silr_annotators *a);
/* The name of the m-th of several, as the agreement table numbers them. */
const char *silr_annotators_member(const silr_annotators *a, int m);
void silr_annotators_json(const silr_annotators *a, silr_buf *out); /* an object */
void silr_annotators_text(const silr_annotators *a, silr_buf *out); /* tables for the terminal */

/* The run's table for the terminal, from metrics.json (`silr show`). SILR_EINPUT: no such file, or
 * not one of ours. */
silr_status silr_report_table(const char *dir, bool colour, silr_buf *out, silr_error *err);

#endif
