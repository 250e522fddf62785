/* cross.c - the cross-fitted scorer of recipe silr (method.md B12, B3).
 *
 * Each variant trains one robust UU model a fold, on the texts of the other folds, fresh in every
 * iteration: truth with weight omega on its labelled texts, the current pseudo-labels elsewhere.
 * The pseudo-sets are then part truth: set j holds u_j pseudo-labelled texts of purities Theta_j
 * and labelled ones that are pure, of mass omega l_j, so that the risk is told
 *     Theta'_j = (Theta_j u_j + omega l_j e_j) / (u_j + omega l_j),   rho'_j ~ u_j + omega l_j.
 * With refine.evidence: sets they are the sets of sets.c, and the truth makes two of its own.
 * All models of an iteration go through the features together. */
#include "refine/ours.h"
#include <math.h>
#include <string.h>

/* --- what a member learns from ---------------------------------------------------------------- */

/* Mean probability of each class over the texts labelled j; a set without texts keeps its row. */
static void mean_probability(const silr_ours *o, const silr_variant *v, const int *label,
                             silr_priors *p)
{
    const int K = o->loop->K;
    double count[SILR_MAX_CLASSES] = {0};

    for (size_t i = 0; i < o->n_covered; i++)
        count[label[o->covered[i]]]++;
    for (int j = 0; j < K; j++)
        for (int k = 0; k < K && count[j] > 0; k++)
            p->theta[j * K + k] = 0;
    for (size_t i = 0; i < o->n_covered; i++) {
        const uint32_t r = o->covered[i];
        const int j = label[r];
        const float *q = v->q + r * o->loop->C;
        for (int k = 0; k < K; k++)
            p->theta[j * K + k] +=
                (double)(K > 2 ? q[k] : k == 0 ? q[0] : 1 - q[0]) / count[j];
    }
    for (int k = 0; k < K; k++) {
        p->rho[k] = count[k] / (double)o->n_covered;
        p->pi[k] = 0;
    }
    for (int j = 0; j < K; j++)
        for (int k = 0; k < K; k++)
            p->pi[k] += p->rho[j] * p->theta[j * K + k];
    for (int k = 0; k < K; k++) {
        p->theta_low[k] = p->theta_high[k] = p->theta[k * K + k];
        p->pi_low[k] = p->pi_high[k] = p->pi[k];
    }
}

silr_status silr_ours_known(const silr_ours *o, const silr_variant *v, const int *label,
                            silr_priors *out, silr_error *err)
{
    const silr_loop *l = o->loop;
    int *of_doc;

    *out = v->start;
    if (!v->stack) /* these are still the original labels */
        return SILR_OK;
    if (l->task->labelled.kind != SILR_LABELLED_ORACLE) {
        mean_probability(o, v, label, out);
        return SILR_OK;
    }
    if (!(of_doc = silr_alloc(l->n, sizeof *of_doc)))
        return silr_fail_memory(err);
    for (size_t d = 0; d < l->n; d++)
        of_doc[d] = SILR_NO_LABEL;
    for (size_t i = 0; i < o->n_covered; i++)
        of_doc[l->row[o->covered[i]]] = label[o->covered[i]];
    silr_priors_oracle(out, l->task, l->corpus, of_doc);
    silr_free(of_doc);
    return SILR_OK;
}

/* Theta', pi' of a variant's training set; Theta from its labels s by its part of the sample. omega 0: no
 * text is trained on by its truth. */
