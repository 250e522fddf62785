/* test_model.c - trained models as files: equal predictions, explanations, hostile bytes. */
#include "toy.h"

#include "classify/model.h"
#include <math.h>
#include <unistd.h>

/* --- models as files --------------------------------------------------------------------------- */

static char folder[] = "/tmp/silr-test-classify-XXXXXX";

static void remove_folder(void)
{
    char path[256];

    snprintf(path, sizeof path, "%s/model.silr", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.json", folder);
    unlink(path);
}

/* Trains K classes, blends two members, saves; logits of the forward pass are returned. */
static void save_toy(const toy *t, const silr_ngram_opts *o, int K, double *logits)
{
    static float scores[TEXTS * 8];
    const double A[9] = {1.5, 0, 0, 0, 1.25, 0.5, 0, 0, 1}, b[3] = {0.25, -0.5, 0.125};
    const double offset[3] = {0.5, -0.25, 0};
    silr_classifier *c = toy_bank(t, o, K);
    const size_t columns = (size_t)c->columns;
    const silr_train_opts opts = full_batch(30);
    const silr_member m[2] = {{.risk = make_risk(SILR_RISK_PN, K, 0.9), .set = t->truth},
                              {.risk = make_risk(SILR_RISK_RUU, K, 0.8), .set = t->truth}};
    silr_buf state = {0};

    train_or_fail(c, &opts, 2, m, t, NULL);
    assert_int_equal(c->forward(c, t->docs, TEXTS, scores, NULL), SILR_OK);
    assert_int_equal(c->blend(c, 0, 0.5, offset, NULL), SILR_OK);
    assert_int_equal(c->blend_get(c, &state, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, NULL, 0, NULL), SILR_OK); /* forget, and take it up again */
    assert_int_equal(c->blend_set(c, state.data, state.len, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, state.data, state.len - 8, NULL), SILR_EINPUT);
    assert_int_equal(c->blend(c, 1, 1.5, NULL, NULL), SILR_OK);
    silr_buf_clear(&state);
    for (size_t i = 0; i < TEXTS; i++) {
        double blend[3], mean[2] = {0};
        for (size_t k = 0; columns > 1 && k < columns; k++)
            for (size_t a = 0; a < 2; a++)
                mean[a] += (double)scores[(i * 2 + a) * columns + k] / (double)columns;
        for (size_t k = 0; k < columns; k++)
            blend[k] = (0.5 * ((double)scores[i * 2 * columns + k] - mean[0]) +
                        1.5 * ((double)scores[(i * 2 + 1) * columns + k] - mean[1]) + offset[k]) /
                       2;
        for (size_t k = 0; k < columns; k++) {
            logits[i * columns + k] = b[k];
            for (size_t l = 0; l < columns; l++)
                logits[i * columns + k] += A[k * columns + l] * blend[l];
        }
    }
    assert_int_equal(c->save(c, folder, A, b, 2, NULL), SILR_OK);
    silr_classifier_free(c);
}

static void saved_model_predicts_the_same(void **state)
{
    static double logits[TEXTS * 3], many[TEXTS * 3];
    static const char *texts[TEXTS];
    static size_t lens[TEXTS];
    silr_ngram_opts o = words_only;
    silr_error err;
    (void)state;

    o.char_min = 3;
    o.char_max = 4;
    for (int K = 2; K <= 3; K++) {
        toy *t = toy_make(K, 0.8);
        silr_model *m = NULL;
        save_toy(t, &o, K, logits);
        if (silr_model_load(&m, folder, &err) != SILR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(silr_model_classes(m), K);
        assert_string_equal(silr_model_class(m, 1), "bad");
        assert_null(silr_model_class(m, K));
        for (size_t i = 0; i < TEXTS; i++)
            texts[i] = toy_text(t, i, &lens[i]);
        assert_int_equal(silr_model_predict_many(m, texts, lens, TEXTS, many, NULL), SILR_OK);
        for (size_t i = 0; i < TEXTS; i++) {
            const size_t columns = (size_t)silr_model_columns(m);
            double got[3], probs[3], sum = 0;
            silr_prediction p;
            assert_int_equal(silr_model_logits(m, texts[i], lens[i], got, NULL), SILR_OK);
            for (size_t k = 0; k < columns; k++)
                assert_true(fabs(got[k] - logits[i * columns + k]) < 1e-4);
            assert_int_equal(silr_predict(m, texts[i], lens[i], &p, probs, NULL), SILR_OK);
            assert_memory_equal(probs, many + i * (size_t)K, (size_t)K * sizeof *probs);
            for (int k = 0; k < K; k++)
                sum += probs[k];
            assert_true(fabs(sum - 1) < 1e-12 && p.score == probs[p.label]);
        }
        silr_model_free(m);
        remove_folder();
        free(t);
    }
}

/* What speaks for a class: its own words, strongest first, as text. */
static void explains_with_ngrams(void **state)
{
    static double logits[TEXTS * 3];
    toy *t = toy_make(2, 0.95);
    silr_model *m = NULL;
    silr_evidence e[4];
    const char text[] = "word3 word3 word55 and nothing known";
    (void)state;

    save_toy(t, &words_only, 2, logits);
    assert_int_equal(silr_model_load(&m, folder, NULL), SILR_OK);
    assert_int_equal(silr_model_explain(m, text, strlen(text), 0, e, 4, NULL), 2);
    assert_true(strcmp(e[0].ngram, "word3") == 0 || strcmp(e[1].ngram, "word3") == 0);
    assert_true(strcmp(e[0].ngram, "word3 word3") == 0 || strcmp(e[1].ngram, "word3 word3") == 0);
    assert_true(e[0].contribution >= e[1].contribution && e[1].contribution > 0);
    assert_int_equal(silr_model_explain(m, text, strlen(text), 1, e, 4, NULL), 1);
    assert_string_equal(e[0].ngram, "word55");
    assert_int_equal(silr_model_explain(m, "", 0, 1, e, 4, NULL), 0);
    assert_int_equal(silr_model_explain(m, text, strlen(text), 2, e, 4, NULL), SILR_EINPUT);
    silr_model_free(m);
    remove_folder();
    free(t);
}

/* Truncated, lengthened, each of many bits flipped, and lies with a good checksum: refused in a
 * sentence. */
static void hostile_model_files(void **state)
{
    static double logits[TEXTS * 3];
    static const struct { size_t at; uint32_t value; } lies[] = {
        {8, 2}, {12, 1}, {12, 65}, {16, 2}, {24, 99}, {20, 0}, {32, 3}, {36, 0}, {36, 25},
        {40, 2}, {44, 3}, {56, 0}, {60, 1}, {64, 8}, {68, 1u << 30}, {72, 0}, {92, 0}};
    toy *t = toy_make(2, 0.9);
    silr_model *m = NULL;
    silr_buf file = {0};
    char path[256];
    silr_error err;
    (void)state;

    save_toy(t, &words_only, 2, logits);
    snprintf(path, sizeof path, "%s/model.silr", folder);
    assert_int_equal(silr_file_read(&file, path, 1 << 24, NULL), SILR_OK);
    assert_int_equal(silr_model_parse(&m, file.data, file.len, "ok", &err), SILR_OK);
    silr_model_free(m);
    for (size_t len = 0; len < file.len; len += len < 200 ? 1 : 997) {
        assert_int_equal(silr_model_parse(&m, file.data, len, "cut", &err), SILR_EINPUT);
        assert_null(m);
        assert_non_null(strstr(err.text, "cut"));
    }
    for (size_t bit = 0; bit < file.len * 8; bit += bit < 1600 ? 1 : 4999) {
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(silr_model_parse(&m, file.data, file.len, "bit", &err), SILR_EINPUT);
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        silr_buf copy = {0};
        uint64_t sum;
        silr_buf_add(&copy, file.data, file.len);
        memcpy(copy.data + lies[i].at, &lies[i].value, 4);
        sum = silr_hash64(copy.data, copy.len - 8, 0);
        memcpy(copy.data + copy.len - 8, &sum, 8);
        if (silr_model_parse(&m, copy.data, copy.len, "lie", &err) != SILR_EINPUT)
            fail_msg("a lie at %zu was believed", lies[i].at);
        silr_buf_clear(&copy);
    }
    silr_buf_clear(&file);
    remove_folder();
    assert_int_equal(silr_model_load(&m, folder, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "no classifier"));
    free(t);
}

/* Each allocation failing in turn: SILR_ENOMEM or, where memory is only given back, success; no
 * leak (the sanitizer build looks). */
static void failing_allocations(void **state)
{
    toy *t = toy_make(2, 0.9);
    const silr_member m[2] = {{.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth},
                              {.risk = make_risk(SILR_RISK_RUU, 2, 0.9), .set = t->truth}};
    silr_train_opts o = full_batch(2);
    const double one = 1, zero = 0;
    bool done = false;
    (void)state;

    o.batch = 64;
    o.stratify = true;
    for (uint64_t n = 1; !done; n++) {
        silr_classifier *c = NULL;
        silr_model *model = NULL;
        silr_train_log logs[2] = {{0}};
        silr_prediction p;
        silr_error err;
        silr_status st;

        silr_mem_fail_at(n, true);
        st = silr_ngram_new(&c, &words_only, 2, names, toy_text, t, TEXTS, &err);
        if (st == SILR_OK)
            st = silr_train(c, &o, 2, m, t->docs, TEXTS, t->docs, 10, logs, &err);
        if (st == SILR_OK)
            st = c->blend(c, 0, 1, NULL, &err);
        if (st == SILR_OK)
            st = c->save(c, folder, &one, &zero, 1, &err);
        if (st == SILR_OK)
            st = silr_model_load(&model, folder, &err);
        if (st == SILR_OK)
            st = silr_predict(model, "word1 word2", 11, &p, NULL, &err);
        done = st == SILR_OK;
        silr_mem_fail_at(0, false);
        if (!done && st != SILR_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
        silr_free(logs[0].epoch);
        silr_free(logs[1].epoch);
        silr_model_free(model);
        silr_classifier_free(c);
    }
    remove_folder();
    free(t);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_folder();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_model_predicts_the_same),
        cmocka_unit_test(explains_with_ngrams),
        cmocka_unit_test(hostile_model_files),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
