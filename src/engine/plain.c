/* plain.c - the operations as loops to be read.
 *
 * One thread, sums in double from the first value to the last. This is what the fast backend is
 * judged against, so nothing here is clever. */
#include "engine/ops_inside.h"
#include <math.h>
#include <string.h>

/* --- products with matrices ------------------------------------------------------------------ */

struct silr_linear {
    silr_stack stack;
    float *value; /* [out][in], SILR_KEEP_FAST; else NULL */
};

static void linear_free(silr_linear *w)
{
    if (!w)
        return;
    silr_stack_clear(&w->stack);
    silr_free(w->value);
    silr_free(w);
}

/* *out = the whole stack as floats [out][in]. */
static silr_status as_floats(const silr_stack *s, float **out, silr_error *err)
{
    size_t count;
    float *at;

    if (!silr_mul(s->out, s->in, &count) || !(*out = silr_alloc(count, sizeof **out)))
        return silr_fail_memory(err);
    at = *out;
    for (size_t i = 0; i < s->n; i++) {
        silr_tensor_rows(&s->weight[i], 0, s->weight[i].dim[0], at);
        at += s->weight[i].dim[0] * s->in;
    }
    return SILR_OK;
}

static silr_status linear_new(silr_linear **out, const silr_tensor *const *weight,
                              const silr_tensor *const *bias, size_t n, silr_keep keep,
                              silr_error *err)
{
    silr_linear *w = silr_calloc(1, sizeof *w);
    silr_status st;

    *out = NULL;
    if (!w)
        return silr_fail_memory(err);
    if ((st = silr_stack_init(&w->stack, weight, bias, n, err)) != SILR_OK)
        goto done;
    if (keep == SILR_KEEP_FAST && (st = as_floats(&w->stack, &w->value, err)) != SILR_OK)
        goto done;
    *out = w;
    w = NULL;
done:
    linear_free(w);
    return st;
}

static size_t linear_bytes(const silr_linear *w)
{
    const silr_stack *s = &w->stack;
    size_t bytes = sizeof *w + s->n * sizeof *s->weight;

    if (s->bias)
        bytes += s->out * sizeof *s->bias;
    if (w->value)
        bytes += s->out * s->in * sizeof *w->value;
    return bytes;
}

static float dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

/* Column o of y: every row of x with one row of W. */
static void column(const silr_linear *w, size_t o, const float *row, const float *x, size_t n,
                   size_t ldx, float *y, size_t ldy, bool add)
{
    for (size_t t = 0; t < n; t++) {
        float v = dot(x + t * ldx, row, w->stack.in);
        if (w->stack.bias)
            v += w->stack.bias[o];
        y[t * ldy + o] = add ? y[t * ldy + o] + v : v;
    }
}

static silr_status linear(const silr_linear *w, const float *x, size_t n, size_t ldx, float *y,
                          size_t ldy, bool add, silr_error *err)
{
    const silr_stack *s = &w->stack;
    float *filed = NULL;
    size_t o = 0;

    if (!w->value && !(filed = silr_alloc(s->in, sizeof *filed)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < s->n; i++)
        for (size_t r = 0; r < s->weight[i].dim[0]; r++, o++) {
            if (filed)
                silr_tensor_rows(&s->weight[i], r, 1, filed);
            column(w, o, filed ? filed : w->value + o * s->in, x, n, ldx, y, ldy, add);
        }
    silr_free(filed);
    return SILR_OK;
}

/* dx = dy W: y_o = sum_i W[o][i] x_i, so x_i has a part in every y_o. */
static silr_status linear_back(const silr_linear *w, const float *dy, size_t n, size_t lddy, float *dx,
                               size_t lddx, bool add, silr_error *err)
{
    const silr_stack *s = &w->stack;
    float *filed = NULL;
    silr_status st;

    if (!w->value && (st = as_floats(s, &filed, err)) != SILR_OK)
        return st;
    st = silr_plain_product(false, false, n, s->in, s->out, 1, dy, lddy, filed ? filed : w->value, s->in,
                            dx, lddx, add, err);
    silr_free(filed);
    return st;
}

static silr_status linear_ready_back(silr_linear *w, silr_error *err)
{
    (void)w;
    (void)err;
    return SILR_OK;
}

/* --- row by row ------------------------------------------------------------------------------ */

static void gather(const silr_tensor *table, const uint32_t *id, size_t n, float scale, float *out)
{
    size_t dim = table->dim[1];

    for (size_t i = 0; i < n; i++) {
        silr_tensor_rows(table, id[i], 1, out + i * dim);
        for (size_t k = 0; k < dim; k++)
            out[i * dim + k] *= scale;
    }
}

/* y = x / sqrt(mean x^2 + epsilon) * (w + plus) */
static void rms_norm(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                     size_t n, size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++, x += ldx, y += ldy) {
        double sum = 0, r;
        for (size_t k = 0; k < dim; k++)
            sum += (double)x[k] * (double)x[k];
        r = 1 / sqrt(sum / (double)dim + epsilon);
        for (size_t k = 0; k < dim; k++)
            y[k] = (float)((double)x[k] * r * ((double)w[k] + (double)plus));
    }
}

