/* sample.c - the labelled sample: the few texts whose truth may be used. READS THE TRUTH of the
 * texts it draws, and of no other.
 *
 * Drawn by stratum: n/K texts of each class of the annotator's own labels, the rest of the division
 * and what a small class lacks going round the others. By true class would be a leak, since
 * the truth of the pool is what nobody knows; and plain random draws leave a rare class with two or
 * three texts. Text i of stratum h then stands for
 *
 *     w_i = (size of stratum h / N) / (texts of the sample in h),       scaled to sum to n
 *
 * texts, and weighted means over the sample estimate means over the pool. Inside a stratum the
 * order is a seeded shuffle of which the sample is the beginning: a larger sample contains a
 * smaller.
 *
 * A file of labels may hold more of the texts on which several annotators disagreed, since those
 * tell more (run/choose.c). Then the strata are the parts d of each label h, size N_hd, n_hd texts
 * of the sample, and w_i = (N_hd / N) / n_hd. The n_hd texts are a random draw from their part,
 * however n_hd came about, so the mean over them estimates the part's mean, sum_i w_i x_i over h
 * estimates sum_d (N_hd / N) mean_hd(x) = the mean over the stratum, and the share of the texts
 * that were disagreed on in the sample drops out. A part without a text in the sample counts as
 * the rest of its label: its size is shared out among the parts that have some. That is a bias of
 * N_hd / N_h times the parts' difference, for as long as nobody has looked at it. (That n_hd
 * depends on the labels before makes theta too pure by less than .01, tests/priors/test_cells.c.) */
#include "priors/inside.h"
#include <string.h>

void silr_sample_clear(silr_sample *s)
{
    silr_free(s->doc);
    silr_free(s->truth);
    silr_free(s->weight);
    memset(s, 0, sizeof *s);
}

silr_status silr_sample_push(sample_list *l, uint32_t doc, int truth, silr_error *err)
{
    if (!silr_grow(&l->s.doc, &l->cap_doc, l->s.n + 1, sizeof *l->s.doc) ||
        !silr_grow(&l->s.truth, &l->cap_truth, l->s.n + 1, sizeof *l->s.truth))
        return silr_fail_memory(err);
    l->s.doc[l->s.n] = doc;
    l->s.truth[l->s.n++] = truth;
    return SILR_OK;
}

/* Stratum K holds the texts on which the annotator abstained. */
static int stratum_of(int label, int K)
{
    return label >= 0 && label < K ? label : K;
}

/* Sizes of the strata of the pool; refuses where the annotator told nothing. */
static silr_status strata(double *size, const silr_task *task, const silr_corpus *c,
                          const int *initial, silr_error *err)
{
    int K = (int)task->n_classes, used = 0, last = 0;

    for (int k = 0; k <= K; k++)
        size[k] = 0;
    for (size_t i = 0; i < silr_corpus_size(c); i++)
        if (silr_in_pool(c, i))
            size[stratum_of(initial[i], K)]++;
    for (int k = 0; k < K; k++)
        if (size[k] > 0) {
            used++;
            last = k;
        }
    if (used == 0)
        return silr_fail(err, SILR_EINPUT, "%s: the annotator labelled none of the %.0f texts; "
                         "check the annotator's column, values or rules", task->path, size[K]);
    if (used == 1)
        return silr_fail(err, SILR_EDOMAIN, "%s: the annotator gave every text that it labelled "
                         "the class \"%s\": there is nothing to tell apart; check the annotator",
                         task->path, task->classes[last]);
    return SILR_OK;
}

/* How many texts each class gives, one at a time in turn while it has any left. */
static void quotas(size_t *quota, const size_t *have, int K, size_t count)
{
    bool moved = true;

    memset(quota, 0, sizeof *quota * (size_t)K);
    while (count > 0 && moved) {
        moved = false;
        for (int k = 0; k < K && count > 0; k++)
            if (quota[k] < have[k]) {
                quota[k]++;
                count--;
                moved = true;
            }
    }
}

static bool can_draw(const silr_corpus *c, size_t i)
{
    return silr_in_pool(c, i) && silr_corpus_truth(c, i) != SILR_NO_LABEL;
}

