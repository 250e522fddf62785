/* test_nf4.c - matrices in 4 bits: bitsandbytes' own codes, and values that are book times scale. */
#include "formats/nf4.h"

#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static silr_tensor matrix(const void *data, silr_type type, size_t rows, size_t columns)
{
    return (silr_tensor){.name = "w", .type = type, .n_dims = 2, .dim = {rows, columns}, .data = data,
                         .bytes = rows * columns / silr_type_of(type)->block * silr_type_of(type)->bytes};
}

static silr_nf4 quantised(const silr_tensor *t)
{
    silr_nf4 q;
    silr_error err;

    if (silr_nf4_quantise(&q, t, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return q;
}

static float *values_of(const silr_nf4 *q)
{
    float *out = malloc(q->n * sizeof *out);

    assert_non_null(out);
    silr_nf4_values(q, 0, q->n, out);
    return out;
}

/* FNV-1a: what the recorded bytes are compared by. */
static uint64_t print_of(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

/* --- against bitsandbytes ----------------------------------------------------------------------- */

static uint32_t next(uint32_t *s)
{
    return (*s = *s * 1664525 + 1013904223) >> 8;
}

/* Multiples of 1/1024, each block within a range of its own: their absmaxes have an exact sum, so the
 * offset does not hang on an order of adding. */
static float *made(size_t n)
{
    float *x = malloc(n * sizeof *x);
    uint32_t s = 12345;
    int32_t most = 0;

    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        if (i % 64 == 0)
            most = (int32_t)(next(&s) % 1024);
        x[i] = (float)((int32_t)(next(&s) % (uint32_t)(2 * most + 1)) - most) / 1024;
    }
    return x;
}

/* Recorded with bitsandbytes 0.50.2 from made(rows * columns). The last is large enough to have scales
 * that the grid puts beside the nearest number; the first two end in a short block. */
static void recorded_codes(void **state)
{
    static const struct {
        size_t rows, columns;
        uint64_t nibbles, scales;
        float offset, last_top;
        uint64_t values;
    } want[] = {
        {5, 30, 0x19869b789e37f2f7, 0xf927fd1be41c48e8, 0x1.4f5556p-3F, 0x1.c95554p-4F, 0x1399a3be47a94b8f},
        {1, 33, 0xad66b44bfc18a631, 0xaf63bd4c8601b7df, 0x1.12p-2F, 0, 0x2545a9eef4123f65},
        {300, 64, 0x38dc343e0a20a9d7, 0x3d6d79517ff80e12, 0x1.fb674p-2F, 0x1.f798cp-2F, 0x65ae2f43ca5a3332},
        {1000, 200, 0x5c7fe91396ec7859, 0x3a600c23e0f56548, 0x1.f72364p-2F, 0x1.00ee4ep-1F, 0xbdbc4cdf8217b1f2},
    };
    (void)state;

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        float *x = made(want[i].rows * want[i].columns), *back;
        const silr_tensor t = matrix(x, SILR_TYPE_F32, want[i].rows, want[i].columns);
        silr_nf4 q = quantised(&t);
        back = values_of(&q);
        assert_true(print_of(q.nibbles, (q.n + 1) / 2) == want[i].nibbles);
        assert_true(print_of(q.scale, q.blocks) == want[i].scales);
        assert_true(q.offset == want[i].offset);
        assert_true(q.top[(q.blocks - 1) / SILR_NF4_SCALES] == want[i].last_top);
        assert_true(print_of(back, q.n * sizeof *back) == want[i].values);
        silr_nf4_clear(&q);
        free(back);
        free(x);
    }
}

static float half(uint16_t h)
{
    float f;

    silr_dequantise(SILR_TYPE_F16, &h, 1, &f);
    return f;
}

static float *input_of(const json_t *c, size_t n)
{
    const json_t *list = json_object_get(c, "input"), *bits = json_object_get(c, "input_f16_bits");
    float *x = malloc(n * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = json_is_array(list) ? (float)json_number_value(json_array_get(list, i))
                                   : half((uint16_t)json_integer_value(json_array_get(bits, i)));
    return x;
}

/* a is w, or, with bf16, w is a rounded to 8 bits of fraction. */
static void same(float a, const json_t *want, bool bf16)
{
    const float w = (float)json_number_value(want);
    uint32_t bits;

    memcpy(&bits, &a, sizeof bits);
    if (bf16)
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&a, &bits, sizeof bits);
    if (memcmp(&a, &w, sizeof a) != 0 && !(a == 0 && w == 0))
        fail_msg("%.9g, not %.9g", (double)a, (double)w);
}

static void check_case(const json_t *c)
{
    const json_t *shape = json_object_get(c, "shape"), *packed = json_object_get(c, "packed");
    const json_t *scales = json_object_get(c, "absmax_q8"), *tops = json_object_get(c, "absmax2");
    const json_t *restored = json_object_get(c, "absmax_restored"), *first = json_object_get(c, "dequant_first_of_block");
    const json_t *values = json_object_get(c, "dequant");
    const bool either_way = strcmp(json_string_value(json_object_get(c, "name")), "midpoints") == 0;
    const bool bf16 = strcmp(json_string_value(json_object_get(c, "dequant_dtype")), "torch.bfloat16") == 0;
    const size_t rows = (size_t)json_integer_value(json_array_get(shape, 0));
    const size_t columns = (size_t)json_integer_value(json_array_get(shape, 1));
    float *x = input_of(c, rows * columns), *back;
    const silr_tensor t = matrix(x, SILR_TYPE_F32, rows, columns);
    silr_nf4 q = quantised(&t);

    for (size_t i = 0; i < json_array_size(packed) && !either_way; i++)
        assert_int_equal(q.nibbles[i], json_integer_value(json_array_get(packed, i)));
    if (!json_is_true(json_object_get(c, "double_quant"))) { /* scales as they were: the book alone */
        const json_t *absmax = json_object_get(c, "absmax");
        for (size_t i = 0; i < q.n && !either_way; i++)
            same(silr_nf4_book[q.nibbles[i / 2] >> (i % 2 ? 0 : 4) & 15] *
                     (float)json_number_value(json_array_get(absmax, i / 64)),
                 json_array_get(values, i), bf16);
    } else {
        back = values_of(&q);
        same(q.offset, json_object_get(c, "offset"), false);
        for (size_t i = 0; i < json_array_size(tops); i++)
            same(q.top[i], json_array_get(tops, i), false);
        for (size_t b = 0; b < q.blocks; b++) {
            assert_int_equal(q.scale[b], json_integer_value(json_array_get(scales, b)));
            same(silr_nf4_scale(&q, b), json_array_get(restored, b), false);
            if (first)
                same(back[b * 64], json_array_get(first, b), false);
        }
        for (size_t i = 0; i < json_array_size(values); i++)
            same(back[i], json_array_get(values, i), bf16);
        free(back);
    }
    silr_nf4_clear(&q);
    free(x);
}

/* All recorded cases, where the shared files are at hand. */
static void all_recorded_cases(void **state)
{
    const char *shared = getenv("SILR_SHARED");
    const float one = 1;
    const silr_tensor t = matrix(&one, SILR_TYPE_F32, 1, 1);
    char path[4096];
    json_t *root, *c;
    silr_nf4 q;
    size_t i;
    (void)state;

    snprintf(path, sizeof path, "%s/golden/nf4.json", shared ? shared : SOURCE_ROOT "/../shared");
    if (!(root = json_load_file(path, 0, NULL))) {
        print_message("skipped: no golden/nf4.json in $SILR_SHARED or ../shared\n");
        skip();
    }
    q = quantised(&t);
    for (i = 0; i < 16; i++)
        same(silr_nf4_book[i], json_array_get(json_object_get(root, "codebook"), i), false);
    for (i = 0; i < 256; i++)
        same(q.map[i], json_array_get(json_object_get(root, "code8"), i), false);
    silr_nf4_clear(&q);
    assert_int_equal(json_array_size(json_object_get(root, "cases")), 9);
    json_array_foreach(json_object_get(root, "cases"), i, c)
        check_case(c);
    json_decref(root);
}

/* --- what it means ------------------------------------------------------------------------------- */

/* A block whose absmax is 1 holds the scaled values themselves: each becomes the nearest of the book's,
 * the middle of two the lower one. One block: the offset is its absmax, and comes back exactly. */
static void nearest_of_the_book(void **state)
{
    float x[64] = {1, -1}, back[64];
    silr_tensor t = matrix(x, SILR_TYPE_F32, 1, 64);
    silr_nf4 q;
    (void)state;

    for (size_t j = 0; j < 15; j++) {
        const float middle = (silr_nf4_book[j] + silr_nf4_book[j + 1]) / 2;
        x[4 + 4 * j] = silr_nf4_book[j];
        x[5 + 4 * j] = middle;
        x[6 + 4 * j] = nextafterf(middle, 2);
        x[7 + 4 * j] = nextafterf(middle, -2);
    }
    q = quantised(&t);
    silr_nf4_values(&q, 0, 64, back);
    assert_true(back[0] == 1 && back[1] == -1 && back[2] == 0);
    for (size_t j = 0; j < 15; j++) {
        assert_true(back[4 + 4 * j] == silr_nf4_book[j]);
        assert_true(back[5 + 4 * j] == silr_nf4_book[j]);
        assert_true(back[6 + 4 * j] == silr_nf4_book[j + 1]);
        assert_true(back[7 + 4 * j] == silr_nf4_book[j]);
    }
    silr_nf4_clear(&q);
}

/* Values come out the same whatever range of them is asked for: blocks span rows, bytes span values. */
static void any_range(void **state)
{
    enum { N = 5 * 77 };
    float *x = made(N), *whole, part[N];
    const silr_tensor t = matrix(x, SILR_TYPE_F32, 5, 77);
    silr_nf4 q = quantised(&t);
    (void)state;

    whole = values_of(&q);
    for (size_t from = 0; from < N; from += 7)
        for (size_t n = 0; n <= N - from; n += 13) {
            silr_nf4_values(&q, from, n, part);
            assert_memory_equal(part, whole + from, n * sizeof *part);
        }
    silr_nf4_clear(&q);
    free(whole);
    free(x);
}

static void assert_same(const silr_nf4 *a, const silr_nf4 *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->nibbles, b->nibbles, (a->n + 1) / 2);
    assert_memory_equal(a->scale, b->scale, a->blocks);
    assert_memory_equal(a->top, b->top, (a->blocks + 255) / 256 * sizeof *a->top);
    assert_memory_equal(&a->offset, &b->offset, sizeof a->offset);
}

