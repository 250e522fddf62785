/* hash.h - fingerprints: XXH3 for tables and features, SHA-256 for the identity of files. */
#ifndef SILR_BASE_HASH_H
#define SILR_BASE_HASH_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

uint64_t silr_hash64(const void *bytes, size_t len, uint64_t seed);

typedef struct {
    char hex[65];
} silr_sha256;
silr_status silr_sha256_bytes(silr_sha256 *out, const void *bytes, size_t len, silr_error *err);
/* SILR_EINPUT: no such file or not a file; SILR_EIO: a read failed. */
silr_status silr_sha256_file(silr_sha256 *out, const char *path, silr_error *err);

#endif
