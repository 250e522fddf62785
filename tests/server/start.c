#include "server/start.h"
#include "base/buf.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MOST = 100, PATIENCE_MS = 30000 };

/* --- starting --------------------------------------------------------------------------- */

static _Noreturn void become_server(const char *program, char **argv, int out, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before we asked to be told */
        _exit(1);
    dup2(out, STDOUT_FILENO);
    execv(program, argv);
    _exit(127);
}

/* Reads "PORT\n"; 0: it did not come. */
static unsigned read_port(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    char text[16] = "";
    size_t n = 0;

    while (n < sizeof text - 1 && !strchr(text, '\n')) {
        if (poll(&p, 1, PATIENCE_MS) <= 0)
            return 0;
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        if (got <= 0)
            return 0;
        n += (size_t)got;
        text[n] = '\0';
    }
    return (unsigned)strtoul(text, NULL, 10);
}

bool server_start(struct server *s, const char *const *args)
{
    const char *program = getenv("CHAT_SERVER"), *argv[ARGS_MOST + 2] = {"chat_server"};
    bool tls = false;
    pid_t parent = getpid();
    int pipe_fd[2];

    *s = (struct server){0};
    for (size_t i = 0; args && args[i] && i < ARGS_MOST; i++) {
        argv[i + 1] = args[i];
        tls |= strcmp(args[i], "--tls-cert") == 0;
    }
    if (!program || pipe2(pipe_fd, O_CLOEXEC) != 0) {
        fprintf(stderr, "server_start: %s\n", program ? strerror(errno) : "CHAT_SERVER is not set");
        return false;
    }
    s->pid = fork();
    if (s->pid == 0)
        become_server(program, (char **)argv, pipe_fd[1], parent);
    close(pipe_fd[1]);
    s->port = s->pid > 0 ? read_port(pipe_fd[0]) : 0;
    close(pipe_fd[0]);
    if (s->port == 0) {
        fprintf(stderr, "server_start: %s did not start: exit code %d\n", program, server_stop(s));
        return false;
    }
    snprintf(s->root, sizeof s->root, "http%s://127.0.0.1:%u", tls ? "s" : "", s->port);
    snprintf(s->url, sizeof s->url, "%s/v1", s->root);
    return true;
}

int server_stop(struct server *s)
{
    const struct timespec pause = {0, 5000000};
    int status = 0;

    if (s->pid <= 0)
        return -1;
    kill(s->pid, SIGTERM);
    for (int ms = 0; waitpid(s->pid, &status, WNOHANG) == 0; ms += 5) {
        if (ms > PATIENCE_MS)
            kill(s->pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
    *s = (struct server){0};
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- asking ----------------------------------------------------------------------------- */

static size_t collect(char *data, size_t size, size_t n, void *to)
{
    silr_buf_add(to, data, size * n);
    return size * n;
}

static bool ask(const struct server *s, const char *path, bool post, silr_buf *body)
{
    CURL *c = curl_easy_init();
    char url[80];
    long status = 0;
    CURLcode code;

    snprintf(url, sizeof url, "%s%s", s->root, path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    if (post)
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
    code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    if (code == CURLE_OK && status == 200)
        return true;
    fprintf(stderr, "%s: %s, status %ld\n", url, curl_easy_strerror(code), status);
    return false;
}

bool server_stats(const struct server *s, json_t **out)
{
    silr_buf b = {0};

    *out = ask(s, "/stats", false, &b) ? json_loadb(b.data, b.len, 0, NULL) : NULL;
    silr_buf_clear(&b);
    return *out != NULL;
}

int64_t server_count(const struct server *s, const char *path)
{
    json_t *stats, *at;
    char part[100], *rest, *name;
    int64_t v;

    if (!server_stats(s, &stats))
        return -1;
    at = stats;
    snprintf(part, sizeof part, "%s", path);
    for (name = strtok_r(part, "/", &rest); name; name = strtok_r(NULL, "/", &rest))
        at = json_object_get(at, name);
    v = json_integer_value(at);
    json_decref(stats);
    return v;
}

bool server_reset(const struct server *s)
{
    silr_buf b = {0};
    bool ok = ask(s, "/reset", true, &b);

    silr_buf_clear(&b);
    return ok;
}
