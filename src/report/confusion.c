/* confusion.c - which classes are taken for which: matrices that stay readable up to 64 classes.
 *
 * A matrix scrolls in its own box. A cell's shade is its share of the row, so that rare classes
 * show as well as frequent ones; the number in it is the count. */
#include "report/page.h"

#include <math.h>

/* count(ctx, row, column) of a rows x K matrix; row K, when there, is "no label". */
typedef struct {
    const char *title, *rows_are;
    int rows;
    const char *share;  /* heading of the last column: what the diagonal means */
    const size_t *cell; /* [rows][stride] */
    int stride;
} matrix;

static void heading(const silr_facts *f, const matrix *m, silr_buf *b)
{
    silr_buf_printf(
        b,
        "<div class=\"scroll%s\"><table class=\"confusion%s\">\n<caption>%s</caption>\n<thead>"
        "<tr><th scope=\"col\" class=\"corner\">%s</th>",
        f->K > 16 ? " tall" : "", f->K > 6 ? " many" : "", m->title, m->rows_are);
    for (int k = 0; k < f->K; k++) {
        silr_buf_puts(b, "<th scope=\"col\"><span>");
        silr_page_text(b, f->task->classes[k]);
        silr_buf_puts(b, "</span></th>");
    }
    silr_buf_printf(b, "<th scope=\"col\" class=\"n\"><span>%s</span></th></tr></thead>\n<tbody>\n",
                    m->share);
}

static void draw(const silr_facts *f, const matrix *m, silr_buf *b)
{
    heading(f, m, b);
    for (int r = 0; r < m->rows; r++) {
        const size_t *row = m->cell + (size_t)r * (size_t)m->stride;
        size_t sum = 0;
        for (int k = 0; k < f->K; k++)
            sum += row[k];
        if (r == f->K && sum == 0)
            continue;
        silr_buf_puts(b, "<tr><th scope=\"row\"><span>");
        silr_page_text(b, r < f->K ? f->task->classes[r] : "no label");
        silr_buf_puts(b, "</span></th>");
        for (int k = 0; k < f->K; k++) {
            double share = sum ? (double)row[k] / (double)sum : 0;
            silr_buf_printf(b, "<td class=\"n%s%s\" style=\"--v:%.0f%%\">", k == r ? " same" : "",
                            share > 0.55 ? " deep" : "", share * 85);
            if (row[k])
                silr_page_count(b, row[k]);
            silr_buf_puts(b, "</td>");
        }
        silr_buf_puts(b, "<td class=\"n share\">");
        if (r < f->K && sum)
            silr_page_percent(b, (double)row[r] / (double)sum);
        silr_buf_puts(b, "</td></tr>\n");
    }
    silr_buf_puts(b, "</tbody></table></div>\n");
}

static void against_truth(const silr_facts *f, const char *title, const silr_measured *m,
                          silr_buf *b)
{
    matrix x = {.title = title,
                .rows_are = "true \xe2\x86\x93 label \xe2\x86\x92",
                .rows = f->K,
                .stride = f->K,
                .share = "right"};
    if (!m->present)
        return;
    x.cell = m->scores->confusion;
    draw(f, &x, b);
}

/* The labelled sample against a labelling, where nothing else is known. */
static void against_sample(const silr_facts *f, const char *title, const int *label, silr_buf *b)
{
    size_t K = (size_t)f->K;
    size_t *cell = silr_calloc(K * K, sizeof *cell);
    matrix x = {.title = title,
                .rows_are = "checked \xe2\x86\x93 label \xe2\x86\x92",
                .rows = f->K,
                .cell = cell,
                .stride = f->K,
                .share = "right"};
    if (!cell) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < f->n; i++)
        if (f->known[i] != SILR_NO_LABEL && label[i] != SILR_NO_LABEL)
            cell[(size_t)f->known[i] * K + (size_t)label[i]]++;
    draw(f, &x, b);
    silr_free(cell);
}

