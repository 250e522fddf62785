/* test_safetensors.c - safetensors files: read as they are meant, and refused when they are not
 * right. */
#include "formats/safetensors.h"
#include "write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
static silr_status parse(silr_safetensors **s, void **block)
{
    *block = malloc(file.len ? file.len : 1);
    assert_non_null(*block);
    memcpy(*block, file.data ? file.data : "", file.len);
    return silr_safetensors_parse(s, *block, file.len, "t.safetensors", &err);
}

static void refused(const char *why)
{
    silr_safetensors *s;
    void *block;

    assert_int_equal(parse(&s, &block), SILR_EINPUT);
    assert_null(s);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" has not \"%s\"", err.text, why);
    free(block);
    silr_buf_clear(&file);
}

static void header_refused(const char *json, size_t data, const char *why)
{
    safetensors_file(&file, json, data);
    refused(why);
}

#define T(name, type, shape, from, to)                                                             \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to  \
    "]}"

static void all_types_are_read(void **state)
{
    static const char json[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," T("f", "F32", "2,3", 0, 24) "," T(
            "h", "F16", "3", 24, 30) "," T("b", "BF16", "1,1,1,2", 30,
                                           34) "," T("i", "I64", "1,2", 34,
                                                     50) "," T("s", "F64", "", 50,
                                                               58) "," T("o", "BOOL", "1", 58,
                                                                         59) "}  ";
    const silr_tensor *t = NULL;
    silr_safetensors *s;
    void *block;
    float out[3];
    (void)state;

    safetensors_file(&file, json, 59);
    ((float *)(void *)out)[0] = 7;
    memcpy(file.data + file.len - 59 + 12, out, 4); /* first value of the second row */
    assert_int_equal(parse(&s, &block), SILR_OK);
    assert_int_equal(silr_safetensors_count(s), 6);
    for (size_t i = 0; i < 6; i++) {
        const silr_entry *e = silr_safetensors_entry(s, i);
        if (e->tensor.name[0] == 'f')
            t = &e->tensor;
        if (e->tensor.name[0] == 'i')
            assert_true(e->tensor.type == SILR_TYPE_OTHER && strcmp(e->type_name, "I64") == 0);
        if (e->tensor.name[0] == 's') /* a shape [] is one value */
            assert_true(e->tensor.n_dims == 1 && e->tensor.dim[0] == 1);
        if (e->tensor.name[0] == 'b')
            assert_true(e->tensor.n_dims == 4 && e->tensor.dim[3] == 2 && e->tensor.bytes == 4);
    }
    assert_non_null(t);
    assert_true(t->type == SILR_TYPE_F32 && t->n_dims == 2 && t->dim[0] == 2 && t->dim[1] == 3);
    silr_tensor_rows(t, 1, 1, out);
    assert_true(out[0] == 7 && out[1] == 0);
    silr_safetensors_free(s);
    free(block);
}

static void what_is_no_safetensors_is_refused(void **state)
{
    (void)state;

    refused("not a safetensors file");
    silr_buf_puts(&file, "<html><title>404 Not Found</title></html>");
    refused("not a safetensors file");
    put_u64(&file, 0);
    refused("not a safetensors file");
    put_u64(&file, UINT64_MAX - 7); /* plus 8 wraps to 0 */
    silr_buf_puts(&file, "{}");
    refused("header of 18446744073709551608 bytes");
    header_refused("[]", 0, "not a safetensors file");
    header_refused("{", 0, "not JSON");
    header_refused("{} {}", 0, "not JSON");
    header_refused("{\"a\":\"\xff\"}", 0, "not JSON");
}

static void wild_shapes_are_refused(void **state)
{
    (void)state;

    header_refused("{" T("a", "F32", "4294967296,4294967296", 0, 0) "}", 0, "overflows");
    header_refused("{" T("a", "F64", "2305843009213693952", 0, 0) "}", 0, "overflows");
    header_refused("{" T("a", "F32", "2,0", 0, 0) "}", 0, "dimension is 0");
    header_refused("{" T("a", "F32", "1,1,1,1,1", 0, 4) "}", 4, "up to 4 sizes");
    header_refused("{" T("a", "F32", "-1", 0, 4) "}", 4, "list of sizes");
    header_refused("{" T("a", "F32", "1.0", 0, 4) "}", 4, "list of sizes");
    header_refused("{" T("a", "F32", "\"1\"", 0, 4) "}", 4, "list of sizes");
    header_refused("{" T("a", "F32", "99999999999999999999", 0, 4) "}", 4, "not JSON");
    header_refused("{" T("a", "F31", "1", 0, 4) "}", 4, "dtype is unknown");
    header_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "list of up to 4");
    header_refused("{\"a\":7}", 4, "no dtype");
}

