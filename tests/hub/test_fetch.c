/* test_fetch.c - a model comes over whole, or not at all, whatever the network does; and the token goes
 * nowhere but to the hub. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hub/hub.h"
#include "scratch.h"
#include "server.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WEIGHTS = 3000000 };
#define COMMIT "5555555555555555555555555555555555555555"
#define DIR    "models--acme--tiny"

static const char config[] = "{\"model_type\":\"bert\"}", tokenizer[] = "{\"version\":\"1.0\"}",
                  pooling[] = "{\"pooling_mode_mean_tokens\":true}", readme[] = "# Tiny";
static const char token[] = "hf_0123456789abcdef";
static struct hub_file files[6];
static struct hub server;
static silr_hub hub;
static char *weights;

static int set_up(void **state)
{
    (void)state;
    scratch_make();
    weights = scratch_noise(WEIGHTS, 1);
    files[0] = (struct hub_file){.name = "README.md", .bytes = readme, .len = strlen(readme)};
    files[1] = (struct hub_file){.name = "config.json", .bytes = config, .len = strlen(config)};
    files[2] = (struct hub_file){.name = "1_Pooling/config.json", .bytes = pooling, .len = strlen(pooling)};
    files[3] = (struct hub_file){.name = "model.safetensors", .bytes = weights, .len = WEIGHTS, .large = true};
    files[4] = (struct hub_file){.name = "tokenizer.json", .bytes = tokenizer, .len = strlen(tokenizer)};
    files[5] = (struct hub_file){.name = "special_tokens_map.json", .bytes = "", .len = 0};
    server = (struct hub){.file = files, .n = 6, .wait = -1};
    assert_true(hub_start(&server));
    hub = (silr_hub){.cache = scratch_path("hub"), .endpoint = server.url, .token = (char *)(size_t)token,
                     .connect_timeout = 5, .timeout = 5, .pause = 0.01};
    hub.cache = strdup(hub.cache);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hub_stop(&server);
    scratch_remove();
    free(weights);
    free(hub.cache);
    silr_cancel_reset();
    return 0;
}

static silr_status fetch(silr_hub_got *got, silr_error *err)
{
    silr_hub_want want = {.name = "acme/tiny"};
    silr_status st;

    err->text[0] = '\0';
    st = silr_hub_fetch(&hub, &want, got, err);
    if (strstr(err->text, token)) /* whatever went wrong */
        fail_msg("the token is in: %s", err->text);
    return st;
}

