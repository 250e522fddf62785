/* weights.c - opening a model, whatever it lies in. */
#include "formats/weights_inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

silr_weights *silr_weights_new(const char *path)
{
    silr_weights *w = silr_calloc(1, sizeof *w);

    if (!w)
        return NULL;
    if (!(w->path = silr_strdup(path)) || !(w->identity = silr_calloc(1, sizeof *w->identity))) {
        silr_weights_free(w);
        return NULL;
    }
    pthread_mutex_init(&w->identity->lock, NULL);
    return w;
}

static silr_status take_gguf(silr_weights *w, silr_error *err)
{
    silr_status st = silr_plan_from_gguf(&w->plan, w->gguf, w->path, err);

    if (st != SILR_OK)
        return st;
    w->n = silr_gguf_tensors(w->gguf);
    if (!(w->entry = silr_alloc(w->n, sizeof *w->entry)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < w->n; i++)
        w->entry[i] = silr_gguf_entry(w->gguf, i);
    if ((st = silr_weights_sort(w, err)) != SILR_OK)
        return st;
    return silr_weights_find_parts(w, err);
}

silr_status silr_weights_of_gguf(silr_weights **out, silr_gguf *g, const char *path,
                                 silr_error *err)
{
    silr_status st;
    silr_weights *w = silr_weights_new(path);

    *out = NULL;
    if (!w) {
        silr_gguf_free(g);
        return silr_fail_memory(err);
    }
    w->gguf = g;
    if ((st = take_gguf(w, err)) == SILR_OK && (st = silr_weights_intact(w, err)) == SILR_OK) {
        *out = w;
        w = NULL;
    }
    silr_weights_free(w);
    return st;
}

/* A folder, or the file `only` in it. */
static silr_status open_folder(silr_weights **out, const char *path, bool is_file, silr_error *err)
{
    silr_status st;
    const char *slash = strrchr(path, '/'), *only = NULL;
    silr_weights *w = silr_weights_new(path);

    if (is_file)
        only = slash ? slash + 1 : path;
    if (!w || !(w->folder = is_file ? silr_path_dir(path) : silr_strdup(path))) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_weights_read_folder(w, only, err)) != SILR_OK ||
        (st = silr_weights_intact(w, err)) != SILR_OK)
        goto done;
    *out = w;
    w = NULL;
done:
    silr_weights_free(w);
    return st;
}

static bool ends_in(const char *path, const char *ending)
{
    size_t len = strlen(path), tail = strlen(ending);
    return len > tail && strcmp(path + len - tail, ending) == 0;
}

static bool begins_as_gguf(const char *path)
{
    char magic[4];
    FILE *f = fopen(path, "rb");
    bool gguf = f && fread(magic, 1, sizeof magic, f) == sizeof magic &&
                memcmp(magic, "GGUF", sizeof magic) == 0;
    if (f)
        fclose(f);
    return gguf;
}

bool silr_weights_looks(const char *path)
{
    struct stat info;
    bool there = stat(path, &info) == 0;

    return ends_in(path, ".gguf") || ends_in(path, ".safetensors") ||
           (there && S_ISDIR(info.st_mode)) ||
           (there && S_ISREG(info.st_mode) && begins_as_gguf(path));
}

silr_status silr_weights_open(silr_weights **out, const char *path, silr_error *err)
{
    struct stat info;
    silr_gguf *g;
    silr_status st;

    *out = NULL;
    if (stat(path, &info) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return open_folder(out, path, false, err);
    if (S_ISREG(info.st_mode) && ends_in(path, ".safetensors"))
        return open_folder(out, path, true, err);
    if (!S_ISREG(info.st_mode) || !begins_as_gguf(path))
        return silr_fail(err, SILR_EINPUT,
                         "%s: is not a model: silr reads a GGUF file, a .safetensors file with "
                         "config.json beside it, or a folder with both",
                         path);
    if ((st = silr_gguf_open(&g, path, err)) != SILR_OK)
        return st;
    return silr_weights_of_gguf(out, g, path, err);
}

void silr_weights_free(silr_weights *w)
{
    if (!w)
        return;
    silr_gguf_free(w->gguf);
    for (size_t i = 0; i < w->n_files; i++) {
        silr_free(w->name[i]);
        if (w->file)
            silr_safetensors_free(w->file[i]);
    }
    silr_free(w->name);
    silr_free(w->file);
    silr_free(w->folder);
    silr_free(w->entry);
    silr_free(w->by_name);
    silr_free(w->part);
    silr_free(w->path);
    if (w->identity)
        pthread_mutex_destroy(&w->identity->lock);
    silr_free(w->identity);
    silr_free(w);
}

const silr_model_spec *silr_weights_spec(const silr_weights *w)
{
    return &w->plan.spec;
}

const char *silr_weights_folder(const silr_weights *w)
{
    return w->folder;
}

size_t silr_weights_count(const silr_weights *w)
{
    return w->n;
}

const silr_tensor *silr_weights_at(const silr_weights *w, size_t i)
{
    return i < w->n ? &w->entry[i]->tensor : NULL;
}

silr_status silr_weights_intact(const silr_weights *w, silr_error *err)
{
    silr_status st = w->gguf ? silr_gguf_intact(w->gguf, err) : SILR_OK;

    for (size_t i = 0; i < w->n_files && st == SILR_OK; i++)
        st = silr_safetensors_intact(w->file[i], err);
    return st;
}