static void wild_places_are_refused(void **state)
{
    (void)state;

    header_refused("{" T("a", "F32", "2", 0, 8) "}", 7, "past the end");
    header_refused("{" T("a", "F32", "1", 9223372036854775800, 9223372036854775804) "}", 8,
                   "past the end");
    header_refused("{" T("a", "F32", "1", 4, 0) "}", 8, "ends before it begins");
    header_refused("{" T("a", "F32", "1", 0, 8) "}", 8, "8 bytes, where its shape needs 4");
    header_refused("{" T("a", "F32", "1", -4, 0) "}", 8, "not two places");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
                   "not two places");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "not two places");
    header_refused("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "1", 0, 4) "}", 4, "overlaps");
    header_refused("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "2", 2, 10) "}", 10, "overlaps");
    header_refused("{" T("a", "F32", "1", 4, 8) "}", 8, "gap");
    header_refused("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "1", 5, 9) "}", 9, "gap");
    header_refused("{" T("a", "F32", "1", 0, 4) "}", 5, "1 bytes behind the last tensor");
    header_refused("{}", 5, "5 bytes behind the last tensor");
}

static void wild_names_are_refused(void **state)
{
    (void)state;

    header_refused("{" T("a", "F32", "1", 0, 4) "," T("a", "F32", "1", 4, 8) "}", 8, "there twice");
    header_refused("{" T("", "F32", "1", 0, 4) "}", 4, "name is empty");
    header_refused("{" T("a\\u001b[2J", "F32", "1", 0, 4) "}", 4, "characters that no name has");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],"
                   "\"data_offsets\":[0,4]}}",
                   4, "there twice");
}

static void wild_headers_are_refused(void **state)
{
    silr_buf json = {0};
    (void)state;

    silr_buf_puts(&json, "{\"a\":"); /* deeper than any stack */
    for (int i = 0; i < 100000; i++)
        silr_buf_putc(&json, '[');
    header_refused(json.data, 0, "nested deeper");
    silr_buf_reset(&json);
    for (int i = 0; i < 100000; i++) /* 100,000 empty entries */
        silr_buf_printf(&json, "%s\"%d\":{}", i ? "," : "{", i);
    silr_buf_putc(&json, '}');
    header_refused(json.data, 0, "no dtype");
    silr_buf_reset(&json);
    for (int i = 0; i < 70000; i++) /* right ones, more than a model has */
        silr_buf_printf(&json, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                        i ? "," : "{", i, i, i + 1);
    silr_buf_putc(&json, '}');
    header_refused(json.data, 70000, "more than 65536 tensors");
    silr_buf_clear(&json);
}

static void cut_anywhere_it_is_refused(void **state)
{
    silr_safetensors *s;
    void *block;
    (void)state;

    safetensors_file(&file, "{" T("a", "F32", "2", 0, 8) "," T("b", "F16", "1", 8, 10) "}", 10);
    for (size_t whole = file.len, len = 0; len < whole; len++) {
        file.len = len;
        assert_int_equal(parse(&s, &block), SILR_EINPUT);
        free(block);
        file.len = whole;
    }
    assert_int_equal(parse(&s, &block), SILR_OK);
    silr_safetensors_free(s);
    free(block);
}

static void no_memory(void **state)
{
    silr_safetensors *s;
    uint64_t n = 1;
    (void)state;

    silr_mem_install();
    safetensors_file(&file, "{" T("a", "F32", "2", 0, 8) "," T("b", "F16", "1", 8, 10) "}", 10);
    for (;; n++) {
        silr_mem_fail_at(n, false);
        silr_status st = silr_safetensors_parse(&s, file.data, file.len, "t", &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_null(s);
    }
    assert_true(n > 10);
    silr_safetensors_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, empty, empty)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_types_are_read),         TEST(what_is_no_safetensors_is_refused),
        TEST(wild_shapes_are_refused),    TEST(wild_places_are_refused),
        TEST(wild_names_are_refused),     TEST(wild_headers_are_refused),
        TEST(cut_anywhere_it_is_refused), TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
