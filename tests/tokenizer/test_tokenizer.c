/* test_tokenizer.c - ids are those that the peers gave, and no text becomes a special token.
 *
 * data/ holds small vocabularies and what the tokenizers library, llama.cpp and transformers made
 * of texts and conversations (bench/tokens_record.py recorded them). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tokenizer/inside.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *in_data(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("SILR_TEST_DATA"), name);
    return path;
}

static json_t *load(const char *path)
{
    json_error_t e;
    json_t *j;

    silr_mem_install();
    j = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (!j)
        fail_msg("%s: %s", path, e.text);
    return j;
}

static silr_tokenizer *open_tokenizer(const char *path)
{
    silr_tokenizer *t;
    silr_error err = {0};

    if (silr_tokenizer_open(&t, path, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return t;
}

static silr_tokens encode(const silr_tokenizer *t, const char *s, size_t len, silr_encode_opts o)
{
    silr_tokens ids = {0};
    silr_error err = {0};

    if (silr_tokenizer_encode(t, s, len, &o, &ids, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return ids;
}

static void same(const char *what, const char *text, const silr_tokens *got, const json_t *want)
{
    bool equal = got->n == json_array_size(want);

    for (size_t i = 0; equal && i < got->n; i++)
        equal = got->id[i] == (uint32_t)json_integer_value(json_array_get(want, i));
    if (!equal) {
        char *list = json_dumps(want, JSON_COMPACT);
        print_error("%s: \"%s\"\n  peer %s\n  silr", what, text, list);
        for (size_t i = 0; i < got->n; i++)
            print_error(" %u", got->id[i]);
        silr_free(list);
        fail_msg(" ... differ");
    }
}

/* --- recorded ------------------------------------------------------------------------------------
 */

static void one_recorded(const silr_tokenizer *t, const char *file, const json_t *text,
                         const json_t *entry)
{
    const char *s = json_string_value(text), *want;
    size_t len = json_string_length(text);
    const json_t *framed = json_array_get(entry, 1), *decoded = json_array_get(entry, 2);
    silr_tokens ids = encode(t, s, len, (silr_encode_opts){0});
    silr_buf b = {0};

    if (json_is_array(
            json_array_get(entry, 0))) /* null: there the peer makes special tokens of text */
        same(file, s, &ids, json_array_get(entry, 0));
    want = json_string_value(decoded);
    assert_int_equal(silr_tokenizer_decode(t, ids.id, ids.n, &b, NULL), SILR_OK);
    if (want &&
        (b.len != json_string_length(decoded) || memcmp(b.data ? b.data : "", want, b.len) != 0))
        fail_msg("%s: \"%s\" is \"%s\" when decoded, not \"%s\"", file, s, b.data, want);
    silr_buf_clear(&b);
    silr_tokens_clear(&ids);
    if (json_is_array(framed)) {
        ids = encode(t, s, len, (silr_encode_opts){.trusted = true, .frame = true});
        same(file, s, &ids, framed);
        silr_tokens_clear(&ids);
    }
}

static void ids_of_the_peers(void **state)
{
    json_t *j = load(in_data("recorded.json")), *texts = json_object_get(j, "texts"), *cases,
           *entry;
    const char *file;
    size_t i;
    (void)state;

    json_object_foreach(json_object_get(j, "ids"), file, cases)
    {
        silr_tokenizer *t = open_tokenizer(in_data(file));
        json_array_foreach(cases, i, entry) one_recorded(t, file, json_array_get(texts, i), entry);
        silr_tokenizer_free(t);
    }
    json_decref(j);
}

/* --- conversations
 * ---------------------------------------------------------------------------------- */

static silr_role role_of(const char *name)
{
    return strcmp(name, "system") == 0 ? SILR_ROLE_SYSTEM
           : strcmp(name, "user") == 0 ? SILR_ROLE_USER
                                       : SILR_ROLE_ASSISTANT;
}

