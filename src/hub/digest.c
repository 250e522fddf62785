/* digest.c - the hash that names a blob, while its bytes pass. */
#include "hub/inside.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

silr_status silr_hub_digest_begin(silr_hub_digest *d, const char *hash, uint64_t size,
                                  silr_error *err)
{
    bool git = strlen(hash) == 40;
    char head[40];

    silr_hub_digest_clear(d);
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, git ? EVP_sha1() : EVP_sha256(), NULL) != 1)
        return silr_fail_memory(err);
    if (git) {
        snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        EVP_DigestUpdate(d->ctx, head, strlen(head) + 1); /* its final NUL too */
    }
    return SILR_OK;
}

void silr_hub_digest_add(silr_hub_digest *d, const void *bytes, size_t len)
{
    EVP_DigestUpdate(d->ctx, bytes, len);
}

void silr_hub_digest_end(silr_hub_digest *d, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    EVP_DigestFinal_ex(d->ctx, digest, &len);
    hex[0] = '\0';
    for (unsigned i = 0; i < len && i < 32; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    silr_hub_digest_clear(d);
}

void silr_hub_digest_clear(silr_hub_digest *d)
{
    EVP_MD_CTX_free(d->ctx);
    d->ctx = NULL;
}
