/* utf8.c - bytes that claim to be UTF-8, and what is done where they are not.
 *
 * A bad sequence becomes U+FFFD, one for each maximal part that could have begun a character (the
 * Unicode standard's advice, section 3.9), so that a text survives a broken byte and every reader
 * replaces alike. NUL becomes a space: it would end the text for anything written in C. */
#include "corpus/source.h"
#include <string.h>

/* Length of the well-formed character at s, or minus the length of the bad part there. */
static int step(const unsigned char *s, size_t left)
{
    unsigned c = s[0], low = 0x80, high = 0xbf;
    int n;

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return -1;
    n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (c == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (c == 0xed)
        high = 0x9f; /* surrogates */
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= left || s[i] < low || s[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

/* Eight bytes that are ASCII and not NUL. */
static bool plain8(const char *s)
{
    uint64_t w;
    memcpy(&w, s, 8);
    return !((w | (w - 0x0101010101010101u)) & 0x8080808080808080u);
}

bool silr_utf8_clean(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        int n;
        if (len - i >= 8 && plain8(s + i)) {
            i += 8;
            continue;
        }
        if (s[i] == '\0' || (n = step((const unsigned char *)s + i, len - i)) < 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

void silr_utf8_repair(silr_buf *out, const char *s, size_t len, bool *bad, bool *nul)
{
    size_t i = 0, from = 0;
    while (i < len) {
        int n = step((const unsigned char *)s + i, len - i);
        if (n > 0 && s[i] != '\0') {
            i += (size_t)n;
            continue;
        }
        silr_buf_add(out, s + from, i - from);
        if (n > 0) {
            silr_buf_putc(out, ' ');
            *nul = true;
        } else {
            silr_buf_puts(out, "\xef\xbf\xbd");
            *bad = true;
            n = -n;
        }
        i += (size_t)n;
        from = i;
    }
    silr_buf_add(out, s + from, len - from);
}

size_t silr_utf8_cut(const char *s, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
        max--;
    return max;
}

/* Bytes of the white space character at s (Unicode's White_Space property); 0: none. */
static size_t space_at(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return s[0] == ' ' || (s[0] >= 9 && s[0] <= 13);
    if (left >= 2 && s[0] == 0xc2)
        return s[1] == 0x85 || s[1] == 0xa0 ? 2 : 0;
    if (left < 3)
        return 0;
    if (s[0] == 0xe1)
        return s[1] == 0x9a && s[2] == 0x80 ? 3 : 0;
    if (s[0] == 0xe2 && s[1] == 0x80)
        return (s[2] >= 0x80 && s[2] <= 0x8a) || s[2] == 0xa8 || s[2] == 0xa9 || s[2] == 0xaf ? 3
                                                                                              : 0;
    if (s[0] == 0xe2 && s[1] == 0x81)
        return s[2] == 0x9f ? 3 : 0;
    return s[0] == 0xe3 && s[1] == 0x80 && s[2] == 0x80 ? 3 : 0;
}

/* Eight bytes that folding copies as they are: ASCII, no control characters, no two spaces side by
 * side. A byte of x is zero where there is a space; the sum carries into its top bit elsewhere. */
static bool folded8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, low7 = ones * 0x7f, top = ones << 7;
    uint64_t x = v ^ (ones * 0x20), less = (v | top) - ones * 0x20, space;

    if ((v | ~less) & top)
        return false; /* from 0x80; or below 0x20, where the subtraction takes the top bit away */
    space = ~(((x & low7) + low7) | x | low7);
    return !(space & space << 8);
}

bool silr_utf8_fold(silr_buf *out, const char *s, size_t len)
{
    size_t i = 0;
    char *w;

    silr_buf_reset(out);
    if (!silr_grow(&out->data, &out->cap, len + 1, 1)) /* folding never lengthens */
        return false;
    w = out->data;
    while (i < len) {
        bool apart = w > out->data && w[-1] != ' '; /* a space may follow */
        uint64_t v;
        size_t n;
        if (len - i >= 8 && (apart || s[i] != ' ')) {
            memcpy(&v, s + i, 8);
            if (folded8(v)) {
                memcpy(w, &v, 8);
                w += 8;
                i += 8;
                continue;
            }
        }
        if ((n = space_at((const unsigned char *)s + i, len - i)) == 0)
            *w++ = s[i++];
        else if (apart)
            *w++ = ' ';
        i += n;
    }
    if (w > out->data && w[-1] == ' ')
        w--;
    out->len = (size_t)(w - out->data);
    *w = '\0';
    return true;
}
