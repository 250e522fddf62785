/* cpu_attention.c - attention, a tile for some queries of one text and one head of keys.
 *
 * All texts come by with the first head before the second is begun: what they share, the prefix's
 * keys and values of that head, stays near. */
#include "engine/cpu.h"
#include "engine/pool.h"

enum { TILE_VALUES = 8192 }; /* of queries: these and their sums stay in the second cache */

typedef struct {
    const silr_kernels *kernels;
    const silr_attention *a;
    const silr_attention_strides *s;
    const silr_attention_text *text;
    size_t n_texts, most; /* rows of a tile at most */
    size_t *start;        /* [n_texts + 1] the first tile of each text, for one head */
    float *scratch;       /* [threads][each] */
    size_t each;
} attending;

/* Rows (queries times the heads of a group) of text t, and how many of them make a tile. */
static size_t rows_of(const attending *w, size_t t, size_t *tile)
{
    size_t rows = w->text[t].n * (w->a->heads / w->a->kv_heads);
    size_t tiles = (rows + w->most - 1) / w->most, unit = w->kernels->rows;

    *tile = tiles > 0 ? ((rows + tiles - 1) / tiles + unit - 1) / unit * unit : unit;
    return rows;
}

static void attend(void *context, size_t tile, size_t thread)
{
    const attending *w = context;
    size_t low = 0, high = w->n_texts, rows, each;
    silr_tile_attention t = {.a = w->a, .s = w->s, .scratch = w->scratch + thread * w->each};

    t.kv_head = tile / w->start[w->n_texts];
    tile %= w->start[w->n_texts];
    while (high - low > 1) { /* start[low] <= tile < start[high] */
        size_t middle = (low + high) / 2;
        if (w->start[middle] <= tile)
            low = middle;
        else
            high = middle;
    }
    t.text = &w->text[low];
    rows = rows_of(w, low, &each);
    t.first = (tile - w->start[low]) * each;
    t.rows = rows - t.first < each ? rows - t.first : each;
    w->kernels->attention(&t);
}

silr_status silr_cpu_attention(const silr_attention *a, const silr_attention_strides *s,
                               const silr_attention_text *text, size_t n_texts, silr_error *err)
{
    attending w = {.kernels = silr_kernels_now(), .a = a, .s = s, .text = text, .n_texts = n_texts};
    size_t unit = w.kernels->rows, largest = 0;
    silr_status st = SILR_OK;

    w.most = (TILE_VALUES / a->head_dim + unit) / unit * unit;
    if (!(w.start = silr_alloc(n_texts + 1, sizeof *w.start))) {
        st = silr_fail_memory(err);
        goto done;
    }
    w.start[0] = 0;
    for (size_t t = 0; t < n_texts; t++) {
        size_t tile, rows = rows_of(&w, t, &tile);
        w.start[t + 1] = w.start[t] + (rows + tile - 1) / tile;
        largest = tile > largest ? tile : largest;
    }
    w.each = w.kernels->attention_scratch(a, largest);
    if (!(w.scratch = silr_alloc_aligned(silr_pool_threads() * w.each, sizeof *w.scratch))) {
        st = silr_fail_memory(err);
        goto done;
    }
    silr_pool_run(attend, &w, w.start[n_texts] * a->kv_heads);
done:
    silr_free(w.start);
    silr_free(w.scratch);
    return st;
}
