/* metrics.c - metrics.json: every iteration in numbers, for programs.
 *
 * theta is [theta_p, theta_n] for two classes, the K x K matrix P(true | pseudo) for more; its
 * interval is one [low, high] a row (two classes: of theta_p and theta_n; more: of the diagonal).
 * "label" and "test" are measured against the truth and only there where truth exists; they
 * leave out texts without a label, whose share "coverage" tells. Numbers that do not exist are
 * null. Of two runs with the same input only "seconds" differs. */
#include "report/inside.h"

#include <math.h>
#include <string.h>

static void key(silr_buf *b, const char *name)
{
    silr_buf_printf(b, ",\"%s\":", name);
}

static void number(silr_buf *b, const char *name, double v)
{
    key(b, name);
    silr_buf_number(b, v, 6);
}

static void pair(silr_buf *b, double low, double high)
{
    silr_buf_putc(b, '[');
    silr_buf_number(b, low, 6);
    silr_buf_putc(b, ',');
    silr_buf_number(b, high, 6);
    silr_buf_putc(b, ']');
}

static void matrix(silr_buf *b, const double *v, int K)
{
    for (int j = 0; j < K; j++) {
        silr_buf_puts(b, j ? ",[" : "[[");
        for (int k = 0; k < K; k++) {
            if (k)
                silr_buf_putc(b, ',');
            silr_buf_number(b, v[j * K + k], 6);
        }
        silr_buf_putc(b, ']');
    }
    silr_buf_putc(b, ']');
}

static void theta(silr_buf *b, const silr_priors *p)
{
    key(b, "theta");
    if (p->K == 2)
        pair(b, p->theta[0], p->theta[2]);
    else
        matrix(b, p->theta, p->K);
    key(b, "theta_interval");
    for (int j = 0; j < p->K; j++) {
        silr_interval v = silr_facts_theta(p, j);
        silr_buf_putc(b, j ? ',' : '[');
        pair(b, v.low, v.high);
    }
    silr_buf_putc(b, ']');
}

static void pi(silr_buf *b, const silr_priors *p)
{
    if (p->K == 2) {
        number(b, "pi", p->pi[0]);
        key(b, "pi_interval");
        pair(b, p->pi_low[0], p->pi_high[0]);
        return;
    }
    key(b, "pi");
    for (int k = 0; k < p->K; k++) {
        silr_buf_putc(b, k ? ',' : '[');
        silr_buf_number(b, p->pi[k], 6);
    }
    silr_buf_putc(b, ']');
    key(b, "pi_interval");
    for (int k = 0; k < p->K; k++) {
        silr_buf_putc(b, k ? ',' : '[');
        pair(b, p->pi_low[k], p->pi_high[k]);
    }
    silr_buf_putc(b, ']');
}

static void measured(silr_buf *b, const char *name, const silr_measured *m, int K)
{
    const silr_scores *s = m->scores;
    if (!m->present)
        return;
    key(b, name);
    silr_buf_printf(b, "{\"n\":%zu", s->n);
    number(b, "coverage", m->documents ? (double)m->labelled / (double)m->documents : 0);
    number(b, "accuracy", s->accuracy);
    number(b, "balanced_accuracy", s->balanced_accuracy);
    number(b, "precision", s->precision);
    number(b, "recall", s->recall);
    number(b, "f1", s->f1);
    key(b, "confusion"); /* [true][label] */
    for (int t = 0; t < K; t++) {
        silr_buf_puts(b, t ? ",[" : "[[");
        for (int k = 0; k < K; k++)
            silr_buf_printf(b, k ? ",%zu" : "%zu", s->confusion[t * K + k]);
        silr_buf_putc(b, ']');
    }
    silr_buf_puts(b, "]}");
}

static void estimate(silr_buf *b, const char *name, const silr_interval *v)
{
    key(b, name);
    if (isnan(v->value)) {
        silr_buf_puts(b, "null");
        return;
    }
    silr_buf_puts(b, "{\"value\":");
    silr_buf_number(b, v->value, 6);
    number(b, "low", v->low);
    number(b, "high", v->high);
    silr_buf_putc(b, '}');
}

/* What the log-odds gave, beside iteration 0. */
static void recalibrated(silr_buf *b, const silr_recalibrated *r, int K)
{
    if (!r->present)
        return;
    key(b, "recalibrated");
    silr_buf_puts(b, "{\"a\":");
    silr_buf_number(b, r->a, 6);
    number(b, "b", r->b);
    measured(b, "label", &r->label, K);
    measured(b, "test", &r->test, K);
    estimate(b, "estimated_accuracy", &r->estimated);
    silr_buf_putc(b, '}');
}

