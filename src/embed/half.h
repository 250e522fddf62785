/* half.h - IEEE half precision (binary16): a vector of an encoder in half the bytes.
 *
 * Rounded to the nearest, ties to even, subnormals kept; beyond 65504 it becomes infinite. The
 * machine's instructions (F16C) are used where it has them, and give the same bits as the plain
 * code. */
#ifndef SILR_EMBED_HALF_H
#define SILR_EMBED_HALF_H

#include <stddef.h>
#include <stdint.h>

void silr_half_from(const float *in, size_t n, uint16_t *out);
void silr_half_to(const uint16_t *in, size_t n, float *out);

/* The plain code alone (tests hold the other to it). */
uint16_t silr_half_from_one(float v);
float silr_half_to_one(uint16_t h);

#endif
