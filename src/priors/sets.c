/* sets.c - the two sets that an annotator's answers make, where nearly all of them are one class.
 *
 * A small model may answer "positive" to everything and yet be surer of some texts than of others.
 * Its labels make one set, and one set tells nothing; its log-odds, cut at their median, make two,
 * whose theta differ if the log-odds mean anything (method.md B7: sets by log-odds). The labelled
 * sample is then drawn from these, and whether refining is worth it is asked of them. The labels
 * themselves stay what they are. */
#include "priors/inside.h"
#include <math.h>

/* Fewer than this share of the labels in the smaller class, and the sets are cut anew. */
#define LOPSIDED 0.1
/* The share of the labels that must come with log-odds. */
#define ENOUGH 0.9

silr_status silr_sets_by_odds(int *sets, bool *cut, const silr_task *task, size_t n,
                              const int *initial, const float *logp, silr_error *err)
{
    double *odds = NULL, middle;
    size_t labelled = 0, first = 0, with = 0;

    *cut = false;
    for (size_t i = 0; i < n; i++) {
        sets[i] = initial[i];
        labelled += initial[i] != SILR_NO_LABEL;
        first += initial[i] == 0;
    }
    if (task->n_classes != 2 || task->refine.recipe != SILR_RECIPE_SILR ||
        task->refine.evidence == SILR_EVIDENCE_LABEL || labelled == 0 ||
        (double)(first < labelled - first ? first : labelled - first) >= LOPSIDED * (double)labelled)
        return SILR_OK;
    if (!(odds = silr_alloc(labelled, sizeof *odds)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        double o = (double)logp[2 * i] - (double)logp[2 * i + 1];
        if (initial[i] != SILR_NO_LABEL && !isnan(o))
            odds[with++] = o;
    }
    if ((double)with >= ENOUGH * (double)labelled) {
        silr_sort_doubles(odds, with);
        middle = silr_quantile_sorted(odds, with, 0.5);
        *cut = odds[0] < middle || odds[with - 1] > middle;
        for (size_t i = 0; *cut && i < n; i++) {
            double o = (double)logp[2 * i] - (double)logp[2 * i + 1];
            if (initial[i] != SILR_NO_LABEL)
                sets[i] = isnan(o) ? initial[i] : o > middle ? 0 : 1;
        }
    }
    silr_free(odds);
    return SILR_OK;
}
