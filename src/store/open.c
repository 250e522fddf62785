/* open.c - opening a run folder: the lock, the file, and whether it is the right one.
 *
 * The lock is flock(2) on dir/.lock: it belongs to the open descriptor, so the system lets go of
 * it however the process ends, and a killed run leaves nothing that would have to be cleared by
 * hand. The number in the file is only for the error message. Read-only opens take no lock: WAL
 * lets them read beside a writer. */
#include "store/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The process that holds the lock, as it wrote itself down; 0: not readable. */
static long holder(int fd)
{
    char text[24];
    int64_t pid;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return silr_parse_i64(text, &pid) && pid > 0 && pid < INT32_MAX ? (long)pid : 0;
}

/* Best effort: a full disk must not keep anyone from reading a finished run. */
static void sign_lock(int fd)
{
    char text[24];
    sqlite3_snprintf(sizeof text, text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        silr_log(SILR_LOG_DEBUG, "the lock could not be signed: %s", strerror(errno));
}

static silr_status take_lock(silr_store *s, silr_error *err)
{
    silr_status st = SILR_OK;
    char *path = silr_path_join(s->dir, ".lock");

    if (!path)
        return silr_fail_memory(err);
    if ((s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
        st = silr_fail(err, SILR_EIO, "%s: cannot be written: %s; look at the rights of the folder, "
                       "or use another --out", path, strerror(errno));
    } else if (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            st = silr_fail(err, SILR_EIO,
                           "another silr is working on %s (process %ld); wait for it, or use another "
                           "--out",
                           s->dir, holder(s->lock));
        else
            silr_log(SILR_LOG_WARN, "%s: this file system has no locks (%s): see to it that only one "
                     "silr works on the folder", s->dir, strerror(errno));
    } else {
        sign_lock(s->lock);
    }
    silr_free(path);
    return st;
}

static silr_status open_file(silr_store *s, const char *name, int flags, silr_error *err)
{
    int rc;

    sqlite3_close(s->db);
    s->db = NULL;
    rc = sqlite3_open_v2(name, &s->db, flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_busy_timeout(s->db, 5000);
        /* The file may be anyone's: no functions with side effects from its schema. */
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    }
    return rc == SQLITE_OK ? SILR_OK : silr_store_fail(s, rc, err);
}

/* A writer sets the journal mode: where a file system has no shared memory it stays as it was, which
 * is slower but as safe. A reader reads once: only then does SQLite look at the file. */
static silr_status settle(silr_store *s, bool write, silr_error *err)
{
    const char *sql = write ? "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
                              "PRAGMA foreign_keys=OFF;PRAGMA temp_store=MEMORY;"
                            : "PRAGMA query_only=1;SELECT count(*) FROM sqlite_schema;";
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SILR_OK : silr_store_fail(s, rc, err);
}

/* SQLite reads a WAL file only where it may make run.db-shm. In a folder that cannot be written
 * (a mounted archive) a file without a WAL is complete in itself and can be read as immutable. */
static silr_status open_immutable(silr_store *s, silr_error *err)
{
    silr_buf uri = {0}, wal = {0};
    silr_status st = SILR_OK;
    struct stat info;

    silr_buf_printf(&wal, "%s-wal", s->path);
    silr_buf_puts(&uri, "file:");
    for (const char *p = s->path; *p; p++) {
        if (*p == '%' || *p == '?' || *p == '#')
            silr_buf_printf(&uri, "%%%02X", (unsigned)*p);
        else
            silr_buf_putc(&uri, *p);
    }
    silr_buf_puts(&uri, "?immutable=1");
    if (uri.failed || wal.failed)
        st = silr_fail_memory(err);
    else if (stat(wal.data, &info) == 0 && info.st_size > 0)
        st = silr_fail(err, SILR_EIO,
                       "%s: the run was stopped, and its folder cannot be written: copy the folder "
                       "and look at the copy", s->path);
    else if ((st = open_file(s, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err)) == SILR_OK)
        st = settle(s, false, err);
    silr_buf_clear(&uri);
    silr_buf_clear(&wal);
    return st;
}

static silr_status open_reader(silr_store *s, silr_error *err)
{
    silr_status st;
    silr_error first = {0};
    bool empty;

    if (!silr_file_exists(s->path))
        return silr_fail(err, SILR_EINPUT, "%s: not a run folder: it has no run.db", s->dir);
    st = open_file(s, s->path, SQLITE_OPEN_READONLY, &first);
    if (st == SILR_OK)
        st = settle(s, false, &first);
    if (st == SILR_EIO)
        st = open_immutable(s, err);
    else if (st != SILR_OK && err)
        *err = first;
    if (st == SILR_OK && (st = silr_store_look(s, &empty, err)) == SILR_OK && empty)
        st = silr_fail(err, SILR_EINPUT, "%s: the run was stopped before it began; run it again",
                       s->path);
    return st;
}

/* --- is it the right one? ---------------------------------------------------------------------- */

static silr_status write_task(silr_store *s, const silr_task *task, silr_error *err)
{
    silr_buf json = {0};
    silr_status st;

    silr_task_to_json(task, &json);
    st = json.failed ? silr_fail_memory(err) : silr_store_set(s, "task.json", json.data, json.len, err);
    if (st == SILR_OK)
        st = silr_store_set(s, "task.hash", task->hash.hex, strlen(task->hash.hex), err);
    silr_buf_clear(&json);
    return st;
}

/* A folder that holds annotations and nothing that was computed from them serves any task that would
 * have them made alike: who has labelled fifty texts and now names the file in the task, or turns a
 * knob of the refinement, goes on from what was paid for. */
static silr_status check_other(silr_store *s, const silr_task *task, const silr_buf *stored,
                               silr_error *err)
{
    size_t iterations = 0;
    bool later = false;
    silr_status st;

    if ((st = silr_store_iterations(s, &iterations, err)) != SILR_OK ||
        (st = silr_store_task_later(task, stored->data, stored->len, &later, err)) != SILR_OK)
        return st;
    if (iterations == 0 && later)
        return write_task(s, task, err);
    return silr_store_task_differs(s, task, stored->data, stored->len, err);
}

static silr_status check_task(silr_store *s, const silr_task *task, silr_error *err)
{
    silr_buf hash = {0}, json = {0};
    silr_status st = silr_store_get(s, "task.hash", &hash, err);

    if (st != SILR_OK)
        goto done;
    if (hash.len == strlen(task->hash.hex) && memcmp(hash.data, task->hash.hex, hash.len) == 0)
        goto done;
    if ((st = silr_store_get(s, "task.json", &json, err)) == SILR_OK)
        st = check_other(s, task, &json, err);
done:
    silr_buf_clear(&hash);
    silr_buf_clear(&json);
    return st;
}

static silr_status check_corpus(silr_store *s, const silr_corpus *c, silr_error *err)
{
    const char *now = silr_corpus_digest(c)->hex;
    silr_buf then = {0};
    silr_status st = silr_store_get(s, "corpus.digest", &then, err);

    if (st == SILR_OK && then.len == 0)
        st = silr_store_set(s, "corpus.digest", now, strlen(now), err);
    else if (st == SILR_OK && (then.len != strlen(now) || memcmp(then.data, now, then.len) != 0))
        st = silr_fail(err, SILR_EINPUT,
                       "%s: holds a run on other texts: the corpus has changed since (SHA-256 %.12s "
                       "there, %.12s here); use another --out, or delete the folder",
                       s->dir, then.data, now);
    silr_buf_clear(&then);
    return st;
}

static silr_status write_identity(silr_store *s, const silr_task *task, silr_error *err)
{
    silr_status st = write_task(s, task, err);

    for (size_t k = 0; st == SILR_OK && k < task->n_classes; k++) {
        silr_binder b = {0};
        if ((st = silr_store_query(s, Q_CLASS_ADD, &b.q, err)) != SILR_OK)
            break;
        silr_bind_int(&b, (int64_t)k);
        silr_bind_text(&b, task->classes[k]);
        st = silr_store_run(s, b.q, b.rc, err);
    }
    return st;
}

static silr_status open_writer(silr_store *s, const silr_task *task, const silr_corpus *corpus,
                               silr_error *err)
{
    silr_status st;
    bool empty, own;

    if ((st = silr_mkdirs(s->dir, err)) != SILR_OK || (st = take_lock(s, err)) != SILR_OK)
        return st;
    /* Nothing is written before it is known that the file is ours; the lock keeps it so. */
    if ((st = open_file(s, s->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err)) != SILR_OK ||
        (st = silr_store_look(s, &empty, err)) != SILR_OK || (st = settle(s, true, err)) != SILR_OK ||
        (st = silr_store_enter(s, &own, err)) != SILR_OK)
        return st;
    if (empty)
        st = silr_store_create(s, err);
    if (st == SILR_OK)
        st = empty ? write_identity(s, task, err) : check_task(s, task, err);
    if (st == SILR_OK && corpus)
        st = check_corpus(s, corpus, err);
    return silr_store_leave(s, own, st, err);
}

silr_status silr_store_open(silr_store **out, const char *dir, const silr_task *task,
                            const silr_corpus *corpus, silr_error *err)
{
    silr_status st;
    silr_store *s;

    *out = NULL;
    silr_mem_install();
    if (!(s = silr_calloc(1, sizeof *s)))
        return silr_fail_memory(err);
    s->lock = -1;
    s->dir = silr_strdup(dir[0] ? dir : ".");
    s->path = s->dir ? silr_path_join(s->dir, "run.db") : NULL;
    if (!s->path) {
        st = silr_fail_memory(err);
        goto done;
    }
    st = task ? open_writer(s, task, corpus, err) : open_reader(s, err);
    if (st == SILR_OK && !task && corpus)
        st = check_corpus(s, corpus, err);
    if (st == SILR_OK)
        st = silr_ledger_on(&s->ledger, s->db, s->path, err);
    if (st != SILR_OK)
        goto done;
    *out = s;
    s = NULL;
done:
    silr_store_close(s);
    return st;
}

void silr_store_close(silr_store *s)
{
    if (!s)
        return;
    silr_ledger_free(s->ledger);
    for (size_t q = 0; q < Q_COUNT; q++)
        sqlite3_finalize(s->stmt[q]);
    sqlite3_close(s->db);
    if (s->lock >= 0)
        close(s->lock); /* lets the lock go; the file stays: taking it away would race */
    silr_free(s->path);
    silr_free(s->dir);
    silr_free(s);
}
