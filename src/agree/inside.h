/* inside.h - what the files of agree/ share. */
#ifndef SILR_AGREE_INSIDE_H
#define SILR_AGREE_INSIDE_H

#include "agree/agree.h"

enum { SILR_NOBODY = 255 }; /* a pattern's byte for SILR_NO_LABEL */

/* The different rows of votes, in the order in which they first appear. */
typedef struct {
    size_t n;
    int M, K;
    size_t unique, width; /* width = M + 1 */
    uint8_t *vote;        /* [unique][width]: M votes, then the known class; or SILR_NOBODY */
    uint32_t *count;      /* [unique] texts */
    uint32_t *of;         /* [n] */
} silr_patterns;

/* Checks everything about v that agree.h promises to. known NULL: none. */
silr_status silr_patterns_make(silr_patterns *out, const silr_votes *v, const int *known,
                               silr_error *err);
void silr_patterns_clear(silr_patterns *p);

/* The limits on M, K and n alone. */
silr_status silr_votes_check(const silr_votes *v, silr_error *err);
/* SILR_EINPUT with a sentence: annotator m (from 0; -1: the known truth) gave text i `label`. */
silr_status silr_votes_refuse(int m, size_t i, int label, int K, silr_error *err);

/* Votes for each class of a row into counts[K]; returns how many were cast. */
int silr_row_counts(int *counts, int K, const uint8_t *row, int M);
/* The first class with most votes, and how many classes have as many. */
int silr_top_count(const int *counts, int K, int *on_top);

/* Krippendorff's alpha (agreement.c). */
double silr_patterns_alpha(const silr_patterns *p);

/* Texts with three voices, into d->three; whether that is enough to fit. */
bool silr_doubts_identified(silr_dawid_skene *d, const silr_patterns *p);
/* What a fit looks like once it stands: accuracy, alpha, inverted, excess and the bits about them.
 * T is [unique][K]. */
silr_status silr_doubts_find(silr_dawid_skene *d, const silr_patterns *p, const double *T,
                             silr_error *err);

#endif
