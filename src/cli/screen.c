/* screen.c - one text at a time, one key a class; under it how the labels stand.
 *
 * Plain termios and ANSI sequences: the alternate screen, so that the shell's own comes back; no
 * echo, key by key. Everything is drawn into one buffer and written at once. The terminal is put
 * back on every way out, by atexit and from the signal handler too.
 *
 * The annotator's label of the text in hand shows nowhere, nor can it be told from what does show:
 * the counts are those of the person's own answers, and the first texts come in shuffled blocks. */
#include "cli/cli.h"
#include "cli/labels.h"
#include "cli/screen.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Keys of classes, in order; u, s and q are taken. */
static const char class_keys[] = "123456789abcdefghijklmnoprtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0=+*/";

typedef struct {
    cli_labels *l;
    silr_chooser *chooser;
    size_t doc;                 /* the text in hand */
    size_t wanted, scroll, lines; /* lines of the text, at this width */
    size_t page;                /* of them fit on the screen */
    size_t here;                /* labelled in this session; undo goes no further back */
    silr_standing *before, *now;
    int last;                   /* the first label of the text labelled last; -1: none */
    int rows, cols;
    silr_buf out, panel;
    const char *note;
} screen;

static struct termios as_it_was;
static volatile sig_atomic_t raw, resized;

static void put(const char *s, size_t len)
{
    while (len > 0) {
        ssize_t n = write(1, s, len);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            s += n;
            len -= (size_t)n;
        }
    }
}

/* Only calls that a signal handler may make. */
static void restore(void)
{
    static const char back[] = "\033[0m\033[?25h\033[?1049l";

    if (!raw)
        return;
    raw = 0;
    put(back, sizeof back - 1);
    tcsetattr(0, TCSAFLUSH, &as_it_was);
}

static void on_resize(int sig)
{
    (void)sig;
    resized = 1;
}

static bool enter(void)
{
    static const char start[] = "\033[?1049h\033[?25l";
    struct sigaction act = {0};
    struct termios t;

    if (tcgetattr(0, &as_it_was) != 0)
        return false;
    t = as_it_was;
    t.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    t.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    t.c_cc[VSUSP] = _POSIX_VDISABLE; /* a stopped process would leave the terminal raw */
    t.c_cc[VQUIT] = _POSIX_VDISABLE;
    raw = 1;
    atexit(restore);
    cli_signals_restore(restore);
    act.sa_handler = on_resize;
    sigemptyset(&act.sa_mask);
    sigaction(SIGWINCH, &act, NULL);
    if (tcsetattr(0, TCSAFLUSH, &t) != 0)
        return false;
    put(start, sizeof start - 1);
    return true;
}

bool cli_screen_possible(void)
{
    const char *term = getenv("TERM");

    return isatty(0) && isatty(1) && !(term && strcmp(term, "dumb") == 0);
}

/* --- drawing ----------------------------------------------------------------------------------- */

static void end_line(silr_buf *b)
{
    silr_buf_puts(b, "\033[0m\033[K\r\n");
}

static void bold(silr_buf *b)
{
    if (cli_colour(1))
        silr_buf_puts(b, "\033[1m");
}

static void dim(silr_buf *b)
{
    if (cli_colour(1))
        silr_buf_puts(b, "\033[2m");
}

/* How many there are, and how many of each class by the person's own answers. */
static void draw_head(screen *v)
{
    const silr_session *s = v->l->s;
    silr_buf line = {0};

    silr_buf_printf(&line, "%s: %zu of %zu labelled  ", s->task->name, v->l->n, v->wanted);
    for (size_t k = 0; k < s->task->n_classes; k++)
        silr_buf_printf(&line, "  %s %zu", s->task->classes[k], v->now->answers[k]);
    bold(&v->out);
    if (line.data)
        cli_put_text(&v->out, line.data, line.len, v->cols);
    end_line(&v->out);
    if (s->task->question && v->rows >= 12) {
        cli_put_text(&v->out, s->task->question, strlen(s->task->question), v->cols);
        end_line(&v->out);
    }
    end_line(&v->out);
    silr_buf_clear(&line);
}

/* The panel's lines hold nothing but what wrap.c has let through. */
static void draw_panel(screen *v)
{
    for (size_t i = 0, from = 0; i < v->panel.len; i++)
        if (v->panel.data[i] == '\n') {
            dim(&v->out);
            silr_buf_add(&v->out, v->panel.data + from, i - from);
            end_line(&v->out);
            from = i + 1;
        }
}

static void draw_keys(screen *v)
{
    const silr_task *task = v->l->s->task;
    silr_buf line = {0};

    for (size_t k = 0; k < task->n_classes && k + 1 < sizeof class_keys; k++)
        silr_buf_printf(&line, "%s[%c] %s", k ? "  " : "", class_keys[k], task->classes[k]);
    bold(&v->out);
    if (line.data)
        cli_put_text(&v->out, line.data, line.len, v->cols);
    end_line(&v->out);
    silr_buf_reset(&line);
    if (v->lines > v->page)
        silr_buf_printf(&line, "[space] more (%zu lines)  ", v->lines);
    silr_buf_puts(&line, "[u] undo  [s] skip  [q] quit, saved");
    if (v->note)
        silr_buf_printf(&line, "   %s", v->note);
    dim(&v->out);
    if (line.data)
        cli_put_text(&v->out, line.data, line.len, v->cols);
    silr_buf_puts(&v->out, "\033[0m\033[K");
    silr_buf_clear(&line);
}

