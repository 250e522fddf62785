/* test_map.c - a mapped file that is cut short must not take the process with it. */
#include "formats/map.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGES = 8 };
static char path[] = "/tmp/silr-map-XXXXXX";
static size_t page;

static int make_file(void **state)
{
    char *bytes;
    silr_status st;
    int fd;
    (void)state;

    strcpy(path + strlen(path) - 6, "XXXXXX");
    fd = mkstemp(path);
    page = (size_t)sysconf(_SC_PAGESIZE);
    bytes = silr_alloc(PAGES, page);
    if (fd < 0 || !bytes)
        return -1;
    close(fd);
    memset(bytes, 'x', PAGES * page);
    st = silr_file_write(path, bytes, PAGES * page, NULL);
    silr_free(bytes);
    return st == SILR_OK ? 0 : -1;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void reads_what_is_there(void **state)
{
    silr_map *m;
    (void)state;

    assert_int_equal(silr_map_open(&m, path, NULL), SILR_OK);
    assert_int_equal(m->size, PAGES * page);
    assert_int_equal(m->bytes[m->size - 1], 'x');
    assert_int_equal(silr_map_intact(m, NULL), SILR_OK);
    silr_map_close(m);
}

static size_t sum(const silr_map *m)
{
    size_t total = 0;
    for (size_t i = 0; i < m->size; i++)
        total += m->bytes[i];
    return total;
}

static void a_cut_file_reads_as_zeros_and_says_so(void **state)
{
    silr_map *m, *other;
    silr_error err;
    (void)state;

    assert_int_equal(silr_map_open(&m, path, NULL), SILR_OK);
    assert_int_equal(silr_map_open(&other, "/proc/self/exe", NULL), SILR_OK);
    assert_int_equal(truncate(path, (off_t)(3 * page)), 0);
    assert_int_equal(sum(m), 3 * page * 'x');
    assert_int_equal(silr_map_intact(m, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "was cut short"));
    assert_int_equal(silr_map_intact(other, NULL), SILR_OK);
    /* written back to its old length, it is still not what was read */
    assert_int_equal(truncate(path, (off_t)(PAGES * page)), 0);
    assert_int_equal(silr_map_intact(m, NULL), SILR_EINPUT);
    silr_map_close(other);
    silr_map_close(m);
}

/* The kernel fills the last page of a file with zeros: no signal tells that its end is gone. */
static void a_cut_inside_the_last_page_is_seen(void **state)
{
    silr_map *m;
    (void)state;

    assert_int_equal(silr_map_open(&m, path, NULL), SILR_OK);
    assert_int_equal(truncate(path, (off_t)(PAGES * page - 1)), 0);
    assert_int_equal(sum(m), (PAGES * page - 1) * 'x');
    assert_int_equal(silr_map_intact(m, NULL), SILR_EINPUT);
    silr_map_close(m);
}

static void a_file_written_to_is_seen(void **state)
{
    silr_error err;
    silr_map *m;
    int fd;
    (void)state;

    assert_int_equal(silr_map_open(&m, path, NULL), SILR_OK);
    m->changed[1]--; /* as if an hour had passed: the clock of a file system may tick slowly */
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "y", 1, 0), 1);
    close(fd);
    assert_int_equal(silr_map_intact(m, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "was written to"));
    silr_map_close(m);
}

static void what_is_no_file_is_refused(void **state)
{
    silr_error err;
    silr_map *m;
    (void)state;

    assert_int_equal(silr_map_open(&m, "/nowhere/at/all", &err), SILR_EINPUT);
    assert_null(m);
    assert_int_equal(silr_map_open(&m, "/tmp", &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "plain file"));
    assert_int_equal(silr_map_open(&m, "/dev/zero", &err), SILR_EINPUT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(silr_map_open(&m, path, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "empty"));
}

/* A page of a mapping that is not ours: in a child, which ends as `how` wants it. */
static void fault_elsewhere(void)
{
    int fd = open(path, O_RDONLY);
    volatile const char *p = mmap(NULL, PAGES * page, PROT_READ, MAP_PRIVATE, fd, 0);
    if (truncate(path, 0) != 0)
        _exit(3);
    (void)p[page];
    _exit(4);
}

static void to_the_former(int sig)
{
    (void)sig;
    _exit(7);
}

static int child_ends(void (*handler)(int))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGBUS, handler);
        silr_map *m; /* the first of this process: the handler is put in place now */
        if (silr_map_open(&m, "/proc/self/exe", NULL) != SILR_OK)
            _exit(5);
        fault_elsewhere();
    }
    waitpid(pid, &status, 0);
    return status;
}

static void other_faults_go_where_they_went(void **state)
{
    int status;
    (void)state;

    status = child_ends(to_the_former);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(make_file(NULL), 0);
    status = child_ends(SIG_DFL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void no_memory(void **state)
{
    silr_map *m;
    (void)state;

    for (uint64_t n = 1;; n++) {
        silr_mem_fail_at(n, false);
        silr_status st = silr_map_open(&m, path, NULL);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        assert_null(m);
    }
    silr_map_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: the handler of this process must not be in place yet when the child forks */
        cmocka_unit_test_setup_teardown(other_faults_go_where_they_went, make_file, drop_file),
        cmocka_unit_test_setup_teardown(reads_what_is_there, make_file, drop_file),
        cmocka_unit_test_setup_teardown(a_cut_file_reads_as_zeros_and_says_so, make_file,
                                        drop_file),
        cmocka_unit_test_setup_teardown(a_cut_inside_the_last_page_is_seen, make_file, drop_file),
        cmocka_unit_test_setup_teardown(a_file_written_to_is_seen, make_file, drop_file),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, make_file, drop_file),
        cmocka_unit_test_setup_teardown(no_memory, make_file, drop_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
