/* check.c - is what lies there what the hub gave? A blob is named by its hash, so its bytes say. */
#include "hub/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_MOST = 256 << 20 };

void silr_hub_files_clear(silr_hub_files *f)
{
    for (size_t i = 0; i < f->n; i++) {
        silr_free(f->file[i].name);
        silr_free(f->file[i].problem);
    }
    silr_free(f->file);
    *f = (silr_hub_files){0};
}

static silr_status wrong(silr_hub_files *out, silr_hub_file *f, const char *why, silr_error *err)
{
    out->wrong++;
    f->problem = silr_strdup(why);
    return f->problem ? SILR_OK : silr_fail_memory(err);
}

/* The hash that a link's blob is named by; "" where it is no link into blobs/. */
static void promised(char hash[65], const char *path)
{
    char to[PATH_MAX];
    ssize_t n = readlink(path, to, sizeof to - 1);
    const char *name;

    hash[0] = '\0';
    if (n <= 0)
        return;
    to[n] = '\0';
    name = strrchr(to, '/');
    if (name && name - to >= 6 && strncmp(name - 6, "/blobs", 6) == 0 &&
        silr_hub_is_hash(name + 1, strlen(name + 1)))
        memcpy(hash, name + 1, strlen(name + 1) + 1);
}

/* SILR_EINPUT: it cannot be read. */
static silr_status hash_file(char hex[65], const char *path, const char *like, silr_error *err)
{
    silr_hub_digest d = {0};
    char chunk[1 << 16];
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    silr_status st = SILR_OK;
    ssize_t n = -1;

    if (fd < 0 || fstat(fd, &info) != 0)
        st = silr_fail(err, SILR_EINPUT, "%s", strerror(errno));
    else
        st = silr_hub_digest_begin(&d, like, (uint64_t)info.st_size, err);
    while (st == SILR_OK && (n = read(fd, chunk, sizeof chunk)) > 0) {
        silr_hub_digest_add(&d, chunk, (size_t)n);
        if (silr_cancelled())
            st = silr_fail(err, SILR_ECANCEL, "interrupted");
    }
    if (st == SILR_OK && n < 0)
        st = silr_fail(err, SILR_EINPUT, "%s", strerror(errno));
    if (st == SILR_OK)
        silr_hub_digest_end(&d, hex);
    silr_hub_digest_clear(&d);
    if (fd >= 0)
        close(fd);
    return st;
}

static silr_status check_json(silr_hub_files *out, silr_hub_file *f, const char *path, silr_error *err)
{
    silr_buf text = {0};
    silr_error why = {0};
    json_error_t at;
    json_t *root = NULL;
    char line[300];
    silr_status st = silr_file_read(&text, path, JSON_MOST, &why);

    if (st == SILR_ENOMEM)
        st = silr_fail_memory(err);
    else if (st != SILR_OK)
        st = wrong(out, f, why.text, err);
    else if (!(root = json_loadb(text.data, text.len, JSON_DECODE_ANY, &at))) {
        snprintf(line, sizeof line, "not JSON: line %d: %.200s", at.line, at.text);
        st = json_error_code(&at) == json_error_out_of_memory ? silr_fail_memory(err)
                                                               : wrong(out, f, line, err);
    }
    json_decref(root);
    silr_buf_clear(&text);
    return st;
}

static silr_status check_file(silr_hub_files *out, silr_hub_file *f, const char *path, silr_error *err)
{
    char hash[65], hex[65];
    silr_error why = {0};
    struct stat info;
    size_t len = strlen(f->name);
    silr_status st;

    promised(hash, path);
    if (stat(path, &info) != 0)
        return wrong(out, f, errno == ENOENT ? "missing: its link leads to no blob" : strerror(errno), err);
    if (!S_ISREG(info.st_mode))
        return wrong(out, f, "is no file", err);
    f->bytes = (uint64_t)info.st_size;
    if (hash[0]) {
        if ((st = hash_file(hex, path, hash, &why)) == SILR_EINPUT)
            return wrong(out, f, why.text, err);
        if (st != SILR_OK)
            return silr_fail(err, st, "%s", why.text);
        if (strcmp(hex, hash) != 0)
            return wrong(out, f, "its bytes do not have the hash that it is named by", err);
        f->verified = true;
    }
    if (len > 5 && strcmp(f->name + len - 5, ".json") == 0)
        return check_json(out, f, path, err);
    return SILR_OK;
}

static silr_status add(silr_hub_files *out, const char *name, const char *path, silr_error *err)
{
    silr_hub_file *f;

    if (!silr_grow(&out->file, &out->cap, out->n + 1, sizeof *out->file))
        return silr_fail_memory(err);
    f = &out->file[out->n];
    *f = (silr_hub_file){.name = silr_strdup(name)};
    if (!f->name)
        return silr_fail_memory(err);
    out->n++;
    return check_file(out, f, path, err);
}

static silr_hub_file *known(const silr_hub_files *out, const char *name)
{
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->file[i].name, name) == 0)
            return &out->file[i];
    return NULL;
}

static silr_status add_missing(silr_hub_files *out, const char *name, silr_error *err)
{
    silr_hub_file *f;

    if (!silr_grow(&out->file, &out->cap, out->n + 1, sizeof *out->file))
        return silr_fail_memory(err);
    f = &out->file[out->n];
    *f = (silr_hub_file){.name = silr_strdup(name)};
    if (!f->name)
        return silr_fail_memory(err);
    out->n++;
    return wrong(out, f, "missing: the index names it", err);
}

/* What the index counts on and is not there at all. */
static silr_status missing_shards(silr_hub_files *out, const char *dir, silr_error *err)
{
    static const char name[] = "model.safetensors.index.json";
    silr_hub_file *index = known(out, name);
    char *path = silr_hub_path("%s/%s", dir, name);
    silr_hub_names shards = {0};
    silr_error why = {0};
    silr_status st = path ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && index && !index->problem &&
        (st = silr_hub_shards(&shards, path, &why)) != SILR_OK)
        st = st == SILR_EINPUT ? wrong(out, index, why.text, err) : silr_fail(err, st, "%s", why.text);
    for (size_t i = 0; st == SILR_OK && i < shards.n; i++)
        if (!known(out, shards.name[i]))
            st = add_missing(out, shards.name[i], err);
    silr_hub_names_clear(&shards);
    silr_free(path);
    return st;
}

silr_status silr_hub_check(silr_hub_files *out, const char *path, silr_error *err)
{
    silr_hub_names names = {0};
    struct stat info;
    silr_status st = SILR_OK;

    *out = (silr_hub_files){0};
    if (stat(path, &info) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        const char *slash = strrchr(path, '/');
        st = add(out, slash ? slash + 1 : path, path, err);
    } else if ((st = silr_hub_walk(&names, path, err)) == SILR_OK) {
        for (size_t i = 0; st == SILR_OK && i < names.n; i++) {
            char *at = silr_hub_path("%s/%s", path, names.name[i]);
            silr_progress("checking, files", i, names.n);
            st = at ? add(out, names.name[i], at, err) : silr_fail_memory(err);
            silr_free(at);
        }
        if (st == SILR_OK)
            st = missing_shards(out, path, err);
    }
    silr_hub_names_clear(&names);
    if (st != SILR_OK)
        silr_hub_files_clear(out);
    return st;
}
