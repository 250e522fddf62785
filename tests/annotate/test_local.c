/* test_local.c - a local model's labels are the likeliest names behind its own prompt, each text's its own.
 *
 * The model is the tiny random one of tests/engine, whose tokens are the characters of ASCII, so a
 * prompt's ids can be written down by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "annotate/internal.h"
#include "engine/engine.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MODEL SOURCE_ROOT "/tests/engine/data/tinyllama"
enum { N = 7, K = 3, SHOWN = 12 };

struct silr_corpus {
    const char *const *text;
};
const char *silr_corpus_text(const silr_corpus *c, size_t i, size_t *len)
{
    *len = strlen(c->text[i]);
    return c->text[i];
}

size_t silr_corpus_size(const silr_corpus *c)
{
    (void)c;
    return N;
}
const char *silr_corpus_id(const silr_corpus *c, size_t i)
{
    (void)c;
    (void)i;
    return "id";
}
bool silr_corpus_empty(const silr_corpus *c, size_t i)
{
    (void)c;
    (void)i;
    return false;
}
const char *silr_corpus_column(const silr_corpus *c, size_t i, const char *column)
{
    (void)c;
    (void)i;
    (void)column;
    return NULL;
}

static const char *const texts[N] = {"good", "a film about nothing at all", "x", "Bad!", "so so",
                                     "no: no; no", "good"};
static const silr_corpus corpus = {texts};
static char *names[] = {"yes", "no", "maybe"};
static silr_error err;

static silr_task task_of(const char *prompt, size_t classes)
{
    silr_task t = {.path = (char *)"task.yaml", .dir = (char *)"", .n_classes = classes, .classes = names};

    t.annotator.kind = SILR_ANNOTATOR_LOCAL;
    t.annotator.chat.model = (char *)MODEL;
    t.annotator.chat.prompt_template = (char *)prompt;
    t.annotator.talk = 1 + SILR_TALK_NONE;
    return t;
}

typedef struct {
    size_t n;
    int label[SHOWN];
    float logp[SHOWN][K];
    char reason[SHOWN][120];
} notes;

static silr_status write_down(void *ctx, size_t doc, const silr_annotation *a, silr_error *e)
{
    notes *w = ctx;
    (void)e;

    w->label[doc] = a->label;
    if (a->logp)
        memcpy(w->logp[doc], a->logp, sizeof w->logp[0]);
    snprintf(w->reason[doc], sizeof w->reason[0], "%s", a->reason ? a->reason : "");
    w->n++;
    return SILR_OK;
}

static silr_status run_on(const silr_task *t, const uint32_t *docs, size_t n, notes *w)
{
    silr_annotator *a;
    silr_status st = silr_annotator_new(&a, t, NULL, &err);

    *w = (notes){0};
    if (st == SILR_OK) {
        assert_int_equal(strlen(a->identity), 64);
        st = a->annotate(a, &corpus, docs, n, write_down, w, &err);
    }
    silr_annotator_free(a);
    return st;
}

static const uint32_t all[N] = {0, 1, 2, 3, 4, 5, 6};

/* Log-likelihoods of the names behind a page, by the engine alone. */
static void by_hand(const char *page, double l[K])
{
    static const char *const answer[K] = {" yes", " no", " maybe"};
    const silr_engine_opts opts = {.bare = true};
    silr_engine *e;
    uint32_t ids[256], cont[32];
    size_t start[2] = {0, strlen(page)}, cont_start[K + 1] = {0};
    float out[K];

    for (size_t i = 0; page[i]; i++)
        ids[i] = (unsigned char)page[i];
    for (size_t k = 0; k < K; k++) {
        cont_start[k + 1] = cont_start[k] + strlen(answer[k]);
        for (size_t i = 0; answer[k][i]; i++)
            cont[cont_start[k] + i] = (unsigned char)answer[k][i];
    }
    assert_int_equal(silr_engine_open(&e, MODEL, &opts, &err), SILR_OK);
    assert_int_equal(silr_engine_score(e, NULL, ids, start, 1, cont, cont_start, K, out, &err), SILR_OK);
    for (size_t k = 0; k < K; k++)
        l[k] = (double)out[k];
    silr_engine_free(e);
}

static void labels_are_the_likeliest_names(void **state)
{
    const silr_task t = task_of("Text: {text}\nAnswer:", K);
    notes w;
    (void)state;

    assert_int_equal(run_on(&t, all, N, &w), SILR_OK);
    assert_int_equal(w.n, N);
    for (size_t i = 0; i < N; i++) {
        char page[200];
        double l[K], sum = 0;
        int best = 0;
        snprintf(page, sizeof page, "Text: %s\nAnswer:", texts[i]);
        by_hand(page, l);
        for (int k = 0; k < K; k++) {
            sum += exp(l[k]);
            best = l[k] > l[best] ? k : best;
        }
        for (int k = 0; k < K; k++)
            assert_true(fabs((double)w.logp[i][k] - (l[k] - log(sum))) < 1e-4);
        assert_int_equal(w.label[i], best);
    }
}

static void batch_mates_change_nothing(void **state)
{
    const silr_task t = task_of("Text: {text}\nAnswer:", K);
    notes together, alone;
    (void)state;

    assert_int_equal(run_on(&t, all, N, &together), SILR_OK);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(run_on(&t, &i, 1, &alone), SILR_OK);
        assert_memory_equal(alone.logp[i], together.logp[i], sizeof alone.logp[i]);
    }
    assert_memory_equal(together.logp[0], together.logp[6], sizeof together.logp[0]);
}

