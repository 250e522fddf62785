/* folder.c - a model as Hugging Face lays it out in a folder.
 *
 *     config.json                       what it is
 *     model.safetensors                 its tensors, or
 *     model.safetensors.index.json      {"weight_map": {tensor: file}} and files beside it
 *     modules.json, 1_Pooling/config.json, sentence_bert_config.json
 *                                       how an encoder's vectors are made; not in every folder
 *
 * Names of files that stand in these files are plain names: nothing outside the folder is opened.
 */
#include "formats/config.h"
#include "formats/weights_inside.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 1 << 20, MAX_INDEX = 16 << 20, MAX_FILES = 1024 };

/* The JSON of folder/name; *out is NULL when there is no such file. */
static silr_status read_json(const silr_weights *w, const char *name, size_t max, char **path,
                             json_t **out, silr_error *err)
{
    *out = NULL;
    if (!(*path = silr_path_join(w->folder, name)))
        return silr_fail_memory(err);
    if (!silr_file_exists(*path))
        return SILR_OK;
    return silr_json_read(out, *path, max, err);
}

/* --- what it is --------------------------------------------------------------------------------
 */

static silr_status read_config(silr_weights *w, silr_error *err)
{
    char *path;
    json_t *json;
    silr_status st = read_json(w, "config.json", MAX_JSON, &path, &json, err);

    if (st == SILR_OK && !json)
        st = silr_fail(err, SILR_EINPUT, "%s: is not a model: there is no config.json in %s",
                       w->path, w->folder);
    if (st == SILR_OK)
        st = silr_plan_from_config(&w->plan, json, path, err);
    json_decref(json);
    silr_free(path);
    return st;
}

static silr_status read_modules(silr_weights *w, silr_error *err)
{
    char *path;
    json_t *json;
    silr_status st = read_json(w, "modules.json", MAX_JSON, &path, &json, err);

    if (st == SILR_OK && json)
        st = silr_config_modules(&w->plan.spec, json, w->pooling, sizeof w->pooling, path, err);
    else if (st == SILR_OK)
        snprintf(w->pooling, sizeof w->pooling, "1_Pooling");
    json_decref(json);
    silr_free(path);
    return st;
}

static silr_status read_pooling(silr_weights *w, silr_error *err)
{
    char *path = NULL, name[sizeof w->pooling + 16];
    json_t *json = NULL;
    silr_status st = SILR_OK;

    if (w->pooling[0] == '\0')
        return SILR_OK;
    snprintf(name, sizeof name, "%s/config.json", w->pooling);
    st = read_json(w, name, MAX_JSON, &path, &json, err);
    if (st == SILR_OK && json)
        st = silr_config_pooling(&w->plan.spec, json, path, err);
    json_decref(json);
    silr_free(path);
    return st;
}

static silr_status read_sentence(silr_weights *w, silr_error *err)
{
    char *path;
    json_t *json;
    silr_status st = read_json(w, "sentence_bert_config.json", MAX_JSON, &path, &json, err);

    if (st == SILR_OK && json)
        st = silr_config_sentence(&w->plan.spec, json, path, err);
    json_decref(json);
    silr_free(path);
    return st;
}

/* --- its tensors -------------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static silr_status add_name(silr_weights *w, size_t *cap, const char *name, silr_error *err)
{
    if (!silr_grow(&w->name, cap, w->n_files + 1, sizeof *w->name) ||
        !(w->name[w->n_files] = silr_strdup(name)))
        return silr_fail_memory(err);
    w->n_files++;
    return SILR_OK;
}

/* The files that the index names, each once, sorted. */
static silr_status list_shards(silr_weights *w, json_t *map, const char *path, silr_error *err)
{
    silr_status st = SILR_OK;
    size_t cap = 0;
    const char *tensor, *name, *last = "";
    json_t *value;

    if (json_object_size(map) == 0)
        return silr_fail(err, SILR_EINPUT, "%s: has no \"weight_map\"", path);
    json_object_foreach(map, tensor, value)
    {
        name = json_string_value(value);
        if (!name || !silr_json_plain_name(name))
            return silr_fail(err, SILR_EINPUT,
                             "%s: names a file that is not a plain name in this folder", path);
        if (strcmp(name, last) == 0) /* tensors of one file mostly stand together */
            continue;
        last = name;
        bool known = false;
        for (size_t i = 0; i < w->n_files && !known; i++)
            known = strcmp(w->name[i], name) == 0;
        if (known)
            continue;
        if (w->n_files >= MAX_FILES)
            return silr_fail(err, SILR_EINPUT, "%s: names more than %d files", path, MAX_FILES);
        if ((st = add_name(w, &cap, name, err)) != SILR_OK)
            return st;
    }
    qsort(w->name, w->n_files, sizeof *w->name, by_text);
    return SILR_OK;
}

