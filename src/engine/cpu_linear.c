/* cpu_linear.c - products with matrices, fast.
 *
 * SILR_KEEP_FAST: the stack's rows as floats, interleaved in panels as the kernel wants them
 * (body_product.h), made once. SILR_KEEP_AS_FILED: nothing but where the rows lie; a tile makes
 * floats of its share as it needs them (body_filed.h). */
#include "engine/cpu.h"
#include "engine/ops_inside.h"
#include "engine/pool.h"

enum {
    TILE_ROWS = 96,      /* of x: runs of so many stay in the second cache */
    TILE_WORK = 1 << 20, /* multiply-adds, about */
    BOUND_ROWS = 8       /* fewer take as long as so many: fetching W is what takes the time */
};

struct silr_linear {
    silr_stack stack;
    const silr_kernels *kernels;
    float *block;  /* what was allocated */
    float *packed; /* [panels][in][panel], 64-byte aligned; NULL: as filed */
    bool whole;    /* packed is filled */
};

void silr_cpu_linear_free(silr_linear *w)
{
    if (!w)
        return;
    silr_stack_clear(&w->stack);
    silr_free(w->block);
    silr_free(w);
}

static size_t panels(const silr_linear *w)
{
    return (w->stack.out + w->kernels->panel - 1) / w->kernels->panel;
}

/* --- packing --------------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    float *scratch; /* [threads][panel][in] */
} packing;

/* Row `o` of the stack as floats: out of the file, or where that may be gone out of the panels. */
static void row_of(const silr_linear *w, size_t o, float *out)
{
    const silr_tensor *t = w->stack.weight;
    size_t bytes, panel = w->kernels->panel;

    if (w->whole) {
        const float *at = w->packed + o / panel * panel * w->stack.in + o % panel;
        for (size_t i = 0; i < w->stack.in; i++)
            out[i] = at[i * panel];
        return;
    }

    while (o >= t->dim[0])
        o -= t++->dim[0];
    bytes = silr_row_bytes(t->type, w->stack.in);
    w->kernels->dequantise(t->type, (const char *)t->data + o * bytes, w->stack.in, out);
}

static void pack_panel(void *context, size_t panel, size_t thread)
{
    const packing *p = context;
    const silr_linear *w = p->w;
    size_t in = w->stack.in, width = w->kernels->panel, first = panel * width, n;
    float *rows = p->scratch + thread * width * in;

    n = w->stack.out - first < width ? w->stack.out - first : width;
    for (size_t j = 0; j < n; j++)
        row_of(w, first + j, rows + j * in);
    w->kernels->pack(rows, n, in, w->packed + first * in);
}

static silr_status pack_all(silr_linear *w, silr_error *err)
{
    size_t in = w->stack.in, width = w->kernels->panel, count;
    packing p = {.w = w};
    float *at;

    if (!silr_mul(panels(w) * width, in, &count) || !silr_add(count, 16, &count) ||
        !(w->block = silr_alloc(count, sizeof *w->block)) ||
        !(p.scratch = silr_alloc(silr_pool_threads() * width, in * sizeof *p.scratch)))
        return silr_fail_memory(err);
    at = w->block; /* a vector that lies in two lines of the cache is read twice */
    while ((uintptr_t)at % 64 != 0)
        at++;
    w->packed = at;
    silr_pool_run(pack_panel, &p, panels(w));
    w->whole = true;
    silr_free(p.scratch);
    return SILR_OK;
}

silr_status silr_cpu_linear_new(silr_linear **out, const silr_tensor *const *weight,
                                const silr_tensor *const *bias, size_t n, silr_keep keep,
                                silr_error *err)
{
    silr_linear *w = silr_calloc(1, sizeof *w);
    silr_status st;

    *out = NULL;
    if (!w)
        return silr_fail_memory(err);
    w->kernels = silr_kernels_now();
    if ((st = silr_stack_init(&w->stack, weight, bias, n, err)) != SILR_OK)
        goto done;
    if (keep == SILR_KEEP_FAST && (st = pack_all(w, err)) != SILR_OK)
        goto done;
    *out = w;
    w = NULL;
done:
    silr_cpu_linear_free(w);
    return st;
}

