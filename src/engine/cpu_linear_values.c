/* cpu_linear_values.c - products with matrices whose rows must be made before they can be multiplied by.
 *
 * A tile makes the floats of some columns of y, a few rows of W at a time so that they stay in the
 * nearest cache, packs them as the kernel wants them, and lets all rows of x pass by. Making a value
 * takes as long as multiplying some fifteen rows by it: with the thousand that are in flight in
 * training it is next to nothing. The kernel and its order of sums are those of packed matrices, so the
 * results are, too. */
#include "engine/cpu_linear.h"
#include "engine/pool.h"

enum {
    VALUES = 96 * 1024, /* of a tile's panels: with some rows of x, what the second cache holds; the more, the
                           less often x is fetched */
    SPLIT = 256,        /* rows of x are divided among tiles only where each gets so many */
    PANEL_MOST = 32,    /* columns */
};

typedef struct {
    const silr_linear *w;
    silr_tile_product all;
    size_t rows, columns, column_tiles; /* of a tile */
    float *scratch;                     /* [threads][each]: panels, then values */
    size_t each;
} multiplication;

/* Columns `first` .. of y, in panels: [columns / panel][in][panel]. */
static void make_panels(const silr_linear *w, size_t first, size_t columns, float *values, float *out)
{
    const size_t panel = w->kernels->panel, in = w->stack.in;

    for (size_t c = 0; c < columns; c += panel, out += panel * in)
        for (size_t k = 0; k < in; k += SILR_VALUES_UNIT) {
            const size_t n = columns - c < panel ? columns - c : panel;
            const size_t run = in - k < SILR_VALUES_UNIT ? in - k : SILR_VALUES_UNIT;
            silr_linear_values(w, first + c, n, k, run, values, run);
            w->kernels->pack(values, n, run, out + k * panel);
        }
}

static void multiply(void *context, size_t tile, size_t thread)
{
    const multiplication *m = context;
    size_t row = tile / m->column_tiles * m->rows, column = tile % m->column_tiles * m->columns;
    float *panels = m->scratch + thread * m->each, *values = panels + m->columns * m->all.in;
    silr_tile_product t = m->all;

    t.bias = t.bias ? t.bias + column : NULL;
    t.columns = t.columns - column < m->columns ? t.columns - column : m->columns;
    make_panels(m->w, column, t.columns, values, panels);
    for (size_t r = row; r < row + m->rows && r < m->all.rows; r += SILR_TILE_ROWS) {
        const size_t end = row + m->rows < m->all.rows ? row + m->rows : m->all.rows;
        t.rows = end - r < SILR_TILE_ROWS ? end - r : SILR_TILE_ROWS;
        t.x = m->all.x + r * t.ldx;
        t.y = m->all.y + r * t.ldy + column;
        m->w->kernels->product(&t, panels);
    }
}

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Panels of about VALUES, rows not divided: then as many tiles as keep all threads busy, first by
 * dividing rows as far as that costs little, then by fewer columns. */
static void cut(multiplication *m, size_t threads)
{
    const size_t panel = m->w->kernels->panel, out = m->all.columns, n = m->all.rows;
    const size_t wanted = 4 * threads, most = n / SPLIT > 0 ? n / SPLIT : 1;
    size_t columns = VALUES / m->all.in + 1, row_tiles;

    m->columns = up_to(columns < out ? columns : out, panel);
    row_tiles = (wanted * m->columns + out - 1) / out;
    row_tiles = row_tiles < most ? row_tiles : most;
    row_tiles = row_tiles > 0 ? row_tiles : 1;
    columns = up_to(row_tiles * out / wanted + 1, panel);
    m->columns = columns < m->columns ? columns : m->columns;
    m->column_tiles = (out + m->columns - 1) / m->columns;
    m->rows = up_to((n + row_tiles - 1) / row_tiles, m->w->kernels->rows);
}

silr_status silr_linear_run_values(const silr_linear *w, const silr_tile_product *all, silr_error *err)
{
    const size_t threads = silr_pool_threads();
    multiplication m = {.w = w, .all = *all};

    SILR_ASSERT(w->kernels->panel <= PANEL_MOST);
    if (all->rows == 0)
        return SILR_OK;
    cut(&m, threads);
    m.each = m.columns * all->in + PANEL_MOST * SILR_VALUES_UNIT;
    if (!(m.scratch = silr_alloc_aligned(threads * m.each, sizeof *m.scratch)))
        return silr_fail_memory(err);
    silr_pool_run(multiply, &m, (all->rows + m.rows - 1) / m.rows * m.column_tiles);
    silr_free(m.scratch);
    return SILR_OK;
}
