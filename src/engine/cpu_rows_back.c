/* cpu_rows_back.c - backward, the operations on rows, some rows a tile.
 *
 * Sums over the rows (of norms' weights, of embeddings) are cut by columns instead: each thread goes
 * through all rows of its own, in their order. */
#include "engine/cpu.h"
#include "engine/pool.h"

enum {
    TILE_VALUES = 1 << 14,
    TILE_COLUMNS = 64,
    AT_ONCE = 1024 /* rows whose factors wait on the stack until the sums over them are taken */
};

/* One call of any of them; each reads what it needs. */
typedef struct call call;
struct call {
    const silr_kernels *k;
    void (*part)(const call *c, size_t first, size_t n);
    size_t all, tile; /* rows, or columns; of a tile */
    const float *x, *w, *dy;
    float *dx, *dw, *db, *r, *mean;
    size_t ldx, lddy, lddx, n, dim;
    double number; /* epsilon, or rate */
    float scale;
    bool add;
    silr_activation act;
    uint64_t key;
    const uint64_t *row;
    const uint32_t *id;
};

static void some(void *context, size_t tile, size_t thread)
{
    const call *c = context;
    size_t first = tile * c->tile;
    (void)thread;

    c->part(c, first, c->all - first < c->tile ? c->all - first : c->tile);
}

static void run(call *c, void (*part)(const call *, size_t, size_t), size_t all, size_t tile)
{
    c->part = part;
    c->all = all;
    c->tile = tile;
    silr_pool_run(some, c, (all + tile - 1) / tile);
}

/* Rows, each of which has `values` to be worked upon. */
static size_t rows_of(size_t values)
{
    return TILE_VALUES / (values > 0 ? values : 1) + 1;
}

/* --- norms ------------------------------------------------------------------------------------- */

static void rms_rows(const call *c, size_t first, size_t n)
{
    c->k->rms_norm_back(c->x + first * c->ldx, c->ldx, c->w, c->scale, c->number, n, c->dim,
                        c->dy + first * c->lddy, c->lddy, c->dx + first * c->lddx, c->lddx,
                        c->r ? c->r + first : NULL);
}

static void layer_rows(const call *c, size_t first, size_t n)
{
    c->k->layer_norm_back(c->x + first * c->ldx, c->ldx, c->w, c->number, n, c->dim,
                          c->dy + first * c->lddy, c->lddy, c->dx + first * c->lddx, c->lddx,
                          c->r ? c->r + first : NULL, c->mean ? c->mean + first : NULL);
}

static void sum_columns(const call *c, size_t first, size_t columns)
{
    c->k->norm_sums(c->x + first, c->ldx, c->r, c->mean, c->n, columns, c->dy + first, c->lddy,
                    c->dw ? c->dw + first : NULL, c->db ? c->db + first : NULL);
}

/* `rows` makes dx; then come the sums, so many rows at a time that their factors are at hand. */
static void norm_back(call *c, void (*rows)(const call *, size_t, size_t), size_t n)
{
    float r[AT_ONCE], mean[AT_ONCE];
    bool sums = c->dw || c->db, layer = rows == layer_rows;
    size_t most = sums ? AT_ONCE : n;

    c->k = silr_kernels_now();
    c->r = sums ? r : NULL;
    c->mean = sums && layer ? mean : NULL;
    for (size_t first = 0; first < n; first += most) {
        c->n = n - first < most ? n - first : most;
        run(c, rows, c->n, rows_of(2 * c->dim));
        if (sums)
            run(c, sum_columns, c->dim, TILE_COLUMNS);
        c->x += c->n * c->ldx;
        c->dy += c->n * c->lddy;
        c->dx += c->n * c->lddx;
    }
    c->r = c->mean = NULL;
}

void silr_cpu_rms_norm_back(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                            size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                            float *dw)
{
    call c = {.x = x, .ldx = ldx, .w = w, .scale = plus, .number = epsilon, .dim = dim, .dy = dy,
              .lddy = lddy, .dx = dx, .lddx = lddx, .dw = dw};

    norm_back(&c, rms_rows, n);
}

void silr_cpu_layer_norm_back(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                              size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                              float *dw, float *db)
{
    call c = {.x = x, .ldx = ldx, .w = w, .number = epsilon, .dim = dim, .dy = dy, .lddy = lddy,
              .dx = dx, .lddx = lddx, .dw = dw, .db = db};

    norm_back(&c, layer_rows, n);
}

/* --- the rest ---------------------------------------------------------------------------------- */

static void activate_rows(const call *c, size_t first, size_t n)
{
    c->k->activate_back(c->act, c->x + first * c->ldx, c->w ? c->w + first * c->ldx : NULL, c->ldx, n,
                        c->dim, c->dy + first * c->lddy, c->lddy, c->dx + first * c->lddx,
                        c->w ? c->dw + first * c->lddx : NULL, c->lddx);
}

void silr_cpu_activate_back(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                            size_t dim, const float *dy, size_t lddy, float *dx, float *dup,
                            size_t lddx)
{
    call c = {.k = silr_kernels_now(), .act = act, .x = x, .w = up, .ldx = ldx, .dim = dim, .dy = dy,
              .lddy = lddy, .dx = dx, .dw = dup, .lddx = lddx};

    run(&c, activate_rows, n, rows_of(4 * dim)); /* an exp takes as long as several additions */
}

static void dropout_rows(const call *c, size_t first, size_t n)
{
    c->k->dropout(c->key, c->number, c->row + first, c->x + first * c->ldx, c->ldx, n, c->dim,
                  c->dx + first * c->lddx, c->lddx, c->add);
}

void silr_cpu_dropout(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx,
                      size_t n, size_t dim, float *y, size_t ldy, bool add)
{
    call c = {.k = silr_kernels_now(), .key = key, .number = rate, .row = row, .x = x, .ldx = ldx,
              .dim = dim, .dx = y, .lddx = ldy, .add = add};

    run(&c, dropout_rows, n, rows_of(2 * dim));
}

static void gather_columns(const call *c, size_t first, size_t columns)
{
    for (size_t i = 0; i < c->n; i++)
        c->k->add_scaled(c->dx + c->id[i] * c->dim + first, c->dy + i * c->dim + first, c->scale, columns);
}

void silr_cpu_gather_back(const uint32_t *id, size_t n, float scale, const float *dy, size_t dim,
                          float *dtable)
{
    call c = {.k = silr_kernels_now(), .id = id, .n = n, .scale = scale, .dy = dy, .dim = dim, .dx = dtable};

    run(&c, gather_columns, dim, TILE_COLUMNS);
}
