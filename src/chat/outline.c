/* outline.c - a line of a batch's output, cut into its pieces without being parsed.
 *
 *     {"id":..., "custom_id":"...", "response":{"status_code":200, "body":{...}}, "error":null}
 *
 * The body is an answer as the server would have sent it live: it is read by what reads those
 * (reply.c) and kept as it came. So nothing here needs to understand JSON beyond where a value
 * ends: strings are skipped with their escapes, brackets counted. What is cut wrongly out of a
 * broken line is no JSON, and falls through there. */
#include "chat/batch.h"
#include <string.h>

typedef struct {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at)
        c->at++;
}

static bool skip_string(cursor *c)
{
    for (c->at++; c->at < c->end; c->at++) {
        if (*c->at == '\\')
            c->at++;
        else if (*c->at == '"')
            break;
    }
    if (c->at >= c->end)
        return false;
    c->at++;
    return true;
}

static bool skip_value(cursor *c)
{
    const char *from = c->at;
    size_t depth = 0;

    while (c->at < c->end) {
        char x = *c->at;
        if (x == '"') {
            if (!skip_string(c))
                return false;
        } else if (x == '{' || x == '[') {
            depth++;
            c->at++;
        } else if (x == '}' || x == ']' || x == ',') {
            if (depth == 0)
                break;
            depth -= x != ',';
            c->at++;
        } else {
            c->at++;
        }
        if (depth == 0 && (x == '"' || x == '}' || x == ']'))
            break;
    }
    return depth == 0 && c->at > from;
}

typedef struct {
    const char *key, *value;
    size_t key_len, value_len;
} member;

/* The next member of the object that the cursor is in, from its '{' on. 0: the end; -1: none. */
static int next_member(cursor *c, member *m)
{
    skip_space(c);
    if (c->at >= c->end)
        return -1;
    if (*c->at == '}')
        return 0;
    if (*c->at != '{' && *c->at != ',')
        return -1;
    c->at++;
    skip_space(c);
    if (c->at < c->end && *c->at == '}')
        return 0;
    if (c->at >= c->end || *c->at != '"')
        return -1;
    m->key = c->at + 1;
    if (!skip_string(c))
        return -1;
    m->key_len = (size_t)(c->at - m->key) - 1;
    skip_space(c);
    if (c->at >= c->end || *c->at++ != ':')
        return -1;
    skip_space(c);
    m->value = c->at;
    if (!skip_value(c))
        return -1;
    m->value_len = (size_t)(c->at - m->value);
    while (m->value_len > 0 && strchr(" \t\r", m->value[m->value_len - 1]))
        m->value_len--;
    return 1;
}

static bool called(const member *m, const char *name)
{
    return m->key_len == strlen(name) && memcmp(m->key, name, m->key_len) == 0;
}

static bool is_null(const member *m)
{
    return m->value_len == 4 && memcmp(m->value, "null", 4) == 0;
}

/* A status is three digits. */
static int status_of(const member *m)
{
    int v = 0;

    if (m->value_len != 3)
        return 0;
    for (size_t i = 0; i < 3; i++) {
        if (m->value[i] < '0' || m->value[i] > '9')
            return 0;
        v = 10 * v + (m->value[i] - '0');
    }
    return v;
}

static bool cut_response(silr_outline *out, const char *text, size_t len)
{
    cursor c = {text, text + len};
    member m;
    int more = 0;

    if (len == 0 || *text != '{')
        return true;
    while ((more = next_member(&c, &m)) > 0) {
        if (called(&m, "status_code"))
            out->status = status_of(&m);
        if (called(&m, "body") && !is_null(&m)) {
            out->body = m.value;
            out->body_len = m.value_len;
        }
    }
    return more == 0;
}

bool silr_outline_cut(silr_outline *out, const char *line, size_t len)
{
    cursor c = {line, line + len};
    member m;
    int more = -1;

    *out = (silr_outline){0};
    skip_space(&c);
    if (c.at >= c.end || *c.at != '{')
        return false;
    while ((more = next_member(&c, &m)) > 0) {
        if (called(&m, "custom_id") && m.value_len >= 2 && m.value[0] == '"') {
            out->custom_id = m.value + 1;
            out->id_len = m.value_len - 2;
        } else if (called(&m, "error") && !is_null(&m)) {
            out->error = m.value;
            out->error_len = m.value_len;
        } else if (called(&m, "response") && !cut_response(out, m.value, m.value_len)) {
            return false;
        }
    }
    return more == 0 && out->custom_id;
}
