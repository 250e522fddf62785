/* inside.h - shared by the files of dist/, unknown outside. */
#ifndef SILR_DIST_INSIDE_H
#define SILR_DIST_INSIDE_H

#include "dist/dist.h"
#include "dist/plugin.h"

/* The job; plugin NULL: there is none. */
typedef struct {
    const silr_dist_plugin *plugin;
    int rank, size;
    bool broken; /* a call failed: ranks may be at different places, nothing can be sent any more */
    size_t piece;
    int threads; /* while all ranks work; 0: all there are */
    int here;    /* ranks on this machine */
} silr_dist_job;
extern silr_dist_job silr_dist;

/* NULL: SILR_OK. Else the connection is broken; SILR_EIO with what was wrong. */
silr_status silr_dist_check(const char *wrong, silr_error *err);

/* Bytes of any number from one rank to another; 0 is fine. */
silr_status silr_dist_send(int to, const void *p, size_t n, silr_error *err);
silr_status silr_dist_receive(int from, void *p, size_t n, silr_error *err);

/* Finds and loads the plugin: *path, yours, is where it was found or, where it was not, what to do. */
const silr_dist_plugin *silr_dist_load(char **path);
/* How many processes the environment says there are: 1 no job, 0 a job of an unknown number. */
int silr_dist_expected(void);

/* Rank 0: sends the others home. */
void silr_dist_dismiss(void);

/* Sets silr_dist.threads, so that the ranks of a machine share its processors, and how many they are. */
silr_status silr_dist_divide_processors(silr_error *err);

#endif
