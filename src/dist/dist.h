/* dist.h - many processes as one run: ranks, sums, who does what.
 *
 * Without a job of mpirun or srun around it a process is rank 0 of 1: every call below returns at
 * once, and no library of message passing is loaded. In a job silr_dist_start loads the plugin
 * silr-mpi.so, which alone knows MPI; what lies between ranks goes through its table (plugin.h).
 * Sums between GPUs can go another way behind this same door.
 *
 *     if ((st = silr_dist_start(err)) == SILR_OK) {
 *         if (silr_dist_rank() == 0)
 *             ... the program as it is, with crews where there is much to do
 *         else
 *             st = silr_dist_serve(trades, err);     until rank 0 is done
 *         silr_dist_end();
 *     }
 *
 * Rank 0 goes through the program. It alone reads the corpus, owns run.db and every file, prints.
 * The others wait (without using a processor) and do what it sends them. So a run can be begun with
 * any number of ranks and gone on with any other: the ranks are not part of its state.
 *
 * *** Order and bits. Every sum is taken in the order of the ranks, by one rank for each element, and
 * sent to all: all ranks hold the same bits, and the same bits come again with as many ranks. With
 * another number of ranks the parts are others, and sums agree to rounding.
 *
 * *** Failure. A collective call must be made by all ranks or by none. Whoever can fail before one says
 * so with silr_dist_agree, and all go on or all stop. A rank that dies takes the job with it. Where the
 * connection itself fails, calls return SILR_EIO.
 *
 * All calls are made by the thread that called silr_dist_start. */
#ifndef SILR_DIST_H
#define SILR_DIST_H

#include "base/base.h"

/* --- the job ------------------------------------------------------------------------------------- */

/* Joins the job that this process was started in, once, before anything else is called; without one,
 * SILR_OK and one rank. Divides this machine's processors among its ranks: where all work at once each
 * uses its part (silr_dist_threads); rank 0, while the others wait, all that it may use.
 *
 * The environment says whether there is a job: Open MPI, MPICH and their kin, Slurm's srun. SILR_MPI
 * decides otherwise: 0 never, 1 in any case, a path: that plugin.
 * SILR_EIO: there is a job, but no plugin for it; its processes do not find one another, or are not
 * of the same version. */
silr_status silr_dist_start(silr_error *err);
/* Leaves the job; rank 0 sends the others home first. What a program calls last, on every rank. After
 * a broken connection the job is ended instead: this does not return. */
void silr_dist_end(void);

int silr_dist_rank(void);
int silr_dist_size(void);
const char *silr_dist_about(void);   /* "Open MPI v4.1.4"; NULL: not in a job */
/* Threads of this rank while all work. wanted > 0: itself. */
int silr_dist_threads(int wanted);
/* Ranks on this one's machine, itself counted: they share its memory. */
int silr_dist_here(void);
/* Whether silr_dist_start could load MPI here, without joining anything: for `silr doctor`. *about,
 * yours: library and plugin, or what is in the way; NULL: no memory. */
bool silr_dist_possible(char **about);

/* --- who does what ------------------------------------------------------------------------------- */

/* The part of n items that is `rank`'s: contiguous, in the order of the ranks, sizes differ by 1 at
 * most. */
void silr_dist_share(size_t n, int rank, size_t *first, size_t *end);
/* The same by weights (texts by their tokens), for `size` ranks: rank r has [first[r], first[r + 1]).
 * No share exceeds the mean by more than the heaviest item. first: [size + 1]. */
void silr_dist_share_by(const uint32_t *weight, size_t n, int size, size_t *first);

/* --- collective calls: by all ranks ----------------------------------------------------------------- */

/* Every rank says how it did; all get SILR_OK, or all get the same failure: that of the lowest rank
 * that failed, with "rank 2: " before its sentence (rank 0 speaks for the program and needs no name).
 * An interruption counts only where nothing else failed. */
silr_status silr_dist_agree(silr_status mine, silr_error *err);
/* In place, n the same on all ranks; floats are added in double and rounded once. Memory: a few MiB
 * whatever n. */
