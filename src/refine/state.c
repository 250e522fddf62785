/* state.c - what recipe silr must remember between iterations, as bytes in the store.
 *
 * "refine.state": u32 magic, u32 iterations done, u64 variants, u64 rows, u64 columns, then for each
 * variant zbar as f32 [rows][columns] and the training labels as i32 [rows]; native byte order: a
 * run is resumed on the kind of machine it was begun on. "refine.blend": the classifier's blend.
 * Written in the transaction that stores the iteration, so both are there or neither. */
#include "refine/ours.h"
#include <string.h>

enum { MAGIC = 0x53524631 };

typedef struct {
    uint32_t magic, done;
    uint64_t variants, rows, columns;
} header;

silr_status silr_ours_save(void *ours, silr_store *store, silr_error *err)
{
    const silr_ours *o = ours;
    const silr_loop *l = o->loop;
    const header h = {MAGIC, (uint32_t)o->done, o->n_variants, l->n_rows, l->C};
    silr_buf b = {0};
    silr_status st;

    silr_buf_add(&b, &h, sizeof h);
    for (size_t v = 0; v < o->n_variants; v++) {
        silr_buf_add(&b, o->variant[v].zbar, l->n_rows * l->C * sizeof(float));
        silr_buf_add(&b, o->variant[v].label, l->n_rows * sizeof(int));
    }
    st = b.failed ? silr_fail_memory(err)
                  : silr_store_set(store, "refine.state", b.data, b.len, err);
    if (st == SILR_OK && l->classifier->blend_get) {
        silr_buf_reset(&b);
        st = l->classifier->blend_get(l->classifier, &b, err);
        if (st == SILR_OK)
            st = silr_store_set(store, "refine.blend", b.data, b.len, err);
    }
    silr_buf_clear(&b);
    return st;
}

silr_status silr_ours_load(silr_ours *o, silr_error *err)
{
    const silr_loop *l = o->loop;
    const size_t scores = l->n_rows * l->C * sizeof(float), labels = l->n_rows * sizeof(int);
    header h;
    silr_buf b = {0};
    silr_status st = silr_store_get(l->store, "refine.state", &b, err);
    const char *at;

    o->done = 0;
    if (st != SILR_OK || b.len == 0)
        goto done;
    if (b.len < sizeof h)
        goto damaged;
    memcpy(&h, b.data, sizeof h);
    if (h.magic != MAGIC || h.variants != o->n_variants || h.rows != l->n_rows ||
        h.columns != l->C || h.done > (uint32_t)l->iterations ||
        b.len != sizeof h + o->n_variants * (scores + labels))
        goto damaged;
    at = b.data + sizeof h;
    for (size_t v = 0; v < o->n_variants; v++, at += scores + labels) {
        memcpy(o->variant[v].zbar, at, scores);
        memcpy(o->variant[v].label, at + scores, labels);
        for (size_t r = 0; r < l->n_rows; r++) {
            int k = o->variant[v].label[r];
            if (k != SILR_NO_LABEL && (k < 0 || k >= l->K))
                goto damaged;
        }
    }
    if (l->classifier->blend_set) {
        st = silr_store_get(l->store, "refine.blend", &b, err);
        if (st == SILR_OK)
            st = l->classifier->blend_set(l->classifier, b.data, b.len, err);
        if (st != SILR_OK)
            goto done;
    }
    o->done = (int)h.done;
    goto done;
damaged:
    st = silr_fail(err, SILR_EINPUT,
                   "run.db: the saved state does not fit this run: delete the run folder and start "
                   "again");
done:
    silr_buf_clear(&b);
    return st;
}
