/* test_reliability.c - what holds for a whole run, whatever happens around it.
 *
 * The same bytes come out for one thread and two; with the truth scrambled wherever it was not
 * asked for; and after any one allocation has failed and the run was begun again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "silr.h"
#include "store/store.h"
#include "texts.h"
#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXTS = 120 };
static char home[] = "/tmp/silr-reliability-XXXXXX";

static void path_of(char out[512], const char *folder, const char *name)
{
    snprintf(out, 512, "%s/%s%s%s", home, folder, name[0] ? "/" : "", name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    remove_all(home);
    return 0;
}

/* Runs folder/task.yaml into folder/out. */
static silr_status run(const char *folder, const char *out, int threads, silr_error *err)
{
    char task_path[512], dir[512];
    silr_task *task = NULL;
    silr_run_opts opts = {.threads = threads};
    silr_status st;

    path_of(task_path, folder, "task.yaml");
    path_of(dir, folder, out);
    st = silr_task_load(&task, task_path, err);
    if (st == SILR_OK)
        st = silr_run(task, dir, &opts, err);
    silr_task_free(task);
    return st;
}

static void must_run(const char *folder, const char *out, int threads)
{
    silr_error err = {0};

    if (run(folder, out, threads, &err) != SILR_OK)
        fail_msg("the run failed: %s", err.text);
}

static void make_texts(const char *folder, size_t n, int K, const char *recipe, const char *extra)
{
    char path[512];
    silr_error err = {0};

    path_of(path, folder, "");
    assert_int_equal(silr_mkdirs(path, &err), SILR_OK);
    path_of(path, folder, "texts.jsonl");
    assert_int_equal(texts_write(path, n, K, 1, false, NULL, &err), SILR_OK);
    path_of(path, folder, "task.yaml");
    assert_int_equal(texts_task(path, K, recipe, extra, &err), SILR_OK);
}

/* name in folder_a/out_a has the bytes of that in folder_b/out_b. */
static void same_file(const char *folder_a, const char *out_a, const char *folder_b,
                      const char *out_b, const char *name)
{
    char path[512], sub[300];
    silr_buf a = {0}, b = {0};
    silr_error err = {0};

    snprintf(sub, sizeof sub, "%s/%s", folder_a, out_a);
    path_of(path, sub, name);
    assert_int_equal(silr_file_read(&a, path, 1 << 28, &err), SILR_OK);
    snprintf(sub, sizeof sub, "%s/%s", folder_b, out_b);
    path_of(path, sub, name);
    assert_int_equal(silr_file_read(&b, path, 1 << 28, &err), SILR_OK);
    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
        fail_msg("%s differs", name);
    silr_buf_clear(&a);
    silr_buf_clear(&b);
}

/* Every file of classifier/, whatever a kind of classifier keeps there. */
static void same_classifier(const char *folder_a, const char *out_a, const char *folder_b,
                            const char *out_b)
{
    char path[512], sub[300], name[300];
    size_t files = 0;

    snprintf(sub, sizeof sub, "%s/%s", folder_a, out_a);
    path_of(path, sub, "classifier");
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "classifier/%s", e->d_name);
        same_file(folder_a, out_a, folder_b, out_b, name);
        files++;
    }
    closedir(dir);
    assert_true(files > 0);
}

static const char by_odds[] = "annotator: {kind: column, log_odds: odds}\n";

static void same_for_any_threads(void **state)
{
    static const struct {
        const char *folder, *recipe, *extra;
        int K;
    } cases[] = {{"two", "silr", "", 2}, {"three", "silr", "", 3}, {"paper", "paper", "", 2},
                 {"odds", "silr", by_odds, 2}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_texts(cases[i].folder, TEXTS, cases[i].K, cases[i].recipe, cases[i].extra);
        must_run(cases[i].folder, "one", 1);
        must_run(cases[i].folder, "two", 2);
        must_run(cases[i].folder, "three", 3);
        must_run(cases[i].folder, "eight", 8);
        for (int t = 0; t < 3; t++) {
            static const char *const other[] = {"two", "three", "eight"};
            same_file(cases[i].folder, "one", cases[i].folder, other[t], "labels.jsonl");
            same_classifier(cases[i].folder, "one", cases[i].folder, other[t]);
        }
    }
}

