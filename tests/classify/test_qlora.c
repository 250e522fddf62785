/* test_qlora.c - the fine-tuned classifier on a tiny Llama: it learns, it does the same however its work is cut,
 * a stopped training ends with the same bytes, a loss that is no number is undone, and what is saved says
 * what was trained. */
#include "classify/model.h"
#include "classify/qlora.h"
#include "classify/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#define LLAMA SOURCE_ROOT "/tests/engine/data/tinyllama"
enum { N = 48, LEN = 24 };
static char dir[] = "/tmp/silr-qlora-XXXXXX";

/* --- texts: class 0 says "a" more often, class 1 "b", class 2 "c" ------------------------------------------- */

static char text[N][LEN];
static int truth[N];

static void make_texts(int K)
{
    for (size_t i = 0; i < N; i++) {
        const size_t len = 4 + i * 7 % 17;
        truth[i] = (int)(i % (size_t)K);
        for (size_t j = 0; j < len; j++)
            text[i][j] = silr_rng_at(5, SILR_RNG_TEST, 1, i * LEN + j) < 0.7
                             ? (char)('a' + truth[i])
                             : (char)('d' + (int)(silr_rng_at(5, SILR_RNG_TEST, 2, i * LEN + j) * 9));
        text[i][len] = 0;
    }
}

static const char *get(const void *ctx, size_t i, size_t *len)
{
    (void)ctx;
    *len = strlen(text[i]);
    return text[i];
}

static void ok(silr_status st, const silr_error *err)
{
    if (st != SILR_OK)
        fail_msg("%s", err->text);
}

static silr_scorer_opts lora(double dropout, size_t memory)
{
    return (silr_scorer_opts){.base = SILR_BASE_F32,
                              .tune = {.targets = 1U << SILR_PART_Q | 1U << SILR_PART_V | 1U << SILR_PART_DOWN,
                                       .lora = {4, 2}, .dropout = dropout, .memory = memory}};
}

static silr_classifier *open_one(int K, silr_scorer_opts o)
{
    static const char *const classes[] = {"one", "two", "three"};
    silr_encoder_name base = {.name = (char *)(uintptr_t) "tiny", .place = (char *)(uintptr_t)LLAMA};
    silr_classifier *c;
    silr_error err;

    make_texts(K);
    ok(silr_encoder_hash(&base.model, LLAMA, &err), &err);
    ok(silr_qlora_new(&c, &o, &base, K, classes, get, NULL, N, &err), &err);
    return c;
}

/* Two members, each without a third of the texts; the last 12 texts choose the epoch. */
typedef struct {
    silr_member member[2];
    int set[2][N], held[N];
    uint32_t docs[N], validation[N];
    size_t n, n_validation;
    silr_train_opts o;
} training;

