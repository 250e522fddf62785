/* cells.c - which text to label next, and what a sample says that was chosen so.
 *
 * Set j is made up of cells, c of which is the share v_c of it. In cell c, n_c labelled texts were
 * drawn at random, whatever made us draw so many there; seen_c[k] of them are of class k. With
 * S pseudo-counts of the prior row P_j (theta.c), dealt to the cells by their size,
 *
 *     theta_c = (seen_c + S v_c P_j) / s_c        s_c = n_c + S v_c
 *     Theta[j] = sum_c v_c theta_c                 one cell a set: theta.c's estimate
 *     Var(Theta[j][j]) = sum_c v_c^2 V_c           V_c = theta_cj (1 - theta_cj) / (s_c + 1)
 *
 * n_eff is what makes a Beta of that mean and variance, so that posterior.c needs not know of cells.
 * Kish's n_eff, from the weights alone, takes what tells the cells apart for noise: of two cells, .8
 * with 10 right of 10 and .2 with 6 of 10, it makes 15 labels, we 26.
 *
 * The next label. A Beta of strength s and variance V is expected to lose V / (s + 1) of it by one
 * more label, whatever its mean. So a label in cell c of set j takes
 *
 *     from Var(D)           g_D = v_c^2 V_c / (s_c + 1)         D = theta_p - theta_n; for K classes
 *                                 (by K^2)                      the mean purity of the sets
 *     from Var(accuracy)    g_A = rho_j^2 v_c^2 V_c / (s_c + 1)
 *
 * and the largest g_D / Var(D) + g_A / Var(accuracy) is next: the largest expected fall of the product
 * of the two. Refining lives on D, the certificate is about the accuracy. The first alone leads to
 * equal halves of alike sets, the second to Neyman's n_c ~ rho_j v_c sd_c (B9). Two things were
 * measured (tests/priors/test_cells.c holds on to them):
 *
 * - V_c in the gain has two labels more, one right and one wrong, dealt by size. Without them a cell
 *   that began with a streak is left alone: with theta .8 and .3 the error of D was 3 % larger.
 * - To ask for D alone while P(D > 0.05) is under .95 is no quicker, and stops when it is lucky: with
 *   theta_p .25 of a tenth of the texts its estimate came out .014 too high; by the sum, .002.
 *
 * A cell without labels borrows from its set's other cells. That is a bias until it has one; so it
 * comes first once its set has three. */
#include "priors/inside.h"
#include <math.h>
#include <string.h>

/* With more labels the estimate of D moves, and its sd falls from s to s'. What it moves by has mean 0
 * and variance s^2 - s'^2, which gives the chance q to end where D - 0.05 is 1.645 s' or more. The
 * way there may have crossed that line and come back: by the reflection principle a walk without
 * drift does so as often as it stays beyond, so the chance to have reached it is 2 q. At 1/2 that is
 * the median number of labels; simulated it comes within a factor of 2 (tests/priors/test_cells.c),
 * where going on at the present rates says 2 to 10 times too many. */
double silr_priors_reaches(const silr_priors *now, const silr_priors *then)
{
    double away = silr_priors_signal(now->K, now->theta, now->rho) - 0.05;
    double s = silr_priors_signal_sd(now), later = silr_priors_signal_sd(then);
    double moves = sqrt(fmax(s * s - later * later, 0)), beyond = away - 1.645 * later;

    if (!(moves > 0))
        return beyond >= 0 ? 1 : 0;
    return fmin(erfc(-beyond / moves / sqrt(2)), 1);
}

static double diagonal_variance(const silr_priors *p, int j)
{
    double t = p->theta[j * p->K + j];

    return p->known ? 0 : t * (1 - t) / (p->n_eff[j] + silr_priors_strength(p->K) + 1);
}

silr_interval silr_priors_accuracy(const silr_priors *p)
{
    double mean = 0, variance = 0, half;

    for (int j = 0; j < p->K; j++) {
        mean += p->rho[j] * p->theta[j * p->K + j];
        variance += p->rho[j] * p->rho[j] * diagonal_variance(p, j);
    }
    half = 1.96 * sqrt(variance);
    return (silr_interval){mean, fmax(mean - half, 0), fmin(mean + half, 1)};
}

/* --- the estimate ------------------------------------------------------------------------------ */

