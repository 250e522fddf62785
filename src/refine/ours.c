/* ours.c - recipe silr (method.md B12): cross-fitted robust UU as the scorer, the annotator's
 * original label as prior, a margin before a label is flipped, and an honest account of the result.
 *
 *   for t = 1..T:   cross.c   scores of every text by models that did not see it, averaged over t
 *                   fuse.c    calibrate, stack with the original label, relabel
 *                   guard     on labelled texts that the variant at hand never learned from
 *   then            labels, certificate, sensitivity, one linear classifier for new texts
 *
 * Everything runs 1 + J times side by side (ours.h), which is what makes the account honest. */
#include "refine/ours.h"
#include "refine/finish.h"
#include <math.h>
#include <string.h>

static void ours_clear(silr_ours *o)
{
    for (size_t v = 0; o->variant && v < o->n_variants; v++) {
        silr_variant *x = &o->variant[v];
        silr_free(x->learns);
        silr_free(x->cut);
        silr_free(x->label);
        silr_free(x->zbar);
        silr_free(x->q);
        silr_free(x->out);
        silr_stack_free(x->stack);
    }
    silr_free(o->variant);
    silr_free(o->fold);
    silr_free(o->label_fold);
    silr_free(o->train);
    silr_free(o->covered);
    silr_free(o->side);
}

static silr_status make_variants(silr_ours *o, silr_error *err)
{
    const silr_loop *l = o->loop;
    silr_status st = SILR_OK;

    if (!(o->variant = silr_calloc(o->n_variants, sizeof *o->variant)))
        return silr_fail_memory(err);
    for (size_t v = 0; v < o->n_variants && st == SILR_OK; v++) {
        silr_variant *x = &o->variant[v];
        x->learns = silr_calloc(l->sample.n, sizeof *x->learns);
        x->label = silr_alloc(l->n_rows, sizeof *x->label);
        x->out = silr_alloc(l->n_rows, sizeof *x->out);
        x->zbar = silr_calloc(l->n_rows * l->C, sizeof *x->zbar);
        x->q = silr_calloc(l->n_rows * l->C, sizeof *x->q);
        if (!x->learns || !x->label || !x->out || !x->zbar || !x->q)
            return silr_fail_memory(err);
        for (size_t i = 0; i < l->sample.n; i++)
            x->learns[i] = v == 0 || o->label_fold[i] != v - 1;
        if ((st = silr_ours_sides(o, x, err)) != SILR_OK)
            return st;
        for (size_t r = 0; r < l->n_rows; r++)
            x->label[r] = x->out[r] = r < l->n_pool ? x->side[r] : SILR_NO_LABEL;
        st = silr_ours_start(o, x, err);
    }
    return st;
}

static silr_status set_up(silr_ours *o, silr_loop *l, silr_error *err)
{
    silr_status st;

    *o = (silr_ours){.loop = l, .F = (int)l->task->refine.folds,
                     .recalibrated = {NAN, NAN, NAN}};
    o->J = (int)l->task->refine.label_folds;
    if (l->sample.n < (size_t)o->J)
        o->J = (int)l->sample.n;
    if (o->J < 2)
        o->J = 0;
    o->n_variants = 1 + (size_t)o->J;
    o->fold = silr_alloc(l->n_rows, 1);
    o->label_fold = silr_calloc(l->sample.n, 1);
    o->train = silr_alloc(l->n_pool, sizeof *o->train);
    o->covered = silr_alloc(l->n_pool, sizeof *o->covered);
    o->side = silr_alloc(l->n_rows, sizeof *o->side);
    if (!o->fold || !o->label_fold || !o->train || !o->covered || !o->side)
        return silr_fail_memory(err);
    for (uint32_t r = 0; r < l->n_rows; r++) {
        uint32_t d = l->row[r];
        o->side[r] = l->initial[d];
        if (r >= l->n_pool)
            continue;
        if (o->side[r] != SILR_NO_LABEL)
            o->covered[o->n_covered++] = r;
        if (o->side[r] != SILR_NO_LABEL || l->human[d] != SILR_NO_LABEL)
            o->train[o->n_train++] = d;
    }
    if ((st = silr_ours_folds(o, err)) != SILR_OK || (st = make_variants(o, err)) != SILR_OK)
        return st;
    return silr_ours_recalibrated(o, err);
}

