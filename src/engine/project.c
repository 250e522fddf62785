/* project.c - rows through a matrix of a layer, with what is trained of it, and back.
 *
 *     y = x W^T + bias                                   W frozen, in any format; or trained itself
 *     y_i += scale D A^T B^T,  D = dropout(x)            for each matrix i of the group with LoRA
 *
 * and with T = scale dy_i B, S = D A^T (computed again: rank columns are cheap to compute, D is not
 * worth keeping):
 *
 *     dB += scale dy_i^T S     dA += T^T D     dx += dropout'(T A) + dy W
 *     dW += dy^T x             dbias += the sum of dy's rows */
#include "engine/inside.h"

static silr_linear *frozen(const layer *y, silr_group g)
{
    silr_linear *const w[] = {y->qkv, y->out, y->up, y->down};

    return w[g];
}

/* Every matrix of every layer draws its own dropout. */
static uint64_t dropout_key(uint64_t key, size_t l, size_t slot)
{
    uint64_t z = key + (l * SILR_SLOTS + slot + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9); /* a bijection of 64 bits that leaves no pattern */
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool drops(const silr_pass *p)
{
    return p->number && p->tune->opts.dropout > 0;
}

/* S = D A^T of one matrix into r->low; *d, *ldd: D. */
static silr_status lower(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l, size_t i,
                         const float *x, size_t ldx, size_t n, const uint64_t *row, const float **d,
                         size_t *ldd, silr_error *err)
{
    const silr_tune *t = p->tune;
    const silr_slot *s = &t->slot[l * SILR_SLOTS + i];

    *d = x;
    *ldd = ldx;
    if (drops(p)) {
        e->ops->dropout(dropout_key(p->key, l, i), t->opts.dropout, row, x, ldx, n, s->in, r->drop,
                        s->in, false);
        *d = r->drop;
        *ldd = s->in;
    }
    return e->ops->product(false, true, n, s->lora.rank, s->in, 1, *d, *ldd, t->params + s->a, s->in,
                           r->low, s->lora.rank, false, err);
}

static silr_status adapt(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l, size_t i,
                         const float *x, size_t ldx, size_t n, const uint64_t *row, float *y,
                         size_t ldy, silr_error *err)
{
    const silr_tune *t = p->tune;
    const silr_slot *s = &t->slot[l * SILR_SLOTS + i];
    const float *d;
    size_t ldd;
    silr_status st = lower(e, r, p, l, i, x, ldx, n, row, &d, &ldd, err);

    if (st != SILR_OK)
        return st;
    return e->ops->product(false, true, n, s->out, s->lora.rank, (float)s->lora.scale, r->low,
                           s->lora.rank, t->params + s->b, s->lora.rank, y + s->at, ldy, true, err);
}

/* One trained matrix of its group. */
static silr_status whole(const silr_engine *e, const silr_tune *t, const silr_slot *s, const float *x,
                         size_t ldx, size_t n, float *y, size_t ldy, bool add, silr_error *err)
{
    silr_status st = e->ops->product(false, true, n, s->out, s->in, 1, x, ldx, t->params + s->w, s->in,
                                     y + s->at, ldy, add, err);

    for (size_t i = 0; st == SILR_OK && s->bias != SILR_NOWHERE && i < n; i++)
        e->ops->add(y + s->at + i * ldy, t->params + s->bias, s->out);
    return st;
}

silr_status silr_project(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                         silr_group g, const float *x, size_t ldx, size_t n, const uint64_t *row,
                         float *y, size_t ldy, bool add, silr_error *err)
{
    const silr_tune *t = p->tune;
    silr_status st = SILR_OK;

    if (!t || !t->opts.matrices)
        st = e->ops->linear(frozen(&e->layers[l], g), x, n, ldx, y, ldy, add, err);
    for (size_t i = 0; t && st == SILR_OK && i < SILR_SLOTS; i++) {
        const silr_slot *s = &t->slot[l * SILR_SLOTS + i];
        if (s->group != g || s->in == 0)
            continue;
        if (s->w != SILR_NOWHERE)
            st = whole(e, t, s, x, ldx, n, y, ldy, add, err);
        else if (s->lora.rank > 0)
            st = adapt(e, r, p, l, i, x, ldx, n, row, y, ldy, err);
    }
    return st;
}

/* --- back ---------------------------------------------------------------------------------------- */

static silr_status adapt_back(silr_tune *t, size_t l, size_t i, const float *x, size_t ldx, size_t n,
                              const uint64_t *row, const float *dy, size_t lddy, float *dx,
                              size_t lddx, silr_error *err)
{
    const silr_ops *ops = t->e->ops;
    const silr_slot *s = &t->slot[l * SILR_SLOTS + i];
    const size_t k = s->lora.rank;
    const float scale = (float)s->lora.scale, *d;
    silr_room *r = &t->room;
    size_t ldd;
    silr_status st;

    dy += s->at;
    if ((st = lower(t->e, r, &t->pass, l, i, x, ldx, n, row, &d, &ldd, err)) != SILR_OK ||
        (st = ops->product(true, false, s->out, k, n, scale, dy, lddy, r->low, k, t->grad + s->b, k,
                           true, err)) != SILR_OK ||
        (st = ops->product(false, false, n, k, s->out, scale, dy, lddy, t->params + s->b, k, r->low, k,
                           false, err)) != SILR_OK ||
        (st = ops->product(true, false, k, s->in, n, 1, r->low, k, d, ldd, t->grad + s->a, s->in, true,
                           err)) != SILR_OK ||
        !dx)
        return st;
    if (!drops(&t->pass))
        return ops->product(false, false, n, s->in, k, 1, r->low, k, t->params + s->a, s->in, dx, lddx,
                            true, err);
    if ((st = ops->product(false, false, n, s->in, k, 1, r->low, k, t->params + s->a, s->in, r->drop,
                           s->in, false, err)) == SILR_OK)
        ops->dropout(dropout_key(t->pass.key, l, i), t->opts.dropout, row, r->drop, s->in, n, s->in, dx,
                     lddx, true);
    return st;
}

static silr_status whole_back(silr_tune *t, const silr_slot *s, const float *x, size_t ldx, size_t n,
                              const float *dy, size_t lddy, float *dx, size_t lddx, bool add,
                              silr_error *err)
{
    const silr_ops *ops = t->e->ops;
    silr_status st = ops->product(true, false, s->out, s->in, n, 1, dy + s->at, lddy, x, ldx,
                                  t->grad + s->w, s->in, true, err);

    for (size_t i = 0; st == SILR_OK && s->bias != SILR_NOWHERE && i < n; i++)
        ops->add(t->grad + s->bias, dy + s->at + i * lddy, s->out);
    if (st != SILR_OK || !dx)
        return st;
    return ops->product(false, false, n, s->in, s->out, 1, dy + s->at, lddy, t->params + s->w, s->in,
                        dx, lddx, add, err);
}

silr_status silr_project_back(silr_tune *t, size_t l, silr_group g, const float *x, size_t ldx,
                              size_t n, const uint64_t *row, const float *dy, size_t lddy, float *dx,
                              size_t lddx, bool add, silr_error *err)
{
    silr_status st = SILR_OK;

    if (!t->opts.matrices && dx)
        st = t->e->ops->linear_back(frozen(&t->e->layers[l], g), dy, n, lddy, dx, lddx, add, err);
    for (size_t i = 0; st == SILR_OK && i < SILR_SLOTS; i++) {
        const silr_slot *s = &t->slot[l * SILR_SLOTS + i];
        if (s->group != g || s->in == 0)
            continue;
        if (s->w != SILR_NOWHERE) {
            st = whole_back(t, s, x, ldx, n, dy, lddy, dx, lddx, add, err);
            add = true; /* the rest of the group comes on top */
        } else if (s->lora.rank > 0) {
            st = adapt_back(t, l, i, x, ldx, n, row, dy, lddy, dx, lddx, err);
        }
    }
    return st;
}
