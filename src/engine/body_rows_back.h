/* body_rows_back.h - backward, what happens to each row by itself. Part of body.h. The formulas are in
 * plain_back.c. */

/* dx += r (w dy - x r^2 / dim sum(x w dy)) */
TARGET static void rms_norm_back(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                                 size_t n, size_t dim, const float *dy, size_t lddy, float *dx,
                                 size_t lddx, float *r)
{
    for (size_t t = 0; t < n; t++, x += ldx, dy += lddy, dx += lddx) {
        vec square = SET1(0.0F), sum = SET1(0.0F), by, along;
        float each;
        for (size_t k = 0; k < dim; k += LANES) {
            vec v = load_most(x + k, dim - k, 0.0F);
            vec d = (load_most(w + k, dim - k, 0.0F) + SET1(plus)) * load_most(dy + k, dim - k, 0.0F);
            square = FMA(v, v, square);
            sum = FMA(v, d, sum);
        }
        each = (float)(1 / sqrt((double)sum_of(square) / (double)dim + epsilon));
        by = SET1(each);
        along = SET1((float)((double)sum_of(sum) * (double)each * (double)each / (double)dim));
        for (size_t k = 0; k < dim; k += LANES) {
            vec d = (load_most(w + k, dim - k, 0.0F) + SET1(plus)) * load_most(dy + k, dim - k, 0.0F);
            d = FMA(-along, load_most(x + k, dim - k, 0.0F), d);
            store_most(dx + k, dim - k, FMA(by, d, load_most(dx + k, dim - k, 0.0F)));
        }
        if (r)
            r[t] = each;
    }
}

/* The mean of a row and what it is then multiplied by. */
INLINE void centre(const float *x, size_t dim, double epsilon, float *mean, float *r)
{
    vec sum = SET1(0.0F);

    for (size_t k = 0; k < dim; k += LANES)
        sum += load_most(x + k, dim - k, 0.0F);
    *mean = (float)((double)sum_of(sum) / (double)dim);
    sum = SET1(0.0F);
    for (size_t k = 0; k < dim; k += LANES) {
        vec v = load_most(x + k, dim - k, *mean) - SET1(*mean);
        sum = FMA(v, v, sum);
    }
    *r = (float)(1 / sqrt((double)sum_of(sum) / (double)dim + epsilon));
}

/* dx += r (w dy - mean(w dy) - z mean(z w dy)), z = (x - mean) r */
TARGET static void layer_norm_back(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                                   size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                                   float *r, float *mean)
{
    for (size_t t = 0; t < n; t++, x += ldx, dy += lddy, dx += lddx) {
        vec straight = SET1(0.0F), along = SET1(0.0F), by;
        float m, each;
        centre(x, dim, epsilon, &m, &each);
        by = SET1(each);
        for (size_t k = 0; k < dim; k += LANES) {
            vec d = load_most(w + k, dim - k, 0.0F) * load_most(dy + k, dim - k, 0.0F);
            straight += d;
            along = FMA((load_most(x + k, dim - k, m) - SET1(m)) * by, d, along);
        }
        straight = SET1((float)((double)sum_of(straight) / (double)dim));
        along = SET1((float)((double)sum_of(along) / (double)dim));
        for (size_t k = 0; k < dim; k += LANES) {
            vec d = load_most(w + k, dim - k, 0.0F) * load_most(dy + k, dim - k, 0.0F) - straight;
            d = FMA((load_most(x + k, dim - k, m) - SET1(m)) * by, -along, d);
            store_most(dx + k, dim - k, FMA(by, d, load_most(dx + k, dim - k, 0.0F)));
        }
        if (r) {
            r[t] = each;
            mean[t] = m;
        }
    }
}

/* One vector of columns, from the first row to the last. */
TARGET static void norm_sums(const float *x, size_t ldx, const float *r, const float *mean, size_t n,
                             size_t dim, const float *dy, size_t lddy, float *dw, float *db)
{
    for (size_t k = 0; k < dim; k += LANES) {
        vec w = SET1(0.0F), b = SET1(0.0F);
        for (size_t t = 0; t < n; t++) {
            vec d = load_most(dy + t * lddy + k, dim - k, 0.0F), v = load_most(x + t * ldx + k, dim - k, 0.0F);
            if (mean)
                v -= SET1(mean[t]);
            w = FMA(v * SET1(r[t]), d, w);
            b += d;
        }
        if (dw)
            store_most(dw + k, dim - k, load_most(dw + k, dim - k, 0.0F) + w);
        if (db)
            store_most(db + k, dim - k, load_most(db + k, dim - k, 0.0F) + b);
    }
}

