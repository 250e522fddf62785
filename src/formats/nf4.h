/* nf4.h - matrices in 4 bits, as QLoRA keeps them (NF4 with double quantisation).
 *
 * The values of a tensor, row behind row, are cut into blocks of 64 (the last may be shorter; a block
 * may span rows). A value is its block's scale times one of 16 numbers; the scales themselves are
 * kept in 8 bits. 0.516 bytes a value, and the codes are those of bitsandbytes:
 *
 *     silr_nf4 q;
 *     if ((st = silr_nf4_quantise(&q, tensor, err)) != SILR_OK)
 *         return st;
 *     silr_nf4_values(&q, row * columns, columns, out);      a row as floats
 *     silr_nf4_clear(&q);
 *
 * Read-only once made; any number of threads may read. */
#ifndef SILR_FORMATS_NF4_H
#define SILR_FORMATS_NF4_H

#include "formats/formats.h"

enum { SILR_NF4_BLOCK = 64, SILR_NF4_SCALES = 256 /* that share a top */ };

typedef struct {
    size_t n, blocks;
    uint8_t *nibbles;   /* [(n + 1) / 2], the first of two values in the high bits; 16 bytes more may be read */
    uint8_t *scale;     /* [blocks] which number of map */
    float *top;         /* [blocks / 256, rounded up] */
    float offset;       /* block b's scale is map[scale[b]] * top[b / 256] + offset */
    float map[256];
} silr_nf4;

/* The 16 numbers, ascending from -1 to 1. */
extern const float silr_nf4_book[16];

/* Quantises a tensor of any type that has values, in parallel: the same bytes for any number of
 * threads, and never more of the tensor as floats at once than 64 rows (or some 30,000 values) a thread.
 * SILR_EINPUT: a type without values, or a value that is infinite or not a number. SILR_ENOMEM. On
 * failure *out is empty. */
silr_status silr_nf4_quantise(silr_nf4 *out, const silr_tensor *t, silr_error *err);
void silr_nf4_clear(silr_nf4 *q); /* an empty one is fine */
size_t silr_nf4_bytes(const silr_nf4 *q); /* what it owns beside itself */
size_t silr_nf4_bytes_of(size_t n);       /* the same for n values, known before */

/* Block b's scale, rounded to float after its multiplication and after its addition. */
float silr_nf4_scale(const silr_nf4 *q, size_t b);
/* Values first .. first + n - 1 of all n: book times scale, rounded once. The caller keeps to them. */
void silr_nf4_values(const silr_nf4 *q, size_t first, size_t n, float *out);

#endif
