/* test_headers.c - what headers of servers mean, and that no key stays in what they send back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1700000000 }; /* Tue, 14 Nov 2023 22:13:20 GMT */

static void near(const char *what, double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) < 1e-9))
        fail_msg("\"%s\" is %g, not %g", what, got, want);
}

static void retry_after_in_all_its_forms(void **state)
{
    static const struct {
        const char *value;
        double seconds;
    } cases[] = {
        {"7", 7},
        {" 7 \r\n", 7},
        {"\t0", 0},
        {"0.5", 0.5},
        {"1e2", 100},
        {"-3", 0}, /* never negative */
        {"Tue, 14 Nov 2023 22:13:50 GMT", 30},
        {" Tue, 14 Nov 2023 22:13:50 GMT\r\n", 30},
        {"Tuesday, 14-Nov-23 22:14:20 GMT", 60}, /* RFC 850 */
        {"Tue Nov 14 22:13:30 2023", 10},        /* asctime */
        {"Tue, 14 Nov 2023 22:13:10 GMT", 0},    /* gone by */
        {"", NAN},
        {" ", NAN},
        {"soon", NAN},
        {"7 seconds", NAN},
        {"nan", NAN},
        {"inf", NAN},
        {"1e999", NAN},
        {"0000000000000000000000000000000000000000000000000000000000000001", NAN}, /* too long */
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        near(cases[i].value, silr_http_retry_after(cases[i].value, strlen(cases[i].value), NOW),
             cases[i].seconds);
    near("a NUL", silr_http_retry_after("7\0" "0", 3, NOW), NAN);
}

static void durations(void **state)
{
    static const struct {
        const char *value;
        double seconds;
    } cases[] = {
        {"1s", 1},          {"6m0s", 360},      {"120ms", 0.12}, {"1h2m", 3720},
        {"1h2m3s", 3723},   {"1.5s", 1.5},      {"12us", 12e-6}, {"1d", 86400},
        {"0", 0},           {"0.5", 0.5},       {"17", 17},      {" 2s\r\n", 2},
        {"8.64s", 8.64},    {"2m59.56s", 179.56}, {"-1", NAN},   {"-1s", NAN},
        {"s", NAN},         {"1", 1},           {"1x", NAN},     {"1.2.3s", NAN},
        {"", NAN},          {"1s2", NAN},       {"soon", NAN},   {"..s", NAN},
        {"99999999999999999999999999999999999999999999999999999999999999s", NAN},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        near(cases[i].value, silr_http_duration(cases[i].value, strlen(cases[i].value)),
             cases[i].seconds);
}

/* In a block of its own size, so that the address sanitizer sees a step too far. */
static void redacts(const char *body, const char *secret, const char *want)
{
    size_t len = strlen(body), n;
    char *copy = malloc(len + 1);

    assert_non_null(copy);
    memcpy(copy, body, len + 1);
    n = silr_http_redact(copy, len, secret);
    if (n != strlen(want) || strcmp(copy, want) != 0)
        fail_msg("\"%s\" became \"%s\", not \"%s\"", body, copy, want);
    free(copy);
}

static void keys_are_taken_out(void **state)
{
    static const char key[] = "sk-Abc+12/34==";
    (void)state;

    redacts("nothing here", key, "nothing here");
    redacts("", key, "");
    redacts("sk-Abc+12/34==", key, "[key]");
    redacts("a sk-Abc+12/34== b sk-Abc+12/34==", key, "a [key] b [key]");
    redacts("sk-sk-Abc+12/34==", key, "sk-[key]");
    redacts("sk-Abc+12/34=sk-Abc+12/34==", key, "sk-Abc+12/34=[key]");
    redacts("sk-abc+12/34==", key, "sk-abc+12/34=="); /* another */
    redacts("0123", "0123", "[key");                  /* never longer than it was */
    redacts("abc", "abc", "abc");                     /* three letters match anything */
    redacts("abc", NULL, "abc");
    redacts("abc", "", "abc");
}

/* Encoders of JSON write a slash as \/ and a plus as \u002B, at their pleasure: a reader of the
 * answer would find the key whole. */
static void escaped_keys_are_taken_out(void **state)
{
    static const char key[] = "sk-Abc+12/34==";
    (void)state;

    redacts("{\"e\":\"sk-Abc+12\\/34==\"}", key, "{\"e\":\"[key]\"}");
    redacts("{\"e\":\"sk-Abc\\u002b12/34\\u003D=\"}", key, "{\"e\":\"[key]\"}");
    redacts("\\u0073k-Abc+12/34==", key, "[key]");
    redacts("?key=sk-Abc%2B12%2f34%3D%3D&x", key, "?key=[key]&x");
    redacts("a\\\\b\\u00zz %zz \\", key, "a\\\\b\\u00zz %zz \\");
    redacts("say \\\"k'y\\\"", "\"k'y\"", "say [key]");
}

static void a_key_cut_off_is_taken_out(void **state)
{
    static const char key[] = "sk-Abc+12/34==";
    (void)state;

    redacts("Your key: sk-Abc+12/3", key, "Your key: [key]");
    redacts("Your key: sk-Abc\\u002b1", key, "Your key: [key]");
    redacts("Your key: sk-A", key, "Your key: sk-A"); /* so much is no secret */
}

/* Whatever bytes surround and escape it, the key is not to be found afterwards. */
static void no_key_survives(void **state)
{
    static const char key[] = "k\\/\"%1", letters[] = "k\\/\"%1u0fx";
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        char body[64];
        size_t len = silr_rng_below(&rng, 40), at;
        for (size_t k = 0; k < len; k++)
            body[k] = letters[silr_rng_below(&rng, sizeof letters - 1)];
        body[len] = '\0';
        if (i % 2 && len + strlen(key) < sizeof body) {
            at = silr_rng_below(&rng, len + 1);
            memmove(body + at + strlen(key), body + at, len - at + 1);
            memcpy(body + at, key, strlen(key));
            len += strlen(key);
        }
        at = silr_http_redact(body, len, key);
        assert_true(at <= len);
        assert_int_equal(strlen(body), at);
        assert_null(strstr(body, key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after_in_all_its_forms), cmocka_unit_test(durations),
        cmocka_unit_test(keys_are_taken_out),           cmocka_unit_test(escaped_keys_are_taken_out),
        cmocka_unit_test(a_key_cut_off_is_taken_out),   cmocka_unit_test(no_key_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
