/* trie.h - a fixed set of byte strings, walked a byte at a time.
 *
 * Nodes are numbered in breadth-first order, so the children of a node lie side by side and those
 * of the next node follow: child[i] .. child[i + 1] - 1. Node 0 is the root, and no node's child,
 * so it also means "no such child". */
#ifndef SILR_TOKENIZER_TRIE_H
#define SILR_TOKENIZER_TRIE_H

#include "base/base.h"

enum { SILR_TRIE_NONE = -1 };
typedef struct {
    const char *s;
    size_t len;
    uint32_t value; /* below 2^31 */
} silr_trie_key;
typedef struct {
    uint32_t *child; /* [nodes + 1] */
    int32_t *value;  /* [nodes]; SILR_TRIE_NONE: no string ends here */
    uint8_t *label;  /* [nodes]: the byte that leads here */
    size_t nodes;
    uint32_t first[256]; /* the root's children by their byte */
} silr_trie;

/* Sorts the keys. Empty strings are left out; of equal ones the lowest value stays. */
silr_status silr_trie_build(silr_trie *t, silr_trie_key *key, size_t n, silr_error *err);
void silr_trie_clear(silr_trie *t);

static inline uint32_t silr_trie_step(const silr_trie *t, uint32_t node, unsigned char byte)
{
    uint32_t lo, hi;
    if (node == 0)
        return t->first[byte];
    lo = t->child[node];
    hi = t->child[node + 1];
    while (hi - lo > 8) { /* children are in the order of their bytes */
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->label[mid] <= byte)
            lo = mid;
        else
            hi = mid;
    }
    for (; lo < hi; lo++)
        if (t->label[lo] == byte)
            return lo;
    return 0;
}
/* The longest string that s begins with: its value, and its length; SILR_TRIE_NONE: there is none.
 */
int32_t silr_trie_longest(const silr_trie *t, const char *s, size_t len, size_t *match);

#endif
