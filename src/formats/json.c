#include "formats/json.h"

#include <string.h>

enum { MAX_DEPTH = 32 }; /* config.json has 5 */

/* How deep brackets go, those in strings not counted. */
static int depth_of(const char *bytes, size_t len)
{
    int depth = 0, deepest = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > deepest)
            deepest = depth;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return deepest;
}

static silr_status json_any(json_t **out, const char *bytes, size_t len, const char *path,
                            silr_error *err)
{
    json_error_t e;
    uint64_t refused = silr_mem_refused();

    silr_mem_install();
    *out = NULL;
    if (depth_of(bytes, len) > MAX_DEPTH)
        return silr_fail(err, SILR_EINPUT, "%s: JSON nested deeper than %d", path, MAX_DEPTH);
    *out = json_loadb(bytes, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (silr_mem_refused() != refused) {
        /* jansson drops the byte for which its buffer cannot grow, and reads what is left */
        json_decref(*out);
        *out = NULL;
        return silr_fail_memory(err);
    }
    if (*out)
        return SILR_OK;
    switch (json_error_code(&e)) {
    case json_error_duplicate_key:
        return silr_fail(err, SILR_EINPUT, "%s: line %d, column %d: a name is there twice", path,
                         e.line, e.column);
    default:
        return silr_fail(err, SILR_EINPUT, "%s: line %d, column %d: not JSON", path, e.line,
                         e.column);
    }
}

silr_status silr_json_object(json_t **out, const char *bytes, size_t len, const char *path,
                             silr_error *err)
{
    silr_status st = json_any(out, bytes, len, path, err);

    if (st == SILR_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        st = silr_fail(err, SILR_EINPUT, "%s: is not a JSON object", path);
    }
    return st;
}

silr_status silr_json_read(json_t **out, const char *path, size_t max, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = silr_file_read(&b, path, max, err);

    *out = NULL;
    if (st == SILR_OK)
        st = json_any(out, b.data, b.len, path, err);
    silr_buf_clear(&b);
    return st;
}

bool silr_json_plain_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > 200 || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~' || name[i] == '/' || name[i] == '\\')
            return false;
    return true;
}
