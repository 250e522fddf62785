/* test_base.c - what everything stands on: memory, random numbers, files, small numerics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/base.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The published known-answer vectors of Random123 (kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state)
{
    const uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u};
    const uint32_t pi[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    const uint32_t pi_key[2] = {0xa4093822, 0x299f31d0};
    const uint32_t want_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t want_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    const uint32_t want_pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    uint32_t out[4];
    (void)state;

    silr_philox(zero, zero, out);
    assert_memory_equal(out, want_zero, sizeof out);
    silr_philox(ones, ones, out);
    assert_memory_equal(out, want_ones, sizeof out);
    silr_philox(pi, pi_key, out);
    assert_memory_equal(out, want_pi, sizeof out);
}

/* Streams of different purpose, iteration or index have nothing in common; moments are right. */
static void random_streams(void **state)
{
    silr_rng a, b;
    double sum = 0, square = 0, beta = 0;
    enum { N = 20000 };
    (void)state;

    silr_rng_init(&a, 1, SILR_RNG_SPLIT, 0, 0);
    silr_rng_init(&b, 1, SILR_RNG_SAMPLE, 0, 0);
    assert_true(silr_rng_u64(&a) != silr_rng_u64(&b));
    silr_rng_init(&a, 7, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        double x = silr_rng_normal(&a);
        sum += x;
        square += x * x;
        beta += silr_rng_beta(&a, 3, 1);
    }
    assert_true(fabs(sum / N) < 0.03);
    assert_true(fabs(square / N - 1) < 0.05);
    assert_true(fabs(beta / N - 0.75) < 0.01);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(silr_rng_below(&a, 7) < 7);
}

static void failing_allocations(void **state)
{
    void *p, *q;
    size_t cap = 0;
    int *v = NULL;
    uint64_t refused;
    (void)state;

    silr_mem_fail_at(2, false);
    p = silr_malloc(1);
    q = silr_malloc(1);
    assert_non_null(p);
    assert_null(q);
    q = silr_malloc(1);
    assert_non_null(q);
    silr_free(p);
    silr_free(q);
    assert_null(silr_alloc(SIZE_MAX, 2));
    assert_true(silr_grow(&v, &cap, 100, sizeof *v));
    assert_true(cap >= 100);
    v[99] = 1;
    silr_mem_fail_at(1, false);
    refused = silr_mem_refused();
    assert_false(silr_grow(&v, &cap, cap + 1, sizeof *v));
    assert_int_equal(silr_mem_refused(), refused + 1);
    assert_int_equal(v[99], 1);
    silr_free(v);
}

static void arenas_hold_their_pieces(void **state)
{
    silr_arena a = {0};
    char *first = silr_arena_strndup(&a, "abc", 3);
    (void)state;

    for (int i = 0; i < 10000; i++)
        assert_non_null(silr_arena_strndup(&a, "0123456789", 10));
    assert_int_equal((uintptr_t)silr_arena_alloc(&a, 24) % 8, 0);
    assert_non_null(silr_arena_alloc(&a, (size_t)1 << 23));
    assert_string_equal(first, "abc");
    silr_arena_clear(&a);
}

static void buffers_escape(void **state)
{
    silr_buf b = {0};
    (void)state;

    silr_buf_json(&b, "a\"b\\\n\x01z", 7);
    assert_string_equal(b.data, "\"a\\\"b\\\\\\n\\u0001z\"");
    silr_buf_reset(&b);
    silr_buf_html(&b, "<a & 'b'>", 9);
    assert_string_equal(b.data, "&lt;a &amp; &#39;b&#39;&gt;");
    silr_buf_reset(&b);
    silr_buf_csv(&b, "plain", 5);
    silr_buf_csv(&b, "", 0);
    silr_buf_csv(&b, " a", 2);
    silr_buf_csv(&b, "a,\"b\"", 5);
    assert_string_equal(b.data, "plain\"\"\" a\"\"a,\"\"b\"\"\"");
    silr_buf_reset(&b);
    silr_buf_number(&b, 0.1, 6);
    silr_buf_putc(&b, ' ');
    silr_buf_number(&b, NAN, 6);
    assert_string_equal(b.data, "0.1 null");
    silr_buf_reset(&b);
    for (int i = 0; i < 100; i++)
        silr_buf_printf(&b, "%0100d", i);
    assert_int_equal(b.len, 10000);
    silr_buf_clear(&b);
}

