/* file.h - files: whole ones in, whole ones out or not at all. */
#ifndef SILR_BASE_FILE_H
#define SILR_BASE_FILE_H

#include "base/buf.h"
#include "base/status.h"
#include <stdio.h>

/* Reads all of path into out (cleared first). More than max_bytes: SILR_EINPUT. Missing, a
 * folder, not readable: SILR_EINPUT with the reason; a failing read: SILR_EIO. */
silr_status silr_file_read(silr_buf *out, const char *path, size_t max_bytes, silr_error *err);

/* A file that appears complete or not at all: written beside path, flushed to disk, renamed.
 *
 *     silr_out o;
 *     if ((st = silr_out_open(&o, path, err)) != SILR_OK) return st;
 *     fprintf(o.file, ...);
 *     return silr_out_close(&o, err);      // or silr_out_discard(&o)
 */
typedef struct {
    FILE *file;
    char *path, *temp;
} silr_out;
silr_status silr_out_open(silr_out *o, const char *path, silr_error *err);
silr_status silr_out_close(silr_out *o, silr_error *err); /* SILR_EIO: disk full and the like */
void silr_out_discard(silr_out *o);
silr_status silr_file_write(const char *path, const void *bytes, size_t len, silr_error *err);

silr_status silr_mkdirs(const char *path, silr_error *err); /* like mkdir -p */
bool silr_file_exists(const char *path);
/* dir + "/" + name, unless name is absolute or dir is NULL or "". silr_free it; NULL: no memory */
char *silr_path_join(const char *dir, const char *name);
char *silr_path_dir(const char *path); /* "." when there is none */

#endif
