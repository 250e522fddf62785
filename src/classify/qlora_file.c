/* qlora_file.c - classifier `qlora` as files, never believed.
 *
 *     qlora.json                   classes, the base and its hash, how texts go in, A and b of
 *                                  logits = A score + b
 *     adapter_config.json          LoRA factors and head as peft keeps them (formats/peft.h): what
 *     adapter_model.safetensors    peft scores is the score here
 *     tuned.safetensors            norms, embeddings and matrices that were trained themselves, by the names
 *                                  of silr_tuned; only where there are any */
#include "classify/model.h"
#include "classify/scorer.h"
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "formats/safetensors_write.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VERSION = 1, MOST_JSON = 1 << 22 };
static const char *const poolings[] = {"auto", "mean", "cls", "last"};
static const char *const forms[] = {"nf4", "f32", "as-filed"};

/* --- writing ---------------------------------------------------------------------------------------- */

static void add_numbers(silr_buf *b, const char *name, const double *v, size_t n)
{
    silr_buf_printf(b, ",\n  \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        silr_buf_puts(b, i ? ", " : "");
        silr_buf_number(b, v[i], 17);
    }
    silr_buf_puts(b, "]");
}

static void describe(silr_buf *b, const silr_qlora_data *q)
{
    const size_t columns = (size_t)q->columns;

    silr_buf_printf(b, "{\n  \"schema_version\": %d,\n  \"kind\": \"qlora\",\n  \"classes\": [", VERSION);
    for (int k = 0; k < q->K; k++) {
        silr_buf_puts(b, k ? ", " : "");
        silr_buf_json(b, q->classes[k], strlen(q->classes[k]));
    }
    silr_buf_puts(b, "],\n  \"model\": ");
    silr_buf_json(b, q->base.name, strlen(q->base.name));
    silr_buf_puts(b, ",\n  \"model_path\": ");
    silr_buf_json(b, q->base.place, strlen(q->base.place));
    silr_buf_printf(b, ",\n  \"model_sha256\": \"%s\",\n  \"base\": \"%s\",\n  \"full\": %s,\n"
                    "  \"pooling\": \"%s\",\n  \"max_tokens\": %zu", q->base.model.hex, forms[q->form],
                    q->full ? "true" : "false", poolings[q->base.opts.pooling], q->base.opts.max_tokens);
    add_numbers(b, "A", q->A, columns * columns);
    add_numbers(b, "b", q->b, columns);
    silr_buf_puts(b, "\n}\n");
}

/* A fully trained model has no adapter: all of it, with the head, is in tuned.safetensors. */
static bool in_adapter(bool full, const silr_tuned *p)
{
    return !full &&
           (p->part == SILR_PARTS || p->what == SILR_TUNED_LORA_A || p->what == SILR_TUNED_LORA_B);
}

/* The adapter's view of the block. */
static silr_status adapter_of(silr_adapter *a, silr_tune *t, double dropout, silr_error *err)
{
    const silr_model_spec *s = silr_engine_spec(silr_tune_engine(t));
    size_t n, params;
    const silr_tuned *p = silr_tune_table(t, &n);
    float *block = silr_tune_params(t, &params);
    silr_status st = silr_adapter_init(a, s->layers, err);

    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        float *at = block + p[i].offset;
        silr_lora *l = p[i].part == SILR_PARTS ? NULL : silr_adapter_lora(a, p[i].layer, p[i].part);
        if (p[i].part == SILR_PARTS && p[i].what == SILR_TUNED_WEIGHT)
            a->head = at, a->classes = p[i].rows;
        else if (p[i].part == SILR_PARTS)
            a->bias = at;
        else if (p[i].what == SILR_TUNED_LORA_A)
            l->a = at, l->r = p[i].rows, l->alpha = silr_tune_scale(t, p[i].layer, p[i].part) * (double)l->r;
        else if (p[i].what == SILR_TUNED_LORA_B)
            l->b = at;
    }
    a->dropout = dropout;
    return st;
}

