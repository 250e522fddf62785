/* oracle.c - theta from every true label of the pool. READS THE TRUTH: only for labelled: oracle,
 * which is stamped on all that comes out. Plain ratios, without smoothing; a set without a single
 * known truth gets a row that knows nothing, 1/K each. */
#include "priors/inside.h"
#include <string.h>

void silr_priors_oracle(silr_priors *out, const silr_task *task, const silr_corpus *c,
                        const int *pseudo)
{
    double counts[SILR_MAX_CLASSES] = {0};
    int K = (int)task->n_classes;

    memset(out, 0, sizeof *out);
    out->K = K;
    out->known = true;
    for (size_t i = 0; i < silr_corpus_size(c); i++) {
        int j = pseudo[i], k;
        if (!silr_in_pool(c, i) || j < 0 || j >= K)
            continue;
        counts[j]++;
        k = silr_corpus_truth(c, i);
        if (k >= 0 && k < K) {
            out->theta[j * K + k]++;
            out->n_eff[j]++;
        }
    }
    for (int j = 0; j < K; j++) {
        out->hits[j] = out->theta[j * K + (K == 2 ? 0 : j)];
        for (int k = 0; k < K; k++)
            out->theta[j * K + k] =
                out->n_eff[j] > 0 ? out->theta[j * K + k] / out->n_eff[j] : 1.0 / K;
    }
    silr_priors_mix(out, counts);
    silr_priors_posterior(out, 0);
}
