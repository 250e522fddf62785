/* cpu_attention_back.c - attention backward, a tile for one text and one head of keys: the longest
 * first, lest one of them be begun when the others are done. */
#include "engine/cpu.h"
#include "engine/pool.h"
#include <stdlib.h>

typedef struct {
    size_t length, text;
} order;

typedef struct {
    const silr_kernels *kernels;
    silr_tile_attention_back all; /* of the first text */
    const order *order;
    size_t each;                  /* floats of scratch a thread */
} attending;

static int longest_first(const void *a, const void *b)
{
    const order *x = a, *y = b;

    return x->length != y->length ? (x->length < y->length ? 1 : -1) : (x->text > y->text) - (x->text < y->text);
}

static void attend(void *context, size_t tile, size_t thread)
{
    const attending *w = context;
    size_t text = w->order[tile / w->all.a->kv_heads].text;
    silr_tile_attention_back t = w->all;

    t.text += text;
    t.back += text;
    t.kv_head = tile % w->all.a->kv_heads;
    t.scratch += thread * w->each;
    w->kernels->attention_back(&t);
}

silr_status silr_cpu_attention_back(const silr_attention *a, const silr_attention_strides *s,
                                    const silr_attention_text *text, const silr_attention_back *back,
                                    size_t n_texts, silr_error *err)
{
    attending w = {.kernels = silr_kernels_now(), .all = {.a = a, .s = s, .text = text, .back = back}};
    silr_tile_attention_back longest = w.all;
    silr_status st = SILR_OK;
    order *o = silr_alloc(n_texts, sizeof *o);

    if (!o)
        return silr_fail_memory(err);
    for (size_t t = 0; t < n_texts; t++)
        o[t] = (order){text[t].n_own, t};
    if (n_texts == 0)
        goto done;
    qsort(o, n_texts, sizeof *o, longest_first);
    w.order = o;
    longest.text = text + o[0].text;
    w.each = w.kernels->attention_back_scratch(&longest);
    if (!(w.all.scratch = silr_alloc_aligned(silr_pool_threads() * w.each, sizeof *w.all.scratch))) {
        st = silr_fail_memory(err);
        goto done;
    }
    silr_pool_run(attend, &w, n_texts * a->kv_heads);
done:
    silr_free(o);
    silr_free(w.all.scratch);
    return st;
}
