/* cpu_product.c - products of matrices that training changes, a tile of C at a time.
 *
 * A tile has all of k: threads share out C, never a sum, so that how many there are changes no bit. */
#include "engine/cpu.h"
#include "engine/pool.h"
#include <string.h>

enum {
    TILE_ROWS = 192,     /* of A: runs of so many stay in the second cache; B comes by once for each */
    TILE_COLUMNS = 1024, /* at most: a turned A comes by once for each */
    TILE_WORK = 1 << 19, /* multiply-adds at least, where C is narrow */
    TILES_A_THREAD = 4,  /* that no thread may wait for long for another's last one: */
    CUT_WORK = 1 << 23   /* but none smaller, for narrow pieces of long rows are slow to fetch */
};

typedef struct {
    const silr_kernels *kernels;
    silr_tile_multiply all;
    size_t rows, columns, column_tiles; /* rows and columns of a tile */
    size_t each;                        /* floats of scratch a thread */
} multiplication;

static void multiply(void *context, size_t tile, size_t thread)
{
    const multiplication *m = context;
    size_t row = tile / m->column_tiles * m->rows, column = tile % m->column_tiles * m->columns;
    silr_tile_multiply t = m->all;

    t.a += t.turn_a ? row : row * t.lda;
    t.b += t.turn_b ? column * t.ldb : column;
    t.c += row * t.ldc + column;
    t.rows = t.rows - row < m->rows ? t.rows - row : m->rows;
    t.columns = t.columns - column < m->columns ? t.columns - column : m->columns;
    t.scratch += thread * m->each;
    m->kernels->multiply(&t);
}

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static size_t tiles(const multiplication *m)
{
    return (m->all.rows + m->rows - 1) / m->rows * ((m->all.columns + m->columns - 1) / m->columns);
}

/* Tiles that keep much in the caches, cut smaller until there are some for every thread. */
static void cut(multiplication *m)
{
    size_t panel = m->kernels->panel, unit = 2 * m->kernels->rows;
    size_t enough = TILES_A_THREAD * silr_pool_threads(), row = m->all.columns * m->all.k;
    double work = (double)row * (double)m->all.rows / CUT_WORK;

    enough = work < (double)enough ? (size_t)work + 1 : enough;
    m->columns = m->all.columns < TILE_COLUMNS ? up_to(m->all.columns, panel) : TILE_COLUMNS;
    m->rows = TILE_ROWS;
    if (m->all.columns <= panel && TILE_WORK / (row + 1) > m->rows)
        m->rows = TILE_WORK / (row + 1);
    m->rows = up_to(m->all.rows < m->rows ? m->all.rows : m->rows, unit);
    while (tiles(m) < enough && m->columns > 2 * panel)
        m->columns = up_to(m->columns / 2, panel);
    while (tiles(m) < enough && m->rows > 2 * unit)
        m->rows = up_to(m->rows / 2, unit);
    m->column_tiles = (m->all.columns + m->columns - 1) / m->columns;
}

/* C = 0, or as it was. */
static void nothing(const silr_tile_multiply *t)
{
    for (size_t i = 0; !t->add && i < t->rows; i++)
        memset(t->c + i * t->ldc, 0, t->columns * sizeof *t->c);
}

silr_status silr_cpu_product(bool turn_a, bool turn_b, size_t m, size_t n, size_t k, float alpha,
                             const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc,
                             bool add, silr_error *err)
{
    multiplication p = {.kernels = silr_kernels_now(),
                        .all = {.a = a, .b = b, .c = c, .rows = m, .columns = n, .k = k, .lda = lda,
                                .ldb = ldb, .ldc = ldc, .turn_a = turn_a, .turn_b = turn_b, .add = add,
                                .alpha = alpha}};
    silr_tile_multiply tile = p.all;

    if (m == 0 || n == 0 || k == 0) {
        nothing(&p.all);
        return SILR_OK;
    }
    cut(&p);
    tile.rows = p.rows;
    tile.columns = p.columns;
    p.each = up_to(p.kernels->multiply_scratch(&tile), 16);
    if (!(p.all.scratch = silr_alloc_aligned(silr_pool_threads() * p.each, sizeof *p.all.scratch)))
        return silr_fail_memory(err);
    silr_pool_run(multiply, &p, tiles(&p));
    silr_free(p.all.scratch);
    return SILR_OK;
}
