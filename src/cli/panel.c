/* panel.c - the lines between the text and the keys.
 *
 *     rows        shown
 *     20 ..       a gap, the estimates (two lines), what the last label changed, the advice (two lines)
 *     13 .. 19    the estimates (a line), the advice (two lines)
 *     9 .. 12     the advice (a line)
 *
 * The text comes first: under nine rows there is nothing else. */
#include "cli/screen.h"

/* Appends s, wrapped into at most `lines` lines. */
static size_t put_lines(silr_buf *b, const silr_buf *s, int cols, size_t lines)
{
    size_t n = 0, at = 0;

    while (n < lines && s->data && at < s->len) {
        size_t from = at, end = cli_line_end(s->data, s->len, at, cols, &at);
        cli_put_text(b, s->data + from, end - from, cols);
        silr_buf_putc(b, '\n');
        n++;
    }
    return n;
}

size_t cli_panel(silr_buf *b, const silr_task *task, const silr_standing *before,
                 const silr_standing *now, int last, int rows, int cols)
{
    silr_buf part = {0};
    size_t n = 0;

    if (rows >= 20) {
        silr_buf_putc(b, '\n');
        n++;
    }
    if (rows >= 13) {
        cli_standing_numbers(&part, task, now, cols, rows >= 20 ? 2 : 1);
        n += put_lines(b, &part, cols, 2);
    }
    silr_buf_reset(&part);
    if (rows >= 20 && last >= 0) {
        cli_standing_change(&part, task, before, now, last);
        n += put_lines(b, &part, cols, 1);
    }
    silr_buf_reset(&part);
    if (rows >= 9) {
        cli_standing_advice(&part, now);
        n += put_lines(b, &part, cols, rows >= 13 ? 2 : 1);
    }
    b->failed |= part.failed;
    silr_buf_clear(&part);
    return n;
}
