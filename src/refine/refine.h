/* refine.h - the loop of the paper's Figure 1, and ours.
 *
 * Takes a corpus with annotations and a labelled sample from the store, leaves iterations, final
 * labels and the classifier. Goes on where the store says it was stopped. */
#ifndef SILR_REFINE_H
#define SILR_REFINE_H

#include "classify/classifier.h"
#include "store/store.h"

typedef struct {
    bool force; /* go on where the verdict refuses */
} silr_refine_opts;

/* classifier_dir: where the deployed classifier is written; what a classifier keeps for itself lies
 * beside that folder. */
silr_status silr_refine(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                        const char *classifier_dir, const silr_refine_opts *opts, silr_error *err);

#endif
