#include "refine/stack_internal.h"
#include <math.h>

/* Texts that several annotators disagreed on may be in the sample more often than in the pool; they
 * must not set the side's offset for all. */
void silr_stack_counts(double *weight, size_t n)
{
    double first = n > 0 ? weight[0] : 1, sum = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        weight[i] /= first;
        sum += weight[i];
        square += weight[i] * weight[i];
    }
    for (size_t i = 0; i < n; i++)
        weight[i] *= sum / square;
}

silr_status silr_stack_fit(silr_stack **out, const silr_stack_data *d, silr_error *err)
{
    silr_stack *s = silr_calloc(1, sizeof *s);
    silr_status st;

    *out = NULL;
    if (!s)
        return silr_fail_memory(err);
    s->K = d->K;
    st = d->odds     ? silr_stack_fit_odds(s, d, err)
         : d->K == 2 ? silr_stack_fit_two(s, d, err)
                     : silr_stack_fit_many(s, d, err);
    if (st == SILR_OK) {
        *out = s;
        s = NULL;
    }
    silr_stack_free(s);
    return st;
}

void silr_stack_free(silr_stack *s)
{
    if (!s)
        return;
    silr_free(s->offset);
    silr_free(s->middle);
    silr_free(s);
}

double silr_stack_slope(const silr_stack *s)
{
    return s->slope;
}

/* Linear between knots; beyond the last ones the logit stays: no text there told us more. */
static float look_up(const silr_stack *s, int side, double u)
{
    double at = (u - s->centre[side] + s->reach) / (2 * s->reach) * (STACK_KNOTS - 1), part;
    int i;

    if (!(at > 0))
        at = 0;
    if (at > STACK_KNOTS - 1)
        at = STACK_KNOTS - 1;
    i = at >= STACK_KNOTS - 1 ? STACK_KNOTS - 2 : (int)at;
    part = at - i;
    return (float)silr_sigmoid((1 - part) * s->knot[side][i] + part * s->knot[side][i + 1]);
}

static void apply_many(const silr_stack *s, const double *u, int side, float *q)
{
    const int K = s->K;
    const double *middle = s->middle + side * K;
    double total[SILR_MAX_CLASSES] = {0};

    for (int w = 0; w < STACK_W_MANY; w++) {
        const double *c = s->offset + (w * K + side) * K;
        double slope = 2.4 * w / (STACK_W_MANY - 1), v[SILR_MAX_CLASSES], p[SILR_MAX_CLASSES];
        if (s->weight[w] < 1e-9)
            continue;
        for (int k = 0; k < K; k++)
            v[k] = c[k] + slope * (u[k] - middle[k]);
        silr_softmax(p, v, (size_t)K);
        for (int k = 0; k < K; k++)
            total[k] += s->weight[w] * p[k];
    }
    for (int k = 0; k < K; k++)
        q[k] = (float)total[k];
}

void silr_stack_apply(const silr_stack *s, size_t n, const double *u, const int *side, float *q)
{
    const size_t C = s->K == 2 ? 1 : (size_t)s->K;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        if (side[i] == SILR_NO_LABEL) {
            for (size_t k = 0; k < C; k++)
                q[i * C + k] = NAN;
        } else if (s->K == 2) {
            q[i] = look_up(s, side[i], u[i]);
        } else {
            apply_many(s, u + i * C, side[i], q + i * C);
        }
    }
}
