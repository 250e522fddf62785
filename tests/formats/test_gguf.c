/* test_gguf.c - GGUF files: read as they are meant, and refused when they are not right.
 *
 * Every way in which loaders of this format were once led to read or write where they must not has
 * its test: counts whose product wraps, wild offsets and alignments, nesting, wrong kinds. */
#include "formats/gguf.h"
#include "write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static silr_buf file;
static silr_error err;

static int empty(void **state)
{
    (void)state;
    silr_buf_clear(&file);
    return 0;
}

/* Parses `file` in a block of exactly its size, for the address sanitizer. */
static silr_status parse(silr_gguf **g, void **block)
{
    *block = malloc(file.len ? file.len : 1);
    assert_non_null(*block);
    memcpy(*block, file.data ? file.data : "", file.len);
    return silr_gguf_parse(g, *block, file.len, "t.gguf", &err);
}

static void refused(const char *why)
{
    silr_gguf *g;
    void *block;

    assert_int_equal(parse(&g, &block), SILR_EINPUT);
    assert_null(g);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" has not \"%s\"", err.text, why);
    assert_non_null(strstr(err.text, "t.gguf: "));
    free(block);
    silr_buf_clear(&file);
}

/* One F32 vector [n] after the pairs that are in the file already. */
static void one_tensor(uint64_t n)
{
    gguf_tensor(&file, "t", 1, &n, 0, 0);
    put_padding(&file, 32);
    put_zeros(&file, n * 4);
}

static void all_kinds_are_read(void **state)
{
    silr_gguf *g;
    void *block;
    const char *s;
    size_t len, n;
    int64_t i;
    double d;
    bool b;
    static const uint32_t wide[] = {0, 1, 2, 3, 4, 5, 10, 11};
    (void)state;

    gguf_header(&file, 1, 15);
    for (size_t k = 0; k < 8; k++) {
        char key[] = "int.0";
        uint64_t ones = UINT64_MAX;
        key[4] = (char)('0' + k);
        gguf_key(&file, key, wide[k]);
        silr_buf_add(&file, &ones, k < 2 ? 1 : k < 4 ? 2 : k < 6 ? 4 : 8);
    }
    gguf_float(&file, "f32", 0.5F);
    gguf_key(&file, "f64", 12);
    d = 0.1;
    silr_buf_add(&file, &d, sizeof d);
    gguf_key(&file, "yes", 7);
    put_u8(&file, 1);
    gguf_string(&file, "name", "a model");
    gguf_array(&file, "words", 8, 3);
    put_string(&file, "one");
    put_string(&file, "");
    put_string(&file, "three");
    gguf_array(&file, "ids", 5, 2);
    put_u32(&file, 7);
    put_u32(&file, UINT32_MAX);
    gguf_array(&file, "scores", 6, 1);
    put_float(&file, -2.5F);
    one_tensor(3);
    assert_int_equal(parse(&g, &block), SILR_OK);

    assert_true(silr_gguf_integer(g, "int.0", &i) && i == 255);
    assert_true(silr_gguf_integer(g, "int.1", &i) && i == -1);
    assert_true(silr_gguf_integer(g, "int.2", &i) && i == 65535);
    assert_true(silr_gguf_integer(g, "int.3", &i) && i == -1);
    assert_true(silr_gguf_integer(g, "int.4", &i) && i == UINT32_MAX);
    assert_true(silr_gguf_integer(g, "int.5", &i) && i == -1);
    assert_false(silr_gguf_integer(g, "int.6", &i)); /* 2^64 - 1 is no int64_t */
    assert_true(silr_gguf_integer(g, "int.7", &i) && i == -1);
    assert_true(silr_gguf_number(g, "f32", &d) && d == 0.5);
    assert_true(silr_gguf_number(g, "f64", &d) && d == 0.1);
    assert_true(silr_gguf_number(g, "int.0", &d) && d == 255);
    assert_true(silr_gguf_bool(g, "yes", &b) && b);
    assert_true(silr_gguf_string(g, "name", &s, &len) && len == 7 && memcmp(s, "a model", 7) == 0);
    assert_true(silr_gguf_strings(g, "words", &n) && n == 3);
    assert_true(silr_gguf_string_at(g, "words", 1, &s, &len) && len == 0);
    assert_true(silr_gguf_string_at(g, "words", 2, &s, &len) && len == 5 && s[4] == 'e');
    assert_false(silr_gguf_string_at(g, "words", 3, &s, &len));
    assert_true(silr_gguf_integers(g, "ids", &n) && n == 2);
    assert_true(silr_gguf_integer_at(g, "ids", 1, &i) && i == -1);
    assert_true(silr_gguf_numbers(g, "scores", &n) && n == 1);
    assert_true(silr_gguf_number_at(g, "scores", 0, &d) && d == -2.5);
    assert_false(silr_gguf_number_at(g, "scores", 1, &d));
    silr_gguf_free(g);
    free(block);
}

