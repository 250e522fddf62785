/* curves.c - the run, iteration by iteration: four curves and the numbers behind them.
 *
 * Iteration 0 is the annotator. Where the estimate (from the labelled sample) and the truth are
 * both known they are in one picture, so that a reader sees how far the estimate can be trusted. */
#include "report/page.h"

#include <math.h>

static void by_iteration(const silr_facts *f, silr_figure *g)
{
    g->x_label = "iteration (0: the annotator)";
    g->x_min = 0;
    g->x_max = f->n_accounts > 1 ? (double)(f->n_accounts - 1) : 0;
    g->whole_x = true;
}

void silr_build_accuracy(const silr_facts *f, silr_figure *g)
{
    silr_series *s[3];

    g->name = "accuracy";
    g->title = "Share of labels that are right";
    g->note = "Estimated from the labelled sample, with its 95% interval; measured against true "
              "labels where the corpus has them.";
    g->y_label = "accuracy";
    g->percent_y = true;
    by_iteration(f, g);
    s[0] = silr_figure_add(g, "estimated", f->n_accounts, 0);
    s[1] = silr_figure_add(g, "measured", f->n_accounts, 1);
    s[2] = silr_figure_add(g, "on test texts", f->n_accounts, 2);
    if (g->failed)
        return;
    s[0]->band = true;
    s[2]->dashed = true;
    for (size_t i = 0; i < f->n_accounts; i++) {
        const silr_account *a = &f->account[i];
        s[0]->p[i] = (silr_point){(double)i, a->it.estimated.value, a->it.estimated.low,
                                  a->it.estimated.high};
        s[1]->p[i].x = s[2]->p[i].x = (double)i;
        if (a->label.present)
            s[1]->p[i].y = a->label.scores->accuracy;
        if (a->test.present)
            s[2]->p[i].y = a->test.scores->accuracy;
    }
    if (!f->label.present && !f->test.present)
        g->n = 1;
}

static void theta_two(const silr_facts *f, silr_figure *g)
{
    silr_series *s[3];
    char name[3][96];

    snprintf(name[0], sizeof name[0], "theta_p");
    snprintf(name[1], sizeof name[1], "theta_n");
    snprintf(name[2], sizeof name[2], "pi");
    for (int j = 0; j < 3; j++)
        s[j] = silr_figure_add(g, name[j], f->n_accounts, j == 2 ? 6 : j);
    if (g->failed)
        return;
    s[0]->band = s[1]->band = true;
    s[2]->dashed = true;
    for (size_t i = 0; i < f->n_accounts; i++) {
        const silr_priors *p = &f->account[i].it.priors;
        for (int j = 0; j < 2; j++) {
            silr_interval v = silr_facts_theta(p, j);
            s[j]->p[i] = (silr_point){(double)i, v.value, v.low, v.high};
        }
        s[2]->p[i] = (silr_point){(double)i, p->pi[0], NAN, NAN};
    }
}

static void theta_many(const silr_facts *f, silr_figure *g)
{
    silr_series *mean = NULL;

    for (int k = 0; k < f->K; k++) {
        silr_series *s = silr_figure_add(g, f->task->classes[k], f->n_accounts, 6);
        if (!s)
            return;
        s->faint = true;
        for (size_t i = 0; i < f->n_accounts; i++)
            s->p[i] =
                (silr_point){(double)i, f->account[i].it.priors.theta[k * f->K + k], NAN, NAN};
    }
    if (!(mean = silr_figure_add(g, "mean (thin: each class)", f->n_accounts, 0)))
        return;
    for (size_t i = 0; i < f->n_accounts; i++) {
        double sum = 0;
        for (int k = 0; k < f->K; k++)
            sum += f->account[i].it.priors.theta[k * f->K + k];
        mean->p[i] = (silr_point){(double)i, sum / f->K, NAN, NAN};
    }
}

void silr_build_theta(const silr_facts *f, silr_figure *g)
{
    g->name = "theta";
    g->title = "How pure the pseudo-sets are";
    g->y_label = f->K == 2 ? "share of true positives" : "P(true k | labelled k)";
    g->note = f->K == 2
                  ? "theta_p: true positives among those labelled positive; theta_n: among those "
                    "labelled negative; pi: among all. The further apart, the more the labels tell."
                  : "For each class, the share of texts with this label that truly have it.";
    g->percent_y = true;
    by_iteration(f, g);
    if (f->K == 2)
        theta_two(f, g);
    else
        theta_many(f, g);
}

void silr_build_flips(const silr_facts *f, silr_figure *g)
{
    silr_series *s = NULL;

    g->name = "flips";
    g->title = "Labels that changed";
    g->note =
        "Texts whose label differs from the iteration before. Few flips: the labels have settled.";
    g->y_label = "texts";
    g->kind = SILR_FIGURE_STACK;
    g->bar = 0.5;
    by_iteration(f, g);
    if (f->n_accounts < 2)
        return;
    g->x_label = "iteration";
    g->x_min = 0.5;
    g->x_max = (double)f->n_accounts - 0.5;
    if (!(s = silr_figure_add(g, "flips", f->n_accounts - 1, 0)))
        return;
    for (size_t i = 1; i < f->n_accounts; i++)
        s->p[i - 1] = (silr_point){(double)i, (double)f->account[i].it.flips, NAN, NAN};
}

