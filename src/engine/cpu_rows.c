/* cpu_rows.c - the operations on rows, some rows a tile. */
#include "engine/cpu.h"
#include "engine/ops_inside.h"
#include "engine/pool.h"

enum { TILE_VALUES = 1 << 14 };

/* One call of any of them; each reads what it needs. */
typedef struct call call;
struct call {
    const silr_kernels *k;
    void (*rows)(const call *c, size_t first, size_t n);
    size_t n, tile; /* rows, rows of a tile */
    const float *x, *w, *b;
    float *y;
    size_t ldx, ldy, dim, dims, heads;
    double epsilon;
    float number;
    bool interleaved;
    silr_activation act;
    const silr_tensor *table;
    const uint32_t *id;
};

static void some(void *context, size_t tile, size_t thread)
{
    const call *c = context;
    size_t first = tile * c->tile;
    (void)thread;

    c->rows(c, first, c->n - first < c->tile ? c->n - first : c->tile);
}

/* Runs c->rows over all n rows, each of which has `values` to be worked upon. */
static void run(call *c, size_t values)
{
    c->k = silr_kernels_now();
    c->tile = TILE_VALUES / (values > 0 ? values : 1) + 1;
    silr_pool_run(some, c, (c->n + c->tile - 1) / c->tile);
}

static void gather_rows(const call *c, size_t first, size_t n)
{
    size_t bytes = silr_row_bytes(c->table->type, c->dim);

    for (size_t i = first; i < first + n; i++) {
        float *out = c->y + i * c->dim;
        c->k->dequantise(c->table->type, (const char *)c->table->data + c->id[i] * bytes, c->dim, out);
        if (c->number != 1)
            c->k->scale(out, c->number, c->dim);
    }
}

void silr_cpu_gather(const silr_tensor *table, const uint32_t *id, size_t n, float scale, float *out)
{
    call c = {.rows = gather_rows, .n = n, .table = table, .id = id, .number = scale, .y = out,
              .dim = table->dim[1]};

    run(&c, c.dim);
}

static void rms_norm_rows(const call *c, size_t first, size_t n)
{
    c->k->rms_norm(c->x + first * c->ldx, c->ldx, c->w, c->number, c->epsilon, n, c->dim,
                   c->y + first * c->ldy, c->ldy);
}

void silr_cpu_rms_norm(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                       size_t n, size_t dim, float *y, size_t ldy)
{
    call c = {.rows = rms_norm_rows, .n = n, .x = x, .ldx = ldx, .w = w, .number = plus,
              .epsilon = epsilon, .dim = dim, .y = y, .ldy = ldy};

    run(&c, dim);
}

static void layer_norm_rows(const call *c, size_t first, size_t n)
{
    c->k->layer_norm(c->x + first * c->ldx, c->ldx, c->w, c->b, c->epsilon, n, c->dim,
                     c->y + first * c->ldy, c->ldy);
}

void silr_cpu_layer_norm(const float *x, size_t ldx, const float *w, const float *b, double epsilon,
                         size_t n, size_t dim, float *y, size_t ldy)
{
    call c = {.rows = layer_norm_rows, .n = n, .x = x, .ldx = ldx, .w = w, .b = b,
              .epsilon = epsilon, .dim = dim, .y = y, .ldy = ldy};

    run(&c, dim);
}

static void rope_rows(const call *c, size_t first, size_t n)
{
    c->k->rope(c->y + first * c->ldy, c->ldy, n, c->heads, c->dim, c->dims, c->id + first, c->x,
               c->interleaved);
}

void silr_cpu_rope(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                   const uint32_t *position, const float *table, bool interleaved)
{
    call c = {.rows = rope_rows, .n = n, .y = x, .ldy = ldx, .heads = heads, .dim = head_dim,
              .dims = dims, .id = position, .x = table, .interleaved = interleaved};

    run(&c, heads * dims);
}

static void activate_rows(const call *c, size_t first, size_t n)
{
    c->k->activate(c->act, c->x + first * c->ldx, c->w ? c->w + first * c->ldx : NULL, c->ldx, n,
                   c->dim, c->y + first * c->ldy, c->ldy);
}

void silr_cpu_activate(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                       size_t dim, float *y, size_t ldy)
{
    call c = {.rows = activate_rows, .n = n, .act = act, .x = x, .w = up, .ldx = ldx, .dim = dim,
              .y = y, .ldy = ldy};

    run(&c, 4 * dim); /* an exp takes as long as several additions */
}

static void add_rows(const call *c, size_t first, size_t n)
{
    c->k->add(c->y + first, c->x + first, n);
}

void silr_cpu_add(float *y, const float *x, size_t count)
{
    call c = {.rows = add_rows, .n = count, .x = x, .y = y};

    run(&c, 1);
}
