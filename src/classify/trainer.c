/* trainer.c - one training loop for all classifiers.
 *
 * A step: score the batch for all members; add up each member's losses over its pseudo-sets; gate
 * once (the correction f acts on the means, so it cannot act before all sums are there); turn the
 * gates into the derivative of each score; send those back through the classifier; move the
 * parameters. An epoch: all texts once, in an order drawn from (seed, iteration, epoch) that the
 * members share. In the end the epoch whose risk over the WHOLE validation part is smallest in
 * sum_k |R_k| stays (method.md B8; a mean of per-batch values is biased upwards).
 *
 * Members never meet: each has its sums, its gate and its columns of the scores. */
#include "classify/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More texts than this are not taken in one batch: successive chunks of CHUNK texts instead. */
enum { WHOLE = 32768, CHUNK = 16384 };

double silr_learning_rate(silr_lr_schedule s, double base, double warmup_ratio, int64_t total,
                          int64_t k)
{
    const int64_t warm = (int64_t)(warmup_ratio * (double)total);
    const double rest = (double)(total - warm > 1 ? total - warm : 1);

    if (k < warm)
        return base * (double)k / (double)warm;
    if (s == SILR_LR_LINEAR)
        return base * fmax(0, (double)(total - k) / rest);
    if (s == SILR_LR_COSINE)
        return base * fmax(0, 0.5 * (1 + cos(acos(-1.0) * (double)(k - warm) / rest)));
    return base;
}

/* --- state of one member in training --------------------------------------------------------- */

typedef struct {
    silr_risk_sums sums;
    silr_gated gated;
    silr_gate gate;
    int *set;         /* of the batch */
    float *weight;    /* of the batch; NULL: all 1 */
    double loss, flat; /* sums over the epoch's steps */
    double best;
    silr_train_log *log;
} learner;

typedef struct {
    silr_classifier *c;
    const silr_train_opts *o;
    const silr_member *member;
    size_t n;
    learner *learner;
    const uint32_t *docs, *validation;
    size_t n_docs, n_validation, batch;
    uint32_t *order;        /* n_docs */
    float *scores, *dscores; /* [batch][n * columns] */
    const uint32_t *loaded; /* the batch that sets and weights are of; NULL: none */
    size_t n_loaded;
    int epoch;              /* where it begins: 1, or where a checkpoint goes on */
    size_t at;              /* texts of that epoch that are done */
    silr_checkpoint *saved; /* NULL: none are made */
    size_t which;           /* the member, where they are trained one after another */
    silr_place now;         /* behind the last whole step, if `saved`: what a step that is broken off has
                               added to losses and averages is not in it */
} run;

static void run_clear(run *r)
{
    for (size_t m = 0; r->learner && m < r->n; m++) {
        silr_free(r->learner[m].set);
        silr_free(r->learner[m].weight);
    }
    silr_free(r->learner);
    silr_free(r->order);
    silr_free(r->scores);
    silr_free(r->dscores);
}

/* resumed: the logs have entries already. */
static bool run_init(run *r, silr_train_log *logs, size_t epochs, bool resumed)
{
    const size_t columns = (size_t)r->c->columns;

    r->learner = silr_calloc(r->n, sizeof *r->learner);
    r->order = silr_alloc(r->n_docs + 1, sizeof *r->order);
    r->scores = silr_alloc(r->batch + 1, r->n * columns * sizeof *r->scores);
    r->dscores = silr_alloc(r->batch + 1, r->n * columns * sizeof *r->dscores);
    if (!r->learner || !r->order || !r->scores || !r->dscores)
        return false;
    memcpy(r->order, r->docs, r->n_docs * sizeof *r->docs);
    for (size_t m = 0; m < r->n; m++) {
        learner *l = &r->learner[m];
        silr_gate_init(&l->gate, r->o->gate_decay);
        l->best = HUGE_VAL;
        if (!(l->set = silr_alloc(r->batch + 1, sizeof *l->set)))
            return false;
        if (r->member[m].weight && !(l->weight = silr_alloc(r->batch + 1, sizeof *l->weight)))
            return false;
        if (!logs)
            continue;
        l->log = &logs[m];
        if (!resumed && !l->log->epoch && !(l->log->epoch = silr_calloc(epochs, sizeof *l->log->epoch)))
            return false;
    }
    return true;
}

/* --- order of the texts ----------------------------------------------------------------------- */

/* Text i of a set of n gets the place (i + 1/2)/n; sorted by place, every stretch of the order
 * has about the same share of each set. */
typedef struct {
    double place;
    uint32_t doc, set;
} slot;

