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
#include "dist/dist.h"
#include "priors/priors.h"
#include "store/store.h"

typedef struct {
    silr_task *task;      /* borrowed */
    const char *dir;      /* borrowed; NULL: nothing is kept (dry runs) */
    silr_corpus *corpus;
    silr_store *store;    /* NULL without dir */
    int *initial;         /* the annotator's label of each document; SILR_NO_LABEL: abstained */
    float *logp;          /* [documents][classes] the annotator's log-probabilities, where there is no
                             store to keep them; NULL: none */
    int *sets;            /* what the sample is drawn from: `initial`, or sets by log-odds where nearly
                             all labels are one class (silr_sets_by_odds); filled with it */
    uint8_t *disagreed;   /* 1: several annotators were of several opinions; NULL: not known */
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
/* Fills s->disagreed from what each of several annotators said, where the store has it; else leaves
 * it alone. */
silr_status silr_session_disagreement(silr_session *s, silr_error *err);
/* One annotator's labels [n] more: first[i] is the first opinion on a document (SILR_NO_LABEL: none
 * yet), out[i] becomes 1 where this one differs. */
void silr_disagreement_add(const int *label, size_t n, int *first, uint8_t *out);
/* What the sample is drawn from: s->sets, or the labels as long as nothing else was found. */
static inline const int *silr_session_sets(const silr_session *s)
{
    return s->sets ? s->sets : s->initial;
}
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

/* What other ranks can do for a run: for silr_dist_serve. */
extern const silr_trade *const silr_run_trades[];

/* --- which texts a person should label -------------------------------------------------------
 *
 * Needs an annotated session, which must outlive it. Offers texts of the pool that have a first
 * label, of equal ones the first. The next text depends on the seed and on the labels there are. */
typedef struct silr_chooser silr_chooser;
silr_status silr_chooser_new(silr_chooser **out, const silr_session *s, silr_error *err);
void silr_chooser_free(silr_chooser *c);
size_t silr_chooser_texts(const silr_chooser *c); /* that it can offer, labelled ones too */
/* What a person said of a document; SILR_NO_LABEL takes it back. */
void silr_chooser_label(silr_chooser *c, size_t doc, int label);
/* Not this one now. Skipped texts come back when no others are left; then the last one skipped
 * comes last. */
void silr_chooser_skip(silr_chooser *c, size_t doc);
size_t silr_chooser_next(const silr_chooser *c); /* a document; SIZE_MAX: none is left */
/* The next `want` texts, as they are to be expected before any of them is labelled. Returns how
 * many there are. */
size_t silr_chooser_batch(silr_chooser *c, size_t want, uint32_t *docs);

/* How it stands with the labels there are. */
enum { SILR_AHEAD = 20 };
typedef struct {
    size_t labelled;       /* texts that count: of the pool, with a first label */
    size_t answers[SILR_MAX_CLASSES]; /* of them, by the person's label */
    size_t start_left;     /* labels of the balanced start that are to come */
    silr_priors priors;    /* with posterior: drawn; of more than four classes by curves */
    silr_interval accuracy;/* of the first labels */
    size_t ahead;          /* so many labels on (SILR_AHEAD, or less where fewer are left) the */
    silr_interval then;    /* accuracy's interval is to be expected here */
    bool enough;           /* P(D > 0.05) >= SILR_SURE, and the start is done */
    size_t needed;         /* labels until enough, as likely as not; SIZE_MAX: more than 200 */
} silr_standing;
void silr_chooser_standing(silr_chooser *c, silr_standing *out);

#endif
