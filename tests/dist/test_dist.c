/* Started by ranks.sh as 1, 2, 3 and 4 ranks. Every rank runs every test: what is right is known from
 * the rank's number alone, so that each rank judges what it received. */
#include "dist/dist.h"
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int rank, size;

/* Any number, of any size between 2^-20 and 2^20: sums depend on their order. */
static double value(int r, size_t i)
{
    const uint64_t h = (i + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(r + 1) * UINT64_C(0xd1342543de82ef95);
    const uint64_t m = h ^ h >> 31;

    return ldexp((double)(int64_t)(m * UINT64_C(0xbf58476d1ce4e5b9)), (int)(m % 40) - 83);
}

/* --- shares ---------------------------------------------------------------------------------------- */

static void shares_are_balanced(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        size_t at = 0;
        for (int r = 0; r < size; r++) {
            size_t first, end;
            silr_dist_share(n, r, &first, &end);
            assert_int_equal(first, at);
            assert_true(end - first == n / (size_t)size || end - first == n / (size_t)size + 1);
            at = end;
        }
        assert_int_equal(at, n);
    }
}

/* A share is at most the mean and one item: the work is done when the heaviest share is. */
static void shares_by_weight(void **state)
{
    uint32_t w[100];
    size_t first[8];
    (void)state;

    for (int ranks = 1; ranks < 8; ranks++)
        for (size_t n = 0; n < 100; n += 9) {
            uint64_t total = 0, most = 0;
            for (size_t i = 0; i < n; i++) {
                w[i] = i % 7 ? (uint32_t)fabs(value(ranks, i)) % 512 : 0;
                total += w[i];
                most = w[i] > most ? w[i] : most;
            }
            silr_dist_share_by(w, n, ranks, first);
            assert_int_equal(first[0], 0);
            assert_int_equal(first[ranks], n);
            for (int r = 0; r < ranks; r++) {
                uint64_t part = 0;
                assert_true(first[r] <= first[r + 1]);
                for (size_t i = first[r]; i < first[r + 1]; i++)
                    part += w[i];
                assert_true(part * (uint64_t)ranks <= total + most * (uint64_t)ranks);
            }
        }
}

/* --- sums ------------------------------------------------------------------------------------------ */

/* Added here in the order of the ranks: every rank must have received just these bits. */
static void sum_doubles_of(size_t n)
{
    double *v = silr_alloc(n + 1, sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = value(rank, i);
    v[n] = 7;
    assert_int_equal(silr_dist_sum(v, n, NULL), SILR_OK);
    for (size_t i = 0; i < n; i++) {
        double sum = value(0, i);
        for (int r = 1; r < size; r++)
            sum += value(r, i);
        assert_memory_equal(&v[i], &sum, sizeof sum);
    }
    assert_true(v[n] == 7); /* nothing is written behind */
    silr_free(v);
}

static void sum_floats_of(size_t n)
{
    float *v = silr_alloc(n + 1, sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)value(rank, i);
    v[n] = 7;
    assert_int_equal(silr_dist_sum_floats(v, n, NULL), SILR_OK);
    for (size_t i = 0; i < n; i++) {
        double sum = (double)(float)value(0, i);
        for (int r = 1; r < size; r++)
            sum += (double)(float)value(r, i);
        if (v[i] != (float)sum)
            fail_msg("rank %d: element %zu of %zu", rank, i, n);
    }
    assert_true(v[n] == 7.0f);
    silr_free(v);
}

/* With pieces of 16 bytes: two doubles a stretch, fewer than there are ranks. */
static void sums_are_in_the_order_of_ranks(void **state)
{
    (void)state;
    for (size_t bytes = 16; bytes <= 4 << 20; bytes = bytes == 16 ? 1000 : bytes * 100) {
        silr_dist_piece(bytes);
        for (size_t n = 0; n < 12; n++) {
            sum_doubles_of(n);
            sum_floats_of(n);
        }
        sum_doubles_of(1001);
        sum_floats_of(1001);
    }
    silr_dist_piece(SIZE_MAX);
}

static void ten_million_floats(void **state)
{
    (void)state;
    sum_floats_of(10000000);
}

static void the_largest_and_nan(void **state)
{
    double v[3] = {rank, -rank, rank == size - 1 ? (double)NAN : 5};
    (void)state;

    assert_int_equal(silr_dist_max(v, 3, NULL), SILR_OK);
    assert_true(v[0] == size - 1 && v[1] == 0 && isnan(v[2]));
}

/* --- bytes ------------------------------------------------------------------------------------------ */

static unsigned char byte_of(int r, size_t i)
{
    return (unsigned char)(i * 7 + i / 251 + (size_t)r * 31);
}

static void broadcasts_of_any_length(void **state)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 1000, 5 << 20};
    (void)state;

    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t n = lengths[k];
        unsigned char *p = silr_calloc(n + 1, 1);
        assert_non_null(p);
        silr_dist_piece(n < 2000 ? 16 : SIZE_MAX);
        for (size_t i = 0; rank == 0 && i < n; i++)
            p[i] = byte_of(3, i);
        assert_int_equal(silr_dist_broadcast(p, n, NULL), SILR_OK);
        for (size_t i = 0; i < n; i++)
            assert_true(p[i] == byte_of(3, i));
        assert_true(p[n] == 0);
        silr_free(p);
    }
    silr_dist_piece(SIZE_MAX);
}

