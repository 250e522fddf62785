/* redraw.c - a figure's data and a gnuplot script, so that a reader can draw it his own way.
 *
 *     cd figures && gnuplot accuracy.gp        writes accuracy.gnuplot.svg beside it
 *
 * The table has one block a series (gnuplot's "index"), columns x, y, low, high; ? is missing. */
#include "report/figures.h"

#include <math.h>
#include <string.h>

static void value(silr_buf *b, double v, char end)
{
    if (isfinite(v))
        silr_buf_printf(b, "%.6g%c", v, end);
    else
        silr_buf_printf(b, "?%c", end);
}

/* Names come from the user: in a comment or a gnuplot string they stay on one line and inside. */
static void plain(silr_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\'' || c == '\\' || c == '`' || c == '$' ||
            c == '@')
            silr_buf_putc(b, ' ');
        else
            silr_buf_putc(b, *s);
    }
}

void silr_figure_tsv(const silr_figure *g, silr_buf *b)
{
    for (size_t i = 0; i < g->n; i++) {
        const silr_series *s = &g->s[i];
        silr_buf_puts(b, i ? "\n\n# " : "# ");
        plain(b, s->name);
        silr_buf_puts(b, "\n# x\ty\tlow\thigh\n");
        for (size_t k = 0; k < s->n; k++) {
            value(b, s->p[k].x, '\t');
            value(b, s->p[k].y, '\t');
            value(b, s->p[k].low, '\t');
            value(b, s->p[k].high, '\n');
        }
    }
}

/* Bars stack: series i stands on the sum of those before it, which awk-like expressions cannot
 * reach across blocks. So every block is drawn as boxes of its own height, side by side. */
static void plot(const silr_figure *g, silr_buf *b)
{
    static const char *const colour[] = {"#0b62a8", "#b8520a", "#0b7a5c", "#9c3d86",
                                         "#8a6d00", "#3a8fc7", "#8a939e"};
    for (size_t i = 0; i < g->n; i++) {
        const silr_series *s = &g->s[i];
        bool interval = false;
        silr_buf_puts(b, i ? ", \\\n  " : "plot ");
        for (size_t k = 0; k < s->n; k++)
            interval |= isfinite(s->p[k].low) && isfinite(s->p[k].high);
        if (g->kind == SILR_FIGURE_STACK) {
            double wide = g->bar * 0.9 / (double)g->n;
            silr_buf_printf(b, "'%s.tsv' index %zu using ($1+%g):2:(%g) with boxes lc rgb '%s'",
                            g->name, i, wide * ((double)i - ((double)g->n - 1) / 2), wide,
                            colour[s->colour]);
        } else {
            if (interval)
                silr_buf_printf(b,
                                "'%s.tsv' index %zu using 1:2:3:4 with yerrorbars lc rgb '%s' pt 7 "
                                "ps 0.4 notitle, \\\n  ",
                                g->name, i, colour[s->colour]);
            silr_buf_printf(b, "'%s.tsv' index %zu using 1:2 with linespoints lc rgb '%s' dt %d",
                            g->name, i, colour[s->colour], s->dashed ? 2 : 1);
        }
        silr_buf_puts(b, " title \"");
        plain(b, s->name);
        silr_buf_putc(b, '"');
    }
    if (g->diagonal)
        silr_buf_puts(b, ", \\\n  x with lines lc rgb '#888888' dt 3 notitle");
    silr_buf_putc(b, '\n');
}

static void quoted(silr_buf *b, const char *what, const char *s)
{
    silr_buf_printf(b, "set %s \"", what);
    plain(b, s);
    silr_buf_puts(b, "\"\n");
}

void silr_figure_gnuplot(const silr_figure *g, silr_buf *b)
{
    silr_buf_printf(b,
                    "# gnuplot %s.gp\nset terminal svg size 720,480 font 'sans,14'\n"
                    "set encoding utf8\nset output '%s.gnuplot.svg'\nset datafile missing '?'\n"
                    "set termoption noenhanced\nset key outside top\n",
                    g->name, g->name);
    quoted(b, "title", g->title);
    quoted(b, "xlabel", g->x_label);
    quoted(b, "ylabel", g->y_label);
    silr_buf_printf(b, "set xrange [%g:%g]\n", g->x_min - (g->x_max > g->x_min ? 0 : 0.5),
                    g->x_max + (g->x_max > g->x_min ? 0 : 0.5));
    if (g->y_max > g->y_min)
        silr_buf_printf(b, "set yrange [%g:%g]\n", g->y_min, g->y_max);
    if (g->whole_x)
        silr_buf_puts(b, "set xtics 1\n");
    if (g->kind == SILR_FIGURE_STACK)
        silr_buf_puts(b, "set style fill solid\nset yrange [0:*]\n");
    if (!silr_figure_empty(g))
        plot(g, b);
}

silr_status silr_figure_write(const silr_figure *g, const char *dir, silr_error *err)
{
    static const char *const ending[] = {"svg", "tsv", "gp"};
    silr_status st = SILR_OK;

    for (int i = 0; st == SILR_OK && i < 3; i++) {
        silr_buf b = {0}, name = {0};
        char *path;
        silr_buf_printf(&name, "%s.%s", g->name, ending[i]);
        path = name.failed ? NULL : silr_path_join(dir, name.data);
        if (i == 0)
            silr_figure_svg(g, true, &b);
        else if (i == 1)
            silr_figure_tsv(g, &b);
        else
            silr_figure_gnuplot(g, &b);
        if (i == 0)
            silr_buf_putc(&b, '\n');
        if (!path || b.failed)
            st = silr_fail_memory(err);
        else
            st = silr_file_write(path, b.data, b.len, err);
        silr_free(path);
        silr_buf_clear(&name);
        silr_buf_clear(&b);
    }
    return st;
}
