#include "base/hash.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t silr_hash64(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

static void to_hex(silr_sha256 *out, const unsigned char digest[32])
{
    for (int i = 0; i < 32; i++)
        snprintf(out->hex + 2 * i, 3, "%02x", digest[i]);
}

silr_status silr_sha256_bytes(silr_sha256 *out, const void *bytes, size_t len, silr_error *err)
{
    unsigned char digest[32];
    if (EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return silr_fail_memory(err);
    to_hex(out, digest);
    return SILR_OK;
}

silr_status silr_sha256_file(silr_sha256 *out, const char *path, silr_error *err)
{
    silr_status st = SILR_OK;
    EVP_MD_CTX *ctx = NULL;
    unsigned char digest[32], chunk[1 << 16];
    struct stat info;
    FILE *f = fopen(path, "rb");

    if (!f || fstat(fileno(f), &info) != 0) {
        st = silr_fail(err, SILR_EINPUT, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (S_ISDIR(info.st_mode)) {
        st = silr_fail(err, SILR_EINPUT, "%s: is a folder, not a file", path);
        goto done;
    }
    if (!(ctx = EVP_MD_CTX_new()) || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (;;) {
        size_t n = fread(chunk, 1, sizeof chunk, f);
        if (n == 0)
            break;
        EVP_DigestUpdate(ctx, chunk, n);
    }
    if (ferror(f)) {
        st = silr_fail(err, SILR_EIO, "%s: %s", path, strerror(errno));
        goto done;
    }
    EVP_DigestFinal_ex(ctx, digest, NULL);
    to_hex(out, digest);
done:
    EVP_MD_CTX_free(ctx);
    if (f)
        fclose(f);
    return st;
}
