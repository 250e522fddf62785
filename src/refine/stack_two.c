/* stack_two.c - the stack for two classes: Bayes on a grid (method.md B12).
 *
 * On side h, with v = u - median of u there:
 *     log post(c, w | h) = sum_{labelled on h} log sigmoid(+-(c + w v))        (by weight, where
 *                                                                         they were not drawn alike)
 *                          + log mean_{all on h} sigmoid'(c + w v)
 * The last term is the Jacobian of theta_h = mean sigmoid(c + w v): a uniform prior on theta_h.
 *     log post(w) = -(w - w0)^2 / (2 sw^2) + sum_h logsumexp_c log post(c, w | h)
 *     q(x) = posterior mean of sigmoid(c + w v(x)),       w0 = .3 + .3 r,   sw = w0 / 2
 *
 * Known purities (no labels): c is the offset with mean sigmoid = theta_h, and w = w0. */
#include "refine/stack_internal.h"
#include <math.h>
#include <string.h>

typedef struct {
    size_t n_show, n_items;
    double show[STACK_SHOW]; /* v of texts that stand for the side */
    double *item, *weight;   /* v of labelled texts; what each counts */
    int *truth;
    double log_post[STACK_W][STACK_C];
} side_data;

static double grid_w(int i)
{
    return 2.4 * i / (STACK_W - 1);
}
static double grid_c(int i)
{
    return -7 + 14.0 * i / (STACK_C - 1);
}

/* Collects the side's texts, centred on their median; texts beyond STACK_SHOW are represented by
 * quantiles. */
static void gather(side_data *s, double *centre, const silr_stack_data *d, int h,
                   double *scratch)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n; i++)
        if (d->side[i] == h)
            scratch[n++] = d->u[i];
    silr_sort_doubles(scratch, n);
    *centre = n > 0 ? silr_quantile_sorted(scratch, n, 0.5) : 0;
    s->n_show = n < STACK_SHOW ? n : STACK_SHOW;
    for (size_t i = 0; i < s->n_show; i++) {
        double at = ((double)i + 0.5) / (double)s->n_show;
        s->show[i] = (n <= STACK_SHOW ? scratch[i] : silr_quantile_sorted(scratch, n, at)) - *centre;
    }
    s->n_items = 0;
    for (size_t i = 0; i < d->n_labelled; i++)
        if (d->side[d->item[i]] == h) {
            s->item[s->n_items] = d->u[d->item[i]] - *centre;
            s->weight[s->n_items] = d->weight ? d->weight[i] : 1;
            s->truth[s->n_items++] = d->truth[i];
        }
    silr_stack_counts(s->weight, s->n_items);
}

static void side_posterior(side_data *s)
{
    for (int w = 0; w < STACK_W; w++)
        for (int c = 0; c < STACK_C; c++) {
            double sum = 0, like = 0;
            for (size_t i = 0; i < s->n_show; i++) {
                double e = exp(-fabs(grid_c(c) + grid_w(w) * s->show[i]));
                sum += e / ((1 + e) * (1 + e)); /* sigmoid' */
            }
            for (size_t i = 0; i < s->n_items; i++) {
                double v = grid_c(c) + grid_w(w) * s->item[i];
                like -= s->weight[i] * silr_log1pexp(s->truth[i] == 0 ? -v : v);
            }
            s->log_post[w][c] = like + (s->n_show > 0 ? log(sum / (double)s->n_show) : 0);
        }
}

/* Offset with mean sigmoid(c + w v) = theta over the side, by bisection. */
static double solve_offset(const side_data *s, double w, double theta)
{
    double low = -20, high = 20;
    for (int k = 0; k < 60; k++) {
        double mid = (low + high) / 2, sum = 0;
        for (size_t i = 0; i < s->n_show; i++)
            sum += silr_sigmoid(mid + w * s->show[i]);
        if (s->n_show == 0 || sum < theta * (double)s->n_show)
            low = mid;
        else
            high = mid;
    }
    return (low + high) / 2;
}