/* Which texts a finished run asked a person about. */
static void asked(const char *folder, const char *out, bool *keep, size_t n)
{
    char path[512];
    silr_store *store = NULL;
    silr_sample sample = {0};
    bool present = false;
    silr_error err = {0};

    path_of(path, folder, out);
    assert_int_equal(silr_store_open(&store, path, NULL, NULL, &err), SILR_OK);
    assert_int_equal(silr_store_sample_get(store, &sample, &present, &err), SILR_OK);
    assert_true(present && sample.n > 0);
    memset(keep, 0, n * sizeof *keep);
    for (size_t i = 0; i < sample.n; i++) {
        assert_true(sample.doc[i] < n);
        keep[sample.doc[i]] = true;
    }
    silr_sample_clear(&sample);
    silr_store_close(store);
}

/* Labels and classifier know of no truth but the sample's: draw all the others anew, and not a
 * bit changes. */
static void truth_is_not_looked_at(void **state)
{
    bool keep[TEXTS];
    char path[512], plain[32], scrambled[32];
    silr_error err = {0};
    (void)state;

    for (int way = 1; way <= 3; way++) { /* 1: two classes, with log-odds */
        const int K = way == 3 ? 3 : 2;
        const char *extra = way == 1 ? by_odds : "";
        snprintf(plain, sizeof plain, "plain%d", way);
        snprintf(scrambled, sizeof scrambled, "scrambled%d", way);
        make_texts(plain, TEXTS, K, "silr", extra);
        make_texts(scrambled, TEXTS, K, "silr", extra);
        must_run(plain, "run", 2);
        asked(plain, "run", keep, TEXTS);
        path_of(path, scrambled, "texts.jsonl");
        assert_int_equal(texts_write(path, TEXTS, K, 1, true, keep, &err), SILR_OK);
        must_run(scrambled, "run", 2);
        same_file(plain, "run", scrambled, "run", "labels.jsonl");
        same_classifier(plain, "run", scrambled, "run");
    }
}

/* A very small run, so that each of its allocations can have its turn. */
static const char small[] = "classifier: {word_max: 1, char_max: 0, bits: 10}\n";

static void each_allocation_fails_once(void **state)
{
    silr_error err = {0};
    char path[512];
    const char *all = getenv("SILR_EVERY_ALLOCATION"); /* set: all of them, else 40 spread evenly */
    (void)state;

    make_texts("small", 30, 2, "silr", small);
    path_of(path, "small", "task.yaml");
    assert_int_equal(texts_task(path, 2, "silr, iterations: 1, steps: 3, folds: 2", small, &err), SILR_OK);
    must_run("small", "unbroken", 1); /* also warms up what libraries keep for ever */
    path_of(path, "small", "counted");
    silr_mem_count();
    must_run("small", "counted", 1);
    uint64_t total = silr_mem_count();
    assert_true(total > 100);
    uint64_t step = all ? 1 : total / 40 + 1;

    size_t refused = 0, survived = 0;
    for (uint64_t n = 1; n <= total; n += step) {
        err.text[0] = '\0';
        path_of(path, "small", "broken");
        remove_all(path);
        silr_mem_fail_at(n, false);
        silr_status st = run("small", "broken", 1, &err);
        silr_mem_fail_at(0, false);
        if (st != SILR_OK && (st != SILR_ENOMEM || err.text[0] == '\0'))
            fail_msg("allocation %llu of %llu: status %d, \"%s\"", (unsigned long long)n,
                     (unsigned long long)total, (int)st, err.text);
        if (st == SILR_OK)
            survived++;
        else
            refused++;
        must_run("small", "broken", 1); /* the store opens, and the run goes on */
        same_file("small", "unbroken", "small", "broken", "labels.jsonl");
    }
    print_message("of %llu allocations %zu failed in turn: %zu clear errors, %zu made no difference\n",
                  (unsigned long long)total, refused + survived, refused, survived);
    assert_true(refused > survived);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_for_any_threads),
        cmocka_unit_test(truth_is_not_looked_at),
        cmocka_unit_test(each_allocation_fails_once),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
