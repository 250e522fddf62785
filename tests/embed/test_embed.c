/* test_embed.c - vectors: exact halves; a file that survives kills, damage, full disks and company;
 * each text computed once. With an encoder that is a sum of random words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "embed/half.h"
#include "fake.h"
#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- halves ----------------------------------------------------------------------------------- */

/* Value of a half by its definition. */
static double half_value(uint16_t h)
{
    const int e = h >> 10 & 31;
    const double f = (h & 0x3ff) / 1024.0, s = h & 0x8000 ? -1 : 1;

    return e == 0 ? s * ldexp(f, -14) : s * ldexp(1 + f, e - 15);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void every_half_is_itself(void **state)
{
    uint16_t in[65536], back[65536];
    static float out[65536];
    (void)state;

    for (size_t i = 0; i < 65536; i++)
        in[i] = (uint16_t)i;
    silr_half_to(in, 65536, out);
    silr_half_from(out, 65536, back);
    for (size_t i = 0; i < 65536; i++) {
        const bool nan = (i & 0x7c00) == 0x7c00 && (i & 0x3ff);
        assert_true(same_bits(out[i], silr_half_to_one(in[i])));
        if (!nan && (i & 0x7c00) != 0x7c00)
            assert_true((double)out[i] <= half_value(in[i]) && (double)out[i] >= half_value(in[i]));
        assert_int_equal(back[i], nan ? (i | 0x200) : i);
        assert_int_equal(silr_half_from_one(out[i]), back[i]);
    }
}

/* Halfway between neighbours: the even one; just beside it: the near one. Both codes alike. */
static void halves_round_to_the_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const double middle = (half_value((uint16_t)h) + half_value((uint16_t)(h + 1))) / 2;
        float v[8] = {(float)middle, nextafterf((float)middle, 0), nextafterf((float)middle, 1e9f)};
        uint16_t out[8];
        assert_true((double)v[0] <= middle && (double)v[0] >= middle); /* a float holds it */
        silr_half_from(v, 8, out);
        assert_int_equal(out[0], h & 1 ? h + 1 : h);
        assert_int_equal(out[1], h);
        assert_int_equal(out[2], h + 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(silr_half_from_one(v[i]), out[i]);
        assert_int_equal(silr_half_from_one(-v[0]), out[0] | 0x8000);
    }
    assert_int_equal(silr_half_from_one(65519), 0x7bff);
    assert_int_equal(silr_half_from_one(65520), 0x7c00);
    assert_int_equal(silr_half_from_one(-1e30f), 0xfc00);
}

static void both_ways_give_the_same_bits(void **state)
{
    silr_rng g;
    float v[1001];
    uint16_t out[1001];
    (void)state;

    silr_rng_init(&g, 3, SILR_RNG_TEST, 0, 0);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < 1001; i++) {
            const uint32_t bits = silr_rng_u32(&g);
            memcpy(&v[i], &bits, sizeof bits);
        }
        silr_half_from(v, 1001, out);
        for (size_t i = 0; i < 1001; i++)
            assert_int_equal(out[i], silr_half_from_one(v[i]));
    }
}

/* --- texts and folders -------------------------------------------------------------------------- */

enum { N = 700 };
static char folder[64];
static char text[N][40];

static const char *get(const void *ctx, size_t i, size_t *len)
{
    (void)ctx;
    *len = strlen(text[i]);
    return text[i];
}

/* Texts of several lengths; every tenth is one that was there before, some are empty. */
static int make_texts(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;

    snprintf(folder, sizeof folder, "%.40s/silr-embed-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    for (int i = 0; i < N; i++) {
        silr_rng g;
        silr_rng_init(&g, 5, SILR_RNG_TEST, 1, (uint64_t)(i % 10 == 9 ? i / 2 : i));
        text[i][0] = '\0';
        for (int w = (int)silr_rng_below(&g, 6); w > 0 && i % 50 != 7; w--)
            snprintf(text[i] + strlen(text[i]), 8, "w%d ", (int)silr_rng_below(&g, 300));
    }
    fake_start();
    return 0;
}

static void empty_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (d)
        closedir(d);
}

static int end_texts(void **state)
{
    (void)state;
    fake_end();
    empty_folder(folder);
    rmdir(folder);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    empty_folder(folder);
    fake = (fake_state){0};
    silr_cancel_reset();
    return 0;
}

