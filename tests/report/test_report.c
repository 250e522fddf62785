/* test_report.c - the files of a run: exact where programs read them, harmless where people do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "report/figures.h"
#include "run.h"
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void must(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("%s", err->text);
}

/* --- files for programs ------------------------------------------------------------------------
 */

static void labels_of_two_classes(void **state)
{
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_report_labels(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "labels.jsonl");
    assert_string_equal(text, "{\"id\":\"a\",\"label\":\"good\",\"score\":0.75,\"initial_label\":"
                              "\"good\",\"changed\":false,\"split\":\"train\"}\n"
                              "{\"id\":\"b\",\"label\":\"bad\",\"score\":0.75,\"initial_label\":"
                              "\"bad\",\"changed\":false,\"split\":\"train\"}\n"
                              "{\"id\":\"c\",\"label\":\"good\",\"score\":0.75,\"initial_label\":"
                              "\"bad\",\"changed\":true,\"split\":\"train\"}\n"
                              "{\"id\":\"d\",\"label\":\"bad\",\"score\":0.75,\"initial_label\":"
                              "null,\"changed\":true,\"split\":\"train\"}\n"
                              "{\"id\":\"e\",\"label\":\"bad\",\"score\":0.75,\"initial_label\":"
                              "\"bad\",\"changed\":false,\"split\":\"train\"}\n"
                              "{\"id\":\"f\",\"label\":null,\"score\":null,\"initial_label\":null,"
                              "\"changed\":false,\"split\":\"train\"}\n");
    silr_free(text);
    run_free(&r);
}

static void labels_of_three_classes(void **state)
{
    static const char first[] =
        "{\"id\":\"a\",\"label\":\"red\",\"score\":0.75,\"initial_label\":\"red\",\"changed\":"
        "false,"
        "\"split\":\"train\",\"scores\":{\"red\":0.75,\"green\":0.125,\"blue\":0.125}}\n";
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 3, false, &err), &err);
    must(silr_report_labels(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "labels.jsonl");
    assert_memory_equal(text, first, sizeof first - 1);
    silr_free(text);
    run_free(&r);
}

/* Before: a and b right, c and e wrong, d and f without a label: 2 of 4. After: c is mended and d
 * has a label: 4 of 5. Every figure of the file is one that can be counted by hand. */
static void metrics_of_two_classes(void **state)
{
#define THETA                                                                                      \
    "\"theta\":[0.75,0.25],\"theta_interval\":[[0.5,0.875],[0.125,0.5]],\"pi\":0.5,\"pi_"          \
    "interval\":[0.25,0.625]"
    static const char want[] =
        "{\"schema_version\":1,\n\"task\":\"tiny\",\n\"classes\":[\"good\",\"bad\"],\n\"oracle\":"
        "false,\n\"iterations\":[\n"
        "{\"iteration\":0," THETA
        ",\"train_loss\":null,\"validation_loss\":null,\"best_epoch\":null,\"accepted\":true,"
        "\"label\":{\"n\":4,\"coverage\":0.666667,\"accuracy\":0.5,\"balanced_accuracy\":0.666667,"
        "\"precision\":1,"
        "\"recall\":0.333333,\"f1\":0.5,\"confusion\":[[1,2],[0,1]]},"
        "\"estimated_accuracy\":{\"value\":0.75,\"low\":0.5,\"high\":0.9},\"flips\":0,\"seconds\":"
        "1.5},\n"
        "{\"iteration\":1," THETA
        ",\"train_loss\":0.25,\"validation_loss\":null,\"best_epoch\":1,\"accepted\":true,"
        "\"label\":{\"n\":5,\"coverage\":0.833333,\"accuracy\":0.8,\"balanced_accuracy\":0.833333,"
        "\"precision\":1,"
        "\"recall\":0.666667,\"f1\":0.8,\"confusion\":[[2,1],[0,2]]},"
        "\"estimated_accuracy\":{\"value\":0.875,\"low\":0.75,\"high\":0.9375},\"flips\":2,"
        "\"seconds\":1.5,\"note\":\"settled\"}\n"
        "],\n\"final\":{\"iteration\":1,\"documents\":6,\"labelled_before\":4,\"labelled\":5,"
        "\"changed\":2,\"corrected\":1,\"gained\":1," THETA ","
        "\"label\":{\"n\":5,\"coverage\":0.833333,\"accuracy\":0.8,\"balanced_accuracy\":0.833333,"
        "\"precision\":1,"
        "\"recall\":0.666667,\"f1\":0.8,\"confusion\":[[2,1],[0,2]]},"
        "\"estimated_before\":{\"value\":0.75,\"low\":0.5,\"high\":0.9},\"estimated_accuracy\":{"
        "\"value\":0.875,\"low\":0.75,\"high\":0.9375},"
        "\"labelled_sample\":2,\"classifier\":\"ngram\",\"seconds\":3}}\n";
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_report_metrics(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "metrics.json");
    assert_string_equal(text, want);
    silr_free(text);
    run_free(&r);
}

