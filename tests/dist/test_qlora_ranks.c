/* test_qlora_ranks.c - fine-tuning by all ranks is fine-tuning by one: started by ranks.sh as 2, 3 and 4.
 *
 * Rank 0 runs the tests, the others serve. What one rank does is found out in the same process: for a
 * while rank 0 takes itself for the only one. */
#include "classify/qlora.h"
#include "classify/trainer.h"
#include "dist/inside.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LLAMA SOURCE_ROOT "/tests/engine/data/tinyllama"
enum { N = 40, LEN = 24, LATE = 30, MEMBERS = 2 };
static char dir[] = "/tmp/silr-ranks-XXXXXX";
static int ranks;
static silr_sha256 llama;

/* --- texts, whose first letter nearly tells the class ---------------------------------------------------- */

static char text[N][LEN];
static int truth[N];

static void make_texts(int K)
{
    for (size_t i = 0; i < N; i++) {
        const size_t len = 3 + i * 7 % 19;
        truth[i] = (int)(i % (size_t)K);
        for (size_t j = 0; j < len; j++)
            text[i][j] = silr_rng_at(5, SILR_RNG_TEST, 1, i * LEN + j) < 0.6
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

static silr_status open_here(silr_classifier **out, int K, size_t memory, silr_error *err)
{
    static const char *const classes[] = {"one", "two", "three"};
    const silr_encoder_name base = {.name = (char *)(uintptr_t) "tiny", .place = (char *)(uintptr_t)LLAMA,
                                    .model = llama};
    const silr_scorer_opts o = {.base = SILR_BASE_F32,
                                .tune = {.targets = 1U << SILR_PART_Q | 1U << SILR_PART_V, .lora = {4, 2},
                                         .dropout = 0.2, .memory = memory}};

    make_texts(K);
    return silr_qlora_new(out, &o, &base, K, classes, get, NULL, N, err);
}

/* By all ranks. memory 1: in parts of one text. */
static silr_classifier *open_all(int K, size_t memory)
{
    silr_classifier *c = NULL;
    silr_error err;

    ok(open_here(&c, K, memory, &err), &err);
    return c;
}

/* By this one. */
static silr_classifier *open_one(int K, size_t memory)
{
    const int size = silr_dist.size;
    silr_classifier *c;

    silr_dist.size = 1;
    c = open_all(K, memory);
    silr_dist.size = size;
    return c;
}

/* Two members, each without a third of the texts; the last texts choose the epoch. */
typedef struct {
    silr_member member[MEMBERS];
    int set[MEMBERS][N], held[N];
    uint32_t docs[N], validation[N];
    size_t n, n_validation;
    silr_train_opts o;
} training;

static void make_training(training *t, int K, size_t batch)
{
    const double many[9] = {.9, .05, .05, .05, .9, .05, .05, .05, .9}, two[4] = {0.9, 0.1, 0.2, 0.8};
    const double pi[3] = {1.0 / 3, 1.0 / 3, 1.0 / 3}, half[2] = {0.5, 0.5};
    silr_error err;

    *t = (training){.o = {.adam = {0.9, 0.999, 1e-8, 0.01, 0, 1}, .schedule = SILR_LR_COSINE, .warmup = 0.05,
                          .learning_rate = 1e-3, .epochs = 3, .batch = batch, .choose = true, .by_risk = true,
                          .seed = 9}};
    for (uint32_t i = 0; i < N; i++) {
        const bool late = i >= LATE;
        t->held[i] = late ? truth[i] : SILR_NO_LABEL;
        for (size_t m = 0; m < MEMBERS; m++)
            t->set[m][i] = late || i / 3 % 3 == m ? SILR_NO_LABEL : truth[i];
        *(late ? &t->validation[t->n_validation++] : &t->docs[t->n++]) = i;
    }
    for (size_t m = 0; m < MEMBERS; m++) {
        t->member[m] = (silr_member){.set = t->set[m], .validation = t->held};
        ok(silr_risk_init(&t->member[m].risk, SILR_RISK_RUU, K == 2 ? SILR_LOSS_SIGMOID : SILR_LOSS_LOGISTIC,
                          K, K == 2 ? two : many, K == 2 ? half : pi, -0.001, &err), &err);
    }
}

static silr_status train(silr_classifier *c, training *t, silr_train_log *logs, silr_error *err)
{
    return silr_train(c, &t->o, MEMBERS, t->member, t->docs, t->n, t->validation, t->n_validation, logs, err);
}

static void free_logs(silr_train_log *logs)
{
    for (size_t m = 0; m < MEMBERS; m++)
        silr_free(logs[m].epoch);
}

/* Scores of all texts by all members: [N][MEMBERS][columns]. */
static void scores_of(silr_classifier *c, float *out)
{
    uint32_t docs[N];
    silr_error err;

    for (uint32_t i = 0; i < N; i++)
        docs[i] = i;
    ok(c->forward(c, docs, N, out, &err), &err);
}

/* Everything there is of a classifier's training. */
static silr_buf state_of(silr_classifier *c)
{
    silr_buf b = {0};
    silr_error err;

    ok(c->state_get(c, &b, &err), &err);
    return b;
}

static void same_bytes(silr_classifier *a, silr_classifier *b)
{
    silr_buf x = state_of(a), y = state_of(b);

    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    silr_buf_clear(&x);
    silr_buf_clear(&y);
}

static double apart(const float *a, const float *b, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)a[i])));
    return most;
}

