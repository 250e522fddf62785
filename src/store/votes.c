/* votes.c - what each of several annotators said, side by side. */
#include "store/store.h"

void silr_store_votes_clear(silr_store_voters *v)
{
    for (int m = 0; v->label && m < v->votes.M; m++)
        silr_free(v->label[m]);
    silr_free(v->label);
    *v = (silr_store_voters){0};
}

silr_status silr_store_votes(silr_store_voters *out, silr_store *s, const silr_task *task, size_t n,
                             silr_error *err)
{
    const silr_task *used = silr_task_in_use(task);
    size_t M = used->annotator.kind == SILR_ANNOTATOR_SEVERAL ? used->annotator.n_members : 0;
    silr_status st = SILR_OK;

    *out = (silr_store_voters){.votes = {.n = n, .M = (int)M, .K = (int)task->n_classes}};
    if (M == 0)
        return SILR_OK;
    if (!(out->label = silr_calloc(M, sizeof *out->label)))
        return silr_fail_memory(err);
    for (size_t m = 0; m < M && st == SILR_OK; m++) {
        if (!(out->label[m] = silr_alloc(n + 1, sizeof **out->label)))
            st = silr_fail_memory(err);
        else
            st = silr_store_annotations(s, SILR_SOURCE((int)m + 1, 0), n, out->label[m], NULL, NULL,
                                        err);
    }
    out->votes.label = (const int *const *)out->label;
    if (st != SILR_OK)
        silr_store_votes_clear(out);
    return st;
}