static void make_training(training *t, int K)
{
    const double pure[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, two[4] = {0.95, 0.05, 0.05, 0.95};
    const double pi[3] = {1.0 / 3, 1.0 / 3, 1.0 / 3}, half[2] = {0.5, 0.5};
    silr_error err;

    *t = (training){.o = {.adam = {0.9, 0.999, 1e-8, 0.01, 0, 0}, .schedule = SILR_LR_COSINE, .warmup = 0.05,
                          .learning_rate = 0.01, .epochs = 4, .batch = 8, .choose = true, .by_risk = true, .seed = 9}};
    for (uint32_t i = 0; i < N; i++) {
        const bool late = i >= 36;
        t->held[i] = late ? truth[i] : SILR_NO_LABEL;
        for (size_t m = 0; m < 2; m++)
            t->set[m][i] = late || i / 3 % 3 == m ? SILR_NO_LABEL : truth[i];
        *(late ? &t->validation[t->n_validation++] : &t->docs[t->n++]) = i;
    }
    for (size_t m = 0; m < 2; m++) {
        t->member[m] = (silr_member){.set = t->set[m], .validation = t->held};
        ok(silr_risk_init(&t->member[m].risk, SILR_RISK_RUU, K == 2 ? SILR_LOSS_SIGMOID : SILR_LOSS_LOGISTIC, K, K == 2 ? two : pure,
                          K == 2 ? half : pi, -0.001, &err), &err);
    }
}

static silr_status train(silr_classifier *c, training *t, silr_train_log *logs, silr_error *err)
{
    return silr_train(c, &t->o, 2, t->member, t->docs, t->n, t->validation, t->n_validation, logs, err);
}

/* Everything that training has changed, as bytes: each member's scores of all texts. */
static void scores_of(silr_classifier *c, float *out)
{
    uint32_t docs[N];
    silr_error err;

    for (uint32_t i = 0; i < N; i++)
        docs[i] = i;
    ok(c->forward(c, docs, N, out, &err), &err);
}

static void free_logs(silr_train_log *logs)
{
    silr_free(logs[0].epoch);
    silr_free(logs[1].epoch);
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

static void it_learns(void **state)
{
    (void)state;

    for (int K = 2; K <= 3; K++) {
        silr_classifier *c = open_one(K, lora(0.05, 0));
        float z[N * 6];
        training t;
        silr_train_log logs[2];
        silr_error err;
        make_training(&t, K);
        t.o.epochs = 30;
        ok(train(c, &t, logs, &err), &err);
        scores_of(c, z);
        for (size_t m = 0; m < 2; m++) {
            size_t right = 0;
            for (size_t i = 0; i < N; i++) {
                const float *s = z + (i * 2 + m) * (size_t)c->columns;
                int k = K == 2 ? s[0] <= 0 : 0;
                for (int j = 1; K > 2 && j < K; j++)
                    k = s[j] > s[k] ? j : k;
                right += k == truth[i];
            }
            if (right < N * 9 / 10)
                fail_msg("K = %d, member %zu: %zu right", K, m, right);
            assert_true(logs[m].n == 30 && logs[m].best >= 1);
        }
        free_logs(logs);
        silr_classifier_free(c);
    }
}

/* With activations kept, computed again layer by layer, or a batch in parts: dropout is the same, the
 * gradient the same sum. */
static void how_it_is_cut_changes_little(void **state)
{
    silr_classifier *whole = open_one(2, lora(0.3, 0)), *parts = open_one(2, lora(0.3, 1));
    float a[N * 2], b[N * 2];
    training t;
    silr_error err;
    (void)state;

    make_training(&t, 2);
    ok(train(whole, &t, NULL, &err), &err);
    ok(train(parts, &t, NULL, &err), &err);
    scores_of(whole, a);
    scores_of(parts, b);
    for (size_t i = 0; i < N * 2; i++)
        assert_true(fabs((double)a[i] - (double)b[i]) < 1e-4 * (1 + fabs((double)a[i])));
    silr_classifier_free(whole);
    silr_classifier_free(parts);
}

/* --- stopped ------------------------------------------------------------------------------------------------------ */

static struct {
    uint64_t at, seen;
    silr_classifier *spoil;
} watch;

static void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    if (strcmp(what, "training") != 0 || ++watch.seen != watch.at)
        return;
    if (watch.spoil)
        watch.spoil->params[0] = NAN;
    else
        silr_cancel();
}

static char warned[2000];
static void line(void *ctx, silr_log_level level, const char *said)
{
    (void)ctx;
    (void)level;
    snprintf(warned, sizeof warned, "%s", said);
}

static const silr_listener listener = {.line = line, .progress = progress};

static void a_stopped_training_goes_on(void **state)
{
    char path[200];
    float want[N * 2], got[N * 2];
    silr_train_log logs[2], again[2];
    training t;
    silr_error err;
    silr_classifier *c = open_one(2, lora(0.1, 0));
    uint64_t steps;
    (void)state;

    snprintf(path, sizeof path, "%s/training.ckpt", dir);
    make_training(&t, 2);
    silr_log_listen(&listener);
    watch.at = watch.seen = 0;
    ok(train(c, &t, logs, &err), &err);
    scores_of(c, want);
    steps = watch.seen;
    assert_true(steps == 2 * 4 * 3);
    t.o.checkpoint = path;
    for (int often = 0; often < 2; often++)
        for (uint64_t at = 1; at < steps; at += 2) {
            silr_classifier *one = open_one(2, lora(0.1, 0)), *two = open_one(2, lora(0.1, 0));
            t.o.every = often ? 0 : 1e9; /* at each step, or only when it is stopped */
            watch.at = at, watch.seen = 0;
            assert_int_equal(train(one, &t, again, &err), SILR_ECANCEL);
            silr_cancel_reset();
            assert_true(silr_file_exists(path));
            watch.at = watch.seen = 0;
            ok(train(two, &t, again, &err), &err);
            assert_true(watch.seen == steps - at); /* no step twice */
            scores_of(two, got);
            assert_memory_equal(want, got, sizeof want);
            for (size_t m = 0; m < 2; m++) {
                assert_true(again[m].n == logs[m].n && again[m].best == logs[m].best);
                assert_memory_equal(again[m].epoch, logs[m].epoch, 4 * sizeof *logs[m].epoch);
            }
            assert_false(silr_file_exists(path));
            free_logs(again);
            silr_classifier_free(one);
            silr_classifier_free(two);
        }
    silr_log_listen(NULL);
    free_logs(logs);
    silr_classifier_free(c);
}

static silr_status (*real_backward)(silr_classifier *c, const uint32_t *docs, size_t n, const float *dscores,
                                    silr_error *err);
static int backs_left;

static silr_status stopped_backward(silr_classifier *c, const uint32_t *docs, size_t n, const float *dscores,
                                    silr_error *err)
{
    return backs_left-- == 0 ? silr_fail(err, SILR_ECANCEL, "stopped on the way back")
                             : real_backward(c, docs, n, dscores, err);
}

/* In the middle of a step, whose loss has been counted and has moved the gate's average: it is made again, and
 * counts once. */
static void a_step_that_is_broken_off_counts_once(void **state)
{
    char path[200];
    silr_train_log want[2], got[2];
    silr_buf x = {0}, y = {0};
    training t;
    silr_error err;
    silr_classifier *c = open_one(2, lora(0.1, 0));
    (void)state;

    snprintf(path, sizeof path, "%s/training.ckpt", dir);
    make_training(&t, 2);
    t.o.gate = SILR_GATE_AVERAGE;
    t.o.gate_decay = 0.5;
    ok(train(c, &t, want, &err), &err);
    ok(c->state_get(c, &x, &err), &err);
    t.o.checkpoint = path;
    t.o.every = 1e9;
    real_backward = c->backward;
    for (int at = 0; at < 2 * 4 * 3; at++) {
        c->backward = stopped_backward;
        backs_left = at;
        assert_int_equal(train(c, &t, got, &err), SILR_ECANCEL);
        c->backward = real_backward;
        ok(train(c, &t, got, &err), &err);
        for (size_t m = 0; m < 2; m++)
            assert_memory_equal(want[m].epoch, got[m].epoch, 4 * sizeof *want[m].epoch);
        ok(c->state_get(c, &y, &err), &err);
        assert_int_equal(x.len, y.len);
        assert_memory_equal(x.data, y.data, x.len);
        free_logs(got);
    }
    silr_buf_clear(&x);
    silr_buf_clear(&y);
    free_logs(want);
    silr_classifier_free(c);
}

/* Every byte of a checkpoint turned, every length: it begins anew or goes on, and ends with the same. */
static void a_spoilt_checkpoint_is_left_alone(void **state)
{
    char path[200];
    float want[N * 2], got[N * 2];
    training t;
    silr_error err;
    silr_buf good = {0};
    silr_classifier *c = open_one(2, lora(0, 0));
    (void)state;

    snprintf(path, sizeof path, "%s/training.ckpt", dir);
    make_training(&t, 2);
    t.o.epochs = 1;
    t.o.checkpoint = path;
    t.o.every = 1e9;
    silr_log_listen(&listener);
    watch.at = 2, watch.seen = 0;
    assert_int_equal(train(c, &t, NULL, &err), SILR_ECANCEL);
    silr_cancel_reset();
    watch.at = 0;
    ok(silr_file_read(&good, path, 1 << 28, &err), &err);
    unlink(path);
    ok(train(c, &t, NULL, &err), &err);
    scores_of(c, want);
    for (size_t i = 0; i < 30; i++) {
        const size_t at = i < 20 ? i * 9 : good.len - 1 - (i - 20) * 997;
        good.data[at] ^= 0x41;
        ok(silr_file_write(path, good.data, i % 3 == 2 ? at : good.len, &err), &err);
        ok(train(c, &t, NULL, &err), &err);
        good.data[at] ^= 0x41;
        scores_of(c, got);
        assert_memory_equal(want, got, sizeof want);
    }
    t.o.seed = 10; /* another training */
    ok(silr_file_write(path, good.data, good.len, &err), &err);
    watch.seen = 0;
    ok(train(c, &t, NULL, &err), &err);
    assert_true(watch.seen == 2 * 3 && strstr(warned, "of another training"));
    silr_log_listen(NULL);
    silr_buf_clear(&good);
    silr_classifier_free(c);
}

static void a_full_disk_stops_it_and_loses_nothing(void **state)
{
    char path[200];
    training t;
    silr_error err;
    silr_classifier *c = open_one(2, lora(0, 0));
    struct rlimit had, low = {4096, RLIM_INFINITY};
    (void)state;

    snprintf(path, sizeof path, "%s/training.ckpt", dir);
    make_training(&t, 2);
    t.o.checkpoint = path;
    t.o.every = 1e9;
    silr_log_listen(&listener);
    watch.at = 3, watch.seen = 0;
    assert_int_equal(train(c, &t, NULL, &err), SILR_ECANCEL);
    silr_cancel_reset();
    watch.at = 0;
    t.o.every = 0;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &had), 0);
    low.rlim_max = had.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(train(c, &t, NULL, &err), SILR_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &had), 0);
    assert_non_null(strstr(err.text, "training.ckpt"));
    watch.seen = 0;
    ok(train(c, &t, NULL, &err), &err);
    assert_true(watch.seen == 2 * 4 * 3 - 3); /* from the one that was whole */
    silr_log_listen(NULL);
    silr_classifier_free(c);
}

