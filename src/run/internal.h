/* internal.h - shared inside src/run. */
#ifndef SILR_RUN_INTERNAL_H
#define SILR_RUN_INTERNAL_H

#include "run/run.h"

/* Names of the marks and facts that a run keeps in its store. */
#define MARK_DONE "stage.done"       /* fingerprint of the inputs of a finished run */
#define MARK_START "run.start"       /* ISO times */
#define MARK_END "run.end"
#define FACT_BAD "rows.failed"       /* "1": more rows failed than allowed */
#define FACT_TASK "task.json"        /* the task, to be read again by `silr report` */
#define FACT_COMMAND "run.command"   /* the line that reproduces it */
#define FACT_DIR "task.dir"          /* where its relative paths start */

/* The rows that could not be read, as lines of failed.jsonl. */
typedef struct {
    silr_buf lines;
    size_t rows;
} failed_rows;
silr_status silr_failed_row(void *ctx, const char *file, uint64_t line, const char *why,
                            silr_error *err); /* a silr_bad_row */
/* dir/failed.jsonl, or none where there are no lines. */
silr_status silr_failed_write(const silr_buf *lines, const char *dir, silr_error *err);
/* The same with the texts to which no answer could be had; sets s->too_many_bad. */
silr_status silr_session_failures(silr_session *s, silr_error *err);
/* The examples of one annotator: the first so many of those that were drawn. n = 0: its own. */
typedef struct {
    size_t n;
    silr_example *example;
} silr_shown;
silr_status silr_shown_make(silr_shown *out, const silr_task *task, const silr_corpus *c,
                            const silr_examples *e, silr_error *err);
void silr_shown_clear(silr_shown *s);
/* Documents that the prompt shows, and those in a group with one: an annotator's label of them would
 * only repeat what it was told. (*held)[documents], yours. */
silr_status silr_examples_hold(bool **held, const silr_corpus *c, const silr_examples *e,
                               silr_error *err);
/* Source 0 from the members' labels (annotator.combine); fills s->initial. */
silr_status silr_session_combine(silr_session *s, const silr_task *task, silr_error *err);

/* One hash over everything that a run's outcome depends on: task, corpus, labelled file, lexicon,
 * program version. "" where it cannot be known without reading (standard input). */
silr_status silr_fingerprint(silr_sha256 *out, const silr_task *task, silr_error *err);
/* Whether dir holds a finished run of exactly this (out->nothing_to_do), and how it ended. */
silr_status silr_run_finished(silr_run_outcome *out, const silr_task *task, const char *dir,
                              silr_error *err);
silr_status silr_store_set_text(silr_store *s, const char *name, const char *text, silr_error *err);
silr_status silr_store_set_now(silr_store *s, const char *name, silr_error *err);

#endif
