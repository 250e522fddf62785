/* cpu_linear_back.c - dx = dy W, fast.
 *
 * The forward product wants W's rows interleaved, this one its columns. linear_ready_back makes such a
 * copy once (of a matrix that is kept fast), and the forward kernel multiplies by it. Without the copy
 * a tile makes floats of a block of W where the caches hold it, and many rows of dy pass by: row for
 * row is how this product wants W anyway. */
#include "engine/cpu_linear.h"
#include "engine/pool.h"
#include <string.h>

enum {
    ROWS = 192,              /* of dy pass by each block of W */
    RUN = 128,               /* rows of such a block */
    WIDE = SILR_VALUES_UNIT, /* its columns */
    TILES_A_THREAD = 4,      /* at least, as long as there are */
    FEW_ROWS = 48,           /* or more for each */
    PITCH = WIDE + 16        /* rows must not lie 1024 bytes apart, or the cache holds few of them */
};

/* --- the copy ------------------------------------------------------------------------------------ */

/* One panel of W^T, columns first .. of W, out of the panels of W: square by square, turned. */
static void pack_back(void *context, size_t tile, size_t thread)
{
    const silr_linear *w = context;
    size_t panel = w->kernels->panel, in = w->stack.in, out = w->stack.out, first = tile * panel;
    size_t columns = in - first < panel ? in - first : panel;
    float square[32 * 32];
    (void)thread;

    for (size_t o = 0; o < out; o += panel) {
        float *to = w->back + first * out + o * panel;
        bool whole = o + panel <= out;
        w->kernels->pack(w->packed + o * in + first * panel, columns, panel, whole ? to : square);
        if (!whole)
            memcpy(to, square, (out - o) * panel * sizeof *to);
    }
}

silr_status silr_cpu_linear_ready_back(silr_linear *w, silr_error *err)
{
    silr_status st;

    if (!w->packed || w->back)
        return SILR_OK;
    st = silr_linear_room(w, w->stack.out, w->stack.in, &w->back_block, &w->back, err);
    if (st == SILR_OK)
        silr_pool_run(pack_back, w, (w->stack.in + w->kernels->panel - 1) / w->kernels->panel);
    return st;
}

/* --- without it ---------------------------------------------------------------------------------- */

typedef struct {
    const silr_linear *w;
    const float *dy;
    float *dx, *scratch;
    size_t n, lddy, lddx, column_tiles, rows;
    bool add;
} unready;

/* Some rows of dy by WIDE columns of W, which come in runs of rows. */
static void multiply(void *context, size_t tile, size_t thread)
{
    const unready *u = context;
    const silr_stack *s = &u->w->stack;
    size_t row = tile / u->column_tiles * u->rows, at = tile % u->column_tiles * WIDE;
    float *block = u->scratch + thread * RUN * PITCH;
    silr_tile_multiply t = {.a = u->dy + row * u->lddy, .lda = u->lddy, .b = block, .ldb = PITCH,
                            .c = u->dx + row * u->lddx + at, .ldc = u->lddx, .near = true, .alpha = 1,
                            .columns = s->in - at < WIDE ? s->in - at : WIDE, .scratch = block};

    t.rows = u->n - row < u->rows ? u->n - row : u->rows;
    for (size_t o = 0; o < s->out; o += RUN, t.a += RUN) {
        t.k = s->out - o < RUN ? s->out - o : RUN;
        t.add = u->add || o > 0;
        silr_linear_values(u->w, o, t.k, at, t.columns, block, PITCH);
        u->w->kernels->multiply(&t);
    }
}

static silr_status without_copy(unready *u, silr_error *err)
{
    size_t tiles = (u->n + ROWS - 1) / ROWS;

    u->column_tiles = (u->w->stack.in + WIDE - 1) / WIDE;
    while (tiles * u->column_tiles < TILES_A_THREAD * silr_pool_threads() && u->n > FEW_ROWS * tiles)
        tiles *= 2;
    u->rows = tiles > 0 ? (u->n + tiles - 1) / tiles : 1;
    tiles = (u->n + u->rows - 1) / u->rows;
    if (!(u->scratch = silr_alloc_aligned(silr_pool_threads() * RUN * PITCH, sizeof *u->scratch)))
        return silr_fail_memory(err);
    silr_pool_run(multiply, u, tiles * u->column_tiles);
    silr_free(u->scratch);
    return SILR_OK;
}

silr_status silr_cpu_linear_back(const silr_linear *w, const float *dy, size_t n, size_t lddy, float *dx,
                                 size_t lddx, bool add, silr_error *err)
{
    unready u = {.w = w, .dy = dy, .n = n, .lddy = lddy, .dx = dx, .lddx = lddx, .add = add};

    if (!w->back)
        return without_copy(&u, err);
    silr_linear_run(w, w->back,
                    &(silr_tile_product){.x = dy, .y = dx, .rows = n, .columns = w->stack.in,
                                         .in = w->stack.out, .ldx = lddy, .ldy = lddx, .add = add});
    return SILR_OK;
}
