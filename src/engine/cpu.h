/* cpu.h - what the files of the fast backend share. */
#ifndef SILR_ENGINE_CPU_H
#define SILR_ENGINE_CPU_H

#include "engine/kernels.h"

const silr_kernels *silr_kernels_now(void);

/* The operations, a file a kind: cpu_linear*.c, cpu_product.c, cpu_attention*.c, cpu_rows*.c. */
silr_status silr_cpu_linear_new(silr_linear **out, const silr_tensor *const *weight,
                                const silr_tensor *const *bias, size_t n, silr_keep keep,
                                silr_error *err);
void silr_cpu_linear_free(silr_linear *w);
size_t silr_cpu_linear_bytes(const silr_linear *w);
silr_status silr_cpu_linear(const silr_linear *w, const float *x, size_t n, size_t ldx, float *y,
                            size_t ldy, bool add, silr_error *err);
silr_status silr_cpu_linear_back(const silr_linear *w, const float *dy, size_t n, size_t lddy, float *dx,
                                 size_t lddx, bool add, silr_error *err);
silr_status silr_cpu_linear_ready_back(silr_linear *w, silr_error *err);
silr_status silr_cpu_product(bool turn_a, bool turn_b, size_t m, size_t n, size_t k, float alpha,
                             const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc,
                             bool add, silr_error *err);
silr_status silr_cpu_attention(const silr_attention *a, const silr_attention_strides *s,
                               const silr_attention_text *text, size_t n_texts, silr_error *err);
silr_status silr_cpu_attention_back(const silr_attention *a, const silr_attention_strides *s,
                                    const silr_attention_text *text, const silr_attention_back *back,
                                    size_t n_texts, silr_error *err);
void silr_cpu_gather(const silr_tensor *table, const uint32_t *id, size_t n, float scale, float *out);
void silr_cpu_rms_norm(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                       size_t n, size_t dim, float *y, size_t ldy);
void silr_cpu_layer_norm(const float *x, size_t ldx, const float *w, const float *b, double epsilon,
                         size_t n, size_t dim, float *y, size_t ldy);
void silr_cpu_rope(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                   const uint32_t *position, const float *table, bool interleaved);
void silr_cpu_activate(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                       size_t dim, float *y, size_t ldy);
void silr_cpu_add(float *y, const float *x, size_t count);

/* Backward: cpu_rows_back.c. */
void silr_cpu_rms_norm_back(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                            size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                            float *dw);
void silr_cpu_layer_norm_back(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                              size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                              float *dw, float *db);
void silr_cpu_activate_back(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                            size_t dim, const float *dy, size_t lddy, float *dx, float *dup,
                            size_t lddx);
void silr_cpu_dropout(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx,
                      size_t n, size_t dim, float *y, size_t ldy, bool add);
void silr_cpu_gather_back(const uint32_t *id, size_t n, float scale, const float *dy, size_t dim,
                          float *dtable);

#endif
