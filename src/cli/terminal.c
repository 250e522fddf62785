/* terminal.c - what silr says while it works: lines and progress, always on stderr.
 *
 * On a terminal progress is one line that is rewritten ten times a second; elsewhere (a log file,
 * CI) a line every 30 seconds, so that a silent hour cannot be mistaken for a hung one. */
#include "cli/cli.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
    bool quiet, verbose, moving, drawn;
    char what[80];
    double start, next; /* of the stage in progress; when to speak again */
} terminal;

bool cli_colour(int fd)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return !(no && no[0] != '\0') && !(term && strcmp(term, "dumb") == 0) && isatty(fd);
}

void cli_terminal_clear(void)
{
    if (terminal.drawn)
        fputs("\r\033[K", stderr);
    terminal.drawn = false;
}

void cli_say(const char *fmt, ...)
{
    va_list ap;

    if (terminal.quiet)
        return;
    cli_terminal_clear();
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* Texts, file names and values of the user's data end up in messages: a control character among
 * them must not reach the terminal. */
static void put_safe(const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        fputc(c < 32 || c == 127 ? (c == '\n' || c == '\t' ? ' ' : '?') : c, stderr);
    }
}

static void line(void *ctx, silr_log_level level, const char *text)
{
    bool colour = cli_colour(2);
    (void)ctx;

    if ((level == SILR_LOG_INFO && terminal.quiet) ||
        (level == SILR_LOG_DEBUG && !terminal.verbose))
        return;
    cli_terminal_clear();
    if (level == SILR_LOG_WARN)
        fprintf(stderr, "%swarning:%s ", colour ? "\033[33m" : "", colour ? "\033[0m" : "");
    put_safe(text);
    fputc('\n', stderr);
}

static void format_time(char *out, size_t size, double seconds)
{
    int s = seconds < 360000 ? (int)(seconds + 0.5) : 359999;

    if (s >= 3600)
        snprintf(out, size, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%d:%02d", s / 60, s % 60);
}

static void format_progress(char *out, size_t size, const char *what, uint64_t done,
                            uint64_t total, double elapsed)
{
    char left[32] = "";

    if (total == 0 && done == 0) {
        snprintf(out, size, "%s ...", what);
        return;
    }
    if (total == 0) {
        snprintf(out, size, "%s  %llu", what, (unsigned long long)done);
        return;
    }
    if (done > 0 && done <= total && elapsed > 2) {
        char t[24];
        format_time(t, sizeof t, elapsed * (double)(total - done) / (double)done);
        snprintf(left, sizeof left, ", %s left", t);
    }
    snprintf(out, size, "%s  %llu of %llu (%d %%%s)", what, (unsigned long long)done,
             (unsigned long long)total, (int)(100.0 * (double)done / (double)total), left);
}

static void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    char text[200];
    double now = silr_now();
    struct winsize w = {0};
    int columns;
    (void)ctx;

    if (terminal.quiet)
        return;
    if (strncmp(what, terminal.what, sizeof terminal.what - 1) != 0) {
        snprintf(terminal.what, sizeof terminal.what, "%s", what);
        terminal.start = now;
        terminal.next = terminal.moving ? now : now + 30;
    }
    if (now < terminal.next)
        return;
    terminal.next = now + (terminal.moving ? 0.1 : 30);
    format_progress(text, sizeof text, what, done, total, now - terminal.start);
    if (!terminal.moving) {
        put_safe(text);
        fputc('\n', stderr);
        return;
    }
    columns = ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
    if ((size_t)columns < strlen(text))
        text[columns] = '\0'; /* a wrapped line could not be rewritten */
    fputs("\r\033[K", stderr);
    put_safe(text);
    fflush(stderr);
    terminal.drawn = true;
}

void cli_terminal_start(const cli_args *a)
{
    const char *term = getenv("TERM");
    silr_listener l = {.line = line, .progress = progress};

    terminal.quiet = a->quiet;
    terminal.verbose = a->verbose;
    terminal.moving = isatty(2) && !(term && strcmp(term, "dumb") == 0);
    silr_log_listen(&l);
}
