/* server.c - what a server can do, found out from what it refuses.
 *
 * silr begins with a request that has all the task would like. A server that refuses names the
 * parameter at fault in most cases; else the wishes are dropped one by one, those that servers lack
 * most often first. What was learned is kept, so that each server is asked once. */
#include "chat/chat.h"
#include <ctype.h>
#include <jansson.h>
#include <string.h>

silr_server silr_server_hopes(const silr_task *task)
{
    const silr_chat_settings *c = &task->annotator.chat;

    return (silr_server){.tokens = SILR_TOKENS_OLD,
                         .logprobs = c->logprobs && c->samples == 1,
                         .logprobs_come = c->logprobs && c->samples == 1,
                         .top = (int)c->top_logprobs,
                         .schema = c->format == SILR_REPLY_JSON,
                         .object = c->format == SILR_REPLY_JSON,
                         .seed = true,
                         .temperature = true,
                         .system = true,
                         .many = c->samples > 1};
}

/* --- as JSON ------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} flags[] = {
    {"logprobs", offsetof(silr_server, logprobs)},
    {"logprobs_come", offsetof(silr_server, logprobs_come)},
    {"schema", offsetof(silr_server, schema)},
    {"object", offsetof(silr_server, object)},
    {"seed", offsetof(silr_server, seed)},
    {"temperature", offsetof(silr_server, temperature)},
    {"system", offsetof(silr_server, system)},
    {"many", offsetof(silr_server, many)},
    {"reasons", offsetof(silr_server, reasons)},
};

void silr_server_to_json(const silr_server *s, silr_buf *out)
{
    silr_buf_printf(out, "{\"tokens\":%d,\"top\":%d", (int)s->tokens, s->top);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool on;
        memcpy(&on, (const char *)s + flags[i].offset, sizeof on);
        silr_buf_printf(out, ",\"%s\":%s", flags[i].name, on ? "true" : "false");
    }
    silr_buf_putc(out, '}');
}

bool silr_server_from_json(silr_server *s, const char *json, size_t len)
{
    json_t *root = json_loadb(json, len, 0, NULL);
    const json_t *tokens = json_object_get(root, "tokens"), *top = json_object_get(root, "top");
    bool good = json_is_integer(tokens) && json_is_integer(top) &&
                json_integer_value(tokens) >= 0 && json_integer_value(tokens) <= SILR_TOKENS_NONE &&
                json_integer_value(top) >= 0 && json_integer_value(top) <= 100;

    *s = (silr_server){0};
    if (good) {
        s->tokens = (silr_tokens_name)json_integer_value(tokens);
        s->top = (int)json_integer_value(top);
    }
    for (size_t i = 0; good && i < sizeof flags / sizeof *flags; i++) {
        const json_t *v = json_object_get(root, flags[i].name);
        bool on = json_is_true(v);
        good = json_is_boolean(v);
        memcpy((char *)s + flags[i].offset, &on, sizeof on);
    }
    json_decref(root);
    return good;
}

void silr_server_tell(const silr_server *s, const silr_task *task, silr_buf *out)
{
    const silr_chat_settings *c = &task->annotator.chat;
    bool logprobs = c->logprobs && c->samples == 1;

    silr_buf_puts(out, s->tokens == SILR_TOKENS_OLD   ? "max_tokens"
                       : s->tokens == SILR_TOKENS_NEW ? "max_completion_tokens"
                                                      : "no limit of tokens");
    if (logprobs && s->logprobs && s->logprobs_come && s->top > 0)
        silr_buf_printf(out, "; log-probabilities, %d alternatives", s->top);
    else if (logprobs && s->logprobs && s->logprobs_come)
        silr_buf_puts(out, "; log-probabilities of the chosen tokens alone");
    else if (logprobs)
        silr_buf_puts(out, s->logprobs ? "; gives no log-probabilities" : "; refuses log-probabilities");
    if (c->format == SILR_REPLY_JSON)
        silr_buf_puts(out, s->schema ? "; JSON by a schema" : s->object ? "; JSON without a schema"
                                                                        : "; JSON as the prompt asks");
    if (!s->seed)
        silr_buf_puts(out, "; no seed");
    if (!s->temperature)
        silr_buf_puts(out, "; its own temperature");
    if (!s->system)
        silr_buf_puts(out, "; no system role");
    if (c->samples > 1)
        silr_buf_puts(out, s->many ? "; several answers at once" : "; one answer a request");
    if (s->reasons)
        silr_buf_puts(out, "; thinks before it answers");
}

/* --- learning ------------------------------------------------------------------------------------ */

