/* charsmap.c - the replacements of SentencePiece's normaliser.
 *
 *     u32 bytes of the trie | the trie | replacements, each ended by NUL
 *
 * The trie is a double array of 32-bit units: bits 0-7 and 31 are the label, bit 8 says that a
 * string ends below, bits 10-30 (times 256 if bit 9 is set) are XORed to the place of the children.
 * A leaf holds where its replacement begins. Every place is checked as it is used. */
#include "tokenizer/inside.h"
#include <string.h>

silr_status silr_charsmap_read(silr_charsmap *m, const void *bytes, size_t len, const char *where,
                               silr_error *err)
{
    uint32_t trie;
    char *copy;

    memset(m, 0, sizeof *m);
    if (len < sizeof trie)
        return silr_fail(err, SILR_EINPUT, "%s: the charsmap is cut short", where);
    memcpy(&trie, bytes, sizeof trie);
    if (trie % sizeof(uint32_t) || trie > len - sizeof trie)
        return silr_fail(err, SILR_EINPUT, "%s: the charsmap's trie has %u bytes, of %zu in all",
                         where, trie, len);
    if (!(copy = silr_alloc(len + 1, 1)))
        return silr_fail_memory(err);
    memcpy(copy, (const char *)bytes + sizeof trie, len - sizeof trie);
    copy[len - sizeof trie] = '\0';
    m->memory = copy;
    m->unit = m->memory;
    m->units = trie / sizeof(uint32_t);
    m->text = copy + trie;
    m->text_len = len - sizeof trie - trie;
    for (const char *p = m->text, *end = m->text + m->text_len; p < end; p += strlen(p) + 1)
        if (!silr_tok_is_utf8(p, strlen(p))) {
            silr_free(m->memory);
            memset(m, 0, sizeof *m);
            return silr_fail(err, SILR_EINPUT, "%s: a replacement of the charsmap is not UTF-8",
                             where);
        }
    return SILR_OK;
}

static inline size_t children(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

const char *silr_charsmap_find(const silr_charsmap *m, const char *s, size_t len, bool shortest,
                               size_t *used, size_t *out_len)
{
    const char *found = NULL;
    size_t at;

    if (m->units == 0)
        return NULL;
    at = children(m->unit[0]);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        uint32_t unit;
        at ^= c;
        if (c == 0 || at >= m->units || ((unit = m->unit[at]) & (1u << 31 | 0xff)) != c)
            break;
        at ^= children(unit);
        if ((unit >> 8 & 1) && at < m->units) {
            size_t place = m->unit[at] & ~(1u << 31);
            if (place < m->text_len && (place == 0 || m->text[place - 1] == '\0')) {
                found = m->text + place;
                *used = i + 1;
                if (shortest)
                    break;
            }
        }
    }
    /* A key of half a character would leave the other half behind. */
    if (found && *used < len && ((unsigned char)s[*used] & 0xc0) == 0x80)
        return NULL;
    if (found)
        *out_len = strlen(found);
    return found;
}
