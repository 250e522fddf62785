/* scan.c - the patterns of well-known byte-level vocabularies, by hand.
 *
 * GPT-2:
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Llama 3 (digits by three) and Qwen 2 (digits singly):
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *     \s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Each alternative is tried in turn at one place, the first that matches counts, as in a pattern. A
 * test holds these against PCRE2 on the patterns themselves. */
#include "tokenizer/inside.h"
#include <string.h>

enum { PLAIN = CHAR_LETTER | CHAR_NUMBER | CHAR_SPACE };

/* The end of a run of characters with a class in `any`, from at. */
static size_t run(const char *s, size_t len, size_t at, unsigned any)
{
    while (at < len) {
        size_t n;
        if (!(silr_tok_class_at(s + at, &n) & any))
            break;
        at += n;
    }
    return at;
}

/* The end of a run of [^\s\p{L}\p{N}]. */
static size_t run_other(const char *s, size_t len, size_t at)
{
    while (at < len) {
        size_t n;
        if (silr_tok_class_at(s + at, &n) & PLAIN)
            break;
        at += n;
    }
    return at;
}

/* The length of the contraction at s, an apostrophe; 0: none. */
static size_t contraction(const char *s, size_t left, bool any_case)
{
    char a, b;

    if (left < 2)
        return 0;
    a = any_case ? (char)(s[1] | 0x20) : s[1];
    if ((a == 's' || a == 't' || a == 'm' || a == 'd') && (s[1] & 0x40))
        return 2;
    if (left < 3)
        return 0;
    b = any_case ? (char)(s[2] | 0x20) : s[2];
    if ((s[1] & 0x40) && (s[2] & 0x40) &&
        ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')))
        return 3;
    return any_case && memcmp(s + 1, "\xc5\xbf", 2) == 0 ? 3 : 0; /* the long s is an s, too */
}

/* \s+(?!\S)|\s+ at a space: a run of them, less its last one when something follows. */
static size_t spaces(const char *s, size_t len, size_t at)
{
    size_t end = run(s, len, at, CHAR_SPACE), last;

    if (end == len)
        return end;
    last = silr_tok_back(s, end);
    return last > at ? last : end;
}

size_t silr_tok_scan_gpt2(const char *s, size_t len, size_t at)
{
    size_t p = at, n;
    unsigned class;

    if (s[at] == '\'' && (n = contraction(s + at, len - at, false)) > 0)
        return at + n;
    if (s[at] == ' ' && at + 1 < len)
        p++;
    class = silr_tok_class_at(s + p, &n);
    if (class & CHAR_LETTER)
        return run(s, len, p + n, CHAR_LETTER);
    if (class & CHAR_NUMBER)
        return run(s, len, p + n, CHAR_NUMBER);
    if (!(class & CHAR_SPACE))
        return run_other(s, len, p + n);
    return spaces(s, len, at);
}

/* \s*[\r\n]+ at a space: to the last line end of the run; 0: it has none. */
static size_t line_ends(const char *s, size_t len, size_t at)
{
    size_t end = run(s, len, at, CHAR_SPACE);

    while (end > at && s[end - 1] != '\n' && s[end - 1] != '\r')
        end--;
    return end > at ? end : 0;
}

static inline size_t llama3(const char *s, size_t len, size_t at, int digits)
{
    size_t n, next, end;
    unsigned class = silr_tok_class_at(s + at, &n);

    if (s[at] == '\'' && (end = contraction(s + at, len - at, true)) > 0)
        return at + end;
    if (class & CHAR_LETTER)
        return run(s, len, at + n, CHAR_LETTER);
    if (class & CHAR_NUMBER) {
        for (end = at + n; --digits > 0 && end < len; end += n)
            if (!(silr_tok_class_at(s + end, &n) & CHAR_NUMBER))
                break;
        return end;
    }
    if (s[at] != '\r' && s[at] != '\n' && at + n < len &&
        (silr_tok_class_at(s + at + n, &next) & CHAR_LETTER))
        return run(s, len, at + n + next, CHAR_LETTER);
    if (!(class & CHAR_SPACE) ||
        (s[at] == ' ' && at + 1 < len && !(silr_tok_class_at(s + at + 1, &next) & PLAIN))) {
        end = run_other(s, len, at + n);
        while (end < len && (s[end] == '\n' || s[end] == '\r'))
            end++;
        return end;
    }
    return (end = line_ends(s, len, at)) > 0 ? end : spaces(s, len, at);
}

size_t silr_tok_scan_llama3(const char *s, size_t len, size_t at)
{
    return llama3(s, len, at, 3);
}

size_t silr_tok_scan_qwen2(const char *s, size_t len, size_t at)
{
    return llama3(s, len, at, 1);
}

silr_tok_scan *silr_tok_scanner(const char *pattern, size_t len)
{
    static const struct {
        const char *pattern;
        silr_tok_scan *scan;
    } known[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         silr_tok_scan_gpt2},
        {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         silr_tok_scan_gpt2},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         silr_tok_scan_llama3},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         silr_tok_scan_qwen2},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].pattern) == len && memcmp(known[i].pattern, pattern, len) == 0)
            return known[i].scan;
    return NULL;
}