/* Variants are independent of one another; each is the same whoever works it out. */
static silr_status fuse_all(silr_ours *o, silr_error *err)
{
    silr_status worst = SILR_OK;

#pragma omp parallel for schedule(dynamic)
    for (size_t v = 0; v < o->n_variants; v++) {
        silr_error mine;
        silr_status st = silr_ours_fuse(o, &o->variant[v], &mine);
        if (st != SILR_OK) {
#pragma omp critical(silr_fuse)
            {
                worst = st;
                if (err)
                    *err = mine;
            }
        }
    }
    return worst;
}

static void reject(silr_iteration *it, const char *why)
{
    it->accepted = false;
    snprintf(it->note, sizeof it->note, "rejected: %s", why);
}

/* D2: the share of a class has left the 99 % interval of pi and the labels are farther from it than
 * those that were started from; or (two classes) nearly all labels became one. */
static void judge_collapse(const silr_ours *o, silr_iteration *it)
{
    const silr_loop *l = o->loop;
    const silr_priors *p = &l->start;
    const double wider = 2.576 / 1.960; /* from the 95 % interval */
    double share[SILR_MAX_CLASSES] = {0}, before[SILR_MAX_CLASSES] = {0};
    char why[200];

    for (size_t i = 0; i < o->n_covered; i++) {
        share[o->variant[0].out[o->covered[i]]] += 1 / (double)o->n_covered;
        before[o->variant[0].side[o->covered[i]]] += 1 / (double)o->n_covered;
    }
    for (int k = 0; k < l->K; k++) {
        double low = p->pi[k] - wider * (p->pi[k] - p->pi_low[k]),
               high = p->pi[k] + wider * (p->pi_high[k] - p->pi[k]);
        bool left = !l->known && (share[k] < low || share[k] > high) &&
                    fabs(share[k] - p->pi[k]) > fabs(before[k] - p->pi[k]);
        bool empty = l->K == 2 && share[k] < 0.01 && before[k] >= 0.01;
        if (!left && !empty)
            continue;
        snprintf(why, sizeof why, "%.1f %% of the labels became \"%.60s\", of the texts %.1f %% are",
                 share[k] * 100, l->task->classes[k], p->pi[k] * 100);
        reject(it, why);
    }
}

/* D8: the estimate has fallen by more than one standard deviation, twice running. */
static silr_status judge_fall(const silr_ours *o, silr_iteration *it, silr_error *err)
{
    silr_iteration *was = silr_alloc(2, sizeof *was);
    silr_status st = was ? SILR_OK : silr_fail_memory(err);
    double sd = (it->estimated.high - it->estimated.low) / (2 * 1.96);

    for (int i = 0; i < 2 && it->iteration >= 2 && st == SILR_OK; i++)
        st = silr_store_iteration_get(o->loop->store, it->iteration - 1 - i, &was[i], 0, NULL, NULL,
                                      err);
    if (st == SILR_OK && it->iteration == 2 && !isnan(o->recalibrated.value))
        was[1].estimated = o->recalibrated; /* that is what iteration 1 began with */
    if (st == SILR_OK && it->iteration >= 2 &&
        it->estimated.value < was[0].estimated.value - sd &&
        was[0].estimated.value < was[1].estimated.value - sd)
        reject(it, "the estimated accuracy fell twice running");
    silr_free(was);
    return st;
}

/* The guards on an iteration: D2, D8, and B11's paired test on labelled texts, each judged by the
 * variant that never learned from it. */
