/* kernels.h - the inner loops of the fast backend: one table for each kind of processor.
 *
 * The loops are written once, in the body_*.h, with vectors of LANES floats. cpu_avx2.c,
 * cpu_avx512.c and cpu_any.c say what a vector is and include them; cpu.c chooses a table when the
 * program runs and cuts the work into tiles. No kernel allocates, starts threads or can fail.
 *
 * What a row's numbers are depends on the row alone: kernels for 6 rows and for 1 do the same to
 * each, in the same order. */
#ifndef SILR_ENGINE_KERNELS_H
#define SILR_ENGINE_KERNELS_H

#include "engine/ops.h"

/* y[rows][columns] (+)= x[rows][in] W^T + bias, for a tile of rows and columns. */
typedef struct {
    const float *x;
    float *y;             /* at the first column of the tile */
    size_t rows, columns, in, ldx, ldy;
    const float *bias;    /* at the first column; NULL: none */
    bool add;
} silr_tile_product;

/* C[rows][columns] (+)= alpha A B as silr_ops.product has it, for a tile of rows and columns and all
 * of k. */
typedef struct {
    const float *a, *b; /* at the tile's first row, at its first column */
    float *c;
    size_t rows, columns, k, lda, ldb, ldc;
    bool turn_a, turn_b, add;
    bool near;      /* b lies in a cache, and its rows may be read up to whole panels: no copy is made */
    float alpha;
    float *scratch; /* multiply_scratch(t) floats, 64-byte aligned */
} silr_tile_multiply;

/* A tile of attention: the rows first .. first + rows - 1 of one text and one head of keys. Row r is
 * query r / group of head kv_head * group + r % group, where group = heads / kv_heads. */
typedef struct {
    const silr_attention *a;
    const silr_attention_strides *s;
    const silr_attention_text *text;
    size_t kv_head, first, rows;
    float *scratch; /* attention_scratch(a, rows) floats, 64-byte aligned */
} silr_tile_attention;

/* Backward: all of one text and one head of keys. */
typedef struct {
    const silr_attention *a;
    const silr_attention_strides *s;
    const silr_attention_text *text;
    const silr_attention_back *back;
    size_t kv_head;
    float *scratch; /* attention_back_scratch(t) floats, 64-byte aligned: more for longer texts */
} silr_tile_attention_back;

typedef struct {
    const char *name;
    size_t panel; /* columns of W that lie interleaved */
    size_t rows;  /* of x multiplied at once: tiles of whole multiples are the fastest */
    /* W's rows w[columns <= panel][in] to out[in][panel], short columns filled with zeros. */
    void (*pack)(const float *w, size_t columns, size_t in, float *out);
    /* W as panels, at the first column of the tile, which starts a panel. */
    void (*product)(const silr_tile_product *t, const float *packed);
    /* Rows first .. first + columns - 1 of a matrix as filed. */
    void (*product_filed)(const silr_tile_product *t, const silr_tensor *w, size_t first);
    size_t (*multiply_scratch)(const silr_tile_multiply *t);
    void (*multiply)(const silr_tile_multiply *t);
    void (*dequantise)(silr_type type, const void *data, size_t n, float *out);

    size_t (*attention_scratch)(const silr_attention *a, size_t rows);
    void (*attention)(const silr_tile_attention *t);
    size_t (*attention_back_scratch)(const silr_tile_attention_back *t);
    void (*attention_back)(const silr_tile_attention_back *t);

    void (*rms_norm)(const float *x, size_t ldx, const float *w, float plus, double epsilon, size_t n,
                     size_t dim, float *y, size_t ldy);
    void (*layer_norm)(const float *x, size_t ldx, const float *w, const float *b, double epsilon,
                       size_t n, size_t dim, float *y, size_t ldy);
    void (*rope)(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                 const uint32_t *position, const float *table, bool interleaved);
    void (*activate)(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                     size_t dim, float *y, size_t ldy);
    void (*add)(float *y, const float *x, size_t count);
    void (*scale)(float *x, float by, size_t count);

    /* Backward, as in silr_ops but for the sums over rows: what x is multiplied by in each row, and what
     * is taken from it before, goes to r [n] and mean [n] where these are not NULL; then
     * dw[dim] += sum over n rows of (x - mean) r dy and db += sum of dy (mean, dw, db may be NULL). */
    void (*rms_norm_back)(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                          size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                          float *r);
    void (*layer_norm_back)(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                            size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx, float *r,
                            float *mean);
    void (*norm_sums)(const float *x, size_t ldx, const float *r, const float *mean, size_t n,
                      size_t dim, const float *dy, size_t lddy, float *dw, float *db);
    void (*activate_back)(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                          size_t dim, const float *dy, size_t lddy, float *dx, float *dup, size_t lddx);
    void (*dropout)(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx, size_t n,
                    size_t dim, float *y, size_t ldy, bool add);
    void (*add_scaled)(float *y, const float *x, float by, size_t count); /* y += by x */
} silr_kernels;

extern const silr_kernels silr_kernels_any;
#if defined(__x86_64__)
extern const silr_kernels silr_kernels_avx2;
extern const silr_kernels silr_kernels_avx512;
#endif

/* Those that this machine can run, the best first; 0 <= i, NULL behind the last. */
const silr_kernels *silr_kernels_at(size_t i);
/* For tests: silr_ops_cpu computes with these from now on (NULL: the best). Matrices keep those with
 * which they were made. */
void silr_kernels_use(const silr_kernels *k);

#endif
