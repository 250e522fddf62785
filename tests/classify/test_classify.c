/* test_classify.c - the features, the bank of linear models, and the trainer. */
#include "toy.h"

#include "classify/kernels.h"
#include <jansson.h>
#include <math.h>
#include <omp.h>

/* --- tokens ---------------------------------------------------------------------------------- */

typedef struct {
    const silr_grams *t;
    char text[4096];
} gram_text;

static void note_gram(void *ctx, const silr_ngram *g)
{
    gram_text *n = ctx;
    const size_t at = strlen(n->text);

    snprintf(n->text + at, sizeof n->text - at, "[%.*s]", (int)g->len, n->t->text + g->at);
}

static void grams_are(const char *text, silr_ngram_opts o, const char *want)
{
    silr_grams t = {0};
    gram_text n = {.t = &t};

    o.bits = 20;
    assert_true(silr_grams_split(&t, text, strlen(text), o.lowercase));
    silr_grams_each(&t, &o, note_gram, &n);
    assert_string_equal(n.text, want);
    silr_grams_clear(&t);
}

static void cuts_texts_into_ngrams(void **state)
{
    const silr_ngram_opts w1 = {.word_min = 1, .word_max = 1, .lowercase = true};
    const silr_ngram_opts w12 = {.word_min = 1, .word_max = 2, .lowercase = true};
    const silr_ngram_opts c34 = {.char_min = 3, .char_max = 4, .lowercase = true};
    (void)state;

    grams_are("The FILM's  fine, 10/10!", w12,
              "[the][the film][film][film s][s][s fine][fine][fine 10][10][10 10][10]");
    grams_are("\xc3\x89T\xc3\x89 d\xc3\xa9j\xc3\xa0-vu", w1, /* letters with accents, lower-cased */
              "[\xc3\xa9t\xc3\xa9][d\xc3\xa9j\xc3\xa0][vu]");
    grams_are("e\xcc\x81t", w1, "[e\xcc\x81t]"); /* a combining mark stays in its word */
    grams_are("\xe6\x97\xa5\xe6\x9c\xac ok", w12, /* no spaces in this script: a character a word */
              "[\xe6\x97\xa5][\xe6\x97\xa5 \xe6\x9c\xac][\xe6\x9c\xac][\xe6\x9c\xac ok][ok]");
    grams_are("ab\xc3\xa9", c34, "[ ab][ ab\xc3\xa9][ab\xc3\xa9][ab\xc3\xa9 ][b\xc3\xa9 ]");
    grams_are("", w12, "");
    grams_are(" ... ", c34, "");
    grams_are("a\xff\xfe" "b", w1, "[a][b]"); /* bytes that are not UTF-8 separate */
}

static void counts_ngrams(void **state)
{
    silr_grams t = {0};
    silr_ngram_opts o = words_only;
    char many[4000] = "";
    (void)state;

    o.word_max = 1;
    assert_true(silr_grams_count(&t, &o, "b a b b", 7));
    assert_int_equal(t.n, 2);
    assert_int_equal((t.bucket[0] & 255) + (t.bucket[1] & 255), 4);
    for (int i = 0; i < 400; i++)
        strcat(many, "same ");
    assert_true(silr_grams_count(&t, &o, many, strlen(many)));
    assert_int_equal(t.n, 1);
    assert_int_equal(t.bucket[0] & 255, 255);
    silr_grams_clear(&t);
}

