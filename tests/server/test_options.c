/* test_options.c - how servers differ, and how the process begins and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "base/file.h"
#include "base/mem.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHAT     "/v1/chat/completions"
#define LOGPROBS "\"logprobs\":true,\"top_logprobs\":20,"
#define SCHEMA                                                                                     \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":"    \
    "{\"type\":\"object\",\"properties\":{\"label\":{\"type\":\"string\"}}}}},"

static struct server s;
static struct got g;

static void start(const char *const *args)
{
    assert_true(server_start(&s, args));
}

static void stop(void)
{
    got_clear(&g);
    assert_int_equal(server_stop(&s), 0);
}

/* --- what differs between servers ------------------------------------------------------- */

static void rejects_parameters(void **state)
{
    static const struct {
        const char *param, *style, *more;
        long status;
        const char *says;
    } cases[] = {
        {"max_tokens", "openai", "\"max_tokens\":9,", 400,
         "\"Unsupported parameter: 'max_tokens' is not supported with this model. Use "
         "'max_completion_tokens' instead.\",\"type\":\"invalid_request_error\",\"param\":"
         "\"max_tokens\",\"code\":\"unsupported_parameter\"}"},
        {"max_completion_tokens", "openai", "\"max_completion_tokens\":9,", 400,
         "Use 'max_tokens'"},
        {"temperature", "openai", "\"temperature\":0,", 400,
         "'temperature' does not support 0 with this model. Only the default (1) value is "
         "supported."},
        {"temperature", "openai", "\"temperature\":1,", 200, ""},
        {"n", "openai", "\"n\":1,", 200, ""},
        {"n", "openai", "\"n\":2,", 400, "\"param\":\"n\""},
        {"seed", "openai", "\"seed\":7,", 400, "\"param\":\"seed\""},
        {"system", "openai", "", 200, ""},
        {"logprobs", "openai", "\"logprobs\":false,", 200, ""},
        {"logprobs", "openai", LOGPROBS, 400, "\"param\":\"logprobs\""},
        {"logprobs", "bare", LOGPROBS, 403, "request logprobs from this model"},
        {"logprobs", "plain", LOGPROBS, 400, "extra fields not permitted: logprobs"},
        {"logprobs", "fastapi", LOGPROBS, 422, "{\"detail\":[{\"loc\":[\"body\",\"logprobs\"]"},
        {"top_logprobs", "vllm", LOGPROBS, 400, "('body', 'top_logprobs')"},
        {"response_format", "openai", SCHEMA, 400, "\"param\":\"response_format\""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *args[] = {"--reject", cases[i].param, "--reject-style", cases[i].style, NULL};
        start(args);
        client_chat(&g, &s, "x", cases[i].more);
        assert_int_equal(g.status, cases[i].status);
        assert_non_null(strstr(g.body.data, cases[i].says));
        stop();
    }
}

static void rejects_the_system_role(void **state)
{
    static const char body[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"},"
        "{\"role\":\"user\",\"content\":\"b\"}]}";
    const char *args[] = {"--reject", "system", NULL};
    (void)state;

    start(args);
    client_post(&g, &s, CHAT, NULL, body);
    assert_int_equal(g.status, 400);
    assert_string_equal(text_at(g.json, "error/param"), "messages[0].role");
    stop();
}

static void ignores_parameters(void **state)
{
    const char *args[] = {"--ignore",  "logprobs", "--ignore", "response_format",
                          "--max-top", "5",        NULL};
    (void)state;

    start(args);
    assert_string_equal(
        client_chat(&g, &s, "[[negative]]", "\"logprobs\":true,\"top_logprobs\":5," SCHEMA),
        "negative");
    assert_true(json_is_null(at(g.json, "choices/0/logprobs")));
    client_chat(&g, &s, "x", LOGPROBS);
    assert_int_equal(g.status, 400);
    assert_non_null(strstr(text_at(g.json, "error/message"), "Expected a value <= 5, but got 20"));
    stop();
}

/* What a client does wrong is told, not forgiven. */
static void refuses_nonsense(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "{\"model\":\"m\"}",
        "{\"model\":\"m\",\"messages\":[]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":3}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"model\":\"m\",\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"model\":\"m\",\"n\":0,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"model\":\"m\",\"top_logprobs\":2,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
    };
    (void)state;

    start(NULL);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        client_post(&g, &s, CHAT, NULL, bodies[i]);
        assert_int_equal(g.status, 400);
        assert_non_null(text_at(g.json, "error/message"));
    }
    client_post(&g, &s, CHAT, "Content-Type: text/plain", "{}");
    assert_int_equal(g.status, 400);
    client_get(&g, &s, CHAT, NULL);
    assert_int_equal(g.status, 405);
    client_get(&g, &s, "/v1/engines", NULL);
    assert_int_equal(g.status, 404);
    client_get(&g, &s, "/v1/models", NULL);
    assert_string_equal(text_at(g.json, "data/0/id"), "test-model");
    stop();
}

