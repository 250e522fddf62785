/* body_attention_back.h - attention backward. Part of body.h; plain_attention.c has the formulas.
 *
 * A tile is one text and one head of keys with all the heads that share it, so that dk and dv are
 * summed by one thread in one order. Its rows (queries times those heads) come some at a time, with
 * all the keys that they see. Probabilities are made anew from q and k, which is quicker than
 * keeping them; with P and dS of those rows at hand, [rows][keys],
 *
 *     S = Q K^T      P = softmax(S)      dP = dO V^T      dS = P (dP - D)
 *     dQ = dS K      dK += dS^T Q        dV += P^T dO
 *
 * are five products: three of rows as forward, two of turned ones. K and V are turned once a tile for
 * the first two. Q holds the scale already; that of dQ is multiplied in at its end. Where causal
 * texts have zeros, whole groups of rows or keys are left out, which changes no bit. */

typedef struct {
    silr_tile_attention t; /* the rows at hand: first, rows */
    const silr_attention_back *back;
    size_t most;           /* rows at once */
    size_t pitch;          /* between rows of head_dim values, filled up with zeros to whole panels */
    size_t keys, ld;       /* filled up; between rows of so many */
    size_t from, to;       /* the keys that the rows see lie between these, whole panels */
    float *kt, *vt;        /* panels [head_dim][PANEL] of the keys and values */
    float *k;              /* [keys][pitch] */
    float *q, *dout, *dq;  /* [most][pitch] */
    float *p, *ds, *bend;  /* [most][ld]; bend: 1 - (s / cap)^2 */
} silr_back;

enum { KEYS_AT_ONCE = 4 * ROWS };

INLINE silr_back lay_out_back(const silr_tile_attention_back *t, size_t *floats)
{
    silr_back f = {.t = {.a = t->a, .s = t->s, .text = t->text, .kv_head = t->kv_head}, .back = t->back};
    size_t dim = t->a->head_dim, at = 0;

    f.keys = filled_up(t->text->n_own);
    f.most = f.keys <= 1024 ? 48 : 24;
    f.pitch = filled_up(dim) + PANEL; /* for wide heads, rows must not lie a power of 2 apart */
    f.ld = f.keys + PANEL;
    const struct {
        float **part;
        size_t size;
    } part[] = {{&f.kt, f.keys * dim}, {&f.vt, f.keys * dim}, {&f.k, f.keys * f.pitch},
                {&f.q, f.most * f.pitch}, {&f.dout, f.most * f.pitch}, {&f.dq, f.most * f.pitch},
                {&f.p, f.most * f.ld}, {&f.ds, f.most * f.ld}, {&f.bend, t->a->cap > 0 ? f.most * f.ld : 0}};
    for (size_t i = 0; i < sizeof part / sizeof *part; at += filled_up(part[i++].size))
        *part[i].part = t->scratch ? t->scratch + at : NULL;
    *floats = at;
    return f;
}

TARGET static size_t attention_back_scratch(const silr_tile_attention_back *t)
{
    silr_tile_attention_back none = *t;
    size_t floats;

    none.scratch = NULL;
    lay_out_back(&none, &floats);
    return floats;
}

/* out[0 .. pitch - 1] = dim values times `by`, then zeros. */
INLINE void take_row(const float *from, float by, size_t dim, size_t pitch, float *out)
{
    for (size_t d = 0; d < dim; d += LANES)
        store(out + d, load_most(from + d, dim - d, 0.0F) * SET1(by));
    for (size_t d = dim; d < pitch; d++)
        out[d] = 0;
}

INLINE void take_keys(const silr_back *f)
{
    const silr_attention_text *text = f->t.text;
    size_t dim = f->t.a->head_dim, ld = f->t.s->kv, head = f->t.kv_head * dim, n = text->n_own;

    for (size_t j = 0; j < n; j += PANEL) {
        size_t some = n - j < PANEL ? n - j : PANEL;
        turn_panel(text->k + j * ld + head, ld, some, dim, f->kt + j * dim);
        turn_panel(text->v + j * ld + head, ld, some, dim, f->vt + j * dim);
    }
    for (size_t j = 0; j < n; j++)
        take_row(text->k + j * ld + head, 1, dim, f->pitch, f->k + j * f->pitch);
    memset(f->k + n * f->pitch, 0, (f->keys - n) * f->pitch * sizeof *f->k);
}

