/* asked.c - the section on the annotators: who was asked, what they said, what it took. */
#include "report/page.h"

#include <math.h>

static void cell(silr_buf *b, size_t n)
{
    silr_buf_puts(b, "<td class=\"n\">");
    silr_page_count(b, n);
    silr_buf_puts(b, "</td>");
}

static void annotator_row(const silr_annotator_row *r, bool measured, silr_buf *b)
{
    const char *comma = "";

    silr_buf_puts(b, "<tr><th scope=\"row\">");
    silr_page_text(b, r->name);
    silr_buf_puts(b, "</th>");
    cell(b, r->asked);
    cell(b, r->labelled);
    cell(b, r->abstained);
    cell(b, r->failed);
    silr_buf_puts(b, "<td>");
    for (int k = 0; k < 4; k++)
        if (r->basis[k] > 0) {
            silr_buf_printf(b, "%s%s", comma, silr_basis_name((silr_basis)k));
            comma = ", ";
        }
    silr_buf_puts(b, "</td><td class=\"n\">");
    silr_page_interval(b, &r->estimated);
    silr_buf_puts(b, "</td>");
    if (measured) {
        silr_buf_puts(b, "<td class=\"n\">");
        silr_page_percent(b, r->measured);
        silr_buf_puts(b, "</td>");
    }
    silr_buf_puts(b, "</tr>\n");
}

static void rows(const silr_annotators *a, silr_buf *b)
{
    bool measured = false;

    for (size_t i = 0; i < a->n; i++)
        measured = measured || !isnan(a->row[i].measured);
    silr_buf_puts(b, "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Annotator</th>"
                     "<th scope=\"col\" class=\"n\">Texts</th><th scope=\"col\" class=\"n\">Labelled</th>"
                     "<th scope=\"col\" class=\"n\">Abstained</th><th scope=\"col\" class=\"n\">Failed</th>"
                     "<th scope=\"col\">Confidence from</th>"
                     "<th scope=\"col\" class=\"n\">Right, by the checked texts</th>");
    if (measured)
        silr_buf_puts(b, "<th scope=\"col\" class=\"n\">Measured</th>");
    silr_buf_puts(b, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < a->n; i++)
        annotator_row(&a->row[i], measured, b);
    silr_buf_puts(b, "</tbody></table></div>\n");
}

static void model(const silr_annotators *a, silr_buf *b)
{
    const silr_ledger_sums *s = &a->sums;

    silr_buf_puts(b, "<p>");
    silr_page_count(b, s->answers);
    silr_buf_puts(b, " answers");
    if (s->cached > 0) {
        silr_buf_puts(b, ", ");
        silr_page_count(b, s->cached);
        silr_buf_puts(b, " of them from the cache of earlier runs");
    }
    if (s->batched > 0) {
        silr_buf_puts(b, ", ");
        silr_page_count(b, s->batched);
        silr_buf_puts(b, " by batch");
    }
    silr_buf_puts(b, ". This run's own took ");
    silr_page_count(b, (size_t)s->prompt_tokens);
    silr_buf_puts(b, " tokens in and ");
    silr_page_count(b, (size_t)s->completion_tokens);
    silr_buf_puts(b, " out");
    if (!isnan(s->cost))
        silr_buf_printf(b, ", which cost %.4f by the task's prices", s->cost);
    silr_buf_puts(b, ".");
    if (a->examples > 0)
        silr_buf_printf(b, " The prompt shows %zu texts of the labelled sample; these, and texts equal "
                        "to them, have no label of the model's and count neither for nor against it.",
                        a->examples);
    silr_buf_puts(b, "</p>\n");
    if (a->servers.len > 0) {
        silr_buf_puts(b, "<pre>");
        silr_page_bytes(b, a->servers.data, a->servers.len);
        silr_buf_puts(b, "</pre>\n");
    }
    if (a->n_traffic == 0)
        return;
    silr_buf_puts(b, "<p>On the way: ");
    for (size_t i = 0; i < a->n_traffic; i++) {
        silr_buf_puts(b, i ? ", " : "");
        silr_page_text(b, a->traffic[i].what);
        silr_buf_putc(b, ' ');
        silr_page_count(b, (size_t)a->traffic[i].n);
    }
    silr_buf_puts(b, ".</p>\n");
}

static void agreement(const silr_annotators *a, silr_buf *b)
{
    const silr_agreement *g = &a->agreement;
    double all = g->compared ? (double)g->unanimous / (double)g->compared : (double)NAN;

    silr_buf_puts(b, "<h3>How far they agree</h3>\n<p>On ");
    silr_page_count(b, g->compared);
    silr_buf_puts(b, " texts with two labels or more, all agree on ");
    silr_page_percent(b, all);
    silr_buf_puts(b, "; on ");
    silr_page_count(b, g->tied);
    silr_buf_puts(b, " there is no majority.");
    if (!isnan(g->alpha))
        silr_buf_printf(b, " Krippendorff's alpha is %.3f (1: always, 0: no more than by chance).",
                        g->alpha);
    silr_buf_puts(b, "</p>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Annotator</th>"
                     "<th scope=\"col\">and</th><th scope=\"col\" class=\"n\">Texts</th>"
                     "<th scope=\"col\" class=\"n\">Agree</th>"
                     "<th scope=\"col\" class=\"n\">Cohen's kappa</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < g->pairs; i++) {
        const silr_agreement_pair *p = &g->pair[i];
        silr_interval v = {p->agreement, p->low, p->high};
        silr_buf_puts(b, "<tr><th scope=\"row\">");
        silr_page_text(b, silr_annotators_member(a, p->a));
        silr_buf_puts(b, "</th><td>");
        silr_page_text(b, silr_annotators_member(a, p->b));
        silr_buf_puts(b, "</td>");
        cell(b, p->both);
        silr_buf_puts(b, "<td class=\"n\">");
        silr_page_interval(b, &v);
        silr_buf_puts(b, "</td><td class=\"n\">");
        if (isnan(p->kappa))
            silr_buf_puts(b, "\xe2\x80\x93");
        else
            silr_buf_printf(b, "%.3f", p->kappa);
        silr_buf_puts(b, "</td></tr>\n");
    }
    silr_buf_puts(b, "</tbody></table></div>\n");
}

void silr_section_asked(const silr_facts *f, silr_buf *b)
{
    const silr_annotators *a = &f->annotators;
    bool rounds = false;

    if (!a->model && !a->several)
        return;
    for (size_t i = 0; i < a->n; i++)
        rounds = rounds || a->row[i].round > 0;
    silr_page_open(b, "annotators", a->several ? "The annotators" : "The annotator",
                   rounds ? "Rows that end in \xe2\x80\x9c" "check\xe2\x80\x9d are the model's answers after it "
                            "was asked to check its former one: a baseline beside refinement, which "
                            "starts from the first answers."
                          : NULL);
    rows(a, b);
    if (a->model)
        model(a, b);
    if (a->several)
        agreement(a, b);
    silr_buf_puts(b, "</section>\n");
}
