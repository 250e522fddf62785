/* sets.c - the scorer of recipe silr that learns from sets of texts by log-odds (method.md B7).
 *
 * The covered texts are cut at quantiles of what is known of each, p = P(y = +), into m sets of about
 * equal size; texts of equal p are never parted. At first p = sigmoid(a o + b), by the line of the
 * variant (sides.c); later it is q of the iteration before, to which log-odds and out-of-fold score
 * have come together. The labelled texts that the variant may see make two more sets, which are pure:
 *
 *     theta_j = mean of p over set j       rho_j ~ texts of set j, unlabelled ones
 *     theta_m = 1, theta_m+1 = 0           rho ~ omega times the labelled texts
 *     pi = sum rho_j theta_j
 *
 * The loss is that of risk/um.c. */
#include "refine/ours.h"

/* P(class 0) of a covered row as the variant knows it now. */
static double now_known(const silr_ours *o, const silr_variant *v, uint32_t r)
{
    return v->stack ? (double)v->q[r] : silr_sigmoid(silr_line_at(&v->line, o->loop->odds[r]));
}

bool silr_ours_by_sets(const silr_ours *o, const silr_variant *v)
{
    return o->loop->task->refine.evidence == SILR_EVIDENCE_SETS && v->cut;
}

silr_status silr_ours_bins(const silr_ours *o, const silr_variant *v, int *bin, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t m = (size_t)l->task->refine.sets;
    double *sorted = silr_alloc(o->n_covered, sizeof *sorted), cut[SILR_RISK_CLASSES];

    if (!sorted)
        return silr_fail_memory(err);
    for (size_t i = 0; i < o->n_covered; i++)
        sorted[i] = now_known(o, v, o->covered[i]);
    silr_sort_doubles(sorted, o->n_covered);
    for (size_t j = 1; j < m; j++)
        cut[j] = silr_quantile_sorted(sorted, o->n_covered, (double)j / (double)m);
    for (size_t r = 0; r < l->n_rows; r++)
        bin[r] = SILR_NO_LABEL;
    for (size_t i = 0; i < o->n_covered; i++) {
        const uint32_t r = o->covered[i];
        size_t j = 0;
        while (j + 1 < m && now_known(o, v, r) > cut[j + 1])
            j++;
        bin[r] = (int)j;
    }
    silr_free(sorted);
    return SILR_OK;
}

/* Purity and mass of each set, both 0 before; the last two are the labelled texts. */
static void purities(const silr_ours *o, const silr_variant *v, const int *bin, double omega,
                     double *theta, double *rho)
{
    const silr_loop *l = o->loop;
    const int m = (int)l->task->refine.sets;

    for (size_t i = 0; i < o->n_covered; i++) {
        const uint32_t r = o->covered[i];
        theta[bin[r]] += now_known(o, v, r);
        rho[bin[r]]++;
    }
    for (int j = 0; j < m; j++)
        theta[j] = rho[j] > 0 ? theta[j] / rho[j] : 0.5;
    for (size_t i = 0; i < l->sample.n; i++) {
        const int j = bin[l->row_of[l->sample.doc[i]]];
        if (!v->learns[i])
            continue;
        rho[m + l->sample.truth[i]] += omega;
        if (omega > 0 && j != SILR_NO_LABEL)
            rho[j]--; /* its place is taken by the truth */
    }
    theta[m] = 1;
}

silr_status silr_ours_set_risk(const silr_ours *o, const silr_variant *v, const int *bin, double omega,
                               silr_risk *out, silr_error *err)
{
    const int m = (int)o->loop->task->refine.sets;
    double theta[SILR_RISK_CLASSES] = {0}, rho[SILR_RISK_CLASSES] = {0}, pi = 0, all = 0;

    purities(o, v, bin, omega, theta, rho);
    for (int j = 0; j < m + 2; j++) {
        pi += rho[j] * theta[j];
        all += rho[j];
    }
    return silr_risk_init_sets(out, m + 2, theta, rho, pi / all, err);
}
