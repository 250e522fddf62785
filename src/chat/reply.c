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

enum { MAX_CHOICES = 200, MAX_PLACES = 4096, MAX_TOP = 200, TOKEN_BYTES = 256 };

/* --- strings ------------------------------------------------------------------------------------- */

static void say(char why[200], const char *text)
{
    snprintf(why, 200, "%s", text);
}

/* NaN, Infinity and -Infinity, as Python writes them, at p: how many bytes; 0: none of them. */
static size_t no_number(const char *p, size_t len)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (len >= strlen(words[i]) && memcmp(p, words[i], strlen(words[i])) == 0)
            return strlen(words[i]);
    return 0;
}

/* Bytes that are not UTF-8 become question marks, and numbers that are none null: better a letter
 * lost than an answer. NULL: no memory. */
static char *mend(const char *body, size_t len, size_t *out_len)
{
    char *copy = silr_alloc(len + 1, 2); /* NaN is shorter than null */
    bool quoted = false;
    size_t n = 0;

    for (size_t i = 0; copy && i < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)body + i,
                                                 (utf8proc_ssize_t)(len - i), &c);
        size_t word = quoted ? 0 : no_number(body + i, len - i);
        if (word > 0) {
            memcpy(copy + n, "null", 5); /* the NUL is overwritten */
            n += 4;
            i += word;
            continue;
        }
        if (body[i] == '"')
            quoted = !quoted;
        if (quoted && body[i] == '\\' && i + 1 < len && (unsigned char)body[i + 1] < 0x80)
            step = 2;
        if (step < 1)
            copy[n++] = '?';
        else
            memcpy(copy + n, body + i, (size_t)step), n += (size_t)step;
        i += step < 1 ? 1 : (size_t)step;
    }
    *out_len = n;
    return copy;
}

/* What does not read at once is mended and read with all numbers as reals, as one that is too long for
 * an integer would spoil the rest. (Not from the start: the bytes of tokens are hundreds of integers,
 * and reals take longer to read.) */
static json_t *load(const char *body, size_t len, char why[200])
{
    json_error_t e, again;
    json_t *root;
    size_t n;
    char *copy;

    if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) {
        body += 3;
        len -= 3;
    }
    if ((root = json_loadb(body, len, JSON_ALLOW_NUL, &e)))
        return root;
    if ((copy = mend(body, len, &n)))
        root = json_loadb(copy, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &again);
    silr_free(copy);
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

/* A list of parts, {"type":"text","text":...}: their texts one after the other. *any: there were. */
static bool join_parts(silr_reply *r, silr_choice *c, const json_t *parts, bool *any)
{
    silr_buf b = {0};
    char *copy = NULL;

    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        const char *s = json_string_value(json_is_string(part) ? part : json_object_get(part, "text"));
        *any = *any || s;
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

/* A token that is a piece of a character cannot be written in JSON: its bytes stand beside it. */
static void take_bytes(silr_reply *r, silr_token *t, const json_t *bytes)
{
    char text[TOKEN_BYTES];
    size_t n = json_array_size(bytes);
    const char *copy;

    if (n == 0 || n > TOKEN_BYTES)
        return;
    for (size_t i = 0; i < n; i++) {
        double v = json_number_value(json_array_get(bytes, i));
        if (!(v > 0 && v < 256))
            return;
        text[i] = (char)(unsigned char)v;
    }
    if ((n == t->len && memcmp(text, t->token, n) == 0) ||
        !(copy = silr_arena_strndup(&r->arena, text, n)))
        return;
    t->token = copy;
    t->len = n;
}

static bool read_token(silr_reply *r, silr_token *t, const json_t *v)
{
    const json_t *lp = json_object_get(v, "logprob");

    t->token = text_of(json_object_get(v, "token"), &t->len);
    t->logprob = json_is_number(lp) ? json_number_value(lp) : (double)NAN;
    if (!json_is_string(json_object_get(v, "token")) || !isfinite(t->logprob) || t->logprob >= 1e-3)
        return false;
    take_bytes(r, t, json_object_get(v, "bytes"));
    return true;
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
        if (read_token(r, &p->top[p->n_top], json_array_get(list, i)))
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
        if (!read_token(r, &p->token, v))
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

static bool has_thoughts(const json_t *message, const char *content)
{
    static const char *const marks[] = {"<think>", "</think>", "<thinking>", "<reasoning>"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strstr(content, marks[i]))
            return true;
    return has_text(json_object_get(message, "reasoning_content")) ||
           has_text(json_object_get(message, "reasoning"));
}

/* A message without a content, and nothing that tells why: not what a model has said. */
static bool is_hollow(const silr_choice *c, const json_t *message, bool reasoned)
{
    return !reasoned && !c->refused && strcmp(c->finish, "length") != 0 &&
           strcmp(c->finish, "content_filter") != 0 && !json_object_get(message, "tool_calls");
}

/* 1: read; 0: this is no choice; -1: no memory. */
static int read_choice(silr_reply *r, silr_choice *c, const json_t *v)
{
    const json_t *message = json_object_get(v, "message"), *text = json_object_get(v, "text");
    const json_t *content = json_is_object(message) ? json_object_get(message, "content") : text;
    size_t unused;
    bool any = json_is_string(content) || (json_is_object(message) && json_is_null(content)), reasoned;

    *c = (silr_choice){.content = "", .finish = text_of(json_object_get(v, "finish_reason"), &unused)};
    if (json_is_string(content))
        c->content = text_of(content, &c->len);
    else if (json_is_array(content) && !join_parts(r, c, content, &any))
        return -1;
    c->refused = has_text(json_object_get(message, "refusal"));
    reasoned = has_thoughts(message, c->content);
    r->reasoned = r->reasoned || reasoned;
    if (!any && (!json_is_object(message) || (content && !json_is_array(content)) ||
                 is_hollow(c, message, reasoned)))
        return 0;
    return read_logprobs(r, c, json_object_get(v, "logprobs")) ? 1 : -1;
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
            say(why, got < 0 ? "out of memory" : "a choice of the answer has no content");
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
    } else if (root && (json_is_object(json_object_get(root, "error")) ||
                        (has_text(json_object_get(root, "error")) &&
                         !json_is_array(json_object_get(root, "choices"))))) {
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
    char unused[200];
    json_t *root = body && len > 0 ? load(body, len, unused) : NULL;
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
