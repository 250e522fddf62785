/* inside.h - what the files of src/hub share. */
#ifndef SILR_HUB_INSIDE_H
#define SILR_HUB_INSIDE_H

#include "http/http.h"
#include "hub/hub.h"
#include <jansson.h>

/* --- names.c ----------------------------------------------------------------------------------- */

typedef struct {
    char *repo;     /* "ORG/NAME" */
    char *revision; /* "main" where none is named */
    char *file;     /* NULL: none is named */
} silr_hub_name;
/* SILR_EINPUT: no such name can be. */
silr_status silr_hub_name_read(silr_hub_name *out, const char *text, silr_error *err);
void silr_hub_name_clear(silr_hub_name *n);
bool silr_hub_is_repo(const char *s, size_t len);
bool silr_hub_is_revision(const char *s);
bool silr_hub_is_hash(const char *s, size_t len); /* 40 or 64 lower-case hex digits */
bool silr_hub_is_commit(const char *s);           /* 40 of them */
/* CACHE/models--ORG--NAME; NULL: no memory */
char *silr_hub_repo_dir(const silr_hub *h, const char *repo);
/* Formatted; NULL: no memory */
char *silr_hub_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- cache.c ------------------------------------------------------------------------------------ */

/* The folder of a revision in the cache. SILR_EINPUT: there is none. */
silr_status silr_hub_snapshot(const silr_hub *h, char **out, const char *repo, const char *revision,
                              silr_error *err);
/* What silr can open in a folder. SILR_EINPUT: nothing, or not all of it. */
silr_status silr_hub_open_what(char **out, const char *dir, silr_error *err);
/* Files of folder `dir` and its sub-folders, names relative to it, sorted. A folder that is missing
 * has none. */
typedef struct {
    char **name;
    size_t n, cap;
} silr_hub_names;
silr_status silr_hub_walk(silr_hub_names *out, const char *dir, silr_error *err);
void silr_hub_names_clear(silr_hub_names *n);
/* The files that the index of a sharded model names: names[i]; each once. */
silr_status silr_hub_shards(silr_hub_names *out, const char *index_path, silr_error *err);

/* --- digest.c ----------------------------------------------------------------------------------- */

/* The hash by which a blob is named, as its bytes come: SHA-256 of them where the name has 64 digits;
 * SHA-1 of "blob SIZE\0" and them, as git does, where it has 40. */
typedef struct {
    void *ctx; /* EVP_MD_CTX */
} silr_hub_digest;
silr_status silr_hub_digest_begin(silr_hub_digest *d, const char *hash, uint64_t size,
                                  silr_error *err);
void silr_hub_digest_add(silr_hub_digest *d, const void *bytes, size_t len);
void silr_hub_digest_end(silr_hub_digest *d, char hex[65]);
void silr_hub_digest_clear(silr_hub_digest *d);

/* --- wire.c ------------------------------------------------------------------------------------- */

typedef struct {
    const silr_hub *hub;
    silr_http *http;
    char *auth; /* "Authorization: Bearer ..."; NULL */
    silr_buf url, next; /* where a request is now; where it goes from there */
} silr_hub_wire;
silr_status silr_hub_wire_open(silr_hub_wire *w, const silr_hub *h, silr_error *err);
void silr_hub_wire_close(silr_hub_wire *w);

typedef struct {
    const char *method, *url;
    const char *what;    /* for messages: "ORG/NAME: config.json" */
    int64_t from, size;  /* a sink's: bytes from `from` of `size`; from 0: no Range */
    bool (*sink)(void *ctx, const silr_hub_head *head, const char *bytes, size_t len);
    void *ctx;
} silr_hub_ask;
/* One request, redirects followed (of HEAD only until a hash is told). *head: of the last answer, with
 * the hash, size and commit that the first told that told them. *again: it failed in a way that may
 * pass, and err says how. */
silr_status silr_hub_once(silr_hub_wire *w, const silr_hub_ask *ask, silr_hub_head *head,
                          silr_http_reply *reply, bool *again, silr_error *err);
/* The same, asked again as long as it may pass. */
silr_status silr_hub_ask_patiently(silr_hub_wire *w, const silr_hub_ask *ask, silr_hub_head *head,
                                   silr_http_reply *reply, silr_error *err);
/* Waits before try number `failed` + 1. SILR_EPEER: too many, or the server wants too long: err keeps
 * the sentence it holds. */
silr_status silr_hub_pause(silr_hub_wire *w, int failed, double retry_after, silr_error *err);

/* --- blob.c ------------------------------------------------------------------------------------- */

typedef struct {
    silr_hub_wire *wire;
    const char *repo, *commit, *dir; /* dir: CACHE/models--ORG--NAME */
    uint64_t done, total, fetched;   /* bytes, for the progress; fetched: over the network */
} silr_hub_job;
/* The blob of an entry is in blobs/, fetched and verified if it was not. */
silr_status silr_hub_blob(silr_hub_job *j, const silr_hub_entry *e, silr_error *err);
/* Bytes that are still to come for it. */
uint64_t silr_hub_blob_left(const silr_hub_job *j, const silr_hub_entry *e);
void silr_hub_file_url(silr_buf *url, const silr_hub_job *j, const char *file);

#endif
