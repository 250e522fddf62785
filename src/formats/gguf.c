/* gguf.c - checks a GGUF file, versions 2 and 3.
 *
 *     "GGUF"  version u32  tensors u64  pairs u64
 *     a pair:    key string, kind u32, value          an array: kind u32, count u64, elements
 *     a tensor:  name string, dims u32, dim u64 ..., type u32, offset u64
 *     padding up to `general.alignment` (32), then each tensor's bytes at its offset from here,
 * padded
 *
 * A string is its length u64 and its bytes. Numbers are little-endian. Dimensions are given fastest
 * first and turned round here.
 *
 * Counts are not believed: memory grows with the records that are really there, and a count that
 * the rest of the file cannot hold is refused at once. What the format allows but no model of ours
 * has (arrays of arrays, a big-endian file, a file that is one of several) is refused by name. */
#include "formats/gguf_inside.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PAIRS = 1 << 16,    /* files have about 40 */
    MAX_TENSORS = 1 << 16,  /* and some hundreds */
    MAX_ELEMENTS = 1 << 24, /* strings of one array: vocabularies have less than a million */
    MAX_KEY = 65535,        /* the format's */
    MAX_NAME = 255,
    MIN_PAIR = 8 + 1 + 4 + 1,
    MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8,
    ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 16
};

static const struct {
    const char *name;
    uint16_t block, bytes;
    silr_type type;
} gguf_type[] = {
    [0] = {"F32", 1, 4, SILR_TYPE_F32},           [1] = {"F16", 1, 2, SILR_TYPE_F16},
    [2] = {"Q4_0", 32, 18, SILR_TYPE_Q4_0},       [3] = {"Q4_1", 32, 20, SILR_TYPE_Q4_1},
    [6] = {"Q5_0", 32, 22, SILR_TYPE_Q5_0},       [7] = {"Q5_1", 32, 24, SILR_TYPE_Q5_1},
    [8] = {"Q8_0", 32, 34, SILR_TYPE_Q8_0},       [9] = {"Q8_1", 32, 40, SILR_TYPE_OTHER},
    [10] = {"Q2_K", 256, 84, SILR_TYPE_OTHER},    [11] = {"Q3_K", 256, 110, SILR_TYPE_OTHER},
    [12] = {"Q4_K", 256, 144, SILR_TYPE_Q4_K},    [13] = {"Q5_K", 256, 176, SILR_TYPE_Q5_K},
    [14] = {"Q6_K", 256, 210, SILR_TYPE_Q6_K},    [15] = {"Q8_K", 256, 292, SILR_TYPE_OTHER},
    [16] = {"IQ2_XXS", 256, 66, SILR_TYPE_OTHER}, [17] = {"IQ2_XS", 256, 74, SILR_TYPE_OTHER},
    [18] = {"IQ3_XXS", 256, 98, SILR_TYPE_OTHER}, [19] = {"IQ1_S", 256, 50, SILR_TYPE_OTHER},
    [20] = {"IQ4_NL", 32, 18, SILR_TYPE_OTHER},   [21] = {"IQ3_S", 256, 110, SILR_TYPE_OTHER},
    [22] = {"IQ2_S", 256, 82, SILR_TYPE_OTHER},   [23] = {"IQ4_XS", 256, 136, SILR_TYPE_OTHER},
    [24] = {"I8", 1, 1, SILR_TYPE_OTHER},         [25] = {"I16", 1, 2, SILR_TYPE_OTHER},
    [26] = {"I32", 1, 4, SILR_TYPE_OTHER},        [27] = {"I64", 1, 8, SILR_TYPE_OTHER},
    [28] = {"F64", 1, 8, SILR_TYPE_OTHER},        [29] = {"IQ1_M", 256, 56, SILR_TYPE_OTHER},
    [30] = {"BF16", 1, 2, SILR_TYPE_BF16},        [34] = {"TQ1_0", 256, 54, SILR_TYPE_OTHER},
    [35] = {"TQ2_0", 256, 66, SILR_TYPE_OTHER},   [39] = {"MXFP4", 32, 17, SILR_TYPE_OTHER},
    [40] = {"NVFP4", 64, 36, SILR_TYPE_OTHER},    [41] = {"Q1_0", 128, 18, SILR_TYPE_OTHER},
};

