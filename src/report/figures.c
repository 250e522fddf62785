/* figures.c - a chart as SVG: axes, bands, lines, bars and a legend that never overlap.
 *
 * Everything is placed by arithmetic on a canvas of 360 x 250: a legend of as many rows as it
 * needs above the plot, tick labels in margins that are wide enough for them. Text widths are
 * taken as 6 units a character at 11 units height, which is wider than system fonts draw. */
#include "report/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 360, PLOT = 190, LEFT = 46, RIGHT = 20, TOP = 10, BOTTOM = 40, ROW = 16 };

silr_series *silr_figure_add(silr_figure *g, const char *name, size_t n, int colour)
{
    silr_series *s = g->n < SILR_FIGURE_SERIES ? &g->s[g->n] : NULL;
    size_t bytes = 0;

    if (s && silr_mul(n ? n : 1, sizeof *s->p, &bytes)) {
        *s = (silr_series){.colour = colour, .n = n, .p = silr_arena_alloc(&g->arena, bytes)};
        snprintf(s->name, sizeof s->name, "%s", name);
    }
    if (!s || !s->p) {
        g->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        s->p[i] = (silr_point){NAN, NAN, NAN, NAN};
    g->n++;
    return s;
}

void silr_figure_clear(silr_figure *g)
{
    silr_arena_clear(&g->arena);
    g->n = 0;
}

bool silr_figure_empty(const silr_figure *g)
{
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < g->s[i].n; k++)
            if (isfinite(g->s[i].p[k].y) && isfinite(g->s[i].p[k].x))
                return false;
    return true;
}

double silr_figure_step(double low, double high)
{
    double raw = (high - low) / 5, power = pow(10, floor(log10(raw)));
    double lead = raw / power;
    lead -= 1e-9; /* 0.1 / 5 is a little more than 0.02 */
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

/* Where the plot lies on the canvas, and what it spans. */
typedef struct {
    double x0, x1, y0, y1;           /* data */
    double left, right, top, bottom; /* canvas; top < bottom */
    int height;
} frame;

static double px(const frame *f, double x)
{
    return f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}

static double py(const frame *f, double y)
{
    y = y < f->y0 ? f->y0 : y > f->y1 ? f->y1 : y;
    return f->bottom - (y - f->y0) / (f->y1 - f->y0) * (f->bottom - f->top);
}

static void widen(double v, double *low, double *high)
{
    if (!isfinite(v))
        return;
    *low = v < *low ? v : *low;
    *high = v > *high ? v : *high;
}

/* The total height of stacked bars at index k. */
static double stacked(const silr_figure *g, size_t upto, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < upto; i++)
        if (k < g->s[i].n && isfinite(g->s[i].p[k].y))
            sum += g->s[i].p[k].y;
    return sum;
}

static void y_range(const silr_figure *g, double *low, double *high)
{
    double step;
    *low = g->kind == SILR_FIGURE_STACK ? 0 : INFINITY;
    *high = g->kind == SILR_FIGURE_STACK ? 0 : -INFINITY;
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < g->s[i].n; k++) {
            const silr_point *p = &g->s[i].p[k];
            if (g->kind == SILR_FIGURE_STACK) {
                widen(stacked(g, g->n, k), low, high);
                continue;
            }
            widen(p->y, low, high);
            widen(p->low, low, high);
            widen(p->high, low, high);
        }
    if (!(*high > *low)) { /* one value, or none */
        double v = isfinite(*low) ? *low : 0;
        *low = v - (v == 0 ? 0 : fabs(v) / 10);
        *high = v + (v == 0 ? 1 : fabs(v) / 10);
    }
    for (int twice = 0; twice < 2; twice++) { /* a wider range may want wider steps */
        step = silr_figure_step(*low, *high);
        *low = floor(*low / step + 1e-9) * step;
        *high = ceil(*high / step - 1e-9) * step;
    }
    if (g->percent_y && *high > 1)
        *high = 1;
    if (g->percent_y && *low < 0)
        *low = 0;
}

