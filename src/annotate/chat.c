/* chat.c - a language model as an annotator: a question a text, an answer a class.
 *
 * Asking, retrying and keeping is chat/'s business; here a reply becomes an annotation. Its
 * confidence is made of log-probabilities where the server gives them; of `samples` answers the
 * label is the majority and the confidence its share; else there is none.
 *
 * Contextual calibration (Zhao et al. 2021; method.md B7): a model may lean to a class whatever it
 * reads. The same prompt around an empty text shows how far, p0, and is taken off:
 *     p'_k = (p_k / p0_k) / sum_l (p_l / p0_l),          the label is the largest of them. */
#include "annotate/internal.h"
#include "chat/chat.h"
#include <math.h>
#include <string.h>

/* The answers of one text that takes several. */
typedef struct {
    uint16_t *votes;  /* [n][K] */
    uint16_t *got, *failed, *abstained; /* [n] samples */
    char **first;     /* [n] the first answer that came */

} tally;

typedef struct {
    silr_annotator base;
    const silr_task *task;
    silr_annotator_means means;
    silr_chat *chat;
    /* of the call at hand */
    const silr_corpus *corpus;
    const uint32_t *docs;
    silr_annotation_sink sink;
    void *ctx;
    tally t;
    size_t n;
    char *what;
    bool leans;       /* it is to be calibrated, and so much does it lean: */
    float lean[64];   /* log p0 */
} model_annotator;

static const char *text_of(void *ctx, size_t i, size_t *len)
{
    const model_annotator *m = ctx;
    return silr_corpus_text(m->corpus, m->docs[i], len);
}

/* --- calibration --------------------------------------------------------------------------------- */

static const char *no_text(void *ctx, size_t i, size_t *len)
{
    (void)ctx, (void)i;
    *len = 0;
    return "";
}

static silr_status take_lean(void *ctx, size_t i, int sample, const silr_reply *reply,
                             const silr_ask_id *id, const char *why, silr_error *err)
{
    model_annotator *m = ctx;
    const char *reason;
    int label = reply ? silr_answer_label(m->task, &reply->choice[0], &reason) : SILR_NO_LABEL;
    (void)i, (void)sample, (void)id, (void)why, (void)err;

    m->leans = label >= 0 && silr_answer_logp(m->task, &reply->choice[0], label, m->lean);
    for (size_t k = 0; k < m->task->n_classes; k++)
        m->leans = m->leans && isfinite(m->lean[k]);
    return SILR_OK;
}

/* Asks about no text. Checks of former answers have no such thing to be asked. */
static silr_status find_lean(model_annotator *m, silr_error *err)
{
    silr_chat_job job = {.ctx = m, .n = 1, .what = m->what, .text = no_text, .answered = take_lean};
    silr_status st;

    if (m->task->annotator.chat.calibrate != SILR_CALIBRATE_CONTEXTUAL || m->means.round > 0)
        return SILR_OK;
    if ((st = silr_chat_ask(m->chat, &job, err)) != SILR_OK || m->leans)
        return st;
    return silr_fail(err, SILR_EPEER, "the model's answer to an empty text has no log-probability of every "
                     "class: annotator.calibrate: contextual needs it; leave that out");
}

/* Takes the lean off, and returns the label that is left. */
static int straighten(const model_annotator *m, float *logp)
{
    const size_t K = m->task->n_classes;
    double v[64];
    int best = 0;

    for (size_t k = 0; k < K; k++)
        v[k] = (double)logp[k] - (double)m->lean[k];
    for (size_t k = 1; k < K; k++)
        best = v[k] > v[best] ? (int)k : best;
    for (size_t k = 0; k < K; k++)
        logp[k] = (float)(v[k] - silr_logsumexp(v, K));
    return best;
}

/* --- one answer a text --------------------------------------------------------------------------- */

static silr_status single(model_annotator *m, size_t i, const silr_reply *reply,
                          const silr_ask_id *id, const char *why, silr_error *err)
{
    float logp[64];
    silr_annotation a = {.label = SILR_NO_LABEL, .confidence = NAN,
                         .request = silr_ask_id_short(id)};

    if (!reply) {
        a.failed = true;
        a.reason = why;
        return m->sink(m->ctx, m->docs[i], &a, err);
    }
    a.raw = reply->choice[0].content;
    a.label = silr_answer_label(m->task, &reply->choice[0], &a.reason);
    if (a.label >= 0 && m->task->annotator.chat.logprobs &&
        silr_answer_logp(m->task, &reply->choice[0], a.label, logp)) {
        if (m->leans)
            a.label = straighten(m, logp);
        a.logp = logp;
        a.basis = SILR_BASIS_LOGPROBS;
        a.confidence = expf(logp[a.label]);
    }
    return m->sink(m->ctx, m->docs[i], &a, err);
}

/* --- several ------------------------------------------------------------------------------------- */

static void count_choice(model_annotator *m, size_t i, const silr_choice *c)
{
    const size_t K = m->task->n_classes;
    const char *reason;
    int k = silr_answer_label(m->task, c, &reason);

    if (k >= 0)
        m->t.votes[i * K + (size_t)k]++;
    else
        m->t.abstained[i]++;
}

/* The class with most votes; a tie is none. */
static int majority(const model_annotator *m, size_t i, float *share)
{
    const size_t K = m->task->n_classes;
    const uint16_t *v = m->t.votes + i * K;
    unsigned total = 0, best = 0;
    int label = SILR_NO_LABEL;

    for (size_t k = 0; k < K; k++) {
        total += v[k];
        if (v[k] > best) {
            best = v[k];
            label = (int)k;
        } else if (v[k] == best) {
            label = SILR_NO_LABEL;
        }
    }
    *share = total ? (float)best / (float)total : NAN;
    return label;
}

