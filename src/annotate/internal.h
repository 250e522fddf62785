/* internal.h - shared by the files of annotate/, unknown outside. */
#ifndef SILR_ANNOTATE_INTERNAL_H
#define SILR_ANNOTATE_INTERNAL_H

#include "annotate/annotator.h"

silr_status silr_column_new(silr_annotator **out, const silr_task *task, silr_error *err);
silr_status silr_rules_new(silr_annotator **out, const silr_task *task, silr_error *err);
silr_status silr_model_annotator_new(silr_annotator **out, const silr_task *task,
                                     const silr_annotator_means *means, silr_error *err);
silr_status silr_local_new(silr_annotator **out, const silr_task *task,
                           const silr_annotator_means *means, silr_error *err);

/* What the columns of a column annotator say of document i; strings are the corpus's. */
typedef struct {
    int label;          /* SILR_NO_LABEL: it abstains, `reason` says why */
    const char *value;  /* as it stands in the column; NULL: none */
    const char *reason;
    bool weighed;       /* there are log-odds of class 0 against class 1: */
    double log_odds;
} silr_column_answer;
/* SILR_EINPUT: a value that stands for no class, or log-odds that are no number; err names both. */
silr_status silr_column_read(silr_column_answer *a, const silr_task *task, const silr_corpus *c,
                             size_t i, silr_error *err);

/* --- patterns: one rule, compiled ---------------------------------------------------------------- */

typedef struct silr_pattern silr_pattern;
silr_status silr_pattern_new(silr_pattern **out, const silr_rule *rule, const char *file,
                             silr_error *err);
void silr_pattern_free(silr_pattern *p);

/* What a thread needs to match; patterns themselves are read-only. */
typedef struct silr_matcher silr_matcher;
silr_matcher *silr_matcher_new(uint32_t match_limit); /* NULL: no memory */
void silr_matcher_free(silr_matcher *m);

/* How often the pattern is found in the text: matches that do not overlap and are not empty.
 * SILR_GAVE_UP: a limit was reached. `fresh`: the first call for this text, which checks its
 * UTF-8. SILR_OUT_OF_MEMORY. */
enum { SILR_GAVE_UP = -1, SILR_OUT_OF_MEMORY = -2 };
int64_t silr_pattern_count(const silr_pattern *p, silr_matcher *m, const char *text, size_t len,
                           bool fresh);

/* --- lexicon: words with scores ------------------------------------------------------------------ */

typedef struct silr_lexicon silr_lexicon;
silr_status silr_lexicon_read(silr_lexicon **out, const char *path, silr_error *err);
/* From bytes in memory; `name` is used in errors. */
silr_status silr_lexicon_parse(silr_lexicon **out, const char *bytes, size_t len, const char *name,
                               silr_error *err);
void silr_lexicon_free(silr_lexicon *l);
/* Sum of the scores of the text's words. `word`: memory for one word, kept between calls; its
 * `failed` is set when there was none. */
double silr_lexicon_score(const silr_lexicon *l, const char *text, size_t len, silr_buf *word);

/* --- ballot: all rules on many documents ---------------------------------------------------------- */

typedef struct silr_ballot silr_ballot;

/* What the rules say of one document. hits[r]: how often rule r was found. */
typedef struct {
    int label;        /* most votes; SILR_NO_LABEL: none, or a tie */
    bool tied;
    float share;      /* of all votes, those for label; NAN without one */
    uint64_t votes;   /* bit r: rule r (< 64) fired */
    const uint32_t *hits;
} silr_verdict_of_rules;
typedef silr_status (*silr_ballot_sink)(void *ctx, size_t doc, const silr_verdict_of_rules *v,
                                        silr_error *err);

silr_status silr_ballot_new(silr_ballot **out, const silr_task *task, silr_error *err);
void silr_ballot_free(silr_ballot *b);
/* The task's rules, then two for the lexicon if there is one: "lexicon" for class 0, for class 1. */
size_t silr_ballot_rules(const silr_ballot *b);
const char *silr_ballot_name(const silr_ballot *b, size_t r);
int silr_ballot_label(const silr_ballot *b, size_t r);
/* Matches in parallel, tells the sink in order on the calling thread. what: for silr_progress.
 * Warns of rules that gave up. */
silr_status silr_ballot_hold(silr_ballot *b, const char *what, const silr_corpus *c,
                             const uint32_t *docs, size_t n, silr_ballot_sink sink, void *ctx,
                             silr_error *err);

#endif