/* What the model would say of nothing is taken off. */
static void contextual_calibration_takes_off_the_empty_text(void **state)
{
    silr_task t = task_of("Text: {text}\nAnswer:", K);
    notes raw, calibrated;
    double empty[K];
    (void)state;

    by_hand("Text: \nAnswer:", empty);
    assert_int_equal(run_on(&t, all, N, &raw), SILR_OK);
    t.annotator.chat.calibrate = SILR_CALIBRATE_CONTEXTUAL;
    assert_int_equal(run_on(&t, all, N, &calibrated), SILR_OK);
    for (size_t i = 0; i < N; i++)
        for (int k = 1; k < K; k++) {
            double before = (double)raw.logp[i][0] - (double)raw.logp[i][k];
            double after = (double)calibrated.logp[i][0] - (double)calibrated.logp[i][k];
            assert_true(fabs(after - (before - (empty[0] - empty[k]))) < 1e-4);
        }
}

static void close_calls_abstain(void **state)
{
    silr_task t = task_of("Text: {text}\nAnswer:", K);
    notes w;
    (void)state;

    t.annotator.margin = 1000;
    assert_int_equal(run_on(&t, all, N, &w), SILR_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(w.label[i], SILR_NO_LABEL);
        assert_non_null(strstr(w.reason[i], "margin"));
        assert_true(w.logp[i][0] < 0); /* the evidence is kept */
    }
}

/* The model reads 128 tokens: a longer text abstains and says why, the others are labelled. */
static void too_long_a_text_abstains(void **state)
{
    static const char *const long_texts[] = {
        "short", "a text that is so long that with the words around it this little model can no longer "
                 "read it, whatever it does to it, and so on and on"};
    const silr_corpus c = {long_texts};
    const silr_task t = task_of("Text: {text}\nAnswer:", K);
    const uint32_t docs[] = {0, 1};
    silr_annotator *a;
    notes w = {0};
    (void)state;

    assert_int_equal(silr_annotator_new(&a, &t, NULL, &err), SILR_OK);
    assert_int_equal(a->annotate(a, &c, docs, 2, write_down, &w, &err), SILR_OK);
    assert_true(w.label[0] >= 0);
    assert_int_equal(w.label[1], SILR_NO_LABEL);
    assert_non_null(strstr(w.reason[1], "longer than the model can read"));
    silr_annotator_free(a);
}

/* A name that begins another is told apart by the end that follows it: of the two, the longer has to be
 * likelier than the shorter with its end, not than its beginning, which it never could be. */
static void a_name_may_begin_another(void **state)
{
    char *like[] = {"no", "nothing"};
    silr_task t = task_of("Text: {text}\nAnswer:", 2);
    notes ended, apart;
    (void)state;

    assert_int_equal(run_on(&t, all, N, &apart), SILR_OK);
    t.classes = like;
    assert_int_equal(run_on(&t, all, N, &ended), SILR_OK);
    for (size_t i = 0; i < N; i++)
        assert_true(ended.label[i] >= 0 && isfinite(ended.logp[i][0]) && isfinite(ended.logp[i][1]));
    t.classes = (char *[]){"no", "no"};
    assert_int_equal(run_on(&t, all, N, &ended), SILR_EINPUT);
    assert_non_null(strstr(err.text, "look alike"));
}

static void what_cannot_be_is_refused(void **state)
{
    silr_task t = task_of("Text: {text}\nAnswer:", K);
    notes w;
    (void)state;

    t.annotator.chat.model = (char *)SOURCE_ROOT "/tests/engine/data/tinybert";
    assert_int_equal(run_on(&t, all, N, &w), SILR_EINPUT);
    t.annotator.chat.model = (char *)SOURCE_ROOT "/no/such/model.gguf";
    assert_int_equal(run_on(&t, all, N, &w), SILR_EINPUT);
    assert_non_null(strstr(err.text, "no/such/model.gguf"));
    t.annotator.chat.model = (char *)MODEL;
    t.annotator.talk = 1 + SILR_TALK_CHATML; /* this vocabulary has no <|im_start|> */
    assert_int_equal(run_on(&t, all, N, &w), SILR_EINPUT);
    t.annotator.talk = 1 + SILR_TALK_NONE;
    t.annotator.chat.prompt_template = NULL; /* silr's own page is longer than 128 tokens */
    assert_int_equal(run_on(&t, all, N, &w), SILR_EINPUT);
    assert_non_null(strstr(err.text, "prompt alone"));
}

static void any_allocation_may_fail(void **state)
{
    const silr_task t = task_of("Text: {text}\nAnswer:", K);
    uint64_t failures = 0;
    notes w;
    (void)state;

    for (uint64_t nth = 1;; nth++) {
        silr_mem_fail_at(nth, false);
        silr_status st = run_on(&t, all, 2, &w);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            break;
        assert_int_equal(st, SILR_ENOMEM);
        failures++;
    }
    assert_true(failures > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_the_likeliest_names),
        cmocka_unit_test(batch_mates_change_nothing),
        cmocka_unit_test(contextual_calibration_takes_off_the_empty_text),
        cmocka_unit_test(close_calls_abstain),
        cmocka_unit_test(too_long_a_text_abstains),
        cmocka_unit_test(a_name_may_begin_another),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
