/* paper.c - the paper's loop to the letter (arXiv 2502.12565, Figure 1; method.md A1).
 *
 *   for t = 1..5:
 *     U, U' from the current labels; theta_p, theta_n, pi from the labelled sample
 *     a fresh classifier on the robust UU risk, 3 epochs, per-batch gate
 *     of the epochs, the one with the lowest risk on the pseudo-labelled validation part
 *     relabel ALL training and validation texts by the sign of its score
 *
 * With refine.folds > 1 texts are relabelled by models that did not see them (method.md B3), the
 * strong confound that baselines are always shown with and without. risk: pn and uu give the
 * paper's baselines. */
#include "refine/calibrate.h"
#include "refine/labelfree.h"
#include "refine/loop.h"
#include <math.h>
#include <string.h>

typedef struct {
    silr_loop *l;
    int F;
    int *label;    /* [n_rows] current labels of the pool */
    bool relabelled; /* they are the classifier's, no longer the annotator's */
    uint8_t *fold; /* [n_rows] */
    float *z;      /* [n_rows][C] newest scores */
    double scale;  /* probability = sigmoid(scale z): see fit_scale */
    int *set, *validation_set; /* [F][n] */
    uint32_t *docs, *held;     /* training and validation documents with a label */
    size_t n_docs, n_held;
} paper;

static void paper_clear(paper *p)
{
    silr_free(p->label);
    silr_free(p->fold);
    silr_free(p->z);
    silr_free(p->set);
    silr_free(p->validation_set);
    silr_free(p->docs);
    silr_free(p->held);
}

static silr_status set_up(paper *p, silr_loop *l, silr_error *err)
{
    *p = (paper){.l = l, .F = (int)l->task->refine.folds};
    p->label = silr_alloc(l->n_rows, sizeof *p->label);
    p->fold = silr_alloc(l->n_rows, 1);
    p->z = silr_alloc(l->n_rows * l->C, sizeof *p->z);
    p->set = silr_alloc((size_t)p->F * l->n, sizeof *p->set);
    p->validation_set = silr_alloc((size_t)p->F * l->n, sizeof *p->validation_set);
    p->docs = silr_alloc(l->n_rows, sizeof *p->docs);
    p->held = silr_alloc(l->n_rows, sizeof *p->held);
    if (!p->label || !p->fold || !p->z || !p->set || !p->validation_set || !p->docs || !p->held)
        return silr_fail_memory(err);
    for (size_t r = 0; r < l->n_rows; r++)
        p->label[r] = r < l->n_pool ? l->initial[l->row[r]] : SILR_NO_LABEL;
    return SILR_OK;
}

/* A new split into folds for each iteration (method.md B3), groups together. */
static void split(paper *p, int iteration)
{
    const silr_loop *l = p->l;
    silr_rng rng;

    for (size_t r = 0; r < l->n_rows; r++) {
        silr_rng_init(&rng, (uint64_t)l->task->seed, SILR_RNG_FOLDS, (uint32_t)iteration,
                      silr_corpus_group(l->corpus, l->row[r]));
        p->fold[r] = (uint8_t)(r < l->n_pool ? silr_rng_below(&rng, (uint64_t)p->F)
                                             : (uint64_t)p->F);
    }
}

/* theta and pi of the labels in use, from whatever the task offers. */
static silr_status priors_now(const paper *p, silr_priors *out, silr_error *err)
{
    silr_loop *l = p->l;
    double counts[SILR_MAX_CLASSES];
    int *doc_label = NULL, *pseudo = NULL;
    silr_status st = SILR_OK;

    silr_loop_counts(l, p->label, counts);
    switch (l->task->labelled.kind) {
    case SILR_LABELLED_GIVEN: /* the user's numbers describe the annotator's labels, and stay */
        *out = l->start;
        return SILR_OK;
    case SILR_LABELLED_NONE:
        if (l->K == 2 && p->relabelled)
            silr_track_theta(l, p->label, out);
        else
            *out = l->start;
        return SILR_OK;
    case SILR_LABELLED_ORACLE:
        if (!(doc_label = silr_alloc(l->n, sizeof *doc_label)))
            return silr_fail_memory(err);
        for (size_t d = 0; d < l->n; d++)
            doc_label[d] = l->row_of[d] < l->n_pool ? p->label[l->row_of[d]] : SILR_NO_LABEL;
        silr_priors_oracle(out, l->task, l->corpus, doc_label);
        break;
    default:
        if (!(pseudo = silr_alloc(l->sample.n, sizeof *pseudo)))
            return silr_fail_memory(err);
        for (size_t i = 0; i < l->sample.n; i++)
            pseudo[i] = p->label[l->row_of[l->sample.doc[i]]];
        silr_priors_estimate(out, l->K, counts, l->sample.n, pseudo, l->sample.truth,
                             l->sample.weight);
    }
    silr_priors_posterior(out, (uint64_t)l->task->seed);
    silr_free(doc_label);
    silr_free(pseudo);
    return st;
}

