/* annotate.c - the first labels of a session, from whoever gives them.
 *
 * Labels lie in the store by source: 0 is what is worked with. One annotator writes it itself; of
 * several each has a source of its own and source 0 is made of them (combine.c). Rounds of
 * self-refinement are sources beside their annotator's.
 *
 * Nothing is asked that the store already has. Columns and rules are kept a few thousand at a time;
 * a language model keeps its answers itself, each before it counts (ledger/). */
#include "run/internal.h"
#include <math.h>
#include <string.h>

enum { BATCH = 4096 }; /* annotations a transaction */

/* --- one source ---------------------------------------------------------------------------------- */

/* What one annotator is to do. */
typedef struct {
    silr_session *s;
    const silr_task *task; /* with the annotator at hand in it */
    int source, round;
    int *label;            /* [documents], filled; NULL: not wanted */
    const silr_examples *examples;
    const bool *held;      /* [documents]: an example, or equal to one; NULL: none */
} errand;

/* Without a store: kept in the session, so that a look sees the same sets as a run. */
static silr_status keep_logp(silr_session *s, size_t doc, const silr_annotation *a, silr_error *err)
{
    size_t K = s->task->n_classes, n = silr_corpus_size(s->corpus) * K;

    if (!a->logp)
        return SILR_OK;
    if (!s->logp) {
        if (!(s->logp = silr_alloc(n, sizeof *s->logp)))
            return silr_fail_memory(err);
        for (size_t i = 0; i < n; i++)
            s->logp[i] = NAN;
    }
    memcpy(s->logp + doc * K, a->logp, K * sizeof *s->logp);
    return SILR_OK;
}

static silr_status keep(void *ctx, size_t doc, const silr_annotation *a, silr_error *err)
{
    errand *e = ctx;

    e->s->annotated++;
    if (e->label)
        e->label[doc] = a->label;
    if (!e->s->store)
        return keep_logp(e->s, doc, a, err);
    return silr_store_annotation(e->s->store, e->source, doc, a, err);
}

/* The documents still without an annotation; empty texts are never asked about. */
static silr_status missing(errand *e, uint32_t *docs, size_t *n, silr_error *err)
{
    const silr_session *s = e->s;
    size_t total = silr_corpus_size(s->corpus);
    bool *done = silr_calloc(total + 1, sizeof *done);
    silr_status st = SILR_OK;

    *n = 0;
    if (!done)
        return silr_fail_memory(err);
    for (size_t i = 0; e->label && i < total; i++)
        e->label[i] = SILR_NO_LABEL;
    if (s->store)
        st = silr_store_annotations(s->store, e->source, total, e->label, NULL, done, err);
    for (size_t i = 0; st == SILR_OK && i < total; i++)
        if (!done[i] && !silr_corpus_empty(s->corpus, i) && !(e->held && e->held[i]))
            docs[(*n)++] = (uint32_t)i;
    silr_free(done);
    return st;
}

/* A column or rules: many a transaction. */
static silr_status in_batches(errand *e, silr_annotator *a, const uint32_t *docs, size_t n,
                              silr_error *err)
{
    silr_session *s = e->s;
    silr_status st = SILR_OK;

    const size_t batch = a->batch > 0 ? a->batch : BATCH;

    for (size_t i = 0; st == SILR_OK && i < n; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        silr_progress("annotating", i, n);
        if (silr_cancelled())
            return silr_fail(err, SILR_ECANCEL, "interrupted; %zu of %zu texts are annotated", i, n);
        if (s->store && (st = silr_store_begin(s->store, err)) != SILR_OK)
            break;
        st = a->annotate(a, s->corpus, docs + i, m, keep, e, err);
        if (s->store && st == SILR_OK)
            st = silr_store_commit(s->store, err);
        else if (s->store)
            silr_store_rollback(s->store);
    }
    return st;
}

/* A model file that has changed since it labelled the first texts must not label the rest. */
static silr_status same_identity(errand *e, const char *identity, silr_error *err)
{
    char name[64];
    silr_buf kept = {0};
    silr_status st;

    if (!identity || !e->s->store)
        return SILR_OK;
    snprintf(name, sizeof name, "annotator identity %d", e->source);
    st = silr_store_get(e->s->store, name, &kept, err);
    if (st == SILR_OK && kept.len == 0)
        st = silr_store_set(e->s->store, name, identity, strlen(identity), err);
    else if (st == SILR_OK && (kept.len != strlen(identity) || memcmp(kept.data, identity, kept.len) != 0))
        st = silr_fail(err, SILR_EINPUT, "the file of %s is another than the one that labelled the first "
                       "texts of this run: put that back, or begin a new run (--out)",
                       silr_task_annotator(e->task));
    silr_buf_clear(&kept);
    return st;
}

