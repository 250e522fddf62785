/* order.c - which texts a person should label, and in which order.
 *
 * theta_h is estimated from the labelled texts on which the annotator said h. Equal numbers a side
 * make D = theta_p - theta_n as sure as it can be for its price (method.md B4), so the order deals
 * from the annotator's classes in turn: whoever stops after 10, 50 or 200 texts has a stratified
 * sample. Within a class the order is a seeded shuffle. */
#include "run/internal.h"
#include <stdlib.h>

/* Texts of one class, shuffled, into out; `seen` marks the groups that are spoken for. */
static size_t shuffled_class(const silr_session *s, int k, bool *seen, uint32_t *out)
{
    size_t n = 0, total = silr_corpus_size(s->corpus);
    silr_rng rng;

    for (size_t i = 0; i < total; i++) {
        uint32_t group = silr_corpus_group(s->corpus, i);
        if (s->initial[i] != k || silr_corpus_split(s->corpus, i) == SILR_TEST ||
            silr_corpus_empty(s->corpus, i) || seen[group])
            continue;
        seen[group] = true;
        out[n++] = (uint32_t)i;
    }
    silr_rng_init(&rng, (uint64_t)s->task->seed, SILR_RNG_SAMPLE, 1, (uint64_t)k);
    silr_rng_shuffle(&rng, out, n);
    return n;
}

size_t silr_label_order(const silr_session *s, uint32_t *order)
{
    size_t K = s->task->n_classes, total = silr_corpus_size(s->corpus), n = 0, used = 0;
    uint32_t *pool = silr_alloc(total + 1, sizeof *pool);
    size_t *start = silr_calloc(K + 1, sizeof *start);
    bool *seen = silr_calloc(silr_corpus_groups(s->corpus) + 1, sizeof *seen);

    if (!pool || !start || !seen)
        goto done;
    for (size_t k = 0; k < K; k++) {
        start[k] = used;
        used += shuffled_class(s, (int)k, seen, pool + used);
    }
    start[K] = used;
    for (size_t round = 0; n < used; round++)
        for (size_t k = 0; k < K; k++)
            if (start[k] + round < start[k + 1])
                order[n++] = pool[start[k] + round];
done:
    silr_free(pool);
    silr_free(start);
    silr_free(seen);
    return n;
}
