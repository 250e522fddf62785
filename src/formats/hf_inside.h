/* hf_inside.h - what hf_write.c and hf_config.c share. */
#ifndef SILR_FORMATS_HF_INSIDE_H
#define SILR_FORMATS_HF_INSIDE_H

#include "formats/hf_write.h"
#include "formats/peft_inside.h"

/* config.json. SILR_EINPUT: as silr_hf_write. */
silr_status silr_hf_config(silr_buf *out, const silr_weights *base, const silr_hf_model *m, silr_error *err);
/* Does the base have biases on all of these matrices (+1), on none (0), or on some (-1)? */
int silr_hf_biases(const silr_weights *base, const silr_part *part, size_t n);

#endif
