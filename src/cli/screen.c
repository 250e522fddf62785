/* screen.c - one text at a time, one key a class.
 *
 * Plain termios and ANSI sequences: the alternate screen, so that the shell's own comes back; no
 * echo, key by key. Everything is drawn into one buffer and written at once. The terminal is put
 * back on every way out, by atexit and from the signal handler too.
 *
 * Texts are hostile: an escape sequence in a review could move the cursor, set the clipboard or
 * imitate a prompt. Only printable characters reach the terminal; every control character, C1
 * controls and direction overrides included, shows as a middle dot. */
#include "cli/cli.h"
#include "cli/labels.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <utf8proc.h>

/* Keys of classes, in order; u, s and q are taken. */
static const char class_keys[] = "123456789abcdefghijklmnoprtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0=+*/";

typedef struct {
    cli_labels *l;
    const uint32_t *order;
    size_t n, at, wanted, scroll, lines; /* lines of the text in hand, at this width */
    size_t page;                         /* of them fit on the screen */
    bool *skipped;
    size_t here;                         /* labelled in this session; undo goes no further back */
    int rows, cols;
    silr_buf out;
    const char *note;
} screen;

static struct termios before;
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
    tcsetattr(0, TCSAFLUSH, &before);
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

    if (tcgetattr(0, &before) != 0)
        return false;
    t = before;
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

/* --- text on a screen ------------------------------------------------------------------------ */

/* The next character of s: what to print for it and how wide that is. Returns the bytes read. */
static size_t next_char(const char *s, size_t len, char shown[8], int *width)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &c);
    utf8proc_category_t kind;

    if (n <= 0) {
        n = 1;
        c = 0xFFFD;
    }
    kind = utf8proc_category(c);
    *width = utf8proc_charwidth(c);
    if (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CS ||
        kind == UTF8PROC_CATEGORY_CO || kind == UTF8PROC_CATEGORY_ZL ||
        kind == UTF8PROC_CATEGORY_ZP || (kind == UTF8PROC_CATEGORY_CF && c != 0x200D)) {
        c = 0xB7;
        *width = 1;
    }
    shown[utf8proc_encode_char(c, (utf8proc_uint8_t *)shown)] = '\0';
    return (size_t)n;
}

/* Where the line that begins at `from` ends, broken at a space where there is one. *next: where the
 * following one begins. */
static size_t line_end(const char *s, size_t len, size_t from, int cols, size_t *next)
{
    size_t i = from, space = 0;
    int used = 0, width;
    char shown[8];

    while (i < len) {
        size_t step;
        if (s[i] == '\n') {
            *next = i + 1;
            return i;
        }
        step = next_char(s + i, len - i, shown, &width);
        if (s[i] == '\t')
            width = 1;
        if (used + width > cols && i > from) {
            *next = space > from ? space + 1 : i;
            return space > from ? space : i;
        }
        if (s[i] == ' ')
            space = i;
        used += width;
        i += step;
    }
    *next = len;
    return len;
}

/* Prints at most `cols` columns of s; returns how many it took. */
static int put_text(silr_buf *b, const char *s, size_t len, int cols)
{
    char shown[8];
    int used = 0, width;

    for (size_t i = 0; i < len;) {
        size_t step = next_char(s + i, len - i, shown, &width);
        if (s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
            shown[0] = ' ';
            shown[1] = '\0';
            width = 1;
        }
        if (used + width > cols)
            break;
        silr_buf_puts(b, shown);
        used += width;
        i += step;
    }
    return used;
}

static void end_line(silr_buf *b)
{
    silr_buf_puts(b, "\033[0m\033[K\r\n");
}

/* --- drawing ----------------------------------------------------------------------------------- */

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

/* How many of each of the annotator's classes are labelled: the sample should stay balanced. */
static void draw_head(screen *v)
{
    const silr_session *s = v->l->s;
    silr_buf line = {0};

    silr_buf_printf(&line, "%s: %zu of %zu labelled", s->task->name, v->l->n, v->wanted);
    silr_buf_puts(&line, "   by first label:");
    for (size_t k = 0; k < s->task->n_classes; k++) {
        size_t n = 0;
        for (size_t i = 0; i < v->l->n; i++)
            n += s->initial[v->l->item[i].doc] == (int)k;
        silr_buf_printf(&line, " %s %zu", s->task->classes[k], n);
    }
    bold(&v->out);
    if (line.data)
        put_text(&v->out, line.data, line.len, v->cols);
    end_line(&v->out);
    if (s->task->question && v->rows >= 12) {
        put_text(&v->out, s->task->question, strlen(s->task->question), v->cols);
        end_line(&v->out);
    }
    end_line(&v->out);
    silr_buf_clear(&line);
}

