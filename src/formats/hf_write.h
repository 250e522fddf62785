/* hf_write.h - a sequence classifier as transformers keeps it in a folder.
 *
 *     config.json          the class that reads it, the model's numbers, what the classes are called
 *     model.safetensors    all tensors by the names that class has for them, the head among them
 *
 * The tensors are those of an open base, whatever it lies in (GGUF or a folder), as the caller changes
 * them: it is asked for them by rows while they are written, so that no more than some rows are in
 * memory. Rows are in the base's own order and convention; what transformers has otherwise (q and k of
 * GGUF's llama, Gemma's norms less 1) is put right here.
 *
 *     const silr_hf_model m = {.type = SILR_TYPE_F32, .columns = 1, .head = w, .labels = names,
 *                              .pad = 0, .bos = 1, .eos = 2, .rows = rows_of, .ctx = &merged};
 *     st = silr_hf_write("merged", weights, &m, err);
 *
 * The output matrix is left out: a classifier has none. */
#ifndef SILR_FORMATS_HF_WRITE_H
#define SILR_FORMATS_HF_WRITE_H

#include "formats/formats.h"

/* Rows first .. first + n - 1 of a part as floats into out [n][columns]; a vector is one row. */
typedef silr_status (*silr_hf_rows)(void *ctx, silr_part part, size_t layer, bool bias, size_t first,
                                    size_t n, float *out, silr_error *err);

typedef struct {
    silr_type type;            /* of the tensors: F32, F16 or BF16 */
    bool by_token;             /* ...ForTokenClassification: each token gets its scores, from a head with a
                                  bias; else ...ForSequenceClassification: the last token that is no
                                  padding, from a head without */
    size_t columns;            /* scores */
    const float *head, *bias;  /* [columns][hidden]; [columns], NULL: zeros */
    const char *const *labels; /* [columns] what a score speaks for */
    int64_t pad, bos, eos;     /* ids of these tokens; -1: none */
    silr_hf_rows rows;         /* NULL: the base's own */
    void *ctx;
} silr_hf_model;

/* What transformers calls that class: "LlamaForSequenceClassification". */
void silr_hf_class(char *out, size_t size, const silr_model_spec *base, bool by_token);
/* Writes both files into folder dir (made if need be). SILR_EINPUT: this base cannot be said in
 * transformers' words; a value is too large for `type`. SILR_EIO, SILR_ENOMEM. */
silr_status silr_hf_write(const char *dir, const silr_weights *base, const silr_hf_model *m, silr_error *err);

#endif
