/* annotator.c - the annotator that the task names. */
#include "annotate/internal.h"

silr_status silr_annotator_new(silr_annotator **out, const silr_task *task,
                               const silr_annotator_means *means, silr_error *err)
{
    *out = NULL;
    switch (task->annotator.kind) {
    case SILR_ANNOTATOR_COLUMN:
        return silr_column_new(out, task, err);
    case SILR_ANNOTATOR_RULES:
        return silr_rules_new(out, task, err);
    case SILR_ANNOTATOR_CHAT:
        return silr_model_annotator_new(out, task, means, err);
    case SILR_ANNOTATOR_LOCAL:
        return silr_local_new(out, task, means, err);
    case SILR_ANNOTATOR_SEVERAL:
        break;
    }
    return silr_fail(err, SILR_EBUG, "several annotators are no annotator: ask each member");
}

const char *silr_basis_name(silr_basis b)
{
    static const char *const names[] = {"none", "votes", "log-probabilities", "Dawid-Skene"};
    return names[b];
}

void silr_annotator_free(silr_annotator *a)
{
    if (a)
        a->free(a);
}