/* Without a truth nothing is measured; with three classes theta is a matrix. */
static void metrics_without_truth(void **state)
{
    run r;
    silr_error err = {0};
    char *text;
    json_t *root, *it;
    (void)state;

    must(run_make(&r, 3, false, &err), &err);
    must(silr_report_metrics(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "metrics.json");
    assert_null(strstr(text, "\"label\":"));
    assert_null(strstr(text, "\"test\":"));
    assert_non_null(root = json_loads(text, JSON_REJECT_DUPLICATES, NULL));
    it = json_array_get(json_object_get(root, "iterations"), 0);
    assert_int_equal(json_array_size(json_object_get(it, "theta")), 3);
    assert_int_equal(json_array_size(json_array_get(json_object_get(it, "theta"), 2)), 3);
    assert_int_equal(json_array_size(json_object_get(it, "theta_interval")), 3);
    assert_int_equal(json_array_size(json_object_get(it, "pi")), 3);
    assert_true(json_is_null(json_object_get(it, "train_loss")));
    json_decref(root);
    silr_free(text);
    run_free(&r);
}

static void manifest_names_everything(void **state)
{
    static const char *const need[] = {
        "program",  "command", "task",   "task_hash",  "settings",
        "seeds",    "splits",  "corpus", "classifier", "libraries",
        "hardware", "threads", "start",  "end",        "peak_memory_bytes",
        "cost"};
    run r;
    silr_error err = {0};
    char *text;
    json_t *root;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_report_manifest(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "manifest.json");
    assert_non_null(root = json_loads(text, JSON_REJECT_DUPLICATES, NULL));
    for (size_t i = 0; i < sizeof need / sizeof *need; i++)
        assert_non_null(json_object_get(root, need[i]));
    assert_string_equal(json_string_value(json_object_get(root, "start")), "2026-01-02T03:04:05Z");
    assert_true(json_is_null(json_object_get(root, "end")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "splits"), "train")),
                     6);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(root, "corpus"), "sha256")),
        silr_corpus_digest(r.corpus)->hex);
    json_decref(root);
    silr_free(text);
    run_free(&r);
}

static void table_for_the_terminal(void **state)
{
    run r;
    silr_error err = {0};
    silr_buf out = {0};
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    assert_int_equal(silr_report_table(r.dir, false, &out, &err), SILR_EINPUT); /* no file yet */
    must(silr_report_metrics(r.task, r.corpus, r.store, r.dir, &err), &err);
    must(silr_report_table(r.dir, false, &out, &err), &err);
    assert_non_null(strstr(out.data, "0.875 [0.750, 0.938]"));
    assert_non_null(strstr(out.data, "0.750 / 0.250"));
    assert_null(strchr(out.data, '\033'));
    silr_buf_reset(&out);
    must(silr_report_table(r.dir, true, &out, &err), &err);
    assert_non_null(strchr(out.data, '\033'));
    silr_buf_clear(&out);
    run_free(&r);
}