/* Asking for one kind where the file has another gives nothing, never its bytes read otherwise. */
static void wrong_kinds_are_not_read(void **state)
{
    silr_gguf *g;
    void *block;
    const char *s;
    size_t len, n = 1;
    int64_t i;
    double d;
    bool b;
    (void)state;

    gguf_header(&file, 1, 4);
    gguf_float(&file, "number", 1);
    gguf_array(&file, "floats", 6, 1);
    put_float(&file, 1);
    gguf_array(&file, "bytes", 0, 1);
    put_u8(&file, 1);
    gguf_array(&file, "words", 8, 1);
    put_string(&file, "w");
    one_tensor(1);
    assert_int_equal(parse(&g, &block), SILR_OK);

    assert_true(silr_gguf_has(g, "floats") && !silr_gguf_has(g, "nothing"));
    assert_false(silr_gguf_integer(g, "number", &i) || silr_gguf_bool(g, "number", &b) ||
                 silr_gguf_string(g, "number", &s, &len));
    assert_false(silr_gguf_number(g, "floats", &d) || silr_gguf_string(g, "words", &s, &len));
    assert_false(silr_gguf_strings(g, "bytes", &n));
    assert_int_equal(n, 0);
    assert_false(silr_gguf_string_at(g, "bytes", 0, &s, &len));
    assert_false(silr_gguf_integers(g, "floats", &n) || silr_gguf_integer_at(g, "floats", 0, &i));
    assert_false(silr_gguf_integers(g, "words", &n) || silr_gguf_numbers(g, "words", &n));
    assert_false(silr_gguf_strings(g, "number", &n) || silr_gguf_numbers(g, "number", &n));
    silr_gguf_free(g);
    free(block);
}

/* The file says the fastest dimension first; we say rows, then columns. */
static void dimensions_are_turned_round(void **state)
{
    static const uint64_t dim[] = {64, 3};
    const silr_tensor *t;
    silr_gguf *g;
    void *block;
    float rows[128];
    uint8_t *q;
    (void)state;

    gguf_header(&file, 2, 1);
    gguf_u32(&file, "general.alignment", 64);
    gguf_tensor(&file, "q", 2, dim, 8, 0);
    gguf_tensor(&file, "v", 1, dim + 1, 0, 256); /* 3 * 2 * 34 = 204 bytes before it, padded */
    put_padding(&file, 64);
    put_zeros(&file, 256);
    put_float(&file, 1);
    put_float(&file, 2);
    put_float(&file, 3);
    q = (uint8_t *)file.data + file.len - 12 - 256 + 68; /* second row: d = 1, q = 5, then zeros */
    q[1] = 0x3c;
    q[2] = 5;
    assert_int_equal(parse(&g, &block), SILR_OK);
    assert_int_equal(silr_gguf_tensors(g), 2);
    t = silr_gguf_tensor(g, 0);
    assert_true(strcmp(t->name, "q") == 0 && t->type == SILR_TYPE_Q8_0 && t->bytes == 204);
    assert_true(t->n_dims == 2 && t->dim[0] == 3 && t->dim[1] == 64);
    silr_tensor_rows(t, 1, 2, rows);
    assert_true(rows[0] == 5 && rows[1] == 0 && rows[64] == 0);
    silr_tensor_rows(silr_gguf_tensor(g, 1), 0, 1, rows);
    assert_true(rows[0] == 1 && rows[2] == 3);
    assert_null(silr_gguf_tensor(g, 2));
    silr_gguf_free(g);
    free(block);
}

static void what_is_no_gguf_is_refused(void **state)
{
    (void)state;

    refused("not a GGUF file");
    silr_buf_puts(&file, "GGUF\3");
    refused("not a GGUF file");
    silr_buf_puts(&file, "<html><title>404 Not Found</title></html>");
    refused("not a GGUF file");
    gguf_header(&file, 0, 0);
    memcpy(file.data + 4, "\0\0\0\3", 4);
    refused("big-endian");
    gguf_header(&file, 0, 0);
    file.data[4] = 1;
    refused("version 1");
    gguf_header(&file, 1, 1);
    gguf_key(&file, "split.count", 2);
    silr_buf_add(&file, "\4", 2);
    one_tensor(1);
    refused("one of 4 files");
}

