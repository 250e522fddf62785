#include "refine/loop.h"
#include <math.h>
#include <string.h>

void silr_loop_counts(const silr_loop *l, const int *label_of_row, double *counts)
{
    for (int k = 0; k < l->K; k++)
        counts[k] = 0;
    for (size_t r = 0; r < l->n_pool; r++)
        if (label_of_row[r] != SILR_NO_LABEL)
            counts[label_of_row[r]]++;
}

void silr_keep_apart(double theta[4])
{
    double middle = fmin(fmax((theta[0] + theta[2]) / 2, 0.01), 0.99);

    if (theta[0] >= theta[2] + 0.02)
        return;
    theta[0] = middle + 0.01;
    theta[2] = middle - 0.01;
    theta[1] = 1 - theta[0];
    theta[3] = 1 - theta[2];
}

size_t silr_thin(size_t i, size_t m, size_t n)
{
    double at;
    size_t index;

    if (m >= n)
        return i;
    at = ((double)i + silr_rng_at(0, SILR_RNG_JITTER, 0, i)) * (double)n / (double)m;
    index = (size_t)at;
    return index < n ? index : n - 1;
}

int silr_top_class(int K, const float *prob)
{
    int best = 0;
    if (K == 2)
        return prob[0] > 0.5F ? 0 : 1;
    for (int k = 1; k < K; k++)
        if (prob[k] > prob[best])
            best = k;
    return best;
}

enum { PIECE = 64 }; /* texts that are scored between two words of how far it is */

/* Rows of the block that member f has to score: its own fold's, and those of no fold. */
static size_t rows_of(const silr_loop *l, size_t from, size_t n, size_t F, size_t f, const uint8_t *fold,
                      uint32_t *docs, uint32_t *at)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (fold[from + i] == f || fold[from + i] >= F || F == 1) {
            docs[m] = l->row[from + i];
            at[m++] = (uint32_t)i;
        }
    return m;
}

silr_status silr_loop_forward(const silr_loop *l, size_t from, size_t n, size_t F, const uint8_t *fold,
                              float *scores, silr_error *err)
{
    silr_classifier *c = l->classifier;
    uint32_t *docs, *at;
    float *own;
    silr_status st = SILR_OK;

    if (!c->focus)
        return c->forward(c, l->row + from, n, scores, err);
    docs = silr_alloc(n + 1, sizeof *docs);
    at = silr_alloc(n + 1, sizeof *at);
    own = silr_alloc(n + 1, l->C * sizeof *own);
    if (!docs || !at || !own)
        st = silr_fail_memory(err);
    for (size_t f = 0; f < F && st == SILR_OK; f++) {
        const size_t m = rows_of(l, from, n, F, f, fold, docs, at);
        st = c->focus(c, f, err);
        for (size_t done = 0, some; done < m && st == SILR_OK; done += some) {
            some = m - done < PIECE ? m - done : PIECE;
            st = c->forward(c, docs + done, some, own + done * l->C, err);
            silr_progress("scoring", from + (f * m + done + some) * n / (F * m), l->n_rows);
        }
        for (size_t i = 0; i < m * l->C && st == SILR_OK; i++)
            if (!isfinite(own[i]))
                st = silr_fail(err, SILR_EDOMAIN, "the score of text number %zu of the corpus is not a finite number: "
                               "lower refine.learning_rate", (size_t)docs[i / l->C] + 1);
        for (size_t i = 0; i < m && st == SILR_OK; i++)
            memcpy(scores + (at[i] * F + f) * l->C, own + i * l->C, l->C * sizeof *own);
    }
    if (st == SILR_OK)
        st = c->focus(c, SILR_ALL_MEMBERS, err);
    silr_free(docs);
    silr_free(at);
    silr_free(own);
    return st;
}

silr_status silr_loop_checkpoint(const silr_loop *l, silr_train_opts *o, char **path, silr_error *err)
{
    char *run;

    *path = NULL;
    if (!l->classifier->state_get || l->task->classifier.checkpoint <= 0)
        return SILR_OK;
    run = silr_path_dir(l->classifier_dir);
    *path = run ? silr_path_join(run, "training.ckpt") : NULL;
    silr_free(run);
    o->checkpoint = *path;
    o->every = l->task->classifier.checkpoint;
    return *path ? SILR_OK : silr_fail_memory(err);
}

int64_t silr_loop_flips(const silr_loop *l, const int *before, const int *after)
{
    int64_t flips = 0;
    for (size_t r = 0; r < l->n_pool; r++)
        flips += before[r] != after[r];
    return flips;
}

silr_status silr_loop_store(silr_loop *l, const silr_iteration *it, const silr_outcome *o,
                            silr_state_save save, void *ctx, silr_error *err)
{
    int *label = silr_alloc(l->n, sizeof *label);
    float *score = silr_alloc(l->n, sizeof *score);
    silr_status st = label && score ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK)
        goto done;
    for (size_t d = 0; d < l->n; d++) {
        label[d] = l->initial[d];
        score[d] = NAN;
    }
    for (size_t r = 0; r < l->n_rows; r++) {
        label[l->row[r]] = o->label[r];
        if (l->K == 2)
            score[l->row[r]] = o->prob[r];
        else if (o->label[r] != SILR_NO_LABEL)
            score[l->row[r]] = o->prob[r * l->C + (size_t)o->label[r]];
    }
    if ((st = silr_store_begin(l->store, err)) != SILR_OK)
        goto done;
    st = silr_store_iteration(l->store, it, l->n, label, score, err);
    if (st == SILR_OK && save)
        st = save(ctx, l->store, err);
    if (st == SILR_OK)
        st = silr_store_commit(l->store, err);
    if (st != SILR_OK)
        silr_store_rollback(l->store);
done:
    silr_free(label);
    silr_free(score);
    return st;
}

/* A person's word is final: probability 1. Texts not in play keep what the annotator said. */
silr_status silr_loop_finish(silr_loop *l, const int *label, const float *prob, silr_error *err)
{
    const size_t K = (size_t)l->K;
    int *out = silr_alloc(l->n, sizeof *out);
    float *p = silr_calloc(l->n * K, sizeof *p);
    silr_status st = out && p ? SILR_OK : silr_fail_memory(err);

    for (size_t d = 0; d < l->n && st == SILR_OK; d++) {
        uint32_t r = l->row_of[d];
        int human = l->human[d];
        out[d] = human != SILR_NO_LABEL ? human : r != UINT32_MAX ? label[r] : l->initial[d];
        for (size_t k = 0; k < K; k++)
            if (human != SILR_NO_LABEL)
                p[d * K + k] = (int)k == human ? 1 : 0;
            else if (r == UINT32_MAX)
                p[d * K + k] = l->initial[d] == SILR_NO_LABEL
                                   ? 1 / (float)K
                                   : (float)l->start.theta[(size_t)l->initial[d] * K + k];
            else if (K == 2)
                p[d * K + k] = k == 0 ? prob[r] : 1 - prob[r];
            else
                p[d * K + k] = prob[r * l->C + k];
    }
    if (st == SILR_OK && (st = silr_store_begin(l->store, err)) == SILR_OK) {
        st = silr_store_final(l->store, l->n, l->K, out, p, err);
        if (st == SILR_OK)
            st = silr_store_commit(l->store, err);
        if (st != SILR_OK)
            silr_store_rollback(l->store);
    }
    silr_free(out);
    silr_free(p);
    return st;
}