/* What the cells of each set come to together. */
typedef struct {
    double size[SILR_MAX_CLASSES], labelled[SILR_MAX_CLASSES]; /* of all its cells; of those with labels */
    double n[SILR_MAX_CLASSES];
    double prior[SILR_MAX_CLASSES * SILR_MAX_CLASSES];
} sets;

/* The cell's share of its set, and of the set's prior. A cell without labels is stood for by the
 * others, unless none has any. */
static double share_of(const sets *s, const silr_cell *c)
{
    if (s->labelled[c->set] > 0)
        return c->n > 0 ? c->size / s->labelled[c->set] : 0;
    return c->size / s->size[c->set];
}

static void sum_up(sets *s, int K, const silr_cell *cell, size_t n)
{
    double N[SILR_MAX_CLASSES * SILR_MAX_CLASSES];

    for (int j = 0; j < K; j++)
        s->size[j] = s->labelled[j] = s->n[j] = 0;
    memset(N, 0, (size_t)(K * K) * sizeof *N);
    for (size_t c = 0; c < n; c++) {
        s->size[cell[c].set] += cell[c].size;
        s->n[cell[c].set] += cell[c].n;
        s->labelled[cell[c].set] += cell[c].n > 0 ? cell[c].size : 0;
    }
    for (size_t c = 0; c < n; c++)
        for (int k = 0, j = cell[c].set; k < K && cell[c].n > 0; k++)
            N[j * K + k] += s->n[j] * share_of(s, &cell[c]) * cell[c].seen[k] / cell[c].n;
    if (K == 2)
        s->prior[0] = s->prior[1] = s->prior[2] = s->prior[3] = 0.5;
    else
        silr_priors_shared_rows(s->prior, N, s->n, K);
}

/* Beta(mean strength, (1 - mean) strength) of class k in a cell that is `share` of its set. */
static double cell_mean(const sets *s, int K, const silr_cell *c, double share, int k)
{
    double pseudo = silr_priors_strength(K) * share;
    return (c->seen[k] + pseudo * s->prior[c->set * K + k]) / (c->n + pseudo);
}

static double cell_variance(const sets *s, int K, const silr_cell *c, double share)
{
    double mean = cell_mean(s, K, c, share, c->set);
    return mean * (1 - mean) / (c->n + silr_priors_strength(K) * share + 1);
}

/* n_eff and hits of set j, from the variance of its diagonal. */
static void match_strength(silr_priors *p, int j, double variance, double prior)
{
    int K = p->K;
    double t = p->theta[j * K + j], strength = silr_priors_strength(K);

    p->n_eff[j] = fmax(t * (1 - t) / variance - 1 - strength, 0);
    t = p->theta[j * K + (K == 2 ? 0 : j)];
    p->hits[j] = fmin(fmax(t * (p->n_eff[j] + strength) - strength * prior, 0), p->n_eff[j]);
}

static void estimate(silr_priors *out, sets *s, int K, const silr_cell *cell, size_t n)
{
    double variance[SILR_MAX_CLASSES] = {0};

    memset(out, 0, sizeof *out);
    out->K = K;
    sum_up(s, K, cell, n);
    for (size_t c = 0; c < n; c++) {
        int j = cell[c].set;
        double share = share_of(s, &cell[c]);
        if (!(share > 0))
            continue;
        for (int k = 0; k < K; k++)
            out->theta[j * K + k] += share * cell_mean(s, K, &cell[c], share, k);
        variance[j] += share * share * cell_variance(s, K, &cell[c], share);
    }
    for (int j = 0; j < K; j++) {
        if (s->size[j] > 0) {
            match_strength(out, j, variance[j], s->prior[j * K + (K == 2 ? 0 : j)]);
            continue;
        }
        for (int k = 0; k < K; k++) /* the annotator never gave this label */
            out->theta[j * K + k] = s->prior[j * K + k];
    }
    silr_priors_mix(out, s->size);
}

void silr_priors_cells(silr_priors *out, int K, const silr_cell *cell, size_t n)
{
    sets s;
    estimate(out, &s, K, cell, n);
}

/* --- cells of a sample that was drawn ---------------------------------------------------------- */

