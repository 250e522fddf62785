/* weights.c - opening a model, whatever it lies in. */
#include "formats/weights_inside.h"

#include <string.h>

static silr_weights *weights_new(const char *path)
{
    silr_weights *w = silr_calloc(1, sizeof *w);

    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    if (!(w->path = silr_strdup(path))) {
        silr_weights_free(w);
        return NULL;
    }
    return w;
}

static silr_status take_gguf(silr_weights *w, silr_error *err)
{
    silr_status st = silr_plan_from_gguf(&w->plan, w->gguf, w->path, err);

    if (st != SILR_OK)
        return st;
    w->n = silr_gguf_tensors(w->gguf);
    if (!(w->entry = silr_alloc(w->n, sizeof *w->entry)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < w->n; i++)
        w->entry[i] = silr_gguf_entry(w->gguf, i);
    if ((st = silr_weights_find_parts(w, err)) != SILR_OK)
        return st;
    return silr_weights_intact(w, err);
}

silr_status silr_weights_of_gguf(silr_weights **out, silr_gguf *g, const char *path,
                                 silr_error *err)
{
    silr_status st;
    silr_weights *w = weights_new(path);

    *out = NULL;
    if (!w) {
        silr_gguf_free(g);
        return silr_fail_memory(err);
    }
    w->gguf = g;
    if ((st = take_gguf(w, err)) == SILR_OK) {
        *out = w;
        w = NULL;
    }
    silr_weights_free(w);
    return st;
}

silr_status silr_weights_open(silr_weights **out, const char *path, silr_error *err)
{
    silr_gguf *g;
    silr_status st = silr_gguf_open(&g, path, err);

    *out = NULL;
    return st == SILR_OK ? silr_weights_of_gguf(out, g, path, err) : st;
}

void silr_weights_free(silr_weights *w)
{
    if (!w)
        return;
    silr_gguf_free(w->gguf);
    silr_free(w->entry);
    silr_free(w->by_name);
    silr_free(w->part);
    silr_free(w->path);
    pthread_mutex_destroy(&w->lock);
    silr_free(w);
}

const silr_model_spec *silr_weights_spec(const silr_weights *w)
{
    return &w->plan.spec;
}

size_t silr_weights_count(const silr_weights *w)
{
    return w->n;
}

const silr_tensor *silr_weights_at(const silr_weights *w, size_t i)
{
    return i < w->n ? &w->entry[i]->tensor : NULL;
}

silr_status silr_weights_intact(const silr_weights *w, silr_error *err)
{
    return w->gguf ? silr_gguf_intact(w->gguf, err) : SILR_OK;
}
