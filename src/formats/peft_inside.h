/* peft_inside.h - what reading and writing an adapter share. */
#ifndef SILR_FORMATS_PEFT_INSIDE_H
#define SILR_FORMATS_PEFT_INSIDE_H

#include "formats/inside.h"
#include "formats/json.h"
#include "formats/peft.h"

#define SILR_PEFT_ROOT "base_model.model."
enum { SILR_PEFT_NAME = 256 };

/* How transformers names the base's matrices: "model.layers.3.self_attn.q_proj". prefixed: with what
 * stands before the layers in a classifier ("model.", "bert."); else as in the bare model. */
silr_plan silr_peft_plan(const silr_model_spec *base, bool prefixed);
void silr_peft_module(const silr_plan *p, size_t layer, silr_part part, char out[SILR_PEFT_NAME]);
/* Row `row` of the base's matrix is which of the adapter's? */
size_t silr_peft_row(const silr_model_spec *base, silr_part part, size_t row);
/* The other way round: the adapter's row is which of the base's? */
size_t silr_peft_base_row(const silr_model_spec *base, silr_part part, size_t row);

/* adapter_config.json, checked; borrows from its JSON. */
typedef struct {
    json_t *json;
    const char *path;
    size_t r;
    double alpha, dropout;
    bool rslora;
} silr_peft_config;
silr_status silr_peft_config_read(silr_peft_config *c, json_t *json, const char *path,
                                  silr_error *err);
/* Is this module adapted, and how? */
silr_status silr_peft_targets(const silr_peft_config *c, const char *module, size_t layer, bool *yes,
                              silr_error *err);
silr_status silr_peft_rank(const silr_peft_config *c, const char *module, size_t *r, double *alpha,
                           silr_error *err);

#endif
