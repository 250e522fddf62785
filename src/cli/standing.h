/* standing.h - how the labels stand, said in words and as JSON. */
#ifndef SILR_CLI_STANDING_H
#define SILR_CLI_STANDING_H

#include "run/run.h"

/* One set's estimate, "theta_p .37 (.20 to .56)"; of more than two classes "sport .37 (.20 to .56)". */
void cli_standing_set(silr_buf *b, const silr_task *task, const silr_priors *p, int set);
/* The estimates of all sets and P(D > .05), two spaces between; broken into at most `lines` lines of
 * `cols` columns; what does not fit is left out. */
void cli_standing_numbers(silr_buf *b, const silr_task *task, const silr_standing *s, int cols,
                          int lines);
/* Whether it is enough, what more would bring. */
void cli_standing_advice(silr_buf *b, const silr_standing *s);
/* What the label of a text of `set` has changed. */
void cli_standing_change(silr_buf *b, const silr_task *task, const silr_standing *before,
                         const silr_standing *now, int set);
/* One object; path: the labelled file, wanted: how many labels are asked for. */
void cli_standing_json(silr_buf *b, const silr_task *task, const silr_standing *s, const char *path,
                       size_t wanted);
/* The members of an object that tell of theta, pi and P(D): ,"classes":[...],"theta":... */
void cli_json_priors(silr_buf *b, const silr_task *task, const silr_priors *p);
/* .37, 1.00, -.02 */
void cli_put_short(silr_buf *b, double x);

#endif