/* The vocabulary that a recorded conversation was made with: a file, and special tokens more. */
static silr_tokenizer *with_marks(const json_t *c)
{
    json_t *j = load(in_data(json_string_value(json_object_get(c, "base"))));
    char *config = json_dumps(json_object_get(c, "config"), 0), *text;
    silr_tokenizer *t;
    silr_error err = {0};

    json_array_extend(json_object_get(j, "added_tokens"), json_object_get(c, "added"));
    text = json_dumps(j, 0);
    if (silr_tokenizer_parse(&t, text, strlen(text), config, strlen(config), "marks", &err) !=
        SILR_OK)
        fail_msg("%s", err.text);
    silr_free(text);
    silr_free(config);
    json_decref(j);
    return t;
}

static silr_tokens say(const silr_tokenizer *t, const silr_turn *turn, size_t from, size_t n,
                       bool open)
{
    silr_tokens ids = {0};
    silr_error err = {0};

    if (silr_tokenizer_talk_encode(t, silr_tokenizer_talk(t), turn, from, n, open, &ids, &err) !=
        SILR_OK)
        fail_msg("%s", err.text);
    return ids;
}

/* encode(0..m) ++ encode(from = m) = encode(0..n) */
static void splits_at_turns(const char *name, const silr_tokenizer *t, const silr_turn *turn,
                            size_t n)
{
    silr_tokens all = say(t, turn, 0, n, true);

    for (size_t m = 0; m <= n; m++) {
        silr_tokens head = say(t, turn, 0, m, false), tail = say(t, turn, m, n, true);
        if (head.n + tail.n != all.n || (head.n && memcmp(head.id, all.id, head.n * 4) != 0) ||
            (tail.n && memcmp(tail.id, all.id + head.n, tail.n * 4) != 0))
            fail_msg("%s: %zu + %zu tokens at turn %zu are not the %zu of the whole", name, head.n,
                     tail.n, m, all.n);
        silr_tokens_clear(&head);
        silr_tokens_clear(&tail);
    }
    silr_tokens_clear(&all);
}

static void one_conversation(const char *name, const silr_tokenizer *t, const json_t *c)
{
    const json_t *turns = json_array_get(c, 0);
    silr_turn turn[8];
    size_t n = json_array_size(turns);
    silr_tokens ids;

    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(json_array_get(turns, i), 1);
        turn[i] =
            (silr_turn){role_of(json_string_value(json_array_get(json_array_get(turns, i), 0))),
                        json_string_value(text), json_string_length(text)};
    }
    ids = say(t, turn, 0, n, json_is_true(json_array_get(c, 1)));
    same(name, turn[n - 1].text, &ids, json_array_get(c, 2));
    silr_tokens_clear(&ids);
    splits_at_turns(name, t, turn, n);
}

static void conversations_of_the_peers(void **state)
{
    json_t *j = load(in_data("recorded.json")), *c, *each;
    size_t i, k;
    (void)state;

    json_array_foreach(json_object_get(j, "conversations"), i, c)
    {
        const char *name = json_string_value(json_object_get(c, "name"));
        silr_tokenizer *t = with_marks(c);
        if (strncmp(name, silr_talk_name(silr_tokenizer_talk(t)),
                    strlen(silr_talk_name(silr_tokenizer_talk(t)))) != 0)
            fail_msg("%s is taken for %s", name, silr_talk_name(silr_tokenizer_talk(t)));
        json_array_foreach(json_object_get(c, "cases"), k, each) one_conversation(name, t, each);
        silr_tokenizer_free(t);
    }
    json_decref(j);
}

static size_t count_special(const silr_tokenizer *t, const silr_tokens *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++)
        n += silr_tokenizer_is_special(t, ids->id[i]) && ids->id[i] != t->unknown;
    return n;
}

/* The words of all special tokens, and of the marks, in one text: a turn with it has no special
 * token more than a turn without. */
