/* fuse.c - from scores to labels (method.md B12): calibrate, stack, and two rules.
 *
 *   training:  s = the class that the odds favour once they are moved half way to matching pi
 *   output:    keep the annotator's label unless P(it is right) < 1 - m; then the most probable
 *
 * Where the annotator's log-odds are used (sides.c) its label is the sign of the recalibrated ones,
 * and they take its place in the stack. */
#include "refine/ours.h"
#include <math.h>
#include <string.h>

/* zbar over the covered pool, standardised again: what calibration and stack work on. */
static void centre(const silr_ours *o, silr_variant *v, float *z, double *scratch)
{
    const size_t C = o->loop->C, n = o->n_covered;
    double total = 0;

    for (size_t k = 0; k < C; k++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < n; i++)
            scratch[i] = (double)v->zbar[o->covered[i] * C + k];
        silr_sort_doubles(scratch, n);
        v->centre[k] = silr_quantile_sorted(scratch, n, 0.5);
        for (size_t i = 0; i < n; i++) {
            double d = scratch[i] - v->centre[k];
            sum += d;
            square += d * d;
        }
        total += square / (double)n - sum / (double)n * (sum / (double)n);
    }
    v->spread = sqrt(C > 1 ? 2 * total / (double)(C - 1) : total);
    if (!(v->spread > 1e-9))
        v->spread = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < C; k++)
            z[i * C + k] =
                (float)(((double)v->zbar[o->covered[i] * C + k] - v->centre[k]) / v->spread);
}

/* The labelled texts a variant may use, as indices into the covered texts. */
typedef struct {
    size_t n;
    uint32_t *item;
    int *truth;
    double *weight, *u;
} teachers;

static void teachers_clear(teachers *t)
{
    silr_free(t->item);
    silr_free(t->truth);
    silr_free(t->weight);
    silr_free(t->u);
}

static silr_status find_teachers(teachers *t, const silr_ours *o, const silr_variant *v,
                                 const double *u, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = l->sample.n, C = l->C;
    uint32_t *at = silr_alloc(l->n_rows, sizeof *at);

    *t = (teachers){0, silr_alloc(n, sizeof *t->item), silr_alloc(n, sizeof *t->truth),
                    silr_alloc(n, sizeof *t->weight), silr_alloc(n * C, sizeof *t->u)};
    if (!at || !t->item || !t->truth || !t->weight || !t->u) {
        silr_free(at);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < o->n_covered; i++)
        at[o->covered[i]] = (uint32_t)i;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = l->row_of[l->sample.doc[i]];
        if (!v->learns[i] || o->side[r] == SILR_NO_LABEL)
            continue;
        t->item[t->n] = at[r];
        t->truth[t->n] = l->sample.truth[i];
        t->weight[t->n] = l->sample.weight[i];
        memcpy(t->u + t->n * C, u + (size_t)at[r] * C, C * sizeof *u);
        t->n++;
    }
    silr_free(at);
    return SILR_OK;
}

int silr_ours_rule(const silr_ours *o, const silr_variant *v, const float *q, int s0)
{
    const silr_loop *l = o->loop;
    const bool balanced = l->task->refine.metric == SILR_METRIC_BALANCED;
    const double *pi = v->start.pi; /* its own: the certificate must not look over the fence */
    double p[SILR_MAX_CLASSES], total = 0;
    int best = 0;

    for (int k = 0; k < l->K; k++) {
        p[k] = l->K == 2 ? (k == 0 ? (double)q[0] : 1 - (double)q[0]) : (double)q[k];
        if (balanced) /* log q - log pi: each class counts the same, however rare */
            p[k] /= fmax(pi[k], 1e-3);
        total += p[k];
        if (p[k] > p[best])
            best = k;
    }
    return 1 - p[s0] / total > l->task->refine.margin ? best : s0;
}

/* --- labels to train on next ------------------------------------------------------------------ */

/* Two classes: + iff logit q > tau/2, tau the (1-pi)-quantile of logit q. */
static void relabel_two(const silr_ours *o, silr_variant *v, double pi, double *scratch)
{
    double tau;
    for (size_t i = 0; i < o->n_covered; i++)
        scratch[i] = silr_logit((double)v->q[o->covered[i]]);
    silr_sort_doubles(scratch, o->n_covered);
    tau = silr_quantile_sorted(scratch, o->n_covered, 1 - pi);
    for (size_t i = 0; i < o->n_covered; i++) {
        uint32_t r = o->covered[i];
        v->label[r] = silr_logit((double)v->q[r]) > tau / 2 ? 0 : 1;
    }
}

static int shifted_argmax(int K, const float *q, const double *b, double share)
{
    int best = 0;
    double top = -INFINITY;
    for (int k = 0; k < K; k++) {
        double v = log(fmax((double)q[k], 1e-12)) + share * b[k];
        if (v > top) {
            top = v;
            best = k;
        }
    }
    return best;
}

enum { ENOUGH = 20000 }; /* texts that tell the shares of classes well enough */