void silr_build_losses(const silr_facts *f, silr_figure *g)
{
    silr_series *train, *validation;

    g->name = "losses";
    g->title = "Risk at the end of training";
    g->note = "The robust risk on the pseudo-labels that were trained on, and on those held out.";
    g->y_label = "risk";
    by_iteration(f, g);
    if (f->n_accounts < 2)
        return;
    g->x_label = "iteration";
    g->x_min = 1;
    train = silr_figure_add(g, "training", f->n_accounts - 1, 0);
    validation = silr_figure_add(g, "validation", f->n_accounts - 1, 1);
    if (g->failed)
        return;
    validation->dashed = true;
    for (size_t i = 1; i < f->n_accounts; i++) {
        const silr_iteration *it = &f->account[i].it;
        train->p[i - 1] = (silr_point){(double)i, it->train_loss, NAN, NAN};
        validation->p[i - 1] = (silr_point){(double)i, it->validation_loss, NAN, NAN};
    }
    while (g->n > 0) { /* without validation: no entry in the legend */
        bool any = false;
        for (size_t i = 0; i < g->s[g->n - 1].n; i++)
            any |= isfinite(g->s[g->n - 1].p[i].y);
        if (any)
            break;
        g->n--;
    }
}

static void cell(silr_buf *b, double v, bool percent)
{
    silr_buf_puts(b, "<td class=\"n\">");
    if (percent)
        silr_page_percent(b, v);
    else if (isfinite(v))
        silr_buf_printf(b, "%.4g", v);
    else
        silr_buf_puts(b, "\xe2\x80\x93");
    silr_buf_puts(b, "</td>");
}

static void row(const silr_facts *f, const silr_account *a, silr_buf *b)
{
    const silr_iteration *it = &a->it;

    silr_buf_printf(b, "<tr%s><th scope=\"row\">%d</th><td class=\"n\">",
                    it->accepted ? "" : " class=\"off\"", it->iteration);
    silr_page_interval(b, &it->estimated);
    silr_buf_puts(b, "</td>");
    if (f->label.present || f->test.present) {
        cell(b, a->label.present ? a->label.scores->accuracy : (double)NAN, true);
        cell(b, a->label.present ? a->label.scores->balanced_accuracy : (double)NAN, true);
        cell(b, a->label.present ? a->label.scores->f1 : (double)NAN, true);
        cell(b, a->test.present ? a->test.scores->accuracy : (double)NAN, true);
    }
    if (f->K == 2) {
        cell(b, it->priors.theta[0], true);
        cell(b, it->priors.theta[2], true);
        cell(b, it->priors.pi[0], true);
    }
    silr_buf_puts(b, "<td class=\"n\">");
    if (it->iteration > 0)
        silr_page_count(b, it->flips > 0 ? (size_t)it->flips : 0);
    silr_buf_puts(b, "</td>");
    cell(b, it->train_loss, false);
    cell(b, it->validation_loss, false);
    silr_buf_puts(b, "<td class=\"n\">");
    if (isfinite(it->seconds))
        silr_buf_printf(b, "%.1f s", it->seconds);
    silr_buf_puts(b, it->accepted ? "</td><td>yes</td>" : "</td><td>no</td>");
    silr_buf_puts(b, "</tr>\n");
}

void silr_section_curves(const silr_facts *f, silr_buf *b)
{
    if (f->n_accounts == 0)
        return;
    silr_page_open(b, "curves", "Iteration by iteration",
                   "Each iteration trains a fresh classifier on the labels of the one before, "
                   "knowing how pure they are, and labels every text again.");
    silr_buf_puts(b, "<div class=\"charts\">\n");
    silr_page_figure(f, silr_build_accuracy, b);
    silr_page_figure(f, silr_build_theta, b);
    silr_page_figure(f, silr_build_flips, b);
    silr_page_figure(f, silr_build_losses, b);
    silr_buf_puts(b, "</div>\n<div class=\"scroll\"><table>\n<caption>The numbers behind the curves"
                     "</caption>\n<thead><tr><th scope=\"col\">#</th><th scope=\"col\" "
                     "class=\"n\">Estimated accuracy</th>");
    if (f->label.present || f->test.present)
        silr_buf_puts(
            b,
            "<th scope=\"col\" class=\"n\">Measured</th><th scope=\"col\" class=\"n\">Balanced</th>"
            "<th scope=\"col\" class=\"n\">F1</th><th scope=\"col\" class=\"n\">Test</th>");
    if (f->K == 2)
        silr_buf_puts(
            b,
            "<th scope=\"col\" class=\"n\">theta_p</th><th scope=\"col\" class=\"n\">theta_n</th>"
            "<th scope=\"col\" class=\"n\">pi</th>");
    silr_buf_puts(
        b, "<th scope=\"col\" class=\"n\">Flips</th><th scope=\"col\" class=\"n\">Train risk</th>"
           "<th scope=\"col\" class=\"n\">Held-out risk</th><th scope=\"col\" class=\"n\">Time</th>"
           "<th scope=\"col\">Kept</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < f->n_accounts; i++)
        row(f, &f->account[i], b);
    silr_buf_puts(b, "</tbody></table></div>\n</section>\n");
}
