/* files.c - which files a corpus is made of, in which order, and their digest.
 *
 * Names are relative to the folder of the task file. A name with * ? or [ is a pattern; what it
 * matches is sorted by bytes, not by the locale, so that documents have one order everywhere. */
#include "corpus/source.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *silr_file_label(const char *path)
{
    if (strcmp(path, "-") == 0)
        return "stdin";
    return strncmp(path, "./", 2) == 0 && path[2] ? path + 2 : path;
}

void silr_files_free(char **paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        silr_free(paths[i]);
    silr_free(paths);
}

typedef struct {
    char **v;
    size_t n, cap;
} paths;

static bool keep(paths *p, char *path /* taken */)
{
    if (!path || !silr_grow(&p->v, &p->cap, p->n + 1, sizeof *p->v)) {
        silr_free(path);
        return false;
    }
    p->v[p->n++] = path;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder is no pattern, even if it has a bracket in its name. */
static char *pattern_of(const char *dir, const char *name)
{
    silr_buf escaped = {0};
    char *pattern = NULL;

    for (const char *p = dir ? dir : ""; *p; p++) {
        if (strchr("*?[\\", *p))
            silr_buf_putc(&escaped, '\\');
        silr_buf_putc(&escaped, *p);
    }
    if (!escaped.failed)
        pattern = silr_path_join(escaped.data, name);
    silr_buf_clear(&escaped);
    return pattern;
}

static silr_status add_pattern(paths *p, const char *dir, const char *name, silr_error *err)
{
    silr_status st = SILR_OK;
    glob_t found = {0};
    char *pattern = pattern_of(dir, name);
    int how = pattern ? glob(pattern, GLOB_NOSORT, NULL, &found) : GLOB_NOSPACE;

    if (how == GLOB_NOMATCH)
        st = silr_fail(err, SILR_EINPUT, "corpus.files: \"%s\" matches no file", name);
    else if (how == GLOB_NOSPACE)
        st = silr_fail_memory(err);
    else if (how != 0)
        st = silr_fail(err, SILR_EIO, "corpus.files: \"%s\": the folder cannot be read", name);
    if (st == SILR_OK)
        qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
    for (size_t i = 0; st == SILR_OK && i < found.gl_pathc; i++)
        if (!keep(p, silr_strdup(found.gl_pathv[i])))
            st = silr_fail_memory(err);
    globfree(&found);
    silr_free(pattern);
    return st;
}

silr_status silr_files_list(char ***out, size_t *n, const silr_task *task, silr_error *err)
{
    silr_status st = SILR_OK;
    paths p = {0};

    *out = NULL;
    *n = 0;
    for (size_t i = 0; st == SILR_OK && i < task->corpus.n_files; i++) {
        const char *name = task->corpus.files[i];
        if (strcmp(name, "-") == 0)
            st = keep(&p, silr_strdup(name)) ? SILR_OK : silr_fail_memory(err);
        else if (strpbrk(name, "*?["))
            st = add_pattern(&p, task->dir, name, err);
        else
            st = keep(&p, silr_path_join(task->dir, name)) ? SILR_OK : silr_fail_memory(err);
    }
    if (st == SILR_OK && p.n == 0)
        st = silr_fail(err, SILR_EINPUT, "corpus.files: no file is named");
    if (st != SILR_OK) {
        silr_files_free(p.v, p.n);
        return st;
    }
    *out = p.v;
    *n = p.n;
    return SILR_OK;
}

silr_status silr_corpus_digest_files(silr_sha256 *out, const silr_task *task, silr_error *err)
{
    unsigned char sum[32];
    char **files = NULL;
    size_t n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    silr_status st = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
                         ? silr_files_list(&files, &n, task, err)
                         : silr_fail_memory(err);

    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        silr_bytes *b = NULL;
        if (strcmp(files[i], "-") == 0)
            st = silr_fail(err, SILR_EINPUT,
                           "stdin: standard input is known only once it has been read");
        else if ((st = silr_bytes_open(&b, files[i], ctx, err)) == SILR_OK)
            st = silr_bytes_drain(b, err);
        silr_bytes_close(b);
    }
    if (st == SILR_OK && EVP_DigestFinal_ex(ctx, sum, NULL) == 1)
        for (int i = 0; i < 32; i++)
            snprintf(out->hex + 2 * i, 3, "%02x", sum[i]);
    EVP_MD_CTX_free(ctx);
    silr_files_free(files, n);
    return st;
}
