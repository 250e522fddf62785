/* test_batch_system.c - silr annotate with batch: true, as a user has it: Ctrl-C, a limit, a kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch_kit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N = 200 };

static struct server s;
static char dir[] = "/tmp/silr-batch-system-XXXXXX";
static char task[80], run[80], errors[80];

static void write_file(const char *path, const silr_buf *b)
{
    assert_false(b->failed);
    assert_int_equal(silr_file_write(path, b->data, b->len, NULL), SILR_OK);
}

static int make_folder(void **state)
{
    char texts[80];
    silr_buf b = {0};
    (void)state;

    if (!mkdtemp(dir))
        return -1;
    snprintf(task, sizeof task, "%s/task.yaml", dir);
    snprintf(texts, sizeof texts, "%s/t.jsonl", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(errors, sizeof errors, "%s/stderr", dir);
    for (int i = 0; i < N; i++)
        silr_buf_printf(&b, "{\"text\":\"[[%s]] number %d\"}\n", i % 3 ? "positive" : "negative",
                        i);
    write_file(texts, &b);
    silr_buf_reset(&b);
    silr_buf_puts(&b,
                  "name: t\nquestion: which?\nclasses: [positive, negative]\n"
                  "corpus: {files: [t.jsonl], text: text}\nlabelled: none\n"
                  "annotator: {kind: chat, model: m, auth: none, batch: true, batch_poll: 0.01}\n");
    write_file(task, &b);
    silr_buf_clear(&b);
    return 0;
}

static void shell(const char *format, const char *path)
{
    char line[200];

    snprintf(line, sizeof line, format, path);
    assert_int_equal(system(line), 0);
}

static int remove_folder(void **state)
{
    (void)state;
    shell("rm -rf '%s'", dir);
    return 0;
}

/* Begins silr annotate; its messages go to a file. */
static pid_t start(const char *option, const char *value)
{
    pid_t pid = fork();

    if (pid == 0) {
        const char *silr = getenv("SILR");
        int out = open("/dev/null", O_WRONLY),
            err = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        setenv("OPENAI_BASE_URL", s.url, 1);
        dup2(out, 1);
        dup2(err, 2);
        execl(silr, silr, "annotate", task, "--out", run, option, value, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void said(const char *words)
{
    silr_buf b = {0};

    assert_int_equal(silr_file_read(&b, errors, 1 << 20, NULL), SILR_OK);
    if (!strstr(b.data, words))
        fail_msg("no \"%s\" in: %s", words, b.data);
    silr_buf_clear(&b);
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static int64_t number(const char *sql)
{
    char path[100];

    snprintf(path, sizeof path, "%s/run.db", run);
    return kit_ask(path, sql);
}

/* All texts have the label that their mark says, and each line was run once. */
static void all_is_well(int64_t batches)
{
    assert_int_equal(number("SELECT count(*) FROM annotations WHERE source=0 AND raw="
                            "CASE (doc % 3) WHEN 0 THEN 'negative' ELSE 'positive' END"),
                     N);
    assert_int_equal(number("SELECT count(*) FROM batch_lines"), 0);
    assert_int_equal(server_count(&s, "batches"), batches);
    assert_int_equal(server_count(&s, "batch_lines"), N - 1);
}

static void is_interrupted_and_collects_later(void **state)
{
    pid_t pid;
    (void)state;

    assert_true(server_start(&s, (const char *[]){"--batch-polls", "20", NULL}));
    pid = start(NULL, NULL);
    for (int i = 0; i < 2000 && server_count(&s, "batches") == 0; i++)
        pause_ms(5);
    kill(pid, SIGINT);
    assert_int_equal(end(pid), 130);
    said("199 requests go on at the server, in 1 batch: the same command collects their answers");
    end(start(NULL, NULL));
    all_is_well(1);
    shell("ls -A '%s' | grep -vx 'run.db\\|.lock' && exit 1 || exit 0", run);
    shell("rm -rf '%s'", run);
    server_stop(&s);
}

static void stops_when_time_is_over(void **state)
{
    (void)state;

    assert_true(server_start(&s, (const char *[]){"--batch-polls", "100000", NULL}));
    assert_int_equal(end(start("--max-time", "1")), 6);
    said("--max-time");
    said("199 requests go on at the server");
    shell("rm -rf '%s'", run);
    server_stop(&s);
}

/* Killed again and again, a little later each time, by a signal that asks nobody. */
static void survives_kills(void **state)
{
    int kills = 0;
    (void)state;

    assert_true(server_start(&s, (const char *[]){"--batch-polls", "3", NULL}));
    for (long ms = 4; ms < 2000; ms += 4 + ms / 8) {
        pid_t pid = start(NULL, NULL);
        pause_ms(ms);
        kill(pid, SIGKILL);
        if (end(pid) != 128 + SIGKILL)
            break;
        kills++;
    }
    end(start(NULL, NULL));
    assert_true(kills > 3);
    all_is_well(1);
    shell("rm -rf '%s'", run);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_interrupted_and_collects_later),
        cmocka_unit_test(stops_when_time_is_over),
        cmocka_unit_test(survives_kills),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
