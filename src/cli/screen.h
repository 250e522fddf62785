/* screen.h - what the screen of `silr label` is made of; for screen.c, wrap.c, panel.c. */
#ifndef SILR_CLI_SCREEN_H
#define SILR_CLI_SCREEN_H

#include "cli/standing.h"

/* wrap.c. Where the line that begins at `from` ends, broken at a space where there is one. *next:
 * where the following one begins. */
size_t cli_line_end(const char *s, size_t len, size_t from, int cols, size_t *next);
size_t cli_count_lines(const char *s, size_t len, int cols);
/* Prints at most `cols` columns of s; returns how many it took. */
int cli_put_text(silr_buf *b, const char *s, size_t len, int cols);

/* panel.c. The lines under the text, as many as a screen of this size has room for: the estimates,
 * what the last label changed (last < 0: there was none), whether it is enough. Lines end with '\n'
 * and are no wider than the screen. Returns how many. */
size_t cli_panel(silr_buf *b, const silr_task *task, const silr_standing *before,
                 const silr_standing *now, int last, int rows, int cols);

#endif
