/* hf_write.c - the tensors of a classifier by transformers' names, in transformers' order of rows. */
#include "formats/hf_inside.h"
#include "formats/safetensors_write.h"

#include <math.h>
#include <string.h>

typedef struct {
    const silr_weights *base;
    const silr_hf_model *m;
    silr_plan plan;
    silr_arena names;
    silr_saved_tensor *tensor;
    struct {
        silr_part part; /* SILR_PARTS: the head */
        size_t layer;
        bool bias;
    } *from;
    size_t n;
    float *turn;        /* a bias of q or k, to be put in order */
    size_t turn_cap;
} writing;

int silr_hf_biases(const silr_weights *base, const silr_part *part, size_t n)
{
    const size_t layers = silr_weights_spec(base)->layers;
    size_t with = 0, all = 0;

    for (size_t l = 0; l < layers; l++)
        for (size_t i = 0; i < n; i++)
            if (silr_weights_part(base, part[i], l, false)) {
                all++;
                with += silr_weights_part(base, part[i], l, true) != NULL;
            }
    return with == 0 ? 0 : with == all ? 1 : -1;
}

/* --- which tensors ---------------------------------------------------------------------------- */

static silr_status add(writing *w, const char *name, silr_part part, size_t layer, bool bias, int n_dims,
                       const size_t *dim, silr_error *err)
{
    silr_saved_tensor *t = &w->tensor[w->n];

    *t = (silr_saved_tensor){.type = w->m->type, .n_dims = n_dims, .dim = {dim[0], n_dims > 1 ? dim[1] : 0}};
    w->from[w->n].part = part;
    w->from[w->n].layer = layer;
    w->from[w->n].bias = bias;
    if (!(t->name = silr_arena_strndup(&w->names, name, strlen(name))))
        return silr_fail_memory(err);
    w->n++;
    return SILR_OK;
}

static silr_status add_part(writing *w, silr_part part, size_t layer, bool bias, silr_error *err)
{
    const silr_tensor *t = silr_weights_part(w->base, part, layer, bias);
    char name[SILR_PEFT_NAME];

    if (!t || part == SILR_PART_OUTPUT || part == SILR_PART_ROPE_FACTORS)
        return SILR_OK;
    SILR_ASSERT(silr_part_name(&w->plan, part, layer, bias, false, name, sizeof name));
    return add(w, name, part, layer, bias, t->n_dims, t->dim, err);
}

static silr_status add_head(writing *w, silr_error *err)
{
    const silr_model_spec *s = silr_weights_spec(w->base);
    const bool score = s->causal;
    const size_t dim[2] = {w->m->columns, s->hidden};
    silr_status st = add(w, score ? "score.weight" : "classifier.weight", SILR_PARTS, 0, false, 2, dim, err);

    if (st == SILR_OK && w->m->by_token)
        st = add(w, score ? "score.bias" : "classifier.bias", SILR_PARTS, 0, true, 1, dim, err);
    return st;
}

static silr_status list_tensors(writing *w, silr_error *err)
{
    const size_t layers = silr_weights_spec(w->base)->layers, most = layers * 2 * SILR_PARTS + 2;
    silr_status st = SILR_OK;

    if (!(w->tensor = silr_alloc(most, sizeof *w->tensor)) || !(w->from = silr_calloc(most, sizeof *w->from)))
        return silr_fail_memory(err);
    for (size_t l = 0; l < layers; l++)
        for (int i = 0; i < 2 * SILR_PARTS && st == SILR_OK; i++)
            if (l == 0 || silr_part_of_layer((silr_part)(i / 2)))
                st = add_part(w, (silr_part)(i / 2), l, i % 2 == 1, err);
    return st == SILR_OK ? add_head(w, err) : st;
}

/* --- their values ----------------------------------------------------------------------------- */

static silr_status base_rows(writing *w, size_t i, size_t first, size_t n, float *out, silr_error *err)
{
    const silr_hf_model *m = w->m;

    if (m->rows)
        return m->rows(m->ctx, w->from[i].part, w->from[i].layer, w->from[i].bias, first, n, out, err);
    silr_tensor_rows(silr_weights_part(w->base, w->from[i].part, w->from[i].layer, w->from[i].bias), first, n, out);
    return SILR_OK;
}

