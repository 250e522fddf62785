/* crew.c - vectors made by all ranks.
 *
 *     to open    model's identity [64], silr_encoder_opts, path
 *     an order   number of texts (uint32), lengths (uint64 each), texts
 *     a result   vectors, floats
 *
 * A rank gets a contiguous part of the texts, of as many tokens as the others. A vector does not depend on
 * the texts beside it, so that all of them are the same as if one rank had made them (on processors of
 * one kind: another kind may round otherwise). */
#include "embed/crew.h"

#include <stdlib.h>
#include <string.h>

/* --- a rank's work ------------------------------------------------------------------------------------ */

static silr_status same_model(const silr_encoder *e, const char *hex, const char *path, silr_error *err)
{
    silr_sha256 own;
    const silr_status st = silr_encoder_identity(&own, e, err);

    if (st == SILR_OK && memcmp(own.hex, hex, 64) != 0)
        return silr_fail(err, SILR_EINPUT, "%s: the model there is not the one that rank 0 has at this "
                         "path", path);
    return st;
}

static silr_status open_encoder(void **worker, const void *order, size_t len, silr_error *err)
{
    silr_encoder_opts opts;
    silr_encoder *e = NULL;
    char hex[64], *path = NULL;
    silr_status st;

    if (!silr_dist_take(&order, &len, hex, sizeof hex) || !silr_dist_take(&order, &len, &opts, sizeof opts))
        return silr_fail(err, SILR_EBUG, "an order to embed is cut short");
    if (!(path = silr_strndup(order, len)))
        return silr_fail_memory(err);
    if ((st = silr_encoder_open(&e, path, &opts, err)) == SILR_OK &&
        (st = same_model(e, hex, path, err)) == SILR_OK) {
        *worker = e;
        e = NULL;
    }
    silr_encoder_free(e);
    silr_free(path);
    return st;
}

/* The texts of an order, where they lie in it. */
static bool find_texts(const void *order, size_t left, const char **text, size_t *len, uint32_t n)
{
    uint64_t bytes;

    for (uint32_t i = 0; i < n; i++) {
        if (!silr_dist_take(&order, &left, &bytes, sizeof bytes))
            return false;
        len[i] = (size_t)bytes;
    }
    for (uint32_t i = 0; i < n; i++) {
        text[i] = order;
        if (!silr_dist_take(&order, &left, NULL, len[i]))
            return false;
    }
    return left == 0;
}

static silr_status embed(void *worker, const void *order, size_t left, silr_buf *result, silr_error *err)
{
    silr_encoder *e = worker;
    uint32_t n;
    const char **text;
    size_t *len;
    float *out;
    silr_status st;

    if (!silr_dist_take(&order, &left, &n, sizeof n) || n == 0)
        return SILR_OK;
    text = silr_alloc(n, sizeof *text);
    len = silr_alloc(n, sizeof *len);
    out = silr_alloc(n, e->dim * sizeof *out);
    if (!text || !len || !out)
        st = silr_fail_memory(err);
    else if (!find_texts(order, left, text, len, n))
        st = silr_fail(err, SILR_EBUG, "an order to embed is cut short");
    else if ((st = e->embed(e->ctx, text, len, n, out, err)) == SILR_OK)
        silr_buf_add(result, out, n * e->dim * sizeof *out);
    silr_free(text);
    silr_free(len);
    silr_free(out);
    return st;
}

static void close_encoder(void *worker)
{
    silr_encoder_free(worker);
}

const silr_trade silr_embed_trade = {"embed", open_encoder, embed, close_encoder};

/* --- rank 0 -------------------------------------------------------------------------------------------- */

silr_status silr_embed_crew_open(silr_crew **out, silr_encoder *e, silr_error *err)
{
    silr_buf order = {0};
    silr_sha256 identity;
    char *whole = e->path ? realpath(e->path, NULL) : NULL;
    const char *path = whole ? whole : e->path ? e->path : "";
    silr_status st = silr_encoder_identity(&identity, e, err);

    *out = NULL;
    if (st == SILR_OK) {
        silr_buf_add(&order, identity.hex, 64);
        silr_buf_add(&order, &e->opts, sizeof e->opts);
        silr_buf_puts(&order, path);
        st = order.failed ? silr_fail_memory(err)
                          : silr_crew_open(out, &silr_embed_trade, e, order.data, order.len, err);
    }
    silr_buf_clear(&order);
    free(whole); /* of realpath */
    return st;
}

static void give_order(silr_buf *b, const char *const *texts, const size_t *lens, size_t n)
{
    const uint32_t number = (uint32_t)n;

    silr_buf_add(b, &number, sizeof number);
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes = lens[i];
        silr_buf_add(b, &bytes, sizeof bytes);
    }
    for (size_t i = 0; i < n; i++)
        silr_buf_add(b, texts[i], lens[i]);
}

silr_status silr_embed_crew_work(silr_crew *c, const silr_encoder *e, const char *const *texts,
                                 const size_t *lens, const uint32_t *tokens, size_t n, float *out,
                                 silr_error *err)
{
    const int size = silr_dist_size();
    size_t *first = silr_alloc((size_t)size + 1, sizeof *first);
    silr_status st;

    if (!first)
        return silr_fail_memory(err);
    silr_dist_share_by(tokens, n, size, first);
    for (int r = 0; r < size; r++)
        give_order(silr_crew_order(c, r), texts + first[r], lens + first[r], first[r + 1] - first[r]);
    st = silr_crew_work(c, err);
    for (int r = 0; st == SILR_OK && r < size; r++) {
        const size_t bytes = (first[r + 1] - first[r]) * e->dim * sizeof *out;
        const silr_buf *part = silr_crew_result(c, r);
        if (part->len != bytes)
            st = silr_fail(err, SILR_EBUG, "rank %d made %zu bytes of vectors, not %zu", r, part->len, bytes);
        else if (bytes > 0)
            memcpy(out + first[r] * e->dim, part->data, bytes);
    }
    silr_free(first);
    return st;
}
