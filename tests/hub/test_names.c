/* test_names.c - what a hub says becomes names of files here: which of it is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hub/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void names_of_models(void **state)
{
    static const char *const good[] = {"gpt2", "acme/tiny", "sentence-transformers/all-MiniLM-L6-v2",
                                       "a/b@main", "a/b@v1.0/model.gguf", "a/b/sub/q4.gguf", "x/y_z.1"};
    static const char *const bad[] = {"", "/", "a/", "/a", "../b", "a/..", ".a/b", "a/-b", "a--b/c", "a/b..c",
                                      "a b/c", "a/b@", "a/b@../x", "a/b/../c", "a/b//c", "a\\b/c", "a/b@.x",
                                      "a/b/", "~/a", "\xc3\xa4/b"};
    char longest[200];
    (void)state;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!silr_hub_is_name(good[i]))
            fail_msg("\"%s\" should be a name", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (silr_hub_is_name(bad[i]))
            fail_msg("\"%s\" should be none", bad[i]);
    memset(longest, 'a', sizeof longest);
    longest[97] = '\0';
    assert_false(silr_hub_is_name(longest));
    longest[96] = '\0';
    assert_true(silr_hub_is_name(longest));
}

static void parts_of_names(void **state)
{
    silr_hub_name n;
    (void)state;

    assert_int_equal(silr_hub_name_read(&n, "a/b@v1/sub/q.gguf", NULL), SILR_OK);
    assert_string_equal(n.repo, "a/b");
    assert_string_equal(n.revision, "v1");
    assert_string_equal(n.file, "sub/q.gguf");
    silr_hub_name_clear(&n);
    assert_int_equal(silr_hub_name_read(&n, "a/b", NULL), SILR_OK);
    assert_string_equal(n.revision, "main");
    assert_null(n.file);
    silr_hub_name_clear(&n);
    assert_true(silr_hub_is_revision("refs/pr/1"));
    assert_false(silr_hub_is_revision("refs//1"));
    assert_false(silr_hub_is_revision("refs/../1"));
    assert_false(silr_hub_is_revision("main?x"));
    assert_false(silr_hub_is_revision("main/"));
}

/* --- the list ------------------------------------------------------------------------------------ */

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define SHA256 SHA "0123456789abcdef01234567"

static silr_status read_list(const char *json, silr_hub_tree *t, silr_error *err)
{
    return silr_hub_tree_read(t, json, strlen(json), err);
}

static void a_list(void **state)
{
    silr_hub_tree t;
    silr_error err;
    (void)state;

    assert_int_equal(read_list("{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"1_Pooling/config.json\","
                               "\"size\":190,\"blobId\":\"" SHA "\"},{\"rfilename\":\"model.safetensors\","
                               "\"size\":130,\"blobId\":\"" SHA "\",\"lfs\":{\"sha256\":\"" SHA256 "\","
                               "\"size\":5000000000}},{\"rfilename\":\"x\"}]}", &t, &err), SILR_OK);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.commit, SHA);
    assert_string_equal(t.entry[0].hash, SHA);
    assert_int_equal(t.entry[0].size, 190);
    assert_string_equal(t.entry[1].hash, SHA256);
    assert_int_equal(t.entry[1].size, 5000000000);
    assert_string_equal(t.entry[2].hash, "");
    assert_int_equal(t.entry[2].size, -1);
    silr_hub_tree_clear(&t);
}

/* One bad name, and nothing of the list is taken; the sentence is printable. */
static void tricks_in_the_list(void **state)
{
    static const char *const names[] = {
        "../x", "..", ".", "/etc/passwd", "a/../../x", "a//b", "a/", "/", "", "a\\\\b", "..\\\\x",
        "a\\u0000b", "a\\nb", "a\\u001b[31m", "a\\u007f", "a\\u0085b", "a\\u202ecod", "a/./b", "a/..",
        "\\ud800"};
    char json[2000], *p;
    silr_hub_tree t;
    silr_error err;
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(json, sizeof json, "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"ok\"},"
                 "{\"rfilename\":\"%s\"}]}", names[i]);
        if (read_list(json, &t, &err) != SILR_EPEER || t.n != 0)
            fail_msg("\"%s\" is taken", names[i]);
        for (const char *c = err.text; *c; c++)
            assert_true(*c >= ' ' && *c < 127);
    }
    p = json + sprintf(json, "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"");
    memset(p, 'a', 500);
    strcpy(p + 500, "\"}]}");
    assert_int_equal(read_list(json, &t, &err), SILR_EPEER);
    assert_true(silr_hub_safe_name("1_Pooling/config.json", 21));
    assert_true(silr_hub_safe_name("mod\xc3\xa8le.gguf", 12));
    assert_false(silr_hub_safe_name("a\0b", 3));
}