static void wild_counts_are_refused(void **state)
{
    static const uint64_t wrap[] = {1ULL << 33, 1ULL << 33, 4, 4}; /* the product is 2^70 */
    static const uint64_t wrap_bytes[] = {1ULL << 62, 1};
    static const uint64_t zero[] = {4, 0}, five[] = {1, 1, 1, 1, 1};
    (void)state;

    gguf_header(&file, UINT64_MAX, 0);
    refused("tensors");
    gguf_header(&file, 0, UINT64_MAX);
    refused("keys");
    gguf_header(&file, 0, 1ULL << 40);
    refused("keys");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 4, wrap, 0, 0);
    refused("overflows");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 2, wrap_bytes, 0, 0); /* 2^62 floats: 2^64 bytes, that is none */
    refused("overflows");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 2, zero, 0, 0);
    refused("dimension is 0");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 5, five, 0, 0);
    refused("5 dimensions");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 0, five, 0, 0);
    put_zeros(&file, 64);
    refused("0 dimensions");
    gguf_header(&file, 1, 0);
    put_string(&file, "t");
    put_u32(&file, UINT32_MAX);
    put_zeros(&file, 64);
    refused("4294967295 dimensions");
    gguf_header(&file, 0, 1);
    gguf_array(&file, "a", 12, (1ULL << 61) + 1); /* times 8 bytes wraps to 8 */
    put_zeros(&file, 64);
    refused("more elements");
    gguf_header(&file, 0, 1);
    gguf_array(&file, "a", 8, UINT64_MAX);
    put_zeros(&file, 64);
    refused("more");
    gguf_header(&file, 0, 1);
    gguf_key(&file, "s", 8);
    put_u64(&file, UINT64_MAX - 7);
    put_zeros(&file, 64);
    refused("longer than the rest");
}

static void wild_places_are_refused(void **state)
{
    static const uint64_t dim[] = {8};
    (void)state;

    gguf_header(&file, 1, 0); /* its size cannot be known by then: the offset alone is too far */
    gguf_tensor(&file, "t", 1, dim, 0, UINT64_MAX - 31);
    refused("past the end");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 0);
    put_padding(&file, 32);
    put_zeros(&file, 31); /* one byte short */
    refused("past the end");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 0); /* no data at all, not even padding */
    refused("past the end");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 4);
    put_zeros(&file, 200);
    refused("not aligned");
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 32);
    put_zeros(&file, 200);
    refused("gap");
    gguf_header(&file, 2, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 0);
    gguf_tensor(&file, "u", 1, dim, 0, 0);
    put_zeros(&file, 200);
    refused("overlaps");
    gguf_header(&file, 2, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 0);
    gguf_tensor(&file, "t", 1, dim, 0, 32);
    put_zeros(&file, 200);
    refused("\"t\" is there twice");
    gguf_header(&file, 1, 0);
    one_tensor(8);
    put_zeros(&file, 1);
    refused("1 bytes behind the last tensor");
    gguf_header(&file, 1, 0);
    one_tensor(3);
    put_zeros(&file, 20 + 1); /* 20 are padding */
    refused("1 bytes behind the last tensor");
    gguf_header(&file, 0, 0);
    put_zeros(&file, 64);
    refused("behind the last tensor");
}

static void wild_alignments_are_refused(void **state)
{
    static const uint32_t wild[] = {0, 1, 4, 24, 1U << 30, 1U << 31, UINT32_MAX};
    (void)state;

    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        gguf_header(&file, 1, 1);
        gguf_u32(&file, "general.alignment", wild[i]);
        one_tensor(8);
        refused("general.alignment");
    }
    gguf_header(&file, 1, 1);
    gguf_float(&file, "general.alignment", 32);
    one_tensor(8);
    refused("general.alignment");
    gguf_header(&file, 1, 1);
    gguf_array(&file, "general.alignment", 4, 1);
    put_u32(&file, 32);
    one_tensor(8);
    refused("general.alignment");
}

static void broken_pairs_are_refused(void **state)
{
    (void)state;

    gguf_header(&file, 0, 100000); /* 100,000 empty ones */
    for (int i = 0; i < 100000; i++) {
        gguf_key(&file, "", 0);
        put_u8(&file, 0);
    }
    refused("100000 keys");
    gguf_header(&file, 0, 1000);
    for (int i = 0; i < 1000; i++) {
        gguf_key(&file, "", 0);
        put_u32(&file, 0);
    }
    refused("empty name");
    gguf_header(&file, 0, 1);
    gguf_array(&file, "deep", 9, 1); /* arrays in arrays in arrays ... */
    for (int i = 0; i < 100000; i++) {
        put_u32(&file, 9);
        put_u64(&file, 1);
    }
    refused("array of arrays");
    gguf_header(&file, 0, 2);
    gguf_u32(&file, "k", 1);
    gguf_u32(&file, "k", 2);
    refused("\"k\" is there twice");
    gguf_header(&file, 0, 1);
    gguf_key(&file, "k", 13);
    put_zeros(&file, 8);
    refused("unknown kind 13");
    gguf_header(&file, 0, 1);
    gguf_array(&file, "k", 13, 0);
    refused("unknown kind");
    gguf_header(&file, 0, 1);
    gguf_key(&file, "k", 7);
    put_u8(&file, 2);
    put_u8(&file, 2);
    refused("neither true nor false");
    gguf_header(&file, 0, 1);
    gguf_u32(&file, "k\33[2J", 2); /* would clear a terminal that shows it */
    refused("characters");
    gguf_header(&file, 0, 1);
    gguf_array(&file, "words", 8, 2);
    put_string(&file, "one");
    put_u64(&file, 1000);
    refused("longer than the rest");
}