static silr_status judge(const silr_ours *o, silr_iteration *it, const silr_account *a,
                         silr_error *err)
{
    char why[120];

    it->accepted = true;
    judge_collapse(o, it);
    if (a->n > 0 && a->gain < -a->gain_se) {
        snprintf(why, sizeof why,
                 "on labelled texts the changes did more harm than good (%+.3f, standard error %.3f)",
                 a->gain, a->gain_se);
        reject(it, why);
    }
    return judge_fall(o, it, err);
}

static silr_status record(silr_ours *o, int t, double train_loss, double seconds,
                          const int *before, silr_error *err)
{
    silr_loop *l = o->loop;
    silr_iteration it = {.iteration = t, .train_loss = train_loss, .validation_loss = NAN,
                         .best_epoch = 0, .seconds = seconds};
    silr_account a;
    silr_outcome out = {0};
    silr_status st = silr_ours_outcome(o, &out, err);

    if (st == SILR_OK)
        st = silr_ours_account(o, &a, &it, err);
    if (st == SILR_OK)
        st = judge(o, &it, &a, err);
    if (st == SILR_OK) {
        for (size_t i = 0; i < o->n_covered; i++)
            it.flips += before[o->covered[i]] != o->variant[0].out[o->covered[i]];
        st = silr_loop_store(l, &it, &out, silr_ours_save, o, err);
    }
    silr_free(out.label);
    silr_free(out.prob);
    return st;
}

/* Too few labels changed for another iteration to be worth it. */
static bool settled(const silr_ours *o, int64_t flips)
{
    return (double)flips < o->loop->task->refine.stop_flips * (double)o->n_covered;
}

/* Whether the newest stored iteration was the last: an unbroken run stopped there as well. */
static silr_status settled_before(const silr_ours *o, bool *stop, silr_error *err)
{
    silr_iteration *it = silr_alloc(1, sizeof *it);
    silr_status st = it ? silr_store_iteration_get(o->loop->store, o->done, it, 0, NULL, NULL, err)
                        : silr_fail_memory(err);

    *stop = st == SILR_OK && settled(o, it->flips);
    silr_free(it);
    return st;
}

silr_status silr_refine_ours(silr_loop *l, silr_error *err)
{
    silr_ours o;
    int *before = NULL;
    bool fused = false, stop = false;
    silr_status st = set_up(&o, l, err);

    if (st != SILR_OK || (st = silr_ours_load(&o, err)) != SILR_OK ||
        (o.done > 0 && (st = settled_before(&o, &stop, err)) != SILR_OK))
        goto done;
    if (!(before = silr_alloc(l->n_rows, sizeof *before))) {
        st = silr_fail_memory(err);
        goto done;
    }
    while (o.done < l->iterations && !stop) {
        double begun = silr_now(), loss;
        int64_t flips = 0;
        if (o.done > 0 && !fused && (st = fuse_all(&o, err)) != SILR_OK)
            goto done; /* resumed: the labels before this iteration, to count what it changes */
        memcpy(before, o.variant[0].out, l->n_rows * sizeof *before);
        if ((st = silr_ours_train(&o, o.done + 1, &loss, err)) != SILR_OK ||
            (st = fuse_all(&o, err)) != SILR_OK)
            goto done;
        fused = true;
        o.done++;
        if ((st = record(&o, o.done, loss, silr_now() - begun, before, err)) != SILR_OK)
            goto done;
        for (size_t i = 0; i < o.n_covered; i++)
            flips += before[o.covered[i]] != o.variant[0].out[o.covered[i]];
        silr_progress("refining", (uint64_t)o.done, (uint64_t)l->iterations);
        stop = settled(&o, flips);
    }
    if (o.done > 0 && !fused)
        st = fuse_all(&o, err);
    if (st == SILR_OK)
        st = silr_ours_finish(&o, err);
done:
    silr_free(before);
    ours_clear(&o);
    return st;
}
