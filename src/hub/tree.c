/* tree.c - the hub's list of a model's files:
 *
 *     {"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 612, "blobId": HASH,
 *                                   "lfs": {"sha256": HASH, "size": 90868376}}, ...], ...}
 *
 * size, blobId and lfs may be missing: then the file's own answer tells them. The names become paths
 * of this machine, so a list with one bad name is not believed at all. */
#include "hub/inside.h"
#include <string.h>

enum { ENTRIES_MOST = 10000 };
static const int64_t SIZE_MOST = (int64_t)1 << 50;

/* SILR_EPEER with the name made printable. */
static silr_status bad_name(const char *name, size_t len, silr_error *err)
{
    char shown[81];
    size_t n = len < sizeof shown - 1 ? len : sizeof shown - 1;

    for (size_t i = 0; i < n; i++)
        shown[i] = name[i] >= ' ' && name[i] < 127 ? name[i] : '?';
    shown[n] = '\0';
    return silr_fail(err, SILR_EPEER, "the hub lists a file \"%s\"%s, which is no name of a file within a "
                     "model: nothing of it is fetched", shown, len > n ? "..." : "");
}

static silr_status read_size(int64_t *out, const json_t *v, const char *name, silr_error *err)
{
    if (!v || json_is_null(v))
        return SILR_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > SIZE_MOST)
        return silr_fail(err, SILR_EPEER, "the hub says of %s a size that no file has", name);
    *out = json_integer_value(v);
    return SILR_OK;
}

static silr_status read_hash(char out[65], const json_t *v, size_t digits, const char *name,
                             silr_error *err)
{
    if (!v || json_is_null(v))
        return SILR_OK;
    if (!json_is_string(v) || json_string_length(v) != digits ||
        !silr_hub_is_hash(json_string_value(v), digits))
        return silr_fail(err, SILR_EPEER, "the hub says of %s a hash that is none", name);
    memcpy(out, json_string_value(v), digits + 1);
    return SILR_OK;
}

static silr_status read_entry(silr_hub_tree *t, const json_t *v, silr_error *err)
{
    const json_t *name = json_object_get(v, "rfilename"), *lfs = json_object_get(v, "lfs");
    silr_hub_entry *e;
    silr_status st;

    if (!json_is_string(name))
        return silr_fail(err, SILR_EPEER, "the hub's list has a file without a name (rfilename)");
    if (!silr_hub_safe_name(json_string_value(name), json_string_length(name)))
        return bad_name(json_string_value(name), json_string_length(name), err);
    if (!silr_grow(&t->entry, &t->cap, t->n + 1, sizeof *t->entry))
        return silr_fail_memory(err);
    e = &t->entry[t->n];
    *e = (silr_hub_entry){.size = -1};
    if (!(e->name = silr_strdup(json_string_value(name))))
        return silr_fail_memory(err);
    t->n++;
    if ((st = read_size(&e->size, json_object_get(v, "size"), e->name, err)) != SILR_OK)
        return st;
    if (!json_is_object(lfs))
        return read_hash(e->hash, json_object_get(v, "blobId"), 40, e->name, err);
    if ((st = read_size(&e->size, json_object_get(lfs, "size"), e->name, err)) != SILR_OK)
        return st;
    return read_hash(e->hash, json_object_get(lfs, "sha256"), 64, e->name, err);
}

silr_status silr_hub_tree_read(silr_hub_tree *out, const char *json, size_t len, silr_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
    const json_t *sha = json_object_get(root, "sha"), *files = json_object_get(root, "siblings");
    silr_status st = SILR_OK;

    *out = (silr_hub_tree){0};
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        st = silr_fail_memory(err);
    else if (!root)
        st = silr_fail(err, SILR_EPEER, "the hub's answer is not JSON (%.100s)", why.text);
    else if (!json_is_string(sha) || !silr_hub_is_commit(json_string_value(sha)))
        st = silr_fail(err, SILR_EPEER, "the hub's answer names no commit (sha)");
    else if (!json_is_array(files))
        st = silr_fail(err, SILR_EPEER, "the hub's answer lists no files (siblings)");
    else if (json_array_size(files) > ENTRIES_MOST)
        st = silr_fail(err, SILR_EPEER, "the hub lists %zu files: silr takes no model of more than %d",
                       json_array_size(files), ENTRIES_MOST);
    else
        memcpy(out->commit, json_string_value(sha), sizeof out->commit);
    for (size_t i = 0; st == SILR_OK && i < json_array_size(files); i++)
        st = read_entry(out, json_array_get(files, i), err);
    if (st != SILR_OK)
        silr_hub_tree_clear(out);
    json_decref(root);
    return st;
}

void silr_hub_tree_clear(silr_hub_tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        silr_free(t->entry[i].name);
    silr_free(t->entry);
    *t = (silr_hub_tree){0};
}
