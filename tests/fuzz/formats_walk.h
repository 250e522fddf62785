/* formats_walk.h - uses all of a model that was accepted: nothing in it may lead astray. */
#ifndef SILR_TESTS_FUZZ_FORMATS_WALK_H
#define SILR_TESTS_FUZZ_FORMATS_WALK_H

#include "formats/weights_inside.h"

#include <stdlib.h>
#include <string.h>

/* A refusal is the input's fault and says why. */
static inline void walk_refusal(silr_status st, const silr_error *err)
{
    if (st != SILR_OK && (st != SILR_EINPUT || err->text[0] == '\0'))
        abort();
}

/* Reads the first rows and the last. */
static inline void walk_tensor(const silr_tensor *t)
{
    size_t columns = t->dim[t->n_dims - 1], rows = 1;
    float *out;

    for (int i = 0; i + 1 < t->n_dims; i++)
        rows *= t->dim[i];
    if (t->type >= SILR_TYPE_OTHER || columns > 1 << 20 || !(out = malloc(columns * sizeof *out)))
        return;
    for (size_t row = 0; row < rows && row < 8; row++)
        silr_tensor_rows(t, row, 1, out);
    silr_tensor_rows(t, rows - 1, 1, out);
    free(out);
}

static inline void walk_weights(const silr_weights *w)
{
    const silr_model_spec *s = silr_weights_spec(w);
    silr_buf text = {0};
    size_t dim[2];

    for (size_t layer = 0; layer <= s->layers; layer++)
        for (int i = 0; i < 2 * SILR_PARTS; i++) {
            const silr_tensor *t = silr_weights_part(w, (silr_part)(i / 2), layer, i % 2);
            if (!t)
                continue;
            int n = silr_part_shape(s, (silr_part)(i / 2), i % 2, dim);
            if (layer == s->layers || t->n_dims != n || t->dim[0] != dim[0] ||
                (n == 2 && t->dim[1] != dim[1]) || silr_weights_find(w, t->name) != t)
                abort();
        }
    for (size_t i = 0; i < silr_weights_count(w); i++)
        walk_tensor(silr_weights_at(w, i));
    if (silr_weights_at(w, silr_weights_count(w)) || silr_weights_intact(w, NULL) != SILR_OK ||
        silr_weights_describe(w, &text, NULL) != SILR_OK)
        abort();
    silr_buf_clear(&text);
}

#endif