static void broken_types_are_refused(void **state)
{
    static const uint64_t odd[] = {33}, one[] = {32};
    (void)state;

    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, odd, 8, 0);
    put_zeros(&file, 200);
    refused("not whole blocks of Q8_0");
    for (uint32_t type = 4; type < 6; type++) { /* once were types, are none now */
        gguf_header(&file, 1, 0);
        gguf_tensor(&file, "t", 1, one, type, 0);
        put_zeros(&file, 200);
        refused("unknown type");
    }
    gguf_header(&file, 1, 0);
    gguf_tensor(&file, "t", 1, one, UINT32_MAX, 0);
    put_zeros(&file, 200);
    refused("unknown type");
}

/* A small file that has something of everything. */
static void put_model(void)
{
    static const uint64_t dim[] = {32, 2};

    gguf_header(&file, 2, 4);
    gguf_string(&file, "general.architecture", "llama");
    gguf_array(&file, "tokenizer.ggml.tokens", 8, 2);
    put_string(&file, "a");
    put_string(&file, "b");
    gguf_array(&file, "tokenizer.ggml.scores", 6, 2);
    put_float(&file, 0);
    put_float(&file, 0);
    gguf_u32(&file, "general.alignment", 32);
    gguf_tensor(&file, "m", 2, dim, 2, 0);
    gguf_tensor(&file, "v", 1, dim, 0, 64);
    put_padding(&file, 32);
    put_zeros(&file, 64 + 128);
}

static void cut_anywhere_it_is_refused(void **state)
{
    silr_gguf *g;
    void *block;
    (void)state;

    put_model();
    for (size_t whole = file.len, len = 0; len < whole; len++) {
        file.len = len;
        assert_int_equal(parse(&g, &block), SILR_EINPUT);
        free(block);
        file.len = whole;
    }
    assert_int_equal(parse(&g, &block), SILR_OK);
    silr_gguf_free(g);
    free(block);
}

static void no_memory(void **state)
{
    silr_gguf *g;
    uint64_t n = 1;
    (void)state;

    put_model();
    for (;; n++) {
        silr_mem_fail_at(n, false);
        silr_status st = silr_gguf_parse(&g, file.data, file.len, "t.gguf", &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_null(g);
    }
    assert_true(n > 5);
    silr_gguf_free(g);
}

/* Others truncate a file that we have mapped and checked: no crash, and we are told. */
static void a_file_cut_while_it_is_used(void **state)
{
    char path[] = "/tmp/silr-gguf-XXXXXX";
    int fd = mkstemp(path);
    static const uint64_t n = 100000;
    static float out[100000];
    silr_gguf *g;
    const char *s;
    size_t len;
    (void)state;

    gguf_header(&file, 1, 1);
    gguf_array(&file, "words", 8, 2);
    put_string(&file, "one");
    put_string(&file, "two");
    one_tensor(n);
    assert_int_equal(write(fd, file.data, file.len), (ssize_t)file.len);
    close(fd);
    assert_int_equal(silr_gguf_open(&g, path, &err), SILR_OK);
    assert_int_equal(silr_gguf_intact(g, &err), SILR_OK);
    assert_int_equal(truncate(path, 0), 0);
    silr_tensor_rows(silr_gguf_tensor(g, 0), 0, 1, out);
    assert_true(out[0] == 0 && out[n - 1] == 0);
    assert_true(silr_gguf_string_at(g, "words", 1, &s, &len) && len == 3 && s[0] == 0);
    assert_int_equal(silr_gguf_intact(g, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "cut short"));
    silr_gguf_free(g);
    unlink(path);
    assert_int_equal(silr_gguf_open(&g, path, &err), SILR_EINPUT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, empty, empty)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_kinds_are_read),
        TEST(wrong_kinds_are_not_read),
        TEST(dimensions_are_turned_round),
        TEST(what_is_no_gguf_is_refused),
        TEST(wild_counts_are_refused),
        TEST(wild_places_are_refused),
        TEST(wild_alignments_are_refused),
        TEST(broken_pairs_are_refused),
        TEST(broken_types_are_refused),
        TEST(cut_anywhere_it_is_refused),
        TEST(no_memory),
        TEST(a_file_cut_while_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
