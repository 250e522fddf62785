#include "tokenizer/chars.h"
#include <string.h>
#include <utf8proc.h>

#define W CHAR_WORD
const uint16_t silr_tok_ascii[128] = {
    [0 ... 8] = CHAR_OTHER,
    [9 ... 13] = CHAR_OTHER | CHAR_SPACE,
    [14 ... 31] = CHAR_OTHER,
    [' '] = CHAR_SPACE,
    ['!' ... '#'] = CHAR_PUNCT,
    ['$'] = CHAR_SYMBOL,
    ['%' ... '*'] = CHAR_PUNCT,
    ['+'] = CHAR_SYMBOL,
    [',' ... '/'] = CHAR_PUNCT,
    ['0' ... '9'] = CHAR_NUMBER | W,
    [':' ... ';'] = CHAR_PUNCT,
    ['<' ... '>'] = CHAR_SYMBOL,
    ['?' ... '@'] = CHAR_PUNCT,
    ['A' ... 'Z'] = CHAR_LETTER | W,
    ['[' ... ']'] = CHAR_PUNCT,
    ['^'] = CHAR_SYMBOL,
    ['_'] = CHAR_PUNCT | W,
    ['`'] = CHAR_SYMBOL,
    ['a' ... 'z'] = CHAR_LETTER | W,
    ['{'] = CHAR_PUNCT,
    ['|'] = CHAR_SYMBOL,
    ['}'] = CHAR_PUNCT,
    ['~'] = CHAR_SYMBOL,
    [127] = CHAR_OTHER,
};

static const uint16_t of_category[] = {
    [UTF8PROC_CATEGORY_CN] = 0,
    [UTF8PROC_CATEGORY_LU] = CHAR_LETTER | W,
    [UTF8PROC_CATEGORY_LL] = CHAR_LETTER | W,
    [UTF8PROC_CATEGORY_LT] = CHAR_LETTER | W,
    [UTF8PROC_CATEGORY_LM] = CHAR_LETTER | W,
    [UTF8PROC_CATEGORY_LO] = CHAR_LETTER | W,
    [UTF8PROC_CATEGORY_MN] = CHAR_MARK | CHAR_NONSPACING | W,
    [UTF8PROC_CATEGORY_MC] = CHAR_MARK | W,
    [UTF8PROC_CATEGORY_ME] = CHAR_MARK | W,
    [UTF8PROC_CATEGORY_ND] = CHAR_NUMBER | W,
    [UTF8PROC_CATEGORY_NL] = CHAR_NUMBER | W,
    [UTF8PROC_CATEGORY_NO] = CHAR_NUMBER,
    [UTF8PROC_CATEGORY_PC] = CHAR_PUNCT | W,
    [UTF8PROC_CATEGORY_PD] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_PS] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_PE] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_PI] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_PF] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_PO] = CHAR_PUNCT,
    [UTF8PROC_CATEGORY_SM] = CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SC] = CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SK] = CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SO] = CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_ZS] = CHAR_SPACE,
    [UTF8PROC_CATEGORY_ZL] = CHAR_SPACE,
    [UTF8PROC_CATEGORY_ZP] = CHAR_SPACE,
    [UTF8PROC_CATEGORY_CC] = CHAR_OTHER,
    [UTF8PROC_CATEGORY_CF] = CHAR_OTHER,
    [UTF8PROC_CATEGORY_CS] = CHAR_OTHER,
    [UTF8PROC_CATEGORY_CO] = CHAR_OTHER,
};

unsigned silr_tok_class_of(uint32_t c)
{
    unsigned class = of_category[utf8proc_category((utf8proc_int32_t)c)];

    if (c == 0x85)
        class |= CHAR_SPACE;
    else if (c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || /* circled letters */
             (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
             (c >= 0x1f170 && c <= 0x1f189))
        class |= W;
    return class;
}

/* Marks, punctuation and format characters that came after Unicode 8, which is what the tokenizers
 * library's BERT steps know; what lies between them in a range is of no interest to these. */
static const uint32_t newer[][2] = {
    {0x61d, 0x61d},     {0x7fd, 0x7fd},     {0x890, 0x8e2},     {0x9fd, 0x9fe},
    {0xa76, 0xa76},     {0xafa, 0xaff},     {0xb55, 0xb55},     {0xc04, 0xc3c},
    {0xc77, 0xc77},     {0xc84, 0xc84},     {0xd00, 0xd00},     {0xd3b, 0xd3c},
    {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x180f, 0x1886},
    {0x1abf, 0x1ace},   {0x1b7d, 0x1b7e},   {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},
    {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},
    {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf},
    {0x1123e, 0x11241}, {0x1133b, 0x1133b}, {0x11438, 0x1145e}, {0x11660, 0x1166c},
    {0x116b9, 0x116b9}, {0x1182f, 0x11fff}, {0x12ff1, 0x13455}, {0x16e97, 0x16f4f},
    {0x16fe2, 0x16fe4}, {0x1cf00, 0x1cf46}, {0x1e000, 0x1e4ef}, {0x1e944, 0x1e95f},
};

unsigned silr_tok_class_8(uint32_t c)
{
    size_t lo = 0, hi = sizeof newer / sizeof *newer;

    if (c < 0x61d)
        return silr_tok_class(c);
    if (c == 0x166d || c == 0x111c9) /* since then a symbol, a mark */
        return CHAR_PUNCT;
    if (c == 0x1734)
        return CHAR_MARK | CHAR_NONSPACING;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (newer[mid][1] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < sizeof newer / sizeof *newer && newer[lo][0] <= c ? CHAR_LETTER : silr_tok_class(c);
}

void silr_tok_put(silr_buf *b, uint32_t c)
{
    utf8proc_uint8_t s[4];
    silr_buf_add(b, s, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, s));
}

bool silr_tok_is_ascii(const char *s, size_t len)
{
    size_t i = 0;
    for (uint64_t v; len - i >= 8; i += 8) {
        memcpy(&v, s + i, 8);
        if (v & 0x8080808080808080u)
            return false;
    }
    for (; i < len; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

/* Length of the well-formed character at s, or minus the length of the bad part there. */
static int step(const unsigned char *s, size_t left)
{
    unsigned low = 0x80, high = 0xbf;
    int n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return -1;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= left || s[i] < low || s[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

bool silr_tok_is_utf8(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        int n;
        uint64_t v;
        if (len - i >= 8) {
            memcpy(&v, s + i, 8);
            if (!(v & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        if ((n = step((const unsigned char *)s + i, len - i)) < 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

void silr_tok_repair(silr_buf *out, const char *s, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; i < len;) {
        int n = step((const unsigned char *)s + i, len - i);
        if (n > 0) {
            i += (size_t)n;
            continue;
        }
        silr_buf_add(out, s + from, i - from);
        silr_buf_puts(out, "\xef\xbf\xbd");
        from = i += (size_t)-n;
    }
    silr_buf_add(out, s + from, len - from);
}
