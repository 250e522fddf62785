/* body_attention.h - attention by blocks of keys. Part of body.h.
 *
 * A tile is some queries of the heads that share one head of keys. The keys come in blocks of KEYS:
 * first the prefix's, then the text's own, each counted from its beginning, so that the same keys
 * are together whoever asks. For each query three things are kept, and put right when a block
 * brings a larger maximum m:
 *
 *     m' = max(m, max_j s_j)     c = exp(m - m')     p_j = exp(s_j - m')
 *     l' = c l + sum_j p_j       acc' = c acc + sum_j p_j v_j          out = acc / l at the end
 *
 * Scores are the products of body_product.h with a block's keys turned into panels; the sums over
 * values are those products with the values laid out in panels. A key that a query does not see has
 * s = -infinity, p = 0: a block of which it sees none changes nothing, to the bit. */

#ifndef KEYS
#define KEYS 64
#endif

typedef struct {
    float *q;    /* [rows][head_dim], times the scale */
    float *acc;  /* [rows][wide] */
    float *s;    /* [rows][KEYS] */
    float *k;    /* panels [head_dim][PANEL] of the block's keys */
    float *v;    /* panels [keys][PANEL] of the block's values */
    float *m, *l; /* [rows] */
    size_t wide; /* head_dim filled up to whole panels */
} silr_flash;

INLINE size_t filled_up(size_t n)
{
    return (n + PANEL - 1) / PANEL * PANEL;
}

TARGET static size_t attention_scratch(const silr_attention *a, size_t rows)
{
    size_t wide = filled_up(a->head_dim), whole = filled_up(rows);

    return whole * (2 * wide + KEYS + 2) + 2 * KEYS * wide;
}

INLINE silr_flash lay_out(const silr_tile_attention *t)
{
    size_t wide = filled_up(t->a->head_dim), whole = filled_up(t->rows);
    silr_flash f = {.wide = wide, .k = t->scratch};

    f.v = f.k + KEYS * wide;
    f.s = f.v + KEYS * wide;
    f.q = f.s + whole * KEYS;
    f.acc = f.q + whole * wide;
    f.m = f.acc + whole * wide;
    f.l = f.m + whole;
    return f;
}

/* Where row r of the tile lies in q or out. */
INLINE size_t row_at(const silr_tile_attention *t, size_t r, size_t stride)
{
    size_t group = t->a->heads / t->a->kv_heads, i = t->first + r;

    return i / group * stride + (t->kv_head * group + i % group) * t->a->head_dim;
}

INLINE void take_queries(const silr_tile_attention *t, const silr_flash *f)
{
    size_t dim = t->a->head_dim;

    for (size_t r = 0; r < t->rows; r++) {
        const float *q = t->text->q + row_at(t, r, t->s->q);
        for (size_t d = 0; d < dim; d++)
            f->q[r * dim + d] = q[d] * (float)t->a->scale;
        f->m[r] = -INFINITY;
        f->l[r] = 0;
    }
    memset(f->acc, 0, t->rows * f->wide * sizeof *f->acc);
}

/* One block of keys and values, rows `ld` apart; the first is key `at` of all that the text has. */
typedef struct {
    const float *k, *v;
    size_t ld, n, at;
} silr_key_block;

/* The keys from .. to - 1 that the query at `position` sees. */
INLINE void seen(const silr_attention *a, size_t position, size_t keys, size_t *from, size_t *to)
{
    size_t before = a->causal ? a->window - 1 : a->window / 2;

    *from = a->window > 0 && position > before ? position - before : 0;
    *to = a->causal ? position + 1 : keys;
    if (!a->causal && a->window > 0 && position + before + 1 < keys)
        *to = position + before + 1;
}

/* s[n] of one row: capped, -infinity where not seen. */
INLINE void mask(const silr_attention *a, float *s, size_t n, size_t from, size_t to)
{
    if (a->cap > 0) {
        vec cap = SET1((float)a->cap), by = SET1((float)(1 / a->cap));
        for (size_t j = 0; j < n; j += LANES)
            store(s + j, cap * tanh_of(load(s + j) * by));
    }
    for (size_t j = 0; j < from && j < n; j++)
        s[j] = -INFINITY;
    for (size_t j = to; j < n; j++)
        s[j] = -INFINITY;
}

