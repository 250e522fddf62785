#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/program.h"
#include "db/db.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS = 40, ENV = 20, PATIENCE = 120 };

static char home[] = "/tmp/silr-chat-XXXXXX";
static char *env[ENV + 1];

/* --- folders ------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int program_home_make(void **state)
{
    (void)state;
    silr_mem_install();
    program_env("PATH", getenv("PATH"));
    program_env("OMP_NUM_THREADS", "1");
    program_env("NO_COLOR", "1");
    program_env("ASAN_OPTIONS", getenv("ASAN_OPTIONS"));
    program_env("UBSAN_OPTIONS", getenv("UBSAN_OPTIONS"));
    return mkdtemp(home) ? 0 : -1;
}

int program_home_drop(void **state)
{
    (void)state;
    nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

const char *program_at(const char *name, const char *file)
{
    static char path[4][300];
    static int turn;
    char *p = path[turn++ % 4];

    snprintf(p, sizeof path[0], "%s/%s%s%s", home, name, file[0] ? "/" : "", file);
    return p;
}

void program_make(const char *name, size_t n, const char *annotator)
{
    silr_buf texts = {0}, task = {0};
    silr_error err;

    assert_true(n <= PROGRAM_TEXTS);
    for (size_t i = 0; i < n; i++)
        silr_buf_printf(&texts, "{\"id\":\"t%zu\",\"text\":\"text %zu [[%s]]\"}\n", i, i,
                        i % 2 ? "negative" : "positive");
    silr_buf_printf(&task, "name: t\nclasses: [positive, negative]\ncorpus: {files: [texts.jsonl], text: text, "
                    "id: id}\nlabelled: {count: 10}\nannotator: {kind: chat, model: m%s%s}\n",
                    annotator[0] ? ", " : "", annotator);
    assert_int_equal(silr_mkdirs(program_at(name, ""), &err), SILR_OK);
    assert_int_equal(silr_file_write(program_at(name, "texts.jsonl"), texts.data, texts.len, &err), SILR_OK);
    assert_int_equal(silr_file_write(program_at(name, "task.yaml"), task.data, task.len, &err), SILR_OK);
    silr_buf_clear(&texts);
    silr_buf_clear(&task);
}

/* --- the program --------------------------------------------------------------------------------- */

void program_env(const char *name, const char *value)
{
    size_t n = strlen(name), i = 0;

    while (env[i] && (strncmp(env[i], name, n) != 0 || env[i][n] != '='))
        i++;
    if (!value && !env[i])
        return;
    free(env[i]);
    if (value) {
        assert_true(i < ENV && asprintf(&env[i], "%s=%s", name, value) > 0);
        return;
    }
    for (; env[i + 1]; i++)
        env[i] = env[i + 1];
    env[i] = NULL;
}

static _Noreturn void become(const char *name, char **argv, pid_t parent)
{
    const char *program = getenv("SILR");
    int out, errors;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(program_at(name, "")) != 0)
        _exit(126);
    out = open("out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    errors = open("err.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    execve(program ? program : "silr", argv, env);
    _exit(127);
}

static void start(struct program *s, const char *name, const char *url, va_list more)
{
    char *argv[ARGS] = {(char *)"silr", (char *)"annotate", (char *)"task.yaml", (char *)"--out", (char *)"run",
                        (char *)"-q"};
    char set[200];
    int n = 6;
    pid_t parent = getpid();

    program_clear(s);
    snprintf(s->name, sizeof s->name, "%s", name);
    if (url) {
        snprintf(set, sizeof set, "annotator.url=%s", url);
        argv[n++] = (char *)"--set";
        argv[n++] = set;
    }
    while (n + 1 < ARGS && (argv[n] = va_arg(more, char *)))
        n++;
    argv[n] = NULL;
    if (strcmp(argv[n - 1], "-v") == 0)
        argv[5] = argv[n - 1], argv[n - 1] = NULL; /* instead of -q */
    s->seconds = silr_now();
    if ((s->pid = fork()) == 0)
        become(name, argv, parent);
    assert_true(s->pid > 0);
}

