/* confident.c - Theta for K classes without a label: confident learning (Northcutt et al. 2021).
 *
 * With class probabilities p from models that did not see the text, a text counts as truly of
 * class k when p_k is at least what is usual among texts labelled k, and the largest of those that
 * are:
 *
 *     t_k = mean of p_k over set k
 *     C[j][k] = #{ i in set j : k = argmax of p_ik over the k with p_ik >= t_k }
 *     Theta[j] = C[j] / sum C[j]
 *
 * A set of which no text counts gets a row that knows nothing, 1/K each. */
#include "priors/priors.h"
#include <string.h>

static void thresholds(double *t, int K, const double *p, const int *set, size_t n)
{
    double count[SILR_MAX_CLASSES] = {0};

    for (int k = 0; k < K; k++)
        t[k] = 0;
    for (size_t i = 0; i < n; i++) {
        int j = set[i];
        if (j < 0 || j >= K)
            continue;
        t[j] += p[i * (size_t)K + (size_t)j];
        count[j]++;
    }
    for (int k = 0; k < K; k++)
        t[k] = count[k] > 0 ? t[k] / count[k] : 2; /* no text can pass */
}

silr_status silr_confident_theta(double *theta, int K, const double *p, const int *set, size_t n,
                                 silr_error *err)
{
    double t[SILR_MAX_CLASSES];

    if (K < 2 || K > SILR_MAX_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%d classes: silr takes 2 to %d", K, SILR_MAX_CLASSES);
    thresholds(t, K, p, set, n);
    memset(theta, 0, sizeof(double) * (size_t)(K * K));
    for (size_t i = 0; i < n; i++) {
        const double *row = p + i * (size_t)K;
        int best = -1;
        if (set[i] < 0 || set[i] >= K)
            continue;
        for (int k = 0; k < K; k++)
            if (row[k] >= t[k] && (best < 0 || row[k] > row[best]))
                best = k;
        if (best >= 0)
            theta[set[i] * K + best]++;
    }
    for (int j = 0; j < K; j++) {
        double sum = 0;
        for (int k = 0; k < K; k++)
            sum += theta[j * K + k];
        for (int k = 0; k < K; k++)
            theta[j * K + k] = sum > 0 ? theta[j * K + k] / sum : 1.0 / K;
    }
    return SILR_OK;
}
