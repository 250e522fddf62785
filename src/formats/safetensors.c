/* safetensors.c - checks a safetensors file.
 *
 *     N u64, N bytes of JSON, the tensors' bytes
 *     {"name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [from, to]}, ...,
 *      "__metadata__": {"key": "value", ...}}
 *
 * Offsets count from the end of the JSON. The tensors fill the file: no gap, no overlap, nothing
 * behind the last, each just as long as its shape says. A shape [] is one value. */
#include "formats/safetensors.h"
#include "formats/json.h"

#include <string.h>

enum {
    MAX_HEADER = 16 << 20, /* the format allows 100 MB; a model of 1,000 tensors has 0.1 MB */
    MAX_TENSORS = 1 << 16,
    MAX_NAME = 255
};

static const struct {
    const char *name;
    size_t width;
    silr_type type;
} dtype[] = {
    {"F32", 4, SILR_TYPE_F32},    {"F16", 2, SILR_TYPE_F16},       {"BF16", 2, SILR_TYPE_BF16},
    {"F64", 8, SILR_TYPE_OTHER},  {"I64", 8, SILR_TYPE_OTHER},     {"I32", 4, SILR_TYPE_OTHER},
    {"I16", 2, SILR_TYPE_OTHER},  {"I8", 1, SILR_TYPE_OTHER},      {"U64", 8, SILR_TYPE_OTHER},
    {"U32", 4, SILR_TYPE_OTHER},  {"U16", 2, SILR_TYPE_OTHER},     {"U8", 1, SILR_TYPE_OTHER},
    {"BOOL", 1, SILR_TYPE_OTHER}, {"F8_E4M3", 1, SILR_TYPE_OTHER}, {"F8_E5M2", 1, SILR_TYPE_OTHER},
};

struct silr_safetensors {
    silr_map *map;
    const uint8_t *bytes;
    size_t size;
    size_t start; /* of the tensors' bytes */
    silr_arena names;
    silr_entry *entry;
    size_t n, cap;
};

static silr_status bad_tensor(const silr_entry *e, const char *path, const char *what,
                              silr_error *err)
{
    return silr_fail(err, SILR_EINPUT, "%s: tensor \"%s\": %s", path, e->tensor.name, what);
}

/* A member that is a whole number from 0. */
static bool count_at(const json_t *array, size_t i, size_t *out)
{
    const json_t *v = json_array_get(array, i);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (size_t)json_integer_value(v);
    return true;
}

static silr_status read_shape(silr_entry *e, const json_t *shape, size_t width, const char *path,
                              silr_error *err)
{
    silr_tensor *t = &e->tensor;
    size_t n = json_array_size(shape);

    if (!json_is_array(shape) || n > SILR_TENSOR_DIMS)
        return bad_tensor(e, path, "its shape is not a list of up to 4 sizes", err);
    t->n_dims = n == 0 ? 1 : (int)n;
    t->dim[0] = 1;
    t->bytes = width;
    for (size_t i = 0; i < n; i++) {
        if (!count_at(shape, i, &t->dim[i]))
            return bad_tensor(e, path, "its shape is not a list of sizes", err);
        if (t->dim[i] == 0)
            return bad_tensor(e, path, "a dimension is 0", err);
        if (!silr_mul(t->bytes, t->dim[i], &t->bytes))
            return bad_tensor(e, path, "its size overflows", err);
    }
    return SILR_OK;
}

static silr_status read_offsets(const silr_safetensors *s, silr_entry *e, const json_t *offsets,
                                const char *path, silr_error *err)
{
    size_t from, to, room = s->size - s->start;

    if (json_array_size(offsets) != 2 || !count_at(offsets, 0, &from) || !count_at(offsets, 1, &to))
        return bad_tensor(e, path, "data_offsets are not two places", err);
    if (from > to || to > room)
        return bad_tensor(e, path,
                          from > to ? "it ends before it begins"
                                    : "it reaches past the end of the file; was that copied "
                                      "completely?",
                          err);
    if (to - from != e->tensor.bytes)
        return silr_fail(err, SILR_EINPUT,
                         "%s: tensor \"%s\": %zu bytes, where its shape needs %zu", path,
                         e->tensor.name, to - from, e->tensor.bytes);
    e->at = s->start + from;
    e->tensor.data = s->bytes + e->at;
    return SILR_OK;
}

