/* reply.c - the body of an answer, taken apart.
 *
 * Servers that call themselves compatible differ in nearly everything but choices[].message.content:
 * content is null, a string, or a list of parts; thoughts come as reasoning_content, as reasoning or
 * inside the content; log-probabilities come as a list of tokens with alternatives, or in the older
 * form of four lists; usage is missing or null; an error comes with status 200. All of it is foreign:
 * nothing is believed about types, and what does not fit is treated as not there. */
#include "chat/chat.h"
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_CHOICES = 200, MAX_PLACES = 4096, MAX_TOP = 200 };

/* --- strings ------------------------------------------------------------------------------------- */

static void say(char why[200], const char *text)
{
    snprintf(why, 200, "%s", text);
}

/* Bytes that are not UTF-8 become question marks: better a letter lost than an answer. */
static char *mend(const char *body, size_t len)
{
    char *copy = silr_strndup(body, len);

    for (size_t i = 0; copy && i < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)copy + i,
                                              (utf8proc_ssize_t)(len - i), &c);
        if (n < 1) {
            copy[i++] = '?';
            continue;
        }
        i += (size_t)n;
    }
    return copy;
}

static json_t *load(const char *body, size_t len, char why[200])
{
    json_error_t e;
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &e);

    if (!root && json_error_code(&e) == json_error_invalid_utf8) {
        char *copy = mend(body, len);
        root = copy ? json_loadb(copy, len, JSON_ALLOW_NUL, &e) : NULL;
        silr_free(copy);
    }
    if (!root)
        snprintf(why, 200, "the answer is not JSON: %.120s", e.text);
    return root;
}

static const char *text_of(const json_t *v, size_t *len)
{
    const char *s = json_string_value(v);

    *len = s ? strlen(s) : 0; /* up to a NUL, should there be one */
    return s ? s : "";
}

/* A list of parts, {"type":"text","text":...}: their texts one after the other. */
static bool join_parts(silr_reply *r, silr_choice *c, const json_t *parts)
{
    silr_buf b = {0};
    char *copy = NULL;

    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        const char *s = json_string_value(json_is_string(part) ? part : json_object_get(part, "text"));
        if (s)
            silr_buf_puts(&b, s);
    }
    if (!b.failed)
        copy = silr_arena_strndup(&r->arena, b.data ? b.data : "", b.len);
    c->content = copy ? copy : "";
    c->len = copy ? b.len : 0;
    silr_buf_clear(&b);
    return copy != NULL;
}

/* --- log-probabilities --------------------------------------------------------------------------- */

static bool read_token(silr_token *t, const json_t *v)
{
    const json_t *lp = json_object_get(v, "logprob");

    t->token = text_of(json_object_get(v, "token"), &t->len);
    t->logprob = json_is_number(lp) ? json_number_value(lp) : (double)NAN;
    return json_is_string(json_object_get(v, "token")) && isfinite(t->logprob) && t->logprob < 1e-3;
}