/* At most `most` characters of a name, cut at a character of UTF-8, escaped. */
static size_t put_name(silr_buf *b, const char *name, size_t most)
{
    size_t chars = 0, i = 0, len = strlen(name);
    for (; i < len; i++) {
        if (((unsigned char)name[i] & 0xc0) == 0x80)
            continue;
        if (chars == most)
            break;
        chars++;
    }
    silr_buf_html(b, name, i);
    if (i < len)
        silr_buf_puts(b, "\xe2\x80\xa6");
    return chars + (i < len);
}

static void mark(silr_buf *b, int colour, double x, double y)
{
    const double r = 3.2;
    switch (colour % 4) {
    case 0:
        silr_buf_printf(b, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", colour, x,
                        y, r);
        break;
    case 1:
        silr_buf_printf(
            b, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", colour,
            x - r + .4, y - r + .4, 2 * r - .8, 2 * r - .8);
        break;
    case 2:
        silr_buf_printf(b, "<path class=\"f%d\" d=\"M%.1f %.1fl%.1f %.1fh%.1fz\"/>", colour, x,
                        y - r - .6, r + .4, 2 * r, -2 * (r + .4));
        break;
    default:
        silr_buf_printf(b, "<path class=\"f%d\" d=\"M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz\"/>",
                        colour, x, y - r - .8, r + .8, r + .8, -(r + .8), r + .8, -(r + .8),
                        -(r + .8));
    }
}

/* Legend rows above the plot; b NULL: only counts them. */
static int legend(const silr_figure *g, silr_buf *b)
{
    double x = LEFT;
    int row = 0;
    size_t shown = 0;

    for (size_t i = 0; i < g->n; i++)
        shown += !g->s[i].faint;
    if (shown < 2 && !(shown == 1 && g->n > 1))
        return 0;
    for (size_t i = 0; i < g->n; i++) {
        const silr_series *s = &g->s[i];
        silr_buf scratch = {0};
        size_t chars;
        if (s->faint)
            continue;
        chars = put_name(&scratch, s->name, 26);
        if (x > LEFT && x + 20 + 6.0 * (double)chars > WIDTH - RIGHT) {
            x = LEFT;
            row++;
        }
        if (b) {
            double y = TOP + row * ROW + 4;
            if (g->kind == SILR_FIGURE_STACK)
                silr_buf_printf(b,
                                "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"10\" "
                                "height=\"10\" rx=\"2\"/>",
                                s->colour, x, y - 5);
            else {
                silr_buf_printf(b, "<path class=\"l l%d%s\" d=\"M%.1f %.1fh14\"/>", s->colour,
                                s->dashed ? " dash" : "", x, y);
                mark(b, s->colour, x + 7, y);
            }
            silr_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\">%s</text>", x + 18, y + 4,
                            scratch.data ? scratch.data : "");
            b->failed |= scratch.failed;
        }
        x += 30 + 6.0 * (double)chars;
        silr_buf_clear(&scratch);
    }
    return row + 1;
}

static frame frame_of(const silr_figure *g)
{
    int rows = legend(g, NULL);
    frame f = {.x0 = g->x_min, .x1 = g->x_max, .y0 = g->y_min, .y1 = g->y_max};
    if (!(f.y1 > f.y0))
        y_range(g, &f.y0, &f.y1);
    if (!(f.x1 > f.x0)) {
        f.x0 -= 0.5;
        f.x1 = f.x0 + 1;
    }
    f.left = LEFT + (g->kind == SILR_FIGURE_LINES ? 6 : 0);
    f.right = WIDTH - RIGHT - (g->kind == SILR_FIGURE_LINES ? 6 : 0);
    f.top = TOP + rows * ROW + (rows ? 8 : 6);
    f.bottom = f.top + PLOT - 20;
    f.height = (int)f.bottom + BOTTOM;
    return f;
}

static void tick_text(silr_buf *b, double v, double step, bool percent)
{
    if (percent)
        silr_buf_printf(b, "%.*f%%", step < 0.0095 ? 1 : 0, v * 100);
    else if (fabs(v) >= 10000)
        silr_buf_printf(b, "%.*fk", fmod(v, 1000) != 0 ? 1 : 0, v / 1000);
    else
        silr_buf_printf(b, "%g", fabs(v) < step / 1e6 ? 0 : v);
}

