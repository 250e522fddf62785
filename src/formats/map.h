/* map.h - a file mapped read-only, that may be cut short by others; for formats/ only.
 *
 * Reading a page of a mapping that the file no longer has raises SIGBUS, which ends a process. Here
 * such a read gives zeros and marks the map as broken, so whoever used the bytes asks afterwards
 * whether what came out may be believed:
 *
 *     silr_map *m;
 *     if ((st = silr_map_open(&m, path, err)) != SILR_OK)
 *         return st;
 *     use(m->bytes, m->size);
 *     st = silr_map_intact(m, err);
 */
#ifndef SILR_FORMATS_MAP_H
#define SILR_FORMATS_MAP_H

#include "base/base.h"

typedef struct {
    const uint8_t *bytes; /* page-aligned */
    size_t size;
    char *path;
    struct silr_map_watch *watch;
    int file; /* kept open: tells the size that the file has by now */
    int64_t changed[2];
} silr_map;

/* SILR_EINPUT: missing, not a plain file, empty. SILR_EIO: cannot be mapped. */
silr_status silr_map_open(silr_map **out, const char *path, silr_error *err);
void silr_map_close(silr_map *m); /* NULL is fine */
/* SILR_EINPUT when the file was cut short or written to since it was opened. */
silr_status silr_map_intact(const silr_map *m, silr_error *err);

#endif
