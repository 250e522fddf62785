/* peft.c - reads an adapter: its tensors against its config, and both against the base. */
#include "formats/peft_inside.h"
#include "formats/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 4 << 20 };

/* --- names and shapes ------------------------------------------------------------------------- */

silr_plan silr_peft_plan(const silr_model_spec *base, bool prefixed)
{
    silr_plan p = {.spec = *base};
    const char *prefix = "model.";

    switch (base->family) {
    case SILR_FAMILY_BERT:
    case SILR_FAMILY_ROBERTA:
        p.layout = SILR_LAYOUT_BERT;
        prefix = base->family == SILR_FAMILY_BERT ? "bert." : "roberta.";
        break;
    case SILR_FAMILY_GEMMA2:
    case SILR_FAMILY_GEMMA3:
        p.layout = SILR_LAYOUT_GEMMA;
        break;
    default:
        p.layout = SILR_LAYOUT_LLAMA;
    }
    snprintf(p.prefix, sizeof p.prefix, "%s", prefixed ? prefix : "");
    return p;
}

void silr_peft_module(const silr_plan *p, size_t layer, silr_part part, char out[SILR_PEFT_NAME])
{
    out[0] = '\0';
    if (silr_part_name(p, part, layer, false, false, out, SILR_PEFT_NAME))
        out[strlen(out) - strlen(".weight")] = '\0';
}

bool silr_adapter_fits(const silr_model_spec *base, silr_part part, size_t *out, size_t *in)
{
    size_t dim[2];

    if (!silr_part_of_layer(part) || silr_part_shape(base, part, false, dim) != 2 ||
        (part == SILR_PART_GATE && !base->gated))
        return false;
    *out = dim[0];
    *in = dim[1];
    return true;
}

/* GGUF's llama puts the two values that turn together side by side, (2i, 2i + 1); transformers half a
 * head apart, (i, i + dims/2). */
size_t silr_peft_row(const silr_model_spec *base, silr_part part, size_t row)
{
    const size_t k = row % base->head_dim;

    if (!base->rope_interleaved || (part != SILR_PART_Q && part != SILR_PART_K) || k >= base->rope_dims)
        return row;
    return row - k + k % 2 * (base->rope_dims / 2) + k / 2;
}

size_t silr_peft_base_row(const silr_model_spec *base, silr_part part, size_t row)
{
    const size_t k = row % base->head_dim, half = base->rope_dims / 2;

    if (!base->rope_interleaved || (part != SILR_PART_Q && part != SILR_PART_K) || k >= base->rope_dims)
        return row;
    return row - k + 2 * (k % half) + k / half;
}

/* --- the adapter itself ----------------------------------------------------------------------- */

silr_status silr_adapter_init(silr_adapter *a, size_t layers, silr_error *err)
{
    *a = (silr_adapter){.layers = layers};
    if (!(a->lora = silr_calloc(layers, SILR_PARTS * sizeof *a->lora)))
        return silr_fail_memory(err);
    return SILR_OK;
}

void silr_adapter_clear(silr_adapter *a)
{
    silr_free(a->lora);
    silr_free(a->values);
    *a = (silr_adapter){0};
}

silr_lora *silr_adapter_lora(const silr_adapter *a, size_t layer, silr_part part)
{
    return &a->lora[layer * SILR_PARTS + part];
}

double silr_adapter_scale(const silr_adapter *a, const silr_lora *l)
{
    return l->alpha / (a->rslora ? sqrt((double)l->r) : (double)l->r);
}

/* --- tensors ---------------------------------------------------------------------------------- */

typedef struct {
    silr_adapter *a;
    const silr_model_spec *base;
    const silr_peft_config *config;
    silr_plan plan;
    const char *path; /* of the tensors */
    const silr_entry **entry; /* by name */
    bool *used;
    size_t n;
    float *at; /* where the next values go */
} reading;

static int against(const void *name, const void *entry)
{
    return strcmp(name, (*(const silr_entry *const *)entry)->tensor.name);
}

/* The tensor named root + module + end; NULL: none. It counts as used. */
static const silr_tensor *find(reading *r, const char *module, const char *end)
{
    char name[SILR_PEFT_NAME + 64];
    const silr_entry **e;

    snprintf(name, sizeof name, SILR_PEFT_ROOT "%s%s", module, end);
    e = r->n > 0 ? bsearch(name, r->entry, r->n, sizeof *r->entry, against) : NULL;
    if (!e)
        return NULL;
    r->used[e - r->entry] = true;
    return &(*e)->tensor;
}

