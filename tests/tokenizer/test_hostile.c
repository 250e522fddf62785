/* test_hostile.c - tokenizer files that mean harm, or that silr does not know: a sentence, no
 * crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/gguf.h"
#include "tokenizer/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tokenizer.json ----------------------------------------------------------------------------
 */

#define BPE(rest)                                                                                  \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}" rest \
    "}"
#define PRE(pre)       BPE(",\"pre_tokenizer\":" pre)
#define NORMAL(normal) BPE(",\"normalizer\":" normal)
#define MODEL(model)   "{\"model\":" model "}"

static void refused_with_a_sentence(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "end of file"},
        {"[]", "not a JSON object"},
        {"{}", "no \"model\""},
        {"{\"model\":{\"vocab\":{}", "'}' expected"},
        {MODEL("{\"type\":\"Magic\"}"), "\"Magic\""},
        {MODEL("{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}"), "not an object"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":{}}"), "\"merges\""},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}"), "no id"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":4000000000},\"merges\":[]}"), "far beyond"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}"), "no id"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}"),
         "two tokens have the id 0"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}"),
         "the vocabulary lacks"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}"), "not a pair"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[3]}"), "not a pair"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"x\"}"),
         "unk_token"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.5}"), "dropout"},
        {MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</"
               "w>\"}"),
         "end_of_word_suffix"},
        {MODEL("{\"type\":\"Unigram\",\"vocab\":[]}"), "not a list"},
        {MODEL("{\"type\":\"Unigram\",\"vocab\":[[\"a\",\"b\"]]}"), "not a piece with a score"},
        {MODEL("{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",-1]]}"), "unk_id"},
        {PRE("{\"type\":\"UnicodeScripts\"}"), "\"UnicodeScripts\""},
        {PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":"
             "\"Whitespace\"}]}"),
         "behind \"ByteLevel\""},
        {PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"),
         "pattern"},
        {PRE("{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Isolated\"}"),
         "empty pattern"},
        {PRE("{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Odd\"}"),
         "\"Odd\""},
        {PRE("{\"type\":\"Split\",\"behavior\":\"Isolated\"}"), "no pattern"},
        {PRE("{\"type\":\"Metaspace\",\"replacement\":\"\"}"), "empty replacement"},
        {NORMAL("{\"type\":\"ByteLevel\"}"), "normalizer \"ByteLevel\""},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"****\"}"), "base64"},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA==\"}"), "cut short"},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////fw==\"}"), "trie has"},
        {NORMAL("{\"type\":\"Prepend\"}"), "\"prepend\""},
        {BPE(",\"post_processor\":{\"type\":\"Odd\"}"), "post-processor \"Odd\""},
        {BPE(",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",9],\"sep\":[\"b\",1]"
             "}"),
         "the vocabulary lacks"},
        {BPE(",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}"),
         "no text in it"},
        {BPE(",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
             "\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}]}"),
         "\"x\""},
        {BPE(",\"added_tokens\":[{\"id\":4000000000,\"content\":\"x\"}]"), "far beyond"},
        {BPE(",\"added_tokens\":[{\"content\":\"x\"}]"), "without content or id"},
        {BPE(",\"added_tokens\":[{\"id\":1,\"content\":\"x\"}]"), "two tokens have the id 1"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_tokenizer *t = (silr_tokenizer *)1;
        silr_error err = {0};
        silr_status st = silr_tokenizer_parse(&t, cases[i].json, strlen(cases[i].json), NULL, 0,
                                              "bad.json", &err);
        if (st != SILR_EINPUT || t || !strstr(err.text, cases[i].says) ||
            strncmp(err.text, "bad.json", 8) != 0)
            fail_msg("case %zu: %d, \"%s\" (wanted: %s)", i, st, err.text, cases[i].says);
    }
}

static silr_tokenizer *parse(const char *json)
{
    silr_tokenizer *t;
    silr_error err = {0};

    if (silr_tokenizer_parse(&t, json, strlen(json), NULL, 0, "test", &err) != SILR_OK)
        fail_msg("%s", err.text);
    return t;
}