static void moves(const silr_facts *f, silr_buf *b)
{
    size_t K = (size_t)f->K;
    size_t *cell = silr_calloc((K + 1) * K, sizeof *cell);
    matrix x = {.title = "Where the labels went",
                .rows_are = "before \xe2\x86\x93 now \xe2\x86\x92",
                .rows = f->K + 1,
                .cell = cell,
                .stride = f->K,
                .share = "kept"};
    if (!cell) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < f->n; i++)
        if (f->final[i] != SILR_NO_LABEL) {
            size_t from = f->initial[i] == SILR_NO_LABEL ? K : (size_t)f->initial[i];
            cell[from * K + (size_t)f->final[i]]++;
        }
    draw(f, &x, b);
    silr_free(cell);
}

/* One row a class: how many before and now, and how pure its set is. */
static void classes(const silr_facts *f, silr_buf *b)
{
    size_t *was = silr_calloc((size_t)f->K * 2, sizeof *was), *is = was ? was + f->K : NULL;
    const silr_account *last = f->n_accounts ? &f->account[0] : NULL;

    if (!was) {
        b->failed = true;
        return;
    }
    for (size_t i = 1; i < f->n_accounts; i++)
        if (f->account[i].it.accepted)
            last = &f->account[i];
    for (size_t i = 0; i < f->n; i++) {
        if (f->initial[i] != SILR_NO_LABEL)
            was[f->initial[i]]++;
        if (f->final[i] != SILR_NO_LABEL)
            is[f->final[i]]++;
    }
    silr_buf_puts(b, "<div class=\"scroll\"><table>\n<caption>Classes</caption>\n<thead><tr><th "
                     "scope=\"col\">Class</th>"
                     "<th scope=\"col\" class=\"n\">Labels before</th><th scope=\"col\" "
                     "class=\"n\">Labels now</th>"
                     "<th scope=\"col\" class=\"n\">Right before</th><th scope=\"col\" "
                     "class=\"n\">Estimated share of all (pi)</th>"
                     "</tr></thead>\n<tbody>\n");
    for (int k = 0; k < f->K; k++) {
        silr_buf_puts(b, "<tr><th scope=\"row\">");
        silr_page_class(b, f, k);
        silr_buf_puts(b, "</th><td class=\"n\">");
        silr_page_count(b, was[k]);
        silr_buf_puts(b, "</td><td class=\"n\">");
        silr_page_count(b, is[k]);
        silr_buf_puts(b, "</td><td class=\"n\">");
        if (f->n_accounts) {
            const silr_priors *p = &f->account[0].it.priors;
            silr_interval v = {p->theta[k * f->K + k], p->theta_low[k], p->theta_high[k]};
            silr_page_interval(b, &v);
        }
        silr_buf_puts(b, "</td><td class=\"n\">");
        if (last)
            silr_page_percent(b, last->it.priors.pi[k]);
        silr_buf_puts(b, "</td></tr>\n");
    }
    silr_buf_puts(b, "</tbody></table></div>\n");
    silr_free(was);
}

void silr_section_confusion(const silr_facts *f, silr_buf *b)
{
    bool truth = f->label.present || f->test.present;

    if (!f->finished)
        return;
    silr_page_open(b, "confusion", "Class by class",
                   "Shade is the share of the row. The darker the diagonal, the fewer mistakes.");
    classes(f, b);
    silr_buf_puts(b, "<div class=\"matrices\">\n");
    moves(f, b);
    if (truth) {
        if (f->n_accounts)
            against_truth(f, "Before, against the truth", &f->account[0].label, b);
        against_truth(f, "After, against the truth", &f->label, b);
        against_truth(f, "Test texts, against the truth", &f->test, b);
    } else if (f->n_known > 0) {
        against_sample(f, "Before, on the checked texts", f->initial, b);
        against_sample(f, "After, on the checked texts (they took part in training)", f->final, b);
    }
    silr_buf_puts(b, "</div>\n</section>\n");
}
