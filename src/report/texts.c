/* texts.c - the texts themselves: those that changed, and those worth a look by a person.
 *
 * Changed labels come the most certain first: if those look wrong, the run is wrong. What a
 * person should check next are the least certain ones: there a label tells most. */
#include "report/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 420, EVIDENCE = 6, CHECK = 10 };

typedef struct {
    uint32_t doc;
    int rank;     /* smaller comes first, whatever the score */
    double score; /* larger comes first */
} pick;

static int before(const void *a, const void *b)
{
    const pick *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank - y->rank;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->doc < y->doc ? -1 : 1;
}

static void sift(pick *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        pick swap = heap[i];
        if (child + 1 < n && before(&heap[child], &heap[child + 1]) < 0)
            child++;
        if (before(&swap, &heap[child]) >= 0)
            return;
        heap[i] = heap[child];
        heap[child] = swap;
    }
}

/* Keeps the `most` foremost of what it is offered; heap[0] is the hindmost kept. */
static void offer(pick *heap, size_t *n, size_t most, pick p)
{
    if (*n < most) {
        heap[(*n)++] = p;
        if (*n == most)
            for (size_t i = most / 2; i-- > 0;)
                sift(heap, most, i);
    } else if (most > 0 && before(&p, &heap[0]) < 0) {
        heap[0] = p;
        sift(heap, most, 0);
    }
}

/* The text, cut at a character, as a paragraph. */
static void body(const silr_facts *f, size_t doc, silr_buf *b)
{
    size_t len, cut;
    bool any = false;
    const char *s = silr_corpus_text(f->corpus, doc, &len);

    for (cut = len < SHOWN ? len : SHOWN; cut < len && ((unsigned char)s[cut] & 0xc0) == 0x80;)
        cut--;
    for (size_t back = 0; cut < len && back < 30 && cut > back; back++) /* rather between words */
        if (s[cut - back] == ' ' || s[cut - back] == '\n') {
            cut -= back;
            break;
        }
    silr_buf_puts(b, "<p class=\"text\" dir=\"auto\">");
    for (size_t i = 0, from = 0; i <= cut; i++) { /* lines stay, empty ones between them go */
        bool end = i == cut || s[i] == '\n';
        if (end && i > from) {
            if (any)
                silr_buf_putc(b, '\n');
            silr_page_bytes(b, s + from, i - from);
            any = true;
        }
        from = end ? i + 1 : from;
    }
    if (cut < len)
        silr_buf_puts(b, "\xe2\x80\xa6");
    silr_buf_puts(b, "</p>");
}

static void evidence(const silr_facts *f, const silr_model *m, size_t doc, silr_buf *b)
{
    silr_evidence e[EVIDENCE];
    size_t len;
    const char *s = silr_corpus_text(f->corpus, doc, &len);
    int n = m ? silr_model_explain(m, s, len, f->final[doc], e, EVIDENCE, NULL) : 0;
    bool any = false;

    for (int i = 0; i < n; i++) {
        if (!(e[i].contribution > 0))
            continue;
        silr_buf_puts(b, any ? " " : "<p class=\"evidence\"><span>What spoke for it</span> ");
        silr_buf_puts(b, "<code>");
        silr_page_text(b, e[i].ngram);
        silr_buf_puts(b, "</code>");
        any = true;
    }
    if (any)
        silr_buf_puts(b, "</p>");
}

