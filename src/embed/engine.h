/* engine.h - encoders of the engine; known inside embed/ only. */
#ifndef SILR_EMBED_ENGINE_H
#define SILR_EMBED_ENGINE_H

#include "embed/embed.h"

silr_status silr_engine_encoder_open(silr_encoder **out, const char *path,
                                     const silr_encoder_opts *opts, silr_error *err);
silr_status silr_engine_encoder_hash(silr_sha256 *out, const char *path, silr_error *err);

#endif