static silr_status members(paper *p, const silr_priors *now, silr_member *m, silr_error *err)
{
    const silr_loop *l = p->l;
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES];
    silr_status st = SILR_OK;

    memcpy(theta, now->theta, sizeof theta);
    if (l->K == 2)
        silr_keep_apart(theta);
    p->n_docs = p->n_held = 0;
    for (size_t d = 0; d < (size_t)p->F * l->n; d++)
        p->set[d] = p->validation_set[d] = SILR_NO_LABEL;
    for (uint32_t r = 0; r < l->n_pool; r++) {
        uint32_t d = l->row[r];
        bool held = silr_corpus_split(l->corpus, d) == SILR_VALIDATION;
        if (p->label[r] == SILR_NO_LABEL)
            continue;
        if (held)
            p->held[p->n_held++] = d;
        else
            p->docs[p->n_docs++] = d;
        for (size_t f = 0; f < (size_t)p->F; f++)
            if (p->F == 1 || p->fold[r] != f)
                (held ? p->validation_set : p->set)[f * l->n + d] = p->label[r];
    }
    for (size_t f = 0; f < (size_t)p->F && st == SILR_OK; f++) {
        m[f] = (silr_member){.set = p->set + f * l->n,
                             .validation = p->validation_set + f * l->n};
        st = silr_risk_init(&m[f].risk, l->task->refine.risk, l->task->refine.loss, l->K,
                            theta, now->pi, l->task->refine.lambda, err);
    }
    return st;
}

enum { BLOCK = 4096 };

/* The folds' models together, for texts that none of them saw: mean probability (method.md B3: the
 * mean of tanh(z/2) is that of sigmoid, K classes: of softmax), taken back to the scale of a score. */
static void together(int K, size_t F, const float *scores, float *z)
{
    const size_t C = K == 2 ? 1 : (size_t)K;
    double mean[SILR_MAX_CLASSES] = {0}, v[SILR_MAX_CLASSES], q[SILR_MAX_CLASSES];

    for (size_t f = 0; f < F; f++) {
        for (size_t k = 0; k < C; k++)
            v[k] = (double)scores[f * C + k];
        if (C == 1)
            q[0] = silr_sigmoid(v[0]);
        else
            silr_softmax(q, v, C);
        for (size_t k = 0; k < C; k++)
            mean[k] += q[k] / (double)F;
    }
    for (size_t k = 0; k < C; k++)
        z[k] = (float)(C == 1 ? silr_logit(mean[k]) : log(fmax(mean[k], 1e-12)));
}

/* z of every row: of its own fold's model; test rows: of all together. */
static silr_status score(paper *p, silr_error *err)
{
    silr_loop *l = p->l;
    const size_t C = l->C, F = (size_t)p->F;
    float *scores = silr_alloc(BLOCK * F * C, sizeof *scores);
    silr_status st = scores ? SILR_OK : silr_fail_memory(err);

    for (size_t from = 0; from < l->n_rows && st == SILR_OK; from += BLOCK) {
        size_t n = l->n_rows - from < BLOCK ? l->n_rows - from : BLOCK;
        st = silr_loop_forward(l, from, n, F, p->fold, scores, err);
        if (silr_cancelled() && st == SILR_OK)
            st = silr_fail(err, SILR_ECANCEL, "interrupted");
        for (size_t i = 0; i < n && st == SILR_OK; i++) {
            const size_t own = F == 1 ? 0 : p->fold[from + i];
            float *z = p->z + (from + i) * C;
            if (own < F)
                memcpy(z, scores + (i * F + own) * C, C * sizeof *z);
            else
                together(l->K, F, scores + i * F * C, z);
        }
    }
    silr_free(scores);
    return st;
}