/* Every row has one length; rare n-grams are gone; both layouts of a batch hold the same. */
static void matrix_rows(void **state)
{
    toy *t = toy_make(2, 0.7);
    silr_classifier *c = toy_bank(t, &words_only, 2);
    const silr_matrix *x = silr_ngram_matrix(c);
    silr_batch b = {0};
    double by_text = 0, by_column = 0;
    (void)state;

    assert_true(x->d > 60 && x->d < 3700);
    assert_int_equal(silr_batch_make(&b, x, t->docs, TEXTS, true, NULL), SILR_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        double square = 0;
        for (size_t e = b.row[i]; e < b.row[i + 1]; e++) {
            square += (double)b.val[e] * (double)b.val[e];
            by_text += (double)b.val[e] * (double)(i + 1) * (double)(b.idx[e] + 1);
        }
        assert_true(fabs(sqrt(square) - SILR_NGRAM_SCALE) < 1e-5);
    }
    for (size_t j = 0; j < x->d; j++) {
        assert_true(b.col[j + 1] - b.col[j] >= 2); /* min_count */
        for (size_t e = b.col[j]; e < b.col[j + 1]; e++)
            by_column += (double)b.tval[e] * (double)(b.text[e] + 1) * (double)(j + 1);
    }
    assert_true(fabs(by_text - by_column) <= 1e-9 * by_text);
    silr_batch_clear(&b);
    silr_classifier_free(c);
    free(t);
}

/* --- the chain, by differences ----------------------------------------------------------------- */

static double chain_value(silr_classifier *c, const toy *t, const silr_member *m, size_t members,
                          float *scores, float *dscores)
{
    static silr_risk_sums s;
    static silr_gated g;
    const size_t columns = (size_t)c->columns, stride = columns * members;
    double value = 0;

    assert_int_equal(c->forward(c, t->docs, TEXTS, scores, NULL), SILR_OK);
    for (size_t i = 0; i < members; i++) {
        silr_risk_sums_clear(&s);
        silr_risk_add(&m[i].risk, &s, TEXTS, scores + i * columns, stride, m[i].set, NULL);
        silr_risk_gate(&m[i].risk, &s, NULL, &g);
        silr_risk_backward(&m[i].risk, &g, TEXTS, scores + i * columns, stride, m[i].set, NULL,
                           dscores + i * columns);
        value += g.value;
    }
    return value;
}

/* Adam's first step divides by the gradient's size and loses it; with beta2 = 0, beta1 = 0 and a
 * huge epsilon a step is -lr g / epsilon, which shows the gradient itself. */
static void gradient_of_the_chain(void **state)
{
    static float scores[TEXTS * 8], dscores[TEXTS * 8];
    const silr_adam plain = {.beta1 = 0, .beta2 = 0, .epsilon = 1e6};
    (void)state;

    for (int K = 2; K <= 3; K++) {
        toy *t = toy_make(K, 0.7);
        silr_classifier *c = toy_bank(t, &words_only, K);
        silr_member m[2] = {{.risk = make_risk(SILR_RISK_PN, K, 0.9), .set = t->truth},
                            {.risk = make_risk(SILR_RISK_RUU, K, 0.9), .set = t->truth}};
        float *before;
        silr_rng r;

        assert_int_equal(c->reset(c, &plain, 1, 2, NULL), SILR_OK);
        silr_rng_init(&r, 3, SILR_RNG_TEST, 0, 0);
        for (size_t i = 0; i < c->n_params; i++)
            c->params[i] = (float)(0.05 * silr_rng_normal(&r));
        before = malloc(c->n_params * sizeof *before);
        assert_non_null(before);
        memcpy(before, c->params, c->n_params * sizeof *before);
        chain_value(c, t, m, 2, scores, dscores);
        assert_int_equal(c->backward(c, t->docs, TEXTS, dscores, NULL), SILR_OK);
        assert_int_equal(c->step(c, 1e6, NULL), SILR_OK);
        for (size_t i = 0; i < c->n_params; i += 37) {
            const double grad = (double)(before[i] - c->params[i]), h = 1e-2;
            float *moved = malloc(c->n_params * sizeof *moved);
            double up, down;
            memcpy(moved, c->params, c->n_params * sizeof *moved);
            memcpy(c->params, before, c->n_params * sizeof *before);
            c->params[i] = before[i] + (float)h;
            up = chain_value(c, t, m, 2, scores, dscores);
            c->params[i] = before[i] - (float)h;
            down = chain_value(c, t, m, 2, scores, dscores);
            memcpy(c->params, moved, c->n_params * sizeof *moved);
            free(moved);
            if (fabs((up - down) / (2 * h) - grad) > 2e-4)
                fail_msg("K %d, parameter %zu: %g by differences, %g", K, i, (up - down) / (2 * h),
                         grad);
        }
        free(before);
        silr_classifier_free(c);
        free(t);
    }
}

