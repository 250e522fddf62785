/* inside.h - what the files of formats/ share. */
#ifndef SILR_FORMATS_INSIDE_H
#define SILR_FORMATS_INSIDE_H

#include "formats/formats.h"
#include "formats/gguf.h"
#include "formats/map.h"

/* A tensor with what its file calls its type, which silr_type does not tell for SILR_TYPE_OTHER. */
typedef struct {
    silr_tensor tensor;
    const char *type_name;
    size_t at; /* where its bytes begin in its file */
} silr_entry;

/* Is name fit to be a tensor's or key's: printable ASCII, 1 to max bytes? Then it may be shown. */
bool silr_entry_name_ok(const char *name, size_t len, size_t max);
/* Sorts pointers to `n` entries by name. false: two have the same, *twice. */
bool silr_entries_by_name(const silr_entry **sorted, size_t n, const char **twice);
/* Do the entries' bytes fill start .. end one behind the other, each beginning at a multiple of
 * `align`, with nothing but padding between? Sorts `sorted` by place. SILR_EINPUT: err says which.
 */
silr_status silr_entries_packed(const silr_entry **sorted, size_t n, size_t start, size_t end,
                                size_t align, const char *path, silr_error *err);

/* --- what a model should have ------------------------------------------------------------------
 */

typedef enum { SILR_NEED_NEVER, SILR_NEED_MAYBE, SILR_NEED_MUST } silr_need;
typedef enum {
    SILR_LAYOUT_GGUF,
    SILR_LAYOUT_GGUF_BERT,
    SILR_LAYOUT_LLAMA,
    SILR_LAYOUT_GEMMA,
    SILR_LAYOUT_BERT,
    SILR_LAYOUTS
} silr_layout;

/* The spec, and with it what the search for the parts must know. */
typedef struct {
    silr_model_spec spec;
    silr_layout layout;   /* what the tensors are called */
    char prefix[48];      /* in front of all their names: "bert." */
    char head_prefix[48]; /* of the output matrix, which stands beside the rest: "" */
    bool head;            /* ends in logits of the vocabulary: has an output matrix, or is tied */
    silr_need qkv_bias, o_bias, mlp_bias;
} silr_plan;

/* Fields that follow from others or are 0 mostly: the family's ways. For all that a file may not
 * say; the readers put what it does say on top. */
void silr_plan_family(silr_plan *p, silr_family family);
/* Are the numbers such that a model can have them? SILR_EINPUT: err says which is not. */
silr_status silr_plan_check(const silr_plan *p, const char *path, silr_error *err);
/* From a GGUF file's keys; a family's name as GGUF writes it. */
silr_status silr_plan_from_gguf(silr_plan *p, const silr_gguf *g, const char *path,
                                silr_error *err);

/* "model.layers.3.mlp.up_proj.weight"; false: this layout has no such part, or no room. `old`: the
 * names that norms had in early files (gamma, beta); false where they are the same. */
bool silr_part_name(const silr_plan *p, silr_part part, size_t layer, bool bias, bool old,
                    char *out, size_t size);
bool silr_part_of_layer(silr_part part);
silr_need silr_part_need(const silr_plan *p, silr_part part, bool bias);
/* The shape that a part must have: dim[0..n-1], n returned. */
int silr_part_shape(const silr_model_spec *spec, silr_part part, bool bias, size_t dim[2]);

/* --- GGUF --------------------------------------------------------------------------------------
 */

uint32_t silr_gguf_version(const silr_gguf *g);
const silr_entry *silr_gguf_entry(const silr_gguf *g, size_t i);
const silr_map *silr_gguf_mapped(const silr_gguf *g); /* NULL: parsed from bytes */

#endif
