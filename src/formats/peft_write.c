/* peft_write.c - writes an adapter that peft loads onto a sequence classifier of the base.
 *
 * The config names modules by the ends of their names ("q_proj") where every layer has them adapted,
 * and one by one elsewhere; also BERT's "output.dense", which is the end of "attention.output.dense" too.
 * The first rank and alpha stand for all, others by module. */
#include "formats/peft_inside.h"
#include "formats/safetensors_write.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const silr_adapter *a;
    const silr_model_spec *base;
    silr_plan plan;
    silr_arena names;
    silr_saved_tensor *tensor; /* A, B of each adapted matrix; head, bias */
    struct {
        size_t layer;
        silr_part part;
        const float *values;
    } *from;
    size_t n;
} writing;

static const char *head_of(const silr_model_spec *base)
{
    return base->causal ? "score" : "classifier";
}

/* --- tensors ---------------------------------------------------------------------------------- */

static silr_status add(writing *w, const char *module, const char *end, size_t rows, size_t columns,
                       const float *values, silr_error *err)
{
    char name[SILR_PEFT_NAME + 64];
    silr_saved_tensor *t = &w->tensor[w->n];

    snprintf(name, sizeof name, SILR_PEFT_ROOT "%s%s", module, end);
    *t = (silr_saved_tensor){.type = SILR_TYPE_F32, .n_dims = columns > 0 ? 2 : 1, .dim = {rows, columns}};
    if (!(t->name = silr_arena_strndup(&w->names, name, strlen(name))))
        return silr_fail_memory(err);
    w->from[w->n].values = values;
    w->from[w->n].part = SILR_PARTS; /* rows as they are */
    w->n++;
    return SILR_OK;
}

static silr_status add_lora(writing *w, size_t layer, silr_part part, silr_error *err)
{
    const silr_lora *l = silr_adapter_lora(w->a, layer, part);
    char module[SILR_PEFT_NAME];
    size_t out, in;
    silr_status st;

    if (l->r == 0)
        return SILR_OK;
    SILR_ASSERT(silr_adapter_fits(w->base, part, &out, &in) && l->a && l->b);
    silr_peft_module(&w->plan, layer, part, module);
    if ((st = add(w, module, ".lora_A.weight", l->r, in, l->a, err)) != SILR_OK ||
        (st = add(w, module, ".lora_B.weight", out, l->r, l->b, err)) != SILR_OK)
        return st;
    w->from[w->n - 1].part = part;
    return SILR_OK;
}

static silr_status list_tensors(writing *w, silr_error *err)
{
    const silr_adapter *a = w->a;
    const size_t most = 2 * a->layers * SILR_PARTS + 2;
    silr_status st = SILR_OK;

    if (!(w->tensor = silr_alloc(most, sizeof *w->tensor)) || !(w->from = silr_calloc(most, sizeof *w->from)))
        return silr_fail_memory(err);
    for (size_t layer = 0; st == SILR_OK && layer < a->layers; layer++)
        for (int part = 0; st == SILR_OK && part < SILR_PARTS; part++)
            st = add_lora(w, layer, (silr_part)part, err);
    if (st == SILR_OK && a->classes > 0)
        st = add(w, head_of(w->base), ".weight", a->classes, w->base->hidden, a->head, err);
    if (st == SILR_OK && a->classes > 0 && a->bias)
        st = add(w, head_of(w->base), ".bias", a->classes, 0, a->bias, err);
    return st;
}

static silr_status rows_of(void *ctx, size_t i, size_t first, size_t n, float *out, silr_error *err)
{
    const writing *w = ctx;
    const silr_saved_tensor *t = &w->tensor[i];
    const size_t columns = t->dim[t->n_dims - 1];
    const silr_part part = w->from[i].part;
    (void)err;

    for (size_t r = 0; r < n; r++) {
        const size_t row = silr_peft_base_row(w->base, part, first + r);
        memcpy(out + r * columns, w->from[i].values + row * columns, columns * sizeof *out);
    }
    return SILR_OK;
}

/* --- the config ------------------------------------------------------------------------------- */

static void text(silr_buf *b, const char *s)
{
    silr_buf_json(b, s, strlen(s));
}

/* "q_proj" of "model.layers.0.self_attn.q_proj"; BERT: "attention.self.query". NULL: it could be taken
 * for another part's. */
static const char *short_name(const writing *w, silr_part part, const char *module)
{
    const char *end = strrchr(module, '.');

    if (w->plan.layout != SILR_LAYOUT_BERT)
        return end + 1;
    if (part == SILR_PART_DOWN)
        return NULL;
    while (end > module && end[-1] != '.') /* two words: "intermediate.dense" */
        end--;
    if (part == SILR_PART_O) /* three: "attention.output.dense" */
        for (end--; end > module && end[-1] != '.';)
            end--;
    return end;
}

static bool everywhere(const silr_adapter *a, silr_part part)
{
    for (size_t layer = 0; layer < a->layers; layer++)
        if (silr_adapter_lora(a, layer, part)->r == 0)
            return false;
    return true;
}