static void other_shapes(void **state)
{
    static const char *const bad[] = {
        "", "[]", "null", "{", "<html>", "{\"sha\":\"" SHA "\"}", "{\"sha\":5,\"siblings\":[]}",
        "{\"sha\":\"main\",\"siblings\":[]}", "{\"sha\":\"../../../../../../../../../../../../../../x\",\"siblings\":[]}",
        "{\"sha\":\"" SHA "\",\"siblings\":{}}", "{\"sha\":\"" SHA "\",\"siblings\":[5]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":5}]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"a\",\"size\":-1}]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"a\",\"size\":1e3}]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"a\",\"size\":9223372036854775807}]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"a\",\"blobId\":\"../../x\"}]}",
        "{\"sha\":\"" SHA "\",\"siblings\":[{\"rfilename\":\"a\",\"lfs\":{\"sha256\":\"" SHA "\"}}]}",
        "{\"sha\":\"" SHA "\",\"sha\":\"" SHA "\",\"siblings\":[]}"};
    silr_hub_tree t;
    silr_error err;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_list(bad[i], &t, &err) != SILR_EPEER || t.n != 0)
            fail_msg("%s is taken for a list", bad[i]);
}

static void a_hundred_thousand_files(void **state)
{
    silr_buf b = {0};
    silr_hub_tree t;
    silr_error err;
    (void)state;

    silr_buf_puts(&b, "{\"sha\":\"" SHA "\",\"siblings\":[");
    for (int i = 0; i < 100000; i++)
        silr_buf_printf(&b, "%s{\"rfilename\":\"f%d\"}", i ? "," : "", i);
    silr_buf_puts(&b, "]}");
    assert_int_equal(silr_hub_tree_read(&t, b.data, b.len, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "100000 files"));
    silr_buf_clear(&b);
}

/* --- choosing ------------------------------------------------------------------------------------ */

/* The names that are picked of `names` (with spaces between), or the error. */
static void picks(const char *names, const char *glob, const char *expected)
{
    silr_hub_tree t = {0};
    silr_hub_want want = {.name = "a/b", .include = &glob, .n_include = glob != NULL};
    bool which[64];
    silr_buf got = {0};
    silr_error err;
    char *copy = strdup(names), *save;

    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        assert_true(silr_grow(&t.entry, &t.cap, t.n + 1, sizeof *t.entry));
        t.entry[t.n++] = (silr_hub_entry){.name = silr_strdup(s), .size = 1};
    }
    silr_buf_puts(&got, "");
    if (silr_hub_pick(&t, &want, which, &err) != SILR_OK)
        silr_buf_printf(&got, "error: %s", err.text);
    else
        for (size_t i = 0; i < t.n; i++)
            if (which[i])
                silr_buf_printf(&got, "%s%s", got.len ? " " : "", t.entry[i].name);
    if (expected[0] == '*' ? !strstr(got.data, expected + 1) : strcmp(got.data, expected) != 0)
        fail_msg("of %s:\n  %s\nnot\n  %s", names, got.data, expected);
    silr_buf_clear(&got);
    silr_hub_tree_clear(&t);
    free(copy);
}

