/* tune_pass.c - texts to scores, and the derivative by scores to that by parameters.
 *
 * What is kept for the way back (silr_kept, a layer) lies in one block that grows to the largest
 * batch. If all of it is more than opts.memory, layers keep all but the inside of their MLP, which is
 * much for what it costs to compute again; and where that is too much, the last keep only what came in. */
#include "engine/inside.h"
#include <string.h>

/* --- what is kept --------------------------------------------------------------------------------- */

/* Floats a row of each part of silr_kept but x; 0: not kept by this family. */
static void widths(const silr_model_spec *s, size_t w[8])
{
    const size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;

    w[0] = silr_qkv_width(s);
    w[1] = q;
    w[2] = silr_mlp_width(s);
    w[3] = s->qk_norm ? q + kv : 0;
    w[4] = s->post_norms ? s->hidden : 0;
    w[5] = s->hidden;
    w[6] = s->post_norms ? s->hidden : 0;
    w[7] = s->pre_norm ? 0 : s->hidden;
}

/* What a layer keeps of a row beside its x. */
static size_t record(const silr_model_spec *s)
{
    size_t w[8], sum = 0;

    widths(s, w);
    for (size_t i = 0; i < 8; i++)
        sum += w[i];
    return sum;
}

/* Rows count for multiples of 16, so that every part begins at a line of the cache. */
static size_t padded(size_t rows)
{
    return (rows + 15) / 16 * 16;
}

/* Layers of which all is kept, and those before and behind them of which all but the MLP's inside is. */
typedef struct {
    size_t full, most; /* full <= most */
} keeping;

/* What can be kept of so many rows in so many bytes; false: not even what comes into the layers. */
static bool shares(const silr_tune *t, size_t memory, size_t rows, keeping *out)
{
    const silr_model_spec *s = t->e->spec;
    const size_t n = s->layers, x = n * s->hidden, mlp = silr_mlp_width(s), rest = record(s) - mlp;
    const size_t each = memory / sizeof(float) / padded(rows);

    *out = (keeping){0};
    if (each >= x + n * record(s))
        *out = (keeping){n, n};
    else if (each >= x + n * rest + mlp) /* one is for the MLP that is computed again */
        *out = (keeping){(each - x - n * rest - mlp) / mlp, n};
    else if (each >= x + record(s)) /* one is for the layer that is */
        *out = (keeping){0, (each - x - record(s)) / rest};
    return each >= x + record(s);
}

/* Lays out the parts of one layer; without: but for its MLP's inside. */
static float *lay_record(const silr_model_spec *s, silr_kept *k, float *at, size_t rows, bool without)
{
    float **const part[] = {&k->qkv, &k->mix, &k->mlp, &k->raw, &k->o, &k->mid, &k->m, &k->sum};
    size_t w[8];

    widths(s, w);
    for (size_t i = 0; i < 8; i++) {
        if (without && part[i] == &k->mlp)
            continue;
        *part[i] = w[i] > 0 ? at : NULL;
        at += w[i] * rows;
    }
    return at;
}

/* Lays the block out for a batch. */
static silr_status lay(silr_tune *t, size_t rows, silr_error *err)
{
    const silr_model_spec *s = t->e->spec;
    const size_t mlp = silr_mlp_width(s);
    size_t each, need;
    keeping fit;
    float *at;

    shares(t, t->opts.memory, rows, &fit); /* what is too long is tried all the same */
    t->full = fit.full;
    t->most = fit.most;
    rows = padded(rows);
    each = s->layers * s->hidden + t->most * (record(s) - mlp) + t->full * mlp;
    each += t->most < s->layers ? record(s) : t->full < s->layers ? mlp : 0; /* to spare */
    if (!silr_mul(rows, each, &need) || !silr_add(need, 16, &need))
        return silr_fail_memory(err);
    if (need > t->block_size) {
        silr_free(t->block);
        t->block_size = 0;
        if (!(t->block = silr_alloc(need, sizeof *t->block)))
            return silr_fail(err, SILR_ENOMEM, "not enough memory to keep a batch of %zu tokens for the "
                             "backward pass (%zu MiB): lower classifier.max_tokens, refine.batch or "
                             "classifier.memory", rows, need * sizeof(float) >> 20);
        t->block_size = need;
    }
    at = t->block;
    while ((uintptr_t)at % 64 != 0)
        at++;
    for (size_t l = 0; l < s->layers; l++) {
        t->kept[l] = (silr_kept){.x = at};
        at += rows * s->hidden;
    }
    for (size_t l = 0; l < t->most; l++)
        at = lay_record(s, &t->kept[l], at, rows, l >= t->full);
    t->spare = (silr_kept){0};
    if (t->most < s->layers)
        lay_record(s, &t->spare, at, rows, false);
    else if (t->full < s->layers)
        t->spare.mlp = at;
    for (size_t l = t->full; l < t->most; l++) /* forward writes there, nobody reads it */
        t->kept[l].mlp = t->spare.mlp;
    for (size_t l = t->most; l < s->layers; l++) {
        float *const x = t->kept[l].x;
        t->kept[l] = t->spare;
        t->kept[l].x = x;
    }
    return SILR_OK;
}

