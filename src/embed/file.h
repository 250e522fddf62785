/* file.h - the file that keeps vectors; known inside embed/ only. */
#ifndef SILR_EMBED_FILE_H
#define SILR_EMBED_FILE_H

#include "embed/embed.h"

/* Which text: the first 16 bytes of its SHA-256. */
typedef struct {
    uint8_t byte[16];
} silr_embed_key;

typedef struct {
    int fd;
    char *path;     /* for errors */
    size_t dim;
    uint64_t seed;  /* of checksums: the file's identity */
    uint64_t end;   /* behind the last whole block that was seen */
    bool locked;
} silr_embed_file;

enum { SILR_EMBED_BLOCK = 256 }; /* most texts a block */

/* Opens or makes the file of e in dir (NULL: nameless, in memory). */
silr_status silr_embed_open(silr_embed_file *f, const silr_encoder *e, const char *dir,
                            silr_error *err);
void silr_embed_close(silr_embed_file *f); /* zero or closed: fine */

/* Waits until nobody else writes; then silr_embed_scan sees all there is, and a torn end is cut
 * off. SILR_ECANCEL. */
silr_status silr_embed_lock(silr_embed_file *f, silr_error *err);

/* Calls seen for every vector behind f->end in whole blocks: where its halves lie. Moves f->end.
 * Broken blocks are passed over; *broken (NULL is fine) counts the stretches. */
typedef void (*silr_embed_seen)(void *ctx, const silr_embed_key *key, uint64_t at);
silr_status silr_embed_scan(silr_embed_file *f, silr_embed_seen seen, void *ctx, size_t *broken,
                            silr_error *err);

/* Adds a block; locked only. *first: where its first row lies. */
silr_status silr_embed_append(silr_embed_file *f, const silr_embed_key *keys, const uint16_t *rows,
                              size_t n, uint64_t *first, silr_error *err);

#endif
