/* wrap.c - text on a screen of so many columns (see screen.h).
 *
 * Texts are hostile: an escape sequence in a review could move the cursor, set the clipboard or
 * imitate a prompt. Only printable characters reach the terminal; every control character, C1
 * controls and direction overrides included, shows as a middle dot. */
#include "cli/screen.h"
#include <utf8proc.h>

/* The next character of s: what to print for it and how wide that is. Returns the bytes read. */
static size_t next_char(const char *s, size_t len, char shown[8], int *width)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &c);
    utf8proc_category_t kind;

    if (n <= 0) {
        n = 1;
        c = 0xFFFD;
    }
    kind = utf8proc_category(c);
    *width = utf8proc_charwidth(c);
    if (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CS ||
        kind == UTF8PROC_CATEGORY_CO || kind == UTF8PROC_CATEGORY_ZL ||
        kind == UTF8PROC_CATEGORY_ZP || (kind == UTF8PROC_CATEGORY_CF && c != 0x200D)) {
        c = 0xB7;
        *width = 1;
    }
    shown[utf8proc_encode_char(c, (utf8proc_uint8_t *)shown)] = '\0';
    return (size_t)n;
}

size_t cli_line_end(const char *s, size_t len, size_t from, int cols, size_t *next)
{
    size_t i = from, space = 0;
    int used = 0, width;
    char shown[8];

    while (i < len) {
        size_t step;
        if (s[i] == '\n') {
            *next = i + 1;
            return i;
        }
        step = next_char(s + i, len - i, shown, &width);
        if (s[i] == '\t')
            width = 1;
        if (used + width > cols && i > from) {
            *next = space > from ? space + 1 : i;
            return space > from ? space : i;
        }
        if (s[i] == ' ')
            space = i;
        used += width;
        i += step;
    }
    *next = len;
    return len;
}

int cli_put_text(silr_buf *b, const char *s, size_t len, int cols)
{
    char shown[8];
    int used = 0, width;

    for (size_t i = 0; i < len;) {
        size_t step = next_char(s + i, len - i, shown, &width);
        if (s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
            shown[0] = ' ';
            shown[1] = '\0';
            width = 1;
        }
        if (used + width > cols)
            break;
        silr_buf_puts(b, shown);
        used += width;
        i += step;
    }
    return used;
}

size_t cli_count_lines(const char *s, size_t len, int cols)
{
    size_t n = 0, at = 0;

    while (at < len) {
        cli_line_end(s, len, at, cols, &at);
        n++;
    }
    return n;
}
