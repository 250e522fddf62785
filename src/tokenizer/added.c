/* added.c - words that are tokens by themselves, sought before all else.
 *
 * The leftmost match counts, of those at one place the longest; special tokens are sought only
 * where the text is trusted. A token may want to stand alone as a word, and may take the spaces
 * beside it. */
#include "tokenizer/inside.h"

/* Is there a letter, digit or the like right before or behind s[from, to)? */
static bool inside_word(const char *s, size_t len, size_t from, size_t to)
{
    size_t n;

    return (from > 0 && (silr_tok_class_at(s + silr_tok_back(s, from), &n) & CHAR_WORD)) ||
           (to < len && (silr_tok_class_at(s + to, &n) & CHAR_WORD));
}

static void take_spaces(silr_added_match *m, const char *s, size_t len, size_t at)
{
    size_t n;

    while (m->token->lstrip && m->from > at) {
        size_t last = silr_tok_back(s, m->from);
        if (!(silr_tok_class_at(s + last, &n) & CHAR_SPACE))
            break;
        m->from = last;
    }
    while (m->token->rstrip && m->to < len && (silr_tok_class_at(s + m->to, &n) & CHAR_SPACE))
        m->to += n;
}

silr_added_match silr_added_find(const silr_tokenizer *t, const silr_added_set *set, bool trusted,
                                 const char *s, size_t len, size_t at)
{
    const silr_trie *trie = trusted ? &set->all : &set->plain;
    silr_added_match m = {len, len, NULL};

    if (trie->nodes <= 1)
        return m;
    for (size_t i = at; i < len;) {
        size_t n = 0;
        int32_t which;
        if (!trie->first[(unsigned char)s[i]] ||
            (which = silr_trie_longest(trie, s + i, len - i, &n)) < 0) {
            i++;
            continue;
        }
        if (t->added[which].single_word && inside_word(s, len, i, i + n)) {
            i += n;
            continue;
        }
        m = (silr_added_match){i, i + n, &t->added[which]};
        take_spaces(&m, s, len, at);
        break;
    }
    return m;
}
