/* inside.h - what the files of priors/ share. */
#ifndef SILR_PRIORS_INSIDE_H
#define SILR_PRIORS_INSIDE_H

#include "priors/priors.h"

/* Fills rho, pi and intervals of no width from theta and the sizes of the sets. */
void silr_priors_mix(silr_priors *p, const double *counts);
/* The two measures of signal of posterior.c, from one Theta. */
double silr_priors_signal(int K, const double *theta, const double *rho);
/* The sd of the signal: exact for two classes, for more to first order. */
double silr_priors_signal_sd(const silr_priors *p);
/* Pseudo-counts a row of Theta is shrunk with: 2, or 2K for K > 2 (theta.c). */
static inline double silr_priors_strength(int K)
{
    return K == 2 ? 2 : 2.0 * K;
}
/* B6's prior rows from weighted counts N[K][K] worth n_eff[K] labels. */
void silr_priors_shared_rows(double *prior, const double *N, const double *n_eff, int K);

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
