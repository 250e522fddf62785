/* predict.c - what a loaded model says about a text, and why.
 *
 * Sums run in double over the text's features in ascending order, in one thread: a text's answer
 * does not depend on the texts beside it nor on the number of threads. An encoder is called for
 * many texts at once, by one caller at a time. */
#include "classify/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* logits[columns] from the words already counted in t. */
static void logits_of(const silr_model *m, const silr_grams *t, double *logits)
{
    const silr_model_data *x = &m->data;
    const size_t columns = (size_t)x->columns;
    const float *bias = x->weight + x->vocab.d * columns;
    double square = 0;

    memset(logits, 0, columns * sizeof *logits);
    for (size_t e = 0; e < t->n; e++) {
        const uint32_t j = silr_vocab_find(&x->vocab, t->bucket[e] >> 8);
        const double tf = (double)m->tf[t->bucket[e] & 255];
        const float *w;
        if (j == SILR_NO_COLUMN)
            continue;
        w = x->weight + (size_t)j * columns;
        square += tf * (double)x->idf[j] * tf * (double)x->idf[j];
        for (size_t k = 0; k < columns; k++)
            logits[k] += tf * (double)w[k];
    }
    for (size_t k = 0; k < columns; k++)
        logits[k] = (square > 0 ? logits[k] / sqrt(square) : 0) + (double)bias[k];
}

static void probabilities(const silr_model *m, const double *logits, double *probs)
{
    if (m->columns == 1) {
        probs[0] = silr_sigmoid(logits[0]);
        probs[1] = 1 - probs[0];
    } else {
        silr_softmax(probs, logits, (size_t)m->K);
    }
}

static silr_status ngram_logits(const silr_model *m, const char *text, size_t len, double *logits,
                                silr_error *err)
{
    silr_grams t = {0};
    const bool ok = silr_grams_count(&t, &m->data.opts, text, len);

    if (ok)
        logits_of(m, &t, logits);
    silr_grams_clear(&t);
    return ok ? SILR_OK : silr_fail_memory(err);
}

/* --- with an encoder ----------------------------------------------------------------------------- */

silr_status silr_model_vector_logits(const silr_model *m, const float *v, double *logits,
                                     silr_error *err)
{
    double *hidden = silr_alloc(m->dense.layers.hidden + 1, sizeof *hidden);

    memset(logits, 0, (size_t)m->columns * sizeof *logits);
    if (!hidden)
        return silr_fail_memory(err);
    silr_layers_add(&m->dense.layers, v, hidden, logits);
    silr_free(hidden);
    return SILR_OK;
}

/* The vectors of n texts; one call at a time. */
static silr_status vectors_of(const silr_model *m, const char *const *texts, const size_t *lens,
                              size_t n, float *out, silr_error *err)
{
    silr_status st;

    if (!m->encoder)
        return silr_fail(err, SILR_EINPUT, "the classifier was loaded without its encoder");
    pthread_mutex_lock(m->one);
    st = silr_encode(m->encoder, texts, lens, n, out, err);
    pthread_mutex_unlock(m->one);
    return st;
}

static silr_status frozen_one(const silr_model *m, const char *text, size_t len, const float *v,
                              double *logits, silr_error *err)
{
    double beside[SILR_RISK_CLASSES] = {0};
    silr_status st = silr_model_vector_logits(m, v, logits, err);

    if (st != SILR_OK || !m->beside || (st = ngram_logits(m->beside, text, len, beside, err)) != SILR_OK)
        return st;
    for (int k = 0; k < m->columns; k++)
        logits[k] += beside[k];
    return SILR_OK;
}

/* Some hundred texts at a time: memory stays small, and the encoder busy. */
static silr_status frozen_many(const silr_model *m, const char *const *texts, const size_t *lens,
                               size_t n, double *probs, silr_error *err)
{
    const size_t d = m->dense.layers.d, most = silr_model_batch(m);
    float *v = silr_alloc(most * d, sizeof *v);
    silr_status st = v ? SILR_OK : silr_fail_memory(err);

    for (size_t at = 0; at < n && st == SILR_OK; at += most) {
        const size_t some = n - at < most ? n - at : most;
        silr_status worst = SILR_OK;
        if ((st = vectors_of(m, texts + at, lens + at, some, v, err)) != SILR_OK)
            break;
#pragma omp parallel for schedule(dynamic, 16) if (some > 32)
        for (size_t i = 0; i < some; i++) {
            double logits[SILR_RISK_CLASSES] = {0};
            const silr_status one = frozen_one(m, texts[at + i], lens[at + i], v + i * d, logits, NULL);
            probabilities(m, logits, probs + (at + i) * (size_t)m->K);
            if (one != SILR_OK) {
#pragma omp atomic write
                worst = one;
            }
        }
        if (worst != SILR_OK) /* nothing else can go wrong there */
            st = silr_fail_memory(err);
    }
    silr_free(v);
    return st;
}