/* s[n] becomes p[n]; m, l and acc [wide] of this row are put right. */
INLINE void weigh(float *s, size_t n, float *m, float *l, float *acc, size_t wide)
{
    vec top = load(s), sum = SET1(0.0F);
    float max, shrink;

    for (size_t j = LANES; j < n; j += LANES)
        top = MAX(top, load(s + j));
    max = max_of(top);
    if (max < *m)
        max = *m;
    if (max == -INFINITY) { /* nothing seen so far */
        memset(s, 0, n * sizeof *s);
        return;
    }
    for (size_t j = 0; j < n; j += LANES) {
        vec p = exp_of(load(s + j) - SET1(max));
        store(s + j, p);
        sum += p;
    }
    if (max > *m) {
        float lane[LANES];
        store(lane, exp_of(SET1(*m - max)));
        shrink = lane[0];
        *m = max;
        *l *= shrink;
        for (size_t d = 0; d < wide; d += LANES)
            store(acc + d, load(acc + d) * SET1(shrink));
    }
    *l += sum_of(sum);
}

/* The block's values to panels [n][PANEL], zeros where a row has ended: where rows lie a multiple of
 * 4096 bytes apart, as they do in many models, the cache could hold few of them. */
INLINE void lay_out_values(const silr_key_block *b, size_t dim, float *out)
{
    for (size_t d = 0; d < dim; d += PANEL)
        for (size_t j = 0; j < b->n; j++, out += PANEL) {
            const float *v = b->v + j * b->ld + d;
            store(out, load_most(v, dim - d, 0.0F));
            store(out + LANES, dim - d > LANES ? load_most(v + LANES, dim - d - LANES, 0.0F)
                                               : SET1(0.0F));
        }
}

TARGET static void attend(const silr_tile_attention *t, const silr_flash *f, const silr_key_block *b)
{
    const silr_attention_text *text = t->text;
    size_t dim = t->a->head_dim, group = t->a->heads / t->a->kv_heads, n = filled_up(b->n);
    size_t keys = text->n_prefix + text->n_own;

    for (size_t p = 0; p < n; p += PANEL) {
        turn_panel(b->k + p * b->ld, b->ld, b->n - p < PANEL ? b->n - p : PANEL, dim, f->k + p * dim);
        rows_by_panel(t->rows, f->q, dim, f->k + p * dim, PANEL, dim,
                      (silr_into){.y = f->s + p, .ldy = KEYS, .columns = PANEL});
    }
    for (size_t r = 0; r < t->rows; r++) {
        float *s = f->s + r * KEYS;
        size_t from, to;
        seen(t->a, keys - text->n + (t->first + r) / group, keys, &from, &to);
        if (to > b->at + b->n)
            to = b->at + b->n;
        mask(t->a, s, n, from > b->at ? from - b->at : 0, to > b->at ? to - b->at : 0);
        weigh(s, n, &f->m[r], &f->l[r], f->acc + r * f->wide, f->wide);
    }
    lay_out_values(b, dim, f->v);
    for (size_t d = 0; d < f->wide; d += PANEL)
        rows_by_panel(t->rows, f->s, KEYS, f->v + d * b->n, PANEL, b->n,
                      (silr_into){.y = f->acc + d, .ldy = f->wide, .columns = PANEL, .add = true});
}

/* Does any row of the tile see a key of the n at `at`? */
INLINE bool wanted(const silr_tile_attention *t, size_t at, size_t n)
{
    size_t group = t->a->heads / t->a->kv_heads, keys = t->text->n_prefix + t->text->n_own;
    size_t position = keys - t->text->n, from, to, ignored;

    seen(t->a, position + t->first / group, keys, &from, &ignored);
    seen(t->a, position + (t->first + t->rows - 1) / group, keys, &ignored, &to);
    return at < to && at + n > from;
}

INLINE void attend_all(const silr_tile_attention *t, const silr_flash *f, const float *k,
                       const float *v, size_t ld, size_t n, size_t at)
{
    size_t head = t->kv_head * t->a->head_dim;

    for (size_t j = 0; j < n; j += KEYS) {
        silr_key_block b = {.k = k + j * ld + head, .v = v + j * ld + head, .ld = ld, .at = at + j};
        b.n = n - j < KEYS ? n - j : KEYS;
        if (wanted(t, b.at, b.n))
            attend(t, f, &b);
    }
}

TARGET static void attention(const silr_tile_attention *t)
{
    const silr_attention_text *text = t->text;
    silr_flash f = lay_out(t);

    take_queries(t, &f);
    if (text->n_prefix > 0)
        attend_all(t, &f, text->prefix_k, text->prefix_v, t->s->prefix, text->n_prefix, 0);
    attend_all(t, &f, text->k, text->v, t->s->kv, text->n_own, text->n_prefix);
    for (size_t r = 0; r < t->rows; r++) {
        float *out = text->out + row_at(t, r, t->s->out), by = 1 / f.l[r];
        for (size_t d = 0; d < t->a->head_dim; d++)
            out[d] = f.acc[r * f.wide + d] * by;
    }
}
