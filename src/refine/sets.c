/* sets.c - the scorer of recipe silr that learns from sets of texts by log-odds (method.md B7).
 *
 * The covered texts are cut at quantiles of the annotator's log-odds o into m sets of about equal
 * size; texts of equal o are never parted. What the line of a variant (sides.c) says of its texts is
 * a set's purity, and the labelled texts that the variant may see make two more sets, which are pure:
 *
 *     theta_j = mean over set j of sigmoid(a o + b)      rho_j ~ texts of set j, unlabelled ones
 *     theta_m = 1, theta_m+1 = 0                         rho ~ omega times the labelled texts
 *     pi = sum rho_j theta_j
 *
 * The loss is that of risk/um.c. The sets are the same in every iteration: a label that the recipe has
 * come to in between is no part of them. */
#include "refine/ours.h"

silr_status silr_ours_bins(silr_ours *o, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t m = (size_t)l->task->refine.sets;
    double *sorted, cut[SILR_RISK_CLASSES];

    if (!l->odds || l->task->refine.evidence != SILR_EVIDENCE_SETS || o->n_covered == 0)
        return SILR_OK;
    sorted = silr_alloc(o->n_covered, sizeof *sorted);
    o->bin = silr_alloc(l->n_rows, sizeof *o->bin);
    if (!sorted || !o->bin) {
        silr_free(sorted);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < o->n_covered; i++)
        sorted[i] = l->odds[o->covered[i]];
    silr_sort_doubles(sorted, o->n_covered);
    for (size_t j = 1; j < m; j++)
        cut[j] = silr_quantile_sorted(sorted, o->n_covered, (double)j / (double)m);
    for (size_t r = 0; r < l->n_rows; r++) {
        int j = 0;
        while ((size_t)j + 1 < m && l->odds[r] > cut[j + 1])
            j++;
        o->bin[r] = o->side[r] == SILR_NO_LABEL ? SILR_NO_LABEL : j;
    }
    silr_free(sorted);
    return SILR_OK;
}

bool silr_ours_by_sets(const silr_ours *o, const silr_variant *v)
{
    return o->bin && v->cut;
}

/* Purity and mass of each set, both 0 before; the last two are the labelled texts. */
static void purities(const silr_ours *o, const silr_variant *v, double omega, double *theta, double *rho)
{
    const silr_loop *l = o->loop;
    const int m = (int)l->task->refine.sets;

    for (size_t i = 0; i < o->n_covered; i++) {
        const uint32_t r = o->covered[i];
        theta[o->bin[r]] += silr_sigmoid(silr_line_at(&v->line, l->odds[r]));
        rho[o->bin[r]]++;
    }
    for (int j = 0; j < m; j++)
        theta[j] = rho[j] > 0 ? theta[j] / rho[j] : 0.5;
    for (size_t i = 0; i < l->sample.n; i++) {
        const int j = o->bin[l->row_of[l->sample.doc[i]]];
        if (!v->learns[i])
            continue;
        rho[m + l->sample.truth[i]] += omega;
        if (j != SILR_NO_LABEL)
            rho[j]--; /* its place is taken by the truth */
    }
    theta[m] = 1;
}

silr_status silr_ours_set_risk(const silr_ours *o, const silr_variant *v, double omega,
                               silr_risk *out, silr_error *err)
{
    const int m = (int)o->loop->task->refine.sets;
    double theta[SILR_RISK_CLASSES] = {0}, rho[SILR_RISK_CLASSES] = {0}, pi = 0, all = 0;

    purities(o, v, omega, theta, rho);
    for (int j = 0; j < m + 2; j++) {
        pi += rho[j] * theta[j];
        all += rho[j];
    }
    return silr_risk_init_sets(out, m + 2, theta, rho, pi / all, err);
}
