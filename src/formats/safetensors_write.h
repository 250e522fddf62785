/* safetensors_write.h - writes a safetensors file: complete, or not at all.
 *
 *     const silr_saved_tensor t[] = {
 *         {.name = "score.weight", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {1, 64}, .values = w}};
 *     const silr_saved_note notes[] = {{"format", "pt"}};
 *     st = silr_safetensors_write(path, t, 1, notes, 1, NULL, NULL, err);
 *
 * What is too large to be held as floats is asked for by rows while it is written. */
#ifndef SILR_FORMATS_SAFETENSORS_WRITE_H
#define SILR_FORMATS_SAFETENSORS_WRITE_H

#include "formats/formats.h"

typedef struct {
    const char *name;             /* printable ASCII, at most 255 bytes; none twice, none "__metadata__" */
    silr_type type;               /* SILR_TYPE_F32, F16 or BF16: the values are rounded to it, ties to even */
    int n_dims;                   /* 1 to 4 */
    size_t dim[SILR_TENSOR_DIMS]; /* slowest first, none 0 */
    const float *values;          /* all of them; NULL: asked for with silr_saved_rows */
} silr_saved_tensor;

typedef struct {
    const char *key, *value; /* UTF-8 */
} silr_saved_note;

/* Puts rows first .. first + n - 1 (the last dimension is a row's) of tensor i into out. Called in the
 * order of rows, for one tensor after the other. What it returns but SILR_OK ends the writing. */
typedef silr_status (*silr_saved_rows)(void *ctx, size_t i, size_t first, size_t n, float *out,
                                       silr_error *err);

/* Writes n tensors and the notes (a "__metadata__" where there are any) to path: beside it, flushed to
 * disk, renamed; what was at path before stays until then. rows: NULL where all values are given.
 * SILR_EIO: cannot be written (disk full). SILR_ENOMEM. Whatever rows returned. */
silr_status silr_safetensors_write(const char *path, const silr_saved_tensor *tensor, size_t n,
                                   const silr_saved_note *note, size_t n_notes, silr_saved_rows rows,
                                   void *ctx, silr_error *err);

#endif
