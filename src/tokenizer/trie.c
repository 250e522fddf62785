#include "tokenizer/trie.h"
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    const silr_trie_key *x = a, *y = b;
    int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);

    if (order == 0)
        order = (x->len > y->len) - (x->len < y->len);
    return order ? order : (x->value > y->value) - (x->value < y->value);
}

/* The keys lo .. hi - 1 go through a node: they agree in its `depth` bytes. */
typedef struct {
    size_t lo, hi;
    uint32_t depth;
} range;
typedef struct {
    range *of; /* of each node */
    size_t cap[4];
} builder;

static bool add_node(silr_trie *t, builder *b, range r, uint8_t label)
{
    size_t need = t->nodes + 2;

    if (need > INT32_MAX || !silr_grow(&t->child, &b->cap[0], need, sizeof *t->child) ||
        !silr_grow(&t->value, &b->cap[1], need, sizeof *t->value) ||
        !silr_grow(&t->label, &b->cap[2], need, 1) ||
        !silr_grow(&b->of, &b->cap[3], need, sizeof *b->of))
        return false;
    t->value[t->nodes] = SILR_TRIE_NONE;
    t->label[t->nodes] = label;
    b->of[t->nodes++] = r;
    return true;
}

/* Adds the children of a node, and finds the string that ends at it. */
static bool open_node(silr_trie *t, builder *b, size_t node, const silr_trie_key *key)
{
    range r = b->of[node];
    size_t i = r.lo;

    t->child[node] = (uint32_t)t->nodes;
    for (; i < r.hi && key[i].len == r.depth; i++)
        if (t->value[node] == SILR_TRIE_NONE && r.depth > 0)
            t->value[node] = (int32_t)key[i].value;
    while (i < r.hi) {
        unsigned char byte = (unsigned char)key[i].s[r.depth];
        size_t from = i;
        while (i < r.hi && (unsigned char)key[i].s[r.depth] == byte)
            i++;
        if (node == 0)
            t->first[byte] = (uint32_t)t->nodes;
        if (!add_node(t, b, (range){from, i, r.depth + 1}, byte))
            return false;
    }
    t->child[node + 1] = (uint32_t)t->nodes; /* the next node's children begin here */
    return true;
}

silr_status silr_trie_build(silr_trie *t, silr_trie_key *key, size_t n, silr_error *err)
{
    builder b = {0};
    bool ok;

    memset(t, 0, sizeof *t);
    if (n > 1)
        qsort(key, n, sizeof *key, by_bytes);
    ok = add_node(t, &b, (range){0, n, 0}, 0);
    for (size_t i = 0; ok && i < t->nodes; i++)
        ok = open_node(t, &b, i, key);
    silr_free(b.of);
    if (ok)
        return SILR_OK;
    silr_trie_clear(t);
    return silr_fail_memory(err);
}

void silr_trie_clear(silr_trie *t)
{
    silr_free(t->child);
    silr_free(t->value);
    silr_free(t->label);
    memset(t, 0, sizeof *t);
}

int32_t silr_trie_longest(const silr_trie *t, const char *s, size_t len, size_t *match)
{
    int32_t best = SILR_TRIE_NONE;
    uint32_t node = 0;

    for (size_t i = 0; i < len; i++) {
        if ((node = silr_trie_step(t, node, (unsigned char)s[i])) == 0)
            break;
        if (t->value[node] != SILR_TRIE_NONE) {
            best = t->value[node];
            *match = i + 1;
        }
    }
    return best;
}
