/* patterns.c - equal rows of votes, counted once.
 *
 * Five annotators and two classes can answer a text in 3^5 = 243 ways, however many texts there
 * are, and all that agree/ computes is a function of the answers. So texts are sorted into patterns
 * by a hash table with open addressing, and agreement and EM work on patterns with counts: a
 * million texts cost one pass. Where almost every text has a pattern of its own nothing is lost but
 * that pass. Patterns are numbered by first appearance, which makes sums over them come in a fixed
 * order. */
#include "agree/inside.h"
#include <string.h>

silr_status silr_votes_check(const silr_votes *v, silr_error *err)
{
    if (v->M < 1 || v->M > SILR_AGREE_ANNOTATORS)
        return silr_fail(err, SILR_EINPUT, "%d annotators: silr puts together 1 to %d", v->M,
                         SILR_AGREE_ANNOTATORS);
    if (v->K < 2 || v->K > SILR_AGREE_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%d classes: silr takes 2 to %d", v->K,
                         SILR_AGREE_CLASSES);
    if (v->n >= UINT32_MAX)
        return silr_fail(err, SILR_EINPUT, "%zu texts: silr takes fewer than 2^32 - 1", v->n);
    return SILR_OK;
}

silr_status silr_votes_refuse(int m, size_t i, int label, int K, silr_error *err)
{
    if (m < 0)
        return silr_fail(err, SILR_EINPUT, "the known truth of text %zu, %d, is none of %d classes",
                         i + 1, label, K);
    return silr_fail(err, SILR_EINPUT, "annotator %d, text %zu: label %d is none of %d classes",
                     m + 1, i + 1, label, K);
}

static silr_status read_row(uint8_t *row, const silr_votes *v, const int *known, size_t i,
                            silr_error *err)
{
    for (int m = 0; m <= v->M; m++) {
        int label = m < v->M ? v->label[m][i] : known ? known[i] : SILR_NO_LABEL;
        if (label != SILR_NO_LABEL && (label < 0 || label >= v->K))
            return silr_votes_refuse(m < v->M ? m : -1, i, label, v->K, err);
        row[m] = label == SILR_NO_LABEL ? SILR_NOBODY : (uint8_t)label;
    }
    return SILR_OK;
}

/* A slot holds the number of a pattern plus one; 0: free. A power of two of them. */
typedef struct {
    uint32_t *slot;
    size_t slots, cap_vote, cap_count;
} table;

/* The slot of a row: where it is, or the free one where it would be. */
static size_t find(const table *t, const silr_patterns *p, const uint8_t *row)
{
    size_t at = silr_hash64(row, p->width, 0) & (t->slots - 1);

    while (t->slot[at] && memcmp(p->vote + (t->slot[at] - 1) * p->width, row, p->width) != 0)
        at = (at + 1) & (t->slots - 1);
    return at;
}

/* At most half full, so that a search ends soon. */
static bool make_room(table *t, const silr_patterns *p)
{
    uint32_t *old = t->slot;

    if (p->unique * 2 < t->slots)
        return true;
    t->slots = t->slots ? t->slots * 4 : 1024;
    if (!(t->slot = silr_calloc(t->slots, sizeof *t->slot))) {
        t->slot = old;
        return false;
    }
    silr_free(old);
    for (size_t u = 0; u < p->unique; u++)
        t->slot[find(t, p, p->vote + u * p->width)] = (uint32_t)u + 1;
    return true;
}

static bool add_pattern(table *t, silr_patterns *p, size_t at, const uint8_t *row)
{
    if (!silr_grow(&p->vote, &t->cap_vote, (p->unique + 1) * p->width, 1) ||
        !silr_grow(&p->count, &t->cap_count, p->unique + 1, sizeof *p->count))
        return false;
    memcpy(p->vote + p->unique * p->width, row, p->width);
    p->count[p->unique] = 0;
    t->slot[at] = (uint32_t)++p->unique;
    return true;
}

/* The number of the row's pattern, a new one if need be. */
static bool place(table *t, silr_patterns *p, const uint8_t *row, uint32_t *number)
{
    size_t at;

    if (!make_room(t, p))
        return false;
    at = find(t, p, row);
    if (!t->slot[at] && !add_pattern(t, p, at, row))
        return false;
    *number = t->slot[at] - 1;
    return true;
}

silr_status silr_patterns_make(silr_patterns *out, const silr_votes *v, const int *known,
                               silr_error *err)
{
    silr_patterns p = {.n = v->n, .M = v->M, .K = v->K, .width = (size_t)v->M + 1};
    uint8_t row[SILR_AGREE_ANNOTATORS + 1];
    table t = {.cap_vote = 64 * p.width, .cap_count = 64};
    silr_status st;

    memset(out, 0, sizeof *out);
    if ((st = silr_votes_check(v, err)) != SILR_OK)
        goto done;
    p.of = silr_alloc(p.n, sizeof *p.of);
    p.vote = silr_alloc(t.cap_vote, 1);
    p.count = silr_alloc(t.cap_count, sizeof *p.count);
    if (!p.of || !p.vote || !p.count) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < p.n; i++) {
        if ((st = read_row(row, v, known, i, err)) != SILR_OK)
            goto done;
        if (!place(&t, &p, row, &p.of[i])) {
            st = silr_fail_memory(err);
            goto done;
        }
        p.count[p.of[i]]++;
    }
    *out = p;
    memset(&p, 0, sizeof p);
done:
    silr_free(t.slot);
    silr_patterns_clear(&p);
    return st;
}

void silr_patterns_clear(silr_patterns *p)
{
    silr_free(p->vote);
    silr_free(p->count);
    silr_free(p->of);
    memset(p, 0, sizeof *p);
}

int silr_row_counts(int *counts, int K, const uint8_t *row, int M)
{
    int cast = 0;

    for (int k = 0; k < K; k++)
        counts[k] = 0;
    for (int m = 0; m < M; m++)
        if (row[m] != SILR_NOBODY) {
            counts[row[m]]++;
            cast++;
        }
    return cast;
}

int silr_top_count(const int *counts, int K, int *on_top)
{
    int top = 0;

    *on_top = 1;
    for (int k = 1; k < K; k++)
        if (counts[k] > counts[top]) {
            top = k;
            *on_top = 1;
        } else {
            *on_top += counts[k] == counts[top];
        }
    return top;
}