static void any_number_of_threads(void **state)
{
    enum { ROWS = 999, COLUMNS = 130 };
    float *x = made(ROWS * COLUMNS);
    const silr_tensor t = matrix(x, SILR_TYPE_F32, ROWS, COLUMNS);
    const int before = omp_get_max_threads();
    silr_nf4 one, more;
    (void)state;

    omp_set_num_threads(1);
    one = quantised(&t);
    for (int threads = 2; threads <= 5; threads++) {
        omp_set_num_threads(threads);
        more = quantised(&t);
        assert_same(&one, &more);
        silr_nf4_clear(&more);
    }
    omp_set_num_threads(before);
    silr_nf4_clear(&one);
    free(x);
}

/* A base that is quantised otherwise is read through its floats. */
static void from_other_types(void **state)
{
    enum { ROWS = 70, COLUMNS = 256 };
    static const silr_type types[] = {SILR_TYPE_F16, SILR_TYPE_BF16, SILR_TYPE_Q8_0, SILR_TYPE_Q4_1, SILR_TYPE_Q6_K};
    float *x = malloc(ROWS * COLUMNS * sizeof *x);
    (void)state;

    assert_non_null(x);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        const size_t bytes = ROWS * COLUMNS / silr_type_of(types[k])->block * silr_type_of(types[k])->bytes;
        uint8_t *filed = malloc(bytes);
        uint32_t s = 7;
        assert_non_null(filed);
        for (size_t i = 0; i < bytes; i++)
            filed[i] = (uint8_t)(next(&s) & 0x3b); /* no half or float of it is infinite */
        const silr_tensor t = matrix(filed, types[k], ROWS, COLUMNS), f = matrix(x, SILR_TYPE_F32, ROWS, COLUMNS);
        silr_tensor_rows(&t, 0, ROWS, x);
        silr_nf4 a = quantised(&t), b = quantised(&f);
        assert_same(&a, &b);
        silr_nf4_clear(&a);
        silr_nf4_clear(&b);
        free(filed);
    }
    free(x);
}