typedef enum {
    WISH_TOKENS,
    WISH_TOP,
    WISH_LOGPROBS,
    WISH_FORMAT,
    WISH_SEED,
    WISH_MANY,
    WISH_TEMPERATURE,
    WISH_SYSTEM,
    WISH_N
} wish;

/* Whether a request has the wish in it, and the request without. */
static bool drop(silr_server *s, const silr_task *task, wish w)
{
    switch (w) {
    case WISH_TOKENS:
        if (s->tokens == SILR_TOKENS_NONE)
            return false;
        s->tokens = s->tokens == SILR_TOKENS_OLD ? SILR_TOKENS_NEW : SILR_TOKENS_NONE;
        return true;
    case WISH_TOP:
        if (!s->logprobs || s->top == 0)
            return false;
        s->top = s->top > 20 ? 20 : s->top > 10 ? 10 : s->top > 5 ? 5 : 0;
        return true;
    case WISH_LOGPROBS:
        if (!s->logprobs)
            return false;
        s->logprobs = s->logprobs_come = false;
        return true;
    case WISH_FORMAT:
        if (task->annotator.chat.format != SILR_REPLY_JSON || (!s->schema && !s->object))
            return false;
        if (s->schema)
            s->schema = false;
        else
            s->object = false;
        return true;
    case WISH_SEED:
        if (!s->seed)
            return false;
        s->seed = false;
        return true;
    case WISH_MANY:
        if (!s->many)
            return false;
        s->many = false;
        return true;
    case WISH_TEMPERATURE:
        if (!s->temperature)
            return false;
        s->temperature = false;
        return true;
    case WISH_SYSTEM:
        if (!s->system || task->annotator.chat.prompt_template)
            return false;
        s->system = false;
        return true;
    case WISH_N:
        break;
    }
    return false;
}

/* Part of a name: a letter, a digit, an underscore; but not the n of a line end as JSON writes it. */
static bool is_part(const char *text, size_t len, size_t i)
{
    unsigned char c = i < len ? (unsigned char)text[i] : ' ';
    return (isalnum(c) || c == '_') && !(i > 0 && text[i - 1] == '\\');
}

/* Is `word` in the text, in any case, with nothing that would make it part of another name? */
static bool names_it(const char *text, size_t len, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(text + i, word, n) == 0 && !(i > 0 && is_part(text, len, i - 1)) &&
            is_part(text, len, i) && !is_part(text, len, i + n))
            return true;
    return false;
}

static const struct {
    const char *word;
    wish w;
} named[] = {{"top_logprobs", WISH_TOP},       {"logprobs", WISH_LOGPROBS},
             {"max_tokens", WISH_TOKENS},      {"max_completion_tokens", WISH_TOKENS},
             {"response_format", WISH_FORMAT}, {"json_schema", WISH_FORMAT},
             {"seed", WISH_SEED},              {"temperature", WISH_TEMPERATURE},
             {"system", WISH_SYSTEM},          {"role", WISH_SYSTEM},
             {"roles", WISH_SYSTEM}};

/* Drops the first wish that the words name and that is still there. */
static bool drop_named(silr_server *s, const silr_task *task, const char *body, size_t len)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        bool old = strcmp(named[i].word, "max_tokens") == 0;
        if (!names_it(body, len, named[i].word))
            continue;
        if (named[i].w == WISH_TOKENS && old != (s->tokens == SILR_TOKENS_OLD))
            continue; /* the one that it would rather have */
        if (drop(s, task, named[i].w))
            return true;
    }
    return s->many && names_it(body, len, "n") && drop(s, task, WISH_MANY);
}

/* Words about the text itself: no other request with it would fare better. */
static bool is_about_the_text(const char *body, size_t len)
{
    static const char *const words[] = {"content_filter", "content_policy", "content management policy",
                                        "context_length", "maximum context length", "invalid_prompt",
                                        "].content"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (memmem(body, len, words[i], strlen(words[i])))
            return true;
    return false;
}

bool silr_server_learn(silr_server *s, const silr_task *task, int status, const char *body,
                       size_t len, int *tried)
{
    static const wish order[] = {WISH_FORMAT, WISH_FORMAT, WISH_TOP,  WISH_TOP,
                                 WISH_TOP,    WISH_LOGPROBS, WISH_SEED, WISH_MANY,
                                 WISH_TOKENS, WISH_SYSTEM, WISH_TEMPERATURE};
    const int n_order = (int)(sizeof order / sizeof *order);
    bool said = status == 400 || status == 403 || status == 422 || status == 501;

    if (body && said && is_about_the_text(body, len))
        return false;
    if (body && said && drop_named(s, task, body, len))
        return true;
    if (status != 400 && status != 422 && status != 500 && status != 501)
        return false;
    while (*tried < n_order)
        if (drop(s, task, order[(*tried)++]))
            return true;
    return false;
}
