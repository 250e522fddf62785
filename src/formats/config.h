/* config.h - what a folder's JSON files say of a model; for formats/ only. */
#ifndef SILR_FORMATS_CONFIG_H
#define SILR_FORMATS_CONFIG_H

#include "formats/inside.h"
#include "formats/json.h"

/* config.json. p->prefix is left to whoever knows the tensors' names. */
silr_status silr_plan_from_config(silr_plan *p, const json_t *config, const char *path,
                                  silr_error *err);

/* Each puts what one file of sentence-transformers says into the spec. */
/* modules.json: Normalize, and which folder says how to pool ("" when none does). */
silr_status silr_config_modules(silr_model_spec *s, const json_t *modules, char *pooling,
                                size_t size, const char *path, silr_error *err);
/* 1_Pooling/config.json */
silr_status silr_config_pooling(silr_model_spec *s, const json_t *config, const char *path,
                                silr_error *err);
/* sentence_bert_config.json */
silr_status silr_config_sentence(silr_model_spec *s, const json_t *config, const char *path,
                                 silr_error *err);

#endif
