/* test_safetensors_write.c - what is written is read back the same, rounded as its type rounds, and a
 * file that could not be written whole is not there. */
#include "formats/safetensors.h"
#include "formats/safetensors_write.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/silr-write-XXXXXX", path[64];
static silr_error err;

static void ok(silr_status st)
{
    if (st != SILR_OK)
        fail_msg("%s", err.text);
}

static const silr_tensor *found(const silr_safetensors *s, const char *name)
{
    for (size_t i = 0; i < silr_safetensors_count(s); i++)
        if (strcmp(silr_safetensors_entry(s, i)->tensor.name, name) == 0)
            return &silr_safetensors_entry(s, i)->tensor;
    fail_msg("no tensor %s", name);
    return NULL;
}

/* --- what is written ---------------------------------------------------------------------------- */

static void read_back(void **state)
{
    static const float a[6] = {1, -2, 3.5F, 1e-30F, -0.0F, 3e38F}, b[3] = {1, 2, 3}, c[2] = {0.25F, -8};
    const silr_saved_tensor t[] = {
        {.name = "odd", .type = SILR_TYPE_F16, .n_dims = 1, .dim = {3}, .values = b},
        {.name = "a \"quoted\" name", .type = SILR_TYPE_F32, .n_dims = 3, .dim = {1, 2, 3}, .values = a},
        {.name = "b", .type = SILR_TYPE_BF16, .n_dims = 2, .dim = {2, 1}, .values = c},
    };
    const silr_saved_note notes[] = {{"format", "pt"}, {"by", "\"me\"\n\xc3\xa9"}};
    const silr_tensor *r;
    silr_safetensors *s;
    silr_buf file = {0};
    float back[6];
    uint64_t header;
    (void)state;

    ok(silr_safetensors_write(path, t, 3, notes, 2, NULL, NULL, &err));
    ok(silr_safetensors_open(&s, path, &err));
    assert_int_equal(silr_safetensors_count(s), 3);
    r = found(s, "a \"quoted\" name");
    assert_true(r->type == SILR_TYPE_F32 && r->n_dims == 3 && r->dim[1] == 2 && r->dim[2] == 3);
    silr_tensor_rows(r, 0, 2, back);
    assert_memory_equal(back, a, sizeof a);
    assert_true((uintptr_t)r->data % 8 == 0); /* the map begins at a page: the first lies at 8 n */
    r = found(s, "odd");
    assert_true(r->type == SILR_TYPE_F16 && r->dim[0] == 3);
    silr_tensor_rows(r, 0, 1, back);
    assert_memory_equal(back, b, sizeof b);
    r = found(s, "b");
    assert_true(r->type == SILR_TYPE_BF16 && r->dim[0] == 2 && r->dim[1] == 1);
    silr_tensor_rows(r, 0, 2, back);
    assert_memory_equal(back, c, sizeof c);
    silr_safetensors_free(s);

    ok(silr_file_read(&file, path, 4096, &err));
    memcpy(&header, file.data, sizeof header);
    assert_int_equal(header % 8, 0);
    assert_non_null(strstr(file.data + 8, "{\"__metadata__\":{\"format\":\"pt\",\"by\":\"\\\"me\\\"\\n\xc3\xa9\"},"));
    silr_buf_clear(&file);
}

/* Writes n values as `type` and gives the 16 bits that each became. */
static void write_16(silr_type type, const float *x, size_t n, uint16_t *bits)
{
    const silr_saved_tensor t = {.name = "x", .type = type, .n_dims = 1, .dim = {n}, .values = x};
    silr_safetensors *s;

    ok(silr_safetensors_write(path, &t, 1, NULL, 0, NULL, NULL, &err));
    ok(silr_safetensors_open(&s, path, &err));
    memcpy(bits, silr_safetensors_entry(s, 0)->tensor.data, n * sizeof *bits);
    silr_safetensors_free(s);
}

/* Every value of a 16-bit type becomes itself; what lies between two goes to the nearer, and the middle
 * to the one whose last bit is 0. Above the largest: infinity. */
static void rounds_to_nearest_even(void **state)
{
    static const silr_type types[] = {SILR_TYPE_F16, SILR_TYPE_BF16};
    static uint16_t all[65536], bits[65536];
    static float x[65536], y[65536];
    (void)state;

    for (int k = 0; k < 2; k++) {
        const uint16_t infinite = k == 0 ? 0x7c00 : 0x7f80;
        for (unsigned h = 0; h < 65536; h++)
            all[h] = (uint16_t)h;
        silr_dequantise(types[k], all, 65536, x);
        write_16(types[k], x, 65536, bits);
        for (unsigned h = 0; h < 65536; h++)
            assert_true(bits[h] == h || ((h & 0x7fff) > infinite && (bits[h] & 0x7fff) > infinite));
        for (int shift = -1; shift <= 1; shift++) {
            memset(y, 0, sizeof y);
            for (unsigned h = 0; h + 1 < infinite; h++) {
                const float middle = (float)(((double)x[h] + (double)x[h + 1]) / 2);
                y[h] = shift == 0 ? middle : nextafterf(middle, shift < 0 ? -INFINITY : INFINITY);
            }
            write_16(types[k], y, 65536, bits);
            for (unsigned h = 0; h + 1U < infinite; h++)
                assert_int_equal(bits[h], shift < 0 ? h : shift > 0 ? h + 1 : h + (h & 1));
        }
    }
    y[0] = 65519.996F;
    y[1] = 65520;
    write_16(SILR_TYPE_F16, y, 2, bits);
    assert_true(bits[0] == 0x7bff && bits[1] == 0x7c00);
}