/* Rank r has r * 50 bytes, so rank 0 none. */
static void check_parts(const silr_buf *part, bool there)
{
    for (int r = 0; r < size; r++) {
        assert_int_equal(part[r].len, there ? (size_t)r * 50 : 0);
        for (size_t i = 0; i < part[r].len; i++)
            assert_true((unsigned char)part[r].data[i] == byte_of(r, i));
    }
}

static void gathers_and_scatters_uneven_parts(void **state)
{
    silr_buf here[16] = {0}, everywhere[16] = {0}, own = {0}, back = {0};
    (void)state;

    assert_true(size <= 16);
    silr_dist_piece(16);
    for (size_t i = 0; i < (size_t)rank * 50; i++)
        silr_buf_putc(&own, (char)byte_of(rank, i));
    assert_int_equal(silr_dist_gather(own.data, own.len, here, NULL), SILR_OK);
    check_parts(here, rank == 0);
    assert_int_equal(silr_dist_gather_all(own.data, own.len, everywhere, NULL), SILR_OK);
    check_parts(everywhere, true);
    if (size > 1) {
        assert_int_equal(silr_dist_scatter(here, &back, NULL), SILR_OK);
        assert_int_equal(back.len, own.len);
        assert_true(own.len == 0 || memcmp(back.data, own.data, own.len) == 0);
    }
    for (int r = 0; r < size; r++) {
        silr_buf_clear(&here[r]);
        silr_buf_clear(&everywhere[r]);
    }
    silr_buf_clear(&own);
    silr_buf_clear(&back);
    silr_dist_piece(SIZE_MAX);
}

/* --- agreement --------------------------------------------------------------------------------------- */

/* The ranks of `failing` (bit r) fail, those of `stopping` are interrupted. */
static silr_status agree(unsigned failing, unsigned stopping, silr_error *err)
{
    silr_status mine = SILR_OK;

    *err = (silr_error){0};
    if (failing >> rank & 1)
        mine = silr_fail(err, rank == 1 ? SILR_ENOMEM : SILR_EINPUT, "text %d is broken", rank * 10);
    else if (stopping >> rank & 1)
        mine = silr_fail(err, SILR_ECANCEL, "stopped");
    return silr_dist_agree(mine, err);
}

static void all_end_alike(void **state)
{
    silr_error err;
    (void)state;

    assert_int_equal(agree(0, 0, &err), SILR_OK);
    assert_int_equal(agree(1, 0, &err), SILR_EINPUT);
    assert_string_equal(err.text, "text 0 is broken");
    assert_int_equal(agree(0, 1, &err), SILR_ECANCEL);
    assert_string_equal(err.text, "stopped");
    if (size > 1) {
        assert_int_equal(agree(2, 1, &err), SILR_ENOMEM); /* a failure counts more than an interruption */
        assert_string_equal(err.text, "rank 1: text 10 is broken");
        assert_int_equal(agree(0, 2, &err), SILR_ECANCEL);
        assert_string_equal(err.text, "rank 1: stopped");
    }
    if (size > 2) {
        assert_int_equal(agree(6, 0, &err), SILR_ENOMEM); /* the lowest speaks */
        assert_string_equal(err.text, "rank 1: text 10 is broken");
        assert_int_equal(agree(4, 3, &err), SILR_EINPUT);
        assert_string_equal(err.text, "rank 2: text 20 is broken");
        assert_int_equal(err.status, SILR_EINPUT);
    }
    assert_int_equal(silr_dist_agree(SILR_OK, NULL), SILR_OK);
    assert_int_equal(silr_dist_barrier(NULL), SILR_OK);
}

