/* state.c - what is known of batches: as the ledger keeps it, as the server tells it.
 *
 * A row of `batches` is {"state":"created","url":...,"model":...,"file":...,"batch":...,
 * "status":"in_progress","lines":..,"completed":..,"failed":..,"estimate":..,"made":..,"expires":..,
 * "why":...}.
 * Strings from a server end up in addresses and on the terminal: ids are checked, words tidied. */
#include "chat/batch.h"
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char *const stages[] = {"uploaded", "created", "collected", "failed"};

/* --- ids and statuses ---------------------------------------------------------------------------- */

bool silr_batch_id(char *out, const json_t *from)
{
    const char *s = json_string_value(from);
    size_t len = s ? json_string_length(from) : 0;

    out[0] = '\0';
    if (len == 0 || len >= BATCH_ID || s[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char x = s[i];
        if (!((x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') ||
              x == '-' || x == '_' || x == '.' || x == ':'))
            return false;
    }
    memcpy(out, s, len + 1);
    return true;
}

static bool is(const batch *t, const char *status)
{
    return strcasecmp(t->told, status) == 0;
}

bool silr_batch_ended(const batch *t)
{
    return is(t, "completed") || is(t, "failed") || is(t, "expired") || is(t, "cancelled");
}

bool silr_batch_underway(const batch *t)
{
    return (t->stage == BATCH_UPLOADED || t->stage == BATCH_CREATED) && t->waiting > 0;
}

/* --- as the server tells it ---------------------------------------------------------------------- */

static uint64_t count_at(const json_t *v, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(v, name));
    return n > 0 ? (uint64_t)n : 0;
}

/* An id that is not there is none; one that can be no id is an error. */
static bool read_file_id(char *out, const json_t *from)
{
    if (!from || json_is_null(from) || (json_is_string(from) && json_string_length(from) == 0)) {
        out[0] = '\0';
        return true;
    }
    return silr_batch_id(out, from);
}

static int into_buf(const char *bytes, size_t len, void *to)
{
    silr_buf_add(to, bytes, len);
    return 0;
}

/* The first of its errors: "line 3: ... (code)". */
static void read_errors(batch *t, const json_t *errors)
{
    const json_t *list = json_object_get(errors, "data"), *first = json_array_get(list, 0);
    json_int_t line = json_integer_value(json_object_get(first, "line"));
    size_t n = json_array_size(list);
    char more[40] = "", where[40] = "", what[200] = "", code[80] = "";
    silr_buf text = {0};

    if (first && json_dump_callback(first, into_buf, &text, JSON_COMPACT) == 0 && !text.failed)
        silr_reply_error(text.data, text.len, what, code);
    silr_buf_clear(&text);
    if (line > 0)
        snprintf(where, sizeof where, "line %lld: ", (long long)line);
    if (n > 1)
        snprintf(more, sizeof more, "; and %zu more", n - 1);
    snprintf(t->why, sizeof t->why, "%s%.150s%s%.30s%s%s", where, what, code[0] ? " (" : "", code,
             code[0] ? ")" : "", more);
}

bool silr_batch_read(batch *t, const json_t *from)
{
    char id[BATCH_ID], output[BATCH_ID], errors[BATCH_ID];
    const char *status = json_string_value(json_object_get(from, "status"));
    const json_t *counts = json_object_get(from, "request_counts");

    if (!silr_batch_id(id, json_object_get(from, "id")) || !status ||
        strlen(status) >= sizeof t->told || (t->id[0] && strcmp(id, t->id) != 0) ||
        !read_file_id(output, json_object_get(from, "output_file_id")) ||
        !read_file_id(errors, json_object_get(from, "error_file_id")))
        return false;
    for (const char *p = status; *p; p++)
        if (*p < '!' || *p > '~')
            return false;
    memcpy(t->id, id, sizeof id);
    memcpy(t->output, output, sizeof output);
    memcpy(t->errors, errors, sizeof errors);
    memcpy(t->told, status, strlen(status) + 1);
    t->completed = count_at(counts, "completed");
    t->failed = count_at(counts, "failed");
    t->expires = json_integer_value(json_object_get(from, "expires_at"));
    if (is(t, "failed"))
        read_errors(t, json_object_get(from, "errors"));
    return true;
}

/* --- as the ledger keeps it ---------------------------------------------------------------------- */

static void put_text(silr_buf *out, const char *name, const char *value)
{
    silr_buf_printf(out, ",\"%s\":", name);
    silr_buf_json(out, value, strlen(value));
}

silr_status silr_batch_keep(batcher *b, batch *t, silr_error *err)
{
    silr_buf json = {0};
    silr_status st;

    silr_buf_printf(&json, "{\"state\":\"%s\"", stages[t->stage]);
    put_text(&json, "url", b->c->url.data);
    put_text(&json, "model", b->c->task->annotator.chat.model);
    put_text(&json, "file", t->file);
    put_text(&json, "batch", t->id);
    put_text(&json, "status", t->told);
    silr_buf_printf(&json, ",\"lines\":%llu,\"completed\":%llu,\"failed\":%llu,\"estimate\":",
                    (unsigned long long)t->lines, (unsigned long long)t->completed,
                    (unsigned long long)t->failed);
    silr_buf_number(&json, t->estimate, 9);
    silr_buf_printf(&json, ",\"made\":%lld,\"expires\":%lld,\"changed\":%lld", (long long)t->made,
                    (long long)t->expires, (long long)time(NULL));
    if (t->stage == BATCH_FAILED)
        put_text(&json, "why", t->why);
    silr_buf_putc(&json, '}');
    st = json.failed ? silr_fail_memory(err)
                     : silr_ledger_batch_set(b->c->ledger, t->name, json.data, err);
    silr_buf_clear(&json);
    if (st == SILR_OK && t->stage <= BATCH_CREATED)
        silr_share_hold(b, t);
    return st;
}

static batch *add(batcher *b, silr_error *err)
{
    batch *t;

    if (!silr_grow(&b->batch, &b->cap_batches, b->n_batches + 1, sizeof *b->batch)) {
        silr_fail_memory(err);
        return NULL;
    }
    t = &b->batch[b->n_batches++];
    *t = (batch){.made = (int64_t)time(NULL)};
    return t;
}

batch *silr_batch_new(batcher *b, silr_error *err)
{
    unsigned char lot[8];
    batch *t;

    if (getrandom(lot, sizeof lot, 0) != sizeof lot) {
        silr_fail(err, SILR_EIO, "the system gives no random numbers");
        return NULL;
    }
    if (!(t = add(b, err)))
        return NULL;
    snprintf(t->name, sizeof t->name, "silr-");
    for (size_t i = 0; i < sizeof lot; i++)
        snprintf(t->name + 5 + 2 * i, 3, "%02x", lot[i]);
    return t;
}

static bool read_stage(batch *t, const json_t *root)
{
    const char *stage = json_string_value(json_object_get(root, "state"));

    for (size_t i = 0; stage && i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i], stage) == 0) {
            t->stage = (batch_stage)i;
            return true;
        }
    return false;
}

