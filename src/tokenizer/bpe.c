/* bpe.c - byte pair encoding: join the pair of neighbours whose merge was learnt first, until no
 * pair of neighbours has one.
 *
 * Merges lie in a table, (left id, right id) -> (rank, id of the whole). Short words are searched
 * for their lowest rank again after every merge; long ones keep a heap of (rank, place), so that a
 * text without spaces costs n log n. Most words are tokens that their own merges lead to: each
 * token keeps a note whether it is one, taken when it is first met, and then a word costs one
 * look-up.
 *
 * Text cannot become a special token: none has a key, and no merge makes one (build.c). */
#include "tokenizer/inside.h"
#include <string.h>

enum { SHORT = 32 };

static inline const silr_merge *find_merge(const silr_tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    size_t i;

    if (t->merge_mask == 0)
        return NULL;
    for (i = (pair * 0x9e3779b97f4a7c15u) >> 20 & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        if (t->merge[i].pair == pair)
            return &t->merge[i];
        if (t->merge[i].pair == UINT64_MAX)
            return NULL;
    }
}

static inline uint32_t rank_of(const silr_tokenizer *t, uint32_t left, uint32_t right)
{
    const silr_merge *m = find_merge(t, left, right);
    return m ? m->rank : UINT32_MAX;
}

/* Merges id[0 .. n) in place; returns how many are left. */
static size_t merge_short(const silr_tokenizer *t, uint32_t *id, size_t n)
{
    uint32_t rank[SHORT];

    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(t, id[i], id[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == UINT32_MAX)
            break;
        id[best] = find_merge(t, id[best], id[best + 1])->id;
        memmove(id + best + 1, id + best + 2, (n - best - 2) * sizeof *id);
        if (best + 2 < n)
            memmove(rank + best + 1, rank + best + 2, (n - best - 2) * sizeof *rank);
        n--;
        if (best > 0)
            rank[best - 1] = rank_of(t, id[best - 1], id[best]);
        if (best + 1 < n)
            rank[best] = rank_of(t, id[best], id[best + 1]);
    }
    return n;
}

/* Notes the rank of the pair at i, and puts it on the heap. */
static bool offer(const silr_tokenizer *t, silr_work *w, uint32_t i)
{
    uint32_t next = w->right[i];

    w->rank[i] = next == UINT32_MAX ? UINT32_MAX : rank_of(t, w->id[i], w->id[next]);
    return w->rank[i] == UINT32_MAX || silr_heap_push(w, (uint64_t)w->rank[i] << 32 | i);
}

/* The same with a heap and a list: w->id, w->left, w->right. */
static bool merge_long(const silr_tokenizer *t, silr_work *w, size_t *n)
{
    size_t kept = 0;

    w->n_heap = 0;
    for (size_t i = 0; i < *n; i++) {
        w->left[i] = i ? (uint32_t)i - 1 : UINT32_MAX;
        w->right[i] = i + 1 < *n ? (uint32_t)i + 1 : UINT32_MAX;
    }
    for (size_t i = 0; i < *n; i++)
        if (!offer(t, w, (uint32_t)i))
            return false;
    while (w->n_heap > 0) {
        uint64_t top = silr_heap_pop(w);
        uint32_t i = (uint32_t)top, next = w->right[i];
        if (w->rank[i] != top >> 32) /* that pair is no more */
            continue;
        w->id[i] = find_merge(t, w->id[i], w->id[next])->id;
        w->right[i] = w->right[next];
        w->rank[next] = UINT32_MAX;
        w->id[next] = SILR_TOK_NONE; /* gone */
        if (w->right[i] != UINT32_MAX)
            w->left[w->right[i]] = i;
        if (!offer(t, w, i) || (w->left[i] != UINT32_MAX && !offer(t, w, w->left[i])))
            return false;
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = w->right[i])
        w->id[kept++] = w->id[i];
    *n = kept;
    return true;
}

/* The symbols that s begins as: bytes, or characters with byte tokens or the unknown one where
 * there is no token. UINT32_MAX is never one of them. */
static bool symbols(const silr_tokenizer *t, silr_work *w, const char *s, size_t len, size_t *out)
{
    size_t n = 0;
    bool unknown = false;

    if (!silr_symbols(w, len))
        return false;
    for (size_t i = 0, step; i < len; i += step) {
        uint32_t id;
        bool all = t->byte_fallback;
        step = t->byte_level ? 1 : silr_tok_char_len(s + i);
        id = t->byte_level ? t->byte[(unsigned char)s[i]]
                           : silr_tok_map_find(&t->map, t->token, s + i, step);
        if (id != SILR_TOK_NONE) {
            w->id[n++] = id;
            unknown = false;
            continue;
        }
        for (size_t k = 0; k < step && all && !t->byte_level; k++)
            all = t->byte[(unsigned char)s[i + k]] != SILR_TOK_NONE;
        if (all && !t->byte_level) {
            for (size_t k = 0; k < step; k++)
                w->id[n++] = t->byte[(unsigned char)s[i + k]];
            unknown = false;
        } else if (t->unknown != SILR_TOK_NONE && !(unknown && t->fuse_unknown)) {
            w->id[n++] = t->unknown;
            unknown = true;
        }
    }
    *out = n;
    return true;
}

silr_status silr_tok_bpe(const silr_tokenizer *t, silr_work *w, const char *s, size_t len,
                         silr_tokens *out, silr_error *err)
{
    uint32_t whole = silr_tok_map_find(&t->map, t->token, s, len);
    unsigned char note = 0;
    silr_status st = SILR_OK;
    size_t n;

    if (whole != SILR_TOK_NONE) {
        note = t->ignore_merges ? 1 : atomic_load_explicit(&t->whole[whole], memory_order_relaxed);
        if (note == 1)
            return silr_tok_emit(out, whole, err);
    }
    if (!symbols(t, w, s, len, &n))
        return silr_fail_memory(err);
    if (n <= SHORT)
        n = merge_short(t, w->id, n);
    else if (!merge_long(t, w, &n))
        return silr_fail_memory(err);
    if (whole != SILR_TOK_NONE && note == 0)
        atomic_store_explicit(&t->whole[whole], n == 1 && w->id[0] == whole ? 1 : 2,
                              memory_order_relaxed);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = silr_tok_emit(out, w->id[i], err);
    return st;
}