static void add_targets(const writing *w, silr_buf *b)
{
    const char *between = "", *brief;
    char module[SILR_PEFT_NAME];

    silr_buf_puts(b, "  \"target_modules\": [");
    for (int p = 0; p < SILR_PARTS; p++)
        for (size_t layer = 0; layer < w->a->layers; layer++) {
            if (silr_adapter_lora(w->a, layer, (silr_part)p)->r == 0)
                continue;
            silr_peft_module(&w->plan, layer, (silr_part)p, module);
            brief = everywhere(w->a, (silr_part)p) ? short_name(w, (silr_part)p, module) : NULL;
            if (brief && layer > 0)
                continue;
            silr_buf_printf(b, "%s\n    ", between);
            text(b, brief ? brief : module);
            between = ",";
        }
    silr_buf_puts(b, "\n  ],\n");
}

/* The matrix whose rank and alpha stand for all: the first. NULL: none is adapted. */
static const silr_lora *usual(const silr_adapter *a)
{
    for (size_t i = 0; i < a->layers * SILR_PARTS; i++)
        if (a->lora[i].r > 0)
            return &a->lora[i];
    return NULL;
}

static void add_number(silr_buf *b, double v)
{
    char brief[32];
    double back;

    snprintf(brief, sizeof brief, "%.15g", v); /* 0.05, not 0.050000000000000003 */
    if (silr_parse_double(brief, &back) && back == v)
        silr_buf_puts(b, brief);
    else
        silr_buf_number(b, v, 17);
}

static void add_pattern(const writing *w, silr_buf *b, const char *name, bool ranks)
{
    const silr_lora *first = usual(w->a);
    const char *between = "";
    char module[SILR_PEFT_NAME];

    silr_buf_printf(b, "  \"%s\": {", name);
    for (size_t i = 0; i < w->a->layers * SILR_PARTS; i++) {
        const silr_lora *l = &w->a->lora[i];
        if (l->r == 0 || (ranks ? l->r == first->r : l->alpha == first->alpha))
            continue;
        silr_peft_module(&w->plan, i / SILR_PARTS, (silr_part)(i % SILR_PARTS), module);
        silr_buf_puts(b, between);
        text(b, module);
        silr_buf_puts(b, ": ");
        add_number(b, ranks ? (double)l->r : l->alpha);
        between = ", ";
    }
    silr_buf_puts(b, "},\n");
}

static void add_config(const writing *w, const char *base_name, silr_buf *b)
{
    const silr_lora *first = usual(w->a);

    silr_buf_puts(b, "{\n");
    add_pattern(w, b, "alpha_pattern", false);
    silr_buf_puts(b, "  \"base_model_name_or_path\": ");
    if (base_name)
        text(b, base_name);
    else
        silr_buf_puts(b, "null");
    silr_buf_puts(b, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
                     "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"lora_alpha\": ");
    add_number(b, first->alpha);
    silr_buf_puts(b, ",\n  \"lora_dropout\": ");
    add_number(b, w->a->dropout);
    if (w->a->classes > 0)
        silr_buf_printf(b, ",\n  \"modules_to_save\": [\n    \"%s\"\n  ]", head_of(w->base));
    else
        silr_buf_puts(b, ",\n  \"modules_to_save\": null");
    silr_buf_printf(b, ",\n  \"peft_type\": \"LORA\",\n  \"r\": %zu,\n", first->r);
    add_pattern(w, b, "rank_pattern", true);
    add_targets(w, b);
    silr_buf_printf(b, "  \"task_type\": \"%s\",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n",
                    w->a->by_token ? "TOKEN_CLS" : "SEQ_CLS", w->a->rslora ? "true" : "false");
}

/* --- the door --------------------------------------------------------------------------------- */

static silr_status write_both(writing *w, const char *dir, const char *base_name, silr_error *err)
{
    static const silr_saved_note note = {"format", "pt"};
    char *config = silr_path_join(dir, "adapter_config.json");
    char *path = silr_path_join(dir, "adapter_model.safetensors");
    silr_buf json = {0};
    silr_status st = SILR_OK;

    add_config(w, base_name, &json);
    if (!config || !path || json.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK)
        st = silr_safetensors_write(path, w->tensor, w->n, &note, 1, rows_of, w, err);
    if (st == SILR_OK)
        st = silr_file_write(config, json.data, json.len, err);
    silr_free(config);
    silr_free(path);
    silr_buf_clear(&json);
    return st;
}

silr_status silr_adapter_write(const char *dir, const silr_adapter *a, const silr_model_spec *base,
                               const char *base_name, silr_error *err)
{
    writing w = {.a = a, .base = base, .plan = silr_peft_plan(base, true)};
    silr_status st;

    SILR_ASSERT(a->layers == base->layers && usual(a));
    if ((st = silr_mkdirs(dir, err)) == SILR_OK && (st = list_tensors(&w, err)) == SILR_OK)
        st = write_both(&w, dir, base_name, err);
    silr_free(w.tensor);
    silr_free(w.from);
    silr_arena_clear(&w.names);
    return st;
}
