/* pool.h - tiles of work on all threads, without waiting for a thread that has no processor.
 *
 *     silr_pool_run(tile, &context, n_tiles);      tile(&context, i, thread) once for each i < n_tiles
 *
 * OpenMP ends a parallel loop when every thread has come by, though it had nothing to do: on a
 * machine that has other work, one that got no processor holds up all. Here the caller works too,
 * a tile at a time; when none is left it waits only for those that are in the middle of one.
 *
 * As many threads work as omp_set_num_threads allows. A run inside a parallel region, or while
 * another thread has the pool, is done by its caller alone. Nothing is allocated. */
#ifndef SILR_ENGINE_POOL_H
#define SILR_ENGINE_POOL_H

#include <stddef.h>

/* thread: less than silr_pool_threads(); two that run at once have different ones. */
typedef void (*silr_tile)(void *context, size_t tile, size_t thread);

enum { SILR_POOL_MOST = 256 }; /* threads */
size_t silr_pool_threads(void);
void silr_pool_run(silr_tile tile, void *context, size_t tiles);

#endif
