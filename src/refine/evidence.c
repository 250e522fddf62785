/* evidence.c - whether the annotator's log-odds are used, and what they are (method.md B7).
 *
 * They are where refine.evidence says log-odds or sets, the recipe is silr, there are two classes, nearly
 * all texts with a label have them, and something tells where their zero belongs: labelled texts,
 * or a stated share of the first class. Else the labels are worked with, and the log says why. */
#include "refine/loop.h"
#include "refine/recalibrate.h"
#include <math.h>
#include <string.h>

/* The share of the annotator's labels that must come with log-odds; the rest count as the mean of
 * their label's. */
#define ENOUGH 0.9

/* Why nothing tells where the zero belongs; NULL: something does. */
static const char *unplaced(const silr_task *task)
{
    switch (task->labelled.kind) {
    case SILR_LABELLED_NONE:
        return "labelled: none leaves nothing to recalibrate them by";
    case SILR_LABELLED_ORACLE:
        return "labelled: oracle knows the theta of the labels as they are";
    case SILR_LABELLED_GIVEN:
        return task->labelled.n_pi > 0 ? NULL
                                       : "labelled.theta without labelled.pi leaves nothing to "
                                         "recalibrate them by";
    default:
        return NULL;
    }
}

/* Log-odds of every row from the log-probabilities of the documents; NAN where there are none. */
static void gather(const silr_loop *l, const float *logp, double *odds, size_t *labelled,
                   size_t *with)
{
    *labelled = *with = 0;
    for (size_t r = 0; r < l->n_rows; r++) {
        const float *p = logp + (size_t)l->row[r] * 2;
        odds[r] = (double)p[0] - (double)p[1]; /* NAN, too, where both are -infinity */
        if (l->initial[l->row[r]] == SILR_NO_LABEL)
            continue;
        ++*labelled;
        *with += isnan(odds[r]) ? 0 : 1;
    }
}

static silr_status take(silr_loop *l, const float *logp, silr_error *err)
{
    double *odds = silr_alloc(l->n_rows, sizeof *odds);
    int *label = silr_alloc(l->n_rows, sizeof *label);
    const char *why = unplaced(l->task);
    size_t labelled = 0, with = 0;
    silr_status st = odds && label ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK)
        goto done;
    for (size_t r = 0; r < l->n_rows; r++)
        label[r] = l->initial[l->row[r]];
    gather(l, logp, odds, &labelled, &with);
    if (with == 0)
        goto done;
    if (why) {
        silr_log(SILR_LOG_INFO, "the annotator's log-odds are not used: %s", why);
        goto done;
    }
    if ((double)with < ENOUGH * (double)labelled) {
        silr_log(SILR_LOG_INFO,
                 "the annotator's log-odds are not used: %zu of %zu labels come with them, and it "
                 "takes %.0f %%", with, labelled, ENOUGH * 100);
        goto done;
    }
    if ((st = silr_odds_repair(odds, l->n_rows, l->n_pool, label, err)) != SILR_OK)
        goto done;
    l->odds = odds;
    odds = NULL;
done:
    silr_free(odds);
    silr_free(label);
    return st;
}

silr_status silr_loop_evidence(silr_loop *l, silr_error *err)
{
    float *logp;
    size_t with = 0;
    silr_status st;

    memcpy(l->sets, l->initial, l->n * sizeof *l->sets);
    if (l->K != 2 || l->task->refine.recipe != SILR_RECIPE_SILR ||
        l->task->refine.evidence == SILR_EVIDENCE_LABEL)
        return SILR_OK;
    if (!(logp = silr_alloc(l->n * 2, sizeof *logp)))
        return silr_fail_memory(err);
    st = silr_store_evidence(l->store, SILR_SOURCE_USED, l->n, l->K, logp, &with, err);
    if (st == SILR_OK)
        st = silr_sets_by_odds(l->sets, &l->cut, l->task, l->n, l->initial, logp, err);
    if (st == SILR_OK && with > 0)
        st = take(l, logp, err);
    silr_free(logp);
    return st;
}