static void card(const silr_facts *f, const silr_model *m, size_t doc, silr_buf *b)
{
    double score = silr_facts_score(f, doc);

    silr_buf_puts(b, "<li><div class=\"what\">");
    if (f->initial[doc] != f->final[doc]) {
        silr_page_class(b, f, f->initial[doc]);
        silr_buf_puts(b, " <span class=\"arrow\">\xe2\x86\x92</span> ");
    }
    silr_page_class(b, f, f->final[doc]);
    silr_buf_printf(
        b, " <span class=\"meter\"><i style=\"width:%.0f%%\"></i></span> <span class=\"p\">",
        isfinite(score) ? score * 100 : 0);
    silr_page_percent(b, score);
    silr_buf_puts(b, "</span>");
    if (f->known[doc] != SILR_NO_LABEL) {
        silr_buf_puts(b, " <span class=\"tag\">checked by a person: ");
        silr_page_text(b, f->task->classes[f->known[doc]]);
        silr_buf_puts(b, "</span>");
    } else if (silr_corpus_truth(f->corpus, doc) != SILR_NO_LABEL) {
        int truth = silr_corpus_truth(f->corpus, doc);
        silr_buf_printf(
            b, " <span class=\"tag%s\">true label: ", truth == f->final[doc] ? "" : " bad");
        silr_page_text(b, f->task->classes[truth]);
        silr_buf_puts(b, truth == f->final[doc] ? " \xe2\x9c\x93</span>" : " \xe2\x9c\x97</span>");
    }
    silr_buf_puts(b, "<span class=\"id\">");
    silr_page_text(b, silr_corpus_id(f->corpus, doc));
    silr_buf_puts(b, "</span></div>");
    body(f, doc, b);
    evidence(f, m, doc, b);
    silr_buf_puts(b, "</li>\n");
}

static void cards(const silr_facts *f, const silr_model *m, pick *p, size_t n, silr_buf *b)
{
    qsort(p, n, sizeof *p, before);
    silr_buf_puts(b, "<ol class=\"texts\">\n");
    for (size_t i = 0; i < n; i++)
        card(f, m, p[i].doc, b);
    silr_buf_puts(b, "</ol>\n</section>\n");
}

/* The classifier explains; a run whose classifier is gone still has its report, without reasons. */
static silr_status load(const silr_facts *f, silr_model **m, silr_error *err)
{
    char *dir = silr_path_join(f->dir, "classifier");
    silr_status st = SILR_OK;

    *m = NULL;
    if (!dir)
        return silr_fail_memory(err);
    if (silr_file_exists(dir))
        st = silr_model_open(m, dir, &(silr_model_opts){.no_encoder = true}, err);
    if (st == SILR_OK && *m && silr_model_classes(*m) != f->K) {
        silr_model_free(*m);
        *m = NULL;
    }
    silr_free(dir);
    return st == SILR_ENOMEM ? st : SILR_OK;
}

static void changed(const silr_facts *f, const silr_model *m, pick *p, size_t most, silr_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->final[i] != f->initial[i] && f->final[i] != SILR_NO_LABEL)
            offer(p, &n, most,
                  (pick){(uint32_t)i, f->initial[i] == SILR_NO_LABEL, silr_facts_score(f, i)});
    if (n == 0)
        return;
    silr_page_open(b, "changed", "Texts whose label changed",
                   "The most certain first. If these look wrong, something is wrong with the run.");
    cards(f, m, p, n, b);
}

static void check(const silr_facts *f, const silr_model *m, pick *p, size_t most, silr_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->final[i] != SILR_NO_LABEL && f->known[i] == SILR_NO_LABEL)
            offer(p, &n, most,
                  (pick){(uint32_t)i, silr_corpus_split(f->corpus, i) == SILR_TEST,
                         -silr_facts_score(f, i)});
    if (n == 0)
        return;
    silr_page_open(b, "check", "Worth checking by hand next",
                   "The least certain labels: a person's label tells most here. Below 50% the "
                   "label was kept although the classifier leans the other way.");
    cards(f, m, p, n, b);
}

silr_status silr_section_texts(const silr_facts *f, silr_buf *b, silr_error *err)
{
    size_t most = f->task->report.examples > 0 ? (size_t)f->task->report.examples : 0;
    silr_model *m = NULL;
    pick *p = NULL;
    silr_status st;

    if (!f->finished)
        return SILR_OK;
    most = most < f->n ? most : f->n;
    if ((st = load(f, &m, err)) != SILR_OK)
        return st;
    if (!(p = silr_alloc(most > CHECK ? most : CHECK, sizeof *p))) {
        st = silr_fail_memory(err);
        goto done;
    }
    changed(f, m, p, most, b);
    check(f, m, p, most < CHECK ? most : CHECK, b);
done:
    silr_free(p);
    silr_model_free(m);
    return st;
}
