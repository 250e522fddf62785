/* blob.c - one blob: fetched to HASH.incomplete, hashed on the way, renamed to HASH when all is right.
 *
 * What has come stays when the connection breaks or the process is killed; the next try hashes it from
 * disk and asks for the rest. If the hash of the whole is wrong, all of it goes, and it is fetched once
 * more: something may have been wrong with the beginning. Who fetches holds the blob's lock. */
#include "hub/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t PROGRESS = 1 << 20; /* a try that brought so much was no failure */

typedef struct {
    silr_hub_job *job;
    const silr_hub_entry *entry;
    const char *path; /* of HASH.incomplete */
    int fd;
    int64_t at, from; /* bytes there are; how many there were when this try began */
    int64_t best;     /* most bytes there ever were */
    bool begun;       /* this try's first bytes have been looked at */
    silr_hub_digest digest;
    silr_status st;   /* of the disk */
    silr_error *err;
    char why[160];    /* why the sink took no more */
} writer;

void silr_hub_file_url(silr_buf *url, const silr_hub_job *j, const char *file)
{
    silr_buf_reset(url);
    silr_buf_printf(url, "%s/%s/resolve/%s/", j->wire->hub->endpoint, j->repo, j->commit);
    silr_http_escape(url, file, "/");
}

static bool is_there(const char *path, int64_t size)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == size;
}

uint64_t silr_hub_blob_left(const silr_hub_job *j, const silr_hub_entry *e)
{
    char *path = silr_hub_path("%s/blobs/%s", j->dir, e->hash);
    char *part = silr_hub_path("%s/blobs/%s.incomplete", j->dir, e->hash);
    struct stat info;
    int64_t left = e->size;

    if (path && is_there(path, e->size))
        left = 0;
    else if (part && stat(part, &info) == 0 && info.st_size <= e->size)
        left = e->size - info.st_size;
    silr_free(path);
    silr_free(part);
    return (uint64_t)left;
}

/* --- writing ------------------------------------------------------------------------------------- */

static silr_status disk(const writer *w, silr_error *err)
{
    return silr_fail(err, SILR_EIO, "%s: cannot be written: %s", w->path, strerror(errno));
}

