/* split.c - which documents train, which validate, which test.
 *
 * A text that is in training and, copied, in the test would be tested on what was learned by
 * heart. So documents are first joined into groups: equal texts (after folding white space), and
 * equal values of the `group` column; whatever hangs together through either is one group
 * (union-find). Groups, not documents, are then laid in a random order and cut into three.
 *
 * A group's place in that order is Philox at (seed, key), where the key is the least hash of its
 * texts: adding documents elsewhere moves nobody, and threads have no say. The group that lies
 * across a cut goes where its middle is, so a share is off by half a group at most. */
#include "corpus/build.h"
#include <string.h>

static uint32_t root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root(parent, a);
    b = root(parent, b);
    if (a < b)
        parent[b] = a; /* the root is the first document: groups keep the order of the input */
    else
        parent[a] = b;
}

/* Joins equal texts. A text of nothing but white space says nothing about what belongs together. */
static silr_status join_texts(silr_corpus *c, const silr_fold *fold, uint32_t *parent)
{
    size_t slots = 64;
    uint32_t *table;

    while (slots < c->n * 2)
        slots *= 2;
    if (!(table = silr_calloc(slots, sizeof *table)))
        return SILR_ENOMEM;
    for (size_t i = 0; i < c->n; i++) {
        size_t at = fold[i].low & (slots - 1);
        if (c->doc[i].empty)
            continue;
        while (table[at] &&
               (fold[table[at] - 1].low != fold[i].low || fold[table[at] - 1].high != fold[i].high))
            at = (at + 1) & (slots - 1);
        if (table[at]) {
            c->stats.duplicates++;
            join(parent, table[at] - 1, (uint32_t)i);
        } else {
            table[at] = (uint32_t)i + 1;
        }
    }
    silr_free(table);
    return SILR_OK;
}

static silr_status join_column(silr_corpus *c, const silr_kept *group, uint32_t *parent)
{
    uint32_t *first = silr_calloc(group->values.n + 1, sizeof *first);

    if (!first)
        return SILR_ENOMEM;
    for (size_t i = 0; i < c->n; i++) {
        uint32_t k = group->number[i];
        if (k == 0)
            continue;
        if (first[k])
            join(parent, first[k] - 1, (uint32_t)i);
        else
            first[k] = (uint32_t)i + 1;
    }
    silr_free(first);
    return SILR_OK;
}

/* Numbers the groups by their first documents; key and size of each. */
static void number(silr_corpus *c, const silr_fold *fold, uint32_t *parent, uint64_t *key,
                   uint32_t *size)
{
    for (size_t i = 0; i < c->n; i++) {
        uint32_t r = root(parent, (uint32_t)i), g;
        uint64_t k = fold[i].low;
        if (c->doc[i].empty)
            k = silr_hash64(c->doc[i].id, strlen(c->doc[i].id), 0);
        if (r == i) {
            g = (uint32_t)c->groups++;
            key[g] = UINT64_MAX;
            size[g] = 0;
        } else {
            g = c->doc[r].group;
        }
        c->doc[i].group = g;
        size[g]++;
        if (k < key[g])
            key[g] = k;
    }
}

static void cut(silr_corpus *c, const uint32_t *order, const uint32_t *size, uint8_t *split,
                const silr_task *task)
{
    double all = task->corpus.train + task->corpus.validation + task->corpus.test;
    double train = (double)c->n, validation = (double)c->n;
    size_t before = 0;

    if (all > 0) {
        train = task->corpus.train / all * (double)c->n;
        validation = train + task->corpus.validation / all * (double)c->n;
    }
    for (size_t k = 0; k < c->groups; k++) {
        uint32_t g = order[k];
        double middle = (double)before + (double)size[g] / 2;
        split[g] = middle <= train                                  ? SILR_TRAIN
                   : middle <= validation || task->corpus.test <= 0 ? SILR_VALIDATION
                                                                    : SILR_TEST;
        if (split[g] == SILR_VALIDATION && task->corpus.validation <= 0)
            split[g] = SILR_TRAIN;
        before += size[g];
    }
}

silr_status silr_split_draw(silr_corpus *c, const silr_fold *fold, const silr_kept *group,
                            const silr_task *task)
{
    silr_status st = SILR_ENOMEM;
    uint32_t *parent = silr_alloc(c->n, sizeof *parent);
    uint32_t *size = silr_alloc(c->n, sizeof *size), *order = silr_alloc(c->n, sizeof *order);
    uint64_t *key = silr_alloc(c->n, sizeof *key);
    double *place = silr_alloc(c->n, sizeof *place);
    uint8_t *split = silr_alloc(c->n, 1);

    if (!parent || !size || !order || !key || !place || !split)
        goto done;
    for (size_t i = 0; i < c->n; i++)
        parent[i] = (uint32_t)i;
    if (join_texts(c, fold, parent) != SILR_OK ||
        (group && join_column(c, group, parent) != SILR_OK))
        goto done;
    number(c, fold, parent, key, size);
    for (size_t g = 0; g < c->groups; g++)
        place[g] = silr_rng_at((uint64_t)task->seed, SILR_RNG_SPLIT, 0, key[g]);
    if (!silr_argsort(order, place, c->groups))
        goto done;
    cut(c, order, size, split, task);
    for (size_t i = 0; i < c->n; i++)
        c->doc[i].split = split[c->doc[i].group];
    st = SILR_OK;
done:
    silr_free(parent);
    silr_free(size);
    silr_free(order);
    silr_free(key);
    silr_free(place);
    silr_free(split);
    return st;
}
