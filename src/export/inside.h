/* inside.h - shared inside export/, unknown outside.
 *
 * export.c chooses; folder.c puts models into folders; labels.c reads a run's labels, rows.c writes them as
 * files, read_back.c compares these with the labels. */
#ifndef SILR_EXPORT_INSIDE_H
#define SILR_EXPORT_INSIDE_H

#include "corpus/corpus.h"
#include "export/export.h"
#include "task/task.h"

/* labels.jsonl beside the corpus that it is of. */
typedef struct {
    const silr_task *task;
    const silr_corpus *corpus;
    const char *name;    /* of the run: which model said so */
    size_t n, K;
    int *label, *first;  /* SILR_NO_LABEL: none */
    double *score;       /* of the label; NAN: none */
    double *prob;        /* [n][K]; NAN: none */
} silr_run_labels;
/* The first `limit` of them; 0: all. SILR_EINPUT: the file is not of this corpus. */
silr_status silr_run_labels_read(silr_run_labels *l, const char *run, const silr_task *task,
                                 const silr_corpus *corpus, size_t limit, silr_error *err);
void silr_run_labels_clear(silr_run_labels *l);

/* Does this form leave text i out? */
bool silr_rows_leave_out(const silr_run_labels *l, silr_export_form form, size_t i);
silr_status silr_rows_write(const silr_run_labels *l, silr_export_form form, const char *path, silr_error *err);
/* SILR_EBUG: the file does not say what l says. */
silr_status silr_rows_compare(const silr_run_labels *l, silr_export_form form, const char *path, silr_error *err);

/* The model of the run, into a folder. */
silr_status silr_export_model(const char *run, const silr_export_opts *o, const silr_corpus *corpus,
                              silr_export_outcome *out, silr_error *err);

#endif