/* y = (x - mean) / sqrt(variance + epsilon) * w + b */
static void layer_norm(const float *x, size_t ldx, const float *w, const float *b, double epsilon,
                       size_t n, size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++, x += ldx, y += ldy) {
        double mean = 0, variance = 0, r;
        for (size_t k = 0; k < dim; k++)
            mean += (double)x[k];
        mean /= (double)dim;
        for (size_t k = 0; k < dim; k++)
            variance += ((double)x[k] - mean) * ((double)x[k] - mean);
        r = 1 / sqrt(variance / (double)dim + epsilon);
        for (size_t k = 0; k < dim; k++)
            y[k] = (float)(((double)x[k] - mean) * r * (double)w[k] + (double)b[k]);
    }
}

/* Each pair (a, b) of a head is a point in the plane, turned by an angle of its own:
 *     a' = a cos - b sin        b' = a sin + b cos */
static void rope(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                 const uint32_t *position, const float *table, bool interleaved)
{
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < heads; h++) {
            const float *turn = table + position[t] * dims;
            float *head = x + t * ldx + h * head_dim;
            for (size_t i = 0; i < dims / 2; i++) {
                float *a = interleaved ? &head[2 * i] : &head[i];
                float *b = interleaved ? &head[2 * i + 1] : &head[i + dims / 2];
                float c = turn[2 * i], s = turn[2 * i + 1], a0 = *a, b0 = *b;
                *a = a0 * c - b0 * s;
                *b = a0 * s + b0 * c;
            }
        }
}

/* The last is 0.5 x (1 + tanh u), written so that 1 and tanh u do not cancel far below 0. */
static double activated(silr_activation act, double x)
{
    double u;

    switch (act) {
    case SILR_ACT_SILU: return x / (1 + exp(-x));
    case SILR_ACT_GELU: return x * 0.5 * erfc(-x * sqrt(0.5));
    case SILR_ACT_GELU_TANH:
        u = sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
        return x / (1 + exp(-2 * u));
    }
    return x;
}

static void activate(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                     size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k++) {
            double v = activated(act, (double)x[t * ldx + k]);
            y[t * ldy + k] = (float)(up ? v * (double)up[t * ldx + k] : v);
        }
}

static void add(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

const silr_ops silr_ops_plain = {
    .name = "plain",
    .linear_new = linear_new,
    .linear_free = linear_free,
    .linear_bytes = linear_bytes,
    .linear = linear,
    .gather = gather,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .attention = silr_plain_attention,
    .activate = activate,
    .add = add,
    .linear_back = linear_back,
    .linear_ready_back = linear_ready_back,
    .product = silr_plain_product,
    .rms_norm_back = silr_plain_rms_norm_back,
    .layer_norm_back = silr_plain_layer_norm_back,
    .attention_back = silr_plain_attention_back,
    .activate_back = silr_plain_activate_back,
    .dropout = silr_plain_dropout,
    .gather_back = silr_plain_gather_back,
};