/* K classes: argmax of log q_k + b_k / 2, b such that the shares of argmax (log q + b) equal pi. */
static void relabel_many(const silr_ours *o, silr_variant *v, const double *pi)
{
    const int K = o->loop->K;
    const size_t n = o->n_covered, shown = n < ENOUGH ? n : ENOUGH;
    double b[SILR_MAX_CLASSES] = {0};

    for (int round = 0; round < 60; round++) {
        double share[SILR_MAX_CLASSES] = {0}, step = round < 30 ? 0.5 : 0.15;
        for (size_t i = 0; i < shown; i++) {
            size_t r = o->covered[silr_thin(i, shown, n)];
            share[shifted_argmax(K, v->q + r * (size_t)K, b, 1)]++;
        }
        for (int k = 0; k < K; k++)
            b[k] += step * log((pi[k] * (double)shown + 0.5) / (share[k] + 0.5));
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t r = o->covered[i];
        v->label[r] = shifted_argmax(K, v->q + (size_t)r * (size_t)K, b, 0.5);
    }
}

static void stack_apply(const silr_variant *v, size_t n, const double *u, const int *side,
                        const double *odds, float *q)
{
    if (odds)
        silr_stack_apply_odds(v->stack, n, u, odds, q);
    else
        silr_stack_apply(v->stack, n, u, side, q);
}

/* --- the whole -------------------------------------------------------------------------------- */

silr_status silr_ours_fuse(silr_ours *o, silr_variant *v, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = o->n_covered, C = l->C;
    const int K = l->K;
    silr_status st = SILR_OK;
    float *z = silr_alloc(n * C, sizeof *z), *q = silr_alloc(n * C, sizeof *q);
    double *u = silr_alloc(n * C, sizeof *u), *scratch = silr_alloc(n, sizeof *scratch), a;
    double *odds = v->cut ? silr_alloc(n, sizeof *odds) : NULL;
    int *side = silr_alloc(n, sizeof *side);
    teachers t = {0};
    silr_stack_data d;

    if (!z || !q || !u || !scratch || !side || (v->cut && !odds)) {
        st = silr_fail_memory(err);
        goto done;
    }
    centre(o, v, z, scratch);
    for (size_t i = 0; i < n; i++) {
        side[i] = v->side[o->covered[i]];
        if (odds)
            odds[i] = silr_line_at(&v->line, l->odds[o->covered[i]]);
    }
    if ((st = silr_calibrate(&v->calibration, K, n, z, side, v->T, err)) != SILR_OK)
        goto done;
    silr_calibration_apply(&v->calibration, K, n, z, u);
    if ((st = find_teachers(&t, o, v, u, err)) != SILR_OK)
        goto done;
    if ((st = silr_auc(&a, K, t.n, t.u, t.truth, t.weight, err)) != SILR_OK)
        goto done;
    v->reliability = isnan(a) ? 0 : fmin(fmax((a - 0.9) / 0.1, 0), 1);
    d = (silr_stack_data){.K = K, .n = n, .u = u, .side = side, .n_labelled = t.n, .item = t.item,
                          .truth = t.truth, .weight = t.weight, .reliability = v->reliability,
                          .theta = l->known ? v->start.theta : NULL, .prior = v->prior,
                          .odds = odds, .pi = v->start.pi[0]};
    silr_stack_free(v->stack);
    v->stack = NULL;
    if ((st = silr_stack_fit(&v->stack, &d, err)) != SILR_OK)
        goto done;
    stack_apply(v, n, u, side, odds, q);
    for (size_t i = 0; i < n; i++) {
        uint32_t r = o->covered[i];
        memcpy(v->q + r * C, q + i * C, C * sizeof *q);
        v->out[r] = silr_ours_rule(o, v, q + i * C, side[i]);
    }
    if (K == 2)
        relabel_two(o, v, v->start.pi[0], scratch);
    else
        relabel_many(o, v, v->start.pi);
done:
    teachers_clear(&t);
    silr_free(z);
    silr_free(q);
    silr_free(u);
    silr_free(scratch);
    silr_free(odds);
    silr_free(side);
    return st;
}

silr_status silr_ours_apply(const silr_ours *o, const silr_variant *v, float *q, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = l->n_rows, C = l->C;
    float *z = silr_alloc(n * C, sizeof *z);
    double *u = silr_alloc(n * C, sizeof *u);
    double *odds = v->cut ? silr_alloc(n, sizeof *odds) : NULL;

    if (!z || !u || (v->cut && !odds)) {
        silr_free(z);
        silr_free(u);
        silr_free(odds);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < n && odds; i++)
        odds[i] = silr_line_at(&v->line, l->odds[i]); /* NAN stays */
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < C; k++)
            z[i * C + k] = (float)(((double)v->zbar[i * C + k] - v->centre[k]) / v->spread);
    silr_calibration_apply(&v->calibration, l->K, n, z, u);
    stack_apply(v, n, u, v->side, odds, q);
    silr_free(z);
    silr_free(u);
    silr_free(odds);
    return SILR_OK;
}
