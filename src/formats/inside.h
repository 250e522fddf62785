/* inside.h - what the files of formats/ share. */
#ifndef SILR_FORMATS_INSIDE_H
#define SILR_FORMATS_INSIDE_H

#include "formats/formats.h"
#include "formats/gguf.h"
#include "formats/map.h"

/* A tensor with what its file calls its type, which silr_type does not tell for SILR_TYPE_OTHER. */
typedef struct {
    silr_tensor tensor;
    const char *type_name;
    size_t at; /* where its bytes begin in its file */
} silr_entry;

/* Is name fit to be a tensor's or key's: printable ASCII, 1 to max bytes? Then it may be shown. */
bool silr_entry_name_ok(const char *name, size_t len, size_t max);
/* Sorts pointers to `n` entries by name. false: two have the same, *twice. */
bool silr_entries_by_name(const silr_entry **sorted, size_t n, const char **twice);
/* Do the entries' bytes fill start .. end one behind the other, each beginning at a multiple of
 * `align`, with nothing but padding between? Sorts `sorted` by place. SILR_EINPUT: err says which.
 */
silr_status silr_entries_packed(const silr_entry **sorted, size_t n, size_t start, size_t end,
                                size_t align, const char *path, silr_error *err);

/* GGUF */
uint32_t silr_gguf_version(const silr_gguf *g);
const silr_entry *silr_gguf_entry(const silr_gguf *g, size_t i);
const silr_map *silr_gguf_mapped(const silr_gguf *g); /* NULL: parsed from bytes */

#endif