/* The scores' natural scale: A of P(s | x) = sum_k T[k][s] softmax(A z)_k, most likely for the
 * labels that were trained on. The sign of z stays the label, so no offset is fitted. */
static silr_status fit_scale(paper *p, const silr_priors *now, silr_error *err)
{
    const silr_loop *l = p->l;
    const size_t C = l->C;
    double T[SILR_MAX_CLASSES * SILR_MAX_CLASSES], square = 0;
    float *z = silr_alloc(l->n_pool * C, sizeof *z);
    int *set = silr_alloc(l->n_pool, sizeof *set);
    size_t n = 0;
    silr_calibration c;
    silr_status st = z && set ? SILR_OK : silr_fail_memory(err);

    for (size_t r = 0; r < l->n_pool && st == SILR_OK; r++) {
        if (p->label[r] == SILR_NO_LABEL)
            continue;
        for (size_t k = 0; k < C; k++) {
            z[n * C + k] = p->z[r * C + k];
            square += (double)z[n * C + k] * (double)z[n * C + k];
        }
        set[n++] = p->label[r];
    }
    square = n > 0 && square > 0 ? sqrt(square / (double)(n * C)) : 1;
    for (size_t i = 0; i < n * C && st == SILR_OK; i++)
        z[i] = (float)((double)z[i] / square);
    silr_transition(T, l->K, now->theta, now->rho, now->pi);
    if (st == SILR_OK)
        st = silr_calibrate(&c, l->K, n, z, set, T, err);
    if (st == SILR_OK)
        p->scale = c.A / square;
    silr_free(z);
    silr_free(set);
    return st;
}

static silr_status outcome(const paper *p, silr_outcome *o, silr_error *err)
{
    const silr_loop *l = p->l;
    const size_t C = l->C;
    double u[SILR_MAX_CLASSES], q[SILR_MAX_CLASSES];

    o->label = silr_alloc(l->n_rows, sizeof *o->label);
    o->prob = silr_alloc(l->n_rows * C, sizeof *o->prob);
    if (!o->label || !o->prob)
        return silr_fail_memory(err);
    for (size_t r = 0; r < l->n_rows; r++) {
        for (size_t k = 0; k < C; k++)
            u[k] = p->scale * (double)p->z[r * C + k];
        if (C == 1)
            q[0] = silr_sigmoid(u[0]);
        else
            silr_softmax(q, u, C);
        for (size_t k = 0; k < C; k++)
            o->prob[r * C + k] = (float)q[k];
        o->label[r] = C == 1 ? (p->z[r] > 0 ? 0 : 1) : silr_top_class(l->K, o->prob + r * C);
    }
    return SILR_OK;
}

/* The labels by the sample: never trained on, so an honest judge. */
static silr_status estimate(const paper *p, const int *label, silr_iteration *it, silr_error *err)
{
    const silr_loop *l = p->l;
    const size_t n = l->sample.n;
    int *stratum = silr_alloc(n, sizeof *stratum), *right = silr_alloc(n, sizeof *right);
    double *weight = silr_alloc(n, sizeof *weight);
    silr_status st = stratum && right && weight ? SILR_OK : silr_fail_memory(err);
    size_t m = 0;

    it->estimated = (silr_interval){NAN, NAN, NAN};
    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        int s0 = l->initial[l->sample.doc[i]];
        if (s0 == SILR_NO_LABEL)
            continue;
        stratum[m] = s0;
        weight[m] = l->sample.weight[i];
        right[m++] = label[l->row_of[l->sample.doc[i]]] == l->sample.truth[i];
    }
    if (m > 0)
        silr_certificate(&it->estimated, m, stratum, right, weight, (size_t)l->K, l->start.rho,
                         (uint64_t)l->task->seed);
    silr_free(weight);
    silr_free(stratum);
    silr_free(right);
    return st;
}

