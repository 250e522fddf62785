/* ids.c - every document has an id, and no two the same.
 *
 * A missing id becomes "row-7" (the caller's doing); one that is taken gets "#2", "#3" and so on.
 * Documents keep their order, so the same input gives the same ids. */
#include "corpus/build.h"
#include <string.h>

static uint32_t hash_of(const char *id, size_t len)
{
    return (uint32_t)silr_hash64(id, len, 0);
}

static size_t slot_of(const silr_corpus *c, const char *id, uint32_t hash)
{
    size_t at = hash & c->ids.mask;
    while (c->ids.slot[at].doc &&
           (c->ids.slot[at].hash != hash || strcmp(c->doc[c->ids.slot[at].doc - 1].id, id) != 0))
        at = (at + 1) & c->ids.mask;
    return at;
}

static silr_status widen(silr_corpus *c)
{
    silr_id_table old = c->ids;
    size_t slots = old.slot ? (old.mask + 1) * 2 : 256;

    if (!(c->ids.slot = silr_calloc(slots, sizeof *c->ids.slot))) {
        c->ids = old;
        return SILR_ENOMEM;
    }
    c->ids.mask = slots - 1;
    for (size_t i = 0; old.slot && i <= old.mask; i++) {
        size_t at = old.slot[i].hash & c->ids.mask;
        if (!old.slot[i].doc)
            continue;
        while (c->ids.slot[at].doc)
            at = (at + 1) & c->ids.mask;
        c->ids.slot[at] = old.slot[i];
    }
    silr_free(old.slot);
    return SILR_OK;
}

silr_status silr_ids_add(silr_corpus *c, const char *id)
{
    silr_status st = SILR_OK;
    size_t at, first, len = strlen(id);
    uint32_t hash = hash_of(id, len);
    silr_buf name = {0};

    if ((!c->ids.slot || c->n * 3 > c->ids.mask * 2) && widen(c) != SILR_OK)
        return SILR_ENOMEM;
    at = first = slot_of(c, id, hash);
    if (c->ids.slot[at].doc)
        c->stats.duplicate_ids++;
    while (c->ids.slot[at].doc) {
        uint32_t k = c->ids.slot[first].next++ + 2;
        silr_buf_reset(&name);
        silr_buf_printf(&name, "%s#%u", id, k);
        if (name.failed) {
            st = SILR_ENOMEM;
            goto done;
        }
        hash = hash_of(name.data, name.len);
        at = slot_of(c, name.data, hash);
    }
    if (name.data) {
        id = name.data;
        len = name.len;
    }
    if (!(c->doc[c->n - 1].id = silr_arena_strndup(&c->arena, id, len)))
        st = SILR_ENOMEM;
    else
        c->ids.slot[at] = (struct silr_id_slot){(uint32_t)c->n, hash, 0};
done:
    silr_buf_clear(&name);
    return st;
}

size_t silr_ids_find(const silr_corpus *c, const char *id)
{
    size_t at;
    if (!c->ids.slot)
        return SIZE_MAX;
    at = slot_of(c, id, hash_of(id, strlen(id)));
    return c->ids.slot[at].doc ? c->ids.slot[at].doc - 1 : SIZE_MAX;
}