/* --- a fine-tuned model ---------------------------------------------------------------------------- */

/* Logits [n][columns] of n texts: A score + b; one call at a time. */
static silr_status tuned_logits(const silr_model *m, const char *const *texts, const size_t *lens,
                                size_t n, double *logits, silr_error *err)
{
    const size_t columns = (size_t)m->columns;
    silr_tokens ids = {0};
    size_t *start = silr_alloc(n + 1, sizeof *start);
    float *score = silr_alloc(n * columns + 1, sizeof *score);
    silr_status st = start && score ? SILR_OK : silr_fail_memory(err);

    if (!m->scorer.tune)
        st = silr_fail(err, SILR_EINPUT, "the classifier was loaded without its model");
    if (st == SILR_OK && (st = silr_scorer_texts(&m->scorer, texts, lens, n, &ids, start, err)) == SILR_OK) {
        const silr_tune_batch b = {.ids = ids.id, .start = start, .n = n};
        pthread_mutex_lock(m->one);
        st = silr_tune_scores(m->scorer.tune, &b, score, err);
        pthread_mutex_unlock(m->one);
    }
    for (size_t i = 0; i < n && st == SILR_OK; i++)
        for (size_t k = 0; k < columns; k++) {
            double *z = &logits[i * columns + k];
            *z = m->about.b[k];
            for (size_t l = 0; l < columns; l++)
                *z += m->about.A[k * columns + l] * (double)score[i * columns + l];
        }
    silr_tokens_clear(&ids);
    silr_free(start);
    silr_free(score);
    return st;
}

static silr_status tuned_many(const silr_model *m, const char *const *texts, const size_t *lens,
                              size_t n, double *probs, silr_error *err)
{
    const size_t most = silr_model_batch(m), columns = (size_t)m->columns;
    double *logits = silr_alloc(most * columns, sizeof *logits);
    silr_status st = logits ? SILR_OK : silr_fail_memory(err);

    for (size_t at = 0; at < n && st == SILR_OK; at += most) {
        const size_t some = n - at < most ? n - at : most;
        st = tuned_logits(m, texts + at, lens + at, some, logits, err);
        for (size_t i = 0; i < some && st == SILR_OK; i++)
            probabilities(m, logits + i * columns, probs + (at + i) * (size_t)m->K);
    }
    silr_free(logits);
    return st;
}

/* --- one text ------------------------------------------------------------------------------------ */

silr_status silr_model_logits(const silr_model *m, const char *text, size_t len, double *logits,
                              silr_error *err)
{
    silr_status st;
    float *v;

    if (m->tuned)
        return tuned_logits(m, &text, &len, 1, logits, err);
    if (!m->frozen)
        return ngram_logits(m, text, len, logits, err);
    if (!(v = silr_alloc(m->dense.layers.d, sizeof *v)))
        return silr_fail_memory(err);
    if ((st = vectors_of(m, &text, &len, 1, v, err)) == SILR_OK)
        st = frozen_one(m, text, len, v, logits, err);
    silr_free(v);
    return st;
}

silr_status silr_predict(const silr_model *m, const char *text, size_t len, silr_prediction *out,
                         double *probs, silr_error *err)
{
    double logits[SILR_RISK_CLASSES] = {0}, own[SILR_RISK_CLASSES] = {0};
    double *p = probs ? probs : own;
    silr_status st;

    if ((st = silr_model_logits(m, text, len, logits, err)) != SILR_OK)
        return st;
    probabilities(m, logits, p);
    *out = (silr_prediction){.label = 0, .score = p[0]};
    for (int k = 1; k < m->K; k++)
        if (p[k] > out->score)
            *out = (silr_prediction){.label = k, .score = p[k]};
    return SILR_OK;
}

silr_status silr_model_predict_many(const silr_model *m, const char *const *texts,
                                    const size_t *lens, size_t n, double *probs, silr_error *err)
{
    int no_memory = 0;

    if (m->frozen)
        return frozen_many(m, texts, lens, n, probs, err);
    if (m->tuned)
        return tuned_many(m, texts, lens, n, probs, err);
#pragma omp parallel if (n > 32)
    {
        silr_grams t = {0};
        double logits[SILR_RISK_CLASSES] = {0};
#pragma omp for schedule(dynamic, 64)
        for (size_t i = 0; i < n; i++) {
            if (silr_grams_count(&t, &m->data.opts, texts[i], lens[i])) {
                logits_of(m, &t, logits);
                probabilities(m, logits, probs + i * (size_t)m->data.K);
            } else {
#pragma omp atomic write
                no_memory = 1;
            }
        }
        silr_grams_clear(&t);
    }
    return no_memory ? silr_fail_memory(err) : SILR_OK;
}