static void expect_bytes(const char *path, const void *bytes, size_t len)
{
    silr_buf b = {0};
    silr_error err;

    if (silr_file_read(&b, scratch_path(path), 10 << 20, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(b.len, len);
    assert_memory_equal(b.data, bytes, len);
    silr_buf_clear(&b);
}

static void expect_whole(void)
{
    char *path;
    silr_error err;

    expect_bytes("hub/" DIR "/snapshots/" COMMIT "/model.safetensors", weights, WEIGHTS);
    expect_bytes("hub/" DIR "/snapshots/" COMMIT "/config.json", config, strlen(config));
    expect_bytes("hub/" DIR "/snapshots/" COMMIT "/1_Pooling/config.json", pooling, strlen(pooling));
    expect_bytes("hub/" DIR "/refs/main", COMMIT, 40);
    if (silr_hub_find_in(&hub, &path, "acme/tiny", &err) != SILR_OK)
        fail_msg("%s", err.text);
    silr_free(path);
}

/* No ref, no snapshot, nothing that is found. */
static void expect_none(void)
{
    char *path;
    silr_error err;

    assert_false(scratch_has("hub/" DIR "/refs/main"));
    assert_int_equal(silr_hub_find_in(&hub, &path, "acme/tiny", &err), SILR_EINPUT);
    assert_non_null(strstr(err.text, "silr models fetch acme/tiny"));
    assert_null(path);
}

/* --- when all is well ---------------------------------------------------------------------------- */

static void the_whole_of_it(void **state)
{
    silr_hub_got got;
    silr_error err;
    char list[2000], link[200] = "";
    (void)state;

    if (fetch(&got, &err) != SILR_OK)
        fail_msg("%s", err.text);
    expect_whole();
    assert_int_equal(got.files, 5); /* no README.md */
    assert_string_equal(got.commit, COMMIT);
    assert_string_equal(got.model, got.path);
    assert_int_equal(got.bytes, WEIGHTS + strlen(config) + strlen(pooling) + strlen(tokenizer));
    assert_int_equal(got.fetched, got.bytes);
    silr_hub_got_clear(&got);

    scratch_list("hub/" DIR "/snapshots", list, sizeof list);
    assert_string_equal(list, COMMIT "/1_Pooling/config.json " COMMIT "/config.json " COMMIT
                        "/model.safetensors " COMMIT "/special_tokens_map.json " COMMIT "/tokenizer.json");
    assert_true(readlink(scratch_path("hub/" DIR "/snapshots/" COMMIT "/1_Pooling/config.json"), link,
                         sizeof link - 1) > 0);
    assert_int_equal(strncmp(link, "../../../blobs/", 15), 0);
    assert_string_equal(link + 15, files[2].hash);
    scratch_list("hub/" DIR, list, sizeof list);
    assert_null(strstr(list, "incomplete"));
    assert_null(strstr(list, ".silr-"));
}

static void the_token_stays_at_the_hub(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    assert_int_equal(fetch(&got, &err), SILR_OK);
    assert_string_equal(server.token, "Bearer hf_0123456789abcdef");
    assert_true(server.hub_tokens > 0 && server.larges == 1);
    assert_int_equal(server.store_tokens, 0);
    silr_hub_got_clear(&got);
}

static void nothing_comes_twice(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    assert_int_equal(fetch(&got, &err), SILR_OK);
    silr_hub_got_clear(&got);
    assert_int_equal(fetch(&got, &err), SILR_OK);
    assert_int_equal(got.fetched, 0);
    assert_int_equal(server.larges, 1);
    assert_int_equal(server.lists, 2);
    silr_hub_got_clear(&got);
}

/* A list without sizes and hashes: each file is asked about. */
static void a_bare_list(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.bare = true;
    if (fetch(&got, &err) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(server.heads, 5);
    assert_int_equal(server.store_tokens, 0);
    expect_whole();
    silr_hub_got_clear(&got);
}

static void by_commit(void **state)
{
    silr_hub_want want = {.name = "acme/tiny", .revision = COMMIT};
    silr_hub_got got;
    silr_error err;
    char *path;
    (void)state;

    assert_int_equal(silr_hub_fetch(&hub, &want, &got, &err), SILR_OK);
    assert_false(scratch_has("hub/" DIR "/refs"));
    assert_int_equal(silr_hub_find_in(&hub, &path, "acme/tiny@" COMMIT, &err), SILR_OK);
    silr_free(path);
    assert_int_equal(silr_hub_find_in(&hub, &path, "acme/tiny", &err), SILR_EINPUT);
    silr_hub_got_clear(&got);
}

/* --- stopped ------------------------------------------------------------------------------------- */

static void goes_on_where_it_broke(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.fault = HUB_DROP;
    server.left = 3;
    server.after = 700000;
    if (fetch(&got, &err) != SILR_OK)
        fail_msg("%s", err.text);
    expect_whole();
    assert_int_equal(server.larges, 4);
    assert_int_equal(server.ranges, 3);
    assert_true(server.sent < WEIGHTS + 10000); /* nothing came twice */
    silr_hub_got_clear(&got);
}

/* Breaks that bring enough are no failures; breaks that bring nothing end it. */
static void patience_has_an_end(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.fault = HUB_DROP;
    server.left = 1000;
    server.after = 0;
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_int_equal(server.larges, 5);
    expect_none();
}

static pid_t fetch_in_child(void)
{
    pid_t child = fork();

    if (child == 0) {
        silr_hub_got got;
        silr_error err;
        silr_hub_want want = {.name = "acme/tiny"};
        _exit(silr_hub_fetch(&hub, &want, &got, &err) == SILR_OK ? 0 : 1);
    }
    return child;
}

static void goes_on_after_a_kill(void **state)
{
    silr_hub_got got;
    silr_error err;
    size_t before;
    int status;
    pid_t child;
    (void)state;

    server.slow = 1000;
    child = fetch_in_child();
    for (int i = 0; i < 5000 && server.sent < WEIGHTS / 3; i++)
        usleep(2000);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    expect_none();
    usleep(100000);
    before = server.sent;
    server.slow = 0;
    if (fetch(&got, &err) != SILR_OK)
        fail_msg("%s", err.text);
    expect_whole();
    assert_int_equal(server.ranges, 1);
    assert_true(got.fetched < WEIGHTS && server.sent - before < WEIGHTS - WEIGHTS / 6);
    silr_hub_got_clear(&got);
}

static void interrupted(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    silr_cancel();
    assert_int_equal(fetch(&got, &err), SILR_ECANCEL);
    expect_none();
    silr_cancel_reset();
    assert_int_equal(fetch(&got, &err), SILR_OK);
    expect_whole();
    silr_hub_got_clear(&got);
}

/* One fetches, the other waits and finds it done. */
static void two_at_once(void **state)
{
    int status[2] = {-1, -1};
    pid_t child[2];
    (void)state;

    server.slow = 300;
    for (int i = 0; i < 2; i++)
        child[i] = fetch_in_child();
    for (int i = 0; i < 2; i++)
        waitpid(child[i], &status[i], 0);
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], 0);
    assert_int_equal(server.larges, 1);
    expect_whole();
}

/* What lies there from before may be wrong: it is found out, and all of it comes anew. */
static void a_bad_beginning(void **state)
{
    char path[200];
    silr_hub_got got;
    silr_error err;
    (void)state;

    snprintf(path, sizeof path, "hub/" DIR "/blobs/%s.incomplete", files[3].hash);
    scratch_write(path, "not the beginning of it", 23);
    if (fetch(&got, &err) != SILR_OK)
        fail_msg("%s", err.text);
    expect_whole();
    assert_int_equal(server.larges, 2);
    silr_hub_got_clear(&got);
}

static void a_beginning_that_is_too_long(void **state)
{
    char path[200], *more = scratch_noise(WEIGHTS + 5, 1);
    silr_hub_got got;
    silr_error err;
    (void)state;

    snprintf(path, sizeof path, "hub/" DIR "/blobs/%s.incomplete", files[3].hash);
    scratch_write(path, more, WEIGHTS + 5);
    assert_int_equal(fetch(&got, &err), SILR_OK);
    expect_whole();
    silr_hub_got_clear(&got);
    free(more);
}

/* --- what a network does ------------------------------------------------------------------------- */

static void faults(void **state)
{
    static const struct {
        enum hub_fault fault;
        int at_hub, left, status, wait;
        silr_status st;
        const char *says; /* in the error */
    } cases[] = {
        {HUB_STATUS, 0, 2, 503, -1, SILR_OK, NULL},
        {HUB_STATUS, 0, 2, 429, 0, SILR_OK, NULL},
        {HUB_STATUS, 0, 1, 403, -1, SILR_OK, NULL}, /* an address that has grown old */
        {HUB_STATUS, 0, 99, 500, -1, SILR_EPEER, "HTTP 500"},
        {HUB_STATUS, 0, 1, 429, 10000, SILR_EPEER, "HTTP 429"},
        {HUB_SILENT, 0, 2, 0, -1, SILR_OK, NULL},
        {HUB_SHORT, 0, 1, 0, -1, SILR_OK, NULL},
        {HUB_SHORT, 0, 99, 0, -1, SILR_EPEER, "the file has 3000000"},
        {HUB_LONG, 0, 99, 0, -1, SILR_EPEER, "the file has 3000000"},
        {HUB_PAGE, 0, 99, 0, -1, SILR_EPEER, "the file has 3000000"},
        {HUB_FLIP, 0, 1, 0, -1, SILR_OK, NULL},
        {HUB_FLIP, 0, 99, 0, -1, SILR_EPEER, "nothing of it is kept"},
        {HUB_STATUS, 1, 2, 502, -1, SILR_OK, NULL},
        {HUB_STATUS, 1, 1, 401, -1, SILR_EPEER, "does HF_TOKEN allow it?"},
        {HUB_STATUS, 1, 1, 404, -1, SILR_EINPUT, "no such model"},
        {HUB_STATUS, 2, 1, 403, -1, SILR_EPEER, "HTTP 403"},
        {HUB_PAGE, 1, 1, 0, -1, SILR_EPEER, "not JSON"},
        {HUB_LOOP, 1, 99, 0, -1, SILR_EPEER, "in a circle"},
        {HUB_LOOP, 2, 99, 0, -1, SILR_EPEER, "in a circle"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        silr_hub_got got;
        silr_error err;
        silr_status st;
        set_up(NULL);
        server.fault = (int)cases[i].fault;
        server.at_hub = cases[i].at_hub;
        server.left = cases[i].left;
        server.status = cases[i].status;
        server.wait = cases[i].wait;
        st = fetch(&got, &err);
        if (st != cases[i].st || (cases[i].says && !strstr(err.text, cases[i].says)))
            fail_msg("case %zu: status %d, %s", i, st, err.text);
        if (st == SILR_OK)
            expect_whole();
        else
            expect_none();
        assert_int_equal(server.store_tokens, 0);
        silr_hub_got_clear(&got);
        tear_down(NULL);
    }
}

static void ranges_that_are_not_taken(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.no_ranges = true;
    server.fault = HUB_DROP;
    server.left = 1;
    server.after = 100000;
    assert_int_equal(fetch(&got, &err), SILR_OK);
    expect_whole();
    silr_hub_got_clear(&got);
}

static void another_part(void **state)
{
    char path[200];
    silr_hub_got got;
    silr_error err;
    (void)state;

    snprintf(path, sizeof path, "hub/" DIR "/blobs/%s.incomplete", files[3].hash);
    scratch_write(path, weights, 1000);
    server.fault = HUB_OTHER_PART;
    server.left = 99; /* a range gets another one: so there are no ranges, and all of it is asked for */
    assert_int_equal(fetch(&got, &err), SILR_OK);
    expect_whole();
    silr_hub_got_clear(&got);
}

static void nobody_there(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    hub_stop(&server);
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "no connection"));
}