silr_status silr_qlora_write_adapter(silr_tune *t, double dropout, const char *base_name, const char *dir,
                                     silr_error *err)
{
    const silr_model_spec *s = silr_engine_spec(silr_tune_engine(t));
    float *zeros = NULL;
    silr_adapter a = {0};
    silr_status st = adapter_of(&a, t, dropout, err);

    a.by_token = !s->causal || silr_tune_pooling(t) != SILR_POOL_LAST || a.bias;
    if (st == SILR_OK && a.by_token && !a.bias) { /* their head has one */
        a.bias = zeros = silr_calloc(a.classes, sizeof *zeros);
        st = zeros ? SILR_OK : silr_fail_memory(err);
    }
    if (st == SILR_OK)
        st = silr_adapter_write(dir, &a, s, base_name, err);
    silr_adapter_clear(&a);
    silr_free(zeros);
    return st;
}

/* What the adapter has no place for. No such thing: no such file. */
static silr_status write_rest(bool full, silr_tune *t, const char *path, silr_error *err)
{
    size_t n, params, m = 0;
    const silr_tuned *p = silr_tune_table(t, &n);
    const float *block = silr_tune_params(t, &params);
    silr_saved_tensor *x = silr_calloc(n, sizeof *x);
    silr_status st = x ? SILR_OK : silr_fail_memory(err);

    for (size_t i = 0; x && i < n; i++)
        if (!in_adapter(full, &p[i]))
            x[m++] = (silr_saved_tensor){.name = p[i].name, .type = SILR_TYPE_F32, .n_dims = 2,
                                         .dim = {p[i].rows, p[i].columns},
                                         .values = block + p[i].offset};
    if (st == SILR_OK && m > 0)
        st = silr_safetensors_write(path, x, m, NULL, 0, NULL, NULL, err);
    else if (st == SILR_OK)
        unlink(path); /* of an earlier training */
    silr_free(x);
    return st;
}

silr_status silr_qlora_write(const silr_qlora_data *q, silr_tune *t, double dropout, const char *dir,
                             silr_error *err)
{
    char *rest = silr_path_join(dir, "tuned.safetensors"), *about = silr_path_join(dir, "qlora.json");
    silr_buf b = {0};
    silr_status st = rest && about ? silr_mkdirs(dir, err) : silr_fail_memory(err);

    describe(&b, q);
    if (st == SILR_OK && b.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK)
        unlink(about); /* of an earlier training: never beside what is not its own */
    if (st == SILR_OK && (st = write_rest(q->full, t, rest, err)) == SILR_OK && !q->full)
        st = silr_qlora_write_adapter(t, dropout, q->base.name, dir, err);
    if (st == SILR_OK)
        st = silr_file_write(about, b.data, b.len, err);
    silr_buf_clear(&b);
    silr_free(rest);
    silr_free(about);
    return st;
}

/* --- reading ------------------------------------------------------------------------------------------ */

void silr_qlora_clear(silr_qlora_data *q)
{
    for (int k = 0; q->classes && k < q->K; k++)
        silr_free(q->classes[k]);
    silr_free(q->classes);
    silr_encoder_name_clear(&q->base);
    silr_free(q->A);
    silr_free(q->b);
    *q = (silr_qlora_data){0};
}

static const char *text_at(const json_t *root, const char *key)
{
    const char *s = json_string_value(json_object_get(root, key));

    return s && *s ? s : NULL;
}

static int choice_at(const json_t *root, const char *key, const char *const *choices, int n)
{
    const char *s = text_at(root, key);

    for (int i = 0; s && i < n; i++)
        if (strcmp(s, choices[i]) == 0)
            return i;
    return -1;
}

static bool numbers_at(const json_t *root, const char *key, size_t n, double *out)
{
    const json_t *list = json_object_get(root, key);

    if (!json_is_array(list) || json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        out[i] = json_number_value(v);
        if (!json_is_number(v) || !isfinite(out[i]))
            return false;
    }
    return true;
}

static silr_status read_classes(silr_qlora_data *q, const json_t *root, const char *name, silr_error *err)
{
    const json_t *list = json_object_get(root, "classes");
    const size_t K = json_array_size(list);

    if (K < 2 || K > SILR_RISK_CLASSES)
        return silr_model_damaged(err, name, "it names no classes, or too many");
    if (!(q->classes = silr_calloc(K, sizeof *q->classes)))
        return silr_fail_memory(err);
    q->K = (int)K;
    q->columns = K == 2 ? 1 : (int)K;
    for (size_t k = 0; k < K; k++) {
        const char *s = json_string_value(json_array_get(list, k));
        if (!s || !*s)
            return silr_model_damaged(err, name, "a class has no name");
        if (!(q->classes[k] = silr_strdup(s)))
            return silr_fail_memory(err);
    }
    return SILR_OK;
}

