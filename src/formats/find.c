/* find.c - from a model's plan to its tensors: each part that it needs, with the shape it needs. */
#include "formats/weights_inside.h"

#include <stdlib.h>
#include <string.h>

static int against(const void *name, const void *entry)
{
    return strcmp(name, (*(const silr_entry *const *)entry)->tensor.name);
}

static const silr_entry *find(const silr_weights *w, const char *name)
{
    const silr_entry **e =
        w->n ? bsearch(name, w->by_name, w->n, sizeof *w->by_name, against) : NULL;
    return e ? *e : NULL;
}

const silr_tensor *silr_weights_find(const silr_weights *w, const char *name)
{
    const silr_entry *e = find(w, name);
    return e ? &e->tensor : NULL;
}

static const char *shape_text(char out[64], int n, const size_t *dim)
{
    size_t at = 0;

    out[0] = '\0';
    for (int i = 0; i < n && at < 60; i++)
        at += (size_t)snprintf(out + at, 64 - at, "%s%zu", i ? " x " : "", dim[i]);
    return out;
}

static silr_status check_part(const silr_weights *w, silr_part part, bool bias, const silr_entry *e,
                              silr_error *err)
{
    size_t want[2];
    char has[64], needs[64];
    int n = silr_part_shape(&w->plan.spec, part, bias, want);
    const silr_tensor *t = &e->tensor;

    if (t->n_dims != n || t->dim[0] != want[0] || (n == 2 && t->dim[1] != want[1]))
        return silr_fail(err, SILR_EINPUT, "%s: tensor \"%s\" is %s, where the model needs %s",
                         w->path, t->name, shape_text(has, t->n_dims, t->dim),
                         shape_text(needs, n, want));
    if (t->type == SILR_TYPE_OTHER)
        return silr_fail(err, SILR_EINPUT,
                         "%s: tensor \"%s\" is of type %s, which silr cannot compute with; it "
                         "knows F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K",
                         w->path, t->name, e->type_name);
    return SILR_OK;
}

static silr_status find_part(silr_weights *w, silr_part part, size_t layer, bool bias,
                             silr_error *err)
{
    silr_need need = silr_part_need(&w->plan, part, bias);
    const silr_entry *e = NULL;
    char name[256] = "";
    silr_status st;

    if (need == SILR_NEED_NEVER)
        return SILR_OK;
    if (silr_part_name(&w->plan, part, layer, bias, true, name, sizeof name))
        e = find(w, name);
    if (!e && silr_part_name(&w->plan, part, layer, bias, false, name, sizeof name))
        e = find(w, name);
    if (!e && need == SILR_NEED_MAYBE)
        return SILR_OK;
    if (!e)
        return silr_fail(err, SILR_EINPUT,
                         "%s: tensor \"%s\" is missing, which a model of %zu "
                         "layers (%s) has",
                         w->path, name, w->plan.spec.layers, w->plan.spec.architecture);
    if ((st = check_part(w, part, bias, e, err)) != SILR_OK)
        return st;
    w->part[(layer * SILR_PARTS + part) * 2 + bias] = &e->tensor;
    return SILR_OK;
}

silr_status silr_weights_sort(silr_weights *w, silr_error *err)
{
    const char *twice;

    if (!(w->by_name = silr_alloc(w->n, sizeof *w->by_name)))
        return silr_fail_memory(err);
    if (w->n > 0)
        memcpy(w->by_name, w->entry, w->n * sizeof *w->by_name);
    if (!silr_entries_by_name(w->by_name, w->n, &twice))
        return silr_fail(err, SILR_EINPUT, "%s: tensor \"%s\" is there twice", w->path, twice);
    return SILR_OK;
}

silr_status silr_weights_find_parts(silr_weights *w, silr_error *err)
{
    silr_status st = SILR_OK;
    size_t layers = w->plan.spec.layers;

    if (!(w->part = silr_calloc(layers * 2 * SILR_PARTS, sizeof *w->part)))
        return silr_fail_memory(err);
    for (size_t layer = 0; layer < layers; layer++)
        for (int part = 0; part < 2 * SILR_PARTS && st == SILR_OK; part++)
            if (layer == 0 || silr_part_of_layer((silr_part)(part / 2)))
                st = find_part(w, (silr_part)(part / 2), layer, part % 2 == 1, err);
    return st;
}

const silr_tensor *silr_weights_part(const silr_weights *w, silr_part part, size_t layer, bool bias)
{
    if (part >= SILR_PARTS || layer >= w->plan.spec.layers)
        return NULL;
    return w->part[(layer * SILR_PARTS + part) * 2 + bias];
}
