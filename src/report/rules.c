/* rules.c - what each rule did: how often it fired, with whom it quarrelled, how right it was. */
#include "report/page.h"

static void row(const silr_facts *f, const silr_rule_row *r, silr_buf *b)
{
    silr_buf_puts(b, "<tr><th scope=\"row\" class=\"rule\"><code>");
    silr_page_text(b, r->name);
    silr_buf_puts(b, "</code></th><td>");
    silr_page_class(b, f, r->label);
    silr_buf_puts(b, "</td><td class=\"n\">");
    silr_page_count(b, r->fired);
    silr_buf_puts(b, "</td><td class=\"n\">");
    silr_page_count(b, r->overlaps);
    silr_buf_puts(b, "</td><td class=\"n\">");
    silr_page_count(b, r->conflicts);
    silr_buf_printf(b, "</td><td class=\"n\">%zu of %zu</td><td class=\"n\">", r->right,
                    r->labelled);
    if (r->labelled) {
        silr_interval v = silr_proportion((double)r->right, (double)r->labelled, false);
        silr_page_interval(b, &v);
    }
    silr_buf_puts(b, "</td></tr>\n");
}

silr_status silr_section_rules(const silr_facts *f, silr_buf *b, silr_error *err)
{
    silr_rule_table t = {0};
    uint32_t *docs = NULL;
    silr_status st = SILR_OK;

    if (f->task->annotator.kind != SILR_ANNOTATOR_RULES)
        return SILR_OK;
    if (!(docs = silr_alloc(f->n, sizeof *docs)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < f->n; i++)
        docs[i] = (uint32_t)i;
    if ((st = silr_rule_table_make(&t, f->task, f->corpus, docs, f->n, f->known, err)) != SILR_OK)
        goto done;
    silr_page_open(
        b, "rules", "The rules",
        "Overlaps: another rule fired on the same text. Conflicts: one for another class "
        "did. The last columns are counted on the checked texts.");
    silr_buf_puts(b, "<p>The rules reached ");
    silr_page_count(b, t.covered);
    silr_buf_puts(b, " of ");
    silr_page_count(b, t.documents);
    silr_buf_puts(b, " texts; on ");
    silr_page_count(b, t.conflicted);
    silr_buf_puts(b, " of them rules of different classes fired, and ");
    silr_page_count(b, t.tied);
    silr_buf_puts(
        b, " ended in a tie.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th "
           "scope=\"col\">Rule</th>"
           "<th scope=\"col\">Votes for</th><th scope=\"col\" class=\"n\">Texts</th><th "
           "scope=\"col\" class=\"n\">Overlaps</th>"
           "<th scope=\"col\" class=\"n\">Conflicts</th><th scope=\"col\" class=\"n\">Right</th>"
           "<th scope=\"col\" class=\"n\">Accuracy</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < t.n; i++)
        row(f, &t.rows[i], b);
    silr_buf_puts(b, "</tbody></table></div>\n</section>\n");
done:
    silr_free(t.rows);
    silr_free(docs);
    return st;
}