static bool read_top(silr_reply *r, silr_token_place *p, const json_t *list)
{
    size_t n = json_array_size(list);

    n = n < MAX_TOP ? n : MAX_TOP;
    p->n_top = 0;
    if (n == 0)
        return true;
    if (!(p->top = silr_arena_alloc(&r->arena, n * sizeof *p->top)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (read_token(&p->top[p->n_top], json_array_get(list, i)))
            p->n_top++;
    return true;
}

/* {"content":[{"token","logprob","top_logprobs":[...]}, ...]} */
static bool read_new_form(silr_reply *r, silr_choice *c, const json_t *list)
{
    size_t n = json_array_size(list);

    n = n < MAX_PLACES ? n : MAX_PLACES;
    if (n == 0)
        return true;
    if (!(c->place = silr_arena_alloc(&r->arena, n * sizeof *c->place)))
        return false;
    for (size_t i = 0; i < n; i++) {
        silr_token_place *p = &c->place[i];
        const json_t *v = json_array_get(list, i);
        *p = (silr_token_place){0};
        if (!read_token(&p->token, v))
            break; /* what follows would stand in the wrong place */
        if (!read_top(r, p, json_object_get(v, "top_logprobs")))
            return false;
        c->n_places = i + 1;
    }
    return true;
}

/* {"tokens":[...],"token_logprobs":[...],"top_logprobs":[{"token":logprob}, ...]} */
static bool read_old_form(silr_reply *r, silr_choice *c, const json_t *v)
{
    const json_t *tokens = json_object_get(v, "tokens"), *lps = json_object_get(v, "token_logprobs");
    const json_t *tops = json_object_get(v, "top_logprobs");
    size_t n = json_array_size(tokens);

    n = n < MAX_PLACES ? n : MAX_PLACES;
    if (n == 0)
        return true;
    if (!(c->place = silr_arena_alloc(&r->arena, n * sizeof *c->place)))
        return false;
    for (size_t i = 0; i < n; i++) {
        silr_token_place *p = &c->place[i];
        json_t *top = json_array_get(tops, i), *lp;
        const char *key;
        size_t room = json_object_size(top);
        *p = (silr_token_place){0};
        p->token.token = text_of(json_array_get(tokens, i), &p->token.len);
        p->token.logprob = json_is_number(json_array_get(lps, i))
                               ? json_number_value(json_array_get(lps, i)) : (double)NAN;
        if (!json_is_string(json_array_get(tokens, i)) || !isfinite(p->token.logprob))
            break;
        room = room < MAX_TOP ? room : MAX_TOP;
        if (room > 0 && !(p->top = silr_arena_alloc(&r->arena, room * sizeof *p->top)))
            return false;
        json_object_foreach(top, key, lp) {
            if (p->n_top < room && json_is_number(lp))
                p->top[p->n_top++] = (silr_token){key, strlen(key), json_number_value(lp)};
        }
        c->n_places = i + 1;
    }
    return true;
}

static bool read_logprobs(silr_reply *r, silr_choice *c, const json_t *v)
{
    const json_t *content = json_object_get(v, "content");

    if (json_is_array(content))
        return read_new_form(r, c, content);
    return json_is_object(v) ? read_old_form(r, c, v) : true;
}

/* --- choices ------------------------------------------------------------------------------------- */

static bool has_text(const json_t *v)
{
    const char *s = json_string_value(v);
    return s && *s;
}

/* 1: read; 0: this is no choice; -1: no memory. */
static int read_choice(silr_reply *r, silr_choice *c, const json_t *v)
{
    const json_t *message = json_object_get(v, "message");
    const json_t *content = json_object_get(message, "content");
    size_t unused;
    bool good = true;

    *c = (silr_choice){.content = "", .finish = text_of(json_object_get(v, "finish_reason"), &unused)};
    if (!json_is_object(message) && !json_is_string(json_object_get(v, "text")))
        return 0;
    if (!json_is_object(message))
        c->content = text_of(json_object_get(v, "text"), &c->len);
    else if (json_is_string(content))
        c->content = text_of(content, &c->len);
    else if (json_is_array(content))
        good = join_parts(r, c, content);
    else if (content && !json_is_null(content))
        return 0;
    c->refused = has_text(json_object_get(message, "refusal"));
    r->reasoned = r->reasoned || has_text(json_object_get(message, "reasoning_content")) ||
                  has_text(json_object_get(message, "reasoning")) || strstr(c->content, "<think>");
    if (good)
        good = read_logprobs(r, c, json_object_get(v, "logprobs"));
    return good ? 1 : -1;
}

static int64_t tokens_at(const json_t *v, const char *name)
{
    const json_t *n = json_object_get(v, name);
    double count = json_is_number(n) ? json_number_value(n) : 0;
    return count > 0 && count < 1e12 ? (int64_t)count : 0;
}

static void read_usage(silr_reply *r, const json_t *usage)
{
    const json_t *out = json_object_get(usage, "completion_tokens_details");

    r->usage = (silr_usage){.cost = NAN, .seconds = NAN};
    r->usage.prompt_tokens = tokens_at(usage, "prompt_tokens");
    r->usage.completion_tokens = tokens_at(usage, "completion_tokens");
    r->usage.cached_tokens = tokens_at(json_object_get(usage, "prompt_tokens_details"),
                                       "cached_tokens");
    if (r->usage.cached_tokens > r->usage.prompt_tokens)
        r->usage.cached_tokens = r->usage.prompt_tokens;
    r->reasoned = r->reasoned || tokens_at(out, "reasoning_tokens") > 0;
}

static bool read_choices(silr_reply *r, const json_t *list, char why[200])
{
    size_t n = json_array_size(list);
    int got;

    if (n == 0 || n > MAX_CHOICES) {
        say(why, n ? "the answer has too many choices" : "the answer has no choices");
        return false;
    }
    if (!(r->choice = silr_arena_alloc(&r->arena, n * sizeof *r->choice))) {
        say(why, "out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++, r->n_choices++)
        if ((got = read_choice(r, &r->choice[i], json_array_get(list, i))) <= 0) {
            say(why, got < 0 ? "out of memory" : "a choice of the answer has no message");
            return false;
        }
    return true;
}

bool silr_reply_read(silr_reply *out, const char *body, size_t len, char why[200])
{
    json_t *root = NULL;
    bool good = false;
    char code[80];

    *out = (silr_reply){0};
    why[0] = '\0';
    if (len == 0)
        say(why, "the answer is empty");
    else if (len > SILR_REPLY_MAX)
        say(why, "the answer is too long");
    else
        root = load(body, len, why);
    out->tree = root;
    if (root && !json_is_object(root)) {
        say(why, "the answer is not a JSON object");
    } else if (root && json_is_object(json_object_get(root, "error"))) {
        silr_reply_error(body, len, why, code);
        if (!why[0])
            say(why, "the answer is an error without words");
    } else if (root) {
        good = read_choices(out, json_object_get(root, "choices"), why);
        read_usage(out, json_object_get(root, "usage"));
    }
    if (!good)
        silr_reply_clear(out);
    return good;
}

void silr_reply_clear(silr_reply *r)
{
    json_decref(r->tree);
    silr_arena_clear(&r->arena);
    *r = (silr_reply){0};
}

/* --- errors -------------------------------------------------------------------------------------- */

/* One line of printable characters, cut at a character. */
static void tidy(char *out, size_t room, const char *s, size_t len)
{
    size_t n = 0;
    bool space = true;

    for (size_t i = 0; i < len && n + 5 < room;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                 (utf8proc_ssize_t)(len - i), &c);
        if (step < 1 || c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0) || c == ' ') {
            if (!space)
                out[n++] = ' ';
            space = true;
            i += step < 1 ? 1 : (size_t)step;
            continue;
        }
        memcpy(out + n, s + i, (size_t)step);
        n += (size_t)step;
        i += (size_t)step;
        space = false;
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static const char *first_text(const json_t *v, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_object_get(v, names[i]));
        if (s && *s)
            return s;
    }
    return NULL;
}

void silr_reply_error(const char *body, size_t len, char what[200], char code[80])
{
    static const char *const message[] = {"message", "msg", "detail", "error", "title"};
    static const char *const codes[] = {"code", "type", "param"};
    json_t *root = body && len > 0 ? json_loadb(body, len, 0, NULL) : NULL;
    const json_t *e = json_object_get(root, "error"), *detail = json_object_get(root, "detail");
    const char *s, *c;

    if (!json_is_object(e))
        e = json_is_array(detail) ? json_array_get(detail, 0) : root;
    s = first_text(e, message, sizeof message / sizeof *message);
    c = first_text(e, codes, sizeof codes / sizeof *codes);
    what[0] = '\0';
    if (code)
        code[0] = '\0';
    if (s)
        tidy(what, 200, s, strlen(s));
    else if (!root && body && len > 0 && body[0] != '<' && body[0] != '{' && body[0] != '[')
        tidy(what, 200, body, len);
    if (code && c)
        tidy(code, 80, c, strlen(c));
    json_decref(root);
}
