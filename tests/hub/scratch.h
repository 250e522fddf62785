/* scratch.h - a folder for a test, and a few words about files in it. */
#ifndef TEST_HUB_SCRATCH_H
#define TEST_HUB_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

extern char scratch[64]; /* "/tmp/silr-hub-XXXXXX" */
void scratch_make(void);
void scratch_remove(void);
void scratch_write(const char *path, const void *bytes, size_t len); /* folders on the way too */
char *scratch_path(const char *path); /* scratch/path; one of eight, used in turn */
bool scratch_has(const char *path);
/* Files and links below path, "a b c" sorted. */
void scratch_list(const char *path, char *out, size_t room);
/* len bytes that do not compress and do not repeat; free() them. */
char *scratch_noise(size_t len, unsigned seed);

#endif
