/* ballot.c - all rules on all documents, and who wins.
 *
 * A rule votes for its class with weight * (how often its pattern is found): in a text that says
 * "match" three times and "minister" once, match|coach|cup|league|season|goal has three votes. The
 * class with most votes wins; no votes at all, and a tie, abstain. The lexicon votes as two rules
 * of weight 1: for the first class where the score of the text is above the margin, for the second
 * where it is below its negative.
 *
 * Documents are matched a block at a time by all threads, each document by one of them, and handed
 * on in order: the outcome does not know how many threads there were. */
#include "annotate/internal.h"
#include <math.h>
#include <omp.h>

enum { BLOCK = 1024, MAX_CLASSES = 64 }; /* classes: as in priors.h */

struct silr_ballot {
    const silr_task *task;
    silr_pattern **pattern; /* [task's n_rules] */
    silr_lexicon *lexicon;
    size_t n_rules;         /* patterns, and two if there is a lexicon */
    uint32_t *hits;         /* [BLOCK, n_rules] */
    size_t *gave_up;        /* [n_rules]: texts; the lexicon's are 0 */
};

/* One thread's own. */
typedef struct {
    silr_matcher *matcher;
    silr_buf word;
    size_t *gave_up; /* [n_rules] */
    bool failed;
} worker;

silr_status silr_ballot_new(silr_ballot **out, const silr_task *task, silr_error *err)
{
    const char *file = task->path ? task->path : "task";
    size_t n = task->annotator.n_rules;
    silr_status st = SILR_OK;
    char *path = NULL;
    silr_ballot *b;

    *out = NULL;
    if (n == 0 && !task->annotator.lexicon)
        return silr_fail(err, SILR_EINPUT, "%s: annotator: rules or a lexicon are needed", file);
    if (task->annotator.lexicon && task->n_classes != 2)
        return silr_fail(err, SILR_EINPUT, "%s: annotator.lexicon is for two classes, not %zu", file,
                         task->n_classes);
    SILR_ASSERT(task->n_classes <= MAX_CLASSES);
    if (!(b = silr_calloc(1, sizeof *b)))
        return silr_fail_memory(err);
    b->task = task;
    b->n_rules = n + (task->annotator.lexicon ? 2 : 0);
    b->pattern = silr_calloc(n, sizeof(silr_pattern *));
    b->hits = silr_calloc(BLOCK * b->n_rules, sizeof *b->hits);
    b->gave_up = silr_calloc(b->n_rules, sizeof *b->gave_up);
    if (!b->pattern || !b->hits || !b->gave_up)
        st = silr_fail_memory(err);
    for (size_t r = 0; st == SILR_OK && r < n; r++)
        st = silr_pattern_new(&b->pattern[r], &task->annotator.rules[r], file, err);
    if (st == SILR_OK && task->annotator.lexicon) {
        path = silr_path_join(task->dir, task->annotator.lexicon);
        st = path ? silr_lexicon_read(&b->lexicon, path, err) : silr_fail_memory(err);
    }
    if (st == SILR_OK) {
        *out = b;
        b = NULL;
    }
    silr_free(path);
    silr_ballot_free(b);
    return st;
}

void silr_ballot_free(silr_ballot *b)
{
    if (!b)
        return;
    for (size_t r = 0; b->pattern && r < b->task->annotator.n_rules; r++)
        silr_pattern_free(b->pattern[r]);
    silr_free(b->pattern);
    silr_lexicon_free(b->lexicon);
    silr_free(b->hits);
    silr_free(b->gave_up);
    silr_free(b);
}

size_t silr_ballot_rules(const silr_ballot *b)
{
    return b->n_rules;
}

const char *silr_ballot_name(const silr_ballot *b, size_t r)
{
    const silr_rule *rule = &b->task->annotator.rules[r];
    if (r >= b->task->annotator.n_rules)
        return "lexicon";
    return rule->name ? rule->name : rule->pattern;
}

int silr_ballot_label(const silr_ballot *b, size_t r)
{
    size_t n = b->task->annotator.n_rules;
    return r < n ? b->task->annotator.rules[r].label : (int)(r - n);
}

static double weight_of(const silr_ballot *b, size_t r)
{
    return r < b->task->annotator.n_rules ? b->task->annotator.rules[r].weight : 1.0;
}

/* --- matching: any thread ---------------------------------------------------------------------- */

static void match_document(const silr_ballot *b, worker *w, const silr_corpus *c, size_t doc,
                           uint32_t *hits)
{
    size_t len, n = b->task->annotator.n_rules;
    const char *text = silr_corpus_text(c, doc, &len);

    for (size_t r = 0; r < b->n_rules; r++)
        hits[r] = 0;
    if (silr_corpus_empty(c, doc))
        return;
    for (size_t r = 0; r < n; r++) {
        int64_t found = silr_pattern_count(b->pattern[r], w->matcher, text, len, r == 0);
        if (found == SILR_OUT_OF_MEMORY)
            w->failed = true;
        else if (found == SILR_GAVE_UP)
            w->gave_up[r]++;
        else
            hits[r] = found < UINT32_MAX ? (uint32_t)found : UINT32_MAX;
    }
    if (b->lexicon) {
        double score = silr_lexicon_score(b->lexicon, text, len, &w->word);
        w->failed |= w->word.failed;
        hits[n] = score > b->task->annotator.lexicon_margin;
        hits[n + 1] = score < -b->task->annotator.lexicon_margin;
    }
}

