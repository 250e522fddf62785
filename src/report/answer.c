/* answer.c - what came out, how sure it is, and what to do next: the first thing on the page.
 *
 * Numbers of two kinds stand side by side and are never mixed up: *estimated* from the labelled
 * sample (all that a user has), and *measured* against true labels (only where a corpus has them).
 */
#include "report/page.h"

#include <math.h>
#include <string.h>

/* What a reader should do, in one headline and one explanation. */
typedef struct {
    const char *tone; /* good, care, stop: colour and sign */
    const char *headline;
    char why[480];
} advice;

/* Labels needed for an interval of +-half around accuracy p, rounded up to tens. */
static size_t labels_for(double p, double half)
{
    double n = 1.96 * 1.96 * p * (1 - p) / (half * half);
    return (size_t)(ceil(n / 10) * 10);
}

static void advise_more(const silr_facts *f, advice *a)
{
    size_t need = labels_for(f->after.value, 0.04);
    size_t more = need > f->n_known + 20 ? need - f->n_known : 20;
    a->tone = "care";
    a->headline = "Better, but check some more texts";
    snprintf(a->why, sizeof a->why,
             "The new labels look better, but %zu checked texts leave a wide interval. Label about "
             "%zu more (silr label) and run again: the interval shrinks to about \xc2\xb1"
             "4 points.",
             f->n_known, more);
}

static const char *unchecked(const silr_facts *f)
{
    switch (f->task->labelled.kind) {
    case SILR_LABELLED_GIVEN:
        return "theta and pi were given, not counted: no checked text says how right the labels "
               "are.";
    case SILR_LABELLED_ORACLE:
        return "True labels set theta and pi: there is no labelled sample to say how right the "
               "labels "
               "are. What was measured against the truth stands above.";
    default:
        return "No text was checked by a person, so nothing here says how right the labels are.";
    }
}

static advice advise(const silr_facts *f)
{
    advice a = {.tone = "good"};
    double gain = f->after.value - f->before.value, width = f->after.high - f->after.low;

    if (!f->finished) {
        a = (advice){.tone = "care", .headline = "This run is not finished"};
        snprintf(a.why, sizeof a.why, "The same command goes on where it was stopped.");
    } else if (f->verdict.len && strcmp(f->verdict.data, "refuse") == 0) {
        a = (advice){.tone = "stop", .headline = "Do not use these labels"};
        snprintf(
            a.why, sizeof a.why,
            "The annotator's labels tell too little for refining; it was "
            "forced to go on. Better labels to start from, or more checked texts, are needed.");
    } else if (isnan(f->after.value)) {
        a = (advice){.tone = "care", .headline = "Check some texts before you use these labels"};
        snprintf(a.why, sizeof a.why, "%s Label about 50 (silr label) and run again.",
                 unchecked(f));
    } else if (isfinite(f->before.value) && gain < -0.005) {
        a = (advice){.tone = "stop", .headline = "Do not use the new labels"};
        snprintf(a.why, sizeof a.why,
                 "By the checked texts they are worse than the annotator's "
                 "own by %.1f points. Keep the annotator's labels; a better prompt, other rules or "
                 "more checked texts may help.",
                 -gain * 100);
    } else if (isfinite(f->before.value) && gain < 0.005) {
        a = (advice){.tone = "care", .headline = "Refining changed little"};
        snprintf(a.why, sizeof a.why,
                 "The labels are about as right as the annotator's own. What "
                 "you gain is a classifier for new texts%s.",
                 f->gained ? " and labels for the texts that had none" : "");
    } else if (isfinite(width) && width > 0.12) {
        advise_more(f, &a);
    } else if (f->after.low >= 0.9) {
        a.headline = "Good enough for most uses";
        snprintf(a.why, sizeof a.why,
                 "Even at the lower end of the interval nine labels of ten are "
                 "right. Look through the least certain texts below if single errors matter.");
    } else {
        a.headline = "Use the new labels instead of the old ones";
        snprintf(a.why, sizeof a.why,
                 "They are estimated to be %.1f points better. For higher "
                 "accuracy check the least certain texts below and run again with those labels.",
                 gain * 100);
    }
    return a;
}

/* "89 to 100": what fifty texts can tell; a bare "100" would promise what nobody knows. */
static void span(silr_buf *b, const silr_interval *v)
{
    double low = v->low * 100, high = v->high * 100;
    if (isfinite(low) && isfinite(high) && high - low >= 1)
        silr_buf_printf(b, "%.0f to %.0f", low, high);
    else
        silr_buf_printf(b, "%.0f", v->value * 100);
}

