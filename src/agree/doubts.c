/* doubts.c - when not to believe a Dawid-Skene fit.
 *
 * Unidentified. Three annotators with K classes have 3 K (K - 1) free error rates, and there are
 * K - 1 free pi. Two annotators show a table of K^2 - 1 free numbers, which is fewer: any number of
 * answers fit, and EM drifts among them to where the smoothing likes it best. Only texts with three
 * voices fix them (Kruskal 1977). A known truth is a voice that is always right, and worth two:
 * with it a single annotator's errors can be counted. We ask for at least as many such texts as
 * there are unknowns, and, where known truths are needed to get there, one of each class.
 *
 * Inverted. Pool all annotators: C[k][j] = P(vote j | true k). A vote for j should speak for j:
 * C[j][j] > C[k][j] for every other k. Where not, most votes for j fell to texts that EM calls k,
 * and j has lost its name.
 *
 * Feeble. Where votes contradict each other as often as if shuffled, what little structure they
 * have need not be the truth. 793 choices of 3 to 7 columns from five corpora that language models
 * labelled (bench/agree.sh): with alpha < 0.05 Dawid-Skene lost more than .01 of accuracy to the
 * majority in 153 of 321, and up to .41; with more in 19 of 472, and up to .05. With fifty known
 * truths, counted ten times, in 37 and in 2.
 *
 * Dependent. The model says that two annotators who see a text of true class k agree with
 * probability sum_j conf_a[k][j] conf_b[k][j]. Averaged over the texts that both labelled, by their
 * posterior, and taken from what was observed, this leaves the excess: agreement that truth and
 * skill do not explain, because two models learnt the same, or texts are hard. The posterior
 * counts such votes as independent evidence, and is too sure. Said above 0.02 and three standard
 * errors of what the model expects. */
#include "agree/inside.h"
#include <math.h>
#include <string.h>

const char *silr_doubt_text(silr_doubt one)
{
    switch (one) {
    case SILR_DOUBT_UNIDENTIFIED:
        return "too few texts have three votes to tell which annotator is better: the votes were "
               "only counted";
    case SILR_DOUBT_UNANIMOUS:
        return "the annotators never contradict each other, so nothing tells how good they are";
    case SILR_DOUBT_SILENT:
        return "an annotator labelled nothing";
    case SILR_DOUBT_INVERTED:
        return "votes for a class speak more for another one: classes may have changed names";
    case SILR_DOUBT_LOST:
        return "a class that got votes was given to no text";
    case SILR_DOUBT_FEEBLE:
        return "the annotators agree hardly more than by chance: what they have in common need not "
               "be the truth";
    case SILR_DOUBT_DEPENDENT:
        return "annotators agree more than their skill explains: they err together, and the "
               "probabilities are too sure";
    }
    return "";
}

/* Error rates and pi to be found: of three annotators, or of those there are. */
static size_t unknowns(int M, int K)
{
    size_t k = (size_t)K, voices = M < 3 ? (size_t)M : 3;
    return voices * k * (k - 1) + k - 1;
}

typedef struct {
    size_t votes;     /* texts with three votes or more */
    size_t known;     /* texts with a vote or more and a known truth */
    size_t three;     /* either */
    bool every_class; /* known truths of all classes among them */
} voices;

static voices count_voices(const silr_patterns *p)
{
    bool seen[SILR_AGREE_CLASSES] = {false};
    int counts[SILR_AGREE_CLASSES];
    voices v = {.every_class = true};

    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        int cast = silr_row_counts(counts, p->K, row, p->M);
        bool known = cast > 0 && row[p->M] != SILR_NOBODY;
        v.votes += cast >= 3 ? p->count[u] : 0;
        v.known += known ? p->count[u] : 0;
        v.three += cast >= 3 || known ? p->count[u] : 0;
        if (known)
            seen[row[p->M]] = true;
    }
    for (int k = 0; k < p->K; k++)
        v.every_class = v.every_class && seen[k];
    return v;
}

bool silr_doubts_identified(silr_dawid_skene *d, const silr_patterns *p)
{
    voices v = count_voices(p);

    d->three = v.three;
    return v.votes >= unknowns(p->M, p->K) || (v.every_class && v.three >= unknowns(p->M, p->K));
}

/* C[k][j] over all annotators, counts; and accuracy, each annotator's diagonal. */
static void pool(double *C, silr_dawid_skene *d, const silr_patterns *p, const double *T)
{
    const size_t K = (size_t)p->K;
    double votes, right;

    for (size_t m = 0; m < (size_t)p->M; m++) {
        votes = right = 0;
        for (size_t u = 0; u < p->unique; u++) {
            uint8_t said = p->vote[u * p->width + m];
            if (said == SILR_NOBODY)
                continue;
            for (size_t k = 0; k < K; k++)
                C[k * K + said] += p->count[u] * T[u * K + k];
            votes += p->count[u];
            right += p->count[u] * T[u * K + said];
        }
        d->accuracy[m] = votes > 0 ? right / votes : (double)NAN;
        if (!(votes > 0))
            d->doubts |= SILR_DOUBT_SILENT;
    }
}

