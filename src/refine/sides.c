/* sides.c - the labels that recipe silr starts from (method.md B7, B12).
 *
 * Without log-odds: the annotator's own. With them each variant fits its line to the part of the
 * sample that it may see, and starts from the sign of a o + b. So the start of variant j owes
 * nothing to fold j, whose texts can judge it, and all that follows.
 *
 * A variant keeps to the annotator's labels where its line cannot be had, leaves one class with
 * hardly a text, or is worse than the labels on its own labelled texts by over a standard error:
 * then the label knew more than the log-odds do. That decision, too, is the variant's own. */
#include "refine/finish.h"
#include "refine/ours.h"
#include <math.h>

/* --- the line ---------------------------------------------------------------------------------- */

/* The labelled texts that the variant may use and that have log-odds. */
typedef struct {
    size_t n;
    double *o, *weight;
    int *truth, *label;
} pupils;

static void pupils_clear(pupils *p)
{
    silr_free(p->o);
    silr_free(p->weight);
    silr_free(p->truth);
    silr_free(p->label);
}

static silr_status find_pupils(pupils *p, const silr_ours *o, const silr_variant *v, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = l->sample.n;

    *p = (pupils){0, silr_alloc(n, sizeof *p->o), silr_alloc(n, sizeof *p->weight),
                  silr_alloc(n, sizeof *p->truth), silr_alloc(n, sizeof *p->label)};
    if (!p->o || !p->weight || !p->truth || !p->label)
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        const uint32_t r = l->row_of[l->sample.doc[i]];
        if (!v->learns[i] || o->side[r] == SILR_NO_LABEL)
            continue;
        p->o[p->n] = l->odds[r];
        p->weight[p->n] = l->sample.weight[i];
        p->label[p->n] = o->side[r];
        p->truth[p->n++] = l->sample.truth[i];
    }
    return SILR_OK;
}

/* Paired, as in B11: on what they know the recalibrated labels may not be clearly worse. */
static bool worse(const pupils *p, const silr_line *line)
{
    double gain = 0, square = 0;

    for (size_t i = 0; i < p->n; i++) {
        int e = (silr_line_side(line, p->o[i]) == p->truth[i]) - (p->label[i] == p->truth[i]);
        gain += p->weight[i] * e;
        square += p->weight[i] * p->weight[i] * e * e;
    }
    return gain < -sqrt(square);
}

/* Less than a hundredth of the covered pool on one side. */
static bool lopsided(const silr_ours *o, const silr_line *line)
{
    size_t first = 0;

    for (size_t i = 0; i < o->n_covered; i++)
        first += silr_line_side(line, o->loop->odds[o->covered[i]]) == 0;
    return (double)first < 0.01 * (double)o->n_covered ||
           (double)(o->n_covered - first) < 0.01 * (double)o->n_covered || first == 0 ||
           first == o->n_covered;
}

static silr_status fit(const silr_ours *o, silr_variant *v, const char **why, silr_error *err)
{
    const silr_loop *l = o->loop;
    double middle, spread;
    pupils p = {0};
    silr_status st;

    *why = NULL;
    if (l->known) { /* by numbers that were stated: evidence.c has seen to it that there are */
        const double *theta = l->start.theta;
        st = silr_recalibrate_stated(&v->line, why, l->n_pool, l->odds, o->side,
                                     theta[0] - theta[2], l->start.pi[0], err);
    } else if ((st = silr_odds_spread(&middle, &spread, l->n_pool, l->odds, err)) == SILR_OK &&
               (st = find_pupils(&p, o, v, err)) == SILR_OK) {
        *why = silr_recalibrate(&v->line, middle, spread, p.n, p.o, p.truth, p.weight);
        if (!*why && worse(&p, &v->line))
            *why = "on the labelled texts the labels themselves are better";
    }
    if (st == SILR_OK && !*why && lopsided(o, &v->line))
        *why = "recalibrated they leave all texts in one class";
    pupils_clear(&p);
    return st;
}

silr_status silr_ours_cut(const silr_ours *o, silr_variant *v, silr_error *err)
{
    const silr_loop *l = o->loop;

    if (!v->cut && !(v->cut = silr_alloc(l->n_rows, sizeof *v->cut)))
        return silr_fail_memory(err);
    for (size_t r = 0; r < l->n_rows; r++)
        v->cut[r] = o->side[r] == SILR_NO_LABEL ? SILR_NO_LABEL
                                                : silr_line_side(&v->line, l->odds[r]);
    v->side = v->cut;
    return SILR_OK;
}

silr_status silr_ours_sides(const silr_ours *o, silr_variant *v, silr_error *err)
{
    const char *why = NULL;
    silr_status st;

    v->side = o->side;
    if (!o->loop->odds)
        return SILR_OK;
    if ((st = fit(o, v, &why, err)) != SILR_OK)
        return st;
    if (!why)
        return silr_ours_cut(o, v, err);
    if (v == o->variant && o->loop->cut) /* the labels are one class: nothing else is left */
        return silr_fail(err, SILR_EDOMAIN, "nearly all labels of the annotator are one class, and its "
                         "log-odds are of no use: %s", why);
    if (v == o->variant)
        silr_log(SILR_LOG_WARN, "the annotator's log-odds are not used: %s", why);
    return SILR_OK;
}

