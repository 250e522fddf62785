/* ops_inside.h - what the backends share: how matrices are stacked. Unknown outside engine/. */
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

/* The attention of the plain backend lies in a file of its own. */
silr_status silr_plain_attention(const silr_attention *a, const silr_attention_strides *s,
                                 const silr_attention_text *text, size_t n_texts, silr_error *err);

#endif
