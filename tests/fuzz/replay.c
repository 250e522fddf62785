/* replay.c - runs a fuzz target over recorded inputs, without a fuzzer.
 *
 *     replay_task tests/fuzz/corpus/task
 *
 * Arguments are files or folders (not descended into). Each input is given in a block of exactly
 * its size, so that a read one byte past its end is seen by the address sanitizer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *bytes = NULL;
    int rc = 1;

    if (f == NULL || fstat(fileno(f), &st) != 0)
        goto done;
    size_t size = (size_t)st.st_size;
    bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL || fread(bytes, 1, size, f) != size)
        goto done;
    LLVMFuzzerTestOneInput(bytes, size);
    rc = 0;
done:
    if (rc != 0)
        fprintf(stderr, "replay: %s cannot be read\n", path);
    free(bytes);
    if (f != NULL)
        fclose(f);
    return rc;
}

static int replay_folder(DIR *dir, const char *path, size_t *n)
{
    char name[4096];
    int rc = 0;

    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        rc |= replay_file(name);
        ++*n;
    }
    return rc;
}

int main(int argc, char **argv)
{
    size_t n = 0;
    int rc = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir != NULL) {
            rc |= replay_folder(dir, argv[i], &n);
            closedir(dir);
        } else {
            rc |= replay_file(argv[i]);
            n++;
        }
    }
    printf("%zu inputs replayed\n", n);
    if (n == 0) /* an empty corpus tests nothing */
        fprintf(stderr, "replay: no inputs\n");
    return n == 0 ? 1 : rc;
}
