/* test_cache.c - what lies in the cache: found when it is whole, told when it is not, checked by its
 * hashes. The cache is made by hand here, as other tools leave it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hub/hub.h"
#include "scratch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONE "1111111111111111111111111111111111111111"
#define TWO "2222222222222222222222222222222222222222"
/* git hash-object of "{}" and of "{\n"; SHA-256 of "weights" */
#define EMPTY   "9e26dfeeb6e641a33dae4961196235bdb965b21b"
#define WEIGHTS "9ee15abf21e1ae95e5c31a40e11f2d7f7dce3e2aa10e5da5b9eeb7fd8b9e2b62"

static silr_hub hub;

static int set_up(void **state)
{
    (void)state;
    scratch_make();
    hub = (silr_hub){.cache = strdup(scratch_path("hub"))};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove();
    free(hub.cache);
    return 0;
}

/* A file of a snapshot, as a link to a blob that is named as told; NULL bytes: the blob is missing. */
static void put(const char *repo, const char *commit, const char *name, const char *blob,
                const char *bytes)
{
    char path[400], to[200];

    if (bytes) {
        snprintf(path, sizeof path, "hub/%s/blobs/%s", repo, blob);
        scratch_write(path, bytes, strlen(bytes));
    }
    snprintf(path, sizeof path, "hub/%s/snapshots/%s/%s", repo, commit, name);
    unlink(scratch_path(path));
    scratch_write(path, "", 0); /* makes the folders */
    unlink(scratch_path(path));
    snprintf(to, sizeof to, "../../blobs/%s", blob);
    assert_int_equal(symlink(to, scratch_path(path)), 0);
}

static void ref(const char *repo, const char *name, const char *commit)
{
    char path[400];

    snprintf(path, sizeof path, "hub/%s/refs/%s", repo, name);
    scratch_write(path, commit, strlen(commit));
}

static void model(const char *repo, const char *commit)
{
    char hash[65];
    silr_sha256 sum;

    assert_int_equal(silr_sha256_bytes(&sum, "weights", 7, NULL), SILR_OK);
    memcpy(hash, sum.hex, sizeof hash);
    put(repo, commit, "config.json", EMPTY, "{}");
    put(repo, commit, "tokenizer.json", EMPTY, "{}");
    put(repo, commit, "model.safetensors", hash, "weights");
}

static void expect_path(const char *name, const char *expected)
{
    char *path;
    silr_error err;

    if (silr_hub_find_in(&hub, &path, name, &err) != SILR_OK)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(path, expected[0] == '/' ? expected : scratch_path(expected));
    silr_free(path);
}

static void expect_not(const char *name, const char *says)
{
    char *path;
    silr_error err;

    assert_int_equal(silr_hub_find_in(&hub, &path, name, &err), SILR_EINPUT);
    assert_null(path);
    if (!strstr(err.text, says))
        fail_msg("%s: \"%s\" is not in: %s", name, says, err.text);
}

static void found(void **state)
{
    (void)state;
    expect_path(scratch, scratch); /* a path is itself */
    expect_not("acme/tiny", "`silr models fetch acme/tiny` fetches it");
    expect_not("no such/file or name", "no such file or folder");
    model("models--acme--tiny", ONE);
    expect_not("acme/tiny", "silr models fetch");
    ref("models--acme--tiny", "main", ONE "\n");
    expect_path("acme/tiny", "hub/models--acme--tiny/snapshots/" ONE);
    expect_path("acme/tiny@" ONE, "hub/models--acme--tiny/snapshots/" ONE);
    expect_path("acme/tiny/tokenizer.json", "hub/models--acme--tiny/snapshots/" ONE "/tokenizer.json");
    expect_not("acme/tiny@v2", "`silr models fetch acme/tiny --revision v2`");
    expect_not("acme/tiny/x.gguf", "--include x.gguf");
    model("models--gpt2", TWO);
    ref("models--gpt2", "main", TWO);
    expect_path("gpt2", "hub/models--gpt2/snapshots/" TWO);
    ref("models--gpt2", "main", "../../../../../../../../../../../../../..");
    expect_not("gpt2", "silr models fetch gpt2");
}