static int by_place(const void *pa, const void *pb)
{
    const slot *a = pa, *b = pb;

    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    if (a->set != b->set)
        return a->set < b->set ? -1 : 1;
    return a->doc < b->doc ? -1 : a->doc > b->doc;
}

static bool stratify(run *r)
{
    const int *set = r->member[0].set;
    const int sets = r->member[0].risk.sets;
    const size_t K = sets > 0 ? (size_t)sets : (size_t)r->c->K;
    size_t count[SILR_RISK_CLASSES + 1] = {0}, seen[SILR_RISK_CLASSES + 1] = {0};
    slot *s = silr_alloc(r->n_docs + 1, sizeof *s);

    if (!s)
        return false;
    for (size_t i = 0; i < r->n_docs; i++) {
        const int j = set[r->order[i]];
        s[i].doc = r->order[i];
        s[i].set = j < 0 || (size_t)j >= K ? (uint32_t)K : (uint32_t)j;
        count[s[i].set]++;
    }
    for (size_t i = 0; i < r->n_docs; i++)
        s[i].place = ((double)seen[s[i].set]++ + 0.5) / (double)count[s[i].set];
    qsort(s, r->n_docs, sizeof *s, by_place);
    for (size_t i = 0; i < r->n_docs; i++)
        r->order[i] = s[i].doc;
    silr_free(s);
    return true;
}

/* The order of one pass: the texts as given, shuffled, spread by set if asked. */
static bool shuffle(run *r, int pass)
{
    silr_rng rng;

    memcpy(r->order, r->docs, r->n_docs * sizeof *r->docs);
    silr_rng_init(&rng, r->o->seed, SILR_RNG_SHUFFLE, r->o->iteration, (uint64_t)pass);
    silr_rng_shuffle(&rng, r->order, r->n_docs);
    r->loaded = NULL;
    return !r->o->stratify || stratify(r);
}

/* --- one step --------------------------------------------------------------------------------- */

static void load(run *r, const uint32_t *docs, size_t n)
{
    if (r->loaded == docs && r->n_loaded == n)
        return;
    for (size_t m = 0; m < r->n; m++) {
        learner *l = &r->learner[m];
        for (size_t i = 0; i < n; i++)
            l->set[i] = r->member[m].set[docs[i]];
        for (size_t i = 0; l->weight && i < n; i++)
            l->weight[i] = r->member[m].weight[docs[i]];
    }
    r->loaded = docs;
    r->n_loaded = n;
}

/* Mean slope of the output over a member's texts: near 0 when it has run into saturation (D3). */
static double flatness(const run *r, size_t m, size_t n)
{
    const size_t columns = (size_t)r->c->columns, stride = r->n * columns;
    double sum = 0, count = 0, z[SILR_RISK_CLASSES], p[SILR_RISK_CLASSES], top;

    for (size_t i = 0; i < n; i++) {
        const float *s = r->scores + i * stride + m * columns;
        if (r->learner[m].set[i] == SILR_NO_LABEL)
            continue;
        if (columns == 1) {
            top = silr_sigmoid((double)s[0]);
        } else {
            for (size_t k = 0; k < columns; k++)
                z[k] = (double)s[k];
            silr_softmax(p, z, columns);
            top = p[0];
            for (size_t k = 1; k < columns; k++)
                top = fmax(top, p[k]);
        }
        sum += top * (1 - top);
        count++;
    }
    return count > 0 ? sum / count : 0;
}

/* SILR_EDOMAIN where a score is no finite number: says of which texts. */
static silr_status check_scores(const run *r, const uint32_t *docs, size_t n, silr_error *err)
{
    const size_t stride = r->n * (size_t)r->c->columns;
    silr_buf which = {0};
    size_t bad = 0;
    silr_status st = SILR_OK;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < stride; k++)
            if (!isfinite(r->scores[i * stride + k])) {
                if (bad++ < 5)
                    silr_buf_printf(&which, "%s%zu", bad > 1 ? ", " : "", (size_t)docs[i] + 1);
                break;
            }
    if (bad > 0)
        st = silr_fail(err, SILR_EDOMAIN, "the score of %zu texts of a batch is not a finite number "
                       "(by their place in the corpus: %s%s): lower refine.learning_rate", bad,
                       which.failed || !which.data ? "?" : which.data, bad > 5 ? ", ..." : "");
    silr_buf_clear(&which);
    return st;
}

