/* stack_many.c - the stack for K > 2 classes (method.md B12, "K classes").
 *
 * Side h holds the texts whose original label is h; v = u - mean of u there. For a slope w the
 * offsets c_h maximise
 *     f(c) = sum_{labelled on h} log q_iy + sum_k alpha_k log theta_k(c),   q_i = softmax(c + w v_i),
 * with theta(c) = mean of q over the side and alpha = 2K P_h: a Dirichlet prior on the side's
 * purities (written for softmax parameters, hence alpha and not alpha - 1). Its mean
 *     P_h = (1 - r) (B6's prior row) + r (mean softmax(u) on the side)
 * trusts the scorer as far as it ranks the labelled texts. Laplace's approximation gives each w its
 * evidence f(c*) - log det(-H)/2; q averages over w with prior N(w0, sw), w0 = .15 + .45 r. */
#include "refine/loop.h"
#include "refine/minimise.h"
#include "refine/stack_internal.h"
#include <math.h>
#include <string.h>

enum { EXACT_CURVATURE = 12 }; /* classes up to which the evidence uses the exact Hessian */
#define RIDGE 1e-3 /* fixes the direction in which all offsets move together */

typedef struct {
    int K;
    size_t n_show, n_items;
    double *show;  /* [n_show][K] v of texts that stand for the side */
    double *item;  /* [n_items][K] v of labelled texts */
    double *weight; /* [n_items] what each counts */
    int *truth;
    double alpha[SILR_MAX_CLASSES];
} side_data;

/* f(c) with gradient and, when `curve` is not NULL, a positive definite stand-in for -H. */
static double evaluate(const side_data *s, double w, const double *c, double *grad, double *curve)
{
    const int K = s->K;
    double theta[SILR_MAX_CLASSES] = {0}, pull[SILR_MAX_CLASSES], alpha_sum = 0, f = 0;
    double q[SILR_MAX_CLASSES], v[SILR_MAX_CLASSES];

    memset(grad, 0, (size_t)K * sizeof *grad);
    if (curve)
        memset(curve, 0, (size_t)(K * K) * sizeof *curve);
    for (size_t i = 0; i < s->n_items; i++) {
        const double much = s->weight[i];
        for (int k = 0; k < K; k++)
            v[k] = c[k] + w * s->item[i * (size_t)K + (size_t)k];
        f += much * (v[s->truth[i]] - silr_logsumexp(v, (size_t)K));
        silr_softmax(q, v, (size_t)K);
        for (int k = 0; k < K; k++) {
            grad[k] += much * ((k == s->truth[i]) - q[k]);
            for (int l = 0; curve && l < K; l++)
                curve[k * K + l] += much * ((k == l ? q[k] : 0) - q[k] * q[l]);
        }
    }
    for (size_t i = 0; i < s->n_show; i++) {
        for (int k = 0; k < K; k++)
            v[k] = c[k] + w * s->show[i * (size_t)K + (size_t)k];
        silr_softmax(q, v, (size_t)K);
        for (int k = 0; k < K; k++)
            theta[k] += q[k] / (double)s->n_show;
    }
    for (int k = 0; k < K; k++) {
        theta[k] = fmax(theta[k], 1e-300);
        pull[k] = s->alpha[k] / theta[k];
        f += s->alpha[k] * log(theta[k]);
        alpha_sum += s->alpha[k];
    }
    /* d theta_k / d c_m = mean q_k (1[k = m] - q_m): gradient = mean of q_m (pull_m - sum q pull) */
    for (size_t i = 0; i < s->n_show; i++) {
        double mean = 0;
        for (int k = 0; k < K; k++)
            v[k] = c[k] + w * s->show[i * (size_t)K + (size_t)k];
        silr_softmax(q, v, (size_t)K);
        for (int k = 0; k < K; k++)
            mean += q[k] * pull[k];
        for (int k = 0; k < K; k++)
            grad[k] += q[k] * (pull[k] - mean) / (double)s->n_show;
    }
    for (int k = 0; k < K; k++) {
        f -= RIDGE * c[k] * c[k] / 2;
        grad[k] -= RIDGE * c[k];
        for (int l = 0; curve && l < K; l++)
            curve[k * K + l] += alpha_sum * ((k == l ? theta[k] : 0) - theta[k] * theta[l]) +
                                (k == l ? RIDGE : 0);
    }
    return f;
}