static silr_status purities(const silr_ours *o, const silr_variant *v, double omega, double *theta,
                            double *pi, silr_error *err)
{
    const silr_loop *l = o->loop;
    const int K = l->K;
    double counts[SILR_MAX_CLASSES] = {0}, mass[SILR_MAX_CLASSES], all = 0;
    silr_status st = SILR_OK;
    silr_priors *p = silr_alloc(1, sizeof *p);
    int *pseudo = silr_alloc(l->sample.n, sizeof *pseudo);

    if (!p || !pseudo) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < o->n_covered; i++)
        counts[v->label[o->covered[i]]]++;
    for (size_t i = 0; i < l->sample.n; i++)
        pseudo[i] = v->learns[i] ? v->label[l->row_of[l->sample.doc[i]]] : SILR_NO_LABEL;
    if (l->known)
        st = silr_ours_known(o, v, v->label, p, err);
    else
        silr_priors_estimate(p, K, counts, l->sample.n, pseudo, l->sample.truth, l->sample.weight);
    if (st != SILR_OK)
        goto done;
    memcpy(mass, counts, sizeof mass);
    memcpy(theta, p->theta, (size_t)(K * K) * sizeof *theta);
    for (size_t i = 0; i < l->sample.n; i++)
        if (omega > 0 && v->learns[i] && pseudo[i] != SILR_NO_LABEL)
            mass[pseudo[i]]--; /* u_j: its place is taken by the truth */
    for (int j = 0; j < K; j++) {
        double labelled = 0;
        for (size_t i = 0; i < l->sample.n; i++)
            labelled += v->learns[i] && l->sample.truth[i] == j ? omega : 0;
        for (int k = 0; k < K; k++)
            if (mass[j] + labelled > 0)
                theta[j * K + k] = (theta[j * K + k] * mass[j] + (k == j ? labelled : 0)) /
                                   (mass[j] + labelled);
        mass[j] += labelled;
        all += mass[j];
    }
    for (int k = 0; k < K; k++) {
        pi[k] = 0;
        for (int j = 0; j < K; j++)
            pi[k] += theta[j * K + k] * mass[j] / all;
    }
    if (K == 2)
        silr_keep_apart(theta);
done:
    silr_free(p);
    silr_free(pseudo);
    return st;
}

/* Models that take long are trained once for all variants: then on pseudo-labels alone. No text is trained on by its
 * truth, but the account is no longer quite blind: the purities in the risk, and from the second iteration on
 * the labels themselves (variant 0's, whose stack was fitted on the whole sample), have seen all of it. */
static bool shared(const silr_ours *o)
{
    return o->loop->classifier && o->loop->classifier->focus;
}

/* Fills the F members of variant number `at`; set and weight hold [F][n] and [n]. */
static silr_status fill_members(const silr_ours *o, size_t at, silr_member *members, int *set,
                                float *weight, silr_error *err)
{
    const silr_loop *l = o->loop;
    const silr_variant *v = &o->variant[at];
    const double phi = fmin(l->task->refine.labelled_mass, 0.999); /* 1 would divide by 0 */
    const bool by_sets = silr_ours_by_sets(o, v), truth = !shared(o);
    int *bin = by_sets ? silr_alloc(l->n_rows, sizeof *bin) : NULL;
    const int *label = by_sets ? bin : v->label;
    const int pure = by_sets ? (int)l->task->refine.sets : 0; /* the set of truth 0 */
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES], pi[SILR_MAX_CLASSES], n_learns = 0, omega;
    silr_status st = SILR_OK;

    for (size_t i = 0; i < l->sample.n; i++)
        n_learns += v->learns[i];
    omega = n_learns > 0
                ? fmax(1, phi / (1 - phi) * ((double)o->n_covered - n_learns) / n_learns)
                : 1;
    omega = truth ? omega : 0;
    if (by_sets && !bin)
        return silr_fail_memory(err);
    if ((st = by_sets ? silr_ours_bins(o, v, bin, err) : purities(o, v, omega, theta, pi, err)) != SILR_OK)
        goto done;
    for (size_t d = 0; d < l->n; d++)
        weight[d] = 1;
    for (int f = 0; f < o->F && st == SILR_OK; f++) {
        int *s = set + (size_t)f * l->n;
        silr_member *m = &members[f];
        for (size_t d = 0; d < l->n; d++)
            s[d] = SILR_NO_LABEL;
        for (size_t i = 0; i < o->n_train; i++) {
            uint32_t r = l->row_of[o->train[i]];
            if (o->F == 1 || o->fold[r] != f)
                s[o->train[i]] = label[r];
        }
        for (size_t i = 0; i < l->sample.n; i++) {
            uint32_t d = l->sample.doc[i];
            if (truth && v->learns[i]) {
                weight[d] = (float)omega;
                if (o->F == 1 || o->fold[l->row_of[d]] != f)
                    s[d] = pure + l->sample.truth[i];
            }
        }
        *m = (silr_member){.set = s, .weight = weight};
        st = by_sets ? silr_ours_set_risk(o, v, bin, omega, &m->risk, err)
                     : silr_risk_init(&m->risk, l->task->refine.risk, l->task->refine.loss, l->K,
                                      theta, pi, l->task->refine.lambda, err);
    }