size_t silr_tune_fits(const silr_tune *t, const size_t *start, size_t n)
{
    size_t fit = n > 0 ? 1 : 0;
    keeping ignored;

    while (fit < n && shares(t, t->whole, start[fit + 1] - start[0], &ignored))
        fit++;
    return fit;
}

/* --- room ------------------------------------------------------------------------------------------- */

silr_status silr_room_tune(silr_room *r, const silr_tune *t, bool keep, silr_error *err)
{
    size_t act, drop, low;

    if (!silr_mul(r->rows, t->e->spec->mlp, &act) || !silr_mul(r->rows, t->widest, &drop) ||
        !silr_mul(r->rows, t->rank, &low) || !(r->row = silr_calloc(r->rows, sizeof *r->row)) ||
        !(r->last = silr_calloc(r->texts, sizeof *r->last)) ||
        (keep && !(r->act = silr_alloc_aligned(act, sizeof(float)))) ||
        (t->rank > 0 && t->opts.dropout > 0 && !(r->drop = silr_alloc_aligned(drop, sizeof(float)))) ||
        (t->rank > 0 && !(r->low = silr_alloc_aligned(low, sizeof(float)))))
        return silr_fail_memory(err);
    return SILR_OK;
}

void silr_tune_forget(silr_tune *t)
{
    silr_room_clear(&t->room);
    silr_free(t->unturn[0]);
    silr_free(t->unturn[1]);
    silr_free(t->block);
    silr_free(t->ids);
    silr_free(t->number);
    silr_free(t->start);
    silr_free(t->pooled);
    t->unturn[0] = t->unturn[1] = t->block = t->pooled = NULL;
    t->ids = t->number = NULL;
    t->start = NULL;
    t->rows = t->texts = t->block_size = 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Rope tables that turn back: sines negated. */
static silr_status make_unturn(silr_tune *t, silr_error *err)
{
    const size_t n = t->room.table_rows * t->e->spec->rope_dims;

    for (int local = 0; t->e->spec->rope && local < 2; local++) {
        silr_free(t->unturn[local]);
        if (!(t->unturn[local] = silr_alloc_aligned(n, sizeof(float))))
            return silr_fail_memory(err);
        for (size_t i = 0; i < n; i++)
            t->unturn[local][i] = i % 2 ? -t->room.rope[local][i] : t->room.rope[local][i];
    }
    return SILR_OK;
}

/* The room for a batch: made anew when it is larger than any before. */
static silr_status make_room(silr_tune *t, size_t rows, size_t texts, size_t reach, silr_error *err)
{
    silr_room *r = &t->room;
    silr_status st;

    if (r->x && rows <= r->rows && texts <= r->texts && reach <= r->table_rows)
        return SILR_OK;
    rows = larger(rows, r->rows), texts = larger(texts, r->texts), reach = larger(reach, r->table_rows);
    silr_room_clear(r);
    silr_free(t->pooled);
    t->pooled = NULL;
    if ((st = silr_room_init(r, t->e, rows, texts, reach, err)) != SILR_OK ||
        (st = silr_room_tune(r, t, true, err)) != SILR_OK || (st = make_unturn(t, err)) != SILR_OK)
        goto done;
    if (!(t->pooled = silr_alloc_aligned(texts * t->e->spec->hidden, sizeof(float))))
        st = silr_fail_memory(err);
done:
    if (st != SILR_OK) /* what is half made is not to be taken for whole */
        silr_tune_forget(t);
    return st;
}

/* --- scores ----------------------------------------------------------------------------------------- */

/* What stands behind the final norm, pooled: [texts][hidden]. x: states before it, h: room for as many. */
static void pool_texts(const silr_tune *t, const silr_pass *p, const float *x, float *h, float *pooled)
{
    const size_t dim = t->e->spec->hidden;
    const size_t rows = p->last_only ? p->n_texts : p->start[p->n_texts] - p->start[0];

    if (t->final.weight) {
        silr_norm_rows(t->e, &t->final, x, dim, rows, dim, h, dim);
        x = h;
    }
    for (size_t i = 0; i < p->n_texts; i++) {
        const size_t row = p->last_only ? i : p->start[i] - p->start[0];
        const size_t n = p->last_only ? 1 : p->start[i + 1] - p->start[i];
        silr_pool(t->pooling, x + row * dim, n, dim, pooled + i * dim);
    }
}

static silr_status score(const silr_tune *t, const float *pooled, size_t n, float *out, silr_error *err)
{
    const size_t dim = t->e->spec->hidden, columns = t->opts.columns;
    silr_status st = t->e->ops->product(false, true, n, columns, dim, 1, pooled, dim,
                                        t->params + t->head, dim, out, columns, false, err);

    for (size_t i = 0; st == SILR_OK && t->head_bias != SILR_NOWHERE && i < n; i++)
        t->e->ops->add(out + i * columns, t->params + t->head_bias, columns);
    return st;
}

static silr_pass pass_of(const silr_tune *t, const silr_tune_batch *b, size_t first, size_t end)
{
    return (silr_pass){.n_texts = end - first, .ids = b->ids, .start = b->start + first,
                       .last_only = t->pooling == SILR_POOL_LAST, .layers = t->e->spec->layers,
                       .tune = t, .number = b->number ? b->number + first : NULL, .key = b->key,
                       .no_final = true};
}

silr_status silr_tune_scores(silr_tune *t, const silr_tune_batch *b, float *out, silr_error *err)
{
    const silr_engine *e = t->e;
    silr_room room = {0};
    size_t longest, rows, texts;
    float *pooled = NULL;
    silr_status st = silr_texts_check(e, b->ids, b->start, b->n, 0, &longest, err);

    if (st != SILR_OK || b->n == 0)
        return st;
    silr_groups_most(e, b->start, b->n, 0, &rows, &texts);
    if ((st = silr_room_init(&room, e, rows, texts, longest, err)) != SILR_OK ||
        (st = silr_room_tune(&room, t, false, err)) != SILR_OK)
        goto done;
    if (!(pooled = silr_alloc_aligned(texts * e->spec->hidden, sizeof(float)))) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0, end; st == SILR_OK && i < b->n; i = end) {
        end = silr_group_end(e, b->start, b->n, i, 0);
        const silr_pass p = pass_of(t, b, i, end);
        if ((st = silr_forward(e, &room, &p, err)) != SILR_OK)
            break;
        pool_texts(t, &p, room.x, room.h, pooled);
        st = score(t, pooled, end - i, out + i * t->opts.columns, err);
    }
done:
    silr_room_clear(&room);
    silr_free(pooled);
    return st;
}

