/* safetensors.h - one safetensors file; for formats/ only. */
#ifndef SILR_FORMATS_SAFETENSORS_H
#define SILR_FORMATS_SAFETENSORS_H

#include "formats/inside.h"

typedef struct silr_safetensors silr_safetensors;

/* Maps path and checks all of it. SILR_EINPUT: err names what is wrong. */
silr_status silr_safetensors_open(silr_safetensors **out, const char *path, silr_error *err);
/* From bytes that outlive it (fuzzing). */
silr_status silr_safetensors_parse(silr_safetensors **out, const void *bytes, size_t len,
                                   const char *name, silr_error *err);
void silr_safetensors_free(silr_safetensors *s); /* NULL is fine */
size_t silr_safetensors_count(const silr_safetensors *s);
const silr_entry *silr_safetensors_entry(const silr_safetensors *s, size_t i);
const silr_map *silr_safetensors_mapped(const silr_safetensors *s); /* NULL: parsed from bytes */
silr_status silr_safetensors_intact(const silr_safetensors *s, silr_error *err);

#endif
