/* report.h - what a run tells: labels.jsonl, metrics.json, manifest.json, report.html, figures/.
 *
 * Reads the store and, with priors/, the truth. Writes files that appear whole or not at all. */
#ifndef SILR_REPORT_H
#define SILR_REPORT_H

#include "classify/classifier.h"
#include "store/store.h"

/* All files of a finished run. dir: the run's folder. */
silr_status silr_report_write(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                              const char *dir, silr_error *err);

/* One by one. */
silr_status silr_report_labels(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                               const char *dir, silr_error *err);
silr_status silr_report_metrics(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                                const char *dir, silr_error *err);
silr_status silr_report_manifest(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                                 const char *dir, silr_error *err);
silr_status silr_report_html(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                             const char *dir, silr_error *err);

/* The run's table for the terminal, from metrics.json (`silr show`). */
silr_status silr_report_table(const char *dir, bool colour, silr_buf *out, silr_error *err);

#endif