/* metrics.json may come from anywhere: odd values are dashes, odd files are errors. */
static void table_of_odd_files(void **state)
{
    static const struct {
        const char *json;
        silr_status want;
    } odd[] = {
        {"", SILR_EINPUT},
        {"[]", SILR_EINPUT},
        {"{\"iterations\":{}}", SILR_EINPUT},
        {"{\"iterations\":[", SILR_EINPUT},
        {"{\"iterations\":[]}", SILR_OK},
        {"{\"task\":\"\\u001b[2J\",\"classes\":7,\"iterations\":[1,{\"theta\":\"x\","
         "\"flips\":1e99,\"accepted\":3,\"label\":{}},null],\"final\":{\"documents\":1e300}}",
         SILR_OK},
        {"{\"classes\":[1,2,3],\"iterations\":[{\"theta\":[[1],2],\"iteration\":\"one\"}]}",
         SILR_OK},
    };
    run r;
    silr_error err = {0};
    (void)state;

    must(run_open(&r, 2, true, &err), &err);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        silr_buf out = {0};
        char *path = silr_path_join(r.dir, "metrics.json");
        must(silr_file_write(path, odd[i].json, strlen(odd[i].json), &err), &err);
        assert_int_equal(silr_report_table(r.dir, false, &out, &err), odd[i].want);
        assert_true(!out.data || (!strchr(out.data, '\033') && !strstr(out.data, "nan")));
        if (odd[i].want != SILR_OK)
            assert_non_null(strstr(err.text, "metrics.json"));
        silr_free(path);
        silr_buf_clear(&out);
    }
    run_free(&r);
}

/* --- the page ----------------------------------------------------------------------------------
 */

/* A strict reader of tags: each opened is closed in order, attributes are quoted, nothing is left.
 * Returns NULL, or where it went wrong. Void elements are those that the page uses. */
static const char *unbalanced(const char *p)
{
    enum { DEEP = 64 };
    char open[DEEP][24];
    int depth = 0;

    while ((p = strchr(p, '<'))) {
        const char *at = p++;
        char name[24] = "";
        bool closing = *p == '/';
        size_t len;
        if (*p == '!' && (p = strchr(p, '>')))
            continue;
        if (!p)
            return at;
        p += closing;
        len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        if (len == 0 || len >= sizeof name)
            return at;
        memcpy(name, p, len);
        p += len;
        while (*p && *p != '>') {
            if (*p == '"' && !(p = strchr(p + 1, '"')))
                return at;
            if (*p == '<' || *p == '\'')
                return at;
            p++;
        }
        if (!*p)
            return at;
        if (p[-1] == '/' || strcmp(name, "meta") == 0)
            continue;
        if (closing) {
            if (depth == 0 || strcmp(open[--depth], name) != 0)
                return at;
        } else if (depth < DEEP) {
            memcpy(open[depth++], name, sizeof name);
        } else {
            return at;
        }
    }
    return depth == 0 ? NULL : "something is left open";
}

static void check_page(const char *html)
{
    const char *at = unbalanced(html);
    if (at)
        fail_msg("tags do not match at: %.200s", at);
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "http://"));
    assert_null(strstr(html, "https://"));
    assert_null(strstr(html, "nan"));
    assert_null(strstr(html, "inf%"));
}

static void page_says_the_answer_first(void **state)
{
    run r;
    silr_error err = {0};
    char *html;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    html = run_read(&r, "report.html");
    check_page(html);
    assert_non_null(strstr(html, "Of 4 labels, <strong>1 was changed</strong>; of 2 texts that had "
                                 "none, <strong>1 has one now</strong>"));
    assert_non_null(strstr(html, "<strong>75 to 94 of 100</strong> are right now; before it was "
                                 "50 to 90"));
    assert_true(strstr(html, "id=\"answer\"") < strstr(html, "id=\"curves\""));
    assert_non_null(strstr(html, "fine acting")); /* c changed */
    assert_null(strstr(html, "Oracle priors"));
    silr_free(html);
    run_free(&r);
}

/* A run that was stopped early has a page that says so, and no labels.jsonl yet. */
static void unfinished_run(void **state)
{
    run r;
    silr_error err = {0};
    char *html;
    (void)state;

    must(run_open(&r, 2, true, &err), &err);
    must(silr_store_documents(r.store, r.corpus, &err), &err);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    html = run_read(&r, "report.html");
    check_page(html);
    assert_non_null(strstr(html, "This run is not finished"));
    silr_free(html);
    assert_int_equal(silr_report_labels(r.task, r.corpus, r.store, r.dir, &err), SILR_EINPUT);
    assert_null(run_read(&r, "labels.jsonl"));
    run_free(&r);
}