/* --- tests ---------------------------------------------------------------------------------------------------- */

/* The whole of a training, with dropout, a gate over the batch, clipping, choice of the epoch: losses and
 * scores of any number of ranks, of texts at once or in parts, agree to rounding. A batch of two leaves
 * some of three ranks without a text. */
static void ranks_train_as_one_does(void **state)
{
    static const size_t batch[] = {8, 2, 5};
    (void)state;

    for (int K = 2; K <= 3; K++)
        for (size_t k = 0; k < 3; k++) {
            silr_classifier *one = open_one(K, 0), *all = open_all(K, k == 2 ? 1 : 0);
            float a[N * MEMBERS * 3], b[N * MEMBERS * 3];
            silr_train_log x[MEMBERS], y[MEMBERS];
            const size_t n = (size_t)(N * MEMBERS * one->columns);
            training t;
            silr_error err;
            double far, loss = 0;
            make_training(&t, K, batch[k]);
            ok(train(one, &t, x, &err), &err);
            ok(train(all, &t, y, &err), &err);
            scores_of(one, a);
            scores_of(all, b);
            for (size_t m = 0; m < MEMBERS; m++) {
                assert_true(x[m].n == 3 && y[m].n == 3 && x[m].best == y[m].best);
                for (int e = 0; e < 3; e++)
                    loss = fmax(loss, fmax(fabs(x[m].epoch[e].train_loss - y[m].epoch[e].train_loss),
                                           fabs(x[m].epoch[e].validation_loss - y[m].epoch[e].validation_loss)));
            }
            far = apart(a, b, n);
            printf("%d ranks, K = %d, batch %zu: scores %.1e apart, losses %.1e\n", ranks, K, batch[k], far, loss);
            assert_true(far < 1e-5 && loss < 1e-5);
            free_logs(x);
            free_logs(y);
            silr_classifier_free(one);
            silr_classifier_free(all);
        }
}

/* With the same parameters, relabelling gives the same bits: a score depends on nothing but the text. */
static void ranks_score_as_one_does(void **state)
{
    silr_classifier *one = open_one(3, 0), *all = open_all(3, 0);
    float a[N * MEMBERS * 3], b[N * MEMBERS * 3];
    training t;
    silr_buf s;
    silr_error err;
    (void)state;

    make_training(&t, 3, 8);
    ok(train(all, &t, NULL, &err), &err);
    s = state_of(all);
    ok(one->reset(one, &t.o.adam, 1, MEMBERS, &err), &err);
    ok(one->state_set(one, s.data, s.len, &err), &err);
    scores_of(one, a);
    scores_of(all, b);
    assert_memory_equal(a, b, sizeof a);
    for (size_t m = 0; m < MEMBERS; m++) { /* each alone, a few texts, fewer than there are ranks */
        const uint32_t docs[3] = {7, 3, 21};
        ok(one->focus(one, m, &err), &err);
        ok(all->focus(all, m, &err), &err);
        for (size_t n = 0; n <= 3; n++) {
            ok(one->forward(one, docs, n, a, &err), &err);
            ok(all->forward(all, docs, n, b, &err), &err);
            assert_memory_equal(a, b, n * 3 * sizeof *a);
        }
    }
    silr_buf_clear(&s);
    silr_classifier_free(one);
    silr_classifier_free(all);
}

/* A step, taken back: the other ranks have made it too, and must be told. */
static void what_is_restored_is_restored_everywhere(void **state)
{
    const uint32_t docs[6] = {7, 3, 21, 22, 30, 1};
    const float back[6] = {1, -1, 1, 1, -1, 1};
    silr_classifier *c = open_all(2, 0);
    float before[6], between[6], after[6];
    training t;
    silr_error err;
    (void)state;

    make_training(&t, 2, 8);
    ok(train(c, &t, NULL, &err), &err);
    ok(c->focus(c, 1, &err), &err);
    ok(c->forward(c, docs, 6, before, &err), &err);
    ok(c->snapshot(c, 0, &err), &err);
    c->training = true;
    ok(c->forward(c, docs, 6, between, &err), &err);
    ok(c->backward(c, docs, 6, back, &err), &err);
    c->training = false;
    ok(c->step(c, 0.01, &err), &err);
    ok(c->forward(c, docs, 6, between, &err), &err);
    ok(c->restore(c, 0, &err), &err);
    ok(c->forward(c, docs, 6, after, &err), &err);
    for (size_t i = 0; i < 6; i++)
        assert_true(fabs((double)before[i] - (double)between[i]) > 1e-4);
    assert_memory_equal(before, after, sizeof before);
    silr_classifier_free(c);
}