static silr_status take_step(run *r, const uint32_t *docs, size_t n, double lr, bool last,
                             silr_error *err)
{
    const size_t columns = (size_t)r->c->columns, stride = r->n * columns;
    silr_status st;

    load(r, docs, n);
    r->c->training = true;
    st = r->c->forward(r->c, docs, n, r->scores, err);
    r->c->training = false;
    if (st != SILR_OK || (r->c->focus && (st = check_scores(r, docs, n, err)) != SILR_OK))
        return st;
#pragma omp parallel for schedule(static) if (r->n > 1 && n * r->n > 1000)
    for (size_t m = 0; m < r->n; m++) {
        learner *l = &r->learner[m];
        const silr_risk *risk = &r->member[m].risk;
        silr_gate *gate = r->o->gate == SILR_GATE_AVERAGE ? &l->gate : NULL;
        silr_risk_sums_clear(&l->sums);
        silr_risk_add(risk, &l->sums, n, r->scores + m * columns, stride, l->set, l->weight);
        silr_risk_gate(risk, &l->sums, gate, &l->gated);
        silr_risk_backward(risk, &l->gated, n, r->scores + m * columns, stride, l->set, l->weight,
                           r->dscores + m * columns);
        l->loss += l->gated.value;
        if (last)
            l->flat = flatness(r, m, n);
    }
    r->c->training = true;
    st = r->c->backward(r->c, docs, n, r->dscores, err);
    r->c->training = false;
    return st == SILR_OK ? r->c->step(r->c, lr, err) : st;
}

/* --- epochs ----------------------------------------------------------------------------------- */

/* Of kinds that look: parameters that are no numbers are not to be kept, nor taken for the best. */
static silr_status check_params(const run *r, int epoch, silr_error *err)
{
    for (size_t i = 0; r->c->focus && i < r->c->n_params; i++)
        if (!isfinite(r->c->params[i]))
            return silr_fail(err, SILR_EDOMAIN, "a parameter is not a finite number behind epoch %d: lower "
                             "refine.learning_rate", epoch);
    return SILR_OK;
}

/* The risk over the whole validation part: summed chunk by chunk, gated once, without averages. */
static silr_status validate(run *r, silr_error *err)
{
    const size_t columns = (size_t)r->c->columns, stride = r->n * columns;
    silr_status st;

    for (size_t m = 0; m < r->n; m++)
        silr_risk_sums_clear(&r->learner[m].sums);
    for (size_t at = 0; at < r->n_validation; at += r->batch) {
        const size_t left = r->n_validation - at, n = left < r->batch ? left : r->batch;
        const uint32_t *docs = r->validation + at;
        if ((st = r->c->forward(r->c, docs, n, r->scores, err)) != SILR_OK ||
            (r->c->focus && (st = check_scores(r, docs, n, err)) != SILR_OK))
            return st;
        for (size_t m = 0; m < r->n; m++) {
            learner *l = &r->learner[m];
            for (size_t i = 0; i < n; i++)
                l->set[i] = r->member[m].validation ? r->member[m].validation[docs[i]]
                                                    : SILR_NO_LABEL;
            silr_risk_add(&r->member[m].risk, &l->sums, n, r->scores + m * columns, stride, l->set,
                          NULL);
        }
    }
    r->loaded = NULL;
    return SILR_OK;
}

