#include "refine/finish.h"
#include <math.h>
#include <string.h>

/* --- the account ------------------------------------------------------------------------------ */

silr_status silr_ours_account(const silr_ours *o, silr_account *a, silr_iteration *it,
                              silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t n = l->sample.n;
    double counts[SILR_MAX_CLASSES], share[SILR_MAX_CLASSES], total = 0, se2 = 0, all = 0;
    int *pseudo = silr_alloc(n, sizeof *pseudo), *right = silr_alloc(n, sizeof *right),
        *stratum = silr_alloc(n, sizeof *stratum);
    double *weight = silr_alloc(n, sizeof *weight);
    silr_status st = pseudo && right && stratum && weight ? SILR_OK : silr_fail_memory(err);

    *a = (silr_account){0};
    it->estimated = (silr_interval){NAN, NAN, NAN};
    if (st != SILR_OK)
        goto done;
    silr_loop_counts(l, o->side, share);
    silr_loop_counts(l, o->variant[0].out, counts);
    for (int k = 0; k < l->K; k++)
        total += share[k];
    for (int k = 0; k < l->K; k++)
        share[k] /= total;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = l->row_of[l->sample.doc[i]];
        const silr_variant *blind = o->J > 0 ? &o->variant[1 + o->label_fold[i]] : NULL;
        int now = blind ? blind->out[r] : SILR_NO_LABEL;
        double e, w = l->sample.weight[i];
        pseudo[i] = now;
        if (now == SILR_NO_LABEL || o->side[r] == SILR_NO_LABEL)
            continue;
        stratum[a->n] = o->side[r];
        weight[a->n] = w;
        right[a->n++] = now == l->sample.truth[i];
        e = (now == l->sample.truth[i]) - (blind->side[r] == l->sample.truth[i]);
        a->gain += w * e;
        se2 += w * w * e * e;
        all += w;
    }
    if (l->known) {
        st = silr_ours_known(o, &o->variant[0], o->variant[0].out, &it->priors, err);
        goto done;
    }
    silr_priors_estimate(&it->priors, l->K, counts, n, pseudo, l->sample.truth, l->sample.weight);
    silr_priors_posterior(&it->priors, (uint64_t)l->task->seed);
    if (a->n > 0) {
        a->gain /= all;
        a->gain_se = sqrt(se2) / all;
        silr_certificate(&it->estimated, a->n, stratum, right, weight, (size_t)l->K, share,
                         (uint64_t)l->task->seed);
    }
done:
    silr_free(weight);
    silr_free(pseudo);
    silr_free(right);
    silr_free(stratum);
    return st;
}

/* --- the classifier as it would be deployed --------------------------------------------------- */

/* logits = W zbar + b by regression of prob, P(y | x, s0) of every row, on zbar over the covered
 * pool. */
static silr_status deployed(const silr_ours *o, const float *prob, double *W, double *b,
                            silr_error *err)
{
    const silr_loop *l = o->loop;
    const silr_variant *v = &o->variant[0];
    const size_t C = l->C, n = o->n_covered;
    float *z = silr_alloc(n * C, sizeof *z), *q = silr_alloc(n * C, sizeof *q);
    silr_status st = z && q ? SILR_OK : silr_fail_memory(err);

    for (size_t i = 0; i < n && st == SILR_OK; i++)
        for (size_t k = 0; k < C; k++) { /* mean over iterations: the scale of one */
            z[i * C + k] = v->zbar[o->covered[i] * C + k] / (float)o->done;
            q[i * C + k] = prob[o->covered[i] * C + k];
        }
    if (st == SILR_OK)
        st = silr_fit_soft(W, b, l->K, n, z, q, err);
    silr_free(z);
    silr_free(q);
    return st;
}

static void deployed_probability(const silr_ours *o, const double *W, const double *b,
                                 const float *zbar, float *prob)
{
    const size_t C = o->loop->C;
    double u[SILR_MAX_CLASSES] = {0}, p[SILR_MAX_CLASSES];

    for (size_t k = 0; k < C; k++) {
        u[k] = b[k];
        for (size_t m = 0; m < C; m++)
            u[k] += W[k * C + m] * (double)zbar[m] / o->done;
    }
    if (C == 1)
        p[0] = silr_sigmoid(u[0]);
    else
        silr_softmax(p, u, C);
    for (size_t k = 0; k < C; k++)
        prob[k] = (float)p[k];
}