/* y = f(x) up: dx = f'(x) up dy, dup = f(x) dy */
INLINE void slope_rows(vec (*f)(vec, vec *), const float *x, const float *up, size_t ldx, size_t n,
                       size_t dim, const float *dy, size_t lddy, float *dx, float *dup, size_t lddx)
{
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k += LANES) {
            vec d = load_most(dy + t * lddy + k, dim - k, 0.0F), df;
            vec y = f(load_most(x + t * ldx + k, dim - k, 0.0F), &df);
            if (up) {
                df *= load_most(up + t * ldx + k, dim - k, 0.0F);
                store_most(dup + t * lddx + k, dim - k, y * d);
            }
            store_most(dx + t * lddx + k, dim - k, df * d);
        }
}

TARGET static void activate_back(silr_activation act, const float *x, const float *up, size_t ldx,
                                 size_t n, size_t dim, const float *dy, size_t lddy, float *dx,
                                 float *dup, size_t lddx)
{
    switch (act) {
    case SILR_ACT_SILU: slope_rows(silu_slope, x, up, ldx, n, dim, dy, lddy, dx, dup, lddx); break;
    case SILR_ACT_GELU: slope_rows(gelu_slope, x, up, ldx, n, dim, dy, lddy, dx, dup, lddx); break;
    case SILR_ACT_GELU_TANH:
        slope_rows(gelu_tanh_slope, x, up, ldx, n, dim, dy, lddy, dx, dup, lddx);
        break;
    }
}

/* --- dropout ------------------------------------------------------------------------------------
 *
 * Philox by 64-bit lanes, a counter in each: the products of 32 by 32 bits that it consists of are
 * whole there, and what stands above a word's 32 bits disturbs nobody until the end. */

enum { DRAWS = 16 / LANES, CHUNK = 64 }; /* vectors of 8 counters; the values that these decide */

typedef struct {
    vecu round[10][2];
} silr_drop_keys;

INLINE silr_drop_keys drop_keys(uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    silr_drop_keys k;

    for (int i = 0; i < 10; i++, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
        k.round[i][0] = (vecu){0} + k0;
        k.round[i][1] = (vecu){0} + k1;
    }
    return k;
}

/* The decisions upon 64 values of a row, as ops_inside.h lays them out; counter: the first of 8. */
INLINE void draw(const silr_drop_keys *keys, uint32_t counter, uint64_t row, uint16_t out[CHUNK])
{
    static const uint64_t eight[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    vecu c[4][DRAWS];

    for (size_t v = 0; v < DRAWS; v++) {
        memcpy(&c[0][v], eight + v * LANES / 2, sizeof c[0][v]);
        c[0][v] += counter;
        c[1][v] = (vecu){0} + (row & 0xffffffffU);
        c[2][v] = (vecu){0} + (row >> 32);
        c[3][v] = (vecu){0} + ((uint64_t)SILR_RNG_DROPOUT << 20);
    }
#pragma GCC unroll 10
    for (int i = 0; i < 10; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < DRAWS; v++) {
            vecu p0 = MUL32(c[0][v], (vecu){0} + 0xD2511F53U), p1 = MUL32(c[2][v], (vecu){0} + 0xCD9E8D57U);
            c[0][v] = (p1 >> 32) ^ c[1][v] ^ keys->round[i][0];
            c[2][v] = (p0 >> 32) ^ c[3][v] ^ keys->round[i][1];
            c[1][v] = p1;
            c[3][v] = p0;
        }
    for (size_t v = 0; v < DRAWS; v++) {
        vecu first = (c[0][v] & 0xffffffffU) | c[1][v] << 32, second = (c[2][v] & 0xffffffffU) | c[3][v] << 32;
        memcpy(out + v * 2 * LANES, &first, sizeof first);
        memcpy(out + CHUNK / 2 + v * 2 * LANES, &second, sizeof second);
    }
}

/* LANES values of x: times `by` where they are kept. */
INLINE vec dropped(vec x, vec by, const uint16_t *drawn, int32_t below)
{
    typedef uint16_t shorts __attribute__((vector_size(2 * LANES)));
    shorts s;

    memcpy(&s, drawn, sizeof s);
    return (vec)((__builtin_convertvector(s, veci) >= below) & (veci)(x * by));
}

TARGET static void dropout(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx,
                           size_t n, size_t dim, float *y, size_t ldy, bool add)
{
    const silr_drop_keys keys = drop_keys(key);
    const vec by = SET1((float)(1 / (1 - rate)));
    const int32_t below = (int32_t)silr_drop_below(rate);
    uint16_t drawn[CHUNK];

    for (size_t t = 0; t < n; t++, x += ldx, y += ldy)
        for (size_t at = 0; at < dim; at += CHUNK) {
            size_t end = dim - at < CHUNK ? dim : at + CHUNK;
            draw(&keys, (uint32_t)(at / 8), row[t], drawn);
            for (size_t k = at; k < end; k += LANES) {
                vec v = dropped(load_most(x + k, end - k, 0.0F), by, drawn + (k - at), below);
                if (add)
                    v = load_most(y + k, end - k, 0.0F) + v;
                store_most(y + k, end - k, v);
            }
        }
}

TARGET static void add_scaled(float *y, const float *x, float by, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += by * x[i];
}