/* --- crews -------------------------------------------------------------------------------------------- */

/* A trade for tests: does what the first letter of the order says; the worker is a letter of its own. */
static int closed;

static silr_status open_letter(void **worker, const void *order, size_t len, silr_error *err)
{
    char *letter = silr_malloc(1);

    if (!letter)
        return silr_fail_memory(err);
    if (len == 3 && memcmp(order, "no", 2) == 0 && ((const char *)order)[2] == (char)('0' + rank)) {
        silr_free(letter);
        return silr_fail(err, SILR_EINPUT, "there is no such model");
    }
    *letter = ((const char *)order)[0];
    *worker = letter;
    return SILR_OK;
}

static silr_status sum_of_ranks(double *sum, silr_status mine, silr_error *err)
{
    const silr_status st = silr_dist_agree(mine, err);

    *sum = rank + 1;
    return st == SILR_OK ? silr_dist_sum(sum, 1, err) : st;
}

static silr_status do_letter(void *worker, const void *order, size_t len, silr_buf *result, silr_error *err)
{
    const char *o = order;
    double sum;
    silr_status st;

    if (len == 0)
        return SILR_OK;
    if (o[0] == 'f') /* fails without more ado */
        return silr_fail(err, SILR_EDOMAIN, "an f at rank %d", rank);
    if (o[0] == 't') {
        silr_buf_printf(result, "%d", omp_get_max_threads());
        return SILR_OK;
    }
    if (o[0] == 's' || o[0] == 'S') { /* a sum over ranks; at S it fails before */
        st = o[0] == 'S' ? silr_fail(err, SILR_EDOMAIN, "NaN in the loss") : SILR_OK;
        if ((st = sum_of_ranks(&sum, st, err)) != SILR_OK)
            return st;
        silr_buf_printf(result, "%g", sum);
        return SILR_OK;
    }
    silr_buf_printf(result, "%c%d:", *(char *)worker, rank);
    silr_buf_add(result, o, len);
    return SILR_OK;
}

static void close_letter(void *worker)
{
    closed++;
    silr_free(worker);
}

static const silr_trade trade = {"letter", open_letter, do_letter, close_letter};
static const silr_trade unknown = {"unheard of", open_letter, do_letter, close_letter};

static void order_all(silr_crew *c, const char *const *words)
{
    for (int r = 0; r < size; r++)
        silr_buf_puts(silr_crew_order(c, r), words[r % 4]);
}

static void crew_works(silr_crew *c, char letter)
{
    static const char *const words[] = {"alpha", "", "gamma", "d"};
    char expected[64];

    order_all(c, words);
    assert_int_equal(silr_crew_work(c, NULL), SILR_OK);
    for (int r = 0; r < size; r++) {
        snprintf(expected, sizeof expected, "%c%d:%s", letter, r, words[r % 4]);
        if (words[r % 4][0])
            assert_string_equal(silr_crew_result(c, r)->data, expected);
        else
            assert_int_equal(silr_crew_result(c, r)->len, 0);
    }
}

static void crew_sums(silr_crew *c)
{
    static const char *const all[] = {"s", "s", "s", "s"}, *const last[] = {"s", "S", "s", "S"};
    silr_error err;
    char expected[16];

    order_all(c, all);
    assert_int_equal(silr_crew_work(c, NULL), SILR_OK);
    snprintf(expected, sizeof expected, "%d", size * (size + 1) / 2);
    for (int r = 0; r < size; r++)
        assert_string_equal(silr_crew_result(c, r)->data, expected);
    if (size > 1) {
        order_all(c, last); /* the others would wait in the sum, had it not been said */
        assert_int_equal(silr_crew_work(c, &err), SILR_EDOMAIN);
        assert_non_null(strstr(err.text, "rank 1: NaN in the loss"));
    }
}

