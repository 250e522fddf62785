/* disagree.c - where several annotators are of several opinions.
 *
 * A text on which they are is more often labelled wrongly than one on which all agree, and not all
 * alike: knowing which it is tells theta apart. `silr label` therefore asks for the two kinds
 * separately, and the labelled sample is weighed by them. An annotator that abstained or failed has
 * no opinion; one opinion is no disagreement. */
#include "run/internal.h"
#include <string.h>

void silr_disagreement_add(const int *label, size_t n, int *first, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        if (label[i] == SILR_NO_LABEL)
            continue;
        if (first[i] == SILR_NO_LABEL)
            first[i] = label[i];
        else if (first[i] != label[i])
            out[i] = 1;
    }
}

silr_status silr_session_disagreement(silr_session *s, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus);
    int *first = NULL, *label = NULL;
    uint8_t *out = NULL;
    silr_status st = SILR_OK;

    if (!s->store || s->task->annotator.kind != SILR_ANNOTATOR_SEVERAL)
        return SILR_OK;
    first = silr_alloc(n + 1, sizeof *first);
    label = silr_alloc(n + 1, sizeof *label);
    out = silr_calloc(n + 1, sizeof *out);
    if (!first || !label || !out) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        first[i] = SILR_NO_LABEL;
    for (size_t m = 0; m < s->task->annotator.n_members && st == SILR_OK; m++) {
        st = silr_store_annotations(s->store, SILR_SOURCE((int)m + 1, 0), n, label, NULL, NULL, err);
        if (st == SILR_OK)
            silr_disagreement_add(label, n, first, out);
    }
    if (st != SILR_OK)
        goto done;
    silr_free(s->disagreed);
    s->disagreed = out;
    out = NULL;
done:
    silr_free(first);
    silr_free(label);
    silr_free(out);
    return st;
}
