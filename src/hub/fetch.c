/* fetch.c - a model from the hub into the cache: list, choose, blobs, links, ref; in that order, so
 * that wherever it is stopped, what is there is either all of the model or not found as one. */
#include "hub/inside.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- asking -------------------------------------------------------------------------------------- */

static silr_status ask_tree(silr_hub_wire *w, const silr_hub_want *want, const char *revision,
                            silr_hub_tree *out, silr_error *err)
{
    silr_buf url = {0};
    silr_hub_ask ask = {.method = "GET", .what = want->name};
    silr_hub_head head;
    silr_http_reply reply;
    silr_status st;

    silr_buf_printf(&url, "%s/api/models/%s/revision/", w->hub->endpoint, want->name);
    silr_http_escape(&url, revision, "");
    silr_buf_puts(&url, "?blobs=true"); /* sizes and hashes too */
    ask.url = url.data;
    st = url.failed ? silr_fail_memory(err) : silr_hub_ask_patiently(w, &ask, &head, &reply, err);
    if (st == SILR_OK && (st = silr_hub_tree_read(out, reply.body ? reply.body : "", reply.len, err)) != SILR_OK)
        silr_error_prefix(err, "%s: %s", want->name, w->hub->endpoint);
    silr_buf_clear(&url);
    return st;
}

/* Hash and size of a file of which the list does not tell them. */
static silr_status ask_entry(silr_hub_job *j, silr_hub_entry *e, silr_error *err)
{
    silr_buf url = {0};
    char *what = silr_hub_path("%s: %s", j->repo, e->name);
    silr_hub_ask ask = {.method = "HEAD", .what = what};
    silr_hub_head head;
    silr_http_reply reply;
    silr_status st;

    silr_hub_file_url(&url, j, e->name);
    ask.url = url.data;
    st = url.failed || !what ? silr_fail_memory(err)
                             : silr_hub_ask_patiently(j->wire, &ask, &head, &reply, err);
    if (st != SILR_OK)
        goto done;
    if (e->size < 0)
        e->size = head.linked_size >= 0 ? head.linked_size : head.length;
    if (!e->hash[0])
        memcpy(e->hash, head.etag, sizeof e->hash);
    if (!e->hash[0] || e->size < 0)
        st = silr_fail(err, SILR_EPEER, "%s: the hub tells no hash or size of it, so that nobody could say "
                       "whether what comes is right", what);
    else if (head.commit[0] && strcmp(head.commit, j->commit) != 0)
        st = silr_fail(err, SILR_EPEER, "%s: the hub answers of another commit than was asked for", what);
done:
    silr_buf_clear(&url);
    silr_free(what);
    return st;
}

static silr_status ask_entries(silr_hub_job *j, silr_hub_tree *t, const bool *which, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; st == SILR_OK && i < t->n; i++)
        if (which[i] && (t->entry[i].size < 0 || !t->entry[i].hash[0]))
            st = ask_entry(j, &t->entry[i], err);
    return st;
}

/* --- disk ---------------------------------------------------------------------------------------- */

static silr_status enough_room(silr_hub_job *j, const silr_hub_tree *t, const bool *which,
                               silr_error *err)
{
    uint64_t left = 0, room;
    struct statvfs disk;

    for (size_t i = 0; i < t->n; i++)
        if (which[i]) {
            left += silr_hub_blob_left(j, &t->entry[i]); /* 10000 of at most 2^50 */
            j->total += (uint64_t)t->entry[i].size;
        }
    if (statvfs(j->dir, &disk) != 0)
        return SILR_OK; /* a file system that does not tell: writing will */
    room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (left > room)
        return silr_fail(err, SILR_EIO, "%s: %.1f MB are still to come, and the disk of %s has room for "
                         "%.1f MB", j->repo, (double)left / 1e6, j->dir, (double)room / 1e6);
    return SILR_OK;
}

/* A file or link under a name of ours, moved to where it belongs: there is an old one or the new. */
static silr_status move(const char *temp, const char *path, silr_error *err)
{
    silr_status st = SILR_OK;

    if (rename(temp, path) != 0) {
        st = silr_fail(err, SILR_EIO, "%s: cannot be made: %s", path, strerror(errno));
        unlink(temp);
    }
    return st;
}

static silr_status make_folder_of(const char *path, silr_error *err)
{
    char *dir = silr_path_dir(path);
    silr_status st = dir ? silr_mkdirs(dir, err) : silr_fail_memory(err);

    silr_free(dir);
    return st;
}

static silr_status link_file(const silr_hub_job *j, const silr_hub_entry *e, silr_error *err)
{
    char *path = silr_hub_path("%s/snapshots/%s/%s", j->dir, j->commit, e->name);
    char *temp = silr_hub_path("%s/.silr-%ld.link", j->dir, (long)getpid());
    silr_buf to = {0};
    silr_status st = path && temp ? make_folder_of(path, err) : silr_fail_memory(err);

    silr_buf_puts(&to, "../../");
    for (const char *s = e->name; *s; s++)
        if (*s == '/')
            silr_buf_puts(&to, "../");
    silr_buf_printf(&to, "blobs/%s", e->hash);
    if (st == SILR_OK && to.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK) {
        unlink(temp);
        st = symlink(to.data, temp) == 0 ? move(temp, path, err)
                                         : silr_fail(err, SILR_EIO, "%s: no link can be made: %s", temp,
                                                     strerror(errno));
    }
    silr_buf_clear(&to);
    silr_free(path);
    silr_free(temp);
    return st;
}

