/* create.c - POST /batches, once.
 *
 * The one question is whether a batch was created and we were not told: the process was killed
 * between the request and the commit, or the reply did not come. Then it is looked for in the
 * server's list, by the file that it was made of and by our name in its metadata, before it is
 * asked for again. So no request is in two batches, where the server keeps a list. */
#include "chat/batch.h"
#include <string.h>

enum { PAGES = 10, SMALL = 1 << 16 };

/* The one in a page of the server's list that was made of our file. last: where the next page begins. */
static bool find_in_page(batch *t, const json_t *page, char last[BATCH_ID])
{
    const json_t *data = json_object_get(page, "data");
    size_t n = json_array_size(data);

    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(data, i);
        const char *file = json_string_value(json_object_get(x, "input_file_id"));
        const char *name =
            json_string_value(json_object_get(json_object_get(x, "metadata"), "silr"));
        if (((file && strcmp(file, t->file) == 0) || (name && strcmp(name, t->name) == 0)) &&
            silr_batch_read(t, x))
            return true;
        silr_batch_id(last, json_object_get(x, "id"));
    }
    if (n == 0 || !json_is_true(json_object_get(page, "has_more")))
        last[0] = '\0';
    return false;
}

static bool lists_nothing(const silr_http_reply *r)
{
    int s = r->end == SILR_HTTP_DONE ? r->status : 0;
    return s == 501 || (s / 100 == 4 && s != 401 && s != 408 && s != 429);
}

/* Was it created? Looks through the newest of the server's batches. */
static silr_status find_created(batcher *b, batch *t, bool *found, silr_error *err)
{
    silr_buf url = {0};
    char last[BATCH_ID] = "", query[BATCH_ID + 40];
    silr_http_reply reply = {0};
    silr_status st = SILR_OK;

    *found = false;
    for (int page = 0; page < PAGES && !*found && (page == 0 || last[0]); page++) {
        json_t *root = NULL;
        snprintf(query, sizeof query, last[0] ? "limit=100&after=%s" : "limit=100", last);
        if ((st = silr_call_url(b, &url, "/batches", query, err)) != SILR_OK ||
            (st = silr_call_get(b->c, url.data, BATCH_TELLS, &reply, &root, err)) != SILR_OK)
            break;
        *found = find_in_page(t, root, last);
        json_decref(root);
    }
    if (st == SILR_EPEER && lists_nothing(&reply)) {
        silr_log(SILR_LOG_WARN,
                 "%s lists no batches: whether one of %llu requests was begun already "
                 "cannot be known, it is begun (again)",
                 silr_chat_url(b->c->task), (unsigned long long)t->lines);
        st = SILR_OK;
    }
    silr_buf_clear(&url);
    return st;
}

static silr_status keep_created(batcher *b, batch *t, silr_error *err)
{
    silr_status st = silr_batch_open(b, err);

    t->stage = BATCH_CREATED;
    t->due = silr_now() + b->c->task->annotator.chat.batch_poll / 16;
    if (st == SILR_OK && (st = silr_batch_keep(b, t, err)) == SILR_OK)
        st = silr_batch_commit(b, err);
    if (st == SILR_OK)
        silr_log(SILR_LOG_INFO, "batch %s: %llu requests are with the server", t->id,
                 (unsigned long long)t->lines);
    return st;
}

static bool take_created(batch *t, const silr_http_reply *reply)
{
    json_t *root = silr_call_json(reply);
    bool good = silr_batch_read(t, root);

    json_decref(root);
    return good;
}

/* Not told whether it was done. */
static bool unclear(const silr_http_reply *r)
{
    if (r->end == SILR_HTTP_DONE)
        return r->status >= 500 || r->status == 408 || r->status / 100 == 2;
    return r->end != SILR_HTTP_CONNECT && r->end != SILR_HTTP_TLS;
}

/* It refuses because of the file that it is to be made of. */
static bool blames_file(const silr_http_reply *r)
{
    char what[200];

    if (r->end != SILR_HTTP_DONE || (r->status != 400 && r->status != 404))
        return false;
    silr_reply_error(r->body, r->len, what, NULL);
    return strcasestr(what, "file") != NULL;
}

/* unsure: it may be there already. *gone: the file is not. */
static silr_status create(batcher *b, batch *t, bool unsure, bool *gone, silr_error *err)
{
    silr_buf url = {0}, body = {0};
    silr_http_reply reply;
    silr_http_request r = {.method = "POST", .max_body = SMALL};
    bool again = true, found = false;
    silr_status st = silr_call_url(b, &url, "/batches", NULL, err);

    *gone = false;
    silr_buf_printf(&body,
                    "{\"input_file_id\":\"%s\",\"endpoint\":\"%s\",\"completion_window\":\"24h\","
                    "\"metadata\":{\"silr\":\"%s\"}}",
                    t->file, b->endpoint, t->name);
    if (st == SILR_OK && body.failed)
        st = silr_fail_memory(err);
    r.url = url.data;
    r.body = body.data;
    r.len = body.len;
    for (int attempt = 1; st == SILR_OK && again; attempt++) {
        if (unsure && ((st = find_created(b, t, &found, err)) != SILR_OK || found))
            break;
        if ((st = silr_call_once(b->c, &r, true, &reply, err)) != SILR_OK)
            break;
        unsure = unsure || unclear(&reply);
        *gone = blames_file(&reply);
        st = silr_call_judge(b->c, &r, &reply, take_created(t, &reply), attempt, &again, err);
    }
    silr_buf_clear(&url);
    silr_buf_clear(&body);
    return st == SILR_OK ? keep_created(b, t, err) : st;
}

/* Another run took us for dead, or the time to which they were held was over: its requests are sent without
 * those that it is asking. */
static silr_status forgo(batcher *b, batch *t, silr_error *err)
{
    silr_log(SILR_LOG_INFO, "a file of %llu requests is left: another run asks some of them",
             (unsigned long long)t->lines);
    snprintf(t->why, sizeof t->why, "another run asks some of its requests");
    return silr_batch_close(b, t, BATCH_FAILED, false, err);
}

silr_status silr_batch_create(batcher *b, batch *t, silr_error *err)
{
    bool gone;

    if (!t->lost)
        return create(b, t, false, &gone, err);
    b->c->sent -= (int64_t)t->lines;
    return forgo(b, t, err);
}

/* Unless it is there already, and paid for. */
static silr_status look_and_forgo(batcher *b, batch *t, silr_error *err)
{
    bool found;
    silr_status st = find_created(b, t, &found, err);

    if (st != SILR_OK)
        return st;
    return found ? keep_created(b, t, err) : forgo(b, t, err);
}

silr_status silr_batch_resume(batcher *b, batch *t, silr_error *err)
{
    silr_error mine = {0};
    bool gone;
    silr_status st;

    if (t->lost)
        return look_and_forgo(b, t, err);
    st = create(b, t, true, &gone, &mine);
    if (st == SILR_OK)
        return SILR_OK;
    if (gone) { /* so is the file: its requests are written anew */
        silr_log(SILR_LOG_WARN, "a file of %llu requests is sent again: %s",
                 (unsigned long long)t->lines, mine.text);
        snprintf(t->why, sizeof t->why, "%.230s", mine.text);
        return silr_batch_close(b, t, BATCH_FAILED, false, err);
    }
    if (err)
        *err = mine;
    return st;
}
