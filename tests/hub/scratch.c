#include "scratch.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char scratch[64];

void scratch_make(void)
{
    snprintf(scratch, sizeof scratch, "/tmp/silr-hub-XXXXXX");
    if (!mkdtemp(scratch))
        abort();
}

static void remove_all(const char *path)
{
    DIR *d = opendir(path);
    char below[4400];

    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat info;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        if (lstat(below, &info) == 0 && S_ISDIR(info.st_mode))
            remove_all(below);
        else
            unlink(below);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

void scratch_remove(void)
{
    if (strncmp(scratch, "/tmp/silr-hub-", 14) == 0)
        remove_all(scratch);
}

char *scratch_path(const char *path)
{
    static char out[8][600];
    static int turn;

    turn = (turn + 1) % 8;
    snprintf(out[turn], sizeof out[turn], "%s/%s", scratch, path);
    return out[turn];
}

void scratch_write(const char *path, const void *bytes, size_t len)
{
    char *full = scratch_path(path);
    FILE *f;

    for (char *p = full + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(full, 0777);
            *p = '/';
        }
    f = fopen(full, "wb");
    if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0)
        abort();
}

bool scratch_has(const char *path)
{
    struct stat info;
    return lstat(scratch_path(path), &info) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void collect(const char *top, const char *below, char **names, size_t *n)
{
    char path[9000];
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", top, below);
    d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat info;
        char name[4400];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", below, below[0] ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s/%s", top, name);
        if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode))
            collect(top, name, names, n);
        else if (*n < 200)
            names[(*n)++] = strdup(name);
    }
    if (d)
        closedir(d);
}

void scratch_list(const char *path, char *out, size_t room)
{
    char *names[200];
    size_t n = 0, at = 0;

    collect(scratch_path(path), "", names, &n);
    qsort(names, n, sizeof *names, by_name);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (at < room)
            at += (size_t)snprintf(out + at, room - at, "%s%s", i ? " " : "", names[i]);
        free(names[i]);
    }
}

char *scratch_noise(size_t len, unsigned seed)
{
    char *out = malloc(len + 1);
    uint64_t x = 88172645463325252u + seed;

    for (size_t i = 0; out && i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (char)x;
    }
    return out;
}
