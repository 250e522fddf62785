/* run.h - a small finished run with known numbers, for tests of the report. */
#ifndef TEST_REPORT_RUN_H
#define TEST_REPORT_RUN_H

#include "report/report.h"

typedef struct {
    char dir[256]; /* a fresh folder; the run is written into it */
    silr_task *task;
    silr_corpus *corpus;
    silr_store *store;
} run;

/* K = 2: good, bad; K = 3: red, green, blue. truth: the corpus has true labels. Six texts a..f:
 * a, b right and kept; c wrong and corrected; d had no label; e wrong and kept; f empty. */
silr_status run_make(run *r, int K, bool truth, silr_error *err);
/* The same folder before anything was done: an opened store, no documents in it. */
silr_status run_open(run *r, int K, bool truth, silr_error *err);
/* The same with every name and text hostile to HTML, JSON, SVG and gnuplot. */
silr_status run_make_hostile(run *r, silr_error *err);
void run_free(run *r); /* removes the folder too */

extern const char hostile[]; /* what ids, texts, classes and notes contain */

/* The bytes of dir/name; NULL: not there. Yours to silr_free. */
char *run_read(const run *r, const char *name);

#endif
