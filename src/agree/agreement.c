/* agreement.c - do the annotators say the same, and more often than by chance?
 *
 * Of two annotators, over the texts that both labelled (n[j][l]: a says j, b says l):
 *
 *     observed agreement   p_o = sum_j n[j][j] / n
 *     chance agreement     p_e = sum_j n[j][.] n[.][j] / n^2        each keeps its own habits
 *     Cohen's kappa        (p_o - p_e) / (1 - p_e)
 *
 * Two annotators who call nine texts of ten negative agree on .82 of them by chance; kappa takes
 * that out. The interval of p_o is Jeffreys': quantiles of Beta(1/2 + same, 1/2 + not), reaching 0
 * and 1 at none and all of n.
 *
 * Of all annotators together, Krippendorff's alpha for names (nominal data), which needs no full
 * table: a text with m >= 2 votes, n_c of them for c, holds m (m - 1) ordered pairs of votes, each
 * counted 1 / (m - 1), so that the text weighs as many as it has votes:
 *
 *     D_o = sum over texts of (m (m - 1) - sum_c n_c (n_c - 1)) / (m - 1)      pairs that differ
 *     D_e = (N^2 - sum_c N_c^2) / (N - 1)            the same if all votes were shuffled
 *     alpha = 1 - D_o / D_e                          N_c: votes for c in these texts, N = sum_c N_c
 *
 * 1: no contradiction; 0: as if shuffled; below: they contradict each other. With a full table it
 * is Fleiss' kappa but for a term in 1/N: alpha = kappa + (1 - kappa) / N.
 *
 * High agreement does not mean right: annotators that err together agree, too. */
#include "agree/inside.h"
#include <math.h>
#include <string.h>

double silr_patterns_alpha(const silr_patterns *p)
{
    double differ = 0, votes[SILR_AGREE_CLASSES] = {0}, N = 0, square = 0;
    int counts[SILR_AGREE_CLASSES];

    for (size_t u = 0; u < p->unique; u++) {
        int m = silr_row_counts(counts, p->K, p->vote + u * p->width, p->M), same = 0;
        if (m < 2)
            continue;
        for (int k = 0; k < p->K; k++) {
            same += counts[k] * (counts[k] - 1);
            votes[k] += (double)p->count[u] * counts[k];
        }
        differ += (double)p->count[u] * (m * (m - 1) - same) / (m - 1);
    }
    for (int k = 0; k < p->K; k++) {
        N += votes[k];
        square += votes[k] * votes[k];
    }
    return square < N * N ? 1 - (N - 1) * differ / (N * N - square) : (double)NAN;
}

static void count_texts(silr_agreement *a, const silr_patterns *p)
{
    int counts[SILR_AGREE_CLASSES];

    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        int m = silr_row_counts(counts, p->K, row, p->M), on_top;
        int top = silr_top_count(counts, p->K, &on_top);
        for (int s = 0; s < p->M; s++)
            a->spoke[s] += row[s] != SILR_NOBODY ? p->count[u] : 0;
        a->labelled += m >= 1 ? p->count[u] : 0;
        a->compared += m >= 2 ? p->count[u] : 0;
        a->unanimous += m >= 2 && counts[top] == m ? p->count[u] : 0;
        a->tied += m >= 2 && on_top > 1 ? p->count[u] : 0;
    }
    for (int s = 0; s < p->M; s++)
        a->coverage[s] = p->n ? (double)a->spoke[s] / (double)p->n : 0;
}

/* table[j*K+l]: texts that a called j and b called l. */
static void cross_table(double *table, const silr_patterns *p, int a, int b)
{
    memset(table, 0, sizeof *table * (size_t)(p->K * p->K));
    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        if (row[a] != SILR_NOBODY && row[b] != SILR_NOBODY)
            table[row[a] * p->K + row[b]] += p->count[u];
    }
}

static void compare(silr_agreement_pair *out, const double *table, int K)
{
    double n = 0, same = 0, chance = 0; /* chance: n^2 p_e, exact while n < 2^26 */

    for (int j = 0; j < K; j++) {
        double row = 0, column = 0;
        for (int l = 0; l < K; l++) {
            row += table[j * K + l];
            column += table[l * K + j];
        }
        n += row;
        same += table[j * K + j];
        chance += row * column;
    }
    out->both = (size_t)n;
    out->same = (size_t)same;
    out->agreement = n > 0 ? same / n : (double)NAN;
    out->low = same > 0 ? silr_beta_quantile(same + 0.5, n - same + 0.5, 0.025) : 0;
    out->high = same < n ? silr_beta_quantile(same + 0.5, n - same + 0.5, 0.975) : 1;
    out->kappa = chance < n * n ? (n * same - chance) / (n * n - chance) : (double)NAN;
}

silr_status silr_agreement_make(silr_agreement *out, const silr_votes *v, silr_error *err)
{
    silr_agreement a = {.M = v->M, .K = v->K, .n = v->n};
    silr_patterns p = {0};
    double *table = NULL;
    silr_status st;
    size_t at = 0;

    memset(out, 0, sizeof *out);
    if ((st = silr_patterns_make(&p, v, NULL, err)) != SILR_OK)
        goto done;
    a.pairs = (size_t)a.M * (size_t)(a.M - 1) / 2;
    a.spoke = silr_calloc((size_t)a.M, sizeof *a.spoke);
    a.coverage = silr_calloc((size_t)a.M, sizeof *a.coverage);
    a.pair = silr_calloc(a.pairs, sizeof *a.pair);
    table = silr_alloc((size_t)a.K * (size_t)a.K, sizeof *table);
    if (!a.spoke || !a.coverage || !a.pair || !table) {
        st = silr_fail_memory(err);
        goto done;
    }
    count_texts(&a, &p);
    a.alpha = silr_patterns_alpha(&p);
    for (int i = 0; i < a.M; i++)
        for (int j = i + 1; j < a.M; j++, at++) {
            a.pair[at].a = i;
            a.pair[at].b = j;
            cross_table(table, &p, i, j);
            compare(&a.pair[at], table, a.K);
        }
    *out = a;
    memset(&a, 0, sizeof a);
done:
    silr_free(table);
    silr_agreement_clear(&a);
    silr_patterns_clear(&p);
    return st;
}

void silr_agreement_clear(silr_agreement *a)
{
    silr_free(a->spoke);
    silr_free(a->coverage);
    silr_free(a->pair);
    memset(a, 0, sizeof *a);
}
