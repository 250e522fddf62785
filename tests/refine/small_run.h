/* small_run.h - a run of a few hundred made-up texts, up to the end of the refinement. */
#ifndef SILR_TESTS_SMALL_RUN_H
#define SILR_TESTS_SMALL_RUN_H

#include "refine/refine.h"
#include "run/run.h"

/* Its label beside log-odds: their sign, not told; told; the noisy one, told. */
typedef enum { SAYS_ODDS, SAYS_SIGN_TOO, SAYS_LABEL_TOO } small_says;

/* Texts of ten words: some of their class's twenty, the rest of everyone's. */
typedef struct {
    const char *name;   /* of the files of this corpus */
    int n, K;
    int per_class;      /* > 0: words of the class in a text (3) */
    double noise;       /* share of the annotator's labels that are wrong */
    double abstain;     /* share of the texts that it says nothing of */
    int mute;           /* > 0: it never says the last `mute` classes */
    const char *split;  /* NULL: the default */
    const char *classifier; /* NULL: n-grams of words */
    const char *rest;   /* lines of the task file: labelled, refine, ... */
    /* of two classes; clear > 0: the annotator gives log-odds, +-clear + N(0,1) - shift */
    double clear, shift;
    double silent;      /* share of the texts with a label that come without */
    small_says says;
} small_corpus;

typedef struct {
    size_t n;
    int K;
    int *label, *initial, *truth;
    float *prob;          /* [n][K] */
    bool *learned, *test; /* in the labelled sample; in the test part */
    double before, after; /* accuracy over the covered pool without the sample */
    size_t iterations;
    silr_iteration last;
    silr_buf classifier;  /* the bytes of its files */
} small_outcome;

void small_start(void); /* a folder of its own for everything below; once a program */
void small_end(void);
const char *small_folder(const char *name, char path[128]);

/* Writes NAME.jsonl and NAME.yaml. */
void small_write(const small_corpus *c);
/* The same texts and answers; every true label outside `keep` is another one. */
void small_scramble(const small_corpus *c, const char *name, const bool *keep);
/* The true label of one document alone is another one. */
void small_turn(const small_corpus *c, const char *name, size_t doc);

/* Runs it in the folder RUN as far as the refinement goes. out NULL: not wanted. Nothing to clear
 * on failure. */
silr_status small_run(const char *corpus, const char *run, bool force, small_outcome *out,
                      silr_error *err);
void small_clear(small_outcome *o);
/* A fact of the run's store. */
silr_status small_fact(const char *corpus, const char *run, const char *fact, silr_buf *out);
/* The labels of an iteration. */
silr_status small_iteration(const char *corpus, const char *run, int iteration, int *label);
/* Marks the newest iteration as one that the guards rejected; label receives those before it. */
silr_status small_reject(const char *corpus, const char *run, int *label);
/* Copies store and classifier as they are on disk at this moment: what a killed process leaves. */
void small_copy(const char *run, const char *to);

/* Labels are classes, probabilities add up to 1, and a person's label stands. */
bool small_proper(const small_outcome *o);
/* Same labels, probabilities and classifier, to the byte. */
bool small_same(const small_outcome *a, const small_outcome *b);

#endif