static silr_status begin_again(writer *w, silr_error *err)
{
    w->job->done -= (uint64_t)w->at;
    w->at = 0;
    if (ftruncate(w->fd, 0) != 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return disk(w, err);
    return silr_hub_digest_begin(&w->digest, w->entry->hash, (uint64_t)w->entry->size, err);
}

/* What an earlier call left goes into the hash. */
static silr_status take_up(writer *w, silr_error *err)
{
    char chunk[1 << 16];
    struct stat info;
    silr_status st = silr_hub_digest_begin(&w->digest, w->entry->hash, (uint64_t)w->entry->size, err);

    if (st != SILR_OK)
        return st;
    if (fstat(w->fd, &info) != 0)
        return disk(w, err);
    if (info.st_size > w->entry->size)
        return begin_again(w, err);
    for (;;) {
        ssize_t n = read(w->fd, chunk, sizeof chunk);
        if (n < 0)
            return silr_fail(err, SILR_EIO, "%s: cannot be read: %s", w->path, strerror(errno));
        if (n == 0 || n > w->entry->size - w->at)
            return n == 0 ? SILR_OK : begin_again(w, err);
        silr_hub_digest_add(&w->digest, chunk, (size_t)n);
        w->at += n;
        w->job->done += (uint64_t)n;
    }
}

/* Is what begins here what was asked for? */
static bool fits(writer *w, const silr_hub_head *head)
{
    int64_t size = w->entry->size;

    if (head->status == 206 && head->first == w->from && (head->total < 0 || head->total == size))
        return true;
    if (head->status == 206)
        snprintf(w->why, sizeof w->why, "the server sends another part than was asked for");
    else if (head->status != 200)
        snprintf(w->why, sizeof w->why, "HTTP %d", head->status);
    else if (head->length >= 0 && head->length != size)
        snprintf(w->why, sizeof w->why, "the server sends %lld bytes, and the file has %lld",
                 (long long)head->length, (long long)size);
    else if (w->at > 0) /* it takes no ranges: all of it again */
        return (w->st = begin_again(w, w->err)) == SILR_OK;
    else
        return true;
    return false;
}

static bool on_bytes(void *ctx, const silr_hub_head *head, const char *bytes, size_t len)
{
    writer *w = ctx;

    if (!w->begun && !fits(w, head))
        return false;
    w->begun = true;
    if ((uint64_t)len > (uint64_t)(w->entry->size - w->at)) {
        snprintf(w->why, sizeof w->why, "the server sends more than the %lld bytes of the file",
                 (long long)w->entry->size);
        return false;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = write(w->fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            w->st = disk(w, w->err);
            return false;
        }
        done += (size_t)n;
    }
    silr_hub_digest_add(&w->digest, bytes, len);
    w->at += (int64_t)len;
    w->job->done += len;
    w->job->fetched += len;
    silr_progress("fetching, KiB", w->job->done >> 10, w->job->total >> 10);
    return true;
}

/* --- fetching ------------------------------------------------------------------------------------ */

/* What the hub says of the file now is what it said when it listed it. */
static silr_status same_file(const writer *w, const silr_hub_head *head, const char *what,
                             silr_error *err)
{
    const silr_hub_entry *e = w->entry;
    bool known = strlen(head->etag) == strlen(e->hash);

    if ((known && strcmp(head->etag, e->hash) != 0) ||
        (head->linked_size >= 0 && head->linked_size != e->size) ||
        (head->commit[0] && strcmp(head->commit, w->job->commit) != 0))
        return silr_fail(err, SILR_EPEER, "%s: the hub says another hash, size or commit of it than in its "
                         "list; try once more", what);
    return SILR_OK;
}

/* One try. *again: err says what went wrong, and it may pass. */
static silr_status try_once(writer *w, const silr_hub_ask *from, double *retry_after, bool *again)
{
    silr_hub_ask ask = *from;
    silr_hub_head head;
    silr_http_reply reply;
    silr_status st, same;

    w->from = ask.from = w->at;
    w->begun = false;
    w->why[0] = '\0';
    st = silr_hub_once(w->job->wire, &ask, &head, &reply, again, w->err);
    *retry_after = reply.retry_after;
    if (w->st != SILR_OK)
        *again = false;
    if (w->st != SILR_OK || st == SILR_ECANCEL || st == SILR_ENOMEM)
        return w->st != SILR_OK ? w->st : st;
    if ((same = same_file(w, &head, ask.what, w->err)) != SILR_OK) {
        *again = false;
        return same;
    }
    if (reply.status == 416)
        snprintf(w->why, sizeof w->why, "the server has no such part of it");
    if (w->why[0])
        st = silr_fail(w->err, SILR_EPEER, "%s: %s", ask.what, w->why);
    else if (st == SILR_OK && w->at < w->entry->size)
        st = silr_fail(w->err, SILR_EPEER, "%s: the server ended after %lld of %lld bytes", ask.what,
                       (long long)w->at, (long long)w->entry->size);
    else
        return st;
    *again = true;
    return st;
}

static silr_status fetch_rest(writer *w, const silr_hub_ask *ask, silr_error *err)
{
    int failed = 0;
    double retry_after;
    bool again;
    silr_status st = SILR_OK, pause;

    w->best = w->at;
    while (st == SILR_OK && w->at < w->entry->size) {
        if ((st = try_once(w, ask, &retry_after, &again)) == SILR_OK || !again)
            continue;
        failed = w->at - w->best >= PROGRESS ? 1 : failed + 1;
        w->best = w->at > w->best ? w->at : w->best;
        if (w->why[0] && w->st == SILR_OK && (w->st = begin_again(w, err)) != SILR_OK)
            return w->st;
        if ((pause = silr_hub_pause(w->job->wire, failed, retry_after, err)) != SILR_OK)
            return pause == SILR_EPEER ? st : pause;
        st = SILR_OK;
    }
    return st;
}

static silr_status fetch_and_verify(writer *w, const silr_hub_ask *ask, silr_error *err)
{
    char hex[65];
    silr_status st;

    for (int i = 0; i < 2; i++) {
        if ((st = fetch_rest(w, ask, err)) != SILR_OK)
            return st;
        silr_hub_digest_end(&w->digest, hex);
        if (strcmp(hex, w->entry->hash) == 0)
            return fsync(w->fd) == 0 ? SILR_OK : disk(w, err);
        if ((st = begin_again(w, err)) != SILR_OK)
            return st;
    }
    return silr_fail(err, SILR_EPEER, "%s: what came has the hash %.12s..., and the hub promised %.12s...: "
                     "nothing of it is kept", ask->what, hex, w->entry->hash);
}

/* --- the lock ------------------------------------------------------------------------------------ */

/* Is fd the file of that name still? Who is done with a lock may remove it. */
static bool still_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

/* *fd is locked; -1 on failure. */
static silr_status take_lock(const silr_hub_job *j, const silr_hub_entry *e, const char *path, int *fd,
                             silr_error *err)
{
    bool told = false;
    silr_status st;

    for (;;) {
        if ((*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
            return silr_fail(err, SILR_EIO, "%s: cannot be opened: %s", path, strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB) == 0 && still_there(*fd, path))
            return SILR_OK;
        st = errno != EWOULDBLOCK && errno != EINTR && still_there(*fd, path)
                 ? silr_fail(err, SILR_EIO, "%s: cannot be locked: %s", path, strerror(errno))
                 : SILR_OK;
        close(*fd);
        *fd = -1;
        if (st != SILR_OK)
            return st;
        if (!told)
            silr_log(SILR_LOG_INFO, "%s: another process fetches it; waiting", e->name);
        told = true;
        if (silr_cancelled())
            return silr_fail(err, SILR_ECANCEL, "interrupted");
        if ((st = silr_http_wait(j->wire->http, 0.2, err)) != SILR_OK)
            return st;
    }
}

/* --- all of it ----------------------------------------------------------------------------------- */

/* With the lock in hand. */
static silr_status make(silr_hub_job *j, const silr_hub_entry *e, const char *path, const char *part,
                        silr_error *err)
{
    writer w = {.job = j, .entry = e, .path = part, .err = err};
    silr_buf url = {0};
    char *what = silr_hub_path("%s: %s", j->repo, e->name);
    silr_hub_ask ask = {.method = "GET", .what = what, .size = e->size, .sink = on_bytes, .ctx = &w};
    silr_status st = SILR_OK;

    w.fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    silr_hub_file_url(&url, j, e->name);
    ask.url = url.data;
    if (!what || url.failed)
        st = silr_fail_memory(err);
    else if (w.fd < 0)
        st = disk(&w, err);
    if (st == SILR_OK && (st = take_up(&w, err)) == SILR_OK &&
        (st = fetch_and_verify(&w, &ask, err)) == SILR_OK && rename(part, path) != 0)
        st = disk(&w, err);
    silr_hub_digest_clear(&w.digest);
    if (w.fd >= 0)
        close(w.fd);
    silr_buf_clear(&url);
    silr_free(what);
    return st;
}

silr_status silr_hub_blob(silr_hub_job *j, const silr_hub_entry *e, silr_error *err)
{
    char *path = silr_hub_path("%s/blobs/%s", j->dir, e->hash);
    char *part = silr_hub_path("%s/blobs/%s.incomplete", j->dir, e->hash);
    char *locks = silr_hub_path("%s/.locks/%s", j->wire->hub->cache, strrchr(j->dir, '/') + 1);
    char *lock = locks ? silr_hub_path("%s/%s.lock", locks, e->hash) : NULL;
    int fd = -1;
    silr_status st = SILR_OK;

    if (!path || !part || !lock)
        st = silr_fail_memory(err);
    else if (is_there(path, e->size))
        j->done += (uint64_t)e->size;
    else if ((st = silr_mkdirs(locks, err)) == SILR_OK &&
             (st = take_lock(j, e, lock, &fd, err)) == SILR_OK) {
        if (is_there(path, e->size)) /* the other process has done it */
            j->done += (uint64_t)e->size;
        else
            st = make(j, e, path, part, err);
    }
    if (fd >= 0)
        close(fd);
    silr_free(path);
    silr_free(part);
    silr_free(locks);
    silr_free(lock);
    return st;
}
