/* gguf_inside.h - what a parsed GGUF file is made of, for gguf.c and gguf_keys.c.
 *
 * Sizes and places are copied out of the file when it is checked and never read from it again: a
 * mapped file may change under us. */
#ifndef SILR_FORMATS_GGUF_INSIDE_H
#define SILR_FORMATS_GGUF_INSIDE_H

#include "formats/inside.h"

enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
};

typedef struct {
    const char *key;
    uint32_t kind; /* of the value, or of an array's elements */
    bool array;
    size_t at;     /* the value, the string's first byte, the first element */
    size_t count;  /* bytes of a string, elements of an array */
    size_t *place; /* arrays of strings: where each begins (its length first); [count]: the end */
} gguf_pair;

struct silr_gguf {
    silr_map *map;
    const uint8_t *bytes;
    size_t size;
    uint32_t version;
    silr_arena names;
    gguf_pair *pair; /* by key */
    size_t n_pairs, cap_pairs;
    silr_entry *entry; /* as in the file */
    size_t n_entries, cap_entries;
};

size_t silr_gguf_width(uint32_t kind); /* bytes of a number or truth value; 0 for all else */
const gguf_pair *silr_gguf_pair(const silr_gguf *g, const char *key);

#endif