static void draw_body(screen *v, const char *s, size_t len)
{
    size_t at = 0, shown = 0;

    for (size_t line = 0; shown < v->page; line++) {
        size_t from = at, end = at;
        if (at < len)
            end = cli_line_end(s, len, at, v->cols, &at);
        if (line < v->scroll)
            continue;
        if (end > from)
            cli_put_text(&v->out, s + from, end - from, v->cols);
        end_line(&v->out);
        shown++;
    }
}

static void draw(screen *v)
{
    struct winsize w = {0};
    size_t len;
    const char *s = silr_corpus_text(v->l->s->corpus, v->doc, &len);
    int used;

    v->rows = 24;
    v->cols = 80;
    if (ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0) {
        v->rows = w.ws_row;
        v->cols = w.ws_col;
    }
    silr_buf_reset(&v->panel);
    used = 4 + (v->l->s->task->question && v->rows >= 12); /* head, gap, two lines of keys */
    used += (int)cli_panel(&v->panel, v->l->s->task, v->before, v->now, v->last, v->rows, v->cols);
    v->page = v->rows > used ? (size_t)(v->rows - used) : 1;
    v->lines = cli_count_lines(s, len, v->cols);
    if (v->scroll >= v->lines)
        v->scroll = 0;
    silr_buf_reset(&v->out);
    silr_buf_puts(&v->out, "\033[H\033[?7l"); /* no wrapping: we know how wide things are */
    draw_head(v);
    draw_body(v, s, len);
    draw_panel(v);
    draw_keys(v);
    silr_buf_puts(&v->out, "\033[J\033[?7h");
    if (!v->out.failed)
        put(v->out.data, v->out.len);
}

/* --- keys ---------------------------------------------------------------------------------------- */

/* One key; 0: the screen changed its size or a signal came. -1: the terminal is gone. */
static int read_key(void)
{
    unsigned char c[16];
    struct pollfd p = {.fd = 0, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, -1) < 0)
        return errno == EINTR ? 0 : -1;
    n = read(0, c, 1);
    if (n < 0)
        return errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    if (c[0] == 27) { /* an arrow or another long key: taken whole, and passed over */
        if (poll(&p, 1, 20) > 0 && read(0, c, sizeof c) < 0)
            return -1;
        return 0;
    }
    return c[0];
}

/* The next text; false: there is none. */
static bool find_next(screen *v)
{
    v->doc = silr_chooser_next(v->chooser);
    v->scroll = 0;
    return v->doc != SIZE_MAX;
}

static silr_status undo(screen *v, silr_error *err)
{
    size_t doc;
    silr_status st;

    if (v->here == 0) {
        v->note = "nothing to undo";
        return SILR_OK;
    }
    doc = v->l->item[v->l->n - 1].doc;
    if ((st = cli_labels_undo(v->l, err)) != SILR_OK)
        return st;
    silr_chooser_label(v->chooser, doc, SILR_NO_LABEL);
    silr_chooser_standing(v->chooser, v->now);
    v->last = -1;
    v->here--;
    v->scroll = 0;
    v->doc = doc;
    return SILR_OK;
}

/* Keeps the answer. Returns 1 when it was the last one asked for. */
static int answer(screen *v, int label, silr_error *err)
{
    silr_standing *old = v->before;
    silr_status st = cli_labels_add(v->l, v->doc, label, err);

    if (st != SILR_OK)
        return st;
    silr_chooser_label(v->chooser, v->doc, label);
    v->before = v->now;
    v->now = old;
    silr_chooser_standing(v->chooser, v->now);
    v->last = silr_session_sets(v->l->s)[v->doc];
    v->here++;
    return v->l->n >= v->wanted || !find_next(v);
}

/* Returns SILR_OK to go on, 1 to leave, or a failure. */
static int handle_key(screen *v, int key, silr_error *err)
{
    const char *class = key > 0 ? strchr(class_keys, key) : NULL;
    int rc = SILR_OK;

    v->note = NULL;
    if (key == 'q')
        return 1;
    if (key == 'u' || key == 127 || key == 8) {
        rc = undo(v, err);
    } else if (key == 's') {
        silr_chooser_skip(v->chooser, v->doc);
        find_next(v);
    } else if (key == ' ') {
        v->scroll += v->page > 1 ? v->page - 1 : 1;
    } else if (class && (size_t)(class - class_keys) < v->l->s->task->n_classes) {
        rc = answer(v, (int)(class - class_keys), err);
    } else if (key > 0) {
        v->note = "no class has this key";
    }
    return rc;
}

silr_status cli_screen(cli_labels *l, silr_chooser *chooser, size_t wanted, silr_error *err)
{
    screen v = {.l = l, .chooser = chooser, .wanted = wanted, .last = -1};
    int rc = SILR_OK;

    v.before = silr_alloc(1, sizeof *v.before);
    v.now = silr_alloc(1, sizeof *v.now);
    if (!v.before || !v.now) {
        rc = silr_fail_memory(err);
        goto done;
    }
    silr_chooser_standing(chooser, v.now);
    if (!find_next(&v))
        goto done;
    if (!enter()) {
        rc = silr_fail(err, SILR_EIO, "the terminal cannot be set up: %s", strerror(errno));
        goto done;
    }
    while (rc == SILR_OK) {
        int key;
        draw(&v);
        key = read_key();
        if (silr_cancelled())
            rc = silr_fail(err, SILR_ECANCEL, "interrupted; every label is in %s", l->path);
        else if (key < 0)
            rc = silr_fail(err, SILR_EIO, "the terminal is gone; every label is in %s", l->path);
        else
            rc = handle_key(&v, key, err);
    }
done:
    restore();
    cli_signals_restore(NULL);
    silr_free(v.before);
    silr_free(v.now);
    silr_buf_clear(&v.out);
    silr_buf_clear(&v.panel);
    return rc == 1 ? SILR_OK : (silr_status)rc;
}