/* The cell of a text, found or made; SIZE_MAX: too many. */
static size_t find_cell(silr_cell *cell, double *weight, size_t *n, int set, double w)
{
    for (size_t c = 0; c < *n; c++)
        if (cell[c].set == set && !(weight[c] < w) && !(weight[c] > w))
            return c;
    if (*n == SILR_MAX_CELLS)
        return SIZE_MAX;
    memset(&cell[*n], 0, sizeof *cell);
    cell[*n].set = set;
    weight[*n] = w;
    return (*n)++;
}

/* Gathers the sample's cells; false: a set that is used has one weight alone in all cases, or the
 * weights are no strata's. */
static bool gather(silr_cell *cell, size_t *n_cells, int K, const double *counts, size_t n,
                   const int *pseudo, const int *truth, const double *w)
{
    double weight[SILR_MAX_CELLS], sum[SILR_MAX_CLASSES] = {0};
    size_t sets_used = 0;

    *n_cells = 0;
    for (size_t i = 0; i < n; i++) {
        size_t c;
        int j = pseudo[i], k = truth[i];
        if (j < 0 || j >= K || k < 0 || k >= K || !(w[i] > 0))
            continue;
        if ((c = find_cell(cell, weight, n_cells, j, w[i])) == SIZE_MAX)
            return false;
        sets_used += sum[j] > 0 ? 0 : 1;
        sum[j] += w[i];
        cell[c].size += w[i];
        cell[c].n++;
        cell[c].seen[k]++;
    }
    for (size_t c = 0; c < *n_cells; c++)
        cell[c].size *= counts[cell[c].set] / sum[cell[c].set];
    return *n_cells > sets_used;
}

void silr_priors_drawn(silr_priors *out, int K, const double *counts, size_t n, const int *pseudo,
                       const int *truth, const double *weight)
{
    silr_cell cell[SILR_MAX_CELLS];
    size_t n_cells;

    if (weight && gather(cell, &n_cells, K, counts, n, pseudo, truth, weight)) {
        silr_priors_cells(out, K, cell, n_cells);
        silr_priors_mix(out, counts); /* a set without a labelled text has a size too */
    } else {
        silr_priors_estimate(out, K, counts, n, pseudo, truth, weight);
    }
}

/* --- the next label ---------------------------------------------------------------------------- */

enum { BORROWS = 3 }; /* labels of a set after which no cell of it may be without */

/* The fall of Var(Theta[j][j]) that one more label in the cell is expected to bring. */
static double gain(const sets *s, int K, const silr_cell *c)
{
    double share = c->n > 0 ? share_of(s, c) : c->size / s->size[c->set];
    double strength = c->n + silr_priors_strength(K) * share;
    double right = cell_mean(s, K, c, share, c->set) * strength + share;
    double mean = right / (strength + 2 * share);

    return share * share * mean * (1 - mean) / ((strength + 1) * (strength + 1));
}

size_t silr_cells_next(int K, const silr_cell *cell, size_t n, int set)
{
    silr_priors p;
    sets s;
    double var_d = 0, var_a = 0, most = -1;
    size_t best = SIZE_MAX;

    estimate(&p, &s, K, cell, n);
    for (int j = 0; j < K; j++) {
        var_d += diagonal_variance(&p, j);
        var_a += p.rho[j] * p.rho[j] * diagonal_variance(&p, j);
    }
    for (size_t c = 0; c < n; c++) {
        int j = cell[c].set;
        double g;
        if (cell[c].left == 0 || (set >= 0 && j != set))
            continue;
        g = gain(&s, K, &cell[c]) * (1 / var_d + p.rho[j] * p.rho[j] / var_a);
        if (!(cell[c].n > 0) && s.n[j] >= BORROWS)
            g += 2; /* more than any label can bring */
        if (g > most) {
            most = g;
            best = c;
        }
    }
    return best;
}

void silr_cells_expect(int K, silr_cell *cell, size_t n, size_t at)
{
    sets s;
    silr_cell *c = &cell[at];
    double share, mean[SILR_MAX_CLASSES];

    sum_up(&s, K, cell, n);
    share = c->n > 0 ? share_of(&s, c) : c->size / s.size[c->set];
    for (int k = 0; k < K; k++)
        mean[k] = cell_mean(&s, K, c, share, k);
    for (int k = 0; k < K; k++)
        c->seen[k] += mean[k];
    c->n++;
    c->left -= c->left > 0;
}
