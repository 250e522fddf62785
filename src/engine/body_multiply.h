/* body_multiply.h - products of two matrices that both change. Part of body.h.
 *
 * The loops are those of body_product.h; but B comes as it lies, and a panel of it is laid out where
 * that pays: when it must be turned, when its rows are not whole vectors, or when enough rows of A
 * pass by. A that is given turned is read where it lies: ROWS values of one k are neighbours there.
 * Where many panels pass by them, they are first put behind one another, k by k.
 *
 * Columns that fit one vector (the factors of LoRA) have kernels of one vector and twice the rows.
 *
 * None of that changes a bit: a value of C is the sum over k from first to last within each run of
 * k, times alpha; the runs are added one by one, and where they lie depends on k alone. */

enum { NARROW_ROWS = 2 * ROWS };

#ifndef COPY_ROWS
#define COPY_ROWS 32 /* fewer rows of A do not repay copying a panel of B */
#endif

/* c[rows][2 vectors]: a's value of row r and k lies at a[k * lda + r]. */
INLINE void turned_sums(size_t rows, const float *a, size_t lda, const float *b, size_t ldb, size_t n,
                        vec c[ROWS][2])
{
    for (size_t r = 0; r < rows; r++)
        c[r][0] = c[r][1] = SET1(0.0F);
    for (size_t k = 0; k < n; k++, a += lda, b += ldb) {
        vec b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            vec x = SET1(a[r]);
            c[r][0] = FMA(x, b0, c[r][0]);
            c[r][1] = FMA(x, b1, c[r][1]);
        }
    }
}

INLINE void turned_some(size_t rows, const float *a, size_t lda, const float *b, size_t ldb, size_t n,
                        const silr_into *o)
{
    vec c[ROWS][2];

    turned_sums(rows, a, lda, b, ldb, n, c);
    put_rows(rows, c, o);
}

/* How many of `left` rows come next: 8 are 4 and 4 rather than 6 and 2, which would wait for sums. */
INLINE size_t next_rows(size_t left)
{
    if (left >= ROWS && !(ROWS < 8 && left == 8))
        return ROWS;
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

TARGET static void turned_rows(size_t rows, const float *a, size_t lda, const float *b, size_t ldb,
                               size_t n, const silr_into *o)
{
    switch (rows) {
    case ROWS: turned_some(ROWS, a, lda, b, ldb, n, o); break;
    case 4: turned_some(4, a, lda, b, ldb, n, o); break;
    case 2: turned_some(2, a, lda, b, ldb, n, o); break;
    default: turned_some(1, a, lda, b, ldb, n, o); break;
    }
}

/* All rows by one panel, A turned; grouped: as `group` has laid it out. */
INLINE void turned_by_panel(size_t rows, const float *a, size_t lda, bool grouped, const float *b,
                            size_t ldb, size_t n, silr_into o)
{
    for (size_t r = 0, some; r < rows; r += some, o.y += some * o.ldy) {
        some = next_rows(rows - r);
        turned_rows(some, grouped ? a + r * n : a + r, grouped ? some : lda, b, ldb, n, &o);
    }
}

INLINE void copy_group(size_t rows, const float *a, size_t lda, size_t n, float *out)
{
    for (size_t k = 0; k < n; k++)
        memcpy(out + k * rows, a + k * lda, rows * sizeof *out);
}

/* The rows that are multiplied at once become [n][rows], one such group behind the other. */
TARGET static void group(size_t rows, const float *a, size_t lda, size_t n, float *out)
{
    for (size_t r = 0, some; r < rows; r += some) {
        some = next_rows(rows - r);
        if (some == ROWS)
            copy_group(ROWS, a + r, lda, n, out + r * n);
        else
            copy_group(some, a + r, lda, n, out + r * n);
    }
}

/* --- one vector wide ---------------------------------------------------------------------------- */

/* Row r's value of k lies at a[r * row + k * step], one of the two being 1. */
INLINE void narrow_some(size_t rows, const float *a, size_t row, size_t step, const float *b, size_t ldb,
                        size_t n, const silr_into *o)
{
    vec c[NARROW_ROWS];

    for (size_t r = 0; r < rows; r++)
        c[r] = SET1(0.0F);
    for (size_t k = 0; k < n; k++, b += ldb) {
        vec b0 = load(b);
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++)
            c[r] = FMA(SET1(a[r * row + k * step]), b0, c[r]);
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
        if (o->by != 0)
            c[r] *= SET1(o->by);
        put(c[r], o, r, 0);
    }
}