static void nesting_has_a_floor(void **state)
{
    static const struct {
        const char *key, *list;
    } part[] = {{"normalizer", "normalizers"},
                {"pre_tokenizer", "pretokenizers"},
                {"post_processor", "processors"}};
    (void)state;

    for (size_t k = 0; k < 3; k++)
        for (int depth = 5; depth <= 5000; depth *= 10) {
            silr_buf b = {0};
            silr_tokenizer *t;
            silr_error err;
            silr_buf_printf(
                &b, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"%s\":",
                part[k].key);
            for (int i = 0; i < depth; i++)
                silr_buf_printf(&b, "{\"type\":\"Sequence\",\"%s\":[", part[k].list);
            for (int i = 0; i < depth; i++)
                silr_buf_puts(&b, "]}");
            silr_buf_puts(&b, "}");
            assert_int_equal(silr_tokenizer_parse(&t, b.data, b.len, NULL, 0, "deep", &err),
                             depth == 5 ? SILR_OK : SILR_EINPUT);
            silr_tokenizer_free(t);
            silr_buf_clear(&b);
        }
}

static void a_pattern_that_runs_away_is_an_error(void **state)
{
    static const char json[] = PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:(?:a|a)+)+[0-9]"
                                   "\"},\"behavior\":\"Isolated\"}");
    char text[101];
    silr_tokenizer *t = parse(json);
    silr_tokens ids = {0};
    silr_error err;
    (void)state;

    memset(text, 'a', 100);
    assert_int_equal(silr_tokenizer_encode(t, text, 100, NULL, &ids, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "takes too long"));
    assert_int_equal(ids.n, 0);
    silr_tokens_clear(&ids);
    silr_tokenizer_free(t);
}

/* Every step makes ten letters of one: the first texts say so, none takes the memory. */
static void no_text_grows_without_end(void **state)
{
    static const char step[] =
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaa\"}";
    silr_buf b = {0};
    silr_tokenizer *t;
    silr_tokens ids = {0};
    silr_error err = {0};
    (void)state;

    silr_buf_puts(&b, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},"
                      "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 60; i++)
        silr_buf_printf(&b, "%s%s", i ? "," : "", step);
    silr_buf_puts(&b, "]}}");
    t = parse(b.data);
    assert_int_equal(silr_tokenizer_encode(t, "a", 1, NULL, &ids, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "normalizer makes more than"));
    silr_tokenizer_free(t);
    silr_tokens_clear(&ids);
    silr_buf_clear(&b);
}

static void long_tokens_and_lists_are_refused(void **state)
{
    silr_buf b = {0};
    silr_tokenizer *t;
    silr_error err = {0};
    (void)state;

    silr_buf_puts(&b, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"");
    for (int i = 0; i < 5000; i++)
        silr_buf_putc(&b, 'a');
    silr_buf_puts(&b, "\":0},\"merges\":[]}}");
    assert_int_equal(silr_tokenizer_parse(&t, b.data, b.len, NULL, 0, "long", &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "5000 bytes"));
    silr_buf_reset(&b);
    silr_buf_puts(&b, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_"
                      "tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < 100; i++)
        silr_buf_printf(&b, "%s{\"type\":\"Whitespace\"}", i ? "," : "");
    silr_buf_puts(&b, "]}}");
    assert_int_equal(silr_tokenizer_parse(&t, b.data, b.len, NULL, 0, "many", &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "more than 64 pre-tokenizers"));
    silr_buf_clear(&b);
}

/* Merges and look-ups cannot make a special token even where the file would have it. */
static void merges_make_no_special_token(void **state)
{
    static const char *const models[] = {
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<\":0,\"s\":1,\">\":2,\"<s\":3,\"<s>\":4},"
        "\"merges\":[\"< s\",\"<s >\"]},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}]}",
        "{\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"<\":0,\"s\":1,\">\":2,\"<"
        "s\":3,\"<s>\":4},\"merges\":[\"< s\",\"<s >\"]},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}]}",
        "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"<\",-1],[\"s\",-1],[\">\",-1],[\"<s\",-1],["
        "\"<s>\",0]]},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}]}",
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"s\",\"vocab\":{\"<\":0,\"s\":1,\"##>\":"
        "2,\"##s\":3,\"<s>\":4}},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}]}",
        /* named twice, and special the second time only */
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<\":0,\"s\":1,\">\":2,\"<s\":3},\"merges\":[\"< s\"]},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<s>\"},"
        "{\"id\":4,\"content\":\"<s>\",\"special\":true}]}",
    };
    (void)state;

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        silr_tokenizer *t = parse(models[i]);
        silr_tokens ids = {0};
        assert_int_equal(silr_tokenizer_encode(t, "<s>", 3, NULL, &ids, NULL), SILR_OK);
        assert_true(ids.n > 0);
        for (size_t k = 0; k < ids.n; k++)
            assert_int_not_equal(ids.id[k], 4);
        ids.n = 0;
        assert_int_equal(
            silr_tokenizer_encode(t, "<s>", 3, &(silr_encode_opts){.trusted = true}, &ids, NULL),
            SILR_OK);
        assert_int_equal(ids.n, 1);
        assert_int_equal(ids.id[0], 4);
        silr_tokens_clear(&ids);
        silr_tokenizer_free(t);
    }
}

