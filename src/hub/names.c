/* names.c - what a model may be called, and where that puts it.
 *
 * A name becomes a folder's name and a part of an address, so only letters, digits, "-", "_" and "."
 * are in it, and nothing that a file system or a server could read as something else. */
#include "hub/inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REPO_MOST = 96, REVISION_MOST = 200, NAME_MOST = 400, PART_MOST = 200 };

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* One part of ORG/NAME. */
static bool is_part(const char *s, size_t len)
{
    if (len == 0 || strchr("-.", s[0]) || strchr("-.", s[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_plain(s[i]) || (i > 0 && strchr("-.", s[i]) && s[i] == s[i - 1])) /* "--", ".." */
            return false;
    return true;
}

bool silr_hub_is_repo(const char *s, size_t len)
{
    const char *slash = memchr(s, '/', len);
    size_t org = slash ? (size_t)(slash - s) : 0;

    if (len == 0 || len > REPO_MOST)
        return false;
    return slash ? is_part(s, org) && is_part(slash + 1, len - org - 1) : is_part(s, len);
}

/* "main", "v1.0", "refs/pr/1", a commit: parts of plain characters, none beginning with a dot. */
bool silr_hub_is_revision(const char *s)
{
    size_t len = strlen(s);
    char before = '/';

    if (len == 0 || len > REVISION_MOST || s[len - 1] == '/')
        return false;
    for (; *s; before = *s++)
        if ((!is_plain(*s) && *s != '/') || (before == '/' && strchr("/.", *s)))
            return false;
    return true;
}

bool silr_hub_is_hash(const char *s, size_t len)
{
    if (len != 40 && len != 64)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
            return false;
    return true;
}

bool silr_hub_is_commit(const char *s)
{
    return strlen(s) == 40 && silr_hub_is_hash(s, 40);
}

/* C1 controls, and marks that turn the direction of writing: U+0080-9F, U+200E-F, U+202A-E, U+2066-9. */
static bool is_hidden(const unsigned char *s, size_t left)
{
    if (left >= 2 && s[0] == 0xc2 && s[1] < 0xa0)
        return true;
    return left >= 3 && s[0] == 0xe2 &&
           ((s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae))) ||
            (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

bool silr_hub_safe_name(const char *name, size_t len)
{
    size_t from = 0;

    if (len == 0 || len > NAME_MOST)
        return false;
    for (size_t i = 0; i <= len; i++) {
        size_t n = i - from;
        if (i < len && name[i] != '/') {
            unsigned char c = (unsigned char)name[i];
            if (c < 32 || c == 127 || c == '\\' || is_hidden((const unsigned char *)name + i, len - i))
                return false;
            continue;
        }
        if (n == 0 || n > PART_MOST || (n == 1 && name[from] == '.') ||
            (n == 2 && name[from] == '.' && name[from + 1] == '.'))
            return false;
        from = i + 1;
    }
    return true;
}

/* --- names as people write them ------------------------------------------------------------------ */

/* Where ORG/NAME ends in "ORG/NAME/FILE", "ORG/NAME@REVISION/FILE". */
static size_t repo_length(const char *text)
{
    size_t len = strcspn(text, "/@");

    return text[len] == '/' ? len + 1 + strcspn(text + len + 1, "/@") : len;
}

/* A revision ends at the next slash: "refs/pr/1" is for --revision. */
static const char *split(const char *text, size_t *repo, size_t *revision)
{
    const char *rest = text + (*repo = repo_length(text));

    *revision = 0;
    if (*rest == '@') {
        *revision = strcspn(++rest, "/");
        rest += *revision;
    }
    return *rest == '/' ? rest + 1 : NULL;
}

bool silr_hub_is_name(const char *name)
{
    size_t repo, revision;
    const char *file = split(name, &repo, &revision);
    char copy[REVISION_MOST + 1];
    bool at = name[repo] == '@';

    if (!silr_hub_is_repo(name, repo) || (file && !silr_hub_safe_name(file, strlen(file))))
        return false;
    if (!at)
        return true;
    if (revision == 0 || revision > REVISION_MOST)
        return false;
    memcpy(copy, name + repo + 1, revision);
    copy[revision] = '\0';
    return silr_hub_is_revision(copy);
}

silr_status silr_hub_name_read(silr_hub_name *out, const char *text, silr_error *err)
{
    size_t repo, revision;
    const char *file = split(text, &repo, &revision);

    *out = (silr_hub_name){0};
    if (!silr_hub_is_name(text))
        return silr_fail(err, SILR_EINPUT, "\"%.200s\" is no name of a model: expected ORG/NAME, such as "
                         "sentence-transformers/all-MiniLM-L6-v2", text);
    out->repo = silr_strndup(text, repo);
    out->revision = revision ? silr_strndup(text + repo + 1, revision) : silr_strdup("main");
    out->file = file ? silr_strdup(file) : NULL;
    if (out->repo && out->revision && (out->file || !file))
        return SILR_OK;
    silr_hub_name_clear(out);
    return silr_fail_memory(err);
}

void silr_hub_name_clear(silr_hub_name *n)
{
    silr_free(n->repo);
    silr_free(n->revision);
    silr_free(n->file);
    *n = (silr_hub_name){0};
}

/* --- paths --------------------------------------------------------------------------------------- */

char *silr_hub_path(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap, again;
    int len;

    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, ap);
    if (len >= 0 && (out = silr_alloc((size_t)len + 1, 1)))
        vsnprintf(out, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return out;
}

char *silr_hub_repo_dir(const silr_hub *h, const char *repo)
{
    size_t org = strcspn(repo, "/");

    return silr_hub_path("%s/models--%.*s%s%s", h->cache, (int)org, repo, repo[org] ? "--" : "",
                         repo[org] ? repo + org + 1 : "");
}
