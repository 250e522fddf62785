/* test_secrets.c - the key goes to the server that it is for, and nowhere else: no file, no message, no
 * other host, no core; and nobody is trusted who cannot show who they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "chat/talk.h"
#include "server/start.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char key[] = "sk-T0psecret/0123456789abcdefXYZ+w";
static const char part[] = "0123456789abcdef"; /* of it: not even so much */

static struct program s;
static struct server server, other;

static void sleep_for(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static int setup(void **state)
{
    (void)state;
    program_env("OPENAI_API_KEY", key);
    return 0;
}

static int stop(void **state)
{
    static const char *const names[] = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "SSL_CERT_FILE", "http_proxy",
                                        "https_proxy", "no_proxy"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        program_env(names[i], NULL);
    if (server.pid > 0)
        server_stop(&server);
    if (other.pid > 0)
        server_stop(&other);
    program_clear(&s);
    return 0;
}

/* --- looking everywhere -------------------------------------------------------------------------- */

static int looked_at;

static void look_into(const char *path)
{
    silr_buf b = {0};

    assert_int_equal(silr_file_read(&b, path, 1 << 28, NULL), SILR_OK);
    if (b.len > 0 && memmem(b.data, b.len, part, sizeof part - 1))
        fail_msg("%s holds the key", path);
    silr_buf_clear(&b);
    looked_at++;
}

static void look_through(const char *folder)
{
    DIR *d = opendir(folder);
    char path[600];

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            look_through(path);
        else if (e->d_type == DT_REG)
            look_into(path);
    }
    closedir(d);
}

/* The folder of the run, with its database, its log, and what it printed. */
static void nowhere(const char *name)
{
    looked_at = 0;
    look_through(program_at(name, ""));
    assert_true(looked_at >= 5);
}

static void server_knows(const struct server *of, bool right)
{
    json_t *stats;
    const json_t *a;

    assert_true(server_stats(of, &stats));
    a = json_object_get(stats, "authorization");
    assert_int_equal(json_integer_value(json_object_get(a, "distinct")), 1);
    assert_int_equal(json_integer_value(json_object_get(a, "without")), 0);
    assert_int_equal(json_is_true(json_array_get(json_object_get(a, "equals_key"), 0)), right);
    json_decref(stats);
}

/* --- servers that send it back ------------------------------------------------------------------- */

static void errors_that_repeat_it(void **state)
{
    const char *args[] = {"--key", key, "--echo-key", "--fault", "500=0.2", "--fault", "429-bare=0.1", "--fault",
                          "400=0.2", "--fault", "503=0.1", NULL};
    (void)state;

    assert_true(server_start(&server, args));
    program_make("echo", 60, "max_failed: 1");
    assert_int_equal(program_run(&s, "echo", server.url, "-v", NULL), 0);
    server_knows(&server, true);
    nowhere("echo");
    program_look(&s);
    assert_true(program_count_failed(&s) > 0);
    assert_int_equal(program_number("echo", "SELECT count(*) FROM annotations WHERE reason LIKE '%Your key is [key]%'"),
                     program_count_failed(&s));
}

static void a_wrong_one(void **state)
{
    const char *args[] = {"--key", "sk-another", "--echo-key", NULL};
    (void)state;

    assert_true(server_start(&server, args));
    program_make("wrong", 10, "");
    assert_int_equal(program_run(&s, "wrong", server.url, "-v", NULL), 5);
    assert_true(program_says(&s, "Your key is [key]") && program_says(&s, "HTTP 401"));
    server_knows(&server, false);
    nowhere("wrong");
}

static void as_another_header(void **state)
{
    const char *args[] = {"--key", key, NULL};
    (void)state;

    assert_true(server_start(&server, args));
    program_env("MY_KEY", key);
    program_env("OPENAI_API_KEY", "sk-not-this-one");
    program_make("header", 10, "auth: api-key, key_env: MY_KEY");
    assert_int_equal(program_run(&s, "header", server.url, NULL), 0);
    server_knows(&server, true);
    nowhere("header");
    program_env("MY_KEY", NULL);
}

static void not_to_another_host(void **state)
{
    char to[80];
    const char *args[] = {"--key", key, "--fault", "redirect=1", "--redirect-to", to, NULL};
    (void)state;

    assert_true(server_start(&other, NULL));
    snprintf(to, sizeof to, "%s/chat/completions", other.url);
    assert_true(server_start(&server, args));
    program_make("redirect", 10, "retries: 0");
    assert_int_equal(program_run(&s, "redirect", server.url, NULL), 5);
    assert_true(program_says(&s, "redirects to") && program_says(&s, to));
    assert_true(server_count(&server, "chat") > 0);
    assert_int_equal(server_count(&other, "requests"), 0);
    nowhere("redirect");
}

