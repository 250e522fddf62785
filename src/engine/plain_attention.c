/* plain_attention.c - what a token takes from the tokens that it sees.
 *
 * For query i of a head, with the keys j that i sees (its prefix, its text; causal: none behind it):
 *
 *     s_j = scale q_i.k_j             or   cap tanh(scale q_i.k_j / cap)
 *     out_i = sum_j p_j v_j           p_j = exp(s_j - max s) / sum_j' exp(s_j' - max s)
 *
 * Subtracting the maximum changes nothing but keeps exp from overflowing. Grouped queries: heads
 * h = g .. g + heads / kv_heads - 1 share keys and values.
 *
 * Backward, p being known again from q and k: with u_j = scale q_i.k_j,
 *
 *     dp_j = dout_i.v_j       D_i = sum_j p_j dp_j = dout_i.out_i       ds_j = p_j (dp_j - D_i)
 *     du_j = ds_j             or, capped, ds_j (1 - (s_j / cap)^2)
 *     dq_i = scale sum_j du_j k_j
 *     dk_j = scale sum_i du_j q_i      dv_j = sum_i p_j dout_i      over all heads that share them */
#include "engine/ops_inside.h"
#include <math.h>

static bool sees(const silr_attention *a, size_t i, size_t j)
{
    if (a->causal)
        return j <= i && (a->window == 0 || i - j < a->window);
    return a->window == 0 || (i > j ? i - j : j - i) <= a->window / 2;
}

/* Row j of a text's keys or values: the prefix first, then its own. */
static const float *row_of(const float *prefix, size_t prefix_stride, size_t n_prefix,
                           const float *own, size_t stride, size_t j)
{
    return j < n_prefix ? prefix + j * prefix_stride : own + (j - n_prefix) * stride;
}

static double score(const silr_attention *a, const float *q, const float *k)
{
    double s = 0;

    for (size_t d = 0; d < a->head_dim; d++)
        s += (double)q[d] * (double)k[d];
    s *= a->scale;
    return a->cap > 0 ? a->cap * tanh(s / a->cap) : s;
}

/* p[keys] = the scores of query i of head h, -infinity where it does not see; returns the largest. */
static double scores(const silr_attention *a, const silr_attention_strides *s,
                     const silr_attention_text *t, size_t i, size_t h, double *p)
{
    size_t keys = t->n_prefix + t->n_own, position = keys - t->n + i;
    size_t at = h / (a->heads / a->kv_heads) * a->head_dim;
    const float *q = t->q + i * s->q + h * a->head_dim;
    double max = -INFINITY;

    for (size_t j = 0; j < keys; j++) {
        p[j] = -INFINITY;
        if (sees(a, position, j))
            p[j] = score(a, q, row_of(t->prefix_k, s->prefix, t->n_prefix, t->k, s->kv, j) + at);
        max = fmax(max, p[j]);
    }
    return max;
}

/* One query of one head. p: [keys] scratch; sum: [head_dim] scratch. */
static void query(const silr_attention *a, const silr_attention_strides *s,
                  const silr_attention_text *t, size_t i, size_t h, double *p, double *sum)
{
    size_t keys = t->n_prefix + t->n_own, position = keys - t->n + i;
    size_t at = h / (a->heads / a->kv_heads) * a->head_dim;
    float *out = t->out + i * s->out + h * a->head_dim;
    double max = scores(a, s, t, i, h, p), total = 0;

    for (size_t d = 0; d < a->head_dim; d++)
        sum[d] = 0;
    for (size_t j = 0; j < keys; j++) {
        const float *v = row_of(t->prefix_v, s->prefix, t->n_prefix, t->v, s->kv, j) + at;
        if (!sees(a, position, j))
            continue;
        p[j] = exp(p[j] - max);
        total += p[j];
        for (size_t d = 0; d < a->head_dim; d++)
            sum[d] += p[j] * (double)v[d];
    }
    for (size_t d = 0; d < a->head_dim; d++)
        out[d] = (float)(sum[d] / total);
}

silr_status silr_plain_attention(const silr_attention *a, const silr_attention_strides *s,
                                 const silr_attention_text *text, size_t n_texts, silr_error *err)
{
    size_t longest = 0;
    double *scratch;

    for (size_t t = 0; t < n_texts; t++)
        if (text[t].n_prefix + text[t].n_own > longest)
            longest = text[t].n_prefix + text[t].n_own;
    if (!(scratch = silr_alloc(longest + a->head_dim, sizeof *scratch)))
        return silr_fail_memory(err);
    for (size_t t = 0; t < n_texts; t++)
        for (size_t i = 0; i < text[t].n; i++)
            for (size_t h = 0; h < a->heads; h++)
                query(a, s, &text[t], i, h, scratch, scratch + longest);
    silr_free(scratch);
    return SILR_OK;
}

