/* request.c - the body of a request for this server, and the hash that identifies it.
 *
 * A body is made in one fixed order of members, so that the same question has the same bytes, and
 * the hash over address, body and number of the sample is the identity of what was asked: another
 * prompt, model or parameter is another request. */
#include "chat/chat.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

const char *silr_chat_url(const silr_task *task)
{
    const char *from = getenv("OPENAI_BASE_URL");

    if (task->annotator.chat.url)
        return task->annotator.chat.url;
    return from && *from ? from : "https://api.openai.com/v1";
}

void silr_request_url(const char *base, const char *path, silr_buf *out)
{
    size_t end = strcspn(base, "?#");
    size_t len = end;

    while (len > 0 && base[len - 1] == '/')
        len--;
    silr_buf_add(out, base, len);
    silr_buf_puts(out, path);
    if (base[end] == '?')
        silr_buf_add(out, base + end, strcspn(base + end, "#"));
}

/* The longest answer in tokens: names are short, but nobody knows the model's tokens; a byte a token
 * is the worst that a tokenizer can do, three bytes what most do at worst. */
static int64_t answer_tokens(const silr_task *task)
{
    const silr_chat_settings *c = &task->annotator.chat;
    size_t longest = 0;

    if (c->max_tokens > 0)
        return c->max_tokens;
    for (size_t k = 0; k < task->n_classes; k++) {
        size_t len = strlen(silr_answer_name(task, (int)k));
        longest = len > longest ? len : longest;
    }
    return (int64_t)(longest + 2) / 3 + (c->format == SILR_REPLY_JSON ? 20 : 5);
}

int64_t silr_request_tokens(const silr_task *task, const silr_server *s)
{
    return answer_tokens(task) + (s->reasons ? task->annotator.chat.reasoning_tokens : 0);
}

static void put_format(const silr_task *task, const silr_server *s, silr_buf *out)
{
    if (s->schema) {
        silr_buf_puts(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                           "\"label\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{"
                           "\"label\":{\"type\":\"string\",\"enum\":[");
        for (size_t k = 0; k < task->n_classes; k++) {
            const char *name = silr_answer_name(task, (int)k);
            silr_buf_puts(out, k ? "," : "");
            silr_buf_json(out, name, strlen(name));
        }
        silr_buf_puts(out, "]}},\"required\":[\"label\"],\"additionalProperties\":false}}}");
    } else if (s->object) {
        silr_buf_puts(out, ",\"response_format\":{\"type\":\"json_object\"}");
    }
}

int silr_request_many(const silr_task *task, const silr_server *s)
{
    return s->many && task->annotator.chat.samples > 1 ? (int)task->annotator.chat.samples : 1;
}

void silr_request_body(const silr_task *task, const silr_server *s, const char *messages, size_t len,
                       int sample, silr_buf *out)
{
    const silr_chat_settings *c = &task->annotator.chat;
    int64_t tokens = silr_request_tokens(task, s);

    silr_buf_puts(out, "{\"model\":");
    silr_buf_json(out, c->model, strlen(c->model));
    silr_buf_puts(out, ",\"messages\":");
    silr_buf_add(out, messages, len);
    if (s->temperature) {
        silr_buf_puts(out, ",\"temperature\":");
        silr_buf_number(out, c->temperature, 6);
    }
    if (s->tokens != SILR_TOKENS_NONE)
        silr_buf_printf(out, ",\"%s\":%lld",
                        s->tokens == SILR_TOKENS_OLD ? "max_tokens" : "max_completion_tokens",
                        (long long)tokens);
    if (s->logprobs)
        silr_buf_puts(out, ",\"logprobs\":true");
    if (s->logprobs && s->top > 0)
        silr_buf_printf(out, ",\"top_logprobs\":%d", s->top);
    if (s->seed)
        silr_buf_printf(out, ",\"seed\":%lld", (long long)(task->seed % 1000000007 + sample));
    if (silr_request_many(task, s) > 1)
        silr_buf_printf(out, ",\"n\":%lld", (long long)c->samples);
    if (c->format == SILR_REPLY_JSON)
        put_format(task, s, out);
    if (c->parameters) { /* an object that is not empty: its members go on with ours */
        silr_buf_putc(out, ',');
        silr_buf_add(out, c->parameters + 1, strlen(c->parameters) - 2);
    }
    silr_buf_putc(out, '}');
}

silr_status silr_request_id(silr_ask_id *out, const char *url, const char *body, size_t len,
                            int sample, silr_error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char number[40];
    unsigned n = sizeof out->bytes;
    bool good;

    snprintf(number, sizeof number, "\n%d\n", sample);
    good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(ctx, url, strlen(url)) == 1 &&
           EVP_DigestUpdate(ctx, number, strlen(number)) == 1 &&
           EVP_DigestUpdate(ctx, body, len) == 1 && EVP_DigestFinal_ex(ctx, out->bytes, &n) == 1;
    EVP_MD_CTX_free(ctx);
    return good ? SILR_OK : silr_fail_memory(err);
}