static void what_is_picked(void **state)
{
    (void)state;
    picks(".gitattributes 1_Pooling/config.json README.md config.json model.safetensors modules.json "
          "onnx/model.onnx openvino/openvino_model.bin pytorch_model.bin sentence_bert_config.json "
          "special_tokens_map.json tf_model.h5 tokenizer.json tokenizer_config.json vocab.txt", NULL,
          "1_Pooling/config.json config.json model.safetensors modules.json sentence_bert_config.json "
          "special_tokens_map.json tokenizer.json tokenizer_config.json");
    picks("config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
          "model.safetensors.index.json consolidated.safetensors generation_config.json", NULL,
          "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
          "model.safetensors.index.json generation_config.json");
    picks("config.json weights.safetensors", NULL, "config.json weights.safetensors");
    picks("README.md one.gguf", NULL, "one.gguf");
    picks("config.json pytorch_model.bin", NULL, "*neither safetensors nor GGUF");
    picks("a.Q4.gguf a.Q8.gguf", NULL, "*several files of weights; say which with --include NAME: a.Q4.gguf, a.Q8.gguf");
    picks("a.Q4.gguf a.Q8.gguf config.json", "*Q8*", "a.Q8.gguf config.json");
    picks("a.Q4.gguf a.Q8.gguf", "*Q5*", "*no file matches --include *Q5*; there are a.Q4.gguf, a.Q8.gguf");
    picks("model.safetensors.index.json", NULL, "*no shards");
}

/* --- heads --------------------------------------------------------------------------------------- */

static silr_hub_head head_of(const char *text)
{
    silr_hub_head h = {0};

    while (*text) {
        size_t len = strcspn(text, "\n") + 1;
        silr_hub_head_line(&h, text, len);
        text += len;
    }
    return h;
}

static void heads(void **state)
{
    silr_hub_head h = head_of("HTTP/1.1 302 Found\r\nETag: \"" SHA "\"\r\nX-Linked-ETag: \"" SHA256 "\"\r\n"
                              "X-Linked-Size: 5000000000\r\nx-repo-commit: " SHA "\r\nLocation:  /b?c \r\n");
    (void)state;

    assert_int_equal(h.status, 302);
    assert_string_equal(h.etag, SHA256);
    assert_true(h.linked && h.moved && !h.too_long);
    assert_int_equal(h.linked_size, 5000000000);
    assert_string_equal(h.commit, SHA);
    assert_string_equal(h.location, "/b?c");
    h = head_of("HTTP/1.1 302 Found\r\nX-Linked-ETag: " SHA256 "\r\nETag: \"" SHA "\"\r\n");
    assert_string_equal(h.etag, SHA256); /* whichever comes first */
    h = head_of("HTTP/2 206 \r\nETag: W/\"" SHA "\"\r\nContent-Range: bytes 10-19/20\r\nContent-Length: 10\r\n");
    assert_int_equal(h.status, 206);
    assert_string_equal(h.etag, SHA);
    assert_true(h.first == 10 && h.total == 20 && h.length == 10);
    h = head_of("HTTP/1.1 302 Found\r\nLocation: /x\r\nHTTP/1.1 200 OK\r\n"); /* anew */
    assert_true(!h.moved && h.length == -1 && h.location[0] == '\0');
    h = head_of("HTTP/1.1 200 OK\r\nETag: \"../../x\"\r\nX-Repo-Commit: main\r\nContent-Length: 1x\r\n"
                "Content-Range: bytes 9-3/9\r\nX-Linked-Size: 99999999999999999999\r\n");
    assert_true(h.etag[0] == '\0' && h.commit[0] == '\0' && h.length == -1 && h.first == -1 &&
                h.linked_size == -1);
}

static void long_location(void **state)
{
    silr_hub_head h = {0};
    char line[9000];
    (void)state;

    memset(line, 'a', sizeof line);
    memcpy(line, "Location: ", 10);
    silr_hub_head_line(&h, line, sizeof line);
    assert_true(h.moved && h.too_long && h.location[0] == '\0');
}

/* --- addresses ----------------------------------------------------------------------------------- */