static silr_status check_shape(const reading *r, const silr_tensor *t, size_t rows, size_t columns,
                               silr_error *err)
{
    const bool vector = columns == 0;

    if (t->type >= SILR_TYPE_OTHER)
        return silr_fail(err, SILR_EINPUT, "%s: tensor \"%s\" is not of floats", r->path, t->name);
    if (vector && (t->n_dims != 1 || t->dim[0] != rows))
        return silr_fail(err, SILR_EINPUT, "%s: tensor \"%s\" is not a vector of %zu values", r->path,
                         t->name, rows);
    if (!vector && (t->n_dims != 2 || t->dim[0] != rows || t->dim[1] != columns))
        return silr_fail(err, SILR_EINPUT,
                         "%s: tensor \"%s\" is not %zu x %zu, as the config and the base model need it",
                         r->path, t->name, rows, columns);
    return SILR_OK;
}

/* Copies row row_of(i) of t to row i; part SILR_PARTS: rows as they are. */
static silr_status take(reading *r, const silr_tensor *t, silr_part part, float **out, silr_error *err)
{
    const size_t rows = t->n_dims == 2 ? t->dim[0] : 1, columns = t->dim[t->n_dims - 1];

    *out = r->at;
    for (size_t i = 0; i < rows; i++, r->at += columns) {
        silr_tensor_rows(t, silr_peft_row(r->base, part, i), 1, r->at);
        for (size_t k = 0; k < columns; k++)
            if (!isfinite(r->at[k]))
                return silr_fail(err, SILR_EINPUT,
                                 "%s: tensor \"%s\" has values that are infinite or not numbers", r->path,
                                 t->name);
    }
    return SILR_OK;
}

/* The adapter of one matrix, if the config wants one: A and B, or neither. */
static silr_status read_lora(reading *r, size_t layer, silr_part part, silr_error *err)
{
    silr_lora *l = silr_adapter_lora(r->a, layer, part);
    char module[SILR_PEFT_NAME];
    const silr_tensor *a, *b;
    size_t out, in, rank;
    double alpha;
    silr_status st;
    bool wanted;

    if (!silr_adapter_fits(r->base, part, &out, &in))
        return SILR_OK;
    silr_peft_module(&r->plan, layer, part, module);
    a = find(r, module, ".lora_A.weight");
    b = find(r, module, ".lora_B.weight");
    if ((st = silr_peft_targets(r->config, module, layer, &wanted, err)) != SILR_OK)
        return st;
    if (wanted != (a && b) || (a != NULL) != (b != NULL))
        return silr_fail(err, SILR_EINPUT, "%s: %s %s: the file and its config do not belong together",
                         r->path, a || b ? "has half, or more than the config says, of the adapter of"
                                         : "has no adapter of", module);
    if (!wanted)
        return SILR_OK;
    if ((st = silr_peft_rank(r->config, module, &rank, &alpha, err)) != SILR_OK ||
        (st = check_shape(r, a, rank, in, err)) != SILR_OK ||
        (st = check_shape(r, b, out, rank, err)) != SILR_OK ||
        (st = take(r, a, SILR_PARTS, &l->a, err)) != SILR_OK ||
        (st = take(r, b, part, &l->b, err)) != SILR_OK)
        return st;
    l->r = rank;
    l->alpha = alpha;
    return SILR_OK;
}

static silr_status read_head(reading *r, silr_error *err)
{
    static const char *const names[] = {"score", "classifier"};
    silr_status st;

    for (size_t i = 0; i < 2; i++) {
        const silr_tensor *w = find(r, names[i], ".weight"), *b;
        if (!w)
            continue;
        if (r->a->head)
            return silr_fail(err, SILR_EINPUT, "%s: has two heads, score and classifier", r->path);
        b = find(r, names[i], ".bias");
        if ((st = check_shape(r, w, w->dim[0], r->base->hidden, err)) != SILR_OK ||
            (b && (st = check_shape(r, b, w->dim[0], 0, err)) != SILR_OK) ||
            (st = take(r, w, SILR_PARTS, &r->a->head, err)) != SILR_OK ||
            (b && (st = take(r, b, SILR_PARTS, &r->a->bias, err)) != SILR_OK))
            return st;
        r->a->classes = w->dim[0];
    }
    return SILR_OK;
}

/* Adapters of a bare model lack what classifiers have before the layers. */
static bool has_prefix(const reading *r)
{
    const silr_plan p = silr_peft_plan(r->base, true);
    char root[sizeof SILR_PEFT_ROOT + sizeof p.prefix];

    snprintf(root, sizeof root, SILR_PEFT_ROOT "%s", p.prefix);
    for (size_t i = 0; i < r->n; i++)
        if (strncmp(r->entry[i]->tensor.name, root, strlen(root)) == 0)
            return true;
    return false;
}