static void half_a_byte_and_a_bit(void **state)
{
    enum { N = 64 * 4096 };
    float *x = made(N);
    const silr_tensor t = matrix(x, SILR_TYPE_F32, 4096, 64);
    silr_nf4 q = quantised(&t);
    (void)state;

    assert_int_equal(silr_nf4_bytes(&q), silr_nf4_bytes_of(N));
    assert_true((double)silr_nf4_bytes(&q) / N < 0.517);
    silr_nf4_clear(&q);
    assert_int_equal(silr_nf4_bytes(&q), 0);
    free(x);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void refuses(void **state)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float *x = made(130 * 70);
    silr_tensor t = matrix(x, SILR_TYPE_F32, 130, 70);
    silr_error err;
    silr_nf4 q;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const float was = x[9000];
        x[9000] = bad[i];
        assert_int_equal(silr_nf4_quantise(&q, &t, &err), SILR_EINPUT);
        assert_non_null(strstr(err.text, "w: has values that are infinite or not numbers"));
        assert_null(q.nibbles);
        x[9000] = was;
    }
    t.type = SILR_TYPE_OTHER;
    assert_int_equal(silr_nf4_quantise(&q, &t, &err), SILR_EINPUT);
    free(x);
}

static void no_memory(void **state)
{
    float *x = made(200);
    const silr_tensor t = matrix(x, SILR_TYPE_F32, 2, 100);
    silr_nf4 q;
    uint64_t n = 1;
    (void)state;

    for (;; n++) {
        silr_status st;
        silr_mem_fail_at(n, false);
        st = silr_nf4_quantise(&q, &t, NULL);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_null(q.nibbles);
    }
    assert_true(n > 4);
    silr_nf4_clear(&q);
    free(x);
}

/* Absmaxes that cannot be inverted, all equal, or zero: nothing but finite values comes back. */
static void extremes(void **state)
{
    float x[5 * 64] = {0}, back[5 * 64];
    silr_tensor t = matrix(x, SILR_TYPE_F32, 5, 64);
    silr_nf4 q;
    (void)state;

    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < 5 * 64; i++)
            x[i] = kind == 0 ? 0 : kind == 1 ? 1e-45F : kind == 2 ? 3.4e38F : (i % 64 == 0) * 3e38F / (float)(i + 1);
        q = quantised(&t);
        silr_nf4_values(&q, 0, 5 * 64, back);
        for (size_t i = 0; i < 5 * 64; i++)
            assert_true(isfinite(back[i]) && (kind != 2 || back[i] == x[i]));
        silr_nf4_clear(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_codes),
        cmocka_unit_test(all_recorded_cases),
        cmocka_unit_test(nearest_of_the_book),
        cmocka_unit_test(any_range),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(from_other_types),
        cmocka_unit_test(half_a_byte_and_a_bit),
        cmocka_unit_test(refuses),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(extremes),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