/* --- stopped ---------------------------------------------------------------------------------------------------- */

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

static char warned[1000];
static void line(void *ctx, silr_log_level level, const char *said)
{
    (void)ctx;
    (void)level;
    snprintf(warned, sizeof warned, "%s", said);
}

static const silr_listener listener = {.line = line, .progress = progress};

/* Stops c's training after `at` steps: its checkpoint is on disk. */
static void stop_after(silr_classifier *c, training *t, uint64_t at)
{
    silr_error err;

    watch.at = at, watch.seen = 0, watch.spoil = NULL;
    assert_int_equal(train(c, t, NULL, &err), SILR_ECANCEL);
    silr_cancel_reset();
    watch.at = watch.seen = 0;
}

/* Gone on with by as many ranks: to the bytes of the unbroken training. By another number, either way:
 * to rounding. */
static void a_stopped_training_goes_on(void **state)
{
    silr_classifier *whole = open_all(2, 0), *c = open_all(2, 0), *one = open_one(2, 0);
    float want[N * MEMBERS], got[N * MEMBERS];
    char path[200];
    training t;
    silr_error err;
    (void)state;

    snprintf(path, sizeof path, "%s/training.ckpt", dir);
    make_training(&t, 2, 6);
    silr_log_listen(&listener);
    watch.at = watch.seen = 0;
    ok(train(whole, &t, NULL, &err), &err);
    scores_of(whole, want);
    const uint64_t steps = watch.seen;
    t.o.checkpoint = path;
    t.o.every = 1e9;
    for (uint64_t at = 1; at < steps; at += 3) {
        stop_after(c, &t, at);
        silr_classifier *fresh = open_all(2, 0); /* whose other ranks know nothing of it */
        ok(train(fresh, &t, NULL, &err), &err);
        assert_true(watch.seen == steps - at);
        same_bytes(whole, fresh);
        silr_classifier_free(fresh);
        stop_after(c, &t, at);
        ok(train(one, &t, NULL, &err), &err);
        assert_true(watch.seen == steps - at);
        scores_of(one, got);
        assert_true(apart(want, got, N * MEMBERS) < 1e-5);
        stop_after(one, &t, at);
        ok(train(c, &t, NULL, &err), &err);
        scores_of(c, got);
        assert_true(apart(want, got, N * MEMBERS) < 1e-5);
        assert_false(silr_file_exists(path));
    }
    silr_log_listen(NULL);
    silr_classifier_free(whole);
    silr_classifier_free(c);
    silr_classifier_free(one);
}

/* A score that is no number, on one rank alone: all go back to the end of the epoch before. */
static void a_loss_that_is_no_number_is_undone(void **state)
{
    silr_classifier *c = open_all(2, 0);
    float z[N * MEMBERS];
    training t;
    silr_error err;
    silr_train_log logs[MEMBERS];
    (void)state;

    make_training(&t, 2, 10);
    silr_log_listen(&listener);
    watch.at = 5, watch.seen = 0, watch.spoil = c; /* in the third epoch of two steps each */
    ok(train(c, &t, logs, &err), &err);
    silr_log_listen(NULL);
    watch.spoil = NULL;
    assert_non_null(strstr(warned, "not a finite number"));
    assert_true(logs[0].n == 2 && logs[1].n == 3);
    scores_of(c, z);
    for (size_t i = 0; i < N * MEMBERS; i++)
        assert_true(isfinite(z[i]));
    free_logs(logs);
    silr_classifier_free(c);
}

/* --- what goes wrong on another rank ------------------------------------------------------------------------ */

/* To one rank: its allocation so many from now fails, whatever it is doing then. */
typedef struct {
    int rank;
    uint64_t n;
} snare;

static silr_status set_trap(void *worker, const void *order, size_t len, silr_buf *result, silr_error *err)
{
    snare s = {0};

    (void)worker;
    (void)result;
    (void)err;
    if (silr_dist_take(&order, &len, &s, sizeof s) && silr_dist_rank() == s.rank)
        silr_mem_fail_at(s.n, false);
    return SILR_OK;
}

static silr_status open_trap(void **worker, const void *order, size_t len, silr_error *err)
{
    (void)worker;
    (void)order;
    (void)len;
    (void)err;
    return SILR_OK;
}

static const silr_trade trap = {"trap", open_trap, set_trap, NULL};