static void no_word_becomes_a_mark(void **state)
{
    json_t *j = load(in_data("recorded.json")), *c;
    size_t i;
    (void)state;

    json_array_foreach(json_object_get(j, "conversations"), i, c)
    {
        silr_tokenizer *t = with_marks(c);
        silr_buf b = {0};
        silr_turn turn = {SILR_ROLE_USER, "a", 1};
        silr_tokens tame = say(t, &turn, 0, 1, true), wild, plain;
        for (uint32_t id = 0; id < silr_tokenizer_vocab(t); id++) {
            size_t n;
            const char *s = silr_tokenizer_piece(t, id, &n);
            if (s && silr_tokenizer_is_special(t, id))
                silr_buf_add(&b, s, n);
        }
        turn.text = b.data;
        turn.len = b.len;
        wild = say(t, &turn, 0, 1, true);
        plain = encode(t, b.data, b.len, (silr_encode_opts){0});
        assert_int_equal(count_special(t, &wild), count_special(t, &tame));
        assert_int_equal(count_special(t, &plain), 0);
        assert_true(plain.n > 0);
        silr_tokens_clear(&plain);
        plain = encode(t, b.data, b.len, (silr_encode_opts){.trusted = true});
        assert_true(count_special(t, &plain) > 0); /* the text does hold them */
        silr_tokens_clear(&tame);
        silr_tokens_clear(&wild);
        silr_tokens_clear(&plain);
        silr_buf_clear(&b);
        silr_tokenizer_free(t);
    }
    json_decref(j);
}

static void what_talk_needs(void **state)
{
    silr_tokenizer *t = open_tokenizer(in_data("gpt2.json"));
    silr_turn turn[] = {{SILR_ROLE_USER, "a", 1}, {SILR_ROLE_ASSISTANT, "b", 1}};
    silr_tokens ids = {0}, want;
    silr_error err;
    (void)state;

    assert_int_equal(silr_tokenizer_talk(t), SILR_TALK_NONE);
    ids = say(t, turn, 0, 2, false);
    want = encode(t, "a\n\nb", 4, (silr_encode_opts){0});
    assert_int_equal(ids.n, want.n);
    assert_memory_equal(ids.id, want.id, ids.n * 4);
    splits_at_turns("none", t, turn, 2);
    silr_tokens_clear(&ids);
    silr_tokens_clear(&want);
    assert_int_equal(silr_tokenizer_talk_encode(t, SILR_TALK_CHATML, turn, 0, 1, true, &ids, &err),
                     SILR_EINPUT);
    assert_non_null(strstr(err.text, "<|im_start|>"));
    assert_int_equal(silr_tokenizer_talk_encode(t, SILR_TALK_UNKNOWN, turn, 0, 1, true, &ids, &err),
                     SILR_EINPUT);
    assert_int_equal(ids.n, 0);
    assert_null(silr_talk_name((silr_talk)(SILR_TALK_UNKNOWN + 1)));
    silr_tokens_clear(&ids);
    silr_tokenizer_free(t);
}

/* --- scanners
 * ------------------------------------------------------------------------------------------ */

static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Texts of the characters that these patterns tell apart. */
static void random_text(silr_buf *b, uint64_t *seed)
{
    static const char *const part[] = {" ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "\xc2\xa0",
                                       "\xe3\x80\x80",
                                       "a",
                                       "Bc",
                                       "s",
                                       "'",
                                       "'s",
                                       "'S",
                                       "'re",
                                       "'LL",
                                       "'vE",
                                       "'d",
                                       "'m",
                                       "'t",
                                       "\xc5\xbf",
                                       "\xc3\xa9",
                                       "\xe4\xb8\xad",
                                       "e\xcc\x81",
                                       "1",
                                       "23",
                                       "\xc2\xb2",
                                       "\xd9\xa3",
                                       "!",
                                       "?.",
                                       "-",
                                       "_",
                                       "\xf0\x9f\x98\x80",
                                       "\xe2\x80\x8b",
                                       "\xc2\x85",
                                       "\xe1\xa0\x8e",
                                       "\xe2\x80\x99",
                                       "\x01"};
    silr_buf_reset(b);
    for (uint32_t n = 1 + draw(seed) % 14; n > 0; n--)
        silr_buf_puts(b, part[draw(seed) % (sizeof part / sizeof *part)]);
}

