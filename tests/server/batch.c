/* batch.c - /v1/batches: a batch goes on by being asked after.
 *
 *     validating -> in_progress -> finalizing -> completed
 *              \-> failed     \-> expired
 *               any of the first three, cancelled: -> cancelling -> cancelled
 *
 * Each stage lasts --batch-polls polls. The lines are run when the last stage begins. */
#include "server.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum stage {
    VALIDATING,
    IN_PROGRESS,
    FINALIZING,
    COMPLETED,
    FAILED,
    EXPIRED,
    CANCELLING,
    CANCELLED
};
static const char *const stage_names[] = {
    "validating", "in_progress", "finalizing", "completed",
    "failed",     "expired",     "cancelling", "cancelled",
};

struct batch {
    char id[40], input[40], good[40], bad[40];
    enum stage stage;
    unsigned polls; /* in this stage */
    json_t *errors, *metadata;
    struct lines lines;
    size_t completed, failed;
    double done; /* the share of lines that will be run */
};

static struct batch **batches;
static size_t count, cap;

size_t batch_count(void)
{
    return count;
}

static struct batch *find(struct answer *a, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(batches[i]->id, id) == 0)
            return batches[i];
    answer_error(a, 404, "invalid_request_error", NULL, NULL, "No batch found with id '%s'.", id);
    return NULL;
}

/* --- telling ---------------------------------------------------------------------------- */

static void put_id(silr_buf *b, const char *name, const char *id)
{
    silr_buf_printf(b, id[0] ? ",\"%s\":\"%s\"" : ",\"%s\":null", name, id);
}

static void describe(silr_buf *b, const struct batch *t)
{
    char *metadata = must(json_dumps(t->metadata, JSON_COMPACT | JSON_ENCODE_ANY));

    silr_buf_printf(
        b, "{\"id\":\"%s\",\"object\":\"batch\",\"endpoint\":\"/v1/chat/completions\",\"errors\":",
        t->id);
    if (t->stage == FAILED) {
        char *errors = must(json_dumps(t->errors, JSON_COMPACT));
        silr_buf_printf(b, "{\"object\":\"list\",\"data\":%s}", errors);
        free(errors);
    } else {
        silr_buf_puts(b, "null");
    }
    put_id(b, "input_file_id", t->input);
    silr_buf_printf(b, ",\"completion_window\":\"24h\",\"status\":\"%s\"", stage_names[t->stage]);
    put_id(b, "output_file_id", t->good);
    put_id(b, "error_file_id", t->bad);
    silr_buf_printf(
        b,
        ",\"created_at\":1735689600,\"expires_at\":1735776000,"
        "\"request_counts\":{\"total\":%zu,\"completed\":%zu,\"failed\":%zu},\"metadata\":%s}",
        t->stage == VALIDATING || t->stage == FAILED ? 0 : t->lines.n, t->completed, t->failed,
        metadata);
    free(metadata);
}

static void tell(struct answer *a, const struct batch *t)
{
    answer_json(a, 200);
    describe(&a->body, t);
}

/* Newest first, as the API has it. */
void batch_list(struct answer *a, const char *after, const char *limit)
{
    long most = limit ? strtol(limit, NULL, 10) : 20, n = 0;
    size_t i = count;

    answer_json(a, 200);
    silr_buf_puts(&a->body, "{\"object\":\"list\",\"data\":[");
    while (after && i > 0 && strcmp(batches[i - 1]->id, after) != 0)
        i--;
    if (after && i > 0)
        i--;
    for (; i > 0 && n < most; i--, n++) {
        if (n > 0)
            silr_buf_putc(&a->body, ',');
        describe(&a->body, batches[i - 1]);
    }
    silr_buf_printf(&a->body, "],\"has_more\":%s}", i > 0 ? "true" : "false");
}

/* --- going on --------------------------------------------------------------------------- */