/* --- numbers that are none --------------------------------------------------------------------------------------- */

static void a_loss_that_is_no_number_is_undone(void **state)
{
    training t;
    silr_train_log logs[2];
    float z[N * 2];
    silr_error err;
    silr_classifier *c = open_one(2, lora(0, 0));
    (void)state;

    make_training(&t, 2);
    silr_log_listen(&listener);
    watch.at = 7, watch.seen = 0; /* the first step of epoch 3 */
    watch.spoil = c;
    ok(train(c, &t, logs, &err), &err);
    assert_non_null(strstr(warned, "not a finite number (by their place in the corpus: "));
    assert_non_null(strstr(warned, "training ends with epoch 2"));
    assert_true(logs[0].n == 2 && logs[1].n == 4);
    scores_of(c, z);
    for (size_t i = 0; i < N * 2; i++)
        assert_true(isfinite(z[i]));
    free_logs(logs);
    for (uint64_t epoch = 2; epoch <= 4; epoch += 2) { /* by the last step of an epoch: that one is not the best, nor kept */
        watch.at = 3 * epoch, watch.seen = 0;
        ok(train(c, &t, logs, &err), &err);
        assert_true(logs[0].n == (int)epoch - 1 && logs[0].best < (int)epoch && logs[1].n == 4);
        scores_of(c, z);
        for (size_t i = 0; i < N * 2; i++)
            assert_true(isfinite(z[i]));
        free_logs(logs);
    }
    watch.at = 1, watch.seen = 0; /* nothing to go back to */
    assert_int_equal(train(c, &t, NULL, &err), SILR_EDOMAIN);
    watch.spoil = NULL;
    silr_log_listen(NULL);
    silr_classifier_free(c);
}

