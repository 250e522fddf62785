/* recalibrated.c - between the annotator's labels and the first iteration: where the run worked
 * with log-odds, the labels that they give once the labelled sample has said where their zero
 * belongs (refine/sides.c leaves them in the store). */
#include "report/page.h"

#include <math.h>
#include <string.h>

static double number(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

void silr_recalibrated_clear(silr_recalibrated *r)
{
    silr_measured_clear(&r->label);
    silr_measured_clear(&r->test);
    *r = (silr_recalibrated){0};
}

/* Labels as one character a document, measured like any others. */
static silr_status measure(silr_facts *f, const char *labels, silr_error *err)
{
    silr_recalibrated *r = &f->recalibrated;
    int *label = silr_alloc(f->n, sizeof *label);
    silr_status st = label ? SILR_OK : silr_fail_memory(err);

    for (size_t d = 0; d < f->n && st == SILR_OK; d++) {
        label[d] = labels[d] == '0' || labels[d] == '1' ? labels[d] - '0' : SILR_NO_LABEL;
        r->changed += label[d] != SILR_NO_LABEL && label[d] != f->initial[d];
    }
    if (st == SILR_OK)
        st = silr_measure(&r->label, f, f->pool, f->n_pool, label, err);
    if (st == SILR_OK)
        st = silr_measure(&r->test, f, f->test_docs, f->n_test, label, err);
    silr_free(label);
    return st;
}

silr_status silr_recalibrated_read(silr_facts *f, silr_store *store, silr_error *err)
{
    silr_recalibrated *r = &f->recalibrated;
    silr_buf b = {0};
    json_error_t why;
    json_t *root = NULL;
    const json_t *e, *labels;
    silr_status st = silr_store_get(store, "recalibrated", &b, err);

    if (st != SILR_OK || b.len == 0)
        goto done;
    root = json_loadb(b.data, b.len, 0, &why);
    labels = json_object_get(root, "labels");
    e = json_object_get(root, "estimated");
    if (!root && json_error_code(&why) == json_error_out_of_memory) {
        st = silr_fail_memory(err);
        goto done;
    }
    if (f->K != 2 || !json_is_string(labels) || json_string_length(labels) != f->n)
        goto done; /* not of this run: there is nothing to tell */
    r->a = number(json_object_get(root, "a"));
    r->b = number(json_object_get(root, "b"));
    r->estimated = (silr_interval){number(json_array_get(e, 0)), number(json_array_get(e, 1)),
                                   number(json_array_get(e, 2))};
    st = measure(f, json_string_value(labels), err);
    r->present = st == SILR_OK;
done:
    json_decref(root);
    silr_buf_clear(&b);
    return st;
}

static void step(silr_buf *b, const char *before, double v)
{
    if (!isfinite(v))
        return;
    silr_buf_puts(b, before);
    silr_page_percent(b, v);
}

/* " 64.1% right as they came, 79.0% recalibrated, 80.2% in the end": what is known of each. */
static void ladder(silr_buf *b, double raw, double cut, double end)
{
    step(b, " ", raw);
    silr_buf_puts(b, isfinite(raw) ? " right as they came," : "");
    step(b, " ", cut);
    silr_buf_puts(b, " recalibrated");
    step(b, ", ", end);
    silr_buf_puts(b, isfinite(end) ? " in the end" : "");
}

void silr_section_recalibrated(const silr_facts *f, silr_buf *b)
{
    const silr_recalibrated *r = &f->recalibrated;

    if (!r->present)
        return;
    silr_buf_puts(b, "<p class=\"fine\">The annotator's answers came with log-odds. The checked texts "
                     "say that its zero belongs at ");
    silr_buf_printf(b, "%.3g", -r->b / r->a);
    silr_buf_puts(b, ": so read, ");
    silr_page_count(b, r->changed);
    silr_buf_puts(b, r->changed == 1 ? " label differs from its answer" : " labels differ from its "
                                                                         "answers");
    if (isfinite(r->estimated.value)) {
        silr_buf_puts(b, "; estimated,");
        ladder(b, f->before.value, r->estimated.value, f->after.value);
    }
    if (r->label.present && f->label.present) {
        silr_buf_puts(b, "; measured,");
        ladder(b, f->account[0].label.present ? f->account[0].label.scores->accuracy : (double)NAN,
               r->label.scores->accuracy, f->label.scores->accuracy);
    }
    silr_buf_puts(b, ".</p>\n");
}
