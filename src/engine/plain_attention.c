/* plain_attention.c - what a token takes from the tokens that it sees.
 *
 * For query i of a head, with the keys j that i sees (its prefix, its text; causal: none behind it):
 *
 *     s_j = scale q_i.k_j             or   cap tanh(scale q_i.k_j / cap)
 *     out_i = sum_j p_j v_j           p_j = exp(s_j - max s) / sum_j' exp(s_j' - max s)
 *
 * Subtracting the maximum changes nothing but keeps exp from overflowing. Grouped queries: heads
 * h = g .. g + heads / kv_heads - 1 share keys and values. */
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

/* One query of one head. p: [keys] scratch; sum: [head_dim] scratch. */
static void query(const silr_attention *a, const silr_attention_strides *s,
                  const silr_attention_text *t, size_t i, size_t h, double *p, double *sum)
{
    size_t keys = t->n_prefix + t->n_own, position = keys - t->n + i;
    size_t at = h / (a->heads / a->kv_heads) * a->head_dim;
    const float *q = t->q + i * s->q + h * a->head_dim;
    float *out = t->out + i * s->out + h * a->head_dim;
    double max = -INFINITY, total = 0;

    for (size_t j = 0; j < keys; j++) {
        p[j] = -INFINITY;
        if (sees(a, position, j))
            p[j] = score(a, q, row_of(t->prefix_k, s->prefix, t->n_prefix, t->k, s->kv, j) + at);
        max = fmax(max, p[j]);
    }
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
