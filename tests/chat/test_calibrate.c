/* test_calibrate.c - annotator.calibrate: contextual, through the built program.
 *
 * A model that always answers "positive": of texts of even number it is sure by .6, of others by .9,
 * and of no text at all by .7. So the even ones speak against it:
 *     even   .6/.7 : .4/.3 = .857 : 1.333     negative, by .609
 *     odd    .9/.7 : .1/.3 = 1.286 : .333     positive, by .794 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "chat/talk.h"
#include <math.h>
#include <sqlite3.h>
#include <string.h>

static struct program s;
static bool silent; /* no log-probabilities for no text */

static unsigned leaning(const char *body, int attempt, silr_buf *out)
{
    int item = script_item(body);
    double p = item < 0 ? 0.7 : item % 2 == 0 ? 0.6 : 0.9;
    (void)attempt;

    silr_buf_puts(out, "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"positive\"},"
                       "\"finish_reason\":\"stop\"");
    if (item >= 0 || !silent)
        silr_buf_printf(out, ",\"logprobs\":{\"content\":[{\"token\":\"positive\",\"logprob\":%.9f,\"top_logprobs\":["
                        "{\"token\":\"positive\",\"logprob\":%.9f},{\"token\":\"negative\",\"logprob\":%.9f}]}]}",
                        log(p), log(p), log(1 - p));
    silr_buf_puts(out, "}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}");
    return 200;
}

static double confidence(const char *name, int doc)
{
    char sql[120];

    snprintf(sql, sizeof sql, "SELECT CAST(round(confidence*1e6) AS INTEGER) FROM annotations WHERE source=0 "
             "AND doc=%d", doc);
    return (double)program_number(name, sql) / 1e6;
}

static void what_no_text_says_is_taken_off(void **state)
{
    const char *url = script_start(leaning);
    (void)state;

    program_make("plain", 20, "");
    assert_int_equal(program_run(&s, "plain", url, NULL), 0);
    program_look(&s);
    assert_int_equal(program_count(&s, 0), 20);
    assert_int_equal(script_requests(), 20);

    program_make("straight", 20, "calibrate: contextual");
    assert_int_equal(program_run(&s, "straight", url, NULL), 0);
    program_look(&s);
    assert_int_equal(script_requests(), 41); /* one more than texts */
    for (int i = 0; i < 20; i++)
        assert_int_equal(s.label[i], i % 2 == 0 ? 1 : 0);
    assert_true(fabs(confidence("straight", 0) - (0.4 / 0.3) / (0.4 / 0.3 + 0.6 / 0.7)) < 1e-5);
    assert_true(fabs(confidence("straight", 1) - (0.9 / 0.7) / (0.9 / 0.7 + 0.1 / 0.3)) < 1e-5);
    program_clear(&s);
    script_stop();
}

static void without_log_probabilities_it_is_refused(void **state)
{
    const char *url = script_start(leaning);
    (void)state;

    silent = true;
    program_make("silent", 20, "calibrate: contextual");
    assert_int_equal(program_run(&s, "silent", url, NULL), 5);
    assert_true(program_says(&s, "annotator.calibrate: contextual needs it"));
    assert_int_equal(script_requests(), 1);
    assert_int_equal(program_run(&s, "silent", url, "--set", "annotator.logprobs=false", NULL), 3);
    assert_true(program_says(&s, "it needs annotator.logprobs: true"));
    program_clear(&s);
    script_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_text_says_is_taken_off),
        cmocka_unit_test(without_log_probabilities_it_is_refused),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