static void lead(const silr_facts *f, silr_buf *b)
{
    size_t missing = f->n - f->n_initial;

    silr_buf_puts(b, "<p class=\"lead\">Of ");
    silr_page_count(b, f->n_initial);
    silr_buf_puts(b, " labels, <strong>");
    silr_page_count(b, f->corrected);
    silr_buf_puts(b, f->corrected == 1 ? " was changed</strong>" : " were changed</strong>");
    if (missing > 0) {
        silr_buf_puts(b, "; of ");
        silr_page_count(b, missing);
        silr_buf_puts(b, missing == 1 ? " text that had none, <strong>"
                                      : " texts that had none, <strong>");
        silr_page_count(b, f->gained);
        silr_buf_puts(b, f->gained == 1 ? " has one now</strong>" : " have one now</strong>");
    }
    silr_buf_puts(b, ".");
    if (isfinite(f->after.value)) {
        silr_buf_puts(b, missing ? " Where there was a label before, <strong>" : " <strong>");
        span(b, &f->after);
        silr_buf_puts(b, " of 100</strong> are right now");
        if (isfinite(f->before.value)) {
            silr_buf_puts(b, "; before it was ");
            span(b, &f->before);
        }
        silr_buf_putc(b, '.');
    }
    silr_buf_puts(b, "</p>\n");
}

/* One row of the before-and-after chart: a bar from low to high and a dot, placed in per cent. */
static void track(silr_buf *b, const char *name, const char *kind, const silr_interval *v,
                  double from)
{
    double scale = 100 / (1 - from);
    if (!isfinite(v->value))
        return;
    silr_buf_printf(b, "<div class=\"row %s\"><span class=\"name\">%s</span><span class=\"track\">",
                    kind, name);
    if (isfinite(v->low) && isfinite(v->high) && v->high > v->low)
        silr_buf_printf(b, "<i class=\"bar\" style=\"left:%.2f%%;width:%.2f%%\"></i>",
                        (v->low - from) * scale, (v->high - v->low) * scale);
    silr_buf_printf(b, "<i class=\"dot\" style=\"left:%.2f%%\"></i></span><span class=\"value\">",
                    (v->value - from) * scale);
    if (isfinite(v->low) && isfinite(v->high) && v->high > v->low)
        silr_page_interval(b, v);
    else
        silr_page_percent(b, v->value);
    silr_buf_puts(b, "</span></div>\n");
}

static double least(double from, double v)
{
    return isfinite(v) && v < from ? v : from;
}

static void ladder(const silr_facts *f, silr_buf *b)
{
    silr_interval was = {NAN, NAN, NAN}, is = was, test = was;
    double from = 0.9, step;

    if (f->n_accounts && f->account[0].label.present)
        was.value = f->account[0].label.scores->accuracy;
    if (f->label.present)
        is.value = f->label.scores->accuracy;
    if (f->test.present)
        test.value = f->test.scores->accuracy;
    from = least(from, f->before.low);
    from = least(from, f->before.value);
    from = least(from, f->after.low);
    from = least(from, f->after.value);
    if (f->recalibrated.present)
        from = least(from, least(f->recalibrated.estimated.low, f->recalibrated.estimated.value));
    from = least(from, least(was.value, least(is.value, test.value)));
    from = floor(from * 10 - 0.001) / 10;
    from = from < 0 ? 0 : from;
    step = from < 0.35 ? 0.2 : from < 0.75 ? 0.1 : 0.05;
    if (step > 0.15) /* whole steps up to 100% */
        from = floor(from * 5) / 5;
    if (!isfinite(f->after.value) && !isfinite(f->before.value) && !isfinite(is.value))
        return;
    silr_buf_puts(b, "<div class=\"ladder\">\n<h3>Share of labels that are right</h3>\n");
    track(b, "Before, estimated", "was", &f->before, from);
    if (f->recalibrated.present)
        track(b, "Recalibrated, estimated", "was", &f->recalibrated.estimated, from);
    track(b, "After, estimated", "is", &f->after, from);
    if (isfinite(is.value))
        silr_buf_puts(b, "<p class=\"truthline\">Measured against the true labels this corpus "
                         "comes with (never used for training, beyond the labelled sample):</p>\n");
    track(b, "Before, measured", "was true", &was, from);
    track(b, "After, measured", "is true", &is, from);
    track(b, "On test texts", "is true", &test, from);
    silr_buf_puts(b, "<div class=\"row scale\"><span class=\"name\"></span><span class=\"track\">");
    for (int i = 0; i <= 10; i++) {
        double v = from + i * step;
        if (v < 1.001)
            silr_buf_printf(b, "<i style=\"left:%.2f%%\">%.0f%%</i>", (v - from) / (1 - from) * 100,
                            v * 100);
    }
    silr_buf_puts(b, "</span><span class=\"value\"></span></div>\n</div>\n");
    if (isfinite(f->after.low))
        silr_buf_printf(
            b,
            "<p class=\"fine\">Bars are 95%% intervals, estimated from %zu texts that a "
            "person checked%s.</p>\n",
            f->n_known,
            f->gained ? "; they hold for the texts that the annotator had labelled. "
                        "Nobody checked those that it left out, and they are usually "
                        "the harder ones"
                      : "");
}

void silr_section_answer(const silr_facts *f, silr_buf *b)
{
    advice a = advise(f);

    silr_buf_puts(b,
                  "<section id=\"answer\" class=\"hero\">\n<h2 class=\"quiet\">The answer</h2>\n");
    if (f->finished) {
        lead(f, b);
        silr_section_recalibrated(f, b);
    }
    ladder(f, b);
    silr_buf_printf(b, "<div class=\"advice %s\"><h3>%s</h3><p>%s</p></div>\n</section>\n", a.tone,
                    a.headline, a.why);
}
