/* reader.c - likelihoods of the classes' names behind prompts, on one rank or on all.
 *
 *     to open    an `opening`, the prefix's tokens, the names' tokens, where each name begins, path
 *     an order   a `batch`, lengths of the prompts (uint32 each), their tokens
 *     a result   likelihoods, floats
 *
 * Prompts are cut into tokens by rank 0; the other ranks need the model's file, not the task, the examples
 * or the corpus. A prompt's likelihoods do not depend on those read beside it: every number is the one
 * that one rank would compute (on processors of one kind: another kind may round otherwise). */
#include "annotate/reader.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char hash[64];
    int32_t keep;
    uint32_t single;
    uint64_t n_begin; /* 0: no prefix */
    uint64_t n_names, n_name_tokens;
} opening;

typedef struct {
    uint32_t n, whole;
} batch;

void silr_reader_clear(silr_reader *r)
{
    silr_prefix_free(r->prefix);
    silr_tokens_clear(&r->names);
    silr_free(r->name);
    silr_engine_free(r->engine);
    *r = (silr_reader){0};
}

silr_status silr_reader_read(const silr_reader *r, const silr_prompts *p, float *l, silr_error *err)
{
    const silr_prefix *prefix = p->whole ? NULL : r->prefix;

    if (r->single)
        return silr_engine_next(r->engine, prefix, p->id, p->start, p->n, r->names.id, r->n_names, true, l, err);
    return silr_engine_score(r->engine, prefix, p->id, p->start, p->n, r->names.id, r->name, r->n_names, l,
                             err);
}

/* --- a rank's work ---------------------------------------------------------------------------------------- */

static silr_status cut_short(silr_error *err)
{
    return silr_fail(err, SILR_EBUG, "an order to read prompts is cut short");
}

static silr_status take_tokens(const void **at, size_t *left, silr_tokens *out, uint64_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    for (uint64_t i = 0; st == SILR_OK && i < n; i++) {
        uint32_t id;
        st = silr_dist_take(at, left, &id, sizeof id) ? silr_tokens_add(out, id, err) : cut_short(err);
    }
    return st;
}

static silr_status take_names(const void **at, size_t *left, silr_reader *r, const opening *o, silr_error *err)
{
    silr_status st = take_tokens(at, left, &r->names, o->n_name_tokens, err);

    r->single = o->single != 0;
    r->n_names = (size_t)o->n_names;
    if (st == SILR_OK && !(r->name = silr_alloc(r->n_names + 1, sizeof *r->name)))
        return silr_fail_memory(err);
    if (st == SILR_OK && !silr_dist_take(at, left, r->name, (r->n_names + 1) * sizeof *r->name))
        return cut_short(err);
    return st;
}

static silr_status open_model(silr_reader *r, const opening *o, const char *path, silr_error *err)
{
    const silr_engine_opts opts = {.keep = (silr_weights_kept)o->keep};
    silr_sha256 hash;
    silr_status st;

    if ((st = silr_engine_open(&r->engine, path, &opts, err)) != SILR_OK ||
        (st = silr_weights_hash(silr_engine_weights(r->engine), &hash, err)) != SILR_OK)
        return st;
    if (memcmp(hash.hex, o->hash, sizeof o->hash) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: the model there is not the one that rank 0 has at this "
                         "path", path);
    return SILR_OK;
}

static silr_status open_reader(void **worker, const void *order, size_t left, silr_error *err)
{
    silr_reader *r = silr_calloc(1, sizeof *r);
    silr_tokens begin = {0};
    char *path = NULL;
    opening o;
    silr_status st;

    if (!r)
        return silr_fail_memory(err);
    if (!silr_dist_take(&order, &left, &o, sizeof o))
        st = cut_short(err);
    else if ((st = take_tokens(&order, &left, &begin, o.n_begin, err)) == SILR_OK &&
             (st = take_names(&order, &left, r, &o, err)) == SILR_OK)
        st = (path = silr_strndup(order, left)) ? open_model(r, &o, path, err) : silr_fail_memory(err);
    if (st == SILR_OK && o.n_begin > 0)
        st = silr_prefix_new(&r->prefix, r->engine, begin.id, begin.n, err);
    if (st == SILR_OK) {
        *worker = r;
    } else {
        silr_reader_clear(r);
        silr_free(r);
    }
    silr_tokens_clear(&begin);
    silr_free(path);
    return st;
}

/* The prompts of an order; start: [n + 1]. */
static silr_status take_prompts(const void *order, size_t left, const batch *b, silr_tokens *ids, size_t *start,
                                silr_error *err)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t tokens;
        if (!silr_dist_take(&order, &left, &tokens, sizeof tokens))
            return cut_short(err);
        start[i] = (size_t)total;
        total += tokens;
    }
    start[b->n] = (size_t)total;
    return take_tokens(&order, &left, ids, total, err);
}

