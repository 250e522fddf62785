/* body_filed.h - rows times a matrix that stays as its file has it. Part of body.h.
 *
 * SHARE rows of W at a time are made floats, LENGTH values of each, into a buffer that the caches
 * hold, and all rows of x pass by: 3 of them with 4 of W are 12 vectors of sums. A vector runs along
 * the row here, not across rows of W as in body_product.h, because that is how quantised blocks lie;
 * so one row of x (a text being written, token by token) needs no turning round.
 *
 * Each value becomes exactly what silr_dequantise makes of it: multiplication and addition rounded
 * one by one. */

#ifndef SHARE
#define SHARE 16
#define LENGTH 1024
#endif
enum { PITCH = LENGTH + 16, AT_ONCE = 3 };

/* --- values as published ---------------------------------------------------------------------- */

INLINE float half_at(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return HALF(h);
}

TARGET static void from_f16(const uint8_t *p, size_t n, float *out)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        store(out + i, HALVES(p + 2 * i));
    for (; i < n; i++)
        out[i] = half_at(p + 2 * i);
}

TARGET static void from_bf16(const uint8_t *p, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        uint32_t bits;
        memcpy(&h, p + 2 * i, sizeof h);
        bits = (uint32_t)h << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* d q + m, two roundings */
INLINE vec times_plus(veci q, vec d, vec m)
{
    return __builtin_convertvector(q, vec) * d + m;
}

INLINE vec times(veci q, vec d)
{
    return __builtin_convertvector(q, vec) * d;
}

TARGET static void from_q8_0(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 32, p += 34, out += 32) {
        vec d = SET1(half_at(p));
        for (int j = 0; j < 32; j += LANES)
            store(out + j, times((veci)SIGNED_BYTES(p + 2 + j), d));
    }
}

TARGET static void from_q4_0(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 32, p += 18, out += 32) {
        vec d = SET1(half_at(p));
        for (int j = 0; j < 16; j += LANES) {
            veci q = (veci)BYTES(p + 2 + j);
            store(out + j, times((q & 15) - 8, d));
            store(out + 16 + j, times((q >> 4) - 8, d));
        }
    }
}

TARGET static void from_q4_1(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 32, p += 20, out += 32) {
        vec d = SET1(half_at(p)), m = SET1(half_at(p + 2));
        for (int j = 0; j < 16; j += LANES) {
            veci q = (veci)BYTES(p + 4 + j);
            store(out + j, times_plus(q & 15, d, m));
            store(out + 16 + j, times_plus(q >> 4, d, m));
        }
    }
}

/* The fifth bits of 32 values lie in 4 bytes, value j's at bit j; here those of LANES from j on. */
INLINE veci fifth_bits(const uint8_t *p, int j)
{
    uint32_t bits;
    veci lane;

    memcpy(&bits, p, sizeof bits);
    for (int i = 0; i < LANES; i++)
        lane[i] = i;
    return (((veci){0} + (int32_t)(bits >> j)) >> lane & 1) << 4;
}

TARGET static void from_q5_0(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 32, p += 22, out += 32) {
        vec d = SET1(half_at(p));
        for (int j = 0; j < 16; j += LANES) {
            veci q = (veci)BYTES(p + 6 + j);
            store(out + j, times(((q & 15) | fifth_bits(p + 2, j)) - 16, d));
            store(out + 16 + j, times((q >> 4 | fifth_bits(p + 2, 16 + j)) - 16, d));
        }
    }
}

TARGET static void from_q5_1(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 32, p += 24, out += 32) {
        vec d = SET1(half_at(p)), m = SET1(half_at(p + 2));
        for (int j = 0; j < 16; j += LANES) {
            veci q = (veci)BYTES(p + 8 + j);
            store(out + j, times_plus((q & 15) | fifth_bits(p + 4, j), d, m));
            store(out + 16 + j, times_plus(q >> 4 | fifth_bits(p + 4, 16 + j), d, m));
        }
    }
}