static void scanners_do_what_the_patterns_say(void **state)
{
    static const char llama[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| "
                                "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    char pattern[3][300] = {
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"};
    silr_tok_scan *const scan[] = {silr_tok_scan_gpt2, silr_tok_scan_llama3, silr_tok_scan_qwen2};
    uint64_t seed = 1;
    silr_buf b = {0};
    (void)state;

    snprintf(pattern[1], sizeof pattern[1], llama, "\\p{N}{1,3}");
    snprintf(pattern[2], sizeof pattern[2], llama, "\\p{N}");
    for (int k = 0; k < 3; k++) {
        silr_tok_regex *r;
        silr_tok_matcher *m = NULL;
        assert_ptr_equal(silr_tok_scanner(pattern[k], strlen(pattern[k])), scan[k]);
        assert_int_equal(silr_tok_regex_new(&r, pattern[k], strlen(pattern[k]), "test", NULL),
                         SILR_OK);
        for (int round = 0; round < 20000; round++) {
            random_text(&b, &seed);
            for (size_t at = 0; at < b.len;) {
                size_t from, to, end = scan[k](b.data, b.len, at);
                assert_int_equal(silr_tok_regex_find(r, &m, b.data, b.len, at, &from, &to, NULL),
                                 SILR_OK);
                if (from != at || to != end)
                    fail_msg("pattern %d, \"%s\" at %zu: %zu..%zu, by hand to %zu", k, b.data, at,
                             from, to, end);
                at = end;
            }
        }
        silr_tok_matcher_free(m);
        silr_tok_regex_free(r);
    }
    silr_buf_clear(&b);
}

/* --- the rest
 * -------------------------------------------------------------------------------------------- */

static void cuts_the_text_never_the_frame(void **state)
{
    silr_tokenizer *t = open_tokenizer(in_data("wordpiece.json"));
    const char s[] = "one two three four five";
    silr_tokens all = encode(t, s, strlen(s), (silr_encode_opts){.frame = true});
    silr_error err;
    (void)state;

    for (size_t most = 2; most <= all.n + 1; most++) {
        silr_tokens ids =
            encode(t, s, strlen(s), (silr_encode_opts){.frame = true, .max_tokens = most});
        assert_int_equal(ids.n, most < all.n ? most : all.n);
        assert_memory_equal(ids.id, all.id, (ids.n - 1) * 4);
        assert_int_equal(ids.id[ids.n - 1], all.id[all.n - 1]);
        silr_tokens_clear(&ids);
    }
    all.n = 0;
    assert_int_equal(silr_tokenizer_encode(
                         t, s, 3, &(silr_encode_opts){.frame = true, .max_tokens = 1}, &all, &err),
                     SILR_EINPUT);
    assert_non_null(strstr(err.text, "at most 1"));
    assert_int_equal(all.n, 0);
    silr_tokens_clear(&all);
    silr_tokenizer_free(t);
}

static void broken_bytes_are_replacement_characters(void **state)
{
    static const char *const pair[][2] = {{"a\xff"
                                           "b",
                                           "a\xef\xbf\xbd"
                                           "b"},
                                          {"\xe2\x82", "\xef\xbf\xbd"},
                                          {"\xe2\x28\xa1", "\xef\xbf\xbd(\xef\xbf\xbd"},
                                          {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                                          {"\xf0\x9f\x98", "\xef\xbf\xbd"},
                                          {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                                          {"\xf5", "\xef\xbf\xbd"}};
    silr_tokenizer *t = open_tokenizer(in_data("gpt2.json"));
    (void)state;

    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        silr_tokens a = encode(t, pair[i][0], strlen(pair[i][0]), (silr_encode_opts){0});
        silr_tokens b = encode(t, pair[i][1], strlen(pair[i][1]), (silr_encode_opts){0});
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.id, b.id, a.n * 4);
        silr_tokens_clear(&a);
        silr_tokens_clear(&b);
    }
    silr_tokenizer_free(t);
}

static void pieces_and_names(void **state)
{
    silr_tokenizer *t = open_tokenizer(in_data("gpt2.json")),
                   *w = open_tokenizer(in_data("wordpiece.json")),
                   *s = open_tokenizer(in_data("spm.gguf"));
    silr_tokens ids = encode(t, " the", 4, (silr_encode_opts){0});
    size_t n;
    (void)state;

    assert_int_equal(ids.n, 1);
    assert_memory_equal(silr_tokenizer_piece(t, ids.id[0], &n), " the", 4);
    assert_int_equal(n, 4);
    assert_null(silr_tokenizer_piece(t, (uint32_t)silr_tokenizer_vocab(t), &n));
    assert_int_equal(silr_tokenizer_special(t, "<|end|>"), 0);
    assert_int_equal(silr_tokenizer_special(t, "a"), -1); /* a token, but not a special one */
    assert_true(silr_tokenizer_is_special(t, 0));
    assert_true(silr_tokenizer_ends(t, 0));
    assert_false(silr_tokenizer_ends(t, 5));
    silr_tokens_clear(&ids);
    ids = encode(w, "this", 4, (silr_encode_opts){.frame = true});
    assert_int_equal(ids.id[0], silr_tokenizer_special(w, "[CLS]"));
    assert_int_equal(silr_tokenizer_bos(s), 1);
    assert_int_equal(silr_tokenizer_eos(s), 2);
    assert_memory_equal(silr_tokenizer_piece(s, 3 + 'A', &n), "A", 1); /* the byte token <0x41> */
    silr_tokens_clear(&ids);
    silr_tokenizer_free(t);
    silr_tokenizer_free(w);
    silr_tokenizer_free(s);
}

/* A megabyte without a place to split costs n log n, not n^2. */
static void long_words(void **state)
{
    static const char *const files[] = {"gpt2.json",    "llama2.json",    "spm.gguf",
                                        "unigram.json", "wordpiece.json", "steps.json"};
    enum { LEN = 1 << 20 };
    char *s = malloc(LEN);
    (void)state;

    assert_non_null(s);
    for (int i = 0; i < LEN; i++)
        s[i] = (char)('a' + i * 7 % 5);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        silr_tokenizer *t = open_tokenizer(in_data(files[i]));
        silr_tokens ids = encode(t, s, LEN, (silr_encode_opts){0});
        assert_true(ids.n > 0);
        silr_tokens_clear(&ids);
        silr_tokenizer_free(t);
    }
    free(s);
}