static silr_status read_rest(silr_qlora_data *q, const json_t *root, const char *name, silr_error *err)
{
    const size_t columns = (size_t)q->columns;
    const char *model = text_at(root, "model"), *place = text_at(root, "model_path"),
               *hash = text_at(root, "model_sha256");
    const json_t *most = json_object_get(root, "max_tokens"), *full = json_object_get(root, "full");
    const int pooling = choice_at(root, "pooling", poolings, 4), form = choice_at(root, "base", forms, 3);

    if (!model || !place || !hash || strlen(hash) != 64 || !json_is_integer(most) ||
        json_integer_value(most) < 1 || json_integer_value(most) > 1 << 24 || pooling < 0 || form < 0 ||
        !json_is_boolean(full))
        return silr_model_damaged(err, name, "something of model, base, full, pooling, max_tokens is missing "
                                             "or makes no sense");
    memcpy(q->base.model.hex, hash, 65);
    q->base.opts = (silr_encoder_opts){.pooling = (silr_pooling_choice)pooling,
                                       .max_tokens = (size_t)json_integer_value(most)};
    q->form = (silr_base_form)form;
    q->full = json_is_true(full);
    q->base.name = silr_strdup(model);
    q->base.place = silr_strdup(place);
    q->A = silr_calloc(columns * columns, sizeof *q->A);
    q->b = silr_calloc(columns, sizeof *q->b);
    if (!q->base.name || !q->base.place || !q->A || !q->b)
        return silr_fail_memory(err);
    return numbers_at(root, "A", columns * columns, q->A) && numbers_at(root, "b", columns, q->b)
               ? SILR_OK
               : silr_model_damaged(err, name, "A or b is not made of so many numbers");
}

silr_status silr_qlora_parse(silr_qlora_data *out, const char *json, size_t len, const char *name,
                             silr_error *err)
{
    const uint64_t refused = silr_mem_refused();
    json_error_t e;
    json_t *root = len <= MOST_JSON ? json_loadb(json, len, JSON_REJECT_DUPLICATES, &e) : NULL;
    const json_t *version = json_object_get(root, "schema_version");
    silr_status st;

    *out = (silr_qlora_data){0};
    if (silr_mem_refused() != refused) /* then it is nothing that is wrong with the file */
        st = silr_fail_memory(err);
    else if (!json_is_object(root))
        st = silr_model_damaged(err, name, "it is not a JSON object");
    else if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        st = silr_fail(err, SILR_EINPUT, "%s is of another version than this silr reads (%d): use the "
                       "silr that wrote it or a newer one", name, VERSION);
    else if ((st = read_classes(out, root, name, err)) == SILR_OK)
        st = read_rest(out, root, name, err);
    json_decref(root);
    if (st != SILR_OK)
        silr_qlora_clear(out);
    return st;
}

/* --- a model and what was trained of it ------------------------------------------------------------------ */

