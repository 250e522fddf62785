/* hub_server - serves a folder as a hub serves a model, for looking at by hand:
 *
 *     hub_server FOLDER ORG/NAME        prints HF_ENDPOINT's value, and runs until its input ends
 *
 * Files of 64 KiB and more are "large": they lie on another port. One level of folders is served. */
#include "server.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST = 1000, LARGE = 1 << 16 };

static void take(struct hub *h, const char *top, const char *below)
{
    char path[9000], name[4500];
    struct stat info;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", top, below);
    for (struct dirent *e = (d = opendir(path)) ? readdir(d) : NULL; e; e = readdir(d)) {
        FILE *f;
        char *bytes;
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s%s%s", below, below[0] ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s/%s", top, name);
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode) && !below[0])
            take(h, top, name);
        if (!S_ISREG(info.st_mode) || !(f = fopen(path, "rb")))
            continue;
        bytes = malloc((size_t)info.st_size + 1);
        if (h->n < MOST && bytes && fread(bytes, 1, (size_t)info.st_size, f) == (size_t)info.st_size)
            h->file[h->n++] = (struct hub_file){.name = strdup(name), .bytes = bytes,
                                                .len = (size_t)info.st_size,
                                                .large = info.st_size >= LARGE};
        fclose(f);
    }
    if (d)
        closedir(d);
}

int main(int argc, char **argv)
{
    static struct hub_file files[MOST];
    struct hub h = {.file = files, .repo = argc > 2 ? argv[2] : NULL};

    if (argc != 3) {
        fprintf(stderr, "usage: hub_server FOLDER ORG/NAME\n");
        return 2;
    }
    take(&h, argv[1], "");
    if (!hub_start(&h))
        return 1;
    printf("%s\n", h.url);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    hub_stop(&h);
    return 0;
}
