/* lines.c - the lines of a batch: read and checked, then run.
 *
 * The answers come out in an order that has nothing to do with the order of the questions; only
 * custom_id says which belongs to which. What failed stands in a file of its own. */
#include "server.h"
#include "base/hash.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

static void complain(json_t *errors, const char *code, const char *message, size_t line)
{
    json_array_append_new(errors, must(json_pack("{s:s, s:s, s:n, s:I}", "code", code, "message",
                                                 message, "param", "line", (json_int_t)line)));
}

/* What is wrong with a line; NULL: nothing. */
static const char *check(const struct line *l, const char *endpoint, const char **message)
{
    const char *method = json_string_value(json_object_get(l->root, "method"));
    const char *url = json_string_value(json_object_get(l->root, "url"));

    *message = "This line is not parseable as valid JSON.";
    if (!l->root)
        return "invalid_json_line";
    *message = "This line needs custom_id, method POST, url and a body.";
    if (!json_is_string(l->custom_id) || !json_is_object(l->body) || !method || !url ||
        strcmp(method, "POST") != 0)
        return "missing_required_parameter";
    *message = "The url of this line is not the endpoint of the batch.";
    return strcmp(url, endpoint) == 0 ? NULL : "mismatched_endpoint";
}

static void check_twice(const struct lines *l, json_t *errors)
{
    json_t *ids = must(json_object());

    for (size_t i = 0; i < l->n; i++) {
        const char *id = json_string_value(l->line[i].custom_id);
        if (id && json_object_get(ids, id))
            complain(errors, "duplicate_custom_id",
                     "The custom_id for this request is a duplicate.", i + 1);
        else if (id)
            json_object_set_new(ids, id, json_true());
    }
    json_decref(ids);
}

void lines_read(struct lines *l, const silr_buf *data, const char *endpoint, json_t *errors)
{
    const char *p = data->data, *end = p + data->len, *message;

    *l = (struct lines){0};
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((nl ? nl : end) - p);
        must(silr_grow(&l->line, &l->cap, l->n + 1, sizeof *l->line) ? l->line : NULL);
        struct line *at = &l->line[l->n++];
        at->root = json_loadb(p, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        at->custom_id = json_object_get(at->root, "custom_id");
        at->body = json_object_get(at->root, "body");
        const char *code = check(at, endpoint, &message);
        if (code)
            complain(errors, code, message, l->n);
        p += len + 1;
    }
    check_twice(l, errors);
    if (l->n == 0)
        complain(errors, "empty_file", "The batch input file is empty.", 0);
    if (l->n > opt.batch_max_lines)
        complain(errors, "too_many_requests", "The batch input file contains too many requests.",
                 0);
}

void lines_clear(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        json_decref(l->line[i].root);
    silr_free(l->line);
    *l = (struct lines){0};
}

/* --- running ---------------------------------------------------------------------------- */

static void begin(silr_buf *b, const struct line *l, uint64_t hash)
{
    silr_buf_printf(b, "{\"id\":\"batch_req_%016llx\",\"custom_id\":", (unsigned long long)hash);
    silr_buf_json(b, json_string_value(l->custom_id), json_string_length(l->custom_id));
}

static void leave_out(silr_buf *bad, const struct line *l, uint64_t hash, const char *code)
{
    begin(bad, l, hash);
    silr_buf_printf(
        bad,
        ",\"response\":null,\"error\":{\"code\":\"%s\",\"message\":\"This request was not "
        "executed: %s.\"}}\n",
        code, code);
}

/* true: it was answered. */
static bool run(silr_buf *good, silr_buf *bad, const struct line *l)
{
    struct answer a = {0};
    char *body = must(json_dumps(l->body, JSON_COMPACT));
    uint64_t hash = silr_hash64(body, strlen(body), 0);
    uint32_t attempt = stats_attempt(hash, false);
    bool ok;

    stats_line();
    if (faults_chance(hash, attempt, 0x6261746368) < opt.batch_errors)
        answer_error(&a, 500, "server_error", NULL, NULL,
                     "The server had an error. Sorry about that!");
    else
        chat_reply(&a, body, strlen(body));
    ok = a.status == 200;
    if (ok)
        stats_answered(hash);
    silr_buf *b = ok ? good : bad;
    begin(b, l, hash);
    silr_buf_printf(b, ",\"response\":{\"status_code\":%u,\"request_id\":\"req_%016llx\",\"body\":",
                    a.status, (unsigned long long)hash);
    if (strcmp(a.type, "application/json") == 0)
        silr_buf_add(b, a.body.data, a.body.len);
    else
        silr_buf_json(b, a.body.data, a.body.len);
    silr_buf_puts(b, "},\"error\":null}\n");
    answer_clear(&a);
    free(body);
    return ok;
}

struct place {
    uint64_t hash;
    size_t i;
};

static int by_hash(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

void lines_run(const struct lines *l, double done, const char *code, silr_buf *good, silr_buf *bad,
               size_t *completed, size_t *failed)
{
    struct place *order = must(silr_alloc(l->n, sizeof *order));
    size_t to_do = (size_t)(done * (double)l->n);

    if (to_do == 0 && done > 0)
        to_do = 1; /* so that asking again for the rest comes to an end */
    for (size_t i = 0; i < l->n; i++) {
        const char *id = json_string_value(l->line[i].custom_id);
        order[i] = (struct place){silr_hash64(id, strlen(id), 5), i};
    }
    qsort(order, l->n, sizeof *order, by_hash);
    for (size_t i = 0; i < l->n; i++) {
        const struct line *line = &l->line[order[i].i];
        if (i >= to_do)
            leave_out(bad, line, order[i].hash, code);
        else if (run(good, bad, line))
            ++*completed;
        else
            ++*failed;
    }
    silr_free(order);
}