/* --- GGUF ---------------------------------------------------------------------------------------
 */

static void put_number(silr_buf *b, uint64_t v, size_t bytes)
{
    silr_buf_add(b, &v, bytes); /* little endian, as GGUF is */
}
static void put_string(silr_buf *b, const char *s)
{
    put_number(b, strlen(s), 8);
    silr_buf_puts(b, s);
}
enum { U32 = 4, I32 = 5, F32 = 6, STRING = 8, ARRAY = 9 };
static void put_key(silr_buf *b, const char *key, uint32_t type)
{
    char name[80];
    snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    put_string(b, name);
    put_number(b, type, 4);
}
static void put_list(silr_buf *b, const char *key, uint32_t type, size_t n)
{
    put_key(b, key, ARRAY);
    put_number(b, type, 4);
    put_number(b, n, 8);
}

typedef struct {
    const char *model, *pre;
    const char *token[8], *merge[8];
    int type[8];
    float score[8];
    int n_types, n_scores; /* -1: as many as tokens */
    int64_t bos;           /* 0: none */
} vocabulary;

static void write_gguf(silr_buf *b, const vocabulary *v)
{
    size_t n = 0, m = 0, keys = 5 + (v->pre ? 1u : 0u) + (v->bos ? 1u : 0u);

    while (n < 8 && v->token[n])
        n++;
    while (m < 8 && v->merge[m])
        m++;
    silr_buf_puts(b, "GGUF");
    put_number(b, 3, 4);
    put_number(b, 0, 8);
    put_number(b, keys, 8);
    put_key(b, "model", STRING);
    put_string(b, v->model);
    put_list(b, "tokens", STRING, n);
    for (size_t i = 0; i < n; i++)
        put_string(b, v->token[i]);
    put_list(b, "token_type", I32, v->n_types < 0 ? n : (size_t)v->n_types);
    for (size_t i = 0; i < (v->n_types < 0 ? n : (size_t)v->n_types); i++)
        put_number(b, (uint32_t)v->type[i], 4);
    put_list(b, "scores", F32, v->n_scores < 0 ? n : (size_t)v->n_scores);
    for (size_t i = 0; i < (v->n_scores < 0 ? n : (size_t)v->n_scores); i++)
        silr_buf_add(b, &v->score[i], 4);
    put_list(b, "merges", STRING, m);
    for (size_t i = 0; i < m; i++)
        put_string(b, v->merge[i]);
    if (v->pre) {
        put_key(b, "pre", STRING);
        put_string(b, v->pre);
    }
    if (v->bos) {
        put_key(b, "bos_token_id", U32);
        put_number(b, (uint64_t)v->bos, 4);
    }
}

static silr_status from_gguf(silr_tokenizer **t, const vocabulary *v, silr_error *err)
{
    silr_buf b = {0};
    silr_gguf *g;
    silr_status st;

    *t = NULL;
    write_gguf(&b, v);
    if ((st = silr_gguf_parse(&g, b.data, b.len, "bad.gguf", err)) != SILR_OK)
        fail_msg("%s", err->text);
    st = silr_tok_from_gguf(t, g, "bad.gguf", err);
    silr_gguf_free(g);
    silr_buf_clear(&b);
    return st;
}

