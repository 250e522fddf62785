/* scores.c - a labelling against the truth. READS THE TRUTH: for report/ and benches alone.
 *
 *     accuracy    right / all            recall_k     right of class k / truly k
 *     balanced    mean recall            precision_k  right of class k / called k
 *     f1_k        2 precision recall / (precision + recall)
 *
 * Two classes: precision, recall and f1 are those of class 0, the positive one. More: the mean over
 * the classes that occur. A zero denominator gives 0. */
#include "priors/inside.h"
#include <string.h>

typedef struct {
    double truly[SILR_MAX_CLASSES], called[SILR_MAX_CLASSES];
} margins;

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void class_scores(const silr_scores *s, const margins *m, int K, int k, double v[3])
{
    double right = (double)s->confusion[k * K + k];

    v[0] = ratio(right, m->called[k]);
    v[1] = ratio(right, m->truly[k]);
    v[2] = ratio(2 * v[0] * v[1], v[0] + v[1]);
}

static void summarise(silr_scores *s, const margins *m, int K)
{
    double right = 0, called = 0, recall = 0, truths = 0, sum[3] = {0}, occur = 0, v[3];

    for (int k = 0; k < K; k++) {
        class_scores(s, m, K, k, v);
        right += (double)s->confusion[k * K + k];
        called += m->called[k];
        if (m->truly[k] > 0) {
            recall += v[1];
            truths++;
        }
        if (m->truly[k] + m->called[k] > 0) {
            for (int i = 0; i < 3; i++)
                sum[i] += v[i];
            occur++;
        }
    }
    s->accuracy = ratio(right, (double)s->n);
    s->balanced_accuracy = ratio(recall, truths);
    if (K == 2) {
        class_scores(s, m, K, 0, sum);
        occur = 1;
        s->positive_rate = ratio(m->called[0], called);
    }
    s->precision = ratio(sum[0], occur);
    s->recall = ratio(sum[1], occur);
    s->f1 = ratio(sum[2], occur);
}

void silr_scores_make(silr_scores *out, const silr_corpus *c, int K, const uint32_t *docs, size_t n,
                      const int *pred, bool abstain_wrong)
{
    margins m;

    memset(out, 0, sizeof *out);
    memset(&m, 0, sizeof m);
    for (size_t i = 0; i < n; i++) {
        int y = silr_corpus_truth(c, docs[i]), p = pred[docs[i]];
        bool answered = p >= 0 && p < K;
        if (y < 0 || y >= K || (!answered && !abstain_wrong))
            continue;
        out->n++;
        m.truly[y]++;
        if (answered) {
            m.called[p]++;
            out->confusion[y * K + p]++;
        }
    }
    summarise(out, &m, K);
}