done:
    silr_free(bin);
    return st;
}

/* --- scores ----------------------------------------------------------------------------------- */

enum { BLOCK = 4096 };

/* z [variants][n_rows][C]: each text by the model that did not see it; others by the mean. */
static silr_status score_rows(const silr_ours *o, size_t variants, float *z, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t F = (size_t)o->F, C = l->C, width = variants * F * C;
    float *scores = silr_alloc(BLOCK * width, sizeof *scores);
    silr_status st = scores ? SILR_OK : silr_fail_memory(err);

    for (size_t from = 0; from < l->n_rows && st == SILR_OK; from += BLOCK) {
        size_t n = l->n_rows - from < BLOCK ? l->n_rows - from : BLOCK;
        st = silr_loop_forward(l, from, n, width / C, o->fold, scores, err);
        for (size_t i = 0; i < n && st == SILR_OK; i++)
            for (size_t v = 0; v < variants; v++)
                for (size_t k = 0; k < C; k++) {
                    const float *s = scores + i * width + v * F * C + k;
                    float *to = z + (v * l->n_rows + from + i) * C + k;
                    if (o->fold[from + i] < F) {
                        *to = s[o->fold[from + i] * C];
                        continue;
                    }
                    *to = 0;
                    for (size_t f = 0; f < F; f++)
                        *to += s[f * C] / (float)F;
                }
        if (silr_cancelled() && st == SILR_OK)
            st = silr_fail(err, SILR_ECANCEL, "interrupted");
    }
    silr_free(scores);
    return st;
}

/* Median of a column over the covered pool. */
static double median_of(const silr_ours *o, const float *z, size_t k, double *scratch)
{
    for (size_t i = 0; i < o->n_covered; i++)
        scratch[i] = (double)z[o->covered[i] * o->loop->C + k];
    silr_sort_doubles(scratch, o->n_covered);
    return silr_quantile_sorted(scratch, o->n_covered, 0.5);
}

/* Standardises z over the covered pool: minus its mean over the classes (K > 2), minus each
 * column's median, over the sd (K > 2: rms sd of the differences z_k - z_l). */
static void standardise(const silr_ours *o, float *z, double *middle, double *spread,
                        double *scratch)
{
    const size_t C = o->loop->C, n = o->loop->n_rows;
    double total = 0;

    for (size_t r = 0; r < n && C > 1; r++) {
        double mean = 0;
        for (size_t k = 0; k < C; k++)
            mean += (double)z[r * C + k] / (double)C;
        for (size_t k = 0; k < C; k++)
            z[r * C + k] = (float)((double)z[r * C + k] - mean);
    }
    for (size_t k = 0; k < C; k++) {
        double sum = 0, square = 0, m = (double)o->n_covered;
        middle[k] = median_of(o, z, k, scratch);
        for (size_t i = 0; i < o->n_covered; i++) {
            double v = (double)z[o->covered[i] * C + k] - middle[k];
            sum += v;
            square += v * v;
        }
        total += square / m - sum / m * (sum / m);
    }
    /* sum_{k<l} Var(z_k - z_l) = C sum Var z_k, because the centred columns add up to 0 */
    *spread = sqrt(C > 1 ? 2 * total / (double)(C - 1) : total);
    if (!(*spread > 1e-9))
        *spread = 1;
    for (size_t r = 0; r < n; r++)
        for (size_t k = 0; k < C; k++)
            z[r * C + k] = (float)(((double)z[r * C + k] - middle[k]) / *spread);
}

