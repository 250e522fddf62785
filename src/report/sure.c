/* sure.c - how sure the labels are: where the scores lie, and whether they keep their word.
 *
 * A calibrated score of 0.8 is right 8 times of 10. The labelled sample can show that only
 * roughly, and it was trained on; where the corpus has true labels, all texts show it. */
#include "report/page.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = 20, SAMPLE_BINS = 5, ALL_BINS = 10 };

static void spread(const silr_facts *f, silr_figure *g)
{
    g->y_label = "texts";
    g->kind = SILR_FIGURE_STACK;
    g->percent_x = true;
    g->x_min = 0;
    g->x_max = 1;
    g->bar = 1.0 / BINS;
    g->x_label = f->K == 2 ? "probability of the first class" : "probability of the label";
}

/* Adds one to the bar that holds v; what a bar's height means is the caller's business. */
static void count(silr_series *s, double v)
{
    int bin = (int)(v * BINS);
    if (isfinite(v))
        s->p[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin].y++;
}

static silr_series *empty_bars(silr_figure *g, const char *name, int colour)
{
    silr_series *s = silr_figure_add(g, name, BINS, colour);
    for (int i = 0; s && i < BINS; i++)
        s->p[i] = (silr_point){(i + 0.5) / BINS, 0, NAN, NAN};
    return s;
}

/* Two classes: the final probabilities, coloured by `label`. */
static void by_label(const silr_facts *f, silr_figure *g, const int *label, bool none)
{
    silr_series *s[3] = {0};
    s[0] = empty_bars(g, f->task->classes[0], 0);
    s[1] = empty_bars(g, f->task->classes[1], 1);
    if (none)
        s[2] = empty_bars(g, "no label", 6);
    if (g->failed)
        return;
    for (size_t i = 0; i < f->n; i++) {
        int k = label[i] == SILR_NO_LABEL ? 2 : label[i];
        if (s[k] && f->final[i] != SILR_NO_LABEL)
            count(s[k], (double)f->prob[2 * i]);
    }
}

void silr_build_before(const silr_facts *f, silr_figure *g)
{
    g->name = "scores-before";
    g->title = "Scores, by the label before";
    g->note = "The final probability of each text, coloured by what the annotator had said. Colour "
              "on the wrong side is what changed.";
    spread(f, g);
    if (f->K == 2 && f->finished)
        by_label(f, g, f->initial, f->n_initial < f->n);
}

void silr_build_after(const silr_facts *f, silr_figure *g)
{
    silr_series *s[3];

    g->name = f->K == 2 ? "scores-after" : "scores";
    g->title = f->K == 2 ? "Scores, by the label now" : "How probable the labels are";
    g->note = f->K == 2 ? "The same probabilities, coloured by the refined label."
                        : "The calibrated probability of each final label, by what happened to it.";
    spread(f, g);
    if (!f->finished)
        return;
    if (f->K == 2) {
        by_label(f, g, f->final, false);
        return;
    }
    s[0] = empty_bars(g, "kept", 0);
    s[1] = empty_bars(g, "changed", 1);
    s[2] = empty_bars(g, "had none", 2);
    if (g->failed)
        return;
    for (size_t i = 0; i < f->n; i++)
        count(s[f->initial[i] == SILR_NO_LABEL ? 2 : f->initial[i] != f->final[i]],
              silr_facts_score(f, i));
}

typedef struct {
    double score;
    bool right;
} answer;

static int by_score(const void *a, const void *b)
{
    const answer *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (int)x->right - (int)y->right;
}

/* The labelled sample in groups of equal size. */
static void sample_points(const silr_facts *f, silr_series *s)
{
    answer *a = silr_alloc(f->n_known, sizeof *a);
    size_t n = 0;

    if (!a)
        return;
    for (size_t i = 0; i < f->n && n < f->n_known; i++)
        if (f->known[i] != SILR_NO_LABEL && f->final[i] != SILR_NO_LABEL)
            a[n++] = (answer){silr_facts_score(f, i), f->known[i] == f->final[i]};
    qsort(a, n, sizeof *a, by_score);
    for (size_t j = 0; j < s->n; j++) {
        size_t from = n * j / s->n, to = n * (j + 1) / s->n, right = 0;
        double sum = 0;
        silr_interval v;
        for (size_t i = from; i < to; i++) {
            sum += a[i].score;
            right += a[i].right;
        }
        if (to == from)
            continue;
        v = silr_proportion((double)right, (double)(to - from), false);
        s->p[j] = (silr_point){sum / (double)(to - from), (double)right / (double)(to - from),
                               v.low, v.high};
    }
    silr_free(a);
}

/* All texts with a truth, in bins of equal width, measured by the one door to the truth. */
static bool truth_points(const silr_facts *f, silr_series *s)
{
    uint32_t *docs = silr_alloc(f->n, sizeof *docs);
    bool ok = docs != NULL;

    for (size_t j = 0; ok && j < s->n; j++) {
        double low = (double)j / (double)s->n, high = (double)(j + 1) / (double)s->n, sum = 0;
        silr_measured m = {0};
        size_t n = 0;
        for (size_t i = 0; i < f->n; i++) {
            double v = silr_facts_score(f, i);
            if (v >= low && (v < high || (j + 1 == s->n && v <= 1))) {
                docs[n++] = (uint32_t)i;
                sum += v;
            }
        }
        ok = silr_measure(&m, f, docs, n, f->final, NULL) == SILR_OK;
        if (m.present)
            s->p[j] = (silr_point){sum / (double)n, m.scores->accuracy, NAN, NAN};
        silr_measured_clear(&m);
    }
    silr_free(docs);
    return ok;
}

void silr_build_reliability(const silr_facts *f, silr_figure *g)
{
    silr_series *s;

    g->name = "reliability";
    g->title = "Does the score keep its word?";
    g->note = "On the dotted line a score of 80% is right 8 times of 10; above it the score is too "
              "modest, below too bold. The labelled sample took part in training and flatters.";
    g->x_label = "probability of the label";
    g->y_label = "share that is right";
    g->percent_x = g->percent_y = g->diagonal = true;
    g->x_max = g->y_max = 1;
    if (!f->finished)
        return;
    if (f->n_known > 0 && (s = silr_figure_add(g, "labelled sample", SAMPLE_BINS, 0)))
        sample_points(f, s);
    if ((f->label.present || f->test.present) &&
        (s = silr_figure_add(g, "all texts (true labels)", ALL_BINS, 1)))
        g->failed |= !truth_points(f, s);
}

void silr_section_sure(const silr_facts *f, silr_buf *b)
{
    if (!f->finished)
        return;
    silr_page_open(b, "sure", "How sure the labels are", NULL);
    silr_buf_puts(b, "<div class=\"charts\">\n");
    silr_page_figure(f, silr_build_before, b);
    silr_page_figure(f, silr_build_after, b);
    silr_page_figure(f, silr_build_reliability, b);
    silr_buf_puts(b, "</div>\n</section>\n");
}