static void match_block(const silr_ballot *b, worker *workers, int threads, const silr_corpus *c,
                        const uint32_t *docs, size_t n)
{
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
    for (size_t i = 0; i < n; i++) {
        worker *w = &workers[omp_get_thread_num()];
        if (!w->failed && !silr_cancelled())
            match_document(b, w, c, docs[i], b->hits + i * b->n_rules);
    }
}

/* --- counting ---------------------------------------------------------------------------------- */

/* Sums of weights such as 0.1 are equal when they differ by rounding alone. */
static bool as_many(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(a);
}

static void count_votes(const silr_ballot *b, const uint32_t *hits, silr_verdict_of_rules *v)
{
    double votes[MAX_CLASSES] = {0}, sum = 0, most = 0;
    size_t K = b->task->n_classes;

    *v = (silr_verdict_of_rules){.label = SILR_NO_LABEL, .share = NAN, .hits = hits};
    for (size_t r = 0; r < b->n_rules; r++) {
        double w = weight_of(b, r) * hits[r];
        if (hits[r] > 0 && r < 64)
            v->votes |= (uint64_t)1 << r;
        votes[silr_ballot_label(b, r)] += w;
        sum += w;
    }
    for (size_t k = 0; k < K; k++) {
        if (votes[k] <= 0)
            continue;
        if (v->label != SILR_NO_LABEL && as_many(votes[k], most)) {
            v->tied = true;
        } else if (votes[k] > most) {
            v->label = (int)k;
            v->tied = false;
            most = votes[k];
        }
    }
    if (v->tied)
        v->label = SILR_NO_LABEL;
    else if (v->label != SILR_NO_LABEL)
        v->share = (float)(most / sum);
}

static silr_status count_block(const silr_ballot *b, const uint32_t *docs, size_t n,
                               silr_ballot_sink sink, void *ctx, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        silr_verdict_of_rules v;
        count_votes(b, b->hits + i * b->n_rules, &v);
        st = sink(ctx, docs[i], &v, err);
    }
    return st;
}

/* --- the whole --------------------------------------------------------------------------------- */

static bool hire(const silr_ballot *b, worker *workers, int threads)
{
    int64_t limit = b->task->annotator.match_limit;
    bool all = true;

    for (int t = 0; t < threads; t++) {
        workers[t].matcher =
            silr_matcher_new(limit > 0 && limit < INT32_MAX ? (uint32_t)limit : 1000000);
        workers[t].gave_up = silr_calloc(b->n_rules, sizeof(size_t));
        all = all && workers[t].matcher && workers[t].gave_up;
    }
    return all;
}

static void dismiss(silr_ballot *b, worker *workers, int threads)
{
    for (int t = 0; workers && t < threads; t++) {
        for (size_t r = 0; workers[t].gave_up && r < b->n_rules; r++)
            b->gave_up[r] += workers[t].gave_up[r];
        silr_matcher_free(workers[t].matcher);
        silr_buf_clear(&workers[t].word);
        silr_free(workers[t].gave_up);
    }
    silr_free(workers);
}

static void warn_of_runaways(silr_ballot *b)
{
    for (size_t r = 0; r < b->n_rules; r++) {
        if (b->gave_up[r] > 0)
            silr_log(SILR_LOG_WARN,
                     "rule %.100s (line %d) gave up on %zu text%s: the pattern needs more steps than "
                     "annotator.match_limit; it had no vote there",
                     silr_ballot_name(b, r), b->task->annotator.rules[r].line, b->gave_up[r],
                     b->gave_up[r] == 1 ? "" : "s");
        b->gave_up[r] = 0;
    }
}

silr_status silr_ballot_hold(silr_ballot *b, const char *what, const silr_corpus *c,
                             const uint32_t *docs, size_t n, silr_ballot_sink sink, void *ctx,
                             silr_error *err)
{
    int threads = silr_threads((int)b->task->threads);
    worker *workers = silr_calloc((size_t)threads, sizeof *workers);
    silr_status st = SILR_OK;

    if (!workers || !hire(b, workers, threads))
        st = silr_fail_memory(err);
    for (size_t at = 0; st == SILR_OK && at < n; at += BLOCK) {
        size_t m = n - at < BLOCK ? n - at : BLOCK;
        match_block(b, workers, threads, c, docs + at, m);
        for (int t = 0; t < threads; t++)
            if (workers[t].failed)
                st = silr_fail_memory(err);
        if (st == SILR_OK && silr_cancelled())
            st = silr_fail(err, SILR_ECANCEL, "interrupted while %s", what);
        if (st == SILR_OK)
            st = count_block(b, docs + at, m, sink, ctx, err);
        if (st == SILR_OK)
            silr_progress(what, at + m, n);
    }
    dismiss(b, workers, threads);
    warn_of_runaways(b);
    return st;
}