/* Scale and minimum of the j-th 32 values, 6 bits each, 8 pairs in 12 bytes: the first four in the
 * low bits of bytes j and j + 4; of the others, 4 bits in byte j + 4 and 2 in the first bytes' top. */
INLINE void scale_and_min(const uint8_t *s, int j, float *scale, float *min)
{
    if (j < 4) {
        *scale = (float)(s[j] & 63);
        *min = (float)(s[j + 4] & 63);
    } else {
        *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (float)(s[j + 4] >> 4 | (s[j] >> 6) << 4);
    }
}

TARGET static void from_q4_k(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 256, p += 144) {
        float d = half_at(p), dmin = half_at(p + 2), scale, min;
        for (int g = 0; g < 8; g++, out += 32) {
            const uint8_t *q = p + 16 + 32 * (g / 2);
            scale_and_min(p + 4, g, &scale, &min);
            for (int j = 0; j < 32; j += LANES) {
                veci v = (veci)BYTES(q + j) >> (g % 2 * 4) & 15;
                store(out + j, times(v, SET1(d * scale)) - SET1(dmin * min));
            }
        }
    }
}

TARGET static void from_q5_k(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 256, p += 176) {
        float d = half_at(p), dmin = half_at(p + 2), scale, min;
        for (int g = 0; g < 8; g++, out += 32) {
            const uint8_t *q = p + 48 + 32 * (g / 2), *fifth = p + 16;
            scale_and_min(p + 4, g, &scale, &min);
            for (int j = 0; j < 32; j += LANES) {
                veci v = (veci)BYTES(q + j) >> (g % 2 * 4) & 15;
                v |= ((veci)BYTES(fifth + j) >> g & 1) << 4;
                store(out + j, times(v, SET1(d * scale)) - SET1(dmin * min));
            }
        }
    }
}

/* 256 values of 6 bits: 4 bits in the first 128 bytes, 2 in the next 64; a scale for each 16. */
TARGET static void from_q6_k(const uint8_t *p, size_t n, float *out)
{
    for (; n > 0; n -= 256, p += 210) {
        float d = half_at(p + 208);
        for (int g = 0; g < 8; g++, out += 32) {
            const uint8_t *low = p + 64 * (g / 4) + 32 * (g % 2), *high = p + 128 + 32 * (g / 4);
            for (int j = 0; j < 32; j += LANES) {
                veci v = (veci)BYTES(low + j) >> (g % 4 / 2 * 4) & 15;
                v |= ((veci)BYTES(high + j) >> (g % 4 * 2) & 3) << 4;
                store(out + j, times(v - 32, SET1(d * (float)(int8_t)p[192 + 2 * g + j / 16])));
            }
        }
    }
}

TARGET static void dequantise(silr_type type, const void *data, size_t n, float *out)
{
    switch (type) {
    case SILR_TYPE_F32: memcpy(out, data, n * sizeof *out); break;
    case SILR_TYPE_F16: from_f16(data, n, out); break;
    case SILR_TYPE_BF16: from_bf16(data, n, out); break;
    case SILR_TYPE_Q8_0: from_q8_0(data, n, out); break;
    case SILR_TYPE_Q4_0: from_q4_0(data, n, out); break;
    case SILR_TYPE_Q4_1: from_q4_1(data, n, out); break;
    case SILR_TYPE_Q5_0: from_q5_0(data, n, out); break;
    case SILR_TYPE_Q5_1: from_q5_1(data, n, out); break;
    case SILR_TYPE_Q4_K: from_q4_k(data, n, out); break;
    case SILR_TYPE_Q5_K: from_q5_k(data, n, out); break;
    case SILR_TYPE_Q6_K: from_q6_k(data, n, out); break;
    default: silr_dequantise(type, data, n, out); break;
    }
}

