/* facts.c - what happened, read once: from the store, the corpus and, to measure, the truth.
 *
 * Every renderer of this folder works on silr_facts alone. The truth comes in by one function,
 * silr_scores_make of priors/, and leaves only as counts: measured, never used. */
#include "report/inside.h"

#include <math.h>

void silr_measured_clear(silr_measured *m)
{
    silr_free(m->scores);
    *m = (silr_measured){0};
}

void silr_facts_clear(silr_facts *f)
{
    for (size_t i = 0; i < f->n_accounts; i++) {
        silr_measured_clear(&f->account[i].label);
        silr_measured_clear(&f->account[i].test);
    }
    silr_measured_clear(&f->label);
    silr_measured_clear(&f->test);
    silr_recalibrated_clear(&f->recalibrated);
    silr_free(f->account);
    silr_free(f->pool);
    silr_free(f->test_docs);
    silr_free(f->initial);
    silr_free(f->final);
    silr_free(f->prob);
    silr_free(f->known);
    silr_annotators_clear(&f->annotators);
    silr_buf_clear(&f->start);
    silr_buf_clear(&f->end);
    silr_buf_clear(&f->command);
    silr_buf_clear(&f->verdict);
    silr_buf_clear(&f->advice);
    silr_buf_clear(&f->sensitivity);
    *f = (silr_facts){0};
}

silr_status silr_measure(silr_measured *m, const silr_facts *f, const uint32_t *docs, size_t n,
                         const int *label, silr_error *err)
{
    *m = (silr_measured){.documents = n};
    for (size_t i = 0; i < n; i++)
        m->labelled += label[docs[i]] != SILR_NO_LABEL;
    if (silr_corpus_info(f->corpus)->truths == 0)
        return SILR_OK;
    m->scores = silr_calloc(1, sizeof *m->scores);
    if (!m->scores)
        return silr_fail_memory(err);
    silr_scores_make(m->scores, f->corpus, f->K, docs, n, label, false);
    m->present = m->scores->n > 0;
    if (!m->present)
        silr_measured_clear(m);
    return SILR_OK;
}

double silr_facts_score(const silr_facts *f, size_t doc)
{
    int k = f->final[doc];
    return k == SILR_NO_LABEL ? (double)NAN : (double)f->prob[doc * (size_t)f->K + (size_t)k];
}

silr_interval silr_facts_theta(const silr_priors *p, int j)
{
    silr_interval v;
    if (p->K != 2) {
        v = (silr_interval){p->theta[j * p->K + j], p->theta_low[j], p->theta_high[j]};
    } else if (j == 0) {
        v = (silr_interval){p->theta[0], p->theta_low[0], p->theta_high[0]};
    } else { /* the interval is of the diagonal, 1 - theta_n */
        v = (silr_interval){p->theta[2], 1 - p->theta_high[1], 1 - p->theta_low[1]};
    }
    return v;
}

static silr_status parts(silr_facts *f, silr_error *err)
{
    f->pool = silr_alloc(f->n, sizeof *f->pool);
    f->test_docs = silr_alloc(f->n, sizeof *f->test_docs);
    if (!f->pool || !f->test_docs)
        return silr_fail_memory(err);
    for (size_t i = 0; i < f->n; i++) {
        if (silr_corpus_split(f->corpus, i) == SILR_TEST)
            f->test_docs[f->n_test++] = (uint32_t)i;
        else
            f->pool[f->n_pool++] = (uint32_t)i;
    }
    return SILR_OK;
}

silr_status silr_facts_derive(silr_facts *f, silr_error *err)
{
    silr_status st;

    f->before = f->after = (silr_interval){NAN, NAN, NAN};
    for (size_t i = 0; i < f->n; i++) {
        int was = f->initial[i], is = f->finished ? f->final[i] : SILR_NO_LABEL;
        f->n_initial += was != SILR_NO_LABEL;
        f->n_final += is != SILR_NO_LABEL;
        f->corrected += was != SILR_NO_LABEL && is != SILR_NO_LABEL && is != was;
        f->gained += was == SILR_NO_LABEL && is != SILR_NO_LABEL;
    }
    if (f->n_accounts)
        f->before = f->account[0].it.estimated;
    /* nothing accepted: the labels are still the annotator's, or its log-odds' */
    f->after = f->recalibrated.present ? f->recalibrated.estimated : f->before;
    for (size_t i = 1; i < f->n_accounts; i++)
        if (f->account[i].it.accepted)
            f->after = f->account[i].it.estimated;
    if (!f->finished)
        return SILR_OK;
    if ((st = silr_measure(&f->label, f, f->pool, f->n_pool, f->final, err)) != SILR_OK)
        return st;
    return silr_measure(&f->test, f, f->test_docs, f->n_test, f->final, err);
}