static silr_status open_files(silr_weights *w, silr_error *err)
{
    silr_status st = SILR_OK;

    if (!(w->file = silr_calloc(w->n_files, sizeof *w->file)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < w->n_files && st == SILR_OK; i++) {
        char *path = silr_path_join(w->folder, w->name[i]);
        st = path ? silr_safetensors_open(&w->file[i], path, err) : silr_fail_memory(err);
        if (st == SILR_OK)
            w->n += silr_safetensors_count(w->file[i]);
        silr_free(path);
    }
    if (st != SILR_OK)
        return st;
    if (!(w->entry = silr_alloc(w->n, sizeof *w->entry)))
        return silr_fail_memory(err);
    for (size_t i = 0, k = 0; i < w->n_files; i++)
        for (size_t j = 0; j < silr_safetensors_count(w->file[i]); j++)
            w->entry[k++] = silr_safetensors_entry(w->file[i], j);
    return silr_weights_sort(w, err);
}

/* Is every tensor of the index there, in the file that it names? */
static silr_status check_map(const silr_weights *w, json_t *map, const char *path, silr_error *err)
{
    const char *tensor;
    json_t *value;

    json_object_foreach(map, tensor, value)
    {
        const silr_tensor *t = silr_weights_find(w, tensor);
        const char *name = json_string_value(value);
        const silr_map *m = NULL;
        for (size_t i = 0; t && i < w->n_files && !m; i++)
            if (strcmp(w->name[i], name) == 0)
                m = silr_safetensors_mapped(w->file[i]);
        if (!m || (const uint8_t *)t->data < m->bytes ||
            (const uint8_t *)t->data >= m->bytes + m->size)
            return silr_fail(err, SILR_EINPUT, "%s: tensor \"%.255s\" is not in %s", path,
                             silr_entry_name_ok(tensor, strlen(tensor), 255) ? tensor : "?", name);
    }
    return SILR_OK;
}

static silr_status read_shards(silr_weights *w, silr_error *err)
{
    char *path;
    json_t *json, *map;
    silr_status st = read_json(w, "model.safetensors.index.json", MAX_INDEX, &path, &json, err);

    if (st != SILR_OK)
        goto done;
    if (!json) {
        st = silr_fail(err, SILR_EINPUT,
                       "%s: has no model.safetensors, nor model.safetensors.index.json; weights in "
                       "other files (pytorch_model.bin) are not read",
                       w->folder);
        goto done;
    }
    map = json_object_get(json, "weight_map");
    if ((st = list_shards(w, map, path, err)) != SILR_OK || (st = open_files(w, err)) != SILR_OK)
        goto done;
    st = check_map(w, map, path, err);
done:
    json_decref(json);
    silr_free(path);
    return st;
}

static silr_status read_tensors(silr_weights *w, const char *only_file, silr_error *err)
{
    const char *name = only_file ? only_file : "model.safetensors";
    char *path = silr_path_join(w->folder, name);
    bool there = path && (only_file || silr_file_exists(path));
    size_t cap = 0;
    silr_status st;

    silr_free(path);
    if (!path)
        return silr_fail_memory(err);
    if (!there)
        return read_shards(w, err);
    if ((st = add_name(w, &cap, name, err)) != SILR_OK)
        return st;
    return open_files(w, err);
}

/* A model saved as part of another has its name in front of all tensors. */
static void find_prefix(silr_weights *w)
{
    static const struct {
        const char *prefix, *head;
    } known[] = {
        {"model.", ""},
        {"", ""},
        {"bert.", ""},
        {"roberta.", ""},
        {"language_model.model.", "language_model."},
        {"model.language_model.", ""},
    };
    silr_plan *p = &w->plan;
    char name[256];

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        snprintf(p->prefix, sizeof p->prefix, "%s", known[i].prefix);
        snprintf(p->head_prefix, sizeof p->head_prefix, "%s", known[i].head);
        if (silr_part_name(p, SILR_PART_TOKENS, 0, false, false, name, sizeof name) &&
            silr_weights_find(w, name))
            return;
    }
    /* none has the tokens: the one that is usual then shows in the sentence about the missing part
     */
    snprintf(p->prefix, sizeof p->prefix, "%s", p->spec.causal ? "model." : "");
    p->head_prefix[0] = '\0';
}

silr_status silr_weights_read_folder(silr_weights *w, const char *only_file, silr_error *err)
{
    silr_status st;

    if ((st = read_config(w, err)) != SILR_OK || (st = read_modules(w, err)) != SILR_OK ||
        (st = read_pooling(w, err)) != SILR_OK || (st = read_sentence(w, err)) != SILR_OK ||
        (st = read_tensors(w, only_file, err)) != SILR_OK)
        return st;
    find_prefix(w);
    return silr_weights_find_parts(w, err);
}
