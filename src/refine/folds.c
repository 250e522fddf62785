/* folds.c - who is trained without whom: folds of the pool for out-of-fold scores, folds of the
 * labelled sample for the certificate. Equal texts and groups stay together (method.md D9), and
 * each fold gets its share of every pseudo-label. */
#include "refine/ours.h"
#include <string.h>

/* Deals the groups of a label out to folds in random order, to the fold with the fewest texts of
 * that label; of these to the one with the fewest of all, or rare labels would crowd in fold 0. */
static void deal(const silr_ours *o, uint8_t *fold_of_group, size_t *load, size_t *whole,
                 const uint32_t *groups, size_t n_groups, const uint32_t *size)
{
    for (size_t i = 0; i < n_groups; i++) {
        uint32_t g = groups[i];
        size_t best = 0;
        for (size_t f = 1; f < (size_t)o->F; f++)
            if (load[f] < load[best] || (load[f] == load[best] && whole[f] < whole[best]))
                best = f;
        fold_of_group[g] = (uint8_t)best;
        load[best] += size[g];
        whole[best] += size[g];
    }
}

silr_status silr_ours_folds(silr_ours *o, silr_error *err)
{
    silr_loop *l = o->loop;
    const size_t G = silr_corpus_groups(l->corpus);
    silr_status st = SILR_OK;
    uint8_t *of_group = silr_alloc(G, 1);
    uint32_t *size = silr_calloc(G, sizeof *size), *list = silr_alloc(o->loop->n, sizeof *list);
    int *class_of = silr_alloc(G, sizeof *class_of);
    size_t *load = silr_calloc((size_t)o->F, sizeof *load),
           *whole = silr_calloc((size_t)o->F, sizeof *whole); /* texts of one label; of all */
    silr_rng rng;

    if (!of_group || !size || !list || !class_of || !load || !whole) {
        st = silr_fail_memory(err);
        goto done;
    }
    memset(of_group, 0xff, G);
    for (size_t i = 0; i < o->n_train; i++) {
        uint32_t d = o->train[i], g = silr_corpus_group(l->corpus, d);
        if (size[g]++ == 0)
            class_of[g] = l->initial[d];
    }
    for (int s = 0; s <= l->K; s++) { /* first those without a label */
        const int label = s == 0 ? SILR_NO_LABEL : s - 1;
        size_t n = 0;
        for (uint32_t g = 0; g < G; g++)
            if (size[g] > 0 && class_of[g] == label)
                list[n++] = g;
        silr_rng_init(&rng, (uint64_t)l->task->seed, SILR_RNG_FOLDS, 0, (uint64_t)s);
        silr_rng_shuffle(&rng, list, n);
        memset(load, 0, (size_t)o->F * sizeof *load);
        deal(o, of_group, load, whole, list, n, size);
    }
    for (size_t r = 0; r < l->n_rows; r++) {
        uint8_t f = of_group[silr_corpus_group(l->corpus, l->row[r])];
        o->fold[r] = r < l->n_pool && f != 0xff ? f : (uint8_t)o->F;
    }
    /* the sample: item by item within each original label, groups together */
    memset(of_group, 0xff, G);
    for (int s = 0, next = 0; s <= l->K && o->J > 0; s++) {
        const int label = s == 0 ? SILR_NO_LABEL : s - 1;
        size_t n = 0;
        for (size_t i = 0; i < l->sample.n; i++)
            if (l->initial[l->sample.doc[i]] == label)
                list[n++] = (uint32_t)i;
        silr_rng_init(&rng, (uint64_t)l->task->seed, SILR_RNG_LABELFOLDS, 0, (uint64_t)s);
        silr_rng_shuffle(&rng, list, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t g = silr_corpus_group(l->corpus, l->sample.doc[list[i]]);
            if (of_group[g] == 0xff)
                of_group[g] = (uint8_t)(next++ % o->J);
            o->label_fold[list[i]] = of_group[g];
        }
    }
done:
    silr_free(of_group);
    silr_free(size);
    silr_free(list);
    silr_free(class_of);
    silr_free(load);
    silr_free(whole);
    return st;
}
