/* dawid_skene.c - who is right, and who is good, each found from the other.
 *
 * Suppose that a text has a true class k, drawn with probability pi_k, and that annotator m,
 * knowing only k, says j with probability conf_m[k][j], whatever the others say. Were conf known,
 * Bayes' rule would weigh the votes; were the truth known, counting would give conf. Neither is, so
 * go round (EM; Dawid and Skene 1979), with T_ik = P(true k | votes on text i):
 *
 *     start   T_ik  = share of text i's votes that are for k
 *     M       pi_k  = mean_i T_ik
 *             conf_m[k][j] = (sum_i T_ik [s_im = j] + a) / (sum_i T_ik [m spoke] + K a)     a = 1
 *     E       T_ik  ~ pi_k prod_m conf_m[k][s_im]       over the m that spoke
 *
 * Each round raises the log-likelihood plus a sum log conf (the Dirichlet prior that `a` amounts
 * to); it ends where no T moves. A text of known truth keeps its T at 1 and 0 throughout, and so
 * teaches who is good. A text that nobody labelled says nothing, and is left out of pi.
 *
 * The likelihood does not know the classes' names: swap two in pi and all conf, and it is the same.
 * The names come from the start, where most annotators are taken to be right more often than
 * wrong; doubts.c looks whether that held. Nor does it know that annotators err on the same, hard
 * texts; where they do, EM takes the company they keep for skill (doubts.c again).
 *
 * In logarithms: with many annotators the product of probabilities underflows. */
#include "agree/inside.h"
#include <math.h>
#include <string.h>

/* A fit under way; [u] is a pattern. */
typedef struct {
    const silr_patterns *p;
    double smoothing;
    double *T;        /* [u][K] */
    double *weight;   /* [u] texts that count; 0 where nobody spoke and nothing is known */
    double *teaches;  /* [u] the same in conf: known truths by their weights */
    double *log_conf; /* [M][j][k], said before true: the inner loops run over k. In the M step
                         first the counts */
    double *log_pi;   /* [K] */
} fit;

static void start(fit *f)
{
    const silr_patterns *p = f->p;
    int counts[SILR_AGREE_CLASSES];

    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        int cast = silr_row_counts(counts, p->K, row, p->M), known = row[p->M];
        double *T = f->T + u * (size_t)p->K;
        f->weight[u] = cast > 0 || known != SILR_NOBODY ? p->count[u] : 0;
        for (int k = 0; k < p->K; k++)
            T[k] = known != SILR_NOBODY ? k == known
                   : cast > 0           ? (double)counts[k] / cast
                                        : 1.0 / p->K;
    }
}

/* How much each pattern counts in conf; SILR_EINPUT: a weight that is none. */
static silr_status weigh_known(fit *f, const silr_dawid_skene_opts *opts, silr_error *err)
{
    const silr_patterns *p = f->p;

    memcpy(f->teaches, f->weight, sizeof *f->weight * p->unique);
    if (!opts->known || !opts->known_weight)
        return SILR_OK;
    for (size_t u = 0; u < p->unique; u++)
        if (p->vote[u * p->width + (size_t)p->M] != SILR_NOBODY)
            f->teaches[u] = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (opts->known[i] == SILR_NO_LABEL)
            continue;
        if (!(opts->known_weight[i] >= 0 && isfinite(opts->known_weight[i])))
            return silr_fail(err, SILR_EINPUT, "the known truth of text %zu weighs %g", i + 1,
                             opts->known_weight[i]);
        f->teaches[p->of[i]] += opts->known_weight[i];
    }
    return SILR_OK;
}

