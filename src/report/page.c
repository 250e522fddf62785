/* page.c - report.html: one file that opens anywhere, offline, without a script.
 *
 * The page's own security policy forbids every script and every request, so that even a mistake
 * in escaping could not run anything. */
#include "report/page.h"

#include <math.h>
#include <string.h>

void silr_page_bytes(silr_buf *b, const char *s, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
            continue;
        silr_buf_html(b, s + from, i - from);
        silr_buf_puts(b, "\xef\xbf\xbd");
        from = i + 1;
    }
    silr_buf_html(b, s + from, len - from);
}

void silr_page_text(silr_buf *b, const char *s)
{
    silr_page_bytes(b, s, strlen(s));
}

void silr_page_percent(silr_buf *b, double v)
{
    if (isfinite(v))
        silr_buf_printf(b, "%.1f%%", v * 100);
    else
        silr_buf_puts(b, "\xe2\x80\x93");
}

void silr_page_count(silr_buf *b, size_t n)
{
    char s[32], out[48];
    int len = snprintf(s, sizeof s, "%zu", n), to = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[to++] = ',';
        out[to++] = s[i];
    }
    silr_buf_add(b, out, (size_t)to);
}

void silr_page_class(silr_buf *b, const silr_facts *f, int k)
{
    if (k == SILR_NO_LABEL || k < 0 || k >= f->K) {
        silr_buf_puts(b, "<span class=\"chip none\">no label</span>");
        return;
    }
    silr_buf_printf(b, "<span class=\"chip k%d\">", f->K == 2 ? k : 6);
    silr_page_text(b, f->task->classes[k]);
    silr_buf_puts(b, "</span>");
}

void silr_page_interval(silr_buf *b, const silr_interval *v)
{
    silr_page_percent(b, v->value);
    if (!isfinite(v->value))
        return;
    silr_buf_puts(b, " <span class=\"ci\">(");
    silr_page_percent(b, v->low);
    silr_buf_puts(b, " to ");
    silr_page_percent(b, v->high);
    silr_buf_puts(b, ")</span>");
}

void silr_page_open(silr_buf *b, const char *id, const char *title, const char *intro)
{
    silr_buf_printf(b, "<section id=\"%s\">\n<h2>%s</h2>\n", id, title);
    if (intro)
        silr_buf_printf(b, "<p class=\"intro\">%s</p>\n", intro);
}

void silr_page_figure(const silr_facts *f, silr_figure_build build, silr_buf *b)
{
    silr_figure *g = silr_calloc(1, sizeof *g);
    if (!g) {
        b->failed = true;
        return;
    }
    build(f, g);
    if (!silr_figure_empty(g)) {
        silr_buf_puts(b, "<figure><h3>");
        silr_page_text(b, g->title);
        silr_buf_puts(b, "</h3>");
        silr_figure_svg(g, false, b);
        silr_buf_puts(b, "<figcaption>");
        silr_page_text(b, g->note);
        silr_buf_puts(b, "</figcaption></figure>\n");
    }
    b->failed |= g->failed;
    silr_figure_clear(g);
    silr_free(g);
}

static void head(const silr_facts *f, silr_buf *b)
{
    const silr_task *t = f->task;
    silr_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'\">\n<title>");
    silr_page_text(b, t->name ? t->name : "silr");
    silr_buf_puts(b, " \xc2\xb7 silr report</title>\n<style>");
    silr_buf_puts(b, silr_page_style);
    silr_figure_style(b);
    silr_buf_puts(
        b,
        "</style>\n</head>\n<body>\n<main>\n<header>\n<p class=\"kicker\">silr report</p>\n<h1>");
    silr_page_text(b, t->name ? t->name : "A run");
    silr_buf_puts(b, "</h1>\n");
    if (t->question && t->question[0]) {
        silr_buf_puts(b, "<p class=\"question\">");
        silr_page_text(b, t->question);
        silr_buf_puts(b, "</p>\n");
    }
    silr_buf_puts(b, "</header>\n");
    if (t->labelled.kind == SILR_LABELLED_ORACLE)
        silr_buf_puts(b, "<p class=\"alarm\"><strong>Oracle priors: true labels of all texts were "
                         "used.</strong> These figures show what the method could do at best; they "
                         "do not show what it does with the labels you have.</p>\n");
    silr_buf_puts(b, "<nav><a href=\"#answer\">Answer</a> <a href=\"#curves\">Iterations</a> "
                     "<a href=\"#sure\">How sure</a> <a href=\"#confusion\">Classes</a> ");
    if (f->annotators.model || f->annotators.several)
        silr_buf_puts(b, "<a href=\"#annotators\">Annotators</a> ");
    silr_buf_puts(b, "<a href=\"#changed\">Changed texts</a> <a href=\"#corpus\">Corpus</a> "
                     "<a href=\"#reproduce\">Reproduce</a></nav>\n");
}

static silr_status page(const silr_facts *f, silr_buf *b, silr_error *err)
{
    silr_status st;

    head(f, b);
    silr_section_answer(f, b);
    silr_section_warnings(f, b);
    silr_section_curves(f, b);
    silr_section_sure(f, b);
    silr_section_confusion(f, b);
    silr_section_asked(f, b);
    if ((st = silr_section_rules(f, b, err)) != SILR_OK ||
        (st = silr_section_texts(f, b, err)) != SILR_OK)
        return st;
    silr_section_sensitivity(f, b);
    silr_section_corpus(f, b);
    silr_section_reproduce(f, b);
    silr_buf_puts(b, "</main>\n</body>\n</html>\n");
    return b->failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status figures(const silr_facts *f, silr_error *err)
{
    static const silr_figure_build all[] = {
        silr_build_accuracy, silr_build_theta, silr_build_flips,      silr_build_losses,
        silr_build_before,   silr_build_after, silr_build_reliability};
    silr_status st = SILR_OK;
    char *dir = silr_path_join(f->dir, "figures");
    silr_figure *g = silr_calloc(1, sizeof *g);

    if (!dir || !g)
        st = silr_fail_memory(err);
    else
        st = silr_mkdirs(dir, err);
    for (size_t i = 0; st == SILR_OK && i < sizeof all / sizeof *all; i++) {
        *g = (silr_figure){0};
        all[i](f, g);
        if (g->failed)
            st = silr_fail_memory(err);
        else if (!silr_figure_empty(g))
            st = silr_figure_write(g, dir, err);
        silr_figure_clear(g);
    }
    silr_free(g);
    silr_free(dir);
    return st;
}

silr_status silr_html_write(const silr_facts *f, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = page(f, &b, err);

    if (st == SILR_OK)
        st = silr_report_put(f->dir, "report.html", &b, err);
    silr_buf_clear(&b);
    return st == SILR_OK ? figures(f, err) : st;
}