size_t silr_cpu_linear_bytes(const silr_linear *w)
{
    const silr_stack *s = &w->stack;
    size_t bytes = sizeof *w + s->n * sizeof *s->weight;

    if (s->bias)
        bytes += s->out * sizeof *s->bias;
    if (w->packed)
        bytes += (panels(w) * w->kernels->panel * s->in + 16) * sizeof *w->packed;
    return bytes;
}

/* --- multiplying ----------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    silr_tile_product all;
    size_t rows, columns;   /* of a tile */
    size_t column_tiles;
} multiplication;

/* Those of the tile's columns that part `i` of the stack has: they begin at `from` of its rows. */
static void filed(const silr_linear *w, const silr_tile_product *t, size_t first)
{
    size_t start = 0; /* of the part */

    for (size_t i = 0; i < w->stack.n; i++) {
        const silr_tensor *part = &w->stack.weight[i];
        size_t end = start + part->dim[0];
        size_t from = first > start ? first : start;
        size_t to = first + t->columns < end ? first + t->columns : end;
        if (from < to) {
            silr_tile_product mine = *t;
            mine.y += from - first;
            mine.bias = t->bias ? t->bias + (from - first) : NULL;
            mine.columns = to - from;
            w->kernels->product_filed(&mine, part, from - start);
        }
        start = end;
    }
}

static void multiply(void *context, size_t tile, size_t thread)
{
    const multiplication *m = context;
    const silr_linear *w = m->w;
    size_t row = tile / m->column_tiles * m->rows, column = tile % m->column_tiles * m->columns;
    silr_tile_product t = m->all;
    (void)thread;

    t.x += row * t.ldx;
    t.y += row * t.ldy + column;
    t.bias = t.bias ? t.bias + column : NULL;
    t.rows = t.rows - row < m->rows ? t.rows - row : m->rows;
    t.columns = t.columns - column < m->columns ? t.columns - column : m->columns;
    if (w->packed)
        w->kernels->product(&t, w->packed + column * t.in);
    else
        filed(w, &t, column);
}

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

silr_status silr_cpu_linear(const silr_linear *w, const float *x, size_t n, size_t ldx, float *y,
                            size_t ldy, bool add, silr_error *err)
{
    const silr_stack *s = &w->stack;
    multiplication m = {.w = w,
                        .all = {.x = x, .y = y, .rows = n, .columns = s->out, .in = s->in,
                                .ldx = ldx, .ldy = ldy, .bias = s->bias, .add = add}};
    size_t row_tiles = (n + TILE_ROWS - 1) / TILE_ROWS, work;
    (void)err;

    if (n == 0)
        return SILR_OK;
    m.rows = up_to((n + row_tiles - 1) / row_tiles, w->kernels->rows);
    row_tiles = (n + m.rows - 1) / m.rows;
    work = (m.rows > BOUND_ROWS ? m.rows : BOUND_ROWS) * s->in;
    m.columns = up_to(TILE_WORK / work + 1, w->kernels->panel);
    m.column_tiles = (s->out + m.columns - 1) / m.columns;
    silr_pool_run(multiply, &m, row_tiles * m.column_tiles);
    return SILR_OK;
}

silr_status silr_cpu_linear_back(const silr_linear *w, const float *dy, size_t n, size_t lddy, float *dx,
                                 size_t lddx, bool add, silr_error *err)
{
    const silr_stack *s = &w->stack;
    size_t count;
    float *value;

    if (!silr_mul(s->out, s->in, &count) || !(value = silr_alloc(count, sizeof *value)))
        return silr_fail_memory(err);
    for (size_t o = 0; o < s->out; o++)
        row_of(w, o, value + o * s->in);
    silr_plain_product(false, false, n, s->in, s->out, 1, dy, lddy, value, s->in, dx, lddx, add, err);
    silr_free(value);
    return SILR_OK;
}

silr_status silr_cpu_linear_ready_back(silr_linear *w, silr_error *err)
{
    (void)w;
    (void)err;
    return SILR_OK;
}
