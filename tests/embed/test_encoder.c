/* test_encoder.c - a model of the engine as an encoder: its pooling or another, texts cut where asked,
 * what its identity is made of, and memory that fails. On the random BERT of tests/engine/data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "embed/embed.h"
#include "engine/engine.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 32 };
static char folder[64];
static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json"};

static char *at(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void copy(const char *name)
{
    silr_buf b = {0};
    char from[400];

    snprintf(from, sizeof from, SOURCE_ROOT "/tests/engine/data/tinybert/%s", name);
    assert_int_equal(silr_file_read(&b, from, 1 << 20, NULL), SILR_OK);
    assert_int_equal(silr_file_write(at(name), b.data, b.len, NULL), SILR_OK);
    silr_buf_clear(&b);
}

/* WordPiece over [PAD] [UNK] [CLS] [SEP] [MASK] w5 .. w95, the last word with another letter. */
static void write_words(const char *last)
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    silr_buf b = {0};

    silr_buf_puts(&b, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (int i = 0; i < 5; i++)
        silr_buf_printf(&b, "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                        "\"rstrip\":false,\"normalized\":false,\"special\":true}", i ? "," : "", i,
                        special[i]);
    silr_buf_puts(&b, "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
                  "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
                  "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"
                  "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":"
                  "0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\","
                  "\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":"
                  "{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\","
                  "\"ids\":[2],\"tokens\":[\"[CLS]\"]},\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],"
                  "\"tokens\":[\"[SEP]\"]}}},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\","
                  "\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
                  "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{");
    for (int i = 0; i < 96; i++)
        if (i < 5)
            silr_buf_printf(&b, "\"%s\":%d,", special[i], i);
        else
            silr_buf_printf(&b, "\"%s%d\":%d%s", i == 95 ? last : "w", i, i, i < 95 ? "," : "}}}");
    assert_false(b.failed);
    assert_int_equal(silr_file_write(at("tokenizer.json"), b.data, b.len, NULL), SILR_OK);
    silr_buf_clear(&b);
}