silr_status silr_ours_outcome(const silr_ours *o, silr_outcome *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    const silr_variant *v = &o->variant[0];
    const size_t C = l->C;
    double *W = silr_alloc(C * C, sizeof *W), b[SILR_MAX_CLASSES];
    silr_status st;

    out->label = silr_alloc(l->n_rows, sizeof *out->label);
    out->prob = silr_alloc(l->n_rows * C, sizeof *out->prob);
    st = W && out->label && out->prob ? deployed(o, v->q, W, b, err) : silr_fail_memory(err);
    for (size_t r = 0; r < l->n_rows && st == SILR_OK; r++) {
        if (r < l->n_pool && o->side[r] != SILR_NO_LABEL) {
            out->label[r] = v->out[r];
            memcpy(out->prob + r * C, v->q + r * C, C * sizeof(float));
            continue;
        }
        deployed_probability(o, W, b, v->zbar + r * C, out->prob + r * C);
        out->label[r] = silr_top_class(l->K, out->prob + r * C);
    }
    silr_free(W);
    return st;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* The newest iteration that the guards accepted; 0: none, the labels started from stay. */
static silr_status last_accepted(const silr_ours *o, int *accepted, silr_error *err)
{
    silr_iteration it;
    silr_status st = SILR_OK;

    for (*accepted = o->done; *accepted > 0; --*accepted) {
        st = silr_store_iteration_get(o->loop->store, *accepted, &it, 0, NULL, NULL, err);
        if (st != SILR_OK || it.accepted)
            break;
    }
    return st;
}

/* P(class m) of a covered row before any iteration: the purity of its set, or by its log-odds. */
static float first_probability(const silr_ours *o, size_t row, size_t m)
{
    const silr_variant *v = &o->variant[0];

    if (v->cut)
        return (float)silr_sigmoid(silr_line_at(&v->line, o->loop->odds[row]));
    return (float)o->loop->start.theta[(size_t)o->side[row] * (size_t)o->loop->K + m];
}

/* Replaces the outcome by an earlier iteration's labels; 0: those that the recipe started from. */
static silr_status fall_back(const silr_ours *o, int iteration, silr_outcome *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t C = l->C;
    int *label = silr_alloc(l->n, sizeof *label);
    float *score = silr_alloc(l->n, sizeof *score);
    silr_iteration it;
    silr_status st = label && score ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && iteration > 0)
        st = silr_store_iteration_get(l->store, iteration, &it, l->n, label, score, err);
    for (size_t r = 0; r < l->n_rows && st == SILR_OK; r++) {
        float *p = out->prob + r * C;
        int k = iteration > 0 ? label[l->row[r]] : o->variant[0].side[r];
        if (o->side[r] == SILR_NO_LABEL)
            continue; /* no original label: save_classifier's business */
        out->label[r] = k;
        for (size_t m = 0; m < C; m++)
            p[m] = iteration == 0 ? first_probability(o, r, m)
                   : l->K == 2    ? score[l->row[r]]
                   : (int)m == k  ? score[l->row[r]]
                                  : (1 - score[l->row[r]]) / (float)(l->K - 1);
    }
    silr_free(label);
    silr_free(score);
    return st;
}

/* Test texts have an original label too: for them, as for all, both witnesses count. */
static silr_status test_rows(const silr_ours *o, silr_outcome *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t C = l->C;
    float *q = silr_alloc(l->n_rows * C, sizeof *q);
    silr_status st = q ? silr_ours_apply(o, &o->variant[0], q, err) : silr_fail_memory(err);

    for (size_t r = l->n_pool; r < l->n_rows && st == SILR_OK; r++)
        if (o->side[r] != SILR_NO_LABEL) {
            memcpy(out->prob + r * C, q + r * C, C * sizeof *q);
            out->label[r] = silr_ours_rule(o, &o->variant[0], q + r * C, o->variant[0].side[r]);
        }
    silr_free(q);
    return st;
}

/* The same of one model's scores z: by regression of prob on z over the validation part, which it has not seen
 * (over all covered texts, where that is too small). */