static silr_train_opts options(const silr_loop *l, int iteration)
{
    const silr_task *task = l->task;

    return (silr_train_opts){
        .adam = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                 .weight_decay = task->refine.weight_decay, .clip = task->refine.clip},
        .schedule = SILR_LR_COSINE,
        .learning_rate = task->refine.learning_rate > 0 ? task->refine.learning_rate
                                                         : l->classifier->rate[SILR_RECIPE_PAPER],
        .warmup = task->refine.warmup,
        .epochs = (int)task->refine.epochs,
        .batch = (size_t)task->refine.batch,
        .gate = task->refine.gate,
        .gate_decay = task->refine.gate_decay,
        .choose = true,
        .by_risk = true,
        .seed = (uint64_t)task->seed,
        .iteration = (uint32_t)iteration,
    };
}

/* Fresh models on the current labels; scores of all rows. */
static silr_status train(paper *p, const silr_priors *now, silr_iteration *it, silr_error *err)
{
    silr_loop *l = p->l;
    const size_t F = (size_t)p->F;
    silr_member *m = silr_calloc(F, sizeof *m);
    silr_train_log *logs = silr_calloc(F, sizeof *logs);
    silr_train_opts o = options(l, it->iteration);
    char *checkpoint = NULL;
    silr_status st = m && logs ? members(p, now, m, err) : silr_fail_memory(err);

    if (st == SILR_OK)
        st = silr_loop_checkpoint(l, &o, &checkpoint, err);
    if (st == SILR_OK && F > l->classifier->max_members)
        st = silr_fail(err, SILR_EINPUT,
                       "refine.folds: %d models are more than fit into memory, %zu do: lower "
                       "refine.folds or classifier.bits", p->F, l->classifier->max_members);
    if (st == SILR_OK)
        st = silr_train(l->classifier, &o, F, m, p->docs, p->n_docs, p->held, p->n_held, logs,
                        err);
    it->train_loss = it->validation_loss = 0;
    for (size_t f = 0; f < F && st == SILR_OK; f++) {
        int best = logs[f].best;
        it->best_epoch = f == 0 ? best : it->best_epoch;
        if (best < 1 || best > logs[f].n)
            continue;
        it->train_loss += logs[f].epoch[best - 1].train_loss / (double)F;
        it->validation_loss += logs[f].epoch[best - 1].validation_loss / (double)F;
        for (int e = 0; e < logs[f].n && st == SILR_OK; e++)
            st = silr_store_epoch(l->store, it->iteration, (int)f, e + 1,
                                  logs[f].epoch[e].train_loss, logs[f].epoch[e].validation_loss,
                                  e + 1 == best, err);
    }
    if (st == SILR_OK)
        st = score(p, err);
    for (size_t f = 0; logs && f < F; f++)
        silr_free(logs[f].epoch);
    silr_free(m);
    silr_free(logs);
    silr_free(checkpoint);
    return st;
}

/* The classifier of this iteration on disk, before the store says that the iteration is done. */
static silr_status save_classifier(const paper *p, silr_error *err)
{
    silr_classifier *c = p->l->classifier;
    const size_t C = p->l->C;
    double *W = silr_calloc(C * C, sizeof *W), *b = silr_calloc(C, sizeof *b);
    silr_status st = W && b ? SILR_OK : silr_fail_memory(err);

    for (size_t k = 0; k < C && st == SILR_OK; k++)
        W[k * C + k] = p->scale;
    if (st == SILR_OK && c->blend_set)
        st = c->blend_set(c, NULL, 0, err);
    for (size_t f = 0; f < (size_t)p->F && st == SILR_OK && c->blend; f++)
        st = c->blend(c, f, 1.0 / p->F, b, err);
    if (st == SILR_OK)
        st = c->save(c, p->l->classifier_dir, W, b, 1, err);
    silr_free(W);
    silr_free(b);
    return st;
}

/* The probabilities as they are, beside the iteration. */
typedef struct {
    const void *bytes;
    size_t len;
} saved;