/* Sorts the entries, and makes room for the values of all of them. */
static silr_status ready(reading *r, const silr_safetensors *s, silr_error *err)
{
    size_t values = 0;
    const char *twice;

    r->n = silr_safetensors_count(s);
    if (!(r->entry = silr_alloc(r->n, sizeof *r->entry)) || !(r->used = silr_calloc(r->n, 1)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < r->n; i++) {
        const silr_tensor *t = &(r->entry[i] = silr_safetensors_entry(s, i))->tensor;
        values += t->bytes / silr_type_of(t->type)->bytes; /* bytes of one file: no overflow */
    }
    silr_entries_by_name(r->entry, r->n, &twice); /* JSON has no name twice */
    if (!(r->at = r->a->values = silr_alloc_aligned(values + 1, sizeof(float))))
        return silr_fail_memory(err);
    r->plan = silr_peft_plan(r->base, has_prefix(r));
    return SILR_OK;
}

static silr_status read_all(reading *r, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t layer = 0; st == SILR_OK && layer < r->base->layers; layer++)
        for (int part = 0; st == SILR_OK && part < SILR_PARTS; part++)
            st = read_lora(r, layer, (silr_part)part, err);
    if (st == SILR_OK)
        st = read_head(r, err);
    for (size_t i = 0; st == SILR_OK && i < r->n; i++)
        if (!r->used[i])
            st = silr_fail(err, SILR_EINPUT,
                           "%s: tensor \"%s\" is of nothing that silr adapts in this base model; are they "
                           "a pair?", r->path, r->entry[i]->tensor.name);
    return st;
}

static silr_status build(silr_adapter *out, json_t *json, const char *config_path,
                         const silr_safetensors *s, const char *path, const silr_model_spec *base,
                         silr_error *err)
{
    silr_peft_config config;
    reading r = {.a = out, .base = base, .config = &config, .path = path};
    silr_status st = silr_peft_config_read(&config, json, config_path, err);

    if (st == SILR_OK && (st = silr_adapter_init(out, base->layers, err)) == SILR_OK) {
        out->rslora = config.rslora;
        out->dropout = config.dropout;
        if ((st = ready(&r, s, err)) == SILR_OK)
            st = read_all(&r, err);
    }
    silr_free(r.entry);
    silr_free(r.used);
    if (st != SILR_OK)
        silr_adapter_clear(out);
    return st;
}

/* --- the door --------------------------------------------------------------------------------- */

static silr_status open_tensors(silr_safetensors **out, const char *dir, const char *path, silr_error *err)
{
    char *old = silr_path_join(dir, "adapter_model.bin");
    silr_status st;

    *out = NULL;
    if (!old)
        return silr_fail_memory(err);
    if (!silr_file_exists(path) && silr_file_exists(old))
        st = silr_fail(err, SILR_EINPUT, "%s: is a pickle, which silr does not open; save the adapter as "
                                         "safetensors", old);
    else
        st = silr_safetensors_open(out, path, err);
    silr_free(old);
    return st;
}

silr_status silr_adapter_read(silr_adapter *out, const char *dir, const silr_model_spec *base,
                              silr_error *err)
{
    char *config = silr_path_join(dir, "adapter_config.json");
    char *path = silr_path_join(dir, "adapter_model.safetensors");
    silr_safetensors *s = NULL;
    json_t *json = NULL;
    silr_status st, cut;

    *out = (silr_adapter){0};
    if (!config || !path) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_json_read(&json, config, MAX_CONFIG, err)) != SILR_OK ||
        (st = open_tensors(&s, dir, path, err)) != SILR_OK)
        goto done;
    if (!json_is_object(json)) {
        st = silr_fail(err, SILR_EINPUT, "%s: is not a JSON object", config);
        goto done;
    }
    st = build(out, json, config, s, path, base, err);
    if (st == SILR_OK && (cut = silr_safetensors_intact(s, err)) != SILR_OK) {
        silr_adapter_clear(out);
        st = cut;
    }
done:
    json_decref(json);
    silr_safetensors_free(s);
    silr_free(config);
    silr_free(path);
    return st;
}

silr_status silr_adapter_parse(silr_adapter *out, const char *config, size_t config_len,
                               const void *tensors, size_t tensors_len, const silr_model_spec *base,
                               silr_error *err)
{
    silr_safetensors *s;
    json_t *json;
    silr_status st;

    *out = (silr_adapter){0};
    if ((st = silr_json_object(&json, config, config_len, "adapter_config.json", err)) != SILR_OK)
        return st;
    if ((st = silr_safetensors_parse(&s, tensors, tensors_len, "adapter_model.safetensors", err)) == SILR_OK)
        st = build(out, json, "adapter_config.json", s, "adapter_model.safetensors", base, err);
    json_decref(json);
    silr_safetensors_free(s);
    return st;
}
