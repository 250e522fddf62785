/* cert.c - a certificate for tests of TLS, made anew each time, so that none can expire. */
#include "server/start.h"
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static bool extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

/* Signs itself: valid from yesterday for a month. */
static bool fill(X509 *x, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(x);

    return X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
           X509_gmtime_adj(X509_getm_notAfter(x), 30 * 86400L) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                      -1, -1, 0) &&
           X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
           extend(x, NID_basic_constraints, "critical,CA:TRUE") &&
           extend(x, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost") &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

bool server_make_cert(const char *cert_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    FILE *cert_file = fopen(cert_path, "w"), *key_file = fopen(key_path, "w");
    bool ok = key && x && cert_file && key_file && fill(x, key) && PEM_write_X509(cert_file, x) &&
              PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL);

    if (cert_file && fclose(cert_file) != 0)
        ok = false;
    if (key_file && fclose(key_file) != 0)
        ok = false;
    X509_free(x);
    EVP_PKEY_free(key);
    if (!ok)
        fprintf(stderr, "server_make_cert: cannot make %s and %s\n", cert_path, key_path);
    return ok;
}