static void refused_vocabularies(void **state)
{
    static const struct {
        vocabulary v;
        const char *says;
    } cases[] = {
        {{.model = "rwkv", .token = {"a"}, .n_types = -1, .n_scores = -1}, "\"rwkv\""},
        {{.model = "gpt2", .pre = "odd", .token = {"a"}, .n_types = -1, .n_scores = -1},
         "llama-bpe"},
        {{.model = "gpt2", .pre = "gpt-2", .n_types = -1, .n_scores = -1}, "tokens"},
        {{.model = "llama", .token = {"a", "b"}, .n_types = 1, .n_scores = -1}, "token_type"},
        {{.model = "llama", .token = {"a", "b"}, .n_types = -1, .n_scores = 7}, "scores"},
        {{.model = "llama",
          .token = {"a", "b"},
          .n_types = -1,
          .n_scores = -1,
          .score = {0, (float)(0.0 / 0.0)}},
         "not a number"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_tokenizer *t;
        silr_error err = {0};
        if (from_gguf(&t, &cases[i].v, &err) != SILR_EINPUT || t ||
            !strstr(err.text, cases[i].says))
            fail_msg("case %zu: \"%s\" (wanted: %s)", i, err.text, cases[i].says);
    }
}

/* Files that other loaders fell over: odd byte tokens, merges that lead nowhere, ids out of range.
 */
static void harmless_vocabularies(void **state)
{
    static const vocabulary cases[] = {
        {.model = "llama",
         .token = {"<unk>", "<0x-1>", "<0x1>", "<0xGG>", "<0x100>", "a", "<0x62>"},
         .type = {2, 6, 6, 6, 6, 1, 6},
         .n_types = -1,
         .n_scores = -1},
        {.model = "llama",
         .token = {"", "", "a", "a", "ab"},
         .type = {1, 4, 1, 1, 1},
         .n_types = -1,
         .n_scores = -1,
         .bos = 4000000000},
        {.model = "llama",
         .token = {"a", "b", "ab"},
         .type = {3, 3, 3},
         .n_types = -1,
         .n_scores = -1,
         .bos = 2},
        {.model = "llama",
         .token = {"a", "b", "ab"},
         .type = {-7, 99, 1},
         .n_types = -1,
         .n_scores = -1,
         .score = {-1e38f, (float)(1e300 * 1e10), -(float)(1e300 * 1e10)}},
        {.model = "gpt2",
         .pre = "gpt-2",
         .token = {"a", "b", "ab"},
         .type = {1, 1, 1},
         .n_types = -1,
         .n_scores = -1,
         .merge = {"a b", "a b", " ", "", "  ",
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b", "b a", "ab"}},
        {.model = "gpt2",
         .pre = "gpt-2",
         .token = {"a", "a", "\xff\xfe", "\xc4"},
         .type = {1, 1, 4, 3},
         .n_types = -1,
         .n_scores = -1,
         .merge = {"a a"}},
        {.model = "bert",
         .token = {"\xe2\x96\x81",
                   "\xe2\x96\x81"
                   "a",
                   "b", "\xff"},
         .type = {1, 1, 1, 1},
         .n_types = -1,
         .n_scores = -1},
        {.model = "t5",
         .token = {"\xff", "a", "\xe2\x96\x81", "b\xe2"},
         .type = {1, 1, 1, 1},
         .n_types = -1,
         .n_scores = -1},
    };
    static const char text[] = "ab ba <0x-1> aab \xff\xfe b\xe2\x96\x81";
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_tokenizer *t;
        silr_tokens ids = {0};
        silr_buf b = {0};
        silr_error err = {0};
        if (from_gguf(&t, &cases[i], &err) != SILR_OK)
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(silr_tokenizer_encode(t, text, strlen(text),
                                               &(silr_encode_opts){.frame = true, .trusted = true},
                                               &ids, &err),
                         SILR_OK);
        for (size_t k = 0; k < ids.n; k++)
            assert_true(ids.id[k] < silr_tokenizer_vocab(t));
        assert_int_equal(silr_tokenizer_decode(t, ids.id, ids.n, &b, &err), SILR_OK);
        ids.n = 0;
        assert_int_equal(silr_tokenizer_encode(t, "ab", 2, NULL, &ids, &err), SILR_OK);
        for (size_t k = 0; k < ids.n; k++)
            assert_true(!silr_tokenizer_is_special(t, ids.id[k]) || ids.id[k] == t->unknown);
        silr_tokens_clear(&ids);
        silr_buf_clear(&b);
        silr_tokenizer_free(t);
    }
}

/* --- memory
 * --------------------------------------------------------------------------------------- */

/* Everything once: open, encode, talk, decode. */
static silr_status all_of_it(const char *path, const char *config, silr_error *err)
{
    static const char text[] = "It's \xc3\xa9 <|end|> the \xef\xac\x81 12  words\xff and a "
                               "wordwithoutaplacetosplititbutlong";
    const silr_turn turn[] = {{SILR_ROLE_SYSTEM, "Be kind", 7},
                              {SILR_ROLE_USER, text, sizeof text - 1}};
    silr_tokenizer *t = NULL;
    silr_tokens ids = {0};
    silr_buf file = {0}, b = {0};
    silr_status st;

    if (config) {
        if ((st = silr_file_read(&file, path, 1 << 20, err)) == SILR_OK)
            st = silr_tokenizer_parse(&t, file.data, file.len, config, strlen(config), path, err);
    } else
        st = silr_tokenizer_open(&t, path, err);
    if (st == SILR_OK &&
        (st = silr_tokenizer_encode(t, text, sizeof text - 1, &(silr_encode_opts){.frame = true},
                                    &ids, err)) == SILR_OK &&
        (st = silr_tokenizer_talk_encode(t, SILR_TALK_NONE, turn, 0, 2, true, &ids, err)) ==
            SILR_OK)
        st = silr_tokenizer_decode(t, ids.id, ids.n, &b, err);
    silr_tokenizer_free(t);
    silr_tokens_clear(&ids);
    silr_buf_clear(&b);
    silr_buf_clear(&file);
    return st;
}

static void each_allocation_fails_in_turn(void **state)
{
    static const char config[] =
        "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"},\"chat_template\":"
        "[{\"name\":\"default\",\"template\":\"<|im_start|>system\\nBe brief<|im_end|>\"}]}";
    static const struct {
        const char *file, *config;
    } cases[] = {{"gpt2.json", config},   {"wordpiece.json", NULL}, {"unigram.json", NULL},
                 {"llama2.json", config}, {"steps.json", NULL},     {"prefix.json", NULL},
                 {"smollm.gguf", NULL},   {"spm.gguf", NULL},       {"t5.gguf", NULL}};
    char path[4096];
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n, step;
        silr_error err = {0};
        snprintf(path, sizeof path, "%s/%s", getenv("SILR_TEST_DATA"), cases[i].file);
        (void)silr_mem_count();
        if (all_of_it(path, cases[i].config, &err) != SILR_OK)
            fail_msg("%s", err.text);
        n = silr_mem_count();
        step = n / 700 + 1; /* the parser's thousands are much alike; the last ones are ours */
        for (uint64_t k = 1; k <= n; k += n - k < 300 ? 1 : step)
            for (int sticky = 0; sticky < 2; sticky++) {
                silr_status st;
                silr_mem_fail_at(k, sticky);
                st = all_of_it(path, cases[i].config, &err);
                silr_mem_fail_at(0, false);
                /* Some do without: a JIT's stack. And jansson without memory reads broken JSON, or
                 * half a string. */
                if (st != SILR_ENOMEM && st != SILR_OK &&
                    !(st == SILR_EINPUT && strstr(path, ".json")))
                    fail_msg("%s: allocation %d of %d: %d, %s", path, (int)k, (int)n, st, err.text);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_with_a_sentence),
        cmocka_unit_test(nesting_has_a_floor),
        cmocka_unit_test(a_pattern_that_runs_away_is_an_error),
        cmocka_unit_test(no_text_grows_without_end),
        cmocka_unit_test(long_tokens_and_lists_are_refused),
        cmocka_unit_test(merges_make_no_special_token),
        cmocka_unit_test(refused_vocabularies),
        cmocka_unit_test(harmless_vocabularies),
        cmocka_unit_test(each_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