/* --- the golden strings, where there is a model
 * ------------------------------------------------------------- */

static silr_tokenizer *model_or_null(const char *variable, const char *beside)
{
    const char *path = getenv(variable), *source = getenv("SILR_SOURCE");
    char usual[4096];
    silr_tokenizer *t;

    snprintf(usual, sizeof usual, "%s/%s", source ? source : ".", beside);
    if (!path)
        path = usual;
    return silr_tokenizer_open(&t, path, NULL) == SILR_OK ? t : NULL;
}

static size_t golden(silr_tokenizer *t, const json_t *entries, const char *key, silr_encode_opts o)
{
    const json_t *e;
    size_t i;

    if (!t)
        return 0;
    json_array_foreach(entries, i, e)
    {
        const json_t *text = json_object_get(e, "text");
        silr_tokens ids = encode(t, json_string_value(text), json_string_length(text), o);
        same(key, json_string_value(text), &ids, json_object_get(e, key));
        silr_tokens_clear(&ids);
    }
    silr_tokenizer_free(t);
    return i;
}

static void golden_strings(void **state)
{
    const char *shared = getenv("SILR_SHARED"), *source = getenv("SILR_SOURCE");
    char path[4096];
    json_t *j;
    size_t n;
    (void)state;

    if (shared)
        snprintf(path, sizeof path, "%s/golden/tokenizers.json", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/tokenizers.json", source ? source : ".");
    if (!silr_file_exists(path)) {
        print_message("skipped: no golden/tokenizers.json in $SILR_SHARED or ../shared\n");
        skip();
    }
    j = load(path);
    n = golden(
        model_or_null("SILR_SMOLLM2", "build/bench/chat-model/SmolLM2-135M-Instruct.Q4_1.gguf"),
        json_object_get(j, "entries"), "smollm2", (silr_encode_opts){.trusted = true});
    n += golden(model_or_null("SILR_MINILM", "build/bench/models/minilm"),
                json_object_get(j, "entries"), "minilm",
                (silr_encode_opts){.frame = true, .trusted = true});
    json_decref(j);
    if (n == 0) {
        print_message("skipped: neither of the models is there (SILR_SMOLLM2, SILR_MINILM)\n");
        skip();
    }
    print_message("%zu golden strings\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_the_peers),
        cmocka_unit_test(conversations_of_the_peers),
        cmocka_unit_test(no_word_becomes_a_mark),
        cmocka_unit_test(what_talk_needs),
        cmocka_unit_test(scanners_do_what_the_patterns_say),
        cmocka_unit_test(cuts_the_text_never_the_frame),
        cmocka_unit_test(broken_bytes_are_replacement_characters),
        cmocka_unit_test(pieces_and_names),
        cmocka_unit_test(long_words),
        cmocka_unit_test(golden_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
