/* ops_inside.h - what the backends share: how matrices are stacked, how dropout draws, and the plain
 * operations. Unknown outside engine/. */
#ifndef SILR_ENGINE_OPS_INSIDE_H
#define SILR_ENGINE_OPS_INSIDE_H

#include "engine/ops.h"

/* The matrices of a stack, checked: all [out_i][in], of types that can be computed with. */
typedef struct {
    size_t n, in, out;   /* out = sum out_i */
    silr_tensor *weight; /* [n] the tensors' descriptions; their bytes stay where they are */
    float *bias;         /* [out], zeros where a part has none; NULL where none has one */
} silr_stack;

silr_status silr_stack_init(silr_stack *s, const silr_tensor *const *weight,
                            const silr_tensor *const *bias, size_t n, silr_error *err);
void silr_stack_clear(silr_stack *s);
/* Bytes of one row of a matrix of `in` columns. */
size_t silr_row_bytes(silr_type type, size_t in);

/* Dropout: value k of a row is decided by 16 bits of what Philox makes of (key; counter, row). They
 * lie so that vectors of any width draw them without exchanging lanes: 64 successive k share 8
 * counters, each giving four decisions to the first 32 and four to the second.
 *
 *     counter  8 (k / 64) + k % 32 / 4      word  2 (k % 64 / 32) + k % 4 / 2      half  k % 2
 *
 * The value is dropped if the 16 bits, as a number, are below silr_drop_below(rate). */
static inline uint32_t silr_drop_below(double rate)
{
    return (uint32_t)(rate * 65536 + 0.5);
}

/* Those of the plain backend that lie in files of their own, by name as in silr_ops. */
silr_status silr_plain_attention(const silr_attention *a, const silr_attention_strides *s,
                                 const silr_attention_text *text, size_t n_texts, silr_error *err);
silr_status silr_plain_attention_back(const silr_attention *a, const silr_attention_strides *s,
                                      const silr_attention_text *text, const silr_attention_back *back,
                                      size_t n_texts, silr_error *err);
silr_status silr_plain_product(bool turn_a, bool turn_b, size_t m, size_t n, size_t k, float alpha,
                               const float *a, size_t lda, const float *b, size_t ldb, float *c,
                               size_t ldc, bool add, silr_error *err);
void silr_plain_rms_norm_back(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                              size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                              float *dw);
void silr_plain_layer_norm_back(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                                size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                                float *dw, float *db);
void silr_plain_activate_back(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                              size_t dim, const float *dy, size_t lddy, float *dx, float *dup,
                              size_t lddx);
void silr_plain_dropout(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx,
                        size_t n, size_t dim, float *y, size_t ldy, bool add);
void silr_plain_gather_back(const uint32_t *id, size_t n, float scale, const float *dy, size_t dim,
                            float *dtable);

#endif