/* Those that were looked at for few-shot examples are in the sample before anything is drawn. */
static silr_status push_examples(sample_list *l, bool *taken, const silr_task *task,
                                 const silr_corpus *c, silr_error *err)
{
    silr_examples e;
    silr_status st = silr_examples_draw(&e, task, c, err);

    for (size_t i = 0; st == SILR_OK && i < e.n; i++) {
        taken[e.doc[i]] = true;
        st = silr_sample_push(l, e.doc[i], e.truth[i], err);
    }
    silr_examples_clear(&e);
    return st;
}

/* What is still to be drawn: the budget less what is in the sample, each class less its own. */
static void remaining(size_t *quota, const size_t *have, const sample_list *l, const int *initial,
                      int K, size_t budget)
{
    size_t total[SILR_MAX_CLASSES], got[SILR_MAX_CLASSES] = {0}, none = 0;

    for (size_t i = 0; i < l->s.n; i++)
        if (stratum_of(initial[l->s.doc[i]], K) < K)
            got[initial[l->s.doc[i]]]++;
        else
            none++;
    for (int k = 0; k < K; k++)
        total[k] = have[k] + got[k];
    quotas(quota, total, K, budget > none ? budget - none : 0);
    for (int k = 0; k < K; k++)
        quota[k] = quota[k] > got[k] ? quota[k] - got[k] : 0;
}

static silr_status draw(sample_list *l, const silr_task *task, const silr_corpus *c,
                        const int *initial, silr_error *err)
{
    size_t n = silr_corpus_size(c), have[SILR_MAX_CLASSES] = {0}, quota[SILR_MAX_CLASSES];
    size_t start = 0, used = 0;
    int K = (int)task->n_classes;
    uint32_t *docs = silr_alloc(n, sizeof *docs);
    bool *taken = silr_calloc(n + 1, sizeof *taken);
    silr_status st = docs && taken ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK)
        st = push_examples(l, taken, task, c, err);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        if (stratum_of(initial[i], K) < K && can_draw(c, i) && !taken[i])
            have[initial[i]]++;
    remaining(quota, have, l, initial, K, task->labelled.count > 0 ? (size_t)task->labelled.count : 0);
    for (int k = 0; k < K && st == SILR_OK; k++, start = used) {
        silr_rng g;
        for (size_t i = 0; i < n; i++)
            if (initial[i] == k && can_draw(c, i) && !taken[i])
                docs[used++] = (uint32_t)i;
        silr_rng_init(&g, (uint64_t)task->seed, SILR_RNG_SAMPLE, 0, (uint64_t)k);
        silr_rng_shuffle(&g, docs + start, used - start);
        for (size_t i = 0; i < quota[k] && st == SILR_OK; i++)
            st = silr_sample_push(l, docs[start + i], silr_corpus_truth(c, docs[start + i]), err);
    }
    silr_free(docs);
    silr_free(taken);
    return st;
}

/* Ascending documents; of rows for one document the last holds. */
static silr_status put_in_order(silr_sample *s, silr_error *err)
{
    double *key = silr_alloc(s->n, sizeof *key);
    uint32_t *order = silr_alloc(s->n, sizeof *order), *doc = silr_alloc(s->n, sizeof *doc);
    int *truth = silr_alloc(s->n, sizeof *truth);
    silr_status st = SILR_OK;
    size_t kept = 0;

    for (size_t i = 0; key && i < s->n; i++)
        key[i] = (double)s->doc[i];
    if (!key || !order || !doc || !truth || !silr_argsort(order, key, s->n)) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (kept > 0 && doc[kept - 1] == s->doc[order[i]])
            kept--;
        doc[kept] = s->doc[order[i]];
        truth[kept++] = s->truth[order[i]];
    }
    memcpy(s->doc, doc, kept * sizeof *doc);
    memcpy(s->truth, truth, kept * sizeof *truth);
    s->n = kept;
done:
    silr_free(key);
    silr_free(order);
    silr_free(doc);
    silr_free(truth);
    return st;
}

enum { PARTS = 2 };

/* Which part of its label a document belongs to. */
static int part_of(const uint8_t *stratum, size_t doc)
{
    return stratum && stratum[doc] ? 1 : 0;
}