/* false: it has caught the answer to this very order, or the order that takes it away. */
static bool set_the_trap(silr_crew *c, int rank, uint64_t n)
{
    const snare s = {rank, n};

    for (int r = 0; r < ranks; r++)
        silr_buf_add(silr_crew_order(c, r), &s, sizeof s);
    return silr_crew_work(c, NULL) == SILR_OK;
}

/* Each allocation of a rank in turn, from opening to the last step: it is said, nobody waits for ever, and
 * the next training is as good as any. Returns how many there were. */
static int fail_each(silr_crew *traps, int rank, silr_classifier *whole, training *t)
{
    silr_classifier *c = NULL;
    silr_error err;
    bool survived = false;
    int caught = 0;

    for (uint64_t n = 1; !survived; n += n < 40 ? 1 : n / 12) {
        silr_status st;
        if (!set_the_trap(traps, rank, n))
            continue;
        if ((st = open_here(&c, 2, 0, &err)) == SILR_OK)
            st = train(c, t, NULL, &err);
        if ((survived = st == SILR_OK))
            same_bytes(whole, c);
        else if (st != SILR_ENOMEM || (rank > 0 && strncmp(err.text, "rank 1: ", 8) != 0))
            fail_msg("rank %d, allocation %zu: %s", rank, (size_t)n, err.text);
        while (!set_the_trap(traps, rank, 0))
            ;
        caught += !survived;
        if (c && !survived) {
            ok(train(c, t, NULL, &err), &err);
            same_bytes(whole, c);
        }
        silr_classifier_free(c);
        c = NULL;
    }
    return caught;
}

static void lack_of_memory_is_said(void **state)
{
    silr_classifier *whole = open_all(2, 0);
    silr_crew *traps;
    training t;
    silr_error err;
    (void)state;

    make_training(&t, 2, 10);
    t.o.epochs = 1;
    ok(train(whole, &t, NULL, &err), &err);
    ok(silr_crew_open(&traps, &trap, NULL, "", 0, &err), &err);
    for (int rank = 0; rank < 2; rank++) {
        const int caught = fail_each(traps, rank, whole, &t);
        printf("%d ranks: no memory at %d places of rank %d\n", ranks, caught, rank);
        assert_true(caught > 50);
    }
    silr_crew_free(traps);
    silr_classifier_free(whole);
}

/* A rank at whose path there is another model: its name for the base is not rank 0's. */
static silr_status other_hash(silr_sha256 *out, const char *path, silr_error *err)
{
    return silr_sha256_bytes(out, path, 1, err);
}

static silr_status look_elsewhere(void *worker, const void *order, size_t len, silr_buf *result,
                                  silr_error *err)
{
    static const silr_encoder_door door = {NULL, other_hash};

    (void)worker;
    (void)order;
    (void)result;
    (void)err;
    if (silr_dist_rank() == 1)
        silr_encoder_through(len > 0 ? &door : NULL);
    return SILR_OK;
}

static const silr_trade elsewhere = {"elsewhere", open_trap, look_elsewhere, NULL};

static void another_base_is_refused(void **state)
{
    silr_classifier *c = NULL;
    silr_crew *where;
    silr_error err;
    (void)state;

    ok(silr_crew_open(&where, &elsewhere, NULL, "", 0, &err), &err);
    silr_buf_putc(silr_crew_order(where, 1), '!');
    ok(silr_crew_work(where, &err), &err);
    assert_int_equal(open_here(&c, 2, 0, &err), SILR_EINPUT);
    assert_null(c);
    assert_non_null(strstr(err.text, "rank 1: "));
    assert_non_null(strstr(err.text, "not the one that rank 0 has"));
    ok(silr_crew_work(where, &err), &err);
    ok(open_here(&c, 2, 0, &err), &err);
    silr_classifier_free(c);
    silr_crew_free(where);
}

int main(void)
{
    static const silr_trade *const trades[] = {&silr_qlora_trade, &trap, &elsewhere, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_train_as_one_does),
        cmocka_unit_test(ranks_score_as_one_does),
        cmocka_unit_test(what_is_restored_is_restored_everywhere),
        cmocka_unit_test(a_stopped_training_goes_on),
        cmocka_unit_test(a_loss_that_is_no_number_is_undone),
        cmocka_unit_test(lack_of_memory_is_said),
        cmocka_unit_test(another_base_is_refused),
    };
    silr_error err = {0};
    int failed;

    if (silr_dist_start(&err) != SILR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    ranks = silr_dist_size();
    if (silr_dist_rank() > 0) {
        failed = silr_dist_serve(trades, &err) != SILR_OK;
    } else {
        if (!mkdtemp(dir) || silr_encoder_hash(&llama, LLAMA, &err) != SILR_OK)
            return 1;
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        rmdir(dir);
    }
    silr_dist_end();
    return failed;
}