void program_start(struct program *s, const char *name, const char *url, ...)
{
    va_list more;

    va_start(more, url);
    start(s, name, url, more);
    va_end(more);
}

static void wait_for(struct program *s, bool killed)
{
    struct rusage u;
    int status = 0;
    bool late = false;

    while (wait4(s->pid, &status, WNOHANG, &u) == 0) {
        const struct timespec pause = {0, 2000000};
        late = silr_now() - s->seconds > PATIENCE;
        if (late)
            kill(s->pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
    s->seconds = silr_now() - s->seconds;
    s->cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
             1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    s->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    silr_file_read(&s->out, program_at(s->name, "out.txt"), 1 << 20, NULL);
    silr_file_read(&s->err, program_at(s->name, "err.txt"), 1 << 20, NULL);
    if (late)
        fail_msg("%s: it hangs", s->name);
    if ((s->code > 128 && s->code != 130 && !(killed && s->code == 128 + SIGKILL)) || s->code == 126 || s->code == 127 || program_says(s, "Sanitizer") ||
        program_says(s, "runtime error") || program_says(s, "bug in silr"))
        fail_msg("%s: exit code %d: %s", s->name, s->code, s->err.data ? s->err.data : "");
}

void program_wait(struct program *s)
{
    wait_for(s, false);
}

void program_wait_killed(struct program *s)
{
    wait_for(s, true);
}

int program_run(struct program *s, const char *name, const char *url, ...)
{
    va_list more;

    va_start(more, url);
    start(s, name, url, more);
    va_end(more);
    program_wait(s);
    return s->code;
}

bool program_says(const struct program *s, const char *words)
{
    return s->err.data && strstr(s->err.data, words);
}

void program_clear(struct program *s)
{
    silr_buf_clear(&s->out);
    silr_buf_clear(&s->err);
    s->code = s->pid = 0;
}

/* --- what it leaves ------------------------------------------------------------------------------ */

static sqlite3 *open_run(const char *name)
{
    sqlite3 *db;

    if (sqlite3_open_v2(program_at(name, "run/run.db"), &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        fail_msg("%s: no run.db", name);
    sqlite3_busy_timeout(db, 10000);
    return db;
}

static sqlite3_stmt *query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q;

    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return q;
}

void program_look(struct program *s)
{
    sqlite3 *db = open_run(s->name);
    sqlite3_stmt *q = query(db, "SELECT count(*) FROM documents");

    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    s->texts = (size_t)sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    for (size_t i = 0; i < s->texts; i++) {
        s->label[i] = NOT_ASKED;
        s->failed[i] = false;
    }
    q = query(db, "SELECT doc, label, failed FROM annotations WHERE source=0");
    while (sqlite3_step(q) == SQLITE_ROW) {
        int doc = sqlite3_column_int(q, 0);
        assert_true(doc >= 0 && (size_t)doc < s->texts && s->label[doc] == NOT_ASKED);
        s->label[doc] = sqlite3_column_type(q, 1) == SQLITE_NULL ? ABSTAINED : sqlite3_column_int(q, 1);
        s->failed[doc] = sqlite3_column_int(q, 2) != 0;
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
}

size_t program_count(const struct program *s, int label)
{
    size_t n = 0;
    for (size_t i = 0; i < s->texts; i++)
        n += s->label[i] == label;
    return n;
}

size_t program_count_failed(const struct program *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->texts; i++)
        n += s->failed[i];
    return n;
}

void program_all_right(const struct program *s)
{
    for (size_t i = 0; i < s->texts; i++)
        if (s->failed[i] || s->label[i] != (int)(i % 2))
            fail_msg("%s: text %zu has label %d, failed %d", s->name, i, s->label[i], s->failed[i]);
}

int64_t program_number(const char *name, const char *sql)
{
    sqlite3 *db = open_run(name);
    sqlite3_stmt *q = query(db, sql);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

int64_t program_traffic(const char *name, const char *what)
{
    char sql[120];

    snprintf(sql, sizeof sql, "SELECT n FROM traffic WHERE what='%s'", what);
    return program_number(name, sql);
}