/* --- by rows ------------------------------------------------------------------------------------ */

typedef struct {
    size_t tensor, row, calls, most, fail_at;
} asked;

static silr_status give(void *ctx, size_t i, size_t first, size_t n, float *out, silr_error *e)
{
    asked *a = ctx;

    if (i != a->tensor)
        a->row = 0;
    a->tensor = i;
    assert_int_equal(first, a->row);
    a->row += n;
    a->most = n > a->most ? n : a->most;
    if (++a->calls == a->fail_at)
        return silr_fail(e, SILR_ECANCEL, "enough");
    for (size_t k = 0; k < n * 1000; k++)
        out[k] = (float)((first * 1000 + k + i) % 4096);
    return SILR_OK;
}

static void asks_for_rows(void **state)
{
    const silr_saved_tensor t[] = {
        {.name = "half", .type = SILR_TYPE_F16, .n_dims = 2, .dim = {300, 1000}},
        {.name = "whole", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {500, 1000}},
    };
    asked a = {0};
    silr_safetensors *s;
    float *row = malloc(1000 * sizeof *row);
    (void)state;

    assert_non_null(row);
    ok(silr_safetensors_write(path, t, 2, NULL, 0, give, &a, &err));
    assert_true(a.calls > 2 && a.most < 300); /* never all of one */
    ok(silr_safetensors_open(&s, path, &err));
    for (size_t i = 0; i < 2; i++)
        for (size_t r = 0; r < t[i].dim[0]; r += 37) {
            silr_tensor_rows(found(s, t[i].name), r, 1, row);
            for (size_t k = 0; k < 1000; k++) {
                const float want = (float)((r * 1000 + k + i) % 4096);
                assert_true(fabsf(row[k] - want) <= (i == 0 && want > 2048 ? 1 : 0));
            }
        }
    silr_safetensors_free(s);
    free(row);
}

/* --- what is not written ------------------------------------------------------------------------- */

static void nothing_half_written(void **state)
{
    const float x[2] = {1, 2};
    const silr_saved_tensor small = {.name = "x", .type = SILR_TYPE_F32, .n_dims = 1, .dim = {2}, .values = x};
    const silr_saved_tensor large = {.name = "y", .type = SILR_TYPE_F32, .n_dims = 2, .dim = {500, 1000}};
    const struct rlimit limited = {1 << 20, RLIM_INFINITY};
    struct rlimit before;
    silr_buf was = {0}, now = {0};
    asked a = {.fail_at = 3};
    char part[80];
    (void)state;

    snprintf(part, sizeof part, "%s.part", path);
    ok(silr_safetensors_write(path, &small, 1, NULL, 0, NULL, NULL, &err));
    ok(silr_file_read(&was, path, 4096, &err));

    assert_int_equal(silr_safetensors_write(path, &large, 1, NULL, 0, give, &a, &err), SILR_ECANCEL);
    assert_string_equal(err.text, "enough");

    signal(SIGXFSZ, SIG_IGN); /* as on a full disk: write fails */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
    a = (asked){0};
    assert_int_equal(silr_safetensors_write(path, &large, 1, NULL, 0, give, &a, &err), SILR_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(err.text, path));

    assert_int_equal(silr_safetensors_write("/nowhere/x", &small, 1, NULL, 0, NULL, NULL, &err), SILR_EIO);
    ok(silr_file_read(&now, path, 4096, &err));
    assert_int_equal(was.len, now.len);
    assert_memory_equal(was.data, now.data, was.len);
    assert_false(silr_file_exists(part));
    silr_buf_clear(&was);
    silr_buf_clear(&now);
}

static void no_memory(void **state)
{
    const float x[2] = {1, 2};
    const silr_saved_tensor t = {.name = "x", .type = SILR_TYPE_F32, .n_dims = 1, .dim = {2}, .values = x};
    uint64_t n = 1;
    (void)state;

    for (;; n++) {
        silr_status st;
        silr_mem_fail_at(n, false);
        st = silr_safetensors_write(path, &t, 1, NULL, 0, NULL, NULL, NULL);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
    }
    assert_true(n > 3);
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.safetensors", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails when something else was left in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),      cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(asks_for_rows),  cmocka_unit_test(nothing_half_written),
        cmocka_unit_test(no_memory),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
