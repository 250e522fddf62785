/* test_asked.c - a run with a language model for an annotator, against the test server: the rest of
 * silr treats it as it treats any annotator, and what is its own (examples, checks, failures,
 * forecasts) does what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "report/report.h"
#include "run/run.h"
#include "server/start.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/silr-test-asked-XXXXXX";
enum { N = 120 };

/* The server answers with the class in [[brackets]]: right but for every 5th text. `sign`: what the
 * truth column holds for texts that are not examples or sample. */
static void make_corpus(void)
{
    silr_buf b = {0};
    char path[128];

    for (int i = 0; i < N; i++) {
        int of = i == 50 ? 49 : i, y = (of * 7 + of / 3) % 2, says = of % 5 ? y : 1 - y;
        silr_buf_printf(&b, "{\"id\":\"t%d\",\"text\":\"%s number %d [[%s]]\",\"label\":\"%s\"}\n", i,
                        y ? "bank and shares" : "goal and match", of,
                        says ? "money" : "sport", y ? "money" : "sport");
    }
    snprintf(path, sizeof path, "%s/texts.jsonl", top);
    assert_int_equal(silr_file_write(path, b.data, b.len, NULL), SILR_OK);
    silr_buf_clear(&b);
}

static silr_task *load(const struct server *s, const char *more)
{
    silr_buf b = {0};
    silr_task *t = NULL;
    silr_error err = {0};

    silr_buf_printf(&b,
                    "name: small\nquestion: What is it about?\nclasses: [sport, money]\n"
                    "corpus: {files: [texts.jsonl], text: text, id: id, label: label}\n"
                    "labelled: {count: 30}\nclassifier: {bits: 12}\n"
                    "refine: {iterations: 1, steps: 10, folds: 2, label_folds: 2}\n"
                    "annotator: {kind: chat, url: \"%s\", model: m, auth: none%s}\n", s->url, more);
    if (silr_task_parse(&t, b.data, b.len, "task.yaml", top, NULL, 0, &err) != SILR_OK)
        fail_msg("%s", err.text);
    silr_buf_clear(&b);
    return t;
}

static silr_status open_in(silr_session *s, silr_task *t, const char *dir, silr_error *err)
{
    static char path[160];
    silr_status st;

    snprintf(path, sizeof path, "%s/%s", top, dir);
    st = silr_session_open(s, t, path, err);
    return st == SILR_OK ? silr_session_annotate(s, err) : st;
}

static void start(struct server *s, const char *const *args)
{
    make_corpus();
    assert_true(server_start(s, args));
}

static const char *const plain[] = {"--classes", "sport,money", NULL};

/* Examples come from the labelled sample, are in the prompt, and have no label of the model's; nor
 * has a text equal to one. */
static void examples_count_neither_way(void **state)
{
    struct server srv;
    silr_session s;
    silr_error err = {0};
    silr_examples e;
    silr_task *t;
    size_t unlabelled = 0;
    (void)state;

    start(&srv, plain);
    t = load(&srv, ", examples: 6");
    assert_int_equal(open_in(&s, t, "examples", &err), SILR_OK);
    assert_int_equal(silr_examples_draw(&e, t, s.corpus, &err), SILR_OK);
    assert_int_equal(e.n_examples, 6);
    assert_int_equal(silr_session_sample(&s, &err), SILR_OK);
    assert_int_equal(s.sample.n, 30); /* examples are part of the budget, not on top of it */
    for (size_t i = 0; i < e.n_examples; i++) {
        uint32_t d = e.doc[e.example[i]];
        bool in_sample = false;
        assert_int_equal(s.initial[d], SILR_NO_LABEL);
        assert_int_equal(e.truth[e.example[i]], (int)(i % 2)); /* class by class in turn */
        assert_int_not_equal(silr_corpus_split(s.corpus, d), SILR_TEST);
        for (size_t k = 0; k < s.sample.n; k++)
            in_sample = in_sample || s.sample.doc[k] == d;
        assert_true(in_sample);
    }
    for (size_t i = 0; i < N; i++)
        unlabelled += s.initial[i] == SILR_NO_LABEL;
    assert_true(unlabelled >= 6 && unlabelled <= 7); /* 49 and 50 are equal */
    assert_int_equal(server_count(&srv, "requests"), (int64_t)(N - unlabelled) - (s.initial[49] >= 0));
    silr_examples_clear(&e);
    silr_session_close(&s);
    silr_task_free(t);
    server_stop(&srv);
}

