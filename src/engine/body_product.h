/* body_product.h - rows times a packed matrix. Part of body.h.
 *
 * W's rows, which are the columns of y, lie interleaved in panels: panel[k][j] = W[j][k], PANEL = 2
 * vectors wide. ROWS rows of x by one panel are ROWS x 2 vectors of sums that stay in registers
 * while k runs: for each k two loads of W and a broadcast of x for each row feed 2 ROWS
 * multiply-adds, and the loads hide behind those.
 *
 * Long rows are cut into runs of k of at most RUN, so that a panel's run stays in the nearest cache
 * while all rows of the tile pass by; the sums of the second and later runs are added to y. Where
 * the cuts lie depends on `in` alone, hence so does the order of every sum. */

#ifndef RUN
#define RUN 400
#endif


TARGET static void pack(const float *w, size_t columns, size_t in, float *out)
{
    turn_panel(w, in, columns, in, out);
}

/* c[rows][2 vectors] = a[rows][n] b[n][PANEL]; `rows` is a constant where this is used. */
INLINE void sums(size_t rows, const float *a, size_t lda, const float *b, size_t ldb, size_t n,
                 vec c[ROWS][2])
{
    for (size_t r = 0; r < rows; r++)
        c[r][0] = c[r][1] = SET1(0.0F);
    for (size_t k = 0; k < n; k++, b += ldb) {
        vec b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            vec x = SET1(a[r * lda + k]);
            c[r][0] = FMA(x, b0, c[r][0]);
            c[r][1] = FMA(x, b1, c[r][1]);
        }
    }
}

/* Where the sums go: y = by * sums, + bias, + y, as wanted; the last panel may have fewer columns. */
typedef struct {
    float *y;
    size_t ldy, columns;
    const float *bias;
    float by; /* 0: as they are */
    bool add;
} silr_into;

INLINE void put(vec sum, const silr_into *o, size_t row, size_t at)
{
    float *y = o->y + row * o->ldy + at;
    size_t n;

    if (at >= o->columns)
        return;
    n = o->columns - at;
    if (o->bias)
        sum += load_most(o->bias + at, n, 0.0F);
    if (o->add)
        sum = load_most(y, n, 0.0F) + sum;
    store_most(y, n, sum);
}

INLINE void put_rows(size_t rows, vec c[ROWS][2], const silr_into *o)
{
    if (o->by != 0)
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            c[r][0] *= SET1(o->by);
            c[r][1] *= SET1(o->by);
        }
    if (o->bias || o->columns < PANEL)
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            put(c[r][0], o, r, 0);
            put(c[r][1], o, r, LANES);
        }
    else
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            float *y = o->y + r * o->ldy;
            if (o->add) {
                c[r][0] = load(y) + c[r][0];
                c[r][1] = load(y + LANES) + c[r][1];
            }
            store(y, c[r][0]);
            store(y + LANES, c[r][1]);
        }
}

INLINE void some_rows(size_t rows, const float *a, size_t lda, const float *b, size_t ldb, size_t n,
                      const silr_into *o)
{
    vec c[ROWS][2];

    sums(rows, a, lda, b, ldb, n, c);
    put_rows(rows, c, o);
}

TARGET static void full_rows(const float *a, size_t lda, const float *b, size_t ldb, size_t n,
                             const silr_into *o)
{
    some_rows(ROWS, a, lda, b, ldb, n, o);
}

TARGET static void few_rows(size_t rows, const float *a, size_t lda, const float *b, size_t ldb,
                            size_t n, const silr_into *o)
{
    switch (rows) {
    case 1: some_rows(1, a, lda, b, ldb, n, o); break;
    case 2: some_rows(2, a, lda, b, ldb, n, o); break;
    case 3: some_rows(3, a, lda, b, ldb, n, o); break;
    case 4: some_rows(4, a, lda, b, ldb, n, o); break;
    case 5: some_rows(5, a, lda, b, ldb, n, o); break;
#if ROWS > 6
    case 6: some_rows(6, a, lda, b, ldb, n, o); break;
    case 7: some_rows(7, a, lda, b, ldb, n, o); break;
#endif
    }
}

/* All rows by one panel. */
INLINE void rows_by_panel(size_t rows, const float *a, size_t lda, const float *b, size_t ldb,
                          size_t n, silr_into o)
{
    size_t r = 0;

    for (; r + ROWS <= rows; r += ROWS, o.y += ROWS * o.ldy)
        full_rows(a + r * lda, lda, b, ldb, n, &o);
    if (r < rows)
        few_rows(rows - r, a + r * lda, lda, b, ldb, n, &o);
}

TARGET static void product(const silr_tile_product *t, const float *packed)
{
    size_t runs = (t->in + RUN - 1) / RUN, run = (t->in + runs - 1) / runs;

    for (size_t k = 0; k < t->in; k += run) {
        size_t n = t->in - k < run ? t->in - k : run;
        for (size_t c = 0; c < t->columns; c += PANEL)
            rows_by_panel(t->rows, t->x + k, t->ldx, packed + c * t->in + k * PANEL, PANEL, n,
                          (silr_into){.y = t->y + c,
                                      .ldy = t->ldy,
                                      .columns = t->columns - c,
                                      .bias = k == 0 && t->bias ? t->bias + c : NULL,
                                      .add = t->add || k > 0});
    }
}