/* --- priors of the start ----------------------------------------------------------------------- */

/* Stated numbers describe the annotator's labels; of those that were cut the line tells theta. */
static void stated_priors(const silr_ours *o, silr_variant *v)
{
    const silr_loop *l = o->loop;
    double sum[2] = {0}, count[2] = {0};
    silr_priors *p = &v->start;

    *p = l->start;
    if (!v->cut)
        return;
    for (size_t i = 0; i < o->n_covered; i++) {
        const uint32_t r = o->covered[i];
        sum[v->side[r]] += silr_sigmoid(silr_line_at(&v->line, l->odds[r]));
        count[v->side[r]]++;
    }
    for (int j = 0; j < 2; j++) {
        p->theta[j * 2] = sum[j] / fmax(count[j], 1);
        p->theta[j * 2 + 1] = 1 - p->theta[j * 2];
        p->rho[j] = count[j] / (double)o->n_covered;
    }
    for (int k = 0; k < 2; k++) {
        p->pi[k] = p->rho[0] * p->theta[k] + p->rho[1] * p->theta[2 + k];
        p->theta_low[k] = p->theta_high[k] = p->theta[k * 2 + k];
        p->pi_low[k] = p->pi_high[k] = p->pi[k];
    }
}

silr_status silr_ours_start(const silr_ours *o, silr_variant *v, silr_error *err)
{
    const silr_loop *l = o->loop;
    double counts[SILR_MAX_CLASSES];
    int *pseudo = silr_alloc(l->sample.n, sizeof *pseudo);

    if (!pseudo)
        return silr_fail_memory(err);
    silr_loop_counts(l, v->side, counts);
    for (size_t i = 0; i < l->sample.n; i++)
        pseudo[i] = v->learns[i] ? v->side[l->row_of[l->sample.doc[i]]] : SILR_NO_LABEL;
    if (l->known)
        stated_priors(o, v);
    else
        silr_priors_estimate(&v->start, l->K, counts, l->sample.n, pseudo, l->sample.truth,
                             l->sample.weight);
    silr_transition(v->T, l->K, v->start.theta, v->start.rho, v->start.pi);
    silr_priors_prior_rows(v->prior, l->K, l->sample.n, pseudo, l->sample.truth,
                           l->sample.weight);
    silr_free(pseudo);
    return SILR_OK;
}

/* --- what the report tells of it --------------------------------------------------------------- */

/* How right the labels are that the recipe starts from: each labelled text by the variant that
 * never saw it, in the strata by which the sample was drawn. */
static silr_status estimate(const silr_ours *o, silr_interval *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = l->sample.n;
    int *stratum = silr_alloc(n, sizeof *stratum), *right = silr_alloc(n, sizeof *right);
    double *weight = silr_alloc(n, sizeof *weight);
    silr_status st = stratum && right && weight ? SILR_OK : silr_fail_memory(err);
    size_t m = 0;

    *out = (silr_interval){NAN, NAN, NAN};
    for (size_t i = 0; i < n && st == SILR_OK && o->J > 0; i++) {
        const uint32_t r = l->row_of[l->sample.doc[i]];
        if (o->side[r] == SILR_NO_LABEL)
            continue;
        stratum[m] = o->side[r];
        weight[m] = l->sample.weight[i];
        right[m++] = o->variant[1 + o->label_fold[i]].side[r] == l->sample.truth[i];
    }
    if (m > 0)
        silr_certificate(out, m, stratum, right, weight, (size_t)l->K, l->start.rho,
                         (uint64_t)l->task->seed);
    silr_free(stratum);
    silr_free(right);
    silr_free(weight);
    return st;
}

static void put_number(silr_buf *json, const char *before, double v)
{
    silr_buf_puts(json, before);
    silr_buf_number(json, v, 17);
}

silr_status silr_ours_recalibrated(silr_ours *o, silr_error *err)
{
    const silr_loop *l = o->loop;
    const silr_variant *v = &o->variant[0];
    silr_buf json = {0};
    silr_status st;

    if (!v->cut)
        return SILR_OK;
    if ((st = estimate(o, &o->recalibrated, err)) != SILR_OK)
        return st;
    put_number(&json, "{\"a\":", v->line.a);
    put_number(&json, ",\"b\":", v->line.b);
    put_number(&json, ",\"estimated\":[", o->recalibrated.value);
    put_number(&json, ",", o->recalibrated.low);
    put_number(&json, ",", o->recalibrated.high);
    silr_buf_puts(&json, "],\"labels\":\""); /* one character a document */
    for (size_t d = 0; d < l->n; d++) {
        const uint32_t r = l->row_of[d];
        const int k = r == UINT32_MAX ? SILR_NO_LABEL : v->side[r];
        silr_buf_putc(&json, k == SILR_NO_LABEL ? '-' : k == 0 ? '0' : '1');
    }
    silr_buf_puts(&json, "\"}");
    st = json.failed ? silr_fail_memory(err)
                     : silr_store_set(l->store, "recalibrated", json.data, json.len, err);
    silr_buf_clear(&json);
    return st;
}