/* Nothing but the sample's truth has a part in the prompt or the labels. */
static void the_truth_of_others_is_never_read(void **state)
{
    struct server srv;
    int *first = NULL;
    (void)state;

    start(&srv, plain);
    for (int scrambled = 0; scrambled < 2; scrambled++) {
        silr_task *t = load(&srv, ", examples: 4");
        silr_session s;
        silr_error err = {0};
        char dir[40];
        if (scrambled) { /* a false truth for all that were not looked at */
            silr_session look;
            silr_examples e;
            silr_buf b = {0};
            char path[128];
            assert_int_equal(silr_session_open(&look, t, NULL, &err), SILR_OK);
            assert_int_equal(silr_examples_draw(&e, t, look.corpus, &err), SILR_OK);
            for (int i = 0; i < N; i++) {
                int of = i == 50 ? 49 : i, y = (of * 7 + of / 3) % 2, says = of % 5 ? y : 1 - y;
                int told = 1 - y;
                for (size_t k = 0; k < e.n; k++)
                    told = e.doc[k] == (uint32_t)i ? y : told;
                silr_buf_printf(&b, "{\"id\":\"t%d\",\"text\":\"%s number %d [[%s]]\",\"label\":\"%s\"}\n",
                                i, y ? "bank and shares" : "goal and match", of,
                                says ? "money" : "sport", told ? "money" : "sport");
            }
            snprintf(path, sizeof path, "%s/texts.jsonl", top);
            assert_int_equal(silr_file_write(path, b.data, b.len, NULL), SILR_OK);
            silr_buf_clear(&b);
            silr_examples_clear(&e);
            silr_session_close(&look);
        }
        snprintf(dir, sizeof dir, "truth-%d", scrambled);
        assert_int_equal(open_in(&s, t, dir, &err), SILR_OK);
        if (!scrambled) {
            first = malloc(N * sizeof *first);
            memcpy(first, s.initial, N * sizeof *first);
        } else {
            assert_memory_equal(first, s.initial, N * sizeof *first);
        }
        silr_session_close(&s);
        silr_task_free(t);
    }
    assert_int_equal(server_count(&srv, "answers_twice"), (int64_t)N - 4 - 1);
    free(first);
    server_stop(&srv);
}

/* Each check is a source of its own, asked in the ledger's words, and the labels in use stay the first. */
static void checks_are_kept_beside(void **state)
{
    struct server srv;
    silr_session s;
    silr_error err = {0};
    silr_annotators a;
    silr_task *t;
    int label[N];
    size_t other = 0;
    (void)state;

    start(&srv, plain);
    t = load(&srv, ", self_refine: 2");
    assert_int_equal(open_in(&s, t, "checks", &err), SILR_OK);
    for (int i = 0; i < N; i++)
        if (i != 50)
            assert_int_equal(s.initial[i], i % 5 ? (i * 7 + i / 3) % 2 : 1 - (i * 7 + i / 3) % 2);
    assert_int_equal(silr_store_annotations(s.store, SILR_SOURCE(0, 1), N, label, NULL, NULL, &err),
                     SILR_OK);
    for (int i = 0; i < N; i++)
        other += label[i] != s.initial[i];
    assert_true(other > N / 10 && other < N / 3); /* the server changes its mind on a fifth */
    assert_int_equal(silr_annotators_read(&a, t, s.corpus, s.store, &err), SILR_OK);
    assert_int_equal(a.n, 3);
    assert_int_equal(a.row[2].round, 2);
    assert_int_equal(a.row[2].labelled, N);
    assert_true(a.row[1].measured > 0.4);
    silr_annotators_clear(&a);
    silr_session_close(&s);
    assert_int_equal(open_in(&s, t, "checks", &err), SILR_OK);
    assert_int_equal(s.annotated, 0);
    silr_session_close(&s);
    silr_task_free(t);
    server_stop(&srv);
}

