/* test_dequant.c - each type's floats, to the bit.
 *
 * The blocks are random bytes; what they mean was recorded from the reference implementation of the
 * format (the Python package `gguf` 0.19, in numpy's single-precision order of operations). */
#include "formats/dequant.c" /* not only its door: both builds of the loops are compared */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    silr_type type;
    size_t n;
    uint64_t hash; /* XXH3 of all floats */
    struct {
        size_t at;
        uint32_t bits;
    } some[3];
    const char *hex;
} golden[] = {
    {SILR_TYPE_F32,
     12,
     0xdb8c9cfbaca4f932ULL,
     {{0, 0xb042ee90}, {4, 0x35cd669a}, {11, 0x9f865554}},
     "90ee42b095017b03e781782f3858b11e9a66cd3531f6c6bac03800273d4ede38516ba7833039643efb2d"
     "c6a25455869f"},
    {SILR_TYPE_F16,
     12,
     0x02c9225741521064ULL,
     {{0, 0x00000000}, {4, 0x387fc000}, {11, 0xff800000}},
     "0000008001000180ff030004003c01bcff7bfffb007c00fc"},
    {SILR_TYPE_BF16,
     12,
     0xd7d32dda75194571ULL,
     {{0, 0x45770000}, {4, 0xbefe0000}, {11, 0x00e10000}},
     "774562b5279b9d80febe01846d9196105e1ce5853c82e100"},
    {SILR_TYPE_Q8_0,
     64,
     0x08c1daf5ed36f136ULL,
     {{0, 0x44bd4700}, {21, 0xc507ef80}, {63, 0xc5118000}},
     "e2cec952440fbef1bdeea765ab24864a2973259b66b6e74f69109a7b4a02dc2959bb10e2f63f378e19b1"
     "3bb0bc585e0de46b3b7d3aa50ef13ae5476e4d6f97d3f8abfb03"},
    {SILR_TYPE_Q4_0,
     64,
     0xab535cbc93fe42f9ULL,
     {{0, 0x41ba3000}, {21, 0xc0f84000}, {63, 0x3b39a000}},
     "c243de8fbbaea96c25e81e62d4274c9d4743cd958e5d934fe63dec4a3cfd334ca18e7e6e"},
    {SILR_TYPE_Q4_1,
     64,
     0x7ac93fcf3164385cULL,
     {{0, 0xc2ff3b80}, {21, 0xc2fd7ec0}, {63, 0xc38a26c0}},
     "a2b4b9d79ec07f7469b6d4499a441c0b047a829362cd35436a091eeeaf622bc8fa0b596ac5584fd8"},
    {SILR_TYPE_Q5_0,
     64,
     0x19d47206fb6d75deULL,
     {{0, 0x3cfe7000}, {21, 0x3d29a000}, {63, 0x3b274000}},
     "4d9da852c51c1a4333fd728a4294aec45aed4b62ee72f88e9739d13f5eef213c75038939fe19910c187f"
     "f3a8"},
    {SILR_TYPE_Q5_1,
     64,
     0xc390f021466338e0ULL,
     {{0, 0xc51f0003}, {21, 0xc7787000}, {63, 0x41ce7cdc}},
     "f8e859911c0ae7c9a198aab80091b7b2e14e072c62ba5f0a1e3bb721fad3ace7dea63180af2f56c50361"
     "999914d0bedc"},
    {SILR_TYPE_Q4_K,
     256,
     0xa8266e487c7590a7ULL,
     {{0, 0xc80836f3}, {85, 0xc90c567c}, {255, 0xc88fdaf4}},
     "973a96733b390aaf4996a54f6c6fc63ec753fa825689cdd5ff53a9cd7056de0c24fe5738b1054afd4ddf"
     "899a1363e7e565600ba5af26957e5fb7fb9f4e8e51adffe5f0d7d691bb29c97f0af9d0258d41db767e62"
     "ca57a9163b4952a35ee127d6c1b79ee8e523e5607b5984130e472a972e248a7335364f205337c8f3e31f"
     "ae5d42ed8bea20b68e6d4bc39715256ac3f7"},
    {SILR_TYPE_Q5_K,
     256,
     0xfb1052383edb437dULL,
     {{0, 0x426c7800}, {85, 0x43f92145}, {255, 0x42281b64}},
     "d28a39c8d0fccdb4c7df3b2736cd06505edc4b94de52e159e5886de64979d27a547f27ec42195fab50a6"
     "fc37aa8802af5030ff0d979fe0fd925540c47cc66afbd213ad32f5d14ff216d43ce5971d7a22ff5fd469"
     "b361c8ff442ef14925ada9dd41290a65fa65bd550c54c2307b2c17c6a22de8fe175f3d342ea27d625509"
     "b3f883ce72eec34145981fb67b91b7fbd8b0077ed8e186c930d34a7adb12fb3b395c2fe3652b609305d8"
     "1cbb6049d5a81fe7"},
    {SILR_TYPE_Q6_K,
     256,
     0x75fdbce2bac6a7e1ULL,
     {{0, 0x405c5b40}, {85, 0xbf559c60}, {255, 0xc041efa8}},
     "1c93a3d9fefac3311dbdd7fa702374bf71198ee263721c1822703c6487a06f2b4643d48d6c14695693a8"
     "fa484c184920ae4bfcad896e56a139d01a31f02e37a2a44b255324f5ea2c6ad888472e0e2a70a98ab488"
     "8bb1a5d6fc9341cd87ae17c888904171400437d4a3d28c9f1faad4685e834415770a27d9cc7ed1f66491"
     "ac13c4b6a79323d87c4900bd713e1139c179c9f2c8156acb670d98f70a29e5db6a37c75380b30efe6183"
     "238a3e3ee8976304b5295af3f95388acda3fba0f9000286962c76f8904ed021cbe101ba2c90e038d3297"},
};
enum { GOLDEN = sizeof golden / sizeof *golden };

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void every_type_as_published(void **state)
{
    uint8_t bytes[512];
    float out[256];
    (void)state;

    for (size_t g = 0; g < GOLDEN; g++) {
        const silr_type_info *info = silr_type_of(golden[g].type);
        assert_int_equal(unhex(golden[g].hex, bytes + 1), golden[g].n / info->block * info->bytes);
        silr_dequantise(golden[g].type, bytes + 1, golden[g].n, out); /* at an odd address */
        for (int i = 0; i < 3; i++)
            assert_int_equal(bits_of(out[golden[g].some[i].at]), golden[g].some[i].bits);
        assert_int_equal(silr_hash64(out, golden[g].n * sizeof *out, 0), golden[g].hash);
    }
}

