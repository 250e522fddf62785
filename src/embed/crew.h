/* crew.h - vectors made by all ranks; known inside embed/ only. */
#ifndef SILR_EMBED_CREW_H
#define SILR_EMBED_CREW_H

#include "embed/embed.h"

/* Every rank opens the model that e was opened from; e is borrowed. SILR_EINPUT: a rank has no such
 * model, or another one there. */
silr_status silr_embed_crew_open(silr_crew **out, silr_encoder *e, silr_error *err);
/* The vectors of n texts, none of them without a byte, out [n][e->dim]; tokens: what each costs. */
silr_status silr_embed_crew_work(silr_crew *c, const silr_encoder *e, const char *const *texts,
                                 const size_t *lens, const uint32_t *tokens, size_t n, float *out,
                                 silr_error *err);

#endif