/* --- the bank: threads, members, batch paths ---------------------------------------------------- */

/* Five members with other sets, weights and risks. */
static void five_members(silr_member m[5], const toy *t, int sets[5][TEXTS],
                         float weights[5][TEXTS], int K)
{
    for (int a = 0; a < 5; a++) {
        for (int i = 0; i < TEXTS; i++) {
            sets[a][i] = i % 5 == a ? SILR_NO_LABEL : i % 7 == a ? 0 : t->truth[i];
            weights[a][i] = (float)(1 + i % (a + 2));
        }
        m[a] = (silr_member){.risk = make_risk(a % 2 ? SILR_RISK_PN : SILR_RISK_RUU, K, 0.9),
                             .set = sets[a], .weight = a % 2 ? NULL : weights[a],
                             .validation = sets[a]};
    }
}

static void same_bytes_for_threads_and_banks(void **state)
{
    static int sets[5][TEXTS];
    static float weights[5][TEXTS], one[TEXTS * 20], four[TEXTS * 20], single[TEXTS * 4];
    const int threads = omp_get_max_threads();
    (void)state;

    for (int K = 2; K <= 3; K++)
        for (int batch = 0; batch <= 50; batch += 50) {
            toy *t = toy_make(K, 0.5);
            silr_train_opts o = full_batch(20);
            silr_member m[5];
            silr_classifier *c;
            size_t columns;

            o.batch = (size_t)batch;
            o.stratify = batch > 0;
            five_members(m, t, sets, weights, K);
            omp_set_num_threads(1);
            c = toy_bank(t, &words_only, K);
            columns = (size_t)c->columns;
            train_or_fail(c, &o, 5, m, t, NULL);
            assert_int_equal(c->forward(c, t->docs, TEXTS, one, NULL), SILR_OK);
            silr_classifier_free(c);
            omp_set_num_threads(4);
            c = toy_bank(t, &words_only, K);
            train_or_fail(c, &o, 5, m, t, NULL);
            assert_int_equal(c->forward(c, t->docs, TEXTS, four, NULL), SILR_OK);
            assert_memory_equal(one, four, TEXTS * 5 * columns * sizeof *one);
            for (size_t a = 0; a < 5; a++) {
                o.stratify = false;
                if (batch) /* the order is by member 0's sets, which a single run does not have */
                    break;
                train_or_fail(c, &o, 1, &m[a], t, NULL);
                assert_int_equal(c->forward(c, t->docs, TEXTS, single, NULL), SILR_OK);
                for (size_t i = 0; i < TEXTS; i++)
                    assert_memory_equal(single + i * columns, one + (i * 5 + a) * columns,
                                        columns * sizeof *one);
            }
            silr_classifier_free(c);
            free(t);
        }
    omp_set_num_threads(threads);
}

/* A text's score does not depend on the texts scored with it, nor on the batch kept from before. */
static void batch_mates_change_nothing(void **state)
{
    static float all[TEXTS], one[1];
    toy *t = toy_make(2, 0.5);
    silr_classifier *c = toy_bank(t, &words_only, 2);
    const silr_train_opts o = full_batch(20);
    const silr_member m = {.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth};
    (void)state;

    train_or_fail(c, &o, 1, &m, t, NULL);
    assert_int_equal(c->forward(c, t->docs, TEXTS, all, NULL), SILR_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        assert_int_equal(c->forward(c, &t->docs[i], 1, one, NULL), SILR_OK);
        assert_memory_equal(one, &all[i], sizeof *one);
    }
    assert_int_equal(c->forward(c, t->docs, TEXTS - 100, all, NULL), SILR_OK);
    assert_int_equal(c->forward(c, t->docs + TEXTS - 101, 1, one, NULL), SILR_OK);
    assert_memory_equal(one, &all[TEXTS - 101], sizeof *one);
    silr_classifier_free(c);
    free(t);
}

