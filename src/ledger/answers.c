/* answers.c - answers by the hash of their request, and what happened on the way.
 *
 * Replies with log-probabilities are a few thousand bytes of repetitive JSON; packed they are a few
 * hundred. What comes back is checked as foreign bytes are. */
#include "ledger/inside.h"
#include <math.h>
#include <string.h>

enum { PACK_LEVEL = 1, PACK_FROM = 256 };

uint64_t silr_ask_id_short(const silr_ask_id *id)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | id->bytes[i];
    return v;
}

/* With a checksum in each frame: a byte that a disk has changed would be another answer. NULL: no memory. */
static ZSTD_CCtx *make_packer(void)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();

    if (z && !ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, PACK_LEVEL)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1)))
        return z;
    ZSTD_freeCCtx(z);
    return NULL;
}

/* Packs into l->packed where that is shorter; false: as it is. */
static bool pack(silr_ledger *l, const char *bytes, size_t len)
{
    size_t room = ZSTD_compressBound(len), got;

    if (len < PACK_FROM)
        return false;
    if (!l->pack && !(l->pack = make_packer()))
        return false;
    silr_buf_reset(&l->packed);
    if (l->packed.cap < room + 1) {
        silr_buf_clear(&l->packed);
        if (!silr_grow(&l->packed.data, &l->packed.cap, room + 1, 1))
            return false;
    }
    got = ZSTD_compress2(l->pack, l->packed.data, room, bytes, len);
    if (ZSTD_isError(got) || got >= len)
        return false;
    l->packed.len = got;
    return true;
}

static silr_status unpack(silr_ledger *l, const ledger_file *f, silr_buf *out, const void *bytes,
                          size_t len, silr_error *err)
{
    unsigned long long size = ZSTD_getFrameContentSize(bytes, len);
    size_t got;

    if (size > SILR_REPLY_MAX) /* also: unknown, or not a frame */
        return silr_db_damaged(f->db, f->path, "a packed answer of no sensible size", err);
    if (!l->unpack && !(l->unpack = ZSTD_createDCtx()))
        return silr_fail_memory(err);
    if (out->cap < size + 1) {
        silr_buf_clear(out);
        if (!silr_grow(&out->data, &out->cap, size + 1, 1))
            return silr_fail_memory(err);
    }
    got = ZSTD_decompressDCtx(l->unpack, out->data, size, bytes, len);
    if (ZSTD_isError(got) || got != size)
        return silr_db_damaged(f->db, f->path, "a packed answer that cannot be unpacked", err);
    out->len = got;
    out->data[got] = '\0';
    return SILR_OK;
}

static silr_status put(ledger_file *f, const silr_ask_id *id, const silr_answer *a, const void *bytes,
                       size_t len, bool packed, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_ledger_query(f, L_PUT, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    silr_bind_text(&b, a->model);
    silr_bind_int(&b, a->origin);
    silr_bind_int(&b, packed);
    silr_bind_blob(&b, bytes, len);
    silr_bind_int(&b, a->usage.prompt_tokens);
    silr_bind_int(&b, a->usage.cached_tokens);
    silr_bind_int(&b, a->usage.completion_tokens);
    silr_bind_real(&b, a->usage.cost);
    silr_bind_real(&b, a->usage.seconds);
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

silr_status silr_ledger_put(silr_ledger *l, const silr_ask_id *id, const silr_answer *a,
                            silr_error *err)
{
    bool packed = pack(l, a->reply, a->len);
    const void *bytes = packed ? l->packed.data : a->reply;
    size_t len = packed ? l->packed.len : a->len;
    silr_error mine;
    silr_status st = put(&l->own, id, a, bytes, len, packed, err);

    if (st == SILR_OK && l->in_shared && put(&l->shared, id, a, bytes, len, packed, &mine) != SILR_OK)
        silr_ledger_drop_cache(l, &mine);
    if (st == SILR_OK && l->in_shared)
        silr_ledger_end_claim(l, id);
    return st;
}

/* --- finding ----------------------------------------------------------------------------------- */

static void take_usage(silr_usage *u, sqlite3_stmt *q)
{
    u->prompt_tokens = sqlite3_column_int64(q, 3);
    u->cached_tokens = sqlite3_column_int64(q, 4);
    u->completion_tokens = sqlite3_column_int64(q, 5);
    u->cost = sqlite3_column_type(q, 6) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, 6);
    u->seconds = sqlite3_column_type(q, 7) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, 7);
}