/* Written twice, the same bytes: nothing but the store, the corpus and the task went in. */
static void same_store_same_bytes(void **state)
{
    static const char *const file[] = {"labels.jsonl", "metrics.json", "figures/accuracy.svg",
                                       "figures/reliability.tsv"};
    run r;
    silr_error err = {0};
    char *first[4];
    (void)state;

    must(run_make(&r, 3, true, &err), &err);
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    for (int i = 0; i < 4; i++)
        assert_non_null(first[i] = run_read(&r, file[i]));
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    for (int i = 0; i < 4; i++) {
        char *second = run_read(&r, file[i]);
        assert_string_equal(first[i], second);
        silr_free(first[i]);
        silr_free(second);
    }
    run_free(&r);
}

static void oracle_is_said_loudly(void **state)
{
    run r;
    silr_error err = {0};
    char *html, *json;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_task_set(r.task, "labelled", "oracle", &err), &err);
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    html = run_read(&r, "report.html");
    json = run_read(&r, "metrics.json");
    assert_non_null(strstr(html, "Oracle priors: true labels of all texts were"));
    assert_non_null(strstr(json, "\"oracle\":true"));
    silr_free(html);
    silr_free(json);
    run_free(&r);
}

static const char *const figure[] = {"accuracy", "theta",         "flips",
                                     "losses",   "scores-before", "scores-after"};
enum { FIGURES = sizeof figure / sizeof *figure };

/* Texts, ids, names and remarks that try to break out stay text, in every file. */
static void hostile_names_stay_text(void **state)
{
    run r;
    silr_error err = {0};
    char *html;
    (void)state;

    must(run_make_hostile(&r, &err), &err);
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    html = run_read(&r, "report.html");
    check_page(html);
    assert_non_null(strstr(html, "&lt;/td&gt;&lt;/script&gt;&lt;script&gt;alert(1)"));
    silr_free(html);
    for (int i = 0; i < FIGURES; i++) {
        char name[64], *svg;
        snprintf(name, sizeof name, "figures/%s.svg", figure[i]);
        assert_non_null(svg = run_read(&r, name));
        assert_null(unbalanced(svg));
        silr_free(svg);
    }
    run_free(&r);
}