/* --- forward and back --------------------------------------------------------------------------------- */

/* The batch's texts are kept: the way back reads them again. */
static silr_status keep_batch(silr_tune *t, const silr_tune_batch *b, silr_error *err)
{
    const size_t rows = b->start[b->n] - b->start[0];

    silr_free(t->ids);
    silr_free(t->number);
    silr_free(t->start);
    t->number = NULL;
    t->start = NULL;
    if (!(t->ids = silr_alloc(rows, sizeof *t->ids)) ||
        !(t->start = silr_alloc(b->n + 1, sizeof *t->start)) ||
        (b->number && !(t->number = silr_alloc(b->n, sizeof *t->number))))
        return silr_fail_memory(err);
    memcpy(t->ids, b->ids + b->start[0], rows * sizeof *t->ids);
    for (size_t i = 0; i <= b->n; i++)
        t->start[i] = b->start[i] - b->start[0];
    if (b->number)
        memcpy(t->number, b->number, b->n * sizeof *t->number);
    return SILR_OK;
}

silr_status silr_tune_forward(silr_tune *t, const silr_tune_batch *b, float *out, silr_error *err)
{
    size_t longest, rows;
    silr_status st = silr_texts_check(t->e, b->ids, b->start, b->n, 0, &longest, err);

    SILR_ASSERT(t->opts.train);
    t->rows = t->texts = 0;
    if (st != SILR_OK || b->n == 0)
        return st;
    rows = b->start[b->n] - b->start[0];
    if ((st = keep_batch(t, b, err)) != SILR_OK ||
        (st = make_room(t, rows, b->n, longest, err)) != SILR_OK || (st = lay(t, rows, err)) != SILR_OK)
        return st;
    const silr_tune_batch own = {.ids = t->ids, .start = t->start, .n = b->n, .number = t->number,
                                 .key = b->key};
    t->pass = pass_of(t, &own, 0, b->n);
    t->pass.kept = t->kept;
    if ((st = silr_forward(t->e, &t->room, &t->pass, err)) != SILR_OK)
        return st;
    pool_texts(t, &t->pass, t->room.x, t->room.h, t->pooled);
    if ((st = score(t, t->pooled, b->n, out, err)) == SILR_OK)
        t->rows = rows, t->texts = b->n;
    return st;
}

