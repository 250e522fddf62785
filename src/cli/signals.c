/* signals.c - Ctrl-C once: finish what is in flight, save, end with 130. Twice: end now.
 *
 * Both are safe, since what a run has computed is in its database before it counts. */
#include "cli/cli.h"
#include "dist/dist.h"
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked, quiet;
static void (*volatile restore_screen)(void);

static void tell(const char *s)
{
    ssize_t n = write(2, s, strlen(s));
    (void)n;
}

static void handle(int sig)
{
    (void)sig;
    if (asked) {
        void (*restore)(void) = restore_screen;
        if (restore)
            restore();
        _exit(CLI_INTERRUPTED);
    }
    asked = 1;
    silr_cancel();
    if (!restore_screen && !quiet)
        tell("\nsilr: finishing what is in flight and saving; once more stops at once\n");
}

void cli_signals_restore(void (*restore)(void))
{
    restore_screen = restore;
}

void cli_signals_start(void)
{
    struct sigaction act = {0};

    act.sa_handler = handle; /* no SA_RESTART: a read from the keyboard must return */
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    if (silr_dist_size() > 1) /* what mpirun and srun hand on to all ranks without ending the job */
        sigaction(SIGUSR1, &act, NULL);
}

void cli_signals_quiet(void)
{
    quiet = 1;
    cli_signals_start();
}
