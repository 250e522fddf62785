/* entry.c - what every table of tensors must keep to, whatever the format. */
#include "formats/inside.h"

#include <stdlib.h>
#include <string.h>

bool silr_entry_name_ok(const char *name, size_t len, size_t max)
{
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const silr_entry *const *x = a, *const *y = b;
    return strcmp((*x)->tensor.name, (*y)->tensor.name);
}

bool silr_entries_by_name(const silr_entry **sorted, size_t n, const char **twice)
{
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i]->tensor.name, sorted[i - 1]->tensor.name) == 0) {
            *twice = sorted[i]->tensor.name;
            return false;
        }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const silr_entry *const *x = a, *const *y = b;
    return ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

silr_status silr_entries_packed(const silr_entry **sorted, size_t n, size_t start, size_t end,
                                size_t align, const char *path, silr_error *err)
{
    size_t next = start, filled = start; /* where the next must begin; where the last ends */

    qsort(sorted, n, sizeof *sorted, by_place);
    for (size_t i = 0; i < n; i++) {
        const silr_entry *e = sorted[i];
        if (e->at != next)
            return silr_fail(err, SILR_EINPUT, "%s: byte %zu: tensor \"%s\" %s", path, e->at,
                             e->tensor.name,
                             e->at < filled       ? "overlaps the one before it"
                             : e->at % align != 0 ? "is not aligned"
                             : e->at < next       ? "lies in the padding of the one before it"
                                                  : "has a gap before it");
        if (e->tensor.bytes > end - e->at)
            return silr_fail(err, SILR_EINPUT,
                             "%s: byte %zu: tensor \"%s\" of %zu bytes reaches past the end of the "
                             "file; was it copied completely?",
                             path, e->at, e->tensor.name, e->tensor.bytes);
        filled = e->at + e->tensor.bytes;
        next = filled + (align - filled % align) % align;
        if (i + 1 < n && next > end)
            return silr_fail(err, SILR_EINPUT, "%s: ends behind tensor \"%s\", with more to come",
                             path, e->tensor.name);
    }
    if (end > next)
        return silr_fail(err, SILR_EINPUT, "%s: byte %zu: %zu bytes behind the last tensor", path,
                         next, end - next);
    return SILR_OK;
}