/* Whole blocks of NF4 in vectors; what a range has of blocks at its ends is left to the plain loop. */
TARGET static void nf4_values(const silr_nf4 *q, size_t first, size_t n, float *out)
{
    const size_t block = SILR_NF4_BLOCK, end = first + n;
    size_t from = (first + block - 1) / block * block, to = end / block * block;

    if (from >= to) {
        silr_nf4_values(q, first, n, out);
        return;
    }
    silr_nf4_values(q, first, from - first, out);
    out += from - first;
    for (size_t i = from; i < to; i += block, out += block) {
        vec scale = SET1(silr_nf4_scale(q, i / block));
        for (size_t j = 0; j < block; j += LANES)
            store(out + j, BOOK(NIBBLES(q->nibbles + (i + j) / 2)) * scale);
    }
    silr_nf4_values(q, to, end - to, out);
}

/* --- products --------------------------------------------------------------------------------- */

/* sum[rows][4] = x[rows][n] . w[4][n], w PITCH apart and zero from n to whole vectors. */
INLINE void dots(size_t rows, const float *x, size_t ldx, const float *w, size_t n,
                 float sum[AT_ONCE][4])
{
    vec c[AT_ONCE][4];
    size_t k = 0;

    for (size_t r = 0; r < rows; r++)
        for (int j = 0; j < 4; j++)
            c[r][j] = SET1(0.0F);
    for (; k < n; k += LANES) {
        vec v[AT_ONCE];
        for (size_t r = 0; r < rows; r++)
            v[r] = load_most(x + r * ldx + k, n - k, 0.0F);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            vec u = load(w + (size_t)j * PITCH + k);
            for (size_t r = 0; r < rows; r++)
                c[r][j] = FMA(v[r], u, c[r][j]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        sum4(c[r], sum[r]);
}

TARGET static void dots_of(size_t rows, const float *x, size_t ldx, const float *w, size_t n,
                           float sum[AT_ONCE][4])
{
    switch (rows) {
    case 1: dots(1, x, ldx, w, n, sum); break;
    case 2: dots(2, x, ldx, w, n, sum); break;
    default: dots(3, x, ldx, w, n, sum); break;
    }
}

/* The tile's rows by the `columns` <= SHARE rows of W in w, k of length n from `k` on. */
TARGET static void share(const silr_tile_product *t, const float *w, size_t first, size_t columns,
                         size_t k, size_t n)
{
    float sum[AT_ONCE][4];

    for (size_t r = 0; r < t->rows; r += AT_ONCE) {
        size_t rows = t->rows - r < AT_ONCE ? t->rows - r : AT_ONCE;
        for (size_t c = 0; c < columns; c += 4) {
            dots_of(rows, t->x + r * t->ldx + k, t->ldx, w + c * PITCH, n, sum);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < 4 && c + j < columns; j++) {
                    float *y = t->y + (r + i) * t->ldy + first + c + j;
                    float v = sum[i][j];
                    if (k == 0 && t->bias)
                        v += t->bias[first + c + j];
                    *y = t->add || k > 0 ? *y + v : v;
                }
        }
    }
}

TARGET static void product_filed(const silr_tile_product *t, const silr_tensor *w, size_t first)
{
    const silr_type_info *info = silr_type_of(w->type);
    size_t row_bytes = t->in / info->block * info->bytes;
    _Alignas(64) float value[SHARE * PITCH];

    for (size_t c = 0; c < t->columns; c += SHARE) {
        size_t columns = t->columns - c < SHARE ? t->columns - c : SHARE;
        for (size_t k = 0; k < t->in; k += LENGTH) {
            size_t n = t->in - k < LENGTH ? t->in - k : LENGTH, whole = (n + LANES - 1) / LANES * LANES;
            for (size_t j = 0; j < (columns + 3) / 4 * 4; j++) {
                float *row = value + j * PITCH;
                const char *at = (const char *)w->data + (first + c + j) * row_bytes +
                                 k / info->block * info->bytes;
                if (j < columns)
                    dequantise(w->type, at, n, row);
                memset(row + (j < columns ? n : 0), 0, (whole - (j < columns ? n : 0)) * sizeof *row);
            }
            share(t, value, c, columns, k, n);
        }
    }
}
