/* votes.c - texts one by one: the label most annotators chose, and how far apart they are. */
#include "agree/inside.h"
#include <math.h>

/* Votes on text i into counts[K], how many were cast into *cast. */
static silr_status count_votes(int *counts, int *cast, const silr_votes *v, size_t i,
                               silr_error *err)
{
    *cast = 0;
    for (int k = 0; k < v->K; k++)
        counts[k] = 0;
    for (int m = 0; m < v->M; m++) {
        int label = v->label[m][i];
        if (label == SILR_NO_LABEL)
            continue;
        if (label < 0 || label >= v->K)
            return silr_votes_refuse(m, i, label, v->K, err);
        counts[label]++;
        ++*cast;
    }
    return SILR_OK;
}

/* Of the classes with `top` votes the one that T puts first; none where two are as probable. */
static int break_tie(const int *counts, int top, const double *T, int K)
{
    double best = -1, second = -1;
    int label = SILR_NO_LABEL;

    for (int k = 0; k < K; k++) {
        if (counts[k] != top)
            continue;
        second = fmax(second, fmin(T[k], best));
        if (T[k] > best) {
            best = T[k];
            label = k;
        }
    }
    return best - second < 1e-9 ? SILR_NO_LABEL : label;
}

silr_status silr_majority(int *label, double *share, const silr_votes *v,
                          const silr_dawid_skene *breaker, silr_error *err)
{
    int counts[SILR_AGREE_CLASSES];
    silr_status st;

    if ((st = silr_votes_check(v, err)) != SILR_OK)
        return st;
    SILR_ASSERT(!breaker || (breaker->n == v->n && breaker->K == v->K));
    for (size_t i = 0; i < v->n; i++) {
        int cast, top, on_top;
        if ((st = count_votes(counts, &cast, v, i, err)) != SILR_OK)
            return st;
        top = silr_top_count(counts, v->K, &on_top);
        label[i] = SILR_NO_LABEL;
        if (cast > 0 && on_top == 1)
            label[i] = top;
        else if (cast > 0 && breaker)
            label[i] = break_tie(counts, counts[top], silr_dawid_skene_posterior(breaker, i), v->K);
        if (share)
            share[i] = cast > 0 ? (double)counts[top] / cast : 0;
    }
    return SILR_OK;
}

/* -sum p log p / log K of p = weight / total; nothing weighs: 0. */
static double entropy(const double *weight, double total, int K)
{
    double sum = 0;

    for (int k = 0; k < K; k++)
        if (weight[k] > 0)
            sum -= weight[k] / total * log(weight[k] / total);
    return fmin(1, fmax(0, sum / log(K))); /* not 1 + 2e-16 */
}

silr_status silr_disagreement(double *out, const silr_votes *v, const silr_dawid_skene *of,
                              silr_error *err)
{
    int counts[SILR_AGREE_CLASSES], cast;
    double weight[SILR_AGREE_CLASSES];
    silr_status st;

    if ((st = silr_votes_check(v, err)) != SILR_OK)
        return st;
    SILR_ASSERT(!of || (of->n == v->n && of->K == v->K));
    for (size_t i = 0; i < v->n; i++) {
        if ((st = count_votes(counts, &cast, v, i, err)) != SILR_OK)
            return st;
        for (int k = 0; k < v->K; k++)
            weight[k] = counts[k];
        if (of)
            out[i] = entropy(silr_dawid_skene_posterior(of, i), 1, v->K);
        else
            out[i] = entropy(weight, cast, v->K);
    }
    return SILR_OK;
}
