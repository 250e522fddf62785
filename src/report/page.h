/* page.h - the sections of report.html, and how they write: unknown outside this folder.
 *
 * Everything that came from outside (texts, ids, names of classes, notes) goes through
 * silr_page_text, so that it can be read on the page but never act on it. */
#ifndef SILR_REPORT_PAGE_H
#define SILR_REPORT_PAGE_H

#include "report/figures.h"
#include "report/inside.h"

void silr_page_text(silr_buf *b, const char *s);               /* escaped; controls become U+FFFD */
void silr_page_bytes(silr_buf *b, const char *s, size_t len);  /* the same for a piece */
void silr_page_percent(silr_buf *b, double v);                 /* 95.3%; a dash for NAN */
void silr_page_count(silr_buf *b, size_t n);                   /* 12,345 */
void silr_page_class(silr_buf *b, const silr_facts *f, int k); /* its name as a chip; "no label" */
void silr_page_interval(silr_buf *b, const silr_interval *v);  /* 95.3% (93.1% to 97.0%) */
/* <section><h2>; ended by "</section>\n". intro: one sentence of ours, or NULL. */
void silr_page_open(silr_buf *b, const char *id, const char *title, const char *intro);

extern const char silr_page_style[];

/* Sections; each writes nothing when it has nothing to say. */
void silr_section_answer(const silr_facts *f, silr_buf *b);
void silr_section_recalibrated(const silr_facts *f, silr_buf *b); /* a sentence of the answer */
void silr_section_curves(const silr_facts *f, silr_buf *b);
void silr_section_sure(const silr_facts *f, silr_buf *b);
void silr_section_confusion(const silr_facts *f, silr_buf *b);
void silr_section_asked(const silr_facts *f, silr_buf *b);
silr_status silr_section_rules(const silr_facts *f, silr_buf *b, silr_error *err);
silr_status silr_section_texts(const silr_facts *f, silr_buf *b, silr_error *err);
void silr_section_sensitivity(const silr_facts *f, silr_buf *b);
void silr_section_warnings(const silr_facts *f, silr_buf *b);
void silr_section_corpus(const silr_facts *f, silr_buf *b);
void silr_section_reproduce(const silr_facts *f, silr_buf *b);

/* Every figure of the report; each fills g (cleared before) or leaves it empty. */
typedef void (*silr_figure_build)(const silr_facts *f, silr_figure *g);
void silr_build_accuracy(const silr_facts *f, silr_figure *g);
void silr_build_theta(const silr_facts *f, silr_figure *g);
void silr_build_flips(const silr_facts *f, silr_figure *g);
void silr_build_losses(const silr_facts *f, silr_figure *g);
void silr_build_before(const silr_facts *f, silr_figure *g);
void silr_build_after(const silr_facts *f, silr_figure *g);
void silr_build_reliability(const silr_facts *f, silr_figure *g);
/* One figure as <figure> with its caption; nothing when it is empty. */
void silr_page_figure(const silr_facts *f, silr_figure_build build, silr_buf *b);

#endif