static silr_status fit_single(const silr_ours *o, const float *z, const float *prob, double *W, double *b,
                              silr_error *err)
{
    enum { FEW = 30 };
    const silr_loop *l = o->loop;
    const size_t C = l->C;
    float *x = silr_alloc(o->n_covered * C, sizeof *x), *q = silr_alloc(o->n_covered * C, sizeof *q);
    size_t n = 0;
    silr_status st = x && q ? SILR_OK : silr_fail_memory(err);

    for (int all = 0; all < 2 && n < FEW && st == SILR_OK; all++) {
        n = 0;
        for (size_t i = 0; i < o->n_covered; i++) {
            const uint32_t r = o->covered[i];
            if (!all && silr_corpus_split(l->corpus, l->row[r]) != SILR_VALIDATION)
                continue;
            memcpy(x + n * C, z + r * C, C * sizeof *x);
            memcpy(q + n++ * C, prob + r * C, C * sizeof *q);
        }
    }
    if (st == SILR_OK)
        st = silr_fit_soft(W, b, l->K, n, x, q, err);
    silr_free(x);
    silr_free(q);
    return st;
}

/* Kinds that cannot blend: one model more is trained on the labels which stay. */
static silr_status save_single(silr_ours *o, silr_outcome *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t C = l->C;
    double *W = silr_alloc(C * C, sizeof *W), b[SILR_MAX_CLASSES], u[SILR_MAX_CLASSES] = {0},
           p[SILR_MAX_CLASSES] = {0};
    float *z = silr_alloc(l->n_rows * C, sizeof *z);
    silr_status st = W && z ? silr_ours_single(o, out->label, z, err) : silr_fail_memory(err);

    if (st == SILR_OK)
        st = fit_single(o, z, out->prob, W, b, err);
    for (size_t r = 0; r < l->n_rows && st == SILR_OK; r++) {
        if (o->side[r] != SILR_NO_LABEL)
            continue;
        for (size_t k = 0; k < C; k++) {
            u[k] = b[k];
            for (size_t m = 0; m < C; m++)
                u[k] += W[k * C + m] * (double)z[r * C + m];
        }
        if (C == 1)
            p[0] = silr_sigmoid(u[0]);
        else
            silr_softmax(p, u, C);
        for (size_t k = 0; k < C; k++)
            out->prob[r * C + k] = (float)p[k];
        out->label[r] = silr_top_class(l->K, out->prob + r * C);
    }
    if (st == SILR_OK)
        st = l->classifier->save(l->classifier, l->classifier_dir, W, b, 1, err);
    silr_free(W);
    silr_free(z);
    return st;
}

/* The classifier that speaks for the labels which stay, on disk; and its answers for the texts
 * without an original label (after a rejected iteration both differ from that iteration's). */
static silr_status save_classifier(const silr_ours *o, silr_outcome *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    double *W = silr_alloc(l->C * l->C, sizeof *W), b[SILR_MAX_CLASSES];
    silr_status st = W ? deployed(o, out->prob, W, b, err) : silr_fail_memory(err);

    for (size_t r = 0; r < l->n_rows && st == SILR_OK; r++)
        if (o->side[r] == SILR_NO_LABEL) {
            deployed_probability(o, W, b, o->variant[0].zbar + r * l->C, out->prob + r * l->C);
            out->label[r] = silr_top_class(l->K, out->prob + r * l->C);
        }
    if (st == SILR_OK)
        st = l->classifier->save(l->classifier, l->classifier_dir, W, b, o->done, err);
    silr_free(W);
    return st;
}

silr_status silr_ours_finish(silr_ours *o, silr_error *err)
{
    silr_loop *l = o->loop;
    silr_outcome out = {0};
    int accepted = 0;
    silr_status st = silr_ours_outcome(o, &out, err);

    if (st == SILR_OK)
        st = test_rows(o, &out, err);
    if (st == SILR_OK)
        st = last_accepted(o, &accepted, err);
    if (st == SILR_OK && accepted < o->done)
        st = fall_back(o, accepted, &out, err);
    if (st == SILR_OK)
        st = l->classifier->blend ? save_classifier(o, &out, err) : save_single(o, &out, err);
    if (st == SILR_OK)
        st = silr_ours_sensitivity(o, err);
    if (st == SILR_OK)
        st = silr_loop_finish(l, out.label, out.prob, err);
    silr_free(out.label);
    silr_free(out.prob);
    return st;
}
