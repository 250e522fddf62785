/* ask.c - reads a request, and refuses what this server does not take (--reject, --ignore).
 *
 * A real server says no in one of five manners (--reject-style); what a client is to learn from all
 * of them is which parameter to leave out next time. */
#include "ask.h"
#include <stdio.h>
#include <string.h>

static const char invalid[] = "invalid_request_error";

/* --- saying no -------------------------------------------------------------------------- */

/* What the API says of a parameter: where, with which code, in which words. */
static void words_of(enum param p, char param[64], const char **code, char text[300], size_t turn)
{
    const char *name = param_names[p];

    snprintf(param, 64, "%s", name);
    *code = "unsupported_parameter";
    if (p == PARAM_MAX_TOKENS || p == PARAM_MAX_COMPLETION_TOKENS) {
        snprintf(text, 300,
                 "Unsupported parameter: '%s' is not supported with this model. Use '%s' instead.",
                 name, param_names[PARAM_MAX_TOKENS + PARAM_MAX_COMPLETION_TOKENS - p]);
    } else if (p == PARAM_TEMPERATURE) {
        *code = "unsupported_value";
        snprintf(text, 300,
                 "Unsupported value: 'temperature' does not support 0 with this model. "
                 "Only the default (1) value is supported.");
    } else if (p == PARAM_SYSTEM) {
        *code = "unsupported_value";
        snprintf(param, 64, "messages[%zu].role", turn);
        snprintf(
            text, 300,
            "Unsupported value: 'messages[%zu].role' does not support 'system' with this model.",
            turn);
    } else {
        snprintf(text, 300, "Unsupported parameter: '%s' is not supported with this model.", name);
    }
}

static void refuse_fastapi(struct answer *a, enum param p, size_t turn)
{
    answer_json(a, 422);
    if (p == PARAM_SYSTEM)
        silr_buf_printf(
            &a->body,
            "{\"detail\":[{\"loc\":[\"body\",\"messages\",%zu,\"role\"],\"msg\":\"unexpected "
            "value; permitted: 'user', 'assistant'\",\"type\":\"value_error.const\"}]}",
            turn);
    else
        silr_buf_printf(
            &a->body,
            "{\"detail\":[{\"loc\":[\"body\",\"%s\"],\"msg\":\"extra fields not permitted\","
            "\"type\":\"value_error.extra\"}]}",
            param_names[p]);
}

/* The message holds a list in Python's spelling, and the code is a number. */
static void refuse_vllm(struct answer *a, enum param p)
{
    answer_json(a, 400);
    silr_buf_printf(
        &a->body,
        "{\"object\":\"error\",\"message\":\"[{'type': 'extra_forbidden', 'loc': ('body', "
        "'%s'), 'msg': 'Extra inputs are not permitted'}]\",\"type\":\"BadRequestError\","
        "\"param\":null,\"code\":400}",
        p == PARAM_SYSTEM ? "system" : param_names[p]);
}

static void refuse(struct answer *a, enum param p, size_t turn)
{
    char param[64], text[300];
    const char *code;

    words_of(p, param, &code, text, turn);
    switch (opt.reject_style) {
    case STYLE_OPENAI:
        answer_error(a, 400, invalid, param, code, "%s", text);
        return;
    case STYLE_BARE: /* only the sentence tells */
        if (p == PARAM_LOGPROBS)
            answer_error(a, 403, invalid, NULL, NULL,
                         "You are not allowed to request logprobs from this model");
        else
            answer_error(a, 400, invalid, NULL, NULL, "%s", text);
        return;
    case STYLE_PLAIN:
        snprintf(text, sizeof text, "extra fields not permitted: %s",
                 p == PARAM_SYSTEM ? "system role" : param_names[p]);
        answer_text(a, 400, "text/plain; charset=utf-8", text);
        return;
    case STYLE_FASTAPI:
        refuse_fastapi(a, p, turn);
        return;
    default:
        refuse_vllm(a, p);
    }
}

/* Is the parameter there, and not in the one form that every server takes? */
static bool asked(const json_t *root, enum param p, size_t *turn)
{
    json_t *v = json_object_get(root, param_names[p]), *message;
    size_t i;

    switch (p) {
    case PARAM_SYSTEM:
        json_array_foreach(json_object_get(root, "messages"), i, message)
        {
            const char *role = json_string_value(json_object_get(message, "role"));
            *turn = i;
            if (role && strcmp(role, "system") == 0)
                return true;
        }
        return false;
    case PARAM_TEMPERATURE:
        return v && !json_is_null(v) && json_number_value(v) != 1;
    case PARAM_N:
        return v && json_integer_value(v) != 1;
    case PARAM_LOGPROBS:
        return json_is_true(v);
    default:
        return v && !json_is_null(v);
    }
}

static bool rejected(struct answer *a, const json_t *root)
{
    size_t turn = 0;

    for (enum param p = 0; p < PARAMS; p++)
        if (opt.reject & (1u << p) && asked(root, p, &turn)) {
            refuse(a, p, turn);
            return true;
        }
    return false;
}

