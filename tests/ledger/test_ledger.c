/* test_ledger.c - an answer that was put is found, byte for byte, or not at all: whatever happens to
 * the transaction, to the memory and to the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledger/ledger.h"
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char home[] = "/tmp/silr-test-ledger-XXXXXX";
static char path[64];
static sqlite3 *db;
static silr_ledger *ledger;
static silr_error err;

static void open_ledger(const char *file)
{
    silr_mem_install();
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&ledger, db, file, &err), SILR_OK);
}

static void open_new(const char *file)
{
    silr_mem_install();
    unlink(file);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, silr_ledger_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(silr_ledger_on(&ledger, db, file, &err), SILR_OK);
}

static void close_ledger(void)
{
    silr_ledger_free(ledger);
    ledger = NULL;
    sqlite3_close(db);
    db = NULL;
}

static silr_ask_id id_of(int i)
{
    silr_ask_id id = {{0}};
    silr_rng rng;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 1, (uint64_t)i);
    for (size_t k = 0; k < sizeof id.bytes; k++)
        id.bytes[k] = (unsigned char)silr_rng_u32(&rng);
    return id;
}

/* Answer i: of any length up to a few thousand bytes, more or less repetitive. */
static void answer_of(int i, silr_buf *out)
{
    silr_rng rng;
    size_t len;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 2, (uint64_t)i);
    len = i < 3 ? (size_t)i : silr_rng_below(&rng, 3000);
    silr_buf_reset(out);
    silr_buf_puts(out, "");
    while (out->len < len)
        silr_buf_putc(out, (char)silr_rng_below(&rng, i % 3 == 0 ? 256 : i % 3 == 1 ? 4 : 60));
}

static silr_status put_it(int i, const silr_buf *reply, double cost, silr_origin origin)
{
    silr_ask_id id = id_of(i);
    silr_answer a = {.model = "m", .reply = reply->data, .len = reply->len, .origin = origin,
                     .usage = {10 + i, i, 1, cost, 0.5}};

    return silr_ledger_put(ledger, &id, &a, &err);
}

static silr_status put(int i, double cost, silr_origin origin)
{
    silr_buf b = {0};
    silr_status st;

    answer_of(i, &b);
    st = put_it(i, &b, cost, origin);
    silr_buf_clear(&b);
    return st;
}

static silr_status find(int i, silr_buf *out, silr_usage *u, bool *found)
{
    silr_ask_id id = id_of(i);
    return silr_ledger_find(ledger, &id, out, u, found, &err);
}

static bool is_there(int i)
{
    silr_buf b = {0}, want = {0};
    silr_usage u;
    bool found;

    assert_int_equal(find(i, &b, &u, &found), SILR_OK);
    if (found) {
        silr_ask_id id = id_of(i);
        answer_of(i, &want);
        assert_int_equal(b.len, want.len);
        assert_memory_equal(b.data, want.data, want.len);
        assert_int_equal(b.data[b.len], '\0');
        assert_true(u.prompt_tokens == 10 + i && u.cached_tokens == i && u.seconds == 0.5);
        assert_true(silr_ledger_has(ledger, &id));
    }
    silr_buf_clear(&b);
    silr_buf_clear(&want);
    return found;
}

static void what_is_put_is_found(void **state)
{
    (void)state;
    open_new(path);
    assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK);
    for (int i = 0; i < 300; i++)
        assert_int_equal(put(i, 0.25, SILR_ORIGIN_LIVE), SILR_OK);
    assert_int_equal(silr_ledger_commit(ledger, &err), SILR_OK);
    for (int i = 0; i < 300; i++)
        assert_true(is_there(i));
    assert_false(is_there(300));
    close_ledger();
    open_ledger(path);
    for (int i = 0; i < 300; i++)
        assert_true(is_there(i));
    close_ledger();
}