static void finish(struct batch *t, enum stage stage)
{
    silr_buf good = {0}, bad = {0};

    t->stage = stage;
    if (t->errors && json_array_size(t->errors) > 0)
        return;
    lines_run(&t->lines, t->done, stage == EXPIRED ? "batch_expired" : "batch_cancelled", &good,
              &bad, &t->completed, &t->failed);
    if (good.len > 0)
        snprintf(t->good, sizeof t->good, "%s",
                 files_add("output.jsonl", "batch_output", &good)->id);
    if (bad.len > 0)
        snprintf(t->bad, sizeof t->bad, "%s", files_add("errors.jsonl", "batch_output", &bad)->id);
    silr_buf_clear(&good);
    silr_buf_clear(&bad);
}

static void go_on(struct batch *t)
{
    switch (t->stage) {
    case VALIDATING:
        t->stage = json_array_size(t->errors) > 0 ? FAILED : IN_PROGRESS;
        break;
    case IN_PROGRESS:
        if (opt.batch_expire) {
            t->done = .5;
            finish(t, EXPIRED);
        } else {
            t->stage = FINALIZING;
        }
        break;
    case FINALIZING:
        t->done = 1;
        finish(t, COMPLETED);
        break;
    case CANCELLING:
        finish(t, CANCELLED);
        break;
    default:
        break;
    }
    t->polls = 0;
}

void batch_get(struct answer *a, const char *id)
{
    struct batch *t = find(a, id);

    if (!t)
        return;
    if (opt.batch_polls == 0)
        for (int i = 0; i < 3; i++)
            go_on(t);
    else if (++t->polls >= opt.batch_polls)
        go_on(t);
    tell(a, t);
}

void batch_cancel(struct answer *a, const char *id)
{
    struct batch *t = find(a, id);

    if (!t)
        return;
    if (t->stage > FINALIZING) {
        answer_error(a, 409, "invalid_request_error", NULL, NULL,
                     "Cannot cancel a batch with status '%s'.", stage_names[t->stage]);
        return;
    }
    t->done = t->stage == VALIDATING ? 0 : .5;
    t->stage = CANCELLING;
    t->polls = 0;
    tell(a, t);
}

/* --- POST ------------------------------------------------------------------------------- */

static struct batch *add(const struct file *input, const char *endpoint, json_t *metadata)
{
    struct batch *t = must(silr_calloc(1, sizeof *t));

    must(silr_grow(&batches, &cap, count + 1, sizeof *batches) ? batches : NULL);
    batches[count++] = t;
    snprintf(t->id, sizeof t->id, "batch_%06zu", count);
    snprintf(t->input, sizeof t->input, "%s", input->id);
    t->metadata = metadata ? json_incref(metadata) : json_null();
    t->errors = must(json_array());
    lines_read(&t->lines, &input->data, endpoint, t->errors);
    if (opt.batch_fail && json_array_size(t->errors) == 0)
        json_array_append_new(
            t->errors,
            must(json_pack("{s:s, s:s, s:n, s:n}", "code", "token_limit_exceeded", "message",
                           "Enqueued token limit reached.", "param", "line")));
    return t;
}

void batch_create(struct answer *a, const char *body, size_t len)
{
    json_t *root = json_loadb(body ? body : "", len, 0, NULL);
    const char *input = json_string_value(json_object_get(root, "input_file_id"));
    const char *endpoint = json_string_value(json_object_get(root, "endpoint"));
    const char *window = json_string_value(json_object_get(root, "completion_window"));
    const struct file *f = input ? files_find(input) : NULL;

    if (!endpoint || (strcmp(endpoint, "/v1/chat/completions") != 0 &&
                      strcmp(endpoint, "/chat/completions") != 0)) /* as Azure has it */
        answer_error(a, 400, "invalid_request_error", "endpoint", NULL,
                     "'endpoint': invalid value.");
    else if (!window || strcmp(window, "24h") != 0)
        answer_error(a, 400, "invalid_request_error", "completion_window", NULL,
                     "'completion_window' is to be '24h'.");
    else if (!f)
        answer_error(a, 400, "invalid_request_error", "input_file_id", NULL,
                     "No such File object.");
    else
        tell(a, add(f, endpoint, json_object_get(root, "metadata")));
    json_decref(root);
}