/* Damped Newton from c; returns f at the maximum. work holds K*K + 3K doubles. */
static double maximise(const side_data *s, double w, double *c, double *work)
{
    const int K = s->K;
    double *curve = work, *grad = work + K * K, *step = grad + K, *next = step + K;
    double f = evaluate(s, w, c, grad, curve);

    for (int round = 0; round < 30; round++) {
        double rate = 1, largest = 0, f_next = f;
        memcpy(step, grad, (size_t)K * sizeof *step);
        for (int k = 0; k < K; k++)
            largest = fmax(largest, fabs(grad[k]));
        if (largest < 1e-6 || !silr_cholesky_solve((size_t)K, curve, step, NULL))
            break;
        for (int halving = 0; halving < 14; halving++) { /* to 1/8192 */
            for (int k = 0; k < K; k++)
                next[k] = c[k] + rate * step[k];
            f_next = evaluate(s, w, next, grad, curve);
            if (f_next > f)
                break;
            rate /= 2;
        }
        if (!(f_next > f + 1e-9))
            break;
        memcpy(c, next, (size_t)K * sizeof *c);
        f = f_next;
    }
    return f;
}

/* log det(-H) at c: H by differences of the gradient; the stand-in where that is not definite. */
static double log_det(const side_data *s, double w, const double *c, double *work)
{
    const int K = s->K;
    const double h = 1e-4;
    double *curve = work, *up = work + K * K, *down = up + K, *moved = down + K, det = 0;

    if (K > EXACT_CURVATURE)
        goto stand_in;
    for (int k = 0; k < K; k++) {
        memcpy(moved, c, (size_t)K * sizeof *moved);
        moved[k] = c[k] + h;
        evaluate(s, w, moved, up, NULL);
        moved[k] = c[k] - h;
        evaluate(s, w, moved, down, NULL);
        for (int l = 0; l < K; l++)
            curve[k * K + l] = -(up[l] - down[l]) / (2 * h);
    }
    for (int k = 0; k < K; k++)
        for (int l = 0; l < k; l++)
            curve[k * K + l] = curve[l * K + k] = (curve[k * K + l] + curve[l * K + k]) / 2;
    memset(up, 0, (size_t)K * sizeof *up);
    if (silr_cholesky_solve((size_t)K, curve, up, &det))
        return det;
stand_in:
    evaluate(s, w, c, down, curve);
    memset(up, 0, (size_t)K * sizeof *up);
    silr_cholesky_solve((size_t)K, curve, up, &det);
    return det;
}

/* Offsets with mean q = theta over the side: iterative scaling. */
static void scale_to(const side_data *s, double w, const double *theta, double *c)
{
    const int K = s->K;
    for (int round = 0; round < 200; round++) {
        double mean[SILR_MAX_CLASSES] = {0}, q[SILR_MAX_CLASSES], v[SILR_MAX_CLASSES];
        for (size_t i = 0; i < s->n_show; i++) {
            for (int k = 0; k < K; k++)
                v[k] = c[k] + w * s->show[i * (size_t)K + (size_t)k];
            silr_softmax(q, v, (size_t)K);
            for (int k = 0; k < K; k++)
                mean[k] += q[k] / (double)s->n_show;
        }
        for (int k = 0; k < K && s->n_show > 0; k++)
            c[k] += log(fmax(theta[k], 1e-3) / fmax(mean[k], 1e-12));
        if (s->n_show == 0)
            for (int k = 0; k < K; k++)
                c[k] = log(fmax(theta[k], 1e-3));
    }
}

static void clear(side_data *s)
{
    silr_free(s->show);
    silr_free(s->item);
    silr_free(s->weight);
    silr_free(s->truth);
}