static void too_slow(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    hub.timeout = 0.2;
    server.slow = 2500000;
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "no answer in time"));
    expect_none();
}

static void another_hash(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.etag = "0000000000000000000000000000000000000000000000000000000000000000";
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "another hash"));
    expect_none();
}

static void redirects_out_of_the_web(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    server.to = "file:///etc";
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "where silr does not go"));
    expect_none();
}

/* --- what a hub may not do ------------------------------------------------------------------------ */

static void tricks(void **state)
{
    static const char *const names[] = {"../../../evil", "/tmp/silr-hub-evil", "a\\\\..\\\\b", "a\\u0000b"};
    char list[500], all[2000];
    silr_hub_got got;
    silr_error err;
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(list, sizeof list, "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"config.json\"},"
                 "{\"rfilename\":\"%s\"}]}", names[i]);
        server.list = list;
        assert_int_equal(fetch(&got, &err), SILR_EPEER);
        scratch_list("", all, sizeof all);
        assert_string_equal(all, ""); /* not a file anywhere */
    }
}

static void larger_than_the_disk(void **state)
{
    char list[500];
    silr_hub_got got;
    silr_error err;
    (void)state;

    snprintf(list, sizeof list, "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"config.json\",\"size\":2,"
             "\"blobId\":\"%s\"},{\"rfilename\":\"model.safetensors\",\"size\":1000000000000000,\"lfs\":{"
             "\"sha256\":\"%s\"}}]}", files[1].hash, files[3].hash);
    server.list = list;
    assert_int_equal(fetch(&got, &err), SILR_EIO);
    assert_non_null(strstr(err.text, "has room for"));
    assert_int_equal(server.files + server.larges, 0);
}