/* Adds the iteration's models of variant 0 to the blend that will be deployed. */
static silr_status blend(const silr_ours *o, const double *middle, double spread, silr_error *err)
{
    silr_classifier *c = o->loop->classifier;
    double offset[SILR_MAX_CLASSES];
    silr_status st = SILR_OK;

    for (size_t k = 0; k < o->loop->C; k++)
        offset[k] = -middle[k] / (spread * o->F);
    for (int f = 0; f < o->F && st == SILR_OK && c->blend; f++)
        st = c->blend(c, (size_t)f, 1 / (spread * o->F), offset, err);
    return st;
}

/* The scores of variant 0 are everybody's. */
static void share(silr_ours *o)
{
    const size_t size = o->loop->n_rows * o->loop->C;

    for (size_t v = 1; v < o->n_variants; v++)
        memcpy(o->variant[v].zbar, o->variant[0].zbar, size * sizeof *o->variant[v].zbar);
}

/* Of the variants from `first` on whose models are in the classifier. */
static silr_status add_scores(silr_ours *o, size_t first, size_t variants, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t size = l->n_rows * l->C;
    float *z = silr_alloc(variants * size, sizeof *z);
    double *scratch = silr_alloc(o->n_covered, sizeof *scratch), middle[SILR_MAX_CLASSES], spread;
    silr_status st = z && scratch ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK)
        st = score_rows(o, variants, z, err);
    for (size_t v = 0; v < variants && st == SILR_OK; v++) {
        float *zbar = o->variant[first + v].zbar;
        standardise(o, z + v * size, middle, &spread, scratch);
        for (size_t i = 0; i < size; i++)
            zbar[i] += z[v * size + i];
        if (first + v == 0)
            st = blend(o, middle, spread, err);
    }
    silr_free(z);
    silr_free(scratch);
    return st;
}

static silr_train_opts options(const silr_loop *l, int iteration)
{
    const silr_task *task = l->task;
    const double rate = task->refine.learning_rate > 0 ? task->refine.learning_rate
                                                       : l->classifier->rate[SILR_RECIPE_SILR];

    return (silr_train_opts){
        .adam = {.beta1 = 0.9, .beta2 = l->classifier->focus ? 0.999 : 0.99, .epsilon = 1e-8,
                 .l2 = task->refine.l2,
                 .weight_decay = l->classifier->focus ? task->refine.weight_decay : 0,
                 .clip = task->refine.clip},
        .schedule = l->classifier->focus ? SILR_LR_COSINE : SILR_LR_LINEAR,
        .learning_rate = rate,
        .steps = l->classifier->focus ? 0 : (int)task->refine.steps,
        .epochs = (int)task->refine.epochs,
        .warmup = l->classifier->focus ? task->refine.warmup : 0,
        .batch = (size_t)task->refine.batch,
        .gate = task->refine.gate,
        .gate_decay = task->refine.gate_decay,
        .stratify = true,
        .seed = (uint64_t)task->seed,
        .iteration = (uint32_t)iteration,
    };
}

