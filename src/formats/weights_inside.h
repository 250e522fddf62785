/* weights_inside.h - what an open model is made of. */
#ifndef SILR_FORMATS_WEIGHTS_INSIDE_H
#define SILR_FORMATS_WEIGHTS_INSIDE_H

#include "formats/inside.h"

#include <pthread.h>

struct silr_weights {
    char *path;
    silr_plan plan;
    silr_gguf *gguf;            /* or else: */
    const silr_entry **entry;   /* in the order of the files */
    const silr_entry **by_name; /* the same, sorted */
    size_t n;
    const silr_tensor **part; /* [layer][part][bias]; parts that are there once: layer 0 */
    pthread_mutex_t lock;     /* over what follows */
    bool hashed;
    silr_sha256 hash;
};

/* From a parsed file, which it takes (also when it fails). */
silr_status silr_weights_of_gguf(silr_weights **out, silr_gguf *g, const char *path,
                                 silr_error *err);
/* Sorts w->entry by name and finds the parts that w->plan needs. */
silr_status silr_weights_find_parts(silr_weights *w, silr_error *err);

#endif
