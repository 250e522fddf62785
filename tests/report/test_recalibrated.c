/* test_recalibrated.c - a run that began from recalibrated log-odds says so, in numbers, in the
 * terminal's table and on the page; one that did not says nothing of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run.h"
#include <string.h>

static void must(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("%s", err->text);
}

static void keep(run *r, const char *json)
{
    silr_error err = {0};
    must(silr_store_set(r->store, "recalibrated", json, strlen(json), &err), &err);
}

static char *metrics_of(run *r)
{
    silr_error err = {0};
    must(silr_report_metrics(r->task, r->corpus, r->store, r->dir, &err), &err);
    return run_read(r, "metrics.json");
}

/* Of the annotator's labels of a, b, c, e the last two are wrong; the log-odds mend both. */
static const char fact[] = "{\"a\":2.5,\"b\":2,\"estimated\":[0.8,0.625,0.9375],\"labels\":\"010-0-\"}";

static void the_numbers_stand_beside_iteration_0(void **state)
{
    static const char want[] =
        "\"estimated_accuracy\":{\"value\":0.75,\"low\":0.5,\"high\":0.9},\"recalibrated\":{\"a\":2.5,"
        "\"b\":2,\"label\":{\"n\":4,\"coverage\":0.666667,\"accuracy\":1,\"balanced_accuracy\":1,"
        "\"precision\":1,\"recall\":1,\"f1\":1,\"confusion\":[[3,0],[0,1]]},\"estimated_accuracy\":{"
        "\"value\":0.8,\"low\":0.625,\"high\":0.9375}},\"flips\":0";
    run r;
    silr_error err = {0};
    silr_buf table = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    text = metrics_of(&r);
    assert_null(strstr(text, "recalibrated"));
    silr_free(text);
    keep(&r, fact);
    text = metrics_of(&r);
    assert_non_null(strstr(text, want));
    assert_null(strstr(strstr(text, "recalibrated") + 1, "recalibrated")); /* once */
    assert_non_null(strstr(text, "\"estimated_before\":{\"value\":0.75,")); /* before is still raw */
    silr_free(text);
    must(silr_report_table(r.dir, false, &table, &err), &err);
    assert_non_null(strstr(table.data, " log-odds    0.800 [0.625, 0.938]    1.000"));
    silr_buf_clear(&table);
    run_free(&r);
}

static void the_page_says_it_in_a_sentence(void **state)
{
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    keep(&r, fact);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "report.html");
    assert_non_null(strstr(text, "its zero belongs at -0.8: so read, 2 labels differ from its answers; "
                                 "estimated, 75.0% right as they came, 80.0% recalibrated, 87.5% in "
                                 "the end; measured, 50.0% right as they came, 100.0% recalibrated, "
                                 "80.0% in the end."));
    assert_non_null(strstr(text, "Recalibrated, estimated"));
    silr_free(text);
    run_free(&r);
}

/* Stated numbers, nobody checked a text, no truth: the sentence goes without. */
static void what_is_not_known_is_left_out(void **state)
{
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, false, &err), &err);
    keep(&r, "{\"a\":2,\"b\":-1,\"estimated\":[null,null,null],\"labels\":\"010-1-\"}");
    text = metrics_of(&r);
    assert_non_null(strstr(text, "\"recalibrated\":{\"a\":2,\"b\":-1,\"estimated_accuracy\":null}"));
    silr_free(text);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    text = run_read(&r, "report.html");
    assert_non_null(strstr(text, "belongs at 0.5: so read, 1 label differs from its answer.</p>"));
    silr_free(text);
    run_free(&r);
}

/* The store is a file like any other: what does not fit the run is not told. */
static void odd_facts_say_nothing(void **state)
{
    static const char *const odd[] = {"", "[]", "{", "{\"labels\":7}", "{\"labels\":\"01\"}",
                                      "{\"a\":1,\"b\":0,\"labels\":\"0101010101\"}"};
    run r;
    silr_error err = {0};
    char *text;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        keep(&r, odd[i]);
        text = metrics_of(&r);
        assert_null(strstr(text, "recalibrated"));
        silr_free(text);
    }
    keep(&r, "{\"labels\":\"\\u0001x\xc3\xa9\xff-\"}"); /* not UTF-8 */
    silr_free(metrics_of(&r));
    keep(&r, "{\"a\":\"x\",\"estimated\":{},\"labels\":\"zzzzzz\"}");
    text = metrics_of(&r);
    assert_non_null(strstr(text, "\"recalibrated\":{\"a\":null,\"b\":null,\"estimated_accuracy\":null}"));
    silr_free(text);
    must(silr_report_html(r.task, r.corpus, r.store, r.dir, &err), &err);
    run_free(&r);
}

static void every_allocation_may_fail(void **state)
{
    run r;
    silr_error err = {0};
    uint64_t total;
    (void)state;

    must(run_make(&r, 2, true, &err), &err);
    keep(&r, fact);
    silr_mem_count();
    silr_free(metrics_of(&r));
    total = silr_mem_count();
    for (uint64_t n = 1; n <= total; n++) {
        silr_status st;
        silr_mem_fail_at(n, false);
        st = silr_report_metrics(r.task, r.corpus, r.store, r.dir, &err);
        silr_mem_fail_at(0, false);
        if (st != SILR_OK && st != SILR_ENOMEM)
            fail_msg("allocation %d: status %d, %s", (int)n, (int)st, err.text);
    }
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_stand_beside_iteration_0),
        cmocka_unit_test(the_page_says_it_in_a_sentence),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(odd_facts_say_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