/* Trains and scores the variants first .. first + variants - 1; train_loss: of variant 0. */
static silr_status train_variants(silr_ours *o, int iteration, size_t first, size_t variants,
                                  double *train_loss, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t F = (size_t)o->F, members = variants * F;
    silr_train_opts opts = options(l, iteration);
    char *checkpoint = NULL;
    silr_member *member = silr_calloc(members, sizeof *member);
    int *set = silr_alloc(members * l->n, sizeof *set);
    float *weight = silr_alloc(variants * l->n, sizeof *weight);
    silr_train_log *logs = silr_calloc(members, sizeof *logs);
    silr_status st = member && set && weight && logs ? silr_loop_checkpoint(l, &opts, &checkpoint, err)
                                                     : silr_fail_memory(err);

    for (size_t v = 0; v < variants && st == SILR_OK; v++)
        st = fill_members(o, first + v, member + v * F, set + v * F * l->n, weight + v * l->n, err);
    if (st == SILR_OK)
        st = silr_train(l->classifier, &opts, members, member, o->train, o->n_train, NULL, 0, logs,
                        err);
    if (st == SILR_OK)
        st = add_scores(o, first, variants, err);
    for (size_t f = 0; st == SILR_OK && first == 0 && f < F; f++)
        *train_loss += logs[f].n > 0 ? logs[f].epoch[logs[f].n - 1].train_loss / (double)F : (double)NAN;
    for (size_t m = 0; logs && m < members; m++)
        silr_free(logs[m].epoch);
    silr_free(member);
    silr_free(set);
    silr_free(weight);
    silr_free(logs);
    silr_free(checkpoint);
    return st;
}

/* All variants at once where the classifier has room for their models; else by groups. */
silr_status silr_ours_train(silr_ours *o, int iteration, double *train_loss, silr_error *err)
{
    const size_t room = o->loop->classifier->max_members / (size_t)o->F;
    silr_status st = SILR_OK;

    *train_loss = 0;
    if (room == 0)
        return silr_fail(err, SILR_EINPUT,
                         "refine.folds: %d models are more than fit into memory, %zu do: lower "
                         "refine.folds or classifier.bits", o->F,
                         o->loop->classifier->max_members);
    if (shared(o)) {
        if ((st = train_variants(o, iteration, 0, 1, train_loss, err)) == SILR_OK)
            share(o);
        return st;
    }
    for (size_t v = 0; v < o->n_variants && st == SILR_OK; v += room) {
        size_t left = o->n_variants - v;
        st = train_variants(o, iteration, v, left < room ? left : room, train_loss, err);
    }
    return st;
}

/* --- one model for all ------------------------------------------------------------------------ */

static silr_status train_single(silr_ours *o, int *label, int *set, silr_error *err)
{
    const silr_loop *l = o->loop;
    silr_train_opts opts = options(l, o->done + 1);
    silr_variant v = o->variant[0];
    silr_member m = {.set = set};
    char *checkpoint = NULL;
    double theta[SILR_MAX_CLASSES * SILR_MAX_CLASSES], pi[SILR_MAX_CLASSES];
    silr_status st = silr_loop_checkpoint(l, &opts, &checkpoint, err);

    if (st != SILR_OK)
        return st;
    v.label = label; /* only read */
    for (size_t d = 0; d < l->n; d++)
        set[d] = SILR_NO_LABEL;
    for (size_t i = 0; i < o->n_train; i++)
        if (silr_corpus_split(l->corpus, o->train[i]) == SILR_TRAIN)
            set[o->train[i]] = label[l->row_of[o->train[i]]];
    if ((st = purities(o, &v, 0, theta, pi, err)) == SILR_OK &&
        (st = silr_risk_init(&m.risk, l->task->refine.risk, l->task->refine.loss, l->K, theta, pi,
                             l->task->refine.lambda, err)) == SILR_OK)
        st = silr_train(l->classifier, &opts, 1, &m, o->train, o->n_train, NULL, 0, NULL, err);
    silr_free(checkpoint);
    return st;
}

silr_status silr_ours_single(silr_ours *o, int *label, float *z, silr_error *err)
{
    const silr_loop *l = o->loop;
    int *set = silr_alloc(l->n, sizeof *set);
    silr_status st = set ? train_single(o, label, set, err) : silr_fail_memory(err);

    for (size_t from = 0; from < l->n_rows && st == SILR_OK; from += BLOCK) {
        const size_t n = l->n_rows - from < BLOCK ? l->n_rows - from : BLOCK;
        st = silr_loop_forward(l, from, n, 1, o->fold, z + from * l->C, err);
        if (silr_cancelled() && st == SILR_OK)
            st = silr_fail(err, SILR_ECANCEL, "interrupted");
    }
    silr_free(set);
    return st;
}