/* gnuplot takes every script, also with hostile names in them; where it is installed. */
static void gnuplot_takes_the_scripts(void **state)
{
    run r;
    silr_error err = {0};
    int status = 0;
    pid_t pid;
    char *version[] = {"gnuplot", "--version", NULL};
    (void)state;

    if (posix_spawnp(&pid, "gnuplot", NULL, NULL, version, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0) {
        print_message("gnuplot is not installed: skipped\n");
        skip();
    }
    must(run_make_hostile(&r, &err), &err);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    for (int i = 0; i < FIGURES; i++) {
        char name[64], dir[300], *svg;
        char *args[] = {"gnuplot", name, NULL};
        posix_spawn_file_actions_t in;
        snprintf(name, sizeof name, "%s.gp", figure[i]);
        snprintf(dir, sizeof dir, "%s/figures", r.dir);
        posix_spawn_file_actions_init(&in);
        posix_spawn_file_actions_addchdir_np(&in, dir);
        assert_int_equal(posix_spawnp(&pid, "gnuplot", &in, NULL, args, environ), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        posix_spawn_file_actions_destroy(&in);
        snprintf(name, sizeof name, "figures/%s.gnuplot.svg", figure[i]);
        assert_non_null(svg = run_read(&r, name));
        silr_free(svg);
    }
    run_free(&r);
}

/* --- charts ------------------------------------------------------------------------------------
 */

static void axis_steps_are_round(void **state)
{
    (void)state;
    assert_true(fabs(silr_figure_step(0, 1) - 0.2) < 1e-12);
    assert_true(fabs(silr_figure_step(0, 4) - 1) < 1e-12);
    assert_true(fabs(silr_figure_step(0.86, 0.95) - 0.02) < 1e-12);
    assert_true(fabs(silr_figure_step(0, 37000) - 10000) < 1e-6);
}

/* One point, equal points, no points, NAN and 64 long names: no NAN or infinity in the drawing. */
static void odd_data_draws(void **state)
{
    silr_figure g = {.name = "x", .title = "t", .note = "n", .x_label = "x", .y_label = "y"};
    silr_buf b = {0};
    (void)state;

    silr_figure_svg(&g, true, &b); /* nothing at all */
    for (int i = 0; i < 64; i++) {
        silr_series *s = silr_figure_add(
            &g, "a class with a name that is very long indeed \xc3\xa4\xc3\xb6", 2, i % 7);
        assert_non_null(s);
        s->p[0] = (silr_point){0, i == 3 ? (double)NAN : 0.5, i ? (double)NAN : 0.5,
                               i ? (double)NAN : 0.5};
    }
    silr_figure_svg(&g, true, &b);
    assert_false(b.failed);
    assert_null(strstr(b.data, "nan"));
    assert_null(strstr(b.data, "inf"));
    assert_null(unbalanced(b.data));
    silr_buf_clear(&b);
    silr_figure_clear(&g);
}

/* --- when things go wrong ----------------------------------------------------------------------
 */

/* Each allocation fails once: an error, no leak, and no half-written file in place of a good one.
 */
static void every_allocation_may_fail(void **state)
{
    run r;
    silr_error err = {0};
    char *before, *after;
    uint64_t total;
    int failed = 0;
    (void)state;

    must(run_make(&r, 3, true, &err), &err);
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    before = run_read(&r, "metrics.json");
    silr_mem_count();
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    total = silr_mem_count();
    for (uint64_t n = 1; n <= total; n += 1 + n / 16) {
        silr_status st;
        silr_mem_fail_at(n, false);
        st = silr_report_write(r.task, r.corpus, r.store, r.dir, &err);
        silr_mem_fail_at(0, false);
        failed += st == SILR_ENOMEM; /* SQLite can do without some of its own */
        assert_true(st == SILR_ENOMEM || st == SILR_OK || st == SILR_EIO);
        after = run_read(&r, "metrics.json");
        assert_string_equal(after, before);
        silr_free(after);
    }
    assert_true(failed > 30);
    silr_free(before);
    run_free(&r);
}

/* A full disk: a clear error, and the file that was there is still whole. */
static void disk_full(void **state)
{
    static const char *const file[] = {"labels.jsonl", "metrics.json", "manifest.json",
                                       "report.html"};
    run r;
    silr_error err = {0};
    struct rlimit was, small;
    int status = 0;
    pid_t pid;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    must(silr_report_write(r.task, r.corpus, r.store, r.dir, &err), &err);
    fflush(NULL);
    if ((pid = fork()) == 0) {
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &was);
        small = was;
        small.rlim_cur = 100;
        setrlimit(RLIMIT_FSIZE, &small);
        _exit(silr_report_labels(r.task, r.corpus, r.store, r.dir, &err) == SILR_EIO &&
                      strstr(err.text, "labels.jsonl") &&
                      silr_report_html(r.task, r.corpus, r.store, r.dir, &err) == SILR_EIO &&
                      strstr(err.text, "report.html")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 4; i++) {
        char *text = run_read(&r, file[i]);
        assert_non_null(text);
        assert_true(strlen(text) > 100);
        silr_free(text);
    }
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_two_classes),
        cmocka_unit_test(labels_of_three_classes),
        cmocka_unit_test(metrics_of_two_classes),
        cmocka_unit_test(metrics_without_truth),
        cmocka_unit_test(manifest_names_everything),
        cmocka_unit_test(table_for_the_terminal),
        cmocka_unit_test(table_of_odd_files),
        cmocka_unit_test(page_says_the_answer_first),
        cmocka_unit_test(oracle_is_said_loudly),
        cmocka_unit_test(unfinished_run),
        cmocka_unit_test(same_store_same_bytes),
        cmocka_unit_test(hostile_names_stay_text),
        cmocka_unit_test(gnuplot_takes_the_scripts),
        cmocka_unit_test(axis_steps_are_round),
        cmocka_unit_test(odd_data_draws),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(disk_full),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