/* Reads forward; what does not fit any more fails with the place. */
typedef struct {
    silr_gguf *g;
    const char *path;
    silr_error *err;
    size_t at;
} reader;

static size_t left(const reader *r)
{
    return r->g->size - r->at;
}

static silr_status broken(const reader *r, size_t at, const char *what)
{
    return silr_fail(r->err, SILR_EINPUT, "%s: byte %zu: %s", r->path, at, what);
}

static silr_status skip(reader *r, size_t bytes, size_t *at)
{
    if (bytes > left(r))
        return broken(r, r->at, "the file ends here, with more to come; was it copied completely?");
    *at = r->at;
    r->at += bytes;
    return SILR_OK;
}

static silr_status read_u32(reader *r, uint32_t *out)
{
    size_t at = 0;
    silr_status st = skip(r, sizeof *out, &at);
    if (st == SILR_OK)
        memcpy(out, r->g->bytes + at, sizeof *out);
    return st;
}

static silr_status read_u64(reader *r, uint64_t *out)
{
    size_t at = 0;
    silr_status st = skip(r, sizeof *out, &at);
    if (st == SILR_OK)
        memcpy(out, r->g->bytes + at, sizeof *out);
    return st;
}

static silr_status read_string(reader *r, size_t *at, size_t *len)
{
    uint64_t n = 0;
    silr_status st = read_u64(r, &n);

    if (st != SILR_OK)
        return st;
    if (n > left(r))
        return broken(r, r->at - sizeof n, "a string is longer than the rest of the file");
    *len = (size_t)n;
    return skip(r, *len, at);
}

/* A key or a tensor's name, as a copy that nobody can change. */
static silr_status read_name(reader *r, size_t max, const char **out)
{
    size_t from = r->at, at = 0, len = 0;
    silr_status st = read_string(r, &at, &len);

    if (st != SILR_OK)
        return st;
    if (len == 0 || len > max)
        return broken(r, from, len == 0 ? "an empty name" : "a name is too long");
    if (!(*out = silr_arena_strndup(&r->g->names, (const char *)r->g->bytes + at, len)))
        return silr_fail_memory(r->err);
    if (!silr_entry_name_ok(*out, len, max))
        return broken(r, from, "a name has characters that no name has");
    return SILR_OK;
}

/* --- pairs -------------------------------------------------------------------------------------
 */

static silr_status read_strings(reader *r, gguf_pair *p)
{
    silr_status st = SILR_OK;
    size_t at = 0, len = 0;

    if (p->count > MAX_ELEMENTS || p->count > left(r) / sizeof(uint64_t))
        return broken(r, r->at, "an array of more strings than the rest of the file can hold");
    if (!(p->place = silr_alloc(p->count + 1, sizeof *p->place)))
        return silr_fail_memory(r->err);
    for (size_t i = 0; i < p->count && st == SILR_OK; i++) {
        p->place[i] = r->at;
        st = read_string(r, &at, &len);
    }
    p->place[p->count] = r->at;
    return st;
}

static silr_status check_truths(reader *r, const gguf_pair *p, size_t count)
{
    for (size_t i = 0; p->kind == GGUF_BOOL && i < count; i++)
        if (r->g->bytes[p->at + i] > 1)
            return broken(r, p->at + i, "neither true nor false");
    return SILR_OK;
}

static silr_status read_array(reader *r, gguf_pair *p)
{
    silr_status st;
    uint64_t count = 0;
    size_t from = r->at, bytes, width;

    if ((st = read_u32(r, &p->kind)) != SILR_OK || (st = read_u64(r, &count)) != SILR_OK)
        return st;
    p->array = true;
    if (p->kind == GGUF_ARRAY)
        return broken(r, from, "an array of arrays, which no model that silr knows has");
    if (p->kind >= GGUF_KINDS)
        return broken(r, from, "an array of an unknown kind");
    if (count > SIZE_MAX - 1)
        return broken(r, from, "an array of more elements than the rest of the file can hold");
    p->count = (size_t)count;
    p->at = r->at;
    if (p->kind == GGUF_STRING)
        return read_strings(r, p);
    width = silr_gguf_width(p->kind);
    if (!silr_mul(p->count, width, &bytes) || bytes > left(r))
        return broken(r, from, "an array of more elements than the rest of the file can hold");
    if ((st = skip(r, bytes, &p->at)) != SILR_OK)
        return st;
    return check_truths(r, p, p->count);
}

