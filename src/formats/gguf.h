/* gguf.h - the key-value part of a GGUF file; for formats/ and tokenizer/ only. */
#ifndef SILR_FORMATS_GGUF_H
#define SILR_FORMATS_GGUF_H

#include "formats/formats.h"

typedef struct silr_gguf silr_gguf;

/* Maps path and checks all of it: header, keys, tensor table. SILR_EINPUT: err names the offset. */
silr_status silr_gguf_open(silr_gguf **out, const char *path, silr_error *err);
void silr_gguf_free(silr_gguf *g);
/* From bytes that outlive it (fuzzing). */
silr_status silr_gguf_parse(silr_gguf **out, const void *bytes, size_t len, const char *name,
                            silr_error *err);

bool silr_gguf_has(const silr_gguf *g, const char *key);
/* Each false when the key is missing or not of that kind (an integer of any width is an integer; a
 * float of any width, or an integer, is a number). */
bool silr_gguf_integer(const silr_gguf *g, const char *key, int64_t *out);
bool silr_gguf_number(const silr_gguf *g, const char *key, double *out);
bool silr_gguf_bool(const silr_gguf *g, const char *key, bool *out);
/* Borrowed; not terminated; any bytes. */
bool silr_gguf_string(const silr_gguf *g, const char *key, const char **out, size_t *len);

/* Arrays. count is 0 and the result false when the key is missing or its elements are of another
 * kind. A string's place is found in constant time after the first call. */
bool silr_gguf_strings(const silr_gguf *g, const char *key, size_t *count);
bool silr_gguf_string_at(const silr_gguf *g, const char *key, size_t i, const char **out, size_t *len);
bool silr_gguf_integers(const silr_gguf *g, const char *key, size_t *count);
bool silr_gguf_integer_at(const silr_gguf *g, const char *key, size_t i, int64_t *out);
bool silr_gguf_numbers(const silr_gguf *g, const char *key, size_t *count);
bool silr_gguf_number_at(const silr_gguf *g, const char *key, size_t i, double *out);

size_t silr_gguf_tensors(const silr_gguf *g);
const silr_tensor *silr_gguf_tensor(const silr_gguf *g, size_t i);
silr_status silr_gguf_intact(const silr_gguf *g, silr_error *err);

#endif
