/* plugin.h - what a plugin that joins processes gives to src/dist; unknown outside.
 *
 * A plugin is a shared object with one function, named SILR_DIST_PLUGIN, that returns its table.
 * It knows nothing of silr: bytes in, bytes out, at most SILR_DIST_MOST a call. Each function
 * returns NULL, or a sentence that says what failed, good until the next call. A plugin waits without
 * using a processor for long: a rank may wait for hours. */
#ifndef SILR_DIST_PLUGIN_H
#define SILR_DIST_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define SILR_DIST_PLUGIN "silr_dist_plugin_v1" /* the name changes when the table does */
enum { SILR_DIST_MOST = 1 << 26 };

typedef struct {
    const char *(*start)(int *rank, int *size); /* joins the job, once */
    const char *(*about)(void);                 /* library and version */
    const char *(*broadcast)(void *p, size_t n);                              /* from rank 0 */
    const char *(*all_to_all)(const void *from, void *to, size_t piece);      /* [size][piece] both */
    const char *(*all_gather)(const void *mine, void *all, size_t piece);     /* all: [size][piece] */
    const char *(*send)(int to, const void *p, size_t n);
    const char *(*receive)(int from, void *p, size_t n);
    const char *(*barrier)(void);
    void (*end)(void);   /* leaves; waits for the others to leave */
    void (*stop)(void);  /* ends the job on all ranks, with exit code 1; does not return */
} silr_dist_plugin;

typedef const silr_dist_plugin *(*silr_dist_plugin_get)(void);

#endif
