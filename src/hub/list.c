/* list.c - the models in the cache: every snapshot of every folder models--*. */
#include "hub/inside.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void silr_hub_models_clear(silr_hub_models *m)
{
    for (size_t i = 0; i < m->n; i++) {
        silr_hub_model *x = &m->model[i];
        silr_free(x->name);
        silr_free(x->commit);
        silr_free(x->revision);
        silr_free(x->path);
        silr_free(x->model);
        silr_free(x->problem);
    }
    silr_free(m->model);
    *m = (silr_hub_models){0};
}

/* "models--ORG--NAME" -> "ORG/NAME"; NULL: no such folder. *no_memory tells them apart. */
static char *name_of(const char *folder, bool *no_memory)
{
    static const char before[] = "models--";
    const char *rest = folder + sizeof before - 1, *bar;
    char *name;

    *no_memory = false;
    if (strncmp(folder, before, sizeof before - 1) != 0)
        return NULL;
    bar = strstr(rest, "--");
    name = bar ? silr_hub_path("%.*s/%s", (int)(bar - rest), rest, bar + 2) : silr_strdup(rest);
    *no_memory = !name;
    if (name && !silr_hub_is_repo(name, strlen(name))) {
        silr_free(name);
        return NULL;
    }
    return name;
}

/* The refs that are this commit, with commas. */
static silr_status refs_of(silr_buf *out, const char *dir, const char *commit, silr_error *err)
{
    char *refs = silr_hub_path("%s/refs", dir);
    silr_hub_names names = {0};
    silr_buf text = {0};
    silr_status st = refs ? silr_hub_walk(&names, refs, err) : silr_fail_memory(err);

    for (size_t i = 0; st == SILR_OK && i < names.n; i++) {
        char *path = silr_hub_path("%s/%s", refs, names.name[i]);
        if (!path)
            st = silr_fail_memory(err);
        else if (silr_hub_is_revision(names.name[i]) &&
                 silr_file_read(&text, path, 100, NULL) == SILR_OK && text.len >= 40 &&
                 strncmp(text.data, commit, 40) == 0)
            silr_buf_printf(out, "%s%s", out->len ? ", " : "", names.name[i]);
        silr_free(path);
    }
    if (st == SILR_OK && out->failed)
        st = silr_fail_memory(err);
    silr_buf_clear(&text);
    silr_hub_names_clear(&names);
    silr_free(refs);
    return st;
}

static silr_status size_of(uint64_t *out, const char *dir, silr_error *err)
{
    silr_hub_names names = {0};
    silr_status st = silr_hub_walk(&names, dir, err);

    *out = 0;
    for (size_t i = 0; st == SILR_OK && i < names.n; i++) {
        char *path = silr_hub_path("%s/%s", dir, names.name[i]);
        struct stat info;
        if (!path)
            st = silr_fail_memory(err);
        else if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            *out += (uint64_t)info.st_size;
        silr_free(path);
    }
    silr_hub_names_clear(&names);
    return st;
}

static silr_status add_snapshot(silr_hub_models *out, const char *dir, const char *name,
                                const char *commit, silr_error *err)
{
    silr_hub_model *m;
    silr_buf revision = {0};
    silr_error why = {0};
    silr_status st;

    if (!silr_grow(&out->model, &out->cap, out->n + 1, sizeof *out->model))
        return silr_fail_memory(err);
    m = &out->model[out->n++];
    *m = (silr_hub_model){.name = silr_strdup(name), .commit = silr_strdup(commit),
                          .path = silr_hub_path("%s/snapshots/%s", dir, commit)};
    silr_buf_puts(&revision, "");
    if (!m->name || !m->commit || !m->path)
        st = silr_fail_memory(err);
    else if ((st = refs_of(&revision, dir, commit, err)) == SILR_OK)
        st = size_of(&m->bytes, m->path, err);
    if (st == SILR_OK && silr_hub_open_what(&m->model, m->path, &why) == SILR_ENOMEM)
        st = silr_fail_memory(err);
    if (st == SILR_OK && !m->model && !(m->problem = silr_strdup(why.text)))
        st = silr_fail_memory(err);
    m->revision = silr_buf_take(&revision);
    return st == SILR_OK && !m->revision ? silr_fail_memory(err) : st;
}

static silr_status add_repo(silr_hub_models *out, const char *dir, const char *name, silr_error *err)
{
    char *snapshots = silr_hub_path("%s/snapshots", dir);
    DIR *d = snapshots ? opendir(snapshots) : NULL;
    silr_status st = snapshots ? SILR_OK : silr_fail_memory(err);

    for (struct dirent *e; st == SILR_OK && d && (e = readdir(d));)
        if (silr_hub_is_commit(e->d_name))
            st = add_snapshot(out, dir, name, e->d_name, err);
    if (d)
        closedir(d);
    silr_free(snapshots);
    return st;
}

static int by_name(const void *a, const void *b)
{
    const silr_hub_model *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->commit, y->commit);
}

silr_status silr_hub_list(const silr_hub *h, silr_hub_models *out, silr_error *err)
{
    DIR *d = opendir(h->cache);
    silr_status st = SILR_OK;
    bool no_memory;

    *out = (silr_hub_models){0};
    if (!d && errno != ENOENT)
        return silr_fail(err, SILR_EINPUT, "%s: %s", h->cache, strerror(errno));
    for (struct dirent *e; st == SILR_OK && d && (e = readdir(d));) {
        char *name = name_of(e->d_name, &no_memory);
        char *dir = name ? silr_hub_path("%s/%s", h->cache, e->d_name) : NULL;
        if (no_memory || (name && !dir))
            st = silr_fail_memory(err);
        else if (name)
            st = add_repo(out, dir, name, err);
        silr_free(name);
        silr_free(dir);
    }
    if (d)
        closedir(d);
    if (st != SILR_OK)
        silr_hub_models_clear(out);
    else if (out->n > 0)
        qsort(out->model, out->n, sizeof *out->model, by_name);
    return st;
}