/* --- learning ---------------------------------------------------------------------------------- */

static double accuracy(silr_classifier *c, const toy *t)
{
    static float scores[TEXTS * 4];
    const size_t columns = (size_t)c->columns;
    int right = 0;

    assert_int_equal(c->forward(c, t->docs, TEXTS, scores, NULL), SILR_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        const float *s = scores + i * columns;
        size_t best = 0;
        for (size_t k = 1; k < columns; k++)
            best = s[k] > s[best] ? k : best;
        right += (columns == 1 ? s[0] <= 0 : (int)best) == t->truth[i];
    }
    return (double)right / TEXTS;
}

/* Labels flipped at random: robust UU trains until the model contradicts each pseudo-set as often
 * as theta says, then stops (method.md B1.2, F8); and the texts come out better than the labels. */
static void stops_where_theta_says(void **state)
{
    static int set[TEXTS];
    static float scores[TEXTS];
    toy *t = toy_make(2, 0.9);
    silr_ngram_opts single = words_only;
    silr_classifier *c;
    silr_train_opts o = full_batch(400);
    double theta[4] = {0}, count[2] = {0}, mean[2] = {0}, pi[2];
    silr_member m = {.set = set};
    silr_rng r;
    (void)state;

    single.word_max = 1; /* 2-grams of so small a corpus are names of texts */
    c = toy_bank(t, &single, 2);
    silr_rng_init(&r, 11, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < TEXTS; i++) {
        set[i] = silr_rng_double(&r) < 0.25 ? 1 - t->truth[i] : t->truth[i];
        count[set[i]]++;
        theta[set[i] * 2 + t->truth[i]]++;
    }
    for (int j = 0; j < 4; j++)
        theta[j] /= count[j / 2];
    pi[0] = (count[0] * theta[0] + count[1] * theta[2]) / TEXTS;
    pi[1] = 1 - pi[0];
    assert_int_equal(silr_risk_init(&m.risk, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 2, theta, pi, -0.001,
                                    NULL), SILR_OK);
    o.adam.l2 = 0;
    assert_int_equal(silr_train(c, &o, 1, &m, t->docs, TEXTS, NULL, 0, NULL, NULL), SILR_OK);
    assert_int_equal(c->forward(c, t->docs, TEXTS, scores, NULL), SILR_OK);
    for (int i = 0; i < TEXTS; i++)
        mean[set[i]] += silr_sigmoid((double)scores[i]) / count[set[i]];
    assert_true(fabs(mean[0] - theta[0]) < 0.05);
    assert_true(fabs(mean[1] - theta[2]) < 0.05);
    assert_true(accuracy(c, t) > 0.9);
    silr_classifier_free(c);
    free(t);
}

/* The epoch with the smallest risk on validation is kept: training on with a wrong sign after it
 * does not show. Here the validation sets are the opposite of the training sets, so the first
 * epoch is the best and the last the worst. */
static void keeps_the_best_epoch(void **state)
{
    static int wrong[TEXTS];
    static float first[TEXTS], kept[TEXTS];
    toy *t = toy_make(2, 0.9);
    silr_classifier *c = toy_bank(t, &words_only, 2);
    silr_train_opts o = full_batch(0);
    silr_member m = {.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth,
                     .validation = wrong};
    silr_train_log log;
    (void)state;

    for (int i = 0; i < TEXTS; i++)
        wrong[i] = 1 - t->truth[i];
    o.steps = 0;
    o.batch = 32;
    o.choose = true;
    o.epochs = 1;
    o.schedule = SILR_LR_CONSTANT;
    train_or_fail(c, &o, 1, &m, t, NULL);
    assert_int_equal(c->forward(c, t->docs, TEXTS, first, NULL), SILR_OK);
    o.epochs = 4;
    train_or_fail(c, &o, 1, &m, t, &log);
    assert_int_equal(log.n, 4);
    assert_int_equal(log.best, 1);
    assert_true(log.epoch[0].selection < log.epoch[3].selection);
    assert_true(log.epoch[3].train_loss < log.epoch[0].train_loss);
    assert_true(log.epoch[3].flatness > 0 && log.epoch[3].flatness < 0.25);
    assert_int_equal(c->forward(c, t->docs, TEXTS, kept, NULL), SILR_OK);
    assert_memory_equal(first, kept, sizeof kept);
    silr_free(log.epoch);
    m.validation = t->truth; /* and with honest ones the last */
    train_or_fail(c, &o, 1, &m, t, &log);
    assert_int_equal(log.best, 4);
    silr_free(log.epoch);
    silr_classifier_free(c);
    free(t);
}

