/* figures.h - charts as data, and three ways to write one: SVG, a table, a gnuplot script.
 *
 * The SVG is ours, so that the report needs no program to draw it. A figure is 360 wide: as large
 * as a phone, and small enough to stand beside another on a desk. Colours are CSS variables: the
 * page's when inline, the figure's own when a file. */
#ifndef SILR_REPORT_FIGURES_H
#define SILR_REPORT_FIGURES_H

#include "base/base.h"

typedef struct {
    double x, y, low, high; /* NAN: no such point; no interval */
} silr_point;

typedef struct {
    char name[96]; /* in the legend and the table */
    int colour;    /* 0..5: the palette; 6: grey */
    bool dashed;   /* lines only */
    bool band;     /* interval as a band, else as whiskers */
    bool faint;    /* thin, without marks or legend: one of many */
    size_t n;
    silr_point *p; /* borrowed from the figure's arena */
} silr_series;

typedef enum { SILR_FIGURE_LINES, SILR_FIGURE_STACK } silr_figure_kind;

enum { SILR_FIGURE_SERIES = 72 };
typedef struct {
    const char *name;         /* file name without ending */
    const char *title, *note; /* note: one sentence, <desc> and the caption */
    const char *x_label, *y_label;
    silr_figure_kind kind;
    double x_min, x_max, y_min, y_max; /* y_max = y_min: from the data */
    double bar;                        /* width of a bar in x */
    bool whole_x;                      /* x are whole numbers: iterations */
    bool percent_x, percent_y;
    bool diagonal; /* the line y = x */
    size_t n;
    silr_series s[SILR_FIGURE_SERIES];
    silr_arena arena;
    bool failed; /* no memory on the way */
} silr_figure;

/* Adds a series of n points (cleared to NAN); NULL: no room or memory, and failed is set. */
silr_series *silr_figure_add(silr_figure *g, const char *name, size_t n, int colour);
void silr_figure_clear(silr_figure *g);
bool silr_figure_empty(const silr_figure *g); /* not one point to draw */

/* standalone: with XML namespace and colours of its own. */
void silr_figure_svg(const silr_figure *g, bool standalone, silr_buf *b);
void silr_figure_tsv(const silr_figure *g, silr_buf *b);
void silr_figure_gnuplot(const silr_figure *g, silr_buf *b);
/* Writes dir/NAME.svg, .tsv and .gp. */
silr_status silr_figure_write(const silr_figure *g, const char *dir, silr_error *err);

/* The rules of CSS that the SVG needs, for the page it stands in. */
void silr_figure_style(silr_buf *b);

/* Round steps for an axis: between 3 and 7 ticks in [low, high]; returns the step. */
double silr_figure_step(double low, double high);

#endif
