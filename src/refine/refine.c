/* refine.c - sets the loop up: texts in play, the labelled sample, the verdict on the start, the
 * classifier; then hands over to the recipe. */
#include "refine/labelfree.h"
#include "refine/loop.h"
#include <math.h>
#include <string.h>

static void loop_clear(silr_loop *l)
{
    silr_sample_clear(&l->sample);
    silr_free(l->initial);
    silr_free(l->sets);
    silr_free(l->odds);
    silr_free(l->human);
    silr_free(l->row);
    silr_free(l->row_of);
    silr_classifier_free(l->classifier);
}

/* Texts with something in them: the pool first, then test. */
static silr_status find_rows(silr_loop *l, silr_error *err)
{
    l->row = silr_alloc(l->n, sizeof *l->row);
    l->row_of = silr_alloc(l->n, sizeof *l->row_of);
    if (!l->row || !l->row_of)
        return silr_fail_memory(err);
    for (int part = 0; part < 2; part++) {
        for (size_t d = 0; d < l->n; d++) {
            bool test = silr_corpus_split(l->corpus, d) == SILR_TEST;
            if (part == 0)
                l->row_of[d] = UINT32_MAX;
            if (silr_corpus_empty(l->corpus, d) || test != (part == 1))
                continue;
            l->row_of[d] = (uint32_t)l->n_rows;
            l->row[l->n_rows++] = (uint32_t)d;
        }
        if (part == 0)
            l->n_pool = l->n_rows;
    }
    return l->n_pool > 0 ? SILR_OK
                         : silr_fail(err, SILR_EINPUT, "there are no texts to train on");
}

static silr_status find_sample(silr_loop *l, silr_error *err)
{
    bool present = false;
    size_t n = 0;
    silr_status st = silr_store_sample_get(l->store, &l->sample, &present, err);

    if (st == SILR_OK && !present) {
        st = silr_sample_draw(&l->sample, l->task, l->corpus, l->sets, NULL, err);
        if (st == SILR_OK)
            st = silr_store_sample(l->store, &l->sample, err);
    }
    if (st != SILR_OK)
        return st;
    if (!(l->human = silr_alloc(l->n, sizeof *l->human)))
        return silr_fail_memory(err);
    for (size_t d = 0; d < l->n; d++)
        l->human[d] = SILR_NO_LABEL;
    for (size_t i = 0; i < l->sample.n; i++) {
        uint32_t d = l->sample.doc[i];
        if (l->row_of[d] >= l->n_pool)
            continue; /* an empty text, or one of the test part: nothing to learn from it */
        l->sample.doc[n] = d;
        l->sample.truth[n] = l->sample.truth[i];
        l->sample.weight[n++] = l->sample.weight[i];
        l->human[d] = l->sample.truth[i];
    }
    l->sample.n = n;
    return SILR_OK;
}

/* theta and pi of the annotator's labels, by what the task offers. */
static silr_status start_priors(silr_loop *l, silr_error *err)
{
    silr_status st = SILR_OK;
    double counts[SILR_MAX_CLASSES], all = 0;
    int used = 0;
    int *label = silr_alloc(l->n_rows, sizeof *label),
        *pseudo = silr_alloc(l->sample.n, sizeof *pseudo);

    if (!label || !pseudo) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t r = 0; r < l->n_rows; r++)
        label[r] = l->initial[l->row[r]];
    silr_loop_counts(l, label, counts);
    for (int k = 0; k < l->K; k++) {
        all += counts[k];
        used += counts[k] > 0;
    }
    if (all == 0) {
        st = silr_fail(err, SILR_EDOMAIN,
                       "the annotator abstained on every text: nothing to refine");
        goto done;
    }
    if (used < 2 && !l->cut) {
        st = silr_fail(err, SILR_EDOMAIN,
                       "the annotator gave one label only: there is nothing to tell apart");
        goto done;
    }
    l->known = true;
    switch (l->task->labelled.kind) {
    case SILR_LABELLED_GIVEN:
        st = silr_priors_given(&l->start, l->task, counts, err);
        break;
    case SILR_LABELLED_ORACLE:
        silr_priors_oracle(&l->start, l->task, l->corpus, l->initial);
        break;
    case SILR_LABELLED_NONE:
        st = silr_label_free_priors(l, counts, err);
        break;
    default:
        l->known = false;
        for (size_t i = 0; i < l->sample.n; i++)
            pseudo[i] = l->initial[l->sample.doc[i]];
        silr_priors_drawn(&l->start, l->K, counts, l->sample.n, pseudo, l->sample.truth,
                          l->sample.weight);
    }
    if (st == SILR_OK)
        silr_priors_posterior(&l->start, (uint64_t)l->task->seed);
done:
    silr_free(label);
    silr_free(pseudo);
    return st;
}

static const char *verdict_name(silr_verdict v)
{
    static const char *const names[] = {"go", "warn", "refuse", "swap"};
    return names[v];
}

