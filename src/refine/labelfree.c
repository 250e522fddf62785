#include "refine/labelfree.h"
#include "refine/ours.h"
#include <math.h>
#include <string.h>

/* Logistic PN on each half, scored on the other: z [n_covered][C] in the order of `covered`. */
static silr_status two_fold_scores(silr_loop *l, const silr_ours *o, float *z, silr_error *err)
{
    silr_member member[2];
    int *set = silr_alloc(2 * l->n, sizeof *set);
    uint32_t *docs = silr_alloc(o->n_covered, sizeof *docs);
    float *scores = silr_alloc(o->n_covered * 2 * l->C, sizeof *scores);
    const double uniform[SILR_MAX_CLASSES * SILR_MAX_CLASSES] = {0};
    silr_train_opts opts = {
        .adam = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .l2 = l->task->refine.l2},
        .schedule = SILR_LR_LINEAR, .learning_rate = l->classifier->rate[SILR_RECIPE_SILR],
        .steps = l->classifier->focus ? 0 : (int)l->task->refine.steps, .epochs = (int)l->task->refine.epochs,
        .batch = l->classifier->focus ? (size_t)l->task->refine.batch : 0, .gate = SILR_GATE_BATCH, .gate_decay = 0.9, .seed = (uint64_t)l->task->seed};
    char *checkpoint = NULL;
    silr_status st = set && docs && scores ? silr_loop_checkpoint(l, &opts, &checkpoint, err) : silr_fail_memory(err);

    for (int f = 0; f < 2 && st == SILR_OK; f++) {
        int *s = set + (size_t)f * l->n;
        for (size_t d = 0; d < l->n; d++)
            s[d] = SILR_NO_LABEL;
        for (size_t i = 0; i < o->n_covered; i++)
            if (o->fold[o->covered[i]] % 2 != f)
                s[l->row[o->covered[i]]] = o->side[o->covered[i]];
        member[f] = (silr_member){.set = s};
        st = silr_risk_init(&member[f].risk, SILR_RISK_PN, SILR_LOSS_LOGISTIC, l->K, uniform,
                            uniform, 1, err);
    }
    for (size_t i = 0; i < o->n_covered && st == SILR_OK; i++)
        docs[i] = l->row[o->covered[i]];
    if (st == SILR_OK)
        st = silr_train(l->classifier, &opts, 2, member, docs, o->n_covered, NULL, 0, NULL, err);
    if (st == SILR_OK)
        st = l->classifier->forward(l->classifier, docs, o->n_covered, scores, err);
    for (size_t i = 0; i < o->n_covered && st == SILR_OK; i++)
        memcpy(z + i * l->C,
               scores + (i * 2 + (size_t)(o->fold[o->covered[i]] % 2)) * l->C, l->C * sizeof *z);
    silr_free(set);
    silr_free(docs);
    silr_free(scores);
    silr_free(checkpoint);
    return st;
}

static silr_status theta_from(silr_loop *l, const silr_ours *o, const float *z, silr_error *err)
{
    const size_t n = o->n_covered, C = l->C;
    double *p = silr_alloc(n * C, sizeof *p);
    int *side = silr_alloc(n, sizeof *side);
    silr_status st = p && side ? SILR_OK : silr_fail_memory(err);

    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        side[i] = o->side[o->covered[i]];
        for (size_t k = 0; k < C; k++)
            p[i * C + k] = (double)z[i * C + k];
        if (C > 1)
            silr_softmax(p + i * C, p + i * C, C);
    }
    if (st == SILR_OK && l->K == 2) {
        st = silr_mpe(&l->start.theta[0], &l->start.theta[2], p, side, n, err);
        l->start.theta[1] = 1 - l->start.theta[0];
        l->start.theta[3] = 1 - l->start.theta[2];
    } else if (st == SILR_OK) {
        st = silr_confident_theta(l->start.theta, l->K, p, side, n, err);
    }
    silr_free(p);
    silr_free(side);
    return st;
}

silr_status silr_label_free_priors(silr_loop *l, const double *counts, silr_error *err)
{
    silr_ours o = {.loop = l, .F = 2};
    double total = 0;
    float *z = NULL;
    silr_status st = SILR_OK;

    memset(&l->start, 0, sizeof l->start);
    l->start.K = l->K;
    l->start.known = true;
    o.fold = silr_alloc(l->n_rows, 1);
    o.side = silr_alloc(l->n_rows, sizeof *o.side);
    o.covered = silr_alloc(l->n_pool, sizeof *o.covered);
    o.train = silr_alloc(l->n_pool, sizeof *o.train);
    z = silr_alloc(l->n_pool * l->C, sizeof *z);
    if (!o.fold || !o.side || !o.covered || !o.train || !z) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (uint32_t r = 0; r < l->n_rows; r++) {
        o.side[r] = l->initial[l->row[r]];
        if (r < l->n_pool && o.side[r] != SILR_NO_LABEL) {
            o.covered[o.n_covered++] = r;
            o.train[o.n_train++] = l->row[r];
        }
    }
    if ((st = silr_ours_folds(&o, err)) != SILR_OK ||
        (st = two_fold_scores(l, &o, z, err)) != SILR_OK ||
        (st = theta_from(l, &o, z, err)) != SILR_OK)
        goto done;
    for (int j = 0; j < l->K; j++)
        total += counts[j];
    for (int j = 0; j < l->K; j++)
        l->start.rho[j] = counts[j] / total;
    for (int k = 0; k < l->K; k++)
        for (int j = 0; j < l->K; j++)
            l->start.pi[k] += l->start.rho[j] * l->start.theta[j * l->K + k];
done:
    silr_free(o.fold);
    silr_free(o.side);
    silr_free(o.covered);
    silr_free(o.train);
    silr_free(z);
    return st;
}

void silr_track_theta(const silr_loop *l, const int *label_of_row, silr_priors *out)
{
    const silr_priors *s = &l->start;
    double T[4], count[2] = {0}, said[2] = {0};

    silr_transition(T, 2, s->theta, s->rho, s->pi);
    for (size_t r = 0; r < l->n_pool; r++) {
        int now = label_of_row[r], first = l->initial[l->row[r]];
        if (now == SILR_NO_LABEL || first == SILR_NO_LABEL)
            continue;
        count[now]++;
        said[now] += first == 0;
    }
    *out = *s;
    for (int j = 0; j < 2; j++) {
        double q = count[j] > 0 ? said[j] / count[j] : 0.5, v = (q - T[2]) / (T[0] - T[2]);
        out->theta[j * 2] = j == 0 ? fmin(fmax(v, 0.5), 0.99) : fmin(fmax(v, 0.01), 0.5);
        out->theta[j * 2 + 1] = 1 - out->theta[j * 2];
        out->rho[j] = count[j] / fmax(count[0] + count[1], 1);
    }
    for (int k = 0; k < 2; k++)
        out->pi[k] = out->rho[0] * out->theta[k] + out->rho[1] * out->theta[2 + k];
}