static void keys_that_are_none(void **state)
{
    (void)state;
    assert_true(server_start(&server, NULL));
    program_make("none", 10, "");
    program_env("OPENAI_API_KEY", "sk-0123456789abcdef\n");
    assert_int_equal(program_run(&s, "none", server.url, NULL), 5);
    assert_true(program_says(&s, "newline") && program_says(&s, "OPENAI_API_KEY"));
    nowhere("none");
    assert_int_equal(server_count(&server, "requests"), 0);

    program_make("in the url", 10, ""); /* where it would be kept and printed */
    program_env("OPENAI_API_KEY", NULL);
    program_env("OPENAI_BASE_URL", "http://user:0123456789abcdef@127.0.0.1:1/v1");
    assert_int_equal(program_run(&s, "in the url", NULL, NULL), 5);
    assert_true(program_says(&s, "OPENAI_BASE_URL"));
    nowhere("in the url");
    assert_int_equal(program_run(&s, "in the url", "http://user:key@127.0.0.1:1/v1", NULL), 3);

    program_make("far", 10, "url: \"http://localhost.example.invalid/v1\""); /* not this machine */
    program_env("OPENAI_BASE_URL", NULL);
    assert_int_equal(program_run(&s, "far", NULL, NULL), 5);
    assert_true(program_says(&s, "OPENAI_API_KEY is not set"));
    program_env("OPENAI_API_KEY", key);
    assert_int_equal(program_run(&s, "far", NULL, "--set", "annotator.retries=0", NULL), 5);
    assert_true(program_says(&s, "not encrypted"));
    nowhere("far");
}

/* --- the process --------------------------------------------------------------------------------- */

static void read_proc(pid_t pid, const char *name, silr_buf *b)
{
    char path[60];
    FILE *f;
    int c;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    silr_buf_reset(b);
    while ((c = getc(f)) != EOF)
        silr_buf_putc(b, (char)c);
    fclose(f);
}

/* It dies in the middle, with all that it has in memory: the key is in none of what is left. */
static void a_crash(void **state)
{
    const char *args[] = {"--key", key, "--latency", "30", NULL};
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit old;
    silr_buf b = {0};
    int status;
    (void)state;

    assert_true(server_start(&server, args));
    getrlimit(RLIMIT_CORE, &old);
    setrlimit(RLIMIT_CORE, &unlimited);
    program_make("crash", 400, "concurrency: 4");
    program_start(&s, "crash", server.url, NULL);
    for (int i = 0; i < 2000 && server_count(&server, "chat") < 20; i++)
        sleep_for(0.002);
    read_proc(s.pid, "limits", &b);
    const char *line = strstr(b.data, "Max core file size");
    assert_non_null(line);
    assert_int_equal(strtol(line + strlen("Max core file size"), NULL, 10), 0);
    read_proc(s.pid, "cmdline", &b);
    assert_null(memmem(b.data, b.len, part, sizeof part - 1));
    assert_non_null(memmem(b.data, b.len, "annotate", 8));
    kill(s.pid, SIGSEGV);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_false(WIFSIGNALED(status) && WCOREDUMP(status));
    assert_true(access(program_at("crash", "run/run.db-wal"), F_OK) == 0); /* it is in the middle */
    nowhere("crash");
    assert_true(access(program_at("crash", "core"), F_OK) != 0);
    setrlimit(RLIMIT_CORE, &old);
    assert_int_equal(program_run(&s, "crash", server.url, NULL), 0);
    nowhere("crash");
    silr_buf_clear(&b);
}

/* --- TLS ----------------------------------------------------------------------------------------- */

static void certificates(void **state)
{
    char cert[300], cert_key[300];
    const char *args[] = {"--tls-cert", cert, "--tls-key", cert_key, "--key", key, NULL};
    (void)state;

    snprintf(cert, sizeof cert, "%s", program_at("tls", "cert.pem"));
    snprintf(cert_key, sizeof cert_key, "%s", program_at("tls", "key.pem"));
    program_make("tls", 30, "");
    assert_true(server_make_cert(cert, cert_key));
    assert_true(server_start(&server, args));
    assert_int_equal(program_run(&s, "tls", server.url, NULL), 5); /* nobody vouches for it */
    assert_true(program_says(&s, "TLS") && program_says(&s, "certificate") && s.seconds < 5);
    assert_int_equal(server_count(&server, "requests"), 0);
    program_env("SSL_CERT_FILE", "/no/such/file.pem");
    assert_int_equal(program_run(&s, "tls", server.url, NULL), 5);
    program_env("SSL_CERT_FILE", cert);
    assert_int_equal(program_run(&s, "tls", server.url, NULL), 0);
    server_knows(&server, true);
    program_look(&s);
    program_all_right(&s);
    nowhere("tls");
}

/* Connections that break while something is written to them: no signal may end the program. */
static void broken_connections(void **state)
{
    char cert[300], cert_key[300];
    const char *args[] = {"--tls-cert", cert, "--tls-key", cert_key, "--fault", "reset=0.2", "--fault",
                          "reset-body=0.2", NULL};
    (void)state;

    snprintf(cert, sizeof cert, "%s", program_at("tls2", "cert.pem"));
    snprintf(cert_key, sizeof cert_key, "%s", program_at("tls2", "key.pem"));
    program_make("tls2", 150, "");
    assert_true(server_make_cert(cert, cert_key));
    assert_true(server_start(&server, args));
    program_env("SSL_CERT_FILE", cert);
    assert_int_equal(program_run(&s, "tls2", server.url, NULL), 0);
    program_look(&s);
    program_all_right(&s);
}