static silr_status save_prob(void *ctx, silr_store *store, silr_error *err)
{
    const saved *s = ctx;
    return silr_store_set(store, "refine.prob", s->bytes, s->len, err);
}

static silr_status one_iteration(paper *p, int t, silr_outcome *o, silr_error *err)
{
    silr_loop *l = p->l;
    silr_priors *now = silr_alloc(1, sizeof *now);
    silr_iteration *it = silr_calloc(1, sizeof *it);
    double begun = silr_now();
    silr_status st = now && it ? priors_now(p, now, err) : silr_fail_memory(err);

    if (st == SILR_OK) {
        it->iteration = t;
        it->accepted = true;
        split(p, t);
        st = train(p, now, it, err);
    }
    if (st == SILR_OK)
        st = fit_scale(p, now, err);
    if (st == SILR_OK)
        st = outcome(p, o, err);
    if (st == SILR_OK)
        st = estimate(p, o->label, it, err);
    if (st == SILR_OK)
        st = save_classifier(p, err);
    if (st == SILR_OK) {
        it->flips = silr_loop_flips(l, p->label, o->label);
        memcpy(p->label, o->label, l->n_pool * sizeof *p->label);
        p->relabelled = true;
        st = priors_now(p, &it->priors, err); /* of the new labels */
    }
    if (st == SILR_OK) {
        it->seconds = silr_now() - begun;
        st = silr_loop_store(l, it, o, save_prob,
                             &(saved){o->prob, l->n_rows * l->C * sizeof(float)}, err);
    }
    silr_free(now);
    silr_free(it);
    return st;
}

/* Goes on from the newest stored iteration; its outcome is filled for the case that it was the
 * last one. */
static silr_status resume(paper *p, int *t, silr_outcome *o, silr_error *err)
{
    silr_loop *l = p->l;
    const size_t bytes = l->n_rows * l->C * sizeof(float);
    size_t stored = 0;
    silr_buf prob = {0};
    int *label = silr_alloc(l->n, sizeof *label);
    silr_iteration *it = silr_alloc(1, sizeof *it);
    silr_status st = it && label ? silr_store_iterations(l->store, &stored, err)
                                 : silr_fail_memory(err);

    *t = stored > 1 ? (int)stored - 1 : 0;
    if (st != SILR_OK || *t == 0)
        goto done;
    o->label = silr_alloc(l->n_rows, sizeof *o->label);
    o->prob = silr_alloc(l->n_rows * l->C, sizeof *o->prob);
    if (!o->label || !o->prob) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_store_iteration_get(l->store, *t, it, l->n, label, NULL, err)) != SILR_OK ||
        (st = silr_store_get(l->store, "refine.prob", &prob, err)) != SILR_OK)
        goto done;
    if (prob.len != bytes) {
        st = silr_fail(err, SILR_EINPUT,
                       "run.db: the saved state does not fit this run: delete the run folder and "
                       "start again");
        goto done;
    }
    memcpy(o->prob, prob.data, bytes);
    for (size_t r = 0; r < l->n_rows; r++) {
        o->label[r] = label[l->row[r]];
        if (r < l->n_pool)
            p->label[r] = o->label[r];
    }
    p->relabelled = true;
done:
    silr_buf_clear(&prob);
    silr_free(it);
    silr_free(label);
    return st;
}

static void outcome_clear(silr_outcome *o)
{
    silr_free(o->label);
    silr_free(o->prob);
    *o = (silr_outcome){0};
}

silr_status silr_refine_paper(silr_loop *l, silr_error *err)
{
    paper p;
    silr_outcome o = {0};
    int t = 0;
    silr_status st = set_up(&p, l, err);

    if (st == SILR_OK)
        st = resume(&p, &t, &o, err);
    for (t++; t <= l->iterations && st == SILR_OK; t++) {
        outcome_clear(&o);
        st = one_iteration(&p, t, &o, err);
        silr_progress("refining", (uint64_t)t, (uint64_t)l->iterations);
    }
    if (st == SILR_OK)
        st = silr_loop_finish(l, o.label, o.prob, err);
    outcome_clear(&o);
    paper_clear(&p);
    return st;
}