static silr_status load_one(void *ctx, const char *name, const char *state, silr_error *err)
{
    batcher *b = ctx;
    json_t *root = json_loads(state, 0, NULL);
    batch *t = add(b, err);
    json_int_t made = json_integer_value(json_object_get(root, "made"));
    silr_status st = SILR_OK;

    if (!t) {
        st = SILR_ENOMEM;
    } else if (strlen(name) >= sizeof t->name || !read_stage(t, root) ||
               !silr_batch_id(t->file, json_object_get(root, "file")) ||
               (t->stage == BATCH_CREATED &&
                !silr_batch_id(t->id, json_object_get(root, "batch")))) {
        st = silr_fail(err, SILR_EINPUT, "%s: what it says of batch %.40s cannot be read",
                       silr_ledger_path(b->c->ledger), name);
    } else {
        snprintf(t->name, sizeof t->name, "%s", name);
        t->lines = count_at(root, "lines");
        t->estimate = json_number_value(json_object_get(root, "estimate"));
        t->made = made > 0 && made < t->made ? made : t->made;
        t->expires = json_integer_value(json_object_get(root, "expires"));
        t->resumed = true;
    }
    json_decref(root);
    return st;
}

static int32_t find_by_name(const batcher *b, const char *name)
{
    for (size_t i = 0; i < b->n_batches; i++)
        if (strcmp(b->batch[i].name, name) == 0)
            return (int32_t)i;
    return BATCH_NONE;
}

/* A call that was killed after the last answer had come had no time to say so. */
static silr_status close_answered(batcher *b, silr_error *err)
{
    silr_status st = SILR_OK;

    for (batch *t = b->batch; st == SILR_OK && t < b->batch + b->n_batches; t++) {
        int64_t left = 0;
        if (t->stage > BATCH_CREATED || t->waiting > 0)
            continue;
        st = silr_ledger_lines_left(b->c->ledger, t->name, &left, err);
        if (st == SILR_OK && left == 0)
            st = silr_batch_close(b, t, BATCH_COLLECTED, true, err);
    }
    return st;
}

silr_status silr_batch_load(batcher *b, silr_error *err)
{
    silr_buf name = {0};
    silr_status st = silr_ledger_batches(b->c->ledger, load_one, b, err);

    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i)) {
        want *w = &b->want[i];
        int tries;
        if ((st = silr_ledger_line_get(b->c->ledger, &w->id, &name, &tries, err)) != SILR_OK)
            break;
        w->batch = find_by_name(b, name.data);
        w->tries = (uint16_t)(tries < 0 ? 0 : tries > 60000 ? 60000 : tries);
        if (w->batch != BATCH_NONE && b->batch[w->batch].stage <= BATCH_CREATED)
            b->batch[w->batch].waiting++;
        else
            w->batch = BATCH_NONE;
    }
    silr_buf_clear(&name);
    if (st == SILR_OK)
        st = close_answered(b, err);
    return st == SILR_OK ? silr_share_resume(b, err) : st;
}

silr_status silr_batch_close(batcher *b, batch *t, batch_stage stage, bool ran, silr_error *err)
{
    int32_t index = (int32_t)(t - b->batch);
    silr_status st = silr_batch_open(b, err);

    t->stage = stage;
    t->waiting = 0;
    if (st == SILR_OK)
        st = silr_ledger_lines_drop(b->c->ledger, t->name, err);
    if (st == SILR_OK)
        silr_ledger_unhold(b->c->ledger, t->name);
    for (size_t i = 0; st == SILR_OK && i < b->n; i = silr_want_next(b, i)) {
        want *w = &b->want[i];
        if (w->done || w->batch != index)
            continue;
        w->batch = BATCH_NONE;
        w->again = false;
        w->tries = (uint16_t)(w->tries - (!ran && w->tries > 0));
        if (w->tries > 0)
            st = silr_ledger_line_set(b->c->ledger, &w->id, "", w->tries, err);
    }
    if (st == SILR_OK)
        st = silr_batch_keep(b, t, err);
    return st == SILR_OK ? silr_batch_commit(b, err) : st;
}