/* The labels of the rounds before this one; yours, [round] arrays. */
static silr_status former_rounds(errand *e, int ***out, silr_error *err)
{
    const size_t n = silr_corpus_size(e->s->corpus);
    silr_status st = SILR_OK;

    *out = NULL;
    if (e->round == 0 || !e->s->store || e->task->annotator.kind != SILR_ANNOTATOR_LOCAL)
        return SILR_OK;
    if (!(*out = silr_calloc((size_t)e->round, sizeof **out)))
        return silr_fail_memory(err);
    for (int r = 0; st == SILR_OK && r < e->round; r++)
        st = ((*out)[r] = silr_alloc(n + 1, sizeof ***out))
                 ? silr_store_annotations(e->s->store, e->source - e->round + r, n, (*out)[r], NULL,
                                          NULL, err)
                 : silr_fail_memory(err);
    return st;
}

static silr_status ask(errand *e, const uint32_t *docs, size_t n, silr_error *err)
{
    silr_session *s = e->s;
    int **former = NULL;
    silr_annotator_means means = {.ledger = s->store ? silr_store_ledger(s->store) : NULL,
                                  .round = e->round};
    silr_annotator *a = NULL;
    silr_shown shown;
    silr_status st = silr_shown_make(&shown, e->task, s->corpus, e->examples, err);

    means.example = shown.n > 0 ? shown.example : NULL;
    means.n_examples = shown.n;
    if (st == SILR_OK)
        st = former_rounds(e, &former, err);
    means.former = (const int *const *)former;
    if (st == SILR_OK)
        st = silr_annotator_new(&a, e->task, &means, err);
    if (st == SILR_OK)
        st = same_identity(e, a->identity, err);
    if (st == SILR_OK)
        st = a->commits ? a->annotate(a, s->corpus, docs, n, keep, e, err)
                        : in_batches(e, a, docs, n, err);
    silr_annotator_free(a);
    silr_shown_clear(&shown);
    for (int r = 0; former && r < e->round; r++)
        silr_free(former[r]);
    silr_free(former);
    return st;
}

static silr_status run_errand(errand *e, silr_error *err)
{
    size_t total = silr_corpus_size(e->s->corpus), n = 0;
    uint32_t *docs = silr_alloc(total + 1, sizeof *docs);
    char name[160];
    silr_status st = docs ? missing(e, docs, &n, err) : silr_fail_memory(err);

    if (st == SILR_OK && n > 0 && n < total)
        silr_log(SILR_LOG_DEBUG, "%s: %zu of %zu texts are still to be annotated",
                 silr_task_annotator(e->task), n, total);
    if (e->round > 0)
        snprintf(name, sizeof name, "%.100s, check %d", silr_task_annotator(e->task), e->round);
    else
        snprintf(name, sizeof name, "%.140s", silr_task_annotator(e->task));
    if (st == SILR_OK && n > 0 && e->s->store)
        st = silr_store_source_name(e->s->store, e->source, name, err);
    if (st == SILR_OK && n > 0)
        st = ask(e, docs, n, err);
    silr_free(docs);
    return st;
}

/* --- examples ------------------------------------------------------------------------------------ */

/* Says so in the store, so that each document's lack of a label has its reason. */
static silr_status note_held(errand *e, silr_error *err)
{
    silr_annotation a = {.label = SILR_NO_LABEL, .confidence = (float)NAN,
                         .reason = "shown to the model as an example"};
    bool own = e->s->store != NULL && e->held != NULL;
    silr_status st = own ? silr_store_begin(e->s->store, err) : SILR_OK;

    if (!own || st != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < silr_corpus_size(e->s->corpus); i++)
        if (e->held[i] && !silr_corpus_empty(e->s->corpus, i))
            st = silr_store_annotation(e->s->store, e->source, i, &a, err);
    if (st == SILR_OK)
        return silr_store_commit(e->s->store, err);
    silr_store_rollback(e->s->store);
    return st;
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* An annotator and its rounds of self-refinement. */
static silr_status with_rounds(errand e, int member, silr_error *err)
{
    int rounds = silr_task_prompts(e.task)
                     ? (int)e.task->annotator.chat.self_refine : 0;
    silr_status st = note_held(&e, err);

    if (st == SILR_OK)
        st = run_errand(&e, err);
    e.label = NULL;
    for (int r = 1; st == SILR_OK && r <= rounds; r++) {
        e.round = r;
        e.source = SILR_SOURCE(member, r);
        if ((st = note_held(&e, err)) == SILR_OK)
            st = run_errand(&e, err);
    }
    return st;
}

/* What an earlier session has put together, when nobody has said anything new since. */
static silr_status take_combined(silr_session *s, const silr_task *task, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus);
    bool *done = silr_calloc(n + 1, sizeof *done), all = done != NULL;
    silr_status st = done ? silr_store_annotations(s->store, SILR_SOURCE_USED, n, s->initial, NULL,
                                                   done, err)
                          : silr_fail_memory(err);

    for (size_t i = 0; st == SILR_OK && i < n; i++)
        all = all && (done[i] || silr_corpus_empty(s->corpus, i));
    silr_free(done);
    return st == SILR_OK && !all ? silr_session_combine(s, task, err) : st;
}

