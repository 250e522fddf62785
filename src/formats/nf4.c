/* nf4.c - NormalFloat in 4 bits (QLoRA, arXiv 2305.14314), double quantised.
 *
 * Weights are about normal, so the 16 numbers of the book are where a normal variable, scaled into
 * -1..1, falls equally often. A block of 64 values x has absmax a = max |x|; a value becomes the
 * nearest book number to x / a. The absmaxes are quantised in turn, 256 of them together: less their
 * mean (the offset), divided by their largest distance from it (the top), to the nearest of 256
 * numbers that lie the denser the nearer to 0:
 *
 *     x ~ book[code] * (map[scale] * top + offset)
 *
 * Codes are to be bitsandbytes' own, so the float operations follow its CPU path (0.50), found by
 * experiment and worth keeping to:
 *
 *   - x * (1 / max(a, 1e-38)); in a last block that is short: x / max(a, 1e-38), and that is its a
 *   - a value on the middle of two numbers, itself rounded to float, takes the lower one
 *   - scales go through a grid of 65536 steps over -1..1, and its point decides: in one of some 500
 *     blocks not the nearest number, but its neighbour
 *   - where all absmaxes of a run are equal, top is 0 and the scales are 0
 *
 * One thing differs. There the mean is a float sum in an order that depends on the processor and
 * the threads; here it is exact to the last bit. On large tensors the offsets can so be apart by a
 * unit or two in their last place. */
#include "formats/nf4.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#ifdef __clang__ /* or it makes one rounding of two where it likes */
#pragma STDC FP_CONTRACT OFF
#endif

enum { BLOCK = SILR_NF4_BLOCK, SCALES = SILR_NF4_SCALES, BOOK = 16, AT_ONCE = 1 << 14, SPARE = 16 };
#define LEAST 1e-38F
#define INLINE static inline __attribute__((always_inline))

const float silr_nf4_book[BOOK] = {
    -1.0F,                -0.6961928009986877F, -0.5250730514526367F, -0.39491748809814453F,
    -0.28444138169288635F, -0.18477343022823334F, -0.09105003625154495F, 0.0F,
    0.07958029955625534F, 0.16093020141124725F, 0.24611230194568634F, 0.33791524171829224F,
    0.44070982933044434F, 0.5626170039176941F,  0.7229568362236023F,  1.0F};

/* --- the map of scales ------------------------------------------------------------------------ */

/* For each of 7 powers of ten, 10^-6 .. 1, the middles of 2^i equal parts of 0.1 .. 1, i = 0 .. 6;
 * the same below 0; 0 and 1. Ascending already, since each power's parts end where the next begin.
 * A boundary is counted from the nearer end and rounded once. */
static float boundary(int k, int n)
{
    const float step = (1 - 0.1F) / (float)n;

    return k <= n / 2 ? (float)((double)0.1F + (double)step * k)
                      : (float)(1 - (double)step * (n - k));
}

static void fill_map(float *map)
{
    static const float power[7] = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1};
    int at = 0;

    map[127] = 0;
    for (int i = 0; i < 7; i++)
        for (int k = 0, n = 1 << i; k < n; k++, at++) {
            map[128 + at] = power[i] * ((boundary(k, n) + boundary(k + 1, n)) / 2);
            map[126 - at] = -map[128 + at];
        }
    map[255] = 1;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* The largest |x|, as the bits of a float: those of what is infinite or no number are above all. */
