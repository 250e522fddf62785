/* weights_inside.h - what an open model is made of. */
#ifndef SILR_FORMATS_WEIGHTS_INSIDE_H
#define SILR_FORMATS_WEIGHTS_INSIDE_H

#include "formats/inside.h"
#include "formats/safetensors.h"

#include <pthread.h>

/* The hash, once it was asked for. */
typedef struct {
    pthread_mutex_t lock;
    bool known;
    silr_sha256 hash;
} silr_identity;

struct silr_weights {
    char *path;
    silr_plan plan;
    silr_gguf *gguf; /* or else: */
    char *folder;
    char **name; /* of the files in it that hold tensors */
    silr_safetensors **file;
    size_t n_files;
    char pooling[256];          /* the folder in it that says how to pool; "": none does */
    const silr_entry **entry;   /* in the order of the files */
    const silr_entry **by_name; /* the same, sorted */
    size_t n;
    const silr_tensor **part; /* [layer][part][bias]; parts that are there once: layer 0 */
    silr_identity *identity;
};

silr_weights *silr_weights_new(const char *path);
/* From a parsed file, which it takes (also when it fails). */
silr_status silr_weights_of_gguf(silr_weights **out, silr_gguf *g, const char *path,
                                 silr_error *err);
/* The model in w->folder: only_file, or NULL for what a folder's files are called. */
silr_status silr_weights_read_folder(silr_weights *w, const char *only_file, silr_error *err);
/* Sorts w->entry by name and finds the parts that w->plan needs. */
silr_status silr_weights_sort(silr_weights *w, silr_error *err);
silr_status silr_weights_find_parts(silr_weights *w, silr_error *err);

#endif
