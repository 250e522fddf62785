/* owner.c - who a claim belongs to, and whether that process lives.
 *
 * host names a kernel's boot and its process numbers: the boot's id and the pid namespace. Only where
 * both are ours does a pid mean a process that we can look at; "" is like no other. start is the
 * process's start in ticks since the boot (proc(5), /proc/PID/stat, field 22): a pid that was given to
 * another process since is not taken for the first. */
#include "ledger/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static size_t read_small(const char *path, char *out, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, room - 1);

    if (fd >= 0)
        close(fd);
    n = n < 0 ? 0 : n;
    out[n] = '\0';
    return (size_t)n;
}

/* "PID (NAME) STATE PPID ...": the name may hold anything. false: not readable. */
static bool read_stat(int64_t pid, char *state, int64_t *start)
{
    char path[40], text[1024], *p;

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (read_small(path, text, sizeof text) == 0 || !(p = strrchr(text, ')')) || p[1] != ' ')
        return false;
    *state = p[2];
    p += 2;
    for (int field = 3; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    *start = p ? strtoll(p, NULL, 10) : 0;
    return p != NULL;
}

static void name_host(char out[LEDGER_HOST])
{
    char boot[64], space[64];
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);

    out[0] = '\0';
    if (n <= 0 || read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot) == 0)
        return;
    space[n] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    snprintf(out, LEDGER_HOST, "%.60s %.60s", boot, space);
}

bool silr_owner_make(ledger_owner *o)
{
    uint64_t lot;
    char state;

    if (getrandom(&lot, sizeof lot, 0) != sizeof lot)
        return false;
    o->owner = (int64_t)(lot >> 1) | 1;
    o->pid = getpid();
    name_host(o->host);
    if (!read_stat(o->pid, &state, &o->start))
        o->host[0] = '\0';
    return true;
}

bool silr_owner_is_dead(const ledger_owner *o, const char *my_host)
{
    char state;
    int64_t start;

    if (!my_host[0] || strcmp(o->host, my_host) != 0 || o->pid <= 0 || o->pid > INT32_MAX)
        return false;
    if (kill((pid_t)o->pid, 0) != 0 && errno == ESRCH)
        return true;
    if (!read_stat(o->pid, &state, &start)) /* another user's, hidden */
        return false;
    return start != o->start || state == 'Z' || state == 'X';
}