static void addresses(void **state)
{
    silr_buf b = {0};
    (void)state;

    assert_true(silr_http_follow(&b, "https://hub/a/b?x", "/c"));
    assert_string_equal(b.data, "https://hub/c");
    assert_true(silr_http_follow(&b, "http://hub/a", "https://cdn:444/x?y=z"));
    assert_string_equal(b.data, "https://cdn:444/x?y=z");
    assert_false(silr_http_follow(&b, "https://hub/a", "http://hub/a"));
    assert_false(silr_http_follow(&b, "https://hub/a", "file:///etc/passwd"));
    assert_false(silr_http_follow(&b, "https://hub/a", "ftp://hub/a"));
    assert_false(silr_http_follow(&b, "https://hub/a", "https://user:pw@hub/a"));
    assert_true(silr_http_same_origin("https://hub/a", "https://HUB:443/b"));
    assert_false(silr_http_same_origin("https://hub", "http://hub"));
    assert_false(silr_http_same_origin("https://hub", "https://hub:444"));
    assert_false(silr_http_same_origin("https://hub", "https://hub.evil.org"));
    assert_false(silr_http_same_origin("https://hub", "https://hub@evil.org"));
    assert_false(silr_http_same_origin("https://hub", ""));
    silr_buf_reset(&b);
    silr_http_escape(&b, "a b/c%\xc3", "/");
    assert_string_equal(b.data, "a%20b/c%25%C3");
    silr_buf_clear(&b);
}

/* --- the environment ----------------------------------------------------------------------------- */

static void clear_environment(void)
{
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                                        "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void expect_cache(const char *expected)
{
    silr_hub h;
    silr_error err;

    assert_int_equal(silr_hub_init(&h, &err), SILR_OK);
    assert_string_equal(h.cache, expected);
    silr_hub_clear(&h);
}

static void where_the_cache_is(void **state)
{
    silr_hub h;
    silr_error err;
    (void)state;

    clear_environment();
    setenv("HOME", "/home/x", 1);
    expect_cache("/home/x/.cache/huggingface/hub");
    setenv("XDG_CACHE_HOME", "/c", 1);
    expect_cache("/c/huggingface/hub");
    setenv("HF_HOME", "~/hf", 1);
    expect_cache("/home/x/hf/hub");
    setenv("HF_HUB_CACHE", "/models", 1);
    expect_cache("/models");
    clear_environment();
    unsetenv("HOME");
    assert_int_equal(silr_hub_init(&h, &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "HF_HUB_CACHE"));
}

static void what_the_environment_says(void **state)
{
    static const char *const bad[] = {"hub.org", "ftp://hub", "https://me:pw@hub", "https://hub/ x",
                                      "https://hub?x=1"};
    silr_hub h;
    silr_error err;
    (void)state;

    clear_environment();
    setenv("HF_HUB_CACHE", "/models", 1);
    assert_int_equal(silr_hub_init(&h, &err), SILR_OK);
    assert_string_equal(h.endpoint, "https://huggingface.co");
    assert_null(h.token);
    assert_false(h.offline);
    silr_hub_clear(&h);
    setenv("HF_ENDPOINT", "https://mirror.example/hf//", 1);
    setenv("HF_HUB_OFFLINE", "Yes", 1);
    setenv("HF_TOKEN", "hf_secret", 1);
    assert_int_equal(silr_hub_init(&h, &err), SILR_OK);
    assert_string_equal(h.endpoint, "https://mirror.example/hf");
    assert_string_equal(h.token, "hf_secret");
    assert_true(h.offline);
    silr_hub_clear(&h);
    setenv("HF_TOKEN", "hf_secret\r\nX-Evil: 1", 1);
    assert_int_equal(silr_hub_init(&h, &err), SILR_EPEER);
    assert_null(strstr(err.text, "secret"));
    unsetenv("HF_TOKEN");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("HF_ENDPOINT", bad[i], 1);
        if (silr_hub_init(&h, &err) != SILR_EINPUT || strstr(err.text, "pw"))
            fail_msg("HF_ENDPOINT %s: %s", bad[i], err.text);
    }
    clear_environment();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_models), cmocka_unit_test(parts_of_names),
        cmocka_unit_test(a_list), cmocka_unit_test(tricks_in_the_list), cmocka_unit_test(other_shapes),
        cmocka_unit_test(a_hundred_thousand_files), cmocka_unit_test(what_is_picked),
        cmocka_unit_test(heads), cmocka_unit_test(long_location), cmocka_unit_test(addresses),
        cmocka_unit_test(where_the_cache_is), cmocka_unit_test(what_the_environment_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
