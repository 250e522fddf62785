/* find.c - from a name to what can be opened: ref, snapshot, and in it all of a model or nothing.
 *
 * Other tools write a ref before the files that belong to it. So a snapshot is looked at: weights are
 * there when every shard of the index is, and a link counts when it leads to a blob. */
#include "hub/inside.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_file(const char *dir, const char *name)
{
    char *path = silr_hub_path("%s/%s", dir, name);
    struct stat info;
    bool there = path && stat(path, &info) == 0 && S_ISREG(info.st_mode);

    silr_free(path);
    return there;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* --- in a folder --------------------------------------------------------------------------------- */

/* Every file that the index names. */
static silr_status all_shards(const char *dir, silr_error *err)
{
    char *path = silr_hub_path("%s/model.safetensors.index.json", dir);
    silr_hub_names shards = {0};
    silr_status st = path ? silr_hub_shards(&shards, path, err) : silr_fail_memory(err);

    for (size_t i = 0; st == SILR_OK && i < shards.n; i++)
        if (!is_file(dir, shards.name[i]))
            st = silr_fail(err, SILR_EINPUT, "%s: %s is missing", dir, shards.name[i]);
    silr_hub_names_clear(&shards);
    silr_free(path);
    return st;
}

/* The one GGUF file among the names. */
static silr_status only_gguf(char **out, const char *dir, const silr_hub_names *names, silr_error *err)
{
    const char *found = NULL;

    for (size_t i = 0; i < names->n; i++) {
        if (!ends_with(names->name[i], ".gguf") || !is_file(dir, names->name[i]))
            continue;
        if (found)
            return silr_fail(err, SILR_EINPUT, "%s: several GGUF files: name one of them, such as %s", dir,
                             found);
        found = names->name[i];
    }
    if (!found)
        return silr_fail(err, SILR_EINPUT, "%s: no weights (model.safetensors, or a GGUF file)", dir);
    *out = silr_hub_path("%s/%s", dir, found);
    return *out ? SILR_OK : silr_fail_memory(err);
}

silr_status silr_hub_open_what(char **out, const char *dir, silr_error *err)
{
    silr_hub_names names = {0};
    bool index = is_file(dir, "model.safetensors.index.json");
    silr_status st = SILR_OK;

    *out = NULL;
    if (!index && !is_file(dir, "model.safetensors")) {
        if ((st = silr_hub_walk(&names, dir, err)) == SILR_OK)
            st = only_gguf(out, dir, &names, err);
        silr_hub_names_clear(&names);
        return st;
    }
    if (!is_file(dir, "config.json"))
        return silr_fail(err, SILR_EINPUT, "%s: config.json is missing", dir);
    if (index && (st = all_shards(dir, err)) != SILR_OK)
        return st;
    *out = silr_strdup(dir);
    return *out ? SILR_OK : silr_fail_memory(err);
}

/* --- in the cache -------------------------------------------------------------------------------- */

/* The commit that a revision is: itself, or what its ref says. */
static bool read_ref(const char *dir, const char *revision, char commit[41])
{
    char *path = silr_hub_path("%s/refs/%s", dir, revision);
    silr_buf text = {0};
    bool good = false;

    if (silr_hub_is_commit(revision)) {
        memcpy(commit, revision, 41);
        good = true;
    } else if (path && silr_file_read(&text, path, 100, NULL) == SILR_OK) {
        while (text.len > 0 && (unsigned char)text.data[text.len - 1] <= ' ')
            text.data[--text.len] = '\0';
        good = text.len == 40 && silr_hub_is_commit(text.data);
        if (good)
            memcpy(commit, text.data, 41);
    }
    silr_buf_clear(&text);
    silr_free(path);
    return good;
}

/* "fetch ORG/NAME --revision v1" */
static void how(char out[400], const char *repo, const char *revision)
{
    bool main = strcmp(revision, "main") == 0;
    snprintf(out, 400, "silr models fetch %s%s%s", repo, main ? "" : " --revision ", main ? "" : revision);
}

silr_status silr_hub_snapshot(const silr_hub *h, char **out, const char *repo, const char *revision,
                              silr_error *err)
{
    char *dir = silr_hub_repo_dir(h, repo), commit[41], command[400];
    struct stat info;
    silr_status st = SILR_OK;

    *out = NULL;
    how(command, repo, revision);
    if (!dir)
        st = silr_fail_memory(err);
    else if (read_ref(dir, revision, commit) && !(*out = silr_hub_path("%s/snapshots/%s", dir, commit)))
        st = silr_fail_memory(err);
    else if (!*out || stat(*out, &info) != 0 || !S_ISDIR(info.st_mode)) {
        silr_free(*out);
        *out = NULL;
        st = silr_fail(err, SILR_EINPUT, "%s: no such file or folder, and no such model in %s: `%s` fetches "
                       "it", repo, h->cache, command);
    }
    silr_free(dir);
    return st;
}

/* The file that a name asks for, or what there is to open. */
static silr_status choose(char **out, const char *dir, const silr_hub_name *n, silr_error *err)
{
    char command[400];
    silr_status st;

    how(command, n->repo, n->revision);
    if (!n->file) {
        if ((st = silr_hub_open_what(out, dir, err)) == SILR_EINPUT)
            silr_error_prefix(err, "%s is in the cache, but not as a whole (`%s`)", n->repo, command);
        return st;
    }
    if (!is_file(dir, n->file))
        return silr_fail(err, SILR_EINPUT, "%s: %s is not in the cache: `%s --include %s` fetches it", n->repo,
                         n->file, command, n->file);
    *out = silr_hub_path("%s/%s", dir, n->file);
    return *out ? SILR_OK : silr_fail_memory(err);
}

silr_status silr_hub_find_in(const silr_hub *h, char **out, const char *name, silr_error *err)
{
    silr_hub_name n = {0};
    char *dir = NULL;
    silr_status st;

    *out = NULL;
    if (silr_file_exists(name)) {
        *out = silr_strdup(name);
        return *out ? SILR_OK : silr_fail_memory(err);
    }
    if (!silr_hub_is_name(name))
        return silr_fail(err, SILR_EINPUT, "%s: no such file or folder, and no name of a model (ORG/NAME)",
                         name);
    if ((st = silr_hub_name_read(&n, name, err)) == SILR_OK &&
        (st = silr_hub_snapshot(h, &dir, n.repo, n.revision, err)) == SILR_OK)
        st = choose(out, dir, &n, err);
    silr_hub_name_clear(&n);
    silr_free(dir);
    return st;
}

silr_status silr_hub_find(char **out, const char *name, silr_error *err)
{
    silr_hub h = {0};
    silr_status st = SILR_OK;

    *out = NULL;
    if (silr_file_exists(name) || !silr_hub_is_name(name) || (st = silr_hub_init(&h, err)) == SILR_OK)
        st = silr_hub_find_in(&h, out, name, err);
    silr_hub_clear(&h);
    return st;
}

silr_status silr_hub_find_from(char **out, const char *dir, const char *name, silr_error *err)
{
    char *beside = silr_path_join(dir, name);
    silr_status st = SILR_OK;

    *out = NULL;
    if (!beside)
        return silr_fail_memory(err);
    if (silr_file_exists(beside)) {
        *out = beside;
        return SILR_OK;
    }
    if (silr_hub_is_name(name))
        st = silr_hub_find(out, name, err);
    else
        st = silr_fail(err, SILR_EINPUT, "%s: no such model: neither a file or folder there, nor a name "
                       "such as ORG/NAME of one in the cache (silr models list)", beside);
    silr_free(beside);
    return st;
}
