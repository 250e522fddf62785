/* chat.c - answers a chat request; the same body gets the same answer, always.
 *
 * Which answer: one of --answers, if its text occurs in the last user message; else a class. Which
 * class: the one named as [[NAME]] in that message; else, if the message asks to check the class
 * given in the turn before, that one again, or in a fifth of the bodies another; else one by the
 * hash of the message. */
#include "ask.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tokens.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASONS_ENOUGH = 1000 }; /* tokens that let --reasoning unclosed come to an end */
static const char refusal[] = "I'm sorry, I can't assist with that.";

/* --- the odd answers of --answers ------------------------------------------------------- */

static json_t *odd; /* [{"text", "answer"}] */

static void read_odd(const char *path)
{
    silr_buf b = {0};
    silr_error err = {0};
    char *rest;

    odd = must(json_array());
    if (silr_file_read(&b, path, 1 << 26, &err) != SILR_OK) {
        fprintf(stderr, "chat_server: %s\n", err.text);
        exit(2);
    }
    for (char *line = strtok_r(b.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (!json_is_string(json_object_get(row, "text")) ||
            !json_is_string(json_object_get(row, "answer"))) {
            fprintf(stderr, "chat_server: %s: not {\"text\", \"answer\"}: %s\n", path, line);
            exit(2);
        }
        json_array_append_new(odd, row);
    }
    silr_buf_clear(&b);
}

void chat_prepare(void)
{
    classes_set(opt.classes);
    if (opt.answers)
        read_odd(opt.answers);
}

static const json_t *odd_answer(const silr_buf *user)
{
    json_t *row;
    size_t i;

    json_array_foreach(odd, i, row)
    {
        const json_t *text = json_object_get(row, "text");
        if (memmem(user->data, user->len, json_string_value(text), json_string_length(text)))
            return json_object_get(row, "answer");
    }
    return NULL;
}

/* --- the class -------------------------------------------------------------------------- */

/* NAME of a [[NAME]] that is a class; -1: there is none. */
static int class_marked(const silr_buf *user)
{
    const char *p = user->data, *end = user->data + user->len, *q;

    while ((p = memmem(p, (size_t)(end - p), "[[", 2))) {
        p += 2;
        q = memmem(p, (size_t)(end - p), "]]", 2);
        int k = q ? class_find(p, (size_t)(q - p)) : -1;
        if (k >= 0)
            return k;
    }
    return -1;
}

/* The class that the turn before gave, bare or in JSON, if it is to be checked now. */
static int class_checked(const struct ask *q)
{
    const char *s = q->before.data;
    json_t *json, *value;
    int k;

    if (q->before.len == 0 || !strcasestr(q->user.data, "check"))
        return -1;
    if (s[0] != '{')
        return class_find(s, q->before.len);
    json = json_loadb(s, q->before.len, 0, NULL);
    value = json_object_iter_value(json_object_iter(json));
    k = json_is_string(value) ? class_find(json_string_value(value), json_string_length(value))
                              : -1;
    json_decref(json);
    return k;
}

static int choose_class(const struct ask *q, uint64_t text_hash, uint64_t body_hash)
{
    int K = classes_count(), k = class_checked(q);

    if (k >= 0 && (K == 1 || faults_chance(body_hash, 0, 0x666c6970) >= .2))
        return k;
    if (k >= 0)
        return (k + 1 + (int)(body_hash % (uint64_t)(K - 1))) % K;
    k = class_marked(&q->user);
    return k >= 0 ? k : (int)(text_hash % (uint64_t)K);
}

/* The class of choice i: the first is the most probable one, the others are drawn. */
static int draw_class(const struct ask *q, uint64_t body_hash, int k, const double *w, int64_t i)
{
    double u = faults_chance(body_hash, (uint64_t)i, 0x64726177);

    if (i == 0 || !q->sampled)
        return k;
    for (int j = 0; j + 1 < classes_count(); j++) {
        if (u < w[j])
            return j;
        u -= w[j];
    }
    return classes_count() - 1;
}

/* --- the reply -------------------------------------------------------------------------- */

/* What the model says to itself; it names a class that it will not give. */
static void add_reasons(silr_buf *b, int k)
{
    silr_buf_printf(b, "The text might be about %s. On a second reading, %s fits it better.",
                    class_name((k + 1) % classes_count()), class_name(k));
}

static void say_reasons(struct said *s, int k, bool closed)
{
    silr_buf reasons = {0};

    add_reasons(&reasons, k);
    must_be_whole(&reasons);
    said_token(s, "<think>");
    said_token(s, "\n");
    said_words(s, reasons.data, reasons.len);
    if (closed) {
        said_token(s, "\n");
        said_token(s, "</think>");
        said_token(s, "\n\n");
    }
    silr_buf_clear(&reasons);
}

static void say_class(struct said *s, const struct ask *q)
{
    const char *name = class_name(s->k);
    silr_buf quoted = {0};

    s->json = q->schema;
    if (!q->schema) {
        said_class(s);
        return;
    }
    said_token(s, "{\"");
    said_words(s, q->field, strlen(q->field));
    said_token(s, "\":\"");
    silr_buf_json(&quoted, name, strlen(name));
    must_be_whole(&quoted);
    if (quoted.len == strlen(name) + 2) {
        said_class(s);
    } else { /* with escapes, it is no more made of the class's tokens */
        said_words(s, quoted.data + 1, quoted.len - 2);
        said_token(s, "\"}");
    }
    silr_buf_clear(&quoted);
}

/* Fills s; returns the reason to finish. */
static const char *say(struct said *s, const struct ask *q, const json_t *raw)
{
    bool closed = opt.reasoning != REASONING_UNCLOSED || q->max_tokens >= REASONS_ENOUGH;
    size_t all;

    silr_buf_puts(&s->text, ""); /* said, even if nothing */
    if (opt.finish == FINISH_CONTENT_FILTER)
        return "content_filter";
    if (opt.reasoning == REASONING_THINK || opt.reasoning == REASONING_UNCLOSED)
        say_reasons(s, s->k, closed);
    if (!closed)
        return "length";
    if (raw)
        said_words(s, json_string_value(raw), json_string_length(raw));
    else
        say_class(s, q);
    all = s->n;
    if (q->max_tokens >= 0)
        said_cut(s, (size_t)q->max_tokens);
    return s->n < all || opt.finish == FINISH_LENGTH ? "length" : "stop";
}

static void write_message(silr_buf *b, const struct said *s)
{
    silr_buf_puts(b, "{\"role\":\"assistant\",\"content\":");
    if (opt.refusal)
        silr_buf_puts(b, "null");
    else
        silr_buf_json(b, s->text.data, s->text.len);
    if (opt.reasoning == REASONING_FIELD) {
        silr_buf reasons = {0};
        add_reasons(&reasons, s->k);
        silr_buf_puts(b, ",\"reasoning_content\":");
        silr_buf_json(b, reasons.data, reasons.len);
        silr_buf_clear(&reasons);
    }
    silr_buf_puts(b, ",\"refusal\":");
    if (opt.refusal)
        silr_buf_json(b, refusal, sizeof refusal - 1);
    else
        silr_buf_puts(b, "null");
    silr_buf_puts(b, ",\"annotations\":[]}");
}

static void write_choice(silr_buf *b, const struct said *s, const struct ask *q, int64_t i,
                         const char *finish)
{
    silr_buf_printf(b, "%s{\"index\":%lld,\"message\":", i ? "," : "", (long long)i);
    write_message(b, s);
    silr_buf_puts(b, ",\"logprobs\":");
    if (!q->logprobs) {
        silr_buf_puts(b, "null");
    } else {
        silr_buf_puts(b, "{\"content\":");
        if (opt.refusal)
            silr_buf_puts(b, "null");
        else
            logprobs_write(b, s, (size_t)q->top);
        silr_buf_puts(b, ",\"refusal\":null}");
    }
    silr_buf_printf(b, ",\"finish_reason\":\"%s\"}", finish);
}

static void reply(struct answer *a, const struct ask *q, uint64_t body_hash)
{
    uint64_t text_hash = silr_hash64(q->user.data, q->user.len, 1);
    size_t tokens = 0, prompt = q->chars / 4 + 1;
    const json_t *raw = odd_answer(&q->user);
    int k = choose_class(q, text_hash, body_hash);
    double w[CLASSES_MOST];
    silr_buf *b = &a->body;

    class_weights(text_hash, k, w);
    answer_json(a, 200);
    silr_buf_printf(
        b,
        "{\"id\":\"chatcmpl-%016llx\",\"object\":\"chat.completion\",\"created\":1735689600,"
        "\"model\":",
        (unsigned long long)body_hash);
    silr_buf_json(b, q->model, strlen(q->model));
    silr_buf_puts(b, ",\"choices\":[");
    for (int64_t i = 0; i < q->n; i++) {
        struct said s = {.k = draw_class(q, body_hash, k, w, i), .w = w, .hash = text_hash};
        const char *finish = say(&s, q, raw);
        must_be_whole(&s.text);
        write_choice(b, &s, q, i, finish);
        tokens += s.n;
        said_clear(&s);
    }
    silr_buf_printf(
        b,
        "],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu},"
        "\"system_fingerprint\":\"fp_%010llx\"}",
        prompt, tokens, prompt + tokens,
        (unsigned long long)silr_hash64(q->model, strlen(q->model), 2) >> 24);
    must_be_whole(b);
    a->valid = true;
}

void chat_reply(struct answer *a, const char *body, size_t len)
{
    struct ask q;

    if (ask_read(&q, a, body, len)) {
        silr_buf_puts(&q.user, "");
        must_be_whole(&q.user);
        must_be_whole(&q.before);
        reply(a, &q, silr_hash64(body, len, 0));
    }
    ask_clear(&q);
}