static void a_full_disk(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    free(hub.cache);
    hub.cache = strdup(scratch_path("a file/hub"));
    scratch_write("a file", "", 0);
    assert_int_equal(fetch(&got, &err), SILR_EIO);
    assert_non_null(strstr(err.text, "not a folder"));
}

static void offline(void **state)
{
    silr_hub_got got;
    silr_error err;
    (void)state;

    hub.offline = true;
    assert_int_equal(fetch(&got, &err), SILR_EPEER);
    assert_non_null(strstr(err.text, "HF_HUB_OFFLINE"));
    assert_int_equal(server.lists, 0);
    hub.offline = false;
    assert_int_equal(fetch(&got, &err), SILR_OK);
    silr_hub_got_clear(&got);
    hub.offline = true;
    assert_int_equal(fetch(&got, &err), SILR_OK);
    assert_string_equal(got.commit, COMMIT);
    assert_int_equal(server.lists, 1);
    silr_hub_got_clear(&got);
}

static void not_a_name(void **state)
{
    silr_hub_want want = {.name = "../x"}, rev = {.name = "acme/tiny", .revision = "../../x"};
    silr_hub_got got;
    silr_error err;
    (void)state;

    assert_int_equal(silr_hub_fetch(&hub, &want, &got, &err), SILR_EINPUT);
    assert_int_equal(silr_hub_fetch(&hub, &rev, &got, &err), SILR_EINPUT);
    assert_int_equal(server.lists, 0);
}