/* --- backward ---------------------------------------------------------------------------------- */

/* What one text and one head of keys needs: sums in double. */
typedef struct {
    double *s, *p;   /* [n_own] of one query */
    double *dk, *dv; /* [n_own][head_dim] */
    double *dq;      /* [head_dim] */
} sums_back;

static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0;

    for (size_t d = 0; d < n; d++)
        sum += (double)x[d] * (double)y[d];
    return sum;
}

/* Query i of head h adds to dk and dv of its keys, and is given its dq. */
static void query_back(const silr_attention *a, const silr_attention_strides *s,
                       const silr_attention_text *t, const silr_attention_back *b, size_t i, size_t h,
                       const sums_back *w)
{
    size_t dim = a->head_dim, at = h / (a->heads / a->kv_heads) * dim, position = t->n_own - t->n + i;
    const float *q = t->q + i * s->q + h * dim, *dout = b->dout + i * s->out + h * dim;
    double max = scores(a, s, t, i, h, w->s), total = 0;
    double along = dot(dout, t->out + i * s->out + h * dim, dim);

    for (size_t j = 0; j < t->n_own; j++)
        total += w->p[j] = exp(w->s[j] - max); /* of -infinity: 0 */
    for (size_t d = 0; d < dim; d++)
        w->dq[d] = 0;
    for (size_t j = 0; j < t->n_own; j++) {
        const float *k = t->k + j * s->kv + at, *v = t->v + j * s->kv + at;
        double p = w->p[j] / total, du = p * (dot(dout, v, dim) - along) * a->scale;
        if (!sees(a, position, j))
            continue;
        if (a->cap > 0)
            du *= 1 - w->s[j] / a->cap * (w->s[j] / a->cap);
        for (size_t d = 0; d < dim; d++) {
            w->dq[d] += du * (double)k[d];
            w->dk[j * dim + d] += du * (double)q[d];
            w->dv[j * dim + d] += p * (double)dout[d];
        }
    }
    for (size_t d = 0; d < dim; d++)
        b->dq[i * s->q + h * dim + d] = (float)w->dq[d];
}

/* One text, one head of keys with all the heads that share it. */
static void head_back(const silr_attention *a, const silr_attention_strides *s,
                      const silr_attention_text *t, const silr_attention_back *b, size_t kv_head,
                      const sums_back *w)
{
    size_t dim = a->head_dim, group = a->heads / a->kv_heads;

    for (size_t i = 0; i < t->n_own * dim; i++)
        w->dk[i] = w->dv[i] = 0;
    for (size_t i = 0; i < t->n; i++)
        for (size_t h = kv_head * group; h < (kv_head + 1) * group; h++)
            query_back(a, s, t, b, i, h, w);
    for (size_t j = 0; j < t->n_own; j++)
        for (size_t d = 0; d < dim; d++) {
            b->dk[j * s->kv + kv_head * dim + d] = (float)w->dk[j * dim + d];
            b->dv[j * s->kv + kv_head * dim + d] = (float)w->dv[j * dim + d];
        }
}

silr_status silr_plain_attention_back(const silr_attention *a, const silr_attention_strides *s,
                                      const silr_attention_text *text, const silr_attention_back *back,
                                      size_t n_texts, silr_error *err)
{
    size_t longest = 0, values;
    sums_back w;
    double *scratch;

    for (size_t t = 0; t < n_texts; t++)
        longest = text[t].n_own > longest ? text[t].n_own : longest;
    values = longest * a->head_dim;
    if (!(scratch = silr_alloc(2 * longest + 2 * values + a->head_dim, sizeof *scratch)))
        return silr_fail_memory(err);
    w = (sums_back){.s = scratch, .p = scratch + longest, .dk = scratch + 2 * longest};
    w.dv = w.dk + values;
    w.dq = w.dv + values;
    for (size_t t = 0; t < n_texts; t++)
        for (size_t h = 0; h < a->kv_heads; h++)
            head_back(a, s, &text[t], &back[t], h, &w);
    silr_free(scratch);
    return SILR_OK;
}