static void m_step(fit *f, double *pi, double *conf)
{
    const silr_patterns *p = f->p;
    const size_t K = (size_t)p->K, M = (size_t)p->M;
    double *count = f->log_conf, all = 0;

    memset(count, 0, sizeof *count * M * K * K);
    memset(pi, 0, sizeof *pi * K);
    for (size_t u = 0; u < p->unique; u++) {
        const uint8_t *row = p->vote + u * p->width;
        const double *T = f->T + u * K;
        for (size_t k = 0; k < K; k++)
            pi[k] += f->weight[u] * T[k];
        for (size_t m = 0; m < M; m++) {
            if (row[m] == SILR_NOBODY)
                continue;
            for (size_t k = 0; k < K; k++)
                count[(m * K + row[m]) * K + k] += f->teaches[u] * T[k];
        }
        all += f->weight[u];
    }
    for (size_t k = 0; k < K; k++) {
        pi[k] /= all;
        f->log_pi[k] = log(pi[k]);
    }
    for (size_t mk = 0; mk < M * K; mk++) {
        double *said = count + mk / K * K * K + mk % K, sum = 0, *row = conf + mk * K;
        for (size_t j = 0; j < K; j++)
            sum += said[j * K] + f->smoothing;
        for (size_t j = 0; j < K; j++) {
            row[j] = sum > 0 ? (said[j * K] + f->smoothing) / sum : 1.0 / (double)K;
            said[j * K] = log(row[j]);
        }
    }
}

/* Posterior of one pattern into T; returns log P(votes and, where known, truth). */
static double posterior_of(const fit *f, const uint8_t *row, double *T)
{
    const size_t K = (size_t)f->p->K, M = (size_t)f->p->M;
    double l[SILR_AGREE_CLASSES], total;

    memcpy(l, f->log_pi, sizeof *l * K);
    for (size_t m = 0; m < M; m++) {
        if (row[m] == SILR_NOBODY)
            continue;
        for (size_t k = 0; k < K; k++)
            l[k] += f->log_conf[(m * K + row[m]) * K + k];
    }
    if (row[M] != SILR_NOBODY)
        return l[row[M]]; /* T stays as it is */
    total = silr_logsumexp(l, K);
    for (size_t k = 0; k < K; k++)
        T[k] = exp(l[k] - total);
    return total;
}

/* Returns the largest move of a posterior that counts. */
static double e_step(fit *f, double *log_likelihood)
{
    const silr_patterns *p = f->p;
    const size_t K = (size_t)p->K;
    double moved = 0, before[SILR_AGREE_CLASSES];

    *log_likelihood = 0;
    for (size_t u = 0; u < p->unique; u++) {
        double *T = f->T + u * K;
        memcpy(before, T, sizeof *T * K);
        *log_likelihood += f->weight[u] * posterior_of(f, p->vote + u * p->width, T);
        for (size_t k = 0; k < K && f->weight[u] > 0; k++)
            moved = fmax(moved, fabs(T[k] - before[k]));
    }
    return moved;
}

static int top_class(const double *T, int K)
{
    double second = -1;
    int top = 0;

    for (int k = 1; k < K; k++)
        if (T[k] > T[top]) {
            second = T[top];
            top = k;
        } else if (T[k] > second) {
            second = T[k];
        }
    return T[top] - second < 1e-9 ? SILR_NO_LABEL : top;
}

/* Rounds until nothing moves; when the votes cannot tell the annotators apart, none: the vote
 * shares stand, and conf and pi say what they would be if those were right. */
static void go_round(fit *f, silr_dawid_skene *d, const silr_dawid_skene_opts *opts)
{
    const silr_patterns *p = f->p;

    if (!silr_doubts_identified(d, p)) {
        d->doubts |= SILR_DOUBT_UNIDENTIFIED;
        d->log_likelihood = (double)NAN;
        m_step(f, d->pi, d->conf);
    }
    while (!(d->doubts & SILR_DOUBT_UNIDENTIFIED) && !d->converged &&
           d->iterations < opts->max_iterations) {
        m_step(f, d->pi, d->conf);
        d->converged = e_step(f, &d->log_likelihood) <= opts->tolerance;
        d->iterations++;
    }
    for (size_t u = 0; u < p->unique; u++)
        if (!(f->weight[u] > 0))
            memcpy(f->T + u * (size_t)p->K, d->pi, sizeof *d->pi * (size_t)p->K);
}

static void set_labels(silr_dawid_skene *d, const fit *f)
{
    const silr_patterns *p = f->p;

    for (size_t i = 0; i < p->n; i++) {
        uint32_t u = p->of[i];
        d->label[i] = f->weight[u] > 0 ? top_class(f->T + u * (size_t)p->K, p->K) : SILR_NO_LABEL;
    }
}