/* config.json last: where it is, all else is. */
static silr_status link_all(const silr_hub_job *j, const silr_hub_tree *t, const bool *which,
                            silr_error *err)
{
    silr_status st = SILR_OK;

    for (int last = 0; last < 2; last++)
        for (size_t i = 0; st == SILR_OK && i < t->n; i++)
            if (which[i] && (strcmp(t->entry[i].name, "config.json") == 0) == (last == 1))
                st = link_file(j, &t->entry[i], err);
    return st;
}

static silr_status write_ref(const silr_hub_job *j, const char *revision, silr_error *err)
{
    char *path = silr_hub_path("%s/refs/%s", j->dir, revision);
    char *temp = silr_hub_path("%s/.silr-%ld.ref", j->dir, (long)getpid());
    silr_status st = path && temp ? make_folder_of(path, err) : silr_fail_memory(err);

    if (st == SILR_OK && (st = silr_file_write(temp, j->commit, strlen(j->commit), err)) == SILR_OK)
        st = move(temp, path, err);
    silr_free(path);
    silr_free(temp);
    return st;
}

/* --- all of it ----------------------------------------------------------------------------------- */

static silr_status fetch_files(silr_hub_job *j, silr_hub_tree *t, const silr_hub_want *want,
                               silr_hub_got *out, silr_error *err)
{
    bool *which = silr_calloc(t->n + 1, sizeof *which);
    char *blobs = silr_hub_path("%s/blobs", j->dir);
    silr_status st = which && blobs ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = silr_hub_pick(t, want, which, err)) != SILR_OK ||
        (st = ask_entries(j, t, which, err)) != SILR_OK || (st = silr_mkdirs(blobs, err)) != SILR_OK ||
        (st = enough_room(j, t, which, err)) != SILR_OK)
        goto done;
    for (size_t i = 0; st == SILR_OK && i < t->n; i++)
        if (which[i]) {
            silr_log(SILR_LOG_DEBUG, "%s: %lld bytes", t->entry[i].name, (long long)t->entry[i].size);
            st = silr_hub_blob(j, &t->entry[i], err);
            out->files++;
        }
    if (st == SILR_OK)
        st = link_all(j, t, which, err);
    out->bytes = j->total;
    out->fetched = j->fetched;
done:
    silr_free(which);
    silr_free(blobs);
    return st;
}

static silr_status fetch(silr_hub_wire *w, const silr_hub_want *want, const char *revision,
                         silr_hub_got *out, silr_error *err)
{
    silr_hub_tree tree = {0};
    char *dir = silr_hub_repo_dir(w->hub, want->name);
    silr_hub_job job = {.wire = w, .repo = want->name, .dir = dir, .commit = tree.commit};
    silr_status st = dir ? ask_tree(w, want, revision, &tree, err) : silr_fail_memory(err);

    if (st == SILR_OK && silr_hub_is_commit(revision) && strcmp(revision, tree.commit) != 0)
        st = silr_fail(err, SILR_EPEER, "%s: the hub answers of another commit than %s", want->name, revision);
    if (st == SILR_OK && (st = fetch_files(&job, &tree, want, out, err)) == SILR_OK &&
        !silr_hub_is_commit(revision))
        st = write_ref(&job, revision, err);
    if (st == SILR_OK) {
        memcpy(out->commit, tree.commit, sizeof out->commit);
        out->path = silr_hub_path("%s/snapshots/%s", dir, tree.commit);
        st = out->path ? SILR_OK : silr_fail_memory(err);
    }
    silr_hub_tree_clear(&tree);
    silr_free(dir);
    return st;
}

/* Offline, what is there must do. */
static silr_status at_hand(const silr_hub *h, const silr_hub_want *want, const char *revision,
                           silr_hub_got *out, silr_error *err)
{
    silr_status st = silr_hub_snapshot(h, &out->path, want->name, revision, err);

    if (st == SILR_OK && (st = silr_hub_open_what(&out->model, out->path, err)) == SILR_OK)
        memcpy(out->commit, strrchr(out->path, '/') + 1, sizeof out->commit - 1);
    if (st == SILR_EINPUT)
        st = silr_fail(err, SILR_EPEER, "%s: not in %s, or not all of it; and HF_HUB_OFFLINE forbids to "
                       "fetch it", want->name, h->cache);
    return st;
}

silr_status silr_hub_fetch(const silr_hub *h, const silr_hub_want *want, silr_hub_got *out,
                           silr_error *err)
{
    const char *revision = want->revision ? want->revision : "main";
    silr_hub_wire w = {0};
    silr_status st;

    *out = (silr_hub_got){0};
    if (!silr_hub_is_repo(want->name, strlen(want->name)))
        return silr_fail(err, SILR_EINPUT, "\"%.200s\" is no name of a model: expected ORG/NAME, such as "
                         "sentence-transformers/all-MiniLM-L6-v2", want->name);
    if (!silr_hub_is_revision(revision))
        return silr_fail(err, SILR_EINPUT, "\"%.200s\" is no revision: expected a branch, a tag or a "
                         "commit", revision);
    if (h->offline)
        st = at_hand(h, want, revision, out, err);
    else if ((st = silr_hub_wire_open(&w, h, err)) == SILR_OK &&
             (st = fetch(&w, want, revision, out, err)) == SILR_OK) {
        silr_error no;
        if (silr_hub_open_what(&out->model, out->path, &no) == SILR_ENOMEM)
            st = silr_fail_memory(err);
    }
    silr_hub_wire_close(&w);
    if (st != SILR_OK)
        silr_hub_got_clear(out);
    return st;
}

void silr_hub_got_clear(silr_hub_got *g)
{
    silr_free(g->path);
    silr_free(g->model);
    *g = (silr_hub_got){0};
}