/* Together the ranks use every processor, and none twice, unless there are fewer processors than ranks. */
static void crew_shares_processors(silr_crew *c)
{
    static const char *const all[] = {"t", "t", "t", "t"};
    const int processors = omp_get_num_procs();
    int threads = 0;

    omp_set_num_threads(silr_threads(0)); /* alone, rank 0 has them all */
    assert_int_equal(silr_threads(0), processors);
    order_all(c, all);
    assert_int_equal(silr_crew_work(c, NULL), SILR_OK);
    for (int r = 0; r < size; r++)
        threads += atoi(silr_crew_result(c, r)->data);
    assert_true(threads <= (processors > size ? processors : size));
    assert_true(threads > processors - size);
    assert_int_equal(omp_get_max_threads(), processors);
}

static void crew_fails(silr_crew *c)
{
    static const char *const words[] = {"a", "f", "f", "d"};
    silr_error err;

    if (size == 1)
        return;
    order_all(c, words);
    assert_int_equal(silr_crew_work(c, &err), SILR_EDOMAIN);
    assert_string_equal(err.text, "rank 1: an f at rank 1");
}

static void opening_fails(silr_error *err)
{
    silr_crew *c;
    char own = 'x';

    if (size == 1)
        return;
    assert_int_equal(silr_crew_open(&c, &trade, &own, "no1", 3, err), SILR_EINPUT);
    assert_null(c);
    assert_string_equal(err->text, "rank 1: there is no such model");
    assert_int_equal(silr_crew_open(&c, &unknown, &own, "x", 1, err), SILR_EBUG);
}

/* The last test: rank 0 gives orders, the others serve until the program ends. */
static void crews_obey(void **state)
{
    static const silr_trade *const trades[] = {&trade, NULL};
    silr_crew *x, *y;
    silr_error err;
    char own_x = 'x', own_y = 'y';
    (void)state;

    if (rank != 0) {
        assert_int_equal(silr_dist_serve(trades, &err), SILR_OK);
        assert_int_equal(closed, size > 2 && rank > 1 ? 3 : 2); /* where one rank could not open, the others close */
        return;
    }
    opening_fails(&err);
    assert_int_equal(silr_crew_open(&x, &trade, &own_x, "x", 1, &err), SILR_OK);
    assert_int_equal(silr_crew_open(&y, &trade, &own_y, "yes", 3, &err), SILR_OK);
    crew_works(x, 'x');
    crew_works(y, 'y');
    crew_fails(x);
    crew_works(x, 'x'); /* is as good as before */
    crew_sums(y);
    crew_shares_processors(y);
    silr_crew_free(x);
    crew_works(y, 'y');
    silr_crew_free(y);
}

/* --- ends --------------------------------------------------------------------------------------------- */

/* `test_dist kill`: rank 1 dies in the middle of a sum, which the others are in. */
static int die(void)
{
    double v[1000] = {0};

    silr_dist_sum(v, 1000, NULL);
    if (rank == 1)
        raise(SIGKILL);
    silr_dist_sum(v, 1000, NULL);
    puts("the sum came to an end without rank 1");
    return 0;
}

/* `test_dist fail`: rank 1 fails between two sums; all end, rank 0 says why. */
static int fail_between(void)
{
    silr_error err = {0};
    double v[10] = {0};
    silr_status st = silr_dist_sum(v, 10, &err);

    if (st == SILR_OK && rank == 1)
        st = silr_fail(&err, SILR_EIO, "the disk is full");
    if ((st = silr_dist_agree(st, &err)) == SILR_OK)
        st = silr_dist_sum(v, 10, &err);
    if (rank == 0)
        puts(err.text);
    return st == SILR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_balanced),
        cmocka_unit_test(shares_by_weight),
        cmocka_unit_test(sums_are_in_the_order_of_ranks),
        cmocka_unit_test(ten_million_floats),
        cmocka_unit_test(the_largest_and_nan),
        cmocka_unit_test(broadcasts_of_any_length),
        cmocka_unit_test(gathers_and_scatters_uneven_parts),
        cmocka_unit_test(all_end_alike),
        cmocka_unit_test(crews_obey),
    };
    silr_error err = {0};
    int failed;

    if (silr_dist_start(&err) != SILR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    rank = silr_dist_rank();
    size = silr_dist_size();
    if (argc > 1 && strcmp(argv[1], "kill") == 0)
        failed = die();
    else if (argc > 1 && strcmp(argv[1], "fail") == 0)
        failed = fail_between();
    else if (argc > 1 && atoi(argv[1]) != size) {
        fprintf(stderr, "%d ranks, not %s\n", size, argv[1]);
        failed = 1;
    } else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    silr_dist_end();
    return failed;
}