/* Texts that the server refuses are failures with a reason, not lost, and asked again when wanted. */
static void failures_and_another_try(void **state)
{
    static const char *const bad[] = {"--classes", "sport,money", "--fault", "400=0.2", NULL};
    struct server srv;
    silr_session s;
    silr_error err = {0};
    silr_task *t;
    silr_buf b = {0};
    char path[160], port[16];
    size_t failed = 0, lines = 0, equal = 0;
    (void)state;

    start(&srv, bad);
    t = load(&srv, "");
    if (open_in(&s, t, "failures", &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_true(s.too_many_bad);
    for (int i = 0; i < N; i++)
        failed += s.initial[i] == SILR_NO_LABEL;
    assert_true(failed > N / 20);
    equal = s.initial[49] == SILR_NO_LABEL; /* the text of 50: asked about once */
    snprintf(path, sizeof path, "%s/failures/failed.jsonl", top);
    assert_int_equal(silr_file_read(&b, path, 1 << 20, &err), SILR_OK);
    for (size_t i = 0; i < b.len; i++)
        lines += b.data[i] == '\n';
    assert_int_equal(lines, failed);
    assert_non_null(strstr(b.data, "\"annotator\":\"m\",\"reason\":\"HTTP 400: "));
    silr_session_close(&s);
    snprintf(port, sizeof port, "%u", srv.port);
    server_stop(&srv);

    /* The same endpoint, mended: only those that failed are asked, once told to. */
    const char *const good[] = {"--classes", "sport,money", "--port", port, NULL};
    assert_true(server_start(&srv, good));
    assert_int_equal(open_in(&s, t, "failures", &err), SILR_OK);
    assert_int_equal(s.annotated, 0);
    s.retry_failed = true;
    if (silr_session_annotate(&s, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(server_count(&srv, "requests"), (int64_t)(failed - equal));
    for (int i = 0; i < N; i++)
        assert_int_not_equal(s.initial[i], SILR_NO_LABEL);
    assert_false(silr_file_exists(path));
    silr_buf_clear(&b);
    silr_session_close(&s);
    silr_task_free(t);
    server_stop(&srv);
}

/* A forecast sends nothing, knows what is answered, and measures tokens where it can. */
static void plans_send_nothing(void **state)
{
    struct server srv;
    silr_session s;
    silr_error err = {0};
    silr_plan p;
    silr_buf prompt = {0};
    silr_task *t;
    char dir[160];
    (void)state;

    start(&srv, plain);
    t = load(&srv, ", prices: {m: {input: 1000000, output: 0}}, max_requests: 40, concurrency: 1");
    snprintf(dir, sizeof dir, "%s/plan", top);
    assert_int_equal(silr_session_open(&s, t, NULL, &err), SILR_OK);
    assert_int_equal(silr_session_plan(&s, t, dir, &p, &prompt, &err), SILR_OK);
    assert_int_equal(server_count(&srv, "requests"), 0);
    assert_int_equal(p.requests, N);
    assert_int_equal(p.known, 0);
    assert_int_equal(p.measured_on, 0);
    assert_true(p.in_low < p.in && p.in < p.in_high);
    assert_true(fabs(p.cost - floor(p.in)) < 1.5); /* a token costs 1 */
    assert_non_null(strstr(prompt.data, "What is it about?"));
    assert_non_null(strstr(prompt.data, "goal and match number 0"));
    silr_session_close(&s);

    assert_int_equal(open_in(&s, t, "plan", &err), SILR_ELIMIT);
    silr_session_close(&s);
    assert_int_equal(server_count(&srv, "requests"), 40);
    assert_int_equal(silr_session_open(&s, t, NULL, &err), SILR_OK);
    assert_int_equal(silr_session_plan(&s, t, dir, &p, &prompt, &err), SILR_OK);
    assert_int_equal(p.known, 40);
    assert_int_equal(p.measured_on, 40);
    assert_true(p.in_high - p.in_low < 0.1 * p.in);
    assert_int_equal(server_count(&srv, "requests"), 40);
    silr_session_close(&s);
    silr_buf_clear(&prompt);
    silr_task_free(t);
    server_stop(&srv);
}

/* A certificate that nobody vouches for gets no key; one that SSL_CERT_FILE names does. */
static void certificates_are_verified(void **state)
{
    char cert[128], key[128];
    const char *args[] = {"--classes", "sport,money", "--tls-cert", cert, "--tls-key", key, "--key",
                          "sk-tls-1234", NULL};
    struct server srv;
    silr_session s;
    silr_error err = {0};
    silr_task *t;
    char url[80], set[120];
    const char *sets[] = {set, "annotator.auth=bearer", "annotator.retries=0"};
    silr_buf json = {0};
    (void)state;

    snprintf(cert, sizeof cert, "%s/cert.pem", top);
    snprintf(key, sizeof key, "%s/key.pem", top);
    make_corpus();
    assert_true(server_make_cert(cert, key));
    assert_true(server_start(&srv, args));
    snprintf(url, sizeof url, "https://127.0.0.1:%u/v1", srv.port);
    snprintf(set, sizeof set, "annotator.url=%s", url);
    t = load(&srv, "");
    silr_task_to_json(t, &json);
    silr_task_free(t);
    assert_int_equal(silr_task_parse(&t, json.data, json.len, "task.yaml", top, sets, 3, &err), SILR_OK);
    silr_buf_clear(&json);

    setenv("OPENAI_API_KEY", "sk-tls-1234", 1);
    unsetenv("SSL_CERT_FILE");
    assert_int_equal(open_in(&s, t, "tls", &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "TLS"));
    silr_session_close(&s);
    setenv("SSL_CERT_FILE", cert, 1);
    if (open_in(&s, t, "tls", &err) != SILR_OK)
        fail_msg("%s", err.text);
    silr_session_close(&s);
    unsetenv("SSL_CERT_FILE");
    unsetenv("OPENAI_API_KEY");
    silr_task_free(t);
    server_stop(&srv);
}

/* The whole of it, twice: the second time nothing is asked and nothing is done; the report tells. */
static void a_whole_run(void **state)
{
    struct server srv;
    silr_error err = {0};
    silr_run_settings settings = {0};
    silr_run_outcome out;
    silr_task *t;
    silr_buf b = {0};
    char dir[160], path[200];
    (void)state;

    start(&srv, plain);
    t = load(&srv, ", examples: 2");
    snprintf(dir, sizeof dir, "%s/whole", top);
    if (silr_run_all(t, dir, &settings, &out, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(silr_run_all(t, dir, &settings, &out, &err), SILR_OK);
    assert_true(out.nothing_to_do);
    assert_true(server_count(&srv, "requests") <= N - 2);
    snprintf(path, sizeof path, "%s/report.html", dir);
    assert_int_equal(silr_file_read(&b, path, 1 << 24, &err), SILR_OK);
    assert_non_null(strstr(b.data, "id=\"annotators\""));
    assert_non_null(strstr(b.data, "log-probabilities"));
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    assert_int_equal(silr_file_read(&b, path, 1 << 24, &err), SILR_OK);
    assert_non_null(strstr(b.data, "\"traffic\":{\"answered\":"));
    silr_buf_clear(&b);
    silr_task_free(t);
    server_stop(&srv);
}

static int enter(void **state)
{
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int leave(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_count_neither_way), cmocka_unit_test(the_truth_of_others_is_never_read),
        cmocka_unit_test(checks_are_kept_beside),     cmocka_unit_test(failures_and_another_try),
        cmocka_unit_test(plans_send_nothing),         cmocka_unit_test(certificates_are_verified),
        cmocka_unit_test(a_whole_run),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