static void wants_a_key(void **state)
{
    const char *args[] = {"--key", "sk-right", "--echo-key", NULL};
    const char *quiet[] = {"--key", "sk-right", NULL};
    char *body = chat_body("x", "");
    json_t *stats;
    (void)state;

    start(args);
    client_post(&g, &s, CHAT, NULL, body);
    assert_int_equal(g.status, 401);
    client_post(&g, &s, CHAT, "Authorization: Bearer sk-wrong", body);
    assert_int_equal(g.status, 401);
    assert_non_null(strstr(text_at(g.json, "error/message"), "sk-wrong"));
    client_post(&g, &s, CHAT, "Authorization: Bearer sk-right", body);
    assert_int_equal(g.status, 200);
    client_post(&g, &s, "/openai/deployments/d/chat/completions?api-version=1", "api-key: sk-right",
                body);
    assert_int_equal(g.status, 200);
    assert_true(server_stats(&s, &stats));
    assert_int_equal(json_integer_value(at(stats, "authorization/distinct")), 2);
    assert_int_equal(json_integer_value(at(stats, "authorization/without")), 1);
    assert_true(json_is_false(at(stats, "authorization/equals_key/0")));
    assert_true(json_is_true(at(stats, "authorization/equals_key/1")));
    json_decref(stats);
    stop();
    start(quiet);
    client_post(&g, &s, CHAT, "Authorization: Bearer sk-wrong", body);
    assert_null(strstr(g.body.data, "sk-wrong"));
    silr_free(body);
    stop();
}

/* --- the process ------------------------------------------------------------------------ */

static void speaks_tls(void **state)
{
    char cert[] = "/tmp/silr-cert-XXXXXX", key[] = "/tmp/silr-key-XXXXXX";
    const char *args[] = {"--tls-cert", cert, "--tls-key", key, "--latency", "5", NULL};
    (void)state;

    close(mkstemp(cert));
    close(mkstemp(key));
    assert_true(server_make_cert(cert, key));
    start(args);
    assert_memory_equal(s.url, "https://", 8);
    assert_string_equal(client_chat(&g, &s, "[[negative]]", ""), "negative");
    assert_int_equal(server_count(&s, "answers"), 1);
    unlink(cert);
    unlink(key);
    stop();
}

/* A line is there before the answer is: with an answer that takes ten seconds it can be read. */
static void logs_at_once(void **state)
{
    char path[] = "/tmp/silr-log-XXXXXX";
    const char *args[] = {"--log", path, "--latency", "10000", NULL};
    silr_buf log = {0};
    char *body = chat_body("x", "");
    int fd;
    (void)state;

    close(mkstemp(path));
    start(args);
    fd = raw_connect(&s);
    raw_post(fd, body);
    while (server_count(&s, "requests") < 1)
        usleep(1000);
    assert_int_equal(silr_file_read(&log, path, 1 << 20, NULL), SILR_OK);
    assert_memory_equal(log.data, "{\"seq\":1,\"hash\":\"", 17);
    assert_non_null(strstr(log.data, "\"path\":\"/v1/chat/completions\""));
    assert_int_equal(log.data[log.len - 1], '\n');
    unlink(path);
    silr_buf_clear(&log);
    silr_free(body);
    close(fd);
    stop();
}

static void ends_with_its_parent(void **state)
{
    int pipe_fd[2], status;
    pid_t parent, pid;
    (void)state;

    assert_int_equal(pipe(pipe_fd), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* its orphan becomes ours */
    parent = fork();
    if (parent == 0) {
        bool ok = server_start(&s, NULL);
        _exit(ok && write(pipe_fd[1], &s.pid, sizeof s.pid) == sizeof s.pid ? 0 : 1);
    }
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipe_fd[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void ends_with_its_input(void **state)
{
    int in[2], out[2], status;
    char port[16];
    pid_t pid;
    (void)state;

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl(getenv("CHAT_SERVER"), "chat_server", "--until-eof", NULL);
        _exit(127);
    }
    assert_true(read(out[0], port, sizeof port) > 1);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    close(in[0]);
    close(in[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(out[0]);
    close(out[1]);
}

static void refuses_bad_options(void **state)
{
    const char *bad[][3] = {{"--no-such"},         {"--port"},          {"--fault", "nothing=1"},
                            {"--fault", "500=2"},  {"--latency", "-1"}, {"--reject", "nothing"},
                            {"--classes", "a,,b"}, {"--tls-cert", "f"}};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(server_start(&s, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rejects_parameters),  cmocka_unit_test(rejects_the_system_role),
        cmocka_unit_test(ignores_parameters),  cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(wants_a_key),         cmocka_unit_test(speaks_tls),
        cmocka_unit_test(logs_at_once),        cmocka_unit_test(ends_with_its_parent),
        cmocka_unit_test(ends_with_its_input), cmocka_unit_test(refuses_bad_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