/* A file appears whole or not at all. */
static void files_are_atomic(void **state)
{
    char dir[] = "/tmp/silr-base-XXXXXX";
    char *path;
    silr_buf b = {0};
    silr_out o;
    silr_error err;
    silr_sha256 sum;
    (void)state;

    assert_non_null(mkdtemp(dir));
    path = silr_path_join(dir, "x.txt");
    assert_int_equal(silr_file_write(path, "old", 3, &err), SILR_OK);
    assert_int_equal(silr_out_open(&o, path, &err), SILR_OK);
    fputs("half", o.file);
    silr_out_discard(&o);
    assert_int_equal(silr_file_read(&b, path, 100, &err), SILR_OK);
    assert_string_equal(b.data, "old");
    assert_int_equal(silr_file_read(&b, path, 2, &err), SILR_EINPUT);
    assert_int_equal(silr_file_read(&b, dir, 100, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "folder"));
    assert_int_equal(silr_file_write(path, "abc", 3, &err), SILR_OK);
    assert_int_equal(silr_sha256_file(&sum, path, &err), SILR_OK);
    assert_string_equal(sum.hex,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    unlink(path);
    rmdir(dir);
    silr_free(path);
    silr_buf_clear(&b);
}

static void numerics(void **state)
{
    double v;
    int64_t i;
    (void)state;

    assert_true(fabs(silr_sigmoid(0) - 0.5) < 1e-15);
    assert_true(silr_sigmoid(-800) >= 0 && silr_sigmoid(800) <= 1);
    assert_true(fabs(silr_beta_cdf(2, 3, 0.4) - 0.5248) < 1e-12); /* polynomial: exact */
    assert_true(fabs(silr_beta_cdf(1, 1, 0.3) - 0.3) < 1e-12);
    assert_true(fabs(silr_beta_quantile(2, 3, 0.5248) - 0.4) < 1e-9);
    assert_true(fabs(silr_normal_quantile(0.975) - 1.959963984540054) < 1e-9);
    assert_true(silr_parse_double("1e-3", &v) && v == 1e-3);
    assert_false(silr_parse_double("1e-3x", &v));
    assert_false(silr_parse_double("nan", &v));
    assert_true(silr_parse_i64("-5", &i) && i == -5);
    assert_false(silr_parse_i64("5.0", &i));
    assert_int_equal(silr_edit_distance("iteratoins", "iterations"), 1);
    assert_int_equal(silr_edit_distance("", "abc"), 3);
}

/* Whatever allocation fails, and however long the tokens are: JSON is read, or it is not (under the
 * address sanitizer: and nothing else is written to). */
static void json_without_memory(void **state)
{
    (void)state;
    silr_mem_install();
    for (int len = 1; len < 80; len++) {
        char text[200];
        int n = snprintf(text, sizeof text, "{\"%.*s\": \"%.*s\", \"n\": %.*s}", len,
                         "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
                         len / 2, "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv", len % 18 + 1,
                         "123456789012345678");
        for (uint64_t nth = 1;; nth++) {
            json_error_t e;
            silr_mem_fail_at(nth, nth % 2);
            json_t *root = json_loadb(text, (size_t)n, 0, &e);
            silr_mem_fail_at(0, false);
            if (root)
                assert_int_equal(json_object_size(root), 2);
            json_decref(root);
            if (root)
                break;
            assert_true(nth < 100);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(random_streams),
        cmocka_unit_test(failing_allocations),  cmocka_unit_test(arenas_hold_their_pieces),
        cmocka_unit_test(buffers_escape),       cmocka_unit_test(files_are_atomic),
        cmocka_unit_test(numerics),             cmocka_unit_test(json_without_memory),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