static silr_status read_order(void *worker, const void *order, size_t left, silr_buf *result, silr_error *err)
{
    const silr_reader *r = worker;
    silr_tokens ids = {0};
    size_t *start;
    float *l;
    batch b;
    silr_status st;

    if (!silr_dist_take(&order, &left, &b, sizeof b) || b.n == 0)
        return SILR_OK;
    start = silr_alloc((size_t)b.n + 1, sizeof *start);
    l = silr_alloc(b.n, r->n_names * sizeof *l);
    st = start && l ? take_prompts(order, left, &b, &ids, start, err) : silr_fail_memory(err);
    if (st == SILR_OK) {
        const silr_prompts p = {ids.id, start, b.n, b.whole != 0};
        st = silr_reader_read(r, &p, l, err);
    }
    if (st == SILR_OK)
        silr_buf_add(result, l, b.n * r->n_names * sizeof *l);
    silr_tokens_clear(&ids);
    silr_free(start);
    silr_free(l);
    return st;
}

static void close_reader(void *worker)
{
    silr_reader_clear(worker);
    silr_free(worker);
}

const silr_trade silr_local_trade = {"read prompts", open_reader, read_order, close_reader};

/* --- rank 0 ------------------------------------------------------------------------------------------------- */

silr_status silr_reader_crew(silr_crew **out, silr_reader *r, const silr_reader_origin *origin,
                             silr_error *err)
{
    opening o = {.keep = (int32_t)origin->keep, .single = r->single, .n_begin = r->prefix ? origin->begin->n : 0,
                 .n_names = r->n_names, .n_name_tokens = r->names.n};
    char *whole = realpath(origin->path, NULL);
    silr_buf order = {0};
    silr_status st;

    *out = NULL;
    memcpy(o.hash, origin->hash.hex, sizeof o.hash);
    silr_buf_add(&order, &o, sizeof o);
    silr_buf_add(&order, origin->begin->id, (size_t)o.n_begin * sizeof *origin->begin->id);
    silr_buf_add(&order, r->names.id, r->names.n * sizeof *r->names.id);
    silr_buf_add(&order, r->name, (r->n_names + 1) * sizeof *r->name);
    silr_buf_puts(&order, whole ? whole : origin->path);
    st = order.failed ? silr_fail_memory(err)
                      : silr_crew_open(out, &silr_local_trade, r, order.data, order.len, err);
    silr_buf_clear(&order);
    free(whole); /* of realpath */
    return st;
}

static void give_order(silr_buf *b, const silr_prompts *p, const uint32_t *tokens, size_t from, size_t to)
{
    const batch head = {(uint32_t)(to - from), p->whole};

    silr_buf_add(b, &head, sizeof head);
    silr_buf_add(b, tokens + from, (to - from) * sizeof *tokens);
    silr_buf_add(b, p->id + p->start[from], (p->start[to] - p->start[from]) * sizeof *p->id);
}

static silr_status collect(const silr_crew *c, const silr_reader *r, const size_t *first, float *l,
                           silr_error *err)
{
    for (int k = 0; k < silr_dist_size(); k++) {
        const size_t bytes = (first[k + 1] - first[k]) * r->n_names * sizeof *l;
        const silr_buf *part = silr_crew_result(c, k);
        if (part->len != bytes)
            return silr_fail(err, SILR_EBUG, "rank %d has read %zu bytes of likelihoods, not %zu", k, part->len,
                             bytes);
        if (bytes > 0)
            memcpy(l + first[k] * r->n_names, part->data, bytes);
    }
    return SILR_OK;
}

silr_status silr_reader_read_all(silr_crew *c, const silr_reader *r, const silr_prompts *p, float *l,
                                 silr_error *err)
{
    const int size = silr_dist_size();
    uint32_t *tokens = silr_alloc(p->n + 1, sizeof *tokens);
    size_t *first = silr_alloc((size_t)size + 1, sizeof *first);
    silr_status st = SILR_OK;

    if (p->n == 0)
        goto done;
    if (!tokens || !first) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < p->n; i++)
        tokens[i] = (uint32_t)(p->start[i + 1] - p->start[i]);
    silr_dist_share_by(tokens, p->n, size, first);
    for (int k = 0; k < size; k++)
        give_order(silr_crew_order(c, k), p, tokens, first[k], first[k + 1]);
    if ((st = silr_crew_work(c, err)) == SILR_OK)
        st = collect(c, r, first, l, err);
done:
    silr_free(tokens);
    silr_free(first);
    return st;
}
