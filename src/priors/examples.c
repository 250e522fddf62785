/* examples.c - few-shot examples from the labelled sample. READS THE TRUTH of the texts it looks at,
 * which all belong to the sample from then on.
 *
 * The prompt comes before the annotator's labels, so the examples cannot be drawn by those. From a
 * labelled file they are taken class by class in turn. From corpus.label (labelled.count) texts of the
 * pool are looked at in random order until every class has its share or a third of the budget is
 * spent; those that did not become examples stay in the sample as what they are, a random part of it.
 *
 * An example shows the model its own answer: neither it nor a text of its group (an equal one) may
 * ever count for or against the annotator. run/ leaves both without a label of the annotator. */
#include "priors/inside.h"
#include <string.h>

void silr_examples_clear(silr_examples *e)
{
    silr_free(e->doc);
    silr_free(e->truth);
    silr_free(e->example);
    memset(e, 0, sizeof *e);
}

size_t silr_examples_wanted(const silr_task *task)
{
    size_t most = silr_task_prompts(task)
                      ? (size_t)task->annotator.chat.draw_examples : 0;

    for (size_t i = 0; i < task->annotator.n_members; i++) {
        size_t n = silr_examples_wanted(task->annotator.member[i]);
        most = n > most ? n : most;
    }
    return most;
}

/* Class by class in turn, in the order in which they were looked at: the first n of the list are as
 * balanced as they can be for every n. */
static void choose(silr_examples *e, size_t want, size_t K)
{
    size_t at[SILR_MAX_CLASSES] = {0};
    bool moved = true;

    while (e->n_examples < want && moved) {
        moved = false;
        for (size_t k = 0; k < K && e->n_examples < want; k++) {
            while (at[k] < e->n && e->truth[at[k]] != (int)k)
                at[k]++;
            if (at[k] == e->n)
                continue;
            e->example[e->n_examples++] = at[k]++;
            moved = true;
        }
    }
}

static bool enough(const silr_examples *e, size_t want, size_t K)
{
    size_t count[SILR_MAX_CLASSES] = {0};

    for (size_t i = 0; i < e->n; i++)
        count[e->truth[i]]++;
    for (size_t k = 0; k < K; k++)
        if (count[k] < want / K + (k < want % K))
            return false;
    return true;
}

static silr_status look(silr_examples *e, const silr_task *task, const silr_corpus *c, size_t want,
                        silr_error *err)
{
    size_t n = silr_corpus_size(c), used = 0, most = (size_t)task->labelled.count / 3;
    uint32_t *docs = silr_alloc(n, sizeof *docs);
    silr_rng g;

    if (!docs)
        return silr_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        if (silr_in_pool(c, i) && silr_corpus_truth(c, i) != SILR_NO_LABEL)
            docs[used++] = (uint32_t)i;
    silr_rng_init(&g, (uint64_t)task->seed, SILR_RNG_SAMPLE, 2, 0);
    silr_rng_shuffle(&g, docs, used);
    most = most > want ? most : want;
    for (size_t i = 0; i < used && e->n < most && !enough(e, want, task->n_classes); i++) {
        e->doc[e->n] = docs[i];
        e->truth[e->n++] = silr_corpus_truth(c, docs[i]);
    }
    silr_free(docs);
    return SILR_OK;
}

static silr_status from_file(silr_examples *e, const silr_task *task, const silr_corpus *c,
                             size_t room, silr_error *err)
{
    sample_list list;
    uint32_t *order = NULL;
    bool *seen = silr_calloc(room + 1, sizeof *seen);
    char *path = silr_path_join(task->dir, task->labelled.file);
    silr_rng g;
    silr_status st = path ? SILR_OK : silr_fail_memory(err);

    memset(&list, 0, sizeof list);
    if (path && !silr_file_exists(path))
        st = silr_fail(err, SILR_EINPUT, "%s: not there yet, and annotator.examples wants %zu texts from it "
                       "for the prompt; label a few there by hand (columns id and label), or write examples "
                       "into the task", path, silr_examples_wanted(task));
    if (st != SILR_OK || (st = silr_sample_from_file(&list, task, c, err)) != SILR_OK)
        goto done;
    if (!seen || !(order = silr_alloc(list.s.n, sizeof *order))) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = list.s.n; i-- > 0;) /* of rows for one document the last holds */
        if (!seen[list.s.doc[i]]) {
            seen[list.s.doc[i]] = true;
            order[e->n++] = (uint32_t)i;
        }
    silr_rng_init(&g, (uint64_t)task->seed, SILR_RNG_SAMPLE, 2, 0);
    silr_rng_shuffle(&g, order, e->n);
    for (size_t i = 0; i < e->n; i++) {
        e->doc[i] = list.s.doc[order[i]];
        e->truth[i] = list.s.truth[order[i]];
    }
done:
    silr_free(path);
    silr_free(seen);
    silr_free(order);
    silr_sample_clear(&list.s);
    return st;
}

silr_status silr_examples_draw(silr_examples *out, const silr_task *task, const silr_corpus *c,
                               silr_error *err)
{
    size_t want = silr_examples_wanted(task), room = silr_corpus_size(c);
    silr_status st = SILR_OK;

    memset(out, 0, sizeof *out);
    if (want == 0)
        return SILR_OK;
    out->doc = silr_alloc(room, sizeof *out->doc);
    out->truth = silr_alloc(room, sizeof *out->truth);
    out->example = silr_alloc(want, sizeof *out->example);
    if (!out->doc || !out->truth || !out->example)
        st = silr_fail_memory(err);
    else if (task->labelled.kind == SILR_LABELLED_COUNT)
        st = look(out, task, c, want, err);
    else if (task->labelled.kind == SILR_LABELLED_FILE)
        st = from_file(out, task, c, room, err);
    else
        st = silr_fail(err, SILR_EINPUT, "%s: annotator.examples: %zu shall be drawn from the labelled "
                       "sample, and labelled names none; write them down, or use labelled: {count: "
                       "50}", task->path, want);
    if (st == SILR_OK) {
        choose(out, want, task->n_classes);
        if (out->n_examples < want)
            st = silr_fail(err, SILR_EINPUT, "%s: annotator.examples: %zu shall be drawn, and only %zu "
                           "labelled texts are there", task->path, want, out->n_examples);
    }
    if (st != SILR_OK)
        silr_examples_clear(out);
    return st;
}