static void swap_classes(silr_loop *l)
{
    silr_priors was = l->start;
    for (size_t d = 0; d < l->n; d++)
        if (l->initial[d] != SILR_NO_LABEL)
            l->initial[d] = 1 - l->initial[d];
    for (int j = 0; j < 2; j++) {
        l->start.theta[j * 2] = was.theta[(1 - j) * 2];
        l->start.theta[j * 2 + 1] = was.theta[(1 - j) * 2 + 1];
        l->start.rho[j] = was.rho[1 - j];
        l->start.n_eff[j] = was.n_eff[1 - j];
        l->start.hits[j] = was.hits[1 - j];
    }
    silr_priors_posterior(&l->start, (uint64_t)l->task->seed); /* intervals turn round too */
}

/* What the verdict is on: the priors of the sets that the sample was drawn from. */
static silr_status judged_priors(silr_priors *out, const silr_loop *l, silr_error *err)
{
    double counts[SILR_MAX_CLASSES] = {0};
    int *set;

    *out = l->start;
    if (!l->cut || l->known)
        return SILR_OK;
    if (!(set = silr_alloc(l->sample.n, sizeof *set)))
        return silr_fail_memory(err);
    for (size_t r = 0; r < l->n_pool; r++)
        if (l->sets[l->row[r]] != SILR_NO_LABEL)
            counts[l->sets[l->row[r]]]++;
    for (size_t i = 0; i < l->sample.n; i++)
        set[i] = l->sets[l->sample.doc[i]];
    silr_priors_drawn(out, l->K, counts, l->sample.n, set, l->sample.truth, l->sample.weight);
    silr_priors_posterior(out, (uint64_t)l->task->seed);
    silr_free(set);
    return SILR_OK;
}

/* D1: is there enough signal? The answer is kept for the report. */
static silr_status judge_start(silr_loop *l, const silr_refine_opts *opts, silr_error *err)
{
    silr_buf advice = {0}, json = {0};
    silr_priors *p = silr_alloc(1, sizeof *p);
    silr_status st = p ? judged_priors(p, l, err) : silr_fail_memory(err);
    const char *text;
    silr_verdict v;

    if (st != SILR_OK) {
        silr_free(p);
        return st;
    }
    v = silr_priors_verdict(p, l->task->refine.recipe, &advice);
    text = advice.data ? advice.data : "";
    if (v == SILR_VERDICT_SWAP && l->K == 2)
        swap_classes(l);
    silr_buf_printf(&json, "{\"verdict\":\"%s\",\"p_d_positive\":", verdict_name(v));
    silr_buf_number(&json, p->p_d_positive, 6);
    silr_buf_puts(&json, ",\"p_d_margin\":");
    silr_buf_number(&json, p->p_d_margin, 6);
    silr_buf_printf(&json, ",\"forced\":%s,\"advice\":",
                    v == SILR_VERDICT_REFUSE && opts && opts->force ? "true" : "false");
    silr_buf_json(&json, text, strlen(text));
    silr_buf_putc(&json, '}');
    st = json.failed || advice.failed ? silr_fail_memory(err)
                                      : silr_store_set(l->store, "verdict", json.data, json.len, err);
    if (st == SILR_OK && v == SILR_VERDICT_REFUSE && !(opts && opts->force))
        st = silr_fail(err, SILR_EDOMAIN, "refused: %s", text);
    else if (st == SILR_OK && v != SILR_VERDICT_GO)
        silr_log(SILR_LOG_WARN, "%s", text);
    silr_buf_clear(&advice);
    silr_buf_clear(&json);
    silr_free(p);
    return st;
}

/* Iteration 0: the annotator's own labels, as they are known. */
static silr_status store_start(silr_loop *l, silr_error *err)
{
    silr_iteration it = {.iteration = 0, .priors = l->start, .train_loss = NAN,
                         .validation_loss = NAN, .accepted = true,
                         .estimated = {NAN, NAN, NAN}};
    silr_outcome o = {silr_alloc(l->n_rows, sizeof *o.label),
                      silr_alloc(l->n_rows * l->C, sizeof *o.prob)};
    int *stratum = silr_alloc(l->sample.n, sizeof *stratum),
        *right = silr_alloc(l->sample.n, sizeof *right);
    double *weight = silr_alloc(l->sample.n, sizeof *weight);
    size_t n = 0;
    silr_status st = SILR_OK;

    if (!o.label || !o.prob || !stratum || !right || !weight) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t r = 0; r < l->n_rows; r++) {
        int j = o.label[r] = l->initial[l->row[r]];
        for (size_t k = 0; k < l->C; k++)
            o.prob[r * l->C + k] =
                j == SILR_NO_LABEL ? NAN : (float)l->start.theta[(size_t)(j * l->K) + k];
    }
    for (size_t i = 0; i < l->sample.n; i++) {
        int j = l->initial[l->sample.doc[i]];
        if (j == SILR_NO_LABEL)
            continue;
        stratum[n] = j;
        weight[n] = l->sample.weight[i];
        right[n++] = j == l->sample.truth[i];
    }
    if (n > 0)
        silr_certificate(&it.estimated, n, stratum, right, weight, (size_t)l->K, l->start.rho,
                         (uint64_t)l->task->seed);
    else if (l->known) {
        double a = 0;
        for (int j = 0; j < l->K; j++)
            a += l->start.rho[j] * l->start.theta[j * l->K + j];
        it.estimated = (silr_interval){a, a, a};
        if (l->task->labelled.kind == SILR_LABELLED_NONE)
            it.estimated = (silr_interval){a, NAN, NAN};
    }
    st = silr_loop_store(l, &it, &o, NULL, NULL, err);
