/* find.c - is there a job, and where is the plugin for it? */
#include "dist/inside.h"
#include "dist/places.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *force(void)
{
    const char *s = getenv("SILR_MPI");
    return s && *s ? s : NULL;
}

static int number(const char *name)
{
    const char *s = getenv(name);
    int64_t n;

    return s && silr_parse_i64(s, &n) && n > 0 && n < INT32_MAX ? (int)n : 0;
}

/* Open MPI's mpirun, the PMI of MPICH and its kin, and srun, which names the number itself. A batch
 * script of Slurm has the variables of its job, but not those of a step: it is no job of ours. */
int silr_dist_expected(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"};
    const char *f = force();
    int n;

    if (f && strcmp(f, "0") == 0)
        return 1;
    for (size_t i = 0; i < 2; i++)
        if ((n = number(sizes[i])) > 0)
            return f && n == 1 ? 0 : n;
    if (getenv("SLURM_STEP_ID") && getenv("SLURM_PROCID") && (n = number("SLURM_STEP_NUM_TASKS")) > 0)
        return f && n == 1 ? 0 : n;
    return f || getenv("PMIX_RANK") || getenv("PMI_RANK") || number(sizes[2]) > 1 ? 0 : 1;
}

/* The folder of the running program. */
static bool program_folder(char *out, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", out, size - 1);
    char *slash;

    if (n <= 0)
        return false;
    out[n] = '\0';
    slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

/* folder/below without dots; yours. NULL: it is not there. */
static char *existing(const char *folder, const char *below)
{
    char *path = silr_path_join(folder, below), *whole = path ? realpath(path, NULL) : NULL;
    char *out = whole ? silr_strdup(whole) : NULL;

    free(whole); /* of realpath */
    silr_free(path);
    return out;
}

/* Places in turn: beside a program that lies in its build folder, where an installation that was moved
 * has it, where it was to be installed. */
static char *find(void)
{
    static const char *const below[] = {"../dist/silr-mpi.so", SILR_LIBDIR_FROM_BIN "/silr/silr-mpi.so"};
    const char *f = force();
    char folder[4096], *path;

    if (f && strchr(f, '/'))
        return silr_strdup(f);
    if (program_folder(folder, sizeof folder))
        for (size_t i = 0; i < sizeof below / sizeof *below; i++)
            if ((path = existing(folder, below[i])))
                return path;
    return silr_strdup(SILR_LIBDIR "/silr/silr-mpi.so");
}

const silr_dist_plugin *silr_dist_load(char **path)
{
    silr_dist_plugin_get get = NULL;
    silr_buf why = {0};
    void *object = NULL;

    if (!(*path = find()))
        return NULL;
    if (!silr_file_exists(*path)) {
        silr_buf_printf(&why, "there is no %s (silr was built without MPI; -Dmpi=enabled builds it)", *path);
    } else if ((object = dlopen(*path, RTLD_NOW | RTLD_GLOBAL))) { /* MPI's own plugins look for its names */
        void *name = dlsym(object, SILR_DIST_PLUGIN);
        memcpy(&get, &name, sizeof get);
        if (!get)
            silr_buf_printf(&why, "%s is not of this version of silr", *path);
    } else {
        silr_buf_printf(&why, "%s", dlerror()); /* begins with the file at fault */
    }
    if (get)
        return get();
    silr_free(*path);
    *path = silr_buf_take(&why);
    return NULL;
}