static silr_status votes(model_annotator *m, size_t i, const silr_reply *reply,
                         const silr_ask_id *id, const char *why, silr_error *err)
{
    silr_annotation a = {.label = SILR_NO_LABEL, .confidence = NAN,
                         .request = silr_ask_id_short(id)};
    silr_status st;

    if (!reply)
        m->t.failed[i]++;
    for (size_t c = 0; reply && c < reply->n_choices; c++)
        count_choice(m, i, &reply->choice[c]);
    if (reply && !m->t.first[i] && !(m->t.first[i] = silr_strdup(reply->choice[0].content)))
        return silr_fail_memory(err);
    if (++m->t.got[i] < silr_chat_samples(m->chat))
        return SILR_OK;
    a.raw = m->t.first[i];
    a.failed = !m->t.first[i]; /* nobody answered */
    a.label = majority(m, i, &a.confidence);
    if (a.failed) {
        a.reason = why;
    } else if (a.label < 0) {
        a.confidence = NAN;
        a.reason = m->t.abstained[i] ? "no class has most of the samples" : "the samples are tied";
    } else {
        a.basis = SILR_BASIS_VOTES;
    }
    st = m->sink(m->ctx, m->docs[i], &a, err);
    silr_free(m->t.first[i]);
    m->t.first[i] = NULL;
    return st;
}

static silr_status answered(void *ctx, size_t i, int sample, const silr_reply *reply,
                            const silr_ask_id *id, const char *why, silr_error *err)
{
    model_annotator *m = ctx;
    (void)sample;

    return m->task->annotator.chat.samples > 1 ? votes(m, i, reply, id, why, err)
                                               : single(m, i, reply, id, why, err);
}

/* --- the annotator ------------------------------------------------------------------------------- */

static void tally_clear(model_annotator *m)
{
    for (size_t i = 0; m->t.first && i < m->n; i++)
        silr_free(m->t.first[i]);
    silr_free(m->t.votes);
    silr_free(m->t.got);
    silr_free(m->t.failed);
    silr_free(m->t.abstained);
    silr_free(m->t.first);
    m->t = (tally){0};
}

static bool tally_make(model_annotator *m, size_t n)
{
    m->n = n;
    if (m->task->annotator.chat.samples == 1)
        return true;
    m->t.votes = silr_calloc(n * m->task->n_classes, sizeof *m->t.votes);
    m->t.got = silr_calloc(n, sizeof *m->t.got);
    m->t.failed = silr_calloc(n, sizeof *m->t.failed);
    m->t.abstained = silr_calloc(n, sizeof *m->t.abstained);
    m->t.first = silr_calloc(n, sizeof *m->t.first);
    return m->t.votes && m->t.got && m->t.failed && m->t.abstained && m->t.first;
}

static silr_status annotate(silr_annotator *base, const silr_corpus *c, const uint32_t *docs,
                            size_t n, silr_annotation_sink sink, void *ctx, silr_error *err)
{
    model_annotator *m = (model_annotator *)base;
    silr_chat_job job = {.ctx = m, .n = n, .what = m->what, .text = text_of, .answered = answered,
                         .rounds = (size_t)m->means.round};
    silr_status st;

    m->corpus = c;
    m->docs = docs;
    m->sink = sink;
    m->ctx = ctx;
    st = tally_make(m, n) ? find_lean(m, err) : silr_fail_memory(err);
    if (st == SILR_OK)
        st = m->task->annotator.chat.batch ? silr_chat_batch(m->chat, &job, err)
                                           : silr_chat_ask(m->chat, &job, err);
    tally_clear(m);
    return st;
}

static void model_free(silr_annotator *base)
{
    model_annotator *m = (model_annotator *)base;

    silr_chat_free(m->chat);
    silr_free(m->what);
    silr_free(m);
}

/* Answers that other runs have paid for. */
static silr_status join_cache(const silr_task *task, silr_ledger *ledger, silr_error *err)
{
    char *path;
    silr_status st;

    if (!task->annotator.chat.cache)
        return SILR_OK;
    if (!(path = silr_path_join(task->dir, task->annotator.chat.cache)))
        return silr_fail_memory(err);
    st = silr_ledger_share(ledger, path, err);
    silr_free(path);
    return st;
}

silr_status silr_model_annotator_new(silr_annotator **out, const silr_task *task,
                                     const silr_annotator_means *means, silr_error *err)
{
    model_annotator *m;
    silr_buf what = {0};
    silr_status st;

    *out = NULL;
    if (!means || !means->ledger)
        return silr_fail(err, SILR_EBUG, "a model's answers need a ledger to be kept in");
    if (!(m = silr_calloc(1, sizeof *m)))
        return silr_fail_memory(err);
    m->base = (silr_annotator){.kind = "chat", .commits = true, .annotate = annotate, .free = model_free};
    m->task = task;
    m->means = *means;
    silr_buf_printf(&what, "asking %.60s", silr_task_annotator(task));
    if (means->round > 0)
        silr_buf_printf(&what, ", check %d", means->round);
    st = (m->what = silr_buf_take(&what)) ? SILR_OK : silr_fail_memory(err);
    if (st == SILR_OK && (st = join_cache(task, means->ledger, err)) == SILR_OK)
        st = silr_chat_new(&m->chat, task, means->ledger, means->example, means->n_examples, err);
    if (st != SILR_OK) {
        model_free(&m->base);
        return st;
    }
    *out = &m->base;
    return SILR_OK;
}