/* The one file in the folder. */
static const char *the_file(void)
{
    static char path[400];
    DIR *d = opendir(folder);
    struct dirent *e;
    int found = 0;

    while ((e = readdir(d)))
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            found++;
        }
    closedir(d);
    assert_int_equal(found, 1);
    return path;
}

static off_t file_size(void)
{
    struct stat info;
    assert_int_equal(stat(the_file(), &info), 0);
    return info.st_size;
}

static silr_status make(const char *dir, size_t n, silr_embeddings **out, silr_error *err)
{
    silr_encoder *e = fake_encoder();
    silr_status st;

    *out = NULL;
    if (!e)
        return silr_fail_memory(err);
    st = silr_embeddings_make(out, e, dir, get, NULL, n, err);
    silr_encoder_free(e);
    return st;
}

/* All vectors, against those of each text alone. */
static void check(const silr_embeddings *v, size_t n)
{
    silr_encoder *e = fake_encoder();

    assert_int_equal(silr_embeddings_size(v), n);
    assert_int_equal(silr_embeddings_dim(v), FAKE_DIM);
    for (size_t i = 0; i < n; i++) {
        const char *t = text[i];
        const size_t len = strlen(t);
        const uint16_t *row = silr_embeddings_row(v, i);
        float alone[FAKE_DIM], there[FAKE_DIM];
        assert_int_equal(row == NULL, len == 0);
        if (!row)
            continue;
        assert_int_equal(silr_encode(e, &t, &len, 1, alone, NULL), SILR_OK);
        silr_half_to(row, FAKE_DIM, there);
        assert_memory_equal(alone, there, sizeof alone);
    }
    silr_encoder_free(e);
}

static size_t make_well(const char *dir, size_t n)
{
    silr_embeddings *v;
    silr_error err;
    size_t made;

    fake.texts = 0;
    if (make(dir, n, &v, &err) != SILR_OK)
        fail_msg("%s", err.text);
    made = silr_embeddings_made(v);
    assert_int_equal(fake.texts, made);
    check(v, n);
    silr_embeddings_free(v);
    return made;
}

static size_t different(size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        bool first = text[i][0] != '\0';
        for (size_t j = 0; first && j < i; j++)
            first = strcmp(text[i], text[j]) != 0;
        count += first;
    }
    return count;
}

static void each_text_is_embedded_once(void **state)
{
    (void)state;
    assert_int_equal(make_well(NULL, N), different(N)); /* in memory */
    assert_int_equal(make_well(folder, 300), different(300));
    assert_int_equal(make_well(folder, N), different(N) - different(300)); /* more of them */
    assert_int_equal(make_well(folder, N), 0);
    assert_int_equal(make_well(folder, 0), 0);
    /* another model, another file */
    fake.name = "other";
    fake.texts = 0;
    {
        silr_embeddings *v;
        assert_int_equal(make(folder, N, &v, NULL), SILR_OK);
        assert_int_equal(silr_embeddings_made(v), different(N));
        silr_embeddings_free(v);
    }
}

static void a_stop_keeps_what_is_done(void **state)
{
    silr_embeddings *v;
    silr_error err;
    size_t done;
    (void)state;

    fake.cancel_at = 1;
    assert_int_equal(make(folder, N, &v, &err), SILR_ECANCEL);
    assert_null(v);
    done = fake.texts;
    assert_true(done > 0 && done < different(N));
    silr_cancel_reset();
    fake = (fake_state){0};
    assert_int_equal(make_well(folder, N), different(N) - done);
}

/* Killed in the second block: the first is there. And cut short anywhere, the file is repaired. */
static void a_kill_loses_one_block(void **state)
{
    off_t whole;
    size_t all = different(N);
    (void)state;

    for (int round = 0; round < 2; round++) {
        pid_t child = fork();
        int how = 0;
        if (child == 0) {
            silr_embeddings *v;
            fake.die_at = (size_t)round + 1;
            (void)make(folder, N, &v, NULL);
            _exit(1);
        }
        assert_true(child > 0 && waitpid(child, &how, 0) == child);
        assert_int_equal(WEXITSTATUS(how), 9);
    }
    assert_true(make_well(folder, N) == all - 256);
    whole = file_size();
    for (off_t cut = 0; cut < whole; cut += cut < 400 ? 13 : 3001) {
        assert_int_equal(truncate(the_file(), cut), 0);
        assert_true(make_well(folder, N) > 0);
        assert_int_equal(file_size(), whole);
    }
}

static void flip(off_t at)
{
    FILE *f = fopen(the_file(), "r+b");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    fputc(c ^ 0x10, f);
    fclose(f);
}

