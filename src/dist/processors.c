/* processors.c - ranks on one machine share its processors.
 *
 * Each rank tells the others which machine it is on and which processors it may use. A processor that k
 * ranks may use counts 1/k for each. So it does not matter whether mpirun bound the ranks, to one
 * core or to a socket, or left them alone: two ranks on two cores are given one thread each. Results do
 * not depend on the number of threads. */
#include "dist/inside.h"

#include <sched.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char machine[64]; /* the kernel's, by boot: two containers on one machine are on one machine */
    cpu_set_t may;
} station;

static void look(station *s)
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");

    memset(s, 0, sizeof *s);
    if (!f || !fgets(s->machine, sizeof s->machine, f))
        gethostname(s->machine, sizeof s->machine - 1);
    if (f)
        fclose(f);
    if (sched_getaffinity(0, sizeof s->may, &s->may) != 0) /* more processors than fit: as many as there are bits */
        memset(&s->may, 0xff, sizeof s->may);
}

static int my_part(const station *all, const station *mine)
{
    double part = 0;

    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int users = 0;
        if (!CPU_ISSET(cpu, &mine->may))
            continue;
        for (int r = 0; r < silr_dist.size; r++)
            users += strcmp(all[r].machine, mine->machine) == 0 && CPU_ISSET(cpu, &all[r].may);
        part += 1.0 / users;
    }
    return part < 1 ? 1 : (int)(part + 1e-6);
}

int silr_dist_threads(int wanted)
{
    const int all = silr_threads(wanted);

    return wanted > 0 || silr_dist.threads == 0 || silr_dist.threads > all ? all : silr_dist.threads;
}

silr_status silr_dist_divide_processors(silr_error *err)
{
    station mine, *all = silr_alloc((size_t)silr_dist.size, sizeof *all);
    silr_status st = silr_dist_agree(all ? SILR_OK : silr_fail_memory(err), err);

    look(&mine);
    if (st == SILR_OK)
        st = silr_dist_check(silr_dist.plugin->all_gather(&mine, all, sizeof mine), err);
    if (st == SILR_OK && all) { /* (all ranks have room, or st says otherwise) */
        silr_dist.threads = my_part(all, &mine);
        silr_dist.here = 0;
        for (int r = 0; r < silr_dist.size; r++)
            silr_dist.here += strcmp(all[r].machine, mine.machine) == 0;
        if (silr_dist.rank != 0) { /* which never works alone */
            silr_threads_limit(silr_dist.threads);
            omp_set_num_threads(silr_threads(0));
        }
    }
    silr_free(all);
    return st;
}