/* q and k: transformers' row is another one of the base's, of the same head. */
static silr_status turned_rows(writing *w, size_t i, size_t first, size_t n, float *out, silr_error *err)
{
    const silr_model_spec *s = silr_weights_spec(w->base);
    const silr_part part = w->from[i].part;
    const size_t columns = w->tensor[i].dim[w->tensor[i].n_dims - 1];
    silr_status st = SILR_OK;

    if (w->tensor[i].n_dims > 1) {
        for (size_t r = 0; r < n && st == SILR_OK; r++)
            st = base_rows(w, i, silr_peft_base_row(s, part, first + r), 1, out + r * columns, err);
        return st;
    }
    if (!silr_grow(&w->turn, &w->turn_cap, columns, sizeof *w->turn))
        return silr_fail_memory(err);
    if ((st = base_rows(w, i, 0, 1, w->turn, err)) == SILR_OK)
        for (size_t k = 0; k < columns; k++)
            out[k] = w->turn[silr_peft_base_row(s, part, k)];
    return st;
}

static silr_status head_rows(const writing *w, size_t i, size_t first, size_t n, float *out)
{
    const silr_hf_model *m = w->m;
    const size_t columns = w->tensor[i].dim[w->tensor[i].n_dims - 1];
    const float *from = w->from[i].bias ? m->bias : m->head;

    if (from)
        memcpy(out, from + first * columns, n * columns * sizeof *out);
    else
        memset(out, 0, n * columns * sizeof *out);
    return SILR_OK;
}

static bool is_norm(silr_part part)
{
    size_t dim[2];
    const silr_model_spec none = {0};

    return silr_part_shape(&none, part, false, dim) == 1 && part != SILR_PART_ROPE_FACTORS;
}

/* What is larger would be written as infinite. */
static silr_status check_range(const silr_saved_tensor *t, const float *x, size_t n, silr_error *err)
{
    const float most = t->type == SILR_TYPE_F16 ? 65504 : 3.3895314e38f; /* bf16's largest */

    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]) || (t->type != SILR_TYPE_F32 && fabsf(x[i]) > most))
            return silr_fail(err, SILR_EINPUT, "%s has the value %g, which %s cannot hold: write f32", t->name,
                             (double)x[i], silr_type_of(t->type)->name);
    return SILR_OK;
}

static silr_status rows_of(void *ctx, size_t i, size_t first, size_t n, float *out, silr_error *err)
{
    writing *w = ctx;
    const silr_model_spec *s = silr_weights_spec(w->base);
    const silr_part part = w->from[i].part;
    const size_t values = n * w->tensor[i].dim[w->tensor[i].n_dims - 1];
    const bool gemma = s->family == SILR_FAMILY_GEMMA2 || s->family == SILR_FAMILY_GEMMA3;
    silr_status st;

    if (part == SILR_PARTS)
        st = head_rows(w, i, first, n, out);
    else if (s->rope_interleaved && (part == SILR_PART_Q || part == SILR_PART_K))
        st = turned_rows(w, i, first, n, out, err);
    else
        st = base_rows(w, i, first, n, out, err);
    if (st != SILR_OK)
        return st;
    for (size_t k = 0; k < values && gemma && !s->norm_plus_one && part != SILR_PARTS && is_norm(part); k++)
        out[k] -= 1;
    return check_range(&w->tensor[i], out, values, err);
}

/* --- the door --------------------------------------------------------------------------------- */

silr_status silr_hf_write(const char *dir, const silr_weights *base, const silr_hf_model *m, silr_error *err)
{
    static const silr_saved_note note = {"format", "pt"};
    writing w = {.base = base, .m = m, .plan = silr_peft_plan(silr_weights_spec(base), true)};
    char *config = silr_path_join(dir, "config.json"), *path = silr_path_join(dir, "model.safetensors");
    silr_buf json = {0};
    silr_status st = config && path ? silr_hf_config(&json, base, m, err) : silr_fail_memory(err);

    if (st == SILR_OK && (st = silr_mkdirs(dir, err)) == SILR_OK && (st = list_tensors(&w, err)) == SILR_OK &&
        (st = silr_safetensors_write(path, w.tensor, w.n, &note, 1, rows_of, &w, err)) == SILR_OK &&
        (st = silr_weights_intact(base, err)) == SILR_OK)
        st = silr_file_write(config, json.data, json.len, err);
    silr_free(w.tensor);
    silr_free(w.from);
    silr_free(w.turn);
    silr_arena_clear(&w.names);
    silr_buf_clear(&json);
    silr_free(config);
    silr_free(path);
    return st;
}