static silr_encoder *open_as(silr_pooling_choice pooling, size_t max_tokens)
{
    const silr_encoder_opts o = {.pooling = pooling, .max_tokens = max_tokens};
    silr_encoder *e;
    silr_error err;

    if (silr_encoder_open(&e, folder, &o, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(e->dim, DIM);
    return e;
}

static void embed_one(const silr_encoder *e, const char *text, float *out)
{
    const size_t len = strlen(text);
    silr_error err;

    if (e->embed(e->ctx, &text, &len, 1, out, &err) != SILR_OK)
        fail_msg("%s", err.text);
}

static bool same(const float *a, const float *b)
{
    for (size_t j = 0; j < DIM; j++)
        if (fabsf(a[j] - b[j]) > 1e-5f)
            return false;
    return true;
}

/* Pooled by hand from the engine's hidden states. */
static void pooling_is_as_asked(void **state)
{
    static const uint32_t ids[] = {2, 5, 40, 7, 3}; /* [CLS] w5 w40 w7 [SEP] */
    const size_t start[2] = {0, 5};
    float hidden[5 * DIM], mean[DIM] = {0}, own[DIM], got[DIM];
    silr_engine *engine;
    (void)state;

    assert_int_equal(silr_engine_open(&engine, folder, NULL, NULL), SILR_OK);
    assert_int_equal(silr_engine_hidden(engine, ids, start, 1, 2, hidden, NULL), SILR_OK);
    assert_int_equal(silr_engine_embed(engine, ids, start, 1, own, NULL), SILR_OK);
    silr_engine_free(engine);
    for (size_t i = 0; i < 5 * DIM; i++)
        mean[i % DIM] += hidden[i] / 5;
    for (int choice = SILR_POOLING_AUTO; choice <= SILR_POOLING_LAST; choice++) {
        silr_encoder *e = open_as((silr_pooling_choice)choice, 0);
        const float *want[] = {own, mean, hidden, hidden + 4 * DIM};
        embed_one(e, "w5 W40 w7", got);
        assert_true(same(got, want[choice]));
        silr_encoder_free(e);
    }
}

/* A long text is its beginning; blanks are a frame around nothing; texts do not meet. */
static void texts_are_cut_and_alone(void **state)
{
    const char *const texts[] = {"w5 w6 w7 w8 w9 w10", " ", "w5 w6", "", "unheard of"};
    const size_t lens[] = {18, 1, 5, 0, 10};
    float all[5 * DIM], one[DIM], cut[DIM];
    uint32_t tokens[5];
    silr_encoder *e = open_as(SILR_POOLING_AUTO, 4);
    (void)state;

    assert_int_equal(silr_encode(e, texts, lens, 5, all, NULL), SILR_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(silr_encode(e, texts + i, lens + i, 1, one, NULL), SILR_OK);
        assert_memory_equal(one, all + i * DIM, sizeof one);
    }
    assert_memory_equal(all, all + 2 * DIM, sizeof one); /* [CLS] w5 w6 [SEP] */
    for (size_t j = 0; j < DIM; j++)
        assert_true(all[3 * DIM + j] <= 0 && all[3 * DIM + j] >= 0);
    assert_int_equal(e->count(e->ctx, texts, lens, 5, tokens, NULL), SILR_OK);
    assert_int_equal(tokens[0], 4);
    assert_int_equal(tokens[1], 2);
    silr_encoder_free(e);
    e = open_as(SILR_POOLING_AUTO, 1000); /* no more than its positions */
    embed_one(e, "w5 w6 w7", cut);
    assert_false(same(cut, all));
    silr_encoder_free(e);
}

static void identity_is_all_that_matters(void **state)
{
    silr_sha256 was, now, id[3];
    silr_encoder *e;
    silr_error err;
    (void)state;

    assert_int_equal(silr_encoder_hash(&was, folder, NULL), SILR_OK);
    for (int i = 0; i < 3; i++) {
        e = open_as(i == 1 ? SILR_POOLING_CLS : SILR_POOLING_AUTO, i == 2 ? 8 : 0);
        assert_string_equal(e->model.hex, was.hex);
        assert_int_equal(silr_encoder_identity(&id[i], e, NULL), SILR_OK);
        silr_encoder_free(e);
    }
    assert_string_not_equal(id[0].hex, id[1].hex);
    assert_string_not_equal(id[0].hex, id[2].hex);
    write_words("v"); /* another word: another model */
    assert_int_equal(silr_encoder_hash(&now, folder, NULL), SILR_OK);
    assert_string_not_equal(now.hex, was.hex);
    write_words("w");
    assert_int_equal(silr_encoder_hash(&now, folder, NULL), SILR_OK);
    assert_string_equal(now.hex, was.hex);
    assert_int_equal(silr_encoder_hash(&now, at("nothing"), &err), SILR_EINPUT);
    assert_int_equal(silr_encoder_open(&e, at("nothing"), &(silr_encoder_opts){0}, &err), SILR_EINPUT);
    assert_null(e);
}

static void failing_allocations(void **state)
{
    const silr_encoder_opts o = {.pooling = SILR_POOLING_MEAN};
    const char *const texts[] = {"w5 w6", "w7"};
    const size_t lens[] = {5, 2};
    silr_status st;
    uint64_t n = 0, step = 1;
    (void)state;

    do {
        silr_encoder *e;
        silr_error err;
        float out[2 * DIM];
        silr_mem_fail_at(n += step, true);
        st = silr_encoder_open(&e, folder, &o, &err);
        if (st == SILR_OK)
            st = silr_encode(e, texts, lens, 2, out, &err);
        silr_mem_fail_at(0, false);
        silr_encoder_free(e);
        if (st != SILR_OK && st != SILR_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
        step = 1 + n / 100;
    } while (st != SILR_OK);
    assert_true(n > 20);
}

static int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;

    silr_mem_install();
    snprintf(folder, sizeof folder, "%.40s/silr-encoder-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    copy(files[0]);
    copy(files[1]);
    write_words("w");
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t f = 0; f < 3; f++)
        unlink(at(files[f]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pooling_is_as_asked),
        cmocka_unit_test(texts_are_cut_and_alone),
        cmocka_unit_test(identity_is_all_that_matters),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