/* Repetitive JSON takes a fraction of its room. */
static void long_answers_are_packed(void **state)
{
    silr_buf b = {0};
    silr_ask_id id = id_of(1);
    silr_answer a = {.model = "m"};
    sqlite3_stmt *q;
    (void)state;

    for (int i = 0; i < 100; i++)
        silr_buf_printf(&b, "{\"token\":\"t%d\",\"logprob\":-%d.5,\"bytes\":[%d]},", i, i, i);
    a.reply = b.data;
    a.len = b.len;
    open_new(":memory:");
    assert_int_equal(silr_ledger_put(ledger, &id, &a, &err), SILR_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT length(reply) FROM answers", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_true((size_t)sqlite3_column_int(q, 0) < b.len / 4);
    sqlite3_finalize(q);
    close_ledger();
    silr_buf_clear(&b);
}

static void the_first_answer_stays(void **state)
{
    silr_ask_id id = id_of(7);
    silr_answer other = {.model = "m", .reply = "another", .len = 7};
    (void)state;

    open_new(":memory:");
    assert_int_equal(put(7, NAN, SILR_ORIGIN_LIVE), SILR_OK);
    assert_int_equal(silr_ledger_put(ledger, &id, &other, &err), SILR_OK);
    assert_true(is_there(7));
    close_ledger();
}

static void transactions(void **state)
{
    (void)state;
    open_new(path);
    assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK);
    assert_int_equal(put(1, 1, SILR_ORIGIN_LIVE), SILR_OK);
    assert_int_equal(silr_ledger_count(ledger, "sent", 1, &err), SILR_OK);
    silr_ledger_rollback(ledger);
    silr_ledger_rollback(ledger); /* there is none: no harm */
    assert_false(is_there(1));
    assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK);
    assert_int_equal(put(2, 1, SILR_ORIGIN_LIVE), SILR_OK);
    assert_int_equal(silr_ledger_commit(ledger, &err), SILR_OK);
    assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK);
    assert_int_equal(put(3, 1, SILR_ORIGIN_LIVE), SILR_OK);
    close_ledger(); /* as if it had been killed */
    open_ledger(path);
    assert_true(is_there(2));
    assert_false(is_there(3));
    close_ledger();
}

/* --- sums ---------------------------------------------------------------------------------------- */

static silr_ledger_sums sums(void)
{
    silr_ledger_sums s;
    assert_int_equal(silr_ledger_sum(ledger, &s, &err), SILR_OK);
    return s;
}

static void sums_over_answers(void **state)
{
    silr_ledger_sums s;
    (void)state;

    open_new(":memory:");
    s = sums();
    assert_true(s.answers == 0 && s.cost == 0 && s.paid == 0 && s.dearest == 0 && isnan(s.seconds));
    put(1, 0.25, SILR_ORIGIN_LIVE);
    put(2, 0.5, SILR_ORIGIN_LIVE);
    put(3, 8, SILR_ORIGIN_CACHE); /* somebody else's */
    put(4, 0.125, SILR_ORIGIN_BATCH);
    s = sums();
    assert_true(s.answers == 4 && s.cached == 1 && s.batched == 1);
    assert_true(s.prompt_tokens == 11 + 12 + 14 && s.cached_tokens == 7 && s.completion_tokens == 3);
    assert_true(s.cost == 0.875 && s.paid == 0.875 && s.dearest == 0.5 && s.seconds == 0.5);
    put(5, NAN, SILR_ORIGIN_LIVE); /* of one the price is not known: nor of all */
    s = sums();
    assert_true(isnan(s.cost) && s.paid == 0.875 && s.dearest == 0.5);
    close_ledger();
}

static silr_status note(void *ctx, const char *what, int64_t n, silr_error *e)
{
    (void)e;
    silr_buf_printf(ctx, "%s %lld;", what, (long long)n);
    return SILR_OK;
}

static silr_status refuse(void *ctx, const char *what, int64_t n, silr_error *e)
{
    (void)ctx, (void)n;
    return silr_fail(e, SILR_ECANCEL, "no more of %s", what);
}

static silr_status server(void *ctx, const char *url, const char *model, const char *facts, silr_error *e)
{
    (void)e;
    silr_buf_printf(ctx, "%s %s %s;", url, model, facts);
    return SILR_OK;
}

static silr_status batch(void *ctx, const char *name, const char *batch_state, silr_error *e)
{
    (void)e;
    silr_buf_printf(ctx, "%s %s;", name, batch_state);
    return SILR_OK;
}

