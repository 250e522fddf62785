/* file.c - vectors on disk: a file that only grows, and believes nothing that it reads.
 *
 * Numbers little-endian. The head, 128 bytes:
 *
 *     offset  size
 *          0     8   "SILREMBD"
 *          8     4   u32: version (1)
 *         12     4   u32: dim
 *         16    64   identity: SHA-256 in hex of all that a vector depends on but the text
 *         80    40   0
 *        120     8   u64: XXH3 of the bytes before
 *
 * Then blocks, each beginning at a multiple of 64:
 *
 *          0     8   "SILRBLCK"
 *          8     4   u32: n, 1 to 256 texts
 *         12     4   u32: dim
 *         16     8   u64: XXH3 of keys and rows, seeded by identity and n
 *         24     8   0
 *         32  16 n   keys: the first 16 bytes of each text's SHA-256
 *            2 dim n rows: binary16
 *                    0 up to a multiple of 64
 *
 * A kill leaves at most one torn block, at the end: whoever writes next, cuts it off. A whole block
 * with a wrong checksum is passed over (the next one is found by its mark) and what it held is
 * computed again; nothing before the end is ever changed or cut, since others may have it mapped.
 *
 * One process at a time writes (flock, which a dying process lets go of); readers need no lock. */
#include "embed/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is written as it lies");

enum { VERSION = 1, HEAD = 128, FRONT = 32, KEY = 16, ALIGN = 64 };
static const char FILE_MARK[8] = {'S', 'I', 'L', 'R', 'E', 'M', 'B', 'D'};
static const char BLOCK_MARK[8] = {'S', 'I', 'L', 'R', 'B', 'L', 'C', 'K'};

