/* peft.h - LoRA adapters as the `peft` library keeps them in a folder.
 *
 *     adapter_config.json          ranks, scales, which matrices
 *     adapter_model.safetensors    A and B of each, and a classifier's head
 *
 * An adapted matrix W [out][in] acts as W + scale B A, with A [r][in], B [out][r]. Matrices are named by
 * layer and part as everywhere in formats/; B's rows are in the order of the base's own rows, which for
 * queries and keys is another one in GGUF files of the llama family than in adapters: both directions
 * put that right here.
 *
 *     silr_adapter a;
 *     if ((st = silr_adapter_read(&a, "run/classifier", spec, err)) != SILR_OK)
 *         return st;
 *     const silr_lora *q = silr_adapter_lora(&a, layer, SILR_PART_Q);     q->r == 0: not adapted
 *     silr_adapter_clear(&a);
 *
 * Read-only once read; any number of threads may read. */
#ifndef SILR_FORMATS_PEFT_H
#define SILR_FORMATS_PEFT_H

#include "formats/formats.h"

typedef struct {
    size_t r;      /* 0: this matrix has none */
    double alpha;
    float *a, *b;  /* [r][in], [out][r] */
} silr_lora;

typedef struct {
    size_t layers;
    silr_lora *lora;    /* [layers][SILR_PARTS]; only matrices of a layer have any */
    bool rslora;        /* scale is alpha / sqrt(r), else alpha / r */
    double dropout;     /* it was, or is to be, trained with */
    bool by_token;      /* written only: transformers' classifier is that of tokens, whose scores are pooled, not
                           that of sequences, which reads the last token (decoders) or has layers of its
                           own before the head (encoders) */
    size_t classes;     /* rows of the head: 1 for two classes with one score; 0: no head */
    float *head, *bias; /* [classes][hidden]; [classes], NULL: none */
    float *values;      /* what a..bias point into when they are owned; NULL: they are somebody else's */
} silr_adapter;

/* An adapter of nothing, for a model of `layers` layers: to be filled with pointers to A, B and head
 * that stay the caller's. SILR_ENOMEM. */
silr_status silr_adapter_init(silr_adapter *a, size_t layers, silr_error *err);
void silr_adapter_clear(silr_adapter *a); /* an empty one is fine */
silr_lora *silr_adapter_lora(const silr_adapter *a, size_t layer, silr_part part);
double silr_adapter_scale(const silr_adapter *a, const silr_lora *l);
/* Is it a matrix of a layer, which can be adapted, in this model? Its shape, then. */
bool silr_adapter_fits(const silr_model_spec *base, silr_part part, size_t *out, size_t *in);

/* Reads the adapter in folder dir, checked against the base it is to be used with: every tensor is
 * known, of its right shape and finite, and there are just those that the config says. Refused
 * (SILR_EINPUT): what would change the scores in a way silr does not do (DoRA, biases, and so on).
 * SILR_EIO, SILR_ENOMEM. On failure *out is empty. */
silr_status silr_adapter_read(silr_adapter *out, const char *dir, const silr_model_spec *base,
                              silr_error *err);
/* From bytes (fuzzing). */
silr_status silr_adapter_parse(silr_adapter *out, const char *config, size_t config_len,
                               const void *tensors, size_t tensors_len, const silr_model_spec *base,
                               silr_error *err);

/* Writes a into folder dir (made if need be), so that peft loads it onto the sequence classifier of the
 * same base. base_name: what peft is to call the base; NULL: unknown. A decoder's classifier has no bias
 * in transformers: one that is written all the same (score.bias) is read by silr alone.
 * SILR_EIO, SILR_ENOMEM. */
silr_status silr_adapter_write(const char *dir, const silr_adapter *a, const silr_model_spec *base,
                               const char *base_name, silr_error *err);

#endif
