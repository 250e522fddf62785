/* cpu_linear.h - a matrix as the fast backend has it. Known in cpu_linear*.c only. */
#ifndef SILR_ENGINE_CPU_LINEAR_H
#define SILR_ENGINE_CPU_LINEAR_H

#include "engine/cpu.h"
#include "engine/ops_inside.h"

struct silr_linear {
    silr_stack stack;
    const silr_kernels *kernels;
    float *block, *back_block; /* what was allocated */
    float *packed; /* [panels][in][panel], 64-byte aligned; NULL: as filed */
    float *back;   /* the same of the transpose, [panels of in][out][panel]; NULL: not made ready */
};

/* A block of the matrix as floats, whatever it is kept as: rows first .. first + n - 1 of the stack,
 * their columns at .. at + columns - 1, to out, rows ld floats apart. at and columns are whole multiples
 * of SILR_VALUES_UNIT, but for the last columns of a row. All that multiplies by a matrix that is not
 * packed the right way takes it from here: a new way of keeping rows needs nothing else. */
enum { SILR_VALUES_UNIT = 256 }; /* a whole number of blocks of every type */
void silr_linear_values(const silr_linear *w, size_t first, size_t n, size_t at, size_t columns,
                        float *out, size_t ld);

/* [columns / panel][rows][panel] floats, 64-byte aligned behind *block, which is to be freed. */
silr_status silr_linear_room(const silr_linear *w, size_t rows, size_t columns, float **block, float **at,
                             silr_error *err);
size_t silr_linear_room_bytes(const silr_linear *w, size_t rows, size_t columns);
/* y = x times a packed matrix of all.in rows and all.columns columns, tile by tile. */
void silr_linear_run(const silr_linear *w, const float *packed, const silr_tile_product *all);

#endif
