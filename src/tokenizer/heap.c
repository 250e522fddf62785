/* heap.c - a heap of numbers, and the arrays that merging works on. */
#include "tokenizer/inside.h"

bool silr_heap_push(silr_work *w, uint64_t v)
{
    size_t i = w->n_heap;

    if (!silr_grow(&w->heap, &w->heap_cap, w->n_heap + 1, sizeof *w->heap))
        return false;
    w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] > v; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = v;
    return true;
}

uint64_t silr_heap_pop(silr_work *w)
{
    uint64_t top = w->heap[0], v = w->heap[--w->n_heap];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < w->n_heap) {
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= v)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = v;
    return top;
}

bool silr_symbols(silr_work *w, size_t n)
{
    return n < UINT32_MAX && silr_grow(&w->id, &w->id_cap, n, sizeof *w->id) &&
           silr_grow(&w->rank, &w->rank_cap, n, sizeof *w->rank) &&
           silr_grow(&w->left, &w->left_cap, n, sizeof *w->left) &&
           silr_grow(&w->right, &w->right_cap, n, sizeof *w->right) &&
           silr_grow(&w->at, &w->at_cap, n, sizeof *w->at) &&
           silr_grow(&w->size, &w->size_cap, n, sizeof *w->size);
}