INLINE size_t position_of(const silr_back *f, size_t r)
{
    const silr_attention *a = f->t.a;

    return f->t.text->n_own - f->t.text->n + (f->t.first + r) / (a->heads / a->kv_heads);
}

/* The first of the rows at hand that may see key j or one behind it. */
INLINE size_t first_row(const silr_back *f, size_t j)
{
    size_t group = f->t.a->heads / f->t.a->kv_heads, position = position_of(f, 0);

    if (!f->t.a->causal || j <= position)
        return 0;
    return (j - position) * group - f->t.first % group;
}

INLINE void take_rows(silr_back *f, size_t first, size_t rows)
{
    const silr_attention *a = f->t.a;
    size_t ignored;

    f->t.first = first;
    f->t.rows = rows;
    for (size_t r = 0; r < rows; r++) {
        take_row(f->t.text->q + row_at(&f->t, r, f->t.s->q), (float)a->scale, a->head_dim, f->pitch,
                 f->q + r * f->pitch);
        take_row(f->back->dout + row_at(&f->t, r, f->t.s->out), 1, a->head_dim, f->pitch,
                 f->dout + r * f->pitch);
    }
    seen(a, position_of(f, 0), f->t.text->n_own, &f->from, &ignored);
    seen(a, position_of(f, rows - 1), f->t.text->n_own, &ignored, &f->to);
    f->from = f->from / PANEL * PANEL;
    f->to = filled_up(f->to);
}

/* out[rows][keys] = rows[rows][head_dim] times the turned panels, where a row sees any key of one. */
INLINE void by_keys(const silr_back *f, const float *rows, const float *turned, float *out)
{
    size_t dim = f->t.a->head_dim;

    for (size_t j = f->from; j < f->to; j += PANEL) {
        size_t r = first_row(f, j) / ROWS * ROWS;
        rows_by_panel(f->t.rows - r, rows + r * f->pitch, f->pitch, turned + j * dim, PANEL, dim,
                      (silr_into){.y = out + r * f->ld + j, .ldy = f->ld, .columns = PANEL});
    }
}

/* s[n] of one row becomes p[n]. */
INLINE void softmax(float *s, size_t n)
{
    vec top = load(s), sum = SET1(0.0F), by;

    for (size_t j = LANES; j < n; j += LANES)
        top = MAX(top, load(s + j));
    top = SET1(max_of(top));
    for (size_t j = 0; j < n; j += LANES) {
        vec p = exp_of(load(s + j) - top);
        store(s + j, p);
        sum += p;
    }
    by = SET1(1 / sum_of(sum));
    for (size_t j = 0; j < n; j += LANES)
        store(s + j, load(s + j) * by);
}

/* Where the keys of row r end, in whole panels. */
INLINE size_t end_of(const silr_back *f, size_t r)
{
    size_t from, to;

    seen(f->t.a, position_of(f, r), f->t.text->n_own, &from, &to);
    return filled_up(to);
}

INLINE void make_p(const silr_back *f)
{
    const silr_attention *a = f->t.a;

    by_keys(f, f->q, f->kt, f->p);
    for (size_t r = 0; r < f->t.rows; r++) {
        float *s = f->p + r * f->ld + f->from, *bend = f->bend + r * f->ld + f->from;
        size_t from, to, n = end_of(f, r) - f->from;
        seen(a, position_of(f, r), f->t.text->n_own, &from, &to);
        mask(a, s, n, from > f->from ? from - f->from : 0, to - f->from);
        for (size_t j = 0; a->cap > 0 && j < n; j += LANES) { /* 0 where nothing is seen */
            vec tanh = load(s + j) * SET1((float)(1 / a->cap));
            store(bend + j, MAX(SET1(0.0F), SET1(1.0F) - tanh * tanh));
        }
        softmax(s, n);
        memset(s + n, 0, (f->to - f->from - n) * sizeof *s);
    }
}