static silr_status read_pair(reader *r, gguf_pair *p)
{
    silr_status st;

    if ((st = read_name(r, MAX_KEY, &p->key)) != SILR_OK || (st = read_u32(r, &p->kind)) != SILR_OK)
        return st;
    if (p->kind >= GGUF_KINDS)
        return silr_fail(r->err, SILR_EINPUT, "%s: byte %zu: key \"%.64s\" is of unknown kind %u",
                         r->path, r->at - 4, p->key, p->kind);
    if (p->kind == GGUF_ARRAY)
        return read_array(r, p);
    if (p->kind == GGUF_STRING)
        return read_string(r, &p->at, &p->count);
    if ((st = skip(r, silr_gguf_width(p->kind), &p->at)) != SILR_OK)
        return st;
    return check_truths(r, p, 1);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const gguf_pair *)a)->key, ((const gguf_pair *)b)->key);
}

static silr_status read_pairs(reader *r, uint64_t count)
{
    silr_gguf *g = r->g;
    silr_status st;

    if (count > MAX_PAIRS || count > left(r) / MIN_PAIR)
        return silr_fail(r->err, SILR_EINPUT, "%s: byte 16: %llu keys, more than a model has",
                         r->path, (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        if (!silr_grow(&g->pair, &g->cap_pairs, g->n_pairs + 1, sizeof *g->pair))
            return silr_fail_memory(r->err);
        g->pair[g->n_pairs] = (gguf_pair){0};
        if ((st = read_pair(r, &g->pair[g->n_pairs++])) != SILR_OK)
            return st;
    }
    if (g->n_pairs > 0)
        qsort(g->pair, g->n_pairs, sizeof *g->pair, by_key);
    for (size_t i = 1; i < g->n_pairs; i++)
        if (strcmp(g->pair[i - 1].key, g->pair[i].key) == 0)
            return silr_fail(r->err, SILR_EINPUT, "%s: key \"%.64s\" is there twice", r->path,
                             g->pair[i].key);
    return SILR_OK;
}

static silr_status read_alignment(const reader *r, size_t *out)
{
    const gguf_pair *p = silr_gguf_pair(r->g, "general.alignment");
    int64_t v = ALIGNMENT;

    if (p &&
        (p->array || p->kind != GGUF_U32 || !silr_gguf_integer(r->g, "general.alignment", &v) ||
         v < 8 || v > MAX_ALIGNMENT || (v & (v - 1)) != 0))
        return silr_fail(r->err, SILR_EINPUT,
                         "%s: byte %zu: general.alignment is not a power of two of 8 to %d",
                         r->path, p->at, MAX_ALIGNMENT);
    *out = (size_t)v;
    return SILR_OK;
}

/* --- tensors -----------------------------------------------------------------------------------
 */

static silr_status read_dims(reader *r, silr_tensor *t, size_t *values)
{
    size_t from = r->at;
    uint64_t dim[SILR_TENSOR_DIMS] = {0};
    uint32_t n = 0;
    silr_status st = read_u32(r, &n);

    if (st != SILR_OK)
        return st;
    if (n < 1 || n > SILR_TENSOR_DIMS)
        return silr_fail(r->err, SILR_EINPUT,
                         "%s: byte %zu: tensor \"%s\" has %u dimensions, not "
                         "1 to %d",
                         r->path, from, t->name, n, SILR_TENSOR_DIMS);
    *values = 1;
    for (uint32_t i = 0; i < n; i++) {
        if ((st = read_u64(r, &dim[i])) != SILR_OK)
            return st;
        if (dim[i] == 0 || dim[i] > SIZE_MAX || !silr_mul(*values, (size_t)dim[i], values))
            return silr_fail(r->err, SILR_EINPUT, "%s: byte %zu: tensor \"%s\": %s", r->path, from,
                             t->name, dim[i] == 0 ? "a dimension is 0" : "its size overflows");
    }
    t->n_dims = (int)n;
    for (uint32_t i = 0; i < n; i++)
        t->dim[n - 1 - i] = (size_t)dim[i];
    return SILR_OK;
}

static silr_status read_type(reader *r, silr_entry *e, size_t values)
{
    silr_tensor *t = &e->tensor;
    uint32_t type = 0;
    silr_status st = read_u32(r, &type);

    if (st != SILR_OK)
        return st;
    if (type >= sizeof gguf_type / sizeof *gguf_type || !gguf_type[type].name)
        return silr_fail(r->err, SILR_EINPUT, "%s: byte %zu: tensor \"%s\" is of unknown type %u",
                         r->path, r->at - 4, t->name, type);
    t->type = gguf_type[type].type;
    e->type_name = gguf_type[type].name;
    if (t->dim[t->n_dims - 1] % gguf_type[type].block != 0)
        return silr_fail(r->err, SILR_EINPUT,
                         "%s: byte %zu: tensor \"%s\": rows of %zu values, not whole blocks of %s",
                         r->path, r->at - 4, t->name, t->dim[t->n_dims - 1], e->type_name);
    if (!silr_mul(values / gguf_type[type].block, gguf_type[type].bytes, &t->bytes))
        return silr_fail(r->err, SILR_EINPUT, "%s: byte %zu: tensor \"%s\": its size overflows",
                         r->path, r->at - 4, t->name);
    return SILR_OK;
}

/* e->at counts from the start of the data until place_tensors. */
static silr_status read_tensor(reader *r, silr_entry *e)
{
    silr_status st;
    uint64_t offset = 0;
    size_t values = 0;

    if ((st = read_name(r, MAX_NAME, &e->tensor.name)) != SILR_OK ||
        (st = read_dims(r, &e->tensor, &values)) != SILR_OK ||
        (st = read_type(r, e, values)) != SILR_OK || (st = read_u64(r, &offset)) != SILR_OK)
        return st;
    if (offset > r->g->size)
        return silr_fail(r->err, SILR_EINPUT,
                         "%s: byte %zu: tensor \"%s\" begins past the end of the file; was it "
                         "copied completely?",
                         r->path, r->at - 8, e->tensor.name);
    e->at = (size_t)offset;
    return SILR_OK;
}

static silr_status read_tensors(reader *r, uint64_t count)
{
    silr_gguf *g = r->g;
    silr_status st;

    if (count > MAX_TENSORS || count > left(r) / MIN_TENSOR)
        return silr_fail(r->err, SILR_EINPUT, "%s: byte 8: %llu tensors, more than %s", r->path,
                         (unsigned long long)count,
                         count > MAX_TENSORS ? "a model has" : "the file can hold");
    for (uint64_t i = 0; i < count; i++) {
        if (!silr_grow(&g->entry, &g->cap_entries, g->n_entries + 1, sizeof *g->entry))
            return silr_fail_memory(r->err);
        g->entry[g->n_entries] = (silr_entry){0};
        if ((st = read_tensor(r, &g->entry[g->n_entries++])) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

/* From offsets to places in the file: none twice, one behind the other, none past the end. */
static silr_status place_tensors(reader *r, size_t align)
{
    silr_status st = SILR_OK;
    silr_gguf *g = r->g;
    const char *twice;
    size_t start = r->at + (align - r->at % align) % align; /* align is small: no overflow */
    const silr_entry **sorted = silr_alloc(g->n_entries, sizeof *sorted);

    if (!sorted)
        return silr_fail_memory(r->err);
    for (size_t i = 0; i < g->n_entries; i++) {
        silr_entry *e = &g->entry[i];
        sorted[i] = e;
        if (!silr_add(e->at, start, &e->at) || e->at > g->size) {
            st = silr_fail(r->err, SILR_EINPUT,
                           "%s: tensor \"%s\" begins past the end of the file; was it copied "
                           "completely?",
                           r->path, e->tensor.name);
            goto done;
        }
        e->tensor.data = g->bytes + e->at;
    }
    if (!silr_entries_by_name(sorted, g->n_entries, &twice)) {
        st = silr_fail(r->err, SILR_EINPUT, "%s: tensor \"%s\" is there twice", r->path, twice);
        goto done;
    }
    st = silr_entries_packed(sorted, g->n_entries, start, g->size, align, r->path, r->err);
done:
    silr_free(sorted);
    return st;
}

/* --- the file ----------------------------------------------------------------------------------
 */

static silr_status read_header(reader *r, uint64_t *tensors, uint64_t *pairs)
{
    silr_gguf *g = r->g;
    size_t at = 0;
    silr_status st;

    if (g->size < 24 || memcmp(g->bytes, "GGUF", 4) != 0)
        return silr_fail(r->err, SILR_EINPUT, "%s: is not a GGUF file", r->path);
    if ((st = skip(r, 4, &at)) != SILR_OK || (st = read_u32(r, &g->version)) != SILR_OK)
        return st;
    if ((g->version & 0xffff) == 0)
        return silr_fail(r->err, SILR_EINPUT,
                         "%s: is a big-endian GGUF file; silr reads little-endian ones", r->path);
    if (g->version != 2 && g->version != 3)
        return silr_fail(r->err, SILR_EINPUT, "%s: is GGUF version %u; silr reads versions 2 and 3",
                         r->path, g->version);
    if ((st = read_u64(r, tensors)) != SILR_OK)
        return st;
    return read_u64(r, pairs);
}

static silr_status parse(silr_gguf *g, const char *path, silr_error *err)
{
    reader r = {g, path, err, 0};
    uint64_t tensors = 0, pairs = 0;
    int64_t parts = 0;
    size_t align = ALIGNMENT;
    silr_status st;

    if ((st = read_header(&r, &tensors, &pairs)) != SILR_OK ||
        (st = read_pairs(&r, pairs)) != SILR_OK || (st = read_alignment(&r, &align)) != SILR_OK)
        return st;
    if (silr_gguf_integer(g, "split.count", &parts) && parts > 1)
        return silr_fail(err, SILR_EINPUT,
                         "%s: is one of %lld files of a model; merge them first "
                         "(llama-gguf-split --merge)",
                         path, (long long)parts);
    if ((st = read_tensors(&r, tensors)) != SILR_OK)
        return st;
    return place_tensors(&r, align);
}

static silr_status make(silr_gguf **out, silr_map *map, const void *bytes, size_t len,
                        const char *name, silr_error *err)
{
    silr_status st, cut;
    silr_gguf *g = silr_calloc(1, sizeof *g);

    if (!g) {
        silr_map_close(map);
        return silr_fail_memory(err);
    }
    g->map = map;
    g->bytes = bytes;
    g->size = len;
    st = parse(g, name, err);
    /* what looks wrong, or right, may have changed meanwhile: that is the better sentence then */
    if ((st == SILR_OK || st == SILR_EINPUT) && (cut = silr_gguf_intact(g, err)) != SILR_OK)
        st = cut;
    if (st != SILR_OK) {
        silr_gguf_free(g);
        return st;
    }
    *out = g;
    return SILR_OK;
}

silr_status silr_gguf_open(silr_gguf **out, const char *path, silr_error *err)
{
    silr_map *map;
    silr_status st = silr_map_open(&map, path, err);

    *out = NULL;
    return st == SILR_OK ? make(out, map, map->bytes, map->size, path, err) : st;
}

silr_status silr_gguf_parse(silr_gguf **out, const void *bytes, size_t len, const char *name,
                            silr_error *err)
{
    *out = NULL;
    return make(out, NULL, bytes, len, name, err);
}

void silr_gguf_free(silr_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_pairs; i++)
        silr_free(g->pair[i].place);
    silr_free(g->pair);
    silr_free(g->entry);
    silr_arena_clear(&g->names);
    silr_map_close(g->map);
    silr_free(g);
}

silr_status silr_gguf_intact(const silr_gguf *g, silr_error *err)
{
    return g->map ? silr_map_intact(g->map, err) : SILR_OK;
}

size_t silr_gguf_tensors(const silr_gguf *g)
{
    return g->n_entries;
}

const silr_tensor *silr_gguf_tensor(const silr_gguf *g, size_t i)
{
    return i < g->n_entries ? &g->entry[i].tensor : NULL;
}

const silr_entry *silr_gguf_entry(const silr_gguf *g, size_t i)
{
    return i < g->n_entries ? &g->entry[i] : NULL;
}

uint32_t silr_gguf_version(const silr_gguf *g)
{
    return g->version;
}

const silr_map *silr_gguf_mapped(const silr_gguf *g)
{
    return g->map;
}