static void draw_keys(screen *v)
{
    const silr_task *task = v->l->s->task;
    silr_buf line = {0};

    for (size_t k = 0; k < task->n_classes && k + 1 < sizeof class_keys; k++)
        silr_buf_printf(&line, "%s[%c] %s", k ? "  " : "", class_keys[k], task->classes[k]);
    bold(&v->out);
    if (line.data)
        put_text(&v->out, line.data, line.len, v->cols);
    end_line(&v->out);
    silr_buf_reset(&line);
    if (v->lines > v->page)
        silr_buf_printf(&line, "[space] more (%zu lines)  ", v->lines);
    silr_buf_puts(&line, "[u] undo  [s] skip  [q] quit, saved");
    if (v->note)
        silr_buf_printf(&line, "   %s", v->note);
    dim(&v->out);
    if (line.data)
        put_text(&v->out, line.data, line.len, v->cols);
    silr_buf_puts(&v->out, "\033[0m\033[K");
    silr_buf_clear(&line);
}

static size_t count_lines(const char *s, size_t len, int cols)
{
    size_t n = 0, at = 0;

    while (at < len) {
        line_end(s, len, at, cols, &at);
        n++;
    }
    return n;
}

static void draw_body(screen *v, const char *s, size_t len)
{
    size_t at = 0, shown = 0;

    for (size_t line = 0; shown < v->page; line++) {
        size_t from = at, end = at;
        if (at < len)
            end = line_end(s, len, at, v->cols, &at);
        if (line < v->scroll)
            continue;
        if (end > from)
            put_text(&v->out, s + from, end - from, v->cols);
        end_line(&v->out);
        shown++;
    }
}

static void draw(screen *v)
{
    struct winsize w = {0};
    size_t len;
    const char *s = silr_corpus_text(v->l->s->corpus, v->order[v->at], &len);
    int used;

    v->rows = 24;
    v->cols = 80;
    if (ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0) {
        v->rows = w.ws_row;
        v->cols = w.ws_col;
    }
    used = 4 + (v->l->s->task->question && v->rows >= 12); /* head, gap, two lines of keys */
    v->page = v->rows > used ? (size_t)(v->rows - used) : 1;
    v->lines = count_lines(s, len, v->cols);
    if (v->scroll >= v->lines)
        v->scroll = 0;
    silr_buf_reset(&v->out);
    silr_buf_puts(&v->out, "\033[H\033[?7l"); /* no wrapping: we know how wide things are */
    draw_head(v);
    draw_body(v, s, len);
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

/* The next text without a label, first those that were not skipped. false: there is none. */
static bool find_next(screen *v)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < v->n; i++)
            if (v->l->label[v->order[i]] == SILR_NO_LABEL && v->skipped[i] == (pass == 1)) {
                v->at = i;
                v->scroll = 0;
                return true;
            }
    return false;
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
    v->here--;
    v->scroll = 0;
    for (size_t i = 0; i < v->n; i++)
        if (v->order[i] == doc)
            v->at = i;
    return SILR_OK;
}

/* Skipped texts come back when no others are left. */
static void skip(screen *v)
{
    size_t now = v->at;

    if (v->skipped[now]) { /* among skipped ones: on to the next of them, round and round */
        for (size_t step = 1; step <= v->n; step++) {
            size_t i = (now + step) % v->n;
            if (v->l->label[v->order[i]] == SILR_NO_LABEL) {
                v->at = i;
                v->scroll = 0;
                return;
            }
        }
        return;
    }
    v->skipped[now] = true;
    find_next(v);
}

/* Returns SILR_OK to go on, 1 to leave, or a failure. */
static int handle_key(screen *v, int key, silr_error *err)
{
    const char *class = key > 0 ? strchr(class_keys, key) : NULL;
    silr_status st = SILR_OK;

    v->note = NULL;
    if (key == 'q')
        return 1;
    if (key == 'u' || key == 127 || key == 8) {
        st = undo(v, err);
    } else if (key == 's') {
        skip(v);
    } else if (key == ' ') {
        v->scroll += v->page > 1 ? v->page - 1 : 1;
    } else if (class && (size_t)(class - class_keys) < v->l->s->task->n_classes) {
        st = cli_labels_add(v->l, v->order[v->at], (int)(class - class_keys), err);
        if (st == SILR_OK) {
            v->here++;
            if (v->l->n >= v->wanted || !find_next(v))
                return 1;
        }
    } else if (key > 0) {
        v->note = "no class has this key";
    }
    return (int)st;
}

silr_status cli_screen(cli_labels *l, const uint32_t *order, size_t n, size_t wanted,
                       silr_error *err)
{
    screen v = {.l = l, .order = order, .n = n, .wanted = wanted};
    int rc = SILR_OK;

    if (!(v.skipped = silr_calloc(n + 1, sizeof *v.skipped)))
        return silr_fail_memory(err);
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
    silr_free(v.skipped);
    silr_buf_clear(&v.out);
    return rc == 1 ? SILR_OK : (silr_status)rc;
}
