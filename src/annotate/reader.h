/* reader.h - prompts in, likelihoods of the classes' names out; on one rank or on all. Known inside
 * annotate/ only.
 *
 * A reader is what every rank needs to read prompts; whoever writes them (local.c) is at rank 0 alone. */
#ifndef SILR_ANNOTATE_READER_H
#define SILR_ANNOTATE_READER_H

#include "annotate/annotator.h"
#include "engine/engine.h"

typedef struct {
    silr_engine *engine;
    silr_prefix *prefix; /* the common beginning of prompts; NULL: none, all are read whole */
    silr_tokens names;   /* of class k: names.id[name[k] .. name[k + 1]) */
    size_t *name, n_names;
    bool single;         /* every name is one token */
} silr_reader;
void silr_reader_clear(silr_reader *r);

/* Prompts as the engine takes them: i is id[start[i] .. start[i + 1]), whole or behind the prefix. */
typedef struct {
    const uint32_t *id;
    const size_t *start;
    size_t n;
    bool whole;
} silr_prompts;

/* Log-likelihood of each name (up to a constant a prompt) as the answer: l [n][n_names]. */
silr_status silr_reader_read(const silr_reader *r, const silr_prompts *p, float *l, silr_error *err);

/* Every rank makes a reader like r, which is borrowed: of the model file at `path`, with the hash of
 * its weights and the tokens of its prefix. SILR_EINPUT: a rank has no such model, or another one. */
typedef struct {
    const char *path;
    silr_weights_kept keep;
    silr_sha256 hash;
    const silr_tokens *begin;
} silr_reader_origin;
silr_status silr_reader_crew(silr_crew **out, silr_reader *r, const silr_reader_origin *o, silr_error *err);
/* silr_reader_read, each rank its share: as many tokens as the others. */
silr_status silr_reader_read_all(silr_crew *c, const silr_reader *r, const silr_prompts *p, float *l,
                                 silr_error *err);

#endif