/* --- on disk --------------------------------------------------------------------------------------------------------- */

static void what_is_saved_says_the_same(void **state)
{
    (void)state;

    for (int way = 0; way < 4; way++) {
        const int K = way < 2 ? 2 : 3;
        silr_scorer_opts o = lora(0, 0);
        const double A[9] = {1.5, 0, 0.25, 0, 1.5, 0, 0, 0, 1.5}, b[3] = {0.3, -0.2, 0.1};
        silr_classifier *c;
        training t;
        silr_model *m;
        float z[N * 3];
        silr_error err;
        uint32_t docs[N];
        if (way % 2)
            o.tune = (silr_tune_opts){.matrices = true, .norms = true, .embeddings = true};
        c = open_one(K, o);
        make_training(&t, K);
        t.o.epochs = 1;
        t.o.learning_rate = 1e-3;
        ok(train(c, &t, NULL, &err), &err);
        for (uint32_t i = 0; i < N; i++)
            docs[i] = i;
        ok(c->focus(c, 0, &err), &err);
        ok(c->forward(c, docs, N, z, &err), &err);
        ok(c->save(c, dir, A, b, 1, &err), &err);
        ok(silr_model_load(&m, dir, &err), &err);
        assert_true(silr_model_classes(m) == K && strcmp(silr_model_class(m, 1), "two") == 0);
        for (size_t i = 0; i < N; i++) {
            double logits[3];
            ok(silr_model_logits(m, text[i], strlen(text[i]), logits, &err), &err);
            for (int k = 0; k < c->columns; k++) {
                double want = b[k];
                for (int l = 0; l < c->columns; l++)
                    want += A[k * c->columns + l] * (double)z[i * (size_t)c->columns + (size_t)l];
                assert_true(fabs(logits[k] - want) < 1e-9);
            }
        }
        silr_model_free(m);
        silr_classifier_free(c);
    }
}