static silr_status accounts(silr_facts *f, silr_store *store, silr_error *err)
{
    size_t count = 0;
    int *label = silr_alloc(f->n, sizeof *label);
    silr_status st = label ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = silr_store_iterations(store, &count, err)) != SILR_OK || count == 0)
        goto done;
    f->account = silr_calloc(count, sizeof *f->account);
    if (!f->account) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (; f->n_accounts < count;) {
        silr_account *a = &f->account[f->n_accounts];
        if ((st = silr_store_iteration_get(store, (int)f->n_accounts, &a->it, f->n, label, NULL,
                                           err)) != SILR_OK)
            goto done;
        f->n_accounts++;
        if ((st = silr_measure(&a->label, f, f->pool, f->n_pool, label, err)) != SILR_OK ||
            (st = silr_measure(&a->test, f, f->test_docs, f->n_test, label, err)) != SILR_OK)
            goto done;
    }
done:
    silr_free(label);
    return st;
}

static silr_status known(silr_facts *f, silr_store *store, silr_error *err)
{
    silr_sample sample = {0};
    bool present = false;
    silr_status st = silr_store_sample_get(store, &sample, &present, err);

    for (size_t i = 0; i < f->n; i++)
        f->known[i] = SILR_NO_LABEL;
    for (size_t i = 0; st == SILR_OK && present && i < sample.n; i++)
        if (sample.doc[i] < f->n) {
            f->known[sample.doc[i]] = sample.truth[i];
            f->n_known++;
        }
    silr_sample_clear(&sample);
    return st;
}

/* {"verdict":"warn","advice":"..."} taken apart; anything else is advice as it stands. */
static silr_status verdict(silr_facts *f, silr_error *err)
{
    json_t *root = f->verdict.len ? json_loadb(f->verdict.data, f->verdict.len, 0, NULL) : NULL;
    const char *code = json_string_value(json_object_get(root, "verdict"));
    const char *advice = json_string_value(json_object_get(root, "advice"));

    if (json_is_object(root)) {
        silr_buf_puts(&f->advice, advice ? advice : "");
        silr_buf_reset(&f->verdict);
        silr_buf_puts(&f->verdict, code ? code : "");
    } else if (f->verdict.len) {
        silr_buf_puts(&f->advice, f->verdict.data);
        silr_buf_reset(&f->verdict);
    }
    json_decref(root);
    return f->verdict.failed || f->advice.failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status names(silr_facts *f, silr_store *store, silr_error *err)
{
    const struct {
        const char *name;
        silr_buf *to;
    } want[] = {{"run.start", &f->start},
                {"run.end", &f->end},
                {"run.command", &f->command},
                {"verdict", &f->verdict},
                {"sensitivity", &f->sensitivity}};
    silr_status st = SILR_OK;
    for (size_t i = 0; st == SILR_OK && i < sizeof want / sizeof *want; i++)
        st = silr_store_get(store, want[i].name, want[i].to, err);
    return st == SILR_OK ? verdict(f, err) : st;
}

silr_status silr_facts_read(silr_facts *f, const silr_task *task, const silr_corpus *corpus,
                            silr_store *store, const char *dir, silr_error *err)
{
    silr_status st;

    *f = (silr_facts){.task = task,
                      .corpus = corpus,
                      .dir = dir,
                      .K = (int)task->n_classes,
                      .n = silr_corpus_size(corpus)};
    f->initial = silr_alloc(f->n, sizeof *f->initial);
    f->final = silr_alloc(f->n, sizeof *f->final);
    f->known = silr_alloc(f->n, sizeof *f->known);
    f->prob = silr_calloc(f->n, sizeof *f->prob * (size_t)f->K);
    if (!f->initial || !f->final || !f->known || !f->prob) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = parts(f, err)) != SILR_OK ||
        (st = silr_store_annotations(store, SILR_SOURCE_USED, f->n, f->initial, NULL, NULL, err)) != SILR_OK ||
        (st = silr_store_final_get(store, f->n, f->K, f->final, f->prob, &f->finished, err)) !=
            SILR_OK ||
        (st = known(f, store, err)) != SILR_OK || (st = names(f, store, err)) != SILR_OK ||
        (st = silr_recalibrated_read(f, store, err)) != SILR_OK ||
        (st = accounts(f, store, err)) != SILR_OK ||
        (st = silr_annotators_read(&f->annotators, task, corpus, store, err)) != SILR_OK)
        goto done;
    st = silr_facts_derive(f, err);
done:
    if (st != SILR_OK)
        silr_facts_clear(f);
    return st;
}
