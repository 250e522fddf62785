/* describe.c - what a model is, for people. */
#include "formats/weights_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    silr_weights_fact fact;
    void *ctx;
} teller;

static void number(const teller *t, const char *name, uint64_t v)
{
    t->fact(t->ctx, name, NULL, v);
}

__attribute__((format(printf, 3, 4))) static void text(const teller *t, const char *name,
                                                       const char *fmt, ...)
{
    char value[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    t->fact(t->ctx, name, value, 0);
}

static void tell_attention(const teller *t, const silr_model_spec *s)
{
    char window[128] = "", period[64] = "";

    if (s->window_period)
        snprintf(period, sizeof period, ", every %zuth layer all", s->window_period);
    if (s->window)
        snprintf(window, sizeof window, ", the last %zu%s", s->window, period);
    text(t, "attention", "%s%s", s->causal ? "to what came before" : "to the whole text", window);
    if (!s->rope)
        text(t, "order of tokens", "a table");
    else if (s->rope_scaling == SILR_ROPE_PLAIN)
        text(t, "order of tokens", "rotary, base %.9g", s->rope_theta);
    else
        text(t, "order of tokens", "rotary, base %.9g, %s scaling by %.9g", s->rope_theta,
             s->rope_scaling == SILR_ROPE_LINEAR ? "linear" : "llama3", s->rope_factor);
}

static size_t values_of(const silr_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->dim[i];
    return n;
}

/* The types in the file by how many values they hold, and what the parts in use take. */
static void tell_sizes(const teller *t, const silr_weights *w)
{
    uint64_t values[SILR_TYPES] = {0}, all = 0, floats = 0, filed = 0;
    size_t parts = w->plan.spec.layers * 2 * SILR_PARTS, used = 0, at = 0;
    char types[256] = "";

    for (size_t i = 0; i < w->n; i++) {
        values[w->entry[i]->tensor.type] += values_of(&w->entry[i]->tensor);
        all += values_of(&w->entry[i]->tensor);
    }
    for (size_t i = 0; i < parts; i++)
        if (w->part[i]) {
            used++;
            floats += values_of(w->part[i]) * sizeof(float);
            filed += w->part[i]->bytes;
        }
    for (;;) {
        int most = 0;
        for (int i = 1; i < SILR_TYPES; i++)
            if (values[i] > values[most])
                most = i;
        if (values[most] == 0 || at > sizeof types - 40)
            break;
        at += (size_t)snprintf(types + at, sizeof types - at, "%s%s %.3g %%", at ? ", " : "",
                               silr_type_of((silr_type)most)->name,
                               100.0 * (double)values[most] / (double)all);
        values[most] = 0;
    }
    number(t, "values", all);
    text(t, "types", "%s", types);
    number(t, "tensors", w->n);
    number(t, "tensors in use", used);
    number(t, "weights as filed MiB", (filed + (1 << 20) - 1) >> 20);
    number(t, "weights as floats MiB", (floats + (1 << 20) - 1) >> 20);
}

void silr_weights_facts(const silr_weights *w, silr_weights_fact fact, void *ctx)
{
    static const char *const family[] = {"llama",  "qwen2", "qwen3",  "gemma2",
                                         "gemma3", "bert",  "roberta"};
    static const char *const pooling[] = {"none", "cls", "mean", "last"};
    const silr_model_spec *s = &w->plan.spec;
    teller t = {fact, ctx};

    if (w->gguf)
        text(&t, "format", "GGUF %u", silr_gguf_version(w->gguf));
    else
        text(&t, "format", w->n_files > 1 ? "safetensors, %zu files" : "safetensors", w->n_files);
    text(&t, "architecture", "%s", s->architecture);
    text(&t, "family", "%s", family[s->family]);
    number(&t, "layers", s->layers);
    number(&t, "hidden size", s->hidden);
    number(&t, "heads", s->heads);
    number(&t, "key-value heads", s->kv_heads);
    number(&t, "head size", s->head_dim);
    number(&t, "MLP size", s->mlp);
    number(&t, "vocabulary", s->vocab);
    number(&t, "longest text", s->max_tokens ? s->max_tokens : s->positions);
    tell_attention(&t, s);
    if (s->pooling != SILR_POOL_NONE)
        text(&t, "vector of a text", "%s%s", pooling[s->pooling],
             s->normalise ? ", of length 1" : "");
    tell_sizes(&t, w);
}

static void add_line(void *ctx, const char *name, const char *value, uint64_t n)
{
    silr_buf *b = ctx;

    if (value)
        silr_buf_printf(b, "%-22s %s\n", name, value);
    else
        silr_buf_printf(b, "%-22s %llu\n", name, (unsigned long long)n);
}

silr_status silr_weights_describe(const silr_weights *w, silr_buf *out, silr_error *err)
{
    silr_weights_facts(w, add_line, out);
    return out->failed ? silr_fail_memory(err) : SILR_OK;
}