static void wrong_files_are_refused(void **state)
{
    static const struct {
        const char *json, *why;
    } wrong[] = {
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {"{\"schema_version\":2}", "another version"},
        {"{\"schema_version\":1}", "names no classes"},
        {"{\"schema_version\":1,\"classes\":[\"a\"]}", "names no classes"},
        {"{\"schema_version\":1,\"classes\":[\"a\",\"\"]}", "a class has no name"},
        {"{\"schema_version\":1,\"classes\":[\"a\",\"b\"]}", "is missing or makes no sense"},
        {"{\"schema_version\":1,\"classes\":[\"a\",\"b\"],\"model\":\"m\",\"model_path\":\"m\",\"model_sha256\":\"0123456789"
         "012345678901234567890123456789012345678901234567890123\",\"base\":\"nf4\",\"full\":false,\"pooling\":\"auto\","
         "\"max_tokens\":9,\"A\":[1,2],\"b\":[0]}", "A or b is not made of so many numbers"},
        {"{\"schema_version\":1,\"classes\":[\"a\",\"b\"],\"classes\":[\"a\",\"b\"]}", "not a JSON object"},
    };
    silr_qlora_data q;
    silr_error err;
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(silr_qlora_parse(&q, wrong[i].json, strlen(wrong[i].json), "qlora.json", &err),
                         SILR_EINPUT);
        if (!strstr(err.text, wrong[i].why))
            fail_msg("%zu: %s", i, err.text);
    }
}

static void targets_by_name(void **state)
{
    silr_scorer_opts none = {.base = SILR_BASE_F32, .tune = {.targets = 1U << SILR_PART_Q_NORM, .lora = {2, 1}}};
    silr_encoder_name base = {.name = (char *)(uintptr_t) "tiny", .place = (char *)(uintptr_t)LLAMA};
    static const char *const classes[] = {"one", "two"};
    silr_classifier *c;
    uint32_t bits;
    silr_error err;
    (void)state;

    assert_int_equal(silr_qlora_new(&c, &none, &base, 2, classes, get, NULL, N, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "no matrix that this model has"));

    ok(silr_targets_parse(&bits, "q, v_proj", &err), &err);
    assert_true(bits == (1U << SILR_PART_Q | 1U << SILR_PART_V));
    ok(silr_targets_parse(&bits, "all-linear", &err), &err);
    assert_true(__builtin_popcount(bits) == 7);
    assert_int_equal(silr_targets_parse(&bits, "q, w", &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "\"w\" is no matrix"));
    assert_int_equal(silr_targets_parse(&bits, " ,", &err), SILR_EINPUT);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); // NOLINT(cert-env33-c)
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(how_it_is_cut_changes_little),
        cmocka_unit_test(a_stopped_training_goes_on),
        cmocka_unit_test(a_step_that_is_broken_off_counts_once),
        cmocka_unit_test(a_spoilt_checkpoint_is_left_alone),
        cmocka_unit_test(a_full_disk_stops_it_and_loses_nothing),
        cmocka_unit_test(a_loss_that_is_no_number_is_undone),
        cmocka_unit_test(what_is_saved_says_the_same),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(targets_by_name),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
