/* bytes.c - where the bytes come from: a file, standard input, memory; plain, gzip or zstd.
 *
 * Packing is known by its first bytes, so that standard input may be packed too. A packed file
 * that stops early is an error, never a short corpus: a copy that broke off would otherwise give
 * a result that looks right. The digest takes the bytes as they stand on disk. */
#include "corpus/source.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { RAW = 1 << 17 };
typedef enum { PLAIN, GZIP, ZSTD } packing;

struct silr_bytes {
    char *name;
    int fd; /* -1: memory */
    const unsigned char *memory;
    size_t left;        /* of memory */
    EVP_MD_CTX *digest; /* borrowed; NULL: none */
    packing packing;
    z_stream gz;
    bool gz_ready;
    ZSTD_DStream *zst;
    bool inside;     /* a member or frame is not complete */
    bool eof;        /* no more raw bytes */
    size_t at, have; /* raw[at .. have) is not used yet */
    unsigned char raw[RAW];
};

/* Adds raw bytes behind those that are there. */
static silr_status fill(silr_bytes *b, silr_error *err)
{
    ssize_t n;

    if (b->at == b->have)
        b->at = b->have = 0;
    if (b->eof || b->have == RAW)
        return SILR_OK;
    if (b->fd < 0) {
        size_t take = b->left < RAW - b->have ? b->left : RAW - b->have;
        if (take > 0)
            memcpy(b->raw + b->have, b->memory, take);
        b->memory += take;
        b->left -= take;
        n = (ssize_t)take;
    } else {
        do
            n = read(b->fd, b->raw + b->have, RAW - b->have);
        while (n < 0 && errno == EINTR);
    }
    if (n < 0)
        return silr_fail(err, SILR_EIO, "%s: cannot be read: %s", b->name, strerror(errno));
    if (n == 0)
        b->eof = true;
    if (b->digest && n > 0 && EVP_DigestUpdate(b->digest, b->raw + b->have, (size_t)n) != 1)
        return silr_fail_memory(err);
    b->have += (size_t)n;
    return SILR_OK;
}

static void *zlib_alloc(void *unused, unsigned items, unsigned size)
{
    (void)unused;
    return silr_calloc(items, size);
}

