/* test_frozen.c - heads on vectors: derivatives, equal bytes whatever the company and the threads,
 * models as files that need their encoder. The encoder adds up random words (tests/embed/fake.h). */
#include "toy.h"

#include "classify/frozen.h"
#include "classify/model.h"
#include "embed/half.h"
#include "fake.h"
#include <math.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/silr-test-frozen-XXXXXX";
static char encoder_path[64];

static silr_embeddings *vectors(const toy *t)
{
    silr_encoder *e = fake_encoder();
    silr_embeddings *v;
    silr_error err;

    if (silr_embeddings_make(&v, e, NULL, toy_text, t, TEXTS, &err) != SILR_OK)
        fail_msg("%s", err.text);
    silr_encoder_free(e);
    return v;
}

static silr_frozen_opts opts_of(silr_head_kind head, bool ngrams)
{
    silr_frozen_opts o = {.head = head, .hidden = 5, .ngrams = ngrams ? &words_only : NULL,
                          .encoder = {.name = "fake", .place = encoder_path}};
    silr_encoder_hash(&o.encoder.model, "fake", NULL);
    return o;
}

static silr_classifier *make(const toy *t, silr_head_kind head, bool ngrams, int K)
{
    const silr_frozen_opts o = opts_of(head, ngrams);
    silr_classifier *c;
    silr_error err;

    if (silr_frozen_new(&c, &o, K, names, vectors(t), toy_text, t, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return c;
}

/* --- features and derivatives ------------------------------------------------------------------ */

/* Centred, and of the scale of one value a feature; products as plain sums say. */
static void products_are_sums(void **state)
{
    enum { STRIDE = 40, SOME = 333 };
    toy *t = toy_make(2, 0.8);
    silr_dense x;
    silr_rng g;
    static float w[FAKE_DIM * STRIDE], out[SOME * STRIDE], dout[SOME * STRIDE];
    static float grad[FAKE_DIM * STRIDE];
    static double v[TEXTS][FAKE_DIM];
    uint32_t docs[SOME];
    double square = 0;
    (void)state;

    assert_int_equal(silr_dense_take(&x, vectors(t), NULL), SILR_OK);
    for (size_t j = 0; j < FAKE_DIM; j++) {
        double mean = 0;
        for (size_t i = 0; i < TEXTS; i++) {
            v[i][j] = (double)silr_half_to_one(silr_embeddings_row(x.vectors, i)[j]);
            mean += v[i][j] / TEXTS;
            square += v[i][j] * v[i][j];
        }
        for (size_t i = 0; i < TEXTS; i++)
            v[i][j] -= mean;
    }
    square = sqrt((double)FAKE_DIM * TEXTS / square);
    assert_true(fabs(square - sqrt(FAKE_DIM)) < 0.01); /* the vectors have length 1 */
    silr_rng_init(&g, 1, SILR_RNG_TEST, 0, 0);
    for (size_t i = 0; i < SOME; i++)
        docs[i] = (uint32_t)silr_rng_below(&g, TEXTS);
    for (size_t i = 0; i < FAKE_DIM * STRIDE; i++)
        w[i] = (float)silr_rng_normal(&g);
    for (size_t i = 0; i < SOME * STRIDE; i++)
        dout[i] = (float)silr_rng_normal(&g);
    silr_dense_forward(&x, docs, SOME, w, STRIDE, out);
    silr_dense_backward(&x, docs, SOME, dout, STRIDE, grad);
    for (size_t k = 0; k < STRIDE; k++) {
        for (size_t i = 0; i < SOME; i++) {
            double z = 0;
            for (size_t j = 0; j < FAKE_DIM; j++)
                z += v[docs[i]][j] * square * (double)w[j * STRIDE + k];
            assert_true(fabs(z - (double)out[i * STRIDE + k]) < 1e-4);
        }
        for (size_t j = 0; j < FAKE_DIM; j++) {
            double d = 0;
            for (size_t i = 0; i < SOME; i++)
                d += v[docs[i]][j] * square * (double)dout[i * STRIDE + k];
            assert_true(fabs(d - (double)grad[j * STRIDE + k]) < 2e-3);
        }
    }
    silr_dense_clear(&x);
    free(t);
}

/* sum_ik r_ik z_ik moves as backward says: a step of Adam without memory goes along the sign of the
 * gradient, so ask the parameters themselves. */
static void derivatives_are_differences(void **state)
{
    enum { SOME = 40 };
    toy *t = toy_make(3, 0.8);
    (void)state;

    for (int head = 0; head < 2; head++) {
        silr_classifier *c = make(t, (silr_head_kind)head, false, 3);
        /* beta 0: the step is lr g / (|g| + eps); with a huge epsilon it is lr g / eps */
        const silr_adam plain = {.beta1 = 0, .beta2 = 0, .epsilon = 1e6};
        const size_t width = 2 * 3;
        static float z[SOME * 6], r[SOME * 6], before[20000];
        silr_rng g;
        assert_int_equal(c->reset(c, &plain, 3, 2, NULL), SILR_OK);
        assert_true(c->n_params < 20000);
        silr_rng_init(&g, 2, SILR_RNG_TEST, 0, (uint64_t)head);
        for (size_t i = 0; i < c->n_params && head == SILR_HEAD_LINEAR; i++)
            c->params[i] = (float)silr_rng_normal(&g);
        for (size_t i = 0; i < SOME * width; i++)
            r[i] = (float)silr_rng_normal(&g);
        memcpy(before, c->params, c->n_params * sizeof *before);
        assert_int_equal(c->forward(c, t->docs, SOME, z, NULL), SILR_OK);
        assert_int_equal(c->backward(c, t->docs, SOME, r, NULL), SILR_OK);
        assert_int_equal(c->step(c, 1e6, NULL), SILR_OK); /* params = before - gradient */
        for (size_t p = 0; p < c->n_params; p += 7) {
            const double slope = (double)before[p] - (double)c->params[p];
            const float h = 2e-3f;
            double up = 0, down = 0;
            static float now[20000];
            memcpy(now, c->params, c->n_params * sizeof *now);
            memcpy(c->params, before, c->n_params * sizeof *now);
            c->params[p] = before[p] + h;
            assert_int_equal(c->forward(c, t->docs, SOME, z, NULL), SILR_OK);
            for (size_t i = 0; i < SOME * width; i++)
                up += (double)r[i] * (double)z[i];
            c->params[p] = before[p] - h;
            assert_int_equal(c->forward(c, t->docs, SOME, z, NULL), SILR_OK);
            for (size_t i = 0; i < SOME * width; i++)
                down += (double)r[i] * (double)z[i];
            memcpy(c->params, now, c->n_params * sizeof *now);
            if (fabs((up - down) / (2 * (double)h) - slope) > 0.02 + 0.03 * fabs(slope))
                fail_msg("head %d, parameter %zu: %g by differences, %g by backward", head, p,
                         (up - down) / (2 * (double)h), slope);
        }
        silr_classifier_free(c);
    }
    free(t);
}

/* --- equal bytes -------------------------------------------------------------------------------- */

static void train(silr_classifier *c, const toy *t, size_t members, size_t batch, float *scores)
{
    const int K = c->K;
    silr_member m[3] = {{.risk = make_risk(SILR_RISK_RUU, K, 0.9), .set = t->truth},
                        {.risk = make_risk(SILR_RISK_PN, K, 0.9), .set = t->truth},
                        {.risk = make_risk(SILR_RISK_UU, K, 0.8), .set = t->truth}};
    silr_train_opts o = full_batch(12);

    o.batch = batch;
    train_or_fail(c, &o, members, m, t, NULL);
    assert_int_equal(c->forward(c, t->docs, TEXTS, scores, NULL), SILR_OK);
}

/* Threads, neighbours in the bank and in the batch: the same bytes. */
static void nothing_depends_on_company(void **state)
{
    static float one[TEXTS * 9], other[TEXTS * 9], alone[TEXTS * 3], single[9];
    toy *t = toy_make(3, 0.8);
    (void)state;

    for (int head = 0; head < 2; head++)
        for (int ngrams = 0; ngrams < 2; ngrams++) {
            silr_classifier *c = make(t, (silr_head_kind)head, ngrams, 3);
            omp_set_num_threads(1);
            train(c, t, 3, ngrams ? 64 : 0, one);
            for (int threads = 2; threads <= 4; threads += 2) {
                omp_set_num_threads(threads);
                train(c, t, 3, ngrams ? 64 : 0, other);
                assert_memory_equal(one, other, sizeof one);
            }
            train(c, t, 1, ngrams ? 64 : 0, alone);
            for (size_t i = 0; i < TEXTS; i++)
                assert_memory_equal(alone + i * 3, one + i * 9, 3 * sizeof *alone);
            train(c, t, 3, ngrams ? 64 : 0, other);
            for (size_t i = 0; i < TEXTS; i += 17) {
                assert_int_equal(c->forward(c, t->docs + i, 1, single, NULL), SILR_OK);
                assert_memory_equal(single, one + i * 9, sizeof single);
            }
            silr_classifier_free(c);
        }
    free(t);
}

static void heads_learn(void **state)
{
    static float z[TEXTS];
    toy *t = toy_make(2, 0.6);
    (void)state;

    for (int head = 0; head < 2; head++)
        for (int ngrams = 0; ngrams < 2; ngrams++) {
            silr_classifier *c = make(t, (silr_head_kind)head, ngrams, 2);
            const silr_member m = {.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth};
            silr_train_opts o = full_batch(100);
            int right = 0;
            o.learning_rate = c->rate[SILR_RECIPE_SILR];
            train_or_fail(c, &o, 1, &m, t, NULL);
            assert_int_equal(c->forward(c, t->docs, TEXTS, z, NULL), SILR_OK);
            for (size_t i = TEXTS - 100; i < TEXTS; i++) /* not trained on */
                right += (z[i] > 0) == (t->truth[i] == 0);
            if (right < 75)
                fail_msg("head %d, n-grams %d: %d of 100 right", head, ngrams, right);
            silr_classifier_free(c);
        }
    free(t);
}

/* The best epoch comes back, for each member its own. */
static void snapshots_come_back(void **state)
{
    static float one[TEXTS * 9], later[TEXTS * 9], back[TEXTS * 9];
    toy *t = toy_make(3, 0.8);
    (void)state;

    for (int head = 0; head < 2; head++) {
        silr_classifier *c = make(t, (silr_head_kind)head, true, 3);
        static float d[TEXTS * 9];
        train(c, t, 3, 0, one);
        assert_int_equal(c->snapshot(c, 1, NULL), SILR_OK);
        for (size_t i = 0; i < TEXTS * 9; i++)
            d[i] = 0.01f;
        assert_int_equal(c->backward(c, t->docs, TEXTS, d, NULL), SILR_OK);
        assert_int_equal(c->step(c, 0.1, NULL), SILR_OK);
        assert_int_equal(c->forward(c, t->docs, TEXTS, later, NULL), SILR_OK);
        assert_int_equal(c->restore(c, 1, NULL), SILR_OK);
        assert_int_equal(c->forward(c, t->docs, TEXTS, back, NULL), SILR_OK);
        for (size_t i = 0; i < TEXTS; i++) {
            assert_memory_equal(back + i * 9 + 3, one + i * 9 + 3, 3 * sizeof *one);
            assert_memory_equal(back + i * 9, later + i * 9, 3 * sizeof *one);
            assert_memory_not_equal(later + i * 9 + 3, one + i * 9 + 3, 3 * sizeof *one);
        }
        silr_classifier_free(c);
    }
    free(t);
}

/* --- models as files ----------------------------------------------------------------------------- */

static void remove_files(void)
{
    static const char *const files[] = {"model.silr", "model.json", "frozen.silr"};
    char path[256];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
}

/* Trains two members, blends them (through the bytes of the store), saves; fills the logits that the
 * saved model must give. */
static void save_blend(const toy *t, silr_head_kind head, bool ngrams, int K, double *logits)
{
    static float scores[TEXTS * 6];
    const double A[9] = {1.5, 0, 0, 0, 1.25, 0.5, 0, 0, 1}, b[3] = {0.25, -0.5, 0.125};
    const double offset[3] = {0.5, -0.25, 0};
    silr_classifier *c = make(t, head, ngrams, K);
    const size_t columns = (size_t)c->columns;
    silr_buf state = {0};

    train(c, t, 2, 0, scores);
    assert_int_equal(c->blend(c, 1, 3, NULL, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, NULL, 0, NULL), SILR_OK); /* forget */
    assert_int_equal(c->blend(c, 0, 0.5, offset, NULL), SILR_OK);
    assert_int_equal(c->blend_get(c, &state, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, NULL, 0, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, state.data, state.len, NULL), SILR_OK);
    assert_int_equal(c->blend_set(c, state.data, state.len - 8, NULL), SILR_EINPUT);
    assert_int_equal(c->blend_set(c, state.data, 3, NULL), SILR_EINPUT);
    assert_int_equal(c->blend_set(c, state.data, state.len, NULL), SILR_OK);
    assert_int_equal(c->blend(c, 1, 1.5, NULL, NULL), SILR_OK);
    silr_buf_clear(&state);
    for (size_t i = 0; i < TEXTS; i++) {
        double blend[3], mean[2] = {0};
        for (size_t k = 0; columns > 1 && k < columns; k++)
            for (size_t a = 0; a < 2; a++)
                mean[a] += (double)scores[(i * 2 + a) * columns + k] / (double)columns;
        for (size_t k = 0; k < columns; k++)
            blend[k] = (0.5 * ((double)scores[i * 2 * columns + k] - mean[0]) +
                        1.5 * ((double)scores[(i * 2 + 1) * columns + k] - mean[1]) + offset[k]) / 2;
        for (size_t k = 0; k < columns; k++) {
            logits[i * columns + k] = b[k];
            for (size_t l = 0; l < columns; l++)
                logits[i * columns + k] += A[k * columns + l] * blend[l];
        }
    }
    assert_int_equal(c->save(c, folder, A, b, 2, NULL), SILR_OK);
    silr_classifier_free(c);
}

static void check_predictions(const silr_model *m, const toy *t, const double *logits)
{
    static double many[TEXTS * 3];
    static const char *texts[TEXTS];
    static size_t lens[TEXTS];
    const size_t columns = (size_t)silr_model_columns(m), K = (size_t)silr_model_classes(m);

    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = toy_text(t, i, &lens[i]);
    assert_int_equal(silr_model_predict_many(m, texts, lens, TEXTS, many, NULL), SILR_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        double got[3], probs[3];
        silr_prediction p;
        assert_int_equal(silr_model_logits(m, texts[i], lens[i], got, NULL), SILR_OK);
        for (size_t k = 0; k < columns; k++)
            if (fabs(got[k] - logits[i * columns + k]) > 1e-4)
                fail_msg("text %zu: %g, not %g", i, got[k], logits[i * columns + k]);
        assert_int_equal(silr_predict(m, texts[i], lens[i], &p, probs, NULL), SILR_OK);
        assert_memory_equal(probs, many + i * K, K * sizeof *probs);
        assert_true(p.score >= probs[0] && p.score <= probs[p.label]);
    }
}

static void a_saved_model_predicts_the_same(void **state)
{
    static double logits[TEXTS * 3];
    silr_error err;
    (void)state;

    for (int kind = 0; kind < 8; kind++) {
        const int K = kind & 4 ? 3 : 2;
        const bool ngrams = kind & 2;
        toy *t = toy_make(K, 0.8);
        silr_model *m;
        silr_evidence e[3];
        save_blend(t, kind & 1 ? SILR_HEAD_MLP : SILR_HEAD_LINEAR, ngrams, K, logits);
        if (silr_model_load(&m, folder, &err) != SILR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(silr_model_classes(m), K);
        assert_string_equal(silr_model_class(m, 1), "bad");
        assert_null(silr_model_class(m, K));
        assert_int_equal(silr_model_batch(m), 256);
        check_predictions(m, t, logits);
        assert_int_equal(silr_model_explain(m, "word3 word3 word5", 17, 0, e, 3, NULL) > 0, ngrams);
        silr_model_free(m);
        remove_files();
        free(t);
    }
}

/* The encoder of the training or none: where it is looked for, and what is said. */
static void a_model_needs_its_encoder(void **state)
{
    static double logits[TEXTS * 3];
    toy *t = toy_make(2, 0.8);
    silr_model *m;
    silr_error err;
    silr_evidence e[3];
    double z[1];
    (void)state;

    save_blend(t, SILR_HEAD_LINEAR, true, 2, logits);
    fake.name = "another";
    assert_int_equal(silr_model_load(&m, folder, &err), SILR_EINPUT);
    assert_null(m);
    assert_non_null(strstr(err.text, "is not the encoder"));
    fake.name = NULL;
    assert_int_equal(rmdir(encoder_path), 0);
    assert_int_equal(silr_model_load(&m, folder, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, encoder_path));
    assert_non_null(strstr(err.text, "--model"));
    assert_int_equal(silr_model_open(&m, folder, &(silr_model_opts){.encoder = "absent"}, &err),
                     SILR_EINPUT);
    assert_int_equal(silr_model_open(&m, folder, &(silr_model_opts){.encoder = "elsewhere"}, &err),
                     SILR_OK);
    check_predictions(m, t, logits);
    silr_model_free(m);
    /* without one it can say which words spoke, and no more */
    assert_int_equal(silr_model_open(&m, folder, &(silr_model_opts){.no_encoder = true}, &err), SILR_OK);
    assert_true(silr_model_explain(m, "word3 word3 word5", 17, 0, e, 3, NULL) > 0);
    assert_int_equal(silr_model_explain(m, "word3", 5, 2, e, 3, NULL), SILR_EINPUT);
    assert_int_equal(silr_model_logits(m, "word3", 5, z, &err), SILR_EINPUT);
    silr_model_free(m);
    assert_int_equal(mkdir(encoder_path, 0700), 0);
    remove_files();
    free(t);
}

static void hostile_files(void **state)
{
    static double logits[TEXTS * 3];
    static const struct { size_t at; uint32_t value; } lies[] = {
        {8, 2}, {12, 1}, {12, 65}, {16, 2}, {20, 0}, {20, 25}, {20, 1u << 30}, {24, 0}, {24, 11},
        {24, 1u << 31}, {28, 2}, {32, 4}, {36, 2000000}, {56, 8}, {60, 1}, {64, 0x20202020},
        {128, 0}, {200, 0x7fc00000}};
    toy *t = toy_make(2, 0.9);
    silr_model *m = NULL;
    silr_buf file = {0};
    char path[256];
    silr_error err;
    (void)state;

    save_blend(t, SILR_HEAD_MLP, true, 2, logits);
    snprintf(path, sizeof path, "%s/frozen.silr", folder);
    assert_int_equal(silr_file_read(&file, path, 1 << 24, NULL), SILR_OK);
    assert_int_equal(silr_model_parse(&m, file.data, file.len, "ok", &err), SILR_OK);
    silr_model_free(m);
    for (size_t len = 0; len < file.len; len += len < 300 ? 1 : 97) {
        assert_int_equal(silr_model_parse(&m, file.data, len, "cut", &err), SILR_EINPUT);
        assert_null(m);
        assert_non_null(strstr(err.text, "cut"));
    }
    for (size_t bit = 0; bit < file.len * 8; bit += bit < 2400 ? 1 : 499) {
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
    /* the n-grams beside it are gone, or are of other classes */
    snprintf(path, sizeof path, "%s/model.silr", folder);
    unlink(path);
    assert_int_equal(silr_model_load(&m, folder, &err), SILR_EINPUT);
    silr_buf_clear(&file);
    remove_files();
    free(t);
}

static void failing_allocations(void **state)
{
    toy *t = toy_make(2, 0.9);
    const double one = 1, zero = 0;
    (void)state;

    for (int head = 0; head < 2; head++) {
        bool done = false;
        const silr_frozen_opts fo = opts_of((silr_head_kind)head, true);
        silr_train_opts o = full_batch(2);
        o.batch = 64;
        for (uint64_t n = 1; !done; n++) {
            const silr_member m = {.risk = make_risk(SILR_RISK_PN, 2, 0.9), .set = t->truth};
            silr_embeddings *v = vectors(t);
            silr_classifier *c = NULL;
            silr_model *model = NULL;
            silr_buf state_bytes = {0};
            silr_prediction p;
            silr_error err;
            silr_status st;
            silr_mem_fail_at(n, true);
            st = silr_frozen_new(&c, &fo, 2, names, v, toy_text, t, &err);
            if (st == SILR_OK)
                st = silr_train(c, &o, 1, &m, t->docs, TEXTS, NULL, 0, NULL, &err);
            if (st == SILR_OK)
                st = c->snapshot(c, 0, &err);
            if (st == SILR_OK)
                st = c->blend(c, 0, 1, NULL, &err);
            if (st == SILR_OK)
                st = c->blend_get(c, &state_bytes, &err);
            if (st == SILR_OK)
                st = c->blend_set(c, state_bytes.data, state_bytes.len, &err);
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
            silr_buf_clear(&state_bytes);
            silr_model_free(model);
            silr_classifier_free(c);
        }
    }
    remove_files();
    free(t);
}

static int begin(void **state)
{
    (void)state;
    fake_start();
    if (!mkdtemp(folder))
        return -1;
    snprintf(encoder_path, sizeof encoder_path, "%s/encoder", folder);
    return mkdir(encoder_path, 0700);
}

static int end(void **state)
{
    (void)state;
    fake_end();
    remove_files();
    rmdir(encoder_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_sums),
        cmocka_unit_test(derivatives_are_differences),
        cmocka_unit_test(nothing_depends_on_company),
        cmocka_unit_test(heads_learn),
        cmocka_unit_test(snapshots_come_back),
        cmocka_unit_test(a_saved_model_predicts_the_same),
        cmocka_unit_test(a_model_needs_its_encoder),
        cmocka_unit_test(hostile_files),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