static void find_inverted(silr_dawid_skene *d, const double *C, int K)
{
    double row[SILR_AGREE_CLASSES];

    for (int k = 0; k < K; k++) {
        row[k] = 0;
        for (int j = 0; j < K; j++)
            row[k] += C[k * K + j];
    }
    for (int j = 0; j < K; j++) {
        double own = row[j] > 0 ? C[j * K + j] / row[j] : 0;
        for (int k = 0; k < K; k++)
            if (row[k] >= 1 && C[k * K + j] / row[k] > own + 1e-9)
                d->inverted[j] = true;
        if (d->inverted[j])
            d->doubts |= SILR_DOUBT_INVERTED;
    }
}

/* Nobody contradicted anybody; a class with votes and without texts. */
static void find_flat(silr_dawid_skene *d, const silr_patterns *p, const double *T)
{
    double texts[SILR_AGREE_CLASSES] = {0};
    bool voted[SILR_AGREE_CLASSES] = {false}, contradicted = false;

    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        int first = SILR_NOBODY;
        for (int m = 0; m <= p->M; m++) {
            if (row[m] == SILR_NOBODY)
                continue;
            first = first == SILR_NOBODY ? row[m] : first;
            contradicted = contradicted || row[m] != first;
            voted[row[m]] = true;
        }
        for (int k = 0; k < p->K && first != SILR_NOBODY; k++)
            texts[k] += p->count[u] * T[u * (size_t)p->K + (size_t)k];
    }
    if (!contradicted)
        d->doubts |= SILR_DOUBT_UNANIMOUS;
    for (int k = 0; k < p->K; k++)
        if (voted[k] && texts[k] < 0.5)
            d->doubts |= SILR_DOUBT_LOST;
}

/* Texts that a and b both labelled, the share on which they should say the same by pi and conf, and
 * how much more often they did. */
typedef struct {
    double both, explained, excess;
} meeting;

static meeting meet(const silr_dawid_skene *d, const silr_patterns *p, const double *T, int a,
                    int b)
{
    const size_t K = (size_t)p->K;
    const double *conf_a = d->conf + (size_t)a * K * K, *conf_b = d->conf + (size_t)b * K * K;
    double mass[SILR_AGREE_CLASSES] = {0}, same = 0;
    meeting it = {0};

    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        if (row[a] == SILR_NOBODY || row[b] == SILR_NOBODY)
            continue;
        it.both += p->count[u];
        same += row[a] == row[b] ? p->count[u] : 0;
        for (size_t k = 0; k < K; k++)
            mass[k] += p->count[u] * T[u * K + k];
    }
    if (!(it.both > 0))
        return it;
    for (size_t k = 0; k < K; k++)
        for (size_t j = 0; j < K; j++)
            it.explained += mass[k] * conf_a[k * K + j] * conf_b[k * K + j] / it.both;
    it.excess = same / it.both - it.explained;
    return it;
}

static void find_dependent(silr_dawid_skene *d, const silr_patterns *p, const double *T)
{
    for (int a = 0; a < p->M; a++)
        for (int b = a + 1; b < p->M; b++) {
            meeting it = meet(d, p, T, a, b);
            double variance = it.explained * (1 - it.explained);
            d->excess[a * p->M + b] = d->excess[b * p->M + a] = it.excess;
            if (it.excess > 0.02 && it.excess * it.excess * it.both > 9 * variance)
                d->doubts |= SILR_DOUBT_DEPENDENT;
        }
}

static void find_feeble(silr_dawid_skene *d, const silr_patterns *p)
{
    voices v = count_voices(p);

    d->alpha = silr_patterns_alpha(p);
    if (d->alpha < 0.05 && !(v.every_class && v.known >= unknowns(p->M, p->K)))
        d->doubts |= SILR_DOUBT_FEEBLE;
}

silr_status silr_doubts_find(silr_dawid_skene *d, const silr_patterns *p, const double *T,
                             silr_error *err)
{
    const size_t K = (size_t)p->K;
    double *C = silr_calloc(K * K, sizeof *C);

    if (!C)
        return silr_fail_memory(err);
    pool(C, d, p, T);
    find_inverted(d, C, p->K);
    find_flat(d, p, T);
    find_feeble(d, p);
    if (!(d->doubts & SILR_DOUBT_UNIDENTIFIED))
        find_dependent(d, p, T);
    silr_free(C);
    return SILR_OK;
}
