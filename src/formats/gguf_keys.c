/* gguf_keys.c - the values of a GGUF file's keys. */
#include "formats/gguf_inside.h"

#include <stdlib.h>
#include <string.h>

size_t silr_gguf_width(uint32_t kind)
{
    static const uint8_t width[GGUF_KINDS] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_BOOL] = 1, [GGUF_U16] = 2,
        [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,  [GGUF_F32] = 4,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return kind < GGUF_KINDS ? width[kind] : 0;
}

static int against(const void *key, const void *pair)
{
    return strcmp(key, ((const gguf_pair *)pair)->key);
}

const gguf_pair *silr_gguf_pair(const silr_gguf *g, const char *key)
{
    return g->n_pairs ? bsearch(key, g->pair, g->n_pairs, sizeof *g->pair, against) : NULL;
}

static const gguf_pair *pair_of(const silr_gguf *g, const char *key, bool array)
{
    const gguf_pair *p = silr_gguf_pair(g, key);
    return p && p->array == array ? p : NULL;
}

static bool read_integer(const uint8_t *at, uint32_t kind, int64_t *out)
{
    union {
        uint8_t u8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v = {.u64 = 0};

    memcpy(&v, at, silr_gguf_width(kind));
    switch (kind) {
    case GGUF_U8:
        *out = v.u8;
        return true;
    case GGUF_I8:
        *out = v.u8 < 128 ? v.u8 : v.u8 - 256;
        return true;
    case GGUF_U16:
        *out = v.u16;
        return true;
    case GGUF_I16:
        *out = v.i16;
        return true;
    case GGUF_U32:
        *out = v.u32;
        return true;
    case GGUF_I32:
        *out = v.i32;
        return true;
    case GGUF_I64:
        *out = v.i64;
        return true;
    case GGUF_U64:
        if (v.u64 > INT64_MAX)
            return false;
        *out = (int64_t)v.u64;
        return true;
    default:
        return false;
    }
}

static bool read_number(const uint8_t *at, uint32_t kind, double *out)
{
    int64_t i;
    float f;

    if (kind == GGUF_F32) {
        memcpy(&f, at, sizeof f);
        *out = (double)f;
        return true;
    }
    if (kind == GGUF_F64) {
        memcpy(out, at, sizeof *out);
        return true;
    }
    if (!read_integer(at, kind, &i))
        return false;
    *out = (double)i;
    return true;
}

static bool is_integer(uint32_t kind)
{
    return silr_gguf_width(kind) > 0 && kind != GGUF_BOOL && kind != GGUF_F32 && kind != GGUF_F64;
}

static bool is_number(uint32_t kind)
{
    return silr_gguf_width(kind) > 0 && kind != GGUF_BOOL;
}

bool silr_gguf_has(const silr_gguf *g, const char *key)
{
    return silr_gguf_pair(g, key) != NULL;
}

bool silr_gguf_integer(const silr_gguf *g, const char *key, int64_t *out)
{
    const gguf_pair *p = pair_of(g, key, false);
    return p && is_integer(p->kind) && read_integer(g->bytes + p->at, p->kind, out);
}

bool silr_gguf_number(const silr_gguf *g, const char *key, double *out)
{
    const gguf_pair *p = pair_of(g, key, false);
    return p && is_number(p->kind) && read_number(g->bytes + p->at, p->kind, out);
}

bool silr_gguf_bool(const silr_gguf *g, const char *key, bool *out)
{
    const gguf_pair *p = pair_of(g, key, false);
    if (!p || p->kind != GGUF_BOOL)
        return false;
    *out = g->bytes[p->at] != 0;
    return true;
}

bool silr_gguf_string(const silr_gguf *g, const char *key, const char **out, size_t *len)
{
    const gguf_pair *p = pair_of(g, key, false);
    if (!p || p->kind != GGUF_STRING)
        return false;
    *out = (const char *)g->bytes + p->at;
    *len = p->count;
    return true;
}

/* --- arrays ------------------------------------------------------------------------------------
 */

static bool is_string(uint32_t kind)
{
    return kind == GGUF_STRING;
}

static const gguf_pair *array_of(const silr_gguf *g, const char *key, bool (*is)(uint32_t),
                                 size_t *count)
{
    const gguf_pair *p = pair_of(g, key, true);
    if (p && !is(p->kind))
        p = NULL;
    *count = p ? p->count : 0;
    return p;
}

bool silr_gguf_strings(const silr_gguf *g, const char *key, size_t *count)
{
    return array_of(g, key, is_string, count) != NULL;
}

bool silr_gguf_string_at(const silr_gguf *g, const char *key, size_t i, const char **out,
                         size_t *len)
{
    size_t count;
    const gguf_pair *p = array_of(g, key, is_string, &count);
    if (!p || i >= count)
        return false;
    *out = (const char *)g->bytes + p->place[i] + sizeof(uint64_t);
    *len = p->place[i + 1] - p->place[i] - sizeof(uint64_t);
    return true;
}

bool silr_gguf_integers(const silr_gguf *g, const char *key, size_t *count)
{
    return array_of(g, key, is_integer, count) != NULL;
}

bool silr_gguf_integer_at(const silr_gguf *g, const char *key, size_t i, int64_t *out)
{
    size_t count;
    const gguf_pair *p = array_of(g, key, is_integer, &count);
    return p && i < count &&
           read_integer(g->bytes + p->at + i * silr_gguf_width(p->kind), p->kind, out);
}

bool silr_gguf_numbers(const silr_gguf *g, const char *key, size_t *count)
{
    return array_of(g, key, is_number, count) != NULL;
}

bool silr_gguf_number_at(const silr_gguf *g, const char *key, size_t i, double *out)
{
    size_t count;
    const gguf_pair *p = array_of(g, key, is_number, &count);
    return p && i < count &&
           read_number(g->bytes + p->at + i * silr_gguf_width(p->kind), p->kind, out);
}
