/* columns.c - the values of kept columns. There are a few classes and many documents, so each
 * value is kept once and a document has its number. */
#include "corpus/build.h"
#include <string.h>

static silr_status widen(silr_interned *s)
{
    size_t slots = s->table ? (s->mask + 1) * 2 : 64;
    uint32_t *table = silr_calloc(slots, sizeof *table);

    if (!table)
        return SILR_ENOMEM;
    for (size_t k = 1; k < s->n; k++) {
        size_t at = silr_hash64(s->v[k], strlen(s->v[k]), 0) & (slots - 1);
        while (table[at])
            at = (at + 1) & (slots - 1);
        table[at] = (uint32_t)k;
    }
    silr_free(s->table);
    s->table = table;
    s->mask = slots - 1;
    return SILR_OK;
}

silr_status silr_intern(silr_interned *s, const char *value, uint32_t *number)
{
    size_t len, at;

    *number = 0;
    if (!value)
        return SILR_OK;
    if ((!s->table || s->n * 2 > s->mask) && widen(s) != SILR_OK)
        return SILR_ENOMEM;
    len = strlen(value);
    for (at = silr_hash64(value, len, 0) & s->mask; s->table[at]; at = (at + 1) & s->mask)
        if (strcmp(s->v[s->table[at]], value) == 0) {
            *number = s->table[at];
            return SILR_OK;
        }
    if (!silr_grow(&s->v, &s->cap, s->n + 2, sizeof *s->v))
        return SILR_ENOMEM;
    if (s->n == 0)
        s->v[s->n++] = NULL;
    if (!(s->v[s->n] = silr_arena_strndup(&s->arena, value, len)))
        return SILR_ENOMEM;
    *number = s->table[at] = (uint32_t)s->n++;
    return SILR_OK;
}

void silr_interned_clear(silr_interned *s)
{
    silr_arena_clear(&s->arena);
    silr_free(s->v);
    silr_free(s->table);
    *s = (silr_interned){0};
}
