/* scorer.h - a language model with a head: texts to scores; known inside classify/ only.
 *
 * What classifier `qlora` trains and what a saved one predicts with. */
#ifndef SILR_CLASSIFY_SCORER_H
#define SILR_CLASSIFY_SCORER_H

#include "classify/frozen.h"
#include "engine/tune.h"

typedef struct {
    silr_engine *engine;
    silr_tune *tune;
    const silr_tokenizer *words;
    size_t longest;  /* tokens of a text, at most */
    double dropout;  /* a saved one was trained with */
    size_t columns;  /* scores of a text */
} silr_scorer;

/* How a model is taken and what of it is trained: a task's classifier settings, or a saved file's. */
typedef struct {
    silr_tune_opts tune;
    silr_base_form base;
    silr_pooling_choice pooling;
    size_t max_tokens; /* 0: 512 */
} silr_scorer_opts;
silr_status silr_scorer_open(silr_scorer *s, const char *path, const silr_scorer_opts *o,
                             silr_error *err);
void silr_scorer_clear(silr_scorer *s);
/* Tokens that a text may have: as asked for (0: 512), as the model bears. */
size_t silr_scorer_longest(size_t max_tokens, const silr_model_spec *s);
/* Adds a text's tokens: one at least. */
silr_status silr_scorer_tokens(const silr_scorer *s, const char *text, size_t len, silr_tokens *out,
                               silr_error *err);
/* n texts' tokens, one behind the other: text i is ids->id[start[i] .. start[i + 1]). ids is empty, start
 * [n + 1]. */
silr_status silr_scorer_texts(const silr_scorer *s, const char *const *texts, const size_t *lens, size_t n,
                              silr_tokens *ids, size_t *start, silr_error *err);

/* "q, v" or "all" as the bits of silr_tune_opts.targets. SILR_EINPUT: another word. */
silr_status silr_targets_parse(uint32_t *out, const char *text, silr_error *err);

/* --- as files --------------------------------------------------------------------------------------- */

/* A saved classifier beside what its parameters are: qlora.json. logits = A score + b, A [columns][columns]
 * row-major. */
typedef struct {
    int K, columns;
    char **classes;
    silr_encoder_name base; /* opts: pooling, max_tokens */
    silr_base_form form;
    bool full;              /* tuned.safetensors has every matrix */
    double *A, *b;
} silr_qlora_data;
/* Writes dir/qlora.json, the adapter (adapter_config.json, adapter_model.safetensors: LoRA and head) and
 * what else is trained (tuned.safetensors), in that order's reverse: who finds qlora.json finds all. */
silr_status silr_qlora_write(const silr_qlora_data *q, silr_tune *t, double dropout, const char *dir,
                             silr_error *err);
/* The adapter alone; base_name: what peft is to load the base as. Where transformers' classifier of
 * sequences would give other scores, it is for that of tokens, whose scores are pooled. */
silr_status silr_qlora_write_adapter(silr_tune *t, double dropout, const char *base_name, const char *dir,
                                     silr_error *err);
/* The bytes of qlora.json; name is for errors. SILR_EINPUT: broken, or of a later version. */
silr_status silr_qlora_parse(silr_qlora_data *out, const char *json, size_t len, const char *name,
                             silr_error *err);
void silr_qlora_clear(silr_qlora_data *q);
/* The model at `path` with what lies in dir, ready to score. */
silr_status silr_qlora_open(silr_scorer *out, const silr_qlora_data *q, const char *dir,
                            const char *path, silr_error *err);

#endif
