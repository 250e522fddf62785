/* answer.c - an answer: status, headers, body, and how it is to go out. */
#include "server.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must(void *p)
{
    if (!p) {
        fputs("chat_server: no memory\n", stderr);
        abort();
    }
    return p;
}

void must_be_whole(const silr_buf *b)
{
    must(b->failed ? NULL : (void *)1);
}

void answer_json(struct answer *a, unsigned status)
{
    a->status = status;
    a->type = "application/json";
    silr_buf_reset(&a->body);
}

void answer_text(struct answer *a, unsigned status, const char *type, const char *text)
{
    answer_json(a, status);
    a->type = type;
    silr_buf_puts(&a->body, text);
    if (opt.echo_key && a->key && status >= 400)
        silr_buf_printf(&a->body, " (your key is %s)", a->key);
}

static void add_string(silr_buf *b, const char *name, const char *s)
{
    silr_buf_printf(b, ",\"%s\":", name);
    if (s)
        silr_buf_json(b, s, strlen(s));
    else
        silr_buf_puts(b, "null");
}

void answer_error(struct answer *a, unsigned status, const char *type, const char *param,
                  const char *code, const char *fmt, ...)
{
    char text[1000];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof text && opt.echo_key && a->key)
        snprintf(text + n, sizeof text - (size_t)n, " Your key is %s.", a->key);
    answer_json(a, status);
    silr_buf_puts(&a->body, "{\"error\":{\"message\":");
    silr_buf_json(&a->body, text, strlen(text));
    add_string(&a->body, "type", type);
    add_string(&a->body, "param", param);
    add_string(&a->body, "code", code);
    silr_buf_puts(&a->body, "}}");
}

void answer_header(struct answer *a, const char *name, const char *fmt, ...)
{
    va_list ap;

    if (a->headers == sizeof a->header / sizeof *a->header) {
        fputs("chat_server: too many headers\n", stderr);
        abort();
    }
    a->header[a->headers].name = name;
    va_start(ap, fmt);
    vsnprintf(a->header[a->headers].value, sizeof a->header[0].value, fmt, ap);
    va_end(ap);
    a->headers++;
}

void answer_clear(struct answer *a)
{
    silr_buf_clear(&a->body);
    *a = (struct answer){0};
}