static silr_status gather(side_data *s, double *middle, const silr_stack_data *d, int h,
                          silr_error *err)
{
    const size_t K = (size_t)d->K;
    size_t n = 0, n_items = 0, seen = 0, shown;
    double scored[SILR_MAX_CLASSES] = {0}, p[SILR_MAX_CLASSES];

    *s = (side_data){.K = d->K};
    for (size_t i = 0; i < d->n; i++) {
        if (d->side[i] != h)
            continue;
        n++;
        silr_softmax(p, d->u + i * K, K);
        for (size_t k = 0; k < K; k++) {
            middle[k] += d->u[i * K + k];
            scored[k] += p[k];
        }
    }
    for (size_t i = 0; i < d->n_labelled; i++)
        n_items += d->side[d->item[i]] == h;
    for (size_t k = 0; k < K; k++) {
        double prior = d->prior ? d->prior[(size_t)h * K + k] : 1 / (double)K;
        if (n > 0)
            middle[k] /= (double)n;
        s->alpha[k] = 2 * (double)K *
                      ((1 - d->reliability) * prior +
                       d->reliability * (n > 0 ? scored[k] / (double)n : prior));
    }
    shown = n < STACK_SHOW ? n : STACK_SHOW;
    s->show = silr_alloc((size_t)STACK_SHOW * K, sizeof *s->show);
    s->item = silr_alloc(n_items * K, sizeof *s->item);
    s->weight = silr_alloc(n_items, sizeof *s->weight);
    s->truth = silr_alloc(n_items, sizeof *s->truth);
    if (!s->show || !s->item || !s->weight || !s->truth) {
        clear(s);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < d->n; i++)
        if (d->side[i] == h) {
            for (; s->n_show < shown && silr_thin(s->n_show, shown, n) == seen; s->n_show++)
                for (size_t k = 0; k < K; k++)
                    s->show[s->n_show * K + k] = d->u[i * K + k] - middle[k];
            seen++;
        }
    for (size_t i = 0; i < d->n_labelled; i++)
        if (d->side[d->item[i]] == h) {
            for (size_t k = 0; k < K; k++)
                s->item[s->n_items * K + k] = d->u[(size_t)d->item[i] * K + k] - middle[k];
            s->weight[s->n_items] = d->weight ? d->weight[i] : 1;
            s->truth[s->n_items++] = d->truth[i];
        }
    silr_stack_counts(s->weight, s->n_items);
    return SILR_OK;
}

/* All slopes of one side, each started from its neighbour's maximum. */
static void fit_side(silr_stack *out, const side_data *s, int h, const double *theta,
                     double *log_w, double *work)
{
    const int K = s->K;
    double c[SILR_MAX_CLASSES] = {0};

    for (int k = 0; k < K; k++)
        c[k] = log(fmax(theta ? theta[h * K + k] : s->alpha[k] / (2 * K), 1e-6));
    for (int i = 0; i < STACK_W_MANY; i++) {
        double w = 2.4 * i / (STACK_W_MANY - 1);
        if (!(log_w[i] > -HUGE_VAL))
            continue;
        if (theta) {
            scale_to(s, w, theta + h * K, c);
        } else if (s->n_show > 0) {
            double f = maximise(s, w, c, work);
            log_w[i] += f - log_det(s, w, c, work) / 2;
        }
        memcpy(out->offset + (i * K + h) * K, c, (size_t)K * sizeof *c);
    }
}

silr_status silr_stack_fit_many(silr_stack *out, const silr_stack_data *d, silr_error *err)
{
    const int K = d->K;
    silr_status st = SILR_OK;
    double w0 = 0.15 + 0.45 * d->reliability, sw = w0 / 2, log_w[STACK_W_MANY];
    const size_t cells = (size_t)K * (size_t)K;
    double *work = silr_alloc(cells + 4 * (size_t)K, sizeof *work);

    out->offset = silr_calloc(STACK_W_MANY * cells, sizeof *out->offset);
    out->middle = silr_calloc(cells, sizeof *out->middle);
    if (!work || !out->offset || !out->middle) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (int i = 0; i < STACK_W_MANY; i++) {
        double away = (2.4 * i / (STACK_W_MANY - 1) - w0) / sw;
        bool out_of_question = d->theta ? fabs(away * sw) > 0.051 : fabs(away) > 4;
        log_w[i] = out_of_question ? -HUGE_VAL : d->theta ? 0 : -away * away / 2;
    }
    for (int h = 0; h < K; h++) {
        side_data side;
        if ((st = gather(&side, out->middle + h * K, d, h, err)) != SILR_OK)
            goto done;
        fit_side(out, &side, h, d->theta, log_w, work);
        clear(&side);
    }
    silr_softmax(out->weight, log_w, STACK_W_MANY);
    for (int i = 0; i < STACK_W_MANY; i++)
        out->slope += out->weight[i] * 2.4 * i / (STACK_W_MANY - 1);
done:
    silr_free(work);
    return st;
}
