/* cpu_linear.c - products with matrices, fast.
 *
 * SILR_KEEP_FAST: the stack's rows as floats, interleaved in panels as the kernel wants them
 * (body_product.h), made once. SILR_KEEP_AS_FILED: nothing but where the rows lie; a tile makes
 * floats of its share as it needs them (body_filed.h). */
#include "engine/cpu_linear.h"
#include "engine/pool.h"
#include <string.h>

enum {
    TILE_ROWS = 96,      /* of x: runs of so many stay in the second cache */
    TILE_WORK = 1 << 20, /* multiply-adds, about */
    BOUND_ROWS = 8       /* fewer take as long as so many: fetching W is what takes the time */
};

void silr_cpu_linear_free(silr_linear *w)
{
    if (!w)
        return;
    silr_stack_clear(&w->stack);
    silr_free(w->block);
    silr_free(w->back_block);
    silr_free(w);
}

static size_t panels(const silr_linear *w, size_t columns)
{
    return (columns + w->kernels->panel - 1) / w->kernels->panel;
}

/* --- packing --------------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    float *scratch; /* [threads][panel][in] */
} packing;

/* Rows out of the panels, by squares: the panels hold column i of `panel` rows side by side. */
static void unpack(const silr_linear *w, size_t first, size_t n, size_t at, size_t columns, float *out,
                   size_t ld)
{
    size_t panel = w->kernels->panel;
    float square[32 * 32];

    for (size_t o = first / panel * panel; o < first + n; o += panel)
        for (size_t i = 0; i < columns; i += panel) {
            size_t some = columns - i < panel ? columns - i : panel;
            w->kernels->pack(w->packed + o * w->stack.in + (at + i) * panel, some, panel, square);
            for (size_t r = o < first ? first : o; r < o + panel && r < first + n; r++)
                memcpy(out + (r - first) * ld + i, square + (r - o) * panel, some * sizeof *out);
        }
}

/* Row o as the file has it, which for a packed matrix may be gone. */
static void filed_row(const silr_linear *w, size_t o, size_t at, size_t columns, float *out)
{
    const silr_tensor *t = w->stack.weight;
    const char *row;

    while (o >= t->dim[0])
        o -= t++->dim[0];
    row = (const char *)t->data + o * silr_row_bytes(t->type, w->stack.in);
    w->kernels->dequantise(t->type, row + silr_row_bytes(t->type, at), columns, out);
}

void silr_linear_values(const silr_linear *w, size_t first, size_t n, size_t at, size_t columns,
                        float *out, size_t ld)
{
    if (w->packed)
        unpack(w, first, n, at, columns, out, ld);
    else
        for (size_t o = 0; o < n; o++)
            filed_row(w, first + o, at, columns, out + o * ld);
}

static void pack_panel(void *context, size_t panel, size_t thread)
{
    const packing *p = context;
    const silr_linear *w = p->w;
    size_t in = w->stack.in, width = w->kernels->panel, first = panel * width, n;
    float *rows = p->scratch + thread * width * in;

    n = w->stack.out - first < width ? w->stack.out - first : width;
    for (size_t j = 0; j < n; j++)
        filed_row(w, first + j, 0, in, rows + j * in);
    w->kernels->pack(rows, n, in, w->packed + first * in);
}

enum { ALIGN = 16 }; /* floats: a vector that lies in two lines of the cache is read twice */

size_t silr_linear_room_bytes(const silr_linear *w, size_t rows, size_t columns)
{
    return (panels(w, columns) * w->kernels->panel * rows + ALIGN) * sizeof(float);
}

silr_status silr_linear_room(const silr_linear *w, size_t rows, size_t columns, float **block, float **at,
                             silr_error *err)
{
    size_t count;

    if (!silr_mul(panels(w, columns) * w->kernels->panel, rows, &count) ||
        !silr_add(count, ALIGN, &count) || !(*block = silr_alloc(count, sizeof **block)))
        return silr_fail_memory(err);
    *at = *block;
    while ((uintptr_t)*at % 64 != 0)
        ++*at;
    return SILR_OK;
}

static silr_status pack_all(silr_linear *w, silr_error *err)
{
    packing p = {.w = w};
    silr_status st;

    if ((st = silr_linear_room(w, w->stack.in, w->stack.out, &w->block, &w->packed, err)) != SILR_OK)
        return st;
    if (!(p.scratch = silr_alloc(silr_pool_threads() * w->kernels->panel, w->stack.in * sizeof *p.scratch)))
        return silr_fail_memory(err);
    silr_pool_run(pack_panel, &p, panels(w, w->stack.out));
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
        bytes += silr_linear_room_bytes(w, s->in, s->out);
    if (w->back)
        bytes += silr_linear_room_bytes(w, s->out, s->in);
    return bytes;
}

/* --- multiplying ----------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    const float *packed; /* NULL: as filed */
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
    if (m->packed)
        w->kernels->product(&t, m->packed + column * t.in);
    else
        filed(w, &t, column);
}

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

void silr_linear_run(const silr_linear *w, const float *packed, const silr_tile_product *all)
{
    multiplication m = {.w = w, .packed = packed, .all = *all};
    size_t n = all->rows, row_tiles = (n + TILE_ROWS - 1) / TILE_ROWS, work;

    if (n == 0)
        return;
    m.rows = up_to((n + row_tiles - 1) / row_tiles, w->kernels->rows);
    row_tiles = (n + m.rows - 1) / m.rows;
    work = (m.rows > BOUND_ROWS ? m.rows : BOUND_ROWS) * all->in;
    m.columns = up_to(TILE_WORK / work + 1, w->kernels->panel);
    m.column_tiles = (all->columns + m.columns - 1) / m.columns;
    silr_pool_run(multiply, &m, row_tiles * m.column_tiles);
}

silr_status silr_cpu_linear(const silr_linear *w, const float *x, size_t n, size_t ldx, float *y,
                            size_t ldy, bool add, silr_error *err)
{
    const silr_stack *s = &w->stack;
    (void)err;

    silr_linear_run(w, w->packed,
                    &(silr_tile_product){.x = x, .y = y, .rows = n, .columns = s->out, .in = s->in,
                                         .ldx = ldx, .ldy = ldy, .bias = s->bias, .add = add});
    return SILR_OK;
}