TARGET static void narrow_straight(size_t rows, const float *a, size_t lda, const float *b, size_t ldb,
                                   size_t n, silr_into o)
{
    size_t r = 0;

    for (; r + NARROW_ROWS <= rows; r += NARROW_ROWS, o.y += NARROW_ROWS * o.ldy)
        narrow_some(NARROW_ROWS, a + r * lda, lda, 1, b, ldb, n, &o);
    for (; r + 4 <= rows; r += 4, o.y += 4 * o.ldy)
        narrow_some(4, a + r * lda, lda, 1, b, ldb, n, &o);
    for (; r < rows; r++, o.y += o.ldy)
        narrow_some(1, a + r * lda, lda, 1, b, ldb, n, &o);
}

TARGET static void narrow_turned(size_t rows, const float *a, size_t lda, const float *b, size_t ldb,
                                 size_t n, silr_into o)
{
    size_t r = 0;

    for (; r + NARROW_ROWS <= rows; r += NARROW_ROWS, o.y += NARROW_ROWS * o.ldy)
        narrow_some(NARROW_ROWS, a + r, 1, lda, b, ldb, n, &o);
    for (; r + 4 <= rows; r += 4, o.y += 4 * o.ldy)
        narrow_some(4, a + r, 1, lda, b, ldb, n, &o);
    for (; r < rows; r++, o.y += o.ldy)
        narrow_some(1, a + r, 1, lda, b, ldb, n, &o);
}

/* --- a tile ------------------------------------------------------------------------------------- */

/* out[n][PANEL] = n rows of b, zeros behind `columns`. */
INLINE void copy_panel(const float *b, size_t ldb, size_t columns, size_t n, float *out)
{
    for (size_t k = 0; k < n; k++, b += ldb, out += PANEL) {
        store(out, load_most(b, columns, 0.0F));
        store(out + LANES, columns > LANES ? load_most(b + LANES, columns - LANES, 0.0F) : SET1(0.0F));
    }
}

/* Does A come in groups? */
INLINE bool grouped(const silr_tile_multiply *t)
{
    return t->turn_a && t->columns > 2 * PANEL;
}

/* B from k on, n long, from column c on: where it lies, or laid out in room[n][PANEL]. */
INLINE const float *panel_of(const silr_tile_multiply *t, size_t k, size_t n, size_t c, float *room,
                             size_t *ld)
{
    size_t columns = t->columns - c < PANEL ? t->columns - c : PANEL;
    bool whole = columns == PANEL || (columns == LANES && !grouped(t));
    const float *b = t->turn_b ? t->b + c * t->ldb + k : t->b + k * t->ldb + c;

    *ld = t->turn_b ? PANEL : t->ldb;
    if (t->turn_b) {
        turn_panel(b, t->ldb, columns, n, room);
        return room;
    }
    if (t->near || (whole && t->rows < COPY_ROWS))
        return b;
    copy_panel(b, t->ldb, columns, n, room);
    *ld = PANEL;
    return room;
}

TARGET static size_t multiply_scratch(const silr_tile_multiply *t)
{
    return RUN * PANEL + (grouped(t) ? t->rows * RUN : 0);
}

TARGET static void multiply(const silr_tile_multiply *t)
{
    size_t runs = (t->k + RUN - 1) / RUN, run = runs > 0 ? (t->k + runs - 1) / runs : 0;
    float *room = t->scratch, *groups = room + RUN * PANEL;

    for (size_t k = 0; k < t->k; k += run) {
        size_t n = t->k - k < run ? t->k - k : run, lda = t->lda, ldb;
        const float *a = t->turn_a ? t->a + k * lda : t->a + k;
        if (grouped(t)) {
            group(t->rows, a, lda, n, groups);
            a = groups;
        }
        for (size_t c = 0; c < t->columns; c += PANEL) {
            const float *b = panel_of(t, k, n, c, room, &ldb);
            silr_into o = {.y = t->c + c, .ldy = t->ldc, .columns = t->columns - c,
                           .by = t->alpha == 1 ? 0 : t->alpha, .add = t->add || k > 0};
            if (o.columns <= LANES && !grouped(t))
                (t->turn_a ? narrow_turned : narrow_straight)(t->rows, a, lda, b, ldb, n, o);
            else if (t->turn_a)
                turned_by_panel(t->rows, a, lda, grouped(t), b, ldb, n, o);
            else
                rows_by_panel(t->rows, a, lda, b, ldb, n, o);
        }
    }
}