static uint64_t aligned(uint64_t at)
{
    return (at + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

static size_t block_bytes(const silr_embed_file *f, size_t n)
{
    return (size_t)aligned(FRONT + n * (KEY + f->dim * 2));
}

/* Up to len bytes at `at`; fewer where the file ends. */
static silr_status read_at(const silr_embed_file *f, void *out, size_t len, uint64_t at, size_t *got,
                           silr_error *err)
{
    for (*got = 0; *got < len;) {
        const ssize_t n = pread(f->fd, (char *)out + *got, len - *got, (off_t)(at + *got));
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return silr_fail(err, SILR_EIO, "%s: cannot be read: %s", f->path, strerror(errno));
        *got += (size_t)n;
    }
    return SILR_OK;
}

/* All of it or nothing: what a full disk left half-written is cut off again. */
static silr_status write_at(const silr_embed_file *f, const void *bytes, size_t len, uint64_t at,
                            silr_error *err)
{
    int why = 0;

    for (size_t done = 0; done < len && !why;) {
        const ssize_t n = pwrite(f->fd, (const char *)bytes + done, len - done, (off_t)(at + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            why = n == 0 ? ENOSPC : errno;
    }
    if (!why)
        return SILR_OK;
    if (at >= HEAD && ftruncate(f->fd, (off_t)at) != 0)
        silr_log(SILR_LOG_DEBUG, "%s: a torn block stays: %s", f->path, strerror(errno));
    return silr_fail(err, SILR_EIO, "%s: cannot be written: %s; make room, or name a folder elsewhere "
                     "as classifier.cache; what is in it is kept, and the same command goes on", f->path,
                     strerror(why));
}

static silr_status size_of(const silr_embed_file *f, uint64_t *size, silr_error *err)
{
    struct stat info;

    if (fstat(f->fd, &info) != 0)
        return silr_fail(err, SILR_EIO, "%s: %s", f->path, strerror(errno));
    *size = (uint64_t)info.st_size;
    return SILR_OK;
}

/* --- opening ----------------------------------------------------------------------------------- */

static void make_head(unsigned char head[HEAD], const silr_embed_file *f, const silr_sha256 *id)
{
    const uint32_t field[2] = {VERSION, (uint32_t)f->dim};
    uint64_t sum;

    memset(head, 0, HEAD);
    memcpy(head, FILE_MARK, sizeof FILE_MARK);
    memcpy(head + 8, field, sizeof field);
    memcpy(head + 16, id->hex, 64);
    sum = silr_hash64(head, HEAD - 8, 0);
    memcpy(head + HEAD - 8, &sum, sizeof sum);
}

/* Writes the head of an empty file, or one that is not as it should be: blocks carry the identity
 * in their checksums, so whatever follows is judged by itself. */
static silr_status check_head(silr_embed_file *f, const silr_sha256 *id, silr_error *err)
{
    unsigned char want[HEAD], have[HEAD];
    silr_status st;
    size_t got;

    make_head(want, f, id);
    if ((st = read_at(f, have, HEAD, 0, &got, err)) != SILR_OK)
        return st;
    if (got == HEAD && memcmp(want, have, HEAD) == 0)
        return SILR_OK;
    if ((st = silr_embed_lock(f, err)) != SILR_OK || (st = read_at(f, have, HEAD, 0, &got, err)) != SILR_OK)
        return st;
    if (got == HEAD && memcmp(want, have, HEAD) == 0)
        return SILR_OK;
    if (got > 0)
        silr_log(SILR_LOG_WARN, "%s: its beginning is damaged; what can be read of it is used", f->path);
    return write_at(f, want, HEAD, 0, err);
}

static silr_status open_named(silr_embed_file *f, const char *dir, const silr_sha256 *id,
                              silr_error *err)
{
    char name[32];
    silr_status st;

    if ((st = silr_mkdirs(dir, err)) != SILR_OK)
        return st;
    memcpy(name, id->hex, 16);
    memcpy(name + 16, ".vectors", 9);
    if (!(f->path = silr_path_join(dir, name)))
        return silr_fail_memory(err);
    if ((f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return silr_fail(err, SILR_EIO, "%s: cannot be opened: %s; look at the rights of the folder",
                         f->path, strerror(errno));
    return SILR_OK;
}

static silr_status open_nameless(silr_embed_file *f, silr_error *err)
{
    if (!(f->path = silr_strdup("the vectors in memory")))
        return silr_fail_memory(err);
    if ((f->fd = memfd_create("silr-vectors", MFD_CLOEXEC)) < 0)
        return silr_fail(err, SILR_EIO, "%s: %s", f->path, strerror(errno));
    return SILR_OK;
}

silr_status silr_embed_open(silr_embed_file *f, const silr_encoder *e, const char *dir,
                            silr_error *err)
{
    silr_sha256 id;
    silr_status st;

    *f = (silr_embed_file){.fd = -1, .dim = e->dim, .end = HEAD};
    SILR_ASSERT(e->dim > 0 && e->dim <= 1 << 20);
    if ((st = silr_encoder_identity(&id, e, err)) != SILR_OK)
        goto done;
    f->seed = silr_hash64(id.hex, 64, f->dim);
    if ((st = dir ? open_named(f, dir, &id, err) : open_nameless(f, err)) != SILR_OK)
        goto done;
    st = check_head(f, &id, err);
done:
    if (st != SILR_OK)
        silr_embed_close(f);
    return st;
}

void silr_embed_close(silr_embed_file *f)
{
    if (f->path && f->fd >= 0)
        close(f->fd); /* lets the lock go */
    silr_free(f->path);
    *f = (silr_embed_file){.fd = -1};
}

/* --- reading ----------------------------------------------------------------------------------- */

/* The n of a block's front; 0: it is none. */
static size_t front_texts(const silr_embed_file *f, const unsigned char front[FRONT])
{
    uint32_t field[2];

    if (memcmp(front, BLOCK_MARK, sizeof BLOCK_MARK) != 0)
        return 0;
    memcpy(field, front + 8, sizeof field);
    return field[0] >= 1 && field[0] <= SILR_EMBED_BLOCK && field[1] == f->dim ? field[0] : 0;
}

/* A whole block at `at`, its bytes in `block`. *n = 0: there is none. */
static silr_status read_block(const silr_embed_file *f, unsigned char *block, uint64_t at, size_t *n,
                              silr_error *err)
{
    silr_status st;
    uint64_t sum;
    size_t got, texts;

    *n = 0;
    if ((st = read_at(f, block, FRONT, at, &got, err)) != SILR_OK || got < FRONT ||
        (texts = front_texts(f, block)) == 0)
        return st;
    if ((st = read_at(f, block + FRONT, block_bytes(f, texts) - FRONT, at + FRONT, &got, err)) != SILR_OK)
        return st;
    memcpy(&sum, block + 16, sizeof sum);
    if (got == block_bytes(f, texts) - FRONT &&
        sum == silr_hash64(block + FRONT, texts * (KEY + f->dim * 2), f->seed + texts))
        *n = texts;
    return SILR_OK;
}

static void tell(const silr_embed_file *f, const unsigned char *block, uint64_t at, size_t n,
                 silr_embed_seen seen, void *ctx)
{
    for (size_t i = 0; i < n; i++) {
        silr_embed_key key;
        memcpy(&key, block + FRONT + i * KEY, KEY);
        seen(ctx, &key, at + FRONT + n * KEY + i * f->dim * 2);
    }
}

silr_status silr_embed_scan(silr_embed_file *f, silr_embed_seen seen, void *ctx, size_t *broken,
                            silr_error *err)
{
    unsigned char *block = silr_alloc(block_bytes(f, SILR_EMBED_BLOCK), 1);
    uint64_t size = 0;
    silr_status st = block ? size_of(f, &size, err) : silr_fail_memory(err);
    bool whole = true;

    for (uint64_t at = f->end; st == SILR_OK && at < size && size - at >= FRONT;) {
        size_t n;
        if ((st = read_block(f, block, at, &n, err)) != SILR_OK)
            break;
        if (n == 0) {
            at += ALIGN;
            whole = false;
            continue;
        }
        if (!whole && broken)
            ++*broken;
        whole = true;
        tell(f, block, at, n, seen, ctx);
        at += block_bytes(f, n);
        f->end = at;
    }
    silr_free(block);
    return st;
}

/* --- writing ----------------------------------------------------------------------------------- */

silr_status silr_embed_lock(silr_embed_file *f, silr_error *err)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    bool said = false;

    while (!f->locked) {
        if (flock(f->fd, LOCK_EX | LOCK_NB) == 0) {
            f->locked = true;
        } else if (errno == EWOULDBLOCK) {
            if (!said)
                silr_log(SILR_LOG_INFO, "%s: another silr is adding to it; waiting until it has done",
                         f->path);
            said = true;
            silr_progress("waiting for another silr", 0, 0);
            if (silr_cancelled())
                return silr_fail(err, SILR_ECANCEL, "stopped while another silr was at %s", f->path);
            nanosleep(&pause, NULL);
        } else if (errno != EINTR) {
            silr_log(SILR_LOG_WARN, "%s: this file system has no locks (%s): see to it that only one "
                     "silr adds to it", f->path, strerror(errno));
            f->locked = true;
        }
    }
    return SILR_OK;
}

/* Where the next block goes: behind all there is; over a block that a kill has torn. */
static silr_status find_place(silr_embed_file *f, uint64_t *at, silr_error *err)
{
    unsigned char front[FRONT];
    uint64_t size = 0;
    size_t got, n;
    silr_status st;

    if ((st = size_of(f, &size, err)) != SILR_OK ||
        (st = read_at(f, front, FRONT, f->end, &got, err)) != SILR_OK)
        return st;
    *at = f->end;
    if (size <= f->end)
        return SILR_OK;
    n = got == FRONT ? front_texts(f, front) : 1;
    if (n > 0 && size - f->end < block_bytes(f, n)) {
        if (ftruncate(f->fd, (off_t)f->end) != 0)
            return silr_fail(err, SILR_EIO, "%s: its torn end cannot be cut off: %s", f->path,
                             strerror(errno));
        return SILR_OK;
    }
    *at = aligned(size);
    return SILR_OK;
}

silr_status silr_embed_append(silr_embed_file *f, const silr_embed_key *keys, const uint16_t *rows,
                              size_t n, uint64_t *first, silr_error *err)
{
    const size_t bytes = block_bytes(f, n), halves = n * f->dim * 2;
    const uint32_t field[2] = {(uint32_t)n, (uint32_t)f->dim};
    unsigned char *block = silr_calloc(bytes, 1);
    uint64_t at = 0, sum;
    silr_status st;

    SILR_ASSERT(f->locked && n >= 1 && n <= SILR_EMBED_BLOCK);
    if (!block)
        return silr_fail_memory(err);
    memcpy(block, BLOCK_MARK, sizeof BLOCK_MARK);
    memcpy(block + 8, field, sizeof field);
    memcpy(block + FRONT, keys, n * KEY);
    memcpy(block + FRONT + n * KEY, rows, halves);
    sum = silr_hash64(block + FRONT, n * KEY + halves, f->seed + n);
    memcpy(block + 16, &sum, sizeof sum);
    if ((st = find_place(f, &at, err)) == SILR_OK && (st = write_at(f, block, bytes, at, err)) == SILR_OK) {
        *first = at + FRONT + n * KEY;
        f->end = at + bytes;
    }
    silr_free(block);
    return st;
}