INLINE uint32_t absmax_bits(const float *x, size_t n)
{
    uint32_t most = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Into -1..1, where what is not a number goes too. */
INLINE float clamped(float v)
{
    return v > -1 ? v < 1 ? v : 1 : -1;
}

/* Codes of 64 scaled values, two a byte: a code is how many middles lie below the value. */
INLINE void encode(const float *v, const float *middle, uint8_t *out)
{
    int32_t code[BLOCK] = {0};

    for (int j = 0; j < BOOK - 1; j++)
        for (int i = 0; i < BLOCK; i++)
            code[i] += middle[j] < v[i];
    for (int i = 0; i < BLOCK / 2; i++)
        out[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
}

/* One block of n <= 64 values; false: one is infinite or not a number. */
INLINE bool block(const float *x, size_t n, const float *middle, float *absmax, uint8_t *nibbles)
{
    float v[BLOCK] = {0}, most, by;
    uint8_t pair[BLOCK / 2];
    const uint32_t bits = absmax_bits(x, n);

    memcpy(absmax, &bits, sizeof bits);
    most = *absmax > LEAST ? *absmax : LEAST;
    by = 1 / most;
    if (n < BLOCK) {
        *absmax = most;
        for (size_t i = 0; i < n; i++)
            v[i] = clamped(x[i] / most);
    } else {
        for (size_t i = 0; i < BLOCK; i++)
            v[i] = clamped(x[i] * by);
    }
    encode(v, middle, pair);
    memcpy(nibbles, pair, (n + 1) / 2);
    return bits < 0x7f800000;
}

INLINE bool blocks(const float *x, size_t n, const float *middle, float *absmax, uint8_t *nibbles)
{
    bool fine = true;

    for (; n > 0; x += BLOCK, nibbles += BLOCK / 2) {
        const size_t some = n < BLOCK ? n : BLOCK;
        fine &= block(x, some, middle, absmax++, nibbles);
        n -= some;
    }
    return fine;
}

static bool blocks_plain(const float *x, size_t n, const float *middle, float *absmax,
                         uint8_t *nibbles)
{
    return blocks(x, n, middle, absmax, nibbles);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static bool blocks_avx2(const float *x, size_t n,
                                                        const float *middle, float *absmax,
                                                        uint8_t *nibbles)
{
    return blocks(x, n, middle, absmax, nibbles);
}
#endif

static bool blocks_of(const float *x, size_t n, const float *middle, float *absmax, uint8_t *nibbles)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return blocks_avx2(x, n, middle, absmax, nibbles);
#endif
    return blocks_plain(x, n, middle, absmax, nibbles);
}

/* --- the first level -------------------------------------------------------------------------- */

static size_t columns_of(const silr_tensor *t)
{
    return t->dim[t->n_dims - 1];
}

/* Rows that are read together: whole blocks, and enough for them to be worth a turn. */
static size_t rows_at_once(size_t columns)
{
    size_t rows = BLOCK;

    while (rows > 1 && rows / 2 * columns % BLOCK == 0)
        rows /= 2;
    while (rows * columns < AT_ONCE)
        rows *= 2;
    return rows;
}

static silr_status first_level(silr_nf4 *q, const silr_tensor *t, float *absmax, silr_error *err)
{
    const size_t columns = columns_of(t), rows = q->n / columns;
    const size_t most = rows_at_once(columns), some = most < rows ? most : rows;
    const size_t pieces = (rows + some - 1) / some;
    float middle[BOOK - 1], *scratch;
    bool fine = true;

    if (!(scratch = silr_alloc((size_t)omp_get_max_threads() * some, columns * sizeof *scratch)))
        return silr_fail_memory(err);
    for (int j = 0; j < BOOK - 1; j++)
        middle[j] = (silr_nf4_book[j] + silr_nf4_book[j + 1]) / 2;
#pragma omp parallel for schedule(dynamic) reduction(&& : fine)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * some, n = rows - first < some ? rows - first : some;
        float *x = scratch + (size_t)omp_get_thread_num() * some * columns;
        silr_tensor_rows(t, first, n, x);
        fine = blocks_of(x, n * columns, middle, absmax + first * columns / BLOCK,
                         q->nibbles + first * columns / 2) && fine;
    }
    silr_free(scratch);
    return fine ? SILR_OK
                : silr_fail(err, SILR_EINPUT,
                            "%s: has values that are infinite or not numbers; it cannot be kept in 4 bits",
                            t->name);
}

/* --- the second level ------------------------------------------------------------------------- */

/* The number of map for v in -1..1, by way of the grid. */
static uint8_t scale_code(const float *map, float v)
{
    const uint32_t step = (uint32_t)((v + 1) * 0.5F * 65535 + 0.5F);
    const float point = -1 + 2 * (float)step / 65535;
    int low = 0, high = 255; /* middles below the point: at least low, at most high */

    while (low < high) {
        const int j = (low + high) / 2;
        if (0.5F * (map[j] + map[j + 1]) < point)
            low = j + 1;
        else
            high = j;
    }
    return (uint8_t)low;
}

static void second_level(silr_nf4 *q, float *absmax)
{
    double sum = 0; /* of floats of about one size: exact, or nearly */

    for (size_t b = 0; b < q->blocks; b++)
        sum += (double)absmax[b];
    q->offset = (float)(sum / (double)q->blocks);
    for (size_t run = 0, b = 0; b < q->blocks; run++, b += SCALES) {
        const size_t n = q->blocks - b < SCALES ? q->blocks - b : SCALES;
        float top = 0;
        for (size_t i = 0; i < n; i++) {
            absmax[b + i] -= q->offset;
            top = fabsf(absmax[b + i]) > top ? fabsf(absmax[b + i]) : top;
        }
        q->top[run] = top;
        for (size_t i = 0; i < n; i++)
            q->scale[b + i] = top > 0 ? scale_code(q->map, clamped(absmax[b + i] * (1 / top))) : 0;
    }
}

/* --- the door --------------------------------------------------------------------------------- */

static size_t tops_of(size_t blocks)
{
    return (blocks + SCALES - 1) / SCALES;
}

static bool sizes(silr_nf4 *q, const silr_tensor *t)
{
    q->n = 1;
    for (int d = 0; d < t->n_dims; d++)
        if (!silr_mul(q->n, t->dim[d], &q->n))
            return false;
    q->blocks = q->n / BLOCK + (q->n % BLOCK != 0);
    return true;
}

silr_status silr_nf4_quantise(silr_nf4 *out, const silr_tensor *t, silr_error *err)
{
    silr_nf4 q = {0};
    float *absmax = NULL;
    silr_status st;

    *out = (silr_nf4){0};
    if (t->type >= SILR_TYPE_OTHER || !sizes(&q, t) || q.n == 0)
        return silr_fail(err, SILR_EINPUT, "%s: has no values that could be kept in 4 bits", t->name);
    q.nibbles = silr_calloc(q.n / 2 + 1 + SPARE, 1);
    q.scale = silr_alloc(q.blocks, 1);
    q.top = silr_alloc(tops_of(q.blocks), sizeof *q.top);
    absmax = silr_alloc(q.blocks, sizeof *absmax);
    if (!q.nibbles || !q.scale || !q.top || !absmax) {
        st = silr_fail_memory(err);
        goto done;
    }
    fill_map(q.map);
    if ((st = first_level(&q, t, absmax, err)) != SILR_OK)
        goto done;
    second_level(&q, absmax);
    *out = q;
    q = (silr_nf4){0};
done:
    silr_free(absmax);
    silr_nf4_clear(&q);
    return st;
}

void silr_nf4_clear(silr_nf4 *q)
{
    silr_free(q->nibbles);
    silr_free(q->scale);
    silr_free(q->top);
    *q = (silr_nf4){0};
}

size_t silr_nf4_bytes_of(size_t n)
{
    const size_t blocks = n / BLOCK + (n % BLOCK != 0);

    return n / 2 + 1 + SPARE + blocks + tops_of(blocks) * sizeof(float);
}

size_t silr_nf4_bytes(const silr_nf4 *q)
{
    return q->n > 0 ? silr_nf4_bytes_of(q->n) : 0;
}

float silr_nf4_scale(const silr_nf4 *q, size_t b)
{
    return q->map[q->scale[b]] * q->top[b / SCALES] + q->offset;
}

void silr_nf4_values(const silr_nf4 *q, size_t first, size_t n, float *out)
{
    for (size_t i = first; i < first + n;) {
        const size_t b = i / BLOCK, rest = first + n - i, left = BLOCK - i % BLOCK;
        const size_t end = i + (rest < left ? rest : left);
        const float scale = silr_nf4_scale(q, b);
        for (; i < end; i++)
            *out++ = silr_nf4_book[q->nibbles[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15] * scale;
    }
}
