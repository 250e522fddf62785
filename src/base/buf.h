/* buf.h - a growing run of bytes, always NUL-terminated; errors are sticky.
 *
 *     silr_buf b = {0};
 *     silr_buf_printf(&b, "%zu texts", n);
 *     if (b.failed) ... no memory somewhere on the way
 *     silr_buf_clear(&b);
 */
#ifndef SILR_BASE_BUF_H
#define SILR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char *data; /* NULL until something is added */
    size_t len, cap;
    bool failed;
} silr_buf;

void silr_buf_add(silr_buf *b, const void *bytes, size_t len);
void silr_buf_puts(silr_buf *b, const char *s);
void silr_buf_putc(silr_buf *b, char c);
void silr_buf_printf(silr_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void silr_buf_json(silr_buf *b, const char *s, size_t len); /* a JSON string, quotes included */
void silr_buf_html(silr_buf *b, const char *s, size_t len); /* & < > " ' escaped */
void silr_buf_csv(silr_buf *b, const char *s, size_t len);  /* a field, quoted where a reader could stumble */
void silr_buf_number(silr_buf *b, double v, int digits);    /* shortest of %.{digits}g; NaN, inf: null */
void silr_buf_reset(silr_buf *b);                           /* empty, memory kept */
void silr_buf_clear(silr_buf *b);                           /* memory given back */
char *silr_buf_take(silr_buf *b); /* the bytes are yours (silr_free); NULL when failed */

#endif
