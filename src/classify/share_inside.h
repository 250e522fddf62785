/* share_inside.h - what share.c and share_about.c have in common. */
#ifndef SILR_CLASSIFY_SHARE_INSIDE_H
#define SILR_CLASSIFY_SHARE_INSIDE_H

#include "classify/model.h"
#include "classify/share.h"

typedef struct {
    silr_model *m;
    const silr_share_opts *o;
    const char *dir;
    silr_pooling pooling; /* in force */
    bool by_token;        /* transformers' classifier is that of tokens */
    const char *folder;   /* the base's; NULL: it is a GGUF file. Lives as long as the model is loaded */
    int64_t pad, bos, eos;/* tokens; -1: none */
} silr_sharing;

/* README.md. */
silr_status silr_share_about(const silr_sharing *s, silr_error *err);

#endif