static void tabulate(silr_stack *out, int h, const side_data *s, const double *post_w)
{
    double *weight = (double[STACK_W * STACK_C]){0};

    for (int w = 0; w < STACK_W; w++) {
        double p[STACK_C];
        silr_softmax(p, s->log_post[w], STACK_C);
        for (int c = 0; c < STACK_C; c++)
            weight[w * STACK_C + c] = post_w[w] * p[c];
    }
    for (int i = 0; i < STACK_KNOTS; i++) {
        double v = -out->reach + 2 * out->reach * i / (STACK_KNOTS - 1), q = 0;
        for (int w = 0; w < STACK_W; w++)
            for (int c = 0; c < STACK_C; c++)
                if (weight[w * STACK_C + c] > 1e-10)
                    q += weight[w * STACK_C + c] * silr_sigmoid(grid_c(c) + grid_w(w) * v);
        out->knot[h][i] = silr_logit(q);
    }
}

static void fit_known(silr_stack *out, side_data *const side[2], const double *theta, double w0)
{
    out->slope = w0;
    for (int h = 0; h < 2; h++) {
        double purity = fmin(fmax(theta[h * 2], 1e-3), 1 - 1e-3);
        double c = solve_offset(side[h], w0, purity);
        for (int i = 0; i < STACK_KNOTS; i++)
            out->knot[h][i] = c + w0 * (-out->reach + 2 * out->reach * i / (STACK_KNOTS - 1));
    }
}

static void fit_labelled(silr_stack *out, side_data *const side[2], double w0)
{
    double log_w[STACK_W], post_w[STACK_W], sw = w0 / 2;

    for (int h = 0; h < 2; h++)
        side_posterior(side[h]);
    for (int w = 0; w < STACK_W; w++) {
        double away = (grid_w(w) - w0) / sw;
        log_w[w] = -away * away / 2;
        for (int h = 0; h < 2; h++)
            log_w[w] += silr_logsumexp(side[h]->log_post[w], STACK_C);
    }
    silr_softmax(post_w, log_w, STACK_W);
    out->slope = 0;
    for (int w = 0; w < STACK_W; w++)
        out->slope += post_w[w] * grid_w(w);
    for (int h = 0; h < 2; h++)
        tabulate(out, h, side[h], post_w);
}

silr_status silr_stack_fit_two(silr_stack *out, const silr_stack_data *d, silr_error *err)
{
    silr_status st = SILR_OK;
    side_data *side[2] = {silr_calloc(1, sizeof **side), silr_calloc(1, sizeof **side)};
    double *scratch = silr_alloc(d->n, sizeof *scratch), w0 = 0.3 + 0.3 * d->reliability;
    size_t room = d->n_labelled;

    if (!side[0] || !side[1] || !scratch)
        goto memory;
    out->reach = 1;
    for (int h = 0; h < 2; h++) {
        side[h]->item = silr_alloc(room, sizeof *side[h]->item);
        side[h]->weight = silr_alloc(room, sizeof *side[h]->weight);
        side[h]->truth = silr_alloc(room, sizeof *side[h]->truth);
        if (!side[h]->item || !side[h]->weight || !side[h]->truth)
            goto memory;
        gather(side[h], &out->centre[h], d, h, scratch);
    }
    for (size_t i = 0; i < d->n; i++)
        out->reach = fmax(out->reach, fabs(d->u[i] - out->centre[d->side[i]]));
    out->reach = fmin(out->reach, STACK_REACH); /* one far text must not blur all others */
    if (d->theta)
        fit_known(out, side, d->theta, w0);
    else
        fit_labelled(out, side, w0);
    goto done;
memory:
    st = silr_fail_memory(err);
done:
    for (int h = 0; h < 2; h++)
        if (side[h]) {
            silr_free(side[h]->item);
            silr_free(side[h]->weight);
            silr_free(side[h]->truth);
            silr_free(side[h]);
        }
    silr_free(scratch);
    return st;
}
