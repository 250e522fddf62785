/* run.h - a whole run, stage by stage: corpus, annotations, labelled sample, refinement, outputs.
 *
 * A session holds what a run works on. Each stage takes up what its folder already has and adds
 * what is missing, so that the same calls begin a run, go on with one that was killed, and find
 * nothing to do in one that is finished.
 *
 *     silr_session s;
 *     if ((st = silr_session_open(&s, task, dir, err)) == SILR_OK &&      corpus, run.db
 *         (st = silr_session_annotate(&s, err)) == SILR_OK &&             the first labels
 *         (st = silr_session_sample(&s, err)) == SILR_OK)                 the labelled sample
 *         ...
 *     silr_session_close(&s);
 *
 * run/ knows every module below it and no formula of any. */
#ifndef SILR_RUN_H
#define SILR_RUN_H

#include "chat/chat.h"
#include "priors/priors.h"
#include "store/store.h"

typedef struct {
    silr_task *task;      /* borrowed */
    const char *dir;      /* borrowed; NULL: nothing is kept (dry runs) */
    silr_corpus *corpus;
    silr_store *store;    /* NULL without dir */
    int *initial;         /* the annotator's label of each document; SILR_NO_LABEL: abstained */
    size_t annotated;     /* annotations that this session asked for */
    silr_sample sample;
    silr_buf bad_rows;    /* rows that could not be read, as lines of failed.jsonl */
    bool too_many_bad;    /* more rows failed than corpus.max_bad allows, or more texts than
                             annotator.max_failed; they are in failed.jsonl */
    bool retry_failed;    /* set by the caller: ask again for what has failed */
} silr_session;

/* Reads the corpus (bad rows go to dir/failed.jsonl, not an error here: see too_many_bad) and opens
 * the run's store. On failure there is nothing to close, though closing does no harm. */
silr_status silr_session_open(silr_session *s, silr_task *task, const char *dir, silr_error *err);
/* Annotates the documents that have not been; fills s->initial. SILR_ECANCEL, SILR_ELIMIT and
 * SILR_EPEER keep what is done. SILR_EINPUT: every document was left without a label.
 *
 * Of several annotators each is asked, its labels kept as a source of its own, and combined; where
 * self-refinement is wanted, its rounds too. What failed is in failed.jsonl. */
silr_status silr_session_annotate(silr_session *s, silr_error *err);
/* Draws or reads the labelled sample; where an earlier one differs (texts were labelled since),
 * what was computed from it is forgotten. */
silr_status silr_session_sample(silr_session *s, silr_error *err);
/* What asking the model of `task` (the session's own, or a member) would take, for a session without
 * a folder; dir: where the run lies or would lie. prompt: one whole prompt, as it would be sent. */
silr_status silr_session_plan(const silr_session *s, const silr_task *task, const char *dir,
                              silr_plan *plan, silr_buf *prompt, silr_error *err);
/* theta and pi of the annotator's labels, and what they advise. */
silr_status silr_session_priors(silr_session *s, silr_priors *out, silr_error *err);
void silr_session_close(silr_session *s);

/* What a run came to. */
typedef struct {
    bool nothing_to_do; /* all of it was there already */
    bool too_many_bad;
} silr_run_outcome;
typedef struct {
    bool force;          /* go on where the labels tell too little */
    bool retry_failed;   /* ask again for what has failed */
    const char *command; /* the line that reproduces it, for the report; NULL: none */
} silr_run_settings;
/* All of it: silr_run of silr.h, for callers that listen by themselves. */
silr_status silr_run_all(silr_task *task, const char *dir, const silr_run_settings *settings,
                         silr_run_outcome *out, silr_error *err);
/* annotator.combine: each: silr_run_all makes a run a member, each in its own folder below dir. */
bool silr_run_is_each(const silr_task *task);
char *silr_run_member_dir(const silr_task *task, size_t m, const char *dir); /* NULL: no memory */
/* Opens a finished or begun run folder: its own task (free it), then the session on it. */
silr_status silr_session_reopen(silr_session *s, silr_task **task, const char *dir,
                                silr_error *err);

/* The pool's documents in the order in which a person should label them: one of each of the
 * annotator's labels in turn, so that the sample is stratified wherever one stops (method.md B4).
 * Of equal texts only the first. order[] has room for every document; returns how many. */
size_t silr_label_order(const silr_session *s, uint32_t *order);

#endif
