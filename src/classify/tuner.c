#include "classify/tuner.h"

#include <string.h>

/* --- making one ---------------------------------------------------------------------------------- */

/* Biases and norms (whose weights are one row) are not pulled towards 0, as everywhere. */
static bool decays(const silr_tuned *p)
{
    return p->what != SILR_TUNED_BIAS && (p->rows > 1 || p->part == SILR_PARTS || p->what != SILR_TUNED_WEIGHT);
}

static silr_status make_ranges(silr_tuner *t, silr_error *err)
{
    const silr_tuned *p = silr_tune_table(t->scorer.tune, &t->n_ranges);

    if (!(t->range = silr_calloc(t->n_ranges, sizeof *t->range)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < t->n_ranges; i++)
        t->range[i] = (silr_adamw_range){p[i].offset, p[i].rows * p[i].columns, decays(&p[i]), 0};
    return SILR_OK;
}

silr_status silr_tuner_open(silr_tuner *t, const char *path, const silr_scorer_opts *o, silr_error *err)
{
    silr_scorer_opts mine = *o;
    silr_status st;

    *t = (silr_tuner){0};
    mine.tune.train = true;
    if ((st = silr_scorer_open(&t->scorer, path, &mine, err)) == SILR_OK)
        st = make_ranges(t, err);
    if (st != SILR_OK) {
        silr_tuner_clear(t);
        return st;
    }
    t->params = silr_tune_params(t->scorer.tune, &t->n_params);
    t->grad = silr_tune_gradient(t->scorer.tune);
    return SILR_OK;
}

void silr_tuner_clear(silr_tuner *t)
{
    silr_scorer_clear(&t->scorer);
    silr_free(t->m);
    silr_free(t->v);
    silr_free(t->range);
    *t = (silr_tuner){0};
}

/* --- forward and back ----------------------------------------------------------------------------- */

silr_status silr_tuner_forward(silr_tuner *t, const silr_tune_batch *b, bool training, float *scores,
                               silr_error *err)
{
    silr_tune *tune = t->scorer.tune;
    const bool keep = training && b->n > 0 && silr_tune_fits(tune, b->start, b->n) == b->n;
    const silr_status st = keep ? silr_tune_forward(tune, b, scores, err)
                                : silr_tune_scores(tune, b, scores, err);

    t->held = keep && st == SILR_OK;
    return st;
}

/* n texts of the batch, from text `first`. */
static silr_tune_batch part_of(const silr_tune_batch *b, size_t first, size_t n)
{
    return (silr_tune_batch){.ids = b->ids, .start = b->start + first, .n = n,
                             .number = b->number ? b->number + first : NULL, .key = b->key};
}

/* Each part forward again and back; one whose texts count for nothing is left out. */
static silr_status back_in_parts(silr_tuner *t, const silr_tune_batch *b, const float *dscores,
                                 silr_error *err)
{
    silr_tune *tune = t->scorer.tune;
    const size_t columns = t->scorer.columns;
    float *again = silr_alloc(b->n + 1, columns * sizeof *again);
    silr_status st = again ? SILR_OK : silr_fail_memory(err);

    for (size_t at = 0, n; at < b->n && st == SILR_OK; at += n) {
        bool counts = false;
        n = silr_tune_fits(tune, b->start + at, b->n - at);
        for (size_t i = at * columns; i < (at + n) * columns; i++)
            counts = counts || dscores[i] < 0 || dscores[i] > 0;
        const silr_tune_batch part = part_of(b, at, n);
        if (counts && (st = silr_tune_forward(tune, &part, again, err)) == SILR_OK)
            st = silr_tune_backward(tune, dscores + at * columns, err);
    }
    silr_free(again);
    return st;
}

silr_status silr_tuner_backward(silr_tuner *t, const silr_tune_batch *b, const float *dscores,
                                silr_error *err)
{
    const bool held = t->held;

    t->held = false;
    return held ? silr_tune_backward(t->scorer.tune, dscores, err) : back_in_parts(t, b, dscores, err);
}

/* --- a step ---------------------------------------------------------------------------------------- */

silr_status silr_tuner_moments(silr_tuner *t, silr_error *err)
{
    if (t->m)
        return SILR_OK;
    if ((t->m = silr_alloc_aligned(t->n_params, sizeof *t->m)) &&
        (t->v = silr_alloc_aligned(t->n_params, sizeof *t->v)))
        return SILR_OK;
    silr_free(t->m);
    t->m = NULL;
    return silr_fail_memory(err);
}

void silr_tuner_drop_gradient(silr_tuner *t)
{
    t->held = false;
    memset(t->grad, 0, t->n_params * sizeof *t->grad);
}

silr_status silr_tuner_step(silr_tuner *t, const silr_adam *adam, double lr, uint64_t k, silr_error *err)
{
    silr_status st = silr_tuner_moments(t, err);
    double norm;

    if (st == SILR_OK && k == 0) {
        memset(t->m, 0, t->n_params * sizeof *t->m);
        memset(t->v, 0, t->n_params * sizeof *t->v);
    }
    for (size_t i = 0; i < t->n_ranges; i++)
        t->range[i].l2 = t->range[i].decay ? adam->l2 : 0;
    const silr_adamw_block block = {.params = t->params, .grad = t->grad, .m = t->m, .v = t->v};
    if (st == SILR_OK &&
        !silr_adamw_step(&block, t->range, t->n_ranges, adam, lr, k + 1, adam->clip, &norm))
        st = silr_fail(err, SILR_EDOMAIN, "the gradient is not finite: lower refine.learning_rate");
    if (st != SILR_OK)
        silr_tuner_drop_gradient(t);
    return st;
}