/* A wrong byte anywhere: what it touches is computed again, and nothing wrong is believed. */
static void damage_is_noticed(void **state)
{
    const size_t all = different(N);
    off_t whole;
    (void)state;

    make_well(folder, N);
    whole = file_size();
    for (off_t at = 0; at < whole; at += at < 300 ? 7 : 1009) {
        size_t again;
        flip(at);
        again = make_well(folder, N);
        assert_true(again <= 256);
        if (at < 128)
            assert_int_equal(again, 0); /* the head says nothing that is not known */
        assert_int_equal(make_well(folder, N), 0); /* repaired */
        empty_folder(folder);
        assert_int_equal(make_well(folder, N), all);
    }
}

static void a_full_disk_is_said(void **state)
{
    const struct rlimit small = {3 * 4096, RLIM_INFINITY};
    struct rlimit was;
    silr_embeddings *v;
    silr_error err;
    (void)state;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){small.rlim_cur, was.rlim_max}), 0);
    assert_int_equal(make(folder, N, &v, &err), SILR_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_non_null(strstr(err.text, "classifier.cache"));
    make_well(folder, N);
}

/* Three at once: they take turns, and each text is still computed once. */
static void company_is_safe(void **state)
{
    int total[2];
    size_t sum = 0;
    (void)state;

    assert_int_equal(pipe(total), 0);
    for (int p = 0; p < 3; p++)
        if (fork() == 0) {
            silr_embeddings *v;
            size_t made = 10000;
            if (make(folder, N, &v, NULL) == SILR_OK)
                made = silr_embeddings_made(v);
            _exit(write(total[1], &made, sizeof made) == sizeof made ? 0 : 1);
        }
    for (int p = 0; p < 3; p++) {
        size_t made;
        assert_int_equal(read(total[0], &made, sizeof made), sizeof made);
        sum += made;
    }
    while (wait(NULL) > 0)
        ;
    close(total[0]);
    close(total[1]);
    assert_int_equal(sum, different(N));
    assert_int_equal(make_well(folder, N), 0);
}

static void what_is_no_number_is_refused(void **state)
{
    silr_embeddings *v;
    silr_error err;
    const char *t = "a b";
    const size_t len = 3;
    float out[FAKE_DIM];
    silr_encoder *e;
    (void)state;

    fake.broken = true;
    assert_int_equal(make(folder, N, &v, &err), SILR_EDOMAIN);
    e = fake_encoder();
    assert_int_equal(silr_encode(e, &t, &len, 1, out, &err), SILR_EDOMAIN);
    silr_encoder_free(e);
}

static void a_folder_that_cannot_be_is_said(void **state)
{
    silr_embeddings *v;
    silr_error err;
    (void)state;

    assert_int_equal(make("/dev/null/x", N, &v, &err), SILR_EIO);
    assert_non_null(strstr(err.text, "/dev/null"));
}

static void every_failing_allocation_is_told(void **state)
{
    uint64_t n = 0;
    silr_status st;
    (void)state;

    do {
        silr_embeddings *v;
        silr_error err;
        empty_folder(folder);
        silr_mem_fail_at(++n, false);
        st = make(n % 2 ? folder : NULL, 300, &v, &err);
        silr_mem_fail_at(0, false);
        assert_true(st == SILR_OK || st == SILR_ENOMEM);
        assert_int_equal(st == SILR_OK, v != NULL);
        silr_embeddings_free(v);
    } while (st != SILR_OK);
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_itself),
        cmocka_unit_test(halves_round_to_the_nearest_even),
        cmocka_unit_test(both_ways_give_the_same_bits),
        cmocka_unit_test_setup(each_text_is_embedded_once, fresh),
        cmocka_unit_test_setup(a_stop_keeps_what_is_done, fresh),
        cmocka_unit_test_setup(a_kill_loses_one_block, fresh),
        cmocka_unit_test_setup(damage_is_noticed, fresh),
        cmocka_unit_test_setup(a_full_disk_is_said, fresh),
        cmocka_unit_test_setup(company_is_safe, fresh),
        cmocka_unit_test_setup(what_is_no_number_is_refused, fresh),
        cmocka_unit_test_setup(a_folder_that_cannot_be_is_said, fresh),
        cmocka_unit_test_setup(every_failing_allocation_is_told, fresh),
    };
    return cmocka_run_group_tests(tests, make_texts, end_texts);
}
