/* test_run.c - a whole run through the public door: it ends, it can be stopped at any point and
 * goes on, and where memory fails it says so and leaves a folder that can be gone on from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "run/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/silr-test-run-XXXXXX";

static char *at(const char *name)
{
    char *path = silr_path_join(top, name);
    assert_non_null(path);
    return path;
}

static void write_text(const char *name, const char *text, size_t len)
{
    char *path = at(name);
    assert_int_equal(silr_file_write(path, text, len, NULL), SILR_OK);
    silr_free(path);
}

/* Two topics with two words each; the column errs on every sixth text, and says how sure it is, with
 * a zero that is not in its place. Text 3 stands twice. */
static void make_corpus(void)
{
    static const char task[] =
        "name: small\nclasses: [sport, money]\n"
        "corpus: {files: [texts.jsonl], text: text, id: id, label: label}\n"
        "labelled: {count: 20}\nannotator: {kind: column, column: llm, log_odds: sure}\n"
        "classifier: {bits: 12}\n"
        "refine: {iterations: 1, steps: 10, folds: 2, label_folds: 2}\n";
    silr_buf b = {0};

    for (int i = 0; i < 80; i++) {
        int money = (i * 7 + i / 3) % 2, says = i % 6 ? money : 1 - money;
        int copy = i == 40 ? 3 : i;
        if (i == 40)
            money = (3 * 7 + 1) % 2;
        silr_buf_printf(&b, "{\"id\":\"t%d\",\"text\":\"%s number %d\",\"label\":\"%s\",\"llm\":\"%s\","
                        "\"sure\":%.2f}\n", i, money ? "bank and shares" : "goal and match", copy,
                        money ? "money" : "sport", says ? "money" : "sport",
                        (says ? -1 : 1) * (0.2 + i % 11 / 5.0) - 0.3);
    }
    write_text("texts.jsonl", b.data, b.len);
    write_text("task.yaml", task, sizeof task - 1);
    silr_buf_clear(&b);
}

static silr_status run_in(const char *dir, const silr_run_opts *opts, silr_error *err)
{
    silr_task *task = NULL;
    char path[64], out[64]; /* not of silr's memory, which is made to fail below */
    silr_status st;

    snprintf(path, sizeof path, "%s/task.yaml", top);
    snprintf(out, sizeof out, "%s/%s", top, dir);
    st = silr_task_load(&task, path, err);
    if (st == SILR_OK)
        st = silr_run(task, out, opts, err);
    silr_task_free(task);
    return st;
}

static void same_labels(const char *a, const char *b)
{
    silr_buf x = {0}, y = {0};
    char *from = at(a), *to = at(b), *p = silr_path_join(from, "labels.jsonl"),
         *q = silr_path_join(to, "labels.jsonl");

    assert_int_equal(silr_file_read(&x, p, 1 << 20, NULL), SILR_OK);
    assert_int_equal(silr_file_read(&y, q, 1 << 20, NULL), SILR_OK);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    silr_buf_clear(&x);
    silr_buf_clear(&y);
    silr_free(from);
    silr_free(to);
    silr_free(p);
    silr_free(q);
}

static void count_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    int *calls = ctx;
    (void)what, (void)done, (void)total;
    (*calls)++;
}

static void runs_through_the_public_door(void **state)
{
    silr_error err = {0};
    int calls = 0;
    silr_run_opts opts = {.threads = 1, .ctx = &calls, .progress = count_progress};
    silr_model *model = NULL;
    silr_prediction p;
    char *dir = at("whole");
    (void)state;

    if (run_in("whole", &opts, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_true(calls > 0);
    assert_int_equal(run_in("two", &(silr_run_opts){.threads = 2}, &err), SILR_OK);
    same_labels("whole", "two");

    assert_int_equal(silr_model_load(&model, dir, &err), SILR_OK);
    assert_int_equal(silr_predict(model, "goal and match", 14, &p, NULL, &err), SILR_OK);
    assert_string_equal(silr_model_class(model, p.label), "sport");
    silr_model_free(model);
    silr_free(dir);
}

/* Stops at the k-th sign of progress: the point of the run moves with k. */
static void stop_later(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    int *left = ctx;
    (void)what, (void)done, (void)total;
    if (--*left == 0)
        silr_cancel();
}

static void goes_on_after_a_stop(void **state)
{
    silr_error err = {0};
    int stopped = 0;
    (void)state;

    for (int k = 1; k <= 12; k++) {
        char dir[24];
        int left = k;
        silr_run_opts opts = {.threads = 1, .ctx = &left, .progress = stop_later};
        silr_status st;

        snprintf(dir, sizeof dir, "stop-%d", k);
        st = run_in(dir, &opts, &err);
        stopped += st == SILR_ECANCEL;
        assert_true(st == SILR_OK || st == SILR_ECANCEL);
        silr_cancel_reset();
        assert_int_equal(run_in(dir, &(silr_run_opts){.threads = 1}, &err), SILR_OK);
        same_labels("whole", dir);
    }
    assert_true(stopped > 0);
}

/* One allocation fails and the ones after it work: some are optional, the rest are reported. One
 * and all after it: nothing may crash on the way out. Each time the folder can be gone on from. */
static void survives_failing_memory(void **state)
{
    silr_error err = {0};
    uint64_t total;
    int failed = 0;
    (void)state;

    silr_mem_count();
    assert_int_equal(run_in("counted", &(silr_run_opts){.threads = 1}, &err), SILR_OK);
    total = silr_mem_count();
    assert_true(total > 100);
    for (uint64_t i = 0; i < 30; i++) {
        uint64_t n = 1 + (i < 10 ? i * 9 : total * (i - 9) / 21);
        char dir[24];
        silr_status st;

        snprintf(dir, sizeof dir, "mem-%d", (int)i);
        err.text[0] = '\0';
        silr_mem_fail_at(n, i % 2 == 0);
        st = run_in(dir, &(silr_run_opts){.threads = 1}, &err);
        silr_mem_fail_at(0, false);
        if (st != SILR_OK) {
            failed++;
            if (st != SILR_ENOMEM)
                fail_msg("allocation %d of %d: %d, %s", (int)n, (int)total, (int)st, err.text);
            assert_true(err.text[0] != '\0');
        }
        if (run_in(dir, &(silr_run_opts){.threads = 1}, &err) != SILR_OK)
            fail_msg("after allocation %d of %d: %s", (int)n, (int)total, err.text);
        same_labels("whole", dir);
    }
    assert_true(failed > 15);
}

static int set_up(void **state)
{
    (void)state;
    silr_mem_install();
    if (!mkdtemp(top))
        return -1;
    make_corpus();
    return 0;
}

static int tear_down(void **state)
{
    char *words[] = {"rm", "-rf", top, NULL};
    pid_t pid = fork();
    (void)state;

    if (pid == 0) {
        execvp(words[0], words);
        _exit(127);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_through_the_public_door),
        cmocka_unit_test(goes_on_after_a_stop),
        cmocka_unit_test(survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