static void axes(const silr_figure *g, const frame *f, silr_buf *b)
{
    double step = silr_figure_step(f->y0, f->y1), middle = (f->left + f->right) / 2;

    for (int i = 0; i <= 12; i++) {
        double v = (ceil(f->y0 / step - 1e-9) + i) * step, y = py(f, v);
        if (v > f->y1 + step / 1e3)
            break;
        silr_buf_printf(b,
                        "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"tick\" x=\"%d\" "
                        "y=\"%.1f\" text-anchor=\"end\">",
                        LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 3.5);
        tick_text(b, v, step, g->percent_y);
        silr_buf_puts(b, "</text>");
    }
    step = silr_figure_step(f->x0, f->x1);
    if (g->whole_x && step < 1)
        step = 1;
    for (int i = 0; i <= 12; i++) {
        double v = (ceil(f->x0 / step - 1e-9) + i) * step;
        if (v > f->x1 + step / 1e3)
            break;
        silr_buf_printf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                        px(f, v), f->bottom + 16);
        tick_text(b, v, step, g->percent_x);
        silr_buf_puts(b, "</text>");
    }
    silr_buf_printf(b, "<path class=\"axis\" d=\"M%d %.1fH%d\"/>", LEFT, f->bottom, WIDTH - RIGHT);
    silr_buf_printf(b, "<text class=\"axl\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", middle,
                    f->bottom + 33);
    silr_buf_html(b, g->x_label, strlen(g->x_label));
    silr_buf_printf(b,
                    "</text><text class=\"axl\" transform=\"translate(10 %.1f) rotate(-90)\" "
                    "text-anchor=\"middle\">",
                    (f->top + f->bottom) / 2);
    silr_buf_html(b, g->y_label, strlen(g->y_label));
    silr_buf_puts(b, "</text>");
}

static bool there(const silr_point *p)
{
    return isfinite(p->x) && isfinite(p->y);
}

static void band(const silr_series *s, const frame *f, silr_buf *b)
{
    bool first = true;
    for (size_t k = 0; k < s->n; k++)
        if (there(&s->p[k]) && isfinite(s->p[k].high) && isfinite(s->p[k].low)) {
            silr_buf_printf(b, first ? "<path class=\"b%d\" d=\"M" : "L", s->colour);
            silr_buf_printf(b, "%.1f %.1f", px(f, s->p[k].x), py(f, s->p[k].high));
            first = false;
        }
    if (first)
        return;
    for (size_t k = s->n; k-- > 0;)
        if (there(&s->p[k]) && isfinite(s->p[k].high) && isfinite(s->p[k].low))
            silr_buf_printf(b, "L%.1f %.1f", px(f, s->p[k].x), py(f, s->p[k].low));
    silr_buf_puts(b, "z\"/>");
}

static void whiskers(const silr_series *s, const frame *f, silr_buf *b)
{
    for (size_t k = 0; k < s->n; k++)
        if (there(&s->p[k]) && isfinite(s->p[k].high) && isfinite(s->p[k].low)) {
            double x = px(f, s->p[k].x);
            silr_buf_printf(b, "<path class=\"w l%d\" d=\"M%.1f %.1fV%.1fm-3 0h6M%.1f %.1fh6\"/>",
                            s->colour, x, py(f, s->p[k].high), py(f, s->p[k].low), x - 3,
                            py(f, s->p[k].high));
        }
}

static void line(const silr_series *s, const frame *f, silr_buf *b)
{
    bool pen = false, any = false;
    for (size_t k = 0; k < s->n; k++)
        any |= there(&s->p[k]);
    if (!any)
        return;
    silr_buf_printf(b, "<path class=\"l l%d%s%s\" d=\"", s->colour, s->dashed ? " dash" : "",
                    s->faint ? " faint" : "");
    for (size_t k = 0; k < s->n; k++) {
        if (there(&s->p[k]))
            silr_buf_printf(b, "%c%.1f %.1f", pen ? 'L' : 'M', px(f, s->p[k].x), py(f, s->p[k].y));
        pen = there(&s->p[k]);
    }
    silr_buf_puts(b, "\"/>");
    for (size_t k = 0; k < s->n && !s->faint; k++)
        if (there(&s->p[k]))
            mark(b, s->colour, px(f, s->p[k].x), py(f, s->p[k].y));
}

