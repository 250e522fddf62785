/* words.c - words as they are compared: in lower case, or folded to letters and digits. */
#include "chat/words.h"
#include <string.h>
#include <utf8proc.h>

size_t silr_words_lower(char *out, size_t room, const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                 (utf8proc_ssize_t)(len - i), &c), made;
        if (step < 1) {
            step = 1;
            c = '?';
        }
        i += (size_t)step;
        made = utf8proc_encode_char(utf8proc_tolower(c), bytes);
        if (made < 1 || n + (size_t)made >= room)
            return SIZE_MAX;
        memcpy(out + n, bytes, (size_t)made);
        n += (size_t)made;
    }
    out[n] = '\0';
    return n;
}

static bool is_word(utf8proc_int32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
        return true;
    default:
        return false;
    }
}

static bool is_digit_at(const char *s, size_t len, size_t i)
{
    return i < len && s[i] >= '0' && s[i] <= '9';
}

/* The minus of "-1" and the point of "1.5": without them it is another number. */
static bool is_of_number(const char *s, size_t len, size_t i)
{
    bool digit_before = i > 0 && is_digit_at(s, len, i - 1);

    if (!is_digit_at(s, len, i + 1))
        return false;
    return s[i] == '-' ? i == 0 || (!digit_before && (unsigned char)s[i - 1] < 0x80 && !is_word(s[i - 1]))
                       : (s[i] == '.' || s[i] == ',') && digit_before;
}

size_t silr_words_fold(char *out, size_t room, const char *s, size_t len)
{
    size_t n = 0;
    bool gap = false;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                 (utf8proc_ssize_t)(len - i), &c), made;
        bool word = step > 0 && (is_word(c) || is_of_number(s, len, i));
        i += step < 1 ? 1 : (size_t)step;
        if (!word) {
            gap = n > 0;
            continue;
        }
        made = utf8proc_encode_char(utf8proc_tolower(c), bytes);
        if (made < 1 || n + (size_t)made + 1 >= room)
            return SIZE_MAX;
        if (gap)
            out[n++] = ' ';
        gap = false;
        memcpy(out + n, bytes, (size_t)made);
        n += (size_t)made;
    }
    out[n] = '\0';
    return n;
}

const char *silr_words_thought_of(const char *content, size_t len, size_t *left)
{
    static const char *const ends[] = {"</think>", "</thinking>", "</reasoning>"};
    static const char *const begins[] = {"<think>", "<thinking>", "<reasoning>"};
    const char *from = content;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *p = content, *at;
        while ((at = memmem(p, (size_t)(content + len - p), ends[i], strlen(ends[i]))))
            p = at + strlen(ends[i]);
        if (p > from)
            from = p;
    }
    *left = (size_t)(content + len - from);
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (memmem(from, *left, begins[i], strlen(begins[i])))
            return NULL;
    return from;
}