static void zlib_free(void *unused, void *p)
{
    (void)unused;
    silr_free(p);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static silr_status start_packing(silr_bytes *b, silr_error *err)
{
    silr_status st = SILR_OK;

    while (st == SILR_OK && !b->eof && b->have < 4)
        st = fill(b, err);
    if (st != SILR_OK)
        return st;
    if (b->have >= 2 && memcmp(b->raw, "\x1f\x8b", 2) == 0) {
        b->packing = GZIP;
        b->gz.zalloc = zlib_alloc;
        b->gz.zfree = zlib_free;
        if (inflateInit2(&b->gz, 15 + 16) != Z_OK)
            return silr_fail_memory(err);
        b->gz_ready = b->inside = true;
    } else if (b->have >= 4 && memcmp(b->raw, "\x28\xb5\x2f\xfd", 4) == 0) {
        b->packing = ZSTD;
        if (!(b->zst = ZSTD_createDStream()) || ZSTD_isError(ZSTD_initDStream(b->zst)))
            return silr_fail_memory(err);
        b->inside = true;
    } else if (ends_with(b->name, ".gz")) {
        return silr_fail(err, SILR_EINPUT, "%s: not a gzip file, whatever its name says", b->name);
    } else if (ends_with(b->name, ".zst")) {
        return silr_fail(err, SILR_EINPUT, "%s: not a zstd file, whatever its name says", b->name);
    }
    return SILR_OK;
}

static silr_status open_file(silr_bytes *b, const char *path, silr_error *err)
{
    struct stat info;

    if (strcmp(path, "-") == 0)
        b->fd = STDIN_FILENO;
    else
        b->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0 || fstat(b->fd, &info) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: %s", b->name, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return silr_fail(err, SILR_EINPUT, "%s: is a folder, not a file", b->name);
    return SILR_OK;
}

static silr_status make(silr_bytes **out, const char *path, const void *memory, size_t len,
                        const char *name, EVP_MD_CTX *digest, silr_error *err)
{
    silr_status st = SILR_OK;
    silr_bytes *b = silr_calloc(1, sizeof *b);

    *out = NULL;
    if (!b)
        return silr_fail_memory(err);
    b->fd = -1;
    b->memory = memory;
    b->left = len;
    b->digest = digest;
    if (!(b->name = silr_strdup(name)))
        st = silr_fail_memory(err);
    if (st == SILR_OK && path)
        st = open_file(b, path, err);
    if (st == SILR_OK)
        st = start_packing(b, err);
    if (st != SILR_OK) {
        silr_bytes_close(b);
        return st;
    }
    *out = b;
    return SILR_OK;
}

silr_status silr_bytes_open(silr_bytes **out, const char *path, EVP_MD_CTX *digest, silr_error *err)
{
    return make(out, path, NULL, 0, silr_file_label(path), digest, err);
}

silr_status silr_bytes_open_memory(silr_bytes **out, const void *bytes, size_t len,
                                   const char *name, silr_error *err)
{
    return make(out, NULL, bytes, len, name, NULL, err);
}

void silr_bytes_close(silr_bytes *b)
{
    if (!b)
        return;
    if (b->gz_ready)
        inflateEnd(&b->gz);
    ZSTD_freeDStream(b->zst);
    if (b->fd > STDIN_FILENO)
        close(b->fd);
    silr_free(b->name);
    silr_free(b);
}

static silr_status truncated(silr_bytes *b, const char *kind, silr_error *err)
{
    return silr_fail(err, SILR_EINPUT,
                     "%s: truncated: the %s data stop before their end; copy or fetch it again",
                     b->name, kind);
}

/* A gzip file may be several members, one after the other; nothing else may follow. */
static silr_status next_member(silr_bytes *b, silr_error *err)
{
    while (b->have - b->at < 2 && !b->eof) {
        silr_status st;
        memmove(b->raw, b->raw + b->at, b->have - b->at);
        b->have -= b->at;
        b->at = 0;
        if ((st = fill(b, err)) != SILR_OK)
            return st;
    }
    if (b->at == b->have)
        return SILR_OK;
    if (b->have - b->at < 2 || memcmp(b->raw + b->at, "\x1f\x8b", 2) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: other bytes follow the gzip data", b->name);
    b->inside = true;
    return inflateReset(&b->gz) == Z_OK ? SILR_OK : silr_fail_memory(err);
}

static silr_status read_gzip(silr_bytes *b, void *to, size_t cap, size_t *n, silr_error *err)
{
    silr_status st = SILR_OK;

    b->gz.next_out = to;
    b->gz.avail_out = (uInt)cap;
    while (b->gz.avail_out == cap) {
        int how;
        if (!b->inside && ((st = next_member(b, err)) != SILR_OK || !b->inside))
            return st;
        if (b->at == b->have && (st = fill(b, err)) != SILR_OK)
            return st;
        b->gz.next_in = b->raw + b->at;
        b->gz.avail_in = (uInt)(b->have - b->at);
        how = inflate(&b->gz, Z_NO_FLUSH);
        b->at = b->have - b->gz.avail_in;
        if (how == Z_STREAM_END)
            b->inside = false;
        else if (how == Z_MEM_ERROR)
            return silr_fail_memory(err);
        else if (how == Z_BUF_ERROR && b->eof && b->at == b->have)
            return truncated(b, "gzip", err);
        else if (how != Z_OK && how != Z_BUF_ERROR)
            return silr_fail(err, SILR_EINPUT, "%s: damaged gzip data (%s)", b->name,
                             b->gz.msg ? b->gz.msg : "no valid stream");
    }
    *n = cap - b->gz.avail_out;
    return SILR_OK;
}

static silr_status read_zstd(silr_bytes *b, void *to, size_t cap, size_t *n, silr_error *err)
{
    ZSTD_outBuffer out = {to, cap, 0};

    while (out.pos == 0) {
        silr_status st;
        ZSTD_inBuffer in;
        size_t left;
        if (b->at == b->have && (st = fill(b, err)) != SILR_OK)
            return st;
        if (b->at == b->have && !b->inside)
            return SILR_OK;
        in = (ZSTD_inBuffer){b->raw, b->have, b->at};
        left = ZSTD_decompressStream(b->zst, &out, &in);
        if (ZSTD_isError(left))
            return silr_fail(err, SILR_EINPUT, "%s: damaged zstd data (%s)", b->name,
                             ZSTD_getErrorName(left));
        if (left > 0 && b->eof && in.pos == b->at && out.pos == 0)
            return truncated(b, "zstd", err);
        b->inside = left > 0;
        b->at = in.pos;
    }
    *n = out.pos;
    return SILR_OK;
}

silr_status silr_bytes_read(silr_bytes *b, void *to, size_t cap, size_t *n, silr_error *err)
{
    silr_status st;

    *n = 0;
    if (cap > (size_t)1 << 30)
        cap = (size_t)1 << 30; /* zlib counts in unsigned int */
    if (b->packing == GZIP)
        return read_gzip(b, to, cap, n, err);
    if (b->packing == ZSTD)
        return read_zstd(b, to, cap, n, err);
    if (b->at == b->have && (st = fill(b, err)) != SILR_OK)
        return st;
    *n = b->have - b->at < cap ? b->have - b->at : cap;
    memcpy(to, b->raw + b->at, *n);
    b->at += *n;
    return SILR_OK;
}

silr_status silr_bytes_drain(silr_bytes *b, silr_error *err)
{
    silr_status st = SILR_OK;
    while (st == SILR_OK && !b->eof) {
        b->at = b->have = 0;
        st = fill(b, err);
    }
    return st;
}