static silr_status all_members(errand e, silr_error *err)
{
    const silr_task *task = e.task;
    silr_status st = SILR_OK;

    if (!e.s->store)
        return silr_fail(err, SILR_EBUG, "several annotators need a store");
    for (size_t m = 0; st == SILR_OK && m < task->annotator.n_members; m++) {
        e.task = task->annotator.member[m];
        e.source = SILR_SOURCE((int)m + 1, 0);
        e.label = NULL;
        st = with_rounds(e, (int)m + 1, err);
    }
    if (st != SILR_OK)
        return st;
    return e.s->annotated > 0 ? silr_session_combine(e.s, task, err) : take_combined(e.s, task, err);
}

static silr_status annotate_all(silr_session *s, silr_error *err)
{
    errand e = {.s = s, .task = silr_task_in_use(s->task), .source = SILR_SOURCE_USED,
                .label = s->initial};
    silr_examples examples = {0};
    bool *held = NULL;
    silr_status st = silr_examples_draw(&examples, e.task, s->corpus, err);

    if (st == SILR_OK && examples.n_examples > 0)
        st = silr_examples_hold(&held, s->corpus, &examples, err);
    e.examples = &examples;
    e.held = held;
    if (st == SILR_OK)
        st = e.task->annotator.kind == SILR_ANNOTATOR_SEVERAL ? all_members(e, err)
                                                              : with_rounds(e, 0, err);
    silr_free(held);
    silr_examples_clear(&examples);
    return st;
}

static silr_status check_coverage(const silr_session *s, silr_error *err)
{
    size_t total = silr_corpus_size(s->corpus), covered = 0;

    for (size_t i = 0; i < total; i++)
        covered += s->initial[i] != SILR_NO_LABEL;
    silr_log(SILR_LOG_DEBUG, "%zu of %zu texts have a first label", covered, total);
    if (covered > 0)
        return SILR_OK;
    if (silr_task_asks(s->task))
        return silr_fail(err, SILR_EINPUT,
                         "no answer of the model named a class, for none of %zu texts; look at what it "
                         "said: sqlite3 %s/run.db \"SELECT raw, reason FROM annotations LIMIT 5\"",
                         total, s->dir ? s->dir : ".");
    return silr_fail(err, SILR_EINPUT,
                     "the annotator labelled none of the %zu texts; check \"annotator\" in the "
                     "task file (silr annotate shows what each rule matches)", total);
}

/* What the sample is drawn from. */
static silr_status find_sets(silr_session *s, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus), with = 0;
    int K = (int)s->task->n_classes;
    float *logp = silr_alloc(n * (size_t)K + 1, sizeof *logp);
    bool cut = false;
    silr_status st = logp ? SILR_OK : silr_fail_memory(err);

    silr_free(s->sets);
    if (!(s->sets = silr_alloc(n + 1, sizeof *s->sets)) && st == SILR_OK)
        st = silr_fail_memory(err);
    for (size_t i = 0; st == SILR_OK && i < n * (size_t)K; i++)
        logp[i] = s->logp ? s->logp[i] : NAN;
    if (st == SILR_OK && s->store)
        st = silr_store_evidence(s->store, SILR_SOURCE_USED, n, K, logp, &with, err);
    if (st == SILR_OK)
        st = silr_sets_by_odds(s->sets, &cut, s->task, n, s->initial, logp, err);
    if (cut)
        silr_log(SILR_LOG_WARN, "nearly all labels of the annotator are one class; the sample is drawn "
                 "from its log-odds instead, cut at their median");
    silr_free(logp);
    return st;
}

silr_status silr_session_annotate(silr_session *s, silr_error *err)
{
    size_t total = silr_corpus_size(s->corpus), again = 0;
    silr_status st = SILR_OK;

    silr_free(s->initial);
    if (!(s->initial = silr_alloc(total + 1, sizeof *s->initial)))
        return silr_fail_memory(err);
    if (s->retry_failed && s->store) {
        if ((st = silr_store_forget_failed(s->store, &again, err)) != SILR_OK)
            return st;
        if (again > 0 && (st = silr_store_forget_refinement(s->store, err)) != SILR_OK)
            return st;
        silr_log(SILR_LOG_INFO, "%zu texts are asked about again", again);
    }
    st = annotate_all(s, err);
    if (s->store && (st == SILR_OK || st == SILR_ECANCEL || st == SILR_ELIMIT || st == SILR_EPEER)) {
        silr_error mine;
        silr_status also = silr_session_failures(s, st == SILR_OK ? err : &mine);
        if (st == SILR_OK)
            st = also;
    }
    if (st == SILR_OK)
        st = check_coverage(s, err);
    return st == SILR_OK ? find_sets(s, err) : st;
}