/* dh of the states behind the final norm from dpooled: the reverse of pooling. */
static void unpool(const silr_tune *t, const float *dpooled, float *dh)
{
    const silr_pass *p = &t->pass;
    const size_t dim = t->e->spec->hidden;

    for (size_t i = 0; i < p->n_texts; i++) {
        const size_t n = p->last_only ? 1 : p->start[i + 1] - p->start[i];
        float *rows = dh + (p->last_only ? i : p->start[i] - p->start[0]) * dim;
        const float share = t->pooling == SILR_POOL_MEAN ? 1 / (float)n : 1;
        for (size_t k = 0; k < n * dim; k++)
            rows[k] = t->pooling == SILR_POOL_MEAN || k < dim ? dpooled[i * dim + k % dim] * share : 0;
    }
}

silr_status silr_tune_backward(silr_tune *t, const float *dscores, silr_error *err)
{
    const silr_ops *ops = t->e->ops;
    const size_t dim = t->e->spec->hidden, columns = t->opts.columns, n = t->texts;
    const size_t states = t->pass.last_only ? n : t->rows;
    float *dpooled = NULL, *dh = NULL, *dx = NULL;
    silr_status st;

    if (n == 0)
        return SILR_OK;
    if (!(dpooled = silr_alloc_aligned(n * dim, sizeof(float))) ||
        !(dh = silr_alloc_aligned(states * dim, sizeof(float))) ||
        !(dx = silr_alloc_aligned(t->rows * dim, sizeof(float)))) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = ops->product(true, false, columns, dim, n, 1, dscores, columns, t->pooled, dim,
                           t->grad + t->head, dim, true, err)) != SILR_OK ||
        (st = ops->product(false, false, n, dim, columns, 1, dscores, columns, t->params + t->head, dim,
                           dpooled, dim, false, err)) != SILR_OK)
        goto done;
    for (size_t i = 0; t->head_bias != SILR_NOWHERE && i < n; i++)
        ops->add(t->grad + t->head_bias, dscores + i * columns, columns);
    unpool(t, dpooled, dh);
    if (t->final.weight)
        silr_norm_back(t, &t->final, t->room.x, dim, states, dim, dh, dim, dx, dim);
    else
        memcpy(dx, dh, states * dim * sizeof *dx);
    st = silr_backward_layers(t, dx, err);
done:
    t->rows = t->texts = 0; /* what was kept is used up */
    silr_free(dpooled);
    silr_free(dh);
    silr_free(dx);
    return st;
}

size_t silr_tune_bytes(const silr_model_spec *s, const silr_tune_opts *o, size_t tokens)
{
    const size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const size_t in[] = {s->hidden, s->hidden, s->hidden, q, s->hidden, s->hidden, s->mlp};
    const size_t out[] = {q, kv, kv, s->hidden, s->mlp, s->mlp, s->hidden};
    const silr_part part[] = {SILR_PART_Q, SILR_PART_K, SILR_PART_V, SILR_PART_O, SILR_PART_GATE,
                              SILR_PART_UP, SILR_PART_DOWN};
    size_t n = o->columns * (s->hidden + 1), work;

    for (size_t i = 0; i < SILR_SLOTS; i++)
        n += s->layers * (o->matrices ? in[i] * out[i] : o->targets & 1u << part[i] ? o->lora.rank * (in[i] + out[i]) : 0);
    n += o->embeddings ? (s->vocab + (s->rope ? 0 : s->positions)) * s->hidden : 0;
    n += o->norms ? s->layers * 4 * s->hidden : 0;
    work = tokens * (2 * s->hidden + 2 * silr_qkv_width(s) + 2 * q + 2 * silr_mlp_width(s) + 2 * s->mlp + 6 * s->hidden);
    return (n * (o->train ? 4 : 1) + work) * sizeof(float);
}

size_t silr_tune_kept_bytes(const silr_model_spec *s, size_t tokens)
{
    return padded(tokens) * s->layers * (s->hidden + record(s)) * sizeof(float);
}