/* Texts of the pool that one text of the sample stands for, by label and part. */
static void stand_for(double each[][PARTS], const silr_sample *s, int K, const silr_corpus *c,
                      const int *initial, const uint8_t *stratum)
{
    double size[SILR_MAX_CLASSES + 1][PARTS] = {{0}}, count[SILR_MAX_CLASSES + 1][PARTS] = {{0}};

    for (size_t i = 0; i < silr_corpus_size(c); i++)
        if (silr_in_pool(c, i))
            size[stratum_of(initial[i], K)][part_of(stratum, i)]++;
    for (size_t i = 0; i < s->n; i++)
        count[stratum_of(initial[s->doc[i]], K)][part_of(stratum, s->doc[i])]++;
    for (int h = 0; h <= K; h++) {
        double all = 0, seen = 0;
        for (int d = 0; d < PARTS; d++) {
            all += size[h][d];
            seen += count[h][d] > 0 ? size[h][d] : 0;
        }
        for (int d = 0; d < PARTS; d++)
            each[h][d] = count[h][d] > 0 ? size[h][d] / count[h][d] * (all / seen) : 0;
    }
}

static silr_status weigh(silr_sample *s, int K, const silr_corpus *c, const int *initial,
                         const uint8_t *stratum, silr_error *err)
{
    double each[SILR_MAX_CLASSES + 1][PARTS], sum = 0;

    s->weight = silr_alloc(s->n, sizeof *s->weight);
    if (!s->weight)
        return silr_fail_memory(err);
    stand_for(each, s, K, c, initial, stratum);
    for (size_t i = 0; i < s->n; i++) {
        s->weight[i] = each[stratum_of(initial[s->doc[i]], K)][part_of(stratum, s->doc[i])];
        sum += s->weight[i];
    }
    for (size_t i = 0; i < s->n; i++)
        s->weight[i] *= (double)s->n / sum;
    return SILR_OK;
}

/* Enough to say something of every set: K labelled texts, and one in each set that exists. */
static silr_status check(const silr_sample *s, const silr_task *task, const double *size,
                         const int *initial, silr_error *err)
{
    size_t K = task->n_classes, count[SILR_MAX_CLASSES + 1] = {0};

    if (s->n < K && task->labelled.kind == SILR_LABELLED_COUNT)
        return silr_fail(err, SILR_EINPUT, "%s: %zu labelled texts for %zu classes: fewer than one "
                         "a class; corpus.label must name the column of true labels and "
                         "labelled.count be at least %zu (50 is usual), or use labelled: none",
                         task->path, s->n, K, K);
    if (s->n < K)
        return silr_fail(err, SILR_EINPUT, "%s: %zu labelled texts of the train and validation "
                         "part for %zu classes: fewer than one a class; label more (50 is usual)",
                         task->labelled.file, s->n, K);
    for (size_t i = 0; i < s->n; i++)
        count[stratum_of(initial[s->doc[i]], (int)K)]++;
    for (size_t k = 0; k < K; k++)
        if (size[k] > 0 && count[k] == 0)
            return silr_fail(err, SILR_EINPUT, "%s: none of the %zu labelled texts is among those "
                             "that the annotator calls \"%s\"; label some of them",
                             task->path, s->n, task->classes[k]);
    return SILR_OK;
}

silr_status silr_sample_draw(silr_sample *out, const silr_task *task, const silr_corpus *c,
                             const int *initial, const uint8_t *stratum, silr_error *err)
{
    double size[SILR_MAX_CLASSES + 1];
    sample_list list;
    silr_status st;

    memset(out, 0, sizeof *out);
    memset(&list, 0, sizeof list);
    if (task->n_classes < 2 || task->n_classes > SILR_MAX_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%s: %zu classes: silr takes 2 to %d", task->path,
                         task->n_classes, SILR_MAX_CLASSES);
    if ((st = strata(size, task, c, initial, err)) != SILR_OK)
        return st;
    if (task->labelled.kind == SILR_LABELLED_COUNT)
        st = draw(&list, task, c, initial, err);
    else if (task->labelled.kind == SILR_LABELLED_FILE)
        st = silr_sample_from_file(&list, task, c, err);
    else
        return SILR_OK;
    if (st == SILR_OK && list.s.n > 0)
        st = put_in_order(&list.s, err);
    if (st == SILR_OK)
        st = check(&list.s, task, size, initial, err);
    if (task->labelled.kind == SILR_LABELLED_COUNT)
        stratum = NULL; /* drawn by label alone */
    if (st == SILR_OK)
        st = weigh(&list.s, (int)task->n_classes, c, initial, stratum, err);
    if (st == SILR_OK) {
        *out = list.s;
        memset(&list, 0, sizeof list);
    }
    silr_sample_clear(&list.s);
    return st;
}