static bool allocate(fit *f, silr_dawid_skene *d, const silr_patterns *p)
{
    const size_t K = (size_t)p->K, M = (size_t)p->M;

    f->T = silr_alloc(p->unique, sizeof *f->T * K);
    f->weight = silr_alloc(p->unique, sizeof *f->weight);
    f->teaches = silr_alloc(p->unique, sizeof *f->teaches);
    f->log_conf = silr_alloc(M * K * K, sizeof *f->log_conf);
    f->log_pi = silr_alloc(K, sizeof *f->log_pi);
    d->label = silr_alloc(p->n, sizeof *d->label);
    d->pi = silr_alloc(K, sizeof *d->pi);
    d->conf = silr_alloc(M * K * K, sizeof *d->conf);
    d->accuracy = silr_alloc(M, sizeof *d->accuracy);
    d->inverted = silr_calloc(K, sizeof *d->inverted);
    d->excess = silr_calloc(M * M, sizeof *d->excess);
    return f->T && f->weight && f->teaches && f->log_conf && f->log_pi && d->label && d->pi &&
           d->conf && d->accuracy && d->inverted && d->excess;
}

static silr_status check(const silr_patterns *p, const silr_dawid_skene_opts *opts, silr_error *err)
{
    if (!(opts->smoothing >= 0 && isfinite(opts->smoothing)) || !(opts->tolerance > 0) ||
        opts->max_iterations < 1)
        return silr_fail(err, SILR_EINPUT,
                         "Dawid-Skene: smoothing %g, tolerance %g, %d iterations: smoothing must "
                         "be 0 or more, the others above 0",
                         opts->smoothing, opts->tolerance, opts->max_iterations);
    for (size_t u = 0; u < p->unique; u++)
        for (int m = 0; m < p->M; m++)
            if (p->vote[u * p->width + (size_t)m] != SILR_NOBODY)
                return SILR_OK;
    return silr_fail(err, SILR_EINPUT, "no annotator labelled any of the %zu texts", p->n);
}

silr_status silr_dawid_skene_fit(silr_dawid_skene *out, const silr_votes *v,
                                 const silr_dawid_skene_opts *opts, silr_error *err)
{
    const silr_dawid_skene_opts defaults = SILR_DAWID_SKENE_OPTS;
    silr_dawid_skene d = {.n = v->n, .M = v->M, .K = v->K};
    silr_patterns p = {0};
    fit f = {.p = &p};
    silr_status st;

    memset(out, 0, sizeof *out);
    opts = opts ? opts : &defaults;
    f.smoothing = opts->smoothing;
    if ((st = silr_patterns_make(&p, v, opts->known, err)) != SILR_OK ||
        (st = check(&p, opts, err)) != SILR_OK)
        goto done;
    if (!allocate(&f, &d, &p)) {
        st = silr_fail_memory(err);
        goto done;
    }
    start(&f);
    if ((st = weigh_known(&f, opts, err)) != SILR_OK)
        goto done;
    go_round(&f, &d, opts);
    set_labels(&d, &f);
    if ((st = silr_doubts_find(&d, &p, f.T, err)) != SILR_OK)
        goto done;
    d.patterns = p.unique;
    d.posterior = f.T;
    d.pattern = p.of;
    f.T = NULL;
    p.of = NULL;
    *out = d;
    memset(&d, 0, sizeof d);
done:
    silr_free(f.T);
    silr_free(f.weight);
    silr_free(f.teaches);
    silr_free(f.log_conf);
    silr_free(f.log_pi);
    silr_dawid_skene_clear(&d);
    silr_patterns_clear(&p);
    return st;
}

void silr_dawid_skene_clear(silr_dawid_skene *d)
{
    silr_free(d->label);
    silr_free(d->pi);
    silr_free(d->conf);
    silr_free(d->accuracy);
    silr_free(d->inverted);
    silr_free(d->excess);
    silr_free(d->posterior);
    silr_free(d->pattern);
    memset(d, 0, sizeof *d);
}

const double *silr_dawid_skene_posterior(const silr_dawid_skene *d, size_t i)
{
    return d->posterior + (size_t)d->pattern[i] * (size_t)d->K;
}
