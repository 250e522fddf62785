/* standing.c - how the labels stand: on the screen of `silr label`, at its end, and as JSON. */
#include "cli/standing.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void cli_put_short(silr_buf *b, double x)
{
    char text[16];

    snprintf(text, sizeof text, "%.2f", fabs(x));
    silr_buf_printf(b, "%s%s", x < -0.005 ? "-" : "", text[0] == '0' ? text + 1 : text);
}

/* Rounded down: 0.95 is not said of what is less, nor 1.00. */
static double floored(double p)
{
    return floor(p * 100 + 1e-9) / 100;
}

static void put_interval(silr_buf *b, const silr_priors *p, int set)
{
    /* Class 0 of set 1 is what is wrong in it: theta_n, the other way round than the diagonal. */
    bool negative = p->K == 2 && set == 1;
    double low = negative ? 1 - p->theta_high[1] : p->theta_low[set];
    double high = negative ? 1 - p->theta_low[1] : p->theta_high[set];

    cli_put_short(b, negative ? p->theta[2] : p->theta[set * p->K + set]);
    silr_buf_puts(b, " (");
    cli_put_short(b, low);
    silr_buf_puts(b, " to ");
    cli_put_short(b, high);
    silr_buf_putc(b, ')');
}

static void put_name(silr_buf *b, const silr_task *task, int set)
{
    if (task->n_classes == 2)
        silr_buf_puts(b, set == 0 ? "theta_p " : "theta_n ");
    else
        silr_buf_printf(b, "%.20s ", task->classes[set]);
}

static void put_sure(silr_buf *b, const silr_priors *p)
{
    silr_buf_puts(b, "P(D > .05) ");
    cli_put_short(b, floored(p->p_d_margin));
}

void cli_standing_set(silr_buf *b, const silr_task *task, const silr_priors *p, int set)
{
    put_name(b, task, set);
    put_interval(b, p, set);
}

void cli_standing_numbers(silr_buf *b, const silr_task *task, const silr_standing *s, int cols,
                          int lines)
{
    silr_buf item = {0};
    int K = (int)task->n_classes, line = 1;
    size_t begun = b->len;

    for (int k = 0; k <= K; k++) {
        silr_buf_reset(&item);
        if (k < K)
            cli_standing_set(&item, task, &s->priors, k);
        else
            put_sure(&item, &s->priors);
        if (b->len > begun && b->len - begun + 2 + item.len > (size_t)cols) {
            if (++line > lines) {
                if (k < K && b->len - begun + 4 <= (size_t)cols) /* P(D) the advice has too */
                    silr_buf_puts(b, " ...");
                break;
            }
            silr_buf_putc(b, '\n');
            begun = b->len;
        }
        silr_buf_printf(b, "%s%s", b->len > begun ? "  " : "", item.data ? item.data : "");
    }
    silr_buf_clear(&item);
}

static void advise_more(silr_buf *b, const silr_standing *s)
{
    const silr_priors *p = &s->priors;

    if (p->p_d_positive < 0.05)
        silr_buf_printf(b, "P(D > 0) is %.2f: the labels point the wrong way; are two classes "
                        "swapped?", floored(p->p_d_positive));
    else if (s->needed != SIZE_MAX)
        silr_buf_printf(b, "P(D > 0.05) is %.2f: not enough yet; about %zu more will do, as likely as "
                        "not", floored(p->p_d_margin), s->needed);
    else
        silr_buf_printf(b, "P(D > 0.05) is %.2f: the labels tell little apart so far; 10 more, or a "
                        "better annotator", floored(p->p_d_margin));
}

void cli_standing_advice(silr_buf *b, const silr_standing *s)
{
    if (s->start_left > 0) {
        silr_buf_printf(b, "%zu more make up the start; before that the numbers say little",
                        s->start_left);
    } else if (!s->enough) {
        advise_more(b, s);
    } else {
        silr_buf_printf(b, "P(D > 0.05) is %.2f: enough to refine", floored(s->priors.p_d_margin));
        if (s->ahead == 0)
            return;
        silr_buf_printf(b, "; %zu more would narrow the accuracy's interval from ", s->ahead);
        cli_put_short(b, s->accuracy.high - s->accuracy.low);
        silr_buf_puts(b, " to ");
        cli_put_short(b, s->then.high - s->then.low);
    }
}

void cli_standing_change(silr_buf *b, const silr_task *task, const silr_standing *before,
                         const silr_standing *now, int set)
{
    silr_buf_puts(b, "last label: ");
    put_name(b, task, set);
    put_interval(b, &before->priors, set);
    silr_buf_puts(b, " -> ");
    put_interval(b, &now->priors, set);
    silr_buf_puts(b, ", ");
    put_sure(b, &before->priors);
    silr_buf_puts(b, " -> ");
    cli_put_short(b, floored(now->priors.p_d_margin));
}

void cli_standing_json(silr_buf *b, const silr_task *task, const silr_standing *s, const char *path,
                       size_t wanted)
{
    silr_buf advice = {0};

    cli_standing_advice(&advice, s);
    silr_buf_puts(b, "{\"file\":");
    silr_buf_json(b, path, strlen(path));
    silr_buf_printf(b, ",\"labelled\":%zu,\"wanted\":%zu,\"answers\":[", s->labelled, wanted);
    for (size_t k = 0; k < task->n_classes; k++)
        silr_buf_printf(b, "%s%zu", k ? "," : "", s->answers[k]);
    silr_buf_putc(b, ']');
    cli_json_priors(b, task, &s->priors);
    silr_buf_puts(b, ",\"accuracy\":{\"value\":");
    silr_buf_number(b, s->accuracy.value, 6);
    silr_buf_puts(b, ",\"low\":");
    silr_buf_number(b, s->accuracy.low, 6);
    silr_buf_puts(b, ",\"high\":");
    silr_buf_number(b, s->accuracy.high, 6);
    silr_buf_printf(b, "},\"start_left\":%zu,\"enough\":%s,\"needed\":", s->start_left,
                    s->enough ? "true" : "false");
    if (s->needed == SIZE_MAX)
        silr_buf_puts(b, "null");
    else
        silr_buf_printf(b, "%zu", s->needed);
    silr_buf_puts(b, ",\"advice\":");
    silr_buf_json(b, advice.data ? advice.data : "", advice.len);
    silr_buf_puts(b, "}\n");
    b->failed |= advice.failed;
    silr_buf_clear(&advice);
}