/* --- proxies ------------------------------------------------------------------------------------- */

static unsigned act_as_proxy(const char *body, int attempt, silr_buf *out)
{
    (void)attempt;
    script_say(out, strstr(body, "[[negative]]") ? "negative" : "positive");
    return 200;
}

static void a_proxy(void **state)
{
    char proxy[60];
    (void)state;

    snprintf(proxy, sizeof proxy, "%s", script_start(act_as_proxy));
    program_env("http_proxy", proxy);
    program_make("proxy", 20, "retries: 0");
    assert_int_equal(program_run(&s, "proxy", "http://example.invalid/v1", NULL), 0);
    program_look(&s);
    program_all_right(&s);
    assert_int_equal(script_requests(), 20);
    program_env("no_proxy", "example.invalid");
    program_make("direct", 20, "retries: 0");
    assert_int_equal(program_run(&s, "direct", "http://example.invalid/v1", NULL), 5);
    assert_int_equal(script_requests(), 20);
    script_stop();
    assert_string_equal(script_path(), "http://example.invalid/v1/chat/completions");
    nowhere("proxy");
}

/* A proxy for TLS: it is told where to connect, and sees nothing of what goes through. */
static struct {
    int listener;
    char seen[4000]; /* all that clients said to it */
    size_t n;
    int tunnels;
} tunnel;

static void pump(int a, int b)
{
    struct pollfd p[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    char bytes[16384];

    while (poll(p, 2, 5000) > 0)
        for (int i = 0; i < 2; i++) {
            ssize_t n = p[i].revents ? read(p[i].fd, bytes, sizeof bytes) : 0;
            if (p[i].revents && (n <= 0 || send(p[1 - i].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n))
                return;
        }
}

static void *serve_one(void *arg)
{
    int client = (int)(intptr_t)arg, to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server.port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char head[2000] = "";
    size_t n = 0;

    while (n + 1 < sizeof head && !strstr(head, "\r\n\r\n") && read(client, head + n, 1) == 1)
        head[++n] = '\0';
    if (tunnel.n + n < sizeof tunnel.seen) {
        memcpy(tunnel.seen + tunnel.n, head, n + 1);
        tunnel.n += n;
    }
    tunnel.tunnels++;
    if (connect(to, (struct sockaddr *)&at, sizeof at) == 0 &&
        send(client, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL) == 19)
        pump(client, to);
    close(client);
    close(to);
    return NULL;
}

static void *serve_tunnels(void *arg)
{
    int client;
    (void)arg;

    while ((client = accept4(tunnel.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)client) == 0)
            pthread_join(thread, NULL); /* one after the other: nothing to lock */
    }
    return NULL;
}

static void a_tunnel(void **state)
{
    char cert[300], cert_key[300], proxy[60], host[60];
    const char *args[] = {"--tls-cert", cert, "--tls-key", cert_key, "--key", key, NULL};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    pthread_t thread;
    (void)state;

    snprintf(cert, sizeof cert, "%s", program_at("tunnel", "cert.pem"));
    snprintf(cert_key, sizeof cert_key, "%s", program_at("tunnel", "key.pem"));
    program_make("tunnel", 20, "concurrency: 1");
    assert_true(server_make_cert(cert, cert_key));
    assert_true(server_start(&server, args));
    tunnel.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tunnel.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(tunnel.listener, 16), 0);
    assert_int_equal(getsockname(tunnel.listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_tunnels, NULL), 0);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", ntohs(at.sin_port));
    snprintf(host, sizeof host, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n", server.port);
    program_env("https_proxy", proxy);
    program_env("SSL_CERT_FILE", cert);
    assert_int_equal(program_run(&s, "tunnel", server.url, NULL), 0);
    shutdown(tunnel.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(tunnel.listener);
    program_look(&s);
    program_all_right(&s);
    assert_true(tunnel.tunnels > 0);
    assert_int_equal(strncmp(tunnel.seen, host, strlen(host)), 0);
    assert_null(strstr(tunnel.seen, "Authorization"));
    assert_null(strstr(tunnel.seen, part));
    server_knows(&server, true);
    nowhere("tunnel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(errors_that_repeat_it, setup, stop),
        cmocka_unit_test_setup_teardown(a_wrong_one, setup, stop),
        cmocka_unit_test_setup_teardown(as_another_header, setup, stop),
        cmocka_unit_test_setup_teardown(not_to_another_host, setup, stop),
        cmocka_unit_test_setup_teardown(keys_that_are_none, setup, stop),
        cmocka_unit_test_setup_teardown(a_crash, setup, stop),
        cmocka_unit_test_setup_teardown(certificates, setup, stop),
        cmocka_unit_test_setup_teardown(broken_connections, setup, stop),
        cmocka_unit_test_setup_teardown(a_proxy, setup, stop),
        cmocka_unit_test_setup_teardown(a_tunnel, setup, stop),
    };
    return cmocka_run_group_tests(tests, program_home_make, program_home_drop);
}