silr_status silr_dist_sum(double *v, size_t n, silr_error *err);
silr_status silr_dist_sum_floats(float *v, size_t n, silr_error *err);
silr_status silr_dist_max(double *v, size_t n, silr_error *err); /* a NaN on any rank wins */
/* Rank 0's n bytes to all. */
silr_status silr_dist_broadcast(void *p, size_t n, silr_error *err);
/* At rank 0 adds rank r's n bytes, of any number, to part[r]; elsewhere part is untouched and may be
 * NULL. */
silr_status silr_dist_gather(const void *mine, size_t n, silr_buf *part /* [size] */, silr_error *err);
/* The same, at every rank. */
silr_status silr_dist_gather_all(const void *mine, size_t n, silr_buf *part /* [size] */, silr_error *err);
/* Adds rank 0's part[r] to *mine of rank r. mine NULL at rank 0: it needs no copy of its own. */
silr_status silr_dist_scatter(const silr_buf *part /* [size] */, silr_buf *mine, silr_error *err);
silr_status silr_dist_barrier(silr_error *err);

/* Test door: how many bytes go at once, 16 to 4 MiB (the default); the same on all ranks. */
void silr_dist_piece(size_t bytes);

/* --- crews ------------------------------------------------------------------------------------------
 *
 * A trade is something that ranks can do: its functions turn the bytes of an order into those of a
 * result. It lives in the module whose work it is. Rank 0 opens a crew of that trade (each rank opens
 * its worker: loads the model that the order names) and hands out orders, one a rank; its own
 * worker does the first, meanwhile.
 *
 *     static const silr_trade trade = {"embed", open, work, close};
 *
 *     silr_crew_open(&c, &trade, own, order, len, err)
 *     for each rank r: silr_buf_add(silr_crew_order(c, r), ...)       as often as needed
 *     silr_crew_work(c, err)
 *     for each rank r: silr_crew_result(c, r)
 *     silr_crew_free(c)
 *
 * work() runs on all ranks at once, so that it may itself make collective calls: a training step
 * forwards its share, sums the risk's parts (silr_dist_sum), sends back the weights, sums the gradients
 * (silr_dist_sum_floats), and every rank makes the same update to its own copy. Before each it says
 * with silr_dist_agree how it did.
 *
 * With one rank the same calls do the same work, and nothing is sent. */
typedef struct {
    const char *name; /* at most 31 bytes */
    /* A rank's worker, from the order given to silr_crew_open. Not called at rank 0. */
    silr_status (*open)(void **worker, const void *order, size_t len, silr_error *err);
    /* The result is added to the buffer; one whose `failed` is set is SILR_ENOMEM. No bytes: this rank
     * has nothing to do this time, but may be needed for the collective calls of the others. */
    silr_status (*work)(void *worker, const void *order, size_t len, silr_buf *result, silr_error *err);
    void (*close)(void *worker); /* not called at rank 0 */
} silr_trade;

typedef struct silr_crew silr_crew;
/* Rank 0. own: its worker, borrowed. On failure *out is NULL, and what was opened is closed again. */
silr_status silr_crew_open(silr_crew **out, const silr_trade *trade, void *own, const void *order,
                           size_t len, silr_error *err);
/* Rank 0. What rank r is to do next: empty, to be filled. Where that fails, silr_crew_work says so. */
silr_buf *silr_crew_order(silr_crew *c, int rank);
/* Rank 0. All orders are done, and empty again. A failure on any rank is everybody's (silr_dist_agree);
 * the crew is still good. */
silr_status silr_crew_work(silr_crew *c, silr_error *err);
/* Rank 0. What came of rank r's last order; the crew's, until its next work. */
const silr_buf *silr_crew_result(const silr_crew *c, int rank);
void silr_crew_free(silr_crew *c); /* NULL is fine */

/* All ranks but 0: opens, does and closes what rank 0 asks for, until it is done. trades: all there
 * are, NULL at the end. SILR_OK also when work failed (rank 0 knows); else the connection is broken. */
silr_status silr_dist_serve(const silr_trade *const *trades, silr_error *err);

/* For workers, who read orders: takes n bytes off the front, *at of *left bytes, into out (NULL: only past
 * them). false: there are not so many. */
bool silr_dist_take(const void **at, size_t *left, void *out, size_t n);

#endif