static silr_status read_entry(silr_safetensors *s, const char *name, const json_t *record,
                              const char *path, silr_error *err)
{
    silr_status st;
    silr_entry *e;
    const char *type = json_string_value(json_object_get(record, "dtype"));
    size_t k = 0, len = strlen(name);

    if (!silr_entry_name_ok(name, len, MAX_NAME))
        return silr_fail(err, SILR_EINPUT,
                         "%s: a tensor's name is empty, too long or has "
                         "characters that no name has",
                         path);
    if (s->n >= MAX_TENSORS)
        return silr_fail(err, SILR_EINPUT, "%s: more than %d tensors", path, MAX_TENSORS);
    if (!silr_grow(&s->entry, &s->cap, s->n + 1, sizeof *s->entry))
        return silr_fail_memory(err);
    e = &s->entry[s->n];
    *e = (silr_entry){0};
    if (!(e->tensor.name = silr_arena_strndup(&s->names, name, len)))
        return silr_fail_memory(err);
    while (type && k < sizeof dtype / sizeof *dtype && strcmp(type, dtype[k].name) != 0)
        k++;
    if (!type || k == sizeof dtype / sizeof *dtype)
        return bad_tensor(e, path, type ? "its dtype is unknown" : "it has no dtype", err);
    e->tensor.type = dtype[k].type;
    e->type_name = dtype[k].name;
    if ((st = read_shape(e, json_object_get(record, "shape"), dtype[k].width, path, err)) !=
            SILR_OK ||
        (st = read_offsets(s, e, json_object_get(record, "data_offsets"), path, err)) != SILR_OK)
        return st;
    s->n++;
    return SILR_OK;
}

static silr_status read_entries(silr_safetensors *s, json_t *header, const char *path,
                                silr_error *err)
{
    silr_status st = SILR_OK;
    const char *name;
    json_t *record;
    const silr_entry **sorted;

    json_object_foreach(header, name, record)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if ((st = read_entry(s, name, record, path, err)) != SILR_OK)
            return st;
    }
    if (!(sorted = silr_alloc(s->n, sizeof *sorted)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < s->n; i++)
        sorted[i] = &s->entry[i];
    st = silr_entries_packed(sorted, s->n, s->start, s->size, 1, path, err);
    silr_free(sorted);
    return st;
}

static silr_status parse(silr_safetensors *s, const char *path, silr_error *err)
{
    silr_status st;
    json_t *header;
    uint64_t len;

    if (s->size < sizeof len)
        return silr_fail(err, SILR_EINPUT, "%s: is not a safetensors file", path);
    memcpy(&len, s->bytes, sizeof len);
    if (len > s->size - sizeof len)
        return silr_fail(err, SILR_EINPUT,
                         "%s: is not a safetensors file, or was not copied completely: a header of "
                         "%llu bytes in a file of %zu",
                         path, (unsigned long long)len, s->size);
    if (len > MAX_HEADER)
        return silr_fail(err, SILR_EINPUT, "%s: a header of %llu bytes; silr takes up to %d", path,
                         (unsigned long long)len, MAX_HEADER);
    if (len == 0 || s->bytes[sizeof len] != '{')
        return silr_fail(err, SILR_EINPUT, "%s: is not a safetensors file", path);
    s->start = sizeof len + (size_t)len;
    if ((st = silr_json_object(&header, (const char *)s->bytes + sizeof len, (size_t)len, path,
                               err)) != SILR_OK)
        return st;
    st = read_entries(s, header, path, err);
    json_decref(header);
    return st;
}

static silr_status make(silr_safetensors **out, silr_map *map, const void *bytes, size_t len,
                        const char *name, silr_error *err)
{
    silr_status st, cut;
    silr_safetensors *s = silr_calloc(1, sizeof *s);

    if (!s) {
        silr_map_close(map);
        return silr_fail_memory(err);
    }
    s->map = map;
    s->bytes = bytes;
    s->size = len;
    st = parse(s, name, err);
    /* what looks wrong, or right, may have changed meanwhile: that is the better sentence then */
    if ((st == SILR_OK || st == SILR_EINPUT) && (cut = silr_safetensors_intact(s, err)) != SILR_OK)
        st = cut;
    if (st != SILR_OK) {
        silr_safetensors_free(s);
        return st;
    }
    *out = s;
    return SILR_OK;
}

silr_status silr_safetensors_open(silr_safetensors **out, const char *path, silr_error *err)
{
    silr_map *map;
    silr_status st = silr_map_open(&map, path, err);

    *out = NULL;
    return st == SILR_OK ? make(out, map, map->bytes, map->size, path, err) : st;
}

silr_status silr_safetensors_parse(silr_safetensors **out, const void *bytes, size_t len,
                                   const char *name, silr_error *err)
{
    *out = NULL;
    return make(out, NULL, bytes, len, name, err);
}

void silr_safetensors_free(silr_safetensors *s)
{
    if (!s)
        return;
    silr_free(s->entry);
    silr_arena_clear(&s->names);
    silr_map_close(s->map);
    silr_free(s);
}

size_t silr_safetensors_count(const silr_safetensors *s)
{
    return s->n;
}

const silr_entry *silr_safetensors_entry(const silr_safetensors *s, size_t i)
{
    return &s->entry[i];
}

const silr_map *silr_safetensors_mapped(const silr_safetensors *s)
{
    return s->map;
}

silr_status silr_safetensors_intact(const silr_safetensors *s, silr_error *err)
{
    return s->map ? silr_map_intact(s->map, err) : SILR_OK;
}