/* Which parts tuned.safetensors holds; NULL: there is no such file. */
static silr_status open_rest(silr_safetensors **out, const char *path, silr_tune_opts *o, silr_error *err)
{
    silr_status st;

    *out = NULL;
    if (!silr_file_exists(path))
        return SILR_OK;
    if ((st = silr_safetensors_open(out, path, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < silr_safetensors_count(*out); i++) {
        const char *name = silr_safetensors_entry(*out, i)->tensor.name;
        o->embeddings = o->embeddings || strcmp(name, "tokens.weight") == 0;
        o->norms = o->norms || strstr(name, "norm.") != NULL;
        o->head_bias = o->head_bias || strcmp(name, "head.bias") == 0;
    }
    return SILR_OK;
}

static const silr_tensor *find(const silr_safetensors *f, const char *name)
{
    for (size_t i = 0; f && i < silr_safetensors_count(f); i++)
        if (strcmp(silr_safetensors_entry(f, i)->tensor.name, name) == 0)
            return &silr_safetensors_entry(f, i)->tensor;
    return NULL;
}

/* Fills the block from both files; each entry must be there with its shape. */
static silr_status fill(bool full, silr_tune *t, const silr_adapter *a, const silr_safetensors *rest,
                        const char *dir, silr_error *err)
{
    size_t n, params;
    const silr_tuned *p = silr_tune_table(t, &n);
    float *block = silr_tune_params(t, &params);

    for (size_t i = 0; i < n; i++) {
        const size_t count = p[i].rows * p[i].columns;
        float *to = block + p[i].offset;
        const float *from = NULL;
        if (!in_adapter(full, &p[i]))
            from = NULL;
        else if (p[i].part == SILR_PARTS)
            from = p[i].what == SILR_TUNED_BIAS ? a->bias : a->head;
        else if (p[i].what == SILR_TUNED_LORA_A)
            from = silr_adapter_lora(a, p[i].layer, p[i].part)->a;
        else if (p[i].what == SILR_TUNED_LORA_B)
            from = silr_adapter_lora(a, p[i].layer, p[i].part)->b;
        if (from) {
            memcpy(to, from, count * sizeof *to);
            continue;
        }
        const silr_tensor *x = in_adapter(full, &p[i]) ? NULL : find(rest, p[i].name);
        if (!x || x->type != SILR_TYPE_F32 || x->n_dims != 2 || x->dim[0] != p[i].rows ||
            x->dim[1] != p[i].columns)
            return silr_fail(err, SILR_EINPUT, "%s: %s is missing or has another shape than the model: it "
                             "is of another classifier; copy the whole folder again", dir, p[i].name);
        silr_tensor_rows(x, 0, p[i].rows, to);
        for (size_t k = 0; k < count; k++)
            if (!isfinite(to[k]))
                return silr_fail(err, SILR_EINPUT, "%s: %s has a value that is no number", dir, p[i].name);
    }
    return rest ? silr_safetensors_intact(rest, err) : SILR_OK;
}

static silr_status ranks_of(silr_tune_rank **out, const silr_adapter *a, silr_error *err)
{
    silr_tune_rank *r = silr_calloc(a->layers * SILR_PARTS, sizeof *r);

    *out = r;
    if (!r)
        return silr_fail_memory(err);
    for (size_t l = 0; l < a->layers; l++)
        for (int p = 0; p < SILR_PARTS; p++) {
            const silr_lora *x = silr_adapter_lora(a, l, (silr_part)p);
            if (x && x->r > 0)
                r[l * SILR_PARTS + (size_t)p] = (silr_tune_rank){x->r, silr_adapter_scale(a, x)};
        }
    return SILR_OK;
}

silr_status silr_qlora_open(silr_scorer *out, const silr_qlora_data *q, const char *dir,
                            const char *path, silr_error *err)
{
    silr_scorer_opts o = {.base = q->form, .pooling = q->base.opts.pooling,
                          .max_tokens = q->base.opts.max_tokens,
                          .tune = {.columns = (size_t)q->columns, .matrices = q->full}};
    char *rest_path = silr_path_join(dir, "tuned.safetensors");
    silr_safetensors *rest = NULL;
    silr_weights *w = NULL;
    silr_adapter a = {0};
    silr_tune_rank *ranks = NULL;
    silr_status st;

    *out = (silr_scorer){0};
    if (!rest_path) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_weights_open(&w, path, err)) != SILR_OK ||
        (!q->full && (st = silr_adapter_read(&a, dir, silr_weights_spec(w), err)) != SILR_OK))
        goto done;
    if (!q->full && a.classes != (size_t)q->columns) {
        st = silr_fail(err, SILR_EINPUT, "%s: the adapter's head gives %zu scores, qlora.json wants %d: copy "
                       "the whole folder again", dir, a.classes, q->columns);
        goto done;
    }
    o.tune.head_bias = a.bias != NULL;
    if ((st = open_rest(&rest, rest_path, &o.tune, err)) != SILR_OK ||
        (!q->full && (st = ranks_of(&ranks, &a, err)) != SILR_OK))
        goto done;
    o.tune.each = ranks;
    if ((st = silr_scorer_open(out, path, &o, err)) == SILR_OK)
        st = fill(q->full, out->tune, &a, rest, dir, err);
    out->dropout = a.dropout;
done:
    if (st != SILR_OK)
        silr_scorer_clear(out);
    silr_safetensors_free(rest);
    silr_adapter_clear(&a);
    silr_weights_free(w);
    silr_free(ranks);
    silr_free(rest_path);
    return st;
}
