/* lines.c - which requests are under way in which batch.
 *
 * Rows are written when a batch goes out and taken away together when it is done with: one by one,
 * as answers come, would be a page of the file each. */
#include "ledger/inside.h"
#include <string.h>

const char *silr_ledger_path(const silr_ledger *l)
{
    return l->own.path;
}

silr_status silr_ledger_line_get(silr_ledger *l, const silr_ask_id *id, silr_buf *batch, int *tries,
                                 silr_error *err)
{
    ledger_file *f = &l->own;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_LINE_GET, &b.q, err);

    silr_buf_reset(batch);
    *tries = 0;
    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    more = silr_ledger_first(f, &b, err);
    if (more > 0) {
        const char *name = (const char *)sqlite3_column_text(b.q, 0);
        silr_buf_puts(batch, name ? name : "");
        *tries = sqlite3_column_int(b.q, 1);
    } else {
        silr_buf_puts(batch, "");
    }
    silr_db_done(b.q);
    if (batch->failed)
        return silr_fail_memory(err);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_ledger_line_set(silr_ledger *l, const silr_ask_id *id, const char *batch,
                                 int tries, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_ledger_query(&l->own, L_LINE_SET, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_blob(&b, id->bytes, sizeof id->bytes);
    silr_bind_text(&b, batch);
    silr_bind_int(&b, tries);
    return silr_db_run(l->own.db, l->own.path, b.q, b.rc, err);
}

silr_status silr_ledger_lines_left(silr_ledger *l, const char *batch, int64_t *n, silr_error *err)
{
    ledger_file *f = &l->own;
    silr_binder b = {0};
    int more;
    silr_status st = silr_ledger_query(f, L_LINES_LEFT, &b.q, err);

    *n = 0;
    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, batch);
    more = silr_ledger_first(f, &b, err);
    if (more > 0)
        *n = sqlite3_column_int64(b.q, 0);
    silr_db_done(b.q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_ledger_lines_drop(silr_ledger *l, const char *batch, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_ledger_query(&l->own, L_LINES_DROP, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_text(&b, batch);
    return silr_db_run(l->own.db, l->own.path, b.q, b.rc, err);
}