done:
    silr_free(o.label);
    silr_free(o.prob);
    silr_free(stratum);
    silr_free(right);
    silr_free(weight);
    return st;
}

static int iterations_for(const silr_loop *l)
{
    int T = (int)l->task->refine.iterations;
    if (l->task->refine.safe && !(l->start.p_d_positive >= 0.9))
        return 1; /* `safe`: go round again only where the sets are surely apart */
    if (l->task->labelled.kind == SILR_LABELLED_NONE && T > 2)
        return 2; /* B11: nobody can verify more */
    return T;
}

/* A changed encoder gives other features: what was refined with one is not gone on with by another. */
static silr_status check_identity(const silr_loop *l, silr_error *err)
{
    silr_sha256 now;
    silr_buf then = {0};
    size_t stored = 0;
    silr_status st;

    if ((st = silr_classifier_identity(&now, l->task, err)) != SILR_OK || now.hex[0] == '\0' ||
        (st = silr_store_get(l->store, "classifier.identity", &then, err)) != SILR_OK ||
        (st = silr_store_iterations(l->store, &stored, err)) != SILR_OK)
        goto done;
    if (then.len == 64 && memcmp(then.data, now.hex, 64) == 0)
        goto done;
    if (then.len > 0 && stored > 0)
        st = silr_fail(err, SILR_EINPUT,
                       "the run was begun with another encoder: the files of %s have changed since "
                       "(SHA-256 %.12s then, %.12s now); use another --out, or delete the folder",
                       l->task->classifier.model, then.data, now.hex);
    else
        st = silr_store_set(l->store, "classifier.identity", now.hex, 64, err);
done:
    silr_buf_clear(&then);
    return st;
}

static silr_status make_classifier(silr_loop *l, silr_error *err)
{
    char *run = silr_path_dir(l->classifier_dir);
    silr_status st = run ? check_identity(l, err) : silr_fail_memory(err);

    silr_progress("features", 0, 0);
    if (st == SILR_OK)
        st = silr_classifier_new(&l->classifier, l->task, l->corpus, run, err);
    silr_free(run);
    return st;
}

/* theta, pi and the verdict on them before the features, which may take hours; but for theta without
 * labels, which is estimated with the classifier. */
static silr_status prepare(silr_loop *l, const silr_refine_opts *opts, silr_error *err)
{
    const bool first = l->task->labelled.kind == SILR_LABELLED_NONE;
    silr_status st;

    if ((first && (st = make_classifier(l, err)) != SILR_OK) || (st = start_priors(l, err)) != SILR_OK ||
        (st = judge_start(l, opts, err)) != SILR_OK)
        return st;
    return first ? SILR_OK : make_classifier(l, err);
}

silr_status silr_refine(const silr_task *task, const silr_corpus *corpus, silr_store *store,
                        const char *classifier_dir, const silr_refine_opts *opts, silr_error *err)
{
    silr_loop l = {.task = task, .corpus = corpus, .store = store, .K = (int)task->n_classes,
                   .C = task->n_classes == 2 ? 1 : task->n_classes,
                   .n = silr_corpus_size(corpus), .classifier_dir = classifier_dir};
    size_t stored = 0;
    silr_status st;

    l.initial = silr_alloc(l.n, sizeof *l.initial);
    l.sets = silr_alloc(l.n, sizeof *l.sets);
    if (!l.initial || !l.sets) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_store_annotations(store, SILR_SOURCE_USED, l.n, l.initial, NULL, NULL, err)) != SILR_OK ||
        (st = find_rows(&l, err)) != SILR_OK || (st = silr_loop_evidence(&l, err)) != SILR_OK ||
        (st = find_sample(&l, err)) != SILR_OK)
        goto done;
    if ((st = prepare(&l, opts, err)) != SILR_OK)
        goto done;
    l.iterations = iterations_for(&l);
    if ((st = silr_store_iterations(store, &stored, err)) != SILR_OK)
        goto done;
    silr_progress("refining", stored > 0 ? stored - 1 : 0, (uint64_t)l.iterations);
    if (stored == 0 && (st = store_start(&l, err)) != SILR_OK)
        goto done;
    st = task->refine.recipe == SILR_RECIPE_PAPER ? silr_refine_paper(&l, err)
                                                  : silr_refine_ours(&l, err);
done:
    loop_clear(&l);
    return st;
}