/* --- reading ---------------------------------------------------------------------------- */

/* Appends the text of a message: a string, or a list of parts. */
static bool add_content(silr_buf *b, const json_t *content)
{
    json_t *part;
    size_t i;

    if (json_is_string(content)) {
        silr_buf_add(b, json_string_value(content), json_string_length(content));
        return true;
    }
    if (!json_is_array(content))
        return false;
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text))
            return false;
        silr_buf_add(b, json_string_value(text), json_string_length(text));
    }
    return true;
}

/* The last message is to be the user's. */
static bool read_messages(struct ask *q, struct answer *a)
{
    const json_t *messages = json_object_get(q->root, "messages");
    size_t n = json_array_size(messages);
    silr_buf text = {0};
    bool user = false, good = n > 0;

    for (size_t i = 0; i < n && good; i++) {
        const json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        silr_buf_reset(&text);
        good = role && add_content(&text, json_object_get(m, "content"));
        if (!good)
            break;
        q->chars += text.len;
        user = strcmp(role, "user") == 0;
        if (i + 1 == n)
            silr_buf_add(&q->user, text.data, text.len);
        else if (i + 2 == n && strcmp(role, "assistant") == 0)
            silr_buf_add(&q->before, text.data, text.len);
    }
    must_be_whole(&text);
    silr_buf_clear(&text);
    if (!good || !user)
        answer_error(
            a, 400, invalid, "messages", NULL,
            "Invalid value for 'messages': a list of messages, the last of them the user's.");
    return good && user;
}

static bool read_logprobs(struct ask *q, struct answer *a)
{
    const json_t *top = json_object_get(q->root, "top_logprobs");

    q->logprobs = json_is_true(json_object_get(q->root, "logprobs"));
    q->top = json_integer_value(top);
    if (q->top && !q->logprobs && !(opt.ignore & (1u << PARAM_LOGPROBS))) {
        answer_error(a, 400, invalid, "top_logprobs", NULL,
                     "'top_logprobs' requires 'logprobs' to be true.");
        return false;
    }
    if (q->top < 0 || q->top > (int64_t)opt.max_top) {
        answer_error(a, 400, invalid, "top_logprobs", "integer_above_max_value",
                     "Invalid 'top_logprobs': integer above maximum value. Expected a value <= %u, "
                     "but got %lld instead.",
                     opt.max_top, (long long)q->top);
        return false;
    }
    return true;
}

/* The field's name is the first of the schema's. */
static void read_format(struct ask *q)
{
    json_t *format = json_object_get(q->root, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    json_t *schema = json_object_get(json_object_get(format, "json_schema"), "schema");
    void *first = json_object_iter(json_object_get(schema, "properties"));

    q->schema = type && strncmp(type, "json_", 5) == 0;
    snprintf(q->field, sizeof q->field, "%s", first ? json_object_iter_key(first) : "label");
}

static bool read_rest(struct ask *q, struct answer *a)
{
    const json_t *n = json_object_get(q->root, "n"), *t = json_object_get(q->root, "temperature");
    const json_t *most = json_object_get(q->root, "max_tokens");

    if (!most)
        most = json_object_get(q->root, "max_completion_tokens");
    q->max_tokens = most ? json_integer_value(most) : -1;
    q->n = n ? json_integer_value(n) : 1;
    q->sampled = !t || json_number_value(t) > 0;
    q->model = json_string_value(json_object_get(q->root, "model"));
    if (!q->model || q->n < 1 || q->n > 128 || (most && q->max_tokens < 1) ||
        json_is_true(json_object_get(q->root, "stream"))) {
        answer_error(a, 400, invalid, NULL, NULL, "model, n, max_tokens or stream: invalid value.");
        return false;
    }
    if (opt.model && strcmp(q->model, opt.model) != 0) {
        answer_error(a, 404, invalid, NULL, "model_not_found",
                     "The model `%.100s` does not exist or you do not have access to it.",
                     q->model);
        return false;
    }
    read_format(q);
    return true;
}

bool ask_read(struct ask *q, struct answer *a, const char *body, size_t len)
{
    json_error_t err;

    *q = (struct ask){.root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &err)};
    if (!json_is_object(q->root)) {
        answer_error(a, 400, invalid, NULL, NULL,
                     "We could not parse the JSON body of your request. (%s)", err.text);
        return false;
    }
    if (rejected(a, q->root))
        return false;
    for (enum param p = 0; p < PARAMS; p++)
        if (opt.ignore & (1u << p))
            json_object_del(q->root, param_names[p]);
    return read_messages(q, a) && read_logprobs(q, a) && read_rest(q, a);
}

void ask_clear(struct ask *q)
{
    json_decref(q->root);
    silr_buf_clear(&q->user);
    silr_buf_clear(&q->before);
}