/* Whichever allocation fails: an error and no model, or (of the last, where curl tidies up) all of it;
 * no leak; and the next call goes on. */
static void no_memory(void **state)
{
    silr_hub_got got;
    silr_error err;
    uint64_t all;
    (void)state;

    files[3].len = 20000; /* quick */
    hub_stop(&server);
    assert_true(hub_start(&server));
    hub.endpoint = server.url;
    hub.pause = 0.0001;
    silr_mem_count();
    assert_int_equal(fetch(&got, &err), SILR_OK);
    silr_hub_got_clear(&got);
    all = silr_mem_count();
    for (uint64_t n = 1; n <= all; n += n < 300 ? 1 : 2) {
        silr_status st;
        scratch_remove();
        silr_mem_fail_at(n, true);
        st = fetch(&got, &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK && n < all - 20)
            fail_msg("allocation %llu of %llu failed, and nobody saw", (unsigned long long)n,
                     (unsigned long long)all);
        if (st == SILR_OK || scratch_has("hub/" DIR "/refs/main"))
            assert_true(scratch_has("hub/" DIR "/snapshots/" COMMIT "/config.json"));
        else
            expect_none();
        silr_hub_got_clear(&got);
    }
    assert_int_equal(fetch(&got, &err), SILR_OK);
    silr_hub_got_clear(&got);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_whole_of_it), TEST(the_token_stays_at_the_hub), TEST(nothing_comes_twice),
        TEST(a_bare_list), TEST(by_commit), TEST(goes_on_where_it_broke), TEST(patience_has_an_end),
        TEST(goes_on_after_a_kill), TEST(interrupted), TEST(two_at_once), TEST(a_bad_beginning),
        TEST(a_beginning_that_is_too_long), cmocka_unit_test(faults), TEST(ranges_that_are_not_taken),
        TEST(another_part), TEST(nobody_there), TEST(too_slow), TEST(another_hash),
        TEST(redirects_out_of_the_web), TEST(tricks), TEST(larger_than_the_disk), TEST(a_full_disk),
        TEST(offline), TEST(not_a_name), TEST(no_memory),
    };
    unsetenv("http_proxy"); /* of the machine: the servers are on loopback */
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    setenv("no_proxy", "127.0.0.1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
