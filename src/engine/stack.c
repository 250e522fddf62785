/* stack.c - several matrices with the same input, one on top of the other.
 *
 * Queries, keys and values are three products with the same rows x; stacked to one matrix they are
 * one product, and x is read once. */
#include "engine/ops_inside.h"
#include <string.h>

size_t silr_row_bytes(silr_type type, size_t in)
{
    const silr_type_info *info = silr_type_of(type);

    return in / info->block * info->bytes;
}

static silr_status check(const silr_tensor *w, size_t in, silr_error *err)
{
    if (w->type >= SILR_TYPE_OTHER)
        return silr_fail(err, SILR_EINPUT, "%s: silr cannot compute with values of this type",
                         w->name);
    if (w->n_dims != 2 || w->dim[1] != in || w->dim[0] == 0 || in == 0)
        return silr_fail(err, SILR_EINPUT, "%s: a matrix of %zu columns is needed", w->name, in);
    if (in % silr_type_of(w->type)->block != 0)
        return silr_fail(err, SILR_EINPUT, "%s: rows of %zu values are no whole blocks of %s",
                         w->name, in, silr_type_of(w->type)->name);
    return SILR_OK;
}

static silr_status biases(silr_stack *s, const silr_tensor *const *bias, silr_error *err)
{
    float *at;
    bool any = false;

    for (size_t i = 0; bias && i < s->n; i++)
        any = any || bias[i];
    if (!any)
        return SILR_OK;
    if (!(s->bias = silr_calloc(s->out, sizeof *s->bias)))
        return silr_fail_memory(err);
    at = s->bias;
    for (size_t i = 0; i < s->n; i++) {
        if (bias[i] && (bias[i]->type >= SILR_TYPE_OTHER || bias[i]->n_dims != 1 ||
                        bias[i]->dim[0] != s->weight[i].dim[0]))
            return silr_fail(err, SILR_EINPUT, "%s: a bias of %zu values is needed", bias[i]->name,
                             s->weight[i].dim[0]);
        if (bias[i])
            silr_tensor_rows(bias[i], 0, 1, at);
        at += s->weight[i].dim[0];
    }
    return SILR_OK;
}

silr_status silr_stack_init(silr_stack *s, const silr_tensor *const *weight,
                            const silr_tensor *const *bias, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    *s = (silr_stack){.n = n, .in = weight[0]->dim[1]};
    if (!(s->weight = silr_calloc(n, sizeof *s->weight)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        if ((st = check(weight[i], s->in, err)) != SILR_OK)
            goto done;
        s->weight[i] = *weight[i];
        s->out += weight[i]->dim[0];
    }
    st = biases(s, bias, err);
done:
    if (st != SILR_OK)
        silr_stack_clear(s);
    return st;
}

void silr_stack_clear(silr_stack *s)
{
    silr_free(s->weight);
    silr_free(s->bias);
    *s = (silr_stack){.n = 0};
}

size_t silr_stack_part(const silr_stack *s, size_t *row)
{
    size_t part = 0;

    while (*row >= s->weight[part].dim[0])
        *row -= s->weight[part++].dim[0];
    return part;
}

silr_status silr_stack_nf4(const silr_stack *s, silr_nf4 **out, silr_error *err)
{
    silr_nf4 *q = silr_calloc(s->n, sizeof *q);
    silr_status st = SILR_OK;

    *out = NULL;
    if (!q)
        return silr_fail_memory(err);
    for (size_t i = 0; st == SILR_OK && i < s->n; i++)
        st = silr_nf4_quantise(&q[i], &s->weight[i], err);
    if (st == SILR_OK)
        *out = q;
    else
        silr_stack_nf4_free(s, q);
    return st;
}

void silr_stack_nf4_free(const silr_stack *s, silr_nf4 *q)
{
    for (size_t i = 0; q && i < s->n; i++)
        silr_nf4_clear(&q[i]);
    silr_free(q);
}

size_t silr_stack_nf4_bytes(const silr_stack *s, const silr_nf4 *q)
{
    size_t bytes = s->n * sizeof *q;

    for (size_t i = 0; i < s->n; i++)
        bytes += silr_nf4_bytes(&q[i]);
    return bytes;
}
