#include "base/buf.h"
#include "base/mem.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool room(silr_buf *b, size_t more)
{
    size_t need;
    if (b->failed)
        return false;
    if (!silr_add(b->len, more, &need) || !silr_add(need, 1, &need) ||
        !silr_grow(&b->data, &b->cap, need, 1)) {
        b->failed = true;
        return false;
    }
    return true;
}

void silr_buf_add(silr_buf *b, const void *bytes, size_t len)
{
    if (!room(b, len))
        return;
    if (len > 0)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void silr_buf_puts(silr_buf *b, const char *s)
{
    silr_buf_add(b, s, strlen(s));
}

void silr_buf_putc(silr_buf *b, char c)
{
    silr_buf_add(b, &c, 1);
}

void silr_buf_printf(silr_buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (!room(b, 64))
        return;
    va_start(ap, fmt);
    n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= b->cap - b->len) {
        if (!room(b, (size_t)n))
            return;
        va_start(ap, fmt);
        vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
}

void silr_buf_json(silr_buf *b, const char *s, size_t len)
{
    size_t from = 0;

    silr_buf_putc(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        silr_buf_add(b, s + from, i - from);
        from = i + 1;
        switch (c) {
        case '"':
            silr_buf_puts(b, "\\\"");
            break;
        case '\\':
            silr_buf_puts(b, "\\\\");
            break;
        case '\n':
            silr_buf_puts(b, "\\n");
            break;
        case '\r':
            silr_buf_puts(b, "\\r");
            break;
        case '\t':
            silr_buf_puts(b, "\\t");
            break;
        default:
            silr_buf_printf(b, "\\u%04x", c);
        }
    }
    silr_buf_add(b, s + from, len - from);
    silr_buf_putc(b, '"');
}

void silr_buf_html(silr_buf *b, const char *s, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; i < len; i++) {
        const char *as = s[i] == '&'    ? "&amp;"
                         : s[i] == '<'  ? "&lt;"
                         : s[i] == '>'  ? "&gt;"
                         : s[i] == '"'  ? "&quot;"
                         : s[i] == '\'' ? "&#39;"
                                        : NULL;
        if (!as)
            continue;
        silr_buf_add(b, s + from, i - from);
        silr_buf_puts(b, as);
        from = i + 1;
    }
    silr_buf_add(b, s + from, len - from);
}

void silr_buf_csv(silr_buf *b, const char *s, size_t len)
{
    bool plain = len > 0 && s[0] != ' ' && s[len - 1] != ' ';

    for (size_t i = 0; i < len && plain; i++)
        plain = s[i] != ',' && s[i] != '"' && s[i] != '\n' && s[i] != '\r' && s[i] != '\t';
    if (plain) {
        silr_buf_add(b, s, len);
        return;
    }
    silr_buf_putc(b, '"');
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"')
            silr_buf_putc(b, '"');
        silr_buf_putc(b, s[i]);
    }
    silr_buf_putc(b, '"');
}

void silr_buf_number(silr_buf *b, double v, int digits)
{
    if (!isfinite(v)) {
        silr_buf_puts(b, "null");
        return;
    }
    if (v == 0)
        v = 0; /* no -0 */
    silr_buf_printf(b, "%.*g", digits, v);
}

void silr_buf_reset(silr_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

void silr_buf_clear(silr_buf *b)
{
    silr_free(b->data);
    *b = (silr_buf){0};
}

char *silr_buf_take(silr_buf *b)
{
    char *p;
    if (b->failed || !room(b, 0)) {
        silr_buf_clear(b);
        return NULL;
    }
    p = b->data;
    p[b->len] = '\0';
    *b = (silr_buf){0};
    return p;
}
