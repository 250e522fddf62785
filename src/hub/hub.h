/* hub.h - model folders by name: found in the cache that Hugging Face's tools share, checked, fetched.
 *
 *     CACHE/models--ORG--NAME/refs/main                     the commit that main was: 40 hex digits
 *     CACHE/models--ORG--NAME/snapshots/COMMIT/config.json  -> ../../blobs/HASH
 *     CACHE/models--ORG--NAME/blobs/HASH                    SHA-256 of a large file (Git LFS), the
 *                                                           SHA-1 that git gives a small one
 *     CACHE/models--ORG--NAME/blobs/HASH.incomplete         begun, and not yet verified
 *     CACHE/.locks/models--ORG--NAME/HASH.lock              flock: one process fetches a blob
 *
 * What silr fetches, transformers finds, and the other way round. A blob has its name only once its
 * hash is right; the links of a snapshot are made when all its blobs are there, config.json last; a
 * ref comes after that. So nothing half fetched can be taken for a model.
 *
 *     char *path;
 *     if ((st = silr_hub_find(&path, "sentence-transformers/all-MiniLM-L6-v2", err)) != SILR_OK)
 *         return st;      // err: "not in the cache ...; `silr models fetch ...` fetches it"
 */
#ifndef SILR_HUB_H
#define SILR_HUB_H

#include "base/base.h"

/* Where models are kept and come from, as the environment says:
 *     HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/...
 *     HF_ENDPOINT   the hub; https://huggingface.co
 *     HF_TOKEN      goes to the hub alone, never to a server that it redirects to
 *     HF_HUB_OFFLINE=1, TRANSFORMERS_OFFLINE=1   nothing is asked */
typedef struct {
    char *cache, *endpoint, *token; /* token NULL: none */
    bool offline;
    double connect_timeout, timeout; /* seconds; of silence, not in all */
    double pause;                    /* before the second try; doubles */
} silr_hub;

/* SILR_EINPUT: no cache can be named, or a variable is not what it should be. */
silr_status silr_hub_init(silr_hub *h, silr_error *err);
void silr_hub_clear(silr_hub *h); /* zeroed is fine */

/* Whether `name` can be the name of a model on a hub: "ORG/NAME", "NAME", with "@REVISION" or
 * "/FILE" behind, or both: "ORG/NAME@main/model-q4.gguf". */
bool silr_hub_is_name(const char *name);

/* Finds what silr_weights_open takes: a path that exists is itself; a name is its snapshot's folder
 * in the cache, or the one GGUF file in it. Needs no network. *out: silr_free it.
 * SILR_EINPUT: not there, or not all of it: err says what to do. */
silr_status silr_hub_find(char **out, const char *name, silr_error *err);
/* The same for a name in a task file: what is there relative to the folder `dir` goes first. */
silr_status silr_hub_find_from(char **out, const char *dir, const char *name, silr_error *err);
silr_status silr_hub_find_in(const silr_hub *h, char **out, const char *name, silr_error *err);

/* --- what is there --------------------------------------------------------------------------- */

typedef struct {
    char *name;      /* "ORG/NAME" */
    char *commit;
    char *revision;  /* the refs that are this commit: "main, v1"; "" none */
    char *path;      /* of the snapshot's folder */
    char *model;     /* what to open; NULL: it is not complete, or not for silr */
    char *problem;   /* why model is NULL */
    uint64_t bytes;
} silr_hub_model;

typedef struct {
    silr_hub_model *model; /* by name, then commit */
    size_t n, cap;
} silr_hub_models;

/* A cache that does not exist is empty. What in it is no model is passed over. */
silr_status silr_hub_list(const silr_hub *h, silr_hub_models *out, silr_error *err);
void silr_hub_models_clear(silr_hub_models *m);

typedef struct {
    char *name;      /* relative to the model's folder */
    char *problem;   /* NULL: it is right */
    uint64_t bytes;
    bool verified;   /* its bytes have the hash that it is named by */
} silr_hub_file;

typedef struct {
    silr_hub_file *file; /* by name */
    size_t n, cap, wrong;
} silr_hub_files;

/* Looks at every file of a model (a folder or a file, as silr_hub_find gives them; of a snapshot in
 * the cache every link): there, of its hash where it is named by one, JSON where it is called so.
 * Problems are in *out, not in the status. */
silr_status silr_hub_check(silr_hub_files *out, const char *path, silr_error *err);
void silr_hub_files_clear(silr_hub_files *f);

/* Opens weights and tokenizer as a run would, and adds what the model is: to brief some words
 * ("llama, 30 layers of 576"), to what several lines. SILR_EINPUT: silr cannot run it; err says why,
 * and what was found out before is there. */
silr_status silr_hub_look(const char *model, silr_buf *brief, silr_buf *what, silr_error *err);

/* --- fetching -------------------------------------------------------------------------------- */

typedef struct {
    const char *name;            /* "ORG/NAME" */
    const char *revision;        /* NULL: main */
    const char *const *include;  /* weights that match one of these globs, in place of silr's choice */
    size_t n_include;
} silr_hub_want;

typedef struct {
    char *path;   /* of the snapshot */
    char *model;  /* what to open; NULL: what was fetched is not all of a model */
    char commit[41];
    size_t files;
    uint64_t bytes, fetched; /* of all files; of those that came over the network now */
} silr_hub_got;

/* Fetches what silr needs of a model, or goes on where an earlier call was stopped.
 * SILR_EPEER: the hub cannot be reached, refuses, or answers with what cannot be true. SILR_EINPUT: no
 * such model, revision or file. SILR_EIO: disk. SILR_ECANCEL: interrupted; what has come is kept. */
silr_status silr_hub_fetch(const silr_hub *h, const silr_hub_want *want, silr_hub_got *out,
                           silr_error *err);
void silr_hub_got_clear(silr_hub_got *g);

/* --- foreign bytes, also for tests and the fuzzer ---------------------------------------------- */

typedef struct {
    char *name;
    int64_t size;  /* -1: not told */
    char hash[65]; /* "": not told */
} silr_hub_entry;

typedef struct {
    char commit[41];
    silr_hub_entry *entry;
    size_t n, cap;
} silr_hub_tree;

/* The hub's answer to "which files has it?". Whole or not at all: one name that leads out of the
 * folder, and nothing of it is believed. SILR_EPEER: not such an answer. */
silr_status silr_hub_tree_read(silr_hub_tree *out, const char *json, size_t len, silr_error *err);
void silr_hub_tree_clear(silr_hub_tree *t);
/* A relative name of plain parts: no "..", no backslash, no control character, not too long. */
bool silr_hub_safe_name(const char *name, size_t len);

/* What silr needs of it: which[i] for entry i. SILR_EINPUT: no weights it could use, or several sets
 * of them; err says how to choose. */
silr_status silr_hub_pick(const silr_hub_tree *t, const silr_hub_want *want, bool *which,
                          silr_error *err);

/* What an answer's head says of a file. */
typedef struct {
    int status;
    char etag[65];        /* the hash; X-Linked-Etag before ETag; "": none that is one */
    char commit[41];      /* X-Repo-Commit */
    int64_t linked_size, length; /* -1: not told */
    int64_t first, total; /* of Content-Range; -1 */
    bool linked;          /* etag is X-Linked-Etag's */
    bool moved, too_long; /* moved: there is a location; too_long: but more of it than is kept */
    char location[8192];
} silr_hub_head;
void silr_hub_head_line(silr_hub_head *h, const char *line, size_t len);

#endif