static void counts_servers_batches(void **state)
{
    silr_buf b = {0};
    (void)state;

    open_new(":memory:");
    silr_ledger_count(ledger, "sent", 3, &err);
    silr_ledger_count(ledger, "HTTP 429", 1, &err);
    silr_ledger_count(ledger, "sent", 4, &err);
    assert_int_equal(silr_ledger_counts(ledger, note, &b, &err), SILR_OK);
    assert_string_equal(b.data, "HTTP 429 1;sent 7;");
    assert_int_equal(silr_ledger_counts(ledger, refuse, NULL, &err), SILR_ECANCEL);
    assert_string_equal(err.text, "no more of HTTP 429");

    assert_int_equal(silr_ledger_server_get(ledger, "u", "m", &b, &err), SILR_OK);
    assert_int_equal(b.len, 0);
    silr_ledger_server_set(ledger, "u", "m", "{1}", &err);
    silr_ledger_server_set(ledger, "u", "n", "{2}", &err);
    silr_ledger_server_set(ledger, "u", "m", "{3}", &err);
    assert_int_equal(silr_ledger_server_get(ledger, "u", "m", &b, &err), SILR_OK);
    assert_string_equal(b.data, "{3}");
    silr_buf_reset(&b);
    assert_int_equal(silr_ledger_servers(ledger, server, &b, &err), SILR_OK);
    assert_string_equal(b.data, "u m {3};u n {2};");

    silr_ledger_batch_set(ledger, "b", "one", &err);
    silr_ledger_batch_set(ledger, "a", "two", &err);
    silr_ledger_batch_set(ledger, "b", "three", &err);
    silr_buf_reset(&b);
    assert_int_equal(silr_ledger_batches(ledger, batch, &b, &err), SILR_OK);
    assert_string_equal(b.data, "a two;b three;");
    close_ledger();
    silr_buf_clear(&b);
}

/* --- damage -------------------------------------------------------------------------------------- */