/* Another tool has written the ref, and was stopped then. */
static void not_whole(void **state)
{
    (void)state;
    ref("models--a--b", "main", ONE);
    expect_not("a/b", "silr models fetch a/b");
    put("models--a--b", ONE, "config.json", EMPTY, "{}");
    expect_not("a/b", "no weights");
    put("models--a--b", ONE, "model.safetensors", WEIGHTS, NULL);
    expect_not("a/b", "not as a whole (`silr models fetch a/b`)");

    ref("models--c--d", "main", ONE);
    put("models--c--d", ONE, "config.json", EMPTY, "{}");
    put("models--c--d", ONE, "model.safetensors.index.json", "i",
        "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\",\"c\":\"m-1.safetensors\"}}");
    put("models--c--d", ONE, "m-1.safetensors", "s", "x");
    expect_not("c/d", "m-2.safetensors is missing");
    put("models--c--d", ONE, "m-2.safetensors", "s", "x");
    expect_path("c/d", "hub/models--c--d/snapshots/" ONE);
    put("models--c--d", ONE, "model.safetensors.index.json", "i", "{\"weight_map\":{\"a\":\"../../x\"}}");
    expect_not("c/d", "lies in no file within the model");
}

static void gguf(void **state)
{
    (void)state;
    ref("models--a--g", "main", ONE);
    put("models--a--g", ONE, "q4.gguf", "q", "GGUF");
    expect_path("a/g", "hub/models--a--g/snapshots/" ONE "/q4.gguf");
    put("models--a--g", ONE, "q8.gguf", "r", "GGUF");
    expect_not("a/g", "several GGUF files");
    expect_path("a/g/q8.gguf", "hub/models--a--g/snapshots/" ONE "/q8.gguf");
}

static void listed(void **state)
{
    silr_hub_models m;
    silr_error err;
    (void)state;

    assert_int_equal(silr_hub_list(&hub, &m, &err), SILR_OK); /* no cache at all */
    assert_int_equal(m.n, 0);
    model("models--b--two", TWO);
    model("models--a--one", ONE);
    model("models--a--one", TWO);
    ref("models--a--one", "main", TWO);
    ref("models--a--one", "refs/pr/1", TWO);
    put("models--c--half", ONE, "config.json", EMPTY, "{}");
    scratch_write("hub/datasets--x--y/refs/main", ONE, 40);
    scratch_write("hub/models--..--x/snapshots/" ONE "/config.json", "{}", 2);
    scratch_write("hub/models--a--one/snapshots/not-a-commit/config.json", "{}", 2);
    scratch_write("hub/version.txt", "1", 1);
    assert_int_equal(silr_hub_list(&hub, &m, &err), SILR_OK);
    assert_int_equal(m.n, 4);
    assert_string_equal(m.model[0].name, "a/one");
    assert_string_equal(m.model[0].commit, ONE);
    assert_string_equal(m.model[0].revision, "");
    assert_string_equal(m.model[1].revision, "main, refs/pr/1");
    assert_int_equal(m.model[1].bytes, 2 + 2 + 7);
    assert_string_equal(m.model[1].model, m.model[1].path);
    assert_string_equal(m.model[2].name, "b/two");
    assert_null(m.model[3].model);
    assert_non_null(strstr(m.model[3].problem, "no weights"));
    silr_hub_models_clear(&m);
}

/* The problem of a file, "" where there is none. */
static const char *problem_of(const silr_hub_files *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->file[i].name, name) == 0)
            return f->file[i].problem ? f->file[i].problem : "";
    return "not listed";
}

