/* dist.c - joining and leaving a job. */
#include "dist/inside.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 4 << 20 };

silr_dist_job silr_dist = {.size = 1, .piece = PIECE, .here = 1};

int silr_dist_rank(void)
{
    return silr_dist.rank;
}

int silr_dist_size(void)
{
    return silr_dist.size;
}

int silr_dist_here(void)
{
    return silr_dist.here;
}

const char *silr_dist_about(void)
{
    return silr_dist.plugin ? silr_dist.plugin->about() : NULL;
}

void silr_dist_piece(size_t bytes)
{
    silr_dist.piece = bytes < 16 ? 16 : bytes > PIECE ? PIECE : bytes;
}

silr_status silr_dist_check(const char *wrong, silr_error *err)
{
    if (!wrong)
        return SILR_OK;
    silr_dist.broken = true;
    return silr_fail(err, SILR_EIO, "rank %d of %d: the connection to the other ranks failed: %s",
                     silr_dist.rank, silr_dist.size, wrong);
}

bool silr_dist_possible(char **about)
{
    const silr_dist_plugin *plugin = silr_dist_load(about);
    silr_buf b = {0};

    if (!plugin)
        return false;
    silr_buf_printf(&b, "%s (%s)", plugin->about(), *about);
    silr_free(*about);
    *about = silr_buf_take(&b);
    return true;
}

/* What must be the same on all ranks. */
static void version(char out[96])
{
    memset(out, 0, 96);
    snprintf(out, 96, "silr %s, commit %s", silr_version(), silr_commit());
}

/* Programs of two versions might cut work differently: better to stop before anything is computed. */
static silr_status same_version(silr_error *err)
{
    const size_t size = (size_t)silr_dist.size;
    char mine[96], *all = silr_alloc(size, sizeof mine);
    silr_status st = SILR_OK;

    if (!all)
        return silr_fail_memory(err);
    version(mine);
    st = silr_dist_check(silr_dist.plugin->all_gather(mine, all, sizeof mine), err);
    for (size_t r = 1; st == SILR_OK && r < size; r++)
        if (memcmp(all, all + r * sizeof mine, sizeof mine) != 0)
            st = silr_fail(err, SILR_EIO, "rank 0 is %.95s, and rank %zu is %.95s: install the same on "
                           "every machine of the job", all, r, all + r * sizeof mine);
    silr_free(all);
    return st;
}

/* mpirun says how many it started; when MPI knows of others, it is not the MPI of this mpirun, and
 * each process would take itself for the whole job and write the same files. */
static silr_status same_size(int expected, silr_error *err)
{
    if (expected == 0 || expected == silr_dist.size)
        return SILR_OK;
    return silr_fail(err, SILR_EIO, "%d processes were started together, but this one finds %d (%s): "
                     "start them with the mpirun of that library, or srun --mpi=pmix; SILR_MPI=0 lets "
                     "each run on its own", expected, silr_dist.size, silr_dist.plugin->about());
}

static silr_status join(const char *path, int expected, silr_error *err)
{
    const char *wrong = silr_dist.plugin->start(&silr_dist.rank, &silr_dist.size);
    silr_status st;

    if (wrong)
        return silr_fail(err, SILR_EIO, "%s: cannot join the job: %s", path, wrong);
    if ((st = same_size(expected, err)) != SILR_OK || (st = same_version(err)) != SILR_OK)
        return st;
    return silr_dist_divide_processors(err);
}

silr_status silr_dist_start(silr_error *err)
{
    const int expected = silr_dist_expected();
    const silr_dist_plugin *plugin;
    char *path = NULL;
    silr_status st;

    if (expected == 1 || silr_dist.plugin)
        return SILR_OK;
    if (!(plugin = silr_dist_load(&path))) {
        st = path ? silr_fail(err, SILR_EIO, "this process is one of a job of several, and silr cannot join "
                              "it: %s. SILR_MPI=0 lets each run on its own", path)
                  : silr_fail_memory(err);
    } else {
        silr_dist.plugin = plugin;
        st = join(path, expected, err);
        silr_dist.broken = silr_dist.broken || st != SILR_OK;
    }
    silr_free(path);
    return st;
}

void silr_dist_end(void)
{
    if (!silr_dist.plugin)
        return;
    if (!silr_dist.broken)
        silr_dist_dismiss();
    if (silr_dist.broken)
        silr_dist.plugin->stop();
    silr_dist.plugin->end();
    silr_dist = (silr_dist_job){.size = 1, .piece = PIECE, .here = 1};
}