/* --- why ------------------------------------------------------------------------------------- */

typedef struct {
    silr_ngram *gram;
    size_t n, cap;
    bool failed;
} gram_list;

static void keep_gram(void *ctx, const silr_ngram *g)
{
    gram_list *l = ctx;

    if (l->failed || !silr_grow(&l->gram, &l->cap, l->n + 1, sizeof *l->gram))
        l->failed = true;
    else
        l->gram[l->n++] = *g;
}

static int by_bucket(const void *pa, const void *pb)
{
    const silr_ngram *a = pa, *b = pb;

    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* An n-gram for people. Those of characters get a star where the word goes on: "*ilm". */
static void print_gram(char out[96], const silr_grams *t, const silr_ngram *g)
{
    const char *s = t->text + g->at;
    size_t len = g->len, at = 0;
    const bool begins = len && s[0] == ' ', ends = len > 1 && s[len - 1] == ' ';

    if (g->chars) {
        s += begins;
        len -= (size_t)begins + (size_t)ends;
        if (!begins)
            out[at++] = '*';
    }
    if (len > 90)
        for (len = 90; len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80; len--)
            ;
    memcpy(out + at, s, len);
    at += len;
    if (g->chars && !ends)
        out[at++] = '*';
    out[at] = 0;
}

static double speaks_for(const silr_model *m, uint32_t j, int k)
{
    const size_t K = (size_t)m->data.K, columns = (size_t)m->data.columns;
    const float *w = m->data.weight + (size_t)j * columns;
    double others = 0;

    if (columns == 1)
        return (double)(k == 0 ? w[0] : -w[0]);
    for (size_t l = 0; l < K; l++)
        others += (int)l == k ? 0 : (double)w[l] / (double)(K - 1);
    return (double)w[k] - others;
}

/* Keeps the strongest `max` in out, strongest first; returns how many there are now. */
static int insert_evidence(silr_evidence *out, int n, int max, const silr_grams *t,
                           const silr_ngram *g, double contribution)
{
    int at = n;

    while (at > 0 && out[at - 1].contribution < contribution)
        at--;
    if (at >= max)
        return n;
    n = n < max ? n + 1 : max;
    memmove(out + at + 1, out + at, (size_t)(n - 1 - at) * sizeof *out);
    print_gram(out[at].ngram, t, g);
    out[at].contribution = contribution;
    return n;
}

static int explain(const silr_model *m, const silr_grams *t, gram_list *l, int k,
                   silr_evidence *out, int max)
{
    double square = 0;
    int n = 0;

    qsort(l->gram, l->n, sizeof *l->gram, by_bucket);
    for (int pass = 0; pass < 2; pass++) /* first the length of the row, then the words */
        for (size_t i = 0, end; i < l->n; i = end) {
            const uint32_t j = silr_vocab_find(&m->data.vocab, l->gram[i].bucket);
            double tf, c;
            for (end = i + 1; end < l->n && l->gram[end].bucket == l->gram[i].bucket;)
                end++;
            if (j == SILR_NO_COLUMN)
                continue;
            tf = (double)m->tf[end - i < 255 ? end - i : 255];
            c = tf * speaks_for(m, j, k);
            if (pass == 0)
                square += tf * (double)m->data.idf[j] * tf * (double)m->data.idf[j];
            else if (c > 0 && square > 0)
                n = insert_evidence(out, n, max, t, &l->gram[i], c / sqrt(square));
        }
    return n;
}

int silr_model_explain(const silr_model *m, const char *text, size_t len, int k,
                       silr_evidence *out, int max, silr_error *err)
{
    silr_grams t = {0};
    gram_list l = {0};
    int n = 0;

    if (k < 0 || k >= m->K || max < 0)
        return silr_fail(err, SILR_EINPUT, "there is no class number %d", k);
    if (m->frozen)
        return m->beside ? silr_model_explain(m->beside, text, len, k, out, max, err) : 0;
    if (m->tuned)
        return 0;
    if (!silr_grams_split(&t, text, len, m->data.opts.lowercase))
        l.failed = true;
    else
        silr_grams_each(&t, &m->data.opts, keep_gram, &l);
    if (l.failed)
        n = silr_fail_memory(err);
    else if (l.n && max)
        n = explain(m, &t, &l, k, out, max);
    silr_free(l.gram);
    silr_grams_clear(&t);
    return n;
}
