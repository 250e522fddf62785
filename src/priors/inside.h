/* inside.h - what the files of priors/ share. */
#ifndef SILR_PRIORS_INSIDE_H
#define SILR_PRIORS_INSIDE_H

#include "priors/priors.h"

/* Fills rho, pi and intervals of no width from theta and the sizes of the sets. */
void silr_priors_mix(silr_priors *p, const double *counts);
/* The two measures of signal of posterior.c, from one Theta. */
double silr_priors_signal(int K, const double *theta, const double *rho);

/* Documents that training and the sample may use: not test, not empty. */
static inline bool silr_in_pool(const silr_corpus *c, size_t i)
{
    return silr_corpus_split(c, i) != SILR_TEST && !silr_corpus_empty(c, i);
}

/* Adds one document to a sample that grows; sample_file.c and sample.c. */
typedef struct {
    silr_sample s;
    size_t cap_doc, cap_truth;
} sample_list;
silr_status silr_sample_push(sample_list *l, uint32_t doc, int truth, silr_error *err);
/* The rows of labelled.file; test documents and empty texts are passed over. */
silr_status silr_sample_from_file(sample_list *l, const silr_task *task, const silr_corpus *c,
                                  silr_error *err);

#endif
