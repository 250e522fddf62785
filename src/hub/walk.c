/* walk.c - the names of the files in a model's folder, and of those that its index counts on. */
#include "hub/inside.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEEPEST = 4, FILES_MOST = 10000, INDEX_MOST = 32 << 20 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void silr_hub_names_clear(silr_hub_names *n)
{
    for (size_t i = 0; i < n->n; i++)
        silr_free(n->name[i]);
    silr_free(n->name);
    *n = (silr_hub_names){0};
}

/* Takes the name, also on failure. */
static silr_status add(silr_hub_names *out, char *name, const char *dir, silr_error *err)
{
    silr_status st = SILR_OK;

    if (name && out->n == FILES_MOST)
        st = silr_fail(err, SILR_EINPUT, "%s: more than %d files: no folder of a model", dir, FILES_MOST);
    else if (!name || !silr_grow(&out->name, &out->cap, out->n + 1, sizeof *out->name))
        st = silr_fail_memory(err);
    if (st != SILR_OK) {
        silr_free(name);
        return st;
    }
    out->name[out->n++] = name;
    return SILR_OK;
}

/* Folders are entered, links to folders are not. */
static silr_status walk(silr_hub_names *out, const char *top, const char *below, int depth,
                        silr_error *err)
{
    char *dir = silr_hub_path("%s%s%s", top, below[0] ? "/" : "", below);
    DIR *d = dir ? opendir(dir) : NULL;
    silr_status st = SILR_OK;

    if (!dir)
        st = silr_fail_memory(err);
    else if (!d && errno != ENOENT)
        st = silr_fail(err, SILR_EINPUT, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; st == SILR_OK && d && (e = readdir(d));) {
        char *name, *path;
        struct stat info;
        if (e->d_name[0] == '.')
            continue;
        name = silr_hub_path("%s%s%s", below, below[0] ? "/" : "", e->d_name);
        path = name ? silr_hub_path("%s/%s", top, name) : NULL;
        if (!path)
            st = silr_fail_memory(err);
        else if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && depth < DEEPEST)
            st = walk(out, top, name, depth + 1, err);
        else if (!S_ISDIR(info.st_mode)) {
            st = add(out, name, dir, err);
            name = NULL;
        }
        silr_free(name);
        silr_free(path);
    }
    if (d)
        closedir(d);
    silr_free(dir);
    return st;
}

silr_status silr_hub_walk(silr_hub_names *out, const char *dir, silr_error *err)
{
    silr_status st;

    *out = (silr_hub_names){0};
    if ((st = walk(out, dir, "", 0, err)) != SILR_OK)
        silr_hub_names_clear(out);
    else if (out->n > 0)
        qsort(out->name, out->n, sizeof *out->name, by_name);
    return st;
}

silr_status silr_hub_shards(silr_hub_names *out, const char *index_path, silr_error *err)
{
    silr_buf text = {0};
    json_t *root = NULL, *v;
    json_error_t why;
    const char *key, *last = "";
    silr_status st = silr_file_read(&text, index_path, INDEX_MOST, err);

    *out = (silr_hub_names){0};
    if (st == SILR_OK && !(root = json_loadb(text.data, text.len, 0, &why)))
        st = silr_fail(err, SILR_EINPUT, "%s: not JSON: %.200s", index_path, why.text);
    else if (st == SILR_OK && json_object_size(json_object_get(root, "weight_map")) == 0)
        st = silr_fail(err, SILR_EINPUT, "%s: names no file of weights (weight_map)", index_path);
    if (st == SILR_OK)
        json_object_foreach(json_object_get(root, "weight_map"), key, v) {
            const char *name = json_string_value(v);
            if (!name || !silr_hub_safe_name(name, json_string_length(v)))
                st = silr_fail(err, SILR_EINPUT, "%s: \"%.80s\" lies in no file within the model",
                               index_path, key);
            else if (strcmp(name, last) != 0 && (st = add(out, silr_strdup(name), index_path, err)) == SILR_OK)
                last = out->name[out->n - 1]; /* neighbours share a file mostly */
            if (st != SILR_OK)
                break;
        }
    json_decref(root);
    silr_buf_clear(&text);
    if (st != SILR_OK)
        silr_hub_names_clear(out);
    else {
        size_t n = 0;
        qsort(out->name, out->n, sizeof *out->name, by_name);
        for (size_t i = 0; i < out->n; i++) {
            if (n > 0 && strcmp(out->name[i], out->name[n - 1]) == 0)
                silr_free(out->name[i]);
            else
                out->name[n++] = out->name[i];
        }
        out->n = n;
    }
    return st;
}
