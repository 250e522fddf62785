/* fuzz_hub.c - what a hub says: its list of files, and the heads of its answers.
 *
 * Whatever it is, what is believed of it can be a path below a folder, a hash, a size; of a list all
 * is believed or nothing. The first byte chooses: list, head, a redirect's address, names of models. */
#include "hub/inside.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool good)
{
    if (!good)
        abort();
}

/* What the rest of silr relies on, said once more in other words. */
static void want_path(const char *name)
{
    size_t len = strlen(name);

    want(len > 0 && len <= 400 && name[0] != '/' && name[len - 1] != '/' && !strchr(name, '\\'));
    want(strncmp(name, "../", 3) != 0 && !strstr(name, "/../") && !strstr(name, "//") && strcmp(name, "..") != 0);
    want(len < 3 || strcmp(name + len - 3, "/..") != 0);
    for (const char *p = name; *p; p++)
        want((unsigned char)*p >= 32 && *p != 127);
}

static void want_hash(const char *hash)
{
    size_t len = strlen(hash);

    want(len == 0 || ((len == 40 || len == 64) && strspn(hash, "0123456789abcdef") == len));
}

static void list(const char *text, size_t len)
{
    static const char *const globs[] = {"*.gguf"};
    silr_hub_tree t;
    silr_error err;
    silr_hub_want w = {.name = "a/b"};
    bool *which;

    if (silr_hub_tree_read(&t, text, len, &err) != SILR_OK) {
        want(t.n == 0 && t.entry == NULL && err.text[0]);
        return;
    }
    want(strlen(t.commit) == 40);
    want_hash(t.commit);
    which = calloc(t.n + 1, sizeof *which);
    for (size_t i = 0; i < t.n; i++) {
        want_path(t.entry[i].name);
        want_hash(t.entry[i].hash);
        want(t.entry[i].size >= -1);
    }
    for (int g = 0; which && g < 2; g++) {
        w.include = globs;
        w.n_include = (size_t)g;
        size_t picked = 0;
        bool good = silr_hub_pick(&t, &w, which, &err) == SILR_OK;
        for (size_t i = 0; good && i < t.n; i++)
            picked += which[i];
        want(good ? picked > 0 : err.text[0] != '\0');
    }
    free(which);
    silr_hub_tree_clear(&t);
}

static void head(const char *text, size_t len)
{
    silr_hub_head h = {.linked_size = -1, .length = -1, .first = -1, .total = -1};

    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end ? (size_t)(end - text) + 1 : len;
        char *line = malloc(n); /* to the byte, for the sanitizer */
        if (line) {
            memcpy(line, text, n);
            silr_hub_head_line(&h, line, n);
        }
        free(line);
        text += n;
        len -= n;
    }
    want_hash(h.etag);
    want_hash(h.commit);
    want(h.linked_size >= -1 && h.length >= -1 && h.first >= -1 && h.total >= -1);
    want(strlen(h.location) < sizeof h.location && (h.status == 0 || (h.status >= 100 && h.status <= 999)));
}

static void names(const char *text)
{
    silr_hub_name n;
    silr_buf out = {0};

    if (silr_http_follow(&out, "https://hub.example/a", text))
        want(strncmp(out.data, "https://", 8) == 0);
    silr_http_same_origin("https://hub.example", text);
    silr_buf_clear(&out);
    if (silr_hub_name_read(&n, text, NULL) != SILR_OK)
        return;
    want_path(n.repo);
    want_path(n.revision);
    if (n.file)
        want_path(n.file);
    silr_hub_name_clear(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    char *copy;

    if (size < 1)
        return 0;
    if (data[0] % 3 == 0)
        list(text, size - 1);
    else if (data[0] % 3 == 1)
        head(text, size - 1);
    else if ((copy = silr_strndup(text, size - 1))) {
        names(copy);
        silr_free(copy);
    }
    return 0;
}