static void change(const char *sql, const void *blob, int len)
{
    sqlite3_stmt *q;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    if (blob)
        sqlite3_bind_blob(q, 1, blob, len, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
}

/* A packed answer with any bit changed is found out: it would be another answer. */
static void a_changed_bit_is_no_other_answer(void **state)
{
    silr_buf b = {0}, kept = {0};
    sqlite3_stmt *q;
    bool found;
    (void)state;

    open_new(":memory:");
    for (int i = 4; b.len < 600; i += 3) { /* one that is packed */
        change("DELETE FROM answers", NULL, 0);
        put(i, 1, SILR_ORIGIN_LIVE);
        answer_of(i, &b);
        silr_ask_id id = id_of(i);
        change("UPDATE answers SET id=?1", &id, sizeof id);
    }
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT reply, packed, id FROM answers", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 1), 1);
    silr_buf_add(&kept, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    silr_ask_id id;
    memcpy(&id, sqlite3_column_blob(q, 2), sizeof id);
    sqlite3_finalize(q);
    for (size_t i = 0; i < kept.len * 8; i++) {
        silr_buf out = {0};
        silr_status st;
        kept.data[i / 8] ^= (char)(1 << i % 8);
        change("UPDATE answers SET reply=?1", kept.data, (int)kept.len);
        kept.data[i / 8] ^= (char)(1 << i % 8);
        st = silr_ledger_find(ledger, &id, &out, NULL, &found, &err);
        if (st == SILR_OK) { /* some bits of a header mean nothing */
            assert_true(found && out.len == b.len && memcmp(out.data, b.data, b.len) == 0);
        } else {
            assert_int_equal(st, SILR_EINPUT);
            assert_non_null(strstr(err.text, "damaged"));
        }
        silr_buf_clear(&out);
    }
    close_ledger();
    silr_buf_clear(&b);
    silr_buf_clear(&kept);
}

static void foreign_answers(void **state)
{
    /* a frame that promises a terabyte; one that promises nothing; no frame */
    static const unsigned char huge[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
    static const unsigned char vague[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 1, 0, 0};
    silr_buf out = {0};
    bool found;
    (void)state;

    open_new(":memory:");
    put(1, 1, SILR_ORIGIN_LIVE);
    change("UPDATE answers SET packed=1", NULL, 0);
    assert_int_equal(find(1, &out, NULL, &found), SILR_EINPUT);
    assert_false(found);
    change("UPDATE answers SET reply=?1", huge, sizeof huge);
    assert_int_equal(find(1, &out, NULL, &found), SILR_EINPUT);
    change("UPDATE answers SET reply=?1", vague, sizeof vague);
    assert_int_equal(find(1, &out, NULL, &found), SILR_EINPUT);
    change("UPDATE answers SET packed=7", NULL, 0);
    assert_int_equal(find(1, &out, NULL, &found), SILR_EINPUT);
    change("UPDATE answers SET packed=0, reply=zeroblob(5000000)", NULL, 0);
    assert_int_equal(find(1, &out, NULL, &found), SILR_EINPUT);
    change("UPDATE answers SET reply=x'', prompt_tokens=-5, cost='inf'+0", NULL, 0);
    assert_int_equal(find(1, &out, NULL, &found), SILR_OK);
    assert_true(found && out.len == 0 && out.data[0] == '\0');
    change("DROP TABLE answers", NULL, 0);
    silr_status st = find(1, &out, NULL, &found);
    assert_true(st != SILR_OK && !found);
    silr_buf_clear(&out);
    close_ledger();
}

/* Bytes of the file changed at random: a sentence, or what was there. */
static void a_damaged_file(void **state)
{
    silr_buf file = {0}, out = {0};
    silr_rng rng;
    int refused = 0;
    (void)state;

    open_new(path);
    assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK);
    for (int i = 0; i < 60; i++)
        put(i, 1, SILR_ORIGIN_LIVE);
    silr_ledger_count(ledger, "sent", 3, &err);
    assert_int_equal(silr_ledger_commit(ledger, &err), SILR_OK);
    close_ledger();
    assert_int_equal(silr_file_read(&file, path, 1 << 24, &err), SILR_OK);
    silr_rng_init(&rng, 1, SILR_RNG_TEST, 3, 0);
    for (int round = 0; round < 300; round++) {
        silr_ledger_sums s;
        size_t changes = 1 + silr_rng_below(&rng, 20);
        silr_buf copy = {0};
        silr_buf_add(&copy, file.data, file.len);
        for (size_t k = 0; k < changes; k++)
            copy.data[silr_rng_below(&rng, round % 2 ? copy.len : 4096)] = (char)silr_rng_below(&rng, 256);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(copy.data, 1, copy.len, f), copy.len);
        fclose(f);
        silr_buf_clear(&copy);
        open_ledger(path);
        for (int i = 0; i < 60; i++) {
            bool found;
            silr_status st = find(i, &out, NULL, &found);
            refused += st != SILR_OK;
            if (st != SILR_OK)
                assert_true(err.text[0] != '\0' && st != SILR_EBUG && !found);
        }
        silr_ledger_sum(ledger, &s, &err);
        silr_buf_reset(&out);
        silr_ledger_counts(ledger, note, &out, &err);
        if (round % 10 == 0 && silr_ledger_begin(ledger, &err) == SILR_OK) {
            put(1000, 1, SILR_ORIGIN_LIVE);
            silr_ledger_commit(ledger, &err);
            silr_ledger_rollback(ledger);
        }
        close_ledger();
    }
    assert_true(refused > 100);
    silr_buf_clear(&file);
    silr_buf_clear(&out);
}

/* --- no memory ----------------------------------------------------------------------------------- */

static void any_allocation_may_fail(void **state)
{
    int failures = 0;
    silr_buf b = {0};
    (void)state;

    answer_of(1234, &b);
    for (uint64_t n = 1; n < 400; n++) {
        silr_buf out = {0};
        bool found = false;
        silr_status st;
        open_new(":memory:");
        silr_mem_fail_at(n, false);
        if ((st = silr_ledger_begin(ledger, &err)) == SILR_OK &&
            (st = put_it(1234, &b, 1, SILR_ORIGIN_LIVE)) == SILR_OK &&
            (st = silr_ledger_count(ledger, "sent", 1, &err)) == SILR_OK &&
            (st = silr_ledger_commit(ledger, &err)) == SILR_OK)
            st = find(1234, &out, NULL, &found);
        silr_mem_fail_at(0, false);
        assert_true(st == SILR_OK || st == SILR_ENOMEM);
        assert_true(st != SILR_OK || found);
        failures += st != SILR_OK;
        silr_ledger_rollback(ledger);
        assert_int_equal(silr_ledger_begin(ledger, &err), SILR_OK); /* it can be gone on from */
        assert_int_equal(put(1234, 1, SILR_ORIGIN_LIVE), SILR_OK);
        assert_int_equal(silr_ledger_commit(ledger, &err), SILR_OK);
        assert_true(is_there(1234));
        silr_buf_clear(&out);
        close_ledger();
    }
    assert_true(failures > 20);
    silr_buf_clear(&b);
}

static int make_home(void **state)
{
    (void)state;
    if (!mkdtemp(home))
        return -1;
    snprintf(path, sizeof path, "%s/run.db", home);
    return 0;
}

static int remove_home(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found),
        cmocka_unit_test(long_answers_are_packed),
        cmocka_unit_test(the_first_answer_stays),
        cmocka_unit_test(transactions),
        cmocka_unit_test(sums_over_answers),
        cmocka_unit_test(counts_servers_batches),
        cmocka_unit_test(a_changed_bit_is_no_other_answer),
        cmocka_unit_test(foreign_answers),
        cmocka_unit_test(a_damaged_file),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
