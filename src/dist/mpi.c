/* mpi.c - the plugin silr-mpi.so: the one file that knows MPI.
 *
 * It is loaded only in a job of several processes, so that the program starts as fast as ever and
 * runs on machines that have no MPI. It sends bytes; all that is added is added in collect.c.
 *
 * MPI's own waiting keeps a processor busy, which is right for microseconds and wrong here: while rank 0
 * reads a corpus or trains alone the others wait for minutes, on the processors that it could use. So
 * every call is begun, then looked after: at first without pause, then more and more rarely. */
#include "dist/plugin.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHOW __attribute__((visibility("default")))

static int ranks;

/* NULL, or MPI's own words. */
static const char *words(int code)
{
    static char text[MPI_MAX_ERROR_STRING + 1];
    int len = 0;

    if (code == MPI_SUCCESS)
        return NULL;
    if (MPI_Error_string(code, text, &len) != MPI_SUCCESS)
        return "an error that MPI has no words for";
    text[len] = '\0';
    return text;
}

/* Looks 2000 times at once (a millisecond, where processors are free), then every 50 us, and after a
 * second of that every 2 ms. */
static void pause_after(unsigned looks)
{
    enum { AT_ONCE = 2000, SOON = 20000 };
    const struct timespec soon = {.tv_nsec = 50000}, later = {.tv_nsec = 2000000};

    if (looks < AT_ONCE)
        sched_yield();
    else
        nanosleep(looks < AT_ONCE + SOON ? &soon : &later, NULL);
}

/* Waits for what was begun with `code`. */
static const char *finish(int code, MPI_Request *request)
{
    int done = 0;

    for (unsigned looks = 0; code == MPI_SUCCESS; looks += looks < 1u << 30) {
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (done)
            break;
        pause_after(looks);
    }
    return words(code);
}

static const char *start(int *rank, int *size)
{
    int level, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);

    if (code != MPI_SUCCESS)
        return words(code);
    if (level < MPI_THREAD_FUNNELED)
        return "this MPI cannot be used by a program with threads";
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if ((code = MPI_Comm_rank(MPI_COMM_WORLD, rank)) == MPI_SUCCESS)
        code = MPI_Comm_size(MPI_COMM_WORLD, size);
    ranks = *size;
    return words(code);
}

/* The first words of what MPI says of itself, which can be a page. */
static const char *about(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    int len = 0;

    if (MPI_Get_library_version(text, &len) != MPI_SUCCESS)
        return "MPI";
    text[strcspn(text, ",\n")] = '\0';
    for (char *p = text; *p; p++)
        if (*p == '\t')
            *p = ' ';
    return text;
}

static const char *broadcast(void *p, size_t n)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Ibcast(p, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD, &r), &r);
}

static const char *all_to_all(const void *from, void *to, size_t piece)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Ialltoall(from, (int)piece, MPI_BYTE, to, (int)piece, MPI_BYTE, MPI_COMM_WORLD, &r), &r);
}

static const char *all_gather(const void *mine, void *all, size_t piece)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Iallgather(mine, (int)piece, MPI_BYTE, all, (int)piece, MPI_BYTE, MPI_COMM_WORLD, &r),
                  &r);
}

static const char *send(int to, const void *p, size_t n)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Isend(p, (int)n, MPI_BYTE, to, 0, MPI_COMM_WORLD, &r), &r);
}

static const char *receive(int from, void *p, size_t n)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Irecv(p, (int)n, MPI_BYTE, from, 0, MPI_COMM_WORLD, &r), &r);
}

static const char *barrier(void)
{
    MPI_Request r; // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    return finish(MPI_Ibarrier(MPI_COMM_WORLD, &r), &r);
}

static void end(void)
{
    MPI_Finalize();
}

static void stop(void)
{
    MPI_Abort(MPI_COMM_WORLD, 1);
}

SHOW const silr_dist_plugin *silr_dist_plugin_v1(void);
const silr_dist_plugin *silr_dist_plugin_v1(void)
{
    static const silr_dist_plugin table = {start, about, broadcast, all_to_all, all_gather,
                                           send, receive, barrier, end, stop};
    return &table;
}