/* model: room for a copy, or NULL. */
static silr_status find(silr_ledger *l, ledger_file *f, const silr_ask_id *id, silr_buf *reply,
                        silr_usage *usage, silr_buf *model, bool *found, silr_error *err)
{
    sqlite3_stmt *q;
    int rc, more;
    silr_status st = silr_ledger_query(f, L_FIND, &q, err);

    *found = false;
    if (st != SILR_OK)
        return st;
    rc = sqlite3_bind_blob(q, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    more = rc == SQLITE_OK ? silr_db_next(f->db, f->path, q, err) : silr_db_fail(f->db, f->path, rc, err);
    if (more > 0) {
        const void *bytes = sqlite3_column_blob(q, 2);
        size_t len = (size_t)sqlite3_column_bytes(q, 2);
        const char *name = (const char *)sqlite3_column_text(q, 0);
        silr_buf_reset(reply);
        if (len > SILR_REPLY_MAX || (!bytes && len > 0) || !name)
            st = silr_db_damaged(f->db, f->path, "an answer of no sensible size", err);
        else if (sqlite3_column_int(q, 1))
            st = unpack(l, f, reply, bytes, len, err);
        else
            silr_buf_puts(reply, ""), silr_buf_add(reply, bytes ? bytes : "", len);
        if (model)
            silr_buf_puts(model, name ? name : "");
        take_usage(usage, q);
        *found = st == SILR_OK;
    }
    silr_db_done(q);
    if (reply->failed || (model && model->failed))
        return silr_fail_memory(err);
    return more < 0 ? (silr_status)more : st;
}

/* An answer of the cache becomes one of the run: what was made of it shall not hang on that file. */
static silr_status take_over(silr_ledger *l, const silr_ask_id *id, const silr_buf *reply,
                             const silr_usage *usage, const char *model, silr_error *err)
{
    silr_answer a = {.model = model, .reply = reply->data, .len = reply->len, .usage = *usage,
                     .origin = SILR_ORIGIN_CACHE};
    bool packed = pack(l, a.reply, a.len);

    return put(&l->own, id, &a, packed ? l->packed.data : a.reply, packed ? l->packed.len : a.len,
               packed, err);
}

silr_status silr_ledger_find(silr_ledger *l, const silr_ask_id *id, silr_buf *reply,
                             silr_usage *usage, bool *found, silr_error *err)
{
    silr_usage unused;
    silr_buf model = {0};
    silr_error mine;
    silr_status st;

    if (!usage)
        usage = &unused;
    st = find(l, &l->own, id, reply, usage, NULL, found, err);
    if (st != SILR_OK || *found || !l->shared.db)
        return st;
    if (find(l, &l->shared, id, reply, usage, &model, found, &mine) != SILR_OK) {
        *found = false;
        silr_ledger_drop_cache(l, &mine);
    } else if (*found && !l->read_only) {
        st = take_over(l, id, reply, usage, model.data, err);
    }
    silr_buf_clear(&model);
    return st;
}

silr_status silr_ledger_pass_on(silr_ledger *l, const silr_ask_id *id, silr_error *err)
{
    ledger_file *f = &l->own;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_FIND, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    more = silr_ledger_first(f, &b, err);
    if (more > 0) {
        silr_answer a = {.model = (const char *)sqlite3_column_text(b.q, 0), .origin = SILR_ORIGIN_BATCH};
        bool packed = sqlite3_column_int(b.q, 1) != 0;
        const void *bytes = sqlite3_column_blob(b.q, 2);
        take_usage(&a.usage, b.q);
        st = put(&l->shared, id, &a, bytes ? bytes : "", (size_t)sqlite3_column_bytes(b.q, 2), packed, err);
    }
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : st;
}

bool silr_ledger_file_has(ledger_file *f, const silr_ask_id *id)
{
    sqlite3_stmt *q;
    bool found;

    if (!f->db || silr_ledger_query(f, L_HAS, &q, NULL) != SILR_OK)
        return false;
    found = sqlite3_bind_blob(q, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC) == SQLITE_OK &&
            sqlite3_step(q) == SQLITE_ROW;
    silr_db_done(q);
    return found;
}

bool silr_ledger_has(silr_ledger *l, const silr_ask_id *id)
{
    return silr_ledger_file_has(&l->own, id) || silr_ledger_file_has(&l->shared, id);
}

/* --- sums and counts --------------------------------------------------------------------------- */

silr_status silr_ledger_sum(silr_ledger *l, silr_ledger_sums *out, silr_error *err)
{
    ledger_file *f = &l->own;
    sqlite3_stmt *q;
    int more;
    silr_status st = silr_ledger_query(f, L_SUM, &q, err);

    *out = (silr_ledger_sums){.seconds = NAN};
    if (st != SILR_OK)
        return st;
    if ((more = silr_db_next(f->db, f->path, q, err)) > 0) {
        out->answers = (size_t)sqlite3_column_int64(q, 0);
        out->cached = (size_t)sqlite3_column_int64(q, 1);
        out->batched = (size_t)sqlite3_column_int64(q, 2);
        out->prompt_tokens = sqlite3_column_int64(q, 3);
        out->cached_tokens = sqlite3_column_int64(q, 4);
        out->completion_tokens = sqlite3_column_int64(q, 5);
        out->paid = sqlite3_column_double(q, 6);
        out->dearest = sqlite3_column_double(q, 9);
        out->cost = sqlite3_column_int64(q, 7) > 0 ? (double)NAN : out->paid;
        if (sqlite3_column_type(q, 8) != SQLITE_NULL)
            out->seconds = sqlite3_column_double(q, 8);
    }
    silr_db_done(q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_ledger_count(silr_ledger *l, const char *what, int64_t n, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_ledger_query(&l->own, L_COUNT_ADD, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, what);
    silr_bind_int(&b, n);
    return silr_db_run(l->own.db, l->own.path, b.q, b.rc, err);
}

/* Rows of up to three columns, handed to `each` through `pass`. */
typedef silr_status (*pass_row)(void *to, sqlite3_stmt *q, silr_error *err);
static silr_status rows(silr_ledger *l, ledger_query which, pass_row pass, void *to, silr_error *err)
{
    ledger_file *f = &l->own;
    sqlite3_stmt *q;
    int more = 0;
    silr_status st = silr_ledger_query(f, which, &q, err);

    if (st != SILR_OK)
        return st;
    while (st == SILR_OK && (more = silr_db_next(f->db, f->path, q, err)) > 0)
        st = pass(to, q, err);
    silr_db_done(q);
    return more < 0 ? (silr_status)more : st;
}

static const char *text_at(sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? s : "";
}

typedef struct {
    void *ctx;
    silr_ledger_each count;
    silr_ledger_server server;
    silr_ledger_batch batch;
} listener;

static silr_status pass_count(void *to, sqlite3_stmt *q, silr_error *err)
{
    const listener *k = to;
    return k->count(k->ctx, text_at(q, 0), sqlite3_column_int64(q, 1), err);
}

static silr_status pass_server(void *to, sqlite3_stmt *q, silr_error *err)
{
    const listener *k = to;
    return k->server(k->ctx, text_at(q, 0), text_at(q, 1), text_at(q, 2), err);
}

static silr_status pass_batch(void *to, sqlite3_stmt *q, silr_error *err)
{
    const listener *k = to;
    return k->batch(k->ctx, text_at(q, 0), text_at(q, 1), err);
}

silr_status silr_ledger_counts(silr_ledger *l, silr_ledger_each each, void *ctx, silr_error *err)
{
    listener k = {.ctx = ctx, .count = each};
    return rows(l, L_COUNTS, pass_count, &k, err);
}

silr_status silr_ledger_servers(silr_ledger *l, silr_ledger_server each, void *ctx, silr_error *err)
{
    listener k = {.ctx = ctx, .server = each};
    return rows(l, L_SERVERS, pass_server, &k, err);
}

silr_status silr_ledger_batches(silr_ledger *l, silr_ledger_batch each, void *ctx, silr_error *err)
{
    listener k = {.ctx = ctx, .batch = each};
    return rows(l, L_BATCHES, pass_batch, &k, err);
}

/* --- servers and batches ----------------------------------------------------------------------- */

static silr_status get_server(ledger_file *f, const char *url, const char *model, silr_buf *facts,
                              silr_error *err)
{
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_SERVER_GET, &b.q, err);

    silr_buf_reset(facts);
    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, url);
    silr_bind_text(&b, model);
    more = silr_ledger_first(f, &b, err);
    if (more > 0)
        silr_buf_puts(facts, text_at(b.q, 0));
    silr_db_done(b.q);
    if (facts->failed)
        return silr_fail_memory(err);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_ledger_server_get(silr_ledger *l, const char *url, const char *model,
                                   silr_buf *facts, silr_error *err)
{
    silr_error mine;
    silr_status st = get_server(&l->own, url, model, facts, err);

    if (st != SILR_OK || facts->len > 0 || !l->shared.db)
        return st;
    if (get_server(&l->shared, url, model, facts, &mine) != SILR_OK) {
        silr_buf_reset(facts);
        silr_ledger_drop_cache(l, &mine);
    }
    return SILR_OK;
}

static silr_status set_texts(ledger_file *f, ledger_query which, const char *const *text, int n,
                             silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_ledger_query(f, which, &b.q, err);

    if (st != SILR_OK)
        return st;
    for (int i = 0; i < n; i++)
        silr_bind_text(&b, text[i]);
    return silr_db_run(f->db, f->path, b.q, b.rc, err);
}

silr_status silr_ledger_server_set(silr_ledger *l, const char *url, const char *model,
                                   const char *facts, silr_error *err)
{
    const char *const text[] = {url, model, facts};
    silr_error mine;
    silr_status st = set_texts(&l->own, L_SERVER_SET, text, 3, err);

    if (st == SILR_OK && l->in_shared && set_texts(&l->shared, L_SERVER_SET, text, 3, &mine) != SILR_OK)
        silr_ledger_drop_cache(l, &mine);
    return st;
}

silr_status silr_ledger_batch_set(silr_ledger *l, const char *name, const char *state,
                                  silr_error *err)
{
    return set_texts(&l->own, L_BATCH_SET, (const char *const[]){name, state}, 2, err);
}