static silr_status end_epoch(run *r, int epoch, int steps, silr_error *err)
{
    const bool validated = r->n_validation > 0;
    silr_status st;

    if ((st = check_params(r, epoch, err)) != SILR_OK || (validated && (st = validate(r, err)) != SILR_OK))
        return st;
    for (size_t m = 0; m < r->n; m++) {
        learner *l = &r->learner[m];
        silr_epoch e = {.epoch = epoch, .train_loss = l->loss / steps, .validation_loss = NAN,
                        .selection = NAN, .flatness = l->flat};
        double merit;
        if (validated && r->member[m].validation) {
            silr_risk_gate(&r->member[m].risk, &l->sums, NULL, &l->gated);
            e.validation_loss = l->gated.value;
            e.selection = l->gated.selection;
        }
        if (!isfinite(e.train_loss) || !isfinite(e.flatness))
            return silr_fail(err, SILR_EDOMAIN,
                             "the training loss is not a finite number in epoch %d: lower "
                             "refine.learning_rate", epoch);
        l->loss = 0;
        if (l->log) {
            l->log->epoch[epoch - 1] = e;
            l->log->n = epoch;
        }
        /* ties go to the later epoch; without a validation part the last one stays */
        merit = r->o->by_risk ? e.validation_loss : e.selection;
        if (r->o->choose && !isnan(merit) && merit > l->best)
            continue;
        if (!isnan(merit))
            l->best = merit;
        if (l->log)
            l->log->best = epoch;
        if ((r->o->choose || r->c->focus) && r->o->steps <= 0 &&
            (st = r->c->snapshot(r->c, m, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

static silr_status check_cancel(silr_error *err)
{
    return silr_cancelled() ? silr_fail(err, SILR_ECANCEL, "stopped in training") : SILR_OK;
}

/* Training has come so far: remembered, and written down when it is time. */
static silr_status note_place(run *r, int epoch, size_t at, silr_error *err)
{
    learner *l = &r->learner[0];
    silr_place p = {.member = r->which, .epoch = epoch, .at = at, .loss = l->loss, .flat = l->flat,
                    .best = l->best, .gate = l->gate};

    r->now = p;
    return silr_checkpoint_save(r->saved, r->c, &r->now, false, err);
}

static silr_status one_epoch(run *r, int epoch, int64_t per, silr_error *err)
{
    const int64_t total = per * r->o->epochs;
    silr_status st;

    for (size_t at = epoch == r->epoch ? r->at : 0; at < r->n_docs; at += r->batch) {
        const size_t left = r->n_docs - at, n = left < r->batch ? left : r->batch;
        const int64_t k = (epoch - 1) * per + (int64_t)(at / r->batch);
        const double lr = silr_learning_rate(r->o->schedule, r->o->learning_rate, r->o->warmup,
                                             total, k);
        if ((st = check_cancel(err)) != SILR_OK ||
            (st = take_step(r, r->order + at, n, lr, left <= r->batch, err)) != SILR_OK)
            return st;
        if (r->c->focus)
            silr_progress("training", (uint64_t)k + 1, (uint64_t)total);
        if (r->saved && (st = note_place(r, epoch, at + n, err)) != SILR_OK)
            return st;
    }
    return end_epoch(r, epoch, (int)per, err);
}

static silr_status run_epochs(run *r, silr_error *err)
{
    const int64_t per = (int64_t)((r->n_docs + r->batch - 1) / r->batch);
    bool back = r->o->choose;
    silr_error mine;

    for (int epoch = r->epoch; epoch <= r->o->epochs; epoch++) {
        silr_status st;
        if (r->batch < r->n_docs && !shuffle(r, epoch))
            return silr_fail_memory(err);
        st = one_epoch(r, epoch, per, &mine);
        if (st == SILR_EDOMAIN && r->c->focus && epoch > 1) {
            silr_log(SILR_LOG_WARN, "%s; training ends with epoch %d, as it was before", mine.text, epoch - 1);
            back = true;
            break;
        }
        if (st == SILR_OK && r->saved && epoch < r->o->epochs)
            st = note_place(r, epoch + 1, 0, &mine);
        if (st == SILR_ECANCEL && r->saved) {
            silr_error ignored; /* that it was stopped is what counts */
            (void)silr_checkpoint_save(r->saved, r->c, &r->now, true, &ignored);
        }
        if (st != SILR_OK) {
            if (err)
                *err = mine;
            return st;
        }
    }
    for (size_t m = 0; back && m < r->n; m++) {
        const silr_status st = r->c->restore(r->c, m, err);
        if (st != SILR_OK)
            return st;
    }
    return SILR_OK;
}

/* A number of steps: with everything each time, or with one chunk after another. */
static silr_status run_steps(run *r, silr_error *err)
{
    const int steps = r->o->steps;
    size_t at = r->n_docs; /* behind the end: shuffle first */
    silr_status st;
    int pass = 0;

    for (int k = 0; k < steps; k++) {
        const double lr = silr_learning_rate(r->o->schedule, r->o->learning_rate, r->o->warmup,
                                             steps, k);
        if (r->batch >= r->n_docs)
            at = 0;
        else if (at + r->batch > r->n_docs) { /* the odd rest of a pass is left out */
            if (!shuffle(r, ++pass))
                return silr_fail_memory(err);
            at = 0;
        }
        if ((st = check_cancel(err)) != SILR_OK ||
            (st = take_step(r, r->order + at, r->batch, lr, k + 1 == steps, err)) != SILR_OK)
            return st;
        at += r->batch;
    }
    return end_epoch(r, 1, steps, err);
}

/* --- the door --------------------------------------------------------------------------------- */

/* Makes room, goes through the texts. from: where a checkpoint goes on; NULL: from the beginning. */
static silr_status go(run *r, silr_train_log *logs, const silr_place *from, silr_error *err)
{
    const silr_train_opts *o = r->o;
    silr_status st;

    r->batch = o->batch ? o->batch : r->n_docs > WHOLE ? CHUNK : r->n_docs;
    if (r->batch > r->n_docs)
        r->batch = r->n_docs;
    r->epoch = 1;
    r->at = 0;
    if (!run_init(r, logs, o->steps > 0 ? 1 : (size_t)o->epochs, from != NULL)) {
        st = silr_fail_memory(err);
    } else {
        learner *l = &r->learner[0];
        if (from) {
            l->loss = from->loss, l->flat = from->flat, l->best = from->best, l->gate = from->gate;
            r->epoch = from->epoch;
            r->at = from->at;
        }
        r->now = (silr_place){r->which, r->epoch, r->at, l->loss, l->flat, l->best, l->gate};
        st = o->steps > 0 ? run_steps(r, err) : run_epochs(r, err);
    }
    run_clear(r);
    return st;
}

/* Those of n documents that a member learns from. */
static size_t own_texts(const silr_member *m, const uint32_t *docs, size_t n, uint32_t *out)
{
    size_t own = 0;

    for (size_t i = 0; i < n; i++)
        if (m->set[docs[i]] != SILR_NO_LABEL)
            out[own++] = docs[i];
    return own;
}

/* One after another, each on its own texts. */
static silr_status train_one_by_one(const run *all, silr_train_log *logs, silr_error *err)
{
    silr_classifier *c = all->c;
    uint32_t *docs = silr_alloc(all->n_docs + 1, sizeof *docs);
    const silr_train_texts texts = {all->docs, all->validation, all->n_docs, all->n_validation};
    silr_checkpoint saved = {0};
    silr_place place = {0};
    bool found = false;
    silr_status st = docs ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK)
        st = silr_checkpoint_open(&saved, all->o, c, all->member, all->n, &texts, logs, &place, &found, err);
    for (size_t m = found ? place.member : 0; st == SILR_OK && m < all->n; m++) {
        run r = *all;
        r.member = all->member + m;
        r.n = 1;
        r.which = m;
        r.n_docs = own_texts(r.member, all->docs, all->n_docs, docs);
        r.docs = docs;
        r.saved = saved.path ? &saved : NULL;
        if (r.n_docs == 0) {
            st = silr_fail(err, SILR_EDOMAIN, "there is no text to train on");
            break;
        }
        if ((st = c->focus(c, m, err)) == SILR_OK)
            st = go(&r, logs ? logs + m : NULL, found && m == place.member ? &place : NULL, err);
    }
    if (c->focus(c, SILR_ALL_MEMBERS, st == SILR_OK ? err : NULL) != SILR_OK && st == SILR_OK)
        st = SILR_ENOMEM;
    silr_checkpoint_close(&saved, st == SILR_OK);
    silr_free(docs);
    return st;
}

static silr_status train_group(run *r, silr_train_log *logs, silr_error *err)
{
    const uint64_t what[2] = {r->o->seed, r->o->iteration};
    /* kinds that draw much (first values, dropout) draw anew in each iteration */
    const uint64_t seed = r->c->focus ? silr_hash64(what, sizeof what, SILR_RNG_INIT) : r->o->seed;
    const silr_status st = r->c->reset(r->c, &r->o->adam, seed, r->n, err);

    if (st != SILR_OK)
        return st;
    return r->c->focus ? train_one_by_one(r, logs, err) : go(r, logs, NULL, err);
}

silr_status silr_train(silr_classifier *c, const silr_train_opts *o, size_t n,
                       const silr_member *members, const uint32_t *docs, size_t n_docs,
                       const uint32_t *validation, size_t n_validation, silr_train_log *logs,
                       silr_error *err)
{
    silr_status st = SILR_OK;

    SILR_ASSERT(n > 0 && (o->steps > 0 || o->epochs > 0));
    if (n_docs == 0)
        return silr_fail(err, SILR_EDOMAIN, "there is no text to train on");
    if (logs)
        memset(logs, 0, n * sizeof *logs);
    for (size_t at = 0; at < n && st == SILR_OK; at += c->max_members) {
        const size_t left = n - at;
        run r = {.c = c, .o = o, .member = members + at,
                 .n = left < c->max_members ? left : c->max_members, .docs = docs,
                 .n_docs = n_docs, .validation = validation, .n_validation = n_validation};
        st = train_group(&r, logs ? logs + at : NULL, err);
    }
    for (size_t m = 0; logs && st != SILR_OK && m < n; m++) {
        silr_free(logs[m].epoch);
        logs[m] = (silr_train_log){0};
    }
    return st;
}
