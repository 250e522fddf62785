/* vocab.c - tokens by their bytes; and the letters that byte-level vocabularies are written in. */
#include "tokenizer/inside.h"
#include <string.h>

static inline const char *bytes_of(const silr_tok_map *m, const silr_token *t, size_t *len)
{
    *len = m->names ? t->name_len : t->key_len;
    return m->names ? t->name : t->key;
}

silr_status silr_tok_map_build(silr_tok_map *m, const silr_token *token, size_t n, bool names,
                               silr_error *err)
{
    size_t slots = 16;

    while (slots < 2 * n)
        slots *= 2;
    *m = (silr_tok_map){.names = names};
    if (!(m->slot = silr_alloc(slots, sizeof *m->slot)))
        return silr_fail_memory(err);
    m->mask = slots - 1;
    memset(m->slot, 0xff, slots * sizeof *m->slot);
    for (size_t id = 0; id < n; id++) {
        size_t len, i;
        const char *s = bytes_of(m, &token[id], &len);
        uint64_t h;
        if (!s || !(token[id].flags & TOKEN_HERE) ||
            silr_tok_map_find(m, token, s, len) != SILR_TOK_NONE)
            continue;
        h = silr_hash64(s, len, 0);
        for (i = h & m->mask; m->slot[i].id != SILR_TOK_NONE; i = (i + 1) & m->mask)
            ;
        m->slot[i] = (silr_tok_slot){(uint32_t)id, (uint32_t)(h >> 32)};
    }
    return SILR_OK;
}

uint32_t silr_tok_map_find(const silr_tok_map *m, const silr_token *token, const char *s,
                           size_t len)
{
    uint64_t h;

    if (m->mask == 0)
        return SILR_TOK_NONE;
    h = silr_hash64(s, len, 0);
    for (size_t i = h & m->mask;; i = (i + 1) & m->mask) {
        const silr_tok_slot *slot = &m->slot[i];
        const char *other;
        size_t n;
        if (slot->id == SILR_TOK_NONE)
            return SILR_TOK_NONE;
        if (slot->tag != (uint32_t)(h >> 32))
            continue;
        other = bytes_of(m, &token[slot->id], &n);
        if (n == len && memcmp(other, s, len) == 0)
            return slot->id;
    }
}

/* Bytes that are printable in Latin-1 stand for themselves, the others for U+0100, U+0101, ... */
static bool prints(unsigned c)
{
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || c >= 0xae;
}

int silr_tok_char_byte(uint32_t c)
{
    if (c < 256)
        return prints(c) ? (int)c : -1;
    if (c < 256 + 33)
        return (int)(c - 256); /* 0 .. 32 */
    if (c < 256 + 33 + 34)
        return (int)(c - 256 - 33 + 127); /* 127 .. 160 */
    return c == 256 + 33 + 34 ? 0xad : -1;
}

uint32_t silr_tok_byte_char(unsigned char byte)
{
    if (prints(byte))
        return byte;
    return byte <= 32 ? 256u + byte : byte <= 160 ? 256u + 33 + byte - 127 : 256u + 33 + 34;
}

uint32_t silr_tok_by_name(const silr_tokenizer *t, const char *name, size_t len)
{
    return silr_tok_map_find(&t->names, t->token, name, len);
}