static void checked(void **state)
{
    char *dir;
    silr_hub_files f;
    silr_error err;
    (void)state;

    model("models--a--b", ONE);
    dir = strdup(scratch_path("hub/models--a--b/snapshots/" ONE));
    assert_int_equal(silr_hub_check(&f, dir, &err), SILR_OK);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.wrong, 0);
    for (size_t i = 0; i < f.n; i++)
        assert_true(f.file[i].verified);
    silr_hub_files_clear(&f);

    scratch_write("hub/models--a--b/blobs/" EMPTY, "{", 1); /* cut short */
    put("models--a--b", ONE, "model.safetensors", WEIGHTS, NULL);
    put("models--a--b", ONE, "model.safetensors.index.json", "i", "{\"weight_map\":{\"a\":\"m.safetensors\"}}");
    put("models--a--b", ONE, "modules.json", "j", "[1,");
    put("models--a--b", ONE, "loop", "../snapshots/" ONE "/loop", NULL);
    assert_int_equal(silr_hub_check(&f, dir, &err), SILR_OK);
    assert_int_equal(f.wrong, 6);
    assert_non_null(strstr(problem_of(&f, "config.json"), "do not have the hash"));
    assert_non_null(strstr(problem_of(&f, "model.safetensors"), "leads to no blob"));
    assert_non_null(strstr(problem_of(&f, "modules.json"), "not JSON: line 1"));
    assert_string_equal(problem_of(&f, "model.safetensors.index.json"), "");
    assert_non_null(strstr(problem_of(&f, "m.safetensors"), "the index names it"));
    silr_hub_files_clear(&f);
    assert_int_equal(silr_hub_check(&f, scratch_path("nothing"), &err), SILR_EINPUT);
    free(dir);
}

/* A folder of one's own, and a file: no hashes to hold them to, but JSON is JSON. */
static void checked_elsewhere(void **state)
{
    silr_hub_files f;
    silr_error err;
    (void)state;

    scratch_write("mine/config.json", "{}", 2);
    scratch_write("mine/tokenizer.json", "\xff", 1);
    assert_int_equal(silr_hub_check(&f, scratch_path("mine"), &err), SILR_OK);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.wrong, 1);
    assert_false(f.file[0].verified);
    silr_hub_files_clear(&f);
    assert_int_equal(silr_hub_check(&f, scratch_path("mine/config.json"), &err), SILR_OK);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.file[0].name, "config.json");
    silr_hub_files_clear(&f);
}

/* Each allocation failing in turn: SILR_ENOMEM or what it would have been, and nothing leaks. */
static void no_memory(void **state)
{
    char *dir;
    uint64_t all = 1;
    (void)state;

    model("models--a--one", ONE);
    ref("models--a--one", "main", ONE);
    put("models--a--one", ONE, "model.safetensors.index.json", "i",
        "{\"weight_map\":{\"a\":\"model.safetensors\",\"b\":\"m.safetensors\"}}");
    put("models--a--g", TWO, "q.gguf", "q", "GGUF");
    dir = strdup(scratch_path("hub/models--a--one/snapshots/" ONE));
    for (uint64_t n = 0; n <= all; n++) {
        silr_hub_models m = {0};
        silr_hub_files f = {0};
        char *path = NULL;
        silr_error err;
        silr_status a, b, c;
        if (n == 0)
            silr_mem_count();
        silr_mem_fail_at(n, true);
        a = silr_hub_list(&hub, &m, &err);
        b = silr_hub_check(&f, dir, &err);
        c = silr_hub_find_in(&hub, &path, "a/one", &err);
        silr_mem_fail_at(0, false);
        if (n == 0)
            all = silr_mem_count();
        if (n > 0)
            assert_true(a != SILR_OK || b != SILR_OK || c != SILR_OK);
        else
            assert_true(a == SILR_OK && b == SILR_OK && c == SILR_EINPUT);
        if (a != SILR_OK)
            assert_int_equal(a, SILR_ENOMEM);
        if (b != SILR_OK)
            assert_int_equal(b, SILR_ENOMEM);
        silr_hub_models_clear(&m);
        silr_hub_files_clear(&f);
        silr_free(path);
    }
    assert_true(all > 50);
    free(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(found),   TEST(not_whole),         TEST(gguf),     TEST(listed),
                                       TEST(checked), TEST(checked_elsewhere), TEST(no_memory)};

    silr_mem_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
