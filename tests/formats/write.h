/* write.h - writes GGUF and safetensors files for tests: right ones, and wrong ones on purpose. */
#ifndef SILR_TESTS_FORMATS_WRITE_H
#define SILR_TESTS_FORMATS_WRITE_H

#include "base/base.h"

#include <string.h>

static inline void put_u8(silr_buf *b, uint8_t v)
{
    silr_buf_add(b, &v, sizeof v);
}

static inline void put_u32(silr_buf *b, uint32_t v)
{
    silr_buf_add(b, &v, sizeof v);
}

static inline void put_u64(silr_buf *b, uint64_t v)
{
    silr_buf_add(b, &v, sizeof v);
}

static inline void put_float(silr_buf *b, float v)
{
    silr_buf_add(b, &v, sizeof v);
}

static inline void put_string(silr_buf *b, const char *s)
{
    put_u64(b, strlen(s));
    silr_buf_puts(b, s);
}

/* --- GGUF: header, pairs, tensor records, end ----------------------------------------------------
 */

static inline void gguf_header(silr_buf *b, uint64_t tensors, uint64_t pairs)
{
    silr_buf_puts(b, "GGUF");
    put_u32(b, 3);
    put_u64(b, tensors);
    put_u64(b, pairs);
}

static inline void gguf_key(silr_buf *b, const char *key, uint32_t kind)
{
    put_string(b, key);
    put_u32(b, kind);
}

static inline void gguf_u32(silr_buf *b, const char *key, uint32_t v)
{
    gguf_key(b, key, 4);
    put_u32(b, v);
}

static inline void gguf_float(silr_buf *b, const char *key, float v)
{
    gguf_key(b, key, 6);
    put_float(b, v);
}

static inline void gguf_string(silr_buf *b, const char *key, const char *v)
{
    gguf_key(b, key, 8);
    put_string(b, v);
}

static inline void gguf_array(silr_buf *b, const char *key, uint32_t kind, uint64_t count)
{
    gguf_key(b, key, 9);
    put_u32(b, kind);
    put_u64(b, count);
}

/* dims: fastest first, as in the file. */
static inline void gguf_tensor(silr_buf *b, const char *name, uint32_t n, const uint64_t *dim,
                               uint32_t type, uint64_t offset)
{
    put_string(b, name);
    put_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        put_u64(b, dim[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

static inline void put_padding(silr_buf *b, size_t align)
{
    while (b->len % align != 0)
        silr_buf_putc(b, 0);
}

static inline void put_zeros(silr_buf *b, size_t n)
{
    static const char zero[256];
    for (; n > sizeof zero; n -= sizeof zero)
        silr_buf_add(b, zero, sizeof zero);
    silr_buf_add(b, zero, n);
}

/* --- safetensors -------------------------------------------------------------------------------
 */

static inline void safetensors_file(silr_buf *b, const char *json, size_t data)
{
    put_u64(b, strlen(json));
    silr_buf_puts(b, json);
    put_zeros(b, data);
}

#endif
