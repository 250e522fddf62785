/* test_policy.c - when a request is repeated, after how long, and how many are sent at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <math.h>

static void fates(void **state)
{
    static const struct {
        int status;
        const char *code;
        silr_fate first, later; /* while nobody has been answered, and afterwards */
    } cases[] = {
        {200, "", SILR_FATE_ANSWER, SILR_FATE_ANSWER},
        {429, "", SILR_FATE_THROTTLE, SILR_FATE_THROTTLE},
        {429, "rate_limit_exceeded", SILR_FATE_THROTTLE, SILR_FATE_THROTTLE},
        {429, NULL, SILR_FATE_THROTTLE, SILR_FATE_THROTTLE},
        {503, "", SILR_FATE_THROTTLE, SILR_FATE_THROTTLE},
        {529, "", SILR_FATE_THROTTLE, SILR_FATE_THROTTLE}, /* "overloaded" of some */
        {429, "insufficient_quota", SILR_FATE_STOP, SILR_FATE_STOP},
        {429, "billing_hard_limit_reached", SILR_FATE_STOP, SILR_FATE_STOP},
        {402, "", SILR_FATE_STOP, SILR_FATE_STOP},
        /* With others answered it is not the key: a gateway of several, a moderated text. */
        {401, "", SILR_FATE_STOP, SILR_FATE_RETRY},
        {403, "", SILR_FATE_STOP, SILR_FATE_RETRY},
        {404, "", SILR_FATE_STOP, SILR_FATE_RETRY},
        {405, "", SILR_FATE_STOP, SILR_FATE_RETRY},
        {500, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {502, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {504, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {520, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {408, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {409, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {425, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {301, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {307, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {204, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {0, "", SILR_FATE_RETRY, SILR_FATE_RETRY},
        {400, "", SILR_FATE_GIVE_UP, SILR_FATE_GIVE_UP},
        {413, "", SILR_FATE_GIVE_UP, SILR_FATE_GIVE_UP},
        {422, "", SILR_FATE_GIVE_UP, SILR_FATE_GIVE_UP},
        {451, "", SILR_FATE_GIVE_UP, SILR_FATE_GIVE_UP},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_fate first = silr_fate_of(cases[i].status, cases[i].code, false);
        silr_fate later = silr_fate_of(cases[i].status, cases[i].code, true);
        if (first != cases[i].first || later != cases[i].later)
            fail_msg("%d %s: %d, later %d", cases[i].status, cases[i].code, first, later);
    }
}

/* Doubles up to 64 s, all of it jitter but for a twentieth of a second; never earlier than told. */
static void waits_have_bounds(void **state)
{
    silr_rng rng;
    double sum = 0;
    (void)state;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 0, 0);
    for (int attempt = 1; attempt < 30; attempt++) {
        double most = 0.5 * exp2(attempt < 8 ? attempt - 1 : 7);
        assert_true(silr_backoff(attempt, 0, -1) == 0.05);
        for (int i = 0; i < 1000; i++) {
            double jitter = silr_rng_double(&rng), w = silr_backoff(attempt, jitter, (double)NAN);
            assert_true(w >= 0.05 && w <= 0.05 + most);
            sum += attempt == 8 ? w / 1000 : 0;
        }
    }
    assert_true(sum > 28 && sum < 36); /* half of 64 s on average */
    for (double told = 0; told < 1e6; told = told * 3 + 0.1) {
        double soon = silr_backoff(1, 0, told), late = silr_backoff(1, 0.999, told);
        assert_true(soon >= fmin(told, 600) && late >= soon);
        assert_true(late <= fmin(told, 600) + 5);
    }
    assert_true(silr_backoff(5, 0.5, 0) < 0.5); /* "now" is now */
}

/* A server that answers `limit` requests a round trip and sends the others away with 429. */
static double play(silr_window *w, int rounds, double limit)
{
    double sum = 0;

    for (int i = 0; i < rounds; i++) {
        int sent = (int)w->size;
        for (int k = 0; k < sent; k++) {
            if (k < (int)limit)
                silr_window_good(w);
            else
                silr_window_bad(w, i, 0.9);
        }
        assert_true(w->size >= 1 && w->size <= w->most);
        sum += sent < limit ? sent : limit;
    }
    return sum / rounds;
}

static void finds_what_the_server_bears(void **state)
{
    silr_window w;
    (void)state;

    silr_window_init(&w, 2);
    assert_true(w.size == 2);
    silr_window_init(&w, 64);
    assert_true(w.size == 4);
    play(&w, 5, 1000);
    assert_true(w.size == 64); /* 4, 8, 16, 32, 64: doubles each round trip */

    for (double limit = 1; limit <= 64; limit *= 2) {
        silr_window_init(&w, 64);
        play(&w, 50, limit);
        double used = play(&w, 400, limit);
        if (used < 0.7 * limit)
            fail_msg("of %g a round trip %g are used", limit, used);
        assert_true(w.size <= 2 * limit + 2);
    }
}

/* What all of a window meet at the same time counts once; then it grows by one a round trip. */
static void halves_once_a_round_trip(void **state)
{
    silr_window w;
    (void)state;

    silr_window_init(&w, 64);
    w.size = 64;
    for (int i = 0; i < 64; i++)
        silr_window_bad(&w, 100, 1);
    assert_true(w.size == 32);
    for (int i = 0; i < 32; i++)
        silr_window_good(&w);
    assert_true(w.size > 32.9 && w.size < 33);
    for (double t = 200; t < 300; t += 2)
        silr_window_bad(&w, t, 1);
    assert_true(w.size == 1); /* never none */
}

/* One failure of five, of whatever requests: there is no less to gain by sending fewer. */
static void chance_does_not_slow_down(void **state)
{
    silr_window w;
    silr_rng rng;
    double least = 64;
    (void)state;

    silr_rng_init(&rng, 1, SILR_RNG_TEST, 0, 0);
    silr_window_init(&w, 64);
    for (int i = 0; i < 20000; i++) {
        if (silr_rng_double(&rng) < 0.2)
            silr_window_poor(&w, i * 0.01, 0.2);
        else
            silr_window_good(&w);
        if (i > 200)
            least = fmin(least, w.size);
    }
    assert_true(least > 32);
    for (int i = 0; i < 2000; i++) /* all of them: as good as a 429 */
        silr_window_poor(&w, 1000 + i * 0.01, 0.2);
    assert_true(w.size == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fates),
        cmocka_unit_test(waits_have_bounds),
        cmocka_unit_test(finds_what_the_server_bears),
        cmocka_unit_test(halves_once_a_round_trip),
        cmocka_unit_test(chance_does_not_slow_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