/* A machine without AVX2 gets the same bits. */
static void every_build_of_the_loops_agrees(void **state)
{
    enum { BLOCKS = 64 };
    static uint8_t bytes[BLOCKS * 210];
    static float fast[BLOCKS * 256], plain[BLOCKS * 256];
    silr_rng r;
    (void)state;

    silr_rng_init(&r, 3, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)silr_rng_below(&r, 256);
    for (int type = 0; type < SILR_TYPE_OTHER; type++) {
        size_t n = BLOCKS * silr_type_of((silr_type)type)->block;
        silr_dequantise((silr_type)type, bytes, n, fast);
        convert_plain((silr_type)type, bytes, BLOCKS, plain);
        for (size_t i = 0; i < n; i++) /* of two NaNs added, either may come out */
            assert_true(bits_of(fast[i]) == bits_of(plain[i]) ||
                        (isnan(fast[i]) && isnan(plain[i])));
    }
}

static void every_half_is_its_value(void **state)
{
    (void)state;

    for (uint32_t h = 0; h < 65536; h++) {
        int e = (int)(h >> 10 & 31);
        double m = h & 1023, v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
        float f = half((uint16_t)h);
        if (e == 31 && m > 0)
            assert_true(isnan(f));
        else if (e == 31)
            assert_true(isinf(f) && !signbit(f) == !(h >> 15));
        else
            assert_true((double)f == (h >> 15 ? -v : v) && !signbit(f) == !(h >> 15));
    }
}

static void rows_of_a_matrix(void **state)
{
    static const uint16_t bf16[6] = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0};
    silr_tensor t = {.type = SILR_TYPE_BF16, .n_dims = 2, .dim = {3, 2}, .data = bf16};
    silr_tensor v = {.type = SILR_TYPE_BF16, .n_dims = 1, .dim = {6}, .data = bf16};
    float out[6] = {0};
    (void)state;

    silr_tensor_rows(&t, 1, 2, out);
    assert_true(out[0] == 3 && out[1] == 4 && out[2] == 5 && out[3] == 6 && out[4] == 0);
    silr_tensor_rows(&v, 0, 1, out);
    assert_true(out[0] == 1 && out[5] == 6);
    silr_tensor_rows(&t, 3, 0, out); /* none: nothing is written */
    assert_true(out[0] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_as_published),
        cmocka_unit_test(every_build_of_the_loops_agrees),
        cmocka_unit_test(every_half_is_its_value),
        cmocka_unit_test(rows_of_a_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