static void bars(const silr_figure *g, const frame *f, silr_buf *b)
{
    double wide = g->bar / (f->x1 - f->x0) * (f->right - f->left);
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < g->s[i].n; k++) {
            const silr_point *p = &g->s[i].p[k];
            double below = stacked(g, i, k), y;
            if (!there(p) || p->y <= 0)
                continue;
            y = py(f, below + p->y);
            silr_buf_printf(
                b, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                g->s[i].colour, px(f, p->x) - wide / 2 + .5, y, wide > 2 ? wide - 1 : wide,
                py(f, below) - y);
        }
}

static const char own_style[] =
    "<style>svg{--fg:#1c2128;--muted:#5c6672;--line:#dfe3e8;--c0:#0b62a8;--c1:#b8520a;--c2:#0b7a5c;"
    "--c3:#9c3d86;--c4:#8a6d00;--c5:#3a8fc7;--c6:#8a939e;background:#fff;"
    "font:11px system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--fg:#e3e7ec;--muted:#9aa5b1;--line:#2d343d;--c0:#"
    "6cb4f0;"
    "--c1:#f2a364;--c2:#53c7a3;--c3:#dd8fcb;--c4:#d9bf55;--c5:#9ad1f5;--c6:#7d8792;background:#"
    "14181d}}";

void silr_figure_style(silr_buf *b)
{
    silr_buf_puts(
        b,
        "svg text{fill:var(--fg);font-size:11px}svg .tick,svg .axl{fill:var(--muted)}"
        "svg .grid{stroke:var(--line);fill:none}svg .axis{stroke:var(--muted);fill:none}"
        "svg .l{fill:none;stroke-width:2;stroke-linejoin:round}svg .w{fill:none;stroke-width:1.4}"
        "svg .dash{stroke-dasharray:5 4}svg .faint{stroke-width:1;opacity:.45}"
        "svg .diag{stroke:var(--muted);stroke-dasharray:2 4;fill:none}");
    for (int c = 0; c < 7; c++)
        silr_buf_printf(b,
                        "svg .f%d{fill:var(--c%d)}svg .l%d{stroke:var(--c%d)}svg "
                        ".b%d{fill:var(--c%d);opacity:.16}",
                        c, c, c, c, c, c);
}

void silr_figure_svg(const silr_figure *g, bool standalone, silr_buf *b)
{
    frame f = frame_of(g);

    silr_buf_printf(b, "<svg%s viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t-%s d-%s\">",
                    standalone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", WIDTH, f.height,
                    g->name, g->name);
    silr_buf_printf(b, "<title id=\"t-%s\">", g->name);
    silr_buf_html(b, g->title, strlen(g->title));
    silr_buf_printf(b, "</title><desc id=\"d-%s\">", g->name);
    silr_buf_html(b, g->note, strlen(g->note));
    silr_buf_puts(b, "</desc>");
    if (standalone) {
        silr_buf_puts(b, own_style);
        silr_figure_style(b);
        silr_buf_puts(b, "</style>");
    }
    legend(g, b);
    axes(g, &f, b);
    if (g->diagonal)
        silr_buf_printf(b, "<path class=\"diag\" d=\"M%.1f %.1fL%.1f %.1f\"/>", px(&f, f.x0),
                        py(&f, f.x0), px(&f, f.x1), py(&f, f.x1));
    if (g->kind == SILR_FIGURE_STACK) {
        bars(g, &f, b);
    } else {
        for (size_t i = 0; i < g->n; i++)
            if (g->s[i].band)
                band(&g->s[i], &f, b);
        for (size_t i = 0; i < g->n; i++) {
            if (!g->s[i].band)
                whiskers(&g->s[i], &f, b);
            line(&g->s[i], &f, b);
        }
    }
    silr_buf_puts(b, "</svg>");
}
