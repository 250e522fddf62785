/* test_pool.c - every tile is done once, whoever does it, and nobody's scratch is anybody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/pool.h"
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TILES = 37 };
typedef struct {
    atomic_int done[TILES], busy[SILR_POOL_MOST];
    atomic_bool bad;
    size_t threads;
} job;

static void tile(void *context, size_t i, size_t thread)
{
    job *j = context;
    volatile int work = 0;

    if (thread >= j->threads || atomic_fetch_add(&j->busy[thread], 1) != 0)
        atomic_store(&j->bad, true);
    atomic_fetch_add(&j->done[i], 1);
    for (int n = 0; n < 300; n++)
        work = work + n;
    atomic_fetch_sub(&j->busy[thread], 1);
}

/* True when a job of n tiles is done as it should be. */
static bool done_once(size_t n)
{
    job j = {.threads = silr_pool_threads()};

    silr_pool_run(tile, &j, n);
    for (size_t i = 0; i < TILES; i++)
        if (atomic_load(&j.done[i]) != (i < n ? 1 : 0))
            return false;
    return !atomic_load(&j.bad);
}

static void each_tile_once(void **state)
{
    (void)state;

    for (int threads = 1; threads <= 5; threads++) {
        omp_set_num_threads(threads);
        for (size_t round = 0; round < 600; round++)
            assert_true(done_once(round % (TILES + 1)));
    }
}

/* Long enough that the threads have gone to sleep. */
static void after_a_pause(void **state)
{
    (void)state;

    omp_set_num_threads(3);
    for (int round = 0; round < 30; round++) {
        usleep(2000);
        assert_true(done_once(TILES));
    }
}

static void *caller(void *all_well)
{
    for (int round = 0; round < 300; round++)
        if (!done_once(TILES))
            atomic_store((atomic_bool *)all_well, false);
    return NULL;
}

static void several_callers(void **state)
{
    atomic_bool all_well = true;
    pthread_t thread[3];
    (void)state;

    omp_set_num_threads(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, caller, &all_well), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert_true(atomic_load(&all_well));
}

static void outer(void *context, size_t i, size_t thread)
{
    (void)i;
    (void)thread;
    if (!done_once(TILES))
        atomic_store((atomic_bool *)context, false);
}

static void a_job_within_a_job(void **state)
{
    atomic_bool all_well = true;
    (void)state;

    omp_set_num_threads(4);
    silr_pool_run(outer, &all_well, 20);
    assert_true(atomic_load(&all_well));
}

static void a_child_starts_its_own(void **state)
{
    int status;
    pid_t child;
    (void)state;

    omp_set_num_threads(3);
    assert_true(done_once(TILES));
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool well = true;
        for (int round = 0; round < 20; round++)
            well = done_once(TILES) && well;
        _exit(well ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(done_once(TILES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tile_once),     cmocka_unit_test(after_a_pause),
        cmocka_unit_test(several_callers),    cmocka_unit_test(a_job_within_a_job),
        cmocka_unit_test(a_child_starts_its_own),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
