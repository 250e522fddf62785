/* files.c - /v1/files: what the Batch API reads and writes. Files live as long as the server. */
#include "server.h"
#include "base/mem.h"
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

static struct file **files;
static size_t count, cap;

size_t files_count(void)
{
    return count;
}

struct file *files_find(const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (!files[i]->deleted && strcmp(files[i]->id, id) == 0)
            return files[i];
    return NULL;
}

struct file *files_add(const char *name, const char *purpose, silr_buf *take)
{
    struct file *f = must(silr_calloc(1, sizeof *f));

    must(silr_grow(&files, &cap, count + 1, sizeof *files) ? files : NULL);
    must_be_whole(take);
    snprintf(f->id, sizeof f->id, "file-%06zu", count + 1);
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->purpose, sizeof f->purpose, "%s", purpose);
    f->created = 1735689600 + (long)count;
    f->data = *take;
    *take = (silr_buf){0};
    files[count++] = f;
    return f;
}

static void describe(struct answer *a, const struct file *f)
{
    answer_json(a, 200);
    silr_buf_printf(
        &a->body,
        "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":%zu,\"created_at\":%ld,\"filename\":", f->id,
        f->data.len, f->created);
    silr_buf_json(&a->body, f->name, strlen(f->name));
    silr_buf_printf(&a->body,
                    ",\"purpose\":\"%s\",\"status\":\"processed\",\"status_details\":null}",
                    f->purpose);
}

/* --- POST ------------------------------------------------------------------------------- */

struct upload {
    silr_buf data, purpose;
    char name[128];
    bool file;
};

static enum MHD_Result part(void *cls, enum MHD_ValueKind kind, const char *key,
                            const char *filename, const char *type, const char *encoding,
                            const char *data, uint64_t off, size_t size)
{
    struct upload *u = cls;

    (void)kind, (void)type, (void)encoding, (void)off;
    if (strcmp(key, "file") == 0) {
        u->file = true;
        if (filename)
            snprintf(u->name, sizeof u->name, "%s", filename);
        silr_buf_add(&u->data, data, size);
    } else if (strcmp(key, "purpose") == 0) {
        silr_buf_add(&u->purpose, data, size);
    }
    return MHD_YES;
}

void files_upload(struct request *r)
{
    struct upload u = {.name = "unnamed"};
    struct MHD_PostProcessor *pp = MHD_create_post_processor(r->conn, 4096, part, &u);
    bool ok = pp && MHD_post_process(pp, r->body.data, r->body.len) == MHD_YES;

    if (pp && MHD_destroy_post_processor(pp) != MHD_YES)
        ok = false;
    if (!ok)
        answer_error(&r->answer, 400, "invalid_request_error", NULL, NULL,
                     "The body is not multipart/form-data.");
    else if (!u.file || u.data.len == 0)
        answer_error(&r->answer, 400, "invalid_request_error", "file", NULL, "'file' is required.");
    else if (u.purpose.len != 5 || memcmp(u.purpose.data, "batch", 5) != 0)
        answer_error(&r->answer, 400, "invalid_request_error", "purpose", NULL,
                     "'purpose' is to be 'batch'.");
    else
        describe(&r->answer, files_add(u.name, "batch", &u.data));
    silr_buf_clear(&u.data);
    silr_buf_clear(&u.purpose);
}

/* --- GET, DELETE ------------------------------------------------------------------------ */

static struct file *find(struct answer *a, const char *id)
{
    struct file *f = files_find(id);

    if (!f)
        answer_error(a, 404, "invalid_request_error", "id", NULL, "No such File object: %s", id);
    return f;
}

void files_get(struct answer *a, const char *id, bool content)
{
    const struct file *f = find(a, id);

    if (f && content) {
        answer_json(a, 200);
        a->type = "application/octet-stream";
        silr_buf_add(&a->body, f->data.data, f->data.len);
    } else if (f) {
        describe(a, f);
    }
}

void files_delete(struct answer *a, const char *id)
{
    struct file *f = find(a, id);

    if (!f)
        return;
    f->deleted = true;
    silr_buf_clear(&f->data);
    answer_json(a, 200);
    silr_buf_printf(&a->body, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", f->id);
}
