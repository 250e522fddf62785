/* combine.c - the labels of several annotators as one (annotator.combine): most votes, or Dawid-Skene.
 *
 * A tie of votes abstains: the classifier labels such texts in the end. Dawid-Skene's doubts are
 * told (src/agree): with few annotators, or some that hardly agree, the majority is the safer. No
 * checked text has a part in it, since theta is estimated from those. With `each` there is one run a
 * member (run.c); `silr annotate` and `silr label` then work with the majority. */
#include "agree/agree.h"
#include "run/internal.h"
#include <math.h>
#include <string.h>

/* --- putting together ---------------------------------------------------------------------------- */

static void tell_doubts(const silr_dawid_skene *d)
{
    for (unsigned bit = 1; bit && bit <= d->doubts; bit <<= 1)
        if (d->doubts & bit)
            silr_log(SILR_LOG_WARN, "Dawid-Skene: %s", silr_doubt_text((silr_doubt)bit));
}

/* label[n], confidence[n]. */
static silr_status put_together(const silr_votes *v, silr_combine how, int *label, double *confidence,
                                silr_error *err)
{
    silr_dawid_skene d = {0};
    silr_status st;

    if (how != SILR_COMBINE_DAWID_SKENE)
        return silr_majority(label, confidence, v, NULL, err);
    if ((st = silr_dawid_skene_fit(&d, v, NULL, err)) != SILR_OK)
        return st;
    tell_doubts(&d);
    memcpy(label, d.label, v->n * sizeof *label);
    for (size_t i = 0; i < v->n; i++)
        confidence[i] = label[i] >= 0 ? silr_dawid_skene_posterior(&d, i)[label[i]] : (double)NAN;
    silr_dawid_skene_clear(&d);
    return SILR_OK;
}

static bool anybody(const silr_votes *v, size_t i)
{
    for (int m = 0; m < v->M; m++)
        if (v->label[m][i] != SILR_NO_LABEL)
            return true;
    return false;
}

static silr_status keep(silr_session *s, const silr_votes *v, silr_combine how,
                        const double *confidence, silr_error *err)
{
    silr_status st = silr_store_begin(s->store, err);

    if (st != SILR_OK)
        return st;
    st = silr_store_forget_source(s->store, SILR_SOURCE_USED, err);
    if (st == SILR_OK)
        st = silr_store_source_name(s->store, SILR_SOURCE_USED,
                                    how == SILR_COMBINE_DAWID_SKENE ? "Dawid-Skene" : "majority", err);
    for (size_t i = 0; st == SILR_OK && i < v->n; i++) {
        silr_annotation a = {.label = s->initial[i], .confidence = (float)NAN};
        if (silr_corpus_empty(s->corpus, i))
            continue;
        if (a.label == SILR_NO_LABEL) {
            a.reason = anybody(v, i) ? "the annotators are tied" : "no annotator has a label";
        } else {
            a.confidence = (float)confidence[i];
            a.basis = how == SILR_COMBINE_DAWID_SKENE ? SILR_BASIS_POSTERIOR : SILR_BASIS_VOTES;
        }
        st = silr_store_annotation(s->store, SILR_SOURCE_USED, i, &a, err);
    }
    if (st == SILR_OK)
        return silr_store_commit(s->store, err);
    silr_store_rollback(s->store);
    return st;
}

silr_status silr_session_combine(silr_session *s, const silr_task *task, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus);
    double *confidence = silr_alloc(n + 1, sizeof *confidence);
    silr_store_voters v = {0};
    silr_status st = confidence ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && (st = silr_store_votes(&v, s->store, task, n, err)) == SILR_OK &&
        (st = put_together(&v.votes, task->annotator.combine, s->initial, confidence, err)) ==
            SILR_OK)
        st = keep(s, &v.votes, task->annotator.combine, confidence, err);
    silr_store_votes_clear(&v);
    silr_free(confidence);
    return st;
}
