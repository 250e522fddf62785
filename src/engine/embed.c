/* embed.c - texts to vectors: the states of the last layer, pooled over each text. */
#include "engine/inside.h"
#include <math.h>
#include <string.h>

void silr_pool(silr_pooling how, const float *x, size_t n, size_t dim, float *out)
{
    if (how == SILR_POOL_CLS || how == SILR_POOL_LAST) {
        memcpy(out, x + (how == SILR_POOL_LAST ? n - 1 : 0) * dim, dim * sizeof(float));
        return;
    }
    for (size_t d = 0; d < dim; d++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i * dim + d];
        out[d] = (float)(sum / (double)n);
    }
}

/* To length 1; a vector of zeros stays. */
static void normalise(float *v, size_t dim)
{
    double sum = 0;

    for (size_t d = 0; d < dim; d++)
        sum += (double)v[d] * (double)v[d];
    const double length = sqrt(sum);
    for (size_t d = 0; d < dim; d++)
        v[d] = (float)((double)v[d] / (length > 1e-12 ? length : 1e-12));
}

silr_status silr_engine_embed(const silr_engine *e, const uint32_t *ids, const size_t *start, size_t n,
                              float *out, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const size_t dim = s->hidden;
    const bool last = s->pooling == SILR_POOL_LAST;
    silr_room room = {0};
    size_t longest, rows, texts;
    silr_status st = silr_texts_check(e, ids, start, n, 0, &longest, err);

    if (st != SILR_OK || n == 0)
        return st;
    silr_groups_most(e, start, n, 0, &rows, &texts);
    st = silr_room_init(&room, e, rows, texts, longest, err);
    for (size_t t = 0, end; st == SILR_OK && t < n; t = end) {
        end = silr_group_end(e, start, n, t, 0);
        const silr_pass p = {.n_texts = end - t, .ids = ids, .start = start + t, .last_only = last,
                             .layers = s->layers};
        st = silr_forward(e, &room, &p, err);
        for (size_t i = t; st == SILR_OK && i < end; i++) {
            const float *x = room.x + (last ? i - t : start[i] - start[t]) * dim;
            silr_pool(s->pooling, x, last ? 1 : start[i + 1] - start[i], dim, out + i * dim);
            if (s->normalise)
                normalise(out + i * dim, dim);
        }
    }
    silr_room_clear(&room);
    return st;
}

silr_status silr_engine_hidden(const silr_engine *e, const uint32_t *ids, const size_t *start,
                               size_t n, size_t layers, float *out, silr_error *err)
{
    silr_room room = {0};
    size_t longest;
    silr_status st = silr_texts_check(e, ids, start, n, 0, &longest, err);

    if (st != SILR_OK || n == 0)
        return st;
    const silr_pass p = {.n_texts = n, .ids = ids, .start = start, .layers = layers};
    if ((st = silr_room_init(&room, e, start[n] - start[0], n, longest, err)) == SILR_OK &&
        (st = silr_forward(e, &room, &p, err)) == SILR_OK)
        memcpy(out, room.x, (start[n] - start[0]) * e->spec->hidden * sizeof(float));
    silr_room_clear(&room);
    return st;
}