static void account(silr_buf *b, const silr_facts *f, const silr_account *a, int K)
{
    const silr_iteration *it = &a->it;
    silr_buf_printf(b, "{\"iteration\":%d", it->iteration);
    theta(b, &it->priors);
    pi(b, &it->priors);
    number(b, "train_loss", it->train_loss);
    number(b, "validation_loss", it->validation_loss);
    key(b, "best_epoch");
    if (it->best_epoch > 0)
        silr_buf_printf(b, "%d", it->best_epoch);
    else
        silr_buf_puts(b, "null");
    silr_buf_printf(b, ",\"accepted\":%s", it->accepted ? "true" : "false");
    measured(b, "label", &a->label, K);
    measured(b, "test", &a->test, K);
    estimate(b, "estimated_accuracy", &it->estimated);
    if (it->iteration == 0)
        recalibrated(b, &f->recalibrated, K);
    silr_buf_printf(b, ",\"flips\":%lld", (long long)it->flips);
    number(b, "seconds", it->seconds);
    if (it->note[0]) {
        key(b, "note");
        silr_buf_json(b, it->note, strlen(it->note));
    }
    silr_buf_putc(b, '}');
}

/* The iteration whose labels are the final ones, for its theta and pi. */
static const silr_account *standing(const silr_facts *f)
{
    const silr_account *last = f->n_accounts ? &f->account[0] : NULL;
    for (size_t i = 1; i < f->n_accounts; i++)
        if (f->account[i].it.accepted)
            last = &f->account[i];
    return last;
}

static void outcome(silr_buf *b, const silr_facts *f)
{
    static const char *const kinds[] = {"ngram", "frozen", "qlora"};
    const silr_account *last = standing(f);
    double seconds = 0;

    for (size_t i = 0; i < f->n_accounts; i++)
        seconds += isnan(f->account[i].it.seconds) ? 0 : f->account[i].it.seconds;
    silr_buf_printf(b, "{\"iteration\":%d", last ? last->it.iteration : 0);
    silr_buf_printf(b, ",\"documents\":%zu,\"labelled_before\":%zu,\"labelled\":%zu", f->n,
                    f->n_initial, f->n_final);
    silr_buf_printf(b, ",\"changed\":%zu,\"corrected\":%zu,\"gained\":%zu",
                    f->corrected + f->gained, f->corrected, f->gained);
    if (last && !(last == f->account && f->recalibrated.present)) { /* else nobody counted theirs */
        theta(b, &last->it.priors);
        pi(b, &last->it.priors);
    }
    measured(b, "label", &f->label, f->K);
    measured(b, "test", &f->test, f->K);
    estimate(b, "estimated_before", &f->before);
    estimate(b, "estimated_accuracy", &f->after);
    silr_buf_printf(b, ",\"labelled_sample\":%zu,\"classifier\":\"%s\"", f->n_known,
                    kinds[f->task->classifier.kind]);
    number(b, "seconds", seconds);
    silr_buf_putc(b, '}');
}

void silr_metrics_render(const silr_facts *f, silr_buf *b)
{
    silr_buf_puts(b, "{\"schema_version\":1,\n\"task\":");
    silr_buf_json(b, f->task->name ? f->task->name : "", f->task->name ? strlen(f->task->name) : 0);
    silr_buf_puts(b, ",\n\"classes\":[");
    for (int k = 0; k < f->K; k++) {
        if (k)
            silr_buf_putc(b, ',');
        silr_buf_json(b, f->task->classes[k], strlen(f->task->classes[k]));
    }
    silr_buf_printf(b, "],\n\"oracle\":%s,\n\"iterations\":[\n",
                    f->task->labelled.kind == SILR_LABELLED_ORACLE ? "true" : "false");
    for (size_t i = 0; i < f->n_accounts; i++) {
        account(b, f, &f->account[i], f->K);
        silr_buf_puts(b, i + 1 < f->n_accounts ? ",\n" : "\n");
    }
    silr_buf_puts(b, "],\n\"final\":");
    if (f->finished)
        outcome(b, f);
    else
        silr_buf_puts(b, "null");
    silr_buf_puts(b, "}\n");
}