static void refuses_and_stops(void **state)
{
    toy *t = toy_make(2, 0.9);
    silr_classifier *c = toy_bank(t, &words_only, 2);
    silr_train_opts o = full_batch(5);
    silr_member m = {.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth};
    silr_train_log log;
    silr_error err;
    (void)state;

    o.schedule = SILR_LR_CONSTANT;
    o.learning_rate = NAN;
    assert_int_equal(silr_train(c, &o, 1, &m, t->docs, TEXTS, NULL, 0, &log, &err), SILR_EDOMAIN);
    assert_non_null(strstr(err.text, "epoch 1"));
    assert_null(log.epoch);
    assert_int_equal(silr_train(c, &o, 1, &m, t->docs, 0, NULL, 0, NULL, &err), SILR_EDOMAIN);
    o.learning_rate = 0.02;
    silr_cancel();
    assert_int_equal(silr_train(c, &o, 1, &m, t->docs, TEXTS, NULL, 0, NULL, &err), SILR_ECANCEL);
    silr_cancel_reset();
    silr_classifier_free(c);
    free(t);
}

/* --- against the recorded schedule ---------------------------------------------------- */

static json_t *golden(const char *name)
{
    const char *shared = getenv("SILR_SHARED");
    char path[4096];

    snprintf(path, sizeof path, "%s/golden/%s", shared ? shared : SOURCE_ROOT "/../shared", name);
    return json_load_file(path, 0, NULL);
}

static void recorded_schedule(void **state)
{
    json_t *root = golden("adamw_schedule.json"), *run;
    size_t i;
    int met = 0;
    (void)state;

    if (!root) {
        print_message("skipped: no golden/adamw_schedule.json in $SILR_SHARED or ../shared\n");
        skip();
    }
    json_array_foreach(json_object_get(root, "runs"), i, run) {
        const json_t *lr = json_object_get(run, "lr");
        const double base = json_real_value(json_object_get(run, "base_lr"));
        const double ratio = json_real_value(json_object_get(run, "warmup_ratio"));
        const json_int_t total = json_integer_value(json_object_get(run, "total"));
        const bool floored = strcmp(json_string_value(json_object_get(run, "warmup_rule")), "floor") == 0;
        /* transformers' Trainer rounds the steps of the warm-up up: a ratio that has them here */
        const double warm = floored ? ratio : ((double)json_integer_value(json_object_get(run, "warmup_steps")) + 0.5) /
                                                  (double)total;
        for (size_t k = 0; k < json_array_size(lr); k++, met++) {
            const double want = json_real_value(json_array_get(lr, k));
            assert_true(fabs(silr_learning_rate(SILR_LR_COSINE, base, warm, total, (int64_t)k) -
                             want) <= 1e-12 * base);
        }
    }
    assert_true(met > 1100);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_texts_into_ngrams),
        cmocka_unit_test(counts_ngrams),
        cmocka_unit_test(matrix_rows),
        cmocka_unit_test(gradient_of_the_chain),
        cmocka_unit_test(same_bytes_for_threads_and_banks),
        cmocka_unit_test(batch_mates_change_nothing),
        cmocka_unit_test(stops_where_theta_says),
        cmocka_unit_test(keeps_the_best_epoch),
        cmocka_unit_test(refuses_and_stops),
        cmocka_unit_test(recorded_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