INLINE void make_ds(const silr_back *f)
{
    size_t dim = f->t.a->head_dim;

    by_keys(f, f->dout, f->vt, f->ds);
    for (size_t r = 0; r < f->t.rows; r++) {
        const float *out = f->t.text->out + row_at(&f->t, r, f->t.s->out), *dout = f->dout + r * f->pitch;
        const float *p = f->p + r * f->ld + f->from, *bend = f->bend + r * f->ld + f->from;
        float *ds = f->ds + r * f->ld + f->from;
        size_t n = end_of(f, r) - f->from;
        vec along = SET1(0.0F);
        for (size_t d = 0; d < dim; d += LANES)
            along = FMA(load_most(out + d, dim - d, 0.0F), load(dout + d), along);
        along = SET1(sum_of(along));
        for (size_t j = 0; j < n; j += LANES) {
            vec v = load(p + j) * (load(ds + j) - along);
            if (f->t.a->cap > 0)
                v *= load(bend + j);
            store(ds + j, v);
        }
        memset(ds + n, 0, (f->to - f->from - n) * sizeof *ds);
    }
}

INLINE void give_dq(const silr_back *f)
{
    size_t dim = f->t.a->head_dim;

    for (size_t r = 0; r < f->t.rows; r += ROWS) {
        size_t rows = f->t.rows - r < ROWS ? f->t.rows - r : ROWS, n = end_of(f, r + rows - 1) - f->from;
        for (size_t d = 0; d < dim; d += PANEL)
            rows_by_panel(rows, f->ds + r * f->ld + f->from, f->ld, f->k + f->from * f->pitch + d, f->pitch, n,
                          (silr_into){.y = f->dq + r * f->pitch + d, .ldy = f->pitch, .columns = PANEL,
                                      .by = (float)f->t.a->scale});
    }
    for (size_t r = 0; r < f->t.rows; r++)
        memcpy(f->back->dq + row_at(&f->t, r, f->t.s->q), f->dq + r * f->pitch, dim * sizeof *f->dq);
}

/* out, rows of keys, += weights[rows][keys] turned, times rows[rows][head_dim]. */
INLINE void give_keys(const silr_back *f, const float *weights, const float *rows, float *out)
{
    size_t dim = f->t.a->head_dim, ld = f->t.s->kv, end, ignored;

    seen(f->t.a, position_of(f, f->t.rows - 1), f->t.text->n_own, &ignored, &end);
    for (size_t j = f->from; j < end; j += KEYS_AT_ONCE) {
        size_t r = first_row(f, j), keys = end - j < KEYS_AT_ONCE ? end - j : KEYS_AT_ONCE;
        for (size_t d = 0; d < dim; d += PANEL)
            turned_by_panel(keys, weights + r * f->ld + j, f->ld, false, rows + r * f->pitch + d, f->pitch,
                            f->t.rows - r,
                            (silr_into){.y = out + j * ld + f->t.kv_head * dim + d, .ldy = ld,
                                        .columns = dim - d, .add = true});
    }
}

TARGET static void attention_back(const silr_tile_attention_back *t)
{
    size_t ignored, dim = t->a->head_dim, rows = t->text->n * (t->a->heads / t->a->kv_heads);
    silr_back f = lay_out_back(t, &ignored);

    take_keys(&f);
    for (size_t j = 0; j < t->text->n_own; j++) {
        memset(t->back->dk + j * t->s->kv + t->kv_head * dim, 0, dim * sizeof *t->back->dk);
        memset(t->back->dv + j * t->s->kv + t->kv_head * dim, 0, dim * sizeof *t->back->dv);
    }
    for (size_t r = 0; r < rows; r += f.most) {
        take_rows(&f, r, rows - r < f.most ? rows - r : f.most);
        make_p(&f);
        give_keys(&f, f.p, f.dout, t->back->dv);
        make_ds(&f);
        give_keys(&f, f.ds, f.q, t->back->dk);
        give_dq(&f);
    }
}
